package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// Diff is what a release of HEAD would change of what runs, and how: lines for
// people, none if there is nothing. It writes nothing, so what becomes of each
// resource is told by the rehearsal, if there was one.
func (c *Chain) Diff(ctx context.Context) ([]string, error) {
	s := c.Start()
	if err := s.see(ctx); err != nil {
		return nil, explain(ctx, "compare", s, err)
	}
	var out []string
	baked := s.Image != ""
	if !baked {
		out = append(out, "image: none of key "+s.Key+" yet, it would be baked")
		s.Image = template.NotBaked
		if s.Live != nil {
			s.Image = s.Live.Image()
		}
		if err := s.candidate(ctx); err != nil {
			return nil, err
		}
	} else if s.Nothing == "" {
		out = append(out, fmt.Sprintf("plan: %s, %s in account %s, %s", s.PlanID(), c.Environment.Stack(), c.Target.Account, c.Target.Region))
	}
	if s.Live == nil {
		what := "stack: %s would be created"
		if s.Status != "" {
			what = "stack: %s is " + s.Status + ": a release leads that to its end first"
		}
		out = append(out, fmt.Sprintf(what, c.Environment.Stack()))
		return append(out, s.prospects()...), nil
	}
	changes := s.changes()
	if baked && s.Rehearsal.Candidate.Image != s.Live.Image() {
		changes = append([]string{fmt.Sprintf("image: %s -> %s", s.Live.Image(), s.Rehearsal.Candidate.Image)}, changes...)
		contents, err := image.Diff(ctx, s.imageOptions(), s.Live.Image(), s.Rehearsal.Candidate.Image)
		if err != nil {
			contents = []string{"what changes on the machines is not known: " + err.Error()}
		}
		for _, l := range contents {
			changes = append(changes, "image "+l)
		}
	}
	out = append(out, changes...)
	drift, err := s.Stack().Drift(ctx)
	if err != nil {
		drift = &stack.Drift{Problem: err.Error()}
	}
	for _, l := range drift.Lines() {
		if len(out) > 0 || len(drift.Resources) > 0 {
			out = append(out, "drift: "+l)
		}
	}
	if len(changes) == 0 && baked {
		return out, nil
	}
	if r, err := s.record(); err == nil && r.Kind == rehearsal.KindUpdate {
		for _, l := range r.Changes.Lines() {
			out = append(out, "rehearsed "+l)
		}
	}
	return append(out, s.prospects()...), nil
}

// changes are what the candidate says otherwise than production: its template by
// path, its parameters, its tags.
func (s *State) changes() []string {
	d := s.Rehearsal.Candidate
	var out []string
	for _, l := range stack.Moved(s.Live.Body, d.Body) {
		out = append(out, "template "+l)
	}
	pairs := func(what string, was, is map[string]string) {
		all := maps.Clone(was)
		maps.Copy(all, is)
		for _, k := range slices.Sorted(maps.Keys(all)) {
			before, had := was[k]
			after, has := is[k]
			switch {
			case !had:
				out = append(out, fmt.Sprintf("%s %s: added, %q", what, k, after))
			case !has:
				out = append(out, fmt.Sprintf("%s %s: removed, was %q", what, k, before))
			case before != after:
				out = append(out, fmt.Sprintf("%s %s: %q -> %q", what, k, before, after))
			}
		}
	}
	sent := withImages(d.Parameters, []byte(d.Body))
	pairs("parameter", without(s.Live.Parameters, stack.ImageParameter), without(sent, stack.ImageParameter))
	pairs("tag", own(s.Live.Tags), own(d.Tags))
	return out
}

// prospects are how long it will take, by the rehearsal, and how to undo it.
func (s *State) prospects() []string {
	var out []string
	if r, err := s.record(); err == nil {
		var took []string
		for _, k := range slices.Sorted(maps.Keys(r.Seconds)) {
			took = append(took, fmt.Sprintf("%s %.0fs", k, r.Seconds[k]))
		}
		out = append(out, "rehearsed: "+strings.Join(took, ", "))
		phase := "update"
		if s.Live == nil {
			phase = "create"
		}
		if expected, ok := r.Seconds[phase]; ok {
			out = append(out, "expected time of the "+phase+": "+report.Short(time.Duration(expected*float64(time.Second))))
		}
		if w, ok := r.Slowest(); ok {
			out = append(out, "expected time of a way back: "+w.String())
		}
	} else if s.Unrehearsed != "" {
		out = append(out, "not rehearsed: "+s.Unrehearsed)
	} else {
		out = append(out, "not rehearsed yet: ./station.sh test tells how long it takes, and what becomes of each resource")
	}
	if s.Rehearsal.Minutes > 0 && s.Live != nil {
		out = append(out, fmt.Sprintf("watched for %d minutes after it; taking it back then costs one more roll", s.Rehearsal.Minutes))
	}
	if s.Recover {
		return append(out, "it only creates: nothing that is there is changed or deleted")
	}
	return append(out, "to undo it later: ./station.sh rollback")
}

// few are as many lines as a plan shows of one thing.
func few(lines []string, more string) []string {
	const most = 20
	if len(lines) <= most {
		return lines
	}
	return append(slices.Clone(lines[:most]), fmt.Sprintf("and %d more: %s", len(lines)-most, more))
}

// drift looks where production is not as its template says: the rehearsal's stack
// is made from the template, so it would prove something about another production.
// It runs beside the bake, as CloudFormation takes its time.
func drift(ctx context.Context, run *pipeline.Run, s *State) error {
	var err error
	if s.Drift, err = s.Stack().Drift(ctx); err != nil {
		return err
	}
	lines := s.Drift.Lines()
	for _, l := range lines {
		run.Note("%s", l)
	}
	if len(lines) == 0 {
		run.Note("production is as its template says")
	}
	switch {
	case len(s.Drift.Resources) == 0, s.AcceptDrift, s.TestOnly, s.Back != 0, s.Fix:
		return nil
	}
	return &report.Failure{
		Code: report.Policy, ID: "E-REL-26", What: "production is not as its template says: " + some(lines), Where: "stack " + s.Environment.Stack(), State: "production is untouched",
		Next: []string{"write it into the template, or undo it by hand", "the same command with -drift=accept  # goes on: what the update touches is overwritten, the rest stays as it is"},
	}
}

// liveOnly is for what there is to see of a production at rest.
func liveOnly(s *State) string {
	switch {
	case s.Nothing != "":
		return s.Nothing
	case s.Live == nil:
		return "there is no production"
	}
	return ""
}

// DriftPolicy reads what -drift says: "accept", or "" to stop at drift.
func (s *State) DriftPolicy(word string) error {
	switch word {
	case "":
		return nil
	case "accept":
		s.AcceptDrift = true
		return nil
	}
	return usage(errors.New("-drift=" + word + " is not known: -drift=accept goes on in spite of drift"))
}

// found keeps with the rehearsal what production was like.
func (s *State) found(ctx context.Context) error {
	if s.Live == nil {
		return nil
	}
	l := &rehearsal.Living{Status: s.Live.Status, Drift: s.Drift, Machines: map[string]string{}}
	if g := s.Live.Group; g != nil {
		l.Capacity = g.Capacity
		for _, i := range g.Instances {
			l.Machines[i.ID] = i.Image
		}
	}
	var err error
	l.Firing, err = s.Account.Firing(ctx, s.Live.AllAlarms())
	s.Rehearsal.Record.Living = l
	return err
}
