// Package runtimetest is the contract of a lab's runtime as one test suite. The
// docker and the memory runtime both pass it; a third one would have to.
package runtimetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// A Kit is a runtime under test and what the suite needs to know of it. All
// machines of it are the suite's.
type Kit struct {
	Runtime runtime.Runtime
	// Web makes image ref, whose machines answer GET / on port 80 with a page
	// that contains "Hello World".
	Web func(t *testing.T, ref string)
	// Reopen is another runtime over the same machines and images, as a
	// restarted lab makes it.
	Reopen func(t *testing.T) runtime.Runtime
	// Patience is how long anything in a machine may take.
	Patience time.Duration
}

// Run proves the contract.
func Run(t *testing.T, k Kit) {
	s := &suite{Kit: k}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"unknown names", s.unknown},
		{"life of a machine", s.life},
		{"images", s.images},
		{"traffic", s.traffic},
		{"a machine that boots slowly", s.slowBoot},
		{"a machine that never answers", s.never},
		{"a machine whose web server is broken", s.broken},
		{"a machine that dies", s.dies},
		{"its end by our wish is no event", s.quiet},
		{"a deregistered image", s.deregistered},
		{"many at once", s.many},
		{"another process", s.reopen},
	} {
		t.Run(c.name, c.test)
	}
}

// Traffic proves only what depends on the way to a machine.
func Traffic(t *testing.T, k Kit) {
	s := &suite{Kit: k}
	k.Web(t, web)
	t.Run("traffic", s.traffic)
	t.Run("a machine that never answers", s.never)
	t.Run("another process", s.reopen)
}

type suite struct{ Kit }

const web = "ami-web"

// ctx ends when the test has taken too long.
func (s *suite) ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*s.Patience)
	t.Cleanup(cancel)
	return ctx
}

// start starts a machine that is removed when the test ends.
func (s *suite) start(t *testing.T, id, image string, f runtime.Fault) runtime.Status {
	t.Helper()
	t.Cleanup(func() {
		assert.NoError(t, s.Runtime.Remove(context.WithoutCancel(t.Context()), id))
	})
	begin := time.Now()
	st, err := s.Runtime.Start(s.ctx(t), runtime.Spec{ID: id, Image: image, Hostname: "ip-10-0-1-17", Fault: f})
	require.NoError(t, err)
	t.Logf("%s started from %s in %s", id, image, time.Since(begin).Round(time.Millisecond))
	return st
}

func (s *suite) state(t *testing.T, id string) (runtime.State, bool) {
	t.Helper()
	all, err := s.Runtime.List(s.ctx(t))
	require.NoError(t, err)
	for _, m := range all {
		if m.ID == id {
			return m.State, true
		}
	}
	return "", false
}

// get asks a machine's web server for a page over a connection of its own.
func get(ctx context.Context, r runtime.Runtime, id, path string) (int, string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return r.Dial(ctx, id, 80) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://machine"+path, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// answers waits until a machine's page says hello.
func (s *suite) answers(t *testing.T, r runtime.Runtime, id string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, body, err := get(ctx, r, id, "/")
		require.NoError(c, err)
		require.Equal(c, 200, code)
		require.Contains(c, body, "Hello World")
	}, s.Patience, 20*time.Millisecond)
}

func (s *suite) unknown(t *testing.T) {
	ctx, r := s.ctx(t), s.Runtime
	_, err := r.Start(ctx, runtime.Spec{ID: "i-none", Image: "ami-none"})
	require.ErrorIs(t, err, runtime.ErrNoImage)
	_, there := s.state(t, "i-none")
	assert.False(t, there, "a start without an image leaves nothing")
	_, err = r.Start(ctx, runtime.Spec{Image: runtime.Base})
	require.Error(t, err, "a machine without an id")
	_, err = r.Dial(ctx, "i-none", 22)
	require.ErrorIs(t, err, runtime.ErrNoMachine)
	_, err = r.Console(ctx, "i-none")
	require.ErrorIs(t, err, runtime.ErrNoMachine)
	require.ErrorIs(t, r.Stop(ctx, "i-none"), runtime.ErrNoMachine)
	require.ErrorIs(t, r.Save(ctx, "i-none", "ami-new"), runtime.ErrNoMachine)
	require.NoError(t, r.Remove(ctx, "i-none"))
	require.NoError(t, r.RemoveImage(ctx, "ami-none"))
	require.Error(t, r.RemoveImage(ctx, runtime.Base), "the base belongs to the runtime")
}

func (s *suite) life(t *testing.T) {
	ctx, r := s.ctx(t), s.Runtime
	const id = "i-life"
	first := s.start(t, id, runtime.Base, runtime.Fault{})
	assert.Equal(t, runtime.Status{ID: id, Image: runtime.Base, State: runtime.Running, Started: first.Started}, first)
	assert.WithinDuration(t, time.Now(), first.Started, s.Patience)
	s.bannerOf(t, r, id)

	again, err := r.Start(ctx, runtime.Spec{ID: id, Image: runtime.Base})
	require.NoError(t, err, "a second start finds the machine")
	assert.Equal(t, first, again)
	text, err := r.Console(ctx, id)
	require.NoError(t, err)
	assert.NotEmpty(t, text)
	assert.LessOrEqual(t, len(text), 64<<10)
	assert.NotContains(t, text, "\x1b")

	_, err = r.Dial(ctx, id, 80)
	require.Error(t, err, "the base has no web server")
	require.NotErrorIs(t, err, runtime.ErrNoMachine)
	require.Error(t, r.Save(ctx, id, "ami-early"), "only a stopped machine can be saved")

	begin := time.Now()
	require.NoError(t, r.Stop(ctx, id))
	t.Logf("stopped in %s", time.Since(begin).Round(time.Millisecond))
	require.NoError(t, r.Stop(ctx, id), "a stopped one is no error")
	state, there := s.state(t, id)
	assert.True(t, there)
	assert.Equal(t, runtime.Stopped, state)
	_, err = r.Dial(ctx, id, 22)
	require.ErrorIs(t, err, runtime.ErrNoMachine)
	_, err = r.Console(ctx, id)
	require.NoError(t, err, "a stopped machine's console can be read")

	back, err := r.Start(ctx, runtime.Spec{ID: id, Image: runtime.Base})
	require.NoError(t, err)
	assert.Equal(t, runtime.Running, back.State)
	assert.True(t, back.Started.After(first.Started), "it booted again")
	s.bannerOf(t, r, id)

	require.NoError(t, r.Remove(ctx, id), "a running one too")
	require.NoError(t, r.Remove(ctx, id))
	_, there = s.state(t, id)
	assert.False(t, there)
	_, err = r.Dial(ctx, id, 22)
	require.ErrorIs(t, err, runtime.ErrNoMachine)
}

func (s *suite) bannerOf(t *testing.T, r runtime.Runtime, id string) {
	t.Helper()
	c, err := r.Dial(s.ctx(t), id, 22)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(s.Patience)))
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "SSH-2.0-")
}

func (s *suite) images(t *testing.T) {
	ctx, r := s.ctx(t), s.Runtime
	s.Web(t, web)
	s.start(t, "i-src", web, runtime.Fault{})
	require.NoError(t, r.Stop(ctx, "i-src"))
	require.Error(t, r.Save(ctx, "i-src", runtime.Base))
	require.Error(t, r.Save(ctx, "i-src", ""))
	begin := time.Now()
	require.NoError(t, r.Save(ctx, "i-src", "ami-copy"))
	t.Logf("saved in %s", time.Since(begin).Round(time.Millisecond))
	require.NoError(t, r.Save(ctx, "i-src", "ami-copy"), "it overwrites")
	require.NoError(t, r.Remove(ctx, "i-src"))

	st := s.start(t, "i-copy", "ami-copy", runtime.Fault{})
	assert.Equal(t, "ami-copy", st.Image)
	s.answers(t, r, "i-copy")
	require.NoError(t, r.Remove(ctx, "i-copy"))
	require.NoError(t, r.RemoveImage(ctx, "ami-copy"))
	_, err := r.Start(ctx, runtime.Spec{ID: "i-late", Image: "ami-copy"})
	require.ErrorIs(t, err, runtime.ErrNoImage)
}

func (s *suite) traffic(t *testing.T) {
	r := s.Runtime
	s.start(t, "i-web", web, runtime.Fault{})
	begin := time.Now()
	s.answers(t, r, "i-web")
	t.Logf("page %s after the start", time.Since(begin).Round(time.Millisecond))
	code, _, err := get(s.ctx(t), r, "i-web", "/no-such-page")
	require.NoError(t, err)
	assert.Equal(t, 404, code)

	// Half close: what was asked is answered after our side ended.
	c, err := r.Dial(s.ctx(t), "i-web", 80)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(s.Patience)))
	_, err = io.WriteString(c, "GET / HTTP/1.0\r\nHost: machine\r\n\r\n")
	require.NoError(t, err)
	half, ok := c.(interface{ CloseWrite() error })
	require.True(t, ok, "%T has no half close", c)
	require.NoError(t, half.CloseWrite())
	b, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Contains(t, string(b), "Hello World")

	// Deadlines count.
	idle, err := r.Dial(s.ctx(t), "i-web", 80)
	require.NoError(t, err)
	defer idle.Close()
	require.NoError(t, idle.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err = idle.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())

	// A machine that stops cuts its connections.
	require.NoError(t, idle.SetReadDeadline(time.Now().Add(s.Patience)))
	require.NoError(t, r.Stop(s.ctx(t), "i-web"))
	_, err = idle.Read(make([]byte, 1))
	require.Error(t, err)
	assert.False(t, asTimeout(err), "the connection outlived its machine")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Dial(ended, "i-web", 80)
	require.Error(t, err)
}

func asTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (s *suite) slowBoot(t *testing.T) {
	delay := s.Patience / 10
	begin := time.Now()
	st := s.start(t, "i-slow", web, runtime.Fault{BootDelay: delay})
	assert.Equal(t, runtime.Running, st.State)
	took := time.Since(begin)
	assert.Less(t, took, delay, "as EC2 tells it, it runs at once")
	ctx, cancel := context.WithTimeout(t.Context(), delay/10)
	defer cancel()
	_, _, err := get(ctx, s.Runtime, "i-slow", "/")
	require.Error(t, err, "it answers before it booted")
	s.answers(t, s.Runtime, "i-slow")
	assert.GreaterOrEqual(t, time.Since(begin), delay)
}

func (s *suite) never(t *testing.T) {
	st := s.start(t, "i-never", web, runtime.Fault{Never: true})
	assert.Equal(t, runtime.Running, st.State)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, _, err := get(ctx, s.Runtime, "i-never", "/")
		require.Error(t, err)
		require.NotErrorIs(t, err, runtime.ErrNoMachine, "it is there")
		cancel()
	}
	begin := time.Now()
	require.NoError(t, s.Runtime.Stop(s.ctx(t), "i-never"))
	assert.Less(t, time.Since(begin), 5*time.Second)
}

func (s *suite) broken(t *testing.T) {
	s.start(t, "i-broken", web, runtime.Fault{Broken: true})
	for end := time.Now().Add(min(3*time.Second, s.Patience/20)); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		code, _, err := get(ctx, s.Runtime, "i-broken", "/")
		cancel()
		require.True(t, err != nil || code >= 500, "it answers %d", code)
		time.Sleep(50 * time.Millisecond)
	}
	// The fault is the machine's, not its disk's.
	require.NoError(t, s.Runtime.Stop(s.ctx(t), "i-broken"))
	require.NoError(t, s.Runtime.Save(s.ctx(t), "i-broken", "ami-unspoiled"))
	s.start(t, "i-unspoiled", "ami-unspoiled", runtime.Fault{})
	s.answers(t, s.Runtime, "i-unspoiled")
	require.NoError(t, s.Runtime.Remove(s.ctx(t), "i-unspoiled"))
	require.NoError(t, s.Runtime.RemoveImage(s.ctx(t), "ami-unspoiled"))
}

func (s *suite) dies(t *testing.T) {
	ch, err := s.Runtime.Events(t.Context())
	require.NoError(t, err)
	s.start(t, "i-dies", web, runtime.Fault{DieAfter: 500 * time.Millisecond})
	select {
	case id := <-ch:
		assert.Equal(t, "i-dies", id)
	case <-time.After(s.Patience):
		require.Fail(t, "no event")
	}
	state, there := s.state(t, "i-dies")
	assert.True(t, there)
	assert.Equal(t, runtime.Stopped, state)
	_, err = s.Runtime.Dial(s.ctx(t), "i-dies", 80)
	require.ErrorIs(t, err, runtime.ErrNoMachine)
}

func (s *suite) quiet(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch, err := s.Runtime.Events(ctx)
	require.NoError(t, err)
	s.start(t, "i-quiet", runtime.Base, runtime.Fault{})
	require.NoError(t, s.Runtime.Stop(s.ctx(t), "i-quiet"))
	_, err = s.Runtime.Start(s.ctx(t), runtime.Spec{ID: "i-quiet", Image: runtime.Base})
	require.NoError(t, err)
	require.NoError(t, s.Runtime.Remove(s.ctx(t), "i-quiet"))
	select {
	case id, ok := <-ch:
		require.Fail(t, "an event", "%s %t", id, ok)
	case <-time.After(300 * time.Millisecond):
	}
	cancel()
	require.Eventually(t, func() bool {
		select {
		case _, ok := <-ch:
			return !ok
		default:
			return false
		}
	}, s.Patience, time.Millisecond, "the channel closes with its context")
}

func (s *suite) deregistered(t *testing.T) {
	ctx, r := s.ctx(t), s.Runtime
	s.Web(t, "ami-short")
	s.start(t, "i-keeps", "ami-short", runtime.Fault{})
	require.NoError(t, r.RemoveImage(ctx, "ami-short"))
	s.answers(t, r, "i-keeps")
	require.NoError(t, r.Stop(ctx, "i-keeps"))
	_, err := r.Start(ctx, runtime.Spec{ID: "i-keeps", Image: "ami-short"})
	require.NoError(t, err, "its disk is its own")
	s.answers(t, r, "i-keeps")
	_, err = r.Start(ctx, runtime.Spec{ID: "i-other", Image: "ami-short"})
	require.ErrorIs(t, err, runtime.ErrNoImage)
}

func (s *suite) many(t *testing.T) {
	const n = 4
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range 2 * n { // each id twice
		id := fmt.Sprintf("i-many-%d", i%n)
		wg.Go(func() {
			_, err := s.Runtime.Start(s.ctx(t), runtime.Spec{ID: id, Image: web, Hostname: "ip-10-0-2-9"})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	t.Logf("%d machines started at once in %s", n, time.Since(begin).Round(time.Millisecond))
	all, err := s.Runtime.List(s.ctx(t))
	require.NoError(t, err)
	assert.Len(t, all, n)
	for i := range n {
		s.answers(t, s.Runtime, fmt.Sprintf("i-many-%d", i))
	}
	for i := range n {
		id := fmt.Sprintf("i-many-%d", i)
		wg.Go(func() {
			if err := s.Runtime.Stop(s.ctx(t), id); !errors.Is(err, runtime.ErrNoMachine) {
				assert.NoError(t, err)
			}
		})
		wg.Go(func() { assert.NoError(t, s.Runtime.Remove(s.ctx(t), id)) })
	}
	wg.Wait()
	all, err = s.Runtime.List(s.ctx(t))
	require.NoError(t, err)
	assert.Empty(t, all)
}

func (s *suite) reopen(t *testing.T) {
	st := s.start(t, "i-stays", web, runtime.Fault{})
	s.answers(t, s.Runtime, "i-stays")
	r := s.Reopen(t)
	all, err := r.List(s.ctx(t))
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, st.ID, all[0].ID)
	assert.Equal(t, runtime.Running, all[0].State)
	assert.WithinDuration(t, st.Started, all[0].Started, 0, "it did not boot again")
	s.answers(t, r, "i-stays")
	again, err := r.Start(s.ctx(t), runtime.Spec{ID: "i-stays", Image: web})
	require.NoError(t, err)
	assert.True(t, st.Started.Equal(again.Started))
	require.NoError(t, r.Remove(s.ctx(t), "i-stays"))
	require.NoError(t, r.RemoveImage(s.ctx(t), web))
	_, err = r.Start(s.ctx(t), runtime.Spec{ID: "i-stays", Image: web})
	require.ErrorIs(t, err, runtime.ErrNoImage)
}
