package recovery

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// The moments of a recovery (NIST SP 800-34's phases). T0, when it broke, and
// T1, when somebody was told, are a drill's to know.
const (
	T0 = "T0 broken"
	T2 = "T2 declared"
	T3 = "T3 infrastructure up"
	T4 = "T4 data restored"
	T5 = "T5 traffic led"
	T6 = "T6 verified"
)

// Report is what a recovery or a drill has shown. Its times are UTC.
type Report struct {
	Schema   int         `json:"schema"` // 1
	Kind     string      `json:"kind"`   // "recovery" or "drill"
	Scenario string      `json:"scenario,omitempty"`
	Run      string      `json:"run"`
	Place    trail.Place `json:"place"`
	Account  string      `json:"account"`
	Stack    string      `json:"stack"`
	Commit   string      `json:"commit"`
	By       string      `json:"by"`
	Image    string      `json:"image,omitempty"`

	Moments []Moment `json:"moments"`
	Steps   []Timed  `json:"steps"`

	// Objective and Took are RTO, wanted and had: from the first moment to the
	// last. Took is 0 as long as nothing was verified.
	Objective time.Duration `json:"rto_ns"`
	Took      time.Duration `json:"took_ns"`
	// Data is what was restored; "none" where the template keeps none, and then
	// there is no RPO to measure.
	Data string `json:"data"`
	// DataObjective and DataAge are RPO, wanted and had: how much older than the
	// first moment the restored data is.
	DataObjective time.Duration `json:"rpo_ns,omitempty"`
	DataAge       time.Duration `json:"dataAge_ns,omitempty"`

	Inputs    []Input                  `json:"inputs"`             // from outside the repository
	Restored  []Input                  `json:"restored,omitempty"` // backups, and what shows that they are good
	Cost      string                   `json:"cost,omitempty"`
	Was       []string                 `json:"was,omitempty"`
	Checks    []rehearsal.Check        `json:"checks"`
	Served    []rehearsal.Availability `json:"served,omitempty"`
	Manual    []string                 `json:"manual"`
	Untested  []string                 `json:"untested,omitempty"`
	Leftovers []string                 `json:"leftovers"`
	Findings  []string                 `json:"findings"`
	Error     string                   `json:"error,omitempty"`

	Files string `json:"-"`
	mu    *sync.Mutex
	asOf  time.Time
	// corrupt is since when the data was wrong; zero: it was lost at the first moment.
	corrupt time.Time
}

// Moment is one of the points that times are taken between.
type Moment struct {
	Name string    `json:"name"`
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// Timed is a step and how long it took.
type Timed struct {
	Name   string        `json:"name"`
	Began  time.Time     `json:"began"`
	Took   time.Duration `json:"took_ns"`
	Failed bool          `json:"failed,omitempty"`
}

// Input is something that Git does not hold and without which it would not have worked.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func begin(c *release.Chain, kind string) Report {
	return Report{
		Schema: 1, Kind: kind, Run: c.Run, Place: c.Place, Account: c.Target.Account, Stack: c.Environment.Stack(), Commit: c.Trail.Head(),
		Objective: c.Environment.Recovery.RTO, Data: "none", mu: &sync.Mutex{}, Checks: []rehearsal.Check{}, Leftovers: []string{}, Findings: []string{}, Manual: []string{},
		Inputs: []Input{{"trail", c.Trail.Remote()}, {"signing key", c.Target.Signing.Key}},
	}
}

func (r *Report) declared(at time.Time) { r.mark(T2, "the recovery was begun", at) }

func (r *Report) mark(name, what string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Moments = append(r.Moments, Moment{name, what, at.UTC()})
	r.age()
	if name == T6 {
		r.Took = at.Sub(r.Moments[0].At)
	}
}

func (r *Report) find(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.Findings, text) {
		r.Findings = append(r.Findings, text)
	}
}

func (r *Report) input(name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Inputs = append(r.Inputs, Input{name, value})
}

func (r *Report) check(list verify.Findings) {
	for _, f := range list {
		r.Checks = append(r.Checks, rehearsal.Check{Name: f.Name, OK: f.Bad == "", Text: f.Bad})
	}
}

// restores notes what data is restored, and how old it may be.
func (r *Report) restores(snap *database.Snapshot, objective time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asOf, r.DataObjective = snap.Created, objective
	r.Data = fmt.Sprintf("snapshot %s of %s", snap.ID, snap.Created.UTC().Format(time.RFC3339))
	r.age()
}

// age is how much data is lost: from what was restored to when the rest was gone.
func (r *Report) age() {
	switch {
	case r.asOf.IsZero():
	case !r.corrupt.IsZero():
		r.DataAge = max(0, r.corrupt.Sub(r.asOf))
	case len(r.Moments) > 0:
		r.DataAge = r.Moments[0].At.Sub(r.asOf)
	}
}

// restored notes that a backup was, and how that is known.
func (r *Report) restored(what, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Restored = append(r.Restored, Input{what, how})
}

func (r *Report) restoredLine() string {
	var out []string
	for _, one := range r.Restored {
		out = append(out, one.Name)
	}
	return strings.Join(out, ", ")
}

// measure tells the numbers that are worth a chart.
func (r *Report) measure(run *pipeline.Run) {
	run.Measure("dr rto seconds", r.Took.Seconds())
	if !r.asOf.IsZero() {
		run.Measure("dr rpo seconds", r.DataAge.Seconds())
	}
}

// heartbeat reads back when the newest row was written that production writes each
// minute, as the page recovery.heartbeat tells it (RFC 3339, in its first line). It
// counts instead of the snapshot's own time: a snapshot may be young and the data in
// it old.
func (r *Report) heartbeat(ctx context.Context, run *pipeline.Run, c *release.Chain, addresses []string) error {
	page := c.Environment.Recovery.Heartbeat
	if c.Environment.Database == nil || r.asOf.IsZero() {
		return nil
	}
	if page == "" {
		r.find("no row was read back: how old the data is, is by the snapshot's time; recovery.heartbeat names a page that tells it")
		return nil
	}
	if len(addresses) == 0 {
		return errors.New("there is no address to ask for the heartbeat")
	}
	body, err := verify.Checker{Dial: c.Target.Dial, Clock: c.Clock}.Page(ctx, addresses[0], page)
	if err != nil {
		return fmt.Errorf("read the heartbeat back: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(body), "\n")
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(line))
	if err != nil {
		return fmt.Errorf("read the heartbeat back: %s answers %.60q, wanted is a time like 2026-11-23T22:15:00Z", page, line)
	}
	r.mu.Lock()
	r.asOf = at
	r.age()
	r.Data += ", its newest row of " + at.UTC().Format(time.RFC3339)
	r.mu.Unlock()
	run.Note("the newest row that was restored is of %s", at.UTC().Format(time.RFC3339))
	return nil
}

// listen hears the steps and how long each took.
func (r *Report) listen(env pipeline.Env) pipeline.Env {
	told := env.Tell
	env.Tell = func(e pipeline.Event) {
		if e.Kind == pipeline.Done || e.Kind == pipeline.Failed {
			r.mu.Lock()
			r.Steps = append(r.Steps, Timed{e.Step, e.Time.Add(-e.Took).UTC(), e.Took, e.Kind == pipeline.Failed})
			r.mu.Unlock()
		}
		if told != nil {
			told(e)
		}
	}
	return env
}

// Good says whether it ended well, in time, and left nothing.
func (r *Report) Good() bool {
	return r.Error == "" && r.Took > 0 && r.Took <= r.Objective && !r.stale() && len(r.Leftovers) == 0
}

// stale says whether the restored data is older than was promised.
func (r *Report) stale() bool { return !r.asOf.IsZero() && r.DataAge > r.DataObjective }

func (r *Report) verdict() string {
	switch {
	case r.Took == 0:
		return "nothing was verified"
	case r.stale():
		return fmt.Sprintf("MISSED: the data is %s old, at most %s is wanted; the page took %s of %s", report.Short(r.DataAge), r.DataObjective, report.Short(r.Took), r.Objective)
	case r.Took > r.Objective:
		return fmt.Sprintf("MISSED: %s, wanted within %s", report.Short(r.Took), r.Objective)
	}
	return fmt.Sprintf("met: %s, wanted within %s", report.Short(r.Took), r.Objective)
}

// durations are the times between the moments.
func (r *Report) durations(all time.Duration) string {
	parts := []string{"all " + report.Short(all)}
	for i, m := range r.Moments {
		if i > 0 {
			parts = append(parts, m.Name+" after "+report.Short(m.At.Sub(r.Moments[0].At)))
		}
	}
	return strings.Join(parts, ", ")
}

// RecordPath is where the trail keeps the report of a place's last recovery or
// drill; its history there is that of all of them.
func RecordPath(p trail.Place, kind string) string {
	return "cloudformation/evidence/" + p.String() + "." + kind + ".json"
}

// end closes the report and writes it: as files below the target's State, and
// into the trail. That the trail is out of reach is a finding, not the end.
func (r *Report) end(ctx context.Context, c *release.Chain, failed error) error {
	if failed != nil {
		r.Error = failed.Error()
	}
	r.By = cmp.Or(c.Target.Caller, "unknown")
	r.input("credentials", r.By)
	slices.SortStableFunc(r.Steps, func(a, b Timed) int { return a.Began.Compare(b.Began) })
	// A drill that failed is as much history as one that did not.
	if failed == nil || r.Kind == "drill" && len(r.Moments) > 0 {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		if _, err := c.Trail.Write(ctx, trail.Entry{
			Kind: r.Kind, Subject: fmt.Sprintf("%s: %s in %s: %s", c.Place.LockName(), r.Kind, c.Place.Region, r.verdict()),
			Trailers: []trail.Trailer{
				{Key: "Site", Value: c.Place.Site},
				{Key: "Environment", Value: c.Place.Environment},
				{Key: "Region", Value: c.Place.Region},
				{Key: "Operation", Value: r.Kind},
				{Key: "Image", Value: r.Image},
				{Key: "Commit", Value: r.Commit},
				{Key: "Run", Value: r.Run},
			},
			Files: map[string][]byte{RecordPath(c.Place, r.Kind): append(b, '\n')},
		}); err != nil {
			r.find("the trail could not be written: " + err.Error())
		}
	}
	return r.write(filepath.Join(c.Target.State, "dr", r.Run))
}

func (r *Report) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	page, err := r.HTML()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for name, text := range map[string][]byte{"report.json": append(b, '\n'), "report.html": page} {
		if err := renameio.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	r.Files = filepath.Join(dir, "report.html")
	return nil
}

//go:embed report.html
var page string

// HTML is the report as one file that loads nothing.
func (r *Report) HTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"short": report.Short,
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("read the page of the report: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"R": r, "Good": r.Good(), "Verdict": r.verdict(), "Bars": r.bars()})
	if err != nil {
		return nil, fmt.Errorf("write the page of the report: %w", err)
	}
	return b.Bytes(), nil
}

// bar is a step on the time line, in parts of a thousand.
type bar struct {
	Timed
	X, W, Y, TextY int
}

func (r *Report) bars() []bar {
	if len(r.Steps) == 0 {
		return nil
	}
	from, to := r.Steps[0].Began, r.Steps[0].Began
	for _, s := range r.Steps {
		if end := s.Began.Add(s.Took); end.After(to) {
			to = end
		}
	}
	all := max(to.Sub(from), time.Millisecond)
	var out []bar
	for _, s := range r.Steps {
		if s.Took < all/500 && !s.Failed {
			continue // too short to be seen; the JSON has it
		}
		y := 22 * len(out)
		out = append(out, bar{s, int(1000 * s.Began.Sub(from) / all), max(2, int(1000*s.Took/all)), y, y + 14})
	}
	return out
}

// Height of the time line.
func (b bar) Height() int { return b.Y + 22 }
