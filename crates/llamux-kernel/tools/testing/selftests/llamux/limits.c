// SPDX-License-Identifier: GPL-2.0-only
/*
 * How users share the model: limits, accounts, and who is next.
 *
 * The tests of the fixture "model" need a loaded model, those of "global" do
 * not. All want to be root, and so several users.
 */
#include <ctype.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define PROMPT		"/proc/llamux/prompt"
#define USAGE		"/proc/llamux/usage"
#define SESSIONS	"/proc/llamux/sessions"
#define LIMITS		"/sys/kernel/llamux/limits"
#define DEFAULTS	"default sessions=64 queued=16 tokens_per_minute=0 context=0\n"
#define TOKENS		8
#define EXCEPTIONS	32
#define ACCOUNTS	256

/* Users, each with an account of its own that no other test looks at. */
enum { OPENER = 60101, ASKER, OTHER, HOSTILE, VICTIM, HASTY, NICE };

/* Asks and throws the answer away; 0 or an errno. */
static int ask(const char *text, unsigned int tokens)
{
	struct llama_command command = counting(tokens);

	command.prompt = (uintptr_t)text;
	command.prompt_len = strlen(text);
	return llama_command(&command, sizeof(command)) < 0 ? errno : 0;
}

/* The same with words that nobody has asked before. */
static int ask_anew(unsigned int words, unsigned int tokens)
{
	struct timespec now;
	char text[8192];
	size_t len;

	clock_gettime(CLOCK_MONOTONIC, &now);
	len = snprintf(text, sizeof(text), "%d.%lld.%09ld:", getpid(), (long long)now.tv_sec,
		       now.tv_nsec);
	while (words-- > 0 && len + 8 < sizeof(text))
		len += snprintf(text + len, sizeof(text) - len, " word");
	return ask(text, tokens);
}

/* A session that goes on for so many tokens with what it is told. */
static int open_for(unsigned int tokens)
{
	struct llama_options longer = options();

	longer.max_tokens = tokens;
	return open_with(longer, 0);
}

static bool hear(int fd)
{
	char text[256];
	ssize_t len;

	while ((len = read(fd, text, sizeof(text))) > 0)
		;
	return !len;
}

/* Becomes another user, who may open the device. */
static bool become(unsigned int user)
{
	return !setresgid(0, 0, 0) && !setresuid(user, user, user);
}

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 255;
	return WEXITSTATUS(status);
}

/* Runs @what as another user, and returns what it returned, from 0 to 254. */
static int as(unsigned int user, int (*what)(void))
{
	pid_t pid = fork();

	if (!pid)
		_exit(become(user) ? what() : 255);
	return status_of(pid);
}

/* 0 or an errno. */
static int set_limits(const char *line)
{
	int fd = open(LIMITS, O_WRONLY), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, line, strlen(line)) < 0)
		err = errno;
	close(fd);
	return err;
}

static void read_all(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = 0, got;

	while (fd >= 0 && (got = read(fd, text + len, size - 1 - len)) > 0)
		len += got;
	text[len] = '\0';
	if (fd >= 0)
		close(fd);
}

static bool limits_are(const char *lines)
{
	char text[8192];

	read_all(LIMITS, text, sizeof(text));
	return !strcmp(text, lines);
}

/* As after boot. */
static void reset_limits(void)
{
	char text[8192], line[32];

	set_limits(DEFAULTS);
	read_all(LIMITS, text, sizeof(text));
	for (char *user = text; (user = strstr(user, "user=")); user++) {
		snprintf(line, sizeof(line), "user=%ld default", strtol(user + 5, NULL, 10));
		set_limits(line);
	}
}

/* A number in the line of a file that begins with @whose; -1 if there is none. */
static long long number_in(const char *path, const char *whose, const char *key)
{
	size_t whose_len = strlen(whose), key_len = strlen(key);
	long long number = -1;
	char line[1024];
	FILE *file = fopen(path, "r");

	while (file && number < 0 && fgets(line, sizeof(line), file)) {
		char *field = line + whose_len;

		if (strncmp(line, whose, whose_len) || *field != ' ')
			continue;
		while (number < 0 && (field = strchr(field, ' '))) {
			field++;
			if (!strncmp(field, key, key_len) && field[key_len] == '=')
				number = strtoll(field + key_len + 1, NULL, 10);
		}
	}
	if (file)
		fclose(file);
	return number;
}

/* As root sees it; 0 if the user has no line yet. */
static long long usage(unsigned int user, const char *key)
{
	char whose[32];
	long long number;

	snprintf(whose, sizeof(whose), "user=%u", user);
	number = number_in(USAGE, whose, key);
	return number < 0 ? 0 : number;
}

static bool becomes(unsigned int user, const char *key, long long number)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (usage(user, key) != number) {
		if (now_ms() > end)
			return false;
		sleep_ms(2);
	}
	return true;
}

static int lines_of(const char *path)
{
	int lines = 0;
	char line[1024];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file))
		lines++;
	if (file)
		fclose(file);
	return lines;
}

FIXTURE(global) {};

FIXTURE_SETUP(global)
{
	if (getuid())
		SKIP(return, "wants to be root");
	reset_limits();
}

FIXTURE_TEARDOWN(global)
{
	if (!getuid())
		reset_limits();
}

TEST_F(global, limits_are_for_root_to_write)
{
	struct stat stat_of_it;

	ASSERT_EQ(0, stat(LIMITS, &stat_of_it));
	EXPECT_EQ(0644, stat_of_it.st_mode & 07777);
	EXPECT_EQ(0, stat_of_it.st_uid);
	ASSERT_EQ(0, stat(USAGE, &stat_of_it));
	EXPECT_EQ(0444, stat_of_it.st_mode & 07777);
	ASSERT_EQ(0, stat(SESSIONS, &stat_of_it));
	EXPECT_EQ(0444, stat_of_it.st_mode & 07777);
}

TEST_F(global, limits_are_set_and_shown)
{
	EXPECT_TRUE(limits_are(DEFAULTS));
	EXPECT_EQ(0, set_limits("user=60101 queued=4\n"));
	EXPECT_EQ(0, set_limits("default sessions=7 context=100"));
	EXPECT_EQ(0, set_limits("user=60102 tokens_per_minute=600 context=0"));
	EXPECT_EQ(0, set_limits("user=60101 sessions=0"));
	EXPECT_TRUE(limits_are("default sessions=7 queued=16 tokens_per_minute=0 context=100\n"
			       "user=60101 sessions=0 queued=4 tokens_per_minute=0 context=100\n"
			       "user=60102 sessions=7 queued=16 tokens_per_minute=600 context=0\n"));
	EXPECT_EQ(0, set_limits("user=60101 default\n"));
	EXPECT_EQ(ENOENT, set_limits("user=60101 default\n"));
	EXPECT_EQ(0, set_limits(DEFAULTS));
	EXPECT_TRUE(limits_are(DEFAULTS "user=60102 sessions=64 queued=16 "
			       "tokens_per_minute=600 context=0\n"));
}

TEST_F(global, each_bad_line_is_refused)
{
	static const char * const lines[] = {
		"\n", "all queued=1", "default", "default\n", "user=60101", "user= queued=1",
		"user=-1 queued=1", "user=4294967295 queued=1", "user=root queued=1",
		"default queued", "default =1", "default queued=", "default queued=-1",
		"default queued=4294967296", "default queued=1x", "default queue=1",
		"default queued=1 queued=2", "default default", "user=60101 default queued=1",
		"user=60101 queued=1 default", "default queued=1\ndefault queued=2", "\xff",
	};

	for (int i = 0; i < ARRAY_SIZE(lines); i++) {
		EXPECT_EQ(EINVAL, set_limits(lines[i])) TH_LOG("line %d", i);
	}
	EXPECT_TRUE(limits_are(DEFAULTS));
}

TEST_F(global, few_users_have_limits_of_their_own)
{
	char line[64];

	for (int i = 0; i < EXCEPTIONS; i++) {
		snprintf(line, sizeof(line), "user=%d queued=4294967295", 61000 + i);
		ASSERT_EQ(0, set_limits(line));
	}
	EXPECT_EQ(ENOSPC, set_limits("user=60101 queued=1"));
	EXPECT_EQ(0, set_limits("user=61000 queued=1"));
	EXPECT_EQ(EXCEPTIONS + 1, lines_of(LIMITS));
}

/* Opens as many sessions as the limit of 3 allows. 0, or where it went wrong. */
static int open_three(void)
{
	int fds[3], fd;

	for (int i = 0; i < 3; i++) {
		fds[i] = open(DEVICE, O_RDWR);
		if (fds[i] < 0)
			return 10 + i;
	}
	if (open(DEVICE, O_RDWR) >= 0 || errno != EDQUOT)
		return 20;
	if (ioctl(fds[0], LLAMA_IOC_FORK, 0) >= 0 || errno != EDQUOT)
		return 21;
	close(fds[2]);
	fd = ioctl(fds[0], LLAMA_IOC_FORK, 0);
	if (fd < 0)
		return 22;
	if (open(DEVICE, O_RDWR) >= 0 || errno != EDQUOT)
		return 23;
	close(fd);
	return open(DEVICE, O_RDWR) < 0 ? 24 : 0;
}

/* How many sessions can be opened, up to 5. */
static int count_sessions(void)
{
	int count = 0;

	while (count < 5 && open(DEVICE, O_RDWR) >= 0)
		count++;
	return count;
}

/* There are so many accounts; who has none shares one with all others. */
TEST_F(global, users_without_an_account_have_limits_of_their_own)
{
	int fds[ACCOUNTS + 2];

	for (int i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_EQ(0, seteuid(i < ACCOUNTS ? 70000 + i : ASKER));
		fds[i] = open(DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_EQ(0, seteuid(0));
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, set_limits("default sessions=2"));
	EXPECT_EQ(2, as(OTHER, count_sessions));
	EXPECT_EQ(0, as(ASKER, count_sessions));
	for (int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

TEST_F(global, sessions_reach_their_limit)
{
	char line[32];

	snprintf(line, sizeof(line), "user=%d sessions=3", OPENER);
	ASSERT_EQ(0, set_limits(line));
	EXPECT_EQ(0, as(OPENER, open_three));
	/* They are counted out with the program. */
	EXPECT_TRUE(becomes(OPENER, "sessions", 0));
	EXPECT_EQ(0, as(OPENER, open_three));
	EXPECT_EQ(5, as(OTHER, count_sessions));
	ASSERT_EQ(0, set_limits("default sessions=2"));
	EXPECT_EQ(2, as(OTHER, count_sessions));
	EXPECT_EQ(3, as(OPENER, count_sessions));
}

TEST_F(global, root_is_not_limited)
{
	ASSERT_EQ(0, set_limits("default sessions=1"));
	ASSERT_EQ(0, set_limits("user=0 sessions=1"));
	EXPECT_EQ(5, as(0, count_sessions));
}

/* A session that says its own name, and waits to be looked at. */
static pid_t sitter(unsigned int user, int *fd)
{
	int ready[2], end[2];
	pid_t pid;
	char byte;

	if (pipe(ready) || pipe(end))
		return -1;
	pid = fork();
	if (!pid) {
		close(ready[0]);
		close(end[1]);
		prctl(PR_SET_NAME, "a b\\c\n\xc3");
		if (!become(user) || open(DEVICE, O_RDWR) < 0)
			_exit(1);
		close(ready[1]);
		_exit(read(end[0], &byte, 1) != 0);
	}
	close(ready[1]);
	close(end[0]);
	*fd = end[1];
	/* Its end of the pipe is closed when it has come so far. */
	if (read(ready[0], &byte, 1))
		pid = -1;
	close(ready[0]);
	return pid;
}

static int sessions_seen(void)
{
	return lines_of(SESSIONS);
}

TEST_F(global, nobody_sees_sessions_of_others)
{
	char text[8192], wanted[256], *line;
	int fd, other_fd, before = lines_of(SESSIONS);
	pid_t pid = sitter(OPENER, &fd), other = sitter(OTHER, &other_fd);

	ASSERT_LT(0, pid);
	ASSERT_LT(0, other);
	EXPECT_EQ(before + 2, lines_of(SESSIONS));
	EXPECT_EQ(1, as(OPENER, sessions_seen));
	EXPECT_EQ(1, as(OTHER, sessions_seen));
	EXPECT_EQ(0, as(VICTIM, sessions_seen));

	read_all(SESSIONS, text, sizeof(text));
	snprintf(wanted, sizeof(wanted), " user=%d pid=%d comm=a\\040b\\134c\\012\\303 "
		 "state=idle tokens=0 held=0 unread=0 idle=", OPENER, pid);
	line = strstr(text, wanted);
	ASSERT_NE(NULL, line);
	line += strlen(wanted);
	EXPECT_TRUE(isdigit(*line));
	/* There was no answer, and so there is no model. */
	EXPECT_EQ('\n', line[strspn(line, "0123456789")]);
	close(fd);
	close(other_fd);
	EXPECT_EQ(0, status_of(pid));
	EXPECT_EQ(0, status_of(other));
	EXPECT_EQ(before, lines_of(SESSIONS));
}

FIXTURE(model)
{
	/* What children count, for all to see. */
	unsigned int *counts;
};

FIXTURE_SETUP(model)
{
	if (getuid())
		SKIP(return, "wants to be root");
	if (ask("x", 1) == ENODEV)
		SKIP(return, "no model");
	ASSERT_TRUE(state_is("ready"));
	reset_limits();
	self->counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->counts);
}

FIXTURE_TEARDOWN(model)
{
	if (!getuid())
		reset_limits();
}

static int ask_for_some(void)
{
	return ask_anew(4, TOKENS);
}

static int usage_seen(void)
{
	return lines_of(USAGE);
}

TEST_F(model, what_a_user_got_is_on_its_account)
{
	long long requests = usage(ASKER, "requests"), tokens = usage(ASKER, "tokens");
	long long prompt = usage(ASKER, "prompt_tokens"), time = usage(ASKER, "time_ns");
	long long others = usage(OTHER, "requests");

	ASSERT_EQ(0, as(ASKER, ask_for_some));
	ASSERT_TRUE(becomes(ASKER, "requests", requests + 1));
	EXPECT_EQ(tokens + TOKENS, usage(ASKER, "tokens"));
	EXPECT_LT(prompt + 4, usage(ASKER, "prompt_tokens"));
	EXPECT_GT(prompt + 200, usage(ASKER, "prompt_tokens"));
	EXPECT_LT(time, usage(ASKER, "time_ns"));
	EXPECT_EQ(0, usage(ASKER, "active"));
	EXPECT_EQ(0, usage(ASKER, "queued"));
	EXPECT_EQ(0, usage(ASKER, "context"));
	EXPECT_EQ(others, usage(OTHER, "requests"));
	/* A user's own line, and no other; root sees all. */
	EXPECT_EQ(1, as(ASKER, usage_seen));
	EXPECT_EQ(0, as(60999, usage_seen));
	EXPECT_LE(2, lines_of(USAGE));
}

/* More than any context has room for. */
static int ask_too_much(void)
{
	static char text[1 << 18];

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 2 ? ' ' : 'a' + i % 26;
	return ask(text, 1);
}

TEST_F(model, what_is_refused_took_its_time)
{
	long long time = usage(ASKER, "time_ns"), requests = usage(ASKER, "requests");

	EXPECT_EQ(EOVERFLOW, as(ASKER, ask_too_much));
	EXPECT_LT(time, usage(ASKER, "time_ns"));
	EXPECT_EQ(requests, usage(ASKER, "requests"));
	EXPECT_EQ(0, usage(ASKER, "queued"));
}

TEST_F(model, what_a_control_group_got_is_on_its_account)
{
	char whose[32] = "", line[1024];
	long long requests, tokens;
	FILE *file = fopen(USAGE, "r");

	while (file && !*whose && fgets(line, sizeof(line), file))
		if (!strncmp(line, "cgroup=", 7) && isdigit(line[7]))
			snprintf(whose, sizeof(whose), "%.*s", (int)strcspn(line, " "), line);
	if (file)
		fclose(file);
	if (!*whose)
		SKIP(return, "no control groups");
	requests = number_in(USAGE, whose, "requests");
	tokens = number_in(USAGE, whose, "tokens");
	ASSERT_EQ(0, as(ASKER, ask_for_some));
	for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end; sleep_ms(2))
		if (number_in(USAGE, whose, "requests") > requests)
			break;
	EXPECT_LT(requests, number_in(USAGE, whose, "requests"));
	EXPECT_LE(tokens + TOKENS, number_in(USAGE, whose, "tokens"));
}

/* One answer that takes the whole context, and two that wait. 0, or where it went wrong. */
static int fill_the_queue(void)
{
	int fds[4], prompt;
	char byte;

	for (int i = 0; i < 4; i++) {
		fds[i] = open_for(FOREVER);
		if (fds[i] < 0)
			return 10 + i;
	}
	for (int i = 0; i < 3; i++) {
		if (!say(fds[i], COUNT))
			return 20 + i;
		/* The first one leaves the queue as soon as it can. */
		for (uint64_t end = now_ms() + PATIENCE_MS; !i;) {
			char whose[32];

			snprintf(whose, sizeof(whose), "user=%d", getuid());
			if (number_in(USAGE, whose, "active") == 1)
				break;
			if (now_ms() > end)
				return 30;
			sleep_ms(2);
		}
	}
	if (say(fds[3], COUNT) || errno != EDQUOT)
		return 40;
	if (ask(COUNT, 1) != EDQUOT)
		return 41;
	prompt = open(PROMPT, O_RDWR);
	if (prompt < 0 || !say(prompt, COUNT))
		return 42;
	if (read(prompt, &byte, 1) >= 0 || errno != EDQUOT)
		return 43;
	/* Somebody waits no more, and so there is a place. */
	if (ioctl(fds[1], LLAMA_IOC_CANCEL, 0) || !say(fds[3], COUNT))
		return 44;
	return ask(COUNT, 1) == EDQUOT ? 0 : 45;
}

TEST_F(model, the_queue_reaches_its_limit)
{
	char line[32];

	snprintf(line, sizeof(line), "user=%d queued=2", ASKER);
	ASSERT_EQ(0, set_limits(line));
	EXPECT_EQ(0, as(ASKER, fill_the_queue));
	EXPECT_TRUE(becomes(ASKER, "active", 0));
	EXPECT_TRUE(becomes(ASKER, "queued", 0));
	EXPECT_EQ(0, as(ASKER, ask_for_some));
}

TEST_F(model, tokens_a_minute_reach_their_limit)
{
	char line[64];

	snprintf(line, sizeof(line), "user=%d tokens_per_minute=%d", ASKER, TOKENS);
	ASSERT_EQ(0, set_limits(line));
	/* An answer that is more than that comes to its end; then it is enough for a while. */
	EXPECT_EQ(0, as(ASKER, ask_for_some));
	EXPECT_EQ(EDQUOT, as(ASKER, ask_for_some));
	EXPECT_EQ(0, as(OTHER, ask_for_some));
	snprintf(line, sizeof(line), "user=%d tokens_per_minute=%d", ASKER, 100 * 1000 * 1000);
	ASSERT_EQ(0, set_limits(line));
	EXPECT_EQ(0, as(ASKER, ask_for_some));
}

static int ask_for_much(void)
{
	return ask_anew(4, 300);
}

/* Two answers that the limit of 300 has no room for at the same time. */
static int two_one_after_the_other(void)
{
	long long most = 0;
	pid_t pids[2];

	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(ask(COUNT, 200) != 0);
	}
	for (int i = 0, status; i < 2;) {
		long long context = 0;
		char whose[32];

		snprintf(whose, sizeof(whose), "user=%d", getuid());
		context = number_in(USAGE, whose, "context");
		most = context > most ? context : most;
		if (waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			if (status)
				return 10 + i;
			i++;
		}
		sleep_ms(1);
	}
	return most < 200 ? 20 : most > 300 ? 21 : 0;
}

TEST_F(model, the_context_reaches_its_limit)
{
	char line[32];

	snprintf(line, sizeof(line), "user=%d context=300", ASKER);
	ASSERT_EQ(0, set_limits(line));
	EXPECT_EQ(0, as(ASKER, ask_for_some));
	EXPECT_EQ(EDQUOT, as(ASKER, ask_for_much));
	EXPECT_EQ(0, as(ASKER, two_one_after_the_other));
	EXPECT_EQ(0, as(OTHER, ask_for_much));
	EXPECT_TRUE(becomes(ASKER, "context", 0));
}

TEST_F(model, root_asks_beyond_all_limits)
{
	ASSERT_EQ(0, set_limits("default sessions=1 queued=1 tokens_per_minute=1 context=1"));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, ask_for_some());
	EXPECT_EQ(0, ask(COUNT, 100));
	EXPECT_EQ(EDQUOT, as(OTHER, ask_for_some));
}

/* As a program does whose output somebody has turned into a session of theirs. */
TEST_F(model, root_asks_within_the_limits_of_who_opened)
{
	struct llama_command command = counting(TOKENS);
	int session, prompt, own;
	char line[64], byte;

	snprintf(line, sizeof(line), "user=%d tokens_per_minute=1", OPENER);
	ASSERT_EQ(0, set_limits(line));
	ASSERT_EQ(0, set_limits("user=0 tokens_per_minute=1"));
	ASSERT_EQ(0, seteuid(OPENER));
	session = open_for(TOKENS);
	prompt = open(PROMPT, O_RDWR | O_CLOEXEC);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_LE(0, session);
	ASSERT_LE(0, prompt);
	/* The minute's tokens, and then no more. */
	ASSERT_TRUE(say(session, COUNT));
	ASSERT_TRUE(hear(session));
	EXPECT_FALSE(say(session, COUNT));
	EXPECT_EQ(EDQUOT, errno);
	command.flags = LLAMA_RAW | LLAMA_GREEDY | LLAMA_SESSION;
	command.session = session;
	EXPECT_EQ(-1, llama_command(&command, sizeof(command)));
	EXPECT_EQ(EDQUOT, errno);
	ASSERT_TRUE(say(prompt, COUNT));
	EXPECT_EQ(-1, read(prompt, &byte, 1));
	EXPECT_EQ(EDQUOT, errno);
	close(prompt);
	close(session);
	own = open_for(TOKENS);
	ASSERT_LE(0, own);
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(say(own, COUNT));
		EXPECT_TRUE(hear(own));
	}
	close(own);
}

TEST_F(model, sessions_tell_nothing_of_what_was_said)
{
	char text[8192], wanted[256], *line;
	int fd = open_for(TOKENS);

	ASSERT_LE(0, fd);
	ASSERT_TRUE(say(fd, "zebra 1, 2, 3, 4, 5,"));
	ASSERT_TRUE(hear(fd));
	snprintf(wanted, sizeof(wanted), " user=0 pid=%d comm=", getpid());
	read_all(SESSIONS, text, sizeof(text));
	line = strstr(text, wanted);
	ASSERT_NE(NULL, line);
	line[strcspn(line, "\n")] = '\0';
	EXPECT_NE(NULL, strstr(line, " state=idle "));
	EXPECT_EQ(NULL, strstr(line, " tokens=0 "));
	EXPECT_NE(NULL, strstr(line, " model="));
	EXPECT_EQ(NULL, strstr(line, "zebra"));
	sleep_ms(1100);
	read_all(SESSIONS, text, sizeof(text));
	line = strstr(text, wanted);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(NULL, strstr(line, " idle=0 "));
	close(fd);
}

/* A client that asks again and again. */
static pid_t client(unsigned int user, int nice, unsigned int words, unsigned int *count)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpriority(PRIO_PROCESS, 0, nice);
	if (!become(user))
		_exit(1);
	while (!ask_anew(words, TOKENS))
		__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	_exit(1);
}

static void end_clients(pid_t *pids, int count)
{
	for (int i = 0; i < count; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	for (int i = 0; i < count; i++)
		if (pids[i] > 0)
			waitpid(pids[i], NULL, 0);
}

static int ask_for_a_token(void)
{
	return ask_anew(1, 1);
}

/*
 * The bound: while eight clients of another user ask without a break, a first token
 * takes no more than two of their questions alone. In the order in which they come
 * it would take more than five.
 */
TEST_F(model, a_hostile_user_keeps_nobody_waiting)
{
	uint64_t begin = now_ms(), alone, longest = 0;
	pid_t pids[8];

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, ask_anew(200, TOKENS));
	alone = (now_ms() - begin) / 2;
	for (int i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = client(HOSTILE, 0, 200, self->counts);
	/* All of them are there, and one has had an answer. */
	for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end; sleep_ms(2))
		if (*(volatile unsigned int *)self->counts &&
		    usage(HOSTILE, "queued") + usage(HOSTILE, "active") >= 6)
			break;
	EXPECT_LE(1, usage(HOSTILE, "queued"));
	for (int i = 0; i < 5; i++) {
		uint64_t asked = now_ms();

		EXPECT_EQ(0, as(VICTIM, ask_for_a_token));
		if (now_ms() - asked > longest)
			longest = now_ms() - asked;
	}
	end_clients(pids, ARRAY_SIZE(pids));
	TH_LOG("alone %llu ms, the victim's longest first token %llu ms",
	       (unsigned long long)alone, (unsigned long long)longest);
	EXPECT_LE(longest, 2 * alone + 500);
	EXPECT_TRUE(becomes(HOSTILE, "active", 0));
	EXPECT_TRUE(becomes(HOSTILE, "queued", 0));
}

/*
 * A nice level of 10 weighs a ninth. Since the last seat is for those who have none,
 * the nicer one always has one, and the other all others but one at times.
 */
TEST_F(model, nice_users_get_less)
{
	long long seats = number_of(STATUS, "sessions_max");
	volatile unsigned int *counts = self->counts;
	uint64_t end = now_ms() + 10 * PATIENCE_MS;
	pid_t pids[12];

	if (seats == 2)
		SKIP(return, "everybody has one of two seats");
	for (int i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = client(i % 2 ? HASTY : NICE, i % 2 ? 0 : 10, 60, self->counts + i % 2);
	while (counts[0] + counts[1] < 40 && now_ms() < end)
		sleep_ms(5);
	end_clients(pids, ARRAY_SIZE(pids));
	TH_LOG("%u answers for the nice user, %u for the other one", counts[0], counts[1]);
	EXPECT_LE(40, counts[0] + counts[1]);
	EXPECT_LE(1, counts[0]);
	EXPECT_LE(counts[0] * 14, counts[1] * 10);
}

/* Of whatever was asked, closed and killed since boot, by the other tests too. */
TEST_F(model, nothing_stays_on_accounts_when_nobody_asks)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	char line[1024] = "";
	bool open = true;

	while (open && now_ms() < end) {
		FILE *file = fopen(USAGE, "r");

		ASSERT_NE(NULL, file);
		open = false;
		while (!open && fgets(line, sizeof(line), file))
			open = !strstr(line, " sessions=0 queued=0 active=0 context=0 ");
		fclose(file);
		sleep_ms(10);
	}
	EXPECT_FALSE(open) TH_LOG("%s", line);
}

TEST_HARNESS_MAIN
