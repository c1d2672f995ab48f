package cloudformation_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Whatever a template is, it is taken or refused in AWS's form: parsing it,
// telling what it asks for, and working out its change set.
func FuzzTemplate(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no templates to begin with")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	properties := func(text string) string {
		return "Resources: {T: {Type: AWS::SNS::Topic, Properties: {DisplayName: " + text + "}}}"
	}
	for _, s := range []string{
		"", "{", "[", "a: &a [*a]", "a: &a {b: *a}", "Resources:", "Resources: {T: }", "Resources: {T: {Type: [x]}}", "\xff", "%YAML 1.1\n---\n!!binary x",
		`{"Resources":{"T":{"Type":"AWS::SNS::Topic"}}}`, `{"Resources":` + strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 301),
		"Resources: " + strings.Repeat("[", 300), "Resources: {T: {Type: AWS::SNS::Topic, DependsOn: T}}", "Conditions: {A: !Condition A}" + topic, "Conditions: {A: !Not [!Condition B], B: !Not [!Condition A]}" + topic,
		"Parameters: {P: {Type: String, AllowedPattern: '('}}" + topic, "Parameters: {P: {Type: Number, Default: 1e999, MinValue: x}}" + topic, "Parameters: {P: {Type: 'List<Number>', Default: ',,'}}" + topic,
		properties("!Sub '${AWS::Region}-${T.TopicName}-${!x}-${'"), properties("!Sub ['${a}', {a: !Ref AWS::NoValue}]"), properties("!Cidr ['10.0.0.0/8', 256, 0]"), properties("!Cidr ['::/0', 999999999, -1]"),
		properties("!Select [-1, [a]]"), properties("!Select [99999999999999999999, !Split ['', 'abc']]"), properties("!Join [[], {}]"), properties("!GetAtt T"), properties("!GetAtt [T]"), properties("!If [A, b]"), properties("!FindInMap [M, a, b]"),
		properties("!Base64 {}"), properties("!GetAZs []"), properties("!ImportValue x"), properties("'{{resolve:ssm:x:y:z}}'"), properties("{Fn::Sub: [1, 2, 3]}"), properties("!Ref ''"), properties("{Ref: [a]}"),
		"Mappings: {M: {a: {b: [1]}}}\n" + properties("!FindInMap [M, a, b]"), "Outputs: {O: {Value: !GetAtt T.Nothing, Export: {Name: !Ref T}}}" + topic,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := state.New("fuzz", "111111111111")
		c := core.New(w, core.Options{Clock: clock.NewManual(time.Unix(0, 0)), Manual: true}, cloudformation.Service{})
		defer c.Close()
		inForm := func(err error) bool {
			var e *wire.Error
			if err != nil && (!errors.As(err, &e) || e.Code == "" || e.Message == "" || e.Status >= 500) {
				t.Fatalf("an error of no form: %v", err)
			}
			return err == nil
		}
		do := func(fn func(tx *core.Tx) error) error { return c.Do(region, fn) }
		if !inForm(do(func(tx *core.Tx) error {
			_, err := cloudformation.ValidateTemplate(tx, &cloudformation.ValidateTemplateInput{TemplateBody: body})
			return err
		})) {
			return
		}
		inForm(do(func(tx *core.Tx) error {
			_, err := cloudformation.GetTemplateSummary(tx, &cloudformation.GetTemplateSummaryInput{TemplateBody: body})
			return err
		}))
		if inForm(do(func(tx *core.Tx) error {
			_, err := cloudformation.CreateChangeSet(tx, &cloudformation.CreateChangeSetInput{
				StackName: "s", ChangeSetName: "c", ChangeSetType: "CREATE", TemplateBody: body, Capabilities: []string{"CAPABILITY_NAMED_IAM"},
			})
			return err
		})) {
			c.Settle()
		}
	})
}
