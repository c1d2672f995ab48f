package story_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
)

// writeDownBaked writes what a machine of production has from its image into the
// file CHAIN_BAKED, if asked to: test/vagrant compares a developer's machine with it.
func (s *station) writeDownBaked(t *testing.T) {
	t.Helper()
	file := os.Getenv("CHAIN_BAKED")
	if file == "" {
		return
	}
	id, _, _ := strings.Cut(output(t, "", "docker", "ps", "-q", "--filter", "label=chain.lab="+s.lab(t).ID, "--filter", "label=chain.lab.machine"), "\n")
	created, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(output(t, "", "docker", "inspect", "-f", "{{.Created}}", id)))
	require.NoError(t, err)
	baked, err := image.Survey(t.Context(), func(ctx context.Context, line string) (string, error) {
		out, err := exec.CommandContext(ctx, "docker", "exec", id, "sh", "-c", line).Output()
		return string(out), err
	}, created)
	require.NoError(t, err)
	b, err := json.Marshal(baked)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, b, 0o600))
}
