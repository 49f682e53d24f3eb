/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The table of listeners is kept by conn alone. */
#ifndef WEFT_LISTEN_H
#define WEFT_LISTEN_H

#include "conn.h"
#include "owner.h"

static __always_inline void listener_add(u32 netns, u16 port, const struct owner *o, u64 start)
{
	struct listener_key k = {.netns = netns, .port = port};
	struct listener fresh = {.owner = *o, .sockets = 1, .start = start};
	struct listener *l = bpf_map_lookup_elem(&listeners, &k);

	if (!l) {
		if (bpf_map_update_elem(&listeners, &k, &fresh, BPF_NOEXIST))
			count(STAT_LISTENERS_FULL, 1);
		return;
	}
	__sync_fetch_and_add(&l->sockets, 1);
	if (start < l->start) {
		l->owner = *o;
		l->start = start;
	}
}

static __always_inline void listener_drop(u32 netns, u16 port)
{
	struct listener_key k = {.netns = netns, .port = port};
	struct listener *l = bpf_map_lookup_elem(&listeners, &k);

	if (!l)
		return;
	if (l->sockets <= 1)
		bpf_map_delete_elem(&listeners, &k);
	else
		__sync_fetch_and_add(&l->sockets, -1);
}

#endif
