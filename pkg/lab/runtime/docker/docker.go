// Package docker is a runtime whose machines are systemd containers of a
// Docker-API engine. An image is a container image, a machine's disk is its
// container's layer, and everything carries the label of its lab, so that a lab
// finds again what an earlier process of it made and can destroy all of it.
package docker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// Labels of what a lab makes in the engine. LabelLab's value is the lab's id;
// LabelBase stands on base images, which labs share.
const (
	LabelLab     = "chain.lab"
	LabelBase    = "chain.lab.base"
	labelMachine = "chain.lab.machine"
	labelImage   = "chain.lab.image"
	labelFault   = "chain.lab.fault"

	labelPackages = "chain.lab.packages"
	labelDatabase = "chain.lab.database" // the port of a database server
)

// Options of a Runtime.
type Options struct {
	Lab   string       // id of the lab; letters and digits
	Base  string       // the engine's reference of the image behind runtime.Base
	Host  string       // of the engine, "unix:///…"; "" means the environment's
	Hosts []string     // "name:address" lines that every machine gets in its /etc/hosts
	Clock clock.Clock  // nil: clock.System
	Log   *slog.Logger // nil: discarded
	Relay bool         // reach machines through a relay container even where the host could do without

	Packages Packages // cache of packages for machines; zero: none
	// Database gives the engine's reference of the image behind runtime.Database.
	// It is first called when a database is wanted, for it may have to make it; nil: there are none.
	Database func(ctx context.Context) (string, error)
}

// Runtime keeps machines in an engine.
type Runtime struct {
	opts  Options
	api   *client.Client
	ctx   context.Context
	stop  context.CancelFunc
	done  sync.WaitGroup
	relay *relay // nil: the host reaches the machines' network

	// What the engine is.
	apparmor bool
	cgroups2 bool
	subnet   netip.Prefix
	gateway  netip.Addr

	making   sync.Mutex // the image of database servers
	mu       sync.Mutex
	busy     map[string]*turn
	up       map[string]netip.Addr // machines known to run
	wanted   map[string]bool       // machines that we stop: their end is no event
	used     map[string]usage      // of processors, when last asked
	watchers map[chan string]bool
}

// turn lets one call at a time work on a machine.
type turn struct {
	sync.Mutex
	waiting int
}

var _ runtime.Runtime = (*Runtime)(nil)

// Connect is a client of the engine at host; "" means the environment's. It
// speaks the newest API that both sides know, Docker 20.10's 1.41 at the oldest.
func Connect(ctx context.Context, host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	api, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if _, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		_ = api.Close()
		return nil, fmt.Errorf("no Docker engine answers at %s: %w", api.DaemonHost(), err)
	}
	return api, nil
}

// New connects to the engine and makes the lab's network if it is not there.
func New(ctx context.Context, o Options) (*Runtime, error) {
	if !regexp.MustCompile(`^[a-z0-9]+$`).MatchString(o.Lab) {
		return nil, fmt.Errorf("docker: %q is no lab id: small letters and digits only", o.Lab)
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	api, err := Connect(ctx, o.Host)
	if err != nil {
		return nil, err
	}
	r := &Runtime{
		opts: o, api: api,
		busy: map[string]*turn{}, up: map[string]netip.Addr{}, wanted: map[string]bool{}, used: map[string]usage{}, watchers: map[chan string]bool{},
	}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := r.open(ctx); err != nil {
		_ = r.Close()
		return nil, err
	}
	r.done.Go(r.watch)
	return r, nil
}

// open learns what the engine is and makes what machines need.
func (r *Runtime) open(ctx context.Context) error {
	info, err := r.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	r.cgroups2 = info.Info.CgroupVersion == "2"
	r.apparmor = slices.ContainsFunc(info.Info.SecurityOptions, func(s string) bool { return strings.HasPrefix(s, "name=apparmor") })
	if _, err := r.api.ImageInspect(ctx, r.opts.Base); err != nil {
		return fmt.Errorf("docker: the base image %s: %w", r.opts.Base, err)
	}
	if err := r.makeNetwork(ctx); err != nil {
		return err
	}
	if r.opts.Relay || !local(r.gateway) {
		if r.relay, err = r.startRelay(ctx); err != nil {
			return err
		}
	}
	rootless := slices.Contains(info.Info.SecurityOptions, "name=rootless")
	if err := r.startPackages(ctx, rootless); err != nil {
		r.opts.Log.Warn("there is no package cache; machines fetch what they need by themselves", "error", err)
	}
	// What runs already may end before the first Dial to it.
	machines, err := r.api.ContainerList(ctx, client.ContainerListOptions{Filters: r.machines()})
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	for _, m := range machines.Items {
		id := m.Labels[labelMachine]
		if c, err := r.inspect(ctx, id); err == nil {
			r.running(id, c)
		}
	}
	return nil
}

// makeNetwork finds or makes the lab's own network. A machine's address shall be
// ours to choose, so that it stays the same when the machine boots again; an
// engine allows that in a network whose range was asked for only. So it is asked
// first which range is free.
func (r *Runtime) makeNetwork(ctx context.Context) error {
	name := r.prefix()
	labels := map[string]string{LabelLab: r.opts.Lab}
	for range 3 {
		n, err := r.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
		if err == nil && n.Network.Labels[LabelLab] != r.opts.Lab {
			return fmt.Errorf("docker: network %s is there and not this lab's", name)
		}
		if err == nil && n.Network.Labels["chain.lab.range"] == "" {
			// Made by the first half of the next step.
			c, err := addresses(n.Network)
			if err != nil {
				return err
			}
			if _, err := r.api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{}); err != nil {
				return fmt.Errorf("docker: network: %w", err)
			}
			labels["chain.lab.range"] = c.Subnet.String()
			_, err = r.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{
				Driver: "bridge", Labels: labels, IPAM: &network.IPAM{Config: []network.IPAMConfig{c}},
			})
			if err != nil {
				return fmt.Errorf("docker: network %s: %w", c.Subnet, err)
			}
			continue
		}
		if err == nil {
			c, err := addresses(n.Network)
			r.subnet, r.gateway = c.Subnet, c.Gateway
			return err
		}
		if !errdefs.IsNotFound(err) {
			return fmt.Errorf("docker: network: %w", err)
		}
		_, err = r.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{Driver: "bridge", Labels: labels})
		if err != nil {
			return fmt.Errorf("docker: network: %w", err)
		}
	}
	return fmt.Errorf("docker: network %s does not stay", name)
}

// addresses is the IPv4 range of a network.
func addresses(n network.Inspect) (network.IPAMConfig, error) {
	for _, c := range n.IPAM.Config {
		if c.Subnet.Addr().Is4() {
			if !c.Gateway.IsValid() {
				c.Gateway = c.Subnet.Masked().Addr().Next()
			}
			return network.IPAMConfig{Subnet: c.Subnet.Masked(), Gateway: c.Gateway}, nil
		}
	}
	return network.IPAMConfig{}, fmt.Errorf("docker: network %s has no IPv4 range", n.Name)
}

// address is where a machine shall live: it follows from its id, so that it is
// the same at each boot and no other machine gets it soon after.
func (r *Runtime) address(id string, try int) netip.Addr {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, id, try)
	size := uint32(1) << (32 - r.subnet.Bits())
	host := 3 + h.Sum32()%(size-5) // not the range's own, the gateway, the package cache or broadcast
	b := r.subnet.Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += host
	a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	if a == r.gateway || a == r.gateway.Next() { // not the first ones in every network
		return a.Next().Next()
	}
	return a
}

// local says whether an address is one of this host's.
func local(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(all, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr() == a
	})
}

// Gateway is this host's address in the machines' network; the zero value where
// the host is not in it.
func (r *Runtime) Gateway() netip.Addr {
	if !local(r.gateway) {
		return netip.Addr{}
	}
	return r.gateway
}

// prefix begins the name of whatever the lab makes.
func (r *Runtime) prefix() string { return "chain-lab-" + r.opts.Lab }

// container is the name of a machine's container.
func (r *Runtime) container(id string) string { return r.prefix() + "-" + id }

// image is the engine's name of an image.
func (r *Runtime) image(ref string) string {
	if ref == runtime.Base {
		return r.opts.Base
	}
	return r.prefix() + ":" + ref
}

// machines selects the lab's machines among the engine's containers.
func (r *Runtime) machines() client.Filters {
	return make(client.Filters).Add("label", LabelLab+"="+r.opts.Lab, labelMachine)
}

var refs = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// lock waits until no other call works on the machine. The result ends the turn.
func (r *Runtime) lock(id string) func() {
	r.mu.Lock()
	t := r.busy[id]
	if t == nil {
		t = &turn{}
		r.busy[id] = t
	}
	t.waiting++
	r.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(r.busy, id)
		}
	}
}

// Close ends the runtime's own connections. Machines stay.
func (r *Runtime) Close() error {
	r.stop()
	r.done.Wait()
	return r.api.Close()
}

// pause waits, or until ctx ends.
func (r *Runtime) pause(ctx context.Context, d time.Duration) error {
	return r.opts.Clock.Sleep(ctx, d)
}

// gone says that err tells of a container or image that is not there.
func gone(err error) bool { return err != nil && errdefs.IsNotFound(err) }

var errNotRunning = errors.New("it is not running")
