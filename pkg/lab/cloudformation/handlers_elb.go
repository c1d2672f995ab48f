package cloudformation

import (
	"errors"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers["AWS::ElasticLoadBalancingV2::LoadBalancer"] = loadBalancerHandler()
	handlers["AWS::ElasticLoadBalancingV2::TargetGroup"] = targetGroupHandler()
	handlers["AWS::ElasticLoadBalancingV2::Listener"] = listenerHandler()
}

func elbTags(t state.Tags) []elb.Tag {
	var out []elb.Tag
	for k, v := range t {
		out = append(out, elb.Tag{Key: k, Value: v})
	}
	return out
}

func retagELB(tx *core.Tx, c *call, now state.Tags) error {
	want := c.merged()
	var gone []string
	for k := range now {
		if _, keep := want[k]; !keep {
			gone = append(gone, k)
		}
	}
	if len(gone) > 0 {
		if _, err := elb.RemoveTags(tx, &elb.RemoveTagsInput{ResourceArns: []string{c.id}, TagKeys: gone}); err != nil {
			return err
		}
	}
	_, err := elb.AddTags(tx, &elb.AddTagsInput{ResourceArns: []string{c.id}, Tags: elbTags(want)})
	return err
}

// elbAttributes are the attributes a template names, and for those it names no
// longer what they were before the template named any.
func elbAttributes(c *call, property string, defaults map[string]string) []elb.Attribute {
	var out []elb.Attribute
	named := map[string]bool{}
	for _, a := range c.props.maps(property) {
		named[a.text("Key")] = true
		out = append(out, elb.Attribute{Key: a.text("Key"), Value: a.text("Value")})
	}
	for _, a := range c.old.maps(property) {
		k := a.text("Key")
		if v, ok := defaults[k]; ok && !named[k] {
			out = append(out, elb.Attribute{Key: k, Value: v})
		}
	}
	return out
}

var loadBalancerDefaults = map[string]string{
	"deletion_protection.enabled": "false", "load_balancing.cross_zone.enabled": "false",
	"dns_record.client_routing_policy": "any_availability_zone", "access_logs.s3.enabled": "false",
}

var targetGroupDefaults = map[string]string{
	"deregistration_delay.timeout_seconds": "300", "deregistration_delay.connection_termination.enabled": "false",
	"preserve_client_ip.enabled": "true", "proxy_protocol_v2.enabled": "false", "stickiness.enabled": "false",
	"stickiness.type": "source_ip", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
}

// suffix is what follows a word in an ARN: "net/web/50dc6c495c0c9188" after ":loadbalancer/".
func suffix(arn, word string) string {
	_, after, _ := strings.Cut(arn, word)
	return after
}

func loadBalancerHandler() *handler {
	attributes := func(tx *core.Tx, c *call) error {
		list := elbAttributes(c, "LoadBalancerAttributes", loadBalancerDefaults)
		if len(list) == 0 {
			return nil
		}
		_, err := elb.ModifyLoadBalancerAttributes(tx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: c.id, Attributes: list})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &elb.CreateLoadBalancerInput{Tags: elbTags(c.merged())}
			if err := assign(in, c.props, "Tags", "LoadBalancerAttributes"); err != nil {
				return "", err
			}
			if in.Name == "" {
				in.Name = c.shortName()
			}
			out, err := elb.CreateLoadBalancer(tx, in)
			if err != nil {
				return "", err
			}
			c.id = out.LoadBalancers[0].LoadBalancerArn
			return c.id, attributes(tx, c)
		},
		stable: func(tx *core.Tx, c *call) (bool, error) {
			lb := tx.Region.LoadBalancers[c.id]
			switch {
			case lb == nil:
				return false, wire.Errorf("LoadBalancerNotFound", "Load balancer '%s' not found", c.id)
			case lb.State == "failed":
				return false, reason("Load balancer " + c.id + " failed to become active")
			}
			return lb.State == "active" || lb.State == "active_impaired", nil
		},
		update: func(tx *core.Tx, c *call) error {
			lb := tx.Region.LoadBalancers[c.id]
			if lb == nil {
				return wire.Errorf("LoadBalancerNotFound", "Load balancer '%s' not found", c.id)
			}
			if c.changed("Subnets", "SubnetMappings") {
				in := &elb.SetSubnetsInput{LoadBalancerArn: c.id, Subnets: c.props.texts("Subnets")}
				for _, m := range c.props.maps("SubnetMappings") {
					mapping := elb.SubnetMapping{}
					if err := assign(&mapping, m); err != nil {
						return err
					}
					in.SubnetMappings = append(in.SubnetMappings, mapping)
				}
				if _, err := elb.SetSubnets(tx, in); err != nil {
					return err
				}
			}
			if c.changed("SecurityGroups") {
				if _, err := elb.SetSecurityGroups(tx, &elb.SetSecurityGroupsInput{LoadBalancerArn: c.id, SecurityGroups: c.props.texts("SecurityGroups")}); err != nil {
					return err
				}
			}
			if c.changed("IpAddressType") {
				return reason("IpAddressType cannot be changed in this lab")
			}
			return errors.Join(attributes(tx, c), retagELB(tx, c, lb.Tags))
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := elb.DeleteLoadBalancer(tx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"LoadBalancerArn": c.id, "LoadBalancerFullName": suffix(c.id, ":loadbalancer/")}
			if lb := tx.Region.LoadBalancers[c.id]; lb != nil {
				out["DNSName"], out["CanonicalHostedZoneID"], out["LoadBalancerName"] = lb.DNSName, lb.ZoneID, lb.Name
				out["SecurityGroups"] = list(lb.SecurityGroups)
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			lb := tx.Region.LoadBalancers[c.id]
			if lb == nil {
				return nil, false
			}
			return map[string]any{
				"SecurityGroups": list(lb.SecurityGroups), "Scheme": lb.Scheme, "Type": lb.Type,
				"LoadBalancerAttributes": liveAttributes(c, "LoadBalancerAttributes", lb.Attributes),
			}, true
		},
	}
}

// liveAttributes are the present values of the attributes that the template names.
func liveAttributes(c *call, property string, now map[string]string) []any {
	out := []any{}
	for _, a := range c.props.maps(property) {
		out = append(out, map[string]any{"Key": a.text("Key"), "Value": now[a.text("Key")]})
	}
	return out
}

// forgotten gives parts of the health check that the template names no longer their defaults.
func forgotten(c *call, in *elb.ModifyTargetGroupInput) error {
	defaults := properties{
		"HealthCheckProtocol": "TCP", "HealthCheckPort": "traffic-port", "HealthCheckEnabled": true, "HealthCheckIntervalSeconds": 30,
		"HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2,
	}
	protocol := c.props.text("HealthCheckProtocol")
	if http := protocol == "HTTP" || protocol == "HTTPS"; http {
		defaults["HealthCheckPath"], defaults["Matcher"] = "/", map[string]any{"HttpCode": "200-399"}
	}
	defaults["HealthCheckTimeoutSeconds"] = 10
	if protocol == "HTTP" {
		defaults["HealthCheckTimeoutSeconds"] = 6
	}
	missing := properties{}
	for k, v := range defaults {
		if c.old.has(k) && !c.props.has(k) {
			missing[k] = v
		}
	}
	return assign(in, missing)
}

func targetGroupHandler() *handler {
	attributes := func(tx *core.Tx, c *call) error {
		list := elbAttributes(c, "TargetGroupAttributes", targetGroupDefaults)
		if len(list) == 0 {
			return nil
		}
		_, err := elb.ModifyTargetGroupAttributes(tx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: c.id, Attributes: list})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &elb.CreateTargetGroupInput{Tags: elbTags(c.merged())}
			if err := assign(in, c.props, "Tags", "TargetGroupAttributes", "Targets"); err != nil {
				return "", err
			}
			if len(c.props.list("Targets")) > 0 {
				return "", reason("Encountered unsupported property Targets (this lab registers the instances of Auto Scaling groups)")
			}
			if in.Name == "" {
				in.Name = c.shortName()
			}
			out, err := elb.CreateTargetGroup(tx, in)
			if err != nil {
				return "", err
			}
			c.id = out.TargetGroups[0].TargetGroupArn
			return c.id, attributes(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			tg := tx.Region.TargetGroups[c.id]
			if tg == nil {
				return wire.Errorf("TargetGroupNotFound", "Target group '%s' not found", c.id)
			}
			in := &elb.ModifyTargetGroupInput{TargetGroupArn: c.id}
			err := assign(in, c.props, "Tags", "TargetGroupAttributes", "Targets", "Name", "Protocol", "ProtocolVersion", "Port", "VpcId", "TargetType", "IpAddressType")
			if err != nil {
				return err
			}
			if err := forgotten(c, in); err != nil {
				return err
			}
			if c.changed("HealthCheckProtocol", "HealthCheckPort", "HealthCheckPath", "HealthCheckEnabled", "HealthCheckIntervalSeconds",
				"HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher") {
				if _, err := elb.ModifyTargetGroup(tx, in); err != nil {
					return err
				}
			}
			return errors.Join(attributes(tx, c), retagELB(tx, c, tg.Tags))
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := elb.DeleteTargetGroup(tx, &elb.DeleteTargetGroupInput{TargetGroupArn: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"TargetGroupArn": c.id, "TargetGroupFullName": "targetgroup/" + suffix(c.id, ":targetgroup/"), "LoadBalancerArns": []any{}}
			if tg := tx.Region.TargetGroups[c.id]; tg != nil {
				out["TargetGroupName"] = tg.Name
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			tg := tx.Region.TargetGroups[c.id]
			if tg == nil {
				return nil, false
			}
			h := tg.Check
			return map[string]any{
				"Protocol": tg.Protocol, "Port": float64(tg.Port), "HealthCheckProtocol": h.Protocol, "HealthCheckPort": h.Port,
				"HealthCheckPath": h.Path, "HealthCheckEnabled": h.Enabled, "HealthCheckIntervalSeconds": h.Interval.Seconds(),
				"HealthCheckTimeoutSeconds": h.Timeout.Seconds(), "HealthyThresholdCount": float64(h.HealthyAfter),
				"UnhealthyThresholdCount": float64(h.UnhealthyAfter), "Matcher": map[string]any{"HttpCode": h.Matcher},
				"TargetGroupAttributes": liveAttributes(c, "TargetGroupAttributes", tg.Attributes),
			}, true
		},
	}
}

func listenerHandler() *handler {
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &elb.CreateListenerInput{Tags: elbTags(c.tags)}
			if err := assign(in, c.props); err != nil {
				return "", err
			}
			out, err := elb.CreateListener(tx, in)
			if err != nil {
				return "", err
			}
			return out.Listeners[0].ListenerArn, nil
		},
		update: func(tx *core.Tx, c *call) error {
			in := &elb.ModifyListenerInput{ListenerArn: c.id}
			if err := assign(in, c.props, "LoadBalancerArn"); err != nil {
				return err
			}
			_, err := elb.ModifyListener(tx, in)
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := elb.DeleteListener(tx, &elb.DeleteListenerInput{ListenerArn: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"ListenerArn": c.id} },
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			l := tx.Region.Listeners[c.id]
			if l == nil {
				return nil, false
			}
			return map[string]any{"Port": float64(l.Port), "Protocol": l.Protocol}, true
		},
	}
}
