// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device needs of the kernel and finds no Rust abstraction for.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "shim.h"

int llamux_struct_from_user(void *dst, size_t ksize, unsigned long src, size_t usize)
{
	if (usize > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(dst, ksize, (void __user *)src, usize);
}
