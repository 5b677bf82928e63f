// SPDX-License-Identifier: GPL-2.0-only

//! KUnit tests of what this kernel adds to the engine: the FPU sections, the vector registers as the
//! island uses them here, and the pool of threads.
//!
//! No float is computed on this side. The products are of small integers, which are exact in any
//! order, so each table must give the very bits that integers give.

use kernel::prelude::*;

/// Rows and columns of the matrix: enough for many slices.
const ROWS: usize = 4096;
const COLUMNS: usize = 256;
const TOKENS: usize = 3;

#[kunit_tests(llamux_pool)]
mod products {
    use super::*;

    use llamux_abi::{Activation, TensorType};
    use llamux_engine::math::{activation_bytes, Executor, F32Bits, Job, Kernels, Matrix};

    use crate::pool::Pool;
    use crate::sys;

    /// Small numbers that differ from place to place.
    fn number(row: usize, column: usize) -> i32 {
        let mixed = (row * 31 + column * 17 + row * column) % 61;
        // CAST: Below 61.
        mixed as i32 - 30
    }

    /// The first of each 32 is 127, so that quantization keeps integers as they are.
    fn activation(token: usize, column: usize) -> i32 {
        if column % 32 == 0 {
            127
        } else {
            number(token + 7, column)
        }
    }

    /// An integer below 2^24 in magnitude as a float.
    fn float(value: i32) -> F32Bits {
        let magnitude = value.unsigned_abs();
        if magnitude == 0 {
            return F32Bits(0);
        }
        let exponent = 31 - magnitude.leading_zeros();
        let mantissa = (magnitude << (23 - exponent)) & 0x007f_ffff;
        F32Bits(u32::from(value < 0) << 31 | (exponent + 127) << 23 | mantissa)
    }

    /// `(ROWS)` of `Q8_0` with all scales 1: see `types/q8_0.rs` of the math crate.
    fn weights() -> Result<VVec<u8>> {
        let mut bytes = VVec::with_capacity(ROWS * COLUMNS / 32 * 34, GFP_KERNEL)?;
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                if column % 32 == 0 {
                    bytes.extend_from_slice(&0x3c00u16.to_le_bytes(), GFP_KERNEL)?;
                }
                // CAST: Within -30..=30.
                bytes.push(number(row, column) as i8 as u8, GFP_KERNEL)?;
            }
        }
        Ok(bytes)
    }

    fn multiply(kernels: Kernels, pool: &Pool, weights: &[u8], out: &mut [F32Bits]) -> Result {
        let mut x = VVec::new();
        for token in 0..TOKENS {
            for column in 0..COLUMNS {
                x.push(float(activation(token, column)), GFP_KERNEL)?;
            }
        }
        // CAST: Small constants.
        let (rows, columns) = (ROWS as u32, COLUMNS as u32);
        let row_bytes = activation_bytes(Activation::Q16x32, columns).ok_or(EINVAL)?;
        let mut quantized = VVec::<u8>::zeroed(row_bytes * TOKENS, GFP_KERNEL)?;
        let matrix = Matrix::new(weights, TensorType::Q8_0, rows, columns).ok_or(EINVAL)?;
        pool.execute(&[
            Job::quantize(kernels, &x, columns, Activation::Q16x32, &mut quantized)
                .map_err(|_| EINVAL)?,
        ]);
        pool.execute(&[
            Job::mat_mul(kernels, matrix, &quantized, None, out, false).map_err(|_| EINVAL)?
        ]);
        Ok(())
    }

    fn expected() -> Result<VVec<F32Bits>> {
        let mut out = VVec::new();
        for token in 0..TOKENS {
            for row in 0..ROWS {
                let sum = (0..COLUMNS)
                    .map(|column| number(row, column) * activation(token, column))
                    .sum();
                out.push(float(sum), GFP_KERNEL)?;
            }
        }
        Ok(out)
    }

    fn check(kernels: Kernels, threads: u32, times: usize) -> Result {
        let pool = Pool::new(threads)?;
        let (weights, expected) = (weights()?, expected()?);
        for _ in 0..times {
            let mut out = VVec::from_elem(F32Bits(u32::MAX), ROWS * TOKENS, GFP_KERNEL)?;
            multiply(kernels, &pool, &weights, &mut out)?;
            let wrong = out.iter().zip(&expected).position(|(a, b)| a != b);
            if let Some(at) = wrong {
                pr_err!(
                    "{} threads, {}: element {at} is wrong\n",
                    threads,
                    kernels.name()
                );
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    #[test]
    fn the_scalar_table_multiplies_exactly() -> Result {
        check(sys::scalar_kernels(), 1, 1)
    }

    #[test]
    fn the_chosen_table_multiplies_exactly() -> Result {
        check(sys::kernels(), 1, 1)
    }

    /// Long enough for helpers to sleep, wake, come late and be waited for.
    #[test]
    fn helpers_leave_no_slice_out_and_do_none_twice() -> Result {
        check(sys::kernels(), 0, 200)
    }
}
