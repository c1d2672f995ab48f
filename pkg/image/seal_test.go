package image_test

import (
	"bytes"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// tamper writes another content of a file of the trail.
func (b *bench) tamper(path string, content []byte) {
	b.t.Helper()
	_, err := b.options().Trail.Write(b.t.Context(), trail.Entry{Kind: "image", Subject: "tampered", Files: map[string][]byte{path: content}})
	require.NoError(b.t, err)
}

func TestAnImageIsVouchedFor(t *testing.T) {
	b := newBench(t)
	r, err := b.bake(b.options())
	require.NoError(t, err)
	s, err := image.Verify(t.Context(), b.options(), r.Image)
	require.NoError(t, err)
	assert.Equal(t, r.Inventory.Digest(), s.Content)
	assert.Equal(t, r.Recipe.Commit, s.Commit)
	assert.Equal(t, r.Recipe.Base.ID, s.Base.ID)
	assert.Equal(t, "1.11.2", s.Tools["packer"])
	assert.Equal(t, 2, s.Examples)

	i, err := b.client.Image(t.Context(), r.Image)
	require.NoError(t, err)
	snapshots, err := b.client.SnapshotsByID(t.Context(), i.Snapshots)
	require.NoError(t, err)
	require.Len(t, snapshots, 1)
	for tag, want := range s.Tags {
		assert.NotEmpty(t, want, tag)
		assert.Equal(t, want, i.Tags[tag], tag)
		assert.Equal(t, want, snapshots[0].Tags[tag], tag)
	}
	for _, tag := range []string{
		image.TagState, image.TagKey, image.TagRole, image.TagCommit, image.TagBase, image.TagPacker, image.TagPuppet, image.TagServerspec,
		image.TagContent, image.TagPackages, image.TagExamples, image.TagBuilder,
	} {
		assert.Contains(t, s.Tags, tag)
	}

	read := func(name string) []byte {
		body, ok, err := b.options().Trail.Read(t.Context(), "cloudformation/evidence/images/"+r.Image+"/"+name)
		require.NoError(t, err)
		require.True(t, ok, name)
		return body
	}
	var bom cdx.BOM
	require.NoError(t, cdx.NewBOMDecoder(bytes.NewReader(read("sbom.cdx.json")), cdx.BOMFileFormatJSON).Decode(&bom))
	require.Len(t, *bom.Components, 2)
	assert.Equal(t, "pkg:deb/debian/apache2@2.4?arch=amd64", (*bom.Components)[0].PackageURL)
	assert.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`, bom.SerialNumber)

	refuses := func(name, text string) {
		t.Helper()
		_, err := image.Verify(t.Context(), b.options(), r.Image)
		f := failure(t, err)
		assert.Equal(t, report.Policy, f.ExitStatus(), name)
		assert.Equal(t, "E-PROV-05", f.ID, name)
		assert.ErrorContains(t, err, text, name)
	}
	// Each tag of the image and of its snapshot, changed and removed.
	for _, id := range append([]string{r.Image}, i.Snapshots...) {
		for tag, want := range s.Tags {
			require.NoError(t, b.client.Tag(t.Context(), []string{id}, compute.Tags{tag: want + "x"}))
			refuses(tag+" of "+id, "tag "+tag+" of "+id)
			require.NoError(t, b.client.Tag(t.Context(), []string{id}, compute.Tags{tag: want}))
		}
	}
	// Each file that is kept of it; every byte of the envelope is pkg/provenance's to test.
	for name, text := range map[string]string{"statement.json": "not to be trusted", "inventory.json": "is not what was signed", "sbom.cdx.json": "is not what was signed"} {
		good := read(name)
		for _, at := range []int{0, len(good) / 3, len(good) - 2} {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			b.tamper("cloudformation/evidence/images/"+r.Image+"/"+name, bad)
			refuses(name, text)
		}
		b.tamper("cloudformation/evidence/images/"+r.Image+"/"+name, nil)
		refuses("no "+name, "")
		b.tamper("cloudformation/evidence/images/"+r.Image+"/"+name, good)
	}
	_, err = image.Verify(t.Context(), b.options(), r.Image)
	require.NoError(t, err)

	// Another image under the statement of this one.
	b.tamper(image.StatementPath("ami-0aaaaaaaaaaaaaaaa"), read("statement.json"))
	_, err = image.Verify(t.Context(), b.options(), "ami-0aaaaaaaaaaaaaaaa")
	require.ErrorContains(t, err, "the statement is about "+r.Image)
	// Another key's word.
	was := b.target.Signing
	b.target.Signing = signing(t)
	refuses("no key is trusted", "no key is trusted")
	o := b.options()
	o.Force = true
	_, err = b.bake(o)
	require.NoError(t, err)
	refuses("another key", "which nobody trusts")
	b.target.Signing = was
}

func TestAGoodImageThatNothingVouchesForIsInspectedAgain(t *testing.T) {
	b := newBench(t)
	r, err := b.bake(b.options())
	require.NoError(t, err)
	b.tamper(image.StatementPath(r.Image), nil)
	again, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, r.Image, again.Image)
	assert.False(t, again.Reused)
	assert.Equal(t, 1, b.tools.builds)
	_, err = image.Verify(t.Context(), b.options(), r.Image)
	require.NoError(t, err)
	b.onlyLeft(r.Image)

	// And found bad it stays: something may run it.
	b.tamper(image.StatementPath(r.Image), nil)
	b.tools.failing = []string{"Package puppet is absent"}
	_, err = b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-11", f.ID)
	assert.Contains(t, f.State, "the image is there")
	b.onlyLeft(r.Image)
}

func TestWithoutAKeyNothingIsBaked(t *testing.T) {
	b := newBench(t)
	b.target.Signing.Key = ""
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-PROV-02", f.ID)
	assert.Equal(t, report.Usage, f.ExitStatus())
	b.target.Signing.Key, b.target.Signing.Make = "/nowhere/key.pem", false
	_, err = b.bake(b.options())
	assert.Equal(t, "E-PROV-02", failure(t, err).ID)
	assert.Zero(t, b.tools.builds)
}
