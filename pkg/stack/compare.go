package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// MayDiffer is what of a stack may differ after an update was taken back, each
// with its reason. Everything else that Differences looks at must be equal.
var MayDiffer = map[string]string{
	"status":                  "UPDATE_COMPLETE or UPDATE_ROLLBACK_COMPLETE in place of CREATE_COMPLETE",
	"instance ids":            "a roll replaces machines; their number, image and launch template content are compared",
	"instance zones":          "the group balances anew",
	"launch template version": "a number that only grows; the content of the version in use is compared",
	"resource statuses":       "UPDATE_COMPLETE in place of CREATE_COMPLETE; the physical ids are compared",
	"machines that drain":     "what the group let go of keeps serving for the time of its lifecycle hook",
	"stack policy":            "only set where it is wanted, never by an update",
}

// Differences names what is not as it was, in words for people; none: nil. The
// resources of the logical ids replaced may be others, and their ids wherever they
// are told.
func Differences(before, after *State, replaced ...string) []string {
	var d differ
	var ids []string
	for _, k := range replaced {
		if b, a := before.Resources[k].ID, after.Resources[k].ID; b != "" && a != "" {
			ids = append(ids, b, a)
		}
	}
	renamed := strings.NewReplacer(ids...)
	outputs := map[string]string{}
	for k, v := range before.Outputs {
		outputs[k] = renamed.Replace(v)
	}
	d.add("template", before.Body, after.Body, true)
	d.maps("parameter", before.Parameters, after.Parameters)
	d.maps("tag", userTags(before.Tags), userTags(after.Tags))
	d.maps("output", outputs, after.Outputs)
	d.maps("resource", physical(before.Resources, renamed), physical(after.Resources, strings.NewReplacer()))
	switch b, a := before.Group, after.Group; {
	case b == nil && a == nil:
	case b == nil || a == nil:
		d.out = append(d.out, "the group is there only once")
	default:
		d.add("capacity", fmt.Sprint(b.Capacity), fmt.Sprint(a.Capacity), false)
		d.add("suspended processes", strings.Join(b.Suspended, ","), strings.Join(a.Suspended, ","), false)
		d.add("launch template id", b.Template.ID, a.Template.ID, false)
		d.add("launch template content", renamed.Replace(canonical(b.Template.Data)), canonical(a.Template.Data), true)
		d.add("images of the instances", images(b), images(a), false)
		for _, i := range a.Serving() {
			if i.Version != a.Template.Version {
				d.out = append(d.out, fmt.Sprintf("instance %s runs launch template version %s, the group wants %s", i.ID, i.Version, a.Template.Version))
			}
		}
	}
	return d.out
}

type differ struct{ out []string }

func (d *differ) add(what, before, after string, long bool) {
	switch {
	case before == after:
	case long:
		d.out = append(d.out, what+" differs: "+firstDifference(before, after))
	default:
		d.out = append(d.out, fmt.Sprintf("%s was %s, is %s", what, show(before), show(after)))
	}
}

func (d *differ) maps(what string, before, after map[string]string) {
	keys := map[string]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		b, inB := before[k]
		a, inA := after[k]
		switch {
		case !inB:
			d.out = append(d.out, fmt.Sprintf("%s %s was not there, is %s", what, k, show(a)))
		case !inA:
			d.out = append(d.out, fmt.Sprintf("%s %s was %s, is gone", what, k, show(b)))
		default:
			d.add(what+" "+k, b, a, false)
		}
	}
}

func show(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// firstDifference shows the first line at which two texts part.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	at := func(l []string, i int) string {
		if i < len(l) {
			return fmt.Sprintf("%q", strings.TrimSpace(l[i]))
		}
		return "the end"
	}
	for i := range max(len(x), len(y)) {
		if at(x, i) != at(y, i) {
			return fmt.Sprintf("line %d was %s, is %s", i+1, at(x, i), at(y, i))
		}
	}
	return "white space"
}

func userTags(in map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range in {
		if !strings.HasPrefix(k, "aws:") {
			out[k] = v
		}
	}
	return out
}

func physical(in map[string]Resource, renamed *strings.Replacer) map[string]string {
	out := map[string]string{}
	for k, r := range in {
		out[k] = r.Type + " " + renamed.Replace(r.ID)
	}
	return out
}

func images(g *Group) string {
	var out []string
	for _, i := range g.Serving() {
		out = append(out, i.Image)
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

// canonical is JSON with sorted keys, one member a line.
func canonical(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if e.Encode(v) != nil {
		return string(raw)
	}
	return b.String()
}
