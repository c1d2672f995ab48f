package image

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Record is what the trail knows of the newest image of a role in a region. It
// holds nothing but what follows from the image, so that writing down the same
// image twice changes nothing.
type Record struct {
	Schema int    `json:"schema"` // 1
	Region string `json:"region"`
	Image  string `json:"image"`
	Name   string `json:"name"`
	Recipe
}

// RecordPath is where it is.
func RecordPath(role, region string) string {
	return "cloudformation/evidence/images/" + role + "." + region + ".json"
}

// PackagesPath is where the list of the image's packages is.
func PackagesPath(role, region string) string {
	return "cloudformation/evidence/images/" + role + "." + region + ".packages.txt"
}

// Last is the record of a role's newest image, nil before the first.
func Last(ctx context.Context, t *trail.Trail, role, region string) (*Record, error) {
	b, ok, err := t.Read(ctx, RecordPath(role, region))
	if err != nil || !ok {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read %s of the trail: %w", RecordPath(role, region), err)
	}
	return &r, nil
}

// write makes the image the default of its parameter in the templates of all places,
// and records it: one commit, or none if all of it is so already.
func write(ctx context.Context, o Options, s *State) (trail.Written, error) {
	r := Record{Schema: 1, Region: o.Target.Region, Image: s.Result.Image, Name: s.Result.Name, Recipe: s.Result.Recipe}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return trail.Written{}, fmt.Errorf("record the image: %w", err)
	}
	files := map[string][]byte{RecordPath(o.Role, o.Target.Region): append(b, '\n')}
	if len(s.Result.Packages) > 0 {
		files[PackagesPath(o.Role, o.Target.Region)] = []byte(strings.Join(s.Result.Packages, "\n") + "\n")
	} else if s.last != nil && s.last.Image != r.Image {
		// The list that is there is another image's.
		files[PackagesPath(o.Role, o.Target.Region)] = nil
	}
	maps.Copy(files, s.pins)
	maps.Copy(files, s.copies)
	if !s.Result.Reused {
		sealed, err := seal(ctx, o, s)
		if err != nil {
			return trail.Written{}, err
		}
		maps.Copy(files, sealed)
	}
	var sites []string
	for _, p := range o.Places {
		body, err := o.Trail.WithImageOf(ctx, p.Template(), o.Parameter, s.Result.Image)
		if err != nil {
			return trail.Written{}, err
		}
		files[p.Template()] = body
		if !slices.Contains(sites, p.Site) {
			sites = append(sites, p.Site)
		}
	}
	if len(sites) == 0 { // nobody deploys it
		sites = []string{"-"}
	}
	operation := "bake"
	if s.Result.Reused {
		operation = "reuse"
	}
	return o.Trail.Write(ctx, trail.Entry{
		Kind:    "image",
		Subject: fmt.Sprintf("%s: image %s of recipe %s", o.Role, r.Image, r.Key),
		Trailers: []trail.Trailer{
			{Key: "Role", Value: o.Role},
			{Key: "Site", Value: strings.Join(sites, " ")},
			{Key: "Region", Value: r.Region},
			{Key: "Operation", Value: operation},
			{Key: "Image", Value: r.Image},
			{Key: "Image-Name", Value: r.Name},
			{Key: "Image-Key", Value: r.Key},
			{Key: "Base-Image", Value: r.Base.ID},
			{Key: "Commit", Value: o.Trail.Head()},
			{Key: "Run", Value: o.Run},
		},
		Files: files,
	})
}
