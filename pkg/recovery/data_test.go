package recovery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/template"
)

func TestTheNewestSnapshotIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "        sizes:", "        database: {class: db.t4g.small}\n        sizes:")
	_, key := w.baked(t, away)

	err := w.refused(t, recovery.Options{Chain: w.chain(t, away)})
	require.ErrorContains(t, err, "there is no snapshot of web-production's database in "+away)
	assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), "copy-db-snapshot --region "+away)

	cfg, err := w.chain(t, away).Target.AWS(t.Context())
	require.NoError(t, err)
	db := rds.NewFromConfig(cfg)
	save := func(instance, name, tag string) { snapshotOf(t, db, instance, name, tag) }
	save("old", "ours", "web-production database")
	save("other", "theirs", "shop-production database") // newer, and another one's

	err = w.refused(t, recovery.Options{Chain: w.chain(t, away), At: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.ErrorContains(t, err, "of 2020-01-01T00:00:00Z or before")
	assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), "-at=20")

	s := w.recover(t, away)
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Equal(t, "ours", s.Release.Live.Parameters[template.SnapshotID])
	assert.Contains(t, s.Report.Data, "snapshot ours of ")
	assert.True(t, s.Report.Good(), "the data is young enough")
	var moments []string
	for _, m := range s.Report.Moments {
		moments = append(moments, m.Name)
	}
	assert.Contains(t, moments, recovery.T4)

	reserves, err := recovery.Reserves(t.Context(), w.chain(t, away))
	require.NoError(t, err)
	_, err = recovery.Judge(w.chain(t, away), reserves)
	for _, lacks := range []string{"image in " + home + ": production's image is not in", "data in " + home + ": there is no snapshot", "last drill: a recovery was never practised"} {
		require.ErrorContains(t, err, lacks)
	}
	assert.NotContains(t, err.Error(), "data in "+away)

	d, err := w.drill(t, away, "")
	require.NoError(t, err)
	assert.Contains(t, d.Report.Data, "snapshot ours of ")
	left, err := db.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{SnapshotType: aws.String("manual")})
	require.NoError(t, err)
	assert.Len(t, left.DBSnapshots, 2, "what the drill's database left is deleted")

	stale, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, away)}, "")
	require.NoError(t, err)
	stale.Chain.Environment.Recovery.RPO = time.Nanosecond
	err = stale.Do(t.Context(), w.tell(t))
	require.ErrorContains(t, err, "MISSED: the data is")
	assert.Equal(t, report.Policy, report.Code(err))
}

// snapshotOf makes a database and a snapshot of it.
func snapshotOf(t testing.TB, db *rds.Client, instance, name, tag string) {
	t.Helper()
	_, err := db.CreateDBInstance(t.Context(), &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: &instance, Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
		MasterUsername: aws.String("chain"), MasterUserPassword: aws.String("secret-one"), CopyTagsToSnapshot: aws.Bool(true),
		Tags: []types.Tag{{Key: aws.String("Name"), Value: &tag}},
	})
	require.NoError(t, err)
	awaitSnapshot(t, db, instance, name, tag)
}

func awaitSnapshot(t testing.TB, db *rds.Client, instance, name, tag string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := db.CreateDBSnapshot(t.Context(), &rds.CreateDBSnapshotInput{
			DBInstanceIdentifier: &instance, DBSnapshotIdentifier: &name, Tags: []types.Tag{{Key: aws.String("Name"), Value: &tag}},
		})
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		out, err := db.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: &name})
		return err == nil && aws.ToString(out.DBSnapshots[0].Status) == "available"
	}, time.Minute, 20*time.Millisecond)
}

// A snapshot that nobody can decrypt any more is told before anything is made. KMS
// is no part of the local AWS: a stand-in before it answers as its documentation says.
func TestASnapshotWithALostKeyIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "        sizes:", "        database: {class: db.t4g.small}\n        sizes:")
	w.baked(t, away)
	c := w.chain(t, away)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	_, err = rds.NewFromConfig(cfg).CreateDBInstance(t.Context(), &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String("old"), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
		MasterUsername: aws.String("chain"), MasterUserPassword: aws.String("secret-one"), StorageEncrypted: aws.Bool(true), KmsKeyId: aws.String("arn:aws:kms:us-east-1:111111111111:key/1"),
	})
	require.NoError(t, err)
	awaitSnapshot(t, rds.NewFromConfig(cfg), "old", "ours", "web-production database")
	front, err := url.Parse(w.l.Endpoint())
	require.NoError(t, err)
	pass := httputil.NewSingleHostReverseProxy(front)
	for answer, want := range map[string][2]string{
		`{"__type":"NotFoundException","message":"no"}`:  {"which is lost", "-at=ITS TIME"},
		`{"KeyMetadata":{"KeyState":"PendingDeletion"}}`: {"which is pendingdeletion", "aws kms cancel-key-deletion"},
		`{"KeyMetadata":{"KeyState":"Disabled"}}`:        {"which is disabled", "aws kms enable-key"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), "/kms/") {
				if strings.Contains(answer, "__type") {
					rw.WriteHeader(http.StatusBadRequest)
				}
				_, _ = io.WriteString(rw, answer)
				return
			}
			pass.ServeHTTP(rw, r)
		}))
		before := cfg.Copy()
		before.BaseEndpoint, before.HTTPClient, before.APIOptions = aws.String(srv.URL), srv.Client(), nil
		c := w.chain(t, away)
		c.Databases = database.New(before, c.Target.Poll, c.Clock)
		err := w.refused(t, recovery.Options{Chain: c})
		require.ErrorContains(t, err, want[0])
		assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), want[1])
		srv.Close()
	}
}
