/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What users choose to see of flows; each object has its own copy of the knobs. */
#ifndef WEFT_KNOBS_H
#define WEFT_KNOBS_H

#include "flow.h"

/* What Go may change while programs run (SIGHUP). */
volatile u32 keep_loopback = 0;
volatile u32 keep_ipv6 = 1;
/* Client ports at or above it are collapsed; 0 collapses all, 65536 none. */
volatile u32 ephemeral_min = 0;
/* Clients' connections are rows of their own: Go joins each with its NAT target. */
volatile u32 split_clients = 0;

static __always_inline bool key_wanted(const struct flow_key *k)
{
	if (!keep_loopback && (addr_is_loopback(k->laddr) || addr_is_loopback(k->raddr)))
		return false;
	return keep_ipv6 || addr_is_v4(k->raddr);
}

static __always_inline void key_when(struct flow_key *k, u64 ktime)
{
	k->when[0] = ktime;
	k->when[1] = ktime >> 32;
}

/* The reference's ephemeral rule: only the opener's port, never the server's. */
static __always_inline void key_collapse(struct flow_key *k)
{
	if (split_clients && !k->incoming)
		return;
	key_when(k, 0);
	if (k->incoming) {
		if (k->rport >= ephemeral_min)
			k->rport = 0;
	} else if (k->lport >= ephemeral_min) {
		k->lport = 0;
	}
}

#endif
