package elb

import (
	"maps"
	"slices"
	"strconv"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Attributes that mean something to the lab; the others are kept and told.
const (
	deletionProtection = "deletion_protection.enabled"
	crossZone          = "load_balancing.cross_zone.enabled"
	drainDelay         = "deregistration_delay.timeout_seconds"
	drainCut           = "deregistration_delay.connection_termination.enabled"
	unhealthyCut       = "target_health_state.unhealthy.connection_termination.enabled"
	unhealthyDrain     = "target_health_state.unhealthy.draining_interval_seconds"
	preserveClient     = "preserve_client_ip.enabled"
)

func balancerDefaults() map[string]string {
	return map[string]string{
		"access_logs.s3.enabled": "false", "access_logs.s3.bucket": "", "access_logs.s3.prefix": "",
		deletionProtection: "false", crossZone: "false",
		"ipv6.deny_all_igw_traffic": "false", "dns_record.client_routing_policy": "any_availability_zone",
		"zonal_shift.config.enabled": "false", "secondary_ips.auto_assigned.per_subnet": "0",
	}
}

func targetGroupDefaults() map[string]string {
	return map[string]string{
		drainDelay: "300", drainCut: "false", preserveClient: "true", "proxy_protocol_v2.enabled": "false",
		"stickiness.enabled": "false", "stickiness.type": "source_ip", crossZone: "use_load_balancer_configuration",
		unhealthyCut: "true", unhealthyDrain: "0",
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 "1",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            "off",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      "1",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
	}
}

// values an attribute may have, where the lab relies on them.
var attributeValues = map[string][]string{
	deletionProtection: {"true", "false"},
	drainCut:           {"true", "false"},
	unhealthyCut:       {"true", "false"},
	preserveClient:     {"true", "false"},
}

// setAttributes checks every change, then applies them all.
func setAttributes(have map[string]string, changes []Attribute, crossZoneValues ...string) error {
	for _, a := range changes {
		if _, known := have[a.Key]; !known {
			return wire.Errorf("ValidationError", "Attribute key '%s' is not recognized", a.Key)
		}
		allowed := attributeValues[a.Key]
		if a.Key == crossZone {
			allowed = crossZoneValues
		}
		if allowed != nil && !slices.Contains(allowed, a.Value) {
			return wire.Errorf("ValidationError", "Attribute value '%s' is not valid for key '%s'", a.Value, a.Key)
		}
		if limit := map[string]int{drainDelay: 3600, unhealthyDrain: 360_000}[a.Key]; limit > 0 {
			if n, err := strconv.Atoi(a.Value); err != nil || n < 0 || n > limit {
				return wire.Errorf("ValidationError", "Attribute value '%s' is not valid for key '%s': it must be between 0 and %d", a.Value, a.Key, limit)
			}
		}
	}
	after := maps.Clone(have)
	for _, a := range changes {
		after[a.Key] = a.Value
	}
	if n, _ := strconv.Atoi(after[unhealthyDrain]); n > 0 && after[unhealthyCut] == "true" {
		return wire.Errorf("ValidationError", "Attribute '%s' can be set only when '%s' is 'false'", unhealthyDrain, unhealthyCut)
	}
	for _, a := range changes {
		have[a.Key] = a.Value
	}
	return nil
}

func listAttributes(m map[string]string) []Attribute {
	var out []Attribute
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Attribute{Key: k, Value: m[k]})
	}
	return out
}

// ModifyLoadBalancerAttributes sets attributes; an unknown key or value changes nothing.
func ModifyLoadBalancerAttributes(tx *core.Tx, in *ModifyLoadBalancerAttributesInput) (*ModifyLoadBalancerAttributesOutput, error) {
	lb, err := balancer(tx, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if err := setAttributes(lb.Attributes, in.Attributes, "true", "false"); err != nil {
		return nil, err
	}
	tx.Changed()
	return &ModifyLoadBalancerAttributesOutput{Attributes: listAttributes(lb.Attributes)}, nil
}

// DescribeLoadBalancerAttributes tells all attributes.
func DescribeLoadBalancerAttributes(tx *core.Tx, in *DescribeLoadBalancerAttributesInput) (*DescribeLoadBalancerAttributesOutput, error) {
	lb, err := balancer(tx, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return &DescribeLoadBalancerAttributesOutput{Attributes: listAttributes(lb.Attributes)}, nil
}

// ModifyTargetGroupAttributes sets attributes; an unknown key or value changes nothing.
func ModifyTargetGroupAttributes(tx *core.Tx, in *ModifyTargetGroupAttributesInput) (*ModifyTargetGroupAttributesOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	if err := setAttributes(tg.Attributes, in.Attributes, "true", "false", "use_load_balancer_configuration"); err != nil {
		return nil, err
	}
	tx.Changed()
	return &ModifyTargetGroupAttributesOutput{Attributes: listAttributes(tg.Attributes)}, nil
}

// DescribeTargetGroupAttributes tells all attributes.
func DescribeTargetGroupAttributes(tx *core.Tx, in *DescribeTargetGroupAttributesInput) (*DescribeTargetGroupAttributesOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	return &DescribeTargetGroupAttributesOutput{Attributes: listAttributes(tg.Attributes)}, nil
}
