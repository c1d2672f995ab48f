package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// PendingError says that a release ended but could not be written to the trail.
type PendingError struct {
	Release Release
	Err     error
}

// Error names the release and the cause.
func (e *PendingError) Error() string {
	return fmt.Sprintf("release %d of %s is %s, its trail is pending: %v", e.Release.Number, e.Release.Place, e.Release.Outcome.Result, e.Err)
}

// Unwrap is why it could not be written.
func (e *PendingError) Unwrap() error { return e.Err }

func (t *Trail) pendingDir() string { return filepath.Join(t.o.Cache, "pending") }

// keep notes an outcome for the next run. It is a help, not a need: without
// it, the intent on the remote still has no outcome, and whoever goes on with
// it finds how it ended.
func (t *Trail) keep(r Release) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the outcome: %w", err)
	}
	if err := os.MkdirAll(t.pendingDir(), 0o755); err != nil {
		return fmt.Errorf("keep the outcome: %w", err)
	}
	name := fmt.Sprintf("%s-%d.json", strings.ReplaceAll(r.Place.String(), "/", "-"), r.Number)
	if err := renameio.WriteFile(filepath.Join(t.pendingDir(), name), b, 0o644); err != nil {
		return fmt.Errorf("keep the outcome: %w", err)
	}
	return nil
}

// Pending are the outcomes in a cache (see Options) that wait to be pushed.
// The remote is not asked.
func Pending(cache string) ([]Release, error) {
	files, err := filepath.Glob(filepath.Join(cache, "pending", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for pending outcomes: %w", err)
	}
	slices.Sort(files)
	var list []Release
	for _, f := range files {
		r, err := pendingFile(f)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func pendingFile(path string) (Release, error) {
	var r Release
	b, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("read a pending outcome: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read a pending outcome: %s: %w", path, err)
	}
	return r, nil
}

// Flush pushes the outcomes that wait, and tells which. One that another
// machine has written down meanwhile is dropped.
func (t *Trail) Flush(ctx context.Context) ([]Release, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(t.pendingDir(), "*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for pending outcomes: %w", err)
	}
	slices.Sort(files)
	var done []Release
	for _, f := range files {
		r, err := pendingFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // another run was faster
		}
		if err != nil {
			return done, err
		}
		if r.Outcome == nil {
			return done, &Error{Kind: Broken, Op: "read " + f, Text: "it has no outcome"}
		}
		written, err := t.outcome(ctx, r)
		if err != nil && !errors.Is(err, errSuperseded) {
			return done, err
		}
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return done, fmt.Errorf("forget a pending outcome: %w", err)
		}
		if err == nil {
			done = append(done, written)
		}
	}
	return done, nil
}
