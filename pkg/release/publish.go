package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// figures are values of the chain's own metrics, by name.
type figures map[string]float64

// put publishes figures of production.
func (c *Chain) put(ctx context.Context, f figures) error {
	cfg, err := c.Target.AWS(ctx)
	if err != nil {
		return err
	}
	in := &cloudwatch.PutMetricDataInput{Namespace: aws.String(template.Namespace)}
	for name, v := range f {
		in.MetricData = append(in.MetricData, types.MetricDatum{
			MetricName: &name, Value: aws.Float64(v), Timestamp: aws.Time(c.Clock.Now()),
			Dimensions: []types.Dimension{{Name: aws.String("Stack"), Value: aws.String(c.Environment.Stack())}},
		})
	}
	if len(in.MetricData) == 0 {
		return nil
	}
	if _, err := cloudwatch.NewFromConfig(cfg).PutMetricData(ctx, in); err != nil {
		return fmt.Errorf("publish figures of %s: %w", c.Environment.Stack(), err)
	}
	return nil
}

// ages are how old what production rests on is: its image, in days, and the newest
// snapshot of its database, in hours; data is the database's id, or "".
func (c *Chain) ages(ctx context.Context, image, data string) (figures, error) {
	img, err := c.Compute.Image(ctx, image)
	if err != nil {
		return nil, err
	}
	now := c.Clock.Now()
	out := figures{}
	if img != nil { // nobody tells the age of what is gone: the alarm fires
		out[template.MetricImageAge] = now.Sub(img.Created).Hours() / 24
	}
	if data == "" {
		return out, nil
	}
	list, err := c.Databases.Find(ctx, database.Query{Instance: data})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s database.Snapshot) bool { return s.Status != "available" })
	if len(list) == 0 {
		return out, nil
	}
	newest := slices.MaxFunc(list, func(a, b database.Snapshot) int { return a.Created.Compare(b.Created) })
	out[template.MetricBackupAge] = now.Sub(newest.Created).Hours()
	return out, nil
}

// Publish tells CloudWatch how old production's image and backups are. It is to be
// called several times a day: the alarms on them fire where nobody tells for one.
func (c *Chain) Publish(ctx context.Context) ([]report.Row, error) {
	now, err := c.Account.Stack(c.Environment.Stack()).Read(ctx)
	if errors.Is(err, stack.ErrAbsent) {
		return nil, &report.Failure{
			Code: report.Guard, ID: "E-REL-28", What: "there are no figures: " + c.Environment.Stack() + " is not there", State: "nothing was published",
			Where: fmt.Sprintf("%s, account %s, %s", c.Target.Name, c.Target.Account, c.Target.Region), Next: []string{"./station.sh release  # brings it up"},
		}
	}
	if err != nil {
		return nil, explain(ctx, "read the stack", &State{Chain: c}, err)
	}
	f, err := c.ages(ctx, now.Image(), now.Resources[template.DatabaseID].ID)
	if err == nil {
		err = c.put(ctx, f)
	}
	if err != nil {
		return nil, explain(ctx, "publish", &State{Chain: c}, err)
	}
	var rows []report.Row
	for _, name := range []string{template.MetricImageAge, template.MetricBackupAge} {
		if v, ok := f[name]; ok {
			rows = append(rows, report.Row{Name: name, Value: fmt.Sprintf("%.1f", v)})
		}
	}
	return rows, nil
}

// publish tells what this release knows. That it cannot harms no release: the alarms on
// what is missing fire.
func (s *State) publish(ctx context.Context, run *pipeline.Run) {
	data := ""
	if s.Live != nil {
		data = s.Live.Resources[template.DatabaseID].ID
	}
	f, err := s.ages(ctx, s.Rehearsal.Candidate.Image, data)
	if err == nil {
		s.measured(f)
		err = s.put(ctx, f)
	}
	if err != nil {
		run.Note("figures are not published: %v", err)
	}
}

// measured adds what was measured of the rehearsal and the release.
func (s *State) measured(f figures) {
	if r, err := s.record(); err == nil && r.Ended.After(r.Began) {
		f[template.MetricRehearsal] = r.Ended.Sub(r.Began).Seconds()
	}
	s.mu.Lock()
	if d := s.Seconds["production"]; d > 0 {
		f[template.MetricRelease] = d.Round(time.Millisecond).Seconds()
	}
	s.mu.Unlock()
	requests, failed := 0, 0
	for _, a := range s.Available {
		requests, failed = requests+a.Requests, failed+a.Failed
	}
	if requests > 0 {
		f[template.MetricAvailability] = 100 * float64(requests-failed) / float64(requests)
	}
}
