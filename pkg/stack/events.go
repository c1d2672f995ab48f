package stack

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

// An Event of a stack, as CloudFormation tells it.
type Event struct {
	ID       string    `json:"id"`
	StackID  string    `json:"stack"`
	Time     time.Time `json:"time"`
	Logical  string    `json:"logical"`
	Physical string    `json:"physical"`
	Type     string    `json:"type"`
	Status   string    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
	Token    string    `json:"token,omitempty"`
}

// Own says whether it is the stack's own event, not one of a resource.
func (e Event) Own() bool { return e.Type == typeStack && e.Physical == e.StackID }

// String is the event in one line, as people read it.
func (e Event) String() string {
	s := e.Logical + " " + e.Status
	if e.Reason != "" {
		s += "  " + strings.TrimSpace(e.Reason)
	}
	return s
}

// Started finds the first event of the operation with that token.
func (s *Stack) Started(ctx context.Context, token string) (Event, bool, error) {
	var found Event
	ok := false
	err := s.retry(ctx, "read the events of "+s.Name, func(ctx context.Context) error {
		found, ok = Event{}, false
		_, err := s.events(ctx, s.Name, func(e Event) bool {
			if begins(e, token) {
				found, ok = e, true
			}
			return ok
		})
		if absent(err) {
			return nil
		}
		return err
	})
	return found, ok, err
}

// Running finds the operation that changed the stack last: its token, and
// whether it is still under way. It is how a run finds what a killed one left. What
// somebody began by hand may have none: "" is its token then, for Follow, too.
func (s *Stack) Running(ctx context.Context) (token string, running bool, err error) {
	d, err := s.describe(ctx, s.Name)
	if err != nil {
		return "", false, err
	}
	err = s.retry(ctx, "read the events of "+s.Name, func(ctx context.Context) error {
		token = ""
		_, err := s.events(ctx, aws.ToString(d.StackId), func(e Event) bool {
			found := begins(e, e.Token)
			if found {
				token = e.Token
			}
			return found
		})
		return err
	})
	return token, !Ended(string(d.StackStatus)) && d.StackStatus != "REVIEW_IN_PROGRESS", err
}

// begins says whether e opens the operation with that token.
func begins(e Event, token string) bool {
	return e.Own() && e.Token == token && e.Status != "REVIEW_IN_PROGRESS" && strings.HasSuffix(e.Status, "_IN_PROGRESS") &&
		!strings.Contains(e.Status, "CLEANUP") && !strings.Contains(e.Status, "ROLLBACK")
}

// events reads newest first, until stop says so, and returns them oldest first
// with the one it stopped at.
func (s *Stack) events(ctx context.Context, nameOrID string, stop func(Event) bool) ([]Event, error) {
	var out []Event
	in := &cloudformation.DescribeStackEventsInput{StackName: &nameOrID}
	for {
		r, err := s.cfn.DescribeStackEvents(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, e := range r.StackEvents {
			n := Event{
				ID: aws.ToString(e.EventId), StackID: aws.ToString(e.StackId), Time: aws.ToTime(e.Timestamp), Logical: aws.ToString(e.LogicalResourceId),
				Physical: aws.ToString(e.PhysicalResourceId), Type: aws.ToString(e.ResourceType), Status: string(e.ResourceStatus),
				Reason: aws.ToString(e.ResourceStatusReason), Token: aws.ToString(e.ClientRequestToken),
			}
			if n.ID == "" {
				continue
			}
			out = append(out, n)
			if stop(n) {
				slices.Reverse(out)
				return out, nil
			}
		}
		if aws.ToString(r.NextToken) == "" {
			slices.Reverse(out)
			return out, nil
		}
		in.NextToken = r.NextToken
	}
}
