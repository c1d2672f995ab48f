package docker

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

//go:embed relay.py
var relayScript string

const relayPort = 4568

// relay is a container in the machines' network that connects on behalf of a
// host outside of it (Docker's desktop products, an engine of another user).
type relay struct{ addr string }

// startRelay starts the lab's relay, anew if one is there: it holds no state.
func (r *Runtime) startRelay(ctx context.Context) (*relay, error) {
	name := r.prefix() + "-relay"
	_, err := r.api.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("docker: relay: %w", err)
	}
	port := network.MustParsePort(strconv.Itoa(relayPort) + "/tcp")
	init := true
	_, err = r.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name,
		Config: &container.Config{
			Image: r.opts.Base, Labels: map[string]string{LabelLab: r.opts.Lab},
			Cmd:          []string{"python3", "-c", relayScript, strconv.Itoa(relayPort)},
			ExposedPorts: network.PortSet{port: {}}, StopSignal: "SIGKILL",
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(r.prefix()), Init: &init,
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
			PortBindings:  network.PortMap{port: {{HostIP: netip.MustParseAddr("127.0.0.1")}}},
		},
	})
	if err == nil {
		_, err = r.api.ContainerStart(ctx, name, client.ContainerStartOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("docker: relay: %w", err)
	}
	c, err := r.api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker: relay: %w", err)
	}
	for _, b := range c.Container.NetworkSettings.Ports[port] {
		if b.HostPort == "" {
			continue
		}
		l := &relay{addr: net.JoinHostPort("127.0.0.1", b.HostPort)}
		return l, r.awaitRelay(ctx, l)
	}
	return nil, fmt.Errorf("docker: relay: the engine published no port for it")
}

// awaitRelay waits until the relay answers: it then tells that port 1 of itself is refused.
func (r *Runtime) awaitRelay(ctx context.Context, l *relay) error {
	var err error
	for range 100 {
		var c net.Conn
		if c, err = l.dial(ctx, netip.MustParseAddr("127.0.0.1"), relayPort); err == nil {
			return c.Close()
		}
		if err := r.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("docker: relay at %s: %w", l.addr, err)
}

// dial asks the relay for a connection. It answers "+" once it has one.
func (l *relay) dial(ctx context.Context, at netip.Addr, port int) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	answer := make([]byte, 1)
	_, err = fmt.Fprintf(c, "%s %d\n", at, port)
	if err == nil {
		_, err = c.Read(answer)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err == nil && answer[0] != '+' {
		err = fmt.Errorf("%s port %d: refused or out of reach", at, port)
	}
	if err != nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return c, nil
}
