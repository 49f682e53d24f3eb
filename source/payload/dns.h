/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* DNS over UDP: each message goes to user space. */
#ifndef WEFT_DNS_H
#define WEFT_DNS_H

#include "rows.h"

struct ev_dns {
	enum event_kind kind;
	u16 len; /* of the message */
	u16 cap; /* bytes in data */
	u64 sk, at;
	u8 laddr[16];
	u8 raddr[16];
	u32 netns;
	u32 pid; /* of the sender; 0 for what came in */
	u16 lport, rport;
	u8 egress;
	u8 pad[3];
	char comm[16];
	u8 data[];
};

static __always_inline void dns_addrs(struct ev_dns *e, const struct packet *p)
{
	u8 *src = p->dir == OUT ? e->laddr : e->raddr;
	u8 *dst = p->dir == OUT ? e->raddr : e->laddr;
	struct sock *sk = (struct sock *)e->sk;
	u32 v4[2] = {};

	/* See packet_before_nat. */
	if (p->dir == OUT && BPF_CORE_READ(sk, __sk_common.skc_dport)) {
		struct flow_key k;

		key_from_sock(&k, sk, PROBE);
		__builtin_memcpy(e->laddr, k.laddr, sizeof(k.laddr));
		__builtin_memcpy(e->raddr, k.raddr, sizeof(k.raddr));
		return;
	}
	if (p->v6) {
		bpf_skb_load_bytes(p->skb, 8, src, 16);
		bpf_skb_load_bytes(p->skb, 24, dst, 16);
		return;
	}
	bpf_skb_load_bytes(p->skb, 12, v4, 8);
	addr_from_v4(src, v4[0]);
	addr_from_v4(dst, v4[1]);
}

static __always_inline int dns_reserve(struct packet *p, u64 key, const u32 size)
{
	struct ev_dns *e = bpf_ringbuf_reserve(&events, sizeof(*e) + size, 0);
	u16 src = bpf_ntohs((u16)p->ports), dst = bpf_ntohs((u16)(p->ports >> 16));
	struct owner o = {};
	u32 n = p->len;

	if (!e) {
		count(STAT_DNS_LOST, 1);
		return 0;
	}
	if (n > size)
		n = size;
	e->kind = EV_DNS;
	e->len = p->len;
	e->cap = 0;
	e->sk = key;
	e->at = bpf_ktime_get_ns();
	e->egress = p->dir == OUT;
	e->lport = p->dir == OUT ? src : dst;
	e->rport = p->dir == OUT ? dst : src;
	e->netns = netns_of((struct sock *)e->sk, PROBE);
	if (p->dir == OUT)
		owner_current(&o, have_fetch ? DIRECT | FETCH : PROBE);
	e->pid = o.pid;
	__builtin_memcpy(e->comm, o.comm, sizeof(e->comm));
	dns_addrs(e, p);
	if (within(&n, size) && !bpf_skb_load_bytes(p->skb, p->off, e->data, n))
		e->cap = n;
	bpf_ringbuf_submit(e, wake_flags());
	count(STAT_DNS, 1);
	return 0;
}

static __always_inline bool dns_wanted(const struct packet *p)
{
	return is_dns_port((u16)p->ports) || is_dns_port((u16)(p->ports >> 16));
}

static __always_inline int dns_packet(struct packet *p, u64 key)
{
	if (p->len <= 128)
		return dns_reserve(p, key, 128);
	if (p->len <= 512)
		return dns_reserve(p, key, 512);
	return dns_reserve(p, key, 4096);
}

#endif
