// Package core holds the lab together: one world of values behind one lock,
// services that add actions and advance the world by steps, and work outside
// the lock whose results come back as values.
//
// No goroutine holds progress. What is under way is written in the world, so a
// lab that was killed goes on where it stopped, and a test drives it with a
// manual clock.
package core

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Options of a Core.
type Options struct {
	Clock   clock.Clock     // nil: clock.System
	Factor  float64         // AWS waits are divided by it; 0 means 10
	Runtime runtime.Runtime // what machines are made of
	// Save keeps a changed world where it survives the process; nil: it is not kept.
	Save func(snapshot []byte) error
	// Sync makes what Save kept last durable. It comes before each mutating answer,
	// so that even a power cut does not take that back, and outside of the lock:
	// answers that are due together wait for one. What a step did can be repeated.
	Sync func() error
	// Archive keeps a part of the world that never changes again, durable and
	// before the snapshot that lacks it, and drops it for nil. It comes with Save.
	Archive func(name string, part []byte) error
	Log     *slog.Logger // nil: discarded
	Manual  bool         // jobs run inline in Settle, nothing runs by itself
	// PageSize makes every page of a listing that small at most; 0: as long as AWS's.
	PageSize int64
}

// A Service is one AWS service of the lab.
type Service interface {
	// Name is the credential scope the service is signed for: "ec2", "cloudformation", …
	Name() string
	// Step advances what the service has under way in tx.Region to tx.Now.
	// It never blocks. It calls tx.Changed after every change and tx.Wake for
	// the next moment at which it wants to be called again.
	Step(tx *Tx)
}

// Core is a running lab without its network.
type Core struct {
	opts     Options
	services []Service

	mu      sync.Mutex
	world   *state.World
	last    []byte
	ended   map[string]bool               // parts that Archive has
	saved   int64                         // how often Save was called
	running map[string]context.CancelFunc // jobs under way, by name
	queue   []job
	next    time.Time // earliest moment a service wants a step
	wake    chan struct{}
	flush   struct { // apart from mu: it takes milliseconds
		sync.Mutex
		saved int64 // what Sync made durable
	}
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

type job struct {
	ctx    context.Context
	name   string
	region string
	work   func(ctx context.Context) func(tx *Tx)
}

// New makes a Core around a world. Nothing runs before Start or Settle.
func New(w *state.World, o Options, services ...Service) *Core {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Factor <= 0 {
		o.Factor = 10
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ended := map[string]bool{}
	for name := range w.Ended() {
		ended[name] = true // else it would not be in the world
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Core{
		opts: o, services: services, world: w, ended: ended, running: map[string]context.CancelFunc{},
		wake: make(chan struct{}, 1), ctx: ctx, stop: stop,
	}
}

// Tx is one visit to the world, under its lock. Actions and steps get one.
type Tx struct {
	World     *state.World
	Region    *state.Region
	Now       time.Time
	RequestID string

	core    *Core
	changed bool
	small   int64 // of a page; 0: no limit of its own
}

// Changed says that the world changed: it will be kept, and every service steps once more.
func (tx *Tx) Changed() { tx.changed = true }

// Scale turns a wait as AWS states it into the lab's.
func (tx *Tx) Scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) / tx.core.opts.Factor)
}

// After is the moment a wait of d, as AWS states it, is over. It also wakes the steps then.
func (tx *Tx) After(d time.Duration) time.Time {
	t := tx.Now.Add(tx.Scale(d))
	tx.Wake(t)
	return t
}

// Due says whether t has come, and wakes the steps at t if not. The zero time is never due.
func (tx *Tx) Due(t time.Time) bool {
	if t.IsZero() {
		return false
	}
	if !t.After(tx.Now) {
		return true
	}
	tx.Wake(t)
	return false
}

// Wake asks for a step at t at the latest.
func (tx *Tx) Wake(t time.Time) {
	if tx.core.next.IsZero() || t.Before(tx.core.next) {
		tx.core.next = t
	}
}

// Log is the lab's log.
func (tx *Tx) Log() *slog.Logger { return tx.core.opts.Log }

// Runtime is what machines are made of; call it only inside a job of Go.
func (tx *Tx) Runtime() runtime.Runtime { return tx.core.opts.Runtime }

// ID makes an id as EC2 does: prefix and 17 hexadecimal digits, "i-0…".
func (tx *Tx) ID(prefix string) string { return prefix + "-0" + Hex(16) }

// ARN of a resource of this account and region.
func (tx *Tx) ARN(service, resource string) string {
	return "arn:aws:" + service + ":" + tx.Region.Name + ":" + tx.World.Account + ":" + resource
}

// In is the same visit seen in another region, which is made when it is new.
func (tx *Tx) In(region string) *Tx {
	t := *tx
	t.Region = tx.World.Region(region)
	return &t
}

// Go runs work outside the lock; the function it returns (nil is fine) is then
// applied under the lock, in the same region. While a job of that name is under
// way, another is not started. A job that dies with the lab is simply not
// recorded: the next Step sees the old state and asks for it again, so work
// MUST be repeatable.
func (tx *Tx) Go(name string, work func(ctx context.Context) func(tx *Tx)) {
	if tx.core.running[name] != nil {
		return
	}
	ctx, cancel := context.WithCancel(tx.core.ctx)
	tx.core.running[name] = cancel
	tx.core.queue = append(tx.core.queue, job{ctx: ctx, name: name, region: tx.Region.Name, work: work})
}

// Cancel ends the context of the job of that name; its result still arrives.
func (tx *Tx) Cancel(name string) {
	if cancel := tx.core.running[name]; cancel != nil {
		cancel()
	}
}

// UUID is a random version 4 UUID.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Hex is n random hexadecimal digits.
func Hex(n int) string {
	b := make([]byte, (n+1)/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)[:n]
}

// Now is the lab's time.
func (c *Core) Now() time.Time { return c.opts.Clock.Now().UTC() }

// View reads the world under its lock. fn MUST NOT change it.
func (c *Core) View(region string, fn func(tx *Tx)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&Tx{World: c.world, Region: c.world.Region(region), Now: c.Now(), core: c})
}

// Do changes the world under its lock and keeps it before it returns. fn checks
// everything before it changes anything: its error undoes nothing.
func (c *Core) Do(region string, fn func(tx *Tx) error) error {
	defer c.poke()
	saved, err := c.change(region, fn)
	if e := c.durable(saved); err == nil && e != nil {
		err = fmt.Errorf("keep the lab's state: %w", e)
	}
	return err
}

// change is Do without durability. It returns which save holds the change, 0 if nothing changed.
func (c *Core) change(region string, fn func(tx *Tx) error) (saved int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock() // an action that panics must not take the whole lab along
	if c.ctx.Err() != nil {
		return 0, ErrClosed // another process may have the state by now
	}
	tx := &Tx{World: c.world, Region: c.world.Region(region), Now: c.Now(), RequestID: UUID(), core: c}
	before := c.saved
	err = fn(tx)
	keepErr := c.keep()
	c.launch()
	if err == nil && keepErr != nil {
		err = fmt.Errorf("keep the lab's state: %w", keepErr)
	}
	if c.saved != before {
		saved = c.saved
	}
	return saved, err
}

// durable returns when a save is. Whoever waits meanwhile is served by the next one.
func (c *Core) durable(saved int64) error {
	if saved == 0 || c.opts.Sync == nil {
		return nil
	}
	c.flush.Lock()
	defer c.flush.Unlock()
	if c.flush.saved >= saved {
		return nil
	}
	c.mu.Lock()
	newest := c.saved
	c.mu.Unlock()
	if err := c.opts.Sync(); err != nil {
		return err
	}
	c.flush.saved = newest
	return nil
}

// ErrClosed is what Do returns after Close.
var ErrClosed = errors.New("the lab is closed")

// keep hands the world to Save if it differs from what was kept last.
func (c *Core) keep() error {
	if c.opts.Save == nil {
		return nil
	}
	ended := c.world.Ended()
	for name, part := range ended {
		if c.ended[name] {
			continue
		}
		b, err := json.Marshal(part)
		if err == nil {
			err = c.opts.Archive(name, b)
		}
		if err != nil {
			return err
		}
		c.ended[name] = true
	}
	b, err := json.Marshal(c.world)
	if err != nil {
		return err
	}
	if string(b) == string(c.last) {
		return nil
	}
	if err := c.opts.Save(b); err != nil {
		return err
	}
	c.last = b
	c.saved++
	for name := range c.ended {
		if _, still := ended[name]; still {
			continue
		}
		if err := c.opts.Archive(name, nil); err != nil {
			return err
		}
		delete(c.ended, name)
	}
	return nil
}

// Copy hands the world as it is to save, and each part that never changes again to
// archive, as Options.Save and Options.Archive would get them.
func (c *Core) Copy(archive func(name string, part []byte) error, save func(snapshot []byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, part := range c.world.Ended() {
		b, err := json.Marshal(part)
		if err == nil {
			err = archive(name, b)
		}
		if err != nil {
			return err
		}
	}
	b, err := json.Marshal(c.world)
	if err != nil {
		return err
	}
	return save(b)
}

func (c *Core) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// launch starts the queued jobs (in manual mode they wait for Settle). Under the lock.
func (c *Core) launch() {
	if c.opts.Manual || c.ctx.Err() != nil {
		return
	}
	q := c.queue
	c.queue = nil
	for _, j := range q {
		c.wg.Go(func() { c.perform(j) })
	}
}

func (c *Core) perform(j job) {
	done := j.work(j.ctx)
	c.mu.Lock()
	c.running[j.name]()
	delete(c.running, j.name)
	if done != nil && c.ctx.Err() == nil {
		tx := &Tx{World: c.world, Region: c.world.Region(j.region), Now: c.Now(), core: c}
		done(tx)
		if err := c.keep(); err != nil {
			c.opts.Log.Error("keep the lab's state", "error", err)
		}
	}
	c.launch()
	c.mu.Unlock()
	c.poke()
}

// step runs every service in every region until nothing changes any more. It
// returns the next moment somebody wants a step (zero: none).
func (c *Core) step() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return time.Time{}
	}
	c.next = time.Time{}
	any := false
	for range 200 {
		changed := false
		regions := make([]string, 0, len(c.world.Regions))
		for name := range c.world.Regions {
			regions = append(regions, name)
		}
		sort.Strings(regions)
		for _, name := range regions {
			for _, s := range c.services {
				tx := &Tx{World: c.world, Region: c.world.Region(name), Now: c.Now(), core: c}
				s.Step(tx)
				changed = changed || tx.changed
			}
		}
		if !changed {
			break
		}
		any = true
	}
	if any {
		if err := c.keep(); err != nil {
			c.opts.Log.Error("keep the lab's state", "error", err)
		}
	}
	c.launch()
	return c.next
}

// Start runs steps by themselves until Close.
func (c *Core) Start() {
	c.wg.Go(func() {
		for {
			next := c.step()
			wait := time.Minute
			if !next.IsZero() {
				wait = max(next.Sub(c.Now()), time.Millisecond)
			}
			t := time.NewTimer(wait)
			select {
			case <-c.ctx.Done():
				t.Stop()
				return
			case <-c.wake:
				t.Stop()
			case <-t.C:
			}
		}
	})
}

// Settle steps and runs jobs inline, in manual mode, until nothing is left to
// do at this moment. It returns the next moment somebody wants a step (zero: none).
func (c *Core) Settle() time.Time {
	for {
		next := c.step()
		c.mu.Lock()
		q := c.queue
		c.queue = nil
		c.mu.Unlock()
		if len(q) == 0 {
			return next
		}
		for _, j := range q {
			c.perform(j)
		}
	}
}

// Close ends steps and jobs and waits for them. Machines stay.
func (c *Core) Close() {
	c.stop()
	c.mu.Lock()   // whoever is in Do or a step has launched its jobs once this is had
	c.mu.Unlock() //nolint:staticcheck // nothing needs the lock, only to have had it
	c.wg.Wait()
}
