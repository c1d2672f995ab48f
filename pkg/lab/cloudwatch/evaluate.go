package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var errNoResource = wire.Error{Code: "ResourceNotFound", Message: "The named resource does not exist.", Status: 404, Shape: "ResourceNotFoundException"}

func pageOf(tx *core.Tx, found []*state.Alarm, in *DescribeAlarmsInput) ([]*state.Alarm, string, error) {
	return core.Page(tx, found, func(a *state.Alarm) string { return a.Name }, in.MaxRecords, 100, in.NextToken)
}

// Step samples the metrics of alarms, ends their periods and decides.
func (Service) Step(tx *core.Tx) {
	processors(tx)
	for _, name := range sortedKeys(tx.Region.Alarms) {
		if a := tx.Region.Alarms[name]; !a.Composite {
			watch(tx, a)
		}
	}
	for _, name := range sortedKeys(tx.Region.Alarms) {
		a := tx.Region.Alarms[name]
		if !a.Composite {
			continue
		}
		text, _ := a.Config["AlarmRule"].(string)
		rule, err := parseRule(text)
		if err != nil {
			continue
		}
		want := ok
		if rule.holds(func(name string) string {
			if child := tx.Region.Alarms[name]; child != nil {
				return child.State
			}
			return insufficient
		}) {
			want = alarm
		}
		turn(tx, a, want, "Alarm rule is evaluated to "+want+": "+text, "")
		tell(tx, a)
	}
}

// watch samples one alarm's metric and, at the end of its period, evaluates it.
func watch(tx *core.Tx, a *state.Alarm) {
	if a.PeriodEnd.IsZero() {
		start(tx, a)
	}
	if a.Parts != nil {
		calculate(tx, a)
	} else {
		// Every change of the world comes by here, so the definition is not decoded each time.
		namespace, name, dimensions := metricOf(a.Config)
		if v, has := measure(tx, namespace, name, dimensions); has {
			sample(&a.Current, v)
		} else if tx.Due(a.PeriodEnd) && a.Current.Samples == 0 {
			a.Current = custom(tx, namespace, name, dimensions, a.Current.Start, a.PeriodEnd)
		}
	}
	if !tx.Due(a.PeriodEnd) {
		return
	}
	var m MetricAlarm
	decode(a.Config, &m)
	if long(a) {
		a.Points = slide(tx, m)
	} else {
		a.Points = append(a.Points, a.Current)
	}
	if over := len(a.Points) - int(number(m.EvaluationPeriods, 1)) - beyond; over > 0 {
		a.Points = slices.Delete(a.Points, 0, over)
	}
	value, reason, decided := decide(m, a.Points)
	if decided {
		turn(tx, a, value, reason, "")
	}
	start(tx, a)
}

// long says whether an alarm's period is more than the minute after which every alarm
// is looked at again ("Evaluating an alarm": the periods then end now, each time).
func long(a *state.Alarm) bool {
	period, _ := a.Config["Period"].(float64)
	return a.Parts == nil && period > 60
}

// slide are the periods that end now, from what was written down.
func slide(tx *core.Tx, m MetricAlarm) (points []state.Point) {
	period := tx.Scale(time.Duration(number(m.Period, 60)) * time.Second)
	for k := number(m.EvaluationPeriods, 1) + beyond; k > 0; k-- {
		from := tx.Now.Add(-time.Duration(k) * period)
		points = append(points, custom(tx, m.Namespace, m.MetricName, toMap(m.Dimensions), from, from.Add(period)))
	}
	return points
}

// calculate samples the metrics of an expression and, at the end of the period,
// takes its value.
func calculate(tx *core.Tx, a *state.Alarm) {
	var m MetricAlarm
	decode(a.Config, &m)
	f, err := formulaOf(m.Metrics)
	if err != nil {
		return // PutMetricAlarm has refused it
	}
	for id, s := range f.stats {
		p, dimensions := a.Parts[id], toMap(s.Metric.Dimensions)
		if v, has := measure(tx, s.Metric.Namespace, s.Metric.MetricName, dimensions); has {
			sample(&p, v)
		} else if tx.Due(a.PeriodEnd) && p.Samples == 0 {
			p = custom(tx, s.Metric.Namespace, s.Metric.MetricName, dimensions, a.Current.Start, a.PeriodEnd)
		}
		a.Parts[id] = p
	}
	if tx.Due(a.PeriodEnd) {
		from := a.Current.Start
		a.Current = f.point(a.Parts)
		a.Current.Start = from
	}
}

// metricOf is the metric that a definition names.
func metricOf(definition map[string]any) (namespace, name string, dimensions map[string]string) {
	namespace, _ = definition["Namespace"].(string)
	name, _ = definition["MetricName"].(string)
	list, _ := definition["Dimensions"].([]any)
	dimensions = make(map[string]string, len(list))
	for _, x := range list {
		d, _ := x.(map[string]any)
		key, _ := d["Name"].(string)
		dimensions[key], _ = d["Value"].(string)
	}
	return namespace, name, dimensions
}

// start begins a period.
func start(tx *core.Tx, a *state.Alarm) {
	period, _ := a.Config["Period"].(float64)
	a.Parts = nil
	if queries, math := a.Config["Metrics"].([]any); math && len(queries) > 0 {
		var m MetricAlarm
		decode(a.Config, &m)
		if f, err := formulaOf(m.Metrics); err == nil {
			period, a.Parts = float64(f.period), map[string]state.Point{}
		}
	}
	if long(a) {
		period = 60
	}
	length := max(tx.Scale(time.Duration(period)*time.Second), 10*time.Millisecond)
	a.Current = state.Point{Start: tx.Now}
	a.PeriodEnd = tx.Now.Add(length)
	tx.Wake(a.PeriodEnd)
	tx.Changed()
}

// sample notes what a metric is now. What it was between two visits nobody
// knows; every change of the world is a visit, so extremes are not missed.
func sample(p *state.Point, v float64) {
	if p.Samples == 0 {
		p.Min, p.Max = v, v
	}
	p.Min, p.Max, p.Sum, p.Samples = min(p.Min, v), max(p.Max, v), v, 1
}

func statistic(p state.Point, name string) float64 {
	switch name {
	case "Minimum":
		return p.Min
	case "Maximum":
		return p.Max
	case "SampleCount":
		return float64(p.Samples)
	case "Average":
		return p.Sum / float64(p.Samples)
	}
	return p.Sum
}

var compare = map[string]struct {
	breaches func(v, threshold float64) bool
	text     string
}{
	"GreaterThanOrEqualToThreshold": {func(v, t float64) bool { return v >= t }, "greater than or equal to"},
	"GreaterThanThreshold":          {func(v, t float64) bool { return v > t }, "greater than"},
	"LessThanThreshold":             {func(v, t float64) bool { return v < t }, "less than"},
	"LessThanOrEqualToThreshold":    {func(v, t float64) bool { return v <= t }, "less than or equal to"},
}

// beyond are the periods that AWS looks back at besides those of the evaluation, where
// data is missing ("Configuring how CloudWatch alarms treat missing data": a range of 5
// for 3 periods).
const beyond = 2

// evaluated are the points that count: the newest real ones, and as many of the missing
// ones as the periods then lack.
func evaluated(n int, points []state.Point) []state.Point {
	recent := points[max(0, len(points)-n):]
	if !slices.ContainsFunc(recent, func(p state.Point) bool { return p.Samples == 0 }) {
		return recent
	}
	out := make([]state.Point, 0, n)
	for _, p := range points {
		if p.Samples > 0 {
			out = append(out, p)
		}
	}
	out = out[max(0, len(out)-n):]
	for _, p := range recent {
		if p.Samples == 0 && len(out) < len(recent) {
			out = append(out, p)
		}
	}
	return out
}

// decide is the state that the ended periods make, and why. It decides nothing
// where missing data shall be ignored.
func decide(m MetricAlarm, points []state.Point) (value, reason string, decided bool) {
	n := number(m.EvaluationPeriods, 1)
	need := number(m.DatapointsToAlarm, n)
	threshold := *m.Threshold
	var data, breaching, missing int64
	var seen []string
	for _, p := range evaluated(int(n), points) {
		if p.Samples == 0 {
			missing++
			if m.TreatMissingData == "breaching" {
				breaching++
			}
			continue
		}
		data++
		v := statistic(p, m.Statistic)
		if compare[m.ComparisonOperator].breaches(v, threshold) {
			breaching++
			seen = append(seen, fmt.Sprintf("%s (%s)", float(v), p.Start.UTC().Format("02/01/06 15:04:05")))
		}
	}
	treated := ""
	if missing > 0 && (m.TreatMissingData == "breaching" || m.TreatMissingData == "notBreaching") {
		treated = fmt.Sprintf(" and %d missing datapoint(s) were treated as [%s]", missing, map[string]string{"breaching": "Breaching", "notBreaching": "NonBreaching"}[m.TreatMissingData])
	}
	switch {
	case breaching >= need:
		return alarm, fmt.Sprintf("Threshold Crossed: %d out of the last %d datapoints [%s] were %s the threshold (%s)%s (minimum %d datapoint(s) for OK -> ALARM transition).",
			breaching, n, strings.Join(seen, ", "), compare[m.ComparisonOperator].text, float(threshold), treated, need), true
	case data == 0 && m.TreatMissingData == "ignore":
		return "", "", false
	case data == 0 && (m.TreatMissingData == "" || m.TreatMissingData == "missing"):
		return insufficient, fmt.Sprintf("Insufficient Data: %d datapoint(s) were unknown.", missing), true
	}
	return ok, fmt.Sprintf("Threshold Crossed: %d of %d datapoint(s) were not %s the threshold (%s)%s.",
		data+missing-breaching, n, compare[m.ComparisonOperator].text, float(threshold), treated), true
}

func float(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// actions are what an alarm does when it comes into a state.
func actions(a *state.Alarm, value string) []string {
	var m MetricAlarm // a composite alarm has these members, too
	decode(a.Config, &m)
	switch value {
	case ok:
		return m.OKActions
	case alarm:
		return m.AlarmActions
	}
	return m.InsufficientDataActions
}
