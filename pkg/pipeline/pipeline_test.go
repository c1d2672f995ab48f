package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

type state struct{ log []string }

func step(name string, fn func(ctx context.Context, run *pipeline.Run, s *state) error) pipeline.Step[state] {
	return pipeline.Func(name, fn)
}

// makes is a step that makes something, with an undo and a defer that log.
func makes(name string, err error) pipeline.Step[state] {
	return step("make "+name, func(_ context.Context, run *pipeline.Run, s *state) error {
		s.log = append(s.log, "made "+name)
		run.Undo("undo "+name, func(context.Context) error { s.log = append(s.log, "undid "+name); return nil })
		run.Defer("drop "+name, func(context.Context) error { s.log = append(s.log, "dropped "+name); return nil })
		return err
	})
}

func TestSuccessRunsOnlyWhatWasDeferredNewestFirst(t *testing.T) {
	var s state
	require.NoError(t, pipeline.Do(t.Context(), pipeline.Env{}, &s, makes("a", nil), makes("b", nil)))
	assert.Equal(t, []string{"made a", "made b", "dropped b", "dropped a"}, s.log)
}

func TestFailureTakesEverythingBackNewestFirstTheFailedStepIncluded(t *testing.T) {
	var s state
	cause := errors.New("no capacity")
	err := pipeline.Do(t.Context(), pipeline.Env{}, &s, makes("a", nil), makes("b", cause), makes("c", nil))
	require.ErrorIs(t, err, cause)
	var failed *pipeline.StepError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "make b", failed.Step)
	assert.Equal(t, 2, failed.Index)
	assert.Equal(t, 3, failed.Total)
	assert.Equal(t, "make b: no capacity", err.Error())
	assert.Equal(t, []string{"made a", "made b", "dropped b", "undid b", "dropped a", "undid a"}, s.log)
}

func TestUndoHasALiveBoundedContextAfterCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var inUndo error
	var bounded bool
	ran := false
	err := pipeline.Do(ctx, pipeline.Env{UndoTime: time.Minute}, &state{},
		step("start", func(_ context.Context, run *pipeline.Run, _ *state) error {
			run.Undo("it", func(ctx context.Context) error {
				inUndo = ctx.Err()
				_, bounded = ctx.Deadline()
				return nil
			})
			cancel()
			return nil
		}),
		step("never", func(context.Context, *pipeline.Run, *state) error { ran = true; return nil }))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, inUndo)
	assert.True(t, bounded)
	assert.False(t, ran, "a step was started after the context ended")
}

func TestUndoThatHangsIsBounded(t *testing.T) {
	err := pipeline.Do(t.Context(), pipeline.Env{UndoTime: 20 * time.Millisecond}, &state{},
		step("fail", func(_ context.Context, run *pipeline.Run, _ *state) error {
			run.Undo("the stack", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			return errors.New("broken")
		}))
	var left *pipeline.LeftBehindError
	require.ErrorAs(t, err, &left)
	assert.Equal(t, "the stack", left.What)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "fail: broken")
}

func TestFailedUndosAreJoinedAndDoNotStopTheOthers(t *testing.T) {
	var undone []string
	add := func(run *pipeline.Run, name string, err error) {
		run.Undo(name, func(context.Context) error { undone = append(undone, name); return err })
	}
	cause := errors.New("cause")
	err := pipeline.Do(t.Context(), pipeline.Env{}, &state{}, step("x", func(_ context.Context, run *pipeline.Run, _ *state) error {
		add(run, "one", errors.New("stuck 1"))
		run.Undo("two", func(context.Context) error { panic("boom") })
		add(run, "three", errors.New("stuck 3"))
		return cause
	}))
	assert.Equal(t, []string{"three", "one"}, undone)
	require.ErrorIs(t, err, cause)
	for _, text := range []string{"x: cause", "left behind: three: stuck 3", "left behind: two: panic: boom", "left behind: one: stuck 1"} {
		assert.ErrorContains(t, err, text)
	}
}

func TestDeferThatFailsIsAnErrorOfAGoodRun(t *testing.T) {
	err := pipeline.Do(t.Context(), pipeline.Env{}, &state{}, step("x", func(_ context.Context, run *pipeline.Run, _ *state) error {
		run.Defer("test stack", func(context.Context) error { return errors.New("in use") })
		return nil
	}))
	require.EqualError(t, err, "left behind: test stack: in use")
}

func TestPanicTakesBackAndGoesOn(t *testing.T) {
	var s state
	require.PanicsWithValue(t, "bug", func() {
		_ = pipeline.Do(t.Context(), pipeline.Env{}, &s, makes("a", nil), step("bug", func(context.Context, *pipeline.Run, *state) error { panic("bug") }))
	})
	assert.Equal(t, []string{"made a", "dropped a", "undid a"}, s.log)
}

type skipped struct{ pipeline.Step[state] }

func (skipped) Skip(*state) string { return "nothing changed" }

func TestSkipIsAskedBeforeRunAndTellsWhy(t *testing.T) {
	var s state
	var events []pipeline.Event
	env := pipeline.Env{Tell: func(e pipeline.Event) { events = append(events, e) }}
	require.NoError(t, pipeline.Do(t.Context(), env, &s, skipped{makes("a", nil)}, makes("b", nil)))
	assert.Equal(t, []string{"made b", "dropped b"}, s.log)
	assert.Equal(t, pipeline.Skipped, events[0].Kind)
	assert.Equal(t, "nothing changed", events[0].Text)
	assert.Equal(t, "make a", events[0].Step)
}

func TestEventsTellTheStory(t *testing.T) {
	c := clock.NewManual(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	var story []string
	env := pipeline.Env{Clock: c, Tell: func(e pipeline.Event) {
		story = append(story, fmt.Sprintf("%s|%s|%s|%s|%s", e.Kind, e.Step, e.Name, e.Text, e.Took))
	}}
	_ = pipeline.Do(t.Context(), env, &state{}, step("bake", func(_ context.Context, run *pipeline.Run, _ *state) error {
		run.Fact("ami", "ami-1")
		run.Note("%d of %d", 1, 2)
		run.Await("the image")
		out := run.Output("packer")
		_, _ = io.WriteString(out, "one\r\ntwo\nthr")
		_, _ = io.WriteString(out, "ee")
		_ = out.Close()
		c.Advance(3 * time.Second)
		run.Undo("image", func(context.Context) error { return nil })
		return errors.New("spec failed")
	}))
	assert.Equal(t, []string{
		"started|bake|||0s", "fact|bake|ami|ami-1|0s", "note|bake||1 of 2|0s", "await|bake||the image|0s",
		"output|bake|packer|one|0s", "output|bake|packer|two|0s", "output|bake|packer|three|0s",
		"failed|bake||spec failed|3s", "undoing||image||0s",
	}, story)
}

func TestTogetherRunsBranchesAtTheSameTime(t *testing.T) {
	meet := make(chan struct{})
	s := state{}
	wait := func(ctx context.Context, _ *pipeline.Run, _ *state) error {
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, pipeline.Do(ctx, pipeline.Env{}, &s, pipeline.Together("prepare",
		[]pipeline.Step[state]{step("bake", wait)}, []pipeline.Step[state]{step("bring up", wait)})))
}

func TestTogetherFailsWithTheCauseAndStopsTheOthers(t *testing.T) {
	var mu sync.Mutex
	var undone []string
	made := make(chan struct{})
	cause := errors.New("bad spec")
	err := pipeline.Do(t.Context(), pipeline.Env{}, &state{}, pipeline.Together("prepare",
		[]pipeline.Step[state]{step("bake", func(context.Context, *pipeline.Run, *state) error { <-made; return cause })},
		[]pipeline.Step[state]{step("bring up", func(ctx context.Context, run *pipeline.Run, _ *state) error {
			run.Undo("stack", func(context.Context) error { mu.Lock(); undone = append(undone, "stack"); mu.Unlock(); return nil })
			close(made)
			<-ctx.Done()
			return ctx.Err()
		})}))
	require.ErrorIs(t, err, cause)
	assert.EqualError(t, err, "prepare: bake: bad spec")
	assert.Equal(t, []string{"stack"}, undone)
}

func TestTogetherPanicsInTheCallersGoroutine(t *testing.T) {
	var s state
	require.PanicsWithValue(t, "bug", func() {
		_ = pipeline.Do(t.Context(), pipeline.Env{}, &s, makes("a", nil), pipeline.Together("both",
			[]pipeline.Step[state]{step("bug", func(context.Context, *pipeline.Run, *state) error { panic("bug") })}))
	})
	assert.Equal(t, []string{"made a", "dropped a", "undid a"}, s.log)
}

func TestListShowsAFlow(t *testing.T) {
	list := pipeline.List(makes("a", nil), pipeline.Together("both", []pipeline.Step[state]{makes("b", nil)}, []pipeline.Step[state]{makes("c", nil)}))
	assert.Equal(t, strings.Join([]string{
		"make a", "both", "  at the same time", "    make b", "  at the same time", "    make c", "",
	}, "\n"), list)
}
