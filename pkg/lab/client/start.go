package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	logFile     = "lab.log"
	lockFile    = "start.lock" // held by who starts, stops or destroys
	markFile    = "id"
	program     = "github.com/build-deploy-chain/chain/cmd/lab"
	startupTime = 10 * time.Minute // the base image may have to be made on a slow line
	logLimit    = 20 << 20
)

// Options of Start and Down.
type Options struct {
	Dir    string // "" means Dir()
	API    string // "" means CHAIN_LAB_API or the default port
	SOCKS  string // "" means CHAIN_LAB_SOCKS or the default port
	Factor string // AWS waits are divided by it; "" means CHAIN_LAB_FACTOR or 10
	Cache  string // "" means Cache()
	// Source is where `go build` finds the lab's program: a directory of this
	// module or of one that requires it. "" means the working directory.
	Source string
	// Binary is the program to run instead of building one.
	Binary string
	// Args are added to the program's flags.
	Args []string
	// Progress is called with each step that takes time; nil is fine.
	Progress func(line string)
}

func (o Options) complete() (Options, error) {
	set := func(s *string, values ...string) {
		for _, v := range values {
			if *s == "" {
				*s = v
			}
		}
	}
	set(&o.Dir, Dir())
	set(&o.API, os.Getenv("CHAIN_LAB_API"), DefaultAPI)
	set(&o.SOCKS, os.Getenv("CHAIN_LAB_SOCKS"), DefaultSOCKS)
	set(&o.Factor, os.Getenv("CHAIN_LAB_FACTOR"), "10")
	set(&o.Cache, Cache())
	set(&o.Source, ".")
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if f, err := strconv.ParseFloat(o.Factor, 64); err != nil || f <= 0 {
		return o, &Error{
			What: fmt.Sprintf("the lab's time factor is %q, not a number above 0", o.Factor), Where: "CHAIN_LAB_FACTOR",
			State: "nothing was started", Next: []string{"unset CHAIN_LAB_FACTOR"},
		}
	}
	dir, err := filepath.Abs(o.Dir)
	o.Dir = dir
	return o, err
}

// Start returns the running lab of a directory. It starts it if need be, and
// starts it anew, with its state, if it runs another build of the program. Two
// that start at the same time get the same lab.
func Start(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	unlock, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	binary, build, err := o.binary(ctx)
	running, findErr := Find(ctx, o.Dir)
	if findErr == nil && (err != nil || running.Build == build) {
		return running, nil // without the sources, what runs is what there is
	}
	if err != nil {
		return nil, err
	}
	if findErr == nil {
		o.Progress("the lab runs another build; starting it anew with its state")
	}
	// Where it listens shall not change under those who know it.
	if before, err := read(o.Dir); err == nil {
		o.API, o.SOCKS = keepPort(o.API, before.API), keepPort(o.SOCKS, before.SOCKS)
	}
	if err := stop(ctx, o.Dir); err != nil {
		return nil, err
	}
	for _, addr := range []string{o.API, o.SOCKS} {
		if err := free(ctx, addr, o.Dir); err != nil {
			return nil, err
		}
	}
	if !memory(o.Args) {
		if err := StartEngine(ctx, o.Dir, o.Progress); err != nil {
			return nil, err
		}
	}
	return o.launch(ctx, binary, build)
}

// memory says whether the lab shall do without an engine.
func memory(args []string) bool {
	s := strings.Join(args, " ")
	return strings.Contains(s, "-runtime memory") || strings.Contains(s, "-runtime=memory")
}

// keepPort is the address of before if any free port was asked for.
func keepPort(asked, before string) string {
	if before != "" && strings.HasSuffix(asked, ":0") {
		return before
	}
	return asked
}

// open makes the lab's directory if it is not there and takes its lock.
func (o Options) open(ctx context.Context) (unlock func(), err error) {
	mark := filepath.Join(o.Dir, markFile)
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(mark); err != nil && !onlyLock(entries) {
			return nil, &Error{
				What: "the directory holds something, and it is no lab's", Where: o.Dir, State: "nothing was started",
				Next: []string{"let CHAIN_LAB name a directory that is empty or not there"},
			}
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, &Error{What: "the lab has no place for its state", Where: o.Dir, State: "nothing was started", Err: err}
	}
	unlock, err = flock(ctx, filepath.Join(o.Dir, lockFile))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(mark, []byte(id(o.Dir)+"\n"), 0o644); err != nil {
		unlock()
		return nil, &Error{What: "the lab cannot write its state", Where: o.Dir, State: "nothing was started", Err: err}
	}
	return unlock, nil
}

func onlyLock(entries []os.DirEntry) bool { return len(entries) == 1 && entries[0].Name() == lockFile }

// flock takes a lock that ends with the process. The file may be deleted by the
// holder before us, then it is made again.
func flock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("lock the lab: %w", err)
		}
		for {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
				break
			}
			if err := wait(ctx, 50*time.Millisecond); err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("wait for the lab's lock %s: %w", name, err)
			}
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock the lab: %w", err)
		}
		mine, err1 := f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			return func() { _ = f.Close() }, nil
		}
		_ = f.Close()
		if _, err := os.Stat(filepath.Dir(name)); err != nil {
			return nil, fmt.Errorf("lock the lab: it was taken down meanwhile: %w", err)
		}
	}
}

// binary builds the lab's program, if it is not up to date, and returns where a
// copy of it is that no later build touches, and its digest.
func (o Options) binary(ctx context.Context) (file, build string, err error) {
	built := o.Binary
	if built == "" {
		built = filepath.Join(o.Dir, "bin", "built")
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built, program)
		cmd.Dir = o.Source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the targets are: one cache for both
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", "", &Error{
				What: "the lab's program does not build", Where: program, State: "nothing was started",
				Next: []string{"go build " + program}, Err: fmt.Errorf("%w\n%s", err, tail(string(out), 20)),
			}
		}
	}
	b, err := os.ReadFile(built)
	if err != nil {
		return "", "", fmt.Errorf("the lab's program: %w", err)
	}
	sum := sha256.Sum256(b)
	build = hex.EncodeToString(sum[:])[:12]
	file = filepath.Join(o.Dir, "bin", "lab-"+build)
	if _, err := os.Stat(file); err == nil {
		return file, build, nil
	}
	old, _ := filepath.Glob(filepath.Join(o.Dir, "bin", "lab-*")) // the pattern is well formed
	for _, f := range old {
		_ = os.Remove(f) // one that runs goes on
	}
	err = os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file+".part", b, 0o755)
	}
	if err == nil {
		err = os.Rename(file+".part", file)
	}
	if err != nil {
		return "", "", fmt.Errorf("the lab's program: %w", err)
	}
	return file, build, nil
}

// launch starts the program, apart from us, and waits until it listens.
func (o Options) launch(ctx context.Context, binary, build string) (*Lab, error) {
	name := filepath.Join(o.Dir, logFile)
	if i, err := os.Stat(name); err == nil && i.Size() > logLimit {
		_ = os.Rename(name, name+".1") // else it grows on
	}
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	// It outlives us: a session of its own, no terminal.
	cmd := exec.Command(binary, append([]string{
		"-dir", o.Dir, "-id", id(o.Dir), "-api", o.API, "-socks", o.SOCKS, "-factor", o.Factor, "-cache", o.Cache, "-build", build,
	}, o.Args...)...)
	cmd.Dir = o.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environ(ctx)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, &Error{What: "the lab does not start", Where: binary, State: "nothing was started", Err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startupTime)
	defer cancel()
	shown := begin
	for {
		shown = o.show(name, shown)
		if l, err := read(o.Dir); err == nil && l.PID == cmd.Process.Pid {
			if _, err := Find(ctx, o.Dir); err == nil {
				return l, nil
			}
		}
		select {
		case err := <-ended:
			return nil, &Error{
				What: "the lab ended while it started", Where: name, State: "its state is kept, nothing runs",
				Next: []string{"the reason is above; then the same command again"},
				Err:  fmt.Errorf("%w\n%s", exitError(err), since(name, begin)),
			}
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM) // it may have ended meanwhile
			<-ended
			return nil, &Error{
				What: "the lab was not up in time", Where: name, State: "its state is kept, nothing runs",
				Next: []string{"./station.sh lab:logs"}, Err: ctx.Err(),
			}
		}
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// show hands on what the lab logs as progress since offset from.
func (o Options) show(name string, from int64) int64 {
	text := since(name, from)
	end := strings.LastIndexByte(text, '\n') + 1
	for line := range strings.Lines(text[:end]) {
		if _, msg, ok := strings.Cut(line, `progress="`); ok {
			if msg, err := strconv.Unquote(`"` + strings.TrimRight(msg, "\n")); err == nil {
				o.Progress(msg)
			}
		}
	}
	return from + int64(end)
}

// since is the text of a log after an offset, at most its last 40 lines.
func since(name string, from int64) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, from, 1<<20))
	if err != nil {
		return ""
	}
	return string(b)
}

// environ is ours without credentials, of which the lab needs none, and with the
// engine's place.
func environ(ctx context.Context) (env []string) {
	if h := elsewhere(ctx); h != "" {
		env = append(env, "DOCKER_HOST="+h)
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "CHAIN_") && !strings.HasPrefix(v, "DOCKER_HOST=") {
			env = append(env, v)
		}
	}
	return env
}

// free says whether a port can be had, or who has it.
func free(ctx context.Context, addr, dir string) error {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", addr)
	if err == nil {
		return l.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return &Error{What: "the lab cannot listen", Where: addr, State: "nothing was started", Err: err}
	}
	beside := "CHAIN_LAB_API=127.0.0.1:4576 CHAIN_LAB_SOCKS=127.0.0.1:4577 ./station.sh lab:up   # this lab beside it, on other ports"
	if s, err := status(ctx, addr); err == nil {
		return &Error{
			What:  fmt.Sprintf("port %s is held by another lab: %s, directory %s, process %d", addr, s.ID, s.Dir, s.PID),
			Where: dir, State: "nothing was started",
			Next: []string{"export CHAIN_LAB=" + s.Dir + "   # to use that lab", beside},
		}
	}
	next := []string{beside}
	holder := holderOf(ctx, addr)
	if holder.pid > 0 {
		next = append([]string{fmt.Sprintf("kill %d   # if you can do without %s", holder.pid, holder.name)}, next...)
	}
	return &Error{
		What: "port " + addr + " is held by " + holder.String(), Where: dir, State: "nothing was started", Next: next,
	}
}
