package core

import (
	"context"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// Action is one API action of a service: a row of its table.
type Action struct {
	Name     string
	ReadOnly bool                              // Describe…, Get…, List…: nothing is kept afterwards
	New      func() any                        // a new input struct to decode into
	Out      func() any                        // a new output struct, as Call returns it
	Call     func(tx *Tx, in any) (any, error) // returns the output struct to encode
	// Fetch, if there is one, runs before Call and outside of the lock: for what
	// takes long or asks a machine. It leaves its findings in the input.
	Fetch func(ctx context.Context, r runtime.Runtime, in any)
	// Lacking names the members of New's struct that this action does not take,
	// where several actions share one struct.
	Lacking []string
	Method  string // REST only: "POST"
	Path    string // REST only: "/2013-04-01/hostedzone/{Id}/rrset"; {X} fills the input's field X
}

// Act makes a row: the input and output structs have the members' names of the
// API model as field names (wire tags where a name differs), strings as string,
// optional numbers and booleans of an input as *int64 and *bool, times as time.Time.
func Act[I, O any](name string, fn func(tx *Tx, in *I) (*O, error)) Action {
	return Action{
		Name:     name,
		ReadOnly: strings.HasPrefix(name, "Describe") || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List"),
		New:      func() any { return new(I) },
		Out:      func() any { return new(O) },
		Call: func(tx *Tx, in any) (any, error) {
			out, err := fn(tx, in.(*I))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// Lacks is the row without members that its input struct has for other actions.
func (a Action) Lacks(members ...string) Action {
	a.Lacking = members
	return a
}

// REST makes a row of a REST protocol.
func REST[I, O any](name, method, path string, fn func(tx *Tx, in *I) (*O, error)) Action {
	a := Act(name, fn)
	a.Method, a.Path = method, path
	return a
}

// Fetching makes a row whose Fetch runs first, outside of the lock.
func Fetching[I, O any](name string, fetch func(ctx context.Context, r runtime.Runtime, in *I), fn func(tx *Tx, in *I) (*O, error)) Action {
	a := Act(name, fn)
	a.Fetch = func(ctx context.Context, r runtime.Runtime, in any) { fetch(ctx, r, in.(*I)) }
	return a
}
