// SPDX-License-Identifier: GPL-2.0-only
/*
 * llama(1) at a terminal: lines are edited and found again, answers come bit by bit,
 * and Ctrl-C ends the answer.
 *
 * All tests want a loaded model, root, and the program.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "common.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define LLAMA		"/usr/bin/llama"
#define CTRL_C		"\x03"
#define CTRL_D		"\x04"
#define BACKSPACE	"\x7f"
#define LEFT		"\x1b[D"
#define UP		"\x1b[A"
#define ENTER		"\r"

/* Answers of so many letters, which take long and not so long. */
#define MANY		2000
#define SOME		400

FIXTURE(terminal)
{
	char home[64], history[128], many[96], some[96];
	pid_t pid;
	int fd;
	/* What the terminal was sent, and when the first and the last of it came. */
	char seen[1 << 16];
	size_t len, reads;
	uint64_t first_ms, last_ms;
};

static bool write_file(const char *path, const char *format, int number)
{
	FILE *file = fopen(path, "w");
	bool done = file && fprintf(file, format, number) > 0;

	return file && !fclose(file) && done;
}

FIXTURE_SETUP(terminal)
{
	if (access(LLAMA, X_OK))
		SKIP(return, "there is no " LLAMA);
	if (!model_is_ready())
		SKIP(return, "there is no model");
	if (geteuid())
		SKIP(return, "wants to be root");
	if (access("/dev/pts/ptmx", F_OK)) {
		mkdir("/dev/pts", 0755);
		ASSERT_EQ(mount("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666"), 0);
	}
	strcpy(self->home, "/tmp/llamux-terminal-XXXXXX");
	ASSERT_NE(mkdtemp(self->home), NULL);
	setenv("HOME", self->home, 1);
	setenv("TERM", "xterm", 1);
	unsetenv("XDG_STATE_HOME");
	snprintf(self->history, sizeof(self->history), "%s/.local/state/llama/history", self->home);
	snprintf(self->many, sizeof(self->many), "%s/many.gbnf", self->home);
	snprintf(self->some, sizeof(self->some), "%s/some.gbnf", self->home);
	ASSERT_TRUE(write_file(self->many, "root ::= [a-z]{%d}\n", MANY));
	ASSERT_TRUE(write_file(self->some, "root ::= [a-z]{%d}\n", SOME));
}

FIXTURE_TEARDOWN(terminal)
{
	if (self->pid > 0)
		killed(self->pid);
	EXPECT_TRUE(status_becomes("sessions_active", 0));
}

/* Runs the program with these arguments at a terminal of its own. */
static bool start(FIXTURE_DATA(terminal) *self, char *const argv[])
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	self->pid = forkpty(&self->fd, NULL, NULL, &size);
	if (!self->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(LLAMA, argv);
		_exit(127);
	}
	return self->pid > 0;
}

static bool type(FIXTURE_DATA(terminal) *self, const char *keys)
{
	return write(self->fd, keys, strlen(keys)) == strlen(keys);
}

/* Reads what the program shows next. False at its end, or when nothing comes for long. */
static bool look(FIXTURE_DATA(terminal) *self)
{
	struct pollfd poll_of_it = { .fd = self->fd, .events = POLLIN };
	ssize_t got;

	if (self->len == sizeof(self->seen) - 1 || poll(&poll_of_it, 1, PATIENCE_MS) != 1)
		return false;
	got = read(self->fd, self->seen + self->len, sizeof(self->seen) - 1 - self->len);
	if (got <= 0)
		return false;
	self->last_ms = now_ms();
	if (!self->reads++)
		self->first_ms = self->last_ms;
	self->len += got;
	self->seen[self->len] = '\0';
	return true;
}

/* Waits until @text is shown behind @from; where it ends, or 0. */
static size_t shows(FIXTURE_DATA(terminal) *self, size_t from, const char *text)
{
	char *at;

	while (!(at = strstr(self->seen + from, text)))
		if (!look(self))
			return 0;
	return at - self->seen + strlen(text);
}

/* Waits until so many letters are shown behind @from. */
static bool shows_letters(FIXTURE_DATA(terminal) *self, size_t from, int letters)
{
	while (strspn(self->seen + from, "abcdefghijklmnopqrstuvwxyz") < letters)
		if (!look(self))
			return false;
	return true;
}

/* Where the text begins behind what only sets the terminal, such as ESC [ ? 2004 l; or 0. */
static size_t behind_controls(FIXTURE_DATA(terminal) *self, size_t at)
{
	for (;;) {
		const char *text = self->seen + at;
		size_t len = *text == '\x1b' ? strcspn(text, "ABCDHJKhlm") : 0;

		if (*text == '\r' || *text == '\n')
			at++;
		else if (*text == '\x1b' && text[len])
			at += len + 1;
		else if (*text && *text != '\x1b')
			return at;
		else if (!look(self))
			return 0;
	}
}

/* Reads to the end; the program's exit status, or -1. */
static int ends(FIXTURE_DATA(terminal) *self)
{
	int wait_status;

	while (look(self))
		;
	wait_status = reap(self->pid);
	self->pid = 0;
	close(self->fd);
	return wait_status >= 0 && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

/* Whether the history has this line. */
static bool remembers(FIXTURE_DATA(terminal) *self, const char *wanted)
{
	FILE *file = fopen(self->history, "r");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strcmp(line, wanted);
	}
	if (file)
		fclose(file);
	return found;
}

TEST_F(terminal, lines_are_edited_and_found_again)
{
	char *argv[] = { "llama", "chat", "--max-tokens", "4", "--temperature", "0", NULL };
	size_t at;

	ASSERT_TRUE(start(self, argv));
	at = shows(self, 0, "> ");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	/* "Say hello", with two mistakes that are mended. */
	ASSERT_TRUE(type(self, "Sy hellooo" BACKSPACE BACKSPACE));
	for (int i = 0; i < 7; i++)
		ASSERT_TRUE(type(self, LEFT));
	ASSERT_TRUE(type(self, "a" ENTER));
	at = shows(self, at, "\n");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	at = shows(self, at, "> ");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	/* The last one again, with more. */
	ASSERT_TRUE(type(self, UP));
	at = shows(self, at, "Say hello");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	ASSERT_TRUE(type(self, " again" ENTER));
	at = shows(self, at, "\n");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	at = shows(self, at, "> ");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	ASSERT_TRUE(type(self, CTRL_D));
	EXPECT_EQ(ends(self), 0);
	EXPECT_TRUE(remembers(self, "Say hello")) TH_LOG("%s", self->seen);
	EXPECT_TRUE(remembers(self, "Say hello again")) TH_LOG("%s", self->seen);

	/* And in the next conversation. */
	self->len = 0;
	self->seen[0] = '\0';
	ASSERT_TRUE(start(self, argv));
	at = shows(self, 0, "> ");
	ASSERT_NE(at, 0);
	ASSERT_TRUE(type(self, UP UP));
	EXPECT_NE(shows(self, at, "Say hello again"), 0) TH_LOG("%s", self->seen);
	/* The line is given up, and then the conversation. */
	ASSERT_TRUE(type(self, CTRL_C));
	at = shows(self, at, "\n");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	ASSERT_NE(shows(self, at, "> "), 0) TH_LOG("%s", self->seen);
	ASSERT_TRUE(type(self, CTRL_D));
	EXPECT_EQ(ends(self), 0);
}

TEST_F(terminal, ctrl_c_ends_the_answer_and_not_the_conversation)
{
	char *argv[] = { "llama", "chat", "--max-tokens", "100000", "--grammar", self->many, NULL };
	size_t at, begin, end;

	ASSERT_TRUE(start(self, argv));
	at = shows(self, 0, "> ");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(type(self, "go on" ENTER));
		begin = shows(self, at, "\n");
		ASSERT_NE(begin, 0) TH_LOG("%s", self->seen);
		begin = behind_controls(self, begin);
		ASSERT_NE(begin, 0) TH_LOG("%s", self->seen);
		EXPECT_TRUE(shows_letters(self, begin, 20)) TH_LOG("%s", self->seen);
		ASSERT_TRUE(type(self, CTRL_C));
		at = shows(self, begin, "> ");
		ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
		end = begin + strspn(self->seen + begin, "abcdefghijklmnopqrstuvwxyz");
		EXPECT_LT(end - begin, MANY);
		EXPECT_TRUE(status_becomes("sessions_active", 0));
	}
	EXPECT_EQ(waitpid(self->pid, NULL, WNOHANG), 0);
	/* Without an answer it is the line that is given up. */
	ASSERT_TRUE(type(self, "nothing" CTRL_C));
	at = shows(self, at, "\n");
	ASSERT_NE(at, 0) TH_LOG("%s", self->seen);
	ASSERT_NE(shows(self, at, "> "), 0) TH_LOG("%s", self->seen);
	ASSERT_TRUE(type(self, CTRL_D));
	EXPECT_EQ(ends(self), 0);
}

TEST_F(terminal, an_answer_comes_bit_by_bit)
{
	char *argv[] = {
		"llama", "--max-tokens", "100000", "--grammar", self->some, "go on", NULL
	};

	ASSERT_TRUE(start(self, argv));
	EXPECT_EQ(ends(self), 0);
	EXPECT_EQ(strspn(self->seen, "abcdefghijklmnopqrstuvwxyz"), SOME) TH_LOG("%s", self->seen);
	TH_LOG("%zu reads in %llu ms", self->reads, (unsigned long long)(self->last_ms - self->first_ms));
	EXPECT_LT(8, self->reads);
	/* A hundred tokens or more. */
	EXPECT_LT(20, self->last_ms - self->first_ms);
}

TEST_F(terminal, ctrl_c_ends_a_question_with_130)
{
	char *argv[] = {
		"llama", "--max-tokens", "100000", "--grammar", self->many, "go on", NULL
	};

	ASSERT_TRUE(start(self, argv));
	EXPECT_TRUE(shows_letters(self, 0, 20)) TH_LOG("%s", self->seen);
	ASSERT_TRUE(type(self, CTRL_C));
	EXPECT_EQ(ends(self), 130);
	EXPECT_LT(strspn(self->seen, "abcdefghijklmnopqrstuvwxyz"), MANY);
	EXPECT_NE(strstr(self->seen, "interrupted"), NULL) TH_LOG("%s", self->seen);
}

TEST_HARNESS_MAIN
