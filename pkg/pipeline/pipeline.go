// Package pipeline runs a list of steps that one can read from top to bottom,
// and takes back what they made when they fail.
//
// A flow is a function that returns []Step[S], where S is the flow's own state:
//
//	steps := []pipeline.Step[State]{
//		checkAccount{},  // before anything is made
//		createStack{},   // run.Defer: delete the test stack
//		updateStack{},
//		prove{},
//	}
//	err := pipeline.Do(ctx, env, &state, steps...)
//
// A step does not print: it tells events, and one place (pkg/report) words them.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// A Step is one act of a pipeline. S is that pipeline's own state.
type Step[S any] interface {
	// String names the step in the imperative, as shown to people: "wait for the image".
	String() string
	// Run acts. It MUST first look whether its effect is already there, and
	// register what it makes with run.Undo or run.Defer the moment it exists.
	Run(ctx context.Context, run *Run, s *S) error
}

// A Skipper is a Step that may have nothing to do.
type Skipper[S any] interface {
	// Skip is asked before Run: it tells why there is nothing to do, or "".
	Skip(s *S) (reason string)
}

// Env is what a pipeline needs from outside. The zero value is usable: the
// system's clock, and events go nowhere.
type Env struct {
	Clock    clock.Clock
	Tell     func(Event)   // called from several goroutines, one at a time
	UndoTime time.Duration // bound of each undo; 0 means 10 minutes
}

// LeftBehindError is an undo that failed: What is still there.
type LeftBehindError struct {
	What string
	Err  error
}

// Error tells what is left and why.
func (e *LeftBehindError) Error() string { return fmt.Sprintf("left behind: %s: %v", e.What, e.Err) }

// Unwrap is the reason.
func (e *LeftBehindError) Unwrap() error { return e.Err }

// StepError is the error of one step.
type StepError struct {
	Step         string
	Index, Total int // 1-based
	Err          error
}

// Error is the step's name and its error.
func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap is the step's own error.
func (e *StepError) Unwrap() error { return e.Err }

// Run is one run of a pipeline, as its steps see it. It is safe for use by
// several goroutines.
type Run struct {
	env  Env
	step string // of this view; Together makes views of its own
	flow string // likewise

	shared *shared
}

type shared struct {
	mu    sync.Mutex
	stack []entry

	tellMu sync.Mutex
}

type entry struct {
	what   string
	always bool
	fn     func(context.Context) error
}

// Undo registers how to take back what was just made. It is called, newest
// first, if the pipeline fails, is cancelled or panics. Its context is live
// even when the pipeline's was cancelled, and bounded by Env.UndoTime.
func (r *Run) Undo(what string, fn func(context.Context) error) { r.push(entry{what, false, fn}) }

// Defer registers what is taken back however the pipeline ends. Order and
// context are those of Undo.
func (r *Run) Defer(what string, fn func(context.Context) error) { r.push(entry{what, true, fn}) }

func (r *Run) push(e entry) {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.shared.stack = append(r.shared.stack, e)
}

// Clock is what steps wait by.
func (r *Run) Clock() clock.Clock { return r.env.Clock }

// Step is the name of the step that runs.
func (r *Run) Step() string { return r.step }

// Note tells a line of news.
func (r *Run) Note(format string, args ...any) {
	r.tell(Event{Kind: Note, Text: fmt.Sprintf(format, args...)})
}

// Fact tells a named value of interest: "ami", "change set".
func (r *Run) Fact(name string, value any) {
	r.tell(Event{Kind: Fact, Name: name, Text: fmt.Sprint(value)})
}

// Await tells what is waited for from now on; "" when nothing is any more. The
// report repeats it in its heartbeat.
func (r *Run) Await(format string, args ...any) {
	r.tell(Event{Kind: Await, Text: fmt.Sprintf(format, args...)})
}

// Test tells an expectation that was looked at: its name, which MUST be the same
// in every run, why it does not hold ("" if it does), and how long it took.
func (r *Run) Test(name, bad string, took time.Duration) {
	r.tell(Event{Kind: Tested, Name: name, Text: bad, Took: took})
}

// Measure tells a number that is worth being compared between runs. Its unit
// belongs to its name: "seconds of the roll".
func (r *Run) Measure(name string, number float64) {
	r.tell(Event{Kind: Measured, Name: name, Text: strconv.FormatFloat(number, 'f', -1, 64)})
}

func (r *Run) tell(e Event) {
	if r.env.Tell == nil {
		return
	}
	e.Time, e.Flow = r.env.Clock.Now(), r.flow
	if e.Step == "" {
		e.Step = r.step
	}
	r.shared.tellMu.Lock()
	defer r.shared.tellMu.Unlock()
	r.env.Tell(e)
}

// Do runs the steps in order until one fails. Its error is the step's as a
// *StepError, joined by a *LeftBehindError for every undo that failed. A panic
// goes on after everything was taken back.
func Do[S any](ctx context.Context, env Env, s *S, steps ...Step[S]) (err error) {
	if env.Clock == nil {
		env.Clock = clock.System{}
	}
	if env.UndoTime <= 0 {
		env.UndoTime = 10 * time.Minute
	}
	run := &Run{env: env, shared: &shared{}}
	returned := false
	defer func() {
		// A panic (or Goexit of a failed test) passes through here too.
		left := run.takeBack(ctx, err != nil || !returned)
		if len(left) > 0 {
			err = errors.Join(append([]error{err}, left...)...)
		}
	}()
	err = sequence(ctx, run, s, steps)
	returned = true
	return err
}

func sequence[S any](ctx context.Context, run *Run, s *S, steps []Step[S]) error {
	for i, step := range steps {
		if err := perform(ctx, run, s, step, i+1, len(steps)); err != nil {
			return err
		}
	}
	return nil
}

func perform[S any](ctx context.Context, parent *Run, s *S, step Step[S], index, total int) error {
	name := step.String()
	run := &Run{env: parent.env, step: name, flow: parent.flow, shared: parent.shared}
	if err := ctx.Err(); err != nil {
		return &StepError{name, index, total, context.Cause(ctx)}
	}
	if sk, ok := step.(Skipper[S]); ok {
		if reason := sk.Skip(s); reason != "" {
			run.tell(Event{Kind: Skipped, Text: reason, Index: index, Total: total})
			return nil
		}
	}
	start := run.env.Clock.Now()
	run.tell(Event{Kind: Started, Index: index, Total: total})
	err := step.Run(ctx, run, s)
	took := run.env.Clock.Now().Sub(start)
	if err != nil {
		run.tell(Event{Kind: Failed, Text: err.Error(), Took: took, Index: index, Total: total})
		return &StepError{name, index, total, err}
	}
	run.tell(Event{Kind: Done, Took: took, Index: index, Total: total})
	return nil
}

// takeBack empties the stack, newest first, and returns what it could not take back.
func (r *Run) takeBack(ctx context.Context, failed bool) (left []error) {
	for {
		r.shared.mu.Lock()
		n := len(r.shared.stack)
		if n == 0 {
			r.shared.mu.Unlock()
			return left
		}
		e := r.shared.stack[n-1]
		r.shared.stack = slices.Delete(r.shared.stack, n-1, n)
		r.shared.mu.Unlock()
		if !failed && !e.always {
			continue
		}
		if err := r.undo(ctx, e); err != nil {
			left = append(left, &LeftBehindError{What: e.what, Err: err})
		}
	}
}

func (r *Run) undo(ctx context.Context, e entry) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.env.UndoTime)
	defer cancel()
	defer func() {
		// One undo that panics must not keep the others from running.
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			r.tell(Event{Kind: LeftBehind, Name: e.what, Text: err.Error()})
		}
	}()
	r.tell(Event{Kind: Undoing, Name: e.what})
	return e.fn(ctx)
}
