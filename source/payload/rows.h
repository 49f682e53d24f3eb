/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* HTTP/1 exchanges summed by who, what and how it ended; and their announcement. */
#ifndef WEFT_ROWS_H
#define WEFT_ROWS_H

#include "place.h"

enum method { M_NONE, M_GET, M_HEAD, M_POST, M_PUT, M_DELETE, M_OPTIONS, M_PATCH, M_TRACE, M_CONNECT };

struct row_key {
	u64 flow; /* hash of the flow key */
	u64 path; /* hash of method and path */
	u16 status;
	u8 version;
	u8 truncated;
	u32 pad;
};

/* As record.Histogram: bucket i has latencies of which bits.Len64(ns>>10) == i. */
#define BUCKETS 32

struct row_val {
	u64 req_bytes, resp_bytes;
	u64 latency; /* sum, ns */
	u64 latency_max;
	u64 after;	      /* sum of the time from the first to the last byte of responses, ns */
	u64 unanswered;	      /* exchanges without a response */
	u32 buckets[BUCKETS]; /* those with one, by latency */
};

/* Events in the ring; each begins with its kind. */
enum event_kind { EV_ROW = 1, EV_OPEN, EV_CHUNK, EV_CLOSE, EV_DNS };

/* A row was made: what its hashes stand for. Cut to line_max by reserving less. */
struct ev_row {
	enum event_kind kind;
	enum method method;
	u32 line_len;
	u32 pad;
	struct row_key row;
	struct flow_key key;
	char comm[16];
	char line[LINE_CAP];
};

/*
 * events: rows announced, chunks, DNS messages. Full: counted by kind. Nobody
 * is woken for an event (a wakeup costs as much as 90 hooks) but when the ring
 * is a quarter full, or when the reader asked for it because nothing had come
 * for a while (reader_sleeps).
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

const volatile u64 ring_quarter = 4 << 20;
volatile u32 reader_sleeps = 0;

static __always_inline u64 wake_flags(void)
{
	if (reader_sleeps) {
		reader_sleeps = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > ring_quarter)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

struct row_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct row_key);
	__type(value, struct row_val);
};

/*
 * rows_a, rows_b, rows: as flows_a, flows_b and flows of source/conn: programs
 * add to the active table, Go swaps and empties the other. Full, or the row
 * could not be announced: the exchange is counted in STAT_ROW_LOST.
 */
struct row_table rows_a SEC(".maps");
struct row_table rows_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct row_table);
} rows SEC(".maps") = {
	.values = {&rows_a},
};

/* Rows in the active table, zeroed by Go when it swaps. */
u64 rows_used = 0;

static __always_inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static __always_inline u64 hash_flow(const struct flow_key *k)
{
	const u32 *w = (const u32 *)k;
	u64 h = hash_seed;

	_Static_assert(sizeof(*k) == 60, "the flow key is hashed by words");
	for (u32 i = 0; i < 14; i += 2)
		h = mix(h, w[i] | (u64)w[i + 1] << 32);
	h = mix(h, w[14]);
	return h ? h : 1;
}

/* bits.Len64(ns >> 10), at most BUCKETS - 1. */
static __always_inline u32 bucket_of(u64 ns)
{
	u64 v = ns >> 10;
	u32 n = 0;

	if (v >> 31)
		return BUCKETS - 1;
	if (v >> 16) {
		n += 16;
		v >>= 16;
	}
	if (v >> 8) {
		n += 8;
		v >>= 8;
	}
	if (v >> 4) {
		n += 4;
		v >>= 4;
	}
	if (v >> 2) {
		n += 2;
		v >>= 2;
	}
	if (v >> 1) {
		n += 1;
		v >>= 1;
	}
	return n + (u32)v;
}

static __always_inline void row_key_of(struct row_key *k, const struct stream *s)
{
	k->flow = s->flow;
	k->path = s->path;
	k->status = s->status;
	k->version = s->version;
	k->truncated = !!(s->flags & F_TRUNCATED);
	k->pad = 0;
}

/*
 * A row that cannot be announced is lost unless Go remembers it: counted there.
 * A global function, which is verified once and not on each way to it.
 */
__noinline int row_announce(u64 sk)
{
	const struct stream *s = bpf_map_lookup_elem(&streams, &sk);
	struct ev_row *e;
	u32 len = line_max;

	if (!s)
		return 0;
	if (len > LINE_CAP)
		len = LINE_CAP;
	e = bpf_ringbuf_reserve(&events, __builtin_offsetof(struct ev_row, line) + len, 0);
	if (!e)
		return 0;
	e->kind = EV_ROW;
	row_key_of(&e->row, s);
	e->key = s->key;
	e->line_len = s->line_len;
	e->method = s->method;
	__builtin_memcpy(e->comm, s->comm, sizeof(e->comm));
	for (u32 i = 0; i < LINE_CAP / 8; i++) {
		if (i * 8 >= len)
			break;
		((u64 *)e->line)[i] = ((const u64 *)s->line)[i];
	}
	bpf_ringbuf_submit(e, wake_flags());
	count(STAT_NAMED, 1);
	return 0;
}

static const struct row_val no_row = {};

/* The row of the exchange, made and announced if need be; NULL: it is lost. */
static __always_inline struct row_val *row_find(const struct row_key *k, const struct stream *s)
{
	u32 zero = 0;
	void *table = bpf_map_lookup_elem(&rows, &zero);
	struct row_val *v;

	if (!table)
		return NULL;
	v = bpf_map_lookup_elem(table, k);
	if (v)
		return v;
	if (bpf_map_update_elem(table, k, &no_row, BPF_NOEXIST) == 0) {
		row_announce(s->sk);
		__sync_fetch_and_add(&rows_used, 1);
	}
	return bpf_map_lookup_elem(table, k);
}

/* Without a lock: of two at the same moment the smaller may win (nanoseconds apart). */
static __always_inline void latency_top(struct row_val *v, u64 ns)
{
	if (ns > v->latency_max)
		v->latency_max = ns;
}

#endif
