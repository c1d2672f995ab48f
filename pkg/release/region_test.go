package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
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
	w.write(t, file, strings.Replace(string(b), "regions: ["+region+"]", "regions: ["+region+", us-east-1]\n        keys: {us-east-1: alias/images}", 1))
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
}
