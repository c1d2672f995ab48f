package facts_test

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overseer is a composite alarm over one alarm, held back by another.
type overseer struct {
	*world
	child, suppressor string // names
	in                *cloudwatch.PutCompositeAlarmInput
}

func (w *world) overseer(suppressor cwtypes.StateValue) *overseer {
	w.Helper()
	topic, err := w.sns.CreateTopic(w.ctx, &sns.CreateTopicInput{Name: aws.String(w.name("topic"))})
	require.NoError(w, err)
	w.afterwards(func(ctx context.Context) {
		_, _ = w.sns.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: topic.TopicArn})
	})
	named := func(stem string, state cwtypes.StateValue) string {
		name := w.name(stem)
		_, err := w.cw.PutMetricAlarm(w.ctx, &cloudwatch.PutMetricAlarmInput{
			AlarmName: &name, Namespace: aws.String("Facts"), MetricName: aws.String("Nothing"), Statistic: cwtypes.StatisticSum, Period: aws.Int32(60),
			EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold, TreatMissingData: aws.String("ignore"),
		})
		require.NoError(w, err)
		w.afterwards(func(ctx context.Context) {
			_, _ = w.cw.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}})
		})
		w.ring(name, state)
		return name
	}
	o := &overseer{world: w, child: named("child", cwtypes.StateValueOk), suppressor: named("suppressor", suppressor)}
	o.in = &cloudwatch.PutCompositeAlarmInput{
		AlarmName: aws.String(w.name("over")), AlarmRule: aws.String(`ALARM("` + o.child + `")`), AlarmActions: []string{*topic.TopicArn},
		ActionsSuppressor: &o.suppressor, ActionsSuppressorWaitPeriod: aws.Int32(60), ActionsSuppressorExtensionPeriod: aws.Int32(60),
	}
	return o
}

func (o *overseer) put() {
	o.Helper()
	_, err := o.cw.PutCompositeAlarm(o.ctx, o.in)
	require.NoError(o, err)
	o.afterwards(func(ctx context.Context) {
		_, _ = o.cw.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{*o.in.AlarmName}})
	})
	o.await("OK", "")
	o.ring(o.child, cwtypes.StateValueAlarm)
}

// await waits for a state, and for what holds its actions back.
func (o *overseer) await(state cwtypes.StateValue, by cwtypes.ActionsSuppressedBy) {
	o.Helper()
	o.until(10*time.Minute, string(state)+" "+string(by), func() bool {
		out, err := o.cw.DescribeAlarms(o.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{*o.in.AlarmName}, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeCompositeAlarm}})
		require.NoError(o, err)
		return len(out.CompositeAlarms) == 1 && out.CompositeAlarms[0].StateValue == state && (by == "" || out.CompositeAlarms[0].ActionsSuppressedBy == by)
	})
}

// acted says how often an action was carried out.
func (o *overseer) acted() int {
	o.Helper()
	out, err := o.cw.DescribeAlarmHistory(o.ctx, &cloudwatch.DescribeAlarmHistoryInput{
		AlarmName: o.in.AlarmName, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeCompositeAlarm}, HistoryItemType: cwtypes.HistoryItemTypeAction,
	})
	require.NoError(o, err)
	return len(out.AlarmHistoryItems)
}

var watchFacts = []fact{
	{id: "F430", claim: "A suppressor of a composite alarm needs both its periods.", source: "[SDK:cloudwatch PutCompositeAlarmInput]", check: func(w *world) {
		o := w.overseer(cwtypes.StateValueOk)
		o.in.ActionsSuppressorWaitPeriod = nil
		_, err := o.cw.PutCompositeAlarm(o.ctx, o.in)
		require.Error(o, err)
	}},
	{id: "F431", claim: "While its suppressor is in ALARM a composite alarm changes its state and takes no action; once that is over, and the extension period, it does.", source: "[SDK:cloudwatch PutCompositeAlarmInput]", check: func(w *world) {
		o := w.overseer(cwtypes.StateValueAlarm)
		o.put()
		o.await(cwtypes.StateValueAlarm, cwtypes.ActionsSuppressedByAlarm)
		assert.Zero(o, o.acted())
		o.ring(o.suppressor, cwtypes.StateValueOk)
		o.await(cwtypes.StateValueAlarm, cwtypes.ActionsSuppressedByExtensionPeriod)
		o.until(10*time.Minute, "the action", func() bool { return o.acted() == 1 })
	}},
	{id: "F432", claim: "Where the suppressor does not come within the wait period, a composite alarm takes its actions.", source: "[SDK:cloudwatch PutCompositeAlarmInput]", check: func(w *world) {
		o := w.overseer(cwtypes.StateValueOk)
		o.put()
		o.await(cwtypes.StateValueAlarm, cwtypes.ActionsSuppressedByWaitPeriod)
		assert.Zero(o, o.acted())
		o.until(10*time.Minute, "the action", func() bool { return o.acted() == 1 })
	}},
}
