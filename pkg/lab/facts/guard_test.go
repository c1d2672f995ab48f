package facts_test

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alarm makes an alarm in a state and tells its ARN.
func (w *world) alarm(state cwtypes.StateValue) string {
	w.Helper()
	name := w.name("alarm")
	_, err := w.cw.PutMetricAlarm(w.ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, Namespace: aws.String("Facts"), MetricName: aws.String("Nothing"), Statistic: cwtypes.StatisticSum, Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold, TreatMissingData: aws.String("ignore"),
	})
	require.NoError(w, err)
	w.afterwards(func(ctx context.Context) {
		_, _ = w.cw.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}})
	})
	w.ring(name, state)
	out, err := w.cw.DescribeAlarms(w.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}})
	require.NoError(w, err)
	return *out.MetricAlarms[0].AlarmArn
}

func (w *world) ring(name string, state cwtypes.StateValue) {
	w.Helper()
	_, err := w.cw.SetAlarmState(w.ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &name, StateValue: state, StateReason: aws.String("a fact")})
	require.NoError(w, err)
}

// watched is a rollback configuration.
func watched(minutes int32, arns ...string) *types.RollbackConfiguration {
	c := &types.RollbackConfiguration{MonitoringTimeInMinutes: &minutes, RollbackTriggers: []types.RollbackTrigger{}}
	for i := range arns {
		c.RollbackTriggers = append(c.RollbackTriggers, types.RollbackTrigger{Arn: &arns[i], Type: aws.String("AWS::CloudWatch::Alarm")})
	}
	return c
}

func under(c *types.RollbackConfiguration) func(*cloudformation.UpdateStackInput) {
	return func(in *cloudformation.UpdateStackInput) { in.RollbackConfiguration = c }
}

func (s *stack) protect(policy string) error {
	_, err := s.cfn.SetStackPolicy(s.ctx, &cloudformation.SetStackPolicyInput{StackName: &s.id, StackPolicyBody: &policy})
	return err
}

const allowAll = `{"Effect":"Allow","Action":"Update:*","Principal":"*","Resource":"*"}`

var guardFacts = []fact{
	{id: "F170", claim: "A stack under termination protection is not deleted: \"Stack [X] cannot be deleted while TerminationProtection is enabled\".", source: "[LS]", check: func(w *world) {
		s := w.made("guarded", say(), func(in *cloudformation.CreateStackInput) { in.EnableTerminationProtection = aws.Bool(true) })
		_, err := w.cfn.DeleteStack(w.ctx, &cloudformation.DeleteStackInput{StackName: &s.name})
		w.refused(err, "ValidationError", "Stack ["+s.name+"] cannot be deleted while TerminationProtection is enabled")
		assert.True(w, *s.describe().EnableTerminationProtection)
		_, err = w.cfn.UpdateTerminationProtection(w.ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &s.name, EnableTerminationProtection: aws.Bool(false)})
		require.NoError(w, err)
		s.remove()
		s.await("DELETE_COMPLETE")
	}},
	{id: "F171", claim: "Termination protection does not hinder updates.", source: "[UG:using-cfn-protect-stacks]", check: func(w *world) {
		s := w.made("guarded", say(), func(in *cloudformation.CreateStackInput) { in.EnableTerminationProtection = aws.Bool(true) })
		require.NoError(w, s.update(say(), to("Say", "two")))
		s.await("UPDATE_COMPLETE")
	}},
	{id: "F172", claim: "Once a stack has a policy, what it does not allow is denied: the resource fails with \"Action denied by stack policy: Statement [#1] does not allow [Update:Modify] for resource [LogicalResourceId/X]\".", source: "[UG:protect-stack-resources]", check: func(w *world) {
		s := w.made("guarded", say())
		require.NoError(w, s.protect(`{"Statement":[{"Effect":"Allow","Action":"Update:*","Principal":"*","Resource":"LogicalResourceId/Board"}]}`))
		require.NoError(w, s.update(say(), to("Say", "two")))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Topic UPDATE_FAILED: Action denied by stack policy: Statement [#1] does not allow [Update:Modify] for resource [LogicalResourceId/Topic]")
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F173", claim: "A Deny in a stack policy beats an Allow, and Update:Replace and Update:Delete are told apart from Update:Modify.", source: "[UG:protect-stack-resources]", check: func(w *world) {
		s := w.made("guarded", scene)
		require.NoError(w, s.protect(`{"Statement":[`+allowAll+`,{"Effect":"Deny","Action":["Update:Replace","Update:Delete"],"Principal":"*","Resource":"*"}]}`))
		require.NoError(w, s.update(scene, to("Say", "two")))
		s.await("UPDATE_COMPLETE")
		require.NoError(w, s.update(scene, to("Say", "two", "Cidr", "10.7.3.0/24")))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(of("Subnet", s.events()), "\n"), "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for resource [LogicalResourceId/Subnet]")
		require.NoError(w, s.update(strings.Replace(scene, "  Topic: {", "  Other: {", 1)))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.events(), "\n"), "does not allow [Update:Delete] for resource [LogicalResourceId/Topic]")
	}},
	{id: "F174", claim: "StackPolicyDuringUpdateBody holds for one update only, and only UpdateStack has it.", source: "[UG:protect-stack-resources]", check: func(w *world) {
		s := w.made("guarded", say())
		require.NoError(w, s.protect(`{"Statement":[{"Effect":"Deny","Action":"Update:*","Principal":"*","Resource":"*"}]}`))
		require.NoError(w, s.update(say(), to("Say", "two"), func(in *cloudformation.UpdateStackInput) {
			in.StackPolicyDuringUpdateBody = aws.String(`{"Statement":[` + allowAll + `]}`)
		}))
		s.await("UPDATE_COMPLETE")
		require.NoError(w, s.update(say(), to("Say", "three")))
		s.await("UPDATE_ROLLBACK_COMPLETE")
	}},
	{id: "F175", claim: "A stack policy that is none is refused with \"Error validating stack policy: Invalid stack policy\".", source: "[LS]", check: func(w *world) {
		s := w.made("guarded", say())
		for _, body := range []string{"{", `{"Statement":[]}`, `{"Statement":[{"Effect":"Perhaps","Action":"Update:*","Principal":"*","Resource":"*"}]}`} {
			w.refused(s.protect(body), "ValidationError", "Error validating stack policy: Invalid stack policy")
		}
	}},
	{id: "F176", claim: "A stack policy is read back as it was set.", source: "[SDK:cloudformation]", check: func(w *world) {
		body := `{"Statement":[` + allowAll + `]}`
		s := w.made("guarded", say(), func(in *cloudformation.CreateStackInput) { in.StackPolicyBody = &body })
		out, err := w.cfn.GetStackPolicy(w.ctx, &cloudformation.GetStackPolicyInput{StackName: &s.id})
		require.NoError(w, err)
		assert.Equal(w, body, *out.StackPolicyBody)
	}},
	{id: "F177", claim: "A trigger that goes into ALARM during an update rolls it back.", source: "[SDK:cloudformation types.RollbackConfiguration] [UG:using-cfn-rollback-triggers]", check: func(w *world) {
		arn := w.alarm(cwtypes.StateValueOk)
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(gate("Gate")), to("Say", "two"), under(watched(0, arn))))
		s.until(time.Hour, "the gate waits", func() bool {
			return strings.Contains(strings.Join(s.history(), "\n"), "Gate CREATE_IN_PROGRESS: Resource")
		})
		w.ring(arn[strings.LastIndex(arn, ":")+1:], cwtypes.StateValueAlarm)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Gate CREATE_FAILED: Resource creation cancelled")
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F178", claim: "In the monitoring time the stack stays UPDATE_IN_PROGRESS, before the clean-up, and an ALARM rolls back.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		arn := w.alarm(cwtypes.StateValueOk)
		s := w.made("guarded", say("  Old: {Type: AWS::SNS::Topic}\n"))
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(5, arn))))
		s.until(time.Hour, "all is done", func() bool { return strings.Contains(strings.Join(s.events(), "\n"), "Topic UPDATE_COMPLETE") })
		w.pass(4 * time.Minute)
		assert.Equal(w, "UPDATE_IN_PROGRESS", s.status())
		assert.NotContains(w, strings.Join(s.history(), "\n"), "Old DELETE_")
		w.ring(arn[strings.LastIndex(arn, ":")+1:], cwtypes.StateValueAlarm)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, "one", s.displayName())
		assert.NotContains(w, strings.Join(s.history(), "\n"), "Old DELETE_")
	}},
	{id: "F179", claim: "After the monitoring time without an ALARM the update is cleaned up and complete.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		s := w.made("guarded", say())
		begun := w.now()
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(5, w.alarm(cwtypes.StateValueOk)))))
		s.await("UPDATE_COMPLETE")
		assert.GreaterOrEqual(w, w.now().Sub(begun), 5*time.Minute)
	}},
	{id: "F180", claim: "INSUFFICIENT_DATA of a trigger rolls nothing back.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(1, w.alarm(cwtypes.StateValueInsufficientData)))))
		s.await("UPDATE_COMPLETE")
	}},
	{id: "F181", claim: "A trigger whose alarm does not exist rolls the operation back.", source: "[UG:using-cfn-rollback-triggers]", check: func(w *world) {
		arn := w.alarm(cwtypes.StateValueOk)
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(0, strings.Replace(arn, ":alarm:", ":alarm:no", 1)))))
		s.await("UPDATE_ROLLBACK_COMPLETE")
	}},
	{id: "F182", claim: "Monitoring time without triggers waits, and the update can be cancelled meanwhile.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(30))))
		s.until(time.Hour, "all is done", func() bool { return strings.Contains(strings.Join(s.events(), "\n"), "Topic UPDATE_COMPLETE") })
		_, err := w.cfn.CancelUpdateStack(w.ctx, &cloudformation.CancelUpdateStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F183", claim: "A rollback configuration stays for later updates until an empty list of triggers clears it.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(1, w.alarm(cwtypes.StateValueOk)))))
		s.await("UPDATE_COMPLETE")
		require.NoError(w, s.update(say(), to("Say", "three")))
		s.await("UPDATE_COMPLETE")
		kept := s.describe().RollbackConfiguration
		assert.Len(w, kept.RollbackTriggers, 1)
		assert.EqualValues(w, 1, *kept.MonitoringTimeInMinutes)
		require.NoError(w, s.update(say(), to("Say", "four"), under(watched(0))))
		s.await("UPDATE_COMPLETE")
		assert.Empty(w, s.describe().RollbackConfiguration.RollbackTriggers)
	}},
	{id: "F184", claim: "A trigger's type and ARN are checked: \"Rollback Trigger Type not supported\", \"RelativeId of a Rollback Trigger's ARN is incorrect\".", source: "[LS]", check: func(w *world) {
		s := w.made("guarded", say())
		bad := watched(0, "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:x")
		bad.RollbackTriggers[0].Type = aws.String("AWS::SNS::Topic")
		w.refused(s.update(say(), to("Say", "two"), under(bad)), "ValidationError", "Rollback Trigger Type not supported")
		w.refused(s.update(say(), to("Say", "two"), under(watched(0, "arn:aws:cloudwatch:eu-west-1:111111111111:x"))), "ValidationError", "RelativeId of a Rollback Trigger's ARN is incorrect")
	}},
	{id: "F185", claim: "There are five triggers at most, and 180 minutes.", source: "[SDK:cloudformation types.RollbackConfiguration]", check: func(w *world) {
		s := w.made("guarded", say())
		arn := "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:x"
		w.refused(s.update(say(), to("Say", "two"), under(watched(0, arn, arn, arn, arn, arn, arn))), "ValidationError", "*rollbackTriggers*less than or equal to 5*")
		w.refused(s.update(say(), to("Say", "two"), under(watched(181))), "ValidationError", "*monitoringTimeInMinutes*less than or equal to 180*")
	}},
	{id: "F186", claim: "Triggers are not watched while a rollback is under way.", source: "[UG:using-cfn-rollback-triggers]", check: func(w *world) {
		arn := w.alarm(cwtypes.StateValueAlarm)
		s := w.made("guarded", say())
		require.NoError(w, s.update(say(), to("Say", "two"), under(watched(0, arn))))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"}, s.states()[2:])
	}},
}

// detect runs a drift detection and tells the stack's drift status.
func (s *stack) detect() (types.StackDriftStatus, map[string]types.StackResourceDrift) {
	s.Helper()
	out, err := s.cfn.DetectStackDrift(s.ctx, &cloudformation.DetectStackDriftInput{StackName: &s.id})
	require.NoError(s, err)
	var status types.StackDriftStatus
	s.until(time.Hour, "the detection is complete", func() bool {
		d, err := s.cfn.DescribeStackDriftDetectionStatus(s.ctx, &cloudformation.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: out.StackDriftDetectionId})
		require.NoError(s, err)
		status = d.StackDriftStatus
		return d.DetectionStatus == types.StackDriftDetectionStatusDetectionComplete
	})
	list, err := s.cfn.DescribeStackResourceDrifts(s.ctx, &cloudformation.DescribeStackResourceDriftsInput{StackName: &s.id})
	require.NoError(s, err)
	by := map[string]types.StackResourceDrift{}
	for _, d := range list.StackResourceDrifts {
		by[*d.LogicalResourceId] = d
	}
	return status, by
}

// rename gives the topic another display name behind the stack's back.
func (s *stack) rename(name string) {
	s.Helper()
	_, err := s.sns.SetTopicAttributes(s.ctx, &sns.SetTopicAttributesInput{TopicArn: aws.String(s.physical("Topic")), AttributeName: aws.String("DisplayName"), AttributeValue: &name})
	require.NoError(s, err)
}

func revert(in *cloudformation.CreateChangeSetInput) {
	in.DeploymentMode = types.DeploymentModeRevertDrift
}

var driftFacts = []fact{
	{id: "F189", claim: "A REVERT_DRIFT that fails goes back to what was before it, drift included.", source: "[INFERRED]", check: func(w *world) {
		s := w.made("drifting", say())
		s.rename("other")
		cs := s.change(say(), revert, given("Body", broken))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, "other", s.displayName())
		s.dropTopic()
		cs = s.change(say(), revert, given("Body", broken), named("second"))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		require.NoError(w, s.update(say(), to("Say", "three")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "three", s.displayName())
	}},
	{id: "F190", claim: "A stack as its template says is IN_SYNC.", source: "[SDK:cloudformation DetectStackDrift]", check: func(w *world) {
		s := w.made("drifting", scene)
		status, by := s.detect()
		assert.Equal(w, types.StackDriftStatusInSync, status)
		assert.Equal(w, types.StackResourceDriftStatusInSync, by["Topic"].StackResourceDriftStatus)
		assert.Equal(w, types.StackDriftStatusInSync, s.describe().DriftInformation.StackDriftStatus)
	}},
	{id: "F191", claim: "A property changed behind the stack's back makes its resource MODIFIED, with path, expected and actual value.", source: "[SDK:cloudformation DescribeStackResourceDrifts]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.rename("other")
		status, by := s.detect()
		assert.Equal(w, types.StackDriftStatusDrifted, status)
		require.Len(w, by["Topic"].PropertyDifferences, 1)
		d := by["Topic"].PropertyDifferences[0]
		assert.Equal(w, []string{"/DisplayName", "one", "other", "NOT_EQUAL"}, []string{*d.PropertyPath, *d.ExpectedValue, *d.ActualValue, string(d.DifferenceType)})
	}},
	{id: "F192", claim: "A resource deleted behind the stack's back is DELETED.", source: "[SDK:cloudformation DescribeStackResourceDrifts]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.dropTopic()
		_, by := s.detect()
		assert.Equal(w, types.StackResourceDriftStatusDeleted, by["Topic"].StackResourceDriftStatus)
	}},
	{id: "F193", claim: "A stack under way takes no drift detection.", source: "[SDK:cloudformation DetectStackDrift]", check: func(w *world) {
		s := reach["UPDATE_IN_PROGRESS"](w)
		_, err := w.cfn.DetectStackDrift(w.ctx, &cloudformation.DetectStackDriftInput{StackName: &s.id})
		w.refused(err, "ValidationError", "*UPDATE_IN_PROGRESS*")
	}},
	{id: "F194", claim: "A usual change set does not see drift.", source: "[SDK:cloudformation CreateChangeSet] [INFERRED]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.rename("other")
		assert.Equal(w, types.ChangeSetStatusFailed, s.change(scene).Status)
	}},
	{id: "F195", claim: "A change set with REVERT_DRIFT modifies what drifted: from ACTUAL_STATE, with both values, to the TEMPLATE.", source: "[SDK:cloudformation CreateChangeSet DeploymentMode] [SDK:cloudformation types.ResourceTargetDefinition]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.rename("other")
		c := s.changes(scene, revert)
		require.Len(w, c, 1)
		assert.Equal(w, types.ChangeActionModify, c["Topic"].Action)
		assert.Equal(w, types.StackResourceDriftStatusModified, c["Topic"].ResourceDriftStatus)
		d := c["Topic"].Details[0]
		assert.Equal(w, types.ChangeSourceNoModification, d.ChangeSource)
		assert.Equal(w, types.BeforeValueFromActualState, d.Target.BeforeValueFrom)
		assert.Equal(w, types.AfterValueFromTemplate, d.Target.AfterValueFrom)
		assert.Equal(w, []string{"other", "one"}, []string{*d.Target.BeforeValue, *d.Target.AfterValue})
		assert.Equal(w, []string{"one", "other"}, []string{*d.Target.Drift.PreviousValue, *d.Target.Drift.ActualValue})
	}},
	{id: "F196", claim: "Executed, it brings what is back to what the template says.", source: "[SDK:cloudformation CreateChangeSet DeploymentMode]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.rename("other")
		cs := s.change(scene, revert)
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Topic", s.events()))
		assert.Equal(w, "one", s.displayName())
		status, _ := s.detect()
		assert.Equal(w, types.StackDriftStatusInSync, status)
	}},
	{id: "F197", claim: "Drift that the new template takes over is told SyncWithActual, and nothing of the resource is touched.", source: "[SDK:cloudformation types.ResourceChange]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.rename("two")
		c := s.changes(scene, revert, given("Say", "two"))
		require.Len(w, c, 1)
		assert.Equal(w, types.ChangeActionSyncWithActual, c["Topic"].Action)
		out, err := w.cfn.ListChangeSets(w.ctx, &cloudformation.ListChangeSetsInput{StackName: &s.name})
		require.NoError(w, err)
		require.NoError(w, s.execute(out.Summaries[0].ChangeSetId))
		s.await("UPDATE_COMPLETE")
		assert.Empty(w, of("Topic", s.events()))
		assert.Equal(w, "two", value(s.describe().Parameters, "Say"))
		status, _ := s.detect()
		assert.Equal(w, types.StackDriftStatusInSync, status)
	}},
	{id: "F198", claim: "A resource deleted behind the stack's back is made anew by REVERT_DRIFT.", source: "[SDK:cloudformation CreateChangeSet DeploymentMode] [INFERRED]", check: func(w *world) {
		s := w.made("drifting", scene)
		s.dropTopic()
		c := s.change(scene, revert)
		require.Len(w, c.Changes, 1)
		assert.Equal(w, types.ChangeActionAdd, c.Changes[0].ResourceChange.Action)
		assert.Equal(w, types.StackResourceDriftStatusDeleted, c.Changes[0].ResourceChange.ResourceDriftStatus)
		require.NoError(w, s.execute(c.ChangeSetId))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F199", claim: "REVERT_DRIFT leaves a group's desired capacity alone, as managed by AWS.", source: "[SDK:cloudformation types.ResourceDriftIgnoredAttribute]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.SetDesiredCapacity(w.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: aws.Int32(3)})
		require.NoError(w, err)
		s.until(time.Hour, "three serve", func() bool { return len(s.serving()) == 3 })
		assert.Equal(w, types.ChangeSetStatusFailed, s.change(roll, revert, given("ImageId", w.image)).Status)
		_, err = w.asg.UpdateAutoScalingGroup(w.ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String(s.physical("Asg")), MaxSize: aws.Int32(7)})
		require.NoError(w, err)
		c := s.changes(roll, revert, given("ImageId", w.image), named("second"))
		require.Len(w, c, 1)
		require.Len(w, c["Asg"].ResourceDriftIgnoredAttributes, 1)
		assert.Equal(w, "/Properties/DesiredCapacity", *c["Asg"].ResourceDriftIgnoredAttributes[0].Path)
		assert.Equal(w, types.DriftIgnoredReasonManagedByAws, c["Asg"].ResourceDriftIgnoredAttributes[0].Reason)
		assert.Equal(w, []string{"Properties MaxSize Never Static NoModification"}, shape(c["Asg"]))
	}},
}
