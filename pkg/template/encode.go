package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Body is the template as YAML: the same bytes for the same template. It does
// not check; see Check.
func (t *Template) Body() ([]byte, error) {
	top := object{{"AWSTemplateFormatVersion", "2010-09-09"}}
	if t.Description != "" {
		top = append(top, member{"Description", t.Description})
	}
	var section object
	seen := map[string]bool{}
	add := func(id string, v any) error {
		if seen[id] {
			return fmt.Errorf("%s is declared twice", id)
		}
		seen[id] = true
		section = append(section, member{id, v})
		return nil
	}
	end := func(name string) {
		if len(section) > 0 {
			top = append(top, member{name, section})
		}
		section = nil
	}
	for _, p := range t.Parameters {
		if err := add(p.ID, p.members()); err != nil {
			return nil, err
		}
	}
	end("Parameters")
	conditions := map[string]bool{}
	for _, c := range t.Conditions {
		if conditions[c.ID] {
			return nil, fmt.Errorf("condition %s is declared twice", c.ID)
		}
		conditions[c.ID] = true
		section = append(section, member{c.ID, c.Expr})
	}
	end("Conditions")
	for _, r := range t.Resources {
		ms, err := r.members()
		if err != nil {
			return nil, err
		}
		if err := add(r.ID, object(ms)); err != nil {
			return nil, err
		}
	}
	end("Resources")
	for _, o := range t.Outputs {
		v := object{{"Description", o.Description}, {"Value", o.Value}}
		if o.Condition != "" {
			v = append(object{{"Condition", o.Condition}}, v...)
		}
		section = append(section, member{o.ID, v})
	}
	end("Outputs")

	n, err := encode(top)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return air(b.Bytes()), nil
}

func (p Parameter) members() object {
	o := object{{"Type", p.Type}}
	if p.Default != nil {
		o = append(o, member{"Default", *p.Default})
	}
	if p.Description != "" {
		o = append(o, member{"Description", p.Description})
	}
	if p.AllowedPattern != "" {
		o = append(o, member{"AllowedPattern", p.AllowedPattern})
	}
	if p.ConstraintDescription != "" {
		o = append(o, member{"ConstraintDescription", p.ConstraintDescription})
	}
	if p.MinValue != 0 {
		o = append(o, member{"MinValue", p.MinValue})
	}
	if p.MaxValue != 0 {
		o = append(o, member{"MaxValue", p.MaxValue})
	}
	return o
}

// air puts an empty line before every section and every resource.
func air(b []byte) []byte {
	var out bytes.Buffer
	section, firstIn := "", false
	for i, l := range bytes.SplitAfter(b, []byte("\n")) {
		switch {
		case len(l) > 0 && l[0] >= 'A' && l[0] <= 'Z':
			if i > 1 {
				out.WriteByte('\n')
			}
			section, _, _ = strings.Cut(string(l), ":")
			firstIn = true
		case section == "Resources" && len(l) > 2 && l[0] == ' ' && l[1] == ' ' && l[2] != ' ':
			if !firstIn {
				out.WriteByte('\n')
			}
			firstIn = false
		}
		out.Write(l)
	}
	return out.Bytes()
}

// encode turns a value into a YAML node.
func encode(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case nil:
		return nil, fmt.Errorf("a value is missing")
	case string:
		if strings.HasPrefix(v, open) && strings.HasSuffix(v, closing) {
			return call(strings.TrimSuffix(strings.TrimPrefix(v, open), closing))
		}
		if strings.ContainsAny(v, open+closing) {
			return nil, fmt.Errorf("an intrinsic function inside a text: use Sub or Join (%q)", v)
		}
		return text(v), nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case object:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range v {
			inner, err := encode(m.value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
			n.Content = append(n.Content, text(m.name), inner)
		}
		return n, nil
	case map[string]any:
		var o object
		for k, inner := range v {
			o = append(o, member{k, inner})
		}
		sort.Slice(o, func(i, j int) bool { return o[i].name < o[j].name })
		return encode(o)
	case []string:
		l := make([]any, len(v))
		for i := range v {
			l[i] = v[i]
		}
		return encode(l)
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i, item := range v {
			inner, err := encode(item)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			n.Content = append(n.Content, inner)
		}
		return n, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	o, err := ordered(b)
	if err != nil {
		return nil, err
	}
	return encode(o)
}

func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

// call is an intrinsic function in its short form, or in its long one where
// YAML does not allow two short ones in a row.
func call(raw string) (*yaml.Node, error) {
	v, err := ordered([]byte(raw))
	if err != nil {
		return nil, fmt.Errorf("intrinsic function %s: %w", raw, err)
	}
	o, ok := v.(object)
	if !ok || len(o) != 1 {
		return nil, fmt.Errorf("intrinsic function %s is none", raw)
	}
	name, arg := o[0].name, o[0].value
	short := "!" + strings.TrimPrefix(name, "Fn::")
	if name == "Fn::GetAtt" {
		if l, ok := arg.([]any); ok && len(l) == 2 {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: short, Value: fmt.Sprintf("%v.%v", l[0], l[1])}, nil
		}
	}
	n, err := encode(arg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") || n.Kind == yaml.MappingNode {
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text(name), n}}, nil
	}
	n.Tag = short
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) <= 4:
		n.Style = yaml.FlowStyle | yaml.TaggedStyle
	case n.Kind == yaml.ScalarNode && n.Value == "":
		n.Style = yaml.DoubleQuotedStyle | yaml.TaggedStyle
	default:
		n.Style |= yaml.TaggedStyle
	}
	return n, nil
}
