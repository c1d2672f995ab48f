package edge_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/edge"
	"github.com/build-deploy-chain/chain/pkg/edge/edgetest"
)

// clock waits for nothing, and remembers how long it would have.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	waited []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waited = append(c.waited, d)
	return ctx.Err()
}

func client(a *edgetest.Akamai) (*edge.Client, *clock) {
	c := &clock{now: time.Now()}
	return &edge.Client{
		Signer: a.Credentials(), HTTP: a.Server.Client(), Clock: c,
	}, c
}

const (
	old  = "www-eu.hello.example"
	next = "www-us.hello.example"
)

// tree has an origin of ours at the top, one further down, and two of others.
const tree = `{"name":"default","behaviors":[{"name":"origin","options":{"originType":"CUSTOMER","hostname":"` + old + `","httpPort":80}},{"name":"caching","options":{"ttl":"1d"}}],
"children":[{"name":"static","behaviors":[{"name":"origin","options":{"originType":"NET_STORAGE","hostname":"` + old + `"}}],
"children":[{"name":"deep","behaviors":[{"name":"origin","options":{"hostname":"` + old + `"}}]}]},{"name":"shop","behaviors":[{"name":"origin","options":{"originType":"CUSTOMER","hostname":"shop.other.example"}}]}]}`

func change() edge.Change {
	return edge.Change{Hostname: "www.hello.example", Ours: []string{old, next}, To: next, Notify: []string{"ops@hello.example"}, Note: "INC1"}
}

// hosts are the origins of the version that is live on production.
func hosts(t *testing.T, a *edgetest.Akamai) []string {
	t.Helper()
	c, _ := client(a)
	p, err := c.Look(t.Context(), "www.hello.example")
	require.NoError(t, err)
	var out []string
	for _, o := range p.Origins {
		out = append(out, o.Hostname)
	}
	return out
}

func TestTheOriginIsChangedOnStagingThenOnProduction(t *testing.T) {
	t.Parallel()
	a := edgetest.New(t, tree)
	c, clock := client(a)
	assert.Equal(t, []string{old, old, "shop.other.example"}, hosts(t, a))
	var checked []string
	ch := change()
	ch.Check = func(_ context.Context, network string) error { checked = append(checked, network); return nil }
	r, err := c.Lead(t.Context(), ch)
	require.NoError(t, err)
	assert.Equal(t, edge.Result{Property: "hello", Was: 3, Now: 4}, r)
	assert.Equal(t, []string{edge.Staging, edge.Production}, checked)
	assert.Equal(t, []string{next, next, "shop.other.example"}, hosts(t, a), "origins of others stay")
	assert.Contains(t, clock.waited, 30*time.Second, "Retry-After is heeded")

	before := len(a.Versions)
	r, err = c.Lead(t.Context(), ch)
	require.NoError(t, err)
	assert.Equal(t, r.Was, r.Now, "the second time there is nothing to do")
	assert.Len(t, a.Versions, before)
}

// Each fault happens once at each call; then the same command goes on, or went on by itself.
func TestFaultsOfTheAPI(t *testing.T) {
	t.Parallel()
	date := time.Now().UTC()
	faults := map[string]edgetest.Fault{
		"409":              {Status: http.StatusConflict},
		"429":              {Status: http.StatusTooManyRequests, Header: map[string]string{"X-RateLimit-Next": date.Add(45 * time.Second).Format(time.RFC3339), "Date": date.Format(http.TimeFormat)}},
		"500":              {Status: http.StatusInternalServerError},
		"503":              {Status: http.StatusServiceUnavailable},
		"502 after effect": {Status: http.StatusBadGateway, After: true, Body: "<html>bad gateway</html>"},
		"no JSON":          {Status: http.StatusOK, After: true, Body: "<html>"},
	}
	calls := []string{
		"POST /search", "GET /properties/prp_1/versions", "POST /properties/prp_1/versions", "PATCH /properties/prp_1/versions", "GET /properties/prp_1/activations",
		"POST /properties/prp_1/activations",
	}
	for name, f := range faults {
		for _, call := range calls {
			t.Run(name+" to "+call, func(t *testing.T) {
				t.Parallel()
				a := edgetest.New(t, tree)
				c, clock := client(a)
				once := f
				once.Match = call
				a.Fault(once)
				r, err := c.Lead(t.Context(), change())
				require.NoError(t, err)
				assert.Equal(t, 4, r.Now)
				assert.Len(t, a.Versions, 4, "no version is made twice")
				assert.Len(t, a.Activations, 3, "nothing is activated twice")
				assert.Equal(t, []string{next, next, "shop.other.example"}, hosts(t, a))
				if name == "429" {
					assert.True(t, slices.ContainsFunc(clock.waited, func(d time.Duration) bool { return d >= 44*time.Second && d <= 46*time.Second }), "%v", clock.waited)
				}
			})
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*edgetest.Akamai, *edge.Client, *edge.Change)
		want  string
	}{
		"another secret":     {func(_ *edgetest.Akamai, c *edge.Client, _ *edge.Change) { c.Signer.ClientSecret = "wrong" }, "The signature does not match"},
		"a host not ours":    {func(_ *edgetest.Akamai, _ *edge.Client, ch *edge.Change) { ch.Hostname = "www.other.example" }, "no property"},
		"somebody's pending": {func(a *edgetest.Akamai, _ *edge.Client, _ *edge.Change) { pending(a) }, "is locked: activation atv_2 of version 2 on staging is PENDING"},
		"pending unlisted": {func(a *edgetest.Akamai, _ *edge.Client, _ *edge.Change) {
			a.Fault(edgetest.Fault{Match: "POST /properties/prp_1/activations", Status: 422, Body: `{"type":"/property_activation_still_pending","status":422}`})
		}, "is locked"},
		"an activation fails": {func(a *edgetest.Akamai, _ *edge.Client, _ *edge.Change) {
			a.Fault(edgetest.Fault{Match: "GET /properties/prp_1/activations/", Status: 200, Body: `{"activations":{"items":[{"activationId":"atv_2","status":"FAILED"}]}}`})
		}, "it ended FAILED"},
		"rules with errors": {func(a *edgetest.Akamai, _ *edge.Client, _ *edge.Change) {
			a.Fault(edgetest.Fault{Match: "PATCH", Status: 200, Body: `{"etag":"x","errors":[{"title":"no","detail":"origin certificate"}]}`})
		}, "cannot be activated: no: origin certificate"},
		"throttled for ever": {func(a *edgetest.Akamai, _ *edge.Client, _ *edge.Change) {
			a.Fault(edgetest.Fault{Match: "GET", Status: 429, Times: 100})
		}, "8 times: akamai answered 429"},
		"no e-mail address": {func(_ *edgetest.Akamai, _ *edge.Client, ch *edge.Change) { ch.Notify = nil }, "notifyEmails are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := edgetest.New(t, tree)
			client, _ := client(a)
			ch := change()
			c.spoil(a, client, &ch)
			r, err := client.Lead(t.Context(), ch)
			require.ErrorContains(t, err, c.want)
			assert.Equal(t, r.Was, r.Now)
			assert.Equal(t, 3, a.Live("PRODUCTION"), "production is untouched")
		})
	}
}

func pending(a *edgetest.Akamai) {
	a.Activations = append(a.Activations, &edgetest.Activation{ID: "atv_2", Version: 2, Network: "STAGING", Status: "PENDING", Type: "ACTIVATE"})
}

// A name in Edge DNS is led whatever happens once on the way, and only once.
func TestANameInEdgeDNSIsLed(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]edgetest.Fault{
		"nothing": {Match: "never"}, "409": {Status: 409}, "429": {Status: 429}, "503": {Status: 503}, "502 after effect": {Status: 502, After: true, Body: "<html>"},
	} {
		for _, call := range []string{"GET /config-dns/v2/zones/hello.example/names", "PUT /config-dns/v2/", "POST /config-dns/v2/"} {
			a := edgetest.New(t, tree)
			a.Records["origin.hello.example A"] = edgetest.Record{Name: "origin.hello.example", Type: "A", TTL: 300, Data: []string{"192.0.2.1"}}
			if strings.HasPrefix(call, "POST") {
				a.Records = map[string]edgetest.Record{}
			}
			c, _ := client(a)
			if f.Status > 0 {
				f.Match = call
				a.Fault(f)
			}
			for range 2 {
				_, err := c.LeadRecord(t.Context(), "hello.example", "origin.hello.example", 60, []string{"198.51.100.2", "198.51.100.1"})
				require.NoError(t, err, "%s to %s", name, call)
			}
			is, err := c.Record(t.Context(), "hello.example", "origin.hello.example")
			require.NoError(t, err)
			assert.Equal(t, edge.Record{Zone: "hello.example", Name: "origin.hello.example", TTL: 60, Addresses: []string{"198.51.100.1", "198.51.100.2"}}, is)
		}
	}
	a := edgetest.New(t, tree)
	c, _ := client(a)
	a.Records["alias.hello.example CNAME"] = edgetest.Record{Name: "alias.hello.example", Type: "CNAME", TTL: 60, Data: []string{"x."}}
	_, err := c.LeadRecord(t.Context(), "hello.example", "alias.hello.example", 60, []string{"198.51.100.1"})
	require.ErrorIs(t, err, edge.ErrNotPlain)
	_, err = c.LeadRecord(t.Context(), "other.example", "www.other.example", 60, []string{"198.51.100.1"})
	require.ErrorContains(t, err, "404")
	_, err = c.LeadRecord(t.Context(), "hello.example", "www.hello.example", 60, nil)
	require.ErrorContains(t, err, "no addresses")
}

// Somebody else's change of the new version makes its etag another one.
func TestAnotherOnesChangeIsNeverActivated(t *testing.T) {
	t.Parallel()
	a := edgetest.New(t, tree)
	draft := edgetest.Clone(a.Versions[2].Rules)
	draft["comments"] = "half of a redesign"
	a.Versions = append(a.Versions, &edgetest.Version{Etag: "e4", Rules: draft})
	c, _ := client(a)
	a.Fault(edgetest.Fault{Match: "PATCH", Status: http.StatusPreconditionFailed})
	r, err := c.Lead(t.Context(), change())
	require.NoError(t, err)
	assert.Equal(t, 5, r.Now)
	assert.Nil(t, a.Versions[4].Rules["comments"])
}

func TestWhatIsNotRightGoesBack(t *testing.T) {
	t.Parallel()
	for _, network := range []string{edge.Staging, edge.Production} {
		a := edgetest.New(t, tree)
		c, _ := client(a)
		ch := change()
		ch.Check = func(_ context.Context, on string) error {
			if on == network {
				return errors.New("the page is 503")
			}
			return nil
		}
		r, err := c.Lead(t.Context(), ch)
		require.ErrorContains(t, err, "the page is 503")
		assert.Equal(t, 3, r.Now)
		assert.Equal(t, 3, a.Live("PRODUCTION"))
		last := a.Activations[len(a.Activations)-1]
		assert.Equal(t, network == edge.Production, last.Quick, "the way back is the fast one")
	}
}

// Stopped anywhere, the same call goes on and makes nothing twice.
func TestStoppedAnywhereItGoesOn(t *testing.T) {
	t.Parallel()
	whole := edgetest.New(t, tree)
	c, _ := client(whole)
	_, err := c.Lead(t.Context(), change())
	require.NoError(t, err)
	for n := range len(whole.Calls) {
		a := edgetest.New(t, tree)
		c, _ := client(a)
		ctx, cancel := context.WithCancel(t.Context())
		c.HTTP = &http.Client{Transport: &cutter{c.HTTP.Transport, n, cancel}}
		_, err := c.Lead(ctx, change())
		cancel()
		require.Error(t, err, n)
		c, _ = client(a)
		_, err = c.Lead(t.Context(), change())
		require.NoError(t, err, n)
		assert.Len(t, a.Versions, 4, n)
		assert.Len(t, a.Activations, 3, n)
	}
}

// cutter ends everything after so many calls, the last of which had its effect.
type cutter struct {
	http.RoundTripper
	left   int
	cancel func()
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if c.left--; c.left < 0 {
		if resp != nil {
			resp.Body.Close()
		}
		c.cancel()
		return nil, context.Canceled
	}
	return resp, err
}
