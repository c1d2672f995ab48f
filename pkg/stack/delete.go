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

// Delete deletes the stack, follows the deletion, and proves that nothing of
// it is left. A stack that is not there is no error. It refuses one with
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
	for n := 1; ; n++ {
		op := fmt.Sprintf("%s-%d", token, n)
		err := s.retry(ctx, "delete "+s.Name, func(ctx context.Context) error {
			_, err := s.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &id, ClientRequestToken: &op})
			return err
		})
		if err != nil {
			return err
		}
		status, err := s.gone(ctx, id, before)
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

// hurry lets go of machines that a lifecycle hook holds back for draining: of a
// stack that is being deleted nobody is a user any more. It only saves time, so
// what goes wrong here is left to the hook's own timeout.
func (s *Stack) hurry(ctx context.Context, before map[string]Resource) {
	for _, r := range before {
		if r.Type != typeGroup || r.ID == "" {
			continue
		}
		out, err := s.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{r.ID}})
		if err != nil || len(out.AutoScalingGroups) == 0 {
			continue
		}
		var held []string
		for _, i := range out.AutoScalingGroups[0].Instances {
			if i.LifecycleState == "Terminating:Wait" {
				held = append(held, aws.ToString(i.InstanceId))
			}
		}
		if len(held) == 0 {
			continue
		}
		hooks, err := s.asg.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &r.ID})
		if err != nil {
			continue
		}
		for _, h := range hooks.LifecycleHooks {
			if aws.ToString(h.LifecycleTransition) != "autoscaling:EC2_INSTANCE_TERMINATING" {
				continue
			}
			for _, i := range held {
				_, _ = s.asg.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
					AutoScalingGroupName: &r.ID, LifecycleHookName: h.LifecycleHookName, InstanceId: &i, LifecycleActionResult: aws.String("CONTINUE"),
				})
			}
		}
	}
}

// gone waits for the end of a deletion and tells new events.
func (s *Stack) gone(ctx context.Context, id string, before map[string]Resource) (string, error) {
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
		if status == "DELETE_IN_PROGRESS" {
			s.hurry(ctx, before)
		}
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
	case "AWS::ElasticLoadBalancingV2::TargetGroup":
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
	return s.retry(ctx, "set the stack policy of "+s.Name, func(ctx context.Context) error {
		_, err := s.cfn.SetStackPolicy(ctx, &cloudformation.SetStackPolicyInput{StackName: &s.Name, StackPolicyBody: &policy})
		return err
	})
}
