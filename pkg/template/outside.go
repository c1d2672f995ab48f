package template

import (
	"fmt"

	"github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/awslabs/goformation/v7/cloudformation/route53"
)

// OutsideRegion is where Route 53 has the metrics of its health checks, and so where
// the alarms on them must be.
const OutsideRegion = "us-east-1"

// besideKey is metadata of a resource: templates of small stacks in other regions, by
// region, that watch the environment from there.
const besideKey = "Beside"

// HealthCheckID is the logical id of the health check of address n, counted from 1.
func HealthCheckID(n int) string { return fmt.Sprintf("HealthCheck%d", n) }

// outside has Route 53 ask for the page at each address. The alarms are here if this
// is the region for them; else their template goes with the first health check, so
// that whoever has this template has that one, too: in Git, in the stack, in the
// evidence, in a rollback.
func outside(t *Template, s Shape) {
	for i := range s.Zones {
		check := t.Add(HealthCheckID(i+1), &route53.HealthCheck{
			HealthCheckConfig: &route53.HealthCheck_HealthCheckConfig{
				Type: "HTTP", IPAddress: new(Ref(AddressID(i + 1))), Port: new(80), FullyQualifiedDomainName: new(Ref("Domain")), ResourcePath: new("/"),
				RequestInterval: new(30), FailureThreshold: new(3),
			},
			HealthCheckTags: []route53.HealthCheck_HealthCheckTag{{Key: "Name", Value: Sub(fmt.Sprintf("${AWS::StackName} address %d", i+1))}},
		})
		check.DependsOn = []string{GroupID} // before it nobody answers
	}
	if s.Region == OutsideRegion {
		outsideAlarms(t, s)
		return
	}
	small := &Template{
		Description: s.Site + ": alarms on what Route 53 sees of the page from outside",
		Parameters:  []Parameter{{ID: "Domain", Type: "String", Description: "Domain name of the page"}},
	}
	for i := range s.Zones {
		small.Parameters = append(small.Parameters, Parameter{ID: HealthCheckID(i + 1), Type: "String", Description: fmt.Sprintf("Health check of address %d", i+1)})
	}
	topics(small, s.Watch, TopicID)
	outsideAlarms(small, s)
	// No Sub in it: what looks like one in a text is a mistake to a linter.
	body, err := small.Body()
	if err != nil {
		panic(fmt.Sprintf("template: %v", err)) // built of names and numbers
	}
	t.Resource(HealthCheckID(1)).Metadata = map[string]any{metadataKey: map[string]any{besideKey: map[string]any{OutsideRegion: string(body)}}}
}

func outsideAlarms(t *Template, s Shape) {
	for i := range s.Zones {
		r := t.Add(fmt.Sprintf("Outside%d", i+1), &cloudwatch.Alarm{
			AlarmDescription: new(Join(" ", "Route 53 gets no page of", Ref("Domain"), fmt.Sprintf("at address %d", i+1))),
			Namespace:        new("AWS/Route53"), MetricName: new("HealthCheckStatus"),
			Dimensions: []cloudwatch.Alarm_Dimension{{Name: "HealthCheckId", Value: Ref(HealthCheckID(i + 1))}},
			Statistic:  new("Minimum"), ComparisonOperator: "LessThanThreshold", Threshold: new(1.0),
			Period: new(60), EvaluationPeriods: 2, DatapointsToAlarm: new(2), TreatMissingData: new("breaching"),
			AlarmActions: []string{Ref(TopicID)}, OKActions: []string{Ref(TopicID)},
		})
		r.Metadata = Unreachable.Metadata()
	}
}

// Beside are the templates of the small stacks that go with an environment's in other
// regions, by region. A parameter of one is the id of the environment's resource of
// that name, or the value of its parameter.
func Beside(body []byte) (map[string]string, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	resources := section(t, "Resources")
	for _, id := range keys(resources) {
		for region, b := range section(section(section(section(resources, id), "Metadata"), metadataKey), besideKey) {
			text, ok := b.(string)
			if !ok || out[region] != "" {
				return nil, fmt.Errorf("resource %s: metadata %s.%s.%s is no template, or not the only one", id, metadataKey, besideKey, region)
			}
			out[region] = text
		}
	}
	return out, nil
}

// ParametersOf are the names of a template's parameters.
func ParametersOf(body []byte) ([]string, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	return keys(section(t, "Parameters")), nil
}
