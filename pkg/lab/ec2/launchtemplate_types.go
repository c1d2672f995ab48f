package ec2

import "time"

// RequestLaunchTemplateData is what a version of a launch template holds, as
// a request or a CloudFormation template gives it.
type RequestLaunchTemplateData struct {
	ImageId, InstanceType, KeyName, UserData string
	SecurityGroupIds                         []string                        `wire:"SecurityGroupId"`
	SecurityGroups                           []string                        `wire:"SecurityGroup"`
	NetworkInterfaces                        []NetworkInterfaceSpecification `wire:"NetworkInterface"`
	BlockDeviceMappings                      []BlockDeviceMapping            `wire:"BlockDeviceMapping"`
	TagSpecifications                        []TagSpecification              `wire:"TagSpecification"`
	IamInstanceProfile                       *ProfileSpecification
	MetadataOptions                          *MetadataOptions
	Monitoring                               *MonitoringRequest
	Placement                                *PlacementRequest
	CreditSpecification                      *CreditRequest
	InstanceInitiatedShutdownBehavior        string
	DisableApiTermination                    *bool
	DisableApiStop                           *bool
	EbsOptimized                             *bool
}

// ResponseLaunchTemplateData is the same as the API shows it.
type ResponseLaunchTemplateData struct {
	ImageId, InstanceType, KeyName, UserData string
	SecurityGroupIds                         []string                              `wire:"securityGroupIdSet"`
	SecurityGroups                           []string                              `wire:"securityGroupSet"`
	NetworkInterfaces                        []LaunchTemplateNetworkInterface      `wire:"networkInterfaceSet"`
	BlockDeviceMappings                      []BlockDeviceMapping                  `wire:"blockDeviceMappingSet"`
	TagSpecifications                        []LaunchTemplateTagSpecificationShown `wire:"tagSpecificationSet"`
	IamInstanceProfile                       *ProfileSpecification
	MetadataOptions                          *MetadataOptions
	Monitoring                               *MonitoringRequest
	Placement                                *PlacementRequest
	CreditSpecification                      *CreditRequest
	InstanceInitiatedShutdownBehavior        string
	DisableApiTermination                    *bool
	DisableApiStop                           *bool
	EbsOptimized                             *bool
}

// LaunchTemplateNetworkInterface as the API shows it.
type LaunchTemplateNetworkInterface struct {
	DeviceIndex              *int64
	SubnetId, Description    string
	Groups                   []string `wire:"groupSet,item=groupId"`
	AssociatePublicIpAddress *bool
	DeleteOnTermination      *bool
	PrivateIpAddress         string
}

// LaunchTemplateTagSpecificationShown as the API shows it.
type LaunchTemplateTagSpecificationShown struct {
	ResourceType string
	Tags         []Tag `wire:"tagSet"`
}

// LaunchTemplate as the API shows it.
type LaunchTemplate struct {
	LaunchTemplateId, LaunchTemplateName, CreatedBy string
	CreateTime                                      time.Time
	DefaultVersionNumber, LatestVersionNumber       int64
	Tags                                            []Tag `wire:"tagSet"`
}

// LaunchTemplateVersion as the API shows it.
type LaunchTemplateVersion struct {
	LaunchTemplateId, LaunchTemplateName, CreatedBy, VersionDescription string
	VersionNumber                                                       int64
	DefaultVersion                                                      bool
	CreateTime                                                          time.Time
	LaunchTemplateData                                                  ResponseLaunchTemplateData
}

// CreateLaunchTemplateInput of CreateLaunchTemplate.
type CreateLaunchTemplateInput struct {
	LaunchTemplateName, VersionDescription, ClientToken string
	LaunchTemplateData                                  *RequestLaunchTemplateData
	TagSpecifications                                   []TagSpecification `wire:"TagSpecification"`
}

// CreateLaunchTemplateOutput of CreateLaunchTemplate, ModifyLaunchTemplate and DeleteLaunchTemplate.
type CreateLaunchTemplateOutput struct{ LaunchTemplate LaunchTemplate }

// CreateLaunchTemplateVersionInput of CreateLaunchTemplateVersion.
type CreateLaunchTemplateVersionInput struct {
	LaunchTemplateId, LaunchTemplateName, SourceVersion, VersionDescription, ClientToken string
	LaunchTemplateData                                                                   *RequestLaunchTemplateData
	ResolveAlias                                                                         *bool
}

// CreateLaunchTemplateVersionOutput of CreateLaunchTemplateVersion.
type CreateLaunchTemplateVersionOutput struct{ LaunchTemplateVersion LaunchTemplateVersion }

// DescribeLaunchTemplatesInput of DescribeLaunchTemplates.
type DescribeLaunchTemplatesInput struct {
	LaunchTemplateIds   []string `wire:"LaunchTemplateId"`
	LaunchTemplateNames []string `wire:"LaunchTemplateName"`
	Filters             []Filter `wire:"Filter"`
	MaxResults          *int64
	NextToken           string
}

// DescribeLaunchTemplatesOutput of DescribeLaunchTemplates.
type DescribeLaunchTemplatesOutput struct {
	LaunchTemplates []LaunchTemplate `wire:"launchTemplates"`
	NextToken       string
}

// DescribeLaunchTemplateVersionsInput of DescribeLaunchTemplateVersions.
type DescribeLaunchTemplateVersionsInput struct {
	LaunchTemplateId, LaunchTemplateName string
	Versions                             []string `wire:"LaunchTemplateVersion"`
	MinVersion, MaxVersion               string
	Filters                              []Filter `wire:"Filter"`
	ResolveAlias                         *bool
	MaxResults                           *int64
	NextToken                            string
}

// DescribeLaunchTemplateVersionsOutput of DescribeLaunchTemplateVersions.
type DescribeLaunchTemplateVersionsOutput struct {
	LaunchTemplateVersions []LaunchTemplateVersion `wire:"launchTemplateVersionSet"`
	NextToken              string
}

// ModifyLaunchTemplateInput of ModifyLaunchTemplate.
type ModifyLaunchTemplateInput struct {
	LaunchTemplateId, LaunchTemplateName, ClientToken string
	DefaultVersion                                    string `wire:"SetDefaultVersion"`
}

// DeleteLaunchTemplateInput of DeleteLaunchTemplate.
type DeleteLaunchTemplateInput struct{ LaunchTemplateId, LaunchTemplateName string }

// DeleteLaunchTemplateVersionsInput of DeleteLaunchTemplateVersions.
type DeleteLaunchTemplateVersionsInput struct {
	LaunchTemplateId, LaunchTemplateName string
	Versions                             []string `wire:"LaunchTemplateVersion"`
}

// DeleteLaunchTemplateVersionsOutput of DeleteLaunchTemplateVersions.
type DeleteLaunchTemplateVersionsOutput struct {
	SuccessfullyDeletedLaunchTemplateVersions   []DeletedVersion `wire:"successfullyDeletedLaunchTemplateVersionSet"`
	UnsuccessfullyDeletedLaunchTemplateVersions []DeletedVersion `wire:"unsuccessfullyDeletedLaunchTemplateVersionSet"`
}

// DeletedVersion is one version that was or was not deleted.
type DeletedVersion struct {
	LaunchTemplateId, LaunchTemplateName string
	VersionNumber                        int64
	ResponseError                        *StateReason
}
