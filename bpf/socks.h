/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The table of live TCP sockets. conn keeps it; other sources look things up. */
#ifndef WEFT_SOCKS_H
#define WEFT_SOCKS_H

#include "owner.h"

enum { ROLE_CLIENT, ROLE_SERVER, ROLE_LISTENER };
/* What we know of the owner: nothing, found in a file table, seen acting. */
enum { OWNER_NONE, OWNER_FILES, OWNER_SEEN };

struct conn {
	struct owner owner;
	u16 rport; /* network order */
	u8 role;
	u8 owner_from;
	u8 fin_sent;
	u8 established;
	u32 connect_16ns;
	u32 owner_start; /* start time of an OWNER_FILES owner, in units of 2^24 ns */
	/* Sequence numbers at the last report, by which the snapshot knows idle sockets. */
	u32 seen_rcv, seen_snd;
	u8 settled; /* nothing was unread, unsent or unacknowledged then */
	u8 l7;	    /* what source/payload makes of the bytes; conn leaves it alone */
	u64 born;
	/*
	 * What has been reported is nothing when the lower 16 bits are zero, else
	 * slot[claim & 1] of the socket's entry in reported. The snapshot writes
	 * its new values into the other slot and then advances the claim with a
	 * compare-and-swap; the close takes the claim away with a swap. So each
	 * byte is reported once, whoever comes first. The upper bits are the
	 * entry's birth: an element that was reused for another socket meanwhile
	 * makes the compare-and-swap fail.
	 */
	u64 claim;
};

/*
 * socks: live TCP sockets by the address of their struct sock. Inserted when a
 * socket listens, connects or is established, and by the seed for those older
 * than the collector; deleted at TCP_CLOSE; the snapshot deletes entries whose
 * socket had gone (a seed that raced with a close). Full: STAT_SOCKS_FULL; the
 * connection then shows up as STAT_UNTRACKED when it closes. A preallocated
 * hash costs half of sk_storage here: docs/decisions/0004.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, u64);
	__type(value, struct conn);
} socks SEC(".maps");

#endif
