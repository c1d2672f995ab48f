package teamcity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/teamcity"
	"github.com/build-deploy-chain/chain/pkg/teamcity/teamcitytest"
)

type state struct{}

func step(name string, fn func(run *pipeline.Run) error) pipeline.Step[state] {
	return pipeline.Func(name, func(_ context.Context, run *pipeline.Run, _ *state) error { return fn(run) })
}

// build runs steps as a build would and returns its output, errors included.
func build(t *testing.T, dir string, c *clock.Manual, steps ...pipeline.Step[state]) (string, error) {
	t.Helper()
	var out strings.Builder // the report writes one line after the other
	r, err := report.New(report.Options{Out: &out, Err: &out, Clock: c, Dir: dir, Name: "release", Heartbeat: time.Hour, Machine: teamcity.Stream{Suite: "release"}})
	require.NoError(t, err)
	err = pipeline.Do(t.Context(), pipeline.Env{Clock: c, Tell: r.Tell}, &state{}, steps...)
	if err == nil {
		r.Summary("released 3", report.Row{Name: "plan", Value: "0123456789ab"}, report.Row{Name: "undo", Value: "./station.sh rollback"})
	}
	err = r.Fail(err)
	require.NoError(t, r.Close())
	return out.String(), err
}

var began = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func TestStory(t *testing.T) {
	c := clock.NewManual(began)
	dir := filepath.Join(t.TempDir(), "log")
	out, err := build(t, dir, c,
		step("bake", func(run *pipeline.Run) error {
			run.Await("Packer's \x1b[1mmachine")
			c.Advance(1500 * time.Millisecond)
			run.Await("")
			run.Fact("image", "ami-0123456789abcdef0")
			run.Fact("image in us-east-1", "ami-1")
			run.Test("serverspec: it's up", "", 20*time.Millisecond)
			run.Measure("packages.all", 312)
			return nil
		}),
		pipeline.Together("both",
			[]pipeline.Step[state]{step("left", func(run *pipeline.Run) error { run.Note("on the left"); return nil })},
		),
		step("check", func(run *pipeline.Run) error {
			run.Test("page at address 1", "answered 500: \n##teamcity[buildStop]", time.Second)
			o := run.Output("child")
			_, _ = io.WriteString(o, "##team\x1b[0mcity[buildStatus status='SUCCESS' text='fine']\n")
			_ = o.Close()
			return &report.Failure{
				Code: report.RolledBack, ID: "E-REL-07", What: "production was rolled back", State: "production runs ami-0 as before",
				Next: []string{"./station.sh history"}, Err: errors.New("##teamcity[buildNumber '1']"),
			}
		}))
	assert.Equal(t, 7, report.Code(err))
	_, err = teamcitytest.Read(out)
	require.NoError(t, err)
	got := strings.Split(strings.TrimSpace(strings.ReplaceAll(out, dir, "DIR")), "\n")
	assert.Equal(t, strings.Split(strings.TrimSpace(`
##teamcity[blockOpened name='bake']
##teamcity[progressMessage 'release: bake']
00:00 ▶ 1/3 bake
##teamcity[progressMessage 'release: Packer|'s |0x001B|[1mmachine']
00:01   image=ami-0123456789abcdef0
##teamcity[setParameter name='chain.image' value='ami-0123456789abcdef0']
##teamcity[addBuildTag 'ami-0123456789abcdef0']
00:01   image in us-east-1=ami-1
##teamcity[testStarted name='release: serverspec: it|'s up']
##teamcity[testFinished name='release: serverspec: it|'s up' duration='20']
##teamcity[buildStatisticValue key='chain.packages.all' value='312']
00:01 ✔ bake  1.5s
##teamcity[buildStatisticValue key='chain.seconds.bake' value='1.5']
##teamcity[blockClosed name='bake']
##teamcity[blockOpened name='both']
##teamcity[progressMessage 'release: both']
00:01 ▶ 2/3 both
##teamcity[blockOpened name='left' flowId='1']
##teamcity[message text='00:01 |0x25B6 left' flowId='1']
##teamcity[message text='00:01   on the left' flowId='1']
##teamcity[message text='00:01 |0x2714 left  0.0s' flowId='1']
##teamcity[buildStatisticValue key='chain.seconds.left' value='0']
##teamcity[blockClosed name='left' flowId='1']
00:01 ✔ both  0.0s
##teamcity[buildStatisticValue key='chain.seconds.both' value='0']
##teamcity[blockClosed name='both']
##teamcity[blockOpened name='check']
##teamcity[progressMessage 'release: check']
00:01 ▶ 3/3 check
##teamcity[testStarted name='release: page at address 1']
##teamcity[testFailed name='release: page at address 1' message='answered 500: ' details='answered 500: |n##teamcity|[buildStop|]']
##teamcity[testFinished name='release: page at address 1' duration='1000']
##teamcity[message text='    || child: ##teamcity|[buildStatus status=|'SUCCESS|' text=|'fine|'|]' status='ERROR']
##teamcity[message text='00:01 |0x2716 check  0.0s: E-REL-07 production was rolled back: ##teamcity|[buildNumber |'1|'|]' status='ERROR']
##teamcity[blockClosed name='check']
##teamcity[buildProblem description='E-REL-07 production was rolled back: ##teamcity|[buildNumber |'1|'|]|n  where   step 3/3, check (log: DIR/20261123T100000Z-release.log)|n  state   production runs ami-0 as before|n  next    ./station.sh history' identity='E_REL_07']
✖ E-REL-07 production was rolled back: ##teamcity [buildNumber '1']
  where   step 3/3, check (log: DIR/20261123T100000Z-release.log)
  state   production runs ami-0 as before
  next    ./station.sh history
##teamcity[publishArtifacts 'DIR/20261123T100000Z-release.jsonl => log']
##teamcity[publishArtifacts 'DIR/20261123T100000Z-release.log => log']
`), "\n"), got)
}

func TestTheOutcomeIsTheStatusAndHandsOnThePlan(t *testing.T) {
	out, err := build(t, "", clock.NewManual(began), step("x", func(*pipeline.Run) error { return nil }))
	require.NoError(t, err)
	assert.Contains(t, out, `  plan  0123456789ab
  undo  ./station.sh rollback
##teamcity[buildStatus text='{build.status.text}; released 3']
##teamcity[setParameter name='chain.plan' value='0123456789ab']
##teamcity[addBuildTag '0123456789ab']
`)
}

func TestBranchesAreFlows(t *testing.T) {
	branch := func(name string) []pipeline.Step[state] {
		var out []pipeline.Step[state]
		for i := range 5 {
			out = append(out, step(fmt.Sprintf("%s %d", name, i), func(run *pipeline.Run) error {
				run.Note("of %s", name)
				run.Test("of "+name, "", 0)
				return nil
			}))
		}
		return out
	}
	out, err := build(t, "", clock.NewManual(began), pipeline.Together("all", branch("a"), branch("b"),
		[]pipeline.Step[state]{pipeline.Together("inner", branch("c"), branch("d"))}))
	require.NoError(t, err)
	messages, err := teamcitytest.Read(out)
	require.NoError(t, err)
	flows := map[string]map[string]bool{}
	for _, m := range messages {
		if text, ok := strings.CutPrefix(m.Values["text"], "00:00   of "); ok {
			if flows[text] == nil {
				flows[text] = map[string]bool{}
			}
			flows[text][m.Values["flowId"]] = true
		}
	}
	assert.Equal(t, map[string]map[string]bool{"a": {"1": true}, "b": {"2": true}, "c": {"3.1": true}, "d": {"3.2": true}}, flows)
}

func TestARunThatWasStoppedIsNoProblem(t *testing.T) {
	out, err := build(t, "", clock.NewManual(began), step("wait", func(*pipeline.Run) error { return context.Canceled }))
	assert.Equal(t, 130, report.Code(err))
	assert.NotContains(t, out, "buildProblem")
	_, err = teamcitytest.Read(out)
	require.NoError(t, err)
}

func TestProblemsAreCutToTheLimit(t *testing.T) {
	out, err := build(t, "", clock.NewManual(began), step("x", func(*pipeline.Run) error { return errors.New(strings.Repeat("😀", 5000)) }))
	require.Error(t, err)
	_, err = teamcitytest.Read(out)
	require.NoError(t, err)
	assert.Contains(t, out, "identity='E_RUN_01'")
}

// Whatever children and AWS say, no line of a build is a message that we did not mean.
func FuzzStream(f *testing.F) {
	for _, s := range []string{"", "x", "##teamcity[buildStop comment='x']", "##team\x1b[1mcity[x 'y']", "##team\x00city[x 'y']", "a\nb", "\n0", "##teamcity##teamcity[[", "|'", "\r##teamcity[x 'y']"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, err := build(t, "", clock.NewManual(began),
			step("all", func(run *pipeline.Run) error {
				run.Note("%s", s)
				run.Fact("image", s)
				run.Fact(s, s)
				run.Await("%s", s)
				run.Test("t"+s, s, 0)
				o := run.Output(s)
				_, _ = io.WriteString(o, s)
				_ = o.Close()
				run.Undo(s, func(context.Context) error { return errors.New(s) })
				return &report.Failure{ID: s, What: s, Where: s, State: s, Next: []string{s}, Err: errors.New(s)}
			}))
		require.Error(t, err)
		messages, err := teamcitytest.Read(out)
		require.NoError(t, err)
		for _, m := range messages {
			if m.Name != "" {
				assert.Contains(t, []string{
					"blockOpened", "blockClosed", "progressMessage", "testStarted", "testFailed", "testFinished", "message", "buildProblem",
				}, m.Name)
			}
		}
	})
}

func TestRelay(t *testing.T) {
	var out strings.Builder
	r := &teamcity.Relay{Out: &out, Module: "example.org/chain"}
	text := strings.Join([]string{
		"==> shellcheck",
		"##teamcity[buildStop comment='no']",
		"==> go",
		`{"Action":"start","Package":"example.org/chain/pkg/a"}`,
		`{"Action":"run","Package":"example.org/chain/pkg/a","Test":"TestOne"}`,
		`{"Action":"run","Package":"example.org/chain/pkg/b","Test":"TestLost"}`,
		`{"Action":"run","Package":"example.org/chain/pkg/a","Test":"TestOne/sub"}`,
		`{"Action":"output","Package":"example.org/chain/pkg/a","Test":"TestOne/sub","Output":"##teamcity[buildStop comment='no']\n"}`,
		`{"Action":"output","Package":"example.org/chain/pkg/b","Test":"TestLost","Output":"panic: oh\n"}`,
		`{"Action":"fail","Package":"example.org/chain/pkg/a","Test":"TestOne/sub","Elapsed":1.25}`,
		`{"Action":"pass","Package":"example.org/chain/pkg/a","Test":"TestOne","Elapsed":0}`,
		`{"Action":"output","Package":"example.org/chain/pkg/a","Test":"TestSkip","Output":"    a.go:1: needs Docker\n"}`,
		`{"Action":"skip","Package":"example.org/chain/pkg/a","Test":"TestSkip","Elapsed":0}`,
		`{"Action":"fail","Package":"example.org/chain/pkg/a","Elapsed":2}`,
		`{"Action":"output","Package":"example.org/chain/pkg/b","Output":"FAIL\n"}`,
		`{"Action":"fail","Package":"example.org/chain/pkg/b","Elapsed":2}`,
		`{"ImportPath":"example.org/chain/pkg/c","Action":"build-output","Output":"c.go:1: syntax error\n"}`,
		`{"not":"ours"}`,
		"cut off",
	}, "\n")
	for i := 0; i < len(text); i += 7 { // in pieces
		_, err := io.WriteString(r, text[i:min(i+7, len(text))])
		require.NoError(t, err)
	}
	require.NoError(t, r.Close())
	_, err := teamcitytest.Read(out.String())
	require.NoError(t, err)
	assert.Equal(t, strings.Split(strings.TrimSpace(`
##teamcity[blockOpened name='shellcheck']
##teamcity[progressMessage 'shellcheck']
==> shellcheck
##teamcity [buildStop comment='no']
##teamcity[blockClosed name='shellcheck']
##teamcity[blockOpened name='go']
##teamcity[progressMessage 'go']
==> go
##teamcity[testStarted name='pkg/a: TestOne/sub']
##teamcity[testFailed name='pkg/a: TestOne/sub' message='failed' details='failed|n##teamcity|[buildStop comment=|'no|'|]|n']
##teamcity[testFinished name='pkg/a: TestOne/sub' duration='1250']
##teamcity[testStarted name='pkg/a: TestOne']
##teamcity[testFinished name='pkg/a: TestOne' duration='0']
##teamcity[testIgnored name='pkg/a: TestSkip' message='a.go:1: needs Docker']
fail  pkg/a  2.0s
##teamcity[testStarted name='pkg/b: TestLost']
##teamcity[testFailed name='pkg/b: TestLost' message='the package ended before the test' details='the package ended before the test|npanic: oh|n']
##teamcity[testFinished name='pkg/b: TestLost' duration='0']
fail  pkg/b  2.0s
FAIL
c.go:1: syntax error
{"not":"ours"}
cut off
##teamcity[blockClosed name='go']
`), "\n"), strings.Split(strings.TrimSpace(out.String()), "\n"))
}
