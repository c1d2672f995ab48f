package cloudformation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
)

func (w *world) network(kv ...string) *cloudformation.CreateStackInput {
	return &cloudformation.CreateStackInput{StackName: "net", TemplateBody: w.template("network.yaml", ""), Parameters: parameters(kv...)}
}

func (w *world) change(kv ...string) *cloudformation.UpdateStackInput {
	return &cloudformation.UpdateStackInput{StackName: "net", TemplateBody: w.template("network.yaml", ""), Parameters: parameters(kv...)}
}

// up makes the network stack, complete, and forgets its events.
func (w *world) up(kv ...string) {
	w.t.Helper()
	must(w, cloudformation.CreateStack, w.network(kv...))
	w.until("net", "CREATE_COMPLETE")
	w.events("net")
}

// Order: the recorded snapshots of LocalStack's tests, and the CFN workshop of 2018.
func TestCreateTellsItsEvents(t *testing.T) {
	w := newWorld(t)
	w.create()
	assert.Equal(t, []string{
		"web CREATE_IN_PROGRESS: User Initiated",
		"Lt CREATE_IN_PROGRESS",
		"Lt CREATE_IN_PROGRESS: Resource creation Initiated",
		"Lt CREATE_COMPLETE",
		"Vpc CREATE_IN_PROGRESS",
		"Vpc CREATE_IN_PROGRESS: Resource creation Initiated",
		"Vpc CREATE_COMPLETE",
		"Subnet CREATE_IN_PROGRESS",
		"Subnet CREATE_IN_PROGRESS: Resource creation Initiated",
		"Subnet CREATE_COMPLETE",
		"Asg CREATE_IN_PROGRESS",
		"Asg CREATE_IN_PROGRESS: Resource creation Initiated",
		"Asg CREATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i1",
		"Asg CREATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i2",
		"Asg CREATE_COMPLETE",
		"web CREATE_COMPLETE",
	}, w.events("web"))
	st := w.stack("web")
	ids := map[string]bool{}
	for _, ev := range st.Events {
		assert.False(t, ids[ev.ID], "event ids are unique: %s", ev.ID)
		ids[ev.ID] = true
		assert.Equal(t, "create-1", ev.Token)
	}
	assert.Regexp(t, `^Lt-CREATE_IN_PROGRESS-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, st.Events[1].ID)
	assert.Empty(t, st.Events[1].PhysicalID)
	assert.NotEmpty(t, st.Events[2].PhysicalID)
	assert.Equal(t, st.ID, st.Events[0].PhysicalID)
	for _, i := range w.state.Regions[region].Instances {
		assert.Equal(t, "web", i.Tags["site"], "stack tags reach the instances")
		assert.Equal(t, "web", i.Tags["aws:cloudformation:stack-name"])
		assert.Equal(t, "Asg", i.Tags["aws:cloudformation:logical-id"])
	}
	assert.Equal(t, "web", w.state.Regions[region].VPCs[st.Resources["Vpc"].PhysicalID].Tags["site"])
}

func TestFailedCreateRollsBack(t *testing.T) {
	w := newWorld(t)
	must(w, cloudformation.CreateStack, w.network("SubnetCidr", "192.168.0.0/24"))
	w.until("net", "ROLLBACK_COMPLETE")
	events := w.events("net")
	assert.Regexp(t, `^Subnet CREATE_FAILED: Resource handler returned message: ".*\(Service: Ec2, Status Code: 400, Request ID: .*\)" \(RequestToken: .*, HandlerErrorCode: \w+\)$`, events[8])
	events[8] = "Subnet CREATE_FAILED"
	assert.Equal(t, []string{
		"net CREATE_IN_PROGRESS: User Initiated",
		"Topic CREATE_IN_PROGRESS",
		"Topic CREATE_IN_PROGRESS: Resource creation Initiated",
		"Topic CREATE_COMPLETE",
		"Vpc CREATE_IN_PROGRESS",
		"Vpc CREATE_IN_PROGRESS: Resource creation Initiated",
		"Vpc CREATE_COMPLETE",
		"Subnet CREATE_IN_PROGRESS",
		"Subnet CREATE_FAILED",
		"net ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Subnet]. Rollback requested by user.",
		"Subnet DELETE_COMPLETE",
		"Topic DELETE_IN_PROGRESS",
		"Vpc DELETE_IN_PROGRESS",
		"Topic DELETE_COMPLETE",
		"Vpc DELETE_COMPLETE",
		"net ROLLBACK_COMPLETE",
	}, events)
	assert.Empty(t, w.state.Regions[region].VPCs)
	assert.Empty(t, w.state.Regions[region].Topics)
	refused(w, cloudformation.UpdateStack, w.change(), "ValidationError", "Stack:"+w.stack("net").ID+" is in ROLLBACK_COMPLETE state and can not be updated.")
	must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net"})
	w.until("net", "DELETE_COMPLETE")
}

// Texts: hackoregon/civic-devops#282, buildkite/elastic-ci-stack-for-aws#130.
func TestGroupWithoutSignalsFailsItsCreation(t *testing.T) {
	w := newWorld(t)
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "web", TemplateBody: w.template("group.yaml", w.oldID)})
	w.until("web", "ROLLBACK_COMPLETE")
	events := strings.Join(w.events("web"), "\n")
	assert.Contains(t, events, "Asg UPDATE_IN_PROGRESS: Failed to receive 2 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.\n"+
		"Asg CREATE_FAILED: Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement\n"+
		"web ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Asg]. Rollback requested by user.")
	assert.Empty(t, w.state.Regions[region].Groups)
}

func TestOnFailure(t *testing.T) {
	w := newWorld(t)
	in := w.network("SubnetCidr", "192.168.0.0/24")
	in.OnFailure = "DO_NOTHING"
	must(w, cloudformation.CreateStack, in)
	w.until("net", "CREATE_FAILED")
	assert.Len(t, w.state.Regions[region].VPCs, 1, "what was made stays")
	must(w, cloudformation.RollbackStack, &cloudformation.RollbackStackInput{StackName: "net"})
	w.until("net", "ROLLBACK_COMPLETE")
	assert.Empty(t, w.state.Regions[region].VPCs)
	must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net"})
	w.until("net", "DELETE_COMPLETE")

	w.clock.Advance(time.Second)
	in.OnFailure = "DELETE"
	must(w, cloudformation.CreateStack, in)
	w.until("net", "DELETE_COMPLETE")
	in.DisableRollback = yes()
	refused(w, cloudformation.CreateStack, in, "ValidationError", "mutually exclusive")
}

func TestTimeoutInMinutes(t *testing.T) {
	w := newWorld(t)
	minutes := int64(3)
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "web", TemplateBody: w.template("group.yaml", w.oldID), TimeoutInMinutes: &minutes})
	w.until("web", "ROLLBACK_COMPLETE")
	assert.Contains(t, w.events("web"), "web ROLLBACK_IN_PROGRESS: Stack creation time exceeded the specified timeout. Rollback requested by user.")
}

// Order: the recorded snapshots of LocalStack's tests.
func TestReplacement(t *testing.T) {
	w := newWorld(t)
	w.up()
	old := w.stack("net").Resources["Subnet"].PhysicalID
	must(w, cloudformation.UpdateStack, w.change("SubnetCidr", "10.0.2.0/24"))
	w.until("net", "UPDATE_COMPLETE")
	assert.Equal(t, []string{
		"net UPDATE_IN_PROGRESS: User Initiated",
		"Subnet UPDATE_IN_PROGRESS: Requested update requires the creation of a new physical resource; hence creating one.",
		"Subnet UPDATE_IN_PROGRESS: Resource creation Initiated",
		"Subnet UPDATE_COMPLETE",
		"net UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
		"Subnet DELETE_IN_PROGRESS",
		"Subnet DELETE_COMPLETE",
		"net UPDATE_COMPLETE",
	}, w.events("net"))
	assert.NotContains(t, w.state.Regions[region].Subnets, old)
	st := w.stack("net")
	now := st.Resources["Subnet"].PhysicalID
	assert.NotEqual(t, old, now)
	assert.Equal(t, now, st.Outputs[0].Value)
	for _, ev := range st.Events {
		if strings.HasPrefix(ev.Status, "DELETE_") {
			assert.Equal(t, old, ev.PhysicalID)
		}
	}
}

// One update replaces a subnet, adds an address and removes the topic, and
// then fails: everything is as before, physical ids included.
func TestUpdateRollbackBringsBackWhatWas(t *testing.T) {
	w := newWorld(t)
	w.up()
	before := w.stack("net")
	subnet, topic, vpc := before.Resources["Subnet"].PhysicalID, before.Resources["Topic"].PhysicalID, before.Resources["Vpc"].PhysicalID
	body := strings.Replace(w.template("network.yaml", ""), "  Topic:\n    Type: AWS::SNS::Topic\n    Properties: {DisplayName: !Ref Environment}\n",
		"  Bad:\n    Type: AWS::EC2::Subnet\n    DependsOn: [Subnet, Address]\n    Properties: {VpcId: !Ref Vpc, CidrBlock: 192.168.0.0/24}\n", 1)
	require.NotContains(t, body, "Topic")
	in := w.change("SubnetCidr", "10.0.2.0/24", "Environment", "production")
	in.TemplateBody = strings.Replace(body, "    DeletionPolicy: Retain\n", "", 1)
	in.Tags = []cloudformation.Tag{{Key: "owner", Value: "me"}}
	must(w, cloudformation.UpdateStack, in)
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	events := strings.Join(w.events("net"), "\n")
	assert.Contains(t, events, "net UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Bad]. ")
	assert.Contains(t, events, "net UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS\nBad DELETE_COMPLETE\nAddress DELETE_IN_PROGRESS\nSubnet DELETE_IN_PROGRESS\nAddress DELETE_COMPLETE\nSubnet DELETE_COMPLETE\nnet UPDATE_ROLLBACK_COMPLETE")
	st := w.stack("net")
	assert.Equal(t, subnet, st.Resources["Subnet"].PhysicalID)
	assert.Equal(t, topic, st.Resources["Topic"].PhysicalID)
	assert.NotContains(t, st.Resources, "Address")
	assert.Contains(t, w.state.Regions[region].Subnets, subnet)
	assert.Contains(t, w.state.Regions[region].Topics, topic)
	assert.Empty(t, w.state.Regions[region].Addresses)
	assert.NotContains(t, w.state.Regions[region].VPCs[vpc].Tags, "owner", "tags are the previous ones")
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Empty(t, d.Tags)
	assert.Equal(t, "test", d.Parameters[0].ParameterValue)
	assert.Equal(t, subnet, d.Outputs[0].OutputValue)
}

func TestRetain(t *testing.T) {
	w := newWorld(t)
	w.up("Environment", "production")
	require.Len(t, w.state.Regions[region].Addresses, 1)
	must(w, cloudformation.UpdateStack, w.change())
	w.until("net", "UPDATE_COMPLETE")
	assert.Contains(t, w.events("net"), "Address DELETE_SKIPPED")
	assert.Len(t, w.state.Regions[region].Addresses, 1)
	assert.Len(t, w.stack("net").Outputs, 1)
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	w.up()
	id := w.stack("net").ID
	must(w, cloudformation.UpdateTerminationProtection, &cloudformation.UpdateTerminationProtectionInput{StackName: "net", EnableTerminationProtection: yes()})
	del := &cloudformation.DeleteStackInput{StackName: "net", ClientRequestToken: "delete-1"}
	refused(w, cloudformation.DeleteStack, del, "ValidationError", "Stack [net] cannot be deleted while TerminationProtection is enabled")
	no := false
	must(w, cloudformation.UpdateTerminationProtection, &cloudformation.UpdateTerminationProtectionInput{StackName: "net", EnableTerminationProtection: &no})
	must(w, cloudformation.DeleteStack, del)
	w.until("net", "DELETE_COMPLETE")
	assert.Equal(t, []string{
		"net DELETE_IN_PROGRESS: User Initiated",
		"Subnet DELETE_IN_PROGRESS", "Topic DELETE_IN_PROGRESS", "Subnet DELETE_COMPLETE", "Topic DELETE_COMPLETE",
		"Vpc DELETE_IN_PROGRESS", "Vpc DELETE_COMPLETE",
		"net DELETE_COMPLETE",
	}, w.events("net"))
	refused(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}, "ValidationError", "Stack with id net does not exist")
	refused(w, cloudformation.DescribeStackEvents, &cloudformation.DescribeStackEventsInput{StackName: "net"}, "ValidationError", "Stack [net] does not exist")
	out := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: id})
	assert.Equal(t, "DELETE_COMPLETE", out.Stacks[0].StackStatus)
	assert.False(t, out.Stacks[0].DeletionTime.IsZero())
	assert.NotEmpty(t, must(w, cloudformation.DescribeStackEvents, &cloudformation.DescribeStackEventsInput{StackName: id}).StackEvents)
	must(w, cloudformation.DeleteStack, del)
	must(w, cloudformation.CreateStack, w.network())
}

func TestDeletedStacksAreForgottenSomeDay(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		w.clock.Advance(time.Second)
		must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: "Resources: {T: {Type: AWS::SNS::Topic}}"})
		w.until("net", "CREATE_COMPLETE")
		must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net"})
		w.until("net", "DELETE_COMPLETE")
	}
	w.settle()
	assert.Len(t, must(w, cloudformation.ListStacks, &cloudformation.ListStacksInput{StackStatusFilter: []string{"DELETE_COMPLETE"}}).StackSummaries, 25)
	assert.Empty(t, must(w, cloudformation.ListStacks, &cloudformation.ListStacksInput{StackStatusFilter: []string{"CREATE_COMPLETE"}}).StackSummaries)
}

func TestDeletionThatSomethingResists(t *testing.T) {
	w := newWorld(t)
	w.up()
	vpc := w.stack("net").Resources["Vpc"].PhysicalID
	subnet := must(w, ec2.CreateSubnet, &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: "10.0.9.0/24"}).Subnet.SubnetId
	must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net"})
	w.until("net", "DELETE_FAILED")
	events := w.events("net")
	assert.Contains(t, events[len(events)-2], "Vpc DELETE_FAILED: ")
	assert.Equal(t, "net DELETE_FAILED: The following resource(s) failed to delete: [Vpc]. ", events[len(events)-1])
	refused(w, cloudformation.UpdateStack, w.change("Environment", "x"), "ValidationError", "is in DELETE_FAILED state and can not be updated.")
	must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net", RetainResources: []string{"Vpc"}})
	w.until("net", "DELETE_COMPLETE")
	assert.Equal(t, []string{"net DELETE_IN_PROGRESS: User Initiated", "Vpc DELETE_SKIPPED", "net DELETE_COMPLETE"}, w.events("net"))
	assert.Contains(t, w.state.Regions[region].Subnets, subnet)
}

// The best-known trap of the field: an edited default reaches a stack only if the parameter is not sent.
func TestParameterLeftOutTakesTheNewDefault(t *testing.T) {
	w := newWorld(t)
	w.up()
	body := strings.Replace(w.template("network.yaml", ""), "Default: test", "Default: staging", 1)
	in := &cloudformation.UpdateStackInput{StackName: "net", TemplateBody: body, Parameters: []cloudformation.Parameter{{ParameterKey: "Environment", UsePreviousValue: yes()}}}
	refused(w, cloudformation.UpdateStack, in, "ValidationError", "No updates are to be performed.")
	in.Parameters = nil
	must(w, cloudformation.UpdateStack, in)
	w.until("net", "UPDATE_COMPLETE")
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Equal(t, []cloudformation.Parameter{{ParameterKey: "Environment", ParameterValue: "staging"}, {ParameterKey: "SubnetCidr", ParameterValue: "10.0.1.0/24"}}, d.Parameters)
	in.Parameters = []cloudformation.Parameter{{ParameterKey: "Environment", UsePreviousValue: yes(), ParameterValue: "x"}}
	refused(w, cloudformation.UpdateStack, in, "ValidationError", "Cannot specify usePreviousValue as true and non empty value")
	in.Parameters = parameters("Nobody", "x")
	refused(w, cloudformation.UpdateStack, in, "ValidationError", "Parameters: [Nobody] do not exist in the template")
}

func TestClientRequestToken(t *testing.T) {
	w := newWorld(t)
	in := w.network()
	in.ClientRequestToken = "token-1"
	first := must(w, cloudformation.CreateStack, in)
	assert.Equal(t, first, must(w, cloudformation.CreateStack, in), "the same request again is the same stack")
	other := *in
	other.Parameters = parameters("Environment", "x")
	refused(w, cloudformation.CreateStack, &other, "TokenAlreadyExistsException", "token-1")
	other.ClientRequestToken = "token-2"
	refused(w, cloudformation.CreateStack, &other, "AlreadyExistsException", "Stack [net] already exists")
	w.until("net", "CREATE_COMPLETE")
	up := w.change("Environment", "x")
	up.ClientRequestToken = "token-1"
	refused(w, cloudformation.UpdateStack, up, "TokenAlreadyExistsException", "token-1")
	up.ClientRequestToken = "token-3"
	must(w, cloudformation.UpdateStack, up)
	w.until("net", "UPDATE_COMPLETE")
	must(w, cloudformation.UpdateStack, up)
	assert.Equal(t, "UPDATE_COMPLETE", w.status("net"), "the repetition begins nothing")
}

func TestImageThatDoesNotExist(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	missing := "ami-0123456789abcdef0"
	must(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{StackName: "web", TemplateBody: w.template("group.yaml", missing)})
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	text := "Parameter validation failed: parameter value " + missing + " for parameter name ImageId does not exist"
	assert.Contains(t, strings.Join(w.events("web"), "\n"), "web UPDATE_ROLLBACK_IN_PROGRESS: "+text)
	must(w, cloudformation.CreateChangeSet, &cloudformation.CreateChangeSetInput{StackName: "web", ChangeSetName: "c", TemplateBody: w.template("group.yaml", missing)})
	w.settle()
	cs := must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{StackName: "web", ChangeSetName: "c"})
	assert.Equal(t, "FAILED", cs.Status)
	assert.Equal(t, text, cs.StatusReason)
}

// AWS user guide, protect-stack-resources.
func TestStackPolicy(t *testing.T) {
	w := newWorld(t)
	w.up()
	policy := `{"Statement":[{"Effect":"Allow","Action":"Update:*","Principal":"*","Resource":"*"},
		{"Effect":"Deny","Action":["Update:Replace","Update:Delete"],"Principal":"*","Resource":"LogicalResourceId/Subnet"}]}`
	refused(w, cloudformation.SetStackPolicy, &cloudformation.SetStackPolicyInput{StackName: "net", StackPolicyBody: `{"Statement":[]}`}, "ValidationError", "Error validating stack policy: Invalid stack policy")
	must(w, cloudformation.SetStackPolicy, &cloudformation.SetStackPolicyInput{StackName: "net", StackPolicyBody: policy})
	assert.Equal(t, policy, must(w, cloudformation.GetStackPolicy, &cloudformation.GetStackPolicyInput{StackName: "net"}).StackPolicyBody)
	must(w, cloudformation.UpdateStack, w.change("SubnetCidr", "10.0.2.0/24"))
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	assert.Contains(t, w.events("net"), "Subnet UPDATE_FAILED: Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for resource [LogicalResourceId/Subnet]")
	in := w.change("SubnetCidr", "10.0.2.0/24")
	in.StackPolicyDuringUpdateBody = `{"Statement":[{"Effect":"Allow","Action":"Update:*","Principal":"*","Resource":"*"}]}`
	must(w, cloudformation.UpdateStack, in)
	w.until("net", "UPDATE_COMPLETE")
	gone := w.change("SubnetCidr", "10.0.2.0/24")
	gone.TemplateBody = strings.NewReplacer("  Subnet:\n    Type: AWS::EC2::Subnet\n    Properties: {VpcId: !Ref Vpc, CidrBlock: !Ref SubnetCidr}\n", "",
		"  SubnetId: {Value: !Ref Subnet, Description: the subnet}\n", "").Replace(gone.TemplateBody)
	w.events("net")
	must(w, cloudformation.UpdateStack, gone)
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	assert.Contains(t, strings.Join(w.events("net"), "\n"), "does not allow [Update:Delete] for resource [LogicalResourceId/Subnet]")
}

func (w *world) alarm(name, value string) string {
	one, threshold := int64(1), 1.0
	must(w, cloudwatch.PutMetricAlarm, &cloudwatch.PutMetricAlarmInput{
		AlarmName: name, MetricName: "M", Namespace: "N", Statistic: "Maximum", Period: &[]int64{60}[0], EvaluationPeriods: &one,
		Threshold: &threshold, ComparisonOperator: "GreaterThanThreshold", TreatMissingData: "ignore",
	})
	must(w, cloudwatch.SetAlarmState, &cloudwatch.SetAlarmStateInput{AlarmName: name, StateValue: value, StateReason: "test"})
	return w.state.Regions[region].Alarms[name].ARN
}

func watching(minutes int64, arns ...string) *cloudformation.RollbackConfiguration {
	c := &cloudformation.RollbackConfiguration{MonitoringTimeInMinutes: &minutes, RollbackTriggers: []cloudformation.RollbackTrigger{}}
	for _, a := range arns {
		c.RollbackTriggers = append(c.RollbackTriggers, cloudformation.RollbackTrigger{Arn: a, Type: "AWS::CloudWatch::Alarm"})
	}
	return c
}

// AWS user guide, using-cfn-rollback-triggers. What the reason of such a rollback
// says on AWS is not known, so no test wants a text.
func TestMonitoringWindow(t *testing.T) {
	w := newWorld(t)
	w.up()
	arn := w.alarm("a", "OK")
	in := w.change("SubnetCidr", "10.0.2.0/24")
	in.RollbackConfiguration = watching(10, arn)
	must(w, cloudformation.UpdateStack, in)
	w.pass(9 * time.Minute)
	assert.Equal(t, "UPDATE_IN_PROGRESS", w.status("net"))
	assert.Contains(t, w.events("net"), "Subnet UPDATE_COMPLETE")
	assert.Len(t, w.state.Regions[region].Subnets, 2, "nothing is cleaned up before the window ends")
	w.until("net", "UPDATE_COMPLETE")
	assert.Len(t, w.state.Regions[region].Subnets, 1)
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.EqualValues(t, 10, *d.RollbackConfiguration.MonitoringTimeInMinutes)
	assert.Equal(t, arn, d.RollbackConfiguration.RollbackTriggers[0].Arn)

	// It is kept for the next update, in whose window the alarm goes off.
	must(w, cloudformation.UpdateStack, w.change("SubnetCidr", "10.0.3.0/24"))
	w.pass(5 * time.Minute)
	assert.Equal(t, "UPDATE_IN_PROGRESS", w.status("net"))
	w.alarm("a", "ALARM")
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")

	// An empty list clears the triggers; a window without triggers can be cancelled.
	in = w.change("SubnetCidr", "10.0.4.0/24")
	in.RollbackConfiguration = watching(10)
	must(w, cloudformation.UpdateStack, in)
	w.pass(5 * time.Minute)
	w.events("net")
	must(w, cloudformation.CancelUpdateStack, &cloudformation.CancelUpdateStackInput{StackName: "net"})
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, "net UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", w.events("net")[0])
	assert.Equal(t, "10.0.2.0/24", w.state.Regions[region].Subnets[w.stack("net").Resources["Subnet"].PhysicalID].CIDR)
	d = must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Empty(t, d.RollbackConfiguration.RollbackTriggers)
}

func TestTriggerThatIsMissingRollsBack(t *testing.T) {
	w := newWorld(t)
	w.up()
	in := w.change("SubnetCidr", "10.0.2.0/24")
	in.RollbackConfiguration = watching(0, "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:nobody")
	must(w, cloudformation.UpdateStack, in)
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	in.RollbackConfiguration.RollbackTriggers[0].Type = "AWS::SNS::Topic"
	refused(w, cloudformation.UpdateStack, in, "ValidationError", "Rollback Trigger Type not supported")
	in.RollbackConfiguration = watching(0, "arn:aws:sns:eu-west-1:111111111111:x")
	refused(w, cloudformation.UpdateStack, in, "ValidationError", "RelativeId of a Rollback Trigger's ARN is incorrect")
}

// AWS user guide, stack-failure-options.
func TestDisableRollbackOnUpdate(t *testing.T) {
	w := newWorld(t)
	w.up()
	bad := w.change("SubnetCidr", "192.168.0.0/24", "Environment", "production")
	bad.DisableRollback = yes()
	must(w, cloudformation.UpdateStack, bad)
	w.until("net", "UPDATE_FAILED")
	assert.Len(t, w.state.Regions[region].Addresses, 1, "what worked stays")
	refused(w, cloudformation.UpdateStack, w.change(), "ValidationError", "is in UPDATE_FAILED state and can not be updated.")
	must(w, cloudformation.RollbackStack, &cloudformation.RollbackStackInput{StackName: "net"})
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Equal(t, "test", d.Parameters[0].ParameterValue)

	must(w, cloudformation.UpdateStack, bad)
	w.until("net", "UPDATE_FAILED")
	good := w.change("Environment", "production", "SubnetCidr", "10.0.5.0/24")
	good.DisableRollback = yes()
	must(w, cloudformation.UpdateStack, good)
	w.until("net", "UPDATE_COMPLETE")
	assert.Equal(t, "10.0.5.0/24", w.state.Regions[region].Subnets[w.stack("net").Resources["Subnet"].PhysicalID].CIDR)
}

func TestWillReplace(t *testing.T) {
	w := newWorld(t)
	body := func(image string) string {
		return strings.Replace(w.template("group.yaml", image), "    UpdatePolicy:\n", "    UpdatePolicy:\n      AutoScalingReplacingUpdate: {WillReplace: true}\n", 1)
	}
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "web", TemplateBody: body(w.oldID)})
	w.signalling("CREATE_COMPLETE")
	first := w.group("web").Name
	must(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{StackName: "web", TemplateBody: body(w.newID)})
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, first, w.group("web").Name, "the old group is untouched")
	assert.Len(t, w.state.Regions[region].Groups, 1)
	must(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{StackName: "web", TemplateBody: body(w.newID)})
	w.signalling("UPDATE_COMPLETE")
	assert.NotEqual(t, first, w.group("web").Name)
	assert.Len(t, w.state.Regions[region].Groups, 1)
	assert.Equal(t, []string{"new", "new"}, w.images())
}

func TestEventPages(t *testing.T) {
	w := newWorld(t)
	var body strings.Builder
	body.WriteString("Resources:\n")
	for i := range 50 {
		fmt.Fprintf(&body, "  P%d: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: x}}\n", i)
	}
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body.String()})
	w.until("net", "CREATE_COMPLETE")
	var all []cloudformation.StackEvent
	token := ""
	for {
		out := must(w, cloudformation.DescribeStackEvents, &cloudformation.DescribeStackEventsInput{StackName: "net", NextToken: token})
		all = append(all, out.StackEvents...)
		if token = out.NextToken; token == "" {
			break
		}
	}
	require.Len(t, all, 152)
	assert.Equal(t, "CREATE_COMPLETE", all[0].ResourceStatus, "the newest comes first")
	assert.Equal(t, "User Initiated", all[151].ResourceStatusReason)
}

// Creating 500 resources must not take longer than a glance.
func BenchmarkFiveHundredResources(b *testing.B) {
	var body strings.Builder
	body.WriteString("Resources:\n")
	for i := range 500 {
		after := ""
		if i%10 > 0 {
			after = fmt.Sprintf(", DependsOn: P%d", i-1)
		}
		fmt.Fprintf(&body, "  P%d: {Type: AWS::SSM::Parameter%s, Properties: {Type: String, Value: x}}\n", i, after)
	}
	for b.Loop() {
		w := newWorld(b)
		must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body.String()})
		w.until("net", "CREATE_COMPLETE")
		w.do(func(tx *core.Tx) error {
			assert.Len(b, tx.Region.Parameters, 500)
			return nil
		})
		b.ReportMetric(500, "resources")
	}
}
