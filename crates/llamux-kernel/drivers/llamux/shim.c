// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that the Rust driver needs and that have no Rust abstraction: inline
 * functions, macros, and parts of the VFS. No policy here.
 */
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/initrd.h>
#include <linux/kernel_read_file.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <uapi/linux/llamux.h>

#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#ifndef CONFIG_UML
#include <asm/fpu/xcr.h>
#include <asm/fpu/types.h>
#endif

#include "shim.h"

#define MODEL_DIR	"/lib/firmware/llamux"
#define MODEL_SUFFIX	".gguf"

static char *model;
module_param(model, charp, 0444);
MODULE_PARM_DESC(model, "Name of the model in " MODEL_DIR ", without " MODEL_SUFFIX);

const char *llamux_param_model(void)
{
	return model;
}

void llamux_fpu_begin(void)
{
	kernel_fpu_begin();
}

void llamux_fpu_end(void)
{
	kernel_fpu_end();
}

/* Whether the kernel saves these parts of the FPU state. */
static bool saves(u64 xfeatures)
{
#ifdef CONFIG_UML
	/* The host does, for all that it reports. */
	return true;
#else
	return cpu_has_xfeatures(xfeatures, NULL);
#endif
}

#ifdef CONFIG_UML
#define XFEATURE_MASK_YMM_STATE		0
#define XFEATURE_MASK_AVX512_STATE	0
#else
#define XFEATURE_MASK_YMM_STATE		(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)
#define XFEATURE_MASK_AVX512_STATE	(XFEATURE_MASK_YMM_STATE | XFEATURE_MASK_AVX512)
#endif

/* A set of the FEATURE_* of abi/llamux_abi.rs. */
u32 llamux_cpu_features(void)
{
	u32 features = 0;

	if (boot_cpu_has(X86_FEATURE_AVX2) && boot_cpu_has(X86_FEATURE_FMA) &&
	    boot_cpu_has(X86_FEATURE_F16C) && saves(XFEATURE_MASK_YMM_STATE))
		features |= BIT(0);
	if (features && boot_cpu_has(X86_FEATURE_AVX512F) &&
	    boot_cpu_has(X86_FEATURE_AVX512BW) && boot_cpu_has(X86_FEATURE_AVX512DQ) &&
	    boot_cpu_has(X86_FEATURE_AVX512VL) && saves(XFEATURE_MASK_AVX512_STATE))
		features |= BIT(1);
	if ((features & BIT(1)) && boot_cpu_has(X86_FEATURE_AVX512_VNNI))
		features |= BIT(2);
	return features;
}

int llamux_thread_start(int (*fn)(void *data), void *data, const char *name)
{
	return PTR_ERR_OR_ZERO(kthread_run(fn, data, "%s", name));
}

u32 llamux_cpus(void)
{
	return num_online_cpus();
}

void llamux_resched(void)
{
	cond_resched();
}

u64 llamux_clock(void)
{
	return local_clock();
}

u64 llamux_random(void)
{
	return get_random_u64();
}

void llamux_wait_for_initramfs(void)
{
	wait_for_initramfs();
}

struct first_name {
	struct dir_context ctx;
	char name[NAME_MAX + 1];
};

/* Keeps the first of a directory's model files in alphabetical order. */
static bool first_name_actor(struct dir_context *ctx, const char *name, int len, loff_t offset,
			     u64 ino, unsigned int type)
{
	struct first_name *first = container_of(ctx, struct first_name, ctx);
	int suffix = sizeof(MODEL_SUFFIX) - 1;
	char this[NAME_MAX + 1];

	if (len <= suffix || len > NAME_MAX ||
	    memcmp(name + len - suffix, MODEL_SUFFIX, suffix))
		return true;
	memcpy(this, name, len);
	this[len] = '\0';
	if (!first->name[0] || strcmp(this, first->name) < 0)
		strscpy(first->name, this);
	return true;
}

/*
 * Opens the model called @name, or the first one in MODEL_DIR if it is NULL,
 * and leaves its path in @path, also on error. The root directory is init's,
 * as for all firmware.
 */
struct file *llamux_model_open(const char *name, char *path, size_t path_size)
{
	struct first_name *first;
	struct file *dir, *file;

	if (name && strchr(name, '/')) {
		strscpy(path, name, path_size);
		return ERR_PTR(-EINVAL);
	}
	if (name) {
		if (snprintf(path, path_size, MODEL_DIR "/%s" MODEL_SUFFIX, name) >= path_size)
			return ERR_PTR(-ENAMETOOLONG);
	} else {
		strscpy(path, MODEL_DIR, path_size);
		first = kzalloc_obj(*first, GFP_KERNEL);
		if (!first)
			return ERR_PTR(-ENOMEM);
		first->ctx.actor = first_name_actor;
		scoped_with_init_fs()
			dir = filp_open(MODEL_DIR, O_RDONLY | O_DIRECTORY, 0);
		if (IS_ERR(dir)) {
			kfree(first);
			return dir;
		}
		iterate_dir(dir, &first->ctx);
		fput(dir);
		if (first->name[0])
			snprintf(path, path_size, MODEL_DIR "/%s", first->name);
		name = first->name[0] ? path : NULL;
		kfree(first);
		if (!name)
			return ERR_PTR(-ENOENT);
	}
	scoped_with_init_fs()
		file = filp_open(path, O_RDONLY, 0);
	return file;
}

/*
 * Reads up to @buf_size bytes from the beginning, as firmware, so that the
 * security modules see it as such, and says how large the file is.
 */
ssize_t llamux_model_read(struct file *file, void *buf, size_t buf_size, size_t *file_size)
{
	return kernel_read_file(file, 0, &buf, buf_size, file_size, READING_FIRMWARE);
}

/*
 * Removes the model's file if it lies in the initramfs, whose files occupy
 * memory. Returns 0 if it did, -EXDEV if the file is elsewhere.
 */
int llamux_model_remove(struct file *file, const char *path)
{
	struct dentry *dentry;
	struct path parent;
	int err;

	if (strcmp(file_inode(file)->i_sb->s_type->name, "rootfs"))
		return -EXDEV;
	scoped_with_init_fs() {
		dentry = start_removing_path(path, &parent);
		if (IS_ERR(dentry))
			return PTR_ERR(dentry);
		if (d_inode(dentry) == file_inode(file))
			err = vfs_unlink(&nop_mnt_idmap, d_inode(parent.dentry), dentry, NULL);
		else
			err = -ESTALE;
		end_removing_path(&parent, dentry);
	}
	return err;
}

void llamux_model_close(struct file *file)
{
	fput(file);
}

int llamux_command_from_user(struct llama_command *dst, unsigned long src, size_t usize)
{
	BUILD_BUG_ON(sizeof(struct llama_command) != LLAMA_COMMAND_SIZE_VER0);

	if (usize > PAGE_SIZE)
		return -E2BIG;
	if (usize < LLAMA_COMMAND_SIZE_VER0)
		return -EINVAL;
	return copy_struct_from_user(dst, sizeof(*dst), (void __user *)src, usize);
}

SYSCALL_DEFINE2(llama_command, struct llama_command __user *, command, size_t, size)
{
	return llamux_command((unsigned long)command, size);
}

int llamux_proc_create(void)
{
	struct proc_dir_entry *dir = proc_mkdir("llamux", NULL);

	if (!dir || !proc_create_single("status", 0444, dir, llamux_status_show))
		return -ENOMEM;
	return 0;
}
