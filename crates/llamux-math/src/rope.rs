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
    let stretch = f64::from(f32::from_bits(op.stretch_bits));
    // From which pair on the angles are slowed down, and from which on they are altogether.
    let (low, high) = if op.original_context > 0 {
        let turning = |times| pair_turning(op, log_base, times);
        (
            floor(turning(FAST)).max(0.0),
            (-floor(-turning(SLOW))).min(f64::from(op.dimensions) - 1.0),
        )
    } else {
        (-1.0, 0.0)
    };
    for i in 0..op.dimensions / 2 {
        let exponent = -2.0 * f64::from(i) / f64::from(op.dimensions);
        let slow = ((f64::from(i) - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        let frequency = elementary::exp(exponent * log_base) * (slow / stretch + (1.0 - slow));
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
    let mut magnitude = f64::from(f32::from_bits(op.magnitude_bits));
    if op.original_context > 0 && stretch > 1.0 {
        magnitude *= 1.0 + 0.1 * elementary::ln(stretch);
    }
    // SAFETY: It is behind the frequencies.
    // CAST: The nearest `f32`.
    unsafe { *op.out.add(op.dimensions as usize / 2) = magnitude as f32 };
}

/// YaRN's β: how often a pair turns in the original context that is not slowed down at all, and one
/// that is altogether.
const FAST: f64 = 32.0;
const SLOW: f64 = 1.0;

/// The number, as a fraction, of the pair that turns so many times in the original context.
fn pair_turning(op: &abi::RopeFrequencies, log_base: f64, times: f64) -> f64 {
    let turns = f64::from(op.original_context) / (times * 2.0 * core::f64::consts::PI);
    f64::from(op.dimensions) * elementary::ln(turns) / (2.0 * log_base)
}

/// The next whole number that is not above it.
fn floor(x: f64) -> f64 {
    // CAST: Of a few thousands; anything larger is cut off by the caller.
    let whole = x as i64 as f64;
    if whole > x {
        whole - 1.0
    } else {
        whole
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
        let (position, magnitude, frequencies, out) = unsafe {
            (
                *op.positions.add(token),
                f64::from(*op.frequencies.add(pairs)),
                slice::from_raw_parts(op.frequencies, pairs),
                slice::from_raw_parts_mut(op.out.add(token * pairs * 2), pairs * 2),
            )
        };
        for (out, &frequency) in out.chunks_exact_mut(2).zip(frequencies) {
            let (cos, sin) = elementary::cos_sin(f64::from(position) * f64::from(frequency));
            // CAST: The nearest `f32`.
            out.copy_from_slice(&[(magnitude * cos) as f32, (magnitude * sin) as f32]);
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

    /// Two pairs, of a base of 100.
    const PLAIN: abi::RopeFrequencies = abi::RopeFrequencies {
        base_bits: 100.0_f32.to_bits(),
        dimensions: 4,
        factors: core::ptr::null(),
        out: core::ptr::null_mut(),
        stretch_bits: 1.0_f32.to_bits(),
        original_context: 0,
        magnitude_bits: 1.0_f32.to_bits(),
    };

    #[test]
    fn angles_are_accurate_up_to_the_longest_context() {
        let mut frequency = [0.0_f32; 65];
        let op = abi::RopeFrequencies {
            base_bits: 1_000_000.0_f32.to_bits(),
            dimensions: 128,
            out: frequency.as_mut_ptr(),
            ..PLAIN
        };
        // SAFETY: `out` has 64 entries, and one.
        unsafe { frequencies(&op, 0..1) };
        assert_eq!(frequency[64], 1.0);
        for (i, &frequency) in frequency[..64].iter().enumerate() {
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
            for (i, &frequency) in frequency[..64].iter().enumerate() {
                let angle = f64::from(position) * f64::from(frequency);
                let (cos, sin) = (out[t * 128 + 2 * i], out[t * 128 + 2 * i + 1]);
                assert!((f64::from(cos) - angle.cos()).abs() < 1e-6);
                assert!((f64::from(sin) - angle.sin()).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn factors_divide_the_frequencies() {
        let (factors, mut out) = ([1.0, 4.0], [0.0; 3]);
        let op = abi::RopeFrequencies {
            factors: factors.as_ptr(),
            out: out.as_mut_ptr(),
            ..PLAIN
        };
        // SAFETY: Two pairs.
        unsafe { frequencies(&op, 0..1) };
        assert_eq!(out, [1.0, 0.025, 1.0]);
    }

    #[test]
    fn a_longer_context_slows_all_pairs_down() {
        let mut out = [0.0; 3];
        let op = abi::RopeFrequencies {
            out: out.as_mut_ptr(),
            stretch_bits: 4.0_f32.to_bits(),
            magnitude_bits: 0.5_f32.to_bits(),
            ..PLAIN
        };
        // SAFETY: Two pairs.
        unsafe { frequencies(&op, 0..1) };
        assert_eq!(out, [0.25, 0.025, 0.5]);
    }

    /// Appendix A.2 of the paper: by how often a pair turns in the original context.
    #[test]
    fn yarn_slows_down_what_turns_seldom() {
        let mut out = [0.0_f32; 65];
        let op = abi::RopeFrequencies {
            base_bits: 10_000.0_f32.to_bits(),
            dimensions: 128,
            out: out.as_mut_ptr(),
            stretch_bits: 8.0_f32.to_bits(),
            original_context: 4096,
            ..PLAIN
        };
        // SAFETY: 64 pairs.
        unsafe { frequencies(&op, 0..1) };
        let mut last = 1.0;
        for (i, &frequency) in out[..64].iter().enumerate() {
            let plain = 1e4_f64.powf(-2.0 * i as f64 / 128.0);
            let share = f64::from(frequency) / plain;
            let turns = 4096.0 * plain / (2.0 * std::f64::consts::PI);
            assert!(share <= last + 1e-6, "{i}: {share}");
            if turns > 37.0 {
                assert!((share - 1.0).abs() < 1e-6, "{i}: {share}");
            } else if turns < 0.86 {
                assert!((share - 0.125).abs() < 1e-6, "{i}: {share}");
            } else if (2.0..16.0).contains(&turns) {
                assert!((0.2..0.9).contains(&share), "{i}: {share}");
            }
            last = share;
        }
        assert!((f64::from(out[64]) - (0.1 * 8.0_f64.ln() + 1.0)).abs() < 1e-6);
    }

    #[test]
    fn the_magnitude_lengthens_what_is_rotated() {
        let (frequency, mut out) = ([1.0_f32, 3.0], [0.0_f32; 2]);
        let op = abi::RopeAngles {
            frequencies: frequency.as_ptr(),
            positions: &2,
            pairs: 1,
            out: out.as_mut_ptr(),
        };
        // SAFETY: One position, one pair.
        unsafe { angles(&op, 0..1) };
        let expected = [3.0 * 2.0_f32.cos(), 3.0 * 2.0_f32.sin()];
        assert!(out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
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
