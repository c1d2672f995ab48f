package ec2

import (
	"sort"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Tag is a key and its value.
type Tag struct {
	Key   string
	Value string `wire:",empty"`
}

// TagSpecification is what a new resource of a type gets as tags.
type TagSpecification struct {
	ResourceType string
	Tags         []Tag `wire:"Tag"`
}

// Filter of a Describe action: any of the values, which may hold * and ?.
type Filter struct {
	Name   string
	Values []string `wire:"Value"`
}

// AttributeBooleanValue is a boolean inside a Modify… action.
type AttributeBooleanValue struct{ Value *bool }

// AttributeValue is a string inside a Modify… action.
type AttributeValue struct{ Value *string }

// Done is the answer of actions that have nothing to tell.
type Done struct {
	Return bool
}

var done = &Done{Return: true}

// tagsFor picks what specs say about resources of that type.
func tagsFor(kind string, specs []TagSpecification) state.Tags {
	t := state.Tags{}
	for _, s := range specs {
		if s.ResourceType != kind {
			continue
		}
		for _, tag := range s.Tags {
			t[tag.Key] = tag.Value
		}
	}
	return t
}

// Specify makes the tag specification of one resource type, keys in order.
func Specify(kind string, tags map[string]string) []TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	return []TagSpecification{{ResourceType: kind, Tags: tagList(tags)}}
}

func tagList(t map[string]string) []Tag {
	list := make([]Tag, 0, len(t))
	for k, v := range t {
		list = append(list, Tag{Key: k, Value: v})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
	return list
}

// checkTags refuses tag specifications for other resource types than those an action makes.
func checkTags(specs []TagSpecification, kinds ...string) error {
	for _, s := range specs {
		ok := false
		for _, k := range kinds {
			ok = ok || s.ResourceType == k
		}
		if !ok {
			return wire.Errorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", s.ResourceType)
		}
		for _, t := range s.Tags {
			if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
				return wire.Errorf("InvalidParameterValue", "Tag key or value of '%s' exceeds the maximum length.", t.Key)
			}
		}
	}
	return nil
}

func missing(name string) error {
	return wire.Errorf("MissingParameter", "The request must contain the parameter %s", name)
}

// notFound is EC2's answer to an id it does not have: "The vpc ID 'vpc-1' does not exist".
func notFound(code, what, id string) error {
	return wire.Errorf(code+".NotFound", "The %s '%s' does not exist", what, id)
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func yes(p *bool) bool { return p != nil && *p }

func values[V any](m map[string]V) []V {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	list := make([]V, 0, len(m))
	for _, k := range keys {
		list = append(list, m[k])
	}
	return list
}

// pick returns the resources of these ids in their order, or all when there are none.
func pick[V any](m map[string]V, ids []string, missing func(id string) error) ([]V, error) {
	if len(ids) == 0 {
		return values(m), nil
	}
	list := make([]V, 0, len(ids))
	for _, id := range ids {
		v, ok := m[id]
		if !ok {
			return nil, missing(id)
		}
		list = append(list, v)
	}
	return list, nil
}

// attrs are what one resource answers to each filter's name.
type attrs map[string][]string

func one(v string) []string { return []string{v} }

func boolText(b bool) []string {
	if b {
		return []string{"true"}
	}
	return []string{"false"}
}

// filter keeps the resources that every filter allows.
func filter[V any](list []V, filters []Filter, tags func(V) state.Tags, of func(V) attrs) ([]V, error) {
	kept := make([]V, 0, len(list))
	if len(list) == 0 {
		return kept, nil // nothing to tell the filters' names by, and nothing to filter
	}
	known := of(list[0])
	for _, f := range filters {
		if f.Name == "tag-key" || f.Name == "tag-value" || strings.HasPrefix(f.Name, "tag:") {
			continue
		}
		if _, ok := known[f.Name]; !ok {
			return nil, wire.Errorf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
	}
next:
	for _, v := range list {
		if len(filters) == 0 {
			kept = append(kept, v)
			continue
		}
		a, t := of(v), tags(v)
		for _, f := range filters {
			if !f.matches(a, t) {
				continue next
			}
		}
		kept = append(kept, v)
	}
	return kept, nil
}

func (f Filter) matches(a attrs, t state.Tags) bool {
	var have []string
	switch key, isTag := strings.CutPrefix(f.Name, "tag:"); {
	case isTag:
		v, ok := t[key]
		if !ok {
			return false
		}
		have = one(v)
	case f.Name == "tag-key":
		for k := range t {
			have = append(have, k)
		}
	case f.Name == "tag-value":
		for _, v := range t {
			have = append(have, v)
		}
	default:
		have = a[f.Name]
	}
	for _, want := range f.Values {
		for _, h := range have {
			if core.Wildcard(want, h) {
				return true
			}
		}
	}
	return false
}
