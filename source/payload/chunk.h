/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The bytes that go to user space. */
#ifndef WEFT_CHUNK_H
#define WEFT_CHUNK_H

#include "open.h"

struct ev_chunk {
	enum event_kind kind;
	u32 len; /* bytes that it stands for */
	u32 cap; /* bytes in data */
	u8 dir;
	u8 pad[3];
	u64 sk, born, at;
	u64 offset;
	u8 data[];
};

struct ev_close {
	enum event_kind kind;
	u32 pad;
	u64 sk, born, at;
	u64 ends[2]; /* offsets behind the last bytes that passed, by direction */
};

#define CHUNK_MAX 16384
#define CHUNK_LARGE 65536
/*
 * A packet that is not segmented yet has up to 512 KiB (GSO_MAX_SIZE), even on
 * IPv4: eight large pieces, or seven and four of the others.
 */
#define CHUNKS 12

struct piece {
	struct stream *s;
	u64 sk;
	u64 offset;
	u32 from; /* in the packet */
	u32 len;
	u32 dir;
	/*
	 * How far run_emit is. In the upper half of eight bytes, where verifiers do
	 * not follow a value: else they would go each way through its loop.
	 */
	u32 at;
};

static __always_inline int piece_reserve(struct __sk_buff *skb, const struct piece *c, const u32 size)
{
	struct ev_chunk *e = bpf_ringbuf_reserve(&events, sizeof(*e) + size, 0);
	u32 n = c->len;

	if (!e) {
		count(STAT_RING_FULL, 1);
		count(STAT_RING_FULL_BYTES, n);
		return 0;
	}
	if (n > size)
		n = size;
	e->kind = EV_CHUNK;
	e->len = c->len;
	e->cap = 0;
	e->dir = c->dir;
	e->sk = c->sk;
	e->born = c->s->born;
	e->at = bpf_ktime_get_ns();
	e->offset = c->offset;
	if (within(&n, size) && !bpf_skb_load_bytes(skb, c->from, e->data, n))
		e->cap = n;
	bpf_ringbuf_submit(e, wake_flags());
	count(STAT_CHUNKS, 1);
	return 0;
}

/* At most CHUNK_LARGE bytes, in the smallest record of a few sizes that takes them. */
static __noinline int piece_emit(struct __sk_buff *skb, const struct piece *c)
{
	if (c->len <= 64)
		return piece_reserve(skb, c, 64);
	if (c->len <= 256)
		return piece_reserve(skb, c, 256);
	if (c->len <= 1024)
		return piece_reserve(skb, c, 1024);
	if (c->len <= 4096)
		return piece_reserve(skb, c, 4096);
	if (c->len <= CHUNK_MAX)
		return piece_reserve(skb, c, CHUNK_MAX);
	return piece_reserve(skb, c, CHUNK_LARGE);
}

/* Emits payload bytes [from, to) in pieces. */
static __noinline int run_emit(struct packet *p, struct stream *s, u64 sk, u32 from, u32 to)
{
	struct piece c = {.s = s, .sk = sk, .dir = p->dir};
	volatile u32 *at = &c.at;

	*at = from;
	for (int i = 0; i < CHUNKS && *at < to; i++) {
		c.from = p->off + *at;
		c.offset = stream_offset(s, p) + *at;
		c.len = to - *at;
		if (c.len > CHUNK_LARGE)
			c.len = CHUNK_LARGE;
		else if (c.len > CHUNK_MAX)
			c.len = CHUNK_MAX;
		*at += c.len;
		piece_emit(p->skb, &c);
	}
	return 0;
}

/*
 * verdicts: connections of which user space wants nothing more. Inserted by Go,
 * deleted here at the connection's next packet; LRU, since that may never come.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64); /* born << 1; lowest bit: look at it anew, it was only forgotten */
} verdicts SEC(".maps");

struct skip_key {
	u64 sk;
	u64 dir;
};

struct skip {
	u64 born; /* another socket may have the address by now */
	u64 until;
};

/*
 * skips: offsets up to which user space does not need a direction's bytes (a
 * long body). Inserted by Go; LRU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct skip_key);
	__type(value, struct skip);
} skips SEC(".maps");

static __always_inline bool unwanted(const struct stream *s, u64 key)
{
	u64 *verdict = bpf_map_lookup_elem(&verdicts, &key);
	u64 v;

	if (!verdict)
		return false;
	v = *verdict;
	bpf_map_delete_elem(&verdicts, &key);
	if (v >> 1 != s->born << 1 >> 1)
		return false;
	if (v & 1)
		stream_del(key);
	else
		bore(key);
	return true;
}

/* Bytes at the packet's beginning that are inside a body nobody wants. */
static __always_inline u32 skipped(const struct packet *p, const struct stream *s, u64 key)
{
	struct skip_key k = {.sk = key, .dir = p->dir};
	u64 at = stream_offset(s, p);
	struct skip *v;

	if (p->len < 1024)
		return 0;
	v = bpf_map_lookup_elem(&skips, &k);
	if (!v || v->born != s->born || v->until <= at)
		return 0;
	return v->until - at < p->len ? v->until - at : p->len;
}

static __always_inline void raw_packet(struct packet *p, struct stream *s, u64 key)
{
	run_emit(p, s, key, skipped(p, s, key), p->len);
}

static __always_inline void stream_close(struct stream *s, u64 key)
{
	struct ev_close *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(STAT_RING_FULL, 1);
		return;
	}
	e->kind = EV_CLOSE;
	e->sk = key;
	e->born = s->born;
	e->at = bpf_ktime_get_ns();
	e->ends[IN] = s->offset[IN];
	e->ends[OUT] = s->offset[OUT];
	bpf_ringbuf_submit(e, wake_flags());
}

/* TLS: the hellos are in the first bytes of either side; the rest is cipher text. */
static __always_inline void hello_packet(struct packet *p, struct stream *s, u64 key)
{
	u8 bit = 1 << (p->dir & 1);

	if (!(s->seen & bit))
		run_emit(p, s, key, 0, p->len < 2048 ? p->len : 2048);
	s->seen |= bit;
	if (s->seen != 3)
		return;
	stream_close(s, key);
	bore(key);
}

#endif
