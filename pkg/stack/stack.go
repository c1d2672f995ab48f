// Package stack is one CloudFormation stack: what it is now, what a change
// would do to it, the change itself, and the signals without which it fails.
//
// The nouns: a State is everything read of a stack that later must be equal or
// may differ for a declared reason. A Change is what is wanted; a Proposal is
// CloudFormation's own answer to it (a change set) with its Shape: action,
// replacement and scope by logical id. An Operation is a change under way,
// known by its token; Follow leads it to its end, through the health gate.
//
// Nothing is kept in memory that cannot be read again: names and tokens are
// given by the caller and derive from the release, so whoever is killed calls
// the same function again, on any machine, and it attaches.
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
)

// A Machine is an EC2 instance as far as a stack cares.
type Machine struct {
	ID       string    `json:"id"`
	Image    string    `json:"image"`
	State    string    `json:"state"` // EC2's word: pending, running, stopping, …
	Launched time.Time `json:"launched"`
	Impaired bool      `json:"impaired"` // a status check of EC2 failed
}

// A LaunchTemplate is one version of a launch template.
type LaunchTemplate struct {
	ID      string          `json:"id"`
	Version string          `json:"version"`
	Latest  string          `json:"latest"` // the number of the newest version
	Image   string          `json:"image"`
	Data    json.RawMessage `json:"data"` // the whole content; keys sorted
}

// Machines answers what only EC2 knows. It is an interface so that this package
// and all that import it stay free of the large EC2 client.
type Machines interface {
	// Machines describes instances by id. Ids that EC2 no longer knows are left out.
	Machines(ctx context.Context, ids []string) ([]Machine, error)
	// LaunchTemplate reads one version of a launch template.
	LaunchTemplate(ctx context.Context, id, version string) (LaunchTemplate, error)
	// Console is what a machine wrote to its console, as new as EC2 has it.
	Console(ctx context.Context, id string) (string, error)
	// Left names what EC2 still has of a stack, by the tag CloudFormation puts on
	// all it makes: "kind id". Terminated instances and what is being deleted do not count.
	Left(ctx context.Context, stackID string) ([]string, error)
}

// Options of an Account.
type Options struct {
	AWS      aws.Config
	Machines Machines
	Clock    clock.Clock // nil: clock.System
	Poll     config.Poll // zero: 2 to 5 s
	Factor   float64     // own waits are divided by it; 0 means 1
}

// An Account is the stacks of one account and region.
type Account struct {
	o   Options
	cfn *cloudformation.Client
	asg *autoscaling.Client
	elb *elasticloadbalancingv2.Client

	alarms *cloudwatch.Client
	topics *sns.Client
}

// Open makes the clients. It calls nothing.
func Open(o Options) *Account {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Poll.Min <= 0 {
		o.Poll = config.Poll{Min: 2 * time.Second, Max: 5 * time.Second}
	}
	if o.Factor <= 0 {
		o.Factor = 1
	}
	return &Account{
		o:   o,
		cfn: cloudformation.NewFromConfig(o.AWS),
		asg: autoscaling.NewFromConfig(o.AWS),
		elb: elasticloadbalancingv2.NewFromConfig(o.AWS),

		alarms: cloudwatch.NewFromConfig(o.AWS),
		topics: sns.NewFromConfig(o.AWS),
	}
}

// Stack names a stack, whether it is there or not.
func (a *Account) Stack(name string) *Stack { return &Stack{Account: a, Name: name} }

// A Stack is one stack by name.
type Stack struct {
	*Account
	Name string
	// Tell hears every new event of what is followed; nil: nobody does.
	Tell func(Event)
	// Boxed hears of every machine that failed, before it is ended; nil: nobody does.
	Boxed func(Box)
}

func (s *Stack) tell(e Event) {
	if s.Tell != nil {
		s.Tell(e)
	}
}

// A Summary is the little that DescribeStacks says of every stack.
type Summary struct {
	Name      string
	ID        string
	Status    string
	Tags      map[string]string
	Created   time.Time
	Updated   time.Time
	Protected bool
	// Parameters are the values, those that were resolved beside what was given.
	Parameters []string
}

// ErrAbsent says that there is no such stack.
var ErrAbsent = errors.New("the stack does not exist")

// errEmpty is a 200 without content, which is no answer at all.
var errEmpty = errors.New("the answer was empty")

// List is every stack whose name starts with prefix, deleted ones left out.
func (a *Account) List(ctx context.Context, prefix string) ([]Summary, error) {
	var out []Summary
	err := a.retry(ctx, "list stacks", func(ctx context.Context) error {
		out = nil
		p := cloudformation.NewDescribeStacksPaginator(a.cfn, &cloudformation.DescribeStacksInput{})
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, s := range page.Stacks {
				if strings.HasPrefix(aws.ToString(s.StackName), prefix) {
					out = append(out, summary(s))
				}
			}
		}
		return nil
	})
	return out, err
}

func summary(s types.Stack) Summary {
	var values []string
	for _, p := range s.Parameters {
		values = append(values, aws.ToString(p.ParameterValue))
		if p.ResolvedValue != nil {
			values = append(values, *p.ResolvedValue)
		}
	}
	return Summary{
		Parameters: values,
		Name:       aws.ToString(s.StackName), ID: aws.ToString(s.StackId), Status: string(s.StackStatus), Tags: tags(s.Tags),
		Created: aws.ToTime(s.CreationTime), Updated: aws.ToTime(s.LastUpdatedTime), Protected: aws.ToBool(s.EnableTerminationProtection),
	}
}

// Status is the stack's summary, or ErrAbsent. A status that nobody knows is
// looked at again for a while: CloudFormation has got new ones between two others.
func (s *Stack) Status(ctx context.Context) (Summary, error) {
	for tries := 0; ; tries++ {
		d, err := s.describe(ctx, s.Name)
		if err != nil {
			return Summary{}, err
		}
		if _, known := Statuses[string(d.StackStatus)]; known || tries == 20 {
			return summary(*d), nil
		}
		if err := s.o.Clock.Sleep(ctx, s.o.Poll.Max); err != nil {
			return Summary{}, err
		}
	}
}

// describe is DescribeStacks for one stack, with lost and empty answers asked again.
func (s *Stack) describe(ctx context.Context, nameOrID string) (*types.Stack, error) {
	var out *types.Stack
	err := s.retry(ctx, "describe stack "+s.Name, func(ctx context.Context) error {
		r, err := s.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &nameOrID})
		if err != nil {
			if absent(err) {
				return ErrAbsent
			}
			return err
		}
		if len(r.Stacks) == 0 {
			return errEmpty
		}
		out = &r.Stacks[0]
		return nil
	})
	if err == nil && out.StackStatus == types.StackStatusDeleteComplete && nameOrID == s.Name {
		return nil, ErrAbsent
	}
	return out, err
}

func tags(in []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range in {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// code is the AWS error code of err, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}

func absent(err error) bool {
	return code(err) == "ValidationError" && strings.Contains(message(err), "does not exist")
}

// transient says whether asking again can help: the SDK gave up on throttling,
// a server's fault, a lost connection, or got no content.
func transient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if errors.Is(err, errEmpty) {
		return true
	}
	switch code(err) {
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "InternalFailure", "ServiceUnavailable", "InternalError":
		return true
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		return resp.HTTPStatusCode() >= 500 || (code(err) == "" && resp.HTTPStatusCode() == 200)
	}
	var netErr net.Error
	var sent *smithyhttp.RequestSendError
	return errors.As(err, &sent) || errors.As(err, &netErr)
}

// retry calls fn until it succeeds or fails for a reason that will not pass.
func (a *Account) retry(ctx context.Context, what string, fn func(context.Context) error) error {
	var last error
	for i := range 8 {
		if last = fn(ctx); last == nil || !transient(last) {
			break
		}
		if err := a.o.Clock.Sleep(ctx, min(a.o.Poll.Min<<i, a.o.Poll.Max)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if last == nil || errors.Is(last, ErrAbsent) {
		return last
	}
	return fmt.Errorf("%s: %w", what, last)
}

// scale is one of our own waits on this target.
func (a *Account) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) / a.o.Factor)
}

// patience is how long calls may go on failing before the cause is told. The SDK
// has tried each of them several times by then.
const patience = 2 * time.Minute

// wait polls: look says whether it is done, and whether there was news. A call
// that failed for a reason that passes is asked again.
func (a *Account) wait(ctx context.Context, look func(context.Context) (done, news bool, err error)) error {
	var failing time.Time
	// Whoever waits for a stack wants to go on at once when it is done, however
	// long it took: the waits grow less than where nobody waits for an end.
	poll := a.o.Poll
	poll.Max = min(poll.Max, 5*poll.Min/2)
	return poll.Watch(ctx, a.o.Clock, func(ctx context.Context) (config.Seen, error) {
		done, news, err := look(ctx)
		if err != nil && transient(err) && ctx.Err() == nil {
			switch now := a.o.Clock.Now(); {
			case failing.IsZero():
				failing = now
			case now.Sub(failing) > patience:
				return config.Done, err
			}
			return config.Same, nil
		}
		failing = time.Time{}
		switch {
		case err != nil, done:
			return config.Done, err
		case news:
			return config.Moved, nil
		}
		return config.Same, nil
	})
}

// Denied says whether an error is about the caller: credentials that ran out or
// do not allow the call.
func Denied(err error) bool {
	switch code(err) {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch":
		return true
	}
	// The SDK has no type for credentials that cannot be had at all.
	return err != nil && strings.Contains(err.Error(), "get credentials")
}
