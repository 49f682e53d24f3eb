/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Calls into a TLS library: from the function's entry to its return. */
#ifndef WEFT_TLS_CALLS_H
#define WEFT_TLS_CALLS_H

#include "h2.h"

enum { CALL_READ = 1, CALL_WRITE, CALL_READ_EX, CALL_WRITE_EX, CALL_SENDFILE, CALL_HANDSHAKE };

struct call_key {
	u64 id; /* the thread; in Go the goroutine, which may change threads */
	u32 tgid;
	u32 go;
};

struct call {
	u64 frame; /* where the return address is, which tells nested calls apart */
	u64 obj, buf, lenp;
	u64 time;
	u8 kind;
	u8 on_stack; /* buf counts from the top of the goroutine's stack, which moves */
	u8 io;	     /* a TCP socket was used meanwhile */
};

/*
 * calls: calls in flight. Inserted at entry, deleted at return; one that never
 * returned (a thread died in it) by the next call of that thread, or by Go when
 * the process has gone. Full: STAT_CALLS_FULL.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct call_key);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline bool call_sends(const struct call *c)
{
	return c->kind == CALL_WRITE || c->kind == CALL_WRITE_EX || c->kind == CALL_SENDFILE;
}

/*
 * Notes since when the object is being written to, 0 when no longer: the answer
 * may be read before the write returns and is told of.
 */
static __always_inline void call_writes(const struct call *c, u32 tgid, u64 since)
{
	struct object *o = object_find(tgid, c->obj);

	if (o)
		o->writing = since;
}

static __always_inline int call_begin(struct call_key *k, struct call *c, u32 use)
{
	u32 *flags = bpf_map_lookup_elem(&procs, &k->tgid);

	if (flags && *flags & PROC_DENIED)
		return 0;
	if (flags)
		*flags |= use;
	else if (bpf_map_update_elem(&procs, &k->tgid, &use, BPF_NOEXIST))
		count(STAT_CALLS_FULL, 1);
	c->time = bpf_ktime_get_ns();
	if (call_sends(c))
		call_writes(c, k->tgid, c->time);
	if (bpf_map_update_elem(&calls, k, c, BPF_ANY))
		count(STAT_CALLS_FULL, 1);
	return 0;
}

/* A handshake within a read or write of the same object: that call goes on to count. */
static __always_inline bool call_within(const struct call_key *k, const struct call *inner)
{
	struct call *outer = bpf_map_lookup_elem(&calls, k);

	return outer && outer->obj == inner->obj && outer->kind != CALL_HANDSHAKE &&
	       outer->frame < inner->frame;
}

/* n bytes went through the object in this call. */
static __always_inline void call_data(const struct call *c, u32 tgid, u64 n, u64 buf)
{
	struct piece p = {.obj = c->obj, .src = buf, .len = n, .sent = call_sends(c)};
	struct object *o = object_find(tgid, c->obj);
	struct half *h;

	if (!o)
		o = object_get(tgid, c->obj);
	if (!o || (o->closed && c->time > o->closed))
		return;
	h = &o->half[p.sent & 1];
	p.time = p.sent ? c->time : o->closed ? o->closed : bpf_ktime_get_ns();
	p.offset = h->bytes;
	h->bytes += n;
	half_data(h, o, &p);
}

/*
 * A read or write that used no socket: the library works on memory and the
 * process moves the records itself. Go then watches BIO_write there. A read
 * that was served from the library's own buffer is taken for it too: no harm.
 */
static __always_inline void call_without_socket(const struct call *c, u32 tgid)
{
	u32 *flags = bpf_map_lookup_elem(&procs, &tgid);
	struct object *o = object_find(tgid, c->obj);

	if (!flags || *flags & PROC_ASKED || (o && o->sk))
		return;
	*flags |= PROC_ASKED;
	event_notice(EV_MEMORY_BIO, tgid, c->obj);
}

/* How many bytes the call moved; 0 for none. */
static __always_inline u64 call_result(const struct call *c, s64 ret)
{
	u64 n = 0;

	if (c->kind == CALL_SENDFILE)
		return ret > 0 ? ret : 0;
	if ((int)ret <= 0)
		return 0;
	if (c->kind != CALL_READ_EX && c->kind != CALL_WRITE_EX)
		return (u32)ret;
	if (bpf_probe_read_user(&n, sizeof(n), (void *)c->lenp)) {
		count(STAT_COPY_FAILED, 1);
		return 0;
	}
	return n;
}

/*
 * The stack pointer at the function's entry and return; the probe may stand
 * where it is lower, and says by how much. No cookies before 5.15: no depth.
 */
static __always_inline u64 call_sp(struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		sp += bpf_get_attach_cookie(ctx);
	return sp;
}

/* ---- C: OpenSSL, BoringSSL, GnuTLS --------------------------------------- */

static __always_inline int enter_c(struct pt_regs *ctx, u8 kind)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call_key k = {.id = id, .tgid = id >> 32};
	struct call c = {.kind = kind, .frame = call_sp(ctx), .obj = PT_REGS_PARM1(ctx)};

	c.buf = kind == CALL_SENDFILE ? 0 : PT_REGS_PARM2(ctx);
	c.lenp = PT_REGS_PARM4(ctx);
	return call_begin(&k, &c, PROC_C);
}

/*
 * A handshake begins. OpenSSL's ends in a jump to a computed address, so that
 * its return is not seen: it is no call, only the sign that the object is new.
 */
static __always_inline int handshake_c(struct pt_regs *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct object *o = object_find(tgid, PT_REGS_PARM1(ctx));
	u32 *flags = bpf_map_lookup_elem(&procs, &tgid);

	if (o || (flags && *flags & PROC_DENIED))
		return 0;
	o = object_get(tgid, PT_REGS_PARM1(ctx));
	if (o)
		o->begun = 1;
	return 0;
}

static __always_inline int leave_c(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), n;
	struct call_key k = {.id = id, .tgid = id >> 32};
	struct call *found = bpf_map_lookup_elem(&calls, &k), c;

	if (!found || found->frame != call_sp(ctx))
		return 0;
	c = *found;
	bpf_map_delete_elem(&calls, &k);
	n = call_result(&c, PT_REGS_RC(ctx));
	if (call_sends(&c))
		call_writes(&c, k.tgid, 0);
	if (!c.io)
		call_without_socket(&c, k.tgid);
	if (!n)
		return 0;
	call_data(&c, k.tgid, n, c.buf);
	return 0;
}

/* ---- Go ------------------------------------------------------------------ */

/* The head of runtime.g: the stack's bounds. It has been so since Go 1.4. */
struct go_stack {
	u64 lo, hi;
};

static __always_inline int enter_go(struct pt_regs *ctx, u8 kind)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call_key k = {.id = GO_G(ctx), .tgid = id >> 32, .go = 1};
	struct call c = {.kind = kind, .obj = GO_ARG1(ctx), .buf = GO_ARG2(ctx)};
	struct go_stack s = {};

	if (bpf_probe_read_user(&s, sizeof(s), (void *)k.id)) {
		count(STAT_COPY_FAILED, 1);
		return 0;
	}
	c.frame = s.hi - call_sp(ctx);
	if (c.buf >= s.lo && c.buf < s.hi) {
		c.buf = s.hi - c.buf;
		c.on_stack = 1;
	}
	if (kind == CALL_HANDSHAKE) {
		/* It is new, even when the memory had been another's. */
		object_free(k.tgid, c.obj);
		if (call_within(&k, &c))
			return 0;
	}
	return call_begin(&k, &c, PROC_GO);
}

static __always_inline int leave_go(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), n;
	struct call_key k = {.id = GO_G(ctx), .tgid = id >> 32, .go = 1};
	struct call *found = bpf_map_lookup_elem(&calls, &k), c;
	struct go_stack s = {};

	if (!found || bpf_probe_read_user(&s, sizeof(s), (void *)k.id) || found->frame != s.hi - call_sp(ctx))
		return 0;
	c = *found;
	bpf_map_delete_elem(&calls, &k);
	n = GO_RESULT(ctx);
	if (call_sends(&c))
		call_writes(&c, k.tgid, 0);
	if (c.kind == CALL_HANDSHAKE || (s64)n <= 0)
		return 0;
	call_data(&c, k.tgid, n, c.on_stack ? s.hi - c.buf : c.buf);
	return 0;
}

#endif
