package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Func makes a Step of a function, for steps that need no fields.
func Func[S any](name string, fn func(ctx context.Context, run *Run, s *S) error) Step[S] {
	return funcStep[S]{name, fn}
}

type funcStep[S any] struct {
	name string
	fn   func(ctx context.Context, run *Run, s *S) error
}

func (f funcStep[S]) String() string { return f.name }

func (f funcStep[S]) Run(ctx context.Context, run *Run, s *S) error { return f.fn(ctx, run, s) }

// Together makes one Step of several branches that run at the same time, each
// a list of steps in order. The first failure cancels the others' context, and
// all of them are waited for. The branches MUST touch different fields of S.
func Together[S any](name string, branches ...[]Step[S]) Step[S] {
	return together[S]{name, branches}
}

type together[S any] struct {
	name     string
	branches [][]Step[S]
}

func (t together[S]) String() string { return t.name }

func (t together[S]) Run(ctx context.Context, run *Run, s *S) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg       sync.WaitGroup
		errs     = make([]error, len(t.branches))
		panicked = make([]any, len(t.branches))
	)
	for i, steps := range t.branches {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panicked[i] = p
					cancel(errStopped)
				}
			}()
			branch := &Run{env: run.env, step: run.step, flow: strings.TrimPrefix(fmt.Sprintf("%s.%d", run.flow, i+1), "."), shared: run.shared}
			if errs[i] = sequence(ctx, branch, s, steps); errs[i] != nil {
				cancel(errStopped)
			}
		})
	}
	wg.Wait()
	for _, p := range panicked {
		if p != nil {
			panic(p) // in the caller's goroutine, so that Do takes everything back
		}
	}
	return firstCause(errs)
}

var errStopped = errors.New("stopped because a step beside it failed")

// firstCause leaves out what failed only because another branch did.
func firstCause(errs []error) error {
	var own, cut []error
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, errStopped), errors.Is(err, context.Canceled):
			cut = append(cut, err)
		default:
			own = append(own, err)
		}
	}
	if len(own) == 0 {
		own = cut
	}
	if len(own) == 1 {
		return own[0]
	}
	return errors.Join(own...)
}

// List is the names of steps, one per line, branches of Together indented: what
// a golden test of a flow compares.
func List[S any](steps ...Step[S]) string {
	var b strings.Builder
	list(&b, "", steps)
	return b.String()
}

func list[S any](b *strings.Builder, indent string, steps []Step[S]) {
	for _, s := range steps {
		b.WriteString(indent + s.String() + "\n")
		if t, ok := s.(together[S]); ok {
			for _, branch := range t.branches {
				b.WriteString(indent + "  at the same time\n")
				list(b, indent+"    ", branch)
			}
		}
	}
}
