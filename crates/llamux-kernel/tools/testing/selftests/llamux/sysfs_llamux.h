/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes and reads the files in /sys/kernel/llamux.
 */
#ifndef _SELFTESTS_LLAMUX_SYSFS_LLAMUX_H
#define _SELFTESTS_LLAMUX_SYSFS_LLAMUX_H

#include <dirent.h>
#include <fcntl.h>

#include "common.h"

#define SYSFS		"/sys/kernel/llamux/"
#define FIRMWARE	"/lib/firmware/llamux/"

/* Writes to one of the files; 0 or the errno. */
static inline int put_bytes(const char *file, const void *text, size_t len)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), SYSFS "%s", file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	err = write(fd, text, len) < 0 ? errno : 0;
	close(fd);
	return err;
}

static inline int put(const char *file, const char *text)
{
	return put_bytes(file, text, strlen(text));
}

/* Reads one of the files as text. */
static inline void get(const char *file, char *text, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), SYSFS "%s", file);
	fd = open(path, O_RDONLY);
	len = fd < 0 ? -1 : read(fd, text, size - 1);
	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Copies what the list of models says of one; false if it is not on the list. */
static inline bool field_of(const char *name, const char *key, char *value, size_t size)
{
	char list[8192], wanted[300], *line, *rest = list;

	get("models", list, sizeof(list));
	snprintf(wanted, sizeof(wanted), "name=%s ", name);
	while ((line = strsep(&rest, "\n"))) {
		char *at;

		if (strncmp(line, wanted, strlen(wanted)))
			continue;
		snprintf(wanted, sizeof(wanted), " %s=", key);
		at = strstr(line, wanted);
		if (!at)
			return false;
		at += strlen(wanted);
		/* The reason is last, and goes to the end of the line. */
		if (strcmp(key, "reason"))
			at[strcspn(at, " ")] = '\0';
		snprintf(value, size, "%s", at);
		return true;
	}
	return false;
}

static inline bool is(const char *name, const char *state)
{
	char value[64];

	return field_of(name, "state", value, sizeof(value)) && !strcmp(value, state);
}

static inline bool listed(const char *name)
{
	char value[64];

	return field_of(name, "state", value, sizeof(value));
}

static inline bool becomes(const char *name, const char *state)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (!is(name, state)) {
		if (now_ms() > end || (is(name, "failed") && strcmp(state, "failed")))
			return false;
		sleep_ms(2);
	}
	return true;
}

static inline bool vanishes(const char *name)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (listed(name)) {
		if (now_ms() > end)
			return false;
		sleep_ms(2);
	}
	return true;
}

static inline long long free_memory(void)
{
	return number_of(SYSFS "memory", "free");
}

static inline bool is_reserved(void)
{
	return number_of(SYSFS "memory", "reserved") > 0;
}

/* The last file that is neither the default model's nor made by a test. */
static inline bool find_second(const char *first, char *second, size_t size)
{
	DIR *dir = opendir(FIRMWARE);
	struct dirent *entry;

	*second = '\0';
	while (dir && (entry = readdir(dir))) {
		char *suffix = strstr(entry->d_name, ".gguf");

		if (!suffix || suffix[5] || !strncmp(entry->d_name, "selftest-", 9))
			continue;
		*suffix = '\0';
		if (strcmp(entry->d_name, first) && strcmp(entry->d_name, second) > 0)
			snprintf(second, size, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return *second;
}

#endif /* _SELFTESTS_LLAMUX_SYSFS_LLAMUX_H */
