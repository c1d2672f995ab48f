package image_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
)

func TestCompareWordsWhatChanged(t *testing.T) {
	a := image.Inventory{
		Packages: []image.Package{{Name: "apache2", Version: "2.4.57-2"}, {Name: "libapr1", Version: "1.7.2-3"}, {Name: "old", Version: "1"}, {Name: "pre", Version: "1.0"}},
		Files:    []image.File{{Path: "/a", Kind: "f", Mode: "644", Digest: "1"}, {Path: "/b", Kind: "f", Mode: "644", Digest: "1"}, {Path: "/c", Kind: "l", Link: "x"}},
		Units:    []string{"ssh.service"}, Ports: []string{"tcp/22"}, Users: []string{"root:0:0:/root:/bin/bash"}, KiB: 100 * 1024,
	}
	b := image.Inventory{
		Packages: []image.Package{{Name: "apache2", Version: "2.4.57-10"}, {Name: "libapr1", Version: "1.7.2-3"}, {Name: "new", Version: "1"}, {Name: "pre", Version: "1.0~rc1"}},
		Files:    []image.File{{Path: "/a", Kind: "f", Mode: "755", Digest: "1"}, {Path: "/c", Kind: "l", Link: "y"}, {Path: "/d", Kind: "f"}},
		Units:    []string{"apache2.service", "ssh.service"}, Ports: []string{"tcp/22", "tcp/80"}, Users: []string{"root:0:0:/root:/bin/sh"}, Setuid: []string{"/x"}, KiB: 150 * 1024,
	}
	assert.Equal(t, []string{
		"package upgraded: apache2 2.4.57-2 -> 2.4.57-10", "package added: new 1", "package removed: old 1", "package downgraded: pre 1.0 -> 1.0~rc1",
		"file changed: /a (mode 644 -> 755)", "file removed: /b", "file changed: /c (to x -> y)", "file added: /d",
		"unit enabled added: apache2.service", "port added: tcp/80", "account added: root:0:0:/root:/bin/sh", "account removed: root:0:0:/root:/bin/bash",
		"setuid added: /x", "size: 100.0 MiB -> 150.0 MiB (+50.0)",
	}, image.Compare(a, b))
	assert.Empty(t, image.Compare(a, a))
	assert.NotEqual(t, a.Digest(), b.Digest())
}

func TestShowAndDiff(t *testing.T) {
	b := newBench(t)
	first, err := b.bake(b.options())
	require.NoError(t, err)
	put(t, b.dir, "puppet/page", "Hello World!\n")
	commit(t, b.dir, "page")
	b.spoil.Store(func(s map[string]string) { s["packages"] = strings.Replace(s["packages"], "\t2.4\t", "\t2.5\t", 1) })
	second, err := b.bake(b.options())
	require.NoError(t, err)
	lines, err := image.Diff(t.Context(), b.options(), first.Image, second.Image)
	require.NoError(t, err)
	assert.Equal(t, []string{"package upgraded: apache2 2.4 -> 2.5", "recipe: puppet/page changed"}, lines)
	_, err = image.Diff(t.Context(), b.options(), first.Image, "ami-0aaaaaaaaaaaaaaaa")
	assert.Equal(t, "E-IMG-03", failure(t, err).ID)

	shown := func(ami string) string {
		lines, err := image.Show(t.Context(), b.options(), ami)
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	for _, text := range []string{second.Image, second.Recipe.Key, second.Recipe.Commit, second.Recipe.Base.ID, "packer 1.11.2", "puppet 7.23", "2 expectations met", "vouched    yes", "2 packages", second.Inventory.Digest()} {
		assert.Contains(t, shown(second.Image), text)
	}
	require.NoError(t, b.client.Tag(t.Context(), []string{second.Image}, map[string]string{image.TagKey: "x"}))
	assert.Contains(t, shown(second.Image), "vouched    NO: not to be trusted: tag chain:key")
	_, err = image.Show(t.Context(), b.options(), "ami-0aaaaaaaaaaaaaaaa")
	assert.Equal(t, "E-IMG-02", failure(t, err).ID)
}
