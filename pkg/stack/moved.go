package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Moved is what one template says and another does not, in words for people:
// by path, from -> to, in the order of the sections that CloudFormation has.
// Comments, the order of keys, quotes, indentation, and short or long forms of a
// function are no difference. nil: both say the same.
func Moved(before, after string) []string {
	b, okB := tree(before)
	a, okA := tree(after)
	if !okB || !okA {
		if before == after {
			return nil
		}
		return []string{"the template is another text, and no YAML: " + firstDifference(before, after)}
	}
	var m moved
	m.compare("", b, a)
	slices.SortStableFunc(m.out, func(x, y place) int { return section(x.path) - section(y.path) })
	var out []string
	for _, f := range m.out {
		out = append(out, f.path+": "+f.what)
	}
	return out
}

// sections of a template in the order in which a change of them matters.
var sections = []string{"Parameters", "Mappings", "Rules", "Conditions", "Resources", "Outputs"}

func section(path string) int {
	first, _, _ := strings.Cut(path, ".")
	if i := slices.Index(sections, first); i >= 0 {
		return i
	}
	return len(sections)
}

type place struct{ path, what string }

type moved struct{ out []place }

func (m *moved) add(path, format string, args ...any) {
	m.out = append(m.out, place{path, fmt.Sprintf(format, args...)})
}

// A member of a mapping, with its key.
type member struct {
	key   string
	value any
}

// tree is a template as []member, []any and string, its functions in long form.
func tree(body string) (any, bool) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(body), &doc); err != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, false
	}
	return plain(doc.Content[0]), true
}

func plain(n *yaml.Node) any {
	if name, ok := strings.CutPrefix(n.Tag, "!"); ok && name != "" && !strings.HasPrefix(name, "!") {
		bare := *n
		bare.Tag = ""
		return []member{{long(name), joined(name, plain(&bare))}}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return plain(n.Alias)
	case yaml.MappingNode:
		out := []member{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			out = append(out, member{key, joined(strings.TrimPrefix(key, "Fn::"), plain(n.Content[i+1]))})
		}
		slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.key, b.key) })
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, plain(c))
		}
		return out
	}
	return n.Value
}

// long is the name of a function that has a short form.
func long(short string) string {
	if short == "Ref" || short == "Condition" {
		return short
	}
	return "Fn::" + short
}

// joined has one form of the two that Fn::GetAtt has.
func joined(function string, v any) any {
	list, ok := v.([]any)
	if function != "GetAtt" || !ok || len(list) != 2 {
		return v
	}
	return inline(list[0]) + "." + inline(list[1])
}

func (m *moved) compare(path string, before, after any) {
	switch b := before.(type) {
	case []member:
		if a, ok := after.([]member); ok && !(function(b) && function(a) && b[0].key != a[0].key) && function(b) == function(a) {
			m.members(path, b, a)
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			m.elements(path, b, a)
			return
		}
	}
	if b, a := inline(before), inline(after); b != a {
		b, a = apart(b, a)
		m.add(path, "%s -> %s", b, a)
	}
}

func (m *moved) members(path string, before, after []member) {
	for _, k := range keys(before, after) {
		at := strings.TrimPrefix(path+"."+k, ".")
		b, inB := value(before, k)
		a, inA := value(after, k)
		switch {
		case !inB:
			m.add(at, "added, %s", brief(a))
		case !inA:
			m.add(at, "removed, was %s", brief(b))
		default:
			m.compare(at, b, a)
		}
	}
}

// elements compares lists: what has a name by its name, else one by one after
// what both begin and end with.
func (m *moved) elements(path string, before, after []any) {
	if by := named(before, after); by != "" {
		m.members(path, byName(before, by), byName(after, by))
		return
	}
	lead := 0
	for lead < min(len(before), len(after)) && inline(before[lead]) == inline(after[lead]) {
		lead++
	}
	trail := 0
	for trail < min(len(before), len(after))-lead && inline(before[len(before)-1-trail]) == inline(after[len(after)-1-trail]) {
		trail++
	}
	b, a := before[lead:len(before)-trail], after[lead:len(after)-trail]
	for i := range max(len(b), len(a)) {
		at := path + "[" + strconv.Itoa(lead+i) + "]"
		switch {
		case i >= len(b):
			m.add(at, "added, %s", brief(a[i]))
		case i >= len(a):
			m.add(at, "removed, was %s", brief(b[i]))
		default:
			m.compare(at, b[i], a[i])
		}
	}
}

// named is the key that names each element of both lists, "" if there is none.
func named(lists ...[]any) string {
	for _, key := range []string{"Key", "Name", "Id", "Sid", "Field", "DeviceName"} {
		ok := true
		for _, list := range lists {
			seen := map[string]bool{}
			for _, e := range list {
				members, _ := e.([]member)
				v, has := value(members, key)
				name, text := v.(string)
				ok = ok && has && text && !seen[name]
				seen[name] = true
			}
		}
		if ok {
			return key
		}
	}
	return ""
}

func byName(list []any, key string) []member {
	var out []member
	for _, e := range list {
		name, _ := value(e.([]member), key)
		out = append(out, member{inline(name), e})
	}
	return out
}

func function(m []member) bool {
	return len(m) == 1 && (strings.HasPrefix(m[0].key, "Fn::") || m[0].key == "Ref" || m[0].key == "Condition")
}

func keys(lists ...[]member) []string {
	var out []string
	for _, l := range lists {
		for _, e := range l {
			out = append(out, e.key)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func value(list []member, key string) (any, bool) {
	for _, e := range list {
		if e.key == key {
			return e.value, true
		}
	}
	return nil, false
}

// inline is a value in one line, functions in their short form.
func inline(v any) string {
	switch v := v.(type) {
	case []member:
		if function(v) {
			return "!" + strings.TrimPrefix(v[0].key, "Fn::") + " " + inline(v[0].value)
		}
		var parts []string
		for _, e := range v {
			parts = append(parts, e.key+": "+inline(e.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, inline(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		if v == "" || strings.TrimSpace(v) != v || strings.ContainsAny(v, "\n\t") {
			return strconv.Quote(v)
		}
		return v
	}
	return ""
}

// brief is a value as far as it fits; a resource by its type.
func brief(v any) string {
	if m, ok := v.([]member); ok {
		if kind, has := value(m, "Type"); has {
			if _, is := value(m, "Properties"); is {
				return inline(kind)
			}
		}
	}
	return cutTo(inline(v), 120)
}

func cutTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// apart shows two long texts from shortly before the place where they part.
func apart(b, a string) (string, string) {
	const short, lead = 80, 20
	x, y := []rune(b), []rune(a)
	if len(x) <= short && len(y) <= short {
		return b, a
	}
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	end := 0
	for end < min(len(x), len(y))-same && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	show := func(r []rune) string {
		from, to := max(0, same-lead), min(len(r), len(r)-end+lead)
		s := cutTo(string(r[from:to]), short+2*lead)
		if from > 0 {
			s = "…" + s
		}
		if to < len(r) {
			s += "…"
		}
		return s
	}
	return show(x), show(y)
}
