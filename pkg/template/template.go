// Package template holds the environment as code: a CloudFormation template in
// goformation's types, rendered to YAML that is the same byte for byte each
// time, checked before anything is called, and edited in one line when a new
// image is to be deployed.
//
// Resources are goformation's (its subpackages; the root package would compile
// all of AWS). Where its types cannot say a thing, ours do: policies take a Ref
// and keep their zero values (RollingUpdate, Signal), and Resource.Set puts any
// value anywhere.
package template

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Template is a template under construction. Everything is rendered in the
// order it was added.
type Template struct {
	Description string
	Parameters  []Parameter
	Conditions  []Condition
	Resources   []*Resource
	Outputs     []Output
}

// Properties is a resource of one of goformation's subpackages.
type Properties interface{ AWSCloudFormationType() string }

// Resource is a resource with its attributes.
type Resource struct {
	ID         string
	Properties Properties
	Condition  string
	DependsOn  []string
	Metadata   map[string]any
	// Signals is the CreationPolicy of a group.
	Signals *Signals
	// Rolling is the UpdatePolicy of a group.
	Rolling *RollingUpdate
	// DeletionPolicy and UpdateReplacePolicy are Delete, Retain or Snapshot.
	DeletionPolicy, UpdateReplacePolicy string
	// Set overrides properties by their path ("LaunchTemplateData.BlockDeviceMappings.0.Ebs.VolumeSize"):
	// numbers and booleans of goformation's types cannot hold a Ref.
	Set map[string]any
}

// Signals is how many signals a new group waits for.
type Signals struct {
	Count   any // a number or a Ref
	Timeout string
}

// RollingUpdate is how a group's instances are replaced. Every field is
// rendered, zero or not.
type RollingUpdate struct {
	MaxBatchSize, MinInstancesInService any // numbers or Refs
	MinSuccessfulInstancesPercent       any
	PauseTime                           string
	WaitOnResourceSignals               bool
	SuspendProcesses                    []string
}

// Parameter of a template.
type Parameter struct {
	ID, Type, Description string
	Default               *string // nil: it must be given
	AllowedPattern        string
	ConstraintDescription string
	MinValue, MaxValue    int // of a Number; 0: none
}

// Condition of a template.
type Condition struct {
	ID   string
	Expr string // made by Equals, Not, …
}

// Output of a template.
type Output struct{ ID, Description, Value, Condition string }

// Add adds a resource and returns it.
func (t *Template) Add(id string, p Properties) *Resource {
	r := &Resource{ID: id, Properties: p}
	t.Resources = append(t.Resources, r)
	return r
}

// Resource is the resource of that logical id, nil if there is none.
func (t *Template) Resource(id string) *Resource {
	for _, r := range t.Resources {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Intrinsics are strings, so that they fit goformation's string fields: JSON
// between two control characters that no template needs.
const open, closing = "\x02", "\x03"

func intrinsic(name string, arg any) string {
	b, err := json.Marshal(map[string]any{name: arg})
	if err != nil {
		panic(fmt.Sprintf("template: %s of %v: %v", name, arg, err)) // arguments are strings and lists of them
	}
	return open + string(b) + closing
}

// Ref refers to a parameter or resource.
func Ref(id string) string { return intrinsic("Ref", id) }

// GetAtt is an attribute of a resource.
func GetAtt(id, attribute string) string { return intrinsic("Fn::GetAtt", []string{id, attribute}) }

// Sub fills in ${Name} and ${Name.Attribute}.
func Sub(format string) string { return intrinsic("Fn::Sub", format) }

// Join joins strings.
func Join(sep string, parts ...string) string {
	return intrinsic("Fn::Join", []any{sep, parts})
}

// Select is one of the values of a list.
func Select(i int, list string) string { return intrinsic("Fn::Select", []any{i, list}) }

// GetAZs are the region's availability zones.
func GetAZs() string { return intrinsic("Fn::GetAZs", "") }

// Base64 encodes a value, as user data needs it.
func Base64(value string) string { return intrinsic("Fn::Base64", value) }

// If is one of two values.
func If(condition string, yes, no any) string {
	return intrinsic("Fn::If", []any{condition, yes, no})
}

// Equals is a condition.
func Equals(a, b string) string { return intrinsic("Fn::Equals", []string{a, b}) }

// Not is a condition.
func Not(condition string) string { return intrinsic("Fn::Not", []string{condition}) }

// resource is the resource as ordered JSON members.
func (r *Resource) members() ([]member, error) {
	raw, err := json.Marshal(r.Properties)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.ID, err)
	}
	var given struct {
		Type                                           string
		Properties, Metadata, CreationPolicy           json.RawMessage
		UpdatePolicy                                   json.RawMessage
		DependsOn                                      []string
		DeletionPolicy, UpdateReplacePolicy, Condition string
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, fmt.Errorf("%s: %w", r.ID, err)
	}
	if given.CreationPolicy != nil || given.UpdatePolicy != nil {
		return nil, fmt.Errorf("%s: goformation's policies lose zeros and cannot hold a Ref, use Resource.Signals and Resource.Rolling", r.ID)
	}
	if err := vanished(r.ID, r.Properties); err != nil {
		return nil, err
	}
	ms := []member{{"Type", given.Type}}
	add := func(name string, v any, present bool) {
		if present {
			ms = append(ms, member{name, v})
		}
	}
	condition := first(r.Condition, given.Condition)
	add("Condition", condition, condition != "")
	depends := append(slices.Clone(r.DependsOn), given.DependsOn...)
	add("DependsOn", depends, len(depends) > 0)
	add("Metadata", r.Metadata, len(r.Metadata) > 0)
	add("Metadata", given.Metadata, len(r.Metadata) == 0 && given.Metadata != nil)
	if s := r.Signals; s != nil {
		add("CreationPolicy", object{{"ResourceSignal", object{{"Count", s.Count}, {"Timeout", s.Timeout}}}}, true)
	}
	if u := r.Rolling; u != nil {
		add("UpdatePolicy", object{{"AutoScalingRollingUpdate", object{
			{"MaxBatchSize", u.MaxBatchSize},
			{"MinInstancesInService", u.MinInstancesInService},
			{"MinSuccessfulInstancesPercent", u.MinSuccessfulInstancesPercent},
			{"PauseTime", u.PauseTime},
			{"WaitOnResourceSignals", u.WaitOnResourceSignals},
			{"SuspendProcesses", u.SuspendProcesses},
		}}}, true)
	}
	deletion := first(r.DeletionPolicy, given.DeletionPolicy)
	add("DeletionPolicy", deletion, deletion != "")
	replace := first(r.UpdateReplacePolicy, given.UpdateReplacePolicy)
	add("UpdateReplacePolicy", replace, replace != "")
	properties, err := ordered(given.Properties)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.ID, err)
	}
	paths := make([]string, 0, len(r.Set))
	for path := range r.Set {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if properties, err = set(properties, strings.Split(path, "."), r.Set[path]); err != nil {
			return nil, fmt.Errorf("%s: set %s: %w", r.ID, path, err)
		}
	}
	if o, ok := properties.(object); !ok || len(o) > 0 {
		ms = append(ms, member{"Properties", properties})
	}
	return ms, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
