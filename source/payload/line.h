/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The request line: its method, the hash of its target, the end of its head. */
#ifndef WEFT_LINE_H
#define WEFT_LINE_H

#include "rows.h"

#define WORD(a, b, c, d, e, f, g, h)                                                                         \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 |      \
	 (u64)(g) << 48 | (u64)(h) << 56)
#define FIRST(n) (~0ULL >> (64 - 8 * (n)))

/* The method that a packet begins with. */
static __always_inline u8 method_of(u64 w)
{
	if ((w & FIRST(4)) == WORD('G', 'E', 'T', ' ', 0, 0, 0, 0))
		return M_GET;
	if ((w & FIRST(5)) == WORD('P', 'O', 'S', 'T', ' ', 0, 0, 0))
		return M_POST;
	if ((w & FIRST(5)) == WORD('H', 'E', 'A', 'D', ' ', 0, 0, 0))
		return M_HEAD;
	if ((w & FIRST(4)) == WORD('P', 'U', 'T', ' ', 0, 0, 0, 0))
		return M_PUT;
	if ((w & FIRST(7)) == WORD('D', 'E', 'L', 'E', 'T', 'E', ' ', 0))
		return M_DELETE;
	if (w == WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', ' '))
		return M_OPTIONS;
	if ((w & FIRST(6)) == WORD('P', 'A', 'T', 'C', 'H', ' ', 0, 0))
		return M_PATCH;
	if ((w & FIRST(6)) == WORD('T', 'R', 'A', 'C', 'E', ' ', 0, 0))
		return M_TRACE;
	if (w == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		return M_CONNECT;
	return M_NONE;
}

#define EACH(c) (0x0101010101010101ULL * (u8)(c))

/* The high bit of each byte that is zero; exact up to the lowest one. */
static __always_inline u64 zero_bytes(u64 v)
{
	return (v - EACH(1)) & ~v & EACH(0x80);
}

static __always_inline u64 path_ends(u64 w)
{
	u64 z = zero_bytes(w ^ EACH(' ')) | zero_bytes(w ^ EACH('\r')) | zero_bytes(w);

	return keep_query ? z : z | zero_bytes(w ^ EACH('?'));
}

/* Bytes of the method and the space behind it. */
static __always_inline u32 method_len(u8 m)
{
	if (m == M_GET || m == M_PUT)
		return 4;
	if (m == M_POST || m == M_HEAD)
		return 5;
	if (m == M_PATCH || m == M_TRACE)
		return 6;
	return m == M_DELETE ? 7 : 8;
}

/* How the target ends: in the line, beyond it, or with the packet. */
enum target_end { TARGET_WHOLE, TARGET_CUT, TARGET_SPLIT };

/*
 * Hash of method and target, into the stream. As the search for the head's end
 * a function of its own, and no value comes back but through the stream: so all
 * ways out of its loop are one to the verifier.
 */
static __noinline int line_hash(struct stream *s)
{
	u64 h = mix(hash_seed, s->method);
	u32 skip = method_len(s->method);

	s->target = TARGET_CUT;
	for (u32 i = 0; i < LINE_CAP / 8; i++) {
		u32 at = skip + i * 8;
		u64 w, z;

		if (at + 8 > line_max)
			break;
		w = *(const u64 *)(s->line + at);
		z = path_ends(w);
		if (z) {
			z &= -z;
			if (w & ((z >> 7) * 0xff))
				s->target = TARGET_WHOLE;
			else if (s->line_len < line_max - 16)
				s->target = TARGET_SPLIT;
			h = mix(h, w & ((z >> 7) - 1));
			break;
		}
		h = mix(h, w);
	}
	s->path = h;
	return 0;
}

/*
 * The end of a head is LF, one byte (CR), LF: where these begin in eight bytes,
 * of which the last two go on in what follows. A bit per such place, exact in
 * the lowest one.
 */
static __always_inline u64 head_ends(u64 w, u64 w2)
{
	return zero_bytes(w ^ EACH('\n')) & zero_bytes(w2 ^ EACH('\n'));
}

static __noinline int head_end_in_line(struct stream *s)
{
	s->head_mask = 0;
	for (u32 i = 0; i < LINE_CAP / 8; i++) {
		u32 at = i * 8;
		u64 m;

		if (at + 16 > line_max || at >= s->line_len)
			return 0;
		m = head_ends(*(const u64 *)(s->line + at), *(const u64 *)(s->line + at + 2));
		if (m) {
			s->head_mask = m;
			s->head_at = at;
			return 0;
		}
	}
	return 0;
}

#define PIECE 128
/* How much of a long head is searched (8 KiB); longer ones are for user space. */
#define PIECES 68

/*
 * The same behind what the line holds, piece by piece on the stack; in a program
 * of its own, since to verify it takes long.
 */
static __always_inline void head_end_behind(const struct packet *p, struct stream *s)
{
	u64 b[PIECE / 8];

	s->head_at = s->line_len < 16 ? 0 : s->line_len - 16;
	/* The last piece is read from where it still is a whole one. */
	for (u32 i = 0; i < PIECES; i++) {
		u32 from = s->head_at;

		if (from + 8 >= p->len || p->len < PIECE)
			return;
		if (from > p->len - PIECE)
			from = p->len - PIECE;
		if (bpf_skb_load_bytes(p->skb, p->off + from, b, PIECE))
			return;
		s->head_at = from;
		for (u32 j = 0; j < PIECE / 8 - 1; j++) {
			u64 m = head_ends(b[j], b[j] >> 16 | b[j + 1] << 48);

			if (m) {
				s->head_mask = m;
				s->head_at = from + j * 8;
				return;
			}
		}
		s->head_at += PIECE - 8;
	}
}

/* Size of the head that the packet begins with, 0: it goes on. After the search. */
static __always_inline u32 head_size(const struct packet *p, const struct stream *s)
{
	u64 m = s->head_mask;

	if (!m)
		return 0;
	/* The lowest bit's byte, as a number: below it are whole bytes of ones. */
	m = ((m & -m) >> 7) - 1;
	m = (m & EACH(1)) * EACH(1) >> 56;
	m += s->head_at + 3;
	return m <= p->len ? m : 0;
}

/* Takes the request line over; how many bytes of it. */
static __always_inline u32 line_load(const struct packet *p, char *line)
{
	u32 n = p->len, max = line_max - 16;

	if (n > max)
		n = max;
	if (!within(&n, LINE_CAP - 16))
		return 0;
	if (bpf_skb_load_bytes(p->skb, p->off, line, n))
		return 0;
	/* What an earlier line left behind may not look like this one's end. */
	*(u64 *)(line + n) = 0;
	return n;
}

#endif
