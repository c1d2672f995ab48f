package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

// TagBackup is the stack whose data a snapshot holds that was made by plan.
const TagBackup = "chain:backup"

// Backup is a run that makes what is due by plan: the data, where it is older than
// recovery.backup, and copies of it; copies of the images of the last releases; the
// trail, with all templates and evidence, in a vault. It may run at any time, twice
// at once too: everything is looked for first, and named by what it is of.
type Backup struct {
	Chain *release.Chain
	Made  []string // what was not there before

	from    region   // where production runs
	regions []region // all of the environment's, from included
	living  string   // production's database
	newest  *database.Snapshot
	images  []string
	bundled []string
	saved   []string
}

// region is one of an environment's, with what is needed to look into it.
type region struct {
	sweep.Region
	Vault *vault.Vault
}

func openRegion(ctx context.Context, c *release.Chain, name string) (region, error) {
	r, err := c.In(ctx, name)
	if err != nil {
		return region{}, err
	}
	there := *c.Target
	there.Region = name
	cfg, err := there.AWS(ctx)
	if err != nil {
		return region{}, err
	}
	return region{r, vault.Open(cfg, c.Clock, vault.Name(c.Environment.Stack(), c.Target.Account, name))}, nil
}

// BackupSteps is a run of backups.
func BackupSteps() []pipeline.Step[Backup] {
	return []pipeline.Step[Backup]{
		pipeline.Func("see who we are, and where production runs", findProduction),
		pipeline.Together("back up what is due",
			[]pipeline.Step[Backup]{saving{"save the data", saveData}, saving{"copy it to the other regions", copyData}, saving{"let go of what is too old", forgetData}},
			[]pipeline.Step[Backup]{pipeline.Func("copy the images of the last releases", copyImages)},
		),
		pipeline.Func("put templates and evidence into the vault", keepTrail), // with what was just written
		pipeline.Func("publish the ages", publishAges),
	}
}

// Do makes what is due.
func (b *Backup) Do(ctx context.Context, env pipeline.Env) error {
	err := pipeline.Do(ctx, env, b, BackupSteps()...)
	b.Made = slices.Concat(b.saved, b.images, b.bundled)
	return err
}

// Summary is what was made, in words.
func (b *Backup) Summary() (string, []report.Row) {
	var rows []report.Row
	for _, m := range b.Made {
		rows = append(rows, report.Row{Name: "made", Value: m})
	}
	if len(rows) == 0 {
		return b.Chain.Place.LockName() + ": nothing was due", nil
	}
	return b.Chain.Place.LockName() + ": backed up", append(rows, report.Row{Name: "then", Value: "./station.sh dr:status"})
}

// saving is a step that only environments with a database need.
type saving struct {
	name string
	fn   func(context.Context, *pipeline.Run, *Backup) error
}

func (s saving) String() string { return s.name }

func (saving) Skip(b *Backup) string {
	if b.Chain.Environment.Database == nil {
		return "there is no database"
	}
	return ""
}

func (s saving) Run(ctx context.Context, run *pipeline.Run, b *Backup) error {
	return s.fn(ctx, run, b)
}

func findProduction(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	if err := c.Target.Guard(ctx); err != nil {
		return refusal("nothing is backed up", c, []Fault{faultOf("account", c.Place.Region, err)})
	}
	b.from, b.regions = region{}, nil
	for _, name := range c.Environment.Regions {
		r, err := openRegion(ctx, c, name)
		if err != nil {
			return err
		}
		b.regions = append(b.regions, r)
		is, err := r.Account.Stack(c.Environment.Stack()).Read(ctx)
		if errors.Is(err, stack.ErrAbsent) || b.from.Name != "" {
			continue
		}
		if err != nil {
			return err
		}
		b.from, b.living = r, is.Resources[template.DatabaseID].ID
	}
	if b.from.Name == "" {
		return &report.Failure{
			Code: report.Policy, ID: "E-DR-14", What: "there is no " + c.Environment.Stack() + " that could be backed up", Where: strings.Join(c.Environment.Regions, ", "), State: "nothing was made",
			Next: []string{"./station.sh release"},
		}
	}
	run.Note("production is in %s", b.from.Name)
	return nil
}

// others are the regions that get copies.
func (b *Backup) others() []region {
	return slices.DeleteFunc(slices.Clone(b.regions), func(r region) bool { return r.Name == b.from.Name })
}

// backups are the snapshots of a region that hold this stack's data and can be
// used, the newest first.
func (r region) backups(ctx context.Context, stack string) ([]database.Snapshot, error) {
	list, err := r.Databases.Find(ctx, database.Query{})
	return slices.DeleteFunc(list, func(s database.Snapshot) bool { return s.Status != "available" || !ofStack(s, stack) }), err
}

// early is how much sooner than its time a backup may be made: whoever calls us
// each hour is never just an hour apart.
const early = 5 * time.Minute

func saveData(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	if b.living == "" {
		run.Note("%s has no database yet", c.Environment.Stack())
		return nil
	}
	now := c.Clock.Now().UTC()
	list, err := b.from.backups(ctx, c.Environment.Stack())
	if err != nil {
		return err
	}
	due := c.Environment.Recovery.Backup
	if len(list) > 0 && now.Sub(list[0].Created) < due-min(early, due/10) {
		b.newest = &list[0]
		run.Note("%s is %s old: nothing is due", list[0].ID, report.Short(now.Sub(list[0].Created)))
		return nil
	}
	id := strings.ToLower(c.Environment.Stack()) + "-backup-" + now.Format("20060102t150405z")
	run.Await("the snapshot %s", id)
	defer run.Await("")
	if err := b.from.Databases.Save(ctx, b.living, id, map[string]string{TagBackup: c.Environment.Stack(), "Name": c.Environment.Stack() + " database"}); err != nil {
		return err
	}
	if list, err = b.from.Databases.Find(ctx, database.Query{ID: id}); err != nil || len(list) == 0 {
		return errors.Join(err, fmt.Errorf("the snapshot %s is not there", id))
	}
	b.newest, b.saved = &list[0], append(b.saved, "snapshot "+id)
	return nil
}

// copyData copies the newest snapshot, and the password that goes with it.
func copyData(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	if b.newest == nil {
		return nil
	}
	for _, r := range b.others() {
		there, err := r.backups(ctx, c.Environment.Stack())
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(there, func(s database.Snapshot) bool { return !s.Created.Before(b.newest.Created) }) {
			id := b.newest.ID[strings.LastIndex(b.newest.ID, ":")+1:]
			run.Await("the copy of %s in %s", id, r.Name)
			err = r.Databases.Copy(ctx, *b.newest, id, c.Environment.Keys[r.Name])
			run.Await("")
			if err != nil {
				return err
			}
			b.saved = append(b.saved, "snapshot "+id+" in "+r.Name)
		}
		password := template.Parameters(c.Environment)[template.DatabasePassword]
		changed, err := r.Databases.Secret(ctx, b.from.Databases, password)
		if err != nil {
			return err
		}
		if changed {
			b.saved = append(b.saved, "password "+password+" in "+r.Name)
		}
	}
	return nil
}

// forgetData removes snapshots that were made by plan: of the last day none, of
// the days before all but each one's newest, after recovery.keep days all. The one
// that a database came from stays, CloudFormation would miss it.
func forgetData(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	now := c.Clock.Now()
	for _, r := range b.regions {
		list, err := r.backups(ctx, c.Environment.Stack())
		if err != nil {
			return err
		}
		used := ""
		switch is, err := r.Account.Stack(c.Environment.Stack()).Read(ctx); {
		case err == nil:
			used = is.Parameters[template.SnapshotID]
		case !errors.Is(err, stack.ErrAbsent):
			return err
		}
		for _, s := range outdated(list, now, c.Environment.Recovery.Keep) {
			if s.Tags[TagBackup] != c.Environment.Stack() || used != "" && (used == s.ID || used == s.ARN) {
				continue
			}
			if err := r.Databases.Delete(ctx, s.ID); err != nil {
				return err
			}
			run.Note("%s in %s of %s is too old, and gone", s.ID, r.Name, s.Created.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// outdated are those of the snapshots, the newest first, that need not be kept.
func outdated(list []database.Snapshot, now time.Time, keep int) []database.Snapshot {
	var out []database.Snapshot
	day := ""
	for n, s := range list {
		age := now.Sub(s.Created)
		its := s.Created.UTC().Format(time.DateOnly)
		switch {
		case n == 0, age < 24*time.Hour:
		case age > time.Duration(keep)*24*time.Hour, its == day:
			out = append(out, s)
		default:
			day = its
		}
	}
	return out
}

// named are the images that the last releases of production brought, in the region
// where each release was.
func named(ctx context.Context, c *release.Chain, region string) ([]string, error) {
	list, err := c.Trail.History(ctx, trail.Place{Site: c.Place.Site, Environment: c.Place.Environment, Region: region}, c.Config.Bake.Keep)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range list {
		if !slices.Contains(out, r.Candidate.Image) {
			out = append(out, r.Candidate.Image)
		}
	}
	return out, nil
}

// lacking are the regions that have no good image of the same recipe.
func lacking(ctx context.Context, role, key string, regions []region) ([]region, error) {
	var out []region
	for _, r := range regions {
		i, err := image.Find(ctx, r.Compute, role, key, "")
		if err != nil {
			return nil, err
		}
		if i == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

func copyImages(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	role := c.Environment.Site.Role
	for _, from := range b.regions {
		list, err := named(ctx, c, from.Name)
		if err != nil {
			return err
		}
		for _, ami := range list {
			i, err := from.Compute.Image(ctx, ami)
			if err != nil {
				return err
			}
			if i == nil || i.Tags[image.TagState] != image.Good {
				continue // dr:status tells that it is gone
			}
			rest := slices.DeleteFunc(slices.Clone(b.regions), func(r region) bool { return r.Name == from.Name })
			if rest, err = lacking(ctx, role, i.Tags[image.TagKey], rest); err != nil {
				return err
			}
			if len(rest) == 0 {
				continue
			}
			o := c.ImageOptions()
			here := *c.Target
			here.Region = from.Name
			o.Target, o.Client, o.Places, o.Copies = &here, from.Compute, nil, nil
			for _, r := range rest {
				there := *c.Target
				there.Region = r.Name
				o.Copies = append(o.Copies, image.Destination{Target: &there, Client: r.Compute, Key: c.Environment.Keys[r.Name]})
			}
			copies, err := image.Spread(ctx, run, o, ami)
			if err != nil {
				return err
			}
			for n, r := range rest {
				b.images = append(b.images, fmt.Sprintf("image %s in %s, of %s", copies[n], r.Name, ami))
			}
		}
	}
	return nil
}

// bundlePrefix is where a vault has the trail, each month's anew: what is locked
// for recovery.keep days would be free to delete after them.
// The CI server puts its own backups beside it (class teamcity::server, bucket).
const bundlePrefix, ciPrefix = "git/", "backup/"

func bundleKey(now time.Time, tip string) string {
	return bundlePrefix + now.UTC().Format("2006-01") + "/" + tip + ".bundle"
}

// vaults are those that are written to: in every region where production is not,
// for what is beside it may be lost with it.
func vaults(regions []region, home string) []region {
	if len(regions) == 1 {
		return regions
	}
	return slices.DeleteFunc(slices.Clone(regions), func(r region) bool { return r.Name == home })
}

func keepTrail(ctx context.Context, run *pipeline.Run, b *Backup) error {
	c := b.Chain
	var content []byte
	for _, r := range vaults(b.regions, b.from.Name) {
		if err := r.Vault.Make(ctx, c.Environment.Recovery.Keep); err != nil {
			return err
		}
		there, err := r.Vault.List(ctx, bundlePrefix)
		if err != nil {
			return err
		}
		tip := c.Trail.Tip()
		if has(there, bundleKey(c.Clock.Now(), tip)) {
			run.Note("%s has the trail up to %.12s", r.Vault.Bucket, tip)
			continue
		}
		if content == nil {
			if content, tip, err = c.Trail.Bundle(ctx); err != nil {
				return err
			}
		}
		key := bundleKey(c.Clock.Now(), tip)
		if err := r.Vault.Put(ctx, key, content); err != nil {
			return err
		}
		b.bundled = append(b.bundled, fmt.Sprintf("s3://%s/%s", r.Vault.Bucket, key))
	}
	return nil
}

// publishAges has the alarms on the ages of image and data hear of them.
func publishAges(ctx context.Context, run *pipeline.Run, b *Backup) error {
	if b.from.Name != b.Chain.Target.Region {
		run.Note("production is in %s: CHAIN_REGION=%s ./station.sh monitor:publish", b.from.Name, b.from.Name)
		return nil
	}
	rows, err := b.Chain.Publish(ctx)
	for _, r := range rows {
		run.Fact(r.Name, r.Value)
	}
	return err
}

func has(list []vault.Object, key string) bool {
	return slices.ContainsFunc(list, func(o vault.Object) bool { return o.Key == key })
}
