package cloudformation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// comparison finds what a new model would change of a stack.
type comparison struct {
	st        *state.Stack
	before    *template // nil for a new stack
	after     *template
	old       map[string]string // parameter values before
	now       map[string]string
	changing  map[string]*state.ResourceChange
	known     *scope // references answered with what is
	predicted *scope // references to what will change answered with afterApply
	retagged  bool
}

// compare lists the changes of resources, and whether anything else of the
// stack changes that is an update by itself (outputs, stack tags).
func compare(tx *core.Tx, st *state.Stack, m *state.StackModel, t *template) ([]*state.ResourceChange, bool) {
	c := &comparison{
		st: st, after: t, old: map[string]string{}, now: map[string]string{}, changing: map[string]*state.ResourceChange{},
		known: newScope(tx, t, st.ID, st.Name, m), predicted: newScope(tx, t, st.ID, st.Name, m),
	}
	effective := func(p state.StackParameter) string { return p.Value + "\x00" + p.Resolved }
	other := false
	if st.Model != nil {
		c.before, _ = parse(st.Model.Template)
		for _, p := range st.Model.Parameters {
			c.old[p.Key] = effective(p)
		}
		c.retagged = retagged(st.Model, m)
		other = c.retagged
	}
	for _, p := range m.Parameters {
		c.now[p.Key] = effective(p)
	}
	c.known.lookup = func(r reference) (any, error) { return c.value(r), nil }
	c.predicted.lookup = func(r reference) (any, error) {
		if c.moves(r) {
			return afterApply, nil
		}
		return c.value(r), nil
	}
	active := map[string]bool{}
	var changes []*state.ResourceChange
	for _, id := range t.order {
		def := t.Resources[id]
		if on, err := c.known.active(def.Condition); err != nil || !on {
			continue
		}
		active[id] = true
		if ch := c.resource(def); ch != nil {
			c.changing[id] = ch
			changes = append(changes, ch)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		res := st.Resources[id]
		if active[id] || res.PhysicalID == "" || strings.HasPrefix(res.Status, "DELETE_") {
			continue
		}
		ch := &state.ResourceChange{Action: "Remove", LogicalID: id, PhysicalID: res.PhysicalID, Type: res.Type, PolicyAction: "Delete"}
		if strings.HasPrefix(res.DeletionPolicy, "Retain") {
			ch.PolicyAction = "Retain"
		} else if res.DeletionPolicy == "Snapshot" {
			ch.PolicyAction = "Snapshot"
		}
		ch.Before = compact(map[string]any{"Properties": res.Properties})
		changes = append(changes, ch)
	}
	slices.SortFunc(changes, func(a, b *state.ResourceChange) int { return strings.Compare(a.LogicalID, b.LogicalID) })
	if c.before != nil && !other {
		other = c.outputsChange()
	}
	return changes, other
}

// idle says that no change is an update: CloudFormation takes a change of policies alone for none.
func idle(changes []*state.ResourceChange) bool {
	return !slices.ContainsFunc(changes, func(ch *state.ResourceChange) bool { return !ch.Quiet })
}

// value is what a reference to a resource gives today.
func (c *comparison) value(r reference) any {
	res := c.st.Resources[r.Name]
	if res == nil || res.PhysicalID == "" || strings.HasPrefix(res.Status, "DELETE_") {
		return afterApply
	}
	if r.Attribute == "" {
		return res.PhysicalID
	}
	if v, ok := res.Attributes[r.Attribute]; ok {
		return v
	}
	if v, ok := res.Properties[r.Attribute]; ok {
		return v
	}
	return afterApply
}

// moves says whether a reference may give another value after the update.
func (c *comparison) moves(r reference) bool {
	ch := c.changing[r.Name]
	if ch == nil || ch.Quiet {
		return false
	}
	if ch.Action == "Add" || ch.Replacement == "True" || ch.Replacement == "Conditional" {
		return true
	}
	if r.Attribute == "" || !slices.Contains(ch.Scope, "Properties") {
		return false
	}
	// What identifies a resource changes with its replacement only.
	for _, end := range []string{"Id", "Arn", "ARN", "Name"} {
		if strings.HasSuffix(r.Attribute, end) {
			return false
		}
	}
	return !slices.Contains(schema.Lookup(ch.Type).Identifier, r.Attribute)
}

func (c *comparison) resource(def *resource) *state.ResourceChange {
	res := c.st.Resources[def.ID]
	after, _ := c.predicted.properties(def.Properties)
	if res == nil || res.PhysicalID == "" || strings.HasPrefix(res.Status, "DELETE_") {
		return &state.ResourceChange{
			Action: "Add", LogicalID: def.ID, Type: def.Type, After: compact(map[string]any{"Properties": after}),
		}
	}
	kind := schema.Lookup(def.Type)
	ch := &state.ResourceChange{Action: "Modify", LogicalID: def.ID, PhysicalID: res.PhysicalID, Type: def.Type, Replacement: "False"}
	now, _ := c.known.properties(def.Properties)
	static := differing(kind, res.Properties, now)
	names := slices.Sorted(maps.Keys(def.Properties))
	for _, p := range static {
		if !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	for _, p := range names {
		c.property(ch, kind, p, slices.Contains(static, p), def.Properties[p], res.Properties[p], after[p])
	}
	if len(ch.Details) > 0 {
		ch.Scope = append(ch.Scope, "Properties")
	}
	loud := len(ch.Details) > 0
	if c.retagged && kind.Tags != "" {
		ch.Scope = append(ch.Scope, "Tags")
		ch.Details = append(ch.Details, state.ChangeDetail{Attribute: "Tags", Recreation: "Never", Evaluation: "Static", Source: "DirectModification"})
		loud = true
	}
	metadata := ""
	if v, _ := c.predicted.eval(def.Metadata); v != nil {
		metadata = compact(v)
	}
	if metadata != res.Metadata {
		ch.Scope = append(ch.Scope, "Metadata")
		ch.Details = append(ch.Details, state.ChangeDetail{Attribute: "Metadata", Recreation: "Never", Evaluation: "Static", Source: "DirectModification"})
		loud = true
	}
	for _, scope := range c.policies(def) {
		ch.Scope = append(ch.Scope, scope)
		ch.Details = append(ch.Details, state.ChangeDetail{Attribute: scope, Recreation: "Never", Evaluation: "Static", Source: "DirectModification"})
	}
	if len(ch.Scope) == 0 {
		return nil
	}
	ch.Quiet = !loud
	ch.Before = compact(map[string]any{"Properties": res.Properties})
	ch.After = compact(map[string]any{"Properties": after})
	if ch.Replacement == "True" {
		ch.PolicyAction = "ReplaceAnd" + def.ReplacePolicy
	}
	return ch
}

// property adds the details of one property, if it changes or may change.
func (c *comparison) property(ch *state.ResourceChange, kind *schema.Type, name string, static bool, expression, before, after any) {
	var moved []reference
	var parameters []string
	c.after.mentioned(expression, func(r reference) {
		switch {
		case c.after.Parameters[r.Name] != nil:
			if old, had := c.old[r.Name]; (!had || old != c.now[r.Name]) && !slices.Contains(parameters, r.Name) {
				parameters = append(parameters, r.Name)
			}
		case c.after.Resources[r.Name] != nil && c.moves(r) && !slices.Contains(moved, r):
			moved = append(moved, r)
		}
	})
	if !static && len(moved) == 0 {
		return
	}
	recreation := kind.Recreation(name)
	leaves := leaf("/Properties/"+name, kind.Canonical(map[string]any{name: before})[name], kind.Canonical(map[string]any{name: after})[name])
	if len(leaves) == 0 {
		leaves = []change{{path: "/Properties/" + name, kind: "Modify"}}
	}
	add := func(evaluation, source, cause string) {
		for _, l := range leaves {
			ch.Details = append(ch.Details, state.ChangeDetail{
				Attribute: "Properties", Name: name, Path: l.path, Recreation: recreation, Evaluation: evaluation, Source: source, Cause: cause,
				Before: l.before, After: l.after, Kind: l.kind,
			})
		}
	}
	slices.Sort(parameters)
	direct := static && len(parameters) == 0 && len(moved) == 0
	for _, p := range parameters {
		add("Static", "ParameterReference", p)
	}
	for _, r := range moved {
		source := "ResourceAttribute"
		if r.Attribute == "" {
			source = "ResourceReference"
		}
		add("Dynamic", source, r.String())
	}
	switch {
	case direct:
		add("Static", "DirectModification", "")
	case len(parameters) > 0:
		// AWS tells a changed parameter twice.
		add("Dynamic", "DirectModification", "")
	case static && c.rewritten(ch.LogicalID, name, expression):
		add("Static", "DirectModification", "")
	}
	certain := static && (direct || len(parameters) > 0)
	switch {
	case recreation == "Always" && certain:
		ch.Replacement = "True"
	case recreation == "Always" || recreation == "Conditionally":
		if ch.Replacement == "False" {
			ch.Replacement = "Conditional"
		}
	}
}

// rewritten says whether the template's own text of a property changed.
func (c *comparison) rewritten(id, name string, expression any) bool {
	if c.before == nil || c.before.Resources[id] == nil {
		return true
	}
	return compact(c.before.Resources[id].Properties[name]) != compact(expression)
}

// policies are the attributes beside the properties that differ.
func (c *comparison) policies(def *resource) []string {
	if c.before == nil || c.before.Resources[def.ID] == nil {
		return nil
	}
	old := c.before.Resources[def.ID]
	var out []string
	if old.DeletionPolicy != def.DeletionPolicy {
		out = append(out, "DeletionPolicy")
	}
	if old.ReplacePolicy != def.ReplacePolicy {
		out = append(out, "UpdateReplacePolicy")
	}
	for _, p := range []struct {
		name string
		a, b any
	}{{"CreationPolicy", old.CreationPolicy, def.CreationPolicy}, {"UpdatePolicy", old.UpdatePolicy, def.UpdatePolicy}} {
		if compact(p.a) != compact(p.b) || c.parametersMove(p.b) {
			out = append(out, p.name)
		}
	}
	return out
}

func (c *comparison) parametersMove(v any) bool {
	moves := false
	c.after.mentioned(v, func(r reference) {
		moves = moves || c.after.Parameters[r.Name] != nil && c.old[r.Name] != c.now[r.Name]
	})
	return moves
}

// outputsChange says whether the outputs differ in text or value.
func (c *comparison) outputsChange() bool {
	values := map[string]string{}
	for name, o := range c.after.Outputs {
		if on, err := c.predicted.active(o.Condition); err != nil || !on {
			continue
		}
		v, err := c.predicted.eval(o.Value)
		if err != nil {
			continue
		}
		export, _ := c.predicted.eval(o.Export)
		text := scalar(v)
		if l, ok := v.([]any); ok {
			text = strings.Join(properties{"": l}.texts(""), ",")
		}
		values[name] = text + "\x00" + o.Description + "\x00" + scalar(export)
	}
	had := map[string]string{}
	for _, o := range c.st.Outputs {
		had[o.Key] = o.Value + "\x00" + o.Description + "\x00" + o.Export
	}
	return !maps.Equal(values, had)
}

// change is one leaf that differs.
type change struct{ path, before, after, kind string }

func leaf(path string, a, b any) []change {
	switch {
	case compact(a) == compact(b):
		return nil
	case a == nil:
		return []change{{path, "", show(b), "Add"}}
	case b == nil:
		return []change{{path, show(a), "", "Remove"}}
	}
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Collect(maps.Keys(x))
		for k := range y {
			if _, both := x[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		var out []change
		for _, k := range keys {
			out = append(out, leaf(path+"/"+k, x[k], y[k])...)
		}
		return out
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		var out []change
		for i := range x {
			out = append(out, leaf(fmt.Sprintf("%s/%d", path, i), x[i], y[i])...)
		}
		return out
	}
	return []change{{path, show(a), show(b), "Modify"}}
}

func show(v any) string {
	switch v.(type) {
	case map[string]any, []any:
		return compact(v)
	}
	return scalar(v)
}
