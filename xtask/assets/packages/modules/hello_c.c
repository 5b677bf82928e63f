// SPDX-License-Identifier: GPL-2.0-only OR MIT

/*
 * A module in C that says hello and good-bye.
 */

#include <linux/init.h>
#include <linux/module.h>
#include <linux/slab.h>

static char *name;

static int __init hello_init(void)
{
	name = kstrdup("C", GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	pr_info("hello from %s\n", name);
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("good-bye from %s\n", name);
	kfree(name);
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_DESCRIPTION("Says hello");
MODULE_LICENSE("Dual MIT/GPL");
