package compute

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// KeyPair is a login key by its name.
type KeyPair struct {
	ID, Name string
	Tags     Tags
}

// CreateKeyPair makes an ed25519 key and returns its private half, which EC2
// does not keep. The name MUST be the caller's own: a key that has it already is
// taken for the result of a call whose answer got lost, and made anew.
func (c *Client) CreateKeyPair(ctx context.Context, name string, t Tags) (private string, err error) {
	in := &ec2.CreateKeyPairInput{KeyName: aws.String(name), KeyType: types.KeyTypeEd25519, TagSpecifications: t.on(types.ResourceTypeKeyPair)}
	out, err := c.api.CreateKeyPair(ctx, in)
	if Code(err) == "InvalidKeyPair.Duplicate" {
		if err := c.DeleteKeyPair(ctx, name); err != nil {
			return "", err
		}
		out, err = c.api.CreateKeyPair(ctx, in)
	}
	if err != nil {
		return "", fmt.Errorf("create key pair %s: %w", name, err)
	}
	return aws.ToString(out.KeyMaterial), nil
}

// DeleteKeyPair removes a key; one that is gone is no error.
func (c *Client) DeleteKeyPair(ctx context.Context, name string) error {
	if _, err := c.api.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: aws.String(name)}); err != nil && !Missing(err) {
		return fmt.Errorf("delete key pair %s: %w", name, err)
	}
	return nil
}

// KeyPairs are those that have the tags.
func (c *Client) KeyPairs(ctx context.Context, t Tags) ([]KeyPair, error) {
	out, err := c.api.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{Filters: t.filters()})
	if err != nil {
		return nil, fmt.Errorf("describe key pairs: %w", err)
	}
	var list []KeyPair
	for _, k := range out.KeyPairs {
		list = append(list, KeyPair{aws.ToString(k.KeyPairId), aws.ToString(k.KeyName), tags(k.Tags)})
	}
	return list, nil
}

// Group is a security group.
type Group struct {
	ID, Name, Network string
	Tags              Tags
}

// Open lets TCP in to a port.
type Open struct {
	Port int32
	From []string // CIDRs
}

// CreateGroup makes a security group that lets in what is open and nothing
// else, in the network of a subnet; "" is the default network. The name MUST be
// the caller's own: a group that has it already is taken for the result of a
// call whose answer got lost.
func (c *Client) CreateGroup(ctx context.Context, name, purpose, subnet string, t Tags, open ...Open) (id string, err error) {
	in := &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String(purpose), TagSpecifications: t.on(types.ResourceTypeSecurityGroup),
	}
	if subnet != "" {
		out, err := c.api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{subnet}})
		if err != nil {
			return "", fmt.Errorf("describe subnet %s: %w", subnet, err)
		}
		for _, s := range out.Subnets {
			in.VpcId = s.VpcId
		}
	}
	out, err := c.api.CreateSecurityGroup(ctx, in)
	switch {
	case Code(err) == "InvalidGroup.Duplicate":
		there, err := c.groups(ctx, append(t.filters(), filter("group-name", name)))
		if err != nil {
			return "", err
		}
		if len(there) != 1 {
			return "", fmt.Errorf("create security group %s: somebody else has one of that name", name)
		}
		id = there[0].ID
	case err != nil:
		return "", fmt.Errorf("create security group %s: %w", name, err)
	default:
		id = aws.ToString(out.GroupId)
	}
	rules := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(id)}
	for _, o := range open {
		p := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(o.Port), ToPort: aws.Int32(o.Port)}
		for _, cidr := range o.From {
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(cidr)})
		}
		rules.IpPermissions = append(rules.IpPermissions, p)
	}
	if len(open) > 0 {
		if _, err := c.api.AuthorizeSecurityGroupIngress(ctx, rules); err != nil && Code(err) != "InvalidPermission.Duplicate" {
			return id, fmt.Errorf("open security group %s: %w", name, err)
		}
	}
	return id, nil
}

// DeleteGroup removes a security group; one that is gone is no error. While a
// machine still has it, the error's Code is DependencyViolation.
func (c *Client) DeleteGroup(ctx context.Context, id string) error {
	if _, err := c.api.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)}); err != nil && !Missing(err) {
		return fmt.Errorf("delete security group %s: %w", id, err)
	}
	return nil
}

// Groups are the security groups that have the tags.
func (c *Client) Groups(ctx context.Context, t Tags) ([]Group, error) {
	return c.groups(ctx, t.filters())
}

func (c *Client) groups(ctx context.Context, f []types.Filter) ([]Group, error) {
	var list []Group
	for p := ec2.NewDescribeSecurityGroupsPaginator(c.api, &ec2.DescribeSecurityGroupsInput{Filters: f}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe security groups: %w", err)
		}
		for _, g := range page.SecurityGroups {
			list = append(list, Group{aws.ToString(g.GroupId), aws.ToString(g.GroupName), aws.ToString(g.VpcId), tags(g.Tags)})
		}
	}
	return list, nil
}
