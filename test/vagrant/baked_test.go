package vagrant_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
)

// isABakedImage compares the machine with one of an image that was baked from the
// same commit: packages, files, units, ports, accounts. They differ in what
// vagrant/differs declares, and in the tools, which a bake purges.
func (d *desk) isABakedImage(t *testing.T, id string) {
	t.Helper()
	if os.Getenv("CHAIN_BAKED") == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("set CHAIN_BAKED to what test/story wrote down of the image that it baked")
		}
		t.Skip("set CHAIN_BAKED; station/check does it")
	}
	b, err := os.ReadFile(os.Getenv("CHAIN_BAKED"))
	require.NoError(t, err)
	var baked image.Inventory
	require.NoError(t, json.Unmarshal(b, &baked))
	in := func(ctx context.Context, line string) (string, error) {
		out, err := exec.CommandContext(ctx, "docker", "exec", id, "sh", "-c", line).Output()
		return string(out), err
	}
	machine, err := image.Survey(t.Context(), in, time.Time{})
	require.NoError(t, err)
	require.NotEmpty(t, machine.Ports)

	// What packer/purge.sh would purge here, said by apt itself.
	purged, err := in(t.Context(), "apt-get purge -s --autoremove 'puppet*' ruby-serverspec")
	require.NoError(t, err)
	declared := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^Purg (\S+)`).FindAllStringSubmatch(purged, -1) {
		declared[m[1]] = true
	}
	require.True(t, declared["puppet-agent"], purged)

	text, err := os.ReadFile(filepath.Join(d.clone, "vagrant", "differs"))
	require.NoError(t, err)
	var patterns []*regexp.Regexp
	used := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			p := strings.NewReplacer(`\*\*`, ".*", `\*`, "[^/]*").Replace(regexp.QuoteMeta(line))
			patterns = append(patterns, regexp.MustCompile("^"+p+"$"))
		}
	}
	tool := regexp.MustCompile(`^package added: (\S+)`)
	for _, difference := range image.Compare(baked, machine) {
		if m := tool.FindStringSubmatch(difference); m != nil && declared[m[1]] {
			continue
		}
		explained := false
		for _, p := range patterns {
			if p.MatchString(difference) {
				explained, used[p.String()] = true, true
			}
		}
		assert.True(t, explained, "vagrant/differs does not declare: %s", difference)
	}
	for _, p := range patterns {
		if !used[p.String()] {
			t.Logf("nothing differs by %s", p)
		}
	}
}
