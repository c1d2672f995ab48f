package release

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// stands refuses to go on with a stack that only a person can judge, before
// anything is baked or rehearsed. What a run can lead out by itself passes: an
// operation under way, a failed update or rollback, a stack of ours that never
// came into being.
func (s *State) stands(ctx context.Context, now stack.Summary) error {
	name := s.Environment.Stack()
	is := "the stack " + name + " is " + now.Status
	events := "aws cloudformation describe-stack-events --stack-name " + name + "  # tells what became of each resource"
	switch m := stack.MoveFor(now.Status, false, true); {
	case now.Status == "REVIEW_IN_PROGRESS":
		return s.proposedByUs(ctx)
	case now.Status == "DELETE_IN_PROGRESS":
		return human(is+": somebody deletes it", "aws cloudformation wait stack-delete-complete --stack-name "+now.ID, "./station.sh dr:recover  # brings it up again, with its data")
	case now.Status == "DELETE_FAILED":
		return human(is+": somebody wanted to delete it, and that stopped half-way", events,
			"aws cloudformation delete-stack --stack-name "+name+" --retain-resources …  # ends it without what could not be deleted, if that is what is wanted",
			"./station.sh dr:recover  # then brings it up again, with its data")
	case m == stack.Refuse:
		return human(is, events, "./station.sh status")
	case m != stack.Recreate:
		return nil
	}
	completed, err := s.Stack().Completed(ctx)
	switch {
	case err != nil:
		return err
	case completed:
		return human(is+" and was complete before: it is never deleted", events, "./station.sh status")
	}
	for k, v := range Tags(s.Place.Site, s.Place.Environment) {
		if now.Tags[k] != v {
			return human(fmt.Sprintf("%s and not ours: it has no tag %s=%s", is, k, v), "ask who made it", "aws cloudformation delete-stack --stack-name "+name+"  # if nobody wants it")
		}
	}
	return nil
}

// ourProposal are the names of our change sets, as operation makes them.
var ourProposal = regexp.MustCompile(`^release-\d+(-capacity)?$`)

// proposedByUs refuses a stack that is nothing yet but somebody else's proposal.
func (s *State) proposedByUs(ctx context.Context) error {
	list, err := s.Stack().Proposals(ctx)
	if errors.Is(err, stack.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range list {
		if !ourProposal.MatchString(p) {
			name := s.Environment.Stack()
			return human(fmt.Sprintf("the stack %s is REVIEW_IN_PROGRESS: somebody else is about to make it, by the change set %s", name, p),
				"ask who made it", "aws cloudformation delete-stack --stack-name "+name+"  # if nobody wants it; there is nothing in it")
		}
	}
	return nil
}

// human is a failure that only a person can go on from.
func human(what string, next ...string) error {
	if len(next) == 0 {
		next = []string{"./station.sh status", "look at the stack's events in the CloudFormation console"}
	}
	return &report.Failure{Code: report.NeedsHuman, ID: "E-REL-11", What: what, State: "nothing was changed by this run", Next: next}
}

// stuck is the failure of a rollback that could not be led out. Nothing is ever
// skipped by itself: that would leave drift behind, and nobody who knows.
func (s *State) stuck(err error) error {
	name := s.Environment.Stack()
	which := "…"
	var e *stack.StuckError
	if errors.As(err, &e) && len(e.Resources) > 0 {
		which = strings.Join(e.Resources, " ")
	}
	return &report.Failure{
		Code: report.NeedsHuman, ID: "E-REL-11", What: "production is stuck in a failed rollback", Where: "stack " + name, State: "UPDATE_ROLLBACK_FAILED",
		Next: []string{
			"repair what the reason names, then the same command again  # it continues the rollback",
			"aws cloudformation continue-update-rollback --stack-name " + name + " --resources-to-skip " + which + "  # last resort: it leaves drift",
		}, Err: err,
	}
}
