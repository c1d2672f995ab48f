package release

import (
	"context"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Prune judges all images of the account and region: what needs each, or that
// nothing does. With remove, what nothing needs is removed, image and snapshots
// together. Each verdict is told as a line.
func (c *Chain) Prune(ctx context.Context, remove bool, tell func(string)) error {
	var places []trail.Place
	roles := c.Config.Loose()
	for _, site := range c.Config.Sites {
		for _, i := range c.Config.Roles(site) {
			if !slices.ContainsFunc(roles, func(r config.Image) bool { return r.Role == i.Role }) {
				roles = append(roles, i)
			}
		}
		for _, e := range site.Environments {
			for _, region := range e.Regions {
				places = append(places, trail.Place{Site: site.Name, Environment: e.Name, Region: region})
			}
		}
	}
	o := c.ImageOptions()
	uses, err := image.Look(ctx, o, c.Account, places, roles, c.Config.Bake.Keep)
	if err != nil {
		return explain(ctx, "look for what needs the images; nothing was removed", &State{Chain: c}, err)
	}
	list := image.Judge(uses)
	removable := 0
	for _, v := range list {
		tell(v.String())
		if len(v.Why) == 0 {
			removable++
		}
	}
	switch {
	case removable == 0:
		tell("every image is needed")
		return nil
	case !remove:
		tell("nothing was removed; ./station.sh image:prune -delete removes what nothing needs")
		return nil
	}
	return explain(ctx, "remove images", &State{Chain: c}, image.Prune(ctx, o, list, tell))
}
