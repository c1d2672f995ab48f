// Package verify looks at an environment from outside, as its users do: what
// Route 53 answers, whether every Elastic IP serves the page of the expected
// image, and, while something changes, whether each of a steady stream of
// requests is answered.
//
// Nothing here retries: a retry hides what a user would have seen.
package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Dial connects to an address as a client on the internet would:
// config.Target's.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// maxPage is the most of an answer that is read.
const maxPage = 1 << 20

// client speaks HTTP/1.1 on connections it opens itself. http.Client would
// quietly ask again when a kept connection breaks.
type client struct {
	dial    Dial
	clock   clock.Clock
	timeout time.Duration
}

// conn is one kept connection.
type conn struct {
	net.Conn
	r    *bufio.Reader
	once bool // the server said that it closes after this answer
}

func (c *client) open(ctx context.Context, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	nc, err := c.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &conn{Conn: nc, r: bufio.NewReader(nc)}, nil
}

// closed tells whether the server ended the connection while nothing was asked.
func (c *conn) closed(now time.Time) bool {
	if c.r.Buffered() > 0 {
		return true // an answer to nothing: not to be trusted
	}
	_ = c.SetReadDeadline(now.Add(time.Millisecond))
	_, err := c.r.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// errUnanswered is a request of which no byte of an answer came.
var errUnanswered = errors.New("no answer")

// ended tells whether a server ended a kept connection just as the next request
// was on its way: nothing of an answer came, and not for want of time. Every
// HTTP client then asks again on another connection (RFC 9112, 9.3.1), so a user
// sees nothing of it.
func ended(err error) bool {
	return errors.Is(err, errUnanswered) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// get asks for a path. close says that the connection is not kept.
func (c *client) get(ctx context.Context, cn *conn, host, path string, last bool) (status int, body string, err error) {
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(c.clock.Now()) })
	defer stop()
	_ = cn.SetDeadline(c.clock.Now().Add(c.timeout))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	req.Close = last
	req.Header.Set("User-Agent", "chain-verify")
	if err := req.Write(cn); err != nil {
		return 0, "", fmt.Errorf("send: %w: %w", errUnanswered, err)
	}
	if _, err := cn.r.Peek(1); err != nil {
		return 0, "", fmt.Errorf("read the answer: %w: %w", errUnanswered, err)
	}
	resp, err := http.ReadResponse(cn.r, req)
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	_ = resp.Body.Close()
	if err != nil {
		return resp.StatusCode, "", fmt.Errorf("read the page: %w", err)
	}
	cn.once = resp.Close || last
	return resp.StatusCode, string(b), nil
}

// once asks on a connection of its own.
func (c *client) once(ctx context.Context, addr, host, path string) (int, string, error) {
	cn, err := c.open(ctx, addr)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = cn.Close() }()
	return c.get(ctx, cn, host, path, true)
}

func excerpt(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return s
}
