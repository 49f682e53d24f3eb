package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer holds what arrives while a receiver is not scheduled: a
// datagram lost there would make the two ends' counts differ.
const receiveBuffer = 16 << 20

// silence is how long nothing may arrive before a server that was told to end
// takes its receive buffer for empty.
const silence = 100 * time.Millisecond

// UDPServe describes UDPServer: one unconnected socket for each of Targets.
type UDPServe struct {
	Targets
	// Silent servers count only; others send every datagram back.
	Silent bool
}

// UDPServer answers or counts datagrams until ctx ends. It calls ready, when
// not nil, once every socket is bound.
func UDPServer(ctx context.Context, o UDPServe, ready func()) (Result, error) {
	var (
		c     counts
		wg    sync.WaitGroup
		start = time.Now()
	)
	conns, err := o.bind()
	defer closeAll(conns)
	if err != nil {
		return Result{}, err
	}
	if ready != nil {
		ready()
	}
	for _, conn := range conns {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now().Add(silence)) })
		defer stop()
		wg.Go(func() { o.serve(ctx, &c, conn) })
	}
	wg.Wait()
	return c.result("udp-server", start), nil
}

func (o UDPServe) bind() ([]*net.UDPConn, error) {
	var conns []*net.UDPConn
	for _, at := range o.List() {
		conn, err := net.ListenUDP(network("udp", at.Addr()), net.UDPAddrFromAddrPort(at))
		if err != nil {
			return conns, fmt.Errorf("binding %s: %w", at, err)
		}
		conns = append(conns, conn)
		if err := growReceiveBuffer(conn); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

func (o UDPServe) serve(ctx context.Context, c *counts, conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			c.tally(err)
			return
		}
		if ctx.Err() != nil {
			_ = conn.SetReadDeadline(time.Now().Add(silence))
		}
		c.receivedPackets.Add(1)
		c.receivedBytes.Add(int64(n))
		if o.Silent {
			c.ops.Add(1)
			continue
		}
		n, err = conn.WriteToUDPAddrPort(buf[:n], from)
		c.tally(err)
		if err == nil {
			c.sentPackets.Add(1)
			c.sentBytes.Add(int64(n))
		}
	}
}

// growReceiveBuffer goes past net.core.rmem_max as root and does without as
// anybody else.
func growReceiveBuffer(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	var forced error
	err = raw.Control(func(fd uintptr) {
		forced = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	if err == nil && forced != nil {
		err = conn.SetReadBuffer(receiveBuffer)
	}
	if err != nil {
		return fmt.Errorf("setting the receive buffer: %w", err)
	}
	return nil
}

func closeAll(conns []*net.UDPConn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// Blast describes UDPBlast: N datagrams of Size bytes one way.
type Blast struct {
	Targets
	N     int64
	Limit time.Duration
	Size  int
	// Rate is datagrams per second; it keeps the receiver from losing any.
	Rate float64
}

// UDPBlast sends datagrams over one connected socket per target, in turn.
func UDPBlast(ctx context.Context, o Blast) (Result, error) {
	var (
		c     counts
		conns []*net.UDPConn
		left  = newBudget(o.N, o.Limit)
		start = time.Now()
		buf   = make([]byte, o.Size)
	)
	defer func() { closeAll(conns) }()
	for _, to := range o.List() {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return Result{}, fmt.Errorf("connecting to %s: %w", to, err)
		}
		conns = append(conns, conn)
	}
	for i := 0; ctx.Err() == nil && left.take(); i++ {
		// The clock of one machine sleeps a millisecond at best: catch up with
		// whatever has become due since the last look.
		for o.Rate > 0 && float64(i) > o.Rate*time.Since(start).Seconds() {
			time.Sleep(time.Millisecond)
		}
		n, err := conns[i%len(conns)].Write(buf)
		c.tally(err)
		if err == nil {
			c.sentPackets.Add(1)
			c.sentBytes.Add(int64(n))
		}
	}
	return c.result("udp-blast", start), nil
}
