/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP: one entry per live socket, made and closed by its state changes. The
 * kernel itself counts bytes, segments, retransmits and RTT in tcp_sock; we
 * read those when the socket closes and at each snapshot, and no program runs
 * while data flows.
 */
#ifndef WEFT_TCP_H
#define WEFT_TCP_H

#include "counters.h"

/* A connect that failed without an error of the peer or the path. */
#define ECANCELED 125

/* Process of a row; an accepted socket without a known worker has its listener's. */
static __always_inline void row_set_owner(struct flow_key *k, struct flow_val *v, const struct conn *e)
{
	struct listener *l;

	k->incoming = e->role == ROLE_SERVER;
	key_when(k, e->connect_16ns ? e->born + ((u64)e->connect_16ns << 4) : bpf_ktime_get_ns());
	if (e->owner_from != OWNER_NONE) {
		row_owner(k, v, &e->owner);
		return;
	}
	l = listener_find(k->netns, k->lport);
	if (l)
		row_owner(k, v, &l->owner);
}

static __always_inline void owner_seen(struct conn *e, const u32 how)
{
	if (e->owner_from == OWNER_SEEN || in_kernel_thread(how))
		return;
	/* Who connected keeps a socket; who closes an accepted one was its worker. */
	if (e->role == ROLE_CLIENT && e->owner_from != OWNER_NONE)
		return;
	if (e->owner_from == OWNER_NONE)
		count(STAT_RESOLVED, 1);
	owner_current(&e->owner, how);
	e->owner_from = OWNER_SEEN;
}

/* A cheap look before an entry is made: is the peer one we want? */
static __always_inline bool peer_wanted(struct sock *sk, const u32 how)
{
	struct flow_key k = {};

	if (keep_loopback && keep_ipv6)
		return true;
	addr_of_peer(k.raddr, sk, how);
	return key_wanted(&k);
}

static __always_inline u16 local_port(struct sock *sk, const u32 how)
{
	/* Not skc_num: inet_put_port() has zeroed it when a client closes. */
	return bpf_ntohs(READ(how, (struct inet_sock *)sk, inet_sport));
}

/* connect(): in the process, before the source address and port are chosen. */
static __always_inline void on_syn_sent(struct sock *sk, const u32 how)
{
	struct conn c = {.role = ROLE_CLIENT, .owner_from = OWNER_SEEN};

	if (!peer_wanted(sk, how))
		return;
	owner_current(&c.owner, how);
	c.born = bpf_ktime_get_ns();
	c.claim = c.born << 16;
	sock_add((u64)sk, &c, BPF_ANY);
}

/*
 * A program does not run when its event comes in a softirq that interrupts a
 * run of the same program on this CPU (recursion protection). A socket whose
 * first event was lost so is taken in at its next one; all its counters are in
 * tcp_sock anyway. Those older than the collector have been seeded.
 */
static __always_inline struct conn *adopt(struct sock *sk, const u32 how)
{
	struct conn c = {.established = 1};
	u64 key = (u64)sk;

	if (!peer_wanted(sk, how))
		return NULL;
	c.role = listener_find(netns_of(sk, how), local_port(sk, how)) ? ROLE_SERVER : ROLE_CLIENT;
	c.rport = READ(how, sk, __sk_common.skc_dport);
	c.born = bpf_ktime_get_ns();
	c.claim = c.born << 16;
	if (!sock_add(key, &c, BPF_NOEXIST))
		return NULL;
	count(STAT_ACCEPTED, 1);
	count(STAT_ADOPTED, 1);
	return bpf_map_lookup_elem(&socks, &key);
}

static __always_inline void on_connected(struct sock *sk, const u32 how)
{
	u64 key = (u64)sk;
	struct conn *e = bpf_map_lookup_elem(&socks, &key);
	u64 waited;

	if (!e) {
		adopt(sk, how);
		return;
	}
	e->rport = READ(how, sk, __sk_common.skc_dport);
	waited = (bpf_ktime_get_ns() - e->born) >> 4;
	e->connect_16ns = waited >> 32 ? ~0U : waited;
	e->established = 1;
}

/* The last ACK of a handshake: in a softirq, so the process is not known yet. */
static __always_inline void on_accepted(struct sock *sk, const u32 how)
{
	struct conn c = {.role = ROLE_SERVER, .established = 1};

	if (!peer_wanted(sk, how))
		return;
	c.rport = READ(how, sk, __sk_common.skc_dport);
	c.born = bpf_ktime_get_ns();
	c.claim = c.born << 16;
	if (sock_add((u64)sk, &c, BPF_ANY))
		count(STAT_ACCEPTED, 1);
}

static __always_inline void on_listen(struct sock *sk, const u32 how)
{
	struct conn c = {.role = ROLE_LISTENER, .owner_from = OWNER_SEEN};

	c.born = bpf_ktime_get_ns();
	owner_current(&c.owner, how);
	if (sock_add((u64)sk, &c, BPF_NOEXIST))
		listener_add(netns_of(sk, how), local_port(sk, how), &c.owner, c.born);
}

static __always_inline void on_listener_close(struct sock *sk, const u32 how)
{
	u64 key = (u64)sk;
	struct conn *e = bpf_map_lookup_elem(&socks, &key);

	if (!e || e->role != ROLE_LISTENER)
		return;
	listener_drop(netns_of(sk, how), local_port(sk, how));
	sock_del(key);
}

/* close() or shutdown(): these transitions run in the process that serves. */
static __always_inline void on_closing(struct sock *sk, const u32 how)
{
	u64 key = (u64)sk;
	struct conn *e = bpf_map_lookup_elem(&socks, &key);

	if (!e)
		e = adopt(sk, how);
	if (!e)
		return;
	e->fin_sent = 1;
	owner_seen(e, how);
}

/* A socket without an entry: lost its events, or is an orphan older than us. */
static __always_inline struct conn *on_unknown(struct sock *sk, u32 old, const u32 how)
{
	struct conn *e = NULL;

	if (old == ST_SYN_RECV || old == ST_SYN_SENT || old == ST_CLOSE || !peer_wanted(sk, how))
		return NULL;
	if (old == ST_ESTABLISHED || old == ST_CLOSE_WAIT)
		e = adopt(sk, how);
	if (!e)
		count(STAT_UNTRACKED, 1);
	return e;
}

/*
 * What the socket did since the last snapshot, as a row's contribution; false
 * when another close of it is under way (a snapshot may report a lost one).
 */
static __always_inline bool close_val(struct flow_val *v, struct flow_key *k, struct sock *sk, u32 old,
				      struct conn *e, const u32 how)
{
	u64 claim = how & FETCH ? __sync_lock_test_and_set(&e->claim, CLAIM_CLOSED) : e->claim;
	struct counters cur = {}, last = {};
	u64 key = (u64)sk;

	if (claim == CLAIM_CLOSED)
		return false;
	counters_reported(&last, key, claim);
	/* The event that said so was lost (see adopt). */
	if (old != ST_SYN_SENT && old != ST_CLOSE)
		e->established = 1;
	if (old == ST_CLOSE && !e->fin_sent)
		e->fin_sent = fin_went_out(sk, e, how);
	cur.established = e->established;
	counters_read(&cur, sk, seq_overhead(e, old), how);
	val_from_delta(v, sk, e, &cur, &last, how);
	if (claim & CLAIM_COUNT)
		bpf_map_delete_elem(&reported, &key);
	if (cur.established) {
		v->closed = 1;
	} else {
		v->failed = 1;
		k->connect_errno = READ(how, sk, sk_err);
		if (!k->connect_errno)
			k->connect_errno = ECANCELED;
	}
	return true;
}

static __always_inline void on_close(struct sock *sk, u32 old, const u32 how)
{
	u64 key = (u64)sk;
	struct conn *e = bpf_map_lookup_elem(&socks, &key);
	struct flow_key k = {.proto = WEFT_PROTO_TCP};
	struct flow_val v = {};

	if (!e)
		e = on_unknown(sk, old, how);
	if (!e)
		return;
	/* Without an error only the process itself can have aborted it. */
	if ((old == ST_ESTABLISHED || old == ST_CLOSE_WAIT) && !READ(how, sk, sk_err))
		owner_seen(e, how);
	busy_take(key, how);
	if (!close_val(&v, &k, sk, old, e, how))
		return;
	key_from_sock(&k, sk, how);
	k.lport = local_port(sk, how);
	row_set_owner(&k, &v, e);
	if (e->owner_from == OWNER_NONE)
		count(STAT_RESOLVED, 1);
	sock_del(key);
	busy_drop(key, how);
	if (key_wanted(&k))
		flow_add(&k, &v);
}

static __always_inline int on_state(struct sock *sk, u32 old, u32 new, const u32 how)
{
	if (new == ST_CLOSE) {
		if (old == ST_LISTEN)
			on_listener_close(sk, how);
		else
			on_close(sk, old, how);
	} else if (new == ST_SYN_SENT) {
		on_syn_sent(sk, how);
	} else if (new == ST_ESTABLISHED) {
		if (old == ST_SYN_SENT)
			on_connected(sk, how);
		else
			on_accepted(sk, how);
	} else if (new == ST_FIN_WAIT1 || new == ST_LAST_ACK) {
		on_closing(sk, how);
	} else if (new == ST_LISTEN) {
		on_listen(sk, how);
	}
	return 0;
}

/* The socket is freed: normally closed long since, unless that event was lost. */
static __always_inline int on_destroy(struct sock *sk, const u32 how)
{
	u64 key = (u64)sk;
	struct tcp_sock *tp;

	if (!bpf_map_lookup_elem(&socks, &key))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		on_close((struct sock *)tp, ST_CLOSE, how);
	return 0;
}

/* For doors with typed pointers: is it TCP, and if so, typed as tcp_sock. */
static __always_inline int on_state_typed(struct sock *sk, u32 old, u32 new, const u32 how)
{
	struct tcp_sock *tp;

	/* Transitions that tell nothing, before anything is read. */
	if (new == ST_SYN_RECV || new == ST_FIN_WAIT2 || new == ST_CLOSE_WAIT || new == ST_CLOSING)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	return tp ? on_state((struct sock *)tp, old, new, how) : 0;
}

#endif
