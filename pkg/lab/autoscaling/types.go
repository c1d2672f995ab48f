package autoscaling

import "time"

// Tag of a group, handed on to instances if PropagateAtLaunch.
type Tag struct {
	ResourceId, ResourceType string
	Key, Value               string
	PropagateAtLaunch        *bool
}

// LaunchTemplateSpecification names a launch template by id or name, and a version
// ("$Default" if empty).
type LaunchTemplateSpecification struct{ LaunchTemplateId, LaunchTemplateName, Version string }

// LifecycleHookSpecification is a hook made together with its group.
type LifecycleHookSpecification struct {
	LifecycleHookName     string
	LifecycleTransition   string // "autoscaling:EC2_INSTANCE_LAUNCHING" or "…_TERMINATING"
	NotificationMetadata  string
	HeartbeatTimeout      *int64
	DefaultResult         string // "CONTINUE" or "ABANDON"
	NotificationTargetARN string
	RoleARN               string
}

// CreateAutoScalingGroupInput asks for a group.
type CreateAutoScalingGroupInput struct {
	AutoScalingGroupName             string
	LaunchTemplate                   *LaunchTemplateSpecification
	MinSize, MaxSize                 *int64
	DesiredCapacity                  *int64
	DefaultCooldown                  *int64
	AvailabilityZones                []string
	TargetGroupARNs                  []string
	HealthCheckType                  string
	HealthCheckGracePeriod           *int64
	VPCZoneIdentifier                string // subnet ids, with commas
	TerminationPolicies              []string
	NewInstancesProtectedFromScaleIn *bool
	LifecycleHookSpecificationList   []LifecycleHookSpecification
	Tags                             []Tag
	ServiceLinkedRoleARN             string
	DefaultInstanceWarmup            *int64
	CapacityRebalance                *bool
	MaxInstanceLifetime              *int64
}

// CreateAutoScalingGroupOutput is empty.
type CreateAutoScalingGroupOutput struct{}

// UpdateAutoScalingGroupInput changes what is given.
type UpdateAutoScalingGroupInput struct {
	AutoScalingGroupName             string
	LaunchTemplate                   *LaunchTemplateSpecification
	MinSize, MaxSize                 *int64
	DesiredCapacity                  *int64
	DefaultCooldown                  *int64
	AvailabilityZones                []string
	HealthCheckType                  string
	HealthCheckGracePeriod           *int64
	VPCZoneIdentifier                string
	TerminationPolicies              []string
	NewInstancesProtectedFromScaleIn *bool
	ServiceLinkedRoleARN             string
	DefaultInstanceWarmup            *int64
	CapacityRebalance                *bool
	MaxInstanceLifetime              *int64
}

// UpdateAutoScalingGroupOutput is empty.
type UpdateAutoScalingGroupOutput struct{}

// DeleteAutoScalingGroupInput names the group; ForceDelete takes its instances along, without hooks.
type DeleteAutoScalingGroupInput struct {
	AutoScalingGroupName string
	ForceDelete          *bool
}

// DeleteAutoScalingGroupOutput is empty.
type DeleteAutoScalingGroupOutput struct{}

// SetDesiredCapacityInput changes the desired capacity alone.
type SetDesiredCapacityInput struct {
	AutoScalingGroupName string
	DesiredCapacity      *int64
	HonorCooldown        *bool
}

// SetDesiredCapacityOutput is empty.
type SetDesiredCapacityOutput struct{}

// Filter selects by "tag-key", "tag-value" or "tag:<key>".
type Filter struct {
	Name   string
	Values []string
}

// DescribeAutoScalingGroupsInput selects groups by name or filter; neither means all.
type DescribeAutoScalingGroupsInput struct {
	AutoScalingGroupNames []string
	Filters               []Filter
	IncludeInstances      *bool
	NextToken             string
	MaxRecords            *int64
}

// DescribeAutoScalingGroupsOutput is one page.
type DescribeAutoScalingGroupsOutput struct {
	AutoScalingGroups []Group
	NextToken         string
}

// Group as the API describes it.
type Group struct {
	AutoScalingGroupName             string
	AutoScalingGroupARN              string
	LaunchTemplate                   *LaunchTemplateSpecification
	MinSize, MaxSize                 int64
	DesiredCapacity                  int64
	DefaultCooldown                  int64
	AvailabilityZones                []string
	TargetGroupARNs                  []string
	HealthCheckType                  string
	HealthCheckGracePeriod           int64
	Instances                        []Instance
	CreatedTime                      time.Time
	SuspendedProcesses               []SuspendedProcess
	EnabledMetrics                   []EnabledMetric
	VPCZoneIdentifier                string
	Status                           string // "Delete in progress", else empty
	Tags                             []TagDescription
	TerminationPolicies              []string
	NewInstancesProtectedFromScaleIn bool
	ServiceLinkedRoleARN             string
	TrafficSources                   []TrafficSourceIdentifier
}

// TrafficSourceIdentifier is a target group seen as a source of traffic.
type TrafficSourceIdentifier struct{ Identifier, Type string }

// Instance of a group.
type Instance struct {
	InstanceId           string
	InstanceType         string
	AvailabilityZone     string
	LifecycleState       string
	HealthStatus         string
	LaunchTemplate       *LaunchTemplateSpecification
	ImageId              string
	ProtectedFromScaleIn bool
}

// SuspendedProcess tells since when and why.
type SuspendedProcess struct{ ProcessName, SuspensionReason string }

// TagDescription is a tag as described.
type TagDescription struct {
	ResourceId, ResourceType string
	Key, Value               string
	PropagateAtLaunch        bool
}

// DescribeAutoScalingInstancesInput selects instances; none means all of all groups.
type DescribeAutoScalingInstancesInput struct {
	InstanceIds []string
	MaxRecords  *int64
	NextToken   string
}

// DescribeAutoScalingInstancesOutput is one page.
type DescribeAutoScalingInstancesOutput struct {
	AutoScalingInstances []InstanceDetails
	NextToken            string
}

// InstanceDetails is an instance with its group's name.
type InstanceDetails struct {
	InstanceId           string
	InstanceType         string
	AutoScalingGroupName string
	AvailabilityZone     string
	LifecycleState       string
	HealthStatus         string // "HEALTHY", "UNHEALTHY"
	LaunchTemplate       *LaunchTemplateSpecification
	ImageId              string
	ProtectedFromScaleIn bool
}

// DescribeScalingActivitiesInput selects activities, the newest first.
type DescribeScalingActivitiesInput struct {
	ActivityIds          []string
	AutoScalingGroupName string
	IncludeDeletedGroups *bool
	MaxRecords           *int64
	NextToken            string
}

// DescribeScalingActivitiesOutput is one page.
type DescribeScalingActivitiesOutput struct {
	Activities []Activity
	NextToken  string
}

// Activity is a scaling activity as described.
type Activity struct {
	ActivityId           string
	AutoScalingGroupName string
	AutoScalingGroupARN  string
	Description          string
	Cause                string
	StartTime            time.Time
	EndTime              time.Time
	StatusCode           string
	StatusMessage        string
	Progress             int64
	Details              string
}

// TerminateInstanceInAutoScalingGroupInput names one instance, or several of one group.
type TerminateInstanceInAutoScalingGroupInput struct {
	AutoScalingGroupName           string
	InstanceId                     string
	InstanceIds                    []string
	ShouldDecrementDesiredCapacity *bool
}

// TerminateInstanceInAutoScalingGroupOutput holds the activities begun.
type TerminateInstanceInAutoScalingGroupOutput struct {
	Activity   *Activity
	Activities []Activity
}

// SuspendProcessesInput names processes; none means all.
type SuspendProcessesInput struct {
	AutoScalingGroupName string
	ScalingProcesses     []string
}

// SuspendProcessesOutput is empty.
type SuspendProcessesOutput struct{}

// ResumeProcessesInput names processes; none means all.
type ResumeProcessesInput struct {
	AutoScalingGroupName string
	ScalingProcesses     []string
}

// ResumeProcessesOutput is empty.
type ResumeProcessesOutput struct{}

// PutLifecycleHookInput makes or changes a hook.
type PutLifecycleHookInput struct {
	AutoScalingGroupName  string
	LifecycleHookName     string
	LifecycleTransition   string
	NotificationMetadata  string
	HeartbeatTimeout      *int64
	DefaultResult         string
	NotificationTargetARN string
	RoleARN               string
}

// PutLifecycleHookOutput is empty.
type PutLifecycleHookOutput struct{}

// DeleteLifecycleHookInput names a hook; who waits for it goes on.
type DeleteLifecycleHookInput struct{ AutoScalingGroupName, LifecycleHookName string }

// DeleteLifecycleHookOutput is empty.
type DeleteLifecycleHookOutput struct{}

// DescribeLifecycleHooksInput selects hooks of a group; no names means all.
type DescribeLifecycleHooksInput struct {
	AutoScalingGroupName string
	LifecycleHookNames   []string
}

// DescribeLifecycleHooksOutput holds them.
type DescribeLifecycleHooksOutput struct{ LifecycleHooks []LifecycleHook }

// LifecycleHook as described.
type LifecycleHook struct {
	LifecycleHookName     string
	AutoScalingGroupName  string
	LifecycleTransition   string
	NotificationMetadata  string
	HeartbeatTimeout      int64
	GlobalTimeout         int64
	DefaultResult         string
	NotificationTargetARN string
	RoleARN               string
}

// CompleteLifecycleActionInput ends the wait of one instance, named by id or token.
type CompleteLifecycleActionInput struct {
	AutoScalingGroupName  string
	LifecycleHookName     string
	LifecycleActionToken  string
	LifecycleActionResult string // "CONTINUE" or "ABANDON"
	InstanceId            string
}

// CompleteLifecycleActionOutput is empty.
type CompleteLifecycleActionOutput struct{}

// RecordLifecycleActionHeartbeatInput starts the wait of one instance anew.
type RecordLifecycleActionHeartbeatInput struct {
	AutoScalingGroupName string
	LifecycleHookName    string
	LifecycleActionToken string
	InstanceId           string
}

// RecordLifecycleActionHeartbeatOutput is empty.
type RecordLifecycleActionHeartbeatOutput struct{}

// SetInstanceHealthInput sets "Healthy" or "Unhealthy" by hand.
type SetInstanceHealthInput struct {
	InstanceId               string
	HealthStatus             string
	ShouldRespectGracePeriod *bool
}

// SetInstanceHealthOutput is empty.
type SetInstanceHealthOutput struct{}

// AttachLoadBalancerTargetGroupsInput adds target groups.
type AttachLoadBalancerTargetGroupsInput struct {
	AutoScalingGroupName string
	TargetGroupARNs      []string
}

// AttachLoadBalancerTargetGroupsOutput is empty.
type AttachLoadBalancerTargetGroupsOutput struct{}

// DetachLoadBalancerTargetGroupsInput takes target groups away; instances are deregistered.
type DetachLoadBalancerTargetGroupsInput struct {
	AutoScalingGroupName string
	TargetGroupARNs      []string
}

// DetachLoadBalancerTargetGroupsOutput is empty.
type DetachLoadBalancerTargetGroupsOutput struct{}

// CreateOrUpdateTagsInput sets tags of groups (ResourceId = group name).
type CreateOrUpdateTagsInput struct{ Tags []Tag }

// CreateOrUpdateTagsOutput is empty.
type CreateOrUpdateTagsOutput struct{}

// DeleteTagsInput takes tags of groups away.
type DeleteTagsInput struct{ Tags []Tag }

// DeleteTagsOutput is empty.
type DeleteTagsOutput struct{}

// DescribeTagsInput selects by "auto-scaling-group", "key", "value", "propagate-at-launch".
type DescribeTagsInput struct {
	Filters    []Filter
	NextToken  string
	MaxRecords *int64
}

// DescribeTagsOutput is one page.
type DescribeTagsOutput struct {
	Tags      []TagDescription
	NextToken string
}

// EnabledMetric is a group metric that is collected.
type EnabledMetric struct{ Metric, Granularity string }

// EnableMetricsCollectionInput names group metrics; none means all.
type EnableMetricsCollectionInput struct {
	AutoScalingGroupName string
	Metrics              []string
	Granularity          string // "1Minute"
}

// EnableMetricsCollectionOutput is empty.
type EnableMetricsCollectionOutput struct{}

// DisableMetricsCollectionInput names group metrics; none means all.
type DisableMetricsCollectionInput struct {
	AutoScalingGroupName string
	Metrics              []string
}

// DisableMetricsCollectionOutput is empty.
type DisableMetricsCollectionOutput struct{}
