// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attention: up to four query heads share what is read of the cache.

use core::arch::x86_64::*;

use llamux_abi as abi;

use super::vector::{exp, load_f16};
use crate::attention::Span;
use crate::elementary;
use crate::kernels::{scalar, Units};

/// Positions whose scores are on the stack at a time.
const POSITIONS: usize = 64;

/// [`abi::Attention`].
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::x86) unsafe fn attention(op: &abi::Attention, units: Units) {
    let head_dim = op.head_dim as usize;
    if head_dim % 8 != 0 {
        // SAFETY: As the caller's.
        return unsafe { (scalar::TABLE.attention)(op, units) };
    }
    for unit in units {
        // SAFETY: As the caller's; `count` heads are left from `head` on.
        unsafe {
            let span = Span::new(op, unit);
            let mut head = 0;
            while head < span.heads {
                let count = (span.heads - head).min(4);
                let shape = (head_dim, op.scale_square);
                match count {
                    1 => heads::<1>(&span, head, shape),
                    2 => heads::<2>(&span, head, shape),
                    3 => heads::<3>(&span, head, shape),
                    _ => heads::<4>(&span, head, shape),
                }
                head += count;
            }
        }
    }
}

/// Heads `first..first + N` of a unit.
///
/// # Safety
///
/// As [`attention`]; there are so many heads; `head_dim` is a multiple of 8.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn heads<const N: usize>(span: &Span, first: usize, (head_dim, scale_square): (usize, u32)) {
    // SAFETY: All pointers stay within what `Span` says.
    unsafe {
        let q = span.q.add(first * head_dim);
        let partial: [*mut f32; N] =
            core::array::from_fn(|head| span.partial.add((first + head) * span.partial_stride));
        for values in partial {
            core::slice::from_raw_parts_mut(values, head_dim).fill(0.0);
        }
        // CAST: The nearest `f32`.
        let scale = _mm_set1_ps((1.0 / elementary::sqrt(f64::from(scale_square))) as f32);

        // One lane a head.
        let mut max = _mm_set1_ps(f32::NEG_INFINITY);
        let mut sum = _mm_setzero_ps();
        // (positions, heads)
        let mut scores = [_mm_setzero_ps(); POSITIONS];
        let mut position = 0;
        while position < span.positions {
            let scores = &mut scores[..(span.positions - position).min(POSITIONS)];
            let k = span.k.add(position * head_dim);
            let v = span.v.add(position * head_dim);

            let mut larger = max;
            for (i, score) in scores.iter_mut().enumerate() {
                *score = _mm_mul_ps(products::<N>(q, k.add(i * head_dim), head_dim), scale);
                larger = _mm_max_ps(*score, larger);
            }
            let shrink =
                _mm256_castps256_ps128(exp(_mm256_castps128_ps256(_mm_sub_ps(max, larger))));
            max = larger;
            sum = _mm_mul_ps(sum, shrink);
            let max_twice = _mm256_set_m128(max, max);
            for pair in scores.chunks_mut(2) {
                let last = pair.len() - 1;
                let weights = exp(_mm256_sub_ps(
                    _mm256_set_m128(pair[last], pair[0]),
                    max_twice,
                ));
                let (low, high) = (
                    _mm256_castps256_ps128(weights),
                    _mm256_extractf128_ps::<1>(weights),
                );
                pair[0] = low;
                sum = _mm_add_ps(sum, low);
                if last == 1 {
                    pair[1] = high;
                    sum = _mm_add_ps(sum, high);
                }
            }

            let shrink = lanes(shrink);
            let mut at = 0;
            while at < head_dim {
                if at + 16 <= head_dim {
                    add_values::<N, 2>(partial, shrink, v, head_dim, at, scores);
                    at += 16;
                } else {
                    add_values::<N, 1>(partial, shrink, v, head_dim, at, scores);
                    at += 8;
                }
            }
            position += scores.len();
        }
        let (max, sum) = (lanes(max), lanes(sum));
        for (head, values) in partial.into_iter().enumerate() {
            *values.add(head_dim) = max[head];
            *values.add(head_dim + 1) = sum[head];
        }
    }
}

/// The four lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn lanes(x: __m128) -> [f32; 4] {
    let mut lanes = [0.0; 4];
    // SAFETY: There are four.
    unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), x) };
    lanes
}

/// The products of a key with the queries of `N` heads, one a lane.
///
/// # Safety
///
/// The processor has AVX2; all are `head_dim` long, a multiple of 8.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn products<const N: usize>(q: *const f32, k: *const u16, head_dim: usize) -> __m128 {
    // SAFETY: As the caller's.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut at = 0;
        while at < head_dim {
            let k = load_f16(k.add(at));
            for (head, sum) in sums.iter_mut().take(N).enumerate() {
                *sum = _mm256_fmadd_ps(_mm256_loadu_ps(q.add(head * head_dim + at)), k, *sum);
            }
            at += 8;
        }
        let sums = _mm256_hadd_ps(
            _mm256_hadd_ps(sums[0], sums[1]),
            _mm256_hadd_ps(sums[2], sums[3]),
        );
        _mm_add_ps(
            _mm256_castps256_ps128(sums),
            _mm256_extractf128_ps::<1>(sums),
        )
    }
}

/// Shrinks the sums of values of `8 * W` dimensions from `at` on, and adds the values of some
/// positions, weighted.
///
/// # Safety
///
/// The processor has AVX2; there are so many dimensions; `v` is `(weights.len(), head_dim)`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_values<const N: usize, const W: usize>(
    partial: [*mut f32; N],
    shrink: [f32; 4],
    v: *const u16,
    head_dim: usize,
    at: usize,
    weights: &[__m128],
) {
    // SAFETY: As the caller's; a register of weights is four floats.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); W]; N];
        for (head, sums) in sums.iter_mut().enumerate() {
            for (i, sum) in sums.iter_mut().enumerate() {
                let values = _mm256_loadu_ps(partial[head].add(at + 8 * i));
                *sum = _mm256_mul_ps(values, _mm256_set1_ps(shrink[head]));
            }
        }
        for (position, weights) in weights.iter().enumerate() {
            let weights = core::ptr::from_ref(weights).cast::<f32>();
            let v: [__m256; W] =
                core::array::from_fn(|i| load_f16(v.add(position * head_dim + at + 8 * i)));
            for (head, sums) in sums.iter_mut().enumerate() {
                let weight = _mm256_set1_ps(*weights.add(head));
                for (sum, v) in sums.iter_mut().zip(v) {
                    *sum = _mm256_fmadd_ps(weight, v, *sum);
                }
            }
        }
        for (head, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                _mm256_storeu_ps(partial[head].add(at + 8 * i), *sum);
            }
        }
    }
}
