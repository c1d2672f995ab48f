package verify_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/verify"
)

func prober(s *site) verify.Prober {
	return verify.Prober{Dial: s.Dial, Domain: "www.hello.example", Addresses: both, Rate: 200, Kept: -1}
}

var everywhere = append([]string{"www.hello.example"}, both...)

func TestAQuietRollIsMeasuredByPhase(t *testing.T) {
	s := newSite(t, "old")
	p := prober(s)
	p.Kept = 2
	probe := p.Start(t.Context(), "before", "old")
	time.Sleep(150 * time.Millisecond)
	probe.Phase("roll", "old", "new")
	s.set(good("new"), everywhere[0], everywhere[1])
	time.Sleep(200 * time.Millisecond)
	s.set(good("new"), everywhere...)
	time.Sleep(100 * time.Millisecond)
	probe.Phase("after", "new")
	time.Sleep(150 * time.Millisecond)
	r := probe.Stop()

	require.NoError(t, r.Err())
	require.Len(t, r.Phases, 3)
	assert.Equal(t, "before", r.Phases[0].Name)
	assert.Len(t, r.Phases[0].Versions, 1)
	assert.Len(t, r.Phases[1].Versions, 2, "both versions were seen during the roll")
	assert.Len(t, r.Phases[2].Versions, 1)
	assert.NotZero(t, r.Phases[2].Versions["new"])
	sum := 0
	for _, p := range r.Phases {
		assert.NotZero(t, p.Requests)
		sum += p.Requests
	}
	assert.Equal(t, sum, r.Requests)
	assert.InDelta(t, 1, r.Availability(), 0)
	assert.LessOrEqual(t, r.P50, r.P95)
	assert.LessOrEqual(t, r.P95, r.P99)
	assert.LessOrEqual(t, r.P99, r.Max)
	assert.Equal(t, r, probe.Stop(), "a second Stop tells the same")
}

func TestAFailureIsCountedWithItsTextAndNotRetried(t *testing.T) {
	s := newSite(t, "old")
	var asked, broken atomic.Int32
	s.set(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.CompareAndSwap(1, 2) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		good("old")(w, r)
	}, everywhere...)
	probe := prober(s).Start(t.Context(), "roll", "old")
	time.Sleep(50 * time.Millisecond)
	broken.Store(1)
	time.Sleep(100 * time.Millisecond)
	n, text := probe.Failed()
	assert.Equal(t, 1, n)
	assert.Contains(t, text, "answered 503")
	r := probe.Stop()
	assert.Equal(t, 1, r.Failed)
	assert.EqualValues(t, asked.Load(), r.Requests, "each request was made once")
	require.ErrorContains(t, r.Err(), "requests failed; the first, in phase roll at ")
	assert.Less(t, r.Availability(), 1.0)
	assert.Equal(t, "roll", r.Failures[0].Phase)
}

func TestAnOutageIsAGap(t *testing.T) {
	s := newSite(t, "old")
	probe := prober(s).Start(t.Context(), "roll")
	time.Sleep(50 * time.Millisecond)
	s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, everywhere...)
	time.Sleep(300 * time.Millisecond)
	s.set(good("old"), everywhere...)
	time.Sleep(100 * time.Millisecond)
	r := probe.Stop()
	assert.GreaterOrEqual(t, r.Gap, 280*time.Millisecond)
	assert.NotZero(t, r.Failed)
}

func TestAnOutageThatNeverEndsIsAGapToo(t *testing.T) {
	s := newSite(t, "old")
	p := prober(s)
	p.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	probe := p.Start(t.Context(), "roll")
	time.Sleep(150 * time.Millisecond)
	r := probe.Stop()
	assert.GreaterOrEqual(t, r.Gap, 140*time.Millisecond)
	assert.Equal(t, r.Requests, r.Failed)
	assert.Zero(t, r.Availability())
}

func TestAVersionThatIsNeitherOldNorNewFails(t *testing.T) {
	s := newSite(t, "third")
	probe := prober(s).Start(t.Context(), "roll", "old", "new")
	time.Sleep(100 * time.Millisecond)
	r := probe.Stop()
	require.ErrorContains(t, r.Err(), "version is third, not old or new")
}

func TestASlowAnswerDoesNotSlowTheStream(t *testing.T) {
	s := newSite(t, "old")
	s.set(func(w http.ResponseWriter, r *http.Request) { time.Sleep(200 * time.Millisecond); good("old")(w, r) }, everywhere...)
	p := prober(s)
	p.Rate = 100
	probe := p.Start(t.Context(), "roll", "old")
	time.Sleep(400 * time.Millisecond)
	r := probe.Stop()
	require.NoError(t, r.Err(), "what was under way is waited for")
	assert.Greater(t, r.Requests, 25, "one at a time would have made 3")
}

func TestKeptConnectionsAreKeptAndTheirEndAtRestIsNoFailure(t *testing.T) {
	s := newSite(t, "old")
	p := prober(s)
	p.Rate, p.Kept, p.Addresses = 1, 1, nil
	probe := p.Start(t.Context(), "roll", "old")
	time.Sleep(200 * time.Millisecond) // one answer, then the connection rests
	dialed := s.dials.Load()
	s.servers["www.hello.example"].CloseClientConnections()
	time.Sleep(700 * time.Millisecond)
	r := probe.Stop()
	require.NoError(t, r.Err())
	assert.Equal(t, 1, r.Closed)
	assert.GreaterOrEqual(t, s.dials.Load(), dialed+1)

	s = newSite(t, "old")
	p = prober(s)
	p.Rate, p.Kept, p.Addresses = 1, 1, nil
	probe = p.Start(t.Context(), "roll", "old")
	time.Sleep(1800 * time.Millisecond)
	r = probe.Stop()
	require.NoError(t, r.Err())
	assert.Zero(t, r.Closed)
	assert.Less(t, int(s.dials.Load()), r.Requests-1, "a kept connection was asked more than once")
}

func TestAKeptConnectionThatBreaksUnderARequestIsAFailure(t *testing.T) {
	s := newSite(t, "old")
	p := prober(s)
	p.Rate, p.Kept, p.Addresses = 1, 1, nil
	probe := p.Start(t.Context(), "roll", "old")
	time.Sleep(100 * time.Millisecond)
	s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "www.hello.example")
	time.Sleep(600 * time.Millisecond)
	r := probe.Stop()
	require.Error(t, r.Err())
	assert.Contains(t, r.Failures[0].Where, "(kept)")
}

func TestNoRequestIsNoSuccess(t *testing.T) {
	require.EqualError(t, verify.Result{}.Err(), "no request was made")
}
