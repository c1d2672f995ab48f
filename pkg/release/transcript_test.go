package release_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/teamcity"
	"github.com/build-deploy-chain/chain/pkg/teamcity/teamcitytest"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

type transcript struct {
	name string // the kind, and after a blank which of its ways
	set  []string
	code int
}

// transcripts are releases of a changed page under each kind of fault that the
// lab has: what the chain prints then stands in testdata/KIND.golden, with ids,
// times and numbers masked and what depends on the moment left out.
var transcripts = []transcript{
	{"throttle", []string{"service=cloudformation", "times=5"}, 0},
	{"error", []string{"action=ExecuteChangeSet", "stack=web-production", "code=InsufficientCapabilities", "message=not allowed"}, 1},
	{"lost-answer", []string{"action=ExecuteChangeSet", "times=2"}, 0},
	{"lost-answer before", []string{"action=ExecuteChangeSet", "before=true", "times=2"}, 0},
	{"slow", []string{"action=ExecuteChangeSet", "delay=200ms", "times=3"}, 0},
	{"stale", []string{"times=20"}, 0},
	{"unknown-status", []string{"times=10"}, 0},
	{"unknown-status reason", []string{"action=DescribeStackEvents", "field=ResourceStatusReason", "value=a reason nobody knows", "times=forever"}, 0},
	{"unknown-status replacement", []string{"action=DescribeChangeSet", "field=Replacement", "value=True", "stack=web-production", "times=forever"}, 5},
	{"duplicate", []string{"times=forever"}, 0},
	{"small-pages", []string{"size=3", "times=forever"}, 0},
	{"signal-late", []string{"stack=web-production", "delay=300ms", "times=forever"}, 0},
	{"signal-lost", []string{"stack=web-production", "times=2"}, 7},
	{"no-capacity", []string{"stack=web-production", "times=forever"}, 7},
	{"machine broken", []string{"stack=web-production", "broken=true", "times=forever"}, 7},
	{"machine never", []string{"stack=web-production", "never=true", "times=forever"}, 7},
	{"machine late", []string{"stack=web-production", "delay=300ms", "times=forever"}, 0},
	{"machine dies", []string{"stack=web-production", "die=30ms", "times=forever"}, 7},
	{"rollback-failure", []string{"stack=web-production"}, 7},
	{"empty-change-set", []string{"stack=web-production"}, 5},
	{"empty-change-set updates", []string{"stack=web-production", "text=updates"}, 5},
	{"obsolete-change-set", []string{"stack=web-production"}, 5},
	{"image-gone", []string{"stack=web-production"}, 0}, // the image is protected from it by then
	{"alarm", []string{"stack=web-production"}, 7},
}

func TestTranscripts(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range transcripts {
		kind, _, _ := strings.Cut(c.name, " ")
		covered[kind] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, key, next := ready(t)
			c.show(t, w, key, next)
			// Mended it goes through; that of a rollback others show, too.
			if c.code == report.OK || c.code == report.RolledBack && os.Getenv("CHAIN_TEST_EVERY") == "" {
				return
			}
			_, err := w.release(t)
			require.NoError(t, err)
			assert.Equal(t, next, w.get(t, "/version"))
		})
	}
	for _, k := range core.Faults {
		assert.True(t, covered[k.Name], "no transcript shows the fault %s", k.Name)
	}
}

// show releases the page of the key next, where one of the other key is, under
// the fault, compares what is printed, and mends it.
func (c transcript) show(t *testing.T, w *world, key, next string) {
	t.Helper()
	kind, _, _ := strings.Cut(c.name, " ")
	_, err := w.l.Break(kind, c.set...)
	require.NoError(t, err)
	if kind == "rollback-failure" {
		_, err = w.l.Break("machine", "stack=web-production", "broken=true", "times=forever")
		require.NoError(t, err)
	}
	text, err := w.print(t, nil)
	assert.Equal(t, c.code, report.Code(err), text)
	serves := next
	if c.code != report.OK {
		serves = key
	}
	// A target that drains still gets connections for a while, as on AWS.
	assert.Eventually(t, func() bool { return w.get(t, "/version") == serves }, 20*time.Second, 20*time.Millisecond, "production serves what it should")
	golden(t, strings.ReplaceAll(c.name, " ", "-"), masked(text))
	require.NoError(t, w.l.Mend(""))
}

// print releases and returns all that is printed.
func (w *world) print(t *testing.T, m report.Machine) (string, error) {
	t.Helper()
	var out strings.Builder
	r, err := report.New(report.Options{Out: &out, Err: &out, Name: "release", Heartbeat: time.Hour, Machine: m})
	require.NoError(t, err)
	s := w.chain(t).Start()
	err = s.Do(t.Context(), pipeline.Env{Tell: r.Tell})
	if err == nil {
		outcome, rows := s.Summary(r.Elapsed())
		r.Summary(outcome, rows...)
	}
	err = r.Fail(err)
	require.NoError(t, r.Close())
	return out.String(), err
}

// TestTranscriptsForTeamCity are what builds of TeamCity print of a release that
// goes well and of the next, which is rolled back.
func TestTranscriptsForTeamCity(t *testing.T) {
	t.Parallel()
	w, _ := up(t)
	for _, c := range []struct {
		name string
		code int
	}{{"good", report.OK}, {"failing", report.RolledBack}} {
		w.page(t, "Hello World, again: "+c.name)
		if c.code != report.OK {
			_, err := w.l.Break("machine", "stack=web-production", "broken=true", "times=forever")
			require.NoError(t, err)
		}
		text, err := w.print(t, teamcity.Stream{Suite: "release"})
		require.Equal(t, c.code, report.Code(err), text)
		messages, err := teamcitytest.Read(text)
		require.NoError(t, err)
		tests := map[string]bool{}
		var kept strings.Builder
		step := ""
		for _, m := range messages {
			switch m.Name {
			case "testStarted":
				assert.False(t, tests[m.Values["name"]], "%s is told twice", m.Values["name"])
				tests[m.Values["name"]] = true
			case "blockOpened":
				step = m.Values["name"]
			case "progressMessage":
				if m.Values[""] != "release: "+step {
					continue // what is awaited depends on the moment
				}
			}
			kept.WriteString(m.Text + "\n")
		}
		for _, want := range []string{"make the same update fail and let CloudFormation roll it back", "baseline: page at address 1", "update: Route 53 answers the domain"} {
			assert.Contains(t, tests, "release: "+want)
		}
		golden(t, "teamcity-"+c.name, masked(kept.String()))
	}
}

func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./pkg/release -run TestTranscripts -update writes it")
	assert.Equal(t, string(b), text)
}

var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?m)^\d\d:\d\d `), ""},
	{regexp.MustCompile(`(text=')\d\d:\d\d `), "$1"},
	{regexp.MustCompile(`(chain\.(seconds|requests|p50-seconds|p95-seconds|p99-seconds|gap-seconds)\.[^ ]* value|duration)='[0-9.]+'`), "$1='…'"},
	{regexp.MustCompile(`\b\d+/\d+ `), ""},
	{regexp.MustCompile(`step \d+/\d+,`), "step"},
	{regexp.MustCompile(`\b(i|ami)-[0-9a-f]{8,}\b`), "$1-…"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "…"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "…"},
	{regexp.MustCompile(`\b[0-9a-fA-F]{12,}\b`), "…"},
	{regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)?(s|ms|µs)\b`), "…"},
	{regexp.MustCompile(`(expected time of a way back: ).*`), "$1…"},
	{regexp.MustCompile(`(?m)^((?:.*text=')?  took +).*?('\]|$)`), "$1…$2"},
	{regexp.MustCompile(`(log: console and target of )(?:i-…(?:, )?)+`), "$1…"},
	{regexp.MustCompile(`(?m)^(?:    \| |##teamcity\[message text='    \|\| )i-…: .*\n`), ""},
	{regexp.MustCompile(`(?m)^  i-\S+: how its target fared .*\n`), ""}, // of one machine or two, sooner or later
	{regexp.MustCompile(`release(/\S+/| |=)\d+`), "release$1…"},
	{regexp.MustCompile(`0 of \d+ requests`), "0 of … requests"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:…"},
	{regexp.MustCompile(`eu-west-1[abc]`), "eu-west-1…"},
	{regexp.MustCompile(`Received [12] FAILURE`), "Received … FAILURE"},
	{regexp.MustCompile(`(i-… [^;\n]+); (i-… [^;\n(]+)`), "$1"},
}

// masked is what production's change prints: from its proposal on, without what
// differs from run to run, each line that is repeated once.
func masked(s string) string {
	if begin := regexp.MustCompile(`▶ \d+/\d+ propose the change of production`).FindStringIndex(s); begin != nil {
		s = s[begin[0]:]
	}
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.with)
	}
	var lines []string
	for line := range strings.Lines(s) {
		if len(lines) == 0 || lines[len(lines)-1] != line {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
