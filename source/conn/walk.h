/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Walks: the snapshot over socks, and the seed over all file tables. */
#ifndef WEFT_WALK_H
#define WEFT_WALK_H

#include "tcp.h"
#include "udp.h"

#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define STALE_AFTER_NS (5ULL * 1000 * 1000 * 1000)

/* What the walk over the file tables does; Go sets it before each walk. */
enum { SEED_LISTENERS, SEED_CONNS, SEED_RESOLVE, SEED_UDP };
volatile u32 seed_mode = SEED_LISTENERS;
/* Open descriptors of UDP sockets that a SEED_UDP walk found. */
u64 udp_found = 0;

/* Snapshots so far; Go counts. Each 16th looks for stale entries. */
volatile u32 snapshots = 0;

/* A seed that raced with a close left an entry behind, or a close was missed. */
static __always_inline bool entry_stale(struct sock *sk, const struct conn *e, u32 state)
{
	bool gone = state == 0 || state == ST_CLOSE || state > ST_NEW_SYN_RECV;

	if (e->role == ROLE_LISTENER)
		gone = state != ST_LISTEN;
	else if (e->established && e->rport != BPF_CORE_READ(sk, __sk_common.skc_dport))
		gone = true;
	return gone && bpf_ktime_get_ns() - e->born > STALE_AFTER_NS;
}

static __always_inline void entry_drop(u64 key, const struct conn *e)
{
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
static __always_inline bool counters_propose(u64 sk, u64 claim, u64 next, const struct counters *cur)
{
	struct reported first = {.slot = {*cur, *cur}};
	u64 slot = next & 1;
	struct reported *r;

	if (!(claim & CLAIM_COUNT))
		return bpf_map_update_elem(&reported, &sk, &first, BPF_ANY) == 0;
	r = bpf_map_lookup_elem(&reported, &sk);
	if (!r)
		return false;
	barrier_var(slot);
	r->slot[slot] = *cur;
	return true;
}

/* Moves the claim on; false when the socket was closed meanwhile. */
static __always_inline bool counters_claim(struct conn *e, u64 sk, u64 claim, const struct counters *cur,
					   const u32 how)
{
	/* The count never comes back to zero, which means nothing reported. */
	u64 next = (claim & CLAIM_COUNT) == CLAIM_COUNT ? claim - 1 : claim + 1;

	if (!counters_propose(sk, claim, next, cur))
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
 * Most long connections are idle, so they are told apart by three numbers:
 * nothing fetched, nothing written, nothing sent again since the last report.
 */
static __always_inline bool conn_idle(const struct conn *e, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	return e->claim & CLAIM_COUNT && e->seen_copied == BPF_CORE_READ(tp, copied_seq) &&
	       e->seen_written == BPF_CORE_READ(tp, write_seq) &&
	       e->seen_retrans == BPF_CORE_READ(tp, total_retrans);
}

/* Before the counters are read: what comes in between is news for the next time. */
static __always_inline void conn_look(struct conn *e, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	e->seen_copied = BPF_CORE_READ(tp, copied_seq);
	e->seen_written = BPF_CORE_READ(tp, write_seq);
	e->seen_retrans = BPF_CORE_READ(tp, total_retrans);
}

/* Reports what a live socket has done since the last snapshot. */
static __always_inline void snapshot_conn(struct sock *sk, struct conn *e, u32 state, const u32 how)
{
	struct flow_key k = {.proto = WEFT_PROTO_TCP};
	struct counters cur = {}, last = {};
	u64 claim = e->claim, key = (u64)sk;
	struct flow_val v = {};

	/* Read after the claim, so that the claim vouches for them. */
	if (claim == CLAIM_CLOSED || !e->established || e->role == ROLE_LISTENER)
		return;
	conn_look(e, sk);
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
	if (counters_claim(e, key, claim, &cur, how) && key_wanted(&k))
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
		entry_drop(key, e);
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

/*
 * The TCP socket under an MPTCP one: a Go program listens on MPTCP unless told
 * not to (Go 1.24), so its file does not hold the TCP listener itself.
 */
static __always_inline struct sock *tcp_below(struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_protocol) != WEFT_PROTO_MPTCP ||
	    !bpf_core_field_exists(((struct mptcp_sock *)0)->first))
		return sk;
	return BPF_CORE_READ((struct mptcp_sock *)sk, first);
}

static __always_inline struct sock *file_sock(struct file *f)
{
	struct socket *s;
	struct sock *sk;
	u16 family;

	if ((BPF_CORE_READ(f, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	s = BPF_CORE_READ(f, private_data);
	sk = s ? BPF_CORE_READ(s, sk) : NULL;
	if (!sk)
		return NULL;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	return family == WEFT_AF_INET || family == WEFT_AF_INET6 ? tcp_below(sk) : NULL;
}

static __always_inline void seed_listener(struct sock *sk, const struct owner *o, u64 start)
{
	struct conn c = {.role = ROLE_LISTENER, .owner_from = OWNER_FILES, .owner = *o};
	u32 netns = netns_of(sk, PROBE);
	u16 port = local_port(sk, PROBE);
	struct listener *l;

	c.born = bpf_ktime_get_ns();
	if (sock_add((u64)sk, &c, BPF_NOEXIST)) {
		listener_add(netns, port, o, start);
		return;
	}
	l = listener_find(netns, port);
	if (l && start < l->start) {
		l->owner = *o;
		l->start = start;
	}
}

/* Of several holders of a socket the youngest is the worker. */
static __always_inline void seed_owner(struct conn *e, const struct owner *o, u32 start)
{
	if (e->owner_from == OWNER_SEEN || (e->owner_from == OWNER_FILES && start <= e->owner_start))
		return;
	if (e->owner_from == OWNER_NONE)
		count(STAT_RESOLVED, 1);
	e->owner = *o;
	e->owner_start = start;
	e->owner_from = OWNER_FILES;
}

static __always_inline void seed_conn(struct sock *sk, u32 state, const struct owner *o, u32 start)
{
	struct conn c = {.owner_from = OWNER_FILES, .owner = *o, .owner_start = start};
	struct reported r = {};
	u64 key = (u64)sk;
	struct conn *e = bpf_map_lookup_elem(&socks, &key);

	if (e) {
		seed_owner(e, o, start);
		return;
	}
	if (!peer_wanted(sk, PROBE))
		return;
	c.role = listener_find(netns_of(sk, PROBE), local_port(sk, PROBE)) ? ROLE_SERVER : ROLE_CLIENT;
	c.established = state != ST_SYN_SENT;
	c.rport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	c.born = bpf_ktime_get_ns();
	c.claim = c.born << 16 | 2;
	conn_look(&c, sk);
	counters_read(&r.slot[0], sk, seq_overhead(&c, state), PROBE);
	r.slot[0].established = c.established;
	bpf_map_update_elem(&reported, &key, &r, BPF_ANY);
	sock_add(key, &c, BPF_NOEXIST);
}

static __always_inline int seed_udp(struct sock *sk)
{
	if (seed_mode == SEED_UDP)
		udp_found++;
	else if (seed_mode == SEED_LISTENERS)
		udp_seed(sk);
	return 0;
}

static __always_inline int seed_one(struct task_struct *task, struct file *file)
{
	struct sock *sk = file_sock(file);
	struct owner o = {};
	u64 start, key = (u64)sk;
	struct conn *e;
	u32 state;

	if (!sk)
		return 0;
	if (BPF_CORE_READ(sk, sk_protocol) == WEFT_PROTO_UDP)
		return seed_udp(sk);
	if (seed_mode == SEED_UDP || BPF_CORE_READ(sk, sk_protocol) != WEFT_PROTO_TCP)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == ST_CLOSE || state == ST_SYN_RECV ||
	    (state == ST_LISTEN) != (seed_mode == SEED_LISTENERS))
		return 0;
	owner_of_task(&o, task, PROBE);
	start = BPF_CORE_READ(task, group_leader, start_time);
	if (seed_mode == SEED_LISTENERS) {
		seed_listener(sk, &o, start);
	} else if (seed_mode == SEED_CONNS) {
		seed_conn(sk, state, &o, start >> 24);
	} else {
		e = bpf_map_lookup_elem(&socks, &key);
		if (e && e->role != ROLE_LISTENER)
			seed_owner(e, &o, start >> 24);
	}
	return 0;
}

#endif
