package conn

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf/link"
)

// What the walk over the file tables does; the enum in seed.h.
const (
	seedListeners uint32 = iota
	seedConns
	seedResolve
	seedUDP
)

// walks are the two iterators: over all file tables, and over socks.
type walks struct {
	seed, snapshot *link.Iter
}

// openWalks attaches the iterators; the snapshot program comes with the TCP door.
func (k *kernel) openWalks() (walks, error) {
	progs, err := k.load([]string{"seed"})
	if err != nil {
		return walks{}, err
	}
	k.walk.programs = progs
	var w walks
	w.seed, err = link.AttachIter(link.IterOptions{Program: progs["seed"]})
	if err != nil {
		return walks{}, fmt.Errorf("attach the walk over file tables: %w", err)
	}
	k.walk.links = map[string]link.Link{"seed": w.seed}
	snap := k.tcp.programs["snapshot"]
	if snap == nil {
		snap = k.tcp.programs["snapshot_nofetch"]
	}
	w.snapshot, err = link.AttachIter(link.IterOptions{Program: snap, Map: k.base.Maps["socks"]})
	if err != nil {
		return walks{}, fmt.Errorf("attach the walk over sockets: %w", err)
	}
	k.walk.links["snapshot"] = w.snapshot
	return w, nil
}

// run makes one pass of an iterator. The programs print nothing; reading to
// the end is what makes them run over every element.
func run(it *link.Iter) error {
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// seedAs walks all file tables in one of the modes.
func (k *kernel) seedAs(w walks, mode uint32) error {
	if err := k.base.Variables["seed_mode"].Set(mode); err != nil {
		return fmt.Errorf("set the seed's mode: %w", err)
	}
	return run(w.seed)
}

// walkSlice goes through one slice of the sockets and leaves an eighth of the
// flow table free; left says that sockets were passed over for that.
func (k *kernel) walkSlice(w walks, mask, at uint32, maxFlows int) (left bool, err error) {
	for name, v := range map[string]any{
		"slice_mask": mask, "slice_at": at, "slice_left": uint32(0), "slice_room": uint64(maxFlows - maxFlows/8),
	} {
		if err := k.base.Variables[name].Set(v); err != nil {
			return false, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := run(w.snapshot); err != nil {
		return false, err
	}
	var n uint32
	err = k.base.Variables["slice_left"].Get(&n)
	return n != 0, err
}
