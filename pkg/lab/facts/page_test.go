package facts_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
)

var update = flag.Bool("update", false, "write docs/lab.md anew")

const page = "../../../docs/lab.md"

// part is one section of the page. A further one (what can be broken, say) is a
// line in parts.
type part struct {
	title string
	text  func(t *testing.T, committed string) string
}

var parts = []part{
	{"What it takes for AWS's behaviour", claims},
	{"What it answers", actions},
	{"What its templates may hold", resources},
	{"What can be broken", faultTable},
	{"Which test shows what", shown},
	{"How large it is", sizes},
}

// TestPage keeps docs/lab.md what the code says.
func TestPage(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile(page)
	if !*update {
		require.NoError(t, err)
	}
	var b strings.Builder
	b.WriteString("# The lab\n\nMade by `go test ./pkg/lab/facts -run TestPage -update`; a test fails when it is stale.\n")
	for _, p := range parts {
		b.WriteString("\n## " + p.title + "\n\n" + p.text(t, string(committed)))
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644)) //nolint:gosec // a page that everybody may read
		return
	}
	assert.Equal(t, string(committed), b.String(), "docs/lab.md is stale: run go test ./pkg/lab/facts -run TestPage -update")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func claims(*testing.T, string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d facts. Each is a test of that name in `pkg/lab/facts`, which asks the lab by the SDK's own clients, and AWS itself with `LIVE_AWS=1`.\n", len(facts))
	b.WriteString("Live: seen on AWS by these tests: no, never tried; lab: only the lab can show it.\n\n| | Claim | Source | Live |\n|---|---|---|---|\n")
	for _, f := range facts {
		seen := "no"
		if f.seen {
			seen = "yes"
		}
		if f.lab != "" {
			seen = "lab"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.id, cell(f.claim), cell(f.source), seen)
	}
	b.WriteString("\nSources:\n")
	for _, s := range sources {
		fmt.Fprintf(&b, "- [%s] %s\n", s.tag, s.text)
	}
	return b.String()
}

func actions(t *testing.T, _ string) string {
	t.Helper()
	all := lab.Start(t).Actions()
	var b strings.Builder
	n := 0
	for _, list := range all {
		n += len(list)
	}
	fmt.Fprintf(&b, "%d actions; any other is answered with an error that names it.\n\n| Service | Actions |\n|---|---|\n", n)
	for _, name := range sorted(all) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(all[name], ", "))
	}
	return b.String()
}

func resources(*testing.T, string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d types; properties, required ones, create-only ones and attributes are those of the registry's schemas.\n\n", len(schema.Names()))
	for _, name := range schema.Names() {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	return b.String()
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sizes counts lines that are neither blank nor comment, tests apart. A figure
// on the page may be a tenth off before it counts as stale.
func sizes(t *testing.T, committed string) string {
	t.Helper()
	lines, tables := map[string]int{}, 0
	root := ".."
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		name := filepath.ToSlash(filepath.Join("pkg/lab", filepath.Dir(rel)))
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, "types.json"):
			tables += len(b) / 1000
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && !strings.Contains(name, "labtest") && !strings.Contains(name, "runtimetest"):
			lines[name] += code(string(b))
		}
		return nil
	}))
	var b strings.Builder
	b.WriteString("Lines of code, without blank lines, comments and tests.\n\n| Package | Lines |\n|---|---|\n")
	sum := 0
	for _, name := range sorted(lines) {
		n := steady(committed, name, lines[name])
		sum += n
		fmt.Fprintf(&b, "| %s | %d |\n", name, n)
	}
	fmt.Fprintf(&b, "| in all | %d |\n\nGenerated tables of resource types: %d kB.\n", sum, tables)
	return b.String()
}

// steady is the figure of the page as long as it is about right.
func steady(committed, name string, n int) int {
	m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` \| (\d+) \|$`).FindStringSubmatch(committed)
	if m == nil || *update {
		return n
	}
	old, err := strconv.Atoi(m[1])
	if off := n - old; err == nil && max(off, -off) <= max(n/10, 50) {
		return old
	}
	return n
}

func code(source string) int {
	n := 0
	for line := range strings.Lines(source) {
		if l := strings.TrimSpace(line); l != "" && !strings.HasPrefix(l, "//") {
			n++
		}
	}
	return n
}
