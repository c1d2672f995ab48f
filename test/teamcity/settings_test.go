// Package teamcity_test compiles and runs .teamcity/settings.kts against the
// stand-in of TeamCity's DSL in teamcity/dslstub, and checks the project that it
// describes. It proves Kotlin and our intent, not TeamCity. And it runs both roles
// from the stand-in of the distribution in teamcity/standin.
package teamcity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type project struct {
	Version   string
	Context   map[string]string
	Features  []map[string]any
	Templates []build
	Builds    []build
}

type build struct {
	ID, Name     string
	Settings     map[string]any
	Params       map[string]string
	VCS          map[string]any
	Steps        []map[string]any
	Triggers     []map[string]any
	Features     []map[string]any
	Conditions   map[string]any
	Dependencies []map[string]any
	Templates    []string
}

const top = "../.."

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{top}, path...)...))
	require.NoError(t, err)
	return string(b)
}

// settings are what .teamcity/settings.kts prints when it is run.
func settings(t *testing.T) project {
	t.Helper()
	// Read here, so that Go's cache of test results knows what this depends on.
	stubs, err := filepath.Glob(filepath.Join(top, "teamcity", "dslstub", "*.kt"))
	require.NoError(t, err)
	require.NotEmpty(t, stubs)
	all := sha256.New()
	for i, s := range stubs {
		all.Write([]byte(read(t, "teamcity", "dslstub", filepath.Base(s))))
		stubs[i], err = filepath.Abs(s)
		require.NoError(t, err)
	}
	script, err := filepath.Abs(filepath.Join(top, ".teamcity", "settings.kts"))
	require.NoError(t, err)
	_ = read(t, ".teamcity", "settings.kts")

	kotlinc, err := exec.LookPath("kotlinc")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs kotlinc: ./station.sh setup brings it")
	}
	require.NoError(t, err)
	t.Logf("the stand-in is %s", hex.EncodeToString(all.Sum(nil))[:12])
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), kotlinc, args...)
		cmd.Dir = t.TempDir()
		// For a program that runs once: half the time.
		cmd.Env = append(os.Environ(), "JAVA_OPTS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx700m")
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		require.NoError(t, err, "kotlinc: %s", errs.String())
		return string(out)
	}
	jar := filepath.Join(t.TempDir(), "dsl.jar")
	run(append(stubs, "-no-reflect", "-nowarn", "-d", jar)...)
	out := run("-no-reflect", "-nowarn", "-cp", jar, "-script", script)
	var p project
	require.NoError(t, json.Unmarshal([]byte(out), &p), out)
	return p
}

// whole is a build with what its templates add.
func (p project) whole(t *testing.T, id string) build {
	t.Helper()
	i := slices.IndexFunc(p.Builds, func(b build) bool { return b.ID == id })
	require.GreaterOrEqual(t, i, 0, "there is no build %s", id)
	b := p.Builds[i]
	params, steps, features := map[string]string{}, []map[string]any{}, []map[string]any{}
	for _, name := range b.Templates {
		for _, x := range p.Templates {
			if x.ID != name {
				continue
			}
			for k, v := range x.Params {
				params[k] = v
			}
			steps, features = append(steps, x.Steps...), append(features, x.Features...)
		}
	}
	for k, v := range b.Params {
		params[k] = v
	}
	b.Params, b.Steps, b.Features = params, append(steps, b.Steps...), append(features, b.Features...)
	return b
}

// feature is the only one of a kind, or nil.
func (b build) feature(t *testing.T, kind string) map[string]any {
	t.Helper()
	var found map[string]any
	for _, f := range b.Features {
		if f["kind"] == kind {
			require.Nil(t, found, "%s has %s twice", b.ID, kind)
			found = f
		}
	}
	return found
}

// targets are those of the magefile: "bake", "lab:up".
func targets(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "magefile.go", read(t, "magefile.go"), 0)
	require.NoError(t, err)
	var out []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !fn.Name.IsExported() {
			continue
		}
		name := strings.ToLower(fn.Name.Name)
		if fn.Recv != nil {
			name = strings.ToLower(fn.Recv.List[0].Type.(*ast.Ident).Name) + ":" + name
		}
		out = append(out, name)
	}
	require.Contains(t, out, "lab:up")
	return out
}

func TestSettings(t *testing.T) {
	t.Parallel()
	p := settings(t)

	// Every step is a target that there is.
	known := targets(t)
	for _, b := range p.Builds {
		w := p.whole(t, b.ID)
		require.NotEmpty(t, w.Steps, b.ID)
		for _, s := range w.Steps {
			assert.Equal(t, "./station.sh", s["path"], "%s: every step goes through station.sh", b.ID)
			line := strings.ReplaceAll(s["arguments"].(string), "%chain.target%", w.Params["chain.target"])
			words := strings.Fields(strings.TrimPrefix(line, "-yes "))
			require.NotEmpty(t, words, "%s runs nothing", b.ID)
			assert.Contains(t, known, words[0], "%s runs a target that there is not", b.ID)
		}
		assert.NotNil(t, w.feature(t, "commitStatusPublisher"), b.ID)
	}

	// The page draws the same graph and names the same targets.
	page := read(t, "docs", "teamcity.md")
	drawn := regexp.MustCompile("(?s)```mermaid\ngraph LR\n(.*?)```").FindStringSubmatch(page)
	require.NotNil(t, drawn)
	var lines []string
	before := map[string]bool{}
	for _, b := range p.Builds {
		for _, d := range b.Dependencies {
			lines = append(lines, d["on"].(string)+" --> "+b.ID)
			before[b.ID], before[d["on"].(string)] = true, true
		}
	}
	for _, b := range p.Builds {
		if !before[b.ID] {
			lines = append(lines, b.ID)
		}
		target := regexp.MustCompile(`%[^%]*\.chain\.plan%`).ReplaceAllString(b.Params["chain.target"], "PLAN")
		assert.Contains(t, page, "| "+b.Name+" | `"+target+"` |")
	}
	assert.Equal(t, lines, trimmed(drawn[1]))

	const noTrail = "-:comment=Chain-Trail:**"
	check := p.whole(t, "Check")
	assert.Equal(t, []map[string]any{{"kind": "vcs", "branchFilter": "+:*\n-:chain-trail", "triggerRules": noTrail}}, check.Triggers)
	assert.NotContains(t, check.Params, "env.CHAIN_TARGET", "what anybody proposes has no way to AWS")
	assert.Nil(t, check.feature(t, "sshAgent"))
	pulls := check.feature(t, "pullRequests")
	require.NotNil(t, pulls)
	assert.Equal(t, "MEMBER", pulls["provider"].(map[string]any)["filterAuthorRole"])

	push := p.whole(t, "PushToProduction")
	assert.Equal(t, "DEPLOYMENT", push.Settings["type"])
	assert.Equal(t, false, push.Settings["enablePersonalBuilds"])
	assert.InDelta(t, 1, push.Settings["maxRunningBuilds"], 0)
	assert.Equal(t, "+:<default>", push.VCS["branchFilter"])
	assert.Equal(t, []map[string]any{{"kind": "vcs", "branchFilter": "+:<default>", "triggerRules": noTrail}}, push.Triggers)
	assert.Equal(t, "release -yes -expect=%dep.ChangeTest.chain.plan%", push.Params["chain.target"])
	assert.Equal(t, map[string]any{"kind": "sharedResources", "writeLock": "Production"}, push.feature(t, "sharedResources"))
	approval := push.feature(t, "approval")
	require.NotNil(t, approval)
	assert.Equal(t, "group:"+p.Context["approvers"]+":1", approval["approvalRules"])
	assert.Equal(t, false, approval["manualRunsApproved"])
	assert.Equal(t, []map[string]any{{"on": "ChangeTest", "onDependencyFailure": "CANCEL", "onDependencyCancel": "CANCEL", "reuseBuilds": "SUCCESSFUL"}}, push.Dependencies)

	for _, b := range p.Builds {
		w := p.whole(t, b.ID)
		for _, name := range []string{"chain.image", "chain.plan"} {
			assert.Contains(t, w.Params, name, "%s: a parameter that is set has to be declared", b.ID)
		}
		if b.ID == "Check" || b.ID == "NightlyCheck" { // they know no AWS
			continue
		}
		assert.Equal(t, "aws", w.Params["env.CHAIN_TARGET"], b.ID)
		last := w.Steps[len(w.Steps)-1]
		assert.Equal(t, "ALWAYS", last["executionMode"], b.ID)
		assert.NotNil(t, w.feature(t, "sshAgent"), b.ID)
	}
	station := p.Templates[slices.IndexFunc(p.Templates, func(b build) bool { return b.ID == "Station" })]
	assert.Equal(t, "ALWAYS", station.Settings["publishArtifacts"], "artifacts of a build that failed or was stopped, too")
	assert.Contains(t, station.Settings["artifactRules"], ".chain/log/** => log")
	assert.Equal(t, true, station.Conditions["nonZeroExitCode"])
	assert.Equal(t, "ON_AGENT", station.VCS["checkoutMode"])
	assert.True(t, strings.HasPrefix(p.Context["github.token"], "credentialsJSON:"))
}

func TestSettingsHoldNoSecret(t *testing.T) {
	t.Parallel()
	text := read(t, ".teamcity", "settings.kts") + read(t, ".teamcity", "pom.xml")
	assert.NotRegexp(t, `(?i)(AKIA[0-9A-Z]{16}|-----BEGIN|gh[pousr]_[A-Za-z0-9]{20}|password *=)`, text)
}

func trimmed(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
