/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * llama_command(2): ask the kernel's language model.
 *
 *	long llama_command(struct llama_command *command, size_t size);
 *
 * The structure is extensible as described in
 * Documentation/process/adding-syscalls.rst: @size is sizeof(struct
 * llama_command) as the caller knows it. A larger structure than the kernel
 * knows is refused with E2BIG unless its tail is zero; the tail of a smaller
 * one is taken as zero.
 */
#ifndef _UAPI_LINUX_LLAMUX_H
#define _UAPI_LINUX_LLAMUX_H

#include <linux/types.h>

/* llama_command.flags */
#define LLAMA_RAW	(1ULL << 0)	/* the prompt is not put into the model's chat format */
#define LLAMA_GREEDY	(1ULL << 1)	/* always take the likeliest token; no sampling */
#define LLAMA_WAIT	(1ULL << 2)	/* wait until the model is loaded, instead of EAGAIN */

/* llama_command.stop_reason */
#define LLAMA_STOP_END		1	/* the model ended its answer */
#define LLAMA_STOP_LENGTH	2	/* max_tokens were generated, or the context is full */
#define LLAMA_STOP_TIMEOUT	3	/* timeout_ms passed */
#define LLAMA_STOP_INTERRUPTED	4	/* a signal arrived */
#define LLAMA_STOP_BUFFER	5	/* the answer outgrew the kernel's buffer */

/* Longest prompt in bytes; a longer one is refused with EMSGSIZE. */
#define LLAMA_PROMPT_MAX	(1U << 20)
/* Most bytes of an answer that the kernel keeps. */
#define LLAMA_RESPONSE_MAX	(1U << 18)
/* Most bytes of a compiled grammar; a longer one is refused with EMSGSIZE. */
#define LLAMA_GRAMMAR_MAX	(1U << 20)
/* Size of the first published struct llama_command. */
#define LLAMA_COMMAND_SIZE_VER0	88
/* Size of the second one, which ends with grammar_len. */
#define LLAMA_COMMAND_SIZE_VER1	104

/**
 * struct llama_command - one question and where its answer goes
 * @flags:           LLAMA_* flags; unknown ones are refused with EINVAL
 * @prompt:          address of the question, UTF-8
 * @prompt_len:      its bytes, 1 to LLAMA_PROMPT_MAX
 * @response:        address of the buffer for the answer; may be 0 if @response_len is
 * @response_len:    in: bytes of that buffer; out: bytes of the whole answer, of which as
 *                   many as fit are in the buffer (never a part of a character). No NUL is
 *                   added.
 * @max_tokens:      most tokens to generate; 0 for the kernel's default
 * @timeout_ms:      give up after so many milliseconds, time in the queue included; 0 for
 *                   never
 * @seed:            of the random numbers; the same seed gives the same answer. 0 for one
 *                   that the kernel draws
 * @temperature_milli: temperature times 1000, at most 10000; 0 for the default, and
 *                   LLAMA_GREEDY for temperature 0
 * @top_k:           sample among the @top_k likeliest tokens; 0 for the default
 * @top_p_milli:     nucleus, times 1000, at most 1000; 0 for the default
 * @min_p_milli:     least probability relative to the likeliest, times 1000, at most 1000; 0
 *                   for the default
 * @repeat_penalty_milli: penalty on recent tokens, times 1000, 1000 for none, at most
 *                   10000; 0 for the default
 * @prompt_tokens:   out: tokens of the prompt, chat format included
 * @response_tokens: out: tokens generated
 * @stop_reason:     out: one of LLAMA_STOP_*
 * @grammar:         address of a compiled grammar that the answer must keep to; 0 for none
 * @grammar_len:     its bytes, at most LLAMA_GRAMMAR_MAX; 0 if and only if @grammar is
 *
 * Returns the length of the whole answer, as @response_len; on error -1 and errno.
 */
struct llama_command {
	__u64 flags;
	__u64 prompt;
	__u64 prompt_len;
	__u64 response;
	__u64 response_len;
	__u32 max_tokens;
	__u32 timeout_ms;
	__u64 seed;
	__u32 temperature_milli;
	__u32 top_k;
	__u32 top_p_milli;
	__u32 min_p_milli;
	__u32 repeat_penalty_milli;
	__u32 prompt_tokens;
	__u32 response_tokens;
	__u32 stop_reason;
	/* 88 bytes */
	__u64 grammar;
	__u64 grammar_len;
	/* 104 bytes */
};

#endif /* _UAPI_LINUX_LLAMUX_H */
