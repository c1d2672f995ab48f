package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

const region = "eu-west-1"

// world is a local AWS, a clone with the site in it, and a record of what was called.
type world struct {
	l       *lab.Lab
	clone   string
	environ []string
	extend  []template.Extend
	proxy   *httptest.Server
	keys    []string // of its pages
	rate    int      // at which the page is asked for, each second; 0 is as for users

	mu    sync.Mutex
	calls []call
	cut   atomic.Bool // every call fails, as if the process had been killed
}

type call struct {
	action string
	form   url.Values
}

func newWorld(t testing.TB, options ...func(*lab.Options)) *world {
	t.Helper()
	w := openWorld(t, t.TempDir(), options...)
	root := filepath.Join("..", "..")
	for _, name := range []string{"chain.yaml", "cloudformation/stack-policy.json"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		w.write(t, filepath.Join(w.clone, name), string(b))
	}
	w.write(t, filepath.Join(w.clone, "packer", "tools.env"), "PUPPET=8.10.0\nSERVERSPEC=2.43.0\n")
	w.write(t, filepath.Join(w.clone, "serverspec", "spec.rb"), "")
	w.write(t, filepath.Join(w.clone, "puppet", "page"), "Hello World")
	w.render(t)
	w.git(t, "init", "-q", "-b", "main")
	w.commit(t, "begin")
	return w
}

// openWorld is the clone in a directory, with a local AWS.
func openWorld(t testing.TB, dir string, options ...func(*lab.Options)) *world {
	t.Helper()
	// A machine that is busy with other tests must still signal within PauseTime.
	slow := func(o *lab.Options) { o.Factor = 100 }
	w := &world{l: lab.Start(t, append([]func(*lab.Options){slow}, options...)...), clone: filepath.Join(dir, "clone"), rate: 5}
	handler := w.l.Handler()
	w.proxy = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
			w.mu.Lock()
			w.calls = append(w.calls, call{form.Get("Action"), form})
			w.mu.Unlock()
		}
		if w.cut.Load() {
			rw.WriteHeader(http.StatusForbidden) // final: the SDK does not try again
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.proxy.Close)

	labDir := filepath.Join(dir, "target")
	w.write(t, filepath.Join(labDir, "lab.json"), fmt.Sprintf(`{"id":"test","pid":1,"api":%q,"socks":%q,"factor":%v}`,
		strings.TrimPrefix(w.proxy.URL, "http://"), w.l.SOCKS(), w.l.Status().Factor))
	w.environ = []string{"CHAIN_LAB=" + labDir}
	return w
}

// kept is a world that many tests begin with: the first that opens it makes it,
// and each gets a copy.
type kept struct {
	from *kept // nil: a new one
	make func(t testing.TB, w *world)

	once sync.Once
	dir  string
	keys []string // of the pages so far
}

var (
	// released has one page in production.
	released = &kept{make: func(t testing.TB, w *world) {
		t.Helper()
		w.page(t, "Hello World")
		_, err := w.release(t)
		require.NoError(t, err)
	}}
	// rehearsed has a second page, which passed its change test.
	rehearsed = &kept{from: released, make: func(t testing.TB, w *world) {
		t.Helper()
		w.page(t, "Hello World, again")
		_, err := w.run(t.Context(), t, true, 0)
		require.NoError(t, err)
	}}
	// changed has it in production.
	changed = &kept{from: rehearsed, make: func(t testing.TB, w *world) {
		t.Helper()
		_, err := w.release(t)
		require.NoError(t, err)
	}}
)

// patient leaves a second process time to take a roll up before PauseTime is over.
func patient(o *lab.Options) { o.Factor = 40 }

// keeping is where kept worlds are.
var keeping string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if keeping, err = os.MkdirTemp("", "release-worlds-"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(keeping) }()
		return m.Run()
	}())
}

// copy is cp -a: a signing key that others may read would be refused.
func (k *kept) copy(t testing.TB, from, to string) {
	t.Helper()
	out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput()
	require.NoError(t, err, string(out))
}

func (k *kept) open(t testing.TB, options ...func(*lab.Options)) *world {
	t.Helper()
	k.once.Do(func() {
		dir, err := os.MkdirTemp(keeping, "") //nolint:usetesting // it outlives this test
		require.NoError(t, err)
		var w *world
		if k.from == nil {
			w = newWorld(t)
		} else {
			w = k.from.open(t)
		}
		k.make(t, w)
		require.NoError(t, w.l.Copy(filepath.Join(dir, "lab")))
		require.NoError(t, w.l.Close())
		k.copy(t, filepath.Dir(w.clone), filepath.Join(dir, "world"))
		k.keys, k.dir = w.keys, dir
	})
	require.NotEmpty(t, k.dir, "the test that was to make this world failed")
	dir := t.TempDir()
	k.copy(t, filepath.Join(k.dir, "world"), dir)
	w := openWorld(t, dir, append(options, func(o *lab.Options) { o.From = filepath.Join(k.dir, "lab") })...)
	w.keys = slices.Clone(k.keys)
	return w
}

func (w *world) write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func (w *world) git(t testing.TB, args ...string) string {
	t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.com"}, args...)...)
	c.Dir = w.clone
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

func (w *world) commit(t testing.TB, message string) {
	t.Helper()
	w.git(t, "add", "-A")
	w.git(t, "commit", "-q", "--allow-empty", "-m", message)
}

func (w *world) config(t testing.TB) *config.Config {
	t.Helper()
	c, err := config.Load(w.clone, w.environ)
	require.NoError(t, err)
	return c
}

func (w *world) render(t testing.TB) {
	t.Helper()
	_, err := template.Write(w.config(t), false, w.extend...)
	require.NoError(t, err)
}

// page changes what the image serves, and gives the account the image that a
// bake would make of it.
func (w *world) page(t testing.TB, text string) (ami, key string) {
	t.Helper()
	w.write(t, filepath.Join(w.clone, "puppet", "page"), text)
	w.commit(t, "puppet: "+text)
	ami, key = w.baked(t, text)
	w.keys = append(w.keys, key)
	return ami, key
}

func (w *world) baked(t testing.TB, text string) (ami, key string) {
	t.Helper()
	return w.bakedRole(t, "web", text)
}

func (w *world) bakedRole(t testing.TB, role, text string) (ami, key string) {
	t.Helper()
	ctx := context.Background()
	clone, err := trail.OpenClone(ctx, nil, w.clone)
	require.NoError(t, err)
	head, err := clone.Head(ctx)
	require.NoError(t, err)
	r, err := image.Key(ctx, clone, head, role, image.Base{ID: w.l.BaseImage(region)})
	require.NoError(t, err)
	require.NoError(t, w.l.Memory().AddImage(role+":"+r.Key, memory.Site(text, r.Key)))
	ami, err = w.l.AddImage(region, role+"-"+r.Key+"-1", role+":"+r.Key, map[string]string{
		image.TagKey: r.Key, image.TagRole: role, image.TagState: image.Good, image.TagCommit: head, image.TagExpires: image.Never,
	})
	require.NoError(t, err)
	o, err := w.chain(t).Bakes(role)
	require.NoError(t, err)
	require.NoError(t, image.Attest(ctx, o[0], ami, r, image.Inventory{Packages: []image.Package{{Name: "apache2", Version: text}}}))
	return ami, r.Key
}

// chain is what a new process would open.
func (w *world) chain(t testing.TB) *release.Chain {
	t.Helper()
	c := w.config(t)
	s, err := c.Site("")
	require.NoError(t, err)
	e, err := s.Environment("")
	require.NoError(t, err)
	target, err := c.For(e, c.Value("CHAIN_REGION"))
	require.NoError(t, err)
	target.Poll = config.Poll{Min: 100 * time.Millisecond, Max: 400 * time.Millisecond}
	// Fifty a second from each of many worlds, under the race detector, leave no time
	// for what is tested; TestNobodyIsTurnedAway does it.
	target.ProbeRate = w.rate
	if target.Factor > 500 {
		target.Poll.Min = 3 * time.Millisecond
	}
	ch, err := release.OpenTarget(t.Context(), c, e, target)
	require.NoError(t, err)
	ch.Extend = w.extend
	return ch
}

// run is one command, with all its events in the test's log.
func (w *world) run(ctx context.Context, t testing.TB, only bool, back int, hooks ...func(pipeline.Event)) (*release.State, error) {
	t.Helper()
	w.cut.Store(false)
	s := w.chain(t).Start()
	s.TestOnly, s.Back = only, back
	began := time.Now()
	err := s.Do(ctx, pipeline.Env{Tell: func(e pipeline.Event) {
		t.Logf("%5dms %-8s %s %s %s", time.Since(began).Milliseconds(), e.Kind, e.Step, e.Name, e.Text)
		for _, h := range hooks {
			h(e)
		}
	}})
	return s, err
}

func (w *world) release(t testing.TB) (*release.State, error) {
	t.Helper()
	return w.run(t.Context(), t, false, 0)
}

func (w *world) fault(t testing.TB, kind string, match, args map[string]string, times int) {
	t.Helper()
	_, err := w.l.Fault(state.Fault{Kind: kind, Match: match, Args: args, Times: times})
	require.NoError(t, err)
}

// get is the page as a user sees it.
func (w *world) get(t testing.TB, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: w.l.Dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	r, err := client.Get("http://www.hello.example" + path)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
	return strings.TrimSpace(string(b))
}

// recorded are the calls of an action.
func (w *world) recorded(action string) []url.Values {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []url.Values
	for _, c := range w.calls {
		if c.action == action {
			out = append(out, c.form)
		}
	}
	return out
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// stacks are the names of those that are there.
func (w *world) stacks() []string {
	var out []string
	for _, s := range w.l.Status().Stacks {
		if s.Name == "web-production-outside-"+region {
			continue // production's, which comes and stays with it
		}
		out = append(out, s.Name)
	}
	return out
}

func (w *world) history(t testing.TB) []trail.Release {
	t.Helper()
	c := w.chain(t)
	list, err := c.Trail.History(t.Context(), c.Place, 0)
	require.NoError(t, err)
	return list
}

func (w *world) evidence(t testing.TB) trail.Evidence {
	t.Helper()
	c := w.chain(t)
	b, ok, err := c.Trail.Read(t.Context(), c.Place.Evidence())
	require.NoError(t, err)
	require.True(t, ok)
	var e trail.Evidence
	require.NoError(t, json.Unmarshal(b, &e))
	return e
}

// allocate takes an Elastic IP, as somebody else in the account might.
func (w *world) allocate(t testing.TB) {
	t.Helper()
	cfg, err := w.chain(t).Target.AWS(t.Context())
	require.NoError(t, err)
	_, err = ec2.NewFromConfig(cfg).AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
	require.NoError(t, err)
}
