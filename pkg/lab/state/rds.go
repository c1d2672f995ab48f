package state

import "time"

// DBInstance is a database of RDS. Its machine has the id ResourceID.
type DBInstance struct {
	ID, ARN, ResourceID string
	Status              string // "creating", "backing-up", "available", "modifying", "rebooting", "deleting", "failed"
	Class               string
	Engine, Version     string
	Name                string // of the database made at its creation
	User, Password      string
	Port                int64
	SubnetGroup         string // name
	ParameterGroup      string // name
	VPCID, SubnetID, AZ string
	PrivateIP           string
	PublicIP            string // "" unless it is publicly accessible
	Public              bool
	SecurityGroups      []string // ids
	StorageGiB, Iops    int64
	StorageType         string
	Encrypted           bool
	KMSKey              string
	Retention           int64 // days
	MultiAZ             bool
	Protected           bool // from deletion
	CopyTags            bool
	AutoMinor           bool
	IAM                 bool
	CA                  string
	BackupWindow        string
	MaintenanceWindow   string
	Created             time.Time
	Tags                Tags
	Image               string    // the runtime's reference its machine is made of
	Until               time.Time // end of what AWS takes for the status
	Done                bool      // the machine's part of the status is done
	RetryAt             time.Time // when to try again what the runtime could not do
	Final               string    // id of the snapshot to be taken before it goes
	Problem             string    // why it failed
}

// DBSnapshot is a snapshot of a database. Ref is the runtime's name of it; copies share it.
type DBSnapshot struct {
	ID, ARN          string
	Status           string // "creating", "available"
	Kind             string // "manual"
	InstanceID       string // of the instance it is of
	ResourceID       string
	Source           string // ARN of the snapshot it is a copy of
	SourceRegion     string
	Engine, Version  string
	Name             string
	User, Password   string
	Port             int64
	VPCID, AZ        string
	StorageGiB, Iops int64
	StorageType      string
	Encrypted        bool
	KMSKey           string
	IAM              bool
	InstanceCreated  time.Time
	Created          time.Time
	Original         time.Time // when the data was as it is; a copy is made later
	Tags             Tags
	Ref              string
	Until            time.Time // end of what AWS takes for it
	Done             bool      // the runtime has it
	RetryAt          time.Time
}

// DBSubnetGroup names subnets in which databases may live.
type DBSubnetGroup struct {
	Name, ARN, Description, VPCID string
	Subnets                       []string
	Tags                          Tags
}

// DBParameterGroup holds settings of an engine: those that were changed.
type DBParameterGroup struct {
	Name, ARN, Family, Description string
	Parameters                     map[string]string
	Tags                           Tags
}
