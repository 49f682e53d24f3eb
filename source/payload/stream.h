/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The connections whose payload is looked at. */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include "packet.h"

/* conn.l7: how many times a socket's bytes were of no protocol, then BORING. */
enum { L7_LAST_DIR = 0x40, L7_TRIES = 0x0f, L7_BORING = 0xff };

enum stream_mode {
	MODE_HTTP,  /* HTTP/1 in turns, counted here */
	MODE_RAW,   /* all bytes go to user space */
	MODE_H2,    /* all bytes but the payload of DATA frames */
	MODE_HELLO, /* TLS: the first flight of either side */
};

/* Where an HTTP/1 connection stands. */
enum {
	PHASE_IDLE,
	PHASE_HEAD, /* the request's head goes on in the next packet */
	PHASE_BODY, /* what the client sends until the response is body */
	PHASE_SENT, /* the request is complete */
	PHASE_RESP, /* the response's head was seen */
};

/* The exchange of an HTTP/1 connection. */
enum {
	F_TRUNCATED = 1, /* its path goes on beyond the line */
	F_BODY = 2,	 /* its request had a body, maybe not complete */
	F_UPLOADING = 4, /* … that went on after the response had come */
	F_GUESSED = 8,	 /* the process is the listener's, not seen serving yet */
};

struct stream {
	/* By direction: where the stream stands, and the sequence number of its first byte. */
	u64 offset[2];
	u32 isn[2];
	/* Packets that are missing are in [hole, hole_end), 0: none is. */
	u32 hole[2], hole_end[2];
	u32 busy;  /* see stream_enter */
	u32 ports; /* of packets that come in */
	u8 mode;
	u8 phase;
	u8 server;  /* requests come in */
	u8 version; /* of the response: 0 or 1 */
	u8 seen;    /* MODE_HELLO: bit per direction that has spoken */
	u8 joined;
	u8 announce;  /* user space has not been told of the connection yet */
	u8 connected; /* by this end */
	u8 unplaced;  /* the peer's first sequence number is not known yet */
	u8 verb;      /* method that the packet at hand begins with */
	u8 pending;   /* … and a request of this method waits for its response */
	u8 method;
	u8 flags;
	u16 status;
	u16 line_len;
	u64 start, first, last; /* of the exchange, ktime */
	u64 req_start;		/* offset of the request's first byte */
	/* MODE_HTTP: offsets up to which bytes are in a row, or in none for good. */
	u64 taken[2];
	u64 given[2]; /* bytes of the exchange before the connection was handed over */
	u64 path;     /* hash of method and path */
	u64 flow;     /* hash of key, 0: the process is not known yet */
	u64 born;
	u64 sk;	       /* the key once more, as a number: the packet's own is a typed pointer */
	u64 head_mask; /* see head_end */
	u32 head_at;
	u32 target; /* enum target_end */
	/* MODE_H2: bytes of a DATA payload still to skip, of another frame to keep. */
	u32 h2_skip[2], h2_keep[2];
	u8 walk_on[2];
	u8 h2_lost[2];		      /* where the next frame begins is not known: all is copied */
	u32 walk_at[2], walk_from[2]; /* an interrupt may bring the other direction meanwhile */
	u8 h2_head[2][16];	      /* a frame header that is split; [15] is its length so far */
	struct flow_key key;
	char comm[16];
	char line[LINE_CAP];
};

static const struct stream no_stream = {};

/*
 * streams: connections of a protocol we know, by the address of their struct
 * sock. Inserted at the first message recognised, deleted when the socket is
 * destroyed or turns out to be of no interest. Full: STAT_STREAMS_FULL, counted
 * with each message that would have begun one. Go cuts the value to line_max.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct stream);
} streams SEC(".maps");

static __always_inline struct stream *stream_find(u64 sk, const struct packet *p)
{
	struct stream *s = bpf_map_lookup_elem(&streams, &sk);

	if (!s)
		return NULL;
	/* Ports as packets that come in have them. */
	if (s->ports == (p->dir == IN ? p->ports : p->ports << 16 | p->ports >> 16))
		return s;
	count(STAT_STREAMS_STALE, 1);
	count(STAT_STREAMS_REMOVED, 1);
	bpf_map_delete_elem(&streams, &sk);
	return NULL;
}

static __always_inline void stream_del(u64 sk)
{
	if (bpf_map_delete_elem(&streams, &sk) == 0)
		count(STAT_STREAMS_REMOVED, 1);
}

/*
 * Offsets of the next bytes and the connection uid, from what tcp_sock counts
 * (design.md section 3): bytes_acked has our SYN on the side that connected.
 */
static __always_inline void stream_place(struct stream *s, struct tcp_sock *tp, bool client)
{
	u64 received = tp->bytes_received, acked = tp->bytes_acked;
	u32 rcv = tp->rcv_nxt, una = tp->snd_una;

	if (client && acked)
		acked--;
	s->offset[IN] = received;
	s->isn[IN] = rcv - (u32)received;
	/* What is sent again does not come here: its end is behind snd_nxt. */
	s->offset[OUT] = acked + (u32)(tp->snd_nxt - una);
	s->isn[OUT] = una - (u32)acked;
	s->taken[IN] = s->offset[IN];
	s->taken[OUT] = s->offset[OUT];
	s->connected = client;
	s->joined = received != 0 || acked != 0;
}

/*
 * With TCP Fast Open the first bytes are in the SYN, when neither side's
 * sequence numbers are in tcp_sock yet: the packets tell them.
 */
static __always_inline void stream_place_syn(struct stream *s, const struct packet *p)
{
	s->offset[OUT] = s->taken[OUT] = 0;
	s->isn[OUT] = p->seq;
	s->joined = 0;
	s->unplaced = 1;
}

static __always_inline void stream_place_peer(struct stream *s, const struct packet *p)
{
	s->offset[IN] = s->taken[IN] = 0;
	s->isn[IN] = p->seq;
	s->unplaced = 0;
	if (s->mode == MODE_HTTP)
		return;
	s->announce = 1; /* once more, with the uid */
	s->pending = 0;
}

static __always_inline struct stream *stream_new(u64 key, struct tcp_sock *tp, struct packet *p,
						 const struct conn *c, u8 mode)
{
	struct sock *sk = (struct sock *)tp;
	struct stream *s;

	if (bpf_map_update_elem(&streams, &key, &no_stream, BPF_ANY)) {
		count(STAT_STREAMS_FULL, 1);
		return NULL;
	}
	count(STAT_STREAMS_ADDED, 1);
	s = bpf_map_lookup_elem(&streams, &key);
	if (!s)
		return NULL;
	s->mode = mode;
	s->sk = key;
	s->server = c->role == ROLE_SERVER;
	s->born = bpf_ktime_get_ns();
	s->ports = p->dir == IN ? p->ports : p->ports << 16 | p->ports >> 16;
	stream_place(s, tp, c->role == ROLE_CLIENT);
	if (sk->__sk_common.skc_state == ST_SYN_SENT)
		stream_place_syn(s, p);
	s->key.proto = WEFT_PROTO_TCP;
	s->key.incoming = s->server;
	key_from_sock(&s->key, sk, DIRECT);
	s->key.lport = bpf_ntohs(((struct inet_sock *)sk)->inet_sport);
	return s;
}

/* Where a packet stands in its direction. */
enum place {
	PLACE_OLD,   /* nothing in it is new */
	PLACE_NEXT,  /* where the stream stands, and nothing before it is missing */
	PLACE_AHEAD, /* something before it is missing */
	PLACE_LATE,  /* it was missing */
};

/* Offset in its stream of a packet's first byte, whatever came meanwhile. */
static __always_inline u64 stream_offset(const struct stream *s, const struct packet *p)
{
	u8 d = p->dir & 1;
	u64 at = *(const volatile u64 *)&s->offset[d];

	return at + (s64)(int)(p->seq - s->isn[d] - (u32)at);
}

/* A packet of which nothing is behind the stream: cut to what was missing. */
static __always_inline u32 hole_fill(struct stream *s, struct packet *p)
{
	u8 d = p->dir & 1;
	u32 hole = s->hole[d];
	int before = hole - p->seq, room;

	if (before > 0) {
		p->off += before;
		p->len -= before;
		p->seq = hole;
	}
	room = s->hole_end[d] - p->seq;
	if (!hole || (int)p->len <= 0 || room <= 0) {
		count(STAT_DUPLICATES, 1);
		return PLACE_OLD;
	}
	if ((int)p->len > room)
		p->len = room;
	if (p->seq == hole)
		s->hole[d] = (int)p->len == room ? 0 : hole + p->len;
	else if ((int)p->len == room)
		s->hole_end[d] = p->seq;
	count(STAT_LATE, 1);
	return PLACE_LATE;
}

/* Moves the stream over the packet, of which what was seen before is cut. */
static __always_inline u32 stream_advance(struct stream *s, struct packet *p)
{
	u8 d = p->dir & 1;
	u32 next;
	int ahead;

	if (s->unplaced && d == IN)
		stream_place_peer(s, p);
	next = s->isn[d] + (u32)s->offset[d];
	ahead = p->seq - next;
	if (ahead < 0 && -ahead >= (int)p->len)
		return hole_fill(s, p);
	if (ahead < 0) {
		p->off += -ahead;
		p->len -= -ahead;
		p->seq = next;
	} else if (ahead > 0) {
		if (!s->hole[d])
			s->hole[d] = next;
		s->hole_end[d] = p->seq;
		count(STAT_GAPS, 1);
	}
	s->offset[d] += (u32)(p->seq + p->len - next);
	return s->hole[d] ? PLACE_AHEAD : PLACE_NEXT;
}

#define SPINS 256

/* What is before the next byte that the kernel waits for has come, seen or not. */
static __always_inline void hole_forget(struct stream *s, struct packet *p)
{
	struct bpf_sock *sk = p->skb->sk;
	struct tcp_sock *tp;
	u8 d = p->dir & 1;

	if (!sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && (int)(tp->rcv_nxt - s->hole_end[d]) >= 0)
		s->hole[d] = 0;
}

/*
 * What goes out is sent under the lock of the socket. What comes in is not
 * under it yet: two CPUs may have packets of one connection at the same moment,
 * where the sender moves between them (loopback, veth). So a packet that comes
 * in waits for the one before, which is done in a fraction of a microsecond.
 * Where the other CPU was stopped meanwhile (by an interrupt, by a hypervisor)
 * it goes on, shared, and leaves alone what the other has in hand. Before Linux
 * 5.12 there is no exchange, and no waiting.
 */
static __always_inline void stream_enter(struct stream *s, struct packet *p)
{
	if (p->dir == IN && have_fetch) {
		p->shared = 1;
		for (u32 i = 0; i < SPINS; i++) {
			if (!*(volatile u32 *)&s->busy && !__sync_lock_test_and_set(&s->busy, 1)) {
				p->shared = 0;
				break;
			}
		}
		if (p->shared)
			count(STAT_CONTENDED, 1);
	}
	if (p->dir == IN && s->hole[IN])
		hole_forget(s, p);
	p->place = stream_advance(s, p);
}

/* The packet is done with. */
static __always_inline void stream_leave(struct stream *s, const struct packet *p)
{
	if (p->dir != IN || !have_fetch || p->shared)
		return;
#ifdef __TARGET_ARCH_arm64
	__sync_lock_test_and_set(&s->busy, 0);
#else
	*(volatile u32 *)&s->busy = 0;
#endif
}

#endif
