package drill_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/drill"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// The whole drill of an environment is shown in pkg/release; these are the ways
// in which one fails, and what a site's own alarm does.

const own = "Resources:\n  Orders:\n    Type: AWS::CloudWatch::Alarm\n    Metadata: {Chain: {Cause: data, Value: 0}}\n    Properties: {Namespace: Shop}\n"

// world is a local AWS with one alarm on a metric of a shop's, and its stack.
func world(t *testing.T, change func(*cloudwatch.PutMetricAlarmInput)) (drill.Options, *stack.State) {
	t.Helper()
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 200 })
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", "")}
	topic, err := sns.NewFromConfig(cfg).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("tickets")})
	require.NoError(t, err)
	in := &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("orders"), Namespace: aws.String("Shop"), MetricName: aws.String("Orders"), Statistic: types.StatisticMinimum, Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorLessThanThreshold,
		AlarmActions: []string{*topic.TopicArn}, OKActions: []string{*topic.TopicArn}, TreatMissingData: aws.String("notBreaching"),
	}
	change(in)
	_, err = cloudwatch.NewFromConfig(cfg).PutMetricAlarm(t.Context(), in)
	require.NoError(t, err)
	o := drill.Options{
		AWS: cfg, Clock: clock.System{}, Poll: config.Poll{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}, Factor: 200, Hear: "127.0.0.1:0", Tell: t.Logf,
	}
	return o, &stack.State{Name: "shop", Body: own, Group: &stack.Group{Name: "none"}, Resources: map[string]stack.Resource{
		"Orders": {ID: "orders", Type: "AWS::CloudWatch::Alarm"}, "Tickets": {ID: *topic.TopicArn, Type: "AWS::SNS::Topic"},
	}}
}

func TestASitesOwnAlarm(t *testing.T) {
	t.Parallel()
	o, s := world(t, func(*cloudwatch.PutMetricAlarmInput) {})
	r, err := drill.Run(t.Context(), o, s)
	require.NoError(t, err)
	require.Len(t, r.Alarms, 1)
	assert.Equal(t, []string{"Orders", "data", "heard"}, []string{r.Alarms[0].ID, r.Alarms[0].Cause, r.Alarms[0].Told})
	assert.NotEmpty(t, r.Digest)

	s.Group = nil
	_, err = drill.Run(t.Context(), o, s)
	require.ErrorContains(t, err, "no group of instances")
	s.Body = "Resources:\n  Orders:\n    Type: AWS::CloudWatch::Alarm\n"
	_, err = drill.Run(t.Context(), o, s)
	require.ErrorContains(t, err, "alarm Orders: no cause is written down")
}

func TestAnAlarmThatDoesNotFire(t *testing.T) {
	t.Parallel()
	o, s := world(t, func(in *cloudwatch.PutMetricAlarmInput) {
		in.MetricName, in.Threshold = aws.String("Odrers"), aws.Float64(-1)
	})
	o.Patience = 10 * time.Minute
	_, err := drill.Run(t.Context(), o, s)
	require.ErrorContains(t, err, "within 10m0s these alarms did not fire: Orders is OK")
}

func TestAnAlarmThatDoesNotClear(t *testing.T) {
	t.Parallel()
	o, s := world(t, func(in *cloudwatch.PutMetricAlarmInput) { in.TreatMissingData = aws.String("breaching") })
	o.Patience = 10 * time.Minute
	_, err := drill.Run(t.Context(), o, s)
	require.ErrorContains(t, err, "these alarms did not clear: Orders is ALARM")
}

func TestAnAlarmThatTellsNobody(t *testing.T) {
	t.Parallel()
	o, s := world(t, func(in *cloudwatch.PutMetricAlarmInput) {
		in.AlarmActions = []string{"arn:aws:sns:eu-west-1:111111111111:typo"}
	})
	o.Hear = "" // what was told is read from the alarm's history then
	_, err := sns.NewFromConfig(o.AWS).SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{
		TopicArn: aws.String(s.Resources["Tickets"].ID), AttributeName: aws.String("Policy"), AttributeValue: aws.String(`{"Statement":[]}`),
	})
	require.NoError(t, err)
	_, err = drill.Run(t.Context(), o, s)
	require.ErrorContains(t, err, "Orders fired and told nobody")
}
