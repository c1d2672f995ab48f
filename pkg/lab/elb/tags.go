package elb

import (
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// tagsOf finds the tags of each resource, or AWS's error for the first that is not there.
func tagsOf(tx *core.Tx, arns []string) ([]*state.Tags, error) {
	var out []*state.Tags
	for _, arn := range arns {
		switch {
		case tx.Region.LoadBalancers[arn] != nil:
			out = append(out, &tx.Region.LoadBalancers[arn].Tags)
		case tx.Region.TargetGroups[arn] != nil:
			out = append(out, &tx.Region.TargetGroups[arn].Tags)
		case tx.Region.Listeners[arn] != nil:
			out = append(out, &tx.Region.Listeners[arn].Tags)
		case strings.Contains(arn, ":loadbalancer/"):
			return nil, wire.Errorf("LoadBalancerNotFound", "One or more load balancers not found")
		case strings.Contains(arn, ":targetgroup/"):
			return nil, wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
		case strings.Contains(arn, ":listener/"):
			return nil, wire.Errorf("ListenerNotFound", "One or more listeners not found")
		default:
			return nil, wire.Errorf("ValidationError", "'%s' is not a valid load balancer, listener or target group ARN", arn)
		}
	}
	return out, nil
}

// AddTags sets tags.
func AddTags(tx *core.Tx, in *AddTagsInput) (*AddTagsOutput, error) {
	all, err := tagsOf(tx, in.ResourceArns)
	if err != nil {
		return nil, err
	}
	for _, tags := range all {
		if *tags == nil {
			*tags = state.Tags{}
		}
		for _, t := range in.Tags {
			(*tags)[t.Key] = t.Value
		}
	}
	return &AddTagsOutput{}, nil
}

// RemoveTags takes tags away.
func RemoveTags(tx *core.Tx, in *RemoveTagsInput) (*RemoveTagsOutput, error) {
	all, err := tagsOf(tx, in.ResourceArns)
	if err != nil {
		return nil, err
	}
	for _, tags := range all {
		for _, k := range in.TagKeys {
			delete(*tags, k)
		}
	}
	return &RemoveTagsOutput{}, nil
}

// DescribeTags tells the tags of each resource.
func DescribeTags(tx *core.Tx, in *DescribeTagsInput) (*DescribeTagsOutput, error) {
	all, err := tagsOf(tx, in.ResourceArns)
	if err != nil {
		return nil, err
	}
	out := &DescribeTagsOutput{}
	for i, tags := range all {
		d := TagDescription{ResourceArn: in.ResourceArns[i]}
		for _, k := range sortedKeys(*tags) {
			d.Tags = append(d.Tags, Tag{Key: k, Value: (*tags)[k]})
		}
		out.TagDescriptions = append(out.TagDescriptions, d)
	}
	return out, nil
}
