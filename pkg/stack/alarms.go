package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Firing are those of the alarms, given by ARN, that are in ALARM now, each with
// CloudWatch's reason. A rollback trigger among them takes an update back as soon
// as it begins.
func (a *Account) Firing(ctx context.Context, arns []string) ([]string, error) {
	var out []string
	for some := range slices.Chunk(arns, 100) { // the most that one call takes
		var names []string
		for _, arn := range some {
			_, name, _ := strings.Cut(arn, ":alarm:")
			names = append(names, name)
		}
		r, err := a.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
			AlarmNames: names, StateValue: types.StateValueAlarm, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
		})
		if err != nil {
			return nil, fmt.Errorf("look at the alarms: %w", err)
		}
		for _, m := range r.MetricAlarms {
			out = append(out, aws.ToString(m.AlarmName)+": "+aws.ToString(m.StateReason))
		}
		for _, m := range r.CompositeAlarms {
			out = append(out, aws.ToString(m.AlarmName)+": "+aws.ToString(m.StateReason))
		}
	}
	return out, nil
}
