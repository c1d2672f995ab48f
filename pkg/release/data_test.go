package release_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/sweep"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// store is a world whose production has a database.
type store struct {
	*world
	api *rds.Client
}

const aDatabase = "        database: {class: db.t4g.small}\n"

func newStore(t *testing.T) *store {
	t.Helper()
	w := &store{world: newWorld(t)}
	w.configure(t, "        sizes:\n", aDatabase+"        sizes:\n")
	cfg, err := w.chain(t).Target.AWS(t.Context())
	require.NoError(t, err)
	w.api = rds.NewFromConfig(cfg)
	return w
}

// configure changes chain.yaml, and commits what is rendered of it.
func (w *store) configure(t *testing.T, before, after string) {
	t.Helper()
	file := filepath.Join(w.clone, config.File)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), before)
	w.write(t, file, strings.Replace(string(b), before, after, 1))
	w.render(t)
	w.commit(t, "chain.yaml")
}

// database is that of a stack, with what is in it.
func (w *store) database(t *testing.T, stack string) (rdstypes.DBInstance, map[string]string) {
	t.Helper()
	out, err := w.api.DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{})
	require.NoError(t, err)
	for _, d := range out.DBInstances {
		if strings.HasPrefix(aws.ToString(d.DBInstanceIdentifier), stack+"-") {
			disk, ok := w.l.Memory().Disk(aws.ToString(d.DbiResourceId))
			require.True(t, ok)
			return d, disk.Data
		}
	}
	return rdstypes.DBInstance{}, nil
}

func (w *store) snapshots(t *testing.T) []string {
	t.Helper()
	out, err := w.api.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{SnapshotType: aws.String("manual")})
	require.NoError(t, err)
	var ids []string
	for _, s := range out.DBSnapshots {
		ids = append(ids, aws.ToString(s.DBSnapshotIdentifier))
	}
	return ids
}

// with is a release for which losses are allowed.
func (w *store) with(t *testing.T, allow []string, hooks ...func(pipeline.Event)) (*release.State, error) {
	t.Helper()
	w.cut.Store(false)
	s := w.chain(t).Start()
	s.Allow = allow
	return s, s.Do(t.Context(), pipeline.Env{Tell: func(e pipeline.Event) {
		t.Logf("%-8s %s %s %s", e.Kind, e.Step, e.Name, e.Text)
		for _, h := range hooks {
			h(e)
		}
	}})
}

// A change is rehearsed on a copy of the living data, and the living data is what
// it was before, whatever becomes of the rehearsal.
func TestAChangeIsRehearsedOnACopyOfTheData(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.page(t, "Hello World")
	_, err := w.release(t)
	require.NoError(t, err)
	assert.Empty(t, w.snapshots(t), "the test stack had an empty database, and nothing of it is kept")
	living, _ := w.database(t, "web-production")
	require.NoError(t, w.l.Memory().Edit(aws.ToString(living.DbiResourceId), func(disk *memory.Image) { disk.Data = map[string]string{"orders": "1"} }))

	w.page(t, "Hello World, again")
	var copied map[string]string
	look := func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "check the test stack as it is" {
			_, copied = w.database(t, "web-test-1")
		}
	}
	s, err := w.with(t, nil, look)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"orders": "1"}, copied, "what was written before is read from the test stack")
	now, data := w.database(t, "web-production")
	assert.Equal(t, aws.ToString(living.DbiResourceId), aws.ToString(now.DbiResourceId), "a new page is nothing to the database")
	assert.Equal(t, map[string]string{"orders": "1"}, data)
	assert.Empty(t, s.Live.Parameters[template.SnapshotID])
	assert.Empty(t, w.snapshots(t))

	// Killed in the middle, it leaves its copy; the next run goes on with it.
	w.page(t, "Hello World, once more")
	kill := func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "check the test stack as it is" {
			w.cut.Store(true)
		}
	}
	_, err = w.with(t, nil, kill)
	require.Error(t, err)
	w.cut.Store(false)
	left := w.snapshots(t)
	require.Len(t, left, 1)
	c := w.chain(t)
	items, err := sweep.Find(t.Context(), sweep.Options{Compute: c.Compute, Account: c.Account, Databases: c.ConfiguredDatabases(), Trail: c.Trail, Sites: []string{"web"}, Run: "sweep"})
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(items, func(i sweep.Item) bool { return i.Kind == "db snapshot" && i.ID == left[0] }), "a sweep would find it, too")
	w.forget()
	_, err = w.with(t, nil)
	require.NoError(t, err)
	assert.Empty(t, w.recorded("CreateDBSnapshot"), "the copy that is there is used")
	assert.Empty(t, w.snapshots(t))
}

// Nothing with data is taken away or made anew, unless somebody says so by name.
func TestDataIsOnlyLostWhenItIsAllowedByName(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.page(t, "Hello World")
	_, err := w.release(t)
	require.NoError(t, err)
	living, _ := w.database(t, "web-production")

	w.configure(t, aDatabase, "        database: {class: db.t4g.small, snapshot: monday}\n")
	w.forget()
	_, err = w.with(t, nil)
	require.ErrorContains(t, err, `Database (AWS::RDS::DBInstance) would be made anew: the snapshot it came from was "" and is "monday"`)
	assert.Equal(t, report.Policy, report.Code(err))
	assert.Empty(t, w.recorded("CreateChangeSet"), "nobody waited for a rehearsal of it")

	w.configure(t, "        database: {class: db.t4g.small, snapshot: monday}\n", "")
	_, err = w.with(t, nil)
	require.ErrorContains(t, err, "Database (AWS::RDS::DBInstance) would be removed")
	assert.Empty(t, w.recorded("CreateChangeSet"), "nobody waited for a rehearsal of it")
	var f *report.Failure
	require.ErrorAs(t, err, &f)
	assert.Equal(t, report.Policy, f.Code)
	assert.Contains(t, strings.Join(f.Next, "\n"), "-allow=Database,DatabaseSubnet1,DatabaseSubnet2")
	assert.Equal(t, []string{"web-production"}, w.stacks())
	now, _ := w.database(t, "web-production")
	assert.Equal(t, aws.ToString(living.DbiResourceId), aws.ToString(now.DbiResourceId))

	s, err := w.with(t, []string{"Database", "DatabaseSubnet1", "DatabaseSubnet2"})
	require.NoError(t, err)
	gone, _ := w.database(t, "web-production")
	assert.Empty(t, aws.ToString(gone.DBInstanceIdentifier))
	left := w.snapshots(t)
	require.Len(t, left, 1)
	assert.Contains(t, left[0], "web-production-snapshot-database-", "its data is kept")
	assert.Contains(t, s.Live.Policy, "Deny", "the stack policy is what Git has")
	assert.Equal(t, "Database, DatabaseSubnet1, DatabaseSubnet2", w.history(t)[0].Details["allowed"])
}
