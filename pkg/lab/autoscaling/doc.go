// Package autoscaling is the lab's EC2 Auto Scaling: groups that keep the
// desired number of instances, lifecycle hooks and scaling activities.
//
// An instance is InService when EC2 says that it runs (and launching hooks are
// done), and joins its target groups then. One that leaves is deregistered
// first, drained, held by terminating hooks while it still serves, and only then
// terminated.
package autoscaling

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Service is the Auto Scaling API and what goes on behind it.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "autoscaling" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("CreateAutoScalingGroup", CreateAutoScalingGroup),
		core.Act("UpdateAutoScalingGroup", UpdateAutoScalingGroup),
		core.Act("DeleteAutoScalingGroup", DeleteAutoScalingGroup),
		core.Act("DescribeAutoScalingGroups", DescribeAutoScalingGroups),
		core.Act("DescribeAutoScalingInstances", DescribeAutoScalingInstances),
		core.Act("DescribeScalingActivities", DescribeScalingActivities),
		core.Act("SetDesiredCapacity", SetDesiredCapacity),
		core.Act("SetInstanceHealth", SetInstanceHealth),
		core.Act("TerminateInstanceInAutoScalingGroup", TerminateInstanceInAutoScalingGroup),
		core.Act("SuspendProcesses", SuspendProcesses),
		core.Act("ResumeProcesses", ResumeProcesses),
		core.Act("PutLifecycleHook", PutLifecycleHook),
		core.Act("DeleteLifecycleHook", DeleteLifecycleHook),
		core.Act("DescribeLifecycleHooks", DescribeLifecycleHooks),
		core.Act("CompleteLifecycleAction", CompleteLifecycleAction),
		core.Act("RecordLifecycleActionHeartbeat", RecordLifecycleActionHeartbeat),
		core.Act("AttachLoadBalancerTargetGroups", AttachLoadBalancerTargetGroups),
		core.Act("DetachLoadBalancerTargetGroups", DetachLoadBalancerTargetGroups),
		core.Act("EnableMetricsCollection", EnableMetricsCollection),
		core.Act("DisableMetricsCollection", DisableMetricsCollection),
		core.Act("CreateOrUpdateTags", CreateOrUpdateTags),
		core.Act("DeleteTags", DeleteTags),
		core.Act("DescribeTags", DescribeTags),
	}
}

// Find is the group of that name, or AWS's error.
func Find(tx *core.Tx, name string) (*state.Group, error) {
	if g := tx.Region.Groups[name]; g != nil {
		return g, nil
	}
	return nil, wire.Errorf("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

// Active are the instances of a group that do not leave it, the oldest first.
func Active(g *state.Group) []*state.Member {
	out := slices.Collect(maps.Values(g.Members))
	out = slices.DeleteFunc(out, leaving)
	slices.SortFunc(out, older)
	return out
}

// InService are the instances of a group in state InService, the oldest first.
func InService(g *state.Group) []*state.Member {
	return slices.DeleteFunc(Active(g), func(m *state.Member) bool { return m.Lifecycle != "InService" })
}

func leaving(m *state.Member) bool { return strings.HasPrefix(m.Lifecycle, "Terminating") }

func older(a, b *state.Member) int {
	if c := a.Started.Compare(b.Started); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func yes(p *bool) bool { return p != nil && *p }

func number(p *int64, otherwise int64) int64 {
	if p == nil {
		return otherwise
	}
	return *p
}

func seconds(p *int64, otherwise time.Duration) time.Duration {
	if p == nil {
		return otherwise
	}
	return time.Duration(*p) * time.Second
}

// at is how a cause begins: "At 2024-09-01T10:00:00Z".
func at(tx *core.Tx) string { return "At " + tx.Now.UTC().Format("2006-01-02T15:04:05Z") }
