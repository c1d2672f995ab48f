package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/compute/machines"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

const (
	region = "eu-west-1"
	factor = 200
)

// place is a stack on a local AWS, with two images to run.
type place struct {
	*testing.T
	l      *lab.Lab
	s      *stack.Stack
	body   map[string]string // by image
	images [2]string
	events []stack.Event
}

func newPlace(t *testing.T) *place {
	t.Helper()
	// A machine that is busy with other tests must still signal within PauseTime.
	p := &place{T: t, l: lab.Start(t, func(o *lab.Options) { o.Factor = factor }), body: map[string]string{}}
	for i := range p.images {
		ref := fmt.Sprint("image-", i)
		require.NoError(t, p.l.Memory().AddImage(ref, memory.Site("Hello", ref)))
		var err error
		p.images[i], err = p.l.AddImage(region, ref, ref, nil)
		require.NoError(t, err)
		p.body[p.images[i]] = body(t, p.images[i])
	}
	p.s = p.open()
	return p
}

// body is the environment without what needs a hosted zone and alarms.
func body(t *testing.T, image string) string {
	t.Helper()
	e := template.Environment(template.Shape{Site: "web", Zones: 2})
	e.Resources = slices.DeleteFunc(e.Resources, func(r *template.Resource) bool {
		kind := r.Properties.AWSCloudFormationType()
		return strings.HasPrefix(kind, "AWS::CloudWatch") || strings.HasPrefix(kind, "AWS::SNS") || strings.HasPrefix(kind, "AWS::Route53")
	})
	e.Outputs = slices.DeleteFunc(e.Outputs, func(o template.Output) bool {
		return slices.Contains([]string{"TopicArn", "TicketsArn", "Dashboard"}, o.ID)
	})
	b, err := e.Body()
	require.NoError(t, err)
	b, err = template.SetImage(b, image)
	require.NoError(t, err)
	return string(b)
}

// open is what a new process would have.
func (p *place) open() *stack.Stack {
	cfg := aws.Config{
		Region: region, BaseEndpoint: aws.String(p.l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 20*time.Millisecond })
		},
		HTTPClient: &http.Client{},
	}
	s := stack.Open(stack.Options{
		AWS: cfg, Machines: machines.Of(compute.New(cfg)), Poll: config.Poll{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond}, Factor: factor,
	}).Stack("web-production")
	s.Tell = func(e stack.Event) {
		p.Logf("%s", e)
		p.events = append(p.events, e)
	}
	return s
}

func (p *place) change(name string, image int, d int) stack.Change {
	return stack.Change{
		Name: name, Body: p.body[p.images[image]], Image: p.images[image], Tags: map[string]string{"chain:site": "web"},
		Parameters: map[string]string{
			"InstanceType": "t3.small", "DesiredCapacity": fmt.Sprint(d), "MinSize": "1", "MaxSize": fmt.Sprint(2 * d), "Domain": "www.hello.example",
			"ZoneName": "hello.example", "Certificate": "",
		},
	}
}

var gate = stack.Gate{Boot: 5 * time.Minute}

// do proposes, executes and follows.
func (p *place) do(c stack.Change, g stack.Gate) *stack.Outcome {
	p.Helper()
	prop, err := p.s.Propose(p.Context(), c)
	require.NoError(p, err)
	require.NoError(p, p.s.Execute(p.Context(), prop))
	out, err := p.s.Follow(p.Context(), stack.Operation{Token: c.Name, StackID: prop.StackID, Gate: g})
	require.NoError(p, err)
	return out
}

func (p *place) create() *stack.State {
	p.Helper()
	c := p.change("create", 0, 2)
	c.Create = true
	out := p.do(c, gate)
	require.Equal(p, "CREATE_COMPLETE", out.Status, out.Why())
	return p.read()
}

func (p *place) read() *stack.State {
	p.Helper()
	st, err := p.s.Read(p.Context())
	require.NoError(p, err)
	return st
}

func (p *place) fault(kind string, match, args map[string]string, times int) {
	p.Helper()
	_, err := p.l.Fault(state.Fault{Kind: kind, Match: match, Args: args, Times: times})
	require.NoError(p, err)
}

func TestTheLifeOfAStack(t *testing.T) {
	p := newPlace(t)
	_, err := p.s.Read(t.Context())
	require.ErrorIs(t, err, stack.ErrAbsent)

	before := p.create()
	assert.Equal(t, p.images[0], before.Image())
	assert.Equal(t, []string{p.images[0]}, before.Images())
	assert.Equal(t, p.body[p.images[0]], before.Body)
	assert.Equal(t, stack.Capacity{Min: 1, Max: 4, Desired: 2}, before.Group.Capacity)
	assert.Equal(t, p.images[0], before.Group.Template.Image)
	assert.NotEmpty(t, before.Outputs["Addresses"])

	again, err := p.s.Propose(t.Context(), p.change("again", 0, 2))
	require.NoError(t, err)
	assert.True(t, again.Empty)

	out := p.do(p.change("update", 1, 2), gate)
	require.Equal(t, "UPDATE_COMPLETE", out.Status, out.Why())
	assert.Equal(t, []string{p.images[1]}, p.read().Images())
	assert.Positive(t, out.Took())

	out = p.do(p.change("back", 0, 2), gate)
	require.Equal(t, "UPDATE_COMPLETE", out.Status, out.Why())
	assert.Empty(t, stack.Differences(before, p.read()))

	condemn := gate
	condemn.Condemn = 2
	out = p.do(p.change("fail", 1, 2), condemn)
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.Status)
	assert.Contains(t, out.Why(), "failed on purpose")
	assert.Empty(t, stack.Differences(before, p.read()))

	require.NoError(t, p.s.Delete(t.Context(), "delete"))
	_, err = p.s.Status(t.Context())
	require.ErrorIs(t, err, stack.ErrAbsent)
	require.NoError(t, p.s.Delete(t.Context(), "delete"), "deleting twice is fine")
}

func TestAProtectedStackIsNotDeleted(t *testing.T) {
	p := newPlace(t)
	p.create()
	require.NoError(t, p.s.Protect(t.Context(), `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"Update:*","Resource":"*"}]}`))
	st := p.read()
	assert.True(t, st.Protected)
	assert.NotEmpty(t, st.Policy)
	require.ErrorIs(t, p.s.Delete(t.Context(), "delete"), stack.ErrKept)
}

func TestTheImageOfAChangeSetIsAsserted(t *testing.T) {
	p := newPlace(t)
	p.create()
	c := p.change("update", 1, 2)
	c.Parameters["ImageId"] = p.images[0] // as somebody would who sends the value that is there
	_, err := p.s.Propose(t.Context(), c)
	require.ErrorIs(t, err, stack.ErrNotProposed)
	assert.Contains(t, err.Error(), p.images[1])
}

func TestBadMachinesAreTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		args map[string]string
		why  string
	}{
		"page broken":    {map[string]string{"broken": "true"}, "was not healthy 5m0s after its start"},
		"never boots":    {map[string]string{"never": "true"}, "failed its status check"},
		"boots and dies": {map[string]string{"die": "1ms"}, "is stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			before := p.create()
			// Every machine of the image: the group may replace a dead one before anybody has looked at it.
			p.fault("machine", map[string]string{"stack": "web-production", "image": p.images[1]}, c.args, -1)
			out := p.do(p.change("update", 1, 2), gate)
			assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.Status)
			assert.Contains(t, out.Why(), c.why)
			assert.Empty(t, stack.Differences(before, p.read()))
		})
	}
}

func TestAGroupThatCannotLaunch(t *testing.T) {
	p := newPlace(t)
	before := p.create()
	p.fault("no-capacity", nil, nil, -1)
	out := p.do(p.change("update", 1, 2), gate)
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.Status)
	assert.Contains(t, out.Why(), "cannot launch")
	assert.Empty(t, stack.Differences(before, p.read()))
}

func TestAWatcherCancels(t *testing.T) {
	p := newPlace(t)
	before := p.create()
	prop, err := p.s.Propose(t.Context(), p.change("update", 1, 2))
	require.NoError(t, err)
	require.NoError(t, p.s.Execute(t.Context(), prop))
	out, err := p.s.Follow(t.Context(), stack.Operation{Token: "update", Gate: gate, Watch: func(context.Context) error { return assert.AnError }})
	require.NoError(t, err)
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.Status)
	assert.Contains(t, out.Why(), assert.AnError.Error())
	assert.Empty(t, stack.Differences(before, p.read()))
}

// TestAFollowerThatDies is replaced at every event by one that knows nothing.
func TestAFollowerThatDies(t *testing.T) {
	p := newPlace(t)
	p.create()
	prop, err := p.s.Propose(t.Context(), p.change("update", 1, 2))
	require.NoError(t, err)
	require.NoError(t, p.s.Execute(t.Context(), prop))
	for range 200 {
		p.s = p.open()
		ctx, cancel := context.WithCancel(t.Context())
		tell, n := p.s.Tell, 0
		p.s.Tell = func(e stack.Event) {
			tell(e)
			if n++; n > 8 {
				cancel()
			}
		}
		again, err := p.s.Propose(ctx, p.change("update", 1, 2))
		require.NoError(t, err)
		assert.True(t, again.Started, "the operation is found by its name")
		require.NoError(t, p.s.Execute(ctx, again))
		_, err = p.s.Follow(ctx, stack.Operation{Token: "update", Gate: gate})
		cancel()
		if d, err := p.s.Status(t.Context()); err == nil && stack.Ended(d.Status) {
			break
		}
		require.Error(t, err)
	}
	p.s = p.open()
	out, err := p.s.Follow(t.Context(), stack.Operation{Token: "update", Gate: gate})
	require.NoError(t, err)
	assert.Equal(t, "UPDATE_COMPLETE", out.Status, out.Why())
	assert.Equal(t, 2, p.l.Calls()["cloudformation.ExecuteChangeSet"])
}

func TestAFailedRollbackIsLedOut(t *testing.T) {
	p := newPlace(t)
	before := p.create()
	p.fault("rollback-failure", map[string]string{"logical": "Group"}, nil, 1)
	condemn := gate
	condemn.Condemn = 2
	out := p.do(p.change("update", 1, 2), condemn)
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.Status)
	assert.Equal(t, 1, p.l.Calls()["cloudformation.ContinueUpdateRollback"])
	assert.Empty(t, stack.Differences(before, p.read()))
}

func TestARollbackThatFailsForEverNeedsAPerson(t *testing.T) {
	p := newPlace(t)
	p.create()
	p.fault("rollback-failure", map[string]string{"logical": "Group"}, nil, -1)
	condemn := gate
	condemn.Condemn = 2
	prop, err := p.s.Propose(t.Context(), p.change("update", 1, 2))
	require.NoError(t, err)
	require.NoError(t, p.s.Execute(t.Context(), prop))
	_, err = p.s.Follow(t.Context(), stack.Operation{Token: "update", Gate: condemn})
	require.ErrorIs(t, err, stack.ErrStuck)
	assert.Equal(t, 2, p.l.Calls()["cloudformation.ContinueUpdateRollback"])
}

func TestSignalsAreOnlyForThisRollsMachines(t *testing.T) {
	p := newPlace(t)
	before := p.create()
	old := map[string]bool{}
	for _, i := range before.Group.Instances {
		old[i.ID] = true
	}
	p.events = nil
	p.do(p.change("update", 1, 2), gate)
	n := 0
	for _, e := range p.events {
		if id, ok := strings.CutPrefix(e.Reason, "Received SUCCESS signal with UniqueId "); ok {
			assert.False(t, old[id], "%s was there before", id)
			n++
		}
	}
	assert.Equal(t, 2, n)
}
