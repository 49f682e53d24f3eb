package tls

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"weft/l7"
	"weft/ledger"
	"weft/protocol"
	"weft/record"
)

// Bounds of what waits for its connection to be known.
const (
	maxWaitingObject = 128 << 10
	maxWaiting       = 16 << 20
)

// Event types of events.h, which are not in the object's BTF.
const (
	eventData = iota
	eventTie
	eventFree
	eventExit
	eventMemory
)

// event is one record of the ring.
type event struct {
	bpfTlsEvent
	tie  *bpfTlsTie
	data []byte
}

func parseEvent(raw []byte) (event, error) {
	var e event
	n, err := binary.Decode(raw, binary.NativeEndian, &e.bpfTlsEvent)
	if err != nil {
		return e, fmt.Errorf("read an event: %w", err)
	}
	if e.Type == eventTie {
		e.tie = &bpfTlsTie{}
		if _, err := binary.Decode(raw, binary.NativeEndian, e.tie); err != nil {
			return e, fmt.Errorf("read a tie: %w", err)
		}
		return e, nil
	}
	if uint64(e.Size) > uint64(len(raw)-n) {
		return e, fmt.Errorf("read an event: %d bytes of data in %d", e.Size, len(raw)-n)
	}
	e.data = raw[n : n+int(e.Size)]
	return e, nil
}

// objectID names a TLS object: its address in its process.
type objectID struct {
	pid uint32
	obj uint64
}

// object is what is known of one.
type object struct {
	conn l7.ConnID // zero while not known
	// shadowed: its socket already carries another object (TLS inside TLS).
	shadowed bool
	waiting  []event
	bytes    int
	gone     bool // its socket was missing at the last sweep
	// behind are events that came after a write that was not told of, which began
	// at write; they leave at the round after it, or given up at until. told is
	// when the last write began that was told of.
	behind      []event
	write, told uint64
	until       int64
}

// stream turns events into chunks of connections.
type stream struct {
	out     Output
	led     *ledger.Stage
	objects map[objectID]*object
	carried map[l7.ConnID]objectID
	waiting int
	// late are the objects with events behind a write.
	late map[objectID]*object
	// untied is told of objects that ended before their socket was known.
	untied func(pid int)
}

func newStream(out Output, led *ledger.Ledger, untied func(pid int)) *stream {
	return &stream{
		out: out, led: led.Stage("tls.chunks"), untied: untied,
		objects: map[objectID]*object{}, late: map[objectID]*object{}, carried: map[l7.ConnID]objectID{},
	}
}

// handle takes events in the order of time.
func (s *stream) handle(e event) {
	id := objectID{e.Tgid, e.Obj}
	switch e.Type {
	case eventTie:
		s.tie(id, e)
	case eventData:
		s.led.In(1)
		if e.Closed != 0 && s.objects[id] == nil || !s.holds(id, s.object(id), e) {
			s.data(id, e)
		}
	case eventFree:
		s.end(id, int64(e.Time))
	case eventExit:
		for id := range s.objects {
			if id.pid == e.Tgid {
				s.end(id, int64(e.Time))
			}
		}
	}
}

// tie learns an object's connection; what waited for it leaves now.
func (s *stream) tie(id objectID, e event) {
	o := s.object(id)
	if o.conn != (l7.ConnID{}) {
		return
	}
	o.conn = l7.ConnID{Sock: e.Sk, Born: e.Born, TLS: true}
	if _, taken := s.carried[o.conn]; taken {
		o.shadowed = true
	} else {
		s.carried[o.conn] = id
		s.out.Open(o.conn, infoOf(e.tie))
	}
	waiting := o.waiting
	s.waiting -= o.bytes
	o.waiting, o.bytes = nil, 0
	for _, w := range waiting {
		w.Role = e.Role
		s.emit(o, w)
	}
}

func (s *stream) object(id objectID) *object {
	o := s.objects[id]
	if o == nil {
		o = &object{}
		s.objects[id] = o
	}
	return o
}

func (s *stream) data(id objectID, e event) {
	if s.objects[id] == nil && e.Closed != 0 {
		s.led.Drop("after_close", 1)
		return
	}
	o := s.object(id)
	if o.conn != (l7.ConnID{}) {
		s.emit(o, e)
		return
	}
	if o.bytes+len(e.data) > maxWaitingObject || s.waiting+len(e.data) > maxWaiting || len(o.waiting) >= 64 {
		s.led.Drop("untied", 1)
		return
	}
	e.data = bytes.Clone(e.data)
	o.bytes += len(e.data)
	s.waiting += len(e.data)
	o.waiting = append(o.waiting, e)
}

// What is read while a write goes on may be the answer to it, and a process may
// be long in returning from a write: the event of what was read waits for it.
const (
	maxBehind  = 256
	behindWait = int64(time.Second)
)

// holds keeps an event back that came after a write not told of, and those that
// follow it.
func (s *stream) holds(id objectID, o *object, e event) bool {
	written := e.Sent != 0 && (len(o.behind) == 0 || e.Time == o.write)
	if written {
		o.told = max(o.told, e.Time)
	}
	if written || len(o.behind) == 0 && e.Behind <= o.told {
		return false
	}
	if len(o.behind) == 0 {
		o.write, o.until = e.Behind, int64(e.Time)+behindWait
	}
	o.behind = append(o.behind, e)
	s.late[id] = o
	if len(o.behind) >= maxBehind {
		s.release(id, o)
	}
	return true
}

// release lets go what was behind a write.
func (s *stream) release(id objectID, o *object) {
	held := o.behind
	o.behind = nil
	delete(s.late, id)
	for _, e := range held {
		s.data(id, e)
	}
}

// settle begins a round of events that are older than now: those behind a write
// that was told of in the last one leave.
func (s *stream) settle(now int64) {
	for id, o := range s.late {
		if o.told >= o.write || now > o.until {
			s.release(id, o)
		}
	}
}

func (s *stream) emit(o *object, e event) {
	if o.shadowed {
		s.led.Drop("tls_in_tls", 1)
		return
	}
	s.led.Out(1)
	s.out.Chunk(&l7.Chunk{
		Conn: o.conn, Side: sideOf(e.Role == roleServer, e.Sent != 0), Offset: e.Offset,
		Data: e.data, Len: e.Len, Time: int64(e.Time), TID: e.Tid,
	})
}

// roleServer is ROLE_SERVER of bpf/socks.h.
const roleServer = 1

// sideOf tells whose bytes they are: those that a server sent, or a client
// received, are the server's.
func sideOf(server, sent bool) protocol.Side {
	if server == sent {
		return protocol.Server
	}
	return protocol.Client
}

// end is the end of an object, and of the connection inside TLS.
func (s *stream) end(id objectID, at int64) {
	o := s.objects[id]
	if o == nil {
		return
	}
	if len(o.behind) > 0 {
		s.release(id, o)
	}
	delete(s.objects, id)
	s.waiting -= o.bytes
	if len(o.waiting) > 0 {
		s.led.Drop("untied", int64(len(o.waiting)))
		s.untied(int(id.pid))
	}
	if o.conn != (l7.ConnID{}) && !o.shadowed {
		delete(s.carried, o.conn)
		s.out.Close(o.conn, at)
	}
}

// sweep ends what has lost its socket without a word: lives tells whether a
// socket is still there. It takes two sweeps, for events still on their way.
func (s *stream) sweep(at int64, lives func(sock, born uint64) bool) (ended []objectID) {
	for id, o := range s.objects {
		if o.conn == (l7.ConnID{}) || lives(o.conn.Sock, o.conn.Born) {
			o.gone = false
			continue
		}
		if o.gone {
			s.end(id, at)
			ended = append(ended, id)
		}
		o.gone = true
	}
	return ended
}

// endAll ends everything, when the source stops.
func (s *stream) endAll(at int64) {
	for id := range s.objects {
		s.end(id, at)
	}
}

func infoOf(t *bpfTlsTie) l7.Info {
	k := &t.Key
	info := l7.Info{
		Flow: record.FlowKey{
			Src: netip.AddrFrom16(k.Laddr).Unmap(), Dst: netip.AddrFrom16(k.Raddr).Unmap(),
			SrcPort: record.Port(k.Lport), DstPort: record.Port(k.Rport), Transport: record.TCP,
			PID: k.Pid, Comm: text(t.Comm[:]), NetNS: k.Netns,
		},
		UID: l7.UID{Client: t.OwnSeq, Server: t.PeerSeq}, Joined: t.Joined != 0, TLS: true,
	}
	if t.Head.Role == roleServer {
		info.Flow.Direction = record.Incoming
		info.UID = l7.UID{Client: t.PeerSeq, Server: t.OwnSeq}
	}
	return info
}

// text is a comm up to its first NUL.
func text(c []int8) string {
	b := make([]byte, 0, len(c))
	for _, ch := range c {
		if ch == 0 {
			break
		}
		b = append(b, byte(ch))
	}
	return string(b)
}
