// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints, for Rust. Each costs a call and a branch that is not taken
 * while nobody traces.
 */
#define CREATE_TRACE_POINTS
#include <trace/events/llamux.h>

#include "shim.h"

void llamux_trace_request(u64 owner, u32 prompt_tokens, u32 tokens, int error, u64 queue_ns,
			  u64 total_ns)
{
	trace_llamux_request(owner, prompt_tokens, tokens, error, queue_ns, total_ns);
}

void llamux_trace_token(u64 owner, u32 count)
{
	trace_llamux_token(owner, count);
}

void llamux_trace_fpu_section(u32 thread, u32 operation, u64 ns)
{
	trace_llamux_fpu_section(thread, operation, ns);
}
