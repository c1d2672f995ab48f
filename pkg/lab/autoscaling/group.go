package autoscaling

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var terminationPolicies = []string{
	"Default", "AllocationStrategy", "OldestInstance", "NewestInstance", "OldestLaunchTemplate",
	"OldestLaunchConfiguration", "ClosestToNextInstanceHour",
}

// CreateAutoScalingGroup makes a group; its instances start at once.
func CreateAutoScalingGroup(tx *core.Tx, in *CreateAutoScalingGroupInput) (*CreateAutoScalingGroupOutput, error) {
	switch {
	case in.AutoScalingGroupName == "" || len(in.AutoScalingGroupName) > 255:
		return nil, wire.Errorf("ValidationError", "The AutoScalingGroupName must have 1 to 255 characters")
	case tx.Region.Groups[in.AutoScalingGroupName] != nil:
		return nil, wire.Errorf("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", in.AutoScalingGroupName)
	case in.MinSize == nil || in.MaxSize == nil:
		return nil, wire.Errorf("ValidationError", "MinSize and MaxSize are required")
	case in.LaunchTemplate == nil:
		return nil, wire.Errorf("ValidationError", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter. The lab knows LaunchTemplate only")
	case in.VPCZoneIdentifier == "":
		return nil, wire.Errorf("ValidationError", "At least one Availability Zone or VPC Subnet is required. The lab knows VPCZoneIdentifier only")
	}
	g := &state.Group{
		Name: in.AutoScalingGroupName, Created: tx.Now,
		ARN:             tx.ARN("autoscaling", "autoScalingGroup:"+core.UUID()+":autoScalingGroupName/"+in.AutoScalingGroupName),
		HealthCheckType: "EC2", Cooldown: 300 * time.Second, TerminationPolicies: []string{"Default"},
		Suspended: map[string]string{}, Hooks: map[string]*state.Hook{}, Members: map[string]*state.Member{},
	}
	desired := number(in.DesiredCapacity, *in.MinSize)
	next, err := changed(tx, g, &UpdateAutoScalingGroupInput{
		LaunchTemplate: in.LaunchTemplate, MinSize: in.MinSize, MaxSize: in.MaxSize, DesiredCapacity: &desired,
		DefaultCooldown: in.DefaultCooldown, HealthCheckType: in.HealthCheckType, HealthCheckGracePeriod: in.HealthCheckGracePeriod,
		VPCZoneIdentifier: in.VPCZoneIdentifier, TerminationPolicies: in.TerminationPolicies,
		NewInstancesProtectedFromScaleIn: in.NewInstancesProtectedFromScaleIn, AvailabilityZones: in.AvailabilityZones,
	})
	if err != nil {
		return nil, err
	}
	*g = next
	if g.TargetGroups, err = targetGroups(tx, in.TargetGroupARNs); err != nil {
		return nil, err
	}
	for _, h := range in.LifecycleHookSpecificationList {
		hook, err := newHook(nil, &PutLifecycleHookInput{
			AutoScalingGroupName: g.Name, LifecycleHookName: h.LifecycleHookName, LifecycleTransition: h.LifecycleTransition,
			HeartbeatTimeout: h.HeartbeatTimeout, DefaultResult: h.DefaultResult, NotificationMetadata: h.NotificationMetadata,
			NotificationTargetARN: h.NotificationTargetARN, RoleARN: h.RoleARN,
		})
		if err != nil {
			return nil, err
		}
		g.Hooks[hook.Name] = hook
	}
	for _, t := range in.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		setTag(g, t)
	}
	g.Cause = fmt.Sprintf("%s a user request created an AutoScalingGroup changing the desired capacity from 0 to %d.", at(tx), g.Desired)
	tx.Region.Groups[g.Name] = g
	tx.Changed()
	return &CreateAutoScalingGroupOutput{}, nil
}

func targetGroups(tx *core.Tx, arns []string) ([]string, error) {
	for _, arn := range arns {
		if tx.Region.TargetGroups[arn] == nil {
			return nil, wire.Errorf("ValidationError", "Provided Target Groups may not be valid. Please ensure they exist and try again.")
		}
	}
	return slices.Clone(arns), nil
}

// changed is the group with the changes of in, or what is wrong with them.
func changed(tx *core.Tx, g *state.Group, in *UpdateAutoScalingGroupInput) (state.Group, error) {
	n := *g
	n.Min, n.Max = number(in.MinSize, g.Min), number(in.MaxSize, g.Max)
	switch {
	case n.Min < 0 || n.Max < 0:
		return n, wire.Errorf("ValidationError", "MinSize and MaxSize must not be negative")
	case n.Max < n.Min:
		return n, wire.Errorf("ValidationError", "Max bound, %d, must be greater than or equal to min bound, %d", n.Max, n.Min)
	case in.DesiredCapacity == nil:
		n.Desired = min(max(g.Desired, n.Min), n.Max)
	case *in.DesiredCapacity < n.Min || *in.DesiredCapacity > n.Max:
		return n, wire.Errorf("ValidationError", "Desired capacity:%d must be between the specified min size:%d and max size:%d", *in.DesiredCapacity, n.Min, n.Max)
	default:
		n.Desired = *in.DesiredCapacity
	}
	switch in.HealthCheckType {
	case "":
	case "EC2", "ELB":
		n.HealthCheckType = in.HealthCheckType
	default:
		return n, wire.Errorf("ValidationError", "Invalid HealthCheckType: %s", in.HealthCheckType)
	}
	n.GracePeriod = seconds(in.HealthCheckGracePeriod, g.GracePeriod)
	n.Cooldown = seconds(in.DefaultCooldown, g.Cooldown)
	if n.GracePeriod < 0 || n.Cooldown < 0 {
		return n, wire.Errorf("ValidationError", "HealthCheckGracePeriod and DefaultCooldown must not be negative")
	}
	if in.NewInstancesProtectedFromScaleIn != nil {
		n.ProtectNew = *in.NewInstancesProtectedFromScaleIn
	}
	for _, p := range in.TerminationPolicies {
		if !slices.Contains(terminationPolicies, p) {
			return n, wire.Errorf("ValidationError", "Invalid termination policy: %s", p)
		}
	}
	if len(in.TerminationPolicies) > 0 {
		n.TerminationPolicies = slices.Clone(in.TerminationPolicies)
	}
	if in.VPCZoneIdentifier != "" {
		n.Subnets = nil
		vpc := ""
		for _, id := range strings.Split(in.VPCZoneIdentifier, ",") {
			s := tx.Region.Subnets[strings.TrimSpace(id)]
			if s == nil {
				return n, wire.Errorf("ValidationError", "The subnet ID '%s' does not exist", strings.TrimSpace(id))
			}
			if vpc != "" && vpc != s.VPCID {
				return n, wire.Errorf("ValidationError", "The subnets '%s' are not all in the same VPC", in.VPCZoneIdentifier)
			}
			vpc = s.VPCID
			n.Subnets = append(n.Subnets, s.ID)
		}
	}
	zones := zonesOf(tx, n.Subnets)
	for _, z := range in.AvailabilityZones {
		if !slices.Contains(zones, z) {
			return n, wire.Errorf("ValidationError", "The availability zones of the specified subnets and the AutoScalingGroup do not match")
		}
	}
	if in.LaunchTemplate != nil {
		id, version, err := launchTemplate(tx, in.LaunchTemplate)
		if err != nil {
			return n, err
		}
		n.LaunchTemplate, n.LaunchTemplateVersion = id, version
	}
	return n, nil
}

// launchTemplate checks that instances could be started from a launch template, as AWS does.
func launchTemplate(tx *core.Tx, spec *LaunchTemplateSpecification) (id, version string, err error) {
	const prefix = "You must use a valid fully-formed launch template. "
	if spec.LaunchTemplateId != "" && spec.LaunchTemplateName != "" {
		return "", "", wire.Errorf("ValidationError", "Valid requests must contain either launchTemplateId or LaunchTemplateName")
	}
	version = spec.Version
	if version == "" {
		version = "$Default"
	}
	lt, v, err := ec2.FindLaunchTemplateVersion(tx, spec.LaunchTemplateId, spec.LaunchTemplateName, version)
	if err != nil {
		return "", "", wire.Errorf("ValidationError", "%s%s", prefix, message(err))
	}
	data, err := ec2.ParseLaunchTemplateData(v.Data)
	if err != nil {
		return "", "", wire.Errorf("ValidationError", "%s%s", prefix, message(err))
	}
	if data.ImageId == "" {
		return "", "", wire.Errorf("ValidationError", "%sThe request must contain the parameter ImageId", prefix)
	}
	if image := tx.Region.Images[data.ImageId]; image == nil || image.State == "deregistered" {
		return "", "", wire.Errorf("ValidationError", "%sThe image id '[%s]' does not exist", prefix, data.ImageId)
	}
	return lt.ID, version, nil
}

// message is what an error says, without AWS's code.
func message(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func zonesOf(tx *core.Tx, subnets []string) []string {
	var zones []string
	for _, id := range subnets {
		if s := tx.Region.Subnets[id]; s != nil && !slices.Contains(zones, s.AZ) {
			zones = append(zones, s.AZ)
		}
	}
	return zones
}

// UpdateAutoScalingGroup changes what is given. Instances that run stay as
// they are, unless the new desired capacity wants fewer or more.
func UpdateAutoScalingGroup(tx *core.Tx, in *UpdateAutoScalingGroupInput) (*UpdateAutoScalingGroupOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	next, err := changed(tx, g, in)
	if err != nil {
		return nil, err
	}
	if next.Desired != g.Desired {
		next.Cause = fmt.Sprintf("%s a user request update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.",
			at(tx), next.Min, next.Max, next.Desired, g.Desired, next.Desired)
	}
	if in.LaunchTemplate != nil || in.VPCZoneIdentifier != "" || next.Desired != g.Desired {
		next.NextLaunch, next.Failures = time.Time{}, 0
	}
	*g = next
	tx.Changed()
	return &UpdateAutoScalingGroupOutput{}, nil
}

// living is Find for changes, which a group that is being deleted takes no more.
func living(tx *core.Tx, name string) (*state.Group, error) {
	g, err := Find(tx, name)
	if err != nil {
		return nil, err
	}
	if g.Deleting {
		return nil, wire.Errorf("ScalingActivityInProgress", "AutoScalingGroup %s is pending delete", name)
	}
	return g, nil
}

// SetDesiredCapacity changes the desired capacity alone.
func SetDesiredCapacity(tx *core.Tx, in *SetDesiredCapacityInput) (*SetDesiredCapacityOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if in.DesiredCapacity == nil {
		return nil, wire.Errorf("ValidationError", "DesiredCapacity is required")
	}
	d := *in.DesiredCapacity
	switch {
	case d < g.Min:
		return nil, wire.Errorf("ValidationError", "New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", d, g.Min)
	case d > g.Max:
		return nil, wire.Errorf("ValidationError", "New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", d, g.Max)
	case yes(in.HonorCooldown) && cooling(tx, g):
		return nil, wire.Errorf("ScalingActivityInProgress", "Scaling activity is in progress for the AutoScalingGroup %s: its cooldown is not over", g.Name)
	}
	if d != g.Desired {
		g.Cause = fmt.Sprintf("%s a user request explicitly set group desired capacity changing the desired capacity from %d to %d.", at(tx), g.Desired, d)
		g.Desired = d
		g.NextLaunch, g.Failures = time.Time{}, 0
		tx.Changed()
	}
	return &SetDesiredCapacityOutput{}, nil
}

// cooling says whether an activity is under way or ended less than the cooldown ago.
func cooling(tx *core.Tx, g *state.Group) bool {
	for _, a := range g.Activities {
		if a.Ended.IsZero() || tx.Now.Before(a.Ended.Add(tx.Scale(g.Cooldown))) {
			return true
		}
	}
	return false
}

// DeleteAutoScalingGroup deletes a group without instances; with ForceDelete
// its instances are terminated first, without draining and hooks.
func DeleteAutoScalingGroup(tx *core.Tx, in *DeleteAutoScalingGroupInput) (*DeleteAutoScalingGroupOutput, error) {
	g, err := Find(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	switch {
	case yes(in.ForceDelete):
		g.Deleting = true
		for _, id := range sortedKeys(g.Members) {
			m := g.Members[id]
			if !leaving(m) {
				leave(tx, g, m, at(tx)+" instance "+m.ID+" was taken out of service in response to a user request.")
			}
			m.DrainUntil, m.Waits = time.Time{}, nil
			m.Lifecycle = "Terminating:Proceed"
		}
	case len(Active(g)) > 0:
		return nil, wire.Errorf("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	case len(g.Members) > 0:
		return nil, wire.Errorf("ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.")
	}
	if len(g.Members) == 0 {
		delete(tx.Region.Groups, g.Name)
	}
	tx.Changed()
	return &DeleteAutoScalingGroupOutput{}, nil
}

// AttachLoadBalancerTargetGroups adds target groups, and the group's instances to them.
func AttachLoadBalancerTargetGroups(tx *core.Tx, in *AttachLoadBalancerTargetGroupsInput) (*AttachLoadBalancerTargetGroupsOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	arns, err := targetGroups(tx, in.TargetGroupARNs)
	if err != nil {
		return nil, err
	}
	for _, arn := range arns {
		if !slices.Contains(g.TargetGroups, arn) {
			g.TargetGroups = append(g.TargetGroups, arn)
		}
	}
	for _, m := range InService(g) {
		register(tx, g, m)
	}
	tx.Changed()
	return &AttachLoadBalancerTargetGroupsOutput{}, nil
}

// DetachLoadBalancerTargetGroups takes target groups away; the group's instances are deregistered.
func DetachLoadBalancerTargetGroups(tx *core.Tx, in *DetachLoadBalancerTargetGroupsInput) (*DetachLoadBalancerTargetGroupsOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	for _, arn := range in.TargetGroupARNs {
		if !slices.Contains(g.TargetGroups, arn) {
			return nil, wire.Errorf("ValidationError", "Trying to remove Target Groups that are not part of the group")
		}
	}
	for _, arn := range in.TargetGroupARNs {
		for _, m := range Active(g) {
			deregister(tx, arn, m.ID)
		}
		g.TargetGroups = slices.DeleteFunc(g.TargetGroups, func(x string) bool { return x == arn })
	}
	tx.Changed()
	return &DetachLoadBalancerTargetGroupsOutput{}, nil
}
