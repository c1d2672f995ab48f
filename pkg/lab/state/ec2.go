package state

import (
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// Image is an AMI. Ref is the runtime's name of it.
type Image struct {
	ID, Name, Description string
	State, StateReason    string // "pending", "available", "failed", "deregistered"
	Owner                 string
	Public                bool
	LaunchUsers           []string
	Architecture          string // "x86_64"
	RootDevice            string // "/dev/xvda"
	SnapshotID            string
	SourceInstance        string
	SourceImage           string
	SourceRegion          string
	Created               time.Time
	DeprecateAt           time.Time
	DeregistrationGuard   bool
	GuardCooldown         bool
	GuardUntil            time.Time // end of the cool-down
	Encrypted             bool
	Tags                  Tags
	Ref                   string
	SizeGiB               int64
	ReadyAt               time.Time // of a copy under way
	Imds                  string    // "v2.0" when the image asks for it
}

// Snapshot of a volume.
type Snapshot struct {
	ID, VolumeID, Description, State string
	SizeGiB                          int64
	Encrypted                        bool
	Started                          time.Time
	Tags                             Tags
}

// Volume is an EBS volume: the root of an instance, or one of Data that outlives instances.
type Volume struct {
	ID, InstanceID, Device, SnapshotID, AZ, State string
	Type                                          string // "" is "gp3"
	SizeGiB, Iops, Throughput                     int64
	Data                                          bool
	Attachment                                    string // of a data volume: "attaching", "attached", "detaching"; "" for none
	Attached, RetryAt                             time.Time
	ClientToken                                   string
	Encrypted                                     bool
	Created                                       time.Time
	Tags                                          Tags
}

// Instance is a machine as EC2 knows it.
type Instance struct {
	ID, ImageID, Type            string
	State                        string // "pending", "running", "shutting-down", "terminated", "stopping", "stopped"
	StateReason                  string
	ReservationID                string
	ClientToken                  string
	KeyName                      string
	SubnetID, VPCID, AZ          string
	PrivateIP                    string
	PublicIP                     string // "" without a public address
	ENI                          string
	SecurityGroups               []string // ids
	UserData                     string   // base64 as given
	ShutdownBehavior             string   // "stop", "terminate"
	MetadataTokens               string   // "required", "optional"
	MetadataHops                 int64
	Profile                      string
	Launched                     time.Time
	Terminated                   time.Time
	VolumeID                     string
	Group                        string // Auto Scaling group name, "" for none
	LaunchTemplate               string // id
	LaunchTemplateVersion        string
	Tags                         Tags
	SystemStatus, InstanceStatus string // "initializing", "ok", "impaired"
	Fault                        runtime.Fault
	Reboot                       bool      // shall be stopped and started, without another state
	StateCode                    string    // code of StateReason
	TransitionReason             string    // "User initiated (2026-…)"
	ChecksAt                     time.Time // when the status checks are decided
	WantPublic                   bool      // gets a public address whenever it starts
	TerminationGuard, StopGuard  bool
	LaunchIndex                  int64
	InstanceTags                 string `json:",omitempty"` // metadata option, as given
	Monitoring                   bool
	EbsOptimized                 bool
	Died                         bool      // the machine stopped by itself before its start was known to be over
	RetryAt                      time.Time // when to try again what the runtime could not do
	HungAt                       time.Time // when its kernel panicked
	Halted                       bool      `json:",omitempty"` // and the machine was ended for it
}

// KeyPair is a public key (and never its private half).
type KeyPair struct {
	ID, Name, Type, Fingerprint, PublicKey string
	Created                                time.Time
	Tags                                   Tags
}

// SecurityGroup and its rules.
type SecurityGroup struct {
	ID, Name, Description, VPCID string
	Ingress, Egress              []Rule
	Tags                         Tags
}

// Rule allows one protocol and port range from one source: CIDR or Group.
type Rule struct {
	ID          string
	Protocol    string // "tcp", "udp", "icmp", "-1"
	From, To    int64
	CIDR        string
	Group       string // security group id
	Description string
}

// VPC is a virtual network.
type VPC struct {
	ID, CIDR     string
	DNSSupport   bool
	DNSHostnames bool
	Default      bool
	Tags         Tags
}

// Subnet of a VPC in one zone.
type Subnet struct {
	ID, VPCID, CIDR, AZ string
	PublicOnLaunch      bool
	Default             bool
	NextHost            int64 // last host number given out
	Tags                Tags
}

// RouteTable of a VPC.
type RouteTable struct {
	ID, VPCID    string
	Main         bool
	Routes       []Route
	Associations map[string]string // association id -> subnet id
	Tags         Tags
}

// Route of a table.
type Route struct{ Destination, Gateway string }

// InternetGateway is attached to at most one VPC.
type InternetGateway struct {
	ID, VPCID string
	Tags      Tags
}

// Address is an Elastic IP.
type Address struct {
	AllocationID, PublicIP    string
	AssociationID, InstanceID string
	ENI                       string // of a load balancer or instance that holds it
	Tags                      Tags
}

// LaunchTemplate and all its versions, the first is number 1.
type LaunchTemplate struct {
	ID, Name string
	Created  time.Time
	Default  int64
	Latest   int64
	Versions []*LaunchTemplateVersion
	Tags     Tags
}

// LaunchTemplateVersion keeps its data as the JSON that CloudFormation or the API gave.
type LaunchTemplateVersion struct {
	Number      int64
	Description string
	Created     time.Time
	Data        map[string]any
}
