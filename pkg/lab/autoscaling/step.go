package autoscaling

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const (
	kept      = 300              // activities that a group remembers
	firstWait = 15 * time.Second // after a failed launch; doubled with each in a row
	lastWait  = 5 * time.Minute
)

// Step moves every group towards what it should be.
func (Service) Step(tx *core.Tx) {
	for _, name := range sortedKeys(tx.Region.Groups) {
		g := tx.Region.Groups[name]
		for _, id := range sortedKeys(g.Members) {
			m := g.Members[id]
			switch {
			case leaving(m):
				stepLeaving(tx, g, m)
			case m.Lifecycle == "InService":
				stepHealth(tx, g, m)
			default:
				stepJoining(tx, g, m)
			}
		}
		if g.Deleting {
			if len(g.Members) == 0 {
				delete(tx.Region.Groups, name)
				tx.Changed()
			}
			continue
		}
		scale(tx, g)
	}
}

// activity is what a member has under way or did last.
func activity(g *state.Group, m *state.Member) *state.Activity {
	for _, a := range slices.Backward(g.Activities) {
		if a.ID == m.Activity {
			return a
		}
	}
	return &state.Activity{ID: m.Activity}
}

func begin(tx *core.Tx, g *state.Group, description, cause string) *state.Activity {
	a := &state.Activity{ID: core.UUID(), Description: description, Cause: cause, Status: "InProgress", Started: tx.Now}
	g.Activities = append(g.Activities, a)
	if len(g.Activities) > kept {
		g.Activities = slices.Delete(g.Activities, 0, len(g.Activities)-kept)
	}
	tx.Changed()
	return a
}

func end(tx *core.Tx, a *state.Activity, status, text string) {
	a.Status, a.Message, a.Ended, a.Progress = status, text, tx.Now, 100
	tx.Changed()
}

// stepJoining brings an instance that was launched into service.
func stepJoining(tx *core.Tx, g *state.Group, m *state.Member) {
	i := tx.Region.Instances[m.ID]
	if i == nil || i.State != "running" && i.State != "pending" {
		reason := "it is gone"
		if i != nil && i.StateReason != "" {
			reason = i.StateReason
		}
		end(tx, activity(g, m), "Failed", "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: "+reason)
		failed(tx, g)
		drop(tx, g, m)
		return
	}
	if i.State == "pending" {
		return
	}
	switch m.Lifecycle {
	case "Pending":
		if wait(tx, g, m, launching) {
			m.Lifecycle = "Pending:Wait"
			activity(g, m).Status = "MidLifecycleAction"
			tx.Changed()
			return
		}
	case "Pending:Wait":
		if !expire(tx, g, m) {
			return
		}
		if m.Abandoned {
			end(tx, activity(g, m), "Cancelled", "Instance failed to complete user's Lifecycle Action: Lifecycle Action was abandoned")
			failed(tx, g)
			leave(tx, g, m, at(tx)+" an instance was taken out of service because its lifecycle action was abandoned.")
			return
		}
	}
	m.Lifecycle, m.Joined = "InService", tx.Now
	g.Failures, g.NextLaunch = 0, time.Time{}
	if g.Rebalancing == m.ID {
		g.Rebalancing = ""
	}
	end(tx, activity(g, m), "Successful", "")
	register(tx, g, m)
}

// register adds an instance to the group's target groups.
func register(tx *core.Tx, g *state.Group, m *state.Member) {
	if suspended(g, "AddToLoadBalancer") {
		return
	}
	for _, arn := range g.TargetGroups {
		_, err := elb.RegisterTargets(tx, &elb.RegisterTargetsInput{TargetGroupArn: arn, Targets: []elb.TargetDescription{{Id: m.ID}}})
		if err != nil {
			tx.Log().Warn("register a target", "group", g.Name, "instance", m.ID, "error", err)
		}
	}
}

func deregister(tx *core.Tx, arn, id string) {
	if tx.Region.TargetGroups[arn] == nil {
		return
	}
	if _, err := elb.DeregisterTargets(tx, &elb.DeregisterTargetsInput{TargetGroupArn: arn, Targets: []elb.TargetDescription{{Id: id}}}); err != nil {
		tx.Log().Warn("deregister a target", "instance", id, "error", err)
	}
}

// stepHealth finds instances unhealthy and, where allowed, takes them out.
func stepHealth(tx *core.Tx, g *state.Group, m *state.Member) {
	i := tx.Region.Instances[m.ID]
	cause := " an instance was taken out of service in response to a user health-check."
	if !suspended(g, "HealthCheck") {
		sick := false
		switch {
		case i == nil || i.State != "running" && i.State != "pending":
			sick, cause = true, " an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped."
		case graced(tx, g, m):
		case i.InstanceStatus == "impaired" || i.SystemStatus == "impaired":
			sick, cause = true, " an instance was taken out of service in response to an EC2 instance status checks failure."
		case g.HealthCheckType == "ELB" && slices.ContainsFunc(g.TargetGroups, func(arn string) bool { return elb.Health(tx, arn, m.ID) == "unhealthy" }):
			sick, cause = true, " an instance was taken out of service in response to an ELB system health check failure."
		}
		if sick && m.Health != "Unhealthy" {
			m.Health = "Unhealthy"
			tx.Changed()
		}
	}
	if m.Health == "Unhealthy" && !suspended(g, "ReplaceUnhealthy") && !suspended(g, "Terminate") {
		g.Replacing++
		leave(tx, g, m, at(tx)+cause)
	}
}

// leave begins to take an instance out: it is deregistered and drains.
func leave(tx *core.Tx, g *state.Group, m *state.Member, cause string) {
	a := begin(tx, g, "Terminating EC2 instance: "+m.ID, cause)
	a.Instance = m.ID
	m.Activity, m.Lifecycle, m.Waits = a.ID, "Terminating", nil
	if g.Rebalancing == m.ID {
		g.Rebalancing = ""
	}
	for _, arn := range g.TargetGroups {
		deregister(tx, arn, m.ID)
		if i := tx.Region.Instances[m.ID]; i == nil || i.State != "running" {
			continue
		}
		if end := elb.DrainedAt(tx, arn, m.ID); end.After(tx.Now) && end.After(m.DrainUntil) {
			m.DrainUntil = end
		}
	}
	if !m.DrainUntil.IsZero() {
		a.Description += " - Waiting For ELB Connection Draining."
		a.Status = "WaitingForELBConnectionDraining"
	}
	tx.Changed()
}

// stepLeaving goes on from draining over hooks to the end of the instance.
func stepLeaving(tx *core.Tx, g *state.Group, m *state.Member) {
	a := activity(g, m)
	i := tx.Region.Instances[m.ID]
	gone := i == nil || i.State == "terminated" || i.State == "shutting-down"
	switch m.Lifecycle {
	case "Terminating":
		if !gone && !m.DrainUntil.IsZero() && !tx.Due(m.DrainUntil) {
			return
		}
		if !gone && wait(tx, g, m, terminating) {
			m.Lifecycle, a.Status = "Terminating:Wait", "MidLifecycleAction"
			tx.Changed()
			return
		}
	case "Terminating:Wait":
		if !gone && !expire(tx, g, m) {
			return
		}
	case "Terminating:Proceed":
		if i == nil || i.State == "terminated" {
			end(tx, a, "Successful", "")
			drop(tx, g, m)
			return
		}
		if gone {
			return
		}
	}
	if m.Lifecycle != "Terminating:Proceed" {
		m.Lifecycle, a.Status, m.Waits = "Terminating:Proceed", "InProgress", nil
		tx.Changed()
	}
	if gone {
		return
	}
	if _, err := ec2.TerminateInstances(tx, &ec2.InstancesInput{InstanceIds: []string{m.ID}}); err != nil {
		tx.Log().Warn("terminate an instance", "group", g.Name, "instance", m.ID, "error", err)
		tx.Wake(tx.After(firstWait))
		return
	}
	tx.Changed()
}

func drop(tx *core.Tx, g *state.Group, m *state.Member) {
	if g.Rebalancing == m.ID {
		g.Rebalancing = ""
	}
	delete(g.Members, m.ID)
	tx.Changed()
}

// failed puts the next launch off, longer each time.
func failed(tx *core.Tx, g *state.Group) {
	d := min(firstWait<<min(g.Failures, 10), lastWait)
	g.Failures++
	g.NextLaunch = tx.After(d)
	tx.Changed()
}

// scale launches or terminates towards the desired capacity, then evens out the zones.
func scale(tx *core.Tx, g *state.Group) {
	members := Active(g)
	have := int64(len(members))
	if g.Rebalancing != "" {
		have--
	}
	switch {
	case have < g.Desired:
		if suspended(g, "Launch") || !g.NextLaunch.IsZero() && !tx.Due(g.NextLaunch) {
			return
		}
		grow(tx, g, have)
	case have > g.Desired:
		if suspended(g, "Terminate") {
			return
		}
		shrink(tx, g, have)
	default:
		if g.Replacing != 0 {
			g.Replacing = 0
			tx.Changed()
		}
		if g.Cause != "" {
			g.Cause = ""
			tx.Changed()
		}
		rebalance(tx, g, members)
	}
}

// grow launches what is missing. The first failure ends it until NextLaunch.
func grow(tx *core.Tx, g *state.Group, have int64) {
	cause := fmt.Sprintf("%s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.", at(tx), have, g.Desired)
	if g.Cause != "" {
		cause = g.Cause + "  " + cause
	}
	for range g.Desired - have {
		why := cause
		if g.Replacing > 0 {
			why = at(tx) + " an instance was launched in response to an unhealthy instance needing to be replaced."
		}
		if launch(tx, g, why, zonesOf(tx, g.Subnets)) == nil {
			return
		}
		g.Replacing = max(g.Replacing-1, 0)
	}
}

// emptiest orders zones by how many of the group's instances they hold.
func emptiest(g *state.Group, zones []string) []string {
	count := perZone(g, zones)
	out := slices.Clone(zones)
	slices.SortStableFunc(out, func(a, b string) int { return count[a] - count[b] })
	return out
}

func perZone(g *state.Group, zones []string) map[string]int {
	count := map[string]int{}
	for _, z := range zones {
		count[z] = 0
	}
	for _, m := range Active(g) {
		count[m.AZ]++
	}
	return count
}

// launch starts one instance in the emptiest of the zones that has capacity; nil if none has.
func launch(tx *core.Tx, g *state.Group, cause string, zones []string) *state.Member {
	var last error
	for _, zone := range emptiest(g, zones) {
		var subnets []string
		for _, id := range g.Subnets {
			if s := tx.Region.Subnets[id]; s != nil && s.AZ == zone {
				subnets = append(subnets, id)
			}
		}
		i, err := run(tx, g, subnets[len(g.Members)%len(subnets)])
		if err == nil {
			_, version, _ := ec2.FindLaunchTemplateVersion(tx, g.LaunchTemplate, "", g.LaunchTemplateVersion)
			m := &state.Member{
				ID: i.ID, Lifecycle: "Pending", Health: "Healthy", AZ: i.AZ, LaunchTemplate: g.LaunchTemplate,
				Version: fmt.Sprint(version.Number), Protected: g.ProtectNew, Started: tx.Now,
			}
			a := begin(tx, g, "Launching a new EC2 instance: "+i.ID, cause)
			a.Instance, a.Progress, a.Status = i.ID, 30, "PreInService"
			a.Details = fmt.Sprintf(`{"Subnet ID":%q,"Availability Zone":%q}`, i.SubnetID, i.AZ)
			m.Activity = a.ID
			g.Members[m.ID] = m
			return m
		}
		last = err
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != "InsufficientInstanceCapacity" {
			break
		}
	}
	if last == nil {
		last = errors.New("the group has no subnet")
	}
	a := begin(tx, g, "Launching a new EC2 instance", cause)
	end(tx, a, "Failed", strings.TrimSuffix(message(last), ".")+". Launching EC2 instance failed.")
	failed(tx, g)
	return nil
}

// run starts one instance from the group's launch template.
func run(tx *core.Tx, g *state.Group, subnet string) (*state.Instance, error) {
	tags := map[string]string{"aws:autoscaling:groupName": g.Name}
	for _, t := range g.Tags {
		if t.Propagate {
			tags[t.Key] = t.Value
		}
	}
	one := int64(1)
	out, err := ec2.RunInstances(tx, &ec2.RunInstancesInput{
		LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: g.LaunchTemplate, Version: g.LaunchTemplateVersion},
		SubnetId:       subnet, MinCount: &one, MaxCount: &one, TagSpecifications: ec2.Specify("instance", tags),
	})
	if err != nil {
		return nil, err
	}
	return tx.Region.Instances[out.Instances[0].InstanceId], nil
}

// shrink takes surplus instances out, those that the termination policy names first.
func shrink(tx *core.Tx, g *state.Group, have int64) {
	prefix := ""
	if g.Cause != "" {
		prefix = g.Cause + "  "
	}
	for n := have; n > g.Desired; n-- {
		m := victim(tx, g)
		if m == nil {
			return
		}
		leave(tx, g, m, fmt.Sprintf("%s%s an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.  %s instance %s was selected for termination.",
			prefix, at(tx), have, g.Desired, at(tx), m.ID))
	}
}

// victim is the instance to terminate next: from the fullest zone, then by the
// termination policies. An instance that replaces another zone's is spared.
func victim(tx *core.Tx, g *state.Group) *state.Member {
	members := slices.DeleteFunc(Active(g), func(m *state.Member) bool { return m.Protected || m.ID == g.Rebalancing })
	if len(members) == 0 {
		return nil
	}
	count := perZone(g, nil)
	zones := zonesOf(tx, g.Subnets)
	for z := range count {
		if !slices.Contains(zones, z) {
			count[z] = len(g.Members) + 1 // a zone that is no longer the group's
		}
	}
	policies := g.TerminationPolicies
	slices.SortStableFunc(members, func(a, b *state.Member) int {
		// What is not up yet, or known to be ill, goes before what serves.
		if x, y := serves(a), serves(b); x != y {
			return x - y
		}
		if c := count[b.AZ] - count[a.AZ]; c != 0 {
			return c
		}
		for _, p := range policies {
			if c := byPolicy(tx, g, p, a, b); c != 0 {
				return c
			}
		}
		return older(a, b)
	})
	return members[0]
}

func serves(m *state.Member) int {
	if m.Lifecycle == "InService" && m.Health == "Healthy" {
		return 1
	}
	return 0
}

func byPolicy(tx *core.Tx, g *state.Group, policy string, a, b *state.Member) int {
	switch policy {
	case "NewestInstance":
		return older(b, a)
	case "OldestInstance", "ClosestToNextInstanceHour":
		return older(a, b)
	}
	return templateAge(tx, g, a) - templateAge(tx, g, b)
}

// templateAge orders launch template versions, another template's first.
func templateAge(tx *core.Tx, g *state.Group, m *state.Member) int {
	if m.LaunchTemplate != g.LaunchTemplate {
		return -1
	}
	if _, v, err := ec2.FindLaunchTemplateVersion(tx, m.LaunchTemplate, "", m.Version); err == nil {
		return int(v.Number)
	}
	return 0
}

// rebalance launches an instance in a zone that has two fewer than another, or
// leaves a zone that is no longer the group's; the surplus then goes by shrink.
func rebalance(tx *core.Tx, g *state.Group, members []*state.Member) {
	if suspended(g, "AZRebalance") || suspended(g, "Launch") || suspended(g, "Terminate") || g.Rebalancing != "" {
		return
	}
	if !g.NextLaunch.IsZero() && !tx.Due(g.NextLaunch) || slices.ContainsFunc(members, func(m *state.Member) bool { return m.Lifecycle != "InService" }) {
		return
	}
	zones := zonesOf(tx, g.Subnets)
	if len(zones) == 0 {
		return
	}
	count := perZone(g, zones)
	least := emptiest(g, zones)[0]
	for _, zone := range sortedKeys(count) {
		foreign := !slices.Contains(zones, zone)
		if count[zone] == 0 || !foreign && count[zone] < count[least]+2 {
			continue
		}
		cause := fmt.Sprintf("%s instances were launched to balance instances in zones %s with other zones resulting in more than desired number of instances in the group.", at(tx), least)
		if m := launch(tx, g, cause, []string{least}); m != nil {
			g.Rebalancing = m.ID
		}
		return
	}
}
