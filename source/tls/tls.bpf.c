//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The doors of the TLS source. Each SEC() body only forwards to the helper that
 * does the work. Uprobes have no cookies on 5.10, so every kind of function has
 * a program of its own; one serves all returns, since the entry has said what
 * kind of call it is.
 */
#include "calls.h"
#include "objects.h"
#include "sockets.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* bpf2go makes Go types of those that the object's BTF names. */
const struct tls_event *unused_event __attribute__((unused));
const struct tls_tie *unused_tie __attribute__((unused));
const struct tls_life *unused_life __attribute__((unused));

/* ---- C libraries --------------------------------------------------------- */

SEC("uprobe")
int c_read(struct pt_regs *ctx)
{
	return enter_c(ctx, CALL_READ);
}

SEC("uprobe")
int c_write(struct pt_regs *ctx)
{
	return enter_c(ctx, CALL_WRITE);
}

SEC("uprobe")
int c_read_ex(struct pt_regs *ctx)
{
	return enter_c(ctx, CALL_READ_EX);
}

SEC("uprobe")
int c_write_ex(struct pt_regs *ctx)
{
	return enter_c(ctx, CALL_WRITE_EX);
}

SEC("uprobe")
int c_sendfile(struct pt_regs *ctx)
{
	return enter_c(ctx, CALL_SENDFILE);
}

SEC("uprobe")
int c_handshake(struct pt_regs *ctx)
{
	return handshake_c(ctx);
}

SEC("uprobe")
int c_return(struct pt_regs *ctx)
{
	return leave_c(ctx);
}

SEC("uprobe")
int c_free(struct pt_regs *ctx)
{
	object_free(bpf_get_current_pid_tgid() >> 32, PT_REGS_PARM1(ctx));
	return 0;
}

SEC("uprobe")
int c_bio_write(struct pt_regs *ctx)
{
	return on_bio_write(ctx);
}

/* ---- Go ------------------------------------------------------------------ */

SEC("uprobe")
int go_read(struct pt_regs *ctx)
{
	return enter_go(ctx, CALL_READ);
}

SEC("uprobe")
int go_write(struct pt_regs *ctx)
{
	return enter_go(ctx, CALL_WRITE);
}

SEC("uprobe")
int go_handshake(struct pt_regs *ctx)
{
	return enter_go(ctx, CALL_HANDSHAKE);
}

SEC("uprobe")
int go_return(struct pt_regs *ctx)
{
	return leave_go(ctx);
}

SEC("uprobe")
int go_close(struct pt_regs *ctx)
{
	object_close(bpf_get_current_pid_tgid() >> 32, GO_ARG1(ctx));
	return 0;
}

/* ---- Sockets: 6.3's tracepoints, else functions of TCP ------------------- */

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_sent_tp, struct sock *sk, int ret, int flags)
{
	return on_socket(sk, ret, true, DIRECT);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_received_tp, struct sock *sk, int ret, int flags)
{
	return on_socket(sk, ret, false, DIRECT);
}

SEC("fentry/tcp_sendmsg")
int BPF_PROG(sock_sent_fentry, struct sock *sk, struct msghdr *msg, u64 size)
{
	return on_socket(sk, size, true, DIRECT);
}

SEC("fentry/tcp_cleanup_rbuf")
int BPF_PROG(sock_received_fentry, struct sock *sk, int copied)
{
	return on_socket(sk, copied, false, DIRECT);
}

SEC("kprobe/tcp_sendmsg")
int BPF_KPROBE(sock_sent_kprobe, struct sock *sk, struct msghdr *msg, u64 size)
{
	return on_socket(sk, size, true, PROBE);
}

SEC("kprobe/tcp_cleanup_rbuf")
int BPF_KPROBE(sock_received_kprobe, struct sock *sk, int copied)
{
	return on_socket(sk, copied, false, PROBE);
}

/* ---- Processes ----------------------------------------------------------- */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct linux_binprm {
	const char *interp; /* of a script, its interpreter */
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct task_struct___exit {
	struct signal_struct *signal;
};

#pragma clang attribute pop

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct tls_life *l = bpf_ringbuf_reserve(&lives, sizeof(*l), 0);
	u32 tgid = task->tgid;

	if (bpf_map_delete_elem(&procs, &tgid) == 0)
		event_notice(EV_EXIT, tgid, 0); /* what the old program had */
	if (!l) {
		count(STAT_LIVES_FULL, 1);
		return 0;
	}
	l->tgid = tgid;
	if (bpf_probe_read_kernel_str(l->path, sizeof(l->path), BPF_CORE_READ(bprm, interp)) < 0)
		l->path[0] = 0;
	bpf_ringbuf_submit(l, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct task_struct___exit *t = (void *)task;

	if (BPF_CORE_READ(t, signal, live.counter) == 0 && bpf_map_delete_elem(&procs, &tgid) == 0)
		event_notice(EV_EXIT, tgid, 0);
	return 0;
}
