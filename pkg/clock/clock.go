// Package clock is the time that code waits by. Whatever waits takes a Clock,
// so that a test can drive it by hand and a wait always hears its context.
package clock

import (
	"context"
	"sync"
	"time"
)

// A Clock tells the time and waits.
type Clock interface {
	// Now is the current time.
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	// A d of zero or less returns at once, with ctx's error if it has ended.
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the machine's own clock.
type System struct{}

var _ Clock = System{}

// Now is time.Now.
func (System) Now() time.Time { return time.Now() }

// Sleep waits by a timer.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Manual is a clock that moves only when told. The zero value is not usable;
// make one with NewManual. It is safe for use by several goroutines.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	waiters []waiter
}

type waiter struct {
	at   time.Time
	done chan struct{}
}

var _ Clock = (*Manual)(nil)

// NewManual makes a clock that stands at start.
func NewManual(start time.Time) *Manual { return &Manual{now: start} }

// Now is the time last set.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock forward by d and wakes every sleeper that is due.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	var rest []waiter
	for _, w := range m.waiters {
		if w.at.After(m.now) {
			rest = append(rest, w)
			continue
		}
		close(w.done)
	}
	m.waiters = rest
}

// Sleep waits until Advance has moved the clock by d, or ctx ends.
func (m *Manual) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	m.mu.Lock()
	w := waiter{at: m.now.Add(d), done: make(chan struct{})}
	m.waiters = append(m.waiters, w)
	m.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
