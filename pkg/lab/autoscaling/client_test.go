package autoscaling_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	asg "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	asgtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	nlb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	nlbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// site is a network in a running lab, with a launch template of two versions:
// the first serves "one", the second "two".
type site struct {
	vpc, balancerGroup, machineGroup, template, address string
	subnets                                             []string
	ip                                                  string
}

func prepare(t *testing.T, l *lab.Lab) (s site) {
	t.Helper()
	var images []string
	for _, name := range []string{"one", "two"} {
		require.NoError(t, l.Memory().AddImage(name, memory.Site(name, name)))
		id, err := l.AddImage(labtest.Region, name, name, nil)
		require.NoError(t, err)
		images = append(images, id)
	}
	require.NoError(t, l.Core().Do(labtest.Region, func(tx *core.Tx) error {
		s.vpc = labtest.Must(ec2.CreateVpc(tx, &ec2.CreateVpcInput{CidrBlock: "10.0.0.0/16"})).Vpc.VpcId
		gateway := labtest.Must(ec2.CreateInternetGateway(tx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
		labtest.Must(ec2.AttachInternetGateway(tx, &ec2.InternetGatewayInput{InternetGatewayId: gateway, VpcId: s.vpc}))
		for _, r := range tx.Region.RouteTables {
			if r.VPCID == s.vpc {
				labtest.Must(ec2.CreateRoute(tx, &ec2.CreateRouteInput{RouteTableId: r.ID, DestinationCidrBlock: "0.0.0.0/0", GatewayId: gateway}))
			}
		}
		for zone, block := range map[string]string{"a": "10.0.0.0/24", "b": "10.0.1.0/24"} {
			s.subnets = append(s.subnets, labtest.Must(ec2.CreateSubnet(tx, &ec2.CreateSubnetInput{VpcId: s.vpc, CidrBlock: block, AvailabilityZone: labtest.Region + zone})).Subnet.SubnetId)
		}
		s.balancerGroup = labtest.Must(ec2.CreateSecurityGroup(tx, &ec2.CreateSecurityGroupInput{GroupName: "b", Description: "b", VpcId: s.vpc})).GroupId
		s.machineGroup = labtest.Must(ec2.CreateSecurityGroup(tx, &ec2.CreateSecurityGroupInput{GroupName: "m", Description: "m", VpcId: s.vpc})).GroupId
		tx.Region.SecurityGroups[s.balancerGroup].Ingress = []state.Rule{{ID: "sgr-1", Protocol: "tcp", From: 80, To: 80, CIDR: "0.0.0.0/0"}}
		tx.Region.SecurityGroups[s.machineGroup].Ingress = []state.Rule{{ID: "sgr-2", Protocol: "tcp", From: 80, To: 80, Group: s.balancerGroup}}
		data := func(image string) *ec2.RequestLaunchTemplateData {
			return &ec2.RequestLaunchTemplateData{ImageId: image, InstanceType: "t3.micro", SecurityGroupIds: []string{s.machineGroup}}
		}
		s.template = labtest.Must(ec2.CreateLaunchTemplate(tx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: "site", LaunchTemplateData: data(images[0])})).LaunchTemplate.LaunchTemplateId
		labtest.Must(ec2.CreateLaunchTemplateVersion(tx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: s.template, LaunchTemplateData: data(images[1])}))
		a := labtest.Must(ec2.AllocateAddress(tx, &ec2.AllocateAddressInput{Domain: "vpc"}))
		s.address, s.ip = a.AllocationId, a.PublicIp
		return nil
	}))
	return s
}

// TestNobodyFailsWhileAGroupIsRolledByHand is what a rolling update comes down
// to: twice the instances, wait for healthy targets, terminate the old ones
// through draining and hook, and a client that asks all the time.
func TestNobodyFailsWhileAGroupIsRolledByHand(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 200 })
	s := prepare(t, l)
	ctx := t.Context()
	config := labtest.AWS(t, l.Endpoint())
	balancers, groups := nlb.NewFromConfig(config), asg.NewFromConfig(config)

	made, err := balancers.CreateLoadBalancer(ctx, &nlb.CreateLoadBalancerInput{
		Name: aws.String("site"), Type: nlbtypes.LoadBalancerTypeEnumNetwork, Scheme: nlbtypes.LoadBalancerSchemeEnumInternetFacing,
		SubnetMappings: []nlbtypes.SubnetMapping{{SubnetId: &s.subnets[0], AllocationId: &s.address}, {SubnetId: &s.subnets[1]}},
		SecurityGroups: []string{s.balancerGroup}, Tags: []nlbtypes.Tag{{Key: aws.String("site"), Value: aws.String("web")}},
	})
	require.NoError(t, err)
	balancer := made.LoadBalancers[0]
	assert.Equal(t, nlbtypes.LoadBalancerStateEnumProvisioning, balancer.State.Code)
	_, err = balancers.ModifyLoadBalancerAttributes(ctx, &nlb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: balancer.LoadBalancerArn, Attributes: []nlbtypes.LoadBalancerAttribute{{Key: aws.String("load_balancing.cross_zone.enabled"), Value: aws.String("true")}},
	})
	require.NoError(t, err)
	tg, err := balancers.CreateTargetGroup(ctx, &nlb.CreateTargetGroupInput{
		Name: aws.String("site"), Protocol: nlbtypes.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: &s.vpc,
		HealthCheckProtocol: nlbtypes.ProtocolEnumHttp, HealthCheckPath: aws.String("/"), Matcher: &nlbtypes.Matcher{HttpCode: aws.String("200")},
		HealthCheckIntervalSeconds: aws.Int32(10), HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2),
	})
	require.NoError(t, err)
	targets := tg.TargetGroups[0].TargetGroupArn
	listener, err := balancers.CreateListener(ctx, &nlb.CreateListenerInput{
		LoadBalancerArn: balancer.LoadBalancerArn, Protocol: nlbtypes.ProtocolEnumTcp, Port: aws.Int32(80),
		DefaultActions: []nlbtypes.Action{{Type: nlbtypes.ActionTypeEnumForward, TargetGroupArn: targets}},
	})
	require.NoError(t, err)
	assert.EqualValues(t, 80, *listener.Listeners[0].Port)

	_, err = groups.CreateAutoScalingGroup(ctx, &asg.CreateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String("site"), MinSize: aws.Int32(2), MaxSize: aws.Int32(4), DesiredCapacity: aws.Int32(2),
		LaunchTemplate:    &asgtypes.LaunchTemplateSpecification{LaunchTemplateId: &s.template, Version: aws.String("1")},
		VPCZoneIdentifier: aws.String(strings.Join(s.subnets, ",")), TargetGroupARNs: []string{*targets},
		HealthCheckType: aws.String("ELB"), HealthCheckGracePeriod: aws.Int32(300),
		LifecycleHookSpecificationList: []asgtypes.LifecycleHookSpecification{{
			LifecycleHookName: aws.String("drain"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_TERMINATING"),
			HeartbeatTimeout: aws.Int32(180), DefaultResult: aws.String("CONTINUE"),
		}},
		Tags: []asgtypes.Tag{{Key: aws.String("site"), Value: aws.String("web"), PropagateAtLaunch: aws.Bool(true), ResourceId: aws.String("site"), ResourceType: aws.String("auto-scaling-group")}},
	})
	require.NoError(t, err)
	healthy := func(n int) func() bool {
		return func() bool {
			out, err := balancers.DescribeTargetHealth(ctx, &nlb.DescribeTargetHealthInput{TargetGroupArn: targets})
			require.NoError(t, err)
			count := 0
			for _, d := range out.TargetHealthDescriptions {
				if d.TargetHealth.State == nlbtypes.TargetHealthStateEnumHealthy {
					count++
				}
			}
			return count == n
		}
	}
	labtest.Eventually(t, "two healthy targets", healthy(2))

	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		answers  = map[string]int{}
		failures []error
	)
	asking, stop := context.WithCancel(ctx)
	for range 2 {
		wg.Go(func() {
			c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(&url.URL{Scheme: "socks5h", Host: l.SOCKS()})}, Timeout: 10 * time.Second}
			for asking.Err() == nil {
				body, err := page(c, "http://"+s.ip+"/")
				mu.Lock()
				answers[body]++
				if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}

	described := func() asgtypes.AutoScalingGroup {
		out, err := groups.DescribeAutoScalingGroups(ctx, &asg.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"site"}})
		require.NoError(t, err)
		return out.AutoScalingGroups[0]
	}
	var old []string
	for _, i := range described().Instances {
		old = append(old, *i.InstanceId)
	}
	_, err = groups.UpdateAutoScalingGroup(ctx, &asg.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String("site"), MinSize: aws.Int32(2), DesiredCapacity: aws.Int32(4),
		LaunchTemplate: &asgtypes.LaunchTemplateSpecification{LaunchTemplateId: &s.template, Version: aws.String("2")},
	})
	require.NoError(t, err)
	labtest.Eventually(t, "four healthy targets", healthy(4))
	for _, id := range old {
		out, err := groups.TerminateInstanceInAutoScalingGroup(ctx, &asg.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: aws.Bool(true)})
		require.NoError(t, err)
		assert.Contains(t, *out.Activity.Description, "Terminating EC2 instance: "+id)
	}
	labtest.Eventually(t, "the old instances are gone", func() bool { return len(described().Instances) == 2 })
	labtest.Eventually(t, "only the new page is served", func() bool {
		mu.Lock()
		clear(answers)
		mu.Unlock()
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return answers["one"] == 0 && answers["two"] > 0
	})
	stop()
	wg.Wait()
	assert.Empty(t, failures, "no request failed")
	g := described()
	assert.EqualValues(t, 2, *g.DesiredCapacity)
	for _, i := range g.Instances {
		assert.Equal(t, "2", *i.LaunchTemplate.Version)
	}

	// Everything else the clients can say.
	list, err := groups.DescribeScalingActivities(ctx, &asg.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("site"), MaxRecords: aws.Int32(4)})
	require.NoError(t, err)
	assert.Len(t, list.Activities, 4)
	assert.NotNil(t, list.NextToken)
	instances, err := groups.DescribeAutoScalingInstances(ctx, &asg.DescribeAutoScalingInstancesInput{})
	require.NoError(t, err)
	assert.Equal(t, "HEALTHY", *instances.AutoScalingInstances[0].HealthStatus)
	_, err = groups.SuspendProcesses(ctx, &asg.SuspendProcessesInput{AutoScalingGroupName: aws.String("site"), ScalingProcesses: []string{"AZRebalance"}})
	require.NoError(t, err)
	assert.Equal(t, "AZRebalance", *described().SuspendedProcesses[0].ProcessName)
	hooks, err := groups.DescribeLifecycleHooks(ctx, &asg.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String("site")})
	require.NoError(t, err)
	assert.EqualValues(t, 180, *hooks.LifecycleHooks[0].HeartbeatTimeout)
	tags, err := balancers.DescribeTags(ctx, &nlb.DescribeTagsInput{ResourceArns: []string{*balancer.LoadBalancerArn}})
	require.NoError(t, err)
	assert.Equal(t, "web", *tags.TagDescriptions[0].Tags[0].Value)
	_, err = balancers.DescribeLoadBalancers(ctx, &nlb.DescribeLoadBalancersInput{Names: []string{"nope"}})
	var missing *nlbtypes.LoadBalancerNotFoundException
	require.ErrorAs(t, err, &missing)

	_, err = groups.DeleteAutoScalingGroup(ctx, &asg.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("site")})
	var used *asgtypes.ResourceInUseFault
	require.ErrorAs(t, err, &used)
	_, err = groups.DeleteAutoScalingGroup(ctx, &asg.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("site"), ForceDelete: aws.Bool(true)})
	require.NoError(t, err)
	labtest.Eventually(t, "the group is gone", func() bool {
		out, err := groups.DescribeAutoScalingGroups(ctx, &asg.DescribeAutoScalingGroupsInput{})
		require.NoError(t, err)
		return len(out.AutoScalingGroups) == 0
	})
	_, err = balancers.DeleteLoadBalancer(ctx, &nlb.DeleteLoadBalancerInput{LoadBalancerArn: balancer.LoadBalancerArn})
	require.NoError(t, err)
	_, err = balancers.DeleteTargetGroup(ctx, &nlb.DeleteTargetGroupInput{TargetGroupArn: targets})
	require.NoError(t, err)
}

func page(c http.Client, address string) (string, error) {
	res, err := c.Get(address)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}
