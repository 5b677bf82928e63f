/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_LLAMUX_H
#define _LINUX_LLAMUX_H

#include <linux/init.h>
#include <linux/types.h>

#ifdef CONFIG_LLAMUX
void __init llamux_reserve(void);

/*
 * The three lines at the end of a panic or an oops. They may be called from
 * anywhere, NMI included: they take no lock but printk()'s own and allocate
 * nothing. One of llamux_oops() is not said again by the panic that it leads to.
 */
void llamux_panic(const char *message);
/* @bug: the trap was the one of BUG(). */
void llamux_oops(bool bug);
/* Before llamux_oops(), if the oops is a page fault: where. */
void llamux_oops_address(unsigned long address);
#else
static inline void __init llamux_reserve(void) { }
static inline void llamux_panic(const char *message) { }
static inline void llamux_oops(bool bug) { }
static inline void llamux_oops_address(unsigned long address) { }
#endif

#endif /* _LINUX_LLAMUX_H */
