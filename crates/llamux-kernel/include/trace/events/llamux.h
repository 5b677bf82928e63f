/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM llamux

#if !defined(_TRACE_LLAMUX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LLAMUX_H

#include <linux/tracepoint.h>

/* A request has ended. No text, and nothing that text could be made of. */
TRACE_EVENT(llamux_request,
	TP_PROTO(u64 owner, u32 prompt_tokens, u32 tokens, int error, u64 queue_ns, u64 total_ns),
	TP_ARGS(owner, prompt_tokens, tokens, error, queue_ns, total_ns),
	TP_STRUCT__entry(
		__field(u64, owner)
		__field(u64, queue_ns)
		__field(u64, total_ns)
		__field(u32, prompt_tokens)
		__field(u32, tokens)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->owner = owner;
		__entry->queue_ns = queue_ns;
		__entry->total_ns = total_ns;
		__entry->prompt_tokens = prompt_tokens;
		__entry->tokens = tokens;
		__entry->error = error;
	),
	TP_printk("owner=%llu prompt_tokens=%u tokens=%u error=%d queue_ns=%llu total_ns=%llu",
		  __entry->owner, __entry->prompt_tokens, __entry->tokens, __entry->error,
		  __entry->queue_ns, __entry->total_ns)
);

/* A token of an answer has come out; @count: with it, of this answer. */
TRACE_EVENT(llamux_token,
	TP_PROTO(u64 owner, u32 count),
	TP_ARGS(owner, count),
	TP_STRUCT__entry(
		__field(u64, owner)
		__field(u32, count)
	),
	TP_fast_assign(
		__entry->owner = owner;
		__entry->count = count;
	),
	TP_printk("owner=%llu count=%u", __entry->owner, __entry->count)
);

/* A section in which the FPU was a thread's, and preemption off, has ended. */
TRACE_EVENT(llamux_fpu_section,
	TP_PROTO(u32 thread, u32 operation, u64 ns),
	TP_ARGS(thread, operation, ns),
	TP_STRUCT__entry(
		__field(u64, ns)
		__field(u32, thread)
		__field(u32, operation)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->thread = thread;
		__entry->operation = operation;
	),
	TP_printk("thread=%u operation=%u ns=%llu", __entry->thread, __entry->operation,
		  __entry->ns)
);

#endif /* _TRACE_LLAMUX_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
