package config

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Poll is how often something is asked for: at once, then after Min, growing to
// Max while nothing happens, each wait with jitter.
type Poll struct{ Min, Max time.Duration }

// Seen is what one look of a poll found.
type Seen int

const (
	// Same means that nothing happened: the waits grow.
	Same Seen = iota
	// Moved means that there was news: the waits start at Min again.
	Moved
	// Done ends the poll.
	Done
)

// growth of the waits while nothing happens.
const growth = 1.3

// Watch looks until look says Done, fails, or ctx ends, whose cause it then
// returns. It is the only poll loop of the chain: nothing uses the SDK's waiters.
func (p Poll) Watch(ctx context.Context, c clock.Clock, look func(ctx context.Context) (Seen, error)) error {
	low := max(p.Min, time.Millisecond)
	wait := low
	for {
		seen, err := look(ctx)
		if err != nil || seen == Done {
			return err
		}
		if seen == Moved {
			wait = low
		}
		// 80 to 120 %: many who wait for the same must not ask in step.
		jittered := time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
		if err := c.Sleep(ctx, jittered); err != nil {
			return context.Cause(ctx)
		}
		wait = max(low, min(time.Duration(float64(wait)*growth), p.Max))
	}
}

// Until is Watch for a look that only tells whether it is done.
func (p Poll) Until(ctx context.Context, c clock.Clock, look func(ctx context.Context) (bool, error)) error {
	return p.Watch(ctx, c, func(ctx context.Context) (Seen, error) {
		done, err := look(ctx)
		if done {
			return Done, err
		}
		return Same, err
	})
}
