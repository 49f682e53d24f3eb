package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
)

// A frame is a header of four little-endian words (magic, length of the body,
// items, CRC-32C of the two words before it and the body) and the body. The
// magic lets a reader find the next frame behind damage.
const (
	magic      = "WSP1"
	headerSize = 16
)

var errNoFrame = errors.New("no whole message")

func frameSize(m Message) int64 { return headerSize + int64(len(m.Body)) }

func appendFrame(dst []byte, m Message) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.Body)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(min(max(m.Items, 0), math.MaxUint32)))
	dst = binary.LittleEndian.AppendUint32(dst, frameSum(dst[start+4:start+12], m.Body))
	return append(dst, m.Body...)
}

func frameSum(words, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(words, table), table, body)
}

// readFrame reads the frame at off of a file of size bytes; next is the offset
// behind it.
func readFrame(f io.ReaderAt, off, size int64) (m Message, next int64, err error) {
	var h [headerSize]byte
	if size-off < headerSize {
		return m, 0, errNoFrame
	}
	if _, err := f.ReadAt(h[:], off); err != nil {
		return m, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(h[4:]))
	if string(h[:4]) != magic || length > size-off-headerSize {
		return m, 0, errNoFrame
	}
	body := make([]byte, length)
	if _, err := f.ReadAt(body, off+headerSize); err != nil {
		return m, 0, err
	}
	if frameSum(h[4:12], body) != binary.LittleEndian.Uint32(h[12:]) {
		return m, 0, errNoFrame
	}
	m = Message{Body: body, Items: int(binary.LittleEndian.Uint32(h[8:]))}
	return m, off + headerSize + length, nil
}

// findFrame reads the first whole frame at or behind off. It starts at start;
// when there is none, err is set and start is size.
func findFrame(f io.ReaderAt, off, size int64) (m Message, start, next int64, err error) {
	for start = off; start < size; {
		if m, next, err = readFrame(f, start, size); err == nil {
			return m, start, next, nil
		}
		skip, err := findMagic(io.NewSectionReader(f, start+1, size-start-1))
		if err != nil {
			break
		}
		start += 1 + skip
	}
	return Message{}, size, 0, errNoFrame
}

// findMagic returns the offset of the first magic in r.
func findMagic(r io.Reader) (int64, error) {
	const block = 64 << 10
	buf := make([]byte, 0, block+len(magic))
	base := int64(0)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if i := bytes.Index(buf, []byte(magic)); i >= 0 {
			return base + int64(i), nil
		}
		if err != nil {
			return 0, err
		}
		// Keep an end that may be the beginning of a magic.
		keep := min(len(buf), len(magic)-1)
		base += int64(len(buf) - keep)
		buf = append(buf[:0], buf[len(buf)-keep:]...)
	}
}
