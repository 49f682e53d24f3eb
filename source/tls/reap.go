package tls

import (
	"errors"

	"github.com/cilium/ebpf"
)

// lingering is how long a closed Go connection stays known, for reads that end late.
const lingering = 10e9

// reaper deletes what no event deletes from the kernel's tables: objects and
// calls of programs that ended in the middle, closed connections of Go.
type reaper struct {
	k *kernel
	// ended is when programs ended, by tgid, in monotonic ns.
	ended map[uint32]uint64
}

func newReaper(k *kernel) *reaper { return &reaper{k: k, ended: map[uint32]uint64{}} }

// exited notes that the program of a process ended. The process may go on with
// another one, whose objects are younger.
func (r *reaper) exited(tgid uint32, at uint64) { r.ended[tgid] = at }

// sweep goes through the tables at a time in monotonic ns.
func (r *reaper) sweep(now uint64) error {
	if now < lingering {
		return nil
	}
	err := errors.Join(r.objects(now), r.calls())
	clear(r.ended)
	return err
}

func (r *reaper) objects(now uint64) error {
	var key bpfObjectKey
	var o bpfObject
	var dead []bpfObjectKey
	it := r.k.base.Maps["objects"].Iterate()
	for it.Next(&key, &o) {
		if o.Created < r.ended[key.Tgid] || o.Closed != 0 && o.Closed < now-lingering {
			dead = append(dead, key)
		}
	}
	return errors.Join(ended(it), remove(r.k.base.Maps["objects"], dead))
}

func (r *reaper) calls() error {
	if len(r.ended) == 0 {
		return nil
	}
	var key bpfCallKey
	var c bpfCall
	var dead []bpfCallKey
	it := r.k.base.Maps["calls"].Iterate()
	for it.Next(&key, &c) {
		if c.Time < r.ended[key.Tgid] {
			dead = append(dead, key)
		}
	}
	return errors.Join(ended(it), remove(r.k.base.Maps["calls"], dead))
}

// ended is the error of a walk. One that programs disturb too much ends early:
// the next sweep finds the rest.
func ended(it *ebpf.MapIterator) error {
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return err
	}
	return nil
}

// remove deletes keys; a key that has gone by itself is all right.
func remove[K any](m *ebpf.Map, keys []K) error {
	var errs []error
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
