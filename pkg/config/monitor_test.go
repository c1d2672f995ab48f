package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
)

func monitored(monitor string) (config.Monitor, error) {
	c, err := config.Parse(".", []byte(`sites:
  web:
    role: web
    domain: www.hello.example
    environments:
      production:
        regions: [eu-west-1]
        sizes: {instances: 1}
`+monitor), nil)
	if err != nil {
		return config.Monitor{}, err
	}
	return c.Sites["web"].Environments["production"].Monitor, nil
}

func TestMonitor(t *testing.T) {
	m, err := monitored("")
	require.NoError(t, err)
	assert.Equal(t, config.Monitor{Drill: 720 * time.Hour, ImageAge: 720 * time.Hour, BackupAge: 26 * time.Hour}, m)
	m, err = monitored(`        monitor:
          page: [oncall@example.com, "https://events.example/integration/k/enqueue"]
          tickets: [team@example.com]
          runbook: https://wiki.example/web
          drill: 24h
          image_age: 240h
`)
	require.NoError(t, err)
	assert.Equal(t, config.Monitor{
		Page: []string{"oncall@example.com", "https://events.example/integration/k/enqueue"}, Tickets: []string{"team@example.com"},
		Runbook: "https://wiki.example/web", Drill: 24 * time.Hour, ImageAge: 240 * time.Hour, BackupAge: 26 * time.Hour,
	}, m)
	_, err = monitored(`        monitor:
          page:
            - on call
            - http://events.example
          runbok: x
          runbook: wiki
          tickets: team@example.com
`)
	require.EqualError(t, err, `chain.yaml: 5 faults
line 11: sites.web.environments.production.monitor.page[0]: is "on call", neither a mail address nor an https URL
line 12: sites.web.environments.production.monitor.page[1]: is "http://events.example": what an alarm says goes by https only
line 13: sites.web.environments.production.monitor.runbok: no such key, did you mean runbook?
line 14: sites.web.environments.production.monitor.runbook: is "wiki", not a URL
line 15: sites.web.environments.production.monitor.tickets: is "team@example.com", not a list of at least one`)
}
