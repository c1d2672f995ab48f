package image_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/report"
)

const debian = "136693071363"

// publish puts an image of another account into the region.
func (b *bench) publish(id, owner, name, architecture string, created time.Time) {
	b.t.Helper()
	_, err := b.client.Images(b.t.Context(), compute.ImageQuery{Owner: debian}) // makes the region what it is at first
	require.NoError(b.t, err)
	require.NoError(b.t, b.lab.Core().Do("eu-west-1", func(tx *core.Tx) error {
		tx.Region.Images[id] = &state.Image{
			ID: id, Name: name, Owner: owner, Public: true, State: "available", Architecture: architecture, RootDevice: "/dev/xvda",
			SnapshotID: "snap-" + id[4:], Created: created, SizeGiB: 8, Ref: runtime.Base, Tags: state.Tags{},
		}
		tx.Changed()
		return nil
	}))
}

func TestTheBaseImageIsPinned(t *testing.T) {
	b := newBench(t)
	first, err := b.bake(b.options())
	require.NoError(t, err)

	// A newer one appears: no release asks for it. One that somebody else named so, never.
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	b.publish("ami-0aaaaaaaaaaaaaaaa", debian, "debian-12-amd64-20261101-1", "x86_64", now)
	b.publish("ami-0bbbbbbbbbbbbbbbb", "666666666666", "debian-12-amd64-20991231-1", "x86_64", now.AddDate(1, 0, 0))
	again, err := b.bake(b.options())
	require.NoError(t, err)
	assert.True(t, again.Reused)

	// base:update takes it, in a commit of the trail; the clone stays as it is.
	before := git(t, b.dir, "status", "--porcelain") + git(t, b.dir, "for-each-ref")
	u, err := image.UpdateBase(t.Context(), b.options())
	require.NoError(t, err)
	assert.True(t, u.Written.New)
	assert.Equal(t, first.Recipe.Base.ID, u.Was.ID)
	assert.Equal(t, "ami-0aaaaaaaaaaaaaaaa", u.Is.ID)
	assert.Contains(t, strings.Join(u.Lines(now.AddDate(0, 0, 3)), "\n"), "ami-0aaaaaaaaaaaaaaaa (debian-12-amd64-20261101-1) of 2026-11-01, 3 days old")
	assert.Contains(t, strings.Join(u.Lines(now), "\n"), "newer by ")
	assert.Equal(t, before, git(t, b.dir, "status", "--porcelain")+git(t, b.dir, "for-each-ref"))
	twice, err := image.UpdateBase(t.Context(), b.options())
	require.NoError(t, err)
	assert.False(t, twice.Written.New)
	e, err := image.Explain(t.Context(), b.options())
	require.NoError(t, err)
	require.Len(t, e.Changes, 1)
	assert.Contains(t, e.Changes[0], "-> ami-0aaaaaaaaaaaaaaaa")

	// The pinned one goes: nothing else is taken for it.
	require.NoError(t, b.lab.Core().Do("eu-west-1", func(tx *core.Tx) error {
		delete(tx.Region.Images, "ami-0aaaaaaaaaaaaaaaa")
		return nil
	}))
	_, err = b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, report.Usage, f.ExitStatus())
	assert.ErrorContains(t, err, "ami-0aaaaaaaaaaaaaaaa")
	assert.Contains(t, f.Next[0], "base:update")
	assert.Equal(t, first.Image, b.inTemplate())
	b.onlyLeft(first.Image)
}

func TestABaseImageHasToBeChosen(t *testing.T) {
	b := newBench(t)
	b.target.PinFirst = false
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, report.Usage, f.ExitStatus())
	assert.Contains(t, f.Next[0], "base:update")
	_, err = image.UpdateBase(t.Context(), b.options())
	require.NoError(t, err)
	_, err = b.bake(b.options())
	require.NoError(t, err)
}

func TestABaseImageOfAnotherArchitecture(t *testing.T) {
	b := newBench(t)
	b.publish("ami-0aaaaaaaaaaaaaaaa", debian, "debian-12-amd64-20991101-1", "arm64", time.Date(2099, 11, 1, 0, 0, 0, 0, time.UTC))
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-12", f.ID)
	assert.Contains(t, f.What, "arm64")
	_, err = image.UpdateBase(t.Context(), b.options())
	assert.Equal(t, "E-BAKE-12", failure(t, err).ID)
	assert.Zero(t, b.tools.builds)
	b.onlyLeft()
}

func TestExplainStartsNothingAndWritesNothing(t *testing.T) {
	b := newBench(t)
	o := b.options()
	refs := func() string { return git(t, b.remote, "for-each-ref") + git(t, b.dir, "for-each-ref") }
	before := refs()
	say := func() string {
		e, err := image.Explain(t.Context(), b.options())
		require.NoError(t, err)
		return strings.Join(e.Lines(), "\n")
	}
	assert.Contains(t, say(), "there is no image yet")
	assert.Equal(t, before, refs())
	b.onlyLeft()
	assert.Empty(t, b.tools.commands)

	r, err := b.bake(o)
	require.NoError(t, err)
	assert.Contains(t, say(), "unchanged: reusing "+r.Image+" baked at commit "+r.Recipe.Commit)
	put(t, b.dir, "puppet/page", "Hello World!\n")
	assert.Contains(t, say(), "not committed and so not counted: puppet/page")
	commit(t, b.dir, "page")
	before = refs()
	assert.Contains(t, say(), "it would be baked, since other than "+r.Image+", which the templates name:\n  puppet/page changed")
	assert.Equal(t, before, refs())
	b.onlyLeft(r.Image)
}
