package stack

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// TemplatesInUse are the versions of launch templates that Auto Scaling groups
// name, of all the account in the region: by the template's id or name, then by
// version, the name of a group.
func (a *Account) TemplatesInUse(ctx context.Context) (map[string]map[string]string, error) {
	var out map[string]map[string]string
	err := a.retry(ctx, "list groups", func(ctx context.Context) error {
		out = map[string]map[string]string{}
		for p := autoscaling.NewDescribeAutoScalingGroupsPaginator(a.asg, &autoscaling.DescribeAutoScalingGroupsInput{}); p.HasMorePages(); {
			page, err := p.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, g := range page.AutoScalingGroups {
				add := func(t *astypes.LaunchTemplateSpecification) {
					if t == nil {
						return
					}
					version := aws.ToString(t.Version)
					if version == "" {
						version = "$Default"
					}
					for _, name := range []string{aws.ToString(t.LaunchTemplateId), aws.ToString(t.LaunchTemplateName)} {
						if name != "" {
							if out[name] == nil {
								out[name] = map[string]string{}
							}
							out[name][version] = aws.ToString(g.AutoScalingGroupName)
						}
					}
				}
				add(g.LaunchTemplate)
				if m := g.MixedInstancesPolicy; m != nil && m.LaunchTemplate != nil {
					add(m.LaunchTemplate.LaunchTemplateSpecification)
					for _, o := range m.LaunchTemplate.Overrides {
						add(o.LaunchTemplateSpecification)
					}
				}
			}
		}
		return nil
	})
	return out, err
}
