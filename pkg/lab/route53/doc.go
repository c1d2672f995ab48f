// Package route53 is the lab's Route 53: hosted zones and their records, which
// are all the names that the lab's internet knows.
//
// Zones belong to no region. A record answers as soon as it is changed; the
// change itself is PENDING for a moment and INSYNC then. Health checks probe their
// endpoints through the lab's internet; their metrics are in us-east-1 alone.
package route53

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const (
	syncing   = 10 * time.Second // until a change is INSYNC
	changeAge = 24 * time.Hour   // a change is forgotten after it
)

// Service is the Route 53 API.
type Service struct {
	// Dial connects to what is checked; nil: directly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Name is the credential scope.
func (Service) Name() string { return "route53" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.REST("CreateHostedZone", "POST", "/2013-04-01/hostedzone", CreateHostedZone),
		core.REST("ListHostedZones", "GET", "/2013-04-01/hostedzone", ListHostedZones),
		core.REST("ListHostedZonesByName", "GET", "/2013-04-01/hostedzonesbyname", ListHostedZonesByName),
		core.REST("GetHostedZone", "GET", "/2013-04-01/hostedzone/{Id}", GetHostedZone),
		core.REST("DeleteHostedZone", "DELETE", "/2013-04-01/hostedzone/{Id}", DeleteHostedZone),
		core.REST("ListResourceRecordSets", "GET", "/2013-04-01/hostedzone/{HostedZoneId}/rrset", ListResourceRecordSets),
		core.REST("ChangeResourceRecordSets", "POST", "/2013-04-01/hostedzone/{HostedZoneId}/rrset", ChangeResourceRecordSets),
		core.REST("CreateHealthCheck", "POST", "/2013-04-01/healthcheck", CreateHealthCheck),
		core.REST("ListHealthChecks", "GET", "/2013-04-01/healthcheck", ListHealthChecks),
		core.REST("GetHealthCheck", "GET", "/2013-04-01/healthcheck/{HealthCheckId}", GetHealthCheck),
		core.REST("UpdateHealthCheck", "POST", "/2013-04-01/healthcheck/{HealthCheckId}", UpdateHealthCheck),
		core.REST("DeleteHealthCheck", "DELETE", "/2013-04-01/healthcheck/{HealthCheckId}", DeleteHealthCheck),
		core.REST("GetHealthCheckStatus", "GET", "/2013-04-01/healthcheck/{HealthCheckId}/status", GetHealthCheckStatus),
		core.REST("GetChange", "GET", "/2013-04-01/change/{Id}", GetChange),
		core.REST("ChangeTagsForResource", "POST", "/2013-04-01/tags/{ResourceType}/{ResourceId}", ChangeTagsForResource),
		core.REST("ListTagsForResource", "GET", "/2013-04-01/tags/{ResourceType}/{ResourceId}", ListTagsForResource),
	}
}

// Step makes probes, wakes whoever waits for a change and forgets old ones.
func (s Service) Step(tx *core.Tx) {
	s.probes(tx)
	for id, c := range tx.World.Changes {
		tx.Due(c.InSyncAt)
		if tx.Now.Sub(c.Submitted) > changeAge {
			delete(tx.World.Changes, id)
		}
	}
}

// canonical is a name in lower case with its last dot.
func canonical(name string) string {
	name = strings.ToLower(name)
	name = strings.ReplaceAll(name, `\052`, "*")
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	return name
}

// display is a name as the API writes it.
func display(name string) string { return strings.ReplaceAll(name, "*", `\052`) }

// order is a name as zones and records are sorted by: "com.example.www.".
func order(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

func bareID(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pageSize is the MaxItems of a listing, 100 at most.
func pageSize(tx *core.Tx, p *int64) (int64, error) {
	switch {
	case p == nil:
		return tx.PageSize(100), nil
	case *p < 1:
		return 0, wire.Errorf("InvalidInput", "maxItems must be at least 1")
	}
	return tx.PageSize(min(*p, 100)), nil
}
