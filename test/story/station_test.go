package story_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// station is a fresh clone with a lab of its own, used as a person uses it.
type station struct {
	clone, labDir string
	env           []string
}

// newStation clones this repository as it is committed and points it at a lab
// of its own on free ports. The lab is destroyed when the test ends.
func newStation(t *testing.T) *station {
	t.Helper()
	top := strings.TrimSpace(output(t, "", "git", "rev-parse", "--show-toplevel"))
	dir := t.TempDir()
	s := &station{clone: filepath.Join(dir, "clone"), labDir: filepath.Join(dir, "lab")}
	output(t, dir, "git", "clone", "-q", "file://"+top, s.clone)
	output(t, s.clone, "git", "config", "user.name", "Story")
	output(t, s.clone, "git", "config", "user.email", "story@example.com")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CHAIN_") && !strings.HasPrefix(v, "AWS_") {
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env,
		"CHAIN_LAB="+s.labDir,
		"CHAIN_LAB_API="+freeAddress(t), "CHAIN_LAB_SOCKS="+freeAddress(t),
	)
	t.Cleanup(func() { s.run(t, "lab:down") })
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), stderr.String())
	return string(out)
}

func (s *station) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Env = s.clone, s.env
	return c
}

// result of one command.
type result struct {
	code int
	out  string // both streams
	took time.Duration
}

func (r result) tail() string {
	lines := strings.Split(strings.TrimRight(r.out, "\n"), "\n")
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	return fmt.Sprintf("exit %d after %s\n%s", r.code, r.took.Round(time.Second), strings.Join(lines, "\n"))
}

// summary is the last block of lines: what is printed after the last blank line.
func (r result) summary() []string {
	blocks := strings.Split(strings.TrimSpace(r.out), "\n\n")
	return strings.Split(blocks[len(blocks)-1], "\n")
}

// process is a command under way.
type process struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
	began time.Time
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (s *station) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: s.command("./station.sh", args...), ended: make(chan struct{}), began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	// A child that outlives a killed command, as Packer may, keeps the pipe open.
	p.cmd.WaitDelay = time.Second
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p
}

func (p *process) wait() result {
	<-p.ended
	return result{code: p.cmd.ProcessState.ExitCode(), out: p.text(), took: time.Since(p.began)}
}

func (s *station) run(t *testing.T, args ...string) result {
	t.Helper()
	r := s.start(t, args...).wait()
	t.Logf("./station.sh %s: exit %d, %s", strings.Join(args, " "), r.code, r.took.Round(100*time.Millisecond))
	return r
}

// moments are the places in a release's output where it is killed.
var moments = map[string]*regexp.Regexp{
	"bake":     regexp.MustCompile(`install Puppet and Serverspec=`),
	"rehearse": regexp.MustCompile(`▶.*update the test stack to the candidate`),
	"roll":     regexp.MustCompile(`Terminating instance`),
}

// await waits until the output of p has come to the moment; for "roll" only
// what comes while production is followed counts.
func (p *process) await(t *testing.T, moment string) {
	t.Helper()
	for {
		text := p.text()
		if moment == "roll" {
			_, text, _ = strings.Cut(text, "follow it")
		}
		if moments[moment].MatchString(text) {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("the command ended before the moment %q: %s", moment, p.wait().tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *station) killAt(t *testing.T, moment string, args ...string) {
	t.Helper()
	p := s.start(t, args...)
	p.await(t, moment)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGKILL))
	p.wait()
	t.Logf("killed at %q after %s", moment, time.Since(p.began).Round(time.Second))
}

// labFile is what the lab tells of itself.
type labFile struct {
	ID    string `json:"id"`
	PID   int    `json:"pid"`
	API   string `json:"api"`
	Socks string `json:"socks"`
}

func (s *station) lab(t *testing.T) labFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.labDir, "lab.json"))
	require.NoError(t, err)
	var f labFile
	require.NoError(t, json.Unmarshal(b, &f))
	return f
}

func (s *station) killLab(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Kill(s.lab(t).PID, syscall.SIGKILL))
}

// labelled are the containers, networks and images of this lab's id.
func (s *station) labelled(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, kind := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}, {"images", "-q"}} {
		out := output(t, "", "docker", append(kind, "--filter", "label=chain.lab="+labID)...)
		found = append(found, strings.Fields(out)...)
	}
	return found
}

// labID is kept while lab.json is there, to look for leftovers when it is not.
var labID string

func (s *station) client(t *testing.T, keepAlive bool) *http.Client {
	t.Helper()
	f := s.lab(t)
	labID = f.ID
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5h", Host: f.Socks}),
			DisableKeepAlives: !keepAlive,
		},
	}
}

func (s *station) get(url string) (string, error) {
	b, err := os.ReadFile(filepath.Join(s.labDir, "lab.json"))
	if err != nil {
		return "", err
	}
	var f labFile
	if err := json.Unmarshal(b, &f); err != nil {
		return "", err
	}
	out, err := exec.Command("curl", "-sS", "--fail", "--max-time", "10", "-x", "socks5h://"+f.Socks, url).CombinedOutput()
	return string(out), err
}

// browser asks for the page all the time.
type browser struct {
	cancel context.CancelFunc
	done   chan seen
}

type seen struct {
	requests int
	failures []string
}

func (s *station) browse(t *testing.T, url string) *browser {
	t.Helper()
	fresh, kept := s.client(t, false), s.client(t, true)
	ctx, cancel := context.WithCancel(context.Background())
	b := &browser{cancel: cancel, done: make(chan seen, 1)}
	go func() {
		var all seen
		for n := 0; ctx.Err() == nil; n++ {
			c := fresh
			if n%4 == 0 {
				c = kept
			}
			all.requests++
			if err := ask(ctx, c, url); err != nil && ctx.Err() == nil {
				all.failures = append(all.failures, time.Now().Format("15:04:05.000 ")+err.Error())
			}
			time.Sleep(40 * time.Millisecond)
		}
		b.done <- all
	}()
	t.Cleanup(cancel)
	return b
}

func ask(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", res.StatusCode)
	case !bytes.Contains(body, []byte("Hello World")):
		return fmt.Errorf("not the page: %.60q", body)
	}
	return nil
}

func (b *browser) stop() seen {
	b.cancel()
	return <-b.done
}

func (s *station) git(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, s.clone, "git", args...)
}

// repository is everything of the user's clone that target lab must not touch.
func (s *station) repository(t *testing.T) string {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(s.clone, ".git", "config"))
	require.NoError(t, err)
	return s.git(t, "status", "--porcelain") + s.git(t, "for-each-ref") + s.git(t, "remote", "-v") + string(config)
}

func (s *station) head(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(s.git(t, "rev-parse", "HEAD"))
}

func (s *station) reset(t *testing.T, commit string) {
	t.Helper()
	s.git(t, "reset", "-q", "--hard", commit)
}

func (s *station) commit(t *testing.T, message string) {
	t.Helper()
	s.git(t, "commit", "-qam", message)
}

// files of the recipe that the story edits.
const (
	pageTemplate = "puppet/site-modules/profile/templates/web/index.html.epp"
	webProfile   = "puppet/site-modules/profile/manifests/web.pp"
	templateFile = "cloudformation/web/production.eu-west-1.yaml"
)

// edit replaces a text in the page, once.
func (s *station) edit(t *testing.T, old, by string) { s.editFile(t, pageTemplate, old, by) }

func (s *station) editFile(t *testing.T, file, old, by string) {
	t.Helper()
	path := filepath.Join(s.clone, file)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(b), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(b), old, by, 1)), 0o644))
}

// trail runs git in the lab's own repository.
func (s *station) trail(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(output(t, "", "git", append([]string{"--git-dir", filepath.Join(s.labDir, "trail.git")}, args...)...))
}

// trailTemplate is production's template as the trail has it.
func (s *station) trailTemplate(t *testing.T) string {
	t.Helper()
	return s.trail(t, "show", "HEAD:"+templateFile)
}

// releases counts the tags of releases that ended.
func (s *station) releases(t *testing.T) int {
	t.Helper()
	return len(strings.Fields(s.trail(t, "tag", "--list", "release/web/production/*")))
}

// aws is the real aws CLI, pointed at the lab as a person would do it.
func (s *station) aws(t *testing.T, args ...string) string {
	t.Helper()
	c := s.command("bash", append([]string{"-c", `eval "$(./station.sh lab:env)" && aws "$@"`, "aws"}, append(args, "--output", "text")...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "aws %s: %s", strings.Join(args, " "), stderr.String())
	return strings.TrimSpace(string(out))
}

// images are the AMIs of the account, the base image is another owner's.
func (s *station) images(t *testing.T) string {
	t.Helper()
	return s.aws(t, "ec2", "describe-images", "--owners", "self", "--query", "sort(Images[].ImageId)")
}

// leftBehind is what only dead or unfinished runs have: test stacks, machines
// outside production's group, key pairs, images that are not available.
func (s *station) leftBehind(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, query := range [][]string{
		{"cloudformation", "describe-stacks", "--query", "Stacks[?StackName!='web-production'].StackName"},
		{"ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=pending,running,stopping,stopped", "--query", "Reservations[].Instances[?!(Tags[?Key=='aws:autoscaling:groupName'])].InstanceId[]"},
		{"ec2", "describe-key-pairs", "--query", "KeyPairs[].KeyName"},
		{"ec2", "describe-images", "--owners", "self", "--query", "Images[?State!='available'].ImageId"},
	} {
		found = append(found, strings.Fields(s.aws(t, query...))...)
	}
	return found
}

func (s *station) api(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.lab(t).API+path, strings.NewReader(body))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Less(t, res.StatusCode, 300, "%s %s: %s", method, path, b)
	return string(b)
}

func (s *station) fault(t *testing.T, fault string) {
	t.Helper()
	s.api(t, http.MethodPost, "/_lab/faults", fault)
}

func (s *station) clearFaults(t *testing.T) {
	t.Helper()
	s.api(t, http.MethodDelete, "/_lab/faults", "")
}
