// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attention on vectors of any width: up to six query heads share what is read of the cache.
//!
//! Everything here is inlined into a function that is compiled for the instructions of its [`Lanes`].

use llamux_abi as abi;

use crate::attention::{Head, Span, BLOCK};
use crate::elementary;
use crate::kernels::Units;

/// Most query heads that are computed together: their sums, two (AVX2) or four registers each, and what
/// they are multiplied with fill the registers.
const HEADS: usize = 6;

/// A vector of floats.
///
/// All functions want a processor with the vector's instructions, and pointers to as many elements as it
/// has lanes.
pub(super) trait Lanes: Copy {
    /// How many.
    const LEN: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(at: *const f32) -> Self;
    unsafe fn store(self, at: *mut f32);
    /// 16-bit floats, widened.
    unsafe fn load_f16(at: *const u16) -> Self;
    /// One 16-bit float, widened, in all lanes.
    unsafe fn splat_f16(at: *const u16) -> Self;
    /// Signed bytes.
    unsafe fn load_i8(at: *const i8) -> Self;
    /// `self * factor + sum`.
    unsafe fn fma(self, factor: Self, sum: Self) -> Self;
    unsafe fn mul(self, factor: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// The larger ones; `other` where a lane of `self` is no number.
    unsafe fn max(self, other: Self) -> Self;
    /// `e^x`, of at most 0; never below the least normal number.
    unsafe fn exp(self) -> Self;
    /// Largest of the lanes.
    unsafe fn largest(self) -> f32;
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
}

/// [`abi::Attention`], `W` vectors at a time.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has the instructions of `L`; the length of a head is a multiple
/// of [`Lanes::LEN`], and [`BLOCK`] one of `W` vectors.
#[inline(always)]
pub(super) unsafe fn attention<L: Lanes, const W: usize>(op: &abi::Attention, units: Units) {
    let head_dim = op.cache.head_dim as usize;
    // CAST: The nearest `f32`.
    let scale = (1.0 / elementary::sqrt(f64::from(op.scale_square))) as f32;
    for unit in units {
        // SAFETY: As the caller's; `count` heads are left from `head` on.
        unsafe {
            let span = Span::new(op, unit);
            let shape = (head_dim, scale);
            let mut head = 0;
            while head < span.heads {
                let left = span.heads - head;
                // As even as can be: seven heads are four and three.
                let count = left.div_ceil(left.div_ceil(HEADS));
                macro_rules! heads {
                    ($kind:ident) => {
                        match count {
                            1 => heads::<L, $kind, 1, W>(&span, head, shape),
                            2 => heads::<L, $kind, 2, W>(&span, head, shape),
                            3 => heads::<L, $kind, 3, W>(&span, head, shape),
                            4 => heads::<L, $kind, 4, W>(&span, head, shape),
                            5 => heads::<L, $kind, 5, W>(&span, head, shape),
                            _ => heads::<L, $kind, HEADS, W>(&span, head, shape),
                        }
                    };
                }
                match op.cache.kv_type {
                    abi::KvType::F16 => heads!(F16),
                    abi::KvType::Q8_0 => heads!(Q8_0),
                }
                head += count;
            }
        }
    }
}

/// How the cache keeps its numbers.
trait Kind {
    /// Dimensions that share what is loaded once.
    const GROUP: usize;
    /// What they share.
    type Scales<L: Lanes, const W: usize>: Copy;

    /// What the keys of a group share, for the positions from `slot` on.
    unsafe fn scales<L: Lanes, const W: usize>(
        k: Head,
        group: usize,
        slot: usize,
    ) -> Self::Scales<L, W>;

    /// One dimension of keys.
    unsafe fn keys<L: Lanes, const W: usize>(
        k: Head,
        scales: Self::Scales<L, W>,
        d: usize,
        slot: usize,
    ) -> [L; W];

    /// Some dimensions of a value.
    unsafe fn values<L: Lanes, const W: usize>(
        v: Head,
        head_dim: usize,
        slot: usize,
        d: usize,
    ) -> [L; W];
}

struct F16;

impl Kind for F16 {
    const GROUP: usize = usize::MAX;
    type Scales<L: Lanes, const W: usize> = ();

    #[inline(always)]
    unsafe fn scales<L: Lanes, const W: usize>(_: Head, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn keys<L: Lanes, const W: usize>(k: Head, (): (), d: usize, slot: usize) -> [L; W] {
        core::array::from_fn(|i| {
            // SAFETY: The head has this dimension for all positions of a block.
            unsafe { L::load_f16(k.data.cast::<u16>().add(d * BLOCK + slot + i * L::LEN)) }
        })
    }

    #[inline(always)]
    unsafe fn values<L: Lanes, const W: usize>(
        v: Head,
        head_dim: usize,
        slot: usize,
        d: usize,
    ) -> [L; W] {
        core::array::from_fn(|i| {
            // SAFETY: The head has this position with all dimensions.
            unsafe { L::load_f16(v.data.cast::<u16>().add(slot * head_dim + d + i * L::LEN)) }
        })
    }
}

struct Q8_0;

impl Kind for Q8_0 {
    const GROUP: usize = abi::KV_GROUP as usize;
    type Scales<L: Lanes, const W: usize> = [L; W];

    #[inline(always)]
    unsafe fn scales<L: Lanes, const W: usize>(k: Head, group: usize, slot: usize) -> [L; W] {
        core::array::from_fn(|i| {
            // SAFETY: The group has a scale for all positions of a block.
            unsafe { L::load_f16(k.scales.add(group * BLOCK + slot + i * L::LEN)) }
        })
    }

    #[inline(always)]
    unsafe fn keys<L: Lanes, const W: usize>(
        k: Head,
        scales: [L; W],
        d: usize,
        slot: usize,
    ) -> [L; W] {
        core::array::from_fn(|i| {
            // SAFETY: The head has this dimension for all positions of a block.
            unsafe {
                let k = L::load_i8(k.data.cast::<i8>().add(d * BLOCK + slot + i * L::LEN));
                k.mul(scales[i])
            }
        })
    }

    #[inline(always)]
    unsafe fn values<L: Lanes, const W: usize>(
        v: Head,
        head_dim: usize,
        slot: usize,
        d: usize,
    ) -> [L; W] {
        core::array::from_fn(|i| {
            let d = d + i * L::LEN;
            // SAFETY: The head has this position with all dimensions, and a scale for each group.
            unsafe {
                let scale = slot * (head_dim / Self::GROUP) + d / Self::GROUP;
                let scale = L::splat_f16(v.scales.add(scale));
                L::load_i8(v.data.cast::<i8>().add(slot * head_dim + d)).mul(scale)
            }
        })
    }
}

/// Heads `first..first + N` of a unit.
///
/// # Safety
///
/// As [`attention`]; there are so many heads.
#[inline(always)]
unsafe fn heads<L: Lanes, K: Kind, const N: usize, const W: usize>(
    span: &Span<'_>,
    first: usize,
    (head_dim, scale): (usize, f32),
) {
    // SAFETY: All pointers stay within what `Span` says.
    unsafe {
        let q = span.q.add(first * head_dim);
        let partial: [*mut f32; N] =
            core::array::from_fn(|head| span.partial.add((first + head) * span.partial_stride));
        for values in partial {
            core::slice::from_raw_parts_mut(values, head_dim).fill(0.0);
        }
        let (mut max, mut sum) = ([f32::NEG_INFINITY; N], [0.0_f32; N]);
        // (heads, positions): scores, and then weights.
        let mut scores = [[f32::NEG_INFINITY; BLOCK]; N];
        for (positions, k, v) in span.blocks() {
            let tile = W * L::LEN;
            for slot in (positions.start / tile * tile..positions.end).step_by(tile) {
                score::<L, K, N, W>(&mut scores, q, k, slot, (head_dim, scale));
            }
            // What is not seen, of the first block and of the last.
            for scores in &mut scores {
                scores[..positions.start].fill(f32::NEG_INFINITY);
                scores[positions.end..].fill(f32::NEG_INFINITY);
            }
            let mut shrink = [0.0; N];
            for head in 0..N {
                shrink[head] = weigh::<L>(&mut scores[head], &mut max[head], &mut sum[head]);
            }
            let mut d = 0;
            while d < head_dim {
                if d + tile <= head_dim {
                    add_values::<L, K, N, W>(
                        partial,
                        shrink,
                        v,
                        head_dim,
                        d,
                        (&scores, &positions),
                    );
                    d += tile;
                } else {
                    add_values::<L, K, N, 1>(
                        partial,
                        shrink,
                        v,
                        head_dim,
                        d,
                        (&scores, &positions),
                    );
                    d += L::LEN;
                }
            }
        }
        for (head, values) in partial.into_iter().enumerate() {
            *values.add(head_dim) = max[head];
            *values.add(head_dim + 1) = sum[head];
        }
    }
}

/// The products of the keys from `slot` on with the queries of `N` heads, scaled.
///
/// # Safety
///
/// As [`attention`]; `k` is a head's keys, and `q` the queries.
#[inline(always)]
unsafe fn score<L: Lanes, K: Kind, const N: usize, const W: usize>(
    scores: &mut [[f32; BLOCK]; N],
    q: *const f32,
    k: Head,
    slot: usize,
    (head_dim, scale): (usize, f32),
) {
    // SAFETY: As the caller's.
    unsafe {
        let mut sums = [[L::splat(0.0); W]; N];
        let mut d = 0;
        let mut group = 0;
        while d < head_dim {
            let scales = K::scales::<L, W>(k, group, slot);
            let end = head_dim.min(d.saturating_add(K::GROUP));
            while d < end {
                let keys = K::keys::<L, W>(k, scales, d, slot);
                for (head, sums) in sums.iter_mut().enumerate() {
                    let q = L::splat(*q.add(head * head_dim + d));
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum = key.fma(q, *sum);
                    }
                }
                d += 1;
            }
            group += 1;
        }
        let scale = L::splat(scale);
        for (sums, scores) in sums.into_iter().zip(scores) {
            for (i, sum) in sums.into_iter().enumerate() {
                sum.mul(scale)
                    .store(scores.as_mut_ptr().add(slot + i * L::LEN));
            }
        }
    }
}

/// Makes weights of the scores of a block, raises `max`, and adds to `sum`. Returns what everything from
/// before is to be multiplied by.
///
/// # Safety
///
/// As [`attention`].
#[inline(always)]
unsafe fn weigh<L: Lanes>(scores: &mut [f32; BLOCK], max: &mut f32, sum: &mut f32) -> f32 {
    // SAFETY: A block is a multiple of the lanes.
    unsafe {
        let at = scores.as_mut_ptr();
        let mut larger = L::splat(*max);
        for i in (0..BLOCK).step_by(L::LEN) {
            larger = L::load(at.add(i)).max(larger);
        }
        let larger = larger.largest();
        let shrink = L::splat(*max - larger).exp().largest();
        *max = larger;
        let larger = L::splat(larger);
        let one = L::splat(1.0);
        let mut sums = L::splat(0.0);
        for i in (0..BLOCK).step_by(L::LEN) {
            let weights = L::load(at.add(i)).sub(larger).exp();
            weights.store(at.add(i));
            sums = weights.fma(one, sums);
        }
        *sum = *sum * shrink + sums.sum();
        shrink
    }
}

/// Shrinks the sums of values of `W` vectors of dimensions from `d` on, and adds the values of some
/// positions, weighted.
///
/// # Safety
///
/// As [`attention`]; there are so many dimensions; `v` is a head's values.
#[inline(always)]
unsafe fn add_values<L: Lanes, K: Kind, const N: usize, const W: usize>(
    partial: [*mut f32; N],
    shrink: [f32; N],
    v: Head,
    head_dim: usize,
    d: usize,
    (weights, positions): (&[[f32; BLOCK]; N], &Units),
) {
    // SAFETY: As the caller's.
    unsafe {
        let mut sums = [[L::splat(0.0); W]; N];
        for (head, sums) in sums.iter_mut().enumerate() {
            let shrink = L::splat(shrink[head]);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = L::load(partial[head].add(d + i * L::LEN)).mul(shrink);
            }
        }
        let weights = weights.as_ptr().cast::<f32>();
        for slot in positions.clone() {
            let values = K::values::<L, W>(v, head_dim, slot, d);
            for (head, sums) in sums.iter_mut().enumerate() {
                let weight = L::splat(*weights.add(head * BLOCK + slot));
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = value.fma(weight, *sum);
                }
            }
        }
        for (head, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                sum.store(partial[head].add(d + i * L::LEN));
            }
        }
    }
}
