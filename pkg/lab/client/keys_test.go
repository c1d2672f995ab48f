package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/client"
)

// A lab with keys of its own answers what they signed, and the chain.
func TestKeys(t *testing.T) {
	o := options(t)
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte("# who may\nAKIAANN secret\n\nASIABOB other token\n"), 0o600))
	o.Args = append(o.Args, "-keys", file)
	l := start(t, o)
	for _, c := range []struct {
		id, secret, token string
		good              bool
	}{
		{"AKIAANN", "secret", "", true},
		{"ASIABOB", "other", "token", true},
		{client.KeyID, client.Secret, "", true},
		{"AKIAANN", "guess", "", false},
		{"ASIABOB", "other", "", false},
		{"test", "test", "", false},
	} {
		api := sts.New(sts.Options{
			Region: "eu-west-1", BaseEndpoint: aws.String("http://" + l.API), RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(c.id, c.secret, c.token),
		})
		_, err := api.GetCallerIdentity(t.Context(), nil)
		assert.Equal(t, c.good, err == nil, "%s: %v", c.id, err)
	}
}
