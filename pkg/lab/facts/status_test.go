package facts_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// statuses are all states of a stack, as AWS lists them.
var statuses = []string{
	"CREATE_COMPLETE", "CREATE_FAILED", "CREATE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED", "DELETE_IN_PROGRESS",
	"IMPORT_COMPLETE", "IMPORT_IN_PROGRESS", "IMPORT_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_FAILED", "IMPORT_ROLLBACK_IN_PROGRESS",
	"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE",
	"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_FAILED", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE",
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS",
}

// reach brings a new stack into each state that can be held.
var reach map[string]func(w *world) *stack

func init() { reach = ways } // some lead on from others

var ways = map[string]func(w *world) *stack{
	"REVIEW_IN_PROGRESS": func(w *world) *stack {
		out, err := w.cfn.CreateChangeSet(w.ctx, &cloudformation.CreateChangeSetInput{
			StackName: aws.String(w.name("state")), ChangeSetName: aws.String("first"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(say()),
		})
		require.NoError(w, err)
		s := w.stack(w.name("state"), *out.StackId)
		s.cleanup()
		w.settle()
		return s
	},
	"CREATE_IN_PROGRESS": func(w *world) *stack {
		s := w.create("state", say(gate("Gate")))
		s.until(time.Hour, "the gate waits", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		return s
	},
	"CREATE_COMPLETE": func(w *world) *stack { return w.made("state", say()) },
	"CREATE_FAILED": func(w *world) *stack {
		s := w.create("state", say(), with("Body", broken), func(in *cloudformation.CreateStackInput) { in.DisableRollback = aws.Bool(true) })
		s.await("CREATE_FAILED")
		return s
	},
	"ROLLBACK_IN_PROGRESS": func(w *world) *stack {
		s := w.create("state", say(yard, gate("Gate")))
		s.until(time.Hour, "the gate waits", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		s.squat("10.9.1.0/24")
		require.NoError(w, s.signal("Gate", "me", "FAILURE"))
		s.await("ROLLBACK_IN_PROGRESS")
		return s
	},
	"ROLLBACK_FAILED": func(w *world) *stack {
		s := reach["ROLLBACK_IN_PROGRESS"](w)
		s.jump(25 * time.Minute)
		s.await("ROLLBACK_FAILED")
		return s
	},
	"ROLLBACK_COMPLETE": func(w *world) *stack {
		s := w.create("state", say(), with("Body", broken))
		s.await("ROLLBACK_COMPLETE")
		return s
	},
	"DELETE_IN_PROGRESS": func(w *world) *stack {
		s := w.made("state", say(yard))
		s.squat("10.9.1.0/24")
		_, err := w.cfn.DeleteStack(w.ctx, &cloudformation.DeleteStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("DELETE_IN_PROGRESS")
		return s
	},
	"DELETE_FAILED": func(w *world) *stack {
		s := reach["DELETE_IN_PROGRESS"](w)
		s.jump(25 * time.Minute)
		s.await("DELETE_FAILED")
		return s
	},
	"DELETE_COMPLETE": func(w *world) *stack {
		s := w.made("state", say())
		_, err := w.cfn.DeleteStack(w.ctx, &cloudformation.DeleteStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("DELETE_COMPLETE")
		return s
	},
	"UPDATE_IN_PROGRESS": func(w *world) *stack {
		s := w.made("state", say())
		require.NoError(w, s.update(say(gate("Gate"))))
		s.until(time.Hour, "the gate waits", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		return s
	},
	"UPDATE_COMPLETE": func(w *world) *stack {
		s := w.made("state", say())
		require.NoError(w, s.update(say(), to("Say", "two")))
		s.await("UPDATE_COMPLETE")
		return s
	},
	"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": func(w *world) *stack {
		s := w.made("state", say(yard))
		s.squat("10.9.1.0/24")
		require.NoError(w, s.update(say()))
		s.await("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
		return s
	},
	"UPDATE_FAILED": func(w *world) *stack {
		s := w.made("state", say())
		require.NoError(w, s.update(say(), to("Body", broken), func(in *cloudformation.UpdateStackInput) { in.DisableRollback = aws.Bool(true) }))
		s.await("UPDATE_FAILED")
		return s
	},
	"UPDATE_ROLLBACK_IN_PROGRESS": func(w *world) *stack {
		s := reach["UPDATE_IN_PROGRESS"](w)
		_, err := w.cfn.CancelUpdateStack(w.ctx, &cloudformation.CancelUpdateStackInput{StackName: &s.id})
		require.NoError(w, err)
		return s // its time stands still
	},
	"UPDATE_ROLLBACK_FAILED": func(w *world) *stack {
		// The topic's way back fails, for somebody deleted it meanwhile.
		s := w.made("state", say())
		require.NoError(w, s.update(say(gate("Gate")), to("Say", "two")))
		s.until(time.Hour, "the gate waits", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		s.dropTopic()
		require.NoError(w, s.signal("Gate", "me", "FAILURE"))
		s.await("UPDATE_ROLLBACK_FAILED")
		return s
	},
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": func(w *world) *stack {
		s := w.made("state", say())
		require.NoError(w, s.update(say(yard, gate("Gate"))))
		s.until(time.Hour, "the gate waits", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		s.squat("10.9.1.0/24")
		require.NoError(w, s.signal("Gate", "me", "FAILURE"))
		s.await("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
		return s
	},
	"UPDATE_ROLLBACK_COMPLETE": func(w *world) *stack {
		s := w.made("state", say())
		require.NoError(w, s.update(say(), to("Body", broken)))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		return s
	},
}

// operation is a call that changes a stack.
type operation struct {
	name string
	call func(s *stack) error
	// refused is AWS's answer in all states but those of allowed; NAME, ID and STATE stand for the stack's.
	code, text string
	allowed    map[string]string // state -> the next one; "": it stays
}

func in(next string, states ...string) map[string]string {
	m := map[string]string{}
	for _, s := range states {
		m[s] = next
	}
	return m
}

func also(a, b map[string]string) map[string]string {
	for k, v := range b {
		a[k] = v
	}
	return a
}

var updatable = []string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

const notUpdatable = "Stack:ID is in STATE state and can not be updated."

var operations = []operation{
	{
		"UpdateStack", func(s *stack) error { return s.update(say(), to("Say", "three")) },
		"ValidationError", notUpdatable, in("UPDATE_IN_PROGRESS", updatable...),
	},
	{
		"UpdateStack with DisableRollback", func(s *stack) error {
			return s.update(say(), to("Say", "three"), func(in *cloudformation.UpdateStackInput) { in.DisableRollback = aws.Bool(true) })
		},
		"ValidationError", notUpdatable, in("UPDATE_IN_PROGRESS", append(slices.Clone(updatable), "CREATE_FAILED", "UPDATE_FAILED")...),
	},
	{
		"CreateChangeSet of type UPDATE", func(s *stack) error {
			_, err := s.cfn.CreateChangeSet(s.ctx, &cloudformation.CreateChangeSetInput{
				StackName: &s.id, ChangeSetName: aws.String("again"), ChangeSetType: types.ChangeSetTypeUpdate, TemplateBody: aws.String(say()), Parameters: params("Say", "three"),
			})
			return err
		},
		"ValidationError", notUpdatable, in("", append(slices.Clone(updatable), "CREATE_FAILED", "UPDATE_FAILED")...),
	},
	{
		"CreateChangeSet of type CREATE", func(s *stack) error {
			_, err := s.cfn.CreateChangeSet(s.ctx, &cloudformation.CreateChangeSetInput{
				StackName: &s.name, ChangeSetName: aws.String("again"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(say()),
			})
			return err
		},
		"ValidationError", "Stack [NAME] already exists and cannot be created again with the changeSet [again].", in("", "REVIEW_IN_PROGRESS"),
	},
	{
		"CreateStack", func(s *stack) error {
			_, err := s.cfn.CreateStack(s.ctx, &cloudformation.CreateStackInput{StackName: &s.name, TemplateBody: aws.String(say())})
			return err
		},
		"AlreadyExistsException", "Stack [NAME] already exists", nil,
	},
	{
		"CancelUpdateStack", func(s *stack) error {
			_, err := s.cfn.CancelUpdateStack(s.ctx, &cloudformation.CancelUpdateStackInput{StackName: &s.id})
			return err
		},
		"ValidationError", "CancelUpdateStack cannot be called from current stack status", in("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
	},
	{
		"ContinueUpdateRollback", func(s *stack) error {
			_, err := s.cfn.ContinueUpdateRollback(s.ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &s.id})
			return err
		},
		"ValidationError", "Stack:ID is in STATE state and can not continue rollback.", in("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"),
	},
	{
		"RollbackStack", func(s *stack) error {
			_, err := s.cfn.RollbackStack(s.ctx, &cloudformation.RollbackStackInput{StackName: &s.id})
			return err
		},
		"ValidationError", "Stack:ID is in STATE state and can not be rolled back.",
		also(in("ROLLBACK_IN_PROGRESS", "CREATE_FAILED"), in("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_FAILED")),
	},
	{
		"DeleteStack with RetainResources", func(s *stack) error {
			_, err := s.cfn.DeleteStack(s.ctx, &cloudformation.DeleteStackInput{StackName: &s.id, RetainResources: []string{"Vpc"}})
			return err
		},
		"ValidationError", "*RetainResources*DELETE_FAILED*", also(in("DELETE_IN_PROGRESS", "DELETE_FAILED"), in("", "DELETE_IN_PROGRESS")),
	},
	{
		"DeleteStack", func(s *stack) error {
			_, err := s.cfn.DeleteStack(s.ctx, &cloudformation.DeleteStackInput{StackName: &s.id})
			return err
		},
		"ValidationError", "Stack [ID] cannot be deleted while in status STATE",
		also(in("DELETE_IN_PROGRESS", append(slices.Clone(updatable), "REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_FAILED",
			"ROLLBACK_COMPLETE", "DELETE_FAILED", "UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED")...), in("", "DELETE_IN_PROGRESS")),
	},
	{
		"SignalResource", func(s *stack) error { return s.signal("Gate", "me", "SUCCESS") },
		"ValidationError", "Stack ID is in STATE state and cannot be signaled", in("", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
	},
}

// answers tries every operation in one state: those refused on one stack, those
// allowed on one of their own each.
func answers(state string) func(w *world) {
	return func(w *world) {
		shared := reach[state](w)
		for _, op := range operations {
			next, allowed := op.allowed[state]
			w.Run(strings.ReplaceAll(op.name, " ", "_"), func(t *testing.T) {
				if !allowed {
					own := *w
					own.T = t
					code, text := op.code, op.text
					if state == "DELETE_COMPLETE" {
						text = "Stack [ID] does not exist"
					}
					if state == "REVIEW_IN_PROGRESS" && strings.HasSuffix(op.name, "UPDATE") {
						text = "Stack [ID] does not exist"
					}
					if state == "UPDATE_ROLLBACK_IN_PROGRESS" && op.name == "SignalResource" {
						text = "Resource Gate does not exist for stack NAME" // its creation was given up
					}
					text = strings.NewReplacer("NAME", shared.name, "ID", shared.id, "STATE", state).Replace(text)
					own.refused(op.call(shared), code, text)
					assert.Equal(t, state, shared.status(), "a refused call changes nothing")
					return
				}
				own := newWorld(t)
				s := reach[state](own)
				require.NoError(t, op.call(s))
				if next == "" {
					assert.Equal(t, state, s.status())
					return
				}
				went := s.states()
				assert.Contains(t, went[len(went)-1:], next)
				assert.Contains(t, s.history()[len(s.history())-1], "User Initiated")
			})
		}
	}
}

const (
	updatableText = "[LS] [ISSUE:cloud-platform#487]"
	stillTime     = "it holds the stack in the state by a clock that stands still"
)

var statusFacts = []fact{
	{id: "F001", claim: "A stack has one of 23 states, and ListStacks takes just these as filters.", source: "[SDK:cloudformation]", check: func(w *world) {
		var known []string
		for _, s := range types.StackStatus("").Values() {
			known = append(known, string(s))
			_, err := w.cfn.ListStacks(w.ctx, &cloudformation.ListStacksInput{StackStatusFilter: []types.StackStatus{s}})
			require.NoError(w, err)
		}
		slices.Sort(known)
		assert.Equal(w, statuses, known)
		assert.Len(w, known, 23)
		_, err := w.cfn.ListStacks(w.ctx, &cloudformation.ListStacksInput{StackStatusFilter: []types.StackStatus{"DONE"}})
		w.refused(err, "ValidationError", "1 validation error detected: Value '[DONE]' at 'stackStatusFilter' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [*]]")
	}},
	{id: "F002", claim: "In REVIEW_IN_PROGRESS a stack takes further change sets of type CREATE and can be deleted; an update finds no stack.", source: "[SDK:cloudformation] " + updatableText, check: answers("REVIEW_IN_PROGRESS")},
	{id: "F003", claim: "In CREATE_IN_PROGRESS a stack can be signalled and deleted, and nothing else.", source: updatableText, check: answers("CREATE_IN_PROGRESS")},
	{id: "F004", claim: "In CREATE_COMPLETE a stack can be updated and deleted.", source: updatableText, check: answers("CREATE_COMPLETE")},
	{id: "F005", claim: "In CREATE_FAILED a stack can be rolled back, deleted, or updated with DisableRollback.", source: "[UG:stack-failure-options] [SDK:cloudformation]", check: answers("CREATE_FAILED")},
	{id: "F006", claim: "In ROLLBACK_IN_PROGRESS a stack takes no operation.", source: updatableText + " [INFERRED]", check: answers("ROLLBACK_IN_PROGRESS")},
	{id: "F007", claim: "In ROLLBACK_COMPLETE a stack can only be deleted.", source: updatableText + " [ISSUE:aws-cdk#5151]", check: answers("ROLLBACK_COMPLETE")},
	{id: "F008", claim: "In ROLLBACK_FAILED a stack can only be deleted.", source: updatableText, check: answers("ROLLBACK_FAILED")},
	{id: "F009", claim: "In UPDATE_IN_PROGRESS a stack can be cancelled and signalled, and nothing else.", source: updatableText, check: answers("UPDATE_IN_PROGRESS")},
	{id: "F010", claim: "In UPDATE_COMPLETE_CLEANUP_IN_PROGRESS nothing can be cancelled any more, and nothing else begun.", source: updatableText, check: answers("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")},
	{id: "F011", claim: "In UPDATE_COMPLETE a stack can be updated and deleted.", source: updatableText, check: answers("UPDATE_COMPLETE")},
	{id: "F012", claim: "In UPDATE_FAILED a stack can be rolled back, deleted, or updated again with DisableRollback.", source: "[UG:stack-failure-options] [SDK:cloudformation]", check: answers("UPDATE_FAILED")},
	{id: "F013", claim: "In UPDATE_ROLLBACK_IN_PROGRESS a stack takes signals for what rolls back, and no other operation.", source: updatableText + " [EUCA]", lab: stillTime, check: answers("UPDATE_ROLLBACK_IN_PROGRESS")},
	{id: "F014", claim: "In UPDATE_ROLLBACK_FAILED a stack can go on rolling back or be deleted, and nothing else.", source: updatableText + " [SDK:cloudformation]", check: answers("UPDATE_ROLLBACK_FAILED")},
	{id: "F015", claim: "In UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS a stack takes no operation.", source: updatableText, check: answers("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")},
	{id: "F016", claim: "In UPDATE_ROLLBACK_COMPLETE a stack can be updated and deleted as if it had never failed.", source: updatableText + " [ISSUE:aws-cdk#5151]", check: answers("UPDATE_ROLLBACK_COMPLETE")},
	{id: "F017", claim: "In DELETE_IN_PROGRESS a second deletion is no error, and nothing else is taken.", source: updatableText, check: answers("DELETE_IN_PROGRESS")},
	{id: "F018", claim: "In DELETE_FAILED a stack can be deleted again, now also with RetainResources, and nothing else.", source: updatableText + " [SDK:cloudformation]", check: answers("DELETE_FAILED")},
	{id: "F019", claim: "A deleted stack is still described by its id, is no longer found by its name, and its name is free.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := reach["DELETE_COMPLETE"](w)
		assert.NotNil(w, s.describe().DeletionTime)
		_, err := w.cfn.DescribeStacks(w.ctx, &cloudformation.DescribeStacksInput{StackName: &s.name})
		w.refused(err, "ValidationError", "Stack with id "+s.name+" does not exist")
		w.refused(s.update(say()), "ValidationError", "Stack [*] does not exist")
		again := w.made("state", say())
		assert.Equal(w, s.name, again.name)
		assert.NotEqual(w, s.id, again.id)
	}},
	{id: "F020", claim: "IMPORT_COMPLETE and IMPORT_ROLLBACK_COMPLETE can be updated; the other states of an import cannot.", source: updatableText, lab: "it sets the state by hand, for the lab imports nothing", check: func(w *world) {
		for _, state := range statuses {
			if !strings.HasPrefix(state, "IMPORT_") {
				continue
			}
			s := newWorld(w.T).made("state", say())
			require.NoError(w, s.lab.Core().Do(region, func(tx *core.Tx) error { tx.Region.Stacks[s.id].Status = state; return nil }))
			err := s.update(say(), to("Say", "two"))
			if strings.HasSuffix(state, "_COMPLETE") {
				require.NoError(w, err)
				s.await("UPDATE_COMPLETE")
				continue
			}
			w.refused(err, "ValidationError", "Stack:"+s.id+" is in "+state+" state and can not be updated.")
		}
	}},
}
