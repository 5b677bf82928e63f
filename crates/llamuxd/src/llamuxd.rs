// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Serves the kernel's language model by the protocol that OpenAI's clients speak.
//!
//! [`server`] has the routes; [`engine`] is what they ask, and [`kernel`] the one engine of the program. Who the
//! kernel charges is in [`user`], what is answered elsewhere in [`upstream`].

mod api;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod gate;
pub mod json;
pub mod kernel;
pub mod keys;
pub mod listen;
pub mod metrics;
mod page;
pub mod schema;
pub mod server;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod upstream;
pub mod user;
