package elb

import (
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Reasons and texts of target health, as the API tells them.
const (
	reasonRegistration = "Elb.RegistrationInProgress"
	reasonInitial      = "Elb.InitialHealthChecking"
	reasonMismatch     = "Target.ResponseCodeMismatch"
	reasonTimeout      = "Target.Timeout"
	reasonFailed       = "Target.FailedHealthChecks"
	reasonNotInUse     = "Target.NotInUse"
	reasonState        = "Target.InvalidState"
	reasonDraining     = "Target.DeregistrationInProgress"
	reasonUnknown      = "Target.NotRegistered"
)

var texts = map[string]string{
	reasonRegistration: "Target registration is in progress",
	reasonInitial:      "Initial health checks in progress",
	reasonTimeout:      "Request timed out",
	reasonFailed:       "Health checks failed",
	reasonNotInUse:     "Target group is not configured to receive traffic from the load balancer",
	reasonState:        "Target is in the stopped state",
	reasonDraining:     "Target deregistration is in progress",
	reasonUnknown:      "Target is not registered to the target group",
}

const zoneNotEnabled = "Target is in an Availability Zone that is not enabled for the load balancer"

func targetKey(tg *state.TargetGroup, d TargetDescription) string {
	return d.Id + ":" + strconv.FormatInt(number(d.Port, tg.Port), 10)
}

// RegisterTargets adds running instances of the target group's VPC. One that
// drains is taken back; one that is registered stays as it is.
func RegisterTargets(tx *core.Tx, in *RegisterTargetsInput) (*RegisterTargetsOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	var stopped, elsewhere []string
	for _, d := range in.Targets {
		i := tx.Region.Instances[d.Id]
		switch {
		case i == nil:
			return nil, wire.Errorf("InvalidTarget", "The instance ID '%s' is not valid", d.Id)
		case i.State != "running":
			stopped = append(stopped, "'"+d.Id+"'")
		case i.VPCID != tg.VPCID:
			elsewhere = append(elsewhere, "'"+d.Id+"'")
		}
	}
	if len(stopped) > 0 {
		return nil, wire.Errorf("InvalidTarget", "The following targets are not in a running state and cannot be registered: %s", strings.Join(stopped, ", "))
	}
	if len(elsewhere) > 0 {
		return nil, wire.Errorf("InvalidTarget", "The following targets are not in the target group VPC '%s': %s", tg.VPCID, strings.Join(elsewhere, ", "))
	}
	for _, d := range in.Targets {
		key := targetKey(tg, d)
		if t := tg.Targets[key]; t != nil && t.Draining.IsZero() {
			continue
		}
		t := &state.Target{ID: d.Id, Port: number(d.Port, tg.Port), Registered: tx.Now}
		tell(tx, t, "initial", reasonRegistration, "")
		tg.Targets[key] = t
	}
	tx.Changed()
	return &RegisterTargetsOutput{}, nil
}

// DeregisterTargets begins to drain targets. Connections that are there live
// on, and new ones still come for a while. A target that is not there is no error.
func DeregisterTargets(tx *core.Tx, in *DeregisterTargetsInput) (*DeregisterTargetsOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	for _, d := range in.Targets {
		for key, t := range tg.Targets {
			if t.ID == d.Id && (d.Port == nil || *d.Port == t.Port) {
				drain(tx, tg, key)
			}
		}
	}
	tx.Changed()
	return &DeregisterTargetsOutput{}, nil
}

// drain begins the deregistration of one target; without a load balancer it is gone at once.
func drain(tx *core.Tx, tg *state.TargetGroup, key string) {
	t := tg.Targets[key]
	if !t.Draining.IsZero() {
		return
	}
	if balancerOf(tx, tg) == nil {
		delete(tg.Targets, key)
		return
	}
	t.Served = t.State == "healthy"
	t.Draining = tx.Now
	t.Good, t.Bad = 0, 0
	tell(tx, t, "draining", reasonDraining, "")
}

// tell sets a target's state; since only moves when the state itself does.
func tell(tx *core.Tx, t *state.Target, st, reason, text string) {
	if text == "" {
		text = texts[reason]
	}
	if t.State == st && t.Reason == reason && t.Description == text {
		return
	}
	if t.State != st {
		t.Since = tx.Now
	}
	t.State, t.Reason, t.Description = st, reason, text
	tx.Changed()
}

// delay is the deregistration delay of a target group, as AWS states it.
func delay(tg *state.TargetGroup) time.Duration {
	n, _ := strconv.Atoi(tg.Attributes[drainDelay])
	return time.Duration(n) * time.Second
}

// drained says whether the deregistration delay of a draining target is over.
func drained(tx *core.Tx, tg *state.TargetGroup, t *state.Target) bool {
	return !t.Draining.IsZero() && !t.Draining.Add(tx.Scale(delay(tg))).After(tx.Now)
}

// DescribeTargetHealth tells the health of the targets asked for, or of all.
func DescribeTargetHealth(tx *core.Tx, in *DescribeTargetHealthInput) (*DescribeTargetHealthOutput, error) {
	tg, err := targetGroup(tx, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	out := &DescribeTargetHealthOutput{}
	for _, key := range sortedKeys(tg.Targets) {
		t := tg.Targets[key]
		if drained(tx, tg, t) || !asked(tg, t, in.Targets) {
			continue
		}
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, TargetHealthDescription{
			Target:          TargetDescription{Id: t.ID, Port: &t.Port},
			HealthCheckPort: strconv.Itoa(checkPort(tg, t)),
			TargetHealth:    TargetHealth{State: told(tx, tg, t), Reason: t.Reason, Description: t.Description},
		})
	}
	for _, d := range in.Targets {
		if t := tg.Targets[targetKey(tg, d)]; t == nil || drained(tx, tg, t) {
			port := number(d.Port, tg.Port)
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, TargetHealthDescription{
				Target:       TargetDescription{Id: d.Id, Port: &port},
				TargetHealth: TargetHealth{State: "unused", Reason: reasonUnknown, Description: texts[reasonUnknown]},
			})
		}
	}
	return out, nil
}

// told is the state of a target as the API tells it: one whose connections are
// left alone for a while after it was found unhealthy is in a state of its own.
func told(tx *core.Tx, tg *state.TargetGroup, t *state.Target) string {
	seconds, _ := strconv.Atoi(tg.Attributes[unhealthyDrain])
	if t.State == "unhealthy" && seconds > 0 && tg.Attributes[unhealthyCut] == "false" && sinceWithin(tx, t.Since, time.Duration(seconds)*time.Second) {
		return "unhealthy.draining"
	}
	return t.State
}

func asked(tg *state.TargetGroup, t *state.Target, wanted []TargetDescription) bool {
	for _, d := range wanted {
		if d.Id == t.ID && number(d.Port, tg.Port) == t.Port {
			return true
		}
	}
	return len(wanted) == 0
}

// Health is the state of an instance in a target group: the worst of its
// ports', "" if it is not registered there or its deregistration is over.
func Health(tx *core.Tx, targetGroup, instance string) string {
	tg := tx.Region.TargetGroups[targetGroup]
	if tg == nil {
		return ""
	}
	worst := ""
	for _, key := range sortedKeys(tg.Targets) {
		t := tg.Targets[key]
		if t.ID == instance && !drained(tx, tg, t) && (worst == "" || worst == "healthy" || t.State == "unhealthy") {
			worst = t.State
		}
	}
	return worst
}

// DrainedAt is when the deregistration of an instance from a target group will
// be over; the zero time if it is not under way.
func DrainedAt(tx *core.Tx, targetGroup, instance string) time.Time {
	tg := tx.Region.TargetGroups[targetGroup]
	if tg == nil {
		return time.Time{}
	}
	var last time.Time
	for _, t := range tg.Targets {
		if t.ID != instance || t.Draining.IsZero() {
			continue
		}
		if end := t.Draining.Add(tx.Scale(delay(tg))); end.After(last) {
			last = end
		}
	}
	return last
}
