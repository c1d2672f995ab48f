package ec2

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var (
	device      = regexp.MustCompile(`^(/dev/(sd|xvd)[b-z][a-z0-9]?)$`)
	volumeTypes = []string{"standard", "gp2", "gp3", "io1", "io2", "st1", "sc1"}
)

// CreateVolume makes an empty volume, which outlives the machines it is attached to.
func CreateVolume(tx *core.Tx, in *CreateVolumeInput) (*Volume, error) {
	if in.ClientToken != "" {
		for _, v := range values(tx.Region.Volumes) {
			if v.ClientToken == in.ClientToken {
				out := showVolume(v)
				return &out, nil
			}
		}
	}
	if in.VolumeType == "" {
		in.VolumeType = "gp2"
	}
	switch {
	case in.SnapshotId != "" && tx.Region.Snapshots[in.SnapshotId] == nil:
		return nil, noSnapshot(in.SnapshotId)
	case in.SnapshotId != "":
		return nil, wire.Errorf("UnsupportedOperation", "The lab's snapshots hold no data, so it makes empty volumes only, none of %s", in.SnapshotId)
	case !isZone(tx.Region.Name, in.AvailabilityZone):
		return nil, wire.Errorf("InvalidZone.NotFound", "The zone '%s' does not exist.", in.AvailabilityZone)
	case in.Size == nil:
		return nil, missing("size/snapshot")
	}
	if err := checkVolume(in.VolumeType, *in.Size); err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSpecifications, "volume"); err != nil {
		return nil, err
	}
	v := &state.Volume{
		ID: tx.ID("vol"), AZ: in.AvailabilityZone, State: "available", SizeGiB: *in.Size, Type: in.VolumeType, Encrypted: yes(in.Encrypted) || in.KmsKeyId != "",
		Iops: number(in.Iops), Throughput: number(in.Throughput), Created: tx.Now, Tags: tagsFor("volume", in.TagSpecifications), ClientToken: in.ClientToken, Data: true,
	}
	tx.Region.Volumes[v.ID] = v
	tx.Changed()
	out := showVolume(v)
	return &out, nil
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func checkVolume(kind string, size int64) error {
	if !slices.Contains(volumeTypes, kind) {
		return wire.Errorf("UnknownVolumeType", "Unsupported volume type '%s' for volume creation.", kind)
	}
	if size < 1 || size > 65536 {
		return wire.Errorf("InvalidParameterValue", "Volume of %dGiB is invalid; must be between 1GiB and 65536GiB.", size)
	}
	return nil
}

func findVolume(tx *core.Tx, id string) (*state.Volume, error) {
	if v := tx.Region.Volumes[id]; v != nil {
		return v, nil
	}
	return nil, noVolume(id)
}

// AttachVolume gives a machine a volume as a block device.
func AttachVolume(tx *core.Tx, in *AttachVolumeInput) (*VolumeAttachment, error) {
	v, err := findVolume(tx, in.VolumeId)
	if err != nil {
		return nil, err
	}
	list, err := findInstances(tx, []string{in.InstanceId})
	if err != nil {
		return nil, err
	}
	i := list[0]
	switch {
	case v.InstanceID != "":
		return nil, wire.Errorf("VolumeInUse", "%s is already attached to an instance", v.ID)
	case i.State != "running" && i.State != "stopped":
		return nil, wire.Errorf("IncorrectState", "Instance '%s' is not 'running'.", i.ID)
	case i.AZ != v.AZ:
		return nil, wire.Errorf("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, i.ID)
	case !device.MatchString(in.Device):
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter device is invalid. %s is not a valid EBS device name.", in.Device, in.Device)
	}
	for _, other := range tx.Region.Volumes {
		if other.InstanceID == i.ID && other.Device == in.Device {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", in.Device, in.Device)
		}
	}
	v.InstanceID, v.Device, v.State, v.Attachment, v.Attached = i.ID, in.Device, "in-use", "attaching", tx.Now
	if i.State == "stopped" {
		v.Attachment = "attached" // its next start brings it
	}
	tx.Changed()
	out := showAttachment(v)
	return &out, nil
}

// DetachVolume takes a volume off its machine; what is on it stays.
func DetachVolume(tx *core.Tx, in *DetachVolumeInput) (*VolumeAttachment, error) {
	v, err := findVolume(tx, in.VolumeId)
	switch {
	case err != nil:
		return nil, err
	case v.InstanceID == "" || in.InstanceId != "" && in.InstanceId != v.InstanceID || in.Device != "" && in.Device != v.Device:
		return nil, wire.Errorf("IncorrectState", "Volume '%s' is in the '%s' state.", v.ID, v.State)
	case !v.Data:
		i := tx.Region.Instances[v.InstanceID]
		if i != nil && i.State == "running" {
			return nil, wire.Errorf("OperationNotPermitted", "Unable to detach root volume '%s' from instance '%s'", v.ID, v.InstanceID)
		}
		return nil, wire.Errorf("UnsupportedOperation", "The lab does not take root volumes off their instances")
	}
	v.Attachment, v.RetryAt = "detaching", time.Time{}
	tx.Changed()
	out := showAttachment(v)
	return &out, nil
}

// ModifyVolume makes a volume larger, or changes its type, while it is in use.
func ModifyVolume(tx *core.Tx, in *ModifyVolumeInput) (*ModifyVolumeOutput, error) {
	v, err := findVolume(tx, in.VolumeId)
	if err != nil {
		return nil, err
	}
	size, kind := v.SizeGiB, v.Type
	if in.Size != nil {
		size = *in.Size
	}
	if in.VolumeType != "" {
		kind = in.VolumeType
	}
	if err := checkVolume(kind, size); err != nil {
		return nil, err
	}
	if size < v.SizeGiB {
		return nil, wire.Errorf("InvalidParameterValue", "New size cannot be smaller than existing size")
	}
	out := &ModifyVolumeOutput{VolumeModification: VolumeModification{
		VolumeId: v.ID, ModificationState: "completed", OriginalSize: v.SizeGiB, TargetSize: size, OriginalVolumeType: v.Type, TargetVolumeType: kind, Progress: 100, StartTime: tx.Now,
	}}
	v.SizeGiB, v.Type = size, kind
	if in.Iops != nil {
		v.Iops = *in.Iops
	}
	if in.Throughput != nil {
		v.Throughput = *in.Throughput
	}
	tx.Changed()
	return out, nil
}

// DeleteVolume deletes a volume that no machine has, with what is on it.
func DeleteVolume(tx *core.Tx, in *DeleteVolumeInput) (*Done, error) {
	v, err := findVolume(tx, in.VolumeId)
	if err != nil {
		return nil, err
	}
	if v.InstanceID != "" {
		return nil, wire.Errorf("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.InstanceID)
	}
	v.State, v.RetryAt = "deleting", time.Time{}
	tx.Changed()
	return done, nil
}

// volumesOf are the volumes that a machine shall have besides its root.
func volumesOf(tx *core.Tx, instance string) (list []runtime.VolumeSpec) {
	for _, v := range values(tx.Region.Volumes) {
		if v.Data && v.InstanceID == instance && v.Attachment != "detaching" {
			list = append(list, volumeSpec(v))
		}
	}
	return list
}

func volumeSpec(v *state.Volume) runtime.VolumeSpec {
	return runtime.VolumeSpec{ID: v.ID, Device: v.Device, GiB: v.SizeGiB}
}

// letGo frees the volumes of a machine that is no more.
func letGo(tx *core.Tx, instance string) {
	for _, v := range tx.Region.Volumes {
		if v.Data && v.InstanceID == instance {
			v.InstanceID, v.Device, v.Attachment, v.State = "", "", "", "available"
		}
	}
}

// stepVolume attaches, detaches and deletes.
func stepVolume(tx *core.Tx, v *state.Volume) {
	if !v.RetryAt.IsZero() && !tx.Due(v.RetryAt) {
		return
	}
	id, spec, instance, doing := v.ID, volumeSpec(v), v.InstanceID, v.Attachment
	work := func(job string, do func(ctx context.Context) error, end func(tx *core.Tx, v *state.Volume)) {
		tx.Go(job, func(ctx context.Context) func(*core.Tx) {
			err := do(ctx)
			return func(tx *core.Tx) {
				v := tx.Region.Volumes[id]
				if v == nil || v.Attachment != doing || v.InstanceID != instance {
					return
				}
				if err != nil {
					tx.Log().Error("a volume cannot be had as asked", "volume", id, "instance", instance, "error", err)
					v.RetryAt = tx.After(retries)
					return
				}
				end(tx, v)
				tx.Changed()
			}
		})
	}
	i := tx.Region.Instances[instance]
	switch {
	case v.State == "deleting":
		work("volume/"+id, func(ctx context.Context) error { return tx.Runtime().RemoveVolume(ctx, id) },
			func(tx *core.Tx, _ *state.Volume) { delete(tx.Region.Volumes, id) })
	case doing == "attaching" && i != nil && i.State == "running":
		work(machineJob(instance), func(ctx context.Context) error { return tx.Runtime().Attach(ctx, instance, spec) },
			func(_ *core.Tx, v *state.Volume) { v.Attachment = "attached" })
	case doing == "detaching":
		work(machineJob(instance), func(ctx context.Context) error { return tx.Runtime().Detach(ctx, instance, spec) },
			func(_ *core.Tx, v *state.Volume) {
				v.InstanceID, v.Device, v.Attachment, v.State = "", "", "", "available"
			})
	}
}

func showAttachment(v *state.Volume) VolumeAttachment {
	a := VolumeAttachment{VolumeId: v.ID, InstanceId: v.InstanceID, Device: v.Device, State: "attached", AttachTime: v.Created, DeleteOnTermination: !v.Data}
	if v.Data {
		a.State, a.AttachTime = v.Attachment, v.Attached
	}
	return a
}

func showVolume(v *state.Volume) Volume {
	kind := v.Type
	if kind == "" {
		kind = "gp3"
	}
	out := Volume{
		VolumeId: v.ID, SnapshotId: v.SnapshotID, AvailabilityZone: v.AZ, VolumeType: kind, State: v.State, Size: v.SizeGiB, Encrypted: v.Encrypted,
		CreateTime: v.Created, Tags: tagList(v.Tags),
	}
	// What nobody asked for is the type's own: gp2 grows with its size, gp3 does not.
	iops, throughput := v.Iops, v.Throughput
	switch kind {
	case "gp2":
		iops = min(max(100, 3*v.SizeGiB), 16000)
	case "gp3":
		iops, throughput = cmp.Or(iops, 3000), cmp.Or(throughput, 125)
	}
	if iops > 0 {
		out.Iops = &iops
	}
	if throughput > 0 {
		out.Throughput = &throughput
	}
	if v.InstanceID != "" {
		out.Attachments = []VolumeAttachment{showAttachment(v)}
	}
	return out
}

// AttachmentID is CloudFormation's name of an attachment, and its parts.
func AttachmentID(volume, instance string) string { return fmt.Sprintf("%s|%s", volume, instance) }

// SplitAttachment undoes AttachmentID.
func SplitAttachment(id string) (volume, instance string) {
	volume, instance, _ = strings.Cut(id, "|")
	return volume, instance
}
