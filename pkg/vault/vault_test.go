package vault_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/call"
	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

func TestWhatIsInAVaultStays(t *testing.T) {
	t.Parallel()
	l := lab.Start(t, func(o *lab.Options) {
		o.Credentials, o.PageSize = []sigv4.Key{{ID: "AKIAANN", Secret: "s3cret/+="}}, 2
	})
	ctx := t.Context()
	cfg := aws.Config{Region: "us-west-2", BaseEndpoint: aws.String(l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIAANN", "s3cret/+=", "")}
	v := vault.Open(cfg, clock.System{}, vault.Name("web-production", "000000000000", "us-west-2"))
	_, err := v.List(ctx, "")
	require.ErrorIs(t, err, vault.ErrAbsent)
	_, err = v.Locks(ctx)
	require.ErrorIs(t, err, vault.ErrAbsent)
	for range 2 {
		require.NoError(t, v.Make(ctx, 35))
	}
	days, err := v.Locks(ctx)
	require.NoError(t, err)
	assert.Equal(t, 35, days)
	require.NoError(t, v.Make(ctx, 40), "it may become longer")

	for _, key := range []string{"git/a 1+2?.bundle", "git/b", "git/c", "ci/d"} {
		require.NoError(t, v.Put(ctx, key, []byte("content of "+key)))
		require.NoError(t, v.Put(ctx, key, []byte("another")), "what is there stays")
	}
	b, err := v.Get(ctx, "git/a 1+2?.bundle")
	require.NoError(t, err)
	assert.Equal(t, "content of git/a 1+2?.bundle", string(b))
	list, err := v.List(ctx, "git/")
	require.NoError(t, err)
	require.Len(t, list, 3, "of two pages")
	assert.NotZero(t, list[0].Made)
	_, err = v.Get(ctx, "git/none")
	require.ErrorIs(t, err, vault.ErrAbsent)

	// Nobody can delete it, not even with the right to go past a lock.
	direct := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	versions, err := direct.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &v.Bucket})
	require.NoError(t, err)
	_, err = direct.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &v.Bucket, Key: versions.Versions[0].Key, VersionId: versions.Versions[0].VersionId, BypassGovernanceRetention: aws.Bool(true)})
	assert.Equal(t, "AccessDenied", call.Code(err))

	// A bucket that somebody else made, and that locks nothing, is none.
	cfg.Region = "us-east-1"
	direct = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = direct.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("open")})
	require.NoError(t, err)
	require.ErrorContains(t, vault.Open(cfg, clock.System{}, "open").Make(ctx, 35), "has no object lock")

	long := vault.Name(strings.Repeat("long-", 20), "000000000000", "us-west-2")
	assert.LessOrEqual(t, len(long), 63)
	assert.NotEqual(t, long, vault.Name(strings.Repeat("long-", 20), "000000000000", "us-west-1"))
}
