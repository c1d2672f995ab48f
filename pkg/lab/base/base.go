// Package base makes the lab's base image, the disk of its "Debian 12" AMI: a
// small Debian with systemd, sshd, cloud-init, sudo and the user admin. It is
// built from the package sources of the host where that is a Debian 12 with
// mmdebstrap, else from a pulled debian image, and kept as a tarball, so that
// the next lab has it in seconds.
package base

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

//go:embed build.sh
var buildScript string

//go:embed customize.sh
var customizeScript string

//go:embed database.sh
var databaseScript string

// The engine's names of images: chain-lab-base and chain-lab-database, each kind
// its own, for who looks for a base image by name, as vagrant/ does, must not get
// a database server. The tag is the digest.
const repository = "chain-lab-"

// Options of Prepare.
type Options struct {
	Engine *client.Client
	Cache  string       // directory of the tarballs
	Log    *slog.Logger // nil: discarded
	// Progress is called before what takes long; nil is fine.
	Progress func(line string)
	Pull     bool // start from a pulled debian image even where mmdebstrap is there
}

// Prepare makes sure that the engine has the base image and returns its
// reference: at once if it is there, in seconds from the cache, else in about a
// minute. Two that prepare at the same time build it once.
func Prepare(ctx context.Context, o Options) (string, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	version, err := o.Engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	sources, options := hostSources(ctx, "/etc")
	_, err = exec.LookPath("mmdebstrap")
	pull := err != nil || o.Pull || version.Arch != runtime.GOARCH
	recipe := []string{buildScript, customizeScript, sources, strings.Join(options, "\n"), version.Arch}
	if pull {
		recipe = append(recipe, deriveScript)
	}
	return obtain(ctx, o, "base", digest(recipe...), func(tarball string) error {
		if pull {
			o.Progress("making the base image from " + upstream + "; later labs take it from " + o.Cache)
			return derive(ctx, o, tarball, sources, options)
		}
		o.Progress("building the base image with mmdebstrap, about a minute; later labs take it from " + o.Cache)
		return bootstrap(ctx, tarball, sources, options)
	})
}

// Database makes sure that the engine has the image of database servers, made of
// the base image with the given reference, and returns its own: as Prepare does,
// but nobody should ask before a database is wanted.
func Database(ctx context.Context, o Options, from string) (string, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return obtain(ctx, o, "database", digest(databaseScript, from), func(tarball string) error {
		o.Progress("installing PostgreSQL for the first database, about a minute; later labs take it from " + o.Cache)
		return inside(ctx, o, from, databaseScript, nil, tarball)
	})
}

// obtain gives the engine an image that it may lack, from the cache or built.
func obtain(ctx context.Context, o Options, kind, digest string, build func(tarball string) error) (string, error) {
	ref := repository + kind + ":" + digest
	if _, err := o.Engine.ImageInspect(ctx, ref); err == nil {
		return ref, nil
	} else if !errdefs.IsNotFound(err) {
		return "", fmt.Errorf("%s image: %w", kind, err)
	}
	tarball := filepath.Join(o.Cache, kind+"-"+digest+".tar")
	unlock, err := lock(ctx, o.Cache)
	if err != nil {
		return "", fmt.Errorf("%s image: %w", kind, err)
	}
	defer unlock()
	if _, err := os.Stat(tarball); err != nil {
		if err := write(tarball, build); err != nil {
			return "", fmt.Errorf("%s image: %w", kind, err)
		}
		forget(o, kind)
	}
	if now := time.Now(); os.Chtimes(tarball, now, now) != nil {
		o.Log.Info("the cache does not note that it was used", "file", tarball)
	}
	if err := load(ctx, o, tarball, ref, digest); err != nil {
		return "", fmt.Errorf("%s image: %w", kind, err)
	}
	return ref, nil
}

// Hold keeps Drop away, in any process, from before Prepare until the lab's
// network is there: only then an engine shows that somebody needs a base image.
func Hold(cache string) (release func(), err error) {
	f, err := use(cache)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("base image: %w", err)
	}
	return func() { _ = f.Close() }, nil // the lock goes with the file
}

// Drop removes the base images from an engine in which no lab is left, unless one
// is just being started. The cache keeps their tarballs.
func Drop(ctx context.Context, engine *client.Client, cache string) error {
	f, err := use(cache)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil // somebody holds it
	}
	return docker.DropBases(ctx, engine)
}

func use(cache string) (*os.File, error) {
	err := os.MkdirAll(cache, 0o755)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(filepath.Join(cache, "base.use"), os.O_CREATE|os.O_RDWR, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("base image: %w", err)
	}
	return f, nil
}

// digest of what the image is made from.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// lock lets one process at a time work in the cache.
func lock(ctx context.Context, dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "base.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	got := make(chan error, 1)
	go func() { got <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-got:
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return func() { _ = f.Close() }, nil // the lock goes with the file
	case <-ctx.Done():
		_ = f.Close()
		return nil, ctx.Err()
	}
}

// write makes the tarball, or nothing.
func write(tarball string, build func(tarball string) error) error {
	part := filepath.Join(filepath.Dir(tarball), "part-"+filepath.Base(tarball)) // mmdebstrap goes by the name's end
	defer os.Remove(part)
	if err := build(part); err != nil {
		return err
	}
	return os.Rename(part, tarball)
}

// bootstrap runs the recipe with mmdebstrap: as root, or in a user namespace.
func bootstrap(ctx context.Context, out, sources string, options []string) error {
	dir, err := os.MkdirTemp("", "chain-lab-base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // another user in the namespace reads it
		return err
	}
	for name, text := range map[string]string{"build.sh": buildScript, "customize.sh": customizeScript, "debian.sources": sources} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	args := append([]string{
		filepath.Join(dir, "build.sh"), out,
		filepath.Join(dir, "debian.sources"), filepath.Join(dir, "customize.sh"),
	}, options...)
	cmd := exec.CommandContext(ctx, "/bin/sh", args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Dir = dir
	// mmdebstrap cleans up on SIGTERM only.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w:\n%s", errors.Join(ctx.Err(), err), tail(log.String(), 12))
	}
	return nil
}

// tail is the last n lines of a text.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// load gives the tarball to the engine. The command stands in the image; a stop
// signal cannot (engines refuse it at an import), so machines get it one by one.
func load(ctx context.Context, o Options, tarball, ref, digest string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	res, err := o.Engine.ImageImport(ctx, client.ImageImportSource{Source: f, SourceName: "-"}, ref, client.ImageImportOptions{
		Changes: []string{`CMD ["/sbin/init"]`, "ENV container=docker", "LABEL " + docker.LabelBase + "=" + digest},
	})
	if err != nil {
		return fmt.Errorf("import %s: %w", tarball, err)
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil { // the answer ends with the import
		return fmt.Errorf("import %s: %w", tarball, err)
	}
	if _, err := o.Engine.ImageInspect(ctx, ref); err != nil {
		return fmt.Errorf("import %s: %w", tarball, err)
	}
	return nil
}

// kept is how many tarballs the cache holds: clones at different commits share it.
const kept = 3

// forget drops the tarballs that were used least recently.
func forget(o Options, kind string) {
	all, _ := filepath.Glob(filepath.Join(o.Cache, kind+"-*.tar")) // the pattern is well formed
	used := func(f string) (t time.Time) {
		if i, err := os.Stat(f); err == nil {
			t = i.ModTime()
		}
		return t
	}
	slices.SortFunc(all, func(a, b string) int { return used(b).Compare(used(a)) })
	for _, f := range all[min(kept, len(all)):] {
		if err := os.Remove(f); err != nil {
			o.Log.Warn("the image of an earlier recipe stays", "error", err)
		}
	}
}
