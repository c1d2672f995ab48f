package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var stateCodes = map[string]int64{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

func showState(name string) InstanceState { return InstanceState{Code: stateCodes[name], Name: name} }

func noInstance(id string) error {
	return wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// findInstances returns the instances of these ids, or an error that names the ones it does not have.
func findInstances(tx *core.Tx, ids []string) ([]*state.Instance, error) {
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	var list []*state.Instance
	var unknown []string
	for _, id := range ids {
		if !strings.HasPrefix(id, "i-") {
			return nil, wire.Errorf("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
		}
		if i := tx.Region.Instances[id]; i != nil {
			list = append(list, i)
		} else {
			unknown = append(unknown, id)
		}
	}
	switch len(unknown) {
	case 0:
		return list, nil
	case 1:
		return nil, noInstance(unknown[0])
	}
	return nil, wire.Errorf("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(unknown, ", "))
}

// DescribeInstances lists instances, those terminated a while ago included.
func DescribeInstances(tx *core.Tx, in *DescribeInstancesInput) (*DescribeInstancesOutput, error) {
	list := values(tx.Region.Instances)
	if len(in.InstanceIds) > 0 {
		var err error
		if list, err = findInstances(tx, in.InstanceIds); err != nil {
			return nil, err
		}
	}
	list, err := filter(list, in.Filters, func(i *state.Instance) state.Tags { return i.Tags }, func(i *state.Instance) attrs { return instanceAttrs(tx, i) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b *state.Instance) int { return strings.Compare(a.ReservationID, b.ReservationID) })
	list, next, err := core.Page(tx, list, func(i *state.Instance) string { return i.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeInstancesOutput{NextToken: next}
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].ReservationID == list[0].ReservationID {
			n++
		}
		out.Reservations = append(out.Reservations, *showReservation(tx, list[:n]))
		list = list[n:]
	}
	return out, nil
}

func instanceAttrs(tx *core.Tx, i *state.Instance) attrs {
	return attrs{
		"instance-id": one(i.ID), "image-id": one(i.ImageID), "instance-type": one(i.Type), "instance-state-name": one(i.State),
		"instance-state-code": one(fmt.Sprint(stateCodes[i.State])), "vpc-id": one(i.VPCID), "subnet-id": one(i.SubnetID), "availability-zone": one(i.AZ),
		"private-ip-address": one(i.PrivateIP), "ip-address": one(i.PublicIP), "key-name": one(i.KeyName), "reservation-id": one(i.ReservationID),
		"client-token": one(i.ClientToken), "instance.group-id": i.SecurityGroups, "group-id": i.SecurityGroups, "architecture": one("x86_64"),
		"network-interface.network-interface-id": one(i.ENI), "launch-time": one(wire.Time(i.Launched)), "owner-id": one(tx.World.Account),
		"root-device-type": one("ebs"), "iam-instance-profile.arn": one(profileARN(tx, i.Profile)), "block-device-mapping.volume-id": one(i.VolumeID),
		"private-dns-name": one(PrivateDNSName(tx.Region.Name, i.PrivateIP)), "dns-name": one(publicName(tx, i)), "state-reason-code": one(i.StateCode),
		"instance-lifecycle": nil, "metadata-options.http-tokens": one(i.MetadataTokens),
	}
}

// PrivateDNSName is the name of a private address inside of its VPC.
func PrivateDNSName(region, ip string) string {
	if ip == "" {
		return ""
	}
	suffix := "." + region + ".compute.internal"
	if region == "us-east-1" {
		suffix = ".ec2.internal"
	}
	return hostname(ip) + suffix
}

func hostname(ip string) string { return "ip-" + strings.ReplaceAll(ip, ".", "-") }

func publicName(tx *core.Tx, i *state.Instance) string {
	v := tx.Region.VPCs[i.VPCID]
	if i.PublicIP == "" || v == nil || !v.DNSHostnames {
		return ""
	}
	return PublicDNSName(tx.Region.Name, i.PublicIP)
}

func profileARN(tx *core.Tx, name string) string {
	if p := tx.World.Profiles[name]; p != nil {
		return p.ARN
	}
	return ""
}

func showReservation(tx *core.Tx, list []*state.Instance) *Reservation {
	r := &Reservation{ReservationId: list[0].ReservationID, OwnerId: tx.World.Account}
	for _, i := range list {
		r.Instances = append(r.Instances, showInstance(tx, i))
	}
	return r
}

func showInstance(tx *core.Tx, i *state.Instance) Instance {
	out := Instance{
		InstanceId: i.ID, ImageId: i.ImageID, InstanceType: i.Type, KeyName: i.KeyName, Architecture: "x86_64", ClientToken: i.ClientToken,
		State: showState(i.State), StateTransitionReason: i.TransitionReason, LaunchTime: i.Launched, AmiLaunchIndex: i.LaunchIndex,
		Placement: Placement{AvailabilityZone: i.AZ, Tenancy: "default"}, Monitoring: Monitoring{State: "disabled"},
		RootDeviceName: "/dev/xvda", RootDeviceType: "ebs", VirtualizationType: "hvm", Hypervisor: "xen", EnaSupport: true, EbsOptimized: i.EbsOptimized,
		MetadataOptions: InstanceMetadataOptions{State: "applied", HttpTokens: i.MetadataTokens, HttpEndpoint: "enabled", HttpPutResponseHopLimit: i.MetadataHops},
		PlatformDetails: "Linux/UNIX", UsageOperation: "RunInstances", Tags: tagList(i.Tags),
	}
	if i.Monitoring {
		out.Monitoring.State = "enabled"
	}
	if i.StateReason != "" {
		out.StateReason = &StateReason{Code: i.StateCode, Message: i.StateReason}
	}
	if i.Profile != "" {
		if p := tx.World.Profiles[i.Profile]; p != nil {
			out.IamInstanceProfile = &IamInstanceProfile{Arn: p.ARN, Id: p.ID}
		}
	}
	if i.State == "terminated" {
		return out // EC2 keeps little of it
	}
	out.SubnetId, out.VpcId, out.SourceDestCheck = i.SubnetID, i.VPCID, true
	out.PrivateIpAddress, out.PrivateDnsName = i.PrivateIP, PrivateDNSName(tx.Region.Name, i.PrivateIP)
	out.PublicIpAddress, out.PublicDnsName = i.PublicIP, publicName(tx, i)
	for _, id := range i.SecurityGroups {
		g := GroupIdentifier{GroupId: id}
		if sg := tx.Region.SecurityGroups[id]; sg != nil {
			g.GroupName = sg.Name
		}
		out.SecurityGroups = append(out.SecurityGroups, g)
	}
	if v := tx.Region.Volumes[i.VolumeID]; v != nil {
		out.RootDeviceName = v.Device
		out.BlockDeviceMappings = []InstanceBlockDeviceMapping{{
			DeviceName: v.Device,
			Ebs:        EbsInstanceBlockDevice{VolumeId: v.ID, Status: "attached", DeleteOnTermination: true, AttachTime: v.Created},
		}}
	}
	for _, v := range values(tx.Region.Volumes) {
		if v.Data && v.InstanceID == i.ID {
			out.BlockDeviceMappings = append(out.BlockDeviceMappings, InstanceBlockDeviceMapping{
				DeviceName: v.Device, Ebs: EbsInstanceBlockDevice{VolumeId: v.ID, Status: v.Attachment, AttachTime: v.Attached},
			})
		}
	}
	n := InstanceNetworkInterface{
		NetworkInterfaceId: i.ENI, SubnetId: i.SubnetID, VpcId: i.VPCID, OwnerId: tx.World.Account, Status: "in-use", MacAddress: mac(i.PrivateIP),
		PrivateIpAddress: i.PrivateIP, PrivateDnsName: out.PrivateDnsName, InterfaceType: "interface", SourceDestCheck: true, Groups: out.SecurityGroups,
		Attachment: InstanceNetworkInterfaceAttachment{AttachmentId: "eni-attach-" + strings.TrimPrefix(i.ENI, "eni-"), Status: "attached", DeleteOnTermination: true, AttachTime: i.Launched},
	}
	if i.PublicIP != "" {
		n.Association = &InstanceNetworkInterfaceAssociation{PublicIp: i.PublicIP, PublicDnsName: out.PublicDnsName, IpOwnerId: "amazon"}
	}
	n.PrivateIpAddresses = []InstancePrivateIpAddress{{PrivateIpAddress: i.PrivateIP, Primary: true, Association: n.Association}}
	out.NetworkInterfaces = []InstanceNetworkInterface{n}
	return out
}

// mac is made of the address, as some real clouds do.
func mac(ip string) string {
	var b [4]int
	_, _ = fmt.Sscanf(ip, "%d.%d.%d.%d", &b[0], &b[1], &b[2], &b[3])
	return fmt.Sprintf("0a:58:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

func change(i *state.Instance, to string) InstanceStateChange {
	c := InstanceStateChange{InstanceId: i.ID, PreviousState: showState(i.State), CurrentState: showState(to)}
	i.State = to
	return c
}

// TerminateInstances ends instances for good. Terminating twice is no error.
func TerminateInstances(tx *core.Tx, in *InstancesInput) (*TerminateInstancesOutput, error) {
	list, err := findInstances(tx, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.TerminationGuard && i.State != "terminated" {
			return nil, wire.Errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
	}
	out := &TerminateInstancesOutput{}
	for _, i := range list {
		to := "shutting-down"
		if i.State == "terminated" {
			to = "terminated"
		} else if i.State != "shutting-down" {
			i.StateCode, i.StateReason = "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
			i.TransitionReason = "User initiated (" + tx.Now.Format("2006-01-02 15:04:05 GMT") + ")"
			terminating(tx, i)
		}
		out.TerminatingInstances = append(out.TerminatingInstances, change(i, to))
	}
	tx.Changed()
	return out, nil
}

// terminating takes the addresses away; the machine goes in Step.
func terminating(tx *core.Tx, i *state.Instance) {
	releasePublic(tx, i)
	i.Reboot = false
	if i.State == "pending" { // a boot is worth nothing any more; a save is
		tx.Cancel(machineJob(i.ID))
	}
}

// releasePublic takes the public address away, and frees an Elastic IP.
func releasePublic(tx *core.Tx, i *state.Instance) {
	for _, a := range tx.Region.Addresses {
		if a.InstanceID == i.ID {
			a.AssociationID, a.InstanceID, a.ENI = "", "", ""
		}
	}
	i.PublicIP = ""
}

// StopInstances shuts machines down and keeps their disks.
func StopInstances(tx *core.Tx, in *InstancesInput) (*StopInstancesOutput, error) {
	list, err := findInstances(tx, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		switch i.State {
		case "running", "stopping", "stopped":
		default:
			return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be stopped.", i.ID)
		}
		if i.StopGuard {
			return nil, wire.Errorf("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.ID)
		}
	}
	out := &StopInstancesOutput{}
	for _, i := range list {
		to := i.State
		if to == "running" {
			to = "stopping"
			i.Reboot = false
			i.StateCode, i.StateReason = "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
			i.TransitionReason = "User initiated (" + tx.Now.Format("2006-01-02 15:04:05 GMT") + ")"
		}
		out.StoppingInstances = append(out.StoppingInstances, change(i, to))
	}
	tx.Changed()
	return out, nil
}

// StartInstances boots stopped machines again.
func StartInstances(tx *core.Tx, in *InstancesInput) (*StartInstancesOutput, error) {
	list, err := findInstances(tx, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		switch i.State {
		case "running", "pending", "stopped":
		default:
			return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
		}
	}
	out := &StartInstancesOutput{}
	for _, i := range list {
		to := i.State
		if to == "stopped" {
			to = "pending"
			i.Launched, i.StateCode, i.StateReason, i.TransitionReason = tx.Now, "", "", ""
			i.SystemStatus, i.InstanceStatus, i.ChecksAt = "initializing", "initializing", time.Time{}
			if i.WantPublic && i.PublicIP == "" {
				i.PublicIP = freePublicIP(tx)
			}
		}
		out.StartingInstances = append(out.StartingInstances, change(i, to))
	}
	tx.Changed()
	return out, nil
}

// RebootInstances stops and starts machines without another state.
func RebootInstances(tx *core.Tx, in *InstancesInput) (*Done, error) {
	list, err := findInstances(tx, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.State != "running" {
			return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be rebooted.", i.ID)
		}
	}
	for _, i := range list {
		i.Reboot = true
	}
	tx.Changed()
	return done, nil
}

// DescribeInstanceStatus tells the status checks of running instances, or of all.
func DescribeInstanceStatus(tx *core.Tx, in *DescribeInstanceStatusInput) (*DescribeInstanceStatusOutput, error) {
	list := values(tx.Region.Instances)
	if len(in.InstanceIds) > 0 {
		var err error
		if list, err = findInstances(tx, in.InstanceIds); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(i *state.Instance) bool { return i.State != "running" && !yes(in.IncludeAllInstances) })
	list, err := filter(list, in.Filters, func(i *state.Instance) state.Tags { return i.Tags }, func(i *state.Instance) attrs {
		return attrs{
			"availability-zone": one(i.AZ), "instance-state-name": one(i.State), "instance-state-code": one(fmt.Sprint(stateCodes[i.State])),
			"instance-status.status": one(status(i, i.InstanceStatus)), "system-status.status": one(status(i, i.SystemStatus)),
			"instance-status.reachability": one(reachability(i, i.InstanceStatus)), "system-status.reachability": one(reachability(i, i.SystemStatus)),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(i *state.Instance) string { return i.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeInstanceStatusOutput{NextToken: next}
	for _, i := range list {
		out.InstanceStatuses = append(out.InstanceStatuses, InstanceStatus{
			InstanceId: i.ID, AvailabilityZone: i.AZ, InstanceState: showState(i.State),
			InstanceStatus: summary(i, i.InstanceStatus), SystemStatus: summary(i, i.SystemStatus),
		})
	}
	return out, nil
}

func status(i *state.Instance, s string) string {
	if i.State != "running" {
		return "not-applicable"
	}
	return s
}

func reachability(i *state.Instance, s string) string {
	return map[string]string{"ok": "passed", "impaired": "failed", "initializing": "initializing", "not-applicable": ""}[status(i, s)]
}

func summary(i *state.Instance, s string) StatusSummary {
	out := StatusSummary{Status: status(i, s)}
	if r := reachability(i, s); r != "" {
		out.Details = []StatusDetail{{Name: "reachability", Status: r}}
	}
	return out
}

// consoleInput is the request with what Fetch found.
type consoleInput struct {
	GetConsoleOutputInput
	text string
}

func fetchConsole(ctx context.Context, r runtime.Runtime, in *consoleInput) {
	if text, err := r.Console(ctx, in.InstanceId); err == nil {
		in.text = text
	}
}

func getConsoleOutput(tx *core.Tx, in *consoleInput) (*GetConsoleOutputOutput, error) {
	if _, err := findInstances(tx, []string{in.InstanceId}); err != nil {
		return nil, err
	}
	return &GetConsoleOutputOutput{InstanceId: in.InstanceId, Timestamp: tx.Now, Output: base64.StdEncoding.EncodeToString([]byte(in.text))}, nil
}

// ModifyInstanceAttribute changes what can be changed of an instance.
func ModifyInstanceAttribute(tx *core.Tx, in *ModifyInstanceAttributeInput) (*Done, error) {
	list, err := findInstances(tx, []string{in.InstanceId})
	if err != nil {
		return nil, err
	}
	i := list[0]
	if in.Attribute != "" { // the older form: Attribute and Value
		v := &AttributeValue{Value: &in.Value}
		on := in.Value == "true"
		b := &AttributeBooleanValue{Value: &on}
		switch in.Attribute {
		case "instanceInitiatedShutdownBehavior":
			in.InstanceInitiatedShutdownBehavior = v
		case "instanceType":
			in.InstanceType = v
		case "userData":
			in.UserData = v
		case "disableApiTermination":
			in.DisableApiTermination = b
		case "disableApiStop":
			in.DisableApiStop = b
		case "sourceDestCheck", "enaSupport", "ebsOptimized":
		default:
			return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
		}
	}
	if (in.InstanceType != nil || in.UserData != nil) && i.State != "stopped" {
		return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	if in.InstanceType != nil && !KnownInstanceType(str(in.InstanceType.Value)) {
		return nil, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", str(in.InstanceType.Value))
	}
	if b := in.InstanceInitiatedShutdownBehavior; b != nil && str(b.Value) != "stop" && str(b.Value) != "terminate" {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid.", str(b.Value))
	}
	for _, id := range in.Groups {
		if g := tx.Region.SecurityGroups[id]; g == nil || g.VPCID != i.VPCID {
			return nil, noGroup(id)
		}
	}
	if in.InstanceType != nil {
		i.Type = *in.InstanceType.Value
	}
	if in.UserData != nil {
		i.UserData = str(in.UserData.Value)
	}
	if in.InstanceInitiatedShutdownBehavior != nil {
		i.ShutdownBehavior = *in.InstanceInitiatedShutdownBehavior.Value
	}
	if in.DisableApiTermination != nil {
		i.TerminationGuard = yes(in.DisableApiTermination.Value)
	}
	if in.DisableApiStop != nil {
		i.StopGuard = yes(in.DisableApiStop.Value)
	}
	if in.EbsOptimized != nil {
		i.EbsOptimized = yes(in.EbsOptimized.Value)
	}
	if len(in.Groups) > 0 {
		i.SecurityGroups = slices.Clone(in.Groups)
	}
	return done, nil
}

// DescribeInstanceAttribute tells one attribute of an instance.
func DescribeInstanceAttribute(tx *core.Tx, in *DescribeInstanceAttributeInput) (*DescribeInstanceAttributeOutput, error) {
	list, err := findInstances(tx, []string{in.InstanceId})
	if err != nil {
		return nil, err
	}
	i := list[0]
	out := &DescribeInstanceAttributeOutput{InstanceId: i.ID}
	switch in.Attribute {
	case "userData":
		out.UserData = &AttributeValue{}
		if i.UserData != "" {
			out.UserData.Value = &i.UserData
		}
	case "instanceType":
		out.InstanceType = &AttributeValue{Value: &i.Type}
	case "instanceInitiatedShutdownBehavior":
		out.InstanceInitiatedShutdownBehavior = &AttributeValue{Value: &i.ShutdownBehavior}
	case "disableApiTermination":
		out.DisableApiTermination = &AttributeBooleanValue{Value: &i.TerminationGuard}
	case "disableApiStop":
		out.DisableApiStop = &AttributeBooleanValue{Value: &i.StopGuard}
	case "groupSet":
		out.Groups = showInstance(tx, i).SecurityGroups
	default:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}
