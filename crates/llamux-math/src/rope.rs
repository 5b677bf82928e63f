// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rotary position embedding, <https://arxiv.org/abs/2104.09864>.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// [`abi::RopeFrequencies`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn frequencies(op: &abi::RopeFrequencies, _units: Units) {
    let log_base = elementary::ln(f64::from(f32::from_bits(op.base_bits)));
    for i in 0..op.dimensions / 2 {
        let exponent = -2.0 * f64::from(i) / f64::from(op.dimensions);
        let frequency = elementary::exp(exponent * log_base);
        // SAFETY: Both have an entry for each pair.
        unsafe {
            let factor = if op.factors.is_null() {
                1.0
            } else {
                *op.factors.add(i as usize)
            };
            // CAST: The nearest `f32`.
            *op.out.add(i as usize) = (frequency / f64::from(factor)) as f32;
        }
    }
}

/// [`abi::RopeAngles`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn angles(op: &abi::RopeAngles, units: Units) {
    let pairs = op.pairs as usize;
    for token in units {
        // SAFETY: The token's position and its part of the output, and the frequencies.
        let (position, frequencies, out) = unsafe {
            (
                *op.positions.add(token),
                slice::from_raw_parts(op.frequencies, pairs),
                slice::from_raw_parts_mut(op.out.add(token * pairs * 2), pairs * 2),
            )
        };
        for (out, &frequency) in out.chunks_exact_mut(2).zip(frequencies) {
            let (cos, sin) = elementary::cos_sin(f64::from(position) * f64::from(frequency));
            // CAST: The nearest `f32`.
            out.copy_from_slice(&[cos as f32, sin as f32]);
        }
    }
}

/// [`abi::Rope`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn rotate(op: &abi::Rope, units: Units) {
    let (heads, head_dim, pairs) = (op.heads as usize, op.head_dim as usize, op.pairs as usize);
    for token in units {
        // SAFETY: The token's angles and heads.
        let (angles, x) = unsafe {
            (
                slice::from_raw_parts(op.angles.add(token * pairs * 2), pairs * 2),
                slice::from_raw_parts_mut(op.x.add(token * heads * head_dim), heads * head_dim),
            )
        };
        for head in x.chunks_exact_mut(head_dim) {
            match op.style {
                abi::RopeStyle::Interleaved => {
                    for (pair, angle) in head.chunks_exact_mut(2).zip(angles.chunks_exact(2)) {
                        let (a, b) = (pair[0], pair[1]);
                        let (cos, sin) = (angle[0], angle[1]);
                        pair[0] = a * cos - b * sin;
                        pair[1] = a * sin + b * cos;
                    }
                }
                abi::RopeStyle::Halves => {
                    let (first, second) = head.split_at_mut(pairs);
                    let both = first.iter_mut().zip(second);
                    for ((first, second), angle) in both.zip(angles.chunks_exact(2)) {
                        let (a, b) = (*first, *second);
                        let (cos, sin) = (angle[0], angle[1]);
                        *first = a * cos - b * sin;
                        *second = a * sin + b * cos;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_accurate_up_to_the_longest_context() {
        let mut frequency = [0.0_f32; 64];
        let op = abi::RopeFrequencies {
            base_bits: 1_000_000.0_f32.to_bits(),
            dimensions: 128,
            factors: core::ptr::null(),
            out: frequency.as_mut_ptr(),
        };
        // SAFETY: `out` has 64 entries.
        unsafe { frequencies(&op, 0..1) };
        for (i, &frequency) in frequency.iter().enumerate() {
            let expected = 1e6_f64.powf(-2.0 * i as f64 / 128.0);
            assert!((f64::from(frequency) / expected - 1.0).abs() < 1e-7);
        }
        let positions = [0, 1, 4095, 131_071];
        let mut out = [0.0_f32; 4 * 128];
        let op = abi::RopeAngles {
            frequencies: frequency.as_ptr(),
            positions: positions.as_ptr(),
            pairs: 64,
            out: out.as_mut_ptr(),
        };
        // SAFETY: Four positions, 64 frequencies, and room for both.
        unsafe { angles(&op, 0..4) };
        for (t, position) in positions.into_iter().enumerate() {
            for (i, &frequency) in frequency.iter().enumerate() {
                let angle = f64::from(position) * f64::from(frequency);
                let (cos, sin) = (out[t * 128 + 2 * i], out[t * 128 + 2 * i + 1]);
                assert!((f64::from(cos) - angle.cos()).abs() < 1e-6);
                assert!((f64::from(sin) - angle.sin()).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn factors_divide_the_frequencies() {
        let (factors, mut out) = ([1.0, 4.0], [0.0; 2]);
        let op = abi::RopeFrequencies {
            base_bits: 100.0_f32.to_bits(),
            dimensions: 4,
            factors: factors.as_ptr(),
            out: out.as_mut_ptr(),
        };
        // SAFETY: Two pairs.
        unsafe { frequencies(&op, 0..1) };
        assert_eq!(out, [1.0, 0.025]);
    }

    #[test]
    fn a_quarter_turn_moves_the_right_dimensions() {
        let angles = [0.0, 1.0, 1.0, 0.0];
        for (style, expected) in [
            (abi::RopeStyle::Interleaved, [-2.0, 1.0, 3.0, 4.0, 5.0]),
            (abi::RopeStyle::Halves, [-3.0, 2.0, 1.0, 4.0, 5.0]),
        ] {
            let mut x = [1.0, 2.0, 3.0, 4.0, 5.0];
            let op = abi::Rope {
                x: x.as_mut_ptr(),
                angles: angles.as_ptr(),
                heads: 1,
                head_dim: 5,
                pairs: 2,
                style,
            };
            // SAFETY: One token, one head of five dimensions, two angles.
            unsafe { rotate(&op, 0..1) };
            assert_eq!(x, expected, "{style:?}");
        }
    }
}
