package tls

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"weft/record"
)

// Every rung sees the same: a Go program everywhere, and curl where there is one.
func TestDoors(t *testing.T) {
	peer := copyOfUs(t)
	for _, f := range functionRungs() {
		for _, d := range socketDoors() {
			kind, _, _ := strings.Cut(d.name, " ")
			t.Run(kind+"_"+f.name, func(t *testing.T) {
				sockets := liveSockets(t)
				t.Setenv("WEFT_TLS_TEST_PEER", "server")
				port, _ := serve(t, peer)
				b := beginOn(t, sockets, ladders{[]functionRung{f}, []door{d}})
				url := fmt.Sprintf("https://127.0.0.1:%d", port)
				t.Setenv("WEFT_TLS_TEST_PEER", "client")
				client(t, b, peer, url)
				const n = 5
				if _, err := exec.LookPath("curl"); err == nil {
					args := []string{"-s", "-k"}
					for i := range n {
						args = append(args, fmt.Sprintf("%s/curl%dx", url, i))
					}
					run(t, "curl", args...)
					defer func() {
						wantRequests(t, "curl", on(b.order, port, record.Outgoing), "GET /curl%dx HTTP/1.1\r\n", "answer to /curl", n)
					}()
				}
				all := b.end()
				for _, dir := range []record.Direction{record.Outgoing, record.Incoming} {
					wantRequests(t, dir.String(), on(all, port, dir), "GET /r%dx HTTP/1.1\r\n", "answer to /r", n)
				}
				samePlaintext(t, all, port)
			})
		}
	}
}
