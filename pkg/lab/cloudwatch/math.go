package cloudwatch

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// expr is metric math: numbers, ids of metrics, + - * /, parentheses and FILL(id, n).
type expr struct {
	op    string // "+", "-", "*", "/", "id", "number", "fill"
	id    string
	value float64
	l, r  *expr
}

var mathID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// parseMath reads an expression.
func parseMath(text string) (*expr, error) {
	m := &mathParser{parser{rest: text}}
	e, err := m.sum()
	if err == nil {
		if m.space(); m.rest != "" {
			err = fmt.Errorf("unexpected %q", m.rest)
		}
	}
	return e, err
}

type mathParser struct{ parser }

func (m *mathParser) sum() (*expr, error) { return m.chain("+-", m.product) }

func (m *mathParser) product() (*expr, error) { return m.chain("*/", m.factor) }

func (m *mathParser) chain(ops string, part func() (*expr, error)) (*expr, error) {
	e, err := part()
	for err == nil {
		m.space()
		if m.rest == "" || !strings.ContainsRune(ops, rune(m.rest[0])) {
			return e, nil
		}
		op := m.rest[:1]
		m.rest = m.rest[1:]
		var r *expr
		r, err = part()
		e = &expr{op: op, l: e, r: r}
	}
	return nil, err
}

func (m *mathParser) factor() (*expr, error) {
	if m.sign("(") {
		e, err := m.sum()
		if err == nil && !m.sign(")") {
			err = fmt.Errorf("missing ')' before %q", m.rest)
		}
		return e, err
	}
	if m.sign("-") {
		e, err := m.factor()
		return &expr{op: "-", l: &expr{op: "number"}, r: e}, err
	}
	m.space()
	end := strings.IndexFunc(m.rest, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '.' })
	if end < 0 {
		end = len(m.rest)
	}
	word := m.rest[:end]
	m.rest = m.rest[end:]
	if v, err := strconv.ParseFloat(word, 64); err == nil {
		return &expr{op: "number", value: v}, nil
	}
	if word == "FILL" && m.sign("(") {
		inner, err := m.sum()
		if err != nil {
			return nil, err
		}
		if !m.sign(",") {
			return nil, fmt.Errorf("FILL needs a number at %q", m.rest)
		}
		with, err := m.factor()
		if err != nil || with.op != "number" {
			return nil, fmt.Errorf("the lab fills with a number only")
		}
		if !m.sign(")") {
			return nil, fmt.Errorf("missing ')' before %q", m.rest)
		}
		return &expr{op: "fill", l: inner, value: with.value}, nil
	}
	if !mathID.MatchString(word) {
		return nil, fmt.Errorf("the lab has + - * /, FILL, numbers and ids, not %q", word+m.rest)
	}
	return &expr{op: "id", id: word}, nil
}

// eval is the value, if all that it needs has one.
func (e *expr) eval(values map[string]float64) (float64, bool) {
	switch e.op {
	case "number":
		return e.value, true
	case "id":
		v, has := values[e.id]
		return v, has
	case "fill":
		if v, has := e.l.eval(values); has {
			return v, true
		}
		return e.value, true
	}
	l, has := e.l.eval(values)
	r, also := e.r.eval(values)
	if !has || !also {
		return 0, false
	}
	switch e.op {
	case "+":
		return l + r, true
	case "-":
		return l - r, true
	case "*":
		return l * r, true
	}
	return l / r, r != 0
}

func (e *expr) ids() []string {
	var out []string
	if e.op == "id" {
		out = append(out, e.id)
	}
	for _, c := range []*expr{e.l, e.r} {
		if c != nil {
			out = append(out, c.ids()...)
		}
	}
	return out
}

// formula is a set of queries of which one, an expression, is the result.
type formula struct {
	result *expr
	id     string
	stats  map[string]MetricStat
	period int64
}

// formulaOf reads the queries of an alarm. Expressions of expressions are refused.
func formulaOf(queries []MetricDataQuery) (*formula, error) {
	f := &formula{stats: map[string]MetricStat{}}
	for _, q := range queries {
		returns := q.ReturnData == nil || *q.ReturnData
		switch {
		case !mathID.MatchString(q.Id):
			return nil, fmt.Errorf("the id '%s' is not a lower-case letter followed by letters, digits and underscores", q.Id)
		case q.MetricStat != nil && q.Expression != "":
			return nil, fmt.Errorf("query '%s' has both MetricStat and Expression", q.Id)
		case q.MetricStat != nil:
			if _, twice := f.stats[q.Id]; twice {
				return nil, fmt.Errorf("the id '%s' is there twice", q.Id)
			}
			if !slices.Contains(statistics, q.MetricStat.Stat) {
				return nil, fmt.Errorf("query '%s': Stat is not one of %v", q.Id, statistics)
			}
			f.stats[q.Id] = *q.MetricStat
			f.period = max(f.period, number(q.MetricStat.Period, 60))
			if returns {
				if f.id != "" {
					return nil, fmt.Errorf("more than one query returns data")
				}
				f.id, f.result = q.Id, &expr{op: "id", id: q.Id}
			}
		case q.Expression != "":
			e, err := parseMath(q.Expression)
			if err != nil {
				return nil, fmt.Errorf("query '%s': %w", q.Id, err)
			}
			if !returns {
				return nil, fmt.Errorf("the lab has one expression in an alarm, which returns data")
			}
			if f.id != "" {
				return nil, fmt.Errorf("more than one query returns data")
			}
			f.id, f.result = q.Id, e
		default:
			return nil, fmt.Errorf("query '%s' has neither MetricStat nor Expression", q.Id)
		}
	}
	if f.result == nil {
		return nil, fmt.Errorf("no query returns data")
	}
	for _, id := range f.result.ids() {
		if _, known := f.stats[id]; !known {
			return nil, fmt.Errorf("there is no metric with the id '%s'", id)
		}
	}
	return f, nil
}

// point is the formula's value of points of its metrics.
func (f *formula) point(parts map[string]state.Point) state.Point {
	values := map[string]float64{}
	for id, p := range parts {
		if p.Samples > 0 {
			values[id] = statistic(p, f.stats[id].Stat)
		}
	}
	v, has := f.result.eval(values)
	if !has {
		return state.Point{}
	}
	return state.Point{Min: v, Max: v, Sum: v, Samples: 1}
}
