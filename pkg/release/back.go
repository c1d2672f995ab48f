package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// runID names a run: unique, short, and fit for names of change sets.
func runID() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// target finds what to go back to, and makes it the candidate.
func (s *State) target(ctx context.Context) error {
	d, n, err := s.backTo(ctx)
	if err != nil {
		return err
	}
	to, err := s.deployed(ctx, d)
	if err != nil {
		return &report.Failure{
			Code: report.Policy, ID: "E-BACK-05", What: fmt.Sprintf("release %d cannot be run again", n), State: "nothing was changed",
			Next: []string{"./station.sh history", "./station.sh rollback -to=N  # to another one"}, Err: err,
		}
	}
	s.backFrom = n
	to.Parameters = s.withCapacity(to.Parameters)
	s.Rehearsal.Candidate, s.Image, s.Key = to, to.Image, to.Key
	return nil
}

// backTo is the deployment to go back to and the release it comes from: by its
// number, or else what ran before the last release that changed production.
func (s *State) backTo(ctx context.Context) (trail.Deployment, int, error) {
	list, err := s.Trail.History(ctx, s.Place, 0)
	if err != nil {
		return trail.Deployment{}, 0, err
	}
	for _, r := range list {
		landed := r.Outcome != nil && (r.Landed() || r.Outcome.Result == trail.Failed && r.Outcome.Status == "UPDATE_COMPLETE")
		switch {
		case s.Back > 0 && r.Number == s.Back && landed:
			return r.Candidate, r.Number, nil
		case s.Back < 0 && landed && r.Baseline.Template != "" && (s.Live == nil || r.Candidate.Image == s.Live.Image() || r.Candidate.Digest == s.Live.Digest(undigested)):
			return r.Baseline, r.Number, nil
		}
	}
	f := &report.Failure{Code: report.Usage, ID: "E-BACK-02", What: "there is nothing to go back to", State: "nothing was changed", Next: []string{"./station.sh history"}}
	if s.Back > 0 {
		f.What = fmt.Sprintf("there is no release %d that ran", s.Back)
	}
	return trail.Deployment{}, 0, f
}
