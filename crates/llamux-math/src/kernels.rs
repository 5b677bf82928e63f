// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! One table of functions for each instruction set, and the choice among them.

use core::ops::Range;

use llamux_abi as abi;

use crate::{experts, pooling, rope, sampling};

pub(crate) mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// Units of an operation.
pub(crate) type Units = Range<usize>;

/// One instruction set's functions, each of which computes some units of one operation under the
/// conditions of [`abi::Kernels::run`].
///
/// # Invariants
///
/// A caller of any of them has checked that the processor has the table's instructions.
pub(crate) struct Table {
    pub(crate) embed: unsafe fn(&abi::Embed, Units),
    pub(crate) rms_norm: unsafe fn(&abi::RmsNorm, Units),
    pub(crate) quantize: unsafe fn(&abi::Quantize, Units),
    pub(crate) mat_mul: unsafe fn(&abi::MatMul, Units),
    pub(crate) rope: unsafe fn(&abi::Rope, Units),
    pub(crate) store_kv: unsafe fn(&abi::StoreKv, Units),
    pub(crate) attention: unsafe fn(&abi::Attention, Units),
    pub(crate) merge_attention: unsafe fn(&abi::MergeAttention, Units),
    pub(crate) swi_glu: unsafe fn(&abi::SwiGlu, Units),
    pub(crate) ge_glu: unsafe fn(&abi::SwiGlu, Units),
    pub(crate) combine: unsafe fn(&abi::Combine, Units),
    pub(crate) top_k: unsafe fn(&abi::TopK, Units),
    pub(crate) log_sum_exp: unsafe fn(&abi::LogSumExp, Units),
    pub(crate) convert: unsafe fn(&abi::Convert, Units),
}

impl Table {
    /// Computes units `begin..end` of `op`.
    ///
    /// # Safety
    ///
    /// As [`abi::Kernels::run`]; the processor has the table's instructions.
    #[inline]
    pub(crate) unsafe fn run(&self, op: *const abi::Op, begin: u32, end: u32) {
        let units = begin as usize..end as usize;
        // SAFETY: The caller's conditions are those of the functions.
        unsafe {
            match &*op {
                abi::Op::Embed(op) => (self.embed)(op, units),
                abi::Op::RmsNorm(op) => (self.rms_norm)(op, units),
                abi::Op::Quantize(op) => (self.quantize)(op, units),
                abi::Op::MatMul(op) => (self.mat_mul)(op, units),
                abi::Op::RopeFrequencies(op) => rope::frequencies(op, units),
                abi::Op::RopeAngles(op) => rope::angles(op, units),
                abi::Op::Rope(op) => (self.rope)(op, units),
                abi::Op::StoreKv(op) => (self.store_kv)(op, units),
                abi::Op::Attention(op) => (self.attention)(op, units),
                abi::Op::MergeAttention(op) => (self.merge_attention)(op, units),
                abi::Op::SwiGlu(op) => (self.swi_glu)(op, units),
                abi::Op::GeGlu(op) => (self.ge_glu)(op, units),
                abi::Op::Route(op) => experts::route(op, units),
                abi::Op::Combine(op) => (self.combine)(op, units),
                abi::Op::Penalize(op) => sampling::penalize(op, units),
                abi::Op::TopK(op) => (self.top_k)(op, units),
                abi::Op::Pick(op) => sampling::pick(op, units),
                abi::Op::LogSumExp(op) => (self.log_sum_exp)(op, units),
                abi::Op::Convert(op) => (self.convert)(op, units),
                abi::Op::Pool(op) => pooling::pool(op, units),
                abi::Op::Normalize(op) => pooling::normalize(op, units),
            }
        }
    }
}

/// Pads a table's name.
pub(crate) const fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    let mut i = 0;
    while i < text.len() {
        name[i] = text.as_bytes()[i];
        i += 1;
    }
    name
}

/// Returns the fastest table that needs no more than `features`.
pub(crate) fn select(features: u32) -> &'static abi::Kernels {
    #[cfg(all(target_arch = "x86_64", llamux_avx512))]
    {
        use x86::avx512::{FEATURES, KERNELS, VNNI_FEATURES, VNNI_KERNELS};
        if features & VNNI_FEATURES == VNNI_FEATURES {
            return &VNNI_KERNELS;
        }
        if features & FEATURES == FEATURES {
            return &KERNELS;
        }
    }
    #[cfg(target_arch = "x86_64")]
    if features & abi::FEATURE_AVX2 != 0 {
        return &x86::avx2::KERNELS;
    }
    let _ = features;
    &scalar::KERNELS
}
