package network_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// get asks for the page at an address and tells which machine answered.
func get(t *testing.T, w *labtest.World, client, address string) (string, error) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, n, a string) (net.Conn, error) {
			return w.Network.DialFrom(ctx, client, n, a)
		},
	}}
	res, err := c.Get("http://" + address + "/who")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// answers asks many times and counts who answered, "" for a failure.
func answers(t *testing.T, w *labtest.World, ip string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for range 60 {
		who, err := get(t, w, network.Client, ip)
		if err != nil {
			who = ""
		}
		n[who]++
	}
	return n
}

// machines starts one machine in each subnet, each of which says its number.
func machines(t *testing.T, w *labtest.World, subnets ...string) []string {
	t.Helper()
	var ids []string
	for _, s := range subnets {
		id := w.Launch(s)
		require.NoError(t, w.Machine.Edit(id, func(d *memory.Image) { d.Pages["/who"] = memory.Page{Body: id} }))
		ids = append(ids, id)
	}
	return ids
}

func reason(t *testing.T, err error) network.Reason {
	t.Helper()
	var e *network.Error
	require.ErrorAs(t, err, &e)
	return e.Reason
}

func TestElasticIPLeadsToHealthyTargets(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	_, err := get(t, w, network.Client, w.IPs[0])
	require.ErrorContains(t, err, "load balancer site is provisioning")
	w.Run(40 * time.Second)
	_, err = get(t, w, network.Client, w.IPs[0])
	require.ErrorContains(t, err, "no target in zone")

	ids := machines(t, w, w.Subnets[0], w.Subnets[1])
	w.Register(ids...)
	w.Run(40 * time.Second)
	for _, ip := range w.IPs {
		n := answers(t, w, ip)
		assert.Len(t, n, 2, "cross-zone: both machines answer on %s: %v", ip, n)
		assert.Zero(t, n[""])
	}
	_, err = get(t, w, network.Client, w.IPs[0]+":81")
	assert.Equal(t, network.NotAllowed, reason(t, err), "security groups come first")
	w.Do(func(tx *core.Tx) { tx.Region.SecurityGroups[w.BalancerGroup].Ingress[0].To = 81 })
	_, err = get(t, w, network.Client, w.IPs[0]+":81")
	assert.Equal(t, network.Refused, reason(t, err), "no listener")
}

func TestZoneWithoutCrossZoneUsesItsOwnTargetsOnly(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	w.Do(func(tx *core.Tx) {
		tx.Region.LoadBalancers[w.Balancer].Attributes["load_balancing.cross_zone.enabled"] = "false"
	})
	ids := machines(t, w, w.Subnets[0], w.Subnets[1])
	w.Register(ids...)
	w.Run(80 * time.Second)
	assert.Equal(t, map[string]int{ids[0]: 60}, answers(t, w, w.IPs[0]))
	assert.Equal(t, map[string]int{ids[1]: 60}, answers(t, w, w.IPs[1]))

	// A zone whose only target is gone serves nobody, though the other could.
	require.NoError(t, w.Machine.Edit(ids[1], func(d *memory.Image) { d.Broken = true }))
	w.Run(20*time.Second + 40*time.Second)
	assert.Equal(t, "unhealthy", w.Health(ids[1]).State)
	_, err := get(t, w, network.Client, w.IPs[1])
	assert.Equal(t, network.Unreachable, reason(t, err))
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		assert.Equal(t, w.IPs[:1], elb.Names(tx, tx.Region.LoadBalancers[w.Balancer]), "its address is withdrawn from the balancer's name")
	})
	// The target group's own attribute wins over the balancer's.
	w.Do(func(tx *core.Tx) {
		tx.Region.TargetGroups[w.Targets].Attributes["load_balancing.cross_zone.enabled"] = "true"
	})
	assert.Equal(t, map[string]int{ids[0]: 60}, answers(t, w, w.IPs[1]))
}

func TestUnhealthyTargetTakesConnectionsForAWhileAndAllWhenNoneIsHealthy(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	ids := machines(t, w, w.Subnets[0], w.Subnets[1])
	w.Register(ids...)
	w.Run(80 * time.Second)
	require.NoError(t, w.Machine.Edit(ids[0], func(d *memory.Image) { d.Pages["/"] = memory.Page{Status: 503} }))
	w.Until(30*time.Second, "unhealthy", func(tx *core.Tx) bool { return elb.Health(tx, w.Targets, ids[0]) == "unhealthy" })
	assert.Len(t, answers(t, w, w.IPs[0]), 2, "30-40 s after it was found unhealthy")
	w.Run(36 * time.Second)
	assert.Equal(t, map[string]int{ids[1]: 60}, answers(t, w, w.IPs[0]))

	require.NoError(t, w.Machine.Edit(ids[1], func(d *memory.Image) { d.Pages["/"] = memory.Page{Status: 503} }))
	w.Run(80 * time.Second)
	assert.Equal(t, "unhealthy", w.Health(ids[1]).State)
	assert.Len(t, answers(t, w, w.IPs[0]), 2, "fail open")
}

func TestDrainingTargetTakesConnectionsForTwoMinutes(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	ids := machines(t, w, w.Subnets[0], w.Subnets[1])
	w.Register(ids...)
	w.Do(func(tx *core.Tx) {
		tx.Region.TargetGroups[w.Targets].Attributes["deregistration_delay.timeout_seconds"] = "30"
	})
	w.Run(80 * time.Second)
	w.Do(func(tx *core.Tx) {
		labtest.Must(elb.DeregisterTargets(tx, &elb.DeregisterTargetsInput{TargetGroupArn: w.Targets, Targets: []elb.TargetDescription{{Id: ids[0]}}}))
	})
	assert.Equal(t, elb.TargetHealth{State: "draining", Reason: "Target.DeregistrationInProgress", Description: "Target deregistration is in progress"}, w.Health(ids[0]))
	assert.Len(t, answers(t, w, w.IPs[0]), 2)
	w.Run(40 * time.Second)
	assert.Equal(t, "Target.NotRegistered", w.Health(ids[0]).Reason, "the delay is over")
	assert.Len(t, answers(t, w, w.IPs[0]), 2, "whatever the delay is")
	w.Run(90 * time.Second)
	assert.Equal(t, map[string]int{ids[1]: 60}, answers(t, w, w.IPs[0]))
}

func TestDeadTargetIsNeverRetried(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	ids := machines(t, w, w.Subnets[0], w.Subnets[1])
	w.Register(ids...)
	w.Run(80 * time.Second)
	require.NoError(t, w.Machine.Stop(t.Context(), ids[0]))
	n := answers(t, w, w.IPs[0])
	assert.NotZero(t, n[""], "one connection in two fails until it is found unhealthy")
	assert.NotZero(t, n[ids[1]])
}

func TestSecurityGroupsCountAtEveryConnection(t *testing.T) {
	tcp := func(from, to int64, cidr, group string) state.Rule {
		return state.Rule{ID: "sgr-x", Protocol: "tcp", From: from, To: to, CIDR: cidr, Group: group}
	}
	const stranger = "192.0.2.99"
	for _, c := range []struct {
		name             string
		balancer, target func(w *labtest.World) []state.Rule
		egress           func(w *labtest.World) []state.Rule
		client           string
		ok               bool
	}{
		{name: "balancer open to all, machine to the balancer's group", client: network.Client, ok: true},
		{name: "another client, open to all", client: stranger, ok: true},
		{
			name: "balancer open to one client only", client: stranger,
			balancer: func(*labtest.World) []state.Rule { return []state.Rule{tcp(80, 80, network.Client+"/32", "")} },
		},
		{
			name: "balancer open to that client", client: network.Client, ok: true,
			balancer: func(*labtest.World) []state.Rule { return []state.Rule{tcp(80, 80, network.Client+"/32", "")} },
		},
		{
			name: "balancer open on another port", client: network.Client,
			balancer: func(*labtest.World) []state.Rule { return []state.Rule{tcp(443, 443, "0.0.0.0/0", "")} },
		},
		{
			name: "machine sees the client's own address", client: network.Client, ok: true,
			target: func(*labtest.World) []state.Rule { return []state.Rule{tcp(80, 80, "192.0.2.0/24", "")} },
		},
		{
			name: "machine does not see the balancer's address", client: network.Client,
			target: func(*labtest.World) []state.Rule { return []state.Rule{tcp(80, 80, "10.0.0.0/16", "")} },
		},
		{
			name: "machine closed", client: network.Client,
			target: func(*labtest.World) []state.Rule { return nil },
		},
		{
			name: "balancer may send to the machine's group", client: network.Client, ok: true,
			egress: func(w *labtest.World) []state.Rule { return []state.Rule{tcp(80, 80, "", w.MachineGroup)} },
		},
		{
			name: "balancer may send to other ports only", client: network.Client,
			egress: func(w *labtest.World) []state.Rule { return []state.Rule{tcp(8080, 8080, "", w.MachineGroup)} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := labtest.New(t)
			w.Balance()
			ids := machines(t, w, w.Subnets[0])
			w.Register(ids...)
			w.Run(80 * time.Second)
			require.Equal(t, "healthy", w.Health(ids[0]).State)
			w.Do(func(tx *core.Tx) {
				if c.balancer != nil {
					tx.Region.SecurityGroups[w.BalancerGroup].Ingress = c.balancer(w)
				}
				if c.target != nil {
					tx.Region.SecurityGroups[w.MachineGroup].Ingress = c.target(w)
				}
				if c.egress != nil {
					tx.Region.SecurityGroups[w.BalancerGroup].Egress = c.egress(w)
				}
			})
			_, err := get(t, w, c.client, w.IPs[0])
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Equal(t, network.NotAllowed, reason(t, err))
		})
	}
}

func TestInstanceIsReachedByItsPublicAddressAndOpenRulesOnly(t *testing.T) {
	w := labtest.New(t)
	private := w.Launch(w.Subnets[0])
	var ip string
	w.Core.View(labtest.Region, func(tx *core.Tx) { ip = tx.Region.Instances[private].PrivateIP })
	_, err := get(t, w, network.Client, ip)
	assert.Equal(t, network.Unknown, reason(t, err), "a private address is nothing on the internet")

	w.Do(func(tx *core.Tx) { tx.Region.Subnets[w.Subnets[0]].PublicOnLaunch = true })
	public := machines(t, w, w.Subnets[0])[0]
	var name string
	w.Core.View(labtest.Region, func(tx *core.Tx) {
		ip = tx.Region.Instances[public].PublicIP
		name = ec2.PublicDNSName(labtest.Region, ip)
	})
	require.NotEmpty(t, ip)
	_, err = get(t, w, network.Client, ip)
	assert.Equal(t, network.NotAllowed, reason(t, err), "only the balancer's group may come")

	w.Do(func(tx *core.Tx) {
		tx.Region.SecurityGroups[w.MachineGroup].Ingress = []state.Rule{{Protocol: "tcp", From: 80, To: 80, CIDR: "0.0.0.0/0"}}
	})
	for _, host := range []string{ip, name} {
		who, err := get(t, w, network.Client, host)
		require.NoError(t, err)
		assert.Equal(t, public, who)
	}
	_, err = get(t, w, network.Client, ip+":22")
	assert.Equal(t, network.NotAllowed, reason(t, err))

	w.Do(func(tx *core.Tx) {
		for _, r := range tx.Region.RouteTables {
			r.Routes = nil
		}
	})
	_, err = get(t, w, network.Client, ip)
	assert.Equal(t, network.Unreachable, reason(t, err), "no route to the gateway")
}

func TestNamesComeFromTheLabsZonesOnly(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	ids := machines(t, w, w.Subnets[0])
	w.Register(ids...)
	w.Run(80 * time.Second)
	var dns string
	w.Do(func(tx *core.Tx) {
		dns = tx.Region.LoadBalancers[w.Balancer].DNSName
		zone := labtest.Must(route53.CreateHostedZone(tx, &route53.CreateHostedZoneInput{Name: "hello.example", CallerReference: "1"})).HostedZone.Id
		var changes []route53.Change
		for _, r := range []route53.ResourceRecordSet{
			{Name: "www.hello.example", Type: "A", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: w.IPs[0]}, {Value: w.IPs[1]}}},
			{Name: "cname.hello.example", Type: "CNAME", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: "www.hello.example"}}},
			{Name: "alias.hello.example", Type: "A", AliasTarget: &route53.AliasTarget{DNSName: dns, HostedZoneId: "Z2IFOLAFXWLO4F", EvaluateTargetHealth: labtest.No()}},
			{Name: "*.wild.hello.example", Type: "CNAME", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: dns}}},
			{Name: "loop.hello.example", Type: "CNAME", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: "loop.hello.example"}}},
			{Name: "lost.hello.example", Type: "A", TTL: new(int64(60)), ResourceRecords: []route53.ResourceRecord{{Value: "198.51.100.200"}}},
		} {
			changes = append(changes, route53.Change{Action: "CREATE", ResourceRecordSet: r})
		}
		labtest.Must(route53.ChangeResourceRecordSets(tx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone, ChangeBatch: route53.ChangeBatch{Changes: changes}}))
	})
	for _, name := range []string{"www.hello.example", "WWW.Hello.Example.", "cname.hello.example", "alias.hello.example", "a.wild.hello.example", dns} {
		who, err := get(t, w, network.Client, name)
		require.NoError(t, err, name)
		assert.Equal(t, ids[0], who)
	}
	for _, name := range []string{"example.com", "localhost", "127.0.0.1", "hello.example", "nope.hello.example", "loop.hello.example", "lost.hello.example", "::1", "93.184.216.34"} {
		_, err := w.Network.Dial(t.Context(), "tcp", net.JoinHostPort(name, "80"))
		require.Error(t, err, name)
		assert.Equal(t, network.Unknown, reason(t, err), name)
	}
	_, err := w.Network.Dial(t.Context(), "udp", "www.hello.example:53")
	require.ErrorContains(t, err, "speaks TCP")
}

func TestConnectionsLiveUntilTheBalancerEndsThem(t *testing.T) {
	w := labtest.New(t)
	w.Balance()
	ids := machines(t, w, w.Subnets[0])
	w.Register(ids...)
	w.Run(80 * time.Second)
	open := func() net.Conn {
		c, err := w.Network.Dial(t.Context(), "tcp", w.IPs[0]+":80")
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	alive := func(c net.Conn) bool {
		_, err := io.WriteString(c, "GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil {
			return false
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 4096)
		n, err := c.Read(b)
		return err == nil && n > 0
	}
	kept := open()
	require.True(t, alive(kept))
	w.Do(func(tx *core.Tx) {
		labtest.Must(elb.DeregisterTargets(tx, &elb.DeregisterTargetsInput{TargetGroupArn: w.Targets, Targets: []elb.TargetDescription{{Id: ids[0]}}}))
	})
	w.Run(200 * time.Second)
	assert.True(t, alive(kept))
	w.Run(200 * time.Second)
	assert.True(t, alive(kept), "without connection termination it lives on after the delay")
	w.Run(400 * time.Second)
	assert.False(t, alive(kept), "it carried nothing for too long")

	w.Register(ids...)
	w.Run(80 * time.Second)
	cut := open()
	w.Do(func(tx *core.Tx) {
		tx.Region.TargetGroups[w.Targets].Attributes["deregistration_delay.connection_termination.enabled"] = "true"
		labtest.Must(elb.DeregisterTargets(tx, &elb.DeregisterTargetsInput{TargetGroupArn: w.Targets, Targets: []elb.TargetDescription{{Id: ids[0]}}}))
	})
	w.Run(200 * time.Second)
	assert.True(t, alive(cut), "within the delay")
	w.Run(150 * time.Second)
	assert.False(t, alive(cut), "with it, the delay ends it")

	// A target found unhealthy loses its connections, unless told otherwise.
	w.Register(ids...)
	w.Run(80 * time.Second)
	c := open()
	require.True(t, alive(c))
	require.NoError(t, w.Machine.Edit(ids[0], func(d *memory.Image) { d.Pages["/"] = memory.Page{Status: 500} }))
	w.Run(40 * time.Second)
	assert.False(t, alive(c))
	assert.True(t, alive(open()), "fail open: a connection made since is not cut")
}
