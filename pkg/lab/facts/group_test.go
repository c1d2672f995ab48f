package facts_test

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	asgtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// activities of the group, the newest first.
func (s *stack) activities() []asgtypes.Activity {
	s.Helper()
	out, err := s.asg.DescribeScalingActivities(s.ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String(s.physical("Asg"))})
	require.NoError(s, err)
	return out.Activities
}

// desire sets the desired capacity.
func (s *stack) desire(n int32) {
	s.Helper()
	_, err := s.asg.SetDesiredCapacity(s.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: &n})
	require.NoError(s, err)
}

// hooked gives the group a lifecycle hook.
func (s *stack) hooked(transition string, heartbeat int32, result string) {
	s.Helper()
	_, err := s.asg.PutLifecycleHook(s.ctx, &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: aws.String(s.physical("Asg")), LifecycleHookName: aws.String("hook"), LifecycleTransition: &transition, HeartbeatTimeout: &heartbeat, DefaultResult: &result,
	})
	require.NoError(s, err)
}

// lives are the lifecycle states of the group's instances.
func (s *stack) lives() map[string]string {
	s.Helper()
	out := map[string]string{}
	for _, i := range s.group().Instances {
		out[*i.InstanceId] = string(i.LifecycleState)
	}
	return out
}

func (s *stack) terminate(id string, shrink bool) error {
	_, err := s.asg.TerminateInstanceInAutoScalingGroup(s.ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &shrink})
	return err
}

// has says whether one of the group's instances is in a lifecycle state.
func (s *stack) has(state string) bool {
	for _, l := range s.lives() {
		if l == state {
			return true
		}
	}
	return false
}

const stamp = `At \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ `

var groupFacts = []fact{
	{id: "F350", claim: "A launch is the activity \"Launching a new EC2 instance: i-…\", caused by \"a difference between desired and actual capacity, increasing the capacity from 0 to 2\".", source: "[ASGUG] [G]", check: func(w *world) {
		s := w.grown()
		list := s.activities()
		require.Len(w, list, 2)
		for _, a := range list {
			assert.Regexp(w, `^Launching a new EC2 instance: i-[0-9a-f]{17}$`, *a.Description)
			assert.Equal(w, asgtypes.ScalingActivityStatusCodeSuccessful, a.StatusCode)
			assert.Regexp(w, stamp+`an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 0 to 2\.$`, *a.Cause)
			assert.EqualValues(w, 100, *a.Progress)
		}
	}},
	{id: "F351", claim: "A scale-in is told \"…an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 3 to 2.  At … instance i-… was selected for termination.\".", source: "[ASGUG] [G]", check: func(w *world) {
		s := w.grown()
		s.desire(3)
		s.until(time.Hour, "three serve", func() bool { return len(s.serving()) == 3 })
		s.desire(2)
		s.until(time.Hour, "two are left", func() bool { return len(s.lives()) == 2 })
		a := s.activities()[0]
		assert.Regexp(w, `^Terminating EC2 instance: i-[0-9a-f]{17}$`, *a.Description)
		assert.Regexp(w, stamp+`a user request .*changing the desired capacity from 3 to 2\.  `+stamp+`an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 3 to 2\.  `+stamp+`instance i-[0-9a-f]{17} was selected for termination\.$`, *a.Cause)
	}},
	{id: "F352", claim: "A change of sizes is told as \"a user request update of AutoScalingGroup constraints to min: 1, max: 4, desired: 3 changing the desired capacity from 2 to 3.\".", source: "[ASGUG] [G]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.UpdateAutoScalingGroup(w.ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: aws.Int32(3)})
		require.NoError(w, err)
		s.until(time.Hour, "three serve", func() bool { return len(s.serving()) == 3 })
		assert.Regexp(w, `^`+stamp+`a user request update of AutoScalingGroup constraints to min: 1, max: 4, desired: 3 changing the desired capacity from 2 to 3\.  `+stamp+`an instance was started`, *s.activities()[0].Cause)
	}},
	{id: "F353", claim: "An instance found dead is replaced: \"…in response to an EC2 health check indicating it has been terminated or stopped.\", then \"…launched in response to an unhealthy instance needing to be replaced.\".", source: "[ASGUG]", lab: "it kills a machine without the EC2 API", check: func(w *world) {
		s := w.grown()
		id := s.serving()[0]
		require.NoError(w, s.lab.Memory().Kill(id))
		s.until(time.Hour, "it is replaced", func() bool { return len(s.serving()) == 2 && s.lives()[id] == "" })
		var causes []string
		for _, a := range s.activities() {
			causes = append(causes, *a.Cause)
		}
		all := strings.Join(causes, "\n")
		assert.Contains(w, all, "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.")
		assert.Contains(w, all, "an instance was launched in response to an unhealthy instance needing to be replaced.")
	}},
	{id: "F354", claim: "With HealthCheckType ELB an unhealthy target is replaced: \"…in response to an ELB system health check failure.\".", source: "[ASGUG]", lab: machineWork, check: func(w *world) {
		s := w.served(replaced("      TargetGroupARNs:", "      HealthCheckType: ELB\n      HealthCheckGracePeriod: 0\n      TargetGroupARNs:"))
		id := s.serving()[0]
		s.edit(id, func(d *memory.Image) { d.Broken = true })
		s.until(time.Hour, "it leaves", func() bool { return s.lives()[id] != "InService" })
		var causes []string
		for _, a := range s.activities() {
			causes = append(causes, *a.Cause)
		}
		assert.Contains(w, strings.Join(causes, "\n"), "an instance was taken out of service in response to an ELB system health check failure.")
	}},
	{id: "F355", claim: "With HealthCheckType EC2 an unhealthy target stays.", source: "[ASGUG]", lab: machineWork, check: func(w *world) {
		s := w.served()
		id := s.serving()[0]
		s.sick(id)
		w.pass(20 * time.Minute)
		assert.Equal(w, "InService", s.lives()[id])
	}},
	{id: "F356", claim: "An instance that leaves a target group drains first: the activity ends in \" - Waiting For ELB Connection Draining.\" and is WaitingForELBConnectionDraining.", source: "[ASGUG] [SDK:autoscaling enums]", check: func(w *world) {
		s := w.served()
		id := s.serving()[0]
		require.NoError(w, s.terminate(id, true))
		w.settle()
		a := s.activities()[0]
		assert.Equal(w, "Terminating EC2 instance: "+id+" - Waiting For ELB Connection Draining.", *a.Description)
		assert.Equal(w, asgtypes.ScalingActivityStatusCodeWaitingForELBConnectionDraining, a.StatusCode)
		assert.Equal(w, "Terminating", s.lives()[id])
	}},
	{id: "F357", claim: "A terminating hook holds an instance in Terminating:Wait for its heartbeat, and then CONTINUE lets it go.", source: "[SDK:autoscaling PutLifecycleHook]", check: func(w *world) {
		s := w.grown()
		s.hooked("autoscaling:EC2_INSTANCE_TERMINATING", 120, "CONTINUE")
		id := s.serving()[0]
		require.NoError(w, s.terminate(id, true))
		s.until(time.Hour, "it waits", func() bool { return s.lives()[id] == "Terminating:Wait" })
		begun := w.now()
		assert.Equal(w, asgtypes.ScalingActivityStatusCodeMidLifecycleAction, s.activities()[0].StatusCode)
		s.until(time.Hour, "it is gone", func() bool { return s.lives()[id] == "" })
		assert.GreaterOrEqual(w, w.now().Sub(begun), 110*time.Second)
	}},
	{id: "F358", claim: "CompleteLifecycleAction ends the wait at once.", source: "[SDK:autoscaling CompleteLifecycleAction]", check: func(w *world) {
		s := w.grown()
		s.hooked("autoscaling:EC2_INSTANCE_TERMINATING", 3600, "CONTINUE")
		id := s.serving()[0]
		require.NoError(w, s.terminate(id, true))
		s.until(time.Hour, "it waits", func() bool { return s.lives()[id] == "Terminating:Wait" })
		begun := w.now()
		_, err := w.asg.CompleteLifecycleAction(w.ctx, &autoscaling.CompleteLifecycleActionInput{
			AutoScalingGroupName: aws.String(s.physical("Asg")), LifecycleHookName: aws.String("hook"), InstanceId: &id, LifecycleActionResult: aws.String("CONTINUE"),
		})
		require.NoError(w, err)
		s.until(time.Hour, "it is gone", func() bool { return s.lives()[id] == "" })
		assert.Less(w, w.now().Sub(begun), 10*time.Minute)
	}},
	{id: "F359", claim: "A launching hook holds an instance in Pending:Wait, and ABANDON terminates it.", source: "[SDK:autoscaling PutLifecycleHook]", check: func(w *world) {
		s := w.grown()
		s.hooked("autoscaling:EC2_INSTANCE_LAUNCHING", 60, "ABANDON")
		s.desire(3)
		s.until(time.Hour, "it waits", func() bool { return s.has("Pending:Wait") })
		s.until(time.Hour, "it was given up", func() bool {
			return s.activities()[0].StatusCode == "Cancelled" || s.activities()[1].StatusCode == "Cancelled"
		})
		assert.Len(w, s.serving(), 2)
	}},
	{id: "F360", claim: "A hook's heartbeat is 3600 s and its result ABANDON by default; the wait ends after 48 hours or 100 heartbeats.", source: "[SDK:autoscaling PutLifecycleHook]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.PutLifecycleHook(w.ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: aws.String(s.physical("Asg")), LifecycleHookName: aws.String("hook"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_TERMINATING")})
		require.NoError(w, err)
		out, err := w.asg.DescribeLifecycleHooks(w.ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String(s.physical("Asg"))})
		require.NoError(w, err)
		h := out.LifecycleHooks[0]
		assert.Equal(w, []int32{3600, 172800}, []int32{*h.HeartbeatTimeout, *h.GlobalTimeout})
		assert.Equal(w, "ABANDON", *h.DefaultResult)
	}},
	{id: "F361", claim: "DesiredCapacity lies between MinSize and MaxSize.", source: "[SDK:autoscaling CreateAutoScalingGroup]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.SetDesiredCapacity(w.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: aws.Int32(9)})
		w.refused(err, "ValidationError", "*")
		_, err = w.asg.UpdateAutoScalingGroup(w.ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String(s.physical("Asg")), MinSize: aws.Int32(5)})
		w.refused(err, "ValidationError", "*")
	}},
	{id: "F362", claim: "HealthCheckGracePeriod is 0 and DesiredCapacity is MinSize by default.", source: "[SDK:autoscaling] [UG:aws-properties-as-group]", check: func(w *world) {
		body := strings.Replace(roll, "      DesiredCapacity: !Ref Desired\n", "", 1)
		s := w.grownOf(body, "Least", "2")
		assert.EqualValues(w, 2, *s.group().DesiredCapacity)
		assert.EqualValues(w, 0, *s.group().HealthCheckGracePeriod)
		assert.Equal(w, "EC2", *s.group().HealthCheckType)
	}},
	{id: "F363", claim: "TerminateInstanceInAutoScalingGroup without a decrement launches another instance, with one it shrinks the group.", source: "[SDK:autoscaling TerminateInstanceInAutoScalingGroup]", check: func(w *world) {
		s := w.grown()
		id := s.serving()[0]
		require.NoError(w, s.terminate(id, false))
		s.until(time.Hour, "it is replaced", func() bool { return len(s.serving()) == 2 && s.lives()[id] == "" })
		require.NoError(w, s.terminate(s.serving()[0], true))
		assert.EqualValues(w, 1, *s.group().DesiredCapacity)
		require.Error(w, s.terminate(s.serving()[0], true), "it would go below MinSize")
	}},
	{id: "F364", claim: "A group spreads its instances evenly over its zones.", source: "[ASGUG]", check: func(w *world) {
		s := w.served()
		zones := map[string]int{}
		for _, i := range s.group().Instances {
			zones[*i.AvailabilityZone]++
		}
		assert.Len(w, zones, 2)
	}},
	{id: "F365", claim: "Instances carry the tag aws:autoscaling:groupName, and the group's state tells their launch template's version.", source: "[ASGUG] [SDK:autoscaling types.Instance]", check: func(w *world) {
		s := w.grown()
		out, err := w.asg.DescribeAutoScalingInstances(w.ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: s.serving()})
		require.NoError(w, err)
		require.Len(w, out.AutoScalingInstances, 2)
		for _, i := range out.AutoScalingInstances {
			assert.Equal(w, s.physical("Asg"), *i.AutoScalingGroupName)
			assert.Equal(w, "1", *i.LaunchTemplate.Version)
			assert.Equal(w, "HEALTHY", strings.ToUpper(*i.HealthStatus))
		}
	}},
	{id: "F366", claim: "The lifecycle states are those of the enumeration, Pending to ReplacingRootVolume.", source: "[SDK:autoscaling types.LifecycleState]", check: func(w *world) {
		for _, s := range []asgtypes.LifecycleState{"Pending", "Pending:Wait", "Pending:Proceed", "InService", "Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated"} {
			assert.Contains(w, asgtypes.LifecycleState("").Values(), s)
		}
	}},
	{id: "F367", claim: "While Launch is suspended a group launches nothing, and makes up for it when it is resumed.", source: "[ASGUG]", check: func(w *world) {
		s := w.grown()
		s.suspend("Launch")
		s.desire(3)
		w.pass(10 * time.Minute)
		assert.Len(w, s.lives(), 2)
		_, err := w.asg.ResumeProcesses(w.ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: aws.String(s.physical("Asg")), ScalingProcesses: []string{"Launch"}})
		require.NoError(w, err)
		s.until(time.Hour, "three serve", func() bool { return len(s.serving()) == 3 })
	}},
}
