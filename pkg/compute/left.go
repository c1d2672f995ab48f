package compute

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Left names what EC2 still has with all of the tags: "kind id". Machines that
// have ended, and what is being deleted, do not count.
func (c *Client) Left(ctx context.Context, t Tags) ([]string, error) {
	f := t.filters()
	var list []string
	add := func(kind string, id *string) { list = append(list, kind+" "+aws.ToString(id)) }

	machines, err := c.Find(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, m := range machines {
		if !m.Gone() {
			add("instance", aws.String(m.ID))
		}
	}
	addresses, err := c.api.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: f})
	if err != nil {
		return nil, fmt.Errorf("describe addresses: %w", err)
	}
	for _, a := range addresses.Addresses {
		add("address", a.AllocationId)
	}
	for p := ec2.NewDescribeVpcsPaginator(c.api, &ec2.DescribeVpcsInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe networks: %w", err)
		}
		for _, v := range page.Vpcs {
			add("vpc", v.VpcId)
		}
	}
	for p := ec2.NewDescribeSubnetsPaginator(c.api, &ec2.DescribeSubnetsInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe subnets: %w", err)
		}
		for _, s := range page.Subnets {
			add("subnet", s.SubnetId)
		}
	}
	for p := ec2.NewDescribeInternetGatewaysPaginator(c.api, &ec2.DescribeInternetGatewaysInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe gateways: %w", err)
		}
		for _, g := range page.InternetGateways {
			add("internet-gateway", g.InternetGatewayId)
		}
	}
	for p := ec2.NewDescribeRouteTablesPaginator(c.api, &ec2.DescribeRouteTablesInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe route tables: %w", err)
		}
		for _, r := range page.RouteTables {
			add("route-table", r.RouteTableId)
		}
	}
	groups, err := c.Groups(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		add("security-group", aws.String(g.ID))
	}
	for p := ec2.NewDescribeLaunchTemplatesPaginator(c.api, &ec2.DescribeLaunchTemplatesInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe launch templates: %w", err)
		}
		for _, l := range page.LaunchTemplates {
			add("launch-template", l.LaunchTemplateId)
		}
	}
	for p := ec2.NewDescribeVolumesPaginator(c.api, &ec2.DescribeVolumesInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe volumes: %w", err)
		}
		for _, v := range page.Volumes {
			if v.State != types.VolumeStateDeleting && v.State != types.VolumeStateDeleted {
				add("volume", v.VolumeId)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}
