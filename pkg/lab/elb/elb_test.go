package elb_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

func TestTargetBecomesHealthyByItsProbes(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	id := w.Launch(w.Subnets[0])
	w.Register(id)
	assert.Equal(t, elb.TargetHealth{State: "initial", Reason: "Elb.RegistrationInProgress", Description: "Target registration is in progress"}, w.Health(id))
	w.Run(39 * time.Second) // 30 s until the balancer is active, 10 s of registration
	assert.Equal(t, "Elb.RegistrationInProgress", w.Health(id).Reason)
	w.Run(2 * time.Second)
	assert.Equal(t, elb.TargetHealth{State: "initial", Reason: "Elb.InitialHealthChecking", Description: "Initial health checks in progress"}, w.Health(id))
	w.Run(8 * time.Second)
	assert.Equal(t, "initial", w.Health(id).State, "one probe is not enough")
	w.Run(2 * time.Second)
	assert.Equal(t, elb.TargetHealth{State: "healthy"}, w.Health(id))
}

func TestProbeSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *labtest.World, id string)
		want  elb.TargetHealth
	}{
		"page answers 500": {func(w *labtest.World, id string) {
			require.NoError(w, w.Machine.Edit(id, func(d *memory.Image) { d.Broken = true }))
		}, elb.TargetHealth{State: "unhealthy", Reason: "Target.ResponseCodeMismatch", Description: "Health checks failed with these codes: [500]"}},
		"web server off": {func(w *labtest.World, id string) {
			require.NoError(w, w.Machine.Edit(id, func(d *memory.Image) { d.Off = true }))
		}, elb.TargetHealth{State: "unhealthy", Reason: "Target.FailedHealthChecks", Description: "Health checks failed"}},
		"machine lets the clients in, not the balancer": {func(w *labtest.World, _ string) {
			w.Do(func(tx *core.Tx) {
				tx.Region.SecurityGroups[w.MachineGroup].Ingress = []state.Rule{{Protocol: "tcp", From: 80, To: 80, CIDR: "192.0.2.0/24"}}
			})
		}, elb.TargetHealth{State: "unhealthy", Reason: "Target.Timeout", Description: "Request timed out"}},
		"stopped": {func(w *labtest.World, id string) {
			w.Do(func(tx *core.Tx) { labtest.Must(ec2.StopInstances(tx, &ec2.InstancesInput{InstanceIds: []string{id}})) })
		}, elb.TargetHealth{State: "unused", Reason: "Target.InvalidState", Description: "Target is in the stopped state"}},
		"terminated": {func(w *labtest.World, id string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(ec2.TerminateInstances(tx, &ec2.InstancesInput{InstanceIds: []string{id}}))
			})
		}, elb.TargetHealth{State: "draining", Reason: "Target.DeregistrationInProgress", Description: "Target deregistration is in progress"}},
		"no listener": {func(w *labtest.World, _ string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(elb.DeleteListener(tx, &elb.DeleteListenerInput{ListenerArn: w.Listener}))
			})
		}, elb.TargetHealth{State: "unused", Reason: "Target.NotInUse", Description: "Target group is not configured to receive traffic from the load balancer"}},
		"zone not enabled": {func(w *labtest.World, _ string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(elb.SetSubnets(tx, &elb.SetSubnetsInput{LoadBalancerArn: w.Balancer, SubnetMappings: []elb.SubnetMapping{{SubnetId: w.Subnets[1], AllocationId: w.Addresses[1]}}}))
			})
		}, elb.TargetHealth{State: "unused", Reason: "Target.NotInUse", Description: "Target is in an Availability Zone that is not enabled for the load balancer"}},
		"the other status is asked for": {func(w *labtest.World, _ string) {
			w.Do(func(tx *core.Tx) {
				labtest.Must(elb.ModifyTargetGroup(tx, &elb.ModifyTargetGroupInput{TargetGroupArn: w.Targets, Matcher: &elb.Matcher{HttpCode: "201,300-399"}}))
			})
		}, elb.TargetHealth{State: "unhealthy", Reason: "Target.ResponseCodeMismatch", Description: "Health checks failed with these codes: [200]"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := labtest.New(t)
			w.Balance()
			id := w.Launch(w.Subnets[0])
			w.Register(id)
			w.Run(60 * time.Second)
			require.Equal(t, "healthy", w.Health(id).State)
			c.spoil(w, id)
			w.Run(25 * time.Second)
			assert.Equal(t, c.want, w.Health(id))
		})
	}
}

func TestTCPProbeWantsAConnectionOnly(t *testing.T) {
	w := labtest.New(t)
	w.Balance(func(in *elb.CreateTargetGroupInput) {
		in.HealthCheckProtocol, in.HealthCheckPath, in.Matcher = "", "", nil
	})
	id := w.Launch(w.Subnets[0])
	require.NoError(t, w.Machine.Edit(id, func(d *memory.Image) { d.Broken = true }))
	w.Register(id)
	w.Run(60 * time.Second)
	assert.Equal(t, "healthy", w.Health(id).State)
}

func TestDefaultsAreTheNetworkLoadBalancers(t *testing.T) {
	w := labtest.New(t)
	w.Do(func(tx *core.Tx) {
		tg := labtest.Must(elb.CreateTargetGroup(tx, &elb.CreateTargetGroupInput{Name: "d", Protocol: "TCP", Port: new(int64(80)), VpcId: w.VPC})).TargetGroups[0]
		assert.Equal(t, []any{"TCP", "traffic-port", int64(30), int64(10), int64(5), int64(2), ""},
			[]any{tg.HealthCheckProtocol, tg.HealthCheckPort, tg.HealthCheckIntervalSeconds, tg.HealthCheckTimeoutSeconds, tg.HealthyThresholdCount, tg.UnhealthyThresholdCount, tg.HealthCheckPath})
		tg = labtest.Must(elb.CreateTargetGroup(tx, &elb.CreateTargetGroupInput{Name: "h", Protocol: "TCP", Port: new(int64(80)), VpcId: w.VPC, HealthCheckProtocol: "HTTP"})).TargetGroups[0]
		assert.Equal(t, []any{"/", "200-399", int64(6)}, []any{tg.HealthCheckPath, tg.Matcher.HttpCode, tg.HealthCheckTimeoutSeconds})
		found := map[string]string{}
		for _, a := range labtest.Must(elb.DescribeTargetGroupAttributes(tx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: tg.TargetGroupArn})).Attributes {
			found[a.Key] = a.Value
		}
		assert.Equal(t, "300", found["deregistration_delay.timeout_seconds"])
		assert.Equal(t, "use_load_balancer_configuration", found["load_balancing.cross_zone.enabled"])
	})
}

func TestElasticIPsAreTakenAndLetGo(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	held := func() (n int) {
		w.Core.View(labtest.Region, func(tx *core.Tx) {
			for _, a := range tx.Region.Addresses {
				if a.AssociationID != "" {
					n++
				}
			}
		})
		return n
	}
	assert.Equal(t, 2, held())
	w.Do(func(tx *core.Tx) {
		_, err := ec2.ReleaseAddress(tx, &ec2.ReleaseAddressInput{AllocationId: w.Addresses[0]})
		require.Error(t, err)
		_, err = elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "other", Type: "network", SubnetMappings: []elb.SubnetMapping{{SubnetId: w.Subnets[0], AllocationId: w.Addresses[0]}}})
		require.EqualError(t, err, "ResourceInUse: The allocation IDs '"+w.Addresses[0]+"' are not available for use")
		// In place: one zone loses its address, the other keeps it.
		out := labtest.Must(elb.SetSubnets(tx, &elb.SetSubnetsInput{LoadBalancerArn: w.Balancer, SubnetMappings: []elb.SubnetMapping{{SubnetId: w.Subnets[0], AllocationId: w.Addresses[0]}, {SubnetId: w.Subnets[1]}}}))
		assert.Equal(t, w.IPs[0], out.AvailabilityZones[0].LoadBalancerAddresses[0].IpAddress)
		assert.Empty(t, out.AvailabilityZones[1].LoadBalancerAddresses)
	})
	assert.Equal(t, 1, held())
	w.Do(func(tx *core.Tx) {
		labtest.Must(elb.DeleteLoadBalancer(tx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: w.Balancer}))
		labtest.Must(elb.DeleteLoadBalancer(tx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: w.Balancer}))
		labtest.Must(elb.DeleteTargetGroup(tx, &elb.DeleteTargetGroupInput{TargetGroupArn: w.Targets}))
		assert.Empty(t, tx.Region.Listeners)
		labtest.Must(ec2.ReleaseAddress(tx, &ec2.ReleaseAddressInput{AllocationId: w.Addresses[0]}))
	})
	assert.Zero(t, held())
}

func TestBadInput(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	id := w.Launch(w.Subnets[0])
	arn := w.Balancer
	for _, c := range []struct {
		want string
		call func(tx *core.Tx) error
	}{
		{"SubnetNotFound: The subnet ID 'subnet-1' does not exist", func(tx *core.Tx) error {
			_, err := elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "b", Type: "network", Subnets: []string{"subnet-1"}})
			return err
		}},
		{"AllocationIdNotFound: The allocation IDs 'eipalloc-1' do not exist", func(tx *core.Tx) error {
			_, err := elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "b", Type: "network", SubnetMappings: []elb.SubnetMapping{{SubnetId: w.Subnets[0], AllocationId: "eipalloc-1"}}})
			return err
		}},
		{"InvalidConfigurationRequest: A load balancer cannot be attached to multiple subnets in the same Availability Zone", func(tx *core.Tx) error {
			_, err := elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "b", Type: "network", Subnets: []string{w.Subnets[0], w.Subnets[0]}})
			return err
		}},
		{"DuplicateLoadBalancerName: A load balancer with the same name 'site' exists, but with different settings", func(tx *core.Tx) error {
			_, err := elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "site", Type: "network", Subnets: w.Subnets})
			return err
		}},
		{"DuplicateListener: A listener already exists on this port for this load balancer '" + arn + "'", func(tx *core.Tx) error {
			tg := labtest.Must(elb.CreateTargetGroup(tx, &elb.CreateTargetGroupInput{Name: "two", Protocol: "TCP", Port: new(int64(80)), VpcId: w.VPC})).TargetGroups[0].TargetGroupArn
			_, err := elb.CreateListener(tx, &elb.CreateListenerInput{LoadBalancerArn: arn, Protocol: "TCP", Port: new(int64(80)), DefaultActions: []elb.Action{{Type: "forward", TargetGroupArn: tg}}})
			return err
		}},
		{"TargetGroupAssociationLimit: The following target groups cannot be associated with more than one load balancer: " + w.Targets, func(tx *core.Tx) error {
			other := labtest.Must(elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "other", Type: "network", Subnets: w.Subnets})).LoadBalancers[0].LoadBalancerArn
			_, err := elb.CreateListener(tx, &elb.CreateListenerInput{LoadBalancerArn: other, Protocol: "TCP", Port: new(int64(80)), DefaultActions: []elb.Action{{Type: "forward", TargetGroupArn: w.Targets}}})
			return err
		}},
		{"ResourceInUse: Target group '" + w.Targets + "' is currently in use by a listener or a rule", func(tx *core.Tx) error {
			_, err := elb.DeleteTargetGroup(tx, &elb.DeleteTargetGroupInput{TargetGroupArn: w.Targets})
			return err
		}},
		{"InvalidConfigurationRequest: You cannot set security groups for load balancer", func(tx *core.Tx) error {
			bare := labtest.Must(elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "bare", Type: "network", Subnets: w.Subnets})).LoadBalancers[0].LoadBalancerArn
			_, err := elb.SetSecurityGroups(tx, &elb.SetSecurityGroupsInput{LoadBalancerArn: bare, SecurityGroups: []string{w.BalancerGroup}})
			return err
		}},
		{"OperationNotPermitted: Load balancer '" + arn + "' cannot be deleted because deletion protection is enabled", func(tx *core.Tx) error {
			labtest.Must(elb.ModifyLoadBalancerAttributes(tx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: arn, Attributes: []elb.Attribute{{Key: "deletion_protection.enabled", Value: "true"}}}))
			_, err := elb.DeleteLoadBalancer(tx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: arn})
			return err
		}},
		{"ValidationError: Attribute key 'x' is not recognized", func(tx *core.Tx) error {
			_, err := elb.ModifyTargetGroupAttributes(tx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: w.Targets, Attributes: []elb.Attribute{{Key: "x", Value: "1"}}})
			return err
		}},
		{"ValidationError: Health check interval '4' not between 5 and 300 inclusive", func(tx *core.Tx) error {
			_, err := elb.ModifyTargetGroup(tx, &elb.ModifyTargetGroupInput{TargetGroupArn: w.Targets, HealthCheckIntervalSeconds: new(int64(4))})
			return err
		}},
		{"ValidationError: Health check matcher HTTP code '100' must be within '200-599' inclusive", func(tx *core.Tx) error {
			_, err := elb.ModifyTargetGroup(tx, &elb.ModifyTargetGroupInput{TargetGroupArn: w.Targets, Matcher: &elb.Matcher{HttpCode: "100"}})
			return err
		}},
		{"InvalidTarget: The instance ID 'i-1' is not valid", func(tx *core.Tx) error {
			_, err := elb.RegisterTargets(tx, &elb.RegisterTargetsInput{TargetGroupArn: w.Targets, Targets: []elb.TargetDescription{{Id: "i-1"}}})
			return err
		}},
		{"InvalidTarget: The following targets are not in a running state and cannot be registered: '" + id + "'", func(tx *core.Tx) error {
			labtest.Must(ec2.StopInstances(tx, &ec2.InstancesInput{InstanceIds: []string{id}}))
			_, err := elb.RegisterTargets(tx, &elb.RegisterTargetsInput{TargetGroupArn: w.Targets, Targets: []elb.TargetDescription{{Id: id}}})
			return err
		}},
		{"TargetGroupNotFound: One or more target groups not found", func(tx *core.Tx) error {
			_, err := elb.DescribeTargetHealth(tx, &elb.DescribeTargetHealthInput{TargetGroupArn: "arn:x"})
			return err
		}},
		{"ValidationError: A certificate must be specified for TLS listeners", func(tx *core.Tx) error {
			_, err := elb.CreateListener(tx, &elb.CreateListenerInput{LoadBalancerArn: arn, Protocol: "TLS", Port: new(int64(443)), DefaultActions: []elb.Action{{Type: "forward", TargetGroupArn: w.Targets}}})
			return err
		}},
		{"InvalidSubnet: VPC " + w.VPC + " has no internet gateway", func(tx *core.Tx) error {
			for _, g := range tx.Region.InternetGateways {
				g.VPCID = ""
			}
			_, err := elb.CreateLoadBalancer(tx, &elb.CreateLoadBalancerInput{Name: "c", Type: "network", Subnets: w.Subnets})
			return err
		}},
	} {
		w.Do(func(tx *core.Tx) {
			err := c.call(tx)
			require.Error(t, err, c.want)
			assert.Contains(t, err.Error(), c.want)
		})
	}
}
