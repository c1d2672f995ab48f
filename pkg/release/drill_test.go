package release_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/drill"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
)

// drilled is the newest fire drill that the trail knows.
func (w *world) drilled(t *testing.T) *drill.Result {
	t.Helper()
	var r rehearsal.Record
	require.NoError(t, json.Unmarshal(w.evidence(t).Record, &r))
	return r.Drill
}

func TestEveryAlarmFiresInAFireDrill(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	assert.Nil(t, w.drilled(t), "nobody relies on alarms yet")

	w.page(t, "Hello World, again")
	s := w.chain(t).Start()
	s.TestOnly, s.FireDrill = true, true
	skipped := map[string]string{}
	tell := func(e pipeline.Event) {
		t.Logf("%s %s %s %s", e.Kind, e.Step, e.Name, e.Text)
		if e.Kind == pipeline.Skipped {
			skipped[e.Step] = e.Text
		}
	}
	require.NoError(t, s.Do(t.Context(), pipeline.Env{Tell: tell}))
	assert.Equal(t, []string{"web-production"}, w.stacks(), "the test stack is gone")
	shown := w.drilled(t)
	require.NotNil(t, shown)
	got := map[string]string{}
	for _, a := range shown.Alarms {
		got[a.ID] = a.Cause + " " + a.Told
		assert.Positive(t, a.Seconds, a.ID)
		assert.Less(t, a.Seconds, time.Hour.Seconds(), a.ID)
	}
	assert.Equal(t, map[string]string{
		"Deploying": "data ", "GroupShort": "gone heard", "HighCpu": "busy heard", "ImageOld": "silence heard", "NoHealthyHost": "unreachable heard",
		"Outside1": "unreachable heard", "Outside2": "unreachable heard",
		"Page": "parts heard", "StatusCheckFailed": "hang heard", "UnhealthyHosts": "unreachable heard",
	}, got)

	// It counts for the next change, whose evidence carries it on.
	w.page(t, "Hello World, once more")
	s = w.chain(t).Start()
	s.TestOnly = true
	require.NoError(t, s.Do(t.Context(), pipeline.Env{Tell: tell}))
	assert.Contains(t, skipped["fire drill: make every alarm fire and clear"], "these alarms fired in the drill of ")
	assert.Equal(t, shown, w.drilled(t))
}
