package template

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/awslabs/goformation/v7/cloudformation/sns"
)

// An alarm with this metadata rolls an update back while it is watched. It is
// metadata, so that a site's own alarms can say the same.
const (
	metadataKey = "Chain"
	triggerKey  = "RollbackTrigger"
)

// Trigger is the metadata of an alarm that may roll an update back.
func Trigger() map[string]any {
	return map[string]any{metadataKey: map[string]any{triggerKey: true}}
}

func watch(t *Template, _ Shape) {
	t.Add(TopicID, &sns.Topic{DisplayName: new(Sub("${AWS::StackName} alarms"))})
	t.Add("TopicPolicy", &sns.TopicPolicy{
		Topics: []string{Ref(TopicID)},
		PolicyDocument: object{
			{"Version", "2012-10-17"},
			{"Statement", []any{object{
				{"Sid", "Alarms"},
				{"Effect", "Allow"},
				{"Principal", object{{"Service", "cloudwatch.amazonaws.com"}}},
				{"Action", "sns:Publish"},
				{"Resource", Ref(TopicID)},
				{"Condition", object{{"StringEquals", object{{"AWS:SourceAccount", Ref("AWS::AccountId")}}}}},
			}}},
		},
	})

	targets := []cloudwatch.Alarm_Dimension{
		{Name: "LoadBalancer", Value: GetAtt(LoadBalancerID, "LoadBalancerFullName")},
		{Name: "TargetGroup", Value: GetAtt(TargetGroupID, "TargetGroupFullName")},
	}
	instances := []cloudwatch.Alarm_Dimension{{Name: "AutoScalingGroupName", Value: Ref(GroupID)}}
	alarm := func(id string, a cloudwatch.Alarm) *Resource {
		a.AlarmActions, a.OKActions = []string{Ref(TopicID)}, []string{Ref(TopicID)}
		a.Period = new(60)
		return t.Add(id, &a)
	}
	// Missing data is no alarm: the balancer tells nothing for a minute or two
	// after its creation, and a rollback must rest on facts.
	alarm("NoHealthyHost", cloudwatch.Alarm{
		AlarmDescription: new("No instance answers the balancer's health check"),
		Namespace:        new("AWS/NetworkELB"), MetricName: new("HealthyHostCount"), Dimensions: targets,
		Statistic: new("Maximum"), ComparisonOperator: "LessThanThreshold", Threshold: new(1.0),
		EvaluationPeriods: 2, TreatMissingData: new("notBreaching"),
	}).Metadata = Trigger()
	alarm("UnhealthyHosts", cloudwatch.Alarm{
		AlarmDescription: new("An instance has failed the balancer's health check for five minutes"),
		Namespace:        new("AWS/NetworkELB"), MetricName: new("UnHealthyHostCount"), Dimensions: targets,
		Statistic: new("Maximum"), ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		EvaluationPeriods: 5, TreatMissingData: new("notBreaching"),
	})
	alarm("StatusCheckFailed", cloudwatch.Alarm{
		AlarmDescription: new("An instance or its host has failed EC2's status check"),
		Namespace:        new("AWS/EC2"), MetricName: new("StatusCheckFailed"), Dimensions: instances,
		Statistic: new("Maximum"), ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		EvaluationPeriods: 2, TreatMissingData: new("notBreaching"),
	}).Metadata = Trigger()
	alarm("HighCpu", cloudwatch.Alarm{
		AlarmDescription: new("The instances have been busy for ten minutes"),
		Namespace:        new("AWS/EC2"), MetricName: new("CPUUtilization"), Dimensions: instances,
		Statistic: new("Average"), ComparisonOperator: "GreaterThanThreshold", Threshold: new(80.0),
		EvaluationPeriods: 10, TreatMissingData: new("notBreaching"),
	})
	t.Add("Dashboard", &cloudwatch.Dashboard{DashboardBody: Sub(dashboard())})
}

func dashboard() string {
	type properties struct {
		Title   string  `json:"title"`
		Region  string  `json:"region"`
		View    string  `json:"view"`
		Stat    string  `json:"stat"`
		Period  int     `json:"period"`
		Metrics [][]any `json:"metrics"`
	}
	type widget struct {
		Type       string     `json:"type"`
		X          int        `json:"x"`
		Y          int        `json:"y"`
		Width      int        `json:"width"`
		Height     int        `json:"height"`
		Properties properties `json:"properties"`
	}
	graph := func(i int, title, stat string, metrics ...[]any) widget {
		return widget{"metric", i % 2 * 12, i / 2 * 6, 12, 6, properties{title, "${AWS::Region}", "timeSeries", stat, 60, metrics}}
	}
	balancer := []any{"LoadBalancer", "${LoadBalancer.LoadBalancerFullName}"}
	target := append(balancer[:2:2], "TargetGroup", "${TargetGroup.TargetGroupFullName}")
	metric := func(namespace, name string, dimensions []any) []any {
		return append([]any{namespace, name}, dimensions...)
	}
	return lines([]widget{
		graph(0, "Instances by health", "Maximum", metric("AWS/NetworkELB", "HealthyHostCount", target), metric("AWS/NetworkELB", "UnHealthyHostCount", target)),
		graph(1, "New connections", "Sum", metric("AWS/NetworkELB", "NewFlowCount", balancer)),
		graph(2, "Connections reset", "Sum", metric("AWS/NetworkELB", "TCP_Target_Reset_Count", balancer), metric("AWS/NetworkELB", "TCP_ELB_Reset_Count", balancer)),
		graph(3, "Processor", "Average", metric("AWS/EC2", "CPUUtilization", []any{"AutoScalingGroupName", "${Group}"})),
	})
}

// lines is a dashboard with one widget per line, so that a diff shows what changed.
func lines[W any](widgets []W) string {
	rows := make([]string, len(widgets))
	for i, w := range widgets {
		b, err := json.Marshal(w)
		if err != nil {
			panic(fmt.Sprintf("template: %v", err)) // built of texts and numbers
		}
		rows[i] = "  " + string(b)
	}
	return "{\"widgets\": [\n" + strings.Join(rows, ",\n") + "\n]}"
}
