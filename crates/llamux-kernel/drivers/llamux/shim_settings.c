// SPDX-License-Identifier: GPL-2.0-only
/*
 * The settings in /sys/kernel/llamux, for which there is no Rust abstraction.
 * What they say and do is in settings.rs.
 */
#include <linux/container_of.h>
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "shim.h"

/* The numbers are those of settings.rs. */
enum {
	THREADS,
	CPUS,
	NICE,
	SYSTEM_PROMPT,
	MAX_TOKENS,
	TEMPERATURE_MILLI,
	TOP_K,
	TOP_P_MILLI,
	MIN_P_MILLI,
	REPEAT_PENALTY_MILLI,
};

struct setting {
	struct kobj_attribute attr;
	u32 number;
};

static ssize_t show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	struct setting *setting = container_of(attr, struct setting, attr);

	return llamux_setting_show(setting->number, page, PAGE_SIZE);
}

static ssize_t store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
		     size_t len)
{
	struct setting *setting = container_of(attr, struct setting, attr);
	int err = llamux_setting_store(setting->number, text, len);

	return err ?: len;
}

#define READABLE(_name, _number) \
	static struct setting _name = { __ATTR(_name, 0444, show, NULL), _number }
#define WRITABLE(_name, _number) \
	static struct setting _name = { __ATTR(_name, 0644, show, store), _number }

READABLE(threads, THREADS);
READABLE(cpus, CPUS);
WRITABLE(nice, NICE);
WRITABLE(system_prompt, SYSTEM_PROMPT);
WRITABLE(max_tokens, MAX_TOKENS);
WRITABLE(temperature_milli, TEMPERATURE_MILLI);
WRITABLE(top_k, TOP_K);
WRITABLE(top_p_milli, TOP_P_MILLI);
WRITABLE(min_p_milli, MIN_P_MILLI);
WRITABLE(repeat_penalty_milli, REPEAT_PENALTY_MILLI);

static struct attribute *attrs[] = {
	&threads.attr.attr,
	&cpus.attr.attr,
	&nice.attr.attr,
	&system_prompt.attr.attr,
	NULL
};

static struct attribute *sampling_attrs[] = {
	&max_tokens.attr.attr,
	&temperature_milli.attr.attr,
	&top_k.attr.attr,
	&top_p_milli.attr.attr,
	&min_p_milli.attr.attr,
	&repeat_penalty_milli.attr.attr,
	NULL
};

static const struct attribute_group group = {
	.attrs	= attrs,
};

static const struct attribute_group sampling_group = {
	.name	= "sampling",
	.attrs	= sampling_attrs,
};

static const struct attribute_group *groups[] = { &group, &sampling_group, NULL };

int llamux_settings_create(struct kobject *dir)
{
	return sysfs_create_groups(dir, groups);
}
