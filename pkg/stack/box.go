package stack

import (
	"context"
	"fmt"
	"time"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A Box is what is known of a machine that failed, taken before it is ended: no
// agent is on it that could be asked later.
type Box struct {
	Instance string
	Verdict  string
	// Targets are the states of its target with the time at which each was first seen,
	// oldest first.
	Targets []string
	// Console is what it wrote there: kernel, systemd, cloud-init; "" if Problem says
	// why it could not be read.
	Console, Problem string
}

// remember keeps how a machine's target fares.
func (j *judge) remember(i Instance, now time.Time) {
	state := show(i.Health)
	if i.why != "" {
		state += " (" + i.why + ")"
	}
	if j.fared[i.ID] == nil || j.last[i.ID] != state {
		j.last[i.ID] = state
		j.fared[i.ID] = append(j.fared[i.ID], now.UTC().Format("15:04:05.000")+" target "+state+", machine "+show(i.State))
	}
}

// box tells what is known of a machine that failed, once. That its console cannot be
// read is no reason to let it go on.
func (j *judge) box(ctx context.Context, id, verdict string) {
	if j.boxed[id] {
		return
	}
	j.boxed[id] = true
	b := Box{Instance: id, Verdict: verdict, Targets: j.fared[id]}
	var err error
	if b.Console, err = j.o.Machines.Console(ctx, id); err != nil {
		b.Problem = err.Error()
	}
	if j.Stack.Boxed != nil {
		j.Stack.Boxed(b)
	}
}

// reason is why a target is in its state.
func reason(h *elbtypes.TargetHealth) string {
	if h.Reason == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s", h.Reason, aws.ToString(h.Description))
}
