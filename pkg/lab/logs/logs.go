package logs

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var (
	validName = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	retention = []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

// Service is the CloudWatch Logs API.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "logs" }

// Step has nothing under way.
func (Service) Step(*core.Tx) {}

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("CreateLogGroup", CreateLogGroup),
		core.Act("DeleteLogGroup", DeleteLogGroup),
		core.Act("DescribeLogGroups", DescribeLogGroups),
		core.Act("PutRetentionPolicy", PutRetentionPolicy),
		core.Act("DeleteRetentionPolicy", DeleteRetentionPolicy),
		core.Act("TagResource", TagResource),
		core.Act("UntagResource", UntagResource),
		core.Act("ListTagsForResource", ListTagsForResource),
	}
}

func notFound() error {
	return wire.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
}

func group(tx *core.Tx, name string) (*state.LogGroup, error) {
	if g := tx.Region.LogGroups[name]; g != nil {
		return g, nil
	}
	return nil, notFound()
}

// CreateLogGroup makes a log group.
func CreateLogGroup(tx *core.Tx, in *CreateLogGroupInput) (*CreateLogGroupOutput, error) {
	switch {
	case !validName.MatchString(in.LogGroupName):
		return nil, wire.Errorf("InvalidParameterException", "Value '%s' at 'logGroupName' failed to satisfy constraint: [a-zA-Z0-9_/.#-] with 1 to 512 characters", in.LogGroupName)
	case tx.Region.LogGroups[in.LogGroupName] != nil:
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	case in.LogGroupClass != "" && in.LogGroupClass != "STANDARD":
		return nil, wire.Errorf("InvalidParameterException", "The lab has log groups of class STANDARD only")
	}
	tags := state.Tags{}
	maps.Copy(tags, in.Tags)
	tx.Region.LogGroups[in.LogGroupName] = &state.LogGroup{
		Name: in.LogGroupName, ARN: tx.ARN("logs", "log-group:"+in.LogGroupName), Created: tx.Now, Tags: tags,
	}
	tx.Changed()
	return &CreateLogGroupOutput{}, nil
}

// DeleteLogGroup deletes a log group.
func DeleteLogGroup(tx *core.Tx, in *DeleteLogGroupInput) (*DeleteLogGroupOutput, error) {
	if _, err := group(tx, in.LogGroupName); err != nil {
		return nil, err
	}
	delete(tx.Region.LogGroups, in.LogGroupName)
	tx.Changed()
	return &DeleteLogGroupOutput{}, nil
}

// DescribeLogGroups lists log groups by name.
func DescribeLogGroups(tx *core.Tx, in *DescribeLogGroupsInput) (*DescribeLogGroupsOutput, error) {
	var all []LogGroup
	for _, name := range slices.Sorted(maps.Keys(tx.Region.LogGroups)) {
		if !strings.HasPrefix(name, in.LogGroupNamePrefix) {
			continue
		}
		g := tx.Region.LogGroups[name]
		out := LogGroup{LogGroupName: name, Arn: g.ARN + ":*", LogGroupArn: g.ARN, LogGroupClass: "STANDARD", CreationTime: g.Created.UnixMilli()}
		if g.Retention > 0 {
			out.RetentionInDays = &g.Retention
		}
		all = append(all, out)
	}
	page, next, err := core.Page(tx, all, func(g LogGroup) string { return g.LogGroupName }, in.Limit, 50, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeLogGroupsOutput{LogGroups: page, NextToken: next}, nil
}

// PutRetentionPolicy sets how many days events are kept.
func PutRetentionPolicy(tx *core.Tx, in *PutRetentionPolicyInput) (*PutRetentionPolicyOutput, error) {
	g, err := group(tx, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if in.RetentionInDays == nil || !slices.Contains(retention, *in.RetentionInDays) {
		return nil, wire.Errorf("InvalidParameterException", "retentionInDays must be one of %v", retention)
	}
	g.Retention = *in.RetentionInDays
	tx.Changed()
	return &PutRetentionPolicyOutput{}, nil
}

// DeleteRetentionPolicy keeps events for ever.
func DeleteRetentionPolicy(tx *core.Tx, in *DeleteRetentionPolicyInput) (*DeleteRetentionPolicyOutput, error) {
	g, err := group(tx, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	g.Retention = 0
	tx.Changed()
	return &DeleteRetentionPolicyOutput{}, nil
}

func byARN(tx *core.Tx, arn string) (*state.LogGroup, error) {
	for _, g := range tx.Region.LogGroups {
		if g.ARN == strings.TrimSuffix(arn, ":*") {
			return g, nil
		}
	}
	return nil, notFound()
}

// TagResource sets tags of a log group.
func TagResource(tx *core.Tx, in *TagResourceInput) (*TagResourceOutput, error) {
	g, err := byARN(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	maps.Copy(g.Tags, in.Tags)
	return &TagResourceOutput{}, nil
}

// UntagResource takes tags away.
func UntagResource(tx *core.Tx, in *UntagResourceInput) (*UntagResourceOutput, error) {
	g, err := byARN(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(g.Tags, k)
	}
	return &UntagResourceOutput{}, nil
}

// ListTagsForResource tells the tags of a log group.
func ListTagsForResource(tx *core.Tx, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	g, err := byARN(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &ListTagsForResourceOutput{Tags: maps.Clone(g.Tags)}, nil
}
