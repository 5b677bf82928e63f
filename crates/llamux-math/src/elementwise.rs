// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is the same for all instruction sets: each table compiles it again with its own instructions.

use core::slice;

use llamux_abi as abi;

use crate::activation::Activations;
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

/// [`abi::StoreKv`], with a function that narrows so many floats.
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn store_kv(
    op: &abi::StoreKv,
    units: Units,
    narrow: impl Fn(*const f32, *mut u16, usize),
) {
    let (kv_heads, head_dim) = (op.kv_heads as usize, op.head_dim as usize);
    for token in units {
        for head in 0..kv_heads {
            let from = (token * kv_heads + head) * head_dim;
            let position = op.position as usize + token;
            let to = (head * op.context as usize + position) * head_dim;
            // SAFETY: The token's heads, and its position in the cache, are the caller's.
            unsafe {
                narrow(op.k.add(from), op.k_cache.add(to), head_dim);
                narrow(op.v.add(from), op.v_cache.add(to), head_dim);
            }
        }
    }
}
