package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// Evidence is the committed record of a rehearsal: that the candidate was
// rehearsed on the baseline, and what came of it.
type Evidence struct {
	Schema    int             `json:"schema"` // 1
	Baseline  string          `json:"baseline"`
	Candidate string          `json:"candidate"`
	Passed    bool            `json:"passed"`
	Image     string          `json:"image"`
	Record    json.RawMessage `json:"record"` // the rehearsal's own
	Commit    string          `json:"-"`      // of the trail, when read back
}

// WriteEvidence writes down what a rehearsal for a place has shown.
func (t *Trail) WriteEvidence(ctx context.Context, p Place, e Evidence) (Written, error) {
	e.Schema = 1
	if len(e.Record) == 0 {
		e.Record = json.RawMessage("null")
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return Written{}, fmt.Errorf("write down the evidence for %s: %w", p, err)
	}
	result := "failed"
	if e.Passed {
		result = "passed"
	}
	return t.Write(ctx, Entry{
		Kind:    "evidence",
		Subject: fmt.Sprintf("%s: rehearsal %s: %s", p.LockName(), result, e.Image),
		Trailers: []Trailer{
			{"Site", p.Site},
			{"Environment", p.Environment},
			{"Region", p.Region},
			{"Operation", "test"},
			{"Outcome", result},
			{"Image", e.Image},
			{"Baseline", e.Baseline},
			{"Candidate", e.Candidate},
			{"Commit", t.head},
		},
		Files: map[string][]byte{p.Evidence(): append(b, '\n')},
	})
}

// Evidence is the newest evidence for exactly this baseline and candidate, nil
// if there is none.
func (t *Trail) Evidence(ctx context.Context, p Place, baseline, candidate string) (*Evidence, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tip == "" {
		return nil, nil
	}
	var found *Evidence
	err := t.walk(ctx, p.Evidence(), func(commit string) (bool, error) {
		b, ok, err := read(ctx, t.git, commit, p.Evidence())
		if err != nil || !ok || !bytes.Contains(b, []byte(candidate)) {
			return false, err
		}
		var e Evidence
		if err := json.Unmarshal(b, &e); err != nil || e.Schema != 1 {
			// Not ours to understand, so it proves nothing.
			return false, nil //nolint:nilerr // an unreadable proof is no proof
		}
		if e.Baseline == baseline && e.Candidate == candidate {
			e.Commit = commit
			found = &e
		}
		return found != nil, nil
	})
	return found, err
}
