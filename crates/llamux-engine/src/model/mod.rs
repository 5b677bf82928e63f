// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The transformer: hyper-parameters, weights, memory, and the forward pass over a batch of tokens.
//!
//! Llama: <https://arxiv.org/abs/2302.13971>; Qwen2: <https://arxiv.org/abs/2407.10671>.

mod forward;
mod hyper;
mod memory;
mod weights;

pub use hyper::{Architecture, Hyper};
pub use weights::Totals;

use crate::arena::Arena;
use crate::error::Error;
use crate::gguf::Gguf;
use crate::math::{Job, Rotation};
use crate::Run;
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
        let frequencies = &mut *self.memory.frequencies;
        let factors = self.weights.rope_factors()?;
        run.job(Job::rope_frequencies(
            run.kernels,
            Rotation {
                base: self.hyper.rope_base,
                stretch: hyper::ONE,
                original_context: 0,
                magnitude: hyper::ONE,
            },
            factors,
            frequencies,
        ))
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
        let rows = self.memory.wide.len() / crate::size(self.hyper.vocabulary);
        u32::try_from(rows).unwrap_or(1).min(llamux_abi::MAX_BATCH)
    }
}
