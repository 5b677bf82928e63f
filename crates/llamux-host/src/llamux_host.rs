// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine as a host program.

pub mod command;
pub mod gguf_writer;
pub mod kernels;
pub mod model;
pub mod pool;
pub mod split;
pub mod synth;
pub mod text;
