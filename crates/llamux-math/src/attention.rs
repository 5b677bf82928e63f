// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What [`abi::Attention`] units share, and putting them together.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// Positions of a block.
pub(crate) const BLOCK: usize = abi::KV_BLOCK as usize;

/// One head's part of a block of the cache, as [`abi::KvCache`] lays it out.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// The keys, or the values.
    pub(crate) data: *mut u8,
    /// Their scales, if they have any.
    pub(crate) scales: *mut u16,
}

/// Keys and values of one head in one block.
///
/// # Safety
///
/// `cache` is as [`abi::KvCache`] says, with a place for `token`; `position` is not behind it, and
/// `kv_head` is one of the heads.
#[inline(always)]
pub(crate) unsafe fn heads_at(
    cache: &abi::KvCache,
    token: usize,
    kv_head: usize,
    position: usize,
) -> (Head, Head) {
    let elements = cache.head_dim as usize * BLOCK;
    let (data, scales) = match cache.kv_type {
        abi::KvType::F16 => (2 * elements, 0),
        abi::KvType::Q8_0 => (elements, 2 * elements / abi::KV_GROUP as usize),
    };
    let bytes = data + scales;
    // SAFETY: The table has the block of every position up to the token's, and the block this head.
    unsafe {
        let table = (*cache.places.add(token)).table as usize;
        let block = *cache.table.add(table + position / BLOCK) as usize;
        let layer = cache.layer.add(block * cache.block_bytes as usize);
        let head = |index: usize| {
            let begin = layer.add(index * bytes);
            Head {
                data: begin,
                scales: begin.add(data).cast(),
            }
        };
        (head(kv_head), head(cache.kv_heads as usize + kv_head))
    }
}

/// What one unit works on.
pub(crate) struct Span<'a> {
    /// `(heads, head_dim)`: the queries.
    pub(crate) q: *const f32,
    /// `(heads)`, each `partial_stride` from the next: values, maximum, sum.
    pub(crate) partial: *mut f32,
    /// See `partial`.
    pub(crate) partial_stride: usize,
    /// Number of query heads of this kv head.
    pub(crate) heads: usize,
    /// The positions that the token sees of the chunk.
    pub(crate) positions: Units,
    cache: &'a abi::KvCache,
    token: usize,
    kv_head: usize,
}

impl<'a> Span<'a> {
    /// Finds a unit's part of the buffers.
    ///
    /// # Safety
    ///
    /// `op` is as [`abi::Attention`] says, and `unit` is one of its units.
    #[inline(always)]
    pub(crate) unsafe fn new(op: &'a abi::Attention, unit: usize) -> Self {
        let cache = &op.cache;
        // Neither is zero; to say so keeps a panic out of the kernel's object.
        let (kv_heads, chunks) = (cache.kv_heads.max(1) as usize, op.chunks.max(1) as usize);
        let head_dim = cache.head_dim as usize;
        let chunk = unit % chunks;
        let kv_head = unit / chunks % kv_heads;
        let token = unit / chunks / kv_heads;
        let heads = op.heads as usize / kv_heads;
        let first_head = token * op.heads as usize + kv_head * heads;
        let begin = chunk * abi::ATTENTION_CHUNK as usize;
        // SAFETY: Each token has a place.
        let visible = unsafe { (*cache.places.add(token)).position } as usize + 1;
        let window = match op.window as usize {
            0 => visible,
            window => window,
        };
        let end = visible.min(begin + abi::ATTENTION_CHUNK as usize);
        let first = begin.max(visible.saturating_sub(window)).min(end);
        let partial_stride = chunks * (head_dim + 2);
        // SAFETY: Within the buffers, by the shapes that `abi::Attention` gives.
        unsafe {
            Self {
                q: op.q.add(first_head * head_dim),
                partial: op
                    .partial
                    .add(first_head * partial_stride + chunk * (head_dim + 2)),
                partial_stride,
                heads,
                positions: first..end,
                cache,
                token,
                kv_head,
            }
        }
    }

    /// The blocks of the positions, with the part of each block that is seen.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (Units, Head, Head)> + '_ {
        let Units { start, end } = self.positions.clone();
        let first = start / BLOCK;
        let blocks = if start < end {
            first..end.div_ceil(BLOCK)
        } else {
            first..first
        };
        blocks.map(move |block| {
            let begin = block * BLOCK;
            // SAFETY: The block has positions that the token sees, and the rest is as for `new`.
            let (k, v) = unsafe { heads_at(self.cache, self.token, self.kv_head, begin) };
            (
                start.max(begin) - begin..end.min(begin + BLOCK) - begin,
                k,
                v,
            )
        })
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
