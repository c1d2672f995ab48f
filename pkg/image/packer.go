package image

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// runPacker makes the image. What Packer prints goes to a file, what it says
// about phases to the run.
func runPacker(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	log, err := os.Create(filepath.Join(s.dir, "packer.log"))
	if err != nil {
		return fmt.Errorf("make Packer's log: %w", err)
	}
	defer log.Close()
	if s.tools.packer, err = packerVersion(ctx, o.Runner); err != nil {
		return err
	}
	n, err := attempts(ctx, o.Client, o.Role, s.Result.Recipe.Key)
	if err != nil {
		return err
	}
	s.Result.Attempt = n + 1
	vars, err := variables(ctx, o, s)
	if err != nil {
		return err
	}
	varFile := filepath.Join(s.dir, "variables.pkrvars.json")
	if err := os.WriteFile(varFile, vars, 0o644); err != nil {
		return fmt.Errorf("write Packer's variables: %w", err)
	}
	env, err := packerEnv(ctx, o, s)
	if err != nil {
		return err
	}
	out := &phases{clock: o.Clock, began: o.Clock.Now(), run: run}
	_, err = o.Runner.Run(ctx, command.Cmd{
		Name: "packer", Args: []string{"build", "-color=false", "-timestamp-ui", "-var-file=" + varFile, filepath.Join(s.tree, "packer")},
		Dir: s.tree, Env: env, Out: io.MultiWriter(log, out),
		Stop: command.Terminate, Grace: 5 * time.Minute, // it removes what it made
	})
	s.Result.Phases = out.ended()
	if err != nil {
		stopped := ctx.Err() != nil
		if !stopped {
			err = packerFailed(o, s, out.lines(), err)
		}
		// Packer tidies up by itself, unless it was killed, too.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		if e := tidy(after, run, o, s, stopped); e != nil {
			err = errors.Join(err, &pipeline.LeftBehindError{What: "what Packer made, tagged " + TagRun + "=" + o.Run, Err: e})
		}
		return err
	}
	id, err := artifact(filepath.Join(s.dir, "manifest.json"), o.Target.Region)
	if err != nil {
		return err
	}
	until := o.Clock.Now().Add(time.Minute)
	err = o.Target.Poll.Until(ctx, o.Clock, func(ctx context.Context) (bool, error) {
		i, err := o.Client.Image(ctx, id)
		if err != nil || i != nil && i.State == "available" {
			s.image = i
			return true, err
		}
		if !o.Clock.Now().Before(until) {
			return true, fmt.Errorf("image %s, which Packer says it made, is not there", id)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	run.Fact("unproven image", id)
	return nil
}

var versionWord = regexp.MustCompile(`\d+\.\d+\.\d+`)

func packerVersion(ctx context.Context, r command.Runner) (string, error) {
	out, err := r.Run(ctx, command.Cmd{Name: "packer", Args: []string{"version"}, Env: []string{"CHECKPOINT_DISABLE=1"}})
	if errors.Is(err, exec.ErrNotFound) {
		return "", &report.Failure{
			Code: report.Usage, ID: "E-BAKE-06", What: "Packer is not installed", State: "nothing was made",
			Next: []string{"./station.sh bake  # installs what is missing"}, Err: err,
		}
	}
	if err != nil {
		return "", fmt.Errorf("ask Packer for its version: %w", err)
	}
	return versionWord.FindString(string(out)), nil
}

// variables are those of packer/variables.pkr.hcl.
func variables(ctx context.Context, o Options, s *State) ([]byte, error) {
	from, err := sources(ctx, o)
	if err != nil {
		return nil, err
	}
	t := tags(o, s, "bake")
	t[TagState] = Unproven
	v := map[string]any{
		"region": o.Target.Region, "source_ami": cmp.Or(s.from, s.Result.Recipe.Base.ID), "instance_type": o.Bake.InstanceType,
		"image_name": name(o.Role, s.Result.Recipe.Key, s.Result.Attempt), "image_key": s.Result.Recipe.Key,
		"role": o.Role, "tags": t, "ssh_username": o.Bake.User, "output_dir": s.dir,
		"ssh_source_cidrs": from, "subnet_id": o.Subnet,
	}
	if s.stage != "" {
		v["stage"] = s.stage
	}
	if o.Puppet != o.Role && s.stage == "" {
		v["puppet_class"] = o.Puppet
	}
	if o.Specs != o.Role && s.stage == "" {
		v["specs"] = o.Specs
	}
	if every := o.Target.Poll.Max; every > 0 {
		seconds := max(1, int(every/time.Second))
		v["poll_seconds"] = seconds
		v["poll_max_attempts"] = 20 * 60 / seconds
	}
	if o.Target.Endpoint != "" {
		v["custom_endpoint_ec2"] = o.Target.Endpoint
	}
	if o.Target.SOCKS != "" {
		host, port, err := net.SplitHostPort(o.Target.SOCKS)
		if err != nil {
			return nil, fmt.Errorf("the proxy of the target: %w", err)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, fmt.Errorf("the proxy of the target: %w", err)
		}
		v["ssh_proxy_host"], v["ssh_proxy_port"] = host, n
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write Packer's variables: %w", err)
	}
	return b, nil
}

// packerEnv is what Packer gets beside what every child does.
func packerEnv(ctx context.Context, o Options, s *State) ([]string, error) {
	env, err := o.Target.Environ(ctx)
	if err != nil {
		return nil, fmt.Errorf("credentials for Packer: %w", err)
	}
	// Its configuration directory is the run's own, so nothing of the user's
	// decides about an image.
	return append(env, "CHECKPOINT_DISABLE=1", "PACKER_NO_COLOR=1", "PACKER_CACHE_DIR="+filepath.Join(s.dir, "cache")), nil
}

// whoAmI answers the address that a request came from. AWS runs it for this.
const whoAmI = "https://checkip.amazonaws.com/"

// sources are the networks that this station's connections come from.
func sources(ctx context.Context, o Options) ([]string, error) {
	if len(o.Target.From) > 0 {
		return o.Target.From, nil
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: o.Target.Dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, whoAmI, nil)
	if err != nil {
		return nil, fmt.Errorf("find our public address: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("find our public address: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 100))
	if err != nil {
		return nil, fmt.Errorf("find our public address: %w", err)
	}
	ip := net.ParseIP(strings.TrimSpace(string(b)))
	if ip == nil || ip.To4() == nil {
		return nil, fmt.Errorf("find our public address: %s answered %q", whoAmI, strings.TrimSpace(string(b)))
	}
	return []string{ip.String() + "/32"}, nil
}

// artifact reads the image's id from Packer's manifest. Packer appends to a
// manifest that is there, so only the last run's entry counts.
func artifact(path, region string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read Packer's manifest: %w", err)
	}
	var m struct {
		Builds []struct {
			ArtifactID string `json:"artifact_id"`
			Run        string `json:"packer_run_uuid"`
		} `json:"builds"`
		Last string `json:"last_run_uuid"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return "", fmt.Errorf("read Packer's manifest: %w", err)
	}
	for _, build := range m.Builds {
		if build.Run != m.Last {
			continue
		}
		for _, part := range strings.Split(build.ArtifactID, ",") {
			if r, id, ok := strings.Cut(part, ":"); ok && r == region && id != "" {
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("read Packer's manifest: it names no image in %s", region)
}

// packerFailed words what kept the image from being made: the failed
// expectations, else what our scripts or Packer said last.
func packerFailed(o Options, s *State, lines []string, err error) error {
	f := &report.Failure{
		Code: report.BakeFailed, ID: "E-BAKE-01", What: "the bake failed", Err: err,
		Where: fmt.Sprintf("%s in %s, log: %s", o.Role, o.Target.Region, filepath.Join(s.dir, "packer.log")),
		State: "the templates are unchanged, no image was kept",
		Next:  []string{"repair the cause and commit; then the same command again"},
	}
	why := reasons(lines)
	// Packer puts a directory that it fetches beside or below the one it is told.
	for _, out := range []string{"out", filepath.Join("out", "out")} {
		if results, e := readExamples(filepath.Join(s.dir, out, "rspec.json")); e == nil && len(results.failed) > 0 {
			f.ID, f.What = "E-BAKE-08", fmt.Sprintf("the machine is not what serverspec/ expects: %d of %d expectations are not met", len(results.failed), results.count)
			why = first(results.failed)
		}
	}
	text := strings.Join(why, "\n")
	switch {
	case strings.Contains(text, "no space left on device") || strings.Contains(text, "disk nearly full") || strings.Contains(text, "No space left on device"):
		f.ID, f.What = "E-BAKE-07", "the disk is full"
		f.Next = []string{"df -h  # make room; then the same command again"}
	case slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "Timeout waiting for SSH") }):
		f.ID, f.What = "E-BAKE-15", "the builder let nobody in by SSH"
		f.Next = []string{"the same command again; if it stays so: does the base image have user " + o.Bake.User + ", and its subnet a way from here?"}
	case strings.Contains(text, "package registry cannot be reached"):
		f.ID, f.What = "E-BAKE-09", "the package registry cannot be reached"
		f.Next = []string{"the same command again, once it answers"}
	case strings.Contains(text, "UnauthorizedOperation") || strings.Contains(text, "AuthFailure") || strings.Contains(text, "ExpiredToken"):
		f.Code, f.ID, f.What = report.Guard, "E-BAKE-03", "AWS does not allow it"
		f.Next = []string{"aws sts get-caller-identity  # who AWS thinks you are"}
	}
	if text != "" {
		f.Err = fmt.Errorf("%s: %w", strings.Join(why, "; "), err)
	}
	return f
}

// first is the beginning of a list, and how many more there are.
func first(list []string) []string {
	const most = 5
	if len(list) <= most {
		return list
	}
	return append(list[:most:most], fmt.Sprintf("and %d more", len(list)-most))
}

var (
	stamp  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+: `)
	origin = regexp.MustCompile(`^(==>\s+)?[a-z0-9_-]*\.?amazon-ebs\.[a-z0-9_-]+: ?`)
	ansi   = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// bare is a line of Packer's without its time, its builder and its colour, and
// whether it comes from the builder at all.
func bare(line string) (text string, built bool) {
	line = strings.TrimSpace(ansi.ReplaceAllString(stamp.ReplaceAllString(line, ""), ""))
	rest := origin.ReplaceAllString(line, "")
	return strings.TrimSpace(rest), rest != line
}

// reasons are the lines that tell why, the cause before what it led to.
func reasons(lines []string) []string {
	var causes, ends []string
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "provision: stopped in"):
		case strings.HasPrefix(l, "provision: "), strings.HasPrefix(l, "purge: "), strings.HasPrefix(l, "generalise: "):
			ends = append(ends, l)
		case strings.HasPrefix(l, "Error: "), strings.HasPrefix(l, "E: "):
			causes = append(causes, l)
		}
	}
	if len(causes) > 3 {
		causes = causes[:3]
	}
	if len(ends) > 0 {
		return append(causes, ends[0])
	}
	if len(causes) > 0 {
		return causes
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if l := lines[i]; strings.Contains(l, "rror") && !strings.Contains(l, "error-cleanup") {
			return []string{l}
		}
	}
	return nil
}

// phases hears what Packer prints and times its parts: our scripts announce
// each of theirs by "==> NAME" and "<== NAME: N s", Packer by its messages.
type phases struct {
	clock clock.Clock
	run   *pipeline.Run

	mu    sync.Mutex
	rest  []byte
	all   []string
	began time.Time
	now   string
	list  []Phase
}

// packerPhases are Packer's messages that begin something that takes time.
var packerPhases = []struct{ text, phase string }{
	{"Launching a source AWS instance", "start the builder"},
	{"Waiting for instance", "start the builder"},
	{"Using SSH communicator", "log in"},
	{"Waiting for SSH", "log in"},
	{"Connected to SSH", "copy the recipe"},
	{"Stopping the source instance", "stop the builder"},
	{"Creating AMI", "make the image"},
	{"Terminating the source AWS instance", "remove the builder"},
}

func (p *phases) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if l, built := bare(string(p.rest[:i])); l != "" {
			p.line(l, built)
		}
		p.rest = p.rest[i+1:]
	}
}

func (p *phases) line(l string, built bool) {
	p.all = append(p.all, l)
	if !built {
		return
	}
	if name, ok := strings.CutPrefix(l, "==> "); ok {
		p.begin(name)
		return
	}
	if _, ok := strings.CutPrefix(l, "<== "); ok {
		p.end()
		return
	}
	for _, m := range packerPhases {
		if strings.Contains(l, m.text) {
			p.begin(m.phase)
			return
		}
	}
}

func (p *phases) begin(name string) {
	if name == p.now {
		return
	}
	p.end()
	p.now, p.began = name, p.clock.Now()
	p.run.Await("%s", name)
}

func (p *phases) end() {
	if took := p.clock.Now().Sub(p.began); p.now != "" && took > 50*time.Millisecond {
		p.list = append(p.list, Phase{p.now, took})
		p.run.Fact(p.now, took.Round(100*time.Millisecond))
	}
	p.now = ""
}

func (p *phases) ended() []Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	p.run.Await("")
	return p.list
}

func (p *phases) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
