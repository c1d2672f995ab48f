package schema_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
)

// What a change does to a resource is the most dangerous thing a table can get wrong.
func TestRecreation(t *testing.T) {
	for _, c := range []struct{ kind, property, want string }{
		{"AWS::AutoScaling::AutoScalingGroup", "AutoScalingGroupName", "Always"},
		{"AWS::AutoScaling::AutoScalingGroup", "LaunchTemplate", "Conditionally"},
		{"AWS::AutoScaling::AutoScalingGroup", "VPCZoneIdentifier", "Conditionally"},
		{"AWS::AutoScaling::AutoScalingGroup", "DesiredCapacity", "Never"},
		{"AWS::CloudWatch::Alarm", "AlarmName", "Always"},
		{"AWS::EC2::EIP", "Address", "Always"},
		{"AWS::EC2::EIP", "Tags", "Never"},
		{"AWS::EC2::LaunchTemplate", "LaunchTemplateName", "Always"},
		{"AWS::EC2::LaunchTemplate", "LaunchTemplateData", "Never"},
		{"AWS::EC2::SecurityGroup", "GroupDescription", "Always"},
		{"AWS::EC2::SecurityGroup", "SecurityGroupIngress", "Never"},
		{"AWS::EC2::Subnet", "CidrBlock", "Always"},
		{"AWS::EC2::VPC", "CidrBlock", "Always"},
		{"AWS::ElasticLoadBalancingV2::Listener", "LoadBalancerArn", "Always"},
		{"AWS::ElasticLoadBalancingV2::LoadBalancer", "Scheme", "Always"},
		{"AWS::ElasticLoadBalancingV2::LoadBalancer", "SubnetMappings", "Never"},
		{"AWS::ElasticLoadBalancingV2::TargetGroup", "Port", "Always"},
		{"AWS::ElasticLoadBalancingV2::TargetGroup", "HealthCheckPath", "Never"},
		{"AWS::Route53::RecordSet", "Name", "Always"},
		{"AWS::SNS::Topic", "TopicName", "Always"},
	} {
		kind := schema.Lookup(c.kind)
		require.NotNil(t, kind, c.kind)
		assert.Contains(t, kind.Properties, c.property)
		assert.Equal(t, c.want, kind.Recreation(c.property), "%s %s", c.kind, c.property)
	}
}

func TestAttributes(t *testing.T) {
	assert.True(t, schema.Lookup("AWS::EC2::EIP").Attribute("AllocationId"))
	assert.True(t, schema.Lookup("AWS::EC2::LaunchTemplate").Attribute("LatestVersionNumber"))
	assert.True(t, schema.Lookup("AWS::EC2::VPC").Attribute("CidrBlock"))
	assert.False(t, schema.Lookup("AWS::EC2::EIP").Attribute("Domain"))
	assert.Nil(t, schema.Lookup("AWS::RDS::DBCluster"))
	assert.Len(t, schema.Names(), 42)
}

func TestCheck(t *testing.T) {
	group := schema.Lookup("AWS::AutoScaling::AutoScalingGroup")
	good := map[string]any{"MinSize": "1", "MaxSize": 2.0, "LaunchTemplate": map[string]any{"LaunchTemplateId": "lt-1", "Version": "1"}}
	assert.Empty(t, group.Check(good), "numbers may be strings and strings numbers")
	good["LaunchTemplate"] = map[string]any{"Version": schema.Unknown, "LaunchTemplateId": schema.Unknown}
	assert.Empty(t, group.Check(good), "nothing is demanded of what is not known yet")
	var texts []string
	for _, p := range group.Check(map[string]any{
		"MinSize": "one", "HealthCheckType": "TCP", "Tags": []any{map[string]any{"Key": "a"}}, "HealthCheckGracePeriod": "soon", "Colour": "red",
	}) {
		texts = append(texts, p.Path+" "+p.Text)
	}
	assert.ElementsMatch(t, []string{
		"/Properties #: required key [MaxSize] not found",
		"/Properties #: exactly one of [InstanceId, LaunchConfigurationName, LaunchTemplate, MixedInstancesPolicy] is required, found 0",
		"/Properties/Colour #: extraneous key [Colour] is not permitted",
		"/Properties/HealthCheckGracePeriod #/HealthCheckGracePeriod: expected type: Integer, found: String",
		"/Properties/HealthCheckType #/HealthCheckType: failed validation constraint for keyword [pattern]: TCP does not match ^(EBS|EC2|ELB|VPC_LATTICE)(,(EBS|EC2|ELB|VPC_LATTICE))*$",
		"/Properties/MinSize #/MinSize: failed validation constraint for keyword [pattern]: one does not match ^[0-9]+$",
		"/Properties/Tags/0 #/Tags/0: required key [PropagateAtLaunch] not found",
		"/Properties/Tags/0 #/Tags/0: required key [Value] not found",
	}, texts)
}

// Two spellings of one value are no change.
func TestCanonical(t *testing.T) {
	vpc := schema.Lookup("AWS::EC2::VPC")
	assert.Equal(t, vpc.Canonical(map[string]any{"EnableDnsSupport": "true"}), vpc.Canonical(map[string]any{"EnableDnsSupport": true}))
	group := schema.Lookup("AWS::AutoScaling::AutoScalingGroup")
	one := map[string]any{"VPCZoneIdentifier": []any{"a", "b"}, "MaxSize": 4.0, "TerminationPolicies": []any{"x", "y"}}
	two := map[string]any{"VPCZoneIdentifier": []any{"b", "a"}, "MaxSize": "4", "TerminationPolicies": []any{"y", "x"}}
	a, b := group.Canonical(one), group.Canonical(two)
	assert.Equal(t, a["VPCZoneIdentifier"], b["VPCZoneIdentifier"], "subnets have no order")
	assert.Equal(t, a["MaxSize"], b["MaxSize"])
	assert.NotEqual(t, a["TerminationPolicies"], b["TerminationPolicies"], "these have one")
}
