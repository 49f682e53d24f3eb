package payload

import (
	"strings"
	"testing"
)

func TestSplitLine(t *testing.T) {
	long := strings.Repeat("p", 200)
	for _, c := range []struct {
		method       bpfMethod
		line         string
		query        bool
		name, target string
		cut          bool
	}{
		{bpfMethodM_GET, "GET /a HTTP/1.1", false, "GET", "/a", false},
		{bpfMethodM_GET, "GET /a?b HTTP/1.1", false, "GET", "/a", false},
		{bpfMethodM_GET, "GET /a?b HTTP/1.1", true, "GET", "/a?b", false},
		{bpfMethodM_POST, "POST /a\r\n", false, "POST", "/a", false},
		{bpfMethodM_HEAD, "HEAD /a\x00GET", false, "HEAD", "/a", false},
		{bpfMethodM_OPTIONS, "OPTIONS * HTTP/1.1", false, "OPTIONS", "*", false},
		{bpfMethodM_DELETE, "DELETE /" + long + " ", false, "DELETE", "/" + long[:159], true},
		{bpfMethodM_DELETE, "DELETE /" + long[:159] + " ", false, "DELETE", "/" + long[:159], false},
		{bpfMethodM_PUT, "PUT /not/whole", false, "PUT", "/not/whole", true},
		{bpfMethodM_PATCH, "PATCH  x", false, "PATCH", "", false},
		{bpfMethodM_TRACE, "TRACE", false, "TRACE", "", true},
		{bpfMethodM_CONNECT, "CONNECT h:1 ", false, "CONNECT", "h:1", false},
		{bpfMethodM_GET, "", false, "GET", "", true},
	} {
		name, target, cut := splitLine(c.method, []byte(c.line), lineOptions{maxPath: 160, keepQuery: c.query})
		if name != c.name || target != c.target || cut != c.cut {
			t.Errorf("%.30q: %q %.30q %v", c.line, name, target, cut)
		}
	}
}

// TestLineMax: the kernel reads words and searches pieces of it.
func TestLineMax(t *testing.T) {
	for _, n := range []int{16, 100, 127, 160, 1024} {
		if m := lineMax(n); m%8 != 0 || m < 144 || int(m)-16 < n+len("OPTIONS ") || m > 1088 {
			t.Errorf("%d for paths of %d", m, n)
		}
	}
}
