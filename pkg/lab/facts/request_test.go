package facts_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// told are the events of an operation, the oldest first.
func (s *stack) told(in *cloudformation.DescribeEventsInput) []types.OperationEvent {
	s.Helper()
	var out []types.OperationEvent
	pages := cloudformation.NewDescribeEventsPaginator(s.cfn, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		require.NoError(s, err)
		out = append(page.OperationEvents, out...)
	}
	return out
}

// topics is a template of n topics.
func topics(n int) string {
	var b strings.Builder
	b.WriteString("Resources:\n")
	for i := range n {
		fmt.Fprintf(&b, "  T%d: {Type: AWS::SNS::Topic}\n", i)
	}
	return b.String()
}

func (w *world) refuses(body, text string) {
	w.Helper()
	_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("refused")), TemplateBody: &body})
	w.refused(err, "ValidationError", text)
}

var requestFacts = []fact{
	{id: "F080", claim: "Every event of an operation carries its ClientRequestToken.", source: "[SDK:cloudformation types.StackEvent]", check: func(w *world) {
		s := w.create("asked", say(), func(in *cloudformation.CreateStackInput) { in.ClientRequestToken = aws.String("first-1") })
		s.await("CREATE_COMPLETE")
		require.NoError(w, s.update(say(), to("Say", "two"), func(in *cloudformation.UpdateStackInput) { in.ClientRequestToken = aws.String("second-2") }))
		s.await("UPDATE_COMPLETE")
		n := map[string]int{}
		for _, e := range s.all() {
			n[aws.ToString(e.ClientRequestToken)]++
		}
		assert.Len(w, n, 2)
		assert.GreaterOrEqual(w, n["first-1"], 8)
		assert.GreaterOrEqual(w, n["second-2"], 5)
	}},
	{id: "F081", claim: "The same request with the same ClientRequestToken does nothing twice.", source: "[SDK:cloudformation]", check: func(w *world) {
		token := func(in *cloudformation.CreateStackInput) { in.ClientRequestToken = aws.String("same-1") }
		s := w.create("asked", say(), token)
		again := w.create("asked", say(), token)
		assert.Equal(w, s.id, again.id)
		s.await("CREATE_COMPLETE")
		assert.Equal(w, []string{"CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, s.states())
	}},
	{id: "F082", claim: "Another request with a used ClientRequestToken is refused with TokenAlreadyExistsException.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("asked", say(), func(in *cloudformation.CreateStackInput) { in.ClientRequestToken = aws.String("same-1") })
		err := s.update(say(), to("Say", "two"), func(in *cloudformation.UpdateStackInput) { in.ClientRequestToken = aws.String("same-1") })
		w.refused(err, "TokenAlreadyExistsException", "*same-1*")
	}},
	{id: "F083", claim: "The event id of the stack's own events is a UUID, that of a resource is <LogicalId>-<STATUS>-<time to the millisecond>; none comes twice.", source: "[LS]", check: func(w *world) {
		s := w.made("asked", say())
		seen := map[string]bool{}
		for _, e := range s.all() {
			assert.False(w, seen[*e.EventId])
			seen[*e.EventId] = true
			if *e.ResourceType == "AWS::CloudFormation::Stack" {
				assert.Regexp(w, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, *e.EventId)
				assert.Equal(w, s.id, *e.PhysicalResourceId)
				assert.Equal(w, s.name, *e.LogicalResourceId)
				continue
			}
			assert.Regexp(w, "^"+*e.LogicalResourceId+"-"+string(e.ResourceStatus)+`-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, *e.EventId)
		}
	}},
	{id: "F084", claim: "DescribeStackEvents tells the newest event first, in pages.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("asked", topics(60))
		out, err := w.cfn.DescribeStackEvents(w.ctx, &cloudformation.DescribeStackEventsInput{StackName: &s.id})
		require.NoError(w, err)
		assert.Equal(w, types.ResourceStatusCreateComplete, out.StackEvents[0].ResourceStatus)
		assert.Equal(w, s.id, *out.StackEvents[0].PhysicalResourceId)
		for i := 1; i < len(out.StackEvents); i++ {
			assert.False(w, out.StackEvents[i].Timestamp.After(*out.StackEvents[i-1].Timestamp))
		}
		assert.Len(w, s.history(), 3*60+2)
	}},
	{id: "F085", claim: "An event carries the properties its resource was made of as a JSON text.", source: "[SDK:cloudformation types.StackEvent]", check: func(w *world) {
		s := w.made("asked", say())
		for _, e := range s.all() {
			if *e.LogicalResourceId == "Topic" && e.ResourceStatus == "CREATE_COMPLETE" {
				assert.JSONEq(w, `{"DisplayName":"one"}`, *e.ResourceProperties)
			}
		}
	}},
	{id: "F086", claim: "DescribeEvents tells the events of one operation, with its type and how it ended.", source: "[SDK:cloudformation DescribeEvents v1.70.0]", check: func(w *world) {
		s := w.made("asked", say())
		up, err := w.cfn.UpdateStack(w.ctx, &cloudformation.UpdateStackInput{StackName: &s.id, TemplateBody: aws.String(say()), Parameters: params("Say", "two")})
		require.NoError(w, err)
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []types.OperationEntry{{OperationId: up.OperationId, OperationType: types.OperationTypeUpdateStack}}, s.describe().LastOperations)
		events := s.told(&cloudformation.DescribeEventsInput{OperationId: up.OperationId})
		assert.Len(w, events, 5)
		for _, e := range events {
			assert.Equal(w, types.EventTypeStackEvent, e.EventType)
			assert.Equal(w, types.OperationTypeUpdateStack, e.OperationType)
			assert.Equal(w, types.BeaconStackOperationStatusSucceeded, e.OperationStatus)
		}
	}},
	{id: "F087", claim: "DescribeEvents with the filter FailedEvents tells only what failed.", source: "[SDK:cloudformation DescribeEvents v1.70.0]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_COMPLETE"](w)
		events := s.told(&cloudformation.DescribeEventsInput{StackName: &s.id, Filters: &types.EventFilter{FailedEvents: aws.Bool(true)}})
		require.Len(w, events, 1)
		assert.Equal(w, "Board", *events[0].LogicalResourceId)
		assert.Equal(w, types.ResourceStatusUpdateFailed, events[0].ResourceStatus)
	}},
	{id: "F088", claim: "The event of a resource that failed in an operation comes from DescribeEvents as PROVISIONING_ERROR.", source: "[SDK:cloudformation types.EventType] [INFERRED]", check: func(w *world) {
		s := reach["ROLLBACK_COMPLETE"](w)
		events := s.told(&cloudformation.DescribeEventsInput{StackName: &s.id, Filters: &types.EventFilter{FailedEvents: aws.Bool(true)}})
		require.Len(w, events, 1)
		assert.Equal(w, types.EventTypeProvisioningError, events[0].EventType)
	}},
	{id: "F089", claim: "A stack that is not there is \"Stack with id X does not exist\" to DescribeStacks and \"Stack [X] does not exist\" to most others.", source: "[LS]", check: func(w *world) {
		_, err := w.cfn.DescribeStacks(w.ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("nobody")})
		w.refused(err, "ValidationError", "Stack with id nobody does not exist")
		_, err = w.cfn.DescribeStackEvents(w.ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String("nobody")})
		w.refused(err, "ValidationError", "Stack [nobody] does not exist")
		_, err = w.cfn.UpdateStack(w.ctx, &cloudformation.UpdateStackInput{StackName: aws.String("nobody"), TemplateBody: aws.String(say())})
		w.refused(err, "ValidationError", "Stack [nobody] does not exist")
		_, err = w.cfn.CreateChangeSet(w.ctx, &cloudformation.CreateChangeSetInput{StackName: aws.String("nobody"), ChangeSetName: aws.String("x"), TemplateBody: aws.String(say())})
		w.refused(err, "ValidationError", "Stack [nobody] does not exist")
	}},
	{id: "F090", claim: "A template is 51,200 bytes at most.", source: "[UG:cloudformation-limits] [LS]", check: func(w *world) {
		w.refuses(say("  # "+strings.Repeat("x", 51200)), "1 validation error detected: Value '*' at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200")
		s := w.create("fits", say("  # "+strings.Repeat("x", 51200-len(say("  # ")))))
		s.await("CREATE_COMPLETE")
	}},
	{id: "F091", claim: "A template has 500 resources at most.", source: "[UG:cloudformation-limits]", check: func(w *world) {
		w.refuses(topics(501), "Template format error: Number of resources, 501, is greater than maximum allowed, 500")
		_, err := w.cfn.ValidateTemplate(w.ctx, &cloudformation.ValidateTemplateInput{TemplateBody: aws.String(topics(500))})
		require.NoError(w, err)
	}},
	{id: "F092", claim: "A stack's name begins with a letter, holds letters, digits and hyphens, and has 128 characters at most.", source: "[SDK:cloudformation]", check: func(w *world) {
		for name, constraint := range map[string]string{
			"1st": "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", "a_b": "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
			"a" + strings.Repeat("b", 128): "Member must have length less than or equal to 128",
		} {
			_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: &name, TemplateBody: aws.String(say())})
			w.refused(err, "ValidationError", "1 validation error detected: Value '"+name+"' at 'stackName' failed to satisfy constraint: "+constraint)
		}
	}},
	{id: "F093", claim: "A template that makes roles needs CAPABILITY_IAM, one that names them CAPABILITY_NAMED_IAM.", source: "[LS] [SDK:cloudformation]", check: func(w *world) {
		role := "Resources:\n  Role:\n    Type: AWS::IAM::Role\n    Properties:\n      AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: 'sts:AssumeRole'}]}\n"
		try := func(body string, capabilities ...types.Capability) error {
			_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("role")), TemplateBody: &body, Capabilities: capabilities})
			return err
		}
		w.refused(try(role), "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]")
		w.refused(try(role+"      RoleName: x\n", types.CapabilityCapabilityIam), "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]")
		s := w.made("role", role, func(in *cloudformation.CreateStackInput) {
			in.Capabilities = []types.Capability{types.CapabilityCapabilityIam}
		})
		assert.Equal(w, []types.Capability{types.CapabilityCapabilityIam}, s.describe().Capabilities)
	}},
	{id: "F094", claim: "A stack has 50 tags at most, and none of them begins with aws:.", source: "[UG:cloudformation-limits] [SDK:cloudformation]", check: func(w *world) {
		var many []string
		for i := range 51 {
			many = append(many, fmt.Sprint("k", i), "v")
		}
		for _, tags := range [][]types.Tag{tagList(many...), tagList("aws:mine", "v")} {
			_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("tags")), TemplateBody: aws.String(say()), Tags: tags})
			w.refused(err, "ValidationError", "*ag*")
		}
		s := w.made("tags", say(), func(in *cloudformation.CreateStackInput) { in.Tags = tagList(many[:100]...) })
		assert.Len(w, s.describe().Tags, 50)
	}},
	{id: "F095", claim: "A deleted stack is left out of DescribeStacks and kept in ListStacks.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["DELETE_COMPLETE"](w)
		all, err := w.cfn.DescribeStacks(w.ctx, &cloudformation.DescribeStacksInput{})
		require.NoError(w, err)
		for _, st := range all.Stacks {
			assert.NotEqual(w, s.id, *st.StackId)
		}
		list, err := w.cfn.ListStacks(w.ctx, &cloudformation.ListStacksInput{StackStatusFilter: []types.StackStatus{"DELETE_COMPLETE"}})
		require.NoError(w, err)
		assert.Equal(w, s.id, *list.StackSummaries[0].StackId)
	}},
	{id: "F096", claim: "The SDK's waiter StackUpdateComplete takes UPDATE_ROLLBACK_COMPLETE for a failure at once.", source: "[SDK:cloudformation api_op_DescribeStacks]", check: func(w *world) {
		s := reach["UPDATE_ROLLBACK_COMPLETE"](w)
		err := cloudformation.NewStackUpdateCompleteWaiter(w.cfn).Wait(w.ctx, &cloudformation.DescribeStacksInput{StackName: &s.id}, time.Minute)
		assert.ErrorContains(w, err, "waiter state transitioned to Failure")
	}},
	{id: "F097", claim: "The SDK's waiter StackDeleteComplete takes a stack that is not there for done.", source: "[SDK:cloudformation api_op_DescribeStacks]", check: func(w *world) {
		require.NoError(w, cloudformation.NewStackDeleteCompleteWaiter(w.cfn).Wait(w.ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("nobody")}, time.Minute))
	}},
	{id: "F098", claim: "The topics in NotificationARNs, five at most, get every event of the stack.", source: "[SDK:cloudformation CreateStack]", lab: "it reads what was published without a subscriber", check: func(w *world) {
		topic := w.made("topic", topics(1)).physical("T0")
		s := w.create("asked", say(), func(in *cloudformation.CreateStackInput) { in.NotificationARNs = []string{topic} })
		s.await("CREATE_COMPLETE")
		want := len(s.history())
		w.lab.Core().View(region, func(tx *core.Tx) {
			got := tx.Region.Topics[topic].Messages
			require.Len(w, got, want)
			assert.Equal(w, "AWS CloudFormation Notification", got[0].Subject)
			assert.Contains(w, got[want-1].Text, "\nResourceStatus='CREATE_COMPLETE'\n")
			assert.Contains(w, got[want-1].Text, "StackId='"+s.id+"'\n")
		})
		_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("many")), TemplateBody: aws.String(say()), NotificationARNs: []string{topic, topic, topic, topic, topic, topic}})
		w.refused(err, "ValidationError", "*notificationARNs*less than or equal to 5*")
	}},
}
