// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the forward pass writes to: the key and value cache, and scratch memory for one batch.

use llamux_abi as abi;

use super::experts;
use super::hyper::Hyper;
use super::weights::Layouts;
use crate::arena::Arena;
use crate::error::{Error, Name};
use crate::math::{activation_bytes, CacheShape, F32Bits};
use crate::size;

/// Tokens of a batch.
pub(super) const BATCH: usize = abi::MAX_BATCH as usize;

/// Attention of a long context takes its batch in parts, so that this many floats hold what is
/// between its two steps, if they hold one token.
const PARTIAL: usize = 1 << 20;

/// Tokens whose logits there is room for at once, at least.
const LOGITS: usize = 8;

/// The size of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// Most positions of one sequence.
    pub context: u32,
    /// Number of blocks of [`abi::KV_BLOCK`] positions, of all sequences together.
    pub blocks: u32,
    /// How the cache keeps its numbers.
    pub kv_type: abi::KvType,
}

/// The cache and the scratch memory.
pub(super) struct Memory<'a> {
    /// Most positions of one sequence.
    pub(super) context: u32,
    /// The shape of `cache`.
    pub(super) shape: CacheShape,
    /// Keys and values, `shape.bytes()`.
    pub(super) cache: &'a mut [u8],
    /// `(rotations, rope_pairs + 1)`.
    pub(super) frequencies: &'a mut [F32Bits],
    /// `(BATCH)`.
    pub(super) positions: &'a mut [u32],
    /// `(rotations, BATCH, rope_pairs, 2)`.
    pub(super) angles: &'a mut [F32Bits],
    /// `(BATCH, embedding)`: the residual stream.
    pub(super) stream: &'a mut [F32Bits],
    /// `(BATCH, embedding)` or `(BATCH, heads * head_dim)`: what a matrix is multiplied with.
    pub(super) narrow: &'a mut [F32Bits],
    /// `(BATCH, heads * head_dim)`.
    pub(super) query: &'a mut [F32Bits],
    /// `(BATCH, kv_heads * head_dim)`.
    pub(super) key: &'a mut [F32Bits],
    /// `(BATCH, kv_heads * head_dim)`.
    pub(super) value: &'a mut [F32Bits],
    /// `(tokens, heads, chunks, head_dim + 2)`, as many tokens as fit.
    pub(super) partial: &'a mut [F32Bits],
    /// `(2, BATCH, feed_forward)`; before, what attention gives where that is normed,
    /// `(BATCH, embedding)`; afterwards the logits, `(wanted, vocabulary)`.
    pub(super) wide: &'a mut [F32Bits],
    /// For a feed-forward part of experts.
    pub(super) experts: experts::Scratch<'a>,
    /// `narrow` or half of `wide`, laid out for the weights.
    pub(super) quantized: Quantized<'a>,
}

/// Activations, once in each layout that the model needs.
pub(super) struct Quantized<'a> {
    /// See [`Batch::sums`](super::Batch).
    pub(super) sums: abi::Sums,
    pub(super) q16x32: &'a mut [u8],
    pub(super) q8x256: &'a mut [u8],
}

impl<'a> Memory<'a> {
    pub(super) fn lay_out(
        hyper: &Hyper,
        size_of_cache: CacheSize,
        layouts: &Layouts,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let CacheSize {
            context,
            blocks,
            kv_type,
        } = size_of_cache;
        let shape = CacheShape {
            kv_type,
            blocks,
            layers: hyper.layers,
            kv_heads: hyper.kv_heads,
            head_dim: hyper.head_dim,
        };
        if kv_type == abi::KvType::Q8_0 && hyper.head_dim % abi::KV_GROUP != 0 {
            return Err(Error::Unsupported {
                what: "cache type",
                name: Name::format(format_args!("q8_0 for heads of {}", hyper.head_dim)),
            });
        }
        let bytes = shape.bytes().ok_or(Error::Operation("cache"))?;
        let cache = arena.slice(bytes)?;

        // OVERFLOW: Here and below, the caps of the hyper-parameters keep the products far within
        // 64 bits.
        let query = size(hyper.query());
        let key_value = size(hyper.key_value());
        let embedding = size(hyper.embedding);
        let pairs = size(hyper.rope_pairs);
        let chunks = size(context.div_ceil(abi::ATTENTION_CHUNK));
        let partial = size(hyper.heads) * chunks * (size(hyper.head_dim) + 2);
        let rotations = if hyper.window_rotation.is_some() {
            2
        } else {
            1
        };
        let normed = if hyper.architecture.post_norms {
            BATCH * embedding
        } else {
            0
        };
        let wide = (2 * BATCH * size(hyper.feed_forward)).max(normed);
        let bytes = |activation, columns| {
            activation_bytes(activation, columns)
                .map(|bytes| bytes * BATCH)
                .ok_or(Error::Operation("layouts"))
        };
        Ok(Self {
            context,
            shape,
            cache,
            frequencies: arena.slice(rotations * (pairs + 1))?,
            positions: arena.slice(BATCH)?,
            angles: arena.slice(rotations * BATCH * pairs * 2)?,
            stream: arena.slice(BATCH * embedding)?,
            narrow: arena.slice(BATCH * embedding.max(query))?,
            query: arena.slice(BATCH * query)?,
            key: arena.slice(BATCH * key_value)?,
            value: arena.slice(BATCH * key_value)?,
            partial: arena.slice((partial * BATCH).min(partial.max(PARTIAL)))?,
            wide: arena.slice(wide.max(LOGITS * size(hyper.vocabulary)))?,
            experts: experts::Scratch::lay_out(hyper, arena)?,
            quantized: Quantized {
                sums: abi::Sums::Together,
                q16x32: arena.slice(bytes(abi::Activation::Q16x32, layouts.q16x32)?)?,
                q8x256: arena.slice(bytes(abi::Activation::Q8x256, layouts.q8x256)?)?,
            },
        })
    }
}
