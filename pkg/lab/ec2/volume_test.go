package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

// A volume keeps what is on it when its machine dies or goes, and is deleted when nobody has it.
func TestVolumeOutlivesItsInstance(t *testing.T) {
	l := lab.Start(t)
	c := ec2.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	ctx := t.Context()
	run := func() types.Instance {
		out, err := c.RunInstances(ctx, &ec2.RunInstancesInput{
			ImageId: aws.String(l.BaseImage(labtest.Region)), InstanceType: types.InstanceTypeT3Micro, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			Placement: &types.Placement{AvailabilityZone: aws.String("eu-west-1a")},
		})
		require.NoError(t, err)
		return await(t, c, *out.Instances[0].InstanceId, types.InstanceStateNameRunning)
	}
	i := run()
	made, err := c.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String("eu-west-1a"), Size: aws.Int32(8), VolumeType: types.VolumeTypeGp3, ClientToken: aws.String("once")})
	require.NoError(t, err)
	again, err := c.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String("eu-west-1a"), Size: aws.Int32(8), ClientToken: aws.String("once")})
	require.NoError(t, err)
	assert.Equal(t, *made.VolumeId, *again.VolumeId)
	far, err := c.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String("eu-west-1b"), Size: aws.Int32(8)})
	require.NoError(t, err)
	_, err = c.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: far.VolumeId, InstanceId: i.InstanceId, Device: aws.String("/dev/sdg")})
	require.ErrorContains(t, err, "InvalidVolume.ZoneMismatch")

	state := func() (types.VolumeState, []types.VolumeAttachment) {
		out, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*made.VolumeId}})
		require.NoError(t, err)
		return out.Volumes[0].State, out.Volumes[0].Attachments
	}
	attach := func(instance string) {
		t.Helper()
		_, err := c.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: made.VolumeId, InstanceId: &instance, Device: aws.String("/dev/sdf")})
		require.NoError(t, err)
		labtest.Eventually(t, "it is attached", func() bool {
			s, list := state()
			return s == types.VolumeStateInUse && list[0].State == types.VolumeAttachmentStateAttached
		})
	}
	attach(*i.InstanceId)
	_, err = c.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: made.VolumeId, InstanceId: i.InstanceId, Device: aws.String("/dev/sdh")})
	require.ErrorContains(t, err, "VolumeInUse")
	_, err = c.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: made.VolumeId})
	require.ErrorContains(t, err, "VolumeInUse")
	require.NoError(t, l.Memory().Write(*i.InstanceId, "/dev/sdf", "orders", "1"))

	// The machine dies, is started again, and then goes for good.
	require.NoError(t, l.Memory().Kill(*i.InstanceId))
	await(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	_, err = c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	assert.Len(t, await(t, c, *i.InstanceId, types.InstanceStateNameRunning).BlockDeviceMappings, 2)
	assert.Equal(t, "1", l.Memory().Mounted(*i.InstanceId)["/dev/sdf"]["orders"])
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	s, list := state()
	assert.Equal(t, types.VolumeStateAvailable, s)
	assert.Empty(t, list)

	next := run()
	attach(*next.InstanceId)
	assert.Equal(t, map[string]string{"orders": "1"}, l.Memory().Mounted(*next.InstanceId)["/dev/sdf"])
	_, err = c.ModifyVolume(ctx, &ec2.ModifyVolumeInput{VolumeId: made.VolumeId, Size: aws.Int32(4)})
	require.ErrorContains(t, err, "New size cannot be smaller than existing size")
	larger, err := c.ModifyVolume(ctx, &ec2.ModifyVolumeInput{VolumeId: made.VolumeId, Size: aws.Int32(16)})
	require.NoError(t, err)
	assert.EqualValues(t, 16, *larger.VolumeModification.TargetSize)
	_, err = c.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: made.VolumeId})
	require.NoError(t, err)
	labtest.Eventually(t, "it is free", func() bool { s, _ := state(); return s == types.VolumeStateAvailable })
	assert.Empty(t, l.Memory().Mounted(*next.InstanceId))
	_, err = c.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: made.VolumeId})
	require.NoError(t, err)
	labtest.Eventually(t, "it is gone", func() bool {
		_, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*made.VolumeId}})
		return err != nil
	})
	_, err = c.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: aws.String("eu-west-1z"), Size: aws.Int32(8)})
	require.ErrorContains(t, err, "InvalidZone.NotFound")
}
