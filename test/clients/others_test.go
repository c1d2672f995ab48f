package clients_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

// botocore, on which boto3 and both CLIs stand, with its own waiters, pages,
// typed errors, and each protocol of CloudWatch.
func TestBotocore(t *testing.T) {
	t.Parallel()
	python := find(t, "python3", "^botocore", "-c", "import botocore; print('botocore', botocore.__version__)")
	if python == "" {
		missing(t, "a Python that has botocore")
	}
	l := lab.Start(t)
	script, err := filepath.Abs(filepath.Join("testdata", "client.py"))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), python, "-B", script)
	cmd.Dir = t.TempDir()
	cmd.Env = environ(l.Endpoint(), cmd.Dir)
	r := execute(t, cmd)
	require.Zero(t, r.code, "%s\n%s", r.out, r.err)
	assert.Equal(t, "cloudwatch smithy-rpc-v2-cbor\ncloudwatch json\ncloudwatch query", r.out)
}

// A client of 40 lines, written by hand, as the oldest ones are: forms, and XML
// of which it reads only what it knows.
func TestFormsByHand(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	call := func(service, version, action string, into any, form ...string) int {
		t.Helper()
		values := url.Values{"Action": {action}, "Version": {version}}
		for k := 0; k < len(form); k += 2 {
			values.Set(form[k], form[k+1])
		}
		// A GET with everything in the query is as good as a POST.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.Endpoint()+"/?"+values.Encode(), nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB0000000000000/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(res.Header.Get("Content-Type"), "text/xml"), res.Header.Get("Content-Type"))
		require.NoError(t, xml.Unmarshal(b, into), string(b))
		return res.StatusCode
	}
	var created struct {
		XMLName xml.Name `xml:"http://cloudformation.amazonaws.com/doc/2010-05-15/ CreateStackResponse"`
		StackID string   `xml:"CreateStackResult>StackId"`
		Request string   `xml:"ResponseMetadata>RequestId"`
	}
	require.Equal(t, 200, call("cloudformation", "2010-05-15", "CreateStack", &created, "StackName", "s", "TemplateBody", topic,
		"Parameters.member.1.ParameterKey", "Text", "Parameters.member.1.ParameterValue", "a+b & c"))
	assert.True(t, strings.HasPrefix(created.StackID, "arn:aws:cloudformation:eu-west-1:"+lab.Account+":stack/s/"), created.StackID)
	assert.NotEmpty(t, created.Request)
	var stacks struct {
		Status string `xml:"DescribeStacksResult>Stacks>member>StackStatus"`
		Value  string `xml:"DescribeStacksResult>Stacks>member>Parameters>member>ParameterValue"`
	}
	until(t, "CREATE_COMPLETE", func() string {
		require.Equal(t, 200, call("cloudformation", "2010-05-15", "DescribeStacks", &stacks, "StackName", "s"))
		return stacks.Status
	})
	assert.Equal(t, "a+b & c", stacks.Value)
	var refused struct {
		XMLName xml.Name `xml:"http://cloudformation.amazonaws.com/doc/2010-05-15/ ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
		Request string   `xml:"RequestId"`
	}
	assert.Equal(t, 400, call("cloudformation", "2010-05-15", "DescribeStacks", &refused, "StackName", "none"))
	assert.Equal(t, []string{"Sender", "ValidationError", "Stack with id none does not exist"}, []string{refused.Type, refused.Code, refused.Message})
	assert.NotEmpty(t, refused.Request)

	var images struct {
		XMLName xml.Name `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeImagesResponse"`
		Request string   `xml:"requestId"`
		Items   []struct {
			ID    string `xml:"imageId"`
			State string `xml:"imageState"`
		} `xml:"imagesSet>item"`
	}
	require.Equal(t, 200, call("ec2", "2016-11-15", "DescribeImages", &images, "Owner.1", "136693071363", "Filter.1.Name", "state", "Filter.1.Value.1", "available"))
	require.Len(t, images.Items, 1)
	assert.Equal(t, l.BaseImage(region), images.Items[0].ID)
	var no struct {
		XMLName xml.Name `xml:"Response"`
		Code    string   `xml:"Errors>Error>Code"`
		Request string   `xml:"RequestID"`
	}
	assert.Equal(t, 400, call("ec2", "2016-11-15", "DescribeImages", &no, "ImageId.1", "ami-0123456789abcdef0"))
	assert.Equal(t, "InvalidAMIID.NotFound", no.Code)
	assert.NotEmpty(t, no.Request)
}

// curl signs requests itself since it is 7.75.
func TestCurl(t *testing.T) {
	t.Parallel()
	path := find(t, "curl", `--aws-sigv4`, "--help", "all")
	if path == "" {
		missing(t, "a curl that signs")
	}
	l := lab.Start(t)
	curl := func(args ...string) result {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"-sS", "--max-time", "20"}, args...)...)
		cmd.Env = environ(l.Endpoint(), t.TempDir())
		return execute(t, cmd)
	}
	signed := func(service string, args ...string) result {
		t.Helper()
		return curl(append([]string{"--user", "AKIALAB0000000000000:lab", "--aws-sigv4", "aws:amz:" + region + ":" + service}, args...)...)
	}
	r := signed("sts", "--data", "Action=GetCallerIdentity&Version=2011-06-15", l.Endpoint()+"/")
	assert.Contains(t, r.out, "<Account>"+lab.Account+"</Account>", r.err)
	r = signed("route53", l.Endpoint()+"/2013-04-01/hostedzone")
	assert.Contains(t, r.out, "<Name>hello.example.</Name>", r.err)
	r = signed("ssm", "-H", "X-Amz-Target: AmazonSSM.GetParameter", "-H", "Content-Type: application/x-amz-json-1.1", "--data", `{"Name":"/none"}`, l.Endpoint()+"/")
	assert.Contains(t, r.out, "ParameterNotFound", r.err)
	r = curl("--data", "Action=GetCallerIdentity&Version=2011-06-15", l.Endpoint()+"/")
	assert.Contains(t, r.out, "MissingAuthenticationToken", "who does not sign is told so")

	// The page through the lab's internet, as the README has it.
	site(t, l, "one")
	r = curl("-x", "socks5h://"+l.SOCKS(), "http://www.hello.example/")
	assert.NotZero(t, r.code, "nothing serves there yet")
	assert.Contains(t, r.err, "curl: (")
}
