package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// State is a bake under way.
type State struct {
	Result Result

	last   *Record
	pins   map[string][]byte // the pin of the base image, where it is to be written
	lock   *trail.Lock
	image  *compute.Image    // made by us or by a dead run, not yet proven
	dir    string            // of the logs
	copies map[string][]byte // what the trail gets of the copies
	began  time.Time
	again  bool   // the image was good before: whatever an inspection finds, it stays
	copyOf string // "REGION AMI" of the image that this one is a copy of
	tree   string // the recipe as the commit has it
	from   string // the image that Packer starts from; "" is the base
	stage  string // packer's variable; "" is image
	tools  struct{ packer string }
}

// Bake makes sure that a good image of the role's recipe at HEAD exists and is
// the default of ImageId in the templates.
func Bake(ctx context.Context, env pipeline.Env, o Options) (Result, error) {
	var s State
	if env.Clock == nil {
		env.Clock = o.Clock
	}
	err := pipeline.Do(ctx, env, &s, Steps(o)...)
	return s.Result, err
}

// Steps is the whole bake. The state's zero value is where it starts.
func Steps(o Options) []pipeline.Step[State] {
	o = o.filled()
	found := func(s *State) string {
		if s.Result.Reused {
			return fmt.Sprintf("%s is good and of the same recipe", s.Result.Image)
		}
		return ""
	}
	made := func(s *State) string {
		if reason := found(s); reason != "" {
			return reason
		}
		if s.again {
			return s.image.ID + " is there"
		}
		if s.image != nil {
			return fmt.Sprintf("an earlier bake made %s before it was cut off", s.image.ID)
		}
		return ""
	}
	return []pipeline.Step[State]{
		step{"read the recipe", o, nil, readRecipe},
		step{"look for a good image of it", o, nil, findGood},
		step{"take the lock of the recipe", o, found, takeLock},
		step{"clear what a dead bake left", o, found, clearDead},
		step{"find the tools", o, made, findTools},
		step{"bake", o, made, runPacker},
		step{"inspect a machine started from the image", o, found, inspect},
		step{"tag the image good", o, found, tagGood},
		step{"copy the image to the other regions", o, noCopies(o), copyAll},
		step{"write the image into the templates", o, nil, writeDown},
	}
}

type step struct {
	name string
	o    Options
	skip func(*State) string
	run  func(context.Context, *pipeline.Run, Options, *State) error
}

func (s step) String() string { return s.name }

func (s step) Skip(st *State) string {
	if s.skip == nil {
		return ""
	}
	return s.skip(st)
}

func (s step) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	if st.lock != nil {
		if err := st.lock.Step(ctx, s.name); err != nil {
			return explain(ctx, s.o, st, err)
		}
	}
	return explain(ctx, s.o, st, s.run(ctx, run, s.o, st))
}

// readRecipe works out the key, without a write anywhere.
func readRecipe(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	s.began = o.Clock.Now()
	if _, err := signer(ctx, o); err != nil {
		return err // before an hour is spent on what nobody can vouch for
	}
	uncommitted, err := dirty(ctx, o.Clone)
	if err != nil {
		return err
	}
	if len(uncommitted) > 0 {
		return &report.Failure{
			Code: report.Usage, ID: "E-BAKE-02", What: "the recipe is not committed: " + some(uncommitted), State: "nothing was made",
			Next: []string{"git add -A && git commit  # an image is made from what Git has", "git stash  # puts the changes aside"},
		}
	}
	in, err := read(ctx, o)
	if err != nil {
		return err
	}
	s.Result.Recipe, s.last, s.pins = in.recipe, in.last, in.pins
	run.Fact("key", s.Result.Recipe.Key)
	run.Fact("base", s.Result.Recipe.Base)
	if changes := in.changes(); len(changes) > 0 && s.last != nil {
		run.Note("other than %s in: %s", s.last.Image, some(changes))
	}
	return nil
}

func findGood(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	if o.Force {
		run.Note("a good image would not be used: a new one is forced")
		return nil
	}
	prefer := ""
	if s.last != nil {
		prefer = s.last.Image
	}
	i, err := Find(ctx, o.Client, o.Role, s.Result.Recipe.Key, prefer)
	if err != nil || i == nil {
		return err
	}
	if o.Role != ToolsRole {
		_, ok, err := o.Trail.Read(ctx, StatementPath(i.ID))
		if err != nil {
			return err
		}
		if !ok {
			run.Note("%s is good and nothing signed says so: it is inspected again", i.ID)
			s.image, s.again = i, true
			return nil
		}
	}
	s.Result.Image, s.Result.Name, s.Result.Reused, s.Result.Made = i.ID, i.Name, true, i.Tags[TagCommit]
	run.Note("unchanged: reusing %s baked at commit %s", i.ID, i.Tags[TagCommit])
	run.Fact(o.fact(), i.ID)
	return nil
}

// fact names what was made: the tools' image is not what anybody deploys.
func (o Options) fact() string {
	if o.Role == ToolsRole {
		return "image of the tools"
	}
	return "image"
}

func takeLock(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	if o.away() {
		return o.noCopy()
	}
	l, err := await(ctx, run, o, lockName(o.Role, s.Result.Recipe.Key))
	if err != nil {
		return err
	}
	s.lock = l
	run.Defer("the lock of the recipe", l.Release)
	if l.TookOver != nil {
		run.Note("took over from a run that died: %s", l.TookOver)
	}
	// Another run may have ended between our look and the lock.
	if err := o.Trail.Refresh(ctx); err != nil {
		return err
	}
	s.image, s.again = nil, false
	if err := findGood(ctx, run, o, s); err != nil {
		return err
	}
	if s.Result.Reused {
		return nil
	}
	if err := fits(ctx, o, s.Result.Recipe.Base); err != nil {
		return err
	}
	if err := expected(o, s.Result.Recipe); err != nil {
		return err
	}
	if err := lookedUp(ctx, o, s.Result.Recipe); err != nil {
		return err
	}
	s.dir = filepath.Join(o.Target.State, "bake", s.Result.Recipe.Key[:12], o.Run)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the logs: %w", err)
	}
	s.Result.Log = s.dir
	s.tree = filepath.Join(s.dir, "tree")
	run.Defer("the copy of the recipe", func(context.Context) error { return os.RemoveAll(s.tree) })
	return o.Clone.Export(ctx, s.Result.Recipe.Commit, s.tree, RecipePaths...)
}

// expected refuses a recipe that expects nothing of its role: it proves nothing.
func expected(o Options, r Recipe) error {
	dir := "serverspec/spec/" + o.Specs + "/"
	if o.Role == ToolsRole || slices.ContainsFunc(slices.Collect(maps.Keys(r.Files)), func(path string) bool {
		return strings.HasPrefix(path, dir) && strings.HasSuffix(path, "_spec.rb")
	}) {
		return nil
	}
	return noExamples(dir)
}

// zeros is a SHA-256 in hiera that stands for "nobody has looked it up yet".
var zeros = regexp.MustCompile(`(?m)^([a-z][a-z0-9_:]*): *['"]?0{64}['"]?[ \t]*(#.*)?$`)

// lookedUp refuses a role that installs what has a known sum, and whose sum is not
// known yet, before a machine is started for it.
func lookedUp(ctx context.Context, o Options, r Recipe) error {
	file := "puppet/data/roles/" + o.Puppet + ".yaml"
	text, ok, err := o.Clone.Read(ctx, r.Commit, file)
	if err != nil || !ok {
		return err
	}
	m := zeros.FindSubmatch(text)
	if m == nil {
		return nil
	}
	key := string(m[1])
	return &report.Failure{
		Code: report.Usage, ID: "E-BAKE-17", What: key + " is not known yet: zeros stand for a sum that somebody has to look up", Where: file, State: "nothing was made",
		Next: []string{
			"fetch what " + strings.TrimSuffix(key, "checksum") + "source names, compare it with what its vendor publishes, and take its sum: sha256sum FILE",
			"write the sum to " + file + " and commit; then the same command again",
		},
	}
}

func noExamples(dir string) error {
	return &report.Failure{
		Code: report.Usage, ID: "E-BAKE-13", What: "nothing is expected of the machine: " + dir + " has no example", State: "nothing was made",
		Next: []string{"write " + dir + "NAME_spec.rb and commit"},
	}
}

// await takes the lock of a recipe, after whoever bakes it right now. Patience
// ends with a run that tells nothing new for longer than any step may take: that
// one has died elsewhere.
func await(ctx context.Context, run *pipeline.Run, o Options, name string) (*trail.Lock, error) {
	var lock *trail.Lock
	seen, since, told := "", o.Clock.Now(), false
	err := o.Target.Poll.Watch(ctx, o.Clock, func(ctx context.Context) (config.Seen, error) {
		l, err := o.Trail.Lock(ctx, name, trail.Holder{What: "bake", Run: o.Run, Step: "take the lock of the recipe"})
		var held *trail.HeldError
		if !errors.As(err, &held) {
			lock = l
			return config.Done, err
		}
		if held.ID != seen {
			seen, since = held.ID, o.Clock.Now()
		}
		if o.Clock.Now().Sub(since) > o.Target.Scale(o.Patience) {
			return config.Done, err
		}
		if !told {
			run.Note("the same recipe is being baked already: %s", held.Holder)
			told = true
		}
		run.Await("%s", held.Holder)
		return config.Same, nil
	})
	run.Await("")
	return lock, err
}

func tagGood(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	// EC2 may answer from a moment ago: the tags are set until they are seen on
	// the image and on all that it consists of.
	until := o.Clock.Now().Add(time.Minute)
	err := o.Target.Poll.Until(ctx, o.Clock, func(ctx context.Context) (bool, error) {
		i, err := o.Client.Image(ctx, s.image.ID)
		if err != nil {
			return true, err
		}
		if i == nil || len(i.Snapshots) == 0 {
			return late(o, until, s.image.ID+" and its snapshots")
		}
		ids := append([]string{i.ID}, i.Snapshots...)
		if err := o.Client.Tag(ctx, ids, with(lasting(o, s), TagExpires, Never)); err != nil {
			return true, err
		}
		seen, err := o.Client.Snapshots(ctx, compute.Tags{TagKey: s.Result.Recipe.Key, TagState: Good})
		if err != nil {
			return true, err
		}
		for _, id := range i.Snapshots {
			if !slices.ContainsFunc(seen, func(sn compute.Snapshot) bool { return sn.ID == id }) {
				return late(o, until, "the tags of "+id)
			}
		}
		if i, err = o.Client.Image(ctx, s.image.ID); err != nil {
			return true, err
		}
		if i == nil || i.Tags[TagState] != Good {
			return late(o, until, "the tags of "+s.image.ID)
		}
		s.image = i
		return true, nil
	})
	if err != nil {
		return err
	}
	s.Result.Image, s.Result.Name = s.image.ID, s.image.Name
	run.Fact(o.fact(), s.image.ID)
	return nil
}

// Summary is how a bake ended, in words: the outcome, and what a person wants to
// know then.
func (r Result) Summary(took time.Duration) (string, []report.Row) {
	rows := []report.Row{{Name: "key", Value: r.Recipe.Key}}
	if r.Reused {
		return fmt.Sprintf("unchanged: reusing %s baked at commit %s", r.Image, r.Made), rows
	}
	return "image " + r.Image, append(rows, report.Row{Name: "how", Value: "baked in " + report.Short(took)}, report.Row{Name: "logs", Value: r.Log})
}

// late goes on waiting until the time is over.
func late(o Options, until time.Time, what string) (bool, error) {
	if o.Clock.Now().Before(until) {
		return false, nil
	}
	return true, fmt.Errorf("EC2 does not show %s", what)
}

// attestation is what the trail gets of an image that nothing else changed about.
func attestation(o Options, ami string, files map[string][]byte) trail.Entry {
	return trail.Entry{
		Kind: "image", Subject: fmt.Sprintf("%s: statement about image %s", o.Role, ami), Files: files,
		Trailers: []trail.Trailer{
			{Key: "Role", Value: o.Role},
			{Key: "Region", Value: o.Target.Region},
			{Key: "Operation", Value: "attest"},
			{Key: "Image", Value: ami},
			{Key: "Commit", Value: o.Trail.Head()},
			{Key: "Run", Value: o.Run},
		},
	}
}

func writeDown(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	w, err := write(ctx, o, s)
	if err != nil {
		return err
	}
	s.Result.Written = w
	if s.lock != nil {
		// The bake may be a part of something longer, which needs no such lock.
		if err := s.lock.Release(ctx); err != nil {
			return err
		}
		s.lock = nil
	}
	if w.New {
		run.Fact("commit", w.Commit)
	} else if len(o.Places) == 0 {
		run.Note("no template names images of role %s", o.Role)
	} else {
		run.Note("%s is in the templates already", s.Result.Image)
	}
	return nil
}

// tags of what a bake makes, but for the state.
func tags(o Options, s *State, purpose string) compute.Tags {
	r := s.Result.Recipe
	t := compute.Tags{
		TagKey: r.Key, TagRole: o.Role, TagRun: o.Run, TagPurpose: purpose,
		TagExpires: o.Clock.Now().Add(Lifetime).UTC().Format(time.RFC3339),
		TagCommit:  r.Commit, TagBase: r.Base.ID, TagPuppet: r.Tools["puppet"], TagServerspec: r.Tools["serverspec"],
	}
	if s.tools.packer != "" {
		t[TagPacker] = s.tools.packer
	}
	return t
}

// explain makes the failure that a person reads.
func explain(ctx context.Context, o Options, s *State, err error) error {
	var f *report.Failure
	if err == nil || errors.As(err, &f) || ctx.Err() != nil {
		return err
	}
	f = &report.Failure{
		Code: report.BakeFailed, ID: "E-BAKE-04", What: "the image was not made", Where: o.Role + " in " + o.Target.Region,
		State: "the templates are unchanged, no image was kept", Next: []string{"the same command again"}, Err: err,
	}
	if s.dir != "" {
		f.Where += ", logs in " + s.dir
	}
	if s.image != nil {
		f.What = "the image was not judged"
		f.State = "the templates are unchanged; " + s.image.ID + " waits to be judged by the same command"
	}
	var (
		held *trail.HeldError
		git  *trail.Error
		base *NoBaseError
	)
	switch {
	case errors.As(err, &held):
		f.Code, f.ID, f.What, f.Next = report.Locked, "E-BAKE-10", "somebody else is baking it", held.Next()
	case errors.As(err, &base):
		f.Code, f.ID, f.What, f.Next = report.Usage, "E-BAKE-05", "there is no base image", base.Next()
	case errors.As(err, &git):
		f.ID, f.What, f.Next = "E-GIT-04", "Git", git.Next
		switch git.Kind {
		case trail.NotClone, trail.NoCommits, trail.NoRemote, trail.NoGit:
			f.Code = report.Usage
		case trail.Denied, trail.HookRefused, trail.Rejected:
			f.Code = report.Guard
		}
		if s.Result.Image != "" && !s.Result.Reused {
			f.State = "image " + s.Result.Image + " is good and kept; the templates are unchanged"
		}
	case denied(err):
		f.Code, f.ID, f.What = report.Guard, "E-BAKE-03", "AWS does not allow it"
		f.Next = []string{"aws sts get-caller-identity  # who AWS thinks you are"}
	case strings.Contains(err.Error(), "no space left on device"):
		f.ID, f.What, f.Next = "E-BAKE-07", "the disk is full", []string{"df -h " + o.Target.State + "  # make room; then the same command again"}
	}
	return f
}

func denied(err error) bool {
	switch compute.Code(err) {
	case "UnauthorizedOperation", "AuthFailure", "AccessDenied", "ExpiredToken", "RequestExpired", "InvalidClientTokenId", "OptInRequired":
		return true
	}
	return false
}

// some are the first of a list, in words.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
