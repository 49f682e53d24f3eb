/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The seed: a walk over all file tables, for sockets and owners that no event told. */
#ifndef WEFT_SEED_H
#define WEFT_SEED_H

#include "udp.h"
#include "walk.h"

#define S_IFMT 00170000
#define S_IFSOCK 0140000

/* What the walk over the file tables does; Go sets it before each walk. */
enum { SEED_LISTENERS, SEED_CONNS, SEED_RESOLVE, SEED_UDP };
volatile u32 seed_mode = SEED_LISTENERS;
/* Open descriptors of UDP sockets that a SEED_UDP walk found. */
u64 udp_found = 0;

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
	struct look seen;
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
	seen = conn_look(sk);
	conn_looked(&c, &seen);
	counters_read(&r.slot[0], sk, seq_overhead(&c, state), PROBE);
	r.slot[0].established = c.established;
	r.row.proto = WEFT_PROTO_TCP;
	key_from_sock(&r.row, sk, PROBE);
	r.row.lport = local_port(sk, PROBE);
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
