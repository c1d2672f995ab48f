package cloudformation

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// touch begins the work on one resource.
func (e *engine) touch(def *resource, res *state.StackResource) {
	if e.op.Phase == "rollback" {
		e.restore(res)
		return
	}
	s := e.in()
	props, err := s.properties(def.Properties)
	if err != nil {
		e.refuse(res, err)
		return
	}
	if _, err := resolve(e.tx, props); err != nil {
		e.refuse(res, err)
		return
	}
	meta, err := s.eval(def.Metadata)
	if err != nil {
		e.refuse(res, err)
		return
	}
	metadata := ""
	if meta != nil {
		metadata = compact(meta)
	}
	kind := schema.Lookup(def.Type)
	next := state.ResourceVersion{
		Properties: props, Metadata: metadata, DependsOn: def.depends,
		DeletionPolicy: def.DeletionPolicy, ReplacePolicy: def.ReplacePolicy,
	}
	if res.PhysicalID == "" || res.Status == "CREATE_FAILED" {
		e.create(def, res, kind, next)
		return
	}
	diff := differing(kind, res.Properties, props)
	retag := e.op.Retagged && kind.Tags != ""
	if len(diff) == 0 && res.Metadata == metadata && !retag && res.Status != "UPDATE_FAILED" {
		// Policies alone are taken over without a word.
		e.remember(res)
		res.DependsOn, res.DeletionPolicy, res.ReplacePolicy = next.DependsOn, next.DeletionPolicy, next.ReplacePolicy
		res.Work.Action, res.Work.Phase = "keep", "done"
		return
	}
	h := handlerOf(def.Type)
	replace := slices.ContainsFunc(diff, func(p string) bool { return kind.Recreation(p) == "Always" || h.replaces != nil && h.replaces(p) }) ||
		def.Type == typeGroup && e.replacesGroup(def) && slices.ContainsFunc(diff, func(p string) bool { return kind.Recreation(p) == "Conditionally" })
	verb := "Update:Modify"
	if replace {
		verb = "Update:Replace"
	}
	if text := e.denied(verb, res); text != "" {
		e.remember(res)
		res.Work.Action = "update"
		e.fail(res, text)
		return
	}
	if replace {
		e.replace(def, res, kind, next)
		return
	}
	e.update(res, kind, next, diff, retag)
}

// refuse fails a resource whose properties cannot be told.
func (e *engine) refuse(res *state.StackResource, err error) {
	e.remember(res)
	res.Work.Action = "update"
	if res.PhysicalID == "" {
		res.Work.Action = "create"
	}
	e.fail(res, explain(res.Type, err))
}

// remember keeps how the resource was before this operation.
func (e *engine) remember(res *state.StackResource) {
	if res.New || res.Before != nil {
		return
	}
	res.Before = &state.ResourceVersion{
		PhysicalID: res.PhysicalID, Properties: res.Properties, Attributes: res.Attributes, Metadata: res.Metadata,
		DependsOn: res.DependsOn, DeletionPolicy: res.DeletionPolicy, ReplacePolicy: res.ReplacePolicy,
	}
}

func (e *engine) take(res *state.StackResource, v state.ResourceVersion) {
	res.Properties, res.Metadata, res.DependsOn = v.Properties, v.Metadata, v.DependsOn
	res.DeletionPolicy, res.ReplacePolicy = v.DeletionPolicy, v.ReplacePolicy
}

func (e *engine) create(def *resource, res *state.StackResource, kind *schema.Type, v state.ResourceVersion) {
	if res.PhysicalID != "" {
		old := *res
		e.leave(&old, "Delete")
	}
	if res.Status == "DELETE_COMPLETE" || res.Status == "CREATE_FAILED" {
		res.New = true
	}
	res.Work.Action, res.PhysicalID, res.Properties = "create", "", nil
	e.tell(res, "CREATE_IN_PROGRESS", "")
	e.take(res, v)
	e.make(def, res, kind, "CREATE_IN_PROGRESS")
}

func (e *engine) replace(def *resource, res *state.StackResource, kind *schema.Type, v state.ResourceVersion) {
	e.remember(res)
	e.tell(res, "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new physical resource; hence creating one.")
	old := *res
	old.Before = nil
	e.leave(&old, v.ReplacePolicy)
	res.Work = &state.ResourceWork{Action: "replace"}
	e.take(res, v)
	res.PhysicalID = ""
	e.make(def, res, kind, "UPDATE_IN_PROGRESS")
}

// invalidProperties tells what is wrong with properties; "" if nothing is.
func invalidProperties(kind *schema.Type, logical string, p map[string]any) string {
	problems := kind.Check(p)
	if len(problems) == 0 {
		return ""
	}
	lines := []string{"Properties validation failed for resource " + logical + " with message:"}
	for _, x := range problems {
		lines = append(lines, x.Text)
	}
	return strings.Join(lines, "\n")
}

// make creates the physical resource.
func (e *engine) make(def *resource, res *state.StackResource, kind *schema.Type, status string) {
	if text := invalidProperties(kind, res.LogicalID, resolved(e.tx, res.Properties)); text != "" {
		e.fail(res, text)
		return
	}
	id, err := handlerOf(res.Type).create(e.tx, e.call(res, nil))
	if id != "" {
		res.PhysicalID = id
	}
	if err != nil {
		e.fail(res, explain(res.Type, err))
		return
	}
	e.tell(res, status, "Resource creation Initiated")
	res.Work.Phase = "begun"
	res.Work.Deadline = e.tx.After(stabilise)
	if p, ok := e.creationPolicy(def, res); ok && handlerOf(res.Type).signals {
		res.Work.Phase = "signals"
		res.Work.Deadline = e.tx.After(p.timeout)
	}
}

func (e *engine) update(res *state.StackResource, kind *schema.Type, v state.ResourceVersion, diff []string, retag bool) {
	e.remember(res)
	res.Work.Action = "update"
	e.tell(res, "UPDATE_IN_PROGRESS", "")
	if text := invalidProperties(kind, res.LogicalID, resolved(e.tx, v.Properties)); text != "" {
		e.fail(res, text)
		return
	}
	old := res.Properties
	e.take(res, v)
	c := e.call(res, old)
	c.retag = retag
	e.change(res, c, len(diff) > 0 || retag)
}

// change calls the handler's update, if there is something for it.
func (e *engine) change(res *state.StackResource, c *call, work bool) {
	res.Work.Phase = "begun"
	res.Work.Deadline = e.tx.After(stabilise)
	h := handlerOf(res.Type)
	if !work {
		res.Work.Data = map[string]string{"idle": "true"}
		return
	}
	if h.update == nil {
		return
	}
	if err := h.update(e.tx, c); err != nil {
		e.fail(res, explain(res.Type, err))
	}
}

// call is what a handler gets to see; old is nil where nothing is compared.
func (e *engine) call(res *state.StackResource, old map[string]any) *call {
	tags := state.Tags{}
	for _, t := range e.st.Model.Tags {
		tags[t.Key] = t.Value
	}
	tags["aws:cloudformation:stack-name"] = e.st.Name
	tags["aws:cloudformation:stack-id"] = e.st.ID
	tags["aws:cloudformation:logical-id"] = res.LogicalID
	if old == nil && res.Before != nil {
		old = res.Before.Properties
	}
	return &call{
		stack: e.st, res: res, id: res.PhysicalID, props: resolved(e.tx, res.Properties), old: resolved(e.tx, old), tags: tags,
		rollback: e.op.Phase == "rollback", engine: e,
	}
}

// poll asks how far a resource is, and says whether that changed anything.
func (e *engine) poll(def *resource, res *state.StackResource) bool {
	if res.Work.Phase == "signals" {
		return e.awaitCreation(def, res)
	}
	h := handlerOf(res.Type)
	if h.stable == nil || res.Work.Data["idle"] != "" {
		e.complete(res)
		return true
	}
	c := e.call(res, nil)
	before := len(e.st.Events)
	ok, err := h.stable(e.tx, c)
	switch {
	case err != nil:
		e.fail(res, explain(res.Type, err))
	case ok:
		e.complete(res)
	case res.Work.Roll == nil && e.tx.Due(res.Work.Deadline):
		e.fail(res, "Resource timed out waiting for completion")
	default:
		return len(e.st.Events) != before
	}
	return true
}

func (e *engine) complete(res *state.StackResource) {
	// A rollback leaves the attributes as they were: the versions it made obsolete do not count.
	if res.Work.Action != "restore" {
		res.Attributes = nil
		if h := handlerOf(res.Type); h.attributes != nil {
			res.Attributes = h.attributes(e.tx, e.call(res, nil))
		}
	}
	res.Work.Phase = "done"
	res.Work.Roll = nil
	status := "UPDATE_COMPLETE"
	if res.Work.Action == "create" {
		status = "CREATE_COMPLETE"
	}
	e.tell(res, status, "")
}

func (e *engine) fail(res *state.StackResource, reason string) {
	e.release(res)
	res.Work.Phase = "failed"
	status := "UPDATE_FAILED"
	if res.Work.Action == "create" {
		status = "CREATE_FAILED"
	}
	e.tell(res, status, reason)
}

// release gives back what a rolling update holds of its group.
func (e *engine) release(res *state.StackResource) {
	if res.Work.Roll != nil {
		resume(e.tx, res.PhysicalID, res.Work.Roll)
		res.Work.Roll = nil
	}
}
