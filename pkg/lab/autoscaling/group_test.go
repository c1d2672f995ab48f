package autoscaling_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// group is the group as the API describes it.
func group(w *labtest.World) autoscaling.Group {
	w.Helper()
	var g autoscaling.Group
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		out := labtest.Must(autoscaling.DescribeAutoScalingGroups(tx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"site"}}))
		if len(out.AutoScalingGroups) > 0 {
			g = out.AutoScalingGroups[0]
		}
	})
	return g
}

func activities(w *labtest.World) []autoscaling.Activity {
	w.Helper()
	var list []autoscaling.Activity
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		list = labtest.Must(autoscaling.DescribeScalingActivities(tx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: "site"})).Activities
	})
	return list
}

// inState counts instances by lifecycle state.
func inState(w *labtest.World) map[string]int {
	w.Helper()
	n := map[string]int{}
	for _, i := range group(w).Instances {
		n[i.LifecycleState]++
	}
	return n
}

func ids(w *labtest.World) []string {
	w.Helper()
	var out []string
	for _, i := range group(w).Instances {
		out = append(out, i.InstanceId)
	}
	return out
}

func desire(w *labtest.World, n int64) {
	w.Helper()
	w.Do(func(tx *core.Tx) {
		labtest.Must(autoscaling.SetDesiredCapacity(tx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: "site", DesiredCapacity: &n}))
	})
}

func TestGroupStartsInstancesInEveryZoneAndTargetGroup(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	w.MakeTemplate()
	w.Group(2, 4, 8, func(in *autoscaling.CreateAutoScalingGroupInput) {
		in.Tags = []autoscaling.Tag{{Key: "site", Value: "web", PropagateAtLaunch: labtest.Yes()}, {Key: "own", Value: "x", PropagateAtLaunch: labtest.No()}}
	})
	g := group(w)
	zones := map[string]int{}
	for _, i := range g.Instances {
		zones[i.AvailabilityZone]++
		assert.Equal(t, "InService", i.LifecycleState)
		assert.Equal(t, "Healthy", i.HealthStatus)
		assert.Equal(t, "1", i.LaunchTemplate.Version)
		assert.Equal(t, w.Image, i.ImageId)
		assert.Equal(t, "initial", w.Health(i.InstanceId).State, "InService needs EC2 only; the target comes after")
		w.Core.View(labtest.Region, func(tx *core.Tx) {
			tags := tx.Region.Instances[i.InstanceId].Tags
			assert.Equal(t, "web", tags["site"])
			assert.Equal(t, "site", tags["aws:autoscaling:groupName"])
			assert.NotContains(t, tags, "own")
		})
	}
	assert.Equal(t, map[string]int{"eu-west-1a": 2, "eu-west-1b": 2}, zones)
	list := activities(w)
	require.Len(t, list, 4)
	assert.Regexp(t, `^Launching a new EC2 instance: i-[0-9a-f]{17}$`, list[0].Description)
	assert.Equal(t, "Successful", list[0].StatusCode)
	assert.EqualValues(t, 100, list[0].Progress)
	assert.Equal(t, "At 2026-11-23T12:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 4.  "+
		"At 2026-11-23T12:00:00Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 0 to 4.", list[0].Cause)
	w.Until(90*time.Second, "all targets healthy", func(tx *core.Tx) bool {
		for _, id := range []string{g.Instances[0].InstanceId, g.Instances[3].InstanceId} {
			if elb.Health(tx, w.Targets, id) != "healthy" {
				return false
			}
		}
		return true
	})
}

func TestTerminatedInstanceServesThroughDrainingAndHook(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	w.MakeTemplate()
	w.Do(func(tx *core.Tx) {
		tx.Region.TargetGroups[w.Targets].Attributes["deregistration_delay.timeout_seconds"] = "60"
	})
	w.Group(1, 2, 8, func(in *autoscaling.CreateAutoScalingGroupInput) {
		in.LifecycleHookSpecificationList = []autoscaling.LifecycleHookSpecification{{
			LifecycleHookName: "drain", LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING", HeartbeatTimeout: new(int64(180)), DefaultResult: "CONTINUE",
		}}
	})
	w.Run(90 * time.Second)
	id := ids(w)[0]
	w.Do(func(tx *core.Tx) {
		out := labtest.Must(autoscaling.TerminateInstanceInAutoScalingGroup(tx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: id, ShouldDecrementDesiredCapacity: labtest.Yes(),
		}))
		assert.Equal(t, "Terminating EC2 instance: "+id+" - Waiting For ELB Connection Draining.", out.Activity.Description)
		assert.Contains(t, out.Activity.Cause, "instance "+id+" was taken out of service in response to a user request, shrinking the capacity from 2 to 1.")
	})
	serving := func() bool {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.Machine.Dial(ctx, id, 80)
		}}}
		res, err := c.Get("http://machine/")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return strings.Contains(string(b), "Hello World")
	}
	assert.Equal(t, map[string]int{"InService": 1, "Terminating": 1}, inState(w))
	assert.Equal(t, "draining", w.Health(id).State)
	assert.EqualValues(t, 1, group(w).DesiredCapacity)
	assert.Equal(t, "WaitingForELBConnectionDraining", activities(w)[0].StatusCode)
	w.Run(61 * time.Second)
	assert.Equal(t, map[string]int{"InService": 1, "Terminating:Wait": 1}, inState(w))
	assert.Equal(t, "MidLifecycleAction", activities(w)[0].StatusCode)
	assert.True(t, serving(), "Terminating:Wait keeps it running")
	w.Run(170 * time.Second)
	assert.True(t, serving())
	w.Run(15 * time.Second)
	assert.Equal(t, map[string]int{"InService": 1}, inState(w))
	assert.False(t, serving())
	assert.Equal(t, "Successful", activities(w)[0].StatusCode)
}

func TestEveryWaitGoesOnAfterAKill(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	w.MakeTemplate()
	w.Do(func(tx *core.Tx) {
		tx.Region.TargetGroups[w.Targets].Attributes["deregistration_delay.timeout_seconds"] = "60"
	})
	w.Group(1, 2, 8, func(in *autoscaling.CreateAutoScalingGroupInput) {
		in.LifecycleHookSpecificationList = []autoscaling.LifecycleHookSpecification{{
			LifecycleHookName: "drain", LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING", HeartbeatTimeout: new(int64(180)), DefaultResult: "CONTINUE",
		}}
	})
	kill := func(d time.Duration) {
		for spent := time.Duration(0); spent < d; spent += 10 * time.Second {
			w.Run(10 * time.Second)
			w.Restart()
		}
	}
	kill(70 * time.Second)
	for _, id := range ids(w) {
		assert.Equal(t, "healthy", w.Health(id).State)
	}
	id := ids(w)[0]
	w.Do(func(tx *core.Tx) {
		labtest.Must(autoscaling.TerminateInstanceInAutoScalingGroup(tx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: id, ShouldDecrementDesiredCapacity: labtest.Yes(),
		}))
	})
	kill(50 * time.Second)
	assert.Equal(t, map[string]int{"InService": 1, "Terminating": 1}, inState(w))
	kill(20 * time.Second)
	assert.Equal(t, map[string]int{"InService": 1, "Terminating:Wait": 1}, inState(w))
	kill(180 * time.Second)
	assert.Equal(t, map[string]int{"InService": 1}, inState(w))
	assert.NotContains(t, ids(w), id)
}

func TestHookEndsByItsResult(t *testing.T) {
	for result, after := range map[string]map[string]int{"CONTINUE": {"InService": 1}, "ABANDON": {"Pending:Wait": 1}} {
		t.Run(result, func(t *testing.T) {
			w := labtest.New(t)
			w.MakeTemplate()
			w.Group(1, 1, 2, func(in *autoscaling.CreateAutoScalingGroupInput) {
				in.LifecycleHookSpecificationList = []autoscaling.LifecycleHookSpecification{{
					LifecycleHookName: "up", LifecycleTransition: "autoscaling:EC2_INSTANCE_LAUNCHING", HeartbeatTimeout: new(int64(300)),
				}}
			})
			assert.Equal(t, map[string]int{"Pending:Wait": 1}, inState(w))
			first := ids(w)[0]
			w.Do(func(tx *core.Tx) {
				_, err := autoscaling.CompleteLifecycleAction(tx, &autoscaling.CompleteLifecycleActionInput{
					AutoScalingGroupName: "site", LifecycleHookName: "up", InstanceId: "i-00000000000000000", LifecycleActionResult: result,
				})
				require.ErrorContains(t, err, "No active Lifecycle Action found with instance ID i-00000000000000000")
				labtest.Must(autoscaling.RecordLifecycleActionHeartbeat(tx, &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: "site", LifecycleHookName: "up", InstanceId: first}))
				labtest.Must(autoscaling.CompleteLifecycleAction(tx, &autoscaling.CompleteLifecycleActionInput{
					AutoScalingGroupName: "site", LifecycleHookName: "up", InstanceId: first, LifecycleActionResult: result,
				}))
			})
			w.Run(30 * time.Second)
			assert.Equal(t, after, inState(w))
			assert.Equal(t, result == "CONTINUE", ids(w)[0] == first, "an abandoned instance is replaced")
		})
	}
}

func TestScaleInTakesFromTheFullestZoneAndTheOldestTemplate(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(0, 2, 8)
	old := ids(w)
	w.MakeTemplate()
	w.Do(func(tx *core.Tx) {
		labtest.Must(autoscaling.UpdateAutoScalingGroup(tx, &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: "site", LaunchTemplate: &autoscaling.LaunchTemplateSpecification{LaunchTemplateId: w.Template, Version: "2"},
		}))
	})
	assert.Equal(t, old, ids(w), "a new version alone replaces nobody")
	desire(w, 4)
	desire(w, 2)
	w.Run(10 * time.Second)
	g := group(w)
	require.Len(t, g.Instances, 2)
	for _, i := range g.Instances {
		assert.Equal(t, "2", i.LaunchTemplate.Version)
	}
	assert.NotEqual(t, g.Instances[0].AvailabilityZone, g.Instances[1].AvailabilityZone)
	var shrank autoscaling.Activity
	for _, a := range activities(w) {
		if strings.HasPrefix(a.Description, "Terminating") {
			shrank = a
		}
	}
	assert.Regexp(t, `^At \S+Z a user request explicitly set group desired capacity changing the desired capacity from 4 to 2\.  At \S+Z an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 4 to 2\.  At \S+Z instance i-\w+ was selected for termination\.$`, shrank.Cause)
}

func TestUnhealthyInstancesAreReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		kind  string
		spoil func(w *labtest.World, id string)
		cause string
	}{
		"terminated by hand": {"EC2", func(w *labtest.World, id string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(ec2.TerminateInstances(tx, &ec2.InstancesInput{InstanceIds: []string{id}}))
			})
		}, "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped."},
		"page answers 500": {"ELB", func(w *labtest.World, id string) {
			require.NoError(w, w.Machine.Edit(id, func(d *memory.Image) { d.Broken = true }))
		}, "an instance was taken out of service in response to an ELB system health check failure."},
		"said so": {"EC2", func(w *labtest.World, id string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(autoscaling.SetInstanceHealth(tx, &autoscaling.SetInstanceHealthInput{InstanceId: id, HealthStatus: "Unhealthy"}))
			})
		}, "an instance was taken out of service in response to a user health-check."},
	} {
		t.Run(name, func(t *testing.T) {
			w := labtest.New(t)
			w.Balance()
			w.MakeTemplate()
			w.Group(1, 2, 4, func(in *autoscaling.CreateAutoScalingGroupInput) {
				in.HealthCheckType, in.HealthCheckGracePeriod = c.kind, new(int64(60))
			})
			w.Run(90 * time.Second)
			id := ids(w)[0]
			c.spoil(w, id)
			w.Run(400 * time.Second)
			assert.Equal(t, map[string]int{"InService": 2}, inState(w))
			assert.NotContains(t, ids(w), id)
			var causes []string
			for _, a := range activities(w) {
				causes = append(causes, a.Cause)
			}
			assert.Contains(t, strings.Join(causes, "\n"), c.cause)
			assert.Contains(t, strings.Join(causes, "\n"), "an instance was launched in response to an unhealthy instance needing to be replaced.")
		})
	}
}

func TestSuspendedProcessesDoNothing(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	w.MakeTemplate()
	w.Group(1, 2, 4, func(in *autoscaling.CreateAutoScalingGroupInput) { in.HealthCheckType = "ELB" })
	w.Run(90 * time.Second)
	before := ids(w)
	w.Do(func(tx *core.Tx) {
		labtest.Must(autoscaling.SuspendProcesses(tx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: "site", ScalingProcesses: []string{"HealthCheck", "ReplaceUnhealthy"}}))
		_, err := autoscaling.SuspendProcesses(tx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: "site", ScalingProcesses: []string{"Sleep"}})
		require.ErrorContains(t, err, "Invalid Scaling Process(es) specified: Sleep")
	})
	for _, id := range before {
		require.NoError(t, w.Machine.Edit(id, func(d *memory.Image) { d.Broken = true }))
	}
	w.Run(300 * time.Second)
	assert.Equal(t, before, ids(w))
	assert.Len(t, group(w).SuspendedProcesses, 2)
	assert.Contains(t, group(w).SuspendedProcesses[0].SuspensionReason, "User suspended at 2026-11-23T12:")
	w.Do(func(tx *core.Tx) {
		labtest.Must(autoscaling.ResumeProcesses(tx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: "site"}))
	})
	w.Run(700 * time.Second)
	assert.NotContains(t, ids(w), before[0])
}

func TestLaunchThatFailsSaysWhyAndIsTriedAgain(t *testing.T) {
	t.Run("no capacity", func(t *testing.T) {
		w := labtest.New(t)
		w.MakeTemplate()
		w.Do(func(tx *core.Tx) {
			labtest.Must(tx.AddFault(state.Fault{Kind: core.FaultNoCapacity, Match: map[string]string{"zone": "eu-west-1a"}, Times: -1}))
		})
		w.Group(1, 1, 2)
		require.Len(t, group(w).Instances, 1, "the other zone has capacity")
		assert.Equal(t, "eu-west-1b", group(w).Instances[0].AvailabilityZone)
		w.Do(func(tx *core.Tx) {
			labtest.Must(tx.AddFault(state.Fault{Kind: core.FaultNoCapacity, Match: map[string]string{"group": "site"}, Times: -1}))
		})
		desire(w, 2)
		list := activities(w)
		assert.Equal(t, "Launching a new EC2 instance", list[0].Description)
		assert.Equal(t, "Failed", list[0].StatusCode)
		assert.Regexp(t, `^We currently do not have sufficient t3\.micro capacity in the Availability Zone you requested.* Launching EC2 instance failed\.$`, list[0].StatusMessage)
		w.Run(200 * time.Second)
		n := len(activities(w))
		assert.Greater(t, n, 2, "it is tried again")
		assert.Less(t, n, 9, "with longer and longer waits")
		w.Do(func(tx *core.Tx) { tx.World.Faults = nil })
		w.Run(310 * time.Second)
		assert.Equal(t, map[string]int{"InService": 2}, inState(w))
	})
	t.Run("image gone", func(t *testing.T) {
		w := labtest.New(t)
		w.MakeTemplate()
		w.Group(1, 1, 4)
		w.Do(func(tx *core.Tx) { labtest.Must(ec2.DeregisterImage(tx, &ec2.DeregisterImageInput{ImageId: w.Image})) })
		desire(w, 2)
		list := activities(w)
		assert.Equal(t, "Failed", list[0].StatusCode)
		assert.Equal(t, "The image id '["+w.Image+"]' does not exist. Launching EC2 instance failed.", list[0].StatusMessage)
		w.Do(func(tx *core.Tx) {
			_, err := autoscaling.UpdateAutoScalingGroup(tx, &autoscaling.UpdateAutoScalingGroupInput{
				AutoScalingGroupName: "site", LaunchTemplate: &autoscaling.LaunchTemplateSpecification{LaunchTemplateId: w.Template, Version: "1"},
			})
			require.ErrorContains(t, err, "You must use a valid fully-formed launch template. The image id '["+w.Image+"]' does not exist")
		})
	})
}

func TestZonesAreEvenedOut(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(4, 4, 8)
	w.Do(func(tx *core.Tx) {
		for _, i := range labtest.Must(autoscaling.DescribeAutoScalingInstances(tx, &autoscaling.DescribeAutoScalingInstancesInput{})).AutoScalingInstances {
			if i.AvailabilityZone == "eu-west-1a" {
				labtest.Must(autoscaling.SuspendProcesses(tx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: "site", ScalingProcesses: []string{"AZRebalance"}}))
			}
		}
		tx.Region.Groups["site"].Subnets = tx.Region.Groups["site"].Subnets[1:]
	})
	w.Do(func(tx *core.Tx) {
		var gone []string
		for _, m := range tx.Region.Groups["site"].Members {
			if m.AZ == "eu-west-1a" {
				gone = append(gone, m.ID)
			}
		}
		labtest.Must(autoscaling.TerminateInstanceInAutoScalingGroup(tx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceIds: gone, ShouldDecrementDesiredCapacity: labtest.No()}))
	})
	w.Run(20 * time.Second)
	zones := func() map[string]int {
		n := map[string]int{}
		for _, i := range group(w).Instances {
			n[i.AvailabilityZone]++
		}
		return n
	}
	require.Equal(t, map[string]int{"eu-west-1b": 4}, zones())
	w.Do(func(tx *core.Tx) {
		tx.Region.Groups["site"].Subnets = w.Subnets
		labtest.Must(autoscaling.ResumeProcesses(tx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: "site"}))
	})
	w.Run(60 * time.Second)
	assert.Equal(t, map[string]int{"eu-west-1a": 2, "eu-west-1b": 2}, zones())
	assert.EqualValues(t, 4, group(w).DesiredCapacity)
}

func TestGroupWithInstancesIsNotDeletedUnlessForced(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(0, 2, 4)
	w.Do(func(tx *core.Tx) {
		_, err := autoscaling.DeleteAutoScalingGroup(tx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: "site"})
		require.ErrorContains(t, err, "ResourceInUse: You cannot delete an AutoScalingGroup while there are instances")
		labtest.Must(autoscaling.DeleteAutoScalingGroup(tx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: "site", ForceDelete: labtest.Yes()}))
	})
	w.Run(10 * time.Second)
	assert.Empty(t, group(w).AutoScalingGroupName)
	machines, err := w.Machine.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, machines)
}

func TestBadInput(t *testing.T) {
	w := labtest.New(t)
	w.MakeTemplate()
	w.Group(1, 1, 2)
	w.Do(func(tx *core.Tx) {
		for want, call := range map[string]func() error{
			"ValidationError: Max bound, 1, must be greater than or equal to min bound, 2": func() error {
				_, err := autoscaling.UpdateAutoScalingGroup(tx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: "site", MinSize: new(int64(2)), MaxSize: new(int64(1))})
				return err
			},
			"ValidationError: Desired capacity:9 must be between the specified min size:1 and max size:2": func() error {
				_, err := autoscaling.UpdateAutoScalingGroup(tx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: "site", DesiredCapacity: new(int64(9))})
				return err
			},
			"ValidationError: New SetDesiredCapacity value 3 is above max value 2 for the AutoScalingGroup.": func() error {
				_, err := autoscaling.SetDesiredCapacity(tx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: "site", DesiredCapacity: new(int64(3))})
				return err
			},
			"ValidationError: AutoScalingGroup name not found - AutoScalingGroup 'nope' not found": func() error {
				_, err := autoscaling.SetDesiredCapacity(tx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: "nope", DesiredCapacity: new(int64(1))})
				return err
			},
			"ValidationError: Provided Target Groups may not be valid. Please ensure they exist and try again.": func() error {
				_, err := autoscaling.AttachLoadBalancerTargetGroups(tx, &autoscaling.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: "site", TargetGroupARNs: []string{"arn:x"}})
				return err
			},
			"AlreadyExists: AutoScalingGroup by this name already exists - A group with the name site already exists": func() error {
				_, err := autoscaling.CreateAutoScalingGroup(tx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: "site"})
				return err
			},
		} {
			require.EqualError(t, call(), want)
		}
		_, err := autoscaling.TerminateInstanceInAutoScalingGroup(tx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: "i-1", ShouldDecrementDesiredCapacity: labtest.Yes()})
		require.ErrorContains(t, err, "No managed instance found for instance ID: i-1")
	})
}
