package template_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/template"
)

func TestAlarmsOnWhatIsSeenFromOutsideAreInUsEast1(t *testing.T) {
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	small, err := template.Beside(body)
	require.NoError(t, err)
	require.Contains(t, small, "us-east-1")
	alarms, err := template.Alarms([]byte(small["us-east-1"]))
	require.NoError(t, err)
	assert.Equal(t, []template.Alarm{{ID: "Outside1", Cause: template.Unreachable}, {ID: "Outside2", Cause: template.Unreachable}}, alarms)

	e.Regions = []string{"us-east-1"}
	here, err := template.Render(c, e, "us-east-1")
	require.NoError(t, err)
	small, err = template.Beside(here)
	require.NoError(t, err)
	assert.Empty(t, small, "there they are part of the environment's own template")
	assert.Contains(t, string(here), "  Outside1:\n")

	err = template.Check([]byte(strings.Replace(string(body), "              HealthCheck2:\n", "              HealthCheck7:\n", 1)))
	require.ErrorContains(t, err, "the environment has no such parameter or resource")
	require.ErrorContains(t, err, "the alarms of us-east-1: ", "a mistake in them is one in the whole")
}
