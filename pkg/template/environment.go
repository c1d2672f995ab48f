package template

import (
	"fmt"

	"github.com/awslabs/goformation/v7/cloudformation/autoscaling"
	"github.com/awslabs/goformation/v7/cloudformation/ec2"
	"github.com/awslabs/goformation/v7/cloudformation/elasticloadbalancingv2"
	"github.com/awslabs/goformation/v7/cloudformation/route53"
	"github.com/awslabs/goformation/v7/cloudformation/tags"
)

// Shape is what an environment's template is built for. Everything else that
// differs between environments is a parameter.
type Shape struct {
	Site     string
	Region   string // that it is for; "": any but us-east-1
	Zones    int    // availability zones, each with a subnet and an Elastic IP
	UserData string // of the instances, "" is none
	Watch    Watch
	Database bool // whether there may be a database
}

// Times of the roll. PauseTime is how long CloudFormation waits for the signals
// of new instances; the chain's own boot deadline MUST be shorter.
const (
	PauseTime    = "PT15M"
	drainSeconds = 180
)

// Logical ids that the chain asks for.
const (
	GroupID          = "Group"
	TargetGroupID    = "TargetGroup"
	LaunchTemplateID = "LaunchTemplate"
	LoadBalancerID   = "LoadBalancer"
	RecordID         = "Record"
)

// AddressID is the logical id of the Elastic IP of zone n, counted from 1.
func AddressID(n int) string { return fmt.Sprintf("Address%d", n) }

// Environment is the template of an environment: Route 53 record, Elastic IPs,
// network load balancer, group of instances of one image, alarms.
func Environment(s Shape) *Template {
	t := &Template{Description: fmt.Sprintf("%s: a page behind a network load balancer, served by a group of instances of one image", s.Site)}
	parameters(t)
	network(t, s)
	balancer(t, s)
	group(t, s)
	record(t, s)
	watch(t, s)
	outside(t, s)
	outputs(t, s)
	if s.Database {
		databaseParameters(t)
		database(t, s)
		databaseOutputs(t)
	}
	return t
}

func parameters(t *Template) {
	none := NotBaked
	t.Parameters = []Parameter{
		{
			ID: "ImageId", Type: "AWS::EC2::Image::Id", Default: &none,
			Description: "The image. Its default is what runs; it is written by the chain and never sent.",
		},
		{ID: "InstanceType", Type: "String", Description: "Type of the instances"},
		{ID: "DesiredCapacity", Type: "Number", MinValue: 1, MaxValue: 50, Description: "Number of instances; an update starts as many new ones at once"},
		{ID: "MinSize", Type: "Number", MinValue: 1, MaxValue: 50, Description: "Least number of instances"},
		{ID: "MaxSize", Type: "Number", MinValue: 2, MaxValue: 100, Description: "Most instances, at least twice DesiredCapacity"},
		{
			ID: "Domain", Type: "String", AllowedPattern: `[a-z0-9.-]+[a-z0-9]`,
			ConstraintDescription: "a domain name without a dot at its end", Description: "Domain name of the page",
		},
		{
			ID: "ZoneName", Type: "String", AllowedPattern: `[a-z0-9.-]+[a-z0-9]`,
			ConstraintDescription: "a domain name without a dot at its end", Description: "Hosted zone that holds Domain; it exists already",
		},
		{ID: "Certificate", Type: "String", Description: "ARN of a certificate for port 443, or nothing"},
	}
	t.Conditions = []Condition{{"HasCertificate", Not(Equals(Ref("Certificate"), ""))}}
}

// name tags a resource so that a person finds it in a list.
func name(what string) []tags.Tag {
	return []tags.Tag{{Key: "Name", Value: Sub("${AWS::StackName} " + what)}}
}

func network(t *Template, s Shape) {
	t.Add("Vpc", &ec2.VPC{
		CidrBlock: new("10.0.0.0/16"), EnableDnsSupport: new(true), EnableDnsHostnames: new(true), Tags: name("vpc"),
	})
	t.Add("Gateway", &ec2.InternetGateway{Tags: name("gateway")})
	t.Add("GatewayAttachment", &ec2.VPCGatewayAttachment{VpcId: Ref("Vpc"), InternetGatewayId: new(Ref("Gateway"))})
	t.Add("Routes", &ec2.RouteTable{VpcId: Ref("Vpc"), Tags: name("routes")})
	t.Add("DefaultRoute", &ec2.Route{
		RouteTableId: Ref("Routes"), DestinationCidrBlock: new("0.0.0.0/0"), GatewayId: new(Ref("Gateway")),
	}).DependsOn = []string{"GatewayAttachment"}
	for i := range s.Zones {
		subnet := fmt.Sprintf("Subnet%d", i+1)
		// No public address: nobody outside reaches an instance but through the balancer.
		t.Add(subnet, &ec2.Subnet{
			VpcId: Ref("Vpc"), CidrBlock: new(fmt.Sprintf("10.0.%d.0/24", i)), AvailabilityZone: new(Select(i, GetAZs())),
			MapPublicIpOnLaunch: new(false), Tags: name(fmt.Sprintf("public %d", i+1)),
		})
		t.Add(subnet+"Routes", &ec2.SubnetRouteTableAssociation{SubnetId: Ref(subnet), RouteTableId: Ref("Routes")})
	}
	for i := range s.Zones {
		address := t.Add(AddressID(i+1), &ec2.EIP{Domain: new("vpc"), Tags: name(fmt.Sprintf("address %d", i+1))})
		address.DependsOn = []string{"GatewayAttachment"}
		// An address that others were told must not go because a template changed.
		address.DeletionPolicy, address.UpdateReplacePolicy = "Delete", "Retain"
	}
	t.Add("BalancerSecurityGroup", &ec2.SecurityGroup{
		GroupDescription: "Load balancer", VpcId: new(Ref("Vpc")), Tags: name("balancer"),
		SecurityGroupIngress: []ec2.SecurityGroup_Ingress{{
			Description: new("Anybody to the page"), IpProtocol: "tcp", FromPort: new(80), ToPort: new(80), CidrIp: new("0.0.0.0/0"),
		}},
		SecurityGroupEgress: []ec2.SecurityGroup_Egress{{
			Description: new("The page and its health check"), IpProtocol: "tcp", FromPort: new(80), ToPort: new(80), CidrIp: new(GetAtt("Vpc", "CidrBlock")),
		}},
	})
	t.Add("TlsIngress", &ec2.SecurityGroupIngress{
		GroupId: new(GetAtt("BalancerSecurityGroup", "GroupId")), Description: new("Anybody to the page by TLS"),
		IpProtocol: "tcp", FromPort: new(443), ToPort: new(443), CidrIp: new("0.0.0.0/0"),
	}).Condition = "HasCertificate"
	t.Add("InstanceSecurityGroup", &ec2.SecurityGroup{
		GroupDescription: "Instances", VpcId: new(Ref("Vpc")), Tags: name("instance"),
		SecurityGroupIngress: []ec2.SecurityGroup_Ingress{{
			Description: new("The load balancer alone"), IpProtocol: "tcp", FromPort: new(80), ToPort: new(80),
			SourceSecurityGroupId: new(GetAtt("BalancerSecurityGroup", "GroupId")),
		}},
		// Without a rule EC2 would allow everything. The image is complete: an
		// instance has nothing to fetch and nobody to call.
		SecurityGroupEgress: []ec2.SecurityGroup_Egress{{
			Description: new("Nowhere"), IpProtocol: "-1", CidrIp: new("127.0.0.1/32"),
		}},
	})
}

func balancer(t *Template, s Shape) {
	var mappings []elasticloadbalancingv2.LoadBalancer_SubnetMapping
	for i := range s.Zones {
		mappings = append(mappings, elasticloadbalancingv2.LoadBalancer_SubnetMapping{
			SubnetId: Ref(fmt.Sprintf("Subnet%d", i+1)), AllocationId: new(GetAtt(AddressID(i+1), "AllocationId")),
		})
	}
	t.Add(LoadBalancerID, &elasticloadbalancingv2.LoadBalancer{
		Type: new("network"), Scheme: new("internet-facing"), IpAddressType: new("ipv4"),
		SecurityGroups: []string{GetAtt("BalancerSecurityGroup", "GroupId")}, SubnetMappings: mappings,
		// DNS names the addresses of all zones at all times, also of one whose instances are gone.
		LoadBalancerAttributes: []elasticloadbalancingv2.LoadBalancer_LoadBalancerAttribute{
			{Key: new("load_balancing.cross_zone.enabled"), Value: new("true")},
		},
		Tags: name("balancer"),
	})
	t.Add(TargetGroupID, &elasticloadbalancingv2.TargetGroup{
		VpcId: new(Ref("Vpc")), TargetType: new("instance"), Protocol: new("TCP"), Port: new(80),
		HealthCheckProtocol: new("HTTP"), HealthCheckPath: new("/"), HealthCheckPort: new("traffic-port"),
		Matcher:                    &elasticloadbalancingv2.TargetGroup_Matcher{HttpCode: new("200")},
		HealthCheckIntervalSeconds: new(10), HealthCheckTimeoutSeconds: new(6), HealthyThresholdCount: new(2), UnhealthyThresholdCount: new(2),
		TargetGroupAttributes: []elasticloadbalancingv2.TargetGroup_TargetGroupAttribute{
			{Key: new("deregistration_delay.timeout_seconds"), Value: new("120")},
		},
		Tags: name("targets"),
	})
	forward := []elasticloadbalancingv2.Listener_Action{{Type: "forward", TargetGroupArn: new(Ref(TargetGroupID))}}
	t.Add("Listener", &elasticloadbalancingv2.Listener{
		LoadBalancerArn: Ref(LoadBalancerID), Protocol: new("TCP"), Port: new(80), DefaultActions: forward,
	})
	t.Add("TlsListener", &elasticloadbalancingv2.Listener{
		LoadBalancerArn: Ref(LoadBalancerID), Protocol: new("TLS"), Port: new(443), DefaultActions: forward,
		Certificates: []elasticloadbalancingv2.Listener_Certificate{{CertificateArn: new(Ref("Certificate"))}},
		SslPolicy:    new("ELBSecurityPolicy-TLS13-1-2-2021-06"),
	}).Condition = "HasCertificate"
}

func group(t *Template, s Shape) {
	data := &ec2.LaunchTemplate_LaunchTemplateData{
		ImageId: new(Ref("ImageId")), InstanceType: new(Ref("InstanceType")),
		SecurityGroupIds: []string{GetAtt("InstanceSecurityGroup", "GroupId")},
		MetadataOptions: &ec2.LaunchTemplate_MetadataOptions{
			HttpEndpoint: new("enabled"), HttpTokens: new("required"), HttpPutResponseHopLimit: new(1),
		},
		// How busy they are is told each minute, not every five: alarms look that often.
		Monitoring: &ec2.LaunchTemplate_Monitoring{Enabled: new(true)},
		BlockDeviceMappings: []ec2.LaunchTemplate_BlockDeviceMapping{{
			DeviceName: new("/dev/xvda"),
			Ebs:        &ec2.LaunchTemplate_Ebs{Encrypted: new(true), VolumeType: new("gp3"), DeleteOnTermination: new(true)},
		}},
		TagSpecifications: []ec2.LaunchTemplate_TagSpecification{
			{ResourceType: new("instance"), Tags: name("instance")},
			{ResourceType: new("volume"), Tags: name("instance")},
		},
	}
	if s.UserData != "" {
		data.UserData = new(Base64(s.UserData))
	}
	t.Add(LaunchTemplateID, &ec2.LaunchTemplate{LaunchTemplateData: data})

	var subnets []string
	for i := range s.Zones {
		subnets = append(subnets, Ref(fmt.Sprintf("Subnet%d", i+1)))
	}
	g := t.Add(GroupID, &autoscaling.AutoScalingGroup{
		VPCZoneIdentifier: subnets,
		LaunchTemplate: &autoscaling.AutoScalingGroup_LaunchTemplateSpecification{
			LaunchTemplateId: new(Ref(LaunchTemplateID)), Version: GetAtt(LaunchTemplateID, "LatestVersionNumber"),
		},
		DesiredCapacity: new(Ref("DesiredCapacity")), MinSize: Ref("MinSize"), MaxSize: Ref("MaxSize"),
		TargetGroupARNs: []string{Ref(TargetGroupID)},
		HealthCheckType: new("ELB"), HealthCheckGracePeriod: new(300),
		MetricsCollection: []autoscaling.AutoScalingGroup_MetricsCollection{{
			Granularity: "1Minute", Metrics: []string{"GroupDesiredCapacity", "GroupInServiceInstances"},
		}},
		// The balancer sends new connections for minutes after a target was taken
		// out; the instance goes on serving them for that long.
		LifecycleHookSpecificationList: []autoscaling.AutoScalingGroup_LifecycleHookSpecification{{
			LifecycleHookName: "drain", LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
			HeartbeatTimeout: new(drainSeconds), DefaultResult: new("CONTINUE"),
		}},
	})
	// Without listener and route a target stays unused and never gets healthy.
	g.DependsOn = []string{"Listener", "DefaultRoute"}
	for i := range s.Zones {
		g.DependsOn = append(g.DependsOn, fmt.Sprintf("Subnet%dRoutes", i+1))
	}
	g.Signals = &Signals{Count: Ref("DesiredCapacity"), Timeout: PauseTime}
	// One batch: all new instances are up and signalled before an old one goes.
	g.Rolling = &RollingUpdate{
		MaxBatchSize: Ref("DesiredCapacity"), MinInstancesInService: Ref("DesiredCapacity"), MinSuccessfulInstancesPercent: 100,
		PauseTime: PauseTime, WaitOnResourceSignals: true,
		SuspendProcesses: []string{"HealthCheck", "ReplaceUnhealthy", "AZRebalance", "AlarmNotification", "ScheduledActions"},
	}
}

func record(t *Template, s Shape) {
	var addresses []string
	for i := range s.Zones {
		addresses = append(addresses, Ref(AddressID(i+1)))
	}
	// Last to come and first to go: the name never leads nowhere.
	t.Add(RecordID, &route53.RecordSet{
		HostedZoneName: new(Sub("${ZoneName}.")), Name: Sub("${Domain}."), Type: "A", TTL: new("60"), ResourceRecords: addresses,
	}).DependsOn = []string{GroupID}
}

func outputs(t *Template, s Shape) {
	var addresses []string
	for i := range s.Zones {
		addresses = append(addresses, Ref(AddressID(i+1)))
	}
	t.Outputs = []Output{
		{ID: "Url", Description: "The page", Value: Sub("http://${Domain}/")},
		{ID: "Addresses", Description: "Elastic IP addresses of the page", Value: Join(",", addresses...)},
		{ID: "GroupName", Description: "Auto Scaling group", Value: Ref(GroupID)},
		{ID: "TargetGroup", Description: "Target group", Value: Ref(TargetGroupID)},
		{ID: "TopicArn", Description: "Topic of the page, which wakes somebody", Value: Ref(TopicID)},
		{ID: "TicketsArn", Description: "Topic of all other alarms", Value: Ref(TicketsID)},
		{ID: "Dashboard", Description: "What to open first", Value: Sub("https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards/dashboard/${Dashboard}")},
	}
}
