package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Holder is who holds a lock.
type Holder struct {
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Machine string    `json:"machine"` // tells machines of one name apart
	PID     int       `json:"pid"`
	Born    string    `json:"born"` // tells processes of one number apart
	Since   time.Time `json:"since"`
	Updated time.Time `json:"updated"`
	Run     string    `json:"run"`  // the run's id
	What    string    `json:"what"` // "release", "bake"
	Step    string    `json:"step"`
	Commit  string    `json:"commit"` // the user's commit
	Command string    `json:"command,omitempty"`
}

// String is one line for people.
func (h Holder) String() string {
	s := fmt.Sprintf("%s on %s (process %d) since %s", h.User, h.Host, h.PID, h.Since.UTC().Format("2006-01-02 15:04:05 MST"))
	if h.What != "" {
		s = h.What + " by " + s
	}
	if h.Step != "" {
		s += fmt.Sprintf(", at %q", h.Step)
		if h.Updated.After(h.Since) {
			s += " since " + h.Updated.UTC().Format("15:04:05")
		}
	}
	return s
}

// HeldError says that somebody else is at it.
type HeldError struct {
	Name   string
	Holder Holder
	ID     string // of the lock as it was seen: what Break wants
	Remote string // where it is, for people
}

// Error names the holder.
func (e *HeldError) Error() string { return fmt.Sprintf("%s is locked: %s", e.Name, e.Holder) }

// Stale is how old a holder's last sign of life is when its run may be taken
// for dead: five beats were missed.
const Stale = 5 * beat

const beat = time.Minute

// Next is what a person can do about it.
func (e *HeldError) Next() []string {
	by := "lock:break " + e.Holder.Run
	if e.Holder.Run == "" {
		by = "lock:break " + short(e.ID)
	}
	return []string{
		"wait for it to end; then the same command again",
		"./station.sh " + by + "  # only when that run is dead for sure: it beats every minute",
	}
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// Lock is one that this process holds.
type Lock struct {
	trail  *Trail
	name   string
	id     string
	holder Holder
	rest   func() // ends the beats

	// TookOver is the dead run whose lock this was, nil if it was free.
	TookOver *Holder
}

// Lock takes the lock of a name, SITE/ENVIRONMENT for instance. What, Run and
// Step of h are the caller's; the rest is filled in. When another run holds it,
// the error is a *HeldError, unless that run is a process of this machine that
// has died: its lock is taken over, and TookOver tells it. The lock gives a sign
// of life every minute until it is given back.
func (t *Trail) Lock(ctx context.Context, name string, h Holder) (*Lock, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Clock.Now().UTC().Truncate(time.Second)
	h = t.me(ctx, h)
	h.Since, h.Updated, h.Commit = now, now, t.head
	l := &Lock{trail: t, name: name, holder: h}
	ref := lockRefs + name
	op := "take the lock " + name
	old := ""
	for range 5 {
		id, err := t.lockCommit(ctx, name, h)
		if err != nil {
			return nil, err
		}
		err = t.push(ctx, op, false, update{ref, old, id})
		if err == nil {
			l.id = id
			l.beats(ctx)
			return l, nil
		}
		if !IsKind(err, Moved) {
			return nil, err
		}
		found, foundID, err := t.holder(ctx, name)
		if err != nil {
			return nil, err
		}
		old, l.TookOver = foundID, nil
		if found == nil {
			continue
		}
		if !t.dead(ctx, *found) {
			return nil, &HeldError{Name: name, Holder: *found, ID: foundID, Remote: withoutPassword(t.o.Remote)}
		}
		l.TookOver = found
	}
	return nil, &Error{Kind: Moved, Op: op, Text: "it changes hands all the time", Next: nextOf[Moved]}
}

// me is this process as a holder.
func (t *Trail) me(ctx context.Context, h Holder) Holder {
	if h.User == "" {
		h.User = t.who.String()
	}
	if h.Host == "" {
		h.Host, _ = os.Hostname()
	}
	if h.PID == 0 {
		h.PID = os.Getpid()
		h.Born = born(ctx, t.git, h.PID)
	}
	if h.Machine == "" {
		h.Machine = machine()
	}
	return h
}

// dead tells whether a holder is known to be gone: a process of this very
// machine that does not run any more.
func (t *Trail) dead(ctx context.Context, h Holder) bool {
	if h.Machine != machine() || h.PID <= 0 {
		return false
	}
	now := born(ctx, t.git, h.PID)
	return now == "" || h.Born != "" && now != h.Born
}

// lockCommit is what the lock's ref names. It is a commit, since some servers
// take nothing else, without a file.
func (t *Trail) lockCommit(ctx context.Context, name string, h Holder) (string, error) {
	op := "write the lock " + name
	empty, err := t.git.write(ctx, op, "", "mktree")
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	text := fmt.Sprintf("lock %s\n\n%s\n\n%s\n", name, h, b)
	out, err := t.signed().run(ctx, op, strings.NewReader(text), "commit-tree", empty)
	return strings.TrimSpace(out), err
}

// Holder is who holds the lock of a name, and the lock's id; nil when it is free.
func (t *Trail) Holder(ctx context.Context, name string) (*Holder, string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holder(ctx, name)
}

func (t *Trail) holder(ctx context.Context, name string) (*Holder, string, error) {
	ref := lockRefs + name
	for range 3 {
		if err := t.readRefs(ctx); err != nil {
			return nil, "", err
		}
		id := t.refs[ref]
		if id == "" {
			return nil, "", nil
		}
		if err := t.fetch(ctx, ref, id); err != nil {
			var e *Error
			if errors.As(err, &e) && e.Kind != Denied {
				continue // it was given back while we read it
			}
			return nil, "", err
		}
		text, err := t.git.run(ctx, "read the lock "+name, nil, "show", "--no-patch", "--no-notes", "--format=%B", id)
		if err != nil {
			return nil, "", err
		}
		h := Holder{User: "unknown", Host: "unknown"}
		if i := strings.Index(text, "\n{"); i >= 0 {
			// What cannot be read is held all the same.
			_ = json.Unmarshal([]byte(text[i:]), &h)
		}
		return &h, id, nil
	}
	return nil, "", &Error{Kind: Moved, Op: "read the lock " + name, Text: "it changes all the time", Next: nextOf[Moved]}
}

// Locks are the names of all locks that are held, each with its id.
func (t *Trail) Locks(ctx context.Context) (map[string]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.readRefs(ctx); err != nil {
		return nil, err
	}
	locks := map[string]string{}
	for ref, id := range t.refs {
		if name, ok := strings.CutPrefix(ref, lockRefs); ok {
			locks[name] = id
		}
	}
	return locks, nil
}

// Living are the locks of Locks but for those whose holder is known to be dead, a
// process of this machine that does not run any more: the next run takes them
// over.
func (t *Trail) Living(ctx context.Context) (map[string]string, error) {
	locks, err := t.Locks(ctx)
	if err != nil {
		return nil, err
	}
	for name := range locks {
		h, _, err := t.Holder(ctx, name)
		if err != nil {
			return nil, err
		}
		if h == nil || t.dead(ctx, *h) {
			delete(locks, name)
		}
	}
	return locks, nil
}

// AliveError is a lock that is not broken, since its holder lives.
type AliveError struct {
	Name   string
	Holder Holder
	Age    time.Duration // of the last sign of life
}

// Error names the holder.
func (e *AliveError) Error() string {
	return fmt.Sprintf("%s is held by a run that was alive %s ago: %s", e.Name, e.Age.Round(time.Second), e.Holder)
}

// Break removes the locks that a run holds, named by the run's id or, where that
// cannot be read, by the lock's own (seven letters at least), and tells what it
// broke. A holder that gave a sign of life within Stale keeps its lock: the
// error is an *AliveError. One that was taken since it was looked at stays, too.
func (t *Trail) Break(ctx context.Context, run string) (map[string]Holder, error) {
	broken := map[string]Holder{}
	locks, err := t.Locks(ctx)
	if err != nil {
		return nil, err
	}
	for name := range locks {
		h, id, err := t.Holder(ctx, name)
		if err != nil {
			return broken, err
		}
		if h == nil || h.Run != run && (len(run) < 7 || !strings.HasPrefix(id, run)) {
			continue
		}
		if age := t.o.Clock.Now().Sub(h.Updated); age < Stale {
			return broken, &AliveError{Name: name, Holder: *h, Age: age}
		}
		if err := t.remove(ctx, name, id); err != nil {
			return broken, err
		}
		broken[name] = *h
	}
	if len(broken) == 0 {
		return nil, &Error{Kind: LockLost, Op: "break the lock of run " + run, Text: "no such run holds one"}
	}
	return broken, nil
}

func (t *Trail) remove(ctx context.Context, name, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.push(ctx, "break the lock "+name, false, update{lockRefs + name, id, ""})
}

// beats gives a sign of life every minute, until the lock is given back. That the
// lock was broken is noticed by the next Step.
func (l *Lock) beats(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	l.rest = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		for l.trail.o.Clock.Sleep(ctx, beat) == nil {
			// A remote that does not answer now may do so in a minute. A beat that was
			// cut off could have reached it, and then we would not know our own lock.
			_ = l.write(context.WithoutCancel(ctx), nil)
		}
	}()
}

// Held is the holder as it was last written down.
func (l *Lock) Held() Holder {
	l.trail.mu.Lock()
	defer l.trail.mu.Unlock()
	return l.holder
}

// Step tells the others what this run is at. An Error of kind LockLost says
// that somebody broke the lock: the run MUST stop before its next effect.
func (l *Lock) Step(ctx context.Context, step string) error { return l.write(ctx, &step) }

// write writes the holder down anew, at the same step with nil.
func (l *Lock) write(ctx context.Context, step *string) error {
	l.trail.mu.Lock()
	defer l.trail.mu.Unlock()
	h := l.holder
	h.Updated = l.trail.o.Clock.Now().UTC().Truncate(time.Second)
	if step != nil {
		h.Step = *step
	}
	id, err := l.trail.lockCommit(ctx, l.name, h)
	if err != nil || id == l.id {
		return err
	}
	op := "keep the lock " + l.name
	if err := l.trail.push(ctx, op, false, update{lockRefs + l.name, l.id, id}); err != nil {
		if IsKind(err, Moved) {
			return &Error{Kind: LockLost, Op: op, Text: "somebody broke it", Err: err, Next: nextOf[LockLost]}
		}
		return err
	}
	l.id, l.holder = id, h
	return nil
}

// Release gives the lock back. One that was broken meanwhile is no error.
func (l *Lock) Release(ctx context.Context) error {
	l.rest()
	l.trail.mu.Lock()
	defer l.trail.mu.Unlock()
	err := l.trail.push(ctx, "give back the lock "+l.name, false, update{lockRefs + l.name, l.id, ""})
	if IsKind(err, Moved) {
		return nil
	}
	return err
}
