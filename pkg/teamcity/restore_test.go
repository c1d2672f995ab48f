package teamcity_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/teamcity"
)

// machine is a server's machine: systemctl and runuser are programs in a
// directory of its own, which write down what they were called with.
type machine struct {
	t       *testing.T
	dir     string
	options teamcity.RestoreOptions
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	m.options = teamcity.RestoreOptions{
		Run: command.Exec{}, Home: filepath.Join(m.dir, "home"), Data: filepath.Join(m.dir, "data"), User: "teamcity", Unit: "teamcity-server",
		File: filepath.Join(m.dir, "backup.zip"),
	}
	m.write("bin/systemctl", "#!/bin/sh\necho \"$@\" >>"+m.dir+"/calls\ncat "+m.dir+"/active >/dev/null 2>&1 || exit 3\n")
	m.write("bin/runuser", "#!/bin/sh\necho \"$@\" >>"+m.dir+"/calls\ntest ! -f "+m.dir+"/broken || { echo database is not empty >&2; exit 1; }\n")
	m.write("home/bin/maintainDB.sh", "")
	m.write("data/config/database.properties", "connectionUrl=jdbc:postgresql://localhost/teamcity\n")
	m.write("data/lib/jdbc/postgresql.jar", "")
	m.write("data/system/artifacts/a/b.txt", "")
	m.write("backup.zip", "")
	t.Setenv("PATH", filepath.Join(m.dir, "bin")+":"+os.Getenv("PATH"))
	return m
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.dir, path)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(m.t, os.WriteFile(path, []byte(text), 0o755))
}

func (m *machine) restore() (string, error) {
	err := in(m.t, func(ctx context.Context, run *pipeline.Run) error { return teamcity.Restore(ctx, run, m.options) })
	b, _ := os.ReadFile(filepath.Join(m.dir, "calls"))
	return strings.ReplaceAll(string(b), m.dir, "DIR"), err
}

func TestRestoreCallsTeamCitysOwnProgram(t *testing.T) {
	m := newMachine(t)
	calls, err := m.restore()
	require.NoError(t, err)
	assert.Equal(t, "is-active --quiet teamcity-server\n"+
		"-u teamcity -- DIR/home/bin/maintainDB.sh restore -A DIR/data -F DIR/backup.zip -T DIR/data/config/database.properties\n", calls)
}

func TestRestoreRefusesWhatWouldEndHalfWay(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*machine)
		code  int
		says  string
	}{
		"a server that runs":     {func(m *machine) { m.write("active", "") }, report.Usage, "the server runs"},
		"a machine without it":   {func(m *machine) { _ = os.RemoveAll(m.options.Home) }, report.Usage, "maintainDB.sh is not there"},
		"no backup":              {func(m *machine) { _ = os.Remove(m.options.File) }, report.Usage, "backup.zip is not there"},
		"no database":            {func(m *machine) { _ = os.Remove(filepath.Join(m.options.Data, "config/database.properties")) }, report.Usage, "database.properties is not there"},
		"somebody's data":        {func(m *machine) { m.write("data/config/projects/Chain/project.xml", "") }, report.Usage, "config/projects/Chain/project.xml"},
		"a database with tables": {func(m *machine) { m.write("broken", "") }, report.Internal, "database is not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.spoil(m)
			calls, err := m.restore()
			require.ErrorContains(t, err, c.says)
			assert.Equal(t, c.code, report.Code(err))
			if c.code == report.Usage {
				assert.NotContains(t, calls, "restore")
			}
		})
	}
}
