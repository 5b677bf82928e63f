// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shrinker, for which there is no Rust abstraction. What it gives back is in
 * prompt.rs.
 */
#include <linux/errno.h>
#include <linux/shrinker.h>

#include "shim.h"

static unsigned long count_objects(struct shrinker *shrinker, struct shrink_control *sc)
{
	return llamux_answers_count() ?: SHRINK_EMPTY;
}

static unsigned long scan_objects(struct shrinker *shrinker, struct shrink_control *sc)
{
	long freed = llamux_answers_free(sc->nr_to_scan);

	return freed < 0 ? SHRINK_STOP : freed;
}

int llamux_shrinker_create(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "llamux");

	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = count_objects;
	shrinker->scan_objects = scan_objects;
	shrinker_register(shrinker);
	return 0;
}
