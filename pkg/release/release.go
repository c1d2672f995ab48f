// Package release changes production, and tells what it is and was.
//
// Read Steps from top to bottom: look, guard, lock, bake while a test stack
// comes up, rehearse, plan, ask, write down the intent, change, check, write
// down the outcome. Each step first looks whether its effect is already there;
// AWS and the trail are the only memory. So whoever is stopped anywhere runs
// the same command again, on any machine.
package release

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/build-deploy-chain/chain/pkg/beside"
	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// A Chain is one environment with all that is needed to act on it. Open makes one.
type Chain struct {
	Config      *config.Config
	Environment *config.Environment
	Target      *config.Target
	Place       trail.Place
	Clone       *trail.Clone
	Trail       *trail.Trail
	Compute     *compute.Client
	Databases   *database.Client
	Account     *stack.Account
	Beside      *beside.Keeper // of alarms that have to be in another region
	Checks      rehearsal.Checks
	DNS         *route53.Client     // Route 53 knows no regions
	Copies      []image.Destination // the environment's other regions
	Gate        stack.Gate
	Clock       clock.Clock
	// Extend changes templates before they are rendered, as a site's own Magefile
	// wants it. It is used to prove that what is committed is what is configured.
	Extend []template.Extend
	// Ask shows a question and reads the answer of a person. nil: nobody is there.
	Ask func(ctx context.Context, question string) (string, error)
	// Run is this run's id.
	Run string
	// Home is the region where images are baked; "" is the environment's first.
	Home string
	// Interrupted says whether somebody stopped the run.
	Interrupted func() bool
}

// State is a release under way.
type State struct {
	*Chain
	Rehearsal rehearsal.State // its Baseline and Candidate are ours, too
	Bake      image.State
	TestOnly  bool // stop after the rehearsal
	Back      int  // roll back to this release; -1: to the one before; 0: no rollback
	Again     bool // rehearse even if this change was rehearsed already
	FireDrill bool // make the alarms fire, though no fire drill is due
	// Yes approves beforehand the plan that Expect names, as PlanID tells it. With
	// Expect alone another plan is refused, and this one asked about as ever.
	// Of several regions it names each one's, with commas between.
	Yes    bool
	Expect string
	// Plans are those of the regions before this one, which the summary tells with its own.
	Plans []string
	// Fix is a release that mends production: alarms that fire do not refuse it,
	// and none takes it back.
	Fix bool
	// AcceptDrift goes on though production is not as its template says.
	AcceptDrift bool
	// Recover is a release that brings production up where it was lost: it only
	// creates, and nothing of it is rehearsed.
	Recover bool
	// Snapshot is what a recovery restores the database from.
	Snapshot string

	// Allow are logical ids of production's resources whose loss or exchange is wanted,
	// though they hold data or addresses.
	Allow []string

	Live     *stack.State // production as it is; nil: there is none
	Status   string       // of its stack
	Drift    *stack.Drift // of production; nil: nobody looked
	Open     *trail.Release
	Key      string // of HEAD's recipe
	Image    string // its image, "" until it is baked
	Nothing  string // why there is nothing to do, or ""
	Evidence *trail.Evidence
	// Unrehearsed is why a change needs no evidence, Expired why what is there does
	// not count; or "".
	Unrehearsed, Expired string
	Contents             []string // what changes on the machines, image against image
	Number               int
	Release              trail.Release
	Proposal             *stack.Proposal
	Capacity             *stack.Proposal // a change set for capacity only, which goes first
	Outcome              *stack.Outcome
	Seconds              map[string]time.Duration // of phases, for the summary
	Available            []rehearsal.Availability
	Resumed              bool
	Watched              *stack.Watch   // what watches production after the release
	Finished             *trail.Release // an interrupted release that this run brought to its end

	backFrom int // the release whose deployment, or whose baseline, is gone back to

	boxed []string // machines of which a record was taken before they were ended

	lock  *trail.Lock
	since time.Time // when production was first meant to be there
	shown time.Time // when the lock last told our step
	seen  seen
	probe rehearsal.Probe
	path  pipeline.Path
	mu    sync.Mutex
}

// Steps is a release.
func Steps() []pipeline.Step[State] {
	return join(
		[]pipeline.Step[State]{
			step{"check account, branch and working tree", whenever, guard},
			step{"look at what runs and what would", whenever, look},
			step{"check who releases, and when", newRelease, allowed},
			step{"look at the alarms", newRelease, alarms},
			step{"take the lock", somethingToDo, lock},
			step{"finish what was interrupted", interrupted, resume},
			step{"wait for what is under way", busy, await},
			step{"look again, now that nobody else is at it", somethingToDo, lookAgain},
			step{"check the quotas", somethingToDo, quota}, // what was under way takes room until it has ended
			step{"look for data that would be lost", somethingToDo, guardData},
			step{"see to the database's password", noDatabase, password},
			pipeline.Together("bake the image while a test stack comes up",
				bake(),
				rehearse(rehearsal.Up()),
				[]pipeline.Step[State]{step{"look for drift of production", liveOnly, drift}},
			),
			step{"write the image into the template", isBack, writeImage},
			step{"look for evidence", somethingToDo, evidence},
			step{"check where the image comes from", somethingToDo, vouch},
		},
		rehearse(rehearsal.Rehearse()),
		[]pipeline.Step[State]{
			step{"keep the evidence", rehearsed, keep},
			step{"make way for the new stack", needsRoom, clearProduction},
			step{"propose the change of production", toRelease, propose},
			step{"approve the plan", toRelease, approve},
			step{"check once more where the image comes from", toRelease, vouch},
			step{"check once more who releases, and when", notBegun, allowed},
			step{"write down the intent", toRelease, intent},
			step{"set the capacity to today's first", capacityDrifted, setCapacity},
			step{"protect the image from being deregistered", toRelease, protect},
			step{"change production", toRelease, execute},
			step{"follow it", toRelease, follow},
			step{"check production", toRelease, check},
			step{"write down the outcome", toRelease, outcome},
		},
	)
}

// Recovery is a release of what was lost: nothing runs that a change could be
// rehearsed on, or an alarm could watch over.
func Recovery() []pipeline.Step[State] {
	return join(
		[]pipeline.Step[State]{
			step{"look at what runs and what would", whenever, look},
			step{"take the lock", somethingToDo, lock},
			step{"finish what was interrupted", interrupted, resume},
			step{"wait for what is under way", busy, await},
			step{"look again, now that nobody else is at it", somethingToDo, lookAgain},
		},
		bake(),
		[]pipeline.Step[State]{
			step{"decide with the image", somethingToDo, evidence},
			step{"check where the image comes from", somethingToDo, vouch},
			step{"make way for the new stack", needsRoom, clearProduction},
			step{"propose production", toRelease, propose},
			step{"approve the plan", toRelease, approve},
			step{"write down the intent", toRelease, intent},
			step{"protect the image from being deregistered", toRelease, protect},
			step{"create production", toRelease, execute},
			step{"follow it", toRelease, follow},
			step{"check production", toRelease, check},
			step{"write down the outcome", toRelease, outcome},
		},
	)
}

func join(lists ...[]pipeline.Step[State]) []pipeline.Step[State] {
	var out []pipeline.Step[State]
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// step is one act with its reason to be left out.
type step struct {
	name string
	skip func(*State) string
	run  func(context.Context, *pipeline.Run, *State) error
}

func (s step) String() string        { return s.name }
func (s step) Skip(st *State) string { return s.skip(st) }

func (s step) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	began := run.Clock().Now()
	if err := st.showStep(ctx, s.name, began); err != nil {
		return explain(ctx, s.name, st, err)
	}
	err := s.run(ctx, run, st)
	st.spent(s.name, run.Clock().Now().Sub(began))
	return explain(ctx, s.name, st, err)
}

// showStep tells whoever waits for the lock where we are, now and then, and
// always before something that cannot be taken back: that the lock was broken
// must stop us there.
func (s *State) showStep(ctx context.Context, name string, now time.Time) error {
	final := name == "write down the intent" || name == "change production" || name == "create production"
	if s.lock == nil {
		return nil
	}
	s.mu.Lock() // of branches that run beside each other one tells
	lately := now.Sub(s.shown) < 5*time.Second
	if !lately || final {
		s.shown = now
	}
	s.mu.Unlock()
	if lately && !final {
		return nil
	}
	return s.lock.Step(ctx, name)
}

// rehearse are a rehearsal's steps as steps of ours.
func rehearse(steps []pipeline.Step[rehearsal.State]) []pipeline.Step[State] {
	var out []pipeline.Step[State]
	for _, s := range steps {
		out = append(out, rehearsing{s})
	}
	return out
}

type rehearsing struct{ pipeline.Step[rehearsal.State] }

func (r rehearsing) Skip(st *State) string {
	if reason := somethingToDo(st); reason != "" {
		return reason
	}
	if k, ok := r.Step.(pipeline.Skipper[rehearsal.State]); ok {
		return k.Skip(&st.Rehearsal)
	}
	return ""
}

func (r rehearsing) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	if err := st.showStep(ctx, r.String(), run.Clock().Now()); err != nil {
		return explain(ctx, r.String(), st, err)
	}
	return r.Step.Run(ctx, run, &st.Rehearsal)
}

// bake are a bake's steps as steps of ours. What is there already is used, and
// the template is made to name it.
func bake() []pipeline.Step[State] {
	var out []pipeline.Step[State]
	for i := range image.Steps(image.Options{}) {
		out = append(out, baking{i})
	}
	return out
}

type baking struct{ index int }

func (b baking) of(st *State) pipeline.Step[image.State] {
	if st == nil {
		return image.Steps(image.Options{})[b.index]
	}
	return image.Steps(st.imageOptions())[b.index]
}

func (b baking) String() string { return b.of(nil).String() }

func (b baking) Skip(st *State) string {
	switch {
	case st.Nothing != "":
		return st.Nothing
	case st.Back != 0:
		return "an image that was released before is used"
	}
	if k, ok := b.of(st).(pipeline.Skipper[image.State]); ok {
		return k.Skip(&st.Bake)
	}
	return ""
}

func (b baking) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	began := run.Clock().Now()
	err := b.of(st).Run(ctx, run, &st.Bake)
	st.spent("bake", run.Clock().Now().Sub(began))
	return err
}

func whenever(*State) string        { return "" }
func somethingToDo(s *State) string { return s.Nothing }

func busy(s *State) string {
	switch {
	case s.Nothing != "":
		return s.Nothing
	case s.Live != nil || s.Status == "":
		return "nothing is"
	}
	return ""
}

func interrupted(s *State) string {
	if s.Open == nil {
		return "nothing was"
	}
	return ""
}

func isBack(s *State) string {
	switch {
	case s.Nothing != "":
		return s.Nothing
	case s.Back == 0:
		return "the bake has done it"
	}
	return ""
}

func rehearsed(s *State) string {
	if s.Nothing != "" {
		return s.Nothing
	}
	return s.Rehearsal.Skip
}

func toRelease(s *State) string {
	switch {
	case s.Nothing != "":
		return s.Nothing
	case s.TestOnly:
		return "only the test was asked for"
	}
	return ""
}

// newRelease leaves out what would keep an interrupted release from its end.
func newRelease(s *State) string {
	if s.Open != nil {
		return fmt.Sprintf("release %d has begun", s.Open.Number)
	}
	return toRelease(s)
}

func notBegun(s *State) string {
	if s.Proposal != nil && s.Proposal.Started {
		return "production is being changed already"
	}
	return toRelease(s)
}

func needsRoom(s *State) string {
	if r := toRelease(s); r != "" {
		return r
	}
	if m := stack.MoveFor(s.Status, s.Live != nil, true); m != stack.Recreate {
		return "no half-made stack is in the way"
	}
	return ""
}

func capacityDrifted(s *State) string {
	if r := toRelease(s); r != "" {
		return r
	}
	if s.Capacity == nil {
		return "it is as the stack's parameters say"
	}
	return ""
}
