/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * llama_command(2): ask the kernel's language model. And /dev/llama, each open
 * file of which is a conversation with it; that is at the end.
 *
 *	long llama_command(struct llama_command *command, size_t size);
 *
 * The structure is extensible as described in
 * Documentation/process/adding-syscalls.rst: @size is sizeof(struct
 * llama_command) as the caller knows it. A larger structure than the kernel
 * knows is refused with E2BIG unless its tail is zero; the tail of a smaller
 * one is taken as zero.
 *
 * Users may ask and have open as much as /sys/kernel/llamux/limits says. What is
 * more is refused with EDQUOT, unless the caller has CAP_SYS_RESOURCE, and had it
 * as well when it opened the file that it asks through.
 */
#ifndef _UAPI_LINUX_LLAMUX_H
#define _UAPI_LINUX_LLAMUX_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* llama_command.flags */
#define LLAMA_RAW	(1ULL << 0)	/* the prompt is not put into the model's chat format */
#define LLAMA_GREEDY	(1ULL << 1)	/* always take the likeliest token; no sampling */
#define LLAMA_WAIT	(1ULL << 2)	/* wait until the model is loaded, instead of EAGAIN */
#define LLAMA_SESSION	(1ULL << 3)	/* ask in the conversation of the descriptor @session */

/* llama_command.stop_reason */
#define LLAMA_STOP_END		1	/* the model ended its answer */
#define LLAMA_STOP_LENGTH	2	/* max_tokens were generated, or the context is full */
#define LLAMA_STOP_TIMEOUT	3	/* timeout_ms passed */
#define LLAMA_STOP_INTERRUPTED	4	/* a signal arrived */
#define LLAMA_STOP_BUFFER	5	/* the answer outgrew the kernel's buffer */
#define LLAMA_STOP_STRING	6	/* one of the session's stop strings came */
#define LLAMA_STOP_CANCELLED	7	/* LLAMA_IOC_CANCEL or LLAMA_IOC_RESET */

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
/* Size of the third one, which ends with reserved. */
#define LLAMA_COMMAND_SIZE_VER2	112

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
 * @session:         with LLAMA_SESSION a descriptor of /dev/llama, otherwise 0
 * @reserved:        0
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
	__s32 session;
	__u32 reserved;
	/* 112 bytes */
};

/*
 * /dev/llama
 *
 * Each open file is a session: a conversation of its own. What is written is
 * what the user says, one write a turn; what is read is the answer, until its
 * end, which is a read of 0 bytes.
 *
 * The structures are extensible as that of the system call; the size is the one
 * in the number of the ioctl. What is called reserved is 0.
 */
#define LLAMA_IOC_MAGIC		0xED

/* Most turns that are held, and most bytes of stop strings with their zeros. */
#define LLAMA_HELD_MAX		32
#define LLAMA_STOPS_MAX		1040

/* llama_turn.role */
#define LLAMA_ROLE_USER		0
#define LLAMA_ROLE_SYSTEM	1
#define LLAMA_ROLE_ASSISTANT	2

/* llama_turn.flags */
#define LLAMA_TURN_HOLD		(1ULL << 0)	/* no answer yet: the next turn goes on */

/**
 * struct llama_turn - what somebody says
 * @flags:      LLAMA_TURN_*
 * @text:       address of what is said, UTF-8
 * @text_len:   its bytes; those of all turns that are held, at most LLAMA_PROMPT_MAX
 * @role:       who says it, one of LLAMA_ROLE_*
 * @reserved:   0
 */
struct llama_turn {
	__u64 flags;
	__u64 text;
	__u64 text_len;
	__u32 role;
	__u32 reserved;
	/* 32 bytes */
};

/* llama_options.flags */
#define LLAMA_OPTION_RAW	(1ULL << 0)	/* turns are not put into the chat format */
#define LLAMA_OPTION_GREEDY	(1ULL << 1)	/* always take the likeliest token */
#define LLAMA_OPTION_APPEND	(1ULL << 2)	/* writes go on with a turn, which a read ends */
#define LLAMA_OPTION_KEEP	(1ULL << 3)	/* fail with EOVERFLOW, drop no old turns */
#define LLAMA_OPTION_LOGPROBS	(1ULL << 4)	/* keep what LLAMA_IOC_LOGPROBS tells */

/**
 * struct llama_options - how the turns to come are answered
 * @flags:      LLAMA_OPTION_*
 * @seed:       as in struct llama_command
 * @grammar:    likewise
 * @grammar_len: likewise
 * @stops:      address of texts that end an answer, each followed by a zero byte: at most 16
 *              of at most 64 bytes each; 0 for none
 * @stops_len:  their bytes in all, zeros included, at most LLAMA_STOPS_MAX
 * @max_tokens: as in struct llama_command, and so are the others
 * @timeout_ms: runs from the beginning of each turn
 * @temperature_milli: see struct llama_command
 * @top_k:      likewise
 * @top_p_milli: likewise
 * @min_p_milli: likewise
 * @repeat_penalty_milli: likewise
 * @reserved:   0
 *
 * They replace all options from before. A session begins with all of them 0.
 */
struct llama_options {
	__u64 flags;
	__u64 seed;
	__u64 grammar;
	__u64 grammar_len;
	__u64 stops;
	__u64 stops_len;
	__u32 max_tokens;
	__u32 timeout_ms;
	__u32 temperature_milli;
	__u32 top_k;
	__u32 top_p_milli;
	__u32 min_p_milli;
	__u32 repeat_penalty_milli;
	__u32 reserved;
	/* 80 bytes */
};

/* llama_session.state */
#define LLAMA_STATE_IDLE	0	/* nothing is to be read */
#define LLAMA_STATE_ANSWERING	1	/* an answer is waited for or written */
#define LLAMA_STATE_ANSWERED	2	/* it is complete, and not read to its end */

/* llama_session.model */
#define LLAMA_MODEL_LOADING	0
#define LLAMA_MODEL_READY	1
#define LLAMA_MODEL_UNAVAILABLE	2	/* @reason says why */

/**
 * struct llama_session - the state of a session
 * @state:      one of LLAMA_STATE_*
 * @model:      one of LLAMA_MODEL_*
 * @context:    tokens of the model's context; 0 unless it is LLAMA_MODEL_READY
 * @context_left: those that the conversation has not taken yet
 * @tokens:     tokens of the conversation, without the turn that is being answered
 * @held_bytes: bytes of turns that wait for the next answer
 * @unread:     bytes of the answer that are there to be read
 * @prompt_tokens: of the last complete answer: tokens of the conversation before it
 * @cached_tokens: those of them that had not to be computed
 * @response_tokens: tokens of that answer
 * @stop_reason: why it ended, one of LLAMA_STOP_*; 0 if there was none
 * @error:      the errno with which it failed, or 0
 * @logprobs:   how many entries LLAMA_IOC_LOGPROBS has of it
 * @reason_len: in: bytes of the buffer @reason; out: bytes of the whole reason
 * @reason:     in: address of a buffer for why there is no model, cut where that ends; or 0
 * @embedding:  numbers of an embedding by the model; 0 unless it is LLAMA_MODEL_READY
 * @name_len:   in: bytes of the buffer @name; out: bytes of the whole name
 * @name:       in: address of a buffer for the model's name, cut where that ends; or 0
 *
 * The model is the one that was chosen, or else the default one.
 */
struct llama_session {
	__u32 state;
	__u32 model;
	__u32 context;
	__u32 context_left;
	__u32 tokens;
	__u32 held_bytes;
	__u32 unread;
	__u32 prompt_tokens;
	__u32 cached_tokens;
	__u32 response_tokens;
	__u32 stop_reason;
	__u32 error;
	__u32 logprobs;
	__u32 reason_len;
	__u64 reason;
	/* 64 bytes */
	__u32 embedding;
	__u32 name_len;
	__u64 name;
	/* 80 bytes */
};

/* llama_logprob.flags */
#define LLAMA_LOGPROB_FORCED	(1U << 0)	/* the grammar left no choice: not computed */

/**
 * struct llama_logprob - a token of an answer
 * @token:      its number in the model's vocabulary
 * @logprob_micro: the natural logarithm of its probability, times 1000000, at most 0: what the
 *              model said, before any penalty, temperature or grammar
 * @offset:     where its text begins in the answer
 * @flags:      LLAMA_LOGPROB_*
 */
struct llama_logprob {
	__u32 token;
	__s32 logprob_micro;
	__u32 offset;
	__u32 flags;
	/* 16 bytes */
};

/**
 * struct llama_logprobs - asks for the tokens of the last complete answer
 * @entries:    address of an array of struct llama_logprob
 * @first:      how many tokens to leave out
 * @count:      in: length of the array; out: how many entries were written
 */
struct llama_logprobs {
	__u64 entries;
	__u32 first;
	__u32 count;
	/* 16 bytes */
};

/* Most bytes of a model's name. */
#define LLAMA_MODEL_NAME_MAX	200

/**
 * struct llama_model_name - which model answers in a session
 * @flags:      0
 * @name:       address of its name, as in /sys/kernel/llamux/models, without a NUL
 * @name_len:   bytes of the name, at most LLAMA_MODEL_NAME_MAX; 0 for whichever is the default
 * @reserved:   0
 *
 * The conversation is empty, or the ioctl fails with EBUSY.
 */
struct llama_model_name {
	__u64 flags;
	__u64 name;
	__u32 name_len;
	__u32 reserved;
	/* 24 bytes */
};

/**
 * struct llama_embedding - asks for a text as a vector
 * @flags:      0
 * @text:       address of the text, UTF-8
 * @text_len:   its bytes, 1 to LLAMA_PROMPT_MAX
 * @vector:     address of an array of floats (IEEE 754, 32 bits, in the machine's byte order)
 * @vector_len: in: length of the array; out: how many numbers the vector has
 * @tokens:     out: how many tokens the text has
 * @timeout_ms: give up after so many milliseconds, time in the queue included; 0 for never
 * @reserved:   0
 *
 * The vector has the Euclidean length 1. With E2BIG the array is too short, and @vector_len
 * says how long it must be.
 */
struct llama_embedding {
	__u64 flags;
	__u64 text;
	__u64 text_len;
	__u64 vector;
	__u32 vector_len;
	__u32 tokens;
	__u32 timeout_ms;
	__u32 reserved;
	/* 48 bytes */
};

#define LLAMA_IOC_TURN		_IOW(LLAMA_IOC_MAGIC, 0, struct llama_turn)
#define LLAMA_IOC_SET		_IOW(LLAMA_IOC_MAGIC, 1, struct llama_options)
#define LLAMA_IOC_INFO		_IOWR(LLAMA_IOC_MAGIC, 2, struct llama_session)
#define LLAMA_IOC_LOGPROBS	_IOWR(LLAMA_IOC_MAGIC, 3, struct llama_logprobs)
/* The argument is 0, O_CLOEXEC, O_NONBLOCK or both; returns a new descriptor. */
#define LLAMA_IOC_FORK		_IO(LLAMA_IOC_MAGIC, 4)
/* These have no argument: it is 0. */
#define LLAMA_IOC_RESET		_IO(LLAMA_IOC_MAGIC, 5)
#define LLAMA_IOC_CANCEL	_IO(LLAMA_IOC_MAGIC, 6)
#define LLAMA_IOC_PREWARM	_IO(LLAMA_IOC_MAGIC, 7)
#define LLAMA_IOC_MODEL		_IOW(LLAMA_IOC_MAGIC, 8, struct llama_model_name)
#define LLAMA_IOC_EMBED		_IOWR(LLAMA_IOC_MAGIC, 9, struct llama_embedding)

/*
 * /dev/llama-backend
 *
 * A program that registers here is a model of the kernel, for as long as it has
 * the file open. It reads what is asked, one message a request, and writes the
 * answers, in parts, one message a write. The node is for root, and opening it
 * needs CAP_SYS_ADMIN.
 */

/* Most requests that a backend has at a time, and most turns of one. */
#define LLAMA_BACKEND_ACTIVE_MAX	256
#define LLAMA_BACKEND_TURNS_MAX		1024
/* Room in which any message to a backend fits. */
#define LLAMA_BACKEND_MESSAGE_MAX	((1U << 21) + (1U << 16))
/* Most bytes of a text that a backend writes at once. */
#define LLAMA_BACKEND_TEXT_MAX		(1U << 18)

/* llama_backend.flags: what it can do */
#define LLAMA_BACKEND_CHAT	(1ULL << 0)	/* answer turns, in its own chat format */
#define LLAMA_BACKEND_RAW	(1ULL << 1)	/* go on with a text as it stands */
#define LLAMA_BACKEND_GRAMMAR	(1ULL << 2)	/* keep to a compiled grammar */
#define LLAMA_BACKEND_LOGPROBS	(1ULL << 3)	/* say how likely tokens were */

/**
 * struct llama_backend - registers a model that a program answers for
 * @flags:      LLAMA_BACKEND_*: what it can do; what it cannot, is refused with
 *              EPROTONOSUPPORT
 * @name:       address of the model's name, as in struct llama_model_name
 * @name_len:   bytes of the name, 1 to LLAMA_MODEL_NAME_MAX
 * @context:    tokens of its context, at least 1
 * @embedding:  numbers of an embedding, at most 65536; 0 if it makes none
 * @active:     how many requests it takes at a time, 1 to LLAMA_BACKEND_ACTIVE_MAX
 * @timeout_ms: milliseconds without a sign of it, after which those who wait are told
 *              ETIMEDOUT; at most 3600000, 0 for 60000
 * @reserved:   0
 */
struct llama_backend {
	__u64 flags;
	__u64 name;
	__u32 name_len;
	__u32 context;
	__u32 embedding;
	__u32 active;
	__u32 timeout_ms;
	__u32 reserved;
	/* 40 bytes */
};

/* llama_backend_request.kind */
#define LLAMA_MESSAGE_ASK	1	/* a request */
#define LLAMA_MESSAGE_CANCEL	2	/* nobody waits for the request @id any more */

/* llama_backend_request.flags */
#define LLAMA_ASK_RAW		(1ULL << 0)	/* the texts of all turns are one that is gone on with */
#define LLAMA_ASK_GREEDY	(1ULL << 1)	/* always take the likeliest token */
#define LLAMA_ASK_KEEP		(1ULL << 2)	/* fail with EOVERFLOW, leave no old turns out */
#define LLAMA_ASK_LOGPROBS	(1ULL << 3)	/* say how likely each token was */
#define LLAMA_ASK_EMBED		(1ULL << 4)	/* no answer: the text as a vector */

/**
 * struct llama_backend_request - what a backend reads
 * @id:         number of the request, never used again
 * @flags:      LLAMA_ASK_*
 * @seed:       of the random numbers; not 0
 * @size:       bytes of the message
 * @kind:       one of LLAMA_MESSAGE_*; of a LLAMA_MESSAGE_CANCEL, only @id and @size count
 * @uid:        who asks, by the number in the initial user namespace
 * @turns:      how many turns there are
 * @stops_len:  bytes of texts that end the answer, each with its zero byte
 * @grammar_len: bytes of a compiled grammar
 * @max_tokens: most tokens of the answer
 * @timeout_ms: milliseconds that are left; 0 for no bound
 * @temperature_milli: as in struct llama_command, and so are the others, with 0 as itself
 * @top_k:      likewise
 * @top_p_milli: likewise
 * @min_p_milli: likewise
 * @repeat_penalty_milli: likewise
 * @reserved:   0
 *
 * Behind it are @turns times struct llama_backend_turn, the texts of the turns one behind
 * the other, the texts that end the answer, and the grammar.
 */
struct llama_backend_request {
	__u64 id;
	__u64 flags;
	__u64 seed;
	__u32 size;
	__u32 kind;
	__u32 uid;
	__u32 turns;
	__u32 stops_len;
	__u32 grammar_len;
	__u32 max_tokens;
	__u32 timeout_ms;
	__u32 temperature_milli;
	__u32 top_k;
	__u32 top_p_milli;
	__u32 min_p_milli;
	__u32 repeat_penalty_milli;
	__u32 reserved;
	/* 80 bytes */
};

/**
 * struct llama_backend_turn - a turn of a request
 * @role:       who says it, one of LLAMA_ROLE_*
 * @len:        bytes of its text, which is UTF-8
 */
struct llama_backend_turn {
	__u32 role;
	__u32 len;
	/* 8 bytes */
};

/* llama_backend_reply.kind, and what is behind the structure */
#define LLAMA_REPLY_TEXT	1	/* the next part of the answer: 1 to LLAMA_BACKEND_TEXT_MAX bytes */
#define LLAMA_REPLY_VECTOR	2	/* the embedding: floats as in struct llama_embedding */
#define LLAMA_REPLY_ALIVE	3	/* the answer is being worked at: nothing */
#define LLAMA_REPLY_END		4	/* the answer is complete: nothing */
#define LLAMA_REPLY_ERROR	5	/* there is no answer: nothing */

/* llama_backend_reply.flags */
#define LLAMA_REPLY_RATED	(1U << 0)	/* @token and @logprob_micro are those of the text */

/**
 * struct llama_backend_reply - what a backend writes
 * @id:         of the request
 * @kind:       one of LLAMA_REPLY_*
 * @flags:      LLAMA_REPLY_*; of a text
 * @tokens:     of a text: how many tokens it is, 0 for 1; in the end: how many the answer is,
 *              0 for the sum
 * @prompt_tokens: of LLAMA_REPLY_ALIVE, and in the end: tokens of what was asked, 0 if not known
 * @cached_tokens: those of them that had not to be computed
 * @stop_reason: in the end: LLAMA_STOP_END, LLAMA_STOP_LENGTH or LLAMA_STOP_STRING
 * @error:      of LLAMA_REPLY_ERROR: EIO, EOVERFLOW, ENODATA or EPROTONOSUPPORT, as
 *              llama_command() explains them
 * @token:      with LLAMA_REPLY_RATED, as in struct llama_logprob
 * @logprob_micro: likewise
 * @reserved:   0
 *
 * What does not belong to a kind is 0.
 */
struct llama_backend_reply {
	__u64 id;
	__u32 kind;
	__u32 flags;
	__u32 tokens;
	__u32 prompt_tokens;
	__u32 cached_tokens;
	__u32 stop_reason;
	__u32 error;
	__u32 token;
	__s32 logprob_micro;
	__u32 reserved;
	/* 48 bytes */
};

#define LLAMA_IOC_BACKEND	_IOW(LLAMA_IOC_MAGIC, 15, struct llama_backend)

#endif /* _UAPI_LINUX_LLAMUX_H */
