package elb

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var validName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)

// zoneIDs are the hosted zones that the names of Network Load Balancers live in.
var zoneIDs = map[string]string{
	"eu-west-1": "Z2IFOLAFXWLO4F", "eu-central-1": "Z3F0SRJ5LGBH90", "us-east-1": "Z26RNL4JYFTOTI",
	"us-east-2": "ZLMOA37VPKANP", "us-west-2": "Z18D5FSROUN65G",
}

// CreateLoadBalancer makes a Network Load Balancer, which becomes active a
// little later. The same name with the same settings finds the one there is.
func CreateLoadBalancer(tx *core.Tx, in *CreateLoadBalancerInput) (*CreateLoadBalancerOutput, error) {
	switch {
	case !validName.MatchString(in.Name) || strings.HasPrefix(in.Name, "internal-"):
		return nil, wire.Errorf("ValidationError", "The load balancer name '%s' must contain only characters that are alphanumeric or hyphens(-), at most 32, must not begin or end with a hyphen and must not begin with 'internal-'", in.Name)
	case in.Type != "network":
		return nil, wire.Errorf("ValidationError", "The lab has load balancers of type 'network' only, not '%s'", in.Type)
	case in.Scheme != "" && in.Scheme != "internet-facing" && in.Scheme != "internal":
		return nil, wire.Errorf("InvalidScheme", "The scheme '%s' is not valid", in.Scheme)
	case in.IpAddressType != "" && in.IpAddressType != "ipv4":
		return nil, wire.Errorf("ValidationError", "The lab has the IP address type 'ipv4' only, not '%s'", in.IpAddressType)
	}
	scheme := in.Scheme
	if scheme == "" {
		scheme = "internet-facing"
	}
	var same *state.LoadBalancer
	for _, arn := range sortedKeys(tx.Region.LoadBalancers) {
		if lb := tx.Region.LoadBalancers[arn]; lb.Name == in.Name {
			same = lb
		}
	}
	zones, vpc, err := placement(tx, same, scheme, in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if err := checkGroups(tx, vpc, in.SecurityGroups); err != nil {
		return nil, err
	}
	if same != nil {
		if same.Scheme != scheme || !sameZones(same.Subnets, zones) || !sameSet(same.SecurityGroups, in.SecurityGroups) {
			return nil, wire.Errorf("DuplicateLoadBalancerName", "A load balancer with the same name '%s' exists, but with different settings", in.Name)
		}
		return &CreateLoadBalancerOutput{LoadBalancers: []LoadBalancer{describe(same)}}, nil
	}
	id := core.Hex(16)
	dns := in.Name + "-" + id
	if scheme == "internal" {
		dns = "internal-" + dns
	}
	zone := zoneIDs[tx.Region.Name]
	if zone == "" {
		zone = "Z2IFOLAFXWLO4F"
	}
	lb := &state.LoadBalancer{
		ARN: tx.ARN("elasticloadbalancing", "loadbalancer/net/"+in.Name+"/"+id), Name: in.Name,
		DNSName: strings.ToLower(dns) + ".elb." + tx.Region.Name + ".amazonaws.com", ZoneID: zone,
		Scheme: scheme, Type: "network", IPType: "ipv4", VPCID: vpc, State: "provisioning",
		Created: tx.Now, ActiveAt: tx.After(provisioning),
		SecurityGroups: slices.Clone(in.SecurityGroups), Attributes: balancerDefaults(), Tags: toTags(in.Tags),
	}
	settle(tx, lb, zones)
	tx.Region.LoadBalancers[lb.ARN] = lb
	tx.Changed()
	return &CreateLoadBalancerOutput{LoadBalancers: []LoadBalancer{describe(lb)}}, nil
}

// placement checks subnets and mappings against the world, changing nothing.
// Addresses that lb holds already count as free.
func placement(tx *core.Tx, lb *state.LoadBalancer, scheme string, subnets []string, mappings []SubnetMapping) ([]state.LoadBalancerSubnet, string, error) {
	if len(subnets) > 0 && len(mappings) > 0 {
		return nil, "", wire.Errorf("ValidationError", "You can specify either subnets or subnet mappings, not both")
	}
	for _, s := range subnets {
		mappings = append(mappings, SubnetMapping{SubnetId: s})
	}
	if len(mappings) == 0 {
		return nil, "", wire.Errorf("ValidationError", "You must specify at least one subnet")
	}
	var zones []state.LoadBalancerSubnet
	vpc := ""
	taken := map[string]bool{}
	for _, m := range mappings {
		s := tx.Region.Subnets[m.SubnetId]
		if s == nil {
			return nil, "", wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", m.SubnetId)
		}
		if vpc != "" && vpc != s.VPCID {
			return nil, "", wire.Errorf("InvalidSubnet", "All subnets must belong to the same VPC: '%s'", vpc)
		}
		vpc = s.VPCID
		if slices.ContainsFunc(zones, func(z state.LoadBalancerSubnet) bool { return z.AZ == s.AZ }) {
			return nil, "", wire.Errorf("InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		z := state.LoadBalancerSubnet{SubnetID: s.ID, AZ: s.AZ, AllocationID: m.AllocationId}
		if m.AllocationId != "" {
			if scheme == "internal" {
				return nil, "", wire.Errorf("InvalidConfigurationRequest", "You cannot specify an allocation ID for an internal load balancer")
			}
			a := tx.Region.Addresses[m.AllocationId]
			switch {
			case a == nil:
				return nil, "", wire.Errorf("AllocationIdNotFound", "The allocation IDs '%s' do not exist", m.AllocationId)
			case taken[a.AllocationID], a.AssociationID != "" && (lb == nil || !holds(lb, a.AllocationID)):
				return nil, "", wire.Errorf("ResourceInUse", "The allocation IDs '%s' are not available for use", m.AllocationId)
			}
			taken[a.AllocationID] = true
			z.PublicIP = a.PublicIP
		}
		zones = append(zones, z)
	}
	if scheme == "internet-facing" && !hasGateway(tx.Region, vpc) {
		return nil, "", wire.Errorf("InvalidSubnet", "VPC %s has no internet gateway", vpc)
	}
	return zones, vpc, nil
}

func hasGateway(r *state.Region, vpc string) bool {
	for _, g := range r.InternetGateways {
		if g.VPCID == vpc {
			return true
		}
	}
	return false
}

func holds(lb *state.LoadBalancer, allocation string) bool {
	return slices.ContainsFunc(lb.Subnets, func(z state.LoadBalancerSubnet) bool { return z.AllocationID == allocation })
}

func sameZones(a, b []state.LoadBalancerSubnet) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y state.LoadBalancerSubnet) bool {
			return x.SubnetID == y.SubnetID && x.AllocationID == y.AllocationID
		}) {
			return false
		}
	}
	return true
}

func sameSet(a, b []string) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

// settle moves lb into zones, which placement has checked: addresses are taken and let go.
func settle(tx *core.Tx, lb *state.LoadBalancer, zones []state.LoadBalancerSubnet) {
	for _, old := range lb.Subnets {
		if a := tx.Region.Addresses[old.AllocationID]; a != nil {
			a.AssociationID, a.ENI = "", ""
		}
	}
	for i := range zones {
		z := &zones[i]
		for _, old := range lb.Subnets {
			if old.SubnetID != z.SubnetID {
				continue
			}
			z.PrivateIP = old.PrivateIP
			if z.AllocationID == "" && old.AllocationID == "" {
				z.PublicIP = old.PublicIP
			}
		}
		if z.PrivateIP == "" {
			// A subnet that is full gives none; the balancer's other zones work.
			z.PrivateIP, _ = ec2.TakeHost(tx, z.SubnetID)
		}
		if a := tx.Region.Addresses[z.AllocationID]; a != nil {
			a.AssociationID, a.ENI = tx.ID("eipassoc"), tx.ID("eni")
		}
	}
	lb.Subnets = zones
	if lb.Scheme != "internet-facing" {
		return
	}
	for i := range zones {
		if zones[i].PublicIP == "" {
			zones[i].PublicIP = ownPublicIP(tx, lb)
		}
	}
}

// ownPublicIP is an address of AWS's own for a zone without an Elastic IP.
func ownPublicIP(tx *core.Tx, self *state.LoadBalancer) string {
	used := map[string]bool{}
	note := func(lb *state.LoadBalancer) {
		for _, z := range lb.Subnets {
			used[z.PublicIP] = true
		}
	}
	note(self)
	for _, r := range tx.World.Regions {
		for _, lb := range r.LoadBalancers {
			note(lb)
		}
	}
	for host := 128; host < 255; host++ {
		if ip := fmt.Sprintf("192.0.2.%d", host); !used[ip] {
			return ip
		}
	}
	return ""
}

func checkGroups(tx *core.Tx, vpc string, ids []string) error {
	for _, id := range ids {
		g := tx.Region.SecurityGroups[id]
		if g == nil {
			return wire.Errorf("InvalidSecurityGroup", "One or more security groups are invalid: '%s'", id)
		}
		if g.VPCID != vpc {
			return wire.Errorf("InvalidConfigurationRequest", "One or more security groups are invalid: '%s' is not in VPC '%s'", id, vpc)
		}
	}
	return nil
}

func describe(lb *state.LoadBalancer) LoadBalancer {
	return LoadBalancer{
		LoadBalancerArn: lb.ARN, DNSName: lb.DNSName, CanonicalHostedZoneId: lb.ZoneID, CreatedTime: lb.Created,
		LoadBalancerName: lb.Name, Scheme: lb.Scheme, VpcId: lb.VPCID, State: LoadBalancerState{Code: lb.State},
		Type: lb.Type, AvailabilityZones: describeZones(lb), SecurityGroups: lb.SecurityGroups, IpAddressType: lb.IPType,
	}
}

func describeZones(lb *state.LoadBalancer) []AvailabilityZone {
	var out []AvailabilityZone
	for _, z := range lb.Subnets {
		az := AvailabilityZone{ZoneName: z.AZ, SubnetId: z.SubnetID}
		if z.AllocationID != "" {
			az.LoadBalancerAddresses = []LoadBalancerAddress{{IpAddress: z.PublicIP, AllocationId: z.AllocationID}}
		}
		out = append(out, az)
	}
	return out
}

// balancer finds a load balancer or tells AWS's error.
func balancer(tx *core.Tx, arn string) (*state.LoadBalancer, error) {
	if lb := tx.Region.LoadBalancers[arn]; lb != nil {
		return lb, nil
	}
	return nil, wire.Errorf("LoadBalancerNotFound", "Load balancer '%s' not found", arn)
}

// DescribeLoadBalancers lists load balancers in the order of their names.
func DescribeLoadBalancers(tx *core.Tx, in *DescribeLoadBalancersInput) (*DescribeLoadBalancersOutput, error) {
	if len(in.LoadBalancerArns) > 0 && len(in.Names) > 0 {
		return nil, wire.Errorf("ValidationError", "Load balancer names and load balancer ARNs cannot be specified at the same time")
	}
	wanted := map[string]bool{}
	for _, x := range append(slices.Clone(in.LoadBalancerArns), in.Names...) {
		wanted[x] = true
	}
	var found []LoadBalancer
	for _, arn := range sortedKeys(tx.Region.LoadBalancers) {
		lb := tx.Region.LoadBalancers[arn]
		if len(wanted) == 0 || wanted[lb.ARN] || wanted[lb.Name] {
			found = append(found, describe(lb))
		}
	}
	if len(found) < len(wanted) {
		return nil, wire.Errorf("LoadBalancerNotFound", "One or more load balancers not found")
	}
	page, next, err := core.Page(tx, found, func(lb LoadBalancer) string { return lb.LoadBalancerArn }, in.PageSize, 400, in.Marker)
	if err != nil {
		return nil, err
	}
	return &DescribeLoadBalancersOutput{LoadBalancers: page, NextMarker: next}, nil
}

// DeleteLoadBalancer deletes a load balancer with its listeners and lets its
// Elastic IPs go. One that is not there is no error.
func DeleteLoadBalancer(tx *core.Tx, in *DeleteLoadBalancerInput) (*DeleteLoadBalancerOutput, error) {
	lb := tx.Region.LoadBalancers[in.LoadBalancerArn]
	if lb == nil {
		return &DeleteLoadBalancerOutput{}, nil
	}
	if lb.Attributes[deletionProtection] == "true" {
		return nil, wire.Errorf("OperationNotPermitted", "Load balancer '%s' cannot be deleted because deletion protection is enabled", lb.ARN)
	}
	settle(tx, lb, nil)
	for arn, l := range tx.Region.Listeners {
		if l.LoadBalancer == lb.ARN {
			delete(tx.Region.Listeners, arn)
		}
	}
	delete(tx.Region.LoadBalancers, lb.ARN)
	tx.Changed()
	return &DeleteLoadBalancerOutput{}, nil
}

// SetSubnets replaces the zones of a load balancer.
func SetSubnets(tx *core.Tx, in *SetSubnetsInput) (*SetSubnetsOutput, error) {
	lb, err := balancer(tx, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	zones, vpc, err := placement(tx, lb, lb.Scheme, in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if vpc != lb.VPCID {
		return nil, wire.Errorf("InvalidSubnet", "All subnets must belong to the same VPC: '%s'", lb.VPCID)
	}
	settle(tx, lb, zones)
	tx.Changed()
	return &SetSubnetsOutput{AvailabilityZones: describeZones(lb), IpAddressType: lb.IPType}, nil
}

// SetSecurityGroups replaces the security groups of a load balancer that was made with some.
func SetSecurityGroups(tx *core.Tx, in *SetSecurityGroupsInput) (*SetSecurityGroupsOutput, error) {
	lb, err := balancer(tx, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if len(lb.SecurityGroups) == 0 {
		return nil, wire.Errorf("InvalidConfigurationRequest", "You cannot set security groups for load balancer '%s' because it was created without security groups", lb.ARN)
	}
	if len(in.SecurityGroups) == 0 {
		return nil, wire.Errorf("ValidationError", "At least one security group must be specified")
	}
	if err := checkGroups(tx, lb.VPCID, in.SecurityGroups); err != nil {
		return nil, err
	}
	lb.SecurityGroups = slices.Clone(in.SecurityGroups)
	tx.Changed()
	return &SetSecurityGroupsOutput{SecurityGroupIds: lb.SecurityGroups}, nil
}
