// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files in /sys/kernel/llamux, for which there is no Rust abstraction. What
 * they say and do is in models.rs.
 */
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "shim.h"

/* The numbers are those of models.rs. */
enum {
	LOAD,
	UNLOAD,
	DEFAULT,
	MODELS,
	MEMORY,
};

static ssize_t store(u32 file, const char *text, size_t len)
{
	int err = llamux_models_store(file, text, len);

	return err ?: len;
}

static ssize_t load_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			  size_t len)
{
	return store(LOAD, text, len);
}

static ssize_t unload_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			    size_t len)
{
	return store(UNLOAD, text, len);
}

static ssize_t models_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return llamux_models_show(MODELS, page, PAGE_SIZE);
}

static ssize_t default_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return llamux_models_show(DEFAULT, page, PAGE_SIZE);
}

static ssize_t default_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			     size_t len)
{
	return store(DEFAULT, text, len);
}

static ssize_t memory_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return llamux_models_show(MEMORY, page, PAGE_SIZE);
}

static struct kobj_attribute load_attr = __ATTR_WO(load);
static struct kobj_attribute unload_attr = __ATTR_WO(unload);
static struct kobj_attribute models_attr = __ATTR_RO(models);
static struct kobj_attribute default_attr = __ATTR_RW(default);
static struct kobj_attribute memory_attr = __ATTR_RO(memory);

static struct attribute *attrs[] = {
	&load_attr.attr,
	&unload_attr.attr,
	&models_attr.attr,
	&default_attr.attr,
	&memory_attr.attr,
	&llamux_limits_attr.attr,
	NULL
};

static const struct attribute_group group = {
	.attrs = attrs,
};

int llamux_sysfs_create(void)
{
	struct kobject *dir = kobject_create_and_add("llamux", kernel_kobj);
	int err;

	if (!dir)
		return -ENOMEM;
	err = sysfs_create_group(dir, &group) ?: llamux_settings_create(dir);
	if (err)
		kobject_put(dir);
	return err;
}
