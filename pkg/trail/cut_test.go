package trail_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/trail"
)

// hasty is a clock whose waits are over at once.
type hasty struct{}

func (hasty) Now() time.Time { return time.Now() }

func (hasty) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// cutter stands in for ssh: it runs what the other side would, and every few
// calls, counted in a file, it breaks the line: before anything happens, or
// after the server did as it was told and before it could say so.
const cutter = `#!/bin/sh
while [ $# -gt 1 ]; do shift; done
n=$(cat "$CUT_DIR/count" 2>/dev/null || echo 0)
echo $((n + 1)) >"$CUT_DIR/count"
how=$(sed -n "$((n + 1))p" "$CUT_DIR/plan")
echo "$how ${1%% *}" >>"$CUT_DIR/log"
case $how in
before) echo "ssh: connect to host example port 22: Connection timed out" >&2; exit 255 ;;
after)
  # The refs are announced, the commands get through, the answer does not.
  case $1 in
  git-receive-pack*) eval "$1" | { dd bs=1 count=4 2>/dev/null; head -c "$(cat "$CUT_DIR/announced")"; } ; echo "ssh: Connection reset by peer" >&2; exit 255 ;;
  *) echo "ssh: Connection reset by peer" >&2; exit 255 ;;
  esac ;;
esac
eval "$1"
`

// TestCutsOfTheLine writes releases while the line to the remote breaks again
// and again, and each run is repeated until it ends well. Every release has one
// intent and one outcome, in order, whatever got lost.
func TestCutsOfTheLine(t *testing.T) {
	dir := clone(t)
	remote := filepath.Join(t.TempDir(), "trail.git")
	git(t, dir, "init", "--quiet", "--bare", remote)
	cuts := t.TempDir()
	ssh := filepath.Join(cuts, "ssh")
	require.NoError(t, os.WriteFile(ssh, []byte(cutter), 0o755))
	t.Setenv("GIT_SSH_COMMAND", "CUT_DIR="+cuts+" "+ssh)
	t.Setenv("GIT_SSH_VARIANT", "ssh")

	cache := filepath.Join(t.TempDir(), "cache")
	c, err := trail.OpenClone(t.Context(), nil, dir)
	require.NoError(t, err)
	releases, faults := 6, 0
	if testing.Short() {
		releases = 2
	}
	for i := range releases {
		for try := 0; ; try++ {
			require.Less(t, try, 40, "it never ends")
			// A few calls go well, then the line breaks for up to three of them.
			var plan []string
			for k := range 60 {
				switch (i*7 + try*5 + k*k) % 13 {
				case 0, 3:
					plan = append(plan, "before")
				case 1, 4, 9, 10:
					plan = append(plan, "after")
				default:
					plan = append(plan, "well")
				}
			}
			announce(t, remote, cuts)
			require.NoError(t, os.WriteFile(filepath.Join(cuts, "plan"), []byte(strings.Join(plan, "\n")+"\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(cuts, "count"), []byte("0\n"), 0o600))
			err := one(t.Context(), trail.Options{
				Clone: c, Remote: "ssh://example" + remote, Branch: "trail", Images: getImages, SetImage: setImage, Cache: cache, Clock: hasty{},
			}, strconv.Itoa(i))
			if err == nil {
				break
			}
			faults++
		}
	}
	var want []string
	for n := releases; n > 0; n-- {
		want = append(want, fmt.Sprintf("outcome %d", n), fmt.Sprintf("intent %d", n))
	}
	got := git(t, remote, "log", "--first-parent", "--format=%(trailers:key=Chain-Trail,valueonly,separator=) %(trailers:key=Release,valueonly,separator=)", "trail")
	assert.Equal(t, strings.Join(want, "\n"), got)
	assert.Equal(t, releases, len(strings.Fields(git(t, remote, "tag"))))
	git(t, remote, "fsck", "--full", "--strict")
	log, err := os.ReadFile(filepath.Join(cuts, "log"))
	require.NoError(t, err)
	lost := strings.Count(string(log), "after git-receive-pack")
	assert.Positive(t, lost, "no answer to a push got lost")
	t.Logf("%d calls, %d of them cut, %d answers to a push lost, %d runs ended by it",
		strings.Count(string(log), "\n"), strings.Count(string(log), "before ")+strings.Count(string(log), "after "), lost, faults)
}

// announce notes how many bytes a server announces its refs with, so that the
// cutter knows where the answer begins.
func announce(t *testing.T, remote, dir string) {
	t.Helper()
	out := git(t, remote, "-c", "transfer.advertiseSID=false", "receive-pack", "--http-backend-info-refs", remote)
	// The first four bytes are read apart; git's trim took no byte of a pack line.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "announced"), []byte(strconv.Itoa(len(out)-4)), 0o600))
}

// one goes on with the release that is open, or makes the next.
func one(ctx context.Context, o trail.Options, run string) error {
	tr, err := trail.Open(ctx, o)
	if err != nil {
		return err
	}
	if _, err := tr.Flush(ctx); err != nil {
		return err
	}
	last, err := tr.Last(ctx, place)
	if err != nil {
		return err
	}
	if last != nil && last.Run == run && last.Outcome != nil {
		return nil
	}
	r, err := tr.Intent(ctx, trail.Release{Place: place, Operation: "update", Run: run}, nil)
	if err != nil {
		return err
	}
	_, err = tr.Outcome(ctx, r, trail.Outcome{Result: trail.Released})
	return err
}
