// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! AVX-512 F, BW, DQ and VL, without VNNI and with it: matrix products and attention on 512-bit registers, all
//! else as in [`avx2`](super::avx2).

use core::arch::x86_64::*;

use llamux_abi as abi;

use super::avx2::by_rows;
use super::{alone, avx2};
use crate::kernels::{name, Table, Units};
use crate::types;

mod heads;
mod iq4;
mod q2_k;
mod q3_k;
mod q5;
mod quads;
mod rows;
mod tile;

/// What a caller of [`KERNELS`] must have found.
pub(crate) const FEATURES: u32 = abi::FEATURE_AVX2 | abi::FEATURE_AVX512;

/// What a caller of [`VNNI_KERNELS`] must have found.
pub(crate) const VNNI_FEATURES: u32 = FEATURES | abi::FEATURE_AVX512_VNNI;

/// The exported table.
pub(crate) static KERNELS: abi::Kernels = abi::Kernels {
    name: name("avx512"),
    run,
    tile: 16,
};

/// The one with VNNI.
pub(crate) static VNNI_KERNELS: abi::Kernels = abi::Kernels {
    name: name("avx512-vnni"),
    run: run_vnni,
    tile: 16,
};

/// The functions of [`KERNELS`].
static TABLE: Table = Table {
    mat_mul: mat_mul::<Base>,
    attention: heads::attention,
    ..avx2::TABLE
};

/// The functions of [`VNNI_KERNELS`].
static VNNI_TABLE: Table = Table {
    mat_mul: mat_mul::<Vnni>,
    ..TABLE
};

unsafe extern "C" fn run(op: *const abi::Op, begin: u32, end: u32) {
    // SAFETY: As the caller's, which asked for a table with all of `FEATURES`.
    unsafe { TABLE.run(op, begin, end) }
}

unsafe extern "C" fn run_vnni(op: *const abi::Op, begin: u32, end: u32) {
    // SAFETY: As the caller's, which asked for a table with all of `VNNI_FEATURES`.
    unsafe { VNNI_TABLE.run(op, begin, end) }
}

/// A set of instructions, and the products that are compiled with it.
///
/// The products are those of the modules of the same names. Who calls any function knows that the processor has
/// the instructions.
trait Set {
    /// Whether [`bytes`](Self::bytes) takes all unsigned bytes, and not those below 64 alone.
    const ALL_BYTES: bool;

    /// Adds products of unsigned and signed bytes to `i32` lanes, those of four bytes of each register.
    unsafe fn bytes(sum: __m512i, unsigned: [__m512i; 2], signed: [__m512i; 2]) -> __m512i;

    /// Adds products of `i16` to `i32` lanes, two each.
    unsafe fn words(sum: __m512i, a: __m512i, b: __m512i) -> __m512i;

    unsafe fn quads<B: quads::Quads>(op: &abi::MatMul, units: Units);
    unsafe fn rows<B: rows::Row>(op: &abi::MatMul, units: Units);
    unsafe fn tile<const G: usize, B: tile::Tile<G>>(op: &abi::MatMul, units: Units);
}

/// AVX-512 F, BW, DQ and VL.
enum Base {}

/// The same with VNNI.
enum Vnni {}

impl Set for Base {
    const ALL_BYTES: bool = false;

    #[inline(always)]
    unsafe fn bytes(sum: __m512i, unsigned: [__m512i; 2], signed: [__m512i; 2]) -> __m512i {
        // SAFETY: As the caller's. Four products are within 16 bits: 4 * 63 * -128.
        unsafe {
            let products = |i: usize| _mm512_maddubs_epi16(unsigned[i], signed[i]);
            let products = _mm512_add_epi16(products(0), products(1));
            Self::words(sum, products, _mm512_set1_epi16(1))
        }
    }

    #[inline(always)]
    unsafe fn words(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: As the caller's.
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn quads<B: quads::Quads>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's; what is called is given rows of so many blocks. The closure is compiled with
        // this function's instructions.
        unsafe {
            by_rows(op, units, |rows, x, blocks, tokens| {
                quads::dots::<Self, B>(rows, x, blocks, tokens)
            });
        }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn rows<B: rows::Row>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's.
        unsafe { rows::mat_mul::<Self, B>(op, units) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn tile<const G: usize, B: tile::Tile<G>>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's.
        unsafe { tile::mat_mul::<G, Self, B>(op, units) }
    }
}

impl Set for Vnni {
    const ALL_BYTES: bool = true;

    #[inline(always)]
    unsafe fn bytes(sum: __m512i, unsigned: [__m512i; 2], signed: [__m512i; 2]) -> __m512i {
        // SAFETY: As the caller's.
        unsafe {
            let sum = _mm512_dpbusd_epi32(sum, unsigned[0], signed[0]);
            _mm512_dpbusd_epi32(sum, unsigned[1], signed[1])
        }
    }

    #[inline(always)]
    unsafe fn words(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: As the caller's.
        unsafe { _mm512_dpwssd_epi32(sum, a, b) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn quads<B: quads::Quads>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's; what is called is given rows of so many blocks. The closure is compiled with
        // this function's instructions.
        unsafe {
            by_rows(op, units, |rows, x, blocks, tokens| {
                quads::dots::<Self, B>(rows, x, blocks, tokens)
            });
        }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn rows<B: rows::Row>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's.
        unsafe { rows::mat_mul::<Self, B>(op, units) }
    }

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn tile<const G: usize, B: tile::Tile<G>>(op: &abi::MatMul, units: Units) {
        // SAFETY: As the caller's.
        unsafe { tile::mat_mul::<G, Self, B>(op, units) }
    }
}

unsafe fn mat_mul<S: Set>(op: &abi::MatMul, units: Units) {
    use abi::TensorType as Type;
    let alone = alone(op, 8);
    // SAFETY: As the caller's.
    unsafe {
        match (op.tensor_type, alone) {
            (Type::F32 | Type::F16 | Type::BF16, _) => avx2::mat_mul(op, units),
            // Their weights are bytes of any size.
            (Type::Q8_0 | Type::IQ4_NL, _) | (Type::IQ4_XS, false) if !S::ALL_BYTES => {
                avx2::mat_mul(op, units)
            }
            (Type::Q4_0, true) => S::quads::<types::Q4_0>(op, units),
            (Type::Q4_1, true) => S::quads::<types::Q4_1>(op, units),
            (Type::Q5_0, true) => S::quads::<types::Q5_0>(op, units),
            (Type::Q5_1, true) => S::quads::<types::Q5_1>(op, units),
            (Type::IQ4_NL, true) => S::quads::<types::IQ4NL>(op, units),
            (Type::Q8_0, true) => S::quads::<types::Q8_0>(op, units),
            (Type::Q2_K, true) => S::rows::<types::Q2K>(op, units),
            (Type::Q3_K, true) => S::rows::<types::Q3K>(op, units),
            (Type::Q4_K, true) => S::rows::<types::Q4K>(op, units),
            (Type::Q5_K, true) => S::rows::<types::Q5K>(op, units),
            (Type::Q6_K, true) => S::rows::<types::Q6K>(op, units),
            (Type::IQ4_XS, true) => S::rows::<types::IQ4XS>(op, units),
            (Type::Q4_0, false) => S::tile::<1, types::Q4_0>(op, units),
            (Type::Q4_1, false) => S::tile::<1, types::Q4_1>(op, units),
            (Type::Q5_0, false) => S::tile::<1, types::Q5_0>(op, units),
            (Type::Q5_1, false) => S::tile::<1, types::Q5_1>(op, units),
            (Type::IQ4_NL, false) => S::tile::<1, types::IQ4NL>(op, units),
            (Type::Q8_0, false) => S::tile::<1, types::Q8_0>(op, units),
            (Type::Q2_K, false) => S::tile::<2, types::Q2K>(op, units),
            (Type::Q3_K, false) => S::tile::<2, types::Q3K>(op, units),
            (Type::Q4_K, false) => S::tile::<2, types::Q4K>(op, units),
            (Type::Q5_K, false) => S::tile::<2, types::Q5K>(op, units),
            (Type::Q6_K, false) => S::tile::<2, types::Q6K>(op, units),
            (Type::IQ4_XS, false) => S::tile::<2, types::IQ4XS>(op, units),
        }
    }
}
