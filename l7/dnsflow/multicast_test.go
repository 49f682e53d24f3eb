package dnsflow

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// announce is a multicast response: no ID, no question.
func announce(t testing.TB, names ...string) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, Authoritative: true}}
	for _, name := range names {
		r := address(dnsmessage.MustNewName(name), "10.0.0.9")
		r.Header.Class |= 1 << 15 // flush caches
		m.Answers = append(m.Answers, r)
	}
	return pack(t, m)
}

func avahi(remote string) end {
	return end{sock: 1, pid: 5, comm: "avahi", local: "10.0.0.1:5353", remote: remote}
}

const group = "224.0.0.251:5353"

func TestMDNS(t *testing.T) {
	h := newHost(t, 0)
	h.sends(avahi(group), 10, ask(t, 0, "Printer.local."))
	h.sends(avahi(group), 11, ask(t, 0, "scanner.local."))
	h.sends(avahi(group), 12, ask(t, 0, "nobody.local."))
	h.receives(avahi("10.0.0.9:5353"), 20, announce(t, "other.local."))
	// One response answers two queries, among records nobody asked for.
	h.receives(avahi("10.0.0.9:5353"), 30, announce(t, "other.local.", "scanner.local.", "printer.LOCAL."))
	h.receives(avahi("10.0.0.8:5353"), 40, announce(t, "printer.local.")) // another responder
	h.Expire(6 * second)
	h.check("3 3", "3 1 unsolicited_mdns=2",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi scanner.local A rcode 0 in 19ns 10.0.0.9/60",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi printer.local A rcode 0 in 20ns 10.0.0.9/60",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi nobody.local A rcode -1")
}

// The kernel gives the packet's destination, a group, as the local end of what
// is received; and a socket receives its own query.
func TestMDNSResponder(t *testing.T) {
	h := newHost(t, 0)
	from := func(peer string) end {
		return end{sock: 1, pid: 5, comm: "avahi", local: "224.0.0.251:5353", remote: peer}
	}
	h.receives(from("10.0.0.2:5353"), 10, ask(t, 0, "me.local."))
	h.receives(from("10.0.0.3:5353"), 11, ask(t, 0, "me.local."))
	h.receives(from("10.0.0.2:5353"), 12, ask(t, 0, "you.local."))
	h.sends(avahi(group), 13, ask(t, 0, "them.local."))
	h.receives(from("10.0.0.1:5353"), 14, ask(t, 0, "them.local."))
	h.sends(avahi("10.0.0.3:5353"), 20, announce(t, "me.local.")) // to one of the two
	h.sends(avahi(group), 30, announce(t, "me.local."))
	h.sends(avahi(group), 31, announce(t, "me.local."))
	h.Expire(6 * second)
	h.check("5 3 multicast_unanswered=2", "3 2 unsolicited_mdns=1",
		"incoming 10.0.0.1:5353>10.0.0.3:5353 5/avahi me.local A rcode 0 in 9ns 10.0.0.9/60",
		"incoming 10.0.0.1:5353>10.0.0.2:5353 5/avahi me.local A rcode 0 in 20ns 10.0.0.9/60",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi them.local A rcode -1")
}

// A simple resolver asks the group from a port of its own, with an ID that the
// response, from the responder's address, repeats (RFC 6762 section 6.7, RFC
// 4795). Others' responses are not taken for it.
func TestGroupWithID(t *testing.T) {
	for _, port := range []string{":5353", ":5355"} {
		for _, sock := range []uint64{3, 0} {
			h := newHost(t, 0)
			at := func(remote string) end {
				return end{sock: sock, pid: 7, comm: "dig", local: "10.0.0.1:40000", remote: remote}
			}
			h.sends(at("224.0.0.251"+port), 10, ask(t, 9, "a.local."))
			h.receives(at("10.0.0.9"+port), 20, reply(t, 8, "a.local.", 0))
			h.receives(at("10.0.0.9"+port), 20, reply(t, 9, "b.local.", 0))
			h.receives(at("10.0.0.9:53"), 20, reply(t, 9, "a.local.", 0))
			h.receives(at("10.0.0.9"+port), 30, reply(t, 9, "a.local.", 0, "10.0.0.9"))
			h.check("1 1", "4 1 orphan_response=3",
				"outgoing 10.0.0.1:40000>224.0.0.251"+port+" 7/dig a.local A rcode 0 in 20ns 10.0.0.9/60")
		}
	}
}

// LLMNR's responder is not asked by name, and answers from its own address.
func TestLLMNRResponder(t *testing.T) {
	h := newHost(t, 0)
	r := end{sock: 3, pid: 8, comm: "resolved", local: "224.0.0.252:5355", remote: "10.0.0.2:50000"}
	h.receives(r, 10, ask(t, 9, "me."))
	h.receives(r, 11, ask(t, 10, "you."))
	r.local = "10.0.0.1:5355"
	h.sends(r, 20, reply(t, 9, "me.", 0, "10.0.0.1"))
	h.Expire(6 * second)
	h.check("2 1 multicast_unanswered=1", "1 1",
		"incoming 10.0.0.1:5355>10.0.0.2:50000 8/resolved me A rcode 0 in 10ns 10.0.0.1/60")
}

// A DNS server that was put on mDNS's port is a server like others.
func TestServerOnMDNSPort(t *testing.T) {
	h := newHost(t, 0)
	s := end{sock: 3, pid: 8, comm: "coredns", local: "10.0.0.1:5353", remote: "10.0.0.2:50000"}
	h.receives(s, 10, ask(t, 9, "a.org."))
	h.receives(s, 11, ask(t, 10, "a.org."))
	h.sends(s, 20, reply(t, 10, "a.org.", 0))
	h.Expire(6 * second)
	h.check("2 2", "1 1",
		"incoming 10.0.0.1:5353>10.0.0.2:50000 8/coredns a.org A rcode 0 in 9ns",
		"incoming 10.0.0.1:5353>10.0.0.2:50000 8/coredns a.org A rcode -1")
}

// An alias, and the statement that there is no such record, are answers too.
func TestMDNSAliasAndNone(t *testing.T) {
	h := newHost(t, 0)
	alias, host := dnsmessage.MustNewName("alias.local."), dnsmessage.MustNewName("host.local.")
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	header := dnsmessage.ResourceHeader{Name: alias, Class: dnsmessage.ClassINET, TTL: 30}
	m.Answers = []dnsmessage.Resource{
		{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: host}}, address(host, "10.0.0.9"),
	}
	h.sends(avahi(group), 10, ask(t, 0, "alias.local."))
	h.receives(avahi("10.0.0.9:5353"), 20, pack(t, m))
	header.Type = 47
	m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.UnknownResource{Type: 47, Data: []byte{0}}}}
	h.sends(avahi(group), 30, message(t, dnsmessage.Header{}, "alias.local.", dnsmessage.TypeAAAA))
	h.receives(avahi("10.0.0.9:5353"), 50, pack(t, m))
	h.check("2 2", "2 2",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi alias.local A rcode 0 in 10ns 10.0.0.9/30",
		"outgoing 10.0.0.1:5353>224.0.0.251:5353 5/avahi alias.local AAAA rcode 0 in 20ns")
}
