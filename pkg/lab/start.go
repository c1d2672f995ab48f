package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// TB is what Start needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
	Cleanup(fn func())
}

// Start runs a lab for a test: that of Open, until the test ends.
//
//	l := lab.Start(t, func(o *lab.Options) { o.Factor = 100 })
func Start(t TB, options ...func(*Options)) *Lab {
	t.Helper()
	l, err := Open(context.WithoutCancel(t.Context()), options...)
	if err != nil {
		t.Fatalf("start a lab: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Fatalf("close a lab: %v", err)
		}
	})
	return l
}

// Open runs a lab of its own on free ports: nothing in it is seen by another one.
// Its machines are values in memory, its world is kept nowhere, and its waits are
// AWS's divided by 1,000. An option may change anything before it is made: with
// Dir both are kept in that directory, and From begins a lab as a copy of what
// another one left there, so that many tests share what is long to make. The lab
// ends by Close, or with ctx.
func Open(ctx context.Context, options ...func(*Options)) (*Lab, error) {
	o := Options{Factor: 1000}
	for _, change := range options {
		change(&o)
	}
	var machines *memory.Runtime
	if o.Runtime == nil {
		var err error
		if machines, err = memory.New(memory.Options{Clock: o.Clock, File: machinesOf(o.Dir), From: machinesOf(o.From)}); err != nil {
			return nil, fmt.Errorf("open a lab: %w", err)
		}
		o.Runtime = machines
	}
	l, err := New(o)
	if err == nil {
		l.machines = machines
		if err = l.Start(ctx); err != nil {
			err = errors.Join(err, l.Close())
		}
	} else if machines != nil {
		err = errors.Join(err, machines.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("open a lab: %w", err)
	}
	return l, nil
}

// Copy writes the lab as it is into a directory, for Options.From. Its machines
// must be those of Open, in memory. What goes on meanwhile is in the copy or not.
func (l *Lab) Copy(dir string) error {
	if l.machines == nil {
		return errors.New("copy a lab: its machines are not its own")
	}
	s := at(dir)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = l.core.Copy(s.archive, s.save)
	}
	if err == nil {
		err = l.machines.Copy(machinesOf(dir))
	}
	if err != nil {
		return fmt.Errorf("copy a lab into %s: %w", dir, err)
	}
	return nil
}

func machinesOf(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "machines.json")
}

// Memory is the memory runtime of a lab, nil if its machines are others.
func (l *Lab) Memory() *memory.Runtime {
	r, _ := l.opts.Runtime.(*memory.Runtime)
	return r
}
