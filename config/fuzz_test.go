package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzFile: any file either loads into a configuration within its limits, or
// gives problems that have a line of the file and a text.
func FuzzFile(f *testing.F) {
	names, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(Sample()))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader()
		l.file("f", data)
		c, err := l.finish(nil)
		if err == nil {
			if c.Interval < time.Second || len(c.Sinks) == 0 || len(c.EnabledPlugins) == 0 || c.Netflow.EphemeralPort < 0 {
				t.Errorf("%+v", c)
			}
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > strings.Count(string(data), "\n")+1 || p.Key == "" || p.Text == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
