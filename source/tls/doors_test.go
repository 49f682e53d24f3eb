package tls

import (
	"fmt"
	"strings"
	"testing"

	"weft/record"
)

// Every rung sees the same. Go and C need the socket door in different ways.
func TestDoors(t *testing.T) {
	pem := certificate(t)
	peer := build(t, "local")
	for _, f := range functionRungs() {
		for _, d := range socketDoors() {
			name := f.name + " " + d.name
			if door, _, _ := strings.Cut(d.name, " "); door != "tp_btf" {
				name = door + "_" + f.name // needs a kernel that has it: see test/vm
			}
			t.Run(name, func(t *testing.T) {
				port, _ := serve(t, peer, "serve", pem)
				b := beginOn(t, liveSockets(t), ladders{[]functionRung{f}, []door{d}})
				const n = 5
				client(t, b, peer, "get", fmt.Sprintf("https://127.0.0.1:%d", port), "1.1", fmt.Sprint(n))
				need(t, "curl")
				args := []string{"-s", "--http1.1", "--cacert", pem}
				for i := range n {
					args = append(args, fmt.Sprintf("https://localhost:%d/curl%dx", port, i))
				}
				run(t, "curl", args...)
				all := b.end()
				for _, dir := range []record.Direction{record.Outgoing, record.Incoming} {
					wantRequests(t, dir.String(), on(all, port, dir), "POST /r%dx HTTP/1.1\r\n", "answer to /r", n)
					wantRequests(t, dir.String(), on(all, port, dir), "GET /curl%dx HTTP/1.1\r\n", "answer to /curl", n)
				}
				samePlaintext(t, all, port)
			})
		}
	}
}
