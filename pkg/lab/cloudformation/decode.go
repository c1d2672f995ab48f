package cloudformation

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// decode turns JSON or YAML into maps, lists and scalars, short forms into long ones.
func decode(body string) (map[string]any, error) {
	if len(body) > maxBody {
		return nil, invalid("1 validation error detected: Value '%s' at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to %d", body, maxBody)
	}
	if strings.HasPrefix(strings.TrimSpace(body), "{") {
		var v any
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			at := d.InputOffset()
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				at = syntax.Offset - 1 // the offset is behind the sign that is wrong
			}
			line, column := position(body, at)
			return nil, badFormat("JSON not well-formed. (line %d, column %d)", line, column)
		}
		m, ok := numbers(v).(map[string]any)
		if !ok {
			return nil, badFormat("unsupported structure.")
		}
		return m, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(body), &doc); err != nil {
		line := 1
		if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		return nil, badFormat("YAML not well-formed. (line %d, column 1)", line)
	}
	if len(doc.Content) == 0 {
		return nil, badFormat("unsupported structure.")
	}
	v, err := fromYAML(doc.Content[0])
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, badFormat("unsupported structure.")
	}
	return m, nil
}

func position(body string, offset int64) (line, column int) {
	before := body[:min(int(offset), len(body))]
	line = strings.Count(before, "\n") + 1
	return line, len(before) - strings.LastIndex(before, "\n")
}

// numbers turns JSON's numbers into the YAML reader's.
func numbers(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, y := range x {
			x[k] = numbers(y)
		}
	case []any:
		for i, y := range x {
			x[i] = numbers(y)
		}
	case json.Number:
		if f, err := x.Float64(); err == nil {
			return f
		}
		return x.String()
	}
	return v
}

// null is the path of the first value that is null; "" for none. An empty
// section is none: it counts as absent.
func null(path string, v any) string {
	switch x := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if x[k] == nil {
				if path == "" || k == "Properties" || k == "Metadata" {
					continue
				}
				return path + "/" + k
			}
			if p := null(path+"/"+k, x[k]); p != "" {
				return p
			}
		}
	case []any:
		for i, y := range x {
			at := fmt.Sprintf("%s/%d", path, i)
			if y == nil {
				return at
			}
			if p := null(at, y); p != "" {
				return p
			}
		}
	}
	return ""
}

// shortForms are the YAML tags and the functions they stand for.
var shortForms = map[string]string{
	"!Ref": "Ref", "!Condition": "Condition", "!Sub": "Fn::Sub", "!GetAtt": "Fn::GetAtt", "!Join": "Fn::Join",
	"!Select": "Fn::Select", "!Split": "Fn::Split", "!If": "Fn::If", "!Equals": "Fn::Equals", "!Not": "Fn::Not",
	"!And": "Fn::And", "!Or": "Fn::Or", "!FindInMap": "Fn::FindInMap", "!GetAZs": "Fn::GetAZs",
	"!Base64": "Fn::Base64", "!Cidr": "Fn::Cidr", "!ImportValue": "Fn::ImportValue",
}

func fromYAML(n *yaml.Node) (any, error) {
	v, err := plainYAML(n)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return v, nil
	}
	fn, ok := shortForms[n.Tag]
	if !ok {
		return nil, badFormat("YAML not well-formed. (line %d, column %d) the tag %s is unknown", n.Line, n.Column, n.Tag)
	}
	if s, isString := v.(string); isString && fn == "Fn::GetAtt" {
		name, attribute, _ := strings.Cut(s, ".")
		v = []any{name, attribute}
	}
	return map[string]any{fn: v}, nil
}

func plainYAML(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return nil, badFormat("YAML aliases are not allowed in CloudFormation templates")
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, badFormat("YAML not well-formed. (line %d, column %d)", key.Line, key.Column)
			}
			if _, twice := m[key.Value]; twice {
				return nil, badFormat("YAML not well-formed. (line %d, column %d) duplicate key %s", key.Line, key.Column, key.Value)
			}
			v, err := fromYAML(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		l := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := fromYAML(c)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		return l, nil
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err == nil {
			return b, nil
		}
	case "!!int":
		// A number with leading zeros (an account id) stays as it is written.
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil && strconv.FormatInt(i, 10) == n.Value {
			return float64(i), nil
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == n.Value {
			return f, nil
		}
	}
	return n.Value, nil
}
