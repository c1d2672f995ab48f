package compute

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Start says what machine to start.
type Start struct {
	Image, Type     string
	KeyName         string
	SecurityGroups  []string // ids
	Subnet          string   // "" is one of the default network
	UserData        string   // as the machine gets it
	TerminateOnHalt bool     // powering off from inside ends it for good
	Token           string   // of the same token there is one machine only
	Tags            Tags     // of machine, volume and interface
}

// StartMachine starts one machine with a public address. It takes no IMDSv1.
func (c *Client) StartMachine(ctx context.Context, s Start) (Machine, error) {
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(s.Image), InstanceType: types.InstanceType(s.Type), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled, HttpPutResponseHopLimit: aws.Int32(1),
		},
		TagSpecifications: s.Tags.on(types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface),
		SecurityGroupIds:  s.SecurityGroups,
	}
	if s.KeyName != "" {
		in.KeyName = aws.String(s.KeyName)
	}
	if s.Token != "" {
		in.ClientToken = aws.String(s.Token)
	}
	if s.UserData != "" {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(s.UserData)))
	}
	if s.TerminateOnHalt {
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
	}
	if s.Subnet != "" {
		// Such a subnet need not give out public addresses by itself.
		in.SecurityGroupIds = nil
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), SubnetId: aws.String(s.Subnet), Groups: s.SecurityGroups,
			AssociatePublicIpAddress: aws.Bool(true), DeleteOnTermination: aws.Bool(true),
		}}
	}
	out, err := c.api.RunInstances(ctx, in)
	if err != nil {
		return Machine{}, fmt.Errorf("start a machine of %s: %w", s.Image, err)
	}
	if len(out.Instances) != 1 {
		return Machine{}, fmt.Errorf("start a machine of %s: EC2 answered %d machines", s.Image, len(out.Instances))
	}
	return machine(out.Instances[0]), nil
}

// Architectures are those that an instance type runs: "x86_64", "arm64".
func (c *Client) Architectures(ctx context.Context, instanceType string) ([]string, error) {
	out, err := c.api.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(instanceType)}})
	if err != nil {
		return nil, fmt.Errorf("describe instance type %s: %w", instanceType, err)
	}
	var list []string
	for _, t := range out.InstanceTypes {
		if t.ProcessorInfo != nil {
			for _, a := range t.ProcessorInfo.SupportedArchitectures {
				list = append(list, string(a))
			}
		}
	}
	return list, nil
}

func machine(i types.Instance) Machine {
	m := Machine{
		ID: aws.ToString(i.InstanceId), Image: aws.ToString(i.ImageId), Launched: aws.ToTime(i.LaunchTime),
		PublicIP: aws.ToString(i.PublicIpAddress), PrivateIP: aws.ToString(i.PrivateIpAddress), KeyName: aws.ToString(i.KeyName),
		Reason: aws.ToString(i.StateTransitionReason), Tags: tags(i.Tags),
	}
	if i.State != nil {
		m.State = string(i.State.Name)
	}
	if i.StateReason != nil && m.Reason == "" {
		m.Reason = aws.ToString(i.StateReason.Message)
	}
	for _, g := range i.SecurityGroups {
		m.SecurityGroups = append(m.SecurityGroups, aws.ToString(g.GroupId))
	}
	// An Auto Scaling group says so by AWS's own tags.
	m.Template, m.TemplateVers = m.Tags["aws:ec2launchtemplate:id"], m.Tags["aws:ec2launchtemplate:version"]
	return m
}

// Find are the machines that have the tags, the ended ones that EC2 still
// tells of included, the oldest first.
func (c *Client) Find(ctx context.Context, t Tags) ([]Machine, error) {
	return c.instances(ctx, &ec2.DescribeInstancesInput{Filters: t.filters()})
}

func (c *Client) instances(ctx context.Context, in *ec2.DescribeInstancesInput) ([]Machine, error) {
	var out []Machine
	for p := ec2.NewDescribeInstancesPaginator(c.api, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe machines: %w", err)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				out = append(out, machine(i))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Machine) int {
		if d := a.Launched.Compare(b.Launched); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// Machine is one machine, nil if EC2 does not know it, or not yet.
func (c *Client) Machine(ctx context.Context, id string) (*Machine, error) {
	list, err := c.instances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if Missing(err) || err == nil && len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// Machines are those of the ids that EC2 knows, with their status checks.
func (c *Client) Machines(ctx context.Context, ids []string) ([]Machine, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	// By a filter, ids that are not there are left out instead of failing all.
	var list []Machine
	for chunk := range slices.Chunk(ids, 100) {
		part, err := c.instances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{filter("instance-id", chunk...)}})
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
		var known []string
		for _, m := range part {
			known = append(known, m.ID)
		}
		if len(known) == 0 {
			continue
		}
		impaired, err := c.impaired(ctx, known)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].Impaired = list[i].Impaired || impaired[list[i].ID]
		}
	}
	return list, nil
}

func (c *Client) impaired(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	in := &ec2.DescribeInstanceStatusInput{InstanceIds: ids, IncludeAllInstances: aws.Bool(true)}
	for p := ec2.NewDescribeInstanceStatusPaginator(c.api, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if Missing(err) {
			return out, nil // it ended between the two calls
		}
		if err != nil {
			return nil, fmt.Errorf("describe the machines' status: %w", err)
		}
		for _, s := range page.InstanceStatuses {
			bad := func(x *types.InstanceStatusSummary) bool {
				return x != nil && x.Status == types.SummaryStatusImpaired
			}
			if bad(s.InstanceStatus) || bad(s.SystemStatus) {
				out[aws.ToString(s.InstanceId)] = true
			}
		}
	}
	return out, nil
}

// Terminate ends machines. Those that are gone already are no error.
func (c *Client) Terminate(ctx context.Context, ids ...string) error {
	var errs []error
	for _, id := range ids {
		if _, err := c.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil && !Missing(err) {
			errs = append(errs, fmt.Errorf("terminate %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// Console is what a machine has written to its console so far. Types that are not
// built on Nitro tell it with minutes of delay.
func (c *Client) Console(ctx context.Context, id string) (string, error) {
	out, err := c.api.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id), Latest: aws.Bool(true)})
	if Code(err) == "UnsupportedOperation" {
		out, err = c.api.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id)})
	}
	if err != nil {
		return "", fmt.Errorf("read the console of %s: %w", id, err)
	}
	b, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return "", fmt.Errorf("read the console of %s: %w", id, err)
	}
	return string(b), nil
}

// Template is one version of a launch template.
type Template struct {
	ID, Version string
	Latest      string // number of the newest version
	Image       string
	Data        json.RawMessage // the whole content; keys sorted
}

// LaunchTemplate reads one version of a launch template; "$Latest" and
// "$Default" are fine. Missing tells an error for one that is not there.
func (c *Client) LaunchTemplate(ctx context.Context, id, version string) (Template, error) {
	versions := []string{version}
	if version != "$Latest" {
		versions = append(versions, "$Latest")
	}
	out, err := c.api.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String(id), Versions: versions})
	if err != nil {
		return Template{}, fmt.Errorf("describe launch template %s version %s: %w", id, version, err)
	}
	t := Template{ID: id}
	latest := int64(0)
	var found *types.LaunchTemplateVersion
	for i, v := range out.LaunchTemplateVersions {
		n := aws.ToInt64(v.VersionNumber)
		latest = max(latest, n)
		switch version {
		case "$Latest":
			found = &out.LaunchTemplateVersions[i]
		case "$Default":
			if aws.ToBool(v.DefaultVersion) {
				found = &out.LaunchTemplateVersions[i]
			}
		case fmt.Sprint(n):
			found = &out.LaunchTemplateVersions[i]
		}
	}
	if found == nil {
		return t, fmt.Errorf("launch template %s has no version %s", id, version)
	}
	t.Version, t.Latest = fmt.Sprint(aws.ToInt64(found.VersionNumber)), fmt.Sprint(latest)
	if found.LaunchTemplateData != nil {
		t.Image = aws.ToString(found.LaunchTemplateData.ImageId)
		b, err := json.Marshal(plain(reflect.ValueOf(found.LaunchTemplateData)))
		if err != nil {
			return t, fmt.Errorf("read launch template %s: %w", id, err)
		}
		t.Data = b
	}
	return t, nil
}

// plain turns an SDK struct into maps and lists without what is not set, whose
// JSON has its keys sorted.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if x := plain(v.Field(i)); x != nil {
					m[f.Name] = x
				}
			}
		}
		if len(m) == 0 {
			return nil
		}
		return m
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		if list == nil {
			return nil
		}
		return list
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return v.String()
	}
	return v.Interface()
}
