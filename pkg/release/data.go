package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// ConfiguredDatabases is the client of databases, nil where chain.yaml has none: then
// nobody needs to be allowed to look for them.
func (c *Chain) ConfiguredDatabases() *database.Client {
	for _, s := range c.Config.Sites {
		for _, e := range s.Environments {
			if e.Database != nil {
				return c.Databases
			}
		}
	}
	return nil
}

// noDatabase leaves out what is for environments with a database.
func noDatabase(s *State) string {
	switch {
	case s.Nothing != "":
		return s.Nothing
	case s.Environment.Database == nil:
		return "there is no database"
	}
	return ""
}

// password sees to it that a database which is to be made has one.
func password(ctx context.Context, run *pipeline.Run, s *State) error {
	name := template.Parameters(s.Environment)[template.DatabasePassword]
	made, err := s.Databases.Password(ctx, name)
	if made {
		run.Note("%s in the parameter store is the password of the database: made", name)
	}
	return err
}

// living is the id of production's database that a rehearsal works on a copy of.
func (s *State) living() string {
	if d := s.Environment.Database; s.Live == nil || d != nil && d.Empty {
		return ""
	}
	return s.Live.Resources[template.DatabaseID].ID
}

// withData are parameter values with the snapshot that the living database came
// from, where the values name none: it has to stay what it was.
func (s *State) withData(values map[string]string) map[string]string {
	was, is := s.Live.Parameters[template.SnapshotID]
	if _, has := values[template.SnapshotID]; !is || !has || values[template.SnapshotID] != "" {
		return values
	}
	out := maps.Clone(values)
	out[template.SnapshotID] = was
	return out
}

// forTest are the values of a test stack. Its database is restored from the copy
// that was made for it, unless a change says that production's comes from elsewhere.
func (s *State) forTest(values map[string]string, name string) map[string]string {
	out := template.ForTest(values, s.Environment.Site, name)
	if from, has := out[template.SnapshotID]; has && s.Live != nil && s.Live.Resources[template.DatabaseID].ID != "" && from == s.Live.Parameters[template.SnapshotID] {
		out[template.SnapshotID] = s.Rehearsal.Data.Snapshot
	}
	return out
}

// losses are the resources of production that the candidate's template does not
// have any more, as far as they hold data or addresses, and those that would be made
// anew since what they were restored from changes: CloudFormation does that without
// a word. What else is lost the change set tells.
func (s *State) losses(ctx context.Context) ([]string, error) {
	if s.Live == nil {
		return nil, nil
	}
	c := s.Rehearsal.Candidate
	if c == nil { // its image is not baked yet, and is nothing to the data
		body, err := s.Trail.WithImage(ctx, s.Place.Template(), s.Live.Image())
		if err != nil {
			return nil, err
		}
		c = &rehearsal.Deployment{Body: string(body), Parameters: s.withCapacity(template.Parameters(s.Environment))}
	}
	was, err := template.Restored([]byte(s.Live.Body), s.Live.Parameters)
	if err != nil {
		return nil, nil //nolint:nilerr // what runs was made by somebody else, in words of his own
	}
	is, err := template.Restored([]byte(c.Body), c.Parameters)
	if err != nil {
		return nil, err
	}
	kinds, err := template.Kinds([]byte(c.Body))
	if err != nil {
		return nil, err
	}
	var out []string
	gone := stack.Shape{}
	for id, r := range s.Live.Resources {
		switch {
		case kinds[id] == "":
			gone[id] = stack.ResourceChange{Type: r.Type, Action: "Remove"}
		case was[id] != is[id] && r.ID != "" && !slices.Contains(s.Allow, id):
			out = append(out, fmt.Sprintf("%s (%s) would be made anew: the snapshot it came from was %q and is %q", id, r.Type, was[id], is[id]))
		}
	}
	out = append(out, gone.Refusals(s.Allow...)...)
	slices.Sort(out)
	return out, nil
}

// guardData refuses a change that loses data, before anybody waits for a bake or a
// rehearsal of it.
func guardData(ctx context.Context, _ *pipeline.Run, s *State) error {
	bad, err := s.losses(ctx)
	if err != nil || len(bad) == 0 {
		return err
	}
	return rehearsal.Lossy("E-REL-17", bad)
}

// open is a stack policy that lets everything through.
const open = `{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}]}`

// unlock opens the stack policy for a change that was allowed by name: an update
// by change set cannot be let past it otherwise. What else the change does was
// compared with the rehearsed one.
func (s *State) unlock(ctx context.Context, run *pipeline.Run) error {
	if s.Live == nil || s.Proposal == nil || len(s.Proposal.Shape.Refusals()) == 0 || strings.TrimSpace(s.Live.Policy) == "" {
		return nil
	}
	run.Note("allowed by name: %s; the stack policy is open meanwhile", strings.Join(s.Allow, ", "))
	run.Defer("the stack policy", s.lockUp)
	return s.Stack().SetPolicy(ctx, open)
}

// lockUp sets the stack policy that Git has, unless it is set already.
func (s *State) lockUp(ctx context.Context) error {
	policy, err := s.policy(ctx)
	if err != nil || policy == "" {
		return err
	}
	now, err := s.Stack().Status(ctx)
	if errors.Is(err, stack.ErrAbsent) || err == nil && !stack.Ended(now.Status) {
		return nil // whoever finishes it sets it
	}
	if err != nil {
		return err
	}
	return s.Stack().SetPolicy(ctx, policy)
}
