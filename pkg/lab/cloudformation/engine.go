package cloudformation

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/sns"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// userInitiated is the reason of what somebody asked for.
const userInitiated = "User Initiated"

// stabilise is how long a resource may take when nothing else limits it.
const stabilise = time.Hour

// engine advances the operation of one stack.
type engine struct {
	tx *core.Tx
	st *state.Stack
	op *state.StackOperation

	scope *scope // of the stack's model, made when first needed
	model *state.StackModel
}

// begin makes an operation the one that is under way.
func begin(tx *core.Tx, st *state.Stack, kind, token, phase, status string) *engine {
	st.Operation = &state.StackOperation{ID: core.UUID(), Type: kind, Token: token, Phase: phase, Started: tx.Now}
	st.Operations = slices.Insert(st.Operations, 0, state.StackOperationRecord{
		ID: st.Operation.ID, Type: kind, Token: token, Started: tx.Now, Status: "IN_PROGRESS",
	})
	e := &engine{tx: tx, st: st, op: st.Operation}
	e.status(status, userInitiated)
	tx.Changed()
	return e
}

// advance does what can be done now, and says whether anything changed.
func (e *engine) advance() bool {
	switch e.op.Phase {
	case "start":
		return e.start()
	case "apply":
		return e.apply()
	case "monitor":
		return e.monitor()
	case "cleanup", "rollback-cleanup":
		return e.cleanup()
	case "rollback":
		return e.back()
	case "delete":
		return e.destroy()
	}
	return false
}

// status sets the stack's status and tells it as an event.
func (e *engine) status(status, reason string) {
	e.st.Status, e.st.StatusReason = status, reason
	e.event(&state.StackEvent{LogicalID: e.st.Name, PhysicalID: e.st.ID, Type: typeStack, Status: status, Reason: reason, ID: core.UUID()})
}

// tell sets a resource's status and tells it as an event.
func (e *engine) tell(res *state.StackResource, status, reason string) {
	res.Status, res.Reason, res.Updated = status, reason, e.tx.Now
	e.say(res, status, reason)
}

// say tells an event of a resource without changing its status.
func (e *engine) say(res *state.StackResource, status, reason string) {
	id := res.LogicalID + "-" + status + "-"
	at := e.tx.Now
	// Two events may share a millisecond, but not an id.
	for e.taken(id + at.Format("2006-01-02T15:04:05.000Z")) {
		at = at.Add(time.Millisecond)
	}
	properties := ""
	if res.Properties != nil {
		properties = e.masked(compact(res.Properties))
	}
	e.event(&state.StackEvent{
		ID: id + at.Format("2006-01-02T15:04:05.000Z"), LogicalID: res.LogicalID, PhysicalID: res.PhysicalID, Type: res.Type,
		Status: status, Reason: reason, Properties: properties,
	})
}

// masked is a text without the values of NoEcho parameters.
func (e *engine) masked(text string) string {
	s := e.in()
	for name, p := range s.t.Parameters {
		if v, ok := e.st.Model.Parameter(name); ok && p.NoEcho && v != "" {
			text = strings.ReplaceAll(text, ":"+compact(v), `:"****"`)
		}
	}
	return text
}

func (e *engine) taken(id string) bool {
	for i := len(e.st.Events) - 1; i >= 0; i-- {
		ev := e.st.Events[i]
		if ev.ID == id {
			return true
		}
		if ev.Time.Add(time.Second).Before(e.tx.Now) {
			return false
		}
	}
	return false
}

func (e *engine) event(ev *state.StackEvent) {
	ev.Time, ev.Token, ev.Operation = e.tx.Now, e.op.Token, e.op.ID
	e.st.Events = append(e.st.Events, ev)
	e.tx.Changed()
	if e.st.Model != nil {
		for _, topic := range e.st.Model.NotificationARNs {
			e.notify(topic, ev)
		}
	}
}

// notify sends an event to a topic of the stack, in CloudFormation's own form.
func (e *engine) notify(topic string, ev *state.StackEvent) {
	var text strings.Builder
	for _, l := range [][2]string{
		{"StackId", e.st.ID},
		{"Timestamp", ev.Time.Format("2006-01-02T15:04:05.000Z")},
		{"EventId", ev.ID},
		{"LogicalResourceId", ev.LogicalID},
		{"Namespace", e.tx.World.Account},
		{"PhysicalResourceId", ev.PhysicalID},
		{"ResourceProperties", ev.Properties},
		{"ResourceStatus", ev.Status},
		{"ResourceStatusReason", ev.Reason},
		{"ResourceType", ev.Type},
		{"StackName", e.st.Name},
		{"ClientRequestToken", ev.Token},
	} {
		text.WriteString(l[0] + "='" + l[1] + "'\n")
	}
	if _, err := sns.Publish(e.tx, &sns.PublishInput{TopicArn: topic, Subject: "AWS CloudFormation Notification", Message: text.String()}); err != nil {
		e.tx.Log().Warn("notify a topic", "stack", e.st.Name, "topic", topic, "error", err)
	}
}

// finish ends the operation.
func (e *engine) finish(status, reason string, good bool) {
	e.status(status, reason)
	for i := range e.st.Operations {
		if r := &e.st.Operations[i]; r.ID == e.op.ID {
			r.Ended, r.Status = e.tx.Now, "FAILED"
			if good {
				r.Status = "SUCCEEDED"
			}
		}
	}
	e.st.Operation = nil
}

// settled forgets what a rollback would need: the stack is stable.
func (e *engine) settled() {
	e.st.Previous, e.st.Failed = nil, nil
	for _, r := range e.st.Resources {
		r.Before, r.New, r.Work, r.GivenUp = nil, false, nil, nil
	}
}

// in is the scope of the stack's model. References to resources are answered
// from what is already made.
func (e *engine) in() *scope {
	if e.scope != nil && e.model == e.st.Model {
		return e.scope
	}
	t, err := parse(e.st.Model.Template)
	if err != nil {
		// It was parsed when the operation began; only a lab of another build may see this.
		t = &template{}
		e.op.Problem = err.Error()
	}
	s := newScope(e.tx, t, e.st.ID, e.st.Name, e.st.Model)
	s.lookup = func(r reference) (any, error) {
		res := e.st.Resources[r.Name]
		if res == nil || res.PhysicalID == "" {
			return nil, badFormat("Unresolved resource dependencies [%s] in the Resources block of the template", r.Name)
		}
		if r.Attribute == "" {
			return res.PhysicalID, nil
		}
		v, ok := res.Attributes[r.Attribute]
		if !ok {
			if v, ok = res.Properties[r.Attribute]; !ok {
				return nil, invalid("Attribute '%s' does not exist", r.Attribute)
			}
		}
		return v, nil
	}
	e.scope, e.model = s, e.st.Model
	return s
}

// start checks what is asked of the world before any resource is touched.
func (e *engine) start() bool {
	e.op.Phase = "apply"
	s := e.in()
	if text := s.t.missing(e.tx, e.st.Model.Parameters); text != "" {
		e.op.Problem = text
		return true
	}
	if text := s.notExported(e.tx); text != "" {
		e.op.Problem = text
		return true
	}
	for _, id := range slices.Sorted(maps.Keys(e.st.Resources)) {
		res := e.st.Resources[id]
		if def := s.t.Resources[id]; def != nil {
			if on, _ := s.active(def.Condition); on {
				continue
			}
		}
		if text := e.denied("Update:Delete", res); text != "" && e.st.Previous != nil {
			e.op.Problem = text
			return true
		}
	}
	return true
}

// apply makes the resources what the model says.
func (e *engine) apply() bool {
	if e.op.Problem == "" {
		e.op.Problem = e.triggered()
	}
	if e.op.Problem == "" && e.tx.Due(e.op.Deadline) {
		e.op.Problem = "Stack creation time exceeded the specified timeout"
	}
	if e.op.Problem != "" {
		e.giveUp()
		return true
	}
	changed, open, failed := e.converge()
	if len(failed) > 0 && (!open || !e.op.DisableRollback) {
		e.giveUp()
		return true
	}
	if open || len(failed) > 0 {
		return changed
	}
	next := e.outputs()
	if e.op.Problem = e.conflict(next); e.op.Problem != "" {
		e.giveUp()
		return true
	}
	e.st.Outputs = next
	e.op.Phase = "monitor"
	if e.st.MonitoringMinutes > 0 {
		e.op.Until = e.tx.After(time.Duration(e.st.MonitoringMinutes) * time.Minute)
	}
	return true
}

// monitor waits for the end of the monitoring window, before anything is cleaned up.
func (e *engine) monitor() bool {
	if e.op.Problem = e.triggered(); e.op.Problem != "" {
		e.giveUp()
		return true
	}
	if !e.op.Until.IsZero() && !e.tx.Due(e.op.Until) {
		return false
	}
	if e.op.Type == "CREATE_STACK" {
		e.finish("CREATE_COMPLETE", "", true)
		e.settled()
		return true
	}
	s := e.in()
	for _, id := range slices.Sorted(maps.Keys(e.st.Resources)) {
		res := e.st.Resources[id]
		def := s.t.Resources[id]
		if def != nil {
			if on, _ := s.active(def.Condition); on {
				continue
			}
		}
		delete(e.st.Resources, id)
		e.leave(res, res.DeletionPolicy)
	}
	e.status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "")
	e.op.Phase = "cleanup"
	return true
}

// leave gives a resource to the next cleanup.
func (e *engine) leave(res *state.StackResource, policy string) {
	res.DeletionPolicy = policy
	res.Work = &state.ResourceWork{Action: "delete"}
	e.st.Leftovers = append(e.st.Leftovers, res)
}

// cleanup deletes what was replaced or removed. A failure here fails nothing.
func (e *engine) cleanup() bool {
	changed, open, _ := e.remove(e.st.Leftovers, false)
	if open {
		return changed
	}
	e.st.Leftovers = nil
	if e.op.Phase == "cleanup" {
		e.finish("UPDATE_COMPLETE", "", true)
	} else {
		e.finish("UPDATE_ROLLBACK_COMPLETE", "", false)
	}
	e.settled()
	return true
}

// converge begins and follows every resource of the model, each after those it needs.
func (e *engine) converge() (changed, open bool, failed []string) {
	s := e.in()
	active := map[string]bool{}
	stopping := false
	for _, id := range s.t.order {
		on, err := s.active(s.t.Resources[id].Condition)
		if err != nil {
			e.op.Problem = err.Error()
			return true, false, nil
		}
		active[id] = on
		if res := e.st.Resources[id]; on && res != nil && res.Work != nil && res.Work.Phase == "failed" {
			stopping = e.op.Phase == "apply"
		}
	}
	for _, id := range s.t.order {
		if !active[id] {
			continue
		}
		def := s.t.Resources[id]
		res := e.st.Resources[id]
		if res == nil {
			res = &state.StackResource{LogicalID: id, Type: def.Type, New: true}
			e.st.Resources[id] = res
			changed = true
		}
		if res.Work == nil {
			res.Work = &state.ResourceWork{}
		}
		for {
			phase := res.Work.Phase
			if phase == "done" || phase == "failed" {
				break
			}
			if phase != "" {
				if !e.poll(def, res) {
					break
				}
			} else {
				if stopping || !e.ready(def, active) {
					break
				}
				e.touch(def, res)
			}
			changed = true
		}
		switch res.Work.Phase {
		case "done":
		case "failed":
			failed = append(failed, id)
			stopping = stopping || e.op.Phase == "apply"
		case "":
			// What was not begun does not hold up an operation that fails.
			open = open || !stopping && !e.blocked(def, active)
		default:
			open = true
		}
	}
	return changed, open, failed
}

// ready says whether everything the resource needs is done.
func (e *engine) ready(def *resource, active map[string]bool) bool {
	for _, d := range def.depends {
		if !active[d] {
			continue
		}
		if r := e.st.Resources[d]; r == nil || r.Work == nil || r.Work.Phase != "done" {
			return false
		}
	}
	return true
}

// blocked says whether something the resource needs has failed, or waits for what has.
func (e *engine) blocked(def *resource, active map[string]bool) bool {
	for _, d := range def.depends {
		if !active[d] {
			continue
		}
		r := e.st.Resources[d]
		if r == nil || r.Work == nil {
			continue
		}
		if r.Work.Phase == "failed" || r.Work.Phase == "" && e.blocked(e.in().t.Resources[d], active) {
			return true
		}
	}
	return false
}

// outputs are the outputs of the model as they come out now.
func (e *engine) outputs() []state.StackOutput {
	s := e.in()
	var out []state.StackOutput
	for _, name := range slices.Sorted(maps.Keys(s.t.Outputs)) {
		o := s.t.Outputs[name]
		if on, err := s.active(o.Condition); err != nil || !on {
			continue
		}
		v, err := s.eval(o.Value)
		if err != nil {
			e.tx.Log().Error("output of a stack", "stack", e.st.Name, "output", name, "error", err)
			continue
		}
		text := scalar(v)
		if l, ok := v.([]any); ok {
			text = strings.Join(properties{"": l}.texts(""), ",")
		}
		export, _ := s.eval(o.Export)
		out = append(out, state.StackOutput{Key: name, Value: text, Description: o.Description, Export: scalar(export)})
	}
	return out
}

// differing are the top-level properties that are not the same.
func differing(kind *schema.Type, a, b map[string]any) []string {
	ca, cb := kind.Canonical(a), kind.Canonical(b)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(ca)) {
		if v, ok := cb[k]; !ok || compact(v) != compact(ca[k]) {
			out = append(out, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(cb)) {
		if _, ok := ca[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
