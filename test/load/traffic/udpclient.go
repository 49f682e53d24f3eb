package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// sequenceSize is the part of a request that tells its answer from a late one.
	sequenceSize = 8
	// answerTimeout is how long a lost datagram holds a worker up. The deadline
	// is renewed only every renewEvery requests: setting it costs a timer.
	answerTimeout = 2 * time.Second
	renewEvery    = 256
)

// Requests describes UDPClient: N requests of Size bytes, each answered by as
// many, one outstanding per worker.
type Requests struct {
	Targets
	N       int64
	Limit   time.Duration
	Workers int
	Size    int
	// Unconnected uses one socket per worker for all targets; otherwise there
	// is one connected socket per worker and target.
	Unconnected bool
	// PerSocket is the number of requests after which a connected socket is
	// replaced, as resolvers do with 1; 0 keeps it.
	PerSocket int
}

// UDPClient sends requests and waits for each answer until N are done or time
// is up. A request without an answer counts as failed.
func UDPClient(ctx context.Context, o Requests) (Result, error) {
	if o.Size < sequenceSize {
		return Result{}, fmt.Errorf("size %d: at least %d", o.Size, sequenceSize)
	}
	var (
		c     counts
		wg    sync.WaitGroup
		left  = newBudget(o.N, o.Limit)
		start = time.Now()
		errs  = make([]error, o.Workers)
	)
	for w := range o.Workers {
		wg.Go(func() {
			u := &udpWorker{Requests: o, counts: &c, sockets: map[netip.AddrPort]*udpSocket{}}
			defer u.close()
			errs[w] = u.run(ctx, left, w)
		})
	}
	wg.Wait()
	return c.result("udp-client", start), errors.Join(errs...)
}

type udpWorker struct {
	Requests
	*counts
	// sockets by target; the unconnected one is under the zero address.
	sockets  map[netip.AddrPort]*udpSocket
	sequence uint64
	buf      []byte
}

type udpSocket struct {
	*net.UDPConn
	used int
}

func (u *udpWorker) run(ctx context.Context, left *budget, w int) error {
	u.buf = make([]byte, u.Size)
	targets := u.List()
	for i := w * len(targets) / u.Workers; ctx.Err() == nil && left.take(); i++ {
		to := targets[i%len(targets)]
		socket, err := u.socket(to)
		if err != nil {
			return err
		}
		u.tally(u.ask(socket, to))
	}
	return nil
}

// socket is the one to use for a target, new when there is none or when it
// has served its number of requests.
func (u *udpWorker) socket(to netip.AddrPort) (*udpSocket, error) {
	key := to
	if u.Unconnected {
		key = netip.AddrPort{}
	}
	socket := u.sockets[key]
	if socket != nil && !u.Unconnected && u.PerSocket > 0 && socket.used >= u.PerSocket {
		_ = socket.Close()
		socket = nil
	}
	if socket == nil {
		conn, err := u.open(to)
		if err != nil {
			return nil, fmt.Errorf("making a socket for %s: %w", to, err)
		}
		socket = &udpSocket{UDPConn: conn}
		u.sockets[key] = socket
	}
	if socket.used%renewEvery == 0 {
		if err := socket.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
			return nil, fmt.Errorf("setting a deadline: %w", err)
		}
	}
	socket.used++
	return socket, nil
}

func (u *udpWorker) open(to netip.AddrPort) (*net.UDPConn, error) {
	family := network("udp", to.Addr())
	if u.Unconnected {
		return net.ListenUDP(family, nil)
	}
	return net.DialUDP(family, nil, net.UDPAddrFromAddrPort(to))
}

func (u *udpWorker) ask(socket *udpSocket, to netip.AddrPort) error {
	u.sequence++
	binary.BigEndian.PutUint64(u.buf, u.sequence)
	n, err := u.send(socket, to)
	if err != nil {
		return fmt.Errorf("sending to %s: %w", to, err)
	}
	u.sentPackets.Add(1)
	u.sentBytes.Add(int64(n))
	for {
		n, err := u.receive(socket)
		if err != nil {
			// Past its deadline a socket would fail at once, for ever.
			socket.used = 0
			return fmt.Errorf("waiting for %s: %w", to, err)
		}
		u.receivedPackets.Add(1)
		u.receivedBytes.Add(int64(n))
		if n >= sequenceSize && binary.BigEndian.Uint64(u.buf) == u.sequence {
			return nil
		}
	}
}

func (u *udpWorker) send(socket *udpSocket, to netip.AddrPort) (int, error) {
	if u.Unconnected {
		return socket.WriteToUDPAddrPort(u.buf, to)
	}
	return socket.Write(u.buf)
}

func (u *udpWorker) receive(socket *udpSocket) (int, error) {
	if u.Unconnected {
		n, _, err := socket.ReadFromUDPAddrPort(u.buf)
		return n, err
	}
	return socket.Read(u.buf)
}

func (u *udpWorker) close() {
	for _, socket := range u.sockets {
		_ = socket.Close()
	}
}
