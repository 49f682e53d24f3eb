package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const suffix = ".spool"

// segment is one file of the spool. Items and messages are what is left in it;
// a damaged region found by load is one of each.
type segment struct {
	id              uint64
	size            int64
	messages, items int
}

// writer is the part of a file that appending needs; tests put a full disk in
// its place.
type writer interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

func createFile(path string) (writer, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
}

func (s *Spool) path(id uint64) string {
	return filepath.Join(s.opts.Dir, fmt.Sprintf("%016x%s", id, suffix))
}

// load finds the segments and counts what they hold, as of the cursor. New
// messages go to a new segment, so a torn end never needs mending.
func (s *Spool) load() error {
	entries, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return err
	}
	s.nextID = max(s.cursor.seg, 1)
	for _, e := range entries {
		id, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 16, 64)
		if err != nil || e.Name() != filepath.Base(s.path(id)) {
			continue
		}
		s.nextID = max(s.nextID, id+1)
		if id < s.cursor.seg {
			// The process died between moving the cursor and deleting the file.
			_ = os.Remove(s.path(id))
			continue
		}
		s.segments = append(s.segments, &segment{id: id})
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return cmp.Compare(a.id, b.id) })
	if len(s.segments) > 0 && s.segments[0].id == s.cursor.seg {
		s.off = s.cursor.off
	}
	for i, seg := range s.segments {
		off := s.off
		if i > 0 {
			off = 0
		}
		s.count(seg, off)
	}
	return nil
}

// count fills seg from its file, from off on.
func (s *Spool) count(seg *segment, off int64) {
	f, err := os.Open(s.path(seg.id))
	if err != nil {
		seg.messages, seg.items = 1, 1
		return
	}
	defer f.Close()
	if seg.size, err = f.Seek(0, io.SeekEnd); err != nil {
		seg.messages, seg.items = 1, 1
		return
	}
	for off < seg.size {
		m, start, next, err := findFrame(f, off, seg.size)
		if start > off {
			seg.messages++
			seg.items++
		}
		if err != nil {
			return
		}
		seg.messages++
		seg.items += m.Items
		off = next
	}
}

// readHead reads the oldest message of the first segment. An error means that
// the segment holds no message any more.
func (s *Spool) readHead() (Message, int64, error) {
	seg := s.segments[0]
	if s.head == nil {
		f, err := os.Open(s.path(seg.id))
		if err != nil {
			return Message{}, 0, err
		}
		s.head = f
	}
	m, _, next, err := findFrame(s.head, s.off, seg.size)
	return m, next, err
}

// roll makes sure that the last segment has room for need bytes.
func (s *Spool) roll(need int64) error {
	if s.active != nil {
		last := s.segments[len(s.segments)-1]
		if last.size == 0 || last.size+need <= s.opts.SegmentBytes {
			return nil
		}
		err := s.active.Sync()
		err = errors.Join(err, s.active.Close())
		s.active = nil
		if err != nil {
			return err
		}
	}
	w, err := s.create(s.path(s.nextID))
	if err != nil {
		return err
	}
	s.active, s.newNames = w, true
	s.segments = append(s.segments, &segment{id: s.nextID})
	s.nextID++
	return nil
}

// write appends m to the last segment. What a failed write left is cut off, or
// read over as damage where even that fails, and the segment ends there.
func (s *Spool) write(m Message) error {
	seg := s.segments[len(s.segments)-1]
	frame := appendFrame(make([]byte, 0, frameSize(m)), m)
	if _, err := s.active.Write(frame); err != nil {
		cut := s.active.Truncate(seg.size)
		_ = s.active.Close()
		s.active = nil
		if seg.size == 0 {
			s.segments = s.segments[:len(s.segments)-1]
			_ = os.Remove(s.path(seg.id))
		}
		return errors.Join(err, cut)
	}
	seg.size += int64(len(frame))
	seg.messages++
	seg.items += m.Items
	return nil
}

func (s *Spool) bytes() (n int64) {
	for _, seg := range s.segments {
		n += seg.size
	}
	return n
}

// dropOldest makes room. The message that is out may still be delivered, so
// it is lost only when Release says that it was not.
func (s *Spool) dropOldest() {
	lost := s.segments[0].items
	if s.out != nil && !s.out.orphan {
		s.out.orphan = true
		lost -= s.out.items
	}
	s.lose(Full, lost)
	// An error would mean that the messages come back after a restart.
	_ = s.removeOldest()
}

// endOldest removes the first segment after its last message. Items that are
// left were in damaged bytes.
func (s *Spool) endOldest() error {
	s.lose(Corrupt, s.segments[0].items)
	return s.removeOldest()
}

func (s *Spool) lose(reason string, items int) {
	if items > 0 {
		s.opts.Lost(reason, items)
	}
}

// removeOldest moves the cursor behind the first segment, then deletes it: in
// the other order a crash could make the cursor point into the wrong file.
func (s *Spool) removeOldest() error {
	seg := s.segments[0]
	s.segments, s.off = s.segments[1:], 0
	if s.head != nil {
		_ = s.head.Close()
		s.head = nil
	}
	if len(s.segments) == 0 && s.active != nil {
		_ = s.active.Close()
		s.active = nil
	}
	err := s.cursor.save(seg.id+1, 0)
	if err := os.Remove(s.path(seg.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete spool segment: %w", err)
	}
	return err
}
