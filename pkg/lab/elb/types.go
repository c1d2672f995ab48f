package elb

import "time"

// Tag of a resource.
type Tag struct{ Key, Value string }

// SubnetMapping puts a load balancer into a subnet, with an Elastic IP if wanted.
type SubnetMapping struct{ SubnetId, AllocationId, PrivateIPv4Address string }

// CreateLoadBalancerInput asks for a Network Load Balancer: Type MUST be "network".
type CreateLoadBalancerInput struct {
	Name           string
	Subnets        []string
	SubnetMappings []SubnetMapping
	SecurityGroups []string
	Scheme         string // "internet-facing" (default) or "internal"
	Type           string
	IpAddressType  string
	Tags           []Tag
}

// LoadBalancer as the API describes it.
type LoadBalancer struct {
	LoadBalancerArn       string
	DNSName               string
	CanonicalHostedZoneId string
	CreatedTime           time.Time
	LoadBalancerName      string
	Scheme                string
	VpcId                 string
	State                 LoadBalancerState
	Type                  string
	AvailabilityZones     []AvailabilityZone
	SecurityGroups        []string
	IpAddressType         string
}

// LoadBalancerState is "provisioning", "active" or "failed", with a reason.
type LoadBalancerState struct{ Code, Reason string }

// AvailabilityZone is one zone of a load balancer.
type AvailabilityZone struct {
	ZoneName, SubnetId    string
	LoadBalancerAddresses []LoadBalancerAddress
}

// LoadBalancerAddress is a static address of a load balancer.
type LoadBalancerAddress struct{ IpAddress, AllocationId, PrivateIPv4Address string }

// CreateLoadBalancerOutput holds the one new load balancer.
type CreateLoadBalancerOutput struct{ LoadBalancers []LoadBalancer }

// DescribeLoadBalancersInput selects by ARNs or names; neither means all.
type DescribeLoadBalancersInput struct {
	LoadBalancerArns []string
	Names            []string
	Marker           string
	PageSize         *int64
}

// DescribeLoadBalancersOutput is one page.
type DescribeLoadBalancersOutput struct {
	LoadBalancers []LoadBalancer
	NextMarker    string
}

// DeleteLoadBalancerInput names what goes, its listeners with it.
type DeleteLoadBalancerInput struct{ LoadBalancerArn string }

// DeleteLoadBalancerOutput is empty.
type DeleteLoadBalancerOutput struct{}

// SetSubnetsInput replaces the zones of a load balancer.
type SetSubnetsInput struct {
	LoadBalancerArn string
	Subnets         []string
	SubnetMappings  []SubnetMapping
	IpAddressType   string
}

// SetSubnetsOutput is what the zones are now.
type SetSubnetsOutput struct {
	AvailabilityZones []AvailabilityZone
	IpAddressType     string
}

// SetSecurityGroupsInput replaces the security groups of a load balancer that was made with some.
type SetSecurityGroupsInput struct {
	LoadBalancerArn string
	SecurityGroups  []string
}

// SetSecurityGroupsOutput is what the groups are now.
type SetSecurityGroupsOutput struct{ SecurityGroupIds []string }

// Attribute of a load balancer or target group.
type Attribute struct{ Key, Value string }

// ModifyLoadBalancerAttributesInput sets some attributes.
type ModifyLoadBalancerAttributesInput struct {
	LoadBalancerArn string
	Attributes      []Attribute
}

// ModifyLoadBalancerAttributesOutput holds all attributes as they are now.
type ModifyLoadBalancerAttributesOutput struct{ Attributes []Attribute }

// DescribeLoadBalancerAttributesInput names the load balancer.
type DescribeLoadBalancerAttributesInput struct{ LoadBalancerArn string }

// DescribeLoadBalancerAttributesOutput holds all attributes.
type DescribeLoadBalancerAttributesOutput struct{ Attributes []Attribute }

// Action of a listener; the lab knows "forward" to one target group.
type Action struct {
	Type           string
	TargetGroupArn string
	Order          *int64
	ForwardConfig  *ForwardConfig
}

// ForwardConfig is the other way to name the target group.
type ForwardConfig struct{ TargetGroups []TargetGroupTuple }

// TargetGroupTuple is a weighted target group.
type TargetGroupTuple struct {
	TargetGroupArn string
	Weight         *int64
}

// Certificate of a TLS listener.
type Certificate struct {
	CertificateArn string
	IsDefault      *bool
}

// CreateListenerInput asks for a TCP or TLS listener.
type CreateListenerInput struct {
	LoadBalancerArn string
	Protocol        string
	Port            *int64
	SslPolicy       string
	Certificates    []Certificate
	DefaultActions  []Action
	AlpnPolicy      []string
	Tags            []Tag
}

// Listener as the API describes it.
type Listener struct {
	ListenerArn     string
	LoadBalancerArn string
	Port            int64
	Protocol        string
	Certificates    []Certificate
	SslPolicy       string
	DefaultActions  []Action
}

// CreateListenerOutput holds the one new listener.
type CreateListenerOutput struct{ Listeners []Listener }

// DescribeListenersInput selects by load balancer or by listener ARNs.
type DescribeListenersInput struct {
	LoadBalancerArn string
	ListenerArns    []string
	Marker          string
	PageSize        *int64
}

// DescribeListenersOutput is one page.
type DescribeListenersOutput struct {
	Listeners  []Listener
	NextMarker string
}

// ModifyListenerInput changes what is given.
type ModifyListenerInput struct {
	ListenerArn    string
	Port           *int64
	Protocol       string
	SslPolicy      string
	Certificates   []Certificate
	DefaultActions []Action
	AlpnPolicy     []string
}

// ModifyListenerOutput holds the listener as it is now.
type ModifyListenerOutput struct{ Listeners []Listener }

// DeleteListenerInput names the listener.
type DeleteListenerInput struct{ ListenerArn string }

// DeleteListenerOutput is empty.
type DeleteListenerOutput struct{}

// Matcher of HTTP answers: "200", "200,301", "200-399".
type Matcher struct{ HttpCode, GrpcCode string }

// CreateTargetGroupInput asks for a target group of instances.
type CreateTargetGroupInput struct {
	Name                       string
	Protocol                   string // "TCP" or "TLS"
	ProtocolVersion            string
	Port                       *int64
	VpcId                      string
	HealthCheckProtocol        string
	HealthCheckPort            string
	HealthCheckEnabled         *bool
	HealthCheckPath            string
	HealthCheckIntervalSeconds *int64
	HealthCheckTimeoutSeconds  *int64
	HealthyThresholdCount      *int64
	UnhealthyThresholdCount    *int64
	Matcher                    *Matcher
	TargetType                 string
	IpAddressType              string
	Tags                       []Tag
}

// TargetGroup as the API describes it.
type TargetGroup struct {
	TargetGroupArn             string
	TargetGroupName            string
	Protocol                   string
	Port                       int64
	VpcId                      string
	HealthCheckProtocol        string
	HealthCheckPort            string
	HealthCheckEnabled         bool
	HealthCheckIntervalSeconds int64
	HealthCheckTimeoutSeconds  int64
	HealthyThresholdCount      int64
	UnhealthyThresholdCount    int64
	HealthCheckPath            string
	Matcher                    *Matcher
	LoadBalancerArns           []string
	TargetType                 string
	IpAddressType              string
}

// CreateTargetGroupOutput holds the one new target group.
type CreateTargetGroupOutput struct{ TargetGroups []TargetGroup }

// DescribeTargetGroupsInput selects by load balancer, ARNs or names; none means all.
type DescribeTargetGroupsInput struct {
	LoadBalancerArn string
	TargetGroupArns []string
	Names           []string
	Marker          string
	PageSize        *int64
}

// DescribeTargetGroupsOutput is one page.
type DescribeTargetGroupsOutput struct {
	TargetGroups []TargetGroup
	NextMarker   string
}

// ModifyTargetGroupInput changes the health check as far as given.
type ModifyTargetGroupInput struct {
	TargetGroupArn             string
	HealthCheckProtocol        string
	HealthCheckPort            string
	HealthCheckPath            string
	HealthCheckEnabled         *bool
	HealthCheckIntervalSeconds *int64
	HealthCheckTimeoutSeconds  *int64
	HealthyThresholdCount      *int64
	UnhealthyThresholdCount    *int64
	Matcher                    *Matcher
}

// ModifyTargetGroupOutput holds the target group as it is now.
type ModifyTargetGroupOutput struct{ TargetGroups []TargetGroup }

// DeleteTargetGroupInput names the target group, which no listener may use.
type DeleteTargetGroupInput struct{ TargetGroupArn string }

// DeleteTargetGroupOutput is empty.
type DeleteTargetGroupOutput struct{}

// ModifyTargetGroupAttributesInput sets some attributes.
type ModifyTargetGroupAttributesInput struct {
	TargetGroupArn string
	Attributes     []Attribute
}

// ModifyTargetGroupAttributesOutput holds all attributes as they are now.
type ModifyTargetGroupAttributesOutput struct{ Attributes []Attribute }

// DescribeTargetGroupAttributesInput names the target group.
type DescribeTargetGroupAttributesInput struct{ TargetGroupArn string }

// DescribeTargetGroupAttributesOutput holds all attributes.
type DescribeTargetGroupAttributesOutput struct{ Attributes []Attribute }

// TargetDescription names a target: instance id, and a port if not the group's.
type TargetDescription struct {
	Id               string
	Port             *int64
	AvailabilityZone string
}

// RegisterTargetsInput adds targets.
type RegisterTargetsInput struct {
	TargetGroupArn string
	Targets        []TargetDescription
}

// RegisterTargetsOutput is empty.
type RegisterTargetsOutput struct{}

// DeregisterTargetsInput drains and removes targets.
type DeregisterTargetsInput struct {
	TargetGroupArn string
	Targets        []TargetDescription
}

// DeregisterTargetsOutput is empty.
type DeregisterTargetsOutput struct{}

// DescribeTargetHealthInput asks for some targets or all.
type DescribeTargetHealthInput struct {
	TargetGroupArn string
	Targets        []TargetDescription
	Include        []string
}

// DescribeTargetHealthOutput tells the targets' health.
type DescribeTargetHealthOutput struct {
	TargetHealthDescriptions []TargetHealthDescription
}

// TargetHealthDescription is one target's health.
type TargetHealthDescription struct {
	Target          TargetDescription
	HealthCheckPort string
	TargetHealth    TargetHealth
}

// TargetHealth has State initial, healthy, unhealthy, draining, unused or unavailable.
type TargetHealth struct{ State, Reason, Description string }

// AddTagsInput tags load balancers, listeners and target groups.
type AddTagsInput struct {
	ResourceArns []string
	Tags         []Tag
}

// AddTagsOutput is empty.
type AddTagsOutput struct{}

// RemoveTagsInput takes tags away.
type RemoveTagsInput struct {
	ResourceArns []string
	TagKeys      []string
}

// RemoveTagsOutput is empty.
type RemoveTagsOutput struct{}

// DescribeTagsInput names resources.
type DescribeTagsInput struct{ ResourceArns []string }

// DescribeTagsOutput holds their tags.
type DescribeTagsOutput struct{ TagDescriptions []TagDescription }

// TagDescription is one resource's tags.
type TagDescription struct {
	ResourceArn string
	Tags        []Tag
}
