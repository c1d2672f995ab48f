package state

import "time"

// Stack is a CloudFormation stack, deleted ones included.
type Stack struct {
	ID, Name, Status, StatusReason string
	Created, Updated, Deleted      time.Time

	Model    *StackModel // what the stack is, or is being made into
	Previous *StackModel // the last stable one while an update has not ended well; nil otherwise
	Failed   *StackModel // during a rollback: what was given up

	RoleARN               string
	DisableRollback       bool
	OnFailure             string
	TimeoutMinutes        int64
	TerminationProtection bool
	Policy                string // stack policy, JSON
	Triggers              []RollbackTrigger
	MonitoringMinutes     int64

	Outputs    []StackOutput
	Resources  map[string]*StackResource // by logical id
	Leftovers  []*StackResource          // replaced or removed: what the next cleanup deletes
	Events     []*StackEvent             // oldest first
	Operation  *StackOperation           // what is under way; nil: nothing
	Operations []StackOperationRecord    // newest first
	Tokens     map[string]string         // action and client token -> digest of the request it came with
	ChangeSet  string                    // id of the change set executed last
	Drift      *StackDrift
}

// StackModel is what a stack is made from.
type StackModel struct {
	Template         string
	Parameters       []StackParameter // sorted by key
	Tags             []StackTag
	Capabilities     []string
	NotificationARNs []string
}

// StackParameter is a parameter and its value; Resolved is what a store parameter led to.
type StackParameter struct{ Key, Value, Resolved string }

// StackTag keeps its place in the order it was given.
type StackTag struct{ Key, Value string }

// StackOutput is an output after its evaluation.
type StackOutput struct{ Key, Value, Description, Export string }

// RollbackTrigger is an alarm that rolls an operation back.
type RollbackTrigger struct{ Arn, Type string }

// RollbackSettings is a rollback configuration as it was sent.
type RollbackSettings struct {
	Triggers []RollbackTrigger
	Clear    bool // an empty list was sent
	Minutes  *int64
}

// StackOperation is what a stack is doing.
type StackOperation struct {
	ID, Type, Token string
	Phase           string // "start", "apply", "monitor", "cleanup", "rollback", "rollback-cleanup", "delete"
	Started         time.Time
	Until           time.Time // end of the monitoring window
	Deadline        time.Time // end of TimeoutInMinutes
	DisableRollback bool
	OnFailure       string // of a create: "ROLLBACK", "DELETE", "DO_NOTHING"
	Keep            bool   // RetainExceptOnCreate: delete what a failed create made, whatever its policy
	Policy          string // StackPolicyDuringUpdateBody
	Problem         string // why the operation fails although no resource did
	Retain          []string
	Force           bool            // FORCE_DELETE_STACK: what cannot be deleted is left behind
	Retagged        bool            // stack tags change: every resource that carries tags is updated
	Kept            map[string]bool // parameters sent with UsePreviousValue
}

// StackOperationRecord is an operation that began once.
type StackOperationRecord struct {
	ID, Type, Token string
	Started, Ended  time.Time
	Status          string // "IN_PROGRESS", "SUCCEEDED", "FAILED"
}

// StackResource is one resource of a stack.
type StackResource struct {
	LogicalID, Type, PhysicalID string
	Status, Reason              string
	Updated                     time.Time
	Properties                  map[string]any // as applied last, all intrinsic functions resolved
	Attributes                  map[string]any // what Fn::GetAtt answers
	Metadata                    string         // JSON of the Metadata attribute as applied last
	DependsOn                   []string       // logical ids, references included
	DeletionPolicy              string
	ReplacePolicy               string
	New                         bool             // made by the operation under way
	Before                      *ResourceVersion // as it was before the operation under way touched it
	Work                        *ResourceWork    // what the operation under way does with it
	GivenUp                     map[string]any   // during a rollback: the properties that are taken back
	Drift                       *ResourceDrift
}

// ResourceVersion is a resource as it was.
type ResourceVersion struct {
	PhysicalID     string
	Properties     map[string]any
	Attributes     map[string]any
	Metadata       string
	DependsOn      []string
	DeletionPolicy string
	ReplacePolicy  string
}

// ResourceWork is the progress of one resource in an operation.
type ResourceWork struct {
	Action   string // "create", "update", "replace", "restore", "delete", "keep"
	Phase    string // "begun", "signals", "done", "failed"
	Deadline time.Time
	Data     map[string]string // what the resource type's handler remembers
	Signals  []*ResourceSignal
	Roll     *RollingUpdate
}

// ResourceSignal is one signal for a resource.
type ResourceSignal struct {
	ID, Status string
	At         time.Time // counts from here on
	Counted    bool
}

// RollingUpdate is the cursor of an Auto Scaling rolling update.
type RollingUpdate struct {
	Phase       string // "settle", "signals", "pause", "terminating", "restore", "waiting"
	Obsolete    int    // when it began: the "out of N"
	Terminated  int
	Batch       int64
	Desired     int64 // when all is done
	Min, Max    int64 // of the template
	InService   int64 // MinInstancesInService
	Temporary   int64 // size while it runs, 0: unchanged
	Pending     int64 // new instances whose signals are waited for
	Known       []string
	Terminating []string
	Replacing   int64
	Success     int
	Failure     int
	Suspended   []string // processes it suspended itself
	Deadline    time.Time
	Until       time.Time
}

// StackEvent is one event of a stack.
type StackEvent struct {
	ID, LogicalID, PhysicalID, Type string
	Status, Reason                  string
	Properties                      string // JSON
	Token, Operation                string
	Time                            time.Time
	Kind                            string // "": a stack event; "VALIDATION_ERROR": see DescribeEvents
	Path                            string // of a validation error
	Name                            string // of a validation error
}

// StackDrift is the last drift detection of a stack.
type StackDrift struct {
	ID, Detection, Status string
	Checked               time.Time
	Drifted               int64
}

// ResourceDrift is the last drift detection of a resource.
type ResourceDrift struct {
	Status           string
	Expected, Actual string
	Differences      []PropertyDrift
	Checked          time.Time
}

// PropertyDrift is one property that is not as the template says.
type PropertyDrift struct{ Path, Expected, Actual, Kind string }

// ChangeSet is a proposed change of a stack.
type ChangeSet struct {
	ID, Name, StackID, StackName  string
	Type                          string // "CREATE", "UPDATE"
	Status, Reason, Execution     string
	Description, Token, Digest    string
	Created                       time.Time
	Model                         *StackModel
	Given                         map[string]bool // parameters that came with UsePreviousValue
	RoleARN                       string
	OnFailure                     string
	Rollback                      *RollbackSettings // nil: the stack keeps what it has
	Changes                       []*ResourceChange
	ExecuteToken                  string
	Deleted                       bool
	IncludeNested, ImportExisting bool
	Revert                        bool          // REVERT_DRIFT: what is, not what was deployed, is compared and changed
	Events                        []*StackEvent // what DescribeEvents tells of its validation
	OperationID                   string
}

// ResourceChange is one line of a change set.
type ResourceChange struct {
	Action, LogicalID, PhysicalID, Type string
	Replacement, PolicyAction           string
	Scope                               []string
	Details                             []ChangeDetail
	Quiet                               bool   // only policies change: not an update by itself
	Before, After                       string // JSON
	Drift                               string // of a drift-aware change set: the resource's drift status
	Deployed                            string // JSON: what was deployed, where it is no longer so
	Ignored                             []string
}

// ChangeDetail tells why and how one property changes.
type ChangeDetail struct {
	Attribute, Name, Path, Recreation string
	Evaluation, Source, Cause         string
	Before, After, Kind               string
	Deployed                          *string // of a drift-aware change set: what was deployed, where Before is what is
}

// Parameter is the value of a parameter, and whether the model has it.
func (m *StackModel) Parameter(key string) (string, bool) {
	if m == nil {
		return "", false
	}
	for _, p := range m.Parameters {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}
