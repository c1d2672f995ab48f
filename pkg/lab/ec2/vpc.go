package ec2

import (
	"net/netip"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// The quotas of a new account, which the lab enforces.
const (
	QuotaVPCs      = 5
	QuotaAddresses = 5
)

// Vpc is a virtual network as the API shows it.
type Vpc struct {
	VpcId, State, CidrBlock, DhcpOptionsId, InstanceTenancy, OwnerId string
	IsDefault                                                        bool
	CidrBlockAssociationSet                                          []VpcCidrBlockAssociation
	Tags                                                             []Tag `wire:"tagSet"`
}

// VpcCidrBlockAssociation is a CIDR block of a VPC.
type VpcCidrBlockAssociation struct {
	AssociationId, CidrBlock string
	CidrBlockState           struct{ State string }
}

// CreateVpcInput of CreateVpc.
type CreateVpcInput struct {
	CidrBlock, InstanceTenancy  string
	AmazonProvidedIpv6CidrBlock *bool
	TagSpecifications           []TagSpecification `wire:"TagSpecification"`
}

// CreateVpcOutput of CreateVpc.
type CreateVpcOutput struct{ Vpc Vpc }

// DeleteVpcInput of DeleteVpc.
type DeleteVpcInput struct{ VpcId string }

// DescribeVpcsInput of DescribeVpcs.
type DescribeVpcsInput struct {
	VpcIds     []string `wire:"VpcId"`
	Filters    []Filter `wire:"Filter"`
	MaxResults *int64
	NextToken  string
}

// DescribeVpcsOutput of DescribeVpcs.
type DescribeVpcsOutput struct {
	Vpcs      []Vpc `wire:"vpcSet"`
	NextToken string
}

// ModifyVpcAttributeInput of ModifyVpcAttribute; one attribute at a time, as in AWS.
type ModifyVpcAttributeInput struct {
	VpcId              string
	EnableDnsHostnames *AttributeBooleanValue
	EnableDnsSupport   *AttributeBooleanValue
}

// DescribeVpcAttributeInput of DescribeVpcAttribute.
type DescribeVpcAttributeInput struct{ VpcId, Attribute string }

// DescribeVpcAttributeOutput of DescribeVpcAttribute.
type DescribeVpcAttributeOutput struct {
	VpcId              string
	EnableDnsHostnames *AttributeBooleanValue
	EnableDnsSupport   *AttributeBooleanValue
}

func noVpc(id string) error { return notFound("InvalidVpcID", "vpc ID", id) }

// CreateVpc makes a VPC with its main route table and default security group.
func CreateVpc(tx *core.Tx, in *CreateVpcInput) (*CreateVpcOutput, error) {
	if in.CidrBlock == "" {
		return nil, missing("cidrBlock")
	}
	p, err := cidr(in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if p.Bits() < 16 || p.Bits() > 28 {
		return nil, wire.Errorf("InvalidVpc.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	if err := checkTags(in.TagSpecifications, "vpc"); err != nil {
		return nil, err
	}
	if yes(in.AmazonProvidedIpv6CidrBlock) {
		return nil, wire.Errorf("UnsupportedOperation", "The lab has no IPv6 addresses")
	}
	if len(tx.Region.VPCs) >= QuotaVPCs {
		return nil, wire.Errorf("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	v := makeVpc(tx, p.String())
	v.Tags = tagsFor("vpc", in.TagSpecifications)
	return &CreateVpcOutput{Vpc: showVpc(tx, v)}, nil
}

func makeVpc(tx *core.Tx, block string) *state.VPC {
	v := &state.VPC{ID: tx.ID("vpc"), CIDR: block, DNSSupport: true, Tags: state.Tags{}}
	tx.Region.VPCs[v.ID] = v
	rtb := &state.RouteTable{
		ID: tx.ID("rtb"), VPCID: v.ID, Main: true, Tags: state.Tags{},
		Routes:       []state.Route{{Destination: block, Gateway: "local"}},
		Associations: map[string]string{tx.ID("rtbassoc"): ""},
	}
	tx.Region.RouteTables[rtb.ID] = rtb
	sg := &state.SecurityGroup{ID: tx.ID("sg"), Name: "default", Description: "default VPC security group", VPCID: v.ID, Tags: state.Tags{}}
	sg.Ingress = []state.Rule{{ID: tx.ID("sgr"), Protocol: "-1", From: -1, To: -1, Group: sg.ID}}
	sg.Egress = []state.Rule{{ID: tx.ID("sgr"), Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0"}}
	tx.Region.SecurityGroups[sg.ID] = sg
	return v
}

// DeleteVpc removes a VPC that holds nothing any more but what was made with it.
func DeleteVpc(tx *core.Tx, in *DeleteVpcInput) (*Done, error) {
	v := tx.Region.VPCs[in.VpcId]
	if v == nil {
		return nil, noVpc(in.VpcId)
	}
	busy := wire.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", v.ID)
	for _, s := range tx.Region.Subnets {
		if s.VPCID == v.ID {
			return nil, busy
		}
	}
	for _, g := range tx.Region.InternetGateways {
		if g.VPCID == v.ID {
			return nil, busy
		}
	}
	for _, g := range tx.Region.SecurityGroups {
		if g.VPCID == v.ID && g.Name != "default" {
			return nil, busy
		}
	}
	for _, t := range tx.Region.RouteTables {
		if t.VPCID == v.ID && !t.Main {
			return nil, busy
		}
	}
	for id, t := range tx.Region.RouteTables {
		if t.VPCID == v.ID {
			delete(tx.Region.RouteTables, id)
		}
	}
	for id, g := range tx.Region.SecurityGroups {
		if g.VPCID == v.ID {
			delete(tx.Region.SecurityGroups, id)
		}
	}
	delete(tx.Region.VPCs, v.ID)
	return done, nil
}

// DescribeVpcs lists VPCs.
func DescribeVpcs(tx *core.Tx, in *DescribeVpcsInput) (*DescribeVpcsOutput, error) {
	list, err := pick(tx.Region.VPCs, in.VpcIds, noVpc)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(v *state.VPC) state.Tags { return v.Tags }, func(v *state.VPC) attrs {
		return attrs{
			"vpc-id": one(v.ID), "cidr": one(v.CIDR), "cidr-block-association.cidr-block": one(v.CIDR), "state": one("available"),
			"is-default": boolText(v.Default), "isDefault": boolText(v.Default), "owner-id": one(tx.World.Account), "dhcp-options-id": one("default"),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(v *state.VPC) string { return v.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeVpcsOutput{NextToken: next}
	for _, v := range list {
		out.Vpcs = append(out.Vpcs, showVpc(tx, v))
	}
	return out, nil
}

// ModifyVpcAttribute turns DNS support or DNS host names on or off.
func ModifyVpcAttribute(tx *core.Tx, in *ModifyVpcAttributeInput) (*Done, error) {
	v := tx.Region.VPCs[in.VpcId]
	if v == nil {
		return nil, noVpc(in.VpcId)
	}
	if in.EnableDnsHostnames != nil && in.EnableDnsSupport != nil {
		return nil, wire.Errorf("InvalidParameterCombination", "Only one attribute may be modified at a time")
	}
	if a := in.EnableDnsHostnames; a != nil {
		v.DNSHostnames = yes(a.Value)
	}
	if a := in.EnableDnsSupport; a != nil {
		v.DNSSupport = yes(a.Value)
	}
	return done, nil
}

// DescribeVpcAttribute tells one attribute.
func DescribeVpcAttribute(tx *core.Tx, in *DescribeVpcAttributeInput) (*DescribeVpcAttributeOutput, error) {
	v := tx.Region.VPCs[in.VpcId]
	if v == nil {
		return nil, noVpc(in.VpcId)
	}
	out := &DescribeVpcAttributeOutput{VpcId: v.ID}
	switch in.Attribute {
	case "enableDnsSupport":
		out.EnableDnsSupport = &AttributeBooleanValue{Value: &v.DNSSupport}
	case "enableDnsHostnames":
		out.EnableDnsHostnames = &AttributeBooleanValue{Value: &v.DNSHostnames}
	default:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

func showVpc(tx *core.Tx, v *state.VPC) Vpc {
	a := VpcCidrBlockAssociation{AssociationId: "vpc-cidr-assoc-" + v.ID[len("vpc-"):], CidrBlock: v.CIDR}
	a.CidrBlockState.State = "associated"
	return Vpc{
		VpcId: v.ID, State: "available", CidrBlock: v.CIDR, DhcpOptionsId: "default", InstanceTenancy: "default",
		OwnerId: tx.World.Account, IsDefault: v.Default, CidrBlockAssociationSet: []VpcCidrBlockAssociation{a}, Tags: tagList(v.Tags),
	}
}

// DefaultSecurityGroup is the id of the group that was made with the VPC.
func DefaultSecurityGroup(tx *core.Tx, vpc string) string {
	for _, g := range tx.Region.SecurityGroups {
		if g.VPCID == vpc && g.Name == "default" {
			return g.ID
		}
	}
	return ""
}

func defaultVpc(tx *core.Tx) *state.VPC {
	for _, v := range tx.Region.VPCs {
		if v.Default {
			return v
		}
	}
	return nil
}

// cidr parses an IPv4 block as EC2 does: host bits are cut off.
func cidr(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return p, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", s)
	}
	return p.Masked(), nil
}
