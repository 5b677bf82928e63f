// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is set in /sys/kernel/llamux.
 */
#include <ctype.h>
#include <stdint.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "sysfs_llamux.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

#define SYSTEM_MAX	1024

/* Asks with all that is 0 left to the settings; the tokens of the answer, or -1. */
static int ask(uint64_t flags, const char *prompt, char *text, size_t size,
	       unsigned int *prompt_tokens)
{
	struct llama_command command = {
		.flags = flags,
		.prompt = (uintptr_t)prompt,
		.prompt_len = strlen(prompt),
		.response = (uintptr_t)text,
		.response_len = size - 1,
	};
	long len;

	memset(text, 0, size);
	len = llama_command(&command, sizeof(command));
	if (prompt_tokens)
		*prompt_tokens = command.prompt_tokens;
	return len < 0 ? -1 : (int)command.response_tokens;
}

/* Numbers, and what they may be. */
static const struct {
	const char *file, *builtin;
	long least, most;
} numbers[] = {
	{ "sampling/max_tokens", "512", 1, 65536 },
	{ "sampling/temperature_milli", "800", 0, 10000 },
	{ "sampling/top_k", "40", 0, 1024 },
	{ "sampling/top_p_milli", "950", 1, 1000 },
	{ "sampling/min_p_milli", "50", 0, 1000 },
	{ "sampling/repeat_penalty_milli", "1000", 0, 10000 },
};

TEST(numbers_are_kept_within_their_bounds)
{
	static const char * const bad[] = { "", "\n", "x", "1x", "-1", "+1", " 1", "1 2", "0x1", "1\n\n" };

	if (geteuid())
		SKIP(return, "wants to be root");
	for (int i = 0; i < ARRAY_SIZE(numbers); i++) {
		const char *file = numbers[i].file;
		char text[64], now[64];

		get(file, now, sizeof(now));
		snprintf(text, sizeof(text), "%s\n", numbers[i].builtin);
		EXPECT_STREQ(now, text) TH_LOG("%s", file);
		for (int j = 0; j < ARRAY_SIZE(bad); j++) {
			/* Nothing is no write. */
			if (*bad[j])
				EXPECT_EQ(put(file, bad[j]), EINVAL) TH_LOG("%s: '%s'", file, bad[j]);
		}
		EXPECT_EQ(put_bytes(file, "1\0", 2), EINVAL);
		snprintf(text, sizeof(text), "%ld\n", numbers[i].most + 1);
		EXPECT_EQ(put(file, text), ERANGE) TH_LOG("%s", file);
		EXPECT_EQ(put(file, "4294967296"), ERANGE) TH_LOG("%s", file);
		if (numbers[i].least)
			EXPECT_EQ(put(file, "0"), ERANGE) TH_LOG("%s", file);
		get(file, text, sizeof(text));
		EXPECT_STREQ(text, now) TH_LOG("%s", file);
		for (int last = 0; last < 2; last++) {
			char is[64];

			snprintf(text, sizeof(text), "%ld\n",
				 last ? numbers[i].most : numbers[i].least);
			EXPECT_EQ(put(file, text), 0) TH_LOG("%s: %s", file, text);
			get(file, is, sizeof(is));
			EXPECT_STREQ(is, text) TH_LOG("%s", file);
		}
		EXPECT_EQ(put(file, now), 0);
	}
}

TEST(only_root_may_write_and_some_nobody)
{
	char text[64];

	if (geteuid())
		SKIP(return, "wants to be root first");
	EXPECT_EQ(put("threads", "1"), EACCES);
	EXPECT_EQ(put("cpus", "0"), EACCES);
	ASSERT_EQ(seteuid(65534), 0);
	for (int i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(put(numbers[i].file, "1"), EACCES) TH_LOG("%s", numbers[i].file);
	}
	EXPECT_EQ(put("nice", "1"), EACCES);
	EXPECT_EQ(put("system_prompt", "a"), EACCES);
	get("nice", text, sizeof(text));
	EXPECT_NE(text[0], '\0');
	EXPECT_EQ(seteuid(0), 0);
}

TEST(threads_and_processors_are_those_that_compute)
{
	char threads[64], cpus[64];

	get("cpus", cpus, sizeof(cpus));
	EXPECT_TRUE(isdigit(cpus[0])) TH_LOG("%s", cpus);
	if (!model_is_ready())
		SKIP(return, "there is no model");
	get("threads", threads, sizeof(threads));
	EXPECT_EQ(atoll(threads), number_of(STATUS, "threads"));
}

/* Whether all threads of the driver have this nice value, and there is one. */
static bool all_have(int nice)
{
	DIR *proc = opendir("/proc");
	bool all = true;
	char name[64];
	int pid, count = 0;

	while ((pid = next_thread(proc, name))) {
		all &= getpriority(PRIO_PROCESS, pid) == nice;
		count++;
	}
	return all && count;
}

TEST(threads_get_the_nice_value)
{
	static const struct {
		const char *text;
		int err;
	} bad[] = {
		{ "x", EINVAL }, { "-", EINVAL }, { "--1", EINVAL }, { "1.5", EINVAL },
		{ "20", ERANGE }, { "-21", ERANGE }, { "4294967296", ERANGE },
	};
	static const int good[] = { -20, 19, 7 };
	char before[64], text[64], now[64];

	if (geteuid())
		SKIP(return, "wants to be root");
	get("nice", before, sizeof(before));
	for (int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(put("nice", bad[i].text), bad[i].err) TH_LOG("%s", bad[i].text);
	}
	get("nice", now, sizeof(now));
	EXPECT_STREQ(now, before);
	for (int i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text), "%d\n", good[i]);
		EXPECT_EQ(put("nice", text), 0);
		get("nice", now, sizeof(now));
		EXPECT_STREQ(now, text);
		EXPECT_TRUE(all_have(good[i])) TH_LOG("%d", good[i]);
	}
	EXPECT_EQ(put("nice", before), 0);
}

TEST(callers_who_say_nothing_get_what_was_set)
{
	char one[8192], other[8192], greedy[8192];

	if (geteuid())
		SKIP(return, "wants to be root");
	if (!model_is_ready())
		SKIP(return, "there is no model");
	ASSERT_EQ(put("sampling/max_tokens", "24"), 0);
	ASSERT_EQ(put("sampling/temperature_milli", "0"), 0);
	EXPECT_LT(0, ask(LLAMA_RAW, "Once upon a time", one, sizeof(one), NULL));
	EXPECT_LT(0, ask(LLAMA_RAW, "Once upon a time", other, sizeof(other), NULL));
	EXPECT_LT(0, ask(LLAMA_RAW | LLAMA_GREEDY, "Once upon a time", greedy, sizeof(greedy), NULL));
	/* Without chance, and whatever the seeds are. */
	EXPECT_STREQ(one, other);
	EXPECT_STREQ(one, greedy);
	ASSERT_EQ(put("sampling/max_tokens", "3"), 0);
	EXPECT_GE(3, ask(LLAMA_RAW, "Once upon a time", other, sizeof(other), NULL));
	EXPECT_EQ(strncmp(one, other, strlen(other)), 0);
	EXPECT_EQ(put("sampling/max_tokens", numbers[0].builtin), 0);
	EXPECT_EQ(put("sampling/temperature_milli", numbers[1].builtin), 0);
}

TEST(wrong_system_prompts_are_refused)
{
	char text[SYSTEM_MAX + 2], now[SYSTEM_MAX + 8];

	if (geteuid())
		SKIP(return, "wants to be root");
	memset(text, 'a', sizeof(text));
	EXPECT_EQ(put_bytes("system_prompt", text, SYSTEM_MAX + 1), ERANGE);
	EXPECT_EQ(put("system_prompt", "a\xff"), EINVAL);
	EXPECT_EQ(put("system_prompt", "half a character \xe2\x82"), EINVAL);
	EXPECT_EQ(put("system_prompt", "a\x1b[2J"), EINVAL);
	EXPECT_EQ(put_bytes("system_prompt", "a\0b", 3), EINVAL);
	get("system_prompt", now, sizeof(now));
	EXPECT_STREQ(now, "");
	/* The line feed does not count. */
	text[SYSTEM_MAX] = '\n';
	EXPECT_EQ(put_bytes("system_prompt", text, SYSTEM_MAX + 1), 0);
	text[SYSTEM_MAX + 1] = '\0';
	get("system_prompt", now, sizeof(now));
	EXPECT_STREQ(now, text);
	EXPECT_EQ(put("system_prompt", "\n"), 0);
	get("system_prompt", now, sizeof(now));
	EXPECT_STREQ(now, "");
}

#define QUESTION	"Who are you?"
#define SYSTEM		"You are a lighthouse keeper, and have been one for forty years.\n" \
			"You say little, and nothing of computers, of which you have seen none."

TEST(questions_begin_with_the_system_prompt)
{
	unsigned int plain, raw, with, cached, again;
	char text[4096], now[SYSTEM_MAX + 8];
	long long before;

	if (geteuid())
		SKIP(return, "wants to be root");
	if (!model_is_ready())
		SKIP(return, "there is no model");
	ASSERT_EQ(put("sampling/max_tokens", "2"), 0);
	ASSERT_LE(0, ask(0, QUESTION, text, sizeof(text), &plain));
	ASSERT_LE(0, ask(LLAMA_RAW, QUESTION, text, sizeof(text), &raw));
	ASSERT_EQ(put("system_prompt", SYSTEM "\n"), 0);
	get("system_prompt", now, sizeof(now));
	EXPECT_STREQ(now, SYSTEM "\n");
	before = number_of(STATUS, "cached_tokens");
	ASSERT_LE(0, ask(0, "What is the sea?", text, sizeof(text), &with));
	/* It was computed before the question came, or was taken in. */
	EXPECT_LT(before, number_of(STATUS, "cached_tokens"));
	ASSERT_LE(0, ask(0, QUESTION, text, sizeof(text), &with));
	EXPECT_NE(with, plain);
	ASSERT_LE(0, ask(LLAMA_RAW, QUESTION, text, sizeof(text), &cached));
	EXPECT_EQ(cached, raw);
	ASSERT_EQ(put("system_prompt", "\n"), 0);
	ASSERT_LE(0, ask(0, QUESTION, text, sizeof(text), &again));
	EXPECT_EQ(again, plain);
	EXPECT_EQ(put("sampling/max_tokens", numbers[0].builtin), 0);
}

TEST_HARNESS_MAIN
