package docker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// loops lets a container use loop devices: block devices that are files.
const loops = "b 7:* rmw"

// A volume is a sparse file in a volume of the engine, of which a loop device of
// the engine's kernel makes a block device. A machine gets its node in /dev, so
// it is formatted and mounted there as on EC2.

func (r *Runtime) volume(id string) string { return r.prefix() + "-" + id }

// Attach makes a volume's block device in a machine.
func (r *Runtime) Attach(ctx context.Context, id string, v runtime.VolumeSpec) error {
	defer r.lock(id)()
	return r.attach(ctx, id, v)
}

func (r *Runtime) attach(ctx context.Context, id string, v runtime.VolumeSpec) error {
	if !refs.MatchString(v.ID) {
		return fmt.Errorf("attach %q: it is no id", v.ID)
	}
	_, err := r.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: r.volume(v.ID), Labels: map[string]string{LabelLab: r.opts.Lab}})
	if err != nil {
		return fmt.Errorf("make volume %s: %w", v.ID, err)
	}
	minor, err := r.looping(ctx, v.ID, `touch /v/disk && truncate -s `+strconv.FormatInt(v.GiB, 10)+`G /v/disk
found=$(losetup -n -O NAME -j /v/disk | head -1)
if [ -z "$found" ]; then
  for try in 1 2 3 4 5 6 7 8 9 10; do
    found=$(losetup -f) && n=${found#/dev/loop}
    [ -e "$found" ] || mknod "$found" b 7 "$n"
    losetup "$found" /v/disk 2>/dev/null && break
    found=
  done
else
  losetup -c "$found"
fi
[ -n "$found" ] && echo "${found#/dev/loop}"`)
	if err != nil {
		return fmt.Errorf("attach %s: %w", v.ID, err)
	}
	for _, node := range nodes(v.Device) {
		if out, err := r.exec(ctx, id, []string{"/bin/sh", "-c", `rm -f "$1" && mknod -m 660 "$1" b 7 "$2" && chgrp disk "$1"`, "sh", node, minor}, nil); err != nil {
			return fmt.Errorf("attach %s to %s: %w: %s", v.ID, id, machineError(err), out)
		}
	}
	return nil
}

// nodes are the names of a device in a machine: /dev/sdf is /dev/xvdf for a Debian on EC2.
func nodes(device string) []string {
	base := path.Base(device)
	if rest, ok := strings.CutPrefix(base, "sd"); ok {
		return []string{"/dev/" + base, "/dev/xvd" + rest}
	}
	return []string{"/dev/" + base}
}

// Detach takes a volume off a machine, out of its mounts too.
func (r *Runtime) Detach(ctx context.Context, id string, v runtime.VolumeSpec) error {
	defer r.lock(id)()
	c, err := r.inspect(ctx, id)
	if err != nil && !gone(err) {
		return fmt.Errorf("detach %s: %w", v.ID, err)
	}
	if err == nil && c.State.Running {
		for _, node := range nodes(v.Device) {
			if out, err := r.exec(ctx, id, []string{"/bin/sh", "-c", `[ ! -e "$1" ] || { umount -A "$1" 2>/dev/null; sync; rm -f "$1"; }`, "sh", node}, nil); err != nil {
				return fmt.Errorf("detach %s from %s: %w: %s", v.ID, id, err, out)
			}
		}
	}
	return nil
}

// RemoveVolume gives the block device and its file up.
func (r *Runtime) RemoveVolume(ctx context.Context, volume string) error {
	if !refs.MatchString(volume) {
		return nil
	}
	if _, err := r.api.VolumeInspect(ctx, r.volume(volume), client.VolumeInspectOptions{}); gone(err) {
		return nil
	}
	if err := r.unloop(ctx, volume); err != nil {
		return fmt.Errorf("remove volume %s: %w", volume, err)
	}
	_, err := r.api.VolumeRemove(ctx, r.volume(volume), client.VolumeRemoveOptions{Force: true})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove volume %s: %w", volume, err)
	}
	return nil
}

func (r *Runtime) unloop(ctx context.Context, volume string) error {
	_, err := r.looping(ctx, volume, unloop)
	return err
}

// known makes the nodes of all loop devices: losetup tells which of them a file
// has by asking each.
const known = `for s in /sys/block/loop*; do n=${s#/sys/block/loop}; [ -e "/dev/loop$n" ] || mknod "/dev/loop$n" b 7 "$n"; done
`

const unloop = `losetup -n -O NAME -j /v/disk | while read -r l; do losetup -d "$l"; done`

// looping runs a script that may use loop devices beside a volume, and returns what it prints.
func (r *Runtime) looping(ctx context.Context, volume, script string) (string, error) {
	return looping(ctx, r.api, r.opts.Base, r.volume(volume), r.opts.Lab, script)
}

func looping(ctx context.Context, api *client.Client, image, volume, lab, script string) (out string, err error) {
	c, err := api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Labels: map[string]string{LabelLab: lab}, Entrypoint: []string{}, Cmd: []string{"/bin/sh", "-c", known + script}, Tty: true},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapAdd: []string{"SYS_ADMIN"},
			Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: "/v"}},
			Resources: container.Resources{
				DeviceCgroupRules: []string{loops},
				Devices:           []container.DeviceMapping{{PathOnHost: "/dev/loop-control", PathInContainer: "/dev/loop-control", CgroupPermissions: "rwm"}},
			},
			LogConfig: container.LogConfig{Type: "json-file"},
		},
	})
	if err != nil {
		return "", err
	}
	defer func() {
		_, e := api.ContainerRemove(context.WithoutCancel(ctx), c.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, e)
	}()
	end := api.ContainerWait(ctx, c.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		return "", fmt.Errorf("the engine's kernel lends no loop devices: %w", err)
	}
	var status int64
	select {
	case err := <-end.Error:
		return "", err
	case s := <-end.Result:
		status = s.StatusCode
	}
	text, err := logs(ctx, api, c.ID)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d: %s", status, text)
	}
	return strings.TrimSpace(text), err
}
