package lab_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// A fault is said in words, and what is no word of it is refused with the one
// that was meant.
func TestBreak(t *testing.T) {
	l := lab.Start(t)
	for _, c := range []struct {
		want, kind string
		words      []string
	}{
		{`there is no fault "throtle"; did you mean throttle?`, "throtle", nil},
		{`there is no fault "change-set"; there are throttle, error`, "change-set", nil},
		{`fault throttle has nothing named "acton"; did you mean action?`, "throttle", []string{"acton=CreateStack"}},
		{`fault machine has nothing named "dies"; did you mean die?`, "machine", []string{"dies=1s"}},
		{`fault throttle: "often" is not of the form KEY=VALUE`, "throttle", []string{"often"}},
		{`fault throttle: times "0" is neither a number above 0 nor forever`, "throttle", []string{"times=0"}},
		{`fault throttle: for "soon" is no duration`, "throttle", []string{"for=soon"}},
		{`fault slow needs delay (how long)`, "slow", nil},
		{`fault slow: delay "-1s" is no duration`, "slow", []string{"delay=-1s"}},
		{`fault machine: never "perhaps" is neither true nor false`, "machine", []string{"never=perhaps"}},
		{`fault small-pages: size "0" is no number above 0`, "small-pages", []string{"size=0"}},
		{`fault empty-change-set: text "none" is neither changes nor updates`, "empty-change-set", []string{"text=none"}},
	} {
		_, err := l.Break(c.kind, c.words...)
		assert.ErrorContains(t, err, c.want)
		var refused map[string]string
		assert.Equal(t, 400, control(t, l, "POST", "/_lab/break", map[string]any{"kind": c.kind, "words": c.words}, &refused))
		assert.Contains(t, refused["error"], c.want)
	}
	assert.Zero(t, l.Status().Faults, "nothing was broken")

	var table struct{ Kinds []core.FaultKind }
	assert.Equal(t, 200, control(t, l, "GET", "/_lab/kinds", nil, &table))
	assert.Equal(t, core.Faults, table.Kinds)
	for _, w := range [][]string{{"throttle", "StackName=web", "times=forever"}, {"machine", "tag:Name=a b", "for=1h", "delay=1s"}, {"error", "code=X", "message=a=b"}} {
		id, err := l.Break(w[0], w[1:]...)
		require.NoError(t, err)
		require.NotEmpty(t, id)
	}
	assert.Equal(t, 3, l.Status().Faults)
	require.ErrorContains(t, l.Mend("none"), "there is no fault none")
	require.NoError(t, l.Mend(""))
	assert.Zero(t, l.Status().Faults)

	// For a time, as often as it takes.
	_, err := l.Break("throttle", "action=GetParameter", "for=200ms")
	require.NoError(t, err)
	for range 3 {
		_, err := parameters(l).GetParameter(context.Background(), nil)
		require.Error(t, err)
	}
	require.Eventually(t, func() bool { return code(put(t, l, "/x", "1")) == "" }, time.Second, 10*time.Millisecond)
}

const twoTopics = `{"Parameters": {"Text": {"Type": "String", "Default": "one"}},
	"Resources": {"A": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Text"}}}, "B": {"Type": "AWS::SNS::Topic"}}}`

// whole sends bodies that are only read: the SDK's, closed too early, would cut
// off a long answer now and then, and a fault may be used up by then.
type whole struct{}

func (whole) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// What the faults of change sets and of listings do, as a client sees it.
func TestStackFaults(t *testing.T) {
	l := lab.Start(t)
	ctx := context.Background()
	cfn := cloudformation.New(cloudformation.Options{Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys(), RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: whole{}}})
	set := func(kind string, words ...string) {
		t.Helper()
		_, err := l.Break(kind, words...)
		require.NoError(t, err)
	}
	name := aws.String("web")
	_, err := cfn.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: aws.String(twoTopics)})
	require.NoError(t, err)
	require.NoError(t, cloudformation.NewStackCreateCompleteWaiter(cfn, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	}).Wait(ctx, &cloudformation.DescribeStacksInput{StackName: name}, time.Minute))

	events := func() []types.StackEvent {
		out, err := cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: name})
		require.NoError(t, err)
		return out.StackEvents
	}
	all := events()
	set("duplicate")
	double := events()
	require.Len(t, double, 2*len(all))
	assert.Equal(t, double[0].EventId, double[1].EventId)
	assert.Len(t, events(), len(all), "once")
	set("small-pages", "size=2")
	assert.Len(t, events(), 2)
	set("unknown-status", "action=DescribeStackEvents", "field=ResourceStatusReason", "value=odd")
	assert.Equal(t, "odd", *events()[0].ResourceStatusReason)

	propose := func(change, value string) *cloudformation.DescribeChangeSetOutput {
		t.Helper()
		_, err := cfn.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
			StackName: name, ChangeSetName: &change, TemplateBody: aws.String(twoTopics),
			Parameters: []types.Parameter{{ParameterKey: aws.String("Text"), ParameterValue: &value}},
		})
		require.NoError(t, err)
		var out *cloudformation.DescribeChangeSetOutput
		require.Eventually(t, func() bool {
			out, err = cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: name, ChangeSetName: &change})
			return err == nil && (out.Status == types.ChangeSetStatusFailed || out.Status == types.ChangeSetStatusCreateComplete)
		}, 5*time.Second, time.Millisecond)
		return out
	}
	set("empty-change-set", "stack=web")
	assert.Contains(t, *propose("a", "two").StatusReason, "The submitted information didn't contain changes.")
	set("empty-change-set", "change-set=b", "text=updates")
	assert.Equal(t, "No updates are to be performed.", *propose("b", "two").StatusReason)
	assert.Equal(t, types.ExecutionStatusAvailable, propose("c", "two").ExecutionStatus)
	set("obsolete-change-set", "stack=w*")
	_, err = cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: name, ChangeSetName: aws.String("c")})
	assert.Equal(t, "InvalidChangeSetStatus", code(err))
	assert.ErrorContains(t, err, "execution status of [OBSOLETE]")
}
