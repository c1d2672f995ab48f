package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/sns"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// eventsKept of an alarm's history.
const eventsKept = 50

func remember(tx *core.Tx, a *state.Alarm, kind, summary, data string) {
	a.History = append(a.History, state.AlarmEvent{At: tx.Now, Kind: kind, Summary: summary, Data: data})
	if over := len(a.History) - eventsKept; over > 0 {
		a.History = slices.Delete(a.History, 0, over)
	}
}

// turn sets an alarm's state. A metric alarm tells a new one at once, a composite
// alarm by tell.
func turn(tx *core.Tx, a *state.Alarm, value, reason, data string) {
	if a.State == value {
		return
	}
	remember(tx, a, "StateUpdate", fmt.Sprintf("Alarm updated from %s to %s", a.State, value),
		fmt.Sprintf(`{"version":"1.0","oldState":{"stateValue":%q},"newState":{"stateValue":%q,"stateReason":%q}}`, a.State, value, reason))
	old := a.State
	a.State, a.Reason, a.Data, a.StateSet = value, reason, data, tx.Now
	tx.Changed()
	if !a.Composite {
		act(tx, a, old)
	}
}

// tell carries out the actions of a composite alarm's state, unless its
// suppressor holds them back: while that is in ALARM, for the extension period
// after it, and for the wait period in which it may still come.
func tell(tx *core.Tx, a *state.Alarm) {
	told := a.Told
	if told == "" {
		told = insufficient
	}
	if a.State == told {
		if a.Held != "" {
			a.Held, a.HeldTill = "", time.Time{}
			tx.Changed()
		}
		return
	}
	hold := func(why string, till time.Time) {
		if a.Held != why || !a.HeldTill.Equal(till) {
			a.Held, a.HeldTill = why, till
			tx.Changed()
		}
	}
	name, _ := a.Config["ActionsSuppressor"].(string)
	if name != "" {
		seconds := func(key string) time.Duration {
			v, _ := a.Config[key].(float64)
			return time.Duration(v) * time.Second
		}
		suppressor := tx.Region.Alarms[alarmName(name)]
		switch {
		case suppressor != nil && suppressor.State == alarm:
			hold("Alarm", time.Time{})
			return
		case a.Held == "Alarm":
			hold("ExtensionPeriod", tx.Now.Add(tx.Scale(seconds("ActionsSuppressorExtensionPeriod"))))
		case a.Held == "":
			hold("WaitPeriod", tx.Now.Add(tx.Scale(seconds("ActionsSuppressorWaitPeriod"))))
		}
		if !tx.Due(a.HeldTill) {
			return
		}
	}
	a.Told, a.Held, a.HeldTill = a.State, "", time.Time{}
	tx.Changed()
	act(tx, a, told)
}

// alarmName is the name of an alarm that was given by name or ARN.
func alarmName(s string) string {
	if _, short, isARN := strings.Cut(s, ":alarm:"); isARN {
		return short
	}
	return s
}

// checkSuppressor refuses what the API refuses of a suppressor.
func checkSuppressor(tx *core.Tx, in *PutCompositeAlarmInput) error {
	periods := in.ActionsSuppressorWaitPeriod != nil && in.ActionsSuppressorExtensionPeriod != nil
	none := in.ActionsSuppressorWaitPeriod == nil && in.ActionsSuppressorExtensionPeriod == nil
	name := alarmName(in.ActionsSuppressor)
	switch {
	case name == "" && !none:
		return invalid("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod need ActionsSuppressor")
	case name == "":
		return nil
	case !periods:
		return invalid("ActionsSuppressor needs ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod")
	case *in.ActionsSuppressorWaitPeriod < 0 || *in.ActionsSuppressorExtensionPeriod < 0:
		return invalid("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must not be negative")
	case name == in.AlarmName:
		return invalid("ActionsSuppressor: alarm '%s' must not suppress itself", name)
	case tx.Region.Alarms[name] == nil:
		return invalid("ActionsSuppressor: alarm '%s' does not exist", name)
	}
	return nil
}

// act tells the state of an alarm to the topics that its actions name.
func act(tx *core.Tx, a *state.Alarm, old string) {
	if enabled, given := a.Config["ActionsEnabled"].(bool); given && !enabled {
		return
	}
	for _, arn := range actions(a, a.State) {
		if !strings.Contains(arn, ":sns:") {
			continue
		}
		description, _ := a.Config["AlarmDescription"].(string)
		err := sns.Tell(tx, "cloudwatch.amazonaws.com", a.ARN, &sns.PublishInput{
			TopicArn: arn, Subject: fmt.Sprintf("%s: %q in %s", a.State, a.Name, tx.Region.Name),
			Message: fmt.Sprintf(`{"AlarmName":%q,"AlarmDescription":%q,"AWSAccountId":%q,"AlarmArn":%q,"Region":%q,"NewStateValue":%q,"OldStateValue":%q,"NewStateReason":%q,"StateChangeTime":%q}`,
				a.Name, description, tx.World.Account, a.ARN, tx.Region.Name, a.State, old, a.Reason, tx.Now.UTC().Format("2006-01-02T15:04:05.000-0700")),
		})
		if err != nil {
			remember(tx, a, "Action", "Failed to execute action "+arn, fmt.Sprintf(`{"actionState":"Failed","error":%q}`, err.Error()))
			tx.Log().Warn("tell an alarm", "alarm", a.Name, "topic", arn, "error", err)
			continue
		}
		remember(tx, a, "Action", "Successfully executed action "+arn, `{"actionState":"Succeeded"}`)
	}
}

// DescribeAlarmHistory lists what became of alarms, the newest first.
func DescribeAlarmHistory(tx *core.Tx, in *DescribeAlarmHistoryInput) (*DescribeAlarmHistoryOutput, error) {
	kinds := []string{"", "ConfigurationUpdate", "StateUpdate", "Action"}
	if !slices.Contains(kinds, in.HistoryItemType) {
		return nil, invalid("Value '%s' at 'historyItemType' failed to satisfy constraint: Member must satisfy enum value set: %v", in.HistoryItemType, kinds[1:])
	}
	metric := len(in.AlarmTypes) == 0 || slices.Contains(in.AlarmTypes, "MetricAlarm")
	composite := slices.Contains(in.AlarmTypes, "CompositeAlarm")
	type item struct {
		AlarmHistoryItem
		key string
	}
	var all []item
	for _, name := range sortedKeys(tx.Region.Alarms) {
		a := tx.Region.Alarms[name]
		if in.AlarmName != "" && name != in.AlarmName || a.Composite && !composite || !a.Composite && !metric {
			continue
		}
		kind := "MetricAlarm"
		if a.Composite {
			kind = "CompositeAlarm"
		}
		for k, e := range a.History {
			if in.HistoryItemType != "" && e.Kind != in.HistoryItemType || in.StartDate != nil && e.At.Before(*in.StartDate) || in.EndDate != nil && e.At.After(*in.EndDate) {
				continue
			}
			all = append(all, item{AlarmHistoryItem{
				AlarmName: name, AlarmType: kind, Timestamp: e.At, HistoryItemType: e.Kind, HistorySummary: e.Summary, HistoryData: e.Data,
			}, fmt.Sprintf("%020d %s %06d", e.At.UnixNano(), name, k)})
		}
	}
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(b.key, a.key) })
	if in.ScanBy == "TimestampAscending" {
		slices.Reverse(all)
	}
	page, next, err := core.Page(tx, all, func(i item) string { return i.key }, in.MaxRecords, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeAlarmHistoryOutput{NextToken: next}
	for _, i := range page {
		out.AlarmHistoryItems = append(out.AlarmHistoryItems, i.AlarmHistoryItem)
	}
	return out, nil
}
