package recovery_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// drill is one whose first region is lost in the middle of it, if region is said.
func (w *world) drill(t testing.TB, region, scenario string, hooks ...func(pipeline.Event)) (*recovery.Drill, error) {
	t.Helper()
	d, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, region)}, scenario)
	require.NoError(t, err)
	return d, d.Do(t.Context(), w.tell(t, hooks...))
}

// TestBesideProduction is one production that much is practised beside.
func TestBesideProduction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.produce(t)
	t.Run("a drill leaves nothing", func(t *testing.T) { drillLeavesNothing(t, w, key) })
	t.Run("a drill that fails cleans up", func(t *testing.T) { drillCleansUp(t, w) })
	t.Run("the domain is led back", func(t *testing.T) { domainIsLedBack(t, w) })
	t.Run("the first region is lost in mid-drill", func(t *testing.T) { lostInMidDrill(t, w) })
	t.Run("what does not serve is not led to", func(t *testing.T) { nothingServes(t, w) })
}

func drillLeavesNothing(t *testing.T, w *world, key string) {
	was := record(t, w.chain(t, home), "www.hello.example.")
	w.backup(t)

	d, err := w.drill(t, away, "")
	require.NoError(t, err)
	assert.Equal(t, "region", d.Scenario)
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Equal(t, was, record(t, w.chain(t, home), "www.hello.example."), "no record of production was touched")
	require.Len(t, d.Report.Served, 2)
	for _, a := range d.Report.Served {
		assert.Positive(t, a.Requests, a.Phase)
		assert.Zero(t, a.Failed, a.Phase)
	}
	assert.True(t, d.Report.Good())
	assert.Empty(t, d.Report.Leftovers)
	assert.Equal(t, []string{"web-production", "web-production-outside-" + home}, w.stacks())
	var r recovery.Report
	c := w.chain(t, away)
	b, ok, err := c.Trail.Read(t.Context(), recovery.RecordPath(c.Place, "drill"))
	require.NoError(t, err)
	require.True(t, ok, "the trail has the report")
	require.NoError(t, json.Unmarshal(b, &r))
	assert.Equal(t, d.Report.Took, r.Took)
	assert.NotEmpty(t, r.Untested)
	assert.Len(t, r.Restored, 2, "the image runs, the templates were cloned")
	assert.Contains(t, r.Cost, "USD")
	assert.Empty(t, history(t, c), "a drill is no release")
	page, err := os.ReadFile(d.Report.Files)
	require.NoError(t, err)
	assert.Contains(t, string(page), "scenario region")

	reserves, err := recovery.Reserves(t.Context(), c)
	require.NoError(t, err)
	lines, err := recovery.Judge(c, reserves)
	require.NoError(t, err, "both regions have the image, and the drill was just now")
	assert.Contains(t, strings.Join(lines, "\n"), "scenario region")

	// A drill that takes longer than was promised is a failure.
	late, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, home)}, "")
	require.NoError(t, err)
	assert.Equal(t, "stack", late.Scenario)
	late.Report.Objective = time.Millisecond
	err = late.Do(t.Context(), w.tell(t))
	require.ErrorContains(t, err, "E-DR-06")
	assert.Equal(t, report.Policy, report.Code(err))
	reserves, err = recovery.Reserves(t.Context(), w.chain(t, home))
	require.NoError(t, err)
	_, err = recovery.Judge(c, reserves)
	require.ErrorContains(t, err, "last drill: it failed: E-DR-06")
	require.ErrorContains(t, err, "restored by it: the last drill did not restore: templates", "there is nothing of production in the vault of its own region")
	assert.Equal(t, report.Policy, report.Code(err))

	for scenario, want := range map[string]string{
		"region": "is the region that is lost", "flood": "there is no scenario", "ci-gone": "names no backup of the CI server", "database-corrupt": "keeps no data that could be corrupt",
	} {
		_, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, home)}, scenario)
		require.ErrorContains(t, err, want)
		assert.Equal(t, report.Usage, report.Code(err))
	}
}

// What somebody has set, or has beside the clone, whoever recovers has not.
func TestInputsThatNobodyDeclaredFailTheDrill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.environ = append(w.environ, "CHAIN_TRAIL_BRANCH=other")
	w.baked(t, home)
	d, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, home)}, "")
	require.NoError(t, err)
	err = d.Do(t.Context(), w.tell(t))
	require.ErrorContains(t, err, "CHAIN_TRAIL_BRANCH (other) is from outside the repository")
	assert.Contains(t, report.AsFailure(err).Next, "unset CHAIN_TRAIL_BRANCH")
	assert.Contains(t, d.Report.Inputs, recovery.Input{Name: "CHAIN_TRAIL_BRANCH", Value: "other"})
	w.configure(t, "        sizes:", "        recovery: {inputs: [CHAIN_TRAIL_BRANCH]}\n        sizes:")
	_, err = w.drill(t, home, "")
	require.NoError(t, err)
}

// Nothing is asked of the first region once it is supposed to be lost.
func lostInMidDrill(t *testing.T, w *world) {
	d, err := w.drill(t, away, "region", func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "suppose that it is lost" {
			w.lose(t, home, true)
		}
	})
	require.NoError(t, w.l.ClearFaults())
	// The drill comes to its end; that users of production were not served is told.
	require.ErrorContains(t, err, "production beside it")
	assert.Positive(t, d.Report.Took)
	assert.Empty(t, d.Report.Leftovers)
	assert.Equal(t, []string{"web-production", "web-production-outside-" + home}, w.stacks())
}

func drillCleansUp(t *testing.T, w *world) {
	defer func() { require.NoError(t, w.l.ClearFaults()) }()
	w.fault(t, "machine", map[string]string{"region": away}, map[string]string{"broken": "true"})
	d, err := w.drill(t, away, "")
	require.Error(t, err)
	assert.NotEmpty(t, d.Report.Error)
	for _, s := range w.l.Status().Stacks {
		assert.False(t, strings.HasPrefix(s.Name, "web-recovery"), s.Name)
	}
}

func (w *world) stacks() (names []string) {
	for _, s := range w.l.Status().Stacks {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}
