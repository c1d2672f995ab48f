package ec2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// The lab's two public networks (RFC 5737): instances have addresses of the
// first, Elastic IPs are of the second.
const (
	instanceNet = "203.0.113."
	elasticNet  = "198.51.100."
)

// Address is an Elastic IP as the API shows it.
type Address struct {
	PublicIp, AllocationId, AssociationId, Domain, InstanceId string
	NetworkInterfaceId, NetworkInterfaceOwnerId               string
	PrivateIpAddress, PublicIpv4Pool, NetworkBorderGroup      string
	Tags                                                      []Tag `wire:"tagSet"`
}

// AllocateAddressInput of AllocateAddress.
type AllocateAddressInput struct {
	Domain             string
	PublicIpv4Pool     string
	NetworkBorderGroup string
	TagSpecifications  []TagSpecification `wire:"TagSpecification"`
}

// AllocateAddressOutput of AllocateAddress.
type AllocateAddressOutput struct {
	PublicIp, AllocationId, Domain, PublicIpv4Pool, NetworkBorderGroup string
}

// ReleaseAddressInput of ReleaseAddress.
type ReleaseAddressInput struct{ AllocationId, PublicIp string }

// DescribeAddressesInput of DescribeAddresses.
type DescribeAddressesInput struct {
	AllocationIds []string `wire:"AllocationId"`
	PublicIps     []string `wire:"PublicIp"`
	Filters       []Filter `wire:"Filter"`
}

// DescribeAddressesOutput of DescribeAddresses.
type DescribeAddressesOutput struct {
	Addresses []Address `wire:"addressesSet"`
}

// AssociateAddressInput of AssociateAddress.
type AssociateAddressInput struct {
	AllocationId, PublicIp, InstanceId string
	AllowReassociation                 *bool
}

// AssociateAddressOutput of AssociateAddress.
type AssociateAddressOutput struct {
	Return        bool
	AssociationId string
}

// DisassociateAddressInput of DisassociateAddress.
type DisassociateAddressInput struct{ AssociationId, PublicIp string }

func noAddress(id string) error {
	return wire.Errorf("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
}

// AllocateAddress takes a new Elastic IP.
func AllocateAddress(tx *core.Tx, in *AllocateAddressInput) (*AllocateAddressOutput, error) {
	if in.Domain != "" && in.Domain != "vpc" {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter domain is invalid.", in.Domain)
	}
	if err := checkTags(in.TagSpecifications, "elastic-ip"); err != nil {
		return nil, err
	}
	if len(tx.Region.Addresses) >= QuotaAddresses {
		return nil, wire.Errorf("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	used := map[string]bool{}
	for _, r := range tx.World.Regions {
		for _, a := range r.Addresses {
			used[a.PublicIP] = true
		}
	}
	ip := freeIP(elasticNet, used)
	if ip == "" {
		return nil, wire.Errorf("InsufficientAddressCapacity", "There are not enough free addresses to satisfy the request.")
	}
	a := &state.Address{AllocationID: tx.ID("eipalloc"), PublicIP: ip, Tags: tagsFor("elastic-ip", in.TagSpecifications)}
	tx.Region.Addresses[a.AllocationID] = a
	return &AllocateAddressOutput{PublicIp: ip, AllocationId: a.AllocationID, Domain: "vpc", PublicIpv4Pool: "amazon", NetworkBorderGroup: tx.Region.Name}, nil
}

func freeIP(network string, used map[string]bool) string {
	for n := 1; n < 255; n++ {
		if ip := fmt.Sprint(network, n); !used[ip] {
			return ip
		}
	}
	return ""
}

func findAddress(tx *core.Tx, allocation, ip string) (*state.Address, error) {
	if allocation != "" {
		if a := tx.Region.Addresses[allocation]; a != nil {
			return a, nil
		}
		return nil, noAddress(allocation)
	}
	for _, a := range tx.Region.Addresses {
		if ip != "" && a.PublicIP == ip {
			return a, nil
		}
	}
	if ip == "" {
		return nil, missing("AllocationId")
	}
	return nil, wire.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", ip)
}

// ReleaseAddress gives an Elastic IP back.
func ReleaseAddress(tx *core.Tx, in *ReleaseAddressInput) (*Done, error) {
	a, err := findAddress(tx, in.AllocationId, in.PublicIp)
	if err != nil {
		return nil, err
	}
	if a.AssociationID != "" {
		return nil, wire.Errorf("InvalidIPAddress.InUse", "The address with allocation id [%s] cannot be released because it is in use.", a.AllocationID)
	}
	delete(tx.Region.Addresses, a.AllocationID)
	return done, nil
}

// DescribeAddresses lists Elastic IPs.
func DescribeAddresses(tx *core.Tx, in *DescribeAddressesInput) (*DescribeAddressesOutput, error) {
	ids := slices.Clone(in.AllocationIds)
	for _, ip := range in.PublicIps {
		a, err := findAddress(tx, "", ip)
		if err != nil {
			return nil, err
		}
		ids = append(ids, a.AllocationID)
	}
	list, err := pick(tx.Region.Addresses, ids, noAddress)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(a *state.Address) state.Tags { return a.Tags }, func(a *state.Address) attrs {
		return attrs{
			"allocation-id": one(a.AllocationID), "public-ip": one(a.PublicIP), "association-id": one(a.AssociationID), "domain": one("vpc"),
			"instance-id": one(a.InstanceID), "network-interface-id": one(a.ENI),
		}
	})
	if err != nil {
		return nil, err
	}
	out := &DescribeAddressesOutput{}
	for _, a := range list {
		s := Address{
			PublicIp: a.PublicIP, AllocationId: a.AllocationID, AssociationId: a.AssociationID, Domain: "vpc", InstanceId: a.InstanceID,
			NetworkInterfaceId: a.ENI, PublicIpv4Pool: "amazon", NetworkBorderGroup: tx.Region.Name, Tags: tagList(a.Tags),
		}
		if i := tx.Region.Instances[a.InstanceID]; i != nil {
			s.PrivateIpAddress = i.PrivateIP
		}
		if a.AssociationID != "" {
			s.NetworkInterfaceOwnerId = tx.World.Account
			if a.InstanceID == "" {
				s.NetworkInterfaceOwnerId = "amazon-elb"
			}
		}
		out.Addresses = append(out.Addresses, s)
	}
	return out, nil
}

// AssociateAddress gives an Elastic IP to an instance.
func AssociateAddress(tx *core.Tx, in *AssociateAddressInput) (*AssociateAddressOutput, error) {
	a, err := findAddress(tx, in.AllocationId, in.PublicIp)
	if err != nil {
		return nil, err
	}
	i := tx.Region.Instances[in.InstanceId]
	if i == nil || i.State == "terminated" {
		return nil, noInstance(in.InstanceId)
	}
	if a.AssociationID != "" && a.InstanceID != i.ID && !yes(in.AllowReassociation) {
		return nil, wire.Errorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.AllocationID, a.AssociationID)
	}
	if !attached(tx, i.VPCID) {
		return nil, wire.Errorf("Gateway.NotAttached", "Network %s is not attached to any internet gateway", i.VPCID)
	}
	if old := tx.Region.Instances[a.InstanceID]; old != nil && old != i {
		old.PublicIP = ""
	}
	if a.AssociationID == "" || a.InstanceID != i.ID {
		a.AssociationID = tx.ID("eipassoc")
	}
	a.InstanceID, a.ENI = i.ID, i.ENI
	i.PublicIP = a.PublicIP
	return &AssociateAddressOutput{Return: true, AssociationId: a.AssociationID}, nil
}

// DisassociateAddress takes an Elastic IP away from whatever holds it.
func DisassociateAddress(tx *core.Tx, in *DisassociateAddressInput) (*Done, error) {
	for _, a := range tx.Region.Addresses {
		if a.AssociationID == "" || (a.AssociationID != in.AssociationId && (in.PublicIp == "" || a.PublicIP != in.PublicIp)) {
			continue
		}
		if a.InstanceID == "" {
			return nil, wire.Errorf("AuthFailure", "You do not have permission to access the specified resource.")
		}
		if i := tx.Region.Instances[a.InstanceID]; i != nil {
			i.PublicIP = ""
		}
		a.AssociationID, a.InstanceID, a.ENI = "", "", ""
		return done, nil
	}
	return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationId)
}

func attached(tx *core.Tx, vpc string) bool {
	for _, g := range tx.Region.InternetGateways {
		if g.VPCID == vpc {
			return true
		}
	}
	return false
}

// ClaimAddress gives an Elastic IP to a load balancer's network interface and tells the public address.
func ClaimAddress(tx *core.Tx, allocation, eni string) (string, error) {
	a := tx.Region.Addresses[allocation]
	if a == nil {
		return "", noAddress(allocation)
	}
	if a.AssociationID != "" && a.ENI != eni {
		return "", wire.Errorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.AllocationID, a.AssociationID)
	}
	if a.AssociationID == "" {
		a.AssociationID, a.ENI = tx.ID("eipassoc"), eni
	}
	return a.PublicIP, nil
}

// UnclaimAddress takes it back. An unknown or free address is no error.
func UnclaimAddress(tx *core.Tx, allocation string) {
	if a := tx.Region.Addresses[allocation]; a != nil && a.InstanceID == "" {
		a.AssociationID, a.ENI = "", ""
	}
}

// AddressByIP finds an Elastic IP in all regions; nil if there is none.
func AddressByIP(w *state.World, ip string) (region string, a *state.Address) {
	if !strings.HasPrefix(ip, elasticNet) {
		return "", nil
	}
	for name, r := range w.Regions {
		for _, a := range r.Addresses {
			if a.PublicIP == ip {
				return name, a
			}
		}
	}
	return "", nil
}

// InstanceByPublicIP finds the instance that has a public address now, in all regions; nil if there is none.
func InstanceByPublicIP(w *state.World, ip string) (region string, i *state.Instance) {
	for name, r := range w.Regions {
		for _, i := range r.Instances {
			if ip != "" && i.PublicIP == ip && i.State != "terminated" {
				return name, i
			}
		}
	}
	return "", nil
}

// InstanceByPrivateIP finds the instance of a VPC by its address in it; nil if there is none.
func InstanceByPrivateIP(tx *core.Tx, vpc, ip string) *state.Instance {
	for _, i := range tx.Region.Instances {
		if i.VPCID == vpc && i.PrivateIP == ip && i.State != "terminated" {
			return i
		}
	}
	return nil
}

// PublicDNSName is the name that leads to a public address of the region.
func PublicDNSName(region, ip string) string {
	return "ec2-" + strings.ReplaceAll(ip, ".", "-") + "." + region + ".compute.amazonaws.com"
}

// IPFromDNSName is the address a PublicDNSName stands for; "" if it is none.
func IPFromDNSName(name string) string {
	host, rest, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	if !strings.HasPrefix(host, "ec2-") || !strings.HasSuffix(rest, ".compute.amazonaws.com") {
		return ""
	}
	return strings.ReplaceAll(host[len("ec2-"):], "-", ".")
}
