package config

import (
	"fmt"
	"os"
	"slices"
)

// maxFileSize keeps a wrong path from filling the memory.
const maxFileSize = 4 << 20

// Load merges flags, environment (KEY=VALUE, as of os.Environ), the file that
// --config names and the defaults. It may be called again to read anew. What
// is wrong comes back as Problems, all of it; a file that cannot be read, as
// another error.
func Load(f *Flags, environ []string) (*Config, error) {
	l := newLoader()
	if f.ConfigFile != "" {
		data, err := readLimited(f.ConfigFile)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		l.file(f.ConfigFile, data)
	}
	l.take(readEnv(l.schema, environ))
	l.take(f.settings, nil)
	return l.finish(environ)
}

// LoadFile reads a file alone, without flags and environment.
func LoadFile(path string) (*Config, error) {
	return Load(&Flags{ConfigFile: path}, nil)
}

func readLimited(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFileSize)
	}
	return os.ReadFile(path)
}

// loader collects the settings of all sources, then applies them in order.
type loader struct {
	schema   *schema
	cfg      *Config
	settings []setting
	problems []Problem
	from     map[string]place // key id → where the value in effect came from
	linker   bool             // an [[inputs.ebpftrace]] block was seen
	hasFile  bool
}

func newLoader() *loader {
	return &loader{schema: newSchema(), cfg: Default(), from: map[string]place{}}
}

func (l *loader) file(name string, data []byte) {
	r := readFile(l.schema, name, data)
	l.hasFile = true
	_, l.linker = r.blocks[blockLinker]
	l.cfg.Environ = r.environ
	l.take(r.settings, r.problems)
}

func (l *loader) take(settings []setting, problems []Problem) {
	l.settings = append(l.settings, settings...)
	l.problems = append(l.problems, problems...)
}

// finish applies and checks everything and works out the remaining defaults.
func (l *loader) finish(environ []string) (*Config, error) {
	slices.SortStableFunc(l.settings, func(a, b setting) int { return int(a.at.rank) - int(b.at.rank) })
	for _, s := range l.settings {
		l.apply(s)
	}
	l.check()
	l.derive(environ)
	return l.result()
}

// apply sets one value. Also values that a higher source replaces are checked:
// a mistake in the file is one even when a flag hides it.
func (l *loader) apply(s setting) {
	if s.key.Note != "" {
		l.warn(s.at, s.key.Note)
	}
	faults := s.key.bind.set(l.cfg, s.val)
	for _, f := range faults {
		l.problems = append(l.problems, s.at.fault(f))
	}
	if faults == nil {
		l.from[s.key.id()] = s.at
		l.linker = l.linker || s.key.Block == blockLinker
	}
}

func (l *loader) warn(at place, text string) {
	p := at.problem(text)
	p.Warning = true
	l.problems = append(l.problems, p)
}

func (l *loader) fail(at place, text string) {
	l.problems = append(l.problems, at.problem(text))
}

func (l *loader) result() (*Config, error) {
	errors := Problems{}
	for _, p := range sorted(l.problems) {
		if p.Warning {
			l.cfg.Warnings = append(l.cfg.Warnings, p.String())
		}
		errors = append(errors, p)
	}
	if !slices.ContainsFunc(errors, func(p Problem) bool { return !p.Warning }) {
		return l.cfg, nil
	}
	return nil, errors
}
