package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// TagCopy is "REGION AMI" of the image that another is a copy of.
const TagCopy = "chain:copy"

// Destination is another region that gets a copy of the image.
type Destination struct {
	Target *config.Target
	Client *compute.Client
	// Key is a KMS key of that region; "" is its default key for EBS.
	Key string
	// Places are the environments there whose templates get the copy.
	Places []trail.Place
}

// copied is a copy under way.
type copied struct {
	to    Destination
	image compute.Image
	ours  bool // made by this run
}

// copyTime is how long all copies may take together, in AWS time.
const copyTime = 2 * time.Hour

func noCopies(o Options) func(*State) string {
	return func(*State) string {
		if len(o.Copies) == 0 {
			return "there is one region only"
		}
		return ""
	}
}

// copyAll makes the copies in all other regions: all of them, or none. They are
// tagged good and written into the templates only when the last one is there.
func copyAll(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	_, err := s.everywhere(ctx, run, o)
	return err
}

func (s *State) everywhere(ctx context.Context, run *pipeline.Run, o Options) ([]copied, error) {
	list, err := s.copyEach(ctx, run, o)
	if err == nil {
		err = s.sealCopies(ctx, o, list)
	}
	if err == nil {
		return list, nil
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	errs := []error{err}
	for _, c := range list {
		if c.ours && c.image.ID != "" {
			run.Note("removing the copy %s in %s", c.image.ID, c.to.Target.Region)
			if now, e := c.to.Client.Image(after, c.image.ID); e == nil && now != nil {
				c.image = *now // with its snapshots
			}
			if e := c.to.Client.RemoveImage(after, c.image); e != nil {
				errs = append(errs, &pipeline.LeftBehindError{What: "image " + c.image.ID + " in " + c.to.Target.Region, Err: e})
			}
		}
	}
	s.copies = nil
	if ctx.Err() != nil {
		return nil, errors.Join(errs...)
	}
	return nil, &report.Failure{
		Code: report.BakeFailed, ID: "E-BAKE-14", What: "the image was not copied to every region", Where: o.Role + ", " + s.Result.Image + " in " + o.Target.Region,
		State: "the templates are unchanged, no new copy was kept; the image itself is good and kept",
		Next:  []string{"the same command again"}, Err: errors.Join(errs...),
	}
}

// copyEach begins a copy in each region, and waits for all of them.
func (s *State) copyEach(ctx context.Context, run *pipeline.Run, o Options) ([]copied, error) {
	original, err := o.Client.Image(ctx, s.Result.Image)
	if err != nil {
		return nil, err
	}
	if original == nil {
		return nil, noSuchImage(s.Result.Image, o)
	}
	s.image = original
	from := o.Target.Region + " " + original.ID
	var list []copied
	for _, d := range o.Copies {
		c := copied{to: d}
		there, err := d.Client.Images(ctx, compute.ImageQuery{Owner: "self", Tags: compute.Tags{TagCopy: from}})
		if err != nil {
			return list, err
		}
		for _, i := range there {
			if i.State == "available" || i.State == "pending" {
				c.image = i
				break
			}
		}
		if c.image.ID == "" {
			t := lasting(o, s)
			t[TagState], t[TagCopy], t[TagRun], t["Name"] = Unproven, from, o.Run, original.Name
			t[TagExpires] = o.Clock.Now().Add(Lifetime).UTC().Format(time.RFC3339)
			sum := sha256.Sum256([]byte(from + "\n" + d.Target.Region + "\n" + o.Run))
			c.ours = true
			if c.image.ID, err = d.Client.CopyImage(ctx, compute.Copy{
				From: o.Target.Region, Image: original.ID, Name: original.Name, Key: d.Key, Token: hex.EncodeToString(sum[:])[:32], Tags: t,
			}); err != nil {
				return list, err
			}
		}
		list = append(list, c)
	}
	until := o.Clock.Now().Add(o.Target.Scale(copyTime))
	for n := range list {
		c := &list[n]
		run.Await("the copy %s in %s", c.image.ID, c.to.Target.Region)
		err := c.to.Target.Poll.Until(ctx, o.Clock, func(ctx context.Context) (bool, error) {
			i, err := c.to.Client.Image(ctx, c.image.ID)
			if err != nil {
				return true, err
			}
			if i != nil {
				c.image = *i
			}
			switch {
			case i != nil && i.State == "available" && len(i.Snapshots) > 0:
				return true, nil
			case i != nil && i.State != "pending" && i.State != "available":
				return true, fmt.Errorf("the copy %s in %s is %s: %s", i.ID, c.to.Target.Region, i.State, i.Reason)
			case !o.Clock.Now().Before(until):
				return true, fmt.Errorf("the copy %s in %s did not end", c.image.ID, c.to.Target.Region)
			}
			return false, nil
		})
		run.Await("")
		if err != nil {
			return list, err
		}
		run.Fact("image in "+c.to.Target.Region, c.image.ID)
	}
	return list, nil
}

// sealCopies tags the copies good and writes a statement about each, which
// rests on the original's.
func (s *State) sealCopies(ctx context.Context, o Options, list []copied) error {
	files := map[string][]byte{}
	inventory := s.Result.Inventory
	if len(inventory.Packages) == 0 {
		was, ok, err := InventoryOf(ctx, o, s.Result.Image)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("nothing is on record of what is on %s", s.Result.Image)
		}
		inventory = was
		story, _, err := Story(ctx, o, s.Result.Image)
		if err != nil {
			return err
		}
		s.Result.Examples = story.Examples
	}
	for _, c := range list {
		there := o
		there.Target, there.Client = c.to.Target, c.to.Client
		there.Target.Signing = o.Target.Signing
		for _, p := range c.to.Places {
			body, err := o.Trail.WithImageOf(ctx, p.Template(), o.Parameter, c.image.ID)
			if err != nil {
				return err
			}
			files[p.Template()] = body
		}
		_, signed, err := o.Trail.Read(ctx, StatementPath(c.image.ID))
		if err != nil {
			return err
		}
		if signed && c.image.Tags[TagState] == Good {
			continue // by an earlier run
		}
		copy := &State{Result: s.Result, image: &c.image, began: s.began, copyOf: o.Target.Region + " " + s.Result.Image}
		copy.Result.Inventory = inventory
		ids := append([]string{c.image.ID}, c.image.Snapshots...)
		if err := c.to.Client.Tag(ctx, ids, with(with(lasting(there, copy), TagExpires, Never), TagCopy, copy.copyOf)); err != nil {
			return err
		}
		sealed, err := seal(ctx, there, copy)
		if err != nil {
			return err
		}
		maps.Copy(files, sealed)
	}
	s.copies = files
	return nil
}
