/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A conversation through /dev/llama.
 */
#ifndef _SELFTESTS_LLAMUX_SESSION_H
#define _SELFTESTS_LLAMUX_SESSION_H

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>

#include "common.h"

#define DEVICE		"/dev/llama"

/* The same answer each time, and not a long one. */
static inline struct llama_options options(void)
{
	return (struct llama_options) {
		.flags = LLAMA_OPTION_RAW | LLAMA_OPTION_GREEDY,
		.max_tokens = 8,
		.repeat_penalty_milli = 1000,
	};
}

static inline int open_with(struct llama_options options, int flags)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC | flags);

	if (fd >= 0 && ioctl(fd, LLAMA_IOC_SET, &options)) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int open_session(void)
{
	return open_with(options(), 0);
}

static inline bool say(int fd, const char *text)
{
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Reads an answer in pieces of @piece bytes; its length, or -1. */
static inline ssize_t read_answer(int fd, char *text, size_t size, size_t piece)
{
	size_t len = 0;

	for (;;) {
		size_t room = size - 1 - len < piece ? size - 1 - len : piece;
		ssize_t got = read(fd, text + len, room);

		if (got < 0)
			return -1;
		len += got;
		text[len] = '\0';
		if (!got || len == size - 1)
			return len;
	}
}

static inline struct llama_session info(int fd)
{
	struct llama_session session = { 0 };

	if (ioctl(fd, LLAMA_IOC_INFO, &session))
		session.state = UINT_MAX;
	return session;
}

#endif /* _SELFTESTS_LLAMUX_SESSION_H */
