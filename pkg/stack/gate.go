package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// A Gate is how the machines of a roll are judged. There is no agent on the
// image: whoever follows the operation looks at the targets from outside and
// signals. A roll that nobody follows fails at its PauseTime and is taken back.
type Gate struct {
	// Boot is how long a machine may take from being seen to being healthy, in AWS
	// time. It MUST be shorter than the PauseTime of the group. 0: four minutes.
	Boot time.Duration
	// Launch is how long a group may fail to launch before the update is
	// cancelled, in AWS time. 0: three minutes.
	Launch time.Duration
	// Condemn, if not 0, is the number of new machines at which the last one that
	// is healthy gets a FAILURE: how a rehearsal makes a good candidate fail.
	Condemn int
}

// A phase is the part of an operation in which one set of signals counts.
type phase struct {
	id       string    // the stack's event that opened it
	status   string    // CREATE_IN_PROGRESS, UPDATE_IN_PROGRESS, UPDATE_ROLLBACK_IN_PROGRESS, …
	began    time.Time // when the operation began
	stackID  string
	group    string // physical id of the group while it waits for signals, else ""
	logical  string
	template bool // the launch template was changed in this phase, before the group
}

// phaseOf finds the phase in the operation's events, oldest first.
func phaseOf(events []Event, own Event) phase {
	p := phase{id: own.ID, status: own.Status, began: events[0].Time, stackID: own.StackID}
	inside := false
	for _, e := range events {
		switch {
		case e.Own():
			// A stack may tell the same status twice ("Eventual consistency check initiated").
			if e.Status == own.Status && !inside {
				inside, p.id = true, e.ID
			} else if e.Status != own.Status {
				inside, p.group, p.template = false, "", false
			}
		case !inside:
		case e.Type == "AWS::EC2::LaunchTemplate" && (e.Status == "UPDATE_COMPLETE" || e.Status == "CREATE_COMPLETE"):
			p.template = true
		case e.Type == typeGroup && strings.HasSuffix(e.Status, "_IN_PROGRESS") && !strings.HasPrefix(e.Status, "DELETE"):
			if e.Physical != "" {
				p.group, p.logical = e.Physical, e.Logical
			}
		case e.Type == typeGroup:
			p.group = ""
		}
	}
	return p
}

type action struct {
	signalled bool
	cancel    string // why the update must be cancelled, or ""
}

// A judge is the health gate at work. What it remembers only saves calls and
// measures patience; a new one in the middle of a roll comes to the same end.
type judge struct {
	*Stack
	gate     Gate
	phase    string
	target   string
	sent     map[string]types.ResourceSignalStatus
	first    map[string]time.Time
	stuck    time.Time // since when the group cannot launch
	verdicts []string
	fared    map[string][]string // how targets fared
	last     map[string]string   // state of each target
	boxed    map[string]bool
}

func newJudge(s *Stack, g Gate) *judge {
	if g.Boot <= 0 {
		g.Boot = 4 * time.Minute
	}
	if g.Launch <= 0 {
		g.Launch = 3 * time.Minute
	}
	return &judge{Stack: s, gate: g, fared: map[string][]string{}, last: map[string]string{}, boxed: map[string]bool{}}
}

func (j *judge) look(ctx context.Context, p phase) (action, error) {
	if j.phase != p.id {
		// CloudFormation drops old signals when an update, or its rollback, begins.
		j.phase, j.target, j.stuck = p.id, "", time.Time{}
		j.sent, j.first = map[string]types.ResourceSignalStatus{}, map[string]time.Time{}
	}
	switch p.status {
	case "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS":
	default:
		return action{}, nil
	}
	if p.group == "" {
		return action{}, nil
	}
	g, err := j.group(ctx, p.group)
	if errors.Is(err, errEmpty) {
		return action{}, nil
	}
	if err != nil {
		return action{}, err
	}
	if ok, err := j.aim(ctx, p, g); err != nil || !ok {
		return action{}, err
	}
	return j.judge(ctx, p, g)
}

// aim finds the launch template version that this phase leads to.
func (j *judge) aim(ctx context.Context, p phase, g *Group) (bool, error) {
	if j.target != "" {
		return g.Template.Version == j.target, nil
	}
	if p.status == "UPDATE_IN_PROGRESS" && p.template {
		// The version CloudFormation has just made is the newest. As long as the
		// group still has the old one, no machine in it is of this roll.
		t, err := j.o.Machines.LaunchTemplate(ctx, g.Template.ID, g.Template.Version)
		if err != nil {
			return false, err
		}
		if t.Latest != g.Template.Version {
			return false, nil
		}
	}
	j.target = g.Template.Version
	return j.target != "", nil
}

func (j *judge) judge(ctx context.Context, p phase, g *Group) (action, error) {
	var act action
	now := j.o.Clock.Now()
	rollback := p.status == "UPDATE_ROLLBACK_IN_PROGRESS"
	var fresh []Instance
	in := map[string]bool{}
	for _, i := range g.Instances {
		in[i.ID] = true
		// EC2 tells launch times in whole seconds.
		if i.Version != j.target || i.Launched.IsZero() || i.Launched.Before(p.began.Truncate(time.Second)) {
			continue
		}
		fresh = append(fresh, i)
		j.remember(i, now)
		if j.first[i.ID].IsZero() {
			j.first[i.ID] = now
		}
	}
	last := j.condemned(fresh, rollback)
	for _, i := range fresh {
		verdict, status := "", types.ResourceSignalStatus("")
		switch {
		case !rollback && final(i.Machine) != "":
			verdict, status = i.ID+" "+final(i.Machine), types.ResourceSignalStatusFailure
		case j.sent[i.ID] != "":
		case i.ID == last:
			verdict, status = i.ID+" failed on purpose", types.ResourceSignalStatusFailure
		case j.gate.Condemn > 0 && !rollback && i.Health == "healthy" && j.spared(fresh):
			// The last one is not known before all are there: it must not be this one by accident.
		case i.Health == "healthy":
			status = types.ResourceSignalStatusSuccess
		case !rollback && now.Sub(j.first[i.ID]) > j.scale(j.gate.Boot):
			verdict = fmt.Sprintf("%s was not healthy %s after its start (target %s, machine %s)", i.ID, j.gate.Boot, show(i.Health), show(i.State))
			status = types.ResourceSignalStatusFailure
		}
		if status == "" || j.sent[i.ID] == status {
			continue
		}
		if verdict != "" && i.ID != last {
			j.box(ctx, i.ID, verdict)
		}
		if err := j.signal(ctx, p, i.ID, status); err != nil {
			return act, err
		}
		if verdict != "" {
			j.verdicts = appendNew(j.verdicts, verdict)
		}
		act.signalled = true
	}
	if !rollback {
		if err := j.vanished(ctx, p, in, &act); err != nil {
			return act, err
		}
	}
	var err error
	act.cancel, err = j.cannotLaunch(ctx, p, g, now)
	return act, err
}

// final is a fact after which a machine never becomes healthy, or "".
func final(m Machine) string {
	switch {
	case m.State == "stopped" || m.State == "terminated" || m.State == "shutting-down":
		return "is " + m.State
	case m.Impaired:
		return "failed its status check"
	}
	return ""
}

// spared says whether one more SUCCESS would leave nobody to condemn.
func (j *judge) spared(fresh []Instance) bool {
	good := 0
	for _, i := range fresh {
		if j.sent[i.ID] == types.ResourceSignalStatusSuccess {
			good++
		}
	}
	return good >= j.gate.Condemn-1
}

// condemned is the last new machine, when all the others were signalled.
func (j *judge) condemned(fresh []Instance, rollback bool) string {
	if j.gate.Condemn <= 0 || rollback || len(fresh) < j.gate.Condemn || !j.spared(fresh) {
		return ""
	}
	for _, i := range fresh {
		if j.sent[i.ID] == "" && i.Health == "healthy" {
			return i.ID
		}
	}
	return ""
}

// vanished fails machines of this roll that the group lost.
func (j *judge) vanished(ctx context.Context, p phase, in map[string]bool, act *action) error {
	var gone []string
	for id := range j.first {
		if !in[id] && j.sent[id] != types.ResourceSignalStatusFailure {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	list, err := j.o.Machines.Machines(ctx, gone)
	if err != nil {
		return err
	}
	for _, m := range list {
		if final(m) == "" {
			continue
		}
		j.box(ctx, m.ID, m.ID+" "+final(m))
		if err := j.signal(ctx, p, m.ID, types.ResourceSignalStatusFailure); err != nil {
			return err
		}
		j.verdicts = appendNew(j.verdicts, m.ID+" "+final(m))
		act.signalled = true
	}
	return nil
}

// signal tells CloudFormation. A stack or resource that cannot be signalled any
// more has decided; a signal that is there already was sent by another follower.
func (j *judge) signal(ctx context.Context, p phase, id string, status types.ResourceSignalStatus) error {
	_, err := j.cfn.SignalResource(ctx, &cloudformation.SignalResourceInput{
		StackName: &p.stackID, LogicalResourceId: &p.logical, UniqueId: &id, Status: status,
	})
	if err != nil {
		text := message(err)
		if code(err) != "ValidationError" || !(strings.Contains(text, "be signaled") || strings.Contains(text, "already exists")) {
			return fmt.Errorf("signal %s: %w", id, err)
		}
	}
	j.sent[id] = status
	return nil
}

// cannotLaunch is why the group cannot get the machines it wants, once that has lasted.
func (j *judge) cannotLaunch(ctx context.Context, p phase, g *Group, now time.Time) (string, error) {
	if len(g.Instances) >= g.Capacity.Desired || p.status != "UPDATE_IN_PROGRESS" {
		j.stuck = time.Time{}
		return "", nil
	}
	r, err := j.asg.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name, MaxRecords: aws.Int32(20)})
	if err != nil {
		return "", err
	}
	why := ""
	for _, a := range r.Activities { // newest first
		if aws.ToTime(a.StartTime).Before(p.began.Truncate(time.Second)) || !strings.HasPrefix(aws.ToString(a.Description), "Launching") {
			continue
		}
		if a.StatusCode == astypes.ScalingActivityStatusCodeFailed {
			why = aws.ToString(a.StatusMessage)
			break
		}
		if a.StatusCode == astypes.ScalingActivityStatusCodeSuccessful {
			break
		}
	}
	switch {
	case why == "":
		j.stuck = time.Time{}
	case j.stuck.IsZero():
		j.stuck = now
	case now.Sub(j.stuck) > j.scale(j.gate.Launch):
		return "the group cannot launch: " + why, nil
	}
	return "", nil
}

// health is the state of each instance as target, the worst over all target
// groups, and why it is in it.
func (a *Account) health(ctx context.Context, g astypes.AutoScalingGroup) (states, why map[string]string, err error) {
	out, why := map[string]string{}, map[string]string{}
	for _, arn := range g.TargetGroupARNs {
		r, err := a.elb.DescribeTargetHealth(ctx, &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			return nil, nil, err
		}
		seen := map[string]bool{}
		for _, d := range r.TargetHealthDescriptions {
			if d.Target == nil || d.TargetHealth == nil {
				continue
			}
			id := aws.ToString(d.Target.Id)
			seen[id] = true
			if prev, ok := out[id]; !ok || prev == string(elbtypes.TargetHealthStateEnumHealthy) {
				out[id], why[id] = string(d.TargetHealth.State), reason(d.TargetHealth)
			}
		}
		for _, i := range g.Instances {
			if id := aws.ToString(i.InstanceId); !seen[id] {
				out[id], why[id] = "", "" // not a target here (yet)
			}
		}
	}
	return out, why, nil
}
