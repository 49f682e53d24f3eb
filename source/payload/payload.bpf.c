//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The doors of the payload source: every packet of every socket of the machine
 * passes the two cgroup programs, in its own network namespace.
 */
#include "classify.h"
#include "dns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the types of events are in the object, for Go. */
const struct ev_row *type_row __attribute__((unused));
const struct ev_open *type_open __attribute__((unused));
const struct ev_chunk *type_chunk __attribute__((unused));
const struct ev_close *type_close __attribute__((unused));
const struct ev_dns *type_dns __attribute__((unused));

/* Which program goes on with a packet of this socket. */
static __always_inline u32 tail_of(const struct packet *p, struct bpf_sock *sk, u64 key)
{
	struct conn *c;

	if (sk->state == ST_LISTEN)
		return want_http && p->dir == IN ? TAIL_CLASSIFY : TAIL_NONE;
	c = bpf_map_lookup_elem(&socks, &key);
	return c && c->l7 != L7_BORING && c->role != ROLE_LISTENER ? TAIL_CLASSIFY : TAIL_NONE;
}

static __always_inline int on_tcp(struct packet *p, struct bpf_sock *sk, const u8 dir)
{
	u64 key = (u64)(long)sk;
	bool advanced = false;
	u32 tail = TAIL_STREAM;
	struct stream *s;

	/* What headers there were is forgotten: one path for the verifier from here. */
	packet_store(p, false);
	packet_passed(p, p->skb, dir);
	s = stream_find(key, p);
	if (stream_shed(s, key))
		return 1;
	if (!s) {
		tail = tail_of(p, sk, key);
	} else if (s->mode == MODE_HTTP) {
		advanced = true;
		/* A shared one goes on with the message of the other; its bytes are counted. */
		tail = TAIL_NONE;
		stream_enter(s, p);
		if (p->place != PLACE_OLD && !p->shared)
			tail = http_packet(p, s, key);
		if (!tail)
			stream_leave(s, p);
	} else if (s->mode == MODE_H2) {
		tail = TAIL_H2;
	}
	if (tail)
		packet_pass(p, dir, advanced, tail);
	return 1;
}

static __always_inline int on_packet(struct __sk_buff *skb, const u8 dir)
{
	struct packet p = {.skb = skb, .dir = dir};
	struct bpf_sock *sk = skb->sk;

	if (!sk || !packet_ip(&p, skb))
		return 1;
	if (p.proto == WEFT_PROTO_UDP) {
		if (!packet_udp(&p, skb) || !p.len)
			return 1;
		packet_before_nat(&p, sk);
		if (dns_wanted(&p))
			dns_packet(&p, (u64)(long)sk);
		return 1;
	}
	if (p.proto != WEFT_PROTO_TCP)
		return 1;
	if (!packet_tcp(&p, skb)) {
		count(STAT_HEADERS, 1);
		return 1;
	}
	packet_before_nat(&p, sk);
	return p.len ? on_tcp(&p, sk, dir) : 1;
}

static __always_inline int on_unknown(struct __sk_buff *skb, const u8 dir)
{
	struct packet p = {};
	struct bpf_sock *sk = skb->sk;

	packet_passed(&p, skb, dir);
	if (!sk)
		return 1;
	if (sk->state == ST_LISTEN)
		early_keep(&p);
	else
		classify(&p, sk, (u64)(long)sk, dir);
	return 1;
}

/* A request whose head is longer than the line that is kept. */
static __always_inline int on_head(struct __sk_buff *skb, const u8 dir)
{
	struct packet p = {};
	u64 key = (u64)(long)skb->sk;
	struct stream *s = bpf_map_lookup_elem(&streams, &key);
	u32 tail;

	packet_passed(&p, skb, dir);
	if (!s)
		return 1;
	head_end_behind(&p, s);
	/* Another request may be behind what was searched. */
	if (!s->head_mask && s->head_at + 8 < p.len)
		tail = hand_over(&p, s, M_NONE);
	else
		tail = request_ready(&p, s);
	if (tail)
		packet_pass(&p, dir, true, tail);
	stream_leave(s, &p);
	return 1;
}

static __always_inline void stream_packet(struct packet *p, struct stream *s, u64 key, const u8 dir,
					  const bool h2)
{
	if (dir == OUT && !s->announce && s->flags & F_GUESSED)
		owner_late(s->sk);
	if (s->announce)
		stream_open(s->sk);
	if (unwanted(s, key))
		return;
	if (h2)
		h2_packet(p, s, key, dir);
	else if (s->mode == MODE_HELLO)
		hello_packet(p, s, key);
	else
		raw_packet(p, s, key);
}

/* A packet of a connection that user space parses. */
static __always_inline int on_stream(struct __sk_buff *skb, const u8 dir, const bool h2)
{
	struct packet p = {};
	bool advanced = packet_passed(&p, skb, dir);
	u64 key = (u64)(long)skb->sk;
	struct stream *s = bpf_map_lookup_elem(&streams, &key);

	if (!s || stream_shed(s, key))
		return 1;
	if (!advanced)
		stream_enter(s, &p);
	/* One path for the verifier from here, as in on_tcp. */
	packet_store(&p, true);
	packet_passed(&p, skb, dir);
	if (p.place != PLACE_OLD)
		stream_packet(&p, s, key, dir, h2);
	stream_leave(s, &p);
	return 1;
}

SEC("cgroup_skb/ingress")
int payload_in(struct __sk_buff *skb)
{
	return on_packet(skb, IN);
}

SEC("cgroup_skb/ingress")
int classify_in(struct __sk_buff *skb)
{
	return on_unknown(skb, IN);
}

SEC("cgroup_skb/ingress")
int head_in(struct __sk_buff *skb)
{
	return on_head(skb, IN);
}

SEC("cgroup_skb/ingress")
int stream_in(struct __sk_buff *skb)
{
	return on_stream(skb, IN, false);
}

SEC("cgroup_skb/ingress")
int h2_in(struct __sk_buff *skb)
{
	return on_stream(skb, IN, true);
}

SEC("cgroup_skb/egress")
int payload_out(struct __sk_buff *skb)
{
	return on_packet(skb, OUT);
}

SEC("cgroup_skb/egress")
int classify_out(struct __sk_buff *skb)
{
	return on_unknown(skb, OUT);
}

SEC("cgroup_skb/egress")
int head_out(struct __sk_buff *skb)
{
	return on_head(skb, OUT);
}

SEC("cgroup_skb/egress")
int stream_out(struct __sk_buff *skb)
{
	return on_stream(skb, OUT, false);
}

SEC("cgroup_skb/egress")
int h2_out(struct __sk_buff *skb)
{
	return on_stream(skb, OUT, true);
}

/* The end of a connection; its last bytes have passed. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(payload_end, struct sock *sk)
{
	u64 key = (u64)sk;
	struct stream *s = bpf_map_lookup_elem(&streams, &key);

	if (!s)
		return 0;
	if (s->mode == MODE_HTTP)
		http_end(s, key);
	else
		stream_close(s, key);
	stream_del(key);
	return 0;
}
