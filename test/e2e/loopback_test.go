package e2e

import (
	"testing"

	"weft/test/e2e/netlab"
)

// As in the reference, traffic of a host with itself is left out, unless
// --loopback asks for it.
func TestLoopback(t *testing.T) {
	needs(t)
	for name, tt := range map[string]struct {
		args []string
		want int64
	}{
		"default":    {nil, 0},
		"--loopback": {[]string{"--loopback"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ns := netlab.New(t)
			serveEcho(ns.Listen(t, "tcp", "127.0.0.1:9000"))
			c := start(t, tt.args...)
			conn := ns.Dial(t, "tcp", "127.0.0.1:9000")
			converse(t, conn, 100)
			conn.Close()
			settle(t, netlab.Pair{Client: ns, Server: ns})
			rows := c.Stop(t).Where("netns", ns.Tag)
			for _, direction := range []string{"outgoing", "incoming"} {
				r := rows.Where("direction", direction)
				equal(t, direction+" established", r.Sum("tcp_established"), tt.want)
				equal(t, direction+" bytes_read", r.Sum("bytes_read"), 100*tt.want)
			}
		})
	}
}
