package payload

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"unsafe"

	"weft/l7"
	"weft/l7/dnsflow"
	"weft/protocol"
	"weft/record"
)

// taken counts what a source without a kernel hands out.
type taken struct {
	chunks, bytes, opens, pending, closes, hellos, datagrams int
}

func unattached(got *taken) *Source {
	return &Source{
		log: slog.New(slog.DiscardHandler), lines: lineOptions{maxPath: 160},
		servers: map[l7.ConnID]bool{}, hellos: map[l7.ConnID]*hello{}, comms: map[[16]int8]string{},
		rows: &rows{names: map[bpfRowKey]*name{}},
		out: Output{
			Locker:  &sync.Mutex{},
			Open:    func(l7.ConnID, l7.Info) { got.opens++ },
			Pending: func(l7.ConnID, *protocol.Exchange) { got.pending++ },
			Chunk: func(k *l7.Chunk) {
				got.chunks++
				got.bytes += len(k.Data)
			},
			Close: func(l7.ConnID, int64) { got.closes++ },
			DNS: func(d *dnsflow.Datagram) {
				got.datagrams++
				got.bytes += len(d.Data)
			},
			TLS: func(record.FlowKey, []byte, []byte) { got.hellos++ },
		},
	}
}

// raw is the memory of an event, followed by data.
func raw[T any](e *T, data string) []byte {
	return append([]byte(nil), append(unsafe.Slice((*byte)(unsafe.Pointer(e)), unsafe.Sizeof(*e)), data...)...)
}

// TestEvents: a connection from its announcement to its end; the sides follow
// from the direction and from who the server is.
func TestEvents(t *testing.T) {
	var got taken
	s := unattached(&got)
	var sides []protocol.Side
	s.out.Chunk = func(k *l7.Chunk) { sides = append(sides, k.Side) }
	s.event(raw(&bpfEvOpen{Kind: bpfEventKindEV_OPEN, Sk: 1, Born: 2, Server: 1, Method: bpfMethodM_GET, LineLen: 8}, ""))
	s.event(raw(&bpfEvChunk{Kind: bpfEventKindEV_CHUNK, Sk: 1, Born: 2, Dir: 0, Len: 3, Cap: 3}, "abc"))
	s.event(raw(&bpfEvChunk{Kind: bpfEventKindEV_CHUNK, Sk: 1, Born: 2, Dir: 1, Len: 3, Cap: 3}, "abc"))
	s.event(raw(&bpfEvClose{Kind: bpfEventKindEV_CLOSE, Sk: 1, Born: 2}, ""))
	s.event(raw(&bpfEvOpen{Kind: bpfEventKindEV_OPEN, Sk: 3, Mode: bpfStreamModeMODE_HELLO}, ""))
	s.event(raw(&bpfEvChunk{Kind: bpfEventKindEV_CHUNK, Sk: 3, Dir: 1, Len: 3, Cap: 3}, "abc"))
	s.event(raw(&bpfEvClose{Kind: bpfEventKindEV_CLOSE, Sk: 3}, ""))
	if got != (taken{opens: 1, pending: 1, closes: 1, hellos: 1}) {
		t.Errorf("%+v", got)
	}
	if len(sides) != 2 || sides[0] != protocol.Client || sides[1] != protocol.Server {
		t.Errorf("sides %v", sides)
	}
	if len(s.servers) != 0 || len(s.hellos) != 0 {
		t.Errorf("%d connections and %d hellos are remembered", len(s.servers), len(s.hellos))
	}
}

// TestForget: names are kept for two read-outs without use.
func TestForget(t *testing.T) {
	r := &rows{names: map[bpfRowKey]*name{}}
	key := bpfRowKey{Flow: 1, Path: 2, Status: 200, Version: 1}
	var out []*record.Httpflow
	add := func(h *record.Httpflow, _, _ int64) { out = append(out, h) }
	r.learn(&bpfEvRow{Row: key, Method: bpfMethodM_GET}, []byte("GET /a HTTP/1.1"), lineOptions{maxPath: 160})
	r.take(&key, &bpfRowVal{Buckets: [32]uint32{0, 2, 1}, ReqBytes: 30, RespBytes: 60, Latency: 9}, add)
	for range 2 {
		r.forget()
	}
	if r.names[key] == nil {
		t.Fatal("forgotten too early")
	}
	r.forget()
	if r.names[key] != nil {
		t.Fatal("not forgotten")
	}
	r.take(&key, &bpfRowVal{Buckets: [32]uint32{4}}, add)
	if len(out) != 1 || out[0].Path != "/a" || out[0].Count != 3 || out[0].BytesWritten != 30 || out[0].LatencyCount != 3 {
		t.Errorf("%+v", out)
	}
	if r.exchanges != 7 || r.unnamed != 4 {
		t.Errorf("%d exchanges, %d of them without a name", r.exchanges, r.unnamed)
	}
}

// FuzzEvent: what the ring holds never reads beyond itself.
func FuzzEvent(f *testing.F) {
	f.Add(raw(&bpfEvRow{Kind: bpfEventKindEV_ROW, LineLen: 500}, ""))
	f.Add(raw(&bpfEvOpen{Kind: bpfEventKindEV_OPEN, LineLen: 1 << 31, Method: 77}, ""))
	f.Add(raw(&bpfEvChunk{Kind: bpfEventKindEV_CHUNK, Len: 1 << 31, Cap: 1 << 31}, "abc"))
	f.Add(raw(&bpfEvClose{Kind: bpfEventKindEV_CLOSE}, ""))
	f.Add(raw(&bpfEvDns{Kind: bpfEventKindEV_DNS, Cap: 65535, Len: 9}, "abc"))
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		// The reader's buffer is aligned.
		words := make([]uint64, len(b)/8+1)
		buf := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)[:len(b)]
		copy(buf, b)
		var got taken
		s := unattached(&got)
		s.event(buf)
		if got.bytes > len(b) {
			t.Errorf("%d bytes out of %d", got.bytes, len(b))
		}
		if len(b) >= 4 && binary.NativeEndian.Uint32(b) > uint32(bpfEventKindEV_DNS) && got != (taken{}) {
			t.Errorf("%+v of an unknown kind", got)
		}
	})
}
