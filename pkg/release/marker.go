package release

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// mark tells CloudWatch each minute that production is being changed: its page is
// held back as long, and the dashboard shows when it was. Once we are dead nobody
// tells, and the page is free again. It goes on until end is called; that it
// cannot be told is no reason to stop a release.
func (s *State) mark(ctx context.Context, run *pipeline.Run) (end func()) {
	cfg, err := s.Target.AWS(ctx)
	if err != nil {
		return func() {}
	}
	api := cloudwatch.NewFromConfig(cfg)
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		told := false
		for {
			_, err := api.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(template.Namespace), MetricData: []types.MetricDatum{{
				MetricName: aws.String(template.MetricDeploying), Value: aws.Float64(1), Timestamp: aws.Time(s.Clock.Now()),
				Dimensions: []types.Dimension{{Name: aws.String("Stack"), Value: aws.String(s.Environment.Stack())}},
			}}})
			if err != nil && ctx.Err() == nil && !told {
				told = true
				run.Note("the page is not held back, since CloudWatch does not take that we release: %v", err)
			}
			if s.Clock.Sleep(ctx, s.Target.Scale(time.Minute)/2) != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
