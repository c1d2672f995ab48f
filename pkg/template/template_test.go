package template_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awslabs/goformation/v7/cloudformation/cloudwatch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/template"
)

var update = flag.Bool("update", false, "write the golden files")

var root = filepath.Join("..", "..")

func load(t *testing.T) (*config.Config, *config.Environment) {
	t.Helper()
	c, err := config.Load(root, nil)
	require.NoError(t, err)
	return c, c.Sites["web"].Environments["production"]
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// lint is cfn-lint without an error or a warning.
func lint(t *testing.T, path string) {
	t.Helper()
	bin, err := exec.LookPath("cfn-lint")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("cfn-lint is missing")
		}
		t.Skip("cfn-lint is missing")
	}
	out, err := exec.CommandContext(t.Context(), bin, "--include-checks", "I", "--", path).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}

func TestTheCommittedFilesAreRendered(t *testing.T) {
	c, _ := load(t)
	changed, err := template.Write(c, true)
	require.NoError(t, err)
	assert.Empty(t, changed, `run "mage template" and commit`)
}

func TestTheCommittedFilesPassTheLinter(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "cloudformation", "*", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		lint(t, f)
	}
}

func TestRenderIsTheSameByteForByte(t *testing.T) {
	c, e := load(t)
	first, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	for range 20 {
		again, err := template.Render(c, e, "eu-west-1")
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

func TestRenderWithUserDataZonesAndAnExtension(t *testing.T) {
	c, e := load(t)
	c.Dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "boot.sh"), []byte("#!/bin/sh\n# <&> ${NOT_A_REF} 'x' \"y\"\necho ready\n"), 0o600))
	e.Site.UserData = "boot.sh"
	e.Sizes.Zones = 3
	body, err := template.Render(c, e, "eu-west-1", func(t *template.Template, e *config.Environment) error {
		t.Parameters = append(t.Parameters, template.Parameter{ID: "DiskGiB", Type: "Number"})
		t.Resource(template.LaunchTemplateID).Set = map[string]any{
			"LaunchTemplateData.BlockDeviceMappings.0.Ebs.VolumeSize": template.Ref("DiskGiB"),
			"LaunchTemplateData.Monitoring.Enabled":                   false,
		}
		r := t.Add("ManyConnections", &cloudwatch.Alarm{
			Namespace: new("AWS/NetworkELB"), MetricName: new("NewFlowCount"), Statistic: new("Sum"), Period: new(60),
			Dimensions:         []cloudwatch.Alarm_Dimension{{Name: "LoadBalancer", Value: template.GetAtt(template.LoadBalancerID, "LoadBalancerFullName")}},
			ComparisonOperator: "GreaterThanThreshold", Threshold: new(0.0), EvaluationPeriods: 1,
			AlarmDescription: new("made for " + e.Stack()),
		})
		r.Metadata = template.Trigger(template.Busy)
		return nil
	})
	require.NoError(t, err)
	golden(t, "extended.yaml", body)
	lint(t, filepath.Join("testdata", "extended.yaml"))
	small, err := template.Beside(body)
	require.NoError(t, err)
	require.Contains(t, small, template.OutsideRegion)
	file := filepath.Join(t.TempDir(), "beside.yaml")
	require.NoError(t, os.WriteFile(file, []byte(small[template.OutsideRegion]), 0o600))
	lint(t, file)
	triggers, err := template.Triggers(body)
	require.NoError(t, err)
	assert.Equal(t, []string{"HighCpu", "ManyConnections", "NoHealthyHost", "StatusCheckFailed"}, triggers)
}

func TestRenderRefusesWhatIsNotThere(t *testing.T) {
	c, e := load(t)
	_, err := template.Render(c, e, "us-east-1")
	require.EqualError(t, err, "web-production is not in region us-east-1")
	e.Site.UserData = "no-such-file"
	_, err = template.Render(c, e, "eu-west-1")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWriteKeepsTheImage(t *testing.T) {
	c, e := load(t)
	c.Dir = t.TempDir()
	changed, err := template.Write(c, false)
	require.NoError(t, err)
	path := template.Path(e, "eu-west-1")
	assert.Equal(t, []string{path}, changed)

	full := filepath.Join(c.Dir, path)
	body, err := os.ReadFile(full)
	require.NoError(t, err)
	body, err = template.SetImage(body, "ami-0123456789abcdef0")
	require.NoError(t, err)
	// Somebody changed the file by hand, and the image was baked.
	require.NoError(t, os.WriteFile(full, []byte(strings.Replace(string(body), "10.0.0.0/16", "10.9.0.0/16", 1)), 0o600))
	changed, err = template.Write(c, false)
	require.NoError(t, err)
	assert.Equal(t, []string{path}, changed)
	again, err := os.ReadFile(full)
	require.NoError(t, err)
	assert.Equal(t, string(body), string(again))

	changed, err = template.Write(c, false)
	require.NoError(t, err)
	assert.Empty(t, changed)

	require.NoError(t, os.WriteFile(full, []byte("Resources: {}\n"), 0o600))
	_, err = template.Write(c, false)
	require.ErrorIs(t, err, template.ErrNoImage, "an image that cannot be kept is not thrown away")
}

func TestParametersFitTheTemplate(t *testing.T) {
	c, e := withDatabase(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	values := template.Parameters(e)
	require.NoError(t, template.CheckParameters(body, values))
	assert.NotContains(t, values, "ImageId")
	for _, name := range append(template.Capacity, template.PerEnvironment...) {
		assert.Contains(t, values, name, "declared, but no parameter")
	}
	assert.Equal(t, map[string]string{
		"InstanceType": "t3.small", "DatabaseClass": "db.t4g.small", "DatabaseStorage": "20", "DatabaseVersion": "17", "DatabaseMultiAZ": "false",
		"DatabasePassword": "/web/production/database", "DBSnapshotIdentifier": "",
	}, template.Digestible(values))

	values["ImageId"], values["Colour"] = "ami-1", "red"
	delete(values, "Domain")
	require.EqualError(t, template.CheckParameters(body, values), "the template is not sound:\n"+
		"Colour: the template has no such parameter\nDomain: the template needs a value for it\nImageId: is never sent, its default is what runs")
}

func TestTestStacksTakeEverythingButTheirName(t *testing.T) {
	_, e := load(t)
	e.Certificate = "arn:aws:acm:eu-west-1:111111111111:certificate/x"
	live := template.Parameters(e)
	live["InstanceType"] = "m7i.large" // as the live stack has it
	test := template.ForTest(live, e.Site, "web-test-3")
	assert.Equal(t, "web-test-3.hello.example", test["Domain"])
	assert.Empty(t, test["Certificate"])
	assert.Equal(t, template.Digestible(live), template.Digestible(test))
	assert.Equal(t, "www.hello.example", live["Domain"], "the values given are not changed")
}

func TestCapacityMakesRoom(t *testing.T) {
	values := map[string]string{"DesiredCapacity": "2", "MinSize": "2", "MaxSize": "4", "Domain": "x"}
	assert.Equal(t, map[string]string{"DesiredCapacity": "5", "MinSize": "2", "MaxSize": "10", "Domain": "x"}, template.WithCapacity(values, 5))
	assert.Equal(t, map[string]string{"DesiredCapacity": "1", "MinSize": "1", "MaxSize": "4", "Domain": "x"}, template.WithCapacity(values, 1))
}

func TestTheStackPolicyGuardsWhatMustNotBeReplaced(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, template.StackPolicyPath))
	require.NoError(t, err)
	var policy struct {
		Statement []struct {
			Effect   string
			Action   any
			Resource any
		}
	}
	require.NoError(t, json.Unmarshal(b, &policy))
	c, e := withDatabase(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	denied, ok := policy.Statement[1].Resource.([]any)
	require.True(t, ok)
	require.Equal(t, "Deny", policy.Statement[1].Effect)
	assert.Contains(t, denied, "LogicalResourceId/"+template.DatabaseID)
	for _, d := range denied {
		id := strings.TrimSuffix(strings.TrimPrefix(d.(string), "LogicalResourceId/"), "*")
		assert.Contains(t, string(body), "\n  "+id, "the policy names what the template does not have")
	}
}
