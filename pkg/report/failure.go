// Package report words what a run did: events as lines for people, JSON for
// machines, the error with its next step, the summary. It is the only writer
// to the terminal.
package report

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// The exit codes. They are a promise to scripts: never change one.
const (
	OK            = 0   // done, or nothing to do
	Internal      = 1   // a bug or something nobody foresaw
	Usage         = 2   // bad arguments, bad configuration, bad working tree
	Guard         = 3   // credentials missing, or another account, region, branch than meant
	BakeFailed    = 4   // the image was not made, or is not good
	Policy        = 5   // drift or provenance forbid it
	RehearsalFail = 6   // the rehearsal failed, production is untouched
	RolledBack    = 7   // production was rolled back cleanly
	Declined      = 8   // nobody said yes
	Timeout       = 9   // out of time; the same command goes on
	Locked        = 10  // somebody else is at it
	NeedsHuman    = 11  // production needs a person
	TrailPending  = 12  // released, but the Git trail is not written yet
	Detached      = 130 // interrupted; the same command goes on
)

// Failure is an error as a person needs it. Flows return it; what lies below
// returns plain errors.
type Failure struct {
	Code  int      // exit code
	ID    string   // stable name: "E-REH-07"
	What  string   // what failed, lower case
	Where string   // step, stack, instance, log
	State string   // what production is like now
	Next  []string // commands to go on with, each with "# what for" if it needs one
	Err   error    // the cause
}

// Error is the id, what failed and the cause.
func (f *Failure) Error() string {
	s := f.What
	if f.ID != "" {
		s = f.ID + " " + s
	}
	if f.Err != nil && f.Err.Error() != f.What {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// ExitStatus is the exit code, in the form Mage looks for.
func (f *Failure) ExitStatus() int {
	if f.Code == 0 {
		return Internal
	}
	return f.Code
}

// Code is the exit code of an error: that of the outermost Failure in it,
// Detached for a run that was interrupted, Timeout for one out of time.
func Code(err error) int {
	var f *Failure
	switch {
	case err == nil:
		return OK
	case errors.As(err, &f):
		return f.ExitStatus()
	case errors.Is(err, context.Canceled):
		return Detached
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return Internal
}

// AsFailure is err as a Failure: the outermost one in it, with what the
// pipeline knows about the place added, or a new one.
func AsFailure(err error) *Failure {
	if err == nil {
		return nil
	}
	var out Failure
	if f := (*Failure)(nil); errors.As(err, &f) {
		out = *f
	} else {
		out = Failure{Code: Code(err), What: err.Error()}
		switch out.Code {
		case Detached:
			out.ID, out.What = "E-RUN-130", "interrupted"
			out.Next = []string{"the same command again  # it goes on where this one stopped"}
		case Timeout:
			out.ID = "E-RUN-09"
			out.Next = []string{"the same command again  # it goes on where this one stopped"}
		default:
			out.ID = "E-RUN-01"
		}
	}
	var step *pipeline.StepError
	if out.Where == "" && errors.As(err, &step) {
		out.Where = fmt.Sprintf("step %d/%d, %s", step.Index, step.Total, step.Step)
	}
	return &out
}

// left is every undo that failed, in err.
func left(err error) []*pipeline.LeftBehindError {
	var out []*pipeline.LeftBehindError
	var walk func(error)
	walk = func(err error) {
		if l, ok := err.(*pipeline.LeftBehindError); ok { //nolint:errorlint // the tree is walked by hand
			out = append(out, l)
			return
		}
		switch u := err.(type) { //nolint:errorlint // the tree is walked by hand
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return out
}

// Format is the error in its four lines: what, where, state, next. log is the
// path of the full log, "" if there is none.
func Format(err error, log string) string {
	f := AsFailure(err)
	if f == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "✖ %s\n", oneLine(f.Error()))
	where := f.Where
	if log != "" {
		if where != "" {
			where += " "
		}
		where += "(log: " + log + ")"
	}
	line := func(label, text string) {
		if text == "" {
			return
		}
		fmt.Fprintf(&b, "  %-7s %s\n", label, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n          "))
	}
	line("where", where)
	line("state", f.State)
	for _, l := range left(err) {
		line("left", fmt.Sprintf("%s (%v)", l.What, l.Err))
	}
	line("next", strings.Join(f.Next, "\n"))
	return b.String()
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
