// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! All operations in plain Rust: the specification of the other instruction sets, and what runs
//! where there is none of them.

use core::slice;

use llamux_abi as abi;

use super::{name, Table, Units};
use crate::activation::{Activations, Q16x32, Q8x256};
use crate::types::{with_block, Block};
use crate::{attention, elementary, elementwise, experts, float16, rope, sampling};

/// The exported table.
pub(crate) static KERNELS: abi::Kernels = abi::Kernels {
    name: name("scalar"),
    run,
    tile: 1,
};

/// Its functions.
pub(crate) static TABLE: Table = Table {
    embed: elementwise::embed,
    rms_norm,
    quantize,
    mat_mul,
    rope: rope::rotate,
    store_kv,
    attention,
    merge_attention: attention::merge,
    swi_glu,
    ge_glu,
    combine: experts::combine,
    top_k,
    log_sum_exp,
    convert,
};

unsafe extern "C" fn run(op: *const abi::Op, begin: u32, end: u32) {
    // SAFETY: As the caller's; nothing but the target's baseline is used.
    unsafe { TABLE.run(op, begin, end) }
}

unsafe fn rms_norm(op: &abi::RmsNorm, units: Units) {
    let columns = op.columns as usize;
    for row in units {
        // SAFETY: The row is the caller's; the shared view ends before anything is written.
        let square_sum: f64 = unsafe { slice::from_raw_parts(op.x.add(row * columns), columns) }
            .iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum();
        let mean = square_sum / f64::from(op.columns);
        let epsilon = f64::from(f32::from_bits(op.epsilon_bits));
        // CAST: The nearest `f32`.
        let scale = (1.0 / elementary::sqrt(mean + epsilon)) as f32;
        for i in 0..columns {
            // SAFETY: Within the row; raw pointers, as `out` may be `x`.
            unsafe {
                let x = *op.x.add(row * columns + i);
                let out = op.out.add(row * columns + i);
                let before = if op.accumulate != 0 { *out } else { 0.0 };
                *out = x * scale * *op.weight.add(i) + before;
            }
        }
    }
}

unsafe fn quantize(op: &abi::Quantize, units: Units) {
    // SAFETY: As the caller's.
    unsafe {
        match op.activation {
            abi::Activation::F32 => {}
            abi::Activation::Q16x32 => quantize_as::<Q16x32>(op, units),
            abi::Activation::Q8x256 => quantize_as::<Q8x256>(op, units),
        }
    }
}

unsafe fn quantize_as<A: Activations>(op: &abi::Quantize, units: Units) {
    let blocks = op.columns as usize / A::LEN;
    for row in units {
        for i in 0..blocks {
            // SAFETY: The row is the caller's, `blocks` blocks long on both sides.
            unsafe {
                let x = op.x.add((row * blocks + i) * A::LEN);
                let block = A::quantize(slice::from_raw_parts(x, A::LEN));
                block.write(op.out.add(row * A::row_bytes(blocks)), blocks, i);
            }
        }
    }
}

unsafe fn mat_mul(op: &abi::MatMul, units: Units) {
    // SAFETY: As the caller's.
    unsafe { with_block!(op.tensor_type, mat_mul_as(op, units)) }
}

unsafe fn mat_mul_as<B: Block>(op: &abi::MatMul, units: Units) {
    let blocks = op.columns as usize / B::Activation::LEN;
    for row in units {
        // SAFETY: The row is within the matrix; blocks may lie at any address.
        let weights =
            unsafe { slice::from_raw_parts(op.weights.cast::<B>().add(row * blocks), blocks) };
        let bias = match op.bias.is_null() {
            true => 0.0,
            // SAFETY: There is a bias for each row.
            false => unsafe { *op.bias.add(row) },
        };
        for token in 0..op.tokens as usize {
            let mut sum = bias;
            for (i, block) in weights.iter().enumerate() {
                // SAFETY: There are as many rows of activations as tokens, `blocks` blocks long.
                let x = unsafe {
                    let row = op.x.add(token * B::Activation::row_bytes(blocks));
                    B::Activation::read(row, blocks, i)
                };
                sum += block.dot(&x);
            }
            // SAFETY: Each token's output has room for each row, and this one is ours.
            let out = unsafe { &mut *op.out.add(token * op.out_stride as usize + row) };
            let before = if op.accumulate != 0 { *out } else { 0.0 };
            *out = sum + before;
        }
    }
}

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
unsafe fn quantize_to<B: Block>(out: *mut u8, first: usize, x: &[f32]) {
    // SAFETY: As the caller's.
    unsafe { elementwise::quantize_to::<B>(out, first, x) }
}

unsafe fn store_kv(op: &abi::StoreKv, units: Units) {
    // SAFETY: As the caller's.
    unsafe { elementwise::store_kv(op, units, float16::from_f32) }
}

unsafe fn attention(op: &abi::Attention, units: Units) {
    let cache = &op.cache;
    let head_dim = cache.head_dim as usize;
    // CAST: The nearest `f32`.
    let scale = (1.0 / elementary::sqrt(f64::from(op.scale_square))) as f32;
    for unit in units {
        // SAFETY: As the caller's.
        let span = unsafe { attention::Span::new(op, unit) };
        for head in 0..span.heads {
            // SAFETY: The unit's queries and partial sums, each as long as said; the partial sums are
            // this unit's alone.
            let (q, values, tail) = unsafe {
                let partial = span.partial.add(head * span.partial_stride);
                (
                    slice::from_raw_parts(span.q.add(head * head_dim), head_dim),
                    slice::from_raw_parts_mut(partial, head_dim),
                    slice::from_raw_parts_mut(partial.add(head_dim), 2),
                )
            };
            values.fill(0.0);
            let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
            for (positions, k, v) in span.blocks() {
                for slot in positions {
                    let dot: f32 = q
                        .iter()
                        .enumerate()
                        // SAFETY: The head's keys have this slot, in every dimension.
                        .map(|(d, q)| q * unsafe { key(cache.kv_type, k, slot, d) })
                        .sum();
                    let score = dot * scale;
                    if score > max {
                        let shrink = exp(max - score);
                        values.iter_mut().for_each(|value| *value *= shrink);
                        sum *= shrink;
                        max = score;
                    }
                    let weight = exp(score - max);
                    sum += weight;
                    for (d, value) in values.iter_mut().enumerate() {
                        // SAFETY: The head's values have this slot, in every dimension.
                        *value += weight * unsafe { cached(cache.kv_type, v, slot, d, head_dim) };
                    }
                }
            }
            tail.copy_from_slice(&[max, sum]);
        }
    }
}

/// Dimensions that share a scale.
const GROUP: usize = abi::KV_GROUP as usize;

/// One dimension of a key.
///
/// # Safety
///
/// `k` is a head's keys, which have it.
unsafe fn key(kv_type: abi::KvType, k: attention::Head, slot: usize, d: usize) -> f32 {
    let scale = d / GROUP * attention::BLOCK + slot;
    // SAFETY: As the caller's.
    unsafe { element(kv_type, k, d * attention::BLOCK + slot, scale) }
}

/// One dimension of a value.
///
/// # Safety
///
/// `v` is a head's values, which have it.
unsafe fn cached(
    kv_type: abi::KvType,
    v: attention::Head,
    slot: usize,
    d: usize,
    head_dim: usize,
) -> f32 {
    let scale = slot * (head_dim / GROUP) + d / GROUP;
    // SAFETY: As the caller's.
    unsafe { element(kv_type, v, slot * head_dim + d, scale) }
}

/// # Safety
///
/// `head` has this element, and this scale if its type has any.
unsafe fn element(kv_type: abi::KvType, head: attention::Head, at: usize, scale: usize) -> f32 {
    // SAFETY: As the caller's.
    unsafe {
        match kv_type {
            abi::KvType::F16 => float16::to_f32(*head.data.cast::<u16>().add(at)),
            abi::KvType::Q8_0 => {
                let scale = float16::to_f32(*head.scales.add(scale));
                scale * f32::from(*head.data.cast::<i8>().add(at))
            }
        }
    }
}

unsafe fn swi_glu(op: &abi::SwiGlu, units: Units) {
    // SAFETY: As the caller's.
    unsafe { glu(op, units, |gate| gate) }
}

unsafe fn ge_glu(op: &abi::SwiGlu, units: Units) {
    // SAFETY: As the caller's.
    unsafe { glu(op, units, elementary::gelu_argument) }
}

/// `gate * sigmoid(argument(gate)) * up`.
unsafe fn glu(op: &abi::SwiGlu, units: Units, argument: impl Fn(f32) -> f32) {
    let columns = op.columns as usize;
    for i in units.start * columns..units.end * columns {
        // SAFETY: Within the caller's rows; raw pointers, as `out` may be `gate`.
        unsafe {
            let gate = *op.gate.add(i);
            *op.out.add(i) = gate / (1.0 + exp(-argument(gate))) * *op.up.add(i);
        }
    }
}

unsafe fn top_k(op: &abi::TopK, units: Units) {
    // SAFETY: As the caller's.
    unsafe {
        sampling::top_k(op, units, |logits, threshold| {
            logits.iter().position(|&logit| logit > threshold)
        });
    }
}

unsafe fn log_sum_exp(op: &abi::LogSumExp, units: Units) {
    let max = |logits: &[f32]| logits.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let sum = |logits: &[f32], max: f32| {
        logits
            .iter()
            .map(|&x| elementary::exp(f64::from(x) - f64::from(max)))
            .sum()
    };
    // SAFETY: As the caller's.
    unsafe { sampling::log_sum_exp(op, units, max, sum) }
}

/// `e^x`.
fn exp(x: f32) -> f32 {
    // CAST: The nearest `f32`.
    elementary::exp(f64::from(x)) as f32
}
