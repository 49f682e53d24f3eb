/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* HTTP/2 (RFC 9113): user space gets every frame, but not the payload of long DATA. */
#ifndef WEFT_TLS_H2_H
#define WEFT_TLS_H2_H

#include "pieces.h"

#define H2_HEAD 9
#define H2_PREFACE 24
enum { H2_DATA = 0, H2_SETTINGS = 4 };
/* DATA payloads up to this are copied with what is around them: one event less. */
#define H2_SMALL 1024
/* Steps of the walk in one call, two for each frame. */
#define H2_STEPS 256

/* Do these first bytes of a direction begin HTTP/2: the client's preface, the server's SETTINGS? */
static __always_inline bool h2_begins(struct half *h, const struct piece *p)
{
	u8 b[H2_HEAD] = {};

	if (p->len < H2_HEAD || !p->src || bpf_probe_read_user(b, sizeof(b), (void *)p->src))
		return false;
	if (b[0] == 'P' && b[1] == 'R' && b[2] == 'I' && b[3] == ' ' && b[4] == '*' && b[6] == 'H') {
		h->keep = H2_PREFACE;
		return true;
	}
	return !b[0] && b[3] == H2_SETTINGS && !b[4] && !b[5] && !b[6] && !b[7] && !b[8];
}

/* Reads what is missing of the frame header; how many bytes that took. */
static __always_inline u64 h2_header(struct half *h, const struct piece *p, u64 rest)
{
	u32 have = h->have, n;

	if (have >= H2_HEAD)
		have = 0;
	n = H2_HEAD - have;
	if (n > rest)
		n = rest;
	barrier_var(n);
	if (n > H2_HEAD || bpf_probe_read_user(h->head + have, n & 15, (void *)(p->src + h->at)))
		return 0;
	h->have = have + n;
	if (h->have < H2_HEAD)
		return n;
	h->have = 0;
	if (h->head[3] == H2_DATA)
		h->skip = (u32)h->head[0] << 16 | (u32)h->head[1] << 8 | h->head[2];
	else
		h->keep = (u32)h->head[0] << 16 | (u32)h->head[1] << 8 | h->head[2];
	return n;
}

/*
 * One step of the walk: how many bytes it took, 0 when it is at the end or
 * cannot go on. A function of its own, with numbers only, like run_send.
 */
__attribute__((noinline)) int h2_step(u64 obj, u64 src, u64 len, u64 offset, u64 time_sent)
{
	struct piece p = {.obj = obj, .src = src, .len = len, .offset = offset};
	struct object *o = object_find(bpf_get_current_pid_tgid() >> 32, obj);
	struct half *h;
	u64 rest, n;

	if (!o)
		return 0;
	p.time = time_sent >> 1;
	p.sent = time_sent & 1;
	h = &o->half[p.sent & 1];
	if (h->at >= len)
		return 0;
	rest = len - h->at;
	if (h->skip) {
		n = h->skip < rest ? h->skip : rest;
		h->skip -= n;
		if (n > H2_SMALL) {
			piece_run(&p, h->from, h->at);
			h->from = h->at + n;
			count(STAT_SKIPPED, n);
		}
	} else if (h->keep) {
		n = h->keep < rest ? h->keep : rest;
		h->keep -= n;
	} else {
		n = h2_header(h, &p, rest);
	}
	h->at += n;
	return n;
}

/* Sends up what is wanted of a call. */
static __always_inline void h2_walk(struct half *h, const struct piece *p)
{
	h->at = h->from = 0;
	for (int i = 0; i < H2_STEPS; i++) {
		if (!h2_step(p->obj, p->src, p->len, p->offset, p->time << 1 | p->sent))
			break;
	}
	piece_run(p, h->from, p->len);
	if (h->at >= p->len)
		return;
	/* Too many frames, or not readable: the walk has lost its place. */
	h->h2 = 0;
	count(STAT_H2_LOST, 1);
}

/* Sends up what is wanted of what went through a direction of an object. */
static __always_inline void half_data(struct half *h, struct object *o, const struct piece *p)
{
	u64 skipped;

	if (!p->offset)
		h->h2 = h2_begins(h, p);
	if (h->h2) {
		h2_walk(h, p);
		return;
	}
	skipped = piece_skipped(p, o);
	count(STAT_SKIPPED, skipped);
	piece_run(p, skipped, p->len);
}

#endif
