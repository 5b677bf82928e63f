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
pub use forward::Batch;
pub use hyper::Hyper;
pub use memory::CacheSize;
pub use weights::Totals;

use crate::arena::Arena;
use crate::error::Error;
use crate::gguf::Gguf;
use crate::math::{F32Bits, Job};
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
        cache: CacheSize,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let weights = Weights::read(gguf, hyper, arena)?;
        Ok(Self {
            hyper: *hyper,
            memory: Memory::lay_out(hyper, cache, &weights.layouts, arena)?,
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

    /// Number of blocks of the cache.
    pub fn blocks(&self) -> u32 {
        self.memory.shape.blocks
    }

    /// Bytes of the key and value cache.
    pub fn kv_bytes(&self) -> usize {
        self.memory.shape.bytes().unwrap_or(0)
    }

    /// Copies a block of the cache, keys and values of all layers.
    pub fn copy_block(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let part = |block: u32| {
            let bytes = self.memory.shape.block_bytes()?;
            let begin = size(block).checked_mul(bytes)?;
            let range = begin..begin.checked_add(bytes)?;
            (block < self.memory.shape.blocks).then_some(range)
        };
        let parts = part(from).zip(part(to));
        let (from, to) = parts.ok_or(Error::Operation("copy_block"))?;
        self.memory.cache.copy_within(from, to.start);
        Ok(())
    }

    /// The logits of a token, `row` behind the first of those that were last computed: `(vocabulary)`.
    pub fn row_of_logits(&mut self, row: u32) -> Result<&mut [F32Bits], Error> {
        let vocabulary = size(self.hyper.vocabulary);
        let mut rows = self.memory.wide.chunks_exact_mut(vocabulary);
        rows.nth(size(row)).ok_or(Error::Operation("logits"))
    }

    /// Most tokens whose logits there is room for at once; at least 1.
    pub fn max_logits(&self) -> u32 {
        let rows = self.memory.wide.len() / size(self.hyper.vocabulary);
        u32::try_from(rows).unwrap_or(1).min(llamux_abi::MAX_BATCH)
    }
}
