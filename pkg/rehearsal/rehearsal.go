// Package rehearsal tests a change before production sees it: on a stack made
// like production is now, it makes the very same update, checks it, takes it
// back in all ways there are, and proves that all is as it was before.
//
// Read Steps from top to bottom. What comes of it is a Record, which the trail
// keeps as evidence for exactly this baseline and this candidate.
//
// A rehearsal that was killed is found again by its stack's name and tags. What
// it left under way is led to its end, the stack is used again if it is like
// the baseline and made anew if not, and the measured part starts over: a
// measurement with a hole in it would prove nothing.
package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/drill"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// A Deployment is one side of a change: what a stack runs, or is to run.
type Deployment struct {
	Body       string
	Parameters map[string]string // without ImageId
	Image      string
	Key        string // what /version answers on that image
	Tags       map[string]string
	Digest     string
}

// Checks looks at a stack from outside, as its users do.
type Checks interface {
	// Check checks everything there is to check; keys are what /version may
	// answer. The error is about checking, not about what was found.
	Check(ctx context.Context, s *stack.State, keys ...string) ([]Check, error)
	// Probe starts to ask for the page all the time, until it is stopped.
	Probe(ctx context.Context, s *stack.State, keys ...string) Probe
}

// A Check is one thing that was looked at.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"` // what was found, if it is not OK

	Took  time.Duration `json:"-"`
	Title string        `json:"-"` // Name without what is another one in each stack
}

// TellChecks tells each check as a test; of is what was looked at.
func TellChecks(run *pipeline.Run, of string, list []Check) {
	for _, c := range list {
		bad := c.Text
		if !c.OK && bad == "" {
			bad = "it is not OK"
		}
		run.Test(of+": "+cmp.Or(c.Title, c.Name), bad, c.Took)
	}
}

// A Probe measures every request.
type Probe interface {
	// Phase ends the phase so far and names the next.
	Phase(name string)
	// Bad is the newest reason why users are not served, or nil.
	Bad() error
	// Stop ends it and tells the phases. It may be called again.
	Stop() []Availability
}

// Availability of the page in one phase.
type Availability struct {
	Phase    string        `json:"phase"`
	Requests int           `json:"requests"`
	Failed   int           `json:"failed"`
	Gap      time.Duration `json:"gap_ns"` // longest time without a good answer
	P50      time.Duration `json:"p50_ns"`
	P95      time.Duration `json:"p95_ns"`
	P99      time.Duration `json:"p99_ns"`
	Reason   string        `json:"reason,omitempty"` // of the first failure
}

// String is the measurement in a few words.
func (a Availability) String() string {
	s := fmt.Sprintf("%d of %d requests failed", a.Failed, a.Requests)
	if a.Reason != "" {
		s += " (" + a.Reason + ")"
	}
	return s
}

// Figures are the whole measurement in one line.
func (a Availability) Figures() string {
	return fmt.Sprintf("%s, p50 %s, p95 %s, p99 %s, longest gap %s", a, brief(a.P50), brief(a.P95), brief(a.P99), brief(a.Gap))
}

func brief(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// State is a rehearsal. The caller fills in the first part.
type State struct {
	Account *stack.Account
	Checks  Checks
	Prefix  string // of the stack's name, "web-test-"
	// Own are parameter values with those replaced that differ between environments
	// by declaration: what a test stack of that name sends.
	Own func(values map[string]string, stack string) map[string]string
	// Differing are the names of those parameters.
	Differing []string
	// Without are the logical ids that a template's conditions leave out under
	// parameter values.
	Without func(body string, values map[string]string) map[string]bool
	Tags    map[string]string // the test's values of the tags that do
	Gate    stack.Gate
	Minutes int           // of the monitoring window
	Run     string        // id of this run; goes into names and tokens
	Skip    string        // why nothing is to be rehearsed, or ""
	Cancel  bool          // rehearse the way back from the monitoring window, too
	Within  time.Duration // how long each way back may take; 0: however long it does
	// Allow are logical ids of resources with data that may be replaced or removed.
	Allow []string
	Data  Data
	// Interrupted says whether somebody stopped the run, who will go on later: then
	// the test stack stays. nil: nobody does.
	Interrupted func() bool
	// Triggers are the logical ids of the alarms that a template marks as rollback triggers.
	Triggers func(body string) []string

	// Drill makes every alarm of the test stack, which runs the candidate then, fire
	// and clear. NoDrill is why none is due, or "".
	Drill   func(ctx context.Context, run *pipeline.Run, s *stack.State) (*drill.Result, error)
	NoDrill func() string

	// Beside makes the small stacks that go with the test stack in other regions what its
	// template says; op is a name for that. Apart removes them. nil: there are none.
	Beside func(ctx context.Context, run *pipeline.Run, s *stack.State, op string) error
	Apart  func(ctx context.Context, stack, token string) error

	// Living is production as it is; nil: it is gone.
	Living    *stack.State
	Baseline  *Deployment // nil: there is none, the first release
	Candidate *Deployment // may be filled in while the test stack comes up

	Stack  *stack.Stack
	Before *stack.State // as recorded before the update
	Record Record

	changed []string // logical ids of what the update really changed
	rolled  bool     // whether it exchanged machines
	same    bool     // whether the candidate changes nothing of a test stack
	probe   Probe
}

// Record is what a rehearsal has shown. It is kept as evidence; there is no
// commit in it, since it is about what runs and not about where it came from.
type Record struct {
	Kind         string               `json:"kind"` // "update" or "create"
	Stack        string               `json:"stack"`
	Baseline     string               `json:"baseline"`
	Candidate    string               `json:"candidate"`
	Images       [2]string            `json:"images"` // from, to
	Keys         [2]string            `json:"keys"`
	Parts        [2]map[string]string `json:"parts"`   // fingerprints of what was rehearsed, part by part: from, to
	Changes      stack.Shape          `json:"changes"` // of the update
	Back         stack.Shape          `json:"back"`    // of the way back
	Apart        []string             `json:"apart"`   // what the test stack had of its own
	Seconds      map[string]float64   `json:"seconds"` // by phase, by CloudFormation's clock
	Ways         []Way                `json:"ways"`    // back
	Availability []Availability       `json:"availability"`
	Checks       map[string][]Check   `json:"checks"`   // by phase
	Rollback     string               `json:"rollback"` // how the failing update ended, and why
	Cancel       string               `json:"cancel"`   // how the cancelled one did
	MayDiffer    map[string]string    `json:"mayDiffer"`
	// Living is production as it was then; nil: it was not there.
	Living *Living `json:"living,omitempty"`
	// Drill is the newest fire drill, of this rehearsal or of an earlier one.
	Drill *drill.Result `json:"drill,omitempty"`
	Began time.Time     `json:"began"`
	Ended time.Time     `json:"ended"`
}

// Living is what of production decides whether the rehearsed change may be made,
// and belongs to no digest since it changes by itself.
type Living struct {
	Status   string            `json:"status"`
	Capacity stack.Capacity    `json:"capacity"`
	Machines map[string]string `json:"machines"`         // their images, by id
	Firing   []string          `json:"firing,omitempty"` // alarms, with their reason
	Drift    *stack.Drift      `json:"drift,omitempty"`
}

// Kinds of rehearsals.
const (
	KindUpdate = "update"
	KindCreate = "create"
)

// Up are the steps that need the baseline only: they run while the image bakes.
func Up() []pipeline.Step[State] {
	return []pipeline.Step[State]{
		step{"clear what an interrupted rehearsal left", needsBaseline, clear},
		step{"copy production's database", needsData, takeSnapshot},
		step{"bring up a test stack like production", needsBaseline, bringUp},
		step{"check the test stack as it is", needsBaseline, checkBaseline},
		step{"compare the test stack with production", needsLiving, similar},
	}
}

// Rehearse are the steps that need the candidate, after those of Up.
func Rehearse() []pipeline.Step[State] {
	return []pipeline.Step[State]{
		step{"clear what an interrupted rehearsal left", isFirst, clear},
		step{"bring up a test stack with the candidate", isFirst, create},
		step{"check the new environment", isFirst, checkCandidate("create")},
		step{"deploy it again: nothing may change", isFirst, deployAgain},

		step{"record the test stack's state", needsBaseline, record},
		step{"update the test stack to the candidate", needsBaseline, update},
		step{"check the candidate", needsBaseline, checkCandidate("update")},
		step{"take the test stack back after success", needsBaseline, goBack},
		step{"compare with the recorded state", needsBaseline, compare("go back")},
		step{"make the same update fail and let CloudFormation roll it back", needsRoll, fail},
		step{"compare with the recorded state again", needsRoll, compare("rollback")},
		step{"cancel the same update in its monitoring window", needsWindow, cancel},
		step{"compare with the recorded state once more", needsWindow, compare("cancel")},
		step{"check that the test stack is as before", needsBaseline, checkAgain},

		step{"bring the candidate's alarms up for a fire drill", needsDrill(needsBaseline), again},
		step{"fire drill: make every alarm fire and clear", needsDrill(always), fireDrill},

		step{"delete the test stack and prove that nothing is left", always, remove},
		step{"judge the measurements", always, judge},
	}
}

// Build are the steps that bring up and check the candidate alone, as a drill
// does; Remove follows them. The state has no Baseline then.
func Build() []pipeline.Step[State] {
	return []pipeline.Step[State]{
		step{"clear what an interrupted run left", isFirst, clear},
		step{"bring up a stack of its own", isFirst, create},
		step{"check the new environment", isFirst, checkCandidate("create")},
	}
}

// Remove deletes the stack, and proves that nothing of it is left.
func Remove() pipeline.Step[State] {
	return step{"delete the stack and prove that nothing is left", always, remove}
}

// Steps is a whole rehearsal.
func Steps() []pipeline.Step[State] { return append(Up(), Rehearse()...) }

// step is one act with its reason to be left out. Whatever goes wrong in it is a
// failed rehearsal, unless it is about the one who rehearses.
type step struct {
	name string
	skip func(*State) string
	run  func(context.Context, *pipeline.Run, *State) error
}

func (s step) String() string { return s.name }

func (s step) Skip(st *State) string {
	if st.Skip != "" {
		return st.Skip
	}
	return s.skip(st)
}

func (s step) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	if st.Stack != nil {
		Hear(run, st.Stack)
	}
	began := run.Clock().Now()
	err := s.run(ctx, run, st)
	took := run.Clock().Now().Sub(began)
	if err == nil {
		run.Test(s.name, "", took)
		return nil
	}
	if ctx.Err() == nil { // a run that is stopped has not failed
		run.Test(s.name, err.Error(), took)
	}
	return explain(ctx, s.name, st, err)
}

func always(*State) string { return "" }

func needsBaseline(s *State) string {
	if s.Baseline == nil {
		return "there is no production yet"
	}
	return ""
}

// needsRoll is for what takes machines that can fail.
func needsRoll(s *State) string {
	switch {
	case s.Baseline == nil:
		return needsBaseline(s)
	case !s.rolled:
		return "no machine is exchanged, so none can fail"
	}
	return ""
}

func needsWindow(s *State) string {
	switch {
	case s.Baseline == nil:
		return needsBaseline(s)
	case s.Minutes == 0:
		return "there is no monitoring window"
	case !s.Cancel:
		return "chain.yaml does not ask for it"
	case s.same:
		return "nothing of the test stack changes"
	}
	return ""
}

// needsDrill leaves a step out where no fire drill is due.
func needsDrill(skip func(*State) string) func(*State) string {
	return func(s *State) string {
		if reason := skip(s); reason != "" {
			return reason
		}
		switch {
		case s.Drill == nil:
			return "nobody asked for one"
		case s.NoDrill != nil:
			return s.NoDrill()
		}
		return ""
	}
}

func isFirst(s *State) string {
	if s.Baseline != nil {
		return "the change of what runs is rehearsed"
	}
	return ""
}

// explain makes the failure that a person reads, exit code 6.
func explain(ctx context.Context, name string, s *State, err error) error {
	var f *report.Failure
	if errors.As(err, &f) || ctx.Err() != nil {
		return err
	}
	where := name
	if s.Stack != nil {
		where += ", stack " + s.Stack.Name
	}
	code, id := report.RehearsalFail, "E-REH-06"
	switch {
	case errors.Is(err, stack.ErrPatience):
		code, id = report.Timeout, "E-REH-09"
	case stack.Denied(err):
		code, id = report.Guard, "E-REH-03"
	}
	return &report.Failure{
		Code: code, ID: id, What: "rehearsal failed", Where: where, State: "production is untouched; the test stack is deleted",
		Next: []string{"repair the cause, commit, then the same command again"}, Err: err,
	}
}

// Hear has a run told what happens to a stack.
func Hear(run *pipeline.Run, s *stack.Stack) {
	s.Tell = func(e stack.Event) { Tell(run, e) }
	s.Boxed = func(b stack.Box) { tellBox(run, b) }
}

// tellBox keeps what is known of a machine that failed in the run's log.
func tellBox(run *pipeline.Run, b stack.Box) {
	out := run.Output(b.Instance)
	lines := append([]string{b.Verdict}, b.Targets...)
	if b.Problem != "" {
		lines = append(lines, b.Problem)
	}
	// Writing to a run's log does not fail.
	_, _ = fmt.Fprintf(out, "%s\n%s\n", strings.Join(lines, "\n"), b.Console)
	_ = out.Close()
	run.Note("%s: how its target fared and what it wrote to its console is in the log", b.Instance)
}

// Tell hands on the events of a stack that are news: what began is left out,
// since what ends or fails is told.
func Tell(run *pipeline.Run, e stack.Event) {
	began := strings.HasSuffix(e.Status, "_IN_PROGRESS")
	if began && !e.Own() && (e.Reason == "" || e.Reason == "Resource creation Initiated" || strings.HasPrefix(e.Reason, "Eventual consistency")) {
		return
	}
	run.Note("%s", e)
}
