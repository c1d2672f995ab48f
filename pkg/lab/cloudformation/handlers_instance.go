package cloudformation

import (
	"maps"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers[typeInstance] = instanceHandler()
	handlers["AWS::EC2::Volume"] = volumeHandler()
	handlers["AWS::EC2::VolumeAttachment"] = volumeAttachmentHandler()
}

// runInstance makes the request of an instance's properties, whose names are
// those of the API but for a few.
func runInstance(c *call) (*ec2.RunInstancesInput, error) {
	in := &ec2.RunInstancesInput{}
	err := assign(in, c.props, "AvailabilityZone", "IamInstanceProfile", "Monitoring", "NetworkInterfaces", "PropagateTagsToVolumeOnCreation",
		"SourceDestCheck", "Tags", "Volumes")
	if err != nil {
		return nil, err
	}
	for _, n := range c.props.maps("NetworkInterfaces") {
		own := maps.Clone(n)
		if own.has("GroupSet") {
			own["Groups"] = own["GroupSet"]
			delete(own, "GroupSet")
		}
		var spec ec2.NetworkInterfaceSpecification
		if err := assign(&spec, own); err != nil {
			return nil, err
		}
		in.NetworkInterfaces = append(in.NetworkInterfaces, spec)
	}
	if p := c.props.text("IamInstanceProfile"); p != "" {
		in.IamInstanceProfile = &ec2.ProfileSpecification{Name: p}
	}
	if on := c.props.flag("Monitoring"); on != nil {
		in.Monitoring = &ec2.MonitoringRequest{Enabled: on}
	}
	if z := c.props.text("AvailabilityZone"); z != "" {
		in.Placement = &ec2.PlacementRequest{AvailabilityZone: z}
	}
	one := int64(1)
	in.MinCount, in.MaxCount = &one, &one
	in.TagSpecifications = ec2.Specify("instance", c.merged())
	if on := c.props.flag("PropagateTagsToVolumeOnCreation"); on != nil && *on {
		in.TagSpecifications = append(in.TagSpecifications, ec2.Specify("volume", c.merged())...)
	}
	return in, nil
}

// instanceHandler makes single instances. A change of type or user data stops
// the machine and starts it again; what cannot be changed makes another one.
func instanceHandler() *handler {
	attach := func(tx *core.Tx, c *call, v properties) error {
		_, err := ec2.AttachVolume(tx, &ec2.AttachVolumeInput{InstanceId: c.id, VolumeId: v.text("VolumeId"), Device: v.text("Device")})
		return err
	}
	return &handler{
		signals: true,
		replaces: func(property string) bool {
			return slices.Contains([]string{"BlockDeviceMappings", "Tenancy"}, property)
		},
		create: func(tx *core.Tx, c *call) (string, error) {
			in, err := runInstance(c)
			if err != nil {
				return "", err
			}
			out, err := ec2.RunInstances(tx, in)
			if err != nil {
				return "", err
			}
			c.data()["attach"] = "true"
			return out.Instances[0].InstanceId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			i := tx.Region.Instances[c.id]
			if i == nil {
				return wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.id)
			}
			in := &ec2.ModifyInstanceAttributeInput{InstanceId: c.id, DisableApiTermination: flagOf(c, "DisableApiTermination")}
			if c.changed("SecurityGroupIds") {
				in.Groups = c.props.texts("SecurityGroupIds")
			}
			if c.changed("InstanceInitiatedShutdownBehavior") {
				behaviour := c.props.text("InstanceInitiatedShutdownBehavior")
				if behaviour == "" {
					behaviour = "stop"
				}
				in.InstanceInitiatedShutdownBehavior = &ec2.AttributeValue{Value: &behaviour}
			}
			if _, err := ec2.ModifyInstanceAttribute(tx, in); err != nil {
				return err
			}
			for _, p := range []string{"IamInstanceProfile", "MetadataOptions", "Monitoring", "Volumes", "LaunchTemplate"} {
				if c.changed(p) {
					return reasonf("The lab does not change %s of an instance that runs", p)
				}
			}
			if c.changed("InstanceType", "UserData", "EbsOptimized") {
				c.data()["restart"] = "stop"
			}
			return retagEC2(tx, c, c.id, i.Tags)
		},
		stable: func(tx *core.Tx, c *call) (bool, error) {
			i := tx.Region.Instances[c.id]
			switch {
			case i == nil || i.State == "terminated" || i.State == "shutting-down":
				text := ""
				if i != nil {
					text = i.StateReason
				}
				return false, reasonf("Instance %s failed to stabilize. Current state: terminated. Reason: %s", c.id, text)
			case c.data()["restart"] == "stop" && i.State == "running":
				_, err := ec2.StopInstances(tx, &ec2.InstancesInput{InstanceIds: []string{c.id}})
				return false, err
			case c.data()["restart"] == "stop" && i.State == "stopped":
				delete(c.data(), "restart")
				kind, data := c.props.text("InstanceType"), c.props.text("UserData")
				in := &ec2.ModifyInstanceAttributeInput{InstanceId: c.id, UserData: &ec2.AttributeValue{Value: &data}}
				if kind != "" {
					in.InstanceType = &ec2.AttributeValue{Value: &kind}
				}
				if _, err := ec2.ModifyInstanceAttribute(tx, in); err != nil {
					return false, err
				}
				_, err := ec2.StartInstances(tx, &ec2.InstancesInput{InstanceIds: []string{c.id}})
				return false, err
			case i.State != "running":
				return false, nil
			case c.data()["attach"] != "":
				delete(c.data(), "attach")
				for _, v := range c.props.maps("Volumes") {
					if err := attach(tx, c, v); err != nil {
						return false, err
					}
				}
			}
			return true, nil
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.TerminateInstances(tx, &ec2.InstancesInput{InstanceIds: []string{c.id}})
			return err
		},
		gone: func(tx *core.Tx, c *call) (bool, error) {
			i := tx.Region.Instances[c.id]
			return i == nil || i.State == "terminated", nil
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out, err := ec2.DescribeInstances(tx, &ec2.DescribeInstancesInput{InstanceIds: []string{c.id}})
			if err != nil || len(out.Reservations) == 0 {
				return nil
			}
			i := out.Reservations[0].Instances[0]
			return map[string]any{
				"InstanceId": c.id, "AvailabilityZone": i.Placement.AvailabilityZone, "PrivateIp": i.PrivateIpAddress, "PrivateDnsName": i.PrivateDnsName,
				"PublicIp": i.PublicIpAddress, "PublicDnsName": i.PublicDnsName, "VpcId": i.VpcId,
			}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			i := tx.Region.Instances[c.id]
			if i == nil || i.State == "terminated" || i.State == "shutting-down" {
				return nil, false
			}
			out := map[string]any{}
			if c.props.has("InstanceType") {
				out["InstanceType"] = i.Type
			}
			if c.props.has("SecurityGroupIds") {
				groups := []any{}
				for _, id := range i.SecurityGroups {
					groups = append(groups, id)
				}
				out["SecurityGroupIds"] = groups
			}
			return out, true
		},
	}
}

func flagOf(c *call, property string) *ec2.AttributeBooleanValue {
	if !c.changed(property) {
		return nil
	}
	on := false
	if f := c.props.flag(property); f != nil {
		on = *f
	}
	return &ec2.AttributeBooleanValue{Value: &on}
}

func volumeHandler() *handler {
	return &handler{
		snapshots: true,
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &ec2.CreateVolumeInput{}
			if err := assign(in, c.props, "Tags", "AutoEnableIO"); err != nil {
				return "", err
			}
			in.TagSpecifications = ec2.Specify("volume", c.merged())
			out, err := ec2.CreateVolume(tx, in)
			if err != nil {
				return "", err
			}
			return out.VolumeId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			v := tx.Region.Volumes[c.id]
			if v == nil {
				return wire.Errorf("InvalidVolume.NotFound", "The volume '%s' does not exist.", c.id)
			}
			for _, p := range []string{"AvailabilityZone", "Encrypted", "KmsKeyId", "SnapshotId", "MultiAttachEnabled"} {
				if c.changed(p) {
					return reason("Update to the property " + p + " of a volume is not supported")
				}
			}
			if c.changed("Size", "VolumeType", "Iops", "Throughput") {
				in := &ec2.ModifyVolumeInput{VolumeId: c.id, VolumeType: c.props.text("VolumeType"), Size: c.props.number("Size"), Iops: c.props.number("Iops"), Throughput: c.props.number("Throughput")}
				if _, err := ec2.ModifyVolume(tx, in); err != nil {
					return err
				}
			}
			return retagEC2(tx, c, c.id, v.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			v := tx.Region.Volumes[c.id]
			if v == nil || v.State == "deleting" {
				return nil
			}
			if c.snapshot && v.InstanceID == "" {
				if _, err := ec2.CreateSnapshot(tx, &ec2.CreateSnapshotInput{VolumeId: c.id, Description: c.finalSnapshot(), TagSpecifications: ec2.Specify("snapshot", c.merged())}); err != nil {
					return err
				}
			}
			_, err := ec2.DeleteVolume(tx, &ec2.DeleteVolumeInput{VolumeId: c.id})
			return err
		},
		gone:       func(tx *core.Tx, c *call) (bool, error) { return tx.Region.Volumes[c.id] == nil, nil },
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"VolumeId": c.id} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			v := tx.Region.Volumes[c.id]
			if v == nil {
				return nil, false
			}
			out := map[string]any{"Size": float64(v.SizeGiB), "VolumeType": v.Type}
			maps.DeleteFunc(out, func(k string, _ any) bool { return !c.props.has(k) })
			return out, true
		},
	}
}

func volumeAttachmentHandler() *handler {
	find := func(tx *core.Tx, c *call) *state.Volume {
		volume, instance := ec2.SplitAttachment(c.id)
		if v := tx.Region.Volumes[volume]; v != nil && v.InstanceID == instance {
			return v
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &ec2.AttachVolumeInput{}
			if err := assign(in, c.props); err != nil {
				return "", err
			}
			if _, err := ec2.AttachVolume(tx, in); err != nil {
				return "", err
			}
			return ec2.AttachmentID(in.VolumeId, in.InstanceId), nil
		},
		stable: func(tx *core.Tx, c *call) (bool, error) {
			v := find(tx, c)
			if v == nil {
				return false, reasonf("Volume attachment between volume-id %s and instance-id %s was not found", c.props.text("VolumeId"), c.props.text("InstanceId"))
			}
			return v.Attachment == "attached", nil
		},
		remove: func(tx *core.Tx, c *call) error {
			v := find(tx, c)
			if v == nil || v.Attachment == "detaching" {
				return nil
			}
			_, err := ec2.DetachVolume(tx, &ec2.DetachVolumeInput{VolumeId: v.ID, InstanceId: v.InstanceID})
			return err
		},
		gone: func(tx *core.Tx, c *call) (bool, error) { return find(tx, c) == nil, nil },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) { return map[string]any{}, find(tx, c) != nil },
	}
}
