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
	"github.com/build-deploy-chain/chain/pkg/template"
)

// TestATemplateOfTwoImages has a worker beside the site's own role: an image of
// its own, named by a parameter of the same template.
func TestATemplateOfTwoImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.clone, config.File)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	w.write(t, file, strings.Replace(string(b), "\nimages:\n", "\nimages:\n  worker: {site: web, parameter: WorkerImageId}\n  ci: {}\n", 1))
	w.extend = []template.Extend{func(tpl *template.Template, _ *config.Environment) error {
		tpl.Outputs = append(tpl.Outputs, template.Output{ID: "Worker", Description: "What a worker would run.", Value: template.Ref("WorkerImageId")})
		return nil
	}}
	w.render(t)
	w.commit(t, "a worker")
	bakeWorker := func() string {
		ami, _ := w.bakedRole(t, "worker", "jobs")
		o, err := w.chain(t).Bakes("worker")
		require.NoError(t, err)
		r, err := image.Bake(t.Context(), pipeline.Env{}, o[0])
		require.NoError(t, err)
		require.Equal(t, ami, r.Image)
		return ami
	}

	w.page(t, "Hello World")
	_, err = w.release(t)
	require.ErrorContains(t, err, "parameter WorkerImageId names "+template.NotBaked)
	assert.Equal(t, report.Usage, report.Code(err))
	assert.Empty(t, w.stacks())

	first := bakeWorker()
	s, err := w.release(t)
	require.NoError(t, err)
	assert.Equal(t, first, s.Live.Parameters["WorkerImageId"])
	s, err = w.release(t)
	require.NoError(t, err)
	assert.NotEmpty(t, s.Nothing)

	// Both are of another commit now. Neither goes without the other.
	web, _ := w.page(t, "Hello World, again")
	_, err = w.release(t)
	require.ErrorContains(t, err, "not role worker of this commit")
	second := bakeWorker()
	w.forget()
	s, err = w.release(t)
	require.NoError(t, err)
	assert.Equal(t, web, s.Live.Image())
	assert.Equal(t, second, s.Live.Parameters["WorkerImageId"])
	for _, f := range w.recorded("CreateChangeSet") {
		if f.Get("StackName") != "web-production" {
			continue
		}
		for name, v := range f {
			assert.False(t, strings.HasSuffix(name, ".ParameterKey") && v[0] == "WorkerImageId", "its default is what runs")
		}
	}

	// The way back is to both.
	s, err = w.run(t.Context(), t, false, -1)
	require.NoError(t, err)
	assert.Equal(t, first, s.Live.Parameters["WorkerImageId"])

	_, err = w.chain(t).Bakes("nobody")
	assert.ErrorContains(t, err, "it has web, worker, ci, teamcity_agent, teamcity_server")

	// A role that no site names is baked if it is asked for, and changes no template.
	ci, _ := w.bakedRole(t, "ci", "jobs")
	all, err := w.chain(t).Bakes("")
	require.NoError(t, err)
	assert.Len(t, all, 2)
	one, err := w.chain(t).Bakes("ci")
	require.NoError(t, err)
	r, err := image.Bake(t.Context(), pipeline.Env{}, one[0])
	require.NoError(t, err)
	assert.Equal(t, ci, r.Image)
	s, err = w.release(t)
	require.NoError(t, err)
	assert.NotEqual(t, ci, s.Live.Image())
}
