package trail

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"
)

// update moves one ref of the remote from Old to New; "" is "not there".
type update struct{ Ref, Old, New string }

// push moves the refs, all or none. An answer that got lost is looked up: what
// is there afterwards decides, not what was heard. A ref that somebody else
// moved is an Error of kind Moved.
func (t *Trail) push(ctx context.Context, op string, hooks bool, updates ...update) error {
	args := []string{"push", "--quiet", "--no-follow-tags"}
	if !hooks {
		args = append(args, "--no-verify")
	}
	if t.o.Private {
		args = append([]string{"-c", "core.hooksPath=" + os.DevNull}, args...)
	}
	if len(updates) > 1 {
		args = append(args, "--atomic")
	}
	for _, u := range updates {
		args = append(args, "--force-with-lease="+u.Ref+":"+u.Old)
	}
	args = append(args, t.pushURL)
	for _, u := range updates {
		args = append(args, u.New+":"+u.Ref)
	}
	for try := 1; ; try++ {
		_, err := t.git.remote(ctx, t.o.Timeout, op, args...)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if e := (*Error)(nil); len(updates) > 1 && errors.As(err, &e) && strings.Contains(e.Text, "--atomic") {
			return t.pushEach(ctx, op, hooks, updates)
		}
		if readErr := t.readRefs(ctx); readErr != nil {
			return err
		}
		done, moved := true, ""
		for _, u := range updates {
			if is := t.refs[u.Ref]; is != u.New {
				done = false
				if is != u.Old {
					moved = u.Ref
				}
			}
		}
		switch {
		case done:
			return nil
		case moved != "":
			return &Error{Kind: Moved, Op: op, Text: "somebody else pushed to " + moved, Err: err, Next: nextOf[Moved]}
		case try == 4 || !IsKind(err, Moved) && !IsKind(err, Network):
			return err
		}
		// A neighbour held the ref for a moment, or the line broke.
		if err := t.o.Clock.Sleep(ctx, time.Duration(try)*200*time.Millisecond); err != nil {
			return err
		}
	}
}

// pushEach is for servers that cannot move several refs at once.
func (t *Trail) pushEach(ctx context.Context, op string, hooks bool, updates []update) error {
	for _, u := range updates {
		if err := t.push(ctx, op, hooks, u); err != nil {
			return err
		}
	}
	return nil
}
