// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How good the answers are.
//!
//! The tasks that are held out (`tasks/*-held-out.toml`) were written apart from the words, tables, examples and prompts
//! of the assistant, and nothing is tuned by them: a failure there is reported and not mended for its own sake.

pub mod action;
pub mod command;
pub mod diagnosis;
pub mod host;
pub mod time;
