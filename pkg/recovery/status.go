package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/trail"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

// drillAge is how old the last drill may be.
const drillAge = 7 * 24 * time.Hour

// A Reserve is one thing that a recovery would need, and how it stands.
type Reserve struct {
	What string
	Is   string
	Bad  string   // why it does not keep what was promised; ""
	Next []string // what to do then
}

// Reserves looks at everything that a recovery of the environment would rest on:
// for each region the image and the newest data, the trail, and the last drill.
// It changes nothing.
func Reserves(ctx context.Context, c *release.Chain) ([]Reserve, error) {
	var out []Reserve
	add := func(what, is, bad string, next ...string) { out = append(out, Reserve{what, is, bad, next}) }
	now := c.Clock.Now()
	home, key, runs, err := runningKey(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := c.Target.Guard(ctx); err != nil {
		return nil, refusal("nothing can be told", c, []Fault{faultOf("account", c.Place.Region, err)})
	}
	for _, region := range c.Environment.Regions {
		there, err := openRegion(ctx, c, region)
		if err != nil {
			return nil, err
		}
		if len(c.Environment.Regions) == 1 || region != home {
			stored(ctx, c, there, now, add)
		}
		if err := kept(ctx, c, there.Region, region, key, runs, add); err != nil {
			add("image in "+region, "unknown", err.Error(), "aws sts get-caller-identity")
		}
		if c.Environment.Database == nil {
			continue
		}
		if err := saved(ctx, c, there.Databases, region, now, add); err != nil {
			add("data in "+region, "unknown", err.Error(), "aws sts get-caller-identity")
		}
	}
	if len(c.Environment.Regions) == 1 {
		add("another region", "none", c.Environment.Regions[0]+" is the only region: if it is lost, nothing survives", "add one to regions: in chain.yaml, ./station.sh template, commit, ./station.sh bake")
	}
	last, err := c.Trail.Last(ctx, c.Place)
	if err != nil {
		return nil, err
	}
	if last == nil {
		add("trail", "at "+c.Trail.Remote()+", no release yet", "")
	} else {
		add("trail", fmt.Sprintf("at %s, release %d of %s", c.Trail.Remote(), last.Number, last.Intended.UTC().Format(time.RFC3339)), "")
	}
	return out, lastDrill(ctx, c, now, add)
}

// runningKey is the key of the image that production runs in any region, or last
// ran. home is where it runs, "" if it is nowhere.
func runningKey(ctx context.Context, c *release.Chain) (home, key, ami string, err error) {
	for _, region := range c.Environment.Regions {
		there, err := c.In(ctx, region)
		if err != nil {
			return "", "", "", err
		}
		is, err := there.Account.Stack(c.Environment.Stack()).Read(ctx)
		if err == nil {
			ami = is.Image()
			if home == "" {
				home = region
			}
		} else {
			// Lost or out of reach: then what was there last counts.
			last, err := c.Trail.Last(ctx, trail.Place{Site: c.Place.Site, Environment: c.Place.Environment, Region: region})
			if err != nil {
				return "", "", "", err
			}
			if last == nil {
				continue
			}
			ami = last.Candidate.Image
		}
		if i, err := there.Compute.Image(ctx, ami); err == nil && i != nil {
			return home, i.Tags[image.TagKey], ami, nil
		}
	}
	return home, "", ami, nil
}

// kept says whether a region has the image that production runs, and those of the
// releases before, from wherever they were baked.
func kept(ctx context.Context, c *release.Chain, there sweep.Region, region, key, runs string, add func(string, string, string, ...string)) error {
	what := "image in " + region
	const bake = "./station.sh dr:backup  # makes the copies"
	if key == "" {
		add(what, "none", strings.TrimSuffix("there is no image of production that could be kept "+runs, " "), "./station.sh release")
		return nil
	}
	i, err := image.Find(ctx, there.Compute, c.Environment.Site.Role, key, "")
	switch {
	case err != nil:
		return err
	case i == nil:
		add(what, "none", "production's image is not in "+region+": a recovery there would have to bake", bake)
	default:
		is, bad := i.ID+" of "+i.Created.UTC().Format(time.RFC3339), ""
		all, missing, err := earlier(ctx, c, there)
		if err != nil {
			return err
		}
		if all > 0 {
			is += fmt.Sprintf(", %d of the %d images of the last releases", all-len(missing), all)
		}
		if len(missing) > 0 {
			bad = "it lacks " + strings.Join(missing, ", ")
		}
		add(what, is, bad, bake)
	}
	return nil
}

// earlier counts the images of the last releases, in whichever region those were,
// and names those that this region has none of the same recipe of.
func earlier(ctx context.Context, c *release.Chain, there sweep.Region) (all int, missing []string, err error) {
	keys := map[string]string{}
	for _, from := range c.Environment.Regions {
		list, err := named(ctx, c, from)
		if err != nil {
			return 0, nil, err
		}
		for _, ami := range list {
			story, ok, err := image.Story(ctx, c.ImageOptions(), ami) // from is perhaps not there to be asked
			if err != nil || !ok {
				continue // nobody vouches for it, nor goes back to it
			}
			if keys[story.Key] == "" {
				keys[story.Key] = ami
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		i, err := image.Find(ctx, there.Compute, c.Environment.Site.Role, key, "")
		if err != nil {
			return 0, nil, err
		}
		if i == nil {
			missing = append(missing, keys[key])
		}
	}
	return len(keys), missing, nil
}

// stored says what a region's vault holds.
func stored(ctx context.Context, c *release.Chain, there region, now time.Time, add func(string, string, string, ...string)) {
	what, backup := "templates in "+there.Name, "./station.sh dr:backup"
	list, err := there.Vault.List(ctx, bundlePrefix)
	switch tip := c.Trail.Tip(); {
	case errors.Is(err, vault.ErrAbsent), err == nil && len(list) == 0:
		add(what, "none", "templates and evidence are not in s3://"+there.Vault.Bucket, backup)
	case err != nil:
		add(what, "unknown", err.Error(), "aws sts get-caller-identity")
	case slices.ContainsFunc(list, func(o vault.Object) bool { return strings.HasSuffix(o.Key, "/"+tip+".bundle") }):
		add(what, fmt.Sprintf("s3://%s/%s, %s old, the newest there is", there.Vault.Bucket, list[0].Key, report.Short(now.Sub(list[0].Made))), "")
	default:
		age, bad := now.Sub(list[0].Made), ""
		if age > c.Environment.Recovery.RPO {
			bad = fmt.Sprintf("the trail has gone on since, longer ago than recovery.rpo, %s", c.Environment.Recovery.RPO)
		}
		add(what, fmt.Sprintf("s3://%s/%s, %s old", there.Vault.Bucket, list[0].Key, report.Short(age)), bad, backup)
	}
	if c.Environment.Recovery.CI == 0 {
		return
	}
	what = "CI server in " + there.Name
	const look = "systemctl status teamcity-backup.timer  # on the CI server, whose class has the parameter bucket"
	list, err = there.Vault.List(ctx, ciPrefix)
	switch {
	case errors.Is(err, vault.ErrAbsent), err == nil && len(list) == 0:
		add(what, "none", "no backup of the CI server is in s3://"+there.Vault.Bucket+"/"+ciPrefix, look)
	case err != nil:
		add(what, "unknown", err.Error(), "aws sts get-caller-identity")
	default:
		age, bad := now.Sub(list[0].Made), ""
		if age > c.Environment.Recovery.CI {
			bad = fmt.Sprintf("older than recovery.ci, %s", c.Environment.Recovery.CI)
		}
		add(what, fmt.Sprintf("s3://%s/%s, %s old", there.Vault.Bucket, list[0].Key, report.Short(age)), bad, look)
	}
}

// saved says how old the newest data is that a region could be recovered with.
func saved(ctx context.Context, c *release.Chain, db *database.Client, region string, now time.Time, add func(string, string, string, ...string)) error {
	what, objective := "data in "+region, c.Environment.Recovery.RPO
	const copyIt = "./station.sh dr:backup  # saves the data, and makes the copies"
	list, err := db.Find(ctx, database.Query{})
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Status != "available" || !ofStack(s, c.Environment.Stack()) {
			continue
		}
		age := now.Sub(s.Created)
		is := fmt.Sprintf("%s, %s old", s.ID, report.Short(age))
		if age > objective {
			add(what, is, fmt.Sprintf("older than recovery.rpo, %s", objective), copyIt)
		} else {
			add(what, is, "")
		}
		return nil
	}
	add(what, "none", "there is no snapshot of "+c.Environment.Stack()+"'s database", copyIt)
	return nil
}

// lastDrill says when a recovery was practised, in any region.
func lastDrill(ctx context.Context, c *release.Chain, now time.Time, add func(string, string, string, ...string)) error {
	var last *Report
	for _, region := range c.Environment.Regions {
		p := trail.Place{Site: c.Place.Site, Environment: c.Place.Environment, Region: region}
		b, ok, err := c.Trail.Read(ctx, RecordPath(p, "drill"))
		if err != nil {
			return err
		}
		var r Report
		if !ok || json.Unmarshal(b, &r) != nil || len(r.Moments) == 0 {
			continue
		}
		if last == nil || r.Moments[0].At.After(last.Moments[0].At) {
			last = &r
		}
	}
	next := "./station.sh dr:drill"
	if last == nil {
		add("last drill", "none", "a recovery was never practised", next)
		return nil
	}
	at := last.Moments[0].At
	is := fmt.Sprintf("%s in %s, scenario %s, took %s of %s", at.UTC().Format(time.RFC3339), last.Place.Region, last.Scenario, report.Short(last.Took), last.Objective)
	bad := ""
	switch {
	case last.Error != "":
		bad = "it failed: " + last.Error
	case now.Sub(at) > drillAge:
		bad = "longer ago than a week"
	}
	add("last drill", is, bad, next)
	// What was never restored is no backup.
	wanted := []string{"image", "templates"}
	if c.Environment.Database != nil {
		wanted = append(wanted, "data")
	}
	if c.Environment.Recovery.CI > 0 {
		wanted = append(wanted, "CI server")
	}
	wanted = slices.DeleteFunc(wanted, func(w string) bool {
		return slices.ContainsFunc(last.Restored, func(r Input) bool { return r.Name == w })
	})
	bad = ""
	if len(wanted) > 0 {
		bad = "the last drill did not restore: " + strings.Join(wanted, ", ")
	}
	add("restored by it", last.restoredLine(), bad, "./station.sh dr:backup", next)
	return nil
}

// Judge tells the reserves as lines, and is a failure if one does not keep what
// was promised.
func Judge(c *release.Chain, list []Reserve) ([]string, error) {
	var lines, bad, next []string
	for _, r := range list {
		mark := "✔"
		if r.Bad != "" {
			mark = "✖"
			bad, next = append(bad, r.What+": "+r.Bad), append(next, r.Next...)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %-22s %s", mark, r.What, r.Is)))
	}
	if len(bad) == 0 {
		return append(lines, "a recovery has what it needs"), nil
	}
	return lines, &report.Failure{
		Code: report.Policy, ID: "E-DR-13", What: "a recovery would lack something: " + strings.Join(bad, "; "), Where: c.Environment.Stack(), State: "nothing was changed", Next: next,
	}
}
