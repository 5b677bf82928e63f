// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Asks the kernel's language model twice: by llama_command(2), and through /dev/llama. */
#include <err.h>
#include <fcntl.h>
#include <linux/llamux.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *question = argc > 1 ? argv[1] : "Why is the sky blue?";
	static char answer[LLAMA_RESPONSE_MAX];
	struct llama_command command = {
		.flags = LLAMA_WAIT, .prompt = (uintptr_t)question, .prompt_len = strlen(question),
		.response = (uintptr_t)answer, .response_len = sizeof(answer), .max_tokens = 64,
	};
	long len = syscall(600, &command, sizeof(command));
	int fd = open("/dev/llama", O_RDWR);

	if (len < 0)
		err(1, "llama_command");
	printf("%.*s\n", (int)len, answer);
	if (fd < 0 || write(fd, question, strlen(question)) < 0)
		err(1, "/dev/llama");
	while ((len = read(fd, answer, sizeof(answer))) > 0)
		write(STDOUT_FILENO, answer, len);
	return len < 0 || write(STDOUT_FILENO, "\n", 1) < 0;
}
