/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Requests that come before their socket is there: with TCP_DEFER_ACCEPT, or
 * when the last ACK of the handshake was lost, the packet is shown with the
 * listener as its socket.
 */
#ifndef WEFT_EARLY_H
#define WEFT_EARLY_H

#include "http.h"

struct early_key {
	u8 peer[16];
	u32 ports; /* as in the packet that came in */
	u32 pad;
};

struct early {
	u64 at;
	u32 seq, len;
	u8 method;
	u8 pad[7];
	char line[LINE_CAP];
};

static const struct early no_early = {};

/*
 * early: such requests until their response passes. LRU: the connection may
 * never be. Go cuts the value to line_max.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct early_key);
	__type(value, struct early);
} earlies SEC(".maps");

static __always_inline void early_key_of(struct early_key *k, const struct packet *p)
{
	u32 v4 = 0;

	if (p->v6) {
		bpf_skb_load_bytes(p->skb, p->dir == IN ? 8 : 24, k->peer, 16);
	} else {
		bpf_skb_load_bytes(p->skb, p->dir == IN ? 12 : 16, &v4, 4);
		addr_from_v4(k->peer, v4);
	}
	k->ports = p->dir == IN ? p->ports : p->ports << 16 | p->ports >> 16;
}

static __always_inline void early_keep(struct packet *p)
{
	u8 method = method_of(packet_word(p));
	struct early_key k = {};
	struct early *e;

	if (!method)
		return;
	early_key_of(&k, p);
	if (bpf_map_update_elem(&earlies, &k, &no_early, BPF_NOEXIST))
		return; /* sent again */
	e = bpf_map_lookup_elem(&earlies, &k);
	if (!e) {
		count(STAT_EARLY_LOST, 1);
		return;
	}
	e->at = bpf_ktime_get_ns();
	e->seq = p->seq;
	e->len = p->len;
	e->method = method;
	line_load(p, e->line);
}

/* Before the first response of a connection without a stream: was there one? */
static __always_inline bool early_take(struct stream *s, const struct packet *p)
{
	struct early_key k = {};
	struct early *e;

	early_key_of(&k, p);
	e = bpf_map_lookup_elem(&earlies, &k);
	if (!e)
		return false;
	for (u32 i = 0; i < LINE_CAP / 8 && i * 8 < line_max; i++)
		((u64 *)s->line)[i] = ((const u64 *)e->line)[i];
	s->method = e->method;
	s->start = e->at;
	s->line_len = e->len < line_max - 16 ? e->len : line_max - 16;
	s->taken[IN] = e->seq - s->isn[IN];
	line_hash(s);
	s->flags = s->target == TARGET_CUT ? F_TRUNCATED : 0;
	s->phase = PHASE_BODY;
	bpf_map_delete_elem(&earlies, &k);
	return true;
}

/* Its response has passed before we knew the connection. */
static __always_inline void early_missed(const struct packet *p)
{
	struct early_key k = {};

	early_key_of(&k, p);
	if (bpf_map_delete_elem(&earlies, &k) == 0)
		count(STAT_EARLY_LOST, 1);
}

static __always_inline bool early_known(const struct packet *p)
{
	struct early_key k = {};

	early_key_of(&k, p);
	return bpf_map_lookup_elem(&earlies, &k) != NULL;
}

#endif
