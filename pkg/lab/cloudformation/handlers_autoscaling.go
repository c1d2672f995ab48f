package cloudformation

import (
	"errors"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers[typeGroup] = groupHandler()
	handlers["AWS::AutoScaling::LifecycleHook"] = hookHandler()
}

// groupSizes are the sizes a template asks for; desired is nil if it names none.
type groupSizes struct {
	min, max int64
	desired  *int64
}

// sizes of a group when an update begins.
func (c *call) sizes(g *state.Group, p updatePolicy) groupSizes {
	if p.ignoreSize && !c.changed("MinSize", "MaxSize", "DesiredCapacity") && !c.rollback {
		desired := g.Desired
		return groupSizes{min: g.Min, max: g.Max, desired: &desired}
	}
	return groupSizes{
		min: c.props.whole("MinSize", 0), max: c.props.whole("MaxSize", 0), desired: c.props.number("DesiredCapacity"),
	}
}

// groupSupported are the properties of a group that the lab acts on.
var groupSupported = []string{
	"AutoScalingGroupName", "LaunchTemplate", "MinSize", "MaxSize", "DesiredCapacity", "Cooldown", "AvailabilityZones",
	"VPCZoneIdentifier", "TargetGroupARNs", "HealthCheckType", "HealthCheckGracePeriod", "Tags", "TerminationPolicies",
	"LifecycleHookSpecificationList", "NewInstancesProtectedFromScaleIn", "MetricsCollection",
	"DefaultInstanceWarmup", "CapacityRebalance", "MaxInstanceLifetime", "ServiceLinkedRoleARN",
}

func checkGroup(p properties) error {
	for k := range p {
		if !slices.Contains(groupSupported, k) {
			return reason("Encountered unsupported property " + k + " (this lab does not have it)")
		}
	}
	switch p.sub("LaunchTemplate").text("Version") {
	case "$Latest", "$Default":
		return reason("Specifying $Latest or $Default for the template version number is not supported.")
	}
	return nil
}

func launchSpec(p properties) *autoscaling.LaunchTemplateSpecification {
	if !p.has("LaunchTemplate") {
		return nil
	}
	lt := p.sub("LaunchTemplate")
	return &autoscaling.LaunchTemplateSpecification{
		LaunchTemplateId: lt.text("LaunchTemplateId"), LaunchTemplateName: lt.text("LaunchTemplateName"), Version: lt.text("Version"),
	}
}

// groupTags are the group's own tags and those of the stack, all handed on to instances unless the template says no.
func groupTags(c *call, name string) []autoscaling.Tag {
	yes, no := true, false
	var out []autoscaling.Tag
	for k, v := range c.tags {
		out = append(out, autoscaling.Tag{ResourceId: name, ResourceType: "auto-scaling-group", Key: k, Value: v, PropagateAtLaunch: &yes})
	}
	for _, t := range c.props.maps("Tags") {
		propagate := &no
		if f := t.flag("PropagateAtLaunch"); f != nil && *f {
			propagate = &yes
		}
		out = slices.DeleteFunc(out, func(x autoscaling.Tag) bool { return x.Key == t.text("Key") })
		out = append(out, autoscaling.Tag{
			ResourceId: name, ResourceType: "auto-scaling-group", Key: t.text("Key"), Value: t.text("Value"), PropagateAtLaunch: propagate,
		})
	}
	slices.SortFunc(out, func(a, b autoscaling.Tag) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func hookSpecs(p properties) ([]autoscaling.LifecycleHookSpecification, error) {
	var out []autoscaling.LifecycleHookSpecification
	for _, h := range p.maps("LifecycleHookSpecificationList") {
		spec := autoscaling.LifecycleHookSpecification{}
		if err := assign(&spec, h); err != nil {
			return nil, err
		}
		out = append(out, spec)
	}
	return out, nil
}

func groupHandler() *handler {
	return &handler{
		signals: true, create: createGroup, update: updateGroup, stable: groupStable, remove: removeGroup,
		gone: func(tx *core.Tx, c *call) (bool, error) {
			g := tx.Region.Groups[c.id]
			if g == nil {
				return true, nil
			}
			if len(g.Members) > 0 || g.Deleting {
				return false, nil
			}
			_, err := autoscaling.DeleteAutoScalingGroup(tx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: c.id})
			return err == nil, err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"AutoScalingGroupName": c.id}
			if g := tx.Region.Groups[c.id]; g != nil {
				out["AutoScalingGroupARN"] = g.ARN
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.Groups[c.id]
			if g == nil {
				return nil, false
			}
			lt := map[string]any{"LaunchTemplateId": g.LaunchTemplate, "Version": g.LaunchTemplateVersion}
			return map[string]any{
				"MinSize": float64(g.Min), "MaxSize": float64(g.Max), "DesiredCapacity": float64(g.Desired), "LaunchTemplate": lt,
				"HealthCheckType": g.HealthCheckType, "HealthCheckGracePeriod": g.GracePeriod.Seconds(),
				"VPCZoneIdentifier": list(g.Subnets), "TargetGroupARNs": list(g.TargetGroups),
			}, true
		},
	}
}

func createGroup(tx *core.Tx, c *call) (string, error) {
	if err := checkGroup(c.props); err != nil {
		return "", err
	}
	if _, err := c.engine.policyOf(c.res.LogicalID); err != nil {
		return "", err
	}
	name := c.named("AutoScalingGroupName", 255)
	in := &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: name, LaunchTemplate: launchSpec(c.props), MinSize: c.props.number("MinSize"), MaxSize: c.props.number("MaxSize"),
		DesiredCapacity: c.props.number("DesiredCapacity"), DefaultCooldown: c.props.number("Cooldown"),
		AvailabilityZones: c.props.texts("AvailabilityZones"), TargetGroupARNs: c.props.texts("TargetGroupARNs"),
		HealthCheckType: c.props.text("HealthCheckType"), HealthCheckGracePeriod: c.props.number("HealthCheckGracePeriod"),
		VPCZoneIdentifier: strings.Join(c.props.texts("VPCZoneIdentifier"), ","), TerminationPolicies: c.props.texts("TerminationPolicies"),
		NewInstancesProtectedFromScaleIn: c.props.flag("NewInstancesProtectedFromScaleIn"), Tags: groupTags(c, name),
	}
	var err error
	if in.LifecycleHookSpecificationList, err = hookSpecs(c.props); err != nil {
		return "", err
	}
	if _, err := autoscaling.CreateAutoScalingGroup(tx, in); err != nil {
		return "", err
	}
	c.id = name
	return name, updateMetrics(tx, c)
}

// updateMetrics switches the group's own metrics on and off.
func updateMetrics(tx *core.Tx, c *call) error {
	if !c.changed("MetricsCollection") {
		return nil
	}
	if len(c.old.maps("MetricsCollection")) > 0 {
		if _, err := autoscaling.DisableMetricsCollection(tx, &autoscaling.DisableMetricsCollectionInput{AutoScalingGroupName: c.id}); err != nil {
			return err
		}
	}
	for _, m := range c.props.maps("MetricsCollection") {
		in := &autoscaling.EnableMetricsCollectionInput{AutoScalingGroupName: c.id, Granularity: m.text("Granularity"), Metrics: m.texts("Metrics")}
		if _, err := autoscaling.EnableMetricsCollection(tx, in); err != nil {
			return err
		}
	}
	return nil
}

// updateGroup changes what the group is, and begins a rolling update where instances are obsolete by that.
func updateGroup(tx *core.Tx, c *call) error {
	g := tx.Region.Groups[c.id]
	if g == nil {
		return wire.Errorf("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '%s' not found", c.id)
	}
	if err := checkGroup(c.props); err != nil {
		return err
	}
	policy, err := c.engine.policyOf(c.res.LogicalID)
	if err != nil {
		return err
	}
	sizes := c.sizes(g, policy)
	if policy.rolling != nil && policy.rolling.inService >= sizes.max {
		// Said before anything changes, whether instances turn out to be obsolete or not.
		return reason("MinInstancesInService must be less than the autoscaling group's MaxSize")
	}
	orElse := func(key string, value int64) *int64 {
		n := c.props.whole(key, value)
		return &n
	}
	in := &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: c.id, LaunchTemplate: launchSpec(c.props), DefaultCooldown: orElse("Cooldown", 300),
		HealthCheckType: "EC2", HealthCheckGracePeriod: orElse("HealthCheckGracePeriod", 0),
		VPCZoneIdentifier: strings.Join(c.props.texts("VPCZoneIdentifier"), ","), TerminationPolicies: c.props.texts("TerminationPolicies"),
	}
	if t := c.props.text("HealthCheckType"); t != "" {
		in.HealthCheckType = t
	}
	if len(in.TerminationPolicies) == 0 {
		in.TerminationPolicies = []string{"Default"}
	}
	protect := false
	if f := c.props.flag("NewInstancesProtectedFromScaleIn"); f != nil {
		protect = *f
	}
	in.NewInstancesProtectedFromScaleIn = &protect
	if _, err := autoscaling.UpdateAutoScalingGroup(tx, in); err != nil {
		return err
	}
	if err := errors.Join(updateTargets(tx, c), updateHooks(tx, c), updateMetrics(tx, c), retagGroup(tx, c, g)); err != nil {
		return err
	}
	g = tx.Region.Groups[c.id]
	if policy.rolling != nil {
		roll, err := c.engine.startRoll(c.res, g, policy.rolling, sizes)
		if err != nil {
			return err
		}
		if roll != nil {
			c.res.Work.Roll = roll
			return nil
		}
	}
	desired := min(max(g.Desired, sizes.min), sizes.max)
	if sizes.desired != nil {
		desired = *sizes.desired
	}
	return resize(tx, g, sizes.min, sizes.max, desired)
}

func updateTargets(tx *core.Tx, c *call) error {
	g := tx.Region.Groups[c.id]
	want := c.props.texts("TargetGroupARNs")
	var gone, added []string
	for _, a := range g.TargetGroups {
		if !slices.Contains(want, a) && slices.Contains(c.old.texts("TargetGroupARNs"), a) {
			gone = append(gone, a)
		}
	}
	for _, a := range want {
		if !slices.Contains(g.TargetGroups, a) {
			added = append(added, a)
		}
	}
	if len(added) > 0 {
		if _, err := autoscaling.AttachLoadBalancerTargetGroups(tx, &autoscaling.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: c.id, TargetGroupARNs: added}); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if _, err := autoscaling.DetachLoadBalancerTargetGroups(tx, &autoscaling.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: c.id, TargetGroupARNs: gone}); err != nil {
			return err
		}
	}
	return nil
}

func updateHooks(tx *core.Tx, c *call) error {
	if !c.changed("LifecycleHookSpecificationList") {
		return nil
	}
	specs, err := hookSpecs(c.props)
	if err != nil {
		return err
	}
	for _, h := range specs {
		_, err := autoscaling.PutLifecycleHook(tx, &autoscaling.PutLifecycleHookInput{
			AutoScalingGroupName: c.id, LifecycleHookName: h.LifecycleHookName, LifecycleTransition: h.LifecycleTransition,
			HeartbeatTimeout: h.HeartbeatTimeout, DefaultResult: h.DefaultResult, NotificationMetadata: h.NotificationMetadata,
			NotificationTargetARN: h.NotificationTargetARN, RoleARN: h.RoleARN,
		})
		if err != nil {
			return err
		}
	}
	for _, h := range c.old.maps("LifecycleHookSpecificationList") {
		name := h.text("LifecycleHookName")
		if slices.ContainsFunc(specs, func(s autoscaling.LifecycleHookSpecification) bool { return s.LifecycleHookName == name }) {
			continue
		}
		if _, err := autoscaling.DeleteLifecycleHook(tx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: c.id, LifecycleHookName: name}); err != nil {
			return err
		}
	}
	return nil
}

func retagGroup(tx *core.Tx, c *call, g *state.Group) error {
	want := groupTags(c, c.id)
	var gone []autoscaling.Tag
	for _, t := range g.Tags {
		if !slices.ContainsFunc(want, func(w autoscaling.Tag) bool { return w.Key == t.Key }) {
			gone = append(gone, autoscaling.Tag{ResourceId: c.id, ResourceType: "auto-scaling-group", Key: t.Key})
		}
	}
	if len(gone) > 0 {
		if _, err := autoscaling.DeleteTags(tx, &autoscaling.DeleteTagsInput{Tags: gone}); err != nil {
			return err
		}
	}
	_, err := autoscaling.CreateOrUpdateTags(tx, &autoscaling.CreateOrUpdateTagsInput{Tags: want})
	return err
}

func groupStable(tx *core.Tx, c *call) (bool, error) {
	g := tx.Region.Groups[c.id]
	if g == nil {
		return false, wire.Errorf("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '%s' not found", c.id)
	}
	if c.res.Work.Roll != nil {
		p, err := c.engine.policyOf(c.res.LogicalID)
		if err != nil {
			return false, err
		}
		if p.rolling == nil {
			return false, errors.New("the update policy of " + c.res.LogicalID + " vanished while its rolling update was under way")
		}
		return c.engine.roll(c.res, g, p.rolling)
	}
	if int64(len(autoscaling.InService(g))) == g.Desired {
		return true, nil
	}
	if tx.Due(c.res.Work.Deadline) {
		return false, notStable(g)
	}
	return false, nil
}

// removeGroup scales to nothing; instances leave by draining and hooks, as always.
func removeGroup(tx *core.Tx, c *call) error {
	g := tx.Region.Groups[c.id]
	if g == nil || g.Deleting {
		return nil
	}
	return resize(tx, g, 0, 0, 0)
}

func hookHandler() *handler {
	put := func(tx *core.Tx, c *call, name string) error {
		in := &autoscaling.PutLifecycleHookInput{}
		if err := assign(in, c.props); err != nil {
			return err
		}
		in.LifecycleHookName = name
		_, err := autoscaling.PutLifecycleHook(tx, in)
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			name := c.named("LifecycleHookName", 255)
			return name, put(tx, c, name)
		},
		update: func(tx *core.Tx, c *call) error { return put(tx, c, c.id) },
		remove: func(tx *core.Tx, c *call) error {
			group := c.props.text("AutoScalingGroupName")
			if g := tx.Region.Groups[group]; g == nil || g.Hooks[c.id] == nil {
				return nil
			}
			_, err := autoscaling.DeleteLifecycleHook(tx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: group, LifecycleHookName: c.id})
			return err
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.Groups[c.props.text("AutoScalingGroupName")]
			if g == nil || g.Hooks[c.id] == nil {
				return nil, false
			}
			h := g.Hooks[c.id]
			return map[string]any{"LifecycleTransition": h.Transition, "DefaultResult": h.Default, "HeartbeatTimeout": h.Heartbeat.Seconds()}, true
		},
	}
}
