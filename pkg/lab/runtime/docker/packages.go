package docker

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

//go:embed packages.py
var packagesScript string

// Packages is a cache of Debian packages for machines. It is a container in
// their network that answers under the names of the mirrors, by a line in each
// machine's /etc/hosts, which is no part of its disk: an image knows nothing of it.
type Packages struct {
	Dir     string   // where it keeps them, on the engine's host; "" for no cache
	Mirrors []string // host names that serve packages by plain HTTP
}

// startPackages starts the cache, anew if one is there. What fails is no reason
// not to go on: machines then fetch what they need by themselves.
func (r *Runtime) startPackages(ctx context.Context, rootless bool) error {
	name, p := r.prefix()+"-packages", r.opts.Packages
	wanted := p.Dir != "" && len(p.Mirrors) > 0 && strings.HasPrefix(r.api.DaemonHost(), "unix://") // another engine does not see the directory
	sum := sha256.Sum256([]byte(strings.Join(append([]string{packagesScript, p.Dir, r.opts.Base}, p.Mirrors...), "\n")))
	digest := hex.EncodeToString(sum[:])
	at, init := r.gateway.Next(), true
	c, err := r.api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err == nil && wanted && c.Container.State.Running && c.Container.Config.Labels[labelPackages] == digest {
		return r.usePackages(ctx, at)
	}
	if err == nil {
		_, err = r.api.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
	}
	if err != nil && !gone(err) {
		return err
	}
	if !wanted {
		return nil
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	user := strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid()) // what it keeps is ours to delete
	if rootless {
		user = "0:0"
	}
	_, err = r.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name,
		Config: &container.Config{
			Image: r.opts.Base, User: user, StopSignal: "SIGKILL",
			Labels: map[string]string{LabelLab: r.opts.Lab, labelPackages: digest},
			Cmd:    append([]string{"python3", "-c", packagesScript, "/packages"}, p.Mirrors...),
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(r.prefix()), Init: &init,
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
			Mounts:        []mount.Mount{{Type: mount.TypeBind, Source: p.Dir, Target: "/packages"}},
		},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			r.prefix(): {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: at}},
		}},
	})
	if err == nil {
		_, err = r.api.ContainerStart(ctx, name, client.ContainerStartOptions{})
	}
	if err == nil {
		err = r.usePackages(ctx, at)
	}
	if err != nil {
		_, e := r.api.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
		return errors.Join(err, e)
	}
	return nil
}

// usePackages waits until the cache listens, and lets machines find it from now on.
func (r *Runtime) usePackages(ctx context.Context, at netip.Addr) error {
	var err error
	for range 200 {
		c, e := r.connect(ctx, at, 80)
		if e == nil {
			for _, m := range r.opts.Packages.Mirrors {
				r.opts.Hosts = append(slices.Clip(r.opts.Hosts), m+":"+at.String())
			}
			return c.Close()
		}
		err = e
		if err := r.pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("it does not listen: %w", err)
}
