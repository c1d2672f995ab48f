package elb

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const defaultSSLPolicy = "ELBSecurityPolicy-2016-08"

// forwardTo is the one target group of a listener's actions.
func forwardTo(tx *core.Tx, actions []Action) (*state.TargetGroup, error) {
	if len(actions) != 1 || actions[0].Type != "forward" {
		return nil, wire.Errorf("InvalidLoadBalancerAction", "A listener of a Network Load Balancer must have exactly one default action of type 'forward'")
	}
	arn := actions[0].TargetGroupArn
	if f := actions[0].ForwardConfig; f != nil {
		if len(f.TargetGroups) != 1 || arn != "" && arn != f.TargetGroups[0].TargetGroupArn {
			return nil, wire.Errorf("InvalidLoadBalancerAction", "A listener of a Network Load Balancer must forward to exactly one target group")
		}
		arn = f.TargetGroups[0].TargetGroupArn
	}
	tg := tx.Region.TargetGroups[arn]
	if tg == nil {
		return nil, wire.Errorf("TargetGroupNotFound", "Target group '%s' not found", arn)
	}
	return tg, nil
}

// checkListener says whether l could be a listener as it stands. self is its ARN, "" for a new one.
func checkListener(tx *core.Tx, lb *state.LoadBalancer, tg *state.TargetGroup, l *state.Listener, self string) error {
	switch {
	case l.Protocol != "TCP" && l.Protocol != "TLS":
		return wire.Errorf("ValidationError", "The lab has listeners of protocol 'TCP' and 'TLS' only, not '%s'", l.Protocol)
	case l.Port < 1 || l.Port > 65535:
		return wire.Errorf("ValidationError", "Port '%d' is not valid: it must be between 1 and 65535", l.Port)
	case l.Protocol == "TLS" && len(l.Certificates) == 0:
		return wire.Errorf("ValidationError", "A certificate must be specified for TLS listeners")
	case l.Protocol == "TCP" && (len(l.Certificates) > 0 || l.SSLPolicy != ""):
		return wire.Errorf("InvalidConfigurationRequest", "Certificates and SSL policies cannot be specified for TCP listeners")
	case tg.VPCID != lb.VPCID:
		return wire.Errorf("InvalidConfigurationRequest", "The following target groups are not in VPC '%s' of the load balancer: '%s'", lb.VPCID, tg.ARN)
	case l.Protocol == "TCP" && tg.Protocol != "TCP":
		return wire.Errorf("IncompatibleProtocols", "The target group '%s' with protocol %s cannot be used by a listener with protocol %s", tg.ARN, tg.Protocol, l.Protocol)
	}
	for arn, other := range tx.Region.Listeners {
		if arn == self {
			continue
		}
		if other.LoadBalancer == lb.ARN && other.Port == l.Port {
			return wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", lb.ARN)
		}
		if other.TargetGroup == tg.ARN && other.LoadBalancer != lb.ARN {
			return wire.Errorf("TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: %s", tg.ARN)
		}
	}
	return nil
}

func certificateARNs(in []Certificate) []string {
	var out []string
	for _, c := range in {
		out = append(out, c.CertificateArn)
	}
	return out
}

// CreateListener makes a listener; the same one again is found.
func CreateListener(tx *core.Tx, in *CreateListenerInput) (*CreateListenerOutput, error) {
	lb, err := balancer(tx, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	tg, err := forwardTo(tx, in.DefaultActions)
	if err != nil {
		return nil, err
	}
	l := &state.Listener{
		LoadBalancer: lb.ARN, Port: number(in.Port, 0), Protocol: in.Protocol, TargetGroup: tg.ARN,
		Certificates: certificateARNs(in.Certificates), SSLPolicy: in.SslPolicy, ALPN: slices.Clone(in.AlpnPolicy), Tags: toTags(in.Tags),
	}
	if l.Protocol == "TLS" && l.SSLPolicy == "" {
		l.SSLPolicy = defaultSSLPolicy
	}
	for _, other := range tx.Region.Listeners {
		if other.LoadBalancer == lb.ARN && other.Port == l.Port && other.Protocol == l.Protocol &&
			other.TargetGroup == l.TargetGroup && other.SSLPolicy == l.SSLPolicy && slices.Equal(other.Certificates, l.Certificates) {
			return &CreateListenerOutput{Listeners: []Listener{describeListener(other)}}, nil
		}
	}
	if err := checkListener(tx, lb, tg, l, ""); err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(lb.ARN, ":loadbalancer/")
	l.ARN = tx.ARN("elasticloadbalancing", "listener/"+name+"/"+core.Hex(16))
	tx.Region.Listeners[l.ARN] = l
	tx.Changed()
	return &CreateListenerOutput{Listeners: []Listener{describeListener(l)}}, nil
}

func describeListener(l *state.Listener) Listener {
	order, weight := int64(1), int64(1)
	out := Listener{
		ListenerArn: l.ARN, LoadBalancerArn: l.LoadBalancer, Port: l.Port, Protocol: l.Protocol, SslPolicy: l.SSLPolicy,
		DefaultActions: []Action{{
			Type: "forward", TargetGroupArn: l.TargetGroup, Order: &order,
			ForwardConfig: &ForwardConfig{TargetGroups: []TargetGroupTuple{{TargetGroupArn: l.TargetGroup, Weight: &weight}}},
		}},
	}
	for _, c := range l.Certificates {
		out.Certificates = append(out.Certificates, Certificate{CertificateArn: c})
	}
	return out
}

func listener(tx *core.Tx, arn string) (*state.Listener, error) {
	if l := tx.Region.Listeners[arn]; l != nil {
		return l, nil
	}
	return nil, wire.Errorf("ListenerNotFound", "One or more listeners not found")
}

// DescribeListeners lists listeners of a load balancer, or by ARN.
func DescribeListeners(tx *core.Tx, in *DescribeListenersInput) (*DescribeListenersOutput, error) {
	var found []Listener
	switch {
	case len(in.ListenerArns) > 0:
		for _, arn := range in.ListenerArns {
			l, err := listener(tx, arn)
			if err != nil {
				return nil, err
			}
			found = append(found, describeListener(l))
		}
	case in.LoadBalancerArn == "":
		return nil, wire.Errorf("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
	default:
		if _, err := balancer(tx, in.LoadBalancerArn); err != nil {
			return nil, err
		}
		for _, arn := range sortedKeys(tx.Region.Listeners) {
			if l := tx.Region.Listeners[arn]; l.LoadBalancer == in.LoadBalancerArn {
				found = append(found, describeListener(l))
			}
		}
	}
	page, next, err := core.Page(tx, found, func(l Listener) string { return l.ListenerArn }, in.PageSize, 400, in.Marker)
	if err != nil {
		return nil, err
	}
	return &DescribeListenersOutput{Listeners: page, NextMarker: next}, nil
}

// ModifyListener changes what is given.
func ModifyListener(tx *core.Tx, in *ModifyListenerInput) (*ModifyListenerOutput, error) {
	l, err := listener(tx, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	lb, err := balancer(tx, l.LoadBalancer)
	if err != nil {
		return nil, err
	}
	next := *l
	next.Port = number(in.Port, l.Port)
	if in.Protocol != "" {
		next.Protocol = in.Protocol
	}
	if next.Protocol == "TCP" {
		next.Certificates, next.SSLPolicy = nil, ""
	}
	if in.Certificates != nil {
		next.Certificates = certificateARNs(in.Certificates)
	}
	if in.SslPolicy != "" {
		next.SSLPolicy = in.SslPolicy
	} else if next.Protocol == "TLS" && next.SSLPolicy == "" {
		next.SSLPolicy = defaultSSLPolicy
	}
	if in.AlpnPolicy != nil {
		next.ALPN = slices.Clone(in.AlpnPolicy)
	}
	tg := tx.Region.TargetGroups[l.TargetGroup]
	if len(in.DefaultActions) > 0 {
		if tg, err = forwardTo(tx, in.DefaultActions); err != nil {
			return nil, err
		}
		next.TargetGroup = tg.ARN
	}
	if err := checkListener(tx, lb, tg, &next, l.ARN); err != nil {
		return nil, err
	}
	*l = next
	tx.Changed()
	return &ModifyListenerOutput{Listeners: []Listener{describeListener(l)}}, nil
}

// DeleteListener deletes a listener; its target group stays, unused.
func DeleteListener(tx *core.Tx, in *DeleteListenerInput) (*DeleteListenerOutput, error) {
	if _, err := listener(tx, in.ListenerArn); err != nil {
		return nil, err
	}
	delete(tx.Region.Listeners, in.ListenerArn)
	tx.Changed()
	return &DeleteListenerOutput{}, nil
}
