//go:build mage

// From a commit to production, tested on the way: bakes images, rehearses
// changes on a copy of production, releases them, and takes them back.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/magefile/mage/mg"
	"golang.org/x/term"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/edge"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/station"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/teamcity"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// Bake makes the images of this commit, or finds them; -role=NAME only that one's, -force makes another, -explain only tells.
func Bake(ctx context.Context, role *string, force, explain *bool) error {
	if set(explain) {
		return explainBake(ctx, or(role))
	}
	return run(ctx, "bake", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		all, err := c.Bakes(or(role))
		for _, o := range all {
			o.Force = set(force)
			done, err := image.Bake(ctx, env(r), o)
			if err != nil {
				return err
			}
			outcome, rows := done.Summary(r.Elapsed())
			r.Summary(outcome, rows...)
		}
		return err
	})
}

func explainBake(ctx context.Context, role string) error {
	return run(ctx, "explain", func(ctx context.Context, r *report.Report) error {
		if neverUp() {
			return show(r, []string{"there is no image yet, since there is no lab: ./station.sh bake starts one and bakes"}, nil)
		}
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		all, err := c.Bakes(role)
		for _, o := range all {
			e, err := image.Explain(ctx, o)
			if err := show(r, e.Lines(), err); err != nil {
				return err
			}
		}
		return err
	})
}

// Base is the image that all others are made from.
type Base mg.Namespace

// Update writes the newest base image into Git; the next bake starts from it.
func (Base) Update(ctx context.Context) error {
	return run(ctx, "base:update", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		u, err := image.UpdateBase(ctx, c.ImageOptions())
		return show(r, u.Lines(c.Clock.Now()), err)
	})
}

// Image is about images that are there.
type Image mg.Namespace

// Show tells the story of an image: -ami=ID, or production's.
func (Image) Show(ctx context.Context, ami *string) error {
	return run(ctx, "image:show", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		id, err := c.ImageOr(ctx, or(ami))
		if err != nil {
			return err
		}
		lines, err := image.Show(ctx, c.ImageOptions(), id)
		return show(r, lines, err)
	})
}

// Diff tells what changes from one image to another: production's and this commit's, or -from=ID -to=ID.
func (Image) Diff(ctx context.Context, from, to *string) error {
	return run(ctx, "image:diff", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		lines, err := c.ImageDiff(ctx, or(from), or(to))
		return show(r, lines, err)
	})
}

// Prune tells which images nothing needs, and what needs the others; -delete removes the former.
func (Image) Prune(ctx context.Context, delete *bool) error {
	return run(ctx, "image:prune", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		return c.Prune(ctx, set(delete), func(l string) { r.Print("%s", l) })
	})
}

// Inspect starts a machine of an image and looks for what must not be on it.
func (Image) Inspect(ctx context.Context, ami string) error {
	return run(ctx, "image:inspect", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		_, err = image.Inspect(ctx, env(r), c.ImageOptions(), ami)
		return show(r, []string{ami + " has nothing on it but its base image and what is declared"}, err)
	})
}

// Test rehearses the change on a copy of production: the update, both ways back; -rehearse even if it was; -drill with every alarm made to fire; -allow as of release.
func Test(ctx context.Context, rehearse, drill *bool, allow *string) error {
	return deploy(ctx, "test", func(s *release.State) error {
		s.TestOnly, s.Again, s.FireDrill, s.Allow = true, set(rehearse) || set(drill), set(drill), list(allow)
		return nil
	})
}

// Release brings this commit to production: bake, test, release; what is done is skipped, with -rehearse not the test. -yes -expect=PLAN approve beforehand; -fix goes ahead though alarms fire, -drift=accept though production was changed by hand; -allow=ID,… lets resources go that hold data or addresses.
func Release(ctx context.Context, rehearse, fix, yes *bool, expect, allow, drift *string) error {
	return deploy(ctx, "release", func(s *release.State) error {
		s.Again, s.Fix, s.Yes, s.Expect, s.Allow = set(rehearse), set(fix), set(yes), or(expect), list(allow)
		return s.DriftPolicy(or(drift))
	})
}

// Rollback takes production back to what ran before, or to release -to=N. -yes -expect=PLAN approve beforehand; -allow as of release.
func Rollback(ctx context.Context, to *int, yes *bool, expect, allow *string) error {
	back := -1
	if to != nil {
		back = *to
	}
	return deploy(ctx, "rollback", func(s *release.State) error {
		s.Back, s.Yes, s.Expect, s.Allow = back, set(yes), or(expect), list(allow)
		return nil
	})
}

// Status tells what production runs, and what is under way.
func Status(ctx context.Context) error {
	return run(ctx, "status", func(ctx context.Context, r *report.Report) error {
		if neverUp() {
			return show(r, []string{"nothing runs: there is no lab yet; ./station.sh release makes it and brings production up"}, nil)
		}
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		outcome, rows, err := c.Status(ctx)
		if err == nil {
			r.Summary(outcome, rows...)
		}
		return err
	})
}

// History lists the releases, the newest first.
func History(ctx context.Context) error {
	return run(ctx, "history", func(ctx context.Context, r *report.Report) error {
		if neverUp() {
			return show(r, []string{"no release yet: there is no lab; ./station.sh release makes it and brings production up"}, nil)
		}
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		lines, err := c.History(ctx, 50)
		return show(r, lines, err)
	})
}

// Diff shows what a release of this commit would change: exit 0 nothing, 2 something.
func Diff(ctx context.Context) error {
	changes := false
	err := run(ctx, "diff", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		regions, err := reached("diff")
		if err != nil {
			return err
		}
		return release.Each(regions, func(region string) error {
			there, err := release.Open(ctx, c.Config, "", "", region)
			if err != nil {
				return err
			}
			lines, err := there.Diff(ctx)
			changes = changes || len(lines) > 0
			if len(lines) == 0 && err == nil {
				lines = []string{"no changes"}
			}
			if len(regions) > 1 {
				r.Print("%s", region)
			}
			return show(r, lines, err)
		})
	})
	switch {
	case err != nil:
		return mg.Fatal(1, err)
	case changes:
		return mg.Fatal(2, "changes")
	}
	return nil
}

// Dr is for the day when production is lost, and for the days before.
type Dr mg.Namespace

// Recover brings production up again where it was lost: in -region, from an image that survived or a new one (-bake); -at=TIME: with data no newer.
func (Dr) Recover(ctx context.Context, region, at *string, bake, yes *bool, expect *string) error {
	return run(ctx, "dr:recover", func(ctx context.Context, r *report.Report) error {
		c, err := openIn(ctx, r, or(region))
		if err != nil {
			return err
		}
		o := recovery.Options{Chain: c, Bake: set(bake), Yes: set(yes), Expect: or(expect), Station: toolsLacking}
		if a := c.Environment.Recovery.Akamai; a != nil {
			o.Akamai = func() (*edge.Client, error) { return edge.Open(a.Section) }
		}
		if o.At, err = recovery.Time(or(at)); err != nil {
			return err
		}
		s := recovery.New(o)
		if err := s.Do(ctx, env(r)); err != nil {
			return err
		}
		outcome, rows := s.Summary(r.Elapsed())
		r.Summary(outcome, rows...)
		return nil
	})
}

// Drill practises it in -region beside production, measures it and leaves nothing; -scenario=stack, region, amis-gone, ci-gone, account-locked, or database-corrupt since -at.
func (Dr) Drill(ctx context.Context, region, scenario, at *string) error {
	return run(ctx, "dr:drill", func(ctx context.Context, r *report.Report) error {
		c, err := openIn(ctx, r, or(region))
		if err != nil {
			return err
		}
		o := recovery.Options{Chain: c, Station: toolsLacking}
		if o.At, err = recovery.Time(or(at)); err != nil {
			return err
		}
		d, err := recovery.NewDrill(o, or(scenario))
		if err != nil {
			return err
		}
		if err := d.Do(ctx, env(r)); err != nil {
			return err
		}
		outcome, rows := d.Summary(r.Elapsed())
		r.Summary(outcome, rows...)
		return nil
	})
}

// Backup saves the data that is due, and has copies of it, of the last releases' images, of templates and evidence in the other regions; called each hour.
func (Dr) Backup(ctx context.Context) error {
	return run(ctx, "dr:backup", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		b := &recovery.Backup{Chain: c}
		if err := b.Do(ctx, env(r)); err != nil {
			return err
		}
		outcome, rows := b.Summary()
		r.Summary(outcome, rows...)
		return nil
	})
}

// Status tells what a recovery would rest on: images, data, the last drill, each against what is promised.
func (Dr) Status(ctx context.Context) error {
	return run(ctx, "dr:status", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		list, err := recovery.Reserves(ctx, c)
		if err != nil {
			return err
		}
		lines, bad := recovery.Judge(c, list)
		if err := show(r, lines, nil); err != nil {
			return err
		}
		return bad
	})
}

// Switch leads the domain to production in -region, if it serves there: back after a recovery, say. -yes approves it beforehand.
func (Dr) Switch(ctx context.Context, region *string, yes *bool) error {
	return run(ctx, "dr:switch", func(ctx context.Context, r *report.Report) error {
		c, err := openIn(ctx, r, or(region))
		if err != nil {
			return err
		}
		return recovery.Switch(ctx, env(r), c, set(yes))
	})
}

// Runbook writes docs/runbook.md's page for this site, to be printed.
func (Dr) Runbook(ctx context.Context) error {
	return run(ctx, "dr:runbook", func(_ context.Context, r *report.Report) error {
		c, err := load()
		if err != nil {
			return err
		}
		file, err := recovery.WriteRunbook(c)
		return show(r, []string{file}, err)
	})
}

// toolsLacking are those of a bake: nobody needs a browser or Vagrant to recover.
func toolsLacking(ctx context.Context) ([]string, error) {
	o := stationOptions()
	o.Sets = []string{"base", "bake"}
	found, err := station.Check(ctx, o)
	var missing []string
	for _, f := range found {
		if !f.OK() {
			missing = append(missing, f.Tool)
		}
	}
	return missing, err
}

// Lock is what keeps two runs from changing one environment.
type Lock mg.Namespace

// Break breaks the locks of a run that is dead: lock:break RUN, as status tells it.
func (Lock) Break(ctx context.Context, id string) error {
	return run(ctx, "lock:break", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		lines, err := c.BreakLock(ctx, id)
		return show(r, lines, err)
	})
}

// Template renders cloudformation/ from chain.yaml, images kept as they are.
func Template(ctx context.Context) error {
	return run(ctx, "template", func(_ context.Context, r *report.Report) error {
		c, err := load()
		if err != nil {
			return err
		}
		changed, err := template.Write(c, false)
		if err == nil && len(changed) == 0 {
			changed = []string{"cloudformation/ is what chain.yaml says"}
		}
		return show(r, changed, err)
	})
}

// Check runs all tests and linters, and the whole story once; -quick what the change touches, in a minute; -nightly what takes too long for each commit.
func Check(ctx context.Context, quick, nightly *bool) error {
	switch {
	case set(quick):
		return script(ctx, filepath.Join("station", "check"), "-quick")
	case set(nightly):
		return script(ctx, filepath.Join("station", "check"), "-nightly")
	}
	return script(ctx, filepath.Join("station", "check"))
}

// Bench measures what the README promises and prints it.
func Bench(ctx context.Context) error { return script(ctx, filepath.Join("station", "bench")) }

// Sweep shows what dead runs left; -delete removes it.
func Sweep(ctx context.Context, delete *bool) error {
	return run(ctx, "sweep", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r)
		if err != nil {
			return err
		}
		elsewhere, err := c.Regions(ctx)
		if err != nil {
			return err
		}
		items, err := sweep.Find(ctx, sweep.Options{
			Elsewhere: elsewhere,
			Compute:   c.Compute, Account: c.Account, Databases: c.ConfiguredDatabases(), Trail: c.Trail, Sites: slices.Sorted(maps.Keys(c.Config.Sites)), Run: c.Run,
		})
		if err != nil || len(items) == 0 {
			return show(r, []string{"nothing is left over"}, err)
		}
		if set(delete) {
			return sweep.Remove(ctx, items, func(i sweep.Item) { r.Print("removed %s", i) })
		}
		for _, i := range items {
			r.Print("%s", i)
		}
		r.Print("nothing was removed; ./station.sh sweep -delete removes it")
		return nil
	})
}

// Monitor is what watches production.
type Monitor mg.Namespace

// Open prints the link to production's dashboard; on the lab it draws the dashboard as one page, .chain/dashboard.html.
func (Monitor) Open(ctx context.Context) error {
	return run(ctx, "monitor:open", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		link, page, err := c.Dashboard(ctx)
		if err != nil || page == nil {
			return show(r, []string{link}, err)
		}
		file, err := filepath.Abs(filepath.Join(".chain", "dashboard.html"))
		if err == nil {
			err = os.WriteFile(file, page, 0o644)
		}
		return show(r, []string{"file://" + file, "on AWS it would be " + link}, err)
	})
}

// Publish tells CloudWatch how old production's image and backups are; alarms fire where nobody does for a day.
func (Monitor) Publish(ctx context.Context) error {
	return run(ctx, "monitor:publish", func(ctx context.Context, r *report.Report) error {
		c, err := open(ctx, r, true)
		if err != nil {
			return err
		}
		rows, err := c.Publish(ctx)
		if err == nil {
			r.Summary("published", rows...)
		}
		return err
	})
}

// Station is this machine.
type Station mg.Namespace

// Check looks at all the tools that a station needs, and installs none.
func (Station) Check(ctx context.Context) error {
	return run(ctx, "station:check", func(ctx context.Context, r *report.Report) error {
		found, err := station.Check(ctx, stationOptions())
		for _, f := range found {
			r.Print("%s", f)
		}
		if err != nil {
			return err
		}
		return lacking(found)
	})
}

func stationOptions() station.Options {
	programs := command.Exec{}
	cache, err := os.UserHomeDir()
	cache = filepath.Join(cache, ".cache")
	if xdg := os.Getenv("XDG_CACHE_HOME"); xdg != "" || err != nil {
		cache = xdg
	}
	return station.Options{
		Run: programs, Top: ".", Cache: filepath.Join(cache, "chain"), Path: os.Getenv("PATH"), GemPath: os.Getenv("GEM_PATH"),
		Packager: station.Packager(runtime.GOOS, func(name string) bool { _, err := programs.Look(name); return err == nil }),
	}
}

// lacking is what station.sh ends with as well.
func lacking(found []station.Finding) error {
	var missing []string
	for _, f := range found {
		if !f.OK() {
			missing = append(missing, f.Tool)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &report.Failure{
		Code: report.Guard, ID: "E-STA-01", What: "tools are missing or too old", Where: strings.Join(missing, " "), State: "nothing was installed",
		Next: []string{"./station.sh setup", "./station.sh station:check   # looks again"},
	}
}

// Dev is for work at one's desk.
type Dev mg.Namespace

// Watch brings the machine of -role up with Vagrant, and provisions it on each save.
func (Dev) Watch(ctx context.Context, role *string) error {
	return run(ctx, "dev:watch", func(ctx context.Context, r *report.Report) error {
		return station.Watch(ctx, station.WatchOptions{
			Run: command.Exec{Pass: []string{"VAGRANT_*", "CHAIN_VAGRANT_*"}}, Clock: clock.System{}, Top: ".", Role: or(role),
			Out: os.Stdout, Tell: func(line string) { r.Print("%s", line) },
		})
	})
}

// Teamcity is the CI server.
type Teamcity mg.Namespace

// Bootstrap brings a fresh server from its accepted licence to the first build; what is there is kept.
func (Teamcity) Bootstrap(ctx context.Context) error {
	return run(ctx, "teamcity:bootstrap", func(ctx context.Context, r *report.Report) error {
		c, err := load()
		if err != nil {
			return err
		}
		api, err := teamcity.New(teamcity.Options{URL: c.Value("CHAIN_TEAMCITY_URL")})
		if err != nil {
			return err
		}
		s := &teamcity.Setup{
			Client: api, Login: c.Path("CHAIN_TEAMCITY_LOGIN", teamcityLogin), SuperUser: c.Value("CHAIN_TEAMCITY_SUPERUSER"),
			Repository: c.Value("CHAIN_TEAMCITY_REPOSITORY"), Branch: cmp.Or(c.Value("CHAIN_TEAMCITY_BRANCH"), "main"),
			Approvers: c.Value("CHAIN_TEAMCITY_APPROVERS"), Github: c.Value("CHAIN_TEAMCITY_GITHUB"),
			Agents: strings.FieldsFunc(c.Value("CHAIN_TEAMCITY_AGENTS"), func(r rune) bool { return r == ',' || r == ' ' }),
		}
		if err := pipeline.Do(ctx, env(r), s, teamcity.Bootstrap()...); err != nil {
			return err
		}
		r.Summary("TeamCity "+s.Version+" builds this repository", report.Row{Name: "key", Value: s.PublicKey}, report.Row{Name: "then", Value: "./station.sh teamcity:status"})
		return nil
	})
}

// Status tells the server's version, its agents, and the newest build of each kind.
func (Teamcity) Status(ctx context.Context) error {
	return onServer(ctx, "teamcity:status", func(ctx context.Context, r *report.Report, c *teamcity.Client, _ *pipeline.Run) error {
		outcome, rows, err := c.Status(ctx, teamcity.Project)
		if err == nil {
			r.Summary(outcome, rows...)
		}
		return err
	})
}

// Trigger queues the build that runs a target, follows it and ends as it does: teamcity:trigger bake.
func (Teamcity) Trigger(ctx context.Context, target string) error {
	return onServer(ctx, "teamcity:trigger", func(ctx context.Context, r *report.Report, c *teamcity.Client, run *pipeline.Run) error {
		b, err := c.Trigger(ctx, run, teamcity.Project, target)
		if err == nil {
			r.Summary("build #"+b.Number+": "+b.Text, report.Row{Name: "look", Value: b.URL})
		}
		return err
	})
}

// Backup has the server write all but its artifacts to a file in its data directory.
func (Teamcity) Backup(ctx context.Context) error {
	return onServer(ctx, "teamcity:backup", func(ctx context.Context, r *report.Report, c *teamcity.Client, run *pipeline.Run) error {
		file, err := c.Backup(ctx, run, "chain")
		return show(r, []string{"backup/" + file + " in the server's data directory"}, err)
	})
}

// Restore brings such a file back on the server's own machine, which Puppet has made and where nothing runs yet.
func (Teamcity) Restore(ctx context.Context, file string) error {
	return run(ctx, "teamcity:restore", func(ctx context.Context, r *report.Report) error {
		return pipeline.Do(ctx, env(r), &file, pipeline.Func("restore "+file, func(ctx context.Context, run *pipeline.Run, file *string) error {
			return teamcity.Restore(ctx, run, teamcity.RestoreOptions{
				Run: command.Exec{}, Home: "/opt/TeamCity", Data: "/srv/teamcity/data", User: "teamcity", Unit: "teamcity-server", File: *file,
			})
		}))
	})
}

const teamcityLogin = "~/.config/chain/teamcity.json"

// onServer runs a single step as the administrator that bootstrap made.
func onServer(ctx context.Context, name string, fn func(context.Context, *report.Report, *teamcity.Client, *pipeline.Run) error) error {
	return run(ctx, name, func(ctx context.Context, r *report.Report) error {
		c, err := load()
		if err != nil {
			return err
		}
		token, err := teamcity.Token(c.Path("CHAIN_TEAMCITY_LOGIN", teamcityLogin))
		if err != nil {
			return err
		}
		api, err := teamcity.New(teamcity.Options{URL: c.Value("CHAIN_TEAMCITY_URL"), Token: token})
		if err != nil {
			return err
		}
		return pipeline.Do(ctx, env(r), api, pipeline.Func(name, func(ctx context.Context, run *pipeline.Run, api *teamcity.Client) error { return fn(ctx, r, api, run) }))
	})
}

// Lab is the local AWS that target lab uses.
type Lab mg.Namespace

// Up starts the lab, or finds it running.
func (Lab) Up(ctx context.Context) error {
	return run(ctx, "lab:up", func(ctx context.Context, r *report.Report) error {
		l, err := startLab(ctx, r)
		if err == nil {
			r.Summary("the lab is up", report.Row{Name: "AWS", Value: "http://" + l.API}, report.Row{Name: "internet", Value: "socks5h://" + l.SOCKS},
				report.Row{Name: "use it", Value: `eval "$(./station.sh lab:env)"`})
		}
		return err
	})
}

// Stop ends the lab's process; its state and machines stay.
func (Lab) Stop(ctx context.Context) error {
	return run(ctx, "lab:stop", func(ctx context.Context, r *report.Report) error {
		return show(r, []string{"the lab is stopped; ./station.sh lab:up goes on where it was"}, labFailure(client.Stop(ctx, client.Dir())))
	})
}

// Down destroys the lab: machines, images, networks, state.
func (Lab) Down(ctx context.Context) error {
	return run(ctx, "lab:down", func(ctx context.Context, r *report.Report) error {
		err := client.Down(ctx, client.Options{Progress: func(line string) { r.Print("%s", line) }})
		return show(r, []string{"nothing of the lab is left"}, labFailure(err))
	})
}

// Status tells what the lab runs, as JSON.
func (Lab) Status(ctx context.Context) error {
	return run(ctx, "lab:status", func(ctx context.Context, r *report.Report) error {
		s, err := client.Status(ctx, client.Dir())
		if err != nil {
			return labFailure(err)
		}
		return show(r, []string{strings.TrimSpace(string(s.Raw))}, nil)
	})
}

// Env prints what points the aws CLI and curl at the lab: eval "$(./station.sh lab:env)".
func (Lab) Env(ctx context.Context) error {
	return run(ctx, "lab:env", func(ctx context.Context, r *report.Report) error {
		l, err := client.Find(ctx, client.Dir())
		if err != nil {
			return labFailure(err)
		}
		return show(r, []string{strings.TrimSpace(l.Env())}, nil)
	})
}

// Logs shows the end of the lab's log; -follow waits for more.
func (Lab) Logs(ctx context.Context, follow *bool) error {
	return run(ctx, "lab:logs", func(ctx context.Context, _ *report.Report) error {
		return labFailure(client.Logs(ctx, client.Dir(), os.Stdout, 100, set(follow)))
	})
}

// Break has the lab go wrong: lab:break KIND [KEY=VALUE...]; lab:break -list tells what there is.
func (Lab) Break(ctx context.Context, what string) error {
	return run(ctx, "lab:break", func(ctx context.Context, r *report.Report) error {
		words := strings.Fields(what)
		if strings.Contains(what, "\n") { // station.sh keeps apart what was, so that a value may hold blanks
			words = strings.Split(what, "\n")
		}
		if len(words) == 0 || words[0] == "list" || words[0] == "-list" {
			lines, err := client.Faults(ctx, client.Dir())
			return show(r, lines, labFailure(err))
		}
		id, err := client.Break(ctx, client.Dir(), words[0], words[1:]...)
		return show(r, []string{id + " is set; ./station.sh lab:mend takes it back"}, labFailure(err))
	})
}

// Mend takes all faults back.
func (Lab) Mend(ctx context.Context) error {
	return run(ctx, "lab:mend", func(ctx context.Context, r *report.Report) error {
		return show(r, []string{"nothing is broken any more"}, labFailure(client.Mend(ctx, client.Dir(), "")))
	})
}

// run gives a target its report and signals. The first INT, TERM or HUP stops it
// where it can go on later, the second kills. Mage would give it five seconds
// after an INT, and nothing after a TERM.
func run(ctx context.Context, name string, fn func(context.Context, *report.Report) error) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	signal.Reset(os.Interrupt)
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(heard)
	go func() {
		<-heard
		signal.Stop(heard)
		cancel()
	}()
	fd := int(os.Stdout.Fd())
	screen := config.ReadScreen(os.Environ())
	o := report.Options{
		Out: os.Stdout, Err: os.Stderr, Live: screen.Redraw && term.IsTerminal(fd), Verbose: screen.Verbose, Name: name,
	}
	if screen.TeamCity {
		o.Machine = teamcity.Stream{Suite: name}
	}
	if slices.Contains([]string{"bake", "test", "release", "rollback", "dr:recover", "dr:drill", "dr:switch", "dr:backup"}, name) {
		o.Dir = filepath.Join(".chain", "log")
	}
	r, err := report.New(o)
	if err != nil {
		return err
	}
	err = r.Fail(fn(ctx, r))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}

// deploy runs the flow of a test, release or rollback, in one region after another.
func deploy(ctx context.Context, name string, options func(*release.State) error) error {
	return run(ctx, name, func(ctx context.Context, r *report.Report) error {
		regions, err := reached(name)
		if err != nil {
			return err
		}
		var plans []string
		return release.Each(regions, func(region string) error {
			c, err := openIn(ctx, r, region)
			if err != nil {
				return err
			}
			if len(regions) > 1 {
				r.Print("\n%s", region)
			}
			s := c.Start()
			s.Plans = plans
			if err := options(s); err != nil {
				return err
			}
			if err := s.Do(ctx, env(r)); err != nil {
				return err
			}
			outcome, rows := s.Summary(r.Elapsed())
			r.Summary(outcome, rows...)
			if s.Nothing == "" {
				plans = append(plans, s.PlanID())
			}
			return nil
		})
	})
}

// reached are the regions that a command acts in.
func reached(name string) ([]string, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	regions, err := release.Regions(c, "", "")
	if err == nil && name == "rollback" {
		err = release.One(regions, name)
	}
	return regions, err
}

// set says whether a flag is.
func set(b *bool) bool { return b != nil && *b }

// list is what a flag says, parted at its commas.
func list(s *string) []string {
	return strings.FieldsFunc(or(s), func(r rune) bool { return r == ',' })
}

// or is what a flag says, "" without it.
func or(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func env(r *report.Report) pipeline.Env { return pipeline.Env{Tell: r.Tell} }

func show(r *report.Report, lines []string, err error) error {
	if err != nil {
		return err
	}
	for _, l := range lines {
		r.Print("%s", l)
	}
	return nil
}

// ask reads one line from the terminal.
func ask(ctx context.Context, question string) (string, error) {
	fmt.Print(question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // an end of input is no answer
		answer <- line
	}()
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func load() (*config.Config, error) {
	c, err := config.Load(".", os.Environ())
	if err == nil {
		return c, nil
	}
	f := &report.Failure{Code: report.Usage, ID: "E-CFG-02", What: err.Error(), State: "nothing was changed", Next: []string{"see the comments in " + config.File}}
	// Each fault on a line of its own, or five of them are one unreadable line.
	var all *config.Error
	if errors.As(err, &all) {
		f.What, f.Next = all.File+" is not right", nil
		for _, fault := range all.Faults {
			f.Next = append(f.Next, "mend "+fault.String())
		}
	}
	return nil, f
}

// neverUp says whether the target is a lab that was never started here: to be
// told that it is empty nobody waits for its base image.
func neverUp() bool {
	c, err := config.Load(".", os.Environ())
	if err != nil || c.Target != "lab" {
		return false
	}
	_, err = os.Stat(client.Dir())
	return errors.Is(err, os.ErrNotExist)
}

// openIn is open for another region, in which something will be changed.
func openIn(ctx context.Context, r *report.Report, region string) (*release.Chain, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	if c.Target == "lab" {
		if _, err := startLab(ctx, r); err != nil {
			return nil, err
		}
	}
	o, err := release.Open(ctx, c, "", "", region)
	if err == nil && term.IsTerminal(int(os.Stdin.Fd())) {
		o.Ask = ask
	}
	return o, err
}

// open is production's chain, on a lab that runs if the lab is the target. To
// look at, any lab will do; to change something it is one of these sources.
func open(ctx context.Context, r *report.Report, look ...bool) (*release.Chain, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	if c.Target == "lab" {
		_, err := client.Find(ctx, client.Dir())
		if err != nil || len(look) == 0 {
			_, err = startLab(ctx, r)
		}
		if err != nil {
			return nil, err
		}
	}
	return release.Open(ctx, c, "", "", "")
}

func startLab(ctx context.Context, r *report.Report) (*client.Lab, error) {
	l, err := client.Start(ctx, client.Options{Progress: func(line string) { r.Print("lab: %s", line) }})
	return l, labFailure(err)
}

// labFailure is what the lab's client says, as a person needs it.
func labFailure(err error) error {
	var e *client.Error
	switch {
	case errors.As(err, &e) && e.Usage:
		return &report.Failure{Code: report.Usage, ID: "E-LAB-04", What: e.What, Where: e.Where, State: e.State, Next: e.Next, Err: e.Err}
	case errors.As(err, &e):
		return &report.Failure{Code: report.Guard, ID: "E-LAB-03", What: e.What, Where: e.Where, State: e.State, Next: e.Next, Err: e.Err}
	case errors.Is(err, client.ErrNotRunning):
		return &report.Failure{Code: report.Usage, ID: "E-LAB-02", What: err.Error(), Next: []string{"./station.sh lab:up"}}
	}
	return err
}

// script runs one of the station's programs in our place.
func script(ctx context.Context, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if config.ReadScreen(os.Environ()).TeamCity {
		relay := &teamcity.Relay{Out: os.Stdout, Module: "github.com/build-deploy-chain/chain"}
		defer relay.Close()
		cmd.Stdout, cmd.Stderr = relay, relay
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return mg.Fatalf(exit.ExitCode(), "%s: exit code %d", path, exit.ExitCode())
	}
	return err
}
