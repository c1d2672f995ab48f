// Package schema knows the resource types of the lab's CloudFormation: their
// properties, what is required, what cannot change without replacement, and
// what Fn::GetAtt may ask. The tables are generated, see gen.
package schema

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed types.json
var tables []byte

var load = sync.OnceValue(func() map[string]*Type {
	m := map[string]*Type{}
	if err := json.Unmarshal(tables, &m); err != nil {
		panic("generated schema tables: " + err.Error())
	}
	for name, t := range m {
		t.Name = name
	}
	return m
})

// Type is one resource type.
type Type struct {
	Name        string `json:"-"`
	Properties  map[string]*Shape
	Definitions map[string]*Shape
	Required    []string
	RequiredXor []string
	CreateOnly  []string // changing one replaces the resource
	Conditional []string // changing one may replace it
	ReadOnly    []string
	Identifier  []string
	Attributes  []string // what Fn::GetAtt knows
	Tags        string   // property that holds tags, "" for none
}

// Shape is the schema of a value.
type Shape struct {
	Type              any    // a name or several
	Ref               string `json:"$ref"`
	Items             *Shape
	Properties        map[string]*Shape
	PatternProperties map[string]*Shape
	Required          []string
	RequiredXor       []string
	Enum              []any
	Pattern           string
	Additional        *bool `json:"additionalProperties"`
	Minimum, Maximum  *float64
	MinLength         *int
	MaxLength         *int
	MinItems          *int
	MaxItems          *int
	InsertionOrder    *bool // false: a set
}

// Lookup finds a resource type; nil if the lab does not know it.
func Lookup(name string) *Type { return load()[name] }

// Names of all resource types, sorted.
func Names() []string { return slices.Sorted(maps.Keys(load())) }

// Attribute says whether Fn::GetAtt may ask for name.
func (t *Type) Attribute(name string) bool { return slices.Contains(t.Attributes, name) }

// Recreation tells what a change of a property does to the resource: "Always"
// replaces it, "Conditionally" may, "Never" does not.
func (t *Type) Recreation(property string) string {
	switch {
	case slices.Contains(t.CreateOnly, property):
		return "Always"
	case slices.Contains(t.Conditional, property):
		return "Conditionally"
	default:
		return "Never"
	}
}

// Unknown stands in a value for what is not known yet. Nothing is demanded of it.
const Unknown = "{{changeSet:KNOWN_AFTER_APPLY}}"

// Problem is one fault of a resource's properties.
type Problem struct {
	Path string // "/Properties/MaxSize"
	Text string // "#/MaxSize: expected type: String, found: JSONArray"
}

// Check tells every fault of resolved properties.
func (t *Type) Check(properties map[string]any) []Problem {
	c := checker{t: t}
	closed := false
	c.object("#", "", &Shape{Properties: t.Properties, Required: t.Required, RequiredXor: t.RequiredXor, Additional: &closed}, properties)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(t.ReadOnly, name) {
			c.add("#", "/"+name, "Encountered unsupported properties in {/}: ["+name+"]")
		}
	}
	return c.problems
}

type checker struct {
	t        *Type
	problems []Problem
}

func (c *checker) add(at, path, text string) {
	c.problems = append(c.problems, Problem{Path: "/Properties" + path, Text: at + ": " + text})
}

func (c *checker) resolve(s *Shape) *Shape {
	for s != nil && s.Ref != "" {
		s = c.t.Definitions[s.Ref]
	}
	return s
}

func (c *checker) value(at, path string, s *Shape, v any) {
	s = c.resolve(s)
	if x, ok := v.(string); s == nil || v == nil || ok && strings.Contains(x, Unknown) {
		return
	}
	kinds := s.kinds()
	if len(kinds) == 0 {
		return
	}
	for _, k := range kinds {
		if fits(k, v) {
			c.constraints(at, path, k, s, v)
			return
		}
	}
	c.add(at, path, fmt.Sprintf("expected type: %s, found: %s", strings.ToUpper(kinds[0][:1])+kinds[0][1:], found(v)))
}

func (s *Shape) kinds() []string {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var l []string
		for _, x := range t {
			l = append(l, fmt.Sprint(x))
		}
		return l
	}
	if s.Properties != nil {
		return []string{"object"}
	}
	return nil
}

// fits is as lenient as CloudFormation: numbers and booleans may be strings and the other way round.
func fits(kind string, v any) bool {
	switch x := v.(type) {
	case string:
		switch kind {
		case "string", "json":
			return true
		case "integer":
			f, err := strconv.ParseFloat(x, 64)
			return err == nil && f == math.Trunc(f)
		case "number":
			_, err := strconv.ParseFloat(x, 64)
			return err == nil
		case "boolean":
			return x == "true" || x == "false"
		}
	case bool:
		return kind == "boolean" || kind == "string"
	case float64:
		return kind == "number" || kind == "string" || kind == "integer" && x == math.Trunc(x)
	case int, int64:
		return kind == "number" || kind == "string" || kind == "integer"
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object" || kind == "json"
	}
	return false
}

func found(v any) string {
	switch v.(type) {
	case string:
		return "String"
	case bool:
		return "Boolean"
	case []any:
		return "JSONArray"
	case map[string]any:
		return "JSONObject"
	default:
		return "Integer"
	}
}

func (c *checker) constraints(at, path, kind string, s *Shape, v any) {
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return text(e) == text(v) }) {
		c.add(at, path, fmt.Sprintf("%s is not a valid enum value", text(v)))
		return
	}
	switch kind {
	case "object":
		if m, ok := v.(map[string]any); ok {
			c.object(at, path, s, m)
		}
	case "array":
		l := v.([]any)
		if s.MinItems != nil && len(l) < *s.MinItems {
			c.add(at, path, fmt.Sprintf("expected minimum item count: %d, found: %d", *s.MinItems, len(l)))
		}
		if s.MaxItems != nil && len(l) > *s.MaxItems {
			c.add(at, path, fmt.Sprintf("expected maximum item count: %d, found: %d", *s.MaxItems, len(l)))
		}
		for i, x := range l {
			c.value(fmt.Sprintf("%s/%d", at, i), fmt.Sprintf("%s/%d", path, i), s.Items, x)
		}
	case "string":
		x := text(v)
		if s.Pattern != "" {
			if re, err := regexp.Compile(s.Pattern); err == nil && !re.MatchString(x) {
				c.add(at, path, fmt.Sprintf("failed validation constraint for keyword [pattern]: %s does not match %s", x, s.Pattern))
			}
		}
		if s.MinLength != nil && len(x) < *s.MinLength {
			c.add(at, path, fmt.Sprintf("expected minLength: %d, actual: %d", *s.MinLength, len(x)))
		}
		if s.MaxLength != nil && len(x) > *s.MaxLength {
			c.add(at, path, fmt.Sprintf("expected maxLength: %d, actual: %d", *s.MaxLength, len(x)))
		}
	case "integer", "number":
		f, err := strconv.ParseFloat(text(v), 64)
		if err != nil {
			return
		}
		if s.Minimum != nil && f < *s.Minimum {
			c.add(at, path, fmt.Sprintf("%s is not greater or equal to %v", text(v), *s.Minimum))
		}
		if s.Maximum != nil && f > *s.Maximum {
			c.add(at, path, fmt.Sprintf("%s is not less or equal to %v", text(v), *s.Maximum))
		}
	}
}

func (c *checker) object(at, path string, s *Shape, m map[string]any) {
	for _, name := range s.Required {
		if _, ok := m[name]; !ok {
			c.add(at, path, "required key ["+name+"] not found")
		}
	}
	if len(s.RequiredXor) > 0 {
		n := 0
		for _, name := range s.RequiredXor {
			if _, ok := m[name]; ok {
				n++
			}
		}
		if n != 1 {
			c.add(at, path, fmt.Sprintf("exactly one of [%s] is required, found %d", strings.Join(s.RequiredXor, ", "), n))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		p := s.Properties[name]
		if p == nil {
			for re, x := range s.PatternProperties {
				if ok, err := regexp.MatchString(re, name); err == nil && ok {
					p = x
				}
			}
		}
		if p == nil {
			if s.Additional != nil && !*s.Additional {
				c.add(at, path+"/"+name, "extraneous key ["+name+"] is not permitted")
			}
			continue
		}
		c.value(at+"/"+name, path+"/"+name, p, m[name])
	}
}

// text is a scalar as CloudFormation writes it.
func text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}

// Canonical makes two spellings of the same properties equal: scalars become
// the type the schema names, and lists without order are sorted.
func (t *Type) Canonical(properties map[string]any) map[string]any {
	out := make(map[string]any, len(properties))
	for name, v := range properties {
		out[name] = t.canonical(t.Properties[name], v)
	}
	return out
}

func (t *Type) canonical(s *Shape, v any) any {
	for s != nil && s.Ref != "" {
		s = t.Definitions[s.Ref]
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			var sub *Shape
			if s != nil {
				sub = s.Properties[k]
			}
			out[k] = t.canonical(sub, y)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, y := range x {
			var sub *Shape
			if s != nil {
				sub = s.Items
			}
			out[i] = t.canonical(sub, y)
		}
		if s != nil && s.InsertionOrder != nil && !*s.InsertionOrder {
			key := func(v any) string { b, _ := json.Marshal(v); return string(b) }
			slices.SortStableFunc(out, func(a, b any) int { return strings.Compare(key(a), key(b)) })
		}
		return out
	}
	if v == nil {
		return nil
	}
	return text(v)
}
