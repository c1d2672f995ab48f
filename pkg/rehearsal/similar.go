package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

func needsLiving(s *State) string {
	switch {
	case s.Baseline == nil:
		return needsBaseline(s)
	case s.Living == nil:
		return "production is gone: the trail says what it was"
	}
	return ""
}

// similar fails a rehearsal on a stack that is not like production but for what it
// may have of its own: it would prove something about another stack.
func similar(ctx context.Context, run *pipeline.Run, s *State) error {
	now, err := s.Stack.Read(ctx)
	if err != nil {
		return err
	}
	own := stack.Own{Parameters: s.Differing, Tags: slices.Sorted(maps.Keys(s.Tags))}
	if s.Without != nil {
		own.Living, own.Test = s.Without(s.Living.Body, s.Living.Parameters), s.Without(now.Body, now.Parameters)
	}
	unlike, apart := stack.Unlike(s.Living, now, own)
	s.Record.Apart = apart
	if len(unlike) > 0 {
		return errors.New("the test stack is not like production: " + strings.Join(unlike, "; "))
	}
	how := "but for its names"
	if len(apart) > 0 {
		how = fmt.Sprintf("but for its names, and %s", strings.Join(apart, ", "))
	}
	run.Note("like production, %s", how)
	return nil
}
