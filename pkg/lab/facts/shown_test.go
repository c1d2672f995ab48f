package facts_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
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
	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// services tells by which names tests know a service: its package in the lab, its
// module of the SDK, its command of the aws CLI.
var services = map[string]struct{ dir, sdk, cli string }{
	"autoscaling":          {"autoscaling", "autoscaling", "autoscaling"},
	"cloudformation":       {"cloudformation", "cloudformation", "cloudformation"},
	"ec2":                  {"ec2", "ec2", "ec2"},
	"elasticloadbalancing": {"elb", "elasticloadbalancingv2", "elbv2"},
	"iam":                  {"iam", "iam", "iam"},
	"logs":                 {"logs", "cloudwatchlogs", "logs"},
	"monitoring":           {"cloudwatch", "cloudwatch", "cloudwatch"},
	"rds":                  {"rds", "rds", "rds"},
	"route53":              {"route53", "route53", "route53"},
	"s3":                   {"s3", "s3", "s3api"},
	"sns":                  {"sns", "sns", "sns"},
	"ssm":                  {"ssm", "ssm", "ssm"},
	"sts":                  {"sts", "sts", "sts"},
}

// source is a test, a helper or a table of tests, with what it says.
type source struct {
	dir, name string
	imports   map[string]bool
	names     map[string]bool // identifiers and selected names
	texts     map[string]bool
}

// tests reads every test file of some packages.
func tests(t *testing.T, dirs ...string) []*source {
	t.Helper()
	var all []*source
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			imports := map[string]bool{}
			for _, i := range file.Imports {
				p, _ := strconv.Unquote(i.Path.Value)
				imports[p] = true
			}
			for _, d := range file.Decls {
				s := &source{dir: dir, imports: imports, names: map[string]bool{}, texts: map[string]bool{}}
				switch d := d.(type) {
				case *ast.FuncDecl:
					s.name = d.Name.Name
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						if v, ok := spec.(*ast.ValueSpec); ok {
							s.name = v.Names[0].Name
						}
					}
				}
				ast.Inspect(d, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.Ident:
						s.names[n.Name] = true
					case *ast.BasicLit:
						if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
							for _, word := range strings.Fields(text) {
								s.texts[word] = true
							}
						}
					}
					return true
				})
				all = append(all, s)
			}
		}
	}
	return all
}

// shownBy is the first test that says what is asked for, itself or by a helper
// or table of its package that it uses.
func shownBy(all []*source, says func(*source) bool) string {
	for _, s := range all {
		if !says(s) {
			continue
		}
		reached, todo := map[string]bool{s.name: true}, []string{s.name}
		for len(todo) > 0 {
			name := todo[0]
			todo = todo[1:]
			if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
				return strings.TrimPrefix(filepath.ToSlash(s.dir), "../../../") + " " + name
			}
			for _, user := range all {
				if user.dir == s.dir && user.names[name] && user.name != "" && !reached[user.name] {
					reached[user.name] = true
					todo = append(todo, user.name)
				}
			}
		}
	}
	return ""
}

var hump = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// shown names, for each action of the API and each kind of fault, a test that
// shows it. One that none shows fails.
func shown(t *testing.T, _ string) string {
	t.Helper()
	const module = "github.com/build-deploy-chain/chain/pkg/lab/"
	root := filepath.Join("..", "..", "..")
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	dirs := []string{filepath.Join(root, "pkg", "lab")}
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(root, "pkg", "lab", e.Name()))
		}
	}
	all := tests(t, append(dirs, filepath.Join(root, "test", "clients"))...)

	var b strings.Builder
	b.WriteString("A test for each action.\n\n| Action | Test |\n|---|---|\n")
	actions := lab.Start(t).Actions()
	for _, service := range sorted(actions) {
		known, ok := services[service]
		require.True(t, ok, "service %s has no row in services", service)
		own := filepath.Join(root, "pkg", "lab", known.dir)
		// A service's own package first.
		slices.SortStableFunc(all, func(x, y *source) int {
			return rank(x.dir == own) - rank(y.dir == own)
		})
		for _, action := range actions[service] {
			kebab := strings.ToLower(hump.ReplaceAllString(action, "$1-$2"))
			test := shownBy(all, func(s *source) bool {
				speaks := s.dir == own || s.imports[module+known.dir] || s.imports["github.com/aws/aws-sdk-go-v2/service/"+known.sdk]
				return speaks && (s.names[action] || s.texts[action]) || s.texts[known.cli] && s.texts[kebab]
			})
			assert.NotEmpty(t, test, "no test shows %s.%s", service, action)
			fmt.Fprintf(&b, "| %s.%s | %s |\n", service, action, test)
		}
	}
	return b.String()
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// faultTable is the table of faults, with the transcript that shows each.
func faultTable(t *testing.T, _ string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("By `./station.sh lab:break KIND [KEY=VALUE...]`, by `POST /_lab/break {\"kind\", \"words\"}`, or by `Lab.Break` of a Go test; `times=N` or `forever` (1 unless told), `for=DURATION`.\n\n")
	for _, to := range sorted(core.FaultMatches) {
		fmt.Fprintf(&b, "- a %s is matched by %s\n", to, strings.Join(core.FaultMatches[to], ", "))
	}
	b.WriteString("\nWhat the chain prints under each stands in `pkg/release/testdata`.\n\n| Fault | Of | What it does | Also | Test |\n|---|---|---|---|---|\n")
	root := filepath.Join("..", "..", "..")
	chain := tests(t, filepath.Join(root, "pkg", "release"))
	for _, k := range core.Faults {
		var also []string
		for _, a := range k.Args {
			also = append(also, a.Name+" ("+a.Kind+"): "+a.What)
		}
		for _, m := range k.Match {
			also = append(also, "matches "+m)
		}
		if k.Action != "" {
			also = append(also, "means "+k.Action)
		}
		test := shownBy(chain, func(s *source) bool { return s.name == "transcripts" && s.texts[k.Name] })
		assert.NotEmpty(t, test, "no transcript shows the fault %s", k.Name)
		found, err := filepath.Glob(filepath.Join(root, "pkg", "release", "testdata", k.Name+"*.golden"))
		require.NoError(t, err)
		assert.NotEmpty(t, found, "no transcript of the fault %s", k.Name)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s/%s |\n", k.Name, k.To, cell(k.What), cell(strings.Join(also, "; ")), test, k.Name)
	}
	return b.String()
}
