package release_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told writes who is told of alarms into chain.yaml, and commits what follows from it.
func (w *world) told(t *testing.T, monitor string) {
	t.Helper()
	file := filepath.Join(w.clone, "chain.yaml")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(b), "        # monitor:")
	require.True(t, ok)
	head, _, _ = strings.Cut(head, "        monitor:")
	w.write(t, file, head+"        monitor: "+monitor+"\n        # monitor:"+rest)
	w.render(t)
	w.commit(t, "chain.yaml: monitor "+monitor)
}

// Test stacks tell nobody, so who is told is the one change that no test stack shows.
func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.told(t, "{page: [oncall@example.com]}")
	w.page(t, "Hello World")
	_, err := w.release(t)
	require.NoError(t, err)

	// The second is told from another region, too, by a stack whose template the first carries.
	w.told(t, "{page: [oncall@example.com, second@example.com], tickets: [team@example.com]}")
	s, err := w.release(t)
	require.NoError(t, err)
	assert.Contains(t, s.Live.Resources, "TicketsSubscription1")
	assert.Contains(t, fmt.Sprint(s.Summary(0)), "team@example.com", "the end of a release tells whom nothing reaches")

	_, rows, err := w.chain(t).Status(t.Context())
	require.NoError(t, err)
	status := fmt.Sprint(rows)
	assert.Contains(t, status, "{alarms 10: ")
	assert.Contains(t, status, "oncall@example.com of Topic: its subscription was never confirmed")
	assert.Contains(t, status, "oncall@example.com of Topic in us-east-1")
	assert.Contains(t, status, "second@example.com of Topic in us-east-1")
	assert.Contains(t, status, "team@example.com of Tickets")

	link, page, err := w.chain(t).Dashboard(t.Context())
	require.NoError(t, err)
	assert.Contains(t, link, "#dashboards/dashboard/")
	assert.Contains(t, string(page), "Instances by health")
	assert.Contains(t, string(page), "<polyline")
}
