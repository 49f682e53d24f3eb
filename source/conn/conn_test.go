package conn

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/record"
)

func TestSmoke(t *testing.T) {
	cfg := &config.Config{Interval: time.Second, Netflow: config.Netflow{Loopback: true, UDP: true}}
	s, err := New(cfg, ledger.New(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Capabilities() {
		t.Logf("%+v", c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan []record.Record, 10)
	done := make(chan error)
	go func() { done <- s.Run(ctx, func(b []record.Record) { got <- b }) }()
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() {
		c, _ := l.Accept()
		b := make([]byte, 100)
		n, _ := c.Read(b)
		c.Write(b[:n])
		c.Write(b[:n])
		c.Close()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "hello")
	time.Sleep(50 * time.Millisecond)
	c.Read(make([]byte, 100))
	c.Close()
	u, _ := net.ListenPacket("udp", "127.0.0.1:0")
	d, _ := net.Dial("udp", u.LocalAddr().String())
	d.Write([]byte("12345678"))
	_, a, _ := u.ReadFrom(make([]byte, 100))
	u.WriteTo([]byte("1234"), a)
	d.Read(make([]byte, 100))
	time.Sleep(1200 * time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	close(got)
	for b := range got {
		for _, r := range b {
			n := r.(*record.Netflow)
			t.Logf("%+v rx %d tx %d prx %d ptx %d %+v", n.FlowKey, n.BytesRead, n.BytesWritten, n.PacketsRead, n.PacketsWritten, n.TCPStats)
		}
	}
}
