package cloudwatch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// watched is a world with one healthy target and the alarm "none" on HealthyHostCount < 1.
func watched(t *testing.T, changes ...func(*cloudwatch.PutMetricAlarmInput)) (w *labtest.World, machine string) {
	t.Helper()
	w = labtest.New(t)
	w.Balance()
	machine = w.Launch(w.Subnets[0])
	w.Register(machine)
	w.Run(60 * time.Second)
	in := &cloudwatch.PutMetricAlarmInput{
		AlarmName: "none", Namespace: "AWS/NetworkELB", MetricName: "HealthyHostCount", Statistic: "Minimum", Period: new(int64(60)),
		EvaluationPeriods: new(int64(2)), Threshold: new(float64), ComparisonOperator: "LessThanThreshold", TreatMissingData: "breaching",
		AlarmActions: []string{"arn:aws:sns:eu-west-1:111111111111:alarms"},
		Dimensions: []cloudwatch.Dimension{
			{Name: "LoadBalancer", Value: after(w.Balancer, "loadbalancer/")}, {Name: "TargetGroup", Value: "targetgroup/" + after(w.Targets, "targetgroup/")},
		},
	}
	*in.Threshold = 1
	for _, change := range changes {
		change(in)
	}
	w.Do(func(tx *core.Tx) {
		tx.Region.Topics["arn:aws:sns:eu-west-1:111111111111:alarms"] = &state.Topic{ARN: "arn:aws:sns:eu-west-1:111111111111:alarms"}
		labtest.Must(cloudwatch.PutMetricAlarm(tx, in))
	})
	return w, machine
}

func after(s, sep string) string {
	_, rest, _ := strings.Cut(s, sep)
	return rest
}

func value(w *labtest.World, name string) (v string) {
	w.Core.View(labtest.Region, func(tx *core.Tx) { v = tx.Region.Alarms[name].State })
	return v
}

func TestAlarmFollowsTheTargets(t *testing.T) {
	w, machine := watched(t)
	assert.Equal(t, "INSUFFICIENT_DATA", value(w, "none"))
	w.Run(61 * time.Second)
	assert.Equal(t, "OK", value(w, "none"))
	require.NoError(t, w.Machine.Edit(machine, func(d *memory.Image) { d.Broken = true }))
	w.Run(60 * time.Second)
	assert.Equal(t, "OK", value(w, "none"), "one period is not two")
	w.Run(70 * time.Second)
	assert.Equal(t, "ALARM", value(w, "none"))
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		assert.Regexp(t, `^Threshold Crossed: 2 out of the last 2 datapoints \[0\.0 \(.*\), 0\.0 \(.*\)\] were less than the threshold \(1\.0\) \(minimum 2 datapoint\(s\) for OK -> ALARM transition\)\.$`, tx.Region.Alarms["none"].Reason)
		require.Len(t, tx.Region.Topics["arn:aws:sns:eu-west-1:111111111111:alarms"].Messages, 1)
		assert.Equal(t, `ALARM: "none" in eu-west-1`, tx.Region.Topics["arn:aws:sns:eu-west-1:111111111111:alarms"].Messages[0].Subject)
	})
	require.NoError(t, w.Machine.Edit(machine, func(d *memory.Image) { d.Broken = false }))
	w.Run(150 * time.Second)
	assert.Equal(t, "OK", value(w, "none"))
}

func TestMissingDataIsTreatedAsAsked(t *testing.T) {
	for treatment, want := range map[string]string{"breaching": "ALARM", "notBreaching": "OK", "missing": "INSUFFICIENT_DATA", "": "INSUFFICIENT_DATA", "ignore": "OK"} {
		t.Run(treatment, func(t *testing.T) {
			w, machine := watched(t, func(in *cloudwatch.PutMetricAlarmInput) { in.TreatMissingData = treatment })
			w.Run(130 * time.Second)
			require.Equal(t, "OK", value(w, "none"))
			w.Do(func(tx *core.Tx) { delete(tx.Region.TargetGroups[w.Targets].Targets, machine+":80") })
			w.Run(200 * time.Second)
			assert.Equal(t, "OK", value(w, "none"), "the last data of a longer range still counts")
			w.Run(120 * time.Second)
			assert.Equal(t, want, value(w, "none"))
		})
	}
}

func TestCompositeAlarmFollowsItsRule(t *testing.T) {
	w, machine := watched(t)
	w.Do(func(tx *core.Tx) {
		labtest.Must(cloudwatch.PutCompositeAlarm(tx, &cloudwatch.PutCompositeAlarmInput{AlarmName: "both", AlarmRule: `ALARM("none") AND NOT (FALSE OR INSUFFICIENT_DATA(none))`}))
		for _, bad := range []string{"", "ALARM()", "ALARM(none", "ALARM(nope)", "ALARM(none) XOR TRUE", "NOT", "ALARM(both)"} {
			_, err := cloudwatch.PutCompositeAlarm(tx, &cloudwatch.PutCompositeAlarmInput{AlarmName: "both", AlarmRule: bad})
			require.Error(t, err, bad)
		}
	})
	w.Run(61 * time.Second)
	assert.Equal(t, "OK", value(w, "both"))
	require.NoError(t, w.Machine.Edit(machine, func(d *memory.Image) { d.Broken = true }))
	w.Run(140 * time.Second)
	assert.Equal(t, "ALARM", value(w, "both"))
}

func TestGroupMetricsNeedToBeCollected(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(2, 2, 4)
	threshold := 2.0
	w.Do(func(tx *core.Tx) {
		labtest.Must(cloudwatch.PutMetricAlarm(tx, &cloudwatch.PutMetricAlarmInput{
			AlarmName: "few", Namespace: "AWS/AutoScaling", MetricName: "GroupInServiceInstances", Statistic: "Minimum", Period: new(int64(60)),
			EvaluationPeriods: new(int64(1)), Threshold: &threshold, ComparisonOperator: "LessThanThreshold",
			Dimensions: []cloudwatch.Dimension{{Name: "AutoScalingGroupName", Value: "site"}},
		}))
	})
	w.Run(70 * time.Second)
	assert.Equal(t, "INSUFFICIENT_DATA", value(w, "few"))
	w.Do(func(tx *core.Tx) { tx.Region.Groups["site"].Metrics = []string{"GroupInServiceInstances"} })
	w.Run(70 * time.Second)
	assert.Equal(t, "OK", value(w, "few"))
}

func TestAlarmsAndDashboardsByRealClient(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 10 })
	c := sdk.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	_, err := c.PutMetricAlarm(t.Context(), &sdk.PutMetricAlarmInput{
		AlarmName: aws.String("cpu"), Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"), Statistic: types.StatisticAverage,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(3), DatapointsToAlarm: aws.Int32(2), Threshold: aws.Float64(80.5),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, AlarmActions: []string{"arn:aws:sns:eu-west-1:111111111111:alarms"},
		Dimensions: []types.Dimension{{Name: aws.String("AutoScalingGroupName"), Value: aws.String("site")}},
		Tags:       []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}},
	})
	require.NoError(t, err)
	_, err = c.PutCompositeAlarm(t.Context(), &sdk.PutCompositeAlarmInput{AlarmName: aws.String("any"), AlarmRule: aws.String("ALARM(cpu)")})
	require.NoError(t, err)
	got, err := c.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{AlarmNames: []string{"cpu", "any"}, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}})
	require.NoError(t, err)
	require.Len(t, got.MetricAlarms, 1)
	require.Len(t, got.CompositeAlarms, 1)
	a := got.MetricAlarms[0]
	assert.InDelta(t, 80.5, *a.Threshold, 0)
	assert.EqualValues(t, 2, *a.DatapointsToAlarm)
	assert.True(t, *a.ActionsEnabled)
	assert.Equal(t, types.StateValueInsufficientData, a.StateValue)
	assert.Equal(t, "AutoScalingGroupName", *a.Dimensions[0].Name)
	assert.WithinDuration(t, time.Now(), *a.StateUpdatedTimestamp, time.Minute)
	_, err = c.SetAlarmState(t.Context(), &sdk.SetAlarmStateInput{AlarmName: aws.String("cpu"), StateValue: types.StateValueAlarm, StateReason: aws.String("test")})
	require.NoError(t, err)
	labtest.Eventually(t, "the composite alarm follows", func() bool {
		got, err := c.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}, StateValue: types.StateValueAlarm})
		require.NoError(t, err)
		return len(got.CompositeAlarms) == 1
	})
	tags, err := c.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceARN: a.AlarmArn})
	require.NoError(t, err)
	assert.Equal(t, "web", *tags.Tags[0].Value)
	_, err = c.DeleteAlarms(t.Context(), &sdk.DeleteAlarmsInput{AlarmNames: []string{"cpu", "nope"}})
	var missing *types.ResourceNotFound
	require.ErrorAs(t, err, &missing)
	_, err = c.DeleteAlarms(t.Context(), &sdk.DeleteAlarmsInput{AlarmNames: []string{"any", "cpu"}})
	require.NoError(t, err)

	_, err = c.PutDashboard(t.Context(), &sdk.PutDashboardInput{DashboardName: aws.String("site"), DashboardBody: aws.String(`{"widgets":[{"type":"text","properties":{"markdown":"x"}}]}`)})
	require.NoError(t, err)
	_, err = c.PutDashboard(t.Context(), &sdk.PutDashboardInput{DashboardName: aws.String("bad"), DashboardBody: aws.String(`{`)})
	var invalid *types.DashboardInvalidInputError
	require.ErrorAs(t, err, &invalid)
	board, err := c.GetDashboard(t.Context(), &sdk.GetDashboardInput{DashboardName: aws.String("site")})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:cloudwatch::111111111111:dashboard/site", *board.DashboardArn)
	boards, err := c.ListDashboards(t.Context(), &sdk.ListDashboardsInput{DashboardNamePrefix: aws.String("s")})
	require.NoError(t, err)
	assert.Len(t, boards.DashboardEntries, 1)
	_, err = c.DeleteDashboards(t.Context(), &sdk.DeleteDashboardsInput{DashboardNames: []string{"site"}})
	require.NoError(t, err)
	_, err = c.GetDashboard(t.Context(), &sdk.GetDashboardInput{DashboardName: aws.String("site")})
	var gone *types.DashboardNotFoundError
	require.ErrorAs(t, err, &gone)

	now := time.Now()
	_, err = c.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: aws.String("Own"), MetricData: []types.MetricDatum{
		{MetricName: aws.String("n"), Timestamp: &now, Value: aws.Float64(3)}, {MetricName: aws.String("n"), Timestamp: &now, Value: aws.Float64(5)},
	}})
	require.NoError(t, err)
	data, err := c.GetMetricData(t.Context(), &sdk.GetMetricDataInput{
		StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)),
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("q"), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String("Own"), MetricName: aws.String("n")}, Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}},
	})
	require.NoError(t, err)
	assert.Equal(t, []float64{8}, data.MetricDataResults[0].Values)

	in := &sdk.GetMetricStatisticsInput{
		Namespace: aws.String("Own"), MetricName: aws.String("n"), StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Hour)), Period: aws.Int32(60),
		Statistics: []types.Statistic{types.StatisticAverage, types.StatisticMaximum, types.StatisticSampleCount},
	}
	stats, err := c.GetMetricStatistics(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, stats.Datapoints, 1)
	assert.Equal(t, []float64{4, 5, 2}, []float64{*stats.Datapoints[0].Average, *stats.Datapoints[0].Maximum, *stats.Datapoints[0].SampleCount})
	assert.Nil(t, stats.Datapoints[0].Sum, "it was not asked for")
	in.Period, in.StartTime = aws.Int32(1), aws.Time(now.Add(-24*time.Hour))
	_, err = c.GetMetricStatistics(t.Context(), in)
	require.ErrorContains(t, err, "exceeds the limit of 1440")
	in.Statistics = nil
	_, err = c.GetMetricStatistics(t.Context(), in)
	var combination *types.InvalidParameterCombinationException
	require.ErrorAs(t, err, &combination)

	own, err := c.ListMetrics(t.Context(), &sdk.ListMetricsInput{Namespace: aws.String("Own")})
	require.NoError(t, err)
	require.Len(t, own.Metrics, 1)
	assert.Equal(t, "n", *own.Metrics[0].MetricName)
	none, err := c.ListMetrics(t.Context(), &sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("InstanceId"), Value: aws.String("i-none")}}})
	require.NoError(t, err)
	assert.Empty(t, none.Metrics)
}

// told are the subjects of what a topic was told.
func told(w *labtest.World) (subjects []string) {
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		for _, m := range tx.Region.Topics["arn:aws:sns:eu-west-1:111111111111:alarms"].Messages {
			subjects = append(subjects, m.Subject)
		}
	})
	return subjects
}

func TestASuppressorHoldsActionsBack(t *testing.T) {
	w := labtest.New(t)
	set := func(name, state string) {
		w.Do(func(tx *core.Tx) {
			labtest.Must(cloudwatch.SetAlarmState(tx, &cloudwatch.SetAlarmStateInput{AlarmName: name, StateValue: state, StateReason: "test"}))
		})
	}
	page := &cloudwatch.PutCompositeAlarmInput{
		AlarmName: "page", AlarmRule: "ALARM(broken)", ActionsSuppressor: "deploy", OKActions: []string{"arn:aws:sns:eu-west-1:111111111111:alarms"},
		AlarmActions: []string{"arn:aws:sns:eu-west-1:111111111111:alarms"},
	}
	w.Do(func(tx *core.Tx) {
		arn := "arn:aws:sns:eu-west-1:111111111111:alarms"
		tx.Region.Topics[arn] = &state.Topic{ARN: arn}
		for _, name := range []string{"broken", "deploy"} {
			labtest.Must(cloudwatch.PutMetricAlarm(tx, &cloudwatch.PutMetricAlarmInput{
				AlarmName: name, Namespace: "Own", MetricName: name, Statistic: "Maximum", Period: new(int64(60)), EvaluationPeriods: new(int64(1)),
				Threshold: new(float64), ComparisonOperator: "GreaterThanThreshold", TreatMissingData: "ignore",
			}))
		}
		for _, bad := range []func(){
			func() {}, // no periods
			func() { page.ActionsSuppressorWaitPeriod = new(int64(60)) },
			func() { page.ActionsSuppressorExtensionPeriod, page.ActionsSuppressor = new(int64(120)), "nope" },
			func() { page.ActionsSuppressor = "page" },
		} {
			bad()
			_, err := cloudwatch.PutCompositeAlarm(tx, page)
			require.Error(t, err)
		}
		page.ActionsSuppressor = "deploy"
		labtest.Must(cloudwatch.PutCompositeAlarm(tx, page))
	})
	set("broken", "ALARM")
	assert.Equal(t, "ALARM", value(w, "page"))
	assert.Empty(t, told(w), "the suppressor may still come")
	set("deploy", "ALARM")
	w.Run(5 * time.Minute)
	assert.Empty(t, told(w))
	var c cloudwatch.CompositeAlarm
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		c = labtest.Must(cloudwatch.DescribeAlarms(tx, &cloudwatch.DescribeAlarmsInput{AlarmTypes: []string{"CompositeAlarm"}})).CompositeAlarms[0]
	})
	assert.Equal(t, []string{"Alarm", "deploy"}, []string{c.ActionsSuppressedBy, c.ActionsSuppressor})
	set("deploy", "OK")
	w.Run(time.Minute)
	assert.Empty(t, told(w), "the extension period")
	w.Run(70 * time.Second)
	assert.Equal(t, []string{`ALARM: "page" in eu-west-1`}, told(w), "what still holds is told")

	set("deploy", "ALARM")
	set("broken", "OK")
	set("broken", "ALARM")
	set("deploy", "OK")
	w.Run(5 * time.Minute)
	assert.Len(t, told(w), 1, "what came and went while it was held back is not told")
	set("broken", "OK")
	w.Run(70 * time.Second)
	assert.Equal(t, []string{`ALARM: "page" in eu-west-1`, `OK: "page" in eu-west-1`}, told(w), "no suppressor came within the wait period")
}

func TestMetricMath(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(2, 2, 4)
	stat := func(id, name string) cloudwatch.MetricDataQuery {
		return cloudwatch.MetricDataQuery{Id: id, ReturnData: new(bool), MetricStat: &cloudwatch.MetricStat{
			Stat: "Maximum", Period: new(int64(60)),
			Metric: cloudwatch.Metric{Namespace: "AWS/AutoScaling", MetricName: name, Dimensions: []cloudwatch.Dimension{{Name: "AutoScalingGroupName", Value: "site"}}},
		}}
	}
	in := &cloudwatch.PutMetricAlarmInput{
		AlarmName: "short", ComparisonOperator: "GreaterThanThreshold", Threshold: new(float64), EvaluationPeriods: new(int64(2)), TreatMissingData: "breaching",
		Metrics: []cloudwatch.MetricDataQuery{stat("wanted", "GroupDesiredCapacity"), stat("there", "GroupInServiceInstances"), {Id: "short", Expression: "wanted - FILL(there, 0)"}},
	}
	w.Do(func(tx *core.Tx) {
		tx.Region.Groups["site"].Metrics = []string{"GroupInServiceInstances", "GroupDesiredCapacity"}
		for _, bad := range []string{"", "wanted -", "(wanted", "wanted - nobody", "SEARCH('x')", "wanted there", "FILL(wanted, there)"} {
			broken := *in
			broken.Metrics = append(in.Metrics[:2:2], cloudwatch.MetricDataQuery{Id: "short", Expression: bad})
			_, err := cloudwatch.PutMetricAlarm(tx, &broken)
			require.Error(t, err, bad)
		}
		labtest.Must(cloudwatch.PutMetricAlarm(tx, in))
	})
	w.Run(70 * time.Second)
	assert.Equal(t, "OK", value(w, "short"))
	w.Do(func(tx *core.Tx) {
		tx.Region.Groups["site"].Desired = 3
		tx.Region.Groups["site"].Suspended = map[string]string{"Launch": "test"}
	})
	w.Run(130 * time.Second)
	assert.Equal(t, "ALARM", value(w, "short"))
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		m := labtest.Must(cloudwatch.DescribeAlarms(tx, &cloudwatch.DescribeAlarmsInput{})).MetricAlarms[0]
		assert.Len(t, m.Metrics, 3)
		assert.Nil(t, m.Period)
	})
}

func TestABusyMachineIsSeen(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(2, 2, 4)
	threshold := 80.0
	w.Do(func(tx *core.Tx) {
		labtest.Must(cloudwatch.PutMetricAlarm(tx, &cloudwatch.PutMetricAlarmInput{
			AlarmName: "busy", Namespace: "AWS/EC2", MetricName: "CPUUtilization", Statistic: "Average", Period: new(int64(60)), EvaluationPeriods: new(int64(2)),
			Threshold: &threshold, ComparisonOperator: "GreaterThanThreshold", Dimensions: []cloudwatch.Dimension{{Name: "AutoScalingGroupName", Value: "site"}},
		}))
	})
	w.Run(4 * time.Minute)
	assert.Equal(t, "OK", value(w, "busy"))
	var ids []string
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		for id := range tx.Region.Instances {
			ids = append(ids, id)
		}
	})
	require.Len(t, ids, 2)
	require.NoError(t, w.Machine.Edit(ids[0], func(d *memory.Image) { d.Busy = 100 }))
	w.Run(4 * time.Minute)
	assert.Equal(t, "OK", value(w, "busy"), "50 on the average")
	require.NoError(t, w.Machine.Edit(ids[1], func(d *memory.Image) { d.Busy = 90 }))
	w.Run(4 * time.Minute)
	assert.Equal(t, "ALARM", value(w, "busy"))
}

func TestWhatWasMeasuredStaysForGraphs(t *testing.T) {
	w, machine := watched(t)
	w.Run(5 * time.Minute)
	require.NoError(t, w.Machine.Edit(machine, func(d *memory.Image) { d.Broken = true }))
	w.Run(5 * time.Minute)
	in := &cloudwatch.GetMetricStatisticsInput{
		Namespace: "AWS/NetworkELB", MetricName: "HealthyHostCount", Statistics: []string{"Maximum"}, Period: new(int64),
		Dimensions: []cloudwatch.Dimension{
			{Name: "LoadBalancer", Value: after(w.Balancer, "loadbalancer/")}, {Name: "TargetGroup", Value: "targetgroup/" + after(w.Targets, "targetgroup/")},
		},
	}
	*in.Period = 6
	w.Do(func(tx *core.Tx) {
		in.StartTime, in.EndTime = tx.Now.Add(-time.Minute), tx.Now
		out := labtest.Must(cloudwatch.GetMetricStatistics(tx, in))
		require.GreaterOrEqual(t, len(out.Datapoints), 9)
		assert.InDelta(t, 1, *out.Datapoints[1].Maximum, 0)
		assert.InDelta(t, 0, *out.Datapoints[len(out.Datapoints)-1].Maximum, 0)
	})
}
