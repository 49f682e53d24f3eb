/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which socket a TLS object talks through: learnt from the records themselves. */
#ifndef WEFT_TLS_SOCKETS_H
#define WEFT_TLS_SOCKETS_H

#include "calls.h"

static __always_inline bool sock_is_tcp(struct sock *sk, const u32 how)
{
	u16 family = READ(how, sk, __sk_common.skc_family);

	return (family == WEFT_AF_INET || family == WEFT_AF_INET6) &&
	       READ(how, sk, sk_protocol) == WEFT_PROTO_TCP;
}

/* The call into a TLS library that the current thread or goroutine is in. */
static __always_inline struct call *call_current(u32 flags, u64 id)
{
	struct call_key k = {.id = id, .tgid = id >> 32};
	struct call *c = NULL;

	if (flags & PROC_C)
		c = bpf_map_lookup_elem(&calls, &k);
	if (c || !(flags & PROC_GO))
		return c;
	k.id = USER_G(user_regs());
	k.go = 1;
	return bpf_map_lookup_elem(&calls, &k);
}

/* The object that wrote these bytes into memory, when a socket sends them. */
static __always_inline void tie_by_print(struct print *p, struct sock *sk)
{
	u64 *obj = bpf_map_lookup_elem(&prints, p), addr;
	struct object *o;

	if (!obj)
		return;
	addr = *obj;
	bpf_map_delete_elem(&prints, p);
	o = object_find(p->tgid, addr);
	if (o && !o->closed && !tie_stands(o))
		tie(o, p->tgid, addr, sk, bpf_ktime_get_ns());
}

/*
 * A TCP socket has sent or received. Inside a call, a TLS record on it is the
 * object's own; a callback that talks to somebody else in clear (OCSP) is not
 * mistaken. The first tie stands until the socket or the object has gone, or
 * the object sends on another one: wrk and others use it again for the next
 * connection while the last one is still closing.
 */
static __always_inline int on_socket(struct sock *sk, int ret, bool sends, const u32 how)
{
	u64 id = bpf_get_current_pid_tgid();
	struct print p = {.tgid = id >> 32};
	u32 *flags = bpf_map_lookup_elem(&procs, &p.tgid);
	struct object *o = NULL;
	struct call *c;

	if (!flags || *flags & PROC_DENIED || ret <= 0 || !sock_is_tcp(sk, how))
		return 0;
	c = call_current(*flags, id);
	if (c) {
		c->io = 1;
		o = object_get(p.tgid, c->obj);
		if (o && o->sk == (u64)sk && !o->announced)
			tie_announce(o, p.tgid, c->obj, sk, bpf_ktime_get_ns());
		if (!o || (o->sk == (u64)sk && tie_stands(o)))
			return 0;
	}
	if (!o && !(sends && *flags & PROC_PRINTS))
		return 0;
	if (bpf_probe_read_user(p.head, sizeof(p.head), (void *)user_buffer()) || !head_is_record(p.head))
		return 0;
	if (!o) {
		tie_by_print(&p, sk);
	} else if (!tie_stands(o) || (sends && o->sk != (u64)sk)) {
		if (o->sk || head_is_handshake(p.head))
			o->begun = head_is_handshake(p.head);
		tie(o, p.tgid, c->obj, sk, call_sends(c) ? c->time : bpf_ktime_get_ns());
	}
	return 0;
}

/* BIO_write(bio, data, n) inside a call: the object's record, on its way into memory. */
static __always_inline int on_bio_write(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call_key k = {.id = id, .tgid = id >> 32};
	struct call *c = bpf_map_lookup_elem(&calls, &k);
	struct print p = {.tgid = k.tgid};
	struct object *o;
	u32 *flags;
	u64 obj;

	if (!c || (int)PT_REGS_PARM3(ctx) < PRINT_SIZE)
		return 0;
	obj = c->obj;
	o = object_get(k.tgid, obj);
	if (!o || tie_stands(o))
		return 0;
	if (bpf_probe_read_user(p.head, sizeof(p.head), (void *)PT_REGS_PARM2(ctx)) ||
	    !head_is_record(p.head) || head_is_retry(p.head))
		return 0;
	if (head_is_handshake(p.head))
		o->begun = 1;
	bpf_map_update_elem(&prints, &p, &obj, BPF_ANY);
	flags = bpf_map_lookup_elem(&procs, &k.tgid);
	if (flags)
		*flags |= PROC_PRINTS;
	return 0;
}

#endif
