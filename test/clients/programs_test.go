// Package clients_test runs programs that are not ours against a lab of the
// memory runtime: the aws CLI of both generations, botocore, curl, a client
// written by hand, and Packer (which needs Docker). What they send and what they
// understand was decided by others; a lab that they take for AWS is one.
//
// At home a test whose program is missing is skipped; with CI=true it fails.
package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

const region = "eu-west-1"

// missing skips a test at home and fails it in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not here, and CI must have it", what)
	}
	t.Skipf("%s is not here", what)
}

// find is the first program of a name in PATH that prints a match of the
// pattern when asked for its version; "" if none does.
func find(t *testing.T, name, pattern string, ask ...string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, ask...)
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
		out, err := cmd.CombinedOutput()
		if err == nil && regexp.MustCompile(pattern).Match(out) {
			return path
		}
	}
	return ""
}

// environ points a program at a lab, and away from the user's own settings.
func environ(endpoint, home string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_ACCESS_KEY_ID=AKIALAB0000000000000", "AWS_SECRET_ACCESS_KEY=lab", "AWS_DEFAULT_REGION=" + region,
	}, more...)
}

// result is what a program that ended leaves.
type result struct {
	out, err string
	code     int
}

// execute runs a program to its end.
func execute(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{strings.TrimSpace(out.String()), strings.TrimSpace(errs.String()), cmd.ProcessState.ExitCode()}
}

// cli is an aws CLI, pointed at a lab.
type cli struct {
	path       string
	generation string
	endpoint   string
	home       string
}

var clis = sync.OnceValue(func() map[string]string { return map[string]string{} })

var looking sync.Mutex

// newCLI is the aws CLI of a generation: "1" as pip has it, which knows
// AWS_ENDPOINT_URL and speaks CBOR to CloudWatch, or "2" as Debian 12 has it, two
// years older, which knows neither.
func newCLI(t *testing.T, generation string, l *lab.Lab) *cli {
	t.Helper()
	looking.Lock()
	path, looked := clis()[generation]
	if !looked {
		path = find(t, "aws", `^aws-cli/`+generation+`\.`, "--version")
		clis()[generation] = path
	}
	looking.Unlock()
	if path == "" {
		missing(t, "an aws CLI of generation "+generation)
	}
	return &cli{path: path, generation: generation, endpoint: l.Endpoint(), home: t.TempDir()}
}

func (c *cli) run(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if c.generation == "2" {
		args = append([]string{"--endpoint-url", c.endpoint}, args...)
	}
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Dir, cmd.Env = c.home, environ(c.endpoint, c.home)
	return execute(t, cmd)
}

// ok runs a command that works and returns what it prints.
func (c *cli) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := c.run(t, args...)
	require.Zero(t, r.code, "aws %s\n%s\n%s", strings.Join(args, " "), r.out, r.err)
	return r.out
}

// text runs a command whose answer is cut down to a few words.
func (c *cli) text(t *testing.T, query string, args ...string) string {
	t.Helper()
	return c.ok(t, append(args, "--query", query, "--output", "text")...)
}

// json runs a command and decodes its answer.
func (c *cli) json(t *testing.T, into any, args ...string) {
	t.Helper()
	out := c.ok(t, append(args, "--output", "json")...)
	require.NoError(t, json.Unmarshal([]byte(out), into), out)
}

// fails runs a command that is refused: with the exit code that each generation
// has for a service's no, and with want among its words.
func (c *cli) fails(t *testing.T, want string, args ...string) {
	t.Helper()
	r := c.run(t, args...)
	code := 255
	if c.generation == "2" {
		code = 254
	}
	assert.Equal(t, code, r.code, "aws %s\n%s\n%s", strings.Join(args, " "), r.out, r.err)
	assert.Contains(t, r.err, want, "aws %s", strings.Join(args, " "))
}

// file writes a file beside the CLI and returns its path.
func (c *cli) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.home, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// generations runs a test with each aws CLI, on a lab of its own.
func generations(t *testing.T, test func(t *testing.T, l *lab.Lab, aws *cli)) {
	t.Helper()
	for _, g := range []string{"1", "2"} {
		t.Run("aws CLI "+g, func(t *testing.T) {
			t.Parallel()
			l := lab.Start(t)
			test(t, l, newCLI(t, g, l))
		})
	}
}
