package trail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/command"
)

// Kind says what kept Git from doing something.
type Kind string

// The kinds of errors that a person can do something about.
const (
	NotClone    Kind = "not a Git clone"
	NoCommits   Kind = "no commits"
	NoRemote    Kind = "no remote"
	NoGit       Kind = "git is not installed"
	Network     Kind = "remote not reachable"
	Denied      Kind = "access denied"
	HookRefused Kind = "hook refused"
	Rejected    Kind = "push rejected"
	Moved       Kind = "branch moved"
	DiskFull    Kind = "disk full"
	LockLost    Kind = "lock lost"
	Broken      Kind = "trail not readable"
)

// Error is what Git could not do, and why.
type Error struct {
	Kind Kind   // "" when it is none of the known kinds
	Op   string // what was tried: "push the trail to origin"
	Text string // what Git or the remote said, in its own words
	Next []string
	Err  error
}

// Error is the attempt, the kind and what Git said.
func (e *Error) Error() string {
	s := e.Op
	if e.Kind != "" {
		s += ": " + string(e.Kind)
	}
	if e.Text != "" {
		s += ": " + e.Text
	} else if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsKind tells whether err is an Error of that kind.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// Runner is how this package runs Git when nothing else is asked for: what
// decides about access to remotes is let through, what would point Git at
// another repository is not.
func Runner() command.Runner {
	return command.Exec{
		Grace: 5 * time.Second,
		Pass: []string{
			"GIT_ASKPASS", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "GIT_CONFIG_*",
			"GIT_AUTHOR_*", "GIT_COMMITTER_*", "GIT_SSL_*", "GIT_TERMINAL_PROMPT", "GIT_TRACE*", "KRB5*", "EMAIL",
		},
	}
}

// git runs Git in one directory.
type git struct {
	runner command.Runner
	dir    string
	env    []string
	kept   *sync.Map // answers that cannot change, by their question; nil keeps none
}

// always holds for every call: messages in English, since we read them; no
// refresh of the user's index; no repacking behind our back.
var always = []string{"LC_ALL=C", "LANGUAGE=C", "GIT_OPTIONAL_LOCKS=0"}

func (g git) with(env ...string) git {
	g.env = append(g.env[:len(g.env):len(g.env)], env...)
	return g
}

func (g git) cmd(in io.Reader, args []string) command.Cmd {
	return command.Cmd{
		Name: "git", Args: append([]string{"-c", "gc.auto=0", "-c", "maintenance.auto=false"}, args...),
		Dir: g.dir, Env: append(append([]string(nil), always...), g.env...), Stdin: in,
	}
}

// run is for commands that stay on this machine.
func (g git) run(ctx context.Context, op string, in io.Reader, args ...string) (string, error) {
	out, err := g.runner.Run(ctx, g.cmd(in, args))
	if err != nil {
		return "", fault(op, err)
	}
	return string(out), nil
}

// once is run for a question about an object named by its whole id: its answer
// never changes, so it is asked once only.
func (g git) once(ctx context.Context, op, id string, args ...string) (string, error) {
	if !wholeID.MatchString(id) {
		return g.run(ctx, op, nil, args...)
	}
	return g.keep(strings.Join(args, "\x00"), func() (string, error) { return g.run(ctx, op, nil, args...) })
}

// write puts an object into the store and answers its id; what is there is not written again.
func (g git) write(ctx context.Context, op, content string, args ...string) (string, error) {
	return g.keep(strings.Join(args, "\x00")+"\x00<\x00"+content, func() (string, error) {
		out, err := g.run(ctx, op, strings.NewReader(content), args...)
		return strings.TrimSpace(out), err
	})
}

func (g git) keep(question string, ask func() (string, error)) (string, error) {
	if g.kept == nil {
		return ask()
	}
	if answer, ok := g.kept.Load(question); ok {
		return answer.(string), nil
	}
	answer, err := ask()
	if err == nil {
		g.kept.Store(question, answer)
	}
	return answer, err
}

var wholeID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// line is run for commands that answer one line.
func (g git) line(ctx context.Context, op string, args ...string) (string, error) {
	out, err := g.run(ctx, op, nil, args...)
	return strings.TrimRight(out, "\n"), err
}

// remote is run for commands that talk to a remote: they may ask for a
// passphrase at the terminal, and they end after limit.
func (g git) remote(ctx context.Context, limit time.Duration, op string, args ...string) (string, error) {
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := g.cmd(nil, args)
	c.Foreground = true
	out, err := g.runner.Run(bound, c)
	if err == nil {
		return string(out), nil
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return "", &Error{Kind: Network, Op: op, Text: fmt.Sprintf("no answer for %s", limit), Err: err, Next: nextOf[Network]}
	}
	return string(out), fault(op, err)
}

var nextOf = map[Kind][]string{
	NotClone:    {"git clone URL DIR && cd DIR  # run it in a clone of the repository"},
	NoCommits:   {"git add -A && git commit  # there is nothing to deploy before the first commit"},
	NoRemote:    {"git remote -v  # the trail is a branch of one of these; git remote add NAME URL makes one"},
	NoGit:       {"./station.sh  # installs what is missing"},
	Network:     {"the same command again, once the remote answers"},
	Denied:      {"git ls-remote  # shows whether you may read it; then the same command again"},
	HookRefused: {"ask who keeps the remote's hooks to allow the trail's branch; then the same command again"},
	Rejected:    {"ask who keeps the remote to allow pushes to the trail's branch; then the same command again"},
	Moved:       {"the same command again  # it starts from what is there now"},
	DiskFull:    {"df -h .  # make room; then the same command again"},
	LockLost:    {"see who took the lock; then the same command again"},
}

// signs are how Git and the servers word it. The first that fits decides.
var signs = []struct {
	kind Kind
	re   *regexp.Regexp
}{
	{DiskFull, regexp.MustCompile(`(?i)no space left on device|out of diskspace|disk quota exceeded|unable to write (loose )?(object )?file`)},
	{NotClone, regexp.MustCompile(`(?i)not a git repository \(or any`)},
	{HookRefused, regexp.MustCompile(`(?i)hook declined|hook refused|pre-push|GH\d{3}:|failed to push some refs.*hook`)},
	{Denied, regexp.MustCompile(`(?i)permission denied|authentication failed|could not read (username|password)|access denied|error: 40[13]|invalid credentials|not authorized|host key verification failed|terminal prompts disabled`)},
	{NoRemote, regexp.MustCompile(`(?i)does not appear to be a git repository|repository .*not found|no such remote`)},
	{Network, regexp.MustCompile(`(?i)could not resolve|could not connect|connection (refused|reset|timed out|closed)|network is unreachable|no route to host|operation timed out|the remote end hung up|early eof|failed to connect|unable to access|could not read from remote repository`)},
	{Moved, regexp.MustCompile(`(?i)stale info|fetch first|non-fast-forward|cannot lock ref|reference already exists|failed to update ref|incorrect old value`)},
	{Rejected, regexp.MustCompile(`(?i)remote rejected|\[rejected\]|protected branch|shallow update not allowed|deny`)},
}

// fault words what a command of Git said.
func fault(op string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return &Error{Kind: NoGit, Op: op, Err: err, Next: nextOf[NoGit]}
	}
	var exit *command.ExitError
	if !errors.As(err, &exit) {
		e := &Error{Op: op, Err: err}
		if strings.Contains(err.Error(), "no space left") {
			e.Kind, e.Next = DiskFull, nextOf[DiskFull]
		}
		return e
	}
	e := &Error{Op: op, Err: err, Text: said(exit.Stderr)}
	for _, s := range signs {
		if s.re.MatchString(exit.Stderr) {
			e.Kind, e.Next = s.kind, nextOf[s.kind]
			break
		}
	}
	return e
}

var noise = regexp.MustCompile(`(?i)^(hint:|to [^ ]+$|remote: *$|error: failed to push some refs|please make sure|and the repository exists|everything up-to-date)`)

// said is the part of Git's stderr that tells something, in one line.
func said(stderr string) string {
	var lines []string
	for _, l := range strings.Split(stderr, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || noise.MatchString(l) {
			continue
		}
		lines = append(lines, withoutPassword(strings.Join(strings.Fields(l), " ")))
	}
	if len(lines) > 4 {
		lines = lines[len(lines)-4:]
	}
	return strings.Join(lines, "; ")
}

var userinfo = regexp.MustCompile(`(https?://)[^/@\s]+@`)

// withoutPassword takes out what a URL may hold before its host.
func withoutPassword(s string) string { return userinfo.ReplaceAllString(s, "$1") }

// isPath tells a repository on this machine from a URL and an scp-like address.
func isPath(remote string) bool {
	return filepath.IsAbs(remote) || strings.HasPrefix(remote, "./") || strings.HasPrefix(remote, "../")
}
