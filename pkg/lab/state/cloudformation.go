package state

// Stack and ChangeSet are owned by pkg/lab/cloudformation, which fills them in.
type (
	// Stack is a stack, deleted ones included.
	Stack struct {
		ID, Name, Status string
	}
	// ChangeSet is a proposed change of a stack.
	ChangeSet struct {
		ID, Name, StackID, Status string
	}
)
