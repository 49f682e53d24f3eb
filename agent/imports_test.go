package agent

import (
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// layer says what the packages that match may import besides the standard
// library. A trailing /... stands for any package below.
type layer struct {
	packages string // path.Match pattern, without the module's name
	may      []string
	pure     bool // no I/O: no os, net or syscall
}

const (
	ebpf     = "github.com/cilium/ebpf/..."
	sys      = "golang.org/x/sys/..."
	protobuf = "google.golang.org/protobuf/..."
	prom     = "github.com/prometheus/..."
)

// layers is the architecture in dependency order (docs/architecture.md). A
// package takes the first line that matches; one without a line is an error.
func layers() []layer {
	return []layer{
		{packages: "record"},
		{packages: "ledger"},
		{packages: "spool"},
		{packages: "limit", may: []string{sys}},
		{packages: "config/value", pure: false},
		{packages: "config", may: []string{"config/value", "limit", "github.com/pelletier/go-toml/v2/..."}},
		{packages: "record/encode", may: []string{"record", protobuf, "github.com/influxdata/line-protocol/..."}},
		{packages: "record/recordsdoc", may: []string{"record"}},
		{packages: "bpf", may: []string{ebpf}},
		{packages: "probe", may: []string{"ledger", ebpf, sys}},
		{packages: "probe/executable", may: []string{"golang.org/x/arch/..."}},
		{packages: "probe/uprobe", may: []string{ebpf}},
		{packages: "probe/account"},

		{packages: "filter", may: []string{"record"}, pure: true},
		{packages: "aggregate", may: []string{"config", "record"}, pure: true},
		{packages: "link", may: []string{"config", "record"}, pure: true},
		{packages: "sample", may: []string{"record"}, pure: true},
		{packages: "protocol", may: []string{"record"}, pure: true},
		{packages: "protocol/http2", may: []string{"protocol", "golang.org/x/net/http2/hpack"}, pure: true},
		{packages: "protocol/*", may: []string{"protocol", "record"}, pure: true},
		{packages: "l7", may: []string{"ledger", "protocol", "record"}, pure: true},
		{packages: "l7/dnsflow", may: []string{"ledger", "protocol", "protocol/dns", "record"}, pure: true},

		{packages: "source", may: []string{"config", "record"}},
		{packages: "source/tls", may: []string{"config", "l7", "ledger", "probe", "probe/executable", "probe/uprobe",
			"protocol", "record", ebpf, sys}},
		{packages: "source/*", may: []string{"aggregate", "config", "l7", "l7/dnsflow", "ledger", "probe",
			"probe/account", "probe/executable", "probe/uprobe", "protocol", "record", "source", ebpf, sys}},
		{packages: "enrich", may: []string{"config", "record"}},
		{packages: "enrich/*", may: []string{"config", "enrich", "ledger", "record", sys,
			"github.com/vishvananda/netlink/..."}},
		{packages: "sink", may: []string{"record"}},
		{packages: "sink/*", may: []string{"config", "ledger", "record", "record/encode", "sink", "deliver"}},
		{packages: "deliver", may: []string{"ledger", "record", "record/encode", "spool"}},
		{packages: "store", may: []string{"config", "ledger", "record"}},
		{packages: "web", may: []string{"config", "ledger", "record", prom}},

		{packages: "agent", may: []string{"weft/...", sys}},
		{packages: "cmd/*", may: []string{"agent", "config", "record", "github.com/spf13/...", sys}},
		{packages: "test/*", may: []string{"weft/...", ebpf, sys, protobuf, "github.com/vishvananda/..."}},
		{packages: "test/*/*", may: []string{"weft/...", ebpf, sys, protobuf, "github.com/vishvananda/..."}},
	}
}

// listed is what we read of `go list -json`.
type listed struct {
	ImportPath, Name string
	Imports          []string
}

func TestImportDirections(t *testing.T) {
	for _, p := range listPackages(t) {
		own := strings.TrimPrefix(p.ImportPath, "weft/")
		i := slices.IndexFunc(layers(), func(l layer) bool { ok, _ := path.Match(l.packages, own); return ok })
		if i < 0 {
			t.Errorf("%s has no line in layers(): say there what it may import", own)
			continue
		}
		for _, dep := range p.Imports {
			if !layers()[i].allows(strings.TrimPrefix(dep, "weft/"), strings.HasPrefix(dep, "weft/")) {
				t.Errorf("%s must not import %s", own, dep)
			}
		}
	}
}

func (l layer) allows(dep string, ours bool) bool {
	if !ours && !strings.Contains(strings.Split(dep, "/")[0], ".") {
		return !l.pure || !impure(dep)
	}
	if ours && (dep == "agent" && !strings.HasPrefix(l.packages, "cmd/") ||
		strings.HasPrefix(dep, "cmd/") ||
		strings.HasPrefix(dep, "test/") && !strings.HasPrefix(l.packages, "test/")) {
		return false
	}
	return slices.ContainsFunc(l.may, func(m string) bool {
		below, tree := strings.CutSuffix(m, "/...")
		return m == dep || ours && m == "weft/..." || tree && (dep == below || strings.HasPrefix(dep, below+"/"))
	})
}

func impure(std string) bool {
	return std != "net/netip" && slices.Contains([]string{"os", "net", "syscall"}, strings.Split(std, "/")[0])
}

// A package's name says what it holds; these names hold anything.
func TestPackageNames(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "types", "base", "misc", "shared", "lib"}
	for _, p := range listPackages(t) {
		if slices.Contains(vague, p.Name) {
			t.Errorf("%s: no package is named %s", p.ImportPath, p.Name)
		}
	}
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports", "weft/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}
