// Package elb is the lab's Elastic Load Balancing (ELBv2): Network Load
// Balancers, listeners, target groups and the health of their targets.
//
// The API's half changes values; Step drives load balancers to active, checks
// targets and drains them; Candidates tells the traffic where a new connection
// may go. Times are what AWS states, divided by the lab's factor; only a
// probe's own timeout is not.
package elb

import (
	"maps"
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Times as AWS has them where it does not let the user choose (facts/aws.md
// §5.2-5.4 of the project; provisioning and registration are on the short side).
const (
	provisioning = 30 * time.Second  // until a load balancer is active
	registration = 10 * time.Second  // until a new target gets its first check
	drainLag     = 120 * time.Second // new connections still reach a deregistered target
	failLag      = 35 * time.Second  // new connections still reach a target found unhealthy
	shortest     = 2 * time.Second   // a probe's timeout is never under this
)

// Service is the ELBv2 API and what goes on behind it.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "elasticloadbalancing" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("CreateLoadBalancer", CreateLoadBalancer),
		core.Act("DescribeLoadBalancers", DescribeLoadBalancers),
		core.Act("DeleteLoadBalancer", DeleteLoadBalancer),
		core.Act("SetSubnets", SetSubnets),
		core.Act("SetSecurityGroups", SetSecurityGroups),
		core.Act("ModifyLoadBalancerAttributes", ModifyLoadBalancerAttributes),
		core.Act("DescribeLoadBalancerAttributes", DescribeLoadBalancerAttributes),
		core.Act("CreateListener", CreateListener),
		core.Act("DescribeListeners", DescribeListeners),
		core.Act("ModifyListener", ModifyListener),
		core.Act("DeleteListener", DeleteListener),
		core.Act("CreateTargetGroup", CreateTargetGroup),
		core.Act("DescribeTargetGroups", DescribeTargetGroups),
		core.Act("ModifyTargetGroup", ModifyTargetGroup),
		core.Act("DeleteTargetGroup", DeleteTargetGroup),
		core.Act("ModifyTargetGroupAttributes", ModifyTargetGroupAttributes),
		core.Act("DescribeTargetGroupAttributes", DescribeTargetGroupAttributes),
		core.Act("RegisterTargets", RegisterTargets),
		core.Act("DeregisterTargets", DeregisterTargets),
		core.Act("DescribeTargetHealth", DescribeTargetHealth),
		core.Act("AddTags", AddTags),
		core.Act("RemoveTags", RemoveTags),
		core.Act("DescribeTags", DescribeTags),
	}
}

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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func toTags(in []Tag) state.Tags {
	tags := state.Tags{}
	for _, t := range in {
		tags[t.Key] = t.Value
	}
	return tags
}
