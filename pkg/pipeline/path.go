package pipeline

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// A Span is a step that ran.
type Span struct {
	Step         string
	Flow         string // branch of Together, "" outside of any
	Began, Ended time.Time
}

// Took is how long it ran.
func (s Span) Took() time.Duration { return s.Ended.Sub(s.Began) }

// A Path finds out of a run's events what its wall time was spent on. Its zero
// value is ready; Hear may be called from several goroutines.
type Path struct {
	mu    sync.Mutex
	spans []Span
}

// Hear takes an event of the run.
func (p *Path) Hear(e Event) {
	if e.Kind != Done && e.Kind != Failed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spans = append(p.spans, Span{Step: e.Step, Flow: e.Flow, Began: e.Time.Add(-e.Took), Ended: e.Time})
}

// Critical is the longest chain of steps of which each had to wait for the one
// before: of branches that ran beside each other, the longest. sum is how long its
// steps took; wall is from the first step's beginning to the last one's end, and
// more than sum by what was spent between steps.
func (p *Path) Critical() (chain []Span, sum, wall time.Duration) {
	p.mu.Lock()
	spans := slices.Clone(p.spans)
	p.mu.Unlock()
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Began.Compare(b.Began) })
	var ended time.Time
	for _, s := range spans {
		if s.Ended.After(ended) {
			ended = s.Ended
		}
	}
	if len(spans) == 0 {
		return nil, 0, 0
	}
	chain = longest(spans, "", spans[0].Began, ended)
	for _, s := range chain {
		sum += s.Took()
	}
	return chain, sum, ended.Sub(spans[0].Began)
}

// longest is the chain of one flow within a time.
func longest(spans []Span, flow string, from, to time.Time) []Span {
	var out []Span
	for _, s := range spans {
		if s.Flow != flow || s.Began.Before(from) || s.Ended.After(to) {
			continue
		}
		var best []Span
		var most time.Duration
		for _, branch := range branches(spans, s) {
			chain := longest(spans, branch, s.Began, s.Ended)
			var sum time.Duration
			for _, c := range chain {
				sum += c.Took()
			}
			if sum > most {
				best, most = chain, sum
			}
		}
		if len(best) == 0 {
			best = []Span{s}
		}
		out = append(out, best...)
	}
	return out
}

// branches are the flows that ran within a step.
func branches(spans []Span, of Span) []string {
	var out []string
	for _, s := range spans {
		rest, in := s.Flow, of.Flow == ""
		if of.Flow != "" {
			rest, in = strings.CutPrefix(s.Flow, of.Flow+".")
		}
		if in && rest != "" && !strings.Contains(rest, ".") && !s.Began.Before(of.Began) && !s.Ended.After(of.Ended) && !slices.Contains(out, s.Flow) {
			out = append(out, s.Flow)
		}
	}
	return out
}
