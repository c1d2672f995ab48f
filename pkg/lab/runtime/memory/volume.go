package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// volume is what is on a volume, made when it is new. Under the lock.
func (r *Runtime) volume(id string) map[string]string {
	if r.volumes[id] == nil {
		r.volumes[id] = map[string]string{}
	}
	return r.volumes[id]
}

// Mounted is a copy of what is on the volumes of a machine, by device; an unknown machine has none.
func (r *Runtime) Mounted(id string) map[string]map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]map[string]string{}
	if m := r.machines[id]; m != nil {
		for _, v := range m.Spec.Volumes {
			out[v.Device] = maps.Clone(r.volume(v.ID))
		}
	}
	return out
}

// Write puts a file on the volume that a running machine has at a device.
func (r *Runtime) Write(id, device, file, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil || m.State != runtime.Running {
		return fmt.Errorf("write at %s: %w", id, runtime.ErrNoMachine)
	}
	for _, v := range m.Spec.Volumes {
		if v.Device == device {
			r.volume(v.ID)[file] = text
			return r.keep()
		}
	}
	return fmt.Errorf("write at %s: it has no volume at %s", id, device)
}

// Attach gives a running machine a volume.
func (r *Runtime) Attach(ctx context.Context, id string, v runtime.VolumeSpec) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil || m.State != runtime.Running {
		return fmt.Errorf("attach %s to %s: %w", v.ID, id, runtime.ErrNoMachine)
	}
	if !slices.Contains(m.Spec.Volumes, v) {
		m.Spec.Volumes = append(slices.Clip(m.Spec.Volumes), v)
	}
	r.volume(v.ID)
	return r.keep()
}

// Detach takes a volume off a machine.
func (r *Runtime) Detach(ctx context.Context, id string, v runtime.VolumeSpec) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.machines[id]; m != nil {
		m.Spec.Volumes = slices.DeleteFunc(slices.Clone(m.Spec.Volumes), func(x runtime.VolumeSpec) bool { return x.ID == v.ID })
	}
	return r.keep()
}

// RemoveVolume destroys a volume.
func (r *Runtime) RemoveVolume(ctx context.Context, volume string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.volumes, volume)
	return r.keep()
}
