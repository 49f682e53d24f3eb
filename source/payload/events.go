package payload

import (
	"net/netip"
	"unsafe"

	"weft/l7"
	"weft/l7/dnsflow"
	"weft/protocol"
	"weft/record"
)

// evKey is the type that bpf2go gives the flow key inside an event.
type evKey = bpfFlowKey

// event takes one record of the ring.
func (s *Source) event(b []byte) {
	if len(b) < 4 {
		return
	}
	switch *(*bpfEventKind)(unsafe.Pointer(&b[0])) {
	case bpfEventKindEV_ROW:
		if e, rest := view[bpfEvRow](b, unsafe.Offsetof(bpfEvRow{}.Line)); e != nil {
			s.rows.learn(e, s.line(rest, e.LineLen), s.lines)
		}
	case bpfEventKindEV_OPEN:
		if e, rest := view[bpfEvOpen](b, unsafe.Offsetof(bpfEvOpen{}.Line)); e != nil {
			s.open(e, rest)
		}
	case bpfEventKindEV_CHUNK:
		if e, rest := view[bpfEvChunk](b, unsafe.Offsetof(bpfEvChunk{}.Data)); e != nil {
			s.chunk(e, rest)
		}
	case bpfEventKindEV_CLOSE:
		if e, _ := view[bpfEvClose](b, unsafe.Sizeof(bpfEvClose{})); e != nil {
			s.closed(e)
		}
	case bpfEventKindEV_DNS:
		if e, rest := view[bpfEvDns](b, unsafe.Offsetof(bpfEvDns{}.Data)); e != nil {
			s.dns(e, rest)
		}
	}
}

// view lays the kernel's struct over the bytes of an event, of which the fixed
// part has size bytes; the rest follows it. The reader's buffer is aligned.
func view[T any](b []byte, size uintptr) (*T, []byte) {
	if uintptr(len(b)) < size {
		return nil, nil
	}
	return (*T)(unsafe.Pointer(&b[0])), b[size:]
}

// line is the part of a kept request line that was filled.
func (s *Source) line(rest []byte, n uint32) []byte { return rest[:min(uint32(len(rest)), n)] }

func (s *Source) open(e *bpfEvOpen, rest []byte) {
	id := l7.ConnID{Sock: e.Sk, Born: e.Born}
	flow := flowKey(&e.Key, e.Comm[:])
	// Ports as packets that come in have them: the peer's first.
	flow.DstPort, flow.SrcPort = record.Port(swap16(uint16(e.Ports))), record.Port(swap16(uint16(e.Ports>>16)))
	s.servers[id] = e.Server != 0
	if e.Mode == bpfStreamModeMODE_HELLO {
		if h := s.hellos[id]; h != nil {
			h.flow = flow // told anew, with the process that serves
		} else {
			s.hellos[id] = &hello{flow: flow}
		}
		return
	}
	s.out.Open(id, l7.Info{UID: l7.UID{Client: e.Uid[0], Server: e.Uid[1]}, Flow: flow, Joined: e.Joined != 0})
	if e.Method == bpfMethodM_NONE {
		return
	}
	method, path, cut := splitLine(e.Method, s.line(rest, e.LineLen), s.lines)
	if s.out.From != nil {
		s.out.From(id, e.From[0], e.From[1])
	}
	s.out.Pending(id, &protocol.Exchange{
		Protocol: "http", Version: "1.1", Method: method, Path: path, Truncated: cut || e.Truncated != 0,
		ReqOffset: e.ReqStart, Start: int64(e.Start), End: int64(e.Start),
		ReqBytes: e.ReqBytes, RespBytes: e.RespBytes,
	})
}

func (s *Source) chunk(e *bpfEvChunk, data []byte) {
	id := l7.ConnID{Sock: e.Sk, Born: e.Born}
	data = data[:min(uint32(len(data)), e.Cap)]
	// What comes in at a server is the client's.
	side := protocol.Client
	if (e.Dir == 0) != s.servers[id] {
		side = protocol.Server
	}
	if h := s.hellos[id]; h != nil {
		s.hello(h, side, data)
		return
	}
	s.out.Chunk(&l7.Chunk{
		Conn: id, Side: side, Offset: e.Offset, Data: data, Len: uint64(e.Len), Time: int64(e.At),
	})
}

func (s *Source) closed(e *bpfEvClose) {
	id := l7.ConnID{Sock: e.Sk, Born: e.Born}
	client, server := e.Ends[1], e.Ends[0]
	if s.servers[id] {
		client, server = server, client
	}
	delete(s.servers, id)
	if h := s.hellos[id]; h != nil {
		delete(s.hellos, id)
		s.out.TLS(h.flow, h.client, h.server)
		return
	}
	if s.out.Ends != nil {
		s.out.Ends(id, client, server)
	}
	s.out.Close(id, int64(e.At))
}

// hello is the first flight of either side of a TLS connection.
type hello struct {
	flow           record.FlowKey
	client, server []byte
}

func (s *Source) hello(h *hello, side protocol.Side, data []byte) {
	if side == protocol.Client {
		h.client = append(h.client, data...)
		return
	}
	h.server = append(h.server, data...)
}

func (s *Source) dns(e *bpfEvDns, data []byte) {
	s.datagram = dnsflow.Datagram{
		Flow: record.FlowKey{
			Src: netip.AddrFrom16(e.Laddr).Unmap(), Dst: netip.AddrFrom16(e.Raddr).Unmap(),
			SrcPort: record.Port(e.Lport), DstPort: record.Port(e.Rport), Transport: record.UDP,
			PID: e.Pid, Comm: s.comm(&e.Comm), NetNS: e.Netns,
		},
		Sock: e.Sk, Egress: e.Egress != 0, Data: data[:min(len(data), int(e.Cap))], Len: int(e.Len), Time: int64(e.At),
	}
	s.out.DNS(&s.datagram)
}

func swap16(v uint16) uint16 { return v<<8 | v>>8 }

// comm is a process's name as text; the same one comes with every message.
func (s *Source) comm(c *[16]int8) string {
	text, ok := s.comms[*c]
	if !ok {
		if len(s.comms) >= 1024 {
			clear(s.comms)
		}
		text = commText(c[:])
		s.comms[*c] = text
	}
	return text
}
