package base_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/base"
)

// etc makes a directory like /etc.
func etc(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return dir
}

const bookworm = "ID=debian\nVERSION_CODENAME=bookworm\n"

func TestHostSources(t *testing.T) {
	const want = `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"deb822, others' sources left out": {map[string]string{
			"os-release": bookworm,
			"apt/sources.list.d/debian.sources": `# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
`,
			"apt/sources.list.d/node.sources": "Types: deb\nURIs: https://node.example/\nSuites: nodistro\nComponents: main\n",
			"apt/sources.list.d/off.sources":  "Types: deb\nURIs: http://off.example/\nSuites: bookworm\nComponents: main\nEnabled: no\n",
			"apt/sources.list.d/disc.list":    "deb cdrom:[Debian]/ bookworm main\n",
		}, want},
		"one line": {map[string]string{
			"os-release":       `ID="debian"` + "\n" + `VERSION_CODENAME="bookworm"` + "\n",
			"apt/sources.list": "# deb http://no.example/debian bookworm main\ndeb [signed-by=/etc/apt/keyrings/own.gpg arch=amd64] http://mirror.example/debian bookworm main non-free\n",
		}, strings.Replace(want, " bookworm-updates", "", 1)},
		"another release":   {map[string]string{"os-release": "ID=debian\nVERSION_CODENAME=trixie\n", "apt/sources.list": "deb http://mirror.example/debian bookworm main\n"}, ""},
		"another system":    {map[string]string{"os-release": "ID=ubuntu\nVERSION_CODENAME=bookworm\n"}, ""},
		"no system we know": {nil, ""},
		"updates alone":     {map[string]string{"os-release": bookworm, "apt/sources.list": "deb http://mirror.example/debian bookworm-updates main\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sources, _ := base.HostSources(t.Context(), etc(t, c.files))
			assert.Equal(t, c.want, sources)
		})
	}
}

func TestHostsOfMirrors(t *testing.T) {
	const sources = "URIs: http://mirror.example/debian\nURIs: http://mirror.example/debian-security\n"
	assert.Equal(t, []string{"mirror.example"}, base.MirrorsOf(sources, nil))
	assert.Empty(t, base.MirrorsOf(sources, []string{`Acquire::http::Proxy "http://proxy.example:3128";`}), "a proxy is asked, not the mirror")
	assert.Empty(t, base.MirrorsOf("URIs: https://a.example/debian\nURIs: http://b.example:8080/debian\nURIs: http://192.0.2.1/debian\n", nil),
		"a cache cannot answer for these")
}

func TestOptionsPassedOn(t *testing.T) {
	for line, want := range map[string]bool{
		`Acquire::Check-Valid-Until "false";`:            true,
		`Acquire::http::Proxy "http://p.example:3128/";`: true,
		`Acquire::http::Proxy::a.example "DIRECT";`:      true,
		`Acquire::http::Proxy "";`:                       false,
		`APT::Update::Post-Invoke:: "rm -f /x";`:         false,
		`Acquire::AllowInsecureRepositories "true";`:     false,
		`DPkg::Pre-Install-Pkgs:: "/usr/sbin/dpkg-x";`:   false,
	} {
		assert.Equal(t, want, base.PassedOn.MatchString(line), line)
	}
}

// A build that fails leaves nothing in the cache and says why.
func TestBuildFails(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte("#!/bin/sh\necho E: no such mirror >&2\nexit 1\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	cache := t.TempDir()
	err := base.Write(filepath.Join(cache, "base-x.tar"), func(tarball string) error {
		return base.Bootstrap(t.Context(), tarball, "URIs: http://mirror.example/debian\n", nil)
	})
	require.ErrorContains(t, err, "E: no such mirror")
	require.ErrorContains(t, err, "exit status 1")
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// What is built is asked for in the right way, and the tarball is there whole.
func TestBuildAsks(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + dir + "/args\nfor out; do case $out in *.tar) echo tar >\"$out\" ;; esac; done\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	cache := t.TempDir()
	for i := range 4 {
		old := filepath.Join(cache, fmt.Sprintf("base-old%d.tar", i))
		require.NoError(t, os.WriteFile(old, nil, 0o600))
		used := time.Now().Add(-time.Duration(i+1) * time.Hour)
		require.NoError(t, os.Chtimes(old, used, used))
	}
	tarball := filepath.Join(cache, "base-x.tar")
	o := base.Options{Cache: cache}
	require.NoError(t, base.Write(tarball, func(tarball string) error {
		return base.Bootstrap(t.Context(), tarball, "URIs: http://mirror.example/debian\n", []string{`Acquire::Check-Date "false";`, `Acquire::Retries "3";`})
	}))
	assert.FileExists(t, tarball)
	b, err := os.ReadFile(filepath.Join(dir, "args"))
	require.NoError(t, err)
	assert.Contains(t, string(b), "--aptopt=Acquire::Check-Date \"false\";\n--aptopt=Acquire::Retries \"3\";\n")
	for _, p := range []string{"systemd-sysv", "openssh-server", "cloud-init", "sudo"} {
		assert.Contains(t, string(b), p)
	}
	base.Forget(o, "base")
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(cache, "base-old0.tar"), filepath.Join(cache, "base-old1.tar"), tarball}, left, "those used last")
}

func TestNoEngine(t *testing.T) {
	api, err := client.New(client.WithHost("unix:///no/such.sock"))
	require.NoError(t, err)
	_, err = base.Prepare(t.Context(), base.Options{Engine: api, Cache: t.TempDir()})
	require.ErrorContains(t, err, "base image: ")
}
