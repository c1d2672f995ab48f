package rds

import "time"

// Tag of a resource.
type Tag struct {
	Key   string `wire:",empty"`
	Value string `wire:",empty"`
}

// Filter of a listing.
type Filter struct {
	Name   string
	Values []string `wire:",item=Value"`
}

// Listing is what all listings take.
type Listing struct {
	Filters    []Filter `wire:",item=Filter"`
	MaxRecords *int64
	Marker     string
}

// Settings of a database that can be given when it is made, restored and modified.
type Settings struct {
	AllocatedStorage                *int64
	AutoMinorVersionUpgrade         *bool
	BackupRetentionPeriod           *int64
	CACertificateIdentifier         string
	CopyTagsToSnapshot              *bool
	DBInstanceClass                 string
	DBParameterGroupName            string
	DBSubnetGroupName               string
	DeletionProtection              *bool
	EnableIAMDatabaseAuthentication *bool
	Iops                            *int64
	MultiAZ                         *bool
	PreferredBackupWindow           string
	PubliclyAccessible              *bool
	StorageType                     string
	VpcSecurityGroupIds             []string `wire:",item=VpcSecurityGroupId"`
}

// CreateDBInstanceInput is the request of CreateDBInstance.
type CreateDBInstanceInput struct {
	Settings
	DBInstanceIdentifier       string
	AvailabilityZone           string
	DBName                     string
	Engine                     string
	EngineVersion              string
	KmsKeyId                   string
	MasterUsername             string
	MasterUserPassword         string
	Port                       *int64
	PreferredMaintenanceWindow string
	StorageEncrypted           *bool
	Tags                       []Tag `wire:",item=Tag"`
}

// RestoreDBInstanceFromDBSnapshotInput is the request of that action.
type RestoreDBInstanceFromDBSnapshotInput struct {
	Settings
	DBInstanceIdentifier string
	DBSnapshotIdentifier string
	AvailabilityZone     string
	DBName               string
	Engine               string
	Port                 *int64
	Tags                 []Tag `wire:",item=Tag"`
}

// ModifyDBInstanceInput is the request of ModifyDBInstance. The lab applies
// everything at once, whatever ApplyImmediately says.
type ModifyDBInstanceInput struct {
	Settings
	DBInstanceIdentifier       string
	ApplyImmediately           *bool
	AllowMajorVersionUpgrade   *bool
	DBPortNumber               *int64
	EngineVersion              string
	MasterUserPassword         string
	PreferredMaintenanceWindow string
}

// DeleteDBInstanceInput is the request of DeleteDBInstance.
type DeleteDBInstanceInput struct {
	DBInstanceIdentifier      string
	SkipFinalSnapshot         *bool
	FinalDBSnapshotIdentifier string
	DeleteAutomatedBackups    *bool
}

// RebootDBInstanceInput is the request of RebootDBInstance.
type RebootDBInstanceInput struct{ DBInstanceIdentifier string }

// InstanceOutput answers with a database.
type InstanceOutput struct{ DBInstance DBInstance }

// DescribeDBInstancesInput is the request of DescribeDBInstances.
type DescribeDBInstancesInput struct {
	Listing
	DBInstanceIdentifier string
}

// DescribeDBInstancesOutput is a page of databases.
type DescribeDBInstancesOutput struct {
	DBInstances []DBInstance `wire:",item=DBInstance"`
	Marker      string
}

// DBInstance as the API tells it.
type DBInstance struct {
	DBInstanceIdentifier             string
	DBInstanceArn                    string
	DbiResourceId                    string
	DBInstanceClass                  string
	DBInstanceStatus                 string
	Engine                           string
	EngineVersion                    string
	DBName                           string
	MasterUsername                   string
	Endpoint                         *Endpoint
	AllocatedStorage                 int64
	Iops                             int64
	StorageType                      string
	StorageEncrypted                 bool
	KmsKeyId                         string
	InstanceCreateTime               time.Time
	PreferredBackupWindow            string
	PreferredMaintenanceWindow       string
	BackupRetentionPeriod            int64
	VpcSecurityGroups                []VpcSecurityGroupMembership `wire:",item=VpcSecurityGroupMembership"`
	DBParameterGroups                []DBParameterGroupStatus     `wire:",item=DBParameterGroup"`
	AvailabilityZone                 string
	DBSubnetGroup                    DBSubnetGroup
	MultiAZ                          bool
	AutoMinorVersionUpgrade          bool
	LicenseModel                     string
	PubliclyAccessible               bool
	CACertificateIdentifier          string
	CopyTagsToSnapshot               bool
	IAMDatabaseAuthenticationEnabled bool
	DeletionProtection               bool
	TagList                          []Tag `wire:",item=Tag"`
}

// Endpoint is where a database listens.
type Endpoint struct {
	Address      string
	Port         int64
	HostedZoneId string
}

// VpcSecurityGroupMembership is a security group of a database.
type VpcSecurityGroupMembership struct{ VpcSecurityGroupId, Status string }

// DBParameterGroupStatus is the parameter group of a database.
type DBParameterGroupStatus struct{ DBParameterGroupName, ParameterApplyStatus string }

// CreateDBSnapshotInput is the request of CreateDBSnapshot.
type CreateDBSnapshotInput struct {
	DBInstanceIdentifier string
	DBSnapshotIdentifier string
	Tags                 []Tag `wire:",item=Tag"`
}

// CopyDBSnapshotInput is the request of CopyDBSnapshot, in the destination's region.
type CopyDBSnapshotInput struct {
	SourceDBSnapshotIdentifier string
	TargetDBSnapshotIdentifier string
	CopyTags                   *bool
	KmsKeyId                   string
	PreSignedUrl               string // not looked at: the account is the same
	Tags                       []Tag  `wire:",item=Tag"`
}

// DeleteDBSnapshotInput is the request of DeleteDBSnapshot.
type DeleteDBSnapshotInput struct{ DBSnapshotIdentifier string }

// SnapshotOutput answers with a snapshot.
type SnapshotOutput struct{ DBSnapshot DBSnapshot }

// DescribeDBSnapshotsInput is the request of DescribeDBSnapshots.
type DescribeDBSnapshotsInput struct {
	Listing
	DBInstanceIdentifier string
	DBSnapshotIdentifier string
	DbiResourceId        string
	SnapshotType         string
}

// DescribeDBSnapshotsOutput is a page of snapshots.
type DescribeDBSnapshotsOutput struct {
	DBSnapshots []DBSnapshot `wire:",item=DBSnapshot"`
	Marker      string
}

// DBSnapshot as the API tells it.
type DBSnapshot struct {
	DBSnapshotIdentifier             string
	DBSnapshotArn                    string
	DBInstanceIdentifier             string
	DbiResourceId                    string
	Status                           string
	SnapshotType                     string
	SnapshotCreateTime               time.Time
	OriginalSnapshotCreateTime       time.Time
	InstanceCreateTime               time.Time
	Engine                           string
	EngineVersion                    string
	MasterUsername                   string
	AllocatedStorage                 int64
	Iops                             int64
	StorageType                      string
	Encrypted                        bool
	KmsKeyId                         string
	Port                             int64
	AvailabilityZone                 string
	VpcId                            string
	LicenseModel                     string
	PercentProgress                  int64
	SourceDBSnapshotIdentifier       string
	SourceRegion                     string
	IAMDatabaseAuthenticationEnabled bool
	TagList                          []Tag `wire:",item=Tag"`
}

// SubnetGroupInput is the request of CreateDBSubnetGroup and ModifyDBSubnetGroup.
type SubnetGroupInput struct {
	DBSubnetGroupName        string
	DBSubnetGroupDescription string
	SubnetIds                []string `wire:",item=SubnetIdentifier"`
	Tags                     []Tag    `wire:",item=Tag"`
}

// SubnetGroupOutput answers with a subnet group.
type SubnetGroupOutput struct{ DBSubnetGroup DBSubnetGroup }

// DeleteDBSubnetGroupInput is the request of DeleteDBSubnetGroup.
type DeleteDBSubnetGroupInput struct{ DBSubnetGroupName string }

// DescribeDBSubnetGroupsInput is the request of DescribeDBSubnetGroups.
type DescribeDBSubnetGroupsInput struct {
	Listing
	DBSubnetGroupName string
}

// DescribeDBSubnetGroupsOutput is a page of subnet groups.
type DescribeDBSubnetGroupsOutput struct {
	DBSubnetGroups []DBSubnetGroup `wire:",item=DBSubnetGroup"`
	Marker         string
}

// DBSubnetGroup as the API tells it.
type DBSubnetGroup struct {
	DBSubnetGroupName        string
	DBSubnetGroupDescription string
	DBSubnetGroupArn         string
	VpcId                    string
	SubnetGroupStatus        string
	Subnets                  []Subnet `wire:",item=Subnet"`
}

// Subnet of a subnet group.
type Subnet struct {
	SubnetIdentifier       string
	SubnetAvailabilityZone AvailabilityZone
	SubnetStatus           string
}

// AvailabilityZone by its name.
type AvailabilityZone struct{ Name string }

// CreateDBParameterGroupInput is the request of CreateDBParameterGroup.
type CreateDBParameterGroupInput struct {
	DBParameterGroupName   string
	DBParameterGroupFamily string
	Description            string
	Tags                   []Tag `wire:",item=Tag"`
}

// ParameterGroupOutput answers with a parameter group.
type ParameterGroupOutput struct{ DBParameterGroup DBParameterGroup }

// ModifyDBParameterGroupInput is the request of ModifyDBParameterGroup.
type ModifyDBParameterGroupInput struct {
	DBParameterGroupName string
	Parameters           []Parameter `wire:",item=Parameter"`
}

// ResetDBParameterGroupInput is the request of ResetDBParameterGroup.
type ResetDBParameterGroupInput struct {
	DBParameterGroupName string
	ResetAllParameters   *bool
	Parameters           []Parameter `wire:",item=Parameter"`
}

// Parameter of an engine.
type Parameter struct{ ParameterName, ParameterValue, ApplyMethod, Source string }

// ParameterGroupName is the answer of what changes a parameter group.
type ParameterGroupName struct{ DBParameterGroupName string }

// DeleteDBParameterGroupInput is the request of DeleteDBParameterGroup.
type DeleteDBParameterGroupInput struct{ DBParameterGroupName string }

// DescribeDBParameterGroupsInput is the request of DescribeDBParameterGroups.
type DescribeDBParameterGroupsInput struct {
	Listing
	DBParameterGroupName string
}

// DescribeDBParameterGroupsOutput is a page of parameter groups.
type DescribeDBParameterGroupsOutput struct {
	DBParameterGroups []DBParameterGroup `wire:",item=DBParameterGroup"`
	Marker            string
}

// DBParameterGroup as the API tells it.
type DBParameterGroup struct {
	DBParameterGroupName, DBParameterGroupFamily, Description, DBParameterGroupArn string
}

// DescribeDBParametersInput is the request of DescribeDBParameters.
type DescribeDBParametersInput struct {
	Listing
	DBParameterGroupName string
	Source               string
}

// DescribeDBParametersOutput is a page of parameters.
type DescribeDBParametersOutput struct {
	Parameters []Parameter `wire:",item=Parameter"`
	Marker     string
}

// TagsInput is the request of AddTagsToResource.
type TagsInput struct {
	ResourceName string
	Tags         []Tag `wire:",item=Tag"`
}

// RemoveTagsFromResourceInput is the request of RemoveTagsFromResource.
type RemoveTagsFromResourceInput struct {
	ResourceName string
	TagKeys      []string
}

// ListTagsForResourceInput is the request of ListTagsForResource.
type ListTagsForResourceInput struct {
	ResourceName string
	Filters      []Filter `wire:",item=Filter"`
}

// ListTagsForResourceOutput are tags.
type ListTagsForResourceOutput struct {
	TagList []Tag `wire:",item=Tag"`
}

// Done is the answer of what answers nothing.
type Done struct{}
