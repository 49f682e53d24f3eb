package traffic

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// serveTCP starts a server and returns its address and a function that ends it
// and returns its count.
func serveTCP(t *testing.T) (netip.AddrPort, func() Result) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	at, done := make(chan netip.AddrPort, 1), make(chan Result, 1)
	go func() {
		r, err := TCPServer(ctx, loopback, func(a netip.AddrPort) { at <- a })
		if err != nil {
			t.Error(err)
			close(at)
		}
		done <- r
	}()
	return <-at, func() Result { cancel(); return <-done }
}

func TestChurnCountsBothEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		churn Churn
		bytes int64
	}{
		{"echo", Churn{N: 100, Size: 64}, 6400},
		{"connect only", Churn{N: 50, Size: 0}, 0},
		{"reset", Churn{N: 20, Size: 10, Reset: true}, 200},
		{"paced", Churn{N: 20, Size: 1, Rate: 10000}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to, end := serveTCP(t)
			tt.churn.Targets, tt.churn.Workers, tt.churn.Limit = Targets{First: to}, 4, time.Minute
			client := TCPChurn(t.Context(), tt.churn)
			if client.Ops != tt.churn.N || client.Connections != tt.churn.N || client.Failed != 0 {
				t.Errorf("client: %+v", client)
			}
			if client.SentBytes != tt.bytes || client.ReceivedBytes != tt.bytes {
				t.Errorf("client bytes: %+v, want %d", client, tt.bytes)
			}
			// A connection that carried no byte may still wait to be accepted.
			if server := end(); tt.bytes > 0 && (server.Connections != tt.churn.N || server.ReceivedBytes != tt.bytes) {
				t.Errorf("server: %+v", server)
			}
		})
	}
}

func TestChurnCountsRefused(t *testing.T) {
	to, end := serveTCP(t)
	end()
	r := TCPChurn(t.Context(), Churn{Targets: Targets{First: to}, N: 3, Workers: 1, Limit: time.Minute})
	if r.Ops != 0 || r.Failed != 3 || r.FirstError == "" {
		t.Errorf("%+v, want 3 failed", r)
	}
}

func TestIdleHoldsUntilTold(t *testing.T) {
	to, end := serveTCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := TCPIdle(ctx, Idle{Targets: Targets{First: to}, N: 50, Hold: time.Hour}, func(n int64) {
		if n != 50 {
			t.Errorf("ready with %d", n)
		}
		cancel()
	})
	if err != nil || r.Connections != 50 || r.Ops != 50 {
		t.Errorf("%+v, %v", r, err)
	}
	if server := end(); server.SentBytes+server.ReceivedBytes != 0 {
		t.Errorf("server: %+v", server)
	}
}

// serveUDP is serveTCP for a UDP server on hosts addresses from 127.0.1.1 on.
func serveUDP(t *testing.T, o UDPServe) func() Result {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	bound, done := make(chan bool, 1), make(chan Result, 1)
	go func() {
		r, err := UDPServer(ctx, o, func() { bound <- true })
		if err != nil {
			t.Error(err)
			bound <- false
		}
		done <- r
	}()
	<-bound
	return func() Result { cancel(); return <-done }
}

func TestUDPCountsBothEnds(t *testing.T) {
	const port = "127.0.1.1:29401"
	for _, tt := range []struct {
		name    string
		hosts   int
		request Requests
	}{
		{"connected", 1, Requests{N: 500, Size: 64}},
		{"connected, many peers", 7, Requests{N: 500, Size: 64}},
		{"unconnected, many peers", 7, Requests{N: 500, Size: 900, Unconnected: true}},
		{"a socket per request", 2, Requests{N: 100, Size: 8, PerSocket: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := Targets{First: netip.MustParseAddrPort(port), Hosts: tt.hosts}
			end := serveUDP(t, UDPServe{Targets: at})
			tt.request.Targets, tt.request.Workers, tt.request.Limit = at, 3, time.Minute
			client, err := UDPClient(t.Context(), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			n, bytes := tt.request.N, tt.request.N*int64(tt.request.Size)
			for _, r := range []Result{client, end()} {
				if r.Ops != n || r.SentPackets != n || r.ReceivedPackets != n ||
					r.SentBytes != bytes || r.ReceivedBytes != bytes {
					t.Errorf("%+v, want %d of %d bytes each way", r, n, bytes)
				}
			}
		})
	}
}

func TestBlastReachesSilentServer(t *testing.T) {
	at := Targets{First: netip.MustParseAddrPort("127.0.1.1:29402"), Hosts: 3}
	end := serveUDP(t, UDPServe{Targets: at, Silent: true})
	client, err := UDPBlast(t.Context(), Blast{Targets: at, N: 1000, Size: 100, Rate: 100000, Limit: time.Minute})
	if err != nil || client.SentPackets != 1000 || client.SentBytes != 100000 {
		t.Errorf("%+v, %v", client, err)
	}
	if server := end(); server.ReceivedPackets != 1000 || server.SentPackets != 0 {
		t.Errorf("server: %+v", server)
	}
}

func TestTargetsAreConsecutive(t *testing.T) {
	got := Targets{First: netip.MustParseAddrPort("198.18.0.255:80"), Hosts: 2}.List()
	if len(got) != 2 || got[1].String() != "198.18.1.0:80" {
		t.Errorf("%v", got)
	}
}
