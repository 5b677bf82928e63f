/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What several of the tests need: to ask, and to wait for the driver and for children.
 */
#ifndef _SELFTESTS_LLAMUX_COMMON_H
#define _SELFTESTS_LLAMUX_COMMON_H

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/llamux.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc_llamux.h"

#ifndef __NR_llama_command
#define __NR_llama_command 600
#endif

#define PATIENCE_MS	120000	/* for anything that should happen at once */

/* Goes on for as long as it may. */
#define COUNT		"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,"
#define FOREVER		1000000

static inline long llama_command(struct llama_command *command, size_t size)
{
	return syscall(__NR_llama_command, command, size);
}

/* A question with the same answer each time, so many tokens long, and no buffer for it. */
static inline struct llama_command counting(unsigned int tokens)
{
	return (struct llama_command) {
		.flags = LLAMA_RAW | LLAMA_GREEDY | LLAMA_WAIT,
		.prompt = (uintptr_t)COUNT,
		.prompt_len = strlen(COUNT),
		.max_tokens = tokens,
		.repeat_penalty_milli = 1000,
	};
}

/* Waits until a number of the status is this one. */
static inline bool status_becomes(const char *key, long long number)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (number_of(STATUS, key) != number) {
		if (now_ms() > end)
			return false;
		sleep_ms(2);
	}
	return true;
}

/* Waits until the first model is loaded or is known not to come; whether it can be asked. */
static inline bool model_is_ready(void)
{
	while (state_is("loading"))
		sleep_ms(10);
	return state_is("ready");
}

/* Writes to a file, instead of what was there; whether it took it. */
static inline bool put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/*
 * The next task among those of @proc whose name begins with the driver's, and its name. Closes @proc
 * and returns 0 when there is none.
 */
static inline int next_thread(DIR *proc, char name[64])
{
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		char path[300];

		if (!isdigit(entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/status", entry->d_name);
		if (value_of(path, "Name", name, 64) && !strncmp(name, "llamux", 6))
			return atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return 0;
}

/* Waits for a child for a limited time; its wait status, or -1. */
static inline int reap(pid_t pid)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	int wait_status;

	for (;;) {
		pid_t done = waitpid(pid, &wait_status, WNOHANG);

		if (done == pid)
			return wait_status;
		if (done < 0 || now_ms() > end)
			return -1;
		sleep_ms(2);
	}
}

/* Kills a child; whether that is what it died of. */
static inline bool killed(pid_t pid)
{
	int wait_status;

	if (kill(pid, SIGKILL))
		return false;
	wait_status = reap(pid);
	return wait_status >= 0 && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL;
}

/* Waits until a child has ended, and well. */
static inline bool exited(pid_t pid)
{
	int wait_status = reap(pid);

	return wait_status >= 0 && WIFEXITED(wait_status) && !WEXITSTATUS(wait_status);
}

/* Has slabs give back what is free in them, and KASAN what it keeps to see who uses it. */
static inline void shrink_slabs(void)
{
	DIR *slabs = opendir("/sys/kernel/slab");
	struct dirent *entry;

	while (slabs && (entry = readdir(slabs))) {
		char path[300];
		int fd;

		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		fd = entry->d_name[0] == '.' ? -1 : open(path, O_WRONLY);
		if (fd < 0)
			continue;
		/* Those that cannot are none of ours. */
		if (write(fd, "1", 1) < 0)
			errno = 0;
		close(fd);
	}
	if (slabs)
		closedir(slabs);
}

/* Waits until what was freed is free: what kvfree_rcu() was given, for seconds. */
static inline void drain(void)
{
	sleep_ms(6500);
	shrink_slabs();
}

/* Kilobytes of the kernel that can not be given back. */
static inline long unreclaimable_kb(void)
{
	char line[256];
	long kb, sum = 0;
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %ld", &kb) == 1 ||
		    sscanf(line, "VmallocUsed: %ld", &kb) == 1)
			sum += kb;
	if (file)
		fclose(file);
	return sum;
}

#endif /* _SELFTESTS_LLAMUX_COMMON_H */
