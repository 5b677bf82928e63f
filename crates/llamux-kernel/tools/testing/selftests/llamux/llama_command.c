// SPDX-License-Identifier: GPL-2.0-only
/*
 * llama_command(2) and /proc/llamux/status.
 *
 * The tests of the fixture "model" need a loaded model, the others (fixture
 * "global", "llama_command -f global") do not. They ask for few tokens, so that
 * a debug kernel with a small model gets through in minutes, and expect nothing
 * of the model but that it goes on counting.
 */
#include <fcntl.h>
#include <linux/llamux.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "kselftest_harness.h"
#include "common.h"
#include "grammars.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define FILL		0xa5	/* bytes that nobody should have written */

/* A valid question without a buffer for the answer. */
static struct llama_command question(const char *prompt)
{
	return (struct llama_command) {
		.flags = LLAMA_RAW | LLAMA_GREEDY | LLAMA_WAIT,
		.prompt = (uintptr_t)prompt,
		.prompt_len = strlen(prompt),
		.max_tokens = 8,
		.repeat_penalty_milli = 1000,
	};
}

/* One that is refused for its prompt, so after all else was found good. */
static struct llama_command not_utf8(void)
{
	return question("\xff");
}

static struct llama_command constrained(const char *prompt, const void *grammar, size_t size)
{
	struct llama_command command = question(prompt);

	command.grammar = (uintptr_t)grammar;
	command.grammar_len = size;
	return command;
}

/* The errno of a call that should fail, 0 if it does not. */
static int refusal(struct llama_command command)
{
	return llama_command(&command, sizeof(command)) < 0 ? errno : 0;
}

struct answer {
	long ret;
	int err;
	struct llama_command command;
	char text[8192];
};

static void ask(struct llama_command command, struct answer *answer)
{
	memset(answer->text, 0, sizeof(answer->text));
	command.response = (uintptr_t)answer->text;
	command.response_len = sizeof(answer->text) - 1;
	answer->ret = llama_command(&command, sizeof(command));
	answer->err = answer->ret < 0 ? errno : 0;
	answer->command = command;
}

static long long status_number(const char *key)
{
	return number_of(STATUS, key);
}

static long mem_available_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && kb < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "MemAvailable: %ld", &kb);
	if (file)
		fclose(file);
	return kb;
}

/* Memory that children share. */
static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* A child that asks, leaves the answer in @answer and exits. */
static pid_t ask_in_child(struct llama_command command, struct answer *answer)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ask(command, answer);
	_exit(0);
}

/*
 * Without a model: what is wrong with the arguments is found before the model
 * is looked for.
 */

/* First, for the model may still be loading. */
TEST(loading_model_gives_eagain_unless_waited_for)
{
	bool seen = false;

	if (!state_is("loading"))
		SKIP(return, "the model is loaded already, or there is none");
	while (state_is("loading")) {
		struct llama_command command = question(COUNT);
		int err;

		command.flags &= ~LLAMA_WAIT;
		err = refusal(command);
		if (!state_is("loading"))
			break;
		ASSERT_EQ(err, EAGAIN);
		seen = true;
		sleep_ms(10);
	}
	if (!seen)
		SKIP(return, "the model was loaded in that moment");
}

TEST(waiting_for_a_loading_model_can_time_out)
{
	struct llama_command command = question(COUNT);
	int err;

	if (!state_is("loading"))
		SKIP(return, "the model is loaded already, or there is none");
	command.timeout_ms = 1;
	err = refusal(command);
	if (state_is("loading")) {
		EXPECT_EQ(err, ETIMEDOUT);
	}
}

TEST(missing_model_gives_enodev_and_a_reason)
{
	struct llama_command command = question(COUNT);
	char reason[4096];

	while (state_is("loading"))
		sleep_ms(10);
	if (state_is("ready"))
		SKIP(return, "there is a model");
	ASSERT_TRUE(state_is("unavailable"));
	EXPECT_EQ(refusal(command), ENODEV);
	command.flags &= ~LLAMA_WAIT;
	EXPECT_EQ(refusal(command), ENODEV);
	ASSERT_TRUE(value_of(STATUS, "reason", reason, sizeof(reason)));
	EXPECT_NE(reason[0], '\0');
	/* Arguments are still checked first. */
	EXPECT_EQ(refusal(not_utf8()), EILSEQ);
}

TEST(short_structure_gives_einval)
{
	static const size_t sizes[] = { 0, 1, 8, LLAMA_COMMAND_SIZE_VER0 - 1 };
	struct llama_command command = not_utf8();

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		errno = 0;
		EXPECT_EQ(llama_command(&command, sizes[i]), -1);
		EXPECT_EQ(errno, EINVAL) TH_LOG("size %zu", sizes[i]);
	}
}

TEST(structure_has_its_published_sizes)
{
	struct llama_command command = not_utf8();

	EXPECT_EQ(offsetof(struct llama_command, grammar), LLAMA_COMMAND_SIZE_VER0);
	EXPECT_EQ(offsetof(struct llama_command, session), LLAMA_COMMAND_SIZE_VER1);
	EXPECT_EQ(sizeof(struct llama_command), LLAMA_COMMAND_SIZE_VER2);
	EXPECT_EQ(refusal(command), EILSEQ);
	/* What is behind the first size is not looked at. */
	command.grammar = 1;
	EXPECT_EQ(refusal(command), EINVAL);
	errno = 0;
	EXPECT_EQ(llama_command(&command, LLAMA_COMMAND_SIZE_VER0), -1);
	EXPECT_EQ(errno, EILSEQ);
	/* Nor what is behind the second. */
	command = not_utf8();
	command.session = 1;
	EXPECT_EQ(refusal(command), EINVAL);
	EXPECT_EQ(llama_command(&command, LLAMA_COMMAND_SIZE_VER1), -1);
	EXPECT_EQ(errno, EILSEQ);
	command = not_utf8();
	command.reserved = 1;
	EXPECT_EQ(refusal(command), EINVAL);
}

TEST(longer_structure_is_taken_if_its_tail_is_zero)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct llama_command command = not_utf8();
	unsigned char *memory = calloc(1, page);

	ASSERT_NE(memory, NULL);
	memcpy(memory, &command, sizeof(command));
	for (size_t size = sizeof(command); size <= page; size += size < 128 ? 1 : 331) {
		errno = 0;
		EXPECT_EQ(llama_command((void *)memory, size), -1);
		EXPECT_EQ(errno, EILSEQ) TH_LOG("size %zu", size);
	}
	for (size_t size = sizeof(command) + 1; size <= page; size += size < 128 ? 1 : 331) {
		memory[size - 1] = 1;
		errno = 0;
		EXPECT_EQ(llama_command((void *)memory, size), -1);
		EXPECT_EQ(errno, E2BIG) TH_LOG("size %zu", size);
		/* What lies behind the structure is not looked at. */
		errno = 0;
		EXPECT_EQ(llama_command((void *)memory, size - 1), -1);
		EXPECT_EQ(errno, EILSEQ) TH_LOG("size %zu", size - 1);
		memory[size - 1] = 0;
	}
	free(memory);
}

TEST(huge_structure_gives_e2big)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t sizes[] = { page + 1, 2 * page, INT32_MAX, UINT32_MAX, SIZE_MAX / 2 + 1, SIZE_MAX };
	unsigned char *memory = calloc(2, page);
	struct llama_command command = not_utf8();

	ASSERT_NE(memory, NULL);
	memcpy(memory, &command, sizeof(command));
	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		errno = 0;
		EXPECT_EQ(llama_command((void *)memory, sizes[i]), -1);
		EXPECT_EQ(errno, E2BIG) TH_LOG("size %zu", sizes[i]);
	}
	free(memory);
}

TEST(bad_address_of_the_structure_gives_efault)
{
	uintptr_t addresses[] = { 0, 8, ~0xfffUL, ~0UL, 1UL << 63 };

	for (int i = 0; i < ARRAY_SIZE(addresses); i++) {
		errno = 0;
		EXPECT_EQ(llama_command((void *)addresses[i], sizeof(struct llama_command)), -1);
		EXPECT_EQ(errno, EFAULT) TH_LOG("address %#lx", (unsigned long)addresses[i]);
	}
}

TEST(structure_at_the_edge_of_memory)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct llama_command command = not_utf8();
	unsigned char *memory, *edge;

	memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(memory, MAP_FAILED);
	ASSERT_EQ(munmap(memory + 2 * page, page), 0);

	/* Across two pages, at any alignment. */
	for (int offset = 1; offset < (int)sizeof(command); offset += 7) {
		edge = memory + page - offset;
		memcpy(edge, &command, sizeof(command));
		errno = 0;
		EXPECT_EQ(llama_command((void *)edge, sizeof(command)), -1);
		EXPECT_EQ(errno, EILSEQ) TH_LOG("offset %d", offset);
		memset(edge, 0, sizeof(command));
	}
	/* Up to the last byte. */
	edge = memory + 2 * page - sizeof(command);
	memcpy(edge, &command, sizeof(command));
	errno = 0;
	EXPECT_EQ(llama_command((void *)edge, sizeof(command)), -1);
	EXPECT_EQ(errno, EILSEQ);
	/* A tail that is not there. */
	errno = 0;
	EXPECT_EQ(llama_command((void *)edge, sizeof(command) + 8), -1);
	EXPECT_EQ(errno, EFAULT);
	/* A structure of which the second half is not there. */
	edge += sizeof(command) / 2;
	errno = 0;
	EXPECT_EQ(llama_command((void *)edge, sizeof(command)), -1);
	EXPECT_EQ(errno, EFAULT);
	munmap(memory, 2 * page);
}

TEST(unknown_flags_give_einval)
{
	for (int bit = 4; bit < 64; bit++) {
		struct llama_command command = not_utf8();

		command.flags |= 1ULL << bit;
		EXPECT_EQ(refusal(command), EINVAL) TH_LOG("bit %d", bit);
	}
}

TEST(values_out_of_range_give_einval)
{
	static const struct {
		const char *name;
		size_t offset;
		uint32_t most;
	} fields[] = {
		{ "temperature", offsetof(struct llama_command, temperature_milli), 10000 },
		{ "top_p", offsetof(struct llama_command, top_p_milli), 1000 },
		{ "min_p", offsetof(struct llama_command, min_p_milli), 1000 },
		{ "repeat_penalty", offsetof(struct llama_command, repeat_penalty_milli), 10000 },
	};

	for (int i = 0; i < ARRAY_SIZE(fields); i++) {
		struct llama_command command = not_utf8();
		uint32_t *field = (void *)((char *)&command + fields[i].offset);

		*field = fields[i].most;
		EXPECT_EQ(refusal(command), EILSEQ) TH_LOG("%s", fields[i].name);
		*field = fields[i].most + 1;
		EXPECT_EQ(refusal(command), EINVAL) TH_LOG("%s", fields[i].name);
		*field = UINT32_MAX;
		EXPECT_EQ(refusal(command), EINVAL) TH_LOG("%s", fields[i].name);
	}
}

TEST(empty_prompt_gives_einval)
{
	struct llama_command command = question("");

	EXPECT_EQ(refusal(command), EINVAL);
	command.prompt = 0;
	EXPECT_EQ(refusal(command), EINVAL);
}

TEST(bad_address_of_the_prompt_gives_efault)
{
	uintptr_t addresses[] = { 0, 8, ~0xfffUL, ~0UL, 1UL << 63 };
	size_t page = sysconf(_SC_PAGESIZE);
	struct llama_command command = question(COUNT);
	char *memory;

	for (int i = 0; i < ARRAY_SIZE(addresses); i++) {
		command.prompt = addresses[i];
		EXPECT_EQ(refusal(command), EFAULT)
			TH_LOG("address %#lx", (unsigned long)addresses[i]);
	}
	/* The last byte of it. */
	memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(memory, MAP_FAILED);
	ASSERT_EQ(munmap(memory + page, page), 0);
	memset(memory, 'x', page);
	command.prompt = (uintptr_t)memory;
	command.prompt_len = page + 1;
	EXPECT_EQ(refusal(command), EFAULT);
	munmap(memory, page);
}

TEST(null_response_with_a_length_gives_einval)
{
	struct llama_command command = not_utf8();

	command.response_len = 1;
	EXPECT_EQ(refusal(command), EINVAL);
}

TEST(prompt_that_is_not_utf8_gives_eilseq)
{
	static const char *const prompts[] = {
		"\x80",			/* a continuation without a beginning */
		"abc\xc3",		/* cut */
		"\xc0\xaf",		/* overlong */
		"\xe0\x80\xaf",		/* overlong */
		"\xed\xa0\x80",		/* a surrogate */
		"\xf4\x90\x80\x80",	/* above U+10FFFF */
		"\xfe",
		"a\xff z",
	};

	for (int i = 0; i < ARRAY_SIZE(prompts); i++) {
		EXPECT_EQ(refusal(question(prompts[i])), EILSEQ) TH_LOG("prompt %d", i);
	}
}

TEST(prompt_longer_than_the_limit_gives_emsgsize)
{
	static const uint64_t lengths[] = {
		LLAMA_PROMPT_MAX + 1ULL, 1ULL << 32, 1ULL << 63, UINT64_MAX,
	};
	struct llama_command command = question(COUNT);
	char *prompt;

	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		command.prompt_len = lengths[i];
		EXPECT_EQ(refusal(command), EMSGSIZE) TH_LOG("%#llx", (long long)lengths[i]);
	}
	/* The longest one is read, and found to be bad at its end. */
	prompt = malloc(LLAMA_PROMPT_MAX);
	ASSERT_NE(prompt, NULL);
	memset(prompt, 'a', LLAMA_PROMPT_MAX);
	prompt[LLAMA_PROMPT_MAX - 1] = 0xc3;
	command.prompt = (uintptr_t)prompt;
	command.prompt_len = LLAMA_PROMPT_MAX;
	EXPECT_EQ(refusal(command), EILSEQ);
	free(prompt);
}

TEST(grammar_and_its_length_go_together)
{
	EXPECT_EQ(refusal(constrained(COUNT, yes_or_no, 0)), EINVAL);
	EXPECT_EQ(refusal(constrained(COUNT, NULL, 1)), EINVAL);
}

TEST(bad_address_of_the_grammar_gives_efault)
{
	uintptr_t addresses[] = { 8, ~0xfffUL, ~0UL, 1UL << 63 };
	size_t page = sysconf(_SC_PAGESIZE);
	char *memory;

	for (int i = 0; i < ARRAY_SIZE(addresses); i++) {
		EXPECT_EQ(refusal(constrained(COUNT, (void *)addresses[i], 100)), EFAULT)
			TH_LOG("address %#lx", (unsigned long)addresses[i]);
	}
	/* The last byte of it. */
	memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(memory, MAP_FAILED);
	ASSERT_EQ(munmap(memory + page, page), 0);
	EXPECT_EQ(refusal(constrained(COUNT, memory, page + 1)), EFAULT);
	munmap(memory, page);
}

TEST(grammar_longer_than_the_limit_gives_emsgsize)
{
	static const uint64_t lengths[] = {
		LLAMA_GRAMMAR_MAX + 1ULL, 1ULL << 32, 1ULL << 63, UINT64_MAX,
	};
	char *grammar;

	for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
		EXPECT_EQ(refusal(constrained(COUNT, yes_or_no, lengths[i])), EMSGSIZE)
			TH_LOG("%#llx", (long long)lengths[i]);
	}
	/* The longest one is read, and found to be none. */
	grammar = calloc(1, LLAMA_GRAMMAR_MAX);
	ASSERT_NE(grammar, NULL);
	EXPECT_EQ(refusal(constrained(COUNT, grammar, LLAMA_GRAMMAR_MAX)), EBADMSG);
	free(grammar);
}

TEST(damaged_grammar_gives_ebadmsg)
{
	unsigned char grammar[sizeof(yes_or_no) + 1] = {};
	/* The first byte, a number of states, an edge's target, and one byte more. */
	static const int places[] = { 0, 12, sizeof(yes_or_no) - 1, sizeof(yes_or_no) };

	for (int size = 1; size < sizeof(yes_or_no); size++) {
		EXPECT_EQ(refusal(constrained(COUNT, yes_or_no, size)), EBADMSG)
			TH_LOG("%d bytes", size);
	}
	for (int i = 0; i < ARRAY_SIZE(places); i++) {
		int size = sizeof(yes_or_no) + (places[i] == sizeof(yes_or_no));

		memcpy(grammar, yes_or_no, sizeof(yes_or_no));
		grammar[places[i]] ^= 0xff;
		EXPECT_EQ(refusal(constrained(COUNT, grammar, size)), EBADMSG)
			TH_LOG("byte %d", places[i]);
	}
}

TEST(grammar_of_another_version_gives_eopnotsupp)
{
	unsigned char grammar[sizeof(yes_or_no)];

	memcpy(grammar, yes_or_no, sizeof(yes_or_no));
	grammar[4]++;
	EXPECT_EQ(refusal(constrained(COUNT, grammar, sizeof(grammar))), EOPNOTSUPP);
}

TEST(failed_call_leaves_the_structure_alone)
{
	struct llama_command command = not_utf8(), before;

	command.prompt_tokens = command.response_tokens = command.stop_reason = 4711;
	before = command;
	EXPECT_EQ(llama_command(&command, sizeof(command)), -1);
	EXPECT_EQ(memcmp(&before, &command, sizeof(command)), 0);
}

TEST(status_has_its_keys)
{
	static const char *const keys[] = {
		"version", "state", "requests_served", "requests_waiting", "sessions_active",
		"prompt_tokens", "cached_tokens", "response_tokens", "steps", "step_tokens",
		"prefill_millitokens_per_second",
		"decode_millitokens_per_second",
	};
	char value[4096];

	for (int i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_TRUE(value_of(STATUS, keys[i], value, sizeof(value))) TH_LOG("no %s", keys[i]);
		if (i >= 2) {
			EXPECT_LE(0, status_number(keys[i])) TH_LOG("%s: %s", keys[i], value);
		}
	}
	EXPECT_TRUE(state_is("loading") || state_is("ready") || state_is("unavailable"));
}

TEST(status_is_one_fact_a_line)
{
	char line[4096];
	FILE *file = fopen(STATUS, "r");

	ASSERT_NE(file, NULL);
	while (fgets(line, sizeof(line), file)) {
		size_t key = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");

		EXPECT_LT(0, key) TH_LOG("%s", line);
		EXPECT_EQ(strncmp(line + key, ": ", 2), 0) TH_LOG("%s", line);
		EXPECT_EQ(line[strlen(line) - 1], '\n') TH_LOG("%s", line);
	}
	fclose(file);
}

TEST(status_can_only_be_read)
{
	int fd = open(STATUS, O_RDWR);

	/* Root may open it all the same. */
	if (fd < 0)
		return;
	EXPECT_EQ(write(fd, "x", 1), -1);
	close(fd);
}

/* With a model. */

FIXTURE(model)
{
	struct answer *answers;		/* eight, shared with children */
	unsigned int first_token_ms;
	pid_t busy[65];			/* the children of occupy() */
	int busy_count;
};

FIXTURE_SETUP(model)
{
	struct llama_command command = question(COUNT);
	uint64_t start;

	self->answers = shared(8 * sizeof(*self->answers));
	ASSERT_NE(self->answers, NULL);
	command.max_tokens = 1;
	ask(command, self->answers);
	ASSERT_EQ(self->answers->err, 0) TH_LOG("there is no model: see " STATUS);
	/* Again, for the first call may have waited for the model. */
	start = now_ms();
	ask(command, self->answers);
	ASSERT_EQ(self->answers->err, 0);
	self->first_token_ms = now_ms() - start;
}

FIXTURE_TEARDOWN(model)
{
}

/* How many questions that want all of the context are answered at once. */
static int longest_at_once(void)
{
	long long block = 64;	/* tokens; questions do not share any */
	long long sessions = status_number("sessions_max");
	long long fit = (status_number("cache") / block) /
			((status_number("context") + block - 1) / block);

	return fit < sessions ? fit : sessions;
}

/*
 * Has as many children as the model has room for ask for all that they can get.
 * One more waits for room at the head of the queue, and everybody else behind
 * it.
 */
static bool occupy(FIXTURE_DATA(model) *self)
{
	struct llama_command command = question(COUNT);
	int room = longest_at_once();

	command.max_tokens = FOREVER;
	for (int i = 0; i <= room; i++) {
		pid_t pid = ask_in_child(command, &self->answers[7]);

		if (pid < 0)
			return false;
		self->busy[self->busy_count++] = pid;
		if (!status_becomes("requests_waiting", i == room) ||
		    !status_becomes("sessions_active", i < room ? i + 1 : room))
			return false;
	}
	sleep_ms(self->first_token_ms + 20);
	return true;
}

/* Waits until so many callers are in the queue behind those of occupy(). */
static bool waiting_becomes(long long callers)
{
	return status_becomes("requests_waiting", callers + 1);
}

/* Whether those who are being answered are still there. */
static bool occupied(FIXTURE_DATA(model) *self)
{
	for (int i = 0; i < self->busy_count; i++) {
		if (waitpid(self->busy[i], NULL, WNOHANG))
			return false;
	}
	return self->busy_count;
}

/* Kills them all, the one at the head of the queue first. */
static bool leave(FIXTURE_DATA(model) *self)
{
	bool done = true;

	while (self->busy_count)
		done &= killed(self->busy[--self->busy_count]);
	return done;
}

TEST_F(model, answer_is_complete)
{
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);

	ask(command, a);
	ASSERT_EQ(a->err, 0);
	EXPECT_LT(0, a->ret);
	EXPECT_EQ(a->ret, a->command.response_len);
	EXPECT_EQ(a->ret, strlen(a->text));
	EXPECT_EQ(a->command.response_tokens, 8);
	EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_LENGTH);
	EXPECT_LT(10, a->command.prompt_tokens);
	/* What goes in comes back. */
	EXPECT_EQ(a->command.flags, command.flags);
	EXPECT_EQ(a->command.prompt, command.prompt);
	EXPECT_EQ(a->command.prompt_len, command.prompt_len);
	EXPECT_EQ(a->command.max_tokens, command.max_tokens);
	EXPECT_EQ(a->command.repeat_penalty_milli, command.repeat_penalty_milli);
}

TEST_F(model, chat_format_is_added_unless_raw)
{
	struct answer *raw = &self->answers[0], *chat = &self->answers[1];
	struct llama_command command = question("Say yes.");

	command.max_tokens = 1;
	ask(command, raw);
	command.flags &= ~LLAMA_RAW;
	ask(command, chat);
	ASSERT_EQ(raw->err, 0);
	ASSERT_EQ(chat->err, 0);
	EXPECT_LT(raw->command.prompt_tokens, chat->command.prompt_tokens);
}

TEST_F(model, grammar_decides_what_can_be_answered)
{
	struct llama_command command = constrained(COUNT, yes_or_no, sizeof(yes_or_no));
	struct answer *a = &self->answers[0];

	for (int seed = 0; seed < 3; seed++) {
		if (seed) {
			command.flags &= ~LLAMA_GREEDY;
			command.temperature_milli = 2000;
			command.seed = seed;
		}
		ask(command, a);
		ASSERT_EQ(a->err, 0);
		EXPECT_TRUE(!strcmp(a->text, "yes") || !strcmp(a->text, "no"))
			TH_LOG("%s", a->text);
		EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_END);
		EXPECT_EQ(a->command.grammar, command.grammar);
	}
	/* A program that knows the first size only is not constrained. */
	command = constrained(COUNT, yes_or_no, sizeof(yes_or_no));
	command.response = (uintptr_t)a->text;
	command.response_len = sizeof(a->text) - 1;
	memset(a->text, 0, sizeof(a->text));
	ASSERT_LT(0, llama_command(&command, LLAMA_COMMAND_SIZE_VER0));
	EXPECT_NE(strcmp(a->text, "yes"), 0);
	EXPECT_NE(strcmp(a->text, "no"), 0);
}

TEST_F(model, damaged_grammar_is_refused_or_followed)
{
	unsigned char grammar[sizeof(yes_or_no)];

	for (int i = 0; i < sizeof(grammar); i += 5) {
		struct llama_command command = constrained(COUNT, grammar, sizeof(grammar));
		struct answer *a = &self->answers[0];

		memcpy(grammar, yes_or_no, sizeof(grammar));
		grammar[i] ^= 1;
		command.max_tokens = 2;
		ask(command, a);
		EXPECT_TRUE(!a->err || a->err == EBADMSG || a->err == EOPNOTSUPP ||
			    a->err == ENODATA)
			TH_LOG("byte %d: errno %d", i, a->err);
	}
	/* The next caller does not notice. */
	ask(question(COUNT), &self->answers[1]);
	EXPECT_EQ(self->answers[1].err, 0);
}

TEST_F(model, greedy_answers_are_equal)
{
	struct answer *a = self->answers;
	struct llama_command command = question(COUNT);

	for (int i = 0; i < 3; i++) {
		command.seed = i;
		ask(command, &a[i]);
		ASSERT_EQ(a[i].err, 0);
		EXPECT_STREQ(a[0].text, a[i].text);
	}
	/* The likeliest token among one, whatever the temperature. */
	command.flags &= ~LLAMA_GREEDY;
	command.temperature_milli = 2000;
	command.top_k = 1;
	ask(command, &a[3]);
	ASSERT_EQ(a[3].err, 0);
	EXPECT_STREQ(a[0].text, a[3].text);
}

TEST_F(model, seed_decides_the_answer)
{
	static const uint64_t seeds[] = { 1, 1, 2, UINT64_MAX, 0, 0 };
	struct answer *a = self->answers;
	struct llama_command command = question(COUNT);

	command.flags &= ~LLAMA_GREEDY;
	command.temperature_milli = 5000;
	command.top_k = 1000;
	command.top_p_milli = 1000;
	command.min_p_milli = 1;
	command.max_tokens = 16;
	for (int i = 0; i < ARRAY_SIZE(seeds); i++) {
		command.seed = seeds[i];
		ask(command, &a[i]);
		ASSERT_EQ(a[i].err, 0);
	}
	EXPECT_STREQ(a[0].text, a[1].text);
	EXPECT_STRNE(a[0].text, a[2].text);
	EXPECT_STRNE(a[0].text, a[3].text);
	/* The kernel draws another one each time. */
	EXPECT_STRNE(a[4].text, a[5].text);
}

TEST_F(model, max_tokens_is_honoured)
{
	static const uint32_t most[] = { 1, 2, 7, 33 };
	struct answer *a = &self->answers[0];

	for (int i = 0; i < ARRAY_SIZE(most); i++) {
		struct llama_command command = question(COUNT);

		command.max_tokens = most[i];
		ask(command, a);
		ASSERT_EQ(a->err, 0);
		EXPECT_EQ(a->command.response_tokens, most[i]);
		EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_LENGTH);
	}
}

TEST_F(model, prompt_may_hold_any_text)
{
	static const char with_nul[] = "one\0two", controls[] = "\x01\x1b[2J\x7f\r\n\t";
	struct answer *a = self->answers;
	struct llama_command command = question("one");

	command.max_tokens = 1;
	ask(command, &a[0]);
	command.prompt = (uintptr_t)with_nul;
	command.prompt_len = sizeof(with_nul) - 1;
	ask(command, &a[1]);
	command.prompt = (uintptr_t)controls;
	command.prompt_len = sizeof(controls) - 1;
	ask(command, &a[2]);
	command = question("\xf0\x9f\xa6\x99 \xe6\xbc\xa2 \xef\xbf\xbf \xf4\x8f\xbf\xbf");
	command.max_tokens = 1;
	ask(command, &a[3]);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(a[i].err, 0) TH_LOG("prompt %d", i);
	}
	/* It does not end at the NUL. */
	EXPECT_LT(a[0].command.prompt_tokens, a[1].command.prompt_tokens);
}

TEST_F(model, prompt_longer_than_the_context_gives_eoverflow)
{
	char *prompt = malloc(LLAMA_PROMPT_MAX);
	struct llama_command command = question(COUNT);

	ASSERT_NE(prompt, NULL);
	for (int i = 0; i < LLAMA_PROMPT_MAX; i++)
		prompt[i] = i % 4 ? 'a' + i % 13 : ' ';
	command.prompt = (uintptr_t)prompt;
	command.prompt_len = LLAMA_PROMPT_MAX;
	EXPECT_EQ(refusal(command), EOVERFLOW);
	command.flags &= ~LLAMA_RAW;
	EXPECT_EQ(refusal(command), EOVERFLOW);
	free(prompt);
}

TEST_F(model, endless_word_is_no_burden)
{
	static const char fillers[] = { 'a', ' ', '\n', '0', '<' };
	char *prompt = malloc(LLAMA_PROMPT_MAX);
	struct llama_command command = question(COUNT);
	uint64_t start;

	ASSERT_NE(prompt, NULL);
	command.prompt = (uintptr_t)prompt;
	command.prompt_len = LLAMA_PROMPT_MAX;
	for (int i = 0; i < ARRAY_SIZE(fillers); i++) {
		memset(prompt, fillers[i], LLAMA_PROMPT_MAX);
		start = now_ms();
		/* Merging it to tokens must not take quadratic time. */
		EXPECT_EQ(refusal(command), EOVERFLOW) {
			TH_LOG("%#x", fillers[i]);
		}
		EXPECT_LT(now_ms() - start, PATIENCE_MS) {
			TH_LOG("%#x", fillers[i]);
		}
	}
	free(prompt);
}

TEST_F(model, response_buffer_may_be_empty)
{
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);
	unsigned char guard = FILL;

	ask(command, a);
	ASSERT_EQ(a->err, 0);
	EXPECT_EQ(llama_command(&command, sizeof(command)), a->ret);
	EXPECT_EQ(command.response_len, a->ret);
	EXPECT_EQ(command.response_tokens, 8);
	/* An address without a length is not written to. */
	command = question(COUNT);
	command.response = (uintptr_t)&guard;
	EXPECT_EQ(llama_command(&command, sizeof(command)), a->ret);
	EXPECT_EQ(guard, FILL);
	command = question(COUNT);
	command.response = ~0xfffUL;
	EXPECT_EQ(llama_command(&command, sizeof(command)), a->ret);
}

TEST_F(model, short_response_buffer_gets_whole_characters)
{
	struct llama_command command =
		constrained(COUNT, long_characters, sizeof(long_characters));
	struct answer *a = &self->answers[0];

	command.max_tokens = 16;
	ask(command, a);
	ASSERT_EQ(a->err, 0);
	ASSERT_STREQ(a->text, "é漢🦙");
	for (int room = 0; room <= a->ret + 1; room++) {
		unsigned char buffer[sizeof(a->text)];
		int fits = room < a->ret ? room : a->ret;

		while (fits && fits < a->ret && (a->text[fits] & 0xc0) == 0x80)
			fits--;
		memset(buffer, FILL, sizeof(buffer));
		command.response = (uintptr_t)buffer;
		command.response_len = room;
		ASSERT_EQ(llama_command(&command, sizeof(command)), a->ret);
		EXPECT_EQ(command.response_len, a->ret);
		EXPECT_EQ(memcmp(buffer, a->text, fits), 0) TH_LOG("room %d", room);
		for (int i = fits; i < room + 16; i++) {
			EXPECT_EQ(buffer[i], FILL) TH_LOG("room %d, byte %d", room, i);
		}
	}
}

TEST_F(model, bad_address_of_the_response_gives_efault)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct llama_command command = question(COUNT);
	char *memory;

	command.max_tokens = 1;
	command.response = ~0xfffUL;
	command.response_len = 4096;
	EXPECT_EQ(refusal(command), EFAULT);
	/* Memory that may only be read. */
	memory = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(memory, MAP_FAILED);
	command.response = (uintptr_t)memory;
	EXPECT_EQ(refusal(command), EFAULT);
	ASSERT_EQ(munmap(memory, page), 0);
	/* No memory. */
	EXPECT_EQ(refusal(command), EFAULT);
	/* The next caller does not notice. */
	ask(question(COUNT), self->answers);
	EXPECT_EQ(self->answers->err, 0);
}

TEST_F(model, structure_that_cannot_be_written_gives_efault)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct llama_command *command;

	command = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(command, MAP_FAILED);
	*command = question(COUNT);
	command->max_tokens = 1;
	ASSERT_EQ(mprotect(command, page, PROT_READ), 0);
	EXPECT_EQ(llama_command(command, sizeof(*command)), -1);
	EXPECT_EQ(errno, EFAULT);
	munmap(command, page);
}

TEST_F(model, longer_structure_gets_its_answer)
{
	struct {
		struct llama_command command;
		unsigned char tail[40];
	} longer = { .command = question(COUNT), .tail = { 0 } };
	struct answer *a = &self->answers[0];
	static const unsigned char zeros[40];

	ask(question(COUNT), a);
	ASSERT_EQ(a->err, 0);
	EXPECT_EQ(llama_command(&longer.command, sizeof(longer)), a->ret);
	EXPECT_EQ(longer.command.response_tokens, 8);
	EXPECT_EQ(memcmp(longer.tail, zeros, sizeof(zeros)), 0);
}

TEST_F(model, timeout_before_the_first_token_gives_etimedout)
{
	char prompt[1024];
	struct llama_command command;

	/* Long enough that no processor reads it in a millisecond. */
	for (int i = 0; i < sizeof(prompt); i++)
		prompt[i] = i % 4 ? 'a' + i % 13 : ' ';
	prompt[sizeof(prompt) - 1] = '\0';
	command = question(prompt);
	command.timeout_ms = 1;
	EXPECT_EQ(refusal(command), ETIMEDOUT);
}

TEST_F(model, timeout_after_the_first_token_gives_what_there_is)
{
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);
	uint64_t start, took;

	command.max_tokens = FOREVER;
	/* A busy machine may take many times as long as before. */
	command.timeout_ms = 10 * self->first_token_ms + 1000;
	start = now_ms();
	ask(command, a);
	took = now_ms() - start;
	ASSERT_EQ(a->err, 0);
	EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_TIMEOUT);
	EXPECT_LT(0, a->command.response_tokens);
	EXPECT_EQ(a->ret, strlen(a->text));
	EXPECT_LE(command.timeout_ms, took);
	EXPECT_LT(took, command.timeout_ms + 10 * self->first_token_ms + 5000);
}

TEST_F(model, timeout_counts_the_time_in_the_queue)
{
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);

	ASSERT_TRUE(occupy(self));
	command.timeout_ms = 100;
	ask(command, a);
	EXPECT_EQ(a->err, ETIMEDOUT);
	EXPECT_TRUE(waiting_becomes(0));
	/* The one that is next, too. */
	ASSERT_TRUE(killed(self->busy[--self->busy_count]));
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	command.max_tokens = FOREVER;
	ask(command, a);
	EXPECT_EQ(a->err, ETIMEDOUT);
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	EXPECT_TRUE(occupied(self));
	EXPECT_TRUE(leave(self));
}

static void on_signal(int signal)
{
	(void)signal;
}

/* A child that handles SIGUSR1, or blocks it, and asks. */
static pid_t ask_and_handle(struct llama_command command, struct answer *answer, int flags,
			    bool block)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	sigset_t set;
	pid_t pid;

	/* Before the fork, so that the signal never kills the child. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaction(SIGUSR1, &action, NULL);
	sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
	pid = ask_in_child(command, answer);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return pid;
}

TEST_F(model, signal_in_the_queue_gives_eintr)
{
	static const int flags[] = { 0, SA_RESTART };
	struct answer *a = &self->answers[0];

	ASSERT_TRUE(occupy(self));
	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		pid_t pid = ask_and_handle(question(COUNT), a, flags[i], false);

		ASSERT_TRUE(waiting_becomes(1));
		ASSERT_EQ(kill(pid, SIGUSR1), 0);
		EXPECT_TRUE(exited(pid));
		EXPECT_EQ(a->err, EINTR) TH_LOG("SA_RESTART %d", i);
		EXPECT_TRUE(waiting_becomes(0));
	}
	/* Those at work were not touched. */
	EXPECT_TRUE(occupied(self));
	EXPECT_TRUE(leave(self));
}

TEST_F(model, signal_while_generating_gives_what_there_is)
{
	static const int flags[] = { 0, SA_RESTART };
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);

	command.max_tokens = FOREVER;
	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		unsigned int delay = 2 * self->first_token_ms + 100;
		pid_t pid;

		/* Before the first token it is EINTR: then more time. */
		do {
			pid = ask_and_handle(command, a, flags[i], false);
			sleep_ms(delay);
			ASSERT_EQ(kill(pid, SIGUSR1), 0);
			ASSERT_TRUE(exited(pid));
			delay *= 2;
		} while (a->err == EINTR && delay < PATIENCE_MS);
		ASSERT_EQ(a->err, 0) TH_LOG("SA_RESTART %d", i);
		EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_INTERRUPTED);
		EXPECT_LT(0, a->command.response_tokens);
		EXPECT_EQ(a->ret, strlen(a->text));
	}
}

TEST_F(model, blocked_signal_does_not_interrupt)
{
	struct answer *a = &self->answers[0];
	struct llama_command command = question(COUNT);
	pid_t pid;

	command.max_tokens = 16;
	pid = ask_and_handle(command, a, 0, true);
	sleep_ms(self->first_token_ms / 2 + 1);
	ASSERT_EQ(kill(pid, SIGUSR1), 0);
	EXPECT_TRUE(exited(pid));
	EXPECT_EQ(a->err, 0);
	EXPECT_EQ(a->command.response_tokens, 16);
	EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_LENGTH);
}

TEST_F(model, caller_killed_while_waiting_leaves_the_queue)
{
	struct answer *a = self->answers;
	pid_t waiter;

	ask(question(COUNT), &a[0]);
	ASSERT_TRUE(occupy(self));
	waiter = ask_in_child(question(COUNT), &a[1]);
	ASSERT_TRUE(waiting_becomes(1));
	EXPECT_TRUE(killed(waiter));
	EXPECT_TRUE(waiting_becomes(0));
	EXPECT_TRUE(occupied(self));
	EXPECT_TRUE(leave(self));
	ask(question(COUNT), &a[2]);
	EXPECT_EQ(a[2].err, 0);
	EXPECT_STREQ(a[0].text, a[2].text);
}

TEST_F(model, caller_killed_while_generating_frees_the_model)
{
	struct answer *a = self->answers;

	ask(question(COUNT), &a[0]);
	for (int i = 0; i < 4; i++) {
		pid_t next;

		ASSERT_TRUE(occupy(self));
		next = ask_in_child(question(COUNT), &a[1]);
		ASSERT_TRUE(waiting_becomes(1));
		EXPECT_TRUE(leave(self));
		EXPECT_TRUE(exited(next));
		EXPECT_EQ(a[1].err, 0);
		EXPECT_STREQ(a[0].text, a[1].text);
	}
}

/* Each gets the whole model for itself: a signal shows who has it. */
TEST_F(model, callers_are_served_in_order)
{
	struct llama_command command = question(COUNT);
	struct answer *a = self->answers;
	pid_t pids[4];

	ASSERT_TRUE(occupy(self));
	command.max_tokens = FOREVER;
	for (int i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = ask_and_handle(command, &a[i], 0, false);
		ASSERT_TRUE(waiting_becomes(i + 1));
	}
	EXPECT_TRUE(leave(self));
	for (int i = 0; i < ARRAY_SIZE(pids); i++) {
		int left = ARRAY_SIZE(pids) - i, room = longest_at_once();

		ASSERT_TRUE(status_becomes("requests_waiting", left > room ? left - room : 0));
		/* One who was not begun with gets EINTR. */
		sleep_ms(4 * self->first_token_ms + 100);
		ASSERT_EQ(kill(pids[i], SIGUSR1), 0);
		ASSERT_TRUE(exited(pids[i]));
		EXPECT_EQ(a[i].err, 0) TH_LOG("caller %d", i);
		EXPECT_EQ(a[i].command.stop_reason, LLAMA_STOP_INTERRUPTED);
	}
}

/* How many may be answered at once, of four. */
static int together(void)
{
	long long sessions = status_number("sessions_max");

	return sessions < 4 ? sessions : 4;
}

TEST_F(model, callers_are_answered_together)
{
	struct answer *alone = &self->answers[0], *a = &self->answers[1];
	struct llama_command command = question(COUNT);
	long long steps, tokens;
	pid_t pids[4];

	if (together() < 2)
		SKIP(return, "llamux.sessions=1");
	command.max_tokens = 48;
	ask(command, alone);
	ASSERT_EQ(alone->err, 0);
	/* All of them are there before the first is taken in. */
	ASSERT_TRUE(occupy(self));
	for (int i = 0; i < together(); i++) {
		pids[i] = ask_in_child(command, &a[i]);
		ASSERT_TRUE(waiting_becomes(i + 1));
	}
	steps = status_number("steps");
	tokens = status_number("step_tokens");
	EXPECT_TRUE(leave(self));
	for (int i = 0; i < together(); i++) {
		EXPECT_TRUE(exited(pids[i]));
		EXPECT_EQ(a[i].err, 0);
		EXPECT_STREQ(alone->text, a[i].text);
		EXPECT_LE(status_number("sessions_active"), together());
	}
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	steps = status_number("steps") - steps;
	tokens = status_number("step_tokens") - tokens;
	EXPECT_LE(48 * together(), tokens);
	/* Most steps are of all of them. */
	EXPECT_LT(steps, tokens - tokens / 4) TH_LOG("%lld tokens in %lld steps", tokens, steps);
}

TEST_F(model, grammars_and_free_answers_go_together)
{
	struct llama_command free_one = question(COUNT);
	struct llama_command bound = constrained(COUNT, yes_or_no, sizeof(yes_or_no));
	struct answer *alone = &self->answers[0], *a = &self->answers[1];
	pid_t pids[4];

	free_one.max_tokens = 16;
	ask(free_one, &alone[0]);
	ask(bound, &a[0]);
	ASSERT_EQ(alone[0].err, 0);
	ASSERT_EQ(a[0].err, 0);
	for (int i = 0; i < 4; i++)
		pids[i] = ask_in_child(i % 2 ? bound : free_one, &a[i + 1]);
	for (int i = 0; i < 4; i++) {
		EXPECT_TRUE(exited(pids[i]));
		EXPECT_EQ(a[i + 1].err, 0);
		EXPECT_STREQ(i % 2 ? a[0].text : alone[0].text, a[i + 1].text);
	}
}

/* Who leaves costs nothing any more, and does not disturb the others. */
TEST_F(model, killed_caller_stops_costing_tokens)
{
	struct llama_command command = question(COUNT);
	struct answer *alone = &self->answers[0], *a = &self->answers[1];
	long long tokens;
	pid_t stays, leaves;

	if (together() < 2)
		SKIP(return, "llamux.sessions=1");
	command.max_tokens = 24;
	ask(command, alone);
	ASSERT_EQ(alone->err, 0);
	command.max_tokens = 200;
	leaves = ask_in_child(command, &a[1]);
	ASSERT_TRUE(status_becomes("sessions_active", 1));
	command.max_tokens = 24;
	stays = ask_in_child(command, &a[0]);
	EXPECT_TRUE(killed(leaves));
	EXPECT_TRUE(exited(stays));
	EXPECT_EQ(a[0].err, 0);
	EXPECT_STREQ(alone->text, a[0].text);
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	tokens = status_number("step_tokens");
	sleep_ms(100);
	EXPECT_EQ(tokens, status_number("step_tokens"));
}

/* How many tokens of a question the cache has for a user. */
static long long cached_for(FIXTURE_DATA(model) *self, struct llama_command command, unsigned int user)
{
	long long before = status_number("cached_tokens");
	pid_t pid = fork();

	if (!pid) {
		if (user && (setresgid(user, user, user) || setresuid(user, user, user)))
			_exit(1);
		ask(command, &self->answers[0]);
		_exit(self->answers[0].err ? 2 : 0);
	}
	if (pid < 0 || !exited(pid))
		return -1;
	return status_number("cached_tokens") - before;
}

TEST_F(model, nobody_gains_from_what_another_user_asked)
{
	/* Longer than what is kept in one piece. */
	static const char prompt[] =
		"alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi "
		"rho sigma tau upsilon phi chi psi omega, and then one more: aleph beth gimel daleth "
		"he waw zayin heth teth yodh kaph lamedh mem nun samekh ayin pe sadhe qoph resh shin taw";
	struct llama_command command = question(prompt);
	long long cached;

	if (getuid())
		SKIP(return, "wants to be several users");
	command.max_tokens = 1;
	EXPECT_EQ(cached_for(self, command, 60001), 0);
	cached = cached_for(self, command, 60001);
	EXPECT_LT(64, cached);
	EXPECT_LT(cached, self->answers[0].command.prompt_tokens);
	EXPECT_EQ(cached_for(self, command, 60002), 0);
	EXPECT_EQ(cached_for(self, command, 0), 0);
	EXPECT_EQ(cached_for(self, command, 60002), cached);
}

TEST_F(model, one_question_may_have_the_whole_context)
{
	struct llama_command command = question(COUNT);
	struct answer *a = &self->answers[0];
	long long context = status_number("context");

	if (context > 1024)
		SKIP(return, "takes long with a context of %lld", context);
	command.max_tokens = FOREVER;
	ask(command, a);
	ASSERT_EQ(a->err, 0);
	if (a->command.stop_reason == LLAMA_STOP_END)
		SKIP(return, "the model ended its answer");
	EXPECT_EQ(a->command.stop_reason, LLAMA_STOP_LENGTH);
	/* The last one is chosen, and nothing computed behind it. */
	EXPECT_EQ(a->command.prompt_tokens + a->command.response_tokens, context + 1);
}

TEST_F(model, concurrent_callers_get_their_own_answers)
{
	static const char *const prompts[] = {
		COUNT, "a b c d e f g h i j k", "The capital of France is", "red, green, blue,",
	};
	struct answer *alone = &self->answers[0], *together = &self->answers[4];
	pid_t pids[4];

	for (int i = 0; i < 4; i++) {
		ask(question(prompts[i]), &alone[i]);
		ASSERT_EQ(alone[i].err, 0);
	}
	EXPECT_STRNE(alone[0].text, alone[1].text);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			pids[i] = ask_in_child(question(prompts[i]), &together[i]);
		for (int i = 0; i < 4; i++) {
			EXPECT_TRUE(exited(pids[i]));
			EXPECT_EQ(together[i].err, 0);
			EXPECT_STREQ(alone[i].text, together[i].text);
			EXPECT_EQ(alone[i].command.prompt_tokens,
				  together[i].command.prompt_tokens);
		}
	}
}

TEST_F(model, unprivileged_user_may_ask)
{
	struct answer *a = &self->answers[0];
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (getuid() == 0 &&
		    (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(1);
		if (!state_is("ready"))
			_exit(2);
		ask(question(COUNT), a);
		_exit(0);
	}
	EXPECT_TRUE(exited(pid));
	EXPECT_EQ(a->err, 0);
	EXPECT_LT(0, a->ret);
}

TEST_F(model, status_describes_the_model)
{
	static const char *const texts[] = {
		"model", "file", "architecture", "quantization", "kernels", "memory_source",
	};
	static const char *const numbers[] = {
		"parameters", "context", "sessions_max", "cache", "threads", "memory_used",
	};
	char value[4096];

	EXPECT_TRUE(state_is("ready"));
	for (int i = 0; i < ARRAY_SIZE(texts); i++) {
		EXPECT_TRUE(value_of(STATUS, texts[i], value, sizeof(value))) TH_LOG("no %s", texts[i]);
		EXPECT_NE(value[0], '\0') TH_LOG("%s", texts[i]);
	}
	for (int i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_LT(0, status_number(numbers[i])) TH_LOG("%s", numbers[i]);
	}
	ASSERT_TRUE(value_of(STATUS, "memory_source", value, sizeof(value)));
	if (!strcmp(value, "reserved")) {
		EXPECT_LE(status_number("memory_used"), status_number("memory_reserved"));
	} else {
		EXPECT_EQ(status_number("memory_reserved"), 0);
	}
}

TEST_F(model, status_counts)
{
	static const char *const keys[] = { "requests_served", "prompt_tokens", "response_tokens" };
	long long before[3];
	struct answer *a = &self->answers[0];

	for (int i = 0; i < 3; i++)
		before[i] = status_number(keys[i]);
	ask(question(COUNT), a);
	ASSERT_EQ(a->err, 0);
	/* Somebody else may be asking, too. */
	EXPECT_LE(before[0] + 1, status_number(keys[0]));
	EXPECT_LE(before[1] + a->command.prompt_tokens, status_number(keys[1]));
	EXPECT_LE(before[2] + 8, status_number(keys[2]));
	EXPECT_LT(0, status_number("prefill_millitokens_per_second"));
	EXPECT_LT(0, status_number("decode_millitokens_per_second"));
}

/* Each round leaves 20 MiB behind if anything is not freed. */
TEST_F(model, refused_and_killed_callers_leave_no_memory_behind)
{
	struct llama_command command = question(COUNT);
	char *prompt = malloc(LLAMA_PROMPT_MAX);
	long before, leaked = 0;
	pid_t pids[20];

	ASSERT_NE(prompt, NULL);
	memset(prompt, 'a', LLAMA_PROMPT_MAX);
	command.prompt = (uintptr_t)prompt;
	command.prompt_len = LLAMA_PROMPT_MAX;
	command.max_tokens = FOREVER;

	/* The first round also fills what the kernel caches. */
	for (int round = 0; round < 2; round++) {
		before = mem_available_kb();
		prompt[LLAMA_PROMPT_MAX - 1] = 0xff;
		for (int i = 0; i < ARRAY_SIZE(pids); i++) {
			ASSERT_EQ(refusal(command), EILSEQ);
		}
		prompt[LLAMA_PROMPT_MAX - 1] = 'a';
		ASSERT_TRUE(occupy(self));
		for (int i = 0; i < ARRAY_SIZE(pids); i++) {
			pids[i] = ask_in_child(command, self->answers);
			ASSERT_LT(0, pids[i]);
		}
		ASSERT_TRUE(waiting_becomes(ARRAY_SIZE(pids)));
		for (int i = 0; i < ARRAY_SIZE(pids); i++) {
			ASSERT_TRUE(killed(pids[i]));
		}
		ASSERT_TRUE(leave(self));
		ASSERT_TRUE(status_becomes("requests_waiting", 0));
		ASSERT_TRUE(status_becomes("sessions_active", 0));
		leaked = before - mem_available_kb();
	}
	EXPECT_LT(leaked, 10 * 1024) TH_LOG("%ld KiB are gone", leaked);
	free(prompt);
}

int main(int argc, char **argv)
{
	if (refusal(not_utf8()) == ENOSYS) {
		ksft_print_header();
		ksft_exit_skip("this kernel has no llama_command (CONFIG_LLAMUX)\n");
	}
	return test_harness_run(argc, argv);
}
