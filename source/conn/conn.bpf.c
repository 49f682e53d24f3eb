//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The doors of the connection source. Each SEC() body only forwards to the
 * helper that does the work; Go loads the doors of the rung it stands on and
 * leaves the others out.
 */
#include "seed.h"
#include "tcp.h"
#include "udp.h"
#include "walk.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* ---- TCP state changes ------------------------------------------------- */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state_tp, struct sock *sk, int old, int new)
{
	return on_state_typed(sk, old, new, DIRECT | FETCH);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state_tp_nofetch, struct sock *sk, int old, int new)
{
	return on_state_typed(sk, old, new, DIRECT);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_tp, struct sock *sk)
{
	return on_destroy(sk, DIRECT | FETCH);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_tp_nofetch, struct sock *sk)
{
	return on_destroy(sk, DIRECT);
}

SEC("fentry/tcp_set_state")
int BPF_PROG(tcp_state_fentry, struct sock *sk, int new)
{
	return on_state_typed(sk, sk->__sk_common.skc_state, new, DIRECT);
}

SEC("kprobe/tcp_set_state")
int BPF_KPROBE(tcp_state_kprobe, struct sock *sk, int new)
{
	return on_state(sk, BPF_CORE_READ(sk, __sk_common.skc_state), new, PROBE);
}

/* ---- Walks -------------------------------------------------------------- */

SEC("iter/bpf_map_elem")
int snapshot(struct bpf_iter__bpf_map_elem *ctx)
{
	u64 *key = ctx->key;
	struct conn *e = ctx->value;

	return key && e && !entry_quiet(e, *key) && snapshot_fits(*key) ? snapshot_one(*key, FETCH) : 0;
}

SEC("iter/bpf_map_elem")
int snapshot_nofetch(struct bpf_iter__bpf_map_elem *ctx)
{
	u64 *key = ctx->key;
	struct conn *e = ctx->value;

	return key && e && !entry_quiet(e, *key) && snapshot_fits(*key) ? snapshot_one(*key, PROBE) : 0;
}

SEC("iter/task_file")
int seed(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	return task && file ? seed_one(task, file) : 0;
}

/* ---- UDP: functions of UDP alone (fentry, kprobe) ----------------------- */

SEC("fexit/udp_sendmsg")
int BPF_PROG(udp_sendmsg_fexit, struct sock *sk, struct msghdr *msg, u64 len, int ret)
{
	return udp_sent(sk, msg, ret, false);
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(udpv6_sendmsg_fexit, struct sock *sk, struct msghdr *msg, u64 len, int ret)
{
	return udp_sent(sk, msg, ret, true);
}

SEC("fentry/skb_consume_udp")
int BPF_PROG(udp_consume_fentry, struct sock *sk, struct sk_buff *skb, int len)
{
	return udp_consumed(sk, skb, len);
}

static __always_inline int udp_send_enter(struct sock *sk, struct msghdr *msg)
{
	struct udp_args a = {.sk = (u64)sk, .msg = (u64)msg};
	u64 id = bpf_get_current_pid_tgid();

	if (bpf_map_update_elem(&udp_args, &id, &a, BPF_ANY))
		count(STAT_PEERS_FULL, 1);
	return 0;
}

static __always_inline int udp_send_exit(long ret, const bool v6)
{
	u64 id = bpf_get_current_pid_tgid();
	struct udp_args *a = bpf_map_lookup_elem(&udp_args, &id);
	struct udp_args args;

	if (!a)
		return 0;
	args = *a;
	bpf_map_delete_elem(&udp_args, &id);
	return udp_sent((void *)args.sk, (void *)args.msg, ret, v6);
}

SEC("kprobe/udp_sendmsg")
int BPF_KPROBE(udp_sendmsg_kprobe, struct sock *sk, struct msghdr *msg)
{
	return udp_send_enter(sk, msg);
}

SEC("kretprobe/udp_sendmsg")
int BPF_KRETPROBE(udp_sendmsg_kretprobe, int ret)
{
	return udp_send_exit(ret, false);
}

SEC("kprobe/udpv6_sendmsg")
int BPF_KPROBE(udpv6_sendmsg_kprobe, struct sock *sk, struct msghdr *msg)
{
	return udp_send_enter(sk, msg);
}

SEC("kretprobe/udpv6_sendmsg")
int BPF_KRETPROBE(udpv6_sendmsg_kretprobe, int ret)
{
	return udp_send_exit(ret, true);
}

SEC("kprobe/skb_consume_udp")
int BPF_KPROBE(udp_consume_kprobe, struct sock *sk, struct sk_buff *skb, int len)
{
	return udp_consumed(sk, skb, len);
}

/* ---- UDP: socket calls (Linux 6.3), where functions cannot be hooked ---- */

SEC("tp_btf/sock_send_length")
int BPF_PROG(udp_send_length, struct sock *sk, int ret, int flags)
{
	return udp_length(sk, ret, flags, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(udp_recv_length, struct sock *sk, int ret, int flags)
{
	return udp_length(sk, ret, flags, false);
}

/*
 * udp_births: wakes Go when a UDP socket is made while the shared door is
 * closed. One byte per birth; full: Go has been woken already.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} udp_births SEC(".maps");

SEC("cgroup/sock_create")
int udp_born(struct bpf_sock *ctx)
{
	u8 any = 1;

	if (ctx->protocol == WEFT_PROTO_UDP) {
		count(STAT_UDP_BORN, 1);
		bpf_ringbuf_output(&udp_births, &any, sizeof(any), BPF_RB_FORCE_WAKEUP);
	}
	return 1;
}

static __always_inline int peer_v4(struct bpf_sock_addr *ctx)
{
	struct peer p = {.port = bpf_ntohs(ctx->user_port), .known = 1};

	addr_from_v4(p.addr, ctx->user_ip4);
	peer_remember(&p);
	return 1;
}

static __always_inline int peer_v6(struct bpf_sock_addr *ctx)
{
	struct peer p = {.port = bpf_ntohs(ctx->user_port), .known = 1};
	u32 *w = (u32 *)p.addr;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
	peer_remember(&p);
	return 1;
}

SEC("cgroup/sendmsg4")
int udp_peer_send4(struct bpf_sock_addr *ctx)
{
	return peer_v4(ctx);
}

SEC("cgroup/recvmsg4")
int udp_peer_recv4(struct bpf_sock_addr *ctx)
{
	return peer_v4(ctx);
}

SEC("cgroup/sendmsg6")
int udp_peer_send6(struct bpf_sock_addr *ctx)
{
	return peer_v6(ctx);
}

SEC("cgroup/recvmsg6")
int udp_peer_recv6(struct bpf_sock_addr *ctx)
{
	return peer_v6(ctx);
}
