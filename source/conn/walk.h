/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The snapshot: a walk over socks that reports what live sockets have done. */
#ifndef WEFT_WALK_H
#define WEFT_WALK_H

#include "tcp.h"

#define STALE_AFTER_NS (5ULL * 1000 * 1000 * 1000)

/* Snapshots so far; Go counts. Each 16th looks for stale entries. */
volatile u32 snapshots = 0;

/*
 * More sockets may have moved than the flow table has rows. The walk stops short
 * of filling it and says so in slice_left; Go then walks again, one slice of all
 * sockets at a time, with a read-out behind each.
 */
volatile u32 slice_mask = 0, slice_at = 0;
volatile u32 slice_left = 0;
volatile u64 slice_room = ~0ULL;

static __always_inline bool snapshot_fits(u64 key)
{
	if (((u32)(key >> 6) * 0x9e3779b1u >> 24 & slice_mask) != slice_at)
		return false;
	if (flows_used < slice_room)
		return true;
	slice_left = 1;
	return false;
}

/* Is the memory still this connection's, and not that of a later one? */
static __always_inline bool entry_intact(struct sock *sk, const struct conn *e)
{
	return !e->established || e->rport == BPF_CORE_READ(sk, __sk_common.skc_dport);
}

/* A seed that raced with a close left an entry behind, or a close was missed. */
static __always_inline bool entry_stale(struct sock *sk, const struct conn *e, u32 state)
{
	bool gone = state == 0 || state == ST_CLOSE || state > ST_NEW_SYN_RECV;

	if (e->role == ROLE_LISTENER)
		gone = state != ST_LISTEN;
	else if (!entry_intact(sk, e))
		gone = true;
	return gone && bpf_ktime_get_ns() - e->born > STALE_AFTER_NS;
}

/* The memory is another's by now: what is known is the row, and that it closed. */
static __always_inline void report_lost_close(u64 key, const struct conn *e)
{
	struct reported *r = bpf_map_lookup_elem(&reported, &key);
	struct flow_val v = {.closed = 1};
	struct flow_key k;

	if (!r || e->role == ROLE_LISTENER)
		return;
	k = r->row;
	row_set_owner(&k, &v, e);
	if (key_wanted(&k))
		flow_add(&k, &v);
}

/*
 * The close of this entry and the free of its socket were both lost (see
 * adopt). Freed TCP sockets keep their contents until they are used again
 * (SLAB_TYPESAFE_BY_RCU), so the close can still be reported in full.
 */
static __always_inline void entry_drop(struct sock *sk, struct conn *e, u32 state, const u32 how)
{
	u64 key = (u64)sk;

	if (state == ST_CLOSE && e->established && e->role != ROLE_LISTENER && entry_intact(sk, e)) {
		on_close(sk, ST_CLOSE, how);
		return;
	}
	report_lost_close(key, e);
	if (e->role != ROLE_LISTENER && e->owner_from == OWNER_NONE)
		count(STAT_RESOLVED, 1);
	sock_del(key);
	bpf_map_delete_elem(&reported, &key);
	count(STAT_STALE, 1);
}

static __always_inline bool counters_moved(const struct counters *a, const struct counters *b)
{
	/* Segments alone are keep-alive probes: reported with the next bytes. */
	return a->rx > b->rx || a->tx > b->tx || a->retrans != b->retrans || a->established != b->established;
}

/* A live socket's counters; they never go back (see counters_read). */
static __always_inline void counters_live(struct counters *cur, const struct counters *last, struct sock *sk,
					  u32 overhead)
{
	counters_read(cur, sk, overhead, PROBE);
	cur->established = 1;
	if (cur->tx < last->tx)
		cur->tx = last->tx;
	if (cur->rx < last->rx)
		cur->rx = last->rx;
}

/* Writes the slot that the next claim will point to. */
static __always_inline bool counters_propose(u64 sk, u64 claim, u64 next, const struct counters *cur,
					     const struct flow_key *row)
{
	struct reported *r;
	u64 slot = next & 1;

	if (!(claim & CLAIM_COUNT) && bpf_map_update_elem(&reported, &sk, &nothing_reported, BPF_ANY))
		return false;
	r = bpf_map_lookup_elem(&reported, &sk);
	if (!r)
		return false;
	if (!(claim & CLAIM_COUNT))
		r->row = *row;
	barrier_var(slot);
	r->slot[slot] = *cur;
	return true;
}

/* Moves the claim on; false when the socket was closed meanwhile. */
static __always_inline bool counters_claim(struct conn *e, u64 sk, u64 claim, const struct counters *cur,
					   const struct flow_key *row, const u32 how)
{
	/* The count never comes back to zero, which means nothing reported. */
	u64 next = (claim & CLAIM_COUNT) == CLAIM_COUNT ? claim - 1 : claim + 1;

	if (!counters_propose(sk, claim, next, cur, row))
		return false;
	if (!(how & FETCH)) {
		e->claim = next;
		return true;
	}
	if (__sync_val_compare_and_swap(&e->claim, claim, next) == claim)
		return true;
	if (!(claim & CLAIM_COUNT))
		bpf_map_delete_elem(&reported, &sk);
	return false;
}

/*
 * Most long connections are idle. When everything was read, sent and
 * acknowledged at the last report, two numbers that lie in one cache line tell
 * that nothing has happened since.
 */
static __always_inline bool conn_idle(const struct conn *e, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	return e->claim & CLAIM_COUNT && e->settled && e->seen_rcv == BPF_CORE_READ(tp, rcv_nxt) &&
	       e->seen_snd == BPF_CORE_READ(tp, snd_nxt);
}

struct look {
	u32 rcv, snd;
	bool settled;
};

/* Before the counters are read: what comes in between is news for the next time. */
static __always_inline struct look conn_look(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct look l = {.rcv = BPF_CORE_READ(tp, rcv_nxt), .snd = BPF_CORE_READ(tp, snd_nxt)};

	l.settled = BPF_CORE_READ(tp, copied_seq) == l.rcv && BPF_CORE_READ(tp, snd_una) == l.snd &&
		    BPF_CORE_READ(tp, write_seq) == l.snd;
	return l;
}

/* After the report: a socket whose report was given up is not idle. */
static __always_inline void conn_looked(struct conn *e, const struct look *l)
{
	e->seen_rcv = l->rcv;
	e->seen_snd = l->snd;
	e->settled = l->settled;
}

/* Reports what a live socket has done since the last snapshot. */
static __always_inline void snapshot_conn(struct sock *sk, struct conn *e, u32 state, const u32 how)
{
	struct flow_key k = {.proto = WEFT_PROTO_TCP};
	struct counters cur = {}, last = {};
	u64 claim = e->claim, key = (u64)sk;
	struct flow_val v = {};
	struct look seen;

	/* Read after the claim, so that the claim vouches for them. */
	if (claim == CLAIM_CLOSED || !e->established || e->role == ROLE_LISTENER)
		return;
	seen = conn_look(sk);
	counters_reported(&last, key, claim);
	counters_live(&cur, &last, sk, seq_overhead(e, state));
	/* A FIN that came between the loads would count as a byte. */
	if (!counters_moved(&cur, &last) || state != BPF_CORE_READ(sk, __sk_common.skc_state))
		return;
	val_from_delta(&v, sk, e, &cur, &last, PROBE);
	key_from_sock(&k, sk, PROBE);
	k.lport = local_port(sk, PROBE);
	row_set_owner(&k, &v, e);
	/* A close meanwhile reports it all. */
	if (!counters_claim(e, key, claim, &cur, &k, how))
		return;
	conn_looked(e, &seen);
	if (key_wanted(&k))
		flow_add(&k, &v);
}

/* One entry of socks, as the iterator shows it. */
static __always_inline bool entry_quiet(const struct conn *e, u64 key)
{
	if (snapshots % 16 == 0)
		return false;
	return e->role == ROLE_LISTENER || !e->established || conn_idle(e, (struct sock *)key);
}

static __always_inline int snapshot_one(u64 key, const u32 how)
{
	/* Looked up again: the iterator's own pointer takes no atomics. */
	struct conn *e = bpf_map_lookup_elem(&socks, &key);
	struct sock *sk = (struct sock *)key;
	u32 state;

	if (!e)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (entry_stale(sk, e, state)) {
		entry_drop(sk, e, state, how & ~DIRECT);
		return 0;
	}
	if (state == ST_CLOSE)
		return 0;
	busy_take(key, how);
	/* The lock may have come after a close: then it is another entry, or none. */
	if (!(how & FETCH)) {
		e = bpf_map_lookup_elem(&socks, &key);
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
	}
	if (e && state != ST_CLOSE)
		snapshot_conn(sk, e, state, how);
	busy_drop(key, how);
	return 0;
}

#endif
