package facts_test

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proceed continues a rollback.
func (s *stack) proceed(skip ...string) error {
	_, err := s.cfn.ContinueUpdateRollback(s.ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &s.id, ResourcesToSkip: skip})
	return err
}

// remakeTopic makes a topic with the name of the one that somebody deleted.
func (s *stack) remakeTopic() {
	s.Helper()
	arn := s.physical("Topic")
	_, err := s.sns.CreateTopic(s.ctx, &sns.CreateTopicInput{Name: aws.String(arn[strings.LastIndex(arn, ":")+1:])})
	require.NoError(s, err)
}

func (s *stack) remove(change ...func(*cloudformation.DeleteStackInput)) {
	s.Helper()
	in := &cloudformation.DeleteStackInput{StackName: &s.id}
	for _, c := range change {
		c(in)
	}
	_, err := s.cfn.DeleteStack(s.ctx, in)
	require.NoError(s, err)
}

var rollbackFacts = []fact{
	{id: "F050", claim: "An update that fails tells the stack UPDATE_ROLLBACK_IN_PROGRESS \"The following resource(s) failed to update: [X]. \" with a blank at the end, brings back what it touched, and goes by UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS to UPDATE_ROLLBACK_COMPLETE.", source: "[LS]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(say(), to("Say", "two", "Body", broken)))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated", "Topic UPDATE_IN_PROGRESS", "Topic UPDATE_COMPLETE",
			"Board UPDATE_IN_PROGRESS", "Board UPDATE_FAILED: WHY",
			"Stack UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to update: [Board]. ",
			"Topic UPDATE_IN_PROGRESS", "Topic UPDATE_COMPLETE", "Board UPDATE_IN_PROGRESS", "Board UPDATE_COMPLETE",
			"Stack UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "Stack UPDATE_ROLLBACK_COMPLETE",
		}, withoutReason(s.events()))
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F051", claim: "An update that fails at a new resource says \"The following resource(s) failed to create: [Y]. \", and the clean-up deletes what it made.", source: "[LS]", check: func(w *world) {
		s := w.waiting("  New: {Type: AWS::SNS::Topic, DependsOn: Topic}\n")
		require.NoError(w, s.signal("Gate", "me", "FAILURE"))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		lines := s.history()
		assert.Contains(w, lines, "Stack UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Gate]. ")
		at := strings.Index(strings.Join(lines, "\n"), "Stack UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
		assert.Greater(w, strings.Index(strings.Join(lines, "\n"), "New DELETE_IN_PROGRESS"), at)
		assert.Contains(w, lines, "New DELETE_COMPLETE")
	}},
	{id: "F052", claim: "After a rollback template, parameters, tags, outputs and physical ids are those of before the update.", source: "[SDK:cloudformation] [ISSUE:ministack#1641]", check: func(w *world) {
		body := chain + "Outputs: {Id: {Value: !Ref Subnet}}\n"
		s := w.made("changing", body, func(in *cloudformation.CreateStackInput) { in.Tags = tagList("a", "1") })
		before := s.physical("Subnet")
		bad := strings.Replace(body, "10.7.1.0", "10.7.2.0", 1)
		bad = strings.Replace(bad, "Outputs", "  Bad: {Type: AWS::EC2::Subnet, DependsOn: Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 192.168.0.0/24}}\nOutputs", 1)
		require.NoError(w, s.update(bad, func(in *cloudformation.UpdateStackInput) { in.Tags = tagList("a", "2") }))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		out, err := w.cfn.GetTemplate(w.ctx, &cloudformation.GetTemplateInput{StackName: &s.id})
		require.NoError(w, err)
		assert.Equal(w, body, *out.TemplateBody)
		assert.Equal(w, before, s.physical("Subnet"))
		assert.Equal(w, before, s.outputs()["Id"])
		assert.Equal(w, "1", *s.describe().Tags[0].Value)
	}},
	{id: "F053", claim: "With DisableRollback an update that fails ends in UPDATE_FAILED, and what succeeded stays as updated.", source: "[UG:stack-failure-options]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(say(), to("Say", "two", "Body", broken), func(in *cloudformation.UpdateStackInput) { in.DisableRollback = aws.Bool(true) }))
		s.await("UPDATE_FAILED")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS: User Initiated", "UPDATE_FAILED: The following resource(s) failed to update: [Board]. "}, of("Stack", s.events()))
		assert.Equal(w, "two", s.displayName())
	}},
	{id: "F054", claim: "An update that stood still in UPDATE_FAILED goes on by another one, and then is complete.", source: "[UG:stack-failure-options]", check: func(w *world) {
		s := reach["UPDATE_FAILED"](w)
		require.NoError(w, s.update(say(), to("Say", "three"), func(in *cloudformation.UpdateStackInput) { in.DisableRollback = aws.Bool(true) }))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "three", s.displayName())
	}},
	{id: "F055", claim: "RollbackStack takes an update that stood still back to the last stable state: UPDATE_ROLLBACK_IN_PROGRESS \"User Initiated\".", source: "[SDK:cloudformation api_op_RollbackStack]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(say(), to("Say", "two", "Body", broken), func(in *cloudformation.UpdateStackInput) { in.DisableRollback = aws.Bool(true) }))
		s.await("UPDATE_FAILED")
		s.events()
		_, err := w.cfn.RollbackStack(w.ctx, &cloudformation.RollbackStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, "Stack UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", s.events()[0])
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F056", claim: "A cancelled update tells what was under way \"Resource creation cancelled\" or \"Resource update cancelled\" and rolls back by UPDATE_ROLLBACK_IN_PROGRESS \"User Initiated\".", source: "[UG:using-cfn-stack-update-cancel] [INFERRED]", check: func(w *world) {
		s := w.waiting()
		s.events()
		_, err := w.cfn.CancelUpdateStack(w.ctx, &cloudformation.CancelUpdateStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		lines := s.events()
		assert.Contains(w, lines, "Gate CREATE_FAILED: Resource creation cancelled")
		assert.Equal(w, []string{
			"UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE",
		}, of("Stack", lines))
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F057", claim: "A rollback that fails ends in UPDATE_ROLLBACK_FAILED \"The following resource(s) failed to update: [X]. \".", source: "[LS] [UG:troubleshooting]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		lines := of("Stack", s.history())
		assert.Equal(w, []string{
			"UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Gate]. ",
			"UPDATE_ROLLBACK_FAILED: The following resource(s) failed to update: [Topic]. ",
		}, lines[len(lines)-2:])
		assert.Equal(w, "UPDATE_FAILED", string(s.resource("Topic").ResourceStatus))
	}},
	{id: "F058", claim: "ContinueUpdateRollback tries again what failed, and ends in UPDATE_ROLLBACK_COMPLETE when the cause is mended.", source: "[SDK:cloudformation] [UG:using-cfn-updating-stacks-continueupdaterollback]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		s.remakeTopic()
		s.events()
		require.NoError(w, s.proceed())
		s.await("UPDATE_ROLLBACK_COMPLETE")
		lines := s.events()
		assert.Equal(w, "Stack UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", lines[0])
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Topic", lines))
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F059", claim: "A ContinueUpdateRollback whose cause is not mended ends in UPDATE_ROLLBACK_FAILED again.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		s.events()
		require.NoError(w, s.proceed())
		s.await("UPDATE_ROLLBACK_FAILED")
		assert.Equal(w, []string{"UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", "UPDATE_ROLLBACK_FAILED: The following resource(s) failed to update: [Topic]. "}, of("Stack", s.events()))
	}},
	{id: "F060", claim: "A resource in ResourcesToSkip is marked UPDATE_COMPLETE without being touched.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		s.events()
		require.NoError(w, s.proceed("Topic"))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, []string{"UPDATE_COMPLETE"}, of("Topic", s.events()))
		_, err := w.sns.GetTopicAttributes(w.ctx, &sns.GetTopicAttributesInput{TopicArn: aws.String(s.physical("Topic"))})
		w.refused(err, "NotFound", "*")
	}},
	{id: "F061", claim: "Only a resource that failed in the rollback can be skipped.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		require.Error(w, s.proceed("Board"))
		w.refused(s.proceed("Board"), "ValidationError", "*Board*UPDATE_FAILED*")
		w.refused(s.proceed("Nobody"), "ValidationError", "*Nobody*")
		assert.Equal(w, "UPDATE_ROLLBACK_FAILED", s.status())
	}},
	{id: "F062", claim: "ForceRollback skips whatever failed, and excludes ResourcesToSkip.", source: "[SDK:cloudformation CHANGELOG v1.82.0]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_FAILED"](w)
		_, err := w.cfn.ContinueUpdateRollback(w.ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &s.id, ResourcesToSkip: []string{"Topic"}, ForceRollback: aws.Bool(true)})
		w.refused(err, "ValidationError", "*mutually exclusive*")
		_, err = w.cfn.ContinueUpdateRollback(w.ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &s.id, ForceRollback: aws.Bool(true)})
		require.NoError(w, err)
		s.await("UPDATE_ROLLBACK_COMPLETE")
	}},
	{id: "F063", claim: "A stack rolled back can be updated like any other.", source: "[ISSUE:aws-cdk#5151]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_COMPLETE"](w)
		require.NoError(w, s.update(say(), to("Say", "five")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "five", s.displayName())
	}},
	{id: "F064", claim: "A replacement that is rolled back leaves the old resource in service and deletes the new one in the clean-up.", source: "[LS] [UG:using-cfn-updating-stacks]", check: func(w *world) {
		s := w.made("changing", chain)
		old := s.physical("Subnet")
		bad := strings.Replace(chain, "10.7.1.0", "10.7.2.0", 1) + "  Bad: {Type: AWS::EC2::Subnet, DependsOn: Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 192.168.0.0/24}}\n"
		require.NoError(w, s.update(bad))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, old, s.physical("Subnet"))
		for _, e := range s.all() {
			if *e.LogicalResourceId == "Subnet" && strings.HasPrefix(string(e.ResourceStatus), "DELETE_") {
				assert.NotEqual(w, old, *e.PhysicalResourceId)
			}
		}
		assert.Contains(w, s.history(), "Subnet DELETE_COMPLETE")
	}},
}

var deleteFacts = []fact{
	{id: "F070", claim: "A deletion tells DELETE_IN_PROGRESS \"User Initiated\", DELETE_IN_PROGRESS and DELETE_COMPLETE of each resource, dependants first, and DELETE_COMPLETE.", source: "[LS]", check: func(w *world) {
		s := w.made("going", chain)
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Equal(w, []string{
			"Stack DELETE_IN_PROGRESS: User Initiated", "Subnet DELETE_IN_PROGRESS", "Subnet DELETE_COMPLETE",
			"Vpc DELETE_IN_PROGRESS", "Vpc DELETE_COMPLETE", "Stack DELETE_COMPLETE",
		}, s.events())
	}},
	{id: "F071", claim: "A deletion that fails ends in DELETE_FAILED \"The following resource(s) failed to delete: [X]. \".", source: "[LS]", check: func(w *world) {
		s := reach["DELETE_FAILED"](w)
		lines := of("Stack", s.history())
		assert.Equal(w, "DELETE_FAILED: The following resource(s) failed to delete: [Vpc]. ", lines[len(lines)-1])
		gone := of("Vpc", s.history())
		assert.Contains(w, gone[len(gone)-1], "DELETE_FAILED: Resource handler returned message: ")
	}},
	{id: "F072", claim: "From DELETE_FAILED, RetainResources leaves what is named behind with DELETE_SKIPPED, and the rest is deleted.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["DELETE_FAILED"](w)
		s.events()
		s.remove(func(in *cloudformation.DeleteStackInput) { in.RetainResources = []string{"Vpc"} })
		s.await("DELETE_COMPLETE")
		assert.Equal(w, []string{"Stack DELETE_IN_PROGRESS: User Initiated", "Vpc DELETE_SKIPPED", "Stack DELETE_COMPLETE"}, s.events())
	}},
	{id: "F073", claim: "A deletion tried again succeeds when what held the resource is gone.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("going", say(yard))
		guest := s.squat("10.9.1.0/24")
		s.remove()
		s.jump(25 * time.Minute)
		s.await("DELETE_FAILED")
		guest.remove()
		guest.await("DELETE_COMPLETE")
		s.remove()
		s.await("DELETE_COMPLETE")
	}},
	{id: "F074", claim: "DeletionMode FORCE_DELETE_STACK leaves behind what cannot be deleted.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["DELETE_FAILED"](w)
		s.events()
		s.remove(func(in *cloudformation.DeleteStackInput) { in.DeletionMode = "FORCE_DELETE_STACK" })
		s.jump(25 * time.Minute)
		s.await("DELETE_COMPLETE")
		lines := of("Vpc", s.events())
		assert.Contains(w, lines[len(lines)-1], "DELETE_SKIPPED")
	}},
	{id: "F075", claim: "A resource with DeletionPolicy Retain is told DELETE_SKIPPED and stays.", source: "[UG:aws-attribute-deletionpolicy]", check: func(w *world) {
		s := w.made("going", strings.Replace(say(), "    Properties: {DisplayName", "    DeletionPolicy: Retain\n    Properties: {DisplayName", 1))
		arn := s.physical("Topic")
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Contains(w, s.events(), "Topic DELETE_SKIPPED")
		_, err := w.sns.GetTopicAttributes(w.ctx, &sns.GetTopicAttributesInput{TopicArn: &arn})
		require.NoError(w, err)
	}},
	{id: "F076", claim: "To delete a stack that does not exist is no error.", source: "[SDK:cloudformation]", check: func(w *world) {
		_, err := w.cfn.DeleteStack(w.ctx, &cloudformation.DeleteStackInput{StackName: aws.String(w.name("nobody"))})
		require.NoError(w, err)
	}},
	{id: "F077", claim: "A creation under way ends when its stack is deleted.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["CREATE_IN_PROGRESS"](w)
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Equal(w, []string{"CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"}, s.states())
	}},
	{id: "F078", claim: "The abandoned change set of a stack in review goes with the stack, which has nothing to delete.", source: "[UG:using-cfn-updating-stacks-changesets]", check: func(w *world) {
		s := reach["REVIEW_IN_PROGRESS"](w)
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Equal(w, []string{"REVIEW_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"}, s.states())
	}},
}
