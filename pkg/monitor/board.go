package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// span is how far back the graphs go, in AWS time.
const span = 3 * time.Hour

// Options of drawing.
type Options struct {
	AWS    aws.Config
	Clock  clock.Clock
	Factor float64 // a minute of metrics lasts a minute divided by it; 0 is 1
}

// Board is a dashboard with its data.
type Board struct {
	Name     string
	From, To time.Time
	Widgets  []Widget
}

// Widget is one of a dashboard's, which lies on a grid of 24 columns.
type Widget struct {
	Kind                string
	X, Y, Width, Height int
	Title               string
	Text                string // markdown, or what is not drawn
	Alarms              []Alarm
	Lines               []Line
	Marks               []Mark
}

// Alarm is the state of one.
type Alarm struct{ Name, State, Reason string }

// Line is one metric over time. Points are in order; where a minute has none the
// line is interrupted.
type Line struct {
	Label, Color string
	Right        bool          // whether it has the axis on the right
	Every        time.Duration // from one point to the next
	Points       []Point
}

// Point is the value of one period.
type Point struct {
	At    time.Time
	Value float64
}

// Mark is a horizontal line that a widget's annotations ask for.
type Mark struct {
	Label string
	Value float64
}

type properties struct {
	Title, Markdown, Region, Stat, Query string
	Period                               int
	Alarms                               []string
	Metrics                              [][]json.RawMessage
	Annotations                          struct {
		Horizontal []struct {
			Label string
			Value float64
		}
	}
}

// options are the last member of a metric's row.
type options struct {
	Label, Stat, Color, YAxis, Region, Expression, ID string
	Period                                            int
	Visible                                           *bool
}

// Read reads a dashboard by its name, and the alarms and metrics it shows.
func Read(ctx context.Context, o Options, name string) (*Board, error) {
	if o.Factor <= 0 {
		o.Factor = 1
	}
	out, err := cloudwatch.NewFromConfig(o.AWS).GetDashboard(ctx, &cloudwatch.GetDashboardInput{DashboardName: &name})
	if err != nil {
		return nil, fmt.Errorf("read dashboard %s: %w", name, err)
	}
	var body struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          properties
		}
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.DashboardBody)), &body); err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", name, err)
	}
	b := &Board{Name: name, To: o.Clock.Now().UTC()}
	b.From = b.To.Add(-time.Duration(float64(span) / o.Factor))
	for _, w := range body.Widgets {
		d := Widget{Kind: w.Type, X: w.X, Y: w.Y, Width: w.Width, Height: w.Height, Title: w.Properties.Title}
		if d.Width == 0 {
			d.Width, d.Height = 6, 6 // as CloudWatch has it
		}
		switch w.Type {
		case "text":
			d.Text = w.Properties.Markdown
		case "alarm":
			d.Alarms, err = o.alarms(ctx, w.Properties.Alarms)
		case "metric":
			d.Lines, err = o.lines(ctx, w.Properties, b)
			for _, h := range w.Properties.Annotations.Horizontal {
				d.Marks = append(d.Marks, Mark(h))
			}
		case "log":
			d.Text = "Not drawn here, a query of logs:\n" + w.Properties.Query
		default:
			d.Text = "Not drawn here: a widget of type " + w.Type
		}
		if err != nil {
			return nil, fmt.Errorf("dashboard %s, %q: %w", name, d.Title, err)
		}
		b.Widgets = append(b.Widgets, d)
	}
	return b, nil
}

// region is a client of a region; "" is our own.
func (o Options) region(name string) *cloudwatch.Client {
	return cloudwatch.NewFromConfig(o.AWS, func(c *cloudwatch.Options) {
		if name != "" {
			c.Region = name
		}
	})
}

// alarms are their states, in the order given by ARN. One that is gone is said to be.
func (o Options) alarms(ctx context.Context, arns []string) ([]Alarm, error) {
	byRegion := map[string][]string{}
	for _, arn := range arns {
		if part := strings.Split(arn, ":"); len(part) >= 7 {
			byRegion[part[3]] = append(byRegion[part[3]], strings.Join(part[6:], ":"))
		}
	}
	found := map[string]Alarm{}
	for region, names := range byRegion {
		out, err := o.region(region).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
			AlarmNames: names, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}, MaxRecords: aws.Int32(100),
		})
		if err != nil {
			return nil, fmt.Errorf("look at the alarms: %w", err)
		}
		for _, m := range out.MetricAlarms {
			found[aws.ToString(m.AlarmArn)] = Alarm{aws.ToString(m.AlarmName), string(m.StateValue), aws.ToString(m.StateReason)}
		}
		for _, m := range out.CompositeAlarms {
			found[aws.ToString(m.AlarmArn)] = Alarm{aws.ToString(m.AlarmName), string(m.StateValue), aws.ToString(m.StateReason)}
		}
	}
	var list []Alarm
	for _, arn := range arns {
		a, ok := found[arn]
		if !ok {
			a = Alarm{Name: arn, State: "GONE", Reason: "there is no such alarm"}
		}
		list = append(list, a)
	}
	return list, nil
}

// rows are the metrics of a widget: those that CloudWatch is asked for, each with
// its options. "." and "..." repeat the row before, as in every dashboard.
func rows(p properties) (texts [][]string, opts []options, err error) {
	var before []string
	for i, row := range p.Metrics {
		var o options
		if n := len(row); n > 0 && json.Unmarshal(row[n-1], &o) == nil {
			row = row[:n-1]
		}
		words := make([]string, len(row))
		for k, raw := range row {
			if err := json.Unmarshal(raw, &words[k]); err != nil {
				return nil, nil, fmt.Errorf("metric %d: %s is no text", i+1, raw)
			}
		}
		words = repeated(words, before)
		if len(words) > 0 {
			before = words
		}
		if o.Visible != nil && !*o.Visible && o.ID == "" {
			continue
		}
		texts, opts = append(texts, words), append(opts, o)
	}
	return texts, opts, nil
}

// repeated is a row with what it takes from the one before.
func repeated(row, before []string) []string {
	if k := slices.Index(row, "..."); k >= 0 && len(before) >= len(row)-1-k {
		rest := row[k+1:]
		row = slices.Concat(row[:k], before[k:len(before)-len(rest)], rest)
	}
	for k := range row {
		if row[k] == "." && k < len(before) {
			row[k] = before[k]
		}
	}
	return row
}

func (o Options) lines(ctx context.Context, p properties, b *Board) ([]Line, error) {
	texts, opts, err := rows(p)
	if err != nil {
		return nil, err
	}
	var out []Line
	for i, row := range texts {
		opt := opts[i]
		line := Line{Label: opt.Label, Color: opt.Color, Right: opt.YAxis == "right"}
		if line.Label == "" && len(row) > 1 {
			line.Label = row[1]
		}
		if len(row) < 2 {
			line.Label = strings.TrimSpace(line.Label + " (not drawn here: " + opt.Expression + ")")
			out = append(out, line)
			continue
		}
		period := time.Duration(float64(max(first(opt.Period, p.Period, 60), 60)) / o.Factor * float64(time.Second)).Truncate(time.Second)
		line.Every = max(period, time.Second)
		q := types.MetricDataQuery{Id: aws.String("m"), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: &row[0], MetricName: &row[1]}, Period: aws.Int32(int32(line.Every / time.Second)),
			Stat: aws.String(first(opt.Stat, p.Stat, "Average")),
		}}
		for k := 2; k+1 < len(row); k += 2 {
			q.MetricStat.Metric.Dimensions = append(q.MetricStat.Metric.Dimensions, types.Dimension{Name: &row[k], Value: &row[k+1]})
		}
		pages := cloudwatch.NewGetMetricDataPaginator(o.region(first(opt.Region, p.Region)), &cloudwatch.GetMetricDataInput{
			StartTime: &b.From, EndTime: &b.To, MetricDataQueries: []types.MetricDataQuery{q}, ScanBy: types.ScanByTimestampAscending,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("read metric %s %s: %w", row[0], row[1], err)
			}
			for _, r := range page.MetricDataResults {
				for k := range r.Values {
					line.Points = append(line.Points, Point{r.Timestamps[k], r.Values[k]})
				}
			}
		}
		out = append(out, line)
	}
	return out, nil
}

// first is the first of values that is set.
func first[T comparable](values ...T) (zero T) {
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
