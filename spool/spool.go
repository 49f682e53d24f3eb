// Package spool is a bounded first-in-first-out queue of opaque messages on
// disk: where a sink keeps what its server could not take, over an outage and
// over a restart.
//
// Once: a message leaves the spool when it was acknowledged, and the read
// position is on file before Ack returns. Only a process that dies (kill -9)
// between the server's answer and Ack sends that one message again.
//
// Durability: Append and Ack write to the page cache, which outlives the
// process. They are forced to the disk by Sync, which the owner calls when it
// has put a burst away, at the end of each segment, and by Close. A power
// failure can lose messages appended, and repeat messages acknowledged, since
// then.
//
// On disk: segment files of framed messages, in order of their names, and the
// file cursor with the read position. Over the byte bound the oldest segment
// goes as a whole; a segment is deleted when its last message is acknowledged.
package spool

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// The reasons given to Options.Lost.
const (
	// Full: the oldest messages made room for new ones.
	Full = "spool_full"
	// Corrupt: damaged bytes were skipped. A damaged region that was found
	// when the spool was opened counts as one item, since nobody knows how
	// many it held.
	Corrupt = "spool_corrupt"
)

// ErrTooLarge is returned by Append for a message larger than the bound.
var ErrTooLarge = errors.New("message is larger than the spool")

// Message is one opaque message and the number of items (points) in it, by
// which losses are counted.
type Message struct {
	Body  []byte
	Items int
}

// Options of a spool.
type Options struct {
	// Dir is made when it does not exist, readable by its owner only.
	Dir string
	// MaxBytes bounds the segment files together.
	MaxBytes int64
	// SegmentBytes is where a segment ends and also what an overflow drops at
	// once. 0 is a sixteenth of MaxBytes, between 64 KiB and 4 MiB.
	SegmentBytes int64
	// Lost, when set, is told about every item that will not be delivered. It
	// must not call the spool.
	Lost func(reason string, items int)
}

// Spool is a bounded queue on disk. All methods are safe for concurrent use,
// but at most one message is out (between Next and Ack or Release) at a time.
type Spool struct {
	mu       sync.Mutex
	opts     Options
	dir      *os.File // holds the lock
	cursor   *cursor
	segments []*segment // oldest first
	nextID   uint64
	active   writer   // appends to the last segment; nil when there is none
	head     *os.File // reads the first segment; nil when not open
	off      int64    // of the oldest message in the first segment
	out      *outgoing
	create   func(path string) (writer, error)
	newNames bool // the directory has names that are not yet on disk
}

// outgoing is the message between Next and Ack or Release.
type outgoing struct {
	items int
	next  int64 // offset behind it
	// orphan is set when the message's segment was dropped meanwhile.
	orphan bool
}

// Open opens the spool in o.Dir and takes its lock, which a second process
// does not get. Damaged files are no error; see Corrupt.
func Open(o Options) (*Spool, error) {
	if o.MaxBytes <= 0 {
		return nil, fmt.Errorf("open spool: bound of %d bytes", o.MaxBytes)
	}
	if o.Lost == nil {
		o.Lost = func(string, int) {}
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = min(max(o.MaxBytes/16, 64<<10), 4<<20, max(o.MaxBytes/2, 1))
	}
	s := &Spool{opts: o, create: createFile}
	if err := s.open(); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

func (s *Spool) open() (err error) {
	if err = os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	if s.dir, err = os.Open(s.opts.Dir); err != nil {
		return err
	}
	if err = syscall.Flock(int(s.dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another process: %w", s.opts.Dir, err)
	}
	if s.cursor, err = openCursor(s.opts.Dir); err != nil {
		return err
	}
	return s.load()
}

// Append puts m behind all others. When the bound demands it, the oldest
// messages are dropped and told to Lost. After an error m is not in the spool.
func (s *Spool) Append(m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return fmt.Errorf("append to spool: %w", os.ErrClosed)
	}
	need := frameSize(m)
	if need > s.opts.MaxBytes {
		return ErrTooLarge
	}
	for s.bytes()+need > s.opts.MaxBytes {
		s.dropOldest()
	}
	if err := s.roll(need); err != nil {
		return fmt.Errorf("start spool segment: %w", err)
	}
	if err := s.write(m); err != nil {
		return fmt.Errorf("append to spool: %w", err)
	}
	return nil
}

// Next returns the oldest message, which is then out until Ack or Release;
// false when the spool is empty. Damaged bytes are skipped; Lost hears of them
// at the end of their segment.
func (s *Spool) Next() (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.dir != nil && len(s.segments) > 0 {
		m, next, err := s.readHead()
		if err == nil {
			s.out = &outgoing{items: m.Items, next: next}
			return m, true
		}
		// The cursor only saves work here: the segment's file is gone.
		_ = s.endOldest()
	}
	return Message{}, false
}

// Ack deletes the message that is out, because it was delivered or will never
// be. An error means that a restart could bring it back.
func (s *Spool) Ack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	s.out = nil
	if out == nil || out.orphan {
		return nil
	}
	seg := s.segments[0]
	s.off = out.next
	seg.items -= out.items
	seg.messages--
	if s.off >= seg.size {
		return s.endOldest()
	}
	return s.cursor.save(seg.id, s.off)
}

// Release leaves the message that is out where it is: Next returns it again,
// unless the bound took it meanwhile.
func (s *Spool) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil && s.out.orphan {
		s.lose(Full, s.out.items)
	}
	s.out = nil
}

// Stats is how much the spool holds; Bytes is the size of its segment files.
type Stats struct {
	Messages, Items int
	Bytes           int64
}

// Stats returns how much the spool holds, the message that is out included.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Bytes: s.bytes()}
	for _, seg := range s.segments {
		st.Messages += seg.messages
		st.Items += seg.items
	}
	return st
}

// Sync forces everything to the disk.
func (s *Spool) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sync()
}

func (s *Spool) sync() error {
	var err error
	if s.active != nil {
		err = s.active.Sync()
	}
	err = errors.Join(err, s.cursor.file.Sync())
	if s.newNames && err == nil {
		err = s.dir.Sync()
		s.newNames = err != nil
	}
	if err != nil {
		return fmt.Errorf("sync spool: %w", err)
	}
	return nil
}

// Close forces everything to the disk and gives up the lock. An empty spool
// leaves an empty directory.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return nil
	}
	err := s.sync()
	if len(s.segments) == 0 {
		err = errors.Join(err, os.Remove(s.cursor.file.Name()))
	}
	s.closeFiles()
	return err
}

func (s *Spool) closeFiles() {
	if s.active != nil {
		_ = s.active.Close()
	}
	if s.head != nil {
		_ = s.head.Close()
	}
	if s.cursor != nil {
		_ = s.cursor.file.Close()
	}
	if s.dir != nil {
		_ = s.dir.Close()
	}
	s.active, s.head, s.dir = nil, nil, nil
}
