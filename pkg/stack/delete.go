package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

// ErrKept says that a stack is protected and was not deleted.
var ErrKept = errors.New("the stack is protected")

// Delete ends the stack's machines, deletes it, follows the deletion, and proves
// that nothing of it is left. A stack that is not there is no error. It refuses one with
// termination protection.
func (s *Stack) Delete(ctx context.Context, token string) error {
	d, err := s.describe(ctx, s.Name)
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if aws.ToBool(d.EnableTerminationProtection) {
		return fmt.Errorf("delete %s: %w", s.Name, ErrKept)
	}
	id := aws.ToString(d.StackId)
	before, err := s.resources(ctx, id)
	if err != nil {
		return err
	}
	if err := s.disband(ctx, before); err != nil {
		return err
	}
	for n := 1; ; n++ {
		op := fmt.Sprintf("%s-%d", token, n)
		err := s.retry(ctx, "delete "+s.Name, func(ctx context.Context) error {
			_, err := s.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &id, ClientRequestToken: &op})
			return err
		})
		if err != nil {
			return err
		}
		status, err := s.gone(ctx, id)
		if err != nil {
			return err
		}
		if status == "DELETE_COMPLETE" {
			break
		}
		if n == 3 {
			return fmt.Errorf("delete %s: %s: %s", s.Name, status, strings.Join(s.undeleted(ctx, id), ", "))
		}
	}
	left, err := s.Left(ctx, id, before)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("delete %s: it is deleted and left behind %s", s.Name, strings.Join(left, ", "))
	}
	return nil
}

// disband deletes the stack's groups with their machines at once and waits for
// the end of it: a deletion by CloudFormation would let them drain and wait for
// lifecycle hooks, and nobody is served by them any more.
func (s *Stack) disband(ctx context.Context, before map[string]Resource) error {
	for _, k := range slices.Sorted(maps.Keys(before)) {
		r := before[k]
		if r.Type != typeGroup || r.ID == "" {
			continue
		}
		err := s.retry(ctx, "end the machines of "+r.ID, func(ctx context.Context) error {
			there, err := s.there(ctx, r)
			if err != nil || !there {
				return err
			}
			_, err = s.asg.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: &r.ID, ForceDelete: aws.Bool(true)})
			if there, e := s.there(ctx, r); e == nil && !there {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("delete %s: %w", s.Name, err)
		}
		if err := s.wait(ctx, func(ctx context.Context) (bool, bool, error) {
			there, err := s.there(ctx, r)
			return !there, false, err
		}); err != nil {
			return fmt.Errorf("delete %s: wait for the end of the machines of %s: %w", s.Name, r.ID, err)
		}
	}
	return nil
}

// LetGo ends the wait of machines that the group's terminating lifecycle hooks
// hold back. A hook that notifies somebody is that one's to complete, and stays.
// A machine that is not held any more is no error.
func (s *Stack) LetGo(ctx context.Context, group string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	hooks, err := s.asg.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &group})
	if err != nil {
		return fmt.Errorf("read the lifecycle hooks of %s: %w", group, err)
	}
	var errs []error
	for _, h := range hooks.LifecycleHooks {
		if aws.ToString(h.LifecycleTransition) != "autoscaling:EC2_INSTANCE_TERMINATING" || aws.ToString(h.NotificationTargetARN) != "" {
			continue
		}
		for _, i := range ids {
			_, err := s.asg.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
				AutoScalingGroupName: &group, LifecycleHookName: h.LifecycleHookName, InstanceId: &i, LifecycleActionResult: aws.String("CONTINUE"),
			})
			if err != nil && code(err) != "ValidationError" { // it is what a machine gets that went meanwhile
				errs = append(errs, fmt.Errorf("let go of %s: %w", i, err))
			}
		}
	}
	return errors.Join(errs...)
}

// gone waits for the end of a deletion and tells new events.
func (s *Stack) gone(ctx context.Context, id string) (string, error) {
	status := ""
	seen := map[string]bool{}
	first := true
	err := s.wait(ctx, func(ctx context.Context) (bool, bool, error) {
		news := false
		list, err := s.events(ctx, id, func(e Event) bool { return seen[e.ID] })
		if err != nil && !absent(err) {
			return false, false, err
		}
		for _, e := range list {
			if !seen[e.ID] {
				seen[e.ID], news = true, true
				if !first && strings.HasPrefix(e.Status, "DELETE") {
					s.tell(e)
				}
			}
		}
		first = false
		d, err := s.describe(ctx, id)
		if errors.Is(err, ErrAbsent) {
			status = "DELETE_COMPLETE"
			return true, true, nil
		}
		if err != nil {
			return false, false, err
		}
		status = string(d.StackStatus)
		return status == "DELETE_COMPLETE" || status == "DELETE_FAILED", news, nil
	})
	if err != nil {
		return status, fmt.Errorf("delete %s: %w", s.Name, err)
	}
	return status, nil
}

func (s *Stack) undeleted(ctx context.Context, id string) []string {
	var out []string
	list, err := s.resources(ctx, id)
	if err != nil {
		return []string{err.Error()}
	}
	for _, k := range slices.Sorted(maps.Keys(list)) {
		if r := list[k]; r.Status != "DELETE_COMPLETE" && r.Status != "DELETE_SKIPPED" {
			out = append(out, fmt.Sprintf("%s %s (%s)", k, r.ID, r.Status))
		}
	}
	return out
}

// Left names what is left of a deleted stack. It asks the services, not
// CloudFormation: EC2 by tag, balancers, target groups and groups by name.
func (s *Stack) Left(ctx context.Context, id string, before map[string]Resource) ([]string, error) {
	var left []string
	err := s.retry(ctx, "look for what is left of "+s.Name, func(ctx context.Context) error {
		var err error
		if left, err = s.o.Machines.Left(ctx, id); err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(before)) {
			r := before[k]
			there, err := s.there(ctx, r)
			if err != nil {
				return err
			}
			if there {
				left = append(left, k+" "+r.ID)
			}
		}
		return nil
	})
	return left, err
}

func (s *Stack) there(ctx context.Context, r Resource) (bool, error) {
	if r.ID == "" {
		return false, nil
	}
	switch r.Type {
	case typeGroup:
		out, err := s.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{r.ID}})
		return err == nil && len(out.AutoScalingGroups) > 0, err
	case "AWS::ElasticLoadBalancingV2::LoadBalancer":
		_, err := s.elb.DescribeLoadBalancers(ctx, &elasticloadbalancingv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{r.ID}})
		return found(err, "LoadBalancerNotFound")
	case typeTargets:
		_, err := s.elb.DescribeTargetGroups(ctx, &elasticloadbalancingv2.DescribeTargetGroupsInput{TargetGroupArns: []string{r.ID}})
		return found(err, "TargetGroupNotFound")
	}
	return false, nil
}

func found(err error, missing string) (bool, error) {
	if strings.HasPrefix(code(err), missing) { // with and without the suffix "Exception"
		return false, nil
	}
	return err == nil, err
}

// Protect sets termination protection, and the stack policy if it is not "".
func (s *Stack) Protect(ctx context.Context, policy string) error {
	err := s.retry(ctx, "protect "+s.Name, func(ctx context.Context) error {
		_, err := s.cfn.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{
			StackName: &s.Name, EnableTerminationProtection: aws.Bool(true),
		})
		return err
	})
	if err != nil || policy == "" {
		return err
	}
	return s.SetPolicy(ctx, policy)
}

// SetPolicy sets the stack policy.
func (s *Stack) SetPolicy(ctx context.Context, policy string) error {
	return s.retry(ctx, "set the stack policy of "+s.Name, func(ctx context.Context) error {
		_, err := s.cfn.SetStackPolicy(ctx, &cloudformation.SetStackPolicyInput{StackName: &s.Name, StackPolicyBody: &policy})
		return err
	})
}

// Has says whether the stack has a resource of a type that begins so. One that is
// not there has none.
func (s *Stack) Has(ctx context.Context, kind string) (bool, error) {
	d, err := s.describe(ctx, s.Name)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	list, err := s.resources(ctx, aws.ToString(d.StackId))
	for _, r := range list {
		if strings.HasPrefix(r.Type, kind) && r.ID != "" {
			return true, err
		}
	}
	return false, err
}
