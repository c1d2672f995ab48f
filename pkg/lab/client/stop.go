package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Stop ends the lab's process. Its state is kept, and its machines run on:
// nothing reaches them until the next Start, which finds them as they are.
func Stop(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, markFile)); err != nil {
		return nil // no lab was ever started here
	}
	unlock, err := flock(ctx, filepath.Join(dir, lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	return stop(ctx, dir)
}

// stop ends the process that works in a directory, whatever lab.json says of its
// ports. Under the directory's lock.
func stop(ctx context.Context, dir string) error {
	l, err := read(dir)
	if errors.Is(err, ErrNotRunning) {
		l, err = &Lab{}, nil
	}
	if err != nil {
		return err
	}
	pid := working(dir, l.PID)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return &Error{What: "the lab cannot be stopped", Where: fmt.Sprintf("process %d", pid), State: "it runs on", Err: err}
	}
	for range 300 {
		if working(dir, pid) == 0 {
			return nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	// Its state is written before each answer: this loses nothing.
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	for range 100 {
		if working(dir, pid) == 0 {
			return nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return &Error{What: "the lab does not end", Where: fmt.Sprintf("process %d", pid), State: "it runs on", Next: []string{fmt.Sprintf("kill -9 %d", pid)}}
}

// working is the process that works in a directory, 0 if none does. A lab's
// process holds a lock as long as it lives and writes its number in that file: a
// number alone may be another process's today.
func working(dir string, guess int) int {
	f, err := os.OpenFile(filepath.Join(dir, ProcessFile), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return 0 // nobody holds it; ours ends with the file
	}
	var pid int
	if _, err := fmt.Fscan(f, &pid); err == nil && pid > 0 && alive(pid) {
		return pid
	}
	return guess
}

// Down destroys the lab: its process, every container, image and network with
// its label, and its directory. A Docker engine that the lab started ends too,
// unless something else runs in it by now. Base images and packages in the
// cache stay.
func Down(ctx context.Context, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(o.Dir)
	if err == nil && len(entries) > 0 && !onlyLock(entries) {
		if _, err := os.Stat(filepath.Join(o.Dir, markFile)); err != nil {
			return &Error{
				What: "the directory holds something, and it is no lab's", Where: o.Dir, State: "nothing was removed",
				Next: []string{"let CHAIN_LAB name the lab's directory"},
			}
		}
	}
	known := err == nil && len(entries) > 0
	unlock, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := stop(ctx, o.Dir); err != nil {
		return err
	}
	// Without a directory there may be containers of a lab whose directory was
	// deleted by hand, but no engine is started to look for them.
	if known || answers(ctx) {
		if err := o.destroy(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return &Error{What: "the lab's files stay", Where: o.Dir, State: "its process, containers, images and networks are gone", Err: err}
	}
	if parent := filepath.Dir(o.Dir); filepath.Base(parent) == ".chain" {
		_ = os.Remove(parent) // if nothing else is in it
	}
	return nil
}

// destroy lets the lab's program remove what is labelled in the engine, and ends
// the engine if it is ours.
func (o Options) destroy(ctx context.Context) error {
	if !answers(ctx) && !installed() {
		return nil // no engine, so nothing in it
	}
	if err := StartEngine(ctx, o.Dir, o.Progress); err != nil {
		return err
	}
	var binary string
	if there, _ := filepath.Glob(filepath.Join(o.Dir, "bin", "lab-*")); len(there) > 0 { // the pattern is well formed
		binary = there[0]
	} else {
		var err error
		if binary, _, err = o.binary(ctx); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, binary, "-dir", o.Dir, "-id", id(o.Dir), "-cache", o.Cache, "-down")
	cmd.Env = environ(ctx)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &Error{
			What: "not all of the lab could be destroyed", Where: "lab " + id(o.Dir), State: "its process has ended, its files are kept",
			Next: []string{"the same command again", "docker ps -a --filter label=chain.lab=" + id(o.Dir)},
			Err:  fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(out))),
		}
	}
	return stopEngine(ctx, o.Dir, o.Progress)
}
