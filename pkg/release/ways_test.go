package release_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// A change is taken back in three ways, each as quick as chain.yaml wants it.
func TestTheWaysBackAreRehearsedAndTimed(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	// The monitoring window is 4 s: time enough to cancel in, also on a slow machine.
	set := func(before, after string) {
		file := filepath.Join(w.clone, config.File)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(b), before)
		w.write(t, file, strings.Replace(string(b), before, after, 1))
		w.commit(t, "chain.yaml")
	}
	set("          cancel: false", "          within: 10ms")
	set("        monitoring: 1m", "        monitoring: 10m")
	w.page(t, "Hello World, again")
	_, err := w.release(t)
	require.ErrorContains(t, err, "its way back is too slow: ")
	require.ErrorContains(t, err, "(Group ")
	assert.Equal(t, report.Policy, report.Code(err))
	assert.Len(t, w.history(t), 1, "production was not touched")
	assert.Equal(t, []string{"web-production"}, w.stacks())

	set("within: 10ms", "within: 30m")
	s, err := w.run(t.Context(), t, true, 0)
	require.NoError(t, err)
	var r rehearsal.Record
	require.NoError(t, json.Unmarshal(w.evidence(t).Record, &r))
	assert.Contains(t, r.Rollback, "UPDATE_ROLLBACK_COMPLETE")
	assert.Contains(t, r.Cancel, "UPDATE_ROLLBACK_COMPLETE: cancelled on purpose in its monitoring window")
	var names []string
	for _, way := range r.Ways {
		names = append(names, way.Name)
		assert.Positive(t, way.Seconds, way.Name)
		assert.Less(t, way.Seconds, r.Seconds[way.Name]+0.001, way.Name)
	}
	assert.Equal(t, []string{"go back", "rollback", "cancel"}, names)
	for _, a := range r.Availability {
		assert.Zero(t, a.Failed, "%s: %s", a.Phase, a)
	}
	assert.Contains(t, strings.Join(s.Plan(), "\n"), "expected time of a way back: ")

	// Who wants it quicker later does not get by with what was good enough before.
	set("within: 30m", "within: 1ms")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var again string
	_, err = w.run(ctx, t, true, 0, func(e pipeline.Event) {
		if strings.Contains(e.Text, "does not suffice: its way back is too slow") {
			again = e.Text
			stop()
		}
	})
	require.Error(t, err)
	assert.Contains(t, again, "rehearsing again")
}
