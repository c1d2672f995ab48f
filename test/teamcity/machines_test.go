package teamcity_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/base"
	labs "github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

// host is the name of the server in hiera.
const host = "ci.hello.example"

// machines are containers of a lab of their own.
type machines struct {
	*docker.Runtime
	lab string
}

func newMachines(t *testing.T) machines {
	t.Helper()
	api, err := docker.Connect(t.Context(), "")
	if testing.Short() || err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs Docker and a minute")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	release, err := base.Hold(labs.Cache())
	require.NoError(t, err)
	defer release()
	ref, err := base.Prepare(t.Context(), base.Options{Engine: api, Cache: labs.Cache()})
	require.NoError(t, err)
	m := machines{lab: fmt.Sprintf("ci%d", os.Getpid())}
	t.Cleanup(func() { require.NoError(t, docker.Destroy(context.WithoutCancel(t.Context()), api, m.lab)) })
	m.Runtime, err = docker.New(t.Context(), docker.Options{
		Lab: m.lab, Base: ref, Packages: docker.Packages{Dir: filepath.Join(labs.Cache(), "packages"), Mirrors: base.Mirrors(t.Context())},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// sh runs a script in a machine as root.
func (m machines) sh(t *testing.T, id, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "exec", "chain-lab-"+m.lab+"-"+id, "bash", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s: %s\n%s", id, script, out)
	return strings.TrimSpace(string(out))
}

// files puts a tar of this repository's directories on a machine.
func (m machines) files(t *testing.T, id, from, to string) {
	t.Helper()
	pack := exec.CommandContext(t.Context(), "tar", "-C", from, "-cf", "-", "packer", "puppet", "serverspec")
	tree, err := pack.Output()
	require.NoError(t, err)
	unpack := exec.CommandContext(t.Context(), "docker", "exec", "-i", "chain-lab-"+m.lab+"-"+id, "bash", "-c", "mkdir -p "+to+" && tar -xf - -C "+to)
	unpack.Stdin = bytes.NewReader(tree)
	out, err := unpack.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// server is the way to a machine's port 443, by its name and with its certificate.
func (m machines) server(t *testing.T, id string) *http.Client {
	t.Helper()
	trust := x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM([]byte(m.sh(t, id, "cat /srv/teamcity/tls/teamcity.pem"))))
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return m.Dial(ctx, id, 443) },
	}}
}

// registered waits until the server on a machine names these agents, no others.
func (m machines) registered(t *testing.T, id string, want ...string) {
	t.Helper()
	server := m.server(t, id)
	last := ""
	ask := func() bool {
		r, err := server.Get("https://" + host + "/app/rest/agents")
		if err != nil {
			last = err.Error()
			return false
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		last = string(b)
		var list struct{ Agent []struct{ Name string } }
		if r.StatusCode != http.StatusOK || json.Unmarshal(b, &list) != nil {
			return false
		}
		var names []string
		for _, a := range list.Agent {
			names = append(names, a.Name)
		}
		return slices.Equal(want, names)
	}
	for end := time.Now().Add(5 * time.Minute); !ask(); time.Sleep(200 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "the server says %s\n%s", last, m.sh(t, id, "tail -n 5 /opt/teamcity-agent/logs/*.log; systemctl --failed --no-legend"))
	}
}

// TestTheRolesRun makes both roles of this repository on one machine, from the
// stand-in distribution, as a bake does: Puppet twice, Serverspec. The machine
// that is then started from it serves by nginx alone, has an agent registered,
// writes a backup; and when it is lost, another one goes on with its volume.
func TestTheRolesRun(t *testing.T) {
	m := newMachines(t)
	tree := filepath.Join(t.TempDir(), "tree")
	for _, dir := range []string{"packer", "puppet", "serverspec"} {
		require.NoError(t, os.CopyFS(filepath.Join(tree, dir), os.DirFS(filepath.Join(top, dir))))
	}
	use := exec.CommandContext(t.Context(), filepath.Join(top, "teamcity", "standin", "use"), tree)
	use.Env = append(os.Environ(), "TREE=/var/tmp/tree")
	out, err := use.CombinedOutput()
	require.NoError(t, err, "%s", out)
	hiera := filepath.Join(tree, "puppet", "data", "roles", "teamcity_server.yaml")
	b, err := os.ReadFile(hiera)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(hiera, append(b, "teamcity::server::bucket: backups-of-ci\n"...), 0o644))

	_, err = m.Start(t.Context(), runtime.Spec{ID: "i-bake", Image: runtime.Base, Hostname: "ip-10-0-1-17"})
	require.NoError(t, err)
	m.files(t, "i-bake", tree, "/var/tmp/tree")
	// A stand-in for the aws CLI, which keeps what it is given; the real one is 300 MB.
	m.sh(t, "i-bake", `mkdir -p /tmp/aws/DEBIAN /tmp/aws/usr/bin && cd /tmp/aws
printf 'Package: awscli\nVersion: 2\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: stand-in\n' >DEBIAN/control
printf '#!/bin/sh\n[ "$1 $2" = "s3 cp" ] && exec cp "$4" "/root/$(echo "$5" | tr / _)"\n' >usr/bin/aws
chmod 755 usr/bin/aws && dpkg-deb -b . /tmp/aws.deb >/dev/null && dpkg -i /tmp/aws.deb`)
	for _, role := range []string{"teamcity_server", "teamcity_agent"} {
		out := m.sh(t, "i-bake", "ROLE="+role+" IMAGE_KEY=a1b2c3 bash /var/tmp/tree/packer/provision.sh")
		assert.Contains(t, out, " 0 failures", role)
	}
	assert.Empty(t, m.sh(t, "i-bake", "ls -A /srv; ls -A /etc/postgresql"), "no data and no identity comes from the bake")
	require.NoError(t, m.Stop(t.Context(), "i-bake"))
	require.NoError(t, m.Save(t.Context(), "i-bake", "ami-ci"))
	require.NoError(t, m.Remove(t.Context(), "i-bake"))

	volume := runtime.VolumeSpec{ID: "vol-ci", Device: "/dev/sdf", GiB: 1}
	t.Cleanup(func() { _ = m.RemoveVolume(context.WithoutCancel(t.Context()), volume.ID) })
	start := func(id, name string) {
		_, err := m.Start(t.Context(), runtime.Spec{
			ID: id, Image: "ami-ci", Hostname: name, Volumes: []runtime.VolumeSpec{volume}, UserData: []byte("#cloud-config\n# teamcity: device=/dev/sdf\n"),
		})
		require.NoError(t, err)
		m.sh(t, id, "timeout 180 sh -c 'until [ -f /srv/teamcity/tls/teamcity.key ]; do sleep 0.2; done'; echo 127.0.0.1 "+host+" >>/etc/hosts; "+
			"install -D /srv/teamcity/tls/teamcity.pem /opt/teamcity-agent/conf/trustedCertificates/ci.pem")
	}
	start("i-1", "ip-10-0-1-21")
	m.registered(t, "i-1", "ip-10-0-1-21")
	properties := m.sh(t, "i-1", "cat /opt/teamcity-agent/conf/buildAgent.properties")
	assert.Regexp(t, `(?m)^authorizationToken=[0-9a-f]{32}$`, properties, "it keeps its token")
	assert.Equal(t, "a1b2c3", m.sh(t, "i-1", "curl -fsS http://127.0.0.1/version"))
	c, err := m.Dial(t.Context(), "i-1", 8111)
	if !assert.Error(t, err, "nobody but nginx reaches the server") {
		_ = c.Close()
	}
	m.sh(t, "i-1", "test -z \"$(systemctl --failed --plain --no-legend)\"")
	m.sh(t, "i-1", "systemctl start teamcity-backup.service && cd /root && python3 -m zipfile -l s3:__backups-of-ci_backup_teamcity-*.zip | grep -q database.sql")

	// The machine is lost without a word. Who comes next has its volume.
	out, err = exec.CommandContext(t.Context(), "docker", "kill", "chain-lab-"+m.lab+"-i-1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, m.Remove(t.Context(), "i-1"))
	start("i-2", "ip-10-0-1-22")
	m.registered(t, "i-2", "ip-10-0-1-21", "ip-10-0-1-22") // the database is the one before
}
