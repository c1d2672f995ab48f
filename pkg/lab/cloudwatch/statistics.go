package cloudwatch

import (
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// most is how many points GetMetricStatistics answers with.
const most = 1440

// seen are the points of a metric in a time range by their periods, the oldest
// first. The lab's own metrics end with what they are now.
func seen(tx *core.Tx, m Metric, from, to time.Time, period time.Duration) (points []state.Point) {
	dimensions := toMap(m.Dimensions)
	if put := tx.Region.Metrics[metricKey(m.Namespace, m.MetricName, dimensions)]; put != nil {
		var last time.Time
		for _, p := range put.Points {
			at := p.Start.Truncate(period)
			if at.Equal(last) || at.Before(from.Truncate(period)) || !at.Before(to) {
				continue
			}
			last = at
			if sum := custom(tx, m.Namespace, m.MetricName, dimensions, at, at.Add(period)); sum.Samples > 0 {
				points = append(points, sum)
			}
		}
	}
	v, has := measure(tx, m.Namespace, m.MetricName, dimensions)
	if !has || tx.Now.Before(from) || !tx.Now.Before(to.Add(period)) {
		return points
	}
	now := state.Point{Start: tx.Now.Truncate(period), Min: v, Max: v, Sum: v, Samples: 1}
	if n := len(points); n > 0 && points[n-1].Start.Equal(now.Start) {
		l := &points[n-1]
		l.Min, l.Max, l.Sum, l.Samples = min(l.Min, v), max(l.Max, v), l.Sum+v, l.Samples+1
		return points
	}
	return append(points, now)
}

// GetMetricStatistics tells statistics of one metric.
func GetMetricStatistics(tx *core.Tx, in *GetMetricStatisticsInput) (*GetMetricStatisticsOutput, error) {
	combination := func(format string, args ...any) error {
		e := wire.Errorf("InvalidParameterCombination", format, args...)
		e.Shape = "InvalidParameterCombinationException"
		return e
	}
	period := time.Duration(number(in.Period, 0)) * time.Second
	switch {
	case in.Namespace == "" || in.MetricName == "":
		return nil, invalid("The parameters Namespace and MetricName are required.")
	case len(in.Statistics) == 0:
		return nil, combination("The parameter Statistics must be specified; the lab has no ExtendedStatistics.")
	case period <= 0 || period >= time.Minute && period%time.Minute != 0:
		return nil, invalid("The parameter Period must be a value that is positive, and a multiple of 60 from 60 on.")
	case !in.EndTime.After(in.StartTime):
		return nil, combination("The parameter StartTime must be less than the parameter EndTime.")
	case in.EndTime.Sub(in.StartTime)/period > most:
		return nil, combination("You have requested up to %d datapoints, which exceeds the limit of %d. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", in.EndTime.Sub(in.StartTime)/period, most)
	}
	for _, s := range in.Statistics {
		if !slices.Contains(statistics, s) {
			return nil, invalid("The value %s for parameter Statistics is not supported.", s)
		}
	}
	out := &GetMetricStatisticsOutput{Label: in.MetricName}
	for _, p := range seen(tx, Metric{Namespace: in.Namespace, MetricName: in.MetricName, Dimensions: in.Dimensions}, in.StartTime, in.EndTime, period) {
		d := Datapoint{Timestamp: p.Start, Unit: "None"}
		for name, into := range map[string]**float64{"SampleCount": &d.SampleCount, "Average": &d.Average, "Sum": &d.Sum, "Minimum": &d.Minimum, "Maximum": &d.Maximum} {
			if slices.Contains(in.Statistics, name) {
				v := statistic(p, name)
				*into = &v
			}
		}
		out.Datapoints = append(out.Datapoints, d)
	}
	return out, nil
}

// ListMetrics lists what was put by hand and what the lab measures itself now.
func ListMetrics(tx *core.Tx, in *ListMetricsInput) (*ListMetricsOutput, error) {
	var all []Metric
	add := func(m Metric) {
		if in.wants(m) {
			all = append(all, m)
		}
	}
	for _, k := range sortedKeys(tx.Region.Metrics) {
		m := tx.Region.Metrics[k]
		metric := Metric{Namespace: m.Namespace, MetricName: m.Name}
		for _, d := range sortedKeys(m.Dimensions) {
			metric.Dimensions = append(metric.Dimensions, Dimension{Name: d, Value: m.Dimensions[d]})
		}
		add(metric)
	}
	for _, m := range measurable(tx) {
		add(m)
	}
	key := func(m Metric) string { return metricKey(m.Namespace, m.MetricName, toMap(m.Dimensions)) }
	slices.SortFunc(all, func(a, b Metric) int { return strings.Compare(key(a), key(b)) })
	all = slices.CompactFunc(all, func(a, b Metric) bool { return key(a) == key(b) })
	page, next, err := core.Page(tx, all, key, nil, 500, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListMetricsOutput{Metrics: page, NextToken: next}, nil
}

// wants says whether a metric is asked for.
func (in *ListMetricsInput) wants(m Metric) bool {
	if in.Namespace != "" && in.Namespace != m.Namespace || in.MetricName != "" && in.MetricName != m.MetricName {
		return false
	}
	have := toMap(m.Dimensions)
	for _, d := range in.Dimensions {
		if v, ok := have[d.Name]; !ok || d.Value != "" && d.Value != v {
			return false
		}
	}
	return true
}
