// Package network is the lab's internet: a SOCKS5 port behind which names
// resolve by the lab's Route 53 alone, Elastic IPs lead to load balancers and
// their targets, and public addresses to instances, as far as security groups let
// them. Nothing ever goes to the real internet.
package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// Client is the source address of everybody who does not state another one.
const Client = "192.0.2.1"

// idleTimeout is how long a connection by way of a load balancer may carry
// nothing, as AWS states it. AWS then resets it at the next packet, the lab at once.
// How long an answer takes is work and no wait, so it is never shorter than a
// busy machine may need for one.
const (
	idleTimeout  = 350 * time.Second
	shortestIdle = 20 * time.Second
)

// connectTimeout is how long a machine has to take a connection.
const connectTimeout = 10 * time.Second

// Network connects clients to what the world of a Core says is there. It is one
// of the Core's services: its Step cuts connections that a load balancer ends.
type Network struct {
	core *core.Core
	keys *keys

	mu    sync.Mutex
	open  map[*link]bool
	flows map[string]*tally // of the minute under way, by listener
	due   map[string]time.Time
}

// New makes a network; Use gives it the world.
func New() *Network {
	return &Network{keys: newKeys(), open: map[*link]bool{}, flows: map[string]*tally{}, due: map[string]time.Time{}}
}

// Use tells whose world it connects to. It MUST be called before Dial and Serve.
func (n *Network) Use(c *core.Core) { n.core = c }

// Name is no credential scope: the network has no API.
func (n *Network) Name() string { return "network" }

// link is an established connection by way of a load balancer.
type link struct {
	path  path
	since time.Time
	last  atomic.Int64 // when something went over it, in nanoseconds
	conn  net.Conn
}

// Step cuts the connections that load balancers end by now.
func (n *Network) Step(tx *core.Tx) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.measure(tx)
	for l := range n.open {
		if l.path.region != tx.Region.Name {
			continue
		}
		idle := tx.Due(time.Unix(0, l.last.Load()).Add(max(tx.Scale(idleTimeout), shortestIdle)))
		if idle || elb.Severed(tx, l.path.listener, l.path.backend, l.since) {
			delete(n.open, l)
			_ = l.conn.Close()
		}
	}
}

// Dial connects as a client on the internet would: network is "tcp", address is
// a name of the lab's zones or an address, and a port. The client's address is
// Client; DialFrom states another one.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.DialFrom(ctx, Client, network, address)
}

// DialFrom is Dial for a client of another address.
func (n *Network) DialFrom(ctx context.Context, client, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" {
		return nil, &Error{Address: address, Reason: NotAllowed, Text: "the lab's internet speaks TCP over IPv4 only, not " + network}
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil || port < 1 || port > 65535 {
		return nil, fmt.Errorf("dial %s: %s is not a port", address, service)
	}
	conn, p, err := n.connect(ctx, client, host, port)
	if err != nil || !p.tls {
		return conn, err
	}
	// The balancer ends TLS itself, so somebody must stand between.
	near, far := net.Pipe()
	go func() { _ = n.keys.bridge(context.WithoutCancel(ctx), far, conn, p) }()
	return near, nil
}

// connect finds the way and goes it.
func (n *Network) connect(ctx context.Context, client, host string, port int) (net.Conn, path, error) {
	var (
		p        path
		machines runtime.Runtime
		err      error
		now      time.Time
	)
	address := net.JoinHostPort(host, strconv.Itoa(port))
	n.core.View(anyRegion, func(tx *core.Tx) {
		p, err = find(tx, client, host, port, rand.IntN)
		machines, now = tx.Runtime(), tx.Now
	})
	if err != nil {
		return nil, p, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := machines.Dial(ctx, p.backend.Instance, p.backend.Port)
	if err != nil {
		reason := Refused
		if !errors.Is(err, syscall.ECONNREFUSED) {
			reason = Unreachable
		}
		return nil, p, &Error{Address: address, Reason: reason, Text: fmt.Sprintf("%s port %d does not take the connection", p.backend.Instance, p.backend.Port), Err: err}
	}
	if p.listener == "" {
		return conn, p, nil
	}
	return n.track(conn, p, now), p, nil
}

// track remembers a connection until it is closed.
func (n *Network) track(conn net.Conn, p path, since time.Time) net.Conn {
	l := &link{path: p, since: since, conn: conn}
	l.last.Store(since.UnixNano())
	n.mu.Lock()
	n.open[l] = true
	n.count(p)
	n.mu.Unlock()
	return &tracked{Conn: conn, used: func() { l.last.Store(n.core.Now().UnixNano()) }, forget: func() {
		n.mu.Lock()
		delete(n.open, l)
		n.mu.Unlock()
	}}
}

// tracked is a connection that tells when it is used and closed.
type tracked struct {
	net.Conn
	used   func()
	forget func()
}

func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.used()
	return n, err
}

func (t *tracked) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.used()
	return n, err
}

func (t *tracked) Close() error {
	t.forget()
	return t.Conn.Close()
}

// CloseWrite ends one direction where the machine's connection can do that, and both where not.
func (t *tracked) CloseWrite() error {
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return t.Close()
}

// Reason says why there is no connection.
type Reason int

// The reasons, as a client sees them.
const (
	Unknown     Reason = iota // the name or address is not known
	NotAllowed                // a security group drops it (on AWS: no answer, ever)
	Refused                   // nobody listens there
	Unreachable               // the way ends: no route, no target
)

var reasons = map[Reason]string{Unknown: "unknown host", NotAllowed: "not allowed", Refused: "connection refused", Unreachable: "unreachable"}

func (r Reason) String() string { return reasons[r] }

// Error is a connection that did not come about.
type Error struct {
	Address string
	Reason  Reason
	Text    string
	Err     error
}

func (e *Error) Error() string {
	text := "dial " + e.Address + ": " + e.Reason.String() + ": " + e.Text
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the machine's own error, if it came that far.
func (e *Error) Unwrap() error { return e.Err }
