package image_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// elsewhere is another region with a template of its own.
func (b *bench) elsewhere(region string) image.Destination {
	b.t.Helper()
	there := *b.target
	there.Region = region
	cfg, err := there.AWS(b.t.Context())
	require.NoError(b.t, err)
	return image.Destination{Target: &there, Client: compute.New(cfg), Places: []trail.Place{{Site: "web", Environment: "production", Region: region}}}
}

func TestEveryRegionGetsACopyOrNone(t *testing.T) {
	b := newBench(t)
	regions := []string{"us-east-1", "eu-central-1"}
	var copies []image.Destination
	for _, r := range regions {
		put(t, b.dir, "cloudformation/web/production."+r+".yaml", "Parameters:\n  ImageId:\n    Type: AWS::EC2::Image::Id\n    Default: ami-00000000000000000\n")
		copies = append(copies, b.elsewhere(r))
	}
	commit(t, b.dir, "three regions")
	in := func(p trail.Place) string {
		body, ok, err := b.options().Trail.Read(t.Context(), p.Template())
		require.NoError(t, err)
		require.True(t, ok)
		id, err := template.Image(body)
		require.NoError(t, err)
		return id
	}
	list := func(d image.Destination) []compute.Image {
		images, err := d.Client.Images(t.Context(), compute.ImageQuery{Owner: "self"})
		require.NoError(t, err)
		return images
	}

	// The last region refuses: no copy is kept, no template names one.
	_, err := b.lab.Fault(state.Fault{Kind: "error", Match: map[string]string{"service": "ec2", "action": "CopyImage", "region": "eu-central-1"}, Args: map[string]string{"code": "ResourceLimitExceeded"}, Times: 1})
	require.NoError(t, err)
	o := b.options()
	o.Copies = copies
	_, err = b.bake(o)
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-14", f.ID)
	assert.Equal(t, report.BakeFailed, f.ExitStatus())
	for _, d := range copies {
		assert.Empty(t, list(d))
		assert.Equal(t, template.NotBaked, in(d.Places[0]))
		snapshots, err := d.Client.Snapshots(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, snapshots)
	}
	assert.Equal(t, template.NotBaked, b.inTemplate())

	// The same command again finds the image, and copies it.
	o = b.options()
	o.Copies = copies
	r, err := b.bake(o)
	require.NoError(t, err)
	assert.Equal(t, 1, b.tools.builds)
	assert.Equal(t, r.Image, b.inTemplate())
	original, err := b.client.Image(t.Context(), r.Image)
	require.NoError(t, err)
	for _, d := range copies {
		images := list(d)
		require.Len(t, images, 1)
		c := images[0]
		assert.Equal(t, c.ID, in(d.Places[0]))
		assert.NotEqual(t, r.Image, c.ID)
		assert.Equal(t, "eu-west-1 "+r.Image, c.Tags[image.TagCopy])
		for _, tag := range []string{image.TagKey, image.TagRole, image.TagState, image.TagCommit, image.TagBase, image.TagContent, image.TagExpires} {
			assert.Equal(t, original.Tags[tag], c.Tags[tag], tag)
		}
		there := b.options()
		there.Target, there.Client = d.Target, d.Client
		story, err := image.Verify(t.Context(), there, c.ID)
		require.NoError(t, err)
		assert.Equal(t, "eu-west-1 "+r.Image, story.Copy)
		assert.True(t, c.Encrypted)
	}

	// Again: nothing is copied twice.
	o = b.options()
	o.Copies = copies
	again, err := b.bake(o)
	require.NoError(t, err)
	assert.True(t, again.Reused)
	assert.False(t, again.Written.New)
	for _, d := range copies {
		assert.Len(t, list(d), 1)
	}
}
