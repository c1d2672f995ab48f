package cloudformation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	maps.Copy(handlers, map[string]*handler{
		"AWS::EC2::VPC":                         vpcHandler(),
		"AWS::EC2::InternetGateway":             gatewayHandler(),
		"AWS::EC2::VPCGatewayAttachment":        attachmentHandler(),
		"AWS::EC2::RouteTable":                  routeTableHandler(),
		"AWS::EC2::Route":                       routeHandler(),
		"AWS::EC2::Subnet":                      subnetHandler(),
		"AWS::EC2::SubnetRouteTableAssociation": associationHandler(),
		"AWS::EC2::EIP":                         addressHandler(),
		typeLaunchTemplate:                      launchTemplateHandler(),
	})
}

// assign fills an action's input from properties of the same names. A property
// that the lab's action does not have is an error, never silently dropped.
func assign(out any, p properties, without ...string) error {
	m := map[string]any{}
	for k, v := range p {
		if !slices.Contains(without, k) {
			m[k] = v
		}
	}
	err := wire.Assign(out, m)
	var unknown *wire.UnknownMember
	if errors.As(err, &unknown) {
		return reasonf("Encountered unsupported property %s (this lab does not have it)", unknown.Path)
	}
	return err
}

// retagEC2 makes the tags of an EC2 resource those of the template and the stack.
func retagEC2(tx *core.Tx, c *call, id string, now state.Tags) error {
	want := c.merged()
	var gone []ec2.TagRemoval
	for k := range now {
		if _, keep := want[k]; !keep {
			gone = append(gone, ec2.TagRemoval{Key: k})
		}
	}
	if len(gone) > 0 {
		if _, err := ec2.DeleteTags(tx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: gone}); err != nil {
			return err
		}
	}
	add := &ec2.CreateTagsInput{Resources: []string{id}}
	for k, v := range want {
		if old, ok := now[k]; !ok || old != v {
			add.Tags = append(add.Tags, ec2.Tag{Key: k, Value: v})
		}
	}
	if len(add.Tags) == 0 {
		return nil
	}
	_, err := ec2.CreateTags(tx, add)
	return err
}

func vpcHandler() *handler {
	dns := func(tx *core.Tx, c *call) error {
		for _, p := range []struct {
			key string
			def bool
		}{{"EnableDnsSupport", true}, {"EnableDnsHostnames", false}} {
			v := p.def
			if f := c.props.flag(p.key); f != nil {
				v = *f
			}
			in := &ec2.ModifyVpcAttributeInput{VpcId: c.id}
			if p.key == "EnableDnsSupport" {
				in.EnableDnsSupport = &ec2.AttributeBooleanValue{Value: &v}
			} else {
				in.EnableDnsHostnames = &ec2.AttributeBooleanValue{Value: &v}
			}
			if _, err := ec2.ModifyVpcAttribute(tx, in); err != nil {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			out, err := ec2.CreateVpc(tx, &ec2.CreateVpcInput{
				CidrBlock: c.props.text("CidrBlock"), InstanceTenancy: c.props.text("InstanceTenancy"),
				TagSpecifications: ec2.Specify("vpc", c.merged()),
			})
			if err != nil {
				return "", err
			}
			c.id = out.Vpc.VpcId
			return c.id, dns(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			v := tx.Region.VPCs[c.id]
			if v == nil {
				return wire.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", c.id)
			}
			return errors.Join(dns(tx, c), retagEC2(tx, c, c.id, v.Tags))
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteVpc(tx, &ec2.DeleteVpcInput{VpcId: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			return map[string]any{
				"VpcId": c.id, "CidrBlock": c.props.text("CidrBlock"), "DefaultSecurityGroup": ec2.DefaultSecurityGroup(tx, c.id),
				"CidrBlockAssociations": []any{}, "Ipv6CidrBlocks": []any{}, "DefaultNetworkAcl": "acl-" + strings.TrimPrefix(c.id, "vpc-"),
			}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			v := tx.Region.VPCs[c.id]
			if v == nil {
				return nil, false
			}
			return map[string]any{"CidrBlock": v.CIDR, "EnableDnsSupport": v.DNSSupport, "EnableDnsHostnames": v.DNSHostnames}, true
		},
	}
}

func gatewayHandler() *handler {
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			out, err := ec2.CreateInternetGateway(tx, &ec2.CreateInternetGatewayInput{TagSpecifications: ec2.Specify("internet-gateway", c.merged())})
			if err != nil {
				return "", err
			}
			return out.InternetGateway.InternetGatewayId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			g := tx.Region.InternetGateways[c.id]
			if g == nil {
				return wire.Errorf("InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist", c.id)
			}
			return retagEC2(tx, c, c.id, g.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteInternetGateway(tx, &ec2.InternetGatewayInput{InternetGatewayId: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"InternetGatewayId": c.id} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			return map[string]any{}, tx.Region.InternetGateways[c.id] != nil
		},
	}
}

func attachmentHandler() *handler {
	attach := func(tx *core.Tx, p properties) error {
		if p.text("InternetGatewayId") == "" {
			return reason("InternetGatewayId is required: this lab has no VPN gateways")
		}
		_, err := ec2.AttachInternetGateway(tx, &ec2.InternetGatewayInput{InternetGatewayId: p.text("InternetGatewayId"), VpcId: p.text("VpcId")})
		return err
	}
	detach := func(tx *core.Tx, p properties) error {
		_, err := ec2.DetachInternetGateway(tx, &ec2.InternetGatewayInput{InternetGatewayId: p.text("InternetGatewayId"), VpcId: p.text("VpcId")})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			if err := attach(tx, c.props); err != nil {
				return "", err
			}
			return "IGW|" + c.props.text("VpcId"), nil
		},
		update: func(tx *core.Tx, c *call) error {
			if !c.changed("InternetGatewayId") {
				return nil
			}
			if err := detach(tx, c.old); err != nil {
				return err
			}
			return attach(tx, c.props)
		},
		remove: func(tx *core.Tx, c *call) error {
			err := detach(tx, c.props)
			var e *wire.Error
			if errors.As(err, &e) && e.Code == "Gateway.NotAttached" {
				return nil
			}
			return err
		},
		attributes: func(*core.Tx, *call) map[string]any { return map[string]any{"AttachmentType": "IGW"} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.InternetGateways[c.props.text("InternetGatewayId")]
			return map[string]any{}, g != nil && g.VPCID == c.props.text("VpcId")
		},
	}
}

func routeTableHandler() *handler {
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			out, err := ec2.CreateRouteTable(tx, &ec2.CreateRouteTableInput{
				VpcId: c.props.text("VpcId"), TagSpecifications: ec2.Specify("route-table", c.merged()),
			})
			if err != nil {
				return "", err
			}
			return out.RouteTable.RouteTableId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			t := tx.Region.RouteTables[c.id]
			if t == nil {
				return wire.Errorf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", c.id)
			}
			return retagEC2(tx, c, c.id, t.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteRouteTable(tx, &ec2.DeleteRouteTableInput{RouteTableId: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"RouteTableId": c.id} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			return map[string]any{}, tx.Region.RouteTables[c.id] != nil
		},
	}
}

func routeHandler() *handler {
	input := func(p properties) (*ec2.CreateRouteInput, error) {
		in := &ec2.CreateRouteInput{}
		return in, assign(in, p)
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in, err := input(c.props)
			if err != nil {
				return "", err
			}
			if _, err := ec2.CreateRoute(tx, in); err != nil {
				return "", err
			}
			return in.RouteTableId + "|" + in.DestinationCidrBlock, nil
		},
		update: func(tx *core.Tx, c *call) error {
			in, err := input(c.props)
			if err == nil {
				_, err = ec2.ReplaceRoute(tx, in)
			}
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteRoute(tx, &ec2.DeleteRouteInput{
				RouteTableId: c.props.text("RouteTableId"), DestinationCidrBlock: c.props.text("DestinationCidrBlock"),
			})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any {
			return map[string]any{"CidrBlock": c.props.text("DestinationCidrBlock")}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			if t := tx.Region.RouteTables[c.props.text("RouteTableId")]; t != nil {
				for _, r := range t.Routes {
					if r.Destination == c.props.text("DestinationCidrBlock") {
						return map[string]any{"GatewayId": r.Gateway}, true
					}
				}
			}
			return nil, false
		},
	}
}

func subnetHandler() *handler {
	public := func(tx *core.Tx, c *call) error {
		v := false
		if f := c.props.flag("MapPublicIpOnLaunch"); f != nil {
			v = *f
		}
		_, err := ec2.ModifySubnetAttribute(tx, &ec2.ModifySubnetAttributeInput{SubnetId: c.id, MapPublicIpOnLaunch: &ec2.AttributeBooleanValue{Value: &v}})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &ec2.CreateSubnetInput{TagSpecifications: ec2.Specify("subnet", c.merged())}
			if err := assign(in, c.props, "Tags", "MapPublicIpOnLaunch"); err != nil {
				return "", err
			}
			out, err := ec2.CreateSubnet(tx, in)
			if err != nil {
				return "", err
			}
			c.id = out.Subnet.SubnetId
			return c.id, public(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			s := tx.Region.Subnets[c.id]
			if s == nil {
				return wire.Errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", c.id)
			}
			return errors.Join(public(tx, c), retagEC2(tx, c, c.id, s.Tags))
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteSubnet(tx, &ec2.DeleteSubnetInput{SubnetId: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"SubnetId": c.id, "Ipv6CidrBlocks": []any{}, "NetworkAclAssociationId": "aclassoc-" + strings.TrimPrefix(c.id, "subnet-")}
			if s := tx.Region.Subnets[c.id]; s != nil {
				out["AvailabilityZone"], out["CidrBlock"], out["VpcId"] = s.AZ, s.CIDR, s.VPCID
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			s := tx.Region.Subnets[c.id]
			if s == nil {
				return nil, false
			}
			return map[string]any{"CidrBlock": s.CIDR, "AvailabilityZone": s.AZ, "MapPublicIpOnLaunch": s.PublicOnLaunch}, true
		},
	}
}

func associationHandler() *handler {
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			out, err := ec2.AssociateRouteTable(tx, &ec2.AssociateRouteTableInput{RouteTableId: c.props.text("RouteTableId"), SubnetId: c.props.text("SubnetId")})
			if err != nil {
				return "", err
			}
			return out.AssociationId, nil
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DisassociateRouteTable(tx, &ec2.DisassociateRouteTableInput{AssociationId: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Id": c.id} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			t := tx.Region.RouteTables[c.props.text("RouteTableId")]
			return map[string]any{}, t != nil && t.Associations[c.id] == c.props.text("SubnetId")
		},
	}
}

func addressHandler() *handler {
	find := func(tx *core.Tx, ip string) *state.Address {
		for _, a := range tx.Region.Addresses {
			if a.PublicIP == ip {
				return a
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &ec2.AllocateAddressInput{TagSpecifications: ec2.Specify("elastic-ip", c.merged())}
			if err := assign(in, c.props, "Tags", "InstanceId"); err != nil {
				return "", err
			}
			out, err := ec2.AllocateAddress(tx, in)
			if err != nil {
				return "", err
			}
			if i := c.props.text("InstanceId"); i != "" {
				_, err = ec2.AssociateAddress(tx, &ec2.AssociateAddressInput{AllocationId: out.AllocationId, InstanceId: i})
			}
			return out.PublicIp, err
		},
		update: func(tx *core.Tx, c *call) error {
			a := find(tx, c.id)
			if a == nil {
				return wire.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", c.id)
			}
			if c.changed("InstanceId") && c.props.text("InstanceId") != "" {
				if _, err := ec2.AssociateAddress(tx, &ec2.AssociateAddressInput{AllocationId: a.AllocationID, InstanceId: c.props.text("InstanceId")}); err != nil {
					return err
				}
			}
			return retagEC2(tx, c, a.AllocationID, a.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			a := find(tx, c.id)
			if a == nil {
				return nil
			}
			if a.AssociationID != "" && a.InstanceID != "" {
				if _, err := ec2.DisassociateAddress(tx, &ec2.DisassociateAddressInput{AssociationId: a.AssociationID}); err != nil {
					return err
				}
			}
			_, err := ec2.ReleaseAddress(tx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationID})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"PublicIp": c.id}
			if a := find(tx, c.id); a != nil {
				out["AllocationId"] = a.AllocationID
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) { return map[string]any{}, find(tx, c.id) != nil },
	}
}

func launchTemplateHandler() *handler {
	tags := func(c *call) state.Tags {
		// The template itself carries no stack tags: its schema says it is not taggable by CloudFormation.
		out := state.Tags{}
		for _, s := range c.props.maps("TagSpecifications") {
			for _, t := range s.maps("Tags") {
				out[t.text("Key")] = t.text("Value")
			}
		}
		return out
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			data, err := ec2.ParseLaunchTemplateData(c.props.sub("LaunchTemplateData"))
			if err != nil {
				return "", err
			}
			out, err := ec2.CreateLaunchTemplate(tx, &ec2.CreateLaunchTemplateInput{
				LaunchTemplateName: c.named("LaunchTemplateName", 128), VersionDescription: c.props.text("VersionDescription"),
				LaunchTemplateData: data, TagSpecifications: ec2.Specify("launch-template", tags(c)),
			})
			if err != nil {
				return "", err
			}
			return out.LaunchTemplate.LaunchTemplateId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			// A rollback makes no version: the group goes back to the number it had,
			// and the version that is given up stays.
			if c.rollback || !c.changed("LaunchTemplateData", "VersionDescription") {
				return nil
			}
			data, err := ec2.ParseLaunchTemplateData(c.props.sub("LaunchTemplateData"))
			if err != nil {
				return err
			}
			_, err = ec2.CreateLaunchTemplateVersion(tx, &ec2.CreateLaunchTemplateVersionInput{
				LaunchTemplateId: c.id, VersionDescription: c.props.text("VersionDescription"), LaunchTemplateData: data,
			})
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteLaunchTemplate(tx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"LaunchTemplateId": c.id}
			if t := tx.Region.LaunchTemplates[c.id]; t != nil {
				out["LatestVersionNumber"], out["DefaultVersionNumber"] = fmt.Sprint(t.Latest), fmt.Sprint(t.Default)
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			return map[string]any{}, tx.Region.LaunchTemplates[c.id] != nil
		},
	}
}
