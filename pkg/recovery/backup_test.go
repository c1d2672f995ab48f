package recovery_test

import (
	"archive/zip"
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

// backup is one run of it.
func (w *world) backup(t testing.TB) *recovery.Backup {
	t.Helper()
	b := &recovery.Backup{Chain: w.chain(t, home)}
	require.NoError(t, b.Do(t.Context(), w.tell(t)))
	return b
}

// status is what dr:status tells, as one text.
func status(t testing.TB, c *release.Chain) (string, error) {
	t.Helper()
	list, err := recovery.Reserves(t.Context(), c)
	require.NoError(t, err)
	lines, err := recovery.Judge(c, list)
	return strings.Join(lines, "\n"), err
}

// production with data, of a snapshot that is a day old.
func withData(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t)
	w.configure(t, "        sizes:", "        database: {class: db.t4g.small}\n        recovery: {ci: 26h, backup: 1s, rpo: 1h}\n        sizes:")
	_, key := w.baked(t, home)
	cfg, err := w.chain(t, home).Target.AWS(t.Context())
	require.NoError(t, err)
	snapshotOf(t, rds.NewFromConfig(cfg), "old", "ours", "web-production database")
	_, err = ssm.NewFromConfig(cfg).PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/web/production/database"), Type: types.ParameterTypeSecureString, Value: aws.String("secret-one")})
	require.NoError(t, err)
	w.recover(t, home)
	return w, key
}

// From production with data to its recovery in the other region, by nothing but
// what dr:backup has made.
func TestWhatIsBackedUpIsEnoughToRecover(t *testing.T) {
	t.Parallel()
	w, key := withData(t)
	text, err := status(t, w.chain(t, home))
	require.Error(t, err)
	for _, lacks := range []string{"data in " + away + ": there is no snapshot", "image in " + away + ": production's image is not", "templates in " + away + ": templates and evidence are not in", "CI server in " + away + ": no backup"} {
		require.ErrorContains(t, err, lacks)
	}
	assert.Equal(t, report.Policy, report.Code(err))
	assert.NotContains(t, text, "templates in "+home, "what is beside production may be lost with it")

	cfg, err := w.chain(t, home).Target.AWS(t.Context())
	require.NoError(t, err)
	there, err := w.chain(t, away).Target.AWS(t.Context())
	require.NoError(t, err)
	databases := rds.NewFromConfig(cfg)
	out, err := databases.DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{})
	require.NoError(t, err)
	living := ""
	for _, d := range out.DBInstances {
		if strings.HasPrefix(aws.ToString(d.DBInstanceIdentifier), "web-production-") {
			living = aws.ToString(d.DbiResourceId)
		}
	}
	require.NoError(t, w.l.Memory().Edit(living, func(disk *memory.Image) { disk.Data = map[string]string{"orders": "7"} }))

	b := w.backup(t)
	made := strings.Join(b.Made, "\n")
	for _, want := range []string{"snapshot web-production-backup-", " in " + away, "password /web/production/database in " + away, "image ami-", "s3://web-production-backups-"} {
		assert.Contains(t, made, want)
	}
	w.configure(t, "backup: 1s", "backup: 1h")
	assert.Empty(t, w.backup(t).Made, "the second time nothing is due")

	// The same password opens what is restored there.
	name := "/web/production/database"
	was, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	require.NoError(t, err)
	is, err := ssm.NewFromConfig(there).GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	require.NoError(t, err)
	assert.Equal(t, aws.ToString(was.Parameter.Value), aws.ToString(is.Parameter.Value))

	// The copy of the image is vouched for like its original.
	c := w.chain(t, away)
	good, err := image.Find(t.Context(), c.Compute, "web", key, "")
	require.NoError(t, err)
	require.NotNil(t, good)
	_, err = image.Verify(t.Context(), c.ImageOptions(), good.ID)
	require.NoError(t, err)

	// What Git's server loses the vault has, and nobody can delete it there.
	v := vault.Open(there, c.Clock, vault.Name("web-production", c.Target.Account, away))
	list, err := v.List(t.Context(), "git/")
	require.NoError(t, err)
	require.NotEmpty(t, list)
	bundle, err := v.Get(t.Context(), list[0].Key)
	require.NoError(t, err)
	body, ok, err := c.Trail.Unbundle(t.Context(), bundle, "cloudformation/web/production."+home+".yaml")
	require.NoError(t, err)
	require.True(t, ok)
	assert.Contains(t, string(body), "ami-")
	days, err := v.Locks(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 35, days)

	// The CI server's own backups are read to the end.
	require.NoError(t, v.Put(t.Context(), "backup/teamcity-1.zip", []byte("no zip")))
	_, err = w.drill(t, away, "ci-gone")
	require.ErrorContains(t, err, "it is no whole backup")
	require.NoError(t, v.Put(t.Context(), "backup/teamcity-2.zip", ciBackup(t, "config/main.xml", "database_dump/users")))
	_, err = w.drill(t, away, "ci-gone")
	require.ErrorContains(t, err, "it has no version.txt")
	require.NoError(t, v.Put(t.Context(), "backup/teamcity-3.zip", ciBackup(t, "config/main.xml", "database_dump/users", "version.txt")))
	d, err := w.drill(t, away, "ci-gone")
	require.NoError(t, err)
	assert.Len(t, d.Report.Restored, 4, "image, data, templates and CI server")
	text, err = status(t, w.chain(t, home))
	require.NoError(t, err)
	assert.Contains(t, text, "restored by it         image, data, templates, CI server")
	assert.Contains(t, text, "1 of the 1 images of the last releases")

	// The data of an hour ago is copied with its own time, not the copy's.
	w.lose(t, home, true)
	s := w.recover(t, away)
	assert.Equal(t, key, w.get(t, "/version"))
	assert.Contains(t, strings.Join(s.Report.Manual, "\n"), "teamcity:restore teamcity-3.zip")
	assert.FileExists(t, filepath.Join(filepath.Dir(s.Report.Files), "teamcity-3.zip"))
	assert.Contains(t, s.Report.Data, "snapshot web-production-backup-")
	out, err = rds.NewFromConfig(there).DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{})
	require.NoError(t, err)
	require.Len(t, out.DBInstances, 1)
	disk, ok := w.l.Memory().Disk(aws.ToString(out.DBInstances[0].DbiResourceId))
	require.True(t, ok)
	assert.Equal(t, map[string]string{"orders": "7"}, disk.Data, "what was written in one region is read in the other")
}

// ciBackup is a zip of files with these names.
func ciBackup(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		f, err := z.Create(n)
		require.NoError(t, err)
		_, err = f.Write([]byte("content of " + n))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// Data that is wrong since a moment is restored as it was before, and the age is
// that of its rows.
func TestCorruptDataIsRestoredAsItWasBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "        sizes:", "        database: {class: db.t4g.small}\n        recovery: {heartbeat: /heartbeat}\n        sizes:")
	_, key := w.baked(t, home)
	beat := time.Now().Add(-30 * time.Minute).UTC().Truncate(time.Second)
	site := memory.Site("Hello World", key)
	site.Pages["/heartbeat"] = memory.Page{Body: beat.Format(time.RFC3339) + "\n"}
	require.NoError(t, w.l.Memory().AddImage("web:"+key, site))
	cfg, err := w.chain(t, home).Target.AWS(t.Context())
	require.NoError(t, err)
	snapshotOf(t, rds.NewFromConfig(cfg), "one", "good", "web-production database")
	since := time.Now()
	snapshotOf(t, rds.NewFromConfig(cfg), "two", "corrupt", "web-production database")

	d, err := recovery.NewDrill(recovery.Options{Chain: w.chain(t, home), At: since}, "database-corrupt")
	require.NoError(t, err)
	require.NoError(t, d.Do(t.Context(), w.tell(t)))
	assert.Contains(t, d.Report.Data, "snapshot good of ")
	assert.Contains(t, d.Report.Data, "its newest row of "+beat.Format(time.RFC3339))
	assert.Equal(t, since.Sub(beat), d.Report.DataAge, "lost is what was written between the last good row and the fault")

	_, err = recovery.NewDrill(recovery.Options{Chain: w.chain(t, home), At: since}, "stack")
	require.ErrorContains(t, err, "-at is for the scenario database-corrupt alone")
	_, err = recovery.NewDrill(recovery.Options{Chain: w.chain(t, home)}, "account-locked")
	require.ErrorContains(t, err, "the data is lost")
}

func TestNothingThereIsNothingBackedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := &recovery.Backup{Chain: w.chain(t, home)}
	err := b.Do(t.Context(), w.tell(t))
	require.ErrorContains(t, err, "there is no web-production that could be backed up")
	assert.Equal(t, report.Policy, report.Code(err))
}

func TestWhatIsTooOldIsLetGo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var list []string
	for _, age := range []time.Duration{0, 23 * time.Hour, 25 * time.Hour, 26 * time.Hour, 49 * time.Hour, 36 * 24 * time.Hour} {
		list = append(list, age.String())
	}
	assert.Equal(t, []string{"26h0m0s", "864h0m0s"}, recovery.Outdated(now, 35, list...), "of the last day all, then one a day, then none")
}
