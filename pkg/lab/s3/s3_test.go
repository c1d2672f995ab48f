package s3_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
)

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func client(t *testing.T, l *lab.Lab, region string) *s3.Client {
	t.Helper()
	c := labtest.AWS(t, l.Endpoint())
	c.Region, c.RetryMaxAttempts = region, 1
	c.Credentials = credentials.NewStaticCredentialsProvider("AKIAANN", "s3cret/+=", "")
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
}

// start is a lab that checks signatures, S3's among them.
func start(t *testing.T, dir string) *lab.Lab {
	t.Helper()
	return lab.Start(t, func(o *lab.Options) {
		o.Dir = dir
		o.Credentials = []sigv4.Key{{ID: "AKIAANN", Secret: "s3cret/+="}}
	})
}

func TestObjectsAreKeptAndListed(t *testing.T) {
	t.Parallel()
	l := start(t, t.TempDir())
	c, ctx := client(t, l, "eu-west-1"), t.Context()
	bucket := aws.String("web-backups")
	_, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
	var missing *types.NotFound
	require.ErrorAs(t, err, &missing)
	where := &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1}
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	assert.Equal(t, "IllegalLocationConstraintException", code(err))
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket, CreateBucketConfiguration: where})
	require.NoError(t, err)
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket, CreateBucketConfiguration: where})
	assert.Equal(t, "BucketAlreadyOwnedByYou", code(err))
	_, err = client(t, l, "us-east-1").ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	assert.Equal(t, "PermanentRedirect", code(err))
	all, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
	require.NoError(t, err)
	require.Len(t, all.Buckets, 1)
	place, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket})
	require.NoError(t, err)
	assert.Equal(t, types.BucketLocationConstraintEuWest1, place.LocationConstraint)

	for _, key := range []string{"a/1", "a/two words+&?", "b", "c"} {
		for _, sum := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmCrc64nvme} {
			_, err = c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: &key, Body: strings.NewReader("content of " + key), ContentType: aws.String("text/plain"), Metadata: map[string]string{"tip": "1f"}, ChecksumAlgorithm: sum,
			})
			require.NoError(t, err, key)
		}
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("a/two words+&?"), ChecksumMode: types.ChecksumModeEnabled})
	require.NoError(t, err)
	b, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	assert.Equal(t, "content of a/two words+&?", string(b))
	assert.Equal(t, "text/plain", aws.ToString(got.ContentType))
	assert.Equal(t, map[string]string{"tip": "1f"}, got.Metadata)
	got, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("b"), Range: aws.String("bytes=0-6")})
	require.NoError(t, err)
	b, err = io.ReadAll(got.Body)
	require.NoError(t, err)
	assert.Equal(t, "content", string(b))
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("b")})
	require.NoError(t, err)
	assert.EqualValues(t, len("content of b"), aws.ToInt64(head.ContentLength))
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("d")})
	var none *types.NoSuchKey
	require.ErrorAs(t, err, &none)
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("b"), Body: strings.NewReader("x"), ContentMD5: aws.String("AAAAAAAAAAAAAAAAAAAAAA==")})
	assert.Equal(t, "BadDigest", code(err))
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("b"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	assert.Equal(t, "PreconditionFailed", code(err))

	var keys []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	assert.Equal(t, []string{"a/1", "a/two words+&?", "b", "c"}, keys)
	dirs, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Delimiter: aws.String("/")})
	require.NoError(t, err)
	require.Len(t, dirs.CommonPrefixes, 1)
	assert.Equal(t, "a/", aws.ToString(dirs.CommonPrefixes[0].Prefix))
	assert.Len(t, dirs.Contents, 2)

	_, err = c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: bucket})
	assert.Equal(t, "NotImplemented", code(err), "what it does not have it says")
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	assert.Equal(t, "BucketNotEmpty", code(err))
	for _, key := range keys {
		_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: &key})
		require.NoError(t, err)
	}
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	require.NoError(t, err)
}

func TestWhatIsLockedStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := start(t, dir)
	c, ctx := client(t, l, "us-east-1"), t.Context()
	bucket, key := aws.String("locked"), aws.String("k")
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket, ObjectLockEnabledForBucket: aws.Bool(true)})
	require.NoError(t, err)
	versions, err := c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket})
	require.NoError(t, err)
	assert.Equal(t, types.BucketVersioningStatusEnabled, versions.Status)
	_, err = c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}})
	assert.Equal(t, "InvalidBucketState", code(err))
	rule := &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Days: aws.Int32(30)}}}
	_, err = c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: bucket, ObjectLockConfiguration: rule})
	require.NoError(t, err)
	is, err := c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: bucket})
	require.NoError(t, err)
	assert.Equal(t, rule.Rule, is.ObjectLockConfiguration.Rule)
	_, err = c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: bucket, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true)}})
	require.NoError(t, err)
	private, err := c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: bucket})
	require.NoError(t, err)
	assert.False(t, aws.ToBool(private.PublicAccessBlockConfiguration.RestrictPublicBuckets))

	put := func(text string) string {
		out, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(text)})
		require.NoError(t, err)
		return aws.ToString(out.VersionId)
	}
	first, second := put("one"), put("two")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: &first})
	assert.Equal(t, "AccessDenied", code(err))
	gone, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	require.NoError(t, err, "that is a marker alone")
	assert.True(t, aws.ToBool(gone.DeleteMarker))
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	assert.Equal(t, "NoSuchKey", code(err))
	list, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket})
	require.NoError(t, err)
	assert.Len(t, list.Versions, 2)
	assert.Len(t, list.DeleteMarkers, 1)
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: &first})
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = b.ReadFrom(got.Body)
	require.NoError(t, err)
	assert.Equal(t, "one", b.String())

	far := time.Now().Add(100 * 24 * time.Hour).UTC().Truncate(time.Second)
	_, err = c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: bucket, Key: key, VersionId: &second, Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: &far}})
	require.NoError(t, err)
	kept, err := c.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: bucket, Key: key, VersionId: &second})
	require.NoError(t, err)
	assert.Equal(t, far, aws.ToTime(kept.Retention.RetainUntilDate))
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: &second, BypassGovernanceRetention: aws.Bool(true)})
	assert.Equal(t, "AccessDenied", code(err), "nobody shortens this one")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, VersionId: &first, BypassGovernanceRetention: aws.Bool(true)})
	require.NoError(t, err)

	// Another process has it all, too.
	require.NoError(t, l.Close())
	c = client(t, start(t, dir), "us-east-1")
	again, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: &second})
	require.NoError(t, err)
	b.Reset()
	_, err = b.ReadFrom(again.Body)
	require.NoError(t, err)
	assert.Equal(t, "two", b.String())
}
