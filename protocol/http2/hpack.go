package http2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// The library's decoder gives up at the first reference to an entry that it
// did not see inserted, and cannot go on behind missed blocks. So the table is
// kept here; Huffman's code and the static table are the library's.

// name is a header field's name, as far as we want it.
type name uint8

const (
	other name = iota
	unseen
	method
	path
	authority
	host
	status
	contentType
	grpcStatus
	grpcMessage
	names
)

func nameOf(b []byte) name {
	switch string(b) {
	case ":method":
		return method
	case ":path":
		return path
	case ":authority":
		return authority
	case "host":
		return host
	case ":status":
		return status
	case "content-type":
		return contentType
	case "grpc-status":
		return grpcStatus
	case "grpc-message":
		return grpcMessage
	}
	return other
}

// fields are what we keep of a header block.
type fields struct {
	value [names]string
	have  [names]bool
	// unseen: some field was not to be told, so what is absent may be there.
	unseen bool
}

func (f *fields) add(n name, value string) {
	if n == unseen {
		f.unseen = true
	} else if !f.have[n] {
		f.value[n], f.have[n] = value, true
	}
}

// entry is a header field in a table; the value of other names is not kept.
type entry struct {
	name          name
	nameLen, size int
	value         string
}

func newEntry(n name, nameLen int, value []byte) entry {
	// Section 4.1 of RFC 7541: an entry takes 32 bytes beyond its strings.
	e := entry{name: n, nameLen: nameLen, size: nameLen + len(value) + 32}
	if n != other && n != unseen {
		e.value = string(value)
	}
	return e
}

// staticTable is that of RFC 7541 appendix A; index 0 is unused.
func staticTable() []entry {
	const last = 61
	table := make([]entry, 1, last+1)
	d := hpack.NewDecoder(0, func(f hpack.HeaderField) {
		table = append(table, newEntry(nameOf([]byte(f.Name)), len(f.Name), []byte(f.Value)))
	})
	for i := range last {
		// It cannot fail: every index of the static table is there.
		_, _ = d.Write([]byte{0x80 | byte(i+1)})
	}
	return table
}

const (
	// defaultTable is the size of a table until it is changed (RFC 9113
	// section 6.5.2); maxTable is how much of a larger one we keep.
	defaultTable = 4 << 10
	maxTable     = 64 << 10
)

// decoder decodes the header blocks of one side (RFC 7541). Dynamic indices
// count from the newest entry, so those that it saw inserted are exact even
// when older ones are not known; those it holds longer than the true table
// does are never referred to.
type decoder struct {
	static  []entry
	entries []entry // the newest is the last
	size    int
	// limit is the size that the encoder set; allowed is how far it may.
	limit, allowed int
	// complete: an index that is not here is an error, not an unseen entry.
	complete bool
	scratch  bytes.Buffer
}

func newDecoder(static []entry, complete bool) decoder {
	d := decoder{static: static, limit: defaultTable, allowed: defaultTable, complete: complete}
	if !complete {
		d.miss()
	}
	return d
}

// miss forgets the table: a block was not seen.
func (d *decoder) miss() {
	d.entries, d.size, d.limit, d.complete = nil, 0, maxTable, false
}

// decode adds a block's fields to f. When it is false the block is malformed
// and the table lost.
func (d *decoder) decode(block []byte, f *fields) bool {
	for len(block) > 0 {
		b, ok := block[0], false
		if b&0xe0 == 0x20 { // table size update, section 6.3
			var n int
			n, block, ok = integer(block, 5)
			if !ok || !d.resize(n) {
				d.miss()
				return false
			}
			continue
		}
		var e entry
		switch {
		case b&0x80 != 0: // indexed, section 6.1
			var n int
			if n, block, ok = integer(block, 7); ok {
				e, ok = d.at(n)
			}
		case b&0x40 != 0: // literal with incremental indexing, section 6.2.1
			if e, block, ok = d.literal(block, 6); ok {
				d.insert(e)
			}
		default: // literal without indexing, sections 6.2.2 and 6.2.3
			e, block, ok = d.literal(block, 4)
		}
		if !ok {
			d.miss()
			return false
		}
		f.add(e.name, e.value)
	}
	return true
}

// at is the entry of an index; one that was not seen is of name unseen.
func (d *decoder) at(index int) (e entry, ok bool) {
	dynamic := index - len(d.static)
	switch {
	case index == 0:
		return entry{}, false
	case dynamic < 0:
		return d.static[index], true
	case dynamic < len(d.entries):
		return d.entries[len(d.entries)-1-dynamic], true
	}
	return entry{name: unseen}, !d.complete
}

func (d *decoder) literal(block []byte, prefix int) (e entry, rest []byte, ok bool) {
	index, rest, ok := integer(block, prefix)
	if !ok {
		return e, rest, false
	}
	var n name
	var nameLen int
	if index > 0 {
		named, found := d.at(index)
		if !found {
			return e, rest, false
		}
		n, nameLen = named.name, named.nameLen
	} else {
		var b []byte
		if b, rest, ok = d.text(rest); !ok {
			return e, rest, false
		}
		n, nameLen = nameOf(b), len(b)
	}
	value, rest, ok := d.text(rest)
	if !ok {
		return e, rest, false
	}
	return newEntry(n, nameLen, value), rest, true
}

// text reads a string (section 5.2), valid until the next call.
func (d *decoder) text(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	huffman := b[0]&0x80 != 0
	n, rest, ok := integer(b, 7)
	if !ok || n > len(rest) {
		return nil, nil, false
	}
	s, rest = rest[:n], rest[n:]
	if huffman {
		d.scratch.Reset()
		if _, err := hpack.HuffmanDecode(&d.scratch, s); err != nil {
			return nil, nil, false
		}
		s = d.scratch.Bytes()
	}
	return s, rest, true
}

func (d *decoder) insert(e entry) {
	d.entries = append(d.entries, e)
	d.size += e.size
	d.evict()
}

// resize follows the encoder (section 4.2). What we do not keep of a large
// table is unseen.
func (d *decoder) resize(n int) bool {
	if n > d.allowed && d.complete {
		return false
	}
	if n > maxTable {
		n, d.complete = maxTable, false
	}
	d.limit = n
	d.evict()
	return true
}

func (d *decoder) evict() {
	old := 0
	for d.size > d.limit {
		d.size -= d.entries[old].size
		d.entries[old] = entry{}
		old++
	}
	d.entries = d.entries[old:]
}

// integer reads a number with a prefix of some bits (section 5.1). Nothing
// that we accept is larger than 2^31.
func integer(b []byte, prefix int) (n int, rest []byte, ok bool) {
	mask := 1<<prefix - 1
	n = int(b[0]) & mask
	b = b[1:]
	if n < mask {
		return n, b, true
	}
	for shift := 0; shift <= 28 && len(b) > 0; shift += 7 {
		c := b[0]
		b = b[1:]
		n += int(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, b, n <= 1<<31-1
		}
	}
	return 0, b, false
}
