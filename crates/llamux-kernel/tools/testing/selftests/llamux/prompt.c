// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/llamux/prompt: a question is written, and its answer read.
 *
 * The tests of the fixture "model" need a loaded model, the others none.
 */
#include <fcntl.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "common.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define PROMPT		"/proc/llamux/prompt"
#define MEMORY		"/sys/kernel/llamux/memory"
#define PROMPT_MAX	(1 << 20)
#define OTHER_USER	60001

/* Where nothing is; the compiler does not know. */
static void *volatile nowhere = (void *)8;

/* Reads the answer to the end, in pieces of @piece bytes. Its length, or minus errno. */
static ssize_t answer(int fd, char *text, size_t size, size_t piece)
{
	size_t len = 0;
	ssize_t got;

	while (len < size && (got = read(fd, text + len, piece < size - len ? piece : size - len)))
		if (got < 0)
			return -errno;
		else
			len += got;
	return len;
}

/* As a shell does with >. Minus errno of the write. */
static int ask(const char *text)
{
	int fd = open(PROMPT, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/* As cat does. */
static ssize_t hear(char *text, size_t size)
{
	int fd = open(PROMPT, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = answer(fd, text, size, 4096);
	close(fd);
	return len;
}

/* Runs @what as another user, and returns what it returned, from 0 to 255. */
static int as(unsigned int user, int (*what)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(setresgid(user, user, user) || setresuid(user, user, user) ? 255 : what());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 255;
	return WEXITSTATUS(status);
}

/* The errno of reading without a question. */
static int hear_nothing(void)
{
	char text[64];
	ssize_t len = hear(text, sizeof(text));

	return len < 0 ? -len : 0;
}

/* Whether this user can ask and is answered: 0, or an errno. */
static int talk(void)
{
	char text[8192];
	ssize_t len;
	int err = ask("Say hello.\n");

	if (err)
		return -err;
	len = hear(text, sizeof(text));
	return len < 0 ? -len : len < 2;
}

/* Asks for more than any context holds, which takes no time. The errno of the answer. */
static int ask_too_much(void)
{
	static char text[PROMPT_MAX / 2];

	for (int i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 2 ? ' ' : 'a' + i % 26;
	return ask(text) ? 0 : hear_nothing();
}

TEST(without_a_model_there_is_no_answer)
{
	int fd;

	if (!state_is("unavailable"))
		SKIP(return, "there is a model");
	fd = open(PROMPT, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(write(fd, "hi", 2), -1);
	EXPECT_EQ(errno, ENODEV);
	close(fd);
}

TEST(what_is_not_utf8_gives_eilseq_or_enodev)
{
	int fd = open(PROMPT, O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(write(fd, "\xff", 1), -1);
	EXPECT_EQ(errno, state_is("ready") ? EILSEQ : ENODEV);
	close(fd);
}

FIXTURE(model)
{
	char text[1 << 16];
};

FIXTURE_SETUP(model)
{
	if (state_is("unavailable"))
		SKIP(return, "there is no model");
	while (state_is("loading"))
		sleep_ms(10);
	ASSERT_TRUE(state_is("ready"));
}

FIXTURE_TEARDOWN(model)
{
}

TEST_F(model, echo_and_cat)
{
	ssize_t len;

	ASSERT_EQ(ask("What is the capital of France?\n"), 0);
	len = hear(self->text, sizeof(self->text));
	ASSERT_LT(1, len);
	EXPECT_EQ(self->text[len - 1], '\n');
	/* The same for whoever reads it again. */
	EXPECT_EQ(hear(self->text + len, sizeof(self->text) - len), len);
	EXPECT_EQ(memcmp(self->text, self->text + len, len), 0);
}

TEST_F(model, small_reads_give_the_same)
{
	char *again = self->text + sizeof(self->text) / 2;
	ssize_t len;
	int fd;

	ASSERT_EQ(ask("What is the capital of France?\n"), 0);
	len = hear(self->text, sizeof(self->text) / 2);
	ASSERT_LT(1, len);
	fd = open(PROMPT, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(answer(fd, again, sizeof(self->text) / 2, 1), len);
	EXPECT_EQ(memcmp(self->text, again, len), 0);
	close(fd);
}

TEST_F(model, one_file_for_question_and_answer)
{
	int fd = open(PROMPT, O_RDWR);

	ASSERT_LE(0, fd);
	for (int i = 0; i < 2; i++) {
		/* The pieces are one question, cut in the middle of a character. */
		ASSERT_EQ(write(fd, "What is a caf\xc3", 14), 14);
		ASSERT_EQ(write(fd, "\xa9?", 2), 2);
		EXPECT_LT(1, answer(fd, self->text, sizeof(self->text), 4096));
	}
	close(fd);
}

TEST_F(model, half_a_character_is_not_asked)
{
	int fd = open(PROMPT, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(write(fd, "\xc3", 1), 1);
	EXPECT_EQ(read(fd, self->text, 1), -1);
	EXPECT_EQ(errno, EILSEQ);
	close(fd);
}

TEST_F(model, question_longer_than_the_limit_gives_emsgsize)
{
	char *text = malloc(PROMPT_MAX + 1);
	int fd = open(PROMPT, O_WRONLY);

	ASSERT_NE(text, NULL);
	ASSERT_LE(0, fd);
	memset(text, 'a', PROMPT_MAX + 1);
	EXPECT_EQ(write(fd, text, PROMPT_MAX + 1), -1);
	EXPECT_EQ(errno, EMSGSIZE);
	EXPECT_EQ(write(fd, text, 1), 1);
	EXPECT_EQ(write(fd, text, PROMPT_MAX), -1);
	EXPECT_EQ(errno, EMSGSIZE);
	close(fd);
	free(text);
}

TEST_F(model, bad_addresses_give_efault)
{
	int fd = open(PROMPT, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(write(fd, nowhere, 3), -1);
	EXPECT_EQ(errno, EFAULT);
	ASSERT_EQ(write(fd, "Hi", 2), 2);
	EXPECT_EQ(read(fd, nowhere, 3), -1);
	EXPECT_EQ(errno, EFAULT);
	/* Nothing is lost by it. */
	EXPECT_LT(1, answer(fd, self->text, sizeof(self->text), 4096));
	close(fd);
}

TEST_F(model, nonblocking_read_gives_eagain)
{
	int fd = open(PROMPT, O_RDWR | O_NONBLOCK);
	ssize_t len;

	ASSERT_LE(0, fd);
	len = long_question(self->text, sizeof(self->text));
	ASSERT_EQ(write(fd, self->text, len), len);
	EXPECT_EQ(read(fd, self->text, 16), -1);
	EXPECT_EQ(errno, EAGAIN);
	while ((len = read(fd, self->text, 16)) < 0 && errno == EAGAIN)
		sleep_ms(10);
	EXPECT_LT(0, len);
	close(fd);
}

TEST_F(model, new_question_ends_the_old_one)
{
	int fd = open(PROMPT, O_RDWR), status;
	ssize_t len;
	pid_t pid;

	ASSERT_LE(0, fd);
	len = long_question(self->text, sizeof(self->text));
	ASSERT_EQ(write(fd, self->text, len), len);
	pid = fork();
	if (!pid) {
		len = answer(fd, self->text, sizeof(self->text), 4096);
		_exit(len < 0 ? -len : 0);
	}
	ASSERT_LT(0, pid);
	sleep_ms(50);
	ASSERT_EQ(ask("Say hello.\n"), 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), ECANCELED);
	EXPECT_LT(1, hear(self->text, sizeof(self->text)));
	close(fd);
}

static void on_signal(int signal)
{
	(void)signal;
}

TEST_F(model, signal_ends_the_wait)
{
	struct sigaction action = { .sa_handler = on_signal };
	int fd = open(PROMPT, O_RDWR);
	ssize_t len;

	ASSERT_LE(0, fd);
	sigaction(SIGALRM, &action, NULL);
	len = long_question(self->text, sizeof(self->text));
	ASSERT_EQ(write(fd, self->text, len), len);
	/* Again and again, for the first may come before the read. */
	ualarm(20000, 20000);
	EXPECT_EQ(read(fd, self->text, 16), -1);
	EXPECT_EQ(errno, EINTR);
	ualarm(0, 0);
	/* The answer is still coming, if only its line feed. */
	EXPECT_LT(0, answer(fd, self->text, sizeof(self->text), 4096));
	close(fd);
}

/* Whoever asks and waits, at many points of that. */
TEST_F(model, killed_readers_and_writers_leave_nothing_behind)
{
	for (int i = 0; i < 16; i++) {
		pid_t pid = fork();
		ssize_t len;

		if (!pid) {
			int fd = open(PROMPT, O_RDWR);

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			len = long_question(self->text, sizeof(self->text));
			if (write(fd, self->text, len) == len && i % 4 == 3)
				close(fd);
			answer(fd, self->text, sizeof(self->text), 4096);
			pause();
		}
		ASSERT_LT(0, pid);
		sleep_ms(i % 8 * 5);
		EXPECT_TRUE(killed(pid));
	}
	ASSERT_EQ(ask("Say hello.\n"), 0);
	EXPECT_LT(1, hear(self->text, sizeof(self->text)));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
}

TEST_F(model, nobody_reads_what_another_user_asked)
{
	if (getuid())
		SKIP(return, "wants to be several users");
	ASSERT_EQ(ask("What is the capital of France?\n"), 0);
	EXPECT_EQ(as(OTHER_USER, hear_nothing), ENODATA);
	EXPECT_EQ(as(OTHER_USER, talk), 0);
	EXPECT_LT(1, hear(self->text, sizeof(self->text)));
}

/* Has the kernel give back what it only keeps to be faster. */
static bool drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, "2", 1) == 1;

	if (fd >= 0)
		close(fd);
	return good;
}

TEST_F(model, answers_that_were_read_are_given_back_when_memory_is_short)
{
	long long before;
	int fd;

	if (getuid())
		SKIP(return, "wants to be root");
	/* What others have read. */
	if (!drop_caches())
		SKIP(return, "there is no drop_caches");
	before = number_of(MEMORY, "answers_given_back");
	ASSERT_LE(0, before);
	ASSERT_EQ(ask("Say hello.\n"), 0);
	fd = open(PROMPT, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(read(fd, self->text, 1), 1);
	close(fd);
	EXPECT_LE(1, number_of(MEMORY, "answers_kept"));
	/* It is complete, and not read to its end. */
	ASSERT_TRUE(drop_caches());
	EXPECT_EQ(number_of(MEMORY, "answers_given_back"), before);
	EXPECT_LT(1, hear(self->text, sizeof(self->text)));
	ASSERT_TRUE(drop_caches());
	EXPECT_EQ(number_of(MEMORY, "answers_given_back"), before + 1);
	EXPECT_EQ(hear_nothing(), ENODATA);
}

TEST_F(model, many_users_push_out_the_oldest_answer)
{
	if (getuid())
		SKIP(return, "wants to be several users");
	for (int i = 0; i <= 64; i++)
		ASSERT_EQ(as(OTHER_USER + 1 + i, ask_too_much), EOVERFLOW);
	EXPECT_EQ(as(OTHER_USER + 1, hear_nothing), ENODATA);
	EXPECT_EQ(as(OTHER_USER + 2, hear_nothing), EOVERFLOW);
}

TEST_HARNESS_MAIN
