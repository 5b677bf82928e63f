// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks the language model that a Llamux kernel runs, and reads the state of that kernel.
//!
//! ```no_run
//! let answer = llamux::Command::new("Why is the sky blue?")
//!     .max_tokens(100)
//!     .ask()?;
//! println!("{}", answer.text);
//! # Ok::<(), llamux::Error>(())
//! ```
//!
//! A [`Session`] holds a conversation, and has its answers as they come.
//!
//! The calls below are `llama_command(2)`, `/dev/llama` and `/proc/llamux/status`; there is no daemon,
//! and nothing else to install. A [`Backend`] is the other side: a program that answers for the kernel.

pub mod backend;
mod command;
mod error;
pub mod grammar;
mod models;
mod session;
mod status;
mod tables;

pub use backend::{Backend, BackendError, BACKEND_PATH};
pub use command::{Answer, Command, StopReason};
pub use error::Error;
pub use grammar::{Grammar, GrammarError};
pub use models::{models, MODELS_PATH};
pub use session::{Info, Role, Session, TokenProbability, DEVICE_PATH};
pub use status::{State, Status, STATUS_PATH};
pub use tables::{Between, Histogram, Limits, ListedModel, OpenSession, Owner, Usage};

// The programs that the pages show are tests of documentation, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/interfaces.md")]
mod interfaces {}
#[cfg(doctest)]
#[doc = include_str!("../../../docs/backend.md")]
mod backends {}

/// Most bytes of a prompt that the kernel takes.
pub const PROMPT_MAX: usize = llamux_sys::LLAMA_PROMPT_MAX as usize;
/// Most turns that a conversation holds for the next answer.
pub const HELD_MAX: usize = llamux_sys::LLAMA_HELD_MAX as usize;
