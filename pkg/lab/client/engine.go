package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	socket     = "/var/run/docker.sock"
	enginePID  = "dockerd.pid"
	engineLog  = "dockerd.log"
	engineWait = 60 * time.Second
)

// ask sends a request to the local engine.
func ask(ctx context.Context, path string) ([]byte, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return io.ReadAll(res.Body)
}

// elsewhere is the engine that is not at the usual socket: that of DOCKER_HOST,
// or of the docker CLI's context as Colima, Docker Desktop and rootless engines
// set it. It is "" if there is none.
func elsewhere(ctx context.Context) string {
	if h := os.Getenv("DOCKER_HOST"); h != "" {
		return h
	}
	if _, err := os.Stat(socket); err == nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").Output()
	if h := strings.TrimSpace(string(out)); err == nil && h != "unix://"+socket {
		return h
	}
	return ""
}

// answers says whether an engine is there. One elsewhere is not ours to judge:
// the lab's program says if it does not answer.
func answers(ctx context.Context) bool { return elsewhere(ctx) != "" || pong(ctx) }

// pong says whether the engine at the usual socket answers.
func pong(ctx context.Context) bool {
	_, err := ask(ctx, "/_ping")
	return err == nil
}

// installed says whether we could start an engine.
func installed() bool {
	_, err := dockerd()
	return err == nil && os.Getuid() == 0
}

// dockerd is the engine's program; its directory may be missing in PATH.
func dockerd() (string, error) {
	if p, err := exec.LookPath("dockerd"); err == nil {
		return p, nil
	}
	for _, p := range []string{"/usr/sbin/dockerd", "/usr/local/sbin/dockerd", "/usr/local/bin/dockerd"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}

// StartEngine makes sure that a Docker engine answers. If none does, dockerd is
// installed and we are root, it is started: as the system's service where there
// is systemd, else in the background with its log and process number in dir,
// and then it ends with the lab (Down).
func StartEngine(ctx context.Context, dir string, progress func(string)) error {
	if answers(ctx) || runtime.GOOS != "linux" {
		return nil // elsewhere the engine is a desktop product; its absence is told by the lab's program
	}
	program, err := dockerd()
	if err != nil {
		return &Error{
			What: "there is no Docker engine", Where: socket, State: "nothing was started",
			Next: []string{"apt-get install docker.io   # as root", "the same command again"},
		}
	}
	if os.Getuid() != 0 {
		e := &Error{
			What: "the Docker engine does not answer", Where: socket, State: "nothing was started",
			Next: []string{"sudo systemctl start docker", "the same command again"},
		}
		if _, err := ask(ctx, "/_ping"); errors.Is(err, os.ErrPermission) {
			e.What, e.Next[0] = "this user may not use the Docker engine", "sudo usermod -aG docker $USER   # then log in anew"
		}
		return e
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		if exec.CommandContext(ctx, "systemctl", "start", "docker").Run() == nil && await(ctx, nil) == nil {
			progress("started the Docker engine (systemctl start docker)")
			return nil
		}
	}
	progress("starting the Docker engine (dockerd), until lab:down")
	return runEngine(ctx, program, dir)
}

// runEngine starts dockerd in a session of its own.
func runEngine(ctx context.Context, program, dir string) error {
	name := filepath.Join(dir, engineLog)
	log, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	pid := filepath.Join(dir, enginePID)
	if ours(dir) == 0 {
		_ = os.Remove(pid) // dockerd refuses to start beside the file of a dead one whose number is taken
	}
	cmd := exec.Command(program, "--pidfile", pid) // it outlives us
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := await(ctx, ended); err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		return &Error{
			What: "the Docker engine does not start", Where: name, State: "nothing was started",
			Next: []string{"the reason is above; then the same command again"},
			Err:  fmt.Errorf("%w\n%s", err, tail(since(name, 0), 6)),
		}
	}
	return nil
}

// await waits until an engine answers or its program ended.
func await(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, engineWait)
	defer cancel()
	for !pong(ctx) {
		select {
		case err := <-ended:
			if pong(ctx) {
				return nil // somebody else's came up meanwhile
			}
			return exitError(err)
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ours is the process of the engine that this lab started, 0 if there is none.
func ours(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, enginePID))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !alive(pid) {
		return 0
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "dockerd" {
		return 0 // the number is another process's by now
	}
	return pid
}

// stopEngine ends the engine that this lab started, unless something of others runs in it.
func stopEngine(ctx context.Context, dir string, progress func(string)) error {
	pid := ours(dir)
	if pid == 0 {
		return nil
	}
	b, err := ask(ctx, "/containers/json")
	if err != nil {
		return fmt.Errorf("ask the Docker engine what runs in it: %w", err)
	}
	var running []struct{ ID string }
	if err := json.Unmarshal(b, &running); err != nil {
		return fmt.Errorf("ask the Docker engine what runs in it: %w", err)
	}
	if len(running) > 0 {
		progress(fmt.Sprintf("the Docker engine stays: %d containers that are not this lab's run in it", len(running)))
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the Docker engine: %w", err)
	}
	for range 600 {
		if !alive(pid) {
			return nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return &Error{What: "the Docker engine does not end", Where: fmt.Sprintf("process %d", pid), State: "all of the lab in it is gone", Next: []string{fmt.Sprintf("kill %d", pid)}}
}
