package cloudwatch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// The states of an alarm.
const (
	ok           = "OK"
	alarm        = "ALARM"
	insufficient = "INSUFFICIENT_DATA"
)

var (
	comparisons = []string{"GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"}
	statistics  = []string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}
	treatments  = []string{"", "missing", "breaching", "notBreaching", "ignore"}
)

// config is a definition as kept: the API's members by name.
func config(in any) map[string]any {
	b, _ := json.Marshal(in)
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	return m
}

// decode fills out with a definition as kept.
func decode(m map[string]any, out any) {
	b, _ := json.Marshal(m)
	_ = json.Unmarshal(b, out)
}

// PutMetricAlarm makes a metric alarm, or replaces its definition: the state
// then stays until the next evaluation.
func PutMetricAlarm(tx *core.Tx, in *PutMetricAlarmInput) (*PutMetricAlarmOutput, error) {
	math := len(in.Metrics) > 0
	period := number(in.Period, 0)
	if math {
		if in.MetricName != "" || in.Namespace != "" || in.Statistic != "" || in.Period != nil || len(in.Dimensions) > 0 {
			return nil, invalid("Metrics must not be used together with MetricName, Namespace, Statistic, Period or Dimensions")
		}
		f, err := formulaOf(in.Metrics)
		if err != nil {
			return nil, invalid("Metrics: %s", err)
		}
		period = f.period
	}
	n := number(in.EvaluationPeriods, 0)
	m := number(in.DatapointsToAlarm, n)
	switch {
	case in.AlarmName == "" || len(in.AlarmName) > 255:
		return nil, invalid("The alarm name must have 1 to 255 characters")
	case !math && (in.MetricName == "" || in.Namespace == ""):
		return nil, invalid("MetricName and Namespace are required")
	case in.ExtendedStatistic != "":
		return nil, invalid("The lab has no percentiles: ExtendedStatistic '%s'", in.ExtendedStatistic)
	case !math && !slices.Contains(statistics, in.Statistic):
		return nil, invalid("Value '%s' at 'statistic' failed to satisfy constraint: Member must satisfy enum value set: %v", in.Statistic, statistics)
	case !slices.Contains(comparisons, in.ComparisonOperator):
		return nil, invalid("Value '%s' at 'comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: %v", in.ComparisonOperator, comparisons)
	case period != 10 && period != 20 && period != 30 && (period < 60 || period%60 != 0):
		return nil, invalid("Metrics period must be 10, 20, 30 or a multiple of 60, not %d", period)
	case n < 1 || m < 1 || m > n:
		return nil, invalid("EvaluationPeriods must be at least 1, and DatapointsToAlarm between 1 and EvaluationPeriods")
	case period*n > 7*86400:
		return nil, invalid("Metrics cannot be checked across more than seven days (EvaluationPeriods * Period must be <= 604800)")
	case in.Threshold == nil:
		return nil, invalid("Threshold is required")
	case !slices.Contains(treatments, in.TreatMissingData):
		return nil, invalid("Value '%s' at 'treatMissingData' is not one of missing, breaching, notBreaching, ignore", in.TreatMissingData)
	}
	return &PutMetricAlarmOutput{}, put(tx, in.AlarmName, false, config(in), in.Tags)
}

// PutCompositeAlarm makes an alarm over other alarms, or replaces its definition.
func PutCompositeAlarm(tx *core.Tx, in *PutCompositeAlarmInput) (*PutCompositeAlarmOutput, error) {
	if in.AlarmName == "" || len(in.AlarmName) > 255 {
		return nil, invalid("The alarm name must have 1 to 255 characters")
	}
	if len(in.AlarmRule) > 10240 {
		return nil, invalid("AlarmRule must have at most 10240 characters")
	}
	rule, err := parseRule(in.AlarmRule)
	if err != nil {
		return nil, invalid("AlarmRule: %s", err)
	}
	for _, name := range rule.names() {
		if tx.Region.Alarms[name] == nil {
			return nil, invalid("AlarmRule: alarm '%s' does not exist", name)
		}
		if name == in.AlarmName {
			return nil, invalid("AlarmRule: alarm '%s' must not depend on itself", name)
		}
	}
	if err := checkSuppressor(tx, in); err != nil {
		return nil, err
	}
	return &PutCompositeAlarmOutput{}, put(tx, in.AlarmName, true, config(in), in.Tags)
}

func put(tx *core.Tx, name string, composite bool, definition map[string]any, tags []Tag) error {
	a := tx.Region.Alarms[name]
	if a != nil && a.Composite != composite {
		return invalid("Alarm '%s' exists already and is of another type", name)
	}
	if a == nil {
		a = &state.Alarm{
			Name: name, ARN: tx.ARN("cloudwatch", "alarm:"+name), Composite: composite, State: insufficient,
			Reason: "Unchecked: Initial alarm creation", StateSet: tx.Now, Tags: state.Tags{},
		}
		for _, t := range tags {
			a.Tags[t.Key] = t.Value
		}
		tx.Region.Alarms[name] = a
		remember(tx, a, "ConfigurationUpdate", fmt.Sprintf("Alarm %q created", name), "")
	} else {
		remember(tx, a, "ConfigurationUpdate", fmt.Sprintf("Alarm %q updated", name), "")
	}
	delete(definition, "Tags")
	a.Config, a.Updated = definition, tx.Now
	a.Points, a.Current, a.Parts, a.PeriodEnd = nil, state.Point{}, nil, time.Time{}
	tx.Changed()
	return nil
}

// DescribeAlarms lists alarms by name; without AlarmTypes the metric alarms only.
func DescribeAlarms(tx *core.Tx, in *DescribeAlarmsInput) (*DescribeAlarmsOutput, error) {
	if len(in.AlarmNames) > 0 && in.AlarmNamePrefix != "" {
		return nil, invalid("AlarmNames and AlarmNamePrefix must not be used together")
	}
	metric := len(in.AlarmTypes) == 0 || slices.Contains(in.AlarmTypes, "MetricAlarm")
	composite := slices.Contains(in.AlarmTypes, "CompositeAlarm")
	var found []*state.Alarm
	for _, name := range sortedKeys(tx.Region.Alarms) {
		a := tx.Region.Alarms[name]
		switch {
		case a.Composite && !composite, !a.Composite && !metric:
		case len(in.AlarmNames) > 0 && !slices.Contains(in.AlarmNames, name):
		case !strings.HasPrefix(name, in.AlarmNamePrefix):
		case in.StateValue != "" && a.State != in.StateValue:
		case in.ActionPrefix != "" && !slices.ContainsFunc(actions(a, a.State), func(x string) bool { return strings.HasPrefix(x, in.ActionPrefix) }):
		default:
			found = append(found, a)
		}
	}
	page, next, err := pageOf(tx, found, in)
	if err != nil {
		return nil, err
	}
	out := &DescribeAlarmsOutput{NextToken: next}
	for _, a := range page {
		if a.Composite {
			c := CompositeAlarm{ActionsEnabled: true}
			decode(a.Config, &c)
			c.AlarmArn, c.AlarmConfigurationUpdatedTimestamp = a.ARN, a.Updated
			c.StateValue, c.StateReason, c.StateUpdatedTimestamp, c.StateTransitionedTimestamp = a.State, a.Reason, a.StateSet, a.StateSet
			if c.ActionsSuppressedBy = a.Held; a.Held != "" {
				c.ActionsSuppressedReason = "Actions suppressed by " + a.Held
			}
			out.CompositeAlarms = append(out.CompositeAlarms, c)
			continue
		}
		m := describeMetricAlarm(a)
		out.MetricAlarms = append(out.MetricAlarms, m)
	}
	return out, nil
}

func describeMetricAlarm(a *state.Alarm) MetricAlarm {
	m := MetricAlarm{ActionsEnabled: true}
	decode(a.Config, &m)
	m.AlarmArn, m.AlarmConfigurationUpdatedTimestamp = a.ARN, a.Updated
	m.StateValue, m.StateReason, m.StateReasonData = a.State, a.Reason, a.Data
	m.StateUpdatedTimestamp, m.StateTransitionedTimestamp = a.StateSet, a.StateSet
	return m
}

// DeleteAlarms deletes alarms; if one is not there, none is deleted.
func DeleteAlarms(tx *core.Tx, in *DeleteAlarmsInput) (*DeleteAlarmsOutput, error) {
	for _, name := range in.AlarmNames {
		if tx.Region.Alarms[name] == nil {
			return nil, notFound("Alarm " + name + " does not exist")
		}
	}
	for _, name := range in.AlarmNames {
		delete(tx.Region.Alarms, name)
	}
	tx.Changed()
	return &DeleteAlarmsOutput{}, nil
}

// SetAlarmState sets a state by hand: actions are taken, and the next
// evaluation may set it back.
func SetAlarmState(tx *core.Tx, in *SetAlarmStateInput) (*SetAlarmStateOutput, error) {
	a := tx.Region.Alarms[in.AlarmName]
	switch {
	case a == nil:
		return nil, notFound("Alarm " + in.AlarmName + " does not exist")
	case in.StateValue != ok && in.StateValue != alarm && in.StateValue != insufficient:
		return nil, invalid("Value '%s' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]", in.StateValue)
	}
	turn(tx, a, in.StateValue, in.StateReason, in.StateReasonData)
	return &SetAlarmStateOutput{}, nil
}

func byARN(tx *core.Tx, arn string) (*state.Alarm, error) {
	for _, a := range tx.Region.Alarms {
		if a.ARN == arn {
			return a, nil
		}
	}
	return nil, &errNoResource
}

// TagResource sets tags of an alarm.
func TagResource(tx *core.Tx, in *TagResourceInput) (*TagResourceOutput, error) {
	a, err := byARN(tx, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		a.Tags[t.Key] = t.Value
	}
	return &TagResourceOutput{}, nil
}

// UntagResource takes tags away.
func UntagResource(tx *core.Tx, in *UntagResourceInput) (*UntagResourceOutput, error) {
	a, err := byARN(tx, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(a.Tags, k)
	}
	return &UntagResourceOutput{}, nil
}

// ListTagsForResource tells the tags of an alarm.
func ListTagsForResource(tx *core.Tx, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	a, err := byARN(tx, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	out := &ListTagsForResourceOutput{}
	for _, k := range sortedKeys(a.Tags) {
		out.Tags = append(out.Tags, Tag{Key: k, Value: a.Tags[k]})
	}
	return out, nil
}
