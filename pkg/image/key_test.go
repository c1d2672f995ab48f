package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

func put(t *testing.T, dir, path, content string) {
	t.Helper()
	full := filepath.Join(dir, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, []byte(content), 0o644))
}

// repository is a clone with a recipe and a template.
func repository(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	put(t, home, ".gitconfig", "[user]\n\tname = Ann Example\n\temail = ann@example.org\n[init]\n\tdefaultBranch = main\n")
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, home, "init", "--quiet", dir)
	for path, content := range map[string]string{
		".gitignore":                       "/.chain/\n",
		"README.md":                        "hello\n",
		"packer/build.pkr.hcl":             "build {}\n",
		"packer/tools.env":                 "# versions\nPUPPET=7.23\nSERVERSPEC=2.42\n",
		"packer/allowed/web":               "port tcp/80\n",
		"puppet/page":                      "Hello World\n",
		"serverspec/spec/web/page_spec.rb": "# page\n",
		"serverspec/spec/image_contract/leftovers_spec.rb": "# nothing\n",
		"cloudformation/web/production.eu-west-1.yaml":     "Parameters:\n  ImageId:\n    Type: AWS::EC2::Image::Id\n    Default: ami-00000000000000000\n",
	} {
		put(t, dir, path, content)
	}
	commit(t, dir, "first")
	return dir
}

// signing makes a key at first use.
func signing(t *testing.T) config.Signing {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key.pem")
	return config.Signing{Key: key, Trusted: []string{key + ".pub"}, Make: true}
}

func commit(t *testing.T, dir, message string) {
	t.Helper()
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "--quiet", "-m", message)
}

func key(t *testing.T, dir, role, base string) image.Recipe {
	t.Helper()
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	r, err := image.Key(t.Context(), c, head, role, image.Base{ID: base})
	require.NoError(t, err)
	return r
}

func TestTheKeyIsWhatTheImageIsMadeOf(t *testing.T) {
	dir := repository(t)
	first := key(t, dir, "web", "ami-1")
	assert.Regexp(t, `^[0-9a-f]{24}$`, first.Key)
	assert.Equal(t, map[string]string{"puppet": "7.23", "serverspec": "2.42"}, first.Tools)

	// Another laptop, another day, another way of cloning.
	other := filepath.Join(t.TempDir(), "elsewhere")
	git(t, dir, "clone", "--quiet", "--depth=1", "file://"+dir, other)
	assert.Equal(t, first.Key, key(t, other, "web", "ami-1").Key)

	// What is not part of the recipe does not count, nor what is not committed.
	put(t, dir, "README.md", "changed\n")
	commit(t, dir, "docs")
	put(t, dir, "puppet/page", "not committed\n")
	put(t, dir, "puppet/new", "not committed\n")
	assert.Equal(t, first.Key, key(t, dir, "web", "ami-1").Key)
	git(t, dir, "checkout", "--quiet", "--", "puppet")
	require.NoError(t, os.Remove(filepath.Join(dir, "puppet/new")))

	differs := func(want string, r image.Recipe) {
		t.Helper()
		assert.NotEqual(t, first.Key, r.Key)
		assert.Equal(t, []string{want}, r.Differs(first))
	}
	differs("base", key(t, dir, "web", "ami-2"))
	differs("role", key(t, dir, "db", "ami-1"))
	for _, change := range []struct{ path, content, part string }{
		{"puppet/page", "Hello\n", "puppet"},
		{"serverspec/spec/web/page_spec.rb", "# other\n", "serverspec"},
		{"packer/tools.env", "PUPPET=7.24\nSERVERSPEC=2.42\n", "packer"},
		{"puppet/Puppetfile", "mod 'x', '1'\n", "puppet"},
	} {
		put(t, dir, change.path, change.content)
		commit(t, dir, change.path)
		differs(change.part, key(t, dir, "web", "ami-1"))
		git(t, dir, "revert", "--no-edit", "HEAD")
		assert.Equal(t, first.Key, key(t, dir, "web", "ami-1").Key, "back is back: %s", change.path)
	}
	// An executable bit is part of a file, too.
	require.NoError(t, os.Chmod(filepath.Join(dir, "packer/build.pkr.hcl"), 0o755))
	commit(t, dir, "mode")
	differs("packer", key(t, dir, "web", "ami-1"))
}

// TestTheKeyIsWhatGitWouldCommit looks at clones that differ in everything a
// laptop may do to a working tree.
func TestTheKeyIsWhatGitWouldCommit(t *testing.T) {
	dir := repository(t)
	put(t, dir, "puppet/Größe und so", "Ünicode\n")
	put(t, dir, ".gitattributes", "*.sh text eol=crlf\npuppet/page export-subst\n")
	put(t, dir, "packer/provision.sh", "true\n")
	require.NoError(t, os.Chmod(filepath.Join(dir, "packer/provision.sh"), 0o755))
	commit(t, dir, "more")
	want := key(t, dir, "web", "ami-1")

	for name, change := range map[string]func(clone string){
		"line endings": func(clone string) {
			git(t, clone, "config", "core.autocrlf", "true")
			git(t, clone, "rm", "--quiet", "-r", "--cached", ".")
			git(t, clone, "reset", "--quiet", "--hard")
			b, err := os.ReadFile(filepath.Join(clone, "puppet/page"))
			require.NoError(t, err)
			require.Equal(t, "Hello World\r\n", string(b), "the working tree does differ")
		},
		"file modes": func(clone string) {
			git(t, clone, "config", "core.fileMode", "false")
			require.NoError(t, os.Chmod(filepath.Join(clone, "packer/provision.sh"), 0o600))
			require.NoError(t, os.Chmod(filepath.Join(clone, "puppet/page"), 0o777))
		},
		"locale": func(string) {
			t.Setenv("LC_ALL", "tr_TR.UTF-8")
			t.Setenv("LANG", "tr_TR.UTF-8")
		},
		"untracked and ignored files": func(clone string) {
			put(t, clone, ".git/info/exclude", "*.swp\n")
			put(t, clone, "puppet/.page.swp", "x")
			put(t, clone, "puppet/.DS_Store", "x")
		},
		"path quoting and replaced objects": func(clone string) {
			git(t, clone, "config", "core.quotePath", "true")
			git(t, clone, "config", "core.precomposeUnicode", "true")
		},
	} {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, dir, "clone", "--quiet", "file://"+dir, clone)
		change(clone)
		got := key(t, clone, "web", "ami-1")
		assert.Equal(t, want.Key, got.Key, name)
		assert.Empty(t, got.Changes(want), name)

		// And what is baked from is the same, byte for byte.
		c, err := trail.OpenClone(t.Context(), nil, clone)
		require.NoError(t, err)
		to := filepath.Join(t.TempDir(), "tree")
		require.NoError(t, c.Export(t.Context(), "HEAD", to, image.RecipePaths...))
		b, err := os.ReadFile(filepath.Join(to, "puppet/page"))
		require.NoError(t, err)
		assert.Equal(t, "Hello World\n", string(b), name)
		info, err := os.Stat(filepath.Join(to, "packer/provision.sh"))
		require.NoError(t, err)
		assert.NotZero(t, info.Mode()&0o100, name)
		assert.NoFileExists(t, filepath.Join(to, "puppet/.DS_Store"), name)
	}
}

func TestChangesNamesEachInput(t *testing.T) {
	dir := repository(t)
	was := key(t, dir, "web", "ami-1")
	put(t, dir, "puppet/page", "Hello\n")
	put(t, dir, "puppet/new", "x\n")
	put(t, dir, "packer/tools.env", "PUPPET=7.24\nSERVERSPEC=2.42\n")
	git(t, dir, "rm", "--quiet", "serverspec/spec/web/page_spec.rb")
	require.NoError(t, os.Chmod(filepath.Join(dir, "packer/build.pkr.hcl"), 0o755))
	commit(t, dir, "all")
	is := key(t, dir, "web", "ami-2")
	assert.Equal(t, []string{
		"base image ami-1 -> ami-2", "puppet 7.23 -> 7.24", "packer/build.pkr.hcl mode 100644 -> 100755",
		"puppet/new added", "puppet/page changed", "serverspec/spec/web/page_spec.rb removed",
	}, is.Changes(was))
	assert.Empty(t, is.Changes(is))
}

func TestASubmoduleIsNoRecipe(t *testing.T) {
	dir := repository(t)
	head := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+head+",puppet/modules/x")
	git(t, dir, "commit", "--quiet", "-m", "submodule")
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	_, err = image.Key(t.Context(), c, "HEAD", "web", image.Base{ID: "ami-1"})
	require.ErrorContains(t, err, "puppet/modules/x")
}

func TestARecipeWithoutVersionsIsRefused(t *testing.T) {
	dir := repository(t)
	put(t, dir, "packer/tools.env", "PUPPET=7.23\n")
	commit(t, dir, "no serverspec")
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	_, err = image.Key(t.Context(), c, "HEAD", "web", image.Base{ID: "ami-1"})
	require.ErrorContains(t, err, "does not declare SERVERSPEC")
	git(t, dir, "rm", "--quiet", "-r", "serverspec")
	commit(t, dir, "no specs")
	_, err = image.Key(t.Context(), c, "HEAD", "web", image.Base{ID: "ami-1"})
	require.ErrorContains(t, err, "there is no serverspec/")
}
