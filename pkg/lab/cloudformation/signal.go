package cloudformation

import (
	"fmt"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// SignalResource records a signal for a resource that waits for some, as an
// instance's cfn-signal does, or whoever judges the instance from outside.
func SignalResource(tx *core.Tx, in *SignalResourceInput) (*SignalResourceOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if len(in.UniqueId) < 1 || len(in.UniqueId) > 64 {
		return nil, invalid("1 validation error detected: Value '%s' at 'uniqueId' failed to satisfy constraint: Member must have length between 1 and 64", in.UniqueId)
	}
	if in.Status != "SUCCESS" && in.Status != "FAILURE" {
		return nil, invalid("1 validation error detected: Value '%s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [SUCCESS, FAILURE]", in.Status)
	}
	switch st.Status {
	case "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS":
	default:
		return nil, invalid("Stack %s is in %s state and cannot be signaled", st.ID, st.Status)
	}
	res := st.Resources[in.LogicalResourceId]
	if res == nil {
		return nil, invalid("Resource %s does not exist for stack %s", in.LogicalResourceId, st.Name)
	}
	if h := handlerOf(res.Type); h == nil || !h.signals {
		return nil, invalid("Resource %s is of type %s and cannot be signaled", in.LogicalResourceId, res.Type)
	}
	if w := res.Work; w == nil || w.Phase != "begun" && w.Phase != "signals" {
		return nil, invalid("Resource %s is in %s state and can not be signaled.", in.LogicalResourceId, res.Status)
	}
	if tx.Fault(core.FaultSignalLost, map[string]string{"stack": st.Name, "logical": in.LogicalResourceId, "instance": in.UniqueId, "status": in.Status}) != nil {
		return &SignalResourceOutput{}, nil
	}
	for _, s := range res.Work.Signals {
		if s.ID != in.UniqueId {
			continue
		}
		if in.Status != "FAILURE" {
			return nil, invalid("Signal with ID %s for resource %s already exists.  Signals may only be updated with a FAILURE status.", in.UniqueId, in.LogicalResourceId)
		}
		if s.Status == "SUCCESS" {
			s.Status = "FAILURE"
			if r := res.Work.Roll; r != nil && slices.Contains(r.Known, s.ID) {
				// Its batch is over: it only changes the sum.
				r.Success--
				r.Failure++
			} else {
				s.Counted = false
			}
			tx.Changed()
		}
		return &SignalResourceOutput{}, nil
	}
	res.Work.Signals = append(res.Work.Signals, &state.ResourceSignal{ID: in.UniqueId, Status: in.Status, At: tx.Now})
	tx.Changed()
	return &SignalResourceOutput{}, nil
}

// count takes the signals that have come for the instances of ids (nil: from
// anybody) and were not taken before. It tells each as an event.
func (e *engine) count(res *state.StackResource, ids func(string) bool) (success, failure int) {
	for _, s := range res.Work.Signals {
		if s.Counted || ids != nil && !ids(s.ID) {
			continue
		}
		s.Counted = true
		status := "CREATE_IN_PROGRESS"
		if res.Work.Action != "create" {
			status = "UPDATE_IN_PROGRESS"
		}
		e.say(res, status, fmt.Sprintf("Received %s signal with UniqueId %s", s.Status, s.ID))
		if s.Status == "SUCCESS" {
			success++
		} else {
			failure++
		}
	}
	return success, failure
}

// tally counts the signals taken so far.
func tally(signals []*state.ResourceSignal) (success, failure int) {
	for _, s := range signals {
		switch {
		case !s.Counted:
		case s.Status == "SUCCESS":
			success++
		default:
			failure++
		}
	}
	return success, failure
}

// awaitCreation waits for the signals of a CreationPolicy.
func (e *engine) awaitCreation(def *resource, res *state.StackResource) bool {
	p, ok := e.creationPolicy(def, res)
	if !ok {
		res.Work.Phase = "begun"
		return true
	}
	member := func(string) bool { return true }
	if res.Type == typeGroup {
		g := e.tx.Region.Groups[res.PhysicalID]
		member = func(id string) bool { return g != nil && g.Members[id] != nil }
	}
	took, failed := e.count(res, member)
	success, failure := tally(res.Work.Signals)
	of := int(p.count)
	switch {
	case failure > 0 && tooMany(failure, of, p.percent):
		e.fail(res, requirement(failure, "FAILURE", of, p.percent))
	case success+failure >= of:
		res.Work.Phase = "begun"
		res.Work.Deadline = e.tx.After(stabilise)
	case e.tx.Due(res.Work.Deadline):
		missing := of - success - failure
		if res.Type != typeGroup {
			e.fail(res, fmt.Sprintf("Failed to receive %d resource signal(s) within the specified duration", missing))
			break
		}
		e.say(res, "UPDATE_IN_PROGRESS", missed(int64(missing)))
		if tooMany(failure+missing, of, p.percent) {
			e.fail(res, requirement(success, "SUCCESS", of, p.percent))
			break
		}
		res.Work.Phase = "begun"
		res.Work.Deadline = e.tx.After(stabilise)
	default:
		return took+failed > 0
	}
	return true
}

// awaitBatch waits for the signals of the instances that a rolling update added.
// It says whether the batch is over.
func (e *engine) awaitBatch(res *state.StackResource, r *state.RollingUpdate, p *rollingPolicy, g *state.Group) (bool, error) {
	fresh := func(id string) bool { return g.Members[id] != nil && !slices.Contains(r.Known, id) }
	e.count(res, fresh)
	received := int64(0)
	success, failure := r.Success, r.Failure
	for _, s := range res.Work.Signals {
		if !s.Counted || slices.Contains(r.Known, s.ID) {
			continue
		}
		received++
		if s.Status == "SUCCESS" {
			success++
		} else {
			failure++
		}
	}
	late := received < r.Pending && e.tx.Due(r.Deadline)
	switch {
	case failure > r.Failure && tooMany(failure, r.Obsolete, p.percent):
		return false, reason(requirement(failure, "FAILURE", r.Obsolete, p.percent))
	case received < r.Pending && !late:
		return false, nil
	}
	if late {
		missing := r.Pending - received
		e.say(res, "UPDATE_IN_PROGRESS", missed(missing))
		failure += int(missing)
		if tooMany(failure, r.Obsolete, p.percent) {
			return false, reason(requirement(success, "SUCCESS", r.Obsolete, p.percent))
		}
	}
	r.Success, r.Failure = success, failure
	return true, nil
}
