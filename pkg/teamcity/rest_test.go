package teamcity_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/teamcity"
	"github.com/build-deploy-chain/chain/pkg/teamcity/teamcitytest"
)

func server(t *testing.T) *teamcitytest.Server {
	t.Helper()
	s := teamcitytest.NewServer(t)
	s.Builds = []teamcitytest.BuildType{{ID: "Chain_Check", Name: "Check", Target: "check"}, {ID: "Chain_Bake", Name: "Bake", Target: "bake"}, {ID: "Chain_Push", Name: "Push", Target: "release -yes -expect=x"}}
	s.Agents = []teamcitytest.Agent{{ID: 1, Name: "agent-1"}, {ID: 2, Name: "stranger"}}
	return s
}

func client(t *testing.T, s *teamcitytest.Server, token string) *teamcity.Client {
	t.Helper()
	c, err := teamcity.New(teamcity.Options{URL: s.URL, Token: token, Poll: time.Millisecond})
	require.NoError(t, err)
	return c
}

func bootstrap(t *testing.T, s *teamcitytest.Server, file string, options ...func(*teamcity.Setup)) (*teamcity.Setup, []string, error) {
	t.Helper()
	setup := &teamcity.Setup{
		Client: client(t, s, ""), Login: file, SuperUser: s.SuperUser, Repository: "git@git.example:acme/site.git", Branch: "main",
		Github: "a secret of Github", Agents: []string{"agent-*"},
	}
	for _, o := range options {
		o(setup)
	}
	var told []string
	err := pipeline.Do(t.Context(), pipeline.Env{Tell: func(e pipeline.Event) { told = append(told, e.Name+e.Text) }}, setup, teamcity.Bootstrap()...)
	return setup, told, err
}

// up is a server that was bootstrapped, and its token.
func up(t *testing.T) (*teamcitytest.Server, *teamcity.Client) {
	t.Helper()
	s, file := server(t), filepath.Join(t.TempDir(), "login.json")
	_, _, err := bootstrap(t, s, file)
	require.NoError(t, err)
	token, err := teamcity.Token(file)
	require.NoError(t, err)
	return s, client(t, s, token)
}

// whole says that a server is set up as it should be.
func whole(t *testing.T, s *teamcitytest.Server) {
	t.Helper()
	assert.Equal(t, map[string]any{"id": "Chain", "name": "Chain", "parentProject": map[string]any{"id": "_Root"}}, s.Project)
	require.NotNil(t, s.Root)
	assert.Equal(t, "jetbrains.git", s.Root["vcsName"])
	assert.Contains(t, fmt.Sprint(s.Root["properties"]), "git@git.example:acme/site.git")
	assert.Equal(t, map[string]any{
		"synchronizationMode": "enabled", "vcsRootId": "Chain_Settings", "format": "kotlin", "buildSettingsMode": "useCurrentByDefault",
		"allowUIEditing": false, "showSettingsChanges": true, "storeSecureValuesOutsideVcs": true, "portableDsl": true,
	}, s.Config)
	assert.Equal(t, "deploy-key", s.Context["ssh.key"])
	assert.Regexp(t, "^credentialsJSON:", s.Context["github.token"])
	assert.Contains(t, s.Secrets, "a secret of Github")
	assert.Equal(t, []teamcitytest.Agent{{ID: 1, Name: "agent-1", Authorized: true}, {ID: 2, Name: "stranger"}}, s.Agents)
	assert.Equal(t, []string{"Chain_Check"}, s.Queue)
	assert.Len(t, s.Users, 1)
	assert.Len(t, s.Tokens, 1)
	assert.Len(t, s.Keys, 1)
}

func TestBootstrapFromNothingAndAgain(t *testing.T) {
	s, file := server(t), filepath.Join(t.TempDir(), "new", "login.json")
	setup, told, err := bootstrap(t, s, file)
	require.NoError(t, err)
	whole(t, s)
	assert.Equal(t, "2026.1.4", setup.Version)
	assert.Equal(t, s.URL, s.RootURL)
	assert.Equal(t, "ssh-ed25519 AAAA", setup.PublicKey)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text := strings.Join(told, "\n")
	for _, secret := range []string{"a secret", s.SuperUser, s.Users["chain"]} {
		assert.NotContains(t, text, secret)
	}
	for token := range s.Tokens {
		assert.NotContains(t, text, token)
	}

	writes := len(s.Writes)
	_, _, err = bootstrap(t, s, file, func(o *teamcity.Setup) { o.SuperUser = "" })
	require.NoError(t, err)
	assert.Empty(t, s.Writes[writes:], "a second run changes nothing")

	// Another secret takes the place of the one before.
	_, _, err = bootstrap(t, s, file, func(o *teamcity.Setup) { o.Github = "another" })
	require.NoError(t, err)
	assert.Equal(t, "credentialsJSON:2", s.Context["github.token"])
	assert.Equal(t, []string{"Chain_Check"}, s.Queue)
}

// Whichever answer is lost, the same command again brings it to the same end.
func TestBootstrapGoesOnAfterEachLostAnswer(t *testing.T) {
	all := server(t)
	_, _, err := bootstrap(t, all, filepath.Join(t.TempDir(), "login.json"))
	require.NoError(t, err)
	require.NotEmpty(t, all.Writes)
	for n := range all.Writes {
		t.Run(all.Writes[n], func(t *testing.T) {
			s, file := server(t), filepath.Join(t.TempDir(), "login.json")
			s.FailAt = n + 1
			_, _, err := bootstrap(t, s, file)
			require.ErrorContains(t, err, "the answer was lost")
			assert.Equal(t, 1, report.Code(err))
			s.FailAt = 0
			_, _, err = bootstrap(t, s, file)
			require.NoError(t, err)
			whole(t, s)
		})
	}
}

func TestBootstrapTellsWhatItLacks(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*teamcitytest.Server, *teamcity.Setup)
		code  int
		says  string
	}{
		"no super user":        {func(_ *teamcitytest.Server, o *teamcity.Setup) { o.SuperUser = "" }, report.Usage, "super user's token is needed"},
		"another super user":   {func(_ *teamcitytest.Server, o *teamcity.Setup) { o.SuperUser = "1" }, report.Guard, "answered 401"},
		"no repository":        {func(_ *teamcitytest.Server, o *teamcity.Setup) { o.Repository = "" }, report.Usage, "which repository"},
		"an old server":        {func(s *teamcitytest.Server, _ *teamcity.Setup) { s.Version = "2026.1.3" }, report.Policy, "lets strangers in"},
		"a key not let in yet": {func(s *teamcitytest.Server, _ *teamcity.Setup) { s.KeyIn = false }, report.Internal, "Permission denied (publickey)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t)
			_, _, err := bootstrap(t, s, filepath.Join(t.TempDir(), "login.json"), func(o *teamcity.Setup) { c.spoil(s, o) })
			require.ErrorContains(t, err, c.says)
			assert.Equal(t, c.code, report.Code(err))
			assert.NotEmpty(t, report.AsFailure(err).Next)
		})
	}
}

func TestVersionsThatAreFixed(t *testing.T) {
	for version, ok := range map[string]bool{
		"2026.2": true, "2026.2.1": true, "2027.1": true, "2026.1.4": true, "2026.1.10": true, "2025.11.8": true, "2025.11.10": true,
		"2026.1": false, "2026.1.3": false, "2025.11.7": false, "2025.11": false, "2025.07.9": false, "2024.12.3": false, "": false, "latest": false, "2026.2-EAP": false,
	} {
		assert.Equal(t, ok, teamcity.Fixed(version) == nil, version)
	}
}

func TestATokenIsNotSentInTheClear(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://ci.example.com": true, "https://ci.example.com/teamcity/": true, "http://127.0.0.1:8111": true, "http://localhost:8111": true,
		"http://ci.example.com": false, "http://10.0.0.1:8111": false, "": false, "ci.example.com": false, "https://a:b@ci.example.com": false,
	} {
		_, err := teamcity.New(teamcity.Options{URL: address})
		assert.Equal(t, ok, err == nil, address)
	}
}

// in runs something as a step.
func in(t *testing.T, fn func(ctx context.Context, run *pipeline.Run) error) error {
	t.Helper()
	return pipeline.Do(t.Context(), pipeline.Env{}, &state{}, pipeline.Func("x", func(ctx context.Context, run *pipeline.Run, _ *state) error { return fn(ctx, run) }))
}

func TestTriggerFollowsTheBuildThatRunsATarget(t *testing.T) {
	s, c := up(t)
	trigger := func(target string) error {
		return in(t, func(ctx context.Context, run *pipeline.Run) error {
			_, err := c.Trigger(ctx, run, teamcity.Project, target)
			return err
		})
	}
	require.NoError(t, trigger("release"))
	assert.Equal(t, []string{"Chain_Check", "Chain_Push"}, s.Queue)

	s.Outcome = "FAILURE"
	err := trigger("bake")
	require.ErrorContains(t, err, "build #3 ended with FAILURE")
	assert.Equal(t, 1, report.Code(err))

	err = trigger("nothing")
	assert.Equal(t, report.Usage, report.Code(err))
	assert.Equal(t, []string{"one of: check, bake, release"}, report.AsFailure(err).Next)
	assert.Len(t, s.Queue, 3)
}

func TestStatusTellsBuildsAndAgents(t *testing.T) {
	_, c := up(t)
	outcome, rows, err := c.Status(t.Context(), teamcity.Project)
	require.NoError(t, err)
	assert.Contains(t, outcome, "TeamCity 2026.1.4 at http://127.0.0.1:")
	assert.Equal(t, []report.Row{
		{Name: "agents", Value: "1 of 1 connected"},
		{Name: "not authorised", Value: "stranger"},
		{Name: "Check", Value: "#1 queued, Tests passed: 1"},
		{Name: "Bake", Value: "never built"},
		{Name: "Push", Value: "never built"},
	}, rows)
}

func TestBackupIsWaitedFor(t *testing.T) {
	s, c := up(t)
	require.NoError(t, in(t, func(ctx context.Context, run *pipeline.Run) error {
		file, err := c.Backup(ctx, run, "chain")
		assert.Equal(t, "chain_20261123_100000.zip", file)
		return err
	}))
	assert.Equal(t, 1, s.Backups)
}
