package autoscaling

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func checkTag(t Tag) error {
	switch {
	case t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256:
		return wire.Errorf("ValidationError", "A tag's key must have 1 to 128 characters and its value at most 256")
	case t.ResourceType != "" && t.ResourceType != "auto-scaling-group":
		return wire.Errorf("ValidationError", "Resource type '%s' is not supported: it must be 'auto-scaling-group'", t.ResourceType)
	}
	return nil
}

func setTag(g *state.Group, t Tag) {
	g.Tags = slices.DeleteFunc(g.Tags, func(x state.GroupTag) bool { return x.Key == t.Key })
	g.Tags = append(g.Tags, state.GroupTag{Key: t.Key, Value: t.Value, Propagate: yes(t.PropagateAtLaunch)})
	slices.SortFunc(g.Tags, func(a, b state.GroupTag) int { return strings.Compare(a.Key, b.Key) })
}

func describeTags(g *state.Group) []TagDescription {
	var out []TagDescription
	for _, t := range g.Tags {
		out = append(out, TagDescription{ResourceId: g.Name, ResourceType: "auto-scaling-group", Key: t.Key, Value: t.Value, PropagateAtLaunch: t.Propagate})
	}
	return out
}

// CreateOrUpdateTags sets tags of groups; instances that run keep theirs.
func CreateOrUpdateTags(tx *core.Tx, in *CreateOrUpdateTagsInput) (*CreateOrUpdateTagsOutput, error) {
	for _, t := range in.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		if _, err := Find(tx, t.ResourceId); err != nil {
			return nil, err
		}
	}
	for _, t := range in.Tags {
		setTag(tx.Region.Groups[t.ResourceId], t)
	}
	return &CreateOrUpdateTagsOutput{}, nil
}

// DeleteTags takes tags of groups away; one that is not there is no error.
func DeleteTags(tx *core.Tx, in *DeleteTagsInput) (*DeleteTagsOutput, error) {
	for _, t := range in.Tags {
		if _, err := Find(tx, t.ResourceId); err != nil {
			return nil, err
		}
	}
	for _, t := range in.Tags {
		g := tx.Region.Groups[t.ResourceId]
		g.Tags = slices.DeleteFunc(g.Tags, func(x state.GroupTag) bool { return x.Key == t.Key })
	}
	return &DeleteTagsOutput{}, nil
}

// DescribeTags lists tags of all groups.
func DescribeTags(tx *core.Tx, in *DescribeTagsInput) (*DescribeTagsOutput, error) {
	var found []TagDescription
	for _, name := range sortedKeys(tx.Region.Groups) {
		for _, t := range describeTags(tx.Region.Groups[name]) {
			fits := true
			for _, f := range in.Filters {
				propagate := "false"
				if t.PropagateAtLaunch {
					propagate = "true"
				}
				value, known := map[string]string{"auto-scaling-group": name, "key": t.Key, "value": t.Value, "propagate-at-launch": propagate}[f.Name]
				if !known {
					return nil, wire.Errorf("ValidationError", "Filter type %s is not correct. Allowed Filter types are: auto-scaling-group, key, value, propagate-at-launch", f.Name)
				}
				fits = fits && slices.Contains(f.Values, value)
			}
			if fits {
				found = append(found, t)
			}
		}
	}
	page, next, err := core.Page(tx, found, func(t TagDescription) string { return t.ResourceId + "/" + t.Key }, in.MaxRecords, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeTagsOutput{Tags: page, NextToken: next}, nil
}
