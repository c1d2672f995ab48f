// Package cloudwatch is the lab's CloudWatch: alarms over what the lab's load
// balancers and groups really do, and dashboards.
//
// A metric alarm looks at its metric in each period (divided by the lab's
// factor) and then decides as AWS does, M out of N with the missing ones treated
// as asked; an expression of metrics has + - * / and FILL. The lab has
// HealthyHostCount and UnHealthyHostCount of AWS/NetworkELB, NewFlowCount and
// ActiveFlowCount of what really goes through its balancers, the group metrics of
// AWS/AutoScaling, in us-east-1 what health checks of Route 53 found, of AWS/EC2 the status checks and CPUUtilization as its machines
// tell it each minute, and what was put by hand; every other metric has no data.
package cloudwatch

import (
	"maps"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Service is the CloudWatch API and what goes on behind it.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "monitoring" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("PutMetricAlarm", PutMetricAlarm),
		core.Act("PutCompositeAlarm", PutCompositeAlarm),
		core.Act("DescribeAlarms", DescribeAlarms),
		core.Act("DescribeAlarmHistory", DescribeAlarmHistory),
		core.Act("DeleteAlarms", DeleteAlarms),
		core.Act("SetAlarmState", SetAlarmState),
		core.Act("PutDashboard", PutDashboard),
		core.Act("GetDashboard", GetDashboard),
		core.Act("ListDashboards", ListDashboards),
		core.Act("DeleteDashboards", DeleteDashboards),
		core.Act("PutMetricData", PutMetricData),
		core.Act("GetMetricData", GetMetricData),
		core.Act("GetMetricStatistics", GetMetricStatistics),
		core.Act("ListMetrics", ListMetrics),
		core.Act("TagResource", TagResource),
		core.Act("UntagResource", UntagResource),
		core.Act("ListTagsForResource", ListTagsForResource),
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func number(p *int64, otherwise int64) int64 {
	if p == nil {
		return otherwise
	}
	return *p
}

func invalid(format string, args ...any) error {
	return &wire.Error{Code: "ValidationError", Message: wire.Errorf("", format, args...).Message, Shape: "ValidationException"}
}

func notFound(what string) error {
	return &wire.Error{Code: "ResourceNotFound", Message: what, Status: 404}
}
