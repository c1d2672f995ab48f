package ec2

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func noGroup(id string) error {
	return wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

// CreateSecurityGroup makes a group that lets everything out and nothing in.
func CreateSecurityGroup(tx *core.Tx, in *CreateSecurityGroupInput) (*CreateSecurityGroupOutput, error) {
	if in.GroupName == "" {
		return nil, missing("groupName")
	}
	if in.Description == "" {
		return nil, missing("groupDescription")
	}
	if strings.HasPrefix(in.GroupName, "sg-") || in.GroupName == "default" {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid.", in.GroupName)
	}
	vpc := in.VpcId
	if vpc == "" {
		v := defaultVpc(tx)
		if v == nil {
			return nil, wire.Errorf("VPCIdNotSpecified", "No default VPC for this user")
		}
		vpc = v.ID
	}
	if tx.Region.VPCs[vpc] == nil {
		return nil, noVpc(vpc)
	}
	if err := checkTags(in.TagSpecifications, "security-group"); err != nil {
		return nil, err
	}
	for _, g := range tx.Region.SecurityGroups {
		if g.VPCID == vpc && g.Name == in.GroupName {
			return nil, wire.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.GroupName, vpc)
		}
	}
	g := &state.SecurityGroup{
		ID: tx.ID("sg"), Name: in.GroupName, Description: in.Description, VPCID: vpc,
		Tags: tagsFor("security-group", in.TagSpecifications),
	}
	g.Egress = []state.Rule{{ID: tx.ID("sgr"), Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0"}}
	tx.Region.SecurityGroups[g.ID] = g
	return &CreateSecurityGroupOutput{Return: true, GroupId: g.ID, SecurityGroupArn: tx.ARN("ec2", "security-group/"+g.ID), Tags: tagList(g.Tags)}, nil
}

func findGroup(tx *core.Tx, id, name string) (*state.SecurityGroup, error) {
	if id == "" && name == "" {
		return nil, missing("GroupName or GroupId")
	}
	if id != "" {
		if g := tx.Region.SecurityGroups[id]; g != nil {
			return g, nil
		}
		return nil, noGroup(id)
	}
	v := defaultVpc(tx)
	for _, g := range tx.Region.SecurityGroups {
		if v != nil && g.VPCID == v.ID && g.Name == name {
			return g, nil
		}
	}
	return nil, noGroup(name)
}

// DeleteSecurityGroup removes a group that nothing uses.
func DeleteSecurityGroup(tx *core.Tx, in *DeleteSecurityGroupInput) (*DeleteSecurityGroupOutput, error) {
	g, err := findGroup(tx, in.GroupId, in.GroupName)
	if err != nil {
		return nil, err
	}
	if g.Name == "default" {
		return nil, wire.Errorf("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.ID)
	}
	busy := wire.Errorf("DependencyViolation", "resource %s has a dependent object", g.ID)
	for _, i := range tx.Region.Instances {
		if i.State != "terminated" && slices.Contains(i.SecurityGroups, g.ID) {
			return nil, busy
		}
	}
	for _, lb := range tx.Region.LoadBalancers {
		if slices.Contains(lb.SecurityGroups, g.ID) {
			return nil, busy
		}
	}
	for _, d := range tx.Region.DBInstances {
		if slices.Contains(d.SecurityGroups, g.ID) {
			return nil, busy
		}
	}
	for _, other := range tx.Region.SecurityGroups {
		if other == g {
			continue
		}
		for _, r := range append(slices.Clone(other.Ingress), other.Egress...) {
			if r.Group == g.ID {
				return nil, busy
			}
		}
	}
	delete(tx.Region.SecurityGroups, g.ID)
	return &DeleteSecurityGroupOutput{Return: true, GroupId: g.ID}, nil
}

// DescribeSecurityGroups lists groups.
func DescribeSecurityGroups(tx *core.Tx, in *DescribeSecurityGroupsInput) (*DescribeSecurityGroupsOutput, error) {
	ids := slices.Clone(in.GroupIds)
	for _, name := range in.GroupNames {
		g, err := findGroup(tx, "", name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.ID)
	}
	list, err := pick(tx.Region.SecurityGroups, ids, noGroup)
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(g *state.SecurityGroup) state.Tags { return g.Tags }, func(g *state.SecurityGroup) attrs {
		a := attrs{
			"group-id": one(g.ID), "group-name": one(g.Name), "vpc-id": one(g.VPCID), "description": one(g.Description), "owner-id": one(tx.World.Account),
			"ip-permission.cidr": nil, "ip-permission.group-id": nil,
		}
		for _, r := range g.Ingress {
			if r.CIDR != "" {
				a["ip-permission.cidr"] = append(a["ip-permission.cidr"], r.CIDR)
			} else {
				a["ip-permission.group-id"] = append(a["ip-permission.group-id"], r.Group)
			}
		}
		return a
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(g *state.SecurityGroup) string { return g.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeSecurityGroupsOutput{NextToken: next}
	for _, g := range list {
		out.SecurityGroups = append(out.SecurityGroups, SecurityGroup{
			GroupId: g.ID, GroupName: g.Name, OwnerId: tx.World.Account, VpcId: g.VPCID, Description: g.Description,
			SecurityGroupArn: tx.ARN("ec2", "security-group/"+g.ID),
			IpPermissions:    showRules(tx, g.Ingress), IpPermissionsEgress: showRules(tx, g.Egress), Tags: tagList(g.Tags),
		})
	}
	return out, nil
}

// DescribeSecurityGroupRules lists rules by their own ids.
func DescribeSecurityGroupRules(tx *core.Tx, in *DescribeSecurityGroupRulesInput) (*DescribeSecurityGroupRulesOutput, error) {
	all := map[string]SecurityGroupRule{}
	for _, g := range tx.Region.SecurityGroups {
		for _, r := range g.Ingress {
			all[r.ID] = showRule(tx, g, r, false)
		}
		for _, r := range g.Egress {
			all[r.ID] = showRule(tx, g, r, true)
		}
	}
	list, err := pick(all, in.SecurityGroupRuleIds, func(id string) error {
		return wire.Errorf("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
	})
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(SecurityGroupRule) state.Tags { return nil }, func(r SecurityGroupRule) attrs {
		return attrs{"group-id": one(r.GroupId), "security-group-rule-id": one(r.SecurityGroupRuleId)}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(r SecurityGroupRule) string { return r.SecurityGroupRuleId }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeSecurityGroupRulesOutput{SecurityGroupRules: list, NextToken: next}, nil
}

// AuthorizeSecurityGroupIngress lets traffic in.
func AuthorizeSecurityGroupIngress(tx *core.Tx, in *SecurityGroupRulesInput) (*SecurityGroupRulesOutput, error) {
	return authorize(tx, in, false)
}

// AuthorizeSecurityGroupEgress lets traffic out.
func AuthorizeSecurityGroupEgress(tx *core.Tx, in *SecurityGroupRulesInput) (*SecurityGroupRulesOutput, error) {
	return authorize(tx, in, true)
}

// RevokeSecurityGroupIngress takes rules back, by id or by what they say.
func RevokeSecurityGroupIngress(tx *core.Tx, in *SecurityGroupRulesInput) (*SecurityGroupRulesOutput, error) {
	return revoke(tx, in, false)
}

// RevokeSecurityGroupEgress takes rules back, by id or by what they say.
func RevokeSecurityGroupEgress(tx *core.Tx, in *SecurityGroupRulesInput) (*SecurityGroupRulesOutput, error) {
	return revoke(tx, in, true)
}

func rulesOf(g *state.SecurityGroup, egress bool) *[]state.Rule {
	if egress {
		return &g.Egress
	}
	return &g.Ingress
}

func authorize(tx *core.Tx, in *SecurityGroupRulesInput, egress bool) (*SecurityGroupRulesOutput, error) {
	g, err := findGroup(tx, in.GroupId, in.GroupName)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSpecifications, "security-group-rule"); err != nil {
		return nil, err
	}
	rules, err := parseRules(tx, in)
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return nil, missing("ipPermissions")
	}
	have := rulesOf(g, egress)
	for k, r := range rules {
		for _, h := range append(slices.Clone(*have), rules[:k]...) {
			if same(h, r) {
				source := "peer: " + r.CIDR
				if r.Group != "" {
					source = "peer: " + r.Group
				}
				return nil, wire.Errorf("InvalidPermission.Duplicate", "the specified rule \"%s, %s, from port: %d, to port: %d, ALLOW\" already exists", source, strings.ToUpper(r.Protocol), r.From, r.To)
			}
		}
	}
	out := &SecurityGroupRulesOutput{Return: true}
	for _, r := range rules {
		r.ID = tx.ID("sgr")
		*have = append(*have, r)
		out.SecurityGroupRules = append(out.SecurityGroupRules, showRule(tx, g, r, egress))
	}
	return out, nil
}

func revoke(tx *core.Tx, in *SecurityGroupRulesInput, egress bool) (*SecurityGroupRulesOutput, error) {
	g, err := findGroup(tx, in.GroupId, in.GroupName)
	if err != nil {
		return nil, err
	}
	rules, err := parseRules(tx, in)
	if err != nil {
		return nil, err
	}
	have := rulesOf(g, egress)
	var gone []int
	find := func(match func(state.Rule) bool, what string) error {
		k := slices.IndexFunc(*have, match)
		if k < 0 {
			return wire.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group: %s", what)
		}
		gone = append(gone, k)
		return nil
	}
	for _, id := range in.SecurityGroupRuleIds {
		if err := find(func(r state.Rule) bool { return r.ID == id }, id); err != nil {
			return nil, err
		}
	}
	for _, want := range rules {
		if err := find(func(r state.Rule) bool { return same(r, want) }, want.Protocol+" "+want.CIDR+want.Group); err != nil {
			return nil, err
		}
	}
	var kept []state.Rule
	for k, r := range *have {
		if !slices.Contains(gone, k) {
			kept = append(kept, r)
		}
	}
	*have = kept
	return &SecurityGroupRulesOutput{Return: true}, nil
}

func same(a, b state.Rule) bool {
	return a.Protocol == b.Protocol && a.From == b.From && a.To == b.To && a.CIDR == b.CIDR && a.Group == b.Group
}

func parseRules(tx *core.Tx, in *SecurityGroupRulesInput) ([]state.Rule, error) {
	perms := in.IpPermissions
	if in.CidrIp != "" {
		perms = append(slices.Clone(perms), IpPermission{IpProtocol: in.IpProtocol, FromPort: in.FromPort, ToPort: in.ToPort, IpRanges: []IpRange{{CidrIp: in.CidrIp}}})
	}
	var rules []state.Rule
	for _, p := range perms {
		r := state.Rule{Protocol: strings.ToLower(p.IpProtocol), From: -1, To: -1}
		switch r.Protocol {
		case "6":
			r.Protocol = "tcp"
		case "17":
			r.Protocol = "udp"
		case "1":
			r.Protocol = "icmp"
		}
		switch r.Protocol {
		case "-1":
		case "tcp", "udp":
			if p.FromPort == nil || p.ToPort == nil {
				return nil, wire.Errorf("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
			}
			r.From, r.To = *p.FromPort, *p.ToPort
			if r.From < 0 || r.To > 65535 || r.From > r.To {
				return nil, wire.Errorf("InvalidParameterValue", "Invalid value '%d-%d' for portRange.", r.From, r.To)
			}
		case "icmp":
			if p.FromPort != nil && p.ToPort != nil {
				r.From, r.To = *p.FromPort, *p.ToPort
			}
		default:
			return nil, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", p.IpProtocol)
		}
		if len(p.Ipv6Ranges) > 0 {
			return nil, wire.Errorf("InvalidParameterValue", "CIDR block %s is malformed: the lab has no IPv6", p.Ipv6Ranges[0].CidrIpv6)
		}
		for _, s := range p.IpRanges {
			block, err := netip.ParsePrefix(s.CidrIp)
			if err != nil || !block.Addr().Is4() {
				return nil, wire.Errorf("InvalidParameterValue", "CIDR block %s is malformed", s.CidrIp)
			}
			x := r
			x.CIDR, x.Description = block.Masked().String(), s.Description
			rules = append(rules, x)
		}
		for _, s := range p.UserIdGroupPairs {
			src, err := findGroup(tx, s.GroupId, s.GroupName)
			if err != nil {
				return nil, err
			}
			x := r
			x.Group, x.Description = src.ID, s.Description
			rules = append(rules, x)
		}
	}
	return rules, nil
}

func showRule(tx *core.Tx, g *state.SecurityGroup, r state.Rule, egress bool) SecurityGroupRule {
	out := SecurityGroupRule{
		SecurityGroupRuleId: r.ID, GroupId: g.ID, GroupOwnerId: tx.World.Account, IsEgress: egress,
		IpProtocol: r.Protocol, FromPort: r.From, ToPort: r.To, CidrIpv4: r.CIDR, Description: r.Description,
	}
	if r.Group != "" {
		out.ReferencedGroupInfo = &ReferencedSecurityGroup{GroupId: r.Group, UserId: tx.World.Account}
	}
	return out
}

// showRules groups rules of one protocol and port range as EC2 does.
func showRules(tx *core.Tx, rules []state.Rule) []IpPermission {
	var out []IpPermission
	for _, r := range rules {
		k := slices.IndexFunc(out, func(p IpPermission) bool {
			from := int64(-1)
			to := int64(-1)
			if p.FromPort != nil {
				from, to = *p.FromPort, *p.ToPort
			}
			return p.IpProtocol == r.Protocol && from == r.From && to == r.To
		})
		if k < 0 {
			p := IpPermission{IpProtocol: r.Protocol}
			if r.Protocol != "-1" {
				p.FromPort, p.ToPort = &r.From, &r.To
			}
			out = append(out, p)
			k = len(out) - 1
		}
		if r.Group != "" {
			out[k].UserIdGroupPairs = append(out[k].UserIdGroupPairs, UserIdGroupPair{GroupId: r.Group, UserId: tx.World.Account, Description: r.Description})
		} else {
			out[k].IpRanges = append(out[k].IpRanges, IpRange{CidrIp: r.CIDR, Description: r.Description})
		}
	}
	return out
}

// Allowed says whether the ingress rules of any of the groups let a TCP
// connection from that source to that port in. sourceGroups are the security
// groups the source itself is in: rules that name one of them count, too.
func Allowed(tx *core.Tx, groups []string, sourceIP string, sourceGroups []string, port int) bool {
	ip, err := netip.ParseAddr(sourceIP)
	for _, id := range groups {
		g := tx.Region.SecurityGroups[id]
		if g == nil {
			continue
		}
		for _, r := range g.Ingress {
			if r.Protocol != "-1" && (r.Protocol != "tcp" || int64(port) < r.From || int64(port) > r.To) {
				continue
			}
			if r.Group != "" {
				if slices.Contains(sourceGroups, r.Group) {
					return true
				}
				continue
			}
			if block, perr := netip.ParsePrefix(r.CIDR); err == nil && perr == nil && block.Contains(ip) {
				return true
			}
		}
	}
	return false
}
