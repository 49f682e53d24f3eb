package payload

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
)

func TestLoad(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			n := len(v.Log)
			for _, l := range v.Log[max(0, n-60):] {
				t.Log(l)
			}
		}
		t.Fatal(err)
	}
	for n, p := range coll.Programs {
		i, _ := p.Info()
		x, _ := i.VerifiedInstructions()
		t.Log(n, x)
	}
	coll.Close()
}
