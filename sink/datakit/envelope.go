package datakit

import (
	"encoding/binary"
	"errors"
	"slices"
)

// envelope is a request as the queue and the spool hold it: everything but the
// server, so that a restart with another address delivers it there.
type envelope struct {
	lines, gzip bool
	kind, input string
	body        []byte
}

const (
	envelopeVersion = 1
	flagLines       = 1
	flagGzip        = 2
)

var errEnvelope = errors.New("message is not a request of this sink")

// append writes version, flags, kind, input (each with its length) and body.
func (e *envelope) append(dst []byte) []byte {
	dst = slices.Grow(dst, len(e.body)+len(e.kind)+len(e.input)+8)
	flags := byte(0)
	if e.lines {
		flags |= flagLines
	}
	if e.gzip {
		flags |= flagGzip
	}
	dst = append(dst, envelopeVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(len(e.kind)))
	dst = append(dst, e.kind...)
	dst = binary.AppendUvarint(dst, uint64(len(e.input)))
	dst = append(dst, e.input...)
	return append(dst, e.body...)
}

func parseEnvelope(b []byte) (e envelope, err error) {
	if len(b) < 2 || b[0] != envelopeVersion {
		return e, errEnvelope
	}
	e.lines, e.gzip = b[1]&flagLines != 0, b[1]&flagGzip != 0
	b = b[2:]
	for _, s := range []*string{&e.kind, &e.input} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return e, errEnvelope
		}
		*s = string(b[n : n+int(size)])
		b = b[n+int(size):]
	}
	e.body = b
	return e, nil
}
