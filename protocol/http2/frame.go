package http2

import (
	"encoding/binary"

	"weft/protocol"
)

// The frame types of RFC 9113 section 6.
const (
	frameData = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

// Flags. ACK and END_STREAM are the same bit.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// preface is what a client sends first (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	headerLen = 9
	// defaultFrame is how long a frame may be unless the peer allows more.
	defaultFrame = 16 << 10
)

// frame is a frame's header.
type frame struct {
	length   int
	kind     uint8
	flags    uint8
	stream   uint32
	reserved bool
}

// parseFrame takes at least headerLen bytes.
func parseFrame(b []byte) frame {
	id := binary.BigEndian.Uint32(b[5:])
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4],
		stream: id &^ (1 << 31), reserved: id>>31 != 0,
	}
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }
func (f frame) bytes() uint64       { return uint64(headerLen + f.length) }

// valid: it does not break a rule of section 6 that costs the connection.
func (f frame) valid(side protocol.Side) bool {
	on := f.stream != 0
	switch f.kind {
	case frameData, frameHeaders, frameContinuation:
		return on
	case framePriority:
		return on && f.length == 5
	case frameReset:
		return on && f.length == 4
	case frameSettings:
		return !on && f.length%6 == 0 && (!f.has(flagAck) || f.length == 0)
	case framePush:
		return on && side == protocol.Server && f.length >= 4
	case framePing:
		return !on && f.length == 8
	case frameGoAway:
		return !on && f.length >= 8
	case frameWindow:
		return f.length == 4
	}
	return true // unknown types are ignored (section 5.5)
}

// plausible: valid, and as frames in the wild are.
func (f frame) plausible(side protocol.Side, longest int) bool {
	const all = flagEndStream | flagEndHeaders | flagPadded | flagPriority
	flags := [...]uint8{frameData: flagEndStream | flagPadded, frameHeaders: all, frameSettings: flagAck,
		framePush: flagEndHeaders | flagPadded, framePing: flagAck, frameContinuation: flagEndHeaders}
	ours := f.stream == 0 || f.stream%2 == 1
	return f.kind <= frameContinuation && f.flags&^flags[f.kind] == 0 && !f.reserved && ours &&
		f.length <= longest && f.valid(side)
}

// enoughFrames in a row are not there by chance.
const enoughFrames = 3

// looksLike judges bytes that may begin with a frame: several in a row, or
// some that end where the bytes do.
func looksLike(side protocol.Side, b []byte, longest int) protocol.Verdict {
	for n := 0; n < enoughFrames; n++ {
		if len(b) == 0 && n > 0 {
			return protocol.Yes
		}
		if len(b) < headerLen {
			return protocol.NeedMore
		}
		f := parseFrame(b)
		if !f.plausible(side, longest) || n == 0 && f.kind == frameContinuation {
			return protocol.No
		}
		if len(b) < headerLen+f.length && n < enoughFrames-1 {
			return protocol.NeedMore
		}
		if len(b) < headerLen+f.length {
			return protocol.Yes
		}
		b = b[headerLen+f.length:]
	}
	return protocol.Yes
}

// unpad takes padding and priority away from the payload of HEADERS, or
// padding and the promised id from that of PUSH_PROMISE.
func (f frame) unpad(payload []byte) (block []byte, ok bool) {
	padding := 0
	if f.has(flagPadded) {
		if len(payload) == 0 {
			return nil, false
		}
		padding, payload = int(payload[0]), payload[1:]
	}
	head := 0
	switch {
	case f.kind == framePush:
		head = 4
	case f.has(flagPriority):
		head = 5
	}
	if head+padding > len(payload) {
		return nil, false
	}
	return payload[head : len(payload)-padding], true
}

// codeName is an error code's name (RFC 9113 section 7).
func codeName(code uint32) string {
	codes := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
		"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
		"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if int64(code) < int64(len(codes)) {
		return codes[code]
	}
	return "UNKNOWN"
}
