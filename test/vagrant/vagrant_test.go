// Package vagrant_test runs vagrant/Vagrantfile as a developer does: real
// Vagrant, its provider docker, the page through the forwarded port.
package vagrant_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// desk is a clone of this repository, and a home of its own for Vagrant.
type desk struct {
	*testing.T
	clone string
	env   []string
	port  int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	if os.Getenv("CHAIN_VAGRANT") == "" {
		t.Skip("set CHAIN_VAGRANT=1: it takes minutes and needs Docker; station/check does it")
	}
	for _, tool := range []string{"vagrant", "docker", "git"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	d := &desk{T: t, clone: filepath.Join(dir, "clone")}
	out, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	require.NoError(t, err)
	out, err = exec.CommandContext(t.Context(), "git", "clone", "-q", "file://"+strings.TrimSpace(string(out)), d.clone).CombinedOutput()
	require.NoError(t, err, string(out))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d.port = l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "VAGRANT_") && !strings.HasPrefix(kv, "CHAIN_") {
			d.env = append(d.env, kv)
		}
	}
	d.env = append(d.env, "VAGRANT_HOME="+filepath.Join(dir, "home"), "VAGRANT_CHECKPOINT_DISABLE=1", "VAGRANT_NO_COLOR=1",
		"CHAIN_VAGRANT_PORT="+strconv.Itoa(d.port))
	return d
}

// vagrant runs it in the root of the clone.
func (d *desk) vagrant(args ...string) (string, error) {
	d.Helper()
	return d.with(context.WithoutCancel(d.Context()), nil, args...)
}

func (d *desk) with(ctx context.Context, env []string, args ...string) (string, error) {
	d.Helper()
	began := time.Now()
	c := exec.CommandContext(ctx, "vagrant", args...)
	c.Dir, c.Env = d.clone, append(append([]string{}, d.env...), env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	d.Logf("vagrant %s: %s, %v", strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond), err)
	if err != nil {
		d.Log(out.String())
	}
	return out.String(), err
}

func (d *desk) page() string {
	d.Helper()
	res, err := http.Get("http://127.0.0.1:" + strconv.Itoa(d.port) + "/")
	require.NoError(d, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(d, err)
	require.Equal(d, http.StatusOK, res.StatusCode)
	return string(b)
}

// edit replaces text in a file of the clone.
func (d *desk) edit(path, old, text string) {
	d.Helper()
	full := filepath.Join(d.clone, path)
	b, err := os.ReadFile(full)
	require.NoError(d, err)
	require.Contains(d, string(b), old)
	require.NoError(d, os.WriteFile(full, []byte(strings.Replace(string(b), old, text, 1)), 0o600))
}

const (
	pageFile = "puppet/site-modules/profile/templates/web/index.html.epp"
	specFile = "serverspec/spec/web/page_spec.rb"
)

// changes are what Puppet says that it changed.
var changes = regexp.MustCompile(`(?m)Notice: /Stage.*(created|changed|ensure|triggered|content)`)

func TestADeveloperOnVagrant(t *testing.T) {
	d := newDesk(t)
	id := ""
	t.Cleanup(func() {
		_, err := d.vagrant("destroy", "-f")
		require.NoError(t, err)
		if id != "" {
			out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", "ps", "-aq", "--no-trunc", "--filter", "id="+id).CombinedOutput()
			require.NoError(t, err)
			assert.Empty(t, strings.TrimSpace(string(out)), "the machine is gone")
		}
	})
	out, err := d.vagrant("up", "--provider=docker")
	require.NoError(t, err)
	assert.Contains(t, out, " 0 failures")
	b, err := os.ReadFile(filepath.Join(d.clone, ".vagrant/machines/web/docker/id"))
	require.NoError(t, err)
	id = strings.TrimSpace(string(b))
	assert.Contains(t, d.page(), "Hello World")

	t.Run("it is what a baked image is", func(t *testing.T) { d.isABakedImage(t, id) })
	t.Run("an edited page", func(t *testing.T) {
		d.edit(pageFile, "Hello World", "Hello World, edited")
		out, err := d.vagrant("provision")
		require.NoError(t, err)
		assert.Contains(t, d.page(), "Hello World, edited")
		assert.Regexp(t, changes, out)
	})
	t.Run("no change", func(t *testing.T) {
		out, err := d.vagrant("provision")
		require.NoError(t, err)
		assert.NotRegexp(t, changes, out)
		assert.Contains(t, out, " 0 failures")
	})
	t.Run("drift is repaired", func(t *testing.T) {
		_, err := d.vagrant("ssh", "-c", "sudo systemctl stop apache2 && echo spoilt | sudo tee /var/www/web/index.html")
		require.NoError(t, err)
		_, err = d.vagrant("provision")
		require.NoError(t, err)
		assert.Contains(t, d.page(), "Hello World, edited")
	})
	t.Run("a spec that fails", func(t *testing.T) {
		d.edit(specFile, "include 'Hello World'", "include 'Good Bye'")
		out, err := d.vagrant("provision")
		require.Error(t, err)
		assert.Contains(t, out, "is not what serverspec/spec/web expects")
		d.edit(specFile, "include 'Good Bye'", "include 'Hello World'")
	})
	t.Run("a syntax error", func(t *testing.T) {
		d.edit("puppet/site-modules/profile/manifests/web.pp", "include apache", "include apache {")
		out, err := d.vagrant("provision")
		require.Error(t, err)
		assert.Contains(t, out, "could not compile or apply role web")
	})
}

// What is in the way is named, with what to do, before anything is made.
func TestWhatIsInTheWay(t *testing.T) {
	d := newDesk(t)
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(d.port))
	require.NoError(t, err)
	defer l.Close()
	// A base image that there is not ends it early.
	out, err := d.with(t.Context(), []string{"CHAIN_VAGRANT_BASE=chain/there-is-none:1", "http_proxy=http://me:secret@localhost:3128"}, "up", "--provider=docker")
	require.Error(t, err)
	assert.Contains(t, out, "Port "+strconv.Itoa(d.port)+" is taken by another program")
	assert.Contains(t, out, "CHAIN_VAGRANT_PORT="+strconv.Itoa(d.port+1)+" vagrant up")
	assert.Contains(t, out, "The proxy of http_proxy is on this machine")
	assert.NotContains(t, out, "secret")

	d.edit("vagrant/Vagrantfile", "'>= 2.3'", "'>= 99.1'")
	out, err = d.vagrant("validate")
	require.Error(t, err)
	assert.Contains(t, out, ">= 99.1")
	d.edit("vagrant/Vagrantfile", "'>= 99.1'", "'>= 2.3'")

	d.edit("vagrant/Vagrantfile", "!File.readable?('/proc/cpuinfo') || File.exist?('/dev/kvm') || File.read('/proc/cpuinfo')", "'flags : fpu sse2'")
	require.NoError(t, os.RemoveAll(filepath.Join(d.clone, ".vagrant")), "or Vagrant goes on with docker")
	out, err = d.with(t.Context(), d.virtualbox(), "up")
	require.Error(t, err)
	assert.Contains(t, out, "no virtualisation")
	assert.Contains(t, out, "vagrant up --provider=docker")
}

// virtualbox is an environment with a program of VirtualBox's name.
func (d *desk) virtualbox() []string {
	d.Helper()
	bin := d.TempDir()
	require.NoError(d, os.WriteFile(filepath.Join(bin, "VBoxManage"), []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo 7.0.20r163906\nexit 0\n"), 0o700)) //nolint:gosec // a program
	return []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "VAGRANT_DEFAULT_PROVIDER=virtualbox"}
}

// VirtualBox itself cannot be had everywhere; whether its block of the file is
// one that Vagrant takes can be seen with a program of its name.
func TestTheBlockForVirtualBox(t *testing.T) {
	d := newDesk(t)
	env := d.virtualbox()
	out, err := d.with(t.Context(), env, "validate")
	require.NoError(t, err, out)

	d.edit("vagrant/Vagrantfile", "vb.memory = 1024", "vb.memory = 1024\n        vb.no_such_setting = 1")
	out, err = d.with(t.Context(), env, "validate")
	require.Error(t, err, "the block was looked at")
	assert.Contains(t, out, "no_such_setting")
}
