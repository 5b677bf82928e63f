// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The transformer: hyper-parameters, weights, memory, and the forward pass over a batch of tokens.

mod architecture;
mod experts;
mod forward;
mod hyper;
mod keys;
mod memory;
mod weights;

pub use architecture::{Architecture, Presence, Window};
pub use hyper::Hyper;
pub use weights::Totals;

use crate::arena::Arena;
use crate::error::Error;
use crate::gguf::Gguf;
use crate::math::Job;
use crate::{size, Run};
use memory::Memory;
use weights::Weights;

/// A model and the memory that it computes in.
pub struct Model<'a> {
    hyper: Hyper,
    weights: Weights<'a>,
    memory: Memory<'a>,
}

impl<'a> Model<'a> {
    /// Checks the file's tensors and takes what the model needs from `arena`. With an arena that only
    /// counts, the model can not be used.
    pub fn lay_out(
        gguf: &Gguf<'a>,
        hyper: &Hyper,
        context: u32,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let weights = Weights::read(gguf, hyper, arena)?;
        Ok(Self {
            hyper: *hyper,
            memory: Memory::lay_out(hyper, context, &weights.layouts, arena)?,
            weights,
        })
    }

    /// Computes what does not depend on any token.
    pub fn prepare(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
        let factors = self.weights.rope_factors()?;
        let hyper = &self.hyper;
        let rotations = [Some(hyper.rotation), hyper.window_rotation];
        let row = size(hyper.rope_pairs) + 1;
        let rows = self.memory.frequencies.chunks_exact_mut(row);
        for (rotation, frequencies) in rotations.into_iter().flatten().zip(rows) {
            run.job(Job::rope_frequencies(
                run.kernels,
                rotation,
                factors,
                frequencies,
            ))?;
        }
        Ok(())
    }

    /// The hyper-parameters.
    pub fn hyper(&self) -> &Hyper {
        &self.hyper
    }

    /// The length of the context.
    pub fn context(&self) -> u32 {
        self.memory.context
    }

    /// Numbers about the weights.
    pub fn totals(&self) -> Totals {
        self.weights.totals
    }

    /// Bytes of the key and value cache.
    pub fn kv_bytes(&self) -> usize {
        self.memory.kv_bytes
    }

    /// Most tokens whose logits there is room for at once; at least 1.
    pub fn max_logits(&self) -> u32 {
        let rows = self.memory.wide.len() / size(self.hyper.vocabulary);
        u32::try_from(rows).unwrap_or(1).min(llamux_abi::MAX_BATCH)
    }
}
