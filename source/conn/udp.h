/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * UDP: the kernel keeps no counters, so each datagram is counted when it was
 * accepted from or delivered to a process.
 */
#ifndef WEFT_UDP_H
#define WEFT_UDP_H

#include "flows.h"
#include "listen.h"

#define SOCK_BINDPORT_LOCK 8
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000

struct peer {
	u8 addr[16];
	u16 port;
	u8 known;
};

/*
 * peers: the peer that a thread's sendto or recvfrom on an unconnected socket
 * names, from the cgroup hook to the tracepoint at the end of the same call.
 * Written in place by the hooks; entries of dead threads are evicted (LRU).
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct peer);
} peers SEC(".maps");

/*
 * udp_args: socket and message of a udp_sendmsg in flight, from kprobe to
 * kretprobe, which deletes it. An IPv6 socket that sends to a v4-mapped
 * address nests the two functions: the inner one takes the entry.
 */
struct udp_args {
	u64 sk, msg;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct udp_args);
} udp_args SEC(".maps");

static __always_inline bool sock_is_udp(struct sock *sk, const u32 how)
{
	u16 family;

	if (READ(how, sk, sk_protocol) != WEFT_PROTO_UDP)
		return false;
	family = READ(how, sk, __sk_common.skc_family);
	return family == WEFT_AF_INET || family == WEFT_AF_INET6;
}

static __always_inline void peer_remember(const struct peer *p)
{
	u64 id = bpf_get_current_pid_tgid();
	struct peer *mine = bpf_map_lookup_elem(&peers, &id);

	if (mine)
		*mine = *p;
	else if (bpf_map_update_elem(&peers, &id, p, BPF_ANY))
		count(STAT_PEERS_FULL, 1);
}

/* The remembered peer of this thread's call, which is used once. */
static __always_inline void peer_take(struct flow_key *k)
{
	u64 id = bpf_get_current_pid_tgid();
	struct peer *p = bpf_map_lookup_elem(&peers, &id);

	if (!p || !p->known)
		return;
	__builtin_memcpy(k->raddr, p->addr, sizeof(k->raddr));
	k->rport = p->port;
	p->known = 0;
}

/*
 * udp_roles: which side a socket is on, by the address of its struct sock: it
 * serves when its first datagram came in. Inserted at the first datagram and
 * by the seed; a socket at a reused address is told by its port; entries of
 * dead sockets are evicted (LRU). Sockets that are connected from a port that
 * the kernel chose ask, and need no entry.
 */
struct udp_role {
	u32 netns;
	u16 port;
	u8 serves;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct udp_role);
} udp_roles SEC(".maps");

static __always_inline bool udp_port_chosen(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

/* Who opened the flow; k has netns and lport. */
static __always_inline bool udp_serves(struct sock *sk, const struct flow_key *k, bool received,
				       const u32 how)
{
	struct udp_role fresh = {.netns = k->netns, .port = k->lport, .serves = received};
	u64 key = (u64)sk;
	struct udp_role *r;

	if (READ(how, sk, __sk_common.skc_dport) && !udp_port_chosen(sk))
		return false;
	r = bpf_map_lookup_elem(&udp_roles, &key);
	if (r && r->netns == k->netns && r->port == k->lport)
		return r->serves;
	bpf_map_update_elem(&udp_roles, &key, &fresh, BPF_ANY);
	return received;
}

/* A socket older than the collector serves if its process chose the port. */
static __always_inline void udp_seed(struct sock *sk)
{
	struct udp_role r = {.serves = 1};
	u64 key = (u64)sk;

	if (BPF_CORE_READ(sk, __sk_common.skc_dport) || !udp_port_chosen(sk))
		return;
	r.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	r.netns = netns_of(sk, PROBE);
	bpf_map_update_elem(&udp_roles, &key, &r, BPF_NOEXIST);
}

/* Completes the key and counts one call that moved bytes. */
static __always_inline void udp_add(struct flow_key *k, struct sock *sk, struct flow_val *v, const u32 how)
{
	struct owner o = {};

	k->proto = WEFT_PROTO_UDP;
	k->lport = READ(how, sk, __sk_common.skc_num);
	k->incoming = udp_serves(sk, k, v->rx_pkts, how);
	addr_match_family(k);
	if (!key_wanted(k))
		return;
	if (addr_is_zero(k->raddr))
		count(STAT_UDP_NO_PEER, 1);
	owner_current(&o, how);
	row_owner(k, v, &o);
	flow_add(k, v);
}

/* Datagrams of one send: more than one with UDP_SEGMENT (Linux 4.18). */
static __always_inline u64 udp_segments(struct sock *sk, u64 len)
{
	u64 gso = BPF_CORE_READ((struct udp_sock *)sk, gso_size);

	return gso && len > gso ? (len + gso - 1) / gso : 1;
}

/* sock_send_length / sock_recv_length: shared with TCP, hence the early exit. */
static __always_inline int udp_length(struct sock *sk, int ret, int flags, const bool sent)
{
	struct flow_key k = {};
	struct flow_val v = {};

	if (!sock_is_udp(sk, DIRECT | FETCH))
		return 0;
	key_from_sock(&k, sk, DIRECT | FETCH);
	if (!k.rport)
		peer_take(&k);
	if (ret < 0 || flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	if (sent) {
		v.tx_bytes = ret;
		v.tx_pkts = udp_segments(sk, ret);
	} else {
		v.rx_bytes = ret;
		v.rx_pkts = 1;
	}
	udp_add(&k, sk, &v, DIRECT | FETCH);
	return 0;
}

static __always_inline void peer_from_name(struct flow_key *k, const void *name)
{
	u16 family = 0;

	bpf_probe_read_kernel(&family, sizeof(family), name);
	bpf_probe_read_kernel(&k->rport, sizeof(k->rport), name + 2);
	k->rport = bpf_ntohs(k->rport);
	if (family == WEFT_AF_INET6) {
		bpf_probe_read_kernel(&k->raddr, sizeof(k->raddr), name + 8);
		return;
	}
	addr_from_v4(k->raddr, 0);
	bpf_probe_read_kernel(&k->raddr[12], 4, name + 4);
}

/* The end of udp_sendmsg (v6 false) or udpv6_sendmsg (v6 true). */
static __always_inline int udp_sent(struct sock *sk, struct msghdr *msg, long ret, const bool v6)
{
	struct flow_key k = {};
	struct flow_val v = {};
	const void *name;

	if (ret < 0 || !sk)
		return 0;
	key_from_sock(&k, sk, PROBE);
	name = BPF_CORE_READ(msg, msg_name);
	if (name)
		peer_from_name(&k, name);
	/* udpv6_sendmsg hands a v4 peer to udp_sendmsg, which has counted it. */
	if (v6 && addr_is_v4(k.raddr))
		return 0;
	v.tx_bytes = ret;
	v.tx_pkts = udp_segments(sk, ret);
	udp_add(&k, sk, &v, PROBE);
	return 0;
}

static __always_inline void key_from_headers(struct flow_key *k, struct sk_buff *skb)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *ip = head + BPF_CORE_READ(skb, network_header);
	bool any = addr_is_zero(k->laddr) || (addr_is_v4(k->laddr) && !*(u32 *)(k->laddr + 12));
	u8 version = 0, local[16] = {};
	u16 port = 0;

	bpf_probe_read_kernel(&version, 1, ip);
	if (version >> 4 == 4) {
		addr_from_v4(k->raddr, 0);
		addr_from_v4(local, 0);
		bpf_probe_read_kernel(&k->raddr[12], 4, ip + 12);
		bpf_probe_read_kernel(&local[12], 4, ip + 16);
	} else {
		bpf_probe_read_kernel(&k->raddr, 16, ip + 8);
		bpf_probe_read_kernel(&local, 16, ip + 24);
	}
	if (any)
		__builtin_memcpy(k->laddr, local, sizeof(k->laddr));
	bpf_probe_read_kernel(&port, sizeof(port), head + BPF_CORE_READ(skb, transport_header));
	k->rport = bpf_ntohs(port);
}

/* skb_consume_udp: a datagram of which len bytes were delivered; peeks are <= 0. */
static __always_inline int udp_consumed(struct sock *sk, struct sk_buff *skb, int len)
{
	struct flow_key k = {};
	struct flow_val v = {.rx_pkts = 1};

	if (len < 0 || !sock_is_udp(sk, PROBE))
		return 0;
	v.rx_bytes = len;
	key_from_sock(&k, sk, PROBE);
	key_from_headers(&k, skb);
	udp_add(&k, sk, &v, PROBE);
	return 0;
}

#endif
