package network

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// What SOCKS5 (RFC 1928, 1929) calls things.
const (
	socks5       = 0x05
	noAuth       = 0x00
	userPassword = 0x02
	noMethod     = 0xff
	cmdConnect   = 0x01
	typeIPv4     = 0x01
	typeName     = 0x03
	typeIPv6     = 0x04
	succeeded    = 0x00
	failure      = 0x01
	notAllowed   = 0x02
	unreachable  = 0x04
	refused      = 0x05
	badCommand   = 0x07
	badAddress   = 0x08
)

const greeting = 10 * time.Second // a client has that long to say what it wants

// Serve takes SOCKS5 clients from l until ctx ends, and then closes l and every
// connection and waits for them. Only CONNECT is served: BIND and UDP are
// refused as commands the proxy does not have. A client that logs in with an IP
// address as its user name comes from that address, others from Client.
func (n *Network) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Too many open files, most likely: give the others time to end.
			if waitFor(ctx, 50*time.Millisecond) != nil {
				return nil
			}
			continue
		}
		wg.Go(func() {
			done := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer done()
			defer func() { _ = c.Close() }()
			if err := n.serve(ctx, c); err != nil {
				n.core.View(anyRegion, func(tx *core.Tx) { tx.Log().Debug("socks", "error", err) })
			}
		})
	}
}

func waitFor(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return ctx.Err()
}

// serve is one client's conversation.
func (n *Network) serve(ctx context.Context, c net.Conn) error {
	limit, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	stop := context.AfterFunc(limit, func() { _ = c.Close() })
	r := bufio.NewReader(c)
	client, err := login(r, c)
	if err != nil {
		return err
	}
	command, host, port, err := request(r)
	if !stop() || err != nil {
		var code replyCode
		if errors.As(err, &code) {
			_ = reply(c, byte(code))
		}
		return fmt.Errorf("a client's request: %w", err)
	}
	if command != cmdConnect {
		_ = reply(c, badCommand)
		return fmt.Errorf("the lab's internet has no SOCKS5 command %d: only CONNECT, neither BIND nor UDP", command)
	}
	back, p, err := n.connect(ctx, client, host, port)
	if err != nil {
		code := byte(failure)
		var e *Error
		if errors.As(err, &e) {
			code = map[Reason]byte{Unknown: unreachable, NotAllowed: notAllowed, Refused: refused, Unreachable: unreachable}[e.Reason]
		}
		_ = reply(c, code)
		return err
	}
	done := context.AfterFunc(ctx, func() { _ = back.Close() })
	defer done()
	if err := reply(c, succeeded); err != nil {
		_ = back.Close()
		return err
	}
	if p.tls {
		return n.keys.bridge(ctx, &buffered{Conn: c, r: r}, back, p)
	}
	// What came with the request goes first; then the kernel may copy by itself.
	if early := r.Buffered(); early > 0 {
		b, _ := r.Peek(early)
		if _, err := back.Write(b); err != nil {
			_ = back.Close()
			return err
		}
	}
	relay(c, back)
	return nil
}

// login agrees on a method and tells the client's address.
func login(r *bufio.Reader, w io.Writer) (client string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", fmt.Errorf("a client's greeting: %w", err)
	}
	if head[0] != socks5 {
		return "", fmt.Errorf("a client's greeting: version %d, not SOCKS5", head[0])
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(r, methods); err != nil {
		return "", fmt.Errorf("a client's greeting: %w", err)
	}
	offered := map[byte]bool{}
	for _, m := range methods {
		offered[m] = true
	}
	switch {
	case offered[userPassword]:
		return loginByName(r, w)
	case offered[noAuth]:
		_, err := w.Write([]byte{socks5, noAuth})
		return Client, err
	}
	_, _ = w.Write([]byte{socks5, noMethod})
	return "", errors.New("a client's greeting: no method that the lab has")
}

// loginByName takes any user and password; a user that is an address is the client's.
func loginByName(r *bufio.Reader, w io.Writer) (string, error) {
	if _, err := w.Write([]byte{socks5, userPassword}); err != nil {
		return "", err
	}
	version, err := r.ReadByte()
	if err != nil {
		return "", fmt.Errorf("a client's login: %w", err)
	}
	if version != 1 {
		return "", fmt.Errorf("a client's login: version %d, not 1", version)
	}
	user, err := text(r)
	if err != nil {
		return "", err
	}
	if _, err := text(r); err != nil {
		return "", err
	}
	if _, err := w.Write([]byte{1, succeeded}); err != nil {
		return "", err
	}
	if ip, err := netip.ParseAddr(user); err == nil {
		return ip.String(), nil
	}
	return Client, nil
}

// text is a length and as many bytes.
func text(r *bufio.Reader) (string, error) {
	size, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

// replyCode is an error that has an answer of its own.
type replyCode byte

func (c replyCode) Error() string { return "SOCKS5 reply " + strconv.Itoa(int(c)) }

// request reads what a client wants.
func request(r *bufio.Reader) (command byte, host string, port int, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", 0, err
	}
	if head[0] != socks5 {
		return 0, "", 0, replyCode(failure)
	}
	switch head[3] {
	case typeIPv4:
		var b [4]byte
		_, err = io.ReadFull(r, b[:])
		host = netip.AddrFrom4(b).String()
	case typeName:
		host, err = text(r)
	case typeIPv6:
		// An IPv4 address may come in IPv6 clothes; the lab has no other.
		var b [16]byte
		_, err = io.ReadFull(r, b[:])
		if ip := netip.AddrFrom16(b).Unmap(); ip.Is4() {
			host = ip.String()
		} else if err == nil {
			err = replyCode(badAddress)
		}
	default:
		err = replyCode(badAddress)
	}
	if err != nil {
		return 0, "", 0, err
	}
	var b [2]byte
	_, err = io.ReadFull(r, b[:])
	return head[1], host, int(binary.BigEndian.Uint16(b[:])), err
}

func reply(w io.Writer, code byte) error {
	_, err := w.Write([]byte{socks5, code, 0, typeIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// relay copies both ways until both are done. The end of one direction is
// handed on as such; an error ends both.
func relay(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { flow(b, a) })
	wg.Go(func() { flow(a, b) })
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

func flow(to, from net.Conn) {
	if _, err := io.Copy(plain(to), plain(from)); err != nil {
		_ = to.Close()
		_ = from.Close()
		return
	}
	if w, ok := to.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
		return
	}
	_ = to.Close()
}

// plain is the connection inside: the kernel copies between TCP connections by itself.
func plain(c net.Conn) net.Conn {
	if t, ok := c.(*tracked); ok {
		return t.Conn
	}
	return c
}

// buffered is a connection of which some bytes were read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
