// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/llama-backend: models that a program answers for, which these tests are.
 *
 * They need no model of the kernel's own, and get along with one.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "common.h"
#include "grammars.h"
#include "session.h"
#include "sysfs_llamux.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define NODE		"/dev/llama-backend"
#define PROMPT		"/proc/llamux/prompt"
#define NAME		"selftest-echo"
#define SHORT_MS	400	/* for what is to take too long */

/* What a backend reads. */
struct message {
	struct llama_backend_request request;
	struct llama_backend_turn turns[LLAMA_BACKEND_TURNS_MAX];
	char text[LLAMA_PROMPT_MAX + 8192];	/* of all turns; a NUL behind it */
	const char *stops;
};

/* Nothing is there; the compiler does not know. */
static volatile uintptr_t bad_address = 1;

static struct llama_backend able(void)
{
	return (struct llama_backend) {
		.flags = LLAMA_BACKEND_CHAT | LLAMA_BACKEND_RAW,
		.name = (uintptr_t)NAME,
		.name_len = strlen(NAME),
		.context = 4096,
		.active = 4,
	};
}

/* The errno with which a registration fails, or 0. */
static int registers(int fd, struct llama_backend backend)
{
	return ioctl(fd, LLAMA_IOC_BACKEND, &backend) ? errno : 0;
}

/* A registered backend, or the negative errno. */
static int open_backend(struct llama_backend backend)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? errno : registers(fd, backend);

	if (err && fd >= 0)
		close(fd);
	return err ? -err : fd;
}

/* Takes a message apart; whether it is whole. */
static bool parse(const char *bytes, size_t len, struct message *message)
{
	size_t at = sizeof(message->request), all = 0;

	if (len < at)
		return false;
	memcpy(&message->request, bytes, at);
	if (message->request.size != len || message->request.turns > LLAMA_BACKEND_TURNS_MAX)
		return false;
	if (message->request.kind == LLAMA_MESSAGE_CANCEL)
		return len == at;
	for (unsigned int i = 0; i < message->request.turns; i++) {
		memcpy(&message->turns[i], bytes + at, sizeof(message->turns[i]));
		at += sizeof(message->turns[i]);
		all += message->turns[i].len;
	}
	if (at + all + message->request.stops_len + message->request.grammar_len != len ||
	    all >= sizeof(message->text))
		return false;
	memcpy(message->text, bytes + at, all);
	message->text[all] = '\0';
	return message->request.kind == LLAMA_MESSAGE_ASK;
}

/* Reads the next message; the errno, or 0. */
static int next(int fd, struct message *message)
{
	char *bytes = malloc(LLAMA_BACKEND_MESSAGE_MAX);
	ssize_t len = bytes ? read(fd, bytes, LLAMA_BACKEND_MESSAGE_MAX) : -1;
	int err = len < 0 ? errno : 0;

	if (!err && !parse(bytes, len, message))
		err = EBADMSG;
	free(bytes);
	return err;
}

/* Whether there is something to be read now. */
static bool readable(int fd, int ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, ms) == 1 && poller.revents & POLLIN;
}

/* Writes a message; the errno, or 0. */
static int reply(int fd, struct llama_backend_reply reply, const void *rest, size_t len)
{
	struct iovec parts[] = { { &reply, sizeof(reply) }, { (void *)rest, len } };
	ssize_t done = writev(fd, parts, 2);

	if (done < 0)
		return errno;
	return done == (ssize_t)(sizeof(reply) + len) ? 0 : EPROTO;
}

static int say_text(int fd, __u64 id, const char *text)
{
	struct llama_backend_reply part = { .id = id, .kind = LLAMA_REPLY_TEXT };

	return reply(fd, part, text, strlen(text));
}

static int end_it(int fd, __u64 id, unsigned int prompt_tokens)
{
	struct llama_backend_reply end = {
		.id = id,
		.kind = LLAMA_REPLY_END,
		.stop_reason = LLAMA_STOP_END,
		.prompt_tokens = prompt_tokens,
	};

	return reply(fd, end, NULL, 0);
}

/* Somebody who asks by the system call, in a thread. */
struct asker {
	pthread_t thread;
	struct llama_command command;
	char text[4096];
	long ret;
	int err;
	uint64_t ms;
};

static void *asks(void *data)
{
	struct asker *asker = data;
	uint64_t begun = now_ms();

	asker->command.response = (uintptr_t)asker->text;
	asker->command.response_len = sizeof(asker->text) - 1;
	asker->ret = llama_command(&asker->command, sizeof(asker->command));
	asker->err = asker->ret < 0 ? errno : 0;
	asker->ms = now_ms() - begun;
	return NULL;
}

static struct llama_command question(const char *text)
{
	return (struct llama_command) {
		.prompt = (uintptr_t)text,
		.prompt_len = strlen(text),
		.max_tokens = 100,
	};
}

static bool begin(struct asker *asker, struct llama_command command)
{
	memset(asker, 0, sizeof(*asker));
	asker->command = command;
	return !pthread_create(&asker->thread, NULL, asks, asker);
}

static bool join(struct asker *asker)
{
	return !pthread_join(asker->thread, NULL);
}

/* A session with the model of this name. */
static int session_with(const char *name, struct llama_options options, int flags)
{
	struct llama_model_name model = { .name = (uintptr_t)name, .name_len = strlen(name) };
	int fd = open_with(options, flags);

	if (fd >= 0 && ioctl(fd, LLAMA_IOC_MODEL, &model)) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct llama_options plain(void)
{
	return (struct llama_options) { .max_tokens = 100 };
}

FIXTURE(backend)
{
	int fd;
	char before[300];	/* the default */
	struct message *message;
};

FIXTURE_SETUP(backend)
{
	while (state_is("loading"))
		sleep_ms(10);
	get("default", self->before, sizeof(self->before));
	self->message = calloc(1, sizeof(*self->message));
	ASSERT_NE(self->message, NULL);
	self->fd = open_backend(able());
	ASSERT_LE(0, self->fd) TH_LOG("%s", strerror(-self->fd));
	ASSERT_EQ(put("default", NAME), 0);
}

FIXTURE_TEARDOWN(backend)
{
	close(self->fd);
	if (*self->before)
		put("default", self->before);
	free(self->message);
}

/* Another backend instead. */
static int instead(int fd, struct llama_backend backend)
{
	close(fd);
	fd = open_backend(backend);
	if (fd >= 0 && put("default", NAME)) {
		close(fd);
		return -1;
	}
	return fd;
}

TEST(the_node_is_for_root)
{
	struct stat stat_of_it;
	pid_t pid;

	ASSERT_EQ(stat(NODE, &stat_of_it), 0);
	EXPECT_TRUE(S_ISCHR(stat_of_it.st_mode));
	EXPECT_EQ(stat_of_it.st_mode & 07777, 0600);
	EXPECT_EQ(stat_of_it.st_uid, 0);
	/* And the mode is not all: it takes the capability, too. */
	ASSERT_EQ(chmod(NODE, 0666), 0);
	pid = fork();
	if (!pid) {
		if (setuid(12345))
			_exit(2);
		_exit(open(NODE, O_RDWR) >= 0 || errno != EPERM);
	}
	EXPECT_TRUE(exited(pid));
	ASSERT_EQ(chmod(NODE, 0600), 0);
	pid = fork();
	if (!pid) {
		if (setuid(12345))
			_exit(2);
		_exit(open(NODE, O_RDWR) >= 0 || errno != EACCES);
	}
	EXPECT_TRUE(exited(pid));
}

TEST(structures_have_the_documented_sizes)
{
	EXPECT_EQ(sizeof(struct llama_backend), 40);
	EXPECT_EQ(sizeof(struct llama_backend_request), 80);
	EXPECT_EQ(sizeof(struct llama_backend_turn), 8);
	EXPECT_EQ(sizeof(struct llama_backend_reply), 48);
}

TEST(nothing_is_read_or_written_before_a_model_is_registered)
{
	struct pollfd poller = { .events = POLLIN };
	struct llama_backend_reply alive = { .id = 1, .kind = LLAMA_REPLY_ALIVE };
	char bytes[200];
	int fd = open(NODE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(read(fd, bytes, sizeof(bytes)), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(reply(fd, alive, NULL, 0), EINVAL);
	poller.fd = fd;
	EXPECT_EQ(poll(&poller, 1, 0), 1);
	EXPECT_EQ(poller.revents, POLLERR);
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), -1);
	EXPECT_EQ(errno, ENOTTY);
	close(fd);
}

TEST(each_bad_registration_has_its_errno)
{
	char name[LLAMA_MODEL_NAME_MAX + 1];
	struct {
		struct llama_backend known;
		__u64 more;
	} larger = { .known = able() };
	unsigned long cmd = _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 15, sizeof(larger));
	struct llama_backend bad;
	int fd = open(NODE, O_RDWR);

	ASSERT_LE(0, fd);
#define REFUSED(change, errno_)	({ bad = able(); change; EXPECT_EQ(registers(fd, bad), errno_); })
	REFUSED(bad.flags |= 1 << 4, EINVAL);
	REFUSED(bad.flags = 0, EINVAL);
	REFUSED(bad.flags = LLAMA_BACKEND_LOGPROBS, EINVAL);
	REFUSED(bad.reserved = 1, EINVAL);
	REFUSED(bad.context = 0, EINVAL);
	REFUSED(bad.active = 0, EINVAL);
	REFUSED(bad.active = LLAMA_BACKEND_ACTIVE_MAX + 1, EINVAL);
	REFUSED(bad.embedding = 65537, EINVAL);
	REFUSED(bad.timeout_ms = 3600001, EINVAL);
	REFUSED(bad.name_len = 0, EINVAL);
	REFUSED(bad.name = bad_address, EFAULT);
	memset(name, 'a', sizeof(name));
	REFUSED((bad.name = (uintptr_t)name, bad.name_len = sizeof(name)), ENAMETOOLONG);
	REFUSED((bad.name = (uintptr_t)"/a", bad.name_len = 2), EINVAL);
	REFUSED((bad.name = (uintptr_t)"a/../b", bad.name_len = 6), EINVAL);
	REFUSED((bad.name = (uintptr_t)"a\n", bad.name_len = 2), EINVAL);
	REFUSED((bad.name = (uintptr_t)"\xff", bad.name_len = 1), EINVAL);
#undef REFUSED
	larger.more = 1;
	EXPECT_EQ(ioctl(fd, cmd, &larger), -1);
	EXPECT_EQ(errno, E2BIG);
	EXPECT_EQ(ioctl(fd, _IOC(_IOC_WRITE, LLAMA_IOC_MAGIC, 15, 32), &larger), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_BACKEND, bad_address), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_FALSE(listed(NAME));
	/* After all of that it may still be one. */
	larger.more = 0;
	EXPECT_EQ(ioctl(fd, cmd, &larger), 0);
	EXPECT_TRUE(is(NAME, "ready"));
	close(fd);
	EXPECT_FALSE(listed(NAME));
}

TEST_F(backend, a_name_is_taken_once)
{
	char value[64];
	int fd;

	EXPECT_EQ(registers(self->fd, able()), EBUSY);
	EXPECT_EQ(open_backend(able()), -EEXIST);
	ASSERT_TRUE(field_of(NAME, "weights", value, sizeof(value)));
	EXPECT_STREQ(value, "backend");
	ASSERT_TRUE(field_of(NAME, "default", value, sizeof(value)));
	EXPECT_STREQ(value, "yes");
	EXPECT_EQ(put("load", NAME), EEXIST);
	close(self->fd);
	fd = open_backend(able());
	EXPECT_LE(0, fd);
	self->fd = fd;
}

TEST_F(backend, the_system_call_is_answered)
{
	struct llama_command command = question("Why?");
	struct message *message = self->message;
	struct llama_backend_reply end = {
		.kind = LLAMA_REPLY_END,
		.stop_reason = LLAMA_STOP_LENGTH,
		.tokens = 7,
		.prompt_tokens = 12,
		.cached_tokens = 3,
	};
	struct asker asker;

	command.temperature_milli = 700;
	command.top_k = 5;
	command.top_p_milli = 600;
	command.min_p_milli = 20;
	command.repeat_penalty_milli = 1100;
	command.seed = 99;
	command.timeout_ms = 60000;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.flags, 0);
	EXPECT_EQ(message->request.uid, 0);
	EXPECT_EQ(message->request.max_tokens, 100);
	EXPECT_EQ(message->request.seed, 99);
	EXPECT_EQ(message->request.temperature_milli, 700);
	EXPECT_EQ(message->request.top_k, 5);
	EXPECT_EQ(message->request.top_p_milli, 600);
	EXPECT_EQ(message->request.min_p_milli, 20);
	EXPECT_EQ(message->request.repeat_penalty_milli, 1100);
	EXPECT_LT(0, message->request.timeout_ms);
	EXPECT_GE(60000, message->request.timeout_ms);
	EXPECT_EQ(message->request.turns, 1);
	EXPECT_EQ(message->turns[0].role, LLAMA_ROLE_USER);
	EXPECT_STREQ(message->text, "Why?");
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec\xc3\xa4"), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "use."), 0);
	end.id = message->request.id;
	EXPECT_EQ(reply(self->fd, end, NULL, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 9);
	EXPECT_STREQ(asker.text, "Bec\xc3\xa4use.");
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_LENGTH);
	EXPECT_EQ(asker.command.response_tokens, 7);
	EXPECT_EQ(asker.command.prompt_tokens, 12);
	/* It has ended. */
	EXPECT_EQ(say_text(self->fd, end.id, "x"), ECANCELED);
}

TEST_F(backend, raw_and_greedy_are_told)
{
	struct llama_command command = question("1, 2,");
	struct message *message = self->message;
	struct asker asker;

	command.flags = LLAMA_RAW | LLAMA_GREEDY;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.flags, LLAMA_ASK_RAW | LLAMA_ASK_GREEDY);
	EXPECT_EQ(message->request.temperature_milli, 0);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_END);
}

TEST_F(backend, the_file_in_proc_is_answered)
{
	struct message *message = self->message;
	int fd = open(PROMPT, O_RDWR);
	char text[100] = "";
	pid_t pid;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(say(fd, "Why?\n"));
	pid = fork();
	if (!pid) {
		if (next(self->fd, message) || strcmp(message->text, "Why?") ||
		    say_text(self->fd, message->request.id, "So.") ||
		    end_it(self->fd, message->request.id, 0))
			_exit(1);
		_exit(0);
	}
	EXPECT_EQ(read(fd, text, sizeof(text) - 1), 4);
	EXPECT_STREQ(text, "So.\n");
	EXPECT_TRUE(exited(pid));
	close(fd);
}

TEST_F(backend, an_administrators_text_comes_first)
{
	struct message *message = self->message;
	struct asker asker;

	ASSERT_EQ(put("system_prompt", "Be brief."), 0);
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_EQ(next(self->fd, message), 0);
	ASSERT_EQ(put("system_prompt", "\n"), 0);
	EXPECT_EQ(message->request.turns, 2);
	EXPECT_EQ(message->turns[0].role, LLAMA_ROLE_SYSTEM);
	EXPECT_EQ(message->turns[0].len, 9);
	EXPECT_STREQ(message->text, "Be brief.Why?");
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&asker));
}

TEST_F(backend, a_session_streams_and_remembers)
{
	struct llama_turn hold = { .flags = LLAMA_TURN_HOLD, .role = LLAMA_ROLE_SYSTEM };
	struct llama_command command = question("Anew?");
	struct message *message = self->message;
	struct llama_session state;
	struct asker asker;
	char text[200], name[200] = "";
	int fd = session_with(NAME, plain(), 0), copy;

	ASSERT_LE(0, fd);
	state = (struct llama_session) { .name = (uintptr_t)name, .name_len = sizeof(name) - 1 };
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_INFO, &state), 0);
	EXPECT_EQ(state.model, LLAMA_MODEL_READY);
	EXPECT_EQ(state.context, 4096);
	EXPECT_STREQ(name, NAME);
	hold.text = (uintptr_t)"Be kind.";
	hold.text_len = 8;
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_TURN, &hold), 0);
	/* There is nothing to be computed ahead. */
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_PREWARM, 0), 0);
	EXPECT_FALSE(readable(self->fd, 0));
	ASSERT_TRUE(say(fd, "Why?\n"));
	ASSERT_TRUE(readable(self->fd, PATIENCE_MS));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.turns, 2);
	EXPECT_EQ(message->turns[0].role, LLAMA_ROLE_SYSTEM);
	EXPECT_EQ(message->turns[1].role, LLAMA_ROLE_USER);
	EXPECT_STREQ(message->text, "Be kind.Why?");
	EXPECT_FALSE(readable(fd, 0));
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	EXPECT_TRUE(readable(fd, PATIENCE_MS));
	EXPECT_EQ(read(fd, text, sizeof(text)), 3);
	EXPECT_EQ(info(fd).state, LLAMA_STATE_ANSWERING);
	EXPECT_EQ(say_text(self->fd, message->request.id, "ause."), 0);
	EXPECT_EQ(end_it(self->fd, message->request.id, 20), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 3), 5);
	EXPECT_STREQ(text, "ause.");
	state = info(fd);
	EXPECT_EQ(state.tokens, 22);
	EXPECT_EQ(state.prompt_tokens, 20);
	EXPECT_EQ(state.response_tokens, 2);
	EXPECT_EQ(state.stop_reason, LLAMA_STOP_END);

	/* All of it is in the next request, and in those of a copy. */
	copy = ioctl(fd, LLAMA_IOC_FORK, 0);
	ASSERT_LE(0, copy);
	for (int i = 0; i < 2; i++) {
		int with = i ? copy : fd;

		ASSERT_TRUE(say(with, "And?"));
		ASSERT_EQ(next(self->fd, message), 0);
		EXPECT_EQ(message->request.turns, 4);
		EXPECT_EQ(message->turns[2].role, LLAMA_ROLE_ASSISTANT);
		EXPECT_STREQ(message->text, "Be kind.Why?Because.And?");
		EXPECT_EQ(say_text(self->fd, message->request.id, "!"), 0);
		EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
		EXPECT_EQ(read_answer(with, text, sizeof(text), 9), 1);
	}
	/* The system call asks there, too. */
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), 0);
	command.flags = LLAMA_SESSION;
	command.session = fd;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.turns, 1);
	EXPECT_STREQ(message->text, "Anew?");
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
	close(copy);
	close(fd);
}

/* One turn of so many bytes, and an answer of one. */
static int talk_of(int fd, int backend, struct message *message, char *text, size_t len)
{
	char answer[10];
	struct llama_turn turn = { .text = (uintptr_t)text, .text_len = len };

	if (ioctl(fd, LLAMA_IOC_TURN, &turn))
		return errno;
	if (next(backend, message) || say_text(backend, message->request.id, "!") ||
	    end_it(backend, message->request.id, 0))
		return EPROTO;
	return read_answer(fd, answer, sizeof(answer), 9) == 1 ? 0 : EIO;
}

TEST_F(backend, the_oldest_turns_are_dropped_where_the_text_is_too_long)
{
	const size_t len = LLAMA_PROMPT_MAX / 3;
	struct llama_turn hold = {
		.flags = LLAMA_TURN_HOLD, .role = LLAMA_ROLE_SYSTEM,
		.text = (uintptr_t)"Be kind.", .text_len = 8,
	};
	struct llama_options keep = plain();
	struct message *message = self->message;
	char *text = malloc(LLAMA_PROMPT_MAX);
	int fd = session_with(NAME, plain(), 0);

	ASSERT_NE(text, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_TURN, &hold), 0);
	for (int i = 0; i < 4; i++) {
		memset(text, '1' + i, len);
		ASSERT_EQ(talk_of(fd, self->fd, message, text, len), 0);
		/* With the first one: 1; 1, 2; 2, 3; 3, 4. */
		EXPECT_EQ(message->request.turns, i ? 4 : 2);
		EXPECT_EQ(message->turns[0].role, LLAMA_ROLE_SYSTEM);
		EXPECT_EQ(message->turns[1].role, LLAMA_ROLE_USER);
		EXPECT_EQ(message->text[8], i > 1 ? '0' + i : '1');
		EXPECT_FALSE(message->request.flags & LLAMA_ASK_KEEP);
	}
	keep.flags = LLAMA_OPTION_KEEP;
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_SET, &keep), 0);
	EXPECT_EQ(talk_of(fd, self->fd, message, text, len), EOVERFLOW);
	ASSERT_EQ(talk_of(fd, self->fd, message, text, 100), 0);
	EXPECT_EQ(message->request.turns, 6);
	EXPECT_TRUE(message->request.flags & LLAMA_ASK_KEEP);
	free(text);
	close(fd);
}

TEST_F(backend, a_request_has_so_many_turns_at_most)
{
	struct llama_turn hold = {
		.flags = LLAMA_TURN_HOLD, .text = (uintptr_t)"x", .text_len = 1,
	};
	struct llama_command command = question("Why?");
	struct message *message = self->message;
	int fd = session_with(NAME, plain(), 0), err = 0;
	struct asker asker;

	ASSERT_LE(0, fd);
	command.flags = LLAMA_SESSION;
	command.session = fd;
	ASSERT_EQ(put("system_prompt", "Be brief."), 0);
	for (int all = 0; !err && all <= LLAMA_BACKEND_TURNS_MAX; all += LLAMA_HELD_MAX) {
		for (int i = 0; i < LLAMA_HELD_MAX; i++)
			EXPECT_EQ(ioctl(fd, LLAMA_IOC_TURN, &hold), 0);
		ASSERT_TRUE(begin(&asker, command));
		err = next(self->fd, message);
		EXPECT_EQ(err, 0);
		EXPECT_EQ(message->turns[0].role, LLAMA_ROLE_SYSTEM);
		EXPECT_EQ(say_text(self->fd, message->request.id, "!"), 0);
		EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
		ASSERT_TRUE(join(&asker));
	}
	EXPECT_EQ(put("system_prompt", "\n"), 0);
	/* But for an answer whose question had to go. */
	EXPECT_LE(LLAMA_BACKEND_TURNS_MAX - 1, message->request.turns);
	close(fd);
}

TEST_F(backend, a_stop_ends_an_answer_and_the_backend_is_told)
{
	struct llama_options options = plain();
	struct message *message = self->message;
	char text[100];
	__u64 id;
	int fd;

	options.stops = (uintptr_t)"END";
	options.stops_len = 4;
	fd = session_with(NAME, options, 0);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.stops_len, 4);
	id = message->request.id;
	EXPECT_EQ(say_text(self->fd, id, "abE"), 0);
	EXPECT_EQ(say_text(self->fd, id, "NDcd"), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 9), 2);
	EXPECT_STREQ(text, "ab");
	EXPECT_EQ(info(fd).stop_reason, LLAMA_STOP_STRING);
	EXPECT_EQ(say_text(self->fd, id, "x"), ECANCELED);
	ASSERT_TRUE(readable(self->fd, 0));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	EXPECT_EQ(message->request.id, id);
	EXPECT_FALSE(readable(self->fd, 0));
	/* What was held back comes in the end. */
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "abEN"), 0);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 9), 4);
	close(fd);
}

TEST_F(backend, an_answer_is_cancelled_with_what_there_is)
{
	struct message *message = self->message;
	char text[100];
	int fd = session_with(NAME, plain(), 0);
	__u64 id;

	ASSERT_LE(0, fd);
	/* Before it is read there is nothing that the backend must know. */
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_CANCEL, 0), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 9), 0);
	EXPECT_FALSE(readable(self->fd, 0));
	EXPECT_EQ(info(fd).tokens, 0);
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	id = message->request.id;
	EXPECT_EQ(say_text(self->fd, id, "Bec"), 0);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_CANCEL, 0), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 9), 3);
	EXPECT_EQ(info(fd).stop_reason, LLAMA_STOP_CANCELLED);
	EXPECT_EQ(say_text(self->fd, id, "x"), ECANCELED);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	EXPECT_EQ(message->request.id, id);
	/* It stays in the conversation as far as it came. */
	ASSERT_TRUE(say(fd, "And?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_STREQ(message->text, "Why?BecAnd?");
	/* Nobody waits for an answer to a session that is closed. */
	close(fd);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), ECANCELED);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
}

TEST_F(backend, a_call_in_a_session_says_what_has_ended_it)
{
	struct llama_command command = question("Why?");
	struct message *message = self->message;
	int fd = session_with(NAME, plain(), 0);
	struct asker asker;

	ASSERT_LE(0, fd);
	command.flags = LLAMA_SESSION;
	command.session = fd;
	/* Somebody else who has the session, before it is read, and then. */
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_TRUE(readable(self->fd, PATIENCE_MS));
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_CANCEL, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_CANCELLED);
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 3);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_CANCELLED);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	/* Its own time, of which the session knows as well. */
	command.timeout_ms = SHORT_MS;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 3);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_TIMEOUT);
	EXPECT_EQ(info(fd).stop_reason, LLAMA_STOP_TIMEOUT);
	close(fd);
}

TEST_F(backend, a_caller_that_is_killed_is_not_answered)
{
	struct message *message = self->message;
	pid_t pid = fork();

	if (!pid) {
		struct asker asker = { .command = question("Why?") };

		asks(&asker);
		_exit(1);
	}
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "x"), 0);
	EXPECT_TRUE(killed(pid));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	EXPECT_TRUE(status_becomes("sessions_active", 0));
}

static void nothing(int signal)
{
	(void)signal;
}

TEST_F(backend, a_signal_ends_the_wait)
{
	struct sigaction action = { .sa_handler = nothing };
	struct message *message = self->message;
	struct asker asker;

	ASSERT_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_TRUE(readable(self->fd, PATIENCE_MS));
	sleep_ms(50);
	ASSERT_EQ(pthread_kill(asker.thread, SIGUSR1), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, EINTR);
	EXPECT_FALSE(readable(self->fd, 0));
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	sleep_ms(50);
	ASSERT_EQ(pthread_kill(asker.thread, SIGUSR1), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 3);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_INTERRUPTED);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
}

TEST_F(backend, a_callers_time_is_kept)
{
	struct llama_command command = question("Why?");
	struct llama_options options = plain();
	struct message *message = self->message;
	struct asker asker;
	char text[100];
	int fd;

	command.timeout_ms = SHORT_MS;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, ETIMEDOUT);
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 3);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_TIMEOUT);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	/* Also where nobody waits in the kernel, but polls. */
	options.timeout_ms = SHORT_MS;
	fd = session_with(NAME, options, O_NONBLOCK);
	ASSERT_LE(0, fd);
	for (int sent = 0; sent < 2; sent++) {
		ASSERT_TRUE(say(fd, "Why?"));
		ASSERT_TRUE(!sent || !next(self->fd, message));
		EXPECT_TRUE(readable(fd, PATIENCE_MS));
		EXPECT_EQ(read(fd, text, sizeof(text)), 0);
		EXPECT_EQ(info(fd).stop_reason, LLAMA_STOP_TIMEOUT);
	}
	close(fd);
}

TEST_F(backend, one_that_gives_no_sign_costs_its_callers_no_more_than_its_time)
{
	struct llama_backend_reply alive = { .kind = LLAMA_REPLY_ALIVE };
	struct llama_backend backend = able();
	struct message *message = self->message;
	struct asker asker;
	char text[100];
	__u64 id;
	int fd;

	backend.timeout_ms = SHORT_MS;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	/* It does not read. */
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, ETIMEDOUT);
	EXPECT_LE(SHORT_MS - 100, asker.ms);
	/* It reads, and does not answer, or not on. */
	for (int part = 0; part < 2; part++) {
		ASSERT_TRUE(begin(&asker, question("Why?")));
		ASSERT_EQ(next(self->fd, message), 0);
		id = message->request.id;
		EXPECT_TRUE(!part || !say_text(self->fd, id, "Bec"));
		ASSERT_TRUE(join(&asker));
		EXPECT_EQ(asker.err, ETIMEDOUT);
		EXPECT_EQ(say_text(self->fd, id, "x"), ECANCELED);
		ASSERT_EQ(next(self->fd, message), 0);
		EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
		EXPECT_EQ(message->request.id, id);
	}
	/* Who polls is told as well, and reads what there is of the answer before. */
	fd = session_with(NAME, plain(), O_NONBLOCK);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	EXPECT_EQ(read(fd, text, sizeof(text)), 3);
	EXPECT_TRUE(readable(fd, PATIENCE_MS));
	EXPECT_EQ(read(fd, text, sizeof(text)), -1);
	EXPECT_EQ(errno, ETIMEDOUT);
	EXPECT_EQ(info(fd).tokens, 0);
	ASSERT_EQ(next(self->fd, message), 0);
	close(fd);
	/* A word now and then is enough. */
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_EQ(next(self->fd, message), 0);
	alive.id = message->request.id;
	for (int i = 0; i < 10; i++) {
		sleep_ms(SHORT_MS / 5);
		EXPECT_EQ(reply(self->fd, alive, NULL, 0), 0);
	}
	EXPECT_EQ(end_it(self->fd, alive.id, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
}

TEST_F(backend, its_end_is_an_errno_for_all_who_wait)
{
	struct llama_backend backend = able();
	struct message *message = self->message;
	struct asker served, waiting;
	char text[100];
	int fd, later;

	backend.active = 2;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	fd = session_with(NAME, plain(), 0);
	later = session_with(NAME, plain(), 0);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, later);
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	ASSERT_TRUE(begin(&served, question("Why?")));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "Bec"), 0);
	ASSERT_TRUE(begin(&waiting, question("Why?")));
	EXPECT_TRUE(status_becomes("requests_waiting", 1));
	EXPECT_FALSE(readable(self->fd, 0));
	close(self->fd);
	ASSERT_TRUE(join(&served));
	EXPECT_EQ(served.err, EPIPE);
	ASSERT_TRUE(join(&waiting));
	EXPECT_EQ(waiting.err, ENODEV);
	/* What there is of the answer can be read. */
	EXPECT_EQ(read(fd, text, sizeof(text)), 3);
	EXPECT_EQ(read(fd, text, sizeof(text)), -1);
	EXPECT_EQ(errno, EPIPE);
	EXPECT_FALSE(listed(NAME));
	for (int i = 0; i < 2; i++) {
		EXPECT_FALSE(say(i ? later : fd, "Why?"));
		EXPECT_EQ(errno, ENODEV);
		EXPECT_EQ(info(i ? later : fd).model, LLAMA_MODEL_UNAVAILABLE);
	}
	/* One of the same name is another model. */
	self->fd = open_backend(able());
	ASSERT_LE(0, self->fd);
	EXPECT_FALSE(say(fd, "Why?"));
	EXPECT_EQ(errno, ENODEV);
	EXPECT_EQ(number_of(STATUS, "sessions_active"), 0);
	EXPECT_EQ(number_of(STATUS, "requests_waiting"), 0);
	close(later);
	close(fd);
}

TEST_F(backend, one_that_is_killed_is_gone)
{
	struct message *message = self->message;
	int fds[2];
	pid_t pid;
	struct asker asker;
	char byte;

	close(self->fd);
	ASSERT_EQ(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		int fd = open_backend(able());

		if (fd < 0 || put("default", NAME) || write(fds[1], "r", 1) != 1 ||
		    next(fd, message) || write(fds[1], "a", 1) != 1)
			_exit(1);
		/* In a read, and with a request. */
		next(fd, message);
		_exit(2);
	}
	ASSERT_EQ(read(fds[0], &byte, 1), 1);
	ASSERT_TRUE(begin(&asker, question("Why?")));
	ASSERT_EQ(read(fds[0], &byte, 1), 1);
	EXPECT_TRUE(killed(pid));
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, EPIPE);
	EXPECT_TRUE(vanishes(NAME));
	if (!*self->before) {
		struct asker late;

		ASSERT_TRUE(begin(&late, question("Why?")));
		ASSERT_TRUE(join(&late));
		EXPECT_EQ(late.err, ENODEV);
	}
	close(fds[0]);
	close(fds[1]);
	self->fd = open_backend(able());
}

TEST_F(backend, each_bad_message_has_its_errno_and_changes_nothing)
{
	struct message *message = self->message;
	struct llama_backend_reply bad, text = { .kind = LLAMA_REPLY_TEXT };
	struct llama_backend_reply end = {
		.kind = LLAMA_REPLY_END, .stop_reason = LLAMA_STOP_END,
	};
	char *large = calloc(1, LLAMA_BACKEND_TEXT_MAX + 1);
	struct asker asker;

	ASSERT_NE(large, NULL);
	memset(large, 'a', LLAMA_BACKEND_TEXT_MAX + 1);
	ASSERT_TRUE(begin(&asker, question("Why?")));
	/* Not before it is read. */
	text.id = 1;
	ASSERT_TRUE(readable(self->fd, PATIENCE_MS));
	EXPECT_EQ(reply(self->fd, text, "a", 1), EINVAL);
	ASSERT_EQ(next(self->fd, message), 0);
	text.id = message->request.id;
	end.id = text.id;
	EXPECT_EQ(write(self->fd, &end, 47), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(write(self->fd, (void *)bad_address, 48), -1);
	EXPECT_EQ(errno, EFAULT);
#define REFUSED(from, change, rest, len, errno_) \
	({ bad = from; change; EXPECT_EQ(reply(self->fd, bad, rest, len), errno_); })
	REFUSED(text, bad.id = 0, "a", 1, EINVAL);
	REFUSED(text, bad.id += 1, "a", 1, EINVAL);
	REFUSED(text, bad.kind = 0, "a", 1, EINVAL);
	REFUSED(text, bad.kind = 6, "", 0, EINVAL);
	REFUSED(text, bad.kind = LLAMA_REPLY_VECTOR, "aaaa", 4, EINVAL);
	REFUSED(text, bad.flags = 2, "a", 1, EINVAL);
	REFUSED(text, bad.tokens = 4097, "a", 1, EINVAL);
	REFUSED(text, bad.prompt_tokens = 1, "a", 1, EINVAL);
	REFUSED(text, bad.stop_reason = 1, "a", 1, EINVAL);
	REFUSED(text, bad.error = EIO, "a", 1, EINVAL);
	REFUSED(text, bad.token = 1, "a", 1, EINVAL);
	REFUSED(text, bad.logprob_micro = -1, "a", 1, EINVAL);
	REFUSED(text, (bad.flags = LLAMA_REPLY_RATED, bad.logprob_micro = 1), "a", 1, EINVAL);
	REFUSED(text, bad.reserved = 1, "a", 1, EINVAL);
	REFUSED(text, , "", 0, EINVAL);
	REFUSED(text, , "\xff", 1, EILSEQ);
	REFUSED(text, , "\xc3", 1, EILSEQ);
	REFUSED(text, , large, LLAMA_BACKEND_TEXT_MAX + 1, EMSGSIZE);
	REFUSED(end, bad.stop_reason = 0, "", 0, EINVAL);
	REFUSED(end, bad.stop_reason = LLAMA_STOP_CANCELLED, "", 0, EINVAL);
	REFUSED(end, bad.prompt_tokens = 4097, "", 0, EINVAL);
	REFUSED(end, bad.cached_tokens = 1, "", 0, EINVAL);
	REFUSED(end, , "a", 1, EINVAL);
	REFUSED(end, (bad.kind = LLAMA_REPLY_ERROR, bad.stop_reason = 0), "", 0, EINVAL);
	REFUSED(end, (bad.kind = LLAMA_REPLY_ERROR, bad.stop_reason = 0, bad.error = EPERM), "", 0,
		EINVAL);
#undef REFUSED
	EXPECT_EQ(say_text(self->fd, text.id, "So."), 0);
	EXPECT_EQ(reply(self->fd, end, NULL, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_STREQ(asker.text, "So.");
	free(large);
}

TEST_F(backend, its_errors_are_its_callers)
{
	static const int errors[] = { EIO, EOVERFLOW, ENODATA, EPROTONOSUPPORT };
	struct llama_backend_reply error = { .kind = LLAMA_REPLY_ERROR };
	struct message *message = self->message;
	struct asker asker;

	for (int i = 0; i < 4; i++) {
		ASSERT_TRUE(begin(&asker, question("Why?")));
		ASSERT_EQ(next(self->fd, message), 0);
		error.id = message->request.id;
		error.error = errors[i];
		EXPECT_EQ(reply(self->fd, error, NULL, 0), 0);
		ASSERT_TRUE(join(&asker));
		EXPECT_EQ(asker.err, errors[i]);
	}
	EXPECT_FALSE(readable(self->fd, 0));
}

TEST_F(backend, what_it_cannot_do_is_refused)
{
	struct llama_embedding embedding = {
		.text = (uintptr_t)"a", .text_len = 1,
	};
	struct llama_command command = question("Why?");
	struct llama_backend backend = able();
	struct llama_options options = plain();
	struct asker asker;
	int fd;

	backend.flags = LLAMA_BACKEND_CHAT;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	command.flags = LLAMA_RAW;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, EPROTONOSUPPORT);
	command.flags = 0;
	command.grammar = (uintptr_t)yes_or_no;
	command.grammar_len = sizeof(yes_or_no);
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.err, EPROTONOSUPPORT);
	options.flags = LLAMA_OPTION_LOGPROBS;
	fd = session_with(NAME, options, 0);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(say(fd, "Why?"));
	EXPECT_EQ(errno, EPROTONOSUPPORT);
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_EMBED, &embedding), -1);
	EXPECT_EQ(errno, EPROTONOSUPPORT);
	/* It was not said. */
	options.flags = 0;
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_SET, &options), 0);
	EXPECT_EQ(info(fd).held_bytes, 0);
	EXPECT_EQ(info(fd).state, LLAMA_STATE_IDLE);
	close(fd);
	EXPECT_FALSE(readable(self->fd, 0));
}

TEST_F(backend, it_gets_the_grammar_that_it_keeps_to)
{
	struct llama_command command = question("Why?");
	struct llama_backend backend = able();
	struct message *message = self->message;
	struct asker asker;

	backend.flags |= LLAMA_BACKEND_GRAMMAR;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	command.grammar = (uintptr_t)yes_or_no;
	command.grammar_len = sizeof(yes_or_no);
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.grammar_len, sizeof(yes_or_no));
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
}

TEST_F(backend, probabilities_are_kept)
{
	struct llama_backend_reply rated = {
		.kind = LLAMA_REPLY_TEXT, .flags = LLAMA_REPLY_RATED, .tokens = 1,
	};
	struct llama_logprob entries[4];
	struct llama_logprobs logprobs = { .entries = (uintptr_t)entries, .count = 4 };
	struct llama_backend backend = able();
	struct llama_options options = plain();
	struct message *message = self->message;
	char text[100];
	int fd;

	backend.flags |= LLAMA_BACKEND_LOGPROBS;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	options.flags = LLAMA_OPTION_LOGPROBS;
	fd = session_with(NAME, options, 0);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(say(fd, "Why?"));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.flags, LLAMA_ASK_LOGPROBS);
	rated.id = message->request.id;
	for (int i = 0; i < 3; i++) {
		rated.token = 100 + i;
		rated.logprob_micro = -1000 * i;
		EXPECT_EQ(reply(self->fd, rated, "ab", 2), 0);
	}
	EXPECT_EQ(end_it(self->fd, rated.id, 0), 0);
	EXPECT_EQ(read_answer(fd, text, sizeof(text), 9), 6);
	EXPECT_EQ(info(fd).logprobs, 3);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_LOGPROBS, &logprobs), 0);
	ASSERT_EQ(logprobs.count, 3);
	EXPECT_EQ(entries[2].token, 102);
	EXPECT_EQ(entries[2].logprob_micro, -2000);
	EXPECT_EQ(entries[2].offset, 4);
	close(fd);
}

struct embedder {
	pthread_t thread;
	int fd, err;
	float vector[3];
	struct llama_embedding asked;
};

static void *embeds(void *data)
{
	struct embedder *embedder = data;

	embedder->asked.text = (uintptr_t)"The cat sleeps.";
	embedder->asked.text_len = 15;
	embedder->asked.vector = (uintptr_t)embedder->vector;
	embedder->asked.vector_len = 3;
	embedder->err = ioctl(embedder->fd, LLAMA_IOC_EMBED, &embedder->asked) ? errno : 0;
	return NULL;
}

TEST_F(backend, a_text_becomes_a_vector)
{
	static const float numbers[] = { 0.6f, 0.0f, -0.8f };
	static const __u32 none[] = { 0x7f800000, 0, 0 };
	struct llama_backend_reply vector = { .kind = LLAMA_REPLY_VECTOR };
	struct llama_backend backend = able();
	struct message *message = self->message;
	struct embedder embedder = { 0 };

	backend.embedding = 3;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	embedder.fd = session_with(NAME, plain(), 0);
	ASSERT_LE(0, embedder.fd);
	EXPECT_EQ(info(embedder.fd).embedding, 3);
	ASSERT_EQ(pthread_create(&embedder.thread, NULL, embeds, &embedder), 0);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_TRUE(message->request.flags & LLAMA_ASK_EMBED);
	EXPECT_STREQ(message->text, "The cat sleeps.");
	vector.id = message->request.id;
	EXPECT_EQ(say_text(self->fd, vector.id, "a"), EINVAL);
	EXPECT_EQ(end_it(self->fd, vector.id, 5), EINVAL);
	EXPECT_EQ(reply(self->fd, vector, numbers, 8), EINVAL);
	EXPECT_EQ(reply(self->fd, vector, none, 12), EINVAL);
	EXPECT_EQ(reply(self->fd, vector, numbers, 12), 0);
	EXPECT_EQ(reply(self->fd, vector, numbers, 12), EINVAL);
	EXPECT_EQ(end_it(self->fd, vector.id, 5), 0);
	ASSERT_EQ(pthread_join(embedder.thread, NULL), 0);
	EXPECT_EQ(embedder.err, 0);
	EXPECT_EQ(embedder.asked.tokens, 5);
	EXPECT_EQ(memcmp(embedder.vector, numbers, 12), 0);
	close(embedder.fd);
}

TEST_F(backend, it_gets_as_many_requests_as_it_takes)
{
	struct llama_backend backend = able();
	struct message *message = self->message;
	struct asker askers[3];
	__u64 ids[3];

	backend.active = 2;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(begin(&askers[i], question("Why?")));
	EXPECT_TRUE(status_becomes("requests_waiting", 3));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(next(self->fd, message), 0);
		ids[i] = message->request.id;
	}
	EXPECT_EQ(number_of(STATUS, "sessions_active"), 2);
	EXPECT_FALSE(readable(self->fd, 50));
	ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
	EXPECT_EQ(next(self->fd, message), EAGAIN);
	EXPECT_EQ(end_it(self->fd, ids[1], 0), 0);
	ASSERT_TRUE(readable(self->fd, 0));
	ASSERT_EQ(next(self->fd, message), 0);
	ids[2] = message->request.id;
	EXPECT_NE(ids[2], ids[1]);
	EXPECT_EQ(end_it(self->fd, ids[2], 0), 0);
	EXPECT_EQ(end_it(self->fd, ids[0], 0), 0);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(join(&askers[i]));
		EXPECT_EQ(askers[i].ret, 0);
	}
}

TEST_F(backend, a_message_without_room_stays)
{
	struct message *message = self->message;
	struct asker asker;
	char bytes[90];

	ASSERT_TRUE(begin(&asker, question("Why?")));
	EXPECT_EQ(read(self->fd, bytes, sizeof(bytes)), -1);
	EXPECT_EQ(errno, EMSGSIZE);
	EXPECT_EQ(read(self->fd, (void *)bad_address, 1 << 20), -1);
	EXPECT_EQ(errno, EFAULT);
	ASSERT_TRUE(readable(self->fd, 0));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_STREQ(message->text, "Why?");
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 0);
}

TEST_F(backend, an_answer_is_no_longer_than_there_is_room_for)
{
	struct llama_command command = question("Why?");
	struct message *message = self->message;
	char *large = malloc(100001);
	struct asker asker;

	ASSERT_NE(large, NULL);
	memset(large, 'a', 100000);
	large[100000] = '\0';
	command.max_tokens = 1;
	ASSERT_TRUE(begin(&asker, command));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, "abc"), 0);
	EXPECT_EQ(say_text(self->fd, message->request.id, large), 0);
	ASSERT_TRUE(join(&asker));
	EXPECT_EQ(asker.ret, 3);
	EXPECT_EQ(asker.command.stop_reason, LLAMA_STOP_BUFFER);
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.kind, LLAMA_MESSAGE_CANCEL);
	free(large);
}

TEST_F(backend, unloading_lets_answers_come_to_their_end)
{
	struct pollfd poller = { .events = POLLIN };
	struct message *message = self->message;
	struct asker served, refused;

	ASSERT_TRUE(begin(&served, question("Why?")));
	ASSERT_EQ(next(self->fd, message), 0);
	ASSERT_EQ(put("unload", NAME), 0);
	EXPECT_TRUE(is(NAME, "unloading"));
	EXPECT_EQ(put("unload", NAME), EBUSY);
	/* It was the default, and no other is. */
	ASSERT_TRUE(begin(&refused, question("Why?")));
	ASSERT_TRUE(join(&refused));
	EXPECT_EQ(refused.err, ENODEV);
	EXPECT_EQ(say_text(self->fd, message->request.id, "So."), 0);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	ASSERT_TRUE(join(&served));
	EXPECT_STREQ(served.text, "So.");
	EXPECT_TRUE(vanishes(NAME));
	EXPECT_EQ(next(self->fd, message), ENODEV);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), ENODEV);
	poller.fd = self->fd;
	EXPECT_EQ(poll(&poller, 1, 0), 1);
	EXPECT_TRUE(poller.revents & POLLHUP);
}

/* What the line of a user says of a key. */
static long long usage_of(unsigned int user, const char *key)
{
	char line[512], wanted[64], *at;
	FILE *file = fopen("/proc/llamux/usage", "r");
	long long number = 0;

	while (file && fgets(line, sizeof(line), file)) {
		snprintf(wanted, sizeof(wanted), "user=%u ", user);
		if (strncmp(line, wanted, strlen(wanted)))
			continue;
		snprintf(wanted, sizeof(wanted), " %s=", key);
		at = strstr(line, wanted);
		if (at)
			number = strtoll(at + strlen(wanted), NULL, 10);
	}
	if (file)
		fclose(file);
	return number;
}

TEST_F(backend, what_it_does_is_on_the_account_of_who_asks)
{
	const unsigned int user = 23456;
	struct llama_backend_reply end = {
		.kind = LLAMA_REPLY_END, .stop_reason = LLAMA_STOP_END,
		.tokens = 9, .prompt_tokens = 30, .cached_tokens = 10,
	};
	struct message *message = self->message;
	pid_t pid = fork();

	if (!pid) {
		struct asker asker = { .command = question("Why?") };

		if (setuid(user))
			_exit(2);
		asks(&asker);
		_exit(asker.ret != 3);
	}
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(message->request.uid, user);
	sleep_ms(20);
	EXPECT_EQ(say_text(self->fd, message->request.id, "So."), 0);
	end.id = message->request.id;
	EXPECT_EQ(reply(self->fd, end, NULL, 0), 0);
	EXPECT_TRUE(exited(pid));
	EXPECT_EQ(usage_of(user, "requests"), 1);
	EXPECT_EQ(usage_of(user, "prompt_tokens"), 20);
	EXPECT_EQ(usage_of(user, "tokens"), 9);
	EXPECT_LE(20000000, usage_of(user, "time_ns"));
}

TEST_F(backend, limits_hold)
{
	const unsigned int user = 23457;
	struct message *message = self->message;
	pid_t pids[2];

	ASSERT_EQ(put("limits", "user=23457 queued=1"), 0);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct asker asker = { .command = question("Why?") };

			if (setuid(user))
				_exit(2);
			asks(&asker);
			_exit(i ? asker.err != EDQUOT : asker.ret != 0);
		}
		ASSERT_TRUE(i || status_becomes("requests_waiting", 1));
	}
	EXPECT_TRUE(exited(pids[1]));
	ASSERT_EQ(next(self->fd, message), 0);
	EXPECT_EQ(end_it(self->fd, message->request.id, 0), 0);
	EXPECT_TRUE(exited(pids[0]));
	EXPECT_EQ(put("limits", "user=23457 default"), 0);
}

/* Answers each question with itself, two bytes at a time, until the backend is gone. */
static void *echoes(void *data)
{
	int fd = *(int *)data;
	struct message *message = calloc(1, sizeof(*message));

	while (message && !next(fd, message)) {
		size_t len = strlen(message->text);
		int err = 0;

		if (message->request.kind != LLAMA_MESSAGE_ASK)
			continue;
		for (size_t i = 0; i < len && !err; i += 2) {
			char part[3] = { message->text[i], message->text[i + 1], '\0' };

			err = say_text(fd, message->request.id, part);
		}
		if (!err)
			err = end_it(fd, message->request.id, len);
		if (err && err != ECANCELED && err != ENODEV)
			break;
	}
	free(message);
	return NULL;
}

#define ECHOERS		4
#define ROUNDS		60

/* Asks over and over, is impatient now and then, and hears itself. */
static int child_asks(int seed)
{
	char text[64];

	for (int i = 0; i < ROUNDS; i++) {
		struct asker asker = { 0 };

		snprintf(text, sizeof(text), "asker %d, question %d of %d", seed, i, ROUNDS);
		asker.command = question(text);
		if ((i + seed) % 5 == 0)
			asker.command.timeout_ms = 1;
		asks(&asker);
		if (asker.ret >= 0 && asker.command.stop_reason == LLAMA_STOP_END &&
		    strcmp(asker.text, text))
			return 1;
		if (asker.ret < 0 && asker.err != ETIMEDOUT && asker.err != ENODEV &&
		    asker.err != EPIPE)
			return 2;
	}
	return 0;
}

/* The same in a conversation, which is cancelled now and then. */
static int child_talks(int seed)
{
	char text[64], answer[4096];

	for (int i = 0; i < ROUNDS / 4; i++) {
		int fd = session_with(NAME, plain(), 0);

		if (fd < 0)
			return errno == ENOENT ? 0 : 3;
		for (int j = 0; j < 4; j++) {
			snprintf(text, sizeof(text), "talker %d, turn %d", seed, j);
			if (!say(fd, text)) {
				if (errno != ENODEV)
					return 4;
				break;
			}
			if ((i + j + seed) % 7 == 0)
				ioctl(fd, LLAMA_IOC_CANCEL, 0);
			if (read_answer(fd, answer, sizeof(answer), 5) < 0 && errno != EPIPE &&
			    errno != ENODEV)
				return 5;
		}
		close(fd);
	}
	return 0;
}

TEST_F(backend, many_ask_at_once)
{
	struct llama_backend backend = able();
	pthread_t threads[ECHOERS];
	pid_t pids[8];
	int victim;

	backend.active = ECHOERS;
	self->fd = instead(self->fd, backend);
	ASSERT_LE(0, self->fd);
	for (int i = 0; i < ECHOERS; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, echoes, &self->fd), 0);
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			/* The backend is its parent alone. */
			close(self->fd);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(i % 2 ? child_talks(i) : child_asks(i));
		}
	}
	victim = fork();
	if (!victim) {
		close(self->fd);
		for (;;)
			child_asks(99);
	}
	for (int i = 0; i < 8; i++)
		EXPECT_TRUE(exited(pids[i]));
	EXPECT_TRUE(killed(victim));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	/* Unloaded, nobody reads any more. */
	EXPECT_EQ(put("unload", NAME), 0);
	for (int i = 0; i < ECHOERS; i++)
		EXPECT_EQ(pthread_join(threads[i], NULL), 0);
}

TEST_F(backend, it_comes_and_goes_while_many_ask)
{
	pid_t pids[4], echoer;

	close(self->fd);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;) {
				if (child_talks(i))
					_exit(1);
				sleep_ms(1);
			}
		}
	}
	for (int turn = 0; turn < 20; turn++) {
		echoer = fork();
		if (!echoer) {
			int fd = open_backend(able());

			if (fd < 0)
				_exit(1);
			echoes(&fd);
			_exit(0);
		}
		sleep_ms(10 + turn * 3);
		EXPECT_TRUE(killed(echoer));
		EXPECT_TRUE(vanishes(NAME));
	}
	for (int i = 0; i < 4; i++)
		EXPECT_TRUE(killed(pids[i]));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	self->fd = open_backend(able());
}

TEST_HARNESS_MAIN
