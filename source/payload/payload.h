/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel side of payload shares among its programs and with Go. */
#ifndef WEFT_PAYLOAD_H
#define WEFT_PAYLOAD_H

#include "knobs.h"
#include "socks.h"

/* Wire directions, as indices. */
enum { IN, OUT };

/* The longest request line that can be asked for (l7_max_path, method and version). */
#define LINE_CAP 1088

/* Per-CPU counters, read by Go. */
enum payload_stat {
	STAT_HANDED_OVER,     /* requests whose connection went to user space with them pending */
	STAT_ROW_LOST,	      /* exchanges without a row: the table or the ring was full */
	STAT_ORPHANS,	      /* response heads without a request that was seen */
	STAT_STREAMS_FULL,    /* connections not followed: the table was full */
	STAT_STREAMS_STALE,   /* entries whose connection's end was not seen */
	STAT_GAPS,	      /* packets that came beyond the next byte expected */
	STAT_LATE,	      /* packets that filled such a gap */
	STAT_DUPLICATES,      /* packets that were seen before (sent again) */
	STAT_RESYNC,	      /* packets where a message had to begin and none did */
	STAT_CONTENDED,	      /* packets that did not wait for the one before any longer */
	STAT_WHOLE,	      /* packets of HTTP/2 copied whole: where frames begin was not known */
	STAT_RING_FULL,	      /* chunks lost: the ring was full */
	STAT_RING_FULL_BYTES, /* … and their bytes */
	STAT_DNS_LOST,	      /* DNS messages lost: the ring was full */
	STAT_EARLY_LOST,      /* requests on a socket not accepted yet that were not kept */
	STAT_HEADERS,	      /* packets whose headers could not be read */
	STAT_CHUNKS,	      /* chunks given to user space */
	STAT_DNS,	      /* DNS messages given to user space */
	STAT_STREAMS_ADDED,
	STAT_STREAMS_REMOVED,
	STAT_NAMED, /* rows announced with their request line */
	STAT_SHED,  /* packets left out because the collector was over a limit */
	STAT_PAYLOAD_MAX,
};

/* stats: fixed array; programs add, Go reads. Never full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_PAYLOAD_MAX);
	__type(key, enum payload_stat);
	__type(value, u64);
} payload_stats SEC(".maps");

static __always_inline void count(enum payload_stat which, u64 n)
{
	u64 *c = bpf_map_lookup_elem(&payload_stats, &which);

	if (c)
		*c += n;
}

/* Set by Go before loading. */
const volatile u32 line_max = 192; /* bytes of request line kept; a multiple of 8 */
const volatile u64 hash_seed = 0;  /* so that nobody can make paths collide */
const volatile u32 keep_query = 0; /* the path goes on behind '?' */
const volatile u32 have_fetch = 0; /* atomics return values (Linux 5.12) */
const volatile u32 want_http = 1;
const volatile u32 want_tls_hello = 1;
/* Ports of DNS in network order; 0 ends the list. */
const volatile u16 dns_ports[16] = {};

/*
 * True when *n is in [1, max], in a way that every verifier can follow: those
 * before 5.14 or so learn nothing from n != 0.
 */
static __always_inline bool within(u32 *n, const u32 max)
{
	u32 m = *n - 1;

	barrier_var(m);
	if (m >= max)
		return false;
	*n = m + 1;
	return true;
}

static __always_inline bool is_dns_port(u16 port)
{
	for (int i = 0; i < 16; i++) {
		if (!dns_ports[i])
			return false;
		if (dns_ports[i] == port)
			return true;
	}
	return false;
}

#endif
