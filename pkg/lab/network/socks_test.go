package network_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const big = 100 << 20

// internet serves a world with one healthy target as www.hello.example and
// returns the proxy's address.
func internet(t *testing.T) (w *labtest.World, proxy, machine string) {
	t.Helper()
	w = labtest.New(t)
	w.Balance()
	machine = machines(t, w, w.Subnets[0])[0]
	w.Register(machine)
	w.Run(80 * time.Second)
	w.Do(func(tx *core.Tx) {
		zone := labtest.Must(route53.CreateHostedZone(tx, &route53.CreateHostedZoneInput{Name: "hello.example", CallerReference: "1"})).HostedZone.Id
		labtest.Must(route53.ChangeResourceRecordSets(tx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone, ChangeBatch: route53.ChangeBatch{Changes: []route53.Change{{
			Action: "CREATE", ResourceRecordSet: route53.ResourceRecordSet{
				Name: "www.hello.example", Type: "A", TTL: new(int64(60)),
				ResourceRecords: []route53.ResourceRecord{{Value: w.IPs[0]}, {Value: w.IPs[1]}},
			},
		}}}}))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Network.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	return w, l.Addr().String(), machine
}

// client is net/http over the proxy.
func client(proxy, user string) *http.Client {
	u := &url.URL{Scheme: "socks5h", Host: proxy}
	if user != "" {
		u.User = url.UserPassword(user, "x")
	}
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// try asks for a page and says only whether there was an answer.
func try(c *http.Client, address string) error {
	res, err := c.Get(address)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func TestHTTPOverSOCKS(t *testing.T) {
	w, proxy, machine := internet(t)
	c := client(proxy, "")
	for range 20 {
		res, err := c.Get("http://www.hello.example/who")
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, machine, string(b))
	}
	for host, said := range map[string]string{
		"nope.hello.example": "host unreachable", "www.debian.org": "host unreachable",
		w.IPs[0] + ":81": "connection not allowed", "[2001:db8::1]": "address type not supported",
	} {
		require.ErrorContains(t, try(c, "http://"+host+"/"), said, host)
	}
}

func TestClientStatesItsAddressAsUser(t *testing.T) {
	w, proxy, _ := internet(t)
	w.Do(func(tx *core.Tx) {
		tx.Region.SecurityGroups[w.BalancerGroup].Ingress = []state.Rule{{Protocol: "tcp", From: 80, To: 80, CIDR: "203.0.113.77/32"}}
	})
	require.ErrorContains(t, try(client(proxy, ""), "http://www.hello.example/"), "not allowed")
	require.NoError(t, try(client(proxy, "203.0.113.77"), "http://www.hello.example/"))
	require.ErrorContains(t, try(client(proxy, "somebody"), "http://www.hello.example/"), "not allowed", "a user that is no address changes nothing")
}

func TestLargeBodiesBothWays(t *testing.T) {
	w, proxy, machine := internet(t)
	require.NoError(t, w.Machine.Edit(machine, func(d *memory.Image) { d.Pages["/big"] = memory.Page{Body: strings.Repeat("x", big)} }))
	c := client(proxy, "")
	res, err := c.Get("http://www.hello.example/big")
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.EqualValues(t, big, n)
	res, err = c.Post("http://www.hello.example/who", "text/plain", io.LimitReader(zeros{}, big))
	require.NoError(t, err)
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, machine, string(b))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// hello is a raw SOCKS5 conversation up to the reply's code.
func hello(t *testing.T, proxy string, command byte, host string, port uint16, more string) (net.Conn, byte) {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	b := append([]byte{5, 1, 0, 5, command, 0, 3, byte(len(host))}, host...)
	b = binary.BigEndian.AppendUint16(b, port)
	_, err = c.Write(append(b, more...)) // all at once: the proxy must not lose what follows
	require.NoError(t, err)
	var answer [12]byte
	_, err = io.ReadFull(c, answer[:])
	require.NoError(t, err)
	return c, answer[3]
}

func TestHalfCloseIsHandedOn(t *testing.T) {
	_, proxy, machine := internet(t)
	c, code := hello(t, proxy, 1, "www.hello.example", 80, "GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Zero(t, code)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	b, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Contains(t, string(b), machine, "the answer comes though the client has said all it had to say")
}

func TestOnlyConnectIsServed(t *testing.T) {
	_, proxy, _ := internet(t)
	for name, command := range map[string]byte{"BIND": 2, "UDP ASSOCIATE": 3} {
		_, code := hello(t, proxy, command, "www.hello.example", 53, "")
		assert.EqualValues(t, 7, code, name)
	}
}

func TestGarbageEndsTheConnection(t *testing.T) {
	_, proxy, _ := internet(t)
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x04\x01\x00\x50", "\x05\x01\x7f", "\x05\x00"} {
		c, err := net.Dial("tcp", proxy)
		require.NoError(t, err)
		_, err = io.WriteString(c, garbage)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = io.Copy(io.Discard, c)
		var late net.Error
		assert.False(t, errors.As(err, &late) && late.Timeout(), "%q keeps the connection", garbage)
		_ = c.Close()
	}
}

func TestTLSListenerEndsTLS(t *testing.T) {
	w, proxy, machine := internet(t)
	w.Do(func(tx *core.Tx) {
		labtest.Must(elb.CreateListener(tx, &elb.CreateListenerInput{
			LoadBalancerArn: w.Balancer, Protocol: "TLS", Port: new(int64(443)),
			Certificates:   []elb.Certificate{{CertificateArn: "arn:aws:acm:eu-west-1:111111111111:certificate/1"}},
			DefaultActions: []elb.Action{{Type: "forward", TargetGroupArn: w.Targets}},
		}))
		tx.Region.SecurityGroups[w.BalancerGroup].Ingress[0].To = 443
	})
	res, err := client(proxy, "").Get("https://www.hello.example/who")
	require.NoError(t, err)
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, machine, string(b))
	assert.Equal(t, "www.hello.example", res.TLS.PeerCertificates[0].Subject.CommonName)
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is missing")
	}
	_, proxy, machine := internet(t)
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "-x", "socks5h://"+proxy, "http://www.hello.example/who").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, machine, string(out))
	out, err = exec.CommandContext(t.Context(), curl, "-sS", "-x", "socks5h://"+proxy, "http://www.debian.org/").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "(4)")
}
