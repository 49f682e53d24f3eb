/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where a packet stands in its stream, and whose turn it is to look at it. */
#ifndef WEFT_PLACE_H
#define WEFT_PLACE_H

#include "stream.h"

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
