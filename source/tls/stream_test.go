package tls

import (
	"encoding/binary"
	"testing"

	"weft/l7"
	"weft/ledger"
	"weft/protocol"
)

// taken collects what a stream gives out.
type taken struct {
	open, closed []l7.ConnID
	text         [2]string
	led          *ledger.Ledger
	untied       int
}

func newTaken() (*taken, *stream) {
	k := &taken{led: ledger.New()}
	out := Output{
		Open:  func(id l7.ConnID, _ l7.Info) { k.open = append(k.open, id) },
		Chunk: func(c *l7.Chunk) { k.text[c.Side] += string(c.Data) },
		Close: func(id l7.ConnID, _ int64) { k.closed = append(k.closed, id) },
	}
	return k, newStream(out, k.led, func(int) { k.untied++ })
}

func (k *taken) dropped(reason string) int64 {
	for _, s := range k.led.Snapshot() {
		if s.Stage == "tls.chunks" {
			return s.Dropped[reason]
		}
	}
	return 0
}

func data(obj uint64, sent uint8, role uint8, text string) event {
	return event{bpfTlsEvent: bpfTlsEvent{Obj: obj, Tgid: 1, Type: eventData, Sent: sent, Role: role,
		Len: uint64(len(text)), Size: uint32(len(text))}, data: []byte(text)}
}

func tieTo(obj, sk uint64, role uint8) event {
	head := bpfTlsEvent{Obj: obj, Tgid: 1, Type: eventTie, Sk: sk, Born: 9, Role: role}
	return event{bpfTlsEvent: head, tie: &bpfTlsTie{Head: head}}
}

// What came before the socket was known waits, and its side is told by the role
// that comes with the tie.
func TestWaitsForTie(t *testing.T) {
	k, s := newTaken()
	s.handle(data(5, 0, 0, "request"))
	s.handle(data(5, 1, 0, "answer"))
	if len(k.open) != 0 {
		t.Fatal("a chunk left before its connection was known")
	}
	s.handle(tieTo(5, 77, roleServer))
	if len(k.open) != 1 || k.text[protocol.Client] != "request" || k.text[protocol.Server] != "answer" || s.waiting != 0 {
		t.Errorf("%+v, waiting %d", k, s.waiting)
	}
	s.handle(event{bpfTlsEvent: bpfTlsEvent{Obj: 5, Tgid: 1, Type: eventFree}})
	if len(k.closed) != 1 || k.closed[0] != k.open[0] || len(s.objects) != 0 || len(s.carried) != 0 {
		t.Errorf("not closed: %+v", s.objects)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	k, s := newTaken()
	block := string(make([]byte, 16<<10))
	for obj := range uint64(1000) {
		for range 20 {
			s.handle(data(obj, 1, 0, block))
		}
	}
	if s.waiting > maxWaiting || k.dropped("untied") == 0 {
		t.Errorf("%d bytes wait, %d dropped", s.waiting, k.dropped("untied"))
	}
	s.handle(event{bpfTlsEvent: bpfTlsEvent{Tgid: 1, Type: eventExit}})
	if s.waiting != 0 || len(s.objects) != 0 || k.dropped("untied") != 20000 || k.untied == 0 {
		t.Errorf("after the end %d bytes wait in %d objects, %d of 20000 counted",
			s.waiting, len(s.objects), k.dropped("untied"))
	}
}

// TLS inside TLS: only one of the two objects on a socket is the connection.
func TestSecondObjectOnSocket(t *testing.T) {
	k, s := newTaken()
	s.handle(tieTo(5, 77, 0))
	s.handle(tieTo(6, 77, 0))
	s.handle(data(6, 1, 0, "inner"))
	s.handle(data(5, 1, 0, "outer"))
	if len(k.open) != 1 || k.text[protocol.Client] != "outer" || k.dropped("tls_in_tls") != 1 {
		t.Errorf("%+v", k)
	}
	s.handle(event{bpfTlsEvent: bpfTlsEvent{Obj: 6, Tgid: 1, Type: eventFree}})
	if len(k.closed) != 0 {
		t.Error("the end of the inner one ended the connection")
	}
}

// A socket that is gone at two sweeps ends its connection.
func TestSweep(t *testing.T) {
	k, s := newTaken()
	s.handle(tieTo(5, 77, 0))
	gone := func(uint64, uint64) bool { return false }
	if s.sweep(1, gone); len(k.closed) != 0 {
		t.Error("closed while events may be on their way")
	}
	if ended := s.sweep(2, gone); len(k.closed) != 1 || len(ended) != 1 {
		t.Errorf("%+v", k)
	}
}

func FuzzEvent(f *testing.F) {
	var raw []byte
	raw, _ = binary.Append(raw, binary.NativeEndian, data(1, 1, 1, "text").bpfTlsEvent)
	f.Add(append(raw, "text"...))
	tie, _ := binary.Append(nil, binary.NativeEndian, bpfTlsTie{Head: bpfTlsEvent{Type: eventTie}})
	f.Add(tie)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEvent(b)
		if err != nil {
			return
		}
		if int(e.Size) != len(e.data) && e.tie == nil {
			t.Errorf("%d bytes of data, said to be %d", len(e.data), e.Size)
		}
		_, s := newTaken()
		s.handle(e)
		s.endAll(0)
	})
}

// A write that returns late, after the answer to it was read, still comes first;
// one that fails is not waited for long.
func TestAnswerBehindWrite(t *testing.T) {
	k, s := newTaken()
	var order string
	s.out.Chunk = func(c *l7.Chunk) { order += string(c.Data) + " " }
	event := func(sent uint8, at, behind uint64, text string) event {
		e := data(5, sent, 0, text)
		e.Time, e.Behind = at, behind
		return e
	}
	s.handle(tieTo(5, 77, 0))
	s.handle(event(0, 20, 10, "answer"))
	s.handle(event(0, 21, 10, "rest"))
	s.settle(30)
	s.handle(event(1, 10, 0, "request"))
	s.handle(event(1, 10, 0, "body"))
	if order != "request body " {
		t.Errorf("before the round is over: %s", order)
	}
	s.settle(40)
	s.handle(event(0, 50, 45, "hello")) // of a write that fails
	s.settle(60)
	s.handle(event(0, 61, 0, "again"))
	s.settle(51 + behindWait)
	if order != "request body answer rest hello again " || len(s.late) > 0 {
		t.Errorf("got %s", order)
	}
	s.handle(event(0, 70, 65, "last"))
	s.endAll(80)
	if order != "request body answer rest hello again last " || len(k.closed) != 1 {
		t.Errorf("got %s, closed %v", order, k.closed)
	}
}
