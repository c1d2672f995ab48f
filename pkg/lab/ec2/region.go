package ec2

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// regions are the regions of a new account, with the short form used in zone ids.
var regions = map[string]string{
	"ap-northeast-1": "apne1", "ap-northeast-2": "apne2", "ap-northeast-3": "apne3", "ap-south-1": "aps1",
	"ap-southeast-1": "apse1", "ap-southeast-2": "apse2", "ca-central-1": "cac1", "eu-central-1": "euc1",
	"eu-north-1": "eun1", "eu-west-1": "euw1", "eu-west-2": "euw2", "eu-west-3": "euw3", "sa-east-1": "sae1",
	"us-east-1": "use1", "us-east-2": "use2", "us-west-1": "usw1", "us-west-2": "usw2",
}

// KnownRegion says whether the lab has a region of that name.
func KnownRegion(name string) bool { return regions[name] != "" }

// Zones are the three availability zones of a region.
func Zones(region string) []string { return []string{region + "a", region + "b", region + "c"} }

func isZone(region, az string) bool { return slices.Contains(Zones(region), az) }

func zoneID(az string) string {
	if az == "" {
		return ""
	}
	region, letter := az[:len(az)-1], az[len(az)-1]
	return regions[region] + "-az" + string(letter-'a'+'1')
}

func zoneByID(region, id string) string {
	for _, az := range Zones(region) {
		if zoneID(az) == id {
			return az
		}
	}
	return id // no zone of the region: the caller's check refuses it by name
}

// Region as the API shows it.
type Region struct {
	RegionName  string
	Endpoint    string `wire:"regionEndpoint"`
	OptInStatus string
}

// DescribeRegionsInput of DescribeRegions.
type DescribeRegionsInput struct {
	RegionNames []string `wire:"RegionName"`
	Filters     []Filter `wire:"Filter"`
	AllRegions  *bool
}

// DescribeRegionsOutput of DescribeRegions.
type DescribeRegionsOutput struct {
	Regions []Region `wire:"regionInfo"`
}

// DescribeRegions lists the regions.
func DescribeRegions(_ *core.Tx, in *DescribeRegionsInput) (*DescribeRegionsOutput, error) {
	names := keys(regions)
	if len(in.RegionNames) > 0 {
		names = in.RegionNames
	}
	for _, n := range names {
		if !KnownRegion(n) {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid region name: %s", n)
		}
	}
	names, err := filter(names, in.Filters, func(string) state.Tags { return nil }, func(n string) attrs {
		return attrs{"region-name": one(n), "opt-in-status": one("opt-in-not-required"), "endpoint": one("ec2." + n + ".amazonaws.com")}
	})
	if err != nil {
		return nil, err
	}
	out := &DescribeRegionsOutput{}
	for _, n := range names {
		out.Regions = append(out.Regions, Region{RegionName: n, Endpoint: "ec2." + n + ".amazonaws.com", OptInStatus: "opt-in-not-required"})
	}
	return out, nil
}

// AvailabilityZone as the API shows it.
type AvailabilityZone struct {
	ZoneName, ZoneId, RegionName, GroupName, NetworkBorderGroup, ZoneType, OptInStatus string
	State                                                                              string `wire:"zoneState"`
}

// DescribeAvailabilityZonesInput of DescribeAvailabilityZones.
type DescribeAvailabilityZonesInput struct {
	ZoneNames            []string `wire:"ZoneName"`
	ZoneIds              []string `wire:"ZoneId"`
	Filters              []Filter `wire:"Filter"`
	AllAvailabilityZones *bool
}

// DescribeAvailabilityZonesOutput of DescribeAvailabilityZones.
type DescribeAvailabilityZonesOutput struct {
	AvailabilityZones []AvailabilityZone `wire:"availabilityZoneInfo"`
}

// DescribeAvailabilityZones lists the zones of the region.
func DescribeAvailabilityZones(tx *core.Tx, in *DescribeAvailabilityZonesInput) (*DescribeAvailabilityZonesOutput, error) {
	names := Zones(tx.Region.Name)
	if len(in.ZoneNames)+len(in.ZoneIds) > 0 {
		names = slices.Clone(in.ZoneNames)
		for _, id := range in.ZoneIds {
			names = append(names, zoneByID(tx.Region.Name, id))
		}
	}
	for _, n := range names {
		if !isZone(tx.Region.Name, n) {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", n)
		}
	}
	names, err := filter(names, in.Filters, func(string) state.Tags { return nil }, func(n string) attrs {
		return attrs{
			"zone-name": one(n), "zone-id": one(zoneID(n)), "state": one("available"), "region-name": one(tx.Region.Name),
			"opt-in-status": one("opt-in-not-required"), "zone-type": one("availability-zone"), "group-name": one(tx.Region.Name),
		}
	})
	if err != nil {
		return nil, err
	}
	out := &DescribeAvailabilityZonesOutput{}
	for _, n := range names {
		out.AvailabilityZones = append(out.AvailabilityZones, AvailabilityZone{
			ZoneName: n, ZoneId: zoneID(n), RegionName: tx.Region.Name, GroupName: tx.Region.Name, NetworkBorderGroup: tx.Region.Name,
			ZoneType: "availability-zone", OptInStatus: "opt-in-not-required", State: "available",
		})
	}
	return out, nil
}

// DescribeAccountAttributesInput of DescribeAccountAttributes.
type DescribeAccountAttributesInput struct {
	AttributeNames []string `wire:"AttributeName"`
}

// DescribeAccountAttributesOutput of DescribeAccountAttributes.
type DescribeAccountAttributesOutput struct {
	AccountAttributes []AccountAttribute `wire:"accountAttributeSet"`
}

// AccountAttribute of the account.
type AccountAttribute struct {
	AttributeName   string
	AttributeValues []AccountAttributeValue `wire:"attributeValueSet"`
}

// AccountAttributeValue is one value.
type AccountAttributeValue struct{ AttributeValue string }

// DescribeAccountAttributes tells quotas and the default VPC.
func DescribeAccountAttributes(tx *core.Tx, in *DescribeAccountAttributesInput) (*DescribeAccountAttributesOutput, error) {
	def := "none"
	if v := defaultVpc(tx); v != nil {
		def = v.ID
	}
	known := map[string][]string{
		"supported-platforms": {"VPC"}, "default-vpc": {def}, "max-instances": {"20"}, "vpc-max-security-groups-per-interface": {"5"},
		"max-elastic-ips": {"5"}, "vpc-max-elastic-ips": {"5"},
	}
	names := in.AttributeNames
	if len(names) == 0 {
		names = keys(known)
	}
	out := &DescribeAccountAttributesOutput{}
	for _, n := range names {
		v, ok := known[n]
		if !ok {
			return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attributeName is invalid. Unknown attribute.", n)
		}
		a := AccountAttribute{AttributeName: n}
		for _, x := range v {
			a.AttributeValues = append(a.AttributeValues, AccountAttributeValue{AttributeValue: x})
		}
		out.AccountAttributes = append(out.AccountAttributes, a)
	}
	return out, nil
}

// instanceTypes are what the lab offers: all are the same container.
var instanceTypes = []string{
	"t2.micro", "t2.small", "t2.medium", "t3.nano", "t3.micro", "t3.small", "t3.medium", "t3.large", "t3.xlarge",
	"t3a.nano", "t3a.micro", "t3a.small", "t3a.medium", "t3a.large", "m5.large", "m5.xlarge", "m6i.large", "m7i.large", "c5.large", "c6i.large", "c7i.large", "r5.large",
}

// DescribeInstanceTypeOfferingsInput of DescribeInstanceTypeOfferings.
type DescribeInstanceTypeOfferingsInput struct {
	LocationType string
	Filters      []Filter `wire:"Filter"`
	MaxResults   *int64
	NextToken    string
}

// DescribeInstanceTypeOfferingsOutput of DescribeInstanceTypeOfferings.
type DescribeInstanceTypeOfferingsOutput struct {
	InstanceTypeOfferings []InstanceTypeOffering `wire:"instanceTypeOfferingSet"`
	NextToken             string
}

// InstanceTypeOffering is a type that a place has.
type InstanceTypeOffering struct{ InstanceType, LocationType, Location string }

// DescribeInstanceTypeOfferings lists which types run where: each everywhere.
func DescribeInstanceTypeOfferings(tx *core.Tx, in *DescribeInstanceTypeOfferingsInput) (*DescribeInstanceTypeOfferingsOutput, error) {
	kind := in.LocationType
	var places []string
	switch kind {
	case "", "region":
		kind, places = "region", []string{tx.Region.Name}
	case "availability-zone":
		places = Zones(tx.Region.Name)
	case "availability-zone-id":
		for _, z := range Zones(tx.Region.Name) {
			places = append(places, zoneID(z))
		}
	default:
		return nil, wire.Errorf("InvalidParameterValue", "The location type '%s' is invalid", kind)
	}
	var list []InstanceTypeOffering
	for _, p := range places {
		for _, t := range instanceTypes {
			list = append(list, InstanceTypeOffering{InstanceType: t, LocationType: kind, Location: p})
		}
	}
	list, err := filter(list, in.Filters, func(InstanceTypeOffering) state.Tags { return nil }, func(o InstanceTypeOffering) attrs {
		return attrs{"instance-type": one(o.InstanceType), "location": one(o.Location)}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(o InstanceTypeOffering) string { return o.InstanceType + "@" + o.Location }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeInstanceTypeOfferingsOutput{InstanceTypeOfferings: list, NextToken: next}, nil
}

// KnownInstanceType says whether the lab offers the type.
func KnownInstanceType(name string) bool {
	return slices.Contains(instanceTypes, strings.ToLower(name))
}
