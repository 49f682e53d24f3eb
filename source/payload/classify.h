/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What protocol a connection speaks, from the first bytes that are seen of it. */
#ifndef WEFT_CLASSIFY_H
#define WEFT_CLASSIFY_H

#include "early.h"
#include "h2.h"
#include "shed.h"

#define MODE_NONE 0xff

/* A ClientHello: handshake record, version 3.x, type 1 (RFC 8446 sections 5.1, 4). */
static __always_inline bool tls_hello(u64 w)
{
	return (w & 0xff) == 0x16 && (w >> 8 & 0xff) == 3 && (w >> 40 & 0xff) == 1;
}

static __always_inline bool upper(u8 c)
{
	return c >= 'A' && c <= 'Z';
}

/* A method we do not know, or the first bytes of a request line: worth a look. */
static __always_inline bool token(u64 w, u32 len)
{
	if (!upper(w))
		return false;
	if (len < 8)
		return true;
	return upper(w >> 8) && upper(w >> 16) && upper(w >> 24);
}

static __always_inline u8 mode_of(const struct packet *p, bool from_client, bool joined)
{
	u64 w = packet_word(p);

	if (is_dns_port((u16)p->ports) || is_dns_port((u16)(p->ports >> 16)))
		return MODE_RAW;
	if (want_http && method_of(w))
		return MODE_HTTP;
	if (want_http && h2_preface(w))
		return MODE_H2;
	if (want_tls_hello && tls_hello(w))
		return MODE_HELLO;
	if (want_http && joined && h2_frame(w))
		return MODE_RAW;
	if (want_http && from_client && token(w, p->len))
		return MODE_RAW;
	return MODE_NONE;
}

/*
 * Not recognised. What a client sends first decides at once; a connection that
 * was joined in the middle has a few turns of speech to show what it is.
 */
static __always_inline void not_recognised(struct conn *c, const struct packet *p, bool decides)
{
	u8 tries = c->l7 & L7_TRIES;
	u8 dir = p->dir == OUT ? L7_LAST_DIR : 0;

	if (decides) {
		c->l7 = L7_BORING;
		return;
	}
	if (tries && (c->l7 & L7_LAST_DIR) == dir)
		return;
	c->l7 = tries >= 8 ? L7_BORING : (tries + 1) | dir;
}

static __always_inline void classify(struct packet *p, struct bpf_sock *sk, u64 key, const u8 dir)
{
	struct conn *c = bpf_map_lookup_elem(&socks, &key);
	bool early, from_client;
	struct tcp_sock *tp;
	struct stream *s;
	u64 before;
	u8 mode;

	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !c)
		return;
	from_client = (p->dir == IN) == (c->role == ROLE_SERVER);
	before = p->dir == IN ? tp->bytes_received : tp->bytes_acked - (c->role == ROLE_CLIENT);
	early = p->dir == OUT && c->role == ROLE_SERVER && !before && early_known(p);
	mode = early ? MODE_HTTP : mode_of(p, from_client, before != 0);
	if (mode == MODE_NONE) {
		not_recognised(c, p, from_client && !before);
		return;
	}
	if (shed && mode != MODE_HTTP) {
		count(STAT_SHED, 1);
		return;
	}
	s = stream_new(key, tp, p, c, mode);
	if (!s)
		return;
	if (mode == MODE_HTTP)
		s->server = early || p->dir == IN;
	s->key.incoming = s->server;
	s->announce = mode != MODE_HTTP;
	if (early)
		early_take(s, p);
	else if (before && s->server)
		early_missed(p);
	if (mode == MODE_H2)
		s->h2_keep[p->dir & 1] = H2_PREFACE;
	packet_pass(p, dir, false, TAIL_MAIN);
}

#endif
