package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const region = "eu-west-1"

// counter counts its parameter up by jobs, one every 100 s of AWS, until it is 3.
type counter struct{ steps *atomic.Int64 }

func (counter) Name() string { return "counter" }

func (s counter) Step(tx *core.Tx) {
	if s.steps != nil {
		s.steps.Add(1)
	}
	p := tx.Region.Parameters["n"]
	if p == nil || p.Version >= 3 || !tx.Due(p.Modified) {
		return
	}
	tx.Go("count", func(context.Context) func(*core.Tx) {
		return func(tx *core.Tx) {
			p := tx.Region.Parameters["n"]
			p.Version++
			p.Modified = tx.After(100 * time.Second)
			tx.Changed()
		}
	})
}

func begin(c *core.Core) error {
	return c.Do(region, func(tx *core.Tx) error {
		tx.Region.Parameters["n"] = &state.Parameter{Name: "n", Modified: tx.Now}
		return nil
	})
}

func version(c *core.Core) (n int64) {
	c.View(region, func(tx *core.Tx) { n = tx.Region.Parameters["n"].Version })
	return n
}

func TestStepsByAManualClock(t *testing.T) {
	m := clock.NewManual(time.Unix(0, 0))
	c := core.New(state.New("x", "1"), core.Options{Clock: m, Manual: true}, counter{})
	defer c.Close()
	require.NoError(t, begin(c))
	next := c.Settle()
	assert.EqualValues(t, 1, version(c))
	assert.Equal(t, 10*time.Second, next.Sub(m.Now()), "AWS's 100 s, divided by 10")
	m.Advance(9 * time.Second)
	c.Settle()
	assert.EqualValues(t, 1, version(c))
	m.Advance(time.Second)
	c.Settle()
	assert.EqualValues(t, 2, version(c))
}

func TestAKilledLabGoesOn(t *testing.T) {
	m := clock.NewManual(time.Unix(0, 0))
	var kept []byte
	o := core.Options{Clock: m, Manual: true, Save: func(b []byte) error { kept = b; return nil }}
	c := core.New(state.New("x", "1"), o, counter{})
	require.NoError(t, begin(c))
	c.Settle()
	c.Close()
	w := &state.World{}
	require.NoError(t, json.Unmarshal(kept, w))
	w.Init()
	m.Advance(time.Hour)
	c = core.New(w, o, counter{})
	defer c.Close()
	c.Settle()
	assert.EqualValues(t, 2, version(c))
}

func TestIdleLabDoesNothing(t *testing.T) {
	var steps atomic.Int64
	c := core.New(state.New("x", "1"), core.Options{Factor: 1000}, counter{&steps})
	c.Start()
	require.NoError(t, begin(c))
	require.Eventually(t, func() bool { return version(c) == 3 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		before := steps.Load()
		time.Sleep(100 * time.Millisecond)
		return steps.Load() == before
	}, 5*time.Second, time.Millisecond, "it never came to rest")
	c.Close()
	assert.ErrorIs(t, begin(c), core.ErrClosed, "the state may be somebody else's by now")
}

func TestCancel(t *testing.T) {
	c := core.New(state.New("x", "1"), core.Options{})
	c.Start()
	defer c.Close()
	ended := make(chan error, 1)
	require.NoError(t, c.Do(region, func(tx *core.Tx) error {
		tx.Go("wait", func(ctx context.Context) func(*core.Tx) { <-ctx.Done(); ended <- ctx.Err(); return nil })
		return nil
	}))
	require.NoError(t, c.Do(region, func(tx *core.Tx) error { tx.Cancel("wait"); tx.Cancel("unknown"); return nil }))
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestDoTellsWhatCouldNotBeKept(t *testing.T) {
	full := errors.New("disk full")
	c := core.New(state.New("x", "1"), core.Options{Save: func([]byte) error { return full }})
	defer c.Close()
	require.ErrorIs(t, begin(c), full)
	d := core.New(state.New("x", "1"), core.Options{Save: func([]byte) error { return nil }, Sync: func() error { return full }})
	defer d.Close()
	assert.ErrorIs(t, begin(d), full)
}

// Answers that are due while one is made durable wait for the next one together.
func TestAnswersBecomeDurableTogether(t *testing.T) {
	var saves, syncs atomic.Int64
	first, go1 := make(chan bool), make(chan bool)
	c := core.New(state.New("x", "1"), core.Options{
		Save: func([]byte) error { saves.Add(1); return nil },
		Sync: func() error {
			if syncs.Add(1) == 1 {
				close(first)
				<-go1
			}
			return nil
		},
	})
	defer c.Close()
	ended := make(chan error, 6)
	do := func() {
		ended <- c.Do(region, func(tx *core.Tx) error {
			tx.World.Faults = append(tx.World.Faults, &state.Fault{ID: core.UUID()})
			return nil
		})
	}
	go do()
	<-first
	for range 5 {
		go do()
	}
	require.Eventually(t, func() bool { return saves.Load() == 6 }, 20*time.Second, time.Millisecond, "none waits for the disk with the lock")
	assert.Empty(t, ended, "none was answered before it was durable")
	close(go1)
	for range 6 {
		require.NoError(t, <-ended)
	}
	assert.EqualValues(t, 2, syncs.Load())
}

func TestFaultsMatch(t *testing.T) {
	m := clock.NewManual(time.Unix(1000, 0))
	c := core.New(state.New("x", "1"), core.Options{Clock: m})
	defer c.Close()
	find := func(kind string, pairs ...string) (found bool) {
		attrs := map[string]string{}
		for k := 0; k < len(pairs); k += 2 {
			attrs[pairs[k]] = pairs[k+1]
		}
		require.NoError(t, c.Do(region, func(tx *core.Tx) error { found = tx.Fault(kind, attrs) != nil; return nil }))
		return found
	}
	add := func(f state.Fault) {
		require.NoError(t, c.Do(region, func(tx *core.Tx) error { _, err := tx.AddFault(f); return err }))
	}
	add(state.Fault{Kind: core.FaultMachine, Match: map[string]string{"stack": "web-test-*", "logical": "Group"}, Times: 2})
	assert.False(t, find(core.FaultThrottle, "stack", "web-test-1", "logical", "Group"), "another kind")
	assert.False(t, find(core.FaultMachine, "stack", "web-production", "logical", "Group"))
	assert.False(t, find(core.FaultMachine, "stack", "web-test-1"), "what is asked for must be there")
	assert.True(t, find(core.FaultMachine, "stack", "web-test-1", "logical", "Group", "more", "x"))
	assert.True(t, find(core.FaultMachine, "stack", "web-test-2", "logical", "Group"))
	assert.False(t, find(core.FaultMachine, "stack", "web-test-2", "logical", "Group"), "used up")
	add(state.Fault{Kind: core.FaultThrottle, Times: -1, Until: m.Now().Add(time.Second)})
	for range 5 {
		assert.True(t, find(core.FaultThrottle))
	}
	m.Advance(2 * time.Second)
	assert.False(t, find(core.FaultThrottle))
	add(state.Fault{Kind: core.FaultStale})
	assert.False(t, find(core.FaultStale, "action", "DescribeStackEvents"))
	assert.True(t, find(core.FaultStale, "action", "DescribeStacks"), "what it means by itself")
}

// Wildcard agrees with path.Match wherever both have the same meaning.
func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"a/*", "a/b/c", true},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`a\`, `a\`, false},
		{"*.example.", "www.hello.example.", true},
	} {
		assert.Equal(t, c.want, core.Wildcard(c.pattern, c.s), "%q %q", c.pattern, c.s)
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[abc]{0,8}`).Draw(t, "s")
		want, err := path.Match(pattern, s)
		if err != nil {
			t.Fatal(err)
		}
		if core.Wildcard(pattern, s) != want {
			t.Fatalf("Wildcard(%q, %q) is not %v", pattern, s, want)
		}
	})
}

func TestIDs(t *testing.T) {
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, core.UUID())
	c := core.New(state.New("x", "1"), core.Options{})
	defer c.Close()
	c.View(region, func(tx *core.Tx) {
		assert.Regexp(t, `^i-0[0-9a-f]{16}$`, tx.ID("i"))
		assert.True(t, strings.HasPrefix(tx.ARN("ec2", "vpc/x"), "arn:aws:ec2:eu-west-1:1:vpc/x"))
	})
}

func TestPage(t *testing.T) {
	c := core.New(state.New("x", "1"), core.Options{PageSize: 3})
	defer c.Close()
	c.View(region, func(tx *core.Tx) {
		key := func(s string) string { return s }
		walk := func(size *int64, list []string, change func([]string) []string) (seen []string) {
			for token := ""; ; {
				page, next, err := core.Page(tx, list, key, size, 100, token)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), 3, "the lab's own size")
				seen = append(seen, page...)
				if token = next; next == "" {
					return seen
				}
				list = change(list)
			}
		}
		letters := []string{"a", "b", "c", "d", "e"}
		all := "abcde"
		two := int64(2)
		same := func(l []string) []string { return l }
		for _, size := range []*int64{nil, &two} {
			assert.Equal(t, all, strings.Join(walk(size, letters, same), ""))
			assert.Equal(t, all, strings.Join(walk(size, letters, func(l []string) []string { return append([]string{"new"}, l...) }), ""), "what is new at the front shifts nothing")
			assert.Equal(t, all+"z", strings.Join(walk(size, letters, func(l []string) []string {
				if l[len(l)-1] == "e" {
					return append(slices.Clone(l), "z")
				}
				return l
			}), ""), "what is new at the end comes at the end")
		}
		assert.Equal(t, all, strings.Join(walk(&two, letters, func(l []string) []string { return l[1:] }), ""), "nor does what goes before it")
		gone := func(l []string) []string {
			return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return s == "b" })
		}
		assert.Equal(t, all, strings.Join(walk(&two, letters, gone), ""), "nor when the last one seen goes")

		_, next, err := core.Page(tx, letters, key, &two, 100, "")
		require.NoError(t, err)
		var wrong *core.PageError
		_, _, err = core.Page(tx, []int{1, 2, 3}, strconv.Itoa, &two, 100, next)
		require.ErrorAs(t, err, &wrong, "a token of another list")
		_, _, err = core.Page(tx, letters, key, nil, 100, "nonsense")
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, "nonsense", wrong.Token)
		_, _, err = core.Page(tx, letters, key, new(int64(0)), 100, "")
		require.ErrorAs(t, err, &wrong)
		assert.Zero(t, wrong.Size)
	})
}
