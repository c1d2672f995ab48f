package ec2

import (
	"sort"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// InternetGateway as the API shows it.
type InternetGateway struct {
	InternetGatewayId, OwnerId string
	Attachments                []InternetGatewayAttachment `wire:"attachmentSet"`
	Tags                       []Tag                       `wire:"tagSet"`
}

// InternetGatewayAttachment to a VPC.
type InternetGatewayAttachment struct{ VpcId, State string }

// CreateInternetGatewayInput of CreateInternetGateway.
type CreateInternetGatewayInput struct {
	TagSpecifications []TagSpecification `wire:"TagSpecification"`
}

// CreateInternetGatewayOutput of CreateInternetGateway.
type CreateInternetGatewayOutput struct{ InternetGateway InternetGateway }

// InternetGatewayInput of AttachInternetGateway, DetachInternetGateway and DeleteInternetGateway (no VpcId).
type InternetGatewayInput struct{ InternetGatewayId, VpcId string }

// DescribeInternetGatewaysInput of DescribeInternetGateways.
type DescribeInternetGatewaysInput struct {
	InternetGatewayIds []string `wire:"InternetGatewayId"`
	Filters            []Filter `wire:"Filter"`
	MaxResults         *int64
	NextToken          string
}

// DescribeInternetGatewaysOutput of DescribeInternetGateways.
type DescribeInternetGatewaysOutput struct {
	InternetGateways []InternetGateway `wire:"internetGatewaySet"`
	NextToken        string
}

func noGateway(id string) error {
	return notFound("InvalidInternetGatewayID", "internetGateway ID", id)
}

// CreateInternetGateway makes a gateway that is attached to nothing.
func CreateInternetGateway(tx *core.Tx, in *CreateInternetGatewayInput) (*CreateInternetGatewayOutput, error) {
	if err := checkTags(in.TagSpecifications, "internet-gateway"); err != nil {
		return nil, err
	}
	if len(tx.Region.InternetGateways) >= QuotaVPCs {
		return nil, wire.Errorf("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
	}
	g := &state.InternetGateway{ID: tx.ID("igw"), Tags: tagsFor("internet-gateway", in.TagSpecifications)}
	tx.Region.InternetGateways[g.ID] = g
	return &CreateInternetGatewayOutput{InternetGateway: showGateway(tx, g)}, nil
}

// AttachInternetGateway attaches a gateway to a VPC.
func AttachInternetGateway(tx *core.Tx, in *InternetGatewayInput) (*Done, error) {
	g := tx.Region.InternetGateways[in.InternetGatewayId]
	if g == nil {
		return nil, noGateway(in.InternetGatewayId)
	}
	if tx.Region.VPCs[in.VpcId] == nil {
		return nil, noVpc(in.VpcId)
	}
	if g.VPCID != "" {
		return nil, wire.Errorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPCID)
	}
	for _, other := range tx.Region.InternetGateways {
		if other.VPCID == in.VpcId {
			return nil, wire.Errorf("InvalidParameterValue", "Network %s already has an internet gateway attached", in.VpcId)
		}
	}
	g.VPCID = in.VpcId
	return done, nil
}

// DetachInternetGateway detaches a gateway from a VPC in which no public address is used any more.
func DetachInternetGateway(tx *core.Tx, in *InternetGatewayInput) (*Done, error) {
	g := tx.Region.InternetGateways[in.InternetGatewayId]
	if g == nil {
		return nil, noGateway(in.InternetGatewayId)
	}
	if g.VPCID == "" || g.VPCID != in.VpcId {
		return nil, wire.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, in.VpcId)
	}
	mapped := wire.Errorf("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", g.VPCID)
	for _, i := range tx.Region.Instances {
		if i.VPCID == g.VPCID && i.PublicIP != "" && i.State != "terminated" {
			return nil, mapped
		}
	}
	for _, lb := range tx.Region.LoadBalancers {
		if lb.VPCID == g.VPCID && lb.Scheme == "internet-facing" {
			return nil, mapped
		}
	}
	for _, d := range tx.Region.DBInstances {
		if d.VPCID == g.VPCID && d.PublicIP != "" {
			return nil, mapped
		}
	}
	g.VPCID = ""
	return done, nil
}

// DeleteInternetGateway removes a detached gateway.
func DeleteInternetGateway(tx *core.Tx, in *InternetGatewayInput) (*Done, error) {
	g := tx.Region.InternetGateways[in.InternetGatewayId]
	if g == nil {
		return nil, noGateway(in.InternetGatewayId)
	}
	if g.VPCID != "" {
		return nil, wire.Errorf("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID)
	}
	delete(tx.Region.InternetGateways, g.ID)
	return done, nil
}

// DescribeInternetGateways lists gateways.
func DescribeInternetGateways(tx *core.Tx, in *DescribeInternetGatewaysInput) (*DescribeInternetGatewaysOutput, error) {
	list, err := pick(tx.Region.InternetGateways, in.InternetGatewayIds, noGateway)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(g *state.InternetGateway) state.Tags { return g.Tags }, func(g *state.InternetGateway) attrs {
		a := attrs{"internet-gateway-id": one(g.ID), "owner-id": one(tx.World.Account), "attachment.vpc-id": nil, "attachment.state": nil}
		if g.VPCID != "" {
			a["attachment.vpc-id"], a["attachment.state"] = one(g.VPCID), one("available")
		}
		return a
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(g *state.InternetGateway) string { return g.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeInternetGatewaysOutput{NextToken: next}
	for _, g := range list {
		out.InternetGateways = append(out.InternetGateways, showGateway(tx, g))
	}
	return out, nil
}

func showGateway(tx *core.Tx, g *state.InternetGateway) InternetGateway {
	out := InternetGateway{InternetGatewayId: g.ID, OwnerId: tx.World.Account, Tags: tagList(g.Tags)}
	if g.VPCID != "" {
		out.Attachments = []InternetGatewayAttachment{{VpcId: g.VPCID, State: "available"}}
	}
	return out
}

func keys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}
