package agent

import (
	"net/netip"
	"testing"

	"weft/ledger"
	"weft/record"
)

// Each connection on the wire is counted once: read, read late, or not read.
func TestSecrets(t *testing.T) {
	led := ledger.New()
	s := newSecrets(led)
	// The sources may see different processes: a server's parent and its worker.
	conn := func(port record.Port, tls bool) record.FlowKey {
		f := record.FlowKey{Src: netip.MustParseAddr("198.18.0.1"), SrcPort: port, DstPort: 443, PID: 1}
		if tls {
			f.PID = 2
		}
		return f
	}
	s.hello(conn(1, false), 10) // the hello is told of first
	s.open(conn(1, true), false, 11)
	s.open(conn(2, true), false, 12) // the plaintext is
	s.hello(conn(2, false), 13)
	s.hello(conn(3, false), 14)
	s.open(conn(3, true), true, 15)
	s.hello(conn(4, false), 16)
	s.open(conn(5, true), true, 17) // older than we are: its hello was not seen
	s.open(conn(6, true), false, 18)
	s.expire(20 + int64(tieWait))
	s.expire(20 + int64(tieWait))
	for _, stage := range led.Snapshot() {
		if stage.In != 4 || stage.Out != 2 || stage.Dropped["read_late"] != 1 || stage.Dropped["not_read"] != 1 {
			t.Errorf("%+v", stage)
		}
	}
	if len(s.waiting)+len(s.opened) > 0 {
		t.Errorf("still known: %v %v", s.waiting, s.opened)
	}
}
