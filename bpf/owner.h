/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who owns a socket: the process, and the listener it came from. Shared by sources. */
#ifndef WEFT_OWNER_H
#define WEFT_OWNER_H

#include "flow.h"

#define PF_KTHREAD 0x00200000

struct owner {
	char comm[16] __attribute__((aligned(8)));
	u32 pid;
};

struct listener_key {
	u32 netns;
	u32 port;
};

struct listener {
	struct owner owner;
	u32 sockets; /* listening sockets on this port (SO_REUSEPORT) */
	u64 start;   /* start time of the owner, to prefer the eldest */
};

/*
 * listeners: who listens on a port of a namespace. Inserted at listen() and by
 * the seed for those that exist; deleted when the last listening socket of
 * the port closes. Full: STAT_LISTENERS_FULL; connections accepted there get
 * their process when it closes them or from the file tables.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* The process of a task: the thread group, under its leader's name. */
static __always_inline void owner_of_task(struct owner *o, struct task_struct *t, const u32 how)
{
	struct task_struct *leader = READ(how, t, group_leader);

	const u64 *comm = (const u64 *)__builtin_preserve_access_index(&leader->comm);
	u64 *to = (u64 *)o->comm;

	o->pid = READ(how, t, tgid);
	if (how & DIRECT) {
		to[0] = comm[0];
		to[1] = comm[1];
	} else {
		bpf_probe_read_kernel(to, sizeof(o->comm), comm);
	}
}

/* The helper that returns a typed task came with 5.11, atomics with 5.12. */
static __always_inline struct task_struct *current_task(const u32 how)
{
	if (how & FETCH)
		return bpf_get_current_task_btf();
	return (void *)bpf_get_current_task();
}

static __always_inline void owner_current(struct owner *o, const u32 how)
{
	owner_of_task(o, current_task(how), how & FETCH ? how : PROBE);
}

/* Deferred work runs in kernel threads; they are nobody's worker. */
static __always_inline bool in_kernel_thread(const u32 how)
{
	struct task_struct *t = current_task(how);

	return READ(how & FETCH ? how : PROBE, t, flags) & PF_KTHREAD;
}

static __always_inline struct listener *listener_find(u32 netns, u16 port)
{
	struct listener_key k = {.netns = netns, .port = port};

	return bpf_map_lookup_elem(&listeners, &k);
}

#endif
