package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// name is the test stack's. Whoever rehearses holds the lock, so whatever has
// that name is either dead or somebody else's, and then the next number is ours.
func name(ctx context.Context, s *State) error {
	if s.Stack != nil {
		return nil
	}
	list, err := s.Account.List(ctx, s.Prefix)
	if err != nil {
		return err
	}
	foreign := map[string]bool{}
	for _, o := range list {
		for k, v := range s.Tags {
			if o.Tags[k] != v {
				foreign[o.Name] = true
			}
		}
	}
	for n := 1; ; n++ {
		if name := fmt.Sprint(s.Prefix, n); !foreign[name] {
			s.Stack = s.Account.Stack(name)
			return nil
		}
	}
}

// clear leads to its end what a killed rehearsal left under way, and deletes
// its stack unless it is just like the baseline.
func clear(ctx context.Context, run *pipeline.Run, s *State) error {
	if err := name(ctx, s); err != nil {
		return err
	}
	Hear(run, s.Stack)
	undo(run, s)
	for range 3 {
		now, err := s.Stack.Status(ctx)
		if errors.Is(err, stack.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := stack.MoveFor(now.Status, true, false); m {
		case stack.Attach, stack.Continue, stack.Rollback:
			if now.Status == "DELETE_IN_PROGRESS" {
				return s.erase(ctx)
			}
			token, _, err := s.Stack.Running(ctx)
			if err != nil {
				return err
			}
			run.Note("%s is %s: following %s", s.Stack.Name, now.Status, token)
			if _, err := s.Stack.Follow(ctx, stack.Operation{Token: token, StackID: now.ID, Gate: s.Gate}); err != nil {
				return err
			}
			continue
		case stack.Update:
			if s.Baseline == nil {
				break
			}
			is, err := s.Stack.Read(ctx)
			if err != nil {
				return err
			}
			if err := s.adopt(ctx, is.Parameters); err != nil {
				return err
			}
			want := s.change("", s.Baseline, true)
			if len(unlike(is, want)) == 0 {
				s.Before = is
				run.Note("%s is like production already: using it again", s.Stack.Name)
				return nil
			}
		}
		run.Note("deleting %s (%s) of an interrupted rehearsal", s.Stack.Name, now.Status)
		return s.erase(ctx)
	}
	return fmt.Errorf("%s does not come to rest", s.Stack.Name)
}

// undo deletes the test stack when the rehearsal fails. When it is interrupted
// instead, the stack stays, and the next run goes on with it.
func undo(run *pipeline.Run, s *State) {
	run.Undo("test stack "+s.Stack.Name, func(ctx context.Context) error {
		s.stop()
		if s.Interrupted != nil && s.Interrupted() {
			return nil
		}
		return s.erase(ctx)
	})
}

// Drop deletes a test stack that turned out not to be needed.
func (s *State) Drop(ctx context.Context) error {
	if s.Stack == nil {
		return nil
	}
	return s.erase(ctx)
}

func (s *State) stop() {
	if s.probe != nil {
		s.Record.Availability = s.probe.Stop()
	}
}

func (s *State) token(op string) string { return "rehearse-" + s.Run + "-" + op }

// change is a deployment as a change of the test stack. explicit says that the
// image is sent as a value; else the template's default must apply, as it will
// in production.
func (s *State) change(op string, d *Deployment, explicit bool) stack.Change {
	c := stack.Change{Name: s.token(op), Body: d.Body, Parameters: maps.Clone(d.Parameters), Image: d.Image, Tags: maps.Clone(d.Tags)}
	if c.Tags == nil {
		c.Tags = map[string]string{}
	}
	if s.Own != nil {
		c.Parameters = s.Own(c.Parameters, s.Stack.Name)
	}
	maps.Copy(c.Tags, s.Tags)
	delete(c.Parameters, stack.ImageParameter)
	if explicit {
		c.Parameters[stack.ImageParameter] = d.Image
	}
	return c
}

// unlike names how a stack differs from what a change would make of it.
func unlike(is *stack.State, c stack.Change) []string {
	var out []string
	if strings.TrimSpace(is.Body) != strings.TrimSpace(c.Body) {
		out = append(out, "template")
	}
	for k, v := range c.Parameters {
		if is.Parameters[k] != v {
			out = append(out, "parameter "+k)
		}
	}
	for k, v := range c.Tags {
		if is.Tags[k] != v {
			out = append(out, "tag "+k)
		}
	}
	return out
}

func bringUp(ctx context.Context, run *pipeline.Run, s *State) error {
	s.Record.Began = run.Clock().Now().UTC()
	if s.Before != nil {
		return nil
	}
	return s.make(ctx, run, s.change("create", s.Baseline, true))
}

func create(ctx context.Context, run *pipeline.Run, s *State) error {
	s.Record.Began = run.Clock().Now().UTC()
	return s.make(ctx, run, s.change("create", s.Candidate, false))
}

func (s *State) make(ctx context.Context, run *pipeline.Run, c stack.Change) error {
	c.Create = true
	p, err := s.Stack.Propose(ctx, c)
	if err != nil {
		return err
	}
	if s.Baseline == nil {
		s.Record.Changes = p.Shape
	}
	out, err := s.do(ctx, run, "create", p, s.Gate)
	if err != nil {
		return err
	}
	if out.Status != "CREATE_COMPLETE" {
		return fmt.Errorf("%s is %s: %s", s.Stack.Name, out.Status, out.Why())
	}
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	return s.beside(ctx, run, now, "create")
}

// beside brings what goes with the test stack in other regions after it.
func (s *State) beside(ctx context.Context, run *pipeline.Run, now *stack.State, op string) error {
	if s.Beside == nil {
		return nil
	}
	return s.Beside(ctx, run, now, s.token(op))
}

// do executes a proposal and follows it.
func (s *State) do(ctx context.Context, run *pipeline.Run, phase string, p *stack.Proposal, gate stack.Gate) (*stack.Outcome, error) {
	return s.follow(ctx, run, phase, p, stack.Operation{Gate: gate})
}

func (s *State) follow(ctx context.Context, run *pipeline.Run, phase string, p *stack.Proposal, op stack.Operation) (*stack.Outcome, error) {
	if err := s.Stack.Execute(ctx, p); err != nil {
		return nil, err
	}
	run.Await("%s of %s", phase, s.Stack.Name)
	defer run.Await("")
	op.Token, op.StackID = p.Name, p.StackID
	out, err := s.Stack.Follow(ctx, op)
	if err != nil {
		return nil, err
	}
	s.seconds(phase, out.Took())
	return out, nil
}

func (s *State) seconds(phase string, d time.Duration) {
	if s.Record.Seconds == nil {
		s.Record.Seconds = map[string]float64{}
	}
	s.Record.Seconds[phase] = float64(d.Milliseconds()) / 1000
}

func checkBaseline(ctx context.Context, run *pipeline.Run, s *State) error {
	return s.check(ctx, run, "baseline", s.Baseline.Key)
}

func checkCandidate(phase string) func(context.Context, *pipeline.Run, *State) error {
	return func(ctx context.Context, run *pipeline.Run, s *State) error {
		return s.check(ctx, run, phase, s.Candidate.Key)
	}
}

func checkAgain(ctx context.Context, run *pipeline.Run, s *State) error {
	err := s.check(ctx, run, "rollback", s.Baseline.Key)
	s.stop()
	return err
}

// check looks at the test stack as it is; everything found is recorded.
func (s *State) check(ctx context.Context, run *pipeline.Run, phase string, keys ...string) error {
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	if s.probe != nil {
		s.probe.Phase("after " + phase)
	}
	if now.Group != nil && len(now.Group.Serving()) < len(now.Group.Instances) {
		// What was replaced still drains, and may answer new connections meanwhile.
		keys = s.keys()
	}
	list, err := s.Checks.Check(ctx, now, keys...)
	if err != nil {
		return err
	}
	if s.Record.Checks == nil {
		s.Record.Checks = map[string][]Check{}
	}
	s.Record.Checks[phase] = list
	TellChecks(run, phase, list)
	run.Note("%d checks passed", len(list)-len(Failures(list)))
	return Verdict(list)
}

// keys are what /version may answer while machines are exchanged.
func (s *State) keys() []string {
	out := []string{s.Candidate.Key}
	if s.Baseline != nil {
		out = append(out, s.Baseline.Key)
	}
	return out
}

// Failures are the checks that are not OK.
func Failures(list []Check) []Check {
	var out []Check
	for _, c := range list {
		if !c.OK {
			out = append(out, c)
		}
	}
	return out
}

// Verdict is an error that names every check which is not OK. No check at all
// is no proof, and an error too.
func Verdict(list []Check) error {
	if len(list) == 0 {
		return errors.New("nothing was checked")
	}
	var bad []string
	for _, c := range Failures(list) {
		bad = append(bad, c.Name+": "+c.Text)
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "; "))
	}
	return nil
}

func deployAgain(ctx context.Context, _ *pipeline.Run, s *State) error {
	p, err := s.Stack.Propose(ctx, s.change("again", s.Candidate, false))
	if err != nil {
		return err
	}
	if p.Empty {
		return nil
	}
	if err := s.Stack.Withdraw(ctx, p); err != nil {
		return err
	}
	return fmt.Errorf("the same template and parameters again would change %s", strings.Join(p.Shape.Lines(), ", "))
}

// record keeps what the stack is before the update. From now on every request
// is measured.
func record(ctx context.Context, run *pipeline.Run, s *State) error {
	var err error
	if s.Before, err = s.Stack.Read(ctx); err != nil {
		return err
	}
	if got := s.Before.Images(); len(got) != 1 || got[0] != s.Baseline.Image {
		return fmt.Errorf("the test stack runs %s, production runs %s", strings.Join(got, ", "), s.Baseline.Image)
	}
	s.Record.MayDiffer = stack.MayDiffer
	s.probe = s.Checks.Probe(context.WithoutCancel(ctx), s.Before, s.keys()...)
	run.Defer("the prober", func(context.Context) error { s.stop(); return nil })
	return nil
}

func (s *State) phase(name string) {
	if s.probe != nil {
		s.probe.Phase(name)
	}
}

// propose makes the change set of an update exactly as production will get it.
func (s *State) propose(ctx context.Context, op string, d *Deployment, explicit bool) (*stack.Proposal, error) {
	c := s.change(op, d, explicit)
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return nil, err
	}
	if !explicit {
		// The way back is compared at once; watching it would prove nothing more.
		c.Minutes = s.Minutes
	}
	if s.Triggers != nil {
		c.Alarms = now.Alarms(s.Triggers(now.Body))
	}
	p, err := s.Stack.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if bad := p.Shape.Refusals(s.passing()...); len(bad) > 0 {
		return nil, errors.Join(Lossy("E-REH-05", bad), s.Stack.Withdraw(ctx, p))
	}
	return p, nil
}

func update(ctx context.Context, run *pipeline.Run, s *State) error {
	p, err := s.propose(ctx, "update", s.Candidate, false)
	if err != nil {
		return err
	}
	s.Record.Changes, s.same = p.Shape, p.Empty
	if p.Empty {
		if !s.without() {
			return errors.New("the candidate changes nothing of what runs, and yet it is not the same")
		}
		s.Record.Changes = stack.Shape{}
		run.Note("it changes nothing but what no test stack has")
		return nil
	}
	for _, l := range p.Shape.Lines() {
		run.Note("%s", l)
	}
	s.phase("update")
	out, err := s.do(ctx, run, "update", p, s.Gate)
	if err != nil {
		return err
	}
	if !stack.Good(out.Status) {
		return fmt.Errorf("the update ended in %s: %s", out.Status, out.Why())
	}
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	s.changed, s.rolled = out.Changed(), exchanged(s.Before.Group, now.Group)
	if err := Landed(now, s.Candidate.Image, s.Before.Group); err != nil {
		return err
	}
	return s.beside(ctx, run, now, "update")
}

// without says whether a side of the change has resources that its conditions leave
// out of a test stack.
func (s *State) without() bool {
	for _, d := range []*Deployment{s.Baseline, s.Candidate} {
		if s.Without != nil && len(s.Without(d.Body, s.Own(d.Parameters, s.Stack.Name))) > 0 {
			return true
		}
	}
	return false
}

// exchanged says whether machines serve now that did not before.
func exchanged(before, now *stack.Group) bool {
	if before == nil || now == nil {
		return false
	}
	was := map[string]bool{}
	for _, i := range before.Serving() {
		was[i.ID] = true
	}
	return slices.ContainsFunc(now.Serving(), func(i stack.Instance) bool { return !was[i.ID] })
}

// Landed says whether an update really arrived: the parameter, every running
// machine, and the capacity of before.
func Landed(now *stack.State, image string, before *stack.Group) error {
	var bad []string
	if now.Image() != image {
		bad = append(bad, fmt.Sprintf("parameter %s is %s, not %s", stack.ImageParameter, now.Image(), image))
	}
	if now.Group != nil {
		for _, i := range now.Group.Serving() {
			if i.Image != image {
				bad = append(bad, fmt.Sprintf("%s runs %s, not %s", i.ID, i.Image, image))
			}
		}
		if before != nil && now.Group.Capacity.Desired != before.Capacity.Desired {
			bad = append(bad, fmt.Sprintf("desired capacity is %d, was %d", now.Group.Capacity.Desired, before.Capacity.Desired))
		}
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "; "))
	}
	return nil
}

func goBack(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.same {
		s.Record.Back = stack.Shape{}
		return nil
	}
	p, err := s.propose(ctx, "back", s.Baseline, true)
	if err != nil {
		return err
	}
	s.Record.Back = p.Shape
	s.phase("go back")
	out, err := s.do(ctx, run, "go back", p, s.Gate)
	if err != nil {
		return err
	}
	s.way("go back", out)
	if !stack.Good(out.Status) {
		return fmt.Errorf("the way back ended in %s: %s", out.Status, out.Why())
	}
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	return s.beside(ctx, run, now, "back")
}

func compare(after string) func(context.Context, *pipeline.Run, *State) error {
	return func(ctx context.Context, run *pipeline.Run, s *State) error {
		now, err := s.Stack.Read(ctx)
		if err != nil {
			return err
		}
		if diff := stack.Differences(s.Before, now, append(s.Record.Changes.Renewed(), s.Allow...)...); len(diff) > 0 {
			return fmt.Errorf("after %s it is not as it was: %s", after, strings.Join(diff, "; "))
		}
		run.Note("as it was: template, parameters, tags, outputs, resources, capacity, launch template, images")
		return nil
	}
}

// fail makes the very same update again and condemns its last new machine.
// Nothing of the candidate is changed for it: what rolls back is what will run.
func fail(ctx context.Context, run *pipeline.Run, s *State) error {
	gate := s.Gate
	gate.Condemn = s.Before.Group.Capacity.Desired
	var err error
	s.Record.Rollback, err = s.takenBack(ctx, run, "fail", "rollback", stack.Operation{Gate: gate})
	return err
}

// cancel makes the very same update once more and, when it is through and only its
// alarms are still watched, cancels it: what a failed check of ours does there.
func cancel(ctx context.Context, run *pipeline.Run, s *State) error {
	var err error
	s.Record.Cancel, err = s.takenBack(ctx, run, "cancel", "cancel", stack.Operation{Gate: s.Gate, CancelAfter: s.changed})
	return err
}

// takenBack makes the rehearsed update again in a way that has CloudFormation roll
// it back, and says how that ended.
func (s *State) takenBack(ctx context.Context, run *pipeline.Run, op, phase string, o stack.Operation) (string, error) {
	p, err := s.propose(ctx, op, s.Candidate, false)
	if err != nil {
		return "", err
	}
	if diff := stack.Compare(s.Record.Changes, p.Shape); len(diff) > 0 {
		return "", errors.Join(fmt.Errorf("this update is not the first: %s", strings.Join(diff, "; ")), s.Stack.Withdraw(ctx, p))
	}
	s.phase(phase)
	out, err := s.follow(ctx, run, phase, p, o)
	if err != nil {
		return "", err
	}
	s.way(phase, out)
	how := out.Status + ": " + out.Why()
	if !stack.RolledBack(out.Status) {
		return how, fmt.Errorf("the update was not rolled back but ended in %s: %s", out.Status, out.Why())
	}
	return how, nil
}

// again brings the candidate back, which was rolled back: its alarms are the ones
// that have to fire.
func again(ctx context.Context, run *pipeline.Run, s *State) error {
	s.stop()
	p, err := s.propose(ctx, "drill", s.Candidate, false)
	if err != nil || p.Empty {
		return err
	}
	out, err := s.do(ctx, run, "fire drill", p, s.Gate)
	if err != nil {
		return err
	}
	if !stack.Good(out.Status) {
		return fmt.Errorf("the update for the fire drill ended in %s: %s", out.Status, out.Why())
	}
	return nil
}

func fireDrill(ctx context.Context, run *pipeline.Run, s *State) error {
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	run.Await("the alarms of %s", s.Stack.Name)
	defer run.Await("")
	if err := s.beside(ctx, run, now, "drill"); err != nil {
		return err
	}
	began := run.Clock().Now()
	if s.Record.Drill, err = s.Drill(ctx, run, now); err != nil {
		return fmt.Errorf("fire drill: %w", err)
	}
	for _, a := range s.Record.Drill.Alarms {
		run.Measure("seconds until "+a.ID+" fires", a.Seconds)
	}
	run.Note("%d alarms fired, were told, and cleared, in %s", len(s.Record.Drill.Alarms), run.Clock().Now().Sub(began).Round(time.Second))
	return nil
}

func remove(ctx context.Context, _ *pipeline.Run, s *State) error {
	s.stop()
	return s.erase(ctx)
}

// measure tells the numbers of a phase.
func (a Availability) measure(run *pipeline.Run) {
	run.Measure("requests."+a.Phase, float64(a.Requests))
	run.Measure("requests failed."+a.Phase, float64(a.Failed))
	run.Measure("p50 seconds."+a.Phase, a.P50.Seconds())
	run.Measure("p95 seconds."+a.Phase, a.P95.Seconds())
	run.Measure("p99 seconds."+a.Phase, a.P99.Seconds())
	run.Measure("gap seconds."+a.Phase, a.Gap.Seconds())
}

// judge fails a rehearsal in which a user was not served, or whose ways back were
// slower than allowed.
func judge(_ context.Context, run *pipeline.Run, s *State) error {
	r := &s.Record
	r.Kind, r.Stack, r.Ended = KindCreate, s.Stack.Name, run.Clock().Now().UTC()
	r.Candidate, r.Images[1], r.Keys[1] = s.Candidate.Digest, s.Candidate.Image, s.Candidate.Key
	if s.Baseline != nil {
		r.Kind, r.Baseline, r.Images[0], r.Keys[0] = KindUpdate, s.Baseline.Digest, s.Baseline.Image, s.Baseline.Key
	}
	var bad []string
	for _, a := range r.Availability {
		run.Fact(a.Phase, a.Figures())
		a.measure(run)
		if a.Failed > 0 {
			bad = append(bad, a.Phase+": "+a.String())
		}
	}
	if w, ok := r.Slowest(); ok {
		run.Fact("expected time of a way back", w)
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "; "))
	}
	if why := r.TooSlow(s.Within); why != "" {
		return tooSlow(why)
	}
	return nil
}
