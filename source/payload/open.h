/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Connections whose bytes go to user space: whose they are, and that they begin. */
#ifndef WEFT_OPEN_H
#define WEFT_OPEN_H

#include "rows.h"

/* A connection is handed to user space, with a request that waits or without. */
struct ev_open {
	enum event_kind kind;
	enum stream_mode mode;
	enum method method; /* of the request that waits; M_NONE: none does */
	u32 line_len;
	u64 sk, born, at;
	u32 uid[2];
	u8 joined;
	u8 server;
	u8 truncated;
	u8 pad;
	u32 ports; /* of packets that come in, network order: key's may be collapsed */
	struct flow_key key;
	char comm[16];
	u64 start, req_start, req_bytes, resp_bytes;
	u64 from[2]; /* of a request that waits: where the client's and the server's stream go on */
	char line[LINE_CAP];
};

/*
 * The process behind the bytes: whoever connected; of an accepted socket who
 * sends on it (it holds the socket lock then, so that the current task is no
 * chance passer-by), until then who listens.
 */
static __always_inline void stream_owner(struct stream *s, u64 key, bool egress)
{
	struct sock *sk = (struct sock *)s->sk;
	struct conn *c;
	struct listener *l;
	struct owner o = {};

	if (s->flow && !(s->flags & F_GUESSED))
		return;
	s->flags &= ~F_GUESSED;
	c = bpf_map_lookup_elem(&socks, &key);
	if (c && c->role == ROLE_CLIENT && c->owner_from != OWNER_NONE) {
		o = c->owner;
	} else if (egress && BPF_CORE_READ(sk, sk_lock.owned)) {
		owner_current(&o, have_fetch ? DIRECT | FETCH : PROBE);
	} else if (c && c->owner_from != OWNER_NONE) {
		o = c->owner;
	} else {
		l = listener_find(s->key.netns, s->key.lport);
		if (l)
			o = l->owner;
		s->flags |= F_GUESSED;
	}
	__builtin_memcpy(s->comm, o.comm, sizeof(s->comm));
	s->key.pid = o.pid;
	s->key.name = mix(mix(hash_seed, *(u64 *)o.comm), *(u64 *)(o.comm + 8)) >> 32;
	key_when(&s->key, s->born);
	key_collapse(&s->key);
	s->flow = hash_flow(&s->key);
}

/*
 * Announces the connection to user space. A global function, which is verified
 * once and not on each way to it.
 */
__noinline int stream_open(u64 sk)
{
	struct stream *s = bpf_map_lookup_elem(&streams, &sk);
	struct ev_open *e;
	u32 len = line_max;
	u8 ask = s && s->server ? IN : OUT, answer = !ask;

	if (!s || len > LINE_CAP)
		return 0;
	s->announce = 0;
	stream_owner(s, sk, false);
	e = bpf_ringbuf_reserve(&events, __builtin_offsetof(struct ev_open, line) + len, 0);
	if (!e) {
		count(STAT_RING_FULL, 1);
		return 0;
	}
	e->kind = EV_OPEN;
	e->mode = s->mode;
	e->method = s->pending;
	e->sk = sk;
	e->born = s->born;
	e->at = bpf_ktime_get_ns();
	e->uid[0] = s->isn[s->connected ? OUT : IN];
	e->uid[1] = s->isn[s->connected ? IN : OUT];
	e->joined = s->joined;
	e->server = s->server;
	e->truncated = !!(s->flags & F_TRUNCATED);
	e->ports = s->ports;
	e->key = s->key;
	__builtin_memcpy(e->comm, s->comm, sizeof(e->comm));
	e->start = s->start;
	e->req_start = s->req_start;
	e->from[0] = s->from[ask];
	e->from[1] = s->from[answer];
	e->req_bytes = e->from[0] - s->taken[ask];
	e->resp_bytes = e->from[1] - s->taken[answer];
	e->line_len = s->line_len;
	for (u32 i = 0; i < LINE_CAP / 8 && i * 8 < len; i++)
		((u64 *)e->line)[i] = ((const u64 *)s->line)[i];
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

/* From this packet on user space parses; pending: method of a request that waits. */
static __always_inline int hand_over(struct packet *p, struct stream *s, u8 pending)
{
	u8 d = p->dir & 1, other = !d;

	s->mode = MODE_RAW;
	s->announce = 1;
	s->pending = pending;
	s->joined |= stream_offset(s, p) != 0;
	/* The packet's own bytes are for user space to count. */
	s->from[d] = stream_offset(s, p);
	s->from[other] = s->offset[other];
	if (pending)
		count(STAT_HANDED_OVER, 1);
	return TAIL_STREAM;
}

static __always_inline void bore(u64 key)
{
	struct conn *c = bpf_map_lookup_elem(&socks, &key);

	if (c)
		c->l7 = L7_BORING;
	stream_del(key);
}

/*
 * A server's process may be known only when it sends: then it is announced anew.
 * Global, as stream_open.
 */
__noinline int owner_late(u64 sk)
{
	struct stream *s = bpf_map_lookup_elem(&streams, &sk);

	if (!s)
		return 0;
	stream_owner(s, sk, true);
	if (s->flags & F_GUESSED)
		return 0;
	s->announce = 1;
	s->pending = M_NONE;
	return 0;
}

#endif
