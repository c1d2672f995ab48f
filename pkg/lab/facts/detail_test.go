package facts_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// changes are the lines of a proposed change by logical id, with the values.
func (s *stack) changes(body string, change ...func(*cloudformation.CreateChangeSetInput)) map[string]*types.ResourceChange {
	s.Helper()
	cs := s.change(body, change...)
	require.Equal(s, types.ChangeSetStatusCreateComplete, cs.Status, aws.ToString(cs.StatusReason))
	full := s.reviewed(*cs.ChangeSetId, aws.Bool(true))
	out := map[string]*types.ResourceChange{}
	for _, c := range full.Changes {
		assert.Equal(s, types.ChangeTypeResource, c.Type)
		out[*c.ResourceChange.LogicalResourceId] = c.ResourceChange
	}
	return out
}

// shape is a change in one line: "Modify Never Static DirectModification DisplayName".
func shape(c *types.ResourceChange) []string {
	var out []string
	for _, d := range c.Details {
		line := fmt.Sprint(d.Target.Attribute, " ", aws.ToString(d.Target.Name), " ", d.Target.RequiresRecreation, " ", d.Evaluation, " ", d.ChangeSource)
		if e := aws.ToString(d.CausingEntity); e != "" {
			line += " " + e
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// scene has a group and a record of things that change in all ways.
const scene = `
Parameters:
  Cidr: {Type: String, Default: 10.7.1.0/24}
  Say: {Type: String, Default: one}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.7.0.0/16}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: !Ref Cidr}}
  Routes: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Vpc}}
  Joined: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {SubnetId: !Ref Subnet, RouteTableId: !Ref Routes}}
  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref Say, Tags: [{Key: a, Value: "1"}]}}
`

var detailFacts = []fact{
	{id: "F150", claim: "A property edited in the template is told Static, DirectModification, with no causing entity.", source: "[LS] [SDK:cloudformation types.ResourceChangeDetail]", check: func(w *world) {
		c := w.made("stack", scene).changes(strings.Replace(scene, "!Ref Say", "two", 1))
		require.Len(w, c, 1)
		t := c["Topic"]
		assert.Equal(w, types.ChangeActionModify, t.Action)
		assert.Equal(w, types.ReplacementFalse, t.Replacement)
		assert.Equal(w, []types.ResourceAttribute{"Properties"}, t.Scope)
		assert.Equal(w, []string{"Properties DisplayName Never Static DirectModification"}, shape(t))
	}},
	{id: "F151", claim: "A changed parameter is told twice: Static ParameterReference with its name, and Dynamic DirectModification.", source: "[LS:test_change_set_parameters]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene, given("Say", "two"))
		require.Len(w, c, 1)
		assert.Equal(w, []string{
			"Properties DisplayName Never Dynamic DirectModification",
			"Properties DisplayName Never Static ParameterReference Say",
		}, shape(c["Topic"]))
	}},
	{id: "F152", claim: "A create-only property that changes is told RequiresRecreation Always and Replacement True.", source: "[CP] [SDK:cloudformation types.ResourceChange]", check: func(w *world) {
		c := w.made("stack", scene).changes(strings.Replace(scene, "!Ref Cidr", "10.7.2.0/24", 1))
		assert.Equal(w, types.ReplacementTrue, c["Subnet"].Replacement)
		assert.Equal(w, types.PolicyActionReplaceAndDelete, c["Subnet"].PolicyAction)
		assert.Equal(w, []string{"Properties CidrBlock Always Static DirectModification"}, shape(c["Subnet"]))
	}},
	{id: "F153", claim: "A reference to a resource that will be replaced is told Dynamic ResourceReference, and Conditional where the property is create-only.", source: "[SDK:cloudformation types.ResourceChangeDetail]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene, given("Cidr", "10.7.2.0/24"))
		assert.Equal(w, types.ReplacementTrue, c["Subnet"].Replacement)
		assert.Equal(w, types.ReplacementConditional, c["Joined"].Replacement)
		assert.Equal(w, []string{"Properties SubnetId Always Dynamic ResourceReference Subnet"}, shape(c["Joined"]))
		assert.Len(w, c, 2)
	}},
	{id: "F154", claim: "A new AMI modifies the launch template without replacement, and the group conditionally, by the attribute Lt.LatestVersionNumber.", source: "[CP] [INFERRED]", check: func(w *world) {
		s := w.grown()
		c := s.changes(roll, given("ImageId", w.other))
		require.Len(w, c, 2)
		assert.Equal(w, types.ReplacementFalse, c["Lt"].Replacement)
		assert.Equal(w, []string{
			"Properties LaunchTemplateData Never Dynamic DirectModification",
			"Properties LaunchTemplateData Never Static ParameterReference ImageId",
		}, shape(c["Lt"]))
		assert.Equal(w, types.ReplacementConditional, c["Asg"].Replacement)
		assert.Equal(w, []string{"Properties LaunchTemplate Conditionally Dynamic ResourceAttribute Lt.LatestVersionNumber"}, shape(c["Asg"]))
	}},
	{id: "F155", claim: "With IncludePropertyValues each detail tells path, value before and value after.", source: "[SDK:cloudformation types.ResourceTargetDefinition]", check: func(w *world) {
		c := w.made("stack", scene).changes(strings.Replace(strings.Replace(scene, "!Ref Say", "two", 1), `Value: "1"`, `Value: "2"`, 1))
		var got []string
		for _, d := range c["Topic"].Details {
			got = append(got, fmt.Sprint(*d.Target.Path, " ", *d.Target.BeforeValue, " -> ", *d.Target.AfterValue, " ", d.Target.AttributeChangeType))
		}
		slices.Sort(got)
		assert.Equal(w, []string{"/Properties/DisplayName one -> two Modify", "/Properties/Tags/0/Value 1 -> 2 Modify"}, got)
		assert.JSONEq(w, `{"Properties":{"DisplayName":"one","Tags":[{"Key":"a","Value":"1"}]}}`, *c["Topic"].BeforeContext)
		assert.JSONEq(w, `{"Properties":{"DisplayName":"two","Tags":[{"Key":"a","Value":"2"}]}}`, *c["Topic"].AfterContext)
	}},
	{id: "F156", claim: "Without IncludePropertyValues there are no values.", source: "[SDK:cloudformation DescribeChangeSet]", check: func(w *world) {
		cs := w.made("stack", scene).change(scene, given("Say", "two"))
		c := cs.Changes[0].ResourceChange
		assert.Nil(w, c.BeforeContext)
		assert.Nil(w, c.AfterContext)
		for _, d := range c.Details {
			assert.Nil(w, d.Target.BeforeValue)
			assert.Nil(w, d.Target.AfterValue)
			assert.Nil(w, d.Target.Path)
		}
	}},
	{id: "F157", claim: "A value known only after the operation is told as {{changeSet:KNOWN_AFTER_APPLY}}.", source: "[SDK:cloudformation] [LS]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene, given("Cidr", "10.7.2.0/24"))
		assert.Equal(w, "{{changeSet:KNOWN_AFTER_APPLY}}", *c["Joined"].Details[0].Target.AfterValue)
	}},
	{id: "F158", claim: "A new resource is told Add with no details, no scope and no physical id.", source: "[LS]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene + "  New: {Type: AWS::SNS::Topic}\n")
		require.Len(w, c, 1)
		assert.Equal(w, types.ChangeActionAdd, c["New"].Action)
		assert.Empty(w, c["New"].Details)
		assert.Empty(w, c["New"].Scope)
		assert.Empty(w, c["New"].Replacement)
		assert.Nil(w, c["New"].PhysicalResourceId)
		assert.Equal(w, "AWS::SNS::Topic", *c["New"].ResourceType)
	}},
	{id: "F159", claim: "A resource taken out is told Remove with PolicyAction Delete, or Retain by its DeletionPolicy.", source: "[SDK:cloudformation types.PolicyAction]", check: func(w *world) {
		extra := "  A: {Type: AWS::SNS::Topic}\n  B: {Type: AWS::SNS::Topic, DeletionPolicy: Retain}\n"
		c := w.made("stack", scene+extra).changes(scene)
		require.Len(w, c, 2)
		assert.Equal(w, types.ChangeActionRemove, c["A"].Action)
		assert.Equal(w, types.PolicyActionDelete, c["A"].PolicyAction)
		assert.Equal(w, types.PolicyActionRetain, c["B"].PolicyAction)
	}},
	{id: "F160", claim: "A replacement with UpdateReplacePolicy Retain is told ReplaceAndRetain.", source: "[SDK:cloudformation types.PolicyAction]", check: func(w *world) {
		body := strings.Replace(scene, "{Type: AWS::EC2::Subnet, ", "{Type: AWS::EC2::Subnet, UpdateReplacePolicy: Retain, ", 1)
		c := w.made("stack", body).changes(body, given("Cidr", "10.7.2.0/24"))
		assert.Equal(w, types.PolicyActionReplaceAndRetain, c["Subnet"].PolicyAction)
	}},
	{id: "F161", claim: "A change of stack tags is told with scope Tags of every resource that carries them.", source: "[SDK:cloudformation types.ResourceAttribute]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene, func(in *cloudformation.CreateChangeSetInput) { in.Tags = tagList("owner", "me") })
		assert.Equal(w, []types.ResourceAttribute{"Tags"}, c["Vpc"].Scope)
		assert.Nil(w, c["Joined"], "an association carries no tags")
	}},
	{id: "F162", claim: "A change of Metadata is told with scope Metadata.", source: "[SDK:cloudformation types.ResourceAttribute]", check: func(w *world) {
		c := w.made("stack", scene).changes(strings.Replace(scene, "{Type: AWS::EC2::RouteTable, ", "{Type: AWS::EC2::RouteTable, Metadata: {a: b}, ", 1))
		require.Len(w, c, 1)
		assert.Equal(w, []types.ResourceAttribute{"Metadata"}, c["Routes"].Scope)
		assert.Equal(w, types.ReplacementFalse, c["Routes"].Replacement)
	}},
	{id: "F163", claim: "A property added or taken out is told with AttributeChangeType Add or Remove.", source: "[SDK:cloudformation types.AttributeChangeType]", check: func(w *world) {
		s := w.made("stack", scene)
		c := s.changes(strings.Replace(scene, "DisplayName: !Ref Say, ", "", 1))
		assert.Equal(w, types.AttributeChangeTypeRemove, c["Topic"].Details[0].Target.AttributeChangeType)
		assert.Equal(w, "one", *c["Topic"].Details[0].Target.BeforeValue)
		c = s.changes(strings.Replace(scene, "CidrBlock: 10.7.0.0/16", "CidrBlock: 10.7.0.0/16, EnableDnsHostnames: true", 1), named("second"))
		assert.Equal(w, types.AttributeChangeTypeAdd, c["Vpc"].Details[0].Target.AttributeChangeType)
		assert.Equal(w, "true", *c["Vpc"].Details[0].Target.AfterValue)
	}},
	{id: "F164", claim: "SubnetMappings of a load balancer change in place; Name, Type and Scheme replace it.", source: "[CP]", check: func(w *world) {
		s := w.made("stack", balanced())
		c := s.changes(strings.Replace(balanced(), "[{SubnetId: !Ref SubnetA, AllocationId: !GetAtt AddressA.AllocationId}, {SubnetId: !Ref SubnetB, AllocationId: !GetAtt AddressB.AllocationId}]", "[{SubnetId: !Ref SubnetA, AllocationId: !GetAtt AddressA.AllocationId}]", 1))
		assert.Equal(w, types.ReplacementFalse, c["Balancer"].Replacement)
		assert.Equal(w, types.RequiresRecreationNever, c["Balancer"].Details[0].Target.RequiresRecreation)
		c = s.changes(strings.Replace(balanced(), "Type: network", "Type: network, Name: other", 1), named("second"))
		assert.Equal(w, types.ReplacementTrue, c["Balancer"].Replacement)
		assert.Equal(w, types.ReplacementConditional, c["Listener"].Replacement, "it names the balancer by its ARN")
	}},
	{id: "F165", claim: "What changes is told in terms of values, not of how they are written.", source: "[LS] [INFERRED]", check: func(w *world) {
		s := w.made("stack", scene)
		cs := s.change(strings.NewReplacer("DisplayName: !Ref Say", "DisplayName: !Sub '${Say}'", "!Ref Vpc, CidrBlock: !Ref Cidr", "!Ref Vpc, CidrBlock: !Join ['', [!Ref Cidr]]").Replace(scene))
		assert.Equal(w, types.ChangeSetStatusFailed, cs.Status)
	}},
	{id: "F166", claim: "A change set of type CREATE adds every resource.", source: "[LS]", check: func(w *world) {
		s := w.stack(w.name("stack"), "")
		c := s.changes(scene, func(in *cloudformation.CreateChangeSetInput) { in.ChangeSetType = types.ChangeSetTypeCreate })
		assert.Len(w, c, 5)
		for _, r := range c {
			assert.Equal(w, types.ChangeActionAdd, r.Action)
		}
	}},
	{id: "F167", claim: "A resource whose condition ceases to hold is told Remove.", source: "[UG:conditions-section-structure]", check: func(w *world) {
		body := "Parameters: {On: {Type: String, Default: 'yes'}}\nConditions: {On: !Equals [!Ref On, 'yes']}\nResources:\n  Always: {Type: AWS::SNS::Topic}\n  Maybe: {Type: AWS::SNS::Topic, Condition: On}\n"
		c := w.made("stack", body).changes(body, given("On", "no"))
		require.Len(w, c, 1)
		assert.Equal(w, types.ChangeActionRemove, c["Maybe"].Action)
	}},
	{id: "F168", claim: "The change set of a create-only parameter reference is Replacement True, for its value is known.", source: "[CP] [SDK:cloudformation types.ResourceChange]", check: func(w *world) {
		c := w.made("stack", scene).changes(scene, given("Cidr", "10.7.2.0/24"))
		assert.Equal(w, []string{
			"Properties CidrBlock Always Dynamic DirectModification",
			"Properties CidrBlock Always Static ParameterReference Cidr",
		}, shape(c["Subnet"]))
		assert.Equal(w, types.ReplacementTrue, c["Subnet"].Replacement)
	}},
}
