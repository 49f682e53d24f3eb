package main

import (
	"fmt"
	"net/netip"
	"strconv"

	"weft/test/load/traffic"
)

const (
	churnPort = 9301
	udpPort   = 9401
	// loadProcess is the name of our generator's process.
	loadProcess = "load"
	messageSize = 64
)

func at(ip string, port uint16) string {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), port).String()
}

// number is how many operations a run may do when only time bounds it.
func (a amount) number() string {
	if a.n == 0 {
		return strconv.Itoa(1 << 40)
	}
	return itoa(a.n)
}

// churn opens a connection, sends and receives 64 bytes and closes it.
func churn() workload {
	return workload{
		name: "churn", unit: "1M",
		server: func(l *lab) ([]string, error) {
			return []string{l.load, "tcp-server", "-listen", at("0.0.0.0", churnPort)}, nil
		},
		ready: bound{"tcp", []uint16{churnPort}, 1},
		client: func(l *lab, a amount) []string {
			return []string{l.load, "tcp-churn", "-to", at(firstOf, churnPort), "-hosts", strconv.Itoa(hostsOf),
				"-n", a.number(), "-limit", a.limit.String(), "-size", strconv.Itoa(messageSize)}
		},
		outcome: churnOutcome,
	}
}

func churnOutcome(f *finished) (outcome, error) {
	client, server, err := f.both()
	if err != nil {
		return outcome{}, err
	}
	o := outcome{ops: float64(client.Ops), wall: client.WallSeconds, failed: witness(client, map[string][2]int64{
		"connects":    {client.Connections, f.clientCounts["TcpActiveOpens"]},
		"accepts":     {server.Connections, f.serverCounts["TcpPassiveOpens"]},
		"both ends":   {client.Connections, server.Connections},
		"bytes there": {client.SentBytes, server.ReceivedBytes},
		"bytes back":  {client.ReceivedBytes, server.SentBytes},
	})}
	o.truth = truth{
		ports:  []string{strconv.Itoa(churnPort)},
		client: clientEnd(loadProcess, tcpExpectation(client)),
		server: serverEnd(loadProcess, tcpExpectation(server)),
	}
	return o, nil
}

func tcpExpectation(r traffic.Result) expectation {
	return expectation{
		established: exactly(r.Connections), closed: exactly(r.Connections), connectFailed: exactly(0),
		bytesRead: exactly(r.ReceivedBytes), bytesWritten: exactly(r.SentBytes),
	}
}

// udp asks and answers over sockets that stay.
func udp() workload {
	return workload{
		name: "udp", unit: "1M",
		server: func(l *lab) ([]string, error) {
			return []string{l.load, "udp-server", "-listen", at(serverIP, udpPort)}, nil
		},
		ready:   bound{"udp", []uint16{udpPort}, 1},
		client:  func(l *lab, a amount) []string { return udpClient(l, a) },
		outcome: udpOutcome,
	}
}

// udpShort asks once over each socket, as a resolver does.
func udpShort() workload {
	w := udp()
	w.name = "udp_short"
	w.client = func(l *lab, a amount) []string { return append(udpClient(l, a), "-per-socket", "1") }
	return w
}

func udpClient(l *lab, a amount) []string {
	return []string{l.load, "udp-client", "-to", at(serverIP, udpPort),
		"-n", a.number(), "-limit", a.limit.String(), "-size", strconv.Itoa(messageSize)}
}

func udpOutcome(f *finished) (outcome, error) {
	client, server, err := f.both()
	if err != nil {
		return outcome{}, err
	}
	o := outcome{ops: float64(client.Ops), wall: client.WallSeconds, failed: witness(client, map[string][2]int64{
		"requests sent":     {client.SentPackets, f.clientCounts["UdpOutDatagrams"]},
		"requests received": {server.ReceivedPackets, f.serverCounts["UdpInDatagrams"]},
		"requests":          {client.SentPackets, server.ReceivedPackets},
		"answers":           {server.SentPackets, client.ReceivedPackets},
	})}
	o.truth = truth{
		ports:  []string{strconv.Itoa(udpPort)},
		client: clientEnd(loadProcess, udpExpectation(client)),
		server: serverEnd(loadProcess, udpExpectation(server)),
	}
	return o, nil
}

func udpExpectation(r traffic.Result) expectation {
	return expectation{
		packetsRead: exactly(r.ReceivedPackets), packetsWritten: exactly(r.SentPackets),
		bytesRead: exactly(r.ReceivedBytes), bytesWritten: exactly(r.SentBytes),
	}
}

// witness says what failed in the load itself, or where its own count and
// another's of the same thing differ: then nothing can be said of a collector.
func witness(r traffic.Result, pairs map[string][2]int64) string {
	if r.Failed > 0 {
		return fmt.Sprintf("%d operations failed, the first: %s", r.Failed, r.FirstError)
	}
	for what, p := range pairs {
		if p[0] != p[1] {
			return fmt.Sprintf("%s: the load counts %d, its witness %d", what, p[0], p[1])
		}
	}
	return ""
}
