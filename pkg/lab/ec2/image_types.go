package ec2

import "time"

// Image as the API shows it.
type Image struct {
	ImageId, Name, Description, ImageLocation          string
	State                                              string `wire:"imageState"`
	OwnerId                                            string `wire:"imageOwnerId"`
	ImageOwnerAlias                                    string
	Public                                             bool `wire:"isPublic"`
	Architecture, ImageType, RootDeviceName            string
	RootDeviceType, VirtualizationType, Hypervisor     string
	PlatformDetails, UsageOperation, BootMode          string
	ImdsSupport                                        string
	EnaSupport                                         bool
	SriovNetSupport                                    string
	CreationDate                                       string
	DeprecationTime                                    string
	DeregistrationProtection                           string
	SourceInstanceId, SourceImageId, SourceImageRegion string
	StateReason                                        *StateReason
	BlockDeviceMappings                                []BlockDeviceMappingShown `wire:"blockDeviceMapping"`
	Tags                                               []Tag                     `wire:"tagSet"`
}

// BlockDeviceMappingShown is a volume an image brings.
type BlockDeviceMappingShown struct {
	DeviceName string
	Ebs        struct {
		SnapshotId, VolumeType         string
		VolumeSize                     int64
		Encrypted, DeleteOnTermination bool
	}
}

// CreateImageInput of CreateImage.
type CreateImageInput struct {
	InstanceId, Name, Description string
	NoReboot                      *bool
	BlockDeviceMappings           []BlockDeviceMapping `wire:"BlockDeviceMapping"`
	TagSpecifications             []TagSpecification   `wire:"TagSpecification"`
}

// ImageIdOutput of CreateImage and CopyImage.
type ImageIdOutput struct{ ImageId string }

// CopyImageInput of CopyImage, which is called in the destination region.
type CopyImageInput struct {
	Name, Description, SourceImageId, SourceRegion, ClientToken, KmsKeyId string
	Encrypted, CopyImageTags                                              *bool
	TagSpecifications                                                     []TagSpecification `wire:"TagSpecification"`
}

// RegisterImageInput of RegisterImage, which the lab refuses.
type RegisterImageInput struct {
	Name, Description, Architecture, RootDeviceName, VirtualizationType, ImageLocation string
	EnaSupport                                                                         *bool
	BlockDeviceMappings                                                                []BlockDeviceMapping `wire:"BlockDeviceMapping"`
	TagSpecifications                                                                  []TagSpecification   `wire:"TagSpecification"`
}

// DeregisterImageInput of DeregisterImage.
type DeregisterImageInput struct {
	ImageId                   string
	DeleteAssociatedSnapshots *bool
}

// DeregisterImageOutput of DeregisterImage.
type DeregisterImageOutput struct {
	Return                bool
	DeleteSnapshotResults []DeleteSnapshotResult `wire:"deleteSnapshotResultSet"`
}

// DeleteSnapshotResult of one snapshot.
type DeleteSnapshotResult struct{ SnapshotId, ReturnCode string }

// DescribeImagesInput of DescribeImages.
type DescribeImagesInput struct {
	ImageIds          []string `wire:"ImageId"`
	Owners            []string `wire:"Owner"`
	ExecutableUsers   []string `wire:"ExecutableBy"`
	Filters           []Filter `wire:"Filter"`
	IncludeDeprecated *bool
	IncludeDisabled   *bool
	MaxResults        *int64
	NextToken         string
}

// DescribeImagesOutput of DescribeImages.
type DescribeImagesOutput struct {
	Images    []Image `wire:"imagesSet"`
	NextToken string
}

// ModifyImageAttributeInput of ModifyImageAttribute.
type ModifyImageAttributeInput struct {
	ImageId, Attribute, OperationType, Value string
	Description                              *AttributeValue
	LaunchPermission                         *LaunchPermissionModifications
	UserIds                                  []string `wire:"UserId"`
	UserGroups                               []string `wire:"UserGroup"`
	ImdsSupport                              *AttributeValue
}

// LaunchPermissionModifications of an image.
type LaunchPermissionModifications struct {
	Add    []LaunchPermission
	Remove []LaunchPermission
}

// LaunchPermission lets an account or everybody ("all") start an image.
type LaunchPermission struct{ UserId, Group string }

// DescribeImageAttributeInput of DescribeImageAttribute.
type DescribeImageAttributeInput struct{ ImageId, Attribute string }

// DescribeImageAttributeOutput of DescribeImageAttribute.
type DescribeImageAttributeOutput struct {
	ImageId                  string
	Description              *AttributeValue
	LaunchPermissions        []LaunchPermission `wire:"launchPermission"`
	DeregistrationProtection *AttributeValue
}

// ImageIdInput of the actions that name an image and nothing else.
type ImageIdInput struct {
	ImageId      string
	WithCooldown *bool
}

// EnableImageDeprecationInput of EnableImageDeprecation.
type EnableImageDeprecationInput struct {
	ImageId     string
	DeprecateAt time.Time
}

// Snapshot as the API shows it.
type Snapshot struct {
	SnapshotId, VolumeId, OwnerId, Progress, StorageTier string
	Description                                          string `wire:",empty"`
	State                                                string `wire:"status"`
	StartTime                                            time.Time
	VolumeSize                                           int64
	Encrypted                                            bool
	Tags                                                 []Tag `wire:"tagSet"`
}

// CreateSnapshotInput of CreateSnapshot.
type CreateSnapshotInput struct {
	VolumeId, Description string
	TagSpecifications     []TagSpecification `wire:"TagSpecification"`
}

// CreateSnapshotOutput of CreateSnapshot.
type CreateSnapshotOutput = Snapshot

// DeleteSnapshotInput of DeleteSnapshot.
type DeleteSnapshotInput struct{ SnapshotId string }

// DescribeSnapshotsInput of DescribeSnapshots.
type DescribeSnapshotsInput struct {
	SnapshotIds         []string `wire:"SnapshotId"`
	OwnerIds            []string `wire:"Owner"`
	RestorableByUserIds []string `wire:"RestorableBy"`
	Filters             []Filter `wire:"Filter"`
	MaxResults          *int64
	NextToken           string
}

// DescribeSnapshotsOutput of DescribeSnapshots.
type DescribeSnapshotsOutput struct {
	Snapshots []Snapshot `wire:"snapshotSet"`
	NextToken string
}

// Volume as the API shows it.
type Volume struct {
	VolumeId, SnapshotId, AvailabilityZone, VolumeType string
	State                                              string `wire:"status"`
	Size                                               int64
	Iops, Throughput                                   *int64
	Encrypted, MultiAttachEnabled                      bool
	CreateTime                                         time.Time
	Attachments                                        []VolumeAttachment `wire:"attachmentSet"`
	Tags                                               []Tag              `wire:"tagSet"`
}

// VolumeAttachment ties a volume to an instance.
type VolumeAttachment struct {
	VolumeId, InstanceId, Device string
	State                        string `wire:"status"`
	AttachTime                   time.Time
	DeleteOnTermination          bool
}

// DescribeVolumesInput of DescribeVolumes.
type DescribeVolumesInput struct {
	VolumeIds  []string `wire:"VolumeId"`
	Filters    []Filter `wire:"Filter"`
	MaxResults *int64
	NextToken  string
}

// DescribeVolumesOutput of DescribeVolumes.
type DescribeVolumesOutput struct {
	Volumes   []Volume `wire:"volumeSet"`
	NextToken string
}

// DeleteVolumeInput of DeleteVolume.
type DeleteVolumeInput struct{ VolumeId string }

// CreateVolumeInput of CreateVolume.
type CreateVolumeInput struct {
	AvailabilityZone, SnapshotId, VolumeType, KmsKeyId, ClientToken string
	Size, Iops, Throughput                                          *int64
	Encrypted                                                       *bool
	TagSpecifications                                               []TagSpecification `wire:"TagSpecification"`
}

// AttachVolumeInput of AttachVolume.
type AttachVolumeInput struct{ Device, InstanceId, VolumeId string }

// DetachVolumeInput of DetachVolume.
type DetachVolumeInput struct {
	Device, InstanceId, VolumeId string
	Force                        *bool
}

// ModifyVolumeInput of ModifyVolume.
type ModifyVolumeInput struct {
	VolumeId, VolumeType   string
	Size, Iops, Throughput *int64
}

// ModifyVolumeOutput of ModifyVolume.
type ModifyVolumeOutput struct{ VolumeModification VolumeModification }

// VolumeModification tells how far a change of a volume is.
type VolumeModification struct {
	VolumeId, ModificationState, OriginalVolumeType, TargetVolumeType string
	OriginalSize, TargetSize, Progress                                int64
	StartTime                                                         time.Time
}
