package config_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/things-go/go-socks5"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
)

// identity answers GetCallerIdentity; first how often with throttling.
func identity(t *testing.T, account string, throttled int32) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		if calls.Add(1) <= throttled {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
			return
		}
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
			`<Arn>arn:aws:iam::`+account+`:user/ann</Arn><UserId>AID</UserId><Account>`+account+`</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}))
	t.Cleanup(s.Close)
	return s, &calls
}

func target(endpoint, account string) *config.Target {
	return &config.Target{
		Name: "lab", Account: account, Region: "eu-west-1", Endpoint: endpoint, Factor: 1000,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), Poll: config.Poll{Min: time.Millisecond, Max: 5 * time.Millisecond},
	}
}

func TestGuardKnowsTheAccount(t *testing.T) {
	s, _ := identity(t, "111111111111", 0)
	require.NoError(t, target(s.URL, "111111111111").Guard(t.Context()))

	err := target(s.URL, "222222222222").Guard(t.Context())
	var mismatch *config.MismatchError
	require.ErrorAs(t, err, &mismatch)
	assert.Equal(t, "account is 111111111111 (arn:aws:iam::111111111111:user/ann), not 222222222222 as chain.yaml says", err.Error())
}

func TestThrottlingIsOutlasted(t *testing.T) {
	s, calls := identity(t, "111111111111", 8)
	require.NoError(t, target(s.URL, "111111111111").Guard(t.Context()))
	assert.EqualValues(t, 9, calls.Load())
}

func TestNoVariableLeadsTheLabsCallsElsewhere(t *testing.T) {
	s, _ := identity(t, "111111111111", 0)
	other, calls := identity(t, "999999999999", 0)
	t.Setenv("AWS_ENDPOINT_URL", other.URL)
	t.Setenv("AWS_ENDPOINT_URL_STS", other.URL)
	require.NoError(t, target(s.URL, "111111111111").Guard(t.Context()))
	assert.Zero(t, calls.Load())
}

func TestACallToAnotherHostIsNotSent(t *testing.T) {
	other, calls := identity(t, "999999999999", 0)
	for name, tt := range map[string]*config.Target{
		"lab": target("http://127.0.0.1:1", "111111111111"),
		"aws": {Name: "aws", Account: "111111111111", Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")},
	} {
		cfg, err := tt.AWS(t.Context())
		require.NoError(t, err)
		_, err = sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = aws.String(other.URL) }).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		require.ErrorIs(t, err, config.ErrElsewhere, name)
	}
	// A variable does no better with target aws.
	t.Setenv("AWS_ENDPOINT_URL", other.URL)
	a := &config.Target{Name: "aws", Account: "111111111111", Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	require.ErrorIs(t, a.Guard(t.Context()), config.ErrElsewhere)
	assert.Zero(t, calls.Load())
}

func TestDialGoesThroughTheProxyWithTheName(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(page.Close)
	names := make(chan string, 1)
	proxy := socks5.NewServer(socks5.WithResolver(resolver(func(name string) { names <- name })))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = proxy.Serve(l) }()
	t.Cleanup(func() { _ = l.Close() })

	tt := &config.Target{SOCKS: l.Addr().String()}
	client := http.Client{Transport: &http.Transport{DialContext: tt.Dial}}
	_, port, _ := net.SplitHostPort(page.Listener.Addr().String())
	resp, err := client.Get("http://www.hello.example:" + port + "/")
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "www.hello.example", <-names, "the name is resolved behind the proxy")

	conn, err := (&config.Target{}).Dial(t.Context(), "tcp", page.Listener.Addr().String())
	require.NoError(t, err)
	_ = conn.Close()
}

type resolver func(name string)

func (r resolver) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	r(name)
	return ctx, net.IPv4(127, 0, 0, 1), nil
}

// sleeps is a clock that does not wait and remembers how long it should have.
type sleeps struct {
	clock.Clock
	waits []time.Duration
}

func (s *sleeps) Sleep(ctx context.Context, d time.Duration) error {
	s.waits = append(s.waits, d)
	return ctx.Err()
}

func TestPollLooksAtOnceGrowsAndStartsAgainOnNews(t *testing.T) {
	c := &sleeps{}
	p := config.Poll{Min: 100 * time.Millisecond, Max: time.Second}
	looks := 0
	err := p.Watch(t.Context(), c, func(context.Context) (config.Seen, error) {
		looks++
		if looks == 1 {
			assert.Empty(t, c.waits, "it waited before the first look")
		}
		switch looks {
		case 20:
			return config.Moved, nil
		case 22:
			return config.Done, nil
		}
		return config.Same, nil
	})
	require.NoError(t, err)
	require.Len(t, c.waits, 21)
	between := func(i int, low, high time.Duration) {
		assert.GreaterOrEqual(t, c.waits[i], low, "wait %d", i)
		assert.LessOrEqual(t, c.waits[i], high, "wait %d", i)
	}
	between(0, 80*time.Millisecond, 120*time.Millisecond)
	between(18, 800*time.Millisecond, 1200*time.Millisecond)
	between(19, 80*time.Millisecond, 120*time.Millisecond)
}

func TestPollEndsWithAnErrorOrTheContextsCause(t *testing.T) {
	broken := errors.New("broken")
	p := config.Poll{Min: time.Millisecond, Max: time.Millisecond}
	require.ErrorIs(t, p.Until(t.Context(), clock.System{}, func(context.Context) (bool, error) { return false, broken }), broken)

	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("boot deadline passed")
	err := p.Until(ctx, clock.System{}, func(context.Context) (bool, error) { cancel(late); return false, nil })
	require.ErrorIs(t, err, late)
}

// late looks at a request's body after it was closed, as net/http's write loop
// does when the answer is there first.
type late struct {
	*http.Client
	err error
}

func (l *late) Do(r *http.Request) (*http.Response, error) {
	body := r.Body
	resp, err := l.Client.Do(r)
	_ = body.Close()
	_, l.err = io.Copy(io.Discard, body)
	return resp, err
}

func TestAClosedBodyIsAnEndAndNoError(t *testing.T) {
	s, _ := identity(t, "111111111111", 0)
	for name, target := range map[string]*config.Target{
		"endpoint": {Name: "lab", Region: "eu-west-1", Endpoint: s.URL, Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")},
		"aws":      {Name: "aws", Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := target.AWS(t.Context())
			require.NoError(t, err)
			client := &late{Client: http.DefaultClient}
			cfg.HTTPClient = client
			if name == "aws" {
				client.Client = &http.Client{Transport: elsewhere{s.URL}}
			}
			_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			require.NoError(t, err)
			assert.NoError(t, client.err)
		})
	}
}

// elsewhere sends what is meant for AWS to a server of the test.
type elsewhere struct{ url string }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := http.NewRequestWithContext(r.Context(), r.Method, e.url, r.Body)
	if err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(to)
}
