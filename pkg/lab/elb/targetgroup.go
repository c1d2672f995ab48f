package elb

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// trafficPort says: probe the port that the target takes traffic on.
const trafficPort = "traffic-port"

func targetGroup(tx *core.Tx, arn string) (*state.TargetGroup, error) {
	if tg := tx.Region.TargetGroups[arn]; tg != nil {
		return tg, nil
	}
	return nil, wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
}

// CreateTargetGroup makes a target group of instances. The same name with the
// same settings finds the one there is.
func CreateTargetGroup(tx *core.Tx, in *CreateTargetGroupInput) (*CreateTargetGroupOutput, error) {
	targetType, ipType := in.TargetType, in.IpAddressType
	if targetType == "" {
		targetType = "instance"
	}
	if ipType == "" {
		ipType = "ipv4"
	}
	port := number(in.Port, 0)
	switch {
	case !validName.MatchString(in.Name):
		return nil, wire.Errorf("ValidationError", "The target group name '%s' must contain only characters that are alphanumeric or hyphens(-), at most 32, and must not begin or end with a hyphen", in.Name)
	case targetType != "instance":
		return nil, wire.Errorf("ValidationError", "The lab has target groups of type 'instance' only, not '%s'", targetType)
	case ipType != "ipv4":
		return nil, wire.Errorf("ValidationError", "The lab has the IP address type 'ipv4' only, not '%s'", ipType)
	case in.Protocol != "TCP" && in.Protocol != "TLS":
		return nil, wire.Errorf("ValidationError", "The lab has target groups of protocol 'TCP' and 'TLS' only, not '%s'", in.Protocol)
	case port < 1 || port > 65535:
		return nil, wire.Errorf("ValidationError", "Port '%d' is not valid: it must be between 1 and 65535", port)
	case in.VpcId == "":
		return nil, wire.Errorf("ValidationError", "A VPC ID must be specified")
	case tx.Region.VPCs[in.VpcId] == nil:
		return nil, wire.Errorf("ValidationError", "The VPC ID '%s' is not found", in.VpcId)
	}
	check, err := changedCheck(state.HealthCheck{Enabled: true, Protocol: "TCP", Port: trafficPort, Interval: 30 * time.Second, HealthyAfter: 5, UnhealthyAfter: 2}, &ModifyTargetGroupInput{
		HealthCheckProtocol: in.HealthCheckProtocol, HealthCheckPort: in.HealthCheckPort, HealthCheckPath: in.HealthCheckPath,
		HealthCheckEnabled: in.HealthCheckEnabled, HealthCheckIntervalSeconds: in.HealthCheckIntervalSeconds,
		HealthCheckTimeoutSeconds: in.HealthCheckTimeoutSeconds, HealthyThresholdCount: in.HealthyThresholdCount,
		UnhealthyThresholdCount: in.UnhealthyThresholdCount, Matcher: in.Matcher,
	})
	if err != nil {
		return nil, err
	}
	for _, tg := range tx.Region.TargetGroups {
		if tg.Name != in.Name {
			continue
		}
		if tg.Protocol == in.Protocol && tg.Port == port && tg.VPCID == in.VpcId && tg.Check == check {
			return &CreateTargetGroupOutput{TargetGroups: []TargetGroup{describeTargetGroup(tx, tg)}}, nil
		}
		return nil, wire.Errorf("DuplicateTargetGroupName", "A target group with the same name '%s' exists, but with different settings", in.Name)
	}
	tg := &state.TargetGroup{
		ARN:  tx.ARN("elasticloadbalancing", "targetgroup/"+in.Name+"/"+core.Hex(16)),
		Name: in.Name, Protocol: in.Protocol, Port: port, VPCID: in.VpcId, TargetType: targetType, IPType: ipType,
		Check: check, Attributes: targetGroupDefaults(), Targets: map[string]*state.Target{}, Tags: toTags(in.Tags),
	}
	tx.Region.TargetGroups[tg.ARN] = tg
	tx.Changed()
	return &CreateTargetGroupOutput{TargetGroups: []TargetGroup{describeTargetGroup(tx, tg)}}, nil
}

// changedCheck is have with the changes of in, or what is wrong with them.
func changedCheck(have state.HealthCheck, in *ModifyTargetGroupInput) (state.HealthCheck, error) {
	c := have
	if in.HealthCheckEnabled != nil && !*in.HealthCheckEnabled {
		return c, wire.Errorf("InvalidConfigurationRequest", "Health check enabled must be true for target groups with target type 'instance'")
	}
	if in.HealthCheckProtocol != "" {
		c.Protocol = in.HealthCheckProtocol
	}
	switch c.Protocol {
	case "TCP", "HTTP", "HTTPS":
	default:
		return c, wire.Errorf("ValidationError", "Health check protocol '%s' must be one of 'TCP', 'HTTP', 'HTTPS'", c.Protocol)
	}
	if in.HealthCheckPort != "" {
		c.Port = in.HealthCheckPort
	}
	if n, err := strconv.Atoi(c.Port); c.Port != trafficPort && (err != nil || n < 1 || n > 65535) {
		return c, wire.Errorf("ValidationError", "Health check port '%s' must be either '%s' or a port between 1 and 65535", c.Port, trafficPort)
	}
	c.Interval = seconds(in.HealthCheckIntervalSeconds, c.Interval)
	if c.Timeout == 0 || c.Protocol != have.Protocol {
		c.Timeout = 10 * time.Second
		if c.Protocol == "HTTP" {
			c.Timeout = 6 * time.Second
		}
	}
	c.Timeout = seconds(in.HealthCheckTimeoutSeconds, c.Timeout)
	c.HealthyAfter = number(in.HealthyThresholdCount, c.HealthyAfter)
	c.UnhealthyAfter = number(in.UnhealthyThresholdCount, c.UnhealthyAfter)
	switch {
	case c.Interval < 5*time.Second || c.Interval > 300*time.Second:
		return c, wire.Errorf("ValidationError", "Health check interval '%d' not between 5 and 300 inclusive", int64(c.Interval.Seconds()))
	case c.Timeout < 2*time.Second || c.Timeout > 120*time.Second:
		return c, wire.Errorf("ValidationError", "Health check timeout '%d' not between 2 and 120 inclusive", int64(c.Timeout.Seconds()))
	case c.Timeout > c.Interval:
		return c, wire.Errorf("ValidationError", "Health check timeout '%d' must be smaller than or equal to the interval '%d'", int64(c.Timeout.Seconds()), int64(c.Interval.Seconds()))
	case c.HealthyAfter < 2 || c.HealthyAfter > 10:
		return c, wire.Errorf("ValidationError", "Healthy threshold count '%d' must be between 2 and 10 inclusive", c.HealthyAfter)
	case c.UnhealthyAfter < 2 || c.UnhealthyAfter > 10:
		return c, wire.Errorf("ValidationError", "Unhealthy threshold count '%d' must be between 2 and 10 inclusive", c.UnhealthyAfter)
	}
	if c.Protocol == "TCP" {
		if in.HealthCheckPath != "" || in.Matcher != nil {
			return c, wire.Errorf("InvalidConfigurationRequest", "Health check path and matcher are not supported for health checks with protocol TCP")
		}
		c.Path, c.Matcher = "", ""
		return c, nil
	}
	if in.HealthCheckPath != "" {
		c.Path = in.HealthCheckPath
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if !strings.HasPrefix(c.Path, "/") || len(c.Path) > 1024 {
		return c, wire.Errorf("ValidationError", "Health check path '%s' must begin with a '/' character, and can be at most 1024 characters in length", c.Path)
	}
	if in.Matcher != nil {
		c.Matcher = in.Matcher.HttpCode
	}
	if c.Matcher == "" {
		c.Matcher = "200-399"
	}
	if _, ok := matches(c.Matcher, 200); !ok {
		return c, wire.Errorf("ValidationError", "Health check matcher HTTP code '%s' must be within '200-599' inclusive", c.Matcher)
	}
	return c, nil
}

// matches says whether an HTTP status fits a matcher, and whether the matcher is one.
func matches(matcher string, status int) (fits, valid bool) {
	for _, part := range strings.Split(matcher, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || low < 200 || high > 599 || low > high {
			return false, false
		}
		fits = fits || low <= status && status <= high
	}
	return fits, true
}

func describeTargetGroup(tx *core.Tx, tg *state.TargetGroup) TargetGroup {
	out := TargetGroup{
		TargetGroupArn: tg.ARN, TargetGroupName: tg.Name, Protocol: tg.Protocol, Port: tg.Port, VpcId: tg.VPCID,
		HealthCheckProtocol: tg.Check.Protocol, HealthCheckPort: tg.Check.Port, HealthCheckEnabled: tg.Check.Enabled,
		HealthCheckIntervalSeconds: int64(tg.Check.Interval.Seconds()), HealthCheckTimeoutSeconds: int64(tg.Check.Timeout.Seconds()),
		HealthyThresholdCount: tg.Check.HealthyAfter, UnhealthyThresholdCount: tg.Check.UnhealthyAfter,
		HealthCheckPath: tg.Check.Path, TargetType: tg.TargetType, IpAddressType: tg.IPType,
	}
	if tg.Check.Matcher != "" {
		out.Matcher = &Matcher{HttpCode: tg.Check.Matcher}
	}
	if lb := balancerOf(tx, tg); lb != nil {
		out.LoadBalancerArns = []string{lb.ARN}
	}
	return out
}

// balancerOf is the one load balancer that sends traffic to tg, or nil.
func balancerOf(tx *core.Tx, tg *state.TargetGroup) *state.LoadBalancer {
	for _, l := range tx.Region.Listeners {
		if l.TargetGroup == tg.ARN {
			return tx.Region.LoadBalancers[l.LoadBalancer]
		}
	}
	return nil
}

// DescribeTargetGroups lists target groups.
func DescribeTargetGroups(tx *core.Tx, in *DescribeTargetGroupsInput) (*DescribeTargetGroupsOutput, error) {
	if in.LoadBalancerArn != "" {
		if _, err := balancer(tx, in.LoadBalancerArn); err != nil {
			return nil, err
		}
	}
	wanted := map[string]bool{}
	for _, x := range append(slices.Clone(in.TargetGroupArns), in.Names...) {
		wanted[x] = true
	}
	var found []TargetGroup
	for _, arn := range sortedKeys(tx.Region.TargetGroups) {
		tg := tx.Region.TargetGroups[arn]
		if len(wanted) > 0 && !wanted[tg.ARN] && !wanted[tg.Name] {
			continue
		}
		if lb := balancerOf(tx, tg); in.LoadBalancerArn != "" && (lb == nil || lb.ARN != in.LoadBalancerArn) {
			continue
		}
		found = append(found, describeTargetGroup(tx, tg))
	}
	if len(found) < len(wanted) {
		return nil, wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
	}
	page, next, err := core.Page(tx, found, func(tg TargetGroup) string { return tg.TargetGroupArn }, in.PageSize, 400, in.Marker)
	if err != nil {
		return nil, err
	}
	return &DescribeTargetGroupsOutput{TargetGroups: page, NextMarker: next}, nil
}

// ModifyTargetGroup changes the health check.
func ModifyTargetGroup(tx *core.Tx, in *ModifyTargetGroupInput) (*ModifyTargetGroupOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	check, err := changedCheck(tg.Check, in)
	if err != nil {
		return nil, err
	}
	tg.Check = check
	tx.Changed()
	return &ModifyTargetGroupOutput{TargetGroups: []TargetGroup{describeTargetGroup(tx, tg)}}, nil
}

// DeleteTargetGroup deletes a target group that no listener uses. One that is not there is no error.
func DeleteTargetGroup(tx *core.Tx, in *DeleteTargetGroupInput) (*DeleteTargetGroupOutput, error) {
	tg := tx.Region.TargetGroups[in.TargetGroupArn]
	if tg == nil {
		return &DeleteTargetGroupOutput{}, nil
	}
	if balancerOf(tx, tg) != nil {
		return nil, wire.Errorf("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", tg.ARN)
	}
	delete(tx.Region.TargetGroups, tg.ARN)
	tx.Changed()
	return &DeleteTargetGroupOutput{}, nil
}
