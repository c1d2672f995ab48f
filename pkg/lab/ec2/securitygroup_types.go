package ec2

// SecurityGroup as the API shows it.
type SecurityGroup struct {
	GroupId, GroupName, OwnerId, VpcId string
	SecurityGroupArn                   string
	Description                        string `wire:"groupDescription"`
	IpPermissions                      []IpPermission
	IpPermissionsEgress                []IpPermission
	Tags                               []Tag `wire:"tagSet"`
}

// IpPermission is a rule of one protocol and port range, with its sources.
type IpPermission struct {
	IpProtocol       string
	FromPort, ToPort *int64
	IpRanges         []IpRange
	UserIdGroupPairs []UserIdGroupPair `wire:"Groups"`
	Ipv6Ranges       []Ipv6Range
}

// IpRange is an IPv4 source.
type IpRange struct{ CidrIp, Description string }

// Ipv6Range is an IPv6 source: accepted and kept nowhere, for the lab has no IPv6.
type Ipv6Range struct{ CidrIpv6, Description string }

// UserIdGroupPair is a security group as source.
type UserIdGroupPair struct{ GroupId, GroupName, UserId, Description string }

// SecurityGroupRule is one rule with its own id.
type SecurityGroupRule struct {
	SecurityGroupRuleId, GroupId, GroupOwnerId string
	IsEgress                                   bool
	IpProtocol                                 string
	FromPort, ToPort                           int64
	CidrIpv4                                   string
	ReferencedGroupInfo                        *ReferencedSecurityGroup
	Description                                string
	Tags                                       []Tag `wire:"tagSet"`
}

// ReferencedSecurityGroup is the source of a rule.
type ReferencedSecurityGroup struct{ GroupId, UserId string }

// CreateSecurityGroupInput of CreateSecurityGroup.
type CreateSecurityGroupInput struct {
	GroupName         string
	Description       string `wire:"GroupDescription"`
	VpcId             string
	TagSpecifications []TagSpecification `wire:"TagSpecification"`
}

// CreateSecurityGroupOutput of CreateSecurityGroup.
type CreateSecurityGroupOutput struct {
	Return           bool
	GroupId          string
	SecurityGroupArn string
	Tags             []Tag `wire:"tagSet"`
}

// DeleteSecurityGroupInput of DeleteSecurityGroup.
type DeleteSecurityGroupInput struct{ GroupId, GroupName string }

// DeleteSecurityGroupOutput of DeleteSecurityGroup.
type DeleteSecurityGroupOutput struct {
	Return  bool
	GroupId string
}

// DescribeSecurityGroupsInput of DescribeSecurityGroups.
type DescribeSecurityGroupsInput struct {
	GroupIds   []string `wire:"GroupId"`
	GroupNames []string `wire:"GroupName"`
	Filters    []Filter `wire:"Filter"`
	MaxResults *int64
	NextToken  string
}

// DescribeSecurityGroupsOutput of DescribeSecurityGroups.
type DescribeSecurityGroupsOutput struct {
	SecurityGroups []SecurityGroup `wire:"securityGroupInfo"`
	NextToken      string
}

// DescribeSecurityGroupRulesInput of DescribeSecurityGroupRules.
type DescribeSecurityGroupRulesInput struct {
	SecurityGroupRuleIds []string `wire:"SecurityGroupRuleId"`
	Filters              []Filter `wire:"Filter"`
	MaxResults           *int64
	NextToken            string
}

// DescribeSecurityGroupRulesOutput of DescribeSecurityGroupRules.
type DescribeSecurityGroupRulesOutput struct {
	SecurityGroupRules []SecurityGroupRule `wire:"securityGroupRuleSet"`
	NextToken          string
}

// SecurityGroupRulesInput of AuthorizeSecurityGroupIngress, …Egress, RevokeSecurityGroupIngress and …Egress.
type SecurityGroupRulesInput struct {
	GroupId, GroupName   string
	IpPermissions        []IpPermission
	CidrIp, IpProtocol   string
	FromPort, ToPort     *int64
	SecurityGroupRuleIds []string           `wire:"SecurityGroupRuleId"`
	TagSpecifications    []TagSpecification `wire:"TagSpecification"`
}

// SecurityGroupRulesOutput answers them.
type SecurityGroupRulesOutput struct {
	Return             bool
	SecurityGroupRules []SecurityGroupRule `wire:"securityGroupRuleSet"`
}
