// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is asked about callers and about readers of files, and the files that
 * users.rs, limits.rs and roll.rs show, for which there is no Rust abstraction.
 */
#include <linux/capability.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>

#include "shim.h"

u64 llamux_now(void)
{
	return ktime_get_ns();
}

/* The number of the caller's control group (version 2); 0 if there are none. */
u64 llamux_caller_cgroup(void)
{
#ifdef CONFIG_CGROUPS
	guard(rcu)();
	return cgroup_id(task_dfl_cgroup(current));
#else
	return 0;
#endif
}

/* What the scheduler makes of the caller's nice level: 1024 for 0. */
u32 llamux_caller_weight(void)
{
	return current->se.load.weight >> SCHED_FIXEDPOINT_SHIFT;
}

bool llamux_caller_privileged(void)
{
	/* Most are not, and are not to be told of in the audit log for having asked. */
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

/* In the initial namespace. */
bool llamux_caller_administers(void)
{
	return capable(CAP_SYS_ADMIN);
}

/* The caller's process, and in @comm its name. */
int llamux_caller_pid(char *comm)
{
	BUILD_BUG_ON(TASK_COMM_LEN != LLAMUX_COMM_LEN);

	strscpy_pad(comm, current->comm, LLAMUX_COMM_LEN);
	return task_tgid_nr(current);
}

/* The user whose lines the reader of a file may see, or U64_MAX for all. */
u64 llamux_reader(struct seq_file *m)
{
	if (file_ns_capable(m->file, &init_user_ns, CAP_SYS_ADMIN))
		return U64_MAX;
	return __kuid_val(m->file->f_cred->euid);
}

int llamux_users_proc_create(struct proc_dir_entry *dir)
{
	if (!proc_create_single("usage", 0444, dir, llamux_usage_show) ||
	    !proc_create_single("sessions", 0444, dir, llamux_roll_show))
		return -ENOMEM;
	return 0;
}

static ssize_t limits_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return llamux_limits_show(page, PAGE_SIZE);
}

static ssize_t limits_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			    size_t len)
{
	int err = llamux_limits_store(text, len);

	return err ?: len;
}

struct kobj_attribute llamux_limits_attr = __ATTR_RW(limits);
