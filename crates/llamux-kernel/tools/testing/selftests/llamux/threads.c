// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads that compute, and /proc/llamux/latency.
 *
 * The tests of the fixture "model" need a loaded model, the others do not. What
 * the threads should be is read from the command line, so that it may say what
 * it likes.
 */
#include <fcntl.h>
#include <time.h>

#include "kselftest_harness.h"
#include "common.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define CPU1_ONLINE	"/sys/devices/system/cpu/cpu1/online"

#define CLASSES		16	/* below_1_us to below_16384_us, and above */
#define MAX_THREADS	64

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

/* Copies the last value that the kernel's command line gives llamux.@name. */
static bool parameter(const char *name, char *value, size_t size)
{
	char line[4096], key[64], *save, *word;
	bool found = false;
	FILE *file = fopen("/proc/cmdline", "r");

	if (!file)
		return false;
	snprintf(key, sizeof(key), "llamux.%s=", name);
	word = fgets(line, sizeof(line), file) ? strtok_r(line, " \n", &save) : NULL;
	for (; word; word = strtok_r(NULL, " \n", &save)) {
		if (strncmp(word, key, strlen(key)))
			continue;
		snprintf(value, size, "%s", word + strlen(key));
		found = true;
	}
	fclose(file);
	return found;
}

/* Asks for so many tokens; whether there was an answer. */
static bool ask(unsigned int tokens)
{
	struct llama_command command = counting(tokens);
	char text[4096];

	command.response = (uintptr_t)text;
	command.response_len = sizeof(text);
	return llama_command(&command, sizeof(command)) > 0;
}

/* The file's numbers. */
struct latency {
	long long sections, total_us, longest_ns;
	long long classes[CLASSES];
};

static void class_key(int class, char *key, size_t size)
{
	if (class < CLASSES - 1)
		snprintf(key, size, "below_%u_us", 1u << class);
	else
		snprintf(key, size, "above");
}

static struct latency latency(void)
{
	struct latency latency = {
		.sections = number_of(LATENCY, "sections"),
		.total_us = number_of(LATENCY, "total_us"),
		.longest_ns = number_of(LATENCY, "longest_ns"),
	};
	char key[32];

	for (int i = 0; i < CLASSES; i++) {
		class_key(i, key, sizeof(key));
		latency.classes[i] = number_of(LATENCY, key);
	}
	return latency;
}

/* The driver's threads by their names; how many there are. */
static int threads(int pids[MAX_THREADS])
{
	DIR *proc = opendir("/proc");
	int pid, count = 0;
	char name[64];

	while ((pid = next_thread(proc, name)))
		if ((!strcmp(name, "llamux") || !strcmp(name, "llamux_helper")) &&
		    count < MAX_THREADS)
			pids[count++] = pid;
	return count;
}

/* What a thread has used: ticks of processor time, and how often it was put on a processor. */
struct usage {
	unsigned long long ticks, switches;
	long nice;
};

static bool usage(int pid, struct usage *usage)
{
	unsigned long long user, system;
	char path[64], line[1024], *rest;
	FILE *file;
	bool read;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	/* Fields 3 to 13, then user and system time, two of children, priority and nice value. */
	read = rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %ld",
			      &user, &system, &usage->nice) == 3;
	usage->ticks = user + system;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	usage->switches = number_of(path, "voluntary_ctxt_switches") +
			  number_of(path, "nonvoluntary_ctxt_switches");
	return read;
}

/* Parses a list as 0-3,6 into a set of up to 64 processors. */
static bool parse_list(const char *list, uint64_t *set)
{
	*set = 0;
	while (*list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (end == list)
			return false;
		if (*end == '-') {
			list = end + 1;
			last = strtoul(list, &end, 10);
			if (end == list)
				return false;
		}
		if (last < first || last >= 64 || (*end && *end != ','))
			return false;
		for (; first <= last; first++)
			*set |= 1ULL << first;
		list = *end ? end + 1 : end;
	}
	return true;
}

TEST(latency_is_one_fact_a_line)
{
	char line[4096];
	FILE *file;

	while (state_is("loading"))
		sleep_ms(10);
	file = fopen(LATENCY, "r");
	ASSERT_NE(file, NULL);
	while (fgets(line, sizeof(line), file)) {
		size_t key = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");

		EXPECT_LT(0, key) TH_LOG("%s", line);
		EXPECT_EQ(strncmp(line + key, ": ", 2), 0) TH_LOG("%s", line);
		EXPECT_EQ(line[strlen(line) - 1], '\n') TH_LOG("%s", line);
	}
	fclose(file);
}

TEST(latency_has_its_keys)
{
	struct latency it;

	while (state_is("loading"))
		sleep_ms(10);
	it = latency();
	EXPECT_LE(0, it.sections);
	EXPECT_LE(0, it.total_us);
	EXPECT_EQ(it.sections > 0, it.longest_ns >= 0);
	for (int i = 0; i < CLASSES; i++) {
		EXPECT_LE(0, it.classes[i]) TH_LOG("class %d", i);
	}
}

TEST(latency_can_only_be_read)
{
	int fd = open(LATENCY, O_RDWR);

	/* Root may open it all the same. */
	if (fd < 0)
		return;
	EXPECT_EQ(write(fd, "0", 1), -1);
	close(fd);
}

FIXTURE(model)
{
};

FIXTURE_SETUP(model)
{
	ASSERT_TRUE(ask(1)) TH_LOG("there is no model: see " STATUS);
	/* Helpers look for more work for a moment. */
	sleep_ms(100);
}

FIXTURE_TEARDOWN(model)
{
}

TEST_F(model, latency_counts_each_section_once)
{
	struct latency before = latency(), after;
	long long sum = 0, bound_ns = 0;
	uint64_t start = now_us(), elapsed;
	char operation[64];

	ASSERT_TRUE(ask(8));
	elapsed = now_us() - start;
	sleep_ms(100);
	after = latency();

	/* A token takes many operations, each of a section at least. */
	EXPECT_LT(before.sections + 8 * 10, after.sections);
	EXPECT_LT(before.total_us, after.total_us);
	/* Two threads or more may compute at the same time, but not longer than the call. */
	EXPECT_LE(after.total_us - before.total_us,
		  (long long)(elapsed + 100000) * number_of(STATUS, "threads"));
	EXPECT_LE(before.longest_ns, after.longest_ns);
	EXPECT_LE(after.longest_ns / 1000, after.total_us);
	for (int i = 0; i < CLASSES; i++) {
		EXPECT_LE(before.classes[i], after.classes[i]) TH_LOG("class %d", i);
		sum += after.classes[i];
		if (after.classes[i] && i < CLASSES - 1)
			bound_ns = 1000LL << i;
	}
	EXPECT_EQ(sum, after.sections);
	/* The longest is in the last class that is not empty. */
	if (!after.classes[CLASSES - 1]) {
		EXPECT_LT(after.longest_ns, bound_ns);
		EXPECT_LE(bound_ns / 2, after.longest_ns + 500);
	}
	ASSERT_TRUE(value_of(LATENCY, "longest_operation", operation, sizeof(operation)));
	EXPECT_TRUE(isupper(operation[0])) TH_LOG("%s", operation);
}

TEST_F(model, idle_threads_use_no_processor_time)
{
	struct usage before[MAX_THREADS], after;
	int pids[MAX_THREADS], count = threads(pids);
	struct latency latency_before;
	char text[4096];
	int fds[16];

	ASSERT_LE(1, count);
	/* Nor do conversations in which nothing is said, wherever there may be some. */
	for (int i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_session();
		if (fds[i] >= 0 && say(fds[i], COUNT))
			EXPECT_LT(0, read_answer(fds[i], text, sizeof(text), 4096));
	}
	sleep_ms(100);
	latency_before = latency();
	for (int i = 0; i < count; i++)
		ASSERT_TRUE(usage(pids[i], &before[i]));
	sleep_ms(3000);
	for (int i = 0; i < count; i++) {
		ASSERT_TRUE(usage(pids[i], &after));
		EXPECT_EQ(before[i].ticks, after.ticks);
		/* Nor did they wake to see that there is nothing to do. */
		EXPECT_EQ(before[i].switches, after.switches);
	}
	EXPECT_EQ(latency_before.sections, latency().sections);
	for (int i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	/* They still work. */
	EXPECT_TRUE(ask(2));
	EXPECT_LT(latency_before.sections, latency().sections);
}

TEST_F(model, threads_are_as_the_parameters_say)
{
	int pids[MAX_THREADS], count = threads(pids);
	uint64_t wanted = ~0ULL, online = 0, allowed;
	char text[256], path[64];
	long nice = 0, number = 0;
	struct usage it;
	FILE *file;

	file = fopen("/sys/devices/system/cpu/online", "r");
	ASSERT_NE(file, NULL);
	ASSERT_NE(fgets(text, sizeof(text), file), NULL);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	ASSERT_TRUE(parse_list(text, &online));

	/* A list that cannot be used counts as none. */
	if (parameter("cpus", text, sizeof(text)) && *text &&
	    (!parse_list(text, &wanted) || !(wanted & online)))
		wanted = ~0ULL;
	if (parameter("nice", text, sizeof(text)) && atol(text) >= -20 && atol(text) <= 19)
		nice = atol(text);
	if (parameter("threads", text, sizeof(text)))
		number = atol(text);

	EXPECT_EQ(number_of(STATUS, "threads"), count);
	EXPECT_LE(count, __builtin_popcountll(wanted & online));
	if (number) {
		EXPECT_LE(count, number);
	}
	for (int i = 0; i < count; i++) {
		ASSERT_TRUE(usage(pids[i], &it));
		EXPECT_EQ(it.nice, nice);
		snprintf(path, sizeof(path), "/proc/%d/status", pids[i]);
		ASSERT_TRUE(value_of(path, "Cpus_allowed_list", text, sizeof(text)));
		ASSERT_TRUE(parse_list(text, &allowed)) TH_LOG("%s", text);
		EXPECT_EQ(allowed & ~wanted, 0) TH_LOG("%s", text);
	}
}

static bool set_online(char value)
{
	int fd = open(CPU1_ONLINE, O_WRONLY);
	bool done = fd >= 0 && write(fd, &value, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

TEST_F(model, processors_may_go_and_come_back)
{
	int pids[MAX_THREADS], count = threads(pids);

	if (access(CPU1_ONLINE, W_OK))
		SKIP(return, "no processor can be taken offline");
	for (int round = 0; round < 3; round++) {
		pid_t child = fork();
		int wait_status;

		if (!child)
			_exit(ask(16) ? 0 : 1);
		sleep_ms(20);
		ASSERT_TRUE(set_online('0'));
		EXPECT_TRUE(ask(4));
		ASSERT_TRUE(set_online('1'));
		EXPECT_TRUE(ask(4));
		ASSERT_EQ(waitpid(child, &wait_status, 0), child);
		EXPECT_EQ(wait_status, 0);
	}
	EXPECT_EQ(threads(pids), count);
}

TEST_HARNESS_MAIN
