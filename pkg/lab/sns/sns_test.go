package sns_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

func TestTopicsByRealClient(t *testing.T) {
	l := lab.Start(t)
	c := sns.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	in := &sns.CreateTopicInput{Name: aws.String("alarms"), Attributes: map[string]string{"DisplayName": "Alarms"}, Tags: []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}}}
	made, err := c.CreateTopic(t.Context(), in)
	require.NoError(t, err)
	arn := made.TopicArn
	assert.Equal(t, "arn:aws:sns:eu-west-1:111111111111:alarms", *arn)
	again, err := c.CreateTopic(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, *arn, *again.TopicArn)
	_, err = c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alarms"), Attributes: map[string]string{"DisplayName": "Other"}})
	require.ErrorContains(t, err, "Topic already exists with different attributes")

	_, err = c.SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: aws.String("Policy"), AttributeValue: aws.String(`{"Version":"2012-10-17"}`)})
	require.NoError(t, err)
	mail, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn, Protocol: aws.String("email"), Endpoint: aws.String("a@hello.example")})
	require.NoError(t, err)
	assert.Equal(t, "pending confirmation", *mail.SubscriptionArn)
	queue, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:eu-west-1:111111111111:q")})
	require.NoError(t, err)
	got, err := c.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: arn})
	require.NoError(t, err)
	assert.Equal(t, `{"Version":"2012-10-17"}`, got.Attributes["Policy"])
	assert.Equal(t, []string{"1", "1", "Alarms"}, []string{got.Attributes["SubscriptionsConfirmed"], got.Attributes["SubscriptionsPending"], got.Attributes["DisplayName"]})
	list, err := c.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: arn})
	require.NoError(t, err)
	assert.Len(t, list.Subscriptions, 2)
	_, err = c.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: queue.SubscriptionArn})
	require.NoError(t, err)

	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: arn, Subject: aws.String("s"), Message: aws.String("hello")})
	require.NoError(t, err)
	l.Core().View(labtest.Region, func(tx *core.Tx) { assert.Equal(t, "hello", tx.Region.Topics[*arn].Messages[0].Text) })
	tags, err := c.ListTagsForResource(t.Context(), &sns.ListTagsForResourceInput{ResourceArn: arn})
	require.NoError(t, err)
	assert.Equal(t, "web", *tags.Tags[0].Value)
	for range 2 {
		_, err = c.DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: arn})
		require.NoError(t, err)
	}
	_, err = c.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: arn})
	var missing *types.NotFoundException
	require.ErrorAs(t, err, &missing)
}

// listener is an endpoint of HTTP that keeps what it gets and, told so, refuses.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	got    []map[string]string
	refuse int
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m := map[string]string{}
		if json.Unmarshal(body, &m) != nil {
			m["raw"] = string(body)
		}
		m["header"] = r.Header.Get("x-amz-sns-message-type")
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.refuse > 0 {
			l.refuse--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		l.got = append(l.got, m)
	}))
	t.Cleanup(l.Close)
	return l
}

// wait is the message of that number, as soon as it came.
func (l *listener) wait(t *testing.T, n int) map[string]string {
	t.Helper()
	require.Eventually(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.got) >= n }, 30*time.Second, 5*time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got[n-1]
}

func TestMessagesReachAnEndpointOfHTTP(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 200 })
	c := sns.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	made, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alarms")})
	require.NoError(t, err)
	hear := listen(t)
	_, err = c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: made.TopicArn, Protocol: aws.String("https"), Endpoint: aws.String(hear.URL)})
	require.ErrorContains(t, err, "Endpoint must match the specified protocol")
	s, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: made.TopicArn, Protocol: aws.String("http"), Endpoint: aws.String(hear.URL)})
	require.NoError(t, err)
	assert.Equal(t, "pending confirmation", *s.SubscriptionArn)
	asked := hear.wait(t, 1)
	assert.Equal(t, []string{"SubscriptionConfirmation", "SubscriptionConfirmation"}, []string{asked["Type"], asked["header"]})

	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: made.TopicArn, Message: aws.String("nobody has confirmed")})
	require.NoError(t, err)
	_, err = c.ConfirmSubscription(t.Context(), &sns.ConfirmSubscriptionInput{TopicArn: made.TopicArn, Token: aws.String("guessed")})
	require.ErrorContains(t, err, "Invalid token")
	// As a person does who clicks the link: nothing is signed.
	answer, err := http.Get(asked["SubscribeURL"])
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	again, err := c.ConfirmSubscription(t.Context(), &sns.ConfirmSubscriptionInput{TopicArn: made.TopicArn, Token: aws.String(asked["Token"])})
	require.NoError(t, err)

	hear.mu.Lock()
	hear.refuse = 2
	hear.mu.Unlock()
	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: made.TopicArn, Subject: aws.String("s"), Message: aws.String("tried again")})
	require.NoError(t, err)
	got := hear.wait(t, 2)
	assert.Equal(t, []string{"Notification", "s", "tried again"}, []string{got["Type"], got["Subject"], got["Message"]})

	_, err = c.SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: again.SubscriptionArn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")})
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: made.TopicArn, Message: aws.String("as it is")})
	require.NoError(t, err)
	assert.Equal(t, "as it is", hear.wait(t, 3)["raw"])

	answer, err = http.Get(got["UnsubscribeURL"])
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	list, err := c.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: made.TopicArn})
	require.NoError(t, err)
	assert.Empty(t, list.Subscriptions)
}

func TestATopicHasAPolicy(t *testing.T) {
	l := lab.Start(t)
	cfg := labtest.AWS(t, l.Endpoint())
	c, cw := sns.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg)
	made, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alarms")})
	require.NoError(t, err)
	_, err = cw.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("a"), Namespace: aws.String("Own"), MetricName: aws.String("m"), Statistic: "Sum", Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
		Threshold: aws.Float64(1), ComparisonOperator: "GreaterThanThreshold", AlarmActions: []string{*made.TopicArn},
	})
	require.NoError(t, err)
	statement := func(principal, condition string) string {
		return `{"Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sns:Publish","Resource":"*","Condition":` + condition + `}]}`
	}
	service := `{"Service":"cloudwatch.amazonaws.com"}`
	for _, p := range []struct {
		policy string
		want   string
	}{
		{"", "Successfully"},
		{statement(service, `{"StringEquals":{"AWS:SourceAccount":"111111111111"}}`), "Successfully"},
		{statement(service, `{"ArnLike":{"aws:SourceArn":"arn:aws:cloudwatch:*:111111111111:alarm:*"}}`), "Successfully"},
		{statement(service, `{"StringEquals":{"AWS:SourceAccount":"222222222222"}}`), "Failed"},
		{statement(service, `{"Bool":{"aws:SecureTransport":"true"}}`), "Failed"},
		{statement(`{"Service":"events.amazonaws.com"}`, `{}`), "Failed"},
		{`{"Statement":[]}`, "Failed"},
	} {
		_, err = c.SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{TopicArn: made.TopicArn, AttributeName: aws.String("Policy"), AttributeValue: &p.policy})
		require.NoError(t, err)
		for _, s := range []cwtypes.StateValue{cwtypes.StateValueOk, cwtypes.StateValueAlarm} {
			_, err = cw.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("a"), StateValue: s, StateReason: aws.String("test")})
			require.NoError(t, err)
		}
		h, err := cw.DescribeAlarmHistory(t.Context(), &cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String("a"), HistoryItemType: cwtypes.HistoryItemTypeAction, MaxRecords: aws.Int32(1)})
		require.NoError(t, err)
		assert.Contains(t, *h.AlarmHistoryItems[0].HistorySummary, p.want, p.policy)
	}
}
