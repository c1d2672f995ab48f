package image

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// forward leads connections to a port of this machine on to an address, for
// programs that cannot be told how to reach it.
type forward struct {
	listener net.Listener
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func newForward(ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), addr string) (*forward, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port that leads to %s: %w", addr, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &forward{listener: l, cancel: cancel}
	f.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() {
				defer in.Close()
				out, err := dial(ctx, "tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				stop := context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
				defer stop()
				var both sync.WaitGroup
				both.Go(func() { pass(out, in) })
				both.Go(func() { pass(in, out) })
				both.Wait()
			})
		}
	})
	return f, nil
}

// pass copies until the end and hands the end on.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
		return
	}
	_ = to.Close()
}

func (f *forward) port() string {
	_, port, _ := net.SplitHostPort(f.listener.Addr().String())
	return port
}

func (f *forward) close(context.Context) error {
	err := f.listener.Close()
	f.cancel()
	f.wg.Wait()
	return err
}
