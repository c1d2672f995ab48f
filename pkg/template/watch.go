package template

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/awslabs/goformation/v7/cloudformation/sns"
)

// Logical ids of what watches an environment.
const (
	TopicID     = "Topic"     // of the page alarm: somebody gets up
	TicketsID   = "Tickets"   // of all other alarms: somebody looks at it tomorrow
	PageID      = "Page"      // the alarm over the others that wakes somebody
	DeployID    = "Deploying" // fires while a release is under way, and holds the page back
	DashboardID = "Dashboard"
)

// The metrics that the chain publishes itself, each with the dimension Stack.
const (
	Namespace       = "Chain"
	MetricDeploying = "Deploying" // 1 in each minute of a release

	MetricImageAge     = "AmiAgeDays"
	MetricBackupAge    = "BackupAgeHours" // of the newest snapshot of the database
	MetricRehearsal    = "RehearsalSeconds"
	MetricRelease      = "ReleaseSeconds"
	MetricAvailability = "AvailabilityPercent" // of requests that were answered while production changed
)

const inProduction = "IsThisDomain"

// Watch is what an environment's alarms need besides its resources.
type Watch struct {
	Domain  string   // whose environment tells people; a test stack, which has another, tells nobody
	Page    []string // mail addresses and https URLs that are told what wakes somebody
	Tickets []string // likewise, of everything else
	Runbook string   // URL, shown on the dashboard; "" is none
	// ImageAge and BackupAge are how old production's image and the newest snapshot of its
	// database may get; 0: 30 days and 26 hours.
	ImageAge, BackupAge time.Duration
}

// endpoint is how SNS reaches one of them.
func endpoint(to string) (protocol, address string) {
	if strings.HasPrefix(to, "https://") {
		return "https", to
	}
	return "email", to
}

// topics are where alarms are told, and who hears it there.
func topics(t *Template, w Watch, ids ...string) {
	var all []string
	for _, id := range ids {
		what := map[string]string{TopicID: "alarms", TicketsID: "tickets"}[id]
		t.Add(id, &sns.Topic{DisplayName: new(Join(" ", Ref("AWS::StackName"), what))})
		all = append(all, Ref(id))
	}
	t.Add("TopicPolicy", &sns.TopicPolicy{
		Topics: all,
		PolicyDocument: object{
			{"Version", "2012-10-17"},
			{"Statement", []any{object{
				{"Sid", "Alarms"},
				{"Effect", "Allow"},
				{"Principal", object{{"Service", "cloudwatch.amazonaws.com"}}},
				{"Action", "sns:Publish"},
				{"Resource", all},
				{"Condition", object{{"StringEquals", object{{"AWS:SourceAccount", Ref("AWS::AccountId")}}}}},
			}}},
		},
	})
	told := map[string][]string{TopicID: w.Page, TicketsID: w.Tickets}
	for _, topic := range ids {
		for i, to := range told[topic] {
			if !slices.ContainsFunc(t.Conditions, func(c Condition) bool { return c.ID == inProduction }) {
				t.Conditions = append(t.Conditions, Condition{inProduction, Equals(Ref("Domain"), w.Domain)})
			}
			protocol, address := endpoint(to)
			t.Add(fmt.Sprintf("%sSubscription%d", topic, i+1), &sns.Subscription{
				TopicArn: Ref(topic), Protocol: protocol, Endpoint: new(address),
			}).Condition = inProduction
		}
	}
}

func watch(t *Template, s Shape) {
	topics(t, s.Watch, TopicID, TicketsID)
	targets := []cloudwatch.Alarm_Dimension{
		{Name: "LoadBalancer", Value: GetAtt(LoadBalancerID, "LoadBalancerFullName")},
		{Name: "TargetGroup", Value: GetAtt(TargetGroupID, "TargetGroupFullName")},
	}
	instances := []cloudwatch.Alarm_Dimension{{Name: "AutoScalingGroupName", Value: Ref(GroupID)}}
	// Alarms come after the group, whose instances are in service then: so missing
	// data may count as trouble from their first minute on.
	alarm := func(id string, c Cause, trigger bool, a cloudwatch.Alarm) {
		a.AlarmActions, a.OKActions = []string{Ref(TicketsID)}, []string{Ref(TicketsID)}
		if len(a.Metrics) == 0 {
			a.Period = new(60)
		}
		a.DatapointsToAlarm = new(a.EvaluationPeriods)
		r := t.Add(id, &a)
		if len(a.Dimensions) == len(targets) {
			r.DependsOn = []string{GroupID} // the others refer to it
		}
		r.Metadata = c.Metadata()
		if trigger {
			r.Metadata = Trigger(c)
		}
	}
	alarm("NoHealthyHost", Unreachable, true, cloudwatch.Alarm{
		AlarmDescription: new("No instance answers the balancer's health check"),
		Namespace:        new("AWS/NetworkELB"), MetricName: new("HealthyHostCount"), Dimensions: targets,
		Statistic: new("Maximum"), ComparisonOperator: "LessThanThreshold", Threshold: new(1.0),
		EvaluationPeriods: 2, TreatMissingData: new("breaching"),
	})
	// The balancer's zones count each for itself; what the least of them says is true.
	alarm("UnhealthyHosts", Unreachable, false, cloudwatch.Alarm{
		AlarmDescription: new("An instance has failed the balancer's health check for five minutes"),
		Namespace:        new("AWS/NetworkELB"), MetricName: new("UnHealthyHostCount"), Dimensions: targets,
		Statistic: new("Minimum"), ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		EvaluationPeriods: 5, TreatMissingData: new("notBreaching"),
	})
	alarm("StatusCheckFailed", Hang, true, cloudwatch.Alarm{
		AlarmDescription: new("An instance or its host has failed EC2's status check"),
		Namespace:        new("AWS/EC2"), MetricName: new("StatusCheckFailed"), Dimensions: instances,
		Statistic: new("Maximum"), ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		EvaluationPeriods: 2, TreatMissingData: new("notBreaching"),
	})
	// A roll starts machines, which takes a minute of their processors, not five.
	alarm("HighCpu", Busy, true, cloudwatch.Alarm{
		AlarmDescription: new("The instances have been busy for five minutes"),
		Namespace:        new("AWS/EC2"), MetricName: new("CPUUtilization"), Dimensions: instances,
		Statistic: new("Average"), ComparisonOperator: "GreaterThanThreshold", Threshold: new(80.0),
		EvaluationPeriods: 5, TreatMissingData: new("notBreaching"),
	})
	count := func(id, name string) cloudwatch.Alarm_MetricDataQuery {
		return cloudwatch.Alarm_MetricDataQuery{Id: id, ReturnData: new(false), MetricStat: &cloudwatch.Alarm_MetricStat{
			Metric: &cloudwatch.Alarm_Metric{Namespace: new("AWS/AutoScaling"), MetricName: new(name), Dimensions: instances},
			Period: 60, Stat: "Minimum",
		}}
	}
	alarm("GroupShort", Gone, false, cloudwatch.Alarm{
		AlarmDescription: new("The group has had fewer instances in service than it wants for ten minutes"),
		Metrics: []cloudwatch.Alarm_MetricDataQuery{
			count("wanted", "GroupDesiredCapacity"), count("serving", "GroupInServiceInstances"),
			{Id: "short", Expression: new("wanted - serving"), Label: new("Instances short"), ReturnData: new(true)},
		},
		ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		EvaluationPeriods: 10, TreatMissingData: new("breaching"),
	})
	deploying(t)
	stale(t, "ImageOld", MetricImageAge, "The image is old", s.Watch.ImageAge, 30*24*time.Hour, 24*time.Hour)
	if s.Database {
		stale(t, "BackupOld", MetricBackupAge, "The newest snapshot of the database is old", s.Watch.BackupAge, 26*time.Hour, time.Hour).Condition = hasDatabase
	}
	page := t.Add(PageID, &cloudwatch.CompositeAlarm{
		AlarmDescription: new("Users are not served, or soon will not be"),
		AlarmRule:        Sub(`ALARM("${NoHealthyHost}") OR (ALARM("${UnhealthyHosts}") AND ALARM("${GroupShort}"))`),
		AlarmActions:     []string{Ref(TopicID)}, OKActions: []string{Ref(TopicID)},
		// A release takes back by itself what it breaks. What is broken after it, or
		// once nobody has told of a release for a minute, wakes somebody.
		ActionsSuppressor: new(GetAtt(DeployID, "Arn")), ActionsSuppressorWaitPeriod: new(60), ActionsSuppressorExtensionPeriod: new(120),
	})
	page.Metadata = Parts.Metadata()
	t.Add(DashboardID, &cloudwatch.Dashboard{DashboardBody: Sub(dashboard(s))})
}

// stale is the alarm on an age that the chain publishes, in units of time: it fires when
// it is too much, and when nobody has told it for a day.
func stale(t *Template, id, metric, what string, limit, usual, unit time.Duration) *Resource {
	if limit == 0 {
		limit = usual
	}
	r := t.Add(id, &cloudwatch.Alarm{
		AlarmDescription: new(what + ", or nobody has told its age for a day (./station.sh monitor:publish)"),
		Namespace:        new(Namespace), MetricName: new(metric),
		Dimensions: []cloudwatch.Alarm_Dimension{{Name: "Stack", Value: Ref("AWS::StackName")}},
		Statistic:  new("Maximum"), ComparisonOperator: "GreaterThanThreshold", Threshold: new(limit.Hours() / unit.Hours()),
		Period: new(3600), EvaluationPeriods: 24, DatapointsToAlarm: new(24), TreatMissingData: new("breaching"),
		AlarmActions: []string{Ref(TicketsID)}, OKActions: []string{Ref(TicketsID)},
	})
	r.Metadata = Silence(0).Metadata()
	return r
}

// deploying is the alarm that tells nobody: whoever releases says so each minute,
// and once he is dead it goes out by itself.
func deploying(t *Template) {
	r := t.Add(DeployID, &cloudwatch.Alarm{
		AlarmDescription: new("A release is under way; the page is held back"),
		Namespace:        new(Namespace), MetricName: new(MetricDeploying),
		Dimensions: []cloudwatch.Alarm_Dimension{{Name: "Stack", Value: Ref("AWS::StackName")}},
		Statistic:  new("Maximum"), ComparisonOperator: "GreaterThanOrEqualToThreshold", Threshold: new(1.0),
		Period: new(60), EvaluationPeriods: 1, TreatMissingData: new("notBreaching"),
	})
	r.Metadata = Data(1).Metadata()
}
