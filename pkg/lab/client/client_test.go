package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

	"github.com/build-deploy-chain/chain/pkg/lab/client"
)

// program is the lab's program, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chain-lab-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "lab")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "../../../cmd/lab")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	if os.Getenv("CHAIN_TEST_STARTER") != "" {
		starter()
		return
	}
	code := m.Run()
	if file, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// options of a lab without Docker in a directory of its own, on free ports.
func options(t *testing.T) client.Options {
	file, err := program()
	require.NoError(t, err)
	o := client.Options{
		Dir: filepath.Join(t.TempDir(), "lab"), API: "127.0.0.1:0", SOCKS: "127.0.0.1:0",
		Binary: file, Args: []string{"-runtime", "memory"}, Cache: t.TempDir(),
		Progress: func(s string) { t.Log(s) },
	}
	t.Cleanup(func() { assert.NoError(t, client.Stop(context.WithoutCancel(t.Context()), o.Dir)) })
	return o
}

func start(t *testing.T, o client.Options) *client.Lab {
	t.Helper()
	begin := time.Now()
	l, err := client.Start(t.Context(), o)
	require.NoError(t, err)
	t.Logf("lab %s, process %d, after %s", l.ID, l.PID, time.Since(begin).Round(time.Millisecond))
	return l
}

func failure(t *testing.T, err error) *client.Error {
	t.Helper()
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.NotEmpty(t, e.Where)
	assert.NotEmpty(t, e.State)
	return e
}

func TestLife(t *testing.T) {
	o := options(t)
	_, err := client.Find(t.Context(), o.Dir)
	require.ErrorIs(t, err, client.ErrNotRunning)
	require.NoError(t, client.Stop(t.Context(), o.Dir), "there is nothing to stop")
	assert.NoDirExists(t, o.Dir)

	l := start(t, o)
	assert.Equal(t, o.Dir, l.Dir)
	assert.InDelta(t, 10, l.Factor, 0)
	again := start(t, o)
	assert.Equal(t, l, again, "it runs already")
	found, err := client.Find(t.Context(), o.Dir)
	require.NoError(t, err)
	assert.Equal(t, l, found)
	s, err := client.Status(t.Context(), o.Dir)
	require.NoError(t, err)
	assert.Equal(t, []any{l.ID, l.PID, l.Build, l.API, l.SOCKS}, []any{s.ID, s.PID, s.Build, s.API, s.SOCKS})
	assert.Contains(t, string(s.Raw), `"machines"`)
	c, err := net.Dial("tcp", l.SOCKS)
	require.NoError(t, err)
	require.NoError(t, c.Close())

	var b bytes.Buffer
	require.NoError(t, client.Logs(t.Context(), o.Dir, &b, 1, false))
	assert.Equal(t, 1, strings.Count(b.String(), "\n"))
	assert.Contains(t, b.String(), "msg=up")

	require.NoError(t, client.Stop(t.Context(), o.Dir))
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	_, err = client.Find(t.Context(), o.Dir)
	require.ErrorIs(t, err, client.ErrNotRunning)
	assert.NoFileExists(t, filepath.Join(o.Dir, client.File))
	assert.ErrorIs(t, syscall.Kill(l.PID, 0), syscall.ESRCH)

	back := start(t, o)
	assert.Equal(t, l.ID, back.ID, "the lab is the same")
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	require.NoError(t, os.RemoveAll(o.Dir))
	b.Reset()
	e := failure(t, client.Logs(t.Context(), o.Dir, &b, 0, false))
	assert.Contains(t, e.Error(), "there is no log")
}

func TestEnv(t *testing.T) {
	l := client.Lab{API: "127.0.0.1:4566", SOCKS: "127.0.0.1:4567"}
	script := l.Env() + `echo "$AWS_ENDPOINT_URL $AWS_REGION ${AWS_PROFILE-unset} ${ALL_PROXY-unset}"`
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Env = []string{"AWS_PROFILE=work", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:4566 eu-west-1 unset unset\n", string(out))
	assert.Contains(t, l.Env(), "# curl -x socks5h://127.0.0.1:4567 http://www.hello.example/\n")
}

// Two starters get one lab.
func TestStartTwice(t *testing.T) {
	o := options(t)
	var wg sync.WaitGroup
	labs := make([]*client.Lab, 6)
	for i := range labs {
		wg.Go(func() {
			o := o
			o.Progress = nil
			l, err := client.Start(t.Context(), o)
			if assert.NoError(t, err) {
				labs[i] = l
			}
		})
	}
	wg.Wait()
	for _, l := range labs {
		require.NotNil(t, l)
		assert.Equal(t, labs[0].PID, l.PID)
	}
}

// addFault puts something into the lab's world, faults counts it.
func addFault(t *testing.T, l *client.Lab) {
	t.Helper()
	res, err := http.Post("http://"+l.API+"/_lab/faults", "application/json",
		strings.NewReader(`{"Kind":"throttle","Match":{"action":"DescribeStacks"},"Times":1}`))
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, res.StatusCode, "%s", b)
}

func faults(t *testing.T, l *client.Lab) int {
	t.Helper()
	s, err := client.Status(t.Context(), l.Dir)
	require.NoError(t, err)
	var all struct{ Faults int }
	require.NoError(t, json.Unmarshal(s.Raw, &all))
	return all.Faults
}

// A lab that was killed comes back with its world where it was.
func TestKilled(t *testing.T) {
	o := options(t)
	l := start(t, o)
	addFault(t, l)
	require.NoError(t, syscall.Kill(l.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool { _, err := client.Find(t.Context(), o.Dir); return err != nil }, 5*time.Second, 5*time.Millisecond)
	_, err := client.Find(t.Context(), o.Dir)
	require.ErrorIs(t, err, client.ErrNotRunning)
	require.NoError(t, client.Stop(t.Context(), o.Dir), "what is dead is stopped")
	back := start(t, o)
	assert.NotEqual(t, l.PID, back.PID)
	assert.Equal(t, []string{l.ID, l.API, l.SOCKS}, []string{back.ID, back.API, back.SOCKS}, "and at the same ports")
	assert.Equal(t, 1, faults(t, back))
}

// A lab of another build is started anew in place.
func TestOtherBuild(t *testing.T) {
	o := options(t)
	l := start(t, o)
	addFault(t, l)
	b, err := os.ReadFile(o.Binary)
	require.NoError(t, err)
	o.Binary = filepath.Join(t.TempDir(), "lab")
	require.NoError(t, os.WriteFile(o.Binary, append(b, 0), 0o755))
	next := start(t, o)
	assert.NotEqual(t, l.Build, next.Build)
	assert.NotEqual(t, l.PID, next.PID)
	assert.Equal(t, []string{l.ID, l.API, l.SOCKS}, []string{next.ID, next.API, next.SOCKS})
	assert.Equal(t, 1, faults(t, next))
	assert.ErrorIs(t, syscall.Kill(l.PID, 0), syscall.ESRCH)
}

// Without sources what runs is used as it is.
func TestNoSources(t *testing.T) {
	o := options(t)
	l := start(t, o)
	o.Binary, o.Source = "", t.TempDir()
	assert.Equal(t, l.PID, start(t, o).PID)
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	_, err := client.Start(t.Context(), o)
	assert.Contains(t, failure(t, err).What, "does not build")
}

// starter is the body of a process that starts a lab and ends.
func starter() {
	var o client.Options
	if err := json.Unmarshal([]byte(os.Getenv("CHAIN_TEST_STARTER")), &o); err != nil {
		panic(err)
	}
	if _, err := client.Start(context.Background(), o); err != nil {
		panic(err)
	}
}

// The lab outlives the command that started it and its process group.
func TestDetached(t *testing.T) {
	o := options(t)
	o.Progress = nil
	b, err := json.Marshal(map[string]any{"Dir": o.Dir, "API": o.API, "SOCKS": o.SOCKS, "Binary": o.Binary, "Args": o.Args, "Cache": o.Cache})
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CHAIN_TEST_STARTER="+string(b), "AWS_SECRET_ACCESS_KEY=secret")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput() // returns: the lab does not hold the pipe
	require.NoError(t, err, "%s", out)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP) // the group is gone with its only member
	l, err := client.Find(t.Context(), o.Dir)
	require.NoError(t, err)
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", l.PID)); err == nil {
		assert.NotContains(t, string(env), "AWS_", "it was handed credentials")
	}
}

func TestPortTaken(t *testing.T) {
	t.Run("by another lab", func(t *testing.T) {
		first := options(t)
		l := start(t, first)
		o := options(t)
		o.API = l.API
		_, err := client.Start(t.Context(), o)
		e := failure(t, err)
		assert.Contains(t, e.What, "another lab: "+l.ID)
		assert.Contains(t, e.What, first.Dir)
		assert.Contains(t, e.What, fmt.Sprintf("process %d", l.PID))
		assert.Contains(t, e.Next[0], "CHAIN_LAB="+first.Dir)
		_, err = client.Find(t.Context(), o.Dir)
		require.ErrorIs(t, err, client.ErrNotRunning)
	})
	t.Run("by a process", func(t *testing.T) {
		c, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer c.Close()
		o := options(t)
		o.SOCKS = c.Addr().String()
		_, err = client.Start(t.Context(), o)
		e := failure(t, err)
		assert.Contains(t, e.What, "port "+o.SOCKS+" is held by client.test")
		assert.Contains(t, e.Next[0], fmt.Sprintf("kill %d", os.Getpid()))
	})
}

func TestForeignDirectory(t *testing.T) {
	o := options(t)
	precious := filepath.Join(o.Dir, "thesis.tex")
	require.NoError(t, os.MkdirAll(o.Dir, 0o755))
	require.NoError(t, os.WriteFile(precious, []byte("x"), 0o600))
	_, err := client.Start(t.Context(), o)
	assert.Contains(t, failure(t, err).What, "no lab's")
	assert.Contains(t, failure(t, client.Down(t.Context(), o)).What, "no lab's")
	assert.FileExists(t, precious)
	entries, err := os.ReadDir(o.Dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// A number in a file of a dead lab may be another process's by now.
func TestStaleFiles(t *testing.T) {
	o := options(t)
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	t.Cleanup(func() { _ = other.Process.Kill() })
	l := start(t, o)
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	l.PID = other.Process.Pid
	b, err := json.Marshal(l)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, client.File), b, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, client.ProcessFile), fmt.Append(nil, l.PID), 0o600))
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	start(t, o)
	select {
	case <-ended:
		require.Fail(t, "a process that is no lab was ended")
	default:
	}
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, client.File), []byte("{"), 0o600))
	start(t, o)
}

func TestStartFails(t *testing.T) {
	o := options(t)
	o.Args = []string{"-runtime", "clay"}
	_, err := client.Start(t.Context(), o)
	e := failure(t, err)
	assert.Contains(t, e.What, "ended while it started")
	assert.Contains(t, e.Error(), "clay")
	o.Factor = "fast"
	_, err = client.Start(t.Context(), o)
	assert.Contains(t, failure(t, err).What, `"fast"`)
	o.Factor = ""
	o.Dir = filepath.Join("/dev/null", "lab")
	_, err = client.Start(t.Context(), o)
	assert.Contains(t, failure(t, err).What, "no place for its state")
}

// A state that cannot be read stops the start; nothing is lost.
func TestBrokenState(t *testing.T) {
	o := options(t)
	l := start(t, o)
	addFault(t, l)
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	file := filepath.Join(o.Dir, "state.json")
	require.FileExists(t, file)
	good, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, good[:len(good)/2], 0o600))
	_, err = client.Start(t.Context(), o)
	assert.Contains(t, failure(t, err).Error(), "state.json")
	require.NoError(t, os.WriteFile(file, good, 0o600))
	assert.Equal(t, 1, faults(t, start(t, o)))
}

func TestLogsFollow(t *testing.T) {
	o := options(t)
	start(t, o)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- client.Logs(ctx, o.Dir, w, 1, true)
		_ = w.Close()
	}()
	go func() {
		time.Sleep(300 * time.Millisecond)
		_ = client.Stop(context.WithoutCancel(ctx), o.Dir)
	}()
	seen, buf := "", make([]byte, 1024)
	for !strings.Contains(seen, "stopping") {
		n, err := r.Read(buf)
		require.NoError(t, err)
		seen += string(buf[:n])
	}
	cancel()
	require.NoError(t, <-done)
}
