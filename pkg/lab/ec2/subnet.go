package ec2

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Subnet as the API shows it.
type Subnet struct {
	SubnetId, SubnetArn, State, VpcId, CidrBlock string
	AvailabilityZone, AvailabilityZoneId         string
	OwnerId                                      string
	AvailableIpAddressCount                      int64
	DefaultForAz, MapPublicIpOnLaunch            bool
	AssignIpv6AddressOnCreation                  bool
	Tags                                         []Tag `wire:"tagSet"`
}

// CreateSubnetInput of CreateSubnet.
type CreateSubnetInput struct {
	VpcId, CidrBlock, AvailabilityZone, AvailabilityZoneId string
	TagSpecifications                                      []TagSpecification `wire:"TagSpecification"`
}

// CreateSubnetOutput of CreateSubnet.
type CreateSubnetOutput struct{ Subnet Subnet }

// DeleteSubnetInput of DeleteSubnet.
type DeleteSubnetInput struct{ SubnetId string }

// DescribeSubnetsInput of DescribeSubnets.
type DescribeSubnetsInput struct {
	SubnetIds  []string `wire:"SubnetId"`
	Filters    []Filter `wire:"Filter"`
	MaxResults *int64
	NextToken  string
}

// DescribeSubnetsOutput of DescribeSubnets.
type DescribeSubnetsOutput struct {
	Subnets   []Subnet `wire:"subnetSet"`
	NextToken string
}

// ModifySubnetAttributeInput of ModifySubnetAttribute.
type ModifySubnetAttributeInput struct {
	SubnetId            string
	MapPublicIpOnLaunch *AttributeBooleanValue
}

func noSubnet(id string) error { return notFound("InvalidSubnetID", "subnet ID", id) }

// CreateSubnet makes a subnet in one zone of the VPC.
func CreateSubnet(tx *core.Tx, in *CreateSubnetInput) (*CreateSubnetOutput, error) {
	v := tx.Region.VPCs[in.VpcId]
	if v == nil {
		return nil, noVpc(in.VpcId)
	}
	p, err := cidr(in.CidrBlock)
	if err != nil {
		return nil, err
	}
	whole := netip.MustParsePrefix(v.CIDR)
	if p.Bits() < whole.Bits() || p.Bits() > 28 || !whole.Contains(p.Addr()) {
		return nil, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	for _, s := range tx.Region.Subnets {
		if s.VPCID == v.ID && netip.MustParsePrefix(s.CIDR).Overlaps(p) {
			return nil, wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", in.CidrBlock)
		}
	}
	az := in.AvailabilityZone
	if az == "" && in.AvailabilityZoneId != "" {
		az = zoneByID(tx.Region.Name, in.AvailabilityZoneId)
	}
	if az == "" {
		az = Zones(tx.Region.Name)[0]
	}
	if !isZone(tx.Region.Name, az) {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", az, strings.Join(Zones(tx.Region.Name), ", "))
	}
	if err := checkTags(in.TagSpecifications, "subnet"); err != nil {
		return nil, err
	}
	s := &state.Subnet{ID: tx.ID("subnet"), VPCID: v.ID, CIDR: p.String(), AZ: az, Tags: tagsFor("subnet", in.TagSpecifications)}
	tx.Region.Subnets[s.ID] = s
	return &CreateSubnetOutput{Subnet: showSubnet(tx, s)}, nil
}

// DeleteSubnet removes a subnet nothing lives in.
func DeleteSubnet(tx *core.Tx, in *DeleteSubnetInput) (*Done, error) {
	s := tx.Region.Subnets[in.SubnetId]
	if s == nil {
		return nil, noSubnet(in.SubnetId)
	}
	busy := wire.Errorf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", s.ID)
	for _, i := range tx.Region.Instances {
		if i.SubnetID == s.ID && i.State != "terminated" {
			return nil, busy
		}
	}
	for _, lb := range tx.Region.LoadBalancers {
		for _, l := range lb.Subnets {
			if l.SubnetID == s.ID {
				return nil, busy
			}
		}
	}
	for _, d := range tx.Region.DBInstances {
		if d.SubnetID == s.ID {
			return nil, busy
		}
	}
	for _, t := range tx.Region.RouteTables {
		for id, subnet := range t.Associations {
			if subnet == s.ID {
				delete(t.Associations, id)
			}
		}
	}
	delete(tx.Region.Subnets, s.ID)
	return done, nil
}

// DescribeSubnets lists subnets.
func DescribeSubnets(tx *core.Tx, in *DescribeSubnetsInput) (*DescribeSubnetsOutput, error) {
	list, err := pick(tx.Region.Subnets, in.SubnetIds, noSubnet)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(s *state.Subnet) state.Tags { return s.Tags }, func(s *state.Subnet) attrs {
		return attrs{
			"subnet-id": one(s.ID), "vpc-id": one(s.VPCID), "cidr": one(s.CIDR), "cidrBlock": one(s.CIDR), "cidr-block": one(s.CIDR),
			"availability-zone": one(s.AZ), "availabilityZone": one(s.AZ), "availability-zone-id": one(zoneID(s.AZ)), "state": one("available"),
			"default-for-az": boolText(s.Default), "defaultForAz": boolText(s.Default), "map-public-ip-on-launch": boolText(s.PublicOnLaunch),
			"owner-id": one(tx.World.Account),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(s *state.Subnet) string { return s.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeSubnetsOutput{NextToken: next}
	for _, s := range list {
		out.Subnets = append(out.Subnets, showSubnet(tx, s))
	}
	return out, nil
}

// ModifySubnetAttribute says whether new instances get a public address.
func ModifySubnetAttribute(tx *core.Tx, in *ModifySubnetAttributeInput) (*Done, error) {
	s := tx.Region.Subnets[in.SubnetId]
	if s == nil {
		return nil, noSubnet(in.SubnetId)
	}
	if in.MapPublicIpOnLaunch != nil {
		s.PublicOnLaunch = yes(in.MapPublicIpOnLaunch.Value)
	}
	return done, nil
}

func showSubnet(tx *core.Tx, s *state.Subnet) Subnet {
	return Subnet{
		SubnetId: s.ID, SubnetArn: tx.ARN("ec2", "subnet/"+s.ID), State: "available", VpcId: s.VPCID, CidrBlock: s.CIDR,
		AvailabilityZone: s.AZ, AvailabilityZoneId: zoneID(s.AZ), OwnerId: tx.World.Account,
		AvailableIpAddressCount: hosts(s) - int64(len(usedHosts(tx, s))), DefaultForAz: s.Default, MapPublicIpOnLaunch: s.PublicOnLaunch,
		Tags: tagList(s.Tags),
	}
}

// firstHost is the first address AWS gives out: it keeps the first four of a subnet and the last.
const firstHost = 4

func hosts(s *state.Subnet) int64 {
	return int64(1)<<(32-netip.MustParsePrefix(s.CIDR).Bits()) - firstHost - 1
}

func usedHosts(tx *core.Tx, s *state.Subnet) map[string]bool {
	used := map[string]bool{}
	for _, i := range tx.Region.Instances {
		if i.SubnetID == s.ID && i.State != "terminated" {
			used[i.PrivateIP] = true
		}
	}
	for _, lb := range tx.Region.LoadBalancers {
		for _, z := range lb.Subnets {
			if z.SubnetID == s.ID {
				used[z.PrivateIP] = true
			}
		}
	}
	for _, d := range tx.Region.DBInstances {
		if d.SubnetID == s.ID {
			used[d.PrivateIP] = true
		}
	}
	return used
}

// TakePublic gives out a public address that is no Elastic IP; "" when all are taken.
func TakePublic(tx *core.Tx) string { return freePublicIP(tx) }

// TakeHost gives out an address of a subnet, for a network interface of another service.
func TakeHost(tx *core.Tx, subnet string) (string, error) {
	s := tx.Region.Subnets[subnet]
	if s == nil {
		return "", noSubnet(subnet)
	}
	return nextHost(tx, s)
}

// nextHost gives out an address of the subnet, in turn, so that one just freed is not reused at once.
func nextHost(tx *core.Tx, s *state.Subnet) (string, error) {
	n := hosts(s)
	used := usedHosts(tx, s)
	base := binary.BigEndian.Uint32(netip.MustParsePrefix(s.CIDR).Addr().AsSlice())
	for k := range n {
		host := firstHost + (s.NextHost+k)%n
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+uint32(host))
		if ip := netip.AddrFrom4(b).String(); !used[ip] {
			s.NextHost = (s.NextHost + k + 1) % n
			return ip, nil
		}
	}
	return "", wire.Errorf("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses to satisfy the request.")
}
