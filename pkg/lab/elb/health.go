package elb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Step makes load balancers active, probes targets and ends deregistrations.
func (Service) Step(tx *core.Tx) {
	for _, lb := range tx.Region.LoadBalancers {
		if lb.State == "provisioning" && tx.Due(lb.ActiveAt) {
			lb.State = "active"
			tx.Changed()
		}
	}
	for _, arn := range sortedKeys(tx.Region.TargetGroups) {
		tg := tx.Region.TargetGroups[arn]
		lb := balancerOf(tx, tg)
		for _, key := range sortedKeys(tg.Targets) {
			stepTarget(tx, lb, tg, key)
		}
	}
}

func stepTarget(tx *core.Tx, lb *state.LoadBalancer, tg *state.TargetGroup, key string) {
	t := tg.Targets[key]
	i := tx.Region.Instances[t.ID]
	if !t.Draining.IsZero() {
		// The data path forgets a target later than the API does.
		if tx.Due(t.Draining.Add(tx.Scale(max(delay(tg), drainLag)))) {
			delete(tg.Targets, key)
			tx.Changed()
		}
		return
	}
	if i == nil || i.State == "shutting-down" || i.State == "terminated" {
		drain(tx, tg, key)
		tx.Changed()
		return
	}
	if reason, text := unusable(lb, i); reason != "" {
		t.Good, t.Bad = 0, 0
		tell(tx, t, "unused", reason, text)
		return
	}
	if t.State == "unused" {
		t.Registered = tx.Now
		tell(tx, t, "initial", reasonRegistration, "")
	}
	if lb.State != "active" {
		return
	}
	begin := t.Registered
	if lb.ActiveAt.After(begin) {
		begin = lb.ActiveAt
	}
	if !tx.Due(begin.Add(tx.Scale(registration))) {
		return
	}
	if t.Reason == reasonRegistration {
		tell(tx, t, "initial", reasonInitial, "")
	}
	if t.NextCheck.After(tx.Now) {
		tx.Wake(t.NextCheck)
		return
	}
	t.NextCheck = tx.After(tg.Check.Interval)
	probe(tx, lb, tg, t, key)
}

// unusable says why the load balancer would not use an instance; no reason if it would.
func unusable(lb *state.LoadBalancer, i *state.Instance) (reason, text string) {
	if lb == nil {
		return reasonNotInUse, ""
	}
	if i.State == "stopped" || i.State == "stopping" {
		return reasonState, ""
	}
	for _, z := range lb.Subnets {
		if z.AZ == i.AZ {
			return "", ""
		}
	}
	return reasonNotInUse, zoneNotEnabled
}

// verdict of one probe: no reason means that it passed.
type verdict struct{ reason, text string }

// probe checks one target outside the lock and notes what came of it. Security
// groups count as for traffic: what they drop is a probe that gets no answer.
func probe(tx *core.Tx, lb *state.LoadBalancer, tg *state.TargetGroup, t *state.Target, key string) {
	arn, id, registered := tg.ARN, t.ID, t.Registered
	check, port := tg.Check, checkPort(tg, t)
	reachable := probeReaches(tx, lb, tx.Region.Instances[id], port)
	machines := tx.Runtime()
	// A verdict that only says what is known already is not worth a look at the world.
	settled := *t
	tx.Go("probe "+arn+" "+key, func(ctx context.Context) func(*core.Tx) {
		v := verdict{reason: reasonTimeout}
		if reachable {
			v = try(ctx, machines, id, port, check)
		}
		if confirms(settled, check, v) {
			return nil
		}
		return func(tx *core.Tx) {
			tg := tx.Region.TargetGroups[arn]
			if tg == nil || tg.Targets[key] == nil {
				return
			}
			// Registered anew meanwhile, draining or unused: the probe is about the past.
			t := tg.Targets[key]
			if !t.Registered.Equal(registered) || t.State == "draining" || t.State == "unused" {
				return
			}
			note(tx, tg, t, v)
		}
	})
}

// confirms says whether a verdict changes nothing at all of a target.
func confirms(t state.Target, check state.HealthCheck, v verdict) bool {
	if v.reason == "" {
		return t.State == "healthy" && t.Good >= check.HealthyAfter && t.Bad == 0
	}
	text := v.text
	if text == "" {
		text = texts[v.reason]
	}
	return t.State == "unhealthy" && t.Bad >= check.UnhealthyAfter && t.Good == 0 && t.Reason == v.reason && t.Description == text
}

// note counts a verdict; only thresholds move the state.
func note(tx *core.Tx, tg *state.TargetGroup, t *state.Target, v verdict) {
	if v.reason == "" {
		t.Bad = 0
		t.Good = min(t.Good+1, tg.Check.HealthyAfter)
		if t.Good >= tg.Check.HealthyAfter && t.State != "healthy" {
			tell(tx, t, "healthy", "", "")
		}
		return
	}
	t.Good = 0
	t.Bad = min(t.Bad+1, tg.Check.UnhealthyAfter)
	if t.Bad >= tg.Check.UnhealthyAfter {
		if t.State != "unhealthy" {
			t.Served = t.State == "healthy"
		}
		tell(tx, t, "unhealthy", v.reason, v.text)
	}
}

func checkPort(tg *state.TargetGroup, t *state.Target) int {
	if n, err := strconv.Atoi(tg.Check.Port); err == nil {
		return n
	}
	return int(t.Port)
}

// try is one probe by the configured protocol.
func try(ctx context.Context, machines runtime.Runtime, id string, port int, check state.HealthCheck) verdict {
	ctx, cancel := context.WithTimeout(ctx, max(check.Timeout, shortest))
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return machines.Dial(ctx, id, port) }
	if check.Protocol == "TCP" {
		c, err := dial(ctx, "", "")
		if err != nil {
			return failed(ctx, err)
		}
		_ = c.Close()
		return verdict{}
	}
	scheme := "http"
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}
	if check.Protocol == "HTTPS" {
		scheme = "https"
		// A load balancer does not look at its targets' certificates.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // as AWS does
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+id+":"+strconv.Itoa(port)+check.Path, nil)
	if err != nil {
		return verdict{reason: reasonFailed}
	}
	req.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	res, err := transport.RoundTrip(req)
	if err != nil {
		return failed(ctx, err)
	}
	_ = res.Body.Close()
	if fits, _ := matches(check.Matcher, res.StatusCode); !fits {
		return verdict{reasonMismatch, fmt.Sprintf("Health checks failed with these codes: [%d]", res.StatusCode)}
	}
	return verdict{}
}

func failed(ctx context.Context, err error) verdict {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return verdict{reason: reasonTimeout}
	}
	return verdict{reason: reasonFailed}
}

// sinceWithin says whether moment was less than d (as AWS states it) ago.
func sinceWithin(tx *core.Tx, moment time.Time, d time.Duration) bool {
	return tx.Now.Before(moment.Add(tx.Scale(d)))
}
