package image

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Uses is all that may need an image: what Judge decides by.
type Uses struct {
	Images    []compute.Image // our own good ones
	Machines  []compute.Machine
	Templates []compute.TemplateUse
	Stacks    map[string][]string // AMIs in the parameters of each stack, by name
	// Git are images that a file of the trail or of HEAD names, each with the file.
	Git map[string][]string
	// Releases of each environment, the newest first; the first Keep count, and
	// those without an outcome.
	Releases map[trail.Place][]trail.Release
	Keep     int
	// Keys are those of HEAD's recipes, the one of the tools included.
	Keys []string
}

// Verdict of one image.
type Verdict struct {
	Image compute.Image
	Why   []string // it is kept; empty: nothing needs it
}

// Judge says of each image why it is kept, or that nothing needs it.
func Judge(u Uses) []Verdict {
	why := map[string][]string{}
	keep := func(ami, format string, args ...any) {
		if reason := fmt.Sprintf(format, args...); ami != "" && !slices.Contains(why[ami], reason) {
			why[ami] = append(why[ami], reason)
		}
	}
	running := map[string]int{}
	for _, m := range u.Machines {
		if m.State != "terminated" {
			running[m.Image]++
		}
	}
	for ami, n := range running {
		keep(ami, "%d machines run it", n)
	}
	for _, name := range slices.Sorted(maps.Keys(u.Stacks)) {
		for _, ami := range u.Stacks[name] {
			keep(ami, "stack %s names it", name)
		}
	}
	for _, t := range u.Templates {
		keep(t.Image, "version %s of launch template %s, which is %s", t.Version, t.ID, t.What)
	}
	for _, ami := range slices.Sorted(maps.Keys(u.Git)) {
		for _, path := range u.Git[ami] {
			keep(ami, "%s names it", path)
		}
	}
	for place, list := range u.Releases {
		for n, r := range list {
			if n >= u.Keep && r.Outcome != nil {
				continue
			}
			tag := place.Tag(r.Number)
			if r.Outcome == nil {
				tag += ", which is under way,"
			}
			keep(r.Candidate.Image, "%s released it", tag)
			keep(r.Baseline.Image, "%s goes back to it", tag)
		}
	}
	var out []Verdict
	originals := maps.Clone(why)
	for _, i := range u.Images {
		// A copy is what a recovery in its region would begin with.
		if of := strings.Fields(i.Tags[TagCopy]); len(of) == 2 {
			for _, reason := range originals[of[1]] {
				if strings.Contains(reason, " released it") {
					keep(i.ID, "a copy of %s in %s: %s", of[1], of[0], reason)
				}
			}
		}
		if slices.Contains(u.Keys, i.Tags[TagKey]) {
			keep(i.ID, "it is of the recipe of HEAD")
		}
		slices.Sort(why[i.ID])
		out = append(out, Verdict{i, why[i.ID]})
	}
	return out
}

var amiID = regexp.MustCompile(`\bami-[0-9a-f]{8,17}\b`)

// Look gathers all uses, of the images of all roles. It fails rather than to
// overlook one.
func Look(ctx context.Context, o Options, account *stack.Account, places []trail.Place, roles []config.Image, keep int) (Uses, error) {
	o = o.filled()
	u := Uses{Keep: keep, Stacks: map[string][]string{}, Git: map[string][]string{}, Releases: map[trail.Place][]trail.Release{}}
	var err error
	if u.Images, err = o.Client.Images(ctx, compute.ImageQuery{Owner: "self", Tags: compute.Tags{TagKey: "*", TagState: Good}}); err != nil {
		return u, err
	}
	if u.Machines, err = o.Client.Find(ctx, nil); err != nil {
		return u, err
	}
	stacks, err := account.List(ctx, "")
	if err != nil {
		return u, err
	}
	for _, s := range stacks {
		for _, v := range s.Parameters {
			u.Stacks[s.Name] = append(u.Stacks[s.Name], amiID.FindAllString(v, -1)...)
		}
	}
	groups, err := account.TemplatesInUse(ctx)
	if err != nil {
		return u, err
	}
	if u.Templates, err = o.Client.TemplatesInUse(ctx, groups); err != nil {
		return u, err
	}
	var named []string
	for _, i := range roles {
		named = append(named, i.Role)
	}
	if err := u.git(ctx, o, places, named); err != nil {
		return u, err
	}
	for _, i := range roles {
		o.Role, o.Puppet, o.Specs = i.Role, i.Puppet, i.Specs
		in, err := read(ctx, o)
		if err != nil {
			return u, fmt.Errorf("the recipe of role %s at HEAD: %w", o.Role, err)
		}
		u.Keys = append(u.Keys, in.recipe.Key)
		tools, ok, err := readTools(ctx, o, in.recipe)
		if err != nil {
			return u, err
		}
		if ok {
			u.Keys = append(u.Keys, tools.Key)
		}
	}
	return u, nil
}

// git reads what the trail and HEAD name: templates, evidence, the newest image.
func (u *Uses) git(ctx context.Context, o Options, places []trail.Place, roles []string) error {
	for _, p := range places {
		paths := []string{p.Template(), p.Evidence(), p.Record()}
		for _, role := range roles {
			paths = append(paths, RecordPath(role, p.Region))
		}
		for _, path := range paths {
			for _, from := range []struct {
				read func(context.Context, string) ([]byte, bool, error)
				name string
			}{
				{o.Trail.Read, path},
				{func(ctx context.Context, path string) ([]byte, bool, error) {
					return o.Clone.Read(ctx, o.Trail.Head(), path)
				}, path + " of HEAD"},
			} {
				b, _, err := from.read(ctx, path)
				if err != nil {
					return err
				}
				if strings.HasSuffix(path, ".json") && len(b) > 0 && !json.Valid(b) {
					return fmt.Errorf("%s cannot be read: what it needs is not known", from.name)
				}
				for _, ami := range amiID.FindAllString(string(b), -1) {
					if !slices.Contains(u.Git[ami], from.name) {
						u.Git[ami] = append(u.Git[ami], from.name)
					}
				}
			}
		}
		list, err := o.Trail.History(ctx, p, 0)
		if err != nil {
			return err
		}
		u.Releases[p] = list
	}
	return nil
}

// String is the verdict in one line.
func (v Verdict) String() string {
	s := fmt.Sprintf("%s (%s, %s)", v.Image.ID, v.Image.Name, v.Image.Created.UTC().Format("2006-01-02"))
	if len(v.Why) == 0 {
		return "remove " + s + ": nothing needs it"
	}
	return "keep   " + s + ": " + strings.Join(v.Why, "; ")
}

// Prune removes the images that nothing needs, each with its snapshots, and
// tells each. One whose protection is still cooling down is told and left for
// the next time. It goes on after a failure.
func Prune(ctx context.Context, o Options, list []Verdict, tell func(string)) error {
	o = o.filled()
	var failed []string
	for _, v := range list {
		if len(v.Why) > 0 {
			continue
		}
		// What somebody started meanwhile must not lose its image.
		machines, err := o.Client.Find(ctx, nil)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(machines, func(m compute.Machine) bool { return m.Image == v.Image.ID && m.State != "terminated" }) {
			tell("keep   " + v.Image.ID + ": a machine has been started from it")
			continue
		}
		cooling, err := o.Client.Unprotect(ctx, v.Image.ID)
		if err == nil && !cooling {
			err = o.Client.RemoveImage(ctx, v.Image)
		}
		switch {
		case cooling || compute.Code(err) == "OperationNotPermitted":
			tell("later  " + v.Image.ID + ": its protection is off, AWS lets it go within a day; the same command again")
		case err != nil:
			failed = append(failed, err.Error())
		default:
			tell("removed " + v.Image.ID + " and " + strings.Join(v.Image.Snapshots, ", "))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d images could not be removed: %s", len(failed), strings.Join(failed, "; "))
	}
	return nil
}

// Age is how long ago something was made, for people.
func Age(now, then time.Time) string {
	switch d := now.Sub(then); {
	case then.IsZero():
		return "of unknown age"
	case d < time.Hour:
		return fmt.Sprintf("%d min old", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h old", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d days old", int(d/(24*time.Hour)))
	}
}
