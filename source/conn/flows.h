/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The flow table: rows that doors add to and Go reads out. */
#ifndef WEFT_FLOWS_H
#define WEFT_FLOWS_H

#include "conn.h"
#include "listen.h"

struct flow_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow_val);
};

/*
 * flows_a, flows_b: one is active (in flows[0]), the other is being read out
 * by Go and emptied. Programs insert rows and add to them; only Go deletes,
 * and only from the table that is not active. Full: the contribution is
 * counted in STAT_FLOWS_FULL and STAT_FLOWS_FULL_BYTES. Go swaps early when
 * flows_used passes half of the table, so that this takes a burst.
 */
struct flow_table flows_a SEC(".maps");
struct flow_table flows_b SEC(".maps");

/*
 * flows: the active table. Only Go writes it; a write returns after an RCU
 * grace period (maybe_wait_bpf_programs, Linux 5.0), so no program still adds
 * to the old table when Go starts to read it: the read-out is exact.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct flow_table);
} flows SEC(".maps") = {
	.values = {&flows_a},
};

static __always_inline void val_add(struct flow_val *to, const struct flow_val *v)
{
	if (v->rx_bytes)
		__sync_fetch_and_add(&to->rx_bytes, v->rx_bytes);
	if (v->tx_bytes)
		__sync_fetch_and_add(&to->tx_bytes, v->tx_bytes);
	if (v->rx_pkts)
		__sync_fetch_and_add(&to->rx_pkts, v->rx_pkts);
	if (v->tx_pkts)
		__sync_fetch_and_add(&to->tx_pkts, v->tx_pkts);
	if (v->retrans)
		__sync_fetch_and_add(&to->retrans, v->retrans);
	if (v->rtt_n) {
		__sync_fetch_and_add(&to->rtt_us, v->rtt_us);
		__sync_fetch_and_add(&to->rttvar_us, v->rttvar_us);
		__sync_fetch_and_add(&to->rtt_n, v->rtt_n);
	}
	if (v->established)
		__sync_fetch_and_add(&to->established, v->established);
	if (v->closed)
		__sync_fetch_and_add(&to->closed, v->closed);
	if (v->failed)
		__sync_fetch_and_add(&to->failed, v->failed);
	if (v->connect_n) {
		__sync_fetch_and_add(&to->connect_ns, v->connect_ns);
		__sync_fetch_and_add(&to->connect_n, v->connect_n);
	}
}

/* The process of a row. */
static __always_inline void row_owner(struct flow_key *k, struct flow_val *v, const struct owner *o)
{
	const u64 *w = (const u64 *)v->comm;

	__builtin_memcpy(v->comm, o->comm, sizeof(v->comm));
	k->pid = o->pid;
	k->name = (w[0] * 0x9e3779b97f4a7c15ULL ^ w[1] * 0xc2b2ae3d27d4eb4fULL) >> 32;
}

/* Adds a contribution to its row; the caller has completed the key. */
static __always_inline void flow_add(struct flow_key *k, const struct flow_val *v)
{
	u32 zero = 0;
	void *table = bpf_map_lookup_elem(&flows, &zero);
	struct flow_val *row;

	if (!table)
		return;
	key_collapse(k);
	row = bpf_map_lookup_elem(table, k);
	if (row) {
		val_add(row, v);
		count(STAT_FOLDED, 1);
		return;
	}
	if (bpf_map_update_elem(table, k, v, BPF_NOEXIST) == 0) {
		__sync_fetch_and_add(&flows_used, 1);
		count(STAT_FOLDED, 1);
		return;
	}
	/* Full, or another CPU inserted the row just now. */
	row = bpf_map_lookup_elem(table, k);
	if (row) {
		val_add(row, v);
		count(STAT_FOLDED, 1);
		return;
	}
	count(STAT_FLOWS_FULL, 1);
	count(STAT_FLOWS_FULL_BYTES, v->rx_bytes + v->tx_bytes);
}

#endif
