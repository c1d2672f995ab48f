package image_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/image"
)

// withTools gives the repository a stage for the tools.
func withTools(t *testing.T, b *bench) {
	t.Helper()
	put(t, b.dir, "packer/provision.sh", "install\n")
	put(t, b.dir, "puppet/Puppetfile", "mod 'puppetlabs-apache', '5.5.0'\n")
	commit(t, b.dir, "tools")
}

// made is the one image of the tools that is there.
func (b *bench) madeTools() compute.Image {
	b.t.Helper()
	list, err := b.client.Images(b.t.Context(), compute.ImageQuery{Owner: "self", Tags: compute.Tags{image.TagRole: image.ToolsRole}})
	require.NoError(b.t, err)
	require.Len(b.t, list, 1)
	return list[0]
}

func TestLaterBakesStartFromTheTools(t *testing.T) {
	b := newBench(t)
	withTools(t, b)
	first, err := b.bake(b.options())
	require.NoError(t, err)
	tools := b.madeTools()
	assert.Equal(t, []string{first.Recipe.Base.ID + " tools", tools.ID + " "}, b.tools.stages)
	assert.Equal(t, image.Good, tools.Tags[image.TagState])
	i, err := b.client.Image(t.Context(), first.Image)
	require.NoError(t, err)
	assert.Equal(t, first.Recipe.Base.ID, i.Tags[image.TagBase], "the base stays what the image is made from")

	put(t, b.dir, "puppet/page", "Hello World, again\n")
	commit(t, b.dir, "page")
	second, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, tools.ID+" ", b.tools.stages[2])
	assert.Len(t, b.tools.stages, 3, "the tools are not made again")
	b.onlyLeft(first.Image, second.Image, tools.ID)

	put(t, b.dir, "packer/tools.env", "PUPPET=8.1\nSERVERSPEC=2.42\n")
	commit(t, b.dir, "newer tools")
	_, err = b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, first.Recipe.Base.ID+" tools", b.tools.stages[3], "other tools, another image of them")
}

func TestABakeKilledWhileItMakesTheTools(t *testing.T) {
	for _, where := range []string{"builder", "image"} {
		t.Run(where, func(t *testing.T) {
			b := newBench(t)
			withTools(t, b)
			b.tools.stop = where
			assert.PanicsWithValue(t, "killed", func() { _, _ = b.bake(b.options()) })
			b.tools.stop = ""
			r, err := b.bake(b.options())
			require.NoError(t, err)
			assert.False(t, r.Adopted, "what was adopted is the tools' image")
			b.onlyLeft(r.Image, b.madeTools().ID)
		})
	}
}

func TestToolsThatCannotBeInstalled(t *testing.T) {
	b := newBench(t)
	withTools(t, b)
	b.tools.refuse = "install Puppet and Serverspec: the package registry cannot be reached (apt-get update)"
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-09", f.ID)
	b.onlyLeft()
}
