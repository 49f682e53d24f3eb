package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is a decompressed kernel module.
type module struct {
	file    string // e.g. veth.ko
	content []byte
}

// errNoModule says that a kernel was built without the module.
var errNoModule = errors.New("no such module")

// moduleTree finds modules and their dependencies as depmod and modprobe would. Debian runs depmod when a kernel is
// installed, and ours never is, so there is no modules.dep: each module's own .modinfo names what it depends on.
type moduleTree struct {
	paths   map[string]string // name → path
	builtin map[string]bool
}

func openModuleTree(root string) (*moduleTree, error) {
	t := &moduleTree{paths: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(filepath.Join(root, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".ko") {
			t.paths[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing modules: %w", err)
	}
	// 7.x packages lack this list; a built-in module then counts as missing, which is only noted.
	list, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing built-in modules: %w", err)
	}
	for _, path := range strings.Fields(string(list)) {
		t.builtin[moduleName(path)] = true
	}
	return t, nil
}

// moduleName turns a path into the name the kernel knows: no suffixes, underscores for hyphens.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// resolve returns the modules in loading order, each once. What is built in needs no loading.
func (t *moduleTree) resolve(names []string) (list []module, missing []string, err error) {
	done := map[string]bool{}
	for _, name := range names {
		more, err := t.load(moduleName(name), done)
		if errors.Is(err, errNoModule) {
			missing = append(missing, name)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, more...)
	}
	return list, missing, nil
}

func (t *moduleTree) load(name string, done map[string]bool) ([]module, error) {
	if done[name] || t.builtin[name] {
		return nil, nil
	}
	path, ok := t.paths[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, errNoModule)
	}
	done[name] = true
	content, err := readModule(path)
	if err != nil {
		return nil, err
	}
	needs, err := dependencies(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// libcrc32c asks the kernel's crypto layer for crc32c by name, which no depends= shows. It is built in elsewhere.
	if name == "libcrc32c" && t.paths["crc32c_generic"] != "" {
		needs = append(needs, "crc32c_generic")
	}
	var list []module
	for _, need := range needs {
		more, err := t.load(moduleName(need), done)
		if err != nil {
			return nil, fmt.Errorf("%s needs %w", name, err)
		}
		list = append(list, more...)
	}
	return append(list, module{file: name + ".ko", content: content}), nil
}

// readModule decompresses on the host: 5.10 cannot do it, and an emulated CPU is slow at it.
func readModule(path string) ([]byte, error) {
	var tool string
	switch filepath.Ext(path) {
	case ".xz":
		tool = "xz"
	case ".zst":
		tool = "zstd"
	default:
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a module: %w", err)
		}
		return content, nil
	}
	content, err := exec.Command(tool, "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("%s -dc %s: %w", tool, path, err)
	}
	return content, nil
}

// dependencies reads "depends=a,b" from a module's .modinfo section.
func dependencies(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("reading a module: %w", err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("not a module: no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("reading .modinfo: %w", err)
	}
	return parseDepends(info), nil
}

// parseDepends takes NUL-separated key=value pairs.
func parseDepends(info []byte) []string {
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ",")
		}
	}
	return nil
}
