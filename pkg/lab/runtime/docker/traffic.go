package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// consoleSize is how much of a console is told, as EC2 does.
const consoleSize = 64 << 10

// Dial connects to a port of a machine: at its address in the lab's network, or
// through the relay where this host is not in that network.
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	r.mu.Lock()
	at, known := r.up[id]
	r.mu.Unlock()
	if known {
		c, err := r.connect(ctx, at, port)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		// Refused, or it is gone and nobody has told us yet.
	}
	c, err := r.inspect(ctx, id)
	if err == nil && !c.State.Running {
		err = errors.Join(runtime.ErrNoMachine, errNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", id, machineError(err))
	}
	return r.connect(ctx, r.running(id, c), port)
}

func (r *Runtime) connect(ctx context.Context, at netip.Addr, port int) (net.Conn, error) {
	if r.relay != nil {
		return r.relay.dial(ctx, at, port)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort(at.String(), strconv.Itoa(port)))
}

// running notes that a machine runs, and where.
func (r *Runtime) running(id string, c container.InspectResponse) netip.Addr {
	var at netip.Addr
	if c.NetworkSettings != nil && c.NetworkSettings.Networks[r.prefix()] != nil {
		at = c.NetworkSettings.Networks[r.prefix()].IPAddress
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.State.Running && at.IsValid() {
		r.up[id] = at
	}
	return at
}

// want notes whether it is our wish that the machine ends.
func (r *Runtime) want(id string, stop bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stop {
		r.wanted[id] = true
		delete(r.up, id)
		return
	}
	delete(r.wanted, id)
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\r")

// Console is the newest of what the machine wrote to its console: systemd's boot
// messages and the journal.
func (r *Runtime) Console(ctx context.Context, id string) (string, error) {
	text, err := logs(ctx, r.api, r.container(id))
	if err != nil {
		return "", fmt.Errorf("console of %s: %w", id, machineError(err))
	}
	return text[max(0, len(text)-consoleSize):], nil
}

// logs is what a container with a terminal wrote last.
func logs(ctx context.Context, api *client.Client, name string) (string, error) {
	l, err := api.ContainerLogs(ctx, name, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "2000"})
	if err != nil {
		return "", err
	}
	defer l.Close()
	b, err := io.ReadAll(l)
	return string(escapes.ReplaceAll(b, nil)), err
}

// Events reports machines that ended without us from now on, also while the
// engine was away.
func (r *Runtime) Events(ctx context.Context) (<-chan string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch := make(chan string, 1000)
	r.mu.Lock()
	r.watchers[ch] = true
	r.mu.Unlock()
	go func() {
		select {
		case <-ctx.Done():
		case <-r.ctx.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, ch)
		close(ch)
	}()
	return ch, nil
}

// ended tells the watchers of a machine that stopped without us.
func (r *Runtime) ended(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.up, id)
	if r.wanted[id] {
		return
	}
	for ch := range r.watchers {
		select {
		case ch <- id:
		default: // a watcher 1,000 deaths behind finds the rest by List
		}
	}
}

// watch listens to the engine for ends of machines, and again after the engine
// went away, until Close.
func (r *Runtime) watch() {
	for r.ctx.Err() == nil {
		res := r.api.Events(r.ctx, client.EventsListOptions{
			Filters: make(client.Filters).Add("type", string(events.ContainerEventType)).
				Add("event", string(events.ActionDie)).Add("label", LabelLab+"="+r.opts.Lab),
		})
		r.missed() // between two connections
		for open := true; open; {
			select {
			case m := <-res.Messages:
				if id := m.Actor.Attributes[labelMachine]; id != "" {
					r.ended(id)
				}
			case err := <-res.Err:
				if r.ctx.Err() == nil {
					r.opts.Log.Warn("the engine's events ended; listening again", "error", err)
				}
				open = false
			}
		}
		_ = r.pause(r.ctx, 500*time.Millisecond) // the loop looks whether the runtime was closed
	}
}

// missed finds machines that were running when we last knew and are not now.
func (r *Runtime) missed() {
	r.mu.Lock()
	var ids []string
	for id := range r.up {
		ids = append(ids, id)
	}
	r.mu.Unlock()
	for _, id := range ids {
		c, err := r.inspect(r.ctx, id)
		if gone(err) || err == nil && !c.State.Running {
			r.ended(id)
		}
	}
}
