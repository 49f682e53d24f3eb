package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// The kernel's keepalive packets would be traffic that nobody counted.
const noKeepAlive = -1

// TCPServer echoes everything on every connection until ctx ends. It calls
// ready, when not nil, with the address it listens on.
func TCPServer(ctx context.Context, listen netip.AddrPort, ready func(netip.AddrPort)) (Result, error) {
	start := time.Now()
	config := net.ListenConfig{KeepAlive: noKeepAlive}
	listener, err := config.Listen(ctx, network("tcp", listen.Addr()), listen.String())
	if err != nil {
		return Result{}, fmt.Errorf("listening on %s: %w", listen, err)
	}
	s := &tcpServer{open: map[net.Conn]struct{}{}}
	stop := context.AfterFunc(ctx, func() { s.close(listener) })
	defer stop()
	if ready != nil {
		ready(listener.Addr().(*net.TCPAddr).AddrPort())
	}
	err = s.accept(ctx, listener)
	s.wg.Wait()
	return s.result("tcp-server", start), err
}

type tcpServer struct {
	counts
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (s *tcpServer) accept(ctx context.Context, listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EMFILE):
			s.tally(err)
			time.Sleep(10 * time.Millisecond)
			continue
		case err != nil:
			return fmt.Errorf("accepting: %w", err)
		}
		s.connections.Add(1)
		s.mu.Lock()
		s.open[conn] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.echo(conn) })
	}
}

func (s *tcpServer) echo(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}()
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		s.receivedBytes.Add(int64(n))
		if n > 0 {
			w, werr := conn.Write(buf[:n])
			s.sentBytes.Add(int64(w))
			err = errors.Join(err, werr)
		}
		if errors.Is(err, io.EOF) {
			s.ops.Add(1)
			return
		}
		if err != nil {
			s.tally(err)
			return
		}
	}
}

func (s *tcpServer) close(listener net.Listener) {
	listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}

// Churn describes TCPChurn: N connections, each echoing Size bytes.
type Churn struct {
	Targets
	N       int64
	Limit   time.Duration
	Workers int
	// Size is the number of bytes written and read back; 0 only connects.
	Size int
	// Rate is connections per second over all workers; 0 is as fast as can be.
	Rate float64
	// Reset closes with RST instead of FIN.
	Reset bool
}

// TCPChurn opens, uses and closes connections until N are done or time is up.
func TCPChurn(ctx context.Context, o Churn) Result {
	var (
		c       counts
		wg      sync.WaitGroup
		targets = o.List()
		left    = newBudget(o.N, o.Limit)
		start   = time.Now()
	)
	for w := range o.Workers {
		wg.Go(func() {
			buf := make([]byte, o.Size)
			pace := newPacer(o.Rate / float64(o.Workers))
			// Workers start apart so that they do not all meet at one address.
			for i := w * len(targets) / o.Workers; ctx.Err() == nil && left.take(); i++ {
				pace.wait()
				c.tally(o.once(ctx, &c, targets[i%len(targets)], buf))
			}
		})
	}
	wg.Wait()
	return c.result("tcp-churn", start)
}

func (o Churn) once(ctx context.Context, c *counts, to netip.AddrPort, buf []byte) error {
	dialer := net.Dialer{KeepAlive: noKeepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", to, err)
	}
	defer conn.Close()
	c.connections.Add(1)
	if tcp, ok := conn.(*net.TCPConn); ok && o.Reset {
		if err := tcp.SetLinger(0); err != nil {
			return fmt.Errorf("setting linger: %w", err)
		}
	}
	if o.Size == 0 {
		return nil
	}
	n, err := conn.Write(buf)
	c.sentBytes.Add(int64(n))
	if err != nil {
		return fmt.Errorf("writing to %s: %w", to, err)
	}
	n, err = io.ReadFull(conn, buf)
	c.receivedBytes.Add(int64(n))
	if err != nil {
		return fmt.Errorf("reading from %s: %w", to, err)
	}
	return nil
}
