/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel types we read, and only the fields we read. Every access is
 * relocated against the running kernel's BTF (CO-RE), so neither the layout
 * nor the completeness of these declarations matters, only the names.
 */
#ifndef WEFT_KERNEL_H
#define WEFT_KERNEL_H

#include <linux/bpf.h>

/* bpf_tracing.h: take register names as the kernel spells them (di, si, …). */
#define __VMLINUX_H__

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)

enum { WEFT_AF_INET = 2, WEFT_AF_INET6 = 10 };
enum { WEFT_PROTO_TCP = 6, WEFT_PROTO_UDP = 17, WEFT_PROTO_MPTCP = 262 };

/* include/net/tcp_states.h */
enum tcp_state {
	ST_ESTABLISHED = 1,
	ST_SYN_SENT,
	ST_SYN_RECV,
	ST_FIN_WAIT1,
	ST_FIN_WAIT2,
	ST_TIME_WAIT,
	ST_CLOSE,
	ST_CLOSE_WAIT,
	ST_LAST_ACK,
	ST_LISTEN,
	ST_CLOSING,
	ST_NEW_SYN_RECV,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

typedef struct {
	int owned;
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	u8 sk_userlocks : 4;
	u16 sk_protocol;
	int sk_err;
};

struct inet_sock {
	struct sock sk;
	u16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u64 bytes_received;
	u64 bytes_acked;
	u64 bytes_sent;
	u64 bytes_retrans;
	u32 rcv_nxt;
	u32 copied_seq;
	u32 snd_una;
	u32 snd_nxt;
	u32 write_seq;
	u32 segs_in;
	u32 segs_out;
	u32 total_retrans;
	u32 srtt_us;
	u32 mdev_us;
};

/* Linux 5.6, CONFIG_MPTCP; first is the first subflow or the listener. */
struct mptcp_sock {
	struct sock *first;
};

struct udp_sock {
	u16 gso_size;
};

struct task_struct {
	int tgid;
	unsigned int flags;
	char comm[16];
	u64 start_time;
	struct task_struct *group_leader;
};

struct inode {
	unsigned short i_mode;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct socket {
	struct sock *sk;
};

struct msghdr {
	void *msg_name;
};

struct sk_buff {
	unsigned char *head;
	u16 transport_header;
	u16 network_header;
};

struct bpf_iter__bpf_map_elem {
	void *key;
	void *value;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, cx, r8, r9, ax, sp, ip;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs;
struct user_pt_regs {
	u64 regs[31];
	u64 sp, pc, pstate;
};
#endif

#pragma clang attribute pop

#endif
