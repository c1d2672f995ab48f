package image_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// worker is a bake of a second role of the repository: its class, specs and
// parameter have names of their own, and it serves no page.
func (b *bench) worker() image.Options {
	o := b.options()
	o.Role, o.Puppet, o.Specs, o.Parameter = "worker", "queue", "jobs", "WorkerImageId"
	return o
}

func (b *bench) images() map[string]string {
	b.t.Helper()
	body, ok, err := b.options().Trail.Read(b.t.Context(), production.Template())
	require.NoError(b.t, err)
	require.True(b.t, ok)
	images, err := template.Images(body)
	require.NoError(b.t, err)
	return images
}

func TestTwoRolesOfOneRepository(t *testing.T) {
	b := newBench(t)
	twice := "Parameters:\n  ImageId:\n    Type: AWS::EC2::Image::Id\n    Default: ami-00000000000000000\n" +
		"  WorkerImageId:\n    Type: AWS::EC2::Image::Id\n    Default: ami-00000000000000000\n  Size:\n    Type: String\n    Default: small\n"
	put(t, b.dir, "cloudformation/web/production.eu-west-1.yaml", twice)
	put(t, b.dir, "serverspec/spec/jobs/queue_spec.rb", "# a queue\n")
	commit(t, b.dir, "a second role")

	web, err := b.bake(b.options())
	require.NoError(t, err)
	b.tools.page = "It works!" // nobody asks a worker for one
	worker, err := b.bake(b.worker())
	require.NoError(t, err)
	b.tools.page = ""
	assert.Equal(t, []string{"worker", "queue", "jobs"}, []string{b.tools.last.Role, b.tools.last.Class, b.tools.last.Specs})
	assert.NotEqual(t, web.Recipe.Key, worker.Recipe.Key)
	assert.Equal(t, map[string]string{"ImageId": web.Image, "WorkerImageId": worker.Image}, b.images())
	b.onlyLeft(web.Image, worker.Image)
	o := b.worker()
	last, err := image.Last(t.Context(), o.Trail, "worker", "eu-west-1")
	require.NoError(t, err)
	assert.Equal(t, worker.Image, last.Image)
	_, err = image.Verify(t.Context(), o, worker.Image)
	require.NoError(t, err)

	// Each is found again by its own key, and the name of the class is in it.
	again, err := b.bake(b.worker())
	require.NoError(t, err)
	assert.True(t, again.Reused)
	o = b.worker()
	o.Puppet = ""
	e, err := image.Explain(t.Context(), o)
	require.NoError(t, err)
	assert.Nil(t, e.Reuse)
	assert.Equal(t, []string{"puppet class queue -> worker"}, e.Changes)

	// A template that the user changed gets both images of the trail; one that was
	// set by hand stays.
	put(t, b.dir, "cloudformation/web/production.eu-west-1.yaml", twice+"# more\n")
	put(t, b.dir, "puppet/page", "Hello World, again\n")
	commit(t, b.dir, "page")
	second, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"ImageId": second.Image, "WorkerImageId": worker.Image}, b.images())
	byHand, err := template.SetImageOf([]byte(twice), "WorkerImageId", web.Image)
	require.NoError(t, err)
	put(t, b.dir, "cloudformation/web/production.eu-west-1.yaml", string(byHand))
	commit(t, b.dir, "by hand")
	assert.Equal(t, map[string]string{"ImageId": second.Image, "WorkerImageId": web.Image}, b.images())

	// What either role's recipe makes of HEAD is kept.
	third, err := b.bake(b.worker())
	require.NoError(t, err)
	u, err := image.Look(t.Context(), b.options(), b.account(), []trail.Place{production},
		[]config.Image{{Role: "web"}, {Role: "worker", Puppet: "queue", Specs: "jobs"}}, 1)
	require.NoError(t, err)
	why := map[string][]string{}
	for _, v := range image.Judge(u) {
		why[v.Image.ID] = v.Why
	}
	assert.Contains(t, why[second.Image], "it is of the recipe of HEAD")
	assert.Contains(t, why[third.Image], "it is of the recipe of HEAD")
	assert.Contains(t, why[third.Image], "cloudformation/evidence/images/worker.eu-west-1.json names it")
	assert.Empty(t, why[worker.Image])

	// What another role's dead bake left is not this one's to take.
	put(t, b.dir, "puppet/page", "Hello World, once more\n")
	commit(t, b.dir, "page")
	b.tools.stop = "image"
	assert.PanicsWithValue(t, "killed", func() { _, _ = b.bake(b.worker()) })
	b.tools.stop = ""
	_, err = b.bake(b.options())
	require.NoError(t, err)
	unproven, err := b.client.Images(t.Context(), compute.ImageQuery{Owner: "self", Tags: compute.Tags{image.TagRole: "worker", image.TagState: image.Unproven}})
	require.NoError(t, err)
	assert.Len(t, unproven, 1)
	adopted, err := b.bake(b.worker())
	require.NoError(t, err)
	assert.True(t, adopted.Adopted)
}
