/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_LLAMUX_H
#define _LINUX_LLAMUX_H

#include <linux/init.h>

#ifdef CONFIG_LLAMUX
void __init llamux_reserve(void);
#else
static inline void __init llamux_reserve(void) { }
#endif

#endif /* _LINUX_LLAMUX_H */
