package state

import "time"

// Group is an Auto Scaling group.
type Group struct {
	Name, ARN             string
	Min, Max, Desired     int64
	Subnets               []string
	LaunchTemplate        string // id
	LaunchTemplateVersion string // a number, "$Latest" or "$Default"
	TargetGroups          []string
	HealthCheckType       string // "EC2", "ELB"
	GracePeriod           time.Duration
	Cooldown              time.Duration
	Created               time.Time
	Suspended             map[string]string // process -> reason
	Hooks                 map[string]*Hook
	Members               map[string]*Member // by instance id
	Activities            []*Activity        // oldest first
	Tags                  []GroupTag
	TerminationPolicies   []string
	Deleting              bool
	Cause                 string    // why desired changed last, for the activity's text
	NextLaunch            time.Time // after a failed launch
}

// GroupTag is a tag that may be handed on to instances.
type GroupTag struct {
	Key, Value string
	Propagate  bool
}

// Hook is a lifecycle hook.
type Hook struct {
	Name, Transition, Default string
	Heartbeat                 time.Duration
}

// Member is an instance of a group.
type Member struct {
	ID             string
	Lifecycle      string // "Pending", "InService", "Terminating", "Terminating:Wait", …
	Health         string // "Healthy", "Unhealthy"
	AZ             string
	LaunchTemplate string
	Version        string
	Protected      bool
	Joined         time.Time // when it came InService
	HookUntil      time.Time // end of a lifecycle hook's wait
	Activity       string    // id of the activity under way
}

// Activity is a scaling activity.
type Activity struct {
	ID, Description, Cause, Status, Message string
	Started, Ended                          time.Time
	Progress                                int64
}
