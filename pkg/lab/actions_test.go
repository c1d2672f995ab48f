package lab_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

// settings points a client of the SDK at a lab.
func settings(l *lab.Lab) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(l.Endpoint()), Credentials: keys(), RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: whole{}},
	}
}

// must is the answer of a call that works.
func must[T any](answer T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		require.NoError(t, err)
		return answer
	}
}

// What only a person needs of EC2, or nobody yet: each has its effect.
func TestNetworkByHand(t *testing.T) {
	l, ctx := lab.Start(t), context.Background()
	c := ec2.NewFromConfig(settings(l))
	vpc := *must(c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16")}))(t).Vpc.VpcId
	subnet := *must(c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &vpc, CidrBlock: aws.String("10.9.1.0/24")}))(t).Subnet.SubnetId
	must(c.ModifySubnetAttribute(ctx, &ec2.ModifySubnetAttributeInput{SubnetId: &subnet, MapPublicIpOnLaunch: &ec2types.AttributeBooleanValue{Value: aws.Bool(true)}}))(t)
	assert.True(t, *must(c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{subnet}}))(t).Subnets[0].MapPublicIpOnLaunch)

	gateway := func() string {
		id := must(c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{}))(t).InternetGateway.InternetGatewayId
		return *id
	}
	g := gateway()
	must(c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &g, VpcId: &vpc}))(t)
	attached := must(c.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{Filters: []ec2types.Filter{{Name: aws.String("attachment.vpc-id"), Values: []string{vpc}}}}))(t).InternetGateways
	require.Len(t, attached, 1)
	assert.Equal(t, g, *attached[0].InternetGatewayId)

	table := func() string {
		return *must(c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &vpc}))(t).RouteTable.RouteTableId
	}
	one, two, everywhere := table(), table(), aws.String("0.0.0.0/0")
	routes := func() (targets []string) {
		for _, r := range must(c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{one}}))(t).RouteTables[0].Routes {
			if *r.DestinationCidrBlock == *everywhere {
				targets = append(targets, *r.GatewayId)
			}
		}
		return targets
	}
	must(c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: &one, DestinationCidrBlock: everywhere, GatewayId: &g}))(t)
	must(c.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{RouteTableId: &one, DestinationCidrBlock: everywhere, GatewayId: &g}))(t)
	assert.Equal(t, []string{g}, routes())
	must(c.DeleteRoute(ctx, &ec2.DeleteRouteInput{RouteTableId: &one, DestinationCidrBlock: everywhere}))(t)
	assert.Empty(t, routes())
	association := must(c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: &one, SubnetId: &subnet}))(t).AssociationId
	association = must(c.ReplaceRouteTableAssociation(ctx, &ec2.ReplaceRouteTableAssociationInput{AssociationId: association, RouteTableId: &two}))(t).NewAssociationId
	assert.Equal(t, *association, *must(c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{two}}))(t).RouteTables[0].Associations[0].RouteTableAssociationId)

	group := must(c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d"), VpcId: &vpc}))(t).GroupId
	https := []ec2types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), IpRanges: []ec2types.IpRange{{CidrIp: everywhere}}}}
	rules := func() int {
		return len(must(c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: []ec2types.Filter{{Name: aws.String("group-id"), Values: []string{*group}}}}))(t).SecurityGroupRules)
	}
	assert.Equal(t, 1, rules(), "all may go out")
	must(c.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: group, IpPermissions: https}))(t)
	assert.Equal(t, 2, rules())
	must(c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: group, IpPermissions: https}))(t)
	assert.Equal(t, 1, rules())

	must(c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{vpc}, Tags: []ec2types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}))(t)
	must(c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{vpc}, Tags: []ec2types.Tag{{Key: aws.String("a")}}}))(t)
	assert.Empty(t, must(c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []ec2types.Filter{{Name: aws.String("resource-id"), Values: []string{vpc}}}}))(t).Tags)
}

func TestImagesByHand(t *testing.T) {
	l, ctx := lab.Start(t), context.Background()
	c := ec2.NewFromConfig(settings(l))
	base := l.BaseImage(region)
	run := must(c.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: &base, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: "t3.micro"}))(t).Instances[0]
	var volume *string
	require.Eventually(t, func() bool {
		i := must(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*run.InstanceId}}))(t).Reservations[0].Instances[0]
		if len(i.BlockDeviceMappings) > 0 {
			volume = i.BlockDeviceMappings[0].Ebs.VolumeId
		}
		return i.State.Name == "running" && volume != nil
	}, 10*time.Second, 5*time.Millisecond)
	address := must(c.AllocateAddress(ctx, &ec2.AllocateAddressInput{}))(t)
	association := must(c.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: address.AllocationId, InstanceId: run.InstanceId}))(t).AssociationId
	must(c.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: association}))(t)
	assert.Nil(t, must(c.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{}))(t).Addresses[0].InstanceId)
	must(c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{*run.InstanceId}}))(t)
	require.Eventually(t, func() bool {
		return must(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*run.InstanceId}}))(t).Reservations[0].Instances[0].State.Name == "stopped"
	}, 10*time.Second, 5*time.Millisecond)

	snapshot := must(c.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: volume}))(t).SnapshotId
	require.Eventually(t, func() bool {
		return must(c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*snapshot}}))(t).Snapshots[0].State == "completed"
	}, 10*time.Second, 5*time.Millisecond)
	_, err := c.RegisterImage(ctx, &ec2.RegisterImageInput{
		Name: aws.String("by-hand"), RootDeviceName: aws.String("/dev/xvda"),
		BlockDeviceMappings: []ec2types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &ec2types.EbsBlockDevice{SnapshotId: snapshot}}},
	})
	assert.ErrorContains(t, err, "The lab makes images by CreateImage and CopyImage")
	image := must(c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: run.InstanceId, Name: aws.String("by-hand")}))(t).ImageId
	must(c.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: image, LaunchPermission: &ec2types.LaunchPermissionModifications{Add: []ec2types.LaunchPermission{{UserId: aws.String("222222222222")}}}}))(t)
	may := must(c.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: image, Attribute: "launchPermission"}))(t).LaunchPermissions
	require.Len(t, may, 1)
	assert.Equal(t, "222222222222", *may[0].UserId)
	deprecated := func() *string {
		return must(c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*image}}))(t).Images[0].DeprecationTime
	}
	must(c.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: image, DeprecateAt: aws.Time(time.Now().Add(48 * time.Hour))}))(t)
	assert.NotNil(t, deprecated())
	must(c.DisableImageDeprecation(ctx, &ec2.DisableImageDeprecationInput{ImageId: image}))(t)
	assert.Nil(t, deprecated())

	must(c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*run.InstanceId}}))(t)
	_, err = c.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String("vol-0123456789abcdef0")})
	assert.Equal(t, "InvalidVolume.NotFound", code(err))
}

func TestGroupByHand(t *testing.T) {
	l, ctx := lab.Start(t), context.Background()
	machines, groups := ec2.NewFromConfig(settings(l)), autoscaling.NewFromConfig(settings(l))
	base, name := l.BaseImage(region), aws.String("site")
	must(machines.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: &base, InstanceType: "t3.micro"}}))(t)
	found := must(machines.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"site"}}))(t).LaunchTemplates
	require.Len(t, found, 1)
	subnets := must(machines.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{}))(t).Subnets
	balancers := elasticloadbalancingv2.NewFromConfig(settings(l))
	target := must(balancers.CreateTargetGroup(ctx, &elasticloadbalancingv2.CreateTargetGroupInput{Name: name, Protocol: "TCP", Port: aws.Int32(80), VpcId: subnets[0].VpcId}))(t).TargetGroups[0].TargetGroupArn
	must(groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: name, MinSize: aws.Int32(0), MaxSize: aws.Int32(2), VPCZoneIdentifier: subnets[0].SubnetId, TargetGroupARNs: []string{*target},
		LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: name, Version: aws.String("1")},
	}))(t)
	group := func() astypes.AutoScalingGroup {
		return must(groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"site"}}))(t).AutoScalingGroups[0]
	}
	tag := []astypes.Tag{{Key: aws.String("a"), Value: aws.String("b"), ResourceId: name, ResourceType: aws.String("auto-scaling-group"), PropagateAtLaunch: aws.Bool(true)}}
	must(groups.CreateOrUpdateTags(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: tag}))(t)
	assert.Len(t, group().Tags, 1)
	must(groups.DeleteTags(ctx, &autoscaling.DeleteTagsInput{Tags: tag}))(t)
	assert.Empty(t, group().Tags)
	must(groups.EnableMetricsCollection(ctx, &autoscaling.EnableMetricsCollectionInput{AutoScalingGroupName: name, Granularity: aws.String("1Minute")}))(t)
	assert.NotEmpty(t, group().EnabledMetrics)
	must(groups.DisableMetricsCollection(ctx, &autoscaling.DisableMetricsCollectionInput{AutoScalingGroupName: name}))(t)
	assert.Empty(t, group().EnabledMetrics)
	hook := aws.String("drain")
	must(groups.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: name, LifecycleHookName: hook, LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_TERMINATING")}))(t)
	must(groups.DeleteLifecycleHook(ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: name, LifecycleHookName: hook}))(t)
	assert.Empty(t, must(groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: name}))(t).LifecycleHooks)
	must(groups.DetachLoadBalancerTargetGroups(ctx, &autoscaling.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: name, TargetGroupARNs: []string{*target}}))(t)
	assert.Empty(t, group().TargetGroupARNs)

	// Its balancer's listener, changed and tagged.
	balancer := must(balancers.CreateLoadBalancer(ctx, &elasticloadbalancingv2.CreateLoadBalancerInput{Name: name, Type: "network", Subnets: []string{*subnets[0].SubnetId}}))(t).LoadBalancers[0].LoadBalancerArn
	forward := []elbtypes.Action{{Type: "forward", TargetGroupArn: target}}
	listener := must(balancers.CreateListener(ctx, &elasticloadbalancingv2.CreateListenerInput{LoadBalancerArn: balancer, Protocol: "TCP", Port: aws.Int32(80), DefaultActions: forward}))(t).Listeners[0].ListenerArn
	must(balancers.ModifyListener(ctx, &elasticloadbalancingv2.ModifyListenerInput{ListenerArn: listener, Port: aws.Int32(8080)}))(t)
	listeners := must(balancers.DescribeListeners(ctx, &elasticloadbalancingv2.DescribeListenersInput{LoadBalancerArn: balancer}))(t).Listeners
	require.Len(t, listeners, 1)
	assert.Equal(t, int32(8080), *listeners[0].Port)
	must(balancers.AddTags(ctx, &elasticloadbalancingv2.AddTagsInput{ResourceArns: []string{*balancer}, Tags: []elbtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}))(t)
	must(balancers.RemoveTags(ctx, &elasticloadbalancingv2.RemoveTagsInput{ResourceArns: []string{*balancer}, TagKeys: []string{"a"}}))(t)
	assert.Empty(t, must(balancers.DescribeTags(ctx, &elasticloadbalancingv2.DescribeTagsInput{ResourceArns: []string{*balancer}}))(t).TagDescriptions[0].Tags)
}

func TestRolesByHand(t *testing.T) {
	l, ctx := lab.Start(t), context.Background()
	c := iam.NewFromConfig(settings(l))
	role, policy, profile := aws.String("builder"), aws.String(`{"Version":"2012-10-17","Statement":[]}`), aws.String("builders")
	must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: policy}))(t)
	must(c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: role, PolicyDocument: policy}))(t)
	assert.Len(t, must(c.ListRoles(ctx, &iam.ListRolesInput{}))(t).Roles, 1)
	must(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: aws.String("inline"), PolicyDocument: policy}))(t)
	assert.NotEmpty(t, *must(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: aws.String("inline")}))(t).PolicyDocument)
	assert.Equal(t, []string{"inline"}, must(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: role}))(t).PolicyNames)
	managed := aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
	must(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: managed}))(t)
	assert.Len(t, must(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role}))(t).AttachedPolicies, 1)
	must(c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: profile}))(t)
	must(c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: role}))(t)
	assert.Len(t, must(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: role}))(t).InstanceProfiles, 1)
	_, err := c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role})
	assert.Equal(t, "DeleteConflict", code(err))
	must(c.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: profile, RoleName: role}))(t)
	must(c.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: profile}))(t)
	must(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: managed}))(t)
	must(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: aws.String("inline")}))(t)
	must(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role}))(t)
}

func TestTagsByHand(t *testing.T) {
	l, ctx := lab.Start(t), context.Background()
	topics := sns.NewFromConfig(settings(l))
	topic := must(topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("t")}))(t).TopicArn
	must(topics.TagResource(ctx, &sns.TagResourceInput{ResourceArn: topic, Tags: []snstypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}))(t)
	must(topics.UntagResource(ctx, &sns.UntagResourceInput{ResourceArn: topic, TagKeys: []string{"a"}}))(t)
	assert.Empty(t, must(topics.ListTagsForResource(ctx, &sns.ListTagsForResourceInput{ResourceArn: topic}))(t).Tags)
	assert.Len(t, must(topics.ListTopics(ctx, &sns.ListTopicsInput{}))(t).Topics, 1)
	must(topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:eu-west-1:111111111111:q")}))(t)
	all := must(topics.ListSubscriptions(ctx, &sns.ListSubscriptionsInput{}))(t).Subscriptions
	require.Len(t, all, 1)
	assert.Equal(t, "sqs", must(topics.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: all[0].SubscriptionArn}))(t).Attributes["Protocol"])

	logs := cloudwatchlogs.NewFromConfig(settings(l))
	group := aws.String("/site")
	must(logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}))(t)
	arn := must(logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{}))(t).LogGroups[0].LogGroupArn
	must(logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "b", "c": "d"}}))(t)
	must(logs.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a"}}))(t)
	assert.Equal(t, map[string]string{"c": "d"}, must(logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn}))(t).Tags)

	watch := cloudwatch.NewFromConfig(settings(l))
	must(watch.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("a"), Namespace: aws.String("n"), MetricName: aws.String("m"), Statistic: "Sum", Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
		Threshold: aws.Float64(1), ComparisonOperator: "GreaterThanThreshold",
	}))(t)
	alarm := must(watch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{}))(t).MetricAlarms[0].AlarmArn
	must(watch.TagResource(ctx, &cloudwatch.TagResourceInput{ResourceARN: alarm, Tags: []cwtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}))(t)
	must(watch.UntagResource(ctx, &cloudwatch.UntagResourceInput{ResourceARN: alarm, TagKeys: []string{"a"}}))(t)
	assert.Empty(t, must(watch.ListTagsForResource(ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: alarm}))(t).Tags)

	stacks := cloudformation.NewFromConfig(settings(l))
	must(stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: aws.String(twoTopics)}))(t)
	require.Eventually(t, func() bool {
		out, err := stacks.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String("s")})
		return err == nil && len(out.StackResources) == 2 && out.StackResources[1].ResourceStatus == "CREATE_COMPLETE"
	}, 10*time.Second, 5*time.Millisecond)
}
