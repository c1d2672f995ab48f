package docker_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/lab/base"
	labs "github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/runtimetest"
)

// engine is the Docker engine of the tests. Without one they are skipped, in CI they fail.
func engine(t *testing.T) *client.Client {
	api, err := docker.Connect(t.Context(), "")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	return api
}

// open makes a runtime for a lab of its own and destroys all of it afterwards.
func open(t *testing.T, change func(*docker.Options)) (*docker.Runtime, func(*testing.T) *docker.Runtime) {
	api := engine(t)
	release, err := base.Hold(labs.Cache())
	require.NoError(t, err)
	defer release()
	begin := time.Now()
	ref, err := base.Prepare(t.Context(), base.Options{Engine: api, Cache: labs.Cache()})
	require.NoError(t, err)
	t.Logf("base image %s ready in %s", ref, time.Since(begin).Round(time.Millisecond))
	id := make([]byte, 5)
	_, _ = rand.Read(id)
	o := docker.Options{Lab: "test" + hex.EncodeToString(id), Base: ref}
	if change != nil {
		change(&o)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, docker.Destroy(ctx, api, o.Lab))
		left, err := docker.Left(ctx, api, o.Lab)
		require.NoError(t, err)
		assert.Empty(t, left)
	})
	again := func(t *testing.T) *docker.Runtime {
		r, err := docker.New(t.Context(), o)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, r.Close()) })
		return r
	}
	return again(t), again
}

// webScript makes a web server of what the base has, under the name of a real one.
const webScript = `mkdir -p /srv/web && echo '<h1>Hello World</h1>' >/srv/web/index.html
cat >/etc/systemd/system/apache2.service <<'UNIT'
[Service]
WorkingDirectory=/srv/web
ExecStart=/usr/bin/python3 -m http.server 80
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload && systemctl enable --now apache2`

// bake makes image ref, which says hello.
func bake(t *testing.T, r *docker.Runtime, ref string) {
	id := "i-bake-" + ref
	_, err := r.Start(t.Context(), runtime.Spec{ID: id, Image: runtime.Base, Fault: runtime.Fault{Script: webScript}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c, err := r.Dial(t.Context(), id, 80)
		return err == nil && c.Close() == nil
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, r.Stop(t.Context(), id))
	require.NoError(t, r.Save(t.Context(), id, ref))
	require.NoError(t, r.Remove(t.Context(), id))
}

func kit(t *testing.T, change func(*docker.Options)) runtimetest.Kit {
	r, again := open(t, change)
	return runtimetest.Kit{
		Runtime:  r,
		Web:      func(t *testing.T, ref string) { bake(t, r, ref) },
		Reopen:   func(t *testing.T) runtime.Runtime { return again(t) },
		Patience: time.Minute,
	}
}

func TestContract(t *testing.T) { runtimetest.Run(t, kit(t, nil)) }

func TestTrafficThroughRelay(t *testing.T) {
	runtimetest.Traffic(t, kit(t, func(o *docker.Options) { o.Relay = true }))
}

// login runs a command in a machine over SSH.
func login(t *testing.T, r *docker.Runtime, id string, key ssh.Signer, command string) string {
	c, err := r.Dial(t.Context(), id, 22)
	require.NoError(t, err)
	conn, chans, reqs, err := ssh.NewClientConn(c, id, &ssh.ClientConfig{
		User: "admin", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
	})
	require.NoError(t, err)
	defer conn.Close()
	s, err := ssh.NewClient(conn, chans, reqs).NewSession()
	require.NoError(t, err)
	out, err := s.CombinedOutput(command)
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func newKey(t *testing.T) (ssh.Signer, string) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
}

// What an instance is told at its start arrives, again for each new instance of
// an image saved without any cleaning, and an instance keeps who it is.
func TestInstanceData(t *testing.T) {
	r, _ := open(t, nil)
	key, line := newKey(t)
	userData := "#!/bin/sh\nhostname >/root/told\n"
	start := func(id, image, host string) {
		_, err := r.Start(t.Context(), runtime.Spec{
			ID: id, Image: image, Hostname: host, Keys: []string{line + " mine"}, UserData: []byte(userData),
		})
		require.NoError(t, err)
	}
	start("i-1", runtime.Base, "ip-10-0-1-17")
	assert.Equal(t, "done", login(t, r, "i-1", key, "cloud-init status --wait | tail -1 | cut -d' ' -f2"))
	assert.Equal(t, "ip-10-0-1-17", login(t, r, "i-1", key, "sudo -n cat /root/told"))
	assert.Equal(t, "ip-10-0-1-17", login(t, r, "i-1", key, "hostname"))
	assert.Equal(t, "running", login(t, r, "i-1", key, "sudo -n systemctl is-system-running --wait"))
	identity := "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
	first := login(t, r, "i-1", key, identity)

	require.NoError(t, r.Stop(t.Context(), "i-1"))
	require.NoError(t, r.Save(t.Context(), "i-1", "ami-1"))
	start("i-1", runtime.Base, "ip-10-0-1-17")
	assert.Equal(t, first, login(t, r, "i-1", key, identity), "it is the same machine")

	start("i-2", "ami-1", "ip-10-0-2-9")
	assert.Equal(t, "done", login(t, r, "i-2", key, "cloud-init status --wait | tail -1 | cut -d' ' -f2"))
	assert.Equal(t, "ip-10-0-2-9", login(t, r, "i-2", key, "sudo -n cat /root/told"))
	hostKey := strings.Split(first, "\n")[1]
	assert.NotContains(t, login(t, r, "i-2", key, identity), hostKey, "it has a host key of its own")

	console, err := r.Console(t.Context(), "i-2")
	require.NoError(t, err)
	assert.Contains(t, console, "cloud-init")
	_, err = r.Start(t.Context(), runtime.Spec{ID: "i-3", Image: runtime.Base, User: "nobody-here", Keys: []string{line}})
	require.ErrorContains(t, err, "no user nobody-here")
}

// Packages are fetched once for all machines, and images know nothing of it.
func TestPackages(t *testing.T) {
	dir, mirrors := t.TempDir(), base.Mirrors(t.Context())
	if len(mirrors) == 0 {
		t.Skip("the host's package sources are out of a cache's reach")
	}
	r, again := open(t, func(o *docker.Options) { o.Packages = docker.Packages{Dir: dir, Mirrors: mirrors} })
	key, line := newKey(t)
	kept := func() (files []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			assert.NotContains(t, e.Name(), ".part")
			files = append(files, e.Name())
		}
		return files
	}
	install := func(id, image string) {
		_, err := r.Start(t.Context(), runtime.Spec{ID: id, Image: image, Keys: []string{line}})
		require.NoError(t, err)
		begin := time.Now()
		login(t, r, id, key, "sudo -n apt-get -q update && sudo -n apt-get -q -y install --no-install-recommends tree")
		t.Logf("%s: update and install in %s", id, time.Since(begin).Round(time.Millisecond))
	}
	install("i-1", runtime.Base)
	first := kept()
	assert.NotEmpty(t, first)
	r = again(t) // the lab was started anew
	install("i-2", runtime.Base)
	assert.Equal(t, first, kept(), "everything was there")
	assert.Contains(t, login(t, r, "i-2", key, "cat /etc/hosts"), mirrors[0])
	assert.Empty(t, login(t, r, "i-2", key, "sudo -n sh -c 'mount --bind / /mnt && cat /mnt/etc/hosts; umount /mnt'"),
		"it is on the disk, so it would be in the image")
}

// A start that was cut short between two calls to the engine ends well when it is asked for again.
func TestStartCutShort(t *testing.T) {
	r, again := open(t, nil)
	key, line := newKey(t)
	spec := runtime.Spec{ID: "i-1", Image: runtime.Base, Hostname: "h", Keys: []string{line}}
	for wait := 5 * time.Millisecond; wait < 2*time.Second; wait *= 3 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := r.Start(ctx, spec)
		cancel()
		if err == nil {
			require.Greater(t, wait, 100*time.Millisecond)
		}
		other := again(t) // as a lab started anew
		_, err = other.Start(t.Context(), spec)
		require.NoError(t, err)
		assert.Equal(t, "admin", login(t, other, "i-1", key, "id -un"))
		require.NoError(t, other.Remove(t.Context(), "i-1"))
	}
}

// What dies while nobody looks is told by List; Destroy leaves alone what another lab made.
func TestLabsAreApart(t *testing.T) {
	a, _ := open(t, nil)
	b, _ := open(t, nil)
	_, err := a.Start(t.Context(), runtime.Spec{ID: "i-1", Image: runtime.Base})
	require.NoError(t, err)
	_, err = b.Start(t.Context(), runtime.Spec{ID: "i-1", Image: runtime.Base})
	require.NoError(t, err)
	require.NoError(t, a.Remove(t.Context(), "i-1"))
	all, err := b.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, runtime.Running, all[0].State)
}

func TestRefusals(t *testing.T) {
	engine(t)
	_, err := docker.New(t.Context(), docker.Options{Lab: "x", Base: "no-such-image:1"})
	require.ErrorContains(t, err, "the base image no-such-image:1")
	_, err = docker.New(t.Context(), docker.Options{Lab: "Not An Id"})
	require.ErrorContains(t, err, "no lab id")
	_, err = docker.New(t.Context(), docker.Options{Lab: "x", Host: "unix:///no/such.sock"})
	require.ErrorContains(t, err, "no Docker engine answers at unix:///no/such.sock")
}
