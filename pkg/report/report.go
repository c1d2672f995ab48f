package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// Options of a Report.
type Options struct {
	Out, Err  io.Writer     // results and progress; errors
	Live      bool          // Out is a terminal that may be redrawn
	Verbose   bool          // children's output is shown as it comes
	Clock     clock.Clock   // nil: the system's
	Heartbeat time.Duration // 0: 30 s; tells what is awaited when nothing else was told for so long
	Dir       string        // where logs are kept, ".chain/log"; "": nowhere
	Name      string        // of the run: "release web"
	Keep      int           // newest logs to keep in Dir; 0: 50
	Machine   Machine       // reads Out and Err as well; nil: people only
}

// A Machine reads what a report writes and finds messages of its own between
// the lines for people. Each string is one line; "" is none.
type Machine interface {
	// Line is a line for people as the machine is to get it: without control
	// codes already, of the event e, which is zero outside of any.
	Line(e pipeline.Event, text string) string
	// Tell is what goes before the lines of an event that starts a step, and
	// after those of any other.
	Tell(e pipeline.Event) []string
	// Fail is what goes before the error.
	Fail(f *Failure, text string) []string
	// End is what goes after the summary.
	End(outcome string, rows []Row) []string
	// Files are the logs of the run, which are complete now.
	Files(paths []string) []string
}

// Report renders what a run tells. Its methods are safe for concurrent use.
type Report struct {
	o     Options
	start time.Time
	id    string

	mu      sync.Mutex
	events  *os.File
	full    *os.File
	lost    error               // why the log is no longer written
	await   map[string]waiting  // by step
	open    []string            // steps under way, oldest first
	tails   map[string][]string // the last lines of children, by step
	last    time.Time           // of the last line shown
	skipped struct {
		reason string
		more   int
	}
	live     bool           // a line without end is on the screen
	now      pipeline.Event // that lines are shown of
	finished bool

	stop context.CancelFunc
	done chan struct{}
}

type waiting struct {
	text  string
	since time.Time
}

// schema is the version of the JSON events.
const schema = 1

// New starts a report and its heartbeat. Close ends it.
func New(o Options) (*Report, error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 30 * time.Second
	}
	if o.Keep <= 0 {
		o.Keep = 50
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Err == nil {
		o.Err = io.Discard
	}
	r := &Report{
		o: o, start: o.Clock.Now(), await: map[string]waiting{}, tails: map[string][]string{},
		done: make(chan struct{}),
	}
	r.last = r.start
	if o.Dir != "" {
		if err := r.openLog(); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background()) // it tells of the end of every other one
	r.stop = stop
	go r.beat(ctx)
	return r, nil
}

func (r *Report) openLog() error {
	if err := os.MkdirAll(r.o.Dir, 0o755); err != nil {
		return fmt.Errorf("make the log directory: %w", err)
	}
	r.prune()
	stem := r.start.UTC().Format("20060102T150405Z") + "-" + slug(r.o.Name)
	for n := 1; ; n++ {
		r.id = stem
		if n > 1 {
			r.id = fmt.Sprintf("%s-%d", stem, n)
		}
		f, err := os.OpenFile(filepath.Join(r.o.Dir, r.id+".jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, os.ErrExist) && n < 100 {
			continue
		}
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		r.events = f
		break
	}
	full, err := os.OpenFile(r.logPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		_ = r.events.Close()
		return fmt.Errorf("open the log: %w", err)
	}
	r.full = full
	r.keepJSON(struct {
		Schema int       `json:"schema"`
		Run    string    `json:"run"`
		Name   string    `json:"name"`
		Time   time.Time `json:"time"`
	}{schema, r.id, r.o.Name, r.start})
	return nil
}

// prune drops the oldest logs. Names sort by time.
func (r *Report) prune() {
	for _, pattern := range []string{"*.jsonl", "*.log"} {
		names, _ := filepath.Glob(filepath.Join(r.o.Dir, pattern))
		for len(names) >= r.o.Keep {
			_ = os.Remove(names[0])
			names = names[1:]
		}
	}
}

func slug(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, s)
	if s = strings.Trim(s, "-"); s == "" {
		return "run"
	}
	return s
}

func (r *Report) logPath() string { return filepath.Join(r.o.Dir, r.id+".log") }

// Log is the path of the full log, "" if none is kept.
func (r *Report) Log() string {
	if r.full == nil {
		return ""
	}
	return r.logPath()
}

// ID names this run's logs.
func (r *Report) ID() string { return r.id }

// Elapsed is the time since New.
func (r *Report) Elapsed() time.Duration { return r.o.Clock.Now().Sub(r.start) }

// tailLines is how much of a child's output is shown when its step fails.
const tailLines = 40

// Tell takes an event: it is pipeline.Env's Tell.
func (r *Report) Tell(e pipeline.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished {
		return
	}
	if e.Time.IsZero() {
		e.Time = r.o.Clock.Now()
	}
	r.keepJSON(e)
	if e.Kind != pipeline.Skipped || e.Text != r.skipped.reason {
		r.skips()
	}
	r.now = e
	defer func() { r.now = pipeline.Event{} }()
	if e.Kind == pipeline.Started {
		r.machine(func(m Machine) []string { return m.Tell(e) })
	} else {
		defer r.machine(func(m Machine) []string { return m.Tell(e) })
	}
	switch e.Kind {
	case pipeline.Started:
		r.open = append(r.open, e.Step)
		r.line("▶ %s%s", place(e), e.Step)
	case pipeline.Done:
		r.close(e.Step)
		r.line("✔ %s  %s", e.Step, Short(e.Took))
	case pipeline.Skipped:
		if r.skipped.reason == e.Text {
			r.skipped.more++
			r.keep(fmt.Sprintf("- %s  skipped: %s", e.Step, e.Text))
			return
		}
		r.line("- %s  skipped: %s", e.Step, e.Text)
		r.skipped.reason = e.Text
	case pipeline.Failed:
		r.close(e.Step)
		if !r.o.Verbose {
			for _, l := range r.tails[e.Step] {
				r.show("    | %s", l)
			}
		}
		delete(r.tails, e.Step)
		r.line("✖ %s  %s: %s", e.Step, Short(e.Took), oneLine(e.Text))
	case pipeline.Note:
		r.line("  %s", e.Text)
	case pipeline.Fact:
		r.line("  %s=%s", e.Name, e.Text)
	case pipeline.Await:
		r.awaits(e)
	case pipeline.Output:
		r.keep("  | " + e.Name + ": " + e.Text)
		tail := append(r.tails[e.Step], e.Name+": "+e.Text)
		if len(tail) > tailLines {
			tail = tail[len(tail)-tailLines:]
		}
		r.tails[e.Step] = tail
		if r.o.Verbose {
			r.show("    | %s: %s", e.Name, e.Text)
		}
	case pipeline.Tested:
		r.keep(strings.TrimSuffix("  tested: "+e.Name+": "+e.Text, ": "))
	case pipeline.Measured:
		r.keep("  " + e.Name + "=" + e.Text)
	case pipeline.Undoing:
		r.line("↩ %s", e.Name)
	case pipeline.LeftBehind:
		r.line("✖ left behind: %s: %s", e.Name, oneLine(e.Text))
	default:
		r.line("  %s %s %s", e.Kind, e.Name, e.Text)
	}
}

// skips ends a row of steps that were skipped for one reason: a run with
// nothing to do is not to fill the screen with it. Under the lock.
func (r *Report) skips() {
	if r.skipped.more > 0 {
		r.show("        … and %d more steps, for the same reason", r.skipped.more)
	}
	r.skipped.reason, r.skipped.more = "", 0
}

func place(e pipeline.Event) string {
	if e.Total < 2 {
		return ""
	}
	return fmt.Sprintf("%d/%d ", e.Index, e.Total)
}

// close forgets a step that ended.
func (r *Report) close(step string) {
	delete(r.await, step)
	for i, s := range r.open {
		if s == step {
			r.open = append(r.open[:i:i], r.open[i+1:]...)
			return
		}
	}
}

func (r *Report) awaits(e pipeline.Event) {
	if e.Text == "" {
		delete(r.await, e.Step)
		return
	}
	if w, ok := r.await[e.Step]; ok && w.text == e.Text {
		return
	}
	r.keep("  … " + e.Text)
	r.await[e.Step] = waiting{e.Text, e.Time}
}

// waits is what is awaited, oldest step first.
func (r *Report) waits(now time.Time) string {
	var parts []string
	for _, step := range r.open {
		if w, ok := r.await[step]; ok {
			parts = append(parts, fmt.Sprintf("%s (%s)", w.text, Short(now.Sub(w.since))))
		}
	}
	if len(parts) == 0 && len(r.open) > 0 {
		return r.open[len(r.open)-1]
	}
	return strings.Join(parts, "; ")
}

// beat tells what is awaited when nothing was told for a while, and redraws
// the live line.
func (r *Report) beat(ctx context.Context) {
	defer close(r.done)
	tick := time.Second
	if r.o.Live {
		tick = 200 * time.Millisecond
	}
	tick = min(tick, r.o.Heartbeat)
	for r.o.Clock.Sleep(ctx, tick) == nil {
		r.pulse()
	}
}

func (r *Report) pulse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished || len(r.open) == 0 {
		return
	}
	now := r.o.Clock.Now()
	what := r.waits(now)
	if r.o.Live {
		// The one place that uses a cursor code, and only on a terminal.
		_, _ = fmt.Fprintf(r.o.Out, "\r\x1b[K%s … %s", stamp(now.Sub(r.start)), clip(what, 100))
		r.live = true
		return
	}
	if now.Sub(r.last) >= r.o.Heartbeat {
		r.line("  … waiting: %s", what)
	}
}

func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// Print shows lines that are the result of a run, without time or mark.
func (r *Report) Print(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skips()
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	for _, l := range strings.Split(text, "\n") {
		r.keep(l)
		r.show("%s", l)
	}
}

// line keeps and shows one line of progress. Under the lock.
func (r *Report) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.last = r.o.Clock.Now()
	for i, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			l = "    " + l
		}
		r.keep(l)
		r.show("%s %s", stamp(r.last.Sub(r.start)), l)
	}
}

// show writes one line to the terminal. Under the lock.
func (r *Report) show(format string, args ...any) {
	if r.live {
		_, _ = io.WriteString(r.o.Out, "\r\x1b[K")
		r.live = false
	}
	_, _ = fmt.Fprintln(r.o.Out, r.worded(fmt.Sprintf(format, args...)))
}

// worded is a line as it may be written. Under the lock.
func (r *Report) worded(text string) string {
	text = clean(text)
	if r.o.Machine != nil {
		text = r.o.Machine.Line(r.now, text)
	}
	return text
}

// machine writes what the machine reads. Under the lock.
func (r *Report) machine(what func(Machine) []string) {
	if r.o.Machine == nil {
		return
	}
	for _, l := range what(r.o.Machine) {
		if l != "" {
			_, _ = fmt.Fprintln(r.o.Out, l)
		}
	}
}

// clean takes control codes out of what others wrote: a child that colours its
// output must not reach a log file that a person reads later.
func clean(s string) string {
	if !strings.ContainsFunc(s, control) {
		return s
	}
	s = escapes.ReplaceAllString(s, "")
	return strings.Map(func(c rune) rune {
		if control(c) {
			return -1
		}
		return c
	}, s)
}

func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// keep writes a line to the full log. Under the lock.
func (r *Report) keep(s string) {
	if r.full == nil || r.lost != nil {
		return
	}
	_, err := fmt.Fprintf(r.full, "%s %s\n", r.o.Clock.Now().UTC().Format(time.RFC3339), clean(s))
	r.lose(err)
}

func (r *Report) keepJSON(v any) {
	if r.events == nil || r.lost != nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = r.events.Write(append(b, '\n'))
	}
	r.lose(err)
}

// lose says once that the log cannot be written: a full disk must not stop a
// release that is under way.
func (r *Report) lose(err error) {
	if err == nil || r.lost != nil {
		return
	}
	r.lost = err
	_, _ = fmt.Fprintf(r.o.Err, "the log is not written any more: %v\n", err)
}

// Shown is a Failure that was shown: whoever prints it again, as Mage does,
// adds one short line.
type Shown struct{ *Failure }

// Error points at what was shown.
func (s Shown) Error() string { return fmt.Sprintf("exit code %d, reason above", s.ExitStatus()) }

// Unwrap is the Failure.
func (s Shown) Unwrap() error { return s.Failure }

// Fail shows an error in its full shape on Err, and returns it as Shown, which
// carries the exit code; nil for nil. Close is still to be called.
func (r *Report) Fail(err error) error {
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, text := AsFailure(err), Format(err, r.Log())
	r.machine(func(m Machine) []string { return m.Fail(f, text) })
	if r.live {
		_, _ = io.WriteString(r.o.Out, "\r\x1b[K")
		r.live = false
	}
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		r.keep(l)
		_, _ = fmt.Fprintln(r.o.Err, r.worded(l))
	}
	r.keepJSON(struct {
		Kind  string   `json:"kind"`
		Code  int      `json:"code"`
		ID    string   `json:"id"`
		What  string   `json:"what"`
		Where string   `json:"where,omitempty"`
		State string   `json:"state,omitempty"`
		Next  []string `json:"next,omitempty"`
	}{"error", f.ExitStatus(), f.ID, f.Error(), f.Where, f.State, f.Next})
	return Shown{f}
}

// Close ends the heartbeat and the logs. What is told later is dropped.
func (r *Report) Close() error {
	r.mu.Lock()
	if r.finished {
		r.mu.Unlock()
		return nil
	}
	r.finished = true
	if r.live {
		_, _ = io.WriteString(r.o.Out, "\r\x1b[K")
		r.live = false
	}
	r.mu.Unlock()
	r.stop()
	<-r.done
	if r.full == nil {
		return nil
	}
	err := errors.Join(r.events.Close(), r.full.Close())
	r.machine(func(m Machine) []string { return m.Files([]string{r.events.Name(), r.full.Name()}) })
	return err
}
