package facts_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

const (
	machineWork = "it changes what runs on a machine from outside"
	labTraffic  = "it looks at which machine of the lab answers"
)

// edit changes what a machine of the lab serves.
func (s *stack) edit(id string, fn func(d *memory.Image)) {
	s.Helper()
	require.NoError(s, s.lab.Memory().Edit(id, fn))
}

// sick makes a machine answer 500 and waits until its target is unhealthy.
func (s *stack) sick(id string) {
	s.Helper()
	s.edit(id, func(d *memory.Image) { d.Broken = true })
	s.until(time.Hour, "it is unhealthy", func() bool { return strings.HasPrefix(s.toldOf(id), "unhealthy") })
}

// ask fetches a path of an address on port 80 over a new connection.
func (w *world) ask(address, path string) (string, error) {
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: w.dial, DisableKeepAlives: true}}
	r, err := c.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// who asks often which machine answers at an address: how often each did, "" for none.
func (s *stack) who(address string) map[string]int {
	s.Helper()
	n := map[string]int{}
	for range 40 {
		id, err := s.ask(address, "/who")
		if err != nil {
			id = ""
		}
		n[id]++
	}
	return n
}

// named gives each machine a page with its id.
func (s *stack) signed() []string {
	s.Helper()
	ids := s.serving()
	for _, id := range ids {
		s.edit(id, func(d *memory.Image) { d.Pages["/who"] = memory.Page{Body: id} })
	}
	return ids
}

func crossed(body string) string {
	return strings.Replace(body, "{Type: network, Scheme: internet-facing,", "{Type: network, Scheme: internet-facing, LoadBalancerAttributes: [{Key: load_balancing.cross_zone.enabled, Value: 'true'}],", 1)
}

var healthFacts = []fact{
	{id: "F290", claim: "A new target is initial with Elb.RegistrationInProgress, then Elb.InitialHealthChecking, then healthy with no reason.", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum] [NLBUG]", check: func(w *world) {
		w.images()
		s := w.create("front", balanced(), with("ImageId", w.image))
		var seen []string
		s.until(time.Hour, "two are healthy", func() bool {
			if !strings.Contains(strings.Join(s.history(), "\n"), "Asg CREATE_IN_PROGRESS") {
				return false
			}
			healthy := 0
			for _, t := range s.targets() {
				line := strings.TrimSpace(fmt.Sprint(t.TargetHealth.State, " ", t.TargetHealth.Reason, " ", aws.ToString(t.TargetHealth.Description)))
				if len(seen) == 0 || !strings.Contains(strings.Join(seen, "\n"), line) {
					seen = append(seen, line)
				}
				if t.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
					healthy++
				}
			}
			return healthy == 2
		})
		assert.Equal(w, "healthy", seen[len(seen)-1])
		assert.Subset(w, []string{
			"initial Elb.RegistrationInProgress Target registration is in progress", "initial Elb.InitialHealthChecking Initial health checks in progress", "healthy",
		}, seen)
		assert.GreaterOrEqual(w, len(seen), 2)
	}},
	{id: "F291", claim: "A target that answers another code is unhealthy with Target.ResponseCodeMismatch \"Health checks failed with these codes: [500]\".", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum]", lab: machineWork, check: func(w *world) {
		s := w.served()
		id := s.serving()[0]
		s.sick(id)
		assert.Equal(w, "unhealthy Target.ResponseCodeMismatch: Health checks failed with these codes: [500]", s.toldOf(id))
	}},
	{id: "F292", claim: "A target that nobody answers for is unhealthy with Target.FailedHealthChecks \"Health checks failed\".", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum]", lab: machineWork, check: func(w *world) {
		s := w.served()
		id := s.serving()[0]
		s.edit(id, func(d *memory.Image) { d.Off = true })
		s.until(time.Hour, "it is unhealthy", func() bool { return strings.HasPrefix(s.toldOf(id), "unhealthy") })
		assert.Equal(w, "unhealthy Target.FailedHealthChecks: Health checks failed", s.toldOf(id))
	}},
	{id: "F293", claim: "A target whose security group lets no check in is unhealthy with Target.Timeout \"Request timed out\".", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum] [NLBUG]", check: func(w *world) {
		s := w.served()
		require.NoError(w, s.update(strings.Replace(balanced(), "SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, SourceSecurityGroupId: !Ref Front}]", "SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 81, ToPort: 81, SourceSecurityGroupId: !Ref Front}]", 1), to("ImageId", w.image)))
		s.await("UPDATE_COMPLETE")
		id := s.serving()[0]
		s.until(time.Hour, "it is unhealthy", func() bool { return strings.HasPrefix(s.toldOf(id), "unhealthy") })
		assert.Equal(w, "unhealthy Target.Timeout: Request timed out", s.toldOf(id))
	}},
	{id: "F294", claim: "A target asked for that is not registered is unused with Target.NotRegistered.", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum]", check: func(w *world) {
		s := w.front()
		assert.Equal(w, "unused Target.NotRegistered: Target is not registered to the target group", s.toldOf("i-00000000000000001"))
	}},
	{id: "F295", claim: "Targets of a group that no listener forwards to are unused with Target.NotInUse.", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum]", check: func(w *world) {
		s := w.served()
		_, err := w.elb.DeleteListener(w.ctx, &elb.DeleteListenerInput{ListenerArn: aws.String(s.physical("Listener"))})
		require.NoError(w, err)
		id := s.serving()[0]
		s.until(time.Hour, "it is unused", func() bool { return strings.HasPrefix(s.toldOf(id), "unused") })
		assert.Equal(w, "unused Target.NotInUse: Target group is not configured to receive traffic from the load balancer", s.toldOf(id))
	}},
	{id: "F296", claim: "A deregistered target is draining with Target.DeregistrationInProgress for the deregistration delay, and then unknown.", source: "[SDK:elasticloadbalancingv2 types.TargetHealthReasonEnum]", check: func(w *world) {
		s := w.served()
		s.attribute("deregistration_delay.timeout_seconds", "120")
		id := s.serving()[0]
		s.deregister(id)
		w.settle()
		begun := w.now()
		assert.Equal(w, "draining Target.DeregistrationInProgress: Target deregistration is in progress", s.toldOf(id))
		s.until(time.Hour, "it is gone", func() bool { return strings.HasPrefix(s.toldOf(id), "unused Target.NotRegistered") })
		assert.GreaterOrEqual(w, w.now().Sub(begun), 119*time.Second)
		assert.Less(w, w.now().Sub(begun), 200*time.Second)
	}},
	{id: "F297", claim: "It takes HealthyThresholdCount good checks in a row to become healthy, and UnhealthyThresholdCount bad ones to become unhealthy.", source: "[SDK:elasticloadbalancingv2 CreateTargetGroup]", lab: machineWork, check: func(w *world) {
		s := w.served(replaced("UnhealthyThresholdCount: 2", "UnhealthyThresholdCount: 4"))
		id := s.serving()[0]
		begun := w.now()
		s.sick(id)
		took := w.now().Sub(begun)
		assert.GreaterOrEqual(w, took, 30*time.Second)
		assert.LessOrEqual(w, took, 60*time.Second)
		s.edit(id, func(d *memory.Image) { d.Broken = false })
		begun = w.now()
		s.until(time.Hour, "it is healthy", func() bool { return strings.HasPrefix(s.toldOf(id), "healthy") })
		took = w.now().Sub(begun)
		assert.GreaterOrEqual(w, took, 10*time.Second)
		assert.LessOrEqual(w, took, 40*time.Second)
	}},
	{id: "F298", claim: "A check goes to the configured path, and its matcher decides.", source: "[SDK:elasticloadbalancingv2 ModifyTargetGroup]", lab: machineWork, check: func(w *world) {
		s := w.served()
		id := s.serving()[0]
		_, err := w.elb.ModifyTargetGroup(w.ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: aws.String(s.physical("Targets")), HealthCheckPath: aws.String("/nowhere")})
		require.NoError(w, err)
		s.until(time.Hour, "it is unhealthy", func() bool { return strings.Contains(s.toldOf(id), "[404]") })
		_, err = w.elb.ModifyTargetGroup(w.ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: aws.String(s.physical("Targets")), Matcher: &elbtypes.Matcher{HttpCode: aws.String("200,404")}})
		require.NoError(w, err)
		s.until(time.Hour, "it is healthy", func() bool { return strings.HasPrefix(s.toldOf(id), "healthy") })
	}},
	{id: "F299", claim: "Target health has seven states.", source: "[SDK:elasticloadbalancingv2 types.TargetHealthStateEnum]", check: func(w *world) {
		assert.ElementsMatch(w, []elbtypes.TargetHealthStateEnum{"initial", "healthy", "unhealthy", "unhealthy.draining", "unused", "draining", "unavailable"}, elbtypes.TargetHealthStateEnum("").Values())
	}},
	{id: "F300", claim: "Only a running instance of the group's VPC can be registered: InvalidTarget.", source: "[SDK:elasticloadbalancingv2 errors]", check: func(w *world) {
		s := w.front()
		_, err := w.elb.RegisterTargets(w.ctx, &elb.RegisterTargetsInput{TargetGroupArn: aws.String(s.physical("Targets")), Targets: []elbtypes.TargetDescription{{Id: aws.String("i-00000000000000001")}}})
		w.refused(err, "InvalidTarget", "*i-00000000000000001*")
	}},
}

var trafficFacts = []fact{
	{id: "F310", claim: "The page is served at each Elastic IP and at the balancer's DNS name.", source: "[SDK:elasticloadbalancingv2 CreateLoadBalancer]", check: func(w *world) {
		s := w.served(crossed)
		for _, at := range []string{"A", "B", "Name"} {
			_, err := w.ask(s.outputs()[at], "/")
			require.NoError(w, err, at)
		}
	}},
	{id: "F311", claim: "Without cross-zone a zone's address leads to that zone's targets only, with it to all.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served()
		s.signed()
		assert.Len(w, s.who(s.outputs()["A"]), 1)
		s.attribute("load_balancing.cross_zone.enabled", "true")
		n := s.who(s.outputs()["A"])
		assert.Len(w, n, 2)
		assert.Zero(w, n[""])
	}},
	{id: "F312", claim: "A zone with no healthy target leaves the balancer's DNS name, while its Elastic IP fails.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served()
		ids := s.signed()
		s.suspend("HealthCheck")
		first := s.who(s.outputs()["A"])
		for _, id := range ids {
			if first[id] > 0 {
				s.sick(id)
			}
		}
		w.pass(time.Minute)
		assert.Equal(w, map[string]int{"": 40}, s.who(s.outputs()["A"]))
		assert.Zero(w, s.who(s.outputs()["Name"])[""])
	}},
	{id: "F313", claim: "When no target is healthy all are used: fail-open.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		ids := s.signed()
		s.suspend("HealthCheck")
		for _, id := range ids {
			s.sick(id)
		}
		w.pass(2 * time.Minute)
		for _, id := range ids {
			s.edit(id, func(d *memory.Image) { d.Broken = false })
		}
		n := s.who(s.outputs()["A"])
		assert.Zero(w, n[""])
		assert.Len(w, n, 2)
	}},
	{id: "F314", claim: "New connections still reach a deregistered target for about two minutes, whatever its delay.", source: "[ISSUE:containers-roadmap#470]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		ids := s.signed()
		s.attribute("deregistration_delay.timeout_seconds", "0")
		s.deregister(ids[0])
		w.pass(100 * time.Second)
		assert.NotZero(w, s.who(s.outputs()["A"])[ids[0]])
		w.pass(40 * time.Second)
		assert.Zero(w, s.who(s.outputs()["A"])[ids[0]])
	}},
	{id: "F315", claim: "New connections still reach a target found unhealthy for half a minute.", source: "[ISSUE:containers-roadmap#470]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		ids := s.signed()
		s.suspend("HealthCheck")
		s.sick(ids[0])
		s.edit(ids[0], func(d *memory.Image) { d.Pages["/"] = memory.Page{Status: 500}; d.Broken = false })
		assert.NotZero(w, s.who(s.outputs()["A"])[ids[0]])
		w.pass(45 * time.Second)
		assert.Zero(w, s.who(s.outputs()["A"])[ids[0]])
	}},
	{id: "F316", claim: "A machine of the group is reached from the internet by no address of its own, although it has a public one.", source: "[UG:aws-resource-ec2-security-group] [INFERRED]", check: func(w *world) {
		s := w.served()
		for _, ip := range s.publicIPs() {
			ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
			_, err := w.dial(ctx, "tcp", net.JoinHostPort(ip, "80"))
			cancel()
			require.Error(w, err)
			if w.lab != nil {
				assert.ErrorContains(w, err, "not allowed")
			}
		}
	}},
	{id: "F317", claim: "Security groups count at every new connection, the balancer's as well as the machines'.", source: "[NLBUG] [SDK:elasticloadbalancingv2 SetSecurityGroups]", check: func(w *world) {
		s := w.served(crossed)
		_, err := w.ask(s.outputs()["A"], "/")
		require.NoError(w, err)
		for _, c := range []func(string) string{
			replaced("FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0", "FromPort: 81, ToPort: 81, CidrIp: 0.0.0.0/0"),
			replaced("FromPort: 80, ToPort: 80, SourceSecurityGroupId", "FromPort: 81, ToPort: 81, SourceSecurityGroupId"),
		} {
			require.NoError(w, s.update(c(crossed(balanced())), to("ImageId", w.image)))
			s.await("UPDATE_COMPLETE")
			ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
			c, err := w.dial(ctx, "tcp", s.outputs()["A"]+":80")
			cancel()
			if err == nil { // on AWS the balancer takes the connection before the machine does
				_ = c.Close()
			}
			_, err = w.ask(s.outputs()["A"], "/")
			require.Error(w, err)
			require.NoError(w, s.update(crossed(balanced()), to("ImageId", w.image)))
			s.await("UPDATE_COMPLETE")
			_, err = w.ask(s.outputs()["A"], "/")
			require.NoError(w, err)
		}
	}},
	{id: "F318", claim: "A connection in use lives on through deregistration, delay and all.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		c, id := s.hold()
		s.attribute("deregistration_delay.timeout_seconds", "60")
		s.deregister(id)
		for range 10 {
			w.pass(time.Minute)
			assert.Equal(w, id, s.over(c))
		}
	}},
	{id: "F319", claim: "With deregistration_delay.connection_termination.enabled a connection ends with the delay.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		c, id := s.hold()
		s.attribute("deregistration_delay.timeout_seconds", "60")
		s.attribute("deregistration_delay.connection_termination.enabled", "true")
		s.deregister(id)
		w.pass(30 * time.Second)
		assert.Equal(w, id, s.over(c))
		w.pass(2 * time.Minute)
		assert.Empty(w, s.over(c))
	}},
	{id: "F320", claim: "A connection is cut when its target becomes unhealthy, unless the target group's attribute says otherwise.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		for _, cut := range []string{"true", "false"} {
			own := *w
			if cut == "false" {
				own = *newWorld(w.T)
			}
			s := own.served(crossed)
			s.suspend("HealthCheck")
			s.attribute("target_health_state.unhealthy.connection_termination.enabled", cut)
			c, id := s.hold()
			s.sick(id)
			s.edit(id, func(d *memory.Image) { d.Broken = false })
			if cut == "true" {
				assert.Empty(w, s.over(c))
			} else {
				assert.Equal(w, id, s.over(c))
			}
		}
	}},
	{id: "F321", claim: "A body of 100 MB arrives whole.", source: "[NLBUG]", lab: machineWork, check: func(w *world) {
		s := w.served(crossed)
		const size = 100 << 20
		block := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		big := strings.Repeat(string(block), size/len(block))
		for _, id := range s.serving() {
			s.edit(id, func(d *memory.Image) { d.Pages["/big"] = memory.Page{Body: big} })
		}
		c := http.Client{Transport: &http.Transport{DialContext: w.dial, ReadBufferSize: 1 << 20}}
		r, err := c.Get("http://" + s.outputs()["A"] + "/big")
		require.NoError(w, err)
		defer func() { _ = r.Body.Close() }()
		buffer := make([]byte, len(block))
		for range size / len(block) {
			_, err := io.ReadFull(r.Body, buffer)
			require.NoError(w, err)
			require.True(w, bytes.Equal(block, buffer))
		}
		_, err = r.Body.Read(buffer)
		require.ErrorIs(w, err, io.EOF)
	}},
	{id: "F322", claim: "A balancer's address refuses a port without a listener.", source: "[NLBUG] [INFERRED]", check: func(w *world) {
		s := w.served(replaced("FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0", "FromPort: 80, ToPort: 90, CidrIp: 0.0.0.0/0"))
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		_, err := w.dial(ctx, "tcp", s.outputs()["A"]+":88")
		require.Error(w, err)
	}},
	{id: "F323", claim: "The machine sees the client's own address, unless preserve_client_ip is off: then a rule for the balancer's addresses is needed.", source: "[NLBUG] [SDK:elasticloadbalancingv2 types.TargetGroupAttribute]", lab: labTraffic, check: func(w *world) {
		// The balancer has no security group: the machine must let the client in itself.
		open := replaced("SourceSecurityGroupId: !Ref Front", "CidrIp: 0.0.0.0/0")
		s := w.served(crossed, replaced("SecurityGroups: [!Ref Front], ", ""), open)
		_, err := w.ask(s.outputs()["A"], "/")
		require.NoError(w, err)
		inner := replaced("FromPort: 80, ToPort: 80, SourceSecurityGroupId: !Ref Front", "FromPort: 80, ToPort: 80, CidrIp: 10.6.0.0/16")
		body := inner(replaced("SecurityGroups: [!Ref Front], ", "")(crossed(balanced())))
		require.NoError(w, s.update(body, to("ImageId", w.image)))
		s.await("UPDATE_COMPLETE")
		_, err = w.ask(s.outputs()["A"], "/")
		require.Error(w, err)
		s.attribute("preserve_client_ip.enabled", "false")
		_, err = w.ask(s.outputs()["A"], "/")
		require.NoError(w, err)
	}},
	{id: "F324", claim: "An address of no balancer and no machine leads nowhere.", source: "[INFERRED]", lab: "somebody else may have the address", check: func(w *world) {
		s := w.made("address", "Resources:\n  Ip: {Type: AWS::EC2::EIP}\n")
		_, err := w.dial(w.ctx, "tcp", s.physical("Ip")+":80")
		assert.ErrorContains(w, err, "belongs to no load balancer or instance")
	}},
	{id: "F325", claim: "A connection that carries nothing for 350 seconds is cut.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		c, id := s.hold()
		w.pass(340 * time.Second)
		assert.Equal(w, id, s.over(c))
		w.pass(360 * time.Second)
		assert.Empty(w, s.over(c))
	}},
	{id: "F326", claim: "A connection that lives for an hour, as a WebSocket does, is left alone as long as it carries something every few minutes.", source: "[NLBUG]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		c, id := s.hold()
		for range 12 {
			w.pass(300 * time.Second)
			require.Equal(w, id, s.over(c))
		}
	}},
	{id: "F327", claim: "With target_health_state.unhealthy.draining_interval_seconds a target found unhealthy is unhealthy.draining for that long, its connections left alone, and unhealthy then; it needs connection termination off.", source: "[SDK:elasticloadbalancingv2 types.TargetGroupAttribute] [SDK:elasticloadbalancingv2 types.TargetHealthStateEnum]", lab: labTraffic, check: func(w *world) {
		s := w.served(crossed)
		s.suspend("HealthCheck")
		const interval = "target_health_state.unhealthy.draining_interval_seconds"
		_, err := s.elb.ModifyTargetGroupAttributes(s.ctx, &elb.ModifyTargetGroupAttributesInput{
			TargetGroupArn: aws.String(s.physical("Targets")), Attributes: []elbtypes.TargetGroupAttribute{{Key: aws.String(interval), Value: aws.String("600")}},
		})
		w.refused(err, "ValidationError", "*"+interval+"*")
		s.attribute("target_health_state.unhealthy.connection_termination.enabled", "false")
		s.attribute(interval, "600")
		c, id := s.hold()
		s.sick(id)
		assert.Contains(w, s.health(), "unhealthy.draining")
		for range 2 {
			w.pass(280 * time.Second)
			assert.Contains(w, s.health(), "unhealthy.draining")
			s.edit(id, func(d *memory.Image) { d.Broken = false })
			assert.Equal(w, id, s.over(c))
			s.edit(id, func(d *memory.Image) { d.Broken = true })
		}
		w.pass(60 * time.Second)
		assert.Contains(w, s.health(), "unhealthy")
	}},
}

// publicIPs are the public addresses of the group's machines.
func (s *stack) publicIPs() []string {
	s.Helper()
	if s.lab == nil {
		s.Skip("it would need the EC2 API to find the addresses")
	}
	var out []string
	s.lab.Core().View(region, func(tx *core.Tx) {
		for _, id := range s.serving2(tx) {
			out = append(out, tx.Region.Instances[id].PublicIP)
		}
	})
	require.Len(s, out, 2)
	for _, ip := range out {
		require.NotEmpty(s, ip)
	}
	return out
}

func (s *stack) serving2(tx *core.Tx) []string {
	var ids []string
	for id, i := range tx.Region.Instances {
		if i.State == "running" && i.Group != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// held is a connection kept open.
type held struct {
	conn net.Conn
	http *http.Client
	at   string
}

// hold opens a connection and tells which machine is at its other end.
func (s *stack) hold() (*held, string) {
	s.Helper()
	s.signed()
	h := &held{at: s.outputs()["A"]}
	var err error
	h.conn, err = s.dial(s.ctx, "tcp", h.at+":80")
	require.NoError(s, err)
	used := false
	h.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if used {
			return nil, io.ErrClosedPipe
		}
		used = true
		return h.conn, nil
	}}}
	id := s.over(h)
	require.NotEmpty(s, id)
	return h, id
}

// over asks over a connection that is held who is there; "" if it is cut.
func (s *stack) over(h *held) string {
	r, err := h.http.Get("http://" + h.at + "/who")
	if err != nil {
		return ""
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	return string(b)
}
