package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// inputs are all that an image would be made of, and what it was made of last.
type inputs struct {
	recipe Recipe
	last   *Record           // nil: there is none
	pins   map[string][]byte // to be written with the image; nil: Git has the pin
}

func (in inputs) changes() []string {
	if in.last == nil || in.last.Key == in.recipe.Key {
		return nil
	}
	return in.recipe.Changes(in.last.Recipe)
}

// read works out the recipe of HEAD. It writes nothing and starts nothing.
func read(ctx context.Context, o Options) (inputs, error) {
	var in inputs
	var err error
	if o.away() {
		last, err := Last(ctx, o.Trail, o.Role, o.Home)
		if err != nil {
			return in, err
		}
		p, err := pins(ctx, o.Trail, o.Home)
		if err != nil {
			return in, err
		}
		base, ok := p.Bases[pinName(o.Bake)]
		if !ok && last == nil {
			return in, o.noCopy()
		}
		if !ok {
			base = last.Base
		}
		in.recipe, err = o.key(ctx, base)
		return in, err
	}
	if in.last, err = Last(ctx, o.Trail, o.Role, o.Target.Region); err != nil {
		return in, err
	}
	p, err := pins(ctx, o.Trail, o.Target.Region)
	if err != nil {
		return in, err
	}
	var pinned *Base
	if b, ok := p.Bases[pinName(o.Bake)]; ok {
		pinned = &b
	} else if in.last != nil {
		pinned = &in.last.Base // of before there were pins
	}
	base, err := FindBase(ctx, o.Client, o.Bake, o.Target.Region, pinned, o.Target.PinFirst)
	if err != nil {
		return in, err
	}
	if _, ok := p.Bases[pinName(o.Bake)]; !ok {
		if in.pins, err = p.with(o.Bake, base); err != nil {
			return in, err
		}
	}
	in.recipe, err = o.key(ctx, base)
	return in, err
}

// away says whether the target is a region that gets copies only.
func (o Options) away() bool { return o.Home != "" && o.Home != o.Target.Region }

func (o Options) noCopy() error {
	return &report.Failure{
		Code: report.Usage, ID: "E-BAKE-16", What: "there is no copy of the image in " + o.Target.Region, Where: o.Role + ", which is baked in " + o.Home, State: "nothing was changed",
		Next: []string{"CHAIN_REGION=" + o.Home + " ./station.sh bake  # makes the copies, too"},
	}
}

// key reads the recipe of HEAD. Where Puppet's class or the specs have another
// name than the role, the name counts.
func (o Options) key(ctx context.Context, base Base) (Recipe, error) {
	o = o.filled()
	names := map[string]string{}
	if o.Puppet != o.Role {
		names["puppet class"] = o.Puppet
	}
	if o.Specs != o.Role {
		names["specs"] = o.Specs
	}
	return keyOf(ctx, o.Clone, o.Trail.Head(), o.Role, base, names)
}

// Current is the recipe of HEAD, and the good image of it; nil if that is still
// to be baked. It writes nothing.
func Current(ctx context.Context, o Options) (Recipe, *compute.Image, error) {
	in, err := read(ctx, o)
	if err != nil {
		return in.recipe, nil, err
	}
	i, err := Find(ctx, o.Client, o.Role, in.recipe.Key, in.prefer())
	return in.recipe, i, err
}

func (in inputs) prefer() string {
	if in.last == nil {
		return ""
	}
	return in.last.Image
}

// Explanation is what a bake would do, and why.
type Explanation struct {
	Recipe   Recipe
	Reuse    *compute.Image // the good image of the recipe; nil: one would be baked
	Template string         // the image that the templates name, "" before the first
	Changes  []string       // what changed since that one was made
	Dirty    []string       // files of the recipe that are not committed and so do not count
	Holder   *trail.Holder  // who bakes the recipe right now
}

// Explain says what a bake of HEAD would do. It starts nothing and writes nothing.
func Explain(ctx context.Context, o Options) (Explanation, error) {
	e, err := explanation(ctx, o)
	return e, explain(ctx, o, &State{}, err)
}

func explanation(ctx context.Context, o Options) (Explanation, error) {
	var e Explanation
	in, err := read(ctx, o)
	if err != nil {
		return e, err
	}
	e.Recipe = in.recipe
	if e.Reuse, err = Find(ctx, o.Client, o.Role, in.recipe.Key, in.prefer()); err != nil {
		return e, err
	}
	if in.last != nil {
		e.Template, e.Changes = in.last.Image, in.changes()
	}
	if e.Dirty, err = dirty(ctx, o.Clone); err != nil {
		return e, err
	}
	e.Holder, _, err = o.Trail.Holder(ctx, lockName(o.Role, in.recipe.Key))
	return e, err
}

func lockName(role, key string) string { return "image/" + role + "/" + key }

// dirty are the recipe's files that differ from what HEAD has, or that it does
// not have.
func dirty(ctx context.Context, c *trail.Clone) ([]string, error) {
	state, err := c.State(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, path := range state.Dirty {
		for _, dir := range RecipePaths {
			if strings.HasPrefix(path, dir+"/") {
				list = append(list, path)
			}
		}
	}
	return list, nil
}

// Lines tell it.
func (e Explanation) Lines() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case e.Reuse != nil:
		say("unchanged: reusing %s baked at commit %s", e.Reuse.ID, e.Reuse.Tags[TagCommit])
		if e.Template != "" && e.Template != e.Reuse.ID {
			say("the templates name %s, the next bake makes them name %s; between the two:", e.Template, e.Reuse.ID)
		}
	case e.Template == "":
		say("there is no image yet: it would be baked")
	case len(e.Changes) == 0:
		say("%s, which the templates name, is of the same recipe and is gone: it would be baked again", e.Template)
	default:
		say("it would be baked, since other than %s, which the templates name:", e.Template)
	}
	for _, c := range e.Changes {
		say("  %s", c)
	}
	say("key %s of role %s, from %s, Puppet %s, Serverspec %s", e.Recipe.Key, e.Recipe.Role, e.Recipe.Base, e.Recipe.Tools["puppet"], e.Recipe.Tools["serverspec"])
	if len(e.Dirty) > 0 {
		say("not committed and so not counted: %s", some(e.Dirty))
	}
	if e.Holder != nil {
		say("it is being baked right now: %s", e.Holder)
	}
	return out
}
