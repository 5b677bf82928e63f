// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q3_K`: 256 weights of 3 bits in 16 groups of 16, with 6-bit scales.

use llamux_abi::TensorType;

use super::groups::{self, Groups};
use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;

/// 256 weights, those of group `g` being `scale * scales[g] * (q - 4)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q3K {
    /// The high bits: bit `n` of byte `i` belongs to weight `32 * n + i`.
    pub(crate) high: [u8; 32],
    /// The low two bits. 32 bytes serve 128 weights: the lowest two bits of a byte belong to the
    /// first 32, and so on.
    pub(crate) low: [u8; 64],
    /// Scales of the groups, see [`unpack_scales`].
    pub(crate) groups: [u8; 12],
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
}

const _: () = assert!(agrees_with_abi::<Q3K>());

/// Scales of the first eight groups and of the last, of 6 bits, stored with 32 added.
///
/// Their low four bits are the low halves of bytes 0 to 7 and then the high halves; their high two
/// bits are in bytes 8 to 11, four groups in the lowest two bits of each byte, and so on.
#[inline(always)]
pub(crate) fn unpack_scales(groups: &[u8; 12]) -> [[i8; 8]; 2] {
    let word = |i| u32::from_le_bytes([groups[i], groups[i + 1], groups[i + 2], groups[i + 3]]);
    let (a, b, high) = (word(0), word(4), word(8));
    let join = |low: u32, high: u32| u64::from(low & 0x0f0f_0f0f | high & 0x3030_3030);
    [
        less_32(join(a, high << 4) | join(b, high << 2) << 32),
        less_32(join(a >> 4, high) | join(b >> 4, high >> 2) << 32),
    ]
}

/// Packs what [`unpack_scales`] unpacks.
#[inline(always)]
fn pack_scales(scales: [i8; 16]) -> [u8; 12] {
    // CAST: 6 bits.
    let scales = scales.map(|scale| (scale + 32) as u8);
    core::array::from_fn(|i| match i {
        0..8 => scales[i] & 15 | scales[i + 8] << 4,
        _ => (0..4).fold(0, |byte, n| byte | scales[4 * n + i - 8] >> 4 << (2 * n)),
    })
}

/// Subtracts 32 from each of eight bytes of 6 bits.
#[inline(always)]
pub(super) fn less_32(x: u64) -> [i8; 8] {
    // The sixth bit, turned over, is the sign: it goes into the upper two as well.
    let x = x ^ 0x2020_2020_2020_2020;
    let sign = x & 0x2020_2020_2020_2020;
    // CAST: The same bits.
    (x | sign << 1 | sign << 2).to_le_bytes().map(|x| x as i8)
}

impl Q3K {
    /// Weight `i`, over the scales.
    fn q(&self, i: usize) -> i8 {
        let low = self.low[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        let high = self.high[i % 32] >> (i / 32) & 1;
        // CAST: 3 bits.
        (low | high << 2) as i8 - 4
    }
}

impl Block for Q3K {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::Q3_K;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let scales = unpack_scales(&self.groups);
        groups::dequantize(self.scale, |g| scales[g / 8][g % 8], |i| self.q(i), out);
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        let scales = unpack_scales(&self.groups);
        groups::dot(self.scale, |g| scales[g / 8][g % 8], |i| self.q(i), x)
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let Groups { unit, scales, q } = groups::quantize(x, 8, 64);
        let (mut low, mut high) = ([0; 64], [0; 32]);
        for (i, q) in q.into_iter().enumerate() {
            low[i / 128 * 32 + i % 32] |= (q & 3) << (i / 32 % 4 * 2);
            high[i % 32] |= q >> 2 << (i / 32);
        }
        Self {
            high,
            low,
            groups: pack_scales(scales),
            scale: unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn scales_are_where_the_format_says() {
        let mut groups = [0; 12];
        (groups[1], groups[7], groups[9], groups[11]) = (0x35, 0xf0, 0b0010_0001, 0xc0);
        let mut expected = [-32; 16];
        (expected[1], expected[9], expected[15]) = (5 + 16 - 32, 3 + 32 - 32, 15 + 48 - 32);
        assert_eq!(unpack_scales(&groups).concat(), expected);
    }

    #[test]
    fn scales_are_packed_as_they_are_unpacked() {
        let mut random = Random::new(25);
        let scales: [i8; 16] = random.bytes().map(|x| (x >> 2) as i8 - 32);
        assert_eq!(unpack_scales(&pack_scales(scales)).concat(), scales);
    }

    #[test]
    fn bytes_become_signed() {
        for x in 0..64 {
            let bytes = [x, 0, 63, x, 31, 32, 63 - x, 1];
            let expected = bytes.map(|x| x as i8 - 32);
            assert_eq!(less_32(u64::from_le_bytes(bytes)), expected);
        }
    }

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = Q3K {
            high: [0xff; 32],
            low: [0; 64],
            // All scales are 1.
            groups: [
                0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0xaa, 0xaa, 0xaa, 0xaa,
            ],
            scale: half::f16::from_f32(0.5).to_le_bytes(),
        };
        (block.low[0], block.low[63], block.high[2]) = (0b0010_0001, 0xc0, 0x7f);
        let mut out = [9.0; 256];
        block.dequantize(&mut out);
        let mut expected = [0.0; 256];
        (expected[0], expected[64]) = (0.5, 1.0);
        (expected[255], expected[226]) = (1.5, -2.0);
        assert_eq!(out, expected);
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q3K {
                high: random.bytes(),
                low: random.bytes(),
                groups: random.bytes(),
                scale: random.scale(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}
