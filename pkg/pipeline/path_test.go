package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

func TestTheCriticalPathIsTheLongestOfWhatWaitsForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := func(name string, d time.Duration) pipeline.Step[state] {
			return step(name, func(context.Context, *pipeline.Run, *state) error { time.Sleep(d); return nil })
		}
		list := func(steps ...pipeline.Step[state]) []pipeline.Step[state] { return steps }
		var p pipeline.Path
		err := pipeline.Do(t.Context(), pipeline.Env{Tell: p.Hear}, &state{},
			takes("look", time.Second),
			pipeline.Together("prepare",
				list(takes("bake", 30*time.Second), takes("inspect", 10*time.Second)),
				list(takes("bring up", 20*time.Second), pipeline.Together("more", list(takes("short", time.Second)), list(takes("long", 5*time.Second)))),
			),
			skipped{takes("nothing", time.Hour)},
			pipeline.Together("again", list(takes("quick", time.Second)), list(takes("slow", 4*time.Second), pipeline.Together("deep", list(takes("deeper", 2*time.Second))))),
			takes("release", 9*time.Second),
		)
		require.NoError(t, err)
		chain, sum, wall := p.Critical()
		var names []string
		for _, s := range chain {
			names = append(names, s.Step)
		}
		assert.Equal(t, []string{"look", "bake", "inspect", "slow", "deeper", "release"}, names)
		assert.Equal(t, 56*time.Second, sum)
		assert.Equal(t, 56*time.Second, wall)
	})
	var p pipeline.Path
	chain, _, _ := p.Critical()
	assert.Empty(t, chain)
}
