package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// undigested are the parameters that no digest counts.
var undigested = slices.Concat(template.Capacity, template.PerEnvironment)

// Stack is the environment's stack.
func (c *Chain) Stack() *stack.Stack { return c.Account.Stack(c.Environment.Stack()) }

// Tags of a stack of this site. They are constant per environment: a tag that
// changes with every release would change every resource.
func Tags(site, environment string) map[string]string {
	return map[string]string{"chain:site": site, "chain:environment": environment}
}

// guard refuses what must not happen, before anything is written.
func guard(ctx context.Context, run *pipeline.Run, s *State) error {
	run.Fact("target", fmt.Sprintf("%s, account %s, region %s", s.Target.Name, s.Target.Account, s.Target.Region))
	if err := s.Guard(ctx); err != nil {
		return err
	}
	run.Fact("commit", short(s.Trail.Head()))
	return nil
}

// Guard refuses another account than the one that is meant, what Git does not
// have, and a template that is not what chain.yaml says. It writes nothing.
func (s *State) Guard(ctx context.Context) error {
	if err := s.Target.Guard(ctx); err != nil {
		var other *config.MismatchError
		if !errors.As(err, &other) {
			return err
		}
		return refuse("E-REL-03", "this is not the account that is meant", err, "check the profile and the account in chain.yaml")
	}
	state, err := s.Clone.State(ctx)
	if err != nil {
		return err
	}
	if len(state.Dirty) > 0 {
		return &report.Failure{
			Code: report.Guard, ID: "E-REL-02", What: "the working tree is not clean: " + some(state.Dirty), State: "nothing was changed",
			Next: []string{"git status", "git commit  # what is released is a commit"},
		}
	}
	if s.Target.Ask && !s.Yes && state.Branch == "" { // a CI system checks commits out, and says whose plan it is
		return refuse("E-REL-03", "HEAD is on no branch", nil, "git switch BRANCH")
	}
	return s.rendered(ctx)
}

// rendered refuses a template that is not what the configuration says, or names
// an image that is not there.
func (s *State) rendered(ctx context.Context) error {
	path := s.Place.Template()
	nothing := "nothing was changed"
	body, ok, err := s.Clone.Read(ctx, s.Trail.Head(), path)
	if err != nil {
		return err
	}
	render := []string{"./station.sh template && git add cloudformation && git commit  # renders what chain.yaml says"}
	if !ok {
		return &report.Failure{Code: report.Usage, ID: "E-REL-02", What: path + " is not in Git", State: nothing, Next: render}
	}
	if err := template.Check(body); err != nil {
		return &report.Failure{Code: report.Usage, ID: "E-REL-02", What: path + " is not good", State: nothing, Err: err}
	}
	want, err := template.Render(s.Config, s.Environment, s.Place.Region, s.Extend...)
	if err != nil {
		return &report.Failure{Code: report.Usage, ID: "E-REL-02", What: "the template cannot be rendered", State: nothing, Err: err}
	}
	if want, err = template.Keep(want, body); err != nil {
		return err
	}
	if string(want) != string(body) {
		return &report.Failure{Code: report.Usage, ID: "E-REL-02", What: path + " is not what chain.yaml says", State: nothing, Next: render}
	}
	ami, err := template.Image(body)
	if err != nil {
		return err
	}
	if template.Baked(ami) && !s.Recover { // what was lost may be what it names: it is baked again
		i, err := s.Compute.Image(ctx, ami)
		if err != nil {
			return err
		}
		if i == nil {
			return &report.Failure{
				Code: report.Usage, ID: "E-REL-02", What: path + " names the image " + ami + ", which is not in account " + s.Target.Account + ", " + s.Place.Region, State: nothing,
				Next: []string{"write " + template.NotBaked + " as the default of ImageId and commit  # the next bake fills it in"},
			}
		}
	}
	return nil
}

func refuse(id, what string, err error, next ...string) error {
	return &report.Failure{Code: report.Guard, ID: id, What: what, State: "nothing was changed", Next: next, Err: err}
}

func some(list []string) string {
	if len(list) > 5 {
		return strings.Join(list[:5], ", ") + fmt.Sprintf(" and %d more", len(list)-5)
	}
	return strings.Join(list, ", ")
}

// look reads all that decides what is to be done. It writes nothing.
func look(ctx context.Context, run *pipeline.Run, s *State) error {
	if err := s.see(ctx); err != nil {
		return err
	}
	var err error
	if s.seen, err = s.glance(ctx); err != nil {
		return err
	}
	switch {
	case s.Live != nil:
		run.Fact("production", fmt.Sprintf("%s, %s", s.Live.Image(), s.Status))
	case s.Status != "":
		run.Fact("production", s.Status)
	default:
		run.Fact("production", "none yet")
	}
	run.Fact("image key", s.Key)
	if s.Image != "" {
		run.Fact("image", s.Image)
	}
	if s.Nothing != "" {
		run.Note("nothing to do: %s", s.Nothing)
	}
	return nil
}

// seen is what a look rests on: if it is the same again, so is the look.
type seen struct {
	tip, open, stack string
}

func (s *State) glance(ctx context.Context) (seen, error) {
	n := seen{tip: s.Trail.Tip(), open: fmt.Sprint(s.Open != nil)}
	now, err := s.Stack().Status(ctx)
	if errors.Is(err, stack.ErrAbsent) {
		return n, nil
	}
	n.stack = fmt.Sprint(now.ID, now.Status, now.Updated)
	return n, err
}

func lookAgain(ctx context.Context, _ *pipeline.Run, s *State) error {
	if err := s.Trail.Refresh(ctx); err != nil {
		return err
	}
	if n, err := s.glance(ctx); err != nil || n == s.seen && !s.Resumed {
		return err
	}
	return s.see(ctx)
}

func (s *State) see(ctx context.Context) error {
	var err error
	if s.Open, err = s.Trail.Open(ctx, s.Place); err != nil {
		return err
	}
	s.Live, s.Status = nil, ""
	now, err := s.Stack().Status(ctx)
	switch {
	case errors.Is(err, stack.ErrAbsent):
	case err != nil:
		return err
	case now.Status == "REVIEW_IN_PROGRESS": // nothing but a change set
		if err := s.stands(ctx, now); err != nil {
			return err
		}
	default:
		if err := s.stands(ctx, now); err != nil {
			return err
		}
		s.Status = now.Status
		if stack.MoveFor(s.Status, true, true) == stack.Update {
			if s.Live, err = s.Stack().Read(ctx); err != nil {
				return err
			}
			s.Live.Status = now.Status
		}
	}
	if s.Back != 0 {
		if s.Finished != nil && s.Finished.Operation == "rollback" {
			// Else the same command again would take the rollback back.
			s.Nothing = "the rollback that was interrupted is finished"
			return nil
		}
		if s.Open != nil && !s.Resumed {
			// What ran last, and so where back is, is known once that run is finished.
			return nil
		}
		if err := s.target(ctx); err != nil {
			return err
		}
	} else if err := s.find(ctx); err != nil {
		return err
	}
	if err := s.baseline(ctx); err != nil {
		return err
	}
	return s.decide(ctx)
}

// find works out the key of HEAD's recipe, and looks for its image.
func (s *State) find(ctx context.Context) error {
	recipe, i, err := image.Current(ctx, s.imageOptions())
	if err != nil && !s.Recover {
		return err
	}
	if s.Recover && (err != nil || i == nil) && s.home() != s.Target.Region {
		// There is no copy. It is baked where it is needed, from the base image there.
		s.Home = s.Target.Region
		if recipe, i, err = image.Current(ctx, s.imageOptions()); err != nil {
			return err
		}
	}
	s.Key, s.Image = recipe.Key, ""
	if i != nil {
		s.Image = i.ID
	}
	return nil
}

// keyOf is the key of an image that is there: what /version answers on it.
func (s *State) keyOf(ctx context.Context, id string) (string, error) {
	i, err := s.Compute.Image(ctx, id)
	if err != nil {
		return "", err
	}
	if i == nil {
		return "", fmt.Errorf("%s is not there any more", id)
	}
	return i.Tags[image.TagKey], nil
}

// vouch refuses an image that no trusted key has signed for, or that is not any
// more what was signed.
func vouch(ctx context.Context, run *pipeline.Run, s *State) error {
	ami := s.Image
	if s.Rehearsal.Candidate != nil {
		ami = s.Rehearsal.Candidate.Image
	}
	story, err := image.Verify(ctx, s.imageOptions(), ami)
	if err != nil {
		return err
	}
	run.Note("%s is signed: baked from commit %s, %d expectations met", ami, short(story.Commit), story.Examples)
	if s.Rehearsal.Candidate == nil {
		return nil
	}
	return s.vouchOthers(ctx, run, []byte(s.Rehearsal.Candidate.Body))
}

// vouchOthers refuses a template whose other images nobody vouches for, or are
// not what HEAD says. Only the site's own is baked on the way to a release.
func (s *State) vouchOthers(ctx context.Context, run *pipeline.Run, body []byte) error {
	images, err := template.Images(body)
	if err != nil {
		return err
	}
	for _, i := range s.Config.Roles(s.Environment.Site)[1:] {
		o, ami := s.optionsOf(i), images[i.Parameter]
		if s.Back == 0 {
			_, current, err := image.Current(ctx, o)
			if err != nil {
				return err
			}
			if current == nil || current.ID != ami {
				return &report.Failure{
					Code: report.Usage, ID: "E-REL-25", What: fmt.Sprintf("parameter %s names %s, which is not role %s of this commit", i.Parameter, ami, i.Role),
					Where: s.Place.Template(), State: "production is untouched", Next: []string{"./station.sh bake -role=" + i.Role, "the same command again"},
				}
			}
		}
		if _, err := image.Verify(ctx, o, ami); err != nil {
			return err
		}
		run.Note("%s of role %s is signed", ami, i.Role)
	}
	return nil
}

// protect keeps what is released from being deregistered by mistake; image:prune
// takes that away again.
func protect(ctx context.Context, run *pipeline.Run, s *State) error {
	ami := s.Rehearsal.Candidate.Image
	if err := s.Compute.Protect(ctx, ami); err != nil {
		return err
	}
	run.Note("%s cannot be deregistered by mistake", ami)
	return nil
}

// imageOptions is a bake of this site's image.
func (s *State) imageOptions() image.Options { return s.ImageOptions() }

// ImageOptions is a bake of this site's own role, written into the templates of
// its environment.
func (c *Chain) ImageOptions() image.Options {
	return c.optionsOf(c.Config.Roles(c.Environment.Site)[0])
}

// home is the region where images are baked; the others get copies.
func (c *Chain) home() string { return cmp.Or(c.Home, c.Environment.Regions[0]) }

func (c *Chain) optionsOf(i config.Image) image.Options {
	return image.Options{
		Target: c.Target, Bake: c.Config.Bake, Role: i.Role, Puppet: i.Puppet, Specs: i.Specs, Parameter: i.Parameter,
		Places: []trail.Place{c.Place}, Clone: c.Clone, Trail: c.Trail, Run: c.Run, Clock: c.Clock, Client: c.Compute, Copies: c.Copies, Home: c.home(),
	}
}

// Bakes are the bakes of a role of this site, of all its roles with "". A role
// that no site names is baked, too, if it is asked for.
func (c *Chain) Bakes(role string) ([]image.Options, error) {
	var out []image.Options
	var has []string
	for _, i := range c.Config.Roles(c.Environment.Site) {
		if has = append(has, i.Role); role == "" || role == i.Role {
			out = append(out, c.optionsOf(i))
		}
	}
	for _, i := range c.Config.Loose() {
		if has = append(has, i.Role); role == i.Role {
			o := c.optionsOf(i)
			o.Places, o.Copies = nil, nil
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return nil, usage(fmt.Errorf("site %s has no image of role %q, it has %s", c.Environment.Site.Name, role, strings.Join(has, ", ")))
	}
	return out, nil
}

// withImages are parameter values and what the template's other image
// parameters are by default.
func withImages(values map[string]string, body []byte) map[string]string {
	out := maps.Clone(values)
	if images, err := template.Images(body); err == nil {
		for parameter, ami := range images {
			if _, sent := out[parameter]; !sent && parameter != stack.ImageParameter {
				out[parameter] = ami
			}
		}
	}
	return out
}

// baseline is what production runs, or else what it last ran by the trail.
func (s *State) baseline(ctx context.Context) error {
	r := &s.Rehearsal
	r.Baseline, r.Living, r.Data.Instance = nil, s.Live, s.living()
	if s.Recover && s.Live == nil {
		return nil // what ran last plays no part: it is lost
	}
	if s.Live != nil {
		key, err := s.keyOf(ctx, s.Live.Image())
		if err != nil {
			return fmt.Errorf("production's image: %w", err)
		}
		r.Baseline = &rehearsal.Deployment{
			// Capacity is the group's: production is brought to it before it is changed.
			Body: s.Live.Body, Parameters: s.withCapacity(without(s.Live.Parameters, stack.ImageParameter)), Image: s.Live.Image(), Key: key, Tags: own(s.Live.Tags),
			Digest: s.Live.Digest(undigested),
		}
		return nil
	}
	if s.Status != "" {
		return nil // a half-made stack tells nothing
	}
	last, err := s.lastReleased(ctx)
	if err != nil || last == nil {
		return err
	}
	d := last.Candidate
	key, err := s.keyOf(ctx, d.Image)
	if err != nil || key == "" || d.Template == "" {
		return nil //nolint:nilerr // its image is gone: then there is nothing to rehearse from
	}
	r.Baseline = &rehearsal.Deployment{Body: d.Template, Parameters: d.Parameters, Image: d.Image, Key: key, Tags: d.Tags, Digest: d.Digest}
	return nil
}

func (s *State) lastReleased(ctx context.Context) (*trail.Release, error) {
	list, err := s.Trail.History(ctx, s.Place, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.Landed() {
			return &r, nil
		}
	}
	return nil, nil
}

func without(m map[string]string, keys ...string) map[string]string {
	out := maps.Clone(m)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

func own(tags map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range tags {
		if !strings.HasPrefix(k, "aws:") {
			out[k] = v
		}
	}
	return out
}

// decide makes the candidate, if its image is known, and says whether there is anything to do.
func (s *State) decide(ctx context.Context) error {
	s.Nothing, s.Rehearsal.Skip, s.Unrehearsed, s.Evidence = "", "", "", nil
	if s.Recover && s.Live != nil && s.Open == nil {
		s.Nothing = "production was brought up already" // a recovery changes nothing that is there
		return nil
	}
	if s.Image == "" {
		return nil
	}
	if err := s.candidate(ctx); err != nil {
		return err
	}
	same := s.Live != nil && s.Rehearsal.Baseline.Digest == s.Rehearsal.Candidate.Digest
	if same && s.Open == nil && s.settled() {
		s.Nothing = "production runs exactly this already"
		return nil
	}
	if s.Recover {
		s.Unrehearsed = "production was lost"
		s.Rehearsal.Skip = "a recovery needs no rehearsal: " + s.Unrehearsed
		return nil
	}
	if err := s.findDrill(ctx); err != nil {
		return err
	}
	return s.findEvidence(ctx)
}

// settled says whether all machines run what the stack says.
func (s *State) settled() bool {
	images := s.Live.Images()
	return len(images) == 0 || len(images) == 1 && images[0] == s.Live.Image()
}

// candidate is HEAD's template with the image as its default, and every
// parameter: from the configuration, capacity from the live group.
func (s *State) candidate(ctx context.Context) error {
	if s.Back != 0 {
		return nil // it was set by target
	}
	body, err := s.Trail.WithImage(ctx, s.Place.Template(), s.Image)
	if err != nil {
		return err
	}
	values := template.Parameters(s.Environment)
	values["Domain"] = s.Environment.DomainIn(s.Place.Region)
	if s.Recover && s.Snapshot != "" {
		values[template.SnapshotID] = s.Snapshot
	}
	d := &rehearsal.Deployment{
		Body: string(body), Parameters: s.withCapacity(values), Image: s.Image, Key: s.Key, Tags: Tags(s.Place.Site, s.Place.Environment),
	}
	d.Digest = stack.Digest(d.Body, withImages(d.Parameters, body), d.Image, d.Tags, undigested)
	s.Rehearsal.Candidate = d
	return nil
}

// withCapacity are parameter values with the live group's capacity. A roll needs
// room for as many new machines as there are old ones.
func (s *State) withCapacity(values map[string]string) map[string]string {
	if s.Live == nil {
		return maps.Clone(values)
	}
	values = s.withData(values)
	if s.Live.Group == nil {
		return maps.Clone(values)
	}
	return template.WithCapacity(values, s.Live.Group.Capacity.Desired)
}

// findEvidence looks for a rehearsal of exactly this change that still counts.
func (s *State) findEvidence(ctx context.Context) error {
	from, to := "", s.Rehearsal.Candidate.Digest
	if s.Rehearsal.Baseline != nil {
		from = s.Rehearsal.Baseline.Digest
	}
	e, err := s.Trail.Evidence(ctx, s.Place, from, to)
	if err != nil {
		return err
	}
	s.Expired = ""
	if e != nil && e.Passed {
		s.Expired = s.expired(e)
	}
	switch {
	case s.Again && s.Expired == "":
		s.Expired = "a new rehearsal was asked for"
	case e != nil && e.Passed && s.Expired == "":
		s.Evidence = e
		s.Rehearsal.Skip = "rehearsed already, evidence " + short(e.Commit)
	case s.Back != 0:
		return s.wayBack(ctx, from, to)
	case e == nil && s.Expired == "":
		s.Expired, err = s.outdated(ctx)
	}
	return err
}

// parts are fingerprints of both sides of the change.
func (s *State) parts() (out [2]map[string]string) {
	for i, d := range []*rehearsal.Deployment{s.Rehearsal.Baseline, s.Rehearsal.Candidate} {
		if d != nil {
			out[i] = stack.Parts(d.Body, withImages(d.Parameters, []byte(d.Body)), d.Image, d.Tags, undigested)
		}
	}
	return out
}

// outdated names what is not as it was when the same image was rehearsed last, or "".
func (s *State) outdated(ctx context.Context) (string, error) {
	b, ok, err := s.Trail.Read(ctx, s.Place.Evidence())
	if err != nil || !ok {
		return "", err
	}
	var e trail.Evidence
	var r rehearsal.Record
	if json.Unmarshal(b, &e) != nil || !e.Passed || e.Image != s.Rehearsal.Candidate.Image || json.Unmarshal(e.Record, &r) != nil || r.Parts[1] == nil {
		return "", nil
	}
	var names []string
	now := s.parts()
	for i, side := range []string{"production's ", "the candidate's "} {
		for _, name := range slices.Sorted(maps.Keys(now[i])) {
			if was, ok := r.Parts[i][name]; !ok || was != now[i][name] {
				names = append(names, side+name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.Parts[i])) {
			if _, ok := now[i][name]; !ok {
				names = append(names, side+name+" (gone)")
			}
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return "since this image was rehearsed these moved: " + strings.Join(names, ", "), nil
}

// wayBack is for rollbacks. What is gone back to ran in production, and waiting
// for a rehearsal of it would keep what is bad there; if the way was rehearsed
// with the change that is taken back, that is still its evidence.
func (s *State) wayBack(ctx context.Context, from, to string) error {
	e, err := s.Trail.Evidence(ctx, s.Place, to, from)
	if err != nil {
		return err
	}
	if e != nil && e.Passed && s.expired(e) == "" {
		s.Evidence = e
		s.Rehearsal.Skip = "rehearsed already, evidence " + short(e.Commit)
		return nil
	}
	s.Unrehearsed = fmt.Sprintf("it ran in production as release %d", s.Back)
	if s.Back < 0 {
		s.Unrehearsed = fmt.Sprintf("it ran in production before release %d", s.backFrom)
	}
	s.Rehearsal.Skip = "a rollback needs no rehearsal: " + s.Unrehearsed
	return nil
}

// expired is why evidence does not count any more, or "".
func (s *State) expired(e *trail.Evidence) string {
	var r rehearsal.Record
	if err := json.Unmarshal(e.Record, &r); err != nil || r.Ended.IsZero() {
		return "the evidence " + short(e.Commit) + " does not tell its time"
	}
	if why := r.TooSlow(s.Environment.Rollback.Within); why != "" {
		return "the evidence " + short(e.Commit) + " does not suffice: " + why
	}
	if age := s.Clock.Now().Sub(r.Ended); age > s.Environment.Rules.Evidence {
		return fmt.Sprintf("the evidence %s is from %s, and counts for %s", short(e.Commit), r.Ended.UTC().Format("2006-01-02 15:04 MST"), s.Environment.Rules.Evidence)
	}
	return ""
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

// quota refuses when the account has no room for the test stack or production.
func quota(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Rehearsal.Skip != "" && s.Status != "" {
		return nil
	}
	left, err := s.Account.List(ctx, s.Rehearsal.Prefix)
	if err != nil {
		return err
	}
	if len(left) > 0 && s.Status != "" {
		return nil // a test stack is there; it is used again or deleted first
	}
	used, lack, err := s.Room(ctx)
	if err != nil {
		return err
	}
	if len(lack) > 0 {
		return refuse("E-REL-13", "the account has no room: "+strings.Join(lack, "; "), nil, NoRoom...)
	}
	run.Note("there is room for one more environment: %s", used)
	return nil
}

// NoRoom is what a person can do about an account that is full.
var NoRoom = []string{"./station.sh sweep  # shows what dead runs left", "ask AWS for more in the Service Quotas console"}

// Room is what of the account's quotas is used, and what is lacking of them for
// one more environment.
func (c *Chain) Room(ctx context.Context) (used string, lack []string, err error) {
	zones := c.Environment.Sizes.Zones
	addresses, err := c.Compute.Addresses(ctx)
	if err != nil {
		return "", nil, err
	}
	networks, err := c.Compute.Networks(ctx)
	if err != nil {
		return "", nil, err
	}
	if addresses.Limit > 0 && addresses.Used+zones > addresses.Limit {
		lack = append(lack, fmt.Sprintf("%d of %d Elastic IP addresses are used, %d more are needed", addresses.Used, addresses.Limit, zones))
	}
	if networks.Limit > 0 && networks.Used+1 > networks.Limit {
		lack = append(lack, fmt.Sprintf("%d of %d VPCs are used, one more is needed", networks.Used, networks.Limit))
	}
	return fmt.Sprintf("%d of %d addresses, %d of %d VPCs are used", addresses.Used, addresses.Limit, networks.Used, networks.Limit), lack, nil
}

// lock makes this the only run for the environment.
func lock(ctx context.Context, run *pipeline.Run, s *State) error {
	what := "release"
	switch {
	case s.TestOnly:
		what = "test"
	case s.Recover:
		what = "recovery"
	}
	l, err := s.Trail.Lock(ctx, s.Place.LockName(), trail.Holder{Run: s.Run, What: what, Step: "take the lock"})
	var held *trail.HeldError
	if errors.As(err, &held) {
		return &report.Failure{Code: report.Locked, ID: "E-REL-10", What: held.Error(), State: "nothing was changed", Next: held.Next()}
	}
	if err != nil {
		return err
	}
	if l.TookOver != nil {
		run.Note("took over the lock of a run that died: %s", l.TookOver)
	}
	s.lock = l
	run.Defer("the lock", func(ctx context.Context) error { return l.Release(ctx) })
	done, err := s.Trail.Flush(ctx)
	for _, r := range done {
		run.Note("release %d is in the trail now", r.Number)
	}
	if err != nil {
		return err
	}
	s.Open, err = s.Trail.Open(ctx, s.Place)
	return err
}

// writeImage makes the template in Git name the image that is gone back to.
func writeImage(ctx context.Context, run *pipeline.Run, s *State) error {
	body, err := s.Trail.WithImage(ctx, s.Place.Template(), s.Image)
	if err != nil {
		return err
	}
	w, err := s.Trail.Write(ctx, trail.Entry{
		Kind: "image", Subject: fmt.Sprintf("%s: image %s for a rollback", s.Place.LockName(), s.Image),
		Trailers: []trail.Trailer{
			{Key: "Site", Value: s.Place.Site},
			{Key: "Environment", Value: s.Place.Environment},
			{Key: "Region", Value: s.Place.Region},
			{Key: "Operation", Value: "rollback"},
			{Key: "Image", Value: s.Image},
			{Key: "Commit", Value: s.Trail.Head()},
			{Key: "Run", Value: s.Run},
		},
		Files: map[string][]byte{s.Place.Template(): body},
	})
	if err == nil && w.New {
		run.Fact("trail", short(w.Commit))
	}
	return err
}

// evidence decides, now that the image is known, whether to rehearse.
func evidence(ctx context.Context, run *pipeline.Run, s *State) error {
	if s.Back == 0 {
		s.Image, s.Key = s.Bake.Result.Image, s.Bake.Result.Recipe.Key
	}
	if err := s.decide(ctx); err != nil {
		return err
	}
	if err := s.expected(); err != nil && s.Nothing == "" {
		return err // before anybody waits for a rehearsal of it
	}
	if s.Nothing != "" || s.Rehearsal.Skip != "" {
		// Somebody else made the image meanwhile, and the rehearsal with it.
		if err := s.Rehearsal.Drop(ctx); err != nil {
			return err
		}
	}
	if s.Nothing == "" && s.Rehearsal.Skip == "" {
		if err := s.found(ctx); err != nil {
			return err
		}
	}
	switch {
	case s.Nothing != "":
		run.Note("nothing to do: %s", s.Nothing)
	case s.Evidence != nil:
		run.Note("this change was rehearsed already")
	case s.Unrehearsed != "":
		run.Note("not rehearsed: %s", s.Unrehearsed)
	case s.Expired != "":
		run.Note("rehearsing again: %s", s.Expired)
	}
	return nil
}

// allowed refuses who may not change production, and when nobody may. A rollback
// waits for no freeze to end: it is how people get out of trouble.
func allowed(ctx context.Context, run *pipeline.Run, s *State) error {
	rules := s.Environment.Rules
	who := s.Clone.Identity(ctx)
	if !rules.MayRelease(who.Email, s.Target.Caller) {
		return &report.Failure{
			Code: report.Policy, ID: "E-REL-14", What: fmt.Sprintf("%s (%s) may not release %s", who, s.Target.Caller, s.Environment.Stack()), State: "production is untouched",
			Next: []string{"ask one of: " + strings.Join(rules.Releasers, ", "), "./station.sh test  # rehearses it for them"},
		}
	}
	f := rules.Frozen(s.Clock.Now())
	switch {
	case f == nil:
		return nil
	case s.Back != 0:
		run.Note("releases are frozen (%s: %s); a rollback is allowed", f, f.Reason)
		return nil
	}
	return &report.Failure{
		Code: report.Policy, ID: "E-REL-15", What: fmt.Sprintf("releases of %s are frozen, %s: %s", s.Environment.Stack(), f, f.Reason), State: "production is untouched",
		Next: []string{"ask " + f.Owner + ", or wait", "./station.sh test  # rehearses it meanwhile"},
	}
}

// keep writes the evidence into the trail.
func keep(ctx context.Context, run *pipeline.Run, s *State) error {
	s.Rehearsal.Record.Parts = s.parts()
	e, err := evidenceOf(&s.Rehearsal)
	if err != nil {
		return err
	}
	w, err := s.Trail.WriteEvidence(ctx, s.Place, e)
	if err != nil {
		return err
	}
	e.Commit = w.Commit
	s.Evidence = &e
	run.Fact("evidence", short(w.Commit))
	return nil
}

func (s *State) spent(phase string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Seconds == nil {
		s.Seconds = map[string]time.Duration{}
	}
	s.Seconds[phase] += d
}
