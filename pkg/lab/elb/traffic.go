package elb

import (
	"net/netip"
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Backend is where a load balancer may send one connection.
type Backend struct {
	TargetGroup string // ARN
	Key         string // of the target in its group
	Instance    string
	Port        int
}

// BalancerAt finds the load balancer that a public address leads to, and which
// of its zones; nil if there is none. It looks at all regions.
func BalancerAt(w *state.World, ip string) (region string, lb *state.LoadBalancer, zone state.LoadBalancerSubnet) {
	if ip == "" {
		return "", nil, zone
	}
	for _, name := range sortedKeys(w.Regions) {
		for _, lb := range w.Regions[name].LoadBalancers {
			for _, z := range lb.Subnets {
				if z.PublicIP == ip {
					return name, lb, z
				}
			}
		}
	}
	return "", nil, zone
}

// ListenerAt is the listener of a load balancer on a port, or nil.
func ListenerAt(tx *core.Tx, lb *state.LoadBalancer, port int) *state.Listener {
	for _, l := range tx.Region.Listeners {
		if l.LoadBalancer == lb.ARN && l.Port == int64(port) {
			return l
		}
	}
	return nil
}

// Names are the public addresses that the DNS name of a load balancer has now:
// those of zones that could serve (all of them when none can).
func Names(tx *core.Tx, lb *state.LoadBalancer) []string {
	var serving, all []string
	for _, z := range lb.Subnets {
		ip := z.PublicIP
		if lb.Scheme == "internal" {
			ip = z.PrivateIP
		}
		all = append(all, ip)
		healthy := true
		for _, l := range tx.Region.Listeners {
			if l.LoadBalancer != lb.ARN {
				continue
			}
			tg := tx.Region.TargetGroups[l.TargetGroup]
			healthy = healthy && tg != nil && slices.ContainsFunc(visible(tx, lb, tg, z.AZ), isHealthy)
		}
		if healthy {
			serving = append(serving, ip)
		}
	}
	if len(serving) == 0 {
		return all
	}
	return serving
}

// Accepts says whether the security groups of the load balancer let a client in.
func Accepts(tx *core.Tx, lb *state.LoadBalancer, client string, port int) bool {
	return len(lb.SecurityGroups) == 0 || ec2.Allowed(tx, lb.SecurityGroups, client, nil, port)
}

// Candidates are the targets of which one takes a new connection that comes in
// by a zone of the load balancer. None: the connection fails, nothing else is tried.
//
// Healthy targets take connections; so do, for a while, those deregistered or
// found unhealthy a moment ago. When no target anywhere is healthy, all are
// used (fail open). Without cross-zone a zone uses its own targets only.
func Candidates(tx *core.Tx, lb *state.LoadBalancer, l *state.Listener, az string) []Backend {
	tg := tx.Region.TargetGroups[l.TargetGroup]
	if tg == nil || lb.State != "active" {
		return nil
	}
	zone := visible(tx, lb, tg, az)
	taking := slices.DeleteFunc(slices.Clone(zone), func(t *state.Target) bool {
		switch t.State {
		case "healthy":
			return false
		case "draining":
			return !t.Served || !sinceWithin(tx, t.Draining, drainLag)
		case "unhealthy":
			return !t.Served || !sinceWithin(tx, t.Since, failLag)
		}
		return true
	})
	if len(taking) == 0 {
		for _, t := range tg.Targets {
			if isHealthy(t) {
				return nil // another zone could, but this one does not ask it
			}
		}
		taking = slices.DeleteFunc(zone, func(t *state.Target) bool { return t.State != "initial" && t.State != "unhealthy" })
	}
	var out []Backend
	for _, t := range taking {
		out = append(out, Backend{TargetGroup: tg.ARN, Key: targetKey(tg, TargetDescription{Id: t.ID, Port: &t.Port}), Instance: t.ID, Port: int(t.Port)})
	}
	return out
}

func isHealthy(t *state.Target) bool { return t.State == "healthy" }

// visible are the targets that a zone of the load balancer may use at all.
func visible(tx *core.Tx, lb *state.LoadBalancer, tg *state.TargetGroup, az string) []*state.Target {
	cross := tg.Attributes[crossZone]
	if cross == "use_load_balancer_configuration" {
		cross = lb.Attributes[crossZone]
	}
	var out []*state.Target
	for _, key := range sortedKeys(tg.Targets) {
		t := tg.Targets[key]
		i := tx.Region.Instances[t.ID]
		if i != nil && t.State != "unused" && (cross == "true" || i.AZ == az) {
			out = append(out, t)
		}
	}
	return out
}

// Reaches says whether a connection of a client gets from the load balancer
// through to an instance: out by the balancer's security groups, in by the
// instance's. The instance sees the client's address unless told otherwise.
func Reaches(tx *core.Tx, lb *state.LoadBalancer, zone state.LoadBalancerSubnet, b Backend, client string) bool {
	i := tx.Region.Instances[b.Instance]
	if i == nil {
		return false
	}
	source := client
	if tg := tx.Region.TargetGroups[b.TargetGroup]; tg != nil && tg.Attributes[preserveClient] == "false" {
		source = zone.PrivateIP
	}
	return leaves(tx, lb, i, b.Port) && ec2.Allowed(tx, i.SecurityGroups, source, lb.SecurityGroups, b.Port)
}

// probeReaches is Reaches for a health check, which comes from the balancer itself.
func probeReaches(tx *core.Tx, lb *state.LoadBalancer, i *state.Instance, port int) bool {
	if i == nil || len(lb.Subnets) == 0 {
		return false
	}
	source := lb.Subnets[0].PrivateIP
	for _, z := range lb.Subnets {
		if z.AZ == i.AZ {
			source = z.PrivateIP
		}
	}
	return leaves(tx, lb, i, port) && ec2.Allowed(tx, i.SecurityGroups, source, lb.SecurityGroups, port)
}

// leaves says whether the balancer's egress rules let a connection to the instance out.
func leaves(tx *core.Tx, lb *state.LoadBalancer, i *state.Instance, port int) bool {
	if len(lb.SecurityGroups) == 0 {
		return true
	}
	ip, _ := netip.ParseAddr(i.PrivateIP)
	for _, id := range lb.SecurityGroups {
		g := tx.Region.SecurityGroups[id]
		if g == nil {
			continue
		}
		for _, r := range g.Egress {
			if r.Protocol != "-1" && (r.Protocol != "tcp" || int64(port) < r.From || int64(port) > r.To) {
				continue
			}
			if r.Group != "" && slices.Contains(i.SecurityGroups, r.Group) {
				return true
			}
			if block, err := netip.ParsePrefix(r.CIDR); err == nil && block.Contains(ip) {
				return true
			}
		}
	}
	return false
}

// Severed says whether a connection established to a backend at a moment is cut
// by the load balancer now: its target was found unhealthy since, or
// deregistered long enough ago, where the target group's attributes ask for
// that; or the listener or target group is gone.
func Severed(tx *core.Tx, listener string, b Backend, established time.Time) bool {
	if tx.Region.Listeners[listener] == nil {
		return true
	}
	tg := tx.Region.TargetGroups[b.TargetGroup]
	if tg == nil {
		return true
	}
	t := tg.Targets[b.Key]
	switch {
	case t == nil:
		return tg.Attributes[drainCut] == "true"
	case t.State == "draining":
		return tg.Attributes[drainCut] == "true" && drained(tx, tg, t)
	case t.State == "unhealthy":
		return t.Since.After(established) && tg.Attributes[unhealthyCut] == "true"
	}
	return false
}
