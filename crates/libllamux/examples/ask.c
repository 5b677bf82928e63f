// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Asks the kernel's model, and prints the answer as it comes.
 *
 * cc ask.c $(pkg-config --cflags --libs llamux)
 */
#include <llamux.h>
#include <stdio.h>

static int part(const char *text, size_t len, void *data)
{
	(void)data;
	fwrite(text, 1, len, stdout);
	/* Another number than 0 would end the answer. */
	return fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
	struct llamux_options options = { .max_tokens = 200, .greedy = 1 };
	struct llamux_answer answer = { 0 };
	struct llamux_session *session;

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUESTION\n", argv[0]);
		return 2;
	}
	/* Where /dev/llama may not be opened, the answer comes in one piece. */
	if (llamux_session_open(NULL, &session) == 0) {
		int error = llamux_session_ask(session, argv[1], &options, part, NULL, &answer);

		llamux_session_close(session);
		if (error) {
			fprintf(stderr, "%s\n", llamux_error());
			return 1;
		}
		printf("\n");
	} else if (llamux_ask(argv[1], &options, &answer) == 0) {
		printf("%s\n", answer.text);
	} else {
		fprintf(stderr, "%s\n", llamux_error());
		return 1;
	}
	fprintf(stderr, "%u tokens in %llu ms\n", answer.tokens, (unsigned long long)answer.elapsed_ms);
	llamux_answer_clear(&answer);
	return 0;
}
