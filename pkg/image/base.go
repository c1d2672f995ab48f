package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Base is the image that another is made from.
type Base struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Owner        string    `json:"owner,omitempty"`
	Architecture string    `json:"architecture,omitempty"`
	Created      time.Time `json:"created,omitzero"`
}

// String is id and name.
func (b Base) String() string {
	if b.Name == "" {
		return b.ID
	}
	return b.ID + " (" + b.Name + ")"
}

func baseOf(i compute.Image) Base {
	return Base{ID: i.ID, Name: i.Name, Owner: i.Owner, Architecture: i.Architecture, Created: i.Created}
}

// Pins are the base images that bakes of a region start from. They are kept in
// Git: which image is the newest is asked by base:update only, never on the way
// of a release.
type Pins struct {
	Schema int             `json:"schema"` // 1
	Region string          `json:"region"`
	Bases  map[string]Base `json:"bases"` // by "OWNER NAME" as configured
}

// PinsPath is where they are.
func PinsPath(region string) string { return "cloudformation/evidence/images/base." + region + ".json" }

func pinName(b config.Bake) string { return b.Owner + " " + b.Name }

func pins(ctx context.Context, t *trail.Trail, region string) (Pins, error) {
	p := Pins{Schema: 1, Region: region, Bases: map[string]Base{}}
	b, ok, err := t.Read(ctx, PinsPath(region))
	if err != nil || !ok {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil || p.Bases == nil {
		return p, fmt.Errorf("read %s of the trail: it names no base images: %w", PinsPath(region), err)
	}
	return p, nil
}

func (p Pins) with(b config.Bake, base Base) (map[string][]byte, error) {
	p.Bases[pinName(b)] = base
	out, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("pin the base image: %w", err)
	}
	return map[string][]byte{PinsPath(p.Region): append(out, '\n')}, nil
}

// NoBaseError says that there is no base image to bake from.
type NoBaseError struct {
	Bake   config.Bake
	Region string
	Pinned string // the id that Git names and EC2 does not have, or ""
	Unset  bool   // Git names none
}

// Error names what was looked for.
func (e *NoBaseError) Error() string {
	switch {
	case e.Pinned != "":
		return fmt.Sprintf("the base image %s, which Git names, is not in %s any more", e.Pinned, e.Region)
	case e.Unset:
		return fmt.Sprintf("Git names no base image of owner %s named %q for %s yet", e.Bake.Owner, e.Bake.Name, e.Region)
	}
	return fmt.Sprintf("no image of owner %s named %q in %s", e.Bake.Owner, e.Bake.Name, e.Region)
}

// Next is what a person can do about it.
func (e *NoBaseError) Next() []string {
	if e.Pinned != "" || e.Unset {
		return []string{"./station.sh base:update  # looks up the newest and writes it into Git"}
	}
	return []string{"see bake.owner and bake.name in chain.yaml"}
}

// FindBase is the base image that Git names. With none named yet it is an
// error, unless the target says that the first one found is pinned.
func FindBase(ctx context.Context, c *compute.Client, b config.Bake, region string, pinned *Base, first bool) (Base, error) {
	if pinned == nil {
		if !first {
			return Base{}, &NoBaseError{Bake: b, Region: region, Unset: true}
		}
		return NewestBase(ctx, c, b, region)
	}
	i, err := c.Image(ctx, pinned.ID)
	if err != nil {
		return Base{}, err
	}
	if i == nil || i.State != "available" {
		return Base{}, &NoBaseError{Bake: b, Region: region, Pinned: pinned.ID}
	}
	if i.Owner != b.Owner {
		// Whoever wrote the pin, chain.yaml says whom we trust.
		return Base{}, fmt.Errorf("the base image %s is of account %s, chain.yaml trusts %s alone", i.ID, i.Owner, b.Owner)
	}
	return baseOf(*i), nil
}

// NewestBase is the newest image of the owner that chain.yaml trusts. A name
// alone is never enough: anybody may publish an image of any name.
func NewestBase(ctx context.Context, c *compute.Client, b config.Bake, region string) (Base, error) {
	list, err := c.Images(ctx, compute.ImageQuery{Owner: b.Owner, Name: b.Name})
	if err != nil {
		return Base{}, err
	}
	list = slices.DeleteFunc(list, func(i compute.Image) bool {
		return i.State != "available" || i.Owner != b.Owner
	})
	if len(list) == 0 {
		return Base{}, &NoBaseError{Bake: b, Region: region}
	}
	return baseOf(list[0]), nil
}

// fits refuses a base image that the builder's instance type cannot run.
func fits(ctx context.Context, o Options, b Base) error {
	runs, err := o.Client.Architectures(ctx, o.Bake.InstanceType)
	if err != nil && compute.Code(err) != "InvalidInstanceType" {
		return err
	}
	if err == nil && (b.Architecture == "" || len(runs) == 0 || slices.Contains(runs, b.Architecture)) {
		return nil
	}
	what := fmt.Sprintf("the base image is of architecture %s, %s runs %s", b.Architecture, o.Bake.InstanceType, strings.Join(runs, ", "))
	if err != nil {
		what = "there is no instance type " + o.Bake.InstanceType
	}
	return &report.Failure{
		Code: report.Usage, ID: "E-BAKE-12", What: what, Where: b.String() + " in " + o.Target.Region, State: "nothing was made",
		Next: []string{"set bake.instance_type or bake.name in chain.yaml to fit each other", "./station.sh base:update"}, Err: err,
	}
}

// BaseUpdate is what UpdateBase found and wrote.
type BaseUpdate struct {
	Was     *Base // nil: none was pinned
	Is      Base
	Written trail.Written
}

// Lines tell it.
func (u BaseUpdate) Lines(now time.Time) []string {
	age := func(b Base) string {
		if b.Created.IsZero() {
			return b.String()
		}
		return fmt.Sprintf("%s of %s, %d days old", b, b.Created.UTC().Format("2006-01-02"), int(now.Sub(b.Created)/(24*time.Hour)))
	}
	switch {
	case u.Was == nil:
		return []string{"base image: " + age(u.Is), "none was pinned before"}
	case u.Was.ID == u.Is.ID:
		return []string{"base image: " + age(u.Is), "it is the newest, nothing to do"}
	}
	out := []string{"base image was: " + age(*u.Was), "base image is:  " + age(u.Is)}
	if u.Is.Architecture != u.Was.Architecture {
		out = append(out, fmt.Sprintf("architecture %s -> %s", u.Was.Architecture, u.Is.Architecture))
	}
	if !u.Was.Created.IsZero() && !u.Is.Created.IsZero() {
		out = append(out, fmt.Sprintf("newer by %d days", int(u.Is.Created.Sub(u.Was.Created)/(24*time.Hour))))
	}
	return append(out, "every image gets another key: the next bake makes it anew, and image:diff then tells the packages that changed")
}

// UpdateBase looks up the newest base image and writes it into Git, on the
// branch of the trail. Nothing is written if it is there already.
func UpdateBase(ctx context.Context, o Options) (BaseUpdate, error) {
	p, err := pins(ctx, o.Trail, o.Target.Region)
	if err != nil {
		return BaseUpdate{}, err
	}
	var u BaseUpdate
	if was, ok := p.Bases[pinName(o.Bake)]; ok {
		u.Was = &was
	} else if last, err := Last(ctx, o.Trail, o.Role, o.Target.Region); err != nil {
		return u, err
	} else if last != nil {
		u.Was = &last.Base
	}
	if u.Is, err = NewestBase(ctx, o.Client, o.Bake, o.Target.Region); err != nil {
		return u, explain(ctx, o, &State{}, err)
	}
	if err := fits(ctx, o, u.Is); err != nil {
		return u, err
	}
	files, err := p.with(o.Bake, u.Is)
	if err != nil {
		return u, err
	}
	u.Written, err = o.Trail.Write(ctx, trail.Entry{
		Kind: "base", Subject: fmt.Sprintf("base image of %s: %s", o.Target.Region, u.Is), Files: files,
		Trailers: []trail.Trailer{
			{Key: "Region", Value: o.Target.Region},
			{Key: "Operation", Value: "base-update"},
			{Key: "Base-Image", Value: u.Is.ID},
			{Key: "Commit", Value: o.Trail.Head()},
			{Key: "Run", Value: o.Run},
		},
	})
	return u, explain(ctx, o, &State{}, err)
}
