/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Lines that readline gives to a shell, and which files are shells. */
#ifndef WEFT_BASH_H
#define WEFT_BASH_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	u32 s_dev;
};

struct inode___file {
	unsigned long i_ino;
	s64 i_size;
	u32 i_generation;
	struct super_block *i_sb;
};

struct file___exe {
	struct inode___file *f_inode;
};

struct mm_struct {
	unsigned long start_code;
	struct file___exe *exe_file;
};

struct dentry {
	struct inode___file *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct user_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct cred {
	struct user_namespace *user_ns;
};

struct task_struct___shell {
	int tgid;
	char comm[16];
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	struct task_struct___shell *group_leader;
};

#pragma clang attribute pop

enum bash_stat {
	STAT_TAKEN,	  /* events that wanted to go up */
	STAT_RING_FULL,	  /* and did not fit */
	STAT_COPY_FAILED, /* lines that could not be read from the process */
	STAT_MAX,
};

/* Per-CPU counters; Go sums and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_MAX);
	__type(key, enum bash_stat);
	__type(value, u64);
} bash_stats SEC(".maps");

static __always_inline void count(enum bash_stat which)
{
	u64 *c = bpf_map_lookup_elem(&bash_stats, &which);

	if (c)
		*c += 1;
}

/* A program's file, as the kernel has it: paths and overlays do not matter. */
struct file_key {
	u64 ino;
	u64 size;
	u32 dev;
	u32 generation;
};

struct file_info {
	u8 shell; /* a bash, else its lines are nobody's commands */
	u8 tell;  /* tell of each process: the library that it loads may be new */
	u8 pad[6];
	/* Two variables of bash, from the start of its code; 0: not known. */
	s64 line_count;
	s64 in_builtin;
};

/*
 * files: what programs are. Inserted by Go when it was told of a file; a file
 * that is not in here is told of at its next exec. Full: the least used goes,
 * and is told of again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct file_key);
	__type(value, struct file_info);
} files SEC(".maps");

enum bash_kind { EV_FILE = 1, EV_PROMPT, EV_LINE, EV_EXECUTED };

#define LINE_MAX 4096		 /* bytes of a line that are kept */
#define LINE_ROOM (LINE_MAX + 2) /* one more, to see that it was longer, and the 0 */

struct bash_event {
	enum bash_kind kind;
	u32 tgid;
	u32 uid;
	u32 mntns;
	u32 userns;
	/* Lines that the command at hand has so far, or -1. */
	int lines;
	u8 known;      /* the file is known to be a shell */
	u8 in_builtin; /* a builtin asks, not the shell for a command */
	u8 pad[2];
	u32 len;  /* of the line, with its 0 */
	u64 time; /* ns since boot */
	u64 root_ino;
	struct file_key file;
	char comm[16];
};

/*
 * events: prompts and lines, in order, and files to look at. Typed lines are few:
 * each wakes the reader. Full: STAT_RING_FULL.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

static __always_inline void key_of_program(struct file_key *k, struct task_struct___shell *t)
{
	struct inode___file *i = BPF_CORE_READ(t, mm, exe_file, f_inode);

	k->ino = BPF_CORE_READ(i, i_ino);
	k->size = BPF_CORE_READ(i, i_size);
	k->dev = BPF_CORE_READ(i, i_sb, s_dev);
	k->generation = BPF_CORE_READ(i, i_generation);
}

#endif
