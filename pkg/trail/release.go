package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Deployment is one side of a release: what a stack runs or is to run.
type Deployment struct {
	Digest     string            `json:"digest"` // of template, parameters, image and tags
	Image      string            `json:"image"`
	Template   string            `json:"template,omitempty"` // the body
	Parameters map[string]string `json:"parameters,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// Release is the record of one number, from intent to outcome. Any machine can
// go on with one that has no outcome.
type Release struct {
	Schema    int               `json:"schema"` // 1
	Number    int               `json:"number"`
	Place     Place             `json:"place"`
	Account   string            `json:"account,omitempty"`
	Operation string            `json:"operation"` // "create", "update", "rollback", …
	Stack     string            `json:"stack"`
	StackID   string            `json:"stackId,omitempty"`
	ChangeSet string            `json:"changeSet,omitempty"` // ARN
	Commit    string            `json:"commit"`              // the user's
	Evidence  string            `json:"evidence,omitempty"`  // digest, or why there is none
	Baseline  Deployment        `json:"baseline"`
	Candidate Deployment        `json:"candidate"`
	Run       string            `json:"run"` // id of the run that meant it
	By        string            `json:"by"`
	Intended  time.Time         `json:"intended"`
	Details   map[string]string `json:"details,omitempty"`
	Outcome   *Outcome          `json:"outcome"` // null while it is under way
}

// Outcome is how a release ended.
type Outcome struct {
	Result  string            `json:"result"` // "released", "rolled-back", "failed", "abandoned"
	Status  string            `json:"status,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Ended   time.Time         `json:"ended"`
	By      string            `json:"by"`
	Commit  string            `json:"-"` // of the trail, when read back
	Details map[string]string `json:"details,omitempty"`
}

// The results of releases.
const (
	Released   = "released"
	RolledBack = "rolled-back"
	Failed     = "failed"
	Abandoned  = "abandoned" // meant, but never begun
	// Recovered is production that was brought up again after its loss, unrehearsed.
	Recovered = "recovered-unrehearsed"
)

// Recovery is the operation of a release that brings up again what was lost.
const Recovery = "recover"

// Landed says whether production was what the release meant when it ended.
func (r Release) Landed() bool {
	return r.Outcome != nil && (r.Outcome.Result == Released || r.Outcome.Result == Recovered)
}

// OpenError says that another release of the place has no outcome yet.
type OpenError struct{ Release Release }

// Error names the release.
func (e *OpenError) Error() string {
	r := e.Release
	return fmt.Sprintf("release %d of %s, meant %s by %s, has no outcome yet", r.Number, r.Place, r.Intended.UTC().Format(time.RFC3339), r.By)
}

// Last is the newest release of a place, nil before the first. One without an
// outcome is the one to go on with.
func (t *Trail) Last(ctx context.Context, p Place) (*Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last(ctx, p)
}

func (t *Trail) last(ctx context.Context, p Place) (*Release, error) {
	if t.tip == "" {
		return nil, nil
	}
	return t.releaseAt(ctx, t.tip, p.Record())
}

// Open is the release of a place that has no outcome, nil if there is none.
func (t *Trail) Open(ctx context.Context, p Place) (*Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open(ctx, p)
}

func (t *Trail) open(ctx context.Context, p Place) (*Release, error) {
	r, err := t.last(ctx, p)
	if err != nil || r == nil || r.Outcome != nil {
		return nil, err
	}
	return r, nil
}

func (t *Trail) releaseAt(ctx context.Context, commit, path string) (*Release, error) {
	b, ok, err := read(ctx, t.git, commit, path)
	if err != nil || !ok {
		return nil, err
	}
	var r Release
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &Error{Kind: Broken, Op: "read " + path + " in " + short(commit), Err: err}
	}
	if r.Schema != 1 {
		return nil, &Error{Kind: Broken, Op: "read " + path + " in " + short(commit), Text: fmt.Sprintf("schema %d is newer than this program", r.Schema), Next: []string{"git pull  # get the program that wrote it"}}
	}
	if r.Outcome != nil {
		r.Outcome.Commit = commit
	}
	return &r, nil
}

// NextNumber is the number that the next intent will claim: one more than the
// highest of all records and tags of the environment, in any region.
func (t *Trail) NextNumber(ctx context.Context, p Place) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nextNumber(ctx, p)
}

func (t *Trail) nextNumber(ctx context.Context, p Place) (int, error) {
	highest := p.tagged(t.refs)
	if t.tip != "" {
		files, err := tree(ctx, t.git, t.tip, []string{evidenceDir + p.Site})
		if err != nil {
			return 0, err
		}
		for _, f := range files {
			name, ok := strings.CutPrefix(f.Path, evidenceDir+p.Site+"/"+p.Environment+".")
			if !ok || !strings.HasSuffix(name, ".release.json") {
				continue
			}
			r, err := t.releaseAt(ctx, t.tip, f.Path)
			if err != nil {
				return 0, err
			}
			if r != nil && r.Place.Environment == p.Environment {
				highest = max(highest, r.Number)
			}
		}
	}
	return highest + 1, nil
}

// Intent claims the next number for r and pushes the record before anything is
// done. It fills in Number, Commit (if empty), By and Intended. While another
// release of the place has no outcome, the error is an *OpenError. moved (or
// nil) is asked when the branch moved since the trail was last read, as in
// Entry; an intent of the same run that is there already is taken as it is.
func (t *Trail) Intent(ctx context.Context, r Release, moved func(ctx context.Context, from, to string) error) (Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Schema, r.Outcome = 1, nil
	r.By, r.Intended = t.who.String(), t.o.Clock.Now().UTC().Truncate(time.Second)
	if r.Commit == "" {
		r.Commit = t.head
	}
	wanted := r.Number
	var there *Release
	_, err := t.write(ctx, func(ctx context.Context) (Entry, error) {
		open, err := t.open(ctx, r.Place)
		if err != nil {
			return Entry{}, err
		}
		if open != nil {
			if r.Run != "" && open.Run == r.Run {
				there = open
				return Entry{}, errThere
			}
			return Entry{}, &OpenError{*open}
		}
		if r.Number, err = t.nextNumber(ctx, r.Place); err != nil {
			return Entry{}, err
		}
		if wanted != 0 && wanted != r.Number {
			return Entry{}, &Error{Kind: Moved, Op: fmt.Sprintf("claim release %d of %s", wanted, r.Place), Text: "another run claimed the number", Next: nextOf[Moved]}
		}
		return r.entry(moved)
	})
	if errors.Is(err, errThere) {
		return *there, nil
	}
	return r, err
}

var (
	errThere      = errors.New("it is written down already")
	errSuperseded = errors.New("a later release took its place")
)

// Amend writes more into the record of a release that has no outcome yet: a
// change set's ARN, say.
func (t *Trail) Amend(ctx context.Context, r Release) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.write(ctx, func(ctx context.Context) (Entry, error) {
		if err := t.mine(ctx, r); err != nil {
			return Entry{}, err
		}
		return r.entry(nil)
	})
	return err
}

// mine checks that r is the place's newest release and has no outcome.
func (t *Trail) mine(ctx context.Context, r Release) error {
	last, err := t.last(ctx, r.Place)
	if err != nil {
		return err
	}
	if last == nil || last.Number != r.Number || last.Run != r.Run {
		return &Error{Kind: Moved, Op: fmt.Sprintf("write down release %d of %s", r.Number, r.Place), Text: "it is not the newest any more", Err: errSuperseded, Next: nextOf[Moved]}
	}
	if last.Outcome != nil {
		return errThere
	}
	return nil
}

// Outcome ends a release: a commit and an annotated tag, pushed together. Said
// twice, the first word counts. If the push fails, the record waits in this
// clone's cache for Flush, and the error is a *PendingError.
func (t *Trail) Outcome(ctx context.Context, r Release, o Outcome) (Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.Ended.IsZero() {
		o.Ended = t.o.Clock.Now().UTC().Truncate(time.Second)
	}
	if o.By == "" {
		o.By = t.who.String()
	}
	r.Outcome = &o
	done, err := t.outcome(ctx, r)
	if err != nil && !errors.Is(err, errSuperseded) {
		if keepErr := t.keep(r); keepErr != nil {
			return r, errors.Join(err, keepErr)
		}
		return r, &PendingError{Release: r, Err: err}
	}
	return done, err
}

func (t *Trail) outcome(ctx context.Context, r Release) (Release, error) {
	w, err := t.write(ctx, func(ctx context.Context) (Entry, error) {
		if err := t.mine(ctx, r); err != nil {
			return Entry{}, err
		}
		e, err := r.entry(nil)
		e.Tag = r.Place.Tag(r.Number)
		return e, err
	})
	if errors.Is(err, errThere) {
		last, err := t.last(ctx, r.Place)
		if err != nil {
			return r, err
		}
		return *last, t.retag(ctx, *last)
	}
	if err == nil {
		r.Outcome.Commit = w.Commit
	}
	return r, err
}

// retag makes the tag of an outcome that was written down without it.
func (t *Trail) retag(ctx context.Context, r Release) error {
	name := r.Place.Tag(r.Number)
	if t.refs["refs/tags/"+name] != "" {
		return nil
	}
	e, err := r.entry(nil)
	if err != nil {
		return err
	}
	e.Tag = name
	tag, err := t.tag(ctx, e, t.tip)
	if err != nil {
		return err
	}
	return t.push(ctx, "push the tag "+name, !t.o.Private, update{"refs/tags/" + name, "", tag})
}

// entry is the record as a commit.
func (r Release) entry(moved func(ctx context.Context, from, to string) error) (Entry, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return Entry{}, fmt.Errorf("write down release %d of %s: %w", r.Number, r.Place, err)
	}
	e := Entry{Kind: "intent", Files: map[string][]byte{r.Place.Record(): append(b, '\n')}, Moved: moved}
	e.Subject = fmt.Sprintf("%s: %s as release %d: %s", r.Place.LockName(), r.Operation, r.Number, r.Candidate.Image)
	e.Trailers = []Trailer{
		{"Release", strconv.Itoa(r.Number)},
		{"Site", r.Place.Site},
		{"Environment", r.Place.Environment},
		{"Region", r.Place.Region},
		{"Operation", r.Operation},
	}
	if o := r.Outcome; o != nil {
		e.Kind = "outcome"
		e.Subject = fmt.Sprintf("%s: release %d %s: %s", r.Place.LockName(), r.Number, o.Result, r.Candidate.Image)
		e.Body = o.Reason
		e.Trailers = append(e.Trailers, Trailer{"Outcome", o.Result}, Trailer{"Status", o.Status})
	}
	e.Trailers = append(e.Trailers,
		Trailer{"Image", r.Candidate.Image},
		Trailer{"Baseline-Image", r.Baseline.Image},
		Trailer{"Evidence", r.Evidence},
		Trailer{"Change-Set", r.ChangeSet},
		Trailer{"Commit", r.Commit},
		Trailer{"Run", r.Run},
	)
	return e, nil
}

// History is the releases of a place, the newest first, one without an outcome
// included; at most limit if it is above zero. It is read from Git alone.
func (t *Trail) History(ctx context.Context, p Place, limit int) ([]Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tip == "" {
		return nil, nil
	}
	var list []Release
	err := t.walk(ctx, p.Record(), func(commit string) (bool, error) {
		r, err := t.releaseAt(ctx, commit, p.Record())
		if err != nil || r == nil {
			return false, err
		}
		// Of one number the newest commit tells most.
		if !slices.ContainsFunc(list, func(o Release) bool { return o.Number == r.Number }) {
			list = append(list, *r)
		}
		return limit > 0 && len(list) >= limit, nil
	})
	return list, err
}

// Find is release n of a place, nil if there is none.
func (t *Trail) Find(ctx context.Context, p Place, n int) (*Release, error) {
	all, err := t.History(ctx, p, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Number == n {
			return &r, nil
		}
	}
	return nil, nil
}

// walk calls fn with each commit of the trail that changed path, the newest
// first, until it says that it has enough.
func (t *Trail) walk(ctx context.Context, path string, fn func(commit string) (enough bool, err error)) error {
	out, err := t.git.run(ctx, "read the trail's history", nil, "--literal-pathspecs", "rev-list", "--first-parent", t.tip, "--", path)
	if err != nil {
		return err
	}
	for _, commit := range strings.Fields(out) {
		enough, err := fn(commit)
		if err != nil || enough {
			return err
		}
	}
	return nil
}
