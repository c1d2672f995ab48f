package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

const (
	// bootWait is how long Start waits for sshd. A machine that shows none is
	// running all the same, as it is at EC2.
	bootWait = 45 * time.Second
	// stopWait is how long a shutdown may take before the power goes.
	stopWait = 30
)

// Start makes the machine's container if need be, starts it and waits for sshd.
func (r *Runtime) Start(ctx context.Context, s runtime.Spec) (runtime.Status, error) {
	if s.ID == "" || !refs.MatchString(s.ID) {
		return runtime.Status{}, fmt.Errorf("start a machine: %q is no id", s.ID)
	}
	defer r.lock(s.ID)()
	for try := 0; ; try++ {
		st, err := r.start(ctx, s)
		if err == nil {
			return st, nil
		}
		// The engine may still be busy with a call that was cut short: it makes
		// or removes the container of this name.
		if try == 50 || !errdefs.IsConflict(err) || r.pause(ctx, 100*time.Millisecond) != nil {
			return runtime.Status{}, fmt.Errorf("start %s from %q: %w", s.ID, s.Image, err)
		}
	}
}

func (r *Runtime) start(ctx context.Context, s runtime.Spec) (runtime.Status, error) {
	r.want(s.ID, false)
	c, err := r.inspect(ctx, s.ID)
	switch {
	case err == nil && c.State.Status == container.StateCreated:
		// A start was cut short before the machine ever ran: its disk may lack
		// the seed. Make it again.
		if err := r.discard(ctx, s.ID); err != nil {
			return runtime.Status{}, err
		}
		fallthrough
	case gone(err):
		if c, err = r.make(ctx, s); err != nil {
			return runtime.Status{}, err
		}
	case err != nil:
		return runtime.Status{}, err
	case !c.State.Running:
		if _, err := r.api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
			return runtime.Status{}, err
		}
		if c, err = r.inspect(ctx, s.ID); err != nil {
			return runtime.Status{}, err
		}
	}
	r.running(s.ID, c)
	for _, v := range s.Volumes {
		if err := r.attach(ctx, s.ID, v); err != nil {
			return runtime.Status{}, err
		}
	}
	if s.Database != nil {
		err = r.serve(ctx, s)
	} else {
		err = r.boot(ctx, s.ID, faultOf(c))
	}
	if err != nil {
		return runtime.Status{}, err
	}
	return status(s.ID, c), nil
}

// make creates the container, puts seed and keys on its disk and starts it. The
// address follows from the id; where another machine has it, the next one is tried.
func (r *Runtime) make(ctx context.Context, s runtime.Spec) (container.InspectResponse, error) {
	for try := 0; ; try++ {
		c, err := r.makeAt(ctx, s, r.address(s.ID, try))
		if err == nil || try == 9 || !strings.Contains(err.Error(), "ddress already in use") {
			return c, err
		}
		if err := r.discard(ctx, s.ID); err != nil {
			return c, err
		}
	}
}

func (r *Runtime) makeAt(ctx context.Context, s runtime.Spec, at netip.Addr) (container.InspectResponse, error) {
	var none container.InspectResponse
	if s.Image != runtime.Base && !refs.MatchString(s.Image) {
		return none, runtime.ErrNoImage
	}
	image := r.image(s.Image)
	if s.Image == runtime.Database {
		var err error
		if image, err = r.database(ctx); err != nil {
			return none, err
		}
	}
	fault, err := json.Marshal(s.Fault)
	if err != nil {
		return none, err
	}
	labels := map[string]string{}
	maps.Copy(labels, s.Labels)
	labels[LabelLab], labels[labelMachine], labels[labelImage], labels[labelFault] = r.opts.Lab, s.ID, s.Image, string(fault)
	var names []string
	if s.Database != nil {
		labels[labelDatabase], names = strconv.Itoa(s.Database.Port), s.Database.Names
	}
	wait := stopWait
	host := &container.HostConfig{
		NetworkMode:  container.NetworkMode(r.prefix()),
		CgroupnsMode: container.CgroupnsModePrivate,
		CapAdd:       []string{"SYS_ADMIN"},
		Tmpfs:        map[string]string{"/run": "", "/run/lock": ""},
		ExtraHosts:   r.opts.Hosts,
		Resources:    container.Resources{DeviceCgroupRules: []string{loops}}, // volumes may come at any time
		// The console; an engine's own choice of log might not be readable.
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "512k", "max-file": "1"}},
	}
	if r.apparmor {
		host.SecurityOpt = []string{"apparmor=unconfined"} // systemd mounts
	}
	_, err = r.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: r.container(s.ID),
		Config: &container.Config{
			Image: image, Hostname: s.Hostname, Labels: labels, Tty: true,
			Env: []string{"container=docker"}, Cmd: r.command(s.Fault), Entrypoint: []string{},
			StopSignal: "SIGRTMIN+3", StopTimeout: &wait,
		},
		HostConfig: host,
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
			r.prefix(): {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: at}, Aliases: names},
		}},
	})
	if gone(err) {
		return none, errors.Join(runtime.ErrNoImage, err)
	}
	if err != nil {
		return none, err
	}
	if err := r.seed(ctx, s); err != nil {
		return none, err
	}
	if _, err := r.api.ContainerStart(ctx, r.container(s.ID), client.ContainerStartOptions{}); err != nil {
		return none, err
	}
	return r.inspect(ctx, s.ID)
}

// command is what a container runs as its first process. systemd takes its
// "kernel" options from there; the journal on the console is what Console shows.
func (r *Runtime) command(f runtime.Fault) []string {
	var before []string
	const onStop = "trap 'exit 0' 37; " // SIGRTMIN+3 before systemd is there
	if f.Never {
		return []string{"/bin/sh", "-c", onStop + "while :; do sleep 3600 & wait $!; done"}
	}
	if f.BootDelay > 0 {
		before = append(before, fmt.Sprintf(onStop+"sleep %.3f & wait $!; trap - 37", f.BootDelay.Seconds()))
	}
	if f.Broken {
		// A mask here is not part of the disk and outranks units in /etc and /lib.
		before = append(before, "mkdir -p /run/systemd/system.control",
			"for u in apache2 httpd nginx lighttpd; do ln -sf /dev/null /run/systemd/system.control/$u.service; done")
	}
	if r.cgroups2 {
		// The engine mounts the one hierarchy read-only.
		before = append(before, "mount -o remount,bind,rw /sys/fs/cgroup")
	}
	init := []string{"/sbin/init", "systemd.journald.forward_to_console=1"}
	if before == nil {
		return init
	}
	return []string{"/bin/sh", "-c", strings.Join(append(before, "exec "+strings.Join(init, " ")), "\n")}
}

// seed puts what the instance shall know on its disk: a NoCloud seed, and its
// keys for an image whose cloud-init would not.
func (r *Runtime) seed(ctx context.Context, s runtime.Spec) error {
	user := s.User
	if user == "" {
		user = "admin"
	}
	meta, err := json.Marshal(map[string]any{
		"instance-id": s.ID, "local-hostname": s.Hostname, "public-keys": append([]string{}, s.Keys...),
		"dsmode": "net", // the base image leaves out cloud-init's stage before the network
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	const dir = "var/lib/cloud/seed/nocloud"
	add := func(h tar.Header, body []byte) {
		h.Size, h.ModTime = int64(len(body)), r.opts.Clock.Now()
		err = errors.Join(err, t.WriteHeader(&h))
		_, e := t.Write(body)
		err = errors.Join(err, e)
	}
	add(tar.Header{Name: "var/lib/cloud/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "var/lib/cloud/seed/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: dir + "/meta-data", Mode: 0o644}, append(meta, '\n'))
	add(tar.Header{Name: dir + "/user-data", Mode: 0o600}, s.UserData)
	if len(s.Keys) > 0 {
		home, uid, gid, err := r.login(ctx, s.ID, user)
		if err != nil {
			return err
		}
		home = strings.Trim(home, "/")
		add(tar.Header{Name: home + "/.ssh/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: uid, Gid: gid}, nil)
		add(tar.Header{Name: home + "/.ssh/authorized_keys", Mode: 0o600, Uid: uid, Gid: gid},
			[]byte(strings.Join(s.Keys, "\n")+"\n"))
	}
	if err := errors.Join(err, t.Close()); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	_, err = r.api.CopyToContainer(ctx, r.container(s.ID), client.CopyToContainerOptions{DestinationPath: "/", Content: &b})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}

// login looks a user up on a machine's disk.
func (r *Runtime) login(ctx context.Context, id, user string) (home string, uid, gid int, err error) {
	res, err := r.api.CopyFromContainer(ctx, r.container(id), client.CopyFromContainerOptions{SourcePath: "/etc/passwd"})
	if err != nil {
		return "", 0, 0, fmt.Errorf("user %s: %w", user, err)
	}
	defer res.Content.Close()
	t := tar.NewReader(res.Content)
	if _, err := t.Next(); err != nil {
		return "", 0, 0, fmt.Errorf("user %s: %w", user, err)
	}
	for s := bufio.NewScanner(t); s.Scan(); {
		f := strings.Split(s.Text(), ":")
		if len(f) < 7 || f[0] != user {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil {
			return "", 0, 0, fmt.Errorf("user %s: %w", user, err)
		}
		gid, err := strconv.Atoi(f[3])
		return f[5], uid, gid, err
	}
	return "", 0, 0, fmt.Errorf("the image has no user %s to give the key to", user)
}

// boot waits until the machine shows sshd's banner, then sets off its faults.
func (r *Runtime) boot(ctx context.Context, id string, f runtime.Fault) error {
	if f.Never {
		return nil
	}
	if f.BootDelay <= 0 {
		if err := r.sshd(ctx, id); err != nil {
			return err
		}
	}
	// Detached in the machine, so that it happens without us too; the directory
	// in /run, which a boot empties, lets it happen once per boot.
	if f.DieAfter > 0 {
		wait := f.BootDelay + f.DieAfter
		if err := r.detached(ctx, id, "mkdir /run/fault-die && sleep "+seconds(wait)+" && kill -38 1"); err != nil { // SIGRTMIN+4: power off
			return err
		}
	}
	if f.Script != "" {
		script := "mkdir /run/fault-script || exit 0\n" +
			"until systemctl -q is-active multi-user.target; do sleep 0.1; done\n" + f.Script
		if err := r.detached(ctx, id, script); err != nil {
			return err
		}
	}
	return nil
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// sshd waits for a banner on port 22.
func (r *Runtime) sshd(ctx context.Context, id string) error {
	end := r.opts.Clock.Now().Add(bootWait)
	for n := 1; r.opts.Clock.Now().Before(end); n++ {
		if r.banner(ctx, id) {
			return nil
		}
		if n%10 == 0 {
			c, err := r.inspect(ctx, id)
			if err != nil {
				return err
			}
			if !c.State.Running {
				return fmt.Errorf("it stopped while it booted, exit status %d", c.State.ExitCode)
			}
		}
		if err := r.pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	r.opts.Log.Warn("no sshd answers; taken as running", "machine", id, "waited", bootWait)
	return nil
}

func (r *Runtime) banner(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := r.Dial(ctx, id, 22)
	if err != nil {
		return false
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	b := make([]byte, 4)
	_, err = io.ReadFull(c, b)
	return err == nil && string(b) == "SSH-"
}

// detached runs a script as root in a machine and does not wait for it.
func (r *Runtime) detached(ctx context.Context, id, script string) error {
	e, err := r.api.ExecCreate(ctx, r.container(id), client.ExecCreateOptions{User: "0", Cmd: []string{"/bin/sh", "-c", script}})
	if err == nil {
		_, err = r.api.ExecStart(ctx, e.ID, client.ExecStartOptions{Detach: true})
	}
	if err != nil {
		return fmt.Errorf("set off its fault: %w", err)
	}
	return nil
}

// Stop shuts the machine down as `poweroff` would and keeps its disk.
func (r *Runtime) Stop(ctx context.Context, id string) error {
	defer r.lock(id)()
	r.want(id, true)
	if _, err := r.api.ContainerStop(ctx, r.container(id), client.ContainerStopOptions{}); err != nil {
		return fmt.Errorf("stop %s: %w", id, machineError(err))
	}
	return nil
}

// Remove destroys the machine, and its image if that was dropped meanwhile.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	defer r.lock(id)()
	r.want(id, true)
	if err := r.discard(ctx, id); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	r.mu.Lock()
	delete(r.used, id)
	r.mu.Unlock()
	return nil
}

func (r *Runtime) discard(ctx context.Context, id string) error {
	c, err := r.inspect(ctx, id)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !gone(err) && !errdefs.IsConflict(err) { // a conflict: it is being removed already
		return err
	}
	if i, err := r.api.ImageInspect(ctx, c.Image); err == nil && len(i.RepoTags) == 0 {
		if _, err := r.api.ImageRemove(ctx, c.Image, client.ImageRemoveOptions{}); err != nil {
			r.opts.Log.Info("an image without a name stays", "image", c.Image, "error", err)
		}
	}
	return nil
}

// List tells all machines of the lab, ordered by id.
func (r *Runtime) List(ctx context.Context) ([]runtime.Status, error) {
	res, err := r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.machines()})
	if err != nil {
		return nil, fmt.Errorf("list the machines: %w", err)
	}
	var all []runtime.Status
	for _, c := range res.Items {
		id := c.Labels[labelMachine]
		i, err := r.inspect(ctx, id)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the machines: %w", err)
		}
		all = append(all, status(id, i))
	}
	slices.SortFunc(all, func(a, b runtime.Status) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (r *Runtime) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	c, err := r.api.ContainerInspect(ctx, r.container(id), client.ContainerInspectOptions{})
	if err == nil && (c.Container.State == nil || c.Container.Config == nil) {
		err = errors.New("the engine tells no state of it")
	}
	return c.Container, err
}

func status(id string, c container.InspectResponse) runtime.Status {
	s := runtime.Status{ID: id, Image: c.Config.Labels[labelImage], State: runtime.Stopped}
	if c.State.Running {
		s.State = runtime.Running
	}
	if t, err := time.Parse(time.RFC3339Nano, c.State.StartedAt); err == nil && t.Year() > 1 {
		s.Started = t
	}
	return s
}

func faultOf(c container.InspectResponse) runtime.Fault {
	var f runtime.Fault
	_ = json.Unmarshal([]byte(c.Config.Labels[labelFault]), &f) // our own label
	return f
}

func machineError(err error) error {
	if gone(err) {
		return errors.Join(runtime.ErrNoMachine, err)
	}
	return err
}
