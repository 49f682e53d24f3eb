// Package l7 turns payload from any door into exchanges: it puts the bytes of a
// connection in order, finds its protocol and feeds it.
//
// Place in the path of a record: source/payload and source/tls → Chunk → Engine
// → protocol.Conn → protocol.Exchange → aggregate.
package l7

import (
	"weft/protocol"
	"weft/record"
)

// UID identifies a connection on both of its hosts: the TCP sequence numbers of
// the first data byte of the client and of the server. NAT keeps them.
type UID struct{ Client, Server uint32 }

// ConnID identifies a connection on this host while it is open.
type ConnID struct {
	// Sock is the address of the kernel's struct sock.
	Sock uint64
	// Born tells successive connections in the same memory apart.
	Born uint64
	// TLS marks the plaintext inside: a stream of its own.
	TLS bool
}

// Info is what is known of a connection when its first chunk comes.
type Info struct {
	UID UID
	// Flow has the local end as Src, the client's port not collapsed, and the
	// process that holds the socket. Direction Incoming: this end is the server.
	Flow record.FlowKey
	// Joined: the connection was open before it was watched.
	Joined bool
	// TLS: the bytes are plaintext from inside a TLS library.
	TLS bool
}

// Chunk is a run of payload bytes of one side, from any door.
type Chunk struct {
	Conn ConnID
	Side protocol.Side
	// Offset of the first byte in the side's stream, from its first byte ever.
	Offset uint64
	// Data holds the captured bytes; valid during the call only. Len is how
	// many bytes the chunk stands for: those behind Data were not captured.
	Data []byte
	Len  uint64
	// Time is when the bytes passed, in monotonic ns.
	Time int64
	// TID is the thread that sent or fetched them, 0 where no thread is known.
	TID uint32
}
