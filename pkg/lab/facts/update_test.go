package facts_test

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waiting is a stack whose update waits at a gate after it changed the topic.
func (w *world) waiting(parts ...string) *stack {
	w.Helper()
	s := w.made("changing", say())
	require.NoError(w, s.update(say(append(parts, gate("Gate"))...), to("Say", "two")))
	s.until(time.Hour, "the gate waits", func() bool {
		return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
	})
	return s
}

// displayName is the topic's, as SNS tells it.
func (s *stack) displayName() string {
	s.Helper()
	out, err := s.sns.GetTopicAttributes(s.ctx, &sns.GetTopicAttributesInput{TopicArn: aws.String(s.physical("Topic"))})
	require.NoError(s, err)
	return out.Attributes["DisplayName"]
}

var updateFacts = []fact{
	{id: "F036", claim: "An update in place tells the resource UPDATE_IN_PROGRESS and UPDATE_COMPLETE, and the stack UPDATE_IN_PROGRESS \"User Initiated\", UPDATE_COMPLETE_CLEANUP_IN_PROGRESS even with nothing to clean up, UPDATE_COMPLETE.", source: "[LS]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(say(), to("Say", "two")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated", "Topic UPDATE_IN_PROGRESS", "Topic UPDATE_COMPLETE",
			"Stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Stack UPDATE_COMPLETE",
		}, s.events())
		assert.Equal(w, "two", s.displayName())
		assert.NotNil(w, s.describe().LastUpdatedTime)
	}},
	{id: "F037", claim: "A replacement tells \"Requested update requires the creation of a new physical resource; hence creating one.\", \"Resource creation Initiated\" with the new id, UPDATE_COMPLETE, and deletes the old one in the clean-up.", source: "[LS]", check: func(w *world) {
		s := w.made("changing", chain)
		old := s.physical("Subnet")
		require.NoError(w, s.update(strings.Replace(chain, "10.7.1.0", "10.7.2.0", 1)))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated",
			"Subnet UPDATE_IN_PROGRESS: Requested update requires the creation of a new physical resource; hence creating one.",
			"Subnet UPDATE_IN_PROGRESS: Resource creation Initiated", "Subnet UPDATE_COMPLETE",
			"Stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Subnet DELETE_IN_PROGRESS", "Subnet DELETE_COMPLETE",
			"Stack UPDATE_COMPLETE",
		}, s.events())
		now := s.physical("Subnet")
		assert.NotEqual(w, old, now)
		for _, e := range s.all() {
			if *e.LogicalResourceId != "Subnet" {
				continue
			}
			switch {
			case strings.HasPrefix(string(e.ResourceStatus), "DELETE_"):
				assert.Equal(w, old, *e.PhysicalResourceId)
			case aws.ToString(e.ResourceStatusReason) == "Resource creation Initiated" && strings.HasPrefix(string(e.ResourceStatus), "UPDATE"):
				assert.Equal(w, now, *e.PhysicalResourceId)
			}
		}
	}},
	{id: "F038", claim: "With UpdateReplacePolicy Retain the replaced resource is told DELETE_SKIPPED and stays.", source: "[LS] [UG:aws-attribute-updatereplacepolicy]", check: func(w *world) {
		body := strings.Replace(chain, "AWS::EC2::Subnet\n", "AWS::EC2::Subnet\n    UpdateReplacePolicy: Retain\n", 1)
		s := w.made("changing", body)
		require.NoError(w, s.update(strings.Replace(body, "10.7.1.0", "10.7.2.0", 1)))
		s.await("UPDATE_COMPLETE")
		lines := of("Subnet", s.events())
		assert.Equal(w, "DELETE_SKIPPED", lines[len(lines)-1])
	}},
	{id: "F039", claim: "A resource that the new template lacks is deleted in the clean-up, with its DeletionPolicy.", source: "[LS] [UG:using-cfn-updating-stacks]", check: func(w *world) {
		extra := "  Keep:\n    Type: AWS::SNS::Topic\n    DeletionPolicy: Retain\n  Drop:\n    Type: AWS::SNS::Topic\n"
		s := w.made("changing", say(extra))
		require.NoError(w, s.update(say()))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated", "Stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
		}, s.events()[:2])
		assert.Contains(w, s.history(), "Keep DELETE_SKIPPED")
		assert.Contains(w, s.history(), "Drop DELETE_COMPLETE")
	}},
	{id: "F040", claim: "What cannot be deleted in the clean-up does not fail the update.", source: "[UG:using-cfn-describing-stacks]", check: func(w *world) {
		s := reach["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"](w)
		s.jump(25 * time.Minute)
		s.await("UPDATE_COMPLETE")
		lines := of("Vpc", s.history())
		assert.Contains(w, lines[len(lines)-1], "DELETE_FAILED: ")
	}},
	{id: "F041", claim: "An update without a change is refused with \"No updates are to be performed.\".", source: "[SDK:cloudformation] [CLI]", check: func(w *world) {
		s := w.made("changing", say())
		w.refused(s.update(say()), "ValidationError", "No updates are to be performed.")
	}},
	{id: "F042", claim: "A change of nothing but DeletionPolicy, UpdateReplacePolicy or UpdatePolicy is no update.", source: "[UG:troubleshooting]", check: func(w *world) {
		s := w.made("changing", say())
		w.refused(s.update(strings.Replace(say(), "    DependsOn: Topic\n", "    DependsOn: Topic\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n", 1)), "ValidationError", "No updates are to be performed.")
	}},
	{id: "F043", claim: "A change of Metadata is an update of its resource.", source: "[UG:troubleshooting]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(strings.Replace(say(), "    DependsOn: Topic\n", "    DependsOn: Topic\n    Metadata: {why: because}\n", 1)))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Board", s.events()))
		assert.JSONEq(w, `{"why":"because"}`, *s.resource("Board").Metadata)
	}},
	{id: "F044", claim: "A new stack tag is an update of every resource that can carry it.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("changing", say())
		require.NoError(w, s.update(say(), func(in *cloudformation.UpdateStackInput) {
			in.Tags = []types.Tag{{Key: aws.String("owner"), Value: aws.String("me")}}
		}))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Topic", s.events()))
		tags, err := w.sns.ListTagsForResource(w.ctx, &sns.ListTagsForResourceInput{ResourceArn: aws.String(s.physical("Topic"))})
		require.NoError(w, err)
		assert.Contains(w, tagTexts(tags), "owner=me")
	}},
	{id: "F045", claim: "The type of a resource cannot be changed under its logical id.", source: "[LS]", check: func(w *world) {
		s := w.made("changing", chain)
		w.refused(s.update(strings.Replace(chain, "Type: AWS::EC2::Subnet\n    Properties: {VpcId: !Ref Vpc, CidrBlock: 10.7.1.0/24}", "Type: AWS::SNS::Topic", 1)),
			"ValidationError", "Update of resource type is not permitted. The new template modifies resource type of the following resources: [Subnet]")
	}},
	{id: "F046", claim: "Resources get the tags aws:cloudformation:stack-name, stack-id and logical-id.", source: "[SDK:cloudformation] [UG:cfn-resource-tags]", check: func(w *world) {
		s := w.made("changing", say())
		tags, err := w.sns.ListTagsForResource(w.ctx, &sns.ListTagsForResourceInput{ResourceArn: aws.String(s.physical("Topic"))})
		require.NoError(w, err)
		assert.Subset(w, tagTexts(tags), []string{
			"aws:cloudformation:stack-name=" + s.name, "aws:cloudformation:stack-id=" + s.id, "aws:cloudformation:logical-id=Topic",
		})
	}},
	{id: "F047", claim: "GetTemplate gives the body as it was sent, to the letter.", source: "[SDK:cloudformation]", check: func(w *world) {
		body := say("  # a remark\n")
		s := w.made("changing", body)
		out, err := w.cfn.GetTemplate(w.ctx, &cloudformation.GetTemplateInput{StackName: &s.id, TemplateStage: types.TemplateStageOriginal})
		require.NoError(w, err)
		assert.Equal(w, body, *out.TemplateBody)
	}},
}

func tagTexts(out *sns.ListTagsForResourceOutput) []string {
	var l []string
	for _, t := range out.Tags {
		l = append(l, *t.Key+"="+*t.Value)
	}
	return l
}

func tagList(kv ...string) []types.Tag {
	var out []types.Tag
	for i := 0; i < len(kv); i += 2 {
		out = append(out, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return out
}
