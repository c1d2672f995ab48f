package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A Change is what is wanted of a stack.
type Change struct {
	Name       string            // of the change set, and the token of its execution; the caller's, deterministic
	Create     bool              // the stack is to be made
	Body       string            // the template
	Parameters map[string]string // sent explicitly, every one; UsePreviousValue is never sent
	Image      string            // what ImageId must be; asserted on the change set, so that a changed default cannot get lost
	Tags       map[string]string
	// Alarms watched while the change runs, and for Minutes after it. Both are sent
	// explicitly with every update, empty ones too: else CloudFormation keeps the last.
	Alarms  []string
	Minutes int
}

// A Proposal is CloudFormation's answer to a Change.
type Proposal struct {
	Name    string
	ID      string // ARN of the change set
	StackID string
	Empty   bool // there is nothing to change
	Started bool // it was executed already, by a run before this one
	Shape   Shape
}

// ErrNotProposed is a change set that CloudFormation could not make.
var ErrNotProposed = errors.New("the change set failed")

// Propose makes the change set of a change, or finds it again: one of the same
// name and content that still can be executed is used as it is; a stale one is
// replaced.
func (s *Stack) Propose(ctx context.Context, c Change) (*Proposal, error) {
	if e, ok, err := s.Started(ctx, c.Name); err != nil {
		return nil, err
	} else if ok {
		return &Proposal{Name: c.Name, StackID: e.StackID, Started: true}, nil
	}
	for attempt := range 3 {
		p, err := s.examine(ctx, c)
		if err != nil {
			return nil, err
		}
		if p != nil {
			return p, nil
		}
		if err := s.create(ctx, c, attempt); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("change set %s of %s: it vanished three times", c.Name, s.Name)
}

// create sends the change set. Whether it arrived is what examine finds out.
func (s *Stack) create(ctx context.Context, c Change, attempt int) error {
	kind := types.ChangeSetTypeUpdate
	if c.Create {
		kind = types.ChangeSetTypeCreate
	}
	in := &cloudformation.CreateChangeSetInput{
		StackName: &s.Name, ChangeSetName: &c.Name, ChangeSetType: kind, TemplateBody: &c.Body,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityNamedIam},
	}
	for _, k := range slices.Sorted(maps.Keys(c.Parameters)) {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(c.Parameters[k])})
	}
	for _, k := range slices.Sorted(maps.Keys(userTags(c.Tags))) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(c.Tags[k])})
	}
	if !c.Create {
		rc := &types.RollbackConfiguration{MonitoringTimeInMinutes: aws.Int32(int32(c.Minutes)), RollbackTriggers: []types.RollbackTrigger{}}
		for _, arn := range c.Alarms {
			rc.RollbackTriggers = append(rc.RollbackTriggers, types.RollbackTrigger{Arn: aws.String(arn), Type: aws.String(typeAlarm)})
		}
		in.RollbackConfiguration = rc
	}
	// The token holds the content, so that a change set which is made again under
	// its name with other content is another request.
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	in.ClientToken = aws.String(fmt.Sprintf("%s-%s-%d", c.Name, hex.EncodeToString(sum[:6]), attempt))
	err = s.retry(ctx, "propose "+c.Name+" to "+s.Name, func(ctx context.Context) error {
		_, err := s.cfn.CreateChangeSet(ctx, in)
		if code(err) == "AlreadyExistsException" && !strings.HasPrefix(message(err), "Stack") {
			return nil // an answer was lost: it is there
		}
		return err
	})
	return err
}

// examine waits for the change set and judges it. nil: there is none (any more).
func (s *Stack) examine(ctx context.Context, c Change) (*Proposal, error) {
	var p *Proposal
	err := s.wait(ctx, func(ctx context.Context) (bool, bool, error) {
		d, changes, err := s.changeSet(ctx, c.Name)
		switch {
		case code(err) == "ChangeSetNotFound", absent(err):
			return true, false, nil
		case err != nil:
			return false, false, err
		}
		p = &Proposal{Name: c.Name, ID: aws.ToString(d.ChangeSetId), StackID: aws.ToString(d.StackId), Shape: shape(changes)}
		switch d.ExecutionStatus {
		case types.ExecutionStatusExecuteInProgress, types.ExecutionStatusExecuteComplete, types.ExecutionStatusExecuteFailed:
			p.Started = true
			return true, false, nil
		}
		switch d.Status {
		case types.ChangeSetStatusCreateComplete:
			if d.ExecutionStatus == types.ExecutionStatusAvailable {
				same, err := s.same(ctx, d, c)
				if err != nil || same {
					return true, false, err
				}
			} else if d.ExecutionStatus == types.ExecutionStatusUnavailable {
				return false, false, nil // a stale answer, or just being finished
			}
			p = nil
			return true, false, s.discard(ctx, c.Name)
		case types.ChangeSetStatusFailed:
			reason := aws.ToString(d.StatusReason)
			if strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates are to be performed") {
				p.Empty = true
				// Nothing changes, either because all is so already, or because the new
				// default does not reach the stack: the best-known trap of this field.
				return true, false, errors.Join(s.discard(ctx, c.Name), c.resolved(parameters(d)))
			}
			if err := s.discard(ctx, c.Name); err != nil {
				return false, false, err
			}
			return false, false, fmt.Errorf("%w: %s of %s: %s", ErrNotProposed, c.Name, s.Name, reason)
		case types.ChangeSetStatusDeletePending, types.ChangeSetStatusDeleteInProgress, types.ChangeSetStatusDeleteComplete:
			p = nil
			return d.Status == types.ChangeSetStatusDeleteComplete, false, nil
		}
		return false, false, nil // pending, in progress, or a status that is not known yet
	})
	if err != nil {
		return nil, fmt.Errorf("change set %s of %s: %w", c.Name, s.Name, err)
	}
	return p, nil
}

// changeSet is DescribeChangeSet with all its pages.
func (s *Stack) changeSet(ctx context.Context, name string) (*cloudformation.DescribeChangeSetOutput, []types.Change, error) {
	in := &cloudformation.DescribeChangeSetInput{StackName: &s.Name, ChangeSetName: &name}
	first, err := s.cfn.DescribeChangeSet(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	if first.Status == "" {
		return nil, nil, errEmpty
	}
	changes, next := first.Changes, first.NextToken
	for aws.ToString(next) != "" {
		in.NextToken = next
		page, err := s.cfn.DescribeChangeSet(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		changes, next = append(changes, page.Changes...), page.NextToken
	}
	return first, changes, nil
}

// same says whether an existing change set is exactly the change that is
// wanted. What CloudFormation resolved the image to must be what the caller
// asks for: this is where a default that was silently kept would show.
func (s *Stack) same(ctx context.Context, d *cloudformation.DescribeChangeSetOutput, c Change) (bool, error) {
	got := parameters(d)
	body, err := s.body(ctx, aws.ToString(d.ChangeSetName))
	if err != nil {
		return false, err
	}
	if strings.TrimSpace(body) != strings.TrimSpace(c.Body) || !maps.Equal(userTags(tags(d.Tags)), userTags(c.Tags)) {
		return false, nil
	}
	for k, v := range c.Parameters {
		if got[k] != v {
			return false, nil
		}
	}
	return true, c.resolved(got)
}

func parameters(d *cloudformation.DescribeChangeSetOutput) map[string]string {
	out := map[string]string{}
	for _, p := range d.Parameters {
		out[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	return out
}

// resolved says whether the image that a change set shows is the one wanted.
func (c Change) resolved(got map[string]string) error {
	if c.Image == "" || got[ImageParameter] == c.Image {
		return nil
	}
	return fmt.Errorf("%w: it would deploy image %s, wanted is %s: the parameter %s does not follow the template's default",
		ErrNotProposed, show(got[ImageParameter]), c.Image, ImageParameter)
}

func (s *Stack) discard(ctx context.Context, name string) error {
	return s.retry(ctx, "delete change set "+name, func(ctx context.Context) error {
		_, err := s.cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{StackName: &s.Name, ChangeSetName: &name})
		if code(err) == "ChangeSetNotFound" || absent(err) {
			return nil
		}
		return err
	})
}

// Proposals are the names of the stack's change sets.
func (s *Stack) Proposals(ctx context.Context) ([]string, error) {
	var out []string
	err := s.retry(ctx, "list the change sets of "+s.Name, func(ctx context.Context) error {
		out = nil
		p := cloudformation.NewListChangeSetsPaginator(s.cfn, &cloudformation.ListChangeSetsInput{StackName: &s.Name})
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, c := range page.Summaries {
				out = append(out, aws.ToString(c.ChangeSetName))
			}
		}
		return nil
	})
	return out, err
}

// Withdraw deletes a proposal that will not be executed.
func (s *Stack) Withdraw(ctx context.Context, p *Proposal) error { return s.discard(ctx, p.Name) }

// ErrMoved is a change set that cannot be executed because the stack changed
// since it was made. Propose again.
var ErrMoved = errors.New("the stack changed since the change set was made")

// ErrRefused is a change set that CloudFormation would not execute, for another
// reason: nothing has begun.
var ErrRefused = errors.New("CloudFormation refuses the change")

// Execute starts a proposal. It is repeatable, and whatever becomes of the
// answer, it returns nil only when the operation has begun; then it goes on
// without us, and Follow leads it to its end by the same token.
func (s *Stack) Execute(ctx context.Context, p *Proposal) error {
	if p.Started || p.Empty {
		return nil
	}
	var last error
	for i := range 5 {
		_, last = s.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{
			StackName: &s.Name, ChangeSetName: &p.ID, ClientRequestToken: &p.Name, DisableRollback: aws.Bool(false),
		})
		if last == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("execute %s on %s: %w", p.Name, s.Name, last)
		}
		// The answer may be lost or repeated. Only the stack knows.
		if _, ok, err := s.Started(ctx, p.Name); err == nil && ok {
			return nil
		}
		if !transient(last) {
			d, _, err := s.changeSet(ctx, p.ID)
			if err == nil && d.ExecutionStatus == types.ExecutionStatusObsolete || code(err) == "ChangeSetNotFound" {
				return fmt.Errorf("execute %s on %s: %w", p.Name, s.Name, errors.Join(ErrMoved, last))
			}
			if err == nil && (d.ExecutionStatus == types.ExecutionStatusExecuteInProgress || d.ExecutionStatus == types.ExecutionStatusExecuteComplete) {
				return nil
			}
			if code(last) != "InvalidChangeSetStatus" {
				if err == nil {
					last = errors.Join(ErrRefused, last)
				}
				break
			}
		}
		if err := s.o.Clock.Sleep(ctx, min(s.o.Poll.Min<<i, s.o.Poll.Max)); err != nil {
			return err
		}
	}
	return fmt.Errorf("execute %s on %s: %w", p.Name, s.Name, last)
}
