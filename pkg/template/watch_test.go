package template_test

import (
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/template"
)

func TestEveryAlarmHasACause(t *testing.T) {
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	alarms, err := template.Alarms(body)
	require.NoError(t, err)
	assert.Equal(t, []template.Alarm{
		{ID: "Deploying", Cause: template.Data(1)},
		{ID: "GroupShort", Cause: template.Gone},
		{ID: "HighCpu", Cause: template.Busy},
		{ID: "ImageOld", Cause: template.Silence(0)},
		{ID: "NoHealthyHost", Cause: template.Unreachable},
		{ID: "Page", Cause: template.Parts},
		{ID: "StatusCheckFailed", Cause: template.Hang},
		{ID: "UnhealthyHosts", Cause: template.Unreachable},
	}, alarms)

	for want, metadata := range map[string]map[string]any{
		"no cause is written down":           nil,
		`there is no cause "parts" for it`:   template.Parts.Metadata(),
		`nobody but AWS can put "AWS/EC2"`:   template.Data(1).Metadata(),
		`there is no cause "sunshine"`:       {"Chain": map[string]any{"Cause": "sunshine"}},
		"no cause is written down (metadata": {"Chain": map[string]any{"RollbackTrigger": true}},
	} {
		_, err = template.Render(c, e, "eu-west-1", func(t *template.Template, _ *config.Environment) error {
			t.Add("Mine", &cloudwatch.Alarm{
				Namespace: new("AWS/EC2"), MetricName: new("CPUUtilization"), Statistic: new("Sum"), Period: new(60),
				ComparisonOperator: "GreaterThanThreshold", Threshold: new(1.0), EvaluationPeriods: 1,
			}).Metadata = metadata
			return nil
		})
		require.ErrorContains(t, err, "Resources.Mine: ")
		require.ErrorContains(t, err, want)
	}
}

func TestTheDigestOfWhatWatchesIsOfThatAlone(t *testing.T) {
	c, e := load(t)
	digest := func() string {
		body, err := template.Render(c, e, "eu-west-1")
		require.NoError(t, err)
		body, err = template.SetImage(body, "ami-0123456789abcdef0")
		require.NoError(t, err)
		d, err := template.Monitoring(body)
		require.NoError(t, err)
		return d
	}
	first := digest()
	e.Sizes.InstanceType = "t3.large"
	e.Site.UserData = ""
	assert.Equal(t, first, digest())
	e.Sizes.Zones = 3 // each has an address, which is watched from outside
	assert.NotEqual(t, first, digest())
	first = digest()
	e.Monitor.Runbook = "https://wiki.example/runbook"
	assert.NotEqual(t, first, digest())
}

func TestPeopleAreToldOfProductionOnly(t *testing.T) {
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	assert.NotContains(t, string(body), "AWS::SNS::Subscription")
	e.Monitor = config.Monitor{Page: []string{"oncall@example.com", "https://events.example/x"}, Tickets: []string{"team@example.com"}}
	body, err = template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	text := string(body)
	assert.Equal(t, 3, strings.Count(text, "    Type: AWS::SNS::Subscription\n    Condition: IsThisDomain\n"))
	assert.Contains(t, text, "IsThisDomain: !Equals [!Ref Domain, www.hello.example]")
	assert.Contains(t, text, "Protocol: https\n")
	assert.NotEqual(t, "www.hello.example", template.ForTest(template.Parameters(e), e.Site, "web-test-1")["Domain"], "a test stack tells nobody")
}

func TestADashboardIsWhatCloudWatchShows(t *testing.T) {
	metric := func(properties string) string {
		return `{"widgets":[{"type":"metric","width":24,"properties":{"region":"eu-west-1",` + properties + `}}]}`
	}
	for body, want := range map[string]string{
		`{"widgets":[]}`: "",
		metric(`"metrics":[["N","m"],["N","m","A","1","B","2",{"stat":"p99.9","yAxis":"right"}],[{"expression":"m1+m2"}]],"view":"bar","stat":"TM(10%:90%)"`): "",
		`{"widgets":[{"type":"text","properties":{"markdown":"${AWS::StackName}"}}]}`:                                                                         "",
		`{"widgets":[{"type":"log","properties":{"region":"x","query":"SOURCE 'a'","view":"table"}}]}`:                                                        "",

		`{"widgets":`:                      "is not JSON",
		`{}`:                               "widgets: is no list",
		`{"widgets":[],"titel":1}`:         `there is no member "titel"`,
		`{"widgets":[{"properties":{}}]}`:  "widget 1: type is missing",
		`{"widgets":[{"type":"metrics"}]}`: `widget 1: type is "metrics", not one of`,
		`{"widgets":[{"type":"text"}]}`:    "widget 1: properties is missing",
		`{"widgets":[{"type":"text","properties":{"markdwon":"x"}}]}`:                  `properties: there is no member "markdwon"`,
		`{"widgets":[{"type":"text","x":24,"properties":{"markdown":"x"}}]}`:           "x is 24, not 0 to 23",
		`{"widgets":[{"type":"text","x":20,"width":5,"properties":{"markdown":"x"}}]}`: "over the right edge",
		`{"widgets":[{"type":"alarm","properties":{"alarms":[]}}]}`:                    "no list of 1 to 100 ARNs",
		`{"widgets":[{"type":"log","properties":{"region":"x"}}]}`:                     "properties.query is missing",
		metric(`"stat":"Sum"`):                          "neither metrics nor annotations",
		metric(`"metrics":[["N"]]`):                     "metrics[0]: needs a namespace",
		metric(`"metrics":[["N","m","A"]]`):             "dimensions in pairs, and has 3 texts",
		metric(`"metrics":[["N","m",{"statt":"Sum"}]]`): `there is no member "statt"`,
		metric(`"metrics":[["N","m"]],"stat":"Avg"`):    `stat is "Avg", which is no statistic`,
		metric(`"metrics":[["N","m"]],"view":"line"`):   `view is "line", not one of`,
		metric(`"metrics":[["N","m",{"yAxis":"top"}]]`): "not left or right",
		metric(`"metrics":"SEARCH"`):                    "metrics is no list of lists",
	} {
		err := template.CheckDashboard(body)
		if want == "" {
			require.NoError(t, err, body)
			continue
		}
		require.ErrorContains(t, err, want, body)
	}
	c, e := load(t)
	_, err := template.Render(c, e, "eu-west-1", func(t *template.Template, _ *config.Environment) error {
		t.Add("Mine", &cloudwatch.Dashboard{DashboardBody: template.Sub(metric(`"metrics":[["Shop","Orders"]],"tittle":"Orders of ${Domain}"`))})
		return nil
	})
	require.ErrorContains(t, err, `Resources.Mine.Properties.DashboardBody: widget 1: properties: there is no member "tittle"`)
}
