// Package memory is a runtime whose machines are values. Each one serves the
// pages of its image by an in-process web server on port 80 and shows an SSH
// banner on port 22; nothing else of a machine is there. Whole flows run on it
// in milliseconds, on any machine, without Docker.
package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// Options of a Runtime. The zero value is fine.
type Options struct {
	Clock clock.Clock // by which faults and slow pages wait; nil: clock.System
	// Boot, if set, is called at the first boot of each machine and may change
	// its disk, as user data does on a real one.
	Boot func(s runtime.Spec, disk *Image)
	// File, if set, keeps images and machines, so that a runtime made with the
	// same file after the process's death has them again.
	File string
	// From, if set and there is nothing at File, is the File of another runtime: what
	// is in it is here at the start, too. It is only read.
	From string
}

// Runtime keeps machines and images in memory.
type Runtime struct {
	opts Options

	mu       sync.Mutex
	images   map[string]Image
	machines map[string]*machine
	volumes  map[string]map[string]string // what is on them, by id
	watchers map[chan string]bool
	ctx      context.Context
	stop     context.CancelFunc
}

// machine is one machine. Its fields are under the runtime's lock.
type machine struct {
	Spec    runtime.Spec
	Disk    Image
	State   runtime.State
	Started time.Time
	Boots   int
	Lines   []string // console

	web  *server            // nil while stopped
	fate context.CancelFunc // ends the wait of DieAfter
}

var _ runtime.Runtime = (*Runtime)(nil)

// New makes a runtime that has the base image, which serves nothing. With a
// File that exists it has what was kept there, and what ran is running.
func New(o Options) (*Runtime, error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	r := &Runtime{
		opts:     o,
		images:   map[string]Image{runtime.Base: {Off: true}, runtime.Database: {Off: true}},
		machines: map[string]*machine{},
		volumes:  map[string]map[string]string{},
		watchers: map[chan string]bool{},
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.load(); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// kept is the layout of Options.File.
type kept struct {
	Images   map[string]Image
	Machines map[string]*machine
	Volumes  map[string]map[string]string
}

func (r *Runtime) load() error {
	var b []byte
	err := os.ErrNotExist
	for _, file := range []string{r.opts.File, r.opts.From} {
		if file != "" && errors.Is(err, os.ErrNotExist) {
			b, err = os.ReadFile(file)
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the machines: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return fmt.Errorf("read the machines in %s: %w", cmp.Or(r.opts.File, r.opts.From), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.images, k.Images)
	maps.Copy(r.volumes, k.Volumes)
	for id, m := range k.Machines {
		r.machines[id] = m
		if m.State == runtime.Running {
			r.up(id, m)
		}
	}
	return nil
}

// Copy writes images and machines to a file, for Options.From.
func (r *Runtime) Copy(file string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(file)
}

// keep writes the file, if there is one. Under the lock.
func (r *Runtime) keep() error {
	if r.opts.File == "" {
		return nil
	}
	return r.write(r.opts.File)
}

func (r *Runtime) write(file string) error {
	b, err := json.Marshal(kept{r.images, r.machines, r.volumes})
	if err == nil {
		err = renameio.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the machines: %w", err)
	}
	return nil
}

// AddImage makes or replaces an image.
func (r *Runtime) AddImage(ref string, i Image) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[ref] = i.clone()
	return r.keep()
}

// Image is a copy of the image ref.
func (r *Runtime) Image(ref string) (Image, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.images[ref]
	return i.clone(), ok
}

// Images are the references of all images, the base one included, in order.
func (r *Runtime) Images() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.images))
}

// Disk is a copy of a machine's disk.
func (r *Runtime) Disk(id string) (Image, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return Image{}, false
	}
	return m.Disk.clone(), true
}

// Edit changes a machine's disk, as a login could. What it serves changes at once.
func (r *Runtime) Edit(id string, fn func(disk *Image)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return fmt.Errorf("edit %s: %w", id, runtime.ErrNoMachine)
	}
	d := m.Disk.clone()
	fn(&d)
	m.Disk = d
	return r.keep()
}

// Kill lets a machine die as if its power went: it stops and Events tells.
func (r *Runtime) Kill(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil || m.State != runtime.Running {
		return fmt.Errorf("kill %s: %w", id, runtime.ErrNoMachine)
	}
	return r.die(id, m)
}

// die stops a machine and tells the watchers. Under the lock.
func (r *Runtime) die(id string, m *machine) error {
	m.say("power off")
	r.down(m)
	for ch := range r.watchers {
		select {
		case ch <- id:
		default: // a watcher 1,000 deaths behind finds the rest by List
		}
	}
	return r.keep()
}

// Start makes the machine, or boots a stopped one again.
func (r *Runtime) Start(ctx context.Context, s runtime.Spec) (runtime.Status, error) {
	if err := ctx.Err(); err != nil {
		return runtime.Status{}, err
	}
	if s.ID == "" {
		return runtime.Status{}, errors.New("start a machine: it has no id")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[s.ID]
	if m == nil {
		disk, ok := r.images[s.Image]
		if !ok {
			return runtime.Status{}, fmt.Errorf("start %s from %q: %w", s.ID, s.Image, runtime.ErrNoImage)
		}
		m = &machine{Spec: s, Disk: disk.clone(), State: runtime.Stopped}
		r.machines[s.ID] = m
	}
	m.Spec.Database, m.Spec.Volumes = s.Database, s.Volumes
	for _, v := range s.Volumes {
		r.volume(v.ID)
	}
	if m.State != runtime.Running {
		m.State, m.Started = runtime.Running, r.opts.Clock.Now()
		if m.Boots == 0 && r.opts.Boot != nil {
			r.opts.Boot(m.Spec, &m.Disk)
		}
		if m.Boots == 0 && endless.Match(m.Spec.UserData) {
			m.Disk.Busy = 100
		}
		m.Boots++
		m.say(fmt.Sprintf("boot %d of %s from %s", m.Boots, s.ID, m.Spec.Image))
		r.up(s.ID, m)
		if err := r.keep(); err != nil {
			return runtime.Status{}, err
		}
	}
	return m.status(s.ID), nil
}

// up gives a running machine its web server and its fate. Under the lock.
func (r *Runtime) up(id string, m *machine) {
	m.web = newServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serve(w, req, m) }))
	if m.Spec.Fault.DieAfter <= 0 {
		return
	}
	wait := m.Started.Add(m.Spec.Fault.BootDelay + m.Spec.Fault.DieAfter).Sub(r.opts.Clock.Now())
	ctx, cancel := context.WithCancel(r.ctx)
	m.fate = cancel
	web := m.web
	go func() {
		if r.opts.Clock.Sleep(ctx, wait) != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if m.web == web { // still this boot
			_ = r.die(id, m) // nobody waits for this; the next change writes the file again
		}
	}()
}

// down stops a machine. Under the lock.
func (r *Runtime) down(m *machine) {
	m.State = runtime.Stopped
	if m.web != nil {
		m.web.close()
		m.web = nil
	}
	if m.fate != nil {
		m.fate()
		m.fate = nil
	}
}

// serve answers for a machine's web server.
func (r *Runtime) serve(w http.ResponseWriter, req *http.Request, m *machine) {
	r.mu.Lock()
	disk, fault := m.Disk, m.Spec.Fault
	page, ok := disk.Pages[req.URL.Path]
	if r.opts.Clock.Now().Before(m.Started.Add(disk.Tired)) {
		disk.Slow = 0
	}
	r.mu.Unlock()
	// Not the request's context: that ends with the client's half of the connection,
	// and who has said all still waits for the answer.
	if r.opts.Clock.Sleep(r.ctx, disk.Slow) != nil {
		return
	}
	switch {
	case disk.Broken || fault.Broken:
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	case !ok:
		http.NotFound(w, req)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if page.Status != 0 {
			w.WriteHeader(page.Status)
		}
		_, _ = w.Write([]byte(page.Body)) // a client that went away is no concern of the server
	}
}

// Stop shuts the machine down and keeps its disk.
func (r *Runtime) Stop(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return fmt.Errorf("stop %s: %w", id, runtime.ErrNoMachine)
	}
	if m.State == runtime.Stopped {
		return nil
	}
	m.say("shutdown")
	if m.web != nil {
		m.web.shutdown()
	}
	r.down(m)
	return r.keep()
}

// Remove destroys the machine.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return nil
	}
	r.down(m)
	delete(r.machines, id)
	return r.keep()
}

// Save copies the disk of a stopped machine.
func (r *Runtime) Save(ctx context.Context, id, ref string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ref == "" || ref == runtime.Base || ref == runtime.Database {
		return fmt.Errorf("save %s as %q: this name is not free", id, ref)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	switch {
	case m == nil:
		return fmt.Errorf("save %s: %w", id, runtime.ErrNoMachine)
	case m.State != runtime.Stopped && m.Spec.Database == nil:
		return fmt.Errorf("save %s: it is running", id)
	}
	r.images[ref] = m.Disk.clone()
	return r.keep()
}

// RemoveImage drops an image. Machines started from it have their own disk.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ref == runtime.Base || ref == runtime.Database {
		return errors.New("remove the image " + ref + ": it belongs to the runtime")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.images, ref)
	return r.keep()
}

// List tells all machines, ordered by id.
func (r *Runtime) List(ctx context.Context) ([]runtime.Status, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []runtime.Status
	for _, id := range slices.Sorted(maps.Keys(r.machines)) {
		all = append(all, r.machines[id].status(id))
	}
	return all, nil
}

// Dial connects to port 80, the web server, or to port 22, which shows a banner
// and understands nothing; of a database server to its port, which understands
// nothing either. Every other port is refused.
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	m := r.machines[id]
	if m == nil || m.State != runtime.Running {
		r.mu.Unlock()
		return nil, fmt.Errorf("dial %s: %w", id, runtime.ErrNoMachine)
	}
	fault := m.Spec.Fault
	booted := !r.opts.Clock.Now().Before(m.Started.Add(fault.BootDelay))
	web := m.web
	database := m.Spec.Database
	listens := port == 22 || port == 80 && !m.Disk.Off
	if database != nil {
		listens = port == database.Port
	}
	refused := fault.Never || !booted || !listens
	r.mu.Unlock()
	if refused {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s port %d: %w", id, port, syscall.ECONNREFUSED)}
	}
	if database != nil {
		return web.banner("") // PostgreSQL's server waits for its client to speak
	}
	if port == 22 {
		return web.banner("SSH-2.0-memory\r\n")
	}
	return web.dial()
}

// endless is the one thing of user data that a machine does: a shell's loop
// without an end keeps its processors busy.
var endless = regexp.MustCompile(`(?m)^#!/bin/(ba)?sh\n(.*\n)*.*while (:|true); do (:|true); done`)

// Processor is what the machine's disk says.
func (r *Runtime) Processor(ctx context.Context, id string) (percent float64, known bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return 0, false, fmt.Errorf("processor of %s: %w", id, runtime.ErrNoMachine)
	}
	if m.State != runtime.Running {
		return 0, false, nil
	}
	if r.opts.Clock.Now().Before(m.Started.Add(m.Disk.Tired)) {
		return 0, true, nil
	}
	return m.Disk.Busy, true, nil
}

// Console is what the machine noted of its boots and shutdowns.
func (r *Runtime) Console(ctx context.Context, id string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return "", fmt.Errorf("console of %s: %w", id, runtime.ErrNoMachine)
	}
	return strings.Join(m.Lines, "\n") + "\n", nil
}

// Events reports machines that died by Kill or by their fault.
func (r *Runtime) Events(ctx context.Context) (<-chan string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch := make(chan string, 1000)
	r.mu.Lock()
	r.watchers[ch] = true
	r.mu.Unlock()
	go func() {
		select {
		case <-ctx.Done():
		case <-r.ctx.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, ch)
		close(ch)
	}()
	return ch, nil
}

// Close ends the web servers. With a File the machines can be had again by New.
func (r *Runtime) Close() error {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.machines {
		if m.web != nil {
			m.web.close()
		}
	}
	return nil
}

func (m *machine) status(id string) runtime.Status {
	return runtime.Status{ID: id, Image: m.Spec.Image, State: m.State, Started: m.Started}
}

// say adds a line to the console and keeps it short.
func (m *machine) say(line string) {
	m.Lines = append(m.Lines, line)
	if n := len(m.Lines); n > 500 {
		m.Lines = m.Lines[n-500:]
	}
}
