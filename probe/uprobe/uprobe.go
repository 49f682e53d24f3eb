// Package uprobe puts probes into files that processes run, many places at a time.
package uprobe

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Point is where one program is attached in a file, by offsets in it.
type Point struct {
	Program string
	Offsets []uint64
	// Near, when there, has for each offset a cheaper place and the cookie that
	// the program gets there. It is for uprobe_multi only: others have no cookies.
	Near []Near
}

// Near is a place beside another, where a probe costs less.
type Near struct{ Offset, Cookie uint64 }

// Attacher attaches programs to functions of processes.
type Attacher struct {
	// Programs by name, loaded for uprobe_multi when Multi is set.
	Programs map[string]*ebpf.Program
	Multi    bool
}

// Attach puts probes into a file, for one process or (pid 0) for all that map
// it, all or nothing.
func (a Attacher) Attach(path string, points []Point, pid int) (links []link.Link, err error) {
	ex, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			Detach(links)
			links = nil
		}
	}()
	// The kernel waits for all CPUs at each: together they take as long as one.
	// The returns, which come first, are there before any entry is.
	if links, err = a.attachPoint(ex, points[0], pid); err != nil {
		return links, err
	}
	var wait sync.WaitGroup
	got := make([][]link.Link, len(points))
	errs := make([]error, len(points))
	for i, p := range points[1:] {
		wait.Go(func() { got[i], errs[i] = a.attachPoint(ex, p, pid) })
	}
	wait.Wait()
	for _, l := range got {
		links = append(links, l...)
	}
	return links, errors.Join(errs...)
}

func (a Attacher) attachPoint(ex *link.Executable, p Point, pid int) ([]link.Link, error) {
	prog := a.Programs[p.Program]
	if a.Multi {
		o := &link.UprobeMultiOptions{Addresses: p.Offsets, PID: uint32(pid)}
		if p.Near != nil {
			o.Addresses = nil
			for _, n := range p.Near {
				o.Addresses, o.Cookies = append(o.Addresses, n.Offset), append(o.Cookies, n.Cookie)
			}
		}
		l, err := ex.UprobeMulti(nil, prog, o)
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", p.Program, err)
		}
		return []link.Link{l}, nil
	}
	var wait sync.WaitGroup
	links, errs := make([]link.Link, len(p.Offsets)), make([]error, len(p.Offsets))
	for i, off := range p.Offsets {
		wait.Go(func() { links[i], errs[i] = ex.Uprobe("", prog, &link.UprobeOptions{Address: off, PID: pid}) })
	}
	wait.Wait()
	links = slices.DeleteFunc(links, func(l link.Link) bool { return l == nil })
	if err := errors.Join(errs...); err != nil {
		return links, fmt.Errorf("attach %s: %w", p.Program, err)
	}
	return links, nil
}

// Detach detaches probes, at the same time for the same reason.
func Detach(links []link.Link) {
	var wait sync.WaitGroup
	for _, l := range links {
		wait.Go(func() { l.Close() })
	}
	wait.Wait()
}
