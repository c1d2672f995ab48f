// Package station_test runs station.sh on a real Debian machine that has nothing.
package station_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// machine is a container of the lab's base image.
type machine struct {
	*testing.T
	id string
}

// run runs a command line in the machine's /root and returns all it said.
func (m machine) run(line string) (string, error) {
	m.Helper()
	began := time.Now()
	out, err := exec.CommandContext(m.Context(), "docker", "exec", m.id, "bash", "-c", "cd /root && "+line).CombinedOutput()
	m.Logf("%s: %s, %v", line, time.Since(began).Round(100*time.Millisecond), err)
	return string(out), err
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// newMachine has station.sh as somebody fetched it, and the repository to clone,
// whose table is cut down to the rows named, or whole.
func newMachine(t *testing.T, rows string, args ...string) machine {
	t.Helper()
	if os.Getenv("CHAIN_STATION") == "" {
		t.Skip("set CHAIN_STATION=1: it needs Docker, the lab's base image and a package registry; station/check does it")
	}
	base := strings.Fields(output(t, "docker", "image", "ls", "--filter", "reference=chain-lab-base", "--format", "{{.Repository}}:{{.Tag}}"))
	require.NotEmpty(t, base, "the lab's base image: ./station.sh lab:up makes it")
	dir := t.TempDir()
	clone := filepath.Join(dir, "clone")
	output(t, "git", "clone", "-q", "file://"+output(t, "git", "rev-parse", "--show-toplevel"), clone)
	if rows != "" {
		table := filepath.Join(clone, "station", "tools")
		b, err := os.ReadFile(table)
		require.NoError(t, err)
		kept := regexp.MustCompile(`(?m)^(`+rows+`) .*$`).FindAllString(string(b), -1)
		require.NoError(t, os.WriteFile(table, []byte(strings.Join(kept, "\n")+"\n"), 0o600))
		output(t, "git", "-C", clone, "-c", "user.name=Station", "-c", "user.email=station@example.com", "commit", "-qam", "fewer tools")
	}
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the machine reads it
	args = append([]string{
		"run", "-d", "--rm", "-v", dir + ":/fetched:ro", "-e", "CHAIN_REPOSITORY=file:///fetched/clone",
		"-e", "GIT_CONFIG_COUNT=1", "-e", "GIT_CONFIG_KEY_0=safe.directory", "-e", "GIT_CONFIG_VALUE_0=*",
	}, args...)
	m := machine{t, output(t, "docker", append(args, base[0], "sleep", "3600")...)}
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", m.id).Run() })
	_, err := m.run("cp /fetched/clone/station.sh .")
	require.NoError(t, err)
	return m
}

func TestAMachineThatHasNothing(t *testing.T) {
	// Go cannot be had everywhere: it lies ready on the machine, and is put into
	// PATH when station.sh has asked for it. The caches are those of root.
	args, hasGo := []string{}, os.Getuid() == 0
	if hasGo {
		env := strings.Fields(output(t, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE"))
		require.Len(t, env, 3)
		args = []string{"-v", env[0] + ":/opt/go:ro", "-v", env[1] + ":/root/go/pkg/mod", "-v", env[2] + ":/root/.cache/go-build", "-e", "GOPROXY=off", "-e", "GOTOOLCHAIN=local"}
	}
	m := newMachine(t, "git|go|shellcheck|ruby", args...)

	out, err := m.run("./station.sh check")
	require.Error(t, err)
	assert.Contains(t, out, "git                  is missing")
	out, err = m.run("./station.sh -yes")
	require.Error(t, err)
	assert.Contains(t, out, "cloning file:///fetched/clone into /root/chain")
	assert.Contains(t, out, "installing with apt: ruby shellcheck")
	assert.Contains(t, out, "go from https://go.dev/dl/")
	if !hasGo {
		return
	}

	// As a set-up leaves it that was killed while dpkg worked.
	out, err = m.run("apt-get purge -qy ruby shellcheck && cd /tmp && apt-get download -q ruby && dpkg --unpack ruby_*.deb && dpkg --audit | grep -w ruby && ln -s /opt/go/bin/go /usr/local/bin/go")
	require.NoError(t, err, out)
	out, err = m.run("cd chain && ./station.sh -yes setup")
	require.NoError(t, err, out)
	assert.Contains(t, out, "ready")
	state := "cd chain && git status --porcelain && dpkg-query -W | sha256sum && find / -xdev -type f -newer .chain/station/sources ! -path '/proc/*' ! -path '/root/.cache/go-build/*' | sort"
	before, err := m.run(state)
	require.NoError(t, err)
	out, err = m.run("cd chain && ./station.sh -yes setup")
	require.NoError(t, err)
	assert.NotContains(t, out, "installing")
	after, err := m.run(state)
	require.NoError(t, err)
	assert.Equal(t, before, after, "a second run changes nothing")
	out, err = m.run("./station.sh -l")
	require.NoError(t, err)
	assert.Contains(t, out, "station:check")

	// A version that is too old.
	_, err = m.run("printf '#!/bin/sh\\necho version: 0.7.2\\n' >/usr/local/bin/shellcheck && chmod 755 /usr/local/bin/shellcheck")
	require.NoError(t, err)
	out, err = m.run("./station.sh check")
	require.Error(t, err)
	assert.Contains(t, out, "shellcheck           is 0.7.2, 0.8 or newer is needed: apt-get install shellcheck")
}

// Every package of the table: two minutes and half a gigabyte.
func TestAMachineThatGetsEverything(t *testing.T) {
	if os.Getenv("CHAIN_STATION") != "full" {
		t.Skip("set CHAIN_STATION=full")
	}
	m := newMachine(t, "")
	out, err := m.run("./station.sh -yes")
	require.Error(t, err, "Go is nobody's package here")
	_, after, _ := strings.Cut(out, "station: apt:")
	for _, line := range strings.Split(after, "\n") {
		if strings.HasPrefix(line, "✖ ") && !strings.HasPrefix(line, "✖ E-") {
			assert.NotContains(t, line, "apt-get install", "a package was installed and will not do")
		}
	}
	assert.Contains(t, after, "go                   is missing")
}
