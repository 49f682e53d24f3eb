/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* HTTP/2 (RFC 9113): user space gets every frame, but not the payload of DATA. */
#ifndef WEFT_H2_H
#define WEFT_H2_H

#include "http.h"

#define H2_HEAD 9
#define H2_PREFACE 24
#define H2_DATA 0
/* DATA payloads up to this are copied with what is around them: one record less. */
#define H2_SMALL 128
/*
 * Runs up to this leave in the middle of a pass, in records of one size: a
 * choice there multiplies the work of the verifier.
 */
#define H2_RUN 256
/* Frames looked at in one pass. */
#define H2_FRAMES 24

static __always_inline u32 h2_length(const u8 *head)
{
	return (u32)head[0] << 16 | (u32)head[1] << 8 | head[2];
}

/* Reads what is missing of the frame header at pos; how many bytes that took. */
static __always_inline u32 h2_header(struct packet *p, u8 *head, u32 pos)
{
	u32 have = head[15], n;

	if (have >= H2_HEAD)
		have = 0;
	n = H2_HEAD - have;
	if (n > p->len - pos)
		n = p->len - pos;
	if (!within(&n, H2_HEAD) || bpf_skb_load_bytes(p->skb, p->off + pos, head + have, n))
		return 0;
	head[15] = have + n;
	return n;
}

/* One step of the walk: how many bytes it takes, and whether they are wanted. */
static __always_inline u32 h2_step(struct packet *p, struct stream *s, u32 pos, bool *want)
{
	u32 rest = p->len - pos, n;
	u8 d = p->dir & 1;
	u8 *head = s->h2_head[d];

	*want = true;
	if (s->h2_skip[d]) {
		n = s->h2_skip[d] < rest ? s->h2_skip[d] : rest;
		*want = n <= H2_SMALL;
		s->h2_skip[d] -= n;
		return n;
	}
	if (s->h2_keep[d]) {
		n = s->h2_keep[d] < rest ? s->h2_keep[d] : rest;
		s->h2_keep[d] -= n;
		return n;
	}
	n = h2_header(p, head, pos);
	if (head[15] >= H2_HEAD) {
		u32 len = h2_length(head);

		head[15] = 0;
		if (head[3] == H2_DATA)
			s->h2_skip[d] = len;
		else
			s->h2_keep[d] = len;
	}
	return n;
}

/* A short run: [walk_from, walk_at). */
static __noinline int run_piece(struct packet *p, struct stream *s, u64 sk)
{
	struct piece c = {.s = s, .sk = sk, .dir = p->dir};
	u8 d = p->dir & 1;

	c.from = p->off + s->walk_from[d];
	c.offset = stream_offset(s, p) + s->walk_from[d];
	c.len = s->walk_at[d] - s->walk_from[d];
	return piece_reserve(p->skb, &c, H2_RUN);
}

/* Moves [walk_from, walk_at) over one step; 0 in walk_on: the run ends here. */
static __noinline int h2_walk_on(struct packet *p, struct stream *s, u64 sk)
{
	u8 d = p->dir & 1;
	bool want;
	u32 n = h2_step(p, s, s->walk_at[d], &want);

	s->walk_on[d] = 0;
	if (!n)
		return 0;
	if (!want && s->walk_at[d] - s->walk_from[d] > H2_RUN) {
		/* Taken back: the next pass skips it. */
		s->h2_skip[d] += n;
		return 0;
	}
	if (!want && s->walk_from[d] < s->walk_at[d])
		run_piece(p, s, sk);
	s->walk_at[d] += n;
	if (!want)
		s->walk_from[d] = s->walk_at[d];
	s->walk_on[d] = s->walk_at[d] < p->len;
	return 0;
}

/*
 * Finds the next run of bytes that are wanted: [walk_from, walk_at). Between
 * the payloads of DATA frames stand small ones, which leave at once; behind a
 * longer run is another pass of the program.
 */
static __always_inline void h2_walk(struct packet *p, struct stream *s)
{
	u8 d = p->dir & 1;

	/* In the stream, of whose values the verifier knows nothing: see head_end. */
	s->walk_at[d] = s->walk_from[d] = 0;
	for (int i = 0; i < H2_FRAMES; i++) {
		h2_walk_on(p, s, s->sk);
		if (!s->walk_on[d])
			break;
	}
}

/* The stream id of a frame is the client's, or none; its type and length are common ones. */
static __always_inline bool h2_plausible(const u8 *head)
{
	u32 len = h2_length(head);
	u32 id = (u32)head[5] << 24 | (u32)head[6] << 16 | (u32)head[7] << 8 | head[8];
	u8 flags = head[4];

	if (len > 16384 || id >> 31 || (id && !(id & 1)))
		return false;
	switch (head[3]) {
	case H2_DATA:
		return id && !(flags & ~0x09);
	case 1: /* HEADERS */
		return id && len && !(flags & ~0x2d);
	case 3: /* RST_STREAM */
		return id && len == 4 && !flags;
	case 4: /* SETTINGS */
		return !id && !(flags & ~1);
	case 6: /* PING */
		return !id && len == 8 && !(flags & ~1);
	case 8: /* WINDOW_UPDATE */
		return len == 4 && !flags;
	}
	return false;
}

#define H2_ENOUGH 3 /* frames in a row are not there by chance */

/*
 * Does the packet begin with frames? True when so many are in a row, or some
 * end where the packet does: from there on is walked. Where that is a mistake,
 * user space misses bytes that it did not skip, and counts them as lost.
 */
static __noinline int h2_found(struct packet *p, struct stream *s)
{
	u8 d = p->dir & 1;
	u8 *head = s->h2_head[d];

	/* In the stream, as in h2_walk. */
	s->walk_at[d] = 0;
	for (int i = 0; i < H2_ENOUGH; i++) {
		u32 at = *(volatile u32 *)&s->walk_at[d];

		if (at + H2_HEAD > p->len)
			return i && at == p->len;
		if (bpf_skb_load_bytes(p->skb, p->off + at, head, H2_HEAD) || !h2_plausible(head))
			return 0;
		s->walk_at[d] = at + H2_HEAD + h2_length(head);
	}
	return 1;
}

/* After packets out of order the walk has lost its place, until it finds frames again. */
static __noinline int h2_placed(struct packet *p, struct stream *s)
{
	u8 d = p->dir & 1, place = p->place;

	if (place != PLACE_NEXT || p->shared)
		s->h2_lost[d] = 1;
	if (!s->h2_lost[d])
		return 1;
	if (place != PLACE_NEXT || p->shared || !h2_found(p, s))
		return 0;
	s->h2_lost[d] = 0;
	s->h2_skip[d] = s->h2_keep[d] = 0;
	s->h2_head[d][15] = 0;
	return 1;
}

static __always_inline void h2_packet(struct packet *p, struct stream *s, u64 key, const u8 dir)
{
	u8 d = dir & 1;
	u32 to;

	if (!h2_placed(p, s)) {
		count(STAT_WHOLE, 1);
		packet_pass(p, dir, true, TAIL_STREAM); /* copies it whole */
		return;
	}
	h2_walk(p, s);
	to = s->walk_at[d];
	run_emit(p, s, key, s->walk_from[d], to);
	if (!to || to >= p->len)
		return;
	p->off += to;
	p->len -= to;
	p->seq += to;
	packet_pass(p, dir, true, TAIL_H2);
	/* Too many passes. */
	s->h2_lost[d] = 1;
	run_emit(p, s, key, 0, p->len);
}

static __always_inline bool h2_preface(u64 w)
{
	return w == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T');
}

/*
 * Could these be the first bytes of a frame in the middle of a connection?
 * User space looks closer; this keeps everything else away from it.
 */
static __always_inline bool h2_frame(u64 w)
{
	u32 len = ((u32)w & 0xff) << 16 | ((u32)(w >> 8) & 0xff) << 8 | ((u32)(w >> 16) & 0xff);
	u8 type = w >> 24, flags = w >> 32, top = w >> 40;

	if (len > 16384 || top)
		return false;
	switch (type) {
	case 0: /* DATA */
		return !(flags & ~0x09) && (w >> 48);
	case 1: /* HEADERS */
		return !(flags & ~0x2d) && len > 0;
	case 3: /* RST_STREAM */
	case 8: /* WINDOW_UPDATE */
		return len == 4 && !flags;
	case 6: /* PING */
		return len == 8 && !(flags & ~1);
	}
	return false;
}

#endif
