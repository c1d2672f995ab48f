package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// node is a mapping of chain.yaml, of which every key must be asked for.
type node struct {
	r     *reader
	n     *yaml.Node
	path  string
	keys  map[string]*yaml.Node // the values
	lines map[string]int        // of the keys
	order []string
	asked []string
}

// mapping is n as a mapping, nil (and a fault) if it is something else.
func (r *reader) mapping(n *yaml.Node, path string) *node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n.Line, path, "is %s, not a mapping", kind(n))
		return nil
	}
	m := &node{r: r, n: n, path: path, keys: map[string]*yaml.Node{}, lines: map[string]int{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if first, twice := m.lines[k.Value]; twice {
			r.fault(k.Line, m.at(k.Value), "is given twice, first on line %d", first)
			continue
		}
		m.keys[k.Value], m.lines[k.Value] = v, k.Line
		m.order = append(m.order, k.Value)
	}
	return m
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "empty"
	}
	return strconv.Quote(n.Value)
}

func (m *node) at(key string) string {
	if m.path == "" {
		return key
	}
	return m.path + "." + key
}

// line is that of a key, or of the mapping itself.
func (m *node) line(key string) int {
	if l := m.lines[key]; l > 0 {
		return l
	}
	return m.n.Line
}

func (m *node) get(key string) *yaml.Node {
	m.asked = append(m.asked, key)
	v := m.keys[key]
	if v != nil && v.Kind == yaml.AliasNode {
		v = v.Alias
	}
	return v
}

func (m *node) child(key string, needed bool) *node {
	v := m.get(key)
	if v == nil {
		if needed {
			m.r.fault(m.n.Line, m.at(key), "is missing")
		}
		return nil
	}
	return m.r.mapping(v, m.at(key))
}

// each visits every key of a mapping whose keys are names.
func (m *node) each(what string, re *regexp.Regexp, fn func(name string, n *node)) {
	if len(m.order) == 0 {
		m.r.fault(m.n.Line, m.path, "is empty")
	}
	for _, k := range m.order {
		if !re.MatchString(k) {
			m.r.fault(m.lines[k], m.at(k), "is not %s", what)
			continue
		}
		if c := m.r.mapping(m.keys[k], m.at(k)); c != nil {
			fn(k, c)
		}
	}
}

// text reads a string, if it is there.
func (m *node) text(key string, to *string, check func(string) error) {
	v := m.get(key)
	if v == nil {
		return
	}
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		m.r.fault(m.lines[key], m.at(key), "is %s, not a text", kind(v))
		return
	}
	if err := check(v.Value); err != nil {
		m.r.fault(v.Line, m.at(key), "%v", err)
		return
	}
	*to = v.Value
}

// word reads one of two, if it is there: whether it is yes.
func (m *node) word(key, no, yes string, to *bool) {
	var v string
	m.text(key, &v, func(s string) error {
		if s != no && s != yes {
			return fmt.Errorf("is %q, not %s or %s", s, yes, no)
		}
		*to = s == yes
		return nil
	})
}

// need is text for a key that has to be there.
func (m *node) need(key string, to *string, check func(string) error) {
	if m.keys[key] == nil {
		m.asked = append(m.asked, key)
		m.r.fault(m.n.Line, m.at(key), "is missing")
		return
	}
	m.text(key, to, check)
}

func (m *node) number(key string, to *int, low, high int, needed bool) {
	v := m.get(key)
	if v == nil {
		if needed {
			m.r.fault(m.n.Line, m.at(key), "is missing")
		}
		return
	}
	i, err := strconv.Atoi(v.Value)
	if v.Kind != yaml.ScalarNode || v.Tag != "!!int" || err != nil {
		m.r.fault(m.lines[key], m.at(key), "is %s, not a number", kind(v))
		return
	}
	if i < low || i > high {
		m.r.fault(v.Line, m.at(key), "is %d, not %d to %d", i, low, high)
		return
	}
	*to = i
}

func (m *node) duration(key string, to *time.Duration, most time.Duration) {
	var s string
	m.text(key, &s, func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("is %q, not a duration such as 5m", v)
		}
		if d < 0 || d > most {
			return fmt.Errorf("is %s, not 0s to %s", v, most)
		}
		*to = d
		return nil
	})
}

// list reads a list of texts that must not be empty.
func (m *node) list(key string, to *[]string, check func(string) error) {
	v := m.get(key)
	if v == nil {
		m.r.fault(m.n.Line, m.at(key), "is missing")
		return
	}
	if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
		m.r.fault(m.lines[key], m.at(key), "is %s, not a list of at least one", kind(v))
		return
	}
	seen := map[string]bool{}
	for i, item := range v.Content {
		at := fmt.Sprintf("%s[%d]", m.at(key), i)
		if item.Kind != yaml.ScalarNode {
			m.r.fault(item.Line, at, "is %s, not a text", kind(item))
			continue
		}
		if err := check(item.Value); err != nil {
			m.r.fault(item.Line, at, "%v", err)
			continue
		}
		if seen[item.Value] {
			m.r.fault(item.Line, at, "%s is given twice", item.Value)
			continue
		}
		seen[item.Value] = true
		*to = append(*to, item.Value)
	}
}

// rest is a fault for every key that nobody asked for.
func (m *node) rest() {
	for _, k := range m.order {
		known := false
		for _, a := range m.asked {
			known = known || a == k
		}
		if !known {
			m.r.fault(m.lines[k], m.at(k), "no such key%s", meant(k, m.asked))
		}
	}
}

// meant is ", did you mean …?" for the known word nearest to a misspelt one.
func meant(word string, known []string) string {
	best, least := "", len(word)/2+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "; known are " + strings.Join(known, ", ")
	}
	return ", did you mean " + best + "?"
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
