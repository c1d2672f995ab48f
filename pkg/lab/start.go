package lab

import (
	"context"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// TB is what Start needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
	Cleanup(fn func())
}

// Start runs a lab on the memory runtime, on free ports, until the test ends.
// Its waits are AWS's divided by 1,000. An option may change anything before it
// is made:
//
//	l := lab.Start(t, func(o *lab.Options) { o.Factor = 100 })
func Start(t TB, options ...func(*Options)) *Lab {
	t.Helper()
	o := Options{Factor: 1000}
	for _, change := range options {
		change(&o)
	}
	if o.Runtime == nil {
		r, err := memory.New(memory.Options{Clock: o.Clock})
		if err != nil {
			t.Fatalf("start a lab: %v", err)
		}
		t.Cleanup(func() { _ = r.Close() })
		o.Runtime = r
	}
	l, err := New(o)
	if err != nil {
		t.Fatalf("start a lab: %v", err)
	}
	if err := l.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatalf("start a lab: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Fatalf("close a lab: %v", err)
		}
	})
	return l
}

// Memory is the memory runtime of a lab that Start made.
func (l *Lab) Memory() *memory.Runtime {
	r, _ := l.opts.Runtime.(*memory.Runtime)
	return r
}
