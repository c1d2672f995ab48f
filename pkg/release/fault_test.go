package release_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// up is a world with a first release in production.
func up(t *testing.T) (w *world, key string) {
	t.Helper()
	w = released.open(t)
	return w, w.keys[0]
}

// ready is up with a second page, which was rehearsed.
func ready(t *testing.T, options ...func(*lab.Options)) (w *world, key, next string) {
	t.Helper()
	w = rehearsed.open(t, options...)
	return w, w.keys[0], w.keys[1]
}

func TestARehearsalThatFailsLeavesProductionAlone(t *testing.T) {
	t.Parallel()
	w, key := up(t)
	_, next := w.page(t, "Hello World, again")
	w.fault(t, "machine", map[string]string{"stack": "web-test-*", "version": "2"}, map[string]string{"broken": "true"}, -1)
	_, err := w.release(t)
	require.Error(t, err)
	assert.Equal(t, report.RehearsalFail, report.Code(err), "%v", err)
	assert.Equal(t, []string{"web-production"}, w.stacks(), "the test stack is deleted")
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Len(t, w.history(t), 1, "no number was claimed")

	require.NoError(t, w.l.ClearFaults())
	_, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, next, w.get(t, "/version"))
}

func TestAFaultInProductionOnlyIsRolledBack(t *testing.T) {
	t.Parallel()
	w, key, _ := ready(t)
	w.fault(t, "machine", map[string]string{"stack": "web-production"}, map[string]string{"broken": "true"}, -1)
	record := map[string][]string{}
	s, err := w.run(t.Context(), t, false, 0, func(e pipeline.Event) {
		if e.Kind == pipeline.Output && strings.HasPrefix(e.Name, "i-") {
			record[e.Name] = append(record[e.Name], e.Text)
		}
	})
	require.Error(t, err)
	assert.Equal(t, report.RolledBack, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "was not healthy")
	require.NotEmpty(t, record, "what is known of a machine that failed is kept in the log")
	var failure *report.Failure
	require.ErrorAs(t, err, &failure)
	for id, lines := range record {
		text := strings.Join(lines, "\n")
		assert.Contains(t, text, id+" was not healthy")
		assert.Regexp(t, `(?m)^\d\d:\d\d:\d\d\.\d+ target unhealthy \(Target\.\w+: .*\), machine running$`, text)
		assert.Contains(t, text, "boot 1 of ", "its console")
		assert.Contains(t, failure.Where, id)
	}
	assert.Equal(t, key, w.get(t, "/version"))
	for _, a := range s.Available {
		assert.Zero(t, a.Failed, "%s: %s", a.Phase, a)
	}
	h := w.history(t)
	require.Len(t, h, 2)
	assert.Equal(t, trail.RolledBack, h[0].Outcome.Result, "the trail knows it, too")
	for _, form := range w.recorded("SignalResource") {
		if strings.Contains(form.Get("StackName"), "production") {
			assert.Equal(t, "FAILURE", form.Get("Status"))
		}
	}

	require.NoError(t, w.l.ClearFaults())
	s, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, 3, s.Release.Number)
	assert.NotEmpty(t, s.Rehearsal.Skip, "the same change was rehearsed already")
}

func TestUsePreviousValueIsNeverSent(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	w.page(t, "Hello World, again")
	_, err := w.release(t)
	require.NoError(t, err)
	var updates int
	for _, form := range w.recorded("CreateChangeSet") {
		name := form.Get("ChangeSetName")
		if strings.Contains(name, "-outside-") {
			continue // what watches the page from another region has no image
		}
		image := false
		for k, v := range form {
			assert.NotContains(t, k, "UsePreviousValue", name)
			if strings.HasSuffix(k, ".ParameterKey") {
				image = image || v[0] == "ImageId"
				assert.True(t, form.Has(strings.TrimSuffix(k, "Key")+"Value"), "%s: %s has no value", name, v[0])
			}
		}
		switch {
		case strings.HasSuffix(name, "-update"), strings.HasSuffix(name, "-fail"), name == "release-2":
			assert.False(t, image, "%s: the default of ImageId applies", name)
			updates++
		default:
			assert.True(t, image, "%s: what ran is sent as a value", name)
		}
		if form.Get("ChangeSetType") == "UPDATE" {
			assert.True(t, form.Has("RollbackConfiguration.MonitoringTimeInMinutes"), "%s: %v", name, keysOf(form))
		}
	}
	assert.Equal(t, 3, updates)
	for _, form := range w.recorded("ExecuteChangeSet") {
		assert.Equal(t, "false", form.Get("DisableRollback"))
	}
}

func keysOf(form url.Values) []string {
	var out []string
	for k := range form {
		out = append(out, k)
	}
	return out
}

func TestCapacityThatSomebodyChangedIsKept(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	c := w.chain(t)
	s, err := c.Stack().Read(t.Context())
	require.NoError(t, err)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	asg := autoscaling.NewFromConfig(cfg)
	_, err = asg.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &s.Group.Name, DesiredCapacity: aws.Int32(3)})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		g, err := c.Account.Group(t.Context(), s.Group.Name)
		return err == nil && len(g.Serving()) == 3 && g.Serving()[2].Health == "healthy"
	}, 10*time.Second, 10*time.Millisecond)

	_, key := w.page(t, "Hello World, again")
	w.forget()
	st, err := w.release(t)
	require.NoError(t, err)
	assert.Equal(t, 3, st.Live.Group.Capacity.Desired)
	assert.Equal(t, "3", st.Live.Parameters["DesiredCapacity"])
	assert.Len(t, st.Live.Group.Serving(), 3)
	assert.Equal(t, key, w.get(t, "/version"))
	var order []string
	for _, form := range w.recorded("ExecuteChangeSet") {
		if token := form.Get("ClientRequestToken"); strings.HasPrefix(token, "release-") {
			order = append(order, token)
		}
	}
	assert.Equal(t, []string{"release-2-capacity", "release-2"}, order)
}

func TestLostAnswersThrottlingAndStaleReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.page(t, "Hello World")
	lost := func(before bool) {
		for _, action := range []string{"CreateChangeSet", "ExecuteChangeSet", "DeleteStack", "SignalResource", "UpdateTerminationProtection", "SetStackPolicy"} {
			w.fault(t, "lost-answer", map[string]string{"action": action}, map[string]string{"before": fmt.Sprint(before)}, 2)
		}
	}
	lost(false)
	w.fault(t, "throttle", map[string]string{"service": "cloudformation"}, nil, 3)
	_, err := w.release(t)
	require.NoError(t, err)
	assert.Equal(t, key, w.get(t, "/version"))

	_, key = w.page(t, "Hello World, again")
	lost(true)
	lost(false)
	w.fault(t, "stale", nil, nil, 20)
	w.fault(t, "unknown-status", nil, nil, 5)
	w.fault(t, "throttle", map[string]string{"service": "autoscaling"}, nil, 3)
	w.fault(t, "throttle", map[string]string{"action": "DescribeTargetHealth"}, nil, 3)
	_, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Len(t, w.history(t), 2)
	assert.Equal(t, []string{"web-production"}, w.stacks())
}

func TestAFailedRollbackIsLedOut(t *testing.T) {
	t.Parallel()
	w, key, _ := ready(t)
	w.fault(t, "machine", map[string]string{"stack": "web-production"}, map[string]string{"broken": "true"}, -1)
	w.fault(t, "rollback-failure", map[string]string{"stack": "web-production"}, nil, 1)
	_, err := w.release(t)
	require.Error(t, err)
	assert.Equal(t, report.RolledBack, report.Code(err), "%v", err)
	assert.NotEmpty(t, w.recorded("ContinueUpdateRollback"))
	for _, form := range w.recorded("ContinueUpdateRollback") {
		for k := range form {
			assert.NotContains(t, k, "ResourcesToSkip", "nothing is ever skipped")
		}
	}
	assert.Equal(t, key, w.get(t, "/version"))
}

func TestAGroupThatCannotLaunchIsCancelled(t *testing.T) {
	t.Parallel()
	w, key, _ := ready(t)
	w.fault(t, "no-capacity", map[string]string{"stack": "web-production"}, nil, -1)
	_, err := w.release(t)
	require.Error(t, err)
	assert.Equal(t, report.RolledBack, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "cannot launch")
	assert.NotEmpty(t, w.recorded("CancelUpdateStack"))
	assert.Equal(t, key, w.get(t, "/version"))
}

func TestAHalfMadeProductionIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.page(t, "Hello World")
	w.fault(t, "machine", map[string]string{"stack": "web-production"}, map[string]string{"broken": "true"}, -1)
	_, err := w.release(t)
	require.Error(t, err)
	assert.Equal(t, report.RolledBack, report.Code(err), "%v", err)
	require.NoError(t, w.l.ClearFaults())
	_, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, key, w.get(t, "/version"))
}

func TestRollbackGoesBackByTheRehearsedWay(t *testing.T) {
	t.Parallel()
	w := changed.open(t)
	first, second := w.keys[0], w.keys[1]
	require.Equal(t, second, w.get(t, "/version"))
	s, err := w.run(t.Context(), t, false, -1)
	require.NoError(t, err)
	assert.Equal(t, 3, s.Release.Number)
	assert.NotEmpty(t, s.Rehearsal.Skip, "the way back was rehearsed with the way there")
	assert.Equal(t, first, w.get(t, "/version"))
	s, err = w.run(t.Context(), t, false, 2)
	require.NoError(t, err)
	assert.Equal(t, second, w.get(t, "/version"))
	assert.Equal(t, "rollback", s.Release.Operation)
	_, err = w.run(t.Context(), t, false, 77)
	assert.Equal(t, report.Usage, report.Code(err), "%v", err)
}

func TestAnInterruptedRollbackIsFinishedAndNotTakenBack(t *testing.T) {
	t.Parallel()
	w := changed.open(t, patient)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := w.run(ctx, t, false, -1, func(e pipeline.Event) {
		if e.Kind == pipeline.Note && strings.Contains(e.Text, "Terminating instance") {
			w.cut.Store(true)
			cancel()
		}
	})
	require.Error(t, err)
	s, err := w.run(t.Context(), t, false, -1)
	require.NoError(t, err)
	assert.NotEmpty(t, s.Nothing)
	assert.Equal(t, w.keys[0], w.get(t, "/version"))
	outcome, _ := s.Summary(time.Second)
	assert.Contains(t, outcome, "release 3, which was interrupted")
	assert.Len(t, w.history(t), 3)
}

// TestStoppedAnywhereItGoesOn cuts a run off at the start of a step, and while
// production changes, and has a second one end what the first began. It takes
// the steps that matter most, with CHAIN_TEST_EVERY=1 every one there is.
func TestStoppedAnywhereItGoesOn(t *testing.T) {
	steps := []string{"update the test stack to the candidate", "write down the intent", "write down the outcome"}
	every := os.Getenv("CHAIN_TEST_EVERY") != ""
	if every {
		steps = nil
		w, _ := up(t)
		w.page(t, "Hello World, again")
		_, err := w.run(t.Context(), t, false, 0, func(e pipeline.Event) {
			if e.Kind == pipeline.Started {
				steps = append(steps, e.Step)
			}
		})
		require.NoError(t, err)
	}
	following := func(e pipeline.Event, text string) bool {
		return e.Kind == pipeline.Note && e.Step == "follow it" && strings.Contains(e.Text, text)
	}
	moments := map[string]func(pipeline.Event) bool{
		"before the surge": func(e pipeline.Event) bool { return following(e, "LaunchTemplate UPDATE_COMPLETE") },
		"after the surge":  func(e pipeline.Event) bool { return following(e, "Terminating instance") },
	}
	for _, name := range steps {
		moments[name] = func(e pipeline.Event) bool { return e.Kind == pipeline.Started && e.Step == name }
	}
	for name, is := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w *world
			if every || strings.Contains(name, "test stack") {
				w, _ = up(t)
				w.page(t, "Hello World, again")
			} else {
				w, _, _ = ready(t, patient)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			hit := false
			_, err := w.run(ctx, t, false, 0, func(e pipeline.Event) {
				if !hit && is(e) {
					hit = true
					w.cut.Store(true) // nothing reaches AWS any more, as after a SIGKILL
					cancel()
				}
			})
			require.True(t, hit)
			// What is done is written down even then.
			require.True(t, err != nil || name == "write down the outcome")
			_, err = w.release(t)
			require.NoError(t, err)
			assert.Equal(t, w.keys[1], w.get(t, "/version"))
			assert.Equal(t, []string{"web-production"}, w.stacks())
			h := w.history(t)
			require.Len(t, h, 2, "no second release")
			assert.Equal(t, trail.Released, h[0].Outcome.Result)
			begun := map[string]bool{}
			for _, form := range w.recorded("ExecuteChangeSet") {
				begun[form.Get("ClientRequestToken")] = true
			}
			assert.True(t, begun["release-2"])
			assert.False(t, begun["release-3"])
			c := w.chain(t)
			s, err := c.Stack().Read(t.Context())
			require.NoError(t, err)
			assert.Len(t, s.Group.Serving(), 2)
		})
	}
}

func BenchmarkTestAndRelease(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, func(o *lab.Options) { o.Factor = 1000 })
		w.page(b, "Hello World")
		if _, err := w.release(b); err != nil {
			b.Fatal(err)
		}
		w.page(b, "Hello World, again")
		b.StartTimer()
		if _, err := w.release(b); err != nil {
			b.Fatal(err)
		}
	}
}
