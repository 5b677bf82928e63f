// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Conversion between 16-bit and 32-bit floats (IEEE 754 binary16 and binary32) by integers.
//!
//! The twin of the F16C instructions for processors without them. Both quieten NaNs, and narrowing
//! rounds to nearest, ties to even.

/// Widens a 16-bit float, given by its bits.
pub(crate) fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half & 0x3ff);
    let magnitude = match exponent {
        // CAST: 10 bits fit in the mantissa of an `f32`; 0x3380_0000 is 2^-24.
        0 => (mantissa as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        0x1f if mantissa == 0 => 0x7f80_0000,
        0x1f => 0x7fc0_0000 | mantissa << 13,
        _ => (exponent + 127 - 15) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// Narrows to the bits of a 16-bit float.
pub(crate) fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    // CAST: The shift leaves 16 bits.
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude > 0x7f80_0000 {
        0x7e00 | (magnitude >> 13 & 0x3ff)
    } else if magnitude >= 0x4780_0000 {
        0x7c00
    } else if magnitude >= 0x3880_0000 {
        // Rounding may carry into the exponent, and from the largest one to infinity, as it should.
        let rebased = magnitude - ((127 - 15) << 23);
        (rebased + 0xfff + (rebased >> 13 & 1)) >> 13
    } else if magnitude >= 0x3300_0000 {
        // A subnormal: the mantissa with its hidden bit, in units of 2^-24.
        let shift = 126 - (magnitude >> 23);
        let mantissa = magnitude & 0x7f_ffff | 0x80_0000;
        let half_unit = (1 << (shift - 1)) - 1;
        (mantissa + half_unit + (mantissa >> shift & 1)) >> shift
    } else {
        0
    };
    // CAST: At most 0x7fff.
    sign | half as u16
}

/// Widens the two bytes in which a block keeps a 16-bit float.
pub(crate) fn from_bytes(bytes: [u8; 2]) -> f32 {
    to_f32(u16::from_le_bytes(bytes))
}

/// Narrows to the two bytes in which a block keeps a 16-bit float.
pub(crate) fn to_bytes(value: f32) -> [u8; 2] {
    from_f32(value).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn widening_agrees_with_half_for_all_values() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            assert_eq!(to_f32(bits).to_bits(), expected.to_bits(), "{bits:#06x}");
        }
    }

    #[test]
    fn narrowing_agrees_with_half_around_every_value() {
        for bits in 0..=u16::MAX {
            let center = half::f16::from_bits(bits).to_f32().to_bits();
            // The value itself, its neighbours, and the midpoint to the next one with its own.
            for offset in [0, 1, u32::MAX, 0xfff, 0x1000, 0x1001] {
                let value = f32::from_bits(center.wrapping_add(offset));
                let expected = half::f16::from_f32(value).to_bits();
                assert_eq!(from_f32(value), expected, "{value:e}");
            }
        }
    }

    #[test]
    fn narrowing_agrees_with_half_for_random_bits() {
        let mut random = Random::new(1);
        for _ in 0..2_000_000 {
            let value = f32::from_bits(random.next_u32());
            assert_eq!(
                from_f32(value),
                half::f16::from_f32(value).to_bits(),
                "{value:e}"
            );
        }
    }
}
