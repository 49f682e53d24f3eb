/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Plaintext on its way up: which of the bytes of a call are wanted, and their events. */
#ifndef WEFT_TLS_PIECES_H
#define WEFT_TLS_PIECES_H

#include "objects.h"

#define PIECE (16 << 10) /* the most that one event carries */
#define PIECES 4	 /* the most events of a run: what lies behind is only counted */
/*
 * From this fill of the ring on, events carry only their first bytes: heads of
 * messages still fit when long bodies come faster than they are read.
 */
#define RING_HALF (RING_BYTES / 2)
#define SHORT 1024

struct skip_key {
	u64 sk;
	u64 server; /* the side whose bytes they are */
};

struct skip {
	u64 born;
	u64 until;
};

/*
 * tls_skips: offsets up to which user space does not need a direction's bytes
 * (a long body). Inserted by Go, the oldest go when it is full: those bytes are
 * then copied for nothing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct skip_key);
	__type(value, struct skip);
} tls_skips SEC(".maps");

/* What went through an object in one call, or a run of it. */
struct piece {
	u64 obj, offset, time;
	u64 src; /* where it lies in the process; 0: it is not to be had */
	u64 len;
	u32 sent;
};

/* One event of a fixed size class: reserve wants a constant. */
static __always_inline int piece_send_as(const struct piece *p, const struct object *o, u32 size,
					 const u32 room)
{
	struct tls_event *e = bpf_ringbuf_reserve(&events, sizeof(*e) + room, 0);
	u64 id = bpf_get_current_pid_tgid();

	if (!e)
		return -1;
	e->obj = p->obj;
	e->time = p->time;
	e->sk = o->sk;
	e->born = o->born;
	e->offset = p->offset;
	e->len = p->len;
	e->behind = p->sent ? 0 : o->writing;
	e->tgid = id >> 32;
	e->tid = (u32)id;
	e->type = EV_DATA;
	e->sent = p->sent;
	e->role = o->role;
	e->closed = o->closed != 0;
	if (size > room)
		size = room;
	barrier_var(size);
	if (size > room)
		size = 0;
	if (size && bpf_probe_read_user(e + 1, size, (void *)p->src)) {
		count(STAT_COPY_FAILED, 1);
		size = 0;
	}
	e->size = size;
	event_submit(e);
	return 0;
}

static __always_inline void piece_send(const struct piece *p, const struct object *o)
{
	u32 size = !p->src ? 0 : p->len > PIECE ? PIECE : p->len;
	int err;

	count(STAT_TAKEN, 1);
	if (size > SHORT && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > RING_HALF) {
		count(STAT_SHORTENED, 1);
		count(STAT_SHORT_BYTES, size - SHORT);
		size = SHORT;
	}
	if (size <= 128)
		err = piece_send_as(p, o, size, 128);
	else if (size <= SHORT)
		err = piece_send_as(p, o, size, SHORT);
	else if (size <= 4096)
		err = piece_send_as(p, o, size, 4096);
	else
		err = piece_send_as(p, o, size, PIECE);
	if (!err)
		return;
	count(STAT_RING_FULL, 1);
	count(STAT_RING_BYTES, p->len);
}

/*
 * Sends up a run of bytes of the current process. It is a function of its own,
 * with numbers only, so that the verifier looks at it once and not at each call.
 */
__attribute__((noinline)) int run_send(u64 obj, u64 src, u64 len, u64 offset, u64 time_sent)
{
	struct piece p = {
		.obj = obj, .src = src, .offset = offset, .time = time_sent >> 1, .sent = time_sent & 1};
	struct object *o = object_find(bpf_get_current_pid_tgid() >> 32, obj);

	if (!o)
		return 0;
	for (int i = 0; i < PIECES && len; i++) {
		p.len = len > PIECE && i < PIECES - 1 ? PIECE : len;
		piece_send(&p, o);
		len -= p.len;
		p.offset += p.len;
		if (p.src)
			p.src += p.len;
	}
	return 0;
}

static __always_inline void piece_run(const struct piece *p, u64 from, u64 to)
{
	if (from < to)
		run_send(p->obj, p->src ? p->src + from : 0, to - from, p->offset + from,
			 p->time << 1 | p->sent);
}

/* How many of the piece's first bytes user space has said it does not need. */
static __always_inline u64 piece_skipped(const struct piece *p, const struct object *o)
{
	struct skip_key k = {.sk = o->sk, .server = (o->role == ROLE_SERVER) == p->sent};
	struct skip *s;

	if (!o->sk)
		return 0;
	s = bpf_map_lookup_elem(&tls_skips, &k);
	if (!s || s->born != o->born || s->until <= p->offset)
		return 0;
	return s->until - p->offset < p->len ? s->until - p->offset : p->len;
}

#endif
