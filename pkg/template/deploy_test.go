package template_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// account is a lab, with the clients that a deployment needs. Signals are sent
// by hand: what is tested is the template alone.
type account struct {
	t      *testing.T
	lab    *lab.Lab
	target *config.Target
	cfn    *cloudformation.Client
	asg    *autoscaling.Client
	elb    *elb.Client
	dns    *route53.Client
	values map[string]string
}

func newAccount(t *testing.T) *account {
	t.Helper()
	// PauseTime is 9 s then, long enough for a machine that is busy with other tests.
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 100 })
	target := &config.Target{
		Name: "lab", Account: lab.Account, Region: "eu-west-1", Endpoint: l.Endpoint(), SOCKS: l.SOCKS(), Factor: 100,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Poll: config.Poll{Min: 2 * time.Millisecond, Max: 50 * time.Millisecond},
	}
	cfg, err := target.AWS(t.Context())
	require.NoError(t, err)
	_, e := load(t)
	return &account{
		t, l, target, cloudformation.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg), elb.NewFromConfig(cfg), route53.NewFromConfig(cfg), template.Parameters(e),
	}
}

// image makes an AMI whose page tells key.
func (a *account) image(key string) string {
	a.t.Helper()
	require.NoError(a.t, a.lab.Memory().AddImage(key, memory.Site("<h1>Hello World</h1>", key)))
	id, err := a.lab.AddImage("eu-west-1", key, key, nil)
	require.NoError(a.t, err)
	return id
}

// body is the shipped template with an image.
func (a *account) body(ami string) string {
	a.t.Helper()
	c, e := load(a.t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(a.t, err)
	body, err = template.SetImage(body, ami)
	require.NoError(a.t, err)
	return string(body)
}

const stackName = "web-production"

// propose makes a change set.
func (a *account) propose(kind cfn.ChangeSetType, name, body string) *cloudformation.DescribeChangeSetOutput {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	var values []cfn.Parameter
	for _, k := range slices.Sorted(maps.Keys(a.values)) {
		values = append(values, cfn.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(a.values[k])})
	}
	_, err := a.cfn.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
		StackName: aws.String(stackName), ChangeSetName: aws.String(name), ChangeSetType: kind, TemplateBody: aws.String(body), Parameters: values,
	})
	require.NoError(a.t, err)
	var set *cloudformation.DescribeChangeSetOutput
	require.NoError(a.t, a.target.Poll.Until(ctx, clock.System{}, func(ctx context.Context) (bool, error) {
		set, err = a.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: aws.String(stackName), ChangeSetName: aws.String(name)})
		return err == nil && set.Status != cfn.ChangeSetStatusCreatePending && set.Status != cfn.ChangeSetStatusCreateInProgress, err
	}))
	require.Equal(a.t, cfn.ChangeSetStatusCreateComplete, set.Status, aws.ToString(set.StatusReason))
	return set
}

// change makes a change set, executes it, signals healthy instances and waits
// for the end. It returns the change set's changes.
func (a *account) change(kind cfn.ChangeSetType, name, body, want string) []cfn.Change {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	set := a.propose(kind, name, body)
	ami, err := template.Image([]byte(body))
	require.NoError(a.t, err)
	for _, p := range set.Parameters {
		if aws.ToString(p.ParameterKey) == "ImageId" {
			assert.Equal(a.t, ami, aws.ToString(p.ParameterValue), "the new default is what applies")
		}
	}
	_, err = a.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: aws.String(stackName), ChangeSetName: aws.String(name)})
	require.NoError(a.t, err)
	status := ""
	require.NoError(a.t, a.target.Poll.Until(ctx, clock.System{}, func(ctx context.Context) (bool, error) {
		out, err := a.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
		if err != nil {
			return false, err
		}
		status = string(out.Stacks[0].StackStatus)
		if strings.HasSuffix(status, "_IN_PROGRESS") {
			a.signal(ctx)
			return false, nil
		}
		return true, nil
	}), "%s", a.events())
	require.Equal(a.t, want, status, "%s", a.events())
	return set.Changes
}

// signal sends SUCCESS for every instance that the balancer calls healthy.
func (a *account) signal(ctx context.Context) {
	out, err := a.cfn.DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: aws.String(stackName), LogicalResourceId: aws.String(template.TargetGroupID)})
	if err != nil || aws.ToString(out.StackResourceDetail.PhysicalResourceId) == "" {
		return // not made yet
	}
	health, err := a.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: out.StackResourceDetail.PhysicalResourceId})
	if err != nil {
		return
	}
	for _, h := range health.TargetHealthDescriptions {
		if h.TargetHealth.State == "healthy" {
			// Too early, too late and twice are all refused, which is fine here.
			_, _ = a.cfn.SignalResource(ctx, &cloudformation.SignalResourceInput{
				StackName: aws.String(stackName), LogicalResourceId: aws.String(template.GroupID), UniqueId: h.Target.Id, Status: cfn.ResourceSignalStatusSuccess,
			})
		}
	}
}

func (a *account) events() string {
	out, err := a.cfn.DescribeStackEvents(context.WithoutCancel(a.t.Context()), &cloudformation.DescribeStackEventsInput{StackName: aws.String(stackName)})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range slices.Backward(out.StackEvents) {
		b.WriteString(string(e.ResourceStatus) + " " + aws.ToString(e.LogicalResourceId) + " " + aws.ToString(e.ResourceStatusReason) + "\n")
	}
	return b.String()
}

func (a *account) outputs() map[string]string {
	a.t.Helper()
	out, err := a.cfn.DescribeStacks(a.t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
	require.NoError(a.t, err)
	m := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		m[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return m
}

func TestTheTemplateComesUpRollsWithoutALossAndGoes(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.change(cfn.ChangeSetTypeCreate, "create", a.body(a.image("key-1")), "CREATE_COMPLETE")
	outputs := a.outputs()
	addresses := strings.Split(outputs["Addresses"], ",")
	require.Len(t, addresses, 2)
	assert.Equal(t, "http://www.hello.example/", outputs["Url"])
	assert.NotEmpty(t, outputs["TargetGroup"])

	check := verify.Checker{Dial: a.target.Dial, DNS: a.dns}
	expect := verify.Expect{Domain: "www.hello.example", Zone: "hello.example", Addresses: addresses, Keys: []string{"key-1"}}
	_, err := check.Check(t.Context(), expect)
	require.NoError(t, err)

	// Production is guarded; a roll is what the guard lets through.
	policy, err := os.ReadFile(filepath.Join(root, template.StackPolicyPath))
	require.NoError(t, err)
	_, err = a.cfn.SetStackPolicy(t.Context(), &cloudformation.SetStackPolicyInput{StackName: aws.String(stackName), StackPolicyBody: aws.String(string(policy))})
	require.NoError(t, err)

	probe := verify.Prober{Dial: a.target.Dial, Domain: "www.hello.example", Addresses: addresses, Rate: 30}.Start(t.Context(), "roll", "key-1", "key-2")
	changes := a.change(cfn.ChangeSetTypeUpdate, "update", a.body(a.image("key-2")), "UPDATE_COMPLETE")
	result := probe.Stop()
	require.NoError(t, result.Err())
	assert.NotZero(t, result.Requests)

	var changed []string
	for _, c := range changes {
		changed = append(changed, aws.ToString(c.ResourceChange.LogicalResourceId)+" "+string(c.ResourceChange.Action)+" "+string(c.ResourceChange.Replacement))
	}
	slices.Sort(changed)
	// Whatever refers to the group is looked at again; nothing is replaced.
	assert.Contains(t, changed, "LaunchTemplate Modify False")
	assert.Contains(t, changed, "Group Modify Conditional")
	for _, c := range changed {
		assert.NotContains(t, c, " True")
	}

	expect.Keys = []string{"key-2"}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := check.Check(t.Context(), expect)
		assert.NoError(c, err)
	}, 10*time.Second, 20*time.Millisecond, "old instances drain")

	groups, err := a.asg.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{outputs["GroupName"]}})
	require.NoError(t, err)
	require.Len(t, groups.AutoScalingGroups, 1)
	g := groups.AutoScalingGroups[0]
	assert.EqualValues(t, 2, aws.ToInt32(g.DesiredCapacity))
	assert.EqualValues(t, 2, aws.ToInt32(g.MinSize))
	assert.EqualValues(t, 4, aws.ToInt32(g.MaxSize))
	assert.Empty(t, g.SuspendedProcesses)

	_, err = a.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String(stackName)})
	require.NoError(t, err)
	a.gone()
}

// gone waits for the end of the stack's deletion.
func (a *account) gone() {
	a.t.Helper()
	require.EventuallyWithT(a.t, func(c *assert.CollectT) {
		_, err := a.cfn.DescribeStacks(a.t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
		assert.ErrorContains(c, err, "does not exist")
		assert.Empty(c, a.lab.Status().Machines)
	}, 60*time.Second, 20*time.Millisecond)
}

func TestTheTemplateIsValidBeforeTheFirstBake(t *testing.T) {
	a := newAccount(t)
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	_, err = a.cfn.ValidateTemplate(t.Context(), &cloudformation.ValidateTemplateInput{TemplateBody: aws.String(string(body))})
	require.NoError(t, err, "the template is sound, only its image is not there")
}
