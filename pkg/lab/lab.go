// Package lab is a local AWS: enough of EC2, CloudFormation, Auto Scaling, load
// balancing, Route 53, RDS, CloudWatch, SNS, IAM, SSM and STS to bake images, run
// stacks and send traffic to them, and an error that names the action for
// anything else.
//
// # In a test
//
// Start gives a test a region of its own in about two milliseconds, in the
// test's own process: an HTTP API for any AWS client and a network to send
// requests through.
//
//	func TestRelease(t *testing.T) {
//		l := lab.Start(t)
//		client := cloudformation.New(cloudformation.Options{
//			Region: "eu-west-1", BaseEndpoint: aws.String(l.Endpoint()),
//			Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
//		})
//		…
//
// Endpoint is the one URL of all services (AWS_ENDPOINT_URL for tools), in every
// region. Dial, or the SOCKS5 port of SOCKS for other programs, is the internet:
// there hosted zones resolve, Elastic IPs lead to balancers, and security groups
// count at each connection. Machines are values in memory that serve pages;
// Memory().AddImage says what an image serves, and AddImage makes an AMI of it.
// Fault makes things go wrong. Calls counts what was called.
//
// # Time
//
// Waits that AWS states (health checks, draining, PauseTime) are divided by
// Options.Factor. Nothing happens by itself with Options.Manual: Core().Settle
// does what is due by Options.Clock, which then is a clock.Manual, and returns
// when something will be due next.
//
// # As a process
//
// cmd/lab runs a lab with machines that are containers, for people and for
// programs that are no Go tests; its world survives the process in Options.Dir.
//
// # Inside
//
// A Lab is one http.Handler, one SOCKS5 server and one world of values behind
// one lock (pkg/lab/core, pkg/lab/state). An action is a row of a service's
// table: a name, an input struct, an output struct and a function.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
	"github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Account is the account that every key belongs to.
const Account = "111111111111"

// Domain is the hosted zone that a new lab has.
const Domain = "hello.example"

// Options of a Lab.
type Options struct {
	Runtime runtime.Runtime // what machines are made of; it stays the caller's
	Dir     string          // where the world is kept; "" keeps it nowhere
	From    string          // Dir of a lab that was closed, or what Copy made: this one begins as its copy, and writes nothing there
	ID      string          // of a new lab, letters and digits; "" makes one. A kept world has its own
	Build   string          // of the program, for the status
	API     string          // address of the API; "" means a free port of 127.0.0.1
	SOCKS   string          // address of the SOCKS5 port; "" means a free port of 127.0.0.1
	Factor  float64         // AWS waits are divided by it; 0 means 10
	Base    ec2.Base        // the image every region offers; its Digest decides on its AMI id
	Domains []string        // hosted zones of a new lab; nil means Domain
	Clock   clock.Clock     // nil: clock.System
	Log     *slog.Logger    // nil: discarded
	Manual  bool            // nothing goes on by itself: Core().Settle does it
	// PageSize makes every page of a listing that small at most, for tests of what
	// follows tokens; 0 means AWS's sizes.
	PageSize int64
	// Credentials that requests must be signed with. None: any signature is taken,
	// and only the credential scope of it is read.
	Credentials []sigv4.Key
}

// Lab is a local AWS.
type Lab struct {
	opts     Options
	core     *core.Core
	net      *network.Network
	store    *store
	contents *contents       // of S3's objects
	machines *memory.Runtime // made by Open, nil if they are the caller's
	services map[string]*service
	started  time.Time

	calls struct {
		sync.Mutex
		n map[string]int
	}
	before struct {
		sync.Mutex
		world []byte // the world before the last changing call, while a stale fault waits
	}

	api, socks net.Listener
	server     *http.Server
	ctx        context.Context // Start's, without its end
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	stopOnce   sync.Once
	stop       chan struct{}
	closeOnce  sync.Once
	closeErr   error
}

// New makes a Lab with the world kept in Options.Dir, or a new one. Nothing
// listens and nothing goes on before Start.
func New(o Options) (*Lab, error) {
	if o.Runtime == nil {
		return nil, errors.New("a lab needs a runtime")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.ID == "" {
		o.ID = core.Hex(8)
	}
	if o.Domains == nil {
		o.Domains = []string{Domain}
	}
	l := &Lab{opts: o, net: network.New(), stop: make(chan struct{}), started: o.Clock.Now().UTC()}
	l.calls.n = map[string]int{}
	var err error
	if l.store, err = openStore(o.Dir); err != nil {
		return nil, err
	}
	l.contents = &contents{all: map[string][]byte{}}
	if o.Dir != "" {
		l.contents.dir = filepath.Join(o.Dir, "objects")
	}
	world, err := l.store.load()
	if err == nil && world == nil && o.From != "" {
		if world, err = at(o.From).load(); err == nil && world == nil {
			err = fmt.Errorf("no lab was kept in %s", o.From)
		}
	}
	if err != nil {
		_ = l.store.close()
		return nil, err
	}
	fresh := world == nil
	if fresh {
		world = state.New(o.ID, Account)
	}
	save, sync, archive := l.store.save, l.store.sync, l.store.archive
	if o.Dir == "" {
		save, sync, archive = nil, nil, nil // else the world would be written out after every change, for nobody
	}
	list, all := services(l.net, l.Endpoint)
	if l.services, err = index(list); err != nil {
		_ = l.store.close()
		return nil, err
	}
	l.core = core.New(world, core.Options{
		Clock: o.Clock, Factor: o.Factor, Runtime: o.Runtime, Save: save, Sync: sync, Archive: archive, Log: o.Log, Manual: o.Manual, PageSize: o.PageSize,
	}, all...)
	l.net.Use(l.core)
	if err := l.seed(fresh); err != nil {
		l.core.Close()
		_ = l.store.close()
		return nil, err
	}
	return l, nil
}

// seed gives a new world its hosted zones, and every region its base image.
func (l *Lab) seed(fresh bool) error {
	regions := []string{}
	l.core.View(homeRegion, func(tx *core.Tx) {
		for name, r := range tx.World.Regions {
			if r.Seeded {
				regions = append(regions, name)
			}
		}
	})
	return l.core.Do(homeRegion, func(tx *core.Tx) error {
		for _, name := range regions {
			ec2.Seed(tx.In(name), l.opts.Base)
		}
		if !fresh {
			return nil
		}
		for _, d := range l.opts.Domains {
			if _, err := route53.CreateHostedZone(tx, &route53.CreateHostedZoneInput{Name: d, CallerReference: "lab-" + d}); err != nil {
				return fmt.Errorf("seed hosted zone %s: %w", d, err)
			}
		}
		return nil
	})
}

// homeRegion is where global services are looked at from.
const homeRegion = "us-east-1"

// Start listens on both ports, takes up what a former process left under way,
// and lets the world go on by itself until Close (or until ctx ends).
func (l *Lab) Start(ctx context.Context) error {
	var err error
	if l.api, err = listen(l.opts.API); err != nil {
		return fmt.Errorf("open the lab's API port: %w", err)
	}
	if l.socks, err = listen(l.opts.SOCKS); err != nil {
		_ = l.api.Close()
		return fmt.Errorf("open the lab's SOCKS5 port: %w", err)
	}
	l.ctx = context.WithoutCancel(ctx)
	ctx, l.cancel = context.WithCancel(ctx)
	if err := l.resume(ctx); err != nil {
		l.cancel()
		_ = l.api.Close()
		_ = l.socks.Close()
		return err
	}
	l.server = &http.Server{
		Handler: l.Handler(), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(l.opts.Log.Handler(), slog.LevelDebug),
	}
	l.wg.Go(func() {
		if err := l.server.Serve(l.api); err != nil && !errors.Is(err, http.ErrServerClosed) {
			l.opts.Log.Error("the API ended", "error", err)
		}
	})
	l.wg.Go(func() {
		if err := l.net.Serve(ctx, l.socks); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("the SOCKS5 port ended", "error", err)
		}
	})
	if !l.opts.Manual {
		l.core.Start()
	}
	return nil
}

// resume compares the world with the machines that are there, and hears of
// those that die from now on.
func (l *Lab) resume(ctx context.Context) error {
	events, err := l.opts.Runtime.Events(ctx)
	if err != nil {
		return fmt.Errorf("hear of machines that die: %w", err)
	}
	machines, err := l.opts.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("list the lab's machines: %w", err)
	}
	if err := l.core.Do(homeRegion, func(tx *core.Tx) error {
		ec2.Resume(tx, machines)
		rds.Resume(tx, machines)
		return nil
	}); err != nil {
		return err
	}
	l.wg.Go(func() {
		for id := range events {
			if err := l.core.Do(homeRegion, func(tx *core.Tx) error {
				ec2.Died(tx, id)
				rds.Died(tx, id)
				return nil
			}); err != nil {
				l.opts.Log.Error("keep that a machine died", "instance", id, "error", err)
			}
		}
	})
	return nil
}

func listen(address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	return net.Listen("tcp", address)
}

// Close ends the lab: no request is answered any more, no job goes on. What was
// under way is in the world and goes on at the next Start; machines stay.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() {
		if l.cancel != nil {
			l.cancel()
		}
		if l.server != nil {
			ctx, cancel := context.WithTimeout(l.ctx, time.Second)
			defer cancel()
			if err := l.server.Shutdown(ctx); err != nil {
				_ = l.server.Close()
			}
		}
		if l.socks != nil {
			_ = l.socks.Close()
		}
		l.wg.Wait()
		l.core.Close()
		l.closeErr = l.store.close()
		if l.machines != nil {
			l.closeErr = errors.Join(l.closeErr, l.machines.Close())
		}
	})
	return l.closeErr
}

// Stopped is closed when somebody asked the lab to stop by its control API.
func (l *Lab) Stopped() <-chan struct{} { return l.stop }

// Endpoint is the URL of the API, "http://127.0.0.1:4566". Start comes first.
func (l *Lab) Endpoint() string { return "http://" + l.api.Addr().String() }

// SOCKS is the address of the SOCKS5 port, "127.0.0.1:4567". Start comes first.
func (l *Lab) SOCKS() string { return l.socks.Addr().String() }

// Dial connects as a client on the lab's internet would.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.net.Dial(ctx, network, address)
}

// Core is the world under its lock.
func (l *Lab) Core() *core.Core { return l.core }

// Runtime is what the lab's machines are made of.
func (l *Lab) Runtime() runtime.Runtime { return l.opts.Runtime }

// ID is the lab's id, with which all it makes is labelled.
func (l *Lab) ID() string {
	var id string
	l.core.View(homeRegion, func(tx *core.Tx) { id = tx.World.Lab })
	return id
}

// Break makes a fault of the table core.Faults, of words KEY=VALUE as lab:break
// takes them, and returns its id:
//
//	l.Break("throttle", "action=Describe*", "times=3")
func (l *Lab) Break(kind string, words ...string) (string, error) {
	f, err := core.NewFault(l.core.Now(), kind, words...)
	if err != nil {
		return "", err
	}
	return l.Fault(f)
}

// Mend takes a fault back, or with "" all there are.
func (l *Lab) Mend(id string) error {
	found := false
	err := l.core.Do(homeRegion, func(tx *core.Tx) error {
		tx.World.Faults = slices.DeleteFunc(tx.World.Faults, func(f *state.Fault) bool {
			hit := id == "" || f.ID == id
			found = found || hit
			return hit
		})
		return nil
	})
	if err == nil && id != "" && !found {
		err = fmt.Errorf("%w %s", errNoFault, id)
	}
	return err
}

var errNoFault = errors.New("there is no fault")

// Fault asks for a fault as a value, and returns its id.
func (l *Lab) Fault(f state.Fault) (string, error) {
	var id string
	err := l.core.Do(homeRegion, func(tx *core.Tx) error {
		var err error
		id, err = tx.AddFault(f)
		return err
	})
	return id, err
}

// ClearFaults takes all faults back.
func (l *Lab) ClearFaults() error { return l.Mend("") }

// AddImage makes an AMI of the account of an image that the runtime has under ref.
func (l *Lab) AddImage(region, name, ref string, tags map[string]string) (string, error) {
	var id string
	err := l.core.Do(region, func(tx *core.Tx) error {
		ec2.Seed(tx, l.opts.Base)
		var err error
		id, err = ec2.AddImage(tx, name, ref, tags)
		return err
	})
	return id, err
}

// BaseImage is the id of the base AMI in a region.
func (l *Lab) BaseImage(region string) string {
	return ec2.BaseImageID(region, l.opts.Base.Digest)
}

// Calls tells how often each action was called, by "service.Action".
func (l *Lab) Calls() map[string]int {
	l.calls.Lock()
	defer l.calls.Unlock()
	out := make(map[string]int, len(l.calls.n))
	for k, v := range l.calls.n {
		out[k] = v
	}
	return out
}

// ResetCalls starts counting anew.
func (l *Lab) ResetCalls() {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.calls.n = map[string]int{}
}

func pid() int { return os.Getpid() }
