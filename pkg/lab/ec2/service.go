// Package ec2 is the lab's EC2: networks, security groups, addresses, launch
// templates, images and the instances that pkg/lab/runtime makes machines of.
//
// Every action is an exported function over the world, which other services of
// the lab call as well: RunInstances is the same for Packer and for an Auto
// Scaling group.
package ec2

import (
	"reflect"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// Service is EC2 as a service of the lab.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "ec2" }

// Actions are the actions the API answers.
func (Service) Actions() []core.Action {
	return []core.Action{
		act("AllocateAddress", AllocateAddress),
		act("AssociateAddress", AssociateAddress),
		act("AssociateRouteTable", AssociateRouteTable),
		act("AttachInternetGateway", AttachInternetGateway),
		act("AttachVolume", AttachVolume),
		act("AuthorizeSecurityGroupEgress", AuthorizeSecurityGroupEgress).Lacks("GroupName", "SecurityGroupRuleIds"),
		act("AuthorizeSecurityGroupIngress", AuthorizeSecurityGroupIngress).Lacks("SecurityGroupRuleIds"),
		act("CopyImage", CopyImage),
		act("CreateImage", CreateImage),
		act("CreateInternetGateway", CreateInternetGateway),
		core.Fetching("CreateKeyPair", makeKey, createKeyPair),
		act("CreateLaunchTemplate", CreateLaunchTemplate),
		act("CreateLaunchTemplateVersion", CreateLaunchTemplateVersion),
		act("CreateRoute", CreateRoute),
		act("CreateRouteTable", CreateRouteTable),
		act("CreateSecurityGroup", CreateSecurityGroup),
		act("CreateSnapshot", CreateSnapshot),
		act("CreateSubnet", CreateSubnet),
		act("CreateTags", CreateTags),
		act("CreateVolume", CreateVolume),
		act("CreateVpc", CreateVpc),
		act("DeleteInternetGateway", DeleteInternetGateway).Lacks("VpcId"),
		act("DeleteKeyPair", DeleteKeyPair),
		act("DeleteLaunchTemplate", DeleteLaunchTemplate),
		act("DeleteLaunchTemplateVersions", DeleteLaunchTemplateVersions),
		act("DeleteRoute", DeleteRoute),
		act("DeleteRouteTable", DeleteRouteTable),
		act("DeleteSecurityGroup", DeleteSecurityGroup),
		act("DeleteSnapshot", DeleteSnapshot),
		act("DeleteSubnet", DeleteSubnet),
		act("DeleteTags", DeleteTags),
		act("DeleteVolume", DeleteVolume),
		act("DeleteVpc", DeleteVpc),
		act("DeregisterImage", DeregisterImage),
		act("DescribeAccountAttributes", DescribeAccountAttributes),
		act("DescribeAddresses", DescribeAddresses),
		act("DescribeAvailabilityZones", DescribeAvailabilityZones),
		act("DescribeImageAttribute", DescribeImageAttribute),
		act("DescribeImages", DescribeImages),
		act("DescribeInstanceAttribute", DescribeInstanceAttribute),
		act("DescribeInstanceStatus", DescribeInstanceStatus),
		act("DescribeInstanceTypeOfferings", DescribeInstanceTypeOfferings),
		act("DescribeInstanceTypes", DescribeInstanceTypes),
		act("DescribeInstances", DescribeInstances),
		act("DescribeInternetGateways", DescribeInternetGateways),
		act("DescribeKeyPairs", DescribeKeyPairs),
		act("DescribeLaunchTemplateVersions", DescribeLaunchTemplateVersions),
		act("DescribeLaunchTemplates", DescribeLaunchTemplates),
		act("DescribeRegions", DescribeRegions),
		act("DescribeRouteTables", DescribeRouteTables),
		act("DescribeSecurityGroupRules", DescribeSecurityGroupRules),
		act("DescribeSecurityGroups", DescribeSecurityGroups),
		act("DescribeSnapshots", DescribeSnapshots),
		act("DescribeSubnets", DescribeSubnets),
		act("DescribeTags", DescribeTags),
		act("DescribeVolumes", DescribeVolumes),
		act("DescribeVpcAttribute", DescribeVpcAttribute),
		act("DescribeVpcs", DescribeVpcs),
		act("DetachInternetGateway", DetachInternetGateway),
		act("DetachVolume", DetachVolume),
		act("DisableImageDeprecation", DisableImageDeprecation).Lacks("WithCooldown"),
		act("DisableImageDeregistrationProtection", DisableImageDeregistrationProtection).Lacks("WithCooldown"),
		act("DisassociateAddress", DisassociateAddress),
		act("DisassociateRouteTable", DisassociateRouteTable),
		act("EnableImageDeprecation", EnableImageDeprecation),
		act("EnableImageDeregistrationProtection", EnableImageDeregistrationProtection),
		core.Fetching("GetConsoleOutput", fetchConsole, getConsoleOutput),
		act("ImportKeyPair", ImportKeyPair),
		act("ModifyImageAttribute", ModifyImageAttribute),
		act("ModifyInstanceAttribute", ModifyInstanceAttribute),
		act("ModifyLaunchTemplate", ModifyLaunchTemplate),
		act("ModifySubnetAttribute", ModifySubnetAttribute),
		act("ModifyVolume", ModifyVolume),
		act("ModifyVpcAttribute", ModifyVpcAttribute),
		act("RebootInstances", RebootInstances).Lacks("Force", "Hibernate", "SkipOsShutdown", "AdditionalInfo"),
		act("RegisterImage", RegisterImage),
		act("ReleaseAddress", ReleaseAddress),
		act("ReplaceRoute", ReplaceRoute),
		act("ReplaceRouteTableAssociation", ReplaceRouteTableAssociation),
		act("RevokeSecurityGroupEgress", RevokeSecurityGroupEgress).Lacks("GroupName", "TagSpecifications"),
		act("RevokeSecurityGroupIngress", RevokeSecurityGroupIngress).Lacks("TagSpecifications"),
		act("RunInstances", RunInstances),
		act("SendDiagnosticInterrupt", SendDiagnosticInterrupt),
		act("StartInstances", StartInstances).Lacks("Force", "Hibernate", "SkipOsShutdown"),
		act("StopInstances", StopInstances).Lacks("AdditionalInfo"),
		act("TerminateInstances", TerminateInstances).Lacks("Hibernate", "AdditionalInfo"),
	}
}

// act is core.Act for callers from outside, who may not set tags of AWS.
func act[I, O any](name string, fn func(tx *core.Tx, in *I) (*O, error)) core.Action {
	return core.Act(name, func(tx *core.Tx, in *I) (*O, error) {
		if err := reserved(reflect.ValueOf(in)); err != nil {
			return nil, err
		}
		return fn(tx, in)
	})
}
