package cloudformation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Limits of a template, as AWS documents them.
const (
	maxBody        = 51200
	maxResources   = 500
	maxParameters  = 200
	maxMappings    = 200
	maxOutputs     = 200
	maxDescription = 1024
)

// template is a parsed template. It is never changed after parse.
type template struct {
	Description string
	Version     string
	Metadata    any
	Parameters  map[string]*parameter
	Mappings    map[string]any
	Conditions  map[string]any
	Resources   map[string]*resource
	Outputs     map[string]*output
	order       []string // logical ids, dependencies first
}

type parameter struct {
	Name, Type, Description string
	Default                 *string
	Allowed                 []string
	Pattern, Constraint     string
	MinLength, MaxLength    *float64
	MinValue, MaxValue      *float64
	NoEcho                  bool
}

type resource struct {
	ID, Type, Condition           string
	Properties                    map[string]any
	Metadata                      any
	CreationPolicy, UpdatePolicy  any
	DeletionPolicy, ReplacePolicy string
	depends                       []string // explicit and by reference, sorted
}

type output struct {
	Description, Condition string
	Value, Export          any
}

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf("ValidationError", format, args...)
}

func badFormat(format string, args ...any) *wire.Error {
	return invalid("Template format error: "+format, args...)
}

// parsed keeps templates that were parsed: a step asks for the same one again and again.
var parsed struct {
	sync.Mutex
	byBody map[string]*template
}

// parse reads and checks a template. The error is what AWS answers.
func parse(body string) (*template, error) {
	parsed.Lock()
	t := parsed.byBody[body]
	parsed.Unlock()
	if t != nil {
		return t, nil
	}
	root, err := decode(body)
	if err != nil {
		return nil, err
	}
	if path := null("", root); path != "" {
		return nil, badFormat("[%s] 'null' values are not allowed in templates", path)
	}
	t, err = build(root)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	parsed.Lock()
	defer parsed.Unlock()
	if parsed.byBody == nil || len(parsed.byBody) > 64 {
		parsed.byBody = map[string]*template{}
	}
	parsed.byBody[body] = t
	return t, nil
}

var sections = []string{
	"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources", "Outputs",
}

// transforms are those that everybody has at AWS.
var transforms = []string{
	"AWS::CodeDeployBlueGreen", "AWS::Include", "AWS::LanguageExtensions", "AWS::SecretsManager-2020-07-23", "AWS::SecretsManager-2024-09-16",
	"AWS::Serverless-2016-10-31", "AWS::ServiceCatalog",
}

// transform is why a template with transforms is not taken: the lab has none.
func transform(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, x := range list {
		name := scalar(x)
		if m := asMap(x); m != nil {
			name = scalar(m["Name"])
		}
		if !slices.Contains(transforms, name) {
			return invalid("No transform named %s found.", name)
		}
	}
	return invalid("Transform %s failed with: this lab has no transforms.", scalar(list[0])+scalar(asMap(list[0])["Name"]))
}

var alphanumeric = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// build makes a template of decoded text.
func build(root map[string]any) (*template, error) {
	var unknown []string
	for k := range root {
		switch {
		case k == "Transform":
			return nil, transform(root[k])
		case k == "Rules" || k == "Hooks":
			return nil, badFormat("the section %s is not supported by this lab", k)
		case !slices.Contains(sections, k):
			unknown = append(unknown, k)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, invalid("Invalid template property or properties [%s]", strings.Join(unknown, ", "))
	}
	t := &template{
		Metadata: root["Metadata"], Parameters: map[string]*parameter{}, Mappings: map[string]any{},
		Conditions: map[string]any{}, Resources: map[string]*resource{}, Outputs: map[string]*output{},
	}
	if v, ok := root["AWSTemplateFormatVersion"]; ok {
		if t.Version = scalar(v); t.Version != "2010-09-09" {
			return nil, badFormat("Template format version %s is not supported. Supported versions: 2010-09-09", t.Version)
		}
	}
	if v, ok := root["Description"]; ok {
		s, isString := v.(string)
		if !isString {
			return nil, badFormat("Template Description must be a string")
		}
		if len(s) > maxDescription {
			return nil, badFormat("Template Description is too long: %d bytes, the limit is %d", len(s), maxDescription)
		}
		t.Description = s
	}
	for _, part := range []struct {
		name string
		into func(map[string]any) error
	}{
		{"Parameters", t.buildParameters},
		{"Mappings", t.buildMappings},
		{"Conditions", func(m map[string]any) error { maps.Copy(t.Conditions, m); return nil }},
		{"Resources", t.buildResources},
		{"Outputs", t.buildOutputs},
	} {
		v, ok := root[part.name]
		if !ok {
			continue
		}
		m, isMap := v.(map[string]any)
		if !isMap {
			if v == nil {
				continue
			}
			return nil, badFormat("Every %s object must be a map.", part.name)
		}
		if err := part.into(m); err != nil {
			return nil, err
		}
	}
	if len(t.Resources) == 0 {
		return nil, badFormat("At least one Resources member must be defined.")
	}
	return t, nil
}

func (t *template) buildMappings(m map[string]any) error {
	if len(m) > maxMappings {
		return badFormat("Number of mappings, %d, is greater than maximum allowed, %d", len(m), maxMappings)
	}
	for name, v := range m {
		top, ok := v.(map[string]any)
		if !ok {
			return badFormat("Every Mappings object must be a map, %s is not", name)
		}
		for key, second := range top {
			attributes, ok := second.(map[string]any)
			if !ok {
				return badFormat("Every Mappings attribute must be a map, %s.%s is not", name, key)
			}
			for k, x := range attributes {
				if _, isMap := x.(map[string]any); isMap {
					return badFormat("Every Mappings attribute must be a String or a List, %s.%s.%s is not", name, key, k)
				}
			}
		}
		t.Mappings[name] = top
	}
	return nil
}

var resourceKeys = []string{
	"Type", "Properties", "Metadata", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "CreationPolicy", "UpdatePolicy",
}

func (t *template) buildResources(m map[string]any) error {
	if len(m) > maxResources {
		return badFormat("Number of resources, %d, is greater than maximum allowed, %d", len(m), maxResources)
	}
	var unknown []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if !alphanumeric.MatchString(id) {
			return badFormat("Resource name %s is non alphanumeric.", id)
		}
		def, ok := m[id].(map[string]any)
		if !ok {
			return badFormat("[/Resources/%s] resource definition is malformed", id)
		}
		for k := range def {
			if !slices.Contains(resourceKeys, k) {
				return invalid("Invalid template resource property '%s'", k)
			}
		}
		r := &resource{
			ID: id, Metadata: def["Metadata"], CreationPolicy: def["CreationPolicy"], UpdatePolicy: def["UpdatePolicy"],
			DeletionPolicy: "Delete", ReplacePolicy: "Delete", Properties: map[string]any{},
		}
		if def["Type"] == typeDatabase {
			r.DeletionPolicy = "Snapshot" // the default of a database that is in no cluster
		}
		r.Type, ok = def["Type"].(string)
		if !ok {
			return badFormat("[/Resources/%s] Every Resources object must contain a Type member.", id)
		}
		if handlerOf(r.Type) == nil {
			unknown = append(unknown, r.Type)
			continue
		}
		if v, ok := def["Properties"]; ok && v != nil {
			if r.Properties, ok = v.(map[string]any); !ok {
				return badFormat("[/Resources/%s/Properties] Properties must be a map", id)
			}
		}
		if err := r.attributes(def); err != nil {
			return err
		}
		t.Resources[id] = r
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return badFormat("Unrecognized resource types: [%s]", strings.Join(slices.Compact(unknown), ", "))
	}
	return nil
}

// attributes reads what stands beside Type and Properties.
func (r *resource) attributes(def map[string]any) error {
	if v, ok := def["Condition"]; ok {
		if r.Condition, ok = v.(string); !ok {
			return badFormat("Every Condition member must be a string.")
		}
	}
	switch v := def["DependsOn"].(type) {
	case nil:
	case string:
		r.depends = append(r.depends, v)
	case []any:
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return badFormat("DependsOn must be a string or list of strings.")
			}
			r.depends = append(r.depends, s)
		}
	default:
		return badFormat("DependsOn must be a string or list of strings.")
	}
	for _, p := range []struct {
		key     string
		into    *string
		allowed []string
	}{
		{"DeletionPolicy", &r.DeletionPolicy, []string{"Delete", "Retain", "RetainExceptOnCreate", "Snapshot"}},
		{"UpdateReplacePolicy", &r.ReplacePolicy, []string{"Delete", "Retain", "Snapshot"}},
	} {
		v, ok := def[p.key]
		if !ok {
			continue
		}
		s, isString := v.(string)
		if !isString || !slices.Contains(p.allowed, s) {
			return badFormat("Unrecognized %s %s for resource %s", p.key, scalar(v), r.ID)
		}
		if s == "Snapshot" && !handlerOf(r.Type).snapshots {
			return invalid("Template error: resource type %s does not support deletion policy Snapshot", r.Type)
		}
		*p.into = s
	}
	for _, k := range []string{"CreationPolicy", "UpdatePolicy"} {
		v, ok := def[k]
		if !ok {
			continue
		}
		if _, isMap := v.(map[string]any); !isMap {
			return badFormat("%s of resource %s must be a map", k, r.ID)
		}
	}
	if r.UpdatePolicy != nil && r.Type != typeGroup {
		return badFormat("UpdatePolicy is not supported for resource type %s", r.Type)
	}
	if r.CreationPolicy != nil && !handlerOf(r.Type).signals {
		return invalid("CreationPolicy is not supported for resource type %s", r.Type)
	}
	return r.checkPolicies()
}

func (t *template) buildOutputs(m map[string]any) error {
	if len(m) > maxOutputs {
		return badFormat("Number of outputs, %d, is greater than maximum allowed, %d", len(m), maxOutputs)
	}
	for name, v := range m {
		if !alphanumeric.MatchString(name) {
			return badFormat("Output name %s is non alphanumeric.", name)
		}
		def, ok := v.(map[string]any)
		if !ok {
			return badFormat("Output %s is malformed.", name)
		}
		for k := range def {
			if !slices.Contains([]string{"Description", "Value", "Export", "Condition"}, k) {
				return invalid("Invalid template output property '%s'", k)
			}
		}
		value, ok := def["Value"]
		if !ok || value == nil {
			return badFormat("Output %s is malformed.", name)
		}
		o := &output{Value: value, Description: scalar(def["Description"]), Condition: scalar(def["Condition"])}
		if e, ok := def["Export"].(map[string]any); ok {
			o.Export = e["Name"]
		}
		t.Outputs[name] = o
	}
	return nil
}

// scalar is a scalar's text; "" for nil and for what is none.
func scalar(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case int:
		return strconv.Itoa(x)
	case int64:
		return strconv.FormatInt(x, 10)
	}
	return ""
}

// compact is a value as one line of JSON, without HTML escapes.
func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}
