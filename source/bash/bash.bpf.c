//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The doors of the bash source: readline is asked for a line, it returns one,
 * bash is about to execute one; and programs that begin. Each SEC() body only
 * forwards to the helper that does the work.
 */
#include "bash.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* bpf2go makes Go types of those that the object's BTF names. */
const struct bash_event *unused_event __attribute__((unused));

/* A variable of the shell; -1 when it cannot be had. */
static __always_inline int variable(struct task_struct___shell *t, s64 offset)
{
	int v = -1;

	if (!offset ||
	    bpf_probe_read_user(&v, sizeof(v), (void *)(BPF_CORE_READ(t, mm, start_code) + offset)))
		return -1;
	return v;
}

static __always_inline void event_fill(struct bash_event *e, enum bash_kind kind,
				       struct task_struct___shell *t)
{
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->lines = -1;
	e->time = bpf_ktime_get_boot_ns();
	e->tgid = BPF_CORE_READ(t, tgid);
	e->uid = (u32)bpf_get_current_uid_gid();
	e->root_ino = BPF_CORE_READ(t, fs, root.dentry, d_inode, i_ino);
	e->mntns = BPF_CORE_READ(t, nsproxy, mnt_ns, ns.inum);
	e->userns = BPF_CORE_READ(t, cred, user_ns, ns.inum);
	BPF_CORE_READ_STR_INTO(&e->comm, t, group_leader, comm);
}

/* False when the program is known to be no shell. */
static __always_inline bool ask_file(struct bash_event *e, struct task_struct___shell *t)
{
	struct file_key k = {};
	struct file_info *f;

	key_of_program(&k, t);
	e->file = k;
	f = bpf_map_lookup_elem(&files, &k);
	if (!f)
		return true;
	if (!f->shell)
		return false;
	e->known = 1;
	e->lines = variable(t, f->line_count);
	e->in_builtin = variable(t, f->in_builtin) > 0;
	return true;
}

static __always_inline struct bash_event *event_reserve(const u64 size)
{
	struct bash_event *e = bpf_ringbuf_reserve(&events, size, 0);

	if (!e) {
		count(STAT_TAKEN);
		count(STAT_RING_FULL);
	}
	return e;
}

static __always_inline void event_submit(struct bash_event *e)
{
	count(STAT_TAKEN);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int on_prompt(void)
{
	struct bash_event *e = event_reserve(sizeof(*e));
	struct task_struct___shell *t = (void *)bpf_get_current_task();

	if (!e)
		return 0;
	event_fill(e, EV_PROMPT, t);
	if (ask_file(e, t))
		event_submit(e);
	else
		bpf_ringbuf_discard(e, 0);
	return 0;
}

static __always_inline int on_line(enum bash_kind kind, const void *line)
{
	struct bash_event *e;
	struct task_struct___shell *t = (void *)bpf_get_current_task();
	long n;

	if (!line) /* the end of the input */
		return 0;
	e = event_reserve(sizeof(*e) + LINE_ROOM);
	if (!e)
		return 0;
	event_fill(e, kind, t);
	if (!ask_file(e, t)) {
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	n = bpf_probe_read_user_str(e + 1, LINE_ROOM, line);
	if (n < 0)
		count(STAT_COPY_FAILED);
	e->len = n < 0 ? 0 : n;
	event_submit(e);
	return 0;
}

static __always_inline int on_exec(struct task_struct___shell *t)
{
	struct file_key k = {};
	struct file_info *f;
	struct bash_event *e;

	key_of_program(&k, t);
	f = bpf_map_lookup_elem(&files, &k);
	if (f && !f->tell)
		return 0;
	e = event_reserve(sizeof(*e));
	if (!e)
		return 0;
	event_fill(e, EV_FILE, t);
	e->file = k;
	event_submit(e);
	return 0;
}

SEC("uprobe")
int readline_entry(struct pt_regs *ctx)
{
	return on_prompt();
}

SEC("uprobe")
int readline_return(struct pt_regs *ctx)
{
	return on_line(EV_LINE, (void *)PT_REGS_RC(ctx));
}

/* bash hands each line here after history expansion, with the history on. */
SEC("uprobe")
int history_entry(struct pt_regs *ctx)
{
	return on_line(EV_EXECUTED, (void *)PT_REGS_PARM1(ctx));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(program_exec, struct task_struct *task)
{
	return on_exec((struct task_struct___shell *)task);
}
