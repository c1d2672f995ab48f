package autoscaling

import (
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
	longest     = 48 * time.Hour
)

// newHook is old (nil for a new one) with the changes of in.
func newHook(old *state.Hook, in *PutLifecycleHookInput) (*state.Hook, error) {
	if in.LifecycleHookName == "" {
		return nil, wire.Errorf("ValidationError", "LifecycleHookName is required")
	}
	h := &state.Hook{Name: in.LifecycleHookName, Default: "ABANDON", Heartbeat: time.Hour}
	if old != nil {
		*h = *old
	}
	if in.LifecycleTransition != "" {
		h.Transition = in.LifecycleTransition
	}
	if in.DefaultResult != "" {
		h.Default = in.DefaultResult
	}
	h.Heartbeat = seconds(in.HeartbeatTimeout, h.Heartbeat)
	if in.NotificationMetadata != "" {
		h.Metadata = in.NotificationMetadata
	}
	if in.NotificationTargetARN != "" {
		h.Target = in.NotificationTargetARN
	}
	if in.RoleARN != "" {
		h.Role = in.RoleARN
	}
	switch {
	case h.Transition != launching && h.Transition != terminating:
		return nil, wire.Errorf("ValidationError", "Please provide a valid LifecycleTransition: one of [%s, %s]", launching, terminating)
	case h.Default != "CONTINUE" && h.Default != "ABANDON":
		return nil, wire.Errorf("ValidationError", "Invalid DefaultResult '%s': it must be CONTINUE or ABANDON", h.Default)
	case h.Heartbeat < 30*time.Second || h.Heartbeat > 7200*time.Second:
		return nil, wire.Errorf("ValidationError", "HeartbeatTimeout must be between 30 and 7200 seconds")
	}
	return h, nil
}

// PutLifecycleHook makes or changes a hook. Waits under way stay as they are.
func PutLifecycleHook(tx *core.Tx, in *PutLifecycleHookInput) (*PutLifecycleHookOutput, error) {
	g, err := living(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	h, err := newHook(g.Hooks[in.LifecycleHookName], in)
	if err != nil {
		return nil, err
	}
	g.Hooks[h.Name] = h
	tx.Changed()
	return &PutLifecycleHookOutput{}, nil
}

func hook(g *state.Group, name string) error {
	if g.Hooks[name] == nil {
		return wire.Errorf("ValidationError", "No Lifecycle Hook found with name %s for AutoScalingGroup %s", name, g.Name)
	}
	return nil
}

// DeleteLifecycleHook deletes a hook; an instance that waits for it goes on.
func DeleteLifecycleHook(tx *core.Tx, in *DeleteLifecycleHookInput) (*DeleteLifecycleHookOutput, error) {
	g, err := Find(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if err := hook(g, in.LifecycleHookName); err != nil {
		return nil, err
	}
	for _, m := range g.Members {
		if _, waits := m.Waits[in.LifecycleHookName]; waits {
			complete(m, in.LifecycleHookName, "ABANDON")
		}
	}
	delete(g.Hooks, in.LifecycleHookName)
	tx.Changed()
	return &DeleteLifecycleHookOutput{}, nil
}

// DescribeLifecycleHooks tells the hooks of a group.
func DescribeLifecycleHooks(tx *core.Tx, in *DescribeLifecycleHooksInput) (*DescribeLifecycleHooksOutput, error) {
	g, err := Find(tx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	out := &DescribeLifecycleHooksOutput{}
	for _, name := range sortedKeys(g.Hooks) {
		if len(in.LifecycleHookNames) > 0 && !slices.Contains(in.LifecycleHookNames, name) {
			continue
		}
		h := g.Hooks[name]
		out.LifecycleHooks = append(out.LifecycleHooks, LifecycleHook{
			LifecycleHookName: h.Name, AutoScalingGroupName: g.Name, LifecycleTransition: h.Transition, DefaultResult: h.Default,
			HeartbeatTimeout: int64(h.Heartbeat.Seconds()), GlobalTimeout: int64(limit(h).Seconds()),
			NotificationMetadata: h.Metadata, NotificationTargetARN: h.Target, RoleARN: h.Role,
		})
	}
	return out, nil
}

// limit is how long heartbeats can stretch a hook's wait.
func limit(h *state.Hook) time.Duration { return min(100*h.Heartbeat, longest) }

// wait puts an instance into the wait of every hook of a transition, and says whether there is one.
func wait(tx *core.Tx, g *state.Group, m *state.Member, transition string) bool {
	m.Waits = nil
	for _, name := range sortedKeys(g.Hooks) {
		h := g.Hooks[name]
		if h.Transition != transition {
			continue
		}
		if m.Waits == nil {
			m.Waits = map[string]state.Wait{}
		}
		m.Waits[name] = state.Wait{Token: core.UUID(), Until: tx.After(h.Heartbeat), Limit: tx.After(limit(h))}
	}
	return len(m.Waits) > 0
}

// expire ends the waits whose time is over with their hook's default result,
// and says whether none is left.
func expire(tx *core.Tx, g *state.Group, m *state.Member) bool {
	for _, name := range sortedKeys(m.Waits) {
		w, waits := m.Waits[name]
		if !waits || !tx.Due(w.Until) {
			continue
		}
		result := "ABANDON"
		if h := g.Hooks[name]; h != nil {
			result = h.Default
		}
		complete(m, name, result)
		tx.Changed()
	}
	return len(m.Waits) == 0
}

// complete ends one wait. ABANDON ends the others, too, and gives up an instance that is launching.
func complete(m *state.Member, name, result string) {
	delete(m.Waits, name)
	if result != "ABANDON" {
		return
	}
	m.Waits = nil
	m.Abandoned = m.Lifecycle == "Pending:Wait"
}

// waiting finds the instance that waits for a hook, by id or token.
func waiting(tx *core.Tx, group, name, token, instance string) (*state.Member, error) {
	g, err := Find(tx, group)
	if err != nil {
		return nil, err
	}
	if err := hook(g, name); err != nil {
		return nil, err
	}
	for _, m := range g.Members {
		if w, waits := m.Waits[name]; waits && (instance != "" && m.ID == instance || token != "" && w.Token == token) {
			return m, nil
		}
	}
	if instance != "" {
		return nil, wire.Errorf("ValidationError", "No active Lifecycle Action found with instance ID %s", instance)
	}
	return nil, wire.Errorf("ValidationError", "No active Lifecycle Action found with token %s", token)
}

// CompleteLifecycleAction ends the wait of one instance.
func CompleteLifecycleAction(tx *core.Tx, in *CompleteLifecycleActionInput) (*CompleteLifecycleActionOutput, error) {
	if in.LifecycleActionResult != "CONTINUE" && in.LifecycleActionResult != "ABANDON" {
		return nil, wire.Errorf("ValidationError", "Invalid Lifecycle Action Result '%s': it must be CONTINUE or ABANDON", in.LifecycleActionResult)
	}
	m, err := waiting(tx, in.AutoScalingGroupName, in.LifecycleHookName, in.LifecycleActionToken, in.InstanceId)
	if err != nil {
		return nil, err
	}
	complete(m, in.LifecycleHookName, in.LifecycleActionResult)
	tx.Changed()
	return &CompleteLifecycleActionOutput{}, nil
}

// RecordLifecycleActionHeartbeat starts the wait of one instance anew, within its limit.
func RecordLifecycleActionHeartbeat(tx *core.Tx, in *RecordLifecycleActionHeartbeatInput) (*RecordLifecycleActionHeartbeatOutput, error) {
	m, err := waiting(tx, in.AutoScalingGroupName, in.LifecycleHookName, in.LifecycleActionToken, in.InstanceId)
	if err != nil {
		return nil, err
	}
	w := m.Waits[in.LifecycleHookName]
	w.Until = tx.After(tx.Region.Groups[in.AutoScalingGroupName].Hooks[in.LifecycleHookName].Heartbeat)
	if w.Until.After(w.Limit) {
		w.Until = w.Limit
	}
	m.Waits[in.LifecycleHookName] = w
	tx.Changed()
	return &RecordLifecycleActionHeartbeatOutput{}, nil
}
