//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The doors of the exec source: processes begin, take a program, end. Each SEC()
 * body only forwards to the helper that does the work.
 */
#include "events.h"
#include "path.h"
#include "session.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* bpf2go makes Go types of those that the object's BTF names. */
const struct exec_event *unused_event __attribute__((unused));

/* Whether records are wanted, or sessions only; Go may change it at any time. */
volatile u32 want_records = 1;
/* Set by Go before loading. */
const volatile u32 max_args = 4096;

struct program {
	u64 began;
};

/*
 * progs: programs that run and whose start was told, by tgid. Inserted at exec,
 * deleted at exit. Full: STAT_PROGS_FULL, and the program's end is not told.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct program);
} progs SEC(".maps");

/* The arguments, whole as long as they fit: mm->arg_start of the new program. */
static __always_inline void put_args(struct scratch *s, struct task_struct___x *t)
{
	u64 from = BPF_CORE_READ(t, mm, arg_start), to = BPF_CORE_READ(t, mm, arg_end);
	u64 n = to - from;
	u32 off = s->used;

	s->head.args_all = n;
	if (off > 2 * (PATH_ROOM + NAME_ROOM))
		return;
	if (n > max_args)
		n = max_args;
	barrier_var(n);
	if (n > ARGS_MAX)
		n = ARGS_MAX;
	if (bpf_probe_read_user(&s->data[off], n, (void *)from)) {
		count(STAT_ARGS_FAILED);
		return;
	}
	s->head.args_len = n;
	s->used = off + n;
}

static __always_inline void head_fill(struct exec_event *e, struct task_struct___x *t, enum exec_kind kind,
				      u64 now)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->time = now;
	e->tgid = BPF_CORE_READ(t, tgid);
	e->ppid = BPF_CORE_READ(t, real_parent, tgid);
}

static __always_inline void head_place(struct exec_event *e, struct task_struct___x *t)
{
	struct tty_struct *tty = BPF_CORE_READ(t, signal, tty);

	e->uid = (u32)bpf_get_current_uid_gid();
	e->cgroup = bpf_get_current_cgroup_id();
	e->root_ino = BPF_CORE_READ(t, fs, root.dentry, d_inode, i_ino);
	e->mntns = BPF_CORE_READ(t, nsproxy, mnt_ns, ns.inum);
	e->userns = BPF_CORE_READ(t, cred, user_ns, ns.inum);
	if (tty)
		bpf_probe_read_kernel_str(e->tty, sizeof(e->tty),
					  __builtin_preserve_access_index(&tty->name));
}

/* The program that ran in the process until now, which exec has replaced. */
static __always_inline void on_replaced(struct task_struct___x *t, u32 tgid, u64 now)
{
	struct program *old = bpf_map_lookup_elem(&progs, &tgid);
	struct exec_event e;

	if (!old)
		return;
	head_fill(&e, t, EV_REPLACED, now);
	e.began = old->began;
	event_out(&e, sizeof(e));
}

static __always_inline int on_exec(struct task_struct___x *t)
{
	u32 zero = 0, tgid = BPF_CORE_READ(t, tgid), size;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);
	struct program p = {.began = bpf_ktime_get_boot_ns()};
	struct session now = {};

	session_of(&now, t);
	member_note(tgid, &now, 0);
	if (!want_records || !s)
		return 0;
	on_replaced(t, tgid, p.began);
	if (bpf_map_update_elem(&progs, &tgid, &p, BPF_ANY))
		count(STAT_PROGS_FULL);
	head_fill(&s->head, t, EV_START, p.began);
	head_place(&s->head, t);
	s->head.began = p.began;
	s->head.sid = now.sid;
	s->head.leader_start = now.leader_start;
	s->used = 0;
	put_exe(s, t);
	s->head.exe_len = s->used;
	put_cwd(s, t);
	s->head.cwd_len = s->used - s->head.exe_len;
	put_args(s, t);
	size = s->used;
	if (size <= ROOM)
		event_out(s, sizeof(s->head) + size);
	return 0;
}

static __always_inline int on_exit(struct task_struct___x *t)
{
	u32 tgid = BPF_CORE_READ(t, tgid);
	u64 at = bpf_ktime_get_boot_ns();
	struct session last = {};
	struct program *p;
	struct exec_event e;

	if (BPF_CORE_READ(t, signal, live.counter))
		return 0;
	session_of(&last, t);
	member_note(tgid, &last, at);
	p = bpf_map_lookup_elem(&progs, &tgid);
	if (!p)
		return 0;
	head_fill(&e, t, EV_EXIT, at);
	e.began = p->began;
	e.sid = last.sid;
	e.leader_start = last.leader_start;
	/* What wait(2) tells: the group's code, or else the leader's own. */
	e.exit_code = BPF_CORE_READ(t, signal, flags) & SIGNAL_GROUP_EXIT
			      ? BPF_CORE_READ(t, signal, group_exit_code)
			      : BPF_CORE_READ(t, group_leader, exit_code);
	/* Two threads may end at once: one of them deletes. */
	if (bpf_map_delete_elem(&progs, &tgid) == 0)
		event_out(&e, sizeof(e));
	return 0;
}

static __always_inline int on_fork(struct task_struct___x *child)
{
	u32 tgid = BPF_CORE_READ(child, tgid);
	struct session s = {};

	if (tgid != BPF_CORE_READ(child, pid))
		return 0;
	session_of(&s, child);
	member_note(tgid, &s, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return on_exec((struct task_struct___x *)task);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	return on_exit((struct task_struct___x *)task);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	return on_fork((struct task_struct___x *)child);
}
