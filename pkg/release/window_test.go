package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// A version that is fine while it rolls, and bad a minute later, is taken back in
// the monitoring window.
func TestWhatGoesBadInTheWindowIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(*memory.Image){
		"it burns the processors": func(d *memory.Image) { d.Busy = 100 },
		"it answers slowly":       func(d *memory.Image) { d.Slow = 6 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _, key := ready(t)
			// Rehearsed with the short window, released with a long one: 40 s here.
			file := filepath.Join(w.clone, config.File)
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			w.write(t, file, strings.Replace(string(b), "monitoring: 1m", "monitoring: 100m", 1))
			w.commit(t, "chain.yaml")

			var turned atomic.Bool
			_, err = w.run(t.Context(), t, false, 0, func(e pipeline.Event) {
				if e.Step != "follow it" || !strings.Contains(e.Text, "Group UPDATE_COMPLETE") || turned.Swap(true) {
					return
				}
				list, err := w.l.Memory().List(t.Context())
				assert.NoError(t, err)
				for _, m := range list {
					if disk, _ := w.l.Memory().Disk(m.ID); strings.TrimSpace(disk.Pages["/version"].Body) == key {
						assert.NoError(t, w.l.Memory().Edit(m.ID, bad))
					}
				}
			})
			require.Error(t, err)
			assert.True(t, turned.Load(), "it was fine until the roll was over")
			assert.Equal(t, report.RolledBack, report.Code(err), err)
			var f *report.Failure
			require.ErrorAs(t, err, &f)
			assert.Contains(t, f.State, "production runs what it ran before")
			if name == "it burns the processors" {
				require.ErrorContains(t, err, "HighCpu")
			}
			w.marked(t)
		})
	}
}

// marked says that CloudWatch was told of a release.
func (w *world) marked(t *testing.T) {
	t.Helper()
	api := cloudwatch.New(cloudwatch.Options{
		Region: region, BaseEndpoint: aws.String(w.l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", ""),
	})
	out, err := api.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("Chain"), MetricName: aws.String("Deploying")})
	require.NoError(t, err)
	require.Len(t, out.Metrics, 1)
	assert.Equal(t, "web-production", *out.Metrics[0].Dimensions[0].Value)
}
