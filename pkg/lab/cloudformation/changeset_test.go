package cloudformation_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
)

// propose makes a change set of the stack and waits until it is reviewed.
func (w *world) propose(in *cloudformation.CreateChangeSetInput) *cloudformation.DescribeChangeSetOutput {
	w.t.Helper()
	if in.ChangeSetName == "" {
		in.ChangeSetName = "c"
	}
	id := must(w, cloudformation.CreateChangeSet, in).Id
	w.settle()
	return must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: id})
}

func changes(cs *cloudformation.DescribeChangeSetOutput) []string {
	var out []string
	for _, c := range cs.Changes {
		r := c.ResourceChange
		out = append(out, strings.TrimSpace(strings.Join(append([]string{r.Action, r.LogicalResourceId, r.Replacement, r.PolicyAction}, r.Scope...), " ")))
	}
	return out
}

func TestChangeSetOfANewStack(t *testing.T) {
	w := newWorld(t)
	cs := w.propose(&cloudformation.CreateChangeSetInput{StackName: "net", ChangeSetType: "CREATE", TemplateBody: w.template("network.yaml", "")})
	assert.Equal(t, "CREATE_COMPLETE", cs.Status)
	assert.Equal(t, "AVAILABLE", cs.ExecutionStatus)
	assert.Equal(t, []string{"Add Subnet", "Add Topic", "Add Vpc"}, []string{
		strings.TrimSpace(changes(cs)[0]), strings.TrimSpace(changes(cs)[1]), strings.TrimSpace(changes(cs)[2]),
	})
	assert.Equal(t, "REVIEW_IN_PROGRESS", w.status("net"))
	refused(w, cloudformation.UpdateStack, w.change(), "ValidationError", "is in REVIEW_IN_PROGRESS state and can not be updated.")
	must(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: "c", StackName: "net", ClientRequestToken: "go-1"})
	w.until("net", "CREATE_COMPLETE")
	events := w.events("net")
	assert.Equal(t, []string{"net REVIEW_IN_PROGRESS: User Initiated", "net CREATE_IN_PROGRESS: User Initiated"}, events[:2])
	must(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: "c", StackName: "net", ClientRequestToken: "go-1"})
	refused(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: cs.ChangeSetId}, "InvalidChangeSetStatus",
		"cannot be executed in its current execution status of [EXECUTE_COMPLETE]")
	refused(w, cloudformation.CreateChangeSet, &cloudformation.CreateChangeSetInput{StackName: "net", ChangeSetName: "d", ChangeSetType: "CREATE", TemplateBody: w.template("network.yaml", "")},
		"ValidationError", "Stack [net] already exists and cannot be created again with the changeSet [d].")
	d := must(w, cloudformation.DescribeStacks, &cloudformation.DescribeStacksInput{StackName: "net"}).Stacks[0]
	assert.Equal(t, cs.ChangeSetId, d.ChangeSetId)
}

// The two details of a changed parameter are recorded in LocalStack's tests.
//
// The change that a release makes: another AMI as the default of ImageId.
func TestChangeSetOfANewImage(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	cs := w.propose(&cloudformation.CreateChangeSetInput{StackName: "web", TemplateBody: w.template("group.yaml", w.newID), ClientToken: "propose-1"})
	assert.Equal(t, []string{"Modify Asg Conditional  Properties", "Modify Lt False  Properties"}, changes(cs))
	assert.Contains(t, cs.Parameters, cloudformation.Parameter{ParameterKey: "ImageId", ParameterValue: w.newID}, "left out: the new default applies")
	lt := cs.Changes[1].ResourceChange
	target := &cloudformation.ResourceTargetDefinition{Attribute: "Properties", Name: "LaunchTemplateData", RequiresRecreation: "Never"}
	assert.Equal(t, []cloudformation.ResourceChangeDetail{
		{Target: target, Evaluation: "Static", ChangeSource: "ParameterReference", CausingEntity: "ImageId"},
		{Target: target, Evaluation: "Dynamic", ChangeSource: "DirectModification"},
	}, lt.Details)
	assert.Equal(t, []cloudformation.ResourceChangeDetail{{
		Target:     &cloudformation.ResourceTargetDefinition{Attribute: "Properties", Name: "LaunchTemplate", RequiresRecreation: "Conditionally"},
		Evaluation: "Dynamic", ChangeSource: "ResourceAttribute", CausingEntity: "Lt.LatestVersionNumber",
	}}, cs.Changes[0].ResourceChange.Details)
	full := must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: cs.ChangeSetId, IncludePropertyValues: yes()})
	d := full.Changes[1].ResourceChange.Details[0].Target
	assert.Equal(t, []string{"/Properties/LaunchTemplateData/ImageId", w.oldID, w.newID, "Modify"}, []string{d.Path, d.BeforeValue, d.AfterValue, d.AttributeChangeType})
	assert.Contains(t, full.Changes[0].ResourceChange.AfterContext, "{{changeSet:KNOWN_AFTER_APPLY}}")
	must(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: "c", StackName: "web", ClientRequestToken: "go-2"})
	assert.Equal(t, "EXECUTE_IN_PROGRESS", must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: cs.ChangeSetId}).ExecutionStatus)
	w.signalling("UPDATE_COMPLETE")
	assert.Equal(t, []string{"new", "new"}, w.images())
	assert.Equal(t, "EXECUTE_COMPLETE", must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: cs.ChangeSetId}).ExecutionStatus)
}

func TestUsePreviousValueHidesANewDefault(t *testing.T) {
	w := newWorld(t)
	w.create()
	cs := w.propose(&cloudformation.CreateChangeSetInput{
		StackName: "web", TemplateBody: w.template("group.yaml", w.newID),
		Parameters: []cloudformation.Parameter{{ParameterKey: "ImageId", UsePreviousValue: yes()}},
	})
	assert.Equal(t, "FAILED", cs.Status)
	assert.Equal(t, "UNAVAILABLE", cs.ExecutionStatus)
	assert.Equal(t, "The submitted information didn't contain changes. Submit different information to create a change set.", cs.StatusReason)
	assert.Contains(t, cs.Parameters, cloudformation.Parameter{ParameterKey: "ImageId", ParameterValue: w.oldID})
	refused(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: cs.ChangeSetId}, "InvalidChangeSetStatus",
		"ChangeSet ["+cs.ChangeSetId+"] cannot be executed in its current status of [FAILED]")
}

func TestChangeSetOfReplacementAndRemoval(t *testing.T) {
	w := newWorld(t)
	w.up("Environment", "production")
	cs := w.propose(&cloudformation.CreateChangeSetInput{
		StackName: "net", TemplateBody: w.template("network.yaml", ""), Parameters: parameters("SubnetCidr", "10.0.2.0/24"),
	})
	assert.Equal(t, []string{
		"Remove Address  Retain",
		"Modify Subnet True ReplaceAndDelete Properties",
		"Modify Topic False  Properties",
	}, changes(cs))
	d := cs.Changes[1].ResourceChange.Details
	assert.Equal(t, "Always", d[0].Target.RequiresRecreation)
	assert.Equal(t, "CidrBlock", d[0].Target.Name)
}

// AWS user guide, troubleshooting: "No updates to perform".
//
// A policy alone is no update; with something else it shows in the scope.
func TestPoliciesAloneAreNoUpdate(t *testing.T) {
	w := newWorld(t)
	w.create()
	in := &cloudformation.CreateChangeSetInput{StackName: "web", UsePreviousTemplate: yes(), Parameters: parameters("Batch", "1")}
	assert.Equal(t, "FAILED", w.propose(in).Status)
	in.ChangeSetName, in.Parameters = "d", parameters("Batch", "3", "Desired", "3", "Max", "6", "InService", "3")
	cs := w.propose(in)
	assert.Equal(t, []string{"Modify Asg False  Properties CreationPolicy UpdatePolicy"}, changes(cs))
}

func TestTagsShowInEveryTaggedResource(t *testing.T) {
	w := newWorld(t)
	w.up()
	cs := w.propose(&cloudformation.CreateChangeSetInput{StackName: "net", UsePreviousTemplate: yes(), Tags: []cloudformation.Tag{{Key: "a", Value: "b"}}})
	assert.Equal(t, []string{"Modify Subnet False  Tags", "Modify Topic False  Tags", "Modify Vpc False  Tags"}, changes(cs))
	must(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: "c", StackName: "net"})
	w.until("net", "UPDATE_COMPLETE")
	for _, v := range w.state.Regions[region].Subnets {
		assert.Equal(t, "b", v.Tags["a"])
	}
}

func TestChangeSetsOfOneStack(t *testing.T) {
	w := newWorld(t)
	w.up()
	make := func(name, env string) *cloudformation.CreateChangeSetInput {
		return &cloudformation.CreateChangeSetInput{
			StackName: "net", ChangeSetName: name, UsePreviousTemplate: yes(), Parameters: parameters("Environment", env), ClientToken: name,
		}
	}
	one := w.propose(make("one", "a"))
	w.propose(make("two", "b"))
	assert.Equal(t, one.ChangeSetId, must(w, cloudformation.CreateChangeSet, make("one", "a")).Id, "the same request again is the same change set")
	refused(w, cloudformation.CreateChangeSet, make("one", "c"), "TokenAlreadyExistsException", "one")
	other := make("one", "c")
	other.ClientToken = ""
	refused(w, cloudformation.CreateChangeSet, other, "AlreadyExistsException", "ChangeSet one already exists")
	assert.Len(t, must(w, cloudformation.ListChangeSets, &cloudformation.ListChangeSetsInput{StackName: "net"}).Summaries, 2)
	refused(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: "one"}, "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN.")
	refused(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: "nobody", StackName: "net"}, "ChangeSetNotFound", "ChangeSet [nobody] does not exist")
	refused(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: "one", StackName: "nobody"}, "ValidationError", "Stack [nobody] does not exist")
	must(w, cloudformation.DeleteChangeSet, &cloudformation.DeleteChangeSetInput{ChangeSetName: "nobody", StackName: "net"})

	// Somebody else updates the stack: what was proposed before is obsolete.
	must(w, cloudformation.UpdateStack, w.change("Environment", "z"))
	w.until("net", "UPDATE_COMPLETE")
	assert.Equal(t, "OBSOLETE", must(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: one.ChangeSetId}).ExecutionStatus)
	refused(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: one.ChangeSetId}, "InvalidChangeSetStatus", "current execution status of [OBSOLETE]")

	// Executing one deletes the others.
	w.propose(make("three", "c"))
	w.propose(make("four", "d"))
	must(w, cloudformation.ExecuteChangeSet, &cloudformation.ExecuteChangeSetInput{ChangeSetName: "three", StackName: "net"})
	w.until("net", "UPDATE_COMPLETE")
	refused(w, cloudformation.DescribeChangeSet, &cloudformation.DescribeChangeSetInput{ChangeSetName: "four", StackName: "net"}, "ChangeSetNotFound", "")
	assert.Empty(t, must(w, cloudformation.ListChangeSets, &cloudformation.ListChangeSetsInput{StackName: "net"}).Summaries)
}

func TestEarlyValidation(t *testing.T) {
	w := newWorld(t)
	w.up()
	body := strings.Replace(w.template("network.yaml", ""), "{CidrBlock: 10.0.0.0/16}", "{CidrBlock: 10.0.0.0/16, Colour: red}", 1)
	cs := w.propose(&cloudformation.CreateChangeSetInput{StackName: "net", TemplateBody: body})
	assert.Equal(t, "FAILED", cs.Status)
	assert.Contains(t, cs.StatusReason, "AWS::EarlyValidation::PropertyValidation")
	out := must(w, cloudformation.DescribeEvents, &cloudformation.DescribeEventsInput{ChangeSetName: cs.ChangeSetId})
	require.Len(t, out.OperationEvents, 1)
	ev := out.OperationEvents[0]
	assert.Equal(t, []string{"VALIDATION_ERROR", "Vpc", "/Properties/Colour", "FAIL"}, []string{ev.EventType, ev.LogicalResourceId, ev.ValidationPath, ev.ValidationFailureMode})
	assert.Equal(t, "CREATE_COMPLETE", w.status("net"))
}

func TestEventsOfAnOperation(t *testing.T) {
	w := newWorld(t)
	w.up()
	id := must(w, cloudformation.UpdateStack, w.change("SubnetCidr", "192.168.0.0/24")).OperationId
	w.until("net", "UPDATE_ROLLBACK_COMPLETE")
	out := must(w, cloudformation.DescribeEvents, &cloudformation.DescribeEventsInput{OperationId: id})
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", out.OperationEvents[0].ResourceStatus)
	assert.Equal(t, "UPDATE_STACK", out.OperationEvents[0].OperationType)
	assert.Equal(t, "FAILED", out.OperationEvents[0].OperationStatus)
	out = must(w, cloudformation.DescribeEvents, &cloudformation.DescribeEventsInput{OperationId: id, Filters: &cloudformation.EventFilter{FailedEvents: yes()}})
	require.Len(t, out.OperationEvents, 1)
	assert.Equal(t, "Subnet", out.OperationEvents[0].LogicalResourceId)
	refused(w, cloudformation.DescribeEvents, &cloudformation.DescribeEventsInput{OperationId: "x"}, "ValidationError", "")
}
