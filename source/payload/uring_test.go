package payload

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What <linux/io_uring.h> says.
const (
	ringOffSQ, ringOffCQ, ringOffSQE = 0, 0x8000000, 0x10000000
	ringOpSend                       = 26
	ringGetEvents                    = 1
)

type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   [10]uint32 // head, tail, mask, entries, flags, dropped, array, …
	cq                                                   [10]uint32 // head, tail, mask, entries, overflow, cqes, …
}

type ringSQE struct {
	op, flags   uint8
	prio        uint16
	fd          int32
	off, addr   uint64
	size, extra uint32
	user        uint64
	_           [3]uint64
}

type ringCQE struct {
	user  uint64
	res   int32
	flags uint32
}

// uring is a ring with one place.
type uring struct {
	fd     int
	p      ringParams
	sq, cq []byte
	sqe    *ringSQE
}

func newRing() (*uring, error) {
	r := &uring{}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&r.p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	var err error
	const rw = unix.PROT_READ | unix.PROT_WRITE
	if r.sq, err = unix.Mmap(r.fd, ringOffSQ, int(r.p.sq[6]+4*r.p.sqEntries), rw, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	cqes := int(r.p.cq[5]) + int(r.p.cqEntries)*int(unsafe.Sizeof(ringCQE{}))
	if r.cq, err = unix.Mmap(r.fd, ringOffCQ, cqes, rw, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	sqes, err := unix.Mmap(r.fd, ringOffSQE, int(unsafe.Sizeof(ringSQE{})), rw, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	r.sqe = (*ringSQE)(unsafe.Pointer(&sqes[0]))
	return r, nil
}

func word(b []byte, at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[at])) }

// do submits the entry and waits for its result.
func (r *uring) do(e ringSQE) (int, error) {
	*r.sqe = e
	*word(r.sq, r.p.sq[6]) = 0
	atomic.AddUint32(word(r.sq, r.p.sq[1]), 1)
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, ringGetEvents, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("io_uring_enter: %w", errno)
	}
	head := word(r.cq, r.p.cq[0])
	at := r.p.cq[5] + (*head&*word(r.cq, r.p.cq[2]))*uint32(unsafe.Sizeof(ringCQE{}))
	got := (*ringCQE)(unsafe.Pointer(&r.cq[at])).res
	atomic.AddUint32(head, 1)
	if got < 0 {
		return 0, unix.Errno(-got)
	}
	return int(got), nil
}

func ringSend(fd int, data []byte) error {
	r, err := newRing()
	if err != nil {
		return err
	}
	defer unix.Close(r.fd)
	return each(data, 20000, func(b []byte) (int, error) {
		at := uint64(uintptr(unsafe.Pointer(&b[0])))
		return r.do(ringSQE{op: ringOpSend, fd: int32(fd), addr: at, size: uint32(len(b))})
	})
}
