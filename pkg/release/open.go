package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/build-deploy-chain/chain/pkg/beside"
	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/compute/machines"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// bootDeadline is how long a new machine may take until its target is healthy,
// in AWS time. It is well below template.PauseTime, so that the verdict and its
// reason are ours, not a timeout's.
const bootDeadline = 5 * time.Minute

// Open makes the chain of an environment. site, environment and region may be
// "" where there is only one, or for production; of several regions the first or
// CHAIN_REGION is taken. It reads Git, and calls no AWS.
func Open(ctx context.Context, c *config.Config, site, environment, region string) (*Chain, error) {
	s, err := c.Site(site)
	if err != nil {
		return nil, usage(err)
	}
	e, err := s.Environment(environment)
	if err != nil {
		return nil, usage(err)
	}
	t, err := c.For(e, cmp.Or(region, c.Value("CHAIN_REGION")))
	if err != nil {
		return nil, usage(err)
	}
	return OpenTarget(ctx, c, e, t)
}

// OpenTarget is Open for a target that the caller made.
func OpenTarget(ctx context.Context, c *config.Config, e *config.Environment, t *config.Target) (*Chain, error) {
	clone, err := trail.OpenClone(ctx, nil, t.Source)
	if err != nil {
		return nil, gitFailure(err)
	}
	tr, err := trail.Open(ctx, trail.Options{
		Clone: clone, Remote: t.Remote, Branch: t.Branch, Private: private(t), Cache: cache(t),
		Images: template.Images, SetImage: template.SetImageOf,
	})
	if err != nil {
		return nil, gitFailure(err)
	}
	cfg, err := t.AWS(ctx)
	if err != nil {
		return nil, err
	}
	client := compute.New(cfg)
	out := &Chain{
		Config: c, Environment: e, Target: t, Place: trail.Place{Site: e.Site.Name, Environment: e.Name, Region: t.Region}, Clone: clone, Trail: tr,
		Compute: client, Databases: database.New(cfg, t.Poll, clock.System{}), Clock: clock.System{}, Gate: stack.Gate{Boot: bootDeadline}, Run: runID(),
		Account: stack.Open(stack.Options{AWS: cfg, Machines: machines.Of(client), Poll: t.Poll, Factor: t.Factor}),
	}
	for _, region := range e.Regions {
		if region == t.Region || t.Region != e.Regions[0] {
			continue // it is baked in the first, and copied from there
		}
		there := *t
		there.Region = region
		cfg, err := there.AWS(ctx)
		if err != nil {
			return nil, err
		}
		out.Copies = append(out.Copies, image.Destination{
			Target: &there, Client: compute.New(cfg), Key: e.Keys[region], Places: []trail.Place{{Site: e.Site.Name, Environment: e.Name, Region: region}},
		})
	}
	out.Beside = &beside.Keeper{AWS: cfg, Poll: t.Poll, Clock: out.Clock, Factor: t.Factor}
	out.DNS = route53.NewFromConfig(cfg)
	out.Checks = outside{zone: e.Site.Zone, dial: t.Dial, dns: out.DNS, clock: out.Clock, rate: t.ProbeRate}
	return out, nil
}

// BringBeside makes what goes with a stack in other regions what its template says.
func (c *Chain) BringBeside(ctx context.Context, run *pipeline.Run, s *stack.State, op string) error {
	run.Await("what goes with %s in other regions", s.Name)
	defer run.Await("")
	return c.Beside.Bring(ctx, s, op, run.Note)
}

// Regions are the other regions that any environment of this account is in, and the
// one where all are watched from.
func (c *Chain) Regions(ctx context.Context) ([]sweep.Region, error) {
	names := []string{template.OutsideRegion}
	for _, s := range c.Config.Sites {
		for _, e := range s.Environments {
			if e.Account == c.Environment.Account {
				names = append(names, e.Regions...)
			}
		}
	}
	slices.Sort(names)
	var out []sweep.Region
	for _, name := range slices.Compact(names) {
		if name == c.Target.Region {
			continue
		}
		there, err := c.In(ctx, name)
		if err != nil {
			return nil, err
		}
		out = append(out, there)
	}
	return out, nil
}

// In is another region of this account.
func (c *Chain) In(ctx context.Context, region string) (sweep.Region, error) {
	there := *c.Target
	there.Region = region
	cfg, err := there.AWS(ctx)
	if err != nil {
		return sweep.Region{}, err
	}
	client := compute.New(cfg)
	out := sweep.Region{
		Name: region, Compute: client,
		Account: stack.Open(stack.Options{AWS: cfg, Machines: machines.Of(client), Poll: c.Target.Poll, Factor: c.Target.Factor}),
	}
	if c.ConfiguredDatabases() != nil {
		out.Databases = database.New(cfg, c.Target.Poll, c.Clock)
	}
	return out, nil
}

// private says whether the trail is the target's own, not a branch of the user's remote.
func private(t *config.Target) bool { return t.GitDir != t.Source }

// cache is where the trail keeps what is not at its remote yet.
func cache(t *config.Target) string {
	if private(t) {
		return t.GitDir
	}
	return filepath.Join(t.State, "trail")
}

func usage(err error) error {
	return &report.Failure{Code: report.Usage, ID: "E-CFG-02", What: err.Error(), Next: []string{"see " + config.File}}
}

// gitFailure is what Git said, as a person needs it.
func gitFailure(err error) error {
	var g *trail.Error
	if !errors.As(err, &g) {
		return err
	}
	f := &report.Failure{Code: report.Usage, ID: "E-GIT-02", What: "Git", Next: g.Next, Err: err}
	switch g.Kind {
	case trail.Denied, trail.HookRefused, trail.Rejected:
		f.Code, f.ID = report.Guard, "E-GIT-03"
	case trail.LockLost:
		f.Code, f.ID = report.Locked, "E-GIT-10"
	case trail.Network, trail.Moved:
		f.Code, f.ID = report.Timeout, "E-GIT-09"
	}
	return f
}

// explain makes the failure that a person reads of an error of a step.
func explain(ctx context.Context, name string, s *State, err error) error {
	var f *report.Failure
	var git *trail.Error
	var base *image.NoBaseError
	switch {
	case err == nil || errors.As(err, &f) || ctx.Err() != nil:
		return err
	case errors.As(err, &git):
		return gitFailure(err)
	case errors.As(err, &base):
		return &report.Failure{Code: report.Usage, ID: "E-BAKE-05", What: err.Error(), Next: base.Next()}
	}
	f = &report.Failure{Code: report.Internal, ID: "E-REL-01", What: name, Where: "stack " + s.Environment.Stack(), Err: err, Next: []string{"./station.sh status", "the same command again  # it goes on where this one stopped"}}
	switch {
	case errors.Is(err, stack.ErrPatience):
		f.Code, f.ID = report.Timeout, "E-REL-09"
	case errors.Is(err, stack.ErrStuck):
		return s.stuck(err)
	case errors.Is(err, stack.ErrNotProposed), errors.Is(err, stack.ErrMoved):
		f.Code, f.ID, f.State = report.Policy, "E-REL-05", "production is untouched"
	case stack.Denied(err):
		f.Code, f.ID = report.Guard, "E-REL-03"
		f.What = name + ": AWS does not let us"
		f.Next = []string{"aws sts get-caller-identity  # who AWS thinks you are; aws sso login --profile NAME", "the same command again  # it goes on where this one stopped"}
	}
	if errors.Is(err, stack.ErrRefused) {
		f.State = "production is untouched"
	}
	return f
}

// Start makes the state of a release. The caller sets what makes it a test
// (TestOnly), a rollback (Back) or rehearses again (Again).
func (c *Chain) Start() *State {
	site := c.Environment.Site
	s := &State{Chain: c}
	s.Rehearsal = rehearsal.State{
		Account: c.Account, Checks: c.Checks, Prefix: site.Name + "-test-", Tags: Tags(site.Name, "test"), Gate: c.Gate,
		Drill: c.fireDrill, NoDrill: s.noDrill, Beside: c.BringBeside, Apart: c.Beside.Remove,
		Minutes: int(c.Environment.Monitoring / time.Minute), Run: c.Run, Triggers: triggers, Interrupted: c.Interrupted,
		Own: s.forTest, Differing: template.OfTest, Without: template.Without, Data: rehearsal.Data{Client: c.Databases}, Cancel: c.Environment.Rollback.Cancel, Within: c.Environment.Rollback.Within,
	}
	return s
}

// Do runs a state's steps, once.
func (s *State) Do(ctx context.Context, env pipeline.Env) error {
	s.Rehearsal.Allow = s.Allow
	if s.Interrupted == nil {
		s.Interrupted = func() bool { return ctx.Err() != nil }
		s.Rehearsal.Interrupted = s.Interrupted
	}
	tell := env.Tell
	env.Tell = func(e pipeline.Event) {
		s.path.Hear(e)
		if tell != nil {
			tell(e)
		}
	}
	return pipeline.Do(ctx, env, s, Steps()...)
}

// outside looks at a stack from outside.
type outside struct {
	zone  string
	dial  verify.Dial
	dns   *route53.Client
	clock clock.Clock
	rate  int
}

func (o outside) Check(ctx context.Context, s *stack.State, keys ...string) ([]rehearsal.Check, error) {
	found, err := verify.Checker{Dial: o.dial, DNS: o.dns, Clock: o.clock}.Check(ctx, verify.Expect{
		Domain: domain(s), Zone: o.zone, Addresses: addresses(s), Keys: keys,
	})
	if len(found) == 0 || ctx.Err() != nil {
		return nil, err
	}
	names := []string{" " + domain(s) + " ", " the domain "}
	for i, a := range addresses(s) {
		names = append(names, " "+a+" ", fmt.Sprintf(" address %d ", i+1))
	}
	stable := strings.NewReplacer(names...)
	var out []rehearsal.Check
	for _, f := range found {
		title := strings.TrimSuffix(stable.Replace(f.Name+" "), " ")
		out = append(out, rehearsal.Check{Name: f.Name, OK: f.Bad == "", Text: f.Bad, Took: f.Took, Title: title})
	}
	return out, nil
}

func domain(s *stack.State) string { return s.Parameters["Domain"] }

func addresses(s *stack.State) []string {
	var out []string
	for _, a := range strings.Split(s.Outputs["Addresses"], ",") {
		if a = strings.TrimSpace(a); a != "" {
			out = append(out, a)
		}
	}
	return out
}

func (o outside) Probe(ctx context.Context, s *stack.State, keys ...string) rehearsal.Probe {
	p := verify.Prober{Dial: o.dial, Clock: o.clock, Domain: domain(s), Addresses: addresses(s), Rate: o.rate}
	return &probe{keys: keys, p: p.Start(ctx, "before", keys...)}
}

type probe struct {
	p    *verify.Probe
	keys []string
}

func (p *probe) Phase(name string) { p.p.Phase(name, p.keys...) }

// tolerated is how many requests may fail before an update of production is
// taken back: the way from here to there loses one now and then.
const tolerated = 10

// A page that takes longer than that for most of its newest answers, though none
// of them fails, is one that users leave.
const (
	slow   = 5 * time.Second
	newest = 60
)

func (p *probe) Bad() error {
	if n, first := p.p.Failed(); n > tolerated {
		return fmt.Errorf("%d requests failed: %s", n, first)
	}
	if took := p.p.Recent(newest); took > slow {
		return fmt.Errorf("the newest answers take %s", took.Round(time.Millisecond))
	}
	return nil
}

func (p *probe) Stop() []rehearsal.Availability {
	r := p.p.Stop()
	var out []rehearsal.Availability
	for _, f := range r.Phases {
		a := rehearsal.Availability{Phase: f.Name, Requests: f.Requests, Failed: f.Failed, Gap: f.Gap, P50: f.P50, P95: f.P95, P99: f.P99}
		for _, x := range r.Failures {
			if x.Phase == f.Name {
				a.Reason = x.Text
				break
			}
		}
		out = append(out, a)
	}
	return out
}
