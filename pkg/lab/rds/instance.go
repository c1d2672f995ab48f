package rds

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// The only engine, and what is taken when nothing is said.
const (
	engine         = "postgres"
	defaultVersion = "17.6"
	defaultPort    = 5432
	leastStorage   = 20
	maxInstances   = 40
)

var (
	class   = regexp.MustCompile(`^db\.[a-z0-9]+(-[a-z0-9]+)?\.[a-z0-9]+$`)
	version = regexp.MustCompile(`^1[1-9](\.[0-9]+)?$`)
	user    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
	words   = []string{"admin", "rdsadmin", "rds_superuser", "rdsrepladmin"}
)

func instance(tx *core.Tx, id string) (*state.DBInstance, error) {
	if d := tx.Region.DBInstances[strings.ToLower(id)]; d != nil {
		return d, nil
	}
	return nil, missing("DBInstanceNotFound", "DBInstance %s not found.", id)
}

// CreateDBInstance makes an empty database.
func CreateDBInstance(tx *core.Tx, in *CreateDBInstanceInput) (*InstanceOutput, error) {
	if in.Engine != engine {
		return nil, invalid("Invalid DB engine: %s (the lab has %s)", in.Engine, engine)
	}
	if in.EngineVersion == "" {
		in.EngineVersion = defaultVersion
	}
	switch {
	case !version.MatchString(in.EngineVersion):
		return nil, wire.Errorf("InvalidParameterCombination", "Cannot find version %s for %s", in.EngineVersion, engine)
	case in.DBInstanceClass == "":
		return nil, invalid("The parameter DBInstanceClass must be provided and must not be blank.")
	case in.MasterUsername == "":
		return nil, invalid("The parameter MasterUsername must be provided and must not be blank.")
	case slices.Contains(words, strings.ToLower(in.MasterUsername)):
		return nil, invalid("MasterUsername %s cannot be used as it is a reserved word used by the engine", in.MasterUsername)
	case !user.MatchString(in.MasterUsername):
		return nil, invalid("The parameter MasterUsername is not a valid identifier. Identifiers must begin with a letter and contain only alphanumeric characters or underscores.")
	case in.MasterUserPassword == "":
		return nil, invalid("The parameter MasterUserPassword must be provided and must not be blank.")
	case in.DBName != "" && !user.MatchString(in.DBName):
		return nil, invalid("DBName must begin with a letter and contain only alphanumeric characters.")
	case in.AllocatedStorage == nil:
		return nil, invalid("The parameter AllocatedStorage must be provided and must not be blank.")
	}
	if err := password(in.MasterUserPassword); err != nil {
		return nil, err
	}
	d := &state.DBInstance{
		Engine: engine, Version: in.EngineVersion, Name: in.DBName, User: in.MasterUsername, Password: in.MasterUserPassword, Port: defaultPort,
		Encrypted: in.StorageEncrypted != nil && *in.StorageEncrypted || in.KmsKeyId != "", KMSKey: in.KmsKeyId, MaintenanceWindow: in.PreferredMaintenanceWindow,
		Image: runtime.Database, AutoMinor: true, Retention: 1, StorageType: "gp2",
	}
	return add(tx, d, in.DBInstanceIdentifier, in.AvailabilityZone, in.Port, &in.Settings, in.Tags)
}

// RestoreDBInstanceFromDBSnapshot makes a database with the data, the user and
// the password of a snapshot.
func RestoreDBInstanceFromDBSnapshot(tx *core.Tx, in *RestoreDBInstanceFromDBSnapshotInput) (*InstanceOutput, error) {
	s, err := snapshot(tx, in.DBSnapshotIdentifier)
	switch {
	case err != nil:
		return nil, err
	case s.Status != "available":
		return nil, wire.Errorf("InvalidDBSnapshotState", "Cannot restore from the snapshot %s because it is not currently in the available state.", s.ID)
	case in.DBName != "":
		return nil, invalid("DBName must be null when Restoring for this Engine.")
	case in.Engine != "" && in.Engine != s.Engine:
		return nil, invalid("Engine %s is not compatible with the engine of the snapshot, %s", in.Engine, s.Engine)
	case in.AllocatedStorage != nil && *in.AllocatedStorage < s.StorageGiB:
		return nil, wire.Errorf("InvalidParameterCombination", "AllocatedStorage %d is below that of the snapshot, %d", *in.AllocatedStorage, s.StorageGiB)
	}
	d := &state.DBInstance{
		Engine: s.Engine, Version: s.Version, Name: s.Name, User: s.User, Password: s.Password, Port: s.Port, Class: "db.t3.micro",
		StorageGiB: s.StorageGiB, Iops: s.Iops, StorageType: s.StorageType, Encrypted: s.Encrypted, KMSKey: s.KMSKey, IAM: s.IAM,
		Image: s.Ref, AutoMinor: true, Retention: 1,
	}
	return add(tx, d, in.DBInstanceIdentifier, in.AvailabilityZone, in.Port, &in.Settings, in.Tags)
}

// add gives a new database its name, its place and its settings.
func add(tx *core.Tx, d *state.DBInstance, id, zone string, port *int64, in *Settings, tags []Tag) (*InstanceOutput, error) {
	var err error
	if d.ID, err = named("DBInstanceIdentifier", id); err != nil {
		return nil, err
	}
	switch {
	case tx.Region.DBInstances[d.ID] != nil:
		return nil, wire.Errorf("DBInstanceAlreadyExists", "DB instance already exists")
	case len(tx.Region.DBInstances) >= maxInstances:
		return nil, wire.Errorf("InstanceQuotaExceeded", "Cannot create a Database Instance. User quota exceeded.")
	}
	if port != nil {
		d.Port = *port
	}
	if d.Port < 1150 || d.Port > 65535 {
		return nil, invalid("Invalid database port: %d. Must be between 1150 and 65535", d.Port)
	}
	if err := place(tx, d, in, zone); err != nil {
		return nil, err
	}
	if err := check(tx, d, in); err != nil {
		return nil, err
	}
	if d.PrivateIP, err = ec2.TakeHost(tx, d.SubnetID); err != nil {
		return nil, err
	}
	apply(tx, d, in)
	d.ResourceID, d.ARN = "db-"+strings.ToUpper(core.Hex(26)), tx.ARN("rds", "db:"+d.ID)
	d.Status, d.Created, d.Until, d.Tags = "creating", tx.Now, tx.After(creating), tagsOf(tags)
	tx.Region.DBInstances[d.ID] = d
	tx.Changed()
	return &InstanceOutput{DBInstance: show(tx, d)}, nil
}

// place finds the subnet of a new database, that of the wanted zone first.
func place(tx *core.Tx, d *state.DBInstance, in *Settings, zone string) error {
	var subnets []string
	if in.DBSubnetGroupName != "" && strings.ToLower(in.DBSubnetGroupName) != "default" {
		g, err := subnetGroup(tx, in.DBSubnetGroupName)
		if err != nil {
			return err
		}
		d.SubnetGroup, d.VPCID, subnets = g.Name, g.VPCID, g.Subnets
	} else {
		for _, s := range values(tx.Region.Subnets) {
			if v := tx.Region.VPCs[s.VPCID]; v != nil && v.Default {
				d.SubnetGroup, d.VPCID, subnets = "default", v.ID, append(subnets, s.ID)
			}
		}
	}
	for _, id := range subnets {
		if s := tx.Region.Subnets[id]; s != nil && (zone == "" || s.AZ == zone) {
			d.SubnetID, d.AZ = s.ID, s.AZ
			return nil
		}
	}
	if len(subnets) == 0 {
		return wire.Errorf("InvalidVPCNetworkStateFault", "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets.")
	}
	return wire.Errorf("InvalidVPCNetworkStateFault", "The DB subnet group '%s' has no subnet in the Availability Zone %s.", d.SubnetGroup, zone)
}

func password(text string) error {
	switch {
	case len(text) < 8:
		return invalid("The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters.")
	case len(text) > 128:
		return invalid("The parameter MasterUserPassword is not a valid password because it is longer than 128 characters.")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/@"`, r) }):
		return invalid("The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.")
	}
	return nil
}

// check tells what is wrong with settings of a database.
func check(tx *core.Tx, d *state.DBInstance, in *Settings) error {
	if in.DBInstanceClass != "" && !class.MatchString(in.DBInstanceClass) {
		return invalid("Invalid DB Instance class: %s", in.DBInstanceClass)
	}
	if s := in.AllocatedStorage; s != nil && (*s < leastStorage || *s > 65536) {
		kind := in.StorageType
		if kind == "" {
			kind = d.StorageType
		}
		return invalid("Invalid storage size for engine name %s and storage type %s: %d", engine, kind, *s)
	}
	if in.StorageType != "" && !slices.Contains([]string{"standard", "gp2", "gp3", "io1", "io2"}, in.StorageType) {
		return invalid("Invalid storage type: %s", in.StorageType)
	}
	if r := in.BackupRetentionPeriod; r != nil && (*r < 0 || *r > 35) {
		return invalid("Invalid backup retention period: %d. Retention period must be between 0 and 35.", *r)
	}
	if p := in.DBParameterGroupName; p != "" && !strings.HasPrefix(p, "default.") {
		if _, err := parameterGroup(tx, p); err != nil {
			return err
		}
	}
	for _, id := range in.VpcSecurityGroupIds {
		g := tx.Region.SecurityGroups[id]
		if g == nil {
			return invalid("Invalid security group , groupId= %s, groupName=.", id)
		}
		if g.VPCID != d.VPCID {
			return wire.Errorf("InvalidVPCNetworkStateFault", "The DB instance and EC2 security group are in different VPCs. The DB instance is in %s and the EC2 security group is in %s", d.VPCID, g.VPCID)
		}
	}
	return nil
}

// apply takes settings over that were checked.
func apply(tx *core.Tx, d *state.DBInstance, in *Settings) {
	text := func(into *string, v string) {
		if v != "" {
			*into = v
		}
	}
	number := func(into *int64, v *int64) {
		if v != nil {
			*into = *v
		}
	}
	flag := func(into *bool, v *bool) {
		if v != nil {
			*into = *v
		}
	}
	text(&d.Class, in.DBInstanceClass)
	text(&d.StorageType, in.StorageType)
	text(&d.CA, in.CACertificateIdentifier)
	text(&d.BackupWindow, in.PreferredBackupWindow)
	text(&d.ParameterGroup, strings.ToLower(in.DBParameterGroupName))
	number(&d.StorageGiB, in.AllocatedStorage)
	number(&d.Retention, in.BackupRetentionPeriod)
	number(&d.Iops, in.Iops)
	flag(&d.AutoMinor, in.AutoMinorVersionUpgrade)
	flag(&d.CopyTags, in.CopyTagsToSnapshot)
	flag(&d.Protected, in.DeletionProtection)
	flag(&d.IAM, in.EnableIAMDatabaseAuthentication)
	flag(&d.MultiAZ, in.MultiAZ)
	flag(&d.Public, in.PubliclyAccessible)
	if len(in.VpcSecurityGroupIds) > 0 {
		d.SecurityGroups = in.VpcSecurityGroupIds
	}
	if len(d.SecurityGroups) == 0 {
		d.SecurityGroups = []string{ec2.DefaultSecurityGroup(tx, d.VPCID)}
	}
	if d.ParameterGroup == "" {
		major, _, _ := strings.Cut(d.Version, ".")
		d.ParameterGroup = "default." + d.Engine + major
	}
	if d.CA == "" {
		d.CA = "rds-ca-rsa2048-g1"
	}
	switch {
	case !d.Public:
		d.PublicIP = ""
	case d.PublicIP == "":
		d.PublicIP = ec2.TakePublic(tx)
	}
}

// ModifyDBInstance changes a database.
func ModifyDBInstance(tx *core.Tx, in *ModifyDBInstanceInput) (*InstanceOutput, error) {
	d, err := instance(tx, in.DBInstanceIdentifier)
	if err != nil {
		return nil, err
	}
	if d.Status != "available" {
		return nil, wire.Errorf("InvalidDBInstanceState", "Database instance is not in available state.")
	}
	if err := check(tx, d, &in.Settings); err != nil {
		return nil, err
	}
	if v := in.EngineVersion; v != "" {
		from, to := major(d.Version), major(v)
		switch {
		case !version.MatchString(v):
			return nil, wire.Errorf("InvalidParameterCombination", "Cannot find upgrade target from %s to requested version %s.", d.Version, v)
		case to < from:
			return nil, wire.Errorf("InvalidParameterCombination", "Cannot upgrade %s from %s to %s", d.Engine, d.Version, v)
		case to > from && (in.AllowMajorVersionUpgrade == nil || !*in.AllowMajorVersionUpgrade):
			return nil, wire.Errorf("InvalidParameterCombination", "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")
		}
	}
	if in.AllocatedStorage != nil && *in.AllocatedStorage < d.StorageGiB {
		return nil, wire.Errorf("InvalidParameterCombination", "Invalid storage size: %d. The storage of a database cannot be made smaller than it is, %d.", *in.AllocatedStorage, d.StorageGiB)
	}
	if in.MasterUserPassword != "" {
		if err := password(in.MasterUserPassword); err != nil {
			return nil, err
		}
		d.Password = in.MasterUserPassword
	}
	if in.DBPortNumber != nil {
		d.Port = *in.DBPortNumber
	}
	if in.EngineVersion != "" {
		d.Version = in.EngineVersion
	}
	if in.PreferredMaintenanceWindow != "" {
		d.MaintenanceWindow = in.PreferredMaintenanceWindow
	}
	apply(tx, d, &in.Settings)
	d.Status, d.Done, d.Until = "modifying", false, tx.After(modifying)
	tx.Changed()
	return &InstanceOutput{DBInstance: show(tx, d)}, nil
}

func major(v string) int {
	m, _, _ := strings.Cut(v, ".")
	n, _ := strconv.Atoi(m)
	return n
}

// RebootDBInstance stops and starts the machine of a database.
func RebootDBInstance(tx *core.Tx, in *RebootDBInstanceInput) (*InstanceOutput, error) {
	d, err := instance(tx, in.DBInstanceIdentifier)
	if err != nil {
		return nil, err
	}
	if d.Status != "available" {
		return nil, wire.Errorf("InvalidDBInstanceState", "Database instance is not in available state.")
	}
	d.Status, d.Done, d.Until = "rebooting", false, tx.After(rebooting)
	tx.Changed()
	return &InstanceOutput{DBInstance: show(tx, d)}, nil
}

// DeleteDBInstance deletes a database, with a final snapshot unless that is skipped.
func DeleteDBInstance(tx *core.Tx, in *DeleteDBInstanceInput) (*InstanceOutput, error) {
	d, err := instance(tx, in.DBInstanceIdentifier)
	if err != nil {
		return nil, err
	}
	skip := in.SkipFinalSnapshot != nil && *in.SkipFinalSnapshot
	switch {
	case d.Status == "deleting":
		return nil, wire.Errorf("InvalidDBInstanceState", "Instance %s is already being deleted.", d.ID)
	case d.Protected:
		return nil, wire.Errorf("InvalidParameterCombination", "Cannot delete protected DB Instance, please disable deletion protection and try again.")
	case skip && in.FinalDBSnapshotIdentifier != "":
		return nil, wire.Errorf("InvalidParameterCombination", "FinalDBSnapshotIdentifier can not be specified when deleting a database instance without final snapshot.")
	case !skip && in.FinalDBSnapshotIdentifier == "":
		return nil, wire.Errorf("InvalidParameterCombination", "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
	}
	if !skip {
		if err := snap(tx, d, in.FinalDBSnapshotIdentifier, nil); err != nil {
			return nil, err
		}
		d.Final = strings.ToLower(in.FinalDBSnapshotIdentifier)
	}
	d.Status, d.Done, d.Until, d.RetryAt = "deleting", false, tx.After(deleting), tx.Now
	tx.Cancel(machineJob(d.ResourceID))
	tx.Changed()
	return &InstanceOutput{DBInstance: show(tx, d)}, nil
}

// DescribeDBInstances lists databases.
func DescribeDBInstances(tx *core.Tx, in *DescribeDBInstancesInput) (*DescribeDBInstancesOutput, error) {
	list := values(tx.Region.DBInstances)
	if in.DBInstanceIdentifier != "" {
		id := in.DBInstanceIdentifier
		if strings.HasPrefix(id, "arn:") {
			id = id[strings.LastIndex(id, ":")+1:]
		}
		d, err := instance(tx, id)
		if err != nil {
			return nil, err
		}
		list = []*state.DBInstance{d}
	}
	list, next, err := page(tx, in.Listing, list, func(d *state.DBInstance) string { return d.ID }, map[string]func(*state.DBInstance) string{
		"db-instance-id":  func(d *state.DBInstance) string { return d.ID },
		"dbi-resource-id": func(d *state.DBInstance) string { return d.ResourceID },
		"engine":          func(d *state.DBInstance) string { return d.Engine },
	})
	if err != nil {
		return nil, err
	}
	out := &DescribeDBInstancesOutput{Marker: next}
	for _, d := range list {
		out.DBInstances = append(out.DBInstances, show(tx, d))
	}
	return out, nil
}

func show(tx *core.Tx, d *state.DBInstance) DBInstance {
	out := DBInstance{
		DBInstanceIdentifier: d.ID, DBInstanceArn: d.ARN, DbiResourceId: d.ResourceID, DBInstanceClass: d.Class, DBInstanceStatus: d.Status,
		Engine: d.Engine, EngineVersion: d.Version, DBName: d.Name, MasterUsername: d.User, AllocatedStorage: d.StorageGiB, Iops: d.Iops, StorageType: d.StorageType,
		StorageEncrypted: d.Encrypted, KmsKeyId: d.KMSKey, PreferredBackupWindow: d.BackupWindow, PreferredMaintenanceWindow: d.MaintenanceWindow,
		BackupRetentionPeriod: d.Retention, DBParameterGroups: []DBParameterGroupStatus{{d.ParameterGroup, "in-sync"}}, AvailabilityZone: d.AZ,
		DBSubnetGroup: DBSubnetGroup{DBSubnetGroupName: d.SubnetGroup, VpcId: d.VPCID, SubnetGroupStatus: "Complete"},
		MultiAZ:       d.MultiAZ, AutoMinorVersionUpgrade: d.AutoMinor, LicenseModel: "postgresql-license", PubliclyAccessible: d.Public, CACertificateIdentifier: d.CA,
		CopyTagsToSnapshot: d.CopyTags, IAMDatabaseAuthenticationEnabled: d.IAM, DeletionProtection: d.Protected, TagList: tagList(d.Tags),
	}
	if g := tx.Region.DBSubnetGroups[d.SubnetGroup]; g != nil {
		out.DBSubnetGroup = showSubnetGroup(tx, g)
	}
	for _, id := range d.SecurityGroups {
		out.VpcSecurityGroups = append(out.VpcSecurityGroups, VpcSecurityGroupMembership{id, "active"})
	}
	if d.Status != "creating" && d.Status != "failed" {
		out.InstanceCreateTime = d.Created
		out.Endpoint = &Endpoint{Address: host(tx, d.ID), Port: d.Port, HostedZoneId: "Z29XKXDKYMONMX"}
	}
	return out
}

// AddressOf is the address of the database that a name is the endpoint of: the
// public one if it has one. "" if it is none's.
func AddressOf(tx *core.Tx, name string) string {
	id, _, _ := strings.Cut(name, ".")
	for region := range tx.World.Regions {
		tx := tx.In(region)
		d := tx.Region.DBInstances[id]
		if d == nil || host(tx, id) != name || show(tx, d).Endpoint == nil {
			continue
		}
		if d.PublicIP != "" {
			return d.PublicIP
		}
		return d.PrivateIP
	}
	return ""
}

// At is the database with an address, and its region: that of the client's own
// VPC where several have the same private one. nil if there is none.
func At(w *state.World, ip, client string) (region string, found *state.DBInstance) {
	for name, r := range w.Regions {
		for _, d := range r.DBInstances {
			if d.PublicIP == ip || d.PrivateIP == ip && Inside(r, d, client) {
				return name, d
			}
			if d.PrivateIP == ip {
				region, found = name, d
			}
		}
	}
	return region, found
}

// Inside says whether an address belongs to the VPC of a database.
func Inside(r *state.Region, d *state.DBInstance, client string) bool {
	v := r.VPCs[d.VPCID]
	if v == nil {
		return false
	}
	block, err := netip.ParsePrefix(v.CIDR)
	at, err2 := netip.ParseAddr(client)
	return err == nil && err2 == nil && block.Contains(at)
}
