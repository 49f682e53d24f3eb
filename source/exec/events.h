/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What goes up to Go, and what is counted on the way. */
#ifndef WEFT_EXEC_EVENTS_H
#define WEFT_EXEC_EVENTS_H

#include "task.h"

enum exec_stat {
	STAT_TAKEN,	  /* events that wanted to go up */
	STAT_RING_FULL,	  /* and did not fit */
	STAT_ARGS_FAILED, /* starts whose arguments could not be read */
	STAT_PROGS_FULL,  /* starts whose end will not be told: progs was full */
	STAT_MAX,
};

/* Per-CPU counters; Go sums and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_MAX);
	__type(key, enum exec_stat);
	__type(value, u64);
} exec_stats SEC(".maps");

static __always_inline void count(enum exec_stat which)
{
	u64 *c = bpf_map_lookup_elem(&exec_stats, &which);

	if (c)
		*c += 1;
}

enum exec_kind { EV_START = 1, EV_EXIT, EV_REPLACED };

#define ARGS_MAX (16 << 10) /* the most that exec_max_args may ask for */
#define PATH_ROOM 4096	    /* of a path; longer ones lose their beginning */
#define NAME_ROOM 256	    /* of a name in a path */

/*
 * Times are ns since boot. Behind the event of a start stand the names of the
 * program's path and of the directory's, each ended by 0, the last name first;
 * then the arguments.
 */
struct exec_event {
	enum exec_kind kind;
	u32 tgid;
	u32 ppid;
	u32 uid;
	u64 time;
	u64 began;	  /* when the program began: names it together with tgid */
	u64 leader_start; /* of the session's leader, in ticks since boot */
	u32 sid;
	int exit_code; /* as wait(2) has it */
	u64 cgroup;
	u64 root_ino;
	u32 mntns;
	u32 userns;
	u32 exe_len;
	u32 cwd_len;
	u32 args_len;
	u32 args_all; /* of which args_len were copied */
	u8 paths_cut;
	char tty[15];
};

/*
 * events: starts and ends of programs, in order. Full: STAT_RING_FULL. Readers
 * are woken by amount; else they look by themselves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

#define WAKE_BYTES (1 << 20)

static __always_inline void event_out(void *e, u64 size)
{
	bool many = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_BYTES;

	count(STAT_TAKEN);
	if (bpf_ringbuf_output(&events, e, size, many ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		count(STAT_RING_FULL);
}

#endif
