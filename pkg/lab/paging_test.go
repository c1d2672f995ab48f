package lab_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	labrds "github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// pageSize of the lab, in which there are at least three of everything.
const pageSize = 2

func smallPages(o *lab.Options) {
	o.PageSize = pageSize
	o.Domains = []string{"a.example", "b.example", "c.example"}
}

// crowd is a template that makes three of everything.
func crowd(image string, subnets []string, vpc string) string {
	type m = map[string]any
	resources := m{}
	ref := func(name string, n int) m { return m{"Ref": fmt.Sprint(name, n)} }
	for n := range 3 {
		add := func(name, kind string, properties m) {
			resources[fmt.Sprint(name, n)] = m{"Type": kind, "Properties": properties}
		}
		add("Vpc", "AWS::EC2::VPC", m{"CidrBlock": fmt.Sprintf("10.%d.0.0/16", n)})
		add("Gateway", "AWS::EC2::InternetGateway", m{})
		add("Template", "AWS::EC2::LaunchTemplate", m{"LaunchTemplateData": m{"ImageId": image, "InstanceType": "t3.micro"}})
		add("Group", "AWS::AutoScaling::AutoScalingGroup", m{
			"MinSize": "1", "MaxSize": "1", "VPCZoneIdentifier": subnets,
			"LaunchTemplate": m{"LaunchTemplateId": ref("Template", n), "Version": "1"},
			"Tags":           []m{{"Key": "n", "Value": strconv.Itoa(n), "PropagateAtLaunch": true}},
		})
		add("Balancer", "AWS::ElasticLoadBalancingV2::LoadBalancer", m{"Type": "network", "Scheme": "internal", "Subnets": subnets})
		add("Targets", "AWS::ElasticLoadBalancingV2::TargetGroup", m{"Protocol": "TCP", "Port": 80, "VpcId": vpc})
		resources[fmt.Sprint("Listener", n)] = m{"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": m{
			"LoadBalancerArn": ref("Balancer", 0), "Protocol": "TCP", "Port": 80 + n, "DefaultActions": []m{{"Type": "forward", "TargetGroupArn": ref("Targets", n)}},
		}}
		add("Role", "AWS::IAM::Role", m{"AssumeRolePolicyDocument": m{"Version": "2012-10-17", "Statement": []m{{"Effect": "Allow", "Principal": m{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}}})
		add("Profile", "AWS::IAM::InstanceProfile", m{"Roles": []m{ref("Role", 0)}})
		add("Topic", "AWS::SNS::Topic", m{})
		add("Subscription", "AWS::SNS::Subscription", m{"TopicArn": ref("Topic", 0), "Protocol": "email", "Endpoint": fmt.Sprintf("%d@hello.example", n)})
		add("Log", "AWS::Logs::LogGroup", m{})
		add("Alarm", "AWS::CloudWatch::Alarm", m{"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"})
		add("Dashboard", "AWS::CloudWatch::Dashboard", m{"DashboardBody": `{"widgets":[]}`})
		add("Record", "AWS::Route53::RecordSet", m{"HostedZoneName": "a.example.", "Name": fmt.Sprintf("%d.a.example.", n), "Type": "A", "TTL": "60", "ResourceRecords": []string{"192.0.2.1"}})
		add("Places", "AWS::RDS::DBSubnetGroup", m{"DBSubnetGroupDescription": "d", "SubnetIds": subnets})
		add("Settings", "AWS::RDS::DBParameterGroup", m{"Description": "d", "Family": "postgres17", "Parameters": m{"a": "1", "b": "2", "c": "3"}})
		add("Database", "AWS::RDS::DBInstance", m{
			"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": "20", "MasterUsername": "chain", "MasterUserPassword": "secret-one",
			"DBSubnetGroupName": ref("Places", n), "DBParameterGroupName": ref("Settings", 0),
		})
		add("Parameter", "AWS::SSM::Parameter", m{"Type": "String", "Value": strconv.Itoa(n)})
	}
	outputs := m{}
	for n := range 3 {
		outputs[fmt.Sprint("Export", n)] = m{"Value": fmt.Sprint(n), "Export": m{"Name": fmt.Sprint("export-", n)}}
	}
	b, err := json.Marshal(m{"Resources": resources, "Outputs": outputs})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// pager gives the items of the next page, and whether one follows.
type pager func(t *testing.T) (items []any, more bool)

// following is an SDK paginator as a pager; list is the field of the output that holds the items.
func following(list string, paginator any) pager {
	p := reflect.ValueOf(paginator)
	return func(t *testing.T) ([]any, bool) {
		t.Helper()
		got := p.MethodByName("NextPage").Call([]reflect.Value{reflect.ValueOf(t.Context())})
		err, _ := got[1].Interface().(error)
		require.NoError(t, err)
		var items []any
		found := got[0].Elem().FieldByName(list)
		for k := range found.Len() {
			items = append(items, found.Index(k).Interface())
		}
		return items, p.MethodByName("HasMorePages").Call(nil)[0].Bool()
	}
}

// walk follows a pager to its end: full pages, no item twice. between happens after each page.
func walk(t *testing.T, next pager, between func()) (seen []string) {
	t.Helper()
	for more := true; more; {
		var page []any
		page, more = next(t)
		assert.LessOrEqual(t, len(page), pageSize)
		if more {
			assert.Len(t, page, pageSize, "only the last page is short")
		}
		for _, x := range page {
			b, err := json.Marshal(x)
			require.NoError(t, err)
			seen = append(seen, string(b))
		}
		require.Less(t, len(seen), 1000, "it never ends")
		between()
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(seen))), len(seen), "an item came twice")
	return seen
}

func make3(t *testing.T, l *lab.Lab, config aws.Config) {
	t.Helper()
	ctx := t.Context()
	var vpc string
	var subnets []string
	for n := range 3 {
		_, err := l.AddImage(labtest.Region, fmt.Sprint("image-", n), "x", nil)
		require.NoError(t, err)
	}
	l.Core().View(labtest.Region, func(tx *core.Tx) {
		for _, s := range tx.Region.Subnets {
			subnets, vpc = append(subnets, s.ID), s.VPCID
		}
	})
	slices.Sort(subnets)
	c := cloudformation.NewFromConfig(config)
	body := crowd(l.BaseImage(labtest.Region), subnets[:2], vpc)
	for n, body := range []string{body, `{"Resources":{"T":{"Type":"AWS::SNS::Topic"}}}`, `{"Resources":{"T":{"Type":"AWS::SNS::Topic"}}}`} {
		_, err := c.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String(fmt.Sprint("crowd-", n)), TemplateBody: &body, Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam}})
		require.NoError(t, err)
	}
	labtest.Eventually(t, "three stacks are there", func() bool {
		done := 0
		for _, s := range l.Status().Stacks {
			if s.Status == "CREATE_COMPLETE" {
				done++
			}
		}
		return done == 3
	})
	for n := range 3 {
		body := `{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"DisplayName":{"Fn::ImportValue":"export-0"}}}}}`
		_, err := c.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String(fmt.Sprint("importer-", n)), TemplateBody: &body})
		require.NoError(t, err)
	}
	changed := `{"Resources":{"T":{"Type":"AWS::SNS::Topic"},"A":{"Type":"AWS::SNS::Topic"},"B":{"Type":"AWS::SNS::Topic"},"C":{"Type":"AWS::SNS::Topic"}}}`
	for n := range 3 {
		_, err := c.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{StackName: aws.String("crowd-1"), ChangeSetName: aws.String(fmt.Sprint("c", n)), TemplateBody: &changed})
		require.NoError(t, err)
	}
	_, err := c.DetectStackDrift(ctx, &cloudformation.DetectStackDriftInput{StackName: aws.String("crowd-0")})
	require.NoError(t, err)

	labtest.Eventually(t, "three machines run", func() bool {
		running := 0
		for _, m := range l.Status().Machines {
			if m.State == "running" {
				running++
			}
		}
		return running == 3
	})
	require.NoError(t, l.Core().Do(labtest.Region, func(tx *core.Tx) error {
		for id := range tx.Region.Instances {
			if _, err := ec2.CreateImage(tx, &ec2.CreateImageInput{InstanceId: id, Name: "of-" + id}); err != nil {
				return err
			}
		}
		for _, lt := range tx.Region.LaunchTemplates {
			for range 2 {
				_, err := ec2.CreateLaunchTemplateVersion(tx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: lt.ID, LaunchTemplateData: &ec2.RequestLaunchTemplateData{InstanceType: "t3.small"}, SourceVersion: "1"})
				if err != nil {
					return err
				}
			}
		}
		for _, r := range tx.World.Roles {
			r.Policies, r.Managed = map[string]string{"a": "{}", "b": "{}", "c": "{}"}, []string{"arn:aws:iam::aws:policy/a", "arn:aws:iam::aws:policy/b", "arn:aws:iam::aws:policy/c"}
		}
		return nil
	}))
	require.NoError(t, l.Core().Do(labtest.Region, func(tx *core.Tx) error {
		for id := range tx.Region.DBInstances {
			if _, err := labrds.CreateDBSnapshot(tx, &labrds.CreateDBSnapshotInput{DBInstanceIdentifier: id, DBSnapshotIdentifier: "of-" + id}); err != nil {
				return err
			}
		}
		return nil
	}))
	for n := range 3 {
		_, err := route53.NewFromConfig(config).CreateHealthCheck(ctx, &route53.CreateHealthCheckInput{
			CallerReference: aws.String(fmt.Sprint(n)), HealthCheckConfig: &r53types.HealthCheckConfig{Type: r53types.HealthCheckTypeHttp, IPAddress: aws.String("203.0.113.9")},
		})
		require.NoError(t, err)
	}
	var points []cwtypes.MetricDatum
	for n := range 5 {
		points = append(points, cwtypes.MetricDatum{MetricName: aws.String("p"), Value: aws.Float64(float64(n)), Timestamp: aws.Time(time.Now().Add(-time.Duration(n+1) * time.Minute))})
	}
	_, err = cloudwatch.NewFromConfig(config).PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"), MetricData: points})
	require.NoError(t, err)
}

// Every action that has pages gives them small, whole and each item once, to the
// SDK's own paginators.
func TestEveryListHasPages(t *testing.T) {
	l := lab.Start(t, smallPages)
	config := labtest.AWS(t, l.Endpoint())
	make3(t, l, config)

	clients := map[string]any{
		"autoscaling": autoscaling.NewFromConfig(config), "cloudformation": cloudformation.NewFromConfig(config), "ec2": sdkec2.NewFromConfig(config),
		"elasticloadbalancing": elbv2.NewFromConfig(config), "iam": iam.NewFromConfig(config), "logs": cloudwatchlogs.NewFromConfig(config),
		"monitoring": cloudwatch.NewFromConfig(config), "rds": rds.NewFromConfig(config), "route53": route53.NewFromConfig(config), "sns": sns.NewFromConfig(config),
		"ssm": ssm.NewFromConfig(config), "sts": sts.NewFromConfig(config),
	}
	paging := pagersOf(l, config)
	for service, actions := range lab.Tables() {
		for _, a := range actions {
			name := service + "." + a.Name
			if !hasPages(t, clients[service], a.Name) {
				assert.NotContains(t, paging, name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				next, ok := paging[name]
				require.True(t, ok, "this test does not walk it")
				seen := walk(t, next, func() {})
				assert.GreaterOrEqual(t, len(seen), 3)
			})
		}
	}
}

// What happens between two pages shifts nothing: lists whose newest entry comes
// first still give each old one once.
func TestPagesWhileThingsHappen(t *testing.T) {
	l := lab.Start(t, smallPages)
	config := labtest.AWS(t, l.Endpoint())
	make3(t, l, config)
	stacks, groups := cloudformation.NewFromConfig(config), autoscaling.NewFromConfig(config)
	var group string
	l.Core().View(labtest.Region, func(tx *core.Tx) {
		for name := range tx.Region.Groups {
			group = name
		}
	})
	for name, c := range map[string]struct {
		pager func() pager
		more  func(n int) error // something that makes new entries
	}{
		"events": {
			func() pager {
				return following("StackEvents", cloudformation.NewDescribeStackEventsPaginator(stacks, &cloudformation.DescribeStackEventsInput{StackName: aws.String("crowd-1")}))
			},
			func(n int) error {
				body := fmt.Sprintf(`{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"DisplayName":"%d"}}}}`, n)
				_, err := stacks.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: aws.String("crowd-1"), TemplateBody: &body})
				if err == nil {
					err = cloudformation.NewStackUpdateCompleteWaiter(stacks, func(o *cloudformation.StackUpdateCompleteWaiterOptions) {
						o.MinDelay, o.MaxDelay = 10*time.Millisecond, 20*time.Millisecond
					}).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("crowd-1")}, time.Minute)
				}
				return err
			},
		},
		"activities": {
			func() pager {
				return following("Activities", autoscaling.NewDescribeScalingActivitiesPaginator(groups, nil))
			},
			func(n int) error {
				_, err := groups.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &group, MaxSize: aws.Int32(9), DesiredCapacity: aws.Int32(int32(n + 1))})
				labtest.Eventually(t, "the group comes to rest", func() (rests bool) {
					l.Core().View(labtest.Region, func(tx *core.Tx) {
						rests = len(tx.Region.Groups[group].Members) == n+1 && !slices.ContainsFunc(tx.Region.Groups[group].Activities, func(a *state.Activity) bool { return a.Progress < 100 })
					})
					return rests
				})
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			require.NoError(t, c.more(1))
			before := walk(t, c.pager(), func() {})
			seen := walk(t, c.pager(), func() {
				if n++; n < 4 {
					require.NoError(t, c.more(n+1))
				}
			})
			assert.Equal(t, before, seen)
			assert.Greater(t, len(walk(t, c.pager(), func() {})), len(before), "there is more by now")
		})
	}
}

// Each service says in its own words that a token is none of its own.
func TestTokensNobodyGave(t *testing.T) {
	l := lab.Start(t)
	for _, c := range []struct{ service, form, want string }{
		{"autoscaling", "Action=DescribeTags&NextToken=x", "<Code>InvalidNextToken</Code><Message>The token &#39;x&#39; is invalid."},
		{"autoscaling", "Action=DescribeTags&MaxRecords=0", "<Code>ValidationError</Code>"},
		{"cloudformation", "Action=ListStacks&NextToken=x", "<Code>ValidationError</Code>"},
		{"ec2", "Action=DescribeVpcs&NextToken=x", "<Code>InvalidNextToken</Code>"},
		{"ec2", "Action=DescribeVpcs&MaxResults=0", "<Code>InvalidParameterValue</Code>"},
		{"elasticloadbalancing", "Action=DescribeTargetGroups&Marker=x", "<Code>ValidationError</Code>"},
		{"iam", "Action=ListRoles&Marker=x", "<Code>ValidationError</Code>"},
		{"sns", "Action=ListTopics&NextToken=x", "<Code>InvalidParameter</Code>"},
		{"monitoring", "Action=ListDashboards&NextToken=x", "<Code>InvalidNextToken</Code>"},
	} {
		status, body := call(t, l, c.service, c.form)
		assert.Equal(t, 400, status, c.form)
		assert.Contains(t, body, c.want, c.form)
	}
	_, err := cloudwatchlogs.NewFromConfig(labtest.AWS(t, l.Endpoint())).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{NextToken: aws.String("x")})
	assert.Equal(t, "InvalidParameterException", code(err))
}

// hasPages says whether an action's answer, as the SDK knows it, has a next page.
func hasPages(t *testing.T, client any, action string) bool {
	t.Helper()
	m, ok := reflect.TypeOf(client).MethodByName(action)
	require.True(t, ok, "the SDK does not know %s", action)
	for _, name := range []string{"NextToken", "NextMarker", "Marker", "IsTruncated"} {
		if _, has := m.Type.Out(0).Elem().FieldByName(name); has {
			return true
		}
	}
	return false
}

// pagersOf lists everything that make3 made.
func pagersOf(l *lab.Lab, config aws.Config) map[string]pager {
	machines, groups, stacks, logs := sdkec2.NewFromConfig(config), autoscaling.NewFromConfig(config), cloudformation.NewFromConfig(config), cloudwatchlogs.NewFromConfig(config)
	balancers, roles, zones, topics, alarms := elbv2.NewFromConfig(config), iam.NewFromConfig(config), route53.NewFromConfig(config), sns.NewFromConfig(config), cloudwatch.NewFromConfig(config)
	databases := rds.NewFromConfig(config)
	var role, topic, zone, settings string
	l.Core().View(labtest.Region, func(tx *core.Tx) {
		for _, p := range tx.World.Profiles {
			role = p.Roles[0]
		}
		for _, x := range tx.Region.Topics {
			if len(x.Subscriptions) > 0 {
				topic = x.ARN
			}
		}
		for _, d := range tx.Region.DBInstances {
			settings = d.ParameterGroup
		}
		for id, z := range tx.World.Zones {
			if len(z.Records) > 2 {
				zone = id
			}
		}
	})
	crowd0, crowd1 := aws.String("crowd-0"), aws.String("crowd-1")
	return map[string]pager{
		"autoscaling.DescribeAutoScalingGroups":    following("AutoScalingGroups", autoscaling.NewDescribeAutoScalingGroupsPaginator(groups, nil)),
		"autoscaling.DescribeAutoScalingInstances": following("AutoScalingInstances", autoscaling.NewDescribeAutoScalingInstancesPaginator(groups, nil)),
		"autoscaling.DescribeScalingActivities":    following("Activities", autoscaling.NewDescribeScalingActivitiesPaginator(groups, nil)),
		"autoscaling.DescribeTags":                 following("Tags", autoscaling.NewDescribeTagsPaginator(groups, nil)),

		"cloudformation.DescribeChangeSet":           following("Changes", cloudformation.NewDescribeChangeSetPaginator(stacks, &cloudformation.DescribeChangeSetInput{StackName: crowd1, ChangeSetName: aws.String("c0")})),
		"cloudformation.DescribeEvents":              following("OperationEvents", cloudformation.NewDescribeEventsPaginator(stacks, &cloudformation.DescribeEventsInput{StackName: crowd0})),
		"cloudformation.DescribeStackEvents":         following("StackEvents", cloudformation.NewDescribeStackEventsPaginator(stacks, &cloudformation.DescribeStackEventsInput{StackName: crowd0})),
		"cloudformation.DescribeStackResourceDrifts": following("StackResourceDrifts", cloudformation.NewDescribeStackResourceDriftsPaginator(stacks, &cloudformation.DescribeStackResourceDriftsInput{StackName: crowd0})),
		"cloudformation.DescribeStacks":              following("Stacks", cloudformation.NewDescribeStacksPaginator(stacks, nil)),
		"cloudformation.ListChangeSets":              following("Summaries", cloudformation.NewListChangeSetsPaginator(stacks, &cloudformation.ListChangeSetsInput{StackName: crowd1})),
		"cloudformation.ListExports":                 following("Exports", cloudformation.NewListExportsPaginator(stacks, &cloudformation.ListExportsInput{})),
		"cloudformation.ListImports":                 following("Imports", cloudformation.NewListImportsPaginator(stacks, &cloudformation.ListImportsInput{ExportName: aws.String("export-0")})),
		"cloudformation.ListStackResources":          following("StackResourceSummaries", cloudformation.NewListStackResourcesPaginator(stacks, &cloudformation.ListStackResourcesInput{StackName: crowd0})),
		"cloudformation.ListStacks":                  following("StackSummaries", cloudformation.NewListStacksPaginator(stacks, nil)),

		"ec2.DescribeImages":                 following("Images", sdkec2.NewDescribeImagesPaginator(machines, nil)),
		"ec2.DescribeInstanceStatus":         following("InstanceStatuses", sdkec2.NewDescribeInstanceStatusPaginator(machines, &sdkec2.DescribeInstanceStatusInput{IncludeAllInstances: aws.Bool(true)})),
		"ec2.DescribeInstanceTypeOfferings":  following("InstanceTypeOfferings", sdkec2.NewDescribeInstanceTypeOfferingsPaginator(machines, nil)),
		"ec2.DescribeInstanceTypes":          following("InstanceTypes", sdkec2.NewDescribeInstanceTypesPaginator(machines, nil)),
		"ec2.DescribeInstances":              following("Reservations", sdkec2.NewDescribeInstancesPaginator(machines, nil)),
		"ec2.DescribeInternetGateways":       following("InternetGateways", sdkec2.NewDescribeInternetGatewaysPaginator(machines, nil)),
		"ec2.DescribeLaunchTemplateVersions": following("LaunchTemplateVersions", sdkec2.NewDescribeLaunchTemplateVersionsPaginator(machines, &sdkec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest", "$Default"}})),
		"ec2.DescribeLaunchTemplates":        following("LaunchTemplates", sdkec2.NewDescribeLaunchTemplatesPaginator(machines, nil)),
		"ec2.DescribeRouteTables":            following("RouteTables", sdkec2.NewDescribeRouteTablesPaginator(machines, nil)),
		"ec2.DescribeSecurityGroupRules":     following("SecurityGroupRules", sdkec2.NewDescribeSecurityGroupRulesPaginator(machines, nil)),
		"ec2.DescribeSecurityGroups":         following("SecurityGroups", sdkec2.NewDescribeSecurityGroupsPaginator(machines, nil)),
		"ec2.DescribeSnapshots":              following("Snapshots", sdkec2.NewDescribeSnapshotsPaginator(machines, nil)),
		"ec2.DescribeSubnets":                following("Subnets", sdkec2.NewDescribeSubnetsPaginator(machines, nil)),
		"ec2.DescribeTags":                   following("Tags", sdkec2.NewDescribeTagsPaginator(machines, nil)),
		"ec2.DescribeVolumes":                following("Volumes", sdkec2.NewDescribeVolumesPaginator(machines, nil)),
		"ec2.DescribeVpcs":                   following("Vpcs", sdkec2.NewDescribeVpcsPaginator(machines, nil)),

		"elasticloadbalancing.DescribeListeners":     following("Listeners", elbv2.NewDescribeListenersPaginator(balancers, &elbv2.DescribeListenersInput{LoadBalancerArn: balancerOf(l)})),
		"elasticloadbalancing.DescribeLoadBalancers": following("LoadBalancers", elbv2.NewDescribeLoadBalancersPaginator(balancers, nil)),
		"elasticloadbalancing.DescribeTargetGroups":  following("TargetGroups", elbv2.NewDescribeTargetGroupsPaginator(balancers, nil)),

		"monitoring.ListMetrics": following("Metrics", cloudwatch.NewListMetricsPaginator(alarms, nil)),

		"rds.DescribeDBInstances":       following("DBInstances", rds.NewDescribeDBInstancesPaginator(databases, nil)),
		"rds.DescribeDBParameterGroups": following("DBParameterGroups", rds.NewDescribeDBParameterGroupsPaginator(databases, nil)),
		"rds.DescribeDBParameters":      following("Parameters", rds.NewDescribeDBParametersPaginator(databases, &rds.DescribeDBParametersInput{DBParameterGroupName: &settings})),
		"rds.DescribeDBSnapshots":       following("DBSnapshots", rds.NewDescribeDBSnapshotsPaginator(databases, nil)),
		"rds.DescribeDBSubnetGroups":    following("DBSubnetGroups", rds.NewDescribeDBSubnetGroupsPaginator(databases, nil)),

		"iam.ListAttachedRolePolicies":    following("AttachedPolicies", iam.NewListAttachedRolePoliciesPaginator(roles, &iam.ListAttachedRolePoliciesInput{RoleName: &role})),
		"iam.ListInstanceProfilesForRole": following("InstanceProfiles", iam.NewListInstanceProfilesForRolePaginator(roles, &iam.ListInstanceProfilesForRoleInput{RoleName: &role})),
		"iam.ListRolePolicies":            following("PolicyNames", iam.NewListRolePoliciesPaginator(roles, &iam.ListRolePoliciesInput{RoleName: &role})),
		"iam.ListRoles":                   following("Roles", iam.NewListRolesPaginator(roles, nil)),

		"logs.DescribeLogGroups": following("LogGroups", cloudwatchlogs.NewDescribeLogGroupsPaginator(logs, nil)),

		"monitoring.DescribeAlarms":       following("MetricAlarms", cloudwatch.NewDescribeAlarmsPaginator(alarms, nil)),
		"monitoring.DescribeAlarmHistory": following("AlarmHistoryItems", cloudwatch.NewDescribeAlarmHistoryPaginator(alarms, nil)),
		"monitoring.GetMetricData":        points(cloudwatch.NewGetMetricDataPaginator(alarms, lastHour())),
		"monitoring.ListDashboards":       following("DashboardEntries", cloudwatch.NewListDashboardsPaginator(alarms, nil)),

		"route53.ListHealthChecks":       following("HealthChecks", route53.NewListHealthChecksPaginator(zones, nil)),
		"route53.ListHostedZones":        following("HostedZones", route53.NewListHostedZonesPaginator(zones, nil)),
		"route53.ListHostedZonesByName":  zonesByName(zones),
		"route53.ListResourceRecordSets": records(zones, zone),

		"sns.ListSubscriptions":        following("Subscriptions", sns.NewListSubscriptionsPaginator(topics, nil)),
		"sns.ListSubscriptionsByTopic": following("Subscriptions", sns.NewListSubscriptionsByTopicPaginator(topics, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})),
		"sns.ListTopics":               following("Topics", sns.NewListTopicsPaginator(topics, nil)),
	}
}

func balancerOf(l *lab.Lab) (arn *string) {
	l.Core().View(labtest.Region, func(tx *core.Tx) {
		for _, x := range tx.Region.Listeners {
			arn = aws.String(x.LoadBalancer)
		}
	})
	return arn
}

func lastHour() *cloudwatch.GetMetricDataInput {
	return &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now()),
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("p"), MetricStat: &cwtypes.MetricStat{
			Metric: &cwtypes.Metric{Namespace: aws.String("n"), MetricName: aws.String("p")}, Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}},
	}
}

// points are the values of one metric, which a page cuts.
func points(p *cloudwatch.GetMetricDataPaginator) pager {
	return func(t *testing.T) (items []any, more bool) {
		out, err := p.NextPage(t.Context())
		require.NoError(t, err)
		require.Len(t, out.MetricDataResults, 1)
		r := out.MetricDataResults[0]
		for k := range r.Values {
			items = append(items, []any{r.Timestamps[k], r.Values[k]})
		}
		want := cwtypes.StatusCodeComplete
		if p.HasMorePages() {
			want = cwtypes.StatusCodePartialData
		}
		assert.Equal(t, want, r.StatusCode)
		return items, p.HasMorePages()
	}
}

func zonesByName(c *route53.Client) pager {
	in := &route53.ListHostedZonesByNameInput{}
	return func(t *testing.T) (items []any, more bool) {
		out, err := c.ListHostedZonesByName(t.Context(), in)
		require.NoError(t, err)
		for _, z := range out.HostedZones {
			items = append(items, *z.Name)
		}
		in.DNSName, in.HostedZoneId = out.NextDNSName, out.NextHostedZoneId
		return items, out.IsTruncated
	}
}

func records(c *route53.Client, zone string) pager {
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: &zone}
	return func(t *testing.T) (items []any, more bool) {
		out, err := c.ListResourceRecordSets(t.Context(), in)
		require.NoError(t, err)
		for _, r := range out.ResourceRecordSets {
			items = append(items, r)
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
		return items, out.IsTruncated
	}
}
