package payload

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"weft/ledger"
	"weft/source/conn"
)

// TestLoad: the verifier takes the programs, on new kernels those of old ones,
// too. What it says is shown.
func TestLoad(t *testing.T) {
	needRoot(t)
	for _, fetch := range []bool{true, false} {
		t.Run(fmt.Sprint("fetch=", fetch), func(t *testing.T) {
			cfg := testConfig()
			base, err := conn.New(cfg, nil, ledger.New(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			k, err := loadKernel(cfg, base.Shared(), fetch)
			var said *ebpf.VerifierError
			if errors.As(err, &said) {
				t.Log(strings.Join(said.Log[max(0, len(said.Log)-60):], "\n"))
			}
			// Before Linux 5.11 there is no bpf_get_current_task_btf, before 5.12 no exchange.
			old := regexp.MustCompile("unknown|reserved fields")
			if err != nil && fetch && old.MatchString(err.Error()) {
				t.Skipf("this kernel has not all of it: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer k.close()
			for name, p := range k.coll.Programs {
				info, err := p.Info()
				if err != nil {
					t.Fatal(err)
				}
				if n, ok := info.VerifiedInstructions(); ok {
					t.Logf("%s: %d instructions verified", name, n)
				}
			}
		})
	}
}
