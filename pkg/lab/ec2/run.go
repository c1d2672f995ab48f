package ec2

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// maxInstances is how many instances may live in a region: the quota of a new account, more or less.
const maxInstances = 32

// maxUserData is EC2's limit, before base64.
const maxUserData = 16 << 10

var imageID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

// launch is a RunInstances request with its launch template laid under it and all references looked up.
type launch struct {
	RequestLaunchTemplateData
	image     *state.Image
	subnet    *state.Subnet
	groups    []string
	public    bool
	profile   string
	userData  []byte
	template  string
	version   string
	instances state.Tags
	volumes   state.Tags
	least     int64
	most      int64
}

// RunInstances starts instances. With a ClientToken that was used before it
// answers with what that call started.
func RunInstances(tx *core.Tx, in *RunInstancesInput) (*RunInstancesOutput, error) {
	if in.ClientToken != "" {
		if out, err := repeated(tx, in); out != nil || err != nil {
			return out, err
		}
	}
	l, err := resolve(tx, in)
	if err != nil {
		return nil, err
	}
	alive := int64(0)
	for _, i := range tx.Region.Instances {
		if i.State != "terminated" && i.State != "shutting-down" {
			alive++
		}
	}
	if alive+l.least > maxInstances {
		return nil, wire.Errorf("InstanceLimitExceeded", "Your quota allows for %d more running instance(s). You requested at least %d.", max(maxInstances-alive, 0), l.least)
	}
	n := min(l.most, maxInstances-alive)
	if f := tx.Fault(core.FaultNoCapacity, l.attrs(tx)); f != nil {
		return nil, &wire.Error{Code: "InsufficientInstanceCapacity", Status: 500, Message: fmt.Sprintf("We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", l.InstanceType, l.subnet.AZ)}
	}
	reservation := tx.ID("r")
	var made []*state.Instance
	for k := range n {
		ip, err := nextHost(tx, l.subnet)
		if err != nil {
			if int64(len(made)) >= l.least {
				break
			}
			for _, i := range made {
				delete(tx.Region.Instances, i.ID)
				delete(tx.Region.Volumes, i.VolumeID)
			}
			return nil, err
		}
		made = append(made, l.instance(tx, reservation, in.ClientToken, ip, k))
	}
	tx.Changed()
	return showReservation(tx, made), nil
}

func repeated(tx *core.Tx, in *RunInstancesInput) (*RunInstancesOutput, error) {
	var same []*state.Instance
	for _, i := range values(tx.Region.Instances) {
		if i.ClientToken == in.ClientToken {
			same = append(same, i)
		}
	}
	if len(same) == 0 {
		return nil, nil
	}
	if in.ImageId != "" && same[0].ImageID != in.ImageId || in.InstanceType != "" && same[0].Type != in.InstanceType {
		return nil, wire.Errorf("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	slices.SortFunc(same, func(a, b *state.Instance) int { return int(a.LaunchIndex - b.LaunchIndex) })
	return showReservation(tx, same), nil
}

func resolve(tx *core.Tx, in *RunInstancesInput) (*launch, error) {
	l := &launch{}
	if in.LaunchTemplate != nil && *in.LaunchTemplate != (LaunchTemplateSpecification{}) {
		t, v, err := FindLaunchTemplateVersion(tx, in.LaunchTemplate.LaunchTemplateId, in.LaunchTemplate.LaunchTemplateName, in.LaunchTemplate.Version)
		if err != nil {
			return nil, err
		}
		l.RequestLaunchTemplateData = versionData(v)
		l.template, l.version = t.ID, fmt.Sprint(v.Number)
	}
	l.overlay(in)
	if in.MinCount == nil || in.MaxCount == nil {
		return nil, missing("MinCount and MaxCount")
	}
	l.least, l.most = *in.MinCount, *in.MaxCount
	if l.least < 1 || l.most < l.least {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Must be at least 1 and at most maxCount (%d).", l.least, l.most)
	}
	specs := slices.Concat(l.TagSpecifications, in.TagSpecifications)
	if err := checkTags(specs, "instance", "volume", "network-interface"); err != nil {
		return nil, err
	}
	l.instances, l.volumes = tagsFor("instance", specs), tagsFor("volume", specs)
	for _, check := range []func(*core.Tx) error{l.findImage, l.findPlace, l.findGroups, l.findRest} {
		if err := check(tx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// overlay lays what the request says over what the launch template says.
func (l *launch) overlay(in *RunInstancesInput) {
	text := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	text(&l.ImageId, in.ImageId)
	text(&l.InstanceType, in.InstanceType)
	text(&l.KeyName, in.KeyName)
	text(&l.UserData, in.UserData)
	text(&l.InstanceInitiatedShutdownBehavior, in.InstanceInitiatedShutdownBehavior)
	if len(in.SecurityGroupIds)+len(in.SecurityGroups) > 0 {
		l.SecurityGroupIds, l.SecurityGroups = in.SecurityGroupIds, in.SecurityGroups
	}
	if len(in.NetworkInterfaces) > 0 {
		l.NetworkInterfaces = in.NetworkInterfaces
	}
	if in.SubnetId != "" {
		// An Auto Scaling group names the subnet beside a template that asks for
		// a public address on the interface: the subnet belongs to that interface.
		if len(l.NetworkInterfaces) == 0 {
			l.NetworkInterfaces = []NetworkInterfaceSpecification{{Groups: l.SecurityGroupIds}}
			l.SecurityGroupIds = nil
		} else {
			l.NetworkInterfaces = slices.Clone(l.NetworkInterfaces)
		}
		l.NetworkInterfaces[0].SubnetId = in.SubnetId
	}
	if len(in.BlockDeviceMappings) > 0 {
		l.BlockDeviceMappings = in.BlockDeviceMappings
	}
	if p := in.IamInstanceProfile; p != nil && *p != (ProfileSpecification{}) {
		l.IamInstanceProfile = p
	}
	if in.MetadataOptions != nil {
		l.MetadataOptions = in.MetadataOptions
	}
	if in.Monitoring != nil {
		l.Monitoring = in.Monitoring
	}
	if p := in.Placement; p != nil && *p != (PlacementRequest{}) {
		l.Placement = p
	}
	if in.DisableApiTermination != nil {
		l.DisableApiTermination = in.DisableApiTermination
	}
	if in.DisableApiStop != nil {
		l.DisableApiStop = in.DisableApiStop
	}
	if in.EbsOptimized != nil {
		l.EbsOptimized = in.EbsOptimized
	}
}

func (l *launch) findImage(tx *core.Tx) error {
	if l.ImageId == "" {
		return missing("ImageId")
	}
	img, err := findImage(tx, l.ImageId)
	if err != nil {
		return err
	}
	if img.State != "available" {
		return wire.Errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", img.ID)
	}
	l.image = img
	if l.InstanceType == "" {
		l.InstanceType = "t3.micro"
	}
	if !KnownInstanceType(l.InstanceType) {
		return wire.Errorf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.InstanceType)
	}
	return nil
}

func (l *launch) findPlace(tx *core.Tx) error {
	if len(l.NetworkInterfaces) > 1 {
		return wire.Errorf("InvalidParameterValue", "The lab's instances have one network interface")
	}
	az := ""
	if l.Placement != nil {
		az = l.Placement.AvailabilityZone
	}
	if az != "" && !isZone(tx.Region.Name, az) {
		return wire.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", az)
	}
	id := ""
	if len(l.NetworkInterfaces) == 1 {
		id = l.NetworkInterfaces[0].SubnetId
		if len(l.NetworkInterfaces[0].Groups) > 0 && len(l.SecurityGroupIds) > 0 {
			return wire.Errorf("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
		}
	}
	if id != "" {
		if l.subnet = tx.Region.Subnets[id]; l.subnet == nil {
			return noSubnet(id)
		}
		if az != "" && l.subnet.AZ != az {
			return wire.Errorf("InvalidParameterValue", "The availability zone '%s' does not match the subnet '%s'", az, id)
		}
	} else {
		v := defaultVpc(tx)
		if v == nil {
			return wire.Errorf("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
		}
		for _, s := range values(tx.Region.Subnets) {
			if s.VPCID == v.ID && (az == "" || s.AZ == az) && (l.subnet == nil || s.AZ < l.subnet.AZ) {
				l.subnet = s
			}
		}
		if l.subnet == nil {
			return wire.Errorf("MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", v.ID)
		}
	}
	l.public = l.subnet.PublicOnLaunch
	if len(l.NetworkInterfaces) == 1 && l.NetworkInterfaces[0].AssociatePublicIpAddress != nil {
		l.public = *l.NetworkInterfaces[0].AssociatePublicIpAddress
	}
	return nil
}

func (l *launch) findGroups(tx *core.Tx) error {
	ids := slices.Clone(l.SecurityGroupIds)
	if len(l.NetworkInterfaces) == 1 {
		ids = append(ids, l.NetworkInterfaces[0].Groups...)
	}
	for _, name := range l.SecurityGroups {
		g, err := findGroup(tx, "", name)
		if err != nil {
			return err
		}
		ids = append(ids, g.ID)
	}
	for _, id := range ids {
		g := tx.Region.SecurityGroups[id]
		if g == nil {
			return noGroup(id)
		}
		if g.VPCID != l.subnet.VPCID {
			return wire.Errorf("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, l.subnet.ID)
		}
	}
	if len(ids) == 0 {
		ids = []string{DefaultSecurityGroup(tx, l.subnet.VPCID)}
	}
	l.groups = ids
	return nil
}

func (l *launch) findRest(tx *core.Tx) error {
	if l.KeyName != "" && tx.Region.KeyPairs[l.KeyName] == nil {
		return wire.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", l.KeyName)
	}
	data, err := base64.StdEncoding.DecodeString(l.UserData)
	if err != nil {
		return wire.Errorf("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return wire.Errorf("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	l.userData = data
	switch l.InstanceInitiatedShutdownBehavior {
	case "":
		l.InstanceInitiatedShutdownBehavior = "stop"
	case "stop", "terminate":
	default:
		return wire.Errorf("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid.", l.InstanceInitiatedShutdownBehavior)
	}
	if m := l.MetadataOptions; m != nil && m.HttpTokens != "" && m.HttpTokens != "required" && m.HttpTokens != "optional" {
		return wire.Errorf("InvalidParameterValue", "Value (%s) for parameter HttpTokens is invalid.", m.HttpTokens)
	}
	if p := l.IamInstanceProfile; p != nil {
		name := p.Name
		if p.Arn != "" {
			name = p.Arn[strings.LastIndex(p.Arn, "/")+1:]
		}
		if tx.World.Profiles[name] == nil {
			return wire.Errorf("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
		}
		l.profile = name
	}
	for _, b := range l.BlockDeviceMappings {
		if b.DeviceName != l.image.RootDevice {
			return wire.Errorf("InvalidBlockDeviceMapping", "The lab's instances have their root device %s and no other, not '%s'", l.image.RootDevice, b.DeviceName)
		}
		if b.Ebs != nil && b.Ebs.VolumeSize != nil && *b.Ebs.VolumeSize < l.image.SizeGiB {
			return wire.Errorf("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", *b.Ebs.VolumeSize, l.image.SnapshotID, l.image.SizeGiB)
		}
	}
	return nil
}

// attrs are what a fault can match of a machine.
func (l *launch) attrs(tx *core.Tx) map[string]string {
	a := map[string]string{
		"image": l.image.ID, "type": l.InstanceType, "zone": l.subnet.AZ, "region": tx.Region.Name, "subnet": l.subnet.ID, "key": l.KeyName,
		"stack": l.instances["aws:cloudformation:stack-name"], "logical": l.instances["aws:cloudformation:logical-id"],
		"group": l.instances["aws:autoscaling:groupName"], "image-name": l.image.Name,
		"template": l.template, "version": l.version,
	}
	for k, v := range l.instances {
		a["tag:"+k] = v
	}
	return a
}

func (l *launch) instance(tx *core.Tx, reservation, token, ip string, index int64) *state.Instance {
	i := &state.Instance{
		ID: tx.ID("i"), ImageID: l.image.ID, Type: l.InstanceType, State: "pending", ReservationID: reservation, ClientToken: token, KeyName: l.KeyName,
		SubnetID: l.subnet.ID, VPCID: l.subnet.VPCID, AZ: l.subnet.AZ, PrivateIP: ip, ENI: tx.ID("eni"), SecurityGroups: l.groups, UserData: l.UserData,
		ShutdownBehavior: l.InstanceInitiatedShutdownBehavior, MetadataTokens: "optional", MetadataHops: 1, Profile: l.profile, Launched: tx.Now,
		VolumeID: tx.ID("vol"), Group: l.instances["aws:autoscaling:groupName"], LaunchTemplate: l.template, LaunchTemplateVersion: l.version,
		Tags: state.Tags{}, SystemStatus: "initializing", InstanceStatus: "initializing", WantPublic: l.public, LaunchIndex: index,
		TerminationGuard: yes(l.DisableApiTermination), StopGuard: yes(l.DisableApiStop), EbsOptimized: yes(l.EbsOptimized),
		Monitoring: l.Monitoring != nil && yes(l.Monitoring.Enabled),
	}
	for k, v := range l.instances {
		i.Tags[k] = v
	}
	if l.template != "" {
		i.Tags["aws:ec2launchtemplate:id"], i.Tags["aws:ec2launchtemplate:version"] = l.template, l.version
	}
	if l.image.Imds == "v2.0" {
		i.MetadataTokens, i.MetadataHops = "required", 2
	}
	if m := l.MetadataOptions; m != nil {
		if m.HttpTokens != "" {
			i.MetadataTokens = m.HttpTokens
		}
		if m.HttpPutResponseHopLimit != nil {
			i.MetadataHops = *m.HttpPutResponseHopLimit
		}
		i.InstanceTags = m.InstanceMetadataTags
	}
	if f := tx.Fault(core.FaultMachine, l.attrs(tx)); f != nil {
		i.Fault = runtime.Fault{
			BootDelay: core.FaultDuration(f, "delay"), Never: core.FaultFlag(f, "never"), DieAfter: core.FaultDuration(f, "die"),
			Broken: core.FaultFlag(f, "broken"), Script: f.Args["script"],
		}
	}
	v := &state.Volume{
		ID: i.VolumeID, InstanceID: i.ID, Device: l.image.RootDevice, SnapshotID: l.image.SnapshotID, AZ: i.AZ, State: "in-use",
		SizeGiB: max(l.image.SizeGiB, 1), Encrypted: l.image.Encrypted, Created: tx.Now, Tags: state.Tags{},
	}
	for k, val := range l.volumes {
		v.Tags[k] = val
	}
	for _, b := range l.BlockDeviceMappings {
		if b.Ebs != nil && b.Ebs.VolumeSize != nil {
			v.SizeGiB = *b.Ebs.VolumeSize
		}
		if b.Ebs != nil && yes(b.Ebs.Encrypted) {
			v.Encrypted = true
		}
	}
	tx.Region.Volumes[v.ID] = v
	tx.Region.Instances[i.ID] = i
	if i.WantPublic {
		i.PublicIP = freePublicIP(tx)
	}
	return i
}

// freePublicIP is an address no instance of any region has; "" when all are taken.
func freePublicIP(tx *core.Tx) string {
	used := map[string]bool{}
	for _, r := range tx.World.Regions {
		for _, i := range r.Instances {
			used[i.PublicIP] = true
		}
		for _, d := range r.DBInstances {
			used[d.PublicIP] = true
		}
	}
	return freeIP(instanceNet, used)
}
