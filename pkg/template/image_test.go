package template_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/build-deploy-chain/chain/pkg/template"
)

const ami = "ami-0123456789abcdef0"

func TestImageOfTheShippedTemplate(t *testing.T) {
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	got, err := template.Image(body)
	require.NoError(t, err)
	assert.Equal(t, template.NotBaked, got)
	assert.False(t, template.Baked(got))
	assert.True(t, template.Baked(ami))
	assert.False(t, template.Baked("latest"))
}

// Whatever a template looks like, one line of it changes, and in it one word.
func TestSetImageChangesOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(label string) string {
			return "ami-" + rapid.StringMatching(`[0-9a-f]{17}|[0-9a-f]{8}`).Draw(t, label)
		}
		old, next := id("old"), id("next")
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		quote := pick("quote", "", "'", `"`)
		eol := pick("eol", "\n", "\r\n")
		noise := pick("noise", "", "# "+old+" is what ran on Monday, ünïcödé", "#")
		indent := pick("indent", " ", "  ", "     ")
		value := quote + old + quote
		var body string
		switch pick("layout", "block", "flow", "json", "tagged", "next line") {
		case "block":
			body = strings.Join([]string{
				noise, "Description: 'ä " + old + "'", "Parameters:", indent + "Other:", indent + indent + "Default: " + value,
				indent + "ImageId:", indent + indent + "Type: AWS::EC2::Image::Id", indent + indent + "Default:" + indent + value + "  " + noise,
				"Resources:", indent + "X: " + value, "",
			}, eol)
		case "flow":
			body = "Parameters: {Other: {Default: " + value + "}, 'ImageId': {Type: 'ä', Default: " + value + "}} " + noise + eol + "Resources: {X: " + value + "}" + eol
		case "json":
			body = fmt.Sprintf(`{"Description": %q,%s "Parameters": {"ImageId": {"Type": "String", "Default": %q}}, "X": %q}`, "ö "+old, eol, old, old)
		case "tagged":
			body = "Parameters:" + eol + " ImageId: &id" + eol + "  Default: !!str " + value + eol + "Resources: {X: " + value + "}" + eol
		case "next line":
			body = "Parameters:" + eol + " ImageId:" + eol + "  Default:" + eol + "    " + value + eol + "  Type: " + value + eol
		}
		out, err := template.SetImage([]byte(body), next)
		require.NoError(t, err)

		before, after := strings.Split(body, "\n"), strings.Split(string(out), "\n")
		require.Len(t, after, len(before))
		var changed []int
		for i := range before {
			if before[i] != after[i] {
				changed = append(changed, i)
			}
		}
		if old == next {
			require.Empty(t, changed)
			return
		}
		require.Len(t, changed, 1)
		i := changed[0]
		require.Contains(t, before[i], old)
		require.Equal(t, 1, strings.Count(after[i], next)-strings.Count(before[i], next))
		got, err := template.Image(out)
		require.NoError(t, err)
		require.Equal(t, next, got)
		back, err := template.SetImage(out, old)
		require.NoError(t, err)
		require.Equal(t, body, string(back))
	})
}

func TestSetImageRefuses(t *testing.T) {
	good := "Parameters:\n  ImageId:\n    Default: ami-00000000000000000\n"
	for _, id := range []string{"", "ami-1", "ami-XYZ", "latest", "ami-0123456789abcdef0\nResources: {}", " " + ami} {
		_, err := template.SetImage([]byte(good), id)
		require.Error(t, err, id)
	}
	for body, want := range map[string]string{
		"":                      "the template is empty",
		"a: [":                  "read the template",
		"Parameters: {}":        "ImageId is missing",
		"Parameters: [ImageId]": "ImageId is missing",
		"Parameters:\n  ImageId:\n    Type: String\n":                                        "Default is missing",
		"Parameters:\n  ImageId:\n    Default: latest\n":                                     `ImageId is not an AMI id but "latest"`,
		"Parameters:\n  ImageId:\n    Default: [ami-0123456789abcdef0]\n":                    "ImageId is not an AMI id",
		"X: &x ami-0123456789abcdef0\nParameters:\n  ImageId:\n    Default: *x\n":            "ImageId is not an AMI id",
		"Parameters:\n  ImageId:\n    Default: \"ami-\\x300000000000000000\"\nResources: {}": "does not hold",
	} {
		_, err := template.SetImage([]byte(body), ami)
		require.ErrorContains(t, err, want, body)
	}
}

func TestWithoutImageIsTheSameForTwoImages(t *testing.T) {
	c, e := load(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	baked, err := template.SetImage(body, ami)
	require.NoError(t, err)
	a, err := template.WithoutImage(body)
	require.NoError(t, err)
	b, err := template.WithoutImage(baked)
	require.NoError(t, err)
	assert.Equal(t, a, b)
	assert.NotEqual(t, string(body), string(baked))
}
