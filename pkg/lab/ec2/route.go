package ec2

import (
	"net/netip"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// RouteTable as the API shows it.
type RouteTable struct {
	RouteTableId, VpcId, OwnerId string
	Routes                       []Route                 `wire:"routeSet"`
	Associations                 []RouteTableAssociation `wire:"associationSet"`
	Tags                         []Tag                   `wire:"tagSet"`
}

// Route of a table.
type Route struct{ DestinationCidrBlock, GatewayId, State, Origin string }

// RouteTableAssociation ties a table to a subnet, or makes it the VPC's main one.
type RouteTableAssociation struct {
	RouteTableAssociationId, RouteTableId, SubnetId string
	Main                                            bool
	AssociationState                                struct{ State string }
}

// CreateRouteTableInput of CreateRouteTable.
type CreateRouteTableInput struct {
	VpcId             string
	ClientToken       string
	TagSpecifications []TagSpecification `wire:"TagSpecification"`
}

// CreateRouteTableOutput of CreateRouteTable.
type CreateRouteTableOutput struct{ RouteTable RouteTable }

// DeleteRouteTableInput of DeleteRouteTable.
type DeleteRouteTableInput struct{ RouteTableId string }

// DescribeRouteTablesInput of DescribeRouteTables.
type DescribeRouteTablesInput struct {
	RouteTableIds []string `wire:"RouteTableId"`
	Filters       []Filter `wire:"Filter"`
	MaxResults    *int64
	NextToken     string
}

// DescribeRouteTablesOutput of DescribeRouteTables.
type DescribeRouteTablesOutput struct {
	RouteTables []RouteTable `wire:"routeTableSet"`
	NextToken   string
}

// CreateRouteInput of CreateRoute and ReplaceRoute.
type CreateRouteInput struct{ RouteTableId, DestinationCidrBlock, GatewayId string }

// DeleteRouteInput of DeleteRoute.
type DeleteRouteInput struct{ RouteTableId, DestinationCidrBlock string }

// AssociateRouteTableInput of AssociateRouteTable.
type AssociateRouteTableInput struct{ RouteTableId, SubnetId string }

// AssociateRouteTableOutput of AssociateRouteTable.
type AssociateRouteTableOutput struct {
	AssociationId    string
	AssociationState struct{ State string }
}

// DisassociateRouteTableInput of DisassociateRouteTable.
type DisassociateRouteTableInput struct{ AssociationId string }

// ReplaceRouteTableAssociationInput of ReplaceRouteTableAssociation.
type ReplaceRouteTableAssociationInput struct{ AssociationId, RouteTableId string }

// ReplaceRouteTableAssociationOutput of ReplaceRouteTableAssociation.
type ReplaceRouteTableAssociationOutput struct{ NewAssociationId string }

func noRouteTable(id string) error { return notFound("InvalidRouteTableID", "routeTable ID", id) }

// CreateRouteTable makes a table with the local route.
func CreateRouteTable(tx *core.Tx, in *CreateRouteTableInput) (*CreateRouteTableOutput, error) {
	v := tx.Region.VPCs[in.VpcId]
	if v == nil {
		return nil, noVpc(in.VpcId)
	}
	if err := checkTags(in.TagSpecifications, "route-table"); err != nil {
		return nil, err
	}
	t := &state.RouteTable{
		ID: tx.ID("rtb"), VPCID: v.ID, Routes: []state.Route{{Destination: v.CIDR, Gateway: "local"}},
		Associations: map[string]string{}, Tags: tagsFor("route-table", in.TagSpecifications),
	}
	tx.Region.RouteTables[t.ID] = t
	return &CreateRouteTableOutput{RouteTable: showRouteTable(tx, t)}, nil
}

// DeleteRouteTable removes a table no subnet uses.
func DeleteRouteTable(tx *core.Tx, in *DeleteRouteTableInput) (*Done, error) {
	t := tx.Region.RouteTables[in.RouteTableId]
	if t == nil {
		return nil, noRouteTable(in.RouteTableId)
	}
	if t.Main || len(t.Associations) > 0 {
		return nil, wire.Errorf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.ID)
	}
	delete(tx.Region.RouteTables, t.ID)
	return done, nil
}

// DescribeRouteTables lists route tables.
func DescribeRouteTables(tx *core.Tx, in *DescribeRouteTablesInput) (*DescribeRouteTablesOutput, error) {
	list, err := pick(tx.Region.RouteTables, in.RouteTableIds, noRouteTable)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(t *state.RouteTable) state.Tags { return t.Tags }, func(t *state.RouteTable) attrs {
		a := attrs{
			"route-table-id": one(t.ID), "vpc-id": one(t.VPCID), "association.main": boolText(t.Main), "owner-id": one(tx.World.Account),
			"association.subnet-id": nil, "association.route-table-association-id": nil, "route.gateway-id": nil, "route.destination-cidr-block": nil,
			"association.route-table-id": one(t.ID),
		}
		for id, subnet := range t.Associations {
			a["association.route-table-association-id"] = append(a["association.route-table-association-id"], id)
			if subnet != "" {
				a["association.subnet-id"] = append(a["association.subnet-id"], subnet)
			}
		}
		for _, r := range t.Routes {
			a["route.gateway-id"] = append(a["route.gateway-id"], r.Gateway)
			a["route.destination-cidr-block"] = append(a["route.destination-cidr-block"], r.Destination)
		}
		return a
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(t *state.RouteTable) string { return t.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeRouteTablesOutput{NextToken: next}
	for _, t := range list {
		out.RouteTables = append(out.RouteTables, showRouteTable(tx, t))
	}
	return out, nil
}

// CreateRoute adds a route through an internet gateway.
func CreateRoute(tx *core.Tx, in *CreateRouteInput) (*Done, error) {
	t, dest, err := checkRoute(tx, in)
	if err != nil {
		return nil, err
	}
	for _, r := range t.Routes {
		if r.Destination == dest {
			if r.Gateway == in.GatewayId {
				return done, nil // EC2 takes the same route twice
			}
			return nil, wire.Errorf("RouteAlreadyExists", "The route identified by %s already exists.", dest)
		}
	}
	t.Routes = append(t.Routes, state.Route{Destination: dest, Gateway: in.GatewayId})
	return done, nil
}

// ReplaceRoute leads an existing route elsewhere.
func ReplaceRoute(tx *core.Tx, in *CreateRouteInput) (*Done, error) {
	t, dest, err := checkRoute(tx, in)
	if err != nil {
		return nil, err
	}
	for k := range t.Routes {
		if t.Routes[k].Destination == dest {
			t.Routes[k].Gateway = in.GatewayId
			return done, nil
		}
	}
	return nil, wire.Errorf("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", dest)
}

func checkRoute(tx *core.Tx, in *CreateRouteInput) (*state.RouteTable, string, error) {
	t := tx.Region.RouteTables[in.RouteTableId]
	if t == nil {
		return nil, "", noRouteTable(in.RouteTableId)
	}
	p, err := netip.ParsePrefix(in.DestinationCidrBlock)
	if err != nil {
		return nil, "", wire.Errorf("InvalidParameterValue", "Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", in.DestinationCidrBlock)
	}
	if !strings.HasPrefix(in.GatewayId, "igw-") {
		return nil, "", wire.Errorf("InvalidParameterValue", "The lab routes through internet gateways only, not '%s'", in.GatewayId)
	}
	g := tx.Region.InternetGateways[in.GatewayId]
	if g == nil {
		return nil, "", noGateway(in.GatewayId)
	}
	if g.VPCID != t.VPCID {
		return nil, "", wire.Errorf("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
	}
	return t, p.Masked().String(), nil
}

// DeleteRoute removes a route.
func DeleteRoute(tx *core.Tx, in *DeleteRouteInput) (*Done, error) {
	t := tx.Region.RouteTables[in.RouteTableId]
	if t == nil {
		return nil, noRouteTable(in.RouteTableId)
	}
	for k, r := range t.Routes {
		if r.Destination == in.DestinationCidrBlock && r.Gateway != "local" {
			t.Routes = append(t.Routes[:k], t.Routes[k+1:]...)
			return done, nil
		}
	}
	return nil, wire.Errorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", in.DestinationCidrBlock, t.ID)
}

// AssociateRouteTable makes a subnet use the table.
func AssociateRouteTable(tx *core.Tx, in *AssociateRouteTableInput) (*AssociateRouteTableOutput, error) {
	t := tx.Region.RouteTables[in.RouteTableId]
	if t == nil {
		return nil, noRouteTable(in.RouteTableId)
	}
	s := tx.Region.Subnets[in.SubnetId]
	if s == nil {
		return nil, noSubnet(in.SubnetId)
	}
	if s.VPCID != t.VPCID {
		return nil, wire.Errorf("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", t.ID, s.ID)
	}
	out := &AssociateRouteTableOutput{}
	out.AssociationState.State = "associated"
	for _, other := range tx.Region.RouteTables {
		for id, subnet := range other.Associations {
			if subnet != s.ID {
				continue
			}
			if other.ID == t.ID {
				out.AssociationId = id
				return out, nil
			}
			return nil, wire.Errorf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
		}
	}
	out.AssociationId = tx.ID("rtbassoc")
	t.Associations[out.AssociationId] = s.ID
	return out, nil
}

// DisassociateRouteTable gives the subnet back to the main table.
func DisassociateRouteTable(tx *core.Tx, in *DisassociateRouteTableInput) (*Done, error) {
	t, subnet := association(tx, in.AssociationId)
	if t == nil {
		return nil, notFound("InvalidAssociationID", "association ID", in.AssociationId)
	}
	if subnet == "" {
		return nil, wire.Errorf("InvalidParameterValue", "cannot disassociate the main route table association %s", in.AssociationId)
	}
	delete(t.Associations, in.AssociationId)
	return done, nil
}

// ReplaceRouteTableAssociation moves an association to another table.
func ReplaceRouteTableAssociation(tx *core.Tx, in *ReplaceRouteTableAssociationInput) (*ReplaceRouteTableAssociationOutput, error) {
	from, subnet := association(tx, in.AssociationId)
	if from == nil || subnet == "" {
		return nil, notFound("InvalidAssociationID", "association ID", in.AssociationId)
	}
	to := tx.Region.RouteTables[in.RouteTableId]
	if to == nil {
		return nil, noRouteTable(in.RouteTableId)
	}
	if to.VPCID != from.VPCID {
		return nil, wire.Errorf("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", to.ID, subnet)
	}
	delete(from.Associations, in.AssociationId)
	id := tx.ID("rtbassoc")
	to.Associations[id] = subnet
	return &ReplaceRouteTableAssociationOutput{NewAssociationId: id}, nil
}

func association(tx *core.Tx, id string) (*state.RouteTable, string) {
	for _, t := range tx.Region.RouteTables {
		if subnet, ok := t.Associations[id]; ok {
			return t, subnet
		}
	}
	return nil, ""
}

func showRouteTable(tx *core.Tx, t *state.RouteTable) RouteTable {
	out := RouteTable{RouteTableId: t.ID, VpcId: t.VPCID, OwnerId: tx.World.Account, Tags: tagList(t.Tags)}
	for k, r := range t.Routes {
		origin, status := "CreateRoute", "active"
		if k == 0 {
			origin = "CreateRouteTable"
		} else if g := tx.Region.InternetGateways[r.Gateway]; g == nil || g.VPCID != t.VPCID {
			status = "blackhole"
		}
		out.Routes = append(out.Routes, Route{DestinationCidrBlock: r.Destination, GatewayId: r.Gateway, State: status, Origin: origin})
	}
	for _, id := range keys(t.Associations) {
		a := RouteTableAssociation{RouteTableAssociationId: id, RouteTableId: t.ID, SubnetId: t.Associations[id], Main: t.Associations[id] == ""}
		a.AssociationState.State = "associated"
		out.Associations = append(out.Associations, a)
	}
	return out
}

// Internet says whether the subnet's route table leads to an attached internet gateway.
func Internet(tx *core.Tx, subnet string) bool {
	s := tx.Region.Subnets[subnet]
	if s == nil {
		return false
	}
	var used *state.RouteTable
	for _, t := range tx.Region.RouteTables {
		if t.VPCID != s.VPCID {
			continue
		}
		if t.Main && used == nil {
			used = t
		}
		for _, id := range t.Associations {
			if id == subnet {
				used = t
			}
		}
	}
	if used == nil {
		return false
	}
	for _, r := range used.Routes {
		g := tx.Region.InternetGateways[r.Gateway]
		if r.Destination == "0.0.0.0/0" && g != nil && g.VPCID == s.VPCID {
			return true
		}
	}
	return false
}
