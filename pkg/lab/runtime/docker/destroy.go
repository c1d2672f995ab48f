package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Destroy removes every container, volume, image and network that carries the label of a lab.
func Destroy(ctx context.Context, api *client.Client, lab string) error {
	// More than once: the engine may still be busy with a call that was cut
	// short, and make what was not there yet when it was asked.
	for try := 0; ; try++ {
		err := errors.Join(destroyContainers(ctx, api, lab), destroyVolumes(ctx, api, lab), destroyImages(ctx, api, lab), destroyNetworks(ctx, api, lab))
		var left []string
		if err == nil {
			left, err = Left(ctx, api, lab)
		}
		if err == nil && len(left) == 0 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		if try == 5 {
			return fmt.Errorf("destroy lab %s: %w", lab, err)
		}
		if (clock.System{}).Sleep(ctx, 300*time.Millisecond) != nil {
			return fmt.Errorf("destroy lab %s: %w", lab, err)
		}
	}
}

func of(lab string) client.Filters { return make(client.Filters).Add("label", LabelLab+"="+lab) }

// ignore drops the errors of a removal that say that it is done or under way.
func ignore(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

func destroyContainers(ctx context.Context, api *client.Client, lab string) error {
	all, err := api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: of(lab)})
	if err != nil {
		return err
	}
	errs := make([]error, len(all.Items))
	done := make(chan int)
	for i, c := range all.Items {
		go func() {
			_, err := api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			errs[i] = ignore(err)
			done <- i
		}()
	}
	for range all.Items {
		<-done
	}
	return errors.Join(errs...)
}

// destroyVolumes removes volumes, and the loop devices that were made of them.
func destroyVolumes(ctx context.Context, api *client.Client, lab string) error {
	all, err := api.VolumeList(ctx, client.VolumeListOptions{Filters: of(lab)})
	if err != nil || len(all.Items) == 0 {
		return err
	}
	var errs []error
	bases, err := api.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", LabelBase)})
	errs = append(errs, err)
	for _, v := range all.Items {
		if len(bases.Items) > 0 {
			_, err := looping(ctx, api, bases.Items[0].ID, v.Name, lab, unloop)
			errs = append(errs, err)
		}
		_, err := api.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
		errs = append(errs, ignore(err))
	}
	return errors.Join(errs...)
}

// destroyImages removes images, those made of another one first.
func destroyImages(ctx context.Context, api *client.Client, lab string) error {
	for {
		all, err := api.ImageList(ctx, client.ImageListOptions{All: true, Filters: of(lab)})
		if err != nil || len(all.Items) == 0 {
			return err
		}
		var last error
		removed := false
		for _, i := range all.Items {
			_, err := api.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
			if err = ignore(err); err != nil {
				last = err
				continue
			}
			removed = true
		}
		if !removed {
			return last
		}
	}
}

func destroyNetworks(ctx context.Context, api *client.Client, lab string) error {
	all, err := api.NetworkList(ctx, client.NetworkListOptions{Filters: of(lab)})
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range all.Items {
		_, err := api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		errs = append(errs, ignore(err))
	}
	return errors.Join(errs...)
}

// DropBases removes the base images from an engine in which no lab is left. The
// cache keeps their tarballs.
func DropBases(ctx context.Context, api *client.Client) error {
	labs, err := api.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", LabelLab)})
	if err != nil || len(labs.Items) > 0 {
		return err // another lab is there and may start its first machine now
	}
	all, err := api.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", LabelBase)})
	if err != nil {
		return err
	}
	for _, i := range all.Items {
		_, err := api.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true})
		if err = ignore(err); err != nil && !errdefs.IsConflict(err) {
			return err
		}
	}
	return nil
}

// Left names what is there of a lab, as "container NAME", "image ID", "volume NAME" or "network NAME".
func Left(ctx context.Context, api *client.Client, lab string) ([]string, error) {
	var left []string
	containers, err := api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: of(lab)})
	if err != nil {
		return nil, err
	}
	for _, c := range containers.Items {
		left = append(left, "container "+c.ID)
	}
	images, err := api.ImageList(ctx, client.ImageListOptions{All: true, Filters: of(lab)})
	if err != nil {
		return nil, err
	}
	for _, i := range images.Items {
		left = append(left, "image "+i.ID)
	}
	volumes, err := api.VolumeList(ctx, client.VolumeListOptions{Filters: of(lab)})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Items {
		left = append(left, "volume "+v.Name)
	}
	networks, err := api.NetworkList(ctx, client.NetworkListOptions{Filters: of(lab)})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.Items {
		left = append(left, "network "+n.Name)
	}
	slices.Sort(left)
	return left, nil
}
