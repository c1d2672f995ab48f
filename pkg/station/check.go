package station

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/build-deploy-chain/chain/pkg/command"
)

// Options say which machine is looked at.
type Options struct {
	// Sets of tools that are looked at: "bake", say. Empty: all.
	Sets     []string
	Run      command.Runner // runs the version commands, by bash
	Top      string         // the clone: its station/ holds the table
	Cache    string         // where station.sh builds tools: ~/.cache/chain
	Path     string         // PATH
	GemPath  string         // GEM_PATH
	Packager string         // Apt, Dnf, Brew or None
}

// Finding is one tool that was looked at.
type Finding struct {
	Row
	Found string // its version, "" if there is none
}

// OK says whether the tool is there and new enough.
func (f Finding) OK() bool { return atLeast(f.Found, f.Least) }

// String is the line that station.sh prints for it.
func (f Finding) String() string {
	switch {
	case f.OK():
		return fmt.Sprintf("✔ %-20s %s", f.Tool, f.Found)
	case f.Found != "":
		return fmt.Sprintf("✖ %-20s is %s, %s or newer is needed: %s", f.Tool, f.Found, f.Least, f.How())
	}
	return fmt.Sprintf("✖ %-20s is missing, %s or newer is needed: %s", f.Tool, f.Least, f.How())
}

// Packager is what the system's packages come by. look says whether a program
// is in PATH.
func Packager(goos string, look func(name string) bool) string {
	order := []string{"apt-get", Dnf, Brew}
	if goos == "darwin" {
		order = []string{Brew}
	}
	for _, name := range order {
		if look(name) {
			return strings.TrimSuffix(name, "-get")
		}
	}
	return None
}

// Check looks at every tool that a person needs, and at those of a laptop if
// this is one. It changes nothing. A tool that is missing is a finding; an error
// is a table that cannot be read.
func Check(ctx context.Context, o Options) ([]Finding, error) {
	table, err := os.Open(filepath.Join(o.Top, "station", "tools"))
	if err != nil {
		return nil, fmt.Errorf("the table of tools: %w", err)
	}
	defer table.Close()
	rows, err := Read(table, o.Packager)
	if err != nil {
		return nil, err
	}
	if len(o.Sets) > 0 {
		rows = slices.DeleteFunc(rows, func(r Row) bool { return !slices.Contains(o.Sets, r.Set) })
	}
	if _, err := o.bash(ctx, nil, "conditions", "laptop"); err != nil {
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Set == "laptop" })
	}
	env, err := o.environment(rows)
	if err != nil {
		return nil, err
	}
	// All at once: some take a second to say it.
	found := make([]Finding, len(rows))
	var all sync.WaitGroup
	for i, r := range rows {
		all.Go(func() {
			out, _ := o.bash(ctx, env, "versions", r.Version) // what is not there says nothing
			found[i] = Finding{Row: r, Found: dotted.FindString(string(out))}
		})
	}
	all.Wait()
	return found, ctx.Err()
}

// dotted is the first number with a dot in it.
var dotted = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

// bash runs a command line that may use the functions of a file of station/.
func (o Options) bash(ctx context.Context, env []string, file, line string) ([]byte, error) {
	return o.Run.Run(ctx, command.Cmd{
		Name: "bash", Args: []string{"-c", `. "$1"; eval "$2"`, "bash", filepath.Join(o.Top, "station", file), line}, Dir: o.Top, Env: env,
	})
}

// environment is PATH, with what the cache holds first, and what goes with it.
func (o Options) environment(rows []Row) ([]string, error) {
	paths, gems := strings.Split(o.Path+":/usr/sbin:/sbin", ":"), o.GemPath
	env := []string{"CHECKPOINT_DISABLE=1"}
	for _, r := range rows {
		home, err := o.home(r.Method)
		if err != nil {
			return nil, err
		}
		if home == "" || !exists(filepath.Join(home, ".complete")) {
			continue
		}
		if bin := filepath.Join(home, "bin"); !slices.Contains(paths, bin) {
			paths = append([]string{bin}, paths...)
		}
		if p := filepath.Join(home, "plugins"); exists(p) {
			env = append(env, "PACKER_PLUGIN_PATH="+p)
		}
		if g := filepath.Join(home, "gems"); exists(g) {
			gems = g + ":" + gems
		}
	}
	env = append(env, "PATH="+strings.Join(paths, ":"))
	if gems != "" {
		env = append(env, "GEM_PATH="+gems)
	}
	return env, nil
}

// home is the directory of the cache where station.sh makes a tool, one for
// each recipe; "" for what does not go there.
func (o Options) home(method string) (string, error) {
	word, arg, _ := strings.Cut(method, " ")
	var name string
	switch word {
	case "build":
		sum, err := digest(filepath.Join(o.Top, "station", path.Dir(arg)))
		if err != nil {
			return "", err
		}
		name = path.Dir(arg) + "-" + sum
	case "npm":
		name = strings.Replace(arg, "@", "-", 1)
	case "go":
		what, version, _ := strings.Cut(arg, "@")
		name = path.Base(what) + "-" + version
	case "pip":
		name = strings.Replace(arg, "==", "-", 1)
	case "gem":
		name = strings.Replace(arg, ":", "-", 1)
	default:
		return "", nil
	}
	return filepath.Join(o.Cache, "tools", name), nil
}

// digest is that of all files of a directory, one after the other.
func digest(dir string) (string, error) {
	sum := sha256.New()
	entries, err := fs.ReadDir(os.DirFS(dir), ".") // sorted, as LC_ALL=C does
	if err != nil {
		return "", fmt.Errorf("a recipe of the table of tools: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", fmt.Errorf("a recipe of the table of tools: %w", err)
		}
		sum.Write(b)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:16], nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// atLeast compares number by number, as many as least has.
func atLeast(found, least string) bool {
	if found == "" {
		return false
	}
	f := strings.Split(found, ".")
	for i, l := range strings.Split(least, ".") {
		have := 0
		if i < len(f) {
			have, _ = strconv.Atoi(f[i])
		}
		want, _ := strconv.Atoi(l)
		if have != want {
			return have > want
		}
	}
	return true
}
