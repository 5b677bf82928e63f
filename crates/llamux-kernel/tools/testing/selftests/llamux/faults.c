// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults in the middle of everything: allocations that fail, and copies from and
 * to user space that do (Documentation/fault-injection/fault-injection.rst).
 *
 * These tests want CONFIG_FAULT_INJECTION_DEBUG_FS with FAILSLAB, FAIL_PAGE_ALLOC
 * and FAULT_INJECTION_USERCOPY, root, and a loaded model; those that load another
 * one want its file in /lib/firmware/llamux.
 */
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "common.h"
#include "grammars.h"
#include "session.h"
#include "sysfs_llamux.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define DEBUGFS		"/sys/kernel/debug"
#define PROMPT		"/proc/llamux/prompt"
#define KTHREADD	"2"

#define NTH_MOST	2000	/* no operation has so many places to fail */
#define ROUNDS		20	/* of all operations, for each kind of fault */

/* What can fail, and how many in a hundred do. */
static const struct {
	const char *name, *percent;
} kinds[] = {
	{ "failslab", "3" },
	{ "fail_page_alloc", "30" },
	{ "fail_usercopy", "5" },
};

static bool set(const char *kind, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", kind, file);
	return put_file(path, text);
}

/* How many faults there were of the so many that were allowed. */
#define ALLOWED		1000000

static int injected(const char *kind)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "/%s/times", kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return ALLOWED - atoi(text);
}

/* Lets faults of all kinds hit tasks that want it, whatever they ask for; not yet. */
static bool prepare(void)
{
	for (int i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *kind = kinds[i].name;

		if (!set(kind, "probability", "0") || !set(kind, "task-filter", "Y") ||
		    !set(kind, "times", "-1") || !set(kind, "interval", "1") ||
		    /* The traces would be complaints in the log. */
		    !set(kind, "verbose", "0"))
			return false;
	}
	return set("failslab", "ignore-gfp-wait", "N") &&
	       set("fail_page_alloc", "ignore-gfp-wait", "N") &&
	       set("fail_page_alloc", "ignore-gfp-highmem", "N") &&
	       set("fail_page_alloc", "min-order", "0");
}

/* The operations. Each does something from its beginning to its end. */

/* 0, or minus the errno of what has just failed. */
static int result(long ret)
{
	return ret < 0 ? -errno : 0;
}

/* As long as may be: what is lost then is not overlooked. It ends after a word. */
#define LONGEST		16384

static int asks(void)
{
	struct llama_command command = counting(LONGEST);
	char text[64];

	command.response = (uintptr_t)text;
	command.response_len = sizeof(text);
	command.grammar = (uintptr_t)yes_or_no;
	command.grammar_len = sizeof(yes_or_no);
	return result(llama_command(&command, sizeof(command)));
}

/* Reads an answer to its end. */
static int hears(int fd)
{
	char text[256];
	ssize_t got;

	while ((got = read(fd, text, sizeof(text))) > 0)
		;
	return result(got);
}

static int says(int fd, const char *text)
{
	int err = result(write(fd, text, strlen(text)));

	return err ?: hears(fd);
}

static int asks_in_a_session(int fd)
{
	struct llama_command command = counting(LONGEST);

	command.flags |= LLAMA_SESSION;
	command.session = fd;
	command.grammar = (uintptr_t)yes_or_no;
	command.grammar_len = sizeof(yes_or_no);
	return result(llama_command(&command, sizeof(command)));
}

/* With a descriptor that was just opened. */
static int talks(int fd)
{
	static const char stops[] = "never\0not this";
	struct llama_options all = {
		.flags = LLAMA_OPTION_RAW | LLAMA_OPTION_GREEDY | LLAMA_OPTION_LOGPROBS,
		.max_tokens = LONGEST,
		.grammar = (uintptr_t)yes_or_no, .grammar_len = sizeof(yes_or_no),
		.stops = (uintptr_t)stops, .stops_len = sizeof(stops),
	};
	struct llama_turn held = {
		.flags = LLAMA_TURN_HOLD,
		.text = (uintptr_t)COUNT, .text_len = strlen(COUNT),
	};
	struct llama_logprob entries[4];
	struct llama_logprobs logprobs = { .entries = (uintptr_t)entries, .count = 4 };
	struct llama_session session = { 0 };
	struct pollfd poll_of_it = { .fd = fd, .events = POLLIN };
	int err, copy;

	err = result(ioctl(fd, LLAMA_IOC_SET, &all)) ?:
	      result(ioctl(fd, LLAMA_IOC_TURN, &held)) ?:
	      result(ioctl(fd, LLAMA_IOC_PREWARM, 0)) ?:
	      result(write(fd, " 14", 3)) ?:
	      result(poll(&poll_of_it, 1, PATIENCE_MS)) ?:
	      hears(fd) ?:
	      result(ioctl(fd, LLAMA_IOC_INFO, &session)) ?:
	      result(ioctl(fd, LLAMA_IOC_LOGPROBS, &logprobs)) ?:
	      asks_in_a_session(fd);
	if (err)
		return err;
	copy = ioctl(fd, LLAMA_IOC_FORK, O_CLOEXEC);
	if (copy < 0)
		return -errno;
	err = says(copy, " 15") ?:
	      result(write(copy, " 16", 3)) ?:
	      result(ioctl(copy, LLAMA_IOC_CANCEL, 0)) ?:
	      result(ioctl(copy, LLAMA_IOC_RESET, 0));
	close(copy);
	return err;
}

static int holds_a_conversation(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = talks(fd);
	close(fd);
	return err;
}

static int writes_in_parts(void)
{
	struct llama_options parts = options();
	int fd, err;

	parts.flags |= LLAMA_OPTION_APPEND;
	parts.max_tokens = 1;
	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = result(ioctl(fd, LLAMA_IOC_SET, &parts)) ?:
	      result(write(fd, "1, 2,", 5)) ?:
	      says(fd, " 3,");
	close(fd);
	return err;
}

/* More than any context holds, which is found soon, and takes much memory. */
static char too_much[1 << 19];

static int has_prompt(void)
{
	int fd = open(PROMPT, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = says(fd, too_much);
	close(fd);
	return err == -EOVERFLOW ? 0 : err;
}

/* Asks when it is closed, and so is told nothing of errors. */
static int leaves_prompt(void)
{
	int fd = open(PROMPT, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = result(write(fd, too_much, sizeof(too_much) - 1));
	close(fd);
	return err;
}

static int looks(void)
{
	static const char * const files[] = {
		STATUS, LATENCY, "/proc/llamux/stats", SYSFS "models", SYSFS "memory", SYSFS "default",
	};

	for (int i = 0; i < ARRAY_SIZE(files); i++) {
		int fd = open(files[i], O_RDONLY | O_CLOEXEC), err;

		if (fd < 0)
			return -errno;
		err = hears(fd);
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

static const struct operation {
	const char *name;
	int (*run)(void);
} operations[] = {
	{ "a question", asks },
	{ "a conversation", holds_a_conversation },
	{ "a turn in parts", writes_in_parts },
	{ "the prompt", has_prompt },
	{ "a prompt that is left", leaves_prompt },
	{ "looking", looks },
};

/* What became of an operation. */
struct tally {
	unsigned int good, no_memory, fault, other;
	int other_err;
};

static void count(struct tally *tally, int err)
{
	switch (err) {
	case 0:
		tally->good++;
		break;
	case -ENOMEM:
		tally->no_memory++;
		break;
	case -EFAULT:
		tally->fault++;
		break;
	default:
		tally->other++;
		tally->other_err = -err;
	}
}

/* With a child whose operations fail. */
struct shared {
	bool go;
	struct tally tallies[ARRAY_SIZE(operations)];
};

FIXTURE(faults)
{
	char first[256], second[256];
	char expected[256], text[256];
	struct shared *shared;
	long long free;
};

/* An answer that is the same each time; false if there is none. */
static bool answer(char *text, size_t size)
{
	struct llama_command command = counting(8);

	memset(text, 0, size);
	command.response = (uintptr_t)text;
	command.response_len = size - 1;
	return llama_command(&command, sizeof(command)) > 0;
}

FIXTURE_SETUP(faults)
{
	if (geteuid())
		SKIP(return, "wants to be root");
	if (access(DEBUGFS "/failslab", F_OK))
		mount("none", DEBUGFS, "debugfs", 0, NULL);
	if (!prepare())
		SKIP(return, "this kernel injects no faults");
	if (!model_is_ready())
		SKIP(return, "there is no model");
	get("default", self->first, sizeof(self->first));
	self->first[strcspn(self->first, "\n")] = '\0';
	find_second(self->first, self->second, sizeof(self->second));
	for (int i = 0; i < sizeof(too_much) - 1; i++)
		too_much[i] = i % 2 ? ' ' : 'a' + i % 26;
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->shared, MAP_FAILED);
	/* Also so that everything that is made once is there. */
	for (int i = 0; i < ARRAY_SIZE(operations); i++) {
		ASSERT_EQ(operations[i].run(), 0) TH_LOG("%s", operations[i].name);
	}
	ASSERT_TRUE(answer(self->expected, sizeof(self->expected)));
	self->free = free_memory();
}

/* Everything works as before, and nobody is left in the driver. */
FIXTURE_TEARDOWN(faults)
{
	if (!self->expected[0])
		return;
	EXPECT_TRUE(prepare());
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
	EXPECT_TRUE(answer(self->text, sizeof(self->text)));
	EXPECT_STREQ(self->text, self->expected);
	for (int i = 0; i < ARRAY_SIZE(operations); i++) {
		EXPECT_EQ(operations[i].run(), 0) TH_LOG("%s", operations[i].name);
	}
	if (is_reserved()) {
		EXPECT_EQ(free_memory(), self->free);
	}
}

/* Has the n-th of all that can fail do so in @run. Whether it came to that. */
static bool nth_fails(unsigned int n, int (*run)(void), int *err)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	char text[16] = "";
	bool hit;

	snprintf(text, sizeof(text), "%u", n);
	if (fd < 0 || pwrite(fd, text, strlen(text), 0) < 0) {
		*err = -EIO;
		return true;
	}
	*err = run();
	/* Where less was to be had than n, this read is it, or comes before it. */
	hit = pread(fd, text, sizeof(text), 0) > 0 && text[0] == '0';
	while (!hit && pwrite(fd, "0", 1, 0) != 1)
		;
	close(fd);
	return hit;
}

TEST_F(faults, each_allocation_and_each_copy_may_fail)
{
	for (int i = 0; i < ARRAY_SIZE(operations); i++) {
		struct tally tally = { 0 };
		unsigned int n = 1;

		for (; n < NTH_MOST; n++) {
			int err;

			if (!nth_fails(n, operations[i].run, &err)) {
				EXPECT_EQ(err, 0) TH_LOG("%s: %s", operations[i].name, strerror(-err));
				break;
			}
			count(&tally, err);
			EXPECT_TRUE(!err || err == -ENOMEM || err == -EFAULT)
				TH_LOG("%s, fault %u: %s", operations[i].name, n, strerror(-err));
		}
		TH_LOG("%s: %u places; ENOMEM %u, EFAULT %u, no error %u", operations[i].name, n - 1,
		       tally.no_memory, tally.fault, tally.good);
		EXPECT_LT(n, NTH_MOST);
		/* It was tried, then. */
		EXPECT_LT(0, tally.no_memory + tally.fault);
	}
}

/* Does everything so many times, in a child in which all may fail. */
static void child_that_fails(struct shared *shared)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!put_file("/proc/self/make-it-fail", "1"))
		_exit(1);
	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	for (int i = 0; i < ROUNDS * ARRAY_SIZE(operations); i++) {
		int at = i % ARRAY_SIZE(operations);

		count(&shared->tallies[at], operations[at].run());
	}
	_exit(0);
}

/* Waits for the child for as long as it gets on. */
static bool gets_on(pid_t pid, const struct shared *shared)
{
	unsigned int before = 0;
	uint64_t end = now_ms() + PATIENCE_MS;

	while (now_ms() < end) {
		unsigned int now = 0;
		int wait_status;

		if (waitpid(pid, &wait_status, WNOHANG) == pid)
			return WIFEXITED(wait_status) && !WEXITSTATUS(wait_status);
		for (int i = 0; i < ARRAY_SIZE(operations); i++) {
			const struct tally *one = &shared->tallies[i];

			now += one->good + one->no_memory + one->fault + one->other;
		}
		if (now != before)
			end = now_ms() + PATIENCE_MS;
		before = now;
		sleep_ms(10);
	}
	killed(pid);
	return false;
}

TEST_F(faults, many_may_fail_at_random)
{
	struct shared *shared = self->shared;
	long before = 0;

	/* Once more than there are kinds: the first time fills what the kernel keeps. */
	for (int i = -1; i < (int)ARRAY_SIZE(kinds); i++) {
		const char *name = kinds[i < 0 ? 0 : i].name;
		struct tally all = { 0 };
		pid_t pid;

		memset(shared, 0, sizeof(*shared));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			child_that_fails(shared);
		ASSERT_TRUE(set(name, "times", "1000000"));
		ASSERT_TRUE(set(name, "probability", kinds[i < 0 ? 0 : i].percent));
		__atomic_store_n(&shared->go, true, __ATOMIC_RELEASE);
		EXPECT_TRUE(gets_on(pid, shared)) TH_LOG("%s: the child is stuck", name);
		ASSERT_TRUE(set(name, "probability", "0"));
		for (int j = 0; j < ARRAY_SIZE(operations); j++) {
			struct tally *one = &shared->tallies[j];

			EXPECT_EQ(one->other, 0)
				TH_LOG("%s: %s: %s", name, operations[j].name, strerror(one->other_err));
			all.good += one->good;
			all.no_memory += one->no_memory;
			all.fault += one->fault;
		}
		TH_LOG("%s: %d faults; ENOMEM %u, EFAULT %u, no error %u", name, injected(name), all.no_memory,
		       all.fault, all.good);
		EXPECT_LT(0, injected(name));
		EXPECT_LT(0, all.good);
		ASSERT_TRUE(answer(self->text, sizeof(self->text)));
		EXPECT_STREQ(self->text, self->expected);
		if (i < 0) {
			drain();
			before = unreclaimable_kb();
		}
	}
	drain();
	TH_LOG("growth: %ld KiB", unreclaimable_kb() - before);
	/* Four in a hundred of the questions and prompts would be so much. */
	EXPECT_LT(unreclaimable_kb(), before + 4096);
}

/* Whether allocations fail in the threads of the driver, and in those that are started. */
static bool threads_fail(const char *yes)
{
	DIR *proc = opendir("/proc");
	char path[64], name[64];
	int pid, threads = 0;

	while ((pid = next_thread(proc, name))) {
		snprintf(path, sizeof(path), "/proc/%d/make-it-fail", pid);
		threads += put_file(path, yes);
	}
	return threads > 0 && put_file("/proc/" KTHREADD "/make-it-fail", yes);
}

TEST_F(faults, answering_wants_no_memory)
{
	int fd = open_session();
	bool failing;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(threads_fail("1"));
	failing = set("failslab", "probability", "100") &&
		  set("fail_page_alloc", "probability", "100");
	EXPECT_TRUE(failing);
	EXPECT_TRUE(answer(self->text, sizeof(self->text)));
	EXPECT_STREQ(self->text, self->expected);
	for (int i = 0; i < 4; i++) {
		ssize_t len;

		EXPECT_TRUE(say(fd, COUNT));
		len = read_answer(fd, self->text, sizeof(self->text), 16);
		EXPECT_LT(0, len);
		if (!i)
			EXPECT_STREQ(self->text, self->expected);
	}
	/* A new question, of which no cache knows anything. */
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), 0);
	snprintf(self->text, sizeof(self->text), "%lld, and what comes then?", (long long)now_ms());
	EXPECT_TRUE(say(fd, self->text));
	EXPECT_LE(0, read_answer(fd, self->text, sizeof(self->text), 16));
	EXPECT_EQ(info(fd).error, 0);
	EXPECT_EQ(asks(), 0);
	EXPECT_TRUE(prepare());
	EXPECT_TRUE(threads_fail("0"));
	close(fd);
}

/* Has the second model loaded, if that is possible. Whether it was, or refused for lack of memory. */
static bool loads(FIXTURE_DATA(faults) *self, struct __test_metadata *_metadata, int *loaded)
{
	char reason[512] = "";
	int err = put("load", self->second);

	if (err && err != ENOMEM)
		TH_LOG("it was refused: %s", strerror(err));
	if (err)
		return err == ENOMEM;
	for (uint64_t end = now_ms() + PATIENCE_MS; is(self->second, "loading");) {
		if (now_ms() > end)
			return false;
		sleep_ms(2);
	}
	*loaded += is(self->second, "ready");
	if (is(self->second, "failed") &&
	    (!field_of(self->second, "reason", reason, sizeof(reason)) ||
	     (!strstr(reason, "out of memory") && !strstr(reason, "memory for") &&
	      !strstr(reason, "ENOMEM") && !strstr(reason, "(-12)") &&
	      !strstr(reason, "no thread")))) {
		TH_LOG("it failed because of: %s", reason);
		return false;
	}
	if (!listed(self->second))
		return true;
	return !put("unload", self->second) && vanishes(self->second);
}

TEST_F(faults, loading_may_fail_anywhere)
{
	int loaded = 0, tries = 0;

	if (!*self->second)
		SKIP(return, "wants a second model in " FIRMWARE);
	ASSERT_TRUE(loads(self, _metadata, &loaded));
	ASSERT_EQ(loaded, 1);
	ASSERT_TRUE(threads_fail("1"));
	/* One allocation of each loading, of the so many that come first, those for its thread included. */
	for (int kind = 0; kind < 2; kind++) {
		for (int i = 1; i <= 600; i += 20) {
			char text[16];

			snprintf(text, sizeof(text), "%d", i);
			ASSERT_TRUE(set(kinds[kind].name, "interval", text));
			ASSERT_TRUE(set(kinds[kind].name, "times", "1"));
			ASSERT_TRUE(set(kinds[kind].name, "probability", "100"));
			EXPECT_TRUE(loads(self, _metadata, &loaded)) TH_LOG("%s, %d", kinds[kind].name, i);
			ASSERT_TRUE(set(kinds[kind].name, "probability", "0"));
			tries++;
		}
	}
	EXPECT_TRUE(prepare());
	EXPECT_TRUE(threads_fail("0"));
	TH_LOG("%d of %d were loaded all the same", loaded - 1, tries);
	EXPECT_LT(loaded - 1, tries);
	ASSERT_TRUE(loads(self, _metadata, &loaded));
}

TEST_F(faults, who_wants_a_model_loaded_may_fail_anywhere)
{
	int loaded = 0, n = 1, refused = 0;

	if (!*self->second)
		SKIP(return, "wants a second model in " FIRMWARE);
	for (; n < NTH_MOST; n++) {
		int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
		char text[16];
		bool hit;
		int err;

		ASSERT_LE(0, fd);
		snprintf(text, sizeof(text), "%d", n);
		ASSERT_LT(0, pwrite(fd, text, strlen(text), 0));
		err = put("load", self->second);
		hit = pread(fd, text, sizeof(text), 0) > 0 && text[0] == '0';
		while (!hit && pwrite(fd, "0", 1, 0) != 1)
			;
		close(fd);
		EXPECT_TRUE(!err || err == ENOMEM || err == EFAULT) TH_LOG("fault %d: %s", n, strerror(err));
		refused += !!err;
		if (!err) {
			ASSERT_TRUE(becomes(self->second, "ready"));
			loaded++;
		}
		if (listed(self->second)) {
			ASSERT_EQ(put("unload", self->second), 0);
			ASSERT_TRUE(vanishes(self->second));
		}
		if (!hit)
			break;
	}
	TH_LOG("%d places, %d refused", n - 1, refused);
	EXPECT_LT(0, refused);
	EXPECT_LT(n, NTH_MOST);
	EXPECT_LT(0, loaded);
}

TEST_HARNESS_MAIN
