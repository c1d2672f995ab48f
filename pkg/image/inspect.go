package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// contract is the directory of the specs that every image must meet, whatever
// its role: nothing of the bake is left on it.
const contract = "image_contract"

// inspect starts the finished image once and looks at it from outside only.
// What was made to look at it is removed when the step ends, and so is an image
// that does not pass. One that nobody could judge, because the run was stopped or
// the answer lies elsewhere, stays for the next run.
func inspect(ctx context.Context, run *pipeline.Run, o Options, s *State) error {
	if s.Result.Reused {
		return nil
	}
	began := o.Clock.Now()
	dir := filepath.Join(s.dir, "inspect")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the inspection: %w", err)
	}
	v := &visit{o: o, s: s, run: run, dir: dir, image: *s.image, purpose: "inspect", only: s.again}
	err := v.failed(ctx, v.whole(ctx))
	// Also when the run is stopped: it has a moment for that. And before the image
	// counts as good: whoever is killed after that finds nothing to look into again.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	errs := append([]error{err}, v.leave(after)...)
	if bad := (*badError)(nil); errors.As(err, &bad) && !s.again {
		run.Note("removing image %s", s.image.ID)
		if e := o.Client.RemoveImage(after, *s.image); e != nil {
			errs = append(errs, &pipeline.LeftBehindError{What: "image " + s.image.ID, Err: e})
		}
	}
	s.Result.Phases = append(s.Result.Phases, Phase{"inspect", o.Clock.Now().Sub(began)})
	return errors.Join(errs...)
}

// visit is one look at a machine started from the image.
type visit struct {
	o       Options
	s       *State
	run     *pipeline.Run
	dir     string
	image   compute.Image
	purpose string // value of TagPurpose of all that the visit makes
	keyFile string
	key     string
	login   string // the key's public half
	machine compute.Machine
	asked   time.Time // when the machine was asked for, by our clock
	since   string    // the same by the machine's, in seconds since 1970
	shell   *ssh.Client
	only    bool // nothing but a look: whatever comes of it, the image stays
	ssh     *forward
	http    *forward
	leaks   []Leak
	made    []made
}

// made is something that is taken back at the end of the visit.
type made struct {
	what   string
	remove func(context.Context) error
}

func (v *visit) later(what string, remove func(context.Context) error) {
	v.made = append(v.made, made{what, remove})
}

// leave takes everything back, the newest first.
func (v *visit) leave(ctx context.Context) (left []error) {
	for i := len(v.made) - 1; i >= 0; i-- {
		if err := v.made[i].remove(ctx); err != nil {
			left = append(left, &pipeline.LeftBehindError{What: v.made[i].what, Err: err})
		}
	}
	return left
}

// badError is an image that does not pass. Anything else that goes wrong says
// nothing about the image.
type badError struct {
	what string
	list []string
}

func (e *badError) Error() string {
	if len(e.list) == 0 {
		return e.what
	}
	return e.what + ": " + strings.Join(e.list, "; ")
}

// failed words the error, and keeps what the machine wrote to its console.
func (v *visit) failed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if v.machine.ID != "" {
		if text, e := v.o.Client.Console(ctx, v.machine.ID); e == nil && text != "" {
			_ = os.WriteFile(filepath.Join(v.dir, "console.log"), []byte(text), 0o644)
		}
	}
	var bad *badError
	if !errors.As(err, &bad) {
		return err
	}
	return &report.Failure{
		Code: report.BakeFailed, ID: "E-BAKE-11", What: "the finished image does not pass the inspection",
		Where: fmt.Sprintf("%s (%s), logs in %s", v.image.ID, v.image.Name, v.dir),
		State: v.after(),
		Next:  []string{"repair the cause and commit; then the same command again"}, Err: err,
	}
}

// after is what becomes of an image that does not pass.
func (v *visit) after() string {
	if v.only {
		return "nothing was changed, the image is there"
	}
	return "the templates are unchanged, the image was removed"
}

// whole is all of a visit.
func (v *visit) whole(ctx context.Context) error {
	base := v.surveyBase(ctx)
	err := v.start(ctx)
	if err == nil {
		err = v.ways(ctx)
	}
	// Also when this one failed: what was made for the other is removed by it.
	b := <-base
	if err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	return v.look(ctx, b.survey)
}

// start brings up the machine.
func (v *visit) start(ctx context.Context) error {
	o, c := v.o, v.o.Client
	from, err := sources(ctx, o)
	if err != nil {
		return err
	}
	t := tags(o, v.s, v.purpose)
	t["Name"] = v.purpose + " " + v.image.Name
	id := v.purpose + "-" + v.image.ID + "-" + o.Run

	v.key, err = c.CreateKeyPair(ctx, id, t)
	v.later("key pair "+id, func(ctx context.Context) error { return c.DeleteKeyPair(ctx, id) })
	if err != nil {
		return err
	}
	v.keyFile = filepath.Join(v.dir, "key")
	v.later("the key's file", func(context.Context) error { return forget(v.keyFile) })
	if err := os.WriteFile(v.keyFile, []byte(v.key), 0o600); err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	group, err := c.CreateGroup(ctx, id, "one look at "+v.image.ID, o.Subnet, t, compute.Open{Port: 22, From: from}, compute.Open{Port: 80, From: from})
	if group != "" {
		v.later("security group "+group, func(ctx context.Context) error { return removeGroup(ctx, o, group) })
	}
	if err != nil {
		return err
	}
	// Whatever the answer to the start is, a machine with these tags is ours to end.
	v.later("the inspected machine", func(ctx context.Context) error {
		return endMachines(ctx, v.run, o, compute.Tags{TagRun: o.Run, TagPurpose: v.purpose}, 0)
	})
	token := sha256.Sum256([]byte(id))
	start := compute.Start{
		Image: v.image.ID, Type: o.Bake.InstanceType, KeyName: id, SecurityGroups: []string{group}, Subnet: o.Subnet,
		TerminateOnHalt: true, Token: hex.EncodeToString(token[:])[:32], Tags: t,
		// Ends itself if nobody else does.
		UserData: "#!/bin/sh\nsystemd-run --unit=inspection-deadline --on-active=2h /bin/systemctl poweroff\n",
	}
	// EC2 may not yet know everywhere what it has just made.
	until := o.Clock.Now().Add(time.Minute)
	err = o.Target.Poll.Until(ctx, o.Clock, func(ctx context.Context) (bool, error) {
		v.asked = o.Clock.Now()
		v.machine, err = c.StartMachine(ctx, start)
		if compute.Missing(err) && o.Clock.Now().Before(until) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	began := o.Clock.Now()
	if err := v.await(ctx); err != nil {
		return err
	}
	v.s.Result.Phases = append(v.s.Result.Phases, Phase{"boot the image", o.Clock.Now().Sub(began)})
	return nil
}

func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// await waits until the machine runs and lets us log in.
func (v *visit) await(ctx context.Context) error {
	o := v.o
	deadline, cancel := context.WithTimeoutCause(ctx, o.Deadline, &badError{what: fmt.Sprintf("the machine did not come up within %s", o.Deadline)})
	defer cancel()
	err := o.Target.Poll.Until(deadline, o.Clock, func(ctx context.Context) (bool, error) {
		m, err := o.Client.Machine(ctx, v.machine.ID)
		if err != nil || m == nil {
			return false, err
		}
		if m.Gone() || m.State == "stopped" {
			return false, &badError{what: fmt.Sprintf("the machine is %s: %s", m.State, m.Reason)}
		}
		v.machine = *m
		v.run.Await("machine %s, which is %s", m.ID, m.State)
		return m.State == "running" && m.PublicIP != "", nil
	})
	if err != nil {
		return cause(deadline, err)
	}
	v.run.Await("SSH of %s at %s", v.machine.ID, v.machine.PublicIP)
	defer v.run.Await("")
	last := error(nil)
	err = o.Target.Poll.Until(deadline, o.Clock, func(ctx context.Context) (bool, error) {
		last = v.logIn(ctx)
		return last == nil, nil
	})
	if err != nil {
		if ctx.Err() == nil {
			return &badError{what: fmt.Sprintf("nobody can log in to the machine for %s: %v", o.Deadline, last)}
		}
		return err
	}
	// It may be logged in to before all of it is up. A unit that fails is for
	// the specs to find, so how it answers does not matter.
	v.run.Await("the end of %s's boot", v.machine.ID)
	if _, err := v.ask(deadline, "sudo -n systemctl is-system-running --wait || true"); err != nil {
		if bad := (*badError)(nil); errors.As(context.Cause(deadline), &bad) {
			return bad
		}
		return fmt.Errorf("wait for the end of the boot: %w", err)
	}
	// Our clock and the machine's need not agree.
	out, err := v.ask(deadline, "date +%s.%N")
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	now, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
	if err != nil {
		return fmt.Errorf("ask for the time: the machine says %q", out)
	}
	v.since = fmt.Sprintf("%.3f", now-o.Clock.Now().Sub(v.asked).Seconds())
	return nil
}

// ways opens ports of this station that lead to the machine's.
func (v *visit) ways(ctx context.Context) error {
	var err error
	if v.ssh, err = newForward(ctx, v.o.Target.Dial, v.machine.PublicIP+":22"); err != nil {
		return err
	}
	v.later("the way to SSH", v.ssh.close)
	if v.http, err = newForward(ctx, v.o.Target.Dial, v.machine.PublicIP+":80"); err != nil {
		return err
	}
	v.later("the way to HTTP", v.http.close)
	return nil
}

func cause(ctx context.Context, err error) error {
	if bad := (*badError)(nil); ctx.Err() != nil && errors.As(context.Cause(ctx), &bad) {
		return bad
	}
	return err
}

// look does all there is to look at. The survey tells most, so its word goes
// first; the role's specs and the page are looked at beside it. The contract's
// specs come after it: they install a package, to see that it can be done.
func (v *visit) look(ctx context.Context, base *survey) error {
	began := v.o.Clock.Now()
	if err := v.expects(); err != nil {
		return err
	}
	beside, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		both          sync.WaitGroup
		page, running error
		role, others  examples
	)
	allowed, err := v.allowed()
	if err != nil {
		return err
	}
	if allowed.has("port", "tcp/80") { // what serves says so
		both.Go(func() { page = v.page(beside) })
	}
	both.Go(func() { role, running = v.specs(beside, v.o.Specs) })
	if err = v.contents(ctx, base, allowed); err == nil {
		others, err = v.specs(ctx, contract)
	}
	if err != nil {
		cancel() // one reason is enough
	}
	both.Wait()
	for _, err := range []error{err, page, running} {
		if err != nil {
			return err
		}
	}
	v.s.Result.Phases = append(v.s.Result.Phases, Phase{"survey, page and specs from outside", v.o.Clock.Now().Sub(began)})
	return v.met(role, others)
}

// page fetches the page and the version as a user would.
func (v *visit) page(ctx context.Context) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return v.o.Target.Dial(ctx, network, v.machine.PublicIP+":80")
		},
	}}
	get := func(path string) (int, string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.machine.PublicIP+path, nil)
		if err != nil {
			return 0, "", err
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res.StatusCode, string(b), err
	}
	// Everything is up by now, so the page is there or will never be.
	bound, cancel := context.WithTimeout(ctx, min(v.o.Deadline, 20*time.Second))
	defer cancel()
	last := ""
	err := v.o.Target.Poll.Until(bound, v.o.Clock, func(context.Context) (bool, error) {
		code, body, err := get("/")
		switch {
		case err != nil:
			last = err.Error()
		case code != http.StatusOK:
			last = fmt.Sprintf("it answers %d", code)
		case !strings.Contains(body, "Hello World"):
			last = "it does not say Hello World"
		default:
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &badError{what: "the page: " + last}
	}
	code, body, err := get("/version")
	if err != nil {
		return &badError{what: "the page /version: " + err.Error()}
	}
	if got := strings.TrimSpace(body); code != http.StatusOK || got != v.s.Result.Recipe.Key {
		return &badError{what: fmt.Sprintf("the page /version answers %d %q, not the key %s", code, some([]string{got}), v.s.Result.Recipe.Key)}
	}
	v.run.Note("the page says Hello World, /version the key")
	return nil
}
