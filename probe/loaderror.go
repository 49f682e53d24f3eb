package probe

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
)

// LoadError makes an error of loading programs fit for one line: it drops the
// verifier's log, of which only the last line matters to a user, and the
// library's guess about memlock, which is wrong where a hook is refused.
func LoadError(err error) error {
	var v *ebpf.VerifierError
	switch {
	case errors.As(err, &v):
		return fmt.Errorf("%w (%s)", v.Cause, lastLine(v.Log))
	case errors.Is(err, syscall.EPERM):
		return syscall.EPERM
	}
	return err
}

func lastLine(log []string) string {
	for i := len(log) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(log[i]); l != "" && !strings.HasPrefix(l, "processed ") {
			return l
		}
	}
	return "no verifier log"
}
