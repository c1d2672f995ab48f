package station_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/station"
)

// desk is a clone that is watched; each vagrant waits to be let go.
type desk struct {
	*testing.T
	top   string
	calls chan string
	ends  chan error
	told  chan string
	ended chan error
	stop  context.CancelFunc
}

// Run is vagrant.
func (d *desk) Run(ctx context.Context, c command.Cmd) ([]byte, error) {
	d.calls <- c.String()
	select {
	case err := <-d.ends:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func watch(t *testing.T) *desk {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &desk{T: t, top: t.TempDir(), calls: make(chan string), ends: make(chan error), told: make(chan string, 100), ended: make(chan error, 1), stop: cancel}
	t.Cleanup(cancel)
	for _, dir := range []string{"packer", "puppet/manifests", "serverspec"} {
		require.NoError(t, os.MkdirAll(filepath.Join(d.top, dir), 0o750))
	}
	d.save("puppet/manifests/site.pp", "one")
	go func() {
		d.ended <- station.Watch(ctx, station.WatchOptions{
			Run: d, Clock: clock.System{}, Top: d.top, Role: "web", Out: io.Discard, Tell: func(l string) { d.told <- l }, Every: time.Millisecond,
		})
	}()
	return d
}

func (d *desk) save(name, text string) {
	d.Helper()
	require.NoError(d, os.WriteFile(filepath.Join(d.top, name), []byte(text), 0o600))
}

func TestEverySaveProvisions(t *testing.T) {
	d := watch(t)
	assert.Equal(t, "vagrant up web", <-d.calls)
	d.ends <- nil
	assert.Contains(t, <-d.told, "waiting for a save")

	d.save("puppet/manifests/.site.pp.swp", "an editor's")
	d.save("puppet/manifests/site.pp", "one and two")
	assert.Equal(t, "vagrant provision web", <-d.calls)
	assert.Equal(t, "puppet/manifests/site.pp: vagrant provision", <-d.told)
	// Saved while it runs: it runs again.
	d.save("serverspec/page_spec.rb", "new")
	d.ends <- errors.New("the specs failed")
	assert.Contains(t, <-d.told, "✖ the specs failed; mend it and save")

	assert.Equal(t, "vagrant provision web", <-d.calls)
	assert.Equal(t, "serverspec/page_spec.rb: vagrant provision", <-d.told)
	d.ends <- nil
	assert.Contains(t, <-d.told, "✔ the machine is what its role says")

	require.NoError(t, os.Remove(filepath.Join(d.top, "serverspec/page_spec.rb")))
	assert.Equal(t, "vagrant provision web", <-d.calls)
	assert.Equal(t, "serverspec/page_spec.rb: vagrant provision", <-d.told)
	d.stop()
	require.NoError(t, <-d.ended)
}

func TestAMachineThatDoesNotComeUp(t *testing.T) {
	d := watch(t)
	<-d.calls
	d.ends <- errors.New("no provider")
	require.ErrorContains(t, <-d.ended, "bring the machine up: no provider")
}
