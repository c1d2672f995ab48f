package facts_test

import "strings"

// say is a template that any account can hold: a topic with a name to change,
// a dashboard that refuses what is no JSON, and parts.
func say(parts ...string) string {
	return `
Parameters:
  Say: {Type: String, Default: one}
  Body: {Type: String, Default: '{"widgets":[]}'}
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: {DisplayName: !Ref Say}
  Board:
    Type: AWS::CloudWatch::Dashboard
    DependsOn: Topic
    Properties: {DashboardBody: !Ref Body}
` + strings.Join(parts, "\n")
}

// broken is what no dashboard takes.
const broken = "no JSON"

// gate is a resource that waits for a signal for a minute, and then fails.
func gate(id string) string {
	return "  " + id + `:
    Type: AWS::CloudFormation::WaitCondition
    DependsOn: Board
    CreationPolicy: {ResourceSignal: {Count: 1, Timeout: PT1M}}
`
}

// yard is a VPC: as long as somebody else's subnet is in it, it cannot be deleted.
const yard = `  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: 10.9.0.0/16}
`

// squat puts a subnet of another stack into the VPC.
func (s *stack) squat(cidr string) *stack {
	s.Helper()
	return s.made("squatter", `
Resources:
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: `+s.physical("Vpc")+`, CidrBlock: `+cidr+`}
`)
}

// roll is a template with a group that rolls.
const roll = `
Parameters:
  ImageId: {Type: "AWS::EC2::Image::Id"}
  Desired: {Type: Number, Default: 2}
  Least: {Type: Number, Default: 1}
  Max: {Type: Number, Default: 4}
  Batch: {Type: Number, Default: 2}
  InService: {Type: Number, Default: 2}
  Percent: {Type: Number, Default: 100}
  Wait: {Type: String, Default: "true"}
  Pause: {Type: String, Default: PT5M}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: 10.8.0.0/16}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc, CidrBlock: 10.8.1.0/24, AvailabilityZone: !Select [0, !GetAZs ""]}
  Lt:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData: {ImageId: !Ref ImageId, InstanceType: t3.micro}
  Asg:
    Type: AWS::AutoScaling::AutoScalingGroup
    CreationPolicy:
      ResourceSignal: {Count: !Ref Desired, Timeout: PT10M}
    UpdatePolicy:
      AutoScalingRollingUpdate:
        MaxBatchSize: !Ref Batch
        MinInstancesInService: !Ref InService
        MinSuccessfulInstancesPercent: !Ref Percent
        WaitOnResourceSignals: !Ref Wait
        PauseTime: !Ref Pause
        SuspendProcesses: [HealthCheck, ReplaceUnhealthy, AZRebalance]
    Properties:
      LaunchTemplate: {LaunchTemplateId: !Ref Lt, Version: !GetAtt Lt.LatestVersionNumber}
      MinSize: !Ref Least
      MaxSize: !Ref Max
      DesiredCapacity: !Ref Desired
      VPCZoneIdentifier: [!Ref Subnet]
`

// balanced is a load balancer on two Elastic IPs with a group of two behind it, without signals.
func balanced() string {
	return `
Parameters:
  ImageId: {Type: String, Default: ""}
  Desired: {Type: Number, Default: 2}
Conditions:
  Grouped: !Not [!Equals [!Ref ImageId, ""]]
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.6.0.0/16}}
  Gateway: {Type: AWS::EC2::InternetGateway}
  Attached: {Type: AWS::EC2::VPCGatewayAttachment, Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway}}
  Routes: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Vpc}}
  Out: {Type: AWS::EC2::Route, DependsOn: Attached, Properties: {RouteTableId: !Ref Routes, DestinationCidrBlock: 0.0.0.0/0, GatewayId: !Ref Gateway}}
  SubnetA: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.6.1.0/24, AvailabilityZone: !Select [0, !GetAZs ""], MapPublicIpOnLaunch: true}}
  SubnetB: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.6.2.0/24, AvailabilityZone: !Select [1, !GetAZs ""], MapPublicIpOnLaunch: true}}
  JoinA: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {SubnetId: !Ref SubnetA, RouteTableId: !Ref Routes}}
  JoinB: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {SubnetId: !Ref SubnetB, RouteTableId: !Ref Routes}}
  AddressA: {Type: AWS::EC2::EIP, DependsOn: Attached, Properties: {Domain: vpc}}
  AddressB: {Type: AWS::EC2::EIP, DependsOn: Attached, Properties: {Domain: vpc}}
  Front:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupDescription: balancer, VpcId: !Ref Vpc, SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0}]}
  Back:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupDescription: machines, VpcId: !Ref Vpc, SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, SourceSecurityGroupId: !Ref Front}]}
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    DependsOn: Out
    Properties: {Type: network, Scheme: internet-facing, SecurityGroups: [!Ref Front], SubnetMappings: [{SubnetId: !Ref SubnetA, AllocationId: !GetAtt AddressA.AllocationId}, {SubnetId: !Ref SubnetB, AllocationId: !GetAtt AddressB.AllocationId}]}
  Targets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {VpcId: !Ref Vpc, Protocol: TCP, Port: 80, HealthCheckProtocol: HTTP, HealthCheckPath: /, Matcher: {HttpCode: "200"}, HealthCheckIntervalSeconds: 10, HealthyThresholdCount: 2, UnhealthyThresholdCount: 2}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties: {LoadBalancerArn: !Ref Balancer, Port: 80, Protocol: TCP, DefaultActions: [{Type: forward, TargetGroupArn: !Ref Targets}]}
  Lt:
    Type: AWS::EC2::LaunchTemplate
    Condition: Grouped
    Properties: {LaunchTemplateData: {ImageId: !Ref ImageId, InstanceType: t3.micro, SecurityGroupIds: [!Ref Back]}}
  Asg:
    Type: AWS::AutoScaling::AutoScalingGroup
    Condition: Grouped
    DependsOn: Listener
    Properties:
      LaunchTemplate: {LaunchTemplateId: !Ref Lt, Version: !GetAtt Lt.LatestVersionNumber}
      MinSize: "0"
      MaxSize: "8"
      DesiredCapacity: !Ref Desired
      VPCZoneIdentifier: [!Ref SubnetA, !Ref SubnetB]
      TargetGroupARNs: [!Ref Targets]
Outputs:
  A: {Value: !Ref AddressA}
  B: {Value: !Ref AddressB}
  AllocationA: {Value: !GetAtt AddressA.AllocationId}
  Name: {Value: !GetAtt Balancer.DNSName}
  Arn: {Value: !Ref Balancer}
`
}
