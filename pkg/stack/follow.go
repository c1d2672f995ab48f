package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// An Operation is a change under way.
type Operation struct {
	Token    string        // given to Execute, or to Delete; "": the newest operation that was given none
	StackID  string        // needed for a deletion, whose stack loses its name
	Gate     Gate          // how machines are judged
	Patience time.Duration // in AWS time; 0: two hours. Then ErrPatience, and the operation goes on
	// Watch is asked while an update runs, in its monitoring window too. Its error
	// cancels the update, as long as that is possible. nil: nobody watches.
	Watch func(ctx context.Context) error
	// CancelAfter, if not empty, are the logical ids of all that the update changes:
	// when they are done, and its monitoring window has begun, it is cancelled. It is
	// how a rehearsal has a good candidate taken back there.
	CancelAfter []string
}

// An Outcome is how an operation ended.
type Outcome struct {
	Status   string
	Began    time.Time
	Ended    time.Time
	Cause    string   // the first failure of a resource, in CloudFormation's words
	Verdicts []string // what the gate and the watcher found against it
	Events   []Event
}

// Took is how long it ran, by CloudFormation's clock.
func (o *Outcome) Took() time.Duration { return o.Ended.Sub(o.Began) }

// Back is how long the stack took to be taken back, the resource that was longest
// at it, and how long that was: the rollback where there was one, else all of it.
func (o *Outcome) Back() (took time.Duration, resource string, longest time.Duration) {
	began := o.Began
	first := map[string]time.Time{}
	for _, e := range o.Events {
		switch {
		case e.Own() && strings.HasSuffix(e.Status, "ROLLBACK_IN_PROGRESS") && began.Equal(o.Began):
			began, resource, longest = e.Time, "", 0
			clear(first)
		case e.Own():
		case strings.HasSuffix(e.Status, "_IN_PROGRESS"):
			if first[e.Logical].IsZero() {
				first[e.Logical] = e.Time
			}
		case !first[e.Logical].IsZero() && e.Time.Sub(first[e.Logical]) > longest:
			resource, longest = e.Logical, e.Time.Sub(first[e.Logical])
		}
	}
	return o.Ended.Sub(began), resource, longest
}

// Why is the best reason there is, for people.
func (o *Outcome) Why() string {
	switch {
	case len(o.Verdicts) > 0 && o.Cause != "":
		return strings.Join(o.Verdicts, "; ") + " (" + o.Cause + ")"
	case len(o.Verdicts) > 0:
		return strings.Join(o.Verdicts, "; ")
	case o.Cause != "":
		return o.Cause
	}
	return o.Status
}

// ErrPatience says that an operation takes longer than anybody wants to wait.
// It is still under way.
var ErrPatience = errors.New("still under way")

// ErrStuck says that a rollback failed and could not be led out. A person has to look.
var ErrStuck = errors.New("the rollback failed and could not be led out")

// A StuckError is an ErrStuck: the logical ids of what could not be taken back,
// and the first failure's reason.
type StuckError struct {
	Resources []string
	Reason    string
}

func (e *StuckError) Error() string {
	s := ErrStuck.Error()
	if len(e.Resources) > 0 {
		s += ": " + strings.Join(e.Resources, ", ")
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is makes a StuckError an ErrStuck.
func (e *StuckError) Is(target error) bool { return target == ErrStuck }

// Follow leads a started operation to its end: it hears events, judges and
// signals machines, leads a failed rollback out. It can be called again at any
// moment of the operation, by any process, and by several at once.
//
// Its error means that the end was not seen; how it ended is in the Outcome.
func (s *Stack) Follow(ctx context.Context, op Operation) (*Outcome, error) {
	f := &follower{Stack: s, op: op, seen: map[string]bool{}, gate: newJudge(s, op.Gate)}
	if f.op.Patience <= 0 {
		f.op.Patience = 2 * time.Hour
	}
	f.until = s.o.Clock.Now().Add(s.scale(f.op.Patience))
	f.nameOrID = op.StackID
	if f.nameOrID == "" {
		f.nameOrID = s.Name
	}
	if err := s.wait(ctx, f.look); err != nil {
		return nil, fmt.Errorf("follow %s of %s: %w", cmp.Or(op.Token, "what was begun by hand"), s.Name, err)
	}
	out := f.outcome()
	return out, f.settle(ctx, out.Status)
}

type follower struct {
	*Stack
	op         Operation
	until      time.Time
	nameOrID   string
	seen       map[string]bool
	events     []Event // of this operation and after, oldest first
	begun      bool
	gate       *judge
	verdicts   []string
	canceled   bool
	continued  int // the failed rollback that was continued last, counted over the operation
	tried      int // how often this process did
	rolledBack bool
}

// token names what is done about the operation. It is the same in every process.
func (f *follower) token(what string) string {
	if f.op.Token != "" {
		return f.op.Token + "-" + what
	}
	return "by-hand-" + f.events[0].ID + "-" + what
}

// look is one poll.
func (f *follower) look(ctx context.Context) (bool, bool, error) {
	news, err := f.poll(ctx)
	if err != nil {
		return false, news, err
	}
	if f.s().Now().After(f.until) {
		return false, false, ErrPatience
	}
	if !f.begun {
		return false, news, nil
	}
	own, ended := f.end()
	if ended {
		switch own.Status {
		case "UPDATE_ROLLBACK_FAILED":
			return false, true, f.leadOut(ctx)
		case "UPDATE_FAILED":
			return false, true, f.rollBack(ctx)
		}
		return true, true, nil
	}
	if own.Status == "UPDATE_IN_PROGRESS" && !f.canceled && f.op.Watch != nil {
		if err := f.op.Watch(ctx); err != nil && ctx.Err() == nil {
			return false, true, f.cancel(ctx, err.Error())
		}
	}
	if own.Status == "UPDATE_IN_PROGRESS" && !f.canceled && f.arrived() {
		return false, true, f.cancel(ctx, "cancelled on purpose in its monitoring window")
	}
	act, err := f.gate.look(ctx, phaseOf(f.events, own))
	f.verdicts = appendNew(f.verdicts, f.gate.verdicts...)
	if err != nil {
		return false, news, err
	}
	if act.cancel != "" && own.Status == "UPDATE_IN_PROGRESS" && !f.canceled {
		return false, true, f.cancel(ctx, act.cancel)
	}
	return false, news || act.signalled, nil
}

func (f *follower) s() interface{ Now() time.Time } { return f.o.Clock }

// poll reads new events. A stack that was deleted under its name and is asked
// for by id stays readable.
func (f *follower) poll(ctx context.Context) (bool, error) {
	known := 0
	list, err := f.Stack.events(ctx, f.nameOrID, func(e Event) bool {
		// Events of one moment may come out of order and late: look a little past the first known one.
		if f.seen[e.ID] {
			known++
		}
		return known >= 20 || begins(e, f.op.Token)
	})
	if err != nil {
		if absent(err) && !f.begun {
			return false, errors.Join(err, ErrAbsent)
		}
		return false, err
	}
	news := false
	for _, e := range list {
		if !f.begun {
			if !begins(e, f.op.Token) {
				continue
			}
			f.begun = true
			f.nameOrID = e.StackID // a name may be given to another stack, an id never
		}
		if f.seen[e.ID] {
			continue
		}
		f.seen[e.ID] = true
		f.events = append(f.events, e)
		news = true
		f.tell(e)
	}
	if news {
		slices.SortStableFunc(f.events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	}
	return news, nil
}

// end is the stack's own event that ended this operation, or else its newest.
// What follows an end belongs to somebody else's operation, except that a
// failed rollback is continued under another token.
func (f *follower) end() (Event, bool) {
	var own []Event
	for _, e := range f.events {
		if e.Own() {
			own = append(own, e)
		}
	}
	for i, e := range own {
		if !Ended(e.Status) {
			continue
		}
		failed := e.Status == "UPDATE_ROLLBACK_FAILED" || e.Status == "UPDATE_FAILED"
		if failed && i+1 < len(own) {
			continue
		}
		return e, true
	}
	return own[len(own)-1], false
}

// cancel takes a running update back. Too late is no error: then it is decided.
func (f *follower) cancel(ctx context.Context, why string) error {
	token := f.token("cancel")
	_, err := f.cfn.CancelUpdateStack(ctx, &cloudformation.CancelUpdateStackInput{StackName: &f.nameOrID, ClientRequestToken: &token})
	switch {
	case err == nil:
	case strings.Contains(message(err), "cannot be called from current stack status"), code(err) == "TokenAlreadyExistsException":
	default:
		return fmt.Errorf("cancel the update: %w", err)
	}
	f.canceled = true
	f.verdicts = appendNew(f.verdicts, why)
	return nil
}

// arrived says whether all that was to be waited for before the update is
// cancelled has been done.
func (f *follower) arrived() bool {
	done := (&Outcome{Events: f.events}).Changed()
	for _, id := range f.op.CancelAfter {
		if !slices.Contains(done, id) {
			return false
		}
	}
	return len(f.op.CancelAfter) > 0
}

// Changed are the logical ids of what the update made or changed, before anything
// was cleaned up or taken back: of what a change set only looks at again there is
// no event.
func (o *Outcome) Changed() []string {
	var out []string
	for _, e := range o.Events {
		if e.Own() && (strings.Contains(e.Status, "CLEANUP") || strings.Contains(e.Status, "ROLLBACK")) {
			break
		}
		if !e.Own() && (e.Status == "UPDATE_COMPLETE" || e.Status == "CREATE_COMPLETE") {
			out = append(out, e.Logical)
		}
	}
	return out
}

// tries is how often a failed rollback is led out before a person is asked. Who
// has repaired something and comes again has as many again.
const tries = 2

// stuck is what the newest rollback could not take back.
func (f *follower) stuck() *StuckError {
	last := map[string]Event{}
	for _, e := range f.events {
		switch {
		case e.Own() && e.Status == "UPDATE_ROLLBACK_IN_PROGRESS":
			clear(last)
		case !e.Own():
			last[e.Logical] = e
		}
	}
	out := &StuckError{}
	for _, id := range slices.Sorted(maps.Keys(last)) {
		if e := last[id]; strings.HasSuffix(e.Status, "_FAILED") {
			out.Resources = append(out.Resources, id)
			out.Reason = cmp.Or(out.Reason, e.Reason)
		}
	}
	out.Reason = cmp.Or(out.Reason, f.cause())
	return out
}

// leadOut continues a failed rollback. The gate signals what it waits for; no
// resource is ever skipped, since that would leave drift behind.
func (f *follower) leadOut(ctx context.Context) error {
	n := 0
	for _, e := range f.events {
		if e.Own() && e.Status == "UPDATE_ROLLBACK_FAILED" {
			n++
		}
	}
	if f.continued >= n {
		return nil // asked for already; its first event is on its way
	}
	if f.tried == tries {
		return f.stuck()
	}
	f.tried++
	token := f.token(fmt.Sprintf("continue-%d", n))
	_, err := f.cfn.ContinueUpdateRollback(ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &f.nameOrID, ClientRequestToken: &token})
	if err != nil && code(err) != "TokenAlreadyExistsException" {
		if transient(err) {
			return err
		}
		// Somebody else was quicker, or the read was stale: the status tells.
		d, derr := f.describe(ctx, f.nameOrID)
		if derr != nil || string(d.StackStatus) == "UPDATE_ROLLBACK_FAILED" {
			return fmt.Errorf("continue the rollback: %w", err)
		}
	}
	f.continued = n
	return nil
}

// rollBack is for an update that somebody started with rollback disabled.
func (f *follower) rollBack(ctx context.Context) error {
	if f.rolledBack {
		return nil
	}
	token := f.token("rollback")
	_, err := f.cfn.RollbackStack(ctx, &cloudformation.RollbackStackInput{StackName: &f.nameOrID, ClientRequestToken: &token})
	if err != nil && code(err) != "TokenAlreadyExistsException" {
		return fmt.Errorf("roll back: %w", err)
	}
	f.rolledBack = true
	return nil
}

// settle waits until DescribeStacks tells what the events told, so that what
// is read next is not from before.
func (f *follower) settle(ctx context.Context, status string) error {
	for range 20 {
		d, err := f.describe(ctx, f.nameOrID)
		if errors.Is(err, ErrAbsent) || err == nil && string(d.StackStatus) == status {
			return nil
		}
		if err != nil {
			return err
		}
		if Ended(string(d.StackStatus)) && aws.ToTime(d.LastUpdatedTime).After(f.events[len(f.events)-1].Time) {
			return nil // another operation came and went
		}
		if err := f.o.Clock.Sleep(ctx, f.o.Poll.Min); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) outcome() *Outcome {
	end, _ := f.end()
	o := &Outcome{Status: end.Status, Began: f.events[0].Time, Ended: end.Time, Cause: f.cause(), Verdicts: f.verdicts}
	for _, e := range f.events {
		o.Events = append(o.Events, e)
		if e.ID == end.ID {
			break
		}
	}
	return o
}

// cause is the first failure that is not the echo of another; without any, what
// CloudFormation gives as its reason to go back, as for a rollback trigger.
func (f *follower) cause() string {
	for _, e := range f.events {
		if e.Own() || !strings.HasSuffix(e.Status, "_FAILED") || strings.Contains(e.Reason, "cancelled") {
			continue
		}
		return e.Logical + ": " + e.Reason
	}
	for _, e := range f.events {
		if e.Own() && strings.HasSuffix(e.Status, "ROLLBACK_IN_PROGRESS") && e.Reason != "User Initiated" {
			return strings.TrimSpace(e.Reason)
		}
	}
	return ""
}

func appendNew(list []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// Completed says whether the stack ever came into being: whether it may hold
// something.
func (s *Stack) Completed(ctx context.Context) (bool, error) {
	d, err := s.describe(ctx, s.Name)
	if err != nil {
		return false, err
	}
	if d.LastUpdatedTime != nil && Statuses[string(d.StackStatus)] != Recreate {
		return true, nil
	}
	done := false
	err = s.retry(ctx, "read the events of "+s.Name, func(ctx context.Context) error {
		_, err := s.events(ctx, aws.ToString(d.StackId), func(e Event) bool {
			done = done || e.Own() && (Good(e.Status) || e.Status == "UPDATE_ROLLBACK_COMPLETE" || e.Status == "IMPORT_ROLLBACK_COMPLETE")
			return done
		})
		return err
	})
	return done, err
}
