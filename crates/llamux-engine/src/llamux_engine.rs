// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine: runs a language model from a GGUF file.
//!
//! It takes the file's bytes, and an arena for everything that it writes to, whose size [`Plan`] tells
//! beforehand; it allocates nothing. It computes with no float: an operation on floats is a
//! [`Job`](math::Job) for the math crate, which the caller's [`Executor`](math::Executor) runs where
//! and how it pleases.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![deny(unsafe_code)]
#![allow(
    non_ascii_idents,
    reason = "zerocopy's derives make such names of the fields'"
)]

pub mod arena;
mod blocks;
pub mod channel;
pub mod chat;
mod engine;
pub mod error;
pub mod fair;
pub mod generate;
pub mod gguf;
pub mod grammar;
pub mod haiku;
mod lookup;
pub mod math;
pub mod model;
pub mod quantization;
mod sampler;
pub mod scheduler;
mod slot;
pub mod stops;
pub mod tokenizer;
pub mod turn;
pub mod unicode;

pub use blocks::PUBLIC;
pub use engine::{Engine, Info, Options, Plan, MAX_INSTRUCTIONS};
pub use error::Error;
pub use llamux_abi::KvType;
pub use slot::MAX_SEQUENCES;

use math::{Executor, Job, Kernels};

/// What runs the jobs of one call.
pub struct Run<'r> {
    /// The table to compute with.
    pub kernels: Kernels,
    /// The threads.
    pub executor: &'r dyn Executor,
    /// Whether to give up, asked before each job.
    pub stop: &'r mut dyn FnMut() -> bool,
}

impl Run<'_> {
    /// Runs a job to its end.
    pub fn job(&mut self, job: Result<Job<'_>, Error>) -> Result<(), Error> {
        self.jobs(&[job?])
    }

    /// Runs jobs to their end, in any order or at the same time.
    pub fn jobs(&mut self, jobs: &[Job<'_>]) -> Result<(), Error> {
        if (self.stop)() {
            return Err(Error::Interrupted);
        }
        self.executor.execute(jobs);
        Ok(())
    }
}

/// A 32-bit number as a size.
pub(crate) const fn size(number: u32) -> usize {
    const { assert!(size_of::<usize>() >= size_of::<u32>()) };
    // CAST: As asserted.
    number as usize
}
