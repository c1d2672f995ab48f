package ec2

import (
	"fmt"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func noSnapshot(id string) error {
	return wire.Errorf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

func noVolume(id string) error {
	return wire.Errorf("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

// CreateSnapshot records a snapshot of a volume. Nothing can be started from it.
func CreateSnapshot(tx *core.Tx, in *CreateSnapshotInput) (*CreateSnapshotOutput, error) {
	v := tx.Region.Volumes[in.VolumeId]
	if v == nil {
		return nil, noVolume(in.VolumeId)
	}
	if err := checkTags(in.TagSpecifications, "snapshot"); err != nil {
		return nil, err
	}
	id := addSnapshot(tx, v, in.Description, "pending", tagsFor("snapshot", in.TagSpecifications))
	tx.Changed()
	out := showSnapshot(tx, tx.Region.Snapshots[id])
	return &out, nil
}

// DeleteSnapshot removes a snapshot that no image has.
func DeleteSnapshot(tx *core.Tx, in *DeleteSnapshotInput) (*Done, error) {
	if tx.Region.Snapshots[in.SnapshotId] == nil {
		return nil, noSnapshot(in.SnapshotId)
	}
	if img := imageOfSnapshot(tx, in.SnapshotId); img != nil {
		return nil, wire.Errorf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", in.SnapshotId, img.ID)
	}
	delete(tx.Region.Snapshots, in.SnapshotId)
	return done, nil
}

// DescribeSnapshots lists the account's snapshots.
func DescribeSnapshots(tx *core.Tx, in *DescribeSnapshotsInput) (*DescribeSnapshotsOutput, error) {
	list, err := pick(tx.Region.Snapshots, in.SnapshotIds, noSnapshot)
	if err != nil {
		return nil, err
	}
	self := []string{"self", tx.World.Account}
	if len(in.OwnerIds) > 0 && !slices.ContainsFunc(in.OwnerIds, func(o string) bool { return slices.Contains(self, o) }) {
		list = nil
	}
	list, err = filter(list, in.Filters, func(s *state.Snapshot) state.Tags { return s.Tags }, func(s *state.Snapshot) attrs {
		return attrs{
			"snapshot-id": one(s.ID), "volume-id": one(s.VolumeID), "status": one(s.State), "description": one(s.Description), "owner-id": one(tx.World.Account),
			"encrypted": boolText(s.Encrypted), "volume-size": one(fmt.Sprint(s.SizeGiB)), "start-time": one(wire.Time(s.Started)), "owner-alias": nil,
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(s *state.Snapshot) string { return s.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeSnapshotsOutput{NextToken: next}
	for _, s := range list {
		out.Snapshots = append(out.Snapshots, showSnapshot(tx, s))
	}
	return out, nil
}

func showSnapshot(tx *core.Tx, s *state.Snapshot) Snapshot {
	progress := "100%"
	if s.State == "pending" {
		progress = "50%"
	}
	return Snapshot{
		SnapshotId: s.ID, VolumeId: s.VolumeID, OwnerId: tx.World.Account, Progress: progress, StorageTier: "standard", Description: s.Description,
		State: s.State, StartTime: s.Started, VolumeSize: s.SizeGiB, Encrypted: s.Encrypted, Tags: tagList(s.Tags),
	}
}

// DescribeVolumes lists volumes.
func DescribeVolumes(tx *core.Tx, in *DescribeVolumesInput) (*DescribeVolumesOutput, error) {
	list, err := pick(tx.Region.Volumes, in.VolumeIds, noVolume)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(v *state.Volume) state.Tags { return v.Tags }, func(v *state.Volume) attrs {
		return attrs{
			"volume-id": one(v.ID), "snapshot-id": one(v.SnapshotID), "status": one(v.State), "availability-zone": one(v.AZ), "size": one(fmt.Sprint(v.SizeGiB)),
			"encrypted": boolText(v.Encrypted), "volume-type": one(showVolume(v).VolumeType), "attachment.instance-id": one(v.InstanceID), "attachment.device": one(v.Device),
			"attachment.status": one(showAttachment(v).State), "create-time": one(wire.Time(v.Created)),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(v *state.Volume) string { return v.ID }, in.MaxResults, 500, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeVolumesOutput{NextToken: next}
	for _, v := range list {
		out.Volumes = append(out.Volumes, showVolume(v))
	}
	return out, nil
}
