package compute

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Copy says what to copy from another region into this client's.
type Copy struct {
	From, Image string // region and id of the original
	Name        string
	Key         string // KMS key of this region that encrypts it; "" is its default key
	Token       string // of the same token there is one copy only
	Tags        Tags   // of image and snapshots
}

// CopyImage begins a copy, encrypted with a key of this region, and returns its
// id. The copy is pending at first.
func (c *Client) CopyImage(ctx context.Context, w Copy) (string, error) {
	in := &ec2.CopyImageInput{
		SourceRegion: aws.String(w.From), SourceImageId: aws.String(w.Image), Name: aws.String(w.Name), Encrypted: aws.Bool(true),
		ClientToken: aws.String(w.Token), TagSpecifications: w.Tags.on(types.ResourceTypeImage, types.ResourceTypeSnapshot),
	}
	if w.Key != "" {
		in.KmsKeyId = aws.String(w.Key)
	}
	out, err := c.api.CopyImage(ctx, in)
	if err != nil {
		return "", fmt.Errorf("copy %s from %s: %w", w.Image, w.From, err)
	}
	return aws.ToString(out.ImageId), nil
}
