package image_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/base"
	labclient "github.com/build-deploy-chain/chain/pkg/lab/client"
	ec2lab "github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// containers is a lab whose machines are containers, and a clone with a recipe
// that has the real contract of all images.
type containers struct {
	t      *testing.T
	target *config.Target
	client *compute.Client
	api    *ec2.Client
	dir    string
	remote string
}

func newContainers(t *testing.T) *containers {
	t.Helper()
	need := func(err error) {
		if err != nil && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		require.NoError(t, err)
	}
	_, err := exec.LookPath("rspec")
	need(err)
	ctx := t.Context()
	api, err := docker.Connect(ctx, "")
	need(err)
	t.Cleanup(func() { _ = api.Close() })
	release, err := base.Hold(labclient.Cache())
	require.NoError(t, err)
	t.Cleanup(release)
	ref, err := base.Prepare(ctx, base.Options{Engine: api, Cache: labclient.Cache()})
	require.NoError(t, err)
	random := make([]byte, 5)
	_, _ = rand.Read(random)
	id := "leak" + hex.EncodeToString(random)
	machines, err := docker.New(ctx, docker.Options{Lab: id, Base: ref})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = machines.Close()
		assert.NoError(t, docker.Destroy(context.WithoutCancel(ctx), api, id))
	})
	_, digest, _ := strings.Cut(ref, ":")
	l := lab.Start(t, func(o *lab.Options) {
		o.Runtime, o.ID, o.Base, o.Factor = machines, id, ec2lab.Base{Digest: digest}, 10
	})

	c := &containers{t: t, dir: repository(t), remote: filepath.Join(t.TempDir(), "trail.git")}
	top := git(t, ".", "rev-parse", "--show-toplevel")
	require.NoError(t, os.RemoveAll(filepath.Join(c.dir, "serverspec")))
	require.NoError(t, os.RemoveAll(filepath.Join(c.dir, "packer/allowed")))
	for _, path := range []string{"serverspec/spec/image_contract", "packer/allowed"} {
		require.NoError(t, os.CopyFS(filepath.Join(c.dir, path), os.DirFS(filepath.Join(top, path))))
	}
	for _, path := range []string{"serverspec/.rspec", "serverspec/spec/spec_helper.rb", "packer/generalise.sh"} {
		b, err := os.ReadFile(filepath.Join(top, path))
		require.NoError(t, err)
		put(t, c.dir, path, string(b))
	}
	put(t, c.dir, "serverspec/spec/web/page_spec.rb", "describe port(80) do\n  it { is_expected.to be_listening }\nend\n")
	put(t, c.dir, "packer/allowed/web", "file /srv/www\nfile /srv/www/*\nfile /etc/systemd/system/page.service\nfile /etc/systemd/system/multi-user.target.wants/page.service\nunit page.service\nport tcp/80\n")
	commit(t, c.dir, "the contract")
	c.target = &config.Target{
		Name: "bench", Account: lab.Account, Region: "eu-west-1", Endpoint: l.Endpoint(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
		SOCKS:       l.SOCKS(), From: []string{"192.0.2.1/32"}, State: filepath.Join(c.dir, ".chain"),
		Poll: config.Poll{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}, Factor: 10, PinFirst: true, Signing: signing(t),
	}
	cfg, err := c.target.AWS(ctx)
	require.NoError(t, err)
	c.client, c.api = compute.New(cfg), ec2.NewFromConfig(cfg)
	return c
}

func (c *containers) options(run string) image.Options {
	c.t.Helper()
	clone, err := trail.OpenClone(c.t.Context(), nil, c.dir)
	require.NoError(c.t, err)
	tr, err := trail.Open(c.t.Context(), trail.Options{Clone: clone, Remote: c.remote, Private: true, Images: template.Images, SetImage: template.SetImageOf})
	require.NoError(c.t, err)
	return image.Options{
		Target: c.target, Bake: config.Bake{Owner: debian, Name: "debian-12-amd64-*", InstanceType: "t3.small", User: "admin"},
		Role: "web", Clone: clone, Trail: tr, Client: c.client, Run: run,
	}
}

// derive starts a machine of an image, has root run a script on it, and makes
// an image of what comes of that.
func (c *containers) derive(from, name, script string, tags compute.Tags) (string, error) {
	ctx, wait := c.t.Context(), config.Poll{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}
	key, err := c.client.CreateKeyPair(ctx, name, nil)
	if err != nil {
		return "", err
	}
	group, err := c.client.CreateGroup(ctx, name, name, "", nil, compute.Open{Port: 22, From: c.target.From})
	if err != nil {
		return "", err
	}
	m, err := c.client.StartMachine(ctx, compute.Start{Image: from, Type: "t3.small", KeyName: name, SecurityGroups: []string{group}})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.client.Terminate(ctx, m.ID) }()
	until := func(state string) error {
		return wait.Until(ctx, clock.System{}, func(ctx context.Context) (bool, error) {
			now, err := c.client.Machine(ctx, m.ID)
			if err == nil && now != nil {
				m = *now
			}
			return now != nil && now.State == state, err
		})
	}
	if err := until("running"); err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey([]byte(key))
	if err != nil {
		return "", err
	}
	var conn net.Conn
	var client *ssh.Client
	for range 50 {
		if conn, err = c.target.Dial(ctx, "tcp", m.PublicIP+":22"); err == nil {
			var chans <-chan ssh.NewChannel
			var reqs <-chan *ssh.Request
			var sc ssh.Conn
			if sc, chans, reqs, err = ssh.NewClientConn(conn, m.PublicIP, &ssh.ClientConfig{User: "admin", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}); err == nil {
				client = ssh.NewClient(sc, chans, reqs)
				break
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		return "", err
	}
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	general, err := os.ReadFile(filepath.Join(c.dir, "packer/generalise.sh"))
	if err != nil {
		return "", err
	}
	// The machine's own first boot goes, what the script makes stays.
	session.Stdin = strings.NewReader("set -e\nsystemctl is-system-running --wait >/dev/null || true\n(" + string(general) + ") </dev/null\nrm -rf /root/.ssh /home/*/.ssh\n" + script)
	if out, err := session.CombinedOutput("sudo -n bash -s"); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if _, err := c.api.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{m.ID}}); err != nil {
		return "", err
	}
	if err := until("stopped"); err != nil {
		return "", err
	}
	out, err := c.api.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: aws.String(m.ID), Name: aws.String(name)})
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.ImageId)
	if err := c.client.Tag(ctx, []string{id}, tags); err != nil {
		return "", err
	}
	return id, wait.Until(ctx, clock.System{}, func(ctx context.Context) (bool, error) {
		i, err := c.client.Image(ctx, id)
		return i != nil && i.State == "available", err
	})
}

// page makes a machine serve what a good one does, by what the base image has.
const page = `
mkdir -p /srv/www
echo '<h1>Hello World</h1>' >/srv/www/index.html
printf '%s\n' KEY >/srv/www/version
cat >/etc/systemd/system/page.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 -B -m http.server --directory /srv/www 80
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
cat >/etc/systemd/system/ssh-host-key.service <<'UNIT'
HOSTKEY
UNIT
cat >/etc/systemd/system/panic-on-interrupt.service <<'UNIT'
INTERRUPT
UNIT
systemctl -q enable page.service panic-on-interrupt.service
`

// TestLeakyImagesAreRefused derives images from a good one, each with one thing
// on it that must not be, and has them inspected as a bake does.
func TestLeakyImagesAreRefused(t *testing.T) {
	c := newContainers(t)
	recipe := recipe(t, c.options("recipe"))
	tags := compute.Tags{image.TagKey: recipe.Key, image.TagRole: "web", image.TagBase: recipe.Base.ID}
	unit := func(name string) string {
		b, err := os.ReadFile(filepath.Join(git(t, ".", "rev-parse", "--show-toplevel"), "puppet/site-modules/profile/files/base", name+".service"))
		require.NoError(t, err)
		return string(b)
	}
	good, err := c.derive(recipe.Base.ID, "good", strings.NewReplacer("HOSTKEY", unit("ssh-host-key"), "INTERRUPT", unit("panic-on-interrupt"), "KEY", recipe.Key).Replace(page), tags)
	require.NoError(t, err)
	began := time.Now()
	leaks, err := image.Inspect(t.Context(), pipeline.Env{Tell: func(e pipeline.Event) {
		if e.Kind != pipeline.Await {
			t.Log(e.Kind, e.Name, e.Text)
		}
	}}, c.options("good"), good)
	t.Logf("the good one: inspected in %s", time.Since(began).Round(time.Millisecond))
	require.NoError(t, err)
	require.Empty(t, leaks)

	// One image for each group, and every leak of it must be named: a machine takes
	// seconds to start, a leak to look for takes none.
	type leak struct{ class, text, script string }
	groups := map[string][]leak{
		"tools": {
			{image.LeakTools, "package puppet-agent", `d=$(mktemp -d /run/XXXX); mkdir -p $d/p/DEBIAN; printf 'Package: puppet-agent\nVersion: 7\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >$d/p/DEBIAN/control; dpkg-deb --build $d/p $d/p.deb >/dev/null; dpkg -i $d/p.deb >/dev/null`},
			{image.LeakTools, "/var/lib/gems", `mkdir -p /var/lib/gems/3.1.0/gems/rspec-core-3; echo x >/var/lib/gems/3.1.0/gems/rspec-core-3/x.rb`},
			{image.LeakTools, "/opt/puppetlabs", `mkdir -p /opt/puppetlabs/bin`},
			{image.LeakTools, "/var/cache/puppet", `mkdir -p /var/cache/puppet/clientbucket`},
			{image.LeakTools, "account puppet", `useradd --system --no-create-home puppet; rm -f /etc/*-`},
		},
		"identity": {
			{image.LeakLogin, "/root/.ssh", `mkdir -p /root/.ssh; echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEve packer' >/root/.ssh/authorized_keys`},
			{image.LeakHostKeys, "ssh_host_rsa_key", `ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key`},
			{image.LeakIdentity, "/etc/machine-id", `echo 0123456789abcdef0123456789abcdef >/etc/machine-id`},
			{image.LeakCloud, "i-0123", `mkdir -p /var/lib/cloud/instances/i-0123/sem; echo x >/var/lib/cloud/instances/i-0123/user-data.txt`},
			{image.LeakHistory, "/home/admin/.bash_history", `echo 'export TOKEN=x' >/home/admin/.bash_history`},
		},
		"leftovers": {
			{image.LeakPackages, "surplus 1 is neither", `d=$(mktemp -d /run/XXXX); mkdir -p $d/p/DEBIAN; printf 'Package: surplus\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >$d/p/DEBIAN/control; dpkg-deb --build $d/p $d/p.deb >/dev/null; dpkg -i $d/p.deb >/dev/null`},
			{image.LeakPackager, "half", `d=$(mktemp -d /run/XXXX); mkdir -p $d/p/DEBIAN; printf 'Package: half\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >$d/p/DEBIAN/control; dpkg-deb --build $d/p $d/p.deb >/dev/null; dpkg --unpack $d/p.deb >/dev/null`},
			{image.LeakCaches, "/var/lib/apt/lists", `mkdir -p /var/lib/apt/lists; echo x >/var/lib/apt/lists/deb.example_InRelease`},
			{image.LeakCaches, "/var/cache/apt/archives", `mkdir -p /var/cache/apt/archives; echo x >/var/cache/apt/archives/x_1_all.deb`},
			{image.LeakLogs, "/var/log/bake.log", `echo x >/var/log/bake.log`},
			{image.LeakTemp, "/var/tmp/chain", `mkdir -p /var/tmp/chain/tree`},
			{image.LeakSecrets, "/etc/environment", `echo AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY >>/etc/environment`},
			{image.LeakSecrets, "/opt/deploy", `mkdir -p /opt; ssh-keygen -q -t ed25519 -N '' -f /opt/deploy`},
			{image.LeakSecrets, "/root/.aws", `mkdir -p /root/.aws; echo x >/root/.aws/credentials`},
		},
		"behaviour": {
			{image.LeakPorts, "tcp/8080", `sed -i 's#^ExecStart=.*#ExecStart=/bin/sh -c "python3 -B -m http.server 8080 --directory /srv/www \& exec python3 -B -m http.server 80 --directory /srv/www"#' /etc/systemd/system/page.service`},
			{image.LeakUnits, "more.service", `printf '[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/more.service; systemctl -q enable more.service`},
			{image.LeakFailed, "broken.service", `printf '[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/broken.service; systemctl -q enable broken.service`},
			{image.LeakSetuid, "/usr/bin/cat", `chmod u+s /usr/bin/cat`},
			{image.LeakSetuid, "/usr/bin/head 0100000200040000", `python3 -B -c 'import os; os.setxattr("/usr/bin/head", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))'`},
			{image.LeakFiles, "/usr/bin/comm", `echo '#' >>/usr/bin/false; sed -i '1s/$/ /' /etc/debian_version; cp /usr/bin/comm /usr/bin/comm.new; printf x >>/usr/bin/comm.new; mv /usr/bin/comm.new /usr/bin/comm`},
			{image.LeakUsers, "eve", `useradd --no-create-home eve; rm -f /etc/*-`},
			{image.LeakFiles, "/etc/sudoers.d/eve", `echo 'eve ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/eve`},
			{image.LeakClock, "+0545", `python3 -B -c '
import struct
zone = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 6) + struct.pack(">lbb", 20700, 0, 0) + b"+0545\0"
open("/etc/localtime.new", "wb").write(zone + zone + b"\n<+0545>-5:45\n")'
mv /etc/localtime.new /etc/localtime`},
			{image.LeakLocale, "xx_XX.UTF-8", `echo LANG=xx_XX.UTF-8 >/etc/default/locale`},
		},
	}
	for name, leaks := range groups {
		var script strings.Builder
		for _, l := range leaks {
			script.WriteString(l.script + "\n")
		}
		began := time.Now()
		id, err := c.derive(good, name, script.String(), tags)
		require.NoError(t, err, name)
		derived := time.Now()
		found, err := image.Inspect(t.Context(), pipeline.Env{}, c.options("leak-"+name), id)
		t.Logf("%s: derived in %s, inspected in %s", name, derived.Sub(began).Round(time.Millisecond), time.Since(derived).Round(time.Millisecond))
		require.ErrorContains(t, err, "E-BAKE-11", name)
		for _, l := range leaks {
			assert.True(t, slices.ContainsFunc(found, func(f image.Leak) bool { return f.Class == l.class && strings.Contains(f.Text, l.text) }), "%s %s", l.class, l.text)
		}
		t.Logf("%v", found)
	}
	machines, err := c.client.Find(t.Context(), compute.Tags{image.TagPurpose: "*"})
	require.NoError(t, err)
	for _, m := range machines {
		assert.True(t, m.Gone(), m.ID)
	}
}
