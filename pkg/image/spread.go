package image

import (
	"context"
	"fmt"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// Spread copies an image that a trusted key vouches for to the regions of
// Options.Copies, whatever HEAD's recipe is by now, and vouches for the copies. No
// template is written. Copies that are there are the ones; the ids come in the
// order of Options.Copies.
func Spread(ctx context.Context, run *pipeline.Run, o Options, ami string) ([]string, error) {
	o = o.filled()
	story, ok, err := Story(ctx, o, ami)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("nobody vouches for the image %s, it is not copied", ami)
	}
	o.Role = story.Role
	base := Base{ID: story.Base.ID, Name: story.Base.Name, Owner: story.Base.Owner}
	s := &State{began: story.Began, Result: Result{
		Image: ami, Name: story.Name, Recipe: Recipe{Key: story.Key, Role: story.Role, Commit: story.Commit, Base: base, Parts: story.Parts, Files: story.Files, Tools: story.Tools},
	}}
	list, err := s.everywhere(ctx, run, o)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range list {
		out = append(out, c.image.ID)
	}
	if len(s.copies) > 0 {
		_, err = o.Trail.Write(ctx, attestation(o, ami, s.copies))
	}
	return out, err
}
