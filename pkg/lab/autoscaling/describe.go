package autoscaling

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// DescribeAutoScalingGroups lists groups in the order of their names; names that do not exist are left out.
func DescribeAutoScalingGroups(tx *core.Tx, in *DescribeAutoScalingGroupsInput) (*DescribeAutoScalingGroupsOutput, error) {
	var found []Group
	for _, name := range sortedKeys(tx.Region.Groups) {
		g := tx.Region.Groups[name]
		if len(in.AutoScalingGroupNames) > 0 && !slices.Contains(in.AutoScalingGroupNames, name) {
			continue
		}
		ok, err := tagged(g, in.Filters)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, describe(tx, g))
		}
	}
	page, next, err := core.Page(tx, found, func(g Group) string { return g.AutoScalingGroupName }, in.MaxRecords, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeAutoScalingGroupsOutput{AutoScalingGroups: page, NextToken: next}, nil
}

// tagged says whether a group's tags fit all filters.
func tagged(g *state.Group, filters []Filter) (bool, error) {
	for _, f := range filters {
		key, byKey := strings.CutPrefix(f.Name, "tag:")
		fits := false
		for _, t := range g.Tags {
			switch {
			case byKey:
				fits = fits || t.Key == key && slices.Contains(f.Values, t.Value)
			case f.Name == "tag-key":
				fits = fits || slices.Contains(f.Values, t.Key)
			case f.Name == "tag-value":
				fits = fits || slices.Contains(f.Values, t.Value)
			}
		}
		if !byKey && f.Name != "tag-key" && f.Name != "tag-value" {
			return false, wire.Errorf("ValidationError", "Filter type %s is not correct. Allowed Filter types are: tag-key, tag-value, tag:<key>", f.Name)
		}
		if !fits {
			return false, nil
		}
	}
	return true, nil
}

func describe(tx *core.Tx, g *state.Group) Group {
	out := Group{
		AutoScalingGroupName: g.Name, AutoScalingGroupARN: g.ARN,
		LaunchTemplate: specification(tx, g.LaunchTemplate, g.LaunchTemplateVersion),
		MinSize:        g.Min, MaxSize: g.Max, DesiredCapacity: g.Desired, DefaultCooldown: int64(g.Cooldown.Seconds()),
		AvailabilityZones: zonesOf(tx, g.Subnets), TargetGroupARNs: g.TargetGroups,
		HealthCheckType: g.HealthCheckType, HealthCheckGracePeriod: int64(g.GracePeriod.Seconds()),
		CreatedTime: g.Created, VPCZoneIdentifier: strings.Join(g.Subnets, ","), TerminationPolicies: g.TerminationPolicies,
		NewInstancesProtectedFromScaleIn: g.ProtectNew, Tags: describeTags(g),
		ServiceLinkedRoleARN: "arn:aws:iam::" + tx.World.Account + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
	}
	if g.Deleting {
		out.Status = "Delete in progress"
	}
	for _, p := range sortedKeys(g.Suspended) {
		out.SuspendedProcesses = append(out.SuspendedProcesses, SuspendedProcess{ProcessName: p, SuspensionReason: g.Suspended[p]})
	}
	for _, m := range g.Metrics {
		out.EnabledMetrics = append(out.EnabledMetrics, EnabledMetric{Metric: m, Granularity: "1Minute"})
	}
	for _, arn := range g.TargetGroups {
		out.TrafficSources = append(out.TrafficSources, TrafficSourceIdentifier{Identifier: arn, Type: "elbv2"})
	}
	for _, id := range sortedKeys(g.Members) {
		m := g.Members[id]
		i := Instance{
			InstanceId: id, AvailabilityZone: m.AZ, LifecycleState: m.Lifecycle, HealthStatus: m.Health,
			LaunchTemplate: specification(tx, m.LaunchTemplate, m.Version), ProtectedFromScaleIn: m.Protected,
		}
		if e := tx.Region.Instances[id]; e != nil {
			i.InstanceType, i.ImageId = e.Type, e.ImageID
		}
		out.Instances = append(out.Instances, i)
	}
	return out
}

func specification(tx *core.Tx, id, version string) *LaunchTemplateSpecification {
	s := &LaunchTemplateSpecification{LaunchTemplateId: id, Version: version}
	if lt := tx.Region.LaunchTemplates[id]; lt != nil {
		s.LaunchTemplateName = lt.Name
	}
	return s
}

// DescribeAutoScalingInstances lists instances of all groups; ids that do not exist are left out.
func DescribeAutoScalingInstances(tx *core.Tx, in *DescribeAutoScalingInstancesInput) (*DescribeAutoScalingInstancesOutput, error) {
	var found []InstanceDetails
	for _, name := range sortedKeys(tx.Region.Groups) {
		for _, i := range describe(tx, tx.Region.Groups[name]).Instances {
			if len(in.InstanceIds) > 0 && !slices.Contains(in.InstanceIds, i.InstanceId) {
				continue
			}
			found = append(found, InstanceDetails{
				InstanceId: i.InstanceId, InstanceType: i.InstanceType, AutoScalingGroupName: name, AvailabilityZone: i.AvailabilityZone,
				LifecycleState: i.LifecycleState, HealthStatus: strings.ToUpper(i.HealthStatus), LaunchTemplate: i.LaunchTemplate,
				ImageId: i.ImageId, ProtectedFromScaleIn: i.ProtectedFromScaleIn,
			})
		}
	}
	page, next, err := core.Page(tx, found, func(i InstanceDetails) string { return i.InstanceId }, in.MaxRecords, 50, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeAutoScalingInstancesOutput{AutoScalingInstances: page, NextToken: next}, nil
}

// DescribeScalingActivities lists activities: those in progress first, then the newest first.
func DescribeScalingActivities(tx *core.Tx, in *DescribeScalingActivitiesInput) (*DescribeScalingActivitiesOutput, error) {
	names := sortedKeys(tx.Region.Groups)
	if in.AutoScalingGroupName != "" {
		if _, err := Find(tx, in.AutoScalingGroupName); err != nil && !yes(in.IncludeDeletedGroups) {
			return nil, err
		}
		names = []string{in.AutoScalingGroupName}
	}
	var found []Activity
	for _, name := range names {
		g := tx.Region.Groups[name]
		if g == nil {
			continue
		}
		for _, a := range slices.Backward(g.Activities) {
			if len(in.ActivityIds) == 0 || slices.Contains(in.ActivityIds, a.ID) {
				found = append(found, describeActivity(g, a))
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Activity) int {
		if x, y := a.EndTime.IsZero(), b.EndTime.IsZero(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return b.StartTime.Compare(a.StartTime)
	})
	page, next, err := core.Page(tx, found, func(a Activity) string { return a.ActivityId }, in.MaxRecords, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeScalingActivitiesOutput{Activities: page, NextToken: next}, nil
}

func describeActivity(g *state.Group, a *state.Activity) Activity {
	return Activity{
		ActivityId: a.ID, AutoScalingGroupName: g.Name, AutoScalingGroupARN: g.ARN, Description: a.Description, Cause: a.Cause,
		StartTime: a.Started, EndTime: a.Ended, StatusCode: a.Status, StatusMessage: a.Message, Progress: a.Progress, Details: a.Details,
	}
}
