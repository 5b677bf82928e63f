// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![deny(unsafe_code)]

pub mod arena;
pub mod error;
pub mod gguf;
pub mod math;
pub mod tokenizer;
pub mod unicode;
