package cloudformation

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// terminating is how long CloudFormation takes to see that instances leave. It
// does not wait for draining or lifecycle hooks.
const terminating = 3 * time.Second

// plan is the arithmetic of a rolling update.
type plan struct {
	batch     int64 // instances at a time
	temporary int64 // size while it runs
}

// planRoll computes batch and temporary size: desired capacity D, largest size
// X, instances to keep in service M, wanted batch B, obsolete instances N.
func planRoll(d, x, m, b, n int64) (plan, error) {
	if m >= x {
		return plan{}, reason("MinInstancesInService must be less than the autoscaling group's MaxSize")
	}
	batch := min(b, n, x-m)
	return plan{batch: batch, temporary: max(d, m+batch)}, nil
}

// next is one round: k instances go, r of them are replaced.
func nextRound(d, m, batch, obsolete, running int64) (k, r int64) {
	k = max(min(batch, obsolete, running-m), 1)
	r = min(max(d-(running-obsolete), 0), k)
	return k, r
}

// obsolete are the instances of a group that are not of its current launch
// template version or not in its subnets, the oldest first.
func obsolete(tx *core.Tx, g *state.Group) []*state.Member {
	return slices.DeleteFunc(autoscaling.Active(g), func(m *state.Member) bool {
		if m.LaunchTemplate != g.LaunchTemplate || m.Version != g.LaunchTemplateVersion {
			return false
		}
		i := tx.Region.Instances[m.ID]
		return i == nil || slices.Contains(g.Subnets, i.SubnetID)
	})
}

// startRoll begins a rolling update of a group whose definition has just been
// changed. It returns nil if no instance is obsolete.
func (e *engine) startRoll(res *state.StackResource, g *state.Group, p *rollingPolicy, sizes groupSizes) (*state.RollingUpdate, error) {
	old := obsolete(e.tx, g)
	n := int64(len(old))
	if n == 0 {
		return nil, nil
	}
	var blocked []string
	for _, process := range []string{"Launch", "Terminate"} {
		if _, is := g.Suspended[process]; is {
			blocked = append(blocked, process)
		}
	}
	if len(blocked) > 0 {
		return nil, reasonf("Autoscaling rolling updates cannot be performed because the [%s] process(es) have been suspended; please resume these processes and then retry the update.", strings.Join(blocked, ","))
	}
	d := g.Desired
	if sizes.desired != nil {
		d = *sizes.desired
	}
	pl, err := planRoll(d, sizes.max, p.inService, p.batch, n)
	if err != nil {
		return nil, err
	}
	r := &state.RollingUpdate{
		Phase: "settle", Obsolete: int(n), Batch: pl.batch, Desired: d, Min: sizes.min, Max: sizes.max, InService: p.inService,
		Deadline: e.tx.After(stabilise),
	}
	text := fmt.Sprintf("Rolling update initiated. Terminating %d obsolete instance(s) in batches of %d", n, pl.batch)
	if p.inService > 0 {
		text += fmt.Sprintf(", while keeping at least %d instance(s) in service", p.inService)
	}
	text += "."
	switch {
	case p.wait:
		text += " Waiting on resource signals with a timeout of " + p.pauseText + " when new instances are added to the autoscaling group."
	case p.pause > 0:
		text += " Pausing for " + p.pauseText + " when new instances are added to the autoscaling group."
	}
	e.say(res, "UPDATE_IN_PROGRESS", text)
	for _, process := range p.suspend {
		if _, is := g.Suspended[process]; !is {
			r.Suspended = append(r.Suspended, process)
		}
	}
	if len(r.Suspended) > 0 {
		if _, err := autoscaling.SuspendProcesses(e.tx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: g.Name, ScalingProcesses: r.Suspended}); err != nil {
			return nil, err
		}
	}
	for _, m := range autoscaling.Active(g) {
		r.Known = append(r.Known, m.ID)
	}
	// The size only ever grows here: what is too much goes in batches, obsolete instances first.
	running := int64(len(r.Known))
	size := max(g.Desired, pl.temporary)
	low := min(sizes.min, size)
	if pl.temporary > d {
		e.say(res, "UPDATE_IN_PROGRESS", fmt.Sprintf("Temporarily setting autoscaling group MinSize and DesiredCapacity to %d.", pl.temporary))
		r.Temporary = pl.temporary
		low = pl.temporary
	}
	r.Pending = max(size-running, 0)
	return r, resize(e.tx, g, low, max(sizes.max, size), size)
}

func resize(tx *core.Tx, g *state.Group, low, high, desired int64) error {
	_, err := autoscaling.UpdateAutoScalingGroup(tx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: g.Name, MinSize: &low, MaxSize: &high, DesiredCapacity: &desired,
	})
	return err
}

// roll takes a rolling update as far as it goes now, and says whether it is over.
func (e *engine) roll(res *state.StackResource, g *state.Group, p *rollingPolicy) (bool, error) {
	r := res.Work.Roll
	for {
		switch r.Phase {
		case "settle":
			want := g.Desired
			if p.active < 100 {
				want = int64(math.Ceil(float64(g.Desired) * float64(p.active) / 100))
			}
			serving := int64(len(autoscaling.InService(g)))
			if serving < want || serving > g.Desired {
				if e.tx.Due(r.Deadline) {
					return false, notStable(g)
				}
				return false, nil
			}
			if r.Pending > 0 {
				e.added(res, r, p)
				continue
			}
			if len(obsolete(e.tx, g)) > 0 {
				if err := e.terminate(res, g, r); err != nil {
					return false, err
				}
				continue
			}
			if err := resize(e.tx, g, r.Min, r.Max, r.Desired); err != nil {
				return false, err
			}
			resume(e.tx, g.Name, r)
			r.Phase = "restore"
			r.Deadline = e.tx.After(stabilise)
		case "signals":
			over, err := e.awaitBatch(res, r, p, g)
			if err != nil || !over {
				return false, err
			}
			e.batchOver(g, r)
		case "pause":
			if !e.tx.Due(r.Until) {
				return false, nil
			}
			e.batchOver(g, r)
		case "terminating":
			if !e.tx.Due(r.Until) {
				return false, nil
			}
			r.Terminated += len(r.Terminating)
			percent := math.Round(100 * float64(r.Terminated) / float64(r.Obsolete))
			e.say(res, "UPDATE_IN_PROGRESS", fmt.Sprintf("Successfully terminated instance(s) [%s] (Progress %.0f%%).", strings.Join(r.Terminating, ","), percent))
			r.Pending, r.Terminating = r.Replacing, nil
			r.Phase = "settle"
			r.Deadline = e.tx.After(stabilise)
		case "restore":
			if int64(len(autoscaling.InService(g))) != g.Desired {
				if e.tx.Due(r.Deadline) {
					return false, notStable(g)
				}
				return false, nil
			}
			return true, nil
		default:
			return false, fmt.Errorf("rolling update in the unknown phase %q", r.Phase)
		}
		e.tx.Changed()
	}
}

// added tells that new instances run, and begins to wait for their signals.
func (e *engine) added(res *state.StackResource, r *state.RollingUpdate, p *rollingPolicy) {
	switch {
	case p.wait:
		e.say(res, "UPDATE_IN_PROGRESS", fmt.Sprintf("New instance(s) added to autoscaling group - Waiting on %d resource signal(s) with a timeout of %s.", r.Pending, p.pauseText))
		r.Phase = "signals"
		r.Deadline = e.tx.After(p.pause)
	case p.pause > 0:
		e.say(res, "UPDATE_IN_PROGRESS", fmt.Sprintf("New instance(s) added to autoscaling group - Pausing for %s.", p.pauseText))
		r.Phase = "pause"
		r.Until = e.tx.After(p.pause)
	default:
		e.say(res, "UPDATE_IN_PROGRESS", "New instance(s) added to autoscaling group.")
		r.Phase = "pause"
		r.Until = e.tx.Now
	}
}

func (e *engine) batchOver(g *state.Group, r *state.RollingUpdate) {
	for _, m := range autoscaling.Active(g) {
		if !slices.Contains(r.Known, m.ID) {
			r.Known = append(r.Known, m.ID)
		}
	}
	r.Pending, r.Phase = 0, "settle"
	r.Deadline = e.tx.After(stabilise)
}

// terminate takes the next batch of obsolete instances out.
func (e *engine) terminate(res *state.StackResource, g *state.Group, r *state.RollingUpdate) error {
	old := obsolete(e.tx, g)
	running := int64(len(autoscaling.Active(g)))
	k, replaced := nextRound(r.Desired, r.InService, r.Batch, int64(len(old)), running)
	ids := make([]string, 0, k)
	for _, m := range old[:k] {
		ids = append(ids, m.ID)
	}
	e.say(res, "UPDATE_IN_PROGRESS", fmt.Sprintf("Terminating instance(s) [%s]; replacing with %d new instance(s).", strings.Join(ids, ","), replaced))
	if fewer := g.Desired - (k - replaced); fewer < g.Min {
		if err := resize(e.tx, g, fewer, g.Max, g.Desired); err != nil {
			return err
		}
	}
	for i, id := range ids {
		decrement := int64(i) >= replaced
		_, err := autoscaling.TerminateInstanceInAutoScalingGroup(e.tx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: id, ShouldDecrementDesiredCapacity: &decrement,
		})
		if err != nil {
			return err
		}
	}
	r.Terminating, r.Replacing = ids, replaced
	r.Phase = "terminating"
	r.Until = e.tx.After(terminating)
	return nil
}

// resume gives back the processes that a rolling update suspended itself.
func resume(tx *core.Tx, group string, r *state.RollingUpdate) {
	if len(r.Suspended) == 0 || tx.Region.Groups[group] == nil {
		return
	}
	if _, err := autoscaling.ResumeProcesses(tx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: group, ScalingProcesses: r.Suspended}); err != nil {
		tx.Log().Error("resume the processes of a group", "group", group, "error", err)
	}
	r.Suspended = nil
}

func notStable(g *state.Group) error {
	text := fmt.Sprintf("Group did not stabilize. {current/minSize/maxSize group size = %d/%d/%d}.", len(autoscaling.InService(g)), g.Min, g.Max)
	if n := len(g.Activities); n > 0 && g.Activities[n-1].Status == "Failed" {
		text += " Failed Scaling Activity: " + g.Activities[n-1].Message
	}
	return reason(text)
}
