package trail_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

const zero = "ami-00000000000000000"

var place = trail.Place{Site: "web", Environment: "production", Region: "eu-west-1"}

// git runs Git as a user would.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// home gives Git a user and nothing else of this machine.
func home(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is missing")
		}
		t.Skip("git is missing")
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitconfig"), []byte("[user]\n\tname = Ann Example\n\temail = ann@example.org\n[init]\n\tdefaultBranch = main\n"), 0o600))
}

func body(image, more string) string {
	return "Parameters:\n  ImageId:\n    Default: " + image + "\n# " + more + "\n"
}

var imageLine = regexp.MustCompile(`Default: (ami-[0-9a-z]+)`)

func getImages(b []byte) (map[string]string, error) {
	m := imageLine.FindSubmatch(b)
	if m == nil {
		return nil, fmt.Errorf("no image")
	}
	return map[string]string{"ImageId": string(m[1])}, nil
}

func setImage(b []byte, _, image string) ([]byte, error) {
	return imageLine.ReplaceAll(b, []byte("Default: "+image)), nil
}

func write(t *testing.T, dir, path, content string) {
	t.Helper()
	full := filepath.Join(dir, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, []byte(content), 0o644))
}

// clone makes a repository with one commit.
func clone(t *testing.T) string {
	t.Helper()
	home(t)
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, filepath.Dir(dir), "init", "--quiet", dir)
	write(t, dir, ".gitignore", "/.chain/\n")
	write(t, dir, "README.md", "hello\n")
	write(t, dir, "puppet/page", "one\n")
	write(t, dir, place.Template(), body(zero, "one"))
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "--quiet", "-m", "first")
	return dir
}

func options(t *testing.T, dir, remote string) trail.Options {
	t.Helper()
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	return trail.Options{Clone: c, Remote: remote, Private: true, Images: getImages, SetImage: setImage, Cache: filepath.Join(t.TempDir(), "cache")}
}

func open(t *testing.T, dir, remote string, set ...func(*trail.Options)) *trail.Trail {
	t.Helper()
	o := options(t, dir, remote)
	for _, f := range set {
		f(&o)
	}
	tr, err := trail.Open(t.Context(), o)
	require.NoError(t, err)
	return tr
}

// bits is everything in a directory, by content.
func bits(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		sum := sha256.Sum256(b)
		info, _ := d.Info()
		all[strings.TrimPrefix(p, dir)] = hex.EncodeToString(sum[:]) + info.ModTime().String()
		return err
	}))
	return all
}

func imageEntry(image string) trail.Entry {
	return trail.Entry{
		Kind: "image", Subject: "web: image " + image, Trailers: []trail.Trailer{{Key: "Image", Value: image}},
		Files: map[string][]byte{place.Template(): []byte(body(image, "one"))},
	}
}

func TestStateOfAClone(t *testing.T) {
	dir := clone(t)
	c, err := trail.OpenClone(t.Context(), nil, filepath.Join(dir, "puppet"))
	require.NoError(t, err)
	assert.Equal(t, dir, c.Root)
	s, err := c.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, trail.State{Head: git(t, dir, "rev-parse", "HEAD"), Branch: "main"}, s)

	write(t, dir, "puppet/page", "two\n")
	write(t, dir, "new file", "x")
	write(t, dir, ".chain/log", "x")
	git(t, dir, "checkout", "--quiet", "--detach")
	s, err = c.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"puppet/page", "new file"}, s.Dirty)
	assert.Empty(t, s.Branch)
}

func TestWhatIsNotARepositoryIsSaidPlainly(t *testing.T) {
	home(t)
	dir := t.TempDir()
	_, err := trail.OpenClone(t.Context(), nil, dir)
	require.True(t, trail.IsKind(err, trail.NotClone), "%v", err)

	git(t, dir, "init", "--quiet")
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	_, err = c.State(t.Context())
	require.True(t, trail.IsKind(err, trail.NoCommits), "%v", err)

	bare := filepath.Join(t.TempDir(), "bare")
	git(t, dir, "init", "--quiet", "--bare", bare)
	_, err = trail.OpenClone(t.Context(), nil, bare)
	require.True(t, trail.IsKind(err, trail.NotClone), "%v", err)
}

func TestTheCloneStaysBitIdentical(t *testing.T) {
	dir := clone(t)
	write(t, dir, "README.md", "changed, not committed\n")
	git(t, dir, "tag", "mine")
	before := bits(t, dir)
	remote := filepath.Join(t.TempDir(), "of the target", "trail.git")

	for i := range 3 {
		tr := open(t, dir, remote)
		lock, err := tr.Lock(t.Context(), place.LockName(), trail.Holder{What: "release", Run: fmt.Sprint(i)})
		require.NoError(t, err)
		require.NoError(t, lock.Step(t.Context(), "bake the image"))
		_, err = tr.Write(t.Context(), imageEntry(fmt.Sprintf("ami-0%d", i+1)))
		require.NoError(t, err)
		r, err := tr.Intent(t.Context(), trail.Release{Place: place, Operation: "update", Run: fmt.Sprint(i)}, nil)
		require.NoError(t, err)
		_, err = tr.Outcome(t.Context(), r, trail.Outcome{Result: trail.Released})
		require.NoError(t, err)
		require.NoError(t, lock.Release(t.Context()))
	}
	assert.Equal(t, before, bits(t, dir))
	assert.Equal(t, "mine", git(t, dir, "tag"))
	assert.Equal(t, "3", git(t, remote, "rev-list", "--count", "--first-parent", "--grep=Chain-Trail: outcome", "trail"))
	git(t, remote, "fsck", "--full", "--strict")
}

func TestACommitIsHeadExceptForWhatTheTargetOwns(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	tr := open(t, dir, remote)
	first := git(t, dir, "rev-parse", "HEAD")
	w, err := tr.Write(t.Context(), imageEntry("ami-0a"))
	require.NoError(t, err)
	require.True(t, w.New)
	assert.Equal(t, first, git(t, remote, "show", "-s", "--format=%P", "trail"))
	assert.Equal(t, place.Template(), git(t, remote, "diff", "--name-only", first, "trail"))
	assert.Equal(t, "Ann Example <ann@example.org>", git(t, remote, "show", "-s", "--format=%an <%ae>", "trail"))
	assert.Equal(t, "image", git(t, remote, "show", "-s", "--format=%(trailers:key=Chain-Trail,valueonly)", "trail"))

	// Nothing new, no commit.
	again, err := tr.Write(t.Context(), imageEntry("ami-0a"))
	require.NoError(t, err)
	assert.Equal(t, trail.Written{Commit: w.Commit}, again)

	_, err = tr.WriteEvidence(t.Context(), place, trail.Evidence{Baseline: "b1", Candidate: "c1", Passed: true})
	require.NoError(t, err)

	// The user goes on: the template changes, the image stays the trail's.
	write(t, dir, place.Template(), body(zero, "two"))
	write(t, dir, "README.md", "more\n")
	git(t, dir, "commit", "--quiet", "-am", "second")
	second := git(t, dir, "rev-parse", "HEAD")
	tr = open(t, dir, remote)
	b, ok, err := tr.Read(t.Context(), place.Template())
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, body("ami-0a", "two"), string(b))
	tip := tr.Tip()
	_, err = tr.WriteEvidence(t.Context(), place, trail.Evidence{Baseline: "b2", Candidate: "c2", Passed: true})
	require.NoError(t, err)
	assert.Equal(t, tip+" "+second, git(t, remote, "show", "-s", "--format=%P", "trail"))
	assert.Equal(t, place.Evidence()+"\n"+place.Template(), git(t, remote, "diff", "--name-only", second, "trail"))
	assert.Equal(t, strings.TrimSpace(body("ami-0a", "two")), git(t, remote, "show", "trail:"+place.Template()))

	// The evidence of before is still found; what was never rehearsed is not.
	e, err := tr.Evidence(t.Context(), place, "b1", "c1")
	require.NoError(t, err)
	require.NotNil(t, e)
	e, err = tr.Evidence(t.Context(), place, "b1", "c2")
	require.NoError(t, err)
	assert.Nil(t, e)

	// An image that the user sets by hand wins over the trail's.
	write(t, dir, place.Template(), body("ami-0hand", "two"))
	git(t, dir, "commit", "--quiet", "-am", "third")
	tr = open(t, dir, remote)
	b, _, err = tr.Read(t.Context(), place.Template())
	require.NoError(t, err)
	assert.Equal(t, body("ami-0hand", "two"), string(b))

	files, err := tr.Changed(t.Context(), first, second, "README.md", "puppet")
	require.NoError(t, err)
	assert.Equal(t, []string{"README.md"}, files)
}

func TestOnlyOwnedPathsCanBeWritten(t *testing.T) {
	tr := open(t, clone(t), filepath.Join(t.TempDir(), "trail.git"))
	for _, path := range []string{"README.md", "chain.yaml", "cloudformation/policy.json", "cloudformation/web/deep/er.yaml"} {
		_, err := tr.Write(t.Context(), trail.Entry{Kind: "image", Subject: "x", Files: map[string][]byte{path: []byte("x")}})
		assert.ErrorContains(t, err, "not the target's to change", path)
	}
	assert.Empty(t, tr.Tip())
}

func TestEightWritersLoseNothing(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	open(t, dir, remote)
	var wg sync.WaitGroup
	for i := range 8 {
		o := options(t, dir, remote)
		wg.Go(func() {
			tr, err := trail.Open(t.Context(), o)
			if !assert.NoError(t, err) {
				return
			}
			p := trail.Place{Site: "web", Environment: fmt.Sprintf("test-%d", i), Region: "eu-west-1"}
			_, err = tr.WriteEvidence(t.Context(), p, trail.Evidence{Baseline: "b", Candidate: "c", Passed: true})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, "8", git(t, remote, "rev-list", "--count", "--first-parent", "--grep=Chain-Trail: evidence", "trail"))
	assert.Len(t, strings.Split(git(t, remote, "ls-tree", "-r", "--name-only", "trail", "cloudformation/evidence/"), "\n"), 8)
}

func TestAMovedBranchIsAskedAbout(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	mine, other := open(t, dir, remote), open(t, dir, remote)
	_, err := other.Write(t.Context(), imageEntry("ami-0b"))
	require.NoError(t, err)

	asked := 0
	e := trail.Entry{Kind: "evidence", Subject: "x", Files: map[string][]byte{place.Evidence(): []byte("{}")}}
	e.Moved = func(_ context.Context, from, to string) error {
		asked++
		assert.Empty(t, from)
		assert.Equal(t, other.Tip(), to)
		return fmt.Errorf("the template changed")
	}
	_, err = mine.Write(t.Context(), e)
	require.ErrorContains(t, err, "the template changed")
	assert.Equal(t, 1, asked)
}

func TestOneOfEightTakesTheLock(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	open(t, dir, remote)
	for round := range 3 {
		var winners atomic.Int32
		var wg sync.WaitGroup
		name := fmt.Sprintf("web/test-%d", round)
		for i := range 8 {
			o := options(t, dir, remote)
			wg.Go(func() {
				tr, err := trail.Open(t.Context(), o)
				if !assert.NoError(t, err) {
					return
				}
				_, err = tr.Lock(t.Context(), name, trail.Holder{What: "release", Run: fmt.Sprint(i)})
				if err == nil {
					winners.Add(1)
					return
				}
				var held *trail.HeldError
				if assert.ErrorAs(t, err, &held) {
					assert.Equal(t, os.Getpid(), held.Holder.PID)
					assert.Contains(t, err.Error(), "release by Ann Example")
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, winners.Load())
	}
}

func TestALockOfTheDeadIsTakenOver(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	tr := open(t, dir, remote)

	c := exec.Command("sleep", "60")
	require.NoError(t, c.Start())
	living, err := tr.Lock(t.Context(), "web/living", trail.Holder{PID: c.Process.Pid, What: "release"})
	require.NoError(t, err)
	_, err = open(t, dir, remote).Lock(t.Context(), "web/living", trail.Holder{})
	var held *trail.HeldError
	// Born was not noted, so only the number counts: it lives.
	require.ErrorAs(t, err, &held)
	alive, err := tr.Living(t.Context())
	require.NoError(t, err)
	assert.Len(t, alive, 1)
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	alive, err = tr.Living(t.Context())
	require.NoError(t, err)
	assert.Empty(t, alive)

	other := open(t, dir, remote)
	taken, err := other.Lock(t.Context(), "web/living", trail.Holder{What: "release", Run: "r2"})
	require.NoError(t, err)
	require.NotNil(t, taken.TookOver)
	assert.Equal(t, c.Process.Pid, taken.TookOver.PID)

	// The dead one, had it only slept, learns it before its next effect, and
	// cannot give back what is not its own.
	require.True(t, trail.IsKind(living.Step(t.Context(), "execute"), trail.LockLost))
	require.NoError(t, living.Release(t.Context()))
	h, _, err := tr.Holder(t.Context(), "web/living")
	require.NoError(t, err)
	require.NotNil(t, h)
	assert.Equal(t, "r2", h.Run)

	require.NoError(t, taken.Step(t.Context(), "verify"))
	h, _, err = tr.Holder(t.Context(), "web/living")
	require.NoError(t, err)
	assert.Equal(t, "verify", h.Step)
	require.NoError(t, taken.Release(t.Context()))
	h, _, err = tr.Holder(t.Context(), "web/living")
	require.NoError(t, err)
	assert.Nil(t, h)
}

func TestALockOfAnotherMachineIsOnlyBroken(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	// The other machine's clock stands still once that is dead, ours does not.
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now, theirs := clock.NewManual(noon), clock.NewManual(noon)
	tr := open(t, dir, remote, func(o *trail.Options) { o.Clock = now })
	there, err := open(t, dir, remote, func(o *trail.Options) { o.Clock = theirs }).Lock(t.Context(), place.LockName(), trail.Holder{PID: 1 << 30, Machine: "elsewhere", Host: "ci-7", Run: "0a1b2c3d", Step: "bake"})
	require.NoError(t, err)
	_, err = tr.Lock(t.Context(), place.LockName(), trail.Holder{})
	var held *trail.HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, "ci-7", held.Holder.Host)
	assert.Contains(t, strings.Join(held.Next(), "\n"), "lock:break 0a1b2c3d")

	_, err = tr.Break(t.Context(), "99999999")
	require.True(t, trail.IsKind(err, trail.LockLost), "%v", err)

	// As long as it beats it is alive, and nobody has to ask it to.
	for range 2 * trail.Stale / time.Minute {
		was := there.Held().Updated
		now.Advance(time.Minute)
		require.Eventually(t, func() bool {
			theirs.Advance(time.Second)
			return there.Held().Updated.After(was)
		}, time.Minute, time.Millisecond)
	}
	_, err = tr.Break(t.Context(), "0a1b2c3d")
	var alive *trail.AliveError
	require.ErrorAs(t, err, &alive)
	assert.Equal(t, "bake", alive.Holder.Step)
	now.Advance(theirs.Now().Sub(now.Now()) + trail.Stale)

	broken, err := tr.Break(t.Context(), "0a1b2c3d")
	require.NoError(t, err)
	assert.Equal(t, "ci-7", broken[place.LockName()].Host)
	require.True(t, trail.IsKind(there.Step(t.Context(), "execute"), trail.LockLost))
	l, err := tr.Lock(t.Context(), place.LockName(), trail.Holder{})
	require.NoError(t, err)
	assert.Nil(t, l.TookOver)
	locks, err := tr.Locks(t.Context())
	require.NoError(t, err)
	assert.Len(t, locks, 1)
}

func TestReleasesFromIntentToHistory(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	tr := open(t, dir, remote)
	last, err := tr.Last(t.Context(), place)
	require.NoError(t, err)
	assert.Nil(t, last)

	want := trail.Release{
		Place: place, Operation: "create", Stack: "web-production", Run: "r1",
		Baseline:  trail.Deployment{Digest: "d0", Template: "body: &x\n", Parameters: map[string]string{"A": "1"}},
		Candidate: trail.Deployment{Digest: "d1", Image: "ami-0a"}, ChangeSet: "arn:aws:x",
	}
	r, err := tr.Intent(t.Context(), want, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, r.Number)

	// The laptop burns. Another machine finds the intent, whole.
	elsewhere := open(t, dir, remote)
	found, err := elsewhere.Open(t.Context(), place)
	require.NoError(t, err)
	require.NotNil(t, found)
	assert.Equal(t, r, *found)
	// The same run asks again: the same number. Another run is refused.
	same, err := elsewhere.Intent(t.Context(), want, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, same.Number)
	_, err = elsewhere.Intent(t.Context(), trail.Release{Place: place, Run: "r2"}, nil)
	var busy *trail.OpenError
	require.ErrorAs(t, err, &busy)

	found.ChangeSet = "arn:aws:y"
	require.NoError(t, elsewhere.Amend(t.Context(), *found))
	done, err := elsewhere.Outcome(t.Context(), *found, trail.Outcome{Result: trail.RolledBack, Reason: "no signal"})
	require.NoError(t, err)
	assert.NotEmpty(t, done.Outcome.Commit)
	// Said twice, the first word counts.
	late, err := tr.Outcome(t.Context(), r, trail.Outcome{Result: trail.Released})
	require.NoError(t, err)
	assert.Equal(t, trail.RolledBack, late.Outcome.Result)
	assert.Equal(t, "tag", git(t, remote, "cat-file", "-t", "release/web/production/1"))
	assert.Equal(t, done.Outcome.Commit, git(t, remote, "rev-parse", "release/web/production/1^{}"))
	assert.Equal(t, "rolled-back", git(t, remote, "show", "-s", "--format=%(trailers:key=Outcome,valueonly)", "trail"))

	r2, err := tr.Intent(t.Context(), trail.Release{Place: place, Operation: "update", Run: "r1"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 2, r2.Number, "a finished number is never used again")
	_, err = tr.Outcome(t.Context(), r2, trail.Outcome{Result: trail.Released})
	require.NoError(t, err)

	all, err := open(t, dir, remote).History(t.Context(), place, 0)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, []int{2, 1}, []int{all[0].Number, all[1].Number})
	assert.Equal(t, "arn:aws:y", all[1].ChangeSet)
	assert.Equal(t, trail.RolledBack, all[1].Outcome.Result)
	first, err := tr.Find(t.Context(), place, 1)
	require.NoError(t, err)
	assert.Equal(t, "body: &x\n", first.Baseline.Template)

	// A number that lives on as a tag only is taken, too.
	git(t, remote, "tag", "release/web/production/9", "trail")
	require.NoError(t, tr.Refresh(t.Context()))
	n, err := tr.NextNumber(t.Context(), place)
	require.NoError(t, err)
	assert.Equal(t, 10, n)
}

func TestEightIntentsOneNumberEach(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	open(t, dir, remote)
	var winners atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		o := options(t, dir, remote)
		wg.Go(func() {
			tr, err := trail.Open(t.Context(), o)
			if !assert.NoError(t, err) {
				return
			}
			_, err = tr.Intent(t.Context(), trail.Release{Place: place, Run: fmt.Sprint(i)}, nil)
			var busy *trail.OpenError
			if err == nil {
				winners.Add(1)
				return
			}
			assert.ErrorAs(t, err, &busy)
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, winners.Load())
}

func TestAnOutcomeThatCannotBePushedWaits(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	o := options(t, dir, remote)
	tr, err := trail.Open(t.Context(), o)
	require.NoError(t, err)
	r, err := tr.Intent(t.Context(), trail.Release{Place: place, Run: "r1"}, nil)
	require.NoError(t, err)

	hook := filepath.Join(remote, "hooks", "pre-receive")
	write(t, remote, "hooks/pre-receive", "#!/bin/sh\necho 'nobody pushes on Mondays' >&2\nexit 1\n")
	require.NoError(t, os.Chmod(hook, 0o755))
	_, err = tr.Outcome(t.Context(), r, trail.Outcome{Result: trail.Released})
	var pending *trail.PendingError
	require.ErrorAs(t, err, &pending)
	assert.True(t, trail.IsKind(err, trail.HookRefused), "%v", err)
	assert.ErrorContains(t, err, "nobody pushes on Mondays")
	waiting, err := trail.Pending(o.Cache)
	require.NoError(t, err)
	assert.Len(t, waiting, 1)

	require.NoError(t, os.Remove(hook))
	next, err := trail.Open(t.Context(), o)
	require.NoError(t, err)
	done, err := next.Flush(t.Context())
	require.NoError(t, err)
	require.Len(t, done, 1)
	assert.Equal(t, trail.Released, done[0].Outcome.Result)
	assert.NotEmpty(t, git(t, remote, "rev-parse", "release/web/production/1"))
	waiting, err = trail.Pending(o.Cache)
	require.NoError(t, err)
	assert.Empty(t, waiting)
}

func TestARemoteOfTheUser(t *testing.T) {
	dir := clone(t)
	origin := filepath.Join(t.TempDir(), "origin.git")
	git(t, dir, "init", "--quiet", "--bare", origin)
	o := options(t, dir, "origin")
	o.Private = false
	_, err := trail.Open(t.Context(), o)
	require.True(t, trail.IsKind(err, trail.NoRemote), "%v", err)

	git(t, dir, "remote", "add", "origin", origin)
	git(t, dir, "push", "--quiet", "origin", "main")
	git(t, dir, "status")
	before := bits(t, dir)
	tr, err := trail.Open(t.Context(), o)
	require.NoError(t, err)
	_, err = tr.Write(t.Context(), imageEntry("ami-0a"))
	require.NoError(t, err)
	assert.Equal(t, before, bits(t, dir), "not even a remote-tracking ref: the clone has none of its objects")
	assert.NotEmpty(t, git(t, origin, "rev-parse", "trail"))

	// A hook of the user's is obeyed.
	write(t, dir, ".git/hooks/pre-push", "#!/bin/sh\necho 'pre-push: no' >&2\nexit 1\n")
	require.NoError(t, os.Chmod(filepath.Join(dir, ".git/hooks/pre-push"), 0o755))
	_, err = tr.Write(t.Context(), imageEntry("ami-0b"))
	require.True(t, trail.IsKind(err, trail.HookRefused), "%v", err)

	require.NoError(t, os.RemoveAll(origin))
	_, err = trail.Open(t.Context(), o)
	require.True(t, trail.IsKind(err, trail.NoRemote), "%v", err)
}

func TestAShallowCloneIsEnough(t *testing.T) {
	dir := clone(t)
	write(t, dir, "README.md", "two\n")
	git(t, dir, "commit", "--quiet", "-am", "second")
	shallow := filepath.Join(t.TempDir(), "shallow")
	git(t, dir, "clone", "--quiet", "--depth=1", "file://"+dir, shallow)
	c, err := trail.OpenClone(t.Context(), nil, shallow)
	require.NoError(t, err)
	s, err := c.State(t.Context())
	require.NoError(t, err)
	assert.True(t, s.Shallow)

	remote := filepath.Join(t.TempDir(), "trail.git")
	before := bits(t, shallow)
	for i := range 2 {
		_, err = open(t, shallow, remote).Write(t.Context(), imageEntry(fmt.Sprintf("ami-0%d", i)))
		require.NoError(t, err)
	}
	tr := open(t, shallow, remote)
	b, _, err := tr.Read(t.Context(), place.Template())
	require.NoError(t, err)
	assert.Equal(t, body("ami-01", "one"), string(b))
	assert.Equal(t, before, bits(t, shallow))
}

func TestAWorktreeAndNoIdentityAreEnough(t *testing.T) {
	dir := clone(t)
	wt := filepath.Join(t.TempDir(), "wt")
	git(t, dir, "worktree", "add", "--quiet", "-b", "side", wt)
	require.NoError(t, os.Remove(filepath.Join(os.Getenv("HOME"), ".gitconfig")))
	tr := open(t, wt, filepath.Join(t.TempDir(), "trail.git"))
	w, err := tr.Write(t.Context(), imageEntry("ami-0a"))
	require.NoError(t, err)
	require.True(t, w.New)
}

func TestNoRoomForObjects(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a file system of its own, so root")
	}
	dir := clone(t)
	small := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
	o := options(t, dir, filepath.Join(t.TempDir(), "trail.git"))
	o.Cache = small
	tr, err := trail.Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(small, "fill"), bytes.Repeat([]byte("x"), 32<<10), 0o600))
	_ = os.WriteFile(filepath.Join(small, "more"), bytes.Repeat([]byte("x"), 64<<10), 0o600)
	_, err = tr.Write(t.Context(), imageEntry("ami-0a"))
	require.True(t, trail.IsKind(err, trail.DiskFull), "%v", err)
}
