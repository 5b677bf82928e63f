// SPDX-License-Identifier: GPL-2.0-only
/*
 * Models at the head of the initrd, which are used where they lie.
 *
 * They are found while memblock still has all memory, as microcode is, and cut
 * off the front of the initrd: so nobody unpacks them, and nobody frees their
 * pages but whoever unloads them.
 */
#define pr_fmt(fmt) "llamux: " fmt

#include <linux/align.h>
#include <linux/atomic.h>
#include <linux/hex.h>
#include <linux/init.h>
#include <linux/initrd.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/stat.h>
#include <linux/string.h>

#ifdef CONFIG_UML
#include <os.h>
#endif

#include "shim.h"

#define DIR		"lib/firmware/llamux/"
#define SUFFIX		".gguf"
#define ALIGNMENT	32	/* of the data, as tensors have it in the file */
#define MODELS_MAX	4

struct in_place {
	char name[NAME_MAX + 1];	/* without DIR and SUFFIX */
	char *data;
	size_t size;
	atomic_t taken;
};

static struct in_place models[MODELS_MAX];
static unsigned int count;

/*
 * The header of a cpio archive's member, in the format that the kernel unpacks:
 * a magic number of six digits and 13 numbers of eight. Its name and its data
 * follow, each up to a multiple of four bytes. See
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#define HEADER	110
enum {
	MODE		= 1,
	FILE_SIZE	= 6,
	NAME_SIZE	= 11,
};

struct member {
	const char *name;
	u32 mode;
	char *data;
	size_t size;
	char *next;
};

/* One of the numbers of the header at @at. */
static bool __init number(const char *at, unsigned int index, u32 *value)
{
	*value = 0;
	at += 6 + 8 * index;
	for (int i = 0; i < 8; i++) {
		int digit = hex_to_bin(at[i]);

		if (digit < 0)
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/*
 * Reads the member at @at. Returns -ENOENT if there is none, -EMSGSIZE if its
 * data do not end before @end.
 */
static int __init read_member(char *at, char *end, struct member *member)
{
	u32 size, name_size;

	if (end - at < HEADER || (memcmp(at, "070701", 6) && memcmp(at, "070702", 6)) ||
	    !number(at, MODE, &member->mode) || !number(at, FILE_SIZE, &size) ||
	    !number(at, NAME_SIZE, &name_size))
		return -ENOENT;
	member->name = at + HEADER;
	if (!name_size || name_size > PATH_MAX || name_size > end - member->name ||
	    strnlen(member->name, name_size) == name_size)
		return -ENOENT;
	member->data = PTR_ALIGN(at + HEADER + name_size, 4);
	member->size = size;
	if (member->data > end || size > end - member->data)
		return -EMSGSIZE;
	member->next = min(PTR_ALIGN(member->data + size, 4), end);
	return 0;
}

/* The model's name and its length if @path is one's, else NULL. */
static const char *__init model_name(const char *path, size_t *len)
{
	path += strspn(path, "./");
	if (strstarts(path, "usr/"))
		path += strlen("usr/");
	if (!strstarts(path, DIR))
		return NULL;
	path += strlen(DIR);
	*len = strlen(path);
	if (strchr(path, '/') || *len <= strlen(SUFFIX) || *len > NAME_MAX ||
	    strcmp(path + *len - strlen(SUFFIX), SUFFIX))
		return NULL;
	*len -= strlen(SUFFIX);
	return path;
}

void __init llamux_find_in_place(void)
{
	struct member member;
	char *start, *at, *rest = NULL, *end;
	unsigned int more = 0;
	int err;

	if (!IS_ENABLED(CONFIG_BLK_DEV_INITRD) || !initrd_start)
		return;
	start = (char *)initrd_start;
	end = (char *)initrd_end;
	for (at = start; ; at = member.next) {
		const char *name;
		size_t len;

		err = read_member(at, end, &member);
		if (err == -ENOENT)
			break;
		name = model_name(member.name, &len);
		if (err) {
			if (name)
				pr_warn("%s is not used in place: the initrd ends before it does\n",
					member.name);
			return;
		}
		if (!name) {
			if (S_ISDIR(member.mode))
				continue;
			/* The end of the archive belongs to what is kept. */
			if (rest && !strcmp(member.name, "TRAILER!!!"))
				rest = member.next;
			break;
		}
		if (!S_ISREG(member.mode) || more == MODELS_MAX)
			break;
		if (!IS_ALIGNED((unsigned long)member.data, ALIGNMENT)) {
			pr_info("%s is not used in place: it begins %lu bytes behind a multiple of %u\n",
				member.name, (unsigned long)member.data % ALIGNMENT, ALIGNMENT);
			break;
		}
		models[more].data = member.data;
		models[more].size = member.size;
		memcpy(models[more].name, name, len);
		more++;
		rest = member.next;
	}
	if (!rest)
		return;
	/* Whole pages are freed when the rest was unpacked. */
	while (rest < end && !*rest && (rest - start) % PAGE_SIZE)
		rest++;
	if (rest < end && (rest - start) % PAGE_SIZE) {
		pr_warn("%s" SUFFIX " is not used in place: what follows does not begin with a page of the initrd\n",
			models[more - 1].name);
		return;
	}
	if (rest < end)
		initrd_start = (unsigned long)rest;
	else
		initrd_start = initrd_end = 0;
	count = more;
	for (unsigned int i = 0; i < count; i++) {
		phys_addr_t first = __pa(models[i].data), last = first + models[i].size - 1;

		pr_info("%s" SUFFIX " is used in place, at [mem %pa-%pa]\n", models[i].name, &first,
			&last);
	}
}

/*
 * The number of the model called @name, or of the first one if it is NULL, that
 * nobody has taken. Leaves in @path where it would be if it was unpacked.
 */
int llamux_in_place_find(const char *name, char *path, size_t path_size, size_t *size)
{
	for (unsigned int i = 0; i < count; i++) {
		if (atomic_read(&models[i].taken) || (name && strcmp(models[i].name, name)))
			continue;
		snprintf(path, path_size, "/" DIR "%s" SUFFIX, models[i].name);
		*size = models[i].size;
		return i;
	}
	return -ENOENT;
}

/* Its bytes, or NULL if somebody has taken them. */
void *llamux_in_place_take(unsigned int index)
{
	struct in_place *model = &models[index];

	if (atomic_cmpxchg(&model->taken, 0, 1))
		return NULL;
#ifdef CONFIG_UML
	/* As for memory that is reserved; the host may refuse. */
	os_collapse_memory(PTR_ALIGN(model->data, PAGE_SIZE),
			   ALIGN_DOWN(model->size, PAGE_SIZE));
#endif
	return model->data;
}

/*
 * Gives them back: if they were @used, to the page allocator, but for the pages
 * at both ends if these have something else, too.
 */
void llamux_in_place_give(unsigned int index, bool used)
{
	struct in_place *model = &models[index];
	char *start = PTR_ALIGN(model->data, PAGE_SIZE);
	char *end = PTR_ALIGN_DOWN(model->data + model->size, PAGE_SIZE);

	if (!used)
		atomic_set_release(&model->taken, 0);
	else if (start < end)
		free_reserved_area(start, end, -1, NULL);
}
