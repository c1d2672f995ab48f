package rds

import (
	"maps"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// snapshot finds a snapshot by its name, or by its ARN in any region.
func snapshot(tx *core.Tx, id string) (*state.DBSnapshot, error) {
	region, name := tx.Region, strings.ToLower(id)
	if parts := strings.SplitN(id, ":", 7); len(parts) == 7 && parts[2] == "rds" && parts[5] == "snapshot" && ec2.KnownRegion(parts[3]) {
		region, name = tx.World.Region(parts[3]), strings.ToLower(parts[6])
	}
	if s := region.DBSnapshots[name]; s != nil {
		return s, nil
	}
	return nil, missing("DBSnapshotNotFound", "DBSnapshot %s not found.", id)
}

// CreateDBSnapshot begins a snapshot of a database.
func CreateDBSnapshot(tx *core.Tx, in *CreateDBSnapshotInput) (*SnapshotOutput, error) {
	d, err := instance(tx, in.DBInstanceIdentifier)
	if err != nil {
		return nil, err
	}
	if err := snap(tx, d, in.DBSnapshotIdentifier, in.Tags); err != nil {
		return nil, err
	}
	d.Status, d.Until = "backing-up", tx.Now
	return &SnapshotOutput{DBSnapshot: showSnapshot(tx.Region.DBSnapshots[strings.ToLower(in.DBSnapshotIdentifier)])}, nil
}

// snap begins a snapshot.
func snap(tx *core.Tx, d *state.DBInstance, id string, tags []Tag) error {
	id, err := named("DBSnapshotIdentifier", id)
	switch {
	case err != nil:
		return err
	case tx.Region.DBSnapshots[id] != nil:
		return wire.Errorf("DBSnapshotAlreadyExists", "Cannot create the snapshot because a snapshot with the identifier %s already exists.", id)
	case d.Status != "available":
		return wire.Errorf("InvalidDBInstanceState", "Cannot create a snapshot because the database instance %s is not currently in the available state.", d.ID)
	}
	s := &state.DBSnapshot{
		ID: id, ARN: tx.ARN("rds", "snapshot:"+id), Status: "creating", Kind: "manual", InstanceID: d.ID, ResourceID: d.ResourceID, Engine: d.Engine, Version: d.Version,
		Name: d.Name, User: d.User, Password: d.Password, Port: d.Port, VPCID: d.VPCID, AZ: d.AZ, StorageGiB: d.StorageGiB, Iops: d.Iops, StorageType: d.StorageType,
		Encrypted: d.Encrypted, KMSKey: d.KMSKey, IAM: d.IAM, InstanceCreated: d.Created, Created: tx.Now, Original: tx.Now, Tags: state.Tags{},
		Ref: "rds-" + core.Hex(17), Until: tx.After(snapping),
	}
	if d.CopyTags {
		for k, v := range d.Tags {
			if !strings.HasPrefix(k, "aws:") {
				s.Tags[k] = v
			}
		}
	}
	maps.Copy(s.Tags, tagsOf(tags))
	tx.Region.DBSnapshots[id] = s
	tx.Changed()
	return nil
}

// CopyDBSnapshot copies a snapshot, of this region by its name or of any by its ARN.
func CopyDBSnapshot(tx *core.Tx, in *CopyDBSnapshotInput) (*SnapshotOutput, error) {
	from, err := snapshot(tx, in.SourceDBSnapshotIdentifier)
	if err != nil {
		return nil, err
	}
	id, err := named("TargetDBSnapshotIdentifier", in.TargetDBSnapshotIdentifier)
	if err != nil {
		return nil, err
	}
	region := strings.Split(from.ARN, ":")[3]
	switch {
	case tx.Region.DBSnapshots[id] != nil:
		return nil, wire.Errorf("DBSnapshotAlreadyExists", "Cannot create the snapshot because a snapshot with the identifier %s already exists.", id)
	case from.Status != "available":
		return nil, wire.Errorf("InvalidDBSnapshotState", "The source snapshot %s is not in the available state.", from.ID)
	case from.Encrypted && region != tx.Region.Name && in.KmsKeyId == "":
		return nil, wire.Errorf("InvalidParameterCombination", "KmsKeyId must be provided when an encrypted snapshot is copied to another region.")
	}
	s := *from
	s.ID, s.ARN, s.Status, s.Kind = id, tx.ARN("rds", "snapshot:"+id), "creating", "manual"
	s.Source, s.SourceRegion, s.Created, s.Done, s.Until, s.Tags = from.ARN, region, tx.Now, true, tx.After(copying), tagsOf(in.Tags)
	if in.KmsKeyId != "" {
		s.Encrypted, s.KMSKey = true, in.KmsKeyId
	}
	if in.CopyTags != nil && *in.CopyTags {
		for k, v := range from.Tags {
			if _, given := s.Tags[k]; !given {
				s.Tags[k] = v
			}
		}
	}
	tx.Region.DBSnapshots[id] = &s
	tx.Changed()
	return &SnapshotOutput{DBSnapshot: showSnapshot(&s)}, nil
}

// DeleteDBSnapshot deletes a snapshot; its data goes with the last copy of it.
func DeleteDBSnapshot(tx *core.Tx, in *DeleteDBSnapshotInput) (*SnapshotOutput, error) {
	s, err := snapshot(tx, in.DBSnapshotIdentifier)
	if err != nil {
		return nil, err
	}
	if s.Status != "available" {
		return nil, wire.Errorf("InvalidDBSnapshotState", "Cannot delete the snapshot because it is not currently in the available state.")
	}
	delete(tx.Region.DBSnapshots, s.ID)
	out := showSnapshot(s)
	out.Status = "deleted"
	discard(tx, s.Ref)
	tx.Changed()
	return &SnapshotOutput{DBSnapshot: out}, nil
}

// discard asks for the removal of a snapshot's data once nothing needs it.
func discard(tx *core.Tx, ref string) {
	for _, r := range tx.World.Regions {
		for _, s := range r.DBSnapshots {
			if s.Ref == ref {
				return
			}
		}
		for _, d := range r.DBInstances {
			if d.Image == ref && d.Status == "creating" && !d.Done {
				return // started tells again
			}
		}
	}
	ec2.DropImage(tx, ref)
}

// DescribeDBSnapshots lists snapshots.
func DescribeDBSnapshots(tx *core.Tx, in *DescribeDBSnapshotsInput) (*DescribeDBSnapshotsOutput, error) {
	list := values(tx.Region.DBSnapshots)
	if in.DBSnapshotIdentifier != "" {
		s, err := snapshot(tx, in.DBSnapshotIdentifier)
		if err != nil {
			return nil, err
		}
		list = []*state.DBSnapshot{s}
	}
	fields := map[string]func(*state.DBSnapshot) string{
		"db-instance-id":  func(s *state.DBSnapshot) string { return s.InstanceID },
		"db-snapshot-id":  func(s *state.DBSnapshot) string { return s.ID },
		"dbi-resource-id": func(s *state.DBSnapshot) string { return s.ResourceID },
		"engine":          func(s *state.DBSnapshot) string { return s.Engine },
		"snapshot-type":   func(s *state.DBSnapshot) string { return s.Kind },
	}
	for name, v := range map[string]string{
		"db-instance-id": strings.ToLower(in.DBInstanceIdentifier), "dbi-resource-id": in.DbiResourceId, "snapshot-type": in.SnapshotType,
	} {
		if v != "" {
			in.Filters = append(in.Filters, Filter{Name: name, Values: []string{v}})
		}
	}
	list, next, err := page(tx, in.Listing, list, func(s *state.DBSnapshot) string { return s.ID }, fields)
	if err != nil {
		return nil, err
	}
	out := &DescribeDBSnapshotsOutput{Marker: next}
	for _, s := range list {
		out.DBSnapshots = append(out.DBSnapshots, showSnapshot(s))
	}
	return out, nil
}

func showSnapshot(s *state.DBSnapshot) DBSnapshot {
	out := DBSnapshot{
		DBSnapshotIdentifier: s.ID, DBSnapshotArn: s.ARN, DBInstanceIdentifier: s.InstanceID, DbiResourceId: s.ResourceID, Status: s.Status, SnapshotType: s.Kind,
		InstanceCreateTime: s.InstanceCreated, Engine: s.Engine, EngineVersion: s.Version, MasterUsername: s.User, AllocatedStorage: s.StorageGiB, Iops: s.Iops,
		StorageType: s.StorageType, Encrypted: s.Encrypted, KmsKeyId: s.KMSKey, Port: s.Port, AvailabilityZone: s.AZ, VpcId: s.VPCID, LicenseModel: "postgresql-license",
		SourceDBSnapshotIdentifier: s.Source, SourceRegion: s.SourceRegion, IAMDatabaseAuthenticationEnabled: s.IAM, TagList: tagList(s.Tags),
	}
	if s.Status == "available" {
		out.PercentProgress, out.SnapshotCreateTime, out.OriginalSnapshotCreateTime = 100, s.Created, s.Original
	}
	return out
}
