package recovery

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

// restoreTrail clones templates and evidence from the newest bundle in a vault, and
// reads this environment's template there. A backup that was never restored is none.
func restoreTrail(ctx context.Context, c *release.Chain, v *vault.Vault) (string, error) {
	list, err := v.List(ctx, bundlePrefix)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fmt.Errorf("templates and evidence in s3://%s: %w", v.Bucket, vault.ErrAbsent)
	}
	content, err := v.Get(ctx, list[0].Key)
	if err != nil {
		return "", err
	}
	body, ok, err := c.Trail.Unbundle(ctx, content, c.Place.Template())
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fmt.Errorf("%s in s3://%s has no %s", list[0].Key, v.Bucket, c.Place.Template())
	}
	ami, err := template.Image(body)
	if err != nil {
		return "", fmt.Errorf("%s in s3://%s: %w", list[0].Key, v.Bucket, err)
	}
	return fmt.Sprintf("s3://%s/%s was cloned; %s names %s", v.Bucket, list[0].Key, c.Place.Template(), ami), nil
}

// fetchCI reads the CI server's newest backup from a vault, and sees that it is whole.
func fetchCI(ctx context.Context, v *vault.Vault) (name string, content []byte, err error) {
	list, err := v.List(ctx, ciPrefix)
	if err != nil {
		return "", nil, err
	}
	if len(list) == 0 {
		return "", nil, fmt.Errorf("a backup of the CI server in s3://%s/%s: %w", v.Bucket, ciPrefix, vault.ErrAbsent)
	}
	if content, err = v.Get(ctx, list[0].Key); err != nil {
		return "", nil, err
	}
	if err := whole(content); err != nil {
		return "", nil, fmt.Errorf("%s in s3://%s: %w", list[0].Key, v.Bucket, err)
	}
	return path.Base(list[0].Key), content, nil
}

// parts of a backup that TeamCity could not begin again without.
var parts = []string{"config/", "database_dump/", "version.txt"}

// whole reads a backup as maintainDB would, to its last byte: each file has a
// checksum there.
func whole(content []byte) error {
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return fmt.Errorf("it is no whole backup: %w", err)
	}
	missing := map[string]bool{}
	for _, p := range parts {
		missing[p] = true
	}
	for _, f := range z.File {
		for _, p := range parts {
			if f.Name == p || strings.HasSuffix(p, "/") && strings.HasPrefix(f.Name, p) {
				delete(missing, p)
			}
		}
		r, err := f.Open()
		if err == nil {
			_, err = io.Copy(io.Discard, r) //nolint:gosec // nothing of it is kept
			err = errors.Join(err, r.Close())
		}
		if err != nil {
			return fmt.Errorf("it is no whole backup: %s: %w", f.Name, err)
		}
	}
	for _, p := range parts {
		if missing[p] {
			return fmt.Errorf("it is no whole backup: it has no %s", p)
		}
	}
	return nil
}

// restoring is the step of a drill that restores what its stack does not show:
// what is in the vault. The image runs, and the data is restored, in the stack.
func restoring(ctx context.Context, run *pipeline.Run, d *Drill) error {
	c := d.Chain
	r, err := openRegion(ctx, c, c.Place.Region)
	if err != nil {
		return err
	}
	d.Report.restored("image", d.Report.Image+" runs")
	if d.found.Release.Snapshot != "" {
		d.Report.restored("data", d.Report.Data)
	}
	text, err := restoreTrail(ctx, c, r.Vault)
	switch {
	case errors.Is(err, vault.ErrAbsent):
		d.Report.find("templates and evidence were not restored, there is no backup of them in " + c.Place.Region + ": ./station.sh dr:backup")
	case err != nil:
		return err
	default:
		d.Report.restored("templates", text)
		d.Report.input("vault", "s3://"+r.Vault.Bucket)
		run.Note("%s", text)
	}
	if c.Environment.Recovery.CI == 0 {
		return nil
	}
	name, content, err := fetchCI(ctx, r.Vault)
	if errors.Is(err, vault.ErrAbsent) && d.Scenario != "ci-gone" {
		d.Report.find("the CI server's backup was not read: " + err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	text = fmt.Sprintf("%s, %d kB, was read to its end", name, len(content)/1000)
	d.Report.restored("CI server", text)
	run.Note("%s", text)
	return nil
}

// ciServer is the last step of a recovery: the CI server's newest backup is brought
// to this machine and proven whole, so that its own machine can be filled with it.
type ciServer struct{}

func (ciServer) String() string { return "get the CI server's backup" }

func (ciServer) Skip(s *State) string {
	if s.Chain.Environment.Recovery.CI == 0 {
		return "chain.yaml names none (recovery.ci)"
	}
	return ""
}

// Run never fails a recovery: production is up, and the CI server's is another one.
func (ciServer) Run(ctx context.Context, run *pipeline.Run, s *State) error {
	c := s.Chain
	r, err := openRegion(ctx, c, c.Place.Region)
	if err != nil {
		return err
	}
	name, content, err := fetchCI(ctx, r.Vault)
	if err != nil {
		s.Report.find("the CI server has to be set up anew: " + err.Error())
		run.Note("%v", err)
		return nil
	}
	file := filepath.Join(c.Target.State, "dr", c.Run, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keep the CI server's backup: %w", err)
	}
	if err := renameio.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("keep the CI server's backup: %w", err)
	}
	act := fmt.Sprintf("copy %s to the CI server's new machine, and there: ./station.sh teamcity:restore %s", file, name)
	s.Report.Manual = append(s.Report.Manual, act)
	run.Note("for a person: %s", act)
	return nil
}
