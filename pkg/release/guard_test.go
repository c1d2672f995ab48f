package release_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	gocloudwatch "github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// writes are the calls that change something.
func (w *world) writes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, c := range w.calls {
		if !strings.HasPrefix(c.action, "Describe") && !strings.HasPrefix(c.action, "Get") && !strings.HasPrefix(c.action, "List") {
			out = append(out, c.action)
		}
	}
	return out
}

// A CI system checks out a commit, not a branch; it names the plan instead.
func TestADetachedHeadIsEnoughWithANamedPlan(t *testing.T) {
	t.Parallel()
	w, _, _ := ready(t)
	w.git(t, "checkout", "-q", "--detach")
	ch := w.chain(t)
	ch.Target.Ask = true
	s := ch.Start()
	s.Yes, s.Expect = true, "000000000000"
	err := s.Do(t.Context(), pipeline.Env{})
	assert.Equal(t, report.Declined, report.Code(err), "%v", err)
	assert.ErrorContains(t, err, "not 000000000000")
}

func TestGuardsComeBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*world, *release.Chain)
		code  int
		says  string
	}{
		"another account": {func(_ *world, c *release.Chain) { c.Target.Account = "222222222222" }, report.Guard, "222222222222"},
		"a dirty tree": {func(w *world, _ *release.Chain) {
			_ = os.WriteFile(filepath.Join(w.clone, "puppet", "page"), []byte("changed"), 0o644)
		}, report.Guard, "puppet/page"},
		"a template that nobody rendered": {func(_ *world, c *release.Chain) { c.Environment.Sizes.Zones = 3 }, report.Usage, "is not what chain.yaml says"},
		"a detached HEAD where a person is asked": {func(w *world, c *release.Chain) {
			c.Target.Ask = true
			w.git(t, "checkout", "-q", "--detach")
		}, report.Guard, "on no branch"},
		"somebody else's to release": {func(_ *world, c *release.Chain) { c.Environment.Rules.Releasers = []string{"*@ops.example"} }, report.Policy, "may not release web-production"},
		"a freeze": {func(_ *world, c *release.Chain) {
			c.Environment.Rules.Freezes = []config.Freeze{{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Owner: "Jo", Reason: "the sale"}}
		}, report.Policy, "the sale"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.page(t, "Hello World")
			ch := w.chain(t)
			w.forget()
			c.spoil(w, ch)
			err := ch.Start().Do(t.Context(), pipeline.Env{})
			assert.Equal(t, c.code, report.Code(err), "%v", err)
			assert.Contains(t, err.Error(), c.says)
			assert.Empty(t, w.writes())
			locks, err := ch.Trail.Locks(t.Context())
			require.NoError(t, err)
			assert.Empty(t, locks)
		})
	}
}

func TestRehearsalsGetOldAndRollbacksNeedNone(t *testing.T) {
	t.Parallel()
	w, first, second := ready(t)
	do := func(set func(*release.State)) (*release.State, error) {
		s := w.chain(t).Start()
		set(s)
		return s, s.Do(t.Context(), pipeline.Env{})
	}
	s, err := do(func(s *release.State) { s.TestOnly = true })
	require.NoError(t, err)
	assert.Contains(t, s.Rehearsal.Skip, "rehearsed already")

	// What moved since then is named, before anything is rehearsed.
	file := filepath.Join(w.clone, config.File)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	w.write(t, file, strings.Replace(string(b), "          instance_type: t3.small", "          instance_type: t3.medium", 1))
	w.commit(t, "chain.yaml: larger machines")
	ctx, cancel := context.WithCancel(t.Context())
	_, err = w.run(ctx, t, true, 0, func(e pipeline.Event) {
		if e.Kind == pipeline.Note && strings.HasPrefix(e.Text, "rehearsing again: ") {
			assert.Equal(t, "rehearsing again: since this image was rehearsed these moved: the candidate's parameter InstanceType", e.Text)
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled, "the note was seen")
	w.write(t, file, string(b))
	w.commit(t, "chain.yaml: as it was")

	s, err = do(func(s *release.State) { s.TestOnly, s.Again = true, true })
	require.NoError(t, err)
	assert.Contains(t, s.Expired, "asked for")
	assert.NotEmpty(t, s.Rehearsal.Record.Seconds)
	s, err = do(func(s *release.State) { s.Environment.Rules.Evidence = time.Nanosecond })
	require.NoError(t, err)
	assert.Contains(t, s.Expired, "counts for 1ns")
	assert.NotEmpty(t, s.Rehearsal.Record.Seconds, "it was rehearsed again")
	require.Equal(t, second, w.get(t, "/version"))

	s, err = do(func(s *release.State) {
		s.Back = -1
		s.Environment.Rules.Evidence = time.Nanosecond
		s.Environment.Rules.Freezes = []config.Freeze{{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Owner: "Jo", Reason: "the sale"}}
	})
	require.NoError(t, err)
	assert.Equal(t, first, w.get(t, "/version"), "a rollback waits for no rehearsal and no freeze")
	assert.Empty(t, s.Rehearsal.Record.Seconds)
	h, err := s.Trail.History(t.Context(), s.Place, 1)
	require.NoError(t, err)
	assert.Equal(t, "it ran in production before release 2", h[0].Details["unrehearsed"], "and the trail says so")
}

func TestWhatHasBegunEndsInAFreeze(t *testing.T) {
	t.Parallel()
	w, _, second := ready(t, patient)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := w.run(ctx, t, false, 0, func(e pipeline.Event) {
		if e.Kind == pipeline.Note && strings.Contains(e.Text, "Rolling update initiated") && strings.Contains(e.Step, "follow") {
			w.cut.Store(true)
			cancel()
		}
	})
	require.Error(t, err)
	w.cut.Store(false)
	s := w.chain(t).Start()
	s.Environment.Rules.Freezes = []config.Freeze{{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Owner: "Jo", Reason: "the sale"}}
	require.NoError(t, s.Do(t.Context(), pipeline.Env{}))
	assert.Equal(t, second, w.get(t, "/version"))
}

func TestAlarmsThatFire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Nobody sends this metric, so the alarm stays as the test sets it.
	w.extend = []template.Extend{func(tpl *template.Template, _ *config.Environment) error {
		tpl.Add("Sales", &gocloudwatch.Alarm{
			Namespace: aws.String("Shop"), MetricName: aws.String("Sales"), Statistic: aws.String("Sum"), Period: aws.Int(60), ComparisonOperator: "LessThanThreshold",
			Threshold: aws.Float64(1), EvaluationPeriods: 1, TreatMissingData: aws.String("ignore"),
		}).Metadata = template.Trigger(template.Data(0))
		return nil
	}}
	w.render(t)
	_, first := w.page(t, "Hello World")
	s, err := w.release(t)
	require.NoError(t, err)

	alarms := cloudwatch.New(cloudwatch.Options{
		Region: region, BaseEndpoint: aws.String(w.l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
	})
	_, err = alarms.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{
		AlarmName: aws.String(s.Live.Resources["Sales"].ID), StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("nothing is sold"),
	})
	require.NoError(t, err)
	_, second := w.page(t, "Hello World, again")
	w.forget()
	_, err = w.release(t)
	assert.Equal(t, report.Policy, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "nothing is sold")
	assert.Empty(t, w.writes())
	_, rows, err := w.chain(t).Status(t.Context())
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(rows), "nothing is sold")

	s = w.chain(t).Start()
	s.Fix = true
	require.NoError(t, s.Do(t.Context(), pipeline.Env{}))
	assert.Equal(t, second, w.get(t, "/version"))
	_, err = w.run(t.Context(), t, false, -1)
	require.NoError(t, err)
	assert.Equal(t, first, w.get(t, "/version"))
	changes := 0
	for _, f := range w.recorded("CreateChangeSet") {
		if f.Get("StackName") == "web-production" {
			changes++
			assert.Empty(t, f.Get("RollbackConfiguration.RollbackTriggers.member.1.Arn"))
			assert.True(t, f.Has("RollbackConfiguration.RollbackTriggers"), "none is said, not nothing: else the old ones stay")
		}
	}
	assert.Equal(t, 2, changes)
}

func TestAnUnknownImageAsDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.clone, "cloudformation", "web", "production.eu-west-1.yaml")
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	body, err = template.SetImage(body, "ami-0123456789abcdef0")
	require.NoError(t, err)
	w.write(t, path, string(body))
	w.page(t, "Hello World")
	w.forget()
	_, err = w.release(t)
	assert.Equal(t, report.Usage, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "ami-0123456789abcdef0")
	assert.Empty(t, w.writes())
}

func TestNoRoomIsToldBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.page(t, "Hello World")
	ch := w.chain(t)
	ch.Environment.Sizes.Zones = 2
	// Four of five addresses are in use by somebody else.
	for range 4 {
		w.allocate(t)
	}
	w.forget()
	_, err := w.release(t)
	assert.Equal(t, report.Guard, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "4 of 5 Elastic IP addresses are used, 2 more are needed")
	assert.Empty(t, w.writes())
}

func TestSomebodyElseIsAtIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.page(t, "Hello World")
	other := w.chain(t)
	l, err := other.Trail.Lock(t.Context(), other.Place.LockName(), trail.Holder{User: "ada", Run: "other", What: "release", Step: "think"})
	require.NoError(t, err)
	w.forget()
	_, err = w.release(t)
	assert.Equal(t, report.Locked, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), "ada")
	assert.Contains(t, err.Error(), "think")
	assert.Empty(t, w.writes())
	ch := w.chain(t)
	_, err = ch.BreakLock(t.Context(), l.Held().Run)
	assert.Equal(t, report.Locked, report.Code(err), "it lives: %v", err)
	_, err = ch.BreakLock(t.Context(), "99999999")
	assert.Equal(t, report.Usage, report.Code(err), "%v", err)
	var f *report.Failure
	require.ErrorAs(t, err, &f)
	assert.Contains(t, strings.Join(f.Next, "\n"), "lock:break "+l.Held().Run+"  # web/production", "what there is to break is named")
	require.NoError(t, l.Release(t.Context()))
}

func TestApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.page(t, "Hello World")
	run := func(ask func(context.Context, string) (string, error)) error {
		ch := w.chain(t)
		ch.Target.Ask, ch.Ask = true, ask
		return ch.Start().Do(t.Context(), pipeline.Env{})
	}
	answer := func(text string) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) { return text, nil }
	}
	err := run(nil)
	assert.Equal(t, report.Declined, report.Code(err), "%v", err)
	assert.Empty(t, w.stacks(), "not even a stack of nothing but a proposal is left")
	err = run(answer("yes\n"))
	assert.Equal(t, report.Declined, report.Code(err), "only the stack's name is a yes: %v", err)
	assert.Empty(t, w.history(t), "no number was claimed")
	require.NoError(t, run(answer("web-production\n")))
	assert.Equal(t, key, w.get(t, "/version"))

	_, key = w.page(t, "Hello World, again")
	err = run(answer(""))
	assert.Equal(t, report.Declined, report.Code(err), "%v", err)

	beforehand := func(expect string) (*release.State, error) {
		ch := w.chain(t)
		ch.Target.Ask = true
		s := ch.Start()
		s.Yes, s.Expect = true, expect
		return s, s.Do(t.Context(), pipeline.Env{})
	}
	s, err := beforehand("")
	assert.Equal(t, report.Declined, report.Code(err), "a yes to nothing is none: %v", err)
	ch := w.chain(t)
	ch.Target.Ask = true
	lines, err := ch.Diff(t.Context())
	require.NoError(t, err)
	assert.Contains(t, strings.Join(lines, "\n"), "plan: "+s.PlanID()+", web-production in account")
	_, err = beforehand("0123456789ab")
	assert.Equal(t, report.Declined, report.Code(err), "%v", err)
	assert.Contains(t, err.Error(), s.PlanID())
	_, err = beforehand(s.PlanID())
	require.NoError(t, err)
	assert.Equal(t, key, w.get(t, "/version"))
	w.page(t, "Hello World, once more")
	_, err = beforehand(s.PlanID())
	assert.Equal(t, report.Declined, report.Code(err), "the plan is another: %v", err)
	assert.Equal(t, []string{"web-production"}, w.stacks(), "the test stack that came up meanwhile is gone")
}

func TestTestAloneLeavesProductionAlone(t *testing.T) {
	t.Parallel()
	w, key := up(t)
	_, next := w.page(t, "Hello World, again")
	s, err := w.run(t.Context(), t, true, 0)
	require.NoError(t, err)
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Equal(t, []string{"web-production"}, w.stacks())
	outcome, _ := s.Summary(0)
	assert.Contains(t, outcome, "rehearsed")
	s, err = w.release(t)
	require.NoError(t, err)
	assert.NotEmpty(t, s.Rehearsal.Skip)
	assert.Equal(t, next, w.get(t, "/version"))
}

func TestStatusHistoryDiffAndSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.chain(t)
	outcome, _, err := c.Status(t.Context())
	require.NoError(t, err)
	assert.Contains(t, outcome, "web-production is not there")
	lines, err := c.History(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"no release yet"}, lines)
	lines, err = c.Diff(t.Context())
	require.NoError(t, err)
	assert.Contains(t, strings.Join(lines, "\n"), "would be created")

	w.page(t, "Hello World")
	_, err = w.release(t)
	require.NoError(t, err)
	c = w.chain(t)
	outcome, rows, err := c.Status(t.Context())
	require.NoError(t, err)
	assert.Contains(t, outcome, "web-production is CREATE_COMPLETE")
	assert.LessOrEqual(t, len(rows), 11)
	lines, err = c.History(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, lines, 2)
	assert.Contains(t, lines[1], "released")
	lines, err = c.Diff(t.Context())
	require.NoError(t, err)
	assert.Empty(t, lines)

	ami, _ := w.page(t, "Hello World, again")
	c = w.chain(t)
	lines, err = c.Diff(t.Context())
	require.NoError(t, err)
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"plan: ", "image: ", " -> " + ami, "image package upgraded: apache2 Hello World -> Hello World, again",
		"template Parameters.ImageId.Default: ", "not rehearsed yet", "to undo it later: ./station.sh rollback",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "drift")

	// Somebody turns a knob by hand.
	s, err := c.Stack().Read(t.Context())
	require.NoError(t, err)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	grace := func(seconds int32) {
		_, err := autoscaling.NewFromConfig(cfg).UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: &s.Group.Name, HealthCheckGracePeriod: &seconds,
		})
		require.NoError(t, err)
	}
	grace(999)
	w.forget()
	lines, err = c.Diff(t.Context())
	require.NoError(t, err)
	drift := "Group (AWS::AutoScaling::AutoScalingGroup) /HealthCheckGracePeriod: 300 in the template, 999 in the account"
	assert.Contains(t, lines, "drift: "+drift)
	assert.Equal(t, []string{"DetectStackDrift"}, slices.Compact(w.writes()), "it only looks")
	_, err = w.release(t)
	require.ErrorContains(t, err, drift)
	assert.Equal(t, report.Policy, report.Code(err), "%v", err)
	assert.Equal(t, []string{"web-production"}, w.stacks(), "the test stack that came up meanwhile is gone")
	st := w.chain(t).Start()
	require.Equal(t, report.Usage, report.Code(st.DriftPolicy("revert")))
	require.NoError(t, st.DriftPolicy("accept"))
	st.TestOnly = true
	require.NoError(t, st.Do(t.Context(), pipeline.Env{}))
	var r rehearsal.Record
	require.NoError(t, json.Unmarshal(w.evidence(t).Record, &r))
	assert.Equal(t, []string{drift}, r.Living.Drift.Lines(), "the evidence says what production was like")
	assert.Len(t, r.Living.Machines, 2)
	assert.Equal(t, 2, r.Living.Capacity.Desired)
	c = w.chain(t)
	lines, err = c.Diff(t.Context())
	require.NoError(t, err)
	text = strings.Join(lines, "\n")
	assert.Contains(t, text, "rehearsed Modify   Group  AWS::AutoScaling::AutoScalingGroup  LaunchTemplate  replaced perhaps")
	assert.Contains(t, text, "expected time of the update: ")
	assert.Contains(t, text, "expected time of a way back: ")
	grace(300)
	w.page(t, "Hello World, once more")

	// A test run that dies leaves its stack, and a bake that dies an image.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = w.run(ctx, t, true, 0, func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "update the test stack to the candidate" {
			cancel()
		}
	})
	require.Error(t, err)
	require.NoError(t, w.l.Memory().AddImage("half", memory.Image{}))
	half, err := w.l.AddImage(region, "web-half-1", "half", map[string]string{
		image.TagKey: "half", image.TagRole: "web", image.TagState: image.Unproven, image.TagPurpose: "bake",
	})
	require.NoError(t, err)
	far, err := w.l.AddImage("us-east-1", "web-half-1", "half", map[string]string{
		image.TagKey: "half", image.TagRole: "web", image.TagState: image.Unproven, image.TagPurpose: "bake",
	})
	require.NoError(t, err)
	c = w.chain(t)
	// What was killed keeps its lock; that it is dead is known.
	dead := exec.Command("true")
	require.NoError(t, dead.Run())
	_, err = c.Trail.Lock(t.Context(), "image/web/half", trail.Holder{PID: dead.Process.Pid, What: "bake"})
	require.NoError(t, err)
	c.Environment.Regions = append(c.Environment.Regions, "us-east-1")
	elsewhere, err := c.Regions(t.Context())
	require.NoError(t, err)
	o := sweep.Options{Compute: c.Compute, Account: c.Account, Trail: c.Trail, Sites: []string{"web"}, Run: c.Run, Elsewhere: elsewhere}
	items, err := sweep.Find(t.Context(), o)
	require.NoError(t, err)
	last := items[len(items)-1]
	assert.Equal(t, far, last.ID)
	assert.Contains(t, last.Why, "in us-east-1")
	var found []string
	for _, i := range items {
		found = append(found, i.Kind+" "+i.ID)
	}
	assert.Equal(t, []string{"stack web-test-1", "image " + half}, found[:2], "%v", found)
	require.NoError(t, sweep.Remove(t.Context(), items, func(i sweep.Item) { t.Log(i) }))
	assert.Equal(t, []string{"web-production"}, w.stacks())
	items, err = sweep.Find(t.Context(), o)
	require.NoError(t, err)
	assert.Empty(t, items)
	_, err = w.release(t)
	require.NoError(t, err, "what is good was not swept")
}

func TestAnImageThatNobodyVouchesForIsNotEvenRehearsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ami, _ := w.page(t, "Hello World")
	require.NoError(t, w.chain(t).Compute.Tag(t.Context(), []string{ami}, map[string]string{image.TagCommit: "0000000"}))
	_, err := w.release(t)
	require.Error(t, err)
	assert.Equal(t, report.Policy, report.Code(err))
	assert.ErrorContains(t, err, "tag "+image.TagCommit+" of "+ami)
	assert.Empty(t, w.stacks())
	assert.Empty(t, w.recorded("RunInstances"))
}

// What somebody did to production by hand is on no test stack, and what is rehearsed
// there then proves nothing.
func TestATestStackThatIsNotLikeProductionProvesNothing(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	live, err := w.chain(t).Stack().Read(t.Context())
	require.NoError(t, err)
	cfg, err := w.chain(t).Target.AWS(t.Context())
	require.NoError(t, err)
	asg := autoscaling.NewFromConfig(cfg)
	_, err = asg.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String(live.Group.Name), ScalingProcesses: []string{"AlarmNotification"}})
	require.NoError(t, err)
	w.page(t, "Hello World, again")
	_, err = w.release(t)
	require.ErrorContains(t, err, `the test stack is not like production: suspended processes was AlarmNotification, is ""`)
	assert.Equal(t, report.RehearsalFail, report.Code(err))
	assert.Equal(t, []string{"web-production"}, w.stacks())
}
