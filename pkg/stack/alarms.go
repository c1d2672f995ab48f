package stack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// Watch is what watches a stack, as it is now.
type Watch struct {
	Alarms  int
	Firing  []string // "name: reason"
	Unknown []string // likewise, alarms that have no data
	// Unconfirmed are subscriptions that nobody has confirmed, "mail of topic": what is
	// published does not get there.
	Unconfirmed []string
}

// Add is what watches the same from another stack.
func (w *Watch) Add(other *Watch, where string) {
	w.Alarms += other.Alarms
	w.Firing, w.Unknown = append(w.Firing, other.Firing...), append(w.Unknown, other.Unknown...)
	for _, u := range other.Unconfirmed {
		w.Unconfirmed = append(w.Unconfirmed, u+where)
	}
}

// Watched looks at all alarms of a stack, and at the subscriptions of its topics.
func (a *Account) Watched(ctx context.Context, s *State) (*Watch, error) {
	out := &Watch{}
	for some := range slices.Chunk(s.AllAlarms(), 100) {
		list, err := a.described(ctx, some, "")
		if err != nil {
			return nil, err
		}
		out.Alarms += len(list)
		for _, x := range list {
			switch x.state {
			case types.StateValueAlarm:
				out.Firing = append(out.Firing, x.text)
			case types.StateValueInsufficientData:
				out.Unknown = append(out.Unknown, x.text)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		r := s.Resources[id]
		if r.Type != typeTopic || r.ID == "" {
			continue
		}
		pages := sns.NewListSubscriptionsByTopicPaginator(a.topics, &sns.ListSubscriptionsByTopicInput{TopicArn: &r.ID})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("look at who hears of topic %s: %w", id, err)
			}
			for _, sub := range page.Subscriptions {
				if aws.ToString(sub.SubscriptionArn) == "PendingConfirmation" {
					out.Unconfirmed = append(out.Unconfirmed, aws.ToString(sub.Endpoint)+" of "+id)
				}
			}
		}
	}
	return out, nil
}

type alarm struct {
	text  string
	state types.StateValue
}

// described tells alarms by their ARNs, 100 at most; those of one state, if it is not "".
func (a *Account) described(ctx context.Context, arns []string, state types.StateValue) ([]alarm, error) {
	var names []string
	for _, arn := range arns {
		_, name, _ := strings.Cut(arn, ":alarm:")
		names = append(names, name)
	}
	r, err := a.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: names, StateValue: state, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}, MaxRecords: aws.Int32(100),
	})
	if err != nil {
		return nil, fmt.Errorf("look at the alarms: %w", err)
	}
	var out []alarm
	for _, m := range r.MetricAlarms {
		out = append(out, alarm{aws.ToString(m.AlarmName) + ": " + aws.ToString(m.StateReason), m.StateValue})
	}
	for _, m := range r.CompositeAlarms {
		out = append(out, alarm{aws.ToString(m.AlarmName) + ": " + aws.ToString(m.StateReason), m.StateValue})
	}
	return out, nil
}

// Firing are those of the alarms, given by ARN, that are in ALARM now, each with
// CloudWatch's reason. A rollback trigger among them takes an update back as soon
// as it begins.
func (a *Account) Firing(ctx context.Context, arns []string) ([]string, error) {
	var out []string
	for some := range slices.Chunk(arns, 100) { // the most that one call takes
		list, err := a.described(ctx, some, types.StateValueAlarm)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			out = append(out, x.text)
		}
	}
	return out, nil
}
