package cloudformation

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const eventsPerPage = 100

func shownParameters(m *state.StackModel) []Parameter {
	t, err := parse(m.Template)
	var out []Parameter
	for _, p := range m.Parameters {
		v := Parameter{ParameterKey: p.Key, ParameterValue: p.Value, ResolvedValue: p.Resolved}
		if err == nil && t.Parameters[p.Key] != nil && t.Parameters[p.Key].NoEcho {
			v.ParameterValue, v.ResolvedValue = "****", ""
		}
		out = append(out, v)
	}
	return out
}

func shownTags(m *state.StackModel) []Tag {
	var out []Tag
	for _, t := range m.Tags {
		out = append(out, Tag(t))
	}
	return out
}

func operations(st *state.Stack) []OperationEntry {
	var out []OperationEntry
	for _, r := range st.Operations[:min(len(st.Operations), 1)] {
		out = append(out, OperationEntry{OperationId: r.ID, OperationType: r.Type})
	}
	return out
}

func drifted(st *state.Stack) *DriftInformation {
	if st.Drift == nil || st.Drift.Status == "" {
		return &DriftInformation{StackDriftStatus: "NOT_CHECKED"}
	}
	return &DriftInformation{StackDriftStatus: st.Drift.Status, LastCheckTimestamp: st.Drift.Checked}
}

func resourceDrift(r *state.StackResource) *ResourceDriftInformation {
	if r.Drift == nil {
		return &ResourceDriftInformation{StackResourceDriftStatus: "NOT_CHECKED"}
	}
	return &ResourceDriftInformation{StackResourceDriftStatus: r.Drift.Status, LastCheckTimestamp: r.Drift.Checked}
}

func describe(st *state.Stack) Stack {
	protected, disabled := st.TerminationProtection, st.DisableRollback
	out := Stack{
		StackId: st.ID, StackName: st.Name, ChangeSetId: st.ChangeSet, RoleARN: st.RoleARN, StackStatus: st.Status,
		StackStatusReason: st.StatusReason, CreationTime: st.Created, LastUpdatedTime: st.Updated, DeletionTime: st.Deleted,
		DisableRollback: &disabled, EnableTerminationProtection: &protected, DriftInformation: drifted(st), LastOperations: operations(st),
		RollbackConfiguration: &RollbackConfiguration{},
	}
	if st.MonitoringMinutes > 0 || len(st.Triggers) > 0 {
		minutes := st.MonitoringMinutes
		out.RollbackConfiguration.MonitoringTimeInMinutes = &minutes
	}
	for _, t := range st.Triggers {
		out.RollbackConfiguration.RollbackTriggers = append(out.RollbackConfiguration.RollbackTriggers, RollbackTrigger(t))
	}
	if st.TimeoutMinutes > 0 {
		out.TimeoutInMinutes = &st.TimeoutMinutes
	}
	if m := st.Model; m != nil {
		out.Parameters, out.Tags = shownParameters(m), shownTags(m)
		out.Capabilities, out.NotificationARNs = m.Capabilities, m.NotificationARNs
		if t, err := parse(m.Template); err == nil {
			out.Description = t.Description
		}
	}
	for _, o := range st.Outputs {
		out.Outputs = append(out.Outputs, Output{OutputKey: o.Key, OutputValue: o.Value, Description: o.Description, ExportName: o.Export})
	}
	return out
}

func stackID(st *state.Stack) string { return st.ID }

// DescribeStacks describes one stack, deleted ones by ARN, or all that are not deleted.
func DescribeStacks(tx *core.Tx, in *DescribeStacksInput) (*DescribeStacksOutput, error) {
	if in.StackName != "" {
		st := find(tx, in.StackName)
		if st == nil {
			return nil, invalid("Stack with id %s does not exist", in.StackName)
		}
		return &DescribeStacksOutput{Stacks: []Stack{describe(st)}}, nil
	}
	var present []*state.Stack
	for _, st := range all(tx) {
		if st.Status != "DELETE_COMPLETE" {
			present = append(present, st)
		}
	}
	page, next, err := core.Page(tx, present, stackID, nil, 50, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeStacksOutput{NextToken: next}
	for _, st := range page {
		out.Stacks = append(out.Stacks, describe(st))
	}
	return out, nil
}

// statuses are all states of a stack. Those of an import never come about here.
var statuses = []string{
	"CREATE_IN_PROGRESS", "CREATE_FAILED", "CREATE_COMPLETE", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE",
	"DELETE_IN_PROGRESS", "DELETE_FAILED", "DELETE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
	"UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED",
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "IMPORT_IN_PROGRESS",
	"IMPORT_COMPLETE", "IMPORT_ROLLBACK_IN_PROGRESS", "IMPORT_ROLLBACK_FAILED", "IMPORT_ROLLBACK_COMPLETE",
}

// ListStacks lists all stacks, deleted ones too, or those in given states.
func ListStacks(tx *core.Tx, in *ListStacksInput) (*ListStacksOutput, error) {
	for _, status := range in.StackStatusFilter {
		if !slices.Contains(statuses, status) {
			return nil, invalid("1 validation error detected: Value '[%s]' at 'stackStatusFilter' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [%s]]",
				strings.Join(in.StackStatusFilter, ", "), strings.Join(statuses, ", "))
		}
	}
	var wanted []*state.Stack
	for _, st := range all(tx) {
		if len(in.StackStatusFilter) == 0 || slices.Contains(in.StackStatusFilter, st.Status) {
			wanted = append(wanted, st)
		}
	}
	page, next, err := core.Page(tx, wanted, stackID, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListStacksOutput{NextToken: next}
	for _, st := range page {
		d := describe(st)
		out.StackSummaries = append(out.StackSummaries, StackSummary{
			StackId: d.StackId, StackName: d.StackName, TemplateDescription: d.Description, CreationTime: d.CreationTime,
			LastUpdatedTime: d.LastUpdatedTime, DeletionTime: d.DeletionTime, StackStatus: d.StackStatus,
			StackStatusReason: d.StackStatusReason, DriftInformation: d.DriftInformation, LastOperations: d.LastOperations,
		})
	}
	return out, nil
}

// DescribeStackEvents tells what happened to a stack, the newest first.
func DescribeStackEvents(tx *core.Tx, in *DescribeStackEventsInput) (*DescribeStackEventsOutput, error) {
	st, err := known(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(st.Events)
	slices.Reverse(newest)
	page, next, err := core.Page(tx, newest, func(ev *state.StackEvent) string { return ev.ID }, nil, eventsPerPage, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeStackEventsOutput{NextToken: next}
	for _, ev := range page {
		out.StackEvents = append(out.StackEvents, StackEvent{
			StackId: st.ID, EventId: ev.ID, StackName: st.Name, LogicalResourceId: ev.LogicalID, PhysicalResourceId: &ev.PhysicalID,
			ResourceType: ev.Type, Timestamp: ev.Time, ResourceStatus: ev.Status, ResourceStatusReason: ev.Reason,
			ResourceProperties: ev.Properties, ClientRequestToken: ev.Token, OperationId: ev.Operation,
		})
	}
	return out, nil
}

// DescribeEvents tells the events of an operation, a change set or a stack, the newest first.
func DescribeEvents(tx *core.Tx, in *DescribeEventsInput) (*DescribeEventsOutput, error) {
	var events []*state.StackEvent
	var st *state.Stack
	switch {
	case in.ChangeSetName != "":
		cs, err := changeSet(tx, in.ChangeSetName, in.StackName)
		if err != nil {
			return nil, err
		}
		st, events = tx.Region.Stacks[cs.StackID], cs.Events
	case in.StackName != "":
		var err error
		if st, err = known(tx, in.StackName); err != nil {
			return nil, err
		}
		events = st.Events
	case in.OperationId != "":
		for _, s := range all(tx) {
			if slices.ContainsFunc(s.Operations, func(r state.StackOperationRecord) bool { return r.ID == in.OperationId }) {
				st, events = s, s.Events
			}
		}
		if st == nil {
			return nil, invalid("Operation [%s] does not exist", in.OperationId)
		}
	default:
		return nil, invalid("One of StackName, ChangeSetName and OperationId must be specified.")
	}
	var newest []OperationEvent
	for _, ev := range slices.Backward(events) {
		if in.OperationId != "" && ev.Operation != in.OperationId {
			continue
		}
		failed := ev.Kind == "VALIDATION_ERROR" || strings.HasSuffix(ev.Status, "_FAILED")
		if in.Filters != nil && yes(in.Filters.FailedEvents) && !failed {
			continue
		}
		newest = append(newest, operationEvent(st, ev))
	}
	page, next, err := core.Page(tx, newest, func(ev OperationEvent) string { return ev.EventId }, nil, eventsPerPage, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeEventsOutput{OperationEvents: page, NextToken: next}, nil
}

func operationEvent(st *state.Stack, ev *state.StackEvent) OperationEvent {
	out := OperationEvent{
		EventId: ev.ID, StackId: st.ID, OperationId: ev.Operation, EventType: "STACK_EVENT", LogicalResourceId: ev.LogicalID,
		PhysicalResourceId: ev.PhysicalID, ResourceType: ev.Type, Timestamp: ev.Time, ResourceStatus: ev.Status,
		ResourceStatusReason: ev.Reason, ResourceProperties: ev.Properties, ClientRequestToken: ev.Token,
	}
	for _, r := range st.Operations {
		if r.ID == ev.Operation {
			out.OperationType, out.OperationStatus = r.Type, r.Status
		}
	}
	if strings.HasSuffix(ev.Status, "_FAILED") && ev.Type != typeStack {
		out.EventType = "PROVISIONING_ERROR"
	}
	if ev.Kind == "VALIDATION_ERROR" {
		out.EventType, out.OperationType, out.OperationStatus = ev.Kind, "CREATE_CHANGESET", "FAILED"
		out.ValidationName, out.ValidationPath, out.ValidationStatus = ev.Name, ev.Path, "FAILED"
		out.ValidationStatusReason, out.ValidationFailureMode = ev.Reason, "FAIL"
		out.ResourceStatusReason = ""
	}
	return out
}

// shownResources are the resources that an operation has begun with, by logical id.
func shownResources(st *state.Stack) []*state.StackResource {
	var out []*state.StackResource
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		if st.Resources[id].Status != "" {
			out = append(out, st.Resources[id])
		}
	}
	return out
}

// DescribeStackResource describes one resource in full.
func DescribeStackResource(tx *core.Tx, in *DescribeStackResourceInput) (*DescribeStackResourceOutput, error) {
	st, err := known(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	r := st.Resources[in.LogicalResourceId]
	if r == nil || r.Status == "" {
		return nil, invalid("Resource %s does not exist for stack %s", in.LogicalResourceId, st.Name)
	}
	return &DescribeStackResourceOutput{StackResourceDetail: &StackResourceDetail{
		StackId: st.ID, StackName: st.Name, LogicalResourceId: r.LogicalID, PhysicalResourceId: r.PhysicalID, ResourceType: r.Type,
		LastUpdatedTimestamp: r.Updated, ResourceStatus: r.Status, ResourceStatusReason: r.Reason, Metadata: r.Metadata,
		DriftInformation: resourceDrift(r),
	}}, nil
}

// DescribeStackResources describes the resources of a stack, or of the stack that has a physical id.
func DescribeStackResources(tx *core.Tx, in *DescribeStackResourcesInput) (*DescribeStackResourcesOutput, error) {
	if (in.StackName == "") == (in.PhysicalResourceId == "") {
		return nil, invalid("You must specify either StackName or PhysicalResourceId, but not both.")
	}
	var st *state.Stack
	if in.StackName != "" {
		var err error
		if st, err = known(tx, in.StackName); err != nil {
			return nil, err
		}
	} else {
		for _, s := range all(tx) {
			if s.Status != "DELETE_COMPLETE" && slices.ContainsFunc(shownResources(s), func(r *state.StackResource) bool { return r.PhysicalID == in.PhysicalResourceId }) {
				st = s
			}
		}
		if st == nil {
			return nil, invalid("Stack for %s does not exist", in.PhysicalResourceId)
		}
	}
	out := &DescribeStackResourcesOutput{}
	for _, r := range shownResources(st) {
		if in.LogicalResourceId != "" && in.LogicalResourceId != r.LogicalID {
			continue
		}
		out.StackResources = append(out.StackResources, StackResource{
			StackId: st.ID, StackName: st.Name, LogicalResourceId: r.LogicalID, PhysicalResourceId: r.PhysicalID, ResourceType: r.Type,
			Timestamp: r.Updated, ResourceStatus: r.Status, ResourceStatusReason: r.Reason, DriftInformation: resourceDrift(r),
		})
	}
	if in.LogicalResourceId != "" && len(out.StackResources) == 0 {
		return nil, invalid("Resource %s does not exist for stack %s", in.LogicalResourceId, st.Name)
	}
	// AWS gives the first 100 only; ListStackResources has pages.
	out.StackResources = out.StackResources[:min(len(out.StackResources), 100)]
	return out, nil
}

// ListStackResources lists all resources of a stack.
func ListStackResources(tx *core.Tx, in *ListStackResourcesInput) (*ListStackResourcesOutput, error) {
	st, err := known(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	page, next, err := core.Page(tx, shownResources(st), func(r *state.StackResource) string { return r.LogicalID }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListStackResourcesOutput{NextToken: next}
	for _, r := range page {
		out.StackResourceSummaries = append(out.StackResourceSummaries, StackResourceSummary{
			LogicalResourceId: r.LogicalID, PhysicalResourceId: r.PhysicalID, ResourceType: r.Type, LastUpdatedTimestamp: r.Updated,
			ResourceStatus: r.Status, ResourceStatusReason: r.Reason, DriftInformation: resourceDrift(r),
		})
	}
	return out, nil
}

// GetTemplate tells the template of a stack or change set. There are no
// transforms here, so the processed one is the original.
func GetTemplate(tx *core.Tx, in *GetTemplateInput) (*GetTemplateOutput, error) {
	if in.TemplateStage != "" && in.TemplateStage != "Original" && in.TemplateStage != "Processed" {
		return nil, invalid("1 validation error detected: Value '%s' at 'templateStage' failed to satisfy constraint: Member must satisfy enum value set: [Original, Processed]", in.TemplateStage)
	}
	var m *state.StackModel
	if in.ChangeSetName != "" {
		cs, err := changeSet(tx, in.ChangeSetName, in.StackName)
		if err != nil {
			return nil, err
		}
		m = cs.Model
	} else {
		st, err := known(tx, in.StackName)
		if err != nil {
			return nil, err
		}
		m = st.Model
	}
	if m == nil {
		return nil, invalid("Stack [%s] has no template yet: it is in REVIEW_IN_PROGRESS state", in.StackName)
	}
	return &GetTemplateOutput{TemplateBody: m.Template, StagesAvailable: []string{"Original", "Processed"}}, nil
}

// ValidateTemplate checks a template as far as that is possible without parameters.
func ValidateTemplate(_ *core.Tx, in *ValidateTemplateInput) (*ValidateTemplateOutput, error) {
	t, err := givenTemplate(in.TemplateBody, in.TemplateURL)
	if err != nil {
		return nil, err
	}
	out := &ValidateTemplateOutput{Description: t.Description}
	out.Capabilities, out.CapabilitiesReason = t.requires()
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		p := t.Parameters[name]
		out.Parameters = append(out.Parameters, TemplateParameter{ParameterKey: name, Description: p.Description, DefaultValue: p.Default, NoEcho: &p.NoEcho})
	}
	return out, nil
}

func givenTemplate(body, url string) (*template, error) {
	if url != "" {
		return nil, invalid("TemplateURL must reference a valid S3 object to which you have access. (This lab takes TemplateBody only)")
	}
	if body == "" {
		return nil, invalid("Either Template URL or Template Body must be specified.")
	}
	return parse(body)
}

// GetTemplateSummary tells what a template asks for and makes.
func GetTemplateSummary(tx *core.Tx, in *GetTemplateSummaryInput) (*GetTemplateSummaryOutput, error) {
	body := in.TemplateBody
	if in.StackName != "" {
		if body != "" {
			return nil, invalid("You can specify only one of the following: StackName, TemplateBody, TemplateURL.")
		}
		st, err := live(tx, in.StackName)
		if err != nil {
			return nil, err
		}
		if st.Model == nil {
			return nil, invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
		}
		body = st.Model.Template
	}
	t, err := givenTemplate(body, in.TemplateURL)
	if err != nil {
		return nil, err
	}
	out := &GetTemplateSummaryOutput{Description: t.Description, Version: t.Version}
	out.Capabilities, out.CapabilitiesReason = t.requires()
	if t.Metadata != nil {
		out.Metadata = compact(t.Metadata)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		p := t.Parameters[name]
		d := ParameterDeclaration{
			ParameterKey: name, ParameterType: p.Type, Description: p.Description, DefaultValue: p.Default, NoEcho: &p.NoEcho,
			ParameterConstraints: &ParameterConstraints{AllowedValues: p.Allowed},
		}
		out.Parameters = append(out.Parameters, d)
	}
	for _, id := range t.order {
		if r := t.Resources[id]; !slices.Contains(out.ResourceTypes, r.Type) {
			out.ResourceTypes = append(out.ResourceTypes, r.Type)
		}
	}
	slices.Sort(out.ResourceTypes)
	return out, nil
}
