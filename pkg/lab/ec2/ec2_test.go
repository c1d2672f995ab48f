package ec2_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/lab"
	labec2 "github.com/build-deploy-chain/chain/pkg/lab/ec2"
)

const region = "eu-west-1"

func client(l *lab.Lab, region string) *ec2.Client {
	return ec2.New(ec2.Options{
		Region: region, BaseEndpoint: aws.String(l.Endpoint()),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func tags(kind types.ResourceType, pairs ...string) []types.TagSpecification {
	s := types.TagSpecification{ResourceType: kind}
	for k := 0; k < len(pairs); k += 2 {
		s.Tags = append(s.Tags, types.Tag{Key: aws.String(pairs[k]), Value: aws.String(pairs[k+1])})
	}
	return []types.TagSpecification{s}
}

func filter(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: values}}
}

// await asks for an instance until it is in the state.
func await(t *testing.T, c *ec2.Client, id string, want types.InstanceStateName) types.Instance {
	t.Helper()
	var last types.Instance
	require.Eventually(t, func() bool {
		out, err := c.DescribeInstances(context.Background(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		require.NoError(t, err)
		last = out.Reservations[0].Instances[0]
		return last.State.Name == want
	}, 5*time.Second, 5*time.Millisecond, "instance never became %s", want)
	return last
}

func run(t *testing.T, c *ec2.Client, image string, change ...func(*ec2.RunInstancesInput)) types.Instance {
	t.Helper()
	in := &ec2.RunInstancesInput{ImageId: &image, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: types.InstanceTypeT3Micro}
	for _, f := range change {
		f(in)
	}
	out, err := c.RunInstances(context.Background(), in)
	require.NoError(t, err)
	require.Len(t, out.Instances, 1)
	return out.Instances[0]
}

func TestBaseImage(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Base.Digest = "sha256:abc" })
	c := client(l, region)
	ctx := context.Background()

	out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: []string{labec2.Debian},
		Filters: []types.Filter{
			{Name: aws.String("name"), Values: []string{"debian-12-amd64-*"}},
			{Name: aws.String("state"), Values: []string{"available"}},
			{Name: aws.String("architecture"), Values: []string{"x86_64"}},
			{Name: aws.String("root-device-type"), Values: []string{"ebs"}},
			{Name: aws.String("virtualization-type"), Values: []string{"hvm"}},
		},
	})
	require.NoError(t, err)
	require.Len(t, out.Images, 1)
	img := out.Images[0]
	assert.Equal(t, l.BaseImage(region), *img.ImageId)
	assert.Equal(t, types.ImageStateAvailable, img.State)
	assert.Equal(t, types.DeviceTypeEbs, img.RootDeviceType)
	assert.True(t, *img.Public)
	assert.NotEmpty(t, *img.CreationDate)
	assert.NotEqual(t, l.BaseImage("eu-central-1"), *img.ImageId, "an AMI id is of one region")

	own, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}})
	require.NoError(t, err)
	assert.Empty(t, own.Images)

	_, err = c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{"ami-00000000000000000"}})
	assert.Equal(t, "InvalidAMIID.NotFound", code(err))
	assert.ErrorContains(t, err, "The image id '[ami-00000000000000000]' does not exist")
	_, err = c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{"ami-xyz"}})
	assert.Equal(t, "InvalidAMIID.Malformed", code(err))
	_, err = c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: img.ImageId})
	assert.Equal(t, "AuthFailure", code(err), "nobody removes an image of somebody else")
	_, err = c.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: filter("nonsense", "x")})
	assert.Equal(t, "InvalidParameterValue", code(err))
}

func TestBake(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()

	// The calls of a Packer build, in its order.
	base := l.BaseImage(region)
	key, err := c.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String("packer_1"), KeyType: types.KeyTypeEd25519})
	require.NoError(t, err)
	_, err = ssh.ParseRawPrivateKey([]byte(*key.KeyMaterial))
	require.NoError(t, err)
	sg, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("packer_1"), Description: aws.String("temporary"), VpcId: aws.String("")})
	require.NoError(t, err)
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sg.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}},
	}}})
	require.NoError(t, err)
	i := run(t, c, base, func(in *ec2.RunInstancesInput) {
		in.KeyName, in.SecurityGroupIds, in.ClientToken = key.KeyName, []string{*sg.GroupId}, aws.String("token-1")
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n")))
		in.TagSpecifications = tags(types.ResourceTypeInstance, "Name", "Packer Builder")
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorStop
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1)}
	})
	assert.Equal(t, types.InstanceStateNamePending, i.State.Name)
	id := *i.InstanceId
	got := await(t, c, id, types.InstanceStateNameRunning)
	assert.True(t, strings.HasPrefix(*got.PublicIpAddress, "203.0.113."), "a default subnet gives public addresses")
	assert.True(t, strings.HasPrefix(*got.PrivateIpAddress, "172.31."))
	assert.NotEmpty(t, *got.VpcId)
	assert.Equal(t, types.HttpTokensStateRequired, got.MetadataOptions.HttpTokens)
	require.Len(t, got.BlockDeviceMappings, 1)
	assert.Equal(t, "Packer Builder", *got.Tags[0].Value)

	conn, err := l.Dial(ctx, "tcp", *got.PublicIpAddress+":22")
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: sg.GroupId})
	assert.Equal(t, "DependencyViolation", code(err))

	_, err = c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	got = await(t, c, id, types.InstanceStateNameStopped)
	assert.Nil(t, got.PublicIpAddress)

	img, err := c.CreateImage(ctx, &ec2.CreateImageInput{
		InstanceId: &id, Name: aws.String("web-1"),
		TagSpecifications: append(tags(types.ResourceTypeImage, "role", "web"), tags(types.ResourceTypeSnapshot, "role", "web")...),
	})
	require.NoError(t, err)
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err, "even while the image is being made")
	var made types.Image
	require.Eventually(t, func() bool {
		out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*img.ImageId}})
		require.NoError(t, err)
		made = out.Images[0]
		return made.State == types.ImageStateAvailable
	}, 5*time.Second, 5*time.Millisecond)
	assert.Equal(t, id, *made.SourceInstanceId)
	assert.Equal(t, base, *made.SourceImageId)
	snap := *made.BlockDeviceMappings[0].Ebs.SnapshotId
	snaps, err := c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: filter("tag:role", "web")})
	require.NoError(t, err)
	require.Len(t, snaps.Snapshots, 1)
	assert.Equal(t, snap, *snaps.Snapshots[0].SnapshotId)
	assert.Equal(t, types.SnapshotStateCompleted, snaps.Snapshots[0].State)

	await(t, c, id, types.InstanceStateNameTerminated)
	vols, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: filter("attachment.instance-id", id)})
	require.NoError(t, err)
	assert.Empty(t, vols.Volumes)
	_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: sg.GroupId})
	require.NoError(t, err)
	_, err = c.DeleteKeyPair(ctx, &ec2.DeleteKeyPairInput{KeyName: key.KeyName})
	require.NoError(t, err)

	// The image is there to start from, and can be removed without a trace.
	_, ok := l.Memory().Image(*img.ImageId)
	assert.True(t, ok)
	second := run(t, c, *img.ImageId)
	await(t, c, *second.InstanceId, types.InstanceStateNameRunning)
	_, err = c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: second.InstanceId, Name: aws.String("web-1")})
	assert.Equal(t, "InvalidAMIName.Duplicate", code(err))
	_, err = c.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &snap})
	assert.Equal(t, "InvalidSnapshot.InUse", code(err))
	_, err = c.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: img.ImageId})
	require.NoError(t, err)
	_, err = c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: img.ImageId})
	assert.Equal(t, "OperationNotPermitted", code(err))
	_, err = c.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: img.ImageId})
	require.NoError(t, err)
	shown := func() string {
		out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*img.ImageId}})
		require.NoError(t, err)
		return *out.Images[0].DeregistrationProtection
	}
	assert.Equal(t, "disabled", shown())
	gone, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: img.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)})
	require.NoError(t, err)
	require.Len(t, gone.DeleteSnapshotResults, 1)
	assert.Equal(t, types.SnapshotReturnCodesSuccess, gone.DeleteSnapshotResults[0].ReturnCode)
	require.Eventually(t, func() bool { _, ok := l.Memory().Image(*img.ImageId); return !ok }, 5*time.Second, 5*time.Millisecond)
	_, err = c.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: img.ImageId, MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
	assert.Equal(t, "InvalidAMIID.NotFound", code(err))
}

func TestClientTokenStartsOnce(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	token := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("one") }
	a := run(t, c, l.BaseImage(region), token)
	b := run(t, c, l.BaseImage(region), token)
	assert.Equal(t, *a.InstanceId, *b.InstanceId)
	_, err := c.RunInstances(context.Background(), &ec2.RunInstancesInput{
		ImageId: aws.String(l.BaseImage(region)), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ClientToken: aws.String("one"),
	})
	assert.Equal(t, "IdempotentParameterMismatch", code(err))
}

func TestPagesAndFilters(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	out, err := c.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(l.BaseImage(region)), MinCount: aws.Int32(7), MaxCount: aws.Int32(7), TagSpecifications: tags(types.ResourceTypeInstance, "app", "a/b", "empty", ""),
	})
	require.NoError(t, err)
	require.Len(t, out.Instances, 7)

	seen := map[string]bool{}
	pages := 0
	p := ec2.NewDescribeInstancesPaginator(c, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(3), Filters: filter("tag:app", "a/*")})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		require.NoError(t, err)
		pages++
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				assert.False(t, seen[*i.InstanceId])
				seen[*i.InstanceId] = true
			}
		}
	}
	assert.Len(t, seen, 7)
	assert.Equal(t, 3, pages)

	none, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: filter("tag:app", "b*")})
	require.NoError(t, err)
	assert.Empty(t, none.Reservations)
	_, err = c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{NextToken: aws.String("nonsense")})
	assert.Equal(t, "InvalidNextToken", code(err))
	_, err = c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
	assert.Equal(t, "InvalidInstanceID.NotFound", code(err))
	all, err := c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: filter("key", "empty")})
	require.NoError(t, err)
	require.Len(t, all.Tags, 7)
	assert.Equal(t, "", *all.Tags[0].Value)
	_, err = c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*out.Instances[0].InstanceId}, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("y")}}})
	assert.Equal(t, "InvalidParameterValue", code(err), "tags of AWS are not the user's")
}

func TestNetworkOfAStack(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()

	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: tags(types.ResourceTypeVpc, "Name", "web")})
	require.NoError(t, err)
	id := vpc.Vpc.VpcId
	_, err = c.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{VpcId: id, EnableDnsHostnames: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.NoError(t, err)
	dns, err := c.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: id, Attribute: types.VpcAttributeNameEnableDnsHostnames})
	require.NoError(t, err)
	assert.True(t, *dns.EnableDnsHostnames.Value)
	igw, err := c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	require.NoError(t, err)
	_, err = c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: igw.InternetGateway.InternetGatewayId, VpcId: id})
	require.NoError(t, err)
	sub, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: id, CidrBlock: aws.String("10.0.1.0/24"), AvailabilityZone: aws.String("eu-west-1b")})
	require.NoError(t, err)
	_, err = c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: id, CidrBlock: aws.String("10.0.1.128/25")})
	assert.Equal(t, "InvalidSubnet.Conflict", code(err))
	rtb, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: id})
	require.NoError(t, err)
	_, err = c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: rtb.RouteTable.RouteTableId, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: igw.InternetGateway.InternetGatewayId})
	require.NoError(t, err)
	assoc, err := c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: rtb.RouteTable.RouteTableId, SubnetId: sub.Subnet.SubnetId})
	require.NoError(t, err)
	tables, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filter("association.subnet-id", *sub.Subnet.SubnetId)})
	require.NoError(t, err)
	require.Len(t, tables.RouteTables, 1)
	assert.Len(t, tables.RouteTables[0].Routes, 2)
	assert.Equal(t, types.RouteStateActive, tables.RouteTables[0].Routes[1].State)

	lb, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("lb"), Description: aws.String("lb"), VpcId: id})
	require.NoError(t, err)
	sg, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("web"), Description: aws.String("web"), VpcId: id})
	require.NoError(t, err)
	rule := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: lb.GroupId}}}}
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sg.GroupId, IpPermissions: rule})
	require.NoError(t, err)
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sg.GroupId, IpPermissions: rule})
	assert.Equal(t, "InvalidPermission.Duplicate", code(err))
	groups, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*sg.GroupId}})
	require.NoError(t, err)
	require.Len(t, groups.SecurityGroups[0].IpPermissions, 1)
	assert.Equal(t, *lb.GroupId, *groups.SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0].GroupId)
	require.Len(t, groups.SecurityGroups[0].IpPermissionsEgress, 1)
	_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: lb.GroupId})
	assert.Equal(t, "DependencyViolation", code(err), "another group names it")

	i := run(t, c, l.BaseImage(region), func(in *ec2.RunInstancesInput) {
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), SubnetId: sub.Subnet.SubnetId, AssociatePublicIpAddress: aws.Bool(true), Groups: []string{*sg.GroupId},
		}}
	})
	got := await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	assert.Equal(t, "10.0.1.4", *got.PrivateIpAddress, "AWS keeps the first four")
	assert.Equal(t, "eu-west-1b", *got.Placement.AvailabilityZone)
	assert.NotEmpty(t, *got.PublicDnsName)

	for name, try := range map[string]func() error{
		"subnet": func() error {
			_, err := c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: sub.Subnet.SubnetId})
			return err
		},
		"vpc": func() error { _, err := c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: id}); return err },
		"table": func() error {
			_, err := c.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: rtb.RouteTable.RouteTableId})
			return err
		},
		"gateway": func() error {
			_, err := c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: igw.InternetGateway.InternetGatewayId, VpcId: id})
			return err
		},
	} {
		assert.Equal(t, "DependencyViolation", code(try()), name)
	}
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)

	_, err = c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sg.GroupId, IpPermissions: rule})
	require.NoError(t, err)
	for _, g := range []*string{sg.GroupId, lb.GroupId} {
		_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: g})
		require.NoError(t, err)
	}
	_, err = c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: assoc.AssociationId})
	require.NoError(t, err)
	_, err = c.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: rtb.RouteTable.RouteTableId})
	require.NoError(t, err)
	_, err = c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: igw.InternetGateway.InternetGatewayId, VpcId: id})
	require.NoError(t, err)
	_, err = c.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: igw.InternetGateway.InternetGatewayId})
	require.NoError(t, err)
	_, err = c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: sub.Subnet.SubnetId})
	require.NoError(t, err)
	_, err = c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: id})
	require.NoError(t, err)
	left, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filter("vpc-id", *id)})
	require.NoError(t, err)
	assert.Empty(t, left.SecurityGroups, "the default group goes with its VPC")
}

func TestQuotas(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	for range labec2.QuotaAddresses {
		_, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
		require.NoError(t, err)
	}
	_, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	assert.Equal(t, "AddressLimitExceeded", code(err))
	assert.ErrorContains(t, err, "The maximum number of addresses has been reached.")
	vpcs, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("is-default", "true")})
	require.NoError(t, err)
	require.Len(t, vpcs.Vpcs, 1)
	for range labec2.QuotaVPCs - 1 {
		_, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
		require.NoError(t, err)
	}
	_, err = c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	assert.Equal(t, "VpcLimitExceeded", code(err))

	_, err = client(l, "us-west-2").AllocateAddress(ctx, &ec2.AllocateAddressInput{})
	require.NoError(t, err, "quotas are per region")
}

func TestElasticIPOfAnInstance(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	a, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{TagSpecifications: tags(types.ResourceTypeElasticIp, "x", "y")})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(*a.PublicIp, "198.51.100."))
	_, err = c.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: i.InstanceId})
	require.NoError(t, err)
	assert.Equal(t, *a.PublicIp, *await(t, c, *i.InstanceId, types.InstanceStateNameRunning).PublicIpAddress)
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	assert.Equal(t, "InvalidIPAddress.InUse", code(err))
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	got, err := c.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{*a.AllocationId}})
	require.NoError(t, err)
	assert.Nil(t, got.Addresses[0].AssociationId)
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	require.NoError(t, err)
}

func TestLaunchTemplate(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	data := &types.RequestLaunchTemplateData{
		ImageId: aws.String(l.BaseImage(region)), InstanceType: types.InstanceTypeT3Small, UserData: aws.String("IyEvYmluL3NoCg=="),
		MetadataOptions:     &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1)},
		BlockDeviceMappings: []types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{Encrypted: aws.Bool(true), VolumeSize: aws.Int32(12)}}},
		NetworkInterfaces:   []types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(true)}},
		TagSpecifications:   []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}}}},
	}
	lt, err := c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("web"), LaunchTemplateData: data, TagSpecifications: tags(types.ResourceTypeLaunchTemplate, "a", "b")})
	require.NoError(t, err)
	_, err = c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("web"), LaunchTemplateData: data})
	assert.Equal(t, "InvalidLaunchTemplateName.AlreadyExistsException", code(err))
	v2, err := c.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId, SourceVersion: aws.String("1"), LaunchTemplateData: &types.RequestLaunchTemplateData{InstanceType: types.InstanceTypeT3Micro},
	})
	require.NoError(t, err)
	assert.EqualValues(t, 2, *v2.LaunchTemplateVersion.VersionNumber)
	assert.Equal(t, *data.ImageId, *v2.LaunchTemplateVersion.LaunchTemplateData.ImageId)
	all, err := c.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId})
	require.NoError(t, err)
	require.Len(t, all.LaunchTemplateVersions, 2)
	first := all.LaunchTemplateVersions[1]
	assert.True(t, *first.DefaultVersion)
	assert.Equal(t, types.LaunchTemplateHttpTokensStateRequired, first.LaunchTemplateData.MetadataOptions.HttpTokens)
	assert.EqualValues(t, 12, *first.LaunchTemplateData.BlockDeviceMappings[0].Ebs.VolumeSize)
	assert.Equal(t, "web", *first.LaunchTemplateData.TagSpecifications[0].Tags[0].Value)
	assert.True(t, *first.LaunchTemplateData.NetworkInterfaces[0].AssociatePublicIpAddress)

	i := run(t, c, "", func(in *ec2.RunInstancesInput) {
		in.ImageId, in.InstanceType = nil, ""
		in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId, Version: aws.String("$Latest")}
	})
	got := await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	assert.Equal(t, types.InstanceTypeT3Micro, got.InstanceType)
	assert.Equal(t, types.HttpTokensStateRequired, got.MetadataOptions.HttpTokens)
	tagged := map[string]string{}
	for _, x := range got.Tags {
		tagged[*x.Key] = *x.Value
	}
	assert.Equal(t, "web", tagged["site"])
	assert.Equal(t, "2", tagged["aws:ec2launchtemplate:version"])
	vol, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{*got.BlockDeviceMappings[0].Ebs.VolumeId}})
	require.NoError(t, err)
	assert.True(t, *vol.Volumes[0].Encrypted)
	attr, err := c.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: i.InstanceId, Attribute: types.InstanceAttributeNameUserData})
	require.NoError(t, err)
	assert.Equal(t, *data.UserData, *attr.UserData.Value)

	mod, err := c.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId, DefaultVersion: aws.String("2")})
	require.NoError(t, err)
	assert.EqualValues(t, 2, *mod.LaunchTemplate.DefaultVersionNumber)
	del, err := c.DeleteLaunchTemplateVersions(ctx, &ec2.DeleteLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId, Versions: []string{"1", "2", "9"}})
	require.NoError(t, err)
	assert.Len(t, del.SuccessfullyDeletedLaunchTemplateVersions, 1)
	assert.Len(t, del.UnsuccessfullyDeletedLaunchTemplateVersions, 2)
	_, err = c.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: aws.String("web")})
	require.NoError(t, err)
	_, err = c.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId})
	assert.Equal(t, "InvalidLaunchTemplateId.NotFound", code(err))
}

func TestShutdownBehaviour(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	for behaviour, want := range map[types.ShutdownBehavior]types.InstanceStateName{
		types.ShutdownBehaviorStop: types.InstanceStateNameStopped, types.ShutdownBehaviorTerminate: types.InstanceStateNameTerminated,
	} {
		i := run(t, c, l.BaseImage(region), func(in *ec2.RunInstancesInput) { in.InstanceInitiatedShutdownBehavior = behaviour })
		await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
		require.NoError(t, l.Memory().Kill(*i.InstanceId))
		got := await(t, c, *i.InstanceId, want)
		assert.Equal(t, "Client.InstanceInitiatedShutdown", *got.StateReason.Code)
	}
}

func TestStartStopReboot(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	ids := []string{*i.InstanceId}
	await(t, c, ids[0], types.InstanceStateNameRunning)
	require.Eventually(t, func() bool {
		s, err := c.DescribeInstanceStatus(ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: ids})
		require.NoError(t, err)
		return len(s.InstanceStatuses) == 1 && s.InstanceStatuses[0].InstanceStatus.Status == types.SummaryStatusOk
	}, 5*time.Second, 10*time.Millisecond)
	_, err := c.RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: ids})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, err := c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &ids[0]})
		require.NoError(t, err)
		text, err := base64.StdEncoding.DecodeString(*out.Output)
		require.NoError(t, err)
		return strings.Contains(string(text), "boot 2 of ")
	}, 5*time.Second, 10*time.Millisecond)
	_, err = c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
	require.NoError(t, err)
	await(t, c, ids[0], types.InstanceStateNameStopped)
	_, err = c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &ids[0], InstanceType: &types.AttributeValue{Value: aws.String("t3.large")}})
	require.NoError(t, err)
	_, err = c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: ids})
	require.NoError(t, err)
	got := await(t, c, ids[0], types.InstanceStateNameRunning)
	assert.Equal(t, types.InstanceTypeT3Large, got.InstanceType)
	assert.NotNil(t, got.PublicIpAddress)
	_, err = c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &ids[0], DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.NoError(t, err)
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
	assert.Equal(t, "OperationNotPermitted", code(err))
}

func TestCopyImage(t *testing.T) {
	l := lab.Start(t)
	ctx := context.Background()
	src, err := l.AddImage(region, "web-1", "base", map[string]string{"role": "web"})
	require.NoError(t, err)
	c := client(l, "eu-central-1")
	out, err := c.CopyImage(ctx, &ec2.CopyImageInput{Name: aws.String("web-1"), SourceImageId: &src, SourceRegion: aws.String(region), CopyImageTags: aws.Bool(true)})
	require.NoError(t, err)
	assert.NotEqual(t, src, *out.ImageId)
	require.Eventually(t, func() bool {
		got, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*out.ImageId}})
		require.NoError(t, err)
		img := got.Images[0]
		return img.State == types.ImageStateAvailable && *img.SourceImageId == src && *img.SourceImageRegion == region && len(img.Tags) == 1
	}, 5*time.Second, 10*time.Millisecond)
	i := run(t, c, *out.ImageId)
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
}

func TestKeyPairs(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	key, err := c.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String("rsa")})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(*key.KeyMaterial, "-----BEGIN RSA PRIVATE KEY-----"))
	signer, err := ssh.ParsePrivateKey([]byte(*key.KeyMaterial))
	require.NoError(t, err)
	_, err = c.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String("rsa")})
	assert.Equal(t, "InvalidKeyPair.Duplicate", code(err))
	_, err = c.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: aws.String("mine"), PublicKeyMaterial: ssh.MarshalAuthorizedKey(signer.PublicKey())})
	require.NoError(t, err)
	_, err = c.ImportKeyPair(ctx, &ec2.ImportKeyPairInput{KeyName: aws.String("bad"), PublicKeyMaterial: []byte("nonsense")})
	assert.Equal(t, "InvalidKey.Format", code(err))
	list, err := c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{KeyNames: []string{"mine"}, IncludePublicKey: aws.Bool(true)})
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(*list.KeyPairs[0].PublicKey, " mine"))
}

func TestDescribeThePlace(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	regions, err := c.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{region}})
	require.NoError(t, err)
	assert.Equal(t, region, *regions.Regions[0].RegionName)
	zones, err := c.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{Filters: filter("state", "available")})
	require.NoError(t, err)
	assert.Len(t, zones.AvailabilityZones, 3)
	assert.Equal(t, "euw1-az1", *zones.AvailabilityZones[0].ZoneId)
	offers, err := c.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{LocationType: types.LocationTypeAvailabilityZone, Filters: filter("instance-type", "t3.micro")})
	require.NoError(t, err)
	assert.Len(t, offers.InstanceTypeOfferings, 3)
	kinds, err := c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t3.micro"}})
	require.NoError(t, err)
	assert.Equal(t, []types.ArchitectureType{types.ArchitectureTypeX8664}, kinds.InstanceTypes[0].ProcessorInfo.SupportedArchitectures)
	_, err = c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"x9.huge"}})
	assert.Equal(t, "InvalidInstanceType", code(err))
	attrs, err := c.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"default-vpc"}})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(*attrs.AccountAttributes[0].AttributeValues[0].AttributeValue, "vpc-"))
	subnets, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filter("default-for-az", "true")})
	require.NoError(t, err)
	assert.Len(t, subnets.Subnets, 3)
	_, err = c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{DryRun: aws.Bool(true)})
	assert.Equal(t, "DryRunOperation", code(err))
	_, err = c.DescribeSpotPriceHistory(ctx, &ec2.DescribeSpotPriceHistoryInput{})
	assert.Equal(t, "InvalidAction", code(err))
	assert.ErrorContains(t, err, "ec2.DescribeSpotPriceHistory")
	_, err = c.RunInstances(ctx, &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1), KernelId: aws.String("aki-1")})
	assert.Equal(t, "UnknownParameter", code(err), "nothing is silently ignored")
}

func TestADiagnosticInterrupt(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 200 })
	c := client(l, region)
	id := *run(t, c, l.BaseImage(region)).InstanceId
	await(t, c, id, types.InstanceStateNameRunning)
	interrupt := func() error {
		_, err := c.SendDiagnosticInterrupt(context.Background(), &ec2.SendDiagnosticInterruptInput{InstanceId: &id})
		return err
	}
	status := func(want types.SummaryStatus) {
		t.Helper()
		require.Eventually(t, func() bool {
			s, err := c.DescribeInstanceStatus(context.Background(), &ec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
			require.NoError(t, err)
			return len(s.InstanceStatuses) == 1 && s.InstanceStatuses[0].InstanceStatus.Status == want
		}, 30*time.Second, 10*time.Millisecond)
	}
	require.NoError(t, interrupt())
	status(types.SummaryStatusImpaired)
	assert.Equal(t, types.InstanceStateNameRunning, await(t, c, id, types.InstanceStateNameRunning).State.Name, "it hangs, and runs")
	_, err := l.Memory().Dial(context.Background(), id, 22)
	require.Error(t, err)
	_, err = c.RebootInstances(context.Background(), &ec2.RebootInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	status(types.SummaryStatusOk)
	_, err = c.StopInstances(context.Background(), &ec2.StopInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	await(t, c, id, types.InstanceStateNameStopped)
	assert.Equal(t, "IncorrectInstanceState", code(interrupt()))
}
