package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// processors of a machine, as most small instance types have.
const processors = 2

// usage is how much processor time a machine had used at a moment.
type usage struct {
	at   time.Time
	used time.Duration
}

// share is how many processors a machine could have: all machines share this computer
// with whatever else runs on it. Where more wants to run than can, not each gets as
// much as another: one that burns what it gets had 70 % of an equal part, or more.
func share(all, machines, load float64) float64 {
	return min(processors, all/machines, processors*all/max(2*load-all, all))
}

// load is how many processes want to run on this computer, on average over a minute; 0
// where that is not told.
func load() (v float64) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	v, err = strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return v
}

// Processor compares what the machine used with what it could have had: one that
// takes its whole share is at 100.
func (r *Runtime) Processor(ctx context.Context, id string) (percent float64, known bool, err error) {
	c, err := r.inspect(ctx, id)
	if err != nil {
		if gone(err) {
			err = fmt.Errorf("%w: %s", runtime.ErrNoMachine, id)
		}
		return 0, false, fmt.Errorf("processor of %s: %w", id, err)
	}
	if !c.State.Running {
		return 0, false, nil
	}
	answer, err := r.api.ContainerStats(ctx, c.ID, client.ContainerStatsOptions{})
	if err != nil {
		return 0, false, fmt.Errorf("processor of %s: %w", id, err)
	}
	defer answer.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return 0, false, fmt.Errorf("processor of %s: %w", id, err)
	}
	now := usage{at: r.opts.Clock.Now(), used: time.Duration(s.CPUStats.CPUUsage.TotalUsage)} //nolint:gosec // nanoseconds of one computer's life
	r.mu.Lock()
	before, had := r.used[id]
	r.used[id] = now
	machines := max(len(r.up), 1)
	r.mu.Unlock()
	wall := now.at.Sub(before.at)
	if !had || wall <= 0 || now.used < before.used {
		return 0, false, nil
	}
	share := share(float64(goruntime.NumCPU()), float64(machines), load())
	return min(100, 100*float64(now.used-before.used)/float64(wall)/share), true, nil
}
