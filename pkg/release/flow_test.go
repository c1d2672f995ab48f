package release_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
)

func TestFromNothingToAChangedPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, key := w.page(t, "Hello World")

	s, err := w.release(t)
	require.NoError(t, err)
	assert.Equal(t, 1, s.Release.Number)
	assert.Equal(t, "Hello World", w.get(t, "/"))
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Equal(t, []string{"web-production"}, w.stacks(), "the test stack is gone")
	assert.Equal(t, first, s.Live.Image())
	assert.True(t, s.Live.Protected)
	assert.NotEmpty(t, s.Live.Policy)
	outcome, rows := s.Summary(time.Second)
	assert.LessOrEqual(t, len(report.FormatSummary(outcome, rows...)), 2000)
	assert.Contains(t, outcome, "production is up")

	second, key2 := w.page(t, "Hello World, again")
	s, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, 2, s.Release.Number)
	assert.Equal(t, key2, w.get(t, "/version"))
	assert.Equal(t, second, s.Live.Image())
	assert.Equal(t, []string{"web-production"}, w.stacks())
	var measured []string
	for _, a := range s.Available {
		assert.Zero(t, a.Failed, "%s: %s", a.Phase, a)
		measured = append(measured, a.Phase)
		if a.Requests > 0 {
			assert.Positive(t, a.P50)
			assert.LessOrEqual(t, a.P50, a.P99)
		}
	}
	assert.Equal(t, []string{"before", "production", "after"}, measured)
	_, rows = s.Summary(time.Second)
	i := slices.IndexFunc(rows, func(r report.Row) bool { return r.Name == "took" })
	require.GreaterOrEqual(t, i, 0)
	var times float64
	_, err = fmt.Sscanf(rows[i].Value[strings.LastIndex(rows[i].Value, "x "):], "x %f", &times)
	require.NoError(t, err)
	assert.LessOrEqual(t, times, 1.10, "wall time is that of the longest chain: %s", rows[i].Value)
	let := slices.ContainsFunc(w.recorded("CompleteLifecycleAction"), func(f url.Values) bool {
		return strings.HasPrefix(f.Get("AutoScalingGroupName"), "web-production-")
	})
	assert.True(t, let, "a machine of production that has drained is not kept until its hook's time is over")

	var r rehearsal.Record
	require.NoError(t, json.Unmarshal(w.evidence(t).Record, &r))
	assert.Equal(t, rehearsal.KindUpdate, r.Kind)
	assert.Equal(t, [2]string{first, second}, r.Images)
	assert.Equal(t, [2]string{key, key2}, r.Keys)
	assert.Contains(t, r.Changes, "LaunchTemplate")
	assert.Contains(t, r.Rollback, "UPDATE_ROLLBACK_COMPLETE")
	assert.Contains(t, r.Rollback, "failed on purpose")
	assert.NotEmpty(t, r.MayDiffer)
	for _, phase := range []string{"baseline", "update", "rollback"} {
		assert.NotEmpty(t, r.Checks[phase], phase)
	}
	for _, a := range r.Availability {
		assert.Zero(t, a.Failed, "%s: %s", a.Phase, a)
	}
	assert.NotContains(t, string(w.evidence(t).Record), s.Trail.Head(), "evidence is about what runs, not about a commit")

	w.forget()
	s, err = w.release(t)
	require.NoError(t, err)
	assert.NotEmpty(t, s.Nothing)
	for _, action := range []string{"CreateChangeSet", "ExecuteChangeSet", "RunInstances", "DeleteStack", "CreateImage"} {
		assert.Empty(t, w.recorded(action))
	}
	outcome, _ = s.Summary(time.Second)
	assert.Contains(t, outcome, "nothing to do")
	assert.Len(t, w.history(t), 2)
	assert.Empty(t, w.git(t, "status", "--porcelain"), "the user's clone is as it was")
	assert.Empty(t, w.git(t, "tag"))
}
