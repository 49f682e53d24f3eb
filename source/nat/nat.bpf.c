//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Conntrack's entries with NAT, as they are made and deleted, in all network
 * namespaces. An entry is complete when it is confirmed, which is behind the
 * last hook of its first packet; entries without NAT cost one load.
 */
#include "nat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * nat_events: entries made and deleted, as nat_event or, on the door ctnetlink,
 * as nat_message. Go empties it before each read-out of
 * rows and four times a second, so nobody is woken. Full: nat_lost counts, and
 * Go reads the kernel's whole table anew.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} nat_events SEC(".maps");

u64 nat_lost = 0;

/* Behind the host's NAT nothing looks for an entry, so source NAT is of no use there. */
const volatile u32 host_netns = 0;

const struct nat_event *event_type __attribute__((unused));
const struct nat_message *message_type __attribute__((unused));

/* Of the door ctnetlink, which has a program for each namespace. */
const volatile u32 own_netns = 0;

static __always_inline void addr_of(u8 *to, union nf_inet_addr *from, u16 family)
{
	union nf_inet_addr a = {};

	bpf_core_read(&a, sizeof(a), from);
	if (family == WEFT_AF_INET)
		addr_from_v4(to, a.all[0]);
	else
		__builtin_memcpy(to, &a, sizeof(a));
}

static __always_inline void event_fill(struct nat_event *e, struct nf_conn *ct)
{
	struct nf_conntrack_tuple *o = &ct->tuplehash[0].tuple, *r = &ct->tuplehash[1].tuple;
	u16 family = BPF_CORE_READ(o, src.l3num);

	addr_of(e->src, &o->src.u3, family);
	addr_of(e->dst, &o->dst.u3, family);
	/* The answer comes from where NAT sent the request, which may be the other family's. */
	family = BPF_CORE_READ(r, src.l3num);
	addr_of(e->to_src, &r->dst.u3, family);
	addr_of(e->to_dst, &r->src.u3, family);
	e->sport = bpf_ntohs(BPF_CORE_READ(o, src.u.all));
	e->dport = bpf_ntohs(BPF_CORE_READ(o, dst.u.all));
	e->to_sport = bpf_ntohs(BPF_CORE_READ(r, dst.u.all));
	e->to_dport = bpf_ntohs(BPF_CORE_READ(r, src.u.all));
	e->zone = bpf_core_field_exists(ct->zone) ? BPF_CORE_READ(ct, zone.id) : 0;
}

static __always_inline int on_entry(struct nf_conn *ct, enum nat_kind kind)
{
	unsigned long status = BPF_CORE_READ(ct, status);
	struct nat_event *e;
	u32 netns;
	u8 proto;

	if (!(status & (CT_SRC_NAT | CT_DST_NAT)))
		return 0;
	netns = BPF_CORE_READ(ct, ct_net.net, ns.inum);
	if (netns == host_netns && !(status & CT_DST_NAT))
		return 0;
	proto = BPF_CORE_READ(ct, tuplehash[0].tuple.dst.protonum);
	if (proto != WEFT_PROTO_TCP && proto != WEFT_PROTO_UDP)
		return 0;
	e = bpf_ringbuf_reserve(&nat_events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&nat_lost, 1);
		return 0;
	}
	e->time = bpf_ktime_get_ns();
	e->netns = netns;
	e->proto = proto;
	e->kind = kind;
	event_fill(e, ct);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

/* The entry of a packet that the client sent, whose state stands in the lowest bits. */
static __always_inline struct nf_conn *entry_of(struct sk_buff *skb)
{
	unsigned long nfct = BPF_CORE_READ((struct sk_buff___nfct *)skb, _nfct);

	return (nfct & 7) < IP_CT_IS_REPLY ? (void *)(nfct & ~7UL) : NULL;
}

static __always_inline bool confirmed(struct nf_conn *ct)
{
	return BPF_CORE_READ(ct, status) & CT_CONFIRMED;
}

/* A packet that lost against another of its flow has not made an entry. */
SEC("fexit/__nf_conntrack_confirm")
int BPF_PROG(confirm_fexit, struct sk_buff *skb, int verdict)
{
	struct nf_conn *ct = verdict == NF_ACCEPT ? entry_of(skb) : NULL;

	return ct && confirmed(ct) ? on_entry(ct, NAT_MADE) : 0;
}

SEC("fentry/nf_ct_delete")
int BPF_PROG(delete_fentry, struct nf_conn *ct)
{
	return on_entry(ct, NAT_GONE);
}

/*
 * Not __nf_conntrack_hash_insert, where the entry is made: compilers inline it
 * here, and its symbol then belongs to another caller. So the loser of two
 * packets is told of too, and taken back when it is freed.
 */
SEC("kprobe/__nf_conntrack_confirm")
int BPF_KPROBE(confirm_kprobe, struct sk_buff *skb)
{
	struct nf_conn *ct = entry_of(skb);

	return ct && !confirmed(ct) ? on_entry(ct, NAT_MADE) : 0;
}

SEC("kprobe/nf_ct_delete")
int BPF_KPROBE(delete_kprobe, struct nf_conn *ct)
{
	return on_entry(ct, NAT_GONE);
}

SEC("kprobe/nf_conntrack_free")
int BPF_KPROBE(free_kprobe, struct nf_conn *ct)
{
	return confirmed(ct) ? 0 : on_entry(ct, NAT_NEVER);
}

/* Where the status stands, all of whose attributes before it are short; 0: nowhere. */
static __always_inline u32 status_of(struct __sk_buff *skb)
{
	u32 off = NETLINK_HEADERS, status;
	struct nlattr a;

	for (int i = 0; i < 8; i++) {
		if (bpf_skb_load_bytes(skb, off, &a, sizeof(a)) || a.len < sizeof(a))
			return 0;
		if ((a.type & 0x3fff) == CTA_STATUS)
			return bpf_skb_load_bytes(skb, off + sizeof(a), &status, sizeof(status))
				       ? 0
				       : bpf_ntohl(status);
		off += (a.len + 3) & ~3;
	}
	return 0;
}

/*
 * The filter of a ctnetlink socket that nobody reads. It runs where the kernel
 * sends the event, so that it knows the time, and lets nothing pass.
 */
SEC("socket")
int message_filter(struct __sk_buff *skb)
{
	u32 status = status_of(skb), len = skb->len;
	struct nat_message *m;

	if (!(status & CT_DST_NAT) && (own_netns == host_netns || !(status & CT_SRC_NAT)))
		return 0;
	m = bpf_ringbuf_reserve(&nat_events, sizeof(*m), 0);
	if (!m) {
		__sync_fetch_and_add(&nat_lost, 1);
		return 0;
	}
	m->time = bpf_ktime_get_ns();
	m->netns = own_netns;
	if (len > MESSAGE_CAP)
		len = MESSAGE_CAP;
	/* 5.10 sees the bounds in this form only. */
	len--;
	barrier_var(len);
	if (len < MESSAGE_CAP)
		len = bpf_skb_load_bytes(skb, 0, m->data, len + 1) ? 0 : len + 1;
	m->len = len;
	bpf_ringbuf_submit(m, BPF_RB_NO_WAKEUP);
	return 0;
}
