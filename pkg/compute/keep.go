package compute

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Protect keeps an image from being deregistered, until Unprotect.
func (c *Client) Protect(ctx context.Context, id string) error {
	if _, err := c.api.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: aws.String(id)}); err != nil {
		return fmt.Errorf("protect %s: %w", id, err)
	}
	return nil
}

// Unprotect takes the protection away. cooling says that it was one with a
// cool-down: EC2 lets go of the image a day later.
func (c *Client) Unprotect(ctx context.Context, id string) (cooling bool, err error) {
	out, err := c.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if Missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describe %s: %w", id, err)
	}
	was := ""
	for _, i := range out.Images {
		was = aws.ToString(i.DeregistrationProtection)
	}
	switch {
	case was == "" || was == "disabled":
		return false, nil
	case strings.HasPrefix(was, "disabled"):
		return true, nil // the day is not over
	}
	if _, err := c.api.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)}); err != nil {
		return false, fmt.Errorf("take the protection of %s away: %w", id, err)
	}
	return was != "enabled-without-cooldown", nil
}

// TemplateUse is a version of a launch template that may start machines.
type TemplateUse struct {
	ID, Version, Image string
	What               string // "the default", "the newest", "used by group x"
}

// TemplatesInUse are, of all launch templates, the default and the newest
// version, and those that groups name: versions by template id.
func (c *Client) TemplatesInUse(ctx context.Context, groups map[string]map[string]string) ([]TemplateUse, error) {
	var out []TemplateUse
	for p := ec2.NewDescribeLaunchTemplatesPaginator(c.api, &ec2.DescribeLaunchTemplatesInput{}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe launch templates: %w", err)
		}
		for _, t := range page.LaunchTemplates {
			id := aws.ToString(t.LaunchTemplateId)
			versions := map[string]string{"$Default": "the default", "$Latest": "the newest"}
			for _, name := range []string{id, aws.ToString(t.LaunchTemplateName)} {
				for v, group := range groups[name] {
					if _, ok := versions[v]; !ok {
						versions[v] = "used by group " + group
					}
				}
			}
			for v, what := range versions {
				in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String(id), Versions: []string{v}}
				got, err := c.api.DescribeLaunchTemplateVersions(ctx, in)
				if Missing(err) || Code(err) == "InvalidLaunchTemplateId.VersionNotFound" {
					continue // it went meanwhile
				}
				if err != nil {
					return nil, fmt.Errorf("describe launch template %s version %s: %w", id, v, err)
				}
				for _, x := range got.LaunchTemplateVersions {
					out = append(out, use(id, x, what))
				}
			}
		}
	}
	return out, nil
}

func use(id string, v types.LaunchTemplateVersion, what string) TemplateUse {
	u := TemplateUse{ID: id, Version: fmt.Sprint(aws.ToInt64(v.VersionNumber)), What: what}
	if v.LaunchTemplateData != nil {
		u.Image = aws.ToString(v.LaunchTemplateData.ImageId)
	}
	return u
}
