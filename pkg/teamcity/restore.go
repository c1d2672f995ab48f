package teamcity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// RestoreOptions say what is restored, on the server's own machine.
type RestoreOptions struct {
	Run  command.Runner
	Home string // where the distribution is, "/opt/TeamCity"
	Data string // the data directory, "/srv/teamcity/data"
	User string // whom both belong to, "teamcity"
	Unit string // of systemd, "teamcity-server"
	File string // what Backup wrote, copied to this machine
}

// kept is what a data directory may hold before a restore: what Puppet puts there.
var kept = []string{"config/database.properties", "config/internal.properties", "lib/jdbc", "system/artifacts", "lost+found"}

// Restore brings a backup back into an empty data directory and an empty
// database: the server must be stopped and of the version that wrote the backup.
// Artifacts are no part of a backup; they are to be copied before the server starts.
// TeamCity's own program refuses a database that is not empty.
func Restore(ctx context.Context, run *pipeline.Run, o RestoreOptions) error {
	if err := o.ready(ctx); err != nil {
		return err
	}
	out := run.Output("maintainDB")
	defer out.Close()
	run.Await("maintainDB.sh")
	defer run.Await("")
	_, err := o.Run.Run(ctx, command.Cmd{
		Name: "runuser", Out: out,
		Args: []string{
			"-u", o.User, "--", filepath.Join(o.Home, "bin", "maintainDB.sh"), "restore", "-A", o.Data, "-F", o.File,
			"-T", filepath.Join(o.Data, "config", "database.properties"),
		},
	})
	if err != nil {
		return &report.Failure{
			Code: report.Internal, ID: "E-TC-09", What: "the backup was not restored", Where: o.File, State: "the data directory and the database may be half filled; the server does not run",
			Next: []string{"empty " + o.Data + " and the database, then the same command again"}, Err: err,
		}
	}
	return nil
}

// ready refuses what would end half way, or over somebody's data.
func (o RestoreOptions) ready(ctx context.Context) error {
	no := func(what, next string) error {
		return &report.Failure{Code: report.Usage, ID: "E-TC-08", What: what, Where: o.Data, State: "nothing was changed", Next: []string{next}}
	}
	// systemctl answers 0 for a unit that runs, and 3 for one that does not.
	_, err := o.Run.Run(ctx, command.Cmd{Name: "systemctl", Args: []string{"is-active", "--quiet", o.Unit}})
	var exit *command.ExitError
	if err == nil {
		return no("the server runs", "systemctl stop "+o.Unit)
	}
	if !errors.As(err, &exit) {
		return fmt.Errorf("ask whether the server runs: %w", err)
	}
	for path, next := range map[string]string{
		filepath.Join(o.Home, "bin", "maintainDB.sh"): "run this on the server's machine, after Puppet has made it",
		o.File: "copy the backup here first",
		filepath.Join(o.Data, "config", "database.properties"): "let Puppet write it: class teamcity::server",
	} {
		if _, err := os.Stat(path); err != nil {
			return no(path+" is not there", next)
		}
	}
	var found []string
	err = filepath.WalkDir(o.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(o.Data, path)
		if err != nil {
			return err
		}
		for _, k := range kept {
			if name == k && d.IsDir() {
				return fs.SkipDir
			}
			if name == k {
				return nil
			}
		}
		if !d.IsDir() {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	if len(found) > 0 {
		return no("the data directory is not empty: "+strings.Join(found[:min(len(found), 3)], ", "), "move it aside: a backup is restored into an empty one")
	}
	return nil
}
