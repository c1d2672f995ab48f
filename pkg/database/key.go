package database

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Key is the state of a KMS key of this region by its id or ARN: "Enabled", or
// why nothing can be decrypted by it. A key that is not there is "lost". An error
// says that it could not be asked about.
func (c *Client) Key(ctx context.Context, id string) (string, error) {
	body, err := json.Marshal(map[string]string{"KeyId": id})
	if err != nil {
		return "", fmt.Errorf("ask about the key %s: %w", id, err)
	}
	var out struct {
		KeyMetadata struct{ KeyState string }
	}
	err = c.do(ctx, call{"kms", http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"TrentService.DescribeKey"}}, body, func(status int, body []byte) error {
		if status < 300 {
			return json.Unmarshal(body, &out)
		}
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		return fault(status, e.Type[strings.LastIndex(e.Type, "#")+1:], e.Message)
	}})
	switch code(err) {
	case "NotFoundException", "InvalidArnException":
		return "lost", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask about the key %s: %w", id, err)
	}
	return out.KeyMetadata.KeyState, nil
}
