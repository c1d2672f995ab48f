package cloudformation_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Order and texts: crewjam's etcd-aws log, guardian/testing-asg-rolling-update.
func TestSurgeTellsItsEvents(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	w.update()
	w.when("New instance(s) added")
	assert.Len(t, w.group("web").Suspended, 3)
	w.signalling("UPDATE_COMPLETE")
	assert.Equal(t, []string{
		"web UPDATE_IN_PROGRESS: User Initiated",
		"Lt UPDATE_IN_PROGRESS",
		"Lt UPDATE_COMPLETE",
		"Asg UPDATE_IN_PROGRESS",
		"Asg UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 2, while keeping at least 2 instance(s) in service. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group.",
		"Asg UPDATE_IN_PROGRESS: Temporarily setting autoscaling group MinSize and DesiredCapacity to 4.",
		"Asg UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 2 resource signal(s) with a timeout of PT5M.",
		"Asg UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i3",
		"Asg UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i4",
		"Asg UPDATE_IN_PROGRESS: Terminating instance(s) [i1,i2]; replacing with 0 new instance(s).",
		"Asg UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i1,i2] (Progress 100%).",
		"Asg UPDATE_COMPLETE",
		"web UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
		"web UPDATE_COMPLETE",
	}, w.events("web"))
	for _, ev := range w.stack("web").Events {
		if ev.Operation == w.stack("web").Operations[0].ID {
			assert.Equal(t, "update-1", ev.Token)
		}
	}
}

// No signal comes: every new instance goes again, no old one was touched.
func TestSurgeWithoutSignalsRollsBackAndLaunchesNothing(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	w.update()
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, []string{
		"web UPDATE_IN_PROGRESS: User Initiated",
		"Lt UPDATE_IN_PROGRESS",
		"Lt UPDATE_COMPLETE",
		"Asg UPDATE_IN_PROGRESS",
		"Asg UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 2, while keeping at least 2 instance(s) in service. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group.",
		"Asg UPDATE_IN_PROGRESS: Temporarily setting autoscaling group MinSize and DesiredCapacity to 4.",
		"Asg UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 2 resource signal(s) with a timeout of PT5M.",
		"Asg UPDATE_IN_PROGRESS: Failed to receive 2 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.",
		"Asg UPDATE_FAILED: Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement",
		"web UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to update: [Asg]. ",
		"Lt UPDATE_IN_PROGRESS",
		"Lt UPDATE_COMPLETE",
		"Asg UPDATE_IN_PROGRESS",
		"Asg UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 2, while keeping at least 2 instance(s) in service. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group.",
		"Asg UPDATE_IN_PROGRESS: Temporarily setting autoscaling group MinSize and DesiredCapacity to 4.",
		"Asg UPDATE_IN_PROGRESS: Terminating instance(s) [i3,i4]; replacing with 0 new instance(s).",
		"Asg UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i3,i4] (Progress 100%).",
		"Asg UPDATE_COMPLETE",
		"web UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
		"web UPDATE_ROLLBACK_COMPLETE",
	}, w.events("web"))
	assert.Equal(t, []string{"old", "old"}, w.images())
	assert.Len(t, w.state.Regions[region].Instances, 4, "the rollback launched nothing")
	assert.EqualValues(t, 2, w.group("web").Desired)
	assert.Empty(t, w.group("web").Suspended)
	lt := w.state.Regions[region].LaunchTemplates[w.stack("web").Resources["Lt"].PhysicalID]
	assert.EqualValues(t, 2, lt.Latest, "the version that was given up stays")
	assert.Equal(t, "1", w.group("web").LaunchTemplateVersion, "the group is back on the version it had")
	out := must(w, cloudformation.GetTemplate, &cloudformation.GetTemplateInput{StackName: "web"})
	assert.Contains(t, out.TemplateBody, w.oldID)
}

// Texts: AWSinAction/code2#21.
//
// The last of the new instances says FAILURE, as a rehearsal does.
func TestExplicitFailureRollsBackAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	w.update()
	w.when("New instance(s) added")
	news := autoscaling.InService(w.group("web"))[2:]
	for i, status := range []string{"SUCCESS", "FAILURE"} {
		must(w, cloudformation.SignalResource, &cloudformation.SignalResourceInput{
			StackName: "web", LogicalResourceId: "Asg", UniqueId: news[i].ID, Status: status,
		})
	}
	w.settle()
	assert.Equal(t, "UPDATE_ROLLBACK_IN_PROGRESS", w.status("web"))
	events := w.events("web")
	assert.Contains(t, events, "Asg UPDATE_FAILED: Received 1 FAILURE signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement")
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, []string{"old", "old"}, w.images())
}

// Text as in Eucalyptus' engine, a re-implementation: a model, no proof.
func TestSuccessMayBecomeFailureButNotBack(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.update()
	w.when("New instance(s) added")
	id := autoscaling.InService(w.group("web"))[2].ID
	in := &cloudformation.SignalResourceInput{StackName: "web", LogicalResourceId: "Asg", UniqueId: id, Status: "SUCCESS"}
	must(w, cloudformation.SignalResource, in)
	w.settle()
	refused(w, cloudformation.SignalResource, in, "ValidationError", "Signal with ID "+id+" for resource Asg already exists.  Signals may only be updated with a FAILURE status.")
	must(w, cloudformation.SignalResource, &cloudformation.SignalResourceInput{StackName: "web", LogicalResourceId: "Asg", UniqueId: id, Status: "FAILURE"})
	w.settle()
	assert.Equal(t, "UPDATE_ROLLBACK_IN_PROGRESS", w.status("web"))
}

// 6/6/9 in batches of 3: the second batch gets no signal. The rollback is a
// rolling update of its own that needs signals, by the policy of the old template.
func TestFailureAfterTerminationNeedsSignalsOnTheWayBack(t *testing.T) {
	for name, signalled := range map[string]bool{"with signals": true, "without signals": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			sizes := []string{"Desired", "6", "InService", "6", "Max", "9", "Batch", "6"}
			w.create(sizes...)
			w.events("web")
			w.update(sizes...)
			w.when("New instance(s) added")
			require.Equal(t, 9, w.signal("web", "SUCCESS"), "ids that are not new are ignored")
			w.when("Progress 50%")
			w.events("web")
			w.when("Rolling update initiated")
			events := w.events("web")
			assert.Contains(t, events, "Asg UPDATE_FAILED: Received 3 SUCCESS signal(s) out of 6.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement")
			assert.Contains(t, strings.Join(events, "\n"), "Terminating 6 obsolete instance(s) in batches of 3, while keeping at least 6")
			if !signalled {
				w.until("web", "UPDATE_ROLLBACK_FAILED")
				events := w.events("web")
				assert.Equal(t, "web UPDATE_ROLLBACK_FAILED: The following resource(s) failed to update: [Asg]. ", events[len(events)-1])
				must(w, cloudformation.ContinueUpdateRollback, &cloudformation.ContinueUpdateRollbackInput{StackName: "web"})
			}
			w.signalling("UPDATE_ROLLBACK_COMPLETE")
			assert.Equal(t, strings.Repeat("old ", 6), strings.Join(w.images(), " ")+" ")
			assert.EqualValues(t, 6, w.group("web").Desired)
		})
	}
}

func TestFailuresWithinThePercentageAreBorne(t *testing.T) {
	w := newWorld(t)
	w.create("Percent", "50")
	w.events("web")
	w.update("Percent", "50")
	w.when("New instance(s) added")
	must(w, cloudformation.SignalResource, &cloudformation.SignalResourceInput{
		StackName: "web", LogicalResourceId: "Asg", UniqueId: autoscaling.InService(w.group("web"))[2].ID, Status: "SUCCESS",
	})
	w.until("web", "UPDATE_COMPLETE")
	assert.Contains(t, w.events("web"), "Asg UPDATE_IN_PROGRESS: Failed to receive 1 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.")
}

func TestPauseWithoutSignals(t *testing.T) {
	w := newWorld(t)
	w.create("Wait", "false")
	w.events("web")
	w.update("Wait", "false")
	w.when("Pausing for PT5M.")
	began := w.clock.Now()
	w.until("web", "UPDATE_COMPLETE")
	assert.GreaterOrEqual(t, w.clock.Now().Sub(began), 5*time.Minute)
	assert.Contains(t, w.events("web")[4], "Pausing for PT5M when new instances are added to the autoscaling group.")
}

// AWS user guide, aws-attribute-updatepolicy.
func TestMinInstancesInServiceMustBeLessThanMaxSize(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	w.update("InService", "4")
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Contains(t, w.events("web"), "Asg UPDATE_FAILED: MinInstancesInService must be less than the autoscaling group's MaxSize")
	assert.Equal(t, []string{"old", "old"}, w.images())
}

// Text as in Eucalyptus' engine.
func TestSuspendedLaunchForbidsTheRoll(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	must(w, autoscaling.SuspendProcesses, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: w.group("web").Name, ScalingProcesses: []string{"Launch"}})
	w.update()
	w.until("web", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")
	assert.Contains(t, w.events("web"), "Asg UPDATE_FAILED: Autoscaling rolling updates cannot be performed because the [Launch] process(es) have been suspended; please resume these processes and then retry the update.")
	assert.Contains(t, w.group("web").Suspended, "Launch", "what a person suspended stays suspended")
}

// The lab dies again and again, in every phase of the roll, and goes on each time.
func TestRollSurvivesRestarts(t *testing.T) {
	w := newWorld(t)
	w.create("Desired", "3", "InService", "3", "Max", "9", "Batch", "1")
	w.events("web")
	w.update("Desired", "3", "InService", "3", "Max", "9", "Batch", "1")
	for i := range 900 {
		w.settle()
		if w.status("web") == "UPDATE_COMPLETE" {
			break
		}
		if i%2 == 0 {
			w.restart()
		}
		if r := w.stack("web").Resources["Asg"]; r.Work != nil && r.Work.Roll != nil && r.Work.Roll.Phase == "signals" {
			w.signal("web", "SUCCESS")
		}
		w.clock.Advance(time.Second)
	}
	var progress []string
	for _, e := range w.events("web") {
		if m := regexp.MustCompile(`with \d new|Progress \d+%`).FindString(e); m != "" {
			progress = append(progress, m)
		}
	}
	assert.Equal(t, []string{"with 1 new", "Progress 33%", "with 1 new", "Progress 67%", "with 0 new", "Progress 100%"}, progress)
	assert.Equal(t, []string{"new", "new", "new"}, w.images())
}

// The refusal is what many clients match; that a cancelled resource says so, and
// the stack "User Initiated", is seen in consoles and not documented.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.create()
	refused(w, cloudformation.CancelUpdateStack, &cloudformation.CancelUpdateStackInput{StackName: "web"}, "ValidationError", "CancelUpdateStack cannot be called from current stack status")
	w.update()
	w.when("New instance(s) added")
	w.events("web")
	must(w, cloudformation.CancelUpdateStack, &cloudformation.CancelUpdateStackInput{StackName: "web", ClientRequestToken: "cancel-1"})
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	events := w.events("web")
	assert.Equal(t, []string{"Asg UPDATE_FAILED: Resource update cancelled", "web UPDATE_ROLLBACK_IN_PROGRESS: User Initiated"}, events[:2])
	assert.Equal(t, []string{"old", "old"}, w.images())
	refused(w, cloudformation.CancelUpdateStack, &cloudformation.CancelUpdateStackInput{StackName: "web"}, "ValidationError", "CancelUpdateStack cannot be called from current stack status")
}

// A group that cannot launch never stabilises by itself: the operator cancels.
func TestCancelOfAGroupThatCannotLaunch(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	w.do(func(tx *core.Tx) error {
		_, err := tx.AddFault(state.Fault{Kind: core.FaultNoCapacity, Times: -1})
		return err
	})
	w.update()
	w.pass(10 * time.Minute)
	assert.Equal(t, "UPDATE_IN_PROGRESS", w.status("web"))
	must(w, cloudformation.CancelUpdateStack, &cloudformation.CancelUpdateStackInput{StackName: "web"})
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, []string{"old", "old"}, w.images())
}

// First text: aws-cloudformation-templates#34; the others as in Eucalyptus' engine.
func TestSignalsOutsideOfAnOperationAreRefused(t *testing.T) {
	w := newWorld(t)
	w.create()
	signal := func(logical string) *cloudformation.SignalResourceInput {
		return &cloudformation.SignalResourceInput{StackName: "web", LogicalResourceId: logical, UniqueId: "i-1", Status: "SUCCESS"}
	}
	refused(w, cloudformation.SignalResource, signal("Asg"), "ValidationError", "Stack "+w.stack("web").ID+" is in CREATE_COMPLETE state and cannot be signaled")
	w.update()
	refused(w, cloudformation.SignalResource, signal("Nobody"), "ValidationError", "Resource Nobody does not exist for stack web")
	refused(w, cloudformation.SignalResource, signal("Lt"), "ValidationError", "Resource Lt is of type AWS::EC2::LaunchTemplate and cannot be signaled")
	refused(w, cloudformation.SignalResource, signal("Asg"), "ValidationError", "Resource Asg is in CREATE_COMPLETE state and can not be signaled.")
}

// AWS user guide, using-cfn-updating-stacks-continueupdaterollback.
func TestRollbackFaultLeavesUpdateRollbackFailed(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.do(func(tx *core.Tx) error {
		_, err := tx.AddFault(state.Fault{Kind: core.FaultRollback, Match: map[string]string{"stack": "web", "logical": "Asg"}, Times: 1})
		return err
	})
	w.update()
	w.until("web", "UPDATE_ROLLBACK_FAILED")
	refused(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{StackName: "web", TemplateBody: w.template("group.yaml", w.newID)},
		"ValidationError", "is in UPDATE_ROLLBACK_FAILED state and can not be updated.")
	refused(w, cloudformation.ContinueUpdateRollback, &cloudformation.ContinueUpdateRollbackInput{StackName: "web", ResourcesToSkip: []string{"Lt"}},
		"ValidationError", "not in the UPDATE_FAILED state")
	w.restart()
	w.events("web")
	must(w, cloudformation.ContinueUpdateRollback, &cloudformation.ContinueUpdateRollbackInput{StackName: "web"})
	w.signalling("UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, "web UPDATE_ROLLBACK_IN_PROGRESS: User Initiated", w.events("web")[0])
	assert.Equal(t, []string{"old", "old"}, w.images())
}

func TestSkippedResourceIsMarkedOnly(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.do(func(tx *core.Tx) error {
		_, err := tx.AddFault(state.Fault{Kind: core.FaultRollback, Match: map[string]string{"logical": "Asg"}, Times: -1})
		return err
	})
	w.update()
	w.until("web", "UPDATE_ROLLBACK_FAILED")
	must(w, cloudformation.ContinueUpdateRollback, &cloudformation.ContinueUpdateRollbackInput{StackName: "web", ResourcesToSkip: []string{"Asg"}})
	w.until("web", "UPDATE_ROLLBACK_COMPLETE")
	assert.Equal(t, "2", w.group("web").LaunchTemplateVersion, "the group really has drifted")
	out := must(w, cloudformation.DetectStackDrift, &cloudformation.DetectStackDriftInput{StackName: "web"})
	status := must(w, cloudformation.DescribeStackDriftDetectionStatus, &cloudformation.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: out.StackDriftDetectionId})
	assert.Equal(t, "DRIFTED", status.StackDriftStatus)
}

// Without signals the capacity of a group changes by an ordinary update.
func TestCapacityOnlyUpdate(t *testing.T) {
	w := newWorld(t)
	w.create()
	w.events("web")
	must(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{
		StackName: "web", UsePreviousTemplate: yes(), Parameters: parameters("Desired", "3", "InService", "3", "Batch", "3", "Max", "6"),
	})
	w.until("web", "UPDATE_COMPLETE")
	assert.Equal(t, []string{"old", "old", "old"}, w.images())
	assert.NotContains(t, strings.Join(w.events("web"), "\n"), "Rolling")
}
