package main_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

// Twelve machines of a lab on Docker, from the call that asks for them until
// each one answers on its public address.
func BenchmarkTwelveMachines(b *testing.B) {
	api, err := docker.Connect(b.Context(), "")
	if err != nil {
		b.Skip(err)
	}
	defer api.Close()
	o := client.Options{Dir: filepath.Join(b.TempDir(), "lab"), API: "127.0.0.1:0", SOCKS: "127.0.0.1:0"}
	b.Cleanup(func() { _ = client.Down(context.WithoutCancel(b.Context()), o) })
	l := up(b, o)
	image := ec2(b, l, "DescribeImages", "Owner.1", "136693071363")["imageId"]
	group := ec2(b, l, "CreateSecurityGroup", "GroupName", "open", "GroupDescription", "ssh")["groupId"]
	ec2(b, l, "AuthorizeSecurityGroupIngress", "GroupId", group, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")
	for b.Loop() {
		var ids []string
		for range 12 {
			ids = append(ids, ec2(b, l, "RunInstances", "ImageId", image, "InstanceType", "t3.micro", "MinCount", "1", "MaxCount", "1", "SecurityGroupId.1", group)["instanceId"])
		}
		for _, id := range ids {
			require.Eventually(b, func() bool {
				got := ec2(b, l, "DescribeInstances", "InstanceId.1", id)
				return got["instanceState.name"] == "running" && banner(b, l, got["ipAddress"]) == "SSH-2.0-"
			}, 3*time.Minute, 50*time.Millisecond, id)
		}
		b.StopTimer()
		for _, id := range ids {
			ec2(b, l, "TerminateInstances", "InstanceId.1", id)
		}
		b.StartTimer()
	}
}
