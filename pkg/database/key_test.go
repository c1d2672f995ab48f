package database_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/database"
)

// KMS is no part of the local AWS: its answers are those of its documentation.
func TestKeysAreThereDisabledOrLost(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		status int
		body   string
	}{
		`{"KeyId":"here"}`:      {200, `{"KeyMetadata":{"KeyId":"here","KeyState":"Enabled"}}`},
		`{"KeyId":"dying"}`:     {200, `{"KeyMetadata":{"KeyId":"dying","KeyState":"PendingDeletion"}}`},
		`{"KeyId":"gone"}`:      {400, `{"__type":"NotFoundException","message":"Key 'gone' does not exist"}`},
		`{"KeyId":"forbidden"}`: {400, `{"__type":"AccessDeniedException","message":"no"}`},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		a := answers[string(b)]
		if err != nil || r.Header.Get("X-Amz-Target") != "TrentService.DescribeKey" {
			a.status = http.StatusNotFound
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(srv.Close)
	c := database.New(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")},
		config.Poll{Min: time.Millisecond, Max: time.Millisecond}, clock.System{})
	for id, want := range map[string]string{"here": "Enabled", "dying": "PendingDeletion", "gone": "lost"} {
		state, err := c.Key(t.Context(), id)
		require.NoError(t, err, id)
		assert.Equal(t, want, state)
	}
	_, err := c.Key(t.Context(), "forbidden")
	require.ErrorContains(t, err, "AccessDenied")
}
