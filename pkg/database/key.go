package database

import (
	"context"
	"fmt"

	"github.com/build-deploy-chain/chain/pkg/call"
)

// Key is the state of a KMS key of this region by its id or ARN: "Enabled", or
// why nothing can be decrypted by it. A key that is not there is "lost". An error
// says that it could not be asked about.
func (c *Client) Key(ctx context.Context, id string) (string, error) {
	var out struct {
		KeyMetadata struct{ KeyState string }
	}
	op, err := call.JSON("kms", "TrentService.DescribeKey", map[string]string{"KeyId": id}, &out)
	if err == nil {
		err = c.do(ctx, op)
	}
	switch call.Code(err) {
	case "NotFoundException", "InvalidArnException":
		return "lost", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask about the key %s: %w", id, err)
	}
	return out.KeyMetadata.KeyState, nil
}
