package config

import (
	"strings"
	"testing"
)

// Sizes that are not given follow from mem_limit; a limit that cannot be kept
// to is a mistake at its line.
func TestMemLimitSizesTables(t *testing.T) {
	c := mustLoad(t, "[[inputs.ebpf]]\nmem_limit = \"64MiB\"\nmax_flows = 2048\n", nil)
	if c.Netflow.MaxSockets >= 131072 || c.Netflow.MaxFlows != 2048 || c.L7.RingSize >= 8 || c.Tables.Side == 0 {
		t.Errorf("%+v %+v %+v", c.Netflow, c.L7, c.Tables)
	}
	if c := mustLoad(t, "", nil); c.Netflow.MaxSockets != 131072 || c.Tables.Side != 0 {
		t.Errorf("without a limit: %+v %+v", c.Netflow, c.Tables)
	}
	for text, want := range map[string]string{
		"[[inputs.ebpf]]\nmem_limit = \"20MiB\"\n": ":2: mem_limit: 20.0MiB is too little; allowed: ",
		"[[inputs.ebpf]]\nmax_sockets = 131072\nmem_limit = \"64MiB\"\n": ":3: mem_limit: 64.0MiB is too little for the " +
			"table sizes that are given; allowed: ",
	} {
		if _, err := load(t, text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
