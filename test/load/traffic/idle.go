package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Idle describes TCPIdle: N connections held open for Hold without a byte.
type Idle struct {
	Targets
	N    int64
	Hold time.Duration
}

// idleDialers open connections side by side; more would overrun the accept
// queue and wait a second for the SYN's retransmission.
const idleDialers = 4

// TCPIdle opens N connections, calls ready with their number, holds them until
// Hold has passed or ctx ends, and closes them.
func TCPIdle(ctx context.Context, o Idle, ready func(int64)) (Result, error) {
	var (
		c     counts
		start = time.Now()
	)
	conns, err := o.open(ctx, &c)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	if err != nil {
		return c.result("tcp-idle", start), err
	}
	if ready != nil {
		ready(int64(len(conns)))
	}
	select {
	case <-ctx.Done():
	case <-time.After(o.Hold):
	}
	c.ops.Store(int64(len(conns)))
	return c.result("tcp-idle", start), nil
}

func (o Idle) open(ctx context.Context, c *counts) ([]net.Conn, error) {
	var (
		parts   [idleDialers][]net.Conn
		errs    [idleDialers]error
		wg      sync.WaitGroup
		targets = o.List()
	)
	for d := range idleDialers {
		wg.Go(func() {
			for i := int64(d); i < o.N && errs[d] == nil; i += idleDialers {
				var conn net.Conn
				conn, errs[d] = c.dial(ctx, targets[i%int64(len(targets))])
				if errs[d] == nil {
					parts[d] = append(parts[d], conn)
				}
			}
		})
	}
	wg.Wait()
	all := make([]net.Conn, 0, o.N)
	for _, part := range parts {
		all = append(all, part...)
	}
	return all, errors.Join(errs[:]...)
}

func (c *counts) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: noKeepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		err = fmt.Errorf("connecting to %s: %w", to, err)
		c.tally(err)
		return nil, err
	}
	c.connections.Add(1)
	return conn, nil
}
