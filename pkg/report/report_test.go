package report_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

var began = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type state struct{}

func step(name string, fn func(run *pipeline.Run) error) pipeline.Step[state] {
	return pipeline.Func(name, func(_ context.Context, run *pipeline.Run, _ *state) error { return fn(run) })
}

func open(t *testing.T, o report.Options) (*report.Report, *screen, *screen, *clock.Manual) {
	t.Helper()
	out, errs, c := &screen{}, &screen{}, clock.NewManual(began)
	o.Out, o.Err, o.Clock = out, errs, c
	r, err := report.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, out, errs, c
}

func TestStoryOfAFailedRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	r, out, errs, c := open(t, report.Options{Dir: dir, Name: "release web", Heartbeat: time.Hour})
	err := pipeline.Do(t.Context(), pipeline.Env{Clock: c, Tell: r.Tell}, &state{},
		step("check the account", func(run *pipeline.Run) error { run.Fact("account", "111111111111"); return nil }),
		step("bake the image", func(run *pipeline.Run) error {
			run.Undo("image ami-1", func(context.Context) error { return errors.New("in use") })
			o := run.Output("packer")
			_, _ = io.WriteString(o, "\x1b[1;32mamazon-ebs: connecting\x1b[0m\nexpected 200, got 500\x07\n")
			_ = o.Close()
			c.Advance(125 * time.Second)
			return &report.Failure{
				Code: report.BakeFailed, ID: "E-BAKE-03", What: "the image is not good: 1 of 41 specs failed",
				State: "production untouched, still ami-0", Next: []string{"edit puppet/ and run: mage bake"},
			}
		}),
		step("never", func(*pipeline.Run) error { return nil }))
	shown := r.Fail(err)
	require.NoError(t, r.Close())

	assert.Equal(t, strings.Join([]string{
		"00:00 ▶ 1/3 check the account",
		"00:00   account=111111111111",
		"00:00 ✔ check the account  0.0s",
		"00:00 ▶ 2/3 bake the image",
		"    | packer: amazon-ebs: connecting",
		"    | packer: expected 200, got 500",
		"02:05 ✖ bake the image  2m05s: E-BAKE-03 the image is not good: 1 of 41 specs failed",
		"02:05 ↩ image ami-1",
		"02:05 ✖ left behind: image ami-1: in use",
		"",
	}, "\n"), out.String())
	assert.Equal(t, strings.Join([]string{
		"✖ E-BAKE-03 the image is not good: 1 of 41 specs failed",
		"  where   step 2/3, bake the image (log: " + r.Log() + ")",
		"  state   production untouched, still ami-0",
		"  left    image ami-1 (in use)",
		"  next    edit puppet/ and run: mage bake",
		"",
	}, "\n"), errs.String())
	assert.NotContains(t, out.String()+errs.String(), "\x1b")

	exit, ok := shown.(interface{ ExitStatus() int }) // as Mage asks: no unwrapping
	require.True(t, ok)
	assert.Equal(t, 4, exit.ExitStatus())
	assert.EqualError(t, shown, "exit code 4, reason above")

	full, err := os.ReadFile(r.Log())
	require.NoError(t, err)
	assert.Contains(t, string(full), "packer: expected 200, got 500")
	assert.Contains(t, string(full), "2026-11-23T10:02:05Z ✖ E-BAKE-03")
	assert.NotContains(t, string(full), "\x1b")

	var kinds []string
	for _, m := range jsonLines(t, filepath.Join(dir, r.ID()+".jsonl")) {
		kinds = append(kinds, fmt.Sprint(m["kind"]))
	}
	assert.Equal(t, []string{"<nil>", "started", "fact", "done", "started", "output", "output", "failed", "undoing", "left-behind", "error"}, kinds)
}

func jsonLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var out []map[string]any
	for s := bufio.NewScanner(f); s.Scan(); {
		var m map[string]any
		require.NoError(t, json.Unmarshal(s.Bytes(), &m))
		out = append(out, m)
	}
	require.NotEmpty(t, out)
	assert.InDelta(t, 1, out[0]["schema"], 0)
	return out
}

func TestChildrenAreQuietUnlessAskedFor(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		r, out, _, c := open(t, report.Options{Verbose: verbose})
		require.NoError(t, pipeline.Do(t.Context(), pipeline.Env{Clock: c, Tell: r.Tell}, &state{}, step("bake", func(run *pipeline.Run) error {
			o := run.Output("packer")
			_, _ = io.WriteString(o, "chatter\n")
			return o.Close()
		})))
		assert.Equal(t, verbose, strings.Contains(out.String(), "chatter"))
	}
}

func TestHeartbeatNamesWhatIsAwaited(t *testing.T) {
	r, out, _, c := open(t, report.Options{Heartbeat: 20 * time.Millisecond})
	require.NoError(t, pipeline.Do(t.Context(), pipeline.Env{Clock: c, Tell: r.Tell}, &state{}, step("update", func(run *pipeline.Run) error {
		run.Await("signal %d of 2", 1)
		assert.Never(t, func() bool { return strings.Contains(out.String(), "waiting") }, 100*time.Millisecond, 10*time.Millisecond)
		c.Advance(41 * time.Second) // the report sleeps by now
		assert.Eventually(t, func() bool { return strings.Contains(out.String(), "00:41   … waiting: signal 1 of 2 (41s)\n") }, 5*time.Second, 5*time.Millisecond)
		run.Await("")
		c.Advance(time.Second)
		assert.Eventually(t, func() bool {
			c.Advance(20 * time.Millisecond)
			return strings.Contains(out.String(), "00:42   … waiting: update\n")
		}, 5*time.Second, 20*time.Millisecond)
		return nil
	})))
}

func TestOnlyALiveTerminalIsRedrawn(t *testing.T) {
	r, out, _, c := open(t, report.Options{Live: true, Heartbeat: 20 * time.Millisecond})
	require.NoError(t, pipeline.Do(t.Context(), pipeline.Env{Clock: c, Tell: r.Tell}, &state{}, step("update", func(run *pipeline.Run) error {
		run.Await("targets")
		assert.Eventually(t, func() bool {
			c.Advance(20 * time.Millisecond)
			return strings.Contains(out.String(), "\r\x1b[K00:00 … targets")
		}, 5*time.Second, 20*time.Millisecond)
		return nil
	})))
	require.NoError(t, r.Close())
	assert.Regexp(t, `✔ update  [0-9.]+s\n$`, out.String(), "the final state stays")
}

func TestSummaryHasAtMostTwelveLines(t *testing.T) {
	var rows []report.Row
	for i := range 20 {
		rows = append(rows, report.Row{Name: fmt.Sprintf("n%d", i), Value: "v\nw"})
	}
	text := report.FormatSummary("released", append([]report.Row{{Name: "gone"}}, rows...)...)
	assert.Len(t, strings.Split(strings.TrimSpace(text), "\n"), 12)
	assert.NotContains(t, text, "gone")
	assert.Contains(t, text, "n19 v; w")

	assert.Equal(t, "released 3\n  page  http://www.hello.example/\n  undo  mage rollback\n",
		report.FormatSummary("released 3", report.Row{Name: "page", Value: "http://www.hello.example/"}, report.Row{Name: "undo", Value: "mage rollback"}))
}

func TestExitCodes(t *testing.T) {
	failure := &report.Failure{Code: report.RehearsalFail, What: "no"}
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("bug"), 1},
		{failure, 6},
		{fmt.Errorf("test: %w", failure), 6},
		{errors.Join(fmt.Errorf("release: %w", failure), &pipeline.LeftBehindError{What: "x", Err: errors.New("y")}), 6},
		{fmt.Errorf("wait: %w", context.Canceled), 130},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), 9},
		{&report.Failure{Code: report.RolledBack, What: "rolled back", Err: failure}, 7},
		{&report.Failure{What: "without a code"}, 1},
	} {
		assert.Equal(t, c.code, report.Code(c.err), "%v", c.err)
	}
}

func TestErrorsWithoutAShapeGetOne(t *testing.T) {
	err := &pipeline.StepError{Step: "follow", Index: 4, Total: 9, Err: fmt.Errorf("wait: %w", context.Canceled)}
	assert.Equal(t, "✖ E-RUN-130 interrupted\n  where   step 4/9, follow\n  next    the same command again  # it goes on where this one stopped\n", report.Format(err, ""))
	assert.Equal(t, "✖ E-RUN-01 a; b\n", report.Format(errors.New("a\nb"), ""))
	assert.Empty(t, report.Format(nil, ""))
}

func TestAFullDiskDoesNotStopTheRun(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	dir := t.TempDir()
	// The next log's name is known: the clock stands still.
	require.NoError(t, os.Symlink("/dev/full", filepath.Join(dir, "20261123T100000Z-run.log")))
	r, out, errs, _ := open(t, report.Options{Dir: dir})
	r.Print("one")
	r.Print("two")
	require.NoError(t, r.Close())
	assert.Equal(t, "one\ntwo\n", out.String())
	assert.Equal(t, 1, strings.Count(errs.String(), "the log is not written any more"))
}

func TestLogsDoNotPileUpAndNeverOverwrite(t *testing.T) {
	dir := t.TempDir()
	ids := map[string]bool{}
	for range 5 {
		r, _, _, _ := open(t, report.Options{Dir: dir, Name: "Bake: web", Keep: 3})
		ids[r.ID()] = true
		require.NoError(t, r.Close())
	}
	assert.Contains(t, ids, "20261123T100000Z-bake--web")
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	assert.Len(t, names, 3)
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 340 * time.Millisecond: "0.3s", 41 * time.Second: "41s", 123 * time.Second: "2m03s", 65 * time.Minute: "1h05m", -time.Second: "0s",
	} {
		assert.Equal(t, want, report.Short(d))
	}
}
