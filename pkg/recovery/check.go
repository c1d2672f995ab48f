package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/trail"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// A Fault is something that would stop a recovery, with what to do about it.
type Fault struct {
	What string
	Next []string
}

func fault(next, format string, args ...any) []Fault {
	return []Fault{{fmt.Sprintf(format, args...), []string{next}}}
}

// reach is how long a region may take to say whether it is there, in AWS time.
// Calls take their own time wherever they go: atLeast is not divided.
const (
	reach   = 20 * time.Second
	atLeast = 10 * time.Second
)

// A glance is one of the things that could stop a recovery.
type glance struct {
	name string
	fn   func(context.Context, *pipeline.Run, *State) ([]Fault, error)
}

// check looks for everything that would stop a recovery later.
func check(ctx context.Context, run *pipeline.Run, s *State) error {
	return lookAll(ctx, run, s, "recovery cannot begin", []glance{
		{"account, working tree and template", ready},
		{"what there is of production", production},
		{"quotas", room},
		{"the image", images},
		{"the hosted zone", domain},
		{"instance type and certificate", fitting},
		{"state data", data},
		{"Akamai", akamai},
	})
}

// lookAll looks at everything and tells all faults together. It writes nothing.
// The first look is who we are, which the target then keeps; the others are made
// at once.
func lookAll(ctx context.Context, run *pipeline.Run, s *State, what string, looks []glance) error {
	found := make([][]Fault, len(looks))
	one := func(i int) {
		list, err := looks[i].fn(ctx, run, s)
		if err != nil {
			list = append(list, faultOf(looks[i].name, s.Chain.Place.Region, err))
		}
		found[i] = list
	}
	one(0)
	var wg sync.WaitGroup
	for i := 1; i < len(looks); i++ {
		wg.Go(func() { one(i) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var all []Fault
	for _, f := range slices.Concat(found...) {
		same := func(o Fault) bool { return o.What == f.What }
		if !slices.ContainsFunc(all, same) {
			all = append(all, f)
		}
	}
	return refusal(what, s.Chain, all)
}

// refusal is all faults as one failure, nil if there is none.
func refusal(what string, c *release.Chain, all []Fault) error {
	if len(all) == 0 {
		return nil
	}
	var texts, next []string
	for _, f := range all {
		texts = append(texts, f.What)
		for _, n := range f.Next {
			if !slices.Contains(next, n) {
				next = append(next, n)
			}
		}
	}
	return &report.Failure{
		Code: report.Guard, ID: "E-DR-03", What: what + ": " + strings.Join(texts, "; "), Where: c.Environment.Stack() + " in " + c.Place.Region,
		State: "nothing was made or changed", Next: next,
	}
}

// faultOf is a look that failed as a fault: what cannot be seen stops us, too.
func faultOf(name, region string, err error) Fault {
	var f *report.Failure
	var base *image.NoBaseError
	switch {
	case errors.As(err, &f):
		return Fault{f.Error(), f.Next}
	case errors.As(err, &base):
		next := base.Next()
		for i, n := range next {
			if strings.HasPrefix(n, "./station.sh") {
				next[i] = "CHAIN_REGION=" + region + " " + n
			}
		}
		return Fault{err.Error(), next}
	case stack.Denied(err):
		return Fault{
			fmt.Sprintf("%s: AWS does not let us in %s: %v", name, region, err),
			[]string{"aws sts get-caller-identity  # who AWS thinks you are; aws sso login --profile NAME", "aws account get-region-opt-status --region-name " + region + "  # whether the account may use the region at all"},
		}
	}
	return Fault{fmt.Sprintf("%s: %v", name, err), []string{"./station.sh status"}}
}

func ready(ctx context.Context, _ *pipeline.Run, s *State) ([]Fault, error) {
	return nil, s.Release.Guard(ctx)
}

// production refuses where production works, and where something is in the way.
func production(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	c := s.Chain
	var out []Fault
	for _, region := range c.Environment.Regions {
		if region == c.Place.Region {
			continue
		}
		there, err := c.In(ctx, region)
		if err != nil {
			return out, err
		}
		near, cancel := context.WithTimeout(ctx, max(atLeast, c.Target.Scale(reach)))
		is, err := there.Account.Stack(c.Environment.Stack()).Read(near)
		cancel()
		works := err == nil && Works(ctx, c, there.Compute, is) == nil // however slowly
		switch {
		case errors.Is(err, stack.ErrAbsent):
		case stack.Denied(err):
			return out, err
		case err != nil:
			// That nothing is heard of a region is what a disaster looks like, unless
			// its page is there all the same.
			if serves(ctx, c) == nil {
				out = append(out, fault("wait for "+region+"'s API, or lead the domain away by hand", "%s cannot be asked, and %s serves all the same: there is nothing to recover (%v)", region, c.Environment.Domain, err)...)
				continue
			}
			run.Note("%s cannot be asked, it counts as lost: %v", region, err)
		case works:
			out = append(out, fault("./station.sh dr:drill -region="+c.Place.Region+"  # practises it beside production", "production works in %s, there is nothing to recover", region)...)
		default:
			run.Note("%s in %s is %s and does not serve", is.Name, region, is.Status)
		}
	}
	here, err := s.here(ctx, run)
	return append(out, here...), err
}

// serves says whether the page is there at all addresses that the domain leads to.
func serves(ctx context.Context, c *release.Chain) error {
	z, err := zoneOf(ctx, c)
	if err != nil {
		return err
	}
	list, err := z.records(ctx, c, c.Environment.Domain)
	if err != nil {
		return err
	}
	a, _ := plain(c.Environment.Domain, list)
	return verify.Checker{Dial: c.Target.Dial, Clock: c.Clock}.Serves(ctx, verify.Expect{Domain: c.Environment.Domain, Addresses: values(a)})
}

// here is what of production is in the region where it is to be.
func (s *State) here(ctx context.Context, run *pipeline.Run) ([]Fault, error) {
	c := s.Chain
	st := c.Account.Stack(c.Environment.Stack())
	now, err := st.Status(ctx)
	switch {
	case errors.Is(err, stack.ErrAbsent), err == nil && now.Status == "REVIEW_IN_PROGRESS":
		return nil, nil
	case err != nil:
		return nil, err
	}
	last, err := c.Trail.Last(ctx, c.Place)
	if err != nil {
		return nil, err
	}
	if last != nil && last.Operation == trail.Recovery && last.Outcome == nil {
		run.Note("a recovery of %s was begun by %s and is gone on with", last.Intended.Format(time.RFC3339), last.By)
		return nil, nil
	}
	completed, err := st.Completed(ctx)
	if err != nil {
		return nil, err
	}
	if stack.MoveFor(now.Status, completed, true) == stack.Recreate {
		run.Note("%s is %s: it never came into being, and is made anew", now.Name, now.Status)
		return nil, nil
	}
	is, err := st.Read(ctx)
	if err != nil {
		return nil, err
	}
	bad := Works(ctx, c, c.Compute, is)
	if bad != nil {
		return []Fault{{
			fmt.Sprintf("%s is in %s already, %s, and does not work: %v", now.Name, c.Place.Region, now.Status, bad),
			[]string{
				"./station.sh rollback  # if a release broke it; release -fix brings a commit that mends it",
				fmt.Sprintf("./station.sh dr:recover -region=REGION  # in another one of %s", strings.Join(c.Environment.Regions, ", ")),
			},
		}}, nil
	}
	leads, err := leadsTo(ctx, c, addresses(is))
	if err != nil {
		return nil, err
	}
	switch {
	case !leads && last != nil && last.Operation == trail.Recovery:
		run.Note("production was recovered here, and %s does not lead to it yet: going on", c.Environment.Domain)
		return nil, nil
	case !leads:
		return fault("./station.sh dr:switch -region="+c.Place.Region+"  # leads "+c.Environment.Domain+" to it", "production works in %s, %s does not lead to it", c.Place.Region, c.Environment.Domain), nil
	}
	return fault("./station.sh dr:drill  # practises it beside production", "production works in %s, there is nothing to recover", c.Place.Region), nil
}

// Works says whether a stack serves its page of its own image at each of its
// addresses; the error tells why not. Names play no part in it.
func Works(ctx context.Context, c *release.Chain, images *compute.Client, is *stack.State) error {
	i, err := images.Image(ctx, is.Image())
	if err != nil {
		return err
	}
	if i == nil {
		return fmt.Errorf("its image %s is gone", is.Image())
	}
	checker := verify.Checker{Dial: c.Target.Dial, Clock: c.Clock}
	for _, a := range addresses(is) {
		// As for a site of one address: by its number alone.
		if _, err := checker.Check(ctx, verify.Expect{Domain: a, Addresses: []string{a}, Keys: []string{i.Tags[image.TagKey]}}); err != nil {
			return err
		}
	}
	if len(addresses(is)) == 0 {
		return errors.New("it has no addresses")
	}
	return nil
}

func addresses(is *stack.State) []string {
	var out []string
	for _, a := range strings.Split(is.Outputs["Addresses"], ",") {
		if a = strings.TrimSpace(a); a != "" {
			out = append(out, a)
		}
	}
	return out
}

func room(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	if _, err := s.Chain.Stack().Status(ctx); !errors.Is(err, stack.ErrAbsent) {
		return nil, err // what is there has its place already
	}
	return enough(ctx, run, s)
}

func enough(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	used, lack, err := s.Chain.Room(ctx)
	if err != nil {
		return nil, err
	}
	var out []Fault
	for _, l := range lack {
		out = append(out, Fault{"no room in " + s.Chain.Place.Region + ": " + l, []string{
			"CHAIN_REGION=" + s.Chain.Place.Region + " ./station.sh sweep -delete  # removes what dead runs left", "ask AWS for more in the Service Quotas console of " + s.Chain.Place.Region,
		}})
	}
	if len(lack) == 0 {
		run.Note("there is room: %s", used)
	}
	return out, nil
}

// images looks for an image that survived, or for what a new one is made of.
func images(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	c := s.Chain
	home := *c // the key is that of the region where images are baked
	recipe, found, err := image.Current(ctx, home.ImageOptions())
	if err == nil && found != nil {
		run.Note("%s survived and is used", found.ID)
		s.Report.input("image", found.ID+", baked at commit "+found.Tags[image.TagCommit])
		return nil, nil
	}
	var missing *report.Failure // E-BAKE-16: Git does not even tell the key
	if err != nil && !errors.As(err, &missing) {
		return nil, err
	}
	if half, err := s.half(ctx, recipe.Key); err != nil || len(half) > 0 {
		return half, err
	}
	home.Home, s.local = c.Place.Region, true
	recipe, found, err = image.Current(ctx, home.ImageOptions())
	if err != nil {
		return nil, err
	}
	if found != nil {
		run.Note("%s was baked here, and is used", found.ID)
		s.Report.input("image", found.ID)
		return nil, nil
	}
	s.bakes = true
	run.Note("no image survived: one is baked from %s", recipe.Base)
	s.Report.input("base image", recipe.Base.String())
	s.Report.input("packages", "Debian's and those that packer/ names, from their servers")
	if s.Station == nil {
		return nil, nil
	}
	lacking, err := s.Station(ctx)
	if err != nil || len(lacking) == 0 {
		return nil, err
	}
	return fault("./station.sh setup", "this machine cannot bake, it lacks %s", strings.Join(lacking, ", ")), nil
}

// half are copies of the image that are not whole. One that has failed is left
// where it is: it is of no use, and image:prune removes it.
func (s *State) half(ctx context.Context, key string) ([]Fault, error) {
	c := s.Chain
	list, err := c.Compute.Images(ctx, compute.ImageQuery{Owner: "self", Tags: compute.Tags{image.TagRole: c.Environment.Site.Role}})
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if key != "" && i.Tags[image.TagKey] != key || i.State != "pending" || s.Bake {
			continue
		}
		home := c.Environment.Regions[0]
		return []Fault{{
			fmt.Sprintf("the image %s in %s is half-copied: it is %s", i.ID, c.Place.Region, i.State),
			[]string{
				"CHAIN_REGION=" + home + " ./station.sh bake  # waits for the copy and proves it, if " + home + " still answers",
				"./station.sh dr:recover -region=" + c.Place.Region + " -bake  # makes an image anew instead",
			},
		}}, nil
	}
	return nil, nil
}

// fitting refuses what the region does not have.
func fitting(ctx context.Context, _ *pipeline.Run, s *State) ([]Fault, error) {
	c, e := s.Chain, s.Chain.Environment
	var out []Fault
	if arn := strings.Split(e.Certificate, ":"); len(arn) > 3 && arn[3] != c.Place.Region {
		out = append(out, fault("aws acm request-certificate --region "+c.Place.Region+" --validation-method DNS --domain-name "+e.Domain+"  # then name it in chain.yaml",
			"the certificate is of %s, a balancer in %s cannot use it", arn[3], c.Place.Region)...)
	}
	_, err := c.Compute.Architectures(ctx, e.Sizes.InstanceType)
	if compute.Code(err) == "InvalidInstanceType" {
		return append(out, fault("set sizes.instance_type in chain.yaml to one that "+c.Place.Region+" has", "there is no instance type %s in %s", e.Sizes.InstanceType, c.Place.Region)...), nil
	}
	return out, err
}

// Time is a moment as people give it: RFC 3339, "2026-11-23 22:15" in UTC; "" is
// the zero time.
func Time(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &report.Failure{
		Code: report.Usage, ID: "E-DR-02", What: fmt.Sprintf("%q is not a time", text), State: "nothing was made or changed", Next: []string{"say it like 2026-11-23T22:15:00Z"},
	}
}
