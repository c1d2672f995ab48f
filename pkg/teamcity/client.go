package teamcity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Options of a Client.
type Options struct {
	URL   string // of the server, "https://ci.example.com"; in the clear on this machine only
	Token string // of whoever calls
	Clock clock.Clock
	Poll  time.Duration // between two looks; 0: 5 s
	HTTP  *http.Client  // nil: one of our own, which follows no redirect
}

// Client calls a server's REST API.
type Client struct {
	o    Options
	user string // for basic authentication with the token as the password, instead of a bearer
	base bool
}

// New checks the address: a token never leaves this machine in the clear.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return nil, usage("which server? its address is not set", "export CHAIN_TEAMCITY_URL=https://...")
	case err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil:
		return nil, usage(fmt.Sprintf("%q is no address of a server", o.URL), "export CHAIN_TEAMCITY_URL=https://...")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, usage(o.URL+" would send the token in the clear", "export CHAIN_TEAMCITY_URL=https://...")
	}
	o.URL = strings.TrimSuffix(o.URL, "/")
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Client{o: o}, nil
}

func usage(what string, next ...string) error {
	return &report.Failure{Code: report.Usage, ID: "E-TC-01", What: what, State: "nothing was changed", Next: next}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// as is the client with another way to say who calls.
func (c *Client) as(user, secret string, basic bool) *Client {
	o := c.o
	o.Token = secret
	return &Client{o, user, basic}
}

// APIError is an answer of the server that is none of the good ones.
type APIError struct {
	Method, Path string
	Status       int
	Text         string // what the server says
}

// Error is the call, the status and what the server says.
func (e *APIError) Error() string {
	s := fmt.Sprintf("%s %s answered %d", e.Method, e.Path, e.Status)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

func absent(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// tries of a call that only reads.
const tries = 3

// get reads; a call that fails on the way is made again.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	for n := 1; ; n++ {
		err := c.do(ctx, http.MethodGet, path, query, nil, out)
		var e *APIError
		if err == nil || ctx.Err() != nil || n == tries || errors.As(err, &e) && e.Status < 500 && e.Status != http.StatusTooManyRequests {
			return err
		}
		if err := c.o.Clock.Sleep(ctx, c.o.Poll); err != nil {
			return err
		}
	}
}

// do makes one call. A string as in or out is text/plain, anything else JSON;
// nil is none.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	kind := ""
	switch v := in.(type) {
	case nil:
	case string:
		body, kind = strings.NewReader(v), "text/plain"
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write the call %s: %w", path, err)
		}
		body, kind = bytes.NewReader(b), "application/json"
	}
	address := c.o.URL + "/app/rest" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fmt.Errorf("write the call %s: %w", path, err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept", "application/json")
	if _, ok := out.(*string); ok {
		r.Header.Set("Accept", "text/plain")
	}
	if c.base {
		r.SetBasicAuth(c.user, c.o.Token)
	} else {
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	answer, err := c.o.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("call TeamCity: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 8<<20))
	if err != nil {
		return fmt.Errorf("read what %s %s answered: %w", method, path, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return &APIError{method, path, answer.StatusCode, said(text)}
	}
	switch v := out.(type) {
	case nil:
	case *string:
		*v = strings.TrimSpace(string(text))
	default:
		if err := json.Unmarshal(text, v); err != nil {
			return fmt.Errorf("read what %s %s answered: %w", method, path, err)
		}
	}
	return nil
}

// said is the messages of an error, or the beginning of what is none of TeamCity's.
func said(text []byte) string {
	var e struct {
		Errors []struct {
			Message    string `json:"message"`
			Additional string `json:"additionalMessage"`
		} `json:"errors"`
	}
	if json.Unmarshal(text, &e) != nil || len(e.Errors) == 0 {
		return cut(strings.Join(strings.Fields(string(text)), " "), 200)
	}
	var out []string
	for _, one := range e.Errors {
		out = append(out, strings.TrimSpace(one.Message+" "+one.Additional))
	}
	return strings.Join(out, "; ")
}

// refused words an error of the API as a person needs it.
func refused(err error, what, state string) error {
	var f *report.Failure
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	out := &report.Failure{Code: report.Internal, ID: "E-TC-02", What: what, State: state, Next: []string{"the same command again  # what is done is not done again"}, Err: err}
	var e *APIError
	if errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) {
		out.Code, out.ID = report.Guard, "E-TC-03"
		out.Next = []string{"check the token, and what its user may do  # docs/teamcity.md"}
	}
	return out
}

// Version of a server, "2026.1.4".
func (c *Client) Version(ctx context.Context) (string, error) {
	var s struct{ Version string }
	if err := c.get(ctx, "/server", url.Values{"fields": {"version"}}, &s); err != nil {
		return "", err
	}
	v, _, _ := strings.Cut(s.Version, " ")
	return v, nil
}

var release = regexp.MustCompile(`^(\d{4})\.(\d{1,2})(?:\.(\d+))?$`)

// Fixed says whether a version has the repairs of CVE-2026-63077 (anybody who
// reaches the server runs programs on it), -106218, -111094 and -100255: 2026.2,
// 2026.1.4, 2025.11.8 and what is newer in their lines.
func Fixed(version string) error {
	m := release.FindStringSubmatch(version)
	if m == nil {
		return fmt.Errorf("%q is no version of TeamCity", version)
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits, or none for 0
	}
	switch {
	case n[0] > 2026 || n[0] == 2026 && n[1] >= 2:
		return nil
	case n[0] == 2026 && n[1] == 1 && n[2] >= 4, n[0] == 2025 && n[1] == 11 && n[2] >= 8:
		return nil
	}
	return fmt.Errorf("TeamCity %s lets strangers in (CVE-2026-63077 and others): 2026.2, 2026.1.4 or 2025.11.8 is needed", version)
}

// Guard refuses a server that is not to be used.
func (c *Client) Guard(ctx context.Context) (string, error) {
	v, err := c.Version(ctx)
	if err != nil {
		return "", refused(err, "the server does not tell its version", "nothing was changed")
	}
	if err := Fixed(v); err != nil {
		return v, &report.Failure{Code: report.Policy, ID: "E-TC-04", What: err.Error(), State: "nothing was changed", Next: []string{"upgrade the server, by its version in hiera  # puppet/data/roles/teamcity_server.yaml"}}
	}
	return v, nil
}
