package probe

import (
	"fmt"
	"os"
	"strings"
)

// mount is one line of /proc/PID/mountinfo.
type mount struct {
	// root of the mount within its file system, and where it is mounted.
	root, point string
	fsType      string
	// superOptions are the file system's own, e.g. the v1 controllers.
	superOptions string
}

func readMounts(path string) ([]mount, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return parseMounts(string(b)), nil
}

// parseMounts skips lines it does not understand.
func parseMounts(text string) []mount {
	var out []mount
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 {
			continue
		}
		out = append(out, mount{
			root:         unescape.Replace(left[3]),
			point:        unescape.Replace(left[4]),
			fsType:       right[0],
			superOptions: right[2],
		})
	}
	return out
}
