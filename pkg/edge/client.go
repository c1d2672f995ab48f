// Package edge changes where Akamai fetches a site's pages from.
//
// The better way needs no change of the property: its origin is a name of ours,
// which Route 53 leads elsewhere, or Edge DNS (LeadRecord). Look says whether that is so. Where it is not,
// Lead makes a new version of the property with another origin, activates it on
// staging, then on production, and goes back to the old one if the page is not
// there. Whatever is done already is found and not done twice.
//
// Requests are signed by Akamai's own library; the API (PAPI v1) is called
// here, since what it answers decides what may be done again.
package edge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/akamai/AkamaiOPEN-edgegrid-golang/v13/pkg/edgegrid"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Client calls the API of one account. It is safe for use by several goroutines.
type Client struct {
	Signer edgegrid.Config
	HTTP   *http.Client // nil: the default one
	Clock  clock.Clock  // nil: the system's
}

// Open reads the credentials: AKAMAI_ variables, else a section of ~/.edgerc.
// It calls nothing.
func Open(section string) (*Client, error) {
	s, err := edgegrid.New(edgegrid.WithEnv(true), edgegrid.WithFile(edgegrid.DefaultConfigFile), edgegrid.WithSection(cmp.Or(section, edgegrid.DefaultSection)))
	if err != nil {
		return nil, fmt.Errorf("credentials of Akamai (AKAMAI_HOST, AKAMAI_CLIENT_TOKEN, AKAMAI_CLIENT_SECRET, AKAMAI_ACCESS_TOKEN, or %s): %w", edgegrid.DefaultConfigFile, err)
	}
	return &Client{Signer: *s}, nil
}

// Error is a refusal of the API (RFC 7807).
type Error struct {
	Status   int    `json:"-"`
	Type     string `json:"type"`
	Title    string `json:"title"`
	Detail   string `json:"detail"`
	Message  string `json:"messageId"`
	Instance string `json:"instance"`
}

// Error is status, title and detail.
func (e *Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("akamai answered %d %s %s %s", e.Status, cmp.Or(e.Message, e.Type[strings.LastIndex(e.Type, "/")+1:]), e.Title, e.Detail))
}

// ErrUnknown is wrapped when nobody knows whether a change took place.
var ErrUnknown = errors.New("it is not known whether it took place")

const (
	attempts = 8
	slowest  = 2 * time.Minute // of one wait
)

func (c *Client) clock() clock.Clock {
	if c.Clock == nil {
		return clock.System{}
	}
	return c.Clock
}

// request is one call. what is sent is JSON unless typ says otherwise.
type request struct {
	method, path string
	api          string // where the API is, PAPI unless it says so
	query        url.Values
	match        string // etag that it must still have
	typ          string
	in           any
}

// do calls until there is an answer that stands. What reads is repeated after
// any failure; what changes only where it surely had no effect (429, 409).
func (c *Client) do(ctx context.Context, r request, out any) (http.Header, error) {
	var last error
	for n := range attempts {
		header, wait, err := c.once(ctx, r, out)
		if err == nil || wait < 0 {
			return header, err
		}
		last = err
		if wait == 0 {
			wait = time.Second << n
		}
		if err := c.clock().Sleep(ctx, min(wait, slowest)); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("%s %s, %d times: %w", r.method, r.path, attempts, last)
}

// once is one try. wait is how long to wait before the next: 0 as long as one
// likes, below 0 there is none.
func (c *Client) once(ctx context.Context, r request, out any) (http.Header, time.Duration, error) {
	var body []byte
	if r.in != nil {
		var err error
		if body, err = json.Marshal(r.in); err != nil {
			return nil, -1, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
	u := url.URL{Scheme: "https", Host: c.Signer.Host, Path: cmp.Or(r.api, "/papi/v1") + r.path, RawQuery: r.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, -1, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	req.Header.Set("Accept", "application/json")
	if r.in != nil {
		req.Header.Set("Content-Type", cmp.Or(r.typ, "application/json"))
	}
	if r.match != "" {
		req.Header.Set("If-Match", strconv.Quote(r.match))
	}
	c.Signer.SignRequest(req) // a nonce and a time of its own for each try
	reads := r.method == http.MethodGet || strings.HasPrefix(r.path, "/search/")
	client := cmp.Or(c.HTTP, http.DefaultClient)
	resp, err := client.Do(req)
	if err != nil {
		return nil, again(ctx, reads), unsure(reads, fmt.Errorf("%s %s: %w", r.method, r.path, err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return nil, again(ctx, reads), unsure(reads, fmt.Errorf("%s %s: %w", r.method, r.path, err))
	}
	if resp.StatusCode < 300 {
		if out == nil {
			return resp.Header, 0, nil
		}
		if err := json.Unmarshal(answer, out); err != nil {
			return nil, again(ctx, reads), unsure(reads, fmt.Errorf("%s %s answered no JSON: %w", r.method, r.path, err))
		}
		return resp.Header, 0, nil
	}
	e := &Error{}
	_ = json.Unmarshal(answer, e) // a proxy's page has none of it
	e.Status = resp.StatusCode
	switch {
	case e.Status == http.StatusTooManyRequests:
		return nil, until(resp.Header, c.clock().Now()), e
	case e.Status == http.StatusConflict:
		return nil, 0, e
	case e.Status >= 500:
		return nil, again(ctx, reads), unsure(reads, e)
	}
	return nil, -1, e
}

func again(ctx context.Context, reads bool) time.Duration {
	if reads && ctx.Err() == nil {
		return 0
	}
	return -1
}

func unsure(reads bool, err error) error {
	if reads {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// until is how long a rate limit lasts, by the server's own clock.
func until(h http.Header, now time.Time) time.Duration {
	next, err := time.Parse(time.RFC3339, cmp.Or(h.Get("X-RateLimit-Next"), h.Get("Akamai-RateLimit-Next")))
	if err != nil {
		if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 {
			return time.Duration(s) * time.Second
		}
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(next.Sub(now), time.Second)
}
