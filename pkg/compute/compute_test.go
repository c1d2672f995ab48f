package compute_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/compute/machines"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

var mine = compute.Tags{"chain:run": "r1"}

func client(t *testing.T) (*compute.Client, *ec2.Client, *lab.Lab) {
	t.Helper()
	l := lab.Start(t)
	cfg := aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(l.Endpoint()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
	}
	return compute.New(cfg), ec2.NewFromConfig(cfg), l
}

// base is the newest base image.
func base(t *testing.T, c *compute.Client) compute.Image {
	t.Helper()
	list, err := c.Images(t.Context(), compute.ImageQuery{Owner: "136693071363", Name: "debian-12-amd64-*"})
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list[0]
}

func await(t *testing.T, c *compute.Client, id, state string) compute.Machine {
	t.Helper()
	var m *compute.Machine
	require.Eventually(t, func() bool {
		var err error
		m, err = c.Machine(t.Context(), id)
		require.NoError(t, err)
		return m != nil && m.State == state
	}, 10*time.Second, 2*time.Millisecond, "%s is never %s", id, state)
	return *m
}

func TestAMachineFromStartToEnd(t *testing.T) {
	c, _, l := client(t)
	ctx := t.Context()
	key, err := c.CreateKeyPair(ctx, "one", mine)
	require.NoError(t, err)
	assert.Contains(t, key, "OPENSSH PRIVATE KEY")
	group, err := c.CreateGroup(ctx, "one", "a look", "", mine, compute.Open{Port: 22, From: []string{"192.0.2.1/32"}})
	require.NoError(t, err)
	start := compute.Start{
		Image: base(t, c).ID, Type: "t3.small", KeyName: "one", SecurityGroups: []string{group}, TerminateOnHalt: true,
		UserData: "#!/bin/sh\ntrue\n", Token: "t1", Tags: mine,
	}
	m, err := c.StartMachine(ctx, start)
	require.NoError(t, err)
	// The answer was lost, the call is made again: the same machine.
	same, err := c.StartMachine(ctx, start)
	require.NoError(t, err)
	assert.Equal(t, m.ID, same.ID)
	m = await(t, c, m.ID, "running")
	assert.NotEmpty(t, m.PublicIP)
	assert.Equal(t, []string{group}, m.SecurityGroups)
	assert.Equal(t, "one", m.KeyName)
	assert.Equal(t, "r1", m.Tags["chain:run"])

	// What is open is open, and nothing else.
	conn, err := dial(ctx, l, m.PublicIP+":22")
	require.NoError(t, err)
	banner := make([]byte, 4)
	_, err = io.ReadFull(conn, banner)
	require.NoError(t, err)
	assert.Equal(t, "SSH-", string(banner))
	_ = conn.Close()
	_, err = dial(ctx, l, m.PublicIP+":80")
	require.Error(t, err)

	console, err := c.Console(ctx, m.ID)
	require.NoError(t, err)
	assert.NotEmpty(t, console)

	left, err := c.Left(ctx, mine)
	require.NoError(t, err)
	assert.Contains(t, left, "instance "+m.ID)
	assert.Contains(t, left, "security-group "+group)
	require.Equal(t, "DependencyViolation", compute.Code(c.DeleteGroup(ctx, group)))
	require.NoError(t, c.Terminate(ctx, m.ID))
	await(t, c, m.ID, "terminated")
	require.NoError(t, c.DeleteGroup(ctx, group))
	require.NoError(t, c.DeleteKeyPair(ctx, "one"))
	left, err = c.Left(ctx, mine)
	require.NoError(t, err)
	assert.Empty(t, left)

	// All of it again: what is gone is no error.
	require.NoError(t, c.Terminate(ctx, m.ID, "i-00000000000000001"))
	require.NoError(t, c.DeleteGroup(ctx, group))
	require.NoError(t, c.DeleteKeyPair(ctx, "one"))
	unknown, err := c.Machine(ctx, "i-00000000000000001")
	require.NoError(t, err)
	assert.Nil(t, unknown)
}

func dial(ctx context.Context, l *lab.Lab, addr string) (net.Conn, error) {
	return l.Dial(ctx, "tcp", addr)
}

func TestImagesAndTheirSnapshots(t *testing.T) {
	c, api, _ := client(t)
	ctx := t.Context()
	m, err := c.StartMachine(ctx, compute.Start{Image: base(t, c).ID, Type: "t3.small", Tags: mine})
	require.NoError(t, err)
	await(t, c, m.ID, "running")
	var ids []string
	for _, name := range []string{"web-1", "web-2"} {
		out, err := api.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: aws.String(m.ID), Name: aws.String(name), TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{{Key: aws.String("chain:key"), Value: aws.String("k")}}},
			{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("chain:key"), Value: aws.String("k")}}},
		}})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			i, err := c.Image(ctx, *out.ImageId)
			require.NoError(t, err)
			return i != nil && i.State == "available"
		}, 10*time.Second, 2*time.Millisecond)
		ids = append(ids, *out.ImageId)
	}
	list, err := c.Images(ctx, compute.ImageQuery{Owner: "self", Name: "web-*", Tags: compute.Tags{"chain:key": "k"}})
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, []string{ids[1], ids[0]}, []string{list[0].ID, list[1].ID}, "the newest first")
	require.Len(t, list[0].Snapshots, 1)

	require.NoError(t, c.Tag(ctx, append([]string{ids[0]}, list[1].Snapshots...), compute.Tags{"chain:state": "good"}))
	good, err := c.Snapshots(ctx, compute.Tags{"chain:state": "good"})
	require.NoError(t, err)
	require.Len(t, good, 1)
	assert.Equal(t, list[1].Snapshots[0], good[0].ID)

	// A snapshot in use stays, whoever asks.
	require.NoError(t, c.RemoveSnapshot(ctx, good[0].ID))
	good, err = c.Snapshots(ctx, compute.Tags{"chain:state": "good"})
	require.NoError(t, err)
	require.Len(t, good, 1)
	for range 2 {
		require.NoError(t, c.RemoveImage(ctx, list[1]))
	}
	good, err = c.Snapshots(ctx, compute.Tags{"chain:state": "good"})
	require.NoError(t, err)
	assert.Empty(t, good)
	gone, err := c.Image(ctx, ids[0])
	require.NoError(t, err)
	assert.Nil(t, gone)
	none, err := c.Image(ctx, "ami-0000000000000dead")
	require.NoError(t, err)
	assert.Nil(t, none)
}

func TestQuotas(t *testing.T) {
	c, api, _ := client(t)
	before, err := c.Addresses(t.Context())
	require.NoError(t, err)
	assert.Equal(t, compute.Usage{Used: 0, Limit: 5}, before)
	_, err = api.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
	require.NoError(t, err)
	after, err := c.Addresses(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, after.Used)
	vpcs, err := c.Networks(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 5, vpcs.Limit)
	_, err = api.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16")})
	require.NoError(t, err)
	more, err := c.Networks(t.Context())
	require.NoError(t, err)
	assert.Equal(t, vpcs.Used+1, more.Used)
}

func TestLaunchTemplates(t *testing.T) {
	c, api, _ := client(t)
	ctx := t.Context()
	image := base(t, c).ID
	out, err := api.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("one"), LaunchTemplateData: &types.RequestLaunchTemplateData{
		ImageId: aws.String(image), InstanceType: types.InstanceTypeT3Small, UserData: aws.String("dHJ1ZQ=="),
		MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired},
	}})
	require.NoError(t, err)
	id := aws.ToString(out.LaunchTemplate.LaunchTemplateId)
	_, err = api.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: out.LaunchTemplate.LaunchTemplateId, SourceVersion: aws.String("1"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{InstanceType: types.InstanceTypeT3Micro},
	})
	require.NoError(t, err)
	one, err := c.LaunchTemplate(ctx, id, "1")
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2", image}, []string{one.Version, one.Latest, one.Image})
	assert.Contains(t, string(one.Data), `"InstanceType":"t3.small"`)
	assert.Contains(t, string(one.Data), `"HttpTokens":"required"`)
	assert.NotContains(t, string(one.Data), "null")
	latest, err := c.LaunchTemplate(ctx, id, "$Latest")
	require.NoError(t, err)
	assert.Equal(t, "2", latest.Version)
	first, err := c.LaunchTemplate(ctx, id, "$Default")
	require.NoError(t, err)
	assert.Equal(t, "1", first.Version)
	_, err = c.LaunchTemplate(ctx, id, "7")
	require.Error(t, err)
	_, err = c.LaunchTemplate(ctx, "lt-00000000000000001", "1")
	require.Error(t, err)
	assert.True(t, compute.Missing(err), "%v", err)
}

func TestMachinesForAStack(t *testing.T) {
	c, _, _ := client(t)
	ctx := t.Context()
	started, err := c.StartMachine(ctx, compute.Start{Image: base(t, c).ID, Type: "t3.small"})
	require.NoError(t, err)
	m := await(t, c, started.ID, "running")
	list, err := machines.Of(c).Machines(ctx, []string{m.ID, "i-00000000000000001"})
	require.NoError(t, err)
	assert.Equal(t, []stack.Machine{{ID: m.ID, Image: m.Image, State: "running", Launched: m.Launched}}, list)
	none, err := machines.Of(c).Machines(ctx, nil)
	require.NoError(t, err)
	assert.Empty(t, none)
	left, err := machines.Of(c).Left(ctx, "arn:aws:cloudformation:eu-west-1:111111111111:stack/none/1")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestMissing(t *testing.T) {
	c, _, _ := client(t)
	err := c.Tag(t.Context(), []string{"ami-0000000000000dead"}, mine)
	require.Error(t, err)
	assert.True(t, compute.Missing(err), "%v", err)
	assert.True(t, strings.HasSuffix(compute.Code(err), ".NotFound"))
	assert.Empty(t, compute.Code(io.EOF))
	assert.False(t, compute.Missing(nil))
}
