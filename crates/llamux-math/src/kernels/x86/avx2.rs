// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! AVX2 with FMA and F16C: all x86-64 processors since 2013, but for a few without AVX.

use core::arch::x86_64::*;

use llamux_abi as abi;

use self::vector::{abs, exp, first_lanes, max, sum};
use crate::activation::{Activations, Planes, Q16x32, Q16x32Scale, Q8x256, Q16_MAX};
use crate::kernels::x86::alone;
use crate::kernels::{name, Table, Units};
use crate::types::{self, with_block, Block};
use crate::{attention, elementary, elementwise, experts, rope, sampling};

mod heads;
mod iq4;
mod q2_k;
mod q3_k;
mod q5;
mod quads;
mod rows;
mod tile;
mod vector;

#[cfg(llamux_avx512)]
pub(super) use self::{
    q3_k::scales as q3_k_scales,
    quads::{add_up, by_rows, four, minimum_lanes, scales_of, Scales, ROWS, TOKENS},
    rows::Minimums,
    tile::{transpose, KHeader},
    vector::{prefetch, sum as sum_lanes, widen, AHEAD},
};

/// The exported table.
pub(crate) static KERNELS: abi::Kernels = abi::Kernels {
    name: name("avx2"),
    run,
    tile: 8,
};

/// Its functions.
pub(crate) const TABLE: Table = Table {
    embed,
    rms_norm,
    quantize,
    mat_mul,
    rope: rotate,
    store_kv,
    attention: heads::attention,
    merge_attention,
    swi_glu,
    ge_glu,
    combine,
    top_k,
    log_sum_exp,
    convert,
};

unsafe extern "C" fn run(op: *const abi::Op, begin: u32, end: u32) {
    // SAFETY: As the caller's, which asked for a table with AVX2.
    unsafe { TABLE.run(op, begin, end) }
}

pub(super) unsafe fn mat_mul(op: &abi::MatMul, units: Units) {
    use abi::TensorType as Type;
    let alone = alone(
        op,
        match op.tensor_type {
            Type::Q3_K | Type::Q6_K => 4,
            Type::Q2_K | Type::Q4_K | Type::Q5_K | Type::IQ4_XS => 3,
            _ => 1,
        },
    );
    // SAFETY: As the caller's.
    unsafe {
        match (op.tensor_type, alone) {
            (Type::F32, _) => rows::mat_mul::<types::F32>(op, units),
            (Type::F16, _) => rows::mat_mul::<types::F16>(op, units),
            (Type::BF16, _) => rows::mat_mul::<types::BF16>(op, units),
            (Type::Q4_0, true) => quads::mat_mul::<types::Q4_0>(op, units),
            (Type::Q4_1, true) => quads::mat_mul::<types::Q4_1>(op, units),
            (Type::Q5_0, true) => quads::mat_mul::<types::Q5_0>(op, units),
            (Type::Q5_1, true) => quads::mat_mul::<types::Q5_1>(op, units),
            (Type::IQ4_NL, true) => quads::mat_mul::<types::IQ4NL>(op, units),
            (Type::Q8_0, true) => quads::mat_mul::<types::Q8_0>(op, units),
            (Type::Q2_K, true) => rows::mat_mul::<types::Q2K>(op, units),
            (Type::Q3_K, true) => rows::mat_mul::<types::Q3K>(op, units),
            (Type::Q4_K, true) => rows::mat_mul::<types::Q4K>(op, units),
            (Type::Q5_K, true) => rows::mat_mul::<types::Q5K>(op, units),
            (Type::Q6_K, true) => rows::mat_mul::<types::Q6K>(op, units),
            (Type::IQ4_XS, true) => rows::mat_mul::<types::IQ4XS>(op, units),
            (Type::Q4_0, false) => tile::mat_mul::<types::Q4_0>(op, units),
            (Type::Q4_1, false) => tile::mat_mul::<types::Q4_1>(op, units),
            (Type::Q5_0, false) => tile::mat_mul::<types::Q5_0>(op, units),
            (Type::Q5_1, false) => tile::mat_mul::<types::Q5_1>(op, units),
            (Type::IQ4_NL, false) => tile::mat_mul::<types::IQ4NL>(op, units),
            (Type::Q8_0, false) => tile::mat_mul::<types::Q8_0>(op, units),
            (Type::Q2_K, false) => tile::mat_mul::<types::Q2K>(op, units),
            (Type::Q3_K, false) => tile::mat_mul::<types::Q3K>(op, units),
            (Type::Q4_K, false) => tile::mat_mul::<types::Q4K>(op, units),
            (Type::Q5_K, false) => tile::mat_mul::<types::Q5K>(op, units),
            (Type::Q6_K, false) => tile::mat_mul::<types::Q6K>(op, units),
            (Type::IQ4_XS, false) => tile::mat_mul::<types::IQ4XS>(op, units),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn embed(op: &abi::Embed, units: Units) {
    // SAFETY: As the caller's.
    unsafe { elementwise::embed(op, units) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn convert(op: &abi::Convert, units: Units) {
    // SAFETY: As the caller's.
    unsafe {
        elementwise::convert(op, units, |out, first, x| {
            with_block!(op.to, quantize_to(out, first, x));
        });
    }
}

/// In a function of its own for each type, so that their stack is not used at once.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantize_to<B: Block>(out: *mut u8, first: usize, x: &[f32]) {
    // SAFETY: As the caller's.
    unsafe { elementwise::quantize_to::<B>(out, first, x) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rotate(op: &abi::Rope, units: Units) {
    // SAFETY: As the caller's.
    unsafe { rope::rotate(op, units) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn merge_attention(op: &abi::MergeAttention, units: Units) {
    // SAFETY: As the caller's.
    unsafe { attention::merge(op, units) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rms_norm(op: &abi::RmsNorm, units: Units) {
    let columns = op.columns as usize;
    for row in units {
        // SAFETY: The row and the weights are the caller's.
        unsafe {
            let (x, out) = (op.x.add(row * columns), op.out.add(row * columns));
            let mut sums = [_mm256_setzero_ps(); 4];
            let mut i = 0;
            while i + 32 <= columns {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let x = _mm256_loadu_ps(x.add(i + 8 * lane));
                    *sum = _mm256_fmadd_ps(x, x, *sum);
                }
                i += 32;
            }
            let mut square_sum = sums.map(|lanes| f64::from(sum(lanes))).iter().sum::<f64>();
            while i < columns {
                square_sum += f64::from(*x.add(i) * *x.add(i));
                i += 1;
            }
            let mean = square_sum / f64::from(op.columns);
            let epsilon = f64::from(f32::from_bits(op.epsilon_bits));
            // CAST: The nearest `f32`.
            let scale = (1.0 / elementary::sqrt(mean + epsilon)) as f32;
            let scales = _mm256_set1_ps(scale);
            let accumulate = op.accumulate != 0;
            i = 0;
            while i + 8 <= columns {
                let x = _mm256_mul_ps(_mm256_loadu_ps(x.add(i)), scales);
                let mut y = _mm256_mul_ps(x, _mm256_loadu_ps(op.weight.add(i)));
                if accumulate {
                    y = _mm256_add_ps(y, _mm256_loadu_ps(out.add(i)));
                }
                _mm256_storeu_ps(out.add(i), y);
                i += 8;
            }
            while i < columns {
                let before = if accumulate { *out.add(i) } else { 0.0 };
                *out.add(i) = *x.add(i) * scale * *op.weight.add(i) + before;
                i += 1;
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn quantize(op: &abi::Quantize, units: Units) {
    let columns = op.columns as usize;
    for row in units {
        // SAFETY: The row is the caller's, on both sides.
        unsafe {
            let x = op.x.add(row * columns);
            match op.activation {
                abi::Activation::F32 => {}
                abi::Activation::Q16x32 => {
                    let blocks = columns / Q16x32::LEN;
                    let to = op.out.add(row * Q16x32::row_bytes(blocks));
                    let scales = Q16x32::scales(to, blocks);
                    for i in 0..blocks {
                        let planes = &mut *to.cast::<Planes>().add(i / 4);
                        scales.add(i).write(split32(x.add(32 * i), planes, i % 4));
                    }
                    for i in blocks..blocks.next_multiple_of(4) {
                        Q16x32::quantize(&[0.0; 32]).write(to, i + 1, i);
                    }
                }
                abi::Activation::Q8x256 => {
                    let blocks = columns / Q8x256::LEN;
                    let to = op.out.add(row * Q8x256::row_bytes(blocks)).cast::<Q8x256>();
                    for i in 0..blocks {
                        let (x, to) = (x.add(256 * i), &mut *to.add(i));
                        let largest = largest_of::<32>(x);
                        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                        let scale = largest / 127.0;
                        to.scale = scale;
                        for group in 0..8 {
                            let (q, sums) = quantize32(x.add(32 * group), inverse);
                            _mm256_storeu_si256(to.q.as_mut_ptr().add(32 * group).cast(), q);
                            // CAST: At most 32 * 128.
                            to.sums16[2 * group] = sums[0] as i16;
                            to.sums16[2 * group + 1] = sums[1] as i16;
                            to.sums32[group] = scale * (sums[0] + sums[1]) as f32;
                        }
                    }
                }
            }
        }
    }
}

/// The largest magnitude of `8 * N` values.
///
/// # Safety
///
/// The processor has AVX2; so many can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn largest_of<const N: usize>(x: *const f32) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        let mut largest = _mm256_setzero_ps();
        for i in 0..N {
            largest = _mm256_max_ps(abs(_mm256_loadu_ps(x.add(8 * i))), largest);
        }
        max(largest)
    }
}

/// Quantizes 32 values into block `block` of four.
///
/// # Safety
///
/// The processor has AVX2; so many can be read; `block < 4`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn split32(x: *const f32, planes: &mut Planes, block: usize) -> Q16x32Scale {
    // SAFETY: As the caller's.
    unsafe {
        let largest = largest_of::<4>(x);
        let inverse = _mm256_set1_ps(Q16x32::inverse(largest));
        let mut high = [_mm256_setzero_si256(); 4];
        let mut low = high;
        let mut sums = _mm256_setzero_si256();
        for i in 0..4 {
            let q = _mm256_mul_ps(_mm256_loadu_ps(x.add(8 * i)), inverse);
            let q = _mm256_cvtps_epi32(q);
            high[i] = _mm256_srai_epi32::<8>(_mm256_add_epi32(q, _mm256_set1_epi32(128)));
            let upper = _mm256_slli_epi32::<8>(high[i]);
            low[i] = _mm256_max_epi32(_mm256_sub_epi32(q, upper), _mm256_set1_epi32(-127));
            sums = _mm256_add_epi32(sums, _mm256_add_epi32(upper, low[i]));
        }
        for (plane, q) in planes.iter_mut().zip([high, low]) {
            let q = pack(q);
            let halves = [_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q)];
            for (half, q) in plane.iter_mut().zip(halves) {
                _mm_storeu_si128(half[block].as_mut_ptr().cast(), q);
            }
        }
        let scale = largest / Q16_MAX;
        // Exact: at most 32 * 32512.
        let sum = scale * sum(_mm256_cvtepi32_ps(sums));
        Q16x32Scale { scale, sum }
    }
}

/// Packs four times eight integers into bytes, in order.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack(x: [__m256i; 4]) -> __m256i {
    // SAFETY: As the caller's.
    unsafe {
        // Packing works in each half: the result's dwords come in the order 0, 2, 4, 6, 1, 3, 5, 7.
        let low = _mm256_packs_epi32(x[0], x[1]);
        let high = _mm256_packs_epi32(x[2], x[3]);
        _mm256_permutevar8x32_epi32(
            _mm256_packs_epi16(low, high),
            _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7),
        )
    }
}

/// 32 values times `inverse`, rounded, and the sums of the halves.
///
/// # Safety
///
/// The processor has AVX2; so many can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantize32(x: *const f32, inverse: f32) -> (__m256i, [i32; 2]) {
    // SAFETY: As the caller's.
    unsafe {
        let inverse = _mm256_set1_ps(inverse);
        let load =
            |i: usize| _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x.add(8 * i)), inverse));
        let q = pack([load(0), load(1), load(2), load(3)]);
        let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        let eights = _mm256_add_epi32(fours, _mm256_srli_epi64::<32>(fours));
        let all = _mm256_add_epi32(eights, _mm256_unpackhi_epi64(eights, eights));
        let sums = [
            _mm256_cvtsi256_si32(all),
            _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(all)),
        ];
        (q, sums)
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn store_kv(op: &abi::StoreKv, units: Units) {
    // SAFETY: As the caller's, and the processor has F16C.
    unsafe {
        elementwise::store_kv(op, units, |x| {
            let x = _mm_set_ss(x);
            // CAST: The low 16 bits are the number.
            _mm_cvtsi128_si32(_mm_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) as u16
        });
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn combine(op: &abi::Combine, units: Units) {
    // SAFETY: As the caller's.
    unsafe { experts::combine(op, units) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn swi_glu(op: &abi::SwiGlu, units: Units) {
    // SAFETY: As the caller's.
    unsafe { glu::<false>(op, units) }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn ge_glu(op: &abi::SwiGlu, units: Units) {
    // SAFETY: As the caller's.
    unsafe { glu::<true>(op, units) }
}

/// [`abi::SwiGlu`], or the same with a GELU.
///
/// # Safety
///
/// As [`abi::Kernels::run`]; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn glu<const GELU: bool>(op: &abi::SwiGlu, units: Units) {
    let columns = op.columns as usize;
    let (mut i, end) = (units.start * columns, units.end * columns);
    // SAFETY: Within the caller's rows; each element is read before it is written, as `out` may be
    // `gate`.
    unsafe {
        while i < end {
            let lanes = first_lanes(end - i);
            let whole = end - i >= 8;
            let load = |from: *const f32| match whole {
                true => _mm256_loadu_ps(from.add(i)),
                false => _mm256_maskload_ps(from.add(i), lanes),
            };
            let (gate, up) = (load(op.gate), load(op.up));
            let one = _mm256_set1_ps(1.0);
            let argument = match GELU {
                true => {
                    // As `elementary::gelu_argument`.
                    let [twice, cubic] = elementary::GELU.map(|x| _mm256_set1_ps(x));
                    let square = _mm256_mul_ps(gate, gate);
                    let factor = _mm256_fmadd_ps(cubic, square, one);
                    _mm256_mul_ps(twice, _mm256_mul_ps(factor, gate))
                }
                false => gate,
            };
            let inverse = _mm256_add_ps(one, exp(_mm256_sub_ps(_mm256_setzero_ps(), argument)));
            let out = _mm256_mul_ps(_mm256_div_ps(gate, inverse), up);
            match whole {
                true => _mm256_storeu_ps(op.out.add(i), out),
                false => _mm256_maskstore_ps(op.out.add(i), lanes, out),
            }
            i += 8;
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn top_k(op: &abi::TopK, units: Units) {
    // SAFETY: As the caller's.
    unsafe { sampling::top_k(op, units, |logits, least| first_above(logits, least)) }
}

/// Index of the first that is greater than `threshold`.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn first_above(logits: &[f32], threshold: f32) -> Option<usize> {
    // SAFETY: The processor has the instruction.
    let least = unsafe { _mm256_set1_ps(threshold) };
    let mut chunks = logits.chunks_exact(32);
    let mut passed = 0;
    for chunk in &mut chunks {
        // SAFETY: There are 32.
        let above = unsafe {
            let above = |i: usize| {
                _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_loadu_ps(chunk.as_ptr().add(8 * i)), least)
            };
            let low = _mm256_or_ps(above(0), above(1));
            _mm256_movemask_ps(_mm256_or_ps(low, _mm256_or_ps(above(2), above(3))))
        };
        if above != 0 {
            return chunk
                .iter()
                .position(|&x| x > threshold)
                .map(|i| passed + i);
        }
        passed += 32;
    }
    chunks
        .remainder()
        .iter()
        .position(|&x| x > threshold)
        .map(|i| passed + i)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn log_sum_exp(op: &abi::LogSumExp, units: Units) {
    // SAFETY: As the caller's.
    unsafe {
        sampling::log_sum_exp(
            op,
            units,
            |logits| largest(logits),
            |logits, max| sum_exp(logits, max),
        );
    }
}

/// Largest of the numbers.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn largest(logits: &[f32]) -> f32 {
    let chunks = logits.chunks_exact(8);
    let rest = chunks
        .remainder()
        .iter()
        .fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    // SAFETY: Each chunk has eight. The operands' order lets a NaN be passed over.
    unsafe {
        let lanes = chunks.fold(_mm256_set1_ps(f32::NEG_INFINITY), |lanes, chunk| {
            _mm256_max_ps(_mm256_loadu_ps(chunk.as_ptr()), lanes)
        });
        max(lanes).max(rest)
    }
}

/// Sum of `e^(x - max)`.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum_exp(logits: &[f32], max: f32) -> f64 {
    let chunks = logits.chunks_exact(8);
    let rest = chunks
        .remainder()
        .iter()
        .map(|&x| elementary::exp(f64::from(x) - f64::from(max)))
        .sum::<f64>();
    // SAFETY: Each chunk has eight.
    unsafe {
        let max = _mm256_set1_ps(max);
        let mut sums = [_mm256_setzero_pd(); 2];
        for chunk in chunks {
            let x = exp(_mm256_sub_ps(_mm256_loadu_ps(chunk.as_ptr()), max));
            sums[0] = _mm256_add_pd(sums[0], _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
            sums[1] = _mm256_add_pd(sums[1], _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(x)));
        }
        let mut lanes = [0.0; 4];
        _mm256_storeu_pd(lanes.as_mut_ptr(), _mm256_add_pd(sums[0], sums[1]));
        lanes.iter().sum::<f64>() + rest
    }
}
