/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is left out while the collector is over a limit of its own. */
#ifndef WEFT_SHED_H
#define WEFT_SHED_H

#include "stream.h"

/* Set by Go while programs run. DNS datagrams are taken at every level. */
enum {
	SHED_NONE,
	SHED_PARSED, /* connections that user space parses: HTTP/2, pipelining, TLS hellos */
	SHED_HTTP,   /* HTTP/1 too, so that TCP costs one look-up a packet */
};
volatile u32 shed = SHED_NONE;

/*
 * True when the packet is left out. Its connection is forgotten with it: what
 * passes from now on is missing, so it has to be joined anew afterwards.
 */
static __always_inline bool stream_shed(const struct stream *s, u64 key)
{
	if (!shed || (shed == SHED_PARSED && (!s || s->mode == MODE_HTTP)))
		return false;
	count(STAT_SHED, 1);
	if (s)
		stream_del(key);
	return true;
}

#endif
