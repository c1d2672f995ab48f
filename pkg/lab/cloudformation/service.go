// Package cloudformation is the lab's CloudFormation: it parses templates,
// proposes change sets, and creates, updates, rolls back and deletes stacks by
// calling the other services of the lab.
//
// A stack is a persisted state machine. All progress (which resource has got
// how far, the cursor of a rolling update, signals, deadlines) is values of
// state.Stack that Step advances, so an update under way survives the lab's
// death, and a test drives it with a manual clock.
package cloudformation

import (
	"maps"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// Resource types that the engine itself knows something about.
const (
	typeGroup          = "AWS::AutoScaling::AutoScalingGroup"
	typeWaitCondition  = "AWS::CloudFormation::WaitCondition"
	typeLaunchTemplate = "AWS::EC2::LaunchTemplate"
	typeDatabase       = "AWS::RDS::DBInstance"
	typeInstance       = "AWS::EC2::Instance"
	typeStack          = "AWS::CloudFormation::Stack"
)

// Service is CloudFormation.
type Service struct{}

var _ core.Service = Service{}

// Name is the credential scope of CloudFormation.
func (Service) Name() string { return "cloudformation" }

// Actions of CloudFormation that the lab answers.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("CancelUpdateStack", CancelUpdateStack),
		core.Act("ContinueUpdateRollback", ContinueUpdateRollback),
		core.Act("CreateChangeSet", CreateChangeSet),
		core.Act("CreateStack", CreateStack),
		core.Act("DeleteChangeSet", DeleteChangeSet),
		core.Act("DeleteStack", DeleteStack),
		core.Act("DescribeChangeSet", DescribeChangeSet),
		core.Act("DescribeEvents", DescribeEvents),
		core.Act("DescribeStackDriftDetectionStatus", DescribeStackDriftDetectionStatus),
		core.Act("DescribeStackEvents", DescribeStackEvents),
		core.Act("DescribeStackResource", DescribeStackResource),
		core.Act("DescribeStackResourceDrifts", DescribeStackResourceDrifts),
		core.Act("DescribeStackResources", DescribeStackResources),
		core.Act("DescribeStacks", DescribeStacks),
		core.Act("DetectStackDrift", DetectStackDrift),
		core.Act("ExecuteChangeSet", ExecuteChangeSet),
		core.Act("GetStackPolicy", GetStackPolicy),
		core.Act("GetTemplate", GetTemplate),
		core.Act("GetTemplateSummary", GetTemplateSummary),
		core.Act("ListChangeSets", ListChangeSets),
		core.Act("ListExports", ListExports),
		core.Act("ListImports", ListImports),
		core.Act("ListStackResources", ListStackResources),
		core.Act("ListStacks", ListStacks),
		core.Act("RollbackStack", RollbackStack),
		core.Act("SetStackPolicy", SetStackPolicy),
		core.Act("SignalResource", SignalResource),
		core.Act("UpdateStack", UpdateStack),
		core.Act("UpdateTerminationProtection", UpdateTerminationProtection),
		core.Act("ValidateTemplate", ValidateTemplate),
	}
}

// remembered is how many deleted stacks can be described by their ARN. AWS keeps
// them for 90 days; the lab no more than its snapshot should carry around.
const remembered = 25

// forget drops the oldest of the deleted stacks.
func forget(tx *core.Tx) {
	deleted := 0
	for _, st := range all(tx) {
		if st.Status != "DELETE_COMPLETE" {
			continue
		}
		if deleted++; deleted > remembered {
			delete(tx.Region.Deleted, st.ID)
			tx.Changed()
		}
	}
}

// Step reviews new change sets and advances every stack that has something under way.
func (Service) Step(tx *core.Tx) {
	for _, id := range slices.Sorted(maps.Keys(tx.Region.ChangeSets)) {
		if cs := tx.Region.ChangeSets[id]; cs.Status == "CREATE_PENDING" {
			review(tx, cs)
			tx.Changed()
		}
	}
	if len(tx.Region.Deleted) > remembered {
		forget(tx)
	}
	for _, id := range slices.Sorted(maps.Keys(tx.Region.Stacks)) {
		st := tx.Region.Stacks[id]
		// The bound is a guard against a state machine that turns in circles.
		for range 10_000 {
			if st.Operation == nil || !(&engine{tx: tx, st: st, op: st.Operation}).advance() {
				break
			}
			tx.Changed()
		}
		if st.Status == "DELETE_COMPLETE" && st.Operation == nil {
			delete(tx.Region.Stacks, id)
			tx.Region.Deleted[id] = st
			tx.Changed()
		}
	}
}
