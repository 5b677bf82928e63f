// SPDX-License-Identifier: GPL-2.0-only
/*
 * Models that come and go: the files in /sys/kernel/llamux.
 *
 * Most tests need that a model is loaded, and the file of a second one in
 * /lib/firmware/llamux, better a small one. Damaged files are made of that one,
 * beside it; their names begin with "selftest-".
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "kselftest_harness.h"
#include "common.h"
#include "sysfs_llamux.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define TURNS		50	/* of loading and unloading */
#define ASKERS		4

struct answer {
	long ret;
	int err;
	unsigned int tokens;
	char text[4096];
};

static void ask(unsigned int max_tokens, struct answer *answer)
{
	struct llama_command command = counting(max_tokens);

	command.flags &= ~LLAMA_WAIT;
	memset(answer, 0, sizeof(*answer));
	command.response = (uintptr_t)answer->text;
	command.response_len = sizeof(answer->text) - 1;
	answer->ret = llama_command(&command, sizeof(command));
	answer->err = answer->ret < 0 ? errno : 0;
	answer->tokens = command.response_tokens;
}

static pid_t ask_in_child(unsigned int max_tokens, struct answer *answer)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ask(max_tokens, answer);
	_exit(0);
}

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, FIRMWARE "%s.gguf", name);
}

/* Copies the first @bytes of a model's file, or all of it if 0; false on error. */
static bool copy(const char *from, const char *to, off_t bytes)
{
	char path[400], buffer[65536];
	struct stat st;
	int in, out;
	bool good;

	path_of(from, path, sizeof(path));
	in = open(path, O_RDONLY);
	path_of(to, path, sizeof(path));
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	good = in >= 0 && out >= 0 && !fstat(in, &st);
	if (good && !bytes)
		bytes = st.st_size;
	while (good && bytes > 0) {
		size_t want = bytes < sizeof(buffer) ? bytes : sizeof(buffer);
		ssize_t got = read(in, buffer, want);

		good = got > 0 && write(out, buffer, got) == got;
		bytes -= got > 0 ? got : 0;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return good;
}

/* Makes a model's file longer, without taking memory for that. */
static bool lengthen(const char *name, off_t size)
{
	char path[400];

	path_of(name, path, sizeof(path));
	return !truncate(path, size);
}

/* Writes into a model's file. */
static bool damage(const char *name, off_t at, const void *bytes, size_t len)
{
	char path[400];
	bool good;
	int fd;

	path_of(name, path, sizeof(path));
	fd = open(path, O_WRONLY);
	good = fd >= 0 && pwrite(fd, bytes, len, at) == len;
	if (fd >= 0)
		close(fd);
	return good;
}

static off_t size_of(const char *name)
{
	char path[400];
	struct stat st;

	path_of(name, path, sizeof(path));
	return stat(path, &st) ? -1 : st.st_size;
}

/* What is asked of the files when there may be no model. */

TEST(wrong_words_are_refused)
{
	static const struct {
		const char *file, *text;
		int err;
	} cases[] = {
		{ "load", "\n", EINVAL },
		{ "load", "  \n", EINVAL },
		{ "load", "/\n", EINVAL },
		{ "load", "a/\n", EINVAL },
		{ "load", "a//b\n", EINVAL },
		{ "load", "a/../b\n", EINVAL },
		{ "load", "a/.b\n", EINVAL },
		{ "load", "/a/../b\n", EINVAL },
		{ "load", "//a\n", EINVAL },
		{ "load", "../llamux/a\n", EINVAL },
		{ "load", "selftest-there/is-none\n", ENOENT },
		{ "load", "/selftest/there-is-none.gguf\n", ENOENT },
		{ "load", "/dev/null\n", ENOENT },
		{ "load", "..\n", EINVAL },
		{ "load", ".hidden\n", EINVAL },
		{ "load", "a\x01" "b\n", EINVAL },
		{ "load", "a\xff\n", EINVAL },
		{ "load", "a what\n", EINVAL },
		{ "load", "a requant\n", EINVAL },
		{ "load", "a requant=\n", EINVAL },
		{ "load", "a requant=q99\n", EINVAL },
		{ "load", "a requant=q4_0 requant=q4_0\n", EINVAL },
		{ "load", "selftest-there-is-none\n", ENOENT },
		{ "unload", "\n", EINVAL },
		{ "unload", "a//b\n", EINVAL },
		{ "unload", "a/b\n", ENOENT },
		{ "unload", "selftest-there-is-none\n", ENOENT },
		{ "default", "\n", EINVAL },
		{ "default", "../a\n", EINVAL },
		{ "default", "selftest-there-is-none\n", ENOENT },
	};
	char list[8192], after[8192], name[300];

	while (state_is("loading"))
		sleep_ms(10);
	get("models", list, sizeof(list));
	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(put(cases[i].file, cases[i].text), cases[i].err)
			TH_LOG("%s: %s", cases[i].file, cases[i].text);
	}
	memset(name, 'a', sizeof(name));
	EXPECT_EQ(put_bytes("load", name, sizeof(name)), ENAMETOOLONG);
	EXPECT_EQ(put_bytes("unload", name, sizeof(name)), ENAMETOOLONG);
	EXPECT_EQ(put_bytes("load", "a\0b", 3), EINVAL);
	get("models", after, sizeof(after));
	EXPECT_STREQ(list, after);
}

TEST(only_root_may_write)
{
	static const char * const files[] = { "load", "unload", "default" };
	char list[64];

	if (geteuid())
		SKIP(return, "wants to be root first");
	ASSERT_EQ(seteuid(65534), 0);
	for (int i = 0; i < ARRAY_SIZE(files); i++) {
		EXPECT_EQ(put(files[i], "a\n"), EACCES) TH_LOG("%s", files[i]);
	}
	/* All may look. */
	get("memory", list, sizeof(list));
	EXPECT_EQ(seteuid(0), 0);
	EXPECT_NE(list[0], '\0');
}

TEST(memory_is_one_fact_a_line)
{
	char source[64];

	while (state_is("loading"))
		sleep_ms(10);
	ASSERT_TRUE(value_of(SYSFS "memory", "source", source, sizeof(source)));
	EXPECT_STREQ(source, is_reserved() ? "reserved" : "vmalloc");
	EXPECT_LT(0, free_memory());
	if (is_reserved()) {
		EXPECT_LE(free_memory(), number_of(SYSFS "memory", "reserved"));
	}
}

/* With a model and the file of a second one. */

FIXTURE(models)
{
	char first[256], second[256];
	struct answer *answers;		/* ASKERS + 2, shared with children */
	long long free;
};

FIXTURE_SETUP(models)
{
	size_t size = (ASKERS + 2) * sizeof(*self->answers);

	while (state_is("loading"))
		sleep_ms(10);
	if (geteuid())
		SKIP(return, "wants to be root");
	get("default", self->first, sizeof(self->first));
	self->first[strcspn(self->first, "\n")] = '\0';
	ASSERT_NE(self->first[0], '\0') TH_LOG("there is no model: see " STATUS);
	if (!find_second(self->first, self->second, sizeof(self->second)))
		SKIP(return, "wants a second model in " FIRMWARE);
	self->answers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->answers, MAP_FAILED);
	self->free = free_memory();
}

/* Leaves the first model as the only one, and nothing of its memory lost. */
FIXTURE_TEARDOWN(models)
{
	char list[8192], *rest = list, *line;
	DIR *dir;

	if (!self->answers)
		return;
	put("default", self->first);
	get("models", list, sizeof(list));
	while ((line = strsep(&rest, "\n"))) {
		char *name = line + 5;

		if (strncmp(line, "name=", 5))
			continue;
		name[strcspn(name, " ")] = '\0';
		if (!strcmp(name, self->first))
			continue;
		if (is(name, "loading")) {
			put("unload", name);
			while (is(name, "loading"))
				sleep_ms(2);
		}
		put("unload", name);
		EXPECT_TRUE(vanishes(name)) TH_LOG("%s", name);
	}
	dir = opendir(FIRMWARE);
	while (dir) {
		struct dirent *entry = readdir(dir);
		char path[400];

		if (!entry)
			break;
		snprintf(path, sizeof(path), FIRMWARE "%s", entry->d_name);
		if (!strncmp(entry->d_name, "selftest-", 9))
			unlink(path);
	}
	if (dir)
		closedir(dir);
	EXPECT_TRUE(is(self->first, "ready"));
	if (is_reserved()) {
		EXPECT_EQ(free_memory(), self->free);
	}
}

/* Says which model it was that the status is about. */
static bool default_file_is(const char *name)
{
	char file[400], end[300];
	size_t len;

	snprintf(end, sizeof(end), "/%s.gguf", name);
	if (!value_of(STATUS, "file", file, sizeof(file)))
		return false;
	len = strlen(file);
	return len >= strlen(end) && !strcmp(file + len - strlen(end), end);
}

TEST_F(models, second_answers_when_it_is_the_default)
{
	struct answer *before = &self->answers[0], *other = &self->answers[1];
	struct answer *after = &self->answers[2];
	char text[300];

	ask(16, before);
	ASSERT_EQ(before->err, 0);
	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	/* It is there, and nobody asks it yet. */
	EXPECT_TRUE(default_file_is(self->first));
	EXPECT_LT(0, free_memory());
	if (is_reserved()) {
		EXPECT_LT(free_memory(), self->free);
	}

	ASSERT_EQ(put("default", self->second), 0);
	get("default", text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	EXPECT_STREQ(text, self->second);
	EXPECT_TRUE(default_file_is(self->second));
	ask(16, other);
	EXPECT_EQ(other->err, 0);
	EXPECT_STRNE(other->text, before->text);

	ASSERT_EQ(put("default", self->first), 0);
	ask(16, after);
	EXPECT_EQ(after->err, 0);
	EXPECT_STREQ(after->text, before->text);
}

TEST_F(models, a_name_is_loaded_once)
{
	EXPECT_EQ(put("load", self->first), EEXIST);
	ASSERT_EQ(put("load", self->second), 0);
	if (is(self->second, "loading")) {
		int err = put("load", self->second);

		/* Unless it came in this moment. */
		EXPECT_TRUE(err == EBUSY || err == EEXIST) TH_LOG("%s", strerror(err));
	}
	ASSERT_TRUE(becomes(self->second, "ready"));
	EXPECT_EQ(put("load", self->second), EEXIST);
}

TEST_F(models, an_option_makes_the_weights_smaller)
{
	char line[400], all[64], less[64];

	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_TRUE(field_of(self->second, "bytes", all, sizeof(all)));
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));
	snprintf(line, sizeof(line), " %s  requant=q2_k\n", self->second);
	ASSERT_EQ(put("load", line), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_TRUE(field_of(self->second, "bytes", less, sizeof(less)));
	if (is_reserved()) {
		EXPECT_LT(atoll(less), atoll(all));
	}
	ASSERT_EQ(put("default", self->second), 0);
	EXPECT_TRUE(number_of(STATUS, "requant_saved") > 0);
	ask(4, self->answers);
	EXPECT_EQ(self->answers->err, 0);
}

/* Names with directories: below those where firmware is, and paths, from anywhere. */
TEST_F(models, names_may_have_directories)
{
	char from[400], to[400], name[300];

	if (strncmp(FIRMWARE, "/lib/firmware/", 14) || mkdir(FIRMWARE "selftest-dir", 0755))
		SKIP(return, "cannot make a directory in " FIRMWARE);
	path_of(self->second, from, sizeof(from));
	EXPECT_EQ(link(from, FIRMWARE "selftest-dir/model.gguf"), 0);
	EXPECT_EQ(put("load", "selftest-dir/model"), 0);
	EXPECT_TRUE(becomes("selftest-dir/model", "ready"));
	EXPECT_EQ(put("default", "selftest-dir/model"), 0);
	EXPECT_TRUE(default_file_is("selftest-dir/model"));
	ask(4, self->answers);
	EXPECT_EQ(self->answers->err, 0);
	EXPECT_EQ(put("unload", "selftest-dir/model"), 0);
	EXPECT_TRUE(vanishes("selftest-dir/model"));
	unlink(FIRMWARE "selftest-dir/model.gguf");
	rmdir(FIRMWARE "selftest-dir");

	ASSERT_TRUE(copy(self->second, "selftest-path", 0));
	path_of("selftest-path", from, sizeof(from));
	snprintf(to, sizeof(to), "/tmp/selftest-%d.gguf", getpid());
	snprintf(name, sizeof(name), "/tmp/selftest-%d", getpid());
	/* Where there is no firmware; a link is followed. */
	ASSERT_EQ(symlink(from, to), 0);
	EXPECT_EQ(put("load", to), 0);
	EXPECT_TRUE(becomes(name, "ready"));
	EXPECT_EQ(put("load", name), EEXIST);
	EXPECT_EQ(put("default", to), 0);
	ask(4, self->answers);
	EXPECT_EQ(self->answers->err, 0);
	EXPECT_EQ(put("unload", name), 0);
	EXPECT_TRUE(vanishes(name));
	unlink(to);
}

TEST_F(models, paths_of_what_is_no_file_are_refused)
{
	char path[400], name[300];

	snprintf(path, sizeof(path), "/tmp/selftest-%d.gguf", getpid());
	snprintf(name, sizeof(name), "/tmp/selftest-%d", getpid());
	/* Nobody writes to this, and nobody waits for it. */
	ASSERT_EQ(mkfifo(path, 0600), 0);
	EXPECT_EQ(put("load", name), EINVAL);
	ASSERT_EQ(unlink(path), 0);
	ASSERT_EQ(mkdir(path, 0700), 0);
	EXPECT_NE(put("load", name), 0);
	ASSERT_EQ(rmdir(path), 0);
	ASSERT_EQ(symlink("/dev/zero", path), 0);
	EXPECT_EQ(put("load", name), EINVAL);
	ASSERT_EQ(unlink(path), 0);
	EXPECT_FALSE(listed(name));
}

TEST_F(models, weights_become_smaller_only_if_they_have_to)
{
	char line[400], all[64], same[64];
	off_t size = self->free - 8 * 1024 * 1024;

	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_TRUE(field_of(self->second, "bytes", all, sizeof(all)));
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));
	snprintf(line, sizeof(line), "%s requant=fit\n", self->second);
	ASSERT_EQ(put("load", line), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_TRUE(field_of(self->second, "bytes", same, sizeof(same)));
	EXPECT_STREQ(same, all);
	ASSERT_EQ(put("default", self->second), 0);
	EXPECT_EQ(number_of(STATUS, "requant_saved"), -1);
	ASSERT_EQ(put("default", self->first), 0);
	if (!is_reserved())
		SKIP(return, "what is free changes");
	if (size < 32 * 1024 * 1024)
		SKIP(return, "there is too little memory to fill it");
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));

	/* The file fits, what it computes in does not. */
	ASSERT_TRUE(copy(self->second, "selftest-fit", 0));
	ASSERT_TRUE(lengthen("selftest-fit", size));
	ASSERT_EQ(put("load", "selftest-fit requant=fit"), 0);
	ASSERT_TRUE(becomes("selftest-fit", "ready"));
	ASSERT_EQ(put("default", "selftest-fit"), 0);
	EXPECT_LT(0, number_of(STATUS, "requant_saved"));
	ask(4, self->answers);
	EXPECT_EQ(self->answers->err, 0);
}

/* With as many others as there is room for. */
TEST_F(models, what_does_not_fit_however_small_is_refused)
{
	char name[64], line[128], reason[1024];
	off_t size = size_of(self->second);
	int count = 0;

	if (!is_reserved())
		SKIP(return, "what is free changes");
	if (self->free > 2LL << 30)
		SKIP(return, "there is too much memory to fill it");
	/* More of it than a file, and less than a file with what it computes in. */
	for (;;) {
		snprintf(name, sizeof(name), "selftest-fill-%d", count);
		ASSERT_TRUE(copy(self->second, name, 0));
		ASSERT_EQ(put("load", name), 0);
		if (!becomes(name, "ready"))
			break;
		if (++count == 12)
			SKIP(return, "there is too much memory to fill it");
	}
	if (free_memory() < size)
		SKIP(return, "there is no room for the file alone");
	EXPECT_EQ(put("unload", name), 0);
	snprintf(line, sizeof(line), "%s requant=fit", name);
	ASSERT_EQ(put("load", line), 0);
	ASSERT_TRUE(becomes(name, "failed"));
	ASSERT_TRUE(field_of(name, "reason", reason, sizeof(reason)));
	EXPECT_NE(strstr(reason, "as small as can be"), NULL) TH_LOG("%s", reason);
}

TEST_F(models, damaged_files_are_refused_while_another_answers)
{
	static const struct {
		const char *name, *bytes;
		off_t at;
		size_t len;
		off_t length;
		const char *reason;
	} cases[] = {
		{ "selftest-magic", "GARB", 0, 4, 0, "not a GGUF file" },
		{ "selftest-version", "\x09\0\0\0", 4, 4, 0, "version" },
		{ "selftest-tensors", "\0\0\0\0\0\1\0\0", 8, 8, 0, "number of tensors" },
		{ "selftest-keys", "\0\0\0\0\0\1\0\0", 16, 8, 0, "number of keys" },
		{ "selftest-key", "\xff\xff\xff\xff\xff\xff\xff\x7f", 24, 8, 0, "length" },
		{ "selftest-short", NULL, 0, 0, 100, "end of the file" },
		{ "selftest-half", NULL, 0, 0, -2, "end of the file" },
	};
	struct answer *expected = &self->answers[0], *answer = &self->answers[1];
	char reason[1024];

	ask(100, expected);
	ASSERT_EQ(expected->err, 0);
	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		off_t length = cases[i].length;
		pid_t pid;

		if (length < 0)
			length = size_of(self->second) / -length;
		ASSERT_TRUE(copy(self->second, cases[i].name, length));
		if (cases[i].len)
			ASSERT_TRUE(damage(cases[i].name, cases[i].at, cases[i].bytes,
					   cases[i].len));
		pid = ask_in_child(100, answer);
		ASSERT_TRUE(status_becomes("sessions_active", 1) || answer->ret);
		EXPECT_EQ(put("load", cases[i].name), 0);
		EXPECT_TRUE(becomes(cases[i].name, "failed"));
		ASSERT_TRUE(field_of(cases[i].name, "reason", reason, sizeof(reason)));
		EXPECT_NE(strstr(reason, cases[i].reason), NULL) TH_LOG("%s", reason);
		EXPECT_NE(strstr(reason, cases[i].name), NULL) TH_LOG("%s", reason);
		ASSERT_TRUE(exited(pid));
		EXPECT_EQ(answer->err, 0);
		EXPECT_STREQ(answer->text, expected->text);
		/* One that failed can be no default, and is forgotten if asked. */
		EXPECT_EQ(put("default", cases[i].name), ENOENT);
		EXPECT_EQ(put("unload", cases[i].name), 0);
		EXPECT_FALSE(listed(cases[i].name));
	}
}

TEST_F(models, one_that_is_too_large_is_refused_at_once)
{
	char reason[1024], needs[64];
	off_t size = 1LL << 40;
	uint64_t start;

	ASSERT_TRUE(copy(self->second, "selftest-large", 0));
	if (!lengthen("selftest-large", size))
		SKIP(return, "there is no file so large here");
	start = now_ms();
	ASSERT_EQ(put("load", "selftest-large"), 0);
	ASSERT_TRUE(becomes("selftest-large", "failed"));
	/* A terabyte was not read, then. */
	EXPECT_LT(now_ms() - start, 10000);
	ASSERT_TRUE(field_of("selftest-large", "reason", reason, sizeof(reason)));
	snprintf(needs, sizeof(needs), "needs %lld bytes", (long long)size);
	EXPECT_NE(strstr(reason, needs), NULL) TH_LOG("%s", reason);
	if (is_reserved()) {
		snprintf(needs, sizeof(needs), " %lld are free", self->free);
		EXPECT_NE(strstr(reason, needs), NULL) TH_LOG("%s", reason);
	}
	ask(4, self->answers);
	EXPECT_EQ(self->answers->err, 0);
}

/* The file fits, what it computes in does not: known from its first pieces. */
TEST_F(models, one_whose_arena_does_not_fit_is_refused_before_it_is_read)
{
	char reason[1024], read[64];
	off_t size = self->free - 8 * 1024 * 1024;

	if (!is_reserved())
		SKIP(return, "what is free changes");
	if (size < 32 * 1024 * 1024)
		SKIP(return, "there is too little memory to fill it");
	ASSERT_TRUE(copy(self->second, "selftest-tight", 0));
	ASSERT_TRUE(lengthen("selftest-tight", size));
	ASSERT_EQ(put("load", "selftest-tight"), 0);
	ASSERT_TRUE(becomes("selftest-tight", "failed"));
	ASSERT_TRUE(field_of("selftest-tight", "reason", reason, sizeof(reason)));
	EXPECT_NE(strstr(reason, "to compute in"), NULL) TH_LOG("%s", reason);
	ASSERT_TRUE(field_of("selftest-tight", "read", read, sizeof(read)));
	EXPECT_LT(atoll(read), size);
}

TEST_F(models, loading_can_be_called_off_and_only_one_goes_on_at_a_time)
{
	bool called_off = false, busy = false;
	off_t size = self->free / 2;

	ASSERT_TRUE(copy(self->second, "selftest-long", 0));
	if (size > size_of("selftest-long"))
		ASSERT_TRUE(lengthen("selftest-long", size));
	for (int i = 0; i < 100 && !(called_off && busy); i++) {
		char reason[1024];
		int err;

		ASSERT_EQ(put("load", "selftest-long"), 0);
		err = put("load", self->second);
		ASSERT_TRUE(!err || err == EBUSY) TH_LOG("%s", strerror(err));
		busy |= err == EBUSY;
		ASSERT_EQ(put("unload", "selftest-long"), 0);
		while (is("selftest-long", "loading") || is("selftest-long", "unloading"))
			sleep_ms(1);
		if (field_of("selftest-long", "reason", reason, sizeof(reason))) {
			EXPECT_NE(strstr(reason, "called off"), NULL) TH_LOG("%s", reason);
			called_off = true;
		}
		if (!err) {
			while (is(self->second, "loading"))
				sleep_ms(1);
			put("unload", self->second);
			ASSERT_TRUE(vanishes(self->second));
		}
	}
	EXPECT_TRUE(called_off);
	EXPECT_TRUE(busy);
	if (is_reserved()) {
		EXPECT_EQ(free_memory(), self->free);
	}
}

/* Makes a model's file so long with zeros that take memory. */
static bool fill(const char *name, off_t size)
{
	static const char zeros[65536];
	char path[400];
	off_t at = size_of(name);
	bool good;
	int fd;

	path_of(name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_APPEND);
	good = fd >= 0 && at >= 0;
	while (good && at < size) {
		size_t len = size - at < sizeof(zeros) ? size - at : sizeof(zeros);

		good = write(fd, zeros, len) == len;
		at += len;
	}
	if (fd >= 0)
		close(fd);
	return good;
}

/* How many microseconds it takes to read a model's file, as cat does; 0 on error. */
static uint64_t read_us(const char *name)
{
	static char buffer[131072];
	struct timespec begin, end;
	char path[400];
	ssize_t got;
	int fd;

	path_of(name, path, sizeof(path));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		;
	close(fd);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (got < 0)
		return 0;
	return (end.tv_sec - begin.tv_sec) * 1000000LL +
	       (end.tv_nsec - begin.tv_nsec) / 1000 ?: 1;
}

/* It is hashed meanwhile, if signatures are looked at, and that does not hold it up. */
TEST_F(models, a_file_is_read_about_as_fast_as_cat_reads_it)
{
	off_t size = self->free / 4 < 64 << 20 ? self->free / 4 : 64 << 20;
	uint64_t cat = UINT64_MAX, loading = UINT64_MAX, all = UINT64_MAX, start, us;
	char text[64];

	if (size < 16 << 20)
		SKIP(return, "there is too little memory to measure with");
	ASSERT_TRUE(copy(self->second, "selftest-speed", 0));
	ASSERT_TRUE(fill("selftest-speed", size));
	size = size_of("selftest-speed");
	/* The best of some, and of more if need be: others use the processors, too. */
	for (int i = 0; i < 5 || (i < 40 && is_reserved() && loading > 2 * cat); i++) {
		us = read_us("selftest-speed");
		ASSERT_LT(0, us);
		cat = us < cat ? us : cat;
		start = now_ms();
		ASSERT_EQ(put("load", "selftest-speed"), 0);
		ASSERT_TRUE(becomes("selftest-speed", "ready"));
		us = now_ms() - start;
		all = us < all ? us : all;
		ASSERT_TRUE(field_of("selftest-speed", "read", text, sizeof(text)));
		/* Once. */
		EXPECT_EQ(atoll(text), size);
		ASSERT_TRUE(field_of("selftest-speed", "read_us", text, sizeof(text)));
		us = atoll(text);
		ASSERT_LT(0, us);
		loading = us < loading ? us : loading;
		ASSERT_EQ(put("unload", "selftest-speed"), 0);
		ASSERT_TRUE(vanishes("selftest-speed"));
	}
	TH_LOG("%lld bytes: read() takes %llu us, loading reads them in %llu us, which is %llu %% of its speed; loaded after %llu ms",
	       (long long)size, (unsigned long long)cat, (unsigned long long)loading,
	       (unsigned long long)(100 * cat / loading), (unsigned long long)all);
	/* Without a reservation the pages are looked for meanwhile, which cat has no need of. */
	if (is_reserved())
		EXPECT_LE(loading, 2 * cat);
}

TEST_F(models, loading_goes_on_while_all_ask)
{
	pid_t pids[ASKERS];

	for (int i = 0; i < ASKERS; i++)
		pids[i] = ask_in_child(200, &self->answers[i]);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(put("load", self->second), 0);
		ASSERT_TRUE(becomes(self->second, "ready"));
		ASSERT_EQ(put("unload", self->second), 0);
		ASSERT_TRUE(vanishes(self->second));
	}
	for (int i = 0; i < ASKERS; i++) {
		ASSERT_TRUE(exited(pids[i]));
		EXPECT_EQ(self->answers[i].err, 0);
		EXPECT_LT(0, self->answers[i].tokens);
	}
}

TEST_F(models, running_answers_finish_on_the_model_that_began_them)
{
	struct answer *expected = &self->answers[0], *running = &self->answers[1];
	struct answer *other = &self->answers[2];
	pid_t pid;

	ask(300, expected);
	ASSERT_EQ(expected->err, 0);
	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	pid = ask_in_child(300, running);
	ASSERT_TRUE(status_becomes("sessions_active", 1) || running->ret);
	ASSERT_EQ(put("default", self->second), 0);
	/* Both are answered, in turns. */
	ask(4, other);
	EXPECT_EQ(other->err, 0);
	ASSERT_TRUE(exited(pid));
	EXPECT_EQ(running->err, 0);
	EXPECT_EQ(running->tokens, expected->tokens);
	EXPECT_STREQ(running->text, expected->text);
	EXPECT_STRNE(other->text, expected->text);
}

TEST_F(models, unloading_lets_running_answers_end_and_sends_others_away)
{
	pid_t pids[ASKERS + 1];
	int answered = 0;

	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_EQ(put("default", self->second), 0);
	for (int i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = ask_in_child(300, &self->answers[i]);
	while (number_of(STATUS, "sessions_active") < 1)
		sleep_ms(1);
	ASSERT_EQ(put("unload", self->second), 0);
	/* There is no default now: nobody asks a model that was not chosen. */
	ask(4, &self->answers[ASKERS + 1]);
	EXPECT_EQ(self->answers[ASKERS + 1].err, ENODEV);
	for (int i = 0; i < ARRAY_SIZE(pids); i++) {
		struct answer *answer = &self->answers[i];

		ASSERT_TRUE(exited(pids[i]));
		EXPECT_TRUE(answer->ret >= 0 || answer->err == ENODEV)
			TH_LOG("%s", strerror(answer->err));
		if (answer->ret >= 0 && answer->tokens > 0)
			answered++;
	}
	EXPECT_LE(1, answered);
	EXPECT_TRUE(vanishes(self->second));
	EXPECT_TRUE(state_is("unavailable"));
	EXPECT_EQ(number_of(STATUS, "requests_waiting"), 0);
	EXPECT_EQ(number_of(STATUS, "sessions_active"), 0);
	ASSERT_EQ(put("default", self->first), 0);
	ask(4, &self->answers[0]);
	EXPECT_EQ(self->answers[0].err, 0);
}

TEST_F(models, a_question_that_comes_too_late_has_an_end)
{
	char byte;
	int fd;

	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_EQ(put("default", self->second), 0);
	fd = open("/proc/llamux/prompt", O_WRONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(write(fd, "Hi", 2), 2);
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));
	/* It is asked now. */
	close(fd);
	fd = open("/proc/llamux/prompt", O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, fd);
	EXPECT_EQ(read(fd, &byte, 1), -1);
	EXPECT_EQ(errno, ENODEV);
	close(fd);
}

TEST_F(models, unloading_again_and_again_loses_no_memory)
{
	long long before = 0, after;

	for (int i = 0; i <= TURNS; i++) {
		ASSERT_EQ(put("load", self->second), 0);
		ASSERT_TRUE(becomes(self->second, "ready"));
		ASSERT_EQ(put("default", self->second), 0);
		ask(2, self->answers);
		ASSERT_EQ(self->answers->err, 0);
		ASSERT_EQ(put("default", self->first), 0);
		ASSERT_EQ(put("unload", self->second), 0);
		ASSERT_TRUE(vanishes(self->second));
		/* After the first turn, which may have grown caches of the kernel. */
		if (!i)
			before = free_memory();
	}
	after = free_memory();
	if (is_reserved()) {
		EXPECT_EQ(after, before);
	} else {
		EXPECT_LT(before - after, 8 << 20);
	}
}

/* Says something in a conversation and hears the answer; its length, or minus errno. */
static ssize_t talk(int fd, const char *text)
{
	char answer[4096];
	ssize_t len = 0, got;

	if (write(fd, text, strlen(text)) < 0)
		return -errno;
	while ((got = read(fd, answer, sizeof(answer))) > 0)
		len += got;
	return got < 0 ? -errno : len;
}

TEST_F(models, conversation_stays_with_its_model)
{
	struct llama_options options = {
		.flags = LLAMA_OPTION_RAW | LLAMA_OPTION_GREEDY,
		.max_tokens = 4,
	};
	int fd = open("/dev/llama", O_RDWR | O_CLOEXEC), copy;

	ASSERT_LE(0, fd);
	ASSERT_EQ(ioctl(fd, LLAMA_IOC_SET, &options), 0);
	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ASSERT_EQ(put("default", self->second), 0);
	EXPECT_LT(0, talk(fd, COUNT));
	copy = ioctl(fd, LLAMA_IOC_FORK, O_CLOEXEC);
	ASSERT_LE(0, copy);
	/* Whichever is the default now. */
	ASSERT_EQ(put("default", self->first), 0);
	EXPECT_LT(0, talk(fd, " and"));
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));
	EXPECT_EQ(talk(fd, " and"), -ENODEV);
	EXPECT_EQ(talk(copy, " and"), -ENODEV);
	EXPECT_EQ(ioctl(fd, LLAMA_IOC_RESET, 0), 0);
	EXPECT_LT(0, talk(fd, COUNT));
	close(copy);
	close(fd);
}

/* The errno of choosing a model by its name; 0 if it was chosen. */
static int choose(int fd, const char *name)
{
	struct llama_model_name model = { .name = (uintptr_t)name, .name_len = strlen(name) };

	return ioctl(fd, LLAMA_IOC_MODEL, &model) ? errno : 0;
}

/* Whether it is the model of this name that answers in a session. */
static bool is_model_of(int fd, const char *name)
{
	char text[300] = "";
	struct llama_session session = { .name = (uintptr_t)text, .name_len = sizeof(text) - 1 };

	if (ioctl(fd, LLAMA_IOC_INFO, &session) || session.name_len != strlen(name))
		return false;
	return !strcmp(text, name);
}

static void hear(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while (len < size - 1 && (got = read(fd, text + len, size - 1 - len)) > 0)
		len += got;
	text[len] = '\0';
}

TEST_F(models, each_session_chooses_its_own)
{
	struct answer *first = &self->answers[0], *second = &self->answers[1];
	struct llama_options options = {
		.flags = LLAMA_OPTION_RAW | LLAMA_OPTION_GREEDY,
		.max_tokens = 16, .repeat_penalty_milli = 1000,
	};
	int fds[2] = { open("/dev/llama", O_RDWR), open("/dev/llama", O_RDWR) };
	struct llama_command command = counting(16);
	char text[4096];
	int copy;

	ASSERT_EQ(put("load", self->second), 0);
	ASSERT_TRUE(becomes(self->second, "ready"));
	ask(16, first);
	ASSERT_EQ(put("default", self->second), 0);
	ask(16, second);
	ASSERT_EQ(put("default", self->first), 0);
	ASSERT_STRNE(first->text, second->text);
	for (int i = 0; i < 2; i++) {
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(ioctl(fds[i], LLAMA_IOC_SET, &options), 0);
		ASSERT_EQ(choose(fds[i], i ? self->second : self->first), 0);
		EXPECT_TRUE(is_model_of(fds[i], i ? self->second : self->first));
	}
	/* Both at the same time. */
	ASSERT_LT(0, write(fds[0], COUNT, strlen(COUNT)));
	ASSERT_LT(0, write(fds[1], COUNT, strlen(COUNT)));
	EXPECT_EQ(choose(fds[1], self->first), EBUSY);
	hear(fds[0], text, sizeof(text));
	EXPECT_STREQ(text, first->text);
	hear(fds[1], text, sizeof(text));
	EXPECT_STREQ(text, second->text);

	/* A conversation stays with the model that began it, a copy of it as well. */
	EXPECT_EQ(choose(fds[1], self->first), EBUSY);
	EXPECT_EQ(choose(fds[1], self->second), EBUSY);
	EXPECT_EQ(choose(fds[1], ""), EBUSY);
	copy = ioctl(fds[1], LLAMA_IOC_FORK, O_CLOEXEC);
	ASSERT_LE(0, copy);
	EXPECT_TRUE(is_model_of(copy, self->second));
	/* What was chosen outlives it. */
	ASSERT_EQ(ioctl(fds[1], LLAMA_IOC_RESET, 0), 0);
	EXPECT_TRUE(is_model_of(fds[1], self->second));
	command.flags |= LLAMA_SESSION;
	command.session = fds[1];
	command.response = (uintptr_t)text;
	command.response_len = sizeof(text);
	memset(text, 0, sizeof(text));
	ASSERT_LT(0, syscall(__NR_llama_command, &command, sizeof(command)));
	EXPECT_STREQ(text, second->text);

	ASSERT_EQ(ioctl(fds[0], LLAMA_IOC_RESET, 0), 0);
	ASSERT_EQ(choose(fds[0], ""), 0);
	EXPECT_TRUE(is_model_of(fds[0], self->first));
	ASSERT_EQ(put("default", self->second), 0);
	EXPECT_TRUE(is_model_of(fds[0], self->second));
	ASSERT_EQ(put("default", self->first), 0);

	ASSERT_EQ(ioctl(fds[1], LLAMA_IOC_RESET, 0), 0);
	ASSERT_EQ(put("unload", self->second), 0);
	ASSERT_TRUE(vanishes(self->second));
	EXPECT_EQ(choose(fds[0], self->second), ENOENT);
	EXPECT_EQ(talk(fds[1], COUNT), -ENODEV);
	EXPECT_TRUE(is_model_of(fds[1], ""));
	EXPECT_EQ(choose(fds[1], ""), 0);
	EXPECT_LT(0, talk(fds[1], COUNT));
	EXPECT_EQ(talk(copy, COUNT), -ENODEV);
	close(copy);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(models, a_model_that_is_being_loaded_can_be_waited_for)
{
	int fds[2] = {
		open("/dev/llama", O_RDWR), open("/dev/llama", O_RDWR | O_NONBLOCK),
	};
	bool waited = false;

	ASSERT_LE(0, fds[0]);
	ASSERT_LE(0, fds[1]);
	for (int i = 0; i < 100 && !waited; i++) {
		int err;

		ASSERT_EQ(put("load", self->second), 0);
		err = choose(fds[1], self->second);
		ASSERT_TRUE(!err || err == EAGAIN) TH_LOG("%s", strerror(err));
		waited = err == EAGAIN;
		EXPECT_EQ(choose(fds[0], self->second), 0);
		EXPECT_TRUE(is(self->second, "ready"));
		EXPECT_TRUE(is_model_of(fds[0], self->second));
		ASSERT_EQ(put("unload", self->second), 0);
		ASSERT_TRUE(vanishes(self->second));
	}
	EXPECT_TRUE(waited);
	/* One that cannot be loaded is none. */
	ASSERT_TRUE(copy(self->second, "selftest-short", 100));
	ASSERT_EQ(put("load", "selftest-short"), 0);
	EXPECT_EQ(choose(fds[0], "selftest-short"), ENOENT);
	close(fds[0]);
	close(fds[1]);
}

TEST_HARNESS_MAIN
