/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Paths as the process sees them: up to its own root, through mounts. */
#ifndef WEFT_EXEC_PATH_H
#define WEFT_EXEC_PATH_H

#include "events.h"

#define PATH_STEPS 48 /* names and mounts on the way up; a path of more is cut */

/* Room for the largest event: two paths, a name more than a path's room each, and arguments. */
#define ROOM (2 * (PATH_ROOM + NAME_ROOM) + ARGS_MAX)

struct scratch {
	struct exec_event head;
	u8 data[ROOM];
	/*
	 * How much of data is filled. Here and not in a register, since the verifier
	 * would follow each value that it may have through the loop.
	 */
	u32 used;
};

/* scratch: where an event is put together. One a CPU: exec does not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct walk {
	struct dentry *dentry, *root;
	struct vfsmount *mnt, *root_mnt;
};

static __always_inline struct mount *mount_of(struct vfsmount *v)
{
	return (void *)v - __builtin_preserve_field_info(((struct mount *)0)->mnt, 0);
}

/* Goes from a mount's root to where it is mounted; false at the top. */
static __always_inline bool walk_out(struct walk *w)
{
	struct mount *m = mount_of(w->mnt), *parent = BPF_CORE_READ(m, mnt_parent);

	if (m == parent)
		return false;
	w->dentry = BPF_CORE_READ(m, mnt_mountpoint);
	w->mnt = __builtin_preserve_access_index(&parent->mnt);
	return true;
}

/* Appends a name; false when there is no room. */
static __always_inline bool name_put(struct scratch *s, const u32 limit, struct dentry *d)
{
	u32 off = s->used;
	long n;

	if (off > limit)
		return false;
	n = bpf_probe_read_kernel_str(&s->data[off], NAME_ROOM, BPF_CORE_READ(d, d_name.name));
	if (n < 0 || n > NAME_ROOM)
		return false;
	s->used = off + n;
	return true;
}

/* Appends the names of a path, the last first. */
static __always_inline void path_put(struct scratch *s, const u32 limit, struct walk *w)
{
	for (int i = 0; i < PATH_STEPS; i++) {
		/* Locals: CO-RE would take an access through w for one to the kernel's. */
		struct dentry *parent, *dentry = w->dentry;
		struct vfsmount *mnt = w->mnt;

		if (dentry == w->root && mnt == w->root_mnt)
			return;
		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			if (!walk_out(w))
				return;
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry)
			return;
		if (!name_put(s, limit, dentry))
			break;
		w->dentry = parent;
	}
	s->head.paths_cut = 1;
}

static __always_inline void put_exe(struct scratch *s, struct task_struct___x *t)
{
	struct walk w = {
		.dentry = BPF_CORE_READ(t, mm, exe_file, f_path.dentry),
		.mnt = BPF_CORE_READ(t, mm, exe_file, f_path.mnt),
		.root = BPF_CORE_READ(t, fs, root.dentry),
		.root_mnt = BPF_CORE_READ(t, fs, root.mnt),
	};

	path_put(s, PATH_ROOM, &w);
}

static __always_inline void put_cwd(struct scratch *s, struct task_struct___x *t)
{
	struct walk w = {
		.dentry = BPF_CORE_READ(t, fs, pwd.dentry),
		.mnt = BPF_CORE_READ(t, fs, pwd.mnt),
		.root = BPF_CORE_READ(t, fs, root.dentry),
		.root_mnt = BPF_CORE_READ(t, fs, root.mnt),
	};

	path_put(s, 2 * PATH_ROOM + NAME_ROOM, &w);
}

#endif
