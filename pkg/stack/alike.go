package stack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Own is what a stack that is made like another one may have of its own, besides
// what always is: names, ids, protection, and the bounds of the group's size, which
// are widened to hold a roll of today's.
type Own struct {
	Parameters []string
	Tags       []string
	// Without are the logical ids that the template's conditions leave out of each of
	// the two under its parameters.
	Living, Test map[string]bool
}

// Unlike names where test is not like the living stack that it was made like, in
// words for people, and apart what it has of its own, as it may.
func Unlike(living, test *State, own Own) (unlike, apart []string) {
	var d differ
	d.add("template", strings.TrimSpace(living.Body), strings.TrimSpace(test.Body), true)
	mine := map[string]string{} // whose values are told elsewhere, too: in outputs, say
	lp, tp := maps.Clone(living.Parameters), maps.Clone(test.Parameters)
	for _, k := range own.Parameters {
		if lp[k] != tp[k] {
			apart = append(apart, fmt.Sprintf("parameter %s %s", k, show(tp[k])))
			mine[k] = k
		}
		delete(lp, k)
		delete(tp, k)
	}
	for _, k := range []string{"DesiredCapacity", "MinSize", "MaxSize"} { // the group itself is compared
		delete(lp, k)
		delete(tp, k)
	}
	d.maps("parameter", lp, tp)
	lt, tt := userTags(living.Tags), userTags(test.Tags)
	for _, k := range own.Tags {
		if lt[k] != tt[k] {
			apart = append(apart, fmt.Sprintf("tag %s %s", k, show(tt[k])))
		}
		delete(lt, k)
		delete(tt, k)
	}
	d.maps("tag", lt, tt)
	lr, tr := kinds(living), kinds(test)
	for k := range own.Test {
		if _, there := tr[k]; !there && lr[k] != "" {
			apart = append(apart, "without "+k)
			delete(lr, k)
		}
	}
	for k := range own.Living {
		if _, there := lr[k]; !there && tr[k] != "" {
			apart = append(apart, "with "+k)
			delete(tr, k)
		}
	}
	d.maps("resource", lr, tr)
	l, t := living.names(mine), test.names(mine)
	d.maps("output", through(l, living.Outputs), through(t, test.Outputs))
	switch a, b := living.Group, test.Group; {
	case a == nil && b == nil:
	case a == nil || b == nil:
		d.out = append(d.out, "the group is there only once")
	default:
		d.add("number of instances", fmt.Sprint(a.Capacity.Desired), fmt.Sprint(b.Capacity.Desired), false)
		d.add("suspended processes", strings.Join(a.Suspended, ","), strings.Join(b.Suspended, ","), false)
		d.add("launch template content", l.Replace(canonical(a.Template.Data)), t.Replace(canonical(b.Template.Data)), true)
		d.add("images of the instances", images(a), images(b), false)
	}
	slices.Sort(apart)
	return d.out, apart
}

func kinds(s *State) map[string]string {
	out := map[string]string{}
	for k, r := range s.Resources {
		if r.ID != "" {
			out[k] = r.Type
		}
	}
	return out
}

// names puts what is a stack's own, and what is called otherwise in another stack,
// into words that both have: ids, the stack's name, values of parameters.
func (s *State) names(parameters map[string]string) *strings.Replacer {
	words := map[string]string{s.Name: "(stack)", s.ID: "(stack id)"}
	for k, r := range s.Resources {
		words[r.ID] = "(" + k + ")"
	}
	for k := range parameters {
		words[s.Parameters[k]] = "(" + k + ")"
	}
	delete(words, "")
	// The first that fits is taken: the longest first.
	order := slices.SortedFunc(maps.Keys(words), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, w := range order {
		pairs = append(pairs, w, words[w])
	}
	return strings.NewReplacer(pairs...)
}

func through(r *strings.Replacer, in map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range in {
		out[k] = r.Replace(v)
	}
	return out
}
