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
	Metrics               []string // names of the group metrics that are collected
	ProtectNew            bool     // new instances are protected from scale-in
	Deleting              bool
	Cause                 string    // why desired changed last, for the activity's text
	Replacing             int64     // unhealthy instances that a launch shall make up for
	Rebalancing           string    // instance launched above desired to even out the zones
	NextLaunch            time.Time // after a failed launch
	Failures              int64     // failed launches in a row
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
	Metadata, Target, Role    string // kept and told
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
	Started        time.Time       // when it was launched
	Joined         time.Time       // when it came InService
	DrainUntil     time.Time       // end of the load balancers' draining
	Waits          map[string]Wait // by lifecycle hook, those not completed
	Abandoned      bool            // a launching hook said so
	Activity       string          // id of the activity under way
}

// Wait is one lifecycle action under way.
type Wait struct {
	Token        string
	Until, Limit time.Time // Limit: heartbeats cannot move Until beyond it
}

// Activity is a scaling activity.
type Activity struct {
	ID, Description, Cause, Status, Message string
	Instance                                string
	Started, Ended                          time.Time
	Progress                                int64
	Details                                 string
}
