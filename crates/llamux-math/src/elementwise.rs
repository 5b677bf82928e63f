// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is the same for all instruction sets: each table compiles it again with its own instructions.

use core::slice;

use llamux_abi as abi;

use crate::activation::Activations;
use crate::attention::{self, Head, BLOCK};
use crate::elementary;
use crate::kernels::Units;
use crate::types::{with_block, Block};

/// [`abi::Embed`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn embed(op: &abi::Embed, units: Units) {
    // SAFETY: As the caller's.
    unsafe { with_block!(op.tensor_type, embed_as(op, units)) }
}

#[inline(always)]
unsafe fn embed_as<B: Block>(op: &abi::Embed, units: Units) {
    let columns = op.columns as usize;
    let blocks = columns / B::Activation::LEN;
    for token in units {
        // SAFETY: The id is a row of the table, and the token's output is this call's.
        let (row, out) = unsafe {
            let id = *op.ids.add(token) as usize;
            (
                slice::from_raw_parts(op.table.cast::<B>().add(id * blocks), blocks),
                slice::from_raw_parts_mut(op.out.add(token * columns), columns),
            )
        };
        for (block, out) in row.iter().zip(out.chunks_exact_mut(B::Activation::LEN)) {
            block.dequantize(out);
        }
        if op.scale_square != 1 {
            // CAST: The nearest `f32`.
            let scale = elementary::sqrt(f64::from(op.scale_square)) as f32;
            out.iter_mut().for_each(|out| *out *= scale);
        }
    }
}

/// [`abi::Convert`], with a function that makes blocks of the weights from so many on.
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn convert(
    op: &abi::Convert,
    units: Units,
    quantize: impl Fn(*mut u8, usize, &[f32]),
) {
    const LEN: usize = abi::CONVERT_WEIGHTS as usize;
    for unit in units {
        let mut x = [0.0; LEN];
        let first = unit * LEN;
        // CAST: At most `LEN`.
        let len = (op.elements - first as u64).min(LEN as u64) as usize;
        let x = &mut x[..len];
        // SAFETY: As the caller's; so many weights are whole blocks of both types.
        unsafe {
            with_block!(op.from, dequantize_from(op.weights, first, x));
        }
        quantize(op.out, first, x);
    }
}

/// Writes the weights from number `first` on.
///
/// # Safety
///
/// They are whole blocks and can be read.
#[inline(always)]
unsafe fn dequantize_from<B: Block>(weights: *const u8, first: usize, x: &mut [f32]) {
    for (i, x) in x.chunks_exact_mut(B::Activation::LEN).enumerate() {
        // SAFETY: As the caller's; blocks may lie at any address.
        let block = unsafe { &*weights.cast::<B>().add(first / B::Activation::LEN + i) };
        block.dequantize(x);
    }
}

/// Makes blocks of the weights from number `first` on.
///
/// # Safety
///
/// They are whole blocks and can be written.
#[inline(always)]
pub(crate) unsafe fn quantize_to<B: Block>(out: *mut u8, first: usize, x: &[f32]) {
    for (i, x) in x.chunks_exact(B::Activation::LEN).enumerate() {
        // SAFETY: As the caller's; blocks may lie at any address.
        unsafe {
            out.cast::<B>()
                .add(first / B::Activation::LEN + i)
                .write(B::quantize(x));
        }
    }
}

/// [`abi::StoreKv`], with a function that narrows a float.
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn store_kv(op: &abi::StoreKv, units: Units, narrow: impl Fn(f32) -> u16) {
    let cache = &op.cache;
    let (kv_heads, head_dim) = (cache.kv_heads as usize, cache.head_dim as usize);
    let groups = head_dim / GROUP;
    for token in units {
        for head in 0..kv_heads {
            // SAFETY: The token's heads, and its place in the cache, are the caller's: the keys are a
            // column there, the values a row.
            unsafe {
                let position = (*cache.places.add(token)).position as usize;
                let (k, v) = attention::heads_at(cache, token, head, position);
                let slot = position % BLOCK;
                let column = Line {
                    first: slot,
                    step: BLOCK,
                    first_scale: slot,
                    scale_step: BLOCK,
                };
                let row = Line {
                    first: slot * head_dim,
                    step: 1,
                    first_scale: slot * groups,
                    scale_step: 1,
                };
                for (from, to, line) in [(op.k, k, column), (op.v, v, row)] {
                    let from = from.add((token * kv_heads + head) * head_dim);
                    let from = slice::from_raw_parts(from, head_dim);
                    match cache.kv_type {
                        abi::KvType::F16 => line.store(from, to.data.cast(), &narrow),
                        abi::KvType::Q8_0 => line.quantize(from, to, &narrow),
                    }
                }
            }
        }
    }
}

/// Dimensions that share a scale.
const GROUP: usize = abi::KV_GROUP as usize;

/// Where the dimensions of one position are in a head's part of a block, and their scales.
struct Line {
    first: usize,
    step: usize,
    first_scale: usize,
    scale_step: usize,
}

impl Line {
    /// Writes 16-bit floats.
    ///
    /// # Safety
    ///
    /// `to` has an element for each of `from`.
    #[inline(always)]
    unsafe fn store(&self, from: &[f32], to: *mut u16, narrow: &impl Fn(f32) -> u16) {
        for (d, &x) in from.iter().enumerate() {
            // SAFETY: As the caller's.
            unsafe { *to.add(self.first + d * self.step) = narrow(x) };
        }
    }

    /// Writes signed bytes, and a scale for each group.
    ///
    /// # Safety
    ///
    /// `to` has an element for each of `from`, and a scale for each group of them.
    #[inline(always)]
    unsafe fn quantize(&self, from: &[f32], to: Head, narrow: &impl Fn(f32) -> u16) {
        for (group, from) in from.chunks_exact(GROUP).enumerate() {
            let largest = from.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let first = self.first + group * GROUP * self.step;
            // SAFETY: As the caller's.
            unsafe {
                *to.scales.add(self.first_scale + group * self.scale_step) =
                    narrow(largest / 127.0);
                for (d, &x) in from.iter().enumerate() {
                    let x = x * inverse;
                    // CAST: At most 127 in magnitude, rounded half away from zero; or saturated.
                    let q = (x + if x < 0.0 { -0.5 } else { 0.5 }) as i8;
                    *to.data.cast::<i8>().add(first + d * self.step) = q;
                }
            }
        }
    }
}
