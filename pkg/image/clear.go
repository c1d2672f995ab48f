package image

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// clearDead removes what earlier runs of the same recipe left, and keeps a
// finished image that was never judged. We hold the recipe's lock, so nobody
// who lives is using any of it.
func clearDead(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	if s.Result.Reused {
		return nil // found once the lock was ours
	}
	c, ours := o.Client, compute.Tags{TagKey: s.Result.Recipe.Key, TagRole: o.Role}

	// A Packer whose caller was killed is told so and tidies up by itself: its
	// image is looked at only when it is through.
	if err := endMachines(ctx, run, o, with(ours, TagPurpose, "bake"), o.Target.Scale(30*time.Second)); err != nil {
		return err
	}
	if err := endMachines(ctx, run, o, ours, 0); err != nil {
		return err
	}
	images, err := unproven(ctx, c, ours)
	if err != nil {
		return err
	}
	for len(images) > 0 && images[0].State == "pending" {
		run.Await("image %s of an earlier bake", images[0].ID)
		if err := o.Clock.Sleep(ctx, o.Target.Poll.Max); err != nil {
			return err
		}
		if images, err = unproven(ctx, c, ours); err != nil {
			return err
		}
	}
	run.Await("")
	for _, i := range images {
		if i.State == "available" && s.image == nil && !o.Force {
			s.image, s.Result.Adopted = &i, true
			run.Note("an earlier bake made %s and was cut off before it was judged: going on with it", i.ID)
			continue
		}
		run.Note("removing image %s of an earlier bake", i.ID)
		if err := c.RemoveImage(ctx, i); err != nil {
			return err
		}
	}
	snapshots, err := c.Snapshots(ctx, ours)
	if err != nil {
		return err
	}
	for _, sn := range snapshots {
		if sn.Tags[TagState] == Good || s.image != nil && slices.Contains(s.image.Snapshots, sn.ID) {
			continue
		}
		if err := c.RemoveSnapshot(ctx, sn.ID); err != nil {
			return err
		}
	}
	return removeAccess(ctx, o, ours)
}

// tidy removes what a Packer that failed has left, but for an image when the
// run was stopped: the next one goes on with it.
func tidy(ctx context.Context, run *pipeline.Run, o Options, s *State, keep bool) error {
	ours := compute.Tags{TagKey: s.Result.Recipe.Key, TagRole: o.Role}
	if err := endMachines(ctx, run, o, ours, 0); err != nil {
		return err
	}
	if !keep {
		images, err := unproven(ctx, o.Client, ours)
		if err != nil {
			return err
		}
		for _, i := range images {
			if err := o.Client.RemoveImage(ctx, i); err != nil {
				return err
			}
		}
	}
	return removeAccess(ctx, o, ours)
}

func with(t compute.Tags, key, value string) compute.Tags {
	out := maps.Clone(t)
	out[key] = value
	return out
}

// unproven are the images that nobody has judged, finished ones last but the
// newest of them before the others of its kind.
func unproven(ctx context.Context, c *compute.Client, t compute.Tags) ([]compute.Image, error) {
	list, err := c.Images(ctx, compute.ImageQuery{Owner: "self", Tags: t})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(i compute.Image) bool {
		return i.Tags[TagState] == Good || i.State == "deregistered"
	})
	slices.SortStableFunc(list, func(a, b compute.Image) int {
		return rank(a) - rank(b)
	})
	return list, nil
}

func rank(i compute.Image) int {
	switch i.State {
	case "pending":
		return 0
	case "available":
		return 1
	}
	return 2
}

// endMachines waits a while for the machines that have the tags to end by
// themselves, then ends them, and waits until they have.
func endMachines(ctx context.Context, run *pipeline.Run, o Options, t compute.Tags, patience time.Duration) error {
	until := o.Clock.Now().Add(patience)
	told := false
	return o.Target.Poll.Watch(ctx, o.Clock, func(ctx context.Context) (config.Seen, error) {
		list, err := o.Client.Find(ctx, t)
		if err != nil {
			return config.Same, err
		}
		var living, all []string
		for _, m := range list {
			if m.State != "terminated" {
				all = append(all, m.ID)
			}
			if !m.Gone() {
				living = append(living, m.ID)
			}
		}
		if len(all) == 0 {
			run.Await("")
			return config.Done, nil
		}
		run.Await("the end of %s, which is not needed any more", some(all))
		if len(living) > 0 && !o.Clock.Now().Before(until) {
			if !told {
				run.Note("ending %s, which is not needed any more", some(living))
				told = true
			}
			return config.Same, o.Client.Terminate(ctx, living...)
		}
		return config.Same, nil
	})
}

// removeAccess removes key pairs and security groups that have the tags.
func removeAccess(ctx context.Context, o Options, t compute.Tags) error {
	keys, err := o.Client.KeyPairs(ctx, t)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := o.Client.DeleteKeyPair(ctx, k.Name); err != nil {
			return err
		}
	}
	groups, err := o.Client.Groups(ctx, t)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := removeGroup(ctx, o, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup waits for the last interface to let go of it.
func removeGroup(ctx context.Context, o Options, id string) error {
	until := o.Clock.Now().Add(2 * time.Minute)
	return o.Target.Poll.Until(ctx, o.Clock, func(ctx context.Context) (bool, error) {
		err := o.Client.DeleteGroup(ctx, id)
		if compute.Code(err) == "DependencyViolation" && o.Clock.Now().Before(until) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("remove what let us in: %w", err)
		}
		return true, nil
	})
}
