package teamcity_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/teamcity"
	"github.com/build-deploy-chain/chain/pkg/teamcity/teamcitytest"
)

func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"plain text, 100 %":   "plain text, 100 %",
		"|'[]":                "||" + "|'" + "|[" + "|]",
		"a\nb\r\n":            "a|nb|r|n",
		"\t\x00\x7f":          "|0x0009|0x0000|0x007F",
		"é…":                  "|0x00E9|0x2026",
		"\u0085\u2028\u2029":  "|0x0085|0x2028|0x2029",
		"😀":                   "|0xD83D|0xDE00",
		"\xff":                "|0xFFFD",
		"##teamcity[x 'y']":   "##teamcity|[x |'y|'|]",
		"already |n |0x000A ": "already ||n ||0x000A ",
	} {
		assert.Equal(t, want, teamcity.Escape(in))
	}
	assert.Equal(t, "##teamcity[progressMessage 'it|'s']", teamcity.Single("progressMessage", "it's"))
	assert.Equal(t, "##teamcity[blockOpened name='a b']",
		teamcity.Message("blockOpened", teamcity.Attr{Name: "name", Value: "a b"}, teamcity.Attr{Name: "flowId"}))
}

func TestIdentitiesAreJavaIdentifiers(t *testing.T) {
	for in, want := range map[string]string{
		"E-REH-06": "E_REH_06", "": "_", "9 lives": "_9_lives", "exit code 7": "exit_code_7", strings.Repeat("é", 70): strings.Repeat("_", 60),
	} {
		assert.Equal(t, want, teamcity.Identity(in))
	}
}

// Whatever a value holds, TeamCity reads it back, and reads nothing else.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "a", "'", "|", "|n", "]", "##teamcity[buildStop comment='x']", "\n##teamcity[", "\x1b[31m", "😀\xff", "||'|", "|0x41"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := teamcitytest.Read(teamcity.Message("message", teamcity.Attr{Name: "text", Value: "." + a}, teamcity.Attr{Name: "flowId", Value: "." + b}))
		require.NoError(t, err)
		require.Len(t, got, 1)
		assert.Equal(t, map[string]string{"text": strings.ToValidUTF8("."+each(a), ""), "flowId": strings.ToValidUTF8("."+each(b), "")}, got[0].Values)

		got, err = teamcitytest.Read(teamcity.Single("progressMessage", a))
		require.NoError(t, err)
		require.Len(t, got, 1)
		assert.Equal(t, each(a), got[0].Values[""])

		for _, m := range must(teamcitytest.Read(teamcity.Neutral(a + b))) {
			assert.Empty(t, m.Name)
		}
	})
}

// each is the text with U+FFFD for each byte that is no UTF-8, as Go's range has it.
func each(s string) string { return string([]rune(s)) }

func must(m []teamcitytest.Message, err error) []teamcitytest.Message {
	if err != nil {
		panic(err)
	}
	return m
}
