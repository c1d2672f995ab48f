package memory_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/runtimetest"
)

func open(t *testing.T, o memory.Options) *memory.Runtime {
	r, err := memory.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

func TestContract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machines.json")
	r := open(t, memory.Options{File: file})
	runtimetest.Run(t, runtimetest.Kit{
		Runtime: r,
		Web: func(t *testing.T, ref string) {
			require.NoError(t, r.AddImage(ref, memory.Site("<h1>Hello World</h1>", "key")))
		},
		Reopen:   func(t *testing.T) runtime.Runtime { return open(t, memory.Options{File: file}) },
		Patience: 5 * time.Second,
	})
}

// page is what machine i-1 answers.
func page(t *testing.T, r *memory.Runtime) (int, string, error) {
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return r.Dial(ctx, "i-1", 80) },
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://machine/", nil)
	require.NoError(t, err)
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func TestDiskBelongsToTheMachine(t *testing.T) {
	r := open(t, memory.Options{})
	require.NoError(t, r.AddImage("ami-1", memory.Site("old", "k1")))
	_, err := r.Start(t.Context(), runtime.Spec{ID: "i-1", Image: "ami-1"})
	require.NoError(t, err)
	require.NoError(t, r.Edit("i-1", func(d *memory.Image) { d.Pages["/"] = memory.Page{Status: 503, Body: "new"} }))
	code, body, err := page(t, r)
	require.NoError(t, err)
	assert.Equal(t, 503, code)
	assert.Equal(t, "new", body)
	i, ok := r.Image("ami-1")
	assert.True(t, ok)
	assert.Equal(t, memory.Site("old", "k1"), i, "the image it came from is untouched")
	assert.Equal(t, []string{"ami-1", runtime.Base, runtime.Database}, r.Images())

	require.NoError(t, r.Edit("i-1", func(d *memory.Image) { d.Off = true }))
	_, _, err = page(t, r)
	require.ErrorContains(t, err, "refused")
	require.ErrorIs(t, r.Edit("i-2", func(*memory.Image) {}), runtime.ErrNoMachine)
}

func TestBootIsUserData(t *testing.T) {
	boots := 0
	r := open(t, memory.Options{Boot: func(s runtime.Spec, d *memory.Image) {
		boots++
		d.Broken = string(s.UserData) == "break it"
	}})
	require.NoError(t, r.AddImage("ami-1", memory.Site("hello", "k1")))
	_, err := r.Start(t.Context(), runtime.Spec{ID: "i-1", Image: "ami-1", UserData: []byte("break it")})
	require.NoError(t, err)
	code, _, err := page(t, r)
	require.NoError(t, err)
	assert.Equal(t, 500, code)
	require.NoError(t, r.Stop(t.Context(), "i-1"))
	_, err = r.Start(t.Context(), runtime.Spec{ID: "i-1", Image: "ami-1"})
	require.NoError(t, err)
	assert.Equal(t, 1, boots, "user data runs at the first boot")
}

func TestFaultsWaitByTheClock(t *testing.T) {
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	r := open(t, memory.Options{Clock: c})
	require.NoError(t, r.AddImage("ami-1", memory.Site("hello", "k1")))
	ch, err := r.Events(t.Context())
	require.NoError(t, err)
	_, err = r.Start(t.Context(), runtime.Spec{ID: "i-1", Image: "ami-1", Fault: runtime.Fault{BootDelay: time.Hour, DieAfter: time.Hour}})
	require.NoError(t, err)
	_, _, err = page(t, r)
	require.ErrorContains(t, err, "refused")
	c.Advance(time.Hour)
	code, _, err := page(t, r)
	require.NoError(t, err)
	assert.Equal(t, 200, code)
	require.Eventually(t, func() bool {
		c.Advance(time.Hour)
		select {
		case id := <-ch:
			return id == "i-1"
		default:
			return false
		}
	}, 5*time.Second, time.Millisecond)
}

func TestKill(t *testing.T) {
	r := open(t, memory.Options{})
	ch, err := r.Events(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, r.Kill("i-1"), runtime.ErrNoMachine)
	_, err = r.Start(t.Context(), runtime.Spec{ID: "i-1", Image: runtime.Base})
	require.NoError(t, err)
	require.NoError(t, r.Kill("i-1"))
	assert.Equal(t, "i-1", <-ch)
	require.ErrorIs(t, r.Kill("i-1"), runtime.ErrNoMachine)
}

func TestFileOfAnotherTool(t *testing.T) {
	_, err := memory.New(memory.Options{File: t.TempDir()})
	require.ErrorContains(t, err, "read the machines")
}
