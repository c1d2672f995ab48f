package release_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// TestAReleaseInASecondRegionUsesTheCopy bakes in the first region of an
// environment and releases in the second.
func TestAReleaseInASecondRegionUsesTheCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.clone, config.File)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	w.write(t, file, strings.Replace(string(b), "regions: ["+region+"]", "regions: ["+region+", us-east-1]\n        live: ["+region+", us-east-1]\n        keys: {us-east-1: alias/images}", 1))
	w.render(t)
	w.commit(t, "two regions")
	original, key := w.page(t, "Hello World")
	there := append([]string{"CHAIN_REGION=us-east-1"}, w.environ...)
	here := w.environ

	w.environ = there
	_, err = w.release(t)
	require.ErrorContains(t, err, "E-BAKE-16")
	assert.Equal(t, report.Usage, report.Code(err))
	assert.Empty(t, w.stacks())

	w.environ = here
	o, err := w.chain(t).Bakes("")
	require.NoError(t, err)
	assert.Equal(t, "alias/images", o[0].Copies[0].Key)
	r, err := image.Bake(t.Context(), pipeline.Env{}, o[0])
	require.NoError(t, err)
	assert.Equal(t, original, r.Image)

	copies := w.recorded("CopyImage")
	require.Len(t, copies, 1)
	assert.Equal(t, "alias/images", copies[0].Get("KmsKeyId"))

	w.environ = there
	s, err := w.release(t)
	require.NoError(t, err)
	assert.NotEqual(t, original, s.Live.Image(), "an id is of one region")
	i, err := s.Compute.Image(t.Context(), s.Live.Image())
	require.NoError(t, err)
	assert.Equal(t, region+" "+original, i.Tags[image.TagCopy])
	assert.Equal(t, "web-production-us-east-1.hello.example", s.Live.Parameters["Domain"], "one name is of one stack, and the domain of the first region's")
	assert.Equal(t, key, i.Tags[image.TagKey])

	// Without CHAIN_REGION a release reaches one region after another.
	w.environ = here
	regions, err := release.Regions(w.config(t), "", "")
	require.NoError(t, err)
	require.Equal(t, []string{region, "us-east-1"}, regions)
	one := release.One(regions, "rollback")
	assert.Equal(t, report.Usage, report.Code(one))
	var refused *report.Failure
	require.ErrorAs(t, one, &refused)
	assert.Contains(t, refused.Next, "CHAIN_REGION=us-east-1 ./station.sh rollback")
	var done []*release.State
	everywhere := func() error {
		done = nil
		return release.Each(regions, func(in string) error {
			w.environ = append([]string{"CHAIN_REGION=" + in}, here...)
			s, err := w.release(t)
			done = append(done, s)
			return err
		})
	}
	require.NoError(t, everywhere())
	assert.Empty(t, done[0].Nothing)
	assert.NotEmpty(t, done[1].Nothing, "it was released there before")

	w.environ = here
	_, next := w.page(t, "Hello World, again")
	w.fault(t, "machine", map[string]string{"stack": "web-production"}, map[string]string{"broken": "true"}, -1)
	err = everywhere()
	assert.Equal(t, report.RolledBack, report.Code(err), "%v", err)
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, refused.State, "stopped in "+region+"; not begun, and as old as before, in us-east-1")
	require.Len(t, done, 1)

	require.NoError(t, w.l.ClearFaults())
	require.NoError(t, everywhere())
	require.Len(t, done, 2)
	assert.NotEqual(t, done[0].PlanID(), done[1].PlanID())
	for i, s := range done {
		assert.Equal(t, regions[i], s.Place.Region)
		assert.Equal(t, next, s.Key)
		assert.Equal(t, []string{s.Live.Image()}, s.Live.Images())
		list, err := s.Trail.History(t.Context(), s.Place, 0)
		require.NoError(t, err)
		assert.Equal(t, [...]int{4, 5}[i], list[0].Number, "each region has records of its own, one count is for all")
		assert.Len(t, list, [...]int{3, 2}[i])
		require.NotNil(t, s.Evidence)
	}
	assert.NotEqual(t, done[0].Evidence.Commit, done[1].Evidence.Commit, "and evidence")
}

func TestRegionsAreDoneInTheirOrderUntilOneFails(t *testing.T) {
	t.Parallel()
	var reached []string
	err := release.Each([]string{"a", "b", "c", "d"}, func(region string) error {
		reached = append(reached, region)
		if region == "c" {
			return fmt.Errorf("a step: %w", &report.Failure{Code: report.RolledBack, What: "it was taken back", State: "production runs what it ran before"})
		}
		return nil
	})
	assert.Equal(t, []string{"a", "b", "c"}, reached)
	assert.Equal(t, report.RolledBack, report.Code(err))
	var f *report.Failure
	require.ErrorAs(t, err, &f)
	assert.Equal(t, "production runs what it ran before; done in a, b; stopped in c; not begun, and as old as before, in d", f.State)
	err = release.Each([]string{"a", "b"}, func(string) error { return context.Canceled })
	assert.Equal(t, report.Detached, report.Code(err), "%v", err)
	err = release.Each([]string{"a"}, func(string) error { return context.Canceled })
	assert.Equal(t, context.Canceled, err, "one region needs no other words")
}
