// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a conversation costs: how long after it was chosen a token is there, and how
 * much memory the conversation takes. The figures are printed; the bounds are
 * loose, for kernels that check themselves and for processors that are emulated.
 *
 * All tests want a loaded model and root.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "common.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define TRACEFS		"/sys/kernel/tracing"
#define TOKEN		TRACEFS "/events/llamux/llamux_token/enable"
#define TOKENS		64
#define IDLE		512	/* conversations that nobody holds any more */
#define OPEN		64
#define ACTIVE		8

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

static int ascending(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

FIXTURE(cost)
{
	char text[16384];
};

FIXTURE_SETUP(cost)
{
	if (!model_is_ready())
		SKIP(return, "there is no model");
	if (geteuid())
		SKIP(return, "wants to be root");
	ASSERT_TRUE(status_becomes("sessions_active", 0));
}

FIXTURE_TEARDOWN(cost)
{
}

/* When each token was chosen, in microseconds of the monotonic clock; how many there are. */
static int traced(uint64_t *times, int most)
{
	FILE *file = fopen(TRACEFS "/trace", "r");
	char line[1024];
	int tokens = 0;

	while (file && fgets(line, sizeof(line), file)) {
		char *event = strstr(line, ": llamux_token: "), *begin = event;
		unsigned long long seconds, us;

		if (line[0] == '#' || !event || tokens == most)
			continue;
		while (begin > line && begin[-1] != ' ')
			begin--;
		if (sscanf(begin, "%llu.%6llu:", &seconds, &us) == 2)
			times[tokens++] = seconds * 1000000 + us;
	}
	if (file)
		fclose(file);
	return tokens;
}

TEST_F(cost, a_token_is_there_soon_after_it_was_chosen)
{
	struct llama_options rated = options();
	struct llama_logprob entries[TOKENS];
	struct llama_logprobs asked = { .entries = (uintptr_t)entries, .count = TOKENS };
	uint64_t chosen[TOKENS], late[TOKENS], read_at[4 * TOKENS], bound;
	size_t read_to[4 * TOKENS], len = 0;
	int tokens, reads = 0, fd;

	if (access(TOKEN, F_OK) && mount("none", TRACEFS, "tracefs", 0, NULL))
		SKIP(return, "no tracefs");
	if (access(TOKEN, W_OK))
		SKIP(return, "no tracepoints");
	rated.flags |= LLAMA_OPTION_LOGPROBS;
	rated.max_tokens = TOKENS;
	fd = open_with(rated, 0);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(put_file(TRACEFS "/trace_clock", "mono"));
	ASSERT_TRUE(put_file(TRACEFS "/trace", "\n"));
	ASSERT_TRUE(put_file(TOKEN, "1"));
	EXPECT_TRUE(say(fd, COUNT));
	for (;;) {
		ssize_t got = read(fd, self->text, sizeof(self->text));

		EXPECT_LE(0, got);
		if (got <= 0 || reads == ARRAY_SIZE(read_at))
			break;
		len += got;
		read_at[reads] = now_us();
		read_to[reads++] = len;
	}
	ASSERT_TRUE(put_file(TOKEN, "0"));
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_LOGPROBS, &asked), 0);
	tokens = traced(chosen, TOKENS);
	EXPECT_EQ(tokens, asked.count);
	ASSERT_LT(8, tokens);
	/* A token is there when the read is over that brought the last byte of its text. */
	for (int i = 0, at = 0; i < tokens; i++) {
		size_t end = i + 1 < tokens ? entries[i + 1].offset : len;

		while (at < reads - 1 && read_to[at] < end)
			at++;
		late[i] = read_at[at] > chosen[i] ? read_at[at] - chosen[i] : 0;
	}
	/* Where others want the processor as well, some wait for it; but not all. */
	bound = (chosen[tokens - 1] - chosen[0]) / (tokens - 1) / 2;
	if (bound < 5000)
		bound = 5000;
	qsort(late, tokens, sizeof(*late), ascending);
	TH_LOG("%d tokens in %d reads: one of ten within %llu us, half %llu us, nine of ten %llu us, all %llu us; one takes %llu us",
	       tokens, reads, (unsigned long long)late[tokens / 10], (unsigned long long)late[tokens / 2],
	       (unsigned long long)late[tokens * 9 / 10], (unsigned long long)late[tokens - 1],
	       (unsigned long long)(chosen[tokens - 1] - chosen[0]) / (tokens - 1));
	EXPECT_LT(late[tokens / 10], bound);
	/* Streamed, and not handed over as a whole. */
	EXPECT_LE(tokens / 2, reads);
	close(fd);
	EXPECT_TRUE(put_file(TRACEFS "/trace_clock", "local"));
}

/* So many conversations, each with a turn and its answer; false on error. */
static bool open_many(int *fds, int number, char *text, size_t size)
{
	struct llama_options short_one = options();

	short_one.max_tokens = 1;
	for (int i = 0; i < number; i++) {
		fds[i] = open_with(short_one, 0);
		if (fds[i] < 0 || !say(fds[i], COUNT) || read_answer(fds[i], text, size, 64) < 0)
			return false;
	}
	return true;
}

static void close_many(int *fds, int number)
{
	for (int i = 0; i < number; i++)
		close(fds[i]);
}

TEST_F(cost, an_idle_conversation_takes_a_page_at_most)
{
	struct rlimit limit = { 2 * IDLE, 2 * IDLE };
	long before, after;
	int fds[IDLE];

	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* What grows with the number of descriptors grows now. */
	ASSERT_EQ(dup2(0, 2 * IDLE - 1), 2 * IDLE - 1);
	ASSERT_TRUE(open_many(fds, 8, self->text, sizeof(self->text)));
	close_many(fds, 8);
	drain();
	before = unreclaimable_kb();
	ASSERT_TRUE(open_many(fds, IDLE, self->text, sizeof(self->text)));
	shrink_slabs();
	after = unreclaimable_kb();
	close_many(fds, IDLE);
	TH_LOG("%ld bytes for each of %d idle conversations", (after - before) * 1024 / IDLE, IDLE);
	EXPECT_LT(after - before, 4 * IDLE);
}

TEST_F(cost, many_conversations_of_which_some_are_answered)
{
	struct llama_options longer = options();
	long before, most = 0;
	int fds[OPEN];

	before = unreclaimable_kb();
	ASSERT_TRUE(open_many(fds, OPEN - ACTIVE, self->text, sizeof(self->text)));
	longer.max_tokens = 100;
	for (int i = OPEN - ACTIVE; i < OPEN; i++) {
		fds[i] = open_with(longer, 0);
		ASSERT_LE(0, fds[i]);
		ASSERT_TRUE(say(fds[i], COUNT));
	}
	while (number_of(STATUS, "sessions_active") > 0 || number_of(STATUS, "requests_waiting") > 0) {
		long now = unreclaimable_kb();

		if (now > most)
			most = now;
		sleep_ms(5);
	}
	for (int i = OPEN - ACTIVE; i < OPEN; i++) {
		EXPECT_LT(0, read_answer(fds[i], self->text, sizeof(self->text), 4096));
		EXPECT_EQ(info(fds[i]).error, 0);
	}
	close_many(fds, OPEN);
	TH_LOG("%ld KiB for %d conversations, of which %d were being answered", most - before, OPEN, ACTIVE);
	EXPECT_LT(most - before, 24 * 1024);
}

TEST_HARNESS_MAIN
