package cloudwatch

import (
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const pointsKept = 1000 // of a metric put by hand

// measure is what a metric of the lab is now; has is false if there is no data.
func measure(tx *core.Tx, namespace, name string, dimensions map[string]string) (v float64, has bool) {
	switch namespace {
	case "AWS/NetworkELB":
		return measureTargets(tx, name, dimensions)
	case "AWS/AutoScaling":
		return measureGroup(tx, name, dimensions["AutoScalingGroupName"])
	case "AWS/EC2":
		return measureChecks(tx, name, dimensions)
	case "AWS/Route53":
		return measureOutside(tx, name, dimensions["HealthCheckId"])
	}
	return 0, false
}

// measureTargets counts targets of a load balancer. A target group that has none has no data.
func measureTargets(tx *core.Tx, name string, dimensions map[string]string) (float64, bool) {
	wanted := map[string]string{"HealthyHostCount": "healthy", "UnHealthyHostCount": "unhealthy"}[name]
	if wanted == "" || dimensions["LoadBalancer"] == "" {
		return 0, false
	}
	groups := map[string]bool{}
	for _, l := range tx.Region.Listeners {
		suffix := strings.HasSuffix(l.LoadBalancer, ":loadbalancer/"+dimensions["LoadBalancer"])
		if tg := dimensions["TargetGroup"]; suffix && (tg == "" || strings.HasSuffix(l.TargetGroup, ":"+tg)) {
			groups[l.TargetGroup] = true
		}
	}
	var count, all float64
	for arn := range groups {
		tg := tx.Region.TargetGroups[arn]
		if tg == nil {
			continue
		}
		for _, t := range tg.Targets {
			i := tx.Region.Instances[t.ID]
			zone := dimensions["AvailabilityZone"]
			if t.State == "draining" || t.State == "unused" || zone != "" && (i == nil || i.AZ != zone) {
				continue
			}
			all++
			if t.State == wanted {
				count++
			}
		}
	}
	return count, all > 0
}

// measureGroup tells the numbers of a group that collects its metrics.
func measureGroup(tx *core.Tx, name, group string) (float64, bool) {
	g := tx.Region.Groups[group]
	if g == nil || !slices.Contains(g.Metrics, name) {
		return 0, false
	}
	var service, pending, leaving int64
	for _, m := range g.Members {
		switch {
		case m.Lifecycle == "InService":
			service++
		case strings.HasPrefix(m.Lifecycle, "Terminating"):
			leaving++
		default:
			pending++
		}
	}
	v, known := map[string]int64{
		"GroupMinSize": g.Min, "GroupMaxSize": g.Max, "GroupDesiredCapacity": g.Desired, "GroupInServiceInstances": service,
		"GroupPendingInstances": pending, "GroupTerminatingInstances": leaving, "GroupTotalInstances": service + pending + leaving,
		"GroupStandbyInstances": 0, "GroupInServiceCapacity": service, "GroupPendingCapacity": pending,
		"GroupTerminatingCapacity": leaving, "GroupTotalCapacity": service + pending + leaving, "GroupStandbyCapacity": 0,
	}[name]
	return float64(v), known
}

// measureChecks tells the worst status check of an instance or a group's instances.
func measureChecks(tx *core.Tx, name string, dimensions map[string]string) (v float64, has bool) {
	if name != "StatusCheckFailed" && name != "StatusCheckFailed_Instance" && name != "StatusCheckFailed_System" {
		return 0, false
	}
	for _, i := range tx.Region.Instances {
		ours := dimensions["InstanceId"] != "" && i.ID == dimensions["InstanceId"] ||
			dimensions["AutoScalingGroupName"] != "" && i.Group == dimensions["AutoScalingGroupName"]
		if !ours || i.State != "running" {
			continue
		}
		has = true
		if name != "StatusCheckFailed_System" && i.InstanceStatus == "impaired" || name != "StatusCheckFailed_Instance" && i.SystemStatus == "impaired" {
			v = 1
		}
	}
	return v, has
}

// measureOutside tells what a health check of Route 53 found, in us-east-1 only.
func measureOutside(tx *core.Tx, name, id string) (v float64, has bool) {
	h := tx.World.Checks[id]
	if h == nil || tx.Region.Name != "us-east-1" || !h.Observed {
		return 0, false
	}
	most := map[string]float64{"HealthCheckStatus": 1, "HealthCheckPercentageHealthy": 100}[name]
	if h.Bad {
		return 0, most > 0
	}
	return most, most > 0
}

func metricKey(namespace, name string, dimensions map[string]string) string {
	var b strings.Builder
	b.WriteString(namespace + "\n" + name)
	for _, k := range sortedKeys(dimensions) {
		b.WriteString("\n" + k + "=" + dimensions[k])
	}
	return b.String()
}

func toMap(dimensions []Dimension) map[string]string {
	m := map[string]string{}
	for _, d := range dimensions {
		m[d.Name] = d.Value
	}
	return m
}

// custom sums up what was put by hand of a metric from one moment to another.
func custom(tx *core.Tx, namespace, name string, dimensions map[string]string, from, to time.Time) state.Point {
	out := state.Point{Start: from}
	m := tx.Region.Metrics[metricKey(namespace, name, dimensions)]
	if m == nil {
		return out
	}
	for _, p := range m.Points {
		if p.Start.Before(from) || !p.Start.Before(to) {
			continue
		}
		if out.Samples == 0 {
			out.Min, out.Max = p.Min, p.Max
		}
		out.Min, out.Max = min(out.Min, p.Min), max(out.Max, p.Max)
		out.Sum += p.Sum
		out.Samples += p.Samples
	}
	return out
}

// PutMetricData keeps data points of a metric of the caller's own.
func PutMetricData(tx *core.Tx, in *PutMetricDataInput) (*PutMetricDataOutput, error) {
	if in.Namespace == "" || strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, invalid("The value AWS/ for parameter Namespace is invalid, and it must not be empty")
	}
	for _, d := range in.MetricData {
		switch {
		case d.MetricName == "":
			return nil, invalid("MetricName is required")
		case (d.Value == nil) == (len(d.Values) == 0):
			return nil, invalid("The lab takes either Value or Values of a metric datum")
		case len(d.Counts) > 0 && len(d.Counts) != len(d.Values):
			return nil, invalid("Values and Counts must have the same length")
		}
	}
	for _, d := range in.MetricData {
		p := state.Point{Start: tx.Now}
		if d.Timestamp != nil {
			p.Start = *d.Timestamp
		}
		values := d.Values
		if d.Value != nil {
			values = []float64{*d.Value}
		}
		p.Min, p.Max = values[0], values[0]
		for k, v := range values {
			count := 1.0
			if len(d.Counts) > 0 {
				count = d.Counts[k]
			}
			p.Min, p.Max = min(p.Min, v), max(p.Max, v)
			p.Sum += v * count
			p.Samples += int64(count)
		}
		key := metricKey(in.Namespace, d.MetricName, toMap(d.Dimensions))
		m := tx.Region.Metrics[key]
		if m == nil {
			m = &state.Metric{Namespace: in.Namespace, Name: d.MetricName, Dimensions: toMap(d.Dimensions)}
			tx.Region.Metrics[key] = m
		}
		m.Points = append(m.Points, p)
		slices.SortStableFunc(m.Points, func(a, b state.Point) int { return a.Start.Compare(b.Start) })
		if over := len(m.Points) - pointsKept; over > 0 {
			m.Points = slices.Delete(m.Points, 0, over)
		}
	}
	tx.Changed()
	return &PutMetricDataOutput{}, nil
}

// GetMetricData tells metrics of a time range by their periods.
func GetMetricData(tx *core.Tx, in *GetMetricDataInput) (*GetMetricDataOutput, error) {
	if !in.EndTime.After(in.StartTime) {
		return nil, invalid("The parameter EndTime must be greater than StartTime")
	}
	out := &GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		if q.MetricStat == nil {
			return nil, invalid("The lab has no metric math: query '%s' needs MetricStat", q.Id)
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		s := q.MetricStat
		period := time.Duration(number(s.Period, 60)) * time.Second
		if period <= 0 || !slices.Contains(statistics, s.Stat) {
			return nil, invalid("Query '%s': Period must be positive and Stat one of %v", q.Id, statistics)
		}
		r := MetricDataResult{Id: q.Id, Label: q.Label, StatusCode: "Complete"}
		if r.Label == "" {
			r.Label = s.Metric.MetricName
		}
		for _, p := range seen(tx, s.Metric, in.StartTime, in.EndTime, period) {
			r.Timestamps = append(r.Timestamps, p.Start)
			r.Values = append(r.Values, statistic(p, s.Stat))
		}
		if in.ScanBy != "TimestampAscending" {
			slices.Reverse(r.Timestamps)
			slices.Reverse(r.Values)
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, out.cut(tx, in)
}

// cut leaves one page of the values. A result that goes on behind it is partial.
func (out *GetMetricDataOutput) cut(tx *core.Tx, in *GetMetricDataInput) error {
	type value struct{ result, at int }
	var all []value
	for r := range out.MetricDataResults {
		for k := range out.MetricDataResults[r].Values {
			all = append(all, value{r, k})
		}
	}
	key := func(v value) string {
		r := out.MetricDataResults[v.result]
		return r.Id + " " + r.Timestamps[v.at].Format(time.RFC3339)
	}
	page, next, err := core.Page(tx, all, key, in.MaxDatapoints, 100_800, in.NextToken)
	if err != nil {
		return err
	}
	whole := out.MetricDataResults
	out.MetricDataResults, out.NextToken = nil, next
	for r, result := range whole {
		result.Timestamps, result.Values = nil, nil
		for _, v := range page {
			if v.result == r {
				result.Timestamps = append(result.Timestamps, whole[r].Timestamps[v.at])
				result.Values = append(result.Values, whole[r].Values[v.at])
			}
		}
		if next != "" && r >= page[len(page)-1].result && len(whole[r].Values) > 0 {
			result.StatusCode = "PartialData"
		}
		out.MetricDataResults = append(out.MetricDataResults, result)
	}
	return nil
}
