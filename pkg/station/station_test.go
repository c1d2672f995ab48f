package station_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/station"
)

const table = `# a comment
# tool   | set   | least | version         | get                    | apt      | brew       | dnf

old      | base  | 2.30  | old --version   |                        | old-deb  | old-brew   | old-rpm
gone     | bake  | 1     | gone --version  | hand https://x.example |          |            |
   new   | check | 1.9   | new_version     |   gem new:3.0          |          | cask newer |  -
built    | bake  | 1.0   | built --version | build recipe/build.sh  |          |            | pip built==2.1
laptops  | laptop| 1.0   | laptops         | hand https://y.example |          |            |
words    | lab   | 1.0   | words -v 1      |                        | one two  | -          |
`

// machine is a clone with that table, and a PATH where little is.
type machine struct {
	top, bin, cache string
}

func newMachine(t *testing.T, packagers ...string) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{top: filepath.Join(dir, "clone"), bin: filepath.Join(dir, "bin"), cache: filepath.Join(dir, "cache", "chain")}
	real, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, d := range []string{m.bin, filepath.Join(m.top, "station", "recipe"), filepath.Join(m.top, "station", "packer")} {
		require.NoError(t, os.MkdirAll(d, 0o750))
	}
	for _, f := range []string{"station.sh", "station/conditions", "station/versions", "station/goflags"} {
		b, err := os.ReadFile(filepath.Join(real, f))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(m.top, f), b, 0o700)) //nolint:gosec // programs
	}
	m.write(t, "station/tools", table)
	m.write(t, "station/versions", "new_version() { new what is your version; }\n")
	m.write(t, "station/recipe/build.sh", "build")
	m.write(t, "station/recipe/go.mod", "module")
	m.write(t, "station/packer/build.sh", "")
	m.write(t, "chain.yaml", "target: lab\n")
	for _, tool := range []string{"bash", "sh", "sed", "grep", "cat", "cut", "tr", "mkdir", "rm", "dirname", "sha256sum", "git", "env"} {
		p, err := exec.LookPath(tool)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(p, filepath.Join(m.bin, tool)))
	}
	for _, p := range packagers {
		m.program(t, p, "")
	}
	out, err := exec.CommandContext(t.Context(), "git", "init", "-q", m.top).CombinedOutput()
	require.NoError(t, err, string(out))
	return m
}

func (m machine) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(m.top, name), []byte(text), 0o600))
}

func (m machine) program(t *testing.T, name, says string) {
	t.Helper()
	text := fmt.Sprintf("#!%s/sh\necho '%s'\n", m.bin, says)
	require.NoError(t, os.WriteFile(filepath.Join(m.bin, name), []byte(text), 0o700)) //nolint:gosec // a program
}

// shell is what station.sh says of the machine, the lines of the table only.
func (m machine) shell(t *testing.T) []string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", filepath.Join(m.top, "station.sh"), "station:check")
	c.Dir = m.top
	c.Env = []string{"PATH=" + m.bin, "HOME=" + filepath.Dir(m.top), "XDG_CACHE_HOME=" + filepath.Dir(m.cache), "CI=true"}
	out, _ := c.CombinedOutput() // it fails where something is missing
	var lines []string
	for _, l := range strings.Split(string(out), "\n") {
		if (strings.HasPrefix(l, "✔") || strings.HasPrefix(l, "✖")) && !strings.HasPrefix(l, "✖ E-") && !strings.Contains(l, "Docker") {
			lines = append(lines, l)
		}
	}
	return lines
}

func (m machine) check(t *testing.T, packager string) []string {
	t.Helper()
	t.Setenv("CI", "true")
	found, err := station.Check(t.Context(), station.Options{
		Run: command.Exec{}, Top: m.top, Cache: m.cache, Path: m.bin, Packager: packager,
	})
	require.NoError(t, err)
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return lines
}

func TestBothReadersOfTheTableSayTheSame(t *testing.T) {
	for packager, program := range map[string]string{station.Apt: "apt-get", station.Dnf: "dnf", station.Brew: "brew", station.None: "another"} {
		t.Run(packager, func(t *testing.T) {
			m := newMachine(t, program)
			m.program(t, "old", "old version 2.29.99-rc1 (of 2030)")
			m.program(t, "new", "v 1 and 1.10.2")
			m.program(t, "words", "1.0")
			lines := m.shell(t)
			assert.Contains(t, lines[0], "✖ old                  is 2.29.99, 2.30 or newer is needed: ")
			assert.Contains(t, lines[1], "✖ gone                 is missing, 1 or newer is needed: get it from https://x.example")
			assert.Equal(t, lines, m.check(t, packager))

			// What was built into the cache is found by both.
			sum := "recipe-bae298f2f41ea3b9"
			if packager == station.Dnf {
				sum = "built-2.1"
			}
			home := filepath.Join(m.cache, "tools", sum)
			require.NoError(t, os.MkdirAll(filepath.Join(home, "bin"), 0o750))
			require.NoError(t, os.WriteFile(filepath.Join(home, ".complete"), nil, 0o600))
			m.program(t, "built", "built 4.0")
			require.NoError(t, os.Rename(filepath.Join(m.bin, "built"), filepath.Join(home, "bin", "built")))
			lines = m.shell(t)
			assert.Contains(t, lines, "✔ built                4.0")
			assert.Equal(t, lines, m.check(t, packager))
		})
	}
}

// The table of this repository, here, where whatever is there may be there.
func TestBothReadersOnThisMachine(t *testing.T) {
	m := newMachine(t)
	real, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, packager := range []string{station.Apt, station.Brew, station.Dnf} {
		f, err := os.Open(filepath.Join(real, "station", "tools"))
		require.NoError(t, err)
		rows, err := station.Read(f, packager)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		for _, r := range rows {
			assert.NotContains(t, r.Method, "packages of your system", "%s has a way for each packager, %s", r.Tool, packager)
		}
	}
	for _, f := range []string{"tools", "versions"} {
		b, err := os.ReadFile(filepath.Join(real, "station", f))
		require.NoError(t, err)
		m.write(t, "station/"+f, string(b))
	}
	m.program(t, "apt-get", "")
	lines := m.shell(t)
	assert.Greater(t, len(lines), 20)
	assert.Equal(t, lines, m.check(t, station.Apt))
}

func TestATableThatIsNoTable(t *testing.T) {
	for _, line := range []string{"git", "git | base | 2.30 | git --version | | git | git", "| base | 1 | x | | | |", "git | base | 1 | | | git | git | git", "a|b|1|c|||||"} {
		_, err := station.Read(strings.NewReader("# fine\n\n"+line+"\n"), station.Apt)
		require.ErrorContains(t, err, "line 3 of the table of tools")
	}
}

func TestTheFirstPackagerThatIsThere(t *testing.T) {
	has := func(names ...string) func(string) bool {
		return func(n string) bool { return strings.Contains(" "+strings.Join(names, " ")+" ", " "+n+" ") }
	}
	assert.Equal(t, station.Apt, station.Packager("linux", has("brew", "apt-get", "dnf")))
	assert.Equal(t, station.Dnf, station.Packager("linux", has("brew", "dnf")))
	assert.Equal(t, station.Brew, station.Packager("linux", has("brew")))
	assert.Equal(t, station.Brew, station.Packager("darwin", has("apt-get", "brew")))
	assert.Equal(t, station.None, station.Packager("darwin", has("apt-get")))
}

func TestAnEndInTheMiddleIsNoFinding(t *testing.T) {
	m := newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := station.Check(ctx, station.Options{Run: command.Exec{}, Top: m.top, Cache: m.cache, Path: m.bin, Packager: station.Apt})
	require.ErrorIs(t, err, context.Canceled)
}

// Who recovers at night needs the tools of a bake, and no browser.
func TestOnlyTheToolsThatAreWantedAreLookedAt(t *testing.T) {
	m := newMachine(t)
	o := station.Options{Run: command.Exec{}, Top: m.top, Cache: m.cache, Path: m.bin, Packager: station.Apt}
	all, err := station.Check(t.Context(), o)
	require.NoError(t, err)
	o.Sets = []string{all[0].Set}
	some, err := station.Check(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, some)
	assert.Less(t, len(some), len(all))
	for _, f := range some {
		assert.Equal(t, all[0].Set, f.Set)
	}
}
