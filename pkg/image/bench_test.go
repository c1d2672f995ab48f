package image_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/things-go/go-socks5"
	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/compute/machines"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

var production = trail.Place{Site: "web", Environment: "production", Region: "eu-west-1"}

// bench is a repository, a target and programs that stand in for Packer and
// rspec. EC2, Git, HTTP and SSH are spoken for real.
type bench struct {
	t      *testing.T
	dir    string
	remote string
	lab    *lab.Lab
	target *config.Target
	client *compute.Client
	tools  *tools
	runs   atomic.Int32
	events []pipeline.Event
	spoil  atomic.Value // of func(survey map[string]string): what a machine tells beside the good
}

// answer is what a machine's shell prints.
func (b *bench) answer(command string) string {
	if strings.HasPrefix(command, "date") {
		return fmt.Sprintf("%d.5", time.Now().Unix())
	}
	if !strings.Contains(command, "section packages") {
		return ""
	}
	sections := map[string]string{
		"now": fmt.Sprintf("%d +0000", time.Now().Unix()), "lang": "C.UTF-8\nC\nC.utf8\nPOSIX",
		"packages": "ii \tapache2\t2.4\tamd64\t500\nii \tbase-files\t12\tamd64\t300", "owned": "/etc\n/etc/debian_version",
		"mounts": "/\n/proc", "files": "f\t644\troot:root\t4\t\t/etc/debian_version\x00f\t644\troot:root\t5\t\t/etc/passwd\x00d\t755\troot:root\t5\t\t/etc\x00",
		"hashes": strings.Repeat("a", 64) + "  /etc/passwd\x00", "units": "ssh.service", "users": "root:x:0:0:root:/root:/bin/bash",
		"ports": "tcp    0: 00000000:0016 00000000:0000 0A", "capabilities": "asked", "end": "",
	}
	if spoil, ok := b.spoil.Load().(func(map[string]string)); ok {
		spoil(sections)
	}
	var out strings.Builder
	for name, text := range sections {
		fmt.Fprintf(&out, "\n\x01%s\n%s\n", name, text)
	}
	return out.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: repository(t), lab: lab.Start(t)}
	b.remote = filepath.Join(t.TempDir(), "trail.git")
	b.target = &config.Target{
		Name: "bench", Account: "111111111111", Region: "eu-west-1", Endpoint: b.lab.Endpoint(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
		SOCKS:       withSSH(t, b.lab.SOCKS(), b.answer), From: []string{"192.0.2.1/32"},
		State: filepath.Join(b.dir, ".chain"), Poll: config.Poll{Min: 2 * time.Millisecond, Max: 20 * time.Millisecond}, Factor: 100, PinFirst: true, Signing: signing(t),
	}
	cfg, err := b.target.AWS(t.Context())
	require.NoError(t, err)
	b.client = compute.New(cfg)
	b.tools = &tools{bench: b, api: ec2.NewFromConfig(cfg)}
	return b
}

func (b *bench) options() image.Options {
	b.t.Helper()
	c, err := trail.OpenClone(b.t.Context(), nil, b.dir)
	require.NoError(b.t, err)
	tr, err := trail.Open(b.t.Context(), trail.Options{
		Clone: c, Remote: b.remote, Private: true, Images: template.Images, SetImage: template.SetImageOf,
	})
	require.NoError(b.t, err)
	return image.Options{
		Target: b.target, Bake: config.Bake{Owner: "136693071363", Name: "debian-12-amd64-*", InstanceType: "t3.small", User: "admin"},
		Role: "web", Places: []trail.Place{production}, Clone: c, Trail: tr, Runner: b.tools, Client: b.client,
		Run: fmt.Sprintf("run-%d", b.runs.Add(1)), Deadline: 10 * time.Second,
	}
}

func (b *bench) bake(o image.Options) (image.Result, error) {
	b.events = nil
	return image.Bake(b.t.Context(), pipeline.Env{Tell: func(e pipeline.Event) { b.events = append(b.events, e) }}, o)
}

func (b *bench) told() string {
	var out strings.Builder
	for _, e := range b.events {
		fmt.Fprintf(&out, "%s %s %s %s\n", e.Step, e.Kind, e.Name, e.Text)
	}
	return out.String()
}

// onlyLeft checks that nothing but these images is left of all bakes.
func (b *bench) onlyLeft(images ...string) {
	b.t.Helper()
	ctx := b.t.Context()
	machines, err := b.client.Find(ctx, compute.Tags{image.TagKey: "*"})
	require.NoError(b.t, err)
	for _, m := range machines {
		assert.Equal(b.t, "terminated", m.State, m.ID)
	}
	keys, err := b.client.KeyPairs(ctx, compute.Tags{image.TagKey: "*"})
	require.NoError(b.t, err)
	assert.Empty(b.t, keys)
	groups, err := b.client.Groups(ctx, compute.Tags{image.TagKey: "*"})
	require.NoError(b.t, err)
	assert.Empty(b.t, groups)
	list, err := b.client.Images(ctx, compute.ImageQuery{Owner: "self"})
	require.NoError(b.t, err)
	var ids, snapshots []string
	for _, i := range list {
		ids = append(ids, i.ID)
		snapshots = append(snapshots, i.Snapshots...)
		assert.Equal(b.t, image.Good, i.Tags[image.TagState], i.ID)
		assert.Equal(b.t, image.Never, i.Tags[image.TagExpires], i.ID)
	}
	assert.ElementsMatch(b.t, images, ids)
	all, err := b.client.Snapshots(ctx, compute.Tags{image.TagKey: "*"})
	require.NoError(b.t, err)
	var is []string
	for _, s := range all {
		is = append(is, s.ID)
		assert.Equal(b.t, image.Good, s.Tags[image.TagState], s.ID)
	}
	assert.ElementsMatch(b.t, snapshots, is)
	o := b.options()
	locks, err := o.Trail.Locks(ctx)
	require.NoError(b.t, err)
	assert.Empty(b.t, locks)
}

// account is what the chain sees of CloudFormation and Auto Scaling.
func (b *bench) account() *stack.Account {
	b.t.Helper()
	cfg, err := b.target.AWS(b.t.Context())
	require.NoError(b.t, err)
	return stack.Open(stack.Options{AWS: cfg, Machines: machines.Of(b.client), Poll: b.target.Poll, Factor: b.target.Factor})
}

func (b *bench) protectWithCooldown(ami string) {
	b.t.Helper()
	_, err := b.tools.api.EnableImageDeregistrationProtection(b.t.Context(), &ec2.EnableImageDeregistrationProtectionInput{ImageId: aws.String(ami), WithCooldown: aws.Bool(true)})
	require.NoError(b.t, err)
}

// inTemplate is the image that the trail's template names.
func (b *bench) inTemplate() string {
	b.t.Helper()
	body, ok, err := b.options().Trail.Read(b.t.Context(), production.Template())
	require.NoError(b.t, err)
	require.True(b.t, ok)
	id, err := template.Image(body)
	require.NoError(b.t, err)
	return id
}

// tools stands in for Packer and rspec: they do with EC2 what those do.
type tools struct {
	bench *bench
	api   *ec2.Client

	builds    int
	refuse    string        // what the provisioning says, if it fails
	page      string        // "" is the good one
	elsewhere bool          // what rspec finds is of the contract only
	failing   []string      // expectations that the finished image does not meet
	stop      string        // "builder", "image": Packer ends there and leaves everything
	hold      chan struct{} // Packer waits for it, or for the end of its context
	held      chan struct{}
	mu        sync.Mutex
	commands  []string
	last      variables
	stages    []string // of each build: what it started from, and the stage
}

func (x *tools) Run(ctx context.Context, c command.Cmd) ([]byte, error) {
	x.mu.Lock()
	x.commands = append(x.commands, c.Name)
	x.mu.Unlock()
	switch {
	case c.Name == "packer" && c.Args[0] == "version":
		return []byte("Packer v1.11.2\n"), nil
	case c.Name == "packer":
		return nil, x.packer(ctx, c)
	case c.Name == "rspec":
		return nil, x.rspec(c)
	}
	return nil, exec.ErrNotFound
}

type variables struct {
	Source  string            `json:"source_ami"`
	Name    string            `json:"image_name"`
	Key     string            `json:"image_key"`
	Out     string            `json:"output_dir"`
	Tags    map[string]string `json:"tags"`
	From    []string          `json:"ssh_source_cidrs"`
	Proxy   string            `json:"ssh_proxy_host"`
	EC2     string            `json:"custom_endpoint_ec2"`
	Seconds int               `json:"poll_seconds"`
	Stage   string            `json:"stage"`
	Role    string            `json:"role"`
	Class   string            `json:"puppet_class"`
	Specs   string            `json:"specs"`
}

func (x *tools) packer(ctx context.Context, c command.Cmd) error {
	x.builds++
	t := x.bench.t
	var v variables
	for _, a := range c.Args {
		if file, ok := strings.CutPrefix(a, "-var-file="); ok {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(b, &v))
			x.last = v
		}
	}
	assert.Equal(t, command.Terminate, c.Stop)
	assert.Equal(t, []string{"192.0.2.1/32"}, v.From)
	assert.Equal(t, x.bench.target.Endpoint, v.EC2)
	assert.FileExists(t, filepath.Join(c.Args[len(c.Args)-1], "build.pkr.hcl"))
	assert.Contains(t, strings.Join(c.Env, "\n"), "AWS_ACCESS_KEY_ID=")
	x.stages = append(x.stages, v.Source+" "+v.Stage)
	fmt.Fprintf(c.Out, "2026-01-01T00:00:00Z: ==> web.amazon-ebs.image: Launching a source AWS instance...\n")

	tags := compute.Tags(v.Tags)
	keyName := "packer_" + v.Name
	_, err := x.bench.client.CreateKeyPair(ctx, keyName, tags)
	require.NoError(t, err)
	group, err := x.bench.client.CreateGroup(ctx, keyName, "Packer", "", tags, compute.Open{Port: 22, From: v.From})
	require.NoError(t, err)
	m, err := x.bench.client.StartMachine(ctx, compute.Start{Image: v.Source, Type: "t3.small", KeyName: keyName, SecurityGroups: []string{group}, Tags: tags})
	require.NoError(t, err)
	if x.stop == "builder" {
		panic("killed")
	}
	tidy := func() {
		ctx := context.WithoutCancel(ctx)
		require.NoError(t, x.bench.client.Terminate(ctx, m.ID))
		x.until(func() bool {
			got, err := x.bench.client.Machine(ctx, m.ID)
			require.NoError(t, err)
			return got == nil || got.State == "terminated"
		})
		require.NoError(t, x.bench.client.DeleteGroup(ctx, group))
		require.NoError(t, x.bench.client.DeleteKeyPair(ctx, keyName))
	}
	if x.hold != nil {
		close(x.held)
		select {
		case <-x.hold:
		case <-ctx.Done():
			tidy()
			return &command.ExitError{Cmd: "packer build", Code: 1, Err: context.Cause(ctx)}
		}
	}
	if x.refuse != "" {
		fmt.Fprintf(c.Out, "    web.amazon-ebs.image: Error: Could not start Service[apache2]\n==> web.amazon-ebs.image: provision: %s\n==> web.amazon-ebs.image: provision: stopped in: x (exit 1)\n", x.refuse)
		tidy()
		return &command.ExitError{Cmd: "packer build", Code: 1}
	}
	x.until(func() bool {
		got, err := x.bench.client.Machine(ctx, m.ID)
		require.NoError(t, err)
		return got != nil && got.State == "running"
	})
	fmt.Fprintf(c.Out, "2026-01-01T00:00:00Z:     web.amazon-ebs.image: ==> puppet apply\n")
	time.Sleep(60 * time.Millisecond)
	fmt.Fprintf(c.Out, "2026-01-01T00:00:09Z:     web.amazon-ebs.image: <== puppet apply: 9 s\n")
	page := "Hello World"
	if x.page != "" {
		page = x.page
	}
	require.NoError(t, x.bench.lab.Memory().Edit(m.ID, func(disk *memory.Image) { *disk = memory.Site(page, v.Key) }))
	_, err = x.api.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{m.ID}})
	require.NoError(t, err)
	x.until(func() bool {
		got, err := x.bench.client.Machine(ctx, m.ID)
		require.NoError(t, err)
		return got.State == "stopped"
	})
	var list []types.Tag
	for k, val := range v.Tags {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(val)})
	}
	out, err := x.api.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: aws.String(m.ID), Name: aws.String(v.Name), TagSpecifications: []types.TagSpecification{
		{ResourceType: types.ResourceTypeImage, Tags: list}, {ResourceType: types.ResourceTypeSnapshot, Tags: list},
	}})
	require.NoError(t, err)
	if x.stop == "image" {
		panic("killed")
	}
	x.until(func() bool {
		i, err := x.bench.client.Image(ctx, *out.ImageId)
		require.NoError(t, err)
		return i.State == "available"
	})
	tidy()
	manifest := fmt.Sprintf(`{"builds":[{"artifact_id":"eu-west-1:ami-0old","packer_run_uuid":"u0"},{"artifact_id":"us-east-1:ami-x,eu-west-1:%s","packer_run_uuid":"u1"}],"last_run_uuid":"u1"}`, *out.ImageId)
	return os.WriteFile(filepath.Join(v.Out, "manifest.json"), []byte(manifest), 0o600)
}

func (x *tools) until(done func() bool) {
	x.bench.t.Helper()
	require.Eventually(x.bench.t, done, 10*time.Second, 2*time.Millisecond)
}

func (x *tools) rspec(c command.Cmd) error {
	t := x.bench.t
	// The role's are run beside, where a panic would end more than the bake.
	if x.stop == "inspection" && slices.Contains(c.Args, "spec/image_contract") {
		panic("killed")
	}
	env := map[string]string{}
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	assert.FileExists(t, filepath.Join(c.Dir, "spec/image_contract/leftovers_spec.rb"))
	of := strings.TrimPrefix(c.Args[len(c.Args)-1], "spec/")
	assert.Contains(t, []string{"web", "jobs", "image_contract"}, of)
	// Both ways lead to the machine.
	conn, err := net.Dial("tcp", net.JoinHostPort(env["TARGET_HOST"], env["TARGET_PORT"]))
	require.NoError(t, err)
	line := make([]byte, 4)
	_, err = io.ReadFull(conn, line)
	require.NoError(t, err)
	assert.Equal(t, "SSH-", string(line))
	require.NoError(t, conn.Close())
	info, err := os.Stat(env["TARGET_KEY"])
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	conn, err = net.Dial("tcp", net.JoinHostPort(env["TARGET_HOST"], env["TARGET_HTTP_PORT"]))
	require.NoError(t, err)
	fmt.Fprint(conn, "GET /version HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), env["IMAGE_KEY"])

	var list []string
	failing := x.failing
	if of != "web" {
		failing = nil
	}
	for _, f := range append([]string{""}, failing...) {
		status := "passed"
		if f != "" {
			status = "failed"
		}
		dir := of
		if x.elsewhere {
			dir = "image_contract"
		}
		list = append(list, fmt.Sprintf(`{"full_description":%q,"status":%q,"file_path":"./spec/%s/page_spec.rb","line_number":7}`, f, status, dir))
	}
	for i, a := range c.Args {
		if a == "--out" {
			require.NoError(t, os.WriteFile(c.Args[i+1], []byte(`{"examples":[`+strings.Join(list, ",")+`],"summary":{"errors_outside_of_examples_count":0}}`), 0o600))
		}
	}
	if len(failing) > 0 {
		return &command.ExitError{Cmd: "rspec", Code: 1}
	}
	return nil
}

// withSSH is a SOCKS5 proxy before another: port 22 of every address that the
// other one reaches is an SSH server whose shell is a function.
func withSSH(t *testing.T, socks string, answer func(command string) string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	host, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	cfg.AddHostKey(host)
	behind := &config.Target{SOCKS: socks}
	server := socks5.NewServer(socks5.WithDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := behind.Dial(ctx, network, addr)
		if err != nil || !strings.HasSuffix(addr, ":22") {
			return conn, err
		}
		_ = conn.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		go func() {
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, chans, reqs, err := ssh.NewServerConn(c, cfg)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(reqs)
			for ch := range chans {
				channel, requests, err := ch.Accept()
				if err != nil {
					return
				}
				for r := range requests {
					_ = r.Reply(true, nil)
					if r.Type == "exec" {
						var cmd struct{ Line string }
						_ = ssh.Unmarshal(r.Payload, &cmd)
						fmt.Fprint(channel, answer(cmd.Line))
						_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
						_ = channel.Close()
					}
				}
			}
		}()
		return net.Dial("tcp", l.Addr().String())
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = server.Serve(l) }()
	return l.Addr().String()
}
