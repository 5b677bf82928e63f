// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Elementary functions, which `core` lacks.
//!
//! Additive range reduction by a constant split in two, then a power series: W. J. Cody and W. Waite,
//! Software Manual for the Elementary Functions, Prentice-Hall 1980. The series are Taylor's, long
//! enough that the first term left out is below half a unit in the last place of an `f64`.

use core::f64::consts::{FRAC_2_PI, LOG2_E, SQRT_2};

/// Adding and subtracting it rounds an `f64` below 2^51 to an integer, ties to even.
const ROUND_F64: f64 = 6_755_399_441_055_744.0;
/// Adding and subtracting it rounds an `f32` below 2^22 to an integer, ties to even.
const ROUND_F32: f32 = 12_582_912.0;

/// ln 2 without its low 21 bits, and those.
const LN_2: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);
/// π/2 to 33 bits, and the rest: a multiple of the first by less than 2^20 is exact.
const HALF_PI: (f64, f64) = (1.570_796_326_734_125_6, 6.077_100_506_506_192e-11);

/// Rounds to an integer, ties to even, values of at most 2^22.
pub(crate) fn round_f32(x: f32) -> f32 {
    (x + ROUND_F32) - ROUND_F32
}

/// `e^x`; zero below -708, infinite above 709.
pub(crate) fn exp(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    let rounded = x * LOG2_E + ROUND_F64;
    let k = rounded - ROUND_F64;
    let r = (x - k * LN_2.0) - k * LN_2.1;
    let mut sum = 1.0;
    let mut n = 13.0;
    while n > 0.0 {
        sum = 1.0 + sum * r / n;
        n -= 1.0;
    }
    // The low bits of `rounded` are k, in two's complement; |k| is at most 1022.
    sum * f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52)
}

/// Natural logarithm of a positive, normal number.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    // CAST: 11 bits.
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut m = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is at most 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    let mut n = 23.0;
    while n > 0.0 {
        sum = sum * square + 1.0 / n;
        n -= 2.0;
    }
    let k = f64::from(exponent);
    k * LN_2.0 + (k * LN_2.1 + 2.0 * s * sum)
}

/// Cosine and sine, to 1e-10 for arguments up to 2^20.
pub(crate) fn cos_sin(x: f64) -> (f64, f64) {
    let rounded = x * FRAC_2_PI + ROUND_F64;
    let k = rounded - ROUND_F64;
    let r = (x - k * HALF_PI.0) - k * HALF_PI.1;
    let square = r * r;
    let (mut cos, mut sin) = (1.0, 1.0);
    let mut n = 16.0;
    while n > 0.0 {
        cos = 1.0 - cos * square / (n * (n - 1.0));
        sin = 1.0 - sin * square / (n * (n + 1.0));
        n -= 2.0;
    }
    sin *= r;
    match rounded.to_bits() & 3 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// Twice the factor of the GELU's hyperbolic tangent, sqrt(2/π), and its cubic term.
pub(crate) const GELU: [f32; 2] = [1.595_769, 0.044_715];

/// What [`GeGlu`](llamux_abi::Op::GeGlu) takes the sigmoid of: `(1 + tanh(x)) / 2` is `sigmoid(2x)`.
pub(crate) fn gelu_argument(x: f32) -> f32 {
    GELU[0] * (x + GELU[1] * x * x * x)
}

/// Square root of a number that is not negative.
#[cfg(target_arch = "x86_64")]
pub(crate) fn sqrt(x: f64) -> f64 {
    use core::arch::x86_64::{_mm_cvtsd_f64, _mm_set_sd, _mm_sqrt_sd};
    // SAFETY: SSE2 is part of every x86-64 processor and of the target's baseline.
    unsafe {
        let x = _mm_set_sd(x);
        _mm_cvtsd_f64(_mm_sqrt_sd(x, x))
    }
}

/// Square root of a number that is not negative, to 1e-14: Newton's iteration.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn sqrt(x: f64) -> f64 {
    if x == 0.0 || x == f64::INFINITY {
        return x;
    }
    // Halving the exponent gives a first guess within a factor of 1.1.
    let mut root = f64::from_bits((x.to_bits() >> 1) + (0x3ff << 51));
    for _ in 0..5 {
        root = 0.5 * (root + x / root);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn exp_agrees_with_std() {
        let mut random = Random::new(2);
        for _ in 0..100_000 {
            let x = f64::from(random.signed()) * 700.0;
            let relative = exp(x) / x.exp() - 1.0;
            assert!(relative.abs() < 1e-14, "exp({x}): {relative:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(1000.0), f64::INFINITY);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn ln_agrees_with_std() {
        let mut random = Random::new(3);
        for _ in 0..100_000 {
            let x = (f64::from(random.signed()) * 300.0).exp();
            let error = ln(x) - x.ln();
            assert!(
                error.abs() <= 1e-15 * x.ln().abs().max(1.0),
                "ln({x}): {error:e}"
            );
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn cos_and_sin_agree_with_std_up_to_the_longest_context() {
        let mut random = Random::new(4);
        for n in 0..200_000_u32 {
            let x = f64::from(n) * f64::from(random.uniform());
            let (cos, sin) = cos_sin(x);
            assert!((cos - x.cos()).abs() < 1e-10, "cos({x}) = {cos}");
            assert!((sin - x.sin()).abs() < 1e-10, "sin({x}) = {sin}");
        }
    }

    #[test]
    fn sqrt_agrees_with_std() {
        let mut random = Random::new(5);
        for _ in 0..10_000 {
            let x = (f64::from(random.signed()) * 300.0).exp();
            assert!((sqrt(x) / x.sqrt() - 1.0).abs() < 1e-14, "sqrt({x})");
        }
        assert_eq!(sqrt(0.0), 0.0);
    }

    #[test]
    fn rounding_takes_ties_to_even() {
        for (x, expected) in [
            (0.5, 0.0),
            (1.5, 2.0),
            (-2.5, -2.0),
            (126.6, 127.0),
            (-0.4, 0.0),
        ] {
            assert_eq!(round_f32(x), expected, "{x}");
        }
    }
}
