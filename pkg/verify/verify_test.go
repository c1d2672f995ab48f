package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/verify"
)

// site is a page behind two addresses and a name, each of which can be changed
// while it is asked.
type site struct {
	mu      sync.Mutex
	pages   map[string]http.HandlerFunc // by address
	servers map[string]*httptest.Server
	dials   atomic.Int32
}

func good(key string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "www.hello.example" {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		if r.URL.Path == "/version" {
			_, _ = io.WriteString(w, key+"\n")
			return
		}
		_, _ = io.WriteString(w, "<h1>Hello World</h1>")
	}
}

func newSite(t *testing.T, key string) *site {
	t.Helper()
	s := &site{pages: map[string]http.HandlerFunc{}, servers: map[string]*httptest.Server{}}
	for _, a := range []string{"198.51.100.1", "198.51.100.2", "www.hello.example"} {
		s.pages[a] = good(key)
		s.servers[a] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			h := s.pages[a]
			s.mu.Unlock()
			h(w, r)
		}))
		t.Cleanup(s.servers[a].Close)
	}
	return s
}

func (s *site) set(h http.HandlerFunc, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range addresses {
		s.pages[a] = h
	}
}

func (s *site) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.dials.Add(1)
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "80" || s.servers[host] == nil {
		return nil, fmt.Errorf("no route to %s", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, s.servers[host].Listener.Addr().String())
}

var both = []string{"198.51.100.1", "198.51.100.2"}

func expect(keys ...string) verify.Expect {
	return verify.Expect{Domain: "www.hello.example", Addresses: both, Keys: keys}
}

func TestAGoodEnvironmentHolds(t *testing.T) {
	s := newSite(t, "key-1")
	f, err := verify.Checker{Dial: s.Dial}.Check(t.Context(), expect("key-1"))
	require.NoError(t, err)
	assert.Equal(t, "5 checks hold", f.Line())
}

func TestEveryAddressIsAsked(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	var n atomic.Int32
	for name, c := range map[string]struct {
		page http.HandlerFunc
		want []string
	}{
		"500":          {answer(500, "out of\norder"), []string{"page at 198.51.100.2: answered 500: out of order", "version at 198.51.100.2: answered 500: out of order"}},
		"other page":   {answer(200, "It works!"), []string{`page at 198.51.100.2: does not hold "Hello World": It works!`, "version at 198.51.100.2: is It works!, not key-1"}},
		"old version":  {good("key-0"), []string{"version at 198.51.100.2: is key-0, not key-1"}},
		"no answer":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, []string{"page at 198.51.100.2: read the answer: ", "version at 198.51.100.2: read the answer: "}},
		"one of three": {func(w http.ResponseWriter, r *http.Request) { good(fmt.Sprintf("key-%d", min(1, n.Add(1)%3)))(w, r) }, []string{"version at 198.51.100.2: is key-0, not key-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "key-1")
			s.set(c.page, "198.51.100.2")
			f, err := verify.Checker{Dial: s.Dial}.Check(t.Context(), expect("key-1"))
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(c.want), err.Error())
			for i := range lines {
				assert.Contains(t, lines[i], c.want[i])
			}
			assert.Equal(t, fmt.Sprintf("%d of 5 checks fail", len(c.want)), f.Line())
		})
	}
}

func TestDuringARollTwoKeysAreGoodAndNoThird(t *testing.T) {
	s := newSite(t, "key-1")
	s.set(good("key-2"), "198.51.100.2")
	c := verify.Checker{Dial: s.Dial}
	_, err := c.Check(t.Context(), expect("key-1", "key-2"))
	require.NoError(t, err)
	s.set(good("key-3"), "198.51.100.2")
	_, err = c.Check(t.Context(), expect("key-1", "key-2"))
	require.EqualError(t, err, "version at 198.51.100.2: is key-3, not key-1 or key-2")
}

func TestCheckWithoutAnExpectationIsNone(t *testing.T) {
	_, err := verify.Checker{}.Check(t.Context(), verify.Expect{Keys: []string{"k"}})
	require.EqualError(t, err, "no addresses to check")
	_, err = verify.Checker{}.Check(t.Context(), verify.Expect{Addresses: both})
	require.EqualError(t, err, "no image key to expect")
}

func TestATargetThatHangsIsGivenUp(t *testing.T) {
	s := newSite(t, "key-1")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s.set(func(http.ResponseWriter, *http.Request) { <-hang }, "198.51.100.1")
	_, err := verify.Checker{Dial: s.Dial, Timeout: 50 * time.Millisecond}.Check(t.Context(), expect("key-1"))
	require.ErrorContains(t, err, "i/o timeout")

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("told to stop")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	_, err = verify.Checker{Dial: s.Dial}.Check(ctx, expect("key-1"))
	require.ErrorIs(t, err, why)
}

// dns is Route 53's API with one zone and one record.
func dns(t *testing.T, zone, name string, addresses ...string) *route53.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/hostedzonesbyname") {
			_, _ = fmt.Fprintf(w, `<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>%s.</Name><CallerReference>x</CallerReference></HostedZone></HostedZones><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListHostedZonesByNameResponse>`, zone)
			return
		}
		var records strings.Builder
		for _, a := range addresses {
			records.WriteString("<ResourceRecord><Value>" + a + "</Value></ResourceRecord>")
		}
		_, _ = fmt.Fprintf(w, `<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>%s.</Name><Type>A</Type><TTL>60</TTL><ResourceRecords>%s</ResourceRecords></ResourceRecordSet></ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>`, name, records.String())
	}))
	t.Cleanup(s.Close)
	return route53.New(route53.Options{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

func TestRoute53ItselfIsAsked(t *testing.T) {
	s := newSite(t, "key-1")
	e := expect("key-1")
	e.Zone = "hello.example"
	for _, c := range []struct {
		client *route53.Client
		want   string
	}{
		{dns(t, "hello.example", "www.hello.example", "198.51.100.2", "198.51.100.1"), ""},
		{dns(t, "hello.example", "www.hello.example", "198.51.100.1"), "Route 53 answers www.hello.example: is 198.51.100.1, not 198.51.100.1, 198.51.100.2"},
		{dns(t, "hello.example", "zzz.hello.example", "198.51.100.1"), "Route 53 answers www.hello.example: there is no A record"},
		{dns(t, "other.example", "www.hello.example"), "Route 53 answers www.hello.example: there is no hosted zone hello.example"},
	} {
		_, err := verify.Checker{Dial: s.Dial, DNS: c.client}.Check(t.Context(), e)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.want)
	}
}
