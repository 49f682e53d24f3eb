package main

import (
	"encoding/json"
	"fmt"
	"strconv"
)

const (
	iperfPort = 5201
	// iperfDataPort is the client's port of the data stream, below the
	// ephemeral ports so that the collector keeps it: iperf3 does not count
	// what its control connection carries.
	iperfDataPort = 5299
	// iperfCookie is what the client sends on every connection before all else.
	iperfCookie = 37
)

func iperf() workload {
	return workload{
		name: "iperf", unit: "GB",
		server: func(*lab) ([]string, error) { return []string{"iperf3", "-s", "-B", serverIP}, nil },
		ready:  bound{"tcp", []uint16{iperfPort}, 1},
		client: func(_ *lab, a amount) []string {
			return []string{"iperf3", "-c", serverIP, "-t", strconv.Itoa(max(1, int(a.limit.Seconds()))), "-J",
				"--cport", strconv.Itoa(iperfDataPort)}
		},
		outcome: iperfOutcome,
	}
}

func iperfOutcome(f *finished) (outcome, error) {
	type sum struct {
		Bytes   int64   `json:"bytes"`
		Seconds float64 `json:"seconds"`
	}
	var r struct {
		Error string `json:"error"`
		End   struct {
			Sent     sum `json:"sum_sent"`
			Received sum `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(f.clientOut), &r); err != nil {
		return outcome{}, fmt.Errorf("the report of iperf3 %q: %w", f.clientOut, err)
	}
	sent, received := r.End.Sent.Bytes+iperfCookie, r.End.Received.Bytes+iperfCookie
	return outcome{
		ops: float64(r.End.Received.Bytes) / 1e9, wall: r.End.Received.Seconds, failed: r.Error,
		truth: truth{
			ports: []string{strconv.Itoa(iperfDataPort)},
			client: clientEnd("iperf3", expectation{
				established: exactly(1), closed: exactly(1), connectFailed: exactly(0),
				bytesWritten: exactly(sent), bytesRead: exactly(0),
			}),
			// The server stops reading when the client says that time is up.
			server: serverEnd("iperf3", expectation{
				established: exactly(1), closed: exactly(1),
				bytesRead: {received, sent}, bytesWritten: exactly(0),
			}),
		},
	}, nil
}
