package dnsflow

import (
	"weft/protocol"
	"weft/protocol/dns"
	"weft/record"
)

// TCP takes an exchange of protocol/dns. The flow has the local end as Src, the
// true ports, and Outgoing when the local end connected. A query whose
// connection ended before the response counts as unanswered; one that waits
// longer than the timeout does not, since TCP has not given it up.
func (t *Tracker) TCP(flow record.FlowKey, x *protocol.Exchange) {
	problem := problemOf(x)
	if problem == dns.Closed && t.flushed {
		problem = "pending_at_exit"
	}
	if x.First != 0 {
		t.responses.In(1)
	}
	if problem == dns.Orphan {
		t.responses.Drop(problem, 1)
		return
	}
	t.queries.In(1)
	if problem != "" && problem != dns.Closed {
		t.queries.Drop(problem, 1)
		return
	}
	t.tx = Transaction{
		Flow: flow, Name: x.Path, Type: x.Method, Start: x.Start, Rcode: record.RcodeTimeout, TCP: true,
	}
	if x.First != 0 {
		t.responses.Out(1)
		t.respond(x)
	}
	t.emit()
}

func problemOf(x *protocol.Exchange) string {
	for _, a := range x.Attrs {
		if a.Key == dns.Problem {
			return a.Value
		}
	}
	return ""
}

func (t *Tracker) respond(x *protocol.Exchange) {
	t.tx.Rcode, t.tx.Latency = x.Status, max(0, x.End-x.Start)
	if t.msg.Decode(x.Message) != nil {
		return // it was decodable when it was matched
	}
	t.tx.Answers, t.tx.Addrs, t.tx.Truncated = t.msg.Answers, t.msg.Addrs, t.msg.Truncated
}
