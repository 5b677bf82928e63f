// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What [`abi::Attention`] units share, and putting them together.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// What one unit works on.
pub(crate) struct Span {
    /// `(heads, head_dim)`: the queries.
    pub(crate) q: *const f32,
    /// `(positions, head_dim)` of 16-bit floats: the keys that the token sees.
    pub(crate) k: *const u16,
    /// `(positions, head_dim)` of 16-bit floats: the values.
    pub(crate) v: *const u16,
    /// `(heads)`, each `partial_stride` from the next: values, maximum, sum.
    pub(crate) partial: *mut f32,
    /// See `partial`.
    pub(crate) partial_stride: usize,
    /// Number of query heads of this kv head.
    pub(crate) heads: usize,
    /// Number of positions, 0 for a chunk that the token does not see.
    pub(crate) positions: usize,
}

impl Span {
    /// Finds a unit's part of the buffers.
    ///
    /// # Safety
    ///
    /// `op` is as [`abi::Attention`] says, and `unit` is one of its units.
    #[inline(always)]
    pub(crate) unsafe fn new(op: &abi::Attention, unit: usize) -> Self {
        // Neither is zero; to say so keeps a panic out of the kernel's object.
        let (kv_heads, chunks) = (op.kv_heads.max(1) as usize, op.chunks.max(1) as usize);
        let head_dim = op.head_dim as usize;
        let chunk = unit % chunks;
        let kv_head = unit / chunks % kv_heads;
        let token = unit / chunks / kv_heads;
        let heads = op.heads as usize / kv_heads;
        let first_head = token * op.heads as usize + kv_head * heads;
        let begin = chunk * abi::ATTENTION_CHUNK as usize;
        let visible = op.position as usize + token + 1;
        let window = match op.window as usize {
            0 => visible,
            window => window,
        };
        let first = begin.max(visible.saturating_sub(window));
        let end = visible.min(begin + abi::ATTENTION_CHUNK as usize);
        let positions = end.saturating_sub(first);
        // A chunk that the token does not see may lie beyond the cache, too.
        let row = kv_head * op.context as usize + if positions > 0 { first } else { 0 };
        let partial_stride = chunks * (head_dim + 2);
        // SAFETY: Within the buffers, by the shapes that `abi::Attention` gives.
        unsafe {
            Self {
                q: op.q.add(first_head * head_dim),
                k: op.k_cache.add(row * head_dim),
                v: op.v_cache.add(row * head_dim),
                partial: op
                    .partial
                    .add(first_head * partial_stride + chunk * (head_dim + 2)),
                partial_stride,
                heads,
                positions,
            }
        }
    }
}

/// [`abi::MergeAttention`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn merge(op: &abi::MergeAttention, units: Units) {
    let (chunks, head_dim) = (op.chunks as usize, op.head_dim as usize);
    for unit in units {
        // SAFETY: The unit's partial sums and its output.
        let (partial, out) = unsafe {
            let len = chunks * (head_dim + 2);
            (
                slice::from_raw_parts(op.partial.add(unit * len), len),
                slice::from_raw_parts_mut(op.out.add(unit * head_dim), head_dim),
            )
        };
        let partials = || {
            partial.chunks_exact(head_dim + 2).filter_map(|chunk| {
                let (values, tail) = chunk.split_at(head_dim);
                let &[max, sum] = tail else { return None };
                Some((values, max, sum))
            })
        };
        let max = partials().fold(f32::NEG_INFINITY, |largest, (_, max, _)| largest.max(max));
        // CAST: The nearest `f32`.
        let weight = |x: f32| elementary::exp(f64::from(x) - f64::from(max)) as f32;
        let total: f32 = partials().map(|(_, max, sum)| weight(max) * sum).sum();
        out.fill(0.0);
        for (values, max, _) in partials() {
            let weight = weight(max) / total;
            for (out, value) in out.iter_mut().zip(values) {
                *out += weight * value;
            }
        }
    }
}
