/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Registers by architecture: of the Go ABI in a uprobe, and of a task's system call. */
#ifndef WEFT_TLS_REGS_H
#define WEFT_TLS_REGS_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct___stack {
	void *stack;
};

#if defined(__TARGET_ARCH_x86)

struct pt_regs___all {
	unsigned long r14, r10, r9, r8, ax, bx, cx, dx, si, di, orig_ax, sp;
};

#elif defined(__TARGET_ARCH_arm64)

struct pt_regs___all {
	u64 regs[31];
	int syscallno;
};

#endif

#pragma clang attribute pop

/*
 * Go's ABIInternal since 1.17 (cmd/compile/abi-internal.md): receiver, then a
 * slice's pointer and length; the first result; the goroutine.
 */
#if defined(__TARGET_ARCH_x86)

#define GO_ARG1(ctx) (((struct pt_regs___all *)(ctx))->ax)
#define GO_ARG2(ctx) (((struct pt_regs___all *)(ctx))->bx)
#define GO_ARG3(ctx) (((struct pt_regs___all *)(ctx))->cx)
#define GO_RESULT(ctx) (((struct pt_regs___all *)(ctx))->ax)
#define GO_G(ctx) (((struct pt_regs___all *)(ctx))->r14)
#define USER_G(r) BPF_CORE_READ(r, r14)
#define USER_SYSCALL(r) BPF_CORE_READ(r, orig_ax)
#define USER_ARG2(r) BPF_CORE_READ(r, si)

/* Where pt_regs lies before bpf_task_pt_regs came (5.15): the top of a 16 KiB stack. */
#define KERNEL_STACK_SIZE (16 << 10)

enum { NR_READ = 0, NR_WRITE = 1, NR_READV = 19, NR_WRITEV = 20 };
enum { NR_SENDTO = 44, NR_RECVFROM = 45, NR_SENDMSG = 46, NR_RECVMSG = 47 };

#elif defined(__TARGET_ARCH_arm64)

#define GO_ARG1(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define GO_ARG2(ctx) (((struct user_pt_regs *)(ctx))->regs[1])
#define GO_ARG3(ctx) (((struct user_pt_regs *)(ctx))->regs[2])
#define GO_RESULT(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define GO_G(ctx) (((struct user_pt_regs *)(ctx))->regs[28])
#define USER_G(r) BPF_CORE_READ(r, regs[28])
#define USER_SYSCALL(r) BPF_CORE_READ(r, syscallno)
#define USER_ARG2(r) BPF_CORE_READ(r, regs[1])

#define KERNEL_STACK_SIZE (16 << 10)

enum { NR_READ = 63, NR_WRITE = 64, NR_READV = 65, NR_WRITEV = 66 };
enum { NR_SENDTO = 206, NR_RECVFROM = 207, NR_SENDMSG = 211, NR_RECVMSG = 212 };

#endif

/* The registers with which the current task entered the kernel. */
static __always_inline struct pt_regs___all *user_regs(void)
{
	struct task_struct___stack *t;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	t = (void *)bpf_get_current_task();
	return BPF_CORE_READ(t, stack) + KERNEL_STACK_SIZE - bpf_core_type_size(struct pt_regs);
}

struct user_iovec {
	u64 base, len;
};

/* The user's buffer (of several, the first) of the send or receive call it is in. */
static __always_inline u64 user_buffer(void)
{
	struct pt_regs___all *regs = user_regs();
	u64 nr = USER_SYSCALL(regs), arg = USER_ARG2(regs);
	struct user_iovec v = {};

	if (nr == NR_WRITE || nr == NR_READ || nr == NR_SENDTO || nr == NR_RECVFROM)
		return arg;
	if (nr == NR_SENDMSG || nr == NR_RECVMSG) {
		/* struct msghdr: name, namelen, iov */
		if (bpf_probe_read_user(&arg, sizeof(arg), (void *)(arg + 16)))
			return 0;
	} else if (nr != NR_WRITEV && nr != NR_READV) {
		return 0;
	}
	if (bpf_probe_read_user(&v, sizeof(v), (void *)arg))
		return 0;
	return v.base;
}

#endif
