package clients_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

// packers are the generations of Packer: ours, and Debian 12's, whose builders
// are built in and whose SDK is years older.
var packers = map[string]string{"1.11": `^Packer v1\.1[1-9]\.`, "1.6": `^Packer v1\.6\.`}

// seen is what the lab has in its region, as its own API tells it.
type seen struct {
	Instances      map[string]struct{ State, ImageID string }
	KeyPairs       map[string]any
	SecurityGroups map[string]struct{ Name string }
	Images         map[string]struct{ Name, Owner, State string }
}

func look(t *testing.T, api string) seen {
	t.Helper()
	res, err := http.Get("http://" + api + "/_lab/world")
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var world struct{ Regions map[string]seen }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&world))
	return world.Regions[region]
}

// nothingLeft asserts that neither a machine nor what it needed is there.
func nothingLeft(t *testing.T, api string) {
	t.Helper()
	s := look(t, api)
	for id, i := range s.Instances {
		assert.Equal(t, "terminated", i.State, id)
	}
	assert.Empty(t, s.KeyPairs)
	for id, g := range s.SecurityGroups {
		assert.Equal(t, "default", g.Name, id)
	}
}

// words are what a program printed so far.
type words struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// build starts packer build in a process group of its own, as a shell does.
func build(t *testing.T, packer, api, template string, vars ...string) (*exec.Cmd, *words) {
	t.Helper()
	home := t.TempDir()
	args := []string{"build", "-color=false"}
	for _, v := range vars {
		args = append(args, "-var", v)
	}
	cmd := exec.Command(packer, append(args, template)...)
	cmd.Dir = home
	cmd.Env = environ("http://"+api, home, "CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+home, "TMPDIR="+home)
	plugins := os.Getenv("PACKER_PLUGIN_PATH")
	if plugins == "" {
		plugins = filepath.Join(filepath.Dir(filepath.Dir(packer)), "plugins") // as station/packer/build.sh leaves them
	}
	cmd.Env = append(cmd.Env, "PACKER_PLUGIN_PATH="+plugins)
	out := &words{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	return cmd, out
}

// interrupt presses Ctrl-C once the file is there: everybody in the process
// group hears it. It returns how packer ended.
func interrupt(t *testing.T, cmd *exec.Cmd, out *words, there func() bool) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(3 * time.Minute); !there(); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			require.FailNow(t, "packer ended by itself", "%v\n%s", err, out)
		default:
		}
		if time.Now().After(end) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			require.FailNow(t, "the bake did not get to its middle", out.String())
		}
	}
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	select {
	case err := <-ended:
		require.Error(t, err, out.String())
		assert.Equal(t, 1, cmd.ProcessState.ExitCode(), out.String())
	case <-time.After(2 * time.Minute):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		require.FailNow(t, "Ctrl-C did not end packer", out.String())
	}
}

// A template that both generations read, without a login.
func legacy(t *testing.T, l *lab.Lab, provisioner map[string]any) string {
	t.Helper()
	template := map[string]any{
		"builders": []any{map[string]any{
			"type": "amazon-ebs", "region": region, "custom_endpoint_ec2": l.Endpoint(), "source_ami": l.BaseImage(region), "instance_type": "t3.micro",
			"ami_name": "legacy", "communicator": "none", "tags": map[string]string{"role": "web"}, "run_tags": map[string]string{"building": "true"},
			"aws_polling": map[string]int{"delay_seconds": 1, "max_attempts": 60},
		}},
		"provisioners": []any{provisioner},
	}
	b, err := json.Marshal(template)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "legacy.json")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestPacker(t *testing.T) {
	for version, pattern := range packers {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			packer := find(t, "packer", pattern, "version")
			if packer == "" {
				missing(t, "Packer "+version)
			}
			l := lab.Start(t)
			api := strings.TrimPrefix(l.Endpoint(), "http://")

			// Ctrl-C in the middle first: what it leaves would disturb the bake.
			mark := filepath.Join(t.TempDir(), "middle")
			cmd, out := build(t, packer, api, legacy(t, l, map[string]any{"type": "shell-local", "inline": []string{"touch " + mark + "; sleep 600"}}))
			interrupt(t, cmd, out, func() bool { _, err := os.Stat(mark); return err == nil })
			assert.Contains(t, out.String(), "Terminating the source AWS instance")
			nothingLeft(t, api)

			cmd, out = build(t, packer, api, legacy(t, l, map[string]any{"type": "shell-local", "inline": []string{"true"}}))
			require.NoError(t, cmd.Wait(), out)
			nothingLeft(t, api)
			var names []string
			for _, i := range look(t, api).Images {
				if i.Owner == lab.Account {
					names = append(names, i.Name+" "+i.State)
				}
			}
			assert.Equal(t, []string{"legacy available"}, names)
		})
	}
}

// The builder of the repository's own bake, logged in to a real machine, and
// Ctrl-C in the middle of it.
func TestInterruptedBake(t *testing.T) {
	packer := find(t, "packer", packers["1.11"], "version")
	if packer == "" {
		missing(t, "Packer 1.11")
	}
	engine, err := docker.Connect(t.Context(), "")
	if err != nil {
		missing(t, "a Docker engine")
	}
	require.NoError(t, engine.Close())
	o := client.Options{Dir: filepath.Join(t.TempDir(), "lab"), API: "127.0.0.1:0", SOCKS: "127.0.0.1:0", Source: filepath.Join("..", ".."), Progress: func(s string) { t.Log(s) }}
	t.Cleanup(func() { assert.NoError(t, client.Down(context.WithoutCancel(t.Context()), o)) })
	l, err := client.Start(t.Context(), o)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(l.SOCKS)
	require.NoError(t, err)

	// The repository's source block, with a build that does nothing but wait.
	template := t.TempDir()
	for _, name := range []string{"sources.pkr.hcl", "variables.pkr.hcl", "plugins.pkr.hcl"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "packer", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(template, name), b, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(template, "build.pkr.hcl"), []byte(`
build {
  sources = ["source.amazon-ebs.image"]
  provisioner "shell" {
    inline = ["echo IN THE MIDDLE ${var.output_dir}", "sleep 600"]
  }
}
`), 0o600))
	base := ""
	settle(t, l.API, func(s seen) bool {
		for id, i := range s.Images {
			if i.Owner != lab.Account {
				base = id
			}
		}
		return base != ""
	})
	cmd, out := build(t, packer, l.API, template, "region="+region, "source_ami="+base, "image_name=interrupted", "image_key=k", "role=web", "output_dir="+template,
		"custom_endpoint_ec2=http://"+l.API, "ssh_proxy_host="+host, "ssh_proxy_port="+port, `ssh_source_cidrs=["`+network.Client+`/32"]`, "poll_seconds=1", "poll_max_attempts=120")
	interrupt(t, cmd, out, func() bool { return strings.Contains(out.String(), "IN THE MIDDLE") })
	nothingLeft(t, l.API)
	for id, i := range look(t, l.API).Images {
		assert.NotEqual(t, lab.Account, i.Owner, id)
	}
}

// settle has the region seeded by its first request, then waits for what shall be seen.
func settle(t *testing.T, api string, there func(seen) bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api+"/?Action=DescribeRegions&Version=2016-11-15", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB0000000000000/20260101/"+region+"/ec2/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	until(t, "true", func() string {
		if there(look(t, api)) {
			return "true"
		}
		return ""
	})
}

// Everything that an amazon-ebs source may ask for, without logging in.
func TestPackerOptions(t *testing.T) {
	t.Parallel()
	packer := find(t, "packer", packers["1.11"], "version")
	if packer == "" {
		missing(t, "Packer 1.11")
	}
	l := lab.Start(t)
	dir := t.TempDir()
	hcl := `
source "amazon-ebs" "web" {
  region                  = "eu-west-1"
  custom_endpoint_ec2     = "` + l.Endpoint() + `"
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*", root-device-type = "ebs", virtualization-type = "hvm", architecture = "x86_64" }
    owners      = ["136693071363"]
    most_recent = true
  }
  instance_type           = "t3.micro"
  ami_name                = "web-packer"
  ami_description         = "made by a test"
  ami_users               = ["222222222222"]
  communicator            = "none"
  temporary_key_pair_type = "ed25519"
  imds_support            = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 8
    volume_type           = "gp3"
    encrypted             = true
    delete_on_termination = true
  }
  deprecate_at  = "` + time.Now().UTC().Add(24*time.Hour).Format(time.RFC3339) + `"
  tags          = { role = "web", key = "k1" }
  snapshot_tags = { role = "web" }
  run_tags      = { role = "web", building = "true" }
  run_volume_tags = { role = "web" }
  aws_polling {
    delay_seconds = 1
    max_attempts  = 60
  }
}
build {
  sources = ["source.amazon-ebs.web"]
  post-processor "manifest" { output = "` + dir + `/manifest.json" }
}
`
	file := filepath.Join(dir, "web.pkr.hcl")
	require.NoError(t, os.WriteFile(file, []byte(hcl), 0o600))
	cmd, out := build(t, packer, strings.TrimPrefix(l.Endpoint(), "http://"), file)
	require.NoError(t, cmd.Wait(), "%s\ncalls: %v", out, l.Calls())

	var manifest struct {
		Builds []struct {
			ArtifactID string `json:"artifact_id"`
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &manifest))
	id := strings.TrimPrefix(manifest.Builds[0].ArtifactID, "eu-west-1:")
	l.Core().View(region, func(tx *core.Tx) {
		img := tx.Region.Images[id]
		require.NotNil(t, img)
		assert.Equal(t, "available", img.State)
		assert.Equal(t, "made by a test", img.Description)
		assert.Equal(t, map[string]string{"role": "web", "key": "k1", "building": "true"}, map[string]string(img.Tags))
		assert.Equal(t, []string{"222222222222"}, img.LaunchUsers)
		assert.False(t, img.DeprecateAt.IsZero())
		assert.True(t, img.Encrypted)
		require.NotNil(t, tx.Region.Snapshots[img.SnapshotID])
		assert.Equal(t, "web", tx.Region.Snapshots[img.SnapshotID].Tags["role"])
	})
	nothingLeft(t, strings.TrimPrefix(l.Endpoint(), "http://"))
}
