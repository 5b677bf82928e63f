// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that the Rust driver needs and that have no Rust abstraction: inline
 * functions, macros, and parts of the VFS. No policy here.
 */
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/initrd.h>
#include <linux/kernel_read_file.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/namei.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/isolation.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <generated/utsrelease.h>
#include <uapi/linux/llamux.h>

#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#ifdef CONFIG_UML
#include <os.h>
#else
#include <asm/fpu/xcr.h>
#include <asm/fpu/types.h>
#endif

#include "shim.h"

#define MODEL_DIR	"/lib/firmware/llamux"
#define MODEL_SUFFIX	".gguf"

static char *model;
module_param(model, charp, 0444);
MODULE_PARM_DESC(model, "Name of the model in " MODEL_DIR ", without " MODEL_SUFFIX);

static char *chat_format;
module_param(chat_format, charp, 0444);
MODULE_PARM_DESC(chat_format, "Name of the chat format; the one of the model's file if empty");

static char *requant;
module_param(requant, charp, 0444);
MODULE_PARM_DESC(requant, "Type that larger weights are given when they are loaded; none if empty");

static char *cpus;
module_param(cpus, charp, 0444);
MODULE_PARM_DESC(cpus, "List of the processors that compute; all that are not isolated if empty");

static char *sig;
module_param(sig, charp, 0444);
MODULE_PARM_DESC(sig, "What becomes of models without a good signature: enforce, warn or off");

const char *llamux_param_model(void)
{
	return model;
}

const char *llamux_param_chat_format(void)
{
	return chat_format;
}

const char *llamux_param_requant(void)
{
	return requant;
}

const char *llamux_param_cpus(void)
{
	return cpus;
}

const char *llamux_param_sig(void)
{
	return sig;
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

/* Where, and how, threads are started. */
static struct cpumask thread_cpus;
static int thread_nice;

/*
 * Sets the processors from llamux.cpus=, less the isolated ones. If it is empty
 * or cannot be had, all that are not isolated. Returns -ENODEV if none of those
 * named can compute now, or what cpulist_parse() says.
 */
int llamux_cpus_choose(void)
{
	const struct cpumask *free;
	int err;

	guard(rcu)();
	free = housekeeping_cpumask(HK_TYPE_DOMAIN);
	if (cpus && *cpus) {
		err = cpulist_parse(cpus, &thread_cpus);
		if (!err) {
			cpumask_and(&thread_cpus, &thread_cpus, free);
			if (cpumask_intersects(&thread_cpus, cpu_online_mask))
				return 0;
			err = -ENODEV;
		}
		cpumask_copy(&thread_cpus, free);
		return err;
	}
	cpumask_copy(&thread_cpus, free);
	return 0;
}

u32 llamux_cpus(void)
{
	return cpumask_weight_and(&thread_cpus, cpu_online_mask);
}

size_t llamux_cpus_show(char *page, size_t size)
{
	return scnprintf(page, size, "%*pbl\n", cpumask_pr_args(&thread_cpus));
}

/* A thread, from before it begins until its function has returned. */
struct thread {
	struct list_head list;
	struct task_struct *task;
	int (*fn)(void *data);
	void *data;
};

static LIST_HEAD(threads);
static DEFINE_MUTEX(threads_lock);	/* of the list and of thread_nice */

int llamux_nice(int nice)
{
	struct thread *thread;

	if (nice < MIN_NICE || nice > MAX_NICE)
		return -EINVAL;
	guard(mutex)(&threads_lock);
	thread_nice = nice;
	list_for_each_entry(thread, &threads, list)
		set_user_nice(thread->task, nice);
	return 0;
}

int llamux_nice_now(void)
{
	guard(mutex)(&threads_lock);
	return thread_nice;
}

static int thread_main(void *data)
{
	struct thread *thread = data;
	int err = thread->fn(thread->data);

	scoped_guard(mutex, &threads_lock)
		list_del(&thread->list);
	kfree(thread);
	return err;
}

/*
 * The thread has the nice value that was set last, also if that comes later.
 * The scheduler keeps it to the chosen processors for as long as one of
 * them is online and not isolated, and finds others otherwise. Everybody may
 * change the affinity who may change that of other tasks.
 */
int llamux_thread_start(int (*fn)(void *data), void *data, const char *name)
{
	struct thread *thread = kmalloc_obj(*thread, GFP_KERNEL);
	struct task_struct *task;
	int err;

	if (!thread)
		return -ENOMEM;
	task = kthread_create(thread_main, thread, "%s", name);
	if (IS_ERR(task)) {
		kfree(thread);
		return PTR_ERR(task);
	}
	*thread = (struct thread) { .task = task, .fn = fn, .data = data };
	err = kthread_affine_preferred(task, &thread_cpus);
	if (err) {
		/* It ends without having called thread_main(). */
		kthread_stop(task);
		kfree(thread);
		return err;
	}
	scoped_guard(mutex, &threads_lock) {
		list_add(&thread->list, &threads);
		set_user_nice(task, thread_nice);
	}
	wake_up_process(task);
	return 0;
}

void llamux_resched(void)
{
	cond_resched();
}

/* Whether to log one more of what callers can bring about as often as they like. */
bool llamux_may_log(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&limit);
}

u64 llamux_clock(void)
{
#ifdef CONFIG_UML
	/* There is no sched_clock() but the default one, which counts jiffies. */
	return os_nsecs();
#else
	return local_clock();
#endif
}

u64 llamux_real_seconds(void)
{
	return ktime_get_real_seconds();
}

u64 llamux_memory(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}

u32 llamux_cpus_online(void)
{
	return num_online_cpus();
}

const char *llamux_command_line(void)
{
	return saved_command_line;
}

u64 llamux_rough_clock(void)
{
	return local_clock();
}

u64 llamux_current_id(void)
{
	/* The address of a task may be one that an earlier task had. */
	return (unsigned long)current + current->start_boottime;
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

/* Where firmware is looked for, in this order; the last is MODEL_DIR. */
static const char * const model_dirs[] = {
	"/lib/firmware/updates/" UTS_RELEASE "/llamux",
	"/lib/firmware/updates/llamux",
	"/lib/firmware/" UTS_RELEASE "/llamux",
	MODEL_DIR,
};

/*
 * Opens a file that the calling task may read, as that task sees it. What is no
 * regular file is refused when it is read, so nobody waits for its other end.
 */
static struct file *open_path(const char *path)
{
	struct file *file;

	if (!(current->flags & PF_KTHREAD))
		return filp_open(path, O_RDONLY | O_LARGEFILE | O_NONBLOCK | O_NOCTTY, 0);
	scoped_with_init_fs()
		file = filp_open(path, O_RDONLY | O_LARGEFILE | O_NONBLOCK | O_NOCTTY, 0);
	return file;
}

/*
 * Opens the model called @name where it is found first, or the first one in
 * MODEL_DIR if it is NULL, and leaves its path in @path, also on error. The
 * root directory is init's, as for all firmware, but for a path.
 */
struct file *llamux_model_open(const char *name, char *path, size_t path_size)
{
	struct file *dir, *file = ERR_PTR(-ENOENT);
	struct first_name *first;

	if (name && *name == '/') {
		if (snprintf(path, path_size, "%s" MODEL_SUFFIX, name) >= path_size)
			return ERR_PTR(-ENAMETOOLONG);
		file = open_path(path);
	} else if (name) {
		for (int i = 0; file == ERR_PTR(-ENOENT) && i < ARRAY_SIZE(model_dirs); i++) {
			if (snprintf(path, path_size, "%s/%s" MODEL_SUFFIX, model_dirs[i],
				     name) >= path_size)
				return ERR_PTR(-ENAMETOOLONG);
			scoped_with_init_fs()
				file = filp_open(path, O_RDONLY | O_LARGEFILE, 0);
		}
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
		scoped_with_init_fs()
			file = filp_open(path, O_RDONLY | O_LARGEFILE, 0);
	}
	return file;
}

/*
 * Opens the signature of the model at @path where the model was found: as the
 * calling task sees it if it was named by a path, or else as init does.
 */
struct file *llamux_signature_open(const char *path, bool by_path)
{
	char *name = kasprintf(GFP_KERNEL, "%s.p7s", path);
	struct file *file;

	if (!name)
		return ERR_PTR(-ENOMEM);
	if (by_path) {
		file = open_path(name);
	} else {
		scoped_with_init_fs()
			file = filp_open(name, O_RDONLY | O_LARGEFILE, 0);
	}
	kfree(name);
	return file;
}

/*
 * Reads up to @buf_size bytes from @offset on, as firmware, so that the security
 * modules see it as such, and says how large the file is.
 */
ssize_t llamux_model_read(struct file *file, void *buf, size_t buf_size, size_t offset,
			  size_t *file_size)
{
	return kernel_read_file(file, offset, &buf, buf_size, file_size, READING_FIRMWARE);
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

size_t llamux_available_memory(void)
{
	long pages = si_mem_available();

	return pages > 0 ? (size_t)pages << PAGE_SHIFT : 0;
}

int llamux_command_from_user(struct llama_command *dst, unsigned long src, size_t usize)
{
	BUILD_BUG_ON(sizeof(struct llama_command) != LLAMA_COMMAND_SIZE_VER2);

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

static int prompt_open(struct inode *inode, struct file *file)
{
	int err = llamux_prompt_open(&file->private_data);

	return err ?: stream_open(inode, file);
}

static ssize_t prompt_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	return llamux_prompt_read(file->private_data, (unsigned long)to, len,
				  file->f_flags & O_NONBLOCK);
}

static ssize_t prompt_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	return llamux_prompt_write(file->private_data, (unsigned long)from, len,
				   file->f_flags & O_NONBLOCK);
}

static int prompt_release(struct inode *inode, struct file *file)
{
	llamux_prompt_release(file->private_data);
	return 0;
}

static const struct proc_ops prompt_ops = {
	.proc_open	= prompt_open,
	.proc_read	= prompt_read,
	.proc_write	= prompt_write,
	.proc_release	= prompt_release,
};

int llamux_proc_create(void)
{
	struct proc_dir_entry *dir = proc_mkdir("llamux", NULL);

	if (!dir || !proc_create_single("status", 0444, dir, llamux_status_show) ||
	    !proc_create_single("latency", 0444, dir, llamux_latency_show) ||
	    !proc_create_single("stats", 0444, dir, llamux_stats_show) ||
	    !proc_create("prompt", 0666, dir, &prompt_ops) ||
	    llamux_users_proc_create(dir))
		return -ENOMEM;
	return 0;
}
