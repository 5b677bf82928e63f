// SPDX-License-Identifier: GPL-2.0-only
/*
 * Embeddings: LLAMA_IOC_EMBED of /dev/llama.
 *
 * The tests of the fixture "model" need a loaded model, those of "global" do
 * not. Nothing is expected of the model but that texts of the same words are
 * nearer to each other than to others.
 */
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "session.h"

/* In seconds, for each test: a debug kernel is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define COLUMNS_MAX	65536

/* Nothing is there; the compiler does not know. */
static volatile uintptr_t bad_address = 1;

static float vector[COLUMNS_MAX], other[COLUMNS_MAX], third[COLUMNS_MAX];

static struct llama_embedding text(const char *text, float *to)
{
	return (struct llama_embedding) {
		.text = (uintptr_t)text, .text_len = strlen(text),
		.vector = (uintptr_t)to, .vector_len = COLUMNS_MAX,
	};
}

/* 0 or the errno. */
static int embed(int fd, struct llama_embedding *asked)
{
	return ioctl(fd, LLAMA_IOC_EMBED, asked) ? errno : 0;
}

static int refusal(int fd, struct llama_embedding asked)
{
	return embed(fd, &asked);
}

static double product(const float *a, const float *b, int columns)
{
	double sum = 0;

	for (int i = 0; i < columns; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

TEST(structures_have_the_documented_sizes)
{
	EXPECT_EQ(sizeof(struct llama_embedding), 48);
	EXPECT_EQ(sizeof(struct llama_model_name), 24);
}

TEST(wrong_arguments_are_refused)
{
	struct llama_embedding bad = text("x", vector);
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	bad.flags = 1;
	EXPECT_EQ(refusal(fd, bad), EINVAL);
	bad = text("x", vector);
	bad.reserved = 1;
	EXPECT_EQ(refusal(fd, bad), EINVAL);
	EXPECT_EQ(refusal(fd, text("", vector)), EINVAL);
	bad = text("x", vector);
	bad.text_len = LLAMA_PROMPT_MAX + 1;
	EXPECT_EQ(refusal(fd, bad), EMSGSIZE);
	EXPECT_EQ(refusal(fd, text("a\xff", vector)), EILSEQ);
	EXPECT_EQ(refusal(fd, text("\xc3", vector)), EILSEQ);
	bad = text("x", vector);
	bad.text = bad_address;
	bad.text_len = 8;
	EXPECT_EQ(refusal(fd, bad), EFAULT);
	EXPECT_EQ(embed(fd, (void *)bad_address), EFAULT);
	close(fd);
}

TEST(the_structure_may_be_larger_if_its_tail_is_zero)
{
	struct {
		struct llama_embedding known;
		__u64 more;
	} larger = { .known = text("", vector), .more = 1 };
	unsigned long cmd = _IOC(_IOC_READ | _IOC_WRITE, LLAMA_IOC_MAGIC, 9, sizeof(larger));
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(ioctl(fd, cmd, &larger), -1);
	EXPECT_EQ(errno, E2BIG);
	larger.more = 0;
	/* It is taken, and found to have no text. */
	EXPECT_EQ(ioctl(fd, cmd, &larger), -1);
	EXPECT_EQ(errno, EINVAL);
	cmd = _IOC(_IOC_READ | _IOC_WRITE, LLAMA_IOC_MAGIC, 9, 40);
	EXPECT_EQ(ioctl(fd, cmd, &larger), -1);
	EXPECT_EQ(errno, EINVAL);
	close(fd);
}

TEST(without_a_model_there_is_none)
{
	int fd = open(DEVICE, O_RDWR);

	ASSERT_LE(0, fd);
	while (state_is("loading"))
		sleep_ms(10);
	if (state_is("unavailable")) {
		EXPECT_EQ(refusal(fd, text("x", vector)), ENODEV);
		EXPECT_EQ(info(fd).embedding, 0);
	} else {
		EXPECT_LT(0, info(fd).embedding);
	}
	close(fd);
}

FIXTURE(model)
{
	int fd;
	int columns;
};

FIXTURE_SETUP(model)
{
	if (!model_is_ready())
		SKIP(return, "there is no model");
	ASSERT_TRUE(status_becomes("sessions_active", 0));
	self->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->columns = info(self->fd).embedding;
	ASSERT_LE(1, self->columns);
	ASSERT_LE(self->columns, COLUMNS_MAX);
}

FIXTURE_TEARDOWN(model)
{
	close(self->fd);
	/* Nobody is served who is gone. */
	EXPECT_TRUE(status_becomes("requests_waiting", 0));
	EXPECT_TRUE(status_becomes("sessions_active", 0));
}

TEST_F(model, a_text_becomes_a_vector_of_length_one)
{
	struct llama_embedding asked = text("The cat sleeps on the mat.", vector);
	long long served = number_of(STATUS, "requests_served");
	double length;

	vector[self->columns] = 42;
	ASSERT_EQ(embed(self->fd, &asked), 0);
	EXPECT_EQ(asked.vector_len, self->columns);
	EXPECT_LT(1, asked.tokens);
	EXPECT_LE(asked.tokens, 26);
	length = product(vector, vector, self->columns);
	EXPECT_TRUE(length > 0.9999 && length < 1.0001) TH_LOG("%f", length);
	/* And not a number more. */
	EXPECT_TRUE(vector[self->columns] == 42);
	EXPECT_EQ(number_of(STATUS, "requests_served"), served + 1);
	/* It is not said in the conversation. */
	EXPECT_EQ(info(self->fd).tokens, 0);
	EXPECT_EQ(info(self->fd).state, LLAMA_STATE_IDLE);
}

TEST_F(model, texts_of_the_same_words_are_nearer)
{
	struct llama_embedding first = text("The cat sleeps on the mat near the door.", vector);
	struct llama_embedding near = text("The cat sleeps on the mat near the wall.", other);
	struct llama_embedding far = text("int main(void) { return 1 + 2; }", third);
	double same, different;

	ASSERT_EQ(embed(self->fd, &first), 0);
	ASSERT_EQ(embed(self->fd, &near), 0);
	ASSERT_EQ(embed(self->fd, &far), 0);
	same = product(vector, other, self->columns);
	different = product(vector, third, self->columns);
	EXPECT_TRUE(same > different) TH_LOG("%f and %f", same, different);
	EXPECT_TRUE(same < 1.0001 && different < 0.9999) TH_LOG("%f and %f", same, different);
}

TEST_F(model, the_same_text_is_the_same_vector_whoever_else_asks)
{
	struct llama_options options = {
		.flags = LLAMA_OPTION_RAW | LLAMA_OPTION_GREEDY, .max_tokens = 64,
	};
	struct llama_embedding asked = text(COUNT, vector), again = text(COUNT, other);
	char answer[4096];

	ASSERT_EQ(embed(self->fd, &asked), 0);
	ASSERT_EQ(ioctl(self->fd, LLAMA_IOC_SET, &options), 0);
	/* The same text is asked as a question, and is in the cache then. */
	ASSERT_EQ(write(self->fd, COUNT, strlen(COUNT)), strlen(COUNT));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(embed(self->fd, &again), 0);
		EXPECT_EQ(again.tokens, asked.tokens);
		EXPECT_EQ(memcmp(vector, other, self->columns * sizeof(float)), 0);
	}
	while (read(self->fd, answer, sizeof(answer)) > 0)
		;
	ASSERT_EQ(embed(self->fd, &again), 0);
	EXPECT_EQ(memcmp(vector, other, self->columns * sizeof(float)), 0);
	EXPECT_LT(asked.tokens, info(self->fd).tokens);
}

TEST_F(model, an_array_that_is_too_short_is_told_its_length)
{
	struct llama_embedding asked = text("x", vector);

	vector[0] = 42;
	asked.vector_len = self->columns - 1;
	EXPECT_EQ(embed(self->fd, &asked), E2BIG);
	EXPECT_EQ(asked.vector_len, self->columns);
	EXPECT_TRUE(vector[0] == 42);
	EXPECT_EQ(embed(self->fd, &asked), 0);
	asked = text("x", vector);
	asked.vector = 0;
	asked.vector_len = 0;
	EXPECT_EQ(embed(self->fd, &asked), E2BIG);
	EXPECT_EQ(asked.vector_len, self->columns);
}

TEST_F(model, a_bad_array_gives_efault)
{
	struct llama_embedding asked = text("x", vector);

	asked.vector = bad_address;
	EXPECT_EQ(embed(self->fd, &asked), EFAULT);
	EXPECT_EQ(embed(self->fd, &(struct llama_embedding) { 0 }), EINVAL);
}

TEST_F(model, a_text_longer_than_the_context_gives_eoverflow)
{
	struct llama_embedding asked = text("", vector);
	size_t len = LLAMA_PROMPT_MAX;
	char *words = malloc(len);

	ASSERT_NE(words, NULL);
	for (size_t i = 0; i < len; i++)
		words[i] = i % 3 ? 'a' + i / 3 % 26 : ' ';
	asked.text = (uintptr_t)words;
	asked.text_len = len;
	EXPECT_EQ(embed(self->fd, &asked), EOVERFLOW);
	free(words);
}

TEST_F(model, it_has_its_time)
{
	static char words[LLAMA_PROMPT_MAX];
	struct llama_embedding asked = text("", vector);

	asked.text = (uintptr_t)words;
	asked.text_len = long_question(words, sizeof(words));
	asked.timeout_ms = 1;
	EXPECT_EQ(embed(self->fd, &asked), ETIMEDOUT);
}

TEST_F(model, who_is_killed_leaves_nothing_behind)
{
	static char words[LLAMA_PROMPT_MAX];

	for (int i = 0; i < 5; i++) {
		struct llama_embedding asked = text("", vector);
		int status;
		pid_t pid;

		asked.text = (uintptr_t)words;
		asked.text_len = long_question(words, sizeof(words));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			embed(self->fd, &asked);
			_exit(0);
		}
		sleep_ms(i * 3);
		EXPECT_EQ(kill(pid, SIGKILL), 0);
		EXPECT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_TRUE(status_becomes("sessions_active", 0));
		EXPECT_TRUE(status_becomes("requests_waiting", 0));
	}
}

TEST_HARNESS_MAIN
