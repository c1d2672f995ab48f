package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Exec runs programs on this machine.
type Exec struct {
	// Grace is the time a program has to end by itself; 0 is 30 seconds.
	Grace time.Duration
	// Pass are further names of environment variables that programs get, by the
	// patterns of path.Match: "GO*".
	Pass []string
}

var _ Runner = Exec{}

// passed is what every program gets of our environment: what it needs to find
// itself, its user, its language, its proxies. Credentials are not among it.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "LANG", "LC_*", "XDG_*",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND",
	"DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "PACKER_PLUGIN_PATH", "PACKER_CONFIG_DIR", "CI",
}

// Environ is the environment that a program gets, without what its Cmd adds.
func (e Exec) Environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, pattern := range append(passed[:len(passed):len(passed)], e.Pass...) {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				env = append(env, kv)
				break
			}
		}
	}
	return env
}

// Look is the path of a program, exec.ErrNotFound if it is not in PATH.
func (e Exec) Look(name string) (string, error) { return exec.LookPath(name) }

// tailSize is how much of stderr an ExitError keeps.
const tailSize = 16 << 10

// Run is Runner's.
func (e Exec) Run(ctx context.Context, c Cmd) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	grace := c.Grace
	if grace <= 0 {
		grace = e.Grace
	}
	if grace <= 0 {
		grace = 30 * time.Second
	}

	var (
		stdout  bytes.Buffer
		stderr  = tail{max: tailSize}
		both    = &locked{w: c.Out}
		cmd     = exec.CommandContext(ctx, c.Name, c.Args...)
		stopped bool
	)
	cmd.Dir, cmd.Stdin = c.Dir, c.Stdin
	cmd.Env = append(e.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Out != nil {
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, both), io.MultiWriter(&stderr, both)
	}
	cmd.SysProcAttr = attributes(c)
	cmd.WaitDelay = grace
	cmd.Cancel = func() error {
		stopped = true
		return stop(cmd.Process.Pid, c)
	}

	// The signal of our own death (attributes) is bound to the thread that
	// started the program, so this goroutine keeps its thread until the end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	err := cmd.Wait()
	if stopped && !c.Foreground {
		// What the program left in its group had its grace too.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if errors.Is(err, exec.ErrWaitDelay) && !stopped && cmd.ProcessState.Success() {
		// It ended well; something it left running only held our pipes.
		err = nil
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	if stopped {
		return stdout.Bytes(), &ExitError{c.String(), status(cmd.ProcessState), stderr.String(), context.Cause(ctx)}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.Bytes(), &ExitError{Cmd: c.String(), Code: status(exit.ProcessState), Stderr: stderr.String()}
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w", c.Name, err)
}

func stop(pid int, c Cmd) error {
	var err error
	switch {
	case c.Stop == Terminate:
		err = syscall.Kill(pid, syscall.SIGTERM)
	case c.Foreground:
		err = syscall.Kill(pid, syscall.SIGINT)
	default:
		err = syscall.Kill(-pid, syscall.SIGINT)
	}
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func status(p *os.ProcessState) int {
	if p == nil {
		return -1
	}
	if ws, ok := p.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.ExitCode()
}

// tail keeps the end of what is written to it.
type tail struct {
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }

// locked lets stdout and stderr share one writer.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
