package cloudwatch

import (
	"fmt"
	"strings"
)

// rule of a composite alarm: ALARM("a") AND (NOT OK(b) OR TRUE).
type rule struct {
	op       string // "AND", "OR", "NOT", "TRUE", "FALSE", or a state
	name     string // of an alarm, with a state
	children []*rule
}

// parseRule reads an AlarmRule. AND binds tighter than OR.
func parseRule(text string) (*rule, error) {
	p := &parser{rest: text}
	r, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q", p.rest)
	}
	return r, nil
}

type parser struct{ rest string }

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// word takes a keyword, which must not go on in letters.
func (p *parser) word(w string) bool {
	p.space()
	rest, found := strings.CutPrefix(p.rest, w)
	if !found || rest != "" && strings.ContainsAny(rest[:1], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") {
		return false
	}
	p.rest = rest
	return true
}

func (p *parser) sign(s string) bool {
	p.space()
	rest, found := strings.CutPrefix(p.rest, s)
	if found {
		p.rest = rest
	}
	return found
}

func (p *parser) or() (*rule, error) { return p.joined("OR", p.and) }

func (p *parser) and() (*rule, error) { return p.joined("AND", p.term) }

func (p *parser) joined(op string, part func() (*rule, error)) (*rule, error) {
	r, err := part()
	if err != nil {
		return nil, err
	}
	for p.word(op) {
		next, err := part()
		if err != nil {
			return nil, err
		}
		r = &rule{op: op, children: []*rule{r, next}}
	}
	return r, nil
}

func (p *parser) term() (*rule, error) {
	if p.sign("(") {
		r, err := p.or()
		if err == nil && !p.sign(")") {
			err = fmt.Errorf("missing ')' before %q", p.rest)
		}
		return r, err
	}
	if p.word("NOT") {
		r, err := p.term()
		return &rule{op: "NOT", children: []*rule{r}}, err
	}
	for _, constant := range []string{"TRUE", "FALSE"} {
		if p.word(constant) {
			return &rule{op: constant}, nil
		}
	}
	for _, value := range []string{alarm, ok, insufficient} {
		if !p.word(value) {
			continue
		}
		if !p.sign("(") {
			return nil, fmt.Errorf("missing '(' after %s", value)
		}
		inside, rest, closed := strings.Cut(p.rest, ")")
		if !closed {
			return nil, fmt.Errorf("missing ')' after %q", p.rest)
		}
		p.rest = rest
		name := strings.Trim(strings.TrimSpace(inside), `"'`)
		if _, short, isARN := strings.Cut(name, ":alarm:"); isARN {
			name = short
		}
		if name == "" {
			return nil, fmt.Errorf("no alarm in %s()", value)
		}
		return &rule{op: value, name: name}, nil
	}
	return nil, fmt.Errorf("expected ALARM, OK, INSUFFICIENT_DATA, NOT, TRUE, FALSE or '(' at %q", p.rest)
}

// names are the alarms a rule speaks of.
func (r *rule) names() []string {
	var out []string
	if r.name != "" {
		out = append(out, r.name)
	}
	for _, c := range r.children {
		out = append(out, c.names()...)
	}
	return out
}

// holds evaluates a rule over the states of alarms.
func (r *rule) holds(stateOf func(name string) string) bool {
	switch r.op {
	case "TRUE":
		return true
	case "FALSE":
		return false
	case "NOT":
		return !r.children[0].holds(stateOf)
	case "AND":
		return r.children[0].holds(stateOf) && r.children[1].holds(stateOf)
	case "OR":
		return r.children[0].holds(stateOf) || r.children[1].holds(stateOf)
	}
	return stateOf(r.name) == r.op
}
