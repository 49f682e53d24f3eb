/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What tcp_sock has counted for live sockets, and what has been reported of it. */
#ifndef WEFT_COUNTERS_H
#define WEFT_COUNTERS_H

#include "flows.h"
#include "socks.h"

#define SOCK_DONE 1 /* enum sock_flags: the peer's FIN has been received */

struct counters {
	u64 rx, tx;
	u32 retrans, segs_in, segs_out;
	u32 established;
};

#define CLAIM_COUNT 0xffff

#define CLAIM_CLOSED ~0ULL

struct reported {
	struct counters slot[2];
	/* Its row, without the process: for when the socket's memory is gone. */
	struct flow_key row;
};

/*
 * reported: what snapshots have reported of sockets that live long, apart from
 * socks so that short connections touch less memory. Inserted by the snapshot
 * and the seed, deleted at TCP_CLOSE. As large as socks, so never full first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, u64);
	__type(value, struct reported);
} reported SEC(".maps");

/* A new entry of reported is made from it: too large for the stack. */
static const struct reported nothing_reported = {};

/* What has been reported of a socket at this claim. */
static __always_inline void counters_reported(struct counters *last, u64 sk, u64 claim)
{
	struct reported *r;
	u64 slot = claim & 1;

	if (!(claim & CLAIM_COUNT))
		return;
	r = bpf_map_lookup_elem(&reported, &sk);
	if (!r)
		return;
	barrier_var(slot); /* or the compiler indexes before the check */
	*last = r->slot[slot];
}

/*
 * busy: sockets whose reported counters are being moved on by a snapshot or a
 * close, on kernels without atomics that return a value. The insert is the
 * lock, the delete its release; it holds a handful of entries.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u8);
} busy SEC(".maps");

/*
 * Tries a bounded time, since the holder may be what this softirq interrupted;
 * then the close may be counted twice, and STAT_RACED says so.
 */
static __always_inline void busy_take(u64 sk, const u32 how)
{
	u8 one = 1;

	if (how & FETCH)
		return;
	for (int i = 0; i < 1024; i++)
		if (bpf_map_update_elem(&busy, &sk, &one, BPF_NOEXIST) == 0)
			return;
	count(STAT_RACED, 1);
}

static __always_inline void busy_drop(u64 sk, const u32 how)
{
	if (!(how & FETCH))
		bpf_map_delete_elem(&busy, &sk);
}

static __always_inline bool sock_add(u64 sk, const struct conn *c, u64 flags)
{
	int err = bpf_map_update_elem(&socks, &sk, c, flags);

	if (err == 0) {
		count(STAT_SOCKS_ADDED, 1);
		return true;
	}
	if (err != -17 /* EEXIST */)
		count(STAT_SOCKS_FULL, 1);
	return false;
}

static __always_inline void sock_del(u64 sk)
{
	if (bpf_map_delete_elem(&socks, &sk) == 0)
		count(STAT_SOCKS_REMOVED, 1);
}

static __always_inline bool state_sent_fin(u32 state)
{
	return state == ST_FIN_WAIT1 || state == ST_FIN_WAIT2 || state == ST_CLOSING ||
	       state == ST_LAST_ACK || state == ST_TIME_WAIT;
}

/*
 * Did a FIN go out whose event was lost? Then the sequence space that was sent
 * is larger than the bytes that were (SYN and FIN are not in bytes_sent).
 */
static __always_inline bool fin_went_out(struct sock *sk, const struct conn *e, const u32 how)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u64 space = READ(how, tp, bytes_acked) + (u32)(READ(how, tp, snd_nxt) - READ(how, tp, snd_una));
	u64 bytes = READ(how, tp, bytes_sent) - READ(how, tp, bytes_retrans);

	return space - (e->role == ROLE_CLIENT) == bytes + 1;
}

static __always_inline u32 seq_overhead(const struct conn *e, u32 state)
{
	return (e->role == ROLE_CLIENT) + (e->fin_sent || state_sent_fin(state));
}

/*
 * Payload bytes; overhead is what our SYN and FIN take of the sequence space.
 * Read is what was delivered to the process: received less what
 * it has not fetched yet. Written is what the kernel accepted from it:
 * acknowledged plus still queued. bytes_received counts the peer's FIN;
 * bytes_acked counts our FIN and, on the side that connected, our SYN
 * (kernel-lab.md). A live socket may move between two of these loads; their
 * order makes a result too small for now, never too large.
 */
static __always_inline void counters_read(struct counters *c, struct sock *sk, u32 overhead, const u32 how)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u64 received = READ(how, tp, bytes_received);
	u32 unread = READ(how, tp, rcv_nxt) - READ(how, tp, copied_seq);
	u64 acked = READ(how, tp, bytes_acked);
	u32 una = READ(how, tp, snd_una);
	u32 unacked = READ(how, tp, write_seq) - una;
	bool fin = READ(how, sk, __sk_common.skc_flags) & (1UL << SOCK_DONE);

	if ((int)unread < 0)
		unread = 0;
	/* An unread FIN is in both numbers; one that was read is in the first. */
	if (fin && !unread)
		unread = 1;
	c->rx = received > unread ? received - unread : 0;
	c->tx = acked + unacked;
	c->tx = c->tx > overhead ? c->tx - overhead : 0;
	c->retrans = READ(how, tp, total_retrans);
	c->segs_in = READ(how, tp, segs_in);
	c->segs_out = READ(how, tp, segs_out);
}

static __always_inline void val_from_delta(struct flow_val *v, struct sock *sk, const struct conn *e,
					   const struct counters *cur, const struct counters *last,
					   const u32 how)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 srtt = READ(how, tp, srtt_us);

	v->rx_bytes = cur->rx - last->rx;
	v->tx_bytes = cur->tx - last->tx;
	v->rx_pkts = (u32)(cur->segs_in - last->segs_in);
	v->tx_pkts = (u32)(cur->segs_out - last->segs_out);
	v->retrans = (u32)(cur->retrans - last->retrans);
	v->established = cur->established - last->established;
	if (srtt) {
		v->rtt_us = srtt >> 3;
		v->rttvar_us = READ(how, tp, mdev_us) >> 2;
		v->rtt_n = 1;
	}
	if (v->established && e->connect_16ns) {
		v->connect_ns = (u64)e->connect_16ns << 4;
		v->connect_n = 1;
	}
}

#endif
