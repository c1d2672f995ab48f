package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// contents takes the survey of the machine and judges it against its base's.
func (v *visit) contents(ctx context.Context, base *survey, a *Allowed) error {
	v.run.Await("a survey of %s", v.machine.ID)
	defer v.run.Await("")
	began := v.o.Clock.Now()
	is, err := take(ctx, v.ask, v.since)
	if err != nil {
		return err
	}
	now := v.o.Clock.Now()
	v.s.Result.Inventory = is.Inventory
	v.s.Result.Packages = is.PackageLines()
	leaks := judge(is, base, a, v.login, began, now)
	v.run.Fact("survey", now.Sub(began).Round(100*time.Millisecond))
	v.run.Fact("packages", len(is.Packages))
	if len(leaks) == 0 {
		v.run.Note("nothing is on the image but its base and what is declared")
		return nil
	}
	var list []string
	for _, l := range leaks {
		list = append(list, l.String())
	}
	b, err := json.MarshalIndent(leaks, "", "  ")
	if err != nil {
		return fmt.Errorf("write down what is on the image: %w", err)
	}
	file := filepath.Join(v.dir, "leaks.json")
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write down what is on the image: %w", err)
	}
	v.leaks = leaks
	return &badError{what: fmt.Sprintf("%d things are on it that must not be (all of them in %s)", len(leaks), file), list: first(list)}
}

// allowed reads what the recipe declares.
func (v *visit) allowed() (*Allowed, error) {
	a := &Allowed{}
	read := func(name string) (string, error) {
		b, err := os.ReadFile(filepath.Join(v.s.tree, filepath.FromSlash(name)))
		if errors.Is(err, os.ErrNotExist) {
			return "", nil // nothing is declared there
		}
		if err != nil {
			return "", fmt.Errorf("read what the image may have: %w", err)
		}
		return string(b), nil
	}
	for _, name := range []string{"packer/allowed/all", "packer/allowed/" + v.o.Role} {
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		if err := a.add(name, text); err != nil {
			return nil, err
		}
	}
	text, err := read("packer/packages/" + v.o.Role)
	a.declare(text)
	return a, err
}

// leaving bounds the removal of what a visit made.
const leaving = 5 * time.Minute

// baseSurvey is what is compared of a base image; a station keeps it.
type baseSurvey struct {
	Inventory Inventory
	Secrets   []string
	Clouds    []string
}

type surveyed struct {
	survey *survey
	err    error
}

// surveyBase takes the survey of a machine of the base image, once for each
// base image and station, while the image's own machine comes up.
func (v *visit) surveyBase(ctx context.Context) <-chan surveyed {
	out := make(chan surveyed, 1)
	id := v.s.Result.Recipe.Base.ID
	// The survey's own script is a part of what it finds.
	file := filepath.Join(v.o.Target.State, "base", id+"."+surveyVersion+".json")
	if b, err := os.ReadFile(file); err == nil {
		var kept baseSurvey
		if json.Unmarshal(b, &kept) == nil && len(kept.Inventory.Packages) > 0 {
			out <- surveyed{survey: &survey{Inventory: kept.Inventory, secrets: kept.Secrets, clouds: kept.Clouds}}
			return out
		}
	}
	go func() {
		s, err := v.visitBase(ctx, id)
		if err == nil {
			var b []byte
			if b, err = json.Marshal(baseSurvey{s.Inventory, s.secrets, s.clouds}); err == nil {
				if err = os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
					err = renameio.WriteFile(file, b, 0o644)
				}
			}
		}
		out <- surveyed{s, err}
	}()
	return out
}

func (v *visit) visitBase(ctx context.Context, id string) (s *survey, err error) {
	i, err := v.o.Client.Image(ctx, id)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, &NoBaseError{Bake: v.o.Bake, Region: v.o.Target.Region, Pinned: id}
	}
	b := &visit{o: v.o, s: &State{Result: Result{Recipe: v.s.Result.Recipe}}, run: v.run, dir: filepath.Join(v.dir, "base"), image: *i, purpose: "survey"}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the inspection: %w", err)
	}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
		defer cancel()
		err = errors.Join(append([]error{err}, b.leave(after)...)...)
	}()
	if err := b.start(ctx); err != nil {
		return nil, plain(fmt.Errorf("a machine of the base image %s: %w", id, err))
	}
	return take(ctx, b.ask, b.since)
}

// plain is the error of a machine that is not the judged image's: what it is
// like says nothing about that.
func plain(err error) error {
	if bad := (*badError)(nil); errors.As(err, &bad) {
		return errors.New(err.Error())
	}
	return err
}

// Inspect starts a machine of any image of the role and looks at it as a bake
// does. It returns what leaks, and an error if the image does not pass or could
// not be judged. The image stays whatever comes of it.
func Inspect(ctx context.Context, env pipeline.Env, o Options, id string) ([]Leak, error) {
	o = o.filled()
	if env.Clock == nil {
		env.Clock = o.Clock
	}
	var s State
	var leaks []Leak
	err := pipeline.Do(ctx, env, &s, step{"inspect a machine started from the image", o, nil, func(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
		i, err := o.Client.Image(ctx, id)
		if err != nil {
			return err
		}
		if i == nil {
			return noSuchImage(id, o)
		}
		if role := i.Tags[TagRole]; role != "" && role != o.Role {
			o.Role, o.Puppet, o.Specs = role, role, role
		}
		if s.Result.Recipe, err = o.key(ctx, Base{ID: i.Tags[TagBase]}); err != nil {
			return err
		}
		s.Result.Recipe.Key, s.image = i.Tags[TagKey], i
		s.dir = filepath.Join(o.Target.State, "inspect", id, o.Run)
		s.tree = filepath.Join(s.dir, "tree")
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return fmt.Errorf("make the directory of the logs: %w", err)
		}
		run.Defer("the copy of the recipe", func(context.Context) error { return os.RemoveAll(s.tree) })
		if err := o.Clone.Export(ctx, o.Trail.Head(), s.tree, RecipePaths...); err != nil {
			return err
		}
		v := &visit{o: o, s: s, run: run, dir: s.dir, image: compute.Image{ID: i.ID, Name: i.Name}, purpose: "inspect", only: true}
		err = v.failed(ctx, v.whole(ctx))
		leaks = v.leaks
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
		defer cancel()
		return errors.Join(append([]error{err}, v.leave(after)...)...)
	}})
	return leaks, err
}

func noSuchImage(id string, o Options) error {
	return &report.Failure{
		Code: report.Usage, ID: "E-IMG-02", What: "there is no image " + id, Where: "account " + o.Target.Account + ", " + o.Target.Region, State: "nothing was changed",
		Next: []string{"./station.sh history  # the images that were released"},
	}
}

// filled are the options with what was left out.
func (o Options) filled() Options {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Runner == nil {
		o.Runner = command.Exec{}
	}
	o.Puppet, o.Specs, o.Parameter = cmp.Or(o.Puppet, o.Role), cmp.Or(o.Specs, o.Role), cmp.Or(o.Parameter, "ImageId")
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 45 * time.Minute
	}
	return o
}
