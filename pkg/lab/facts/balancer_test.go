package facts_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// front is a balancer with an empty target group; served one with two machines that answer.
func (w *world) front() *stack { w.Helper(); return w.made("front", balanced()) }

func (w *world) served(change ...func(string) string) *stack {
	w.Helper()
	w.images()
	body := balanced()
	for _, c := range change {
		body = c(body)
	}
	s := w.made("front", body, with("ImageId", w.image))
	s.until(time.Hour, "both are healthy", func() bool { return slices.Equal(s.health(), []string{"healthy", "healthy"}) })
	return s
}

func replaced(from, to string) func(string) string {
	return func(body string) string { return strings.Replace(body, from, to, 1) }
}

// targets are the healths of the targets, or of those asked for.
func (s *stack) targets(ids ...string) []elbtypes.TargetHealthDescription {
	s.Helper()
	in := &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(s.physical("Targets"))}
	for i := range ids {
		in.Targets = append(in.Targets, elbtypes.TargetDescription{Id: &ids[i]})
	}
	out, err := s.elb.DescribeTargetHealth(s.ctx, in)
	require.NoError(s, err)
	return out.TargetHealthDescriptions
}

func (s *stack) health() []string {
	s.Helper()
	var out []string
	for _, t := range s.targets() {
		out = append(out, string(t.TargetHealth.State))
	}
	slices.Sort(out)
	return out
}

// told is the health of one target: "unhealthy Target.Timeout: Request timed out".
func (s *stack) toldOf(id string) string {
	s.Helper()
	h := s.targets(id)[0].TargetHealth
	return strings.TrimSuffix(strings.TrimSpace(fmt.Sprint(h.State, " ", h.Reason)+": "+aws.ToString(h.Description)), " :")
}

func (s *stack) attributes() map[string]string {
	s.Helper()
	out, err := s.elb.DescribeTargetGroupAttributes(s.ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: aws.String(s.physical("Targets"))})
	require.NoError(s, err)
	got := map[string]string{}
	for _, a := range out.Attributes {
		got[*a.Key] = *a.Value
	}
	return got
}

// attribute sets one of the target group.
func (s *stack) attribute(key, value string) {
	s.Helper()
	_, err := s.elb.ModifyTargetGroupAttributes(s.ctx, &elb.ModifyTargetGroupAttributesInput{
		TargetGroupArn: aws.String(s.physical("Targets")), Attributes: []elbtypes.TargetGroupAttribute{{Key: &key, Value: &value}},
	})
	require.NoError(s, err)
}

// group makes a target group beside the stack's.
func (s *stack) targetGroup(change func(*elb.CreateTargetGroupInput)) (elbtypes.TargetGroup, error) {
	in := &elb.CreateTargetGroupInput{
		Name: aws.String("g" + s.world.name("x")[max(0, len(s.world.name("x"))-20):]), Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String(s.physical("Vpc")),
	}
	change(in)
	out, err := s.elb.CreateTargetGroup(s.ctx, in)
	if err != nil {
		return elbtypes.TargetGroup{}, err
	}
	arn := out.TargetGroups[0].TargetGroupArn
	s.afterwards(func(ctx context.Context) {
		_, _ = s.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: arn})
	})
	return out.TargetGroups[0], nil
}

// another tries to make a second balancer in the stack's first subnet.
func (s *stack) another(change func(*elb.CreateLoadBalancerInput)) error {
	in := &elb.CreateLoadBalancerInput{Name: aws.String("another"), Type: elbtypes.LoadBalancerTypeEnumNetwork}
	change(in)
	_, err := s.elb.CreateLoadBalancer(s.ctx, in)
	return err
}

func mapped(subnet, allocation string) elbtypes.SubnetMapping {
	return elbtypes.SubnetMapping{SubnetId: &subnet, AllocationId: &allocation}
}

var balancerFacts = []fact{
	{id: "F270", claim: "A Network Load Balancer takes one Elastic IP per subnet, and is \"provisioning\" before it is \"active\".", source: "[SDK:elasticloadbalancingv2 CreateLoadBalancer]", check: func(w *world) {
		s := w.create("front", balanced())
		seen := map[string]bool{}
		s.until(time.Hour, "the stack is complete", func() bool {
			out, err := w.elb.DescribeLoadBalancers(w.ctx, &elb.DescribeLoadBalancersInput{})
			require.NoError(w, err)
			for _, lb := range out.LoadBalancers {
				seen[string(lb.State.Code)] = true
			}
			return s.status() == "CREATE_COMPLETE"
		})
		assert.True(w, seen["active"])
		out, err := w.elb.DescribeLoadBalancers(w.ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{s.physical("Balancer")}})
		require.NoError(w, err)
		var ips []string
		for _, z := range out.LoadBalancers[0].AvailabilityZones {
			require.Len(w, z.LoadBalancerAddresses, 1)
			ips = append(ips, *z.LoadBalancerAddresses[0].IpAddress)
		}
		assert.ElementsMatch(w, []string{s.outputs()["A"], s.outputs()["B"]}, ips)
	}},
	{id: "F271", claim: "An allocation that does not exist is AllocationIdNotFound.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		w.refused(s.another(func(in *elb.CreateLoadBalancerInput) {
			in.SubnetMappings = []elbtypes.SubnetMapping{mapped(s.physical("SubnetA"), "eipalloc-00000000000000001")}
		}), "AllocationIdNotFound", "*eipalloc-00000000000000001*")
	}},
	{id: "F272", claim: "An Elastic IP that a balancer has is taken by no other: ResourceInUse.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		w.refused(s.another(func(in *elb.CreateLoadBalancerInput) {
			in.SubnetMappings = []elbtypes.SubnetMapping{mapped(s.physical("SubnetA"), s.outputs()["AllocationA"])}
		}), "ResourceInUse", "*")
	}},
	{id: "F273", claim: "An internal balancer takes no Elastic IP.", source: "[SDK:elasticloadbalancingv2 CreateLoadBalancer]", check: func(w *world) {
		s := w.front()
		w.refused(s.another(func(in *elb.CreateLoadBalancerInput) {
			in.Scheme = elbtypes.LoadBalancerSchemeEnumInternal
			in.SubnetMappings = []elbtypes.SubnetMapping{mapped(s.physical("SubnetA"), s.outputs()["AllocationA"])}
		}), "InvalidConfigurationRequest", "*")
	}},
	{id: "F274", claim: "There is one subnet per zone, and Subnets and SubnetMappings exclude each other.", source: "[SDK:elasticloadbalancingv2 CreateLoadBalancer]", check: func(w *world) {
		s := w.front()
		a := s.physical("SubnetA")
		w.refused(s.another(func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{a, a} }), "InvalidConfigurationRequest", "*same Availability Zone*")
		require.Error(w, s.another(func(in *elb.CreateLoadBalancerInput) {
			in.Subnets = []string{a}
			in.SubnetMappings = []elbtypes.SubnetMapping{{SubnetId: &a}}
		}))
	}},
	{id: "F275", claim: "A subnet that does not exist is SubnetNotFound.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		w.refused(s.another(func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-00000000000000001"} }), "SubnetNotFound", "*")
	}},
	{id: "F276", claim: "A balancer made without security groups takes none later.", source: "[SDK:elasticloadbalancingv2 SetSecurityGroups]", check: func(w *world) {
		s := w.made("front", strings.Replace(balanced(), "SecurityGroups: [!Ref Front], ", "", 1))
		_, err := w.elb.SetSecurityGroups(w.ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: aws.String(s.physical("Balancer")), SecurityGroups: []string{s.physical("Front")}})
		w.refused(err, "InvalidConfigurationRequest", "*")
	}},
	{id: "F277", claim: "A target group's health check is TCP by default: interval 30 s, timeout 10 s, thresholds 5 and 2, on the traffic port.", source: "[SDK:elasticloadbalancingv2 CreateTargetGroup] [NLBUG]", check: func(w *world) {
		g, err := w.front().targetGroup(func(*elb.CreateTargetGroupInput) {})
		require.NoError(w, err)
		assert.Equal(w, elbtypes.ProtocolEnumTcp, g.HealthCheckProtocol)
		assert.Equal(w, []int32{30, 10, 5, 2}, []int32{*g.HealthCheckIntervalSeconds, *g.HealthCheckTimeoutSeconds, *g.HealthyThresholdCount, *g.UnhealthyThresholdCount})
		assert.Equal(w, "traffic-port", *g.HealthCheckPort)
		assert.Equal(w, elbtypes.TargetTypeEnumInstance, g.TargetType)
	}},
	{id: "F278", claim: "An HTTP check asks for / with matcher 200-399 and a timeout of 6 s by default.", source: "[SDK:elasticloadbalancingv2 CreateTargetGroup]", check: func(w *world) {
		g, err := w.front().targetGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = elbtypes.ProtocolEnumHttp })
		require.NoError(w, err)
		assert.Equal(w, "/", *g.HealthCheckPath)
		assert.Equal(w, "200-399", *g.Matcher.HttpCode)
		assert.EqualValues(w, 6, *g.HealthCheckTimeoutSeconds)
	}},
	{id: "F279", claim: "Interval is 5 to 300 s, timeout 2 to 120 s, a threshold 2 to 10, a matcher within 200 to 599.", source: "[SDK:elasticloadbalancingv2 CreateTargetGroup]", check: func(w *world) {
		s := w.front()
		for _, change := range []func(in *elb.CreateTargetGroupInput){
			func(in *elb.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = aws.Int32(4) },
			func(in *elb.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = aws.Int32(301) },
			func(in *elb.CreateTargetGroupInput) { in.HealthCheckTimeoutSeconds = aws.Int32(1) },
			func(in *elb.CreateTargetGroupInput) { in.HealthCheckTimeoutSeconds = aws.Int32(121) },
			func(in *elb.CreateTargetGroupInput) { in.HealthyThresholdCount = aws.Int32(1) },
			func(in *elb.CreateTargetGroupInput) { in.UnhealthyThresholdCount = aws.Int32(11) },
			func(in *elb.CreateTargetGroupInput) {
				in.HealthCheckProtocol, in.Matcher = elbtypes.ProtocolEnumHttp, &elbtypes.Matcher{HttpCode: aws.String("100-700")}
			},
		} {
			_, err := s.targetGroup(change)
			w.refused(err, "ValidationError", "*")
		}
	}},
	{id: "F280", claim: "A target group's attributes: deregistration delay 300 s, no connection termination then, client addresses preserved, no proxy protocol, cross-zone as the balancer has it.", source: "[NLBUG] [SDK:elasticloadbalancingv2 types.TargetGroupAttribute]", check: func(w *world) {
		got := w.front().attributes()
		for key, want := range map[string]string{
			"deregistration_delay.timeout_seconds": "300", "deregistration_delay.connection_termination.enabled": "false",
			"preserve_client_ip.enabled": "true", "proxy_protocol_v2.enabled": "false", "stickiness.enabled": "false",
			"load_balancing.cross_zone.enabled": "use_load_balancer_configuration", "target_health_state.unhealthy.connection_termination.enabled": "true",
		} {
			assert.Equal(w, want, got[key], key)
		}
	}},
	{id: "F281", claim: "A balancer's attributes: no cross-zone, no deletion protection.", source: "[NLBUG] [SDK:elasticloadbalancingv2 types.LoadBalancerAttribute]", check: func(w *world) {
		out, err := w.elb.DescribeLoadBalancerAttributes(w.ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String(w.front().physical("Balancer"))})
		require.NoError(w, err)
		for _, a := range out.Attributes {
			if *a.Key == "load_balancing.cross_zone.enabled" || *a.Key == "deletion_protection.enabled" {
				assert.Equal(w, "false", *a.Value, *a.Key)
			}
		}
	}},
	{id: "F282", claim: "The deregistration delay is 0 to 3600 s.", source: "[SDK:elasticloadbalancingv2 types.TargetGroupAttribute]", check: func(w *world) {
		s := w.front()
		for _, v := range []string{"-1", "3601", "soon"} {
			_, err := w.elb.ModifyTargetGroupAttributes(w.ctx, &elb.ModifyTargetGroupAttributesInput{
				TargetGroupArn: aws.String(s.physical("Targets")), Attributes: []elbtypes.TargetGroupAttribute{{Key: aws.String("deregistration_delay.timeout_seconds"), Value: &v}},
			})
			w.refused(err, "ValidationError", "*")
		}
	}},
	{id: "F283", claim: "A port of a balancer has one listener: DuplicateListener.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		g, err := s.targetGroup(func(*elb.CreateTargetGroupInput) {})
		require.NoError(w, err)
		_, err = w.elb.CreateListener(w.ctx, &elb.CreateListenerInput{
			LoadBalancerArn: aws.String(s.physical("Balancer")), Port: aws.Int32(80), Protocol: elbtypes.ProtocolEnumTcp,
			DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: g.TargetGroupArn}},
		})
		w.refused(err, "DuplicateListener", "*")
	}},
	{id: "F284", claim: "The lab has no listener or target group of UDP, and says so (AWS has).", source: "[SDK:elasticloadbalancingv2 CreateListener]", lab: "it is a limit of the lab", check: func(w *world) {
		s := w.front()
		_, err := s.targetGroup(func(in *elb.CreateTargetGroupInput) { in.Protocol = elbtypes.ProtocolEnumUdp })
		w.refused(err, "ValidationError", "The lab has target groups of protocol 'TCP' and 'TLS' only, not 'UDP'")
		_, err = w.elb.CreateListener(w.ctx, &elb.CreateListenerInput{
			LoadBalancerArn: aws.String(s.physical("Balancer")), Port: aws.Int32(53), Protocol: elbtypes.ProtocolEnumUdp,
			DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: aws.String(s.physical("Targets"))}},
		})
		w.refused(err, "ValidationError", "The lab has listeners of protocol 'TCP' and 'TLS' only, not 'UDP'")
	}},
	{id: "F285", claim: "A target group in use is not deleted: ResourceInUse.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		_, err := w.elb.DeleteTargetGroup(w.ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: aws.String(s.physical("Targets"))})
		w.refused(err, "ResourceInUse", "*")
	}},
	{id: "F286", claim: "A balancer under deletion protection is not deleted: OperationNotPermitted.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		arn := s.physical("Balancer")
		protect := func(v string) {
			_, err := w.elb.ModifyLoadBalancerAttributes(w.ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &arn, Attributes: []elbtypes.LoadBalancerAttribute{{Key: aws.String("deletion_protection.enabled"), Value: &v}}})
			require.NoError(w, err)
		}
		protect("true")
		_, err := w.elb.DeleteLoadBalancer(w.ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &arn})
		w.refused(err, "OperationNotPermitted", "*")
		protect("false")
	}},
}

// suspend stops the group's own health checks, so that a sick machine stays.
func (s *stack) suspend(processes ...string) {
	s.Helper()
	_, err := s.asg.SuspendProcesses(s.ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String(s.physical("Asg")), ScalingProcesses: processes})
	require.NoError(s, err)
}

// deregister takes a machine out of the target group.
func (s *stack) deregister(id string) {
	s.Helper()
	_, err := s.elb.DeregisterTargets(s.ctx, &elb.DeregisterTargetsInput{TargetGroupArn: aws.String(s.physical("Targets")), Targets: []elbtypes.TargetDescription{{Id: &id}}})
	require.NoError(s, err)
}
