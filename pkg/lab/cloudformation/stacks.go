package cloudformation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]*$`)

var tokenPattern = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9]*$`)

func yes(b *bool) bool { return b != nil && *b }

// find is a stack by name (not a deleted one) or by ARN; nil if there is none.
func find(tx *core.Tx, nameOrID string) *state.Stack {
	if strings.HasPrefix(nameOrID, "arn:") {
		if st := tx.Region.Stacks[nameOrID]; st != nil {
			return st
		}
		return tx.Region.Deleted[nameOrID]
	}
	for _, st := range tx.Region.Stacks {
		if st.Name == nameOrID && st.Status != "DELETE_COMPLETE" {
			return st
		}
	}
	return nil
}

// known is find with the error of most actions.
func known(tx *core.Tx, nameOrID string) (*state.Stack, error) {
	if nameOrID == "" {
		return nil, invalid("1 validation error detected: Value null at 'stackName' failed to satisfy constraint: Member must not be null")
	}
	if st := find(tx, nameOrID); st != nil {
		return st, nil
	}
	return nil, invalid("Stack [%s] does not exist", nameOrID)
}

// live is known without deleted stacks.
func live(tx *core.Tx, nameOrID string) (*state.Stack, error) {
	st, err := known(tx, nameOrID)
	if err == nil && st.Status == "DELETE_COMPLETE" {
		return nil, invalid("Stack [%s] does not exist", nameOrID)
	}
	return st, err
}

// all stacks, the newest first, deleted ones too.
func all(tx *core.Tx) []*state.Stack {
	list := slices.AppendSeq(slices.Collect(maps.Values(tx.Region.Stacks)), maps.Values(tx.Region.Deleted))
	slices.SortFunc(list, func(a, b *state.Stack) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	return list
}

func digest(v any) string {
	sum := sha256.Sum256([]byte(compact(v)))
	return hex.EncodeToString(sum[:])
}

// repeated says that a request came before with its client token. A token that
// came with another request is an error.
func repeated(st *state.Stack, action, token string, in any) (bool, error) {
	if token == "" {
		return false, nil
	}
	if len(token) > 128 || !tokenPattern.MatchString(token) {
		return false, invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*", token)
	}
	if st == nil {
		return false, nil
	}
	if d, ok := st.Tokens[action+" "+token]; ok {
		if d == digest(in) {
			return true, nil
		}
		return false, wire.Errorf("TokenAlreadyExistsException", "The client request token %s was already used with another request", token)
	}
	for key := range st.Tokens {
		if strings.HasSuffix(key, " "+token) {
			return false, wire.Errorf("TokenAlreadyExistsException", "The client request token %s was already used with another request", token)
		}
	}
	return false, nil
}

func useToken(st *state.Stack, action, token string, in any) {
	if token == "" {
		return
	}
	if st.Tokens == nil {
		st.Tokens = map[string]string{}
	}
	st.Tokens[action+" "+token] = digest(in)
}

func newStack(tx *core.Tx, name, status string) *state.Stack {
	st := &state.Stack{
		ID: tx.ARN("cloudformation", "stack/"+name+"/"+core.UUID()), Name: name, Status: status, Created: tx.Now,
		Resources: map[string]*state.StackResource{},
	}
	tx.Region.Stacks[st.ID] = st
	return st
}

// CreateStack begins to create a stack.
func CreateStack(tx *core.Tx, in *CreateStackInput) (*CreateStackOutput, error) {
	if err := checkName(in.StackName); err != nil {
		return nil, err
	}
	if old := find(tx, in.StackName); old != nil {
		again, err := repeated(old, "CreateStack", in.ClientRequestToken, in)
		if err != nil {
			return nil, err
		}
		if again {
			return &CreateStackOutput{StackId: old.ID, OperationId: old.Operations[len(old.Operations)-1].ID}, nil
		}
		return nil, wire.Errorf("AlreadyExistsException", "Stack [%s] already exists", in.StackName)
	}
	if _, err := repeated(nil, "CreateStack", in.ClientRequestToken, in); err != nil {
		return nil, err
	}
	if in.OnFailure != "" && in.DisableRollback != nil {
		return nil, invalid("Parameters OnFailure and DisableRollback are mutually exclusive. (You can specify one or the other, but not both.)")
	}
	if in.OnFailure != "" && !slices.Contains([]string{"DO_NOTHING", "ROLLBACK", "DELETE"}, in.OnFailure) {
		return nil, invalid("1 validation error detected: Value '%s' at 'onFailure' failed to satisfy constraint: Member must satisfy enum value set: [DO_NOTHING, ROLLBACK, DELETE]", in.OnFailure)
	}
	if in.StackPolicyBody != "" {
		if _, err := parsePolicy(in.StackPolicyBody); err != nil {
			return nil, err
		}
	}
	r := &request{
		name: in.StackName, body: in.TemplateBody, url: in.TemplateURL, parameters: in.Parameters, tags: in.Tags,
		capabilities: in.Capabilities, topics: in.NotificationARNs, rollback: in.RollbackConfiguration, mode: in.DeploymentConfig,
	}
	m, _, kept, err := r.model(tx, nil)
	if err != nil {
		return nil, err
	}
	st := newStack(tx, in.StackName, "")
	st.Model, st.RoleARN, st.Policy = m, in.RoleARN, in.StackPolicyBody
	st.TerminationProtection = yes(in.EnableTerminationProtection)
	watch(st, in.RollbackConfiguration)
	useToken(st, "CreateStack", in.ClientRequestToken, in)
	onFailure := in.OnFailure
	if yes(in.DisableRollback) {
		onFailure = "DO_NOTHING"
	}
	e := createOperation(tx, st, in.ClientRequestToken, onFailure, yes(in.RetainExceptOnCreate))
	e.op.Kept = kept
	if in.TimeoutInMinutes != nil {
		st.TimeoutMinutes = *in.TimeoutInMinutes
		e.op.Deadline = tx.After(time.Duration(st.TimeoutMinutes) * time.Minute)
	}
	return &CreateStackOutput{StackId: st.ID, OperationId: e.op.ID}, nil
}

func createOperation(tx *core.Tx, st *state.Stack, token, onFailure string, keep bool) *engine {
	e := begin(tx, st, "CREATE_STACK", token, "start", "CREATE_IN_PROGRESS")
	st.DisableRollback = onFailure == "DO_NOTHING"
	st.OnFailure = onFailure
	e.op.OnFailure, e.op.DisableRollback, e.op.Keep = onFailure, st.DisableRollback, keep
	return e
}

var updatable = []string{
	"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE",
}

// checkUpdatable refuses an update of a stack that is in no state for it.
func checkUpdatable(st *state.Stack, disableRollback bool) error {
	if slices.Contains(updatable, st.Status) || disableRollback && (st.Status == "UPDATE_FAILED" || st.Status == "CREATE_FAILED") {
		return nil
	}
	return invalid("Stack:%s is in %s state and can not be updated.", st.ID, st.Status)
}

// UpdateStack begins to update a stack.
func UpdateStack(tx *core.Tx, in *UpdateStackInput) (*UpdateStackOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	again, err := repeated(st, "UpdateStack", in.ClientRequestToken, in)
	if err != nil {
		return nil, err
	}
	if again {
		return &UpdateStackOutput{StackId: st.ID}, nil
	}
	if err := checkUpdatable(st, yes(in.DisableRollback)); err != nil {
		return nil, err
	}
	for _, body := range []string{in.StackPolicyBody, in.StackPolicyDuringUpdateBody} {
		if body == "" {
			continue
		}
		if _, err := parsePolicy(body); err != nil {
			return nil, err
		}
	}
	r := &request{
		name: st.Name, body: in.TemplateBody, url: in.TemplateURL, usePrevious: in.UsePreviousTemplate, parameters: in.Parameters,
		tags: in.Tags, capabilities: in.Capabilities, topics: in.NotificationARNs, rollback: in.RollbackConfiguration, mode: in.DeploymentConfig,
	}
	m, t, kept, err := r.model(tx, st.Model)
	if err != nil {
		return nil, err
	}
	if err := sameTypes(st, t); err != nil {
		return nil, err
	}
	if changes, other := compare(tx, st, m, t); idle(changes) && !other && st.Status != "UPDATE_FAILED" && st.Status != "CREATE_FAILED" {
		return nil, invalid(noUpdates)
	}
	if in.StackPolicyBody != "" {
		st.Policy = in.StackPolicyBody
	}
	watch(st, in.RollbackConfiguration)
	if in.RoleARN != "" {
		st.RoleARN = in.RoleARN
	}
	useToken(st, "UpdateStack", in.ClientRequestToken, in)
	for _, cs := range tx.Region.ChangeSets {
		if cs.StackID == st.ID && cs.Execution == "AVAILABLE" {
			cs.Execution = "OBSOLETE"
		}
	}
	e := updateOperation(tx, st, m, in.ClientRequestToken, yes(in.DisableRollback))
	e.op.Policy, e.op.Kept = in.StackPolicyDuringUpdateBody, kept
	e.op.Keep = yes(in.RetainExceptOnCreate)
	return &UpdateStackOutput{StackId: st.ID, OperationId: e.op.ID}, nil
}

// retagged says whether the stack's tags are others, in whatever order they were given.
func retagged(was, is *state.StackModel) bool {
	values := func(m *state.StackModel) map[string]string {
		out := map[string]string{}
		for _, t := range m.Tags {
			out[t.Key] = t.Value
		}
		return out
	}
	return !maps.Equal(values(was), values(is))
}

// updateOperation makes the model the aim of an update.
func updateOperation(tx *core.Tx, st *state.Stack, m *state.StackModel, token string, disableRollback bool) *engine {
	stable := slices.Contains(updatable, st.Status)
	if stable {
		st.Previous = st.Model
	} else {
		// A retry of what failed with rollback disabled: the last stable model stays the way back.
		for _, r := range st.Resources {
			r.Work = nil
		}
	}
	st.Updated = tx.Now
	st.DisableRollback = disableRollback
	again := retagged(st.Model, m)
	st.Model = m
	e := begin(tx, st, "UPDATE_STACK", token, "start", "UPDATE_IN_PROGRESS")
	e.op.DisableRollback, e.op.Retagged = disableRollback, again
	return e
}

// sameTypes refuses a template that gives a logical id another resource type.
func sameTypes(st *state.Stack, t *template) error {
	var bad []string
	for _, id := range t.order {
		if res := st.Resources[id]; res != nil && res.Type != t.Resources[id].Type {
			bad = append(bad, id)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return invalid("Update of resource type is not permitted. The new template modifies resource type of the following resources: [%s]", strings.Join(bad, ", "))
}

// DeleteStack begins to delete a stack. A stack that is not there is no error.
func DeleteStack(tx *core.Tx, in *DeleteStackInput) (*DeleteStackOutput, error) {
	if in.StackName == "" {
		return nil, invalid("1 validation error detected: Value null at 'stackName' failed to satisfy constraint: Member must not be null")
	}
	st := find(tx, in.StackName)
	if st == nil || st.Status == "DELETE_COMPLETE" || st.Status == "DELETE_IN_PROGRESS" {
		return &DeleteStackOutput{}, nil
	}
	if again, err := repeated(st, "DeleteStack", in.ClientRequestToken, in); err != nil || again {
		return &DeleteStackOutput{}, err
	}
	if st.TerminationProtection {
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", st.Name)
	}
	if len(in.RetainResources) > 0 && st.Status != "DELETE_FAILED" {
		return nil, invalid("Invalid operation on stack [%s]. RetainResources is only allowed for stacks in the DELETE_FAILED state", st.ID)
	}
	for _, id := range in.RetainResources {
		if st.Resources[id] == nil {
			return nil, invalid("Resource %s does not exist for stack %s", id, st.Name)
		}
	}
	if in.DeletionMode != "" && in.DeletionMode != "STANDARD" && in.DeletionMode != "FORCE_DELETE_STACK" {
		return nil, invalid("1 validation error detected: Value '%s' at 'deletionMode' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, FORCE_DELETE_STACK]", in.DeletionMode)
	}
	if strings.HasSuffix(st.Status, "_IN_PROGRESS") && st.Status != "REVIEW_IN_PROGRESS" && st.Status != "CREATE_IN_PROGRESS" {
		return nil, invalid("Stack [%s] cannot be deleted while in status %s", st.ID, st.Status)
	}
	useToken(st, "DeleteStack", in.ClientRequestToken, in)
	if st.Operation != nil {
		// A creation under way ends here.
		e := &engine{tx: tx, st: st, op: st.Operation}
		e.halt()
	}
	for _, r := range st.Resources {
		r.Work = nil
	}
	for _, r := range st.Leftovers {
		r.Work = nil
	}
	e := begin(tx, st, "DELETE_STACK", in.ClientRequestToken, "delete", "DELETE_IN_PROGRESS")
	e.op.Retain, e.op.Force = in.RetainResources, in.DeletionMode == "FORCE_DELETE_STACK"
	return &DeleteStackOutput{}, nil
}

// CancelUpdateStack ends an update under way and rolls it back.
func CancelUpdateStack(tx *core.Tx, in *CancelUpdateStackInput) (*CancelUpdateStackOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if again, err := repeated(st, "CancelUpdateStack", in.ClientRequestToken, in); err != nil || again {
		return &CancelUpdateStackOutput{}, err
	}
	if st.Status != "UPDATE_IN_PROGRESS" || st.Operation == nil || st.Previous == nil {
		return nil, invalid("CancelUpdateStack cannot be called from current stack status")
	}
	useToken(st, "CancelUpdateStack", in.ClientRequestToken, in)
	e := &engine{tx: tx, st: st, op: st.Operation}
	if in.ClientRequestToken != "" {
		e.op.Token = in.ClientRequestToken
	}
	e.halt()
	e.turnBack(userInitiated)
	return &CancelUpdateStackOutput{}, nil
}

// ContinueUpdateRollback tries again to roll back an update whose rollback failed.
func ContinueUpdateRollback(tx *core.Tx, in *ContinueUpdateRollbackInput) (*ContinueUpdateRollbackOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if again, err := repeated(st, "ContinueUpdateRollback", in.ClientRequestToken, in); err != nil || again {
		return &ContinueUpdateRollbackOutput{}, err
	}
	if st.Status != "UPDATE_ROLLBACK_FAILED" {
		return nil, invalid("Stack:%s is in %s state and can not continue rollback.", st.ID, st.Status)
	}
	if yes(in.ForceRollback) && len(in.ResourcesToSkip) > 0 {
		return nil, invalid("ForceRollback and ResourcesToSkip are mutually exclusive")
	}
	skip := slices.Clone(in.ResourcesToSkip)
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		failed := st.Resources[id].Status == "UPDATE_FAILED"
		if yes(in.ForceRollback) && failed {
			skip = append(skip, id)
		}
	}
	for _, id := range skip {
		res := st.Resources[id]
		if res == nil {
			return nil, invalid("Resource %s does not exist for stack %s", id, st.Name)
		}
		if res.Status != "UPDATE_FAILED" {
			return nil, invalid("Resource [%s] cannot be skipped: it is not in the UPDATE_FAILED state", id)
		}
	}
	useToken(st, "ContinueUpdateRollback", in.ClientRequestToken, in)
	e := begin(tx, st, "CONTINUE_ROLLBACK", in.ClientRequestToken, "rollback", "UPDATE_ROLLBACK_IN_PROGRESS")
	e.op.Retagged = st.Failed != nil && compact(st.Failed.Tags) != compact(st.Model.Tags)
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		res := st.Resources[id]
		if res.Work == nil || res.Work.Phase != "failed" {
			continue
		}
		res.Work = &state.ResourceWork{Action: "restore"}
		if slices.Contains(skip, id) && res.Before != nil {
			// Marked as if it were back: what it really is has drifted.
			e.take(res, *res.Before)
			res.Attributes = res.Before.Attributes
			res.Work.Phase = "done"
			e.tell(res, "UPDATE_COMPLETE", "")
		}
	}
	return &ContinueUpdateRollbackOutput{}, nil
}

// RollbackStack rolls back what failed with rollback disabled.
func RollbackStack(tx *core.Tx, in *RollbackStackInput) (*RollbackStackOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if again, err := repeated(st, "RollbackStack", in.ClientRequestToken, in); err != nil || again {
		return &RollbackStackOutput{StackId: st.ID}, err
	}
	if st.Status != "CREATE_FAILED" && st.Status != "UPDATE_FAILED" {
		return nil, invalid("Stack:%s is in %s state and can not be rolled back.", st.ID, st.Status)
	}
	useToken(st, "RollbackStack", in.ClientRequestToken, in)
	var e *engine
	if st.Previous == nil {
		for _, r := range st.Resources {
			r.Work = nil
		}
		e = begin(tx, st, "ROLLBACK", in.ClientRequestToken, "delete", "ROLLBACK_IN_PROGRESS")
		e.op.Keep = yes(in.RetainExceptOnCreate)
	} else {
		st.Operation = &state.StackOperation{ID: core.UUID(), Type: "ROLLBACK", Token: in.ClientRequestToken, Started: tx.Now}
		st.Operations = slices.Insert(st.Operations, 0, state.StackOperationRecord{
			ID: st.Operation.ID, Type: "ROLLBACK", Token: in.ClientRequestToken, Started: tx.Now, Status: "IN_PROGRESS",
		})
		e = &engine{tx: tx, st: st, op: st.Operation}
		e.op.Keep = yes(in.RetainExceptOnCreate)
		e.turnBack(userInitiated)
	}
	return &RollbackStackOutput{StackId: st.ID, OperationId: e.op.ID}, nil
}

// SetStackPolicy gives a stack its policy. It can be replaced, never removed.
func SetStackPolicy(tx *core.Tx, in *SetStackPolicyInput) (*SetStackPolicyOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if in.StackPolicyURL != "" {
		return nil, invalid("StackPolicyURL is not supported by this lab: send StackPolicyBody")
	}
	if _, err := parsePolicy(in.StackPolicyBody); err != nil {
		return nil, err
	}
	st.Policy = in.StackPolicyBody
	return &SetStackPolicyOutput{}, nil
}

// GetStackPolicy tells a stack's policy.
func GetStackPolicy(tx *core.Tx, in *GetStackPolicyInput) (*GetStackPolicyOutput, error) {
	st, err := known(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	return &GetStackPolicyOutput{StackPolicyBody: st.Policy}, nil
}

// UpdateTerminationProtection guards a stack against deletion, or no longer.
func UpdateTerminationProtection(tx *core.Tx, in *UpdateTerminationProtectionInput) (*UpdateTerminationProtectionOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if in.EnableTerminationProtection == nil {
		return nil, invalid("1 validation error detected: Value null at 'enableTerminationProtection' failed to satisfy constraint: Member must not be null")
	}
	st.TerminationProtection = *in.EnableTerminationProtection
	return &UpdateTerminationProtectionOutput{StackId: st.ID}, nil
}
