package trail

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Options of a trail.
type Options struct {
	// Clone is the user's clone. HEAD is read once, by Open.
	Clone *Clone
	// Remote is the name of a remote of the clone, or a path or URL.
	Remote string
	// Branch of the remote; "" means "trail".
	Branch string
	// Private says that Remote is the path of a bare repository which belongs
	// to the target: it is made when it is not there, and the user's hooks do
	// not run for it.
	Private bool
	// Cache is the directory for what is not at the remote yet; "" means
	// .chain/trail in the clone. It may be lost at any time.
	Cache string
	// Images and SetImage read and write the defaults of a template's parameters
	// that name images, by parameter, as pkg/template does. Without them templates
	// are not carried.
	Images   func(template []byte) (map[string]string, error)
	SetImage func(template []byte, parameter, image string) ([]byte, error)
	// Clock dates commits and waits between tries; nil is the system's.
	Clock clock.Clock
	// Timeout bounds each talk with the remote; 0 means two minutes.
	Timeout time.Duration
}

// Trail is the branch of one target. Make it with Open. It is safe for use by
// several goroutines, which wait for each other; several processes are what it
// is made for. A function that is given to it may
// call Changed, At and Source only.
type Trail struct {
	mu      sync.Mutex
	o       Options
	clone   *Clone
	git     git
	url     string // to read from
	pushURL string
	head    string
	who     Identity
	refs    map[string]string // of the remote, as last read
	tip     string            // "" when the branch is not there yet
}

// Trailer is one machine-readable line at the end of a commit message.
type Trailer struct{ Key, Value string }

// Entry is what a run wants to write down.
type Entry struct {
	Kind     string // value of the Chain-Trail trailer: "image", "evidence", "intent", "outcome"
	Subject  string
	Body     string
	Trailers []Trailer
	// Files are owned paths and their new content; nil removes one.
	Files map[string][]byte
	// Tag is the name of an annotated tag that goes with the commit, or "".
	Tag string
	// Moved is asked, when the branch moved under the run, whether the entry
	// still holds: an error ends the writing. Nil means that it does.
	Moved func(ctx context.Context, from, to string) error
}

// Written is a commit of the trail.
type Written struct {
	Commit string
	New    bool // false: everything was written down already
}

// Open reads the remote. It makes a private remote that is not there yet.
func Open(ctx context.Context, o Options) (*Trail, error) {
	if o.Branch == "" {
		o.Branch = "trail"
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Cache == "" {
		o.Cache = filepath.Join(o.Clone.Root, ".chain", "trail")
	}
	t := &Trail{o: o, clone: o.Clone, refs: map[string]string{}}
	var err error
	if t.o.Cache, err = filepath.Abs(o.Cache); err != nil {
		return nil, fmt.Errorf("open the trail: %w", err)
	}
	objects := filepath.Join(t.o.Cache, "objects")
	for _, d := range []string{"pack", "info"} {
		if err := os.MkdirAll(filepath.Join(objects, d), 0o755); err != nil {
			return nil, fmt.Errorf("open the trail: %w", err)
		}
	}
	t.git = o.Clone.git.with("GIT_OBJECT_DIRECTORY="+objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+quoted(o.Clone.objects))
	if t.head, err = o.Clone.Head(ctx); err != nil {
		return nil, err
	}
	if err := t.findRemote(ctx); err != nil {
		return nil, err
	}
	t.who = o.Clone.Identity(ctx)
	return t, t.refresh(ctx)
}

// quoted protects a directory in a list that is separated by colons.
func quoted(dir string) string {
	if strings.ContainsAny(dir, `:"`) {
		return strconv.Quote(dir)
	}
	return dir
}

func (t *Trail) findRemote(ctx context.Context) error {
	o := t.o
	if o.Private {
		t.url, t.pushURL = o.Remote, o.Remote
		return t.makePrivate(ctx)
	}
	if strings.Contains(o.Remote, "://") || isPath(o.Remote) || strings.Contains(o.Remote, ":") {
		t.url, t.pushURL = o.Remote, o.Remote
		return nil
	}
	// The URL is used, not the remote's name: Git would otherwise note the
	// branch in the clone, which has none of its commits.
	op := fmt.Sprintf("look up the remote %q", o.Remote)
	var err error
	if t.url, err = t.clone.git.line(ctx, op, "remote", "get-url", o.Remote); err == nil {
		t.pushURL, err = t.clone.git.line(ctx, op, "remote", "get-url", "--push", o.Remote)
	}
	if err != nil {
		return &Error{Kind: NoRemote, Op: op, Text: "the clone has no remote of that name", Err: err, Next: nextOf[NoRemote]}
	}
	return nil
}

// makePrivate makes the bare repository of a target, whole or not at all.
func (t *Trail) makePrivate(ctx context.Context) error {
	dir := t.o.Remote
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
		return nil
	}
	op := "make the trail's repository " + dir
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".trail-")
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer os.RemoveAll(tmp)
	g := git{runner: t.clone.git.runner, dir: tmp}
	if _, err := g.run(ctx, op, nil, "init", "--quiet", "--bare", "--template=", "--initial-branch="+t.o.Branch, tmp); err != nil {
		return err
	}
	// A shallow clone may push, too: what it lacks is never asked for.
	if _, err := g.run(ctx, op, nil, "--git-dir="+tmp, "config", "receive.shallowUpdate", "true"); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Stat(filepath.Join(dir, "HEAD")); statErr == nil {
			return nil // another run was faster
		}
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Head is the user's commit that this run is about.
func (t *Trail) Head() string { return t.head }

// Tip is the branch's newest commit, "" before the first.
func (t *Trail) Tip() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tip
}

// Remote is where the trail is kept, for people.
func (t *Trail) Remote() string {
	return withoutPassword(t.o.Remote) + " " + t.o.Branch
}

func (t *Trail) branchRef() string { return "refs/heads/" + t.o.Branch }

// Refresh reads the remote's refs and gets what is new of the branch.
func (t *Trail) Refresh(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refresh(ctx)
}

func (t *Trail) refresh(ctx context.Context) error {
	if err := t.readRefs(ctx); err != nil {
		return err
	}
	tip := t.refs[t.branchRef()]
	if tip != "" {
		if err := t.fetch(ctx, t.branchRef(), tip); err != nil {
			return err
		}
	}
	t.tip = tip
	return nil
}

const (
	lockRefs = "refs/chain/lock/"
	tagRefs  = "refs/tags/release/"
)

func (t *Trail) readRefs(ctx context.Context) error {
	out, err := t.patient(ctx, func() (string, error) {
		return t.git.remote(ctx, t.o.Timeout, "read the trail from "+t.Remote(), "ls-remote", "--quiet", t.url,
			t.branchRef(), lockRefs+"*", tagRefs+"*")
	})
	if err != nil {
		return err
	}
	refs := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		if id, ref, ok := strings.Cut(l, "\t"); ok && !strings.HasSuffix(ref, "^{}") {
			refs[ref] = id
		}
	}
	t.refs = refs
	return nil
}

// patient tries again while the remote cannot be reached.
func (t *Trail) patient(ctx context.Context, fn func() (string, error)) (string, error) {
	for wait := time.Second; ; wait *= 3 {
		out, err := fn()
		if err == nil || !IsKind(err, Network) || wait > 10*time.Second {
			return out, err
		}
		if err := t.o.Clock.Sleep(ctx, wait); err != nil {
			return "", err
		}
	}
}

// has tells whether an object is on this machine.
func (t *Trail) has(ctx context.Context, id string) bool {
	_, err := t.git.run(ctx, "look for "+id, nil, "cat-file", "-e", id)
	return err == nil
}

// fetch gets ref, which is (or has been) id, without noting it anywhere but in
// our own cache.
func (t *Trail) fetch(ctx context.Context, ref, id string) error {
	if t.has(ctx, id) {
		return nil
	}
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap="}
	if last := t.lastTip(); last != "" && t.has(ctx, last) {
		args = append(args, "--negotiation-tip="+last, "--negotiation-tip="+t.head)
	}
	args = append(args, t.url, ref)
	op := "get the trail from " + t.Remote()
	if _, err := t.patient(ctx, func() (string, error) { return t.git.remote(ctx, t.o.Timeout, op, args...) }); err != nil {
		return err
	}
	if !t.has(ctx, id) {
		return &Error{Kind: Moved, Op: op, Text: "it was rewritten while it was read", Next: nextOf[Moved]}
	}
	if ref == t.branchRef() {
		// Only saves traffic next time.
		_ = os.WriteFile(filepath.Join(t.o.Cache, "tip"), []byte(id+"\n"), 0o644)
	}
	return nil
}

func (t *Trail) lastTip() string {
	b, err := os.ReadFile(filepath.Join(t.o.Cache, "tip"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Read is a file as the next commit would have it: an owned path from the
// trail, any other from HEAD.
func (t *Trail) Read(ctx context.Context, path string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case isEvidence(path) && t.tip != "":
		return read(ctx, t.git, t.tip, path)
	case isTemplate(path) && t.tip != "":
		body, ok, err := read(ctx, t.git, t.head, path)
		if err != nil || !ok {
			return nil, false, err
		}
		carried, err := t.carry(ctx, path, body)
		return carried, err == nil, err
	}
	return read(ctx, t.git, t.head, path)
}

// WithImage is a template as Read has it, with another image as the default of
// ImageId.
func (t *Trail) WithImage(ctx context.Context, path, image string) ([]byte, error) {
	return t.WithImageOf(ctx, path, "ImageId", image)
}

// WithImageOf is WithImage for any parameter.
func (t *Trail) WithImageOf(ctx context.Context, path, parameter, image string) ([]byte, error) {
	body, ok, err := t.Read(ctx, path)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &Error{Op: "write the image into " + path, Text: "HEAD has no such file", Next: []string{"./station.sh template && git add cloudformation && git commit  # renders what chain.yaml says"}}
	}
	out, err := t.o.SetImage(body, parameter, image)
	if err != nil {
		return nil, fmt.Errorf("write the image into %s: %w", path, err)
	}
	return out, nil
}

// At is a file as any commit of the trail or the clone has it.
func (t *Trail) At(ctx context.Context, commit, path string) ([]byte, bool, error) {
	return read(ctx, t.git, commit, path)
}

// Changed lists the files that differ between two commits, of the trail or the
// clone, below the given paths or all.
func (t *Trail) Changed(ctx context.Context, from, to string, paths ...string) ([]string, error) {
	return changed(ctx, t.git, from, to, paths)
}

// Source is the user's commit that a commit of the trail was made from.
func (t *Trail) Source(ctx context.Context, commit string) (string, error) {
	return t.source(ctx, commit)
}

func (t *Trail) source(ctx context.Context, commit string) (string, error) {
	parents, err := t.git.line(ctx, "read commit "+commit, "show", "--no-patch", "--no-notes", "--format=%P", commit)
	if err != nil {
		return "", err
	}
	all := strings.Fields(parents)
	if len(all) == 0 {
		return "", nil
	}
	return all[len(all)-1], nil
}

// carry is HEAD's template with the images that the trail gave it, but for those
// that the user has set since.
func (t *Trail) carry(ctx context.Context, path string, body []byte) ([]byte, error) {
	if t.o.Images == nil || t.o.SetImage == nil {
		return body, nil
	}
	before, ok, err := read(ctx, t.git, t.tip, path)
	if err != nil || !ok {
		return body, err
	}
	tip, err := t.o.Images(before)
	if err != nil {
		return nil, &Error{Kind: Broken, Op: "read the images in " + path + " of the trail", Err: err}
	}
	head, err := t.o.Images(body)
	if err != nil {
		return nil, fmt.Errorf("read the images in %s: %w", path, err)
	}
	var was map[string]string // by the commit that the tip was made from; read when it is asked for
	for _, parameter := range slices.Sorted(maps.Keys(head)) {
		image, known := tip[parameter]
		if !known || image == head[parameter] {
			continue
		}
		if !Unbaked(head[parameter]) {
			if was == nil {
				if was, err = t.before(ctx, path); err != nil {
					return nil, err
				}
			}
			if was[parameter] != head[parameter] {
				continue // set by hand since
			}
		}
		if body, err = t.o.SetImage(body, parameter, image); err != nil {
			return nil, fmt.Errorf("write the image into %s: %w", path, err)
		}
	}
	return body, nil
}

// before are the images of a template as the user's commit had it that the tip
// was made from; none if it had no such template.
func (t *Trail) before(ctx context.Context, path string) (map[string]string, error) {
	source, err := t.source(ctx, t.tip)
	if err != nil {
		return nil, err
	}
	body, ok, err := read(ctx, t.git, source, path)
	if err != nil {
		return nil, err
	}
	images := map[string]string{}
	if ok {
		if found, err := t.o.Images(body); err == nil {
			images = found
		}
	}
	return images, nil
}

// Unbaked tells whether an image id stands for "not baked yet".
func Unbaked(image string) bool { return strings.Trim(strings.TrimPrefix(image, "ami-"), "0") == "" }

func isEvidence(path string) bool { return strings.HasPrefix(path, evidenceDir) }

// isTemplate is true of cloudformation/SITE/ENVIRONMENT.REGION.yaml.
func isTemplate(path string) bool {
	rest, ok := strings.CutPrefix(path, templateDir)
	return ok && !isEvidence(path) && strings.Count(rest, "/") == 1 && strings.HasSuffix(rest, ".yaml")
}

// Write adds one commit to the branch and pushes it. When all of the entry's
// files are as the trail has them already, it writes nothing. When the branch
// has moved, the entry is written on top of what is there now.
func (t *Trail) Write(ctx context.Context, e Entry) (Written, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write(ctx, func(context.Context) (Entry, error) { return e, nil })
}

// write lets the entry depend on the tip it is written on: compose is called once
// for each try.
func (t *Trail) write(ctx context.Context, compose func(context.Context) (Entry, error)) (Written, error) {
	const tries = 12
	first := t.tip
	var last error
	for try := range tries {
		if try > 0 {
			// Several runs at once: not all of them again at the same moment.
			if err := t.o.Clock.Sleep(ctx, time.Duration(try)*time.Duration(20+rand.IntN(80))*time.Millisecond); err != nil {
				return Written{}, err
			}
			if err := t.refresh(ctx); err != nil {
				return Written{}, err
			}
		}
		e, err := compose(ctx)
		if err != nil {
			return Written{}, err
		}
		if t.tip != first && e.Moved != nil {
			if err := e.Moved(ctx, first, t.tip); err != nil {
				return Written{}, err
			}
		}
		if same, err := t.unchanged(ctx, e); err != nil {
			return Written{}, err
		} else if same {
			return Written{Commit: t.tip}, nil
		}
		commit, err := t.commit(ctx, e)
		if err != nil {
			return Written{}, err
		}
		updates := []update{{t.branchRef(), t.tip, commit}}
		if e.Tag != "" && t.refs["refs/tags/"+e.Tag] == "" {
			tag, err := t.tag(ctx, e, commit)
			if err != nil {
				return Written{}, err
			}
			updates = append(updates, update{"refs/tags/" + e.Tag, "", tag})
		}
		if err := t.push(ctx, "push the trail to "+t.Remote(), !t.o.Private, updates...); err != nil {
			if IsKind(err, Moved) {
				last = err
				continue
			}
			return Written{}, err
		}
		t.tip = commit
		t.refs[t.branchRef()] = commit
		_ = os.WriteFile(filepath.Join(t.o.Cache, "tip"), []byte(commit+"\n"), 0o644)
		return Written{Commit: commit, New: true}, nil
	}
	return Written{}, last
}
