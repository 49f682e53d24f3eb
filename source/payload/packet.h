/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a packet carries, from its IP and TCP or UDP headers (RFC 791, 8200, 9293, 768). */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include "payload.h"

#define IPV6_HOP 0
#define IPV6_ROUTE 43
#define IPV6_DEST 60

struct packet {
	struct __sk_buff *skb;
	u32 l4;	 /* offset of the TCP or UDP header */
	u32 off; /* offset of the payload */
	u32 len; /* bytes of payload */
	u32 seq; /* TCP: sequence number of the first one */
	u32 ports;
	u8 dir;
	u8 proto;
	u8 v6;
	u8 place;  /* enum place, once advanced */
	u8 shared; /* another CPU has one of the same direction in hand: see stream_enter */
};

/*
 * A packet's way through the programs: each is verified on its own and hands
 * the packet on by tail call. What is known of it travels in skb->cb, which the
 * kernel keeps for cgroup programs.
 */
enum { TAIL_NONE, TAIL_MAIN, TAIL_CLASSIFY, TAIL_HEAD, TAIL_STREAM, TAIL_H2, TAILS };

/* tails_in, tails_out: the programs, filled by Go once (the attach types differ). */
struct tail_table {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TAILS);
	__type(key, u32);
	__type(value, u32);
};
struct tail_table tails_in SEC(".maps");
struct tail_table tails_out SEC(".maps");

#define PASSED_V6 1
#define PASSED_ADVANCED 2
#define PASSED_SHARED 4
#define PASSED_PLACE 3 /* bits below it */

static __always_inline void packet_store(const struct packet *p, bool advanced)
{
	struct __sk_buff *skb = p->skb;

	skb->cb[0] = p->off;
	skb->cb[1] = p->len;
	skb->cb[2] = p->seq;
	skb->cb[3] = p->ports;
	skb->cb[4] = (p->v6 ? PASSED_V6 : 0) | (advanced ? PASSED_ADVANCED : 0) |
		     (p->shared ? PASSED_SHARED : 0) | (u32)p->place << PASSED_PLACE;
}

static __always_inline void packet_pass(const struct packet *p, const u8 dir, bool advanced, u32 tail)
{
	packet_store(p, advanced);
	if (dir == OUT)
		bpf_tail_call(p->skb, &tails_out, tail);
	else
		bpf_tail_call(p->skb, &tails_in, tail);
}

/* The packet as the program before passed it; true when it was advanced already. */
static __always_inline bool packet_passed(struct packet *p, struct __sk_buff *skb, u8 dir)
{
	p->skb = skb;
	p->dir = dir;
	p->off = skb->cb[0];
	p->len = skb->cb[1];
	p->seq = skb->cb[2];
	p->ports = skb->cb[3];
	p->v6 = skb->cb[4] & PASSED_V6;
	p->shared = skb->cb[4] & PASSED_SHARED;
	p->place = skb->cb[4] >> PASSED_PLACE;
	return skb->cb[4] & PASSED_ADVANCED;
}

/* Offset of the transport header behind IPv6's, 0 when it cannot be found. */
static __always_inline u32 skip_v6(struct __sk_buff *skb, u8 *next)
{
	u8 ext[2];
	u32 off = 40;

	if (bpf_skb_load_bytes(skb, 6, next, 1))
		return 0;
	for (int i = 0; i < 4; i++) {
		if (*next != IPV6_HOP && *next != IPV6_ROUTE && *next != IPV6_DEST)
			return off;
		if (bpf_skb_load_bytes(skb, off, ext, sizeof(ext)))
			return 0;
		*next = ext[0];
		off += (ext[1] + 1) * 8;
	}
	return 0;
}

/* Fills in proto and l4; cgroup programs see the packet from its IP header on. */
static __always_inline bool packet_ip(struct packet *p, struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;

	if (data + 20 > end)
		return false;
	if (data[0] >> 4 == 4) {
		p->proto = data[9];
		p->l4 = (data[0] & 15) * 4;
		/* A fragment that is not the first has no transport header. */
		return !(data[6] & 0x1f) && !data[7];
	}
	p->v6 = 1;
	p->l4 = skip_v6(skb, &p->proto);
	return p->l4 != 0;
}

static __always_inline bool packet_tcp(struct packet *p, struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;
	u32 l4 = p->l4;
	u8 *th;

	if (l4 > 200)
		return false;
	th = data + l4;
	if (th + 20 > end)
		return false;
	p->ports = *(u32 *)th;
	/* A SYN takes a place of its own before the data (RFC 7413). */
	p->seq = bpf_ntohl(*(u32 *)(th + 4)) + (th[13] >> 1 & 1);
	p->off = l4 + (th[12] >> 4) * 4;
	if (p->off > skb->len)
		return false;
	p->len = skb->len - p->off;
	return true;
}

static __always_inline bool packet_udp(struct packet *p, struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;
	u32 l4 = p->l4;
	u8 *uh;

	if (l4 > 200)
		return false;
	uh = data + l4;
	if (uh + 8 > end)
		return false;
	p->ports = *(u32 *)uh;
	p->off = l4 + 8;
	if (p->off > skb->len)
		return false;
	p->len = skb->len - p->off;
	return true;
}

/* The first eight bytes of the payload, zeroes behind its end. */
static __always_inline u64 packet_word(const struct packet *p)
{
	u64 w = 0;

	if (p->len >= 8)
		bpf_skb_load_bytes(p->skb, p->off, &w, 8);
	else if (p->len >= 4)
		bpf_skb_load_bytes(p->skb, p->off, &w, 4);
	else if (p->len >= 2)
		bpf_skb_load_bytes(p->skb, p->off, &w, 2);
	else
		bpf_skb_load_bytes(p->skb, p->off, &w, 1);
	return w;
}

#endif
