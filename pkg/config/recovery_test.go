package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
)

func TestRecovery(t *testing.T) {
	t.Parallel()
	c, err := parse(t, small)
	require.NoError(t, err)
	e := c.Sites["web"].Environments["production"]
	assert.Equal(t, time.Hour, e.Recovery.RTO)
	assert.Equal(t, time.Hour, e.Recovery.Backup)
	assert.Equal(t, 2*time.Hour, e.Recovery.RPO, "what backups of each hour can keep")
	assert.Equal(t, e.Domain, e.DomainIn(e.Regions[0]))
	assert.Equal(t, "web-production-us-east-1."+e.Site.Zone, e.DomainIn("us-east-1"))

	c, err = parse(t, small+"        recovery: {rto: 30m, backup: 10m, contacts: [\"on call: 0123\"], akamai: {hostname: cdn.example.com, notify: [ops@example.com]}}\n")
	require.NoError(t, err)
	e = c.Sites["web"].Environments["production"]
	assert.Equal(t, 30*time.Minute, e.Recovery.RTO)
	assert.Equal(t, 20*time.Minute, e.Recovery.RPO)
	assert.Equal(t, []string{"on call: 0123"}, e.Recovery.Contacts)

	assert.Equal(t, &config.Akamai{Hostname: "cdn.example.com", Notify: []string{"ops@example.com"}}, e.Recovery.Akamai)

	c, err = parse(t, small+"        recovery: {akamai: {hostname: cdn.example.com, notify: [ops@example.com], edge: cdn.example.com.edgekey.net, record: origin.example.com, zone: example.com}}\n")
	require.NoError(t, err)
	assert.Equal(t, "cdn.example.com.edgekey-staging.net", c.Sites["web"].Environments["production"].Recovery.Akamai.StagingEdge())
	_, err = parse(t, small+"        recovery: {akamai: {hostname: cdn.example.com, notify: [ops@example.com], edge: cdn.example.com, record: origin.other.com, zone: example.com}}\n")
	require.ErrorContains(t, err, "an edge host name")
	require.ErrorContains(t, err, "must be a name in the zone")
	_, err = parse(t, small+"        recovery: {akamai: {notify: [], hostnam: x}}\n")
	require.ErrorContains(t, err, "akamai.hostname: is missing")
	_, err = parse(t, small+"        recovery: {rpo: 15m}\n")
	require.ErrorContains(t, err, "recovery.rpo: 15m0s cannot be kept with a backup every 1h0m0s")
	_, err = parse(t, small+"        recovery: {rto: soon, contact: x}\n")
	require.ErrorContains(t, err, "not a duration")
	require.ErrorContains(t, err, "did you mean contacts?")
}
