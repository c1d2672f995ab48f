package facts_test

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
)

// zone is a new hosted zone.
func (w *world) zone() (id, domain string) {
	w.Helper()
	domain = w.name("fact") + ".example"
	out, err := w.r53.CreateHostedZone(w.ctx, &route53.CreateHostedZoneInput{Name: &domain, CallerReference: &domain})
	require.NoError(w, err)
	w.afterwards(func(ctx context.Context) {
		if sets, err := w.r53.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: out.HostedZone.Id}); err == nil {
			for _, set := range sets.ResourceRecordSets {
				if set.Type == r53types.RRTypeA {
					_, _ = w.r53.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
						HostedZoneId: out.HostedZone.Id, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: "DELETE", ResourceRecordSet: &set}}},
					})
				}
			}
		}
		_, _ = w.r53.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: out.HostedZone.Id})
	})
	return *out.HostedZone.Id, domain
}

// records changes address records of a zone.
func (w *world) records(zone string, action r53types.ChangeAction, name string, values ...string) (*r53types.ChangeInfo, error) {
	set := &r53types.ResourceRecordSet{Name: &name, Type: r53types.RRTypeA, TTL: aws.Int64(60)}
	for i := range values {
		set.ResourceRecords = append(set.ResourceRecords, r53types.ResourceRecord{Value: &values[i]})
	}
	out, err := w.r53.ChangeResourceRecordSets(w.ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &zone, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: action, ResourceRecordSet: set}}},
	})
	if err != nil {
		return nil, err
	}
	return out.ChangeInfo, nil
}

var recordFacts = []fact{
	{id: "F370", claim: "A change of records is PENDING, and INSYNC a while later.", source: "[SDK:route53 GetChange]", check: func(w *world) {
		id, domain := w.zone()
		info, err := w.records(id, "CREATE", "www."+domain, "192.0.2.1", "192.0.2.2")
		require.NoError(w, err)
		assert.Equal(w, r53types.ChangeStatusPending, info.Status)
		w.until(time.Hour, "it is in sync", func() bool {
			out, err := w.r53.GetChange(w.ctx, &route53.GetChangeInput{Id: info.Id})
			require.NoError(w, err)
			return out.ChangeInfo.Status == r53types.ChangeStatusInsync
		})
	}},
	{id: "F371", claim: "One A record holds several addresses.", source: "[SDK:route53 types.ResourceRecordSet]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www."+domain, "192.0.2.1", "192.0.2.2")
		require.NoError(w, err)
		out, err := w.r53.ListResourceRecordSets(w.ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &id})
		require.NoError(w, err)
		require.Len(w, out.ResourceRecordSets, 3, "beside NS and SOA")
		assert.Len(w, out.ResourceRecordSets[2].ResourceRecords, 2)
	}},
	{id: "F372", claim: "A zone that is not there is NoSuchHostedZone \"No hosted zone found with ID: X\".", source: "[SDK:route53 errors]", check: func(w *world) {
		_, err := w.records("ZNOBODY", "CREATE", "www.fact.example", "192.0.2.1")
		w.refused(err, "NoSuchHostedZone", "No hosted zone found with ID: ZNOBODY")
	}},
	{id: "F373", claim: "To create a record that is there is InvalidChangeBatch; UPSERT replaces it.", source: "[SDK:route53 errors]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www."+domain, "192.0.2.1")
		require.NoError(w, err)
		_, err = w.records(id, "CREATE", "www."+domain, "192.0.2.2")
		w.refused(err, "InvalidChangeBatch", "*Tried to create resource record set [name='www."+domain+".', type='A'] but it already exists*")
		_, err = w.records(id, "UPSERT", "www."+domain, "192.0.2.2")
		require.NoError(w, err)
	}},
	{id: "F374", claim: "A record is deleted by its exact values only.", source: "[SDK:route53 errors]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www."+domain, "192.0.2.1")
		require.NoError(w, err)
		_, err = w.records(id, "DELETE", "www."+domain, "192.0.2.2")
		w.refused(err, "InvalidChangeBatch", "*values provided do not match the current values*")
		_, err = w.records(id, "DELETE", "www."+domain, "192.0.2.1")
		require.NoError(w, err)
		_, err = w.records(id, "DELETE", "www."+domain, "192.0.2.1")
		w.refused(err, "InvalidChangeBatch", "*but it was not found*")
	}},
	{id: "F375", claim: "A name outside of the zone is not permitted in it.", source: "[SDK:route53 errors]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www.other.example", "192.0.2.1")
		w.refused(err, "InvalidChangeBatch", "*RRSet with DNS name www.other.example. is not permitted in zone "+domain+"*")
	}},
	{id: "F376", claim: "A batch is applied whole or not at all.", source: "[SDK:route53 ChangeResourceRecordSets]", check: func(w *world) {
		id, domain := w.zone()
		good, bad := "good."+domain, "bad."+domain
		a := []r53types.ResourceRecord{{Value: aws.String("192.0.2.1")}}
		_, err := w.r53.ChangeResourceRecordSets(w.ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &id, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{
			{Action: "CREATE", ResourceRecordSet: &r53types.ResourceRecordSet{Name: &good, Type: "A", TTL: aws.Int64(60), ResourceRecords: a}},
			{Action: "DELETE", ResourceRecordSet: &r53types.ResourceRecordSet{Name: &bad, Type: "A", TTL: aws.Int64(60), ResourceRecords: a}},
		}}})
		w.refused(err, "InvalidChangeBatch", "*")
		out, err := w.r53.ListResourceRecordSets(w.ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &id})
		require.NoError(w, err)
		assert.Len(w, out.ResourceRecordSets, 2)
	}},
	{id: "F377", claim: "CloudFormation waits for INSYNC before a RecordSet is complete.", source: "[INFERRED]", check: func(w *world) {
		id, domain := w.zone()
		begun := w.now()
		s := w.made("record", "Resources:\n  Record:\n    Type: AWS::Route53::RecordSet\n    Properties: {HostedZoneId: "+strings.TrimPrefix(id, "/hostedzone/")+", Name: www."+domain+", Type: A, TTL: '60', ResourceRecords: [192.0.2.1]}\n")
		assert.GreaterOrEqual(w, w.now().Sub(begun), 10*time.Second)
		assert.Equal(w, "www."+domain, strings.TrimSuffix(s.physical("Record"), "."))
	}},
	{id: "F378", claim: "A hosted zone that holds records is not deleted: HostedZoneNotEmpty.", source: "[SDK:route53 errors]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www."+domain, "192.0.2.1")
		require.NoError(w, err)
		_, err = w.r53.DeleteHostedZone(w.ctx, &route53.DeleteHostedZoneInput{Id: &id})
		w.refused(err, "HostedZoneNotEmpty", "*")
		_, err = w.records(id, "DELETE", "www."+domain, "192.0.2.1")
		require.NoError(w, err)
	}},
	{id: "F379", claim: "A value that is no IPv4 address is no A record.", source: "[SDK:route53 errors]", check: func(w *world) {
		id, domain := w.zone()
		_, err := w.records(id, "CREATE", "www."+domain, "here")
		w.refused(err, "InvalidChangeBatch", "*ARRDATAIllegalIPv4Address*")
	}},
}

// createOnly are the properties whose change replaces the resource, as the schemas have it.
var createOnly = map[string][]string{
	"AWS::ElasticLoadBalancingV2::LoadBalancer": {"Name", "Type", "Scheme"},
	"AWS::ElasticLoadBalancingV2::TargetGroup":  {"Name", "Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId", "IpAddressType"},
	"AWS::ElasticLoadBalancingV2::Listener":     {"LoadBalancerArn"},
	"AWS::AutoScaling::AutoScalingGroup":        {"AutoScalingGroupName", "InstanceId"},
	"AWS::EC2::LaunchTemplate":                  {"LaunchTemplateName"},
	"AWS::EC2::EIP":                             {"NetworkBorderGroup", "TransferAddress", "IpamPoolId", "Address"},
	"AWS::EC2::SecurityGroup":                   {"GroupDescription", "GroupName", "VpcId"},
	"AWS::EC2::Subnet":                          {"VpcId", "AvailabilityZone", "CidrBlock"},
	"AWS::Route53::RecordSet":                   {"HostedZoneId", "HostedZoneName", "Name"},
	"AWS::CloudWatch::Alarm":                    {"AlarmName"},
	"AWS::CloudWatch::Dashboard":                {"DashboardName"},
	"AWS::SNS::Topic":                           {"TopicName", "FifoTopic"},
	"AWS::SNS::Subscription":                    {"Endpoint", "Protocol", "TopicArn"},
	"AWS::IAM::Role":                            {"RoleName", "Path"},
}

var typeFacts = []fact{
	{id: "F390", claim: "A change of these replaces the resource: names, VPC, subnet block, a target group's port and protocol, a record's name and the like.", source: "[CP]", lab: "it reads the tables that the change sets are made of", check: func(w *world) {
		for name, properties := range createOnly {
			kind := schema.Lookup(name)
			require.NotNil(w, kind, name)
			for _, p := range properties {
				assert.Equal(w, "Always", kind.Recreation(p), "%s %s", name, p)
			}
		}
	}},
	{id: "F391", claim: "A change of a group's LaunchTemplate, LaunchConfigurationName, MixedInstancesPolicy or VPCZoneIdentifier may replace it.", source: "[CP]", lab: "it reads the tables that the change sets are made of", check: func(w *world) {
		for _, p := range []string{"LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy", "VPCZoneIdentifier"} {
			assert.Equal(w, "Conditionally", schema.Lookup("AWS::AutoScaling::AutoScalingGroup").Recreation(p), p)
		}
		assert.Equal(w, "Never", schema.Lookup("AWS::ElasticLoadBalancingV2::LoadBalancer").Recreation("SubnetMappings"))
	}},
	{id: "F392", claim: "An Elastic IP in a VPC is made after the gateway is attached, by DependsOn, and Ref gives its address.", source: "[UG:aws-resource-ec2-eip]", check: func(w *world) {
		s := w.front()
		assert.Regexp(w, `^\d+\.\d+\.\d+\.\d+$`, s.outputs()["A"])
		assert.Regexp(w, `^eipalloc-[0-9a-f]{17}$`, s.outputs()["AllocationA"])
	}},
	{id: "F393", claim: "A type without behaviour is kept with its properties, checked by its schema, and gives id and attributes.", source: "[CP]", check: func(w *world) {
		s := w.made("plain", "Parameters: {Word: {Type: String, Default: one}}\nResources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties: {Description: !Ref Word, KeyPolicy: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {AWS: !Sub 'arn:aws:iam::${AWS::AccountId}:root'}, Action: 'kms:*', Resource: '*'}]}}\nOutputs:\n  Arn: {Value: !GetAtt Key.Arn}\n  Id: {Value: !Ref Key}\n")
		out := s.outputs()
		assert.Regexp(w, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, out["Id"])
		assert.Regexp(w, `^arn:aws:kms:[a-z0-9-]+:\d{12}:key/`+out["Id"]+`$`, out["Arn"])
		body, err := w.cfn.GetTemplate(w.ctx, &cloudformation.GetTemplateInput{StackName: &s.id})
		require.NoError(w, err)
		require.NoError(w, s.update(*body.TemplateBody, to("Word", "two")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Key", s.events()))
		assert.Equal(w, out["Id"], s.physical("Key"))
	}},
}
