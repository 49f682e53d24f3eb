/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who talks to whom: a flow's identity, read from a socket. Shared by sources. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * How a door may read and write; a constant that the compiler folds away.
 * DIRECT: the pointer has a BTF type that the verifier knows, so fields are
 * plain loads (1 ns) instead of bpf_probe_read_kernel (about 20 ns).
 * FETCH: atomics return values, since 5.12 (commit 5ffa25502b5a).
 */
enum { PROBE = 0, DIRECT = 1, FETCH = 2 };

#define READ(how, p, field) ((how)&DIRECT ? (p)->field : BPF_CORE_READ(p, field))

/* A flow row's identity: record.FlowKey. Addresses are IPv6, IPv4 is mapped. */
struct flow_key {
	u8 laddr[16];
	u8 raddr[16];
	u32 netns; /* inode of the socket's network namespace */
	u32 pid;   /* tgid in the initial pid namespace */
	u16 lport; /* host order; 0: collapsed ephemeral port */
	u16 rport;
	u16 connect_errno;
	u8 proto;
	u8 incoming;
	u32 name; /* hash of the process name, which stands in the value */
	/* A time (ktime, low word first) at which the connection was open; 0: the row is of many. */
	u32 when[2];
};

static __always_inline bool addr_is_v4(const u8 *a)
{
	const u64 *hi = (const u64 *)a;
	const u32 *mid = (const u32 *)(a + 8);

	return *hi == 0 && *mid == bpf_htonl(0xffff);
}

static __always_inline bool addr_is_loopback(const u8 *a)
{
	const u64 *w = (const u64 *)a;

	if (addr_is_v4(a))
		return a[12] == 127;
	return w[0] == 0 && w[1] == bpf_cpu_to_be64(1);
}

static __always_inline bool addr_is_zero(const u8 *a)
{
	const u64 *w = (const u64 *)a;

	return w[0] == 0 && w[1] == 0;
}

static __always_inline void addr_from_v4(u8 *a, u32 v4)
{
	*(u64 *)a = 0;
	*(u32 *)(a + 8) = bpf_htonl(0xffff);
	*(u32 *)(a + 12) = v4;
}

/* A v6 socket's unspecified local address towards a v4 peer is 0.0.0.0. */
static __always_inline void addr_match_family(struct flow_key *k)
{
	if (addr_is_v4(k->raddr) && addr_is_zero(k->laddr))
		addr_from_v4(k->laddr, 0);
}

static __always_inline void addr_from_v6(u8 *a, const struct in6_addr *v6, const u32 how)
{
	u32 *w = (u32 *)a;

	if (!(how & DIRECT)) {
		bpf_probe_read_kernel(a, 16, v6);
		return;
	}
	w[0] = v6->in6_u.u6_addr32[0];
	w[1] = v6->in6_u.u6_addr32[1];
	w[2] = v6->in6_u.u6_addr32[2];
	w[3] = v6->in6_u.u6_addr32[3];
}

static __always_inline void addr_of_peer(u8 *a, struct sock *sk, const u32 how)
{
	if (READ(how, sk, __sk_common.skc_family) == WEFT_AF_INET6)
		addr_from_v6(a, &sk->__sk_common.skc_v6_daddr, how);
	else
		addr_from_v4(a, READ(how, sk, __sk_common.skc_daddr));
}

static __always_inline u32 netns_of(struct sock *sk, const u32 how)
{
	if (how & DIRECT)
		return sk->__sk_common.skc_net.net->ns.inum;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* Addresses, the peer's port and the namespace; the caller knows the local port. */
static __always_inline void key_from_sock(struct flow_key *k, struct sock *sk, const u32 how)
{
	if (READ(how, sk, __sk_common.skc_family) == WEFT_AF_INET6)
		addr_from_v6(k->laddr, &sk->__sk_common.skc_v6_rcv_saddr, how);
	else
		addr_from_v4(k->laddr, READ(how, sk, __sk_common.skc_rcv_saddr));
	addr_of_peer(k->raddr, sk, how);
	k->rport = bpf_ntohs(READ(how, sk, __sk_common.skc_dport));
	k->netns = netns_of(sk, how);
}

#endif
