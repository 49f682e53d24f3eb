/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What goes up to Go, and what is counted on the way. */
#ifndef WEFT_TLS_EVENTS_H
#define WEFT_TLS_EVENTS_H

#include "flow.h"

enum tls_stat {
	STAT_TAKEN,	   /* events that wanted to go up */
	STAT_RING_FULL,	   /* and did not fit, */
	STAT_RING_BYTES,   /* the bytes of plaintext they stood for */
	STAT_COPY_FAILED,  /* plaintext that could not be read from the process */
	STAT_CALLS_FULL,   /* calls that were not followed: calls was full */
	STAT_OBJECTS_FULL, /* results dropped: objects was full */
	STAT_SOCK_UNKNOWN, /* ties to a socket that socks does not have */
	STAT_LIVES_FULL,   /* new processes that Go was not told of */
	STAT_SHORTENED,	   /* events that carry less than they stand for: the ring was half full, */
	STAT_SHORT_BYTES,  /* the bytes that were left out */
	STAT_SKIPPED,	   /* bytes of bodies that nobody wants, and that were not copied */
	STAT_H2_LOST,	   /* directions of HTTP/2 of which everything is copied from now on */
	STAT_MAX,
};

/* Per-CPU counters; Go sums and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_MAX);
	__type(key, enum tls_stat);
	__type(value, u64);
} tls_stats SEC(".maps");

static __always_inline void count(enum tls_stat which, u64 n)
{
	u64 *c = bpf_map_lookup_elem(&tls_stats, &which);

	if (c)
		*c += n;
}

enum tls_event_type { EV_DATA, EV_TIE, EV_FREE, EV_EXIT, EV_MEMORY_BIO };

struct tls_event {
	u64 obj;  /* address of the TLS object in the process */
	u64 time; /* monotonic ns; of what was written: when the write began */
	u64 sk, born;
	u64 offset; /* of the first byte in what the object has read or written */
	u64 len;    /* bytes it stands for; size of them follow */
	u64 behind; /* of what was read: the time of the write that goes on and was before it; 0: none */
	u32 tgid, tid;
	u32 size;
	u8 type;
	u8 sent;
	u8 role;
	u8 closed; /* the program has closed the object meanwhile */
};

/* EV_TIE: the object's socket. */
struct tls_tie {
	struct tls_event head;
	struct flow_key key;
	char comm[16];
	u32 own_seq, peer_seq; /* of each side's first data byte */
	u8 joined;	       /* the object is older than we are */
	u8 pad[7];
};

/*
 * events: plaintext and what it belongs to, in order. Full: STAT_RING_FULL.
 * Readers are woken by amount; else they look by themselves (docs/decisions/0008).
 */
#define RING_BYTES (8 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} events SEC(".maps");

#define WAKE_BYTES (256 << 10)

static __always_inline void event_submit(void *e)
{
	bool many = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_BYTES;

	bpf_ringbuf_submit(e, many ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* An event about an object or a process, without data. */
static __always_inline void event_notice_at(u32 type, u32 tgid, u64 obj, u64 time)
{
	struct tls_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	count(STAT_TAKEN, 1);
	if (!e) {
		count(STAT_RING_FULL, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->type = type;
	e->tgid = tgid;
	e->obj = obj;
	e->time = time;
	event_submit(e);
}

static __always_inline void event_notice(u32 type, u32 tgid, u64 obj)
{
	event_notice_at(type, tgid, obj, bpf_ktime_get_ns());
}

struct tls_life {
	u32 tgid;
	char path[252]; /* of the program, as its process sees it */
};

/* lives: processes that began a new program; Go looks for TLS in them. Full: STAT_LIVES_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} lives SEC(".maps");

#endif
