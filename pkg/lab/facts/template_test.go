package facts_test

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var templateFacts = []fact{
	{id: "F230", claim: "A template is YAML with the functions' short forms, or JSON, and both come to the same.", source: "[UG:template-formats]", check: func(w *world) {
		s := w.made("template", one("!Join ['-', [!Ref AWS::StackName, !GetAtt Topic.TopicName]]"))
		s.remove()
		s.await("DELETE_COMPLETE")
		body, err := json.MarshalIndent(map[string]any{
			"Resources": map[string]any{"Topic": map[string]any{"Type": "AWS::SNS::Topic"}},
			"Outputs": map[string]any{"Out": map[string]any{"Value": map[string]any{"Fn::Join": []any{"-", []any{
				map[string]any{"Ref": "AWS::StackName"}, map[string]any{"Fn::GetAtt": []any{"Topic", "TopicName"}},
			}}}}},
		}, "", "\t")
		require.NoError(w, err)
		again := w.made("template", string(body))
		assert.Regexp(w, "^"+again.name+"-"+again.name+"-Topic-[A-Za-z0-9]+$", again.outputs()["Out"])
	}},
	{id: "F231", claim: "What is neither is refused with \"Template format error: JSON not well-formed.\" or \"YAML not well-formed.\" and the place.", source: "[LS]", check: rejects(
		[2]string{"{\"Resources\": {\n  oops", "Template format error: JSON not well-formed. (line *, column *)"},
		[2]string{"Resources:\n  - [a\n", "Template format error: YAML not well-formed. (line *, column *)"})},
	{id: "F232", claim: "A template needs a resource: \"At least one Resources member must be defined.\".", source: "[LS]", check: rejects([2]string{"Description: nothing\n", "Template format error: At least one Resources member must be defined."})},
	{id: "F233", claim: "An unknown section is refused with \"Invalid template property or properties [X]\".", source: "[LS]", check: rejects([2]string{say("Oops: {}\n"), "Invalid template property or properties [Oops]"})},
	{id: "F234", claim: "An unknown resource type is refused with \"Template format error: Unrecognized resource types: [X]\".", source: "[LS]", check: rejects([2]string{say("  Bad: {Type: AWS::Nothing::AtAll}\n"), "Template format error: Unrecognized resource types: [AWS::Nothing::AtAll]"})},
	{id: "F235", claim: "A reference that leads nowhere is refused with \"Template format error: Unresolved resource dependencies [X] in the Resources block of the template\".", source: "[LS]", check: rejects(
		[2]string{say("  Bad: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Nobody}}\n"), "Template format error: Unresolved resource dependencies [Nobody] in the Resources block of the template"},
		[2]string{say("  Bad: {Type: AWS::SNS::Topic, DependsOn: Nobody}\n"), "Template format error: Unresolved resource dependencies [Nobody] in the Resources block of the template"},
		[2]string{one("!Ref Nobody"), "Template format error: Unresolved resource dependencies [Nobody] in the Outputs block of the template"})},
	{id: "F236", claim: "An attribute that the type does not have is refused by name.", source: "[LS]", check: rejects(
		[2]string{one("!GetAtt Topic.Colour"), "Template error: resource Topic does not support attribute type Colour in Fn::GetAtt"},
		[2]string{one("!GetAtt Nobody.Arn"), "Template error: instance of Fn::GetAtt references undefined resource Nobody"})},
	{id: "F237", claim: "Resources that need each other are refused with \"Circular dependency between resources: [A, B]\".", source: "[LS]", check: rejects(
		[2]string{"Resources:\n  A: {Type: AWS::SNS::Topic, DependsOn: B}\n  B: {Type: AWS::SNS::Topic, DependsOn: A}\n", "Circular dependency between resources: [A, B]"})},
	{id: "F238", claim: "A logical id has letters and digits only.", source: "[UG:resources-section-structure]", check: rejects([2]string{"Resources:\n  a-b: {Type: AWS::SNS::Topic}\n", "Template format error: Resource name a-b is non alphanumeric."})},
	{id: "F239", claim: "A null in a template is refused with its path.", source: "[LS]", check: rejects([2]string{"Resources:\n  A: {Type: AWS::SNS::Topic, Properties: {DisplayName: }}\n", "Template format error: [/Resources/A/Properties/DisplayName] 'null' values are not allowed in templates"})},
	{id: "F240", claim: "DependsOn alone makes a resource wait for another, and go before it.", source: "[UG:aws-attribute-dependson]", check: func(w *world) {
		s := w.create("template", "Resources:\n  A: {Type: AWS::SNS::Topic, DependsOn: [Z]}\n  Z: {Type: AWS::SNS::Topic}\n")
		s.await("CREATE_COMPLETE")
		lines := strings.Join(s.events(), "\n")
		assert.Less(w, strings.Index(lines, "Z CREATE_COMPLETE"), strings.Index(lines, "A CREATE_IN_PROGRESS"))
		s.remove()
		s.await("DELETE_COMPLETE")
		lines = strings.Join(s.events(), "\n")
		assert.Less(w, strings.Index(lines, "A DELETE_COMPLETE"), strings.Index(lines, "Z DELETE_IN_PROGRESS"))
	}},
	{id: "F241", claim: "A resource whose condition does not hold is not made, nor is an output.", source: "[UG:conditions-section-structure]", check: func(w *world) {
		s := w.made("template", "Conditions: {No: !Equals [a, b]}\nResources:\n  Topic: {Type: AWS::SNS::Topic}\n  Maybe: {Type: AWS::SNS::Topic, Condition: No}\nOutputs:\n  Out: {Condition: No, Value: x}\n")
		assert.Empty(w, s.outputs())
		_, err := w.cfn.DescribeStackResource(w.ctx, &cloudformation.DescribeStackResourceInput{StackName: &s.id, LogicalResourceId: aws.String("Maybe")})
		w.refused(err, "ValidationError", "Resource Maybe does not exist for stack "+s.name)
	}},
	{id: "F242", claim: "Properties that break the schema fail the resource with \"Properties validation failed for resource X with message:\" and what is wrong with each.", source: "[CP] [LS]", check: func(w *world) {
		s := w.create("template", "Resources:\n  Bad: {Type: AWS::SNS::Topic, Properties: {DisplayName: [x], Colour: red}}\n")
		s.await("ROLLBACK_COMPLETE")
		text := strings.Join(of("Bad", s.events()), "\n")
		assert.Contains(w, text, "CREATE_FAILED: Properties validation failed for resource Bad with message:\n")
		assert.Contains(w, text, "#: extraneous key [Colour] is not permitted")
		assert.Contains(w, text, "#/DisplayName: expected type: String, found: JSONArray")
	}},
	{id: "F243", claim: "A required property that is missing is \"#: required key [X] not found\".", source: "[CP] [LS]", check: func(w *world) {
		s := w.create("template", "Resources:\n  Bad: {Type: AWS::EC2::Subnet}\n")
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(of("Bad", s.events()), "\n"), "#: required key [VpcId] not found")
	}},
	{id: "F244", claim: "Numbers and booleans may be texts, and the other way round.", source: "[UG:template-formats] [INFERRED]", check: func(w *world) {
		s := w.made("template", "Resources:\n  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.4.0.0/16, EnableDnsSupport: 'true'}}\n")
		w.refused(s.update("Resources:\n  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.4.0.0/16, EnableDnsSupport: true}}\n"), "ValidationError", "No updates are to be performed.")
	}},
	{id: "F245", claim: "ValidateTemplate tells parameters, defaults and capabilities.", source: "[SDK:cloudformation]", check: func(w *world) {
		out, err := w.cfn.ValidateTemplate(w.ctx, &cloudformation.ValidateTemplateInput{TemplateBody: aws.String("Description: what\n" + strings.TrimSpace(say()))})
		require.NoError(w, err)
		assert.Equal(w, "what", *out.Description)
		require.Len(w, out.Parameters, 2)
		assert.Equal(w, "Body", *out.Parameters[0].ParameterKey)
		assert.Equal(w, "one", *out.Parameters[1].DefaultValue)
		_, err = w.cfn.ValidateTemplate(w.ctx, &cloudformation.ValidateTemplateInput{TemplateBody: aws.String("Resources: 1")})
		w.refused(err, "ValidationError", "Template format error: *")
	}},
	{id: "F246", claim: "GetTemplateSummary tells the resource types of a template.", source: "[SDK:cloudformation]", check: func(w *world) {
		out, err := w.cfn.GetTemplateSummary(w.ctx, &cloudformation.GetTemplateSummaryInput{TemplateBody: aws.String(say())})
		require.NoError(w, err)
		assert.Equal(w, []string{"AWS::CloudWatch::Dashboard", "AWS::SNS::Topic"}, out.ResourceTypes)
	}},
	{id: "F247", claim: "A resource without a name of its own is named stack-LogicalId-random.", source: "[UG:aws-properties-name]", check: func(w *world) {
		s := w.made("template", say())
		name := s.physical("Topic")
		assert.Regexp(w, "^"+s.name+"-Topic-[A-Za-z0-9]{12}$", name[strings.LastIndex(name, ":")+1:])
	}},
	{id: "F248", claim: "UpdatePolicy and CreationPolicy know their own keys only.", source: "[UG:aws-attribute-updatepolicy]", check: rejects(
		[2]string{strings.Replace(strings.Replace(roll, "Type: \"AWS::EC2::Image::Id\"", "Type: String, Default: ami-1", 1), "MaxBatchSize:", "MaxBunchSize:", 1), "*MaxBunchSize*"})},
	{id: "F249", claim: "An unknown DeletionPolicy is refused.", source: "[UG:aws-attribute-deletionpolicy] [INFERRED]", check: rejects(
		[2]string{"Resources:\n  A: {Type: AWS::SNS::Topic, DeletionPolicy: Perhaps}\n", "Template format error: Unrecognized DeletionPolicy Perhaps for resource A"})},
}

func kind(t string) string {
	return "Parameters: {P: {" + t + "}}\nResources:\n  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub '${AWS::StackName}'}}\nOutputs:\n  Out: {Value: !Ref P}\n"
}

// takes checks a parameter's declaration against a value that it takes and some that it does not.
func takes(declaration, good string, bad ...[2]string) func(w *world) {
	return func(w *world) {
		s := w.made("parameter", kind(declaration), with("P", good))
		assert.Equal(w, good, value(s.describe().Parameters, "P"))
		for _, b := range bad {
			_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("refused")), TemplateBody: aws.String(kind(declaration)), Parameters: params("P", b[0])})
			w.refused(err, "ValidationError", b[1])
		}
	}
}

var parameterFacts = []fact{
	{id: "F250", claim: "AllowedValues are the only ones: \"Parameter 'P' must be one of AllowedValues\".", source: "[UG:parameters-section-structure]", check: takes("Type: String, AllowedValues: [a, b]", "a", [2]string{"c", "Parameter 'P' must be one of AllowedValues"})},
	{id: "F251", claim: "AllowedPattern must match the whole value: \"Parameter 'P' must match pattern X\".", source: "[UG:parameters-section-structure]", check: takes("Type: String, AllowedPattern: '[a-z]+'", "abc", [2]string{"abc1", "Parameter 'P' must match pattern [a-z]+"})},
	{id: "F252", claim: "ConstraintDescription takes the place of the text: \"Parameter 'P' failed to satisfy constraint: X\".", source: "[UG:parameters-section-structure]", check: takes("Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: letters only", "abc", [2]string{"1", "Parameter 'P' failed to satisfy constraint: letters only"})},
	{id: "F253", claim: "MinLength and MaxLength bound a text.", source: "[UG:parameters-section-structure]", check: takes("Type: String, MinLength: 2, MaxLength: 3", "abc", [2]string{"a", "Parameter 'P' must contain at least 2 characters"}, [2]string{"abcd", "Parameter 'P' must contain at most 3 characters"})},
	{id: "F254", claim: "MinValue and MaxValue bound a number, and a Number must be one.", source: "[UG:parameters-section-structure]", check: takes("Type: Number, MinValue: 2, MaxValue: 3", "3",
		[2]string{"1", "Parameter 'P' must be a number not less than 2"}, [2]string{"4", "Parameter 'P' must be a number not greater than 3"}, [2]string{"x", "Parameter 'P' must be a number"})},
	{id: "F255", claim: "A CommaDelimitedList is a list whose items are trimmed.", source: "[UG:parameters-section-structure]", check: func(w *world) {
		s := w.made("parameter", strings.Replace(kind("Type: CommaDelimitedList"), "!Ref P", "!Select [1, !Ref P]", 1), with("P", "a, b ,c"))
		assert.Equal(w, "b", s.outputs()["Out"])
	}},
	{id: "F256", claim: "A parameter without default needs a value: \"Parameters: [P] must have values\".", source: "[LS]", check: rejects([2]string{kind("Type: String"), "Parameters: [P] must have values"})},
	{id: "F257", claim: "A parameter that the template does not have is refused: \"Parameters: [X] do not exist in the template\".", source: "[LS]", check: func(w *world) {
		_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("refused")), TemplateBody: aws.String(say()), Parameters: params("X", "1")})
		w.refused(err, "ValidationError", "Parameters: [X] do not exist in the template")
	}},
	{id: "F258", claim: "The value of a NoEcho parameter is shown as ****.", source: "[UG:parameters-section-structure]", check: func(w *world) {
		s := w.made("parameter", strings.Replace(kind("Type: String, NoEcho: true"), "!Ref P", "none", 1), with("P", "secret"))
		assert.Equal(w, "****", value(s.describe().Parameters, "P"))
	}},
	{id: "F259", claim: "An AWS::EC2::Image::Id must exist when the operation begins: \"Parameter validation failed: parameter value X for parameter name P does not exist\".", source: "[LS] [SDK:cloudformation]", check: func(w *world) {
		s := w.create("parameter", kind("Type: 'AWS::EC2::Image::Id'"), with("P", "ami-00000000000000001"))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Stack ROLLBACK_IN_PROGRESS: Parameter validation failed: parameter value ami-00000000000000001 for parameter name P does not exist. Rollback requested by user.")
	}},
	{id: "F260", claim: "An AWS::SSM::Parameter::Value takes a parameter's name, shows its value as ResolvedValue, and reads it anew at each update.", source: "[UG:parameters-section-structure] [SDK:cloudformation types.Parameter]", check: func(w *world) {
		name := w.name("word")
		w.put(name, "first")
		body := strings.Replace(kind("Type: 'AWS::SSM::Parameter::Value<String>'"), "!Sub '${AWS::StackName}'", "!Ref P", 1)
		s := w.made("parameter", body, with("P", name))
		assert.Equal(w, "first", s.displayName())
		assert.Equal(w, "first", *s.describe().Parameters[0].ResolvedValue)
		assert.Equal(w, name, *s.describe().Parameters[0].ParameterValue)
		w.put(name, "second")
		_, err := w.cfn.UpdateStack(w.ctx, &cloudformation.UpdateStackInput{StackName: &s.id, TemplateBody: &body, Parameters: []types.Parameter{{ParameterKey: aws.String("P"), UsePreviousValue: aws.Bool(true)}}})
		require.NoError(w, err)
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "second", s.displayName())
	}},
	{id: "F261", claim: "A parameter of the store that is not there is refused: \"Parameters: [X] cannot be found.\".", source: "[LS]", check: func(w *world) {
		_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{StackName: aws.String(w.name("refused")), TemplateBody: aws.String(kind("Type: 'AWS::SSM::Parameter::Value<String>'")), Parameters: params("P", "nobody")})
		w.refused(err, "ValidationError", "*nobody*cannot be found.*")
	}},
	{id: "F262", claim: "A parameter's type must be one: \"Template format error: Unrecognized parameter type: X\".", source: "[LS]", check: rejects([2]string{kind("Type: Text"), "Template format error: Unrecognized parameter type: Text"})},
	{id: "F263", claim: "A parameter's value has 4,096 bytes at most.", source: "[UG:cloudformation-limits]", check: takes("Type: String", strings.Repeat("x", 4096), [2]string{strings.Repeat("x", 4097), "*4096*"})},
	{id: "F264", claim: "A default is checked against the constraints like a value.", source: "[UG:parameters-section-structure]", check: rejects([2]string{kind("Type: String, Default: c, AllowedValues: [a, b]"), "*Parameter 'P' must be one of AllowedValues"})},
	{id: "F265", claim: "A List of ids of AWS must all exist.", source: "[UG:parameters-section-structure]", check: func(w *world) {
		vpc := w.made("parameter", scene)
		body := strings.Replace(kind("Type: 'List<AWS::EC2::Subnet::Id>'"), "!Ref P", "!Select [0, !Ref P]", 1)
		s := w.made("good", body, with("P", vpc.physical("Subnet")))
		assert.Equal(w, vpc.physical("Subnet"), s.outputs()["Out"])
		s = w.create("bad", body, with("P", vpc.physical("Subnet")+",subnet-00000000000000001"))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.events(), "\n"), "parameter value subnet-00000000000000001 for parameter name P does not exist")
	}},
	{id: "F266", claim: "The events show **** in the place of a NoEcho parameter's value.", source: "[UG:parameters-section-structure] [INFERRED]", check: func(w *world) {
		s := w.made("parameter", strings.Replace(kind("Type: String, NoEcho: true"), "!Sub '${AWS::StackName}'", "!Ref P", 1), with("P", "secret"))
		told := strings.Join(s.properties(), "\n")
		assert.NotContains(w, told, `"secret"`)
		assert.Contains(w, told, `"****"`)
	}},
}
