// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/llamux/stats, and the tracepoints.
 *
 * The tests of the fixture "model" need a loaded model, the others do not.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "common.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define STATS		"/proc/llamux/stats"
#define TRACEFS		"/sys/kernel/tracing"
#define EVENTS		TRACEFS "/events/llamux/enable"
#define TOKENS		8

static long count_on(unsigned int tokens)
{
	struct llama_command command = counting(tokens);

	return llama_command(&command, sizeof(command));
}

/* All classes of a histogram together; -1 if there is none. */
static long long total(const char *histogram)
{
	size_t len = strlen(histogram);
	long long sum = -1;
	char line[256];
	FILE *file = fopen(STATS, "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, histogram, len) ||
		    (strncmp(line + len, "_below_", 7) && strncmp(line + len, "_above:", 7)))
			continue;
		sum = (sum < 0 ? 0 : sum) + atoll(strchr(line, ':') + 1);
	}
	if (file)
		fclose(file);
	return sum;
}

static long long ended(void)
{
	static const char * const ends[] = { "end", "length", "buffer", "stopped", "failed" };
	long long sum = 0;

	for (int i = 0; i < ARRAY_SIZE(ends); i++) {
		char key[32];
		long long number;

		snprintf(key, sizeof(key), "requests_%s", ends[i]);
		number = number_of(STATS, key);
		if (number < 0)
			return -1;
		sum += number;
	}
	return sum;
}

FIXTURE(global) {};
FIXTURE_SETUP(global) {}
FIXTURE_TEARDOWN(global) {}

TEST_F(global, stats_has_its_counters_and_nobody_can_write_it)
{
	struct stat stat_buf;

	ASSERT_EQ(0, stat(STATS, &stat_buf));
	EXPECT_EQ(S_IFREG | 0444, stat_buf.st_mode);
	EXPECT_LE(0, ended());
	EXPECT_LE(0, total("queue"));
	EXPECT_LE(0, total("first_token"));
	EXPECT_LE(0, total("tokens_per_second"));
	EXPECT_LE(0, number_of(STATS, "haiku"));
	EXPECT_EQ(-1, total("nothing"));
}

FIXTURE(model) {};

FIXTURE_SETUP(model)
{
	if (!state_is("ready") && (count_on(1) < 0 && errno == ENODEV))
		SKIP(return, "no model");
	ASSERT_TRUE(state_is("ready"));
}

FIXTURE_TEARDOWN(model) {}

TEST_F(model, a_request_counts_once)
{
	long long all = ended(), length = number_of(STATS, "requests_length");
	long long queue = total("queue"), first = total("first_token");
	long long speed = total("tokens_per_second"), sections = total("fpu_section");

	ASSERT_LE(0, count_on(TOKENS));
	EXPECT_EQ(all + 1, ended());
	EXPECT_EQ(length + 1, number_of(STATS, "requests_length"));
	EXPECT_EQ(queue + 1, total("queue"));
	EXPECT_EQ(first + 1, total("first_token"));
	EXPECT_EQ(speed + 1, total("tokens_per_second"));
	EXPECT_LT(sections, total("fpu_section"));
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

/* How many lines of the trace have @text. */
static int traced(const char *text)
{
	char line[1024];
	int lines = 0;
	FILE *file = fopen(TRACEFS "/trace", "r");

	while (file && fgets(line, sizeof(line), file))
		lines += line[0] != '#' && strstr(line, text);
	if (file)
		fclose(file);
	return lines;
}

TEST_F(model, what_happens_is_traced)
{
	char request[64];

	if (access(EVENTS, F_OK) && mount("none", TRACEFS, "tracefs", 0, NULL))
		SKIP(return, "no tracefs");
	if (access(EVENTS, W_OK))
		SKIP(return, "no tracepoints");
	ASSERT_TRUE(write_file(TRACEFS "/trace", ""));
	ASSERT_TRUE(write_file(TRACEFS "/buffer_size_kb", "8192"));
	ASSERT_TRUE(write_file(EVENTS, "1"));
	EXPECT_LE(0, count_on(TOKENS));
	ASSERT_TRUE(write_file(EVENTS, "0"));

	snprintf(request, sizeof(request), " tokens=%d error=0 ", TOKENS);
	EXPECT_EQ(1, traced(": llamux_request: owner=0 "));
	EXPECT_EQ(1, traced(request));
	EXPECT_EQ(TOKENS, traced(": llamux_token: owner=0 count="));
	EXPECT_EQ(1, traced(": llamux_token: owner=0 count=1\n"));
	EXPECT_LT(TOKENS, traced(": llamux_fpu_section: thread="));

	ASSERT_TRUE(write_file(TRACEFS "/trace", ""));
	EXPECT_LE(0, count_on(TOKENS));
	EXPECT_EQ(0, traced(": llamux_token: "));
	EXPECT_EQ(0, traced(": llamux_fpu_section: "));
}

TEST_HARNESS_MAIN
