package command_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/command"
)

func sh(script string) command.Cmd { return command.Cmd{Name: "sh", Args: []string{"-c", script}} }

func TestStdoutIsReturnedAndBothStreamsAreCopied(t *testing.T) {
	var out bytes.Buffer
	c := sh("echo one; echo two >&2; cat")
	c.Out, c.Stdin, c.Dir = &out, strings.NewReader("three\n"), t.TempDir()
	stdout, err := command.Exec{}.Run(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, "one\nthree\n", string(stdout))
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		assert.Contains(t, out.String(), line)
	}
}

func TestNothingIsExpanded(t *testing.T) {
	stdout, err := command.Exec{}.Run(t.Context(), command.Cmd{Name: "printf", Args: []string{"%s", "$HOME *"}})
	require.NoError(t, err)
	assert.Equal(t, "$HOME *", string(stdout))
}

func TestExitStatusAndTheEndOfStderr(t *testing.T) {
	_, err := command.Exec{}.Run(t.Context(), sh("echo detail >&2; echo last words >&2; exit 7"))
	var exit *command.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 7, exit.Code)
	assert.Equal(t, "detail\nlast words\n", exit.Stderr)
	assert.EqualError(t, err, "sh: exit status 7: last words")
}

func TestSignalledProgramHasTheShellsStatus(t *testing.T) {
	_, err := command.Exec{}.Run(t.Context(), sh("kill -9 $$"))
	var exit *command.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 137, exit.Code)
}

func TestUnknownProgram(t *testing.T) {
	_, err := command.Exec{}.Run(t.Context(), command.Cmd{Name: "no-such-program-here"})
	require.ErrorIs(t, err, exec.ErrNotFound)
	assert.ErrorContains(t, err, "no-such-program-here")
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("LC_ALL", "C")
	t.Setenv("GOTHING", "go")
	run := func(e command.Exec, env ...string) string {
		out, err := e.Run(t.Context(), command.Cmd{Name: "env", Env: env})
		require.NoError(t, err)
		return string(out)
	}
	env := run(command.Exec{}, "AWS_REGION=eu-west-1", "LC_ALL=de_DE")
	assert.NotContains(t, env, "secret")
	assert.NotContains(t, env, "GOTHING")
	assert.Contains(t, env, "AWS_REGION=eu-west-1\n")
	assert.Contains(t, env, "LC_ALL=de_DE\n")
	assert.NotContains(t, env, "LC_ALL=C\n")
	assert.Contains(t, env, "PATH=")
	assert.Contains(t, run(command.Exec{Pass: []string{"GO*"}}), "GOTHING=go\n")
}

// started runs c until it has written "ready", cancels, and returns how long the end took, what was written, and Run's error.
func started(t *testing.T, e command.Exec, c command.Cmd) (took time.Duration, out string, ended error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	ready := &watcher{want: "ready", found: make(chan struct{})}
	c.Out = ready
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, c)
		done <- err
	}()
	select {
	case <-ready.found:
	case err := <-done:
		t.Fatalf("ended before it was ready: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("never ready")
	}
	begin := time.Now()
	cancel(errors.New("told to stop"))
	select {
	case err := <-done:
		return time.Since(begin), ready.String(), err
	case <-time.After(20 * time.Second):
		t.Fatal("did not end")
		return 0, "", nil
	}
}

type watcher struct {
	bytes.Buffer
	want  string
	found chan struct{}
}

func (w *watcher) Write(p []byte) (int, error) {
	before := strings.Contains(w.String(), w.want)
	n, err := w.Buffer.Write(p)
	if !before && strings.Contains(w.String(), w.want) {
		close(w.found)
	}
	return n, err
}

func TestCancelInterruptsTheWholeGroupAndWaitsForItsCleanUp(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "cleaned")
	// The grandchild cleans up, as a Packer plugin does.
	took, _, err := started(t, command.Exec{Grace: 10 * time.Second},
		sh(`trap 'exit 3' INT; sh -c "trap 'sleep 0.2; touch `+mark+`; exit 0' INT; echo ready; while :; do sleep 0.05; done"; exit 4`))
	var exit *command.ExitError
	require.ErrorAs(t, err, &exit)
	require.ErrorContains(t, err, "told to stop")
	assert.FileExists(t, mark)
	assert.Less(t, took, 8*time.Second)
}

func TestTerminateReachesTheProgramAlone(t *testing.T) {
	c := sh(`trap 'echo got term; exit 5' TERM; trap 'echo got int; exit 6' INT; echo ready; while :; do sleep 0.05; done`)
	c.Stop = command.Terminate
	_, out, err := started(t, command.Exec{Grace: 10 * time.Second}, c)
	var exit *command.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 5, exit.Code)
	assert.Contains(t, out, "got term")
	assert.NotContains(t, out, "got int")
}

func TestAProgramThatDoesNotListenIsKilledAfterItsGrace(t *testing.T) {
	c := sh(`trap '' INT TERM; echo ready $$; while :; do sleep 0.05; done`)
	c.Grace = 200 * time.Millisecond
	took, out, err := started(t, command.Exec{}, c)
	require.Error(t, err)
	assert.GreaterOrEqual(t, took, 200*time.Millisecond)
	assert.Less(t, took, 8*time.Second)
	pid, convErr := strconv.Atoi(strings.Fields(out)[1])
	require.NoError(t, convErr)
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestNothingOfTheGroupOutlivesACancel(t *testing.T) {
	c := sh(`(trap '' INT; exec sleep 60 >/dev/null 2>&1) & echo pid $!; echo ready; wait`)
	c.Grace = 100 * time.Millisecond
	_, out, _ := started(t, command.Exec{}, c)
	var pid int
	for f := strings.Fields(out); len(f) > 1; f = f[1:] {
		if f[0] == "pid" {
			pid, _ = strconv.Atoi(f[1])
		}
	}
	require.NotZero(t, pid)
	assert.Eventually(t, func() bool {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(b), ") Z ")
	}, 5*time.Second, 10*time.Millisecond)
}

func TestADaemonThatHoldsThePipesIsNotWaitedFor(t *testing.T) {
	c := sh(`sleep 30 & echo started`)
	c.Grace = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stdout, err := command.Exec{}.Run(ctx, c)
	require.NoError(t, err)
	assert.Equal(t, "started\n", string(stdout))
}

func TestAnEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mark := filepath.Join(t.TempDir(), "ran")
	_, err := command.Exec{}.Run(ctx, command.Cmd{Name: "touch", Args: []string{mark}})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, mark)
}

// A process that runs this test binary as a helper, is killed without a word,
// and must take its child with it.
func TestAChildIsStoppedWhenItsParentIsKilled(t *testing.T) {
	if os.Getenv("COMMAND_HELPER") == "1" {
		c := sh(`trap 'echo cleaned > "$MARK"; exit 0' TERM; echo $$ > "$MARK.pid"; while :; do sleep 0.05; done`)
		c.Stop, c.Env = command.Terminate, []string{"MARK=" + os.Getenv("MARK")}
		_, _ = command.Exec{}.Run(t.Context(), c)
		return
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs Linux")
	}
	mark := filepath.Join(t.TempDir(), "mark")
	helper := exec.Command(os.Args[0], "-test.run", "TestAChildIsStoppedWhenItsParentIsKilled$")
	helper.Env = append(os.Environ(), "COMMAND_HELPER=1", "MARK="+mark)
	require.NoError(t, helper.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(mark + ".pid"); return err == nil }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, helper.Process.Kill())
	_ = helper.Wait()
	assert.Eventually(t, func() bool { _, err := os.Stat(mark); return err == nil }, 10*time.Second, 10*time.Millisecond)
}

func TestStringQuotesForPeople(t *testing.T) {
	assert.Equal(t, `git commit -m 'it'\''s a $test' ''`, command.Cmd{Name: "git", Args: []string{"commit", "-m", "it's a $test", ""}}.String())
}
