package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// dashboard is what a person on call opens first: is something firing, are users
// served, by how many instances, was there a release.
func dashboard(s Shape) string {
	type note = map[string]any
	balancer := []any{"LoadBalancer", "${LoadBalancer.LoadBalancerFullName}"}
	target := append(balancer[:2:2], "TargetGroup", "${TargetGroup.TargetGroupFullName}")
	group := []any{"AutoScalingGroupName", "${Group}"}
	metric := func(namespace, name string, dimensions []any, options note) []any {
		m := append([]any{namespace, name}, dimensions...)
		if options != nil {
			m = append(m, options)
		}
		return m
	}
	graph := func(i int, title, stat string, metrics ...[]any) object {
		return place("metric", i%2*12, 3+i/2*6, 12, 6, object{
			{"title", title}, {"region", "${AWS::Region}"}, {"view", "timeSeries"}, {"stat", stat}, {"period", 60}, {"metrics", metrics},
		})
	}
	text := "# ${AWS::StackName}\n[http://${Domain}/](http://${Domain}/)"
	if w := s.Watch; w.Runbook != "" {
		text += " · [runbook](" + w.Runbook + ")"
	}
	own := []any{"Stack", "${AWS::StackName}"}
	var seen [][]any
	for i := range s.Zones {
		seen = append(seen, metric("AWS/Route53", "HealthCheckStatus", []any{"HealthCheckId", "${" + HealthCheckID(i+1) + "}"}, note{"label": fmt.Sprintf("address %d", i+1)}))
	}
	return lines([]object{
		place("text", 0, 0, 6, 3, object{{"markdown", text}}),
		place("alarm", 6, 0, 18, 3, object{
			{"title", "Alarms"},
			{"alarms", []string{
				"${" + PageID + ".Arn}", "${NoHealthyHost.Arn}", "${UnhealthyHosts.Arn}", "${GroupShort.Arn}", "${StatusCheckFailed.Arn}", "${HighCpu.Arn}", "${ImageOld.Arn}", "${" + DeployID + ".Arn}",
			}},
		}),
		graph(0, "Connections, and releases", "Sum",
			metric("AWS/NetworkELB", "NewFlowCount", balancer, note{"label": "new"}),
			metric("AWS/NetworkELB", "ActiveFlowCount", balancer, note{"label": "open at once", "stat": "Maximum"}),
			metric(Namespace, MetricDeploying, []any{"Stack", "${AWS::StackName}"}, note{"label": "release", "stat": "Maximum", "yAxis": "right", "color": "#9467bd"})),
		graph(1, "Instances by health", "Maximum",
			metric("AWS/NetworkELB", "HealthyHostCount", target, note{"label": "healthy", "color": "#2ca02c"}),
			metric("AWS/NetworkELB", "UnHealthyHostCount", target, note{"label": "unhealthy", "stat": "Minimum", "color": "#d62728"})),
		graph(2, "Instances wanted and in service", "Minimum",
			metric("AWS/AutoScaling", "GroupDesiredCapacity", group, note{"label": "wanted"}),
			metric("AWS/AutoScaling", "GroupInServiceInstances", group, note{"label": "in service"})),
		graph(3, "Processor", "Average",
			metric("AWS/EC2", "CPUUtilization", group, note{"label": "average"}),
			metric("AWS/EC2", "CPUUtilization", group, note{"label": "busiest", "stat": "Maximum"})),
		graph(4, "Connections reset", "Sum",
			metric("AWS/NetworkELB", "TCP_Target_Reset_Count", balancer, note{"label": "by instances"}),
			metric("AWS/NetworkELB", "TCP_ELB_Reset_Count", balancer, note{"label": "by the balancer"})),
		graph(5, "Status checks that fail", "Maximum",
			metric("AWS/EC2", "StatusCheckFailed_Instance", group, note{"label": "instance"}),
			metric("AWS/EC2", "StatusCheckFailed_System", group, note{"label": "host"})),
		place("metric", 0, 21, 12, 6, object{
			{"title", "Page seen from outside"}, {"region", OutsideRegion}, {"view", "timeSeries"}, {"stat", "Minimum"}, {"period", 60}, {"metrics", seen},
		}),
		graph(7, "Days of the image, and seconds of rehearsals and releases", "Maximum",
			metric(Namespace, MetricImageAge, own, note{"label": "image, days"}),
			metric(Namespace, MetricBackupAge, own, note{"label": "backup, hours"}),
			metric(Namespace, MetricRehearsal, own, note{"label": "rehearsal", "yAxis": "right"}),
			metric(Namespace, MetricRelease, own, note{"label": "release", "yAxis": "right"}),
			metric(Namespace, MetricAvailability, own, note{"label": "answered, percent"})),
	})
}

func place(kind string, x, y, width, height int, properties object) object {
	return object{{"type", kind}, {"x", x}, {"y", y}, {"width", width}, {"height", height}, {"properties", properties}}
}

// lines is a dashboard with one widget per line, so that a diff shows what changed.
func lines(widgets []object) string {
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

// The documented structure of a dashboard's body (CloudWatch API Reference,
// "Dashboard Body Structure and Syntax"): members by kind of widget, those that
// MUST be there first.
var widgets = map[string]struct{ needed, may []string }{
	"metric": {[]string{"region"}, []string{
		"metrics", "title", "view", "stat", "period", "stacked", "annotations", "yAxis", "legend", "liveData", "sparkline", "timezone",
		"setPeriodToTimeRange", "singleValueFullPrecision", "trend", "accountId", "start", "end", "table", "labels",
	}},
	"text":     {[]string{"markdown"}, []string{"background"}},
	"alarm":    {[]string{"alarms"}, []string{"title", "sortBy", "states"}},
	"log":      {[]string{"region", "query"}, []string{"title", "view", "stacked", "accountId", "queryLanguage"}},
	"explorer": {[]string{"metrics", "aggregateBy", "labels", "widgetOptions", "period", "splitBy"}, []string{"title"}},
	"custom":   {[]string{"endpoint"}, []string{"title", "params", "updateOn"}},
}

var (
	bodyMembers   = []string{"start", "end", "periodOverride", "widgets", "variables"}
	widgetMembers = []string{"type", "x", "y", "width", "height", "properties", "isSummary"}
	metricOptions = []string{"color", "expression", "id", "label", "period", "region", "stat", "visible", "yAxis", "accountId", "searchAccount"}
	views         = []string{"timeSeries", "singleValue", "gauge", "bar", "pie", "table"}
	statistic     = regexp.MustCompile(`^(SampleCount|Average|Sum|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)\d{1,2}(\.\d+)?|p100|(TM|WM|PR|TC|TS)\([^)]*\))$`)
)

// CheckDashboard refuses a dashboard's body that CloudWatch would not show as it
// was meant: it takes most of what it does not know, and leaves it out. ${Name}
// stands for some text. Its error names every fault by its widget, from 1 on.
func CheckDashboard(body string) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal([]byte(holes.ReplaceAllString(body, "x")), &top); err != nil {
		return fmt.Errorf("is not JSON: %w", err)
	}
	c := &dashboardCheck{}
	c.known("", top, bodyMembers)
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(top["widgets"], &list); err != nil {
		c.fault("widgets", "is no list of widgets")
	}
	if len(list) > 500 {
		c.fault("widgets", "are %d, CloudWatch takes 500", len(list))
	}
	for i, w := range list {
		c.widget(fmt.Sprintf("widget %d", i+1), w)
	}
	return errors.Join(c.faults...)
}

type dashboardCheck struct{ faults []error }

func (c *dashboardCheck) fault(at, format string, args ...any) {
	c.faults = append(c.faults, errors.New(strings.TrimPrefix(at+": ", ": ")+fmt.Sprintf(format, args...)))
}

func (c *dashboardCheck) known(at string, m map[string]json.RawMessage, members []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(members, k) {
			c.fault(at, "there is no member %q, but %s", k, strings.Join(members, ", "))
		}
	}
}

func (c *dashboardCheck) widget(at string, w map[string]json.RawMessage) {
	c.known(at, w, widgetMembers)
	var kind string
	_ = json.Unmarshal(w["type"], &kind)
	shape, is := widgets[kind]
	if !is {
		c.fault(at, "type is %s, not one of %s", orNothing(w["type"]), strings.Join(slices.Sorted(maps.Keys(widgets)), ", "))
		return
	}
	size := map[string]int{"width": 6, "height": 6}
	for _, of := range []struct {
		name      string
		low, high int
	}{{"x", 0, 23}, {"y", 0, 1 << 30}, {"width", 1, 24}, {"height", 1, 1000}} {
		raw, given := w[of.name]
		if !given {
			continue
		}
		var n int
		if json.Unmarshal(raw, &n) != nil || n < of.low || n > of.high {
			c.fault(at, "%s is %s, not %d to %d", of.name, raw, of.low, of.high)
			continue
		}
		size[of.name] = n
	}
	if size["x"]+size["width"] > 24 {
		c.fault(at, "goes over the right edge: x %d and width %d are more than 24", size["x"], size["width"])
	}
	var p map[string]json.RawMessage
	if json.Unmarshal(w["properties"], &p) != nil {
		c.fault(at, "properties is %s, not an object", orNothing(w["properties"]))
		return
	}
	for _, k := range shape.needed {
		if p[k] == nil {
			c.fault(at, "properties.%s is missing", k)
		}
	}
	c.known(at+": properties", p, append(shape.needed, shape.may...))
	if kind == "metric" {
		c.metric(at+": properties", p)
	}
	if kind == "alarm" {
		var arns []string
		if json.Unmarshal(p["alarms"], &arns) != nil || len(arns) == 0 || len(arns) > 100 {
			c.fault(at, "properties.alarms is no list of 1 to 100 ARNs")
		}
	}
}

func (c *dashboardCheck) metric(at string, p map[string]json.RawMessage) {
	text := func(name string) (string, bool) {
		var s string
		return s, p[name] != nil && json.Unmarshal(p[name], &s) == nil
	}
	if p["view"] != nil {
		var v string
		if json.Unmarshal(p["view"], &v) != nil || !slices.Contains(views, v) {
			c.fault(at, "view is %s, not one of %s", p["view"], strings.Join(views, ", "))
		}
	}
	_, _ = text("title")
	c.stat(at, p["stat"])
	if p["metrics"] == nil && p["annotations"] == nil {
		c.fault(at, "has neither metrics nor annotations")
		return
	}
	if p["metrics"] == nil {
		return
	}
	var rows [][]json.RawMessage
	if json.Unmarshal(p["metrics"], &rows) != nil {
		c.fault(at, "metrics is no list of lists")
		return
	}
	for i, row := range rows {
		c.row(fmt.Sprintf("%s.metrics[%d]", at, i), row)
	}
}

func (c *dashboardCheck) stat(at string, raw json.RawMessage) {
	var s string
	if raw != nil && (json.Unmarshal(raw, &s) != nil || !statistic.MatchString(s)) {
		c.fault(at, "stat is %s, which is no statistic", raw)
	}
}

// row is a metric: namespace, name, dimensions in pairs, options; or an expression.
func (c *dashboardCheck) row(at string, row []json.RawMessage) {
	var options map[string]json.RawMessage
	if n := len(row); n > 0 && json.Unmarshal(row[n-1], &options) == nil {
		row = row[:n-1]
		c.known(at, options, metricOptions)
		c.stat(at, options["stat"])
		if side := string(options["yAxis"]); side != "" && side != `"left"` && side != `"right"` {
			c.fault(at, "yAxis is %s, not left or right", side)
		}
	}
	if len(row) == 0 && options["expression"] != nil {
		return
	}
	for _, raw := range row {
		var s string
		if json.Unmarshal(raw, &s) != nil || s == "" {
			c.fault(at, "%s is no text", raw)
			return
		}
	}
	if len(row) < 2 || len(row)%2 != 0 {
		c.fault(at, "needs a namespace, a name, and dimensions in pairs, and has %d texts", len(row))
	}
}

func orNothing(raw json.RawMessage) string {
	if raw == nil {
		return "missing"
	}
	return string(raw)
}
