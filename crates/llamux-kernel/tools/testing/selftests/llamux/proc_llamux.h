/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads what the files in /proc/llamux say, one "key: value" a line.
 */
#ifndef _SELFTESTS_LLAMUX_PROC_LLAMUX_H
#define _SELFTESTS_LLAMUX_PROC_LLAMUX_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS		"/proc/llamux/status"
#define LATENCY		"/proc/llamux/latency"

/* Copies the value of @key in a file of such lines; false if there is none. */
static inline bool value_of(const char *path, const char *key, char *value, size_t size)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen(path, "r");

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon++ = '\0';
		colon += strspn(colon, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		found = !strcmp(line, key);
		if (found)
			snprintf(value, size, "%s", colon);
	}
	fclose(file);
	return found;
}

/* The same as a number; -1 if it is none. */
static inline long long number_of(const char *path, const char *key)
{
	char value[64], *end;
	long long number;

	if (!value_of(path, key, value, sizeof(value)) || !*value)
		return -1;
	number = strtoll(value, &end, 10);
	return *end ? -1 : number;
}

static inline bool state_is(const char *state)
{
	char value[64];

	return value_of(STATUS, "state", value, sizeof(value)) && !strcmp(value, state);
}

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/*
 * Writes a question that nobody has asked before and that takes long to read: half
 * of the model's context, of which no cache knows anything. Its length.
 */
static inline size_t long_question(char *text, size_t size)
{
	long long words = number_of(STATUS, "context") / 4;
	struct timespec now;
	size_t len;

	clock_gettime(CLOCK_MONOTONIC, &now);
	len = snprintf(text, size, "%lld.%09ld:", (long long)now.tv_sec, now.tv_nsec);
	while (words-- > 0 && len + 8 < size)
		len += snprintf(text + len, size - len, " word");
	return len;
}

#endif /* _SELFTESTS_LLAMUX_PROC_LLAMUX_H */
