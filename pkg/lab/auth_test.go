package lab_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
)

// guarded is a lab that knows two keys, one of them with a token, and one that ran out.
func guarded(t *testing.T) *lab.Lab {
	t.Helper()
	return lab.Start(t, func(o *lab.Options) {
		o.Credentials = []sigv4.Key{
			{ID: "AKIAANN", Secret: "s3cret/+="},
			{ID: "ASIABOB", Secret: "other", Token: "a//token=="},
			{ID: "ASIAOLD", Secret: "old", Token: "t", Expires: time.Now().Add(-time.Minute)},
		}
	})
}

func signedBy(t *testing.T, l *lab.Lab, id, secret, token string) aws.Config {
	t.Helper()
	c := labtest.AWS(t, l.Endpoint())
	c.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	c.RetryMaxAttempts = 1
	return c
}

// families calls one service of each protocol.
func families(t *testing.T, c aws.Config) map[string]error {
	t.Helper()
	ctx := t.Context()
	out := map[string]error{}
	_, out["query"] = cloudformation.NewFromConfig(c).ListStacks(ctx, nil)
	_, out["ec2"] = sdkec2.NewFromConfig(c).DescribeVpcs(ctx, nil)
	_, out["rest"] = route53.NewFromConfig(c).ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: aws.String("a b*~.example"), MaxItems: aws.Int32(1)})
	_, out["cbor"] = cloudwatch.NewFromConfig(c).DescribeAlarms(ctx, nil)
	_, out["json"] = ssm.NewFromConfig(c).PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("/x"), Value: aws.String("ä"), Type: "String", Overwrite: aws.Bool(true)})
	return out
}

func TestGoodSignatures(t *testing.T) {
	l := guarded(t)
	for _, c := range []aws.Config{signedBy(t, l, "AKIAANN", "s3cret/+=", ""), signedBy(t, l, "ASIABOB", "other", "a//token==")} {
		for family, err := range families(t, c) {
			assert.NoError(t, err, family)
		}
		// A path that is escaped, and a body that is compressed.
		_, err := route53.NewFromConfig(c).GetHostedZone(t.Context(), &route53.GetHostedZoneInput{Id: aws.String("Z ä+*")})
		assert.Equal(t, "NoSuchHostedZone", code(err))
		var many []cwtypes.MetricDatum
		for n := range 300 {
			many = append(many, cwtypes.MetricDatum{MetricName: aws.String(fmt.Sprint("metric-with-a-long-name-", n)), Value: aws.Float64(1)})
		}
		_, err = cloudwatch.NewFromConfig(c).PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"), MetricData: many})
		assert.NoError(t, err)
	}
}

func TestBadSignatures(t *testing.T) {
	l := guarded(t)
	for name, c := range map[string]struct {
		id, secret, token string
		codes             map[string]string
	}{
		"wrong secret":  {"AKIAANN", "wrong", "", map[string]string{"query": "SignatureDoesNotMatch", "rest": "SignatureDoesNotMatch", "ec2": "AuthFailure", "json": "InvalidSignatureException", "cbor": "SignatureDoesNotMatch"}},
		"unknown key":   {"AKIANOBODY", "x", "", map[string]string{"query": "InvalidClientTokenId", "rest": "InvalidClientTokenId", "ec2": "AuthFailure", "json": "UnrecognizedClientException", "cbor": "InvalidClientTokenId"}},
		"no token":      {"ASIABOB", "other", "", map[string]string{"query": "InvalidClientTokenId", "ec2": "AuthFailure", "json": "UnrecognizedClientException"}},
		"another token": {"ASIABOB", "other", "x", map[string]string{"query": "InvalidClientTokenId"}},
		"expired key":   {"ASIAOLD", "old", "t", map[string]string{"query": "ExpiredToken", "rest": "ExpiredToken", "ec2": "RequestExpired", "json": "ExpiredTokenException", "cbor": "ExpiredToken"}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := families(t, signedBy(t, l, c.id, c.secret, c.token))
			for family, want := range c.codes {
				assert.Equal(t, want, code(errs[family]), "%s: %v", family, errs[family])
				var resp *smithyhttp.ResponseError
				if assert.ErrorAs(t, errs[family], &resp) {
					status := map[string]int{"query": 403, "rest": 403, "json": 400, "cbor": 400, "ec2": 401}[family]
					if want == "RequestExpired" {
						status = 400
					}
					assert.Equal(t, status, resp.HTTPStatusCode(), family)
				}
			}
		})
	}
	assert.Empty(t, l.Calls(), "nobody came in")
}

// signed sends a form as the SDK's signer signs it, after a change to the request.
func signed(t *testing.T, l *lab.Lab, service string, at time.Time, change func(*http.Request)) string {
	t.Helper()
	body := "Action=ListStacks&Version=2010-05-15"
	if service == "ec2" {
		body = "Action=DescribeVpcs&Version=2016-11-15"
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.Endpoint()+"/?b=2&a=x%20y&a-b=1", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Amz-Meta", "  two   words ")
	sum := sha256.Sum256([]byte(body))
	require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIAANN", SecretAccessKey: "s3cret/+="}, r, hex.EncodeToString(sum[:]), service, region, at))
	change(r)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

func TestWhatWasSignedMustBeWhatIsSent(t *testing.T) {
	l := guarded(t)
	now := time.Now()
	none := func(*http.Request) {}
	got := signed(t, l, "cloudformation", now, none)
	assert.Contains(t, got, "The parameter", "the signature holds; the query's members are nobody's: %s", got)
	for _, c := range []struct {
		service string
		at      time.Time
		change  func(*http.Request)
		want    string
	}{
		{"cloudformation", now.Add(-6 * time.Minute), none, "403 .*SignatureDoesNotMatch.*Signature expired: .* is now earlier than .* - 5 min"},
		{"cloudformation", now.Add(6 * time.Minute), none, "403 .*SignatureDoesNotMatch.*Signature not yet current: .* is still later than"},
		{"ec2", now.Add(-6 * time.Minute), none, "400 .*RequestExpired.*Request has expired"},
		{"cloudformation", now.Add(-4 * time.Minute), none, "The parameter"},
		{"cloudformation", now, func(r *http.Request) { r.URL.RawQuery += "&c=3" }, "SignatureDoesNotMatch"},
		{"cloudformation", now, func(r *http.Request) { r.URL.Path = "/x" }, "SignatureDoesNotMatch"},
		{"cloudformation", now, func(r *http.Request) { r.Host = "elsewhere" }, "SignatureDoesNotMatch"},
		{"cloudformation", now, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader([]byte("Action=ListStacks&Version=2010-05-16"))), 36
		}, "SignatureDoesNotMatch"},
		{"cloudformation", now, func(r *http.Request) { r.Header.Set("X-Amz-Target", "x") }, "must be a .*SignedHeader"},
		{"cloudformation", now, func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "IncompleteSignature.*Date must be in ISO-8601"},
		{"cloudformation", now, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SignedHeaders=", "Headers=", 1))
		}, "IncompleteSignature"},
		{"cloudformation", now, func(r *http.Request) { r.Header.Del("Authorization") }, "403 .*MissingAuthenticationToken"},
	} {
		assert.Regexp(t, c.want, strings.ReplaceAll(signed(t, l, c.service, c.at, c.change), "\n", " "))
	}
}
