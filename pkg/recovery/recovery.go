// Package recovery brings production up again where it was lost, from a clone of
// the repository and what survived in AWS, and practises it.
//
// A recovery is a release with fewer steps (pkg/release's Recovery): there is
// nothing to rehearse on and nothing to roll back to. Read Steps from top to
// bottom: look for everything that would stop it, all at once and before
// anything is made; tell what remains for people; bring production up; lead the
// domain to it; look at it as its users do. Like a release it goes on where one
// that was stopped has left off: AWS and the trail are the only memory.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/edge"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// Options of a recovery.
type Options struct {
	// Chain is production's in the region where it is to be. Open makes it.
	Chain *release.Chain
	// At is the time whose data is wanted, none newer; zero is the newest there is.
	At time.Time
	// Bake makes an image anew rather than to wait for a copy that is under way.
	Bake bool
	// Yes approves beforehand the plan that Expect names.
	Yes    bool
	Expect string
	// Station names the tools that this machine lacks for a bake. nil: none is asked about.
	Station func(ctx context.Context) ([]string, error)
	// Akamai opens its API, where chain.yaml names a property.
	Akamai func() (*edge.Client, error)
}

// State is a recovery under way.
type State struct {
	Options
	Release *release.State
	Report  Report

	bakes  bool         // no image survived
	akamai *edge.Client // nil: nothing is to be changed there
	record bool         // but a name in its DNS alone
	local  bool         // the image is one that was or will be baked in this region, no copy
	key    string       // what /version answers

	restored time.Time // when the data was as it is restored; zero: there is none
}

// New makes the state of a recovery.
func New(o Options) *State {
	// The image goes to other regions when there is time for it.
	o.Chain.Copies = nil
	s := &State{Options: o, Release: o.Chain.Start()}
	s.Release.Recover, s.Release.Yes, s.Release.Expect = true, o.Yes, o.Expect
	s.Report = begin(o.Chain, "recovery")
	return s
}

// Steps is a recovery.
func Steps() []pipeline.Step[State] {
	out := []pipeline.Step[State]{
		pipeline.Func("look for all that would stop it", check),
		pipeline.Func("tell what remains for people", tell),
	}
	for _, s := range release.Recovery() {
		out = append(out, lifted{s})
	}
	return append(out,
		pipeline.Func("note that production is up", up),
		pipeline.Together("lead the domain here while the alarms are looked at",
			[]pipeline.Step[State]{leading{}, fetching{}},
			[]pipeline.Step[State]{pipeline.Func("look at the alarms", alarms)},
		),
		pipeline.Func("look at the page as its users do", look),
		ciServer{},
	)
}

// Do recovers, and writes the report below Target.State, also of what failed.
func (s *State) Do(ctx context.Context, env pipeline.Env) error {
	stopped := func() bool { return ctx.Err() != nil }
	s.Release.Interrupted, s.Release.Rehearsal.Interrupted = stopped, stopped
	s.Report.declared(s.Chain.Clock.Now())
	err := pipeline.Do(ctx, s.Report.listen(env), s, Steps()...)
	return errors.Join(err, s.Report.end(context.WithoutCancel(ctx), s.Chain, err))
}

// lifted is a step of a release's as one of ours.
type lifted struct{ pipeline.Step[release.State] }

func (l lifted) Skip(st *State) string {
	if k, ok := l.Step.(pipeline.Skipper[release.State]); ok {
		return k.Skip(st.Release)
	}
	return ""
}

func (l lifted) Run(ctx context.Context, run *pipeline.Run, st *State) error {
	return l.Step.Run(ctx, run, st.Release)
}

// tell prints what a person has yet to do, before anything is made.
func tell(_ context.Context, run *pipeline.Run, s *State) error {
	c := s.Chain
	acts := []string{}
	if c.Target.Ask && !s.Yes {
		acts = append(acts, "type the stack's name, "+c.Environment.Stack()+", when the plan is shown")
	}
	if s.bakes && c.Target.Ask {
		acts = append(acts, "nothing for the bake; it takes the longest, about ten minutes")
	}
	if c.Environment.Recovery.CI > 0 {
		acts = append(acts, "when production is up: fill the CI server's new machine with its backup, which the last step brings here")
	} else {
		acts = append(acts, "bring the CI server back from its own backup, of which chain.yaml says nothing (recovery.ci)")
	}
	if c.Place.Region != c.Environment.Regions[0] {
		acts = append(acts,
			"from now on release with CHAIN_REGION="+c.Place.Region+", until the domain is led back",
			fmt.Sprintf("when %s is back: ./station.sh dr:switch -region=%s  # leads %s back", c.Environment.Regions[0], c.Environment.Regions[0], c.Environment.Domain))
	}
	s.Report.Manual = acts
	for _, a := range acts {
		run.Note("for a person: %s", a)
	}
	return nil
}

// up notes when production stood.
func up(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Release.Live == nil {
		return errors.New("production is not there")
	}
	if s.Release.Live.Group == nil || len(s.Release.Live.Group.Serving()) == 0 {
		return errors.New("no machine serves")
	}
	i, err := s.Chain.Compute.Image(ctx, s.Release.Live.Image())
	if err != nil {
		return err
	}
	if i == nil || i.Tags[image.TagKey] == "" {
		return fmt.Errorf("the image %s is not there, or has no key", s.Release.Live.Image())
	}
	s.key = i.Tags[image.TagKey]
	s.Report.mark(T3, "the stack is complete and its targets are healthy", s.Chain.Clock.Now())
	if !s.restored.IsZero() {
		s.Report.mark(T4, "the database is restored, as of "+s.restored.UTC().Format(time.RFC3339), s.Chain.Clock.Now())
	}
	s.Report.Image = s.Release.Live.Image()
	run.Note("production is up on %d machines", len(s.Release.Live.Group.Serving()))
	return nil
}

// alarms sees that somebody is told when this goes wrong, too.
func alarms(ctx context.Context, run *pipeline.Run, s *State) error {
	all := s.Release.Live.AllAlarms()
	if len(all) == 0 {
		s.Report.find("no alarm watches over it")
		return nil
	}
	// One fires while we are at it, so that nobody is woken.
	marker := s.Release.Live.Alarms([]string{template.DeployID})
	all = slices.DeleteFunc(all, func(a string) bool { return slices.Contains(marker, a) })
	firing, err := s.Chain.Account.Firing(ctx, all)
	if err != nil {
		return err
	}
	for _, f := range firing {
		s.Report.find("an alarm fires: " + f)
	}
	run.Note("%d alarms watch over it, %d fire", len(all), len(firing))
	return nil
}

// settle is how long names may lead to the old addresses after the record was
// changed, in AWS time: its TTL, and what resolvers add.
const settle = 10 * time.Minute

// look proves that users are served, by the domain that they know.
func look(ctx context.Context, run *pipeline.Run, s *State) error {
	c := s.Chain
	checker := verify.Checker{Dial: c.Target.Dial, DNS: c.DNS, Clock: c.Clock}
	until := c.Clock.Now().Add(c.Target.Scale(settle))
	run.Await("%s", c.Environment.Domain)
	defer run.Await("")
	var found verify.Findings
	err := c.Target.Poll.Until(ctx, c.Clock, func(ctx context.Context) (bool, error) {
		var err error
		found, err = checker.Check(ctx, verify.Expect{
			Domain: c.Environment.Domain, Zone: c.Environment.Site.Zone, Addresses: addresses(s.Release.Live), Keys: []string{s.key},
		})
		return err == nil || c.Clock.Now().After(until), err2(ctx, err, c.Clock.Now().After(until))
	})
	s.Report.check(found)
	if err != nil {
		return &report.Failure{
			Code: report.NeedsHuman, ID: "E-DR-11", What: "production is up, and users do not get its page", Where: "stack " + c.Environment.Stack() + ", " + c.Place.Region,
			State: "the stack is complete", Next: []string{"./station.sh status", "the same command again  # it goes on where this one stopped"}, Err: err,
		}
	}
	if err := s.Report.heartbeat(ctx, run, c, addresses(s.Release.Live)); err != nil {
		return err
	}
	s.Report.mark(T6, "the page was verified at its domain and at each address", c.Clock.Now())
	s.Report.measure(run)
	run.Note("%s", found.Line())
	return nil
}

// err2 is a finding that counts: the last one only, or that the run was stopped.
func err2(ctx context.Context, err error, last bool) error {
	if last || ctx.Err() != nil {
		return err
	}
	return nil
}

// Summary is how it ended, in words.
func (s *State) Summary(took time.Duration) (string, []report.Row) {
	c := s.Chain
	rows := []report.Row{
		{Name: "runs", Value: fmt.Sprintf("http://%s/, image %s (key %s)", c.Environment.Domain, s.Report.Image, s.key)},
		{Name: "took", Value: s.Report.durations(took)},
		{Name: "objective", Value: s.Report.verdict()},
		{Name: "data", Value: s.Report.Data},
		{Name: "cost", Value: "an hour " + cost(c.Environment, time.Hour, false)},
		{Name: "recorded", Value: "recovered-unrehearsed, release " + fmt.Sprint(s.number())},
	}
	for _, m := range s.Report.Manual {
		rows = append(rows, report.Row{Name: "to do", Value: m})
	}
	rows = append(rows, report.Row{Name: "findings", Value: strings.Join(s.Report.Findings, "; ")}, report.Row{Name: "report", Value: s.Report.Files})
	return fmt.Sprintf("%s: production is recovered in %s", c.Place.LockName(), c.Place.Region), rows
}

func (s *State) number() int {
	if s.Release.Finished != nil {
		return s.Release.Finished.Number
	}
	return s.Release.Release.Number
}
