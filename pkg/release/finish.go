package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// setCapacity sets the capacity parameters to the live group's, and then has
// the release proposed: the first change makes older proposals void.
func setCapacity(ctx context.Context, run *pipeline.Run, s *State) error {
	st := s.told(run)
	if err := st.Execute(ctx, s.Capacity); err != nil {
		return err
	}
	out, err := st.Follow(ctx, stack.Operation{Token: s.Capacity.Name, StackID: s.Capacity.StackID, Gate: s.Gate})
	if err != nil {
		return err
	}
	if !stack.Good(out.Status) {
		if err := s.conclude(ctx, trail.RolledBack, out, "the capacity could not be set: "+out.Why()); err != nil {
			return err
		}
		return s.rolledBack(out)
	}
	if s.Live, err = st.Read(ctx); err != nil {
		return err
	}
	if err := s.plan(ctx, run); err != nil {
		return errors.Join(err, s.conclude(ctx, trail.Abandoned, nil, "the change was not the rehearsed one"))
	}
	return intent(ctx, run, s)
}

func (s *State) told(run *pipeline.Run) *stack.Stack {
	st := s.Stack()
	rehearsal.Hear(run, st)
	tell := st.Boxed
	st.Boxed = func(b stack.Box) {
		s.boxed = append(s.boxed, b.Instance)
		tell(b)
	}
	return st
}

// execute starts the change. From here on it goes on without us.
func execute(ctx context.Context, run *pipeline.Run, s *State) error {
	if err := s.unlock(ctx, run); err != nil {
		return err
	}
	s.phase(ctx, run, "production")
	s.publish(ctx, run) // an alarm that is made finds its data there
	return s.told(run).Execute(ctx, s.Proposal)
}

// phase begins a phase of the measurement of production; the first call starts it,
// with "before". From then on every request is counted. Without a production there
// is nobody to ask.
func (s *State) phase(ctx context.Context, run *pipeline.Run, name string) {
	if s.probe == nil {
		if s.Live == nil {
			return
		}
		s.probe = s.Checks.Probe(context.WithoutCancel(ctx), s.Live, s.keys()...)
		run.Defer("the prober", func(context.Context) error { s.stopProbe(); return nil })
	}
	if name != "before" {
		s.probe.Phase(name)
	}
}

// stopProbe ends the measurement. It may be called twice.
func (s *State) stopProbe() {
	if s.probe != nil {
		s.Available = s.probe.Stop()
	}
}

// keys are what /version may answer while production changes.
func (s *State) keys() []string {
	out := []string{s.Rehearsal.Candidate.Key}
	if s.Rehearsal.Baseline != nil {
		out = append(out, s.Rehearsal.Baseline.Key)
	}
	return out
}

// follow leads the change to its end.
func follow(ctx context.Context, run *pipeline.Run, s *State) error {
	op := stack.Operation{Token: operation(s.Number), Gate: s.Gate}
	if s.Proposal != nil {
		op.StackID = s.Proposal.StackID
	}
	if s.probe != nil {
		op.Watch = func(context.Context) error { return s.probe.Bad() }
	}
	defer s.mark(ctx, run)()
	run.Await("%s of %s", op.Token, s.Environment.Stack())
	defer run.Await("")
	out, err := s.told(run).Follow(ctx, op)
	if errors.Is(err, stack.ErrStuck) {
		return s.stuck(err)
	}
	if err != nil {
		return err
	}
	s.Outcome = out
	s.spent("production", out.Took())
	if stack.Good(out.Status) {
		return nil
	}
	s.stopProbe()
	result := trail.RolledBack
	if !stack.RolledBack(out.Status) {
		result = trail.Failed
	}
	if err := s.conclude(ctx, result, out, out.Why()); err != nil {
		return err
	}
	return s.rolledBack(out)
}

// rolledBack is the failure of a release that production did not take.
func (s *State) rolledBack(out *stack.Outcome) error {
	f := &report.Failure{
		Code: report.RolledBack, ID: "E-REL-07", What: fmt.Sprintf("release %d was taken back: %s", s.Number, out.Why()), Where: "stack " + s.Environment.Stack(),
		Next: []string{"./station.sh status", "repair the cause, commit, then ./station.sh release"},
	}
	if len(s.boxed) > 0 {
		f.Where += "; in the run's log: console and target of " + strings.Join(s.boxed, ", ")
	}
	switch {
	case stack.RolledBack(out.Status) && s.Rehearsal.Baseline != nil:
		f.State = "production runs what it ran before, " + s.Rehearsal.Baseline.Image
	case stack.RolledBack(out.Status):
		f.State = "production runs what it ran before"
	case strings.HasPrefix(out.Status, "ROLLBACK_COMPLETE"), strings.HasPrefix(out.Status, "CREATE_FAILED"), strings.HasPrefix(out.Status, "ROLLBACK_FAILED"):
		f.State = "there is no production; the half-made stack (" + out.Status + ") is replaced by the next release"
	default:
		f.Code, f.ID, f.State = report.NeedsHuman, "E-REL-11", out.Status
	}
	if s.probe != nil {
		for _, a := range s.Available {
			f.State += "; " + a.Phase + ": " + a.String()
		}
	}
	return f
}

// check proves that production is what was meant, and as well as before.
func check(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.probe != nil {
		s.probe.Phase("after")
	}
	bad, err := s.inspect(ctx, run)
	s.stopProbe()
	if err != nil {
		return err
	}
	if bad == nil {
		if err := s.BringBeside(ctx, run, s.Live, operation(s.Number)); err != nil {
			return &report.Failure{
				Code: report.NeedsHuman, ID: "E-REL-27", What: fmt.Sprintf("release %d is in place, and what watches it from another region is not", s.Number),
				Where: "stack " + s.Environment.Stack(), State: "production runs " + s.Rehearsal.Candidate.Image, Next: []string{"the same command again  # it goes on with it"}, Err: err,
			}
		}
		s.watched(ctx, run)
		return nil
	}
	// The update is over, CloudFormation cannot take it back any more.
	if err := s.conclude(ctx, trail.Failed, s.Outcome, bad.Error()); err != nil {
		return err
	}
	return &report.Failure{
		Code: report.NeedsHuman, ID: "E-REL-11", What: fmt.Sprintf("release %d is in place and not as it should be", s.Number), Where: "stack " + s.Environment.Stack(),
		State: "production runs " + s.Rehearsal.Candidate.Image, Next: []string{"./station.sh rollback  # back to what ran before", "./station.sh status"}, Err: bad,
	}
}

// watched looks at what watches production now; that it cannot be seen harms nobody.
func (s *State) watched(ctx context.Context, run *pipeline.Run) {
	w, err := s.watches(ctx, s.Live)
	if err != nil {
		run.Note("who is told cannot be seen: %v", err)
	}
	s.Watched = w
	s.publish(ctx, run)
}

func (s *State) inspect(ctx context.Context, run *pipeline.Run) (bad, err error) {
	st := s.told(run)
	was := s.Live
	if s.Live, err = st.Read(ctx); err != nil {
		return nil, err
	}
	s.Status = s.Live.Status
	policy, err := s.policy(ctx)
	if err != nil {
		return nil, err
	}
	if !s.Live.Protected || strings.TrimSpace(s.Live.Policy) != strings.TrimSpace(policy) {
		if err := st.Protect(ctx, policy); err != nil {
			return nil, err
		}
		if s.Live, err = st.Read(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.drained(ctx, run); err != nil {
		return nil, err
	}
	list, err := s.Checks.Check(ctx, s.Live, s.Rehearsal.Candidate.Key)
	if err != nil {
		return nil, err
	}
	rehearsal.TellChecks(run, "production", list)
	run.Note("%d checks passed", len(list)-len(rehearsal.Failures(list)))
	var problems []error
	problems = append(problems, rehearsal.Verdict(list))
	var before *stack.Group
	if n, err := strconv.Atoi(s.Release.Details["desired"]); err == nil && n > 0 {
		before = &stack.Group{Capacity: stack.Capacity{Desired: n}} // as the intent says: who resumes has not seen it
	}
	if was != nil {
		before = was.Group
	}
	problems = append(problems, rehearsal.Landed(s.Live, s.Rehearsal.Candidate.Image, before))
	git, err := s.gitImage(ctx)
	if err != nil {
		return nil, err
	}
	if git != s.Live.Image() {
		problems = append(problems, fmt.Errorf("the template in Git says %s, the stack %s", git, s.Live.Image()))
	}
	if !s.Live.Protected || policy != "" && strings.TrimSpace(s.Live.Policy) == "" {
		problems = append(problems, errors.New("the stack is not protected"))
	}
	return errors.Join(problems...), nil
}

// policy is the stack policy of production, from Git.
func (s *State) policy(ctx context.Context) (string, error) {
	b, _, err := s.Clone.Read(ctx, s.Trail.Head(), template.StackPolicyPath)
	return string(b), err
}

// gitImage is the image that the template in the trail names.
func (s *State) gitImage(ctx context.Context) (string, error) {
	body, _, err := s.Trail.Read(ctx, s.Place.Template())
	if err != nil {
		return "", err
	}
	return template.Image(body)
}

// late is how long a balancer may still send a new connection to a target that
// it has let go of, on top of the target group's own delay; about two minutes
// from the deregistration were seen (aws/containers-roadmap#470).
const late = 30 * time.Second

// drained waits until the machines that were replaced are gone: they may
// answer new connections for a while, and the new page is promised. The hook
// that holds them back is a safe upper limit; one that has drained is let go.
func (s *State) drained(ctx context.Context, run *pipeline.Run) error {
	st := s.Stack()
	until := run.Clock().Now().Add(s.Target.Scale(10 * time.Minute))
	if s.Live.Group == nil {
		return nil
	}
	held, refused := map[string]time.Time{}, false // since when; whether we may not let go
	return s.Target.Poll.Until(ctx, run.Clock(), func(ctx context.Context) (bool, error) {
		g, err := st.Group(ctx, s.Live.Group.Name)
		if err != nil {
			return false, err
		}
		s.Live.Group = g
		now := run.Clock().Now()
		var drained []string
		for _, i := range g.Instances {
			if !i.Held(g) {
				continue
			}
			if held[i.ID].IsZero() {
				held[i.ID] = now
			}
			if now.Sub(held[i.ID]) >= s.Target.Scale(late) {
				drained = append(drained, i.ID)
			}
		}
		if !refused {
			if err := st.LetGo(ctx, g.Name, drained); err != nil {
				refused = true // it only saves time
				run.Note("%v; the hook ends by itself", err)
			}
		}
		leaving := len(g.Instances) - len(g.Serving())
		if leaving > 0 {
			run.Await("%d machines to drain", leaving)
		}
		return leaving == 0 || now.After(until), nil
	})
}

// outcome writes down that it is done.
func outcome(ctx context.Context, run *pipeline.Run, s *State) error {
	result := trail.Released
	if s.Release.Operation == trail.Recovery {
		result = trail.Recovered
	}
	if err := s.conclude(ctx, result, s.Outcome, ""); err != nil {
		return err
	}
	run.Fact("release", s.Number)
	return nil
}

// conclude ends the release in the trail. That the trail cannot be reached is a
// failure of its own kind: production is what it is.
func (s *State) conclude(ctx context.Context, result string, out *stack.Outcome, reason string) error {
	o := trail.Outcome{Result: result, Reason: reason, Details: map[string]string{}}
	if out != nil {
		o.Status = out.Status
		o.Details["took"] = fmt.Sprintf("%.1fs", out.Took().Seconds())
	}
	for _, a := range s.Available {
		o.Details["availability "+a.Phase] = a.Figures()
	}
	// The outcome is written even when somebody presses Ctrl-C now.
	r, err := s.Trail.Outcome(context.WithoutCancel(ctx), s.Release, o)
	s.Release = r
	s.Open = nil
	var pending *trail.PendingError
	if errors.As(err, &pending) {
		return &report.Failure{
			Code: report.TrailPending, ID: "E-REL-12", What: pending.Error(), State: fmt.Sprintf("production: release %d %s", r.Number, result),
			Next: []string{"./station.sh release  # writes it once the remote can be reached"}, Err: pending.Err,
		}
	}
	return err
}

// resume finishes a release whose run died: it follows what is under way,
// checks and writes down how it ended. One that never began is left for claim.
func resume(ctx context.Context, run *pipeline.Run, s *State) error {
	r := *s.Open
	st := s.told(run)
	s.Resumed = true
	run.Note("release %d was begun by %s at %s and has no outcome yet", r.Number, r.By, r.Intended.Format(time.RFC3339))
	op := operation(r.Number)
	_, begun, err := st.Started(ctx, op)
	if err != nil {
		return err
	}
	if !begun {
		_, first, err := st.Started(ctx, op+"-capacity")
		if err != nil {
			return err
		}
		if first {
			run.Note("its capacity change was begun: following it")
			if _, err = st.Follow(ctx, stack.Operation{Token: op + "-capacity", Gate: s.Gate}); err != nil {
				return err
			}
			return nil
		}
		if s.Live != nil && s.Live.Digest(undigested) != r.Baseline.Digest {
			s.Release = r
			run.Note("it never began, and production is another one now: it is abandoned")
			return s.conclude(ctx, trail.Abandoned, nil, "production changed before it began")
		}
		return nil
	}
	s.Number, s.Release = r.Number, r
	keep := s.Rehearsal.Candidate
	keepBase := s.Rehearsal.Baseline
	restore := func() { s.Rehearsal.Candidate, s.Rehearsal.Baseline = keep, keepBase }
	defer restore()
	if s.Rehearsal.Candidate, err = s.deployed(ctx, r.Candidate); err != nil {
		return err
	}
	s.Rehearsal.Baseline = nil
	if r.Baseline.Digest != "" {
		if s.Rehearsal.Baseline, err = s.deployed(ctx, r.Baseline); err != nil {
			return err
		}
	}
	s.Live = nil
	if now, err := st.Read(ctx); err == nil && r.Operation != "create" && r.Operation != trail.Recovery {
		s.Live = now
		s.phase(ctx, run, "production")
		s.Live = nil // mid-way its capacity tells nothing
	}
	if err := follow(ctx, run, s); err != nil {
		return err
	}
	if err := check(ctx, run, s); err != nil {
		return err
	}
	s.probe = nil
	if err := outcome(ctx, run, s); err != nil {
		return err
	}
	s.Finished, s.Number, s.Release, s.Proposal = &r, 0, trail.Release{}, nil
	return nil
}

// await leads to its end what somebody else began, or a person by hand: a roll
// that nobody signals would fail.
func await(ctx context.Context, run *pipeline.Run, s *State) error {
	st := s.told(run)
	for range 3 {
		now, err := st.Status(ctx)
		if errors.Is(err, stack.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		switch stack.MoveFor(now.Status, true, true) {
		case stack.Attach, stack.Continue, stack.Rollback:
			if err := s.stands(ctx, now); err != nil {
				return err
			}
			token, _, err := st.Running(ctx)
			if err != nil {
				return err
			}
			run.Note("%s is %s: following %s", now.Name, now.Status, cmp.Or(token, "what somebody began by hand"))
			out, err := st.Follow(ctx, stack.Operation{Token: token, StackID: now.ID, Gate: s.Gate})
			if err != nil {
				return err
			}
			run.Note("it ended in %s", out.Status)
		default:
			return nil
		}
	}
	return nil
}

// deployed is a deployment of the trail's.
func (s *State) deployed(ctx context.Context, d trail.Deployment) (*rehearsal.Deployment, error) {
	key, err := s.keyOf(ctx, d.Image)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", d.Image, err)
	}
	return &rehearsal.Deployment{Body: d.Template, Parameters: d.Parameters, Image: d.Image, Key: key, Tags: d.Tags, Digest: d.Digest}, nil
}
