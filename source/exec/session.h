/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which session a process belongs to, also after it has ended. */
#ifndef WEFT_EXEC_SESSION_H
#define WEFT_EXEC_SESSION_H

#include "task.h"

/*
 * leaders: when the leader of a session began, by the session's number. Inserted
 * while the leader lives, by the seed for sessions that exist; used when it has
 * died before its session. The number is not given away before the session's
 * last process ends. Full: the least used goes, and such a session is then
 * named without the time of its leader.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} leaders SEC(".maps");

#define TICK 10000000 /* ns; the unit of /proc/PID/stat */

struct session {
	u64 leader_start; /* in ticks since boot */
	u32 sid;
	u32 pad;
};

struct member {
	struct session now;
	/* The session of the process that had this number before, and its end. */
	struct session before;
	u64 before_ended;
	u64 ended; /* 0 while it lives */
};

/*
 * members: the session of each process, by tgid. Inserted at fork, exec and exit
 * and by the seed; kept after the end, for flows that are told of later. Full:
 * the least used goes, and its flows have no session.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct member);
} members SEC(".maps");

static __always_inline struct task_struct___x *task_of(struct hlist_node *first)
{
	return (void *)first - __builtin_preserve_field_info(((struct task_struct___x *)0)->pid_links, 0);
}

static __always_inline void session_of(struct session *s, struct task_struct___x *t)
{
	struct pid *sid = BPF_CORE_READ(t, signal, pids[WEFT_SID]);
	struct hlist_node *first = BPF_CORE_READ(sid, tasks[WEFT_PID].first);
	u32 nr = BPF_CORE_READ(sid, numbers[0].nr);
	u64 *known = bpf_map_lookup_elem(&leaders, &nr);
	u64 start;

	s->sid = nr;
	if (!first) {
		s->leader_start = known ? *known : 0;
		return;
	}
	start = BPF_CORE_READ(task_of(first), start_boottime) / TICK;
	s->leader_start = start;
	if (nr && (!known || *known != start))
		bpf_map_update_elem(&leaders, &nr, &start, BPF_ANY);
}

static __always_inline bool session_equal(const struct session *a, const struct session *b)
{
	return a->sid == b->sid && a->leader_start == b->leader_start;
}

/* Notes the session of a process; ended is 0 while it lives. */
static __always_inline void member_note(u32 tgid, const struct session *s, u64 ended)
{
	struct member *old = bpf_map_lookup_elem(&members, &tgid);
	struct member m = {.now = *s, .ended = ended};

	if (old) {
		m.before = old->before;
		m.before_ended = old->before_ended;
		if (!ended && old->ended && !session_equal(&old->now, s)) {
			m.before = old->now;
			m.before_ended = old->ended;
		}
	}
	bpf_map_update_elem(&members, &tgid, &m, BPF_ANY);
}

#endif
