// SPDX-License-Identifier: GPL-2.0-only OR MIT

// Made from include/uapi/linux/llamux.h by tests/bindings.rs.

pub const LLAMA_RAW: u32 = 1;
pub const LLAMA_GREEDY: u32 = 2;
pub const LLAMA_WAIT: u32 = 4;
pub const LLAMA_STOP_END: u32 = 1;
pub const LLAMA_STOP_LENGTH: u32 = 2;
pub const LLAMA_STOP_TIMEOUT: u32 = 3;
pub const LLAMA_STOP_INTERRUPTED: u32 = 4;
pub const LLAMA_STOP_BUFFER: u32 = 5;
pub const LLAMA_PROMPT_MAX: u32 = 1048576;
pub const LLAMA_RESPONSE_MAX: u32 = 262144;
pub const LLAMA_GRAMMAR_MAX: u32 = 1048576;
pub const LLAMA_COMMAND_SIZE_VER0: u32 = 88;
pub const LLAMA_COMMAND_SIZE_VER1: u32 = 104;
pub type __u32 = ::core::ffi::c_uint;
pub type __u64 = ::core::ffi::c_ulonglong;
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_command {
    pub flags: __u64,
    pub prompt: __u64,
    pub prompt_len: __u64,
    pub response: __u64,
    pub response_len: __u64,
    pub max_tokens: __u32,
    pub timeout_ms: __u32,
    pub seed: __u64,
    pub temperature_milli: __u32,
    pub top_k: __u32,
    pub top_p_milli: __u32,
    pub min_p_milli: __u32,
    pub repeat_penalty_milli: __u32,
    pub prompt_tokens: __u32,
    pub response_tokens: __u32,
    pub stop_reason: __u32,
    pub grammar: __u64,
    pub grammar_len: __u64,
}
