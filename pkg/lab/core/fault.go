package core

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// The kinds of faults. What a fault of a kind matches, and its Args:
const (
	// FaultThrottle answers an API call with the service's throttling error.
	// It matches calls (below).
	FaultThrottle = "throttle"
	// FaultError answers a call with Args code, message and status (400).
	FaultError = "error"
	// FaultLostAnswer lets a call have its effect, then cuts the connection
	// instead of answering. With Args before=true the call never happens.
	FaultLostAnswer = "lost-answer"
	// FaultSlow holds a call back for Args delay before it has any effect.
	FaultSlow = "slow"
	// FaultStale answers a reading call from the world as it was before the last
	// changing call; without a match on an action, it means DescribeStacks.
	FaultStale = "stale"
	// FaultUnknownStatus puts Args value ("UNKNOWN_TO_YOU") into each member named
	// Args field (StackStatus) of an answer; without a match on an action, it means
	// DescribeStacks.
	FaultUnknownStatus = "unknown-status"
	// FaultSignalLate holds SignalResource back for Args delay, like FaultSlow.
	FaultSignalLate = "signal-late"
	// FaultNoCapacity refuses new instances. It matches machines (below).
	FaultNoCapacity = "no-capacity"
	// FaultMachine spoils new machines: Args delay (boots that much later),
	// never=true, die (stops after that time), broken=true, script (run as root).
	FaultMachine = "machine"
	// FaultRollback makes a resource fail while its stack rolls back. It matches
	// service=cloudformation, stack, logical, type.
	FaultRollback = "rollback-failure"
)

// Calls match service, action, region and, where the request has such a member,
// stack (StackName), logical (LogicalResourceId), image (ImageId), instance
// (InstanceId or the first of several), group (AutoScalingGroupName) and any
// top-level text member by its own name. Machines match stack, logical, group,
// image, type, zone, region, subnet, key, template and
// version (of the launch template), and tag:KEY.

var faultKinds = map[string]string{ // kind -> action it means by itself
	FaultThrottle: "", FaultError: "", FaultLostAnswer: "", FaultSlow: "", FaultNoCapacity: "", FaultMachine: "", FaultRollback: "",
	FaultStale: "DescribeStacks", FaultUnknownStatus: "DescribeStacks", FaultSignalLate: "SignalResource",
}

// FaultKinds lists the kinds.
func FaultKinds() []string {
	list := make([]string, 0, len(faultKinds))
	for k := range faultKinds {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// AddFault checks a fault, completes it (Times 0 means 1) and puts it in the
// world. It returns the fault's id.
func (tx *Tx) AddFault(f state.Fault) (string, error) {
	action, ok := faultKinds[f.Kind]
	if !ok {
		return "", fmt.Errorf("unknown kind of fault %q; there are %v", f.Kind, FaultKinds())
	}
	for _, name := range []string{"delay", "die"} {
		if v := f.Args[name]; v != "" {
			if d, err := time.ParseDuration(v); err != nil || d < 0 {
				return "", fmt.Errorf("fault's %s %q is no duration", name, v)
			}
		}
	}
	for _, name := range []string{"never", "broken", "before"} {
		if v := f.Args[name]; v != "" {
			if _, err := strconv.ParseBool(v); err != nil {
				return "", fmt.Errorf("fault's %s %q is neither true nor false", name, v)
			}
		}
	}
	if f.Kind == FaultError && f.Args["code"] == "" {
		return "", fmt.Errorf("a fault of kind %q needs an Args code", f.Kind)
	}
	n := f
	n.Match = map[string]string{}
	for k, v := range f.Match {
		n.Match[k] = v
	}
	if action != "" && n.Match["action"] == "" {
		n.Match["action"] = action
	}
	if n.Times == 0 {
		n.Times = 1
	}
	if n.ID == "" {
		n.ID = "fault-" + Hex(8)
	}
	tx.World.Faults = append(tx.World.Faults, &n)
	return n.ID, nil
}

// Fault finds the first fault of the kind that applies to attrs and uses it up
// by one. Every entry of the fault's Match must be in attrs and match it, with *
// and ? as wildcards; an empty Match applies to everything. nil: no fault.
func (tx *Tx) Fault(kind string, attrs map[string]string) *state.Fault {
	for k, f := range tx.World.Faults {
		if f.Kind != kind || f.Times == 0 || (!f.Until.IsZero() && tx.Now.After(f.Until)) {
			continue
		}
		ok := true
		for name, pattern := range f.Match {
			v, has := attrs[name]
			ok = ok && has && Wildcard(pattern, v)
		}
		if !ok {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		found := *f
		if f.Times == 0 {
			tx.World.Faults = slices.Delete(tx.World.Faults, k, k+1)
		}
		return &found
	}
	return nil
}

// FaultDuration is a fault's argument as a duration, 0 without one.
func FaultDuration(f *state.Fault, name string) time.Duration {
	d, _ := time.ParseDuration(f.Args[name])
	return d
}

// FaultFlag is a fault's argument as a boolean.
func FaultFlag(f *state.Fault, name string) bool {
	b, _ := strconv.ParseBool(f.Args[name])
	return b
}
