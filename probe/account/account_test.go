package account

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePasswd(t *testing.T) {
	got := parsePasswd(strings.NewReader("root:x:0:0::/:\n# no user\ntoor:x:0:0::/:\nbad:x:y:1:\na:b\n" +
		"web:x:33:33::/:\nx\xff:x:4294967295:0::/:"))
	for uid, want := range map[uint32]string{0: "root", 33: "web", 1<<32 - 1: "x\uFFFD"} {
		if got[uid] != want {
			t.Errorf("%d: %q, want %q", uid, got[uid], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestInside(t *testing.T) {
	n := New(t.TempDir(), t.TempDir())
	n.maps[7] = parseMap("         0     100000      65536\n     70000       1000          1\n")
	for kernel, want := range map[uint32]uint32{
		100000: 0, 100033: 33, 165535: 65535, 165536: 65534, 1000: 70000, 1001: 65534, 0: 65534,
	} {
		if got := n.inside(1, 7, kernel); got != want {
			t.Errorf("%d is %d inside, want %d", kernel, got, want)
		}
	}
	if got := n.inside(1, 0xeffffffd, 1001); got != 1001 {
		t.Errorf("the initial namespace maps 1001 to %d", got)
	}
}

// A place is known by what was read of it while a process lived there; names
// of another place are not taken for it.
func TestPlaces(t *testing.T) {
	root := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("alice:x:1001:1001::/:\n")
	n := New("/proc", root)
	own, err := PlaceOf("/proc", uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	n.host = rootKey{own.MountNS, own.Root}
	own.UserNS = 0xeffffffd
	if got := n.Name(uint32(os.Getpid()), own, 1001); got != "alice" {
		t.Errorf("the machine's own user is %q", got)
	}
	if got := n.Name(1<<30, own, 1001); got != "alice" {
		t.Errorf("of a process that has gone: %q", got)
	}
	elsewhere := own
	elsewhere.Root++
	if got := n.Name(1<<30, elsewhere, 1001); got != "1001" {
		t.Errorf("of a process of an unknown place that has gone: %q", got)
	}
	write("bob-is-longer:x:1001:1001::/:\n")
	n.files[n.host].checked = n.files[n.host].checked.Add(-recheck)
	if got := n.Name(1<<30, own, 1001); got != "bob-is-longer" {
		t.Errorf("after a change: %q", got)
	}
}
