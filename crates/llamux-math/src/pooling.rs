// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! One vector of many: the mean of a text's tokens, up to its length.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// [`abi::Pool`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn pool(op: &abi::Pool, units: Units) {
    // SAFETY: These columns of the sum are the caller's.
    let sum = unsafe { slice::from_raw_parts_mut(op.sum.add(units.start), units.len()) };
    for row in 0..op.rows as usize {
        // SAFETY: The row has these columns.
        let x = unsafe {
            let row = op.x.add(row * op.columns as usize);
            slice::from_raw_parts(row.add(units.start), units.len())
        };
        for (sum, &x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

/// [`abi::Normalize`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn normalize(op: &abi::Normalize, units: Units) {
    if units.is_empty() {
        return;
    }
    // SAFETY: The vector is the caller's.
    let x = unsafe { slice::from_raw_parts_mut(op.x, op.columns as usize) };
    let squares = x.iter().map(|&x| f64::from(x) * f64::from(x));
    let length = elementary::sqrt(squares.sum());
    if length > 0.0 {
        for x in x {
            // CAST: The nearest `f32`.
            *x = (f64::from(*x) / length) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;
    use crate::testing::features;

    /// Every table computes them, whatever it has instructions for.
    fn run(op: abi::Op, units: u32) {
        let table = kernels::select(features());
        // SAFETY: The buffers of these tests have what the operations say.
        unsafe { (table.run)(&op, 0, units) };
    }

    fn pooled(x: &[f32], sum: &mut [f32], parts: &[u32]) {
        let columns = sum.len() as u32;
        let op = abi::Op::Pool(abi::Pool {
            x: x.as_ptr(),
            sum: sum.as_mut_ptr(),
            rows: x.len() as u32 / columns,
            columns,
        });
        let mut begin = 0;
        for &end in parts {
            let table = kernels::select(features());
            // SAFETY: As above.
            unsafe { (table.run)(&op, begin, end) };
            begin = end;
        }
    }

    #[test]
    fn rows_are_added_column_by_column() {
        let x = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
        for parts in [&[3][..], &[1, 3], &[0, 2, 2, 3]] {
            let mut sum = [0.5, 0.0, -1.0];
            pooled(&x, &mut sum, parts);
            assert_eq!(sum, [11.5, 22.0, 32.0], "{parts:?}");
        }
    }

    #[test]
    fn a_vector_gets_the_length_one() {
        let normal = |x: &mut [f32]| {
            let op = abi::Normalize {
                x: x.as_mut_ptr(),
                columns: x.len() as u32,
            };
            run(abi::Op::Normalize(op), 1);
        };
        let mut x = [3.0, 0.0, -4.0];
        normal(&mut x);
        assert_eq!(x, [0.6, 0.0, -0.8]);
        // Squares that no `f32` holds.
        let large = 2.0_f32.powi(100);
        let mut x = [3.0 * large, -4.0 * large];
        normal(&mut x);
        assert_eq!(x, [0.6, -0.8]);
        let mut x = [0.0; 4];
        normal(&mut x);
        assert_eq!(x, [0.0; 4]);
    }
}
