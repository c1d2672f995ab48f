package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const region = "eu-west-1"

func keys() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider("test", "test", "")
}

func parameters(l *lab.Lab) *ssm.Client {
	return ssm.New(ssm.Options{Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys(), RetryMaxAttempts: 1})
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func put(t *testing.T, l *lab.Lab, name, value string) error {
	t.Helper()
	_, err := parameters(l).PutParameter(context.Background(), &ssm.PutParameterInput{
		Name: &name, Value: &value, Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(true),
	})
	return err
}

// call sends a form as a client that signs for the service does.
func call(t *testing.T, l *lab.Lab, service, form string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.Endpoint()+"/", strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotEmpty(t, resp.Header.Get("X-Amzn-RequestId"))
	return resp.StatusCode, string(b)
}

// control calls the lab's own API.
func control(t *testing.T, l *lab.Lab, method, path string, in, out any) int {
	t.Helper()
	b, err := json.Marshal(in)
	require.NoError(t, err)
	req, err := http.NewRequest(method, l.Endpoint()+path, bytes.NewReader(b))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	if out != nil {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(out))
	}
	return resp.StatusCode
}

func TestWhoAmI(t *testing.T) {
	l := lab.Start(t)
	out, err := sts.New(sts.Options{Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys()}).
		GetCallerIdentity(context.Background(), nil)
	require.NoError(t, err)
	assert.Equal(t, lab.Account, *out.Account)
}

func TestWhatItDoesNotHave(t *testing.T) {
	l := lab.Start(t)
	for _, c := range []struct{ service, form, want string }{
		{"ec2", "Action=BundleInstance&Version=2016-11-15", "<Response><Errors><Error><Code>InvalidAction</Code><Message>The lab does not have the action ec2.BundleInstance"},
		{"autoscaling", "Action=PutWarmPool", "<Code>InvalidAction</Code><Message>The lab does not have the action autoscaling.PutWarmPool"},
		{"dynamodb", "Action=ListTables", "The lab has no service dynamodb (asked for dynamodb.ListTables)"},
		{"ec2", "Version=2016-11-15", "MissingAction"},
		{"sts", "Action=GetCallerIdentity&Nonsense=1", "The parameter Nonsense is not recognized: the lab&#39;s sts.GetCallerIdentity does not have it"},
		{"ec2", "Action=DescribeVpcs&VpcId.1=vpc-1&VpcId=x", "both a value and a structure"},
		{"ec2", "Action=DescribeVpcs&VpcId.1=vpc-1&VpcId.1=vpc-2", "given twice"},
	} {
		status, body := call(t, l, c.service, c.form)
		assert.Equal(t, 400, status, c.form)
		assert.Contains(t, body, c.want)
	}
	_, err := parameters(l).DescribeParameters(context.Background(), &ssm.DescribeParametersInput{})
	assert.Equal(t, "UnknownOperationException", code(err))
	assert.ErrorContains(t, err, "ssm.DescribeParameters")

	resp, err := http.Get(l.Endpoint() + "/2013-04-01/hostedzone")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, "no signature, no service")

	strange := ssm.New(ssm.Options{Region: "eu-nowhere-9", BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys(), RetryMaxAttempts: 1})
	_, err = strange.GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/x")})
	assert.Equal(t, "InvalidRegion", code(err))
}

func TestParameters(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Base.Digest = "d" })
	c := parameters(l)
	ctx := context.Background()
	out, err := c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/debian/release/12/latest/amd64")})
	require.NoError(t, err)
	assert.Equal(t, l.BaseImage(region), *out.Parameter.Value)
	_, err = c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/x")})
	var missing *ssmtypes.ParameterNotFound
	require.ErrorAs(t, err, &missing)
	require.NoError(t, put(t, l, "/x", "1"))
	require.NoError(t, put(t, l, "/x", "2"))
	out, err = c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/x")})
	require.NoError(t, err)
	assert.Equal(t, "2", *out.Parameter.Value)
	assert.EqualValues(t, 2, out.Parameter.Version)
	assert.WithinDuration(t, time.Now(), *out.Parameter.LastModifiedDate, time.Minute)
	_, err = c.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String("/x")})
	require.NoError(t, err)
}

func TestRolesAndProfiles(t *testing.T) {
	l := lab.Start(t)
	c := iam.New(iam.Options{Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys(), RetryMaxAttempts: 1})
	ctx := context.Background()
	doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	_, err := c.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("web")})
	assert.Equal(t, "NoSuchEntity", code(err))
	_, err = c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("web"), AssumeRolePolicyDocument: aws.String("{")})
	assert.Equal(t, "MalformedPolicyDocument", code(err))
	_, err = c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("web"), AssumeRolePolicyDocument: &doc})
	require.NoError(t, err)
	_, err = c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("web")})
	require.NoError(t, err)
	_, err = c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("web"), RoleName: aws.String("web")})
	require.NoError(t, err)
	got, err := c.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("web")})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:iam::111111111111:role/web", *got.InstanceProfile.Roles[0].Arn)
	_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("web")})
	assert.Equal(t, "DeleteConflict", code(err))
}

// A world lives on in its directory, whoever runs it.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	machines, err := memory.New(memory.Options{})
	require.NoError(t, err)
	defer func() { _ = machines.Close() }()
	start := func() *lab.Lab {
		return lab.Start(t, func(o *lab.Options) { o.Dir, o.Runtime = dir, machines })
	}
	l := start()
	id := l.ID()
	require.NoError(t, put(t, l, "/kept", "yes"))
	status, body := call(t, l, "ec2", "Action=RunInstances&MinCount=3&MaxCount=3&ImageId="+l.BaseImage(region))
	require.Equal(t, 200, status, body)

	_, err = lab.New(lab.Options{Dir: dir, Runtime: machines})
	require.ErrorIs(t, err, lab.ErrHeld)
	require.NoError(t, l.Close())

	// While nobody looks, one machine dies, one stays, and one is there that nobody knows.
	list, err := machines.List(context.Background())
	require.NoError(t, err)
	if len(list) > 0 {
		require.NoError(t, machines.Stop(context.Background(), list[0].ID))
	}
	_, err = machines.Start(context.Background(), runtime.Spec{ID: "i-stray", Image: runtime.Base})
	require.NoError(t, err)

	l = start()
	defer func() { _ = l.Close() }()
	assert.Equal(t, id, l.ID())
	out, err := parameters(l).GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/kept")})
	require.NoError(t, err)
	assert.Equal(t, "yes", *out.Parameter.Value)
	require.Eventually(t, func() bool {
		s := l.Status()
		if len(s.Machines) != 3 {
			return false
		}
		for _, m := range s.Machines {
			if m.State != "running" {
				return false
			}
		}
		list, err := machines.List(context.Background())
		require.NoError(t, err)
		up := 0
		for _, m := range list {
			if m.State == runtime.Running {
				up++
			}
		}
		return up == 3 && len(list) == 3
	}, 5*time.Second, 5*time.Millisecond, "three machines run again, the stray one is gone")
}

// What is long to make is made once, and many labs begin with a copy of it.
func TestFrom(t *testing.T) {
	dir := t.TempDir()
	l := lab.Start(t)
	require.NoError(t, put(t, l, "/kept", "yes"))
	require.NoError(t, l.Memory().AddImage("page", memory.Site("Hello", "1")))
	image, err := l.AddImage(region, "page", "page", nil)
	require.NoError(t, err)
	status, body := call(t, l, "ec2", "Action=RunInstances&MinCount=1&MaxCount=1&ImageId="+image)
	require.Equal(t, 200, status, body)
	require.Eventually(t, func() bool { return len(l.Status().Machines) == 1 && l.Status().Machines[0].State == "running" }, 5*time.Second, 5*time.Millisecond)
	machine := l.Status().Machines[0].ID
	require.NoError(t, l.Copy(dir))
	require.NoError(t, l.Close())
	before, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)

	begin := func(o *lab.Options) { o.From = dir }
	a, b := lab.Start(t, begin), lab.Start(t, begin)
	require.NoError(t, put(t, a, "/kept", "changed"))
	require.NoError(t, a.Memory().Kill(machine))
	out, err := parameters(b).GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/kept")})
	require.NoError(t, err)
	assert.Equal(t, "yes", *out.Parameter.Value)
	disk, ok := b.Memory().Disk(machine)
	require.True(t, ok)
	assert.Contains(t, disk.Pages["/"].Body, "Hello")
	conn, err := b.Memory().Dial(context.Background(), machine, 80)
	require.NoError(t, err, "it runs in the other one")
	require.NoError(t, conn.Close())
	after, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after), "nothing is written there")

	_, err = lab.Open(t.Context(), func(o *lab.Options) { o.From = t.TempDir() })
	assert.ErrorContains(t, err, "no lab was kept in")
}

func TestOtherVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	machines, err := memory.New(memory.Options{})
	require.NoError(t, err)
	defer func() { _ = machines.Close() }()
	file := filepath.Join(dir, "state.json")
	for text, want := range map[string]string{
		`{"Version": 999}`: "has version 999, this lab reads version",
		`{"Version": 1, `:  "unexpected end of JSON input",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := lab.New(lab.Options{Dir: dir, Runtime: machines})
		assert.ErrorContains(t, err, want)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, text, string(b), "it is left as it was")
	}
}

// What was answered is kept: a lab that dies without a word has it after its restart.
func TestAnsweredMeansKept(t *testing.T) {
	dir := t.TempDir()
	l := lab.Start(t, func(o *lab.Options) { o.Dir = dir })
	require.NoError(t, put(t, l, "/a", "1"))
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	w := &state.World{}
	require.NoError(t, json.Unmarshal(b, w))
	assert.Equal(t, "1", w.Regions[region].Parameters["/a"].Value)
}

// A disk that takes nothing more is an error of the call, not a silent loss.
func TestStateThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	l := lab.Start(t, func(o *lab.Options) { o.Dir = dir })
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	require.NoError(t, os.Remove(filepath.Join(dir, "state.json")))
	require.NoError(t, os.Remove(dir))
	err := put(t, l, "/a", "1")
	assert.Equal(t, "InternalFailure", code(err))
	assert.ErrorContains(t, err, "keep the lab's state")
}

func TestFaults(t *testing.T) {
	l := lab.Start(t)
	ctx := context.Background()
	add := func(f state.Fault) {
		t.Helper()
		var out map[string]string
		require.Equal(t, 201, control(t, l, http.MethodPost, "/_lab/faults", f, &out))
		require.NotEmpty(t, out["id"])
	}
	get := func() (string, error) {
		out, err := parameters(l).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/x")})
		if err != nil {
			return "", err
		}
		return *out.Parameter.Value, nil
	}
	require.NoError(t, put(t, l, "/x", "1"))

	add(state.Fault{Kind: core.FaultThrottle, Match: map[string]string{"service": "ssm", "action": "Get*"}, Times: 2})
	for range 2 {
		_, err := get()
		assert.Equal(t, "ThrottlingException", code(err))
	}
	_, err := get()
	require.NoError(t, err, "after two times it is used up")

	add(state.Fault{Kind: core.FaultError, Match: map[string]string{"action": "GetParameter", "Name": "/x*"}, Args: map[string]string{"code": "InternalServerError", "message": "broken", "status": "500"}})
	_, err = get()
	assert.Equal(t, "InternalServerError", code(err))
	assert.ErrorContains(t, err, "broken")

	// The answer gets lost: the effect is there, the caller does not know.
	add(state.Fault{Kind: core.FaultLostAnswer, Match: map[string]string{"action": "PutParameter"}})
	err = put(t, l, "/x", "2")
	require.Error(t, err)
	assert.Empty(t, code(err), "no answer at all")
	v, err := get()
	require.NoError(t, err)
	assert.Equal(t, "2", v)

	add(state.Fault{Kind: core.FaultLostAnswer, Match: map[string]string{"action": "PutParameter"}, Args: map[string]string{"before": "true"}})
	require.Error(t, put(t, l, "/x", "3"))
	v, err = get()
	require.NoError(t, err)
	assert.Equal(t, "2", v, "it never happened")

	// Stale reads: the world before the last change, twice.
	add(state.Fault{Kind: core.FaultStale, Match: map[string]string{"action": "GetParameter"}, Times: 2})
	require.NoError(t, put(t, l, "/x", "4"))
	for _, want := range []string{"2", "2", "4"} {
		v, err := get()
		require.NoError(t, err)
		assert.Equal(t, want, v)
	}

	add(state.Fault{Kind: core.FaultUnknownStatus, Match: map[string]string{"action": "GetParameter"}, Args: map[string]string{"field": "Value"}})
	v, err = get()
	require.NoError(t, err)
	assert.Equal(t, "UNKNOWN_TO_YOU", v)

	add(state.Fault{Kind: core.FaultSlow, Match: map[string]string{"action": "GetParameter"}, Args: map[string]string{"delay": "60ms"}})
	began := time.Now()
	_, err = get()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(began), 60*time.Millisecond)

	add(state.Fault{Kind: core.FaultThrottle, Until: time.Now().Add(-time.Second), Times: -1})
	_, err = get()
	require.NoError(t, err, "its time is over")

	add(state.Fault{Kind: core.FaultThrottle, Times: -1})
	_, err = get()
	require.Error(t, err)
	var list []state.Fault
	require.Equal(t, 200, control(t, l, http.MethodGet, "/_lab/faults", nil, &list))
	assert.Equal(t, 204, control(t, l, http.MethodDelete, "/_lab/faults/"+list[len(list)-1].ID, nil, nil))
	_, err = get()
	require.NoError(t, err)
	assert.Equal(t, 404, control(t, l, http.MethodDelete, "/_lab/faults/none", nil, nil))

	var refused map[string]string
	for _, f := range []state.Fault{
		{Kind: "nonsense"},
		{Kind: core.FaultError},
		{Kind: core.FaultSlow, Args: map[string]string{"delay": "soon"}},
		{Kind: core.FaultMachine, Args: map[string]string{"never": "perhaps"}},
	} {
		assert.Equal(t, 400, control(t, l, http.MethodPost, "/_lab/faults", f, &refused))
		assert.NotEmpty(t, refused["error"])
	}
}

func TestMachineFaults(t *testing.T) {
	l := lab.Start(t)
	_, err := l.Fault(state.Fault{Kind: core.FaultNoCapacity, Match: map[string]string{"zone": "eu-west-1a"}})
	require.NoError(t, err)
	_, err = l.Fault(state.Fault{Kind: core.FaultMachine, Match: map[string]string{"stack": "web-test-*", "group": "*"}, Args: map[string]string{"never": "true", "die": "1h"}})
	require.NoError(t, err)
	run := func() (*ec2.RunInstancesOutput, error) {
		var out *ec2.RunInstancesOutput
		one := int64(1)
		err := l.Core().Do(region, func(tx *core.Tx) error {
			ec2.Seed(tx, ec2.Base{})
			var err error
			out, err = ec2.RunInstances(tx, &ec2.RunInstancesInput{
				ImageId: l.BaseImage(region), MinCount: &one, MaxCount: &one,
				TagSpecifications: ec2.Specify("instance", map[string]string{"aws:cloudformation:stack-name": "web-test-7", "aws:autoscaling:groupName": "g"}),
			})
			return err
		})
		return out, err
	}
	_, err = run()
	require.ErrorContains(t, err, "InsufficientInstanceCapacity")
	out, err := run()
	require.NoError(t, err)
	l.Core().View(region, func(tx *core.Tx) {
		i := tx.Region.Instances[out.Instances[0].InstanceId]
		assert.Equal(t, runtime.Fault{Never: true, DieAfter: time.Hour}, i.Fault)
		assert.Equal(t, "g", i.Group)
	})
	require.Eventually(t, func() bool {
		sick := false
		l.Core().View(region, func(tx *core.Tx) {
			sick = tx.Region.Instances[out.Instances[0].InstanceId].InstanceStatus == "impaired"
		})
		return sick
	}, 5*time.Second, 5*time.Millisecond, "its status check fails in the end")
	_, err = run()
	require.NoError(t, err)
}

func TestControl(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Build = "b1" })
	require.NoError(t, put(t, l, "/x", "1"))
	var s lab.Status
	require.Equal(t, 200, control(t, l, http.MethodGet, "/_lab/status", nil, &s))
	assert.Equal(t, "b1", s.Build)
	assert.Equal(t, os.Getpid(), s.PID)
	assert.Equal(t, l.SOCKS(), s.SOCKS)
	assert.Equal(t, "http://"+s.API, l.Endpoint())
	var calls map[string]int
	control(t, l, http.MethodGet, "/_lab/calls", nil, &calls)
	assert.Equal(t, map[string]int{"ssm.PutParameter": 1}, calls)
	var actions map[string][]string
	control(t, l, http.MethodGet, "/_lab/actions", nil, &actions)
	assert.Contains(t, actions["ec2"], "RunInstances")
	var img map[string]string
	require.Equal(t, 201, control(t, l, http.MethodPost, "/_lab/images", map[string]any{"Region": region, "Name": "web-1", "Ref": "r"}, &img))
	assert.True(t, strings.HasPrefix(img["id"], "ami-"))
	assert.Equal(t, 400, control(t, l, http.MethodPost, "/_lab/images", map[string]any{"Region": region, "Name": "web-1", "Ref": "r"}, &img))
	assert.Equal(t, 404, control(t, l, http.MethodGet, "/_lab/nonsense", nil, nil))
	assert.Equal(t, 202, control(t, l, http.MethodPost, "/_lab/stop", nil, nil))
	select {
	case <-l.Stopped():
	case <-time.After(time.Second):
		t.Fatal("it was asked to stop")
	}
	assert.Equal(t, 202, control(t, l, http.MethodPost, "/_lab/stop", nil, nil), "twice is no fault")
}

func TestPortTaken(t *testing.T) {
	first := lab.Start(t)
	machines, err := memory.New(memory.Options{})
	require.NoError(t, err)
	defer func() { _ = machines.Close() }()
	l, err := lab.New(lab.Options{Runtime: machines, API: strings.TrimPrefix(first.Endpoint(), "http://")})
	require.NoError(t, err)
	assert.ErrorContains(t, l.Start(context.Background()), "address already in use")
	require.NoError(t, l.Close())
}

// A base image of another digest is another AMI.
func TestBaseImageChanges(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for k := range 2 {
		l := lab.Start(t, func(o *lab.Options) { o.Dir, o.Base = dir, ec2.Base{Digest: fmt.Sprint(k)} })
		out, err := parameters(l).GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String("/aws/service/debian/release/12/latest/amd64")})
		require.NoError(t, err)
		ids = append(ids, *out.Parameter.Value)
		require.NoError(t, l.Close())
	}
	assert.NotEqual(t, ids[0], ids[1])
}

// Whoever starts a lab in each of his tests must not notice it: 50 ms at most.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		lab.Start(b)
	}
}
