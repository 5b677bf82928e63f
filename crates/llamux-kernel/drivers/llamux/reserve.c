// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is set aside at boot for the model: llamux_mem=SIZE.
 *
 * It is taken from memblock before the page allocator is up, because later
 * nobody could find so much of it in one piece.
 */
#define pr_fmt(fmt) "llamux: " fmt

#include <linux/init.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/llamux.h>
#include <linux/memblock.h>
#include <linux/sizes.h>

#ifdef CONFIG_UML
#include <os.h>
#endif

#include "shim.h"

static phys_addr_t wanted __initdata = (phys_addr_t)CONFIG_LLAMUX_MEM_MB * SZ_1M;

static struct resource llamux_resource = {
	.name	= "Llamux",
	.flags	= IORESOURCE_MEM | IORESOURCE_BUSY,
};

static int __init llamux_mem_setup(char *p)
{
	char *end;
	phys_addr_t size;

	if (!p || !*p)
		return -EINVAL;
	size = memparse(p, &end);
	if (*end) {
		pr_err("llamux_mem=%s: not a size; write for example llamux_mem=512M\n", p);
		return -EINVAL;
	}
	wanted = size;
	return 0;
}
early_param("llamux_mem", llamux_mem_setup);

void __init llamux_reserve(void)
{
	phys_addr_t size = PAGE_ALIGN(wanted), start, end;

	llamux_find_in_place();
	if (!size)
		return;
	start = memblock_phys_alloc(size, SZ_2M);
	if (!start) {
		pr_err("llamux_mem=%lluM: no free range of memory is so large (%lluM in all)\n",
		       (u64)size / SZ_1M, (u64)memblock_phys_mem_size() / SZ_1M);
		return;
	}
	end = start + size - 1;
	llamux_resource.start = start;
	llamux_resource.end = end;
	pr_info("reserved %lluM at [mem %pa-%pa]\n", (u64)size / SZ_1M, &start, &end);
}

/*
 * A PC maps the memory in large pages. The host of User Mode Linux has to be
 * asked, once each of them has a page, and may refuse.
 */
static void enlarge_pages(char *start, size_t size)
{
#ifdef CONFIG_UML
	size_t at;

	for (at = 0; at < size; at += SZ_2M)
		start[at] = 0;
	os_collapse_memory(start, size);
#endif
}

/* The start of the reserved memory in the direct mapping, or NULL. */
void *llamux_reserved(size_t *size)
{
	void *start;

	if (!llamux_resource.end)
		return NULL;
	*size = resource_size(&llamux_resource);
	start = phys_to_virt(llamux_resource.start);
	enlarge_pages(start, *size);
	return start;
}

static int __init llamux_resource_init(void)
{
	if (llamux_resource.end && insert_resource(&iomem_resource, &llamux_resource))
		pr_warn("%pR is not listed in /proc/iomem: it conflicts\n", &llamux_resource);
	return 0;
}
late_initcall(llamux_resource_init);
