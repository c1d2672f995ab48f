package cloudformation

import (
	"maps"
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// deletion is how long one resource may resist its deletion.
const deletion = 20 * time.Minute

// destroy deletes every resource of the stack: a deletion, or the rollback of a creation.
func (e *engine) destroy() bool {
	if e.op.Type == "DELETE_STACK" {
		if text := e.conflict(nil); text != "" {
			e.finish("DELETE_FAILED", text, false)
			return true
		}
	}
	var items []*state.StackResource
	for _, id := range slices.Sorted(maps.Keys(e.st.Resources)) {
		res := e.st.Resources[id]
		if res.Status == "" || res.Status == "DELETE_COMPLETE" || res.Status == "DELETE_SKIPPED" {
			continue
		}
		items = append(items, res)
	}
	items = append(items, e.st.Leftovers...)
	changed, open, failed := e.remove(items, e.st.Status == "ROLLBACK_IN_PROGRESS")
	if open {
		return changed
	}
	reason := failures("delete", failed)
	rollback := e.st.Status == "ROLLBACK_IN_PROGRESS"
	switch {
	case rollback && reason != "":
		e.finish("ROLLBACK_FAILED", reason, false)
	case rollback:
		e.st.Leftovers, e.st.Outputs = nil, nil
		e.finish("ROLLBACK_COMPLETE", "", e.op.Type == "ROLLBACK")
	case reason != "":
		e.finish("DELETE_FAILED", reason, false)
	default:
		e.st.Leftovers = nil
		e.st.Deleted = e.tx.Now
		e.finish("DELETE_COMPLETE", "", true)
		for _, ev := range e.st.Events {
			// What every resource was made of is the bulk of a stack, and of no use any more.
			ev.Properties = ""
		}
		for _, cs := range e.tx.Region.ChangeSets {
			if cs.StackID == e.st.ID {
				delete(e.tx.Region.ChangeSets, cs.ID)
			}
		}
	}
	for _, r := range e.st.Resources {
		r.Work, r.Before = nil, nil
	}
	return true
}

// remove deletes resources, each before those it needs. fresh says that they
// were made by the creation that is rolled back.
func (e *engine) remove(items []*state.StackResource, fresh bool) (changed, open bool, failed []string) {
	for progress := true; progress; {
		progress = false
		needed := map[string]bool{}
		for _, r := range items {
			if removed(r) {
				continue
			}
			for _, d := range r.DependsOn {
				needed[d] = true
			}
		}
		for _, r := range items {
			if r.Work == nil || r.Work.Action != "delete" {
				r.Work = &state.ResourceWork{Action: "delete"}
			}
			if removed(r) || r.Work.Phase == "failed" || r.Work.Phase == "" && needed[r.LogicalID] {
				continue
			}
			if e.removeOne(r, fresh) {
				progress, changed = true, true
			}
		}
	}
	for _, r := range items {
		switch r.Work.Phase {
		case "failed":
			failed = append(failed, r.LogicalID)
		case "removing", "going":
			open = true
		}
	}
	return changed, open, failed
}

func removed(r *state.StackResource) bool {
	return r.Work != nil && r.Work.Action == "delete" && r.Work.Phase == "done"
}

// removeOne takes one resource a step further, and says whether that changed anything.
func (e *engine) removeOne(r *state.StackResource, fresh bool) bool {
	h := handlerOf(r.Type)
	end := func(status, reason string) bool {
		r.Work.Phase = "done"
		if status == "DELETE_FAILED" {
			r.Work.Phase = "failed"
			if e.op.Force {
				r.Work.Phase, status = "done", "DELETE_SKIPPED"
			}
		}
		e.tell(r, status, reason)
		return true
	}
	switch r.Work.Phase {
	case "":
		retain := r.DeletionPolicy == "Retain" || r.DeletionPolicy == "RetainExceptOnCreate" && !fresh
		if fresh && e.op.Keep {
			retain = false
		}
		switch {
		case retain || slices.Contains(e.op.Retain, r.LogicalID):
			return end("DELETE_SKIPPED", "")
		case r.PhysicalID == "":
			return end("DELETE_COMPLETE", "")
		}
		e.tell(r, "DELETE_IN_PROGRESS", "")
		r.Work.Phase = "removing"
		r.Work.Deadline = e.tx.After(deletion)
		return true
	case "removing":
		c := e.call(r, nil)
		c.snapshot = r.DeletionPolicy == "Snapshot"
		err := h.remove(e.tx, c)
		switch {
		case err == nil || notFound(err):
			r.Work.Phase = "going"
			return true
		case busy(err) && !e.tx.Due(r.Work.Deadline):
			// Whatever holds it may let go without telling: look again soon.
			e.tx.Wake(e.tx.Now.Add(500 * time.Millisecond))
			return false
		}
		return end("DELETE_FAILED", explain(r.Type, err))
	}
	if h.gone != nil {
		ok, err := h.gone(e.tx, e.call(r, nil))
		if err != nil && !notFound(err) {
			return end("DELETE_FAILED", explain(r.Type, err))
		}
		if err == nil && !ok {
			if e.tx.Due(r.Work.Deadline) {
				return end("DELETE_FAILED", "Resource timed out waiting for completion")
			}
			return false
		}
	}
	return end("DELETE_COMPLETE", "")
}
