package cloudformation

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// noUpdates is the answer to what changes nothing.
const noUpdates = "No updates are to be performed."

const emptyReason = "The submitted information didn't contain changes. Submit different information to create a change set."

// changeSetsOf are the change sets of a stack, the oldest first.
func changeSetsOf(tx *core.Tx, stackID string) []*state.ChangeSet {
	var out []*state.ChangeSet
	for _, cs := range tx.Region.ChangeSets {
		if cs.StackID == stackID {
			out = append(out, cs)
		}
	}
	slices.SortFunc(out, func(a, b *state.ChangeSet) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return out
}

// changeSet finds a change set by ARN, or by its name and its stack.
func changeSet(tx *core.Tx, name, stack string) (*state.ChangeSet, error) {
	missing := &wire.Error{Code: "ChangeSetNotFound", Message: "ChangeSet [" + name + "] does not exist", Status: 404}
	if strings.HasPrefix(name, "arn:") {
		if cs := tx.Region.ChangeSets[name]; cs != nil {
			return cs, nil
		}
		return nil, missing
	}
	if stack == "" {
		return nil, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	st, err := live(tx, stack)
	if err != nil {
		return nil, err
	}
	of := changeSetsOf(tx, st.ID)
	for i := len(of) - 1; i >= 0; i-- {
		if of[i].Name == name {
			return of[i], nil
		}
	}
	return nil, missing
}

// CreateChangeSet proposes a change. What it would do is worked out by the next step.
func CreateChangeSet(tx *core.Tx, in *CreateChangeSetInput) (*CreateChangeSetOutput, error) {
	if !namePattern.MatchString(in.ChangeSetName) || len(in.ChangeSetName) > 128 {
		return nil, invalid("1 validation error detected: Value '%s' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", in.ChangeSetName)
	}
	kind := in.ChangeSetType
	if kind == "" {
		kind = "UPDATE"
	}
	if kind != "CREATE" && kind != "UPDATE" {
		return nil, invalid("ChangeSetType %s is not supported by this lab: it makes resources anew, and imports none", kind)
	}
	if yes(in.ImportExistingResources) {
		return nil, invalid("ImportExistingResources is not supported by this lab: it makes resources anew, and imports none")
	}
	if m := in.DeploymentMode; m != "" && m != "REVERT_DRIFT" {
		return nil, invalid("1 validation error detected: Value '%s' at 'deploymentMode' failed to satisfy constraint: Member must satisfy enum value set: [REVERT_DRIFT]", m)
	}
	if in.DeploymentMode != "" && kind != "UPDATE" {
		return nil, invalid("DeploymentMode REVERT_DRIFT can only be used with change sets of type UPDATE")
	}
	if in.OnStackFailure == "DELETE" && kind != "CREATE" {
		return nil, invalid("OnStackFailure can only be set to DELETE for change sets of type CREATE")
	}
	st := find(tx, in.StackName)
	if st == nil || st.Status == "DELETE_COMPLETE" {
		if kind == "UPDATE" {
			return nil, invalid("Stack [%s] does not exist", in.StackName)
		}
		if err := checkName(in.StackName); err != nil {
			return nil, err
		}
		st = nil
	}
	if st != nil {
		if kind == "CREATE" && st.Status != "REVIEW_IN_PROGRESS" {
			return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", in.StackName, in.ChangeSetName)
		}
		for _, cs := range changeSetsOf(tx, st.ID) {
			if cs.Name != in.ChangeSetName || strings.HasPrefix(cs.Execution, "EXECUTE_") {
				continue
			}
			if in.ClientToken != "" && cs.Token == in.ClientToken {
				if cs.Digest != digest(in) {
					return nil, wire.Errorf("TokenAlreadyExistsException", "The client request token %s was already used with another request", in.ClientToken)
				}
				return &CreateChangeSetOutput{Id: cs.ID, StackId: st.ID}, nil
			}
			return nil, wire.Errorf("AlreadyExistsException", "ChangeSet %s already exists", in.ChangeSetName)
		}
		if kind == "UPDATE" {
			if st.Status == "REVIEW_IN_PROGRESS" {
				return nil, invalid("Stack [%s] does not exist", in.StackName)
			}
			if err := checkUpdatable(st, true); err != nil {
				return nil, err
			}
		}
	}
	var previous *state.StackModel
	if st != nil && kind == "UPDATE" {
		previous = st.Model
	}
	r := &request{
		name: in.StackName, body: in.TemplateBody, url: in.TemplateURL, usePrevious: in.UsePreviousTemplate, parameters: in.Parameters,
		tags: in.Tags, capabilities: in.Capabilities, topics: in.NotificationARNs, rollback: in.RollbackConfiguration, mode: in.DeploymentConfig,
	}
	m, t, kept, err := r.model(tx, previous)
	if err != nil {
		return nil, err
	}
	if previous != nil {
		if err := sameTypes(st, t); err != nil {
			return nil, err
		}
	}
	if st == nil {
		st = newStack(tx, in.StackName, "")
		e := &engine{tx: tx, st: st, op: &state.StackOperation{ID: core.UUID(), Token: in.ClientToken}}
		e.status("REVIEW_IN_PROGRESS", userInitiated)
	}
	cs := &state.ChangeSet{
		ID:   tx.ARN("cloudformation", "changeSet/"+in.ChangeSetName+"/"+core.UUID()),
		Name: in.ChangeSetName, StackID: st.ID, StackName: st.Name, Type: kind, Status: "CREATE_PENDING", Execution: "UNAVAILABLE",
		Description: in.Description, Token: in.ClientToken, Digest: digest(in), Created: tx.Now, Model: m, Given: kept,
		RoleARN: in.RoleARN, OnFailure: in.OnStackFailure, OperationID: core.UUID(),
		Revert: in.DeploymentMode != "", IncludeNested: yes(in.IncludeNestedStacks), ImportExisting: yes(in.ImportExistingResources),
	}
	if c := in.RollbackConfiguration; c != nil {
		cs.Rollback = &state.RollbackSettings{Minutes: c.MonitoringTimeInMinutes, Clear: c.RollbackTriggers != nil && len(c.RollbackTriggers) == 0}
		for _, t := range c.RollbackTriggers {
			cs.Rollback.Triggers = append(cs.Rollback.Triggers, state.RollbackTrigger(t))
		}
	}
	tx.Region.ChangeSets[cs.ID] = cs
	tx.Changed()
	return &CreateChangeSetOutput{Id: cs.ID, StackId: st.ID}, nil
}

// review works out what a change set would do.
func review(tx *core.Tx, cs *state.ChangeSet) {
	st := tx.Region.Stacks[cs.StackID]
	fail := func(reason string) { cs.Status, cs.Execution, cs.Reason = "FAILED", "UNAVAILABLE", reason }
	t, err := parse(cs.Model.Template)
	switch {
	case st == nil:
		fail("Stack [" + cs.StackName + "] does not exist")
		return
	case err != nil:
		fail(err.Error())
		return
	}
	if text := t.missing(tx, cs.Model.Parameters); text != "" {
		fail(text)
		return
	}
	if text := newScope(tx, t, st.ID, st.Name, cs.Model).notExported(tx); text != "" {
		fail(text)
		return
	}
	if earlyProblems(tx, st, cs, t) {
		fail("The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]. To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information.")
		return
	}
	if f := tx.Fault(core.FaultEmpty, map[string]string{"stack": st.Name, "change-set": cs.Name}); f != nil {
		fail(emptyReason)
		if f.Args["text"] == "updates" {
			fail(noUpdates)
		}
		return
	}
	base, drifted := st, map[string]*drift{}
	if cs.Revert {
		base, drifted = actual(tx, st)
	}
	changes, other := compare(tx, base, cs.Model, t)
	if cs.Revert {
		changes = withDrift(changes, drifted)
	}
	if idle(changes) && !other {
		// AWS has two texts for it; which one comes when is not known.
		fail(emptyReason)
		if len(changes) > 0 {
			fail(noUpdates)
		}
		return
	}
	cs.Changes = changes
	cs.Status, cs.Execution = "CREATE_COMPLETE", "AVAILABLE"
}

// earlyProblems checks properties before anything is touched, and keeps what is wrong for DescribeEvents.
func earlyProblems(tx *core.Tx, st *state.Stack, cs *state.ChangeSet, t *template) bool {
	s := newScope(tx, t, st.ID, st.Name, cs.Model)
	for _, id := range t.order {
		def := t.Resources[id]
		if on, err := s.active(def.Condition); err != nil || !on {
			continue
		}
		props, err := s.properties(def.Properties)
		if err != nil {
			continue
		}
		props = resolved(tx, props)
		for _, p := range schema.Lookup(def.Type).Check(props) {
			cs.Events = append(cs.Events, &state.StackEvent{
				ID: core.UUID(), Kind: "VALIDATION_ERROR", LogicalID: id, Type: def.Type, Reason: p.Text, Path: p.Path,
				Name: "AWS::EarlyValidation::PropertyValidation", Time: tx.Now, Token: cs.Token, Operation: cs.OperationID,
			})
		}
	}
	return len(cs.Events) > 0
}

// DescribeChangeSet tells what a change set would do.
func DescribeChangeSet(tx *core.Tx, in *DescribeChangeSetInput) (*DescribeChangeSetOutput, error) {
	cs, err := changeSet(tx, in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	changes, next, err := core.Page(tx, cs.Changes, func(ch *state.ResourceChange) string { return ch.LogicalID + " " + ch.PhysicalID }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	no := false
	out := &DescribeChangeSetOutput{
		ChangeSetId: cs.ID, ChangeSetName: cs.Name, StackId: cs.StackID, StackName: cs.StackName, Description: cs.Description,
		Status: cs.Status, StatusReason: cs.Reason, ExecutionStatus: execution(tx, cs), OnStackFailure: cs.OnFailure, CreationTime: cs.Created,
		Parameters: shownParameters(cs.Model), Tags: shownTags(cs.Model), Capabilities: cs.Model.Capabilities,
		NotificationARNs: cs.Model.NotificationARNs, IncludeNestedStacks: &cs.IncludeNested, ImportExistingResources: &no, NextToken: next,
		RollbackConfiguration: &RollbackConfiguration{},
	}
	if r := cs.Rollback; r != nil {
		out.RollbackConfiguration.MonitoringTimeInMinutes = r.Minutes
		for _, t := range r.Triggers {
			out.RollbackConfiguration.RollbackTriggers = append(out.RollbackConfiguration.RollbackTriggers, RollbackTrigger(t))
		}
	}
	for _, ch := range changes {
		out.Changes = append(out.Changes, Change{Type: "Resource", ResourceChange: shownChange(cs, ch, yes(in.IncludePropertyValues))})
	}
	return out, nil
}

func shownChange(cs *state.ChangeSet, ch *state.ResourceChange, values bool) *ResourceChange {
	out := &ResourceChange{
		Action: ch.Action, LogicalResourceId: ch.LogicalID, PhysicalResourceId: ch.PhysicalID, ResourceType: ch.Type,
		Replacement: ch.Replacement, PolicyAction: ch.PolicyAction, Scope: ch.Scope,
	}
	if values {
		out.BeforeContext, out.AfterContext = ch.Before, ch.After
		out.PreviousDeploymentContext = ch.Deployed
	}
	out.ResourceDriftStatus = ch.Drift
	for _, path := range ch.Ignored {
		out.ResourceDriftIgnoredAttributes = append(out.ResourceDriftIgnoredAttributes, ResourceDriftIgnoredAttribute{Path: path, Reason: "MANAGED_BY_AWS"})
	}
	seen := map[string]bool{}
	for _, d := range ch.Details {
		target := &ResourceTargetDefinition{Attribute: d.Attribute, Name: d.Name, RequiresRecreation: d.Recreation}
		if d.Attribute != "Properties" {
			target.RequiresRecreation = ""
		}
		if values {
			target.Path, target.BeforeValue, target.AfterValue, target.AttributeChangeType = d.Path, d.Before, d.After, d.Kind
		}
		if cs.Revert && values && d.Attribute == "Properties" {
			target.BeforeValueFrom, target.AfterValueFrom = "PREVIOUS_DEPLOYMENT_STATE", "TEMPLATE"
			if d.Deployed != nil {
				target.BeforeValueFrom = "ACTUAL_STATE"
				target.Drift = &LiveResourceDrift{PreviousValue: *d.Deployed, ActualValue: d.Before, DriftDetectionTimestamp: cs.Created}
			}
		}
		detail := ResourceChangeDetail{Target: target, Evaluation: d.Evaluation, ChangeSource: d.Source, CausingEntity: d.Cause}
		if key := compact(detail); !seen[key] {
			seen[key] = true
			out.Details = append(out.Details, detail)
		}
	}
	return out
}

// execution is the execution status; that of an executed change set follows its operation.
func execution(tx *core.Tx, cs *state.ChangeSet) string {
	if cs.Execution != "EXECUTE_IN_PROGRESS" {
		return cs.Execution
	}
	if st := tx.Region.Stacks[cs.StackID]; st != nil {
		for _, r := range st.Operations {
			if r.ID != cs.OperationID {
				continue
			}
			switch r.Status {
			case "SUCCEEDED":
				return "EXECUTE_COMPLETE"
			case "FAILED":
				return "EXECUTE_FAILED"
			}
		}
	}
	return cs.Execution
}

// ListChangeSets lists the change sets of a stack that can still be executed or looked at.
func ListChangeSets(tx *core.Tx, in *ListChangeSetsInput) (*ListChangeSetsOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	open := slices.DeleteFunc(changeSetsOf(tx, st.ID), func(cs *state.ChangeSet) bool { return strings.HasPrefix(cs.Execution, "EXECUTE_") })
	page, next, err := core.Page(tx, open, func(cs *state.ChangeSet) string { return cs.ID }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListChangeSetsOutput{NextToken: next}
	for _, cs := range page {
		out.Summaries = append(out.Summaries, ChangeSetSummary{
			ChangeSetId: cs.ID, ChangeSetName: cs.Name, StackId: cs.StackID, StackName: cs.StackName, Description: cs.Description,
			Status: cs.Status, StatusReason: cs.Reason, ExecutionStatus: cs.Execution, CreationTime: cs.Created,
			IncludeNestedStacks: &cs.IncludeNested, ImportExistingResources: &cs.ImportExisting,
		})
	}
	return out, nil
}

// DeleteChangeSet drops a change set. One that is not there is no error.
func DeleteChangeSet(tx *core.Tx, in *DeleteChangeSetInput) (*DeleteChangeSetOutput, error) {
	cs, err := changeSet(tx, in.ChangeSetName, in.StackName)
	if err != nil {
		if notFound(err) {
			return &DeleteChangeSetOutput{}, nil
		}
		return nil, err
	}
	if execution(tx, cs) == "EXECUTE_IN_PROGRESS" {
		return nil, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be deleted in its current execution status of [EXECUTE_IN_PROGRESS]", cs.ID)
	}
	delete(tx.Region.ChangeSets, cs.ID)
	tx.Changed()
	return &DeleteChangeSetOutput{}, nil
}

// meddle is what a fault has somebody else do between plan and execution.
func meddle(tx *core.Tx, st *state.Stack, cs *state.ChangeSet) {
	attrs := map[string]string{"stack": cs.StackName, "change-set": cs.Name}
	if tx.Fault(core.FaultObsolete, attrs) != nil {
		cs.Execution = "OBSOLETE"
		tx.Changed()
	}
	if tx.Fault(core.FaultImageGone, attrs) == nil {
		return
	}
	for _, p := range cs.Model.Parameters {
		if now, _ := st.Model.Parameter(p.Key); now == p.Value || tx.Region.Images[p.Value] == nil {
			continue
		}
		if _, err := ec2.DeregisterImage(tx, &ec2.DeregisterImageInput{ImageId: p.Value}); err != nil {
			tx.Log().Error("a fault deregisters an image", "image", p.Value, "error", err)
		}
	}
}

// ExecuteChangeSet begins to do what a change set proposes.
func ExecuteChangeSet(tx *core.Tx, in *ExecuteChangeSetInput) (*ExecuteChangeSetOutput, error) {
	cs, err := changeSet(tx, in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	st := tx.Region.Stacks[cs.StackID]
	if again, err := repeated(st, "ExecuteChangeSet", in.ClientRequestToken, in); err != nil || again {
		return &ExecuteChangeSetOutput{}, err
	}
	meddle(tx, st, cs)
	switch {
	case cs.Status != "CREATE_COMPLETE":
		return nil, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", cs.ID, cs.Status)
	case cs.Execution != "AVAILABLE":
		return nil, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current execution status of [%s]", cs.ID, execution(tx, cs))
	}
	noRollback := yes(in.DisableRollback) || cs.OnFailure == "DO_NOTHING" && in.DisableRollback == nil
	if cs.Type == "UPDATE" {
		if err := checkUpdatable(st, noRollback); err != nil {
			return nil, err
		}
	}
	useToken(st, "ExecuteChangeSet", in.ClientRequestToken, in)
	for _, other := range changeSetsOf(tx, st.ID) {
		if other != cs {
			delete(tx.Region.ChangeSets, other.ID)
		}
	}
	if cs.RoleARN != "" {
		st.RoleARN = cs.RoleARN
	}
	if r := cs.Rollback; r != nil {
		c := &RollbackConfiguration{MonitoringTimeInMinutes: r.Minutes}
		if r.Clear {
			c.RollbackTriggers = []RollbackTrigger{}
		}
		for _, t := range r.Triggers {
			c.RollbackTriggers = append(c.RollbackTriggers, RollbackTrigger(t))
		}
		watch(st, c)
	}
	st.ChangeSet = cs.ID
	var e *engine
	if cs.Type == "CREATE" {
		st.Model = cs.Model
		onFailure := cs.OnFailure
		if noRollback {
			onFailure = "DO_NOTHING"
		}
		e = createOperation(tx, st, in.ClientRequestToken, onFailure, yes(in.RetainExceptOnCreate))
	} else {
		if cs.Revert {
			takeActual(tx, st)
		}
		e = updateOperation(tx, st, cs.Model, in.ClientRequestToken, noRollback)
		e.op.Keep = yes(in.RetainExceptOnCreate)
	}
	e.op.Kept = maps.Clone(cs.Given)
	cs.Execution, cs.OperationID, cs.ExecuteToken = "EXECUTE_IN_PROGRESS", e.op.ID, in.ClientRequestToken
	return &ExecuteChangeSetOutput{}, nil
}
