package cloudformation

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// A change set with DeploymentMode REVERT_DRIFT compares the new template with
// what is, where a handler can read that, and no longer with what was deployed.

// managed are properties that AWS itself moves: their drift is none.
var managed = map[string][]string{typeGroup: {"DesiredCapacity"}}

// drift is how one resource differs from what was deployed.
type drift struct {
	of       *state.StackResource
	status   string
	deployed map[string]any
	actual   map[string]any // the properties deployed, as they are
	ignored  []string       // paths
}

// drifts looks at every resource that can be looked at.
func drifts(tx *core.Tx, st *state.Stack) map[string]*drift {
	e := &engine{tx: tx, st: st, op: &state.StackOperation{}}
	out := map[string]*drift{}
	for id, res := range st.Resources {
		h := handlerOf(res.Type)
		if h == nil || res.PhysicalID == "" {
			continue
		}
		d := &drift{of: res, status: "UNSUPPORTED", deployed: res.Properties, actual: maps.Clone(res.Properties)}
		out[id] = d
		if h.live == nil {
			continue
		}
		now, there := h.live(tx, e.call(res, nil))
		if d.status = "IN_SYNC"; !there {
			d.status = "DELETED"
			continue
		}
		want := resolved(tx, res.Properties)
		for _, name := range differing(schema.Lookup(res.Type), want, overlay(want, now)) {
			if slices.Contains(managed[res.Type], name) {
				d.ignored = append(d.ignored, "/Properties/"+name)
				continue
			}
			d.status = "MODIFIED"
			d.actual[name] = now[name]
		}
	}
	return out
}

// overlay is p with those of its values that now has, too.
func overlay(p, now map[string]any) map[string]any {
	out := maps.Clone(p)
	for k := range p {
		if v, ok := now[k]; ok {
			out[k] = v
		}
	}
	return out
}

// actual is the stack as it is, as far as that can be told.
func actual(tx *core.Tx, st *state.Stack) (*state.Stack, map[string]*drift) {
	found := drifts(tx, st)
	now := *st
	now.Resources = map[string]*state.StackResource{}
	for id, res := range st.Resources {
		r := *res
		if d := found[id]; d != nil {
			r.Properties = d.actual
			if d.status == "DELETED" {
				r.PhysicalID = ""
			}
		}
		now.Resources[id] = &r
	}
	return &now, found
}

// takeActual makes what is the point that the coming update starts from, and
// that its rollback goes back to.
func takeActual(tx *core.Tx, st *state.Stack) {
	for id, d := range drifts(tx, st) {
		res := st.Resources[id]
		res.Properties = d.actual
		if d.status == "DELETED" {
			delete(st.Resources, id) // it is made anew
		}
	}
}

// withDrift tells of each change what has drifted, and adds the resources whose
// drift the new template takes over: only the stack's record of them changes.
func withDrift(changes []*state.ResourceChange, found map[string]*drift) []*state.ResourceChange {
	for id, d := range found {
		i := slices.IndexFunc(changes, func(ch *state.ResourceChange) bool { return ch.LogicalID == id })
		if i < 0 {
			if d.status != "MODIFIED" {
				continue
			}
			changes = append(changes, &state.ResourceChange{
				Action: "SyncWithActual", LogicalID: id, PhysicalID: d.of.PhysicalID, Type: d.of.Type, Scope: []string{"Properties"},
			})
			i = len(changes) - 1
		}
		tellDrift(changes[i], d)
	}
	slices.SortFunc(changes, func(a, b *state.ResourceChange) int { return strings.Compare(a.LogicalID, b.LogicalID) })
	return changes
}

func tellDrift(ch *state.ResourceChange, d *drift) {
	ch.Drift, ch.Ignored = d.status, d.ignored
	if d.status != "MODIFIED" {
		return
	}
	ch.Deployed = compact(map[string]any{"Properties": d.deployed})
	for i := range ch.Details {
		detail := &ch.Details[i]
		if compact(d.actual[detail.Name]) == compact(d.deployed[detail.Name]) {
			continue
		}
		was := show(at(d.deployed, detail.Path))
		detail.Deployed = &was
		if detail.Source == "DirectModification" {
			detail.Source = "NoModification" // the template says what it said
		}
	}
}

// at is the value at a path such as "/Properties/Tags/0/Value"; nil if there is none.
func at(properties map[string]any, path string) any {
	var v any = properties
	for _, step := range strings.Split(strings.TrimPrefix(path, "/Properties/"), "/") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			v = nil
			for i, y := range x {
				if scalar(float64(i)) == step {
					v = y
				}
			}
		default:
			return nil
		}
	}
	return v
}
