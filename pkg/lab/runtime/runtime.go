// Package runtime is the contract between the lab and what its machines are
// made of. The docker runtime starts systemd containers, the memory runtime
// keeps machines as values; runtimetest holds the one suite that both pass.
package runtime

import (
	"context"
	"errors"
	"net"
	"time"
)

// ErrNoMachine is wrapped by calls that name a machine the runtime does not have.
var ErrNoMachine = errors.New("no such machine")

// ErrNoImage is wrapped by calls that name an image the runtime does not have.
var ErrNoImage = errors.New("no such image")

// Base is the reference of the image that every runtime has from its start: the
// plain Debian that the lab offers as its base AMI. Save and RemoveImage refuse it.
const Base = "base"

// Database is the reference of the image that databases are made of: PostgreSQL
// on that Debian. A runtime makes it when it is first asked for.
const Database = "database"

// Spec is what a machine is started from. The caller picks the ID, so that a
// start cut short can be found again.
type Spec struct {
	ID       string            // instance id, "i-…"
	Image    string            // runtime reference of the image: what Save was given, or the base
	Hostname string            // "ip-10-0-1-17"
	User     string            // login that gets Keys; "" means "admin"
	Keys     []string          // authorized_keys lines
	UserData []byte            // decoded; delivered as a NoCloud seed
	Labels   map[string]string // put on whatever the runtime makes
	Fault    Fault             // zero: none
	// Volumes the machine has besides its disk; a start that repeats brings those it lacks.
	Volumes []VolumeSpec
	// Database, if set, says that the machine is a database server and no system
	// to log in to. Its image is Database, or one that Save made of such a machine.
	Database *DatabaseSpec
}

// VolumeSpec is a volume at a machine.
type VolumeSpec struct {
	ID     string // "vol-…"; what is on it belongs to the id, not to a machine
	Device string // "/dev/sdf": the machine has it under this name, and as /dev/xvdf
	GiB    int64
}

// DatabaseSpec is what a database server shall be.
type DatabaseSpec struct {
	Port           int
	User, Password string   // of the role that owns everything
	Name           string   // of a database to make; "" for none
	Names          []string // by which machines of the lab find the server
}

// Fault is what shall be wrong with one machine.
type Fault struct {
	BootDelay time.Duration // added before the machine boots
	Never     bool          // it is up as far as the engine knows, but nothing in it ever answers
	DieAfter  time.Duration // it stops by itself this long after its boot; 0: never
	Broken    bool          // the web server inside answers 500 or not at all
	Script    string        // run in the machine as root once it is up (docker only)
}

// State of a machine.
type State string

// The states a machine can be in.
const (
	Running State = "running"
	Stopped State = "stopped"
)

// Status is what the runtime knows of a machine.
type Status struct {
	ID      string
	Image   string
	State   State
	Started time.Time
}

// Runtime makes, keeps and reaches machines. Every method MUST be safe for
// concurrent use and repeatable: the lab calls it again after its own death.
type Runtime interface {
	// Start makes the machine if it is not there, starts it if it is not
	// running, and returns when it takes connections on port 22 (the memory
	// runtime: at once). One machine per ID. Unknown image: ErrNoImage. A database
	// server takes connections at its own port then, with the password of s, also
	// if it was running with another one before.
	Start(ctx context.Context, s Spec) (Status, error)
	// Stop shuts the machine down cleanly and keeps its disk. A stopped one is no error.
	Stop(ctx context.Context, id string) error
	// Remove destroys the machine and its disk. An unknown ID is no error.
	Remove(ctx context.Context, id string) error
	// Save keeps the disk of a stopped machine as image ref. It overwrites. A
	// database server is saved while it runs, too.
	Save(ctx context.Context, id, ref string) error
	// Attach gives a running machine a volume, which is made when it is not there yet.
	Attach(ctx context.Context, id string, v VolumeSpec) error
	// Detach takes it off; a machine that is not there, or lacks it, is no error.
	Detach(ctx context.Context, id string, v VolumeSpec) error
	// RemoveVolume destroys a volume. An unknown one is no error.
	RemoveVolume(ctx context.Context, volume string) error
	// RemoveImage drops an image. An unknown ref is no error.
	RemoveImage(ctx context.Context, ref string) error
	// List tells all machines of this lab, also what earlier processes left.
	List(ctx context.Context) ([]Status, error)
	// Dial connects to a TCP port inside the machine. ErrNoMachine if it is not running.
	Dial(ctx context.Context, id string, port int) (net.Conn, error)
	// Processor is how busy the machine's processors were since it was last asked,
	// in percent. known is false at the first time, and for one that does not run.
	Processor(ctx context.Context, id string) (percent float64, known bool, err error)
	// Console is the newest boot and system log text of the machine, at most 64 KiB.
	Console(ctx context.Context, id string) (string, error)
	// Events reports a machine that stopped without Stop or Remove (it died or
	// powered itself off). The channel closes when ctx ends.
	Events(ctx context.Context) (<-chan string, error)
	// Close ends what the runtime itself holds open; machines stay.
	Close() error
}
