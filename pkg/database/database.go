// Package database is what the chain needs of RDS and of the parameter store:
// snapshots of databases, and the password of a new one.
package database

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/build-deploy-chain/chain/pkg/call"
	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
)

// Client talks to RDS and the parameter store in one account and region. It is
// safe for use by several goroutines.
type Client struct {
	cfg   aws.Config
	poll  config.Poll
	clock clock.Clock
}

// New makes a client that waits as poll says. It calls nothing.
func New(cfg aws.Config, poll config.Poll, c clock.Clock) *Client { return &Client{cfg, poll, c} }

func (c *Client) do(ctx context.Context, op call.Op) error { return call.Do(ctx, c.cfg, c.clock, op) }

func rds(action string, in url.Values, out any) call.Op {
	return call.Query("rds", "2014-10-31", action, in, out)
}

func parameters(action string, in, out any) (call.Op, error) {
	return call.JSON("ssm", "AmazonSSM."+action, in, out)
}

// Snapshot of a database.
type Snapshot struct {
	ID        string
	ARN       string
	Instance  string    // the database's id; it may be gone
	Kind      string    // "manual", "automated", "awsbackup"
	Status    string    // "creating", "available", …
	Created   time.Time // when the data was as it is in it, in a copy, too
	Encrypted bool
	Key       string // ARN of the KMS key that it is encrypted by
	Tags      map[string]string
}

// Query of snapshots; what is "" is not asked for.
type Query struct {
	ID, Instance, Kind string
}

type answer struct {
	Snapshots []struct {
		ID        string `xml:"DBSnapshotIdentifier"`
		ARN       string `xml:"DBSnapshotArn"`
		Instance  string `xml:"DBInstanceIdentifier"`
		Kind      string `xml:"SnapshotType"`
		Status    string
		Created   string `xml:"SnapshotCreateTime"`
		Original  string `xml:"OriginalSnapshotCreateTime"`
		Encrypted bool
		Key       string                        `xml:"KmsKeyId"`
		Tags      []struct{ Key, Value string } `xml:"TagList>Tag"`
	} `xml:"DescribeDBSnapshotsResult>DBSnapshots>DBSnapshot"`
	Marker string `xml:"DescribeDBSnapshotsResult>Marker"`
}

// Find lists snapshots, the newest first. One asked for by an id that is not
// there is none.
func (c *Client) Find(ctx context.Context, q Query) ([]Snapshot, error) {
	var out []Snapshot
	for marker := ""; ; {
		in := url.Values{}
		for k, v := range map[string]string{"DBSnapshotIdentifier": q.ID, "DBInstanceIdentifier": q.Instance, "SnapshotType": q.Kind, "Marker": marker} {
			if v != "" {
				in.Set(k, v)
			}
		}
		var page answer
		if err := c.do(ctx, rds("DescribeDBSnapshots", in, &page)); err != nil {
			if strings.HasPrefix(call.Code(err), "DBSnapshotNotFound") {
				return nil, nil
			}
			return nil, fmt.Errorf("list snapshots of databases: %w", err)
		}
		for _, s := range page.Snapshots {
			n := Snapshot{ID: s.ID, ARN: s.ARN, Instance: s.Instance, Kind: s.Kind, Status: s.Status, Encrypted: s.Encrypted, Key: s.Key, Tags: map[string]string{}}
			n.Created, _ = time.Parse(time.RFC3339, cmp.Or(s.Original, s.Created)) // none while it is made
			for _, t := range s.Tags {
				n.Tags[t.Key] = t.Value
			}
			out = append(out, n)
		}
		if marker = page.Marker; marker == "" {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b Snapshot) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// Save makes a snapshot of a database, tagged in the same call, and waits until
// it can be used. One of that name that is there already is the one.
func (c *Client) Save(ctx context.Context, instance, id string, tags map[string]string) error {
	in := url.Values{"DBInstanceIdentifier": {instance}, "DBSnapshotIdentifier": {id}}
	for i, k := range slices.Sorted(maps.Keys(tags)) {
		in.Set(fmt.Sprintf("Tags.Tag.%d.Key", i+1), k)
		in.Set(fmt.Sprintf("Tags.Tag.%d.Value", i+1), tags[k])
	}
	err := c.until(ctx, func(ctx context.Context) (bool, error) {
		err := c.do(ctx, rds("CreateDBSnapshot", in, &struct{}{}))
		switch call.Code(err) {
		case "DBSnapshotAlreadyExists":
			return true, nil
		case "InvalidDBInstanceState", "InvalidDBInstanceStateFault": // it is backed up or changed just now
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("make a snapshot of database %s: %w", instance, err)
	}
	return c.usable(ctx, id)
}

// usable waits until a snapshot is.
func (c *Client) usable(ctx context.Context, id string) error {
	return c.until(ctx, func(ctx context.Context) (bool, error) {
		list, err := c.Find(ctx, Query{ID: id})
		if err != nil || len(list) == 0 { // just made, and not told everywhere yet
			return false, err
		}
		if list[0].Status == "failed" {
			return false, fmt.Errorf("the snapshot %s failed", id)
		}
		return list[0].Status == "available", nil
	})
}

// Copy makes a copy of another region's snapshot in this one, with its tags, and
// waits until it can be used. One of that name that is there already is the one.
// key is a KMS key of this region; an encrypted snapshot needs one, and gets this
// region's default key for RDS if it is "".
func (c *Client) Copy(ctx context.Context, from Snapshot, id, key string) error {
	in := url.Values{"SourceDBSnapshotIdentifier": {from.ARN}, "TargetDBSnapshotIdentifier": {id}, "CopyTags": {"true"}}
	if from.Encrypted {
		in.Set("KmsKeyId", cmp.Or(key, "alias/aws/rds"))
	}
	err := c.do(ctx, rds("CopyDBSnapshot", in, &struct{}{}))
	if call.Code(err) != "DBSnapshotAlreadyExists" && err != nil {
		return fmt.Errorf("copy the snapshot %s: %w", from.ARN, err)
	}
	return c.usable(ctx, id)
}

// patience is how long a snapshot may be under way.
const patience = 3 * time.Hour

// ErrPatience says that RDS takes longer than anybody wants to wait.
var ErrPatience = errors.New("RDS is still at it")

func (c *Client) until(ctx context.Context, look func(context.Context) (bool, error)) error {
	end := c.clock.Now().Add(patience)
	return c.poll.Until(ctx, c.clock, func(ctx context.Context) (bool, error) {
		done, err := look(ctx)
		if !done && err == nil && c.clock.Now().After(end) {
			err = ErrPatience
		}
		return done, err
	})
}

// Delete deletes a snapshot that was made by hand or as a database went, once it
// is finished. One that is not there is no error.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.until(ctx, func(ctx context.Context) (bool, error) {
		err := c.do(ctx, rds("DeleteDBSnapshot", url.Values{"DBSnapshotIdentifier": {id}}, &struct{}{}))
		switch {
		case strings.HasPrefix(call.Code(err), "DBSnapshotNotFound"):
			return true, nil
		case strings.HasPrefix(call.Code(err), "InvalidDBSnapshotState"): // still being made, or read for a restore
			return false, nil
		case err != nil:
			return false, fmt.Errorf("delete snapshot %s: %w", id, err)
		}
		return true, nil
	})
}

// CopyOf is the name of the snapshot that a run makes for a test stack.
func CopyOf(stack, run string) string { return strings.ToLower(stack + copied + run) }

// What the names of a stack's snapshots have behind the stack's: the run's own, and
// those that CloudFormation makes of a database before it removes it.
const copied, final = "-copy-", "-snapshot-"

// Of says whether a snapshot was made for a stack, by CopyOf or as its database went.
func (s Snapshot) Of(stack string) bool {
	stack = strings.ToLower(stack)
	return s.Kind == "manual" && (strings.HasPrefix(s.ID, stack+copied) || strings.HasPrefix(s.ID, stack+final))
}

// Forget deletes all snapshots that were made for a stack. It is for test stacks,
// whose data is a copy.
func (c *Client) Forget(ctx context.Context, stack string) error {
	list, err := c.Find(ctx, Query{Kind: "manual"})
	for _, s := range list {
		if s.Of(stack) && err == nil {
			err = c.Delete(ctx, s.ID)
		}
	}
	return err
}

// Password sees to it that the parameter store has a secure string of that name,
// for a database that is to be made: one that is there stays, else one is made of
// chance. Nobody is told its value.
func (c *Client) Password(ctx context.Context, name string) (made bool, err error) {
	get, err := parameters("GetParameter", map[string]any{"Name": name}, &struct{}{})
	if err == nil {
		err = c.do(ctx, get)
	}
	if call.Code(err) != "ParameterNotFound" {
		if err != nil {
			err = fmt.Errorf("look for the password %s: %w", name, err)
		}
		return false, err
	}
	put, err := parameters("PutParameter", map[string]any{
		"Name": name, "Type": "SecureString", "Value": rand.Text() + rand.Text(), "Description": "Password of a database, made by its first release",
	}, &struct{}{})
	if err == nil {
		err = c.do(ctx, put)
	}
	switch {
	case call.Code(err) == "ParameterAlreadyExists": // somebody else was quicker
		return false, nil
	case err != nil:
		return false, fmt.Errorf("make the password %s: %w", name, err)
	}
	return true, nil
}

// Secret gives the parameter store of this client what another region's has under
// a name, so that whoever reads it here can log in to a database that was restored
// from there. changed says that something was written.
func (c *Client) Secret(ctx context.Context, from *Client, name string) (changed bool, err error) {
	was, err := from.secret(ctx, name)
	if err != nil || was == "" {
		return false, err
	}
	is, err := c.secret(ctx, name)
	if err != nil || is == was {
		return false, err
	}
	put, err := parameters("PutParameter", map[string]any{"Name": name, "Type": "SecureString", "Value": was, "Overwrite": true, "Description": "Copy of another region's, for a recovery"}, &struct{}{})
	if err == nil {
		err = c.do(ctx, put)
	}
	if err != nil {
		return false, fmt.Errorf("copy the password %s: %w", name, err)
	}
	return true, nil
}

// secret is the value of a secure string, "" if it is not there. It goes nowhere
// but to another region's store.
func (c *Client) secret(ctx context.Context, name string) (string, error) {
	var out struct{ Parameter struct{ Value string } }
	get, err := parameters("GetParameter", map[string]any{"Name": name, "WithDecryption": true}, &out)
	if err == nil {
		err = c.do(ctx, get)
	}
	if err != nil && call.Code(err) != "ParameterNotFound" {
		return "", fmt.Errorf("read the password %s: %w", name, err)
	}
	return out.Parameter.Value, nil
}
