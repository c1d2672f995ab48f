package compute

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Volume is a disk.
type Volume struct {
	ID, State string // "in-use", "available"
	Created   time.Time
	Tags      Tags
}

// Volumes are those that have the tags.
func (c *Client) Volumes(ctx context.Context, t Tags) ([]Volume, error) {
	var out []Volume
	for p := ec2.NewDescribeVolumesPaginator(c.api, &ec2.DescribeVolumesInput{Filters: t.filters()}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe volumes: %w", err)
		}
		for _, v := range page.Volumes {
			out = append(out, Volume{ID: aws.ToString(v.VolumeId), State: string(v.State), Created: aws.ToTime(v.CreateTime), Tags: tags(v.Tags)})
		}
	}
	return out, nil
}

// DeleteVolume removes a disk that no machine has; one that is gone is no error.
func (c *Client) DeleteVolume(ctx context.Context, id string) error {
	if _, err := c.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)}); err != nil && !Missing(err) {
		return fmt.Errorf("delete volume %s: %w", id, err)
	}
	return nil
}
