package ec2

import "time"

// Reservation is what one RunInstances made.
type Reservation struct {
	ReservationId, OwnerId string
	Instances              []Instance `wire:"instancesSet"`
}

// Instance as the API shows it.
type Instance struct {
	InstanceId, ImageId, InstanceType, KeyName, Architecture, ClientToken string
	State                                                                 InstanceState `wire:"instanceState"`
	StateReason                                                           *StateReason
	StateTransitionReason                                                 string `wire:"reason,empty"`
	PrivateDnsName                                                        string `wire:",empty"`
	PublicDnsName                                                         string `wire:"dnsName,empty"`
	PrivateIpAddress                                                      string
	PublicIpAddress                                                       string `wire:"ipAddress"`
	SubnetId, VpcId                                                       string
	LaunchTime                                                            time.Time
	AmiLaunchIndex                                                        int64
	Placement                                                             Placement
	Monitoring                                                            Monitoring
	RootDeviceName, RootDeviceType, VirtualizationType, Hypervisor        string
	EbsOptimized, EnaSupport, SourceDestCheck                             bool
	BlockDeviceMappings                                                   []InstanceBlockDeviceMapping `wire:"blockDeviceMapping"`
	NetworkInterfaces                                                     []InstanceNetworkInterface   `wire:"networkInterfaceSet"`
	SecurityGroups                                                        []GroupIdentifier            `wire:"groupSet"`
	IamInstanceProfile                                                    *IamInstanceProfile
	MetadataOptions                                                       InstanceMetadataOptions
	PlatformDetails, UsageOperation                                       string
	Tags                                                                  []Tag `wire:"tagSet"`
}

// InstanceState is a state with EC2's number for it.
type InstanceState struct {
	Code int64
	Name string
}

// StateReason is why something is in its state.
type StateReason struct{ Code, Message string }

// Placement is where an instance runs.
type Placement struct{ AvailabilityZone, GroupName, Tenancy string }

// Monitoring is the state of detailed monitoring.
type Monitoring struct{ State string }

// InstanceBlockDeviceMapping is a volume of an instance.
type InstanceBlockDeviceMapping struct {
	DeviceName string
	Ebs        EbsInstanceBlockDevice
}

// EbsInstanceBlockDevice is the volume.
type EbsInstanceBlockDevice struct {
	VolumeId, Status    string
	DeleteOnTermination bool
	AttachTime          time.Time
}

// InstanceNetworkInterface is the instance's only interface.
type InstanceNetworkInterface struct {
	NetworkInterfaceId, SubnetId, VpcId, OwnerId, Status, MacAddress, PrivateIpAddress, PrivateDnsName, InterfaceType string
	SourceDestCheck                                                                                                   bool
	Groups                                                                                                            []GroupIdentifier `wire:"groupSet"`
	Association                                                                                                       *InstanceNetworkInterfaceAssociation
	Attachment                                                                                                        InstanceNetworkInterfaceAttachment
	PrivateIpAddresses                                                                                                []InstancePrivateIpAddress `wire:"privateIpAddressesSet"`
}

// InstanceNetworkInterfaceAssociation is a public address of an interface.
type InstanceNetworkInterfaceAssociation struct{ PublicIp, PublicDnsName, IpOwnerId string }

// InstanceNetworkInterfaceAttachment ties an interface to an instance.
type InstanceNetworkInterfaceAttachment struct {
	AttachmentId, Status string
	DeviceIndex          int64
	DeleteOnTermination  bool
	AttachTime           time.Time
}

// InstancePrivateIpAddress is a private address of an interface.
type InstancePrivateIpAddress struct {
	PrivateIpAddress string
	Primary          bool
	Association      *InstanceNetworkInterfaceAssociation
}

// GroupIdentifier names a security group.
type GroupIdentifier struct{ GroupId, GroupName string }

// IamInstanceProfile of an instance.
type IamInstanceProfile struct{ Arn, Id string }

// InstanceMetadataOptions of an instance.
type InstanceMetadataOptions struct {
	State, HttpTokens, HttpEndpoint string
	HttpPutResponseHopLimit         int64
}

// MetadataOptions of a request or launch template.
type MetadataOptions struct {
	HttpTokens              string
	HttpEndpoint            string
	HttpPutResponseHopLimit *int64
	HttpProtocolIpv6        string
	InstanceMetadataTags    string
}

// ProfileSpecification names an instance profile by name or ARN.
type ProfileSpecification struct{ Arn, Name string }

// BlockDeviceMapping of a request: only the root device has a volume in the lab.
type BlockDeviceMapping struct {
	DeviceName, VirtualName, NoDevice string
	Ebs                               *EbsBlockDevice
}

// EbsBlockDevice is the volume of a mapping.
type EbsBlockDevice struct {
	SnapshotId, VolumeType, KmsKeyId string
	VolumeSize, Iops, Throughput     *int64
	Encrypted, DeleteOnTermination   *bool
}

// NetworkInterfaceSpecification of a request: one, with DeviceIndex 0.
type NetworkInterfaceSpecification struct {
	DeviceIndex              *int64
	SubnetId, Description    string
	Groups                   []string `wire:"SecurityGroupId"`
	AssociatePublicIpAddress *bool
	DeleteOnTermination      *bool
	PrivateIpAddress         string
}

// MonitoringRequest asks for detailed monitoring.
type MonitoringRequest struct{ Enabled *bool }

// PlacementRequest is where an instance shall run.
type PlacementRequest struct{ AvailabilityZone, GroupName, Tenancy string }

// CreditRequest is the credit option of T instances.
type CreditRequest struct{ CpuCredits string }

// LaunchTemplateSpecification names a version of a launch template.
type LaunchTemplateSpecification struct{ LaunchTemplateId, LaunchTemplateName, Version string }

// RunInstancesInput of RunInstances.
type RunInstancesInput struct {
	ImageId, InstanceType, KeyName, SubnetId, ClientToken, UserData string
	MinCount, MaxCount                                              *int64
	SecurityGroupIds                                                []string                        `wire:"SecurityGroupId"`
	SecurityGroups                                                  []string                        `wire:"SecurityGroup"`
	NetworkInterfaces                                               []NetworkInterfaceSpecification `wire:"NetworkInterface"`
	BlockDeviceMappings                                             []BlockDeviceMapping            `wire:"BlockDeviceMapping"`
	TagSpecifications                                               []TagSpecification              `wire:"TagSpecification"`
	LaunchTemplate                                                  *LaunchTemplateSpecification
	IamInstanceProfile                                              *ProfileSpecification
	MetadataOptions                                                 *MetadataOptions
	Monitoring                                                      *MonitoringRequest
	Placement                                                       *PlacementRequest
	CreditSpecification                                             *CreditRequest
	InstanceInitiatedShutdownBehavior                               string
	DisableApiTermination                                           *bool
	DisableApiStop                                                  *bool
	EbsOptimized                                                    *bool
	EnclaveOptions                                                  *struct{ Enabled *bool }
	HibernationOptions                                              *struct{ Configured *bool }
	CapacityReservationSpecification                                *struct{ CapacityReservationPreference string }
	MaintenanceOptions                                              *struct{ AutoRecovery string }
	PrivateIpAddress                                                string
}

// RunInstancesOutput of RunInstances is a reservation.
type RunInstancesOutput = Reservation

// DescribeInstancesInput of DescribeInstances.
type DescribeInstancesInput struct {
	InstanceIds []string `wire:"InstanceId"`
	Filters     []Filter `wire:"Filter"`
	MaxResults  *int64
	NextToken   string
}

// DescribeInstancesOutput of DescribeInstances.
type DescribeInstancesOutput struct {
	Reservations []Reservation `wire:"reservationSet"`
	NextToken    string
}

// InstancesInput of StartInstances, StopInstances, RebootInstances and TerminateInstances.
type InstancesInput struct {
	InstanceIds []string `wire:"InstanceId"`
	Force       *bool
	Hibernate   *bool
	// SkipOsShutdown and AdditionalInfo are taken and change nothing in the lab.
	SkipOsShutdown *bool
	AdditionalInfo string
}

// InstanceStateChange is a state before and after.
type InstanceStateChange struct {
	InstanceId    string
	CurrentState  InstanceState
	PreviousState InstanceState
}

// StartInstancesOutput of StartInstances.
type StartInstancesOutput struct {
	StartingInstances []InstanceStateChange `wire:"instancesSet"`
}

// StopInstancesOutput of StopInstances.
type StopInstancesOutput struct {
	StoppingInstances []InstanceStateChange `wire:"instancesSet"`
}

// TerminateInstancesOutput of TerminateInstances.
type TerminateInstancesOutput struct {
	TerminatingInstances []InstanceStateChange `wire:"instancesSet"`
}

// DescribeInstanceStatusInput of DescribeInstanceStatus.
type DescribeInstanceStatusInput struct {
	InstanceIds         []string `wire:"InstanceId"`
	Filters             []Filter `wire:"Filter"`
	IncludeAllInstances *bool
	MaxResults          *int64
	NextToken           string
}

// DescribeInstanceStatusOutput of DescribeInstanceStatus.
type DescribeInstanceStatusOutput struct {
	InstanceStatuses []InstanceStatus `wire:"instanceStatusSet"`
	NextToken        string
}

// InstanceStatus is the outcome of the status checks.
type InstanceStatus struct {
	InstanceId, AvailabilityZone string
	InstanceState                InstanceState
	InstanceStatus, SystemStatus StatusSummary
}

// StatusSummary of one kind of check.
type StatusSummary struct {
	Status  string
	Details []StatusDetail
}

// StatusDetail of one check.
type StatusDetail struct{ Name, Status string }

// GetConsoleOutputInput of GetConsoleOutput.
type GetConsoleOutputInput struct {
	InstanceId string
	Latest     *bool
}

// GetConsoleOutputOutput of GetConsoleOutput; Output is base64.
type GetConsoleOutputOutput struct {
	InstanceId string
	Timestamp  time.Time
	Output     string
}

// ModifyInstanceAttributeInput of ModifyInstanceAttribute.
type ModifyInstanceAttributeInput struct {
	InstanceId, Attribute, Value      string
	InstanceInitiatedShutdownBehavior *AttributeValue
	InstanceType                      *AttributeValue
	UserData                          *AttributeValue
	SriovNetSupport                   *AttributeValue
	DisableApiTermination             *AttributeBooleanValue
	DisableApiStop                    *AttributeBooleanValue
	EnaSupport                        *AttributeBooleanValue
	EbsOptimized                      *AttributeBooleanValue
	SourceDestCheck                   *AttributeBooleanValue
	Groups                            []string `wire:"GroupId"`
}

// DescribeInstanceAttributeInput of DescribeInstanceAttribute.
type DescribeInstanceAttributeInput struct{ InstanceId, Attribute string }

// DescribeInstanceAttributeOutput of DescribeInstanceAttribute.
type DescribeInstanceAttributeOutput struct {
	InstanceId                        string
	UserData                          *AttributeValue
	InstanceType                      *AttributeValue
	InstanceInitiatedShutdownBehavior *AttributeValue
	DisableApiTermination             *AttributeBooleanValue
	DisableApiStop                    *AttributeBooleanValue
	Groups                            []GroupIdentifier `wire:"groupSet"`
}
