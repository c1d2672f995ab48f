package monitor_test

import (
	"encoding/json"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/monitor"
)

type object = map[string]any

func row(words ...any) []any { return words }

// shown is a dashboard of a shop with half an hour of orders, but for its middle.
func shown(t *testing.T) monitor.Options {
	t.Helper()
	l := lab.Start(t)
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(l.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "x", "")}
	cw := cloudwatch.NewFromConfig(cfg)
	now := time.Now()
	for minute := range 30 {
		if minute > 10 && minute < 20 {
			continue
		}
		_, err := cw.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("Shop"), MetricData: []types.MetricDatum{{
			MetricName: aws.String("Orders"), Value: aws.Float64(float64(minute % 7)), Timestamp: aws.Time(now.Add(-time.Duration(minute) * time.Minute)),
			Dimensions: []types.Dimension{{Name: aws.String("Site"), Value: aws.String("web")}},
		}}})
		require.NoError(t, err)
	}
	_, err := cw.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("orders"), Namespace: aws.String("Shop"), MetricName: aws.String("Orders"), Statistic: types.StatisticMinimum, Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorLessThanThreshold,
	})
	require.NoError(t, err)
	_, err = cw.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("orders"), StateValue: types.StateValueAlarm, StateReason: aws.String("for <show>")})
	require.NoError(t, err)
	widget := func(kind string, x, y, width, height int, properties object) object {
		return object{"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": properties}
	}
	body, err := json.Marshal(object{"widgets": []object{
		widget("text", 0, 0, 6, 3, object{"markdown": "# Shop <1>\n[runbook](https://wiki.example.com/shop)"}),
		widget("alarm", 6, 0, 18, 3, object{"title": "Alarms", "alarms": []string{"arn:aws:cloudwatch:eu-west-1:111111111111:alarm:orders", "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:gone"}}),
		widget("metric", 0, 3, 12, 6, object{
			"title": "Orders", "region": "eu-west-1", "stat": "Maximum", "metrics": []any{
				row("Shop", "Orders", "Site", "web", object{"label": "orders", "color": "#ff00ff"}),
				row(".", "Returns", ".", ".", object{"yAxis": "right"}), row(object{"expression": "m1*2"}),
			},
			"annotations": object{"horizontal": []object{{"label": "enough", "value": 5}}},
		}),
		widget("log", 12, 3, 12, 6, object{"region": "eu-west-1", "query": "SOURCE 'x' | limit 5"}),
	}})
	require.NoError(t, err)
	_, err = cw.PutDashboard(t.Context(), &cloudwatch.PutDashboardInput{DashboardName: aws.String("shop"), DashboardBody: aws.String(string(body))})
	require.NoError(t, err)
	return monitor.Options{AWS: cfg, Clock: clock.System{}}
}

func TestPage(t *testing.T) {
	t.Parallel()
	o := shown(t)
	b, err := monitor.Read(t.Context(), o, "shop")
	require.NoError(t, err)
	require.Len(t, b.Widgets, 4)
	orders := b.Widgets[2].Lines
	require.Len(t, orders, 3)
	assert.InDelta(t, 20, len(orders[0].Points), 2)
	assert.Equal(t, "Returns", orders[1].Label)
	assert.Empty(t, orders[1].Points)

	page, err := b.Page()
	require.NoError(t, err)
	for _, want := range []string{
		"<h1>Shop &lt;1&gt;</h1>", `<a href="https://wiki.example.com/shop">runbook</a>`, "orders: ALARM", "for &lt;show&gt;", "alarm:gone: GONE",
		"Returns: no data", "enough", "SOURCE &#39;x&#39; | limit 5", "not drawn here: m1*2",
	} {
		assert.Contains(t, string(page), want)
	}
	assert.NotRegexp(t, `(?i)<script|<link|<img|\ssrc=|url\(`, string(page), "it loads nothing")

	_, err = monitor.Read(t.Context(), o, "none")
	require.ErrorContains(t, err, "read dashboard none")
}

// A browser shows what was meant to be seen: the colour of the line, of the firing
// alarm, and of the threshold, in the places where the grid has them.
func TestABrowserShowsIt(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is missing")
		}
		t.Skip("chromium is missing")
	}
	b, err := monitor.Read(t.Context(), shown(t), "shop")
	require.NoError(t, err)
	page, err := b.Page()
	require.NoError(t, err)
	dir := t.TempDir()
	file, shot := filepath.Join(dir, "page.html"), filepath.Join(dir, "page.png")
	require.NoError(t, os.WriteFile(file, page, 0o600))
	out, err := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1200,600", "--screenshot="+shot, (&url.URL{Scheme: "file", Path: file}).String()).CombinedOutput()
	require.NoError(t, err, string(out))
	f, err := os.Open(shot)
	require.NoError(t, err, string(out))
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	if keep := os.Getenv("CHAIN_PICTURE"); keep != "" {
		b, err := os.ReadFile(shot)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(keep, b, 0o600))
	}
	// found counts the pixels of a colour in the left or the right half below y.
	found := func(red, green, blue uint32, x0, x1, y0, y1 int) (n int) {
		for x := x0; x < x1; x++ {
			for y := y0; y < y1; y++ {
				r, g, b, _ := picture.At(x, y).RGBA()
				if r>>8 == red && g>>8 == green && b>>8 == blue {
					n++
				}
			}
		}
		return n
	}
	assert.Greater(t, found(0xff, 0, 0xff, 0, 600, 160, 600), 50, "the line of orders, drawn left")
	assert.Zero(t, found(0xff, 0, 0xff, 600, 1200, 0, 600), "and nowhere else")
	assert.Greater(t, found(0xd1, 0x32, 0x12, 300, 1200, 0, 200), 500, "the firing alarm, above")
	assert.Greater(t, found(0xd1, 0x32, 0x12, 0, 600, 200, 600), 20, "the threshold")
}
