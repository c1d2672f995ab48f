package station

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
)

// WatchOptions say what Watch does.
type WatchOptions struct {
	Run   command.Runner // runs vagrant
	Clock clock.Clock
	Top   string    // the clone
	Role  string    // the machine; "" is Vagrant's own choice
	Out   io.Writer // what vagrant says
	// Tell is told what happens, a line each.
	Tell func(line string)
	// Every is the time between two looks at the files; 0 is 300 ms.
	Every time.Duration
}

// watched are the directories that a machine is made from.
var watched = []string{"packer", "puppet", "serverspec"}

// Watch brings the machine up and provisions it anew after every save of a file
// that it is made from, until ctx ends, which is no error. A provision that fails
// is told and the next save awaited. What is saved during one counts for the next.
func Watch(ctx context.Context, o WatchOptions) error {
	if o.Every <= 0 {
		o.Every = 300 * time.Millisecond
	}
	made, err := o.files()
	if err != nil {
		return err
	}
	if err := o.vagrant(ctx, "up"); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("bring the machine up: %w", err)
	}
	o.Tell("waiting for a save in " + strings.Join(watched, ", ") + "; Ctrl-C ends it")
	for {
		now, changed, err := o.next(ctx, made)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		o.Tell(strings.Join(changed, ", ") + ": vagrant provision")
		began := o.Clock.Now()
		err = o.vagrant(ctx, "provision")
		if ctx.Err() != nil {
			return nil
		}
		outcome := "✔ the machine is what its role says"
		if err != nil {
			outcome = "✖ " + err.Error() + "; mend it and save"
		}
		o.Tell(fmt.Sprintf("%s (%.1f s)", outcome, o.Clock.Now().Sub(began).Seconds()))
		made = now
	}
}

func (o WatchOptions) vagrant(ctx context.Context, verb string) error {
	args := []string{verb}
	if o.Role != "" {
		args = append(args, o.Role)
	}
	_, err := o.Run.Run(ctx, command.Cmd{Name: "vagrant", Args: args, Dir: o.Top, Out: o.Out})
	return err
}

// next waits until the files differ from made, and then until a look finds what
// the one before it did: editors save in several steps.
func (o WatchOptions) next(ctx context.Context, made map[string]string) (map[string]string, []string, error) {
	before := made
	for {
		if err := o.Clock.Sleep(ctx, o.Every); err != nil {
			return nil, nil, err
		}
		now, err := o.files()
		if err != nil {
			return nil, nil, err
		}
		if changed := differing(made, now); len(changed) > 0 && maps.Equal(before, now) {
			return now, changed, nil
		}
		before = now
	}
}

// files are those that count, each with what changes when it is saved.
func (o WatchOptions) files() (map[string]string, error) {
	found := map[string]string{}
	for _, dir := range watched {
		err := filepath.WalkDir(filepath.Join(o.Top, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || besides(d.Name()) {
				return gone(err)
			}
			info, err := d.Info()
			if err != nil {
				return gone(err)
			}
			name, err := filepath.Rel(o.Top, path)
			if err != nil {
				return err
			}
			found[name] = fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look at the files of the machine: %w", err)
		}
	}
	return found, nil
}

// gone forgives what went away between being listed and being looked at.
func gone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// besides says whether an editor keeps the file beside the one that is edited.
func besides(name string) bool {
	return strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") ||
		strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".swx") || name == "4913"
}

func differing(a, b map[string]string) []string {
	var names []string
	for name, state := range b {
		if a[name] != state {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
