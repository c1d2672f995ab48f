package stack_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/stack"
)

func TestEveryStatusOfTheSDKHasAMove(t *testing.T) {
	all := types.StackStatus("").Values()
	assert.Len(t, all, 23)
	for _, s := range all {
		assert.Contains(t, stack.Statuses, string(s))
	}
	assert.Len(t, stack.Statuses, len(all)+1, "and absent")
}

func TestMoves(t *testing.T) {
	never, once := false, true
	for _, c := range []struct {
		status     string
		completed  bool
		test, prod stack.Move
	}{
		{"", never, stack.Create, stack.Create},
		{"REVIEW_IN_PROGRESS", never, stack.Create, stack.Create},
		{"CREATE_IN_PROGRESS", never, stack.Attach, stack.Attach},
		{"CREATE_FAILED", never, stack.Recreate, stack.Recreate},
		{"CREATE_COMPLETE", once, stack.Update, stack.Update},
		{"ROLLBACK_IN_PROGRESS", never, stack.Attach, stack.Attach},
		{"ROLLBACK_FAILED", never, stack.Recreate, stack.Recreate},
		{"ROLLBACK_COMPLETE", never, stack.Recreate, stack.Recreate},
		{"ROLLBACK_COMPLETE", once, stack.Recreate, stack.Refuse},
		{"CREATE_FAILED", once, stack.Recreate, stack.Refuse},
		{"DELETE_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"DELETE_FAILED", once, stack.Erase, stack.Refuse},
		{"DELETE_COMPLETE", once, stack.Create, stack.Create},
		{"UPDATE_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"UPDATE_COMPLETE", once, stack.Update, stack.Update},
		{"UPDATE_FAILED", once, stack.Rollback, stack.Rollback},
		{"UPDATE_ROLLBACK_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"UPDATE_ROLLBACK_FAILED", once, stack.Continue, stack.Continue},
		{"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"UPDATE_ROLLBACK_COMPLETE", once, stack.Update, stack.Update},
		{"IMPORT_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"IMPORT_COMPLETE", once, stack.Update, stack.Update},
		{"IMPORT_ROLLBACK_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"IMPORT_ROLLBACK_FAILED", once, stack.Refuse, stack.Refuse},
		{"IMPORT_ROLLBACK_COMPLETE", once, stack.Update, stack.Update},
		{"UPDATE_PONDERING_IN_PROGRESS", once, stack.Attach, stack.Attach},
		{"SOMETHING_NEW", once, stack.Refuse, stack.Refuse},
	} {
		assert.Equal(t, c.test, stack.MoveFor(c.status, c.completed, false), "test stack in %q", c.status)
		assert.Equal(t, c.prod, stack.MoveFor(c.status, c.completed, true), "production in %q", c.status)
	}
}

func TestAStackThatCompletedIsNeverDeletedInProduction(t *testing.T) {
	for _, s := range append(types.StackStatus("").Values(), "UNHEARD_OF") {
		m := stack.MoveFor(string(s), true, true)
		assert.NotContains(t, []stack.Move{stack.Recreate, stack.Erase}, m, "%s", s)
	}
}

func TestUnknownStatusesAreWaitedOut(t *testing.T) {
	assert.False(t, stack.Ended("UPDATE_PONDERING"))
	assert.False(t, stack.Ended("REVIEW_IN_PROGRESS"))
	assert.True(t, stack.Ended("UPDATE_ROLLBACK_COMPLETE"))
	assert.True(t, stack.RolledBack("UPDATE_ROLLBACK_COMPLETE"))
	assert.False(t, stack.Good("UPDATE_ROLLBACK_COMPLETE"))
}
