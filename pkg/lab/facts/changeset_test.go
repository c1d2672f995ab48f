package facts_test

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func named(name string) func(*cloudformation.CreateChangeSetInput) {
	return func(in *cloudformation.CreateChangeSetInput) { in.ChangeSetName = &name }
}

func given(kv ...string) func(*cloudformation.CreateChangeSetInput) {
	return func(in *cloudformation.CreateChangeSetInput) { in.Parameters = params(kv...) }
}

func (s *stack) described(id *string) (*cloudformation.DescribeChangeSetOutput, error) {
	return s.cfn.DescribeChangeSet(s.ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: id, StackName: &s.name})
}

var changeSetFacts = []fact{
	{id: "F130", claim: "A change set without a change ends FAILED and UNAVAILABLE with \"The submitted information didn't contain changes. Submit different information to create a change set.\".", source: "[LS]", check: func(w *world) {
		cs := w.made("stack", say()).change(say())
		assert.Equal(w, types.ChangeSetStatusFailed, cs.Status)
		assert.Equal(w, types.ExecutionStatusUnavailable, cs.ExecutionStatus)
		assert.Equal(w, "The submitted information didn't contain changes. Submit different information to create a change set.", *cs.StatusReason)
	}},
	{id: "F131", claim: "Another text for an empty change set is \"No updates are to be performed.\"; clients test for both, and what decides is not known.", source: "[CLI]", check: func(w *world) {
		cs := w.made("stack", say()).change(strings.Replace(say(), "    DependsOn: Topic\n", "    DependsOn: Topic\n    DeletionPolicy: Retain\n", 1))
		assert.Equal(w, types.ChangeSetStatusFailed, cs.Status)
		assert.Equal(w, types.ExecutionStatusUnavailable, cs.ExecutionStatus)
		assert.Equal(w, "No updates are to be performed.", *cs.StatusReason)
	}},
	{id: "F132", claim: "A change set with a change is CREATE_COMPLETE and AVAILABLE, and its ARN holds its name.", source: "[LS]", check: func(w *world) {
		cs := w.made("stack", say()).change(say(), given("Say", "two"))
		assert.Equal(w, types.ChangeSetStatusCreateComplete, cs.Status)
		assert.Equal(w, types.ExecutionStatusAvailable, cs.ExecutionStatus)
		assert.Regexp(w, `^arn:aws:cloudformation:[a-z0-9-]+:\d{12}:changeSet/change/[0-9a-f-]{36}$`, *cs.ChangeSetId)
	}},
	{id: "F133", claim: "A change set that failed cannot be executed: InvalidChangeSetStatus \"ChangeSet [arn] cannot be executed in its current status of [FAILED]\".", source: "[LS]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say())
		w.refused(s.execute(cs.ChangeSetId), "InvalidChangeSetStatus", "ChangeSet ["+*cs.ChangeSetId+"] cannot be executed in its current status of [FAILED]")
	}},
	{id: "F134", claim: "A change set is OBSOLETE when its stack was updated otherwise, and is not executed any more.", source: "[SDK:cloudformation types.ExecutionStatus]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say(), given("Say", "two"))
		require.NoError(w, s.update(say(), to("Say", "three")))
		s.await("UPDATE_COMPLETE")
		out, err := s.described(cs.ChangeSetId)
		require.NoError(w, err)
		assert.Equal(w, types.ExecutionStatusObsolete, out.ExecutionStatus)
		w.refused(s.execute(cs.ChangeSetId), "InvalidChangeSetStatus", "ChangeSet [*] cannot be executed in its current execution status of [OBSOLETE]")
		assert.Equal(w, "three", s.displayName())
	}},
	{id: "F135", claim: "Executing a change set deletes the other change sets of the stack.", source: "[SDK:cloudformation ExecuteChangeSet]", check: func(w *world) {
		s := w.made("stack", say())
		other := s.change(say(), given("Say", "three"), named("other"))
		cs := s.change(say(), given("Say", "two"))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_COMPLETE")
		_, err := s.described(other.ChangeSetId)
		w.refused(err, "ChangeSetNotFound", "ChangeSet ["+*other.ChangeSetId+"] does not exist")
	}},
	{id: "F136", claim: "An executed change set is EXECUTE_COMPLETE, and leaves the list of change sets.", source: "[SDK:cloudformation types.ExecutionStatus]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say(), given("Say", "two"))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_COMPLETE")
		out, err := s.described(cs.ChangeSetId)
		require.NoError(w, err)
		assert.Equal(w, types.ExecutionStatusExecuteComplete, out.ExecutionStatus)
		list, err := w.cfn.ListChangeSets(w.ctx, &cloudformation.ListChangeSetsInput{StackName: &s.name})
		require.NoError(w, err)
		assert.Empty(w, list.Summaries)
		assert.Equal(w, *cs.ChangeSetId, *s.describe().ChangeSetId)
	}},
	{id: "F137", claim: "A change set whose execution is rolled back is EXECUTE_FAILED.", source: "[SDK:cloudformation types.ExecutionStatus] [INFERRED]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say(), given("Body", broken))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		out, err := s.described(cs.ChangeSetId)
		require.NoError(w, err)
		assert.Equal(w, types.ExecutionStatusExecuteFailed, out.ExecutionStatus)
	}},
	{id: "F138", claim: "A change set that is not there is ChangeSetNotFound, HTTP 404, \"ChangeSet [x] does not exist\".", source: "[LS]", check: func(w *world) {
		s := w.made("stack", say())
		_, err := s.described(aws.String("x"))
		w.refused(err, "ChangeSetNotFound", "ChangeSet [x] does not exist")
		var missing *types.ChangeSetNotFoundException
		require.ErrorAs(w, err, &missing)
		assert.ErrorContains(w, err, "StatusCode: 404")
	}},
	{id: "F139", claim: "A change set asked for by name needs its stack: \"StackName must be specified if ChangeSetName is not specified as an ARN.\".", source: "[LS]", check: func(w *world) {
		_, err := w.cfn.DescribeChangeSet(w.ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: aws.String("x")})
		w.refused(err, "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN.")
	}},
	{id: "F140", claim: "A change set's name is taken once per stack.", source: "[LS]", check: func(w *world) {
		s := w.made("stack", say())
		s.change(say(), given("Say", "two"))
		_, err := w.cfn.CreateChangeSet(w.ctx, &cloudformation.CreateChangeSetInput{StackName: &s.name, ChangeSetName: aws.String("change"), TemplateBody: aws.String(say())})
		w.refused(err, "AlreadyExistsException", "ChangeSet * already exists")
	}},
	{id: "F141", claim: "A parameter left out of a change set takes the default of the new template, not its value of before.", source: "[SDK:cloudformation types.Parameter] [LS]", check: func(w *world) {
		s := w.made("stack", say(), with("Say", "mine"))
		cs := s.change(strings.Replace(say(), "Default: one", "Default: new", 1))
		assert.Equal(w, "new", value(cs.Parameters, "Say"))
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "new", s.displayName())
	}},
	{id: "F142", claim: "UsePreviousValue keeps the old value even when it came from an old default, so that a new default is silently ignored.", source: "[SDK:cloudformation types.Parameter] [CLI deploy.py]", check: func(w *world) {
		s := w.made("stack", say())
		in := &cloudformation.UpdateStackInput{
			StackName: &s.id, TemplateBody: aws.String(strings.Replace(say("  Other: {Type: AWS::SNS::Topic}\n"), "Default: one", "Default: new", 1)),
			Parameters: []types.Parameter{{ParameterKey: aws.String("Say"), UsePreviousValue: aws.Bool(true)}},
		}
		_, err := w.cfn.UpdateStack(w.ctx, in)
		require.NoError(w, err)
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "one", value(s.describe().Parameters, "Say"))
	}},
	{id: "F143", claim: "UsePreviousTemplate changes parameters alone.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("stack", say())
		out, err := w.cfn.CreateChangeSet(w.ctx, &cloudformation.CreateChangeSetInput{StackName: &s.name, ChangeSetName: aws.String("change"), UsePreviousTemplate: aws.Bool(true), Parameters: params("Say", "two")})
		require.NoError(w, err)
		cs := s.reviewed(*out.Id, nil)
		require.Len(w, cs.Changes, 1)
		assert.Equal(w, "Topic", *cs.Changes[0].ResourceChange.LogicalResourceId)
	}},
	{id: "F144", claim: "A deleted change set is gone, and deleting it again is no error.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say(), given("Say", "two"))
		for range 2 {
			_, err := w.cfn.DeleteChangeSet(w.ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: cs.ChangeSetId})
			require.NoError(w, err)
		}
		_, err := s.described(cs.ChangeSetId)
		w.refused(err, "ChangeSetNotFound", "*")
	}},
	{id: "F145", claim: "ExecuteChangeSet with DisableRollback lets a failed update stand in UPDATE_FAILED.", source: "[SDK:cloudformation ExecuteChangeSet]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say(), given("Body", broken))
		require.NoError(w, s.execute(cs.ChangeSetId, func(in *cloudformation.ExecuteChangeSetInput) { in.DisableRollback = aws.Bool(true) }))
		s.await("UPDATE_FAILED")
	}},
	{id: "F146", claim: "OnStackFailure DELETE is for change sets of type CREATE only, and deletes the stack whose creation fails.", source: "[SDK:cloudformation CreateChangeSet]", check: func(w *world) {
		s := w.stack(w.name("stack"), "")
		erase := func(in *cloudformation.CreateChangeSetInput) { in.OnStackFailure = types.OnStackFailureDelete }
		cs := s.change(say(), given("Body", broken), erase, func(in *cloudformation.CreateChangeSetInput) { in.ChangeSetType = types.ChangeSetTypeCreate })
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("DELETE_COMPLETE")
		other := w.made("other", say())
		in := &cloudformation.CreateChangeSetInput{StackName: &other.name, ChangeSetName: aws.String("x"), TemplateBody: aws.String(say())}
		erase(in)
		_, err := w.cfn.CreateChangeSet(w.ctx, in)
		w.refused(err, "ValidationError", "*OnStackFailure*")
	}},
	{id: "F147", claim: "A change set whose properties break their schema ends FAILED by early validation, and DescribeEvents tells each as VALIDATION_ERROR with its path.", source: "[SDK:cloudformation DescribeEvents] [ISSUE:rain#744]", check: func(w *world) {
		s := w.made("stack", say())
		cs := s.change(say("  Bad: {Type: AWS::SNS::Topic, Properties: {DisplayName: [no, text]}}\n"))
		assert.Equal(w, types.ChangeSetStatusFailed, cs.Status)
		assert.Contains(w, *cs.StatusReason, "AWS::EarlyValidation::PropertyValidation")
		events := s.told(&cloudformation.DescribeEventsInput{ChangeSetName: cs.ChangeSetId})
		require.Len(w, events, 1)
		e := events[0]
		assert.Equal(w, types.EventTypeValidationError, e.EventType)
		assert.Equal(w, "Bad", *e.LogicalResourceId)
		assert.Equal(w, "AWS::EarlyValidation::PropertyValidation", *e.ValidationName)
		assert.Equal(w, "/Properties/DisplayName", *e.ValidationPath)
		assert.Equal(w, types.HookFailureModeFail, e.ValidationFailureMode)
		assert.Equal(w, types.OperationTypeCreateChangeset, e.OperationType)
		assert.Contains(w, *e.ValidationStatusReason, "expected type: String, found: JSONArray")
		assert.Equal(w, []string{"CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, s.states(), "nothing of the stack was touched")
	}},
	{id: "F148", claim: "A change set changes nothing before it is executed.", source: "[UG:using-cfn-updating-stacks-changesets]", check: func(w *world) {
		s := w.made("stack", say())
		s.change(say(), given("Say", "two"))
		s.pass(10 * time.Minute)
		assert.Empty(w, s.events())
		assert.Equal(w, "CREATE_COMPLETE", s.status())
		assert.Equal(w, "one", s.displayName())
	}},
	{id: "F149", claim: "The SDK's waiter ChangeSetCreateComplete ends with an error for an empty change set.", source: "[SDK:cloudformation api_op_DescribeChangeSet]", check: func(w *world) {
		cs := w.made("stack", say()).change(say())
		err := cloudformation.NewChangeSetCreateCompleteWaiter(w.cfn).Wait(w.ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: cs.ChangeSetId}, time.Minute)
		assert.ErrorContains(w, err, "waiter state transitioned to Failure")
	}},
}

func value(list []types.Parameter, key string) string {
	for _, p := range list {
		if *p.ParameterKey == key {
			return *p.ParameterValue
		}
	}
	return ""
}
