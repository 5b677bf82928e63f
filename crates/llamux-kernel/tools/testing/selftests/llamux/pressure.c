// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is taken by others, and callers that are frozen: who asks is answered
 * all the same, or told why not.
 *
 * All tests want a loaded model and root.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "common.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define CHUNK		(4 << 20)
#define HOGS		1	/* that have to be killed */
#define ANSWERS		20	/* that have to come meanwhile */

/* An answer of so many tokens; 0 or the errno. */
static int ask(unsigned int tokens, char *text, size_t size)
{
	struct llama_command command = counting(tokens);

	memset(text, 0, size);
	command.response = (uintptr_t)text;
	command.response_len = size - 1;
	return llama_command(&command, sizeof(command)) < 0 ? errno : 0;
}

/* The same in a conversation. */
static int talk(char *text, size_t size)
{
	int fd = open_session(), err = 0;

	if (fd < 0)
		return errno;
	if (!say(fd, COUNT) || read_answer(fd, text, size, 4) < 0)
		err = errno;
	close(fd);
	return err;
}

FIXTURE(pressure)
{
	char expected[1024], text[1024];
};

FIXTURE_SETUP(pressure)
{
	if (!model_is_ready())
		SKIP(return, "there is no model");
	if (geteuid())
		SKIP(return, "wants to be root");
	ASSERT_EQ(ask(8, self->expected, sizeof(self->expected)), 0);
}

FIXTURE_TEARDOWN(pressure)
{
	if (!self->expected[0])
		return;
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	EXPECT_EQ(ask(8, self->text, sizeof(self->text)), 0);
	EXPECT_STREQ(self->text, self->expected);
}

/* Takes memory until it is killed for that. */
static void hog(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	put_file("/proc/self/oom_score_adj", "1000");
	for (;;) {
		char *memory = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (memory == MAP_FAILED)
			sleep_ms(1);
	}
}

TEST_F(pressure, answers_go_on_when_all_memory_is_taken)
{
	unsigned int answers = 0, refused = 0, hogs = 0;
	uint64_t end = now_ms() + 4 * PATIENCE_MS, start, longest = 0;
	pid_t pid = 0;

	ASSERT_TRUE(put_file("/proc/self/oom_score_adj", "-1000"));
	while ((answers < ANSWERS || hogs < HOGS) && now_ms() < end) {
		int err[2];

		if (!pid) {
			pid = fork();
			if (!pid)
				hog();
			ASSERT_LT(0, pid);
		}
		start = now_ms();
		err[0] = ask(8, self->text, sizeof(self->text));
		if (!err[0])
			EXPECT_STREQ(self->text, self->expected);
		err[1] = talk(self->text, sizeof(self->text));
		if (now_ms() - start > longest)
			longest = now_ms() - start;
		if (!err[1])
			EXPECT_STREQ(self->text, self->expected);
		for (int i = 0; i < 2; i++) {
			EXPECT_TRUE(!err[i] || err[i] == ENOMEM) TH_LOG("%s", strerror(err[i]));
			answers += !err[i];
			refused += !!err[i];
		}
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			hogs++;
			pid = 0;
		}
	}
	if (pid)
		killed(pid);
	TH_LOG("%u answers, %u refused, %u hogs killed, the longest two answers took %llu ms", answers,
	       refused, hogs, (unsigned long long)longest);
	EXPECT_LE(ANSWERS, answers);
	EXPECT_LE(HOGS, hogs);
}

/* Makes a control group at @at, of these controllers; false if the kernel has none. */
static bool make_group(char *at, size_t size, const char *type, const char *controllers)
{
	char mounted[64];

	snprintf(mounted, sizeof(mounted), "/tmp/llamux-%s", type);
	snprintf(at, size, "/tmp/llamux-%s/test", type);
	mkdir(mounted, 0755);
	if (mount("none", mounted, type, 0, controllers) && errno != EBUSY)
		return false;
	return !mkdir(at, 0755) || errno == EEXIST;
}

static bool put_in(const char *group, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return put_file(path, text);
}

struct answer {
	int err;
	struct llama_command command;
	char text[4096];
};

/* As a suspend does it: the freezer of control groups is the same. */
TEST_F(pressure, who_is_frozen_is_not_interrupted)
{
	static const unsigned int timeouts[] = { 0, 3600000 };
	struct answer *answers = mmap(NULL, 2 * sizeof(*answers), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char group[64], number[16];
	pid_t pids[2];

	ASSERT_NE(answers, MAP_FAILED);
	if (!make_group(group, sizeof(group), "cgroup", "freezer"))
		SKIP(return, "this kernel freezes no control groups");
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			struct answer *mine = &answers[i];

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			mine->command = counting(300);
			mine->command.response = (uintptr_t)mine->text;
			mine->command.response_len = sizeof(mine->text) - 1;
			mine->command.timeout_ms = timeouts[i];
			if (llama_command(&mine->command, sizeof(mine->command)) < 0)
				mine->err = errno;
			_exit(0);
		}
		snprintf(number, sizeof(number), "%d", pids[i]);
		ASSERT_TRUE(put_in(group, "cgroup.procs", number));
	}
	EXPECT_TRUE(status_becomes("sessions_active", 2));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(put_in(group, "freezer.state", "FROZEN"));
		sleep_ms(50);
		ASSERT_TRUE(put_in(group, "freezer.state", "THAWED"));
		sleep_ms(20);
	}
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(exited(pids[i]));
		EXPECT_EQ(answers[i].err, 0);
		EXPECT_EQ(answers[i].command.stop_reason, LLAMA_STOP_LENGTH);
		EXPECT_EQ(answers[i].command.response_tokens, 300);
	}
	rmdir(group);
}

/* Whether all that was said could be held: 0, or the errno. */
static int holds(int conversations)
{
	struct llama_turn held = { .flags = LLAMA_TURN_HOLD, .text_len = LLAMA_PROMPT_MAX };
	char *text = malloc(LLAMA_PROMPT_MAX);

	if (!text)
		return ENOMEM;
	memset(text, 'a', LLAMA_PROMPT_MAX);
	held.text = (uintptr_t)text;
	for (int i = 0; i < conversations; i++) {
		int fd = open_session();

		if (fd < 0 || ioctl(fd, LLAMA_IOC_TURN, &held))
			return errno;
	}
	return 0;
}

TEST_F(pressure, what_is_held_is_on_the_account_of_who_holds_it)
{
	char group[64], number[16];
	int wait_status, go[2];
	pid_t pid;

	if (!make_group(group, sizeof(group), "cgroup2", NULL) ||
	    !put_in("/tmp/llamux-cgroup2", "cgroup.subtree_control", "+memory") ||
	    !put_in(group, "memory.max", "24M"))
		SKIP(return, "this kernel limits no memory");
	ASSERT_EQ(pipe(go), 0);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(go[0], number, 1) != 1 || holds(4))
			_exit(1);
		_exit(holds(64) == ENOMEM ? 2 : 3);
	}
	snprintf(number, sizeof(number), "%d", pid);
	EXPECT_TRUE(put_in(group, "cgroup.procs", number));
	ASSERT_EQ(write(go[1], "x", 1), 1);
	wait_status = reap(pid);
	/* The kernel rather kills than lets an allocation fail. */
	EXPECT_TRUE(wait_status >= 0 &&
		    ((WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) ||
		     (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 2)))
		TH_LOG("it ended with %#x", wait_status);
	close(go[0]);
	close(go[1]);
	rmdir(group);
}

TEST_HARNESS_MAIN
