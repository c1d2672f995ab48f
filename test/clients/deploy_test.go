package clients_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

const topic = `Parameters:
  Text: {Type: String, Default: one}
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: {DisplayName: !Ref Text}
Outputs:
  Topic: {Value: !Ref Topic}
`

// What deploy does with a changed default is the best-known trap of this field:
// it sends UsePreviousValue for each parameter that the stack has, so the new
// default is silently ignored.
func TestDeploy(t *testing.T) {
	generations(t, func(t *testing.T, _ *lab.Lab, aws *cli) {
		deploy := func(template string, more ...string) result {
			t.Helper()
			return aws.run(t, append([]string{"cloudformation", "deploy", "--stack-name", "site", "--template-file", aws.file(t, "site.yaml", template)}, more...)...)
		}
		value := func() string {
			t.Helper()
			return aws.text(t, "Stacks[0].[StackStatus,Parameters[0].ParameterValue]", "cloudformation", "describe-stacks", "--stack-name", "site")
		}

		r := deploy(topic)
		require.Zero(t, r.code, r.err)
		assert.Contains(t, r.out, "Successfully created/updated stack - site")
		assert.Equal(t, "CREATE_COMPLETE\tone", value())

		// Nothing changed: both texts that mean so, and both exit codes.
		r = deploy(topic, "--no-fail-on-empty-changeset")
		assert.Zero(t, r.code, r.err)
		assert.Contains(t, r.out+r.err, "No changes to deploy. Stack site is up to date")
		r = deploy(topic, "--fail-on-empty-changeset")
		assert.Equal(t, 255, r.code)
		assert.Contains(t, r.err, "No changes to deploy. Stack site is up to date")

		// The trap.
		two := strings.Replace(topic, "Default: one", "Default: two", 1)
		r = deploy(two, "--no-fail-on-empty-changeset")
		assert.Zero(t, r.code, r.err)
		assert.Contains(t, r.out+r.err, "No changes to deploy", "the changed default is not seen")
		assert.Equal(t, "CREATE_COMPLETE\tone", value())
		// With another change beside it the update goes through, and still ignores it.
		wider := strings.Replace(two, "Outputs:", "  Other: {Type: 'AWS::SNS::Topic'}\nOutputs:", 1)
		r = deploy(wider)
		require.Zero(t, r.code, r.err)
		assert.Equal(t, "UPDATE_COMPLETE\tone", value())
		r = deploy(wider, "--parameter-overrides", "Text=two")
		require.Zero(t, r.code, r.err)
		assert.Equal(t, "UPDATE_COMPLETE\ttwo", value())

		// Only looked at: the change set stays for a person to execute.
		r = deploy(topic, "--no-execute-changeset")
		require.Zero(t, r.code, r.err)
		assert.Contains(t, r.out, "aws cloudformation describe-change-set --change-set-name arn:aws:cloudformation:")
		assert.Equal(t, "UPDATE_COMPLETE\ttwo", value())

		// A deployment that fails says so and points at the events.
		aws.ok(t, "cloudformation", "delete-stack", "--stack-name", "site")
		aws.ok(t, "cloudformation", "wait", "stack-delete-complete", "--stack-name", "site")
		bad := strings.Replace(topic, "Outputs:", "  Record:\n    Type: AWS::Route53::RecordSet\n    Properties: {HostedZoneName: nowhere.example., Name: www.nowhere.example., Type: A, TTL: '60', ResourceRecords: [192.0.2.1]}\nOutputs:", 1)
		r = deploy(bad)
		assert.Equal(t, 255, r.code, r.out)
		assert.Contains(t, r.err, "Failed to create/update the stack. Run the following command")
		assert.Contains(t, r.err, "aws cloudformation describe-stack-events --stack-name site")
		assert.Equal(t, "ROLLBACK_COMPLETE\tone", value())
		r = deploy(topic)
		assert.NotZero(t, r.code)
		assert.Contains(t, r.err, "is in ROLLBACK_COMPLETE state and can not be updated")
	})
}

// The errors as a person sees them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	aws := newCLI(t, "1", lab.Start(t))
	for _, c := range []struct{ want, args string }{
		{"An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id none does not exist", "cloudformation describe-stacks --stack-name none"},
		{"An error occurred (ValidationError) when calling the CreateStack operation: Template format error: ", "cloudformation create-stack --stack-name x --template-body Resources:["},
		{"(InvalidAMIID.NotFound) when calling the DescribeImages operation: The image id '[ami-0123456789abcdef0]' does not exist", "ec2 describe-images --image-ids ami-0123456789abcdef0"},
		{"(InvalidAction) when calling the DescribeSpotPriceHistory operation: The lab does not have the action ec2.DescribeSpotPriceHistory", "ec2 describe-spot-price-history"},
		{"(UnknownOperationException) when calling the GetParametersByPath operation: The lab does not have the action ssm.GetParametersByPath", "ssm get-parameters-by-path --path /"},
		{"(InvalidAction) when calling the GetUser operation: The lab does not have the action iam.GetUser", "iam get-user"},
		{"The lab has no service dynamodb (asked for dynamodb.ListTables)", "dynamodb list-tables"},
		{"(NoSuchHostedZone) when calling the GetHostedZone operation: No hosted zone found with ID: ZNONE", "route53 get-hosted-zone --id ZNONE"},
		{"(ResourceNotFound) when calling the GetDashboard operation: Dashboard none does not exist", "cloudwatch get-dashboard --dashboard-name none"},
		{"(ParameterNotFound) when calling the GetParameter operation", "ssm get-parameter --name /none"},
		{"(NotFound) when calling the GetTopicAttributes operation: Topic does not exist", "sns get-topic-attributes --topic-arn arn:aws:sns:eu-west-1:111111111111:none"},
		{"(TargetGroupNotFound) when calling the DescribeTargetHealth operation: One or more target groups not found", "elbv2 describe-target-health --target-group-arn arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/x/1"},
		{"(NoSuchEntity) when calling the GetRole operation: The role with name none cannot be found.", "iam get-role --role-name none"},
		{"(ResourceNotFoundException) when calling the PutRetentionPolicy operation: The specified log group does not exist.", "logs put-retention-policy --log-group-name /none --retention-in-days 1"},
	} {
		aws.fails(t, c.want, strings.Fields(c.args)...)
	}
}
