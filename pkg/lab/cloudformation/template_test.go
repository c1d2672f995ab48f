package cloudformation_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
)

const topic = "\nResources:\n  T: {Type: AWS::SNS::Topic}\n"

// Each faulty template, and the text AWS has for it.
func TestTemplateErrors(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ body, text string }{
		"empty":              {"", "Either Template URL or Template Body must be specified."},
		"a list":             {"[1, 2]", "Template format error: unsupported structure."},
		"a word":             {"hello", "Template format error: unsupported structure."},
		"broken YAML":        {"Resources:\n  A: [", "Template format error: YAML not well-formed. (line "},
		"broken JSON":        {"{\n  \"Resources\": {,}\n}", "Template format error: JSON not well-formed. (line 2, column 17)"},
		"unknown tag":        {"Resources: {A: {Type: !Foo x}}", "Template format error: YAML not well-formed. (line 1, column 23)"},
		"duplicate key":      {"Resources: {A: {Type: AWS::SNS::Topic}, A: {Type: AWS::SNS::Topic}}", "Template format error: YAML not well-formed."},
		"no resources":       {"Description: x", "Template format error: At least one Resources member must be defined."},
		"unknown section":    {"Foo: 1" + topic, "Invalid template property or properties [Foo]"},
		"transform":          {"Transform: AWS::Serverless-2016-10-31" + topic, "Transform AWS::Serverless-2016-10-31 failed with: "},
		"macro":              {"Transform: [AWS::Include, MyMacro]" + topic, "No transform named MyMacro found."},
		"rules":              {"Rules: {R: {Assertions: []}}" + topic, "the section Rules is not supported"},
		"secure, elsewhere":  {"Resources: {T: {Type: AWS::SNS::Topic, Properties: {DisplayName: '{{resolve:ssm-secure:/word}}'}}}", "SSM Secure reference is not supported in: [AWS::SNS::Topic/Properties/DisplayName]"},
		"version":            {"AWSTemplateFormatVersion: '2011-01-01'" + topic, "Template format error: Template format version 2011-01-01 is not supported"},
		"long description":   {"Description: " + strings.Repeat("x", 1025) + topic, "Template format error: Template Description is too long"},
		"unknown type":       {"Resources: {A: {Type: AWS::Foo::Bar}, B: {Type: AWS::RDS::DBCluster}}", "Template format error: Unrecognized resource types: [AWS::Foo::Bar, AWS::RDS::DBCluster]"},
		"no type":            {"Resources: {A: {Properties: {}}}", "Template format error: [/Resources/A] Every Resources object must contain a Type member."},
		"bad name":           {"Resources: {A-B: {Type: AWS::SNS::Topic}}", "Template format error: Resource name A-B is non alphanumeric."},
		"unknown attribute":  {"Resources: {A: {Type: AWS::SNS::Topic, Propertiess: {}}}", "Invalid template resource property 'Propertiess'"},
		"null":               {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: }}}", "'null' values are not allowed in templates"},
		"dangling Ref":       {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Nobody}}}", "Template format error: Unresolved resource dependencies [Nobody] in the Resources block of the template"},
		"dangling Sub":       {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub 'x ${Nobody}'}}}", "Unresolved resource dependencies [Nobody] in the Resources block"},
		"dangling DependsOn": {"Resources: {A: {Type: AWS::SNS::Topic, DependsOn: Nobody}}", "Unresolved resource dependencies [Nobody] in the Resources block"},
		"dangling GetAtt":    {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt Nobody.Arn}}}", "Template error: instance of Fn::GetAtt references undefined resource Nobody"},
		"unknown GetAtt":     {"Resources: {A: {Type: AWS::SNS::Topic}, B: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt A.Colour}}}", "Template error: resource A does not support attribute type Colour in Fn::GetAtt"},
		"short GetAtt":       {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt A}}}", "Template error: every Fn::GetAtt object requires two non-empty parameters"},
		"dangling output":    {"Outputs: {O: {Value: !Ref Nobody}}" + topic, "Unresolved resource dependencies [Nobody] in the Outputs block of the template"},
		"circle":             {"Resources: {A: {Type: AWS::SNS::Topic, DependsOn: B}, B: {Type: AWS::SNS::Topic, DependsOn: A}}", "Circular dependency between resources: [A, B]"},
		"unknown condition":  {"Resources: {A: {Type: AWS::SNS::Topic, Condition: C}}", "Unresolved condition dependency C"},
		"resource condition": {"Conditions: {C: !Equals [!Ref T, x]}" + topic, "Cannot reference resources in the Conditions block of the template"},
		"unknown function":   {"Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: {'Fn::Foo': x}}}}", "Encountered unsupported function: Fn::Foo Supported functions are: [Fn::And"},
		"parameter type":     {"Parameters: {P: {Type: Foo}}" + topic, "Template format error: Unrecognized parameter type: Foo"},
		"parameter no type":  {"Parameters: {P: {Default: x}}" + topic, "Every Parameters object must contain a Type member."},
		"parameter default":  {"Parameters: {P: {Type: String, Default: [x]}}" + topic, "Every Default member must be a string."},
		"snapshot policy":    {"Resources: {A: {Type: AWS::SNS::Topic, DeletionPolicy: Snapshot}}", "does not support deletion policy Snapshot"},
		"unknown policy":     {"Resources: {A: {Type: AWS::SNS::Topic, DeletionPolicy: Keep}}", "Unrecognized DeletionPolicy Keep"},
		"update policy":      {"Resources: {A: {Type: AWS::SNS::Topic, UpdatePolicy: {}}}", "UpdatePolicy is not supported for resource type AWS::SNS::Topic"},
		"output value":       {"Outputs: {O: {Description: x}}" + topic, "Template format error: Output O is malformed."},
		"too big":            {topic + "#" + strings.Repeat("x", 51200), "Member must have length less than or equal to 51200"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			refused(w, cloudformation.ValidateTemplate, &cloudformation.ValidateTemplateInput{TemplateBody: c.body}, "ValidationError", c.text)
		})
	}
}

func TestParameterErrors(t *testing.T) {
	w := newWorld(t)
	body := `
Parameters:
  Word: {Type: String, Default: abc, AllowedPattern: '[a-z]+', MinLength: 2, MaxLength: 4}
  Choice: {Type: String, Default: a, AllowedValues: [a, b]}
  Count: {Type: Number, Default: 3, MinValue: 2, MaxValue: 5}
  Name: {Type: String, Default: abc, AllowedPattern: '[a-z]+', ConstraintDescription: only small letters}
  Stored: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /there}
  Needed: {Type: String}
` + topic
	w.do(func(tx *core.Tx) error {
		_, err := ssm.PutParameter(tx, &ssm.PutParameterInput{Name: "/there", Type: "String", Value: "42"})
		return err
	})
	for _, c := range []struct{ key, value, text string }{
		{"Word", "a1", "Parameter 'Word' must match pattern [a-z]+"},
		{"Word", "a", "Parameter 'Word' must contain at least 2 characters"},
		{"Word", "abcde", "Parameter 'Word' must contain at most 4 characters"},
		{"Choice", "c", "Parameter 'Choice' must be one of AllowedValues"},
		{"Count", "x", "Parameter 'Count' must be a number"},
		{"Count", "1", "Parameter 'Count' must be a number not less than 2"},
		{"Count", "6", "Parameter 'Count' must be a number not greater than 5"},
		{"Name", "A", "Parameter 'Name' failed to satisfy constraint: only small letters"},
		{"Stored", "/nowhere", "Parameters: [/nowhere] cannot be found."},
	} {
		refused(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{
			StackName: "net", TemplateBody: body, Parameters: parameters("Needed", "x", c.key, c.value),
		}, "ValidationError", c.text)
	}
	refused(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body}, "ValidationError", "Parameters: [Needed] must have values")
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body, Parameters: parameters("Needed", "x")})
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Contains(t, d.Parameters, cloudformation.Parameter{ParameterKey: "Stored", ParameterValue: "/there", ResolvedValue: "42"})
	refused(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "a_b", TemplateBody: body}, "ValidationError", "Value 'a_b' at 'stackName' failed to satisfy constraint")
}

// Every function, evaluated by a stack and read back from its outputs.
const functions = `
AWSTemplateFormatVersion: "2010-09-09"
Description: all functions
Parameters:
  Env: {Type: String, Default: production}
  Zones: {Type: CommaDelimitedList, Default: "a, b,c"}
  Stored: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /there}
Mappings:
  Sizes:
    production: {Type: m5.large, Ports: ["80", "443"]}
    test: {Type: t3.micro, Ports: ["80"]}
Conditions:
  Production: !Equals [!Ref Env, production]
  Never: !Not [!Condition Production]
  Both: !And [!Condition Production, !Not [!Condition Never]]
  Either: !Or [!Condition Never, !Condition Production]
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: !Sub "${AWS::StackName}-topic"
      DisplayName: !If [Never, never, !Ref "AWS::NoValue"]
  Hidden:
    Type: AWS::SNS::Topic
    Condition: Never
Outputs:
  Ref: {Value: !Ref Topic}
  GetAtt: {Value: !GetAtt Topic.TopicName}
  Sub: {Value: !Sub ["${Env} ${Own} ${!Literal} ${Topic.TopicName} ${AWS::Region}", {Own: !Ref Env}]}
  Join: {Value: !Join ["-", !Ref Zones]}
  Select: {Value: !Select [1, !Ref Zones]}
  Split: {Value: !Select [2, !Split [".", a.b.c]]}
  If: {Value: !If [Both, both, none]}
  Map: {Value: !FindInMap [Sizes, !Ref Env, Type]}
  MapList: {Value: !Join [",", !FindInMap [Sizes, !Ref Env, Ports]]}
  Zone: {Value: !Select [0, !GetAZs ""]}
  Base64: {Value: !Base64 hello}
  Cidr: {Value: !Join [" ", !Cidr [10.0.0.0/16, 3, 8]]}
  Stored: {Value: !Ref Stored}
  Either: {Condition: Either, Value: "yes"}
  Never: {Condition: Never, Value: !Ref Hidden}
  Account: {Value: !Sub "${AWS::AccountId} ${AWS::Partition} ${AWS::URLSuffix}"}
`

func TestFunctions(t *testing.T) {
	w := newWorld(t)
	w.do(func(tx *core.Tx) error {
		_, err := ssm.PutParameter(tx, &ssm.PutParameterInput{Name: "/there", Type: "String", Value: "42"})
		return err
	})
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: functions})
	w.until("net", "CREATE_COMPLETE")
	got := map[string]string{}
	for _, o := range must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0].Outputs {
		got[o.OutputKey] = o.OutputValue
	}
	arn := "arn:aws:sns:eu-west-1:111111111111:net-topic"
	assert.Equal(t, map[string]string{
		"Ref": arn, "GetAtt": "net-topic", "Sub": "production production ${Literal} net-topic eu-west-1", "Join": "a-b-c", "Select": "b",
		"Split": "c", "If": "both", "Map": "m5.large", "MapList": "80,443", "Zone": "eu-west-1a", "Base64": "aGVsbG8=",
		"Cidr": "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24", "Stored": "42", "Either": "yes", "Account": "111111111111 aws amazonaws.com",
	}, got)
}

// A JSON template with the long forms is the same template.
func TestJSON(t *testing.T) {
	w := newWorld(t)
	body := `{"Parameters": {"Name": {"Type": "String", "Default": "x"}},
	"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Join": ["", [{"Ref": "Name"}, "y"]]}}}},
	"Outputs": {"Name": {"Value": {"Fn::GetAtt": "Topic.TopicName"}}}}`
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body})
	w.until("net", "CREATE_COMPLETE")
	assert.Equal(t, "xy", w.stack("net").Resources["Topic"].Properties["DisplayName"])
	out := must(w, cloudformation.GetTemplate, &cloudformation.GetTemplateInput{StackName: "net", TemplateStage: "Original"})
	assert.Equal(t, body, out.TemplateBody, "byte for byte")
	assert.Equal(t, []string{"Original", "Processed"}, out.StagesAvailable)
}

func TestFunctionErrors(t *testing.T) {
	w := newWorld(t)
	for value, text := range map[string]string{
		"!Select [5, [a, b]]":       "Fn::Select cannot select nonexistent value at index 5",
		"!FindInMap [A, b, c]":      "Mapping named 'A' is not present in the 'Mappings' section of template.",
		"!FindInMap [M, x, y]":      "Unable to get mapping for M::x::y",
		"!Join [a, b]":              "every Fn::Join object requires two parameters",
		"!Cidr [10.0.0.0/24, 300]":  "the count must be a number from 1 to 256",
		"!Cidr [10.0.0.0/24, 4, 8]": "has no room",
		"!Base64 [a]":               "every Fn::Base64 object must have a String-typed value.",
		"!If [C, a]":                "Fn::If requires a list argument with three elements",
		"!GetAtt Hidden.TopicName":  "Unresolved resource dependencies [Hidden]",
	} {
		body := "Conditions: {C: !Equals [a, b]}\nMappings: {M: {a: {b: c}}}\nResources:\n  Hidden: {Type: AWS::SNS::Topic, Condition: C}\n  A: {Type: AWS::SNS::Topic, Properties: {DisplayName: " + value + "}}"
		refused(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body}, "ValidationError", text)
	}
}

func TestCapabilities(t *testing.T) {
	w := newWorld(t)
	role := "Resources: {R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: []}NAME}}}"
	body := strings.Replace(role, "NAME", "", 1)
	in := &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body}
	refused(w, cloudformation.CreateStack, in, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]")
	in.TemplateBody = strings.Replace(role, "NAME", ", RoleName: x", 1)
	in.Capabilities = []string{"CAPABILITY_IAM"}
	refused(w, cloudformation.CreateStack, in, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]")
	v := must(w, cloudformation.ValidateTemplate, &cloudformation.ValidateTemplateInput{TemplateBody: body})
	assert.Equal(t, []string{"CAPABILITY_IAM"}, v.Capabilities)
	assert.Contains(t, v.CapabilitiesReason, "AWS::IAM::Role")
}

func TestPropertiesAreValidated(t *testing.T) {
	w := newWorld(t)
	for props, text := range map[string]string{
		"{CidrBlock: 10.0.0.0/16, Colour: red}":             "#: extraneous key [Colour] is not permitted",
		"{CidrBlock: [10.0.0.0/16]}":                        "#/CidrBlock: expected type: String, found: JSONArray",
		"{CidrBlock: 10.0.0.0/16, EnableDnsSupport: maybe}": "#/EnableDnsSupport: expected type: Boolean, found: String",
	} {
		body := "Resources: {Vpc: {Type: AWS::EC2::VPC, Properties: " + props + "}}"
		must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{StackName: "net", TemplateBody: body})
		w.until("net", "ROLLBACK_COMPLETE")
		assert.Contains(t, strings.Join(w.events("net"), "\n"), "Vpc CREATE_FAILED: Properties validation failed for resource Vpc with message:\n"+text)
		must(w, cloudformation.DeleteStack, &cloudformation.DeleteStackInput{StackName: "net"})
		w.until("net", "DELETE_COMPLETE")
		w.clock.Advance(1e9)
		w.seen["net"] = 0
	}
}

func TestSummary(t *testing.T) {
	w := newWorld(t)
	out := must(w, cloudformation.GetTemplateSummary, &cloudformation.GetTemplateSummaryInput{TemplateBody: w.template("group.yaml", w.oldID)})
	assert.Equal(t, []string{"AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::LaunchTemplate", "AWS::EC2::Subnet", "AWS::EC2::VPC"}, out.ResourceTypes)
	require.Len(t, out.Parameters, 7)
	b, err := json.Marshal(out.Parameters[2])
	require.NoError(t, err)
	assert.Contains(t, string(b), `"ParameterKey":"ImageId","ParameterType":"AWS::EC2::Image::Id","Description":"","DefaultValue":"`+w.oldID)
}
