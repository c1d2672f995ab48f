package cloudformation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// The whole of it once more by the wire: a real client, a running lab.
func TestByTheSDK(t *testing.T) {
	ctx := context.Background()
	l := lab.Start(t)
	c := sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	var images []string
	for _, name := range []string{"old", "new"} {
		require.NoError(t, l.Memory().AddImage(name, memory.Site("Hello World", name)))
		require.NoError(t, l.Core().Do(region, func(tx *core.Tx) error {
			id, err := ec2.AddImage(tx, name, name, nil)
			images = append(images, id)
			return err
		}))
	}
	body := (&world{t: t}).template("group.yaml", images[0])
	v, err := c.ValidateTemplate(ctx, &sdk.ValidateTemplateInput{TemplateBody: &body})
	require.NoError(t, err)
	assert.Equal(t, "A group of instances that rolls", *v.Description)
	assert.Len(t, v.Parameters, 7)

	_, err = c.DescribeStacks(ctx, &sdk.DescribeStacksInput{StackName: aws.String("web")})
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	assert.Equal(t, "ValidationError", api.ErrorCode())
	assert.Equal(t, "Stack with id web does not exist", api.ErrorMessage())
	_, err = c.DescribeChangeSet(ctx, &sdk.DescribeChangeSetInput{ChangeSetName: aws.String("x"), StackName: aws.String("web")})
	require.Error(t, err)

	cs, err := c.CreateChangeSet(ctx, &sdk.CreateChangeSetInput{
		StackName: aws.String("web"), ChangeSetName: aws.String("make"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: &body,
		Tags:                  []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}},
		RollbackConfiguration: &types.RollbackConfiguration{RollbackTriggers: []types.RollbackTrigger{}, MonitoringTimeInMinutes: aws.Int32(1)},
	})
	require.NoError(t, err)
	reviewed := awaitChangeSet(t, c, *cs.Id)
	require.Equal(t, types.ChangeSetStatusCreateComplete, reviewed.Status, aws.ToString(reviewed.StatusReason))
	assert.Len(t, reviewed.Changes, 4)
	_, err = c.ExecuteChangeSet(ctx, &sdk.ExecuteChangeSetInput{ChangeSetName: cs.Id, ClientRequestToken: aws.String("make-1"), DisableRollback: aws.Bool(false)})
	require.NoError(t, err)
	st := awaitStack(t, c, l, "CREATE_COMPLETE")
	assert.Equal(t, "web", *st.Tags[0].Value)
	assert.True(t, st.CreationTime.After(time.Now().Add(-time.Hour)))
	require.Len(t, st.Outputs, 1)

	next := strings.ReplaceAll(body, images[0], images[1])
	cs, err = c.CreateChangeSet(ctx, &sdk.CreateChangeSetInput{StackName: aws.String("web"), ChangeSetName: aws.String("roll"), TemplateBody: &next})
	require.NoError(t, err)
	reviewed = awaitChangeSet(t, c, *cs.Id)
	assert.Equal(t, types.ReplacementConditional, reviewed.Changes[0].ResourceChange.Replacement)
	assert.Equal(t, types.ChangeSourceResourceAttribute, reviewed.Changes[0].ResourceChange.Details[0].ChangeSource)
	_, err = c.ExecuteChangeSet(ctx, &sdk.ExecuteChangeSetInput{ChangeSetName: cs.Id, ClientRequestToken: aws.String("roll-1")})
	require.NoError(t, err)
	awaitStack(t, c, l, "UPDATE_COMPLETE")

	events := map[string]bool{}
	pages := sdk.NewDescribeStackEventsPaginator(c, &sdk.DescribeStackEventsInput{StackName: st.StackId})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		for _, e := range page.StackEvents {
			require.NotNil(t, e.PhysicalResourceId)
			if aws.ToString(e.ClientRequestToken) == "roll-1" {
				events[aws.ToString(e.ResourceStatusReason)] = true
			}
		}
	}
	assert.True(t, events["Temporarily setting autoscaling group MinSize and DesiredCapacity to 4."])
	_, err = c.SignalResource(ctx, &sdk.SignalResourceInput{StackName: aws.String("web"), LogicalResourceId: aws.String("Asg"), UniqueId: aws.String("i-1"), Status: types.ResourceSignalStatusSuccess})
	require.ErrorAs(t, err, &api)
	assert.Contains(t, api.ErrorMessage(), "state and cannot be signaled")

	same, err := c.CreateChangeSet(ctx, &sdk.CreateChangeSetInput{StackName: aws.String("web"), ChangeSetName: aws.String("none"), UsePreviousTemplate: aws.Bool(true)})
	require.NoError(t, err)
	assert.Contains(t, *awaitChangeSet(t, c, *same.Id).StatusReason, "didn't contain changes")
	_, err = c.DescribeChangeSet(ctx, &sdk.DescribeChangeSetInput{ChangeSetName: aws.String("nobody"), StackName: aws.String("web")})
	var missing *types.ChangeSetNotFoundException
	require.ErrorAs(t, err, &missing)

	// A trigger is kept until an empty list clears it; an empty value comes back as one.
	arn := "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:nobody"
	for _, triggers := range [][]types.RollbackTrigger{{{Arn: &arn, Type: aws.String("AWS::CloudWatch::Alarm")}}, {}} {
		_, err := c.UpdateStack(ctx, &sdk.UpdateStackInput{
			StackName: aws.String("web"), UsePreviousTemplate: aws.Bool(true), Tags: []types.Tag{{Key: aws.String("site"), Value: aws.String("")}},
			RollbackConfiguration: &types.RollbackConfiguration{RollbackTriggers: triggers, MonitoringTimeInMinutes: aws.Int32(0)},
		})
		require.NoError(t, err)
		want := types.StackStatusUpdateComplete
		if len(triggers) > 0 {
			want = types.StackStatusUpdateRollbackComplete
		}
		st := awaitStack(t, c, l, want)
		assert.Len(t, st.RollbackConfiguration.RollbackTriggers, len(triggers))
		if len(triggers) == 0 {
			require.NotNil(t, st.Tags[0].Value)
		}
	}

	template, err := c.GetTemplate(ctx, &sdk.GetTemplateInput{StackName: aws.String("web"), TemplateStage: types.TemplateStageOriginal})
	require.NoError(t, err)
	assert.Equal(t, next, *template.TemplateBody)
	resources, err := c.ListStackResources(ctx, &sdk.ListStackResourcesInput{StackName: aws.String("web")})
	require.NoError(t, err)
	assert.Len(t, resources.StackResourceSummaries, 4)
	_, err = c.DeleteStack(ctx, &sdk.DeleteStackInput{StackName: aws.String("web")})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, err := c.DescribeStacks(ctx, &sdk.DescribeStacksInput{StackName: st.StackId})
		return err == nil && out.Stacks[0].StackStatus == types.StackStatusDeleteComplete
	}, 20*time.Second, 20*time.Millisecond)
}

func awaitChangeSet(t *testing.T, c *sdk.Client, id string) *sdk.DescribeChangeSetOutput {
	t.Helper()
	var out *sdk.DescribeChangeSetOutput
	require.Eventually(t, func() bool {
		var err error
		out, err = c.DescribeChangeSet(context.Background(), &sdk.DescribeChangeSetInput{ChangeSetName: &id})
		return err == nil && !strings.HasSuffix(string(out.Status), "_PENDING") && !strings.HasSuffix(string(out.Status), "_IN_PROGRESS")
	}, 10*time.Second, 5*time.Millisecond)
	return out
}

// awaitStack signals every instance that EC2 shows as running until the stack has the state.
func awaitStack(t *testing.T, c *sdk.Client, l *lab.Lab, want types.StackStatus) types.Stack {
	t.Helper()
	var st types.Stack
	signalled := map[string]bool{}
	require.Eventually(t, func() bool {
		out, err := c.DescribeStacks(context.Background(), &sdk.DescribeStacksInput{StackName: aws.String("web")})
		if err != nil {
			return false
		}
		st = out.Stacks[0]
		var running []string
		l.Core().View(region, func(tx *core.Tx) {
			for id, i := range tx.Region.Instances {
				if i.State == "running" && !signalled[id] {
					running = append(running, id)
				}
			}
		})
		for _, id := range running {
			_, err := c.SignalResource(context.Background(), &sdk.SignalResourceInput{
				StackName: aws.String("web"), LogicalResourceId: aws.String("Asg"), UniqueId: aws.String(id), Status: types.ResourceSignalStatusSuccess,
			})
			var api smithy.APIError
			signalled[id] = err == nil
			require.True(t, err == nil || errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "signaled"), "%v", err)
		}
		return st.StackStatus == want
	}, 20*time.Second, 10*time.Millisecond, "%s", want)
	return st
}
