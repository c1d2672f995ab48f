package verify

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Prober asks for a page all the time.
type Prober struct {
	Dial      Dial
	Clock     clock.Clock // nil: the system's
	Domain    string
	Addresses []string      // asked in turn beside Domain, so that no address hides behind another
	Rate      int           // requests on new connections each second; 0 is 50
	Kept      int           // connections that are kept, each asked twice a second; 0 is 5, -1 none
	Timeout   time.Duration // of one request; 0 is 10 s
	Text      string        // what the page holds; "" is "Hello World"
}

// Probe is a Prober at work.
type Probe struct {
	p      Prober
	h      *client
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	phases   []*phase
	failures []ProbeFailure
	closed   int
	lastGood time.Time
}

type phase struct {
	name     string
	keys     []string
	start    time.Time
	end      time.Time
	took     []time.Duration
	failed   int
	versions map[string]int
	gap      time.Duration
}

// ProbeFailure is a request that a user would have seen fail.
type ProbeFailure struct {
	Time  time.Time `json:"time"`
	Phase string    `json:"phase"`
	Where string    `json:"where"`
	Text  string    `json:"text"`
}

// PhaseResult is what was measured between two calls of Phase.
type PhaseResult struct {
	Name     string         `json:"name"`
	Start    time.Time      `json:"start"`
	Took     time.Duration  `json:"took_ns"`
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	P50      time.Duration  `json:"p50_ns"`
	P95      time.Duration  `json:"p95_ns"`
	P99      time.Duration  `json:"p99_ns"`
	Max      time.Duration  `json:"max_ns"`
	Gap      time.Duration  `json:"gap_ns"`   // longest time without a good answer
	Versions map[string]int `json:"versions"` // answers of /version
}

// Result is everything a Probe measured.
type Result struct {
	PhaseResult                // of all phases
	Phases      []PhaseResult  `json:"phases"`
	Failures    []ProbeFailure `json:"failures,omitempty"` // the first 100
	Closed      int            `json:"closed"`             // kept connections that the server ended between requests
}

// maxFailures is how many failures keep their text.
const maxFailures = 100

// Start begins to ask, in a first phase of that name. keys are the image keys
// that /version may tell; none means any. Stop MUST be called.
func (p Prober) Start(ctx context.Context, name string, keys ...string) *Probe {
	if p.Clock == nil {
		p.Clock = clock.System{}
	}
	if p.Rate <= 0 {
		p.Rate = 50
	}
	if p.Kept == 0 {
		p.Kept = 5
	}
	if p.Timeout <= 0 {
		p.Timeout = 10 * time.Second
	}
	if p.Text == "" {
		p.Text = "Hello World"
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &Probe{p: p, cancel: cancel, h: &client{p.Dial, p.Clock, p.Timeout}}
	b.lastGood = p.Clock.Now()
	b.Phase(name, keys...)
	b.wg.Go(func() { b.stream(ctx) })
	for i := range max(p.Kept, 0) {
		b.wg.Go(func() { b.keep(ctx, i) })
	}
	return b
}

// Phase begins a new phase. A request belongs to the phase that it began in
// and is judged by that phase's keys.
func (b *Probe) Phase(name string, keys ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.p.Clock.Now()
	if n := len(b.phases); n > 0 {
		b.phases[n-1].end = now
	}
	b.phases = append(b.phases, &phase{name: name, keys: keys, start: now, versions: map[string]int{}})
}

// Failed is how many requests have failed so far, and the text of the first.
func (b *Probe) Failed() (n int, first string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.phases {
		n += p.failed
	}
	if len(b.failures) > 0 {
		first = b.failures[0].Text
	}
	return n, first
}

// Recent is how long 95 % of the newest n answers of this phase took at most; 0
// while there are fewer.
func (b *Probe) Recent(n int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := b.phases[len(b.phases)-1].took
	if n < 1 || len(took) < n {
		return 0
	}
	newest := slices.Clone(took[len(took)-n:])
	slices.Sort(newest)
	return newest[(n*95+99)/100-1]
}

// Stop ends the stream, waits for requests under way and returns what was
// measured. Later calls return the same.
func (b *Probe) Stop() Result {
	b.cancel()
	b.wg.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.phases[len(b.phases)-1]
	if last.end.IsZero() {
		last.end = b.p.Clock.Now()
		last.gap = max(last.gap, last.end.Sub(later(b.lastGood, last.start)))
	}
	var r Result
	total := &phase{start: b.phases[0].start, end: last.end, versions: map[string]int{}}
	for _, p := range b.phases {
		r.Phases = append(r.Phases, p.result())
		total.took = append(total.took, p.took...)
		total.failed += p.failed
		total.gap = max(total.gap, p.gap)
		for k, n := range p.versions {
			total.versions[k] += n
		}
	}
	r.PhaseResult = total.result()
	r.Failures, r.Closed = slices.Clone(b.failures), b.closed
	return r
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *phase) result() PhaseResult {
	took := slices.Clone(p.took)
	slices.Sort(took)
	at := func(percent int) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, (len(took)*percent+99)/100-1)]
	}
	r := PhaseResult{
		Name: p.name, Start: p.start, Took: p.end.Sub(p.start), Requests: len(took), Failed: p.failed,
		P50: at(50), P95: at(95), P99: at(99), Gap: p.gap, Versions: maps.Clone(p.versions),
	}
	if len(took) > 0 {
		r.Max = took[len(took)-1]
	}
	return r
}

// Availability is the share of requests that were answered well, 0 to 1.
func (r PhaseResult) Availability() float64 {
	if r.Requests == 0 {
		return 0
	}
	return float64(r.Requests-r.Failed) / float64(r.Requests)
}

// Line is the result in one line: "0 of 9120 requests failed, p95 12ms, longest gap 90ms".
func (r PhaseResult) Line() string {
	return fmt.Sprintf("%d of %d requests failed, p95 %s, longest gap %s",
		r.Failed, r.Requests, r.P95.Round(time.Millisecond), r.Gap.Round(time.Millisecond))
}

// Err is nil if requests were made and none failed.
func (r Result) Err() error {
	if r.Requests == 0 {
		return fmt.Errorf("no request was made")
	}
	if r.Failed == 0 {
		return nil
	}
	first := ""
	if len(r.Failures) > 0 {
		f := r.Failures[0]
		first = fmt.Sprintf("; the first, in phase %s at %s: %s", f.Phase, f.Where, f.Text)
	}
	return fmt.Errorf("%d of %d requests failed%s", r.Failed, r.Requests, first)
}

// place is the i-th address to ask: the name, then each Elastic IP, in turn.
func (b *Probe) place(i int) string {
	all := 1 + len(b.p.Addresses)
	if i %= all; i > 0 {
		return net.JoinHostPort(b.p.Addresses[i-1], "80")
	}
	return net.JoinHostPort(b.p.Domain, "80")
}

// path alternates once all places were asked.
func (b *Probe) path(i int) string {
	if i/(1+len(b.p.Addresses))%2 == 0 {
		return "/"
	}
	return "/version"
}

// stream opens a new connection for each request, at a constant rate: a slow
// answer does not slow the stream down, as it would not slow users down.
func (b *Probe) stream(ctx context.Context) {
	interval := time.Second / time.Duration(b.p.Rate)
	begin := b.p.Clock.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i++ {
		due := begin.Add(time.Duration(i) * interval)
		if err := b.p.Clock.Sleep(ctx, due.Sub(b.p.Clock.Now())); err != nil {
			return
		}
		wg.Go(func() {
			addr, path := b.place(i), b.path(i)
			b.measure(ctx, addr, path, func(ctx context.Context) (int, string, error) {
				return b.h.once(ctx, addr, b.p.Domain, path)
			})
		})
	}
}

// keep holds one connection and asks on it.
func (b *Probe) keep(ctx context.Context, n int) {
	var cn *conn
	defer func() {
		if cn != nil {
			_ = cn.Close()
		}
	}()
	for i := 0; ; i++ {
		addr, path := b.place(n+1), [...]string{"/", "/version"}[i%2]
		if cn != nil && (cn.once || cn.closed(b.p.Clock.Now())) {
			// HTTP lets a server end a connection that is at rest; every client
			// opens another then. Only a request that got no answer is a failure.
			if !cn.once {
				b.mu.Lock()
				b.closed++
				b.mu.Unlock()
			}
			_ = cn.Close()
			cn = nil
		}
		used := cn != nil
		good := b.measure(ctx, addr+" (kept)", path, func(ctx context.Context) (int, string, error) {
			if used {
				status, body, err := b.h.get(ctx, cn, b.p.Domain, path, false)
				if !ended(err) {
					return status, body, err
				}
				b.mu.Lock()
				b.closed++
				b.mu.Unlock()
				_ = cn.Close()
				cn = nil
			}
			if cn == nil {
				var err error
				if cn, err = b.h.open(ctx, addr); err != nil {
					cn = nil
					return 0, "", err
				}
			}
			return b.h.get(ctx, cn, b.p.Domain, path, false)
		})
		if !good && cn != nil {
			_ = cn.Close()
			cn = nil
		}
		if err := b.p.Clock.Sleep(ctx, 500*time.Millisecond); err != nil {
			return
		}
	}
}

// measure performs one request to its end, also when the probe is stopped
// meanwhile: what began is counted.
func (b *Probe) measure(ctx context.Context, where, path string, ask func(context.Context) (int, string, error)) bool {
	if ctx.Err() != nil {
		return true
	}
	b.mu.Lock()
	ph := b.phases[len(b.phases)-1]
	b.mu.Unlock()
	start := b.p.Clock.Now()
	status, body, err := ask(context.WithoutCancel(ctx))
	end := b.p.Clock.Now()

	key, bad := "", ""
	switch {
	case err != nil:
		bad = err.Error()
	case status != 200:
		bad = fmt.Sprintf("answered %d: %s", status, excerpt(body))
	case path == "/" && !strings.Contains(body, b.p.Text):
		bad = fmt.Sprintf("does not hold %q: %s", b.p.Text, excerpt(body))
	case path == "/version":
		key = excerpt(body)
		if len(ph.keys) > 0 && !slices.Contains(ph.keys, key) {
			bad = fmt.Sprintf("version is %s, not %s", key, strings.Join(ph.keys, " or "))
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	ph.took = append(ph.took, end.Sub(start))
	if key != "" {
		ph.versions[key]++
	}
	if bad != "" {
		ph.failed++
		if len(b.failures) < maxFailures {
			b.failures = append(b.failures, ProbeFailure{start, ph.name, where + path, bad})
		}
		return false
	}
	ph.gap = max(ph.gap, end.Sub(later(b.lastGood, b.phases[0].start)))
	b.lastGood = later(b.lastGood, end)
	return true
}
