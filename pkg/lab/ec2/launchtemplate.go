package ec2

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// ParseLaunchTemplateData reads the property LaunchTemplateData as
// CloudFormation has it after resolving: numbers and booleans may be strings,
// and a property the lab does not know is an error.
func ParseLaunchTemplateData(data map[string]any) (*RequestLaunchTemplateData, error) {
	out := &RequestLaunchTemplateData{}
	if err := wire.Assign(out, data); err != nil {
		return nil, wire.Errorf("InvalidParameterValue", "LaunchTemplateData: %v", err)
	}
	return out, nil
}

// dataMap is the stored form: what was given and nothing else.
func dataMap(d *RequestLaunchTemplateData) (map[string]any, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	prune(m)
	return m, nil
}

func prune(m map[string]any) {
	for k, v := range m {
		switch x := v.(type) {
		case nil:
			delete(m, k)
		case string:
			if x == "" && k != "Value" {
				delete(m, k)
			}
		case map[string]any:
			prune(x)
		case []any:
			for _, e := range x {
				if em, ok := e.(map[string]any); ok {
					prune(em)
				}
			}
			if len(x) == 0 {
				delete(m, k)
			}
		}
	}
}

func versionData(v *state.LaunchTemplateVersion) RequestLaunchTemplateData {
	var d RequestLaunchTemplateData
	b, err := json.Marshal(v.Data)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		panic(fmt.Sprintf("launch template data that the lab itself stored: %v", err))
	}
	return d
}

var templateName = regexp.MustCompile(`^[a-zA-Z0-9()./_-]{3,128}$`)

func findTemplate(tx *core.Tx, id, name string) (*state.LaunchTemplate, error) {
	if id != "" {
		if t := tx.Region.LaunchTemplates[id]; t != nil {
			return t, nil
		}
		return nil, wire.Errorf("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	for _, t := range tx.Region.LaunchTemplates {
		if name != "" && t.Name == name {
			return t, nil
		}
	}
	if name == "" {
		return nil, wire.Errorf("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request.")
	}
	return nil, wire.Errorf("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// FindLaunchTemplateVersion resolves a number, "$Latest", "$Default" or "" (default).
func FindLaunchTemplateVersion(tx *core.Tx, id, name, version string) (*state.LaunchTemplate, *state.LaunchTemplateVersion, error) {
	t, err := findTemplate(tx, id, name)
	if err != nil {
		return nil, nil, err
	}
	n := t.Default
	switch version {
	case "", "$Default":
	case "$Latest":
		n = t.Latest
	default:
		if n, err = strconv.ParseInt(version, 10, 64); err != nil {
			return nil, nil, wire.Errorf("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", version, t.ID)
		}
	}
	for _, v := range t.Versions {
		if v.Number == n {
			return t, v, nil
		}
	}
	return nil, nil, wire.Errorf("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", version, t.ID)
}

// CreateLaunchTemplate makes a template with version 1.
func CreateLaunchTemplate(tx *core.Tx, in *CreateLaunchTemplateInput) (*CreateLaunchTemplateOutput, error) {
	if !templateName.MatchString(in.LaunchTemplateName) {
		return nil, wire.Errorf("InvalidLaunchTemplateName.MalformedException", "Launch template names must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.")
	}
	if in.LaunchTemplateData == nil {
		return nil, missing("LaunchTemplateData")
	}
	if err := checkTags(in.TagSpecifications, "launch-template"); err != nil {
		return nil, err
	}
	for _, t := range tx.Region.LaunchTemplates {
		if t.Name == in.LaunchTemplateName {
			return nil, wire.Errorf("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		}
	}
	if err := checkData(in.LaunchTemplateData); err != nil {
		return nil, err
	}
	data, err := dataMap(in.LaunchTemplateData)
	if err != nil {
		return nil, err
	}
	t := &state.LaunchTemplate{
		ID: tx.ID("lt"), Name: in.LaunchTemplateName, Created: tx.Now, Default: 1, Latest: 1,
		Tags:     tagsFor("launch-template", in.TagSpecifications),
		Versions: []*state.LaunchTemplateVersion{{Number: 1, Description: in.VersionDescription, Created: tx.Now, Data: data}},
	}
	tx.Region.LaunchTemplates[t.ID] = t
	return &CreateLaunchTemplateOutput{LaunchTemplate: showTemplate(tx, t)}, nil
}

// checkData refuses what EC2 refuses in a launch template at once: the AMI and the like are looked at when it is used.
func checkData(d *RequestLaunchTemplateData) error {
	for _, s := range d.TagSpecifications {
		if err := checkTags([]TagSpecification{s}, "instance", "volume", "network-interface"); err != nil {
			return err
		}
	}
	if len(d.NetworkInterfaces) > 0 && (len(d.SecurityGroupIds) > 0 || len(d.SecurityGroups) > 0) {
		return wire.Errorf("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	}
	return nil
}

// CreateLaunchTemplateVersion adds a version; SourceVersion is what the given data is laid over.
func CreateLaunchTemplateVersion(tx *core.Tx, in *CreateLaunchTemplateVersionInput) (*CreateLaunchTemplateVersionOutput, error) {
	t, err := findTemplate(tx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if in.LaunchTemplateData == nil {
		return nil, missing("LaunchTemplateData")
	}
	if err := checkData(in.LaunchTemplateData); err != nil {
		return nil, err
	}
	data, err := dataMap(in.LaunchTemplateData)
	if err != nil {
		return nil, err
	}
	if in.SourceVersion != "" {
		_, src, err := FindLaunchTemplateVersion(tx, t.ID, "", in.SourceVersion)
		if err != nil {
			return nil, err
		}
		merged := map[string]any{}
		for k, v := range src.Data {
			merged[k] = v
		}
		for k, v := range data {
			merged[k] = v
		}
		data = merged
	}
	t.Latest++
	v := &state.LaunchTemplateVersion{Number: t.Latest, Description: in.VersionDescription, Created: tx.Now, Data: data}
	t.Versions = append(t.Versions, v)
	return &CreateLaunchTemplateVersionOutput{LaunchTemplateVersion: showVersion(tx, t, v)}, nil
}

// ModifyLaunchTemplate moves the default version.
func ModifyLaunchTemplate(tx *core.Tx, in *ModifyLaunchTemplateInput) (*CreateLaunchTemplateOutput, error) {
	t, v, err := FindLaunchTemplateVersion(tx, in.LaunchTemplateId, in.LaunchTemplateName, in.DefaultVersion)
	if err != nil {
		return nil, err
	}
	t.Default = v.Number
	return &CreateLaunchTemplateOutput{LaunchTemplate: showTemplate(tx, t)}, nil
}

// DeleteLaunchTemplate removes a template with all its versions.
func DeleteLaunchTemplate(tx *core.Tx, in *DeleteLaunchTemplateInput) (*CreateLaunchTemplateOutput, error) {
	t, err := findTemplate(tx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	delete(tx.Region.LaunchTemplates, t.ID)
	return &CreateLaunchTemplateOutput{LaunchTemplate: showTemplate(tx, t)}, nil
}

// DeleteLaunchTemplateVersions removes versions other than the default one.
func DeleteLaunchTemplateVersions(tx *core.Tx, in *DeleteLaunchTemplateVersionsInput) (*DeleteLaunchTemplateVersionsOutput, error) {
	t, err := findTemplate(tx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if len(in.Versions) == 0 {
		return nil, missing("LaunchTemplateVersion")
	}
	out := &DeleteLaunchTemplateVersionsOutput{}
	for _, number := range in.Versions {
		n, err := strconv.ParseInt(number, 10, 64)
		d := DeletedVersion{LaunchTemplateId: t.ID, LaunchTemplateName: t.Name, VersionNumber: n}
		k := slices.IndexFunc(t.Versions, func(v *state.LaunchTemplateVersion) bool { return v.Number == n })
		switch {
		case err != nil || k < 0:
			d.ResponseError = &StateReason{Code: "launchTemplateVersionDoesNotExist", Message: "Could not find the specified launch template version " + number + "."}
		case n == t.Default:
			d.ResponseError = &StateReason{Code: "unexpectedError", Message: "You cannot delete the default version of a launch template."}
		}
		if d.ResponseError != nil {
			out.UnsuccessfullyDeletedLaunchTemplateVersions = append(out.UnsuccessfullyDeletedLaunchTemplateVersions, d)
			continue
		}
		t.Versions = slices.Delete(t.Versions, k, k+1)
		out.SuccessfullyDeletedLaunchTemplateVersions = append(out.SuccessfullyDeletedLaunchTemplateVersions, d)
	}
	return out, nil
}

// DescribeLaunchTemplates lists templates.
func DescribeLaunchTemplates(tx *core.Tx, in *DescribeLaunchTemplatesInput) (*DescribeLaunchTemplatesOutput, error) {
	ids := slices.Clone(in.LaunchTemplateIds)
	for _, name := range in.LaunchTemplateNames {
		t, err := findTemplate(tx, "", name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, t.ID)
	}
	list, err := pick(tx.Region.LaunchTemplates, ids, func(id string) error {
		_, err := findTemplate(tx, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(t *state.LaunchTemplate) state.Tags { return t.Tags }, func(t *state.LaunchTemplate) attrs {
		return attrs{"launch-template-name": one(t.Name), "create-time": one(wire.Time(t.Created))}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(t *state.LaunchTemplate) string { return t.ID }, in.MaxResults, 200, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeLaunchTemplatesOutput{NextToken: next}
	for _, t := range list {
		out.LaunchTemplates = append(out.LaunchTemplates, showTemplate(tx, t))
	}
	return out, nil
}

// DescribeLaunchTemplateVersions lists versions of one template (newest first), or
// with $Latest and $Default those of all templates.
func DescribeLaunchTemplateVersions(tx *core.Tx, in *DescribeLaunchTemplateVersionsInput) (*DescribeLaunchTemplateVersionsOutput, error) {
	type pair struct {
		t *state.LaunchTemplate
		v *state.LaunchTemplateVersion
	}
	var list []pair
	if in.LaunchTemplateId == "" && in.LaunchTemplateName == "" {
		if len(in.Versions) == 0 {
			return nil, missing("LaunchTemplateId")
		}
		for _, t := range values(tx.Region.LaunchTemplates) {
			for _, ver := range in.Versions {
				if ver != "$Latest" && ver != "$Default" {
					return nil, missing("LaunchTemplateId")
				}
				if _, v, err := FindLaunchTemplateVersion(tx, t.ID, "", ver); err == nil {
					list = append(list, pair{t, v})
				}
			}
		}
	} else {
		t, err := findTemplate(tx, in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		if len(in.Versions) > 0 {
			for _, ver := range in.Versions {
				_, v, err := FindLaunchTemplateVersion(tx, t.ID, "", ver)
				if err != nil {
					return nil, err
				}
				list = append(list, pair{t, v})
			}
		} else {
			least, most := int64(1), t.Latest
			if in.MinVersion != "" {
				least, _ = strconv.ParseInt(in.MinVersion, 10, 64)
			}
			if in.MaxVersion != "" {
				most, _ = strconv.ParseInt(in.MaxVersion, 10, 64)
			}
			for _, v := range slices.Backward(t.Versions) {
				if v.Number >= least && v.Number <= most {
					list = append(list, pair{t, v})
				}
			}
		}
	}
	list, err := filter(list, in.Filters, func(p pair) state.Tags { return p.t.Tags }, func(p pair) attrs {
		d := versionData(p.v)
		return attrs{
			"image-id": one(d.ImageId), "instance-type": one(d.InstanceType), "is-default-version": boolText(p.v.Number == p.t.Default),
			"create-time": one(wire.Time(p.v.Created)),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(p pair) string { return fmt.Sprint(p.t.ID, ".", p.v.Number) }, in.MaxResults, 200, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeLaunchTemplateVersionsOutput{NextToken: next}
	for _, p := range list {
		out.LaunchTemplateVersions = append(out.LaunchTemplateVersions, showVersion(tx, p.t, p.v))
	}
	return out, nil
}

func showTemplate(tx *core.Tx, t *state.LaunchTemplate) LaunchTemplate {
	return LaunchTemplate{
		LaunchTemplateId: t.ID, LaunchTemplateName: t.Name, CreatedBy: "arn:aws:iam::" + tx.World.Account + ":root", CreateTime: t.Created,
		DefaultVersionNumber: t.Default, LatestVersionNumber: t.Latest, Tags: tagList(t.Tags),
	}
}

func showVersion(tx *core.Tx, t *state.LaunchTemplate, v *state.LaunchTemplateVersion) LaunchTemplateVersion {
	d := versionData(v)
	shown := ResponseLaunchTemplateData{
		ImageId: d.ImageId, InstanceType: d.InstanceType, KeyName: d.KeyName, UserData: d.UserData,
		SecurityGroupIds: d.SecurityGroupIds, SecurityGroups: d.SecurityGroups, BlockDeviceMappings: d.BlockDeviceMappings,
		IamInstanceProfile: d.IamInstanceProfile, MetadataOptions: d.MetadataOptions, Monitoring: d.Monitoring, Placement: d.Placement,
		CreditSpecification: d.CreditSpecification, InstanceInitiatedShutdownBehavior: d.InstanceInitiatedShutdownBehavior,
		DisableApiTermination: d.DisableApiTermination, DisableApiStop: d.DisableApiStop, EbsOptimized: d.EbsOptimized,
	}
	for _, n := range d.NetworkInterfaces {
		shown.NetworkInterfaces = append(shown.NetworkInterfaces, LaunchTemplateNetworkInterface(n))
	}
	for _, s := range d.TagSpecifications {
		shown.TagSpecifications = append(shown.TagSpecifications, LaunchTemplateTagSpecificationShown(s))
	}
	return LaunchTemplateVersion{
		LaunchTemplateId: t.ID, LaunchTemplateName: t.Name, CreatedBy: "arn:aws:iam::" + tx.World.Account + ":root",
		VersionDescription: v.Description, VersionNumber: v.Number, DefaultVersion: v.Number == t.Default, CreateTime: v.Created, LaunchTemplateData: shown,
	}
}
