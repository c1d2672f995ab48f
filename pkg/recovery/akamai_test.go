package recovery_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/edge"
	"github.com/build-deploy-chain/chain/pkg/edge/edgetest"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/report"
)

func rules(origin string) string {
	return `{"name":"default","behaviors":[{"name":"origin","options":{"originType":"CUSTOMER","hostname":"` + origin + `"}}]}`
}

// The property www.hello.example has origin.hello.example behind it here.
func TestAkamaiIsLedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "domain: www.hello.example", "domain: origin.hello.example")
	w.configure(t, "        sizes:", "        recovery: {akamai: {hostname: www.hello.example, notify: [ops@hello.example], edge: www.hello.example.edgekey.net, origins: [old-balancer.example]}}\n        sizes:")
	w.baked(t, home)
	open := func(a *edgetest.Akamai) func() (*edge.Client, error) {
		return func() (*edge.Client, error) {
			return &edge.Client{Signer: a.Credentials(), HTTP: a.Client(), Clock: impatient{}}, nil
		}
	}

	// Everything that would stop it there is found before anything is made.
	for _, c := range []struct{ origin, want, remedy string }{
		{"elsewhere.example", "fetches from elsewhere.example, none of which is web-production's", "recovery.akamai.origins"},
		{"old-balancer.example", "is locked: activation atv_9", "Property Manager"},
	} {
		a := edgetest.New(t, rules(c.origin))
		a.Activations = append(a.Activations, &edgetest.Activation{ID: "atv_9", Version: 1, Network: edge.Staging, Status: "PENDING", Type: "ACTIVATE"})
		err := w.refused(t, recovery.Options{Chain: w.chain(t, home), Akamai: open(a)})
		require.ErrorContains(t, err, c.want)
		assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), c.remedy)
	}
	a := edgetest.New(t, rules("old-balancer.example"))
	a.Fault(edgetest.Fault{Match: "POST /search", Status: 401})
	err := w.refused(t, recovery.Options{Chain: w.chain(t, home), Akamai: open(a)})
	require.ErrorContains(t, err, "does not let us in")

	// Akamai answers for www; here its name simply leads to the same machines.
	c := w.chain(t, home)
	s := recovery.New(recovery.Options{Chain: c, Akamai: open(a)})
	err = s.Do(t.Context(), w.tell(t, func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "note that production is up" {
			in := change(t, c, types.ChangeActionUpsert, "www.hello.example.", record(t, c, "origin.hello.example.")[0])
			_, err := c.DNS.ChangeResourceRecordSets(t.Context(), in)
			assert.NoError(t, err)
			// The staging network is reached by its own name.
			z, err := c.DNS.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{Name: aws.String("edgekey-staging.net"), CallerReference: aws.String("akamai")})
			if assert.NoError(t, err) {
				in.HostedZoneId = z.HostedZone.Id
				in.ChangeBatch.Changes[0].ResourceRecordSet.Name = aws.String("www.hello.example.edgekey-staging.net.")
				_, err = c.DNS.ChangeResourceRecordSets(t.Context(), in)
				assert.NoError(t, err)
			}
		}
	}))
	require.NoError(t, err)
	assert.Equal(t, 4, a.Live(edge.Production))
	look, err := open(a)()
	require.NoError(t, err)
	p, err := look.Look(t.Context(), "www.hello.example")
	require.NoError(t, err)
	assert.Equal(t, "origin.hello.example", p.Origins[0].Hostname, "a name that Route 53 leads from now on")
	assert.Len(t, s.Report.Moments, 4, "T2, T3, T5 and T6")
	assert.NotContains(t, strings.Join(s.Report.Findings, "\n"), "staging")
}

// The property's origin is a name in Edge DNS: that alone is led, to the addresses.
func TestANameInEdgeDNSIsLedHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "        sizes:", "        recovery: {akamai: {hostname: www.hello.example, notify: [ops@hello.example], record: origin.hello.example, zone: hello.example}}\n        sizes:")
	w.baked(t, home)
	open := func(a *edgetest.Akamai) func() (*edge.Client, error) {
		return func() (*edge.Client, error) {
			return &edge.Client{Signer: a.Credentials(), HTTP: a.Client(), Clock: impatient{}}, nil
		}
	}
	a := edgetest.New(t, rules("origin.hello.example"))
	a.Records["origin.hello.example CNAME"] = edgetest.Record{Name: "origin.hello.example", Type: "CNAME", TTL: 60, Data: []string{"x."}}
	err := w.refused(t, recovery.Options{Chain: w.chain(t, home), Akamai: open(a)})
	require.ErrorContains(t, err, "it has a CNAME, not ours to lead")
	assert.Contains(t, report.AsFailure(err).Next, "change it in Edge DNS to an A record")

	a = edgetest.New(t, rules("origin.hello.example"))
	a.Records["origin.hello.example A"] = edgetest.Record{Name: "origin.hello.example", Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	c := w.chain(t, home)
	s := recovery.New(recovery.Options{Chain: c, Akamai: open(a)})
	require.NoError(t, s.Do(t.Context(), w.tell(t)))
	assert.Equal(t, record(t, c, "www.hello.example."), a.Records["origin.hello.example A"].Data)
	assert.Equal(t, 3, a.Live(edge.Production), "the property stays as it is")
	assert.NotContains(t, strings.Join(s.Report.Findings, "\n"), "Deploying", "what tells that we are at it is no finding")
}
