package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// cursor is the persistent read position: everything in segments below seg,
// and in seg below off, is done. Its file has two slots that are written in
// turn, so that a torn write leaves the position before it.
type cursor struct {
	file *os.File
	seq  uint64
	seg  uint64
	off  int64
}

const slotSize = 32

// openCursor reads the position; a new or unreadable file means the beginning.
func openCursor(dir string) (*cursor, error) {
	f, err := os.OpenFile(filepath.Join(dir, "cursor"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	c := &cursor{file: f}
	for slot := range int64(2) {
		var b [slotSize]byte
		if _, err := f.ReadAt(b[:], slot*slotSize); err != nil {
			continue
		}
		seq := binary.LittleEndian.Uint64(b[0:])
		if slotSum(b[:]) != binary.LittleEndian.Uint32(b[24:]) || seq <= c.seq {
			continue
		}
		c.seq = seq
		c.seg = binary.LittleEndian.Uint64(b[8:])
		c.off = int64(binary.LittleEndian.Uint64(b[16:]))
	}
	return c, nil
}

func (c *cursor) save(seg uint64, off int64) error {
	c.seq++
	c.seg, c.off = seg, off
	var b [slotSize]byte
	binary.LittleEndian.PutUint64(b[0:], c.seq)
	binary.LittleEndian.PutUint64(b[8:], seg)
	binary.LittleEndian.PutUint64(b[16:], uint64(off))
	binary.LittleEndian.PutUint32(b[24:], slotSum(b[:]))
	if _, err := c.file.WriteAt(b[:], int64(c.seq%2)*slotSize); err != nil {
		return fmt.Errorf("save spool position: %w", err)
	}
	return nil
}

func slotSum(b []byte) uint32 {
	return crc32.Checksum(b[:24], crc32.MakeTable(crc32.Castagnoli))
}
