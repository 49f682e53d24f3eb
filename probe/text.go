package probe

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// textWidth is where lines of the report are broken.
const textWidth = 110

// detail writes "    label  text", broken into lines; nothing for no text.
func detail(w io.Writer, label, text string) {
	if text != "" {
		column(w, fmt.Sprintf("    %-5s  ", label), text)
	}
}

func factLine(w io.Writer, name, value string) {
	column(w, fmt.Sprintf("%-16s  ", name), value)
}

// column writes text behind a head, further lines below its first.
func column(w io.Writer, head, text string) {
	indent := strings.Repeat(" ", len(head))
	line := head
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > textWidth {
			fmt.Fprintln(w, line)
			line = indent
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}

// ink colours text, or not.
type ink bool

// inkFor is on for a terminal whose user has not set NO_COLOR.
func inkFor(w io.Writer) ink {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (i ink) paint(code, s string) string {
	if !i {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (i ink) bold(s string) string { return i.paint("1", s) }
func (i ink) good(s string) string { return i.paint("32", s) }
func (i ink) bad(s string) string  { return i.paint("1;31", s) }
