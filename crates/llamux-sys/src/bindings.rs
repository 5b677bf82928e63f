// SPDX-License-Identifier: GPL-2.0-only OR MIT

// Made from include/uapi/linux/llamux.h by tests/bindings.rs.

pub const LLAMA_RAW: u32 = 1;
pub const LLAMA_GREEDY: u32 = 2;
pub const LLAMA_WAIT: u32 = 4;
pub const LLAMA_SESSION: u32 = 8;
pub const LLAMA_STOP_END: u32 = 1;
pub const LLAMA_STOP_LENGTH: u32 = 2;
pub const LLAMA_STOP_TIMEOUT: u32 = 3;
pub const LLAMA_STOP_INTERRUPTED: u32 = 4;
pub const LLAMA_STOP_BUFFER: u32 = 5;
pub const LLAMA_STOP_STRING: u32 = 6;
pub const LLAMA_STOP_CANCELLED: u32 = 7;
pub const LLAMA_PROMPT_MAX: u32 = 1048576;
pub const LLAMA_RESPONSE_MAX: u32 = 262144;
pub const LLAMA_GRAMMAR_MAX: u32 = 1048576;
pub const LLAMA_COMMAND_SIZE_VER0: u32 = 88;
pub const LLAMA_COMMAND_SIZE_VER1: u32 = 104;
pub const LLAMA_COMMAND_SIZE_VER2: u32 = 112;
pub const LLAMA_IOC_MAGIC: u32 = 237;
pub const LLAMA_HELD_MAX: u32 = 32;
pub const LLAMA_STOPS_MAX: u32 = 1040;
pub const LLAMA_ROLE_USER: u32 = 0;
pub const LLAMA_ROLE_SYSTEM: u32 = 1;
pub const LLAMA_ROLE_ASSISTANT: u32 = 2;
pub const LLAMA_TURN_HOLD: u32 = 1;
pub const LLAMA_OPTION_RAW: u32 = 1;
pub const LLAMA_OPTION_GREEDY: u32 = 2;
pub const LLAMA_OPTION_APPEND: u32 = 4;
pub const LLAMA_OPTION_KEEP: u32 = 8;
pub const LLAMA_OPTION_LOGPROBS: u32 = 16;
pub const LLAMA_STATE_IDLE: u32 = 0;
pub const LLAMA_STATE_ANSWERING: u32 = 1;
pub const LLAMA_STATE_ANSWERED: u32 = 2;
pub const LLAMA_MODEL_LOADING: u32 = 0;
pub const LLAMA_MODEL_READY: u32 = 1;
pub const LLAMA_MODEL_UNAVAILABLE: u32 = 2;
pub const LLAMA_LOGPROB_FORCED: u32 = 1;
pub const LLAMA_MODEL_NAME_MAX: u32 = 200;
pub const LLAMA_BACKEND_ACTIVE_MAX: u32 = 256;
pub const LLAMA_BACKEND_TURNS_MAX: u32 = 1024;
pub const LLAMA_BACKEND_MESSAGE_MAX: u32 = 2162688;
pub const LLAMA_BACKEND_TEXT_MAX: u32 = 262144;
pub const LLAMA_BACKEND_CHAT: u32 = 1;
pub const LLAMA_BACKEND_RAW: u32 = 2;
pub const LLAMA_BACKEND_GRAMMAR: u32 = 4;
pub const LLAMA_BACKEND_LOGPROBS: u32 = 8;
pub const LLAMA_MESSAGE_ASK: u32 = 1;
pub const LLAMA_MESSAGE_CANCEL: u32 = 2;
pub const LLAMA_ASK_RAW: u32 = 1;
pub const LLAMA_ASK_GREEDY: u32 = 2;
pub const LLAMA_ASK_KEEP: u32 = 4;
pub const LLAMA_ASK_LOGPROBS: u32 = 8;
pub const LLAMA_ASK_EMBED: u32 = 16;
pub const LLAMA_REPLY_TEXT: u32 = 1;
pub const LLAMA_REPLY_VECTOR: u32 = 2;
pub const LLAMA_REPLY_ALIVE: u32 = 3;
pub const LLAMA_REPLY_END: u32 = 4;
pub const LLAMA_REPLY_ERROR: u32 = 5;
pub const LLAMA_REPLY_RATED: u32 = 1;
pub type __s32 = ::core::ffi::c_int;
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
    pub session: __s32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_turn {
    pub flags: __u64,
    pub text: __u64,
    pub text_len: __u64,
    pub role: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_options {
    pub flags: __u64,
    pub seed: __u64,
    pub grammar: __u64,
    pub grammar_len: __u64,
    pub stops: __u64,
    pub stops_len: __u64,
    pub max_tokens: __u32,
    pub timeout_ms: __u32,
    pub temperature_milli: __u32,
    pub top_k: __u32,
    pub top_p_milli: __u32,
    pub min_p_milli: __u32,
    pub repeat_penalty_milli: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_session {
    pub state: __u32,
    pub model: __u32,
    pub context: __u32,
    pub context_left: __u32,
    pub tokens: __u32,
    pub held_bytes: __u32,
    pub unread: __u32,
    pub prompt_tokens: __u32,
    pub cached_tokens: __u32,
    pub response_tokens: __u32,
    pub stop_reason: __u32,
    pub error: __u32,
    pub logprobs: __u32,
    pub reason_len: __u32,
    pub reason: __u64,
    pub embedding: __u32,
    pub name_len: __u32,
    pub name: __u64,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_logprob {
    pub token: __u32,
    pub logprob_micro: __s32,
    pub offset: __u32,
    pub flags: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_logprobs {
    pub entries: __u64,
    pub first: __u32,
    pub count: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_model_name {
    pub flags: __u64,
    pub name: __u64,
    pub name_len: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_embedding {
    pub flags: __u64,
    pub text: __u64,
    pub text_len: __u64,
    pub vector: __u64,
    pub vector_len: __u32,
    pub tokens: __u32,
    pub timeout_ms: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_backend {
    pub flags: __u64,
    pub name: __u64,
    pub name_len: __u32,
    pub context: __u32,
    pub embedding: __u32,
    pub active: __u32,
    pub timeout_ms: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_backend_request {
    pub id: __u64,
    pub flags: __u64,
    pub seed: __u64,
    pub size: __u32,
    pub kind: __u32,
    pub uid: __u32,
    pub turns: __u32,
    pub stops_len: __u32,
    pub grammar_len: __u32,
    pub max_tokens: __u32,
    pub timeout_ms: __u32,
    pub temperature_milli: __u32,
    pub top_k: __u32,
    pub top_p_milli: __u32,
    pub min_p_milli: __u32,
    pub repeat_penalty_milli: __u32,
    pub reserved: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_backend_turn {
    pub role: __u32,
    pub len: __u32,
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
pub struct llama_backend_reply {
    pub id: __u64,
    pub kind: __u32,
    pub flags: __u32,
    pub tokens: __u32,
    pub prompt_tokens: __u32,
    pub cached_tokens: __u32,
    pub stop_reason: __u32,
    pub error: __u32,
    pub token: __u32,
    pub logprob_micro: __s32,
    pub reserved: __u32,
}
