package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/config"
)

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    config.Screen
	}{
		{nil, config.Screen{}},
		{[]string{"TERM=xterm"}, config.Screen{Redraw: true}},
		{[]string{"TERM=dumb"}, config.Screen{}},
		{[]string{"TERM=xterm", "CI=true"}, config.Screen{}},
		{[]string{"TERM=xterm", "TEAMCITY_VERSION="}, config.Screen{Redraw: true}},
		{[]string{"TERM=xterm", "TEAMCITY_VERSION=2026.2 (build 1)", "CHAIN_VERBOSE=1"}, config.Screen{TeamCity: true, Verbose: true}},
		{[]string{"TERM=xterm", "CHAIN_VERBOSE=0"}, config.Screen{Redraw: true}},
	} {
		assert.Equal(t, c.want, config.ReadScreen(c.environ), "%v", c.environ)
	}
}
