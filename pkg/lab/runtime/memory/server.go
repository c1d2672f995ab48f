package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// server is the network side of one running machine: an HTTP server whose
// connections are socket pairs, so that half close, deadlines and back pressure
// are the kernel's.
type server struct {
	http  http.Server
	queue chan net.Conn
	done  chan struct{}

	mu    sync.Mutex
	ended bool
	conns map[*conn]bool
}

// conn is the machine's end of a connection. The server knows all of them: one
// that http.Server just took over is cut by close too.
type conn struct {
	*net.UnixConn
	server *server
}

func (c *conn) Close() error {
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	return c.UnixConn.Close()
}

var errDown = errors.New("the machine is down")

func newServer(h http.Handler) *server {
	s := &server{queue: make(chan net.Conn), done: make(chan struct{}), conns: map[*conn]bool{}}
	s.http.Handler = h
	s.http.ErrorLog = log.New(io.Discard, "", 0)     // a connection cut short is no news
	go func() { _ = s.http.Serve((*listener)(s)) }() // ends by close only
	return s
}

// connect makes a connection that close will cut.
func (s *server) connect() (near net.Conn, far *conn, err error) {
	near, end, err := pair()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		_, _ = near.Close(), end.Close()
		return nil, nil, refused()
	}
	far = &conn{UnixConn: end, server: s}
	s.conns[far] = true
	return near, far, nil
}

// dial is a connection to the web server.
func (s *server) dial() (net.Conn, error) {
	near, far, err := s.connect()
	if err != nil {
		return nil, err
	}
	select {
	case s.queue <- far:
		return near, nil
	case <-s.done:
		_, _ = near.Close(), far.Close()
		return nil, refused()
	}
}

// banner is a connection that says one line and then only listens.
func (s *server) banner(line string) (net.Conn, error) {
	near, far, err := s.connect()
	if err != nil {
		return nil, err
	}
	go func() {
		defer far.Close()
		if _, err := io.WriteString(far, line); err == nil {
			_, _ = io.Copy(io.Discard, far)
		}
	}()
	return near, nil
}

// grace is how long a web server that is told to stop may take for its answers.
const grace = time.Second

// shutdown refuses new connections, lets requests under way be answered, and
// then cuts what is left, as a web server does when its system shuts down. It
// returns at once.
func (s *server) shutdown() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	close(s.done)
	s.mu.Unlock()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		_ = s.http.Shutdown(ctx) // what is not done by then is cut
		s.cut()
	}()
}

// close cuts every connection and refuses new ones.
func (s *server) close() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	close(s.done)
	s.mu.Unlock()
	s.cut()
}

func (s *server) cut() {
	s.mu.Lock()
	for c := range s.conns {
		_ = c.UnixConn.Close()
	}
	clear(s.conns)
	s.mu.Unlock()
	_ = s.http.Close()
}

// listener is the server as net.Listener.
type listener server

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, errDown
	}
}

func (l *listener) Close() error { return nil }

func (l *listener) Addr() net.Addr { return &net.TCPAddr{Port: 80} }

func refused() error { return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} }

// pair is the two ends of a connection inside this process.
func pair() (near, far *net.UnixConn, err error) {
	syscall.ForkLock.RLock() // no child shall be born between the next two calls
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	near, err = unixConn(fds[0])
	far, err2 := unixConn(fds[1])
	if err = errors.Join(err, err2); err != nil {
		if near != nil {
			_ = near.Close()
		}
		if far != nil {
			_ = far.Close()
		}
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return near, far, nil
}

func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "machine")
	defer f.Close() // FileConn works on a copy
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
