package image_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// TestNoKeptReleaseBecomesUndeployable prunes worlds made at random and then
// looks for something that cannot be started, rolled back or deployed any more.
func TestNoKeptReleaseBecomesUndeployable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ami := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("ami-0000000%d", rapid.IntRange(0, 9).Draw(t, "image")) })
		u := image.Uses{Stacks: map[string][]string{}, Git: map[string][]string{}, Releases: map[trail.Place][]trail.Release{}}
		u.Keep = rapid.IntRange(1, 4).Draw(t, "keep")
		for n := range 10 {
			u.Images = append(u.Images, compute.Image{ID: fmt.Sprintf("ami-0000000%d", n), Tags: compute.Tags{image.TagKey: fmt.Sprintf("key%d", n/2)}})
		}
		u.Keys = rapid.SliceOfN(rapid.SampledFrom([]string{"key0", "key3", "key9"}), 0, 2).Draw(t, "keys")
		for range rapid.IntRange(0, 4).Draw(t, "machines") {
			u.Machines = append(u.Machines, compute.Machine{ID: "i", Image: ami.Draw(t, "runs"), State: rapid.SampledFrom([]string{"pending", "running", "stopping", "stopped", "shutting-down", "terminated"}).Draw(t, "state")})
		}
		for n := range rapid.IntRange(0, 3).Draw(t, "stacks") {
			u.Stacks[fmt.Sprint("stack", n)] = rapid.SliceOfN(ami, 0, 2).Draw(t, "named")
		}
		for range rapid.IntRange(0, 3).Draw(t, "templates") {
			u.Templates = append(u.Templates, compute.TemplateUse{ID: "lt", Version: "1", Image: ami.Draw(t, "template"), What: "the newest"})
		}
		for range rapid.IntRange(0, 3).Draw(t, "files") {
			u.Git[ami.Draw(t, "in Git")] = []string{"cloudformation/x.yaml"}
		}
		for _, env := range []string{"production", "staging"} {
			place := trail.Place{Site: "web", Environment: env, Region: "eu-west-1"}
			count := rapid.IntRange(0, 7).Draw(t, "releases")
			for n := count; n > 0; n-- {
				r := trail.Release{Number: n, Place: place, Candidate: trail.Deployment{Image: ami.Draw(t, "to")}}
				if n > 1 {
					r.Baseline.Image = ami.Draw(t, "from")
				}
				if n < count || rapid.Bool().Draw(t, "ended") {
					r.Outcome = &trail.Outcome{Result: rapid.SampledFrom([]string{trail.Released, "rolled-back", "failed"}).Draw(t, "result")}
				}
				u.Releases[place] = append(u.Releases[place], r)
			}
		}

		kept, why := map[string]bool{}, map[string][]string{}
		for _, v := range image.Judge(u) {
			kept[v.Image.ID], why[v.Image.ID] = len(v.Why) > 0, v.Why
		}
		if len(kept) != len(u.Images) {
			t.Fatalf("%d images were judged, not %d", len(kept), len(u.Images))
		}
		needed := map[string]bool{}
		need := func(id, what string) {
			needed[id] = true
			if id != "" && !kept[id] {
				t.Fatalf("%s is removed and yet %s", id, what)
			}
		}
		for _, m := range u.Machines {
			if m.State != "terminated" {
				need(m.Image, "a machine runs it")
			}
		}
		for name, list := range u.Stacks {
			for _, id := range list {
				need(id, name+" could not launch")
			}
		}
		for _, x := range u.Templates {
			need(x.Image, "a group could not launch")
		}
		for id := range u.Git {
			need(id, "a template of Git could not be deployed")
		}
		for place, list := range u.Releases {
			for n, r := range list {
				if n < u.Keep || r.Outcome == nil {
					need(r.Candidate.Image, place.Tag(r.Number)+" could not be deployed again")
					need(r.Baseline.Image, place.Tag(r.Number)+" could not be rolled back")
				}
			}
		}
		for _, i := range u.Images {
			if slices.Contains(u.Keys, i.Tags[image.TagKey]) {
				needed[i.ID] = true
			}
			if kept[i.ID] && !needed[i.ID] {
				t.Fatalf("%s is kept for nothing: %v", i.ID, why[i.ID])
			}
		}
	})
}

func TestPruneRemovesImageAndSnapshotsAndMindsTheProtection(t *testing.T) {
	b := newBench(t)
	var made []image.Result
	for _, page := range []string{"Hello World 1", "Hello World 2", "Hello World 3"} {
		put(t, b.dir, "puppet/page", page)
		commit(t, b.dir, page)
		r, err := b.bake(b.options())
		require.NoError(t, err)
		made = append(made, r)
	}
	account := b.account()
	look := func() []image.Verdict {
		u, err := image.Look(t.Context(), b.options(), account, []trail.Place{production}, []config.Image{{Role: "web"}}, 3)
		require.NoError(t, err)
		return image.Judge(u)
	}
	text := func() string {
		var out []string
		for _, v := range look() {
			out = append(out, v.String())
		}
		return strings.Join(out, "\n")
	}
	assert.Contains(t, text(), "remove "+made[0].Image)
	assert.Contains(t, text(), "keep   "+made[2].Image)
	assert.Contains(t, text(), production.Template()+" names it")
	assert.Contains(t, text(), "of the recipe of HEAD")

	// A machine somewhere keeps its image, whatever made it.
	m, err := b.client.StartMachine(t.Context(), compute.Start{Image: made[0].Image, Type: "t3.small"})
	require.NoError(t, err)
	assert.Contains(t, text(), "keep   "+made[0].Image)
	assert.Contains(t, text(), "1 machines run it")
	// One that was started after the look does, too.
	list := look()
	for n := range list {
		if list[n].Image.ID == made[0].Image {
			list[n].Why = nil
		}
	}
	require.NoError(t, b.client.Protect(t.Context(), made[1].Image))
	var told []string
	require.NoError(t, image.Prune(t.Context(), b.options(), list, func(l string) { told = append(told, l) }))
	assert.Contains(t, strings.Join(told, "\n"), "a machine has been started from it")
	assert.Contains(t, strings.Join(told, "\n"), "removed "+made[1].Image)
	gone, err := b.client.Image(t.Context(), made[1].Image)
	require.NoError(t, err)
	assert.Nil(t, gone)
	snapshots, err := b.client.Snapshots(t.Context(), compute.Tags{image.TagKey: made[1].Recipe.Key})
	require.NoError(t, err)
	assert.Empty(t, snapshots)

	// One with a cool-down goes a day later.
	require.NoError(t, b.client.Terminate(t.Context(), m.ID))
	b.tools.until(func() bool {
		now, err := b.client.Machine(t.Context(), m.ID)
		return err == nil && (now == nil || now.State == "terminated")
	})
	b.protectWithCooldown(made[0].Image)
	told = nil
	require.NoError(t, image.Prune(t.Context(), b.options(), look(), func(l string) { told = append(told, l) }))
	assert.Contains(t, strings.Join(told, "\n"), "later  "+made[0].Image)
	told = nil
	require.NoError(t, image.Prune(t.Context(), b.options(), look(), func(l string) { told = append(told, l) }))
	assert.Contains(t, strings.Join(told, "\n"), "later  "+made[0].Image)
}
