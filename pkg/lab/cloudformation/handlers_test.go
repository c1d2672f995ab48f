package cloudformation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
)

// everything makes the stack that has one of each type.
func (w *world) everything() {
	w.t.Helper()
	w.do(func(tx *core.Tx) error {
		_, err := route53.CreateHostedZone(tx, &route53.CreateHostedZoneInput{Name: "hello.example", CallerReference: "x"})
		return err
	})
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{
		StackName: "all", TemplateBody: w.template("everything.yaml", w.oldID), Capabilities: []string{"CAPABILITY_IAM"},
		Tags: []cloudformation.Tag{{Key: "site", Value: "web"}},
	})
	w.settle()
	must(w, cloudformation.SignalResource, &cloudformation.SignalResourceInput{StackName: "all", LogicalResourceId: "Wait", UniqueId: "x", Status: "SUCCESS"})
	w.until("all", "CREATE_COMPLETE", "ROLLBACK_COMPLETE")
}

// snapshot of what the services hold, without the stack itself, its activities and what is only history.
func (w *world) snapshot() map[string]any {
	w.t.Helper()
	b, err := json.Marshal(w.state)
	require.NoError(w.t, err)
	var m map[string]any
	require.NoError(w.t, json.Unmarshal(b, &m))
	r := m["Regions"].(map[string]any)[region].(map[string]any)
	for _, k := range []string{"Stacks", "ChangeSets", "Instances", "Volumes", "Metrics", "MeasureAt", "LaunchTemplates"} {
		delete(r, k)
	}
	for _, g := range r["Groups"].(map[string]any) {
		for _, k := range []string{"Activities", "Members", "Cause"} {
			delete(g.(map[string]any), k)
		}
	}
	delete(m, "Changes")
	m["Regions"] = map[string]any{region: r} // health checks make one for their metrics
	for _, h := range m["Checks"].(map[string]any) {
		for _, k := range []string{"Bad", "Streak", "Last", "LastAt", "NextAt", "Observed"} {
			delete(h.(map[string]any), k)
		}
	}
	return m
}

func TestEveryTypeIsMadeChangedRolledBackAndDeleted(t *testing.T) {
	w := newWorld(t)
	empty := w.snapshot()
	w.everything()
	require.Equal(t, "CREATE_COMPLETE", w.status("all"), w.events("all"))
	st := w.stack("all")
	types := map[string]bool{}
	for _, r := range st.Resources {
		types[r.Type] = true
		assert.NotEmpty(t, r.PhysicalID, r.LogicalID)
	}
	for _, name := range schema.Names() {
		assert.True(t, types[name], "%s is in everything.yaml", name)
	}
	r := w.state.Regions[region]
	sg := r.SecurityGroups[st.Resources["InstanceGroup"].PhysicalID]
	assert.Len(t, sg.Ingress, 1)
	assert.Len(t, sg.Egress, 2, "everything, and the rule of its own resource")
	assert.Equal(t, "one", sg.Ingress[0].Description)
	w.drift("IN_SYNC")
	w.pass(3 * time.Minute)
	before := w.snapshot()

	// Everything that can change in place changes, and one bad resource fails the update.
	body := w.template("everything.yaml", w.oldID)
	change := &cloudformation.UpdateStackInput{
		StackName: "all", TemplateBody: body + "  Bad: {Type: AWS::EC2::Subnet, DependsOn: [Database, Server, Disk, DiskAtServer, Group, Hook, Both, Board, Log, Record, TopicPolicy, Listener, Ingress, Parameter], Properties: {VpcId: !Ref Vpc, CidrBlock: 1.2.3.0/24}}\n",
		Capabilities: []string{"CAPABILITY_IAM"}, Parameters: parameters("Word", "two", "Port", "8080", "Interval", "60"),
		Tags: []cloudformation.Tag{{Key: "site", Value: "other"}},
	}
	must(w, cloudformation.UpdateStack, change)
	w.until("all", "UPDATE_ROLLBACK_COMPLETE")
	w.pass(3 * time.Minute)
	// A description went with its rule and came back: the rule may have another id, nothing else.
	assert.Empty(t, differences("", plain(before), plain(w.snapshot())), "the rollback brings everything back")
	w.drift("IN_SYNC")

	w.events("all")
	change.TemplateBody = body
	must(w, cloudformation.UpdateStack, change)
	w.until("all", "UPDATE_COMPLETE")
	w.drift("IN_SYNC")
	assert.EqualValues(t, 60, r.LogGroups[st.Resources["Log"].PhysicalID].Retention)
	assert.Equal(t, "two", r.Parameters[st.Resources["Parameter"].PhysicalID].Value)
	assert.Equal(t, "two", r.Topics[st.Resources["Topic"].PhysicalID].Attributes["DisplayName"])
	assert.EqualValues(t, 8080, r.Listeners[st.Resources["Listener"].PhysicalID].Port)
	assert.EqualValues(t, 8080, r.SecurityGroups[st.Resources["BalancerGroup"].PhysicalID].Ingress[0].From)
	assert.Equal(t, time.Minute, r.TargetGroups[st.Resources["Targets"].PhysicalID].Check.Interval)
	assert.Equal(t, "60", r.TargetGroups[st.Resources["Targets"].PhysicalID].Attributes["deregistration_delay.timeout_seconds"])
	assert.Equal(t, "other", r.VPCs[st.Resources["Vpc"].PhysicalID].Tags["site"])
	assert.Equal(t, "two", r.VPCs[st.Resources["Vpc"].PhysicalID].Tags["Name"])
	assert.Contains(t, w.state.Roles[st.Resources["Role"].PhysicalID].Policies, "two")

	must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "all"})
	w.until("all", "DELETE_COMPLETE", "DELETE_FAILED")
	require.Equal(t, "DELETE_COMPLETE", w.status("all"), w.events("all"))
	left := w.snapshot()
	delete(left, "Zones")
	delete(empty, "Zones")
	assert.Empty(t, differences("", plain(empty), plain(left)), "nothing is left")
	assert.Empty(t, r.LaunchTemplates)
	for _, i := range r.Instances {
		assert.Equal(t, "terminated", i.State)
	}
}

// plain takes out what is only history: when things were measured or written
// last, and the ids of rules, which a rule that came back does not keep.
func plain(v any) any {
	switch x := v.(type) {
	case map[string]any:
		if _, rule := x["Protocol"]; rule && x["CIDR"] != nil {
			delete(x, "ID")
		}
		for _, k := range []string{"StateSet", "Updated", "Modified", "Version", "Former", "Points", "Current", "PeriodEnd", "History"} {
			delete(x, k)
		}
		for _, y := range x {
			plain(y)
		}
	case []any:
		for _, y := range x {
			plain(y)
		}
	}
	return v
}

// differences names the paths at which two worlds are not the same.
func differences(path string, a, b any) []string {
	x, ok1 := a.(map[string]any)
	y, ok2 := b.(map[string]any)
	if !ok1 || !ok2 {
		if assert.ObjectsAreEqual(a, b) {
			return nil
		}
		return []string{fmt.Sprintf("%s: %v, %v", path, a, b)}
	}
	var out []string
	for k := range x {
		out = append(out, differences(path+"/"+k, x[k], y[k])...)
	}
	for k := range y {
		if _, both := x[k]; !both {
			out = append(out, fmt.Sprintf("%s/%s: only afterwards", path, k))
		}
	}
	return out
}

func (w *world) drift(want string) {
	w.t.Helper()
	must(w, cloudformation.DetectStackDrift, &cloudformation.DetectStackDriftInput{StackName: "all"})
	d := must(w, cloudformation.DescribeStackResourceDrifts, &cloudformation.DescribeStackResourceDriftsInput{
		StackName: "all", StackResourceDriftStatusFilters: []string{"MODIFIED", "DELETED"},
	})
	for _, r := range d.StackResourceDrifts {
		assert.Fail(w.t, "drifted", "%s: %s %v", r.LogicalResourceId, r.StackResourceDriftStatus, r.PropertyDifferences)
	}
	assert.Equal(w.t, want, must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "all"}).Stacks[0].DriftInformation.StackDriftStatus)
}

func TestDrift(t *testing.T) {
	w := newWorld(t)
	w.create()
	g := w.group("web")
	three := int64(3)
	must(w, autoscaling.SetDesiredCapacity, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: g.Name, DesiredCapacity: &three})
	id := must(w, cloudformation.DetectStackDrift, &cloudformation.DetectStackDriftInput{StackName: "web"}).StackDriftDetectionId
	out := must(w, cloudformation.DescribeStackDriftDetectionStatus, &cloudformation.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: id})
	assert.Equal(t, []any{"DETECTION_COMPLETE", "DRIFTED", int64(1)}, []any{out.DetectionStatus, out.StackDriftStatus, *out.DriftedStackResourceCount})
	d := must(w, cloudformation.DescribeStackResourceDrifts, &cloudformation.DescribeStackResourceDriftsInput{
		StackName: "web", StackResourceDriftStatusFilters: []string{"MODIFIED"},
	})
	require.Len(t, d.StackResourceDrifts, 1)
	assert.Equal(t, []cloudformation.PropertyDifference{{PropertyPath: "/DesiredCapacity", ExpectedValue: "2", ActualValue: "3", DifferenceType: "NOT_EQUAL"}}, d.StackResourceDrifts[0].PropertyDifferences)
}

// Rules that other resources of the stack attach to a group are none of its own;
// one that somebody adds by hand is drift.
func TestAttachedRulesAreNoDrift(t *testing.T) {
	w := newWorld(t)
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "all", TemplateBody: `
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: one
      VpcId: !Ref Net
      SecurityGroupEgress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0}]
  More:
    Type: AWS::EC2::SecurityGroupEgress
    Properties: {GroupId: !Ref Group, IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 0.0.0.0/0}
`})
	w.until("all", "CREATE_COMPLETE")
	w.drift("IN_SYNC")
	group := w.stack("all").Resources["Group"].PhysicalID
	port := int64(22)
	must(w, ec2.AuthorizeSecurityGroupEgress, &ec2.SecurityGroupRulesInput{GroupId: group, IpPermissions: []ec2.IpPermission{{
		IpProtocol: "tcp", FromPort: &port, ToPort: &port, IpRanges: []ec2.IpRange{{CidrIp: "0.0.0.0/0"}},
	}}})
	must(w, cloudformation.DetectStackDrift, &cloudformation.DetectStackDriftInput{StackName: "all"})
	d := must(w, cloudformation.DescribeStackResourceDrifts, &cloudformation.DescribeStackResourceDriftsInput{
		StackName: "all", StackResourceDriftStatusFilters: []string{"MODIFIED"},
	})
	require.Len(t, d.StackResourceDrifts, 1)
	assert.Equal(t, "Group", d.StackResourceDrifts[0].LogicalResourceId)
}

// A quota ends a creation; what was made before goes again.
func TestQuotaOfAddresses(t *testing.T) {
	w := newWorld(t)
	body := "Resources: {A: X, B: X, C: X, D: X, E: X, F: X}"
	body = strings.ReplaceAll(body, "X", "{Type: AWS::EC2::EIP}")
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body})
	w.until("net", "ROLLBACK_COMPLETE")
	assert.Empty(t, w.state.Regions[region].Addresses)
	events := w.events("net")
	assert.Regexp(t, `^F CREATE_FAILED: Resource handler returned message: "The maximum number of addresses has been reached. \(Service: Ec2, .*HandlerErrorCode: ServiceLimitExceeded\)$`, events[17])
}

func TestWaitConditionTimesOut(t *testing.T) {
	w := newWorld(t)
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: `
Resources:
  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}
  Wait: {Type: AWS::CloudFormation::WaitCondition, Properties: {Handle: !Ref Handle, Timeout: "60"}}
`})
	w.until("net", "ROLLBACK_COMPLETE")
	assert.Contains(t, w.events("net"), "Wait CREATE_FAILED: WaitCondition timed out. Received 0 conditions when expecting 1")
}
