package facts_test

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// gives checks what expressions come to as outputs: name and expression, and what is wanted ("*" for anything).
func gives(head string, pairs ...[2]string) func(w *world) {
	return func(w *world) {
		body := head + "\nResources:\n  Topic: {Type: AWS::SNS::Topic}\nOutputs:\n"
		want := map[string]string{}
		for i, p := range pairs {
			name := "O" + string(rune('A'+i))
			body += "  " + name + ": {Value: " + p[0] + "}\n"
			want[name] = p[1]
		}
		s := w.made("functions", body)
		got := s.outputs()
		for name, text := range want {
			text = strings.NewReplacer("STACKNAME", s.name, "STACKID", s.id, "TOPIC", s.physical("Topic")).Replace(text)
			assert.Equal(w, text, got[name], name)
		}
	}
}

// rejects checks that templates are refused with a text.
func rejects(pairs ...[2]string) func(w *world) {
	return func(w *world) {
		for _, p := range pairs {
			w.refuses(p[0], p[1])
		}
	}
}

// one is a template of one output.
func one(expression string) string {
	return "Resources:\n  Topic: {Type: AWS::SNS::Topic}\nOutputs:\n  Out: {Value: " + expression + "}\n"
}

const mapping = "Mappings: {Sizes: {small: {count: 1, list: [a, b]}}}"

// put stores a parameter, or its next version.
func (w *world) put(name, value string) {
	w.Helper()
	w.afterwards(func(ctx context.Context) {
		_, _ = w.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name})
	})
	_, err := w.ssm.PutParameter(w.ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(true)})
	require.NoError(w, err)
}

var functionFacts = []fact{
	{id: "F200", claim: "Ref gives a parameter's value and a resource's physical id.", source: "[UG:intrinsic-function-reference-ref]", check: gives("Parameters: {Word: {Type: String, Default: hello}}", [2]string{"!Ref Word", "hello"}, [2]string{"!Ref Topic", "TOPIC"})},
	{id: "F201", claim: "Fn::GetAtt gives an attribute, in its list form and as Name.Attribute.", source: "[UG:intrinsic-function-reference-getatt]", check: func(w *world) {
		s := w.made("functions", one("{'Fn::GetAtt': [Topic, TopicName]}")+"  Short: {Value: !GetAtt Topic.TopicName}\n")
		name := s.physical("Topic")
		name = name[strings.LastIndex(name, ":")+1:]
		assert.Equal(w, map[string]string{"Out": name, "Short": name}, s.outputs())
	}},
	{id: "F202", claim: "Fn::Sub puts in parameters, resources, attributes and its own variables, and leaves ${!Literal}.", source: "[UG:intrinsic-function-reference-sub]", check: gives("Parameters: {Word: {Type: String, Default: hello}}",
		[2]string{"!Sub '${Word}-${Topic}'", "hello-TOPIC"}, [2]string{"!Sub ['${Mine} ${!Left}', {Mine: !Ref Word}]", "hello ${Left}"}, [2]string{"!Sub '${Topic.TopicArn}'", "TOPIC"})},
	{id: "F203", claim: "Fn::Join, Fn::Split and Fn::Select work on lists, and on each other.", source: "[UG:intrinsic-function-reference-join]", check: gives("",
		[2]string{"!Join ['-', [a, b, c]]", "a-b-c"}, [2]string{"!Select [1, !Split ['.', a.b.c]]", "b"}, [2]string{"!Join ['+', !Split [',', 'x,y']]", "x+y"})},
	{id: "F204", claim: "Fn::Select of an index beyond the list is an error.", source: "[UG:intrinsic-function-reference-select]", check: rejects([2]string{one("!Select [3, [a, b]]"), "Template error: Fn::Select*"})},
	{id: "F205", claim: "Fn::Base64 encodes a text.", source: "[UG:intrinsic-function-reference-base64]", check: gives("", [2]string{"!Base64 hello", "aGVsbG8="})},
	{id: "F206", claim: "Fn::GetAZs gives the zones of a region, by default of the stack's.", source: "[UG:intrinsic-function-reference-getavailabilityzones]", check: gives("",
		[2]string{"!Select [0, !GetAZs '']", region + "a"}, [2]string{"!Select [1, !GetAZs {Ref: 'AWS::Region'}]", region + "b"})},
	{id: "F207", claim: "Fn::FindInMap reads Mappings by two keys, also computed ones.", source: "[UG:intrinsic-function-reference-findinmap]", check: gives(mapping+"\nParameters: {Size: {Type: String, Default: small}}",
		[2]string{"!FindInMap [Sizes, small, count]", "1"}, [2]string{"!FindInMap [Sizes, !Ref Size, count]", "1"}, [2]string{"!Select [1, !FindInMap [Sizes, small, list]]", "b"})},
	{id: "F208", claim: "Fn::FindInMap of a key that is not there is \"Template error: Unable to get mapping for Map::Key::Key\".", source: "[UG:intrinsic-function-reference-findinmap] [LS]", check: rejects(
		[2]string{mapping + "\n" + one("!FindInMap [Sizes, large, count]"), "Template error: Unable to get mapping for Sizes::large::count"},
		[2]string{mapping + "\n" + one("!FindInMap [Nothing, large, count]"), "Template error: Mapping named 'Nothing' is not present in the 'Mappings' section of template."})},
	{id: "F209", claim: "Fn::Cidr cuts a block into smaller ones.", source: "[UG:intrinsic-function-reference-cidr]", check: gives("",
		[2]string{"!Select [0, !Cidr ['10.0.0.0/16', 4, 8]]", "10.0.0.0/24"}, [2]string{"!Select [3, !Cidr ['10.0.0.0/16', 4, 8]]", "10.0.3.0/24"})},
	{id: "F210", claim: "Fn::If, Equals, And, Or and Not make conditions, which may name each other.", source: "[UG:intrinsic-function-reference-conditions]", check: gives(`Parameters: {Env: {Type: String, Default: prod}}
Conditions:
  Prod: !Equals [!Ref Env, prod]
  Test: !Not [!Condition Prod]
  Both: !And [!Condition Prod, !Condition Test]
  Any: !Or [!Condition Prod, !Condition Test]`,
		[2]string{"!If [Prod, a, b]", "a"}, [2]string{"!If [Test, a, b]", "b"}, [2]string{"!If [Both, a, b]", "b"}, [2]string{"!If [Any, a, b]", "a"})},
	{id: "F211", claim: "AWS::NoValue in Fn::If leaves a property out.", source: "[UG:pseudo-parameter-reference]", check: func(w *world) {
		s := w.made("functions", "Conditions: {No: !Equals [a, b]}\nResources:\n  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !If [No, x, !Ref 'AWS::NoValue']}}\n")
		assert.Empty(w, s.displayName())
		for _, e := range s.all() {
			if *e.LogicalResourceId == "Topic" && e.ResourceStatus == "CREATE_COMPLETE" {
				assert.NotContains(w, aws.ToString(e.ResourceProperties), "DisplayName")
			}
		}
	}},
	{id: "F212", claim: "The pseudo parameters give region, account, partition, suffix, name and id of the stack.", source: "[UG:pseudo-parameter-reference]", check: gives("",
		[2]string{"!Ref AWS::Region", region}, [2]string{"!Ref AWS::Partition", "aws"}, [2]string{"!Ref AWS::URLSuffix", "amazonaws.com"},
		[2]string{"!Ref AWS::StackName", "STACKNAME"}, [2]string{"!Ref AWS::StackId", "STACKID"}, [2]string{"!Sub '${AWS::StackName}.${AWS::Region}'", "STACKNAME." + region})},
	{id: "F213", claim: "AWS::AccountId is the account's, and stands in every ARN.", source: "[UG:pseudo-parameter-reference]", check: func(w *world) {
		s := w.made("functions", one("!Ref AWS::AccountId"))
		assert.Regexp(w, `^\d{12}$`, s.outputs()["Out"])
		assert.Contains(w, s.id, ":"+s.outputs()["Out"]+":stack/")
	}},
	{id: "F214", claim: "AWS::NotificationARNs is the list of the stack's topics.", source: "[UG:pseudo-parameter-reference]", check: func(w *world) {
		topic := w.made("topic", one("!Ref Topic")).outputs()["Out"]
		s := w.made("functions", one("!Select [0, !Ref 'AWS::NotificationARNs']"), func(in *cloudformation.CreateStackInput) { in.NotificationARNs = []string{topic} })
		assert.Equal(w, topic, s.outputs()["Out"])
		assert.Equal(w, []string{topic}, s.describe().NotificationARNs)
	}},
	{id: "F215", claim: "Fn::ImportValue gives what another stack of the region exports.", source: "[UG:intrinsic-function-reference-importvalue]", check: func(w *world) {
		name := w.name("exported")
		from := w.made("from", strings.Replace(one("hello"), "Value: hello", "Value: hello, Export: {Name: "+name+"}", 1))
		into := w.made("into", one("!ImportValue "+name))
		assert.Equal(w, "hello", into.outputs()["Out"])
		assert.Equal(w, name, *from.describe().Outputs[0].ExportName)
		list, err := w.cfn.ListExports(w.ctx, &cloudformation.ListExportsInput{})
		require.NoError(w, err)
		assert.Contains(w, list.Exports, types.Export{ExportingStackId: &from.id, Name: &name, Value: aws.String("hello")})
		by, err := w.cfn.ListImports(w.ctx, &cloudformation.ListImportsInput{ExportName: &name})
		require.NoError(w, err)
		assert.Equal(w, []string{into.name}, by.Imports)
	}},
	{id: "F216", claim: "An import that nobody exports fails the operation with \"No export named X found\".", source: "[UG:intrinsic-function-reference-importvalue] [INFERRED]", check: func(w *world) {
		s := w.create("into", one("!ImportValue nobody"))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Stack ROLLBACK_IN_PROGRESS: No export named nobody found. Rollback requested by user.")
	}},
	{id: "F217", claim: "An export in use is neither changed nor deleted, and a name is exported once.", source: "[UG:using-cfn-stack-exports]", check: func(w *world) {
		name := w.name("exported")
		body := func(v string) string {
			return strings.Replace(one(v), "Value: "+v, "Value: "+v+", Export: {Name: "+name+"}", 1)
		}
		from := w.made("from", body("hello"))
		into := w.made("into", one("!ImportValue "+name))
		require.NoError(w, from.update(body("other")))
		from.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(from.events(), "\n"), "Export "+name+" cannot be updated as it is in use by "+into.name)
		from.remove()
		from.await("DELETE_FAILED")
		assert.Contains(w, strings.Join(from.events(), "\n"), "Export "+name+" cannot be deleted as it is in use by "+into.name)
		again := w.create("again", body("hello"))
		again.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(again.events(), "\n"), "Export with name "+name+" is already exported by stack "+from.name)
		into.remove()
		into.await("DELETE_COMPLETE")
		from.remove()
		from.await("DELETE_COMPLETE")
	}},
	{id: "F218", claim: "A function that does not exist is refused as \"Encountered unsupported function\".", source: "[LS]", check: rejects([2]string{one("{'Fn::Nothing': x}"), "Template format error: Encountered unsupported function: Fn::Nothing Supported functions are: [*"})},
	{id: "F219", claim: "A dynamic reference {{resolve:ssm:name}} gives the parameter's value, {{resolve:ssm:name:2}} that of a version.", source: "[UG:dynamic-references]", check: func(w *world) {
		name := w.name("word")
		w.put(name, "first")
		w.put(name, "second")
		w.put(name, "third")
		s := w.made("functions", say(), with("Say", "{{resolve:ssm:"+name+"}}"))
		assert.Equal(w, "third", s.displayName())
		require.NoError(w, s.update(say(), to("Say", "a {{resolve:ssm:"+name+":2}} one")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, "a second one", s.displayName())
	}},
	{id: "F220", claim: "A new value behind a dynamic reference is no change of the stack.", source: "[UG:dynamic-references]", check: func(w *world) {
		name := w.name("word")
		w.put(name, "first")
		s := w.made("functions", say(), with("Say", "{{resolve:ssm:"+name+"}}"))
		w.put(name, "second")
		w.refused(s.update(say(), to("Say", "{{resolve:ssm:"+name+"}}")), "ValidationError", "No updates are to be performed.")
		assert.Equal(w, "first", s.displayName())
	}},
	{id: "F221", claim: "A dynamic reference to a parameter that is not there fails the resource.", source: "[UG:dynamic-references] [INFERRED]", check: func(w *world) {
		s := w.create("functions", say(), with("Say", "{{resolve:ssm:nobody}}"))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(of("Topic", s.events()), "\n"), "Parameters: [nobody] cannot be found.")
	}},
	{id: "F222", claim: "The events show a dynamic reference, not its value.", source: "[UG:dynamic-references]", check: func(w *world) {
		name := w.name("word")
		w.put(name, "first")
		s := w.made("functions", say(), with("Say", "{{resolve:ssm:"+name+"}}"))
		for _, e := range s.all() {
			if *e.LogicalResourceId == "Topic" && e.ResourceStatus == "CREATE_COMPLETE" {
				assert.Contains(w, *e.ResourceProperties, "{{resolve:ssm:"+name+"}}")
			}
		}
	}},
	{id: "F223", claim: "A reference {{resolve:ssm-secure:name}} gives a database its password, and is refused where it would be told: \"SSM Secure reference is not supported in: [X]\".", source: "[UG:dynamic-references]", lab: "a secure string of the account would be needed", check: func(w *world) {
		_, err := w.ssm.PutParameter(w.ctx, &ssm.PutParameterInput{Name: aws.String("/password"), Value: aws.String("secret-two"), Type: ssmtypes.ParameterTypeSecureString})
		require.NoError(w, err)
		s := w.made("store", strings.Replace(store("DeletionPolicy: Delete"), "secret-one", "'{{resolve:ssm-secure:/password}}'", 1))
		assert.NotContains(w, strings.Join(s.properties(), "\n"), "secret-two")
		id := s.physical("Database")
		w.lab.Core().View(region, func(tx *core.Tx) {
			assert.Equal(w, "secret-two", tx.Region.DBInstances[id].Password)
		})
	}},
}
