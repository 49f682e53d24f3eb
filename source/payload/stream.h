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
	u64 from[2]; /* offsets from which on user space gets all bytes */
	u64 path;    /* hash of method and path */
	u64 flow;    /* hash of key, 0: the process is not known yet */
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

#endif
