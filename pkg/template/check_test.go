package template_test

import (
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7/cloudformation/autoscaling"
	"github.com/awslabs/goformation/v7/cloudformation/ec2"
	"github.com/awslabs/goformation/v7/cloudformation/policies"
	"github.com/awslabs/goformation/v7/cloudformation/tags"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// Each change to the sound template is found, with its place.
func TestCheckFindsWhatWasBroken(t *testing.T) {
	c, e := load(t)
	sound, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	for name, x := range map[string]struct{ old, new, want string }{
		"dangling Ref":               {"!Ref InstanceType", "!Ref InstanceTypo", "Resources.LaunchTemplate.Properties.LaunchTemplateData.InstanceType: Ref InstanceTypo: there is no such parameter or resource"},
		"dangling GetAtt":            {"!GetAtt Vpc.CidrBlock", "!GetAtt Vcp.CidrBlock", "Resources.BalancerSecurityGroup.Properties.SecurityGroupEgress[0].CidrIp: GetAtt Vcp.CidrBlock: there is no such resource"},
		"GetAtt without attribute":   {"!GetAtt Vpc.CidrBlock", "!GetAtt Vpc", "!GetAtt Vpc names no attribute"},
		"dangling Sub":               {"Sub http://${Domain}/", "Sub http://${Domian}/", "Outputs.Url.Value: Sub Domian: there is no such parameter or resource"},
		"dangling Sub attribute":     {"${LoadBalancer.LoadBalancerFullName}", "${Balancer.LoadBalancerFullName}", "Resources.Dashboard.Properties.DashboardBody: GetAtt Balancer.LoadBalancerFullName: there is no such resource"},
		"dangling DependsOn":         {"- DefaultRoute", "- DefaultRuote", "Resources.Group.DependsOn: there is no resource DefaultRuote"},
		"dangling Condition":         {"Condition: HasCertificate", "Condition: HasCert", "Resources.TlsIngress: there is no condition HasCert"},
		"condition of nothing":       {"[!Ref Certificate, \"\"]", "[!Ref Certifikate, \"\"]", "Conditions.HasCertificate[0][0]: Ref Certifikate: there is no such parameter or resource"},
		"unused parameter":           {"InstanceType: !Ref InstanceType", "InstanceType: t3.small", "Parameters.InstanceType: is used nowhere"},
		"unknown function":           {"!Join [',',", "!Jion [',',", "Outputs.Addresses.Value: there is no function Fn::Jion"},
		"unknown attribute":          {"    DeletionPolicy: Delete", "    DeletePolicy: Delete", "Resources.Address1.DeletePolicy: is no attribute of a resource"},
		"bad policy":                 {"    DeletionPolicy: Delete", "    DeletionPolicy: Keep", "Resources.Address1.DeletionPolicy: is Keep"},
		"unknown section":            {"\nOutputs:", "\nOutput:", "Output: is no section of a template"},
		"vanished text":              {"CidrBlock: 10.0.0.0/16", "CidrBlock:", "Resources.Vpc.Properties.CidrBlock: is empty: the value vanished"},
		"vanished list":              {"      Topics:\n        - !Ref Topic\n        - !Ref Tickets\n", "      Topics: []\n", "Resources.TopicPolicy.Properties.Topics: is an empty list: its items vanished"},
		"no cause":                   {"        Cause: hang\n", "", "Resources.StatusCheckFailed: no cause is written down"},
		"typo in a widget":           {`"title":"Processor"`, `"titel":"Processor"`, `Resources.Dashboard.Properties.DashboardBody: widget 6: properties: there is no member "titel"`},
		"vanished mapping":           {"      Matcher:\n        HttpCode: \"200\"\n", "      Matcher: {}\n", "Resources.TargetGroup.Properties.Matcher: is an empty mapping: its members vanished"},
		"vanished MinInService":      {"        MinInstancesInService: !Ref DesiredCapacity\n", "", "Resources.Group.UpdatePolicy.AutoScalingRollingUpdate.MinInstancesInService: is missing or vanished"},
		"vanished WaitOnSignals":     {"        WaitOnResourceSignals: true\n", "", "Resources.Group.UpdatePolicy.AutoScalingRollingUpdate.WaitOnResourceSignals: is missing or vanished"},
		"no waiting":                 {"WaitOnResourceSignals: true", "WaitOnResourceSignals: false", "WaitOnResourceSignals: is false: the roll would not wait for its instances"},
		"vanished count":             {"        Count: !Ref DesiredCapacity\n", "", "Resources.Group.CreationPolicy.ResourceSignal.Count: is missing or vanished"},
		"version CFN does not take":  {"Version: !GetAtt LaunchTemplate.LatestVersionNumber", "Version: $Latest", "Resources.Group.Properties.LaunchTemplate.Version: is $Latest, which CloudFormation does not take"},
		"circle":                     {"GroupDescription: Load balancer\n", "GroupDescription: Load balancer\n      GroupName: !Ref InstanceSecurityGroup\n", "Resources: depend on each other in a circle: BalancerSecurityGroup -> InstanceSecurityGroup -> BalancerSecurityGroup"},
		"resource twice":             {"  Subnet2:\n", "  Subnet1:\n", "Subnet1 is given twice"},
		"an alias":                   {"!Ref InstanceType", "*type", "the template"},
		"bad id":                     {"  Gateway:\n    Type", "  Gate-way:\n    Type", "Resources.Gate-way: is no logical id"},
		"no type":                    {"    Type: AWS::EC2::InternetGateway\n", "", "Resources.Gateway: has no Type"},
		"parameter and resource":     {"  DesiredCapacity:\n    Type", "  Vpc:\n    Type", "Parameters.Vpc: is a resource too"},
		"marker of the package left": {"GroupDescription: Load balancer", "GroupDescription: \"\\x02{}\\x03\"", "holds an intrinsic function inside a text"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, string(sound), x.old)
			err := template.Check([]byte(strings.Replace(string(sound), x.old, x.new, 1)))
			require.ErrorContains(t, err, x.want)
		})
	}
	require.NoError(t, template.Check(sound))
}

func TestCheckTellsEverythingAtOnce(t *testing.T) {
	err := template.Check([]byte("Resources:\n  A:\n    Type: X::Y\n    DependsOn: B\n    Properties: {P: !Ref C, Q: !If [D, 1, !Ref \"AWS::NoValue\"]}\n"))
	require.EqualError(t, err, "the template is not sound:\nResources.A.DependsOn: there is no resource B\n"+
		"Resources.A.Properties.P: Ref C: there is no such parameter or resource\nResources.A.Properties.Q: there is no condition D")
}

func TestCheckKnowsLongFormsAndLiterals(t *testing.T) {
	require.NoError(t, template.Check([]byte(`{"Parameters": {"P": {"Type": "String"}}, "Mappings": {"M": {"a": {"b": "c"}}}, "Resources": {"A": {"Type": "X::Y", "Properties": {
		"S": {"Fn::Sub": ["${Own} ${!Literal} ${P} ${AWS::Region}", {"Own": {"Ref": "P"}}]}, "F": {"Fn::FindInMap": ["M", "a", "b"]}, "E": ""}}}}`)))
	require.ErrorContains(t, template.Check([]byte(`{"Resources": {"A": {"Type": "X::Y", "Properties": {"F": {"Fn::FindInMap": ["N", "a", "b"]}}}}}`)), "there is no mapping N")
}

func TestCheckRefusesWhatIsTooLong(t *testing.T) {
	body := "Description: x\nResources:\n  A:\n    Type: X::Y\n"
	pad := func(n int) []byte { return []byte(body + "#" + strings.Repeat("x", n-len(body)-1)) }
	require.NoError(t, template.Check(pad(51200)))
	require.ErrorContains(t, template.Check(pad(51201)), "size: is 51201 bytes, CloudFormation takes 51200")
}

func TestCheckNeverPanics(t *testing.T) {
	for _, body := range []string{"", "[]", "a", "Resources:", "Resources: []", "Resources: {A: }", "Resources: {A: {Type: [], DependsOn: {}, Condition: []}}", "Resources: {A: {Type: X::Y, Properties: {P: !GetAtt [], Q: !If a, R: !Sub [], S: !Ref {a: b}}}}", "Outputs: {O: }", "Parameters: {P: x}", "!Ref x", "\x00"} {
		assert.Error(t, template.Check([]byte(body)), body)
	}
}

// What goformation drops without a word is refused when it is rendered.
func TestRenderRefusesValuesThatWouldVanish(t *testing.T) {
	for name, x := range map[string]struct {
		add  template.Properties
		want string
	}{
		"empty list":       {&autoscaling.AutoScalingGroup{MinSize: "1", MaxSize: "2", TargetGroupARNs: []string{}}, "X: TargetGroupARNs is an empty list, which goformation drops"},
		"required text":    {&autoscaling.AutoScalingGroup{MinSize: "1"}, "X: MaxSize is empty"},
		"tag":              {&ec2.InternetGateway{Tags: []tags.Tag{{Key: "Name"}}}, "X: Tags.0.Value is empty"},
		"required mapping": {&ec2.LaunchTemplate{}, "X: LaunchTemplateData is required and not given"},
		"policy": {&autoscaling.AutoScalingGroup{MinSize: "1", MaxSize: "2", AWSCloudFormationUpdatePolicy: &policies.UpdatePolicy{
			AutoScalingRollingUpdate: &policies.AutoScalingRollingUpdate{MinSuccessfulInstancesPercent: 0},
		}}, "X: goformation's policies lose zeros and cannot hold a Ref, use Resource.Signals and Resource.Rolling"},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := load(t)
			_, err := template.Render(c, e, "eu-west-1", func(t *template.Template, _ *config.Environment) error {
				t.Add("X", x.add)
				return nil
			})
			require.ErrorContains(t, err, x.want)
		})
	}
}

func TestRenderRefusesMistakesOfAnExtension(t *testing.T) {
	for name, x := range map[string]struct {
		extend func(t *template.Template)
		want   string
	}{
		"an id twice":           {func(t *template.Template) { t.Add("Vpc", &ec2.VPC{}) }, "Vpc is declared twice"},
		"an id of a parameter":  {func(t *template.Template) { t.Add("Domain", &ec2.VPC{}) }, "Domain is declared twice"},
		"a Ref inside a text":   {func(t *template.Template) { t.Add("X", &ec2.VPC{CidrBlock: new("a " + template.Ref("Vpc"))}) }, "an intrinsic function inside a text: use Sub or Join"},
		"a Set into nothing":    {func(t *template.Template) { t.Resource("Vpc").Set = map[string]any{"CidrBlock.0": 1} }, `has no member "0"`},
		"a Set beyond a list":   {func(t *template.Template) { t.Resource("Vpc").Set = map[string]any{"Tags.7.Key": 1} }, `no item "7"`},
		"a roll without a size": {func(t *template.Template) { t.Resource("Group").Rolling.MaxBatchSize = nil }, "MaxBatchSize: a value is missing"},
		"a dangling Ref":        {func(t *template.Template) { t.Add("X", &ec2.VPC{CidrBlock: new(template.Ref("Nothing"))}) }, "Ref Nothing: there is no such parameter or resource"},
	} {
		t.Run(name, func(t *testing.T) {
			c, e := load(t)
			_, err := template.Render(c, e, "eu-west-1", func(t *template.Template, _ *config.Environment) error {
				x.extend(t)
				return nil
			})
			require.ErrorContains(t, err, x.want)
		})
	}
}

func TestZeroesOfOurPoliciesAreRendered(t *testing.T) {
	tt := &template.Template{}
	g := tt.Add("G", &autoscaling.AutoScalingGroup{MinSize: "1", MaxSize: "2", HealthCheckGracePeriod: new(0)})
	g.Rolling = &template.RollingUpdate{MaxBatchSize: 1, MinInstancesInService: 0, MinSuccessfulInstancesPercent: 0, PauseTime: "PT0S"}
	body, err := tt.Body()
	require.NoError(t, err)
	for _, line := range []string{"MinInstancesInService: 0\n", "MinSuccessfulInstancesPercent: 0\n", "WaitOnResourceSignals: false\n", "HealthCheckGracePeriod: 0\n"} {
		assert.Contains(t, string(body), line)
	}
}

func TestTriggersAreAtMostFive(t *testing.T) {
	alarm := ":\n    Type: AWS::CloudWatch::Alarm\n    Metadata: {Chain: {Cause: busy, RollbackTrigger: true}}\n"
	body := "Resources:\n  " + strings.Join([]string{"A", "B", "C", "D", "E", "F"}, alarm+"  ") + alarm
	_, err := template.Triggers([]byte(body))
	require.ErrorContains(t, err, "at most 5")
}
