package facts_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/require"
)

// stack is one stack and how far its events were read.
type stack struct {
	*world
	name, id string
	read     map[string]bool
	marks    map[string]string // instance ids by the order in which events name them
	signals  map[string]bool
}

func (w *world) stack(name, id string) *stack {
	return &stack{world: w, name: name, id: id, read: map[string]bool{}, marks: map[string]string{}, signals: map[string]bool{}}
}

// create begins to create a stack. On AWS it is deleted when the check ends.
func (w *world) create(name, body string, change ...func(*cloudformation.CreateStackInput)) *stack {
	w.Helper()
	in := &cloudformation.CreateStackInput{StackName: aws.String(w.name(name)), TemplateBody: &body}
	for _, c := range change {
		c(in)
	}
	out, err := w.cfn.CreateStack(w.ctx, in)
	require.NoError(w, err)
	s := w.stack(*in.StackName, *out.StackId)
	s.cleanup()
	return s
}

func (s *stack) cleanup() {
	s.afterwards(func(ctx context.Context) {
		_, _ = s.cfn.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &s.id, EnableTerminationProtection: aws.Bool(false)})
		_, _ = s.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.id})
	})
}

// made creates a stack, complete, and forgets its events.
func (w *world) made(name, body string, change ...func(*cloudformation.CreateStackInput)) *stack {
	w.Helper()
	s := w.create(name, body, change...)
	s.await("CREATE_COMPLETE")
	s.events()
	return s
}

// update begins to update a stack.
func (s *stack) update(body string, change ...func(*cloudformation.UpdateStackInput)) error {
	in := &cloudformation.UpdateStackInput{StackName: &s.id, TemplateBody: &body}
	for _, c := range change {
		c(in)
	}
	_, err := s.cfn.UpdateStack(s.ctx, in)
	return err
}

func params(kv ...string) []types.Parameter {
	var out []types.Parameter
	for i := 0; i < len(kv); i += 2 {
		out = append(out, types.Parameter{ParameterKey: &kv[i], ParameterValue: &kv[i+1]})
	}
	return out
}

func with(kv ...string) func(*cloudformation.CreateStackInput) {
	return func(in *cloudformation.CreateStackInput) { in.Parameters = params(kv...) }
}

func to(kv ...string) func(*cloudformation.UpdateStackInput) {
	return func(in *cloudformation.UpdateStackInput) { in.Parameters = params(kv...) }
}

func (s *stack) describe() types.Stack {
	s.Helper()
	out, err := s.cfn.DescribeStacks(s.ctx, &cloudformation.DescribeStacksInput{StackName: &s.id})
	require.NoError(s, err)
	return out.Stacks[0]
}

func (s *stack) status() string { s.Helper(); return string(s.describe().StackStatus) }

// await lets time pass until the stack has one of the states.
func (s *stack) await(states ...string) {
	s.Helper()
	last := ""
	defer func() {
		if s.Failed() {
			s.Logf("the stack is in %s; its events:\n%s", last, strings.Join(s.history(), "\n"))
		}
	}()
	s.until(3*time.Hour, fmt.Sprint("the stack is in ", states), func() bool {
		last = s.status()
		return slices.Contains(states, last)
	})
}

// properties are the properties that the events tell of resources.
func (s *stack) properties() (list []string) {
	s.Helper()
	for _, e := range s.all() {
		list = append(list, aws.ToString(e.ResourceProperties))
	}
	return list
}

// all are all events, the oldest first.
func (s *stack) all() []types.StackEvent {
	s.Helper()
	var out []types.StackEvent
	pages := cloudformation.NewDescribeStackEventsPaginator(s.cfn, &cloudformation.DescribeStackEventsInput{StackName: &s.id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		require.NoError(s, err)
		out = append(out, page.StackEvents...)
	}
	slices.Reverse(out)
	return out
}

// events are those not read before, the oldest first: "Asg UPDATE_COMPLETE: reason". The
// stack itself is called Stack, its instances i1, i2, …; what AWS tells about
// its check for consistency is left out, for it need not come.
func (s *stack) events() []string {
	s.Helper()
	var out []string
	for _, e := range s.all() {
		if s.read[*e.EventId] {
			continue
		}
		s.read[*e.EventId] = true
		if e.DetailedStatus == types.DetailedStatusConfigurationComplete {
			continue
		}
		out = append(out, s.line(e))
	}
	return out
}

// history are all events, read or not.
func (s *stack) history() []string {
	var out []string
	for _, e := range s.all() {
		out = append(out, s.line(e))
	}
	return out
}

var instanceID = regexp.MustCompile(`\bi-[0-9a-f]{17}`)

func (s *stack) line(e types.StackEvent) string {
	line := *e.LogicalResourceId
	if line == s.name {
		line = "Stack"
	}
	line += " " + string(e.ResourceStatus)
	if r := aws.ToString(e.ResourceStatusReason); r != "" {
		line += ": " + r
	}
	line = strings.ReplaceAll(line, s.id, "STACK")
	return instanceID.ReplaceAllStringFunc(line, func(id string) string {
		if s.marks[id] == "" {
			s.marks[id] = fmt.Sprintf("i%d", len(s.marks)+1)
		}
		return s.marks[id]
	})
}

// states are those the stack went through, the oldest first.
func (s *stack) states() []string {
	s.Helper()
	var out []string
	for _, e := range s.all() {
		if aws.ToString(e.PhysicalResourceId) == s.id && e.DetailedStatus == "" {
			out = append(out, string(e.ResourceStatus))
		}
	}
	return out
}

// of are the events of one resource, or "Stack", among lines.
func of(logical string, lines []string) []string {
	var out []string
	for _, l := range lines {
		if rest, is := strings.CutPrefix(l, logical+" "); is {
			out = append(out, rest)
		}
	}
	return out
}

// resource is one resource of the stack.
func (s *stack) resource(logical string) types.StackResourceDetail {
	s.Helper()
	out, err := s.cfn.DescribeStackResource(s.ctx, &cloudformation.DescribeStackResourceInput{StackName: &s.id, LogicalResourceId: &logical})
	require.NoError(s, err)
	return *out.StackResourceDetail
}

func (s *stack) physical(logical string) string {
	s.Helper()
	return aws.ToString(s.resource(logical).PhysicalResourceId)
}

// outputs of the stack.
func (s *stack) outputs() map[string]string {
	s.Helper()
	out := map[string]string{}
	for _, o := range s.describe().Outputs {
		out[*o.OutputKey] = *o.OutputValue
	}
	return out
}

// signal sends one signal.
func (s *stack) signal(logical, id, status string) error {
	_, err := s.cfn.SignalResource(s.ctx, &cloudformation.SignalResourceInput{
		StackName: &s.id, LogicalResourceId: &logical, UniqueId: &id, Status: types.ResourceSignalStatus(status),
	})
	return err
}

// serving are the instances in service of the group Asg, the oldest first as far as the group tells.
func (s *stack) serving() []string {
	s.Helper()
	out, err := s.cfn.DescribeStackResource(s.ctx, &cloudformation.DescribeStackResourceInput{StackName: &s.id, LogicalResourceId: aws.String("Asg")})
	if err != nil || aws.ToString(out.StackResourceDetail.PhysicalResourceId) == "" {
		return nil // it is not made yet
	}
	groups, err := s.asg.DescribeAutoScalingGroups(s.ctx, &autoscaling.DescribeAutoScalingGroupsInput{
		AutoScalingGroupNames: []string{*out.StackResourceDetail.PhysicalResourceId},
	})
	require.NoError(s, err)
	var ids []string
	for _, g := range groups.AutoScalingGroups {
		for _, i := range g.Instances {
			if i.LifecycleState == "InService" {
				ids = append(ids, *i.InstanceId)
			}
		}
	}
	return ids
}

// signalling sends a signal for each instance that comes into service, until the stack has the state.
func (s *stack) signalling(status string, states ...string) {
	s.Helper()
	defer func() {
		if s.Failed() {
			s.Logf("events:\n%s", strings.Join(s.history(), "\n"))
		}
	}()
	s.until(6*time.Hour, fmt.Sprint("the stack is in ", states), func() bool {
		now := s.status()
		if slices.Contains(states, now) {
			return true
		}
		for _, id := range s.serving() {
			if key := now + id; !s.signals[key] {
				s.signals[key] = s.signal("Asg", id, status) == nil
			}
		}
		return false
	})
}
