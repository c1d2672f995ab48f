package recovery_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

const (
	home = "eu-west-1"
	away = "us-east-1"
)

// world is a local AWS and a clone with a site in two of its regions.
type world struct {
	l       *lab.Lab
	clone   string
	environ []string
}

func newWorld(t testing.TB, options ...func(*lab.Options)) *world {
	t.Helper()
	// A machine that is busy with other tests must still signal within PauseTime.
	slow := func(o *lab.Options) { o.Factor = 100 }
	w := &world{l: lab.Start(t, append([]func(*lab.Options){slow}, options...)...), clone: filepath.Join(t.TempDir(), "clone")}
	labDir := filepath.Join(t.TempDir(), "lab")
	w.write(t, filepath.Join(labDir, "lab.json"), fmt.Sprintf(`{"id":"test","pid":1,"api":%q,"socks":%q,"factor":%v}`,
		strings.TrimPrefix(w.l.Endpoint(), "http://"), w.l.SOCKS(), w.l.Status().Factor))
	w.environ = []string{"CHAIN_LAB=" + labDir}
	for _, name := range []string{"chain.yaml", "cloudformation/stack-policy.json"} {
		b, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		w.write(t, filepath.Join(w.clone, name), strings.Replace(string(b), "regions: ["+home+"]", "regions: ["+home+", "+away+"]", 1))
	}
	w.write(t, filepath.Join(w.clone, "packer", "tools.env"), "PUPPET=8.10.0\nSERVERSPEC=2.43.0\n")
	w.write(t, filepath.Join(w.clone, "serverspec", "spec.rb"), "")
	w.write(t, filepath.Join(w.clone, "puppet", "page"), "Hello World")
	w.git(t, "init", "-q", "-b", "main")
	w.render(t)
	return w
}

func (w *world) write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func (w *world) git(t testing.TB, args ...string) {
	t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.com"}, args...)...)
	c.Dir = w.clone
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
}

// render writes the templates of what chain.yaml says, and commits all.
func (w *world) render(t testing.TB) {
	t.Helper()
	c, err := config.Load(w.clone, w.environ)
	require.NoError(t, err)
	_, err = template.Write(c, false)
	require.NoError(t, err)
	w.git(t, "add", "-A")
	w.git(t, "commit", "-q", "--allow-empty", "-m", "as it is")
}

// configure changes chain.yaml.
func (w *world) configure(t testing.TB, from, to string) {
	t.Helper()
	file := filepath.Join(w.clone, config.File)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), from)
	w.write(t, file, strings.Replace(string(b), from, to, 1))
	w.render(t)
}

// chain is what a new process would open.
func (w *world) chain(t testing.TB, region string) *release.Chain {
	t.Helper()
	c, err := config.Load(w.clone, w.environ)
	require.NoError(t, err)
	s, err := c.Site("")
	require.NoError(t, err)
	e, err := s.Environment("")
	require.NoError(t, err)
	target, err := c.For(e, region)
	require.NoError(t, err)
	target.Poll = config.Poll{Min: 50 * time.Millisecond, Max: 200 * time.Millisecond}
	target.ProbeRate = 5 // many worlds at once leave no time for more
	ch, err := release.OpenTarget(t.Context(), c, e, target)
	require.NoError(t, err)
	return ch
}

// baked gives a region the image that a bake of HEAD there would make.
func (w *world) baked(t testing.TB, region string) (ami, key string) {
	t.Helper()
	ctx := context.Background()
	ch := w.chain(t, region)
	head, err := ch.Clone.Head(ctx)
	require.NoError(t, err)
	r, err := image.Key(ctx, ch.Clone, head, "web", image.Base{ID: w.l.BaseImage(region)})
	require.NoError(t, err)
	require.NoError(t, w.l.Memory().AddImage("web:"+r.Key, memory.Site("Hello World", r.Key)))
	ami, err = w.l.AddImage(region, "web-"+r.Key+"-1", "web:"+r.Key, map[string]string{
		image.TagKey: r.Key, image.TagRole: "web", image.TagState: image.Good, image.TagCommit: head, image.TagExpires: image.Never,
	})
	require.NoError(t, err)
	o := ch.ImageOptions()
	o.Home = ""
	require.NoError(t, image.Attest(ctx, o, ami, r, image.Inventory{Packages: []image.Package{{Name: "apache2", Version: "2.4"}}}))
	return ami, r.Key
}

func (w *world) tell(t testing.TB, hooks ...func(pipeline.Event)) pipeline.Env {
	t.Helper()
	began := time.Now()
	return pipeline.Env{Tell: func(e pipeline.Event) {
		t.Logf("%5dms %-8s %s %s %s", time.Since(began).Milliseconds(), e.Kind, e.Step, e.Name, e.Text)
		for _, h := range hooks {
			h(e)
		}
	}}
}

// produce brings production up in the first region, with copies in the other.
func (w *world) produce(t testing.TB) (key string) {
	t.Helper()
	_, key = w.baked(t, home)
	o, err := w.chain(t, home).Bakes("")
	require.NoError(t, err)
	_, err = image.Bake(t.Context(), w.tell(t), o[0]) // makes the copies
	require.NoError(t, err)
	w.recover(t, home)
	return key
}

func (w *world) recover(t testing.TB, region string) *recovery.State {
	t.Helper()
	s := recovery.New(recovery.Options{Chain: w.chain(t, region)})
	require.NoError(t, s.Do(t.Context(), w.tell(t)))
	return s
}

// refused is a recovery that must not begin.
func (w *world) refused(t testing.TB, o recovery.Options) error {
	t.Helper()
	before := w.l.Calls()
	err := recovery.New(o).Do(t.Context(), w.tell(t))
	require.Error(t, err)
	after := w.l.Calls()
	for action, n := range after {
		for _, verb := range []string{"Create", "Run", "Execute", "Allocate", "Delete", "Copy", "Change", "Register"} {
			if strings.HasPrefix(action[strings.Index(action, ".")+1:], verb) {
				require.Equal(t, before[action], n, action)
			}
		}
	}
	return err
}

// lose ends all machines of production in a region and, with api, its API.
func (w *world) lose(t testing.TB, region string, api bool) {
	t.Helper()
	c := w.chain(t, region)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	groups := autoscaling.NewFromConfig(cfg)
	list, err := groups.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{})
	require.NoError(t, err)
	for _, g := range list.AutoScalingGroups {
		_, err = groups.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: g.AutoScalingGroupName})
		require.NoError(t, err)
		for _, i := range g.Instances {
			_, err = ec2.NewFromConfig(cfg).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{aws.ToString(i.InstanceId)}})
			require.NoError(t, err)
		}
	}
	if api {
		for _, service := range []string{"cloudformation", "ec2", "autoscaling", "elasticloadbalancing", "monitoring"} {
			w.fault(t, "error", map[string]string{"service": service, "region": region}, map[string]string{"code": "RegionIsGone"}) // final: nobody waits for it to be tried again
		}
	}
}

func (w *world) fault(t testing.TB, kind string, match, args map[string]string) {
	t.Helper()
	_, err := w.l.Fault(state.Fault{Kind: kind, Match: match, Args: args, Times: -1})
	require.NoError(t, err)
}

// get is a page as a user sees it.
func (w *world) get(t testing.TB, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: w.l.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://www.hello.example" + path)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
	return strings.TrimSpace(string(b))
}

func history(t testing.TB, c *release.Chain) []trail.Release {
	t.Helper()
	list, err := c.Trail.History(t.Context(), c.Place, 0)
	require.NoError(t, err)
	return list
}

// impatient is a clock that waits for nothing.
type impatient struct{ clock.System }

func (impatient) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
