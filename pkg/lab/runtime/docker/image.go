package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// manyLayers is when an image has been saved on top of itself so often that
// it deserves a word; the engine's overlay ends at about 127.
const manyLayers = 32

// Save commits the container of a stopped machine. Each save on top of a save
// adds a layer; a bake starts from the base, so its images have two.
func (r *Runtime) Save(ctx context.Context, id, ref string) error {
	if ref == runtime.Base || ref == runtime.Database || !refs.MatchString(ref) {
		return fmt.Errorf("save %s as %q: this name is not free", id, ref)
	}
	defer r.lock(id)()
	if err := r.save(ctx, id, ref); err != nil {
		return fmt.Errorf("save %s as %s: %w", id, ref, err)
	}
	return nil
}

func (r *Runtime) save(ctx context.Context, id, ref string) error {
	c, err := r.inspect(ctx, id)
	if err != nil {
		return machineError(err)
	}
	database := c.Config.Labels[labelDatabase] != ""
	if c.State.Running && !database {
		return errors.New("it is running")
	}
	before, err := r.api.ImageInspect(ctx, r.image(ref))
	if err != nil && !gone(err) {
		return err
	}
	// The command of the container may hold its faults, the machines of the
	// image shall not.
	_, err = r.api.ContainerCommit(ctx, c.ID, client.ContainerCommitOptions{
		// A database stands still meanwhile; what is restored of it recovers as after a power cut.
		Reference: r.image(ref), NoPause: !c.State.Running, Changes: []string{`CMD ["/sbin/init"]`},
	})
	if err != nil {
		return err
	}
	after, err := r.api.ImageInspect(ctx, r.image(ref))
	if err != nil {
		return err
	}
	if n := len(after.RootFS.Layers); n >= manyLayers {
		r.opts.Log.Warn("an image of many layers: start from the base again", "image", ref, "layers", n)
	}
	if before.ID != "" && before.ID != after.ID {
		if _, err := r.api.ImageRemove(ctx, before.ID, client.ImageRemoveOptions{}); err != nil {
			r.opts.Log.Info("the image saved before stays", "image", before.ID, "error", err)
		}
	}
	return nil
}

// RemoveImage drops the image's name. Its layers go with the last machine that
// was started from it.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	if ref == runtime.Base || ref == runtime.Database {
		return errors.New("remove the image " + ref + ": it belongs to the runtime")
	}
	if !refs.MatchString(ref) {
		return nil
	}
	_, err := r.api.ImageRemove(ctx, r.image(ref), client.ImageRemoveOptions{Force: true})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return nil
}
