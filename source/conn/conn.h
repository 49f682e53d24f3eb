/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel side of conn shares among its programs and with Go. */
#ifndef WEFT_CONN_H
#define WEFT_CONN_H

#include "knobs.h"

/*
 * A flow row's sums since the last read-out. What is added to comes first: a
 * row is cold in the cache, so each line of it that is touched costs.
 */
struct flow_val {
	u64 rx_bytes, tx_bytes;
	u64 rx_pkts, tx_pkts;
	u64 rtt_us, rttvar_us;
	u64 connect_ns;
	u32 rtt_n, connect_n;
	u32 established, closed;
	u32 failed, retrans;
	char comm[16];
};

/* Per-CPU counters, read by Go. */
enum conn_stat {
	STAT_FOLDED,	       /* contributions added to a flow row */
	STAT_FLOWS_FULL,       /* contributions lost: the flow table was full */
	STAT_FLOWS_FULL_BYTES, /* … and their bytes, both directions */
	STAT_SOCKS_FULL,       /* TCP sockets not tracked: the socket table was full */
	STAT_UNTRACKED,	       /* TCP sockets that closed without an entry */
	STAT_STALE,	       /* entries whose socket had gone, removed */
	STAT_UDP_NO_PEER,      /* datagrams whose peer no door could tell */
	STAT_PEERS_FULL,       /* peers not remembered: the peer table was full */
	STAT_LISTENERS_FULL,   /* listeners not remembered: the table was full */
	STAT_RACED,	       /* closes that a snapshot may have counted too (before 5.12) */
	STAT_ADOPTED,	       /* sockets taken in late: their first event was lost */
	STAT_SOCKS_ADDED,      /* entries made in socks */
	STAT_SOCKS_REMOVED,    /* entries deleted from socks */
	STAT_ACCEPTED,	       /* accepted sockets, whose worker is not known at first */
	STAT_UDP_BORN,	       /* UDP sockets made while the shared UDP door was closed */
	STAT_RESOLVED,	       /* accepted sockets whose worker was found, or that closed */
	STAT_MAX,
};

/* Rows in the flow table in use, zeroed by Go when it swaps tables. */
u64 flows_used = 0;
/* stats: fixed array; programs add, Go reads. Never full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_MAX);
	__type(key, enum conn_stat);
	__type(value, u64);
} stats SEC(".maps");

static __always_inline void count(enum conn_stat which, u64 n)
{
	u64 *c = bpf_map_lookup_elem(&stats, &which);

	if (c)
		*c += n;
}

#endif
