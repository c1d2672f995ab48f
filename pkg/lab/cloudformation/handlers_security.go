package cloudformation

import (
	"errors"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers["AWS::EC2::SecurityGroup"] = securityGroupHandler()
	handlers["AWS::EC2::SecurityGroupIngress"] = ruleHandler(false)
	handlers["AWS::EC2::SecurityGroupEgress"] = ruleHandler(true)
}

// permission is one rule of a template as EC2 takes it.
func permission(p properties, egress bool) (ec2.IpPermission, error) {
	out := ec2.IpPermission{IpProtocol: p.text("IpProtocol"), FromPort: p.number("FromPort"), ToPort: p.number("ToPort")}
	group := p.text("SourceSecurityGroupId")
	if egress {
		group = p.text("DestinationSecurityGroupId")
	}
	description := p.text("Description")
	switch {
	case p.text("CidrIp") != "":
		out.IpRanges = []ec2.IpRange{{CidrIp: p.text("CidrIp"), Description: description}}
	case group != "":
		out.UserIdGroupPairs = []ec2.UserIdGroupPair{{GroupId: group, Description: description}}
	case p.text("CidrIpv6") != "":
		out.Ipv6Ranges = []ec2.Ipv6Range{{CidrIpv6: p.text("CidrIpv6"), Description: description}}
	default:
		return out, errors.New("a rule needs CidrIp, CidrIpv6 or the id of a security group (this lab has no prefix lists and no EC2-Classic)")
	}
	return out, nil
}

func authorize(tx *core.Tx, group string, egress bool, add bool, rules ...ec2.IpPermission) (*ec2.SecurityGroupRulesOutput, error) {
	in := &ec2.SecurityGroupRulesInput{GroupId: group, IpPermissions: rules}
	switch {
	case egress && add:
		return ec2.AuthorizeSecurityGroupEgress(tx, in)
	case egress:
		return ec2.RevokeSecurityGroupEgress(tx, in)
	case add:
		return ec2.AuthorizeSecurityGroupIngress(tx, in)
	}
	return ec2.RevokeSecurityGroupIngress(tx, in)
}

// everything is the egress rule of a group whose template names none.
var everything = map[string]any{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}

func rulesOf(p properties, egress bool) []properties {
	if !egress {
		return p.maps("SecurityGroupIngress")
	}
	if rules := p.maps("SecurityGroupEgress"); len(rules) > 0 {
		return rules
	}
	return []properties{everything}
}

// rewrite brings the rules of a group from old to now: first what goes, then what comes.
func rewrite(tx *core.Tx, group string, old, now properties, egress bool) error {
	key := func(p properties) string { return compact(texts(map[string]any(p))) }
	before, after := rulesOf(old, egress), rulesOf(now, egress)
	in := func(list []properties, p properties) bool {
		return slices.ContainsFunc(list, func(x properties) bool { return key(x) == key(p) })
	}
	for _, p := range before {
		if in(after, p) {
			continue
		}
		rule, err := permission(p, egress)
		if err != nil {
			return err
		}
		if _, err := authorize(tx, group, egress, false, rule); err != nil && !notFound(err) {
			return err
		}
	}
	for _, p := range after {
		if in(before, p) {
			continue
		}
		rule, err := permission(p, egress)
		if err != nil {
			return err
		}
		var e *wire.Error
		if _, err := authorize(tx, group, egress, true, rule); err != nil && (!errors.As(err, &e) || e.Code != "InvalidPermission.Duplicate") {
			return err
		}
	}
	return nil
}

func securityGroupHandler() *handler {
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			for _, egress := range []bool{false, true} {
				for _, p := range rulesOf(c.props, egress) {
					if _, err := permission(p, egress); err != nil {
						return "", err
					}
				}
			}
			out, err := ec2.CreateSecurityGroup(tx, &ec2.CreateSecurityGroupInput{
				GroupName: c.named("GroupName", 255), Description: c.props.text("GroupDescription"), VpcId: c.props.text("VpcId"),
				TagSpecifications: ec2.Specify("security-group", c.merged()),
			})
			if err != nil {
				return "", err
			}
			// A new group lets everything out; what the template says replaces that.
			return out.GroupId, errors.Join(
				rewrite(tx, out.GroupId, nil, c.props, false),
				rewrite(tx, out.GroupId, properties{}, c.props, true),
			)
		},
		update: func(tx *core.Tx, c *call) error {
			g := tx.Region.SecurityGroups[c.id]
			if g == nil {
				return wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", c.id)
			}
			return errors.Join(
				rewrite(tx, c.id, c.old, c.props, false), rewrite(tx, c.id, c.old, c.props, true), retagEC2(tx, c, c.id, g.Tags),
			)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := ec2.DeleteSecurityGroup(tx, &ec2.DeleteSecurityGroupInput{GroupId: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{"GroupId": c.id, "Id": c.id}
			if g := tx.Region.SecurityGroups[c.id]; g != nil {
				out["VpcId"] = g.VPCID
			}
			return out
		},
		live: liveGroup,
	}
}

// liveGroup reads a group's rules back in the form of the template, without those
// that other resources of the stack attached: CloudFormation looks for attachments
// in the template before it compares.
func liveGroup(tx *core.Tx, c *call) (map[string]any, bool) {
	g := tx.Region.SecurityGroups[c.id]
	if g == nil {
		return nil, false
	}
	attached := func(rule string) bool {
		for _, res := range c.stack.Resources {
			if rule != "" && res.PhysicalID == rule {
				return true
			}
		}
		return false
	}
	read := func(rules []state.Rule, source string) []any {
		out := []any{}
		for _, r := range rules {
			if attached(r.ID) {
				continue
			}
			m := map[string]any{"IpProtocol": r.Protocol}
			if r.Protocol != "-1" {
				m["FromPort"], m["ToPort"] = float64(r.From), float64(r.To)
			}
			if r.CIDR != "" {
				m["CidrIp"] = r.CIDR
			} else {
				m[source] = r.Group
			}
			if r.Description != "" {
				m["Description"] = r.Description
			}
			out = append(out, m)
		}
		return out
	}
	return map[string]any{
		"GroupDescription":     g.Description,
		"SecurityGroupIngress": read(g.Ingress, "SourceSecurityGroupId"),
		"SecurityGroupEgress":  read(g.Egress, "DestinationSecurityGroupId"),
	}, true
}

func ruleHandler(egress bool) *handler {
	has := func(tx *core.Tx, c *call) bool {
		g := tx.Region.SecurityGroups[c.props.text("GroupId")]
		if g == nil {
			return false
		}
		return slices.ContainsFunc(slices.Concat(g.Ingress, g.Egress), func(r state.Rule) bool { return r.ID == c.id })
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			rule, err := permission(c.props, egress)
			if err != nil {
				return "", err
			}
			out, err := authorize(tx, c.props.text("GroupId"), egress, true, rule)
			if err != nil {
				return "", err
			}
			if len(out.SecurityGroupRules) == 0 {
				return "", reason("EC2 made no rule")
			}
			return out.SecurityGroupRules[0].SecurityGroupRuleId, nil
		},
		update: func(tx *core.Tx, c *call) error {
			old, err := permission(c.old, egress)
			if err != nil {
				return err
			}
			now, err := permission(c.props, egress)
			if err != nil {
				return err
			}
			// Only a description can change: the rule keeps its id.
			for _, r := range groupRules(tx, c.props.text("GroupId"), egress) {
				if r.ID == c.id {
					r.Description = c.props.text("Description")
					tx.Changed()
					return nil
				}
			}
			if _, err := authorize(tx, c.props.text("GroupId"), egress, false, old); err != nil && !notFound(err) {
				return err
			}
			_, err = authorize(tx, c.props.text("GroupId"), egress, true, now)
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			if !has(tx, c) {
				return nil
			}
			in := &ec2.SecurityGroupRulesInput{GroupId: c.props.text("GroupId"), SecurityGroupRuleIds: []string{c.id}}
			var err error
			if egress {
				_, err = ec2.RevokeSecurityGroupEgress(tx, in)
			} else {
				_, err = ec2.RevokeSecurityGroupIngress(tx, in)
			}
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Id": c.id} },
		live:       func(tx *core.Tx, c *call) (map[string]any, bool) { return map[string]any{}, has(tx, c) },
	}
}

func groupRules(tx *core.Tx, group string, egress bool) []*state.Rule {
	g := tx.Region.SecurityGroups[group]
	if g == nil {
		return nil
	}
	list := g.Ingress
	if egress {
		list = g.Egress
	}
	var out []*state.Rule
	for i := range list {
		out = append(out, &list[i])
	}
	return out
}
