package ec2

import (
	"reflect"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// CreateTagsInput of CreateTags.
type CreateTagsInput struct {
	Resources []string `wire:"ResourceId"`
	Tags      []Tag    `wire:"Tag"`
}

// DeleteTagsInput of DeleteTags: a tag with a value goes only if it has that value.
type DeleteTagsInput struct {
	Resources []string     `wire:"ResourceId"`
	Tags      []TagRemoval `wire:"Tag"`
}

// TagRemoval names a tag to remove.
type TagRemoval struct {
	Key   string
	Value *string
}

// DescribeTagsInput of DescribeTags.
type DescribeTagsInput struct {
	Filters    []Filter `wire:"Filter"`
	MaxResults *int64
	NextToken  string
}

// DescribeTagsOutput of DescribeTags.
type DescribeTagsOutput struct {
	Tags      []TagDescription `wire:"tagSet"`
	NextToken string
}

// TagDescription is a tag of a resource.
type TagDescription struct {
	ResourceId, ResourceType, Key string
	Value                         string `wire:",empty"`
}

// tagged walks over the tags of every resource of the region.
func tagged(r *state.Region, fn func(id, kind string, tags *state.Tags)) {
	for id, x := range r.Instances {
		fn(id, "instance", &x.Tags)
	}
	for id, x := range r.Images {
		fn(id, "image", &x.Tags)
	}
	for id, x := range r.Snapshots {
		fn(id, "snapshot", &x.Tags)
	}
	for id, x := range r.Volumes {
		fn(id, "volume", &x.Tags)
	}
	for _, x := range r.KeyPairs {
		fn(x.ID, "key-pair", &x.Tags)
	}
	for id, x := range r.SecurityGroups {
		fn(id, "security-group", &x.Tags)
	}
	for id, x := range r.VPCs {
		fn(id, "vpc", &x.Tags)
	}
	for id, x := range r.Subnets {
		fn(id, "subnet", &x.Tags)
	}
	for id, x := range r.RouteTables {
		fn(id, "route-table", &x.Tags)
	}
	for id, x := range r.InternetGateways {
		fn(id, "internet-gateway", &x.Tags)
	}
	for id, x := range r.Addresses {
		fn(id, "elastic-ip", &x.Tags)
	}
	for id, x := range r.LaunchTemplates {
		fn(id, "launch-template", &x.Tags)
	}
}

func findTagged(tx *core.Tx, ids []string) ([]*state.Tags, error) {
	if len(ids) == 0 {
		return nil, missing("ResourceId")
	}
	all := map[string]*state.Tags{}
	tagged(tx.Region, func(id, _ string, t *state.Tags) { all[id] = t })
	list := make([]*state.Tags, 0, len(ids))
	for _, id := range ids {
		t := all[id]
		if t == nil {
			return nil, noResource(id)
		}
		list = append(list, t)
	}
	return list, nil
}

// noResource is the error of the service that owns ids of that form.
func noResource(id string) error {
	kind, _, _ := strings.Cut(id, "-")
	switch kind {
	case "i":
		return noInstance(id)
	case "ami":
		return noImage(id)
	case "snap":
		return noSnapshot(id)
	case "vol":
		return noVolume(id)
	case "sg":
		return noGroup(id)
	case "vpc":
		return noVpc(id)
	case "subnet":
		return noSubnet(id)
	case "rtb":
		return noRouteTable(id)
	case "igw":
		return noGateway(id)
	case "eipalloc":
		return noAddress(id)
	case "lt":
		return wire.Errorf("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	return wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
}

// CreateTags adds or overwrites tags.
func CreateTags(tx *core.Tx, in *CreateTagsInput) (*Done, error) {
	list, err := findTagged(tx, in.Resources)
	if err != nil {
		return nil, err
	}
	if len(in.Tags) == 0 {
		return nil, missing("Tag")
	}
	if err := checkTags([]TagSpecification{{ResourceType: "any", Tags: in.Tags}}, "any"); err != nil {
		return nil, err
	}
	for _, t := range list {
		if *t == nil {
			*t = state.Tags{}
		}
		for _, tag := range in.Tags {
			(*t)[tag.Key] = tag.Value
		}
		if len(*t) > 60 { // 50 of the user's and some of AWS's
			return nil, wire.Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
		}
	}
	return done, nil
}

// DeleteTags removes tags.
func DeleteTags(tx *core.Tx, in *DeleteTagsInput) (*Done, error) {
	list, err := findTagged(tx, in.Resources)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if len(in.Tags) == 0 {
			for k := range *t {
				if !strings.HasPrefix(k, "aws:") {
					delete(*t, k)
				}
			}
		}
		for _, tag := range in.Tags {
			if tag.Value == nil || (*t)[tag.Key] == *tag.Value {
				delete(*t, tag.Key)
			}
		}
	}
	return done, nil
}

// DescribeTags lists tags of all resources.
func DescribeTags(tx *core.Tx, in *DescribeTagsInput) (*DescribeTagsOutput, error) {
	all := map[string]TagDescription{}
	tagged(tx.Region, func(id, kind string, t *state.Tags) {
		for k, v := range *t {
			all[id+"\x00"+k] = TagDescription{ResourceId: id, ResourceType: kind, Key: k, Value: v}
		}
	})
	list, err := filter(values(all), in.Filters, func(d TagDescription) state.Tags { return state.Tags{d.Key: d.Value} }, func(d TagDescription) attrs {
		return attrs{"key": one(d.Key), "value": one(d.Value), "resource-id": one(d.ResourceId), "resource-type": one(d.ResourceType)}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(d TagDescription) string { return d.ResourceId + "\x00" + d.Key }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeTagsOutput{Tags: list, NextToken: next}, nil
}

// reserved refuses tags that only AWS itself may set, anywhere in a request.
// Services of the lab call the functions directly and may set them.
func reserved(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return reserved(v.Elem())
		}
	case reflect.Slice:
		for k := range v.Len() {
			if err := reserved(v.Index(k)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if t, ok := v.Interface().(Tag); ok {
			if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
				return wire.Errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
			}
			return nil
		}
		for k := range v.NumField() {
			if f := v.Type().Field(k); f.IsExported() && f.Type.PkgPath() != "time" {
				if err := reserved(v.Field(k)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
