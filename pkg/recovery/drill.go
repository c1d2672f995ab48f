package recovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Scenarios of a drill, each with what it supposes.
var Scenarios = map[string]string{
	"stack":            "the stack is gone, the region and its images are there",
	"region":           "the first region is gone with all that is in it; nothing is asked of it once the drill has begun",
	"amis-gone":        "no image of ours survived: one is made from the base image, and removed afterwards",
	"ci-gone":          "the stack and the CI server are gone: nothing of it is asked, and its newest backup is read to the end",
	"database-corrupt": "the data is wrong since -at, or since the last two backups: what was saved before is restored",
	"account-locked":   "nothing in the account can be reached: no image and no snapshot is used, what is brought up comes from Git and the base image alone",
}

// bakes says whether the scenario supposes that no image can be had.
func (d *Drill) bakes() bool { return d.Scenario == "amis-gone" || d.Scenario == "account-locked" }

// Drill is a recovery that is practised, beside production and under another name.
type Drill struct {
	Options
	Scenario string
	Report   Report

	practice rehearsal.State
	bake     image.State
	before   inventory
	probe    rehearsal.Probe
	found    *State // that looks for what would stop a recovery
	up       time.Time
}

// NewDrill makes the state of a drill. scenario is one of Scenarios; "" is
// "region" in a region other than production's first, else "stack".
func NewDrill(o Options, scenario string) (*Drill, error) {
	c := o.Chain
	first := c.Place.Region == c.Environment.Regions[0]
	if scenario == "" {
		scenario = "region"
		if first {
			scenario = "stack"
		}
	}
	usage := func(next, format string, args ...any) error {
		return &report.Failure{Code: report.Usage, ID: "E-DR-02", What: fmt.Sprintf(format, args...), State: "nothing was made or changed", Next: []string{next}}
	}
	if Scenarios[scenario] == "" {
		return nil, usage("./station.sh dr:drill -scenario=NAME  # one of "+strings.Join(slices.Sorted(maps.Keys(Scenarios)), ", "), "there is no scenario %q", scenario)
	}
	if scenario == "region" && first {
		return nil, usage("./station.sh dr:drill -region=R -scenario=region  # another of its regions in chain.yaml", "%s is the region that is lost in this scenario", c.Place.Region)
	}
	switch {
	case scenario == "ci-gone" && c.Environment.Recovery.CI == 0:
		return nil, usage("set recovery.ci in chain.yaml to how old the CI server's backup may be", "chain.yaml names no backup of the CI server")
	case scenario == "database-corrupt" && c.Environment.Database == nil:
		return nil, usage("./station.sh dr:drill  # without a scenario", "%s keeps no data that could be corrupt", c.Environment.Stack())
	case scenario == "account-locked" && c.Environment.Database != nil:
		return nil, usage("copy the snapshots to another account (aws rds modify-db-snapshot-attribute, then copy-db-snapshot there), and recover from there by hand",
			"all backups of %s's data are in account %s: if nothing there can be reached the data is lost, and there is nothing to practise", c.Environment.Stack(), c.Target.Account)
	case !o.At.IsZero() && scenario != "database-corrupt":
		return nil, usage("./station.sh dr:drill -scenario=database-corrupt -at=TIME", "-at is for the scenario database-corrupt alone")
	}
	if scenario == "database-corrupt" && o.At.IsZero() {
		o.At = c.Clock.Now().Add(-2 * c.Environment.Recovery.Backup)
	}
	c.Copies = nil
	site := c.Environment.Site
	d := &Drill{Options: o, Scenario: scenario, Report: begin(c, "drill"), found: &State{Options: o, Release: c.Start()}}
	d.found.Release.Recover = true
	d.found.Report = begin(c, "drill") // only its findings count
	d.Report.Scenario, d.Report.Manual = scenario, []string{}
	d.Report.Untested = []string{
		"leading " + c.Environment.Domain + " here: a drill touches no record of production",
		"the CI server's own machine: its backup is read to the end, and restored nowhere",
	}
	if c.Environment.Recovery.Akamai != nil {
		d.Report.Untested = append(d.Report.Untested, "Akamai: a drill changes nothing there")
	}
	d.practice = rehearsal.State{
		Account: c.Account, Checks: c.Checks, Prefix: site.Name + "-recovery-", Tags: release.Tags(site.Name, "recovery"), Gate: c.Gate, Run: c.Run,
		Beside: c.BringBeside, Apart: c.Beside.Remove,
		Own: func(values map[string]string, stack string) map[string]string {
			return template.ForTest(values, site, stack)
		},
	}
	return d, nil
}

// DrillSteps is a drill.
func DrillSteps() []pipeline.Step[Drill] {
	steps := []pipeline.Step[Drill]{
		pipeline.Func("look for all that would stop it", drillCheck),
		pipeline.Func("take the lock of drills", drillLock),
		pipeline.Func("note what there is, and watch production", before),
		pipeline.Func("suppose that it is lost", lost),
	}
	for i := range image.Steps(image.Options{}) {
		steps = append(steps, drillBake{i})
	}
	steps = append(steps, pipeline.Func("decide with the image", candidate))
	for _, s := range rehearsal.Build() {
		steps = append(steps, practised{s})
	}
	return append(steps,
		pipeline.Together("send it traffic while what else was backed up is restored",
			[]pipeline.Step[Drill]{pipeline.Func("send it traffic", traffic)},
			[]pipeline.Step[Drill]{pipeline.Func("restore what is in the vault", restoring)},
		),
		practised{rehearsal.Remove()},
		pipeline.Func("prove that all is as it was", after),
	)
}

// Do practises. The report is written in any case; a drill that took too long or
// left something is a failure.
func (d *Drill) Do(ctx context.Context, env pipeline.Env) error {
	d.practice.Interrupted = nil // who stops a drill wants it gone
	err := pipeline.Do(ctx, d.Report.listen(env), d, DrillSteps()...)
	for _, f := range d.found.Report.Findings {
		d.Report.find(f)
	}
	d.Report.Inputs = append(d.Report.Inputs, d.found.Report.Inputs[2:]...)
	if err == nil {
		err = d.judge()
	}
	return errors.Join(err, d.Report.end(context.WithoutCancel(ctx), d.Chain, err))
}

// judge is the verdict on a drill that came to its end.
func (d *Drill) judge() error {
	r := &d.Report
	switch {
	case len(r.Leftovers) > 0:
		return &report.Failure{
			Code: report.NeedsHuman, ID: "E-DR-07", What: "the drill left something: " + strings.Join(r.Leftovers, "; "), State: "production is untouched",
			Next: []string{"./station.sh sweep -delete"},
		}
	case !r.Good():
		return &report.Failure{
			Code: report.Policy, ID: "E-DR-06", What: "the objective was missed: " + r.verdict(), State: "production is untouched, the drill's stack is deleted",
			Next: []string{"see the report's time line", "set recovery.rto and recovery.rpo in chain.yaml to what can be kept"},
		}
	}
	return nil
}

// Summary is how it ended, in words.
func (d *Drill) Summary(took time.Duration) (string, []report.Row) {
	rows := []report.Row{
		{Name: "supposed", Value: Scenarios[d.Scenario]},
		{Name: "took", Value: d.Report.durations(took)},
		{Name: "objective", Value: d.Report.verdict()},
	}
	for _, a := range d.Report.Served {
		rows = append(rows, report.Row{Name: a.Phase, Value: a.String()})
	}
	rows = append(rows,
		report.Row{Name: "restored", Value: d.Report.restoredLine()},
		report.Row{Name: "left over", Value: "nothing"},
		report.Row{Name: "cost", Value: d.Report.Cost},
		report.Row{Name: "not tested", Value: strings.Join(d.Report.Untested, "; ")},
		report.Row{Name: "findings", Value: strings.Join(d.Report.Findings, "; ")},
		report.Row{Name: "report", Value: d.Report.Files},
	)
	return fmt.Sprintf("%s: recovery was practised in %s", d.Chain.Place.LockName(), d.Chain.Place.Region), rows
}

// practised is a step of a rehearsal's as one of ours.
type practised struct {
	pipeline.Step[rehearsal.State]
}

func (p practised) Skip(d *Drill) string {
	if k, ok := p.Step.(pipeline.Skipper[rehearsal.State]); ok {
		return k.Skip(&d.practice)
	}
	return ""
}

func (p practised) Run(ctx context.Context, run *pipeline.Run, d *Drill) error {
	return p.Step.Run(ctx, run, &d.practice)
}

// drillBake is a step of a bake's as one of ours.
type drillBake struct{ index int }

// options of the bake: no template is to name what a drill makes.
func (d *Drill) options() image.Options {
	c := *d.Chain
	if d.found.local || d.bakes() {
		c.Home = c.Place.Region
	}
	o := c.ImageOptions()
	o.Places, o.Force = nil, d.bakes()
	return o
}

func (b drillBake) String() string { return image.Steps(image.Options{})[b.index].String() }

func (b drillBake) Skip(d *Drill) string {
	if k, ok := image.Steps(d.options())[b.index].(pipeline.Skipper[image.State]); ok {
		return k.Skip(&d.bake)
	}
	return ""
}

func (b drillBake) Run(ctx context.Context, run *pipeline.Run, d *Drill) error {
	return image.Steps(d.options())[b.index].Run(ctx, run, &d.bake)
}

// drillCheck looks for what would stop a real recovery, all but production itself.
func drillCheck(ctx context.Context, run *pipeline.Run, d *Drill) error {
	list := []glance{
		{"account, working tree and template", ready},
		{"quotas", roomForDrill},
		{"the image", images},
		{"the hosted zone", zoned},
		{"instance type and certificate", fitting},
		{"state data", data},
		{"inputs from outside", declaredOnly},
	}
	return lookAll(ctx, run, d.found, "the drill cannot begin", list)
}

func roomForDrill(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	return enough(ctx, run, s)
}

// zoned sees that the hosted zone is ours.
func zoned(ctx context.Context, _ *pipeline.Run, s *State) ([]Fault, error) {
	_, bad, err := ours(ctx, s.Chain)
	return bad, err
}

func drillLock(ctx context.Context, run *pipeline.Run, d *Drill) error {
	l, err := d.Chain.Trail.Lock(ctx, d.Chain.Place.Site+"/recovery", trail.Holder{Run: d.Chain.Run, What: "drill", Step: "take the lock"})
	var held *trail.HeldError
	if errors.As(err, &held) {
		return &report.Failure{Code: report.Locked, ID: "E-DR-10", What: held.Error(), State: "nothing was changed", Next: held.Next()}
	}
	if err != nil {
		return err
	}
	run.Defer("the lock", l.Release)
	return nil
}

// inventory is what there is that a drill might leave something beside.
type inventory struct {
	stacks, images, snapshots []string // databases' among the latter
	addresses, networks       int
	leads                     []string // addresses of production's domain
}

func (d *Drill) inventory(ctx context.Context) (inventory, error) {
	c := d.Chain
	var out inventory
	stacks, err := c.Account.List(ctx, d.practice.Prefix)
	if err != nil {
		return out, err
	}
	for _, s := range stacks {
		out.stacks = append(out.stacks, "stack "+s.Name)
	}
	all, err := c.Compute.Images(ctx, compute.ImageQuery{Owner: "self"})
	if err != nil {
		return out, err
	}
	for _, i := range all {
		if i.Tags[image.TagCopy] == "" { // dr:backup may make copies meanwhile, a drill makes none
			out.images = append(out.images, "image "+i.ID)
		}
	}
	snapshots, err := c.Compute.Snapshots(ctx, compute.Tags{image.TagRun: c.Run})
	if err != nil {
		return out, err
	}
	for _, s := range snapshots {
		out.snapshots = append(out.snapshots, "snapshot "+s.ID)
	}
	if c.Environment.Database != nil {
		all, err := c.Databases.Find(ctx, database.Query{Kind: "manual"}) // RDS makes others all the time
		if err != nil {
			return out, err
		}
		for _, s := range all {
			if s.Tags[TagBackup] == "" { // likewise
				out.snapshots = append(out.snapshots, "database snapshot "+s.ID)
			}
		}
	}
	addresses, err := c.Compute.Addresses(ctx)
	if err != nil {
		return out, err
	}
	networks, err := c.Compute.Networks(ctx)
	if err != nil {
		return out, err
	}
	out.addresses, out.networks = addresses.Used, networks.Used
	z, _, err := ours(ctx, c)
	if err != nil {
		return out, err
	}
	list, err := z.records(ctx, c, c.Environment.Domain)
	a, _ := plain(c.Environment.Domain, list)
	out.leads = values(a)
	return out, err
}

// before notes what there is, and begins to ask production for its page.
func before(ctx context.Context, run *pipeline.Run, d *Drill) error {
	var err error
	if d.before, err = d.inventory(ctx); err != nil {
		return err
	}
	c := d.Chain
	for _, region := range c.Environment.Regions {
		there, err := c.In(ctx, region)
		if err != nil {
			return err
		}
		is, err := there.Account.Stack(c.Environment.Stack()).Read(ctx)
		if errors.Is(err, stack.ErrAbsent) {
			continue
		}
		if err != nil {
			run.Note("%s cannot be asked: %v", region, err)
			continue
		}
		i, err := there.Compute.Image(ctx, is.Image())
		if err != nil || i == nil || Works(ctx, c, there.Compute, is) != nil {
			continue
		}
		d.probe = c.Checks.Probe(context.WithoutCancel(ctx), is, i.Tags[image.TagKey])
		d.probe.Phase("production beside it")
		run.Defer("the prober", func(context.Context) error { d.probe.Stop(); return nil })
		run.Note("production works in %s, and is asked for its page all the while", region)
		return nil
	}
	d.Report.find("production does not run: the drill was not beside it")
	return nil
}

func lost(_ context.Context, run *pipeline.Run, d *Drill) error {
	now := d.Chain.Clock.Now()
	d.Report.Data, d.Report.DataObjective, d.Report.asOf = d.found.Report.Data, d.found.Report.DataObjective, d.found.restored
	d.Report.corrupt = d.At
	d.Report.mark(T0, Scenarios[d.Scenario], now)
	d.Report.mark(T2, "the recovery was begun", now)
	run.Note("from now on %s", Scenarios[d.Scenario])
	return nil
}

// candidate is what the drill brings up: what a recovery would, by another name.
func candidate(ctx context.Context, run *pipeline.Run, d *Drill) error {
	c := d.Chain
	ami := d.bake.Result.Image
	if d.bakes() {
		run.Defer("the image "+ami, func(ctx context.Context) error { return d.dropImage(ctx) })
	}
	body, err := c.Trail.WithImage(ctx, c.Place.Template(), ami)
	if err != nil {
		return err
	}
	d.Report.Image = ami
	parameters := template.Parameters(c.Environment)
	if id := d.found.Release.Snapshot; id != "" {
		parameters[template.SnapshotID] = id
	}
	d.practice.Candidate = &rehearsal.Deployment{
		Body: string(body), Parameters: parameters, Image: ami, Key: d.bake.Result.Recipe.Key,
	}
	return nil
}

// dropImage removes the image that the drill made. It is not there any more the second time.
func (d *Drill) dropImage(ctx context.Context) error {
	i, err := d.Chain.Compute.Image(ctx, d.bake.Result.Image)
	if err != nil || i == nil {
		return err
	}
	return d.Chain.Compute.RemoveImage(ctx, *i)
}

// watched is how long the drill's stack is sent traffic, in AWS time.
const watched = time.Minute

// traffic asks for the page as users do, for a while.
func traffic(ctx context.Context, run *pipeline.Run, d *Drill) error {
	now := d.Chain.Clock.Now()
	d.up = now
	d.Report.mark(T3, "the stack is complete and its targets are healthy", now)
	is, err := d.practice.Stack.Read(ctx)
	if err != nil {
		return err
	}
	d.Report.Checks = append(d.Report.Checks, d.practice.Record.Checks["create"]...)
	if !d.found.restored.IsZero() {
		d.Report.mark(T4, "the database is restored, as of "+d.found.restored.UTC().Format(time.RFC3339), now)
	}
	if err := d.Report.heartbeat(ctx, run, d.Chain, addresses(is)); err != nil {
		return err
	}
	d.Report.mark(T6, "the page was verified at its own name and at each address", d.Chain.Clock.Now())
	d.Report.measure(run)
	p := d.Chain.Checks.Probe(context.WithoutCancel(ctx), is, d.practice.Candidate.Key)
	p.Phase("the drill's stack")
	err = run.Clock().Sleep(ctx, d.Chain.Target.Scale(watched))
	served := p.Stop()
	if err != nil {
		return err
	}
	return d.served(run, served, "the drill's stack")
}

// served keeps the figures of a phase, and refuses requests that failed.
func (d *Drill) served(run *pipeline.Run, list []rehearsal.Availability, phase string) error {
	for _, a := range list {
		if a.Phase != phase {
			continue
		}
		d.Report.Served = append(d.Report.Served, a)
		run.Fact(a.Phase, a)
		if a.Requests == 0 {
			return fmt.Errorf("%s was asked nothing", phase)
		}
		if a.Failed > 0 {
			return fmt.Errorf("%s: %s", phase, a)
		}
		return nil
	}
	return fmt.Errorf("%s was not watched", phase)
}

// after proves that the drill left nothing and that production felt nothing.
func after(ctx context.Context, run *pipeline.Run, d *Drill) error {
	if d.bakes() {
		if err := d.dropImage(ctx); err != nil {
			return err
		}
	}
	if d.Chain.Environment.Database != nil {
		// What a database leaves as it goes is a copy of what is elsewhere.
		if err := d.Chain.Databases.Forget(ctx, d.practice.Stack.Name); err != nil {
			return err
		}
	}
	d.Report.Cost = cost(d.Chain.Environment, d.Chain.Clock.Now().Sub(d.up), d.bakes())
	now, err := d.inventory(ctx)
	if err != nil {
		return err
	}
	left := d.Report.Leftovers
	for _, pair := range [][2][]string{{d.before.stacks, now.stacks}, {d.before.images, now.images}, {d.before.snapshots, now.snapshots}} {
		for _, one := range pair[1] {
			if !slices.Contains(pair[0], one) {
				left = append(left, one)
			}
		}
	}
	if n := now.addresses - d.before.addresses; n > 0 {
		left = append(left, fmt.Sprintf("%d Elastic IP addresses", n))
	}
	if n := now.networks - d.before.networks; n > 0 {
		left = append(left, fmt.Sprintf("%d VPCs", n))
	}
	d.Report.Leftovers = left
	if !slices.Equal(now.leads, d.before.leads) {
		return fmt.Errorf("while the drill ran %s was led from %s to %s", d.Chain.Environment.Domain, strings.Join(d.before.leads, ", "), strings.Join(now.leads, ", "))
	}
	if d.probe == nil {
		return nil
	}
	return d.served(run, d.probe.Stop(), "production beside it")
}
