package recovery_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/recovery"
)

var update = flag.Bool("update", false, "write docs/runbook.md")

func production(t *testing.T, dir string) *config.Environment {
	t.Helper()
	c, err := config.Load(dir, nil)
	require.NoError(t, err)
	s, err := c.Site("")
	require.NoError(t, err)
	e, err := s.Environment("")
	require.NoError(t, err)
	return e
}

func TestRunbookIsOfChainYAML(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	r := recovery.RunbookFor(production(t, root))
	file := filepath.Join(root, "docs", "runbook.md")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(r.Markdown()), 0o644))
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, r.Markdown(), string(b), "go test ./pkg/recovery -run TestRunbook -update")
	assert.LessOrEqual(t, strings.Count(string(b), "\n"), 110, "one page")
}

// Whatever somebody types at three in the morning exists, flags and all.
func TestRunbookNamesCommandsThatExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	e := production(t, root)
	e.Regions = append(e.Regions, "us-east-1")
	e.Database = &config.Database{Class: "db.t4g.small"}
	e.Recovery.Contacts = []string{"on call: +44 20 7946 0000 <script>"}
	r := recovery.RunbookFor(e)
	targets := targetsOf(t, filepath.Join(root, "magefile.go"))
	said := regexp.MustCompile(`\./station\.sh ([a-z:]+)((?: -[a-z]+(?:=\S+)?)*)`)
	checked := 0
	for _, m := range said.FindAllStringSubmatch(r.Markdown(), -1) {
		if m[1] == "setup" {
			b, err := os.ReadFile(filepath.Join(root, "station.sh"))
			require.NoError(t, err)
			assert.Regexp(t, `(?m)^\s*setup\b`, string(b))
			continue
		}
		flags, ok := targets[m[1]]
		assert.True(t, ok, "there is no target %s", m[1])
		for _, f := range strings.Fields(m[2]) {
			name, _, _ := strings.Cut(strings.TrimPrefix(f, "-"), "=")
			assert.Contains(t, flags, name, m[0])
		}
		checked++
	}
	assert.Greater(t, checked, 10)
	assert.Contains(t, r.Markdown(), "dr:recover -region=us-east-1")
	assert.Contains(t, r.Markdown(), "-at=")

	page, err := r.HTML()
	require.NoError(t, err)
	assert.Contains(t, string(page), "20 7946 0000 &lt;script&gt;")
	assert.NotRegexp(t, `(src|href)=`, string(page))
}

// targetsOf are Mage's targets, each with its flags.
func targetsOf(t *testing.T, file string) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	out := map[string][]string{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !fn.Name.IsExported() {
			continue
		}
		name := strings.ToLower(fn.Name.Name)
		if fn.Recv != nil {
			if space, ok := fn.Recv.List[0].Type.(*ast.Ident); ok {
				name = strings.ToLower(space.Name) + ":" + name
			}
		}
		out[name] = []string{}
		for _, p := range fn.Type.Params.List {
			if _, optional := p.Type.(*ast.StarExpr); optional {
				for _, n := range p.Names {
					out[name] = append(out[name], n.Name)
				}
			}
		}
	}
	return out
}
