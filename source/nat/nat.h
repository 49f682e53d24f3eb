/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Conntrack's types as far as we read them, and what goes to Go. */
#ifndef WEFT_NAT_H
#define WEFT_NAT_H

#include "flow.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

union nf_inet_addr {
	u32 all[4];
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union {
		u16 all;
	} u;
	u16 l3num;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			u16 all;
		} u;
		u8 protonum;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conntrack_zone {
	u16 id;
};

struct nf_conn {
	struct nf_conntrack_zone zone; /* CONFIG_NF_CONNTRACK_ZONES */
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	possible_net_t ct_net;
};

/* The connection's entry, with its state in the three lowest bits. */
struct sk_buff___nfct {
	unsigned long _nfct;
};

#pragma clang attribute pop

/* enum ip_conntrack_status */
#define CT_CONFIRMED (1 << 3)
#define CT_SRC_NAT (1 << 4)
#define CT_DST_NAT (1 << 5)

#define NF_ACCEPT 1
#define IP_CT_IS_REPLY 3

/* NEVER: what was told of as made was dropped before it became an entry. */
enum nat_kind { NAT_MADE, NAT_GONE, NAT_NEVER };

/* What became of an entry with NAT. Addresses are IPv6, IPv4 is mapped. */
struct nat_event {
	u8 src[16], dst[16];	   /* as the client sent it */
	u8 to_src[16], to_dst[16]; /* after NAT */
	u64 time;		   /* ktime, ns */
	u32 netns;		   /* inode of the namespace that does the NAT */
	enum nat_kind kind;
	u16 sport, dport; /* host order */
	u16 to_sport, to_dport;
	u16 zone;
	u8 proto;
};

/* What ctnetlink tells its listeners, up to the status and a little further. */
#define MESSAGE_CAP 256

struct nat_message {
	u64 time;
	u32 netns;
	u32 len; /* of data */
	u8 data[MESSAGE_CAP];
};

/* linux/netfilter/nfnetlink_conntrack.h */
#define CTA_STATUS 3
#define NETLINK_HEADERS 20 /* nlmsghdr and nfgenmsg */

struct nlattr {
	u16 len, type;
};

#endif
