package stack_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/stack"
)

func TestMovedTellsWhatATemplateSaysAnew(t *testing.T) {
	t.Parallel()
	before := `
Parameters:
  ImageId: {Type: String, Default: ami-1}
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Threshold: 80
      Dimensions: [{Name: Group, Value: !Ref Group}, {Name: Zone, Value: a}]
  Gone: {Type: AWS::SNS::Topic, Properties: {}}
  Policy:
    Type: AWS::IAM::Policy
    Properties:
      Roles: [a, b, c]
      Owner: !GetAtt Group.Arn
      Text: "a long text that is the same for quite a while before it says that the colour of it is red, and then goes on"
Outputs:
  Url: {Value: !Sub "http://${Domain}"}
`
	after := `# other words for most of it
Outputs:
  Url:
    Value: {"Fn::Sub": "http://${Domain}"}
  More: {Value: x}
Resources:
  New: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 1}}
  Policy:
    Properties:
      Text: "a long text that is the same for quite a while before it says that the colour of it is blue, and then goes on"
      Owner: {"Fn::GetAtt": [Group, Arn]}
      Roles: ["a", "x", "b", "c"]
    Type: AWS::IAM::Policy
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Condition: Loud
    Properties:
      Threshold: "90"
      Dimensions: [{Name: Zone, Value: b}, {Value: {Ref: Group}, Name: Group}]
Parameters:
  ImageId: {Type: String, Default: ami-2}
`
	assert.Equal(t, []string{
		"Parameters.ImageId.Default: ami-1 -> ami-2",
		"Resources.Alarm.Condition: added, Loud",
		"Resources.Alarm.Properties.Dimensions.Zone.Value: a -> b",
		"Resources.Alarm.Properties.Threshold: 80 -> 90",
		"Resources.Gone: removed, was AWS::SNS::Topic",
		"Resources.New: added, AWS::SQS::Queue",
		"Resources.Policy.Properties.Roles[1]: added, x",
		"Resources.Policy.Properties.Text: …the colour of it is red, and then goes on -> …the colour of it is blue, and then goes on",
		"Outputs.More: added, {Value: x}",
	}, stack.Moved(before, after))
	assert.Empty(t, stack.Moved(before, "# a comment\n"+before))
	assert.Equal(t, []string{"Resources.A.Properties.B: !Ref C -> !GetAtt C.Arn"}, stack.Moved(
		"Resources: {A: {Properties: {B: !Ref C}}}", "Resources: {A: {Properties: {B: !GetAtt C.Arn}}}"))
	assert.Equal(t, []string{"Resources.A.Properties.B: !If [X, 1, 2] -> 1"}, stack.Moved(
		"Resources: {A: {Properties: {B: !If [X, 1, 2]}}}", "Resources: {A: {Properties: {B: 1}}}"))
	assert.Equal(t, []string{"Resources.A.Properties.B: removed, was !If [X, 1, 2]"}, stack.Moved(
		"Resources: {A: {Properties: {B: !If [X, 1, 2]}}}", "Resources: {A: {Properties: {}}}"))
	assert.Len(t, stack.Moved("not: [a template", "Resources: {}"), 1)
	assert.Empty(t, stack.Moved("not: [a template", "not: [a template"))
	json := `{"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}`
	assert.Empty(t, stack.Moved(json, "Resources:\n  A:\n    Type: AWS::SNS::Topic\n"))
}
