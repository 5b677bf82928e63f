// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! AVX-512 F, BW, DQ and VL with VNNI: matrix products on 512-bit registers, all else as in
//! [`avx2`](super::avx2).

use llamux_abi as abi;

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

/// What a caller must have found.
pub(crate) const FEATURES: u32 = abi::FEATURE_AVX2 | abi::FEATURE_AVX512 | abi::FEATURE_AVX512_VNNI;

/// The exported table.
pub(crate) static KERNELS: abi::Kernels = abi::Kernels {
    name: name("avx512-vnni"),
    run,
    tile: 16,
};

/// Its functions.
pub(crate) static TABLE: Table = Table {
    mat_mul,
    attention: heads::attention,
    ..avx2::TABLE
};

unsafe extern "C" fn run(op: *const abi::Op, begin: u32, end: u32) {
    // SAFETY: As the caller's, which asked for a table with all of `FEATURES`.
    unsafe { TABLE.run(op, begin, end) }
}

unsafe fn mat_mul(op: &abi::MatMul, units: Units) {
    use abi::TensorType as Type;
    let alone = alone(op, 8);
    // SAFETY: As the caller's.
    unsafe {
        match (op.tensor_type, alone) {
            (Type::F32 | Type::F16 | Type::BF16, _) => avx2::mat_mul(op, units),
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
            (Type::Q4_0, false) => tile::mat_mul::<1, types::Q4_0>(op, units),
            (Type::Q4_1, false) => tile::mat_mul::<1, types::Q4_1>(op, units),
            (Type::Q5_0, false) => tile::mat_mul::<1, types::Q5_0>(op, units),
            (Type::Q5_1, false) => tile::mat_mul::<1, types::Q5_1>(op, units),
            (Type::IQ4_NL, false) => tile::mat_mul::<1, types::IQ4NL>(op, units),
            (Type::Q8_0, false) => tile::mat_mul::<1, types::Q8_0>(op, units),
            (Type::Q2_K, false) => tile::mat_mul::<2, types::Q2K>(op, units),
            (Type::Q3_K, false) => tile::mat_mul::<2, types::Q3K>(op, units),
            (Type::Q4_K, false) => tile::mat_mul::<2, types::Q4K>(op, units),
            (Type::Q5_K, false) => tile::mat_mul::<2, types::Q5K>(op, units),
            (Type::Q6_K, false) => tile::mat_mul::<2, types::Q6K>(op, units),
            (Type::IQ4_XS, false) => tile::mat_mul::<2, types::IQ4XS>(op, units),
        }
    }
}
