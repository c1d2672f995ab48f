package recovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
)

// data finds the snapshot that the database is restored from: the newest of this
// region, copies included, that is not later than At. An environment without a
// database has none, and to begin with an empty one would not be a recovery.
func data(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	c := s.Chain
	e := c.Environment
	if e.Database == nil {
		if s.At.IsZero() {
			return nil, nil
		}
		return fault("the same command without -at", "%s keeps no data, there is none of %s to restore", e.Stack(), s.At.UTC().Format(time.RFC3339)), nil
	}
	db := c.Databases
	list, err := db.Find(ctx, database.Query{})
	if err != nil {
		return nil, err
	}
	var newest *database.Snapshot
	var later []string
	for _, one := range list {
		switch {
		case !ofStack(one, e.Stack()) || one.Status != "available":
		case !s.At.IsZero() && one.Created.After(s.At):
			later = append(later, one.Created.UTC().Format(time.RFC3339))
		case newest == nil:
			newest = &one
		}
	}
	if newest == nil {
		what := fmt.Sprintf("there is no snapshot of %s's database in %s", e.Stack(), c.Place.Region)
		next := []string{}
		if len(later) > 0 {
			slices.Sort(later)
			what += " of " + s.At.UTC().Format(time.RFC3339) + " or before"
			next = append(next, "the same command with -at="+later[0]+"  # the oldest there is")
		}
		if from := e.Regions[0]; from != c.Place.Region {
			next = append(next, "aws rds copy-db-snapshot --region "+c.Place.Region+" --source-region "+from+" --source-db-snapshot-identifier ARN --target-db-snapshot-identifier "+e.Stack()+"-snapshot-rescued --copy-tags  # if "+from+" still answers")
		}
		return []Fault{{what, append(next, "aws rds describe-db-snapshots --region REGION  # in every region and account that may hold a copy")}}, nil
	}
	if bad := s.locked(ctx, run, db, newest); bad != nil {
		return bad, nil
	}
	s.Release.Snapshot, s.restored = newest.ID, newest.Created
	if strings.Contains(newest.ARN, ":snapshot:rds:") || newest.Kind == "shared" {
		s.Release.Snapshot = newest.ARN
	}
	s.Report.restores(newest, e.Recovery.RPO)
	s.Report.input("database snapshot", newest.ARN)
	run.Note("the database is restored from %s of %s", newest.ID, newest.Created.UTC().Format(time.RFC3339))
	return nil, nil
}

// locked is what keeps a snapshot from being read: the key that it is encrypted by.
func (s *State) locked(ctx context.Context, run *pipeline.Run, db *database.Client, snap *database.Snapshot) []Fault {
	if !snap.Encrypted || snap.Key == "" {
		return nil
	}
	state, err := db.Key(ctx, snap.Key)
	if err != nil {
		run.Note("whether the key of %s can be used is not known: %v", snap.ID, err)
		s.Report.find("whether the key of " + snap.ID + " can be used was not known beforehand: " + err.Error())
		return nil
	}
	if state == "Enabled" {
		return nil
	}
	next := []string{"aws rds describe-db-snapshots --region " + s.Chain.Place.Region + "  # one by another key: -at=ITS TIME takes it"}
	switch state {
	case "Disabled":
		next = append(next, "aws kms enable-key --region "+s.Chain.Place.Region+" --key-id "+snap.Key)
	case "PendingDeletion":
		next = append(next, "aws kms cancel-key-deletion --region "+s.Chain.Place.Region+" --key-id "+snap.Key+"  # then enable-key")
	}
	return []Fault{{fmt.Sprintf("the snapshot %s is encrypted by the key %s, which is %s", snap.ID, snap.Key, strings.ToLower(state)), next}}
}

// ofStack says whether a snapshot holds the data of a stack's own database: by
// the name that CloudFormation gave it, or the tag that the template did and
// that goes along with copies.
func ofStack(s database.Snapshot, stack string) bool {
	return s.Tags[TagBackup] == stack || s.Tags["Name"] == stack+" database" || s.Of(stack) || strings.HasPrefix(s.Instance, strings.ToLower(stack)+"-database-")
}
