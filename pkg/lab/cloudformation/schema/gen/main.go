// Command gen writes the schema tables of the lab's CloudFormation from the
// resource provider schemas that PyPI's cfn-lint package ships. It keeps what
// the lab uses and drops the rest, so the result is a small, stable JSON file.
//
//	pip download --no-deps --dest /tmp cfn-lint==1.51.0
//	go run ./pkg/lab/cloudformation/schema/gen -wheel /tmp/cfn_lint-1.51.0-py3-none-any.whl -out pkg/lab/cloudformation/schema/types.json
//
// A resource type is added by a line in types and a run of this program. If it
// does something, it has a handler, too; else it is only kept.
package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// types the lab's templates may hold.
var types = []string{
	"AWS::AutoScaling::AutoScalingGroup",
	"AWS::AutoScaling::LifecycleHook",
	"AWS::CloudFormation::WaitCondition",
	"AWS::CloudFormation::WaitConditionHandle",
	"AWS::CloudWatch::Alarm",
	"AWS::CloudWatch::CompositeAlarm",
	"AWS::CloudWatch::Dashboard",
	"AWS::EC2::EIP",
	"AWS::EC2::Instance",
	"AWS::EC2::InternetGateway",
	"AWS::EC2::LaunchTemplate",
	"AWS::EC2::Route",
	"AWS::EC2::RouteTable",
	"AWS::EC2::SecurityGroup",
	"AWS::EC2::SecurityGroupEgress",
	"AWS::EC2::SecurityGroupIngress",
	"AWS::EC2::Subnet",
	"AWS::EC2::SubnetRouteTableAssociation",
	"AWS::EC2::VPC",
	"AWS::EC2::VPCGatewayAttachment",
	"AWS::EC2::Volume",
	"AWS::EC2::VolumeAttachment",
	"AWS::ElasticLoadBalancingV2::Listener",
	"AWS::ElasticLoadBalancingV2::LoadBalancer",
	"AWS::ElasticLoadBalancingV2::TargetGroup",
	"AWS::IAM::InstanceProfile",
	"AWS::IAM::ManagedPolicy",
	"AWS::IAM::Role",
	"AWS::KMS::Alias",
	"AWS::KMS::Key",
	"AWS::Logs::LogGroup",
	"AWS::RDS::DBInstance",
	"AWS::RDS::DBParameterGroup",
	"AWS::RDS::DBSubnetGroup",
	"AWS::Route53::HealthCheck",
	"AWS::Route53::RecordSet",
	"AWS::S3::Bucket",
	"AWS::S3::BucketPolicy",
	"AWS::SNS::Subscription",
	"AWS::SNS::Topic",
	"AWS::SNS::TopicPolicy",
	"AWS::SSM::Parameter",
}

// everyProperty are types whose Fn::GetAtt knows more than the read-only
// properties: those that CloudFormation had before its registry.
var everyProperty = []string{
	"AWS::AutoScaling::AutoScalingGroup",
	"AWS::EC2::Instance",
	"AWS::EC2::SecurityGroup",
	"AWS::EC2::Subnet",
	"AWS::EC2::VPC",
	"AWS::ElasticLoadBalancingV2::LoadBalancer",
	"AWS::SNS::Topic",
	"AWS::SSM::Parameter",
}

// kept are the keywords of a property's schema that the lab checks.
var kept = []string{
	"type", "$ref", "items", "properties", "required", "enum", "pattern", "additionalProperties", "patternProperties",
	"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "insertionOrder", "requiredXor",
}

func main() {
	wheel := flag.String("wheel", "", "the cfn-lint wheel")
	region := flag.String("region", "eu-west-1", "the region whose schemas are taken")
	out := flag.String("out", "types.json", "the file to write")
	flag.Parse()
	if err := run(*wheel, *region, *out); err != nil {
		log.Fatalln("gen:", err)
	}
}

func run(wheel, region, out string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer z.Close()
	const root = "cfnlint/data/schemas/"
	index, err := read(z, root+"providers/"+strings.ReplaceAll(region, "-", "_")+".py")
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("{\n")
	for i, name := range types {
		m := regexp.MustCompile(`"` + name + `": "([0-9a-f]+)"`).FindSubmatch(index)
		if m == nil {
			return fmt.Errorf("%s is not in the schemas of %s", name, region)
		}
		raw, err := read(z, root+"resources/"+string(m[1])+".json")
		if err != nil {
			return err
		}
		var s map[string]any
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		line, err := json.Marshal(table(name, s))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q: %s", name, line)
		if i < len(types)-1 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("}\n")
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

func read(z *zip.ReadCloser, name string) ([]byte, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the wheel has no %s: %w", name, err)
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// table is the part of a resource type's schema that the lab keeps.
func table(name string, s map[string]any) map[string]any {
	t := map[string]any{"properties": trimEach(s["properties"])}
	if d := trimEach(s["definitions"]); len(d) > 0 {
		t["definitions"] = d
	}
	for from, to := range map[string]string{
		"createOnlyProperties": "createOnly", "conditionalCreateOnlyProperties": "conditional",
		"readOnlyProperties": "readOnly", "primaryIdentifier": "identifier",
	} {
		if l := names(s[from]); len(l) > 0 {
			t[to] = l
		}
	}
	for _, k := range []string{"required", "requiredXor"} {
		if l, ok := s[k].([]any); ok {
			t[k] = l
		}
	}
	if tg, ok := s["tagging"].(map[string]any); ok && tg["taggable"] == true {
		if p, ok := tg["tagProperty"].(string); ok {
			t["tags"] = strings.TrimPrefix(p, "/properties/")
		}
	}
	attributes := names(s["readOnlyProperties"])
	if slices.Contains(everyProperty, name) {
		for p := range s["properties"].(map[string]any) {
			if !slices.Contains(attributes, p) {
				attributes = append(attributes, p)
			}
		}
	}
	sort.Strings(attributes)
	if len(attributes) > 0 {
		t["attributes"] = attributes
	}
	return t
}

// names turns JSON pointers to properties into names, nested ones with dots.
func names(v any) []string {
	l, _ := v.([]any)
	var out []string
	for _, p := range l {
		out = append(out, strings.ReplaceAll(strings.TrimPrefix(p.(string), "/properties/"), "/", "."))
	}
	sort.Strings(out)
	return out
}

func trimEach(v any) map[string]any {
	m, _ := v.(map[string]any)
	out := map[string]any{}
	for k, x := range m {
		out[k] = trim(x)
	}
	return out
}

func trim(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for _, k := range kept {
		x, ok := m[k]
		if !ok {
			continue
		}
		switch k {
		case "properties", "patternProperties":
			x = trimEach(x)
		case "items":
			x = trim(x)
		case "additionalProperties":
			if x != false {
				continue
			}
		case "pattern":
			// Go knows no look-around: such a pattern is not checked.
			if _, err := regexp.Compile(x.(string)); err != nil {
				continue
			}
		case "insertionOrder":
			if x != false {
				continue
			}
		case "$ref":
			x = strings.TrimPrefix(x.(string), "#/definitions/")
		}
		out[k] = x
	}
	return out
}
