package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// operation is the name of release n's change set and the token of its
// execution. It derives from the number alone, so any machine finds it again.
func operation(n int) string { return fmt.Sprintf("release-%d", n) }

// evidenceOf is a rehearsal as the trail keeps it.
func evidenceOf(r *rehearsal.State) (trail.Evidence, error) {
	b, err := json.Marshal(r.Record)
	if err != nil {
		return trail.Evidence{}, fmt.Errorf("write down the rehearsal: %w", err)
	}
	return trail.Evidence{Baseline: r.Record.Baseline, Candidate: r.Record.Candidate, Passed: true, Image: r.Candidate.Image, Record: b}, nil
}

// clearProduction deletes a stack that never came into being and so holds
// nothing. One that ever completed is never deleted.
func clearProduction(ctx context.Context, run *pipeline.Run, s *State) error {
	st := s.told(run)
	now, err := st.Status(ctx)
	if errors.Is(err, stack.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.stands(ctx, now); err != nil {
		return err
	}
	if m := stack.MoveFor(now.Status, false, true); m != stack.Recreate {
		return human("the stack " + s.Environment.Stack() + " is " + now.Status)
	}
	run.Note("%s is %s: it never came into being, deleting it", st.Name, now.Status)
	if err := st.Delete(ctx, "clear-"+s.Run); err != nil {
		return err
	}
	s.Status = ""
	return nil
}

// change is the release as a change of production's stack.
func (s *State) change() stack.Change {
	d := s.Rehearsal.Candidate
	c := stack.Change{Name: operation(s.Number), Create: s.Live == nil, Body: d.Body, Parameters: maps.Clone(d.Parameters), Image: d.Image, Tags: d.Tags}
	c.Parameters = s.withCapacity(c.Parameters)
	if !c.Create {
		c.Minutes, c.Alarms = s.Rehearsal.Minutes, s.guards()
	}
	return c
}

// guards are the alarms that may take the change of production back. What mends
// production must not be taken back by the alarm that called for it.
func (s *State) guards() []string {
	if s.Back != 0 || s.Fix {
		return nil
	}
	return s.Live.Alarms(triggers(s.Live.Body))
}

// alarms refuses a change that an alarm would take back as soon as it begins.
func alarms(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Live == nil {
		return nil
	}
	firing, err := s.Account.Firing(ctx, s.Live.Alarms(triggers(s.Live.Body)))
	if err != nil || len(firing) == 0 {
		return err
	}
	if s.Back != 0 || s.Fix {
		run.Note("alarms that fire and so cannot watch over this: %s", strings.Join(firing, "; "))
		return nil
	}
	return &report.Failure{
		Code: report.Policy, ID: "E-REL-16", What: s.Environment.Stack() + " is in alarm: " + strings.Join(firing, "; "), State: "production is untouched",
		Next: []string{"./station.sh rollback  # if the last release is the cause", "./station.sh release -fix  # if this commit mends it: no alarm takes it back then"},
	}
}

// triggers of a template that may be somebody's own: one that cannot be read has none.
func triggers(body string) []string {
	list, err := template.Triggers([]byte(body))
	if err != nil {
		return nil
	}
	return list
}

// drifted says whether the group's capacity is not what the stack's parameters say.
func (s *State) drifted() bool {
	if s.Live.Group == nil {
		return false
	}
	was, ok := s.Live.Parameters["DesiredCapacity"]
	return ok && was != strconv.Itoa(s.Live.Group.Capacity.Desired)
}

// propose has CloudFormation say what would change.
func propose(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Status != "" && s.Live == nil && stack.MoveFor(s.Status, true, true) != stack.Create {
		return human("the stack " + s.Environment.Stack() + " is " + s.Status)
	}
	if err := s.claim(ctx, run); err != nil {
		return err
	}
	if s.Live == nil || !s.drifted() {
		return s.plan(ctx, run)
	}
	// A rollback restores the stack's parameters. They must be today's first.
	c := s.change()
	c.Name += "-capacity"
	c.Body, c.Tags, c.Image = s.Live.Body, own(s.Live.Tags), s.Live.Image()
	c.Parameters = s.withCapacity(s.Live.Parameters)
	p, err := s.Stack().Propose(ctx, c)
	if err != nil {
		return err
	}
	if p.Empty {
		return s.plan(ctx, run)
	}
	s.Capacity = p
	run.Note("the group's capacity is %v, the stack's parameters say otherwise: they are set to it first", s.Live.Group.Capacity)
	return nil
}

// claim finds the number: that of an intent that never began and is still the
// same change, or the next.
func (s *State) claim(ctx context.Context, run *pipeline.Run) error {
	if o := s.Open; o != nil {
		if o.Baseline.Digest == s.from() && o.Candidate.Digest == s.Rehearsal.Candidate.Digest {
			run.Note("release %d was meant and not begun: going on with it", o.Number)
			s.Number, s.Release = o.Number, *o
			return nil
		}
		if _, err := s.Trail.Outcome(ctx, *o, trail.Outcome{Result: trail.Abandoned, Reason: "something else is wanted now"}); err != nil {
			return err
		}
		run.Note("release %d was meant, never begun, and is not wanted any more", o.Number)
		s.Open = nil
	}
	var err error
	s.Number, err = s.Trail.NextNumber(ctx, s.Place)
	return err
}

func (s *State) from() string {
	if s.Rehearsal.Baseline == nil {
		return ""
	}
	return s.Rehearsal.Baseline.Digest
}

// plan makes the change set and compares it with the rehearsed one.
func (s *State) plan(ctx context.Context, run *pipeline.Run) error {
	p, err := s.Stack().Propose(ctx, s.change())
	if err != nil {
		return err
	}
	s.Proposal = p
	if p.Started {
		return nil
	}
	if p.Empty {
		return &report.Failure{Code: report.Policy, ID: "E-REL-05", What: "CloudFormation finds nothing to change, and yet production is not what is wanted", State: "nothing was changed", Next: []string{"./station.sh diff"}}
	}
	if lost := p.Shape.Refusals(s.Allow...); len(lost) > 0 {
		return errors.Join(rehearsal.Lossy("E-REL-17", lost), s.withdraw(ctx))
	}
	var bad []string
	if !s.change().Create {
		bad = append(bad, s.unrehearsed(run, p)...)
	} else if more := s.unrehearsedCreate(run, p); len(more) > 0 {
		bad = append(bad, more...)
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.Join(&report.Failure{
		Code: report.Policy, ID: "E-REL-05", What: "production's change is not the one that was rehearsed: " + strings.Join(bad, "; "), State: "production is untouched",
		Next: []string{"./station.sh diff", "./station.sh test  # rehearse again from what runs now"},
	}, s.withdraw(ctx))
}

func (s *State) record() (rehearsal.Record, error) {
	var r rehearsal.Record
	if s.Evidence == nil {
		return r, errors.New("there is no evidence")
	}
	if err := json.Unmarshal(s.Evidence.Record, &r); err != nil {
		return r, fmt.Errorf("read the evidence: %w", err)
	}
	return r, nil
}

// unrehearsed is where an update parts from the rehearsed one.
func (s *State) unrehearsed(run *pipeline.Run, p *stack.Proposal) []string {
	if s.Unrehearsed != "" {
		return nil
	}
	r, err := s.record()
	if err != nil {
		return []string{err.Error()}
	}
	shape := r.Changes
	if s.Evidence.Candidate != s.Rehearsal.Candidate.Digest {
		shape = r.Back // the way back of a change that was rehearsed
	}
	if diff := stack.Compare(shape, s.rehearsable(run, p.Shape)); len(diff) > 0 {
		return diff
	}
	run.Note("actions, replacements and scopes are those that were rehearsed")
	return nil
}

// unrehearsedCreate is where a creation parts from the rehearsed one. If there
// was an update rehearsed (from what ran last, by the trail) there is nothing
// to compare with.
func (s *State) unrehearsedCreate(run *pipeline.Run, p *stack.Proposal) []string {
	if s.Unrehearsed != "" {
		return nil
	}
	r, err := s.record()
	if err != nil {
		return []string{err.Error()}
	}
	if r.Kind != rehearsal.KindCreate {
		return nil
	}
	return stack.Compare(r.Changes, s.rehearsable(run, p.Shape))
}

// rehearsable is a shape without the subscriptions that a test stack, which tells
// nobody, is without by the template's conditions.
func (s *State) rehearsable(run *pipeline.Run, in stack.Shape) stack.Shape {
	out := maps.Clone(in)
	for _, d := range []*rehearsal.Deployment{s.Rehearsal.Baseline, s.Rehearsal.Candidate} {
		if d == nil {
			continue
		}
		for id := range template.Without(d.Body, s.forTest(d.Parameters, s.Rehearsal.Prefix)) {
			if c, ok := out[id]; ok && c.Type == template.TypeSubscription {
				run.Note("not rehearsed, since tests tell nobody: %s %s", c.Action, id)
				delete(out, id)
			}
		}
	}
	return out
}

// withdraw removes proposals that will not be executed. A stack that consists
// of nothing but a proposal goes with it.
func (s *State) withdraw(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, p := range []*stack.Proposal{s.Capacity, s.Proposal} {
		if p != nil && !p.Started {
			errs = append(errs, s.Stack().Withdraw(ctx, p))
		}
	}
	if s.Live == nil {
		if now, err := s.Stack().Status(ctx); err == nil && now.Status == "REVIEW_IN_PROGRESS" {
			errs = append(errs, s.Stack().Delete(ctx, "withdraw-"+s.Run))
		}
	}
	return errors.Join(errs...)
}

// approve shows the plan, and asks where somebody has to say yes.
func approve(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Live != nil && s.Live.Image() != s.Rehearsal.Candidate.Image {
		lines, err := image.Diff(ctx, s.imageOptions(), s.Live.Image(), s.Rehearsal.Candidate.Image)
		if err != nil {
			lines = []string{"what changes on the machines is not known: " + err.Error()}
		}
		s.Contents = lines
	}
	for _, l := range s.Plan() {
		run.Note("%s", l)
	}
	name := s.Environment.Stack()
	decline := func(why string) error {
		return errors.Join(&report.Failure{
			Code: report.Declined, ID: "E-REL-08", What: "not approved: " + why, State: "production is untouched",
			Next: []string{"the same command with -yes -expect=" + s.PlanID() + "  # approves this very plan, for CI"},
		}, s.withdraw(ctx))
	}
	if err := s.expected(); err != nil {
		return errors.Join(err, s.withdraw(ctx))
	}
	switch {
	case !s.Target.Ask:
		run.Note("target %s: nothing is asked", s.Target.Name)
		return nil
	case s.Proposal != nil && s.Proposal.Started:
		return nil
	case s.Yes && s.Expect != "":
		run.Note("approved beforehand: plan %s", s.Expect)
		return nil
	case s.Yes:
		return decline("-yes needs -expect=PLAN: who says yes beforehand says to what")
	case s.Ask == nil:
		return decline("nobody is there to ask")
	}
	answer, err := s.Ask(ctx, fmt.Sprintf("Type %s to change it: ", name))
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != name {
		return decline("the name of the stack was not typed")
	}
	return nil
}

// PlanID names what a release would do: from what runs to the candidate, in this
// account, region and stack. It is the same on every machine, and another as soon
// as one of them is; "" as long as the image is not baked.
func (s *State) PlanID() string {
	if s.Rehearsal.Candidate == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{s.Target.Account, s.Target.Region, s.Environment.Stack(), s.from(), s.Rehearsal.Candidate.Digest}, "\n")))
	return hex.EncodeToString(sum[:6])
}

// expected refuses another plan than the one that was asked for.
func (s *State) expected() error {
	if id := s.PlanID(); s.Expect != "" && id != "" && !slices.Contains(strings.Split(s.Expect, ","), id) {
		return &report.Failure{
			Code: report.Declined, ID: "E-REL-08", What: fmt.Sprintf("this is plan %s, not %s: what runs, the commit or the image is another", id, s.Expect), State: "production is untouched",
			Next: []string{"./station.sh diff  # tells what this plan changes"},
		}
	}
	return nil
}

// Plan is what is about to happen, for people.
func (s *State) Plan() []string {
	d := s.Rehearsal.Candidate
	from := "nothing"
	if s.Rehearsal.Baseline != nil && s.Live != nil {
		from = s.Rehearsal.Baseline.Image
	}
	out := []string{
		fmt.Sprintf("release %d of %s in account %s, %s: %s -> %s, plan %s", s.Number, s.Environment.Stack(), s.Target.Account, s.Target.Region, from, d.Image, s.PlanID()),
	}
	for _, l := range few(s.Contents, "./station.sh image:diff") {
		out = append(out, "image "+l)
	}
	if s.Live != nil {
		out = append(out, few(s.changes(), "./station.sh diff")...)
		if s.Drift != nil {
			for _, l := range few(s.Drift.Lines(), "./station.sh diff") {
				out = append(out, "drift: "+l)
			}
		}
	}
	if s.Capacity != nil {
		out = append(out, "first the capacity parameters: "+strings.Join(s.Capacity.Shape.Lines(), "; "))
	}
	if s.Proposal != nil {
		lines := s.Proposal.Shape.Lines()
		if s.Live == nil {
			lines = []string{fmt.Sprintf("creates %d resources", len(lines))}
		}
		out = append(out, lines...)
	}
	return append(out, s.prospects()...)
}

// intent claims the number and writes down what is about to be done.
func intent(ctx context.Context, run *pipeline.Run, s *State) error {
	s.phase(ctx, run, "before") // what comes is measured from well before it
	r := s.Release
	if r.Number == 0 {
		r = trail.Release{
			Number: s.Number, Place: s.Place, Account: s.Target.Account, Operation: s.kind(), Stack: s.Environment.Stack(), Run: s.Run,
			Baseline: deployment(s.Rehearsal.Baseline), Candidate: deployment(s.Rehearsal.Candidate),
		}
		if s.Evidence != nil {
			r.Evidence = s.Evidence.Commit
		}
		r.Details = map[string]string{}
		if s.Live != nil {
			r.StackID = s.Live.ID
			r.Details["desired"] = fmt.Sprint(s.desired())
		}
		if s.Unrehearsed != "" {
			r.Details["unrehearsed"] = s.Unrehearsed
		}
		if s.Drift != nil && len(s.Drift.Resources) > 0 {
			r.Details["drift"] = strings.Join(s.Drift.Lines(), "; ")
		}
		if len(s.Allow) > 0 {
			r.Details["allowed"] = strings.Join(s.Allow, ", ")
		}
	}
	if s.Proposal != nil && s.Proposal.ID != "" {
		r.ChangeSet, r.StackID = s.Proposal.ID, s.Proposal.StackID
	}
	if r.Intended.IsZero() {
		var err error
		if s.Release, err = s.Trail.Intent(ctx, r, s.moved); err != nil {
			return errors.Join(err, s.withdraw(ctx))
		}
		run.Fact("intent", fmt.Sprintf("release %d", s.Release.Number))
		return nil
	}
	s.Release = r
	return s.Trail.Amend(ctx, r)
}

func (s *State) kind() string {
	switch {
	case s.Recover:
		return trail.Recovery
	case s.Back != 0:
		return "rollback"
	case s.Live == nil:
		return "create"
	}
	return "update"
}

func (s *State) desired() int {
	if s.Live == nil || s.Live.Group == nil {
		return 0
	}
	return s.Live.Group.Capacity.Desired
}

func deployment(d *rehearsal.Deployment) trail.Deployment {
	if d == nil {
		return trail.Deployment{}
	}
	return trail.Deployment{Digest: d.Digest, Image: d.Image, Template: d.Body, Parameters: d.Parameters, Tags: d.Tags}
}

// moved says whether the intent still holds after others wrote into the trail:
// only if nothing that decides what is deployed was touched.
func (s *State) moved(ctx context.Context, from, to string) error {
	if from == "" {
		return nil
	}
	changed, err := s.Trail.Changed(ctx, from, to, s.Place.Template(), s.Place.Record(), "chain.yaml", "packer", "puppet", "serverspec")
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return fmt.Errorf("the trail moved and changed %s", some(changed))
	}
	return nil
}
