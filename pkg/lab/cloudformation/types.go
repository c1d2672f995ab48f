package cloudformation

import "time"

// The structs of this file have the members of CloudFormation's API model.

// Tag of a stack.
type Tag struct {
	Key   string
	Value string `wire:",empty"`
}

// Parameter of a stack. UsePreviousValue and ParameterValue exclude each other.
type Parameter struct {
	ParameterKey     string
	ParameterValue   string `wire:",empty"`
	ResolvedValue    string
	UsePreviousValue *bool
}

// RollbackTrigger is an alarm watched during an operation.
type RollbackTrigger struct{ Arn, Type string }

// RollbackConfiguration says what rolls an operation back by itself.
type RollbackConfiguration struct {
	RollbackTriggers        []RollbackTrigger
	MonitoringTimeInMinutes *int64
}

// DeploymentConfig is the newer way to say how an operation runs.
type DeploymentConfig struct {
	Mode            string
	DisableRollback *bool
}

// CreateStackInput is the request of CreateStack.
type CreateStackInput struct {
	StackName, TemplateBody, TemplateURL, ClientRequestToken string
	Parameters                                               []Parameter
	Tags                                                     []Tag
	Capabilities, NotificationARNs, ResourceTypes            []string
	DisableRollback, EnableTerminationProtection             *bool
	DisableValidation, RetainExceptOnCreate                  *bool
	OnFailure, RoleARN, StackPolicyBody, StackPolicyURL      string
	RollbackConfiguration                                    *RollbackConfiguration
	DeploymentConfig                                         *DeploymentConfig
	TimeoutInMinutes                                         *int64
}

// CreateStackOutput is the answer of CreateStack.
type CreateStackOutput struct{ StackId, OperationId string }

// UpdateStackInput is the request of UpdateStack.
type UpdateStackInput struct {
	StackName, TemplateBody, TemplateURL, ClientRequestToken string
	UsePreviousTemplate, DisableRollback                     *bool
	DisableValidation, RetainExceptOnCreate                  *bool
	Parameters                                               []Parameter
	Tags                                                     []Tag
	Capabilities, NotificationARNs, ResourceTypes            []string
	RoleARN, StackPolicyBody, StackPolicyURL                 string
	StackPolicyDuringUpdateBody, StackPolicyDuringUpdateURL  string
	RollbackConfiguration                                    *RollbackConfiguration
	DeploymentConfig                                         *DeploymentConfig
}

// UpdateStackOutput is the answer of UpdateStack.
type UpdateStackOutput struct{ StackId, OperationId string }

// DeleteStackInput is the request of DeleteStack.
type DeleteStackInput struct {
	StackName, ClientRequestToken, DeletionMode, RoleARN string
	RetainResources                                      []string
	DeploymentConfig                                     *DeploymentConfig
}

// DeleteStackOutput is the empty answer of DeleteStack.
type DeleteStackOutput struct{}

// DescribeStacksInput is the request of DescribeStacks.
type DescribeStacksInput struct{ StackName, NextToken string }

// DescribeStacksOutput is the answer of DescribeStacks.
type DescribeStacksOutput struct {
	Stacks    []Stack
	NextToken string
}

// Stack as DescribeStacks shows it.
type Stack struct {
	StackId, StackName, ChangeSetId, Description, RoleARN string
	StackStatus, StackStatusReason                        string
	Parameters                                            []Parameter
	Tags                                                  []Tag
	Outputs                                               []Output
	Capabilities, NotificationARNs                        []string
	CreationTime, LastUpdatedTime, DeletionTime           time.Time
	DisableRollback, EnableTerminationProtection          *bool
	RollbackConfiguration                                 *RollbackConfiguration
	TimeoutInMinutes                                      *int64
	DriftInformation                                      *DriftInformation
	LastOperations                                        []OperationEntry
}

// Output of a stack.
type Output struct {
	OutputKey               string
	OutputValue             string `wire:",empty"`
	Description, ExportName string
}

// OperationEntry names an operation of a stack.
type OperationEntry struct{ OperationId, OperationType string }

// DriftInformation of a stack.
type DriftInformation struct {
	StackDriftStatus   string
	LastCheckTimestamp time.Time
}

// ResourceDriftInformation of a resource.
type ResourceDriftInformation struct {
	StackResourceDriftStatus string
	LastCheckTimestamp       time.Time
}

// DescribeStackEventsInput is the request of DescribeStackEvents.
type DescribeStackEventsInput struct{ StackName, NextToken string }

// DescribeStackEventsOutput is the answer of DescribeStackEvents, newest first.
type DescribeStackEventsOutput struct {
	StackEvents []StackEvent
	NextToken   string
}

// StackEvent as DescribeStackEvents shows it.
type StackEvent struct {
	StackId, EventId, StackName, LogicalResourceId, ResourceType string
	PhysicalResourceId                                           *string // an empty one is shown
	Timestamp                                                    time.Time
	ResourceStatus, ResourceStatusReason, ResourceProperties     string
	ClientRequestToken, OperationId                              string
}

// DescribeEventsInput is the request of DescribeEvents.
type DescribeEventsInput struct {
	StackName, ChangeSetName, OperationId, NextToken string
	Filters                                          *EventFilter
}

// EventFilter keeps the events of what failed.
type EventFilter struct{ FailedEvents *bool }

// DescribeEventsOutput is the answer of DescribeEvents, newest first.
type DescribeEventsOutput struct {
	OperationEvents []OperationEvent
	NextToken       string
}

// OperationEvent as DescribeEvents shows it.
type OperationEvent struct {
	EventId, StackId, OperationId, OperationType, OperationStatus  string
	EventType, LogicalResourceId, PhysicalResourceId, ResourceType string
	Timestamp, StartTime, EndTime                                  time.Time
	ResourceStatus, ResourceStatusReason, ResourceProperties       string
	ClientRequestToken                                             string
	ValidationFailureMode, ValidationName, ValidationPath          string
	ValidationStatus, ValidationStatusReason                       string
}

// DescribeStackResourceInput is the request of DescribeStackResource.
type DescribeStackResourceInput struct{ StackName, LogicalResourceId string }

// DescribeStackResourceOutput is the answer of DescribeStackResource.
type DescribeStackResourceOutput struct{ StackResourceDetail *StackResourceDetail }

// StackResourceDetail is one resource in full.
type StackResourceDetail struct {
	StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceType string
	LastUpdatedTimestamp                                                    time.Time
	ResourceStatus, ResourceStatusReason, Metadata                          string
	DriftInformation                                                        *ResourceDriftInformation
}

// DescribeStackResourcesInput is the request of DescribeStackResources.
type DescribeStackResourcesInput struct{ StackName, LogicalResourceId, PhysicalResourceId string }

// DescribeStackResourcesOutput is the answer of DescribeStackResources.
type DescribeStackResourcesOutput struct{ StackResources []StackResource }

// StackResource as DescribeStackResources shows it.
type StackResource struct {
	StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceType string
	Timestamp                                                               time.Time
	ResourceStatus, ResourceStatusReason                                    string
	DriftInformation                                                        *ResourceDriftInformation
}

// ListStackResourcesInput is the request of ListStackResources.
type ListStackResourcesInput struct{ StackName, NextToken string }

// ListStackResourcesOutput is the answer of ListStackResources.
type ListStackResourcesOutput struct {
	StackResourceSummaries []StackResourceSummary
	NextToken              string
}

// StackResourceSummary as ListStackResources shows it.
type StackResourceSummary struct {
	LogicalResourceId, PhysicalResourceId, ResourceType string
	LastUpdatedTimestamp                                time.Time
	ResourceStatus, ResourceStatusReason                string
	DriftInformation                                    *ResourceDriftInformation
}

// ListStacksInput is the request of ListStacks.
type ListStacksInput struct {
	NextToken         string
	StackStatusFilter []string
}

// ListStacksOutput is the answer of ListStacks.
type ListStacksOutput struct {
	StackSummaries []StackSummary
	NextToken      string
}

// StackSummary as ListStacks shows it.
type StackSummary struct {
	StackId, StackName, TemplateDescription     string
	CreationTime, LastUpdatedTime, DeletionTime time.Time
	StackStatus, StackStatusReason              string
	DriftInformation                            *DriftInformation
	LastOperations                              []OperationEntry
}

// GetTemplateInput is the request of GetTemplate.
type GetTemplateInput struct{ StackName, ChangeSetName, TemplateStage string }

// GetTemplateOutput is the answer of GetTemplate.
type GetTemplateOutput struct {
	TemplateBody    string
	StagesAvailable []string
}

// GetTemplateSummaryInput is the request of GetTemplateSummary.
type GetTemplateSummaryInput struct{ StackName, TemplateBody, TemplateURL string }

// GetTemplateSummaryOutput is the answer of GetTemplateSummary.
type GetTemplateSummaryOutput struct {
	Parameters                                         []ParameterDeclaration
	Description, Metadata, Version, CapabilitiesReason string
	Capabilities, ResourceTypes                        []string
}

// ParameterDeclaration is a parameter as a template declares it.
type ParameterDeclaration struct {
	ParameterKey, ParameterType, Description string
	DefaultValue                             *string
	NoEcho                                   *bool
	ParameterConstraints                     *ParameterConstraints
}

// ParameterConstraints of a declaration.
type ParameterConstraints struct{ AllowedValues []string }

// ValidateTemplateInput is the request of ValidateTemplate.
type ValidateTemplateInput struct{ TemplateBody, TemplateURL string }

// ValidateTemplateOutput is the answer of ValidateTemplate.
type ValidateTemplateOutput struct {
	Parameters                      []TemplateParameter
	Description, CapabilitiesReason string
	Capabilities                    []string
}

// TemplateParameter is a parameter as ValidateTemplate shows it.
type TemplateParameter struct {
	ParameterKey, Description string
	DefaultValue              *string
	NoEcho                    *bool
}

// CreateChangeSetInput is the request of CreateChangeSet.
type CreateChangeSetInput struct {
	StackName, ChangeSetName, ChangeSetType, ClientToken, Description  string
	TemplateBody, TemplateURL, RoleARN, OnStackFailure, DeploymentMode string
	UsePreviousTemplate, IncludeNestedStacks, ImportExistingResources  *bool
	DisableValidation                                                  *bool
	Parameters                                                         []Parameter
	Tags                                                               []Tag
	Capabilities, NotificationARNs, ResourceTypes                      []string
	RollbackConfiguration                                              *RollbackConfiguration
	DeploymentConfig                                                   *DeploymentConfig
}

// CreateChangeSetOutput is the answer of CreateChangeSet.
type CreateChangeSetOutput struct{ Id, StackId string }

// DescribeChangeSetInput is the request of DescribeChangeSet.
type DescribeChangeSetInput struct {
	StackName, ChangeSetName, NextToken string
	IncludePropertyValues               *bool
}

// DescribeChangeSetOutput is the answer of DescribeChangeSet.
type DescribeChangeSetOutput struct {
	ChangeSetId, ChangeSetName, StackId, StackName, Description string
	Status, StatusReason, ExecutionStatus, OnStackFailure       string
	CreationTime                                                time.Time
	Parameters                                                  []Parameter
	Tags                                                        []Tag
	Capabilities, NotificationARNs                              []string
	RollbackConfiguration                                       *RollbackConfiguration
	Changes                                                     []Change
	IncludeNestedStacks, ImportExistingResources                *bool
	NextToken                                                   string
}

// Change is one change of a change set.
type Change struct {
	Type           string
	ResourceChange *ResourceChange
}

// ResourceChange is what happens to one resource.
type ResourceChange struct {
	Action, LogicalResourceId, PhysicalResourceId, ResourceType string
	Replacement, PolicyAction                                   string
	Scope                                                       []string
	Details                                                     []ResourceChangeDetail
	BeforeContext, AfterContext                                 string
	ResourceDriftStatus, PreviousDeploymentContext              string
	ResourceDriftIgnoredAttributes                              []ResourceDriftIgnoredAttribute
}

// ResourceDriftIgnoredAttribute is a property whose drift a change set leaves alone.
type ResourceDriftIgnoredAttribute struct{ Path, Reason string }

// ResourceChangeDetail tells why and how one property changes.
type ResourceChangeDetail struct {
	Target                                  *ResourceTargetDefinition
	Evaluation, ChangeSource, CausingEntity string
}

// ResourceTargetDefinition is the property that changes.
type ResourceTargetDefinition struct {
	Attribute, Name, RequiresRecreation, Path    string
	BeforeValue, AfterValue, AttributeChangeType string
	BeforeValueFrom, AfterValueFrom              string
	Drift                                        *LiveResourceDrift
}

// LiveResourceDrift is how a property was deployed and how it is.
type LiveResourceDrift struct {
	PreviousValue, ActualValue string
	DriftDetectionTimestamp    time.Time
}

// ListChangeSetsInput is the request of ListChangeSets.
type ListChangeSetsInput struct{ StackName, NextToken string }

// ListChangeSetsOutput is the answer of ListChangeSets.
type ListChangeSetsOutput struct {
	Summaries []ChangeSetSummary
	NextToken string
}

// ChangeSetSummary as ListChangeSets shows it.
type ChangeSetSummary struct {
	ChangeSetId, ChangeSetName, StackId, StackName, Description string
	Status, StatusReason, ExecutionStatus                       string
	CreationTime                                                time.Time
	IncludeNestedStacks, ImportExistingResources                *bool
}

// DeleteChangeSetInput is the request of DeleteChangeSet.
type DeleteChangeSetInput struct{ StackName, ChangeSetName string }

// DeleteChangeSetOutput is the empty answer of DeleteChangeSet.
type DeleteChangeSetOutput struct{}

// ExecuteChangeSetInput is the request of ExecuteChangeSet.
type ExecuteChangeSetInput struct {
	StackName, ChangeSetName, ClientRequestToken string
	DisableRollback, RetainExceptOnCreate        *bool
}

// ExecuteChangeSetOutput is the empty answer of ExecuteChangeSet.
type ExecuteChangeSetOutput struct{}

// CancelUpdateStackInput is the request of CancelUpdateStack.
type CancelUpdateStackInput struct{ StackName, ClientRequestToken string }

// CancelUpdateStackOutput is the empty answer of CancelUpdateStack.
type CancelUpdateStackOutput struct{}

// ContinueUpdateRollbackInput is the request of ContinueUpdateRollback.
type ContinueUpdateRollbackInput struct {
	StackName, ClientRequestToken, RoleARN string
	ResourcesToSkip                        []string
	ForceRollback                          *bool
}

// ContinueUpdateRollbackOutput is the empty answer of ContinueUpdateRollback.
type ContinueUpdateRollbackOutput struct{}

// RollbackStackInput is the request of RollbackStack.
type RollbackStackInput struct {
	StackName, ClientRequestToken, RoleARN string
	RetainExceptOnCreate                   *bool
}

// RollbackStackOutput is the answer of RollbackStack.
type RollbackStackOutput struct{ StackId, OperationId string }

// SignalResourceInput is the request of SignalResource.
type SignalResourceInput struct{ StackName, LogicalResourceId, UniqueId, Status string }

// SignalResourceOutput is the empty answer of SignalResource.
type SignalResourceOutput struct{}

// SetStackPolicyInput is the request of SetStackPolicy.
type SetStackPolicyInput struct{ StackName, StackPolicyBody, StackPolicyURL string }

// SetStackPolicyOutput is the empty answer of SetStackPolicy.
type SetStackPolicyOutput struct{}

// GetStackPolicyInput is the request of GetStackPolicy.
type GetStackPolicyInput struct{ StackName string }

// GetStackPolicyOutput is the answer of GetStackPolicy.
type GetStackPolicyOutput struct{ StackPolicyBody string }

// UpdateTerminationProtectionInput is the request of UpdateTerminationProtection.
type UpdateTerminationProtectionInput struct {
	StackName                   string
	EnableTerminationProtection *bool
}

// UpdateTerminationProtectionOutput is the answer of UpdateTerminationProtection.
type UpdateTerminationProtectionOutput struct{ StackId string }

// DetectStackDriftInput is the request of DetectStackDrift.
type DetectStackDriftInput struct {
	StackName          string
	LogicalResourceIds []string
}

// DetectStackDriftOutput is the answer of DetectStackDrift.
type DetectStackDriftOutput struct{ StackDriftDetectionId string }

// DescribeStackDriftDetectionStatusInput is the request of DescribeStackDriftDetectionStatus.
type DescribeStackDriftDetectionStatusInput struct{ StackDriftDetectionId string }

// DescribeStackDriftDetectionStatusOutput is the answer of DescribeStackDriftDetectionStatus.
type DescribeStackDriftDetectionStatusOutput struct {
	StackId, StackDriftDetectionId, StackDriftStatus string
	DetectionStatus, DetectionStatusReason           string
	DriftedStackResourceCount                        *int64
	Timestamp                                        time.Time
}

// DescribeStackResourceDriftsInput is the request of DescribeStackResourceDrifts.
type DescribeStackResourceDriftsInput struct {
	StackName, NextToken            string
	StackResourceDriftStatusFilters []string
	MaxResults                      *int64
}

// DescribeStackResourceDriftsOutput is the answer of DescribeStackResourceDrifts.
type DescribeStackResourceDriftsOutput struct {
	StackResourceDrifts []StackResourceDrift
	NextToken           string
}

// StackResourceDrift is one resource compared with its template.
type StackResourceDrift struct {
	StackId, LogicalResourceId, PhysicalResourceId, ResourceType string
	ExpectedProperties, ActualProperties                         string
	PropertyDifferences                                          []PropertyDifference
	StackResourceDriftStatus                                     string
	Timestamp                                                    time.Time
}

// PropertyDifference is one property that is not as expected.
type PropertyDifference struct{ PropertyPath, ExpectedValue, ActualValue, DifferenceType string }
