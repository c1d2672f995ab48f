package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
)

// Declared are the kinds of things from outside the repository that a recovery may
// rest on; docs/runbook.md names them. recovery.inputs of chain.yaml adds to them.
var Declared = []string{"credentials", "trail", "signing key", "image", "base image", "packages", "database snapshot", "vault", "Akamai"}

// where are the variables that say where something is done, not what.
var where = []string{"CHAIN_TARGET", "CHAIN_SITE", "CHAIN_REGION", "CHAIN_VERBOSE"}

// undeclared names what this run takes from outside the repository, and a person
// with nothing but a clone would not have: values of variables, and files that Git
// does not hold. What it takes is listed among the report's inputs.
func undeclared(ctx context.Context, c *release.Chain, r *Report) ([]Fault, error) {
	may := append(slices.Clone(Declared), c.Environment.Recovery.Inputs...)
	var out []Fault
	take := func(name, value, next string) {
		r.input(name, value)
		if !slices.Contains(may, name) {
			out = append(out, Fault{fmt.Sprintf("%s (%s) is from outside the repository, and chain.yaml does not declare it", name, value), []string{next, "add " + name + " to recovery.inputs in chain.yaml, if whoever recovers has it"}})
		}
	}
	for _, v := range config.Variables {
		secret := strings.HasPrefix(v.Name, "CHAIN_TEAMCITY") // of no use to a recovery
		if c.Config.Value(v.Name) == "" || secret || strings.HasPrefix(v.Name, "CHAIN_LAB") || slices.Contains(where, v.Name) {
			continue
		}
		take(v.Name, c.Config.Value(v.Name), "unset "+v.Name)
	}
	files := []string{config.File, c.Place.Template()}
	if f := c.Environment.Site.UserData; f != "" {
		files = append(files, f)
	}
	for _, f := range files {
		_, ok, err := c.Clone.Read(ctx, c.Trail.Head(), f)
		if err != nil {
			return nil, err
		}
		if !ok {
			take(f, "a file of this machine", "git add "+f+" && git commit")
		}
	}
	return out, nil
}

func declaredOnly(ctx context.Context, _ *pipeline.Run, s *State) ([]Fault, error) {
	return undeclared(ctx, s.Chain, &s.Report)
}
