// Package client finds, starts and stops the lab, the local AWS that runs as a
// process of its own. It needs the standard library only, so that a Magefile
// that imports it compiles fast.
//
// A lab lives in a directory, which holds its state, its log and lab.json:
// whoever wants to talk to it reads its ports there. What it made in the Docker
// engine carries its id, which follows from the directory's path: even a lab
// whose directory was deleted by hand is found again and can be destroyed.
package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Files in a lab's directory. A running lab tells of itself in File, and holds a
// lock on ProcessFile, which has its process number.
const (
	File        = "lab.json"
	ProcessFile = "process"
)

// The ports of a lab whose options name no others.
const (
	DefaultAPI   = "127.0.0.1:4566"
	DefaultSOCKS = "127.0.0.1:4567"
)

// Lab is a lab as lab.json describes it.
type Lab struct {
	ID      string    `json:"id"`
	PID     int       `json:"pid"`
	API     string    `json:"api"`   // "127.0.0.1:4566"
	SOCKS   string    `json:"socks"` // "127.0.0.1:4567"
	Build   string    `json:"build"` // digest of the program
	Factor  float64   `json:"factor"`
	Started time.Time `json:"started"`
	Dir     string    `json:"dir"`
}

// Error says what failed, where, what state it left, and what to do next.
type Error struct {
	What, Where, State string
	Next               []string
	Err                error
	Usage              bool // what was asked for makes no sense
}

// Error is the whole of it in one line.
func (e *Error) Error() string {
	s := e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Where != "" {
		s += " (" + e.Where + ")"
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrNotRunning is wrapped where a lab is needed and none runs.
var ErrNotRunning = errors.New("the lab is not running")

// Dir is the directory of the lab: CHAIN_LAB, or .chain/lab of the working directory.
func Dir() string {
	if d := os.Getenv("CHAIN_LAB"); d != "" {
		return d
	}
	return filepath.Join(".chain", "lab")
}

// Cache is the directory of what labs share and lab:down leaves: base images and
// packages. It is empty where there is neither XDG_CACHE_HOME nor a home.
func Cache() string {
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return filepath.Join(os.TempDir(), "chain", "lab")
		}
		dir = filepath.Join(home, ".cache")
	}
	return filepath.Join(dir, "chain", "lab")
}

// id of the lab in a directory: the one it was given at its first start, which
// is of this host, this user and this path, so that it outlives the directory.
func id(dir string) string {
	if b, err := os.ReadFile(filepath.Join(dir, markFile)); err == nil && len(b) > 1 {
		return strings.TrimSpace(string(b))
	}
	host, _ := os.Hostname() // without one the rest still tells labs apart
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{host, strconv.Itoa(os.Getuid()), dir}, "\n")))
	return hex.EncodeToString(sum[:])[:10]
}

// read is what lab.json says, whether or not that lab still runs.
func read(dir string) (*Lab, error) {
	b, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	}
	if err != nil {
		return nil, err
	}
	var l Lab
	if err := json.Unmarshal(b, &l); err != nil || l.API == "" {
		return nil, fmt.Errorf("%w in %s: its %s cannot be read", ErrNotRunning, dir, File)
	}
	l.Dir = dir
	return &l, nil
}

// Find is the lab that runs in a directory; ErrNotRunning if none does.
func Find(ctx context.Context, dir string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l, err := read(dir)
	if err != nil {
		return nil, err
	}
	s, err := status(ctx, l.API)
	if err != nil || s.ID != l.ID || !same(s.Dir, dir) {
		return nil, fmt.Errorf("%w in %s: process %d is gone", ErrNotRunning, dir, l.PID)
	}
	return l, nil
}

// same says whether two names are one directory.
func same(a, b string) bool {
	i, err1 := os.Stat(a)
	j, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(i, j)
}

// State is what a running lab answers to a question for its status.
type State struct {
	ID      string  `json:"id"`
	PID     int     `json:"pid"`
	Dir     string  `json:"dir"`
	Build   string  `json:"build"`
	API     string  `json:"api"`
	SOCKS   string  `json:"socks"`
	Factor  float64 `json:"factor"`
	Raw     json.RawMessage
	Started time.Time `json:"started"`
}

var web = http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// status asks whoever listens at addr whether it is a lab.
func status(ctx context.Context, addr string) (*State, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/_lab/status", nil)
	if err != nil {
		return nil, err
	}
	res, err := web.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	s := &State{}
	if err := json.Unmarshal(b, s); err != nil || res.StatusCode != http.StatusOK || s.ID == "" {
		return nil, fmt.Errorf("%s is no lab", addr)
	}
	s.Raw = b
	return s, nil
}

// Status is what the lab of a directory says of itself: Raw holds all of it.
func Status(ctx context.Context, dir string) (*State, error) {
	l, err := Find(ctx, dir)
	if err != nil {
		return nil, err
	}
	return status(ctx, l.API)
}

// KeyID and Secret are the credentials that the chain signs with and Env names.
// A lab takes any other too, unless it was started with keys of its own.
const (
	KeyID  = "AKIALAB0000000000000"
	Secret = "lab"
)

// Env is what a shell needs to reach the lab with the aws CLI and curl.
func (l *Lab) Env() string {
	var b strings.Builder
	for _, v := range [][2]string{
		{"AWS_ENDPOINT_URL", "http://" + l.API},
		{"AWS_ACCESS_KEY_ID", KeyID},
		{"AWS_SECRET_ACCESS_KEY", Secret},
		{"AWS_REGION", "eu-west-1"},
		{"AWS_DEFAULT_REGION", "eu-west-1"},
		{"AWS_EC2_METADATA_DISABLED", "true"},
		{"AWS_PAGER", ""},
	} {
		fmt.Fprintf(&b, "export %s='%s'\n", v[0], v[1])
	}
	b.WriteString("unset AWS_PROFILE AWS_SESSION_TOKEN\n")
	// The aws CLI of Debian 12 (2.9) does not read AWS_ENDPOINT_URL yet.
	b.WriteString(`aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }` + "\n")
	b.WriteString("# aws cloudformation describe-stacks\n")
	fmt.Fprintf(&b, "# curl -x socks5h://%s http://www.hello.example/\n", l.SOCKS)
	return b.String()
}

// Logs copies the lab's log, the last lines of it if lines > 0, and what comes
// until ctx ends if follow is set.
func Logs(ctx context.Context, dir string, w io.Writer, lines int, follow bool) error {
	f, err := os.Open(filepath.Join(dir, logFile))
	if errors.Is(err, os.ErrNotExist) {
		return &Error{
			What: "there is no log", Where: dir, State: "no lab was started here, or it was taken down",
			Next: []string{"./station.sh lab:up"}, Err: ErrNotRunning,
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if lines > 0 {
		b, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, tail(string(b), lines)); err != nil {
			return err
		}
	}
	for {
		if _, err := io.Copy(w, f); err != nil || !follow {
			return err
		}
		if wait(ctx, 200*time.Millisecond) != nil {
			return nil // whoever looks on has seen enough
		}
	}
}

// tail is the last n lines of a text.
func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// wait lets d pass.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// alive says whether a process is there.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
