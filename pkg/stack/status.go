package stack

import "strings"

// A Move is what a status allows us to do next.
type Move string

// The moves.
const (
	Create   Move = "create"            // nothing is there, or only an unexecuted change set
	Recreate Move = "recreate"          // never completed and holds no data: delete it and create it again
	Update   Move = "update"            // stable: a change set may be executed
	Attach   Move = "attach"            // an operation is under way: follow it to its end
	Rollback Move = "roll back"         // UPDATE_FAILED with rollback disabled by somebody: RollbackStack
	Continue Move = "continue rollback" // UPDATE_ROLLBACK_FAILED: signal and ContinueUpdateRollback
	Erase    Move = "delete again"      // a deletion that stopped half-way, of a stack we may delete
	Refuse   Move = "refuse"            // a person has to look
)

// Statuses are all of CloudFormation's, with what each allows. Absent is "".
var Statuses = map[string]Move{
	"":                   Create,
	"REVIEW_IN_PROGRESS": Create,
	"DELETE_COMPLETE":    Create,

	"CREATE_FAILED":     Recreate,
	"ROLLBACK_COMPLETE": Recreate,
	"ROLLBACK_FAILED":   Recreate,

	"CREATE_COMPLETE":          Update,
	"UPDATE_COMPLETE":          Update,
	"UPDATE_ROLLBACK_COMPLETE": Update,
	"IMPORT_COMPLETE":          Update,
	"IMPORT_ROLLBACK_COMPLETE": Update,

	"CREATE_IN_PROGRESS":                           Attach,
	"ROLLBACK_IN_PROGRESS":                         Attach,
	"DELETE_IN_PROGRESS":                           Attach,
	"UPDATE_IN_PROGRESS":                           Attach,
	"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":          Attach,
	"UPDATE_ROLLBACK_IN_PROGRESS":                  Attach,
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Attach,
	"IMPORT_IN_PROGRESS":                           Attach,
	"IMPORT_ROLLBACK_IN_PROGRESS":                  Attach,

	"UPDATE_FAILED":          Rollback,
	"UPDATE_ROLLBACK_FAILED": Continue,
	"DELETE_FAILED":          Erase,
	"IMPORT_ROLLBACK_FAILED": Refuse,
}

// MoveFor is what to do with a stack in status. keep is for a stack that must
// never be deleted once it completed (production): then a half deletion is
// refused, since somebody asked for it by hand. A stack that ever completed is
// never recreated, whatever its status.
func MoveFor(status string, completed, keep bool) Move {
	m, ok := Statuses[status]
	switch {
	case !ok && strings.HasSuffix(status, "_IN_PROGRESS"):
		return Attach
	case !ok:
		return Refuse
	case m == Recreate && completed && keep, m == Erase && keep:
		return Refuse
	}
	return m
}

// Ended says whether an operation that shows this stack status is over. A
// status nobody knows is not: it is waited out.
func Ended(status string) bool {
	m, ok := Statuses[status]
	return ok && m != Attach && status != "REVIEW_IN_PROGRESS"
}

// Good says whether the status is the wanted end of a create or update.
func Good(status string) bool {
	return status == "CREATE_COMPLETE" || status == "UPDATE_COMPLETE" || status == "IMPORT_COMPLETE"
}

// RolledBack says whether an update was taken back wholly.
func RolledBack(status string) bool { return status == "UPDATE_ROLLBACK_COMPLETE" }
