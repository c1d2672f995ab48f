package compute

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Trouble is made on purpose, on a stack that is deleted afterwards: by calls to
// AWS alone, since no machine lets anybody in.

// Close takes away every ingress rule of a security group, and returns how to
// bring them back.
func (c *Client) Close(ctx context.Context, group string) (reopen func(context.Context) error, err error) {
	out, err := c.api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{group}})
	if err != nil {
		return nil, fmt.Errorf("describe security group %s: %w", group, err)
	}
	if len(out.SecurityGroups) != 1 || len(out.SecurityGroups[0].IpPermissions) == 0 {
		return func(context.Context) error { return nil }, nil
	}
	rules := out.SecurityGroups[0].IpPermissions
	if _, err := c.api.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rules}); err != nil {
		return nil, fmt.Errorf("close security group %s: %w", group, err)
	}
	return func(ctx context.Context) error {
		_, err := c.api.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rules})
		if err != nil && Code(err) != "InvalidPermission.Duplicate" {
			return fmt.Errorf("open security group %s again: %w", group, err)
		}
		return nil
	}, nil
}

// Hang lets the kernel of a machine panic. The image's kernel must be set to do
// so, and not to boot again by itself.
func (c *Client) Hang(ctx context.Context, machine string) error {
	if _, err := c.api.SendDiagnosticInterrupt(ctx, &ec2.SendDiagnosticInterruptInput{InstanceId: &machine}); err != nil {
		return fmt.Errorf("send a diagnostic interrupt to %s: %w", machine, err)
	}
	return nil
}

// WithUserData makes a version of a launch template that is like another one but
// for its user data, and returns its number. Nothing uses it by itself.
func (c *Client) WithUserData(ctx context.Context, template, version, userData string) (string, error) {
	out, err := c.api.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: &template, SourceVersion: &version,
		LaunchTemplateData: &types.RequestLaunchTemplateData{UserData: aws.String(base64.StdEncoding.EncodeToString([]byte(userData)))},
	})
	if err != nil {
		return "", fmt.Errorf("make a version of launch template %s: %w", template, err)
	}
	return fmt.Sprint(aws.ToInt64(out.LaunchTemplateVersion.VersionNumber)), nil
}
