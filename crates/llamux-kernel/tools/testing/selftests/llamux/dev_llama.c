// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/llama.
 *
 * The tests of the fixture "model" need a loaded model, those of "global" do
 * not. As those of llama_command(2) they ask for few tokens, and expect nothing
 * of the model but that it goes on counting.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "common.h"
#include "grammars.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define PROMPT		"/proc/llamux/prompt"
#define RESERVED	"/sys/kernel/llamux/memory"

/* Nothing is there; the compiler does not know. */
static volatile uintptr_t bad_address = 1;

/* The errno of an ioctl that should fail, 0 if it does not. */
static int refusal(int fd, unsigned long cmd, const void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

static int turn_refusal(int fd, struct llama_turn turn)
{
	return refusal(fd, LLAMA_IOC_TURN, &turn);
}

static int options_refusal(int fd, struct llama_options options)
{
	return refusal(fd, LLAMA_IOC_SET, &options);
}

static struct llama_turn turn(const char *text)
{
	return (struct llama_turn) { .text = (uintptr_t)text, .text_len = strlen(text) };
}

static bool is_utf8(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		unsigned char c = text[i];
		size_t more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 9;

		if (i + more >= len)
			return false;
		for (size_t j = 1; j <= more; j++)
			if ((text[i + j] & 0xc0) != 0x80)
				return false;
		i += more + 1;
	}
	return true;
}

/* One line of what the kernel says of a descriptor. */
static bool fdinfo(int fd, const char *key, char *value, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return value_of(path, key, value, size);
}

TEST(the_node_is_for_root_and_its_group)
{
	struct stat stat_of_it;

	ASSERT_EQ(stat(DEVICE, &stat_of_it), 0);
	EXPECT_TRUE(S_ISCHR(stat_of_it.st_mode));
	EXPECT_EQ(stat_of_it.st_mode & 07777, 0660);
	EXPECT_EQ(stat_of_it.st_uid, 0);
}

TEST(structures_have_the_documented_sizes)
{
	EXPECT_EQ(sizeof(struct llama_turn), 32);
	EXPECT_EQ(sizeof(struct llama_options), 80);
	EXPECT_EQ(sizeof(struct llama_session), 80);
	EXPECT_EQ(sizeof(struct llama_logprob), 16);
	EXPECT_EQ(sizeof(struct llama_logprobs), 16);
}

TEST(an_unknown_ioctl_is_refused)
{
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(refusal(fd, _IO(LLAMA_IOC_MAGIC, 99), NULL), ENOTTY);
	EXPECT_EQ(refusal(fd, _IO('x', 0), NULL), ENOTTY);
	/* The direction is part of the number. */
	EXPECT_EQ(refusal(fd, _IOR(LLAMA_IOC_MAGIC, 0, struct llama_turn), NULL), ENOTTY);
	EXPECT_EQ(refusal(fd, _IOC(_IOC_NONE, LLAMA_IOC_MAGIC, 5, 8), NULL), ENOTTY);
	close(fd);
}

TEST(an_argument_where_there_is_none_is_refused)
{
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_RESET, (void *)1), EINVAL);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_CANCEL, (void *)1), EINVAL);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_PREWARM, (void *)1), EINVAL);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_FORK, (void *)O_APPEND), EINVAL);
	close(fd);
}

TEST(structures_may_be_larger_if_the_tail_is_zero)
{
	struct {
		struct llama_options known;
		__u64 more;
	} larger = { .known = options() };
	unsigned long cmd = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 1, sizeof(larger));
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(ioctl(fd, cmd, &larger), 0);
	larger.more = 1;
	EXPECT_EQ(refusal(fd, cmd, &larger), E2BIG);
	cmd = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 1, sizeof(larger.known) - 8);
	EXPECT_EQ(refusal(fd, cmd, &larger), EINVAL);
	cmd = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 1, 0);
	EXPECT_EQ(refusal(fd, cmd, &larger), EINVAL);
	cmd = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 1, 8192);
	EXPECT_EQ(refusal(fd, cmd, &larger), E2BIG);
	close(fd);
}

TEST(bad_addresses_are_refused)
{
	struct llama_turn bad_turn = { .text = bad_address, .text_len = 8 };
	struct llama_session bad_info = { .reason = bad_address, .reason_len = 8 };
	struct llama_options bad = options();
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_TURN, (void *)bad_address), EFAULT);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_SET, (void *)bad_address), EFAULT);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_INFO, (void *)bad_address), EFAULT);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_LOGPROBS, (void *)bad_address), EFAULT);
	EXPECT_EQ(turn_refusal(fd, bad_turn), EFAULT);
	bad.stops = bad_address;
	bad.stops_len = 8;
	EXPECT_EQ(options_refusal(fd, bad), EFAULT);
	bad = options();
	bad.grammar = bad_address;
	bad.grammar_len = 64;
	EXPECT_EQ(options_refusal(fd, bad), EFAULT);
	EXPECT_EQ(write(fd, (void *)bad_address, 8), -1);
	EXPECT_EQ(errno, EFAULT);
	/* Only what is there is written: nothing, if there is a model. */
	if (state_is("unavailable"))
		EXPECT_EQ(refusal(fd, LLAMA_IOC_INFO, &bad_info), EFAULT);
	close(fd);
}

TEST(bad_turns_are_refused)
{
	struct llama_turn bad = turn("x");
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	bad.flags = 2;
	EXPECT_EQ(turn_refusal(fd, bad), EINVAL);
	bad = turn("x");
	bad.role = 3;
	EXPECT_EQ(turn_refusal(fd, bad), EINVAL);
	bad = turn("x");
	bad.reserved = 1;
	EXPECT_EQ(turn_refusal(fd, bad), EINVAL);
	EXPECT_EQ(turn_refusal(fd, turn("")), EINVAL);
	bad = turn("x");
	bad.text_len = LLAMA_PROMPT_MAX + 1;
	EXPECT_EQ(turn_refusal(fd, bad), EMSGSIZE);
	EXPECT_EQ(turn_refusal(fd, turn("\xff")), EILSEQ);
	EXPECT_EQ(write(fd, "\xc3", 1), -1);
	EXPECT_EQ(errno, EILSEQ);
	EXPECT_EQ(write(fd, "\n", 1), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(write(fd, "x", 0), 0);
	close(fd);
}

TEST(bad_options_are_refused)
{
	static const struct { size_t offset; __u32 value; int err; } numbers[] = {
		{ offsetof(struct llama_options, temperature_milli), 10001, EINVAL },
		{ offsetof(struct llama_options, top_p_milli), 1001, EINVAL },
		{ offsetof(struct llama_options, min_p_milli), 1001, EINVAL },
		{ offsetof(struct llama_options, repeat_penalty_milli), 10001, EINVAL },
		{ offsetof(struct llama_options, reserved), 1, EINVAL },
	};
	static const struct { const char *stops; size_t len; int err; } texts[] = {
		{ "a", 1, EINVAL },
		{ "a\0\0", 3, EINVAL },
		{ "\xff\0", 2, EILSEQ },
		{ "a", 0, EINVAL },
		{ NULL, 2, EINVAL },
		{ "a", LLAMA_STOPS_MAX + 1, EMSGSIZE },
		{ "a\0b\0", 4, 0 },
	};
	struct llama_options bad = options();
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	bad.flags |= 1ULL << 5;
	EXPECT_EQ(options_refusal(fd, bad), EINVAL);
	for (int i = 0; i < ARRAY_SIZE(numbers); i++) {
		bad = options();
		memcpy((char *)&bad + numbers[i].offset, &numbers[i].value, 4);
		EXPECT_EQ(options_refusal(fd, bad), numbers[i].err);
	}
	for (int i = 0; i < ARRAY_SIZE(texts); i++) {
		bad = options();
		bad.stops = (uintptr_t)texts[i].stops;
		bad.stops_len = texts[i].len;
		EXPECT_EQ(options_refusal(fd, bad), texts[i].err) TH_LOG("stops %d", i);
	}
	bad = options();
	bad.grammar = (uintptr_t)"no grammar, but long enough to be one, if it had the right words in it";
	bad.grammar_len = 64;
	EXPECT_EQ(options_refusal(fd, bad), EBADMSG);
	bad.grammar_len = 0;
	EXPECT_EQ(options_refusal(fd, bad), EINVAL);
	close(fd);
}

TEST(too_much_that_is_held_is_refused)
{
	struct llama_turn held = turn("x");
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	held.flags = LLAMA_TURN_HOLD;
	for (int i = 0; i < LLAMA_HELD_MAX; i++)
		ASSERT_EQ(turn_refusal(fd, held), 0);
	EXPECT_EQ(turn_refusal(fd, held), EMSGSIZE);
	EXPECT_EQ(info(fd).held_bytes, LLAMA_HELD_MAX);
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), 0);
	EXPECT_EQ(info(fd).held_bytes, 0);
	EXPECT_EQ(turn_refusal(fd, held), 0);
	close(fd);
}

TEST(without_a_question_there_is_no_answer)
{
	struct pollfd poll_of_it;
	char byte;
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(read(fd, &byte, 1), 0);
	EXPECT_EQ(info(fd).state, LLAMA_STATE_IDLE);
	poll_of_it = (struct pollfd) { .fd = fd, .events = POLLIN | POLLOUT };
	EXPECT_EQ(poll(&poll_of_it, 1, 0), 1);
	EXPECT_EQ(poll_of_it.revents, POLLOUT);
	EXPECT_EQ(lseek(fd, 0, SEEK_SET), -1);
	EXPECT_EQ(errno, ESPIPE);
	close(fd);
}

TEST(the_kernel_says_why_there_is_no_model)
{
	char reason[256] = "";
	struct llama_session session = { .reason = (uintptr_t)reason, .reason_len = 255 };
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_INFO, &session), 0);
	if (!state_is("unavailable")) {
		EXPECT_NE(session.model, LLAMA_MODEL_UNAVAILABLE);
		EXPECT_EQ(session.reason_len, 0);
	} else {
		EXPECT_EQ(session.model, LLAMA_MODEL_UNAVAILABLE);
		EXPECT_LT(0, session.reason_len);
		EXPECT_EQ(strlen(reason), session.reason_len < 255 ? session.reason_len : 255);
		EXPECT_EQ(write(fd, "x", 1), -1);
		EXPECT_EQ(errno, ENODEV);
		EXPECT_EQ(refusal(fd, LLAMA_IOC_PREWARM, NULL), ENODEV);
	}
	close(fd);
}

/* The errno of choosing a model; 0 if it was chosen. */
static int model_refusal(int fd, struct llama_model_name model)
{
	return refusal(fd, LLAMA_IOC_MODEL, &model);
}

static struct llama_model_name model_name(const char *name)
{
	return (struct llama_model_name) { .name = (uintptr_t)name, .name_len = strlen(name) };
}

TEST(bad_names_of_models_are_refused)
{
	struct llama_model_name bad = model_name("x");
	char name[LLAMA_MODEL_NAME_MAX + 2] = "";
	unsigned long smaller = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 8, sizeof(bad) - 8);
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	while (state_is("loading"))
		sleep_ms(10);
	bad.flags = 1;
	EXPECT_EQ(model_refusal(fd, bad), EINVAL);
	bad = model_name("x");
	bad.reserved = 1;
	EXPECT_EQ(model_refusal(fd, bad), EINVAL);
	EXPECT_EQ(refusal(fd, smaller, &bad), EINVAL);
	bad = model_name("x");
	bad.name = bad_address;
	bad.name_len = 8;
	EXPECT_EQ(model_refusal(fd, bad), EFAULT);
	EXPECT_EQ(refusal(fd, LLAMA_IOC_MODEL, (void *)bad_address), EFAULT);
	memset(name, 'a', LLAMA_MODEL_NAME_MAX);
	EXPECT_EQ(model_refusal(fd, model_name(name)), ENOENT);
	name[LLAMA_MODEL_NAME_MAX] = 'a';
	EXPECT_EQ(model_refusal(fd, model_name(name)), ENAMETOOLONG);
	EXPECT_EQ(model_refusal(fd, model_name("there is none")), ENOENT);
	EXPECT_EQ(model_refusal(fd, model_name("a\xff/../b")), ENOENT);
	/* The default may be chosen before there is one. */
	EXPECT_EQ(model_refusal(fd, model_name("")), 0);
	EXPECT_EQ(model_refusal(fd, (struct llama_model_name) { 0 }), 0);
	close(fd);
}

TEST(forks_need_no_model)
{
	struct llama_turn held = turn("abc");
	int fds[8];

	fds[0] = open(DEVICE, O_RDWR);
	ASSERT_LE(0, fds[0]);
	held.flags = LLAMA_TURN_HOLD;
	ASSERT_EQ(turn_refusal(fds[0], held), 0);
	for (int i = 1; i < 8; i++) {
		fds[i] = ioctl(fds[i - 1], LLAMA_IOC_FORK, O_CLOEXEC | O_NONBLOCK);
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		EXPECT_EQ(fcntl(fds[i], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDWR);
		close(fds[i - 1]);
		EXPECT_EQ(info(fds[i]).held_bytes, 3);
	}
	close(fds[7]);
}

FIXTURE(model)
{
	int fd;
	char text[8192];
	char other[8192];
};

FIXTURE_SETUP(model)
{
	uint64_t end = now_ms() + 5 * PATIENCE_MS;

	while (state_is("loading") && now_ms() < end)
		sleep_ms(10);
	if (!state_is("ready"))
		SKIP(return, "there is no model");
	ASSERT_TRUE(status_becomes("sessions_active", 0));
	self->fd = open_session();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(model)
{
	close(self->fd);
	/* Nobody is served who is gone. */
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
}

TEST_F(model, answers_what_is_written)
{
	struct llama_session session;
	ssize_t len;

	ASSERT_TRUE(say(self->fd, COUNT));
	len = read_answer(self->fd, self->text, sizeof(self->text), 4096);
	ASSERT_LT(0, len);
	EXPECT_TRUE(is_utf8(self->text, len));
	session = info(self->fd);
	EXPECT_EQ(session.state, LLAMA_STATE_IDLE);
	EXPECT_EQ(session.model, LLAMA_MODEL_READY);
	EXPECT_EQ(session.response_tokens, 8);
	EXPECT_EQ(session.stop_reason, LLAMA_STOP_LENGTH);
	EXPECT_EQ(session.tokens, session.prompt_tokens + 8);
	EXPECT_EQ(session.context_left, session.context - session.tokens);
	EXPECT_EQ(session.error, 0);
	/* The end is there once. */
	EXPECT_EQ(read(self->fd, self->text, 1), 0);
}

TEST_F(model, says_what_the_system_call_says)
{
	struct llama_command command = {
		.flags = LLAMA_RAW | LLAMA_GREEDY,
		.prompt = (uintptr_t)COUNT, .prompt_len = strlen(COUNT),
		.response = (uintptr_t)self->other, .response_len = sizeof(self->other) - 1,
		.max_tokens = 8, .repeat_penalty_milli = 1000,
	};

	ASSERT_LT(0, syscall(__NR_llama_command, &command, sizeof(command)));
	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	EXPECT_STREQ(self->text, self->other);
}

TEST_F(model, a_conversation_goes_on_and_pays_for_what_is_new)
{
	struct llama_session first, second;

	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	first = info(self->fd);
	ASSERT_TRUE(say(self->fd, " and then "));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	second = info(self->fd);
	EXPECT_LT(first.tokens, second.prompt_tokens);
	EXPECT_LE(first.tokens - 2, second.cached_tokens);
	EXPECT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	EXPECT_EQ(info(self->fd).tokens, 0);
	EXPECT_EQ(info(self->fd).stop_reason, 0);
}

TEST_F(model, the_chat_format_is_used_and_the_last_newline_is_not_meant)
{
	struct llama_options chat = options();
	struct llama_session with, without;

	chat.flags = LLAMA_OPTION_GREEDY;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &chat), 0);
	ASSERT_TRUE(say(self->fd, "Hi\n"));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	with = info(self->fd);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_TRUE(say(self->fd, "Hi"));
	ASSERT_LE(0, read_answer(self->fd, self->other, sizeof(self->other), 4096));
	without = info(self->fd);
	EXPECT_EQ(with.prompt_tokens, without.prompt_tokens);
	EXPECT_STREQ(self->text, self->other);
	EXPECT_LT(3, with.prompt_tokens);
}

TEST_F(model, turns_are_held_for_the_next_answer)
{
	struct llama_turn held = turn("You count."), question = turn("1 2 3");
	struct llama_options chat = options();
	struct llama_session session;

	chat.flags = LLAMA_OPTION_GREEDY;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &chat), 0);
	held.role = LLAMA_ROLE_SYSTEM;
	held.flags = LLAMA_TURN_HOLD;
	ASSERT_EQ(turn_refusal(self->fd, held), 0);
	EXPECT_EQ(info(self->fd).state, LLAMA_STATE_IDLE);
	EXPECT_EQ(info(self->fd).tokens, 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_PREWARM, 0), 0);
	session = info(self->fd);
	EXPECT_EQ(session.state, LLAMA_STATE_IDLE);
	EXPECT_EQ(session.held_bytes, 0);
	EXPECT_LT(0, session.tokens);
	ASSERT_EQ(turn_refusal(self->fd, question), 0);
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	EXPECT_LE(session.tokens - 1, info(self->fd).cached_tokens);
	EXPECT_LT(session.tokens, info(self->fd).prompt_tokens);
}

TEST_F(model, what_is_held_stays_if_nobody_has_computed_it)
{
	long long seats = number_of(STATUS, "sessions_max"), context = number_of(STATUS, "context");
	struct llama_options chat = options(), longer = options();
	struct llama_turn held = turn("You count.");
	struct llama_session session;
	int fds[64];

	ASSERT_GE(ARRAY_SIZE(fds), seats);
	longer.max_tokens = context / (seats + 1);
	for (int i = 0; i < seats; i++) {
		fds[i] = open_with(longer, 0);
		ASSERT_LE(0, fds[i]);
		ASSERT_TRUE(say(fds[i], COUNT));
	}
	ASSERT_TRUE(status_becomes("sessions_active", seats));
	chat.flags = LLAMA_OPTION_GREEDY;
	chat.timeout_ms = 20;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &chat), 0);
	held.role = LLAMA_ROLE_SYSTEM;
	held.flags = LLAMA_TURN_HOLD;
	ASSERT_EQ(turn_refusal(self->fd, held), 0);
	EXPECT_EQ(ioctl(self->fd, LLAMA_IOC_PREWARM, 0), -1);
	EXPECT_EQ(errno, ETIMEDOUT);
	session = info(self->fd);
	EXPECT_EQ(session.held_bytes, held.text_len);
	EXPECT_EQ(session.tokens, 0);
	for (int i = 0; i < seats; i++)
		close(fds[i]);
	chat.timeout_ms = 0;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &chat), 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_PREWARM, 0), 0);
	session = info(self->fd);
	EXPECT_EQ(session.held_bytes, 0);
	EXPECT_LT(0, session.tokens);
}

TEST_F(model, writes_are_parts_of_a_turn_where_that_is_wanted)
{
	struct llama_options parts = options();
	struct pollfd poll_of_it = { .fd = self->fd, .events = POLLIN | POLLOUT };

	ASSERT_TRUE(say(self->fd, "1, 2, \xc3\xa9, 3, 4,"));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	parts.flags |= LLAMA_OPTION_APPEND;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &parts), 0);
	ASSERT_TRUE(say(self->fd, "1, 2, \xc3"));
	ASSERT_TRUE(say(self->fd, "\xa9, 3, 4,"));
	EXPECT_EQ(info(self->fd).state, LLAMA_STATE_IDLE);
	EXPECT_EQ(poll(&poll_of_it, 1, 0), 1);
	EXPECT_EQ(poll_of_it.revents, POLLIN | POLLOUT);
	ASSERT_LT(0, read_answer(self->fd, self->other, sizeof(self->other), 4096));
	EXPECT_STREQ(self->text, self->other);
	/* What is no text in the end is forgotten. */
	ASSERT_TRUE(say(self->fd, "\xc3"));
	EXPECT_EQ(read(self->fd, self->text, 1), -1);
	EXPECT_EQ(errno, EILSEQ);
	EXPECT_EQ(info(self->fd).held_bytes, 0);
	EXPECT_EQ(read(self->fd, self->text, 1), 0);
	/* However it would have been asked. */
	ASSERT_TRUE(say(self->fd, "\xc3"));
	EXPECT_EQ(turn_refusal(self->fd, turn("x")), EILSEQ);
	EXPECT_EQ(info(self->fd).held_bytes, 0);
	ASSERT_TRUE(say(self->fd, "\xc3"));
	parts.flags &= ~LLAMA_OPTION_APPEND;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &parts), 0);
	EXPECT_FALSE(say(self->fd, "x"));
	EXPECT_EQ(errno, EILSEQ);
	EXPECT_EQ(info(self->fd).held_bytes, 0);
}

TEST_F(model, characters_are_whole_wherever_there_is_room_for_them)
{
	struct llama_options bound = options();
	ssize_t len;

	bound.grammar = (uintptr_t)long_characters;
	bound.grammar_len = sizeof(long_characters);
	bound.max_tokens = 64;
	for (size_t piece = 1; piece <= 9; piece++) {
		struct iovec parts[2];

		ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
		ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &bound), 0);
		ASSERT_TRUE(say(self->fd, "x"));
		for (len = 0;;) {
			ssize_t got = read(self->fd, self->text + len, piece);

			ASSERT_LE(0, got);
			if (!got)
				break;
			if (piece >= 4)
				EXPECT_TRUE(is_utf8(self->text + len, got));
			len += got;
		}
		self->text[len] = '\0';
		EXPECT_STREQ(self->text, LONG_TEXT);
		EXPECT_EQ(info(self->fd).stop_reason, LLAMA_STOP_END);
		/* The second part of the room may end inside of a character. */
		ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
		ASSERT_TRUE(say(self->fd, "x"));
		parts[0] = (struct iovec) { self->text, 2 };
		parts[1] = (struct iovec) { self->text + 2, piece };
		len = readv(self->fd, parts, 2);
		ASSERT_LT(0, len);
		if (piece >= 2)
			EXPECT_TRUE(is_utf8(self->text, len));
		ASSERT_LE(0, read_answer(self->fd, self->other, sizeof(self->other), 4096));
	}
}

TEST_F(model, a_bad_buffer_loses_nothing)
{
	ssize_t len;

	ASSERT_TRUE(say(self->fd, COUNT));
	len = read_answer(self->fd, self->text, sizeof(self->text), 4096);
	ASSERT_LT(0, len);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_EQ(read(self->fd, (void *)bad_address, 4096), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(read_answer(self->fd, self->other, sizeof(self->other), 4096), len);
	EXPECT_STREQ(self->text, self->other);
}

TEST_F(model, nobody_waits_who_does_not_want_to)
{
	struct llama_options slow = options();
	struct pollfd poll_of_it;
	uint64_t end = now_ms() + PATIENCE_MS;
	ssize_t len = 0, got;
	int fd;

	slow.max_tokens = 64;
	fd = open_with(slow, O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, long_question(self->text, sizeof(self->text)));
	ASSERT_TRUE(say(fd, self->text));
	poll_of_it = (struct pollfd) { .fd = fd, .events = POLLIN | POLLOUT };
	EXPECT_EQ(write(fd, "x", 1), -1);
	EXPECT_EQ(errno, EAGAIN);
	EXPECT_EQ(read(fd, self->text, sizeof(self->text)), -1);
	EXPECT_EQ(errno, EAGAIN);
	while (now_ms() < end) {
		poll_of_it.events = POLLIN;
		ASSERT_EQ(poll(&poll_of_it, 1, PATIENCE_MS), 1);
		got = read(fd, self->text + len, sizeof(self->text) - 1 - len);
		ASSERT_LE(0, got);
		len += got;
		if (!got)
			break;
	}
	EXPECT_LT(0, len);
	poll_of_it.events = POLLIN | POLLOUT;
	EXPECT_EQ(poll(&poll_of_it, 1, 0), 1);
	EXPECT_EQ(poll_of_it.revents, POLLOUT);
	close(fd);
}

TEST_F(model, epoll_tells_of_each_part)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct llama_options slow = options();
	int epoll = epoll_create1(0), wakeups = 0;
	ssize_t got = 1;

	slow.max_tokens = 16;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &slow), 0);
	ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
	ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	while (got) {
		ASSERT_EQ(epoll_wait(epoll, &event, 1, PATIENCE_MS), 1);
		wakeups++;
		do {
			got = read(self->fd, self->text, sizeof(self->text));
		} while (got > 0);
		if (got < 0)
			ASSERT_EQ(errno, EAGAIN);
	}
	/* It is streamed, and not handed over as a whole. */
	EXPECT_LT(3, wakeups);
	close(epoll);
}

TEST_F(model, epoll_tells_of_what_was_appended)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct llama_options parts = options();
	int epoll = epoll_create1(0);

	parts.flags |= LLAMA_OPTION_APPEND;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &parts), 0);
	ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event), 0);
	EXPECT_EQ(epoll_wait(epoll, &event, 1, 0), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_EQ(epoll_wait(epoll, &event, 1, PATIENCE_MS), 1);
	close(epoll);
}

TEST_F(model, a_file_may_be_closed_while_it_is_watched)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	for (int i = 0; i < 20; i++) {
		int fd = open_session();

		ASSERT_LE(0, fd);
		ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
		ASSERT_TRUE(say(fd, COUNT));
		if (i % 2)
			sleep_ms(i);
		close(fd);
	}
	EXPECT_EQ(epoll_wait(epoll, &event, 1, 0), 0);
	close(epoll);
}

TEST_F(model, splices_to_a_pipe)
{
	ssize_t len, got, spliced = 0;
	int pipes[2];

	ASSERT_TRUE(say(self->fd, COUNT));
	len = read_answer(self->fd, self->text, sizeof(self->text), 4096);
	ASSERT_LT(0, len);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_EQ(pipe(pipes), 0);
	ASSERT_EQ(write(pipes[1], COUNT, strlen(COUNT)), strlen(COUNT));
	EXPECT_EQ(splice(pipes[0], NULL, self->fd, NULL, strlen(COUNT), 0), strlen(COUNT));
	while ((got = splice(self->fd, NULL, pipes[1], NULL, 4096, 0)) > 0) {
		ASSERT_EQ(read(pipes[0], self->other + spliced, got), got);
		spliced += got;
	}
	EXPECT_EQ(got, 0);
	self->other[spliced] = '\0';
	EXPECT_STREQ(self->text, self->other);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(model, a_fork_goes_its_own_way)
{
	struct llama_session before, after;
	int fork_of_it, fork_of_that;

	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_EQ(refusal(self->fd, LLAMA_IOC_FORK, NULL), EBUSY);
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	before = info(self->fd);
	fork_of_it = ioctl(self->fd, LLAMA_IOC_FORK, 0);
	ASSERT_LE(0, fork_of_it);
	EXPECT_EQ(info(fork_of_it).tokens, before.tokens);
	ASSERT_TRUE(say(fork_of_it, " one "));
	ASSERT_LE(0, read_answer(fork_of_it, self->text, sizeof(self->text), 4096));
	EXPECT_LE(before.tokens - 2, info(fork_of_it).cached_tokens);
	fork_of_that = ioctl(fork_of_it, LLAMA_IOC_FORK, 0);
	ASSERT_LE(0, fork_of_that);
	EXPECT_EQ(info(fork_of_that).tokens, info(fork_of_it).tokens);
	after = info(self->fd);
	EXPECT_EQ(after.tokens, before.tokens);
	close(fork_of_it);
	ASSERT_TRUE(say(fork_of_that, " two "));
	ASSERT_TRUE(say(self->fd, " three "));
	ASSERT_LE(0, read_answer(fork_of_that, self->text, sizeof(self->text), 4096));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	EXPECT_LT(info(self->fd).tokens, info(fork_of_that).tokens);
	close(fork_of_that);
}

TEST_F(model, forks_say_the_same_at_the_same_time)
{
	int fds[4];

	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	for (int i = 0; i < 4; i++) {
		fds[i] = ioctl(self->fd, LLAMA_IOC_FORK, 0);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_TRUE(say(self->fd, " 22,"));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	for (int i = 0; i < 4; i++)
		ASSERT_TRUE(say(fds[i], " 22,"));
	for (int i = 0; i < 4; i++) {
		EXPECT_LT(0, read_answer(fds[i], self->other, sizeof(self->other), 3));
		EXPECT_STREQ(self->text, self->other);
		close(fds[i]);
	}
}

TEST_F(model, a_stop_string_is_not_shown)
{
	struct llama_options stopping = options();
	char *comma;

	stopping.max_tokens = 32;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &stopping), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	comma = strstr(self->text, ", 1");
	if (!comma)
		SKIP(return, "the model does not go on counting");
	*comma = '\0';
	stopping.stops = (uintptr_t)"never\0, 1\0";
	stopping.stops_len = 10;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &stopping), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LE(0, read_answer(self->fd, self->other, sizeof(self->other), 4096));
	EXPECT_STREQ(self->text, self->other);
	EXPECT_EQ(info(self->fd).stop_reason, LLAMA_STOP_STRING);
}

TEST_F(model, tells_how_likely_the_tokens_were)
{
	struct llama_logprob entries[16] = { 0 };
	struct llama_logprobs asked = { .entries = (uintptr_t)entries, .count = 16 };
	struct llama_options rated = options();
	ssize_t len;

	ASSERT_TRUE(say(self->fd, "x"));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_LOGPROBS, &asked), 0);
	EXPECT_EQ(asked.count, 0);

	rated.flags |= LLAMA_OPTION_LOGPROBS;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &rated), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	len = read_answer(self->fd, self->text, sizeof(self->text), 4096);
	ASSERT_LT(0, len);
	EXPECT_EQ(info(self->fd).logprobs, 8);
	asked.count = 16;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_LOGPROBS, &asked), 0);
	ASSERT_EQ(asked.count, 8);
	for (int i = 0; i < 8; i++) {
		EXPECT_GE(0, entries[i].logprob_micro);
		/* The likeliest of a vocabulary. */
		EXPECT_LT(-13000000, entries[i].logprob_micro);
		EXPECT_EQ(entries[i].flags, 0);
		EXPECT_LE(i ? entries[i - 1].offset : 0, entries[i].offset);
		EXPECT_GE(len, entries[i].offset);
	}
	EXPECT_EQ(entries[8].token, 0);
	asked = (struct llama_logprobs) { .entries = (uintptr_t)&entries[8], .first = 7, .count = 4 };
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_LOGPROBS, &asked), 0);
	EXPECT_EQ(asked.count, 1);
	EXPECT_EQ(memcmp(&entries[7], &entries[8], sizeof(entries[7])), 0);
	asked.count = 1;
	asked.first = 0;
	asked.entries = bad_address;
	EXPECT_EQ(refusal(self->fd, LLAMA_IOC_LOGPROBS, &asked), EFAULT);
}

TEST_F(model, a_cancelled_answer_ends_and_stays_as_far_as_it_came)
{
	struct llama_options endless = options();
	struct llama_session session;

	endless.max_tokens = FOREVER;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read(self->fd, self->text, 1));
	EXPECT_EQ(info(self->fd).state, LLAMA_STATE_ANSWERING);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_CANCEL, 0), 0);
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	session = info(self->fd);
	EXPECT_EQ(session.stop_reason, LLAMA_STOP_CANCELLED);
	EXPECT_EQ(session.tokens, session.prompt_tokens + session.response_tokens);
	/* A second time there is nothing. */
	EXPECT_EQ(ioctl(self->fd, LLAMA_IOC_CANCEL, 0), 0);
	endless.max_tokens = 4;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(self->fd, " 5,"));
	EXPECT_LE(session.tokens, info(self->fd).tokens);
	EXPECT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	EXPECT_LT(session.tokens, info(self->fd).prompt_tokens);
}

TEST_F(model, a_turn_has_its_time)
{
	struct llama_options endless = options();

	endless.max_tokens = FOREVER;
	endless.timeout_ms = 100;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	EXPECT_EQ(info(self->fd).stop_reason, LLAMA_STOP_TIMEOUT);
}

TEST_F(model, a_turn_has_its_time_also_in_the_queue)
{
	struct llama_options endless = options();
	int other = open_session();

	ASSERT_LE(0, other);
	endless.max_tokens = FOREVER;
	ASSERT_EQ(ioctl(other, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(other, COUNT));
	ASSERT_LT(0, read(other, self->other, 1));
	/* It has all of the context. */
	endless.timeout_ms = 100;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_EQ(read_answer(self->fd, self->text, sizeof(self->text), 4096), 0);
	EXPECT_EQ(info(self->fd).stop_reason, LLAMA_STOP_TIMEOUT);
	EXPECT_EQ(info(other).state, LLAMA_STATE_ANSWERING);
	close(other);
}

TEST_F(model, a_full_context_drops_the_oldest_or_fails)
{
	struct llama_options many = options();
	struct llama_session session;
	long long context = number_of(STATUS, "context");
	char *words;

	if (context > 1024)
		SKIP(return, "takes long with a context of %lld", context);
	/* A token for each number and comma at most, so more than a context. */
	words = calloc(context + 1, 4);
	ASSERT_NE(words, NULL);
	for (int i = 0; i < context; i++)
		strcat(words + i, i % 2 ? "," : "1");
	ASSERT_TRUE(say(self->fd, words));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	ASSERT_TRUE(say(self->fd, words));
	ASSERT_LE(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	session = info(self->fd);
	EXPECT_EQ(session.error, 0);
	EXPECT_LE(session.tokens, context);

	many.flags |= LLAMA_OPTION_KEEP;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &many), 0);
	ASSERT_TRUE(say(self->fd, words));
	EXPECT_EQ(read(self->fd, self->text, 1), -1);
	EXPECT_EQ(errno, EOVERFLOW);
	/* Once, and the turn was not said. */
	EXPECT_EQ(read(self->fd, self->text, 1), 0);
	EXPECT_EQ(info(self->fd).error, EOVERFLOW);
	EXPECT_EQ(info(self->fd).tokens, session.tokens);
	free(words);
}

TEST_F(model, the_system_call_asks_in_a_session)
{
	struct llama_command command = {
		.flags = LLAMA_RAW | LLAMA_GREEDY | LLAMA_SESSION,
		.prompt = (uintptr_t)" 22,", .prompt_len = 4,
		.response = (uintptr_t)self->other, .response_len = sizeof(self->other) - 1,
		.max_tokens = 4, .repeat_penalty_milli = 1000,
		.session = self->fd,
	};
	struct llama_session before;
	struct llama_options endless = options();

	ASSERT_TRUE(say(self->fd, COUNT));
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	before = info(self->fd);
	ASSERT_LT(0, syscall(__NR_llama_command, &command, sizeof(command)));
	EXPECT_LT(before.tokens, command.prompt_tokens);
	EXPECT_EQ(command.response_tokens, 4);
	EXPECT_EQ(info(self->fd).tokens, command.prompt_tokens + 4);
	/* Nothing is left to be read. */
	EXPECT_EQ(info(self->fd).state, LLAMA_STATE_IDLE);
	EXPECT_EQ(read(self->fd, self->text, 1), 0);

	endless.max_tokens = FOREVER;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_EQ(syscall(__NR_llama_command, &command, sizeof(command)), -1);
	EXPECT_EQ(errno, EBUSY);
}

TEST_F(model, a_descriptor_that_is_no_session_is_refused)
{
	struct llama_command command = {
		.flags = LLAMA_SESSION, .prompt = (uintptr_t)"x", .prompt_len = 1,
	};
	int fd = open("/dev/null", O_RDWR);

	command.session = fd;
	EXPECT_EQ(syscall(__NR_llama_command, &command, sizeof(command)), -1);
	EXPECT_EQ(errno, EINVAL);
	close(fd);
	EXPECT_EQ(syscall(__NR_llama_command, &command, sizeof(command)), -1);
	EXPECT_EQ(errno, EBADF);
	command.session = -1;
	EXPECT_EQ(syscall(__NR_llama_command, &command, sizeof(command)), -1);
	EXPECT_EQ(errno, EBADF);
	command.flags = 0;
	EXPECT_EQ(syscall(__NR_llama_command, &command, sizeof(command)), -1);
	EXPECT_EQ(errno, EINVAL);
}

TEST_F(model, fdinfo_shows_the_state)
{
	char value[64];

	ASSERT_TRUE(fdinfo(self->fd, "llama-state", value, sizeof(value)));
	EXPECT_STREQ(value, "idle");
	ASSERT_TRUE(say(self->fd, COUNT));
	for (uint64_t end = now_ms() + PATIENCE_MS;
	     info(self->fd).state == LLAMA_STATE_ANSWERING && now_ms() < end;)
		sleep_ms(2);
	ASSERT_TRUE(fdinfo(self->fd, "llama-state", value, sizeof(value)));
	EXPECT_STREQ(value, "answered");
	ASSERT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	ASSERT_TRUE(fdinfo(self->fd, "llama-tokens", value, sizeof(value)));
	EXPECT_EQ(atoi(value), info(self->fd).tokens);
	ASSERT_TRUE(fdinfo(self->fd, "llama-unread", value, sizeof(value)));
	EXPECT_STREQ(value, "0");
}

TEST_F(model, who_does_not_read_holds_nobody_up)
{
	struct llama_options longer = options();
	int fds[8];

	longer.max_tokens = 32;
	for (int i = 0; i < 8; i++) {
		fds[i] = open_with(longer, 0);
		ASSERT_LE(0, fds[i]);
		ASSERT_TRUE(say(fds[i], COUNT));
	}
	/* Eight that nobody reads, of which four are answered at once. */
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
	ASSERT_TRUE(status_becomes("sessions_active", 0));
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(info(fds[i]).state, LLAMA_STATE_ANSWERED);
		close(fds[i]);
	}
}

TEST_F(model, closing_while_it_answers_ends_the_answer)
{
	struct llama_options endless = options();

	endless.max_tokens = FOREVER;
	for (int i = 0; i < 12; i++) {
		int fd = open_with(endless, 0);

		ASSERT_LE(0, fd);
		ASSERT_TRUE(say(fd, COUNT));
		if (i % 3 == 1)
			sleep_ms(i);
		if (i % 3 == 2)
			ASSERT_LT(0, read(fd, self->text, 2));
		close(fd);
	}
	EXPECT_TRUE(status_becomes("sessions_active", 0));
}

TEST_F(model, a_reset_while_it_answers_is_an_end)
{
	struct llama_options endless = options();

	endless.max_tokens = FOREVER;
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &endless), 0);
	for (int i = 0; i < 6; i++) {
		ASSERT_TRUE(say(self->fd, COUNT));
		sleep_ms(3 * i);
		ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
		EXPECT_EQ(info(self->fd).state, LLAMA_STATE_IDLE);
		EXPECT_EQ(read(self->fd, self->text, 1), 0);
	}
}

/* Readers and writers that are killed, at many points of an answer. */
TEST_F(model, killed_readers_and_writers_leave_nothing_behind)
{
	struct llama_options endless = options();

	endless.max_tokens = FOREVER;
	for (int i = 0; i < 24; i++) {
		pid_t pid = fork();

		if (!pid) {
			int fd = open_with(endless, 0);

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (i % 4 == 3)
				ioctl(fd, LLAMA_IOC_PREWARM, 0);
			say(fd, COUNT);
			if (i % 4 == 1)
				say(fd, "waits for the end of the answer");
			while (read(fd, self->text, 1) > 0)
				;
			_exit(0);
		}
		ASSERT_LT(0, pid);
		sleep_ms(i % 8 * 7);
		EXPECT_TRUE(killed(pid));
	}
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
}

static void ignore(int signal)
{
	(void)signal;
}

TEST_F(model, a_signal_interrupts_a_reader_and_not_the_answer)
{
	struct sigaction action = { .sa_handler = ignore };
	struct llama_options slow = options();
	int err = 0, interrupted = 0;
	pid_t pid;

	slow.max_tokens = 24;
	ASSERT_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &slow), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			kill(getppid(), SIGUSR1);
			sleep_ms(5);
		}
	}
	ASSERT_LT(0, pid);
	while (!say(self->fd, COUNT))
		ASSERT_EQ(errno, EINTR);
	for (;;) {
		ssize_t got = read(self->fd, self->text, sizeof(self->text));

		if (!got)
			break;
		if (got < 0) {
			err = errno;
			interrupted++;
			if (err != EINTR)
				break;
		}
	}
	EXPECT_TRUE(killed(pid));
	EXPECT_TRUE(!interrupted || err == EINTR);
	EXPECT_EQ(info(self->fd).response_tokens, 24);
}

struct race {
	int fd;
	bool stop;
};

static void *race_reads(void *data)
{
	struct race *race = data;
	char text[64];

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED))
		if (read(race->fd, text, sizeof(text)) <= 0)
			sleep_ms(1);
	return NULL;
}

static void *race_writes(void *data)
{
	struct race *race = data;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED))
		if (!say(race->fd, "1, 2, 3,"))
			sleep_ms(1);
	return NULL;
}

/* All that can be done with one descriptor, at the same time. */
TEST_F(model, threads_share_a_descriptor)
{
	struct race race = { .fd = self->fd };
	pthread_t threads[4];
	char value[64];

	ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, i % 2 ? race_reads : race_writes,
					 &race), 0);
	for (int i = 0; i < 60; i++) {
		struct pollfd poll_of_it = { .fd = self->fd, .events = POLLIN | POLLOUT };
		int fd;

		poll(&poll_of_it, 1, 1);
		EXPECT_NE(info(self->fd).state, UINT_MAX);
		EXPECT_TRUE(fdinfo(self->fd, "llama-state", value, sizeof(value)));
		fd = ioctl(self->fd, LLAMA_IOC_FORK, O_NONBLOCK);
		if (fd >= 0) {
			say(fd, "x");
			close(fd);
		}
		if (i % 5 == 0)
			EXPECT_EQ(ioctl(self->fd, LLAMA_IOC_CANCEL, 0), 0);
		if (i % 7 == 0)
			EXPECT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
		sleep_ms(5);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_TRUE(status_becomes("sessions_active", 0));
	ASSERT_TRUE(status_becomes("requests_waiting", 0));
	ASSERT_EQ(fcntl(self->fd, F_SETFL, 0), 0);
	ASSERT_TRUE(say(self->fd, COUNT));
	EXPECT_LT(0, read_answer(self->fd, self->text, sizeof(self->text), 4096));
}

TEST_F(model, opening_a_thousand_times_takes_no_memory)
{
	long long reserved = number_of(RESERVED, "free");
	struct llama_turn held = turn("some text that is held");
	long before = 0;

	held.flags = LLAMA_TURN_HOLD;
	for (int i = 0; i < 1200; i++) {
		int fd = open_session(), fork_of_it, prompt;
		pid_t pid = 0;

		ASSERT_LE(0, fd);
		ASSERT_EQ(turn_refusal(fd, held), 0);
		fork_of_it = ioctl(fd, LLAMA_IOC_FORK, 0);
		ASSERT_LE(0, fork_of_it);
		prompt = open(PROMPT, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, prompt);
		/* One that has them as well, and ends first or last. */
		if (i % 4 == 0)
			pid = fork();
		if (i % 4 == 0 && !pid) {
			sleep_ms(i % 8);
			_exit(0);
		}
		if (i % 50 == 0) {
			ASSERT_TRUE(say(fork_of_it, "x"));
			/* Nobody reads the answer, and the next question ends it. */
			ASSERT_TRUE(say(prompt, "Hi"));
		}
		close(fd);
		close(fork_of_it);
		close(prompt);
		if (pid)
			ASSERT_TRUE(exited(pid));
		if (i == 200) {
			ASSERT_TRUE(status_becomes("sessions_active", 0));
			drain();
			before = unreclaimable_kb();
		}
	}
	ASSERT_TRUE(status_becomes("sessions_active", 0));
	drain();
	TH_LOG("growth: %ld KiB", unreclaimable_kb() - before);
	/* A page for each of 1000 times would be 4000. */
	EXPECT_GT(before + 1000, unreclaimable_kb());
	if (number_of(RESERVED, "reserved") > 0) {
		EXPECT_EQ(number_of(RESERVED, "free"), reserved);
	}
}

TEST_HARNESS_MAIN
