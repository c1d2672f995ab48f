package cloudformation

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// triggered is why a rollback trigger rolls the operation back; "" if none does.
func (e *engine) triggered() string {
	for _, t := range e.st.Triggers {
		var found *state.Alarm
		for _, a := range e.tx.Region.Alarms {
			if a.ARN == t.Arn {
				found = a
			}
		}
		if found != nil && found.State != "ALARM" && e.op.Phase == "monitor" {
			if f := e.tx.Fault(core.FaultAlarm, map[string]string{"stack": e.st.Name, "alarm": found.Name}); f != nil {
				in := &cloudwatch.SetAlarmStateInput{AlarmName: found.Name, StateValue: "ALARM", StateReason: "a fault of the lab"}
				if _, err := cloudwatch.SetAlarmState(e.tx, in); err != nil {
					e.tx.Log().Error("a fault turns an alarm", "alarm", found.Name, "error", err)
				}
			}
		}
		switch {
		case found == nil:
			return "Rollback Trigger " + t.Arn + " does not exist"
		case found.State == "ALARM":
			return "Rollback Trigger " + t.Arn + " is in ALARM state"
		}
	}
	return ""
}

// halt ends the work on every resource that is under way, and names what failed, by verb.
func (e *engine) halt() (created, updated []string) {
	for _, id := range e.in().t.order {
		res := e.st.Resources[id]
		if res == nil || res.Work == nil {
			continue
		}
		w := res.Work
		if w.Phase == "begun" || w.Phase == "signals" {
			if w.Action == "create" {
				e.fail(res, "Resource creation cancelled")
			} else {
				e.fail(res, "Resource update cancelled")
			}
		}
		if w.Phase != "failed" {
			continue
		}
		if w.Action == "create" {
			created = append(created, id)
		} else {
			updated = append(updated, id)
		}
	}
	return created, updated
}

func failures(verb string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return "The following resource(s) failed to " + verb + ": [" + strings.Join(ids, ", ") + "]. "
}

// giveUp ends the forward direction: what failed decides between rollback and standstill.
func (e *engine) giveUp() {
	created, updated := e.halt()
	reason := failures("create", created) + failures("update", updated)
	if e.op.Problem != "" {
		reason = e.op.Problem + ". "
		e.op.Problem = ""
	}
	fresh := e.st.Previous == nil
	switch {
	case fresh && e.op.OnFailure == "DELETE":
		e.status("DELETE_IN_PROGRESS", reason+"Delete requested by user.")
		e.op.Phase = "delete"
	case e.op.DisableRollback && fresh && e.op.Type == "CREATE_STACK":
		e.finish("CREATE_FAILED", reason, false)
	case e.op.DisableRollback:
		e.finish("UPDATE_FAILED", reason, false)
	case fresh:
		e.status("ROLLBACK_IN_PROGRESS", reason+"Rollback requested by user.")
		e.op.Phase = "delete"
	default:
		e.turnBack(reason)
	}
}

// turnBack begins the rollback of an update: the previous model is the aim again.
func (e *engine) turnBack(reason string) {
	e.status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
	e.st.Failed, e.st.Model = e.st.Model, e.st.Previous
	e.op.Phase = "rollback"
	e.op.Retagged = compact(e.st.Failed.Tags) != compact(e.st.Model.Tags)
	restored := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(e.st.Resources)) {
		res := e.st.Resources[id]
		switch {
		case res.New:
			delete(e.st.Resources, id)
			if res.Status == "" {
				continue // it was never begun with
			}
			policy := res.DeletionPolicy
			if policy == "RetainExceptOnCreate" || e.op.Keep {
				policy = "Delete"
			}
			e.leave(res, policy)
		case res.Before == nil:
			res.Work = &state.ResourceWork{Action: "keep", Phase: "done"}
		case res.Work != nil && res.Work.Action == "keep":
			e.take(res, *res.Before)
			res.Work = &state.ResourceWork{Action: "keep", Phase: "done"}
		default:
			// Signals of the way forward do not count on the way back.
			res.Work = &state.ResourceWork{Action: "restore"}
			res.GivenUp = res.Properties
			restored[res.Before.PhysicalID] = true
		}
	}
	// What was replaced is taken back into service, so it is not left over.
	e.st.Leftovers = slices.DeleteFunc(e.st.Leftovers, func(r *state.StackResource) bool { return restored[r.PhysicalID] })
}

// restore begins to bring one resource back to what it was.
func (e *engine) restore(res *state.StackResource) {
	if res.Before == nil {
		// It was gone when the update began, and stays so.
		res.Work = &state.ResourceWork{Action: "keep", Phase: "done"}
		return
	}
	before := *res.Before
	res.Work = &state.ResourceWork{Action: "restore"}
	e.tell(res, "UPDATE_IN_PROGRESS", "")
	if f := e.tx.Fault(core.FaultRollback, map[string]string{"stack": e.st.Name, "logical": res.LogicalID, "type": res.Type}); f != nil {
		reason := f.Args["message"]
		if reason == "" {
			reason = "Resource handler returned message: \"Internal error during the rollback\" (HandlerErrorCode: InternalFailure)"
		}
		e.fail(res, reason)
		return
	}
	kind := schema.Lookup(res.Type)
	if res.PhysicalID != before.PhysicalID {
		if res.PhysicalID != "" {
			made := *res
			made.Before = nil
			e.leave(&made, "Delete")
			res.Work = &state.ResourceWork{Action: "restore"}
		}
		e.take(res, before)
		res.PhysicalID, res.Attributes = before.PhysicalID, before.Attributes
		e.complete(res)
		return
	}
	e.take(res, before)
	res.Attributes = before.Attributes
	c := e.call(res, res.GivenUp)
	c.retag = e.op.Retagged
	e.change(res, c, len(differing(kind, res.GivenUp, before.Properties)) > 0 || c.retag)
}

// back brings every resource back to the previous model.
func (e *engine) back() bool {
	changed, open, failed := e.converge()
	if open {
		return changed
	}
	if len(failed) > 0 {
		e.finish("UPDATE_ROLLBACK_FAILED", failures("update", failed), false)
		return true
	}
	e.st.Outputs = e.outputs()
	e.status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "")
	e.op.Phase = "rollback-cleanup"
	return true
}
