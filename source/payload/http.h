/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path of HTTP/1 (RFC 9112): request and response in turns, each head
 * at the beginning of a packet. An exchange is added to its row when the head
 * of the response passes; what follows of the response is added when the next
 * request comes or the socket goes. Everything else (pipelining, heads that are
 * split too early) is handed over to user space, which parses in full.
 */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include "chunk.h"
#include "line.h"

/* Direction of requests; responses go the other way. */
static __always_inline u8 asks(const struct stream *s)
{
	return s->server ? IN : OUT;
}

/* What came after the row was made; of the client's bytes those before an offset. */
static __always_inline void tail_add(struct stream *s, u64 until)
{
	u8 ask = asks(s) & 1, answer = !ask;
	struct row_key k;
	struct row_val *v;
	u64 req, resp;

	if (s->phase != PHASE_RESP)
		return;
	req = until - s->taken[ask];
	resp = s->offset[answer] - s->taken[answer];
	if (!resp && !req)
		return;
	row_key_of(&k, s);
	v = row_find(&k, s);
	if (v) {
		__sync_fetch_and_add(&v->req_bytes, req);
		__sync_fetch_and_add(&v->resp_bytes, resp);
		__sync_fetch_and_add(&v->after, s->last - s->first);
	}
	s->taken[ask] += req;
	s->taken[answer] += resp;
	s->first = s->last;
}

static __always_inline bool has_body(u8 method)
{
	return method == M_POST || method == M_PUT || method == M_PATCH;
}

/* Does another request follow in the packet, behind this one's head? */
static __always_inline bool pipelined(const struct packet *p, u32 head)
{
	struct packet rest = *p;

	rest.off += head;
	rest.len -= head;
	return method_of(packet_word(&rest)) != M_NONE;
}

/* This request waits, so that user space knows whose response comes next. */
static __always_inline int hand_over_rest(struct packet *p, struct stream *s, u32 head)
{
	p->off += head;
	p->len -= head;
	p->seq += head;
	return hand_over(p, s, s->method);
}

/* The line and the end of the head, if it is here, are known. */
static __always_inline int request_ready(struct packet *p, struct stream *s)
{
	u32 head = head_size(p, s);
	bool more = head && head < p->len && pipelined(p, head);

	if (s->target == TARGET_SPLIT || (more && has_body(s->method)))
		return hand_over(p, s, M_NONE);
	s->flags = (s->flags & F_GUESSED) | (s->target == TARGET_CUT ? F_TRUNCATED : 0);
	s->start = bpf_ktime_get_ns();
	s->req_start = stream_offset(s, p);
	s->phase = PHASE_SENT;
	if (!head)
		s->phase = PHASE_HEAD;
	else if (head < p->len || has_body(s->method))
		s->phase = PHASE_BODY;
	return more ? hand_over_rest(p, s, head) : 0;
}

/* The line is loaded. */
static __always_inline int request_begin(struct packet *p, struct stream *s)
{
	u8 ask = p->dir & 1, answer = !ask;

	s->phase = PHASE_IDLE;
	s->method = s->verb;
	s->taken[ask] = stream_offset(s, p);
	s->taken[answer] = s->offset[answer];
	line_hash(s);
	head_end_in_line(s);
	if (!s->head_mask && p->len > s->line_len)
		return TAIL_HEAD;
	return request_ready(p, s);
}

/* Bytes of the client while its request waits for the response. */
static __always_inline int request_goes_on(struct packet *p, struct stream *s)
{
	if (s->phase == PHASE_SENT && method_of(packet_word(p)))
		return hand_over(p, s, s->method);
	if (s->phase == PHASE_SENT)
		s->phase = PHASE_BODY;
	return 0;
}

/*
 * After a request with a body more of it may come when the response has begun;
 * true when that is so.
 */
static __always_inline bool still_uploading(struct packet *p, struct stream *s)
{
	if (s->phase != PHASE_RESP || !(s->flags & F_BODY))
		return false;
	if (!(s->flags & F_UPLOADING) && method_of(packet_word(p)))
		return false;
	s->flags |= F_UPLOADING;
	return true;
}

/*
 * A 1xx response, before the final one (RFC 9110 section 15.2). Behind a bare
 * "100 Continue" nothing can follow in the packet.
 */
static __always_inline int response_interim(struct packet *p, struct stream *s)
{
	if (p->len > sizeof("HTTP/1.1 100 Continue\r\n\r\n") - 1)
		return hand_over(p, s, s->method);
	return 0;
}

/* Where the packet's message may begin at the earliest, when bytes before it are missing. */
static __always_inline u64 message_from(const struct stream *s, const struct packet *p)
{
	u8 d = p->dir & 1;
	u64 at = stream_offset(s, p);
	int missing = p->seq - s->hole[d];

	return s->hole[d] && missing > 0 ? at - missing : at;
}

/* Returns the program that goes on with the packet, 0: none. */
static __always_inline int http_request(struct packet *p, struct stream *s)
{
	if (s->phase != PHASE_IDLE && s->phase != PHASE_RESP)
		return request_goes_on(p, s);
	if (still_uploading(p, s))
		return 0;
	tail_add(s, message_from(s, p));
	s->line_len = line_load(p, s->line);
	/* By way of the stream, so that one value is like another to the verifier. */
	s->verb = method_of(*(const u64 *)s->line);
	if (s->verb)
		return request_begin(p, s);
	if (s->hole[p->dir & 1]) {
		/* The head was lost on its way and comes again. */
		s->phase = PHASE_IDLE;
		return 0;
	}
	return hand_over(p, s, M_NONE);
}

/* Status of a response head, 0 when the packet does not begin with one. */
static __always_inline u32 status_of(const struct packet *p, u8 *version)
{
	u64 w[2] = {};
	u32 a, b, c;

	if (p->len < 13 || bpf_skb_load_bytes(p->skb, p->off, w, 16 < p->len ? 16 : 13))
		return 0;
	if ((w[0] & FIRST(7)) != WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return 0;
	*version = (w[0] >> 56) - '0';
	a = (u8)(w[1] >> 8) - '0';
	b = (u8)(w[1] >> 16) - '0';
	c = (u8)(w[1] >> 24) - '0';
	if (*version > 1 || (u8)w[1] != ' ' || a > 9 || b > 9 || c > 9)
		return 0;
	return a * 100 + b * 10 + c;
}

/* Adds the exchange to its row, with what came of it; status 0: it was never answered. */
static __always_inline void exchange_add(struct stream *s)
{
	u8 ask = asks(s) & 1, answer = !ask;
	u64 req = s->offset[ask] - s->taken[ask], resp = s->offset[answer] - s->taken[answer];
	u64 ns = s->first - s->start;
	struct row_key k;
	struct row_val *v;

	s->taken[ask] += req;
	s->taken[answer] += resp;
	row_key_of(&k, s);
	v = row_find(&k, s);
	if (!v) {
		count(STAT_ROW_LOST, 1);
		return;
	}
	__sync_fetch_and_add(&v->req_bytes, req);
	if (!s->status) {
		__sync_fetch_and_add(&v->unanswered, 1);
		return;
	}
	__sync_fetch_and_add(&v->resp_bytes, resp);
	__sync_fetch_and_add(&v->latency, ns);
	__sync_fetch_and_add(&v->buckets[bucket_of(ns) & (BUCKETS - 1)], 1);
	latency_top(v, ns);
}

/* Bytes of the server when no response is due: the rest of one, or a surprise. */
static __always_inline void response_goes_on(struct stream *s, u32 status)
{
	if (status)
		count(STAT_ORPHANS, 1);
	if (s->phase != PHASE_RESP)
		return;
	s->last = bpf_ktime_get_ns();
	if (status)
		s->flags &= ~F_UPLOADING;
}

static __always_inline int http_response(struct packet *p, struct stream *s, u64 key)
{
	u8 version = 1;
	u32 status = status_of(p, &version);

	if (s->phase == PHASE_IDLE || s->phase == PHASE_RESP) {
		response_goes_on(s, status);
		return 0;
	}
	if (!status && s->hole[p->dir & 1])
		return 0;
	if (!status) {
		count(STAT_RESYNC, 1);
		return hand_over(p, s, s->method);
	}
	if (status < 200 && status != 101)
		return response_interim(p, s);
	/* The bytes that follow are of another protocol: h2c, a WebSocket, a tunnel. */
	if (status == 101 || (s->method == M_CONNECT && status / 100 == 2))
		return hand_over(p, s, s->method);
	if (s->phase == PHASE_BODY)
		s->flags |= F_BODY;
	s->first = bpf_ktime_get_ns();
	s->last = s->first;
	s->status = status;
	s->version = version;
	stream_owner(s, key, p->dir == OUT);
	exchange_add(s);
	s->phase = PHASE_RESP;
	return 0;
}

static __always_inline int http_packet(struct packet *p, struct stream *s, u64 key)
{
	if ((p->dir == IN) == !!s->server)
		return http_request(p, s);
	return http_response(p, s, key);
}

/* The socket is destroyed. */
static __always_inline void http_end(struct stream *s, u64 key)
{
	tail_add(s, s->offset[asks(s) & 1]);
	if (s->phase == PHASE_IDLE || s->phase == PHASE_RESP)
		return;
	s->status = 0;
	s->version = 1;
	s->first = s->start;
	stream_owner(s, key, false);
	exchange_add(s);
}

#endif
