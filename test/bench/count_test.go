package main

import (
	"fmt"
	"strings"
	"testing"
)

const (
	clientInode = 4026532100
	serverInode = 4026532200
)

// line is one row as `weft run --sink stdout` prints it.
func line(inode int, process, direction, src, dst string, fields string) string {
	return fmt.Sprintf(`{"name":"netflow","time":1,"tags":{"src_port":%q,"dst_port":%q,"netns":"NS(4:%d)",`+
		`"process_name":%q,"direction":%q},"fields":{%s}}`+"\n", src, dst, inode, process, direction, fields)
}

func churnTruth(n int64) truth {
	want := func() expectation {
		return expectation{established: exactly(n), closed: exactly(n), bytesRead: exactly(64 * n)}
	}
	return truth{ports: []string{"9301"}, client: clientEnd("load", want()), server: serverEnd("load", want())}
}

func TestCountTellsTheEndsApart(t *testing.T) {
	out := line(clientInode, "load", "outgoing", "*", "9301", `"tcp_established":3,"tcp_closed":2,"bytes_read":128`) +
		line(clientInode, "load", "outgoing", "*", "9301", `"tcp_closed":1,"bytes_read":64,"rtt":12.5,"note":"x"`) +
		line(serverInode, "load", "incoming", "9301", "*", `"tcp_established":3,"tcp_closed":3,"bytes_read":192`) +
		// Another port, another namespace, another measurement: not ours.
		line(clientInode, "curl", "outgoing", "*", "80", `"tcp_established":9`) +
		line(4026531840, "load", "outgoing", "*", "9301", `"tcp_established":9`) +
		`{"name":"httpflow","tags":{"src_port":"9301"},"fields":{"count":1}}` + "\n"
	sums, err := count(strings.NewReader(out), churnTruth(3), clientInode, serverInode)
	if err != nil || sums.rows != 6 {
		t.Fatalf("%d rows, %v", sums.rows, err)
	}
	all := append(compare("client", churnTruth(3).client.want, sums.client),
		compare("server", churnTruth(3).server.want, sums.server)...)
	if bad := differing(all); len(all) != 6 || len(bad) != 0 {
		t.Errorf("%d comparisons, differing: %v", len(all), bad)
	}
	if sums.client[strangers]+sums.server[strangers] != 0 {
		t.Errorf("strangers: %s", sums.stranger)
	}
}

func TestCountSeesWhatIsWrong(t *testing.T) {
	out := line(clientInode, "load", "incoming", "*", "9301", `"tcp_established":2,"tcp_closed":3,"bytes_read":192`)
	sums, err := count(strings.NewReader(out), churnTruth(3), clientInode, serverInode)
	if err != nil {
		t.Fatal(err)
	}
	bad := differing(compare("client", churnTruth(3).client.want, sums.client))
	if len(bad) != 1 || bad[0].String() != "client tcp_established: counted 2, expected 3" {
		t.Errorf("differing: %v", bad)
	}
	// The other end is missing altogether.
	if bad := differing(compare("server", churnTruth(3).server.want, sums.server)); len(bad) != 3 {
		t.Errorf("differing: %v", bad)
	}
	if sums.client[strangers] != 1 || sums.stranger == "" {
		t.Errorf("%d strangers, %q", sums.client[strangers], sums.stranger)
	}
}

func TestCountRefusesWhatIsNotNDJSON(t *testing.T) {
	if _, err := count(strings.NewReader("listening on 4 cores\n"), churnTruth(1), 1, 2); err == nil {
		t.Error("text passed for rows")
	}
}
