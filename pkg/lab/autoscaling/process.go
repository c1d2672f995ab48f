package autoscaling

import (
	"fmt"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Processes are the scaling processes that can be suspended.
var Processes = []string{
	"Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance",
	"HealthCheck", "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions",
}

func processes(names []string) ([]string, error) {
	if len(names) == 0 {
		return Processes, nil
	}
	for _, p := range names {
		if !slices.Contains(Processes, p) {
			return nil, wire.Errorf("ValidationError", "Invalid Scaling Process(es) specified: %s", p)
		}
	}
	return names, nil
}

// SuspendProcesses suspends processes of a group; those suspended already keep their reason.
func SuspendProcesses(tx *core.Tx, in *SuspendProcessesInput) (*SuspendProcessesOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	names, err := processes(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	for _, p := range names {
		if g.Suspended[p] == "" {
			g.Suspended[p] = "User suspended at " + tx.Now.UTC().Format("2006-01-02T15:04:05Z")
		}
	}
	tx.Changed()
	return &SuspendProcessesOutput{}, nil
}

// ResumeProcesses resumes processes of a group.
func ResumeProcesses(tx *core.Tx, in *ResumeProcessesInput) (*ResumeProcessesOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	names, err := processes(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	for _, p := range names {
		delete(g.Suspended, p)
	}
	tx.Changed()
	return &ResumeProcessesOutput{}, nil
}

func suspended(g *state.Group, process string) bool {
	_, is := g.Suspended[process]
	return is
}

// memberOf finds the group an instance is in.
func memberOf(tx *core.Tx, id string) (*state.Group, *state.Member, error) {
	for _, name := range sortedKeys(tx.Region.Groups) {
		g := tx.Region.Groups[name]
		if m := g.Members[id]; m != nil {
			return g, m, nil
		}
	}
	return nil, nil, wire.Errorf("ValidationError", "Instance Id not found - No managed instance found for instance ID: %s", id)
}

// TerminateInstanceInAutoScalingGroup takes instances out of their group, by
// draining and hooks, also when the process Terminate is suspended. With
// ShouldDecrementDesiredCapacity nothing is launched in their place.
func TerminateInstanceInAutoScalingGroup(tx *core.Tx, in *TerminateInstanceInAutoScalingGroupInput) (*TerminateInstanceInAutoScalingGroupOutput, error) {
	ids := in.InstanceIds
	if in.InstanceId != "" {
		ids = append([]string{in.InstanceId}, ids...)
	}
	if len(ids) == 0 {
		return nil, wire.Errorf("ValidationError", "InstanceId is required")
	}
	if in.ShouldDecrementDesiredCapacity == nil {
		return nil, wire.Errorf("ValidationError", "ShouldDecrementDesiredCapacity is required")
	}
	var g *state.Group
	for _, id := range ids {
		group, m, err := memberOf(tx, id)
		if err != nil {
			return nil, err
		}
		if g != nil && g != group || in.AutoScalingGroupName != "" && in.AutoScalingGroupName != group.Name {
			return nil, wire.Errorf("ValidationError", "The instance %s is not part of Auto Scaling group %s", id, in.AutoScalingGroupName)
		}
		if leaving(m) && !yes(in.ShouldDecrementDesiredCapacity) {
			return nil, wire.Errorf("ScalingActivityInProgress", "Instance %s is already being terminated", id)
		}
		g = group
	}
	if n := int64(len(ids)); yes(in.ShouldDecrementDesiredCapacity) && g.Desired-n < g.Min {
		return nil, wire.Errorf("ValidationError", "Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.Min)
	}
	out := &TerminateInstanceInAutoScalingGroupOutput{}
	for _, id := range ids {
		m := g.Members[id]
		cause := fmt.Sprintf("%s instance %s was taken out of service in response to a user request.", at(tx), id)
		if yes(in.ShouldDecrementDesiredCapacity) {
			cause = fmt.Sprintf("%s instance %s was taken out of service in response to a user request, shrinking the capacity from %d to %d.", at(tx), id, g.Desired, g.Desired-1)
			g.Desired--
		}
		if !leaving(m) {
			leave(tx, g, m, cause)
		}
		out.Activities = append(out.Activities, describeActivity(g, activity(g, m)))
	}
	out.Activity = &out.Activities[0]
	tx.Changed()
	return out, nil
}

// SetInstanceHealth sets the health of an instance by hand.
func SetInstanceHealth(tx *core.Tx, in *SetInstanceHealthInput) (*SetInstanceHealthOutput, error) {
	g, m, err := memberOf(tx, in.InstanceId)
	if err != nil {
		return nil, err
	}
	if in.HealthStatus != "Healthy" && in.HealthStatus != "Unhealthy" {
		return nil, wire.Errorf("ValidationError", "Invalid HealthStatus '%s': it must be Healthy or Unhealthy", in.HealthStatus)
	}
	respect := in.ShouldRespectGracePeriod == nil || *in.ShouldRespectGracePeriod
	if in.HealthStatus == "Unhealthy" && respect && graced(tx, g, m) {
		return &SetInstanceHealthOutput{}, nil
	}
	if m.Health != in.HealthStatus {
		m.Health = in.HealthStatus
		tx.Changed()
	}
	return &SetInstanceHealthOutput{}, nil
}

// graced says whether an instance is still within the group's grace period.
func graced(tx *core.Tx, g *state.Group, m *state.Member) bool {
	return m.Joined.IsZero() || !tx.Due(m.Joined.Add(tx.Scale(g.GracePeriod)))
}

// Metrics are the group metrics that can be collected.
var Metrics = []string{
	"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
	"GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances", "GroupInServiceCapacity",
	"GroupPendingCapacity", "GroupStandbyCapacity", "GroupTerminatingCapacity", "GroupTotalCapacity",
}

func metrics(names []string) ([]string, error) {
	if len(names) == 0 {
		return Metrics, nil
	}
	for _, m := range names {
		if !slices.Contains(Metrics, m) {
			return nil, wire.Errorf("ValidationError", "Invalid metric: %s", m)
		}
	}
	return names, nil
}

// EnableMetricsCollection begins to collect group metrics.
func EnableMetricsCollection(tx *core.Tx, in *EnableMetricsCollectionInput) (*EnableMetricsCollectionOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if in.Granularity != "1Minute" {
		return nil, wire.Errorf("ValidationError", "Valid metrics granularity type is: [1Minute].")
	}
	names, err := metrics(in.Metrics)
	if err != nil {
		return nil, err
	}
	for _, m := range names {
		if !slices.Contains(g.Metrics, m) {
			g.Metrics = append(g.Metrics, m)
		}
	}
	slices.Sort(g.Metrics)
	tx.Changed()
	return &EnableMetricsCollectionOutput{}, nil
}

// DisableMetricsCollection ends it.
func DisableMetricsCollection(tx *core.Tx, in *DisableMetricsCollectionInput) (*DisableMetricsCollectionOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	names, err := metrics(in.Metrics)
	if err != nil {
		return nil, err
	}
	g.Metrics = slices.DeleteFunc(g.Metrics, func(m string) bool { return slices.Contains(names, m) })
	tx.Changed()
	return &DisableMetricsCollectionOutput{}, nil
}
