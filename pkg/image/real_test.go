package image_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/base"
	labclient "github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// TestBakeForReal bakes this repository's own recipe: real Packer, Puppet,
// Serverspec, on machines that are containers. It takes minutes, and the story
// in test/ does the same on its way, so it runs on demand only.
func TestBakeForReal(t *testing.T) {
	if os.Getenv("CHAIN_TEST_BAKE") == "" {
		t.Skip("set CHAIN_TEST_BAKE=1 to bake for real")
	}
	for _, tool := range []string{"packer", "rspec", "git"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err)
	}
	ctx := t.Context()
	api, err := docker.Connect(ctx, "")
	require.NoError(t, err)
	defer api.Close()
	ref, err := base.Prepare(ctx, base.Options{Engine: api, Cache: labclient.Cache(), Progress: func(line string) { t.Log(line) }})
	require.NoError(t, err)
	id := fmt.Sprintf("bake%d", os.Getpid())
	machines, err := docker.New(ctx, docker.Options{Lab: id, Base: ref})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = machines.Close()
		// The test's own context has ended by now.
		ctx := context.WithoutCancel(ctx)
		api, err := docker.Connect(ctx, "")
		if assert.NoError(t, err) {
			assert.NoError(t, docker.Destroy(ctx, api, id))
			_ = api.Close()
		}
	})
	_, digest, _ := strings.Cut(ref, ":")
	l := lab.Start(t, func(o *lab.Options) {
		o.Runtime, o.ID, o.Base, o.Factor = machines, id, ec2.Base{Digest: digest}, 10
	})

	top := git(t, ".", "rev-parse", "--show-toplevel")
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, top, "clone", "--quiet", "file://"+top, dir)
	git(t, dir, "config", "user.name", "Ann Example")
	git(t, dir, "config", "user.email", "ann@example.org")
	target := &config.Target{
		Name: "bench", Account: lab.Account, Region: "eu-west-1", Endpoint: l.Endpoint(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
		SOCKS:       l.SOCKS(), From: []string{"192.0.2.1/32"}, State: filepath.Join(dir, ".chain"),
		Poll: config.Poll{Min: 100 * time.Millisecond, Max: time.Second}, Factor: 10, PinFirst: true, Signing: signing(t),
	}
	cfg, err := target.AWS(ctx)
	require.NoError(t, err)
	client := compute.New(cfg)
	began := time.Now()
	tell := func(e pipeline.Event) {
		if e.Kind != pipeline.Await && e.Kind != pipeline.Output {
			t.Logf("%6.1fs %s %s %s %s", time.Since(began).Seconds(), e.Step, e.Kind, e.Name, e.Text)
		}
	}
	bake := func(run string) (image.Result, error) {
		c, err := trail.OpenClone(ctx, nil, dir)
		require.NoError(t, err)
		tr, err := trail.Open(ctx, trail.Options{Clone: c, Remote: filepath.Join(dir, ".chain", "lab", "trail.git"), Private: true, Images: template.Images, SetImage: template.SetImageOf})
		require.NoError(t, err)
		return image.Bake(ctx, pipeline.Env{Tell: tell}, image.Options{
			Target: target, Bake: config.Bake{Owner: "136693071363", Name: "debian-12-amd64-*", InstanceType: "t3.small", User: "admin"},
			Role: "web", Places: []trail.Place{production}, Clone: c, Trail: tr, Client: client, Run: run,
		})
	}
	keepLogs := func() {
		if to := os.Getenv("CHAIN_TEST_LOGS"); to != "" {
			_ = os.CopyFS(filepath.Join(to, fmt.Sprint(time.Now().Unix())), os.DirFS(filepath.Join(dir, ".chain", "bake")))
		}
	}
	t.Cleanup(keepLogs)
	r, err := bake("r1")
	require.NoError(t, err, report.Format(err, ""))
	for _, p := range r.Phases {
		t.Logf("%-40s %s", p.Name, p.Took.Round(100*time.Millisecond))
	}
	assert.NotEmpty(t, r.Packages)
	again, err := bake("r2")
	require.NoError(t, err)
	assert.True(t, again.Reused)

	// A page that answers 500.
	file := filepath.Join(dir, "puppet/site-modules/profile/manifests/web.pp")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	bad := strings.Replace(string(b), `"${docroot}/index.html":`, "\"${docroot}/.htaccess\":\n      content => \"Nonsense\\n\";\n    \"${docroot}/index.html\":", 1)
	bad = strings.Replace(bad, "'allow_override' => ['None']", "'allow_override' => ['All']", 1)
	require.NotEqual(t, string(b), bad)
	require.NoError(t, os.WriteFile(file, []byte(bad), 0o644))
	commit(t, dir, "a page that answers 500")
	_, err = bake("r3")
	require.Error(t, err)
	t.Log(report.Format(err, ""))
	assert.Equal(t, report.BakeFailed, report.Code(err))
	images, err := client.Images(ctx, compute.ImageQuery{Owner: "self"})
	require.NoError(t, err)
	assert.Len(t, images, 1)
	left, err := client.Left(ctx, compute.Tags{image.TagKey: "*"})
	require.NoError(t, err)
	assert.Empty(t, left)
}
