package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// ToolsRole is the role of images that hold the base and the bake's tools. No
// machine of an environment is started from one.
const ToolsRole = "tools"

// toolsPaths are what decides on the packages of the tools.
var toolsPaths = []string{"packer/provision.sh", toolsFile, "puppet/Puppetfile"}

// readTools is the recipe of the image that a bake of r starts from; false if
// r has no stage of its own for the tools.
func readTools(ctx context.Context, o Options, r Recipe) (Recipe, bool, error) {
	t := Recipe{Role: ToolsRole, Commit: r.Commit, Base: r.Base, Tools: r.Tools, Parts: map[string]string{"base": r.Base.ID}}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\x00", ToolsRole, r.Base.ID)
	for _, path := range toolsPaths {
		body, ok, err := o.Clone.Read(ctx, r.Commit, path)
		if err != nil || !ok {
			return t, false, err
		}
		sum := sha256.Sum256(body)
		t.Parts[path] = hex.EncodeToString(sum[:])
		fmt.Fprintf(h, "%s %x\x00", path, sum)
	}
	t.Key = hex.EncodeToString(h.Sum(nil))[:keyLength]
	return t, true, nil
}

// findTools finds or makes the image that the bake starts from: the base with
// Puppet and Serverspec installed, which takes as long as all the rest. What it
// is made of decides on its key, so it never decides what is on an image; that
// nothing of the tools stays is proved by each bake for itself.
func findTools(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	if s.Result.Reused || s.image != nil {
		return nil
	}
	recipe, ok, err := readTools(ctx, o, s.Result.Recipe)
	if err != nil || !ok {
		return err
	}
	o.Role, o.Force = ToolsRole, false
	t := &State{Result: Result{Recipe: recipe}, stage: "tools"}
	found, err := Find(ctx, o.Client, o.Role, recipe.Key, "")
	if err != nil {
		return err
	}
	if found == nil {
		if found, err = makeTools(ctx, run, o, t); err != nil {
			return err
		}
	}
	s.from = found.ID
	run.Fact("from", fmt.Sprintf("%s, %s with the tools", s.from, recipe.Base.ID))
	return nil
}

// makeTools bakes it, under a lock of its own: bakes of several roles share it.
func makeTools(ctx context.Context, run *pipeline.Run, o Options, t *State) (*compute.Image, error) {
	run.Note("making the image of the tools first: later bakes of this base start from it")
	if err := takeLock(ctx, run, o, t); err != nil {
		return nil, err
	}
	if t.Result.Reused { // somebody was quicker
		return o.Client.Image(ctx, t.Result.Image)
	}
	if err := clearDead(ctx, run, o, t); err != nil {
		return nil, err
	}
	if t.image == nil {
		if err := runPacker(ctx, run, o, t); err != nil {
			return nil, err
		}
	}
	if err := tagGood(ctx, run, o, t); err != nil {
		return nil, err
	}
	return t.image, t.lock.Release(ctx)
}
