package template

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// maxBody is CloudFormation's limit for a template that is sent with the call.
const maxBody = 51200

// Problems is everything that Check finds.
type Problems []string

// Error tells every problem, one per line.
func (p Problems) Error() string {
	return "the template is not sound:\n" + strings.Join(p, "\n")
}

// Check refuses a template that CloudFormation would refuse later, or would
// take and do something else than was written: references to what is not
// there, dependencies in a circle, values that vanished, a group whose roll
// would fall back to a default, more than 51,200 bytes. Its error is Problems.
func Check(body []byte) error {
	t, err := load(body)
	if err != nil {
		return Problems{err.Error()}
	}
	c := &checker{
		parameters: section(t, "Parameters"), conditions: section(t, "Conditions"), resources: section(t, "Resources"),
		mappings: section(t, "Mappings"), used: map[string]bool{}, edges: map[string]map[string]bool{},
	}
	if len(body) > maxBody {
		c.problem("size", "is %d bytes, CloudFormation takes %d", len(body), maxBody)
	}
	for _, name := range keys(t) {
		if !slices.Contains([]string{"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Rules", "Transform"}, name) {
			c.problem(name, "is no section of a template")
		}
	}
	if len(c.resources) == 0 {
		c.problem("Resources", "there are none")
	}
	for _, id := range keys(c.parameters) {
		c.parameter(id)
	}
	for _, id := range keys(c.conditions) {
		c.in = ""
		c.visit("Conditions."+id, c.conditions[id])
	}
	for _, id := range keys(c.resources) {
		c.resource(id)
	}
	c.in = ""
	outputs := section(t, "Outputs")
	for _, id := range keys(outputs) {
		at := "Outputs." + id
		o, _ := outputs[id].(map[string]any)
		if o["Value"] == nil {
			c.problem(at, "has no Value")
		}
		c.condition(at, o["Condition"])
		c.visit(at, outputs[id])
	}
	for _, id := range keys(c.parameters) {
		if !c.used[id] {
			c.problem("Parameters."+id, "is used nowhere")
		}
	}
	c.circles()
	c.beside(body)
	if len(c.found) > 0 {
		return c.found
	}
	return nil
}

// beside checks the templates of other regions that this one carries, and that their
// parameters are known here.
func (c *checker) beside(body []byte) {
	all, err := Beside(body)
	if err != nil {
		c.problem("Resources", "%v", err)
	}
	for _, region := range slices.Sorted(maps.Keys(all)) {
		var bad Problems
		if errors.As(Check([]byte(all[region])), &bad) {
			for _, p := range bad {
				c.problem("the alarms of "+region, "%s", p)
			}
		}
		t, err := load([]byte(all[region]))
		if err != nil {
			continue
		}
		for _, id := range keys(section(t, "Parameters")) {
			if c.parameters[id] == nil && c.resources[id] == nil {
				c.problem("the alarms of "+region+".Parameters."+id, "the environment has no such parameter or resource")
			}
		}
	}
}

type checker struct {
	parameters, conditions, resources, mappings map[string]any

	used  map[string]bool
	edges map[string]map[string]bool // what a resource needs first
	in    string                     // the resource that is visited
	found Problems
}

func (c *checker) problem(at, format string, args ...any) {
	c.found = append(c.found, at+": "+fmt.Sprintf(format, args...))
}

func section(t map[string]any, name string) map[string]any {
	m, _ := t[name].(map[string]any)
	return m
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

var logicalID = regexp.MustCompile(`^[A-Za-z0-9]{1,255}$`)

func (c *checker) parameter(id string) {
	at := "Parameters." + id
	p, ok := c.parameters[id].(map[string]any)
	if !ok || p["Type"] == nil {
		c.problem(at, "has no Type")
		return
	}
	if !logicalID.MatchString(id) {
		c.problem(at, "is no logical id: letters and digits alone")
	}
	if _, both := c.resources[id]; both {
		c.problem(at, "is a resource too")
	}
}

func (c *checker) resource(id string) {
	at := "Resources." + id
	r, ok := c.resources[id].(map[string]any)
	if !ok {
		c.problem(at, "is not a mapping")
		return
	}
	kind, _ := r["Type"].(string)
	if !strings.Contains(kind, "::") {
		c.problem(at, "has no Type")
	}
	if !logicalID.MatchString(id) {
		c.problem(at, "is no logical id: letters and digits alone")
	}
	c.in, c.edges[id] = id, map[string]bool{}
	for _, name := range keys(r) {
		switch name {
		case "Type", "Metadata":
		case "Condition":
			c.condition(at, r[name])
		case "DependsOn":
			c.dependsOn(at, r[name])
		case "DeletionPolicy", "UpdateReplacePolicy":
			if p, _ := r[name].(string); !slices.Contains([]string{"Delete", "Retain", "Snapshot", "RetainExceptOnCreate"}, p) {
				c.problem(at+"."+name, "is %v", r[name])
			}
		case "Properties", "CreationPolicy", "UpdatePolicy":
			c.visit(at+"."+name, r[name])
		default:
			c.problem(at+"."+name, "is no attribute of a resource")
		}
	}
	switch kind {
	case "AWS::AutoScaling::AutoScalingGroup":
		c.rolls(at, r)
	case typeAlarm, typeComposite:
		if _, err := causeOf(r, kind); err != nil {
			c.problem(at, "%v", err)
		}
	case typeDashboard:
		body := section(r, "Properties")["DashboardBody"]
		if sub, ok := body.(map[string]any); ok {
			body = sub["Fn::Sub"]
		}
		if text, ok := body.(string); ok {
			if err := CheckDashboard(text); err != nil {
				c.problem(at+".Properties.DashboardBody", "%v", err)
			}
		}
	}
}

// rolls tells what a group's policies do not say: CloudFormation's defaults for
// it would replace instances without waiting for them.
func (c *checker) rolls(at string, r map[string]any) {
	signal := section(section(r, "CreationPolicy"), "ResourceSignal")
	for _, name := range []string{"Count", "Timeout"} {
		if signal[name] == nil {
			c.problem(at+".CreationPolicy.ResourceSignal."+name, "is missing or vanished")
		}
	}
	roll := section(section(r, "UpdatePolicy"), "AutoScalingRollingUpdate")
	for _, name := range []string{"MaxBatchSize", "MinInstancesInService", "MinSuccessfulInstancesPercent", "PauseTime", "WaitOnResourceSignals", "SuspendProcesses"} {
		if roll[name] == nil {
			c.problem(at+".UpdatePolicy.AutoScalingRollingUpdate."+name, "is missing or vanished")
		}
	}
	if w, ok := roll["WaitOnResourceSignals"]; ok && w != true {
		c.problem(at+".UpdatePolicy.AutoScalingRollingUpdate.WaitOnResourceSignals", "is %v: the roll would not wait for its instances", w)
	}
	version := section(section(r, "Properties"), "LaunchTemplate")["Version"]
	if s, ok := version.(string); ok && strings.HasPrefix(s, "$") {
		c.problem(at+".Properties.LaunchTemplate.Version", "is %s, which CloudFormation does not take", s)
	}
}

func (c *checker) dependsOn(at string, v any) {
	ids, ok := v.([]any)
	if !ok {
		ids = []any{v}
	}
	for _, id := range ids {
		s, _ := id.(string)
		if c.resources[s] == nil {
			c.problem(at+".DependsOn", "there is no resource %v", id)
			continue
		}
		c.edges[c.in][s] = true
	}
}

func (c *checker) condition(at string, v any) {
	if v == nil {
		return
	}
	if s, _ := v.(string); c.conditions[s] == nil {
		c.problem(at, "there is no condition %v", v)
	}
}

var pseudo = []string{
	"AWS::AccountId", "AWS::NotificationARNs", "AWS::NoValue", "AWS::Partition", "AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix",
}

func (c *checker) ref(at, how, id string) {
	switch {
	case slices.Contains(pseudo, id):
	case c.parameters[id] != nil:
		c.used[id] = true
	case c.resources[id] != nil:
		c.needs(id)
	default:
		c.problem(at, "%s %s: there is no such parameter or resource", how, id)
	}
}

func (c *checker) attribute(at, id, attribute string) {
	if c.resources[id] == nil {
		c.problem(at, "GetAtt %s.%s: there is no such resource", id, attribute)
		return
	}
	c.needs(id)
}

func (c *checker) needs(id string) {
	if c.in != "" {
		c.edges[c.in][id] = true
	}
}

func (c *checker) visit(at string, v any) {
	switch v := v.(type) {
	case nil:
		c.problem(at, "is empty: the value vanished")
	case string:
		if strings.ContainsAny(v, open+closing) {
			c.problem(at, "holds an intrinsic function inside a text")
		}
	case []any:
		if len(v) == 0 {
			c.problem(at, "is an empty list: its items vanished")
		}
		for i, item := range v {
			c.visit(fmt.Sprintf("%s[%d]", at, i), item)
		}
	case map[string]any:
		if len(v) == 0 {
			c.problem(at, "is an empty mapping: its members vanished")
		}
		if len(v) == 1 {
			for name, arg := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") || name == "Condition" && strings.HasPrefix(at, "Conditions.") {
					c.function(at, name, arg)
					return
				}
			}
		}
		for _, k := range keys(v) {
			c.visit(at+"."+k, v[k])
		}
	}
}

var functions = []string{
	"Fn::And", "Fn::Base64", "Fn::Cidr", "Fn::Equals", "Fn::FindInMap", "Fn::GetAZs", "Fn::If", "Fn::ImportValue", "Fn::Join", "Fn::Length",
	"Fn::Not", "Fn::Or", "Fn::Select", "Fn::Split", "Fn::Sub", "Fn::ToJsonString", "Fn::Transform", "Fn::ForEach",
}

func (c *checker) function(at, name string, arg any) {
	list, _ := arg.([]any)
	str := func(i int) string {
		if i < len(list) {
			s, _ := list[i].(string)
			return s
		}
		return ""
	}
	switch name {
	case "Ref":
		s, ok := arg.(string)
		if !ok {
			c.problem(at, "Ref of %v", arg)
			return
		}
		c.ref(at, "Ref", s)
		return
	case "Condition":
		c.condition(at, arg)
		return
	case "Fn::GetAtt":
		if len(list) != 2 || str(0) == "" {
			c.problem(at, "GetAtt needs a resource and an attribute")
			return
		}
		c.attribute(at, str(0), str(1))
		return
	case "Fn::Sub":
		c.sub(at, arg)
		return
	case "Fn::GetAZs":
		if arg == "" {
			return
		}
	case "Fn::If":
		if len(list) != 3 {
			c.problem(at, "If needs a condition and two values")
			return
		}
		c.condition(at, list[0])
		list = list[1:]
		arg = list
	case "Fn::FindInMap":
		if m := str(0); m != "" && c.mappings[m] == nil {
			c.problem(at, "there is no mapping %s", m)
		}
	case "Fn::Equals":
		if len(list) != 2 {
			c.problem(at, "Equals needs two values")
		}
	default:
		if !slices.Contains(functions, name) {
			c.problem(at, "there is no function %s", name)
			return
		}
	}
	c.visit(at, arg)
}

var holes = regexp.MustCompile(`\$\{([^}]*)\}`)

func (c *checker) sub(at string, arg any) {
	var own map[string]any
	format, ok := arg.(string)
	if list, isList := arg.([]any); isList && len(list) == 2 {
		format, ok = list[0].(string)
		own, _ = list[1].(map[string]any)
		for _, k := range keys(own) {
			c.visit(at+"."+k, own[k])
		}
	}
	if !ok {
		c.problem(at, "Sub of %v", arg)
		return
	}
	for _, m := range holes.FindAllStringSubmatch(format, -1) {
		hole := strings.TrimSpace(m[1])
		if strings.HasPrefix(hole, "!") {
			continue
		}
		if _, mine := own[hole]; mine {
			continue
		}
		if id, attribute, dotted := strings.Cut(hole, "."); dotted {
			c.attribute(at, id, attribute)
			continue
		}
		c.ref(at, "Sub", hole)
	}
}

// circles tells dependencies that lead back to where they began.
func (c *checker) circles() {
	const (
		fresh = iota
		under
		done
	)
	state := map[string]int{}
	var path []string
	var walk func(id string) bool
	walk = func(id string) bool {
		switch state[id] {
		case done:
			return false
		case under:
			at := slices.Index(path, id)
			c.problem("Resources", "depend on each other in a circle: %s", strings.Join(append(path[at:], id), " -> "))
			return true
		}
		state[id] = under
		path = append(path, id)
		next := slices.Sorted(maps.Keys(c.edges[id]))
		if slices.ContainsFunc(next, walk) {
			return true
		}
		path = path[:len(path)-1]
		state[id] = done
		return false
	}
	_ = slices.ContainsFunc(keys(c.resources), walk) // the first circle is enough
}

// CheckParameters refuses values that do not fit the template: unknown ones,
// missing ones, and ImageId, which is never sent. Nor need any other parameter
// that names an image.
func CheckParameters(body []byte, values map[string]string) error {
	t, err := load(body)
	if err != nil {
		return err
	}
	declared := section(t, "Parameters")
	var problems Problems
	for id := range values {
		if id == imageID {
			problems = append(problems, "ImageId: is never sent, its default is what runs")
		} else if declared[id] == nil {
			problems = append(problems, id+": the template has no such parameter")
		}
	}
	for _, id := range keys(declared) {
		p, _ := declared[id].(map[string]any)
		if _, given := values[id]; !given && p["Default"] == nil {
			problems = append(problems, id+": the template needs a value for it")
		} else if !given && id != imageID && p["Type"] != imageType {
			problems = append(problems, id+": every parameter is sent but those of images")
		}
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		return problems
	}
	return nil
}

// Triggers are the logical ids of the alarms that may roll an update back.
func Triggers(body []byte) ([]string, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	var ids []string
	resources := section(t, "Resources")
	for _, id := range keys(resources) {
		r, _ := resources[id].(map[string]any)
		if section(section(r, "Metadata"), metadataKey)[triggerKey] == true {
			ids = append(ids, id)
		}
	}
	if len(ids) > 5 {
		return nil, errors.New("CloudFormation watches at most 5 alarms: " + strings.Join(ids, ", "))
	}
	return ids, nil
}
