package rehearsal

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Data is what a rehearsal does about databases.
type Data struct {
	Client *database.Client
	// Instance is production's database; "": there is none, or its data plays no part.
	Instance string
	// Snapshot is what the test stack's database is restored from; Take sets it.
	Snapshot string
}

// typeDatabase begins the types of what CloudFormation makes final snapshots of.
const typeDatabase = "AWS::RDS::"

func needsData(s *State) string {
	switch {
	case s.Baseline == nil:
		return needsBaseline(s)
	case s.Data.Instance == "":
		return "no database is copied"
	case s.Before != nil:
		return "the test stack has its copy already"
	}
	return ""
}

// takeSnapshot has production's database saved, for the test stack alone. Its name
// and its tags say so, so that it is found and deleted whatever becomes of this run.
func takeSnapshot(ctx context.Context, run *pipeline.Run, s *State) error {
	id := database.CopyOf(s.Stack.Name, s.Run)
	run.Await("snapshot %s of %s", id, s.Data.Instance)
	defer run.Await("")
	if err := s.Data.Client.Save(ctx, s.Data.Instance, id, maps.Clone(s.Tags)); err != nil {
		return err
	}
	s.Data.Snapshot = id
	run.Note("%s is a copy of production's database %s", id, s.Data.Instance)
	return nil
}

// adopt goes on with the copy that an interrupted rehearsal made its stack's
// database from, if it is there still.
func (s *State) adopt(ctx context.Context, values map[string]string) error {
	if s.Data.Instance == "" {
		return nil
	}
	for _, v := range values {
		if !strings.HasPrefix(v, database.CopyOf(s.Stack.Name, "")) {
			continue
		}
		list, err := s.Data.Client.Find(ctx, database.Query{ID: v})
		if err != nil {
			return err
		}
		if len(list) > 0 && list[0].Status == "available" {
			s.Data.Snapshot = v
		}
	}
	return nil
}

// erase deletes the test stack, whatever it is doing, and with it all snapshots
// that were made for it or as it went.
func (s *State) erase(ctx context.Context) error {
	holds, err := s.Stack.Has(ctx, typeDatabase)
	if s.Apart != nil {
		err = errors.Join(err, s.Apart(ctx, s.Stack.Name, s.token("delete-beside")))
	}
	err = errors.Join(err, s.Stack.Delete(ctx, s.token("delete")))
	if s.Data.Client == nil || !holds && s.Data.Instance == "" && !s.madeData() {
		return err
	}
	return errors.Join(err, s.Data.Client.Forget(ctx, s.Stack.Name))
}

// madeData says whether one side of the change may have made a database on the
// test stack: one that was taken back leaves its final snapshot.
func (s *State) madeData() bool {
	for _, d := range []*Deployment{s.Baseline, s.Candidate} {
		if d != nil && strings.Contains(d.Body, typeDatabase) {
			return true
		}
	}
	return false
}

// passing are the logical ids whose replacement or removal on the test stack loses
// nothing: those that somebody allowed, and what the rehearsed change itself added.
func (s *State) passing() []string {
	out := append([]string{}, s.Allow...)
	for id, c := range s.Record.Changes {
		if c.Action == "Add" {
			out = append(out, id)
		}
	}
	return out
}

// Lossy is the failure, under a code, of a change that takes data or addresses
// away. Each of bad begins with a logical id.
func Lossy(code string, bad []string) error {
	var ids []string
	for _, b := range bad {
		id, _, _ := strings.Cut(b, " ")
		ids = append(ids, id)
	}
	return &report.Failure{
		Code: report.Policy, ID: code, What: "data or addresses would be lost: " + strings.Join(bad, "; "), State: "production is untouched",
		Next: []string{"./station.sh diff", "the same command with -allow=" + strings.Join(ids, ",") + "  # if that is what is wanted; a final snapshot stays of a database"},
	}
}
