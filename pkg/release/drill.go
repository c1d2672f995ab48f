package release

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/build-deploy-chain/chain/pkg/drill"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// fireDrill lets the alarms of a rehearsal's stack fire.
func (c *Chain) fireDrill(ctx context.Context, run *pipeline.Run, s *stack.State) (*drill.Result, error) {
	cfg, err := c.Target.AWS(ctx)
	if err != nil {
		return nil, err
	}
	others, err := c.Beside.Find(ctx, s)
	if err != nil {
		return nil, err
	}
	var elsewhere []drill.Elsewhere
	for _, o := range others {
		elsewhere = append(elsewhere, drill.Elsewhere{AWS: o.AWS, Stack: o.State})
	}
	return drill.Run(ctx, drill.Options{
		Elsewhere: elsewhere,
		AWS:       cfg, Compute: c.Compute, Clock: c.Clock, Poll: c.Target.Poll, Factor: c.Target.Factor, Hear: c.Target.Hear, Tell: run.Note,
	}, s)
}

// findDrill reads the newest fire drill, which the evidence carries on, and when
// production was first there: from then on one gets due.
func (s *State) findDrill(ctx context.Context) error {
	s.Rehearsal.Record.Drill = nil
	b, ok, err := s.Trail.Read(ctx, s.Place.Evidence())
	if err != nil {
		return err
	}
	var e struct{ Record rehearsal.Record }
	if ok && json.Unmarshal(b, &e) == nil {
		s.Rehearsal.Record.Drill = e.Record.Drill
	}
	list, err := s.Trail.History(ctx, s.Place, 0)
	if err != nil {
		return err
	}
	s.since = time.Time{}
	for _, r := range list {
		if s.since.IsZero() || r.Intended.Before(s.since) {
			s.since = r.Intended
		}
	}
	return nil
}

// noDrill is why no fire drill is due, or "": the alarms are those of the last
// one, or of production, and it is not too long ago.
func (s *State) noDrill() string {
	last, counts := s.Rehearsal.Record.Drill, s.Environment.Monitor.Drill
	candidate, err := template.Monitoring([]byte(s.Rehearsal.Candidate.Body))
	if err != nil || s.FireDrill {
		return ""
	}
	now := s.Clock.Now()
	switch {
	case s.Rehearsal.Baseline == nil:
		return "there is no production yet whose alarms anybody relies on"
	case last != nil && last.Digest == candidate && now.Sub(last.Ended) <= counts:
		return fmt.Sprintf("these alarms fired in the drill of %s, which counts for %s", last.Ended.UTC().Format("2006-01-02 15:04 MST"), counts)
	case last != nil:
		return ""
	}
	if was, err := template.Monitoring([]byte(s.Rehearsal.Baseline.Body)); err == nil && was == candidate && now.Sub(s.since) <= counts {
		return fmt.Sprintf("the alarms are those of production, which is younger than %s; -drill makes one now", counts)
	}
	return ""
}
