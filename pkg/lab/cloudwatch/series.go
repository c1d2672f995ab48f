package cloudwatch

import (
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// measurable are the metrics of AWS that the lab can measure now.
func measurable(tx *core.Tx) (all []Metric) {
	add := func(namespace string, names []string, pairs ...string) {
		for _, name := range names {
			m := Metric{Namespace: namespace, MetricName: name}
			for k := 0; k < len(pairs); k += 2 {
				m.Dimensions = append(m.Dimensions, Dimension{Name: pairs[k], Value: pairs[k+1]})
			}
			all = append(all, m)
		}
	}
	for _, arn := range sortedKeys(tx.Region.Listeners) {
		l := tx.Region.Listeners[arn]
		_, balancer, _ := strings.Cut(l.LoadBalancer, ":loadbalancer/")
		group := l.TargetGroup[strings.LastIndex(l.TargetGroup, ":")+1:]
		add("AWS/NetworkELB", []string{"HealthyHostCount", "UnHealthyHostCount"}, "LoadBalancer", balancer, "TargetGroup", group)
	}
	if tx.Region.Name == "us-east-1" {
		for _, id := range sortedKeys(tx.World.Checks) {
			add("AWS/Route53", []string{"HealthCheckStatus", "HealthCheckPercentageHealthy"}, "HealthCheckId", id)
		}
	}
	checks := []string{"StatusCheckFailed", "StatusCheckFailed_Instance", "StatusCheckFailed_System"}
	for _, name := range sortedKeys(tx.Region.Groups) {
		add("AWS/AutoScaling", tx.Region.Groups[name].Metrics, "AutoScalingGroupName", name)
		add("AWS/EC2", checks, "AutoScalingGroupName", name)
	}
	for _, id := range sortedKeys(tx.Region.Instances) {
		if tx.Region.Instances[id].State == "running" {
			add("AWS/EC2", checks, "InstanceId", id)
		}
	}
	return all
}

// keep writes down what the metrics are now, for graphs, and drops series of what is
// long gone. Alarms look for themselves, at every change of the world.
func keep(tx *core.Tx) {
	old := tx.Now.Add(-tx.Scale(seriesKept * measureEvery))
	for key, m := range tx.Region.Metrics {
		if n := len(m.Points); n > 0 && strings.HasPrefix(m.Namespace, "AWS/") && m.Points[n-1].Start.Before(old) {
			delete(tx.Region.Metrics, key)
		}
	}
	for _, m := range measurable(tx) {
		dimensions := toMap(m.Dimensions)
		if v, has := measure(tx, m.Namespace, m.MetricName, dimensions); has {
			Record(tx, m.Namespace, m.MetricName, dimensions, state.Point{Start: tx.Now, Min: v, Max: v, Sum: v, Samples: 1})
		}
	}
}
