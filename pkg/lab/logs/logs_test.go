package logs_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

// call speaks the service's JSON protocol as a client does.
func call(t *testing.T, l *lab.Lab, action, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.Endpoint()+"/", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Logs_20140328."+action)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDTEST/20261123/eu-west-1/logs/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	out := map[string]any{}
	if len(b) > 0 {
		require.NoError(t, json.Unmarshal(b, &out), string(b))
	}
	return res.StatusCode, out
}

func TestLogGroups(t *testing.T) {
	l := lab.Start(t)
	for _, c := range []struct {
		action, body, fault string
	}{
		{"CreateLogGroup", `{"logGroupName":"/site/web","tags":{"site":"web"}}`, ""},
		{"CreateLogGroup", `{"logGroupName":"/site/web"}`, "ResourceAlreadyExistsException"},
		{"CreateLogGroup", `{"logGroupName":"no good"}`, "InvalidParameterException"},
		{"PutRetentionPolicy", `{"logGroupName":"/site/web","retentionInDays":30}`, ""},
		{"PutRetentionPolicy", `{"logGroupName":"/site/web","retentionInDays":31}`, "InvalidParameterException"},
		{"PutRetentionPolicy", `{"logGroupName":"/nope","retentionInDays":30}`, "ResourceNotFoundException"},
	} {
		status, out := call(t, l, c.action, c.body)
		if c.fault == "" {
			assert.Equal(t, 200, status, "%s %s: %v", c.action, c.body, out)
			continue
		}
		assert.Equal(t, 400, status)
		assert.Equal(t, c.fault, out["__type"], "%s %s", c.action, c.body)
	}
	_, out := call(t, l, "DescribeLogGroups", `{"logGroupNamePrefix":"/site"}`)
	require.Len(t, out["logGroups"], 1)
	group := out["logGroups"].([]any)[0].(map[string]any)
	assert.Equal(t, "/site/web", group["logGroupName"])
	assert.EqualValues(t, 30, group["retentionInDays"])
	assert.Equal(t, "arn:aws:logs:eu-west-1:111111111111:log-group:/site/web:*", group["arn"])
	_, out = call(t, l, "ListTagsForResource", `{"resourceArn":"arn:aws:logs:eu-west-1:111111111111:log-group:/site/web"}`)
	assert.Equal(t, map[string]any{"site": "web"}, out["tags"])
	status, _ := call(t, l, "DeleteRetentionPolicy", `{"logGroupName":"/site/web"}`)
	assert.Equal(t, 200, status)
	status, _ = call(t, l, "DeleteLogGroup", `{"logGroupName":"/site/web"}`)
	assert.Equal(t, 200, status)
	status, out = call(t, l, "DeleteLogGroup", `{"logGroupName":"/site/web"}`)
	assert.Equal(t, 400, status)
	assert.Equal(t, "ResourceNotFoundException", out["__type"])
}
