// Package sweep finds what dead runs left, and removes it.
//
// Every run tags what it makes in the very call that makes it, so nothing is
// guessed: a thing is left over if it has the tags of a run that may not last
// (a test stack, a builder, an image that was never proven) and nobody holds
// the lock under which it was made, or who holds it is known to be dead. Images
// that were proven, and stacks of other environments, are never touched.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Options of a sweep.
type Options struct {
	Compute *compute.Client
	Account *stack.Account
	// Databases are looked through, too; nil: they are not.
	Databases *database.Client
	Trail     *trail.Trail
	Sites     []string
	Run       string // id of this run
	Clock     clock.Clock
	// Elsewhere are other regions that are looked through, too.
	Elsewhere []Region
}

// Region is another one of the same account.
type Region struct {
	Name      string
	Compute   *compute.Client
	Account   *stack.Account
	Databases *database.Client
}

// An Item is one thing left over.
type Item struct {
	Kind string
	ID   string
	Why  string
	Age  string // since when, if it is known

	remove func(ctx context.Context) error
}

// String is the item in one line.
func (i Item) String() string {
	s := fmt.Sprintf("%-14s %s: %s", i.Kind, i.ID, i.Why)
	if i.Age != "" {
		s += ", since " + i.Age
	}
	return s
}

// Find lists what dead runs left, region by region, stacks and machines first. It
// removes nothing.
func Find(ctx context.Context, o Options) ([]Item, error) {
	locks, err := o.Trail.Living(ctx)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	out, err := finder{o, locks}.find(ctx)
	if err != nil {
		return out, err
	}
	for _, r := range o.Elsewhere {
		there := o
		there.Compute, there.Account, there.Databases = r.Compute, r.Account, r.Databases
		items, err := finder{there, locks}.find(ctx)
		if err != nil {
			return out, fmt.Errorf("in %s: %w", r.Name, err)
		}
		for _, i := range items {
			i.Why += ", in " + r.Name
			out = append(out, i)
		}
	}
	return out, nil
}

func (f finder) find(ctx context.Context) ([]Item, error) {
	var out []Item
	for _, find := range []func(context.Context) ([]Item, error){f.stacks, f.machines, f.images, f.snapshots, f.volumes, f.keys, f.groups, f.copies} {
		items, err := find(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, items...)
	}
	return out, nil
}

// Remove removes items, in the order of Find. It goes on after a failure, and
// names all of them.
func Remove(ctx context.Context, items []Item, tell func(Item)) error {
	var errs []error
	for _, i := range items {
		if err := i.remove(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", i.Kind, i.ID, err))
			continue
		}
		tell(i)
	}
	return errors.Join(errs...)
}

type finder struct {
	Options
	locks map[string]string
}

// dead says whether nobody who lives holds the lock under which a bake made something.
func (f finder) dead(t compute.Tags) bool {
	_, held := f.locks["image/"+t[image.TagRole]+"/"+t[image.TagKey]]
	return !held
}

func (f finder) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 MST") + ", " + image.Age(f.Clock.Now(), t)
}

// begun is when the run that tagged something began it, as its expiry tells.
func begun(t compute.Tags) time.Time {
	at, err := time.Parse(time.RFC3339, t[image.TagExpires])
	if err != nil {
		return time.Time{}
	}
	return at.Add(-image.Lifetime)
}

func (f finder) stacks(ctx context.Context) ([]Item, error) {
	var out []Item
	for _, site := range f.Sites {
		if f.busy(site) {
			continue
		}
		list, err := f.Account.List(ctx, site+"-")
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			kind := s.Tags["chain:environment"]
			if s.Tags["chain:site"] != site || kind != "test" && kind != "recovery" || !strings.HasPrefix(s.Name, site+"-"+kind+"-") || s.Protected {
				continue
			}
			out = append(out, Item{"stack", s.Name, "a test stack, " + s.Status, f.when(s.Created), func(ctx context.Context) error {
				err := f.Account.Stack(s.Name).Delete(ctx, "sweep-"+f.Run)
				if err == nil && f.Databases != nil {
					err = f.Databases.Forget(ctx, s.Name)
				}
				return err
			}})
		}
	}
	return out, nil
}

// busy says whether a run of the site is alive, or must be declared dead first.
func (f finder) busy(site string) bool {
	for name := range f.locks {
		if strings.HasPrefix(name, site+"/") {
			return true
		}
	}
	return false
}

// lasting is a name that begins with a stack's which may not last.
var lasting = regexp.MustCompile(`^((.+)-(?:test|recovery)-[0-9a-z]+)-`)

// copies are the snapshots of databases that were made for test stacks, or as their
// databases went.
func (f finder) copies(ctx context.Context) ([]Item, error) {
	if f.Databases == nil {
		return nil, nil
	}
	list, err := f.Databases.Find(ctx, database.Query{Kind: "manual"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, s := range list {
		m := lasting.FindStringSubmatch(s.ID)
		if m == nil || !slices.Contains(f.Sites, m[2]) || f.busy(m[2]) || !s.Of(m[1]) {
			continue
		}
		out = append(out, Item{"db snapshot", s.ID, "of the data of a test stack", f.when(s.Created), func(ctx context.Context) error {
			return f.Databases.Delete(ctx, s.ID)
		}})
	}
	return out, nil
}

func (f finder) machines(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.Find(ctx, compute.Tags{image.TagPurpose: "*"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, m := range list {
		if !m.Gone() && f.dead(m.Tags) {
			out = append(out, Item{"machine", m.ID, "a machine of a " + m.Tags[image.TagPurpose], f.when(m.Launched), func(ctx context.Context) error {
				return f.Compute.Terminate(ctx, m.ID)
			}})
		}
	}
	return out, nil
}

// unproven says whether something carries our tags and was not proven good.
func (f finder) unproven(t compute.Tags) bool {
	return t[image.TagKey] != "" && t[image.TagState] != image.Good && f.dead(t)
}

func (f finder) images(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.Images(ctx, compute.ImageQuery{Owner: "self", Tags: compute.Tags{image.TagKey: "*"}})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, i := range list {
		if f.unproven(i.Tags) {
			out = append(out, Item{"image", i.ID, "never proven, " + i.State, f.when(i.Created), func(ctx context.Context) error {
				return f.Compute.RemoveImage(ctx, i)
			}})
		}
	}
	return out, nil
}

func (f finder) snapshots(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.Snapshots(ctx, compute.Tags{image.TagKey: "*"})
	if err != nil {
		return nil, err
	}
	images, err := f.Compute.Images(ctx, compute.ImageQuery{Owner: "self"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, s := range list {
		used := slices.ContainsFunc(images, func(i compute.Image) bool { return slices.Contains(i.Snapshots, s.ID) })
		if !used && f.unproven(s.Tags) {
			out = append(out, Item{"snapshot", s.ID, "of no image", f.when(s.Started), func(ctx context.Context) error {
				return f.Compute.RemoveSnapshot(ctx, s.ID)
			}})
		}
	}
	return out, nil
}

func (f finder) volumes(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.Volumes(ctx, compute.Tags{image.TagPurpose: "*"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, v := range list {
		// One that a machine has goes with the machine.
		if v.State == "available" && f.dead(v.Tags) {
			out = append(out, Item{"volume", v.ID, "of a " + v.Tags[image.TagPurpose] + ", of no machine any more", f.when(v.Created), func(ctx context.Context) error {
				return f.Compute.DeleteVolume(ctx, v.ID)
			}})
		}
	}
	return out, nil
}

func (f finder) keys(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.KeyPairs(ctx, compute.Tags{image.TagPurpose: "*"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, k := range list {
		if f.dead(k.Tags) {
			out = append(out, Item{"key pair", k.Name, "of a " + k.Tags[image.TagPurpose], f.when(begun(k.Tags)), func(ctx context.Context) error {
				return f.Compute.DeleteKeyPair(ctx, k.Name)
			}})
		}
	}
	return out, nil
}

func (f finder) groups(ctx context.Context) ([]Item, error) {
	list, err := f.Compute.Groups(ctx, compute.Tags{image.TagPurpose: "*"})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, g := range list {
		if f.dead(g.Tags) {
			out = append(out, Item{"security group", g.ID, "of a " + g.Tags[image.TagPurpose], f.when(begun(g.Tags)), func(ctx context.Context) error {
				return f.deleteGroup(ctx, g.ID)
			}})
		}
	}
	return out, nil
}

// letGo is how long a machine that was just ended may keep its group.
const letGo = 5 * time.Minute

func (f finder) deleteGroup(ctx context.Context, id string) error {
	until := f.Clock.Now().Add(letGo)
	for {
		err := f.Compute.DeleteGroup(ctx, id)
		if compute.Code(err) != "DependencyViolation" || !f.Clock.Now().Before(until) {
			return err
		}
		if err := f.Clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}
