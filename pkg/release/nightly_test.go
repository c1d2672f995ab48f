package release_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// TestNobodyIsTurnedAway releases, fails and goes back until users asked 30,000
// times: no request fails, which is an availability of 99.99 % at 95 % confidence.
// It takes minutes and belongs to the nightly checks, CHAIN_TEST_NIGHTLY=1.
func TestNobodyIsTurnedAway(t *testing.T) {
	if os.Getenv("CHAIN_TEST_NIGHTLY") == "" {
		t.Skip("it takes minutes: CHAIN_TEST_NIGHTLY=1 runs it")
	}
	const wanted = 30000
	// Waits as in the lab that people run, so that a roll has its time.
	w := newWorld(t, func(o *lab.Options) { o.Factor = 10 })
	w.rate = 0
	var total, failed int
	var gap, p50, p95, p99 time.Duration
	began := time.Now()
	count := func(kind string, s *release.State, fresh bool) {
		list := s.Available
		if fresh {
			list = append(list, s.Rehearsal.Record.Availability...)
		}
		for _, a := range list {
			total, failed, gap = total+a.Requests, failed+a.Failed, max(gap, a.Gap)
			p50, p95, p99 = max(p50, a.P50), max(p95, a.P95), max(p99, a.P99)
			assert.Zero(t, a.Failed, "%s, %s: %s", kind, a.Phase, a)
			t.Logf("%-10s %-14s %s", kind, a.Phase, a.Figures())
		}
	}
	run := func(kind string, code int, set func(*release.State)) {
		s := w.chain(t).Start()
		s.Environment.Rollback.Cancel, s.Rehearsal.Cancel = true, true
		if set != nil {
			set(s)
		}
		err := s.Do(t.Context(), pipeline.Env{})
		require.Equal(t, code, report.Code(err), "%s: %v", kind, err)
		count(kind, s, len(s.Rehearsal.Record.Ways) > 0)
	}
	w.page(t, "Hello World")
	run("create", report.OK, nil)
	for n := 1; total < wanted; n++ {
		w.page(t, fmt.Sprintf("Hello World, %d", n))
		run("update", report.OK, nil)
		run("rollback", report.OK, func(s *release.State) { s.Back = -1 })
		w.page(t, fmt.Sprintf("Hello World, broken %d", n))
		w.fault(t, "machine", map[string]string{"stack": "web-production"}, map[string]string{"broken": "true"}, -1)
		run("failing", report.RolledBack, nil)
		require.NoError(t, w.l.ClearFaults())
	}
	t.Logf("%d requests, %d failed, in %s; the worst phase: p50 %s, p95 %s, p99 %s, longest gap %s", total, failed, time.Since(began).Round(time.Second), p50, p95, p99, gap)
	assert.GreaterOrEqual(t, total, wanted)
	assert.Zero(t, failed)
}
