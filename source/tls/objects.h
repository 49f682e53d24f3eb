/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* TLS objects, and the socket that each is tied to. */
#ifndef WEFT_TLS_OBJECTS_H
#define WEFT_TLS_OBJECTS_H

#include "events.h"
#include "regs.h"
#include "socks.h"

/* PROC_DENIED: it was not chosen, and nothing of it is taken. */
enum { PROC_C = 1, PROC_GO = 2, PROC_PRINTS = 4, PROC_ASKED = 8, PROC_DENIED = 16 };

/*
 * procs: processes that have called into a TLS library, by tgid, with what
 * they use. Inserted at the first call, or by Go with PROC_DENIED; deleted when
 * the process exits or begins another program. Full: STAT_CALLS_FULL.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u32);
} procs SEC(".maps");

struct object_key {
	u64 obj;
	u32 tgid;
	u32 pad;
};

/* One direction of an object. Where it is HTTP/2, the walk over its frames stands at: */
struct half {
	u64 bytes;	/* plaintext so far */
	u64 at, from;	/* in the call at hand: bytes [from, at) are wanted and not sent up yet */
	u32 skip, keep; /* bytes left of a DATA payload, of another frame's */
	u8 head[12];	/* the frame header that is being read, */
	u8 have;	/* bytes of it */
	u8 h2;
	u8 pad[2];
};

struct object {
	u64 sk, born; /* its socket, 0 while not known */
	u64 created;
	struct half half[2]; /* received, sent */
	u64 writing;	     /* when a write began that has not returned */
	u64 closed;	     /* when a Go program closed it; its memory is not free yet */
	u8 role;
	u8 announced;	 /* Go knows the tie */
	u8 begun;	 /* its first records were seen: nothing was missed */
	u8 sock_unknown; /* counted */
};

/*
 * objects: TLS objects (SSL, gnutls_session_t, *tls.Conn) that are in use.
 * Inserted at the first call with one; deleted when it is freed, and by user
 * space when its process or its socket has gone. Full: STAT_OBJECTS_FULL.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct object_key);
	__type(value, struct object);
} objects SEC(".maps");

static __always_inline struct object *object_find(u32 tgid, u64 obj)
{
	struct object_key k = {.obj = obj, .tgid = tgid};

	return bpf_map_lookup_elem(&objects, &k);
}

static __always_inline struct object *object_get(u32 tgid, u64 obj)
{
	struct object_key k = {.obj = obj, .tgid = tgid};
	struct object *o = bpf_map_lookup_elem(&objects, &k);
	struct object fresh = {.created = bpf_ktime_get_ns()};

	if (o)
		return o->closed ? NULL : o;
	if (bpf_map_update_elem(&objects, &k, &fresh, BPF_NOEXIST)) {
		count(STAT_OBJECTS_FULL, 1);
		return NULL;
	}
	return bpf_map_lookup_elem(&objects, &k);
}

static __always_inline void object_free(u32 tgid, u64 obj)
{
	struct object_key k = {.obj = obj, .tgid = tgid};

	if (bpf_map_delete_elem(&objects, &k) == 0)
		event_notice(EV_FREE, tgid, obj);
}

/*
 * Go: a Read that is in flight may end after Close, so the object stays as
 * closed, until a handshake takes its memory or Go cleans up.
 */
static __always_inline void object_close(u32 tgid, u64 obj)
{
	struct object *o = object_find(tgid, obj);

	if (!o || o->closed)
		return;
	o->closed = bpf_ktime_get_ns();
	event_notice(EV_FREE, tgid, obj);
}

#define PRINT_SIZE 24

/* The first bytes of a TLS record, which no other record of a process has. */
struct print {
	u8 head[PRINT_SIZE];
	u32 tgid;
	u32 pad;
};

/*
 * prints: records that an object has written into memory and whose socket is
 * not known yet. Inserted at BIO_write, deleted when a socket sends these
 * bytes; the oldest go when it is full: their objects stay untied for now.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct print);
	__type(value, u64);
} prints SEC(".maps");

/* TLS 1.0 to 1.3 on the wire (RFC 8446 section 5.1): a content type, version 3.x. */
static __always_inline bool head_is_record(const u8 *h)
{
	return h[0] >= 20 && h[0] <= 23 && h[1] == 3 && h[2] <= 4;
}

static __always_inline bool head_is_handshake(const u8 *h)
{
	return h[0] == 22;
}

/* A HelloRetryRequest's random is the same for everybody (RFC 8446 section 4.1.3). */
static __always_inline bool head_is_retry(const u8 *h)
{
	return h[0] == 22 && h[5] == 2 && h[11] == 0xcf && h[12] == 0x21 && h[13] == 0xad && h[14] == 0x74;
}

static __always_inline u32 tcp_own_seq(struct sock *sk, u8 role)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	/* bytes_acked counts the SYN on the side that connected (design.md section 3). */
	return BPF_CORE_READ(tp, snd_una) - (u32)BPF_CORE_READ(tp, bytes_acked) + (role == ROLE_CLIENT);
}

/* Once per object, so all reads are by probe: the verifier knows the socket as a struct sock only. */
static __always_inline void tie_announce(struct object *o, u32 tgid, u64 obj, struct sock *sk, u64 at)
{
	struct tls_tie *t = bpf_ringbuf_reserve(&events, sizeof(*t), 0);
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct owner own = {};

	count(STAT_TAKEN, 1);
	if (!t) {
		count(STAT_RING_FULL, 1);
		return;
	}
	__builtin_memset(t, 0, sizeof(*t));
	t->head.type = EV_TIE;
	t->head.tgid = tgid;
	t->head.obj = obj;
	t->head.time = at;
	t->head.sk = o->sk;
	t->head.born = o->born;
	t->head.role = o->role;
	key_from_sock(&t->key, sk, PROBE);
	t->key.lport = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	t->key.proto = WEFT_PROTO_TCP;
	owner_of_task(&own, (void *)bpf_get_current_task(), PROBE);
	t->key.pid = own.pid;
	__builtin_memcpy(t->comm, own.comm, sizeof(t->comm));
	t->joined = !o->begun;
	t->own_seq = tcp_own_seq(sk, o->role);
	t->peer_seq = BPF_CORE_READ(tp, rcv_nxt) - (u32)BPF_CORE_READ(tp, bytes_received);
	event_submit(t);
	o->announced = 1;
}

/* Is the object still tied to a socket that lives? Then that tie stands. */
static __always_inline bool tie_stands(const struct object *o)
{
	u64 key = o->sk;
	struct conn *c;

	if (!key)
		return false;
	c = bpf_map_lookup_elem(&socks, &key);
	return c && c->born == o->born;
}

/* at: before all that goes through this connection; a write is dated by its beginning. */
static __always_inline void tie(struct object *o, u32 tgid, u64 obj, struct sock *sk, u64 at)
{
	u64 key = (u64)sk;
	struct conn *c = bpf_map_lookup_elem(&socks, &key);

	if (!c || c->role == ROLE_LISTENER) {
		if (!o->sk && !o->sock_unknown)
			count(STAT_SOCK_UNKNOWN, 1);
		o->sock_unknown = 1;
		return;
	}
	if (o->sk) { /* the object was reused for another connection */
		event_notice_at(EV_FREE, tgid, obj, at);
		__builtin_memset(o->half, 0, sizeof(o->half));
	}
	o->sk = key;
	o->born = c->born;
	o->role = c->role;
	tie_announce(o, tgid, obj, sk, at);
}

#endif
