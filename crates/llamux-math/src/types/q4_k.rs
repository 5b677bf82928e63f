// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `Q4_K`: 256 weights of 4 bits in 8 groups of 32, with 6-bit scales and minimums.

use llamux_abi::TensorType;

use super::{agrees_with_abi, Block};
use crate::activation::Q8x256;
use crate::fit;
use crate::float16;

/// 256 weights, those of group `g` being `scale * scales[g] * q - minimum * minimums[g]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4K {
    /// 16-bit float.
    pub(crate) scale: [u8; 2],
    /// 16-bit float.
    pub(crate) minimum: [u8; 2],
    /// Scales and minimums of the groups, see [`unpack_groups`].
    pub(crate) groups: [u8; 12],
    /// Each 32 bytes hold one group in their low halves and the next in their high halves.
    pub(crate) q: [u8; 128],
}

const _: () = assert!(agrees_with_abi::<Q4K>());

/// Scales and minimums of the 8 groups.
///
/// Those of the first four are the low six bits of bytes 0 to 3 and 4 to 7. The others have their
/// low four bits in the halves of bytes 8 to 11, and the high two on top of the first four's.
#[inline(always)]
pub(crate) fn unpack_groups(groups: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let word = |i| u32::from_le_bytes([groups[i], groups[i + 1], groups[i + 2], groups[i + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    let join = |low: u32, high: u32| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    (
        join(a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030),
        join(b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030),
    )
}

/// Packs what [`unpack_groups`] unpacks.
#[inline(always)]
pub(super) fn pack_groups(scales: [u8; 8], minimums: [u8; 8]) -> [u8; 12] {
    core::array::from_fn(|i| match i / 4 {
        0 => scales[i] | scales[i + 4] >> 4 << 6,
        1 => minimums[i - 4] | minimums[i] >> 4 << 6,
        _ => scales[i - 4] & 15 | minimums[i - 4] << 4,
    })
}

impl Q4K {
    /// The 4 bits of weight `i`.
    fn q(&self, i: usize) -> u8 {
        self.q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15
    }
}

impl Block for Q4K {
    type Activation = Q8x256;

    const TENSOR_TYPE: TensorType = TensorType::Q4_K;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        let (scales, minimums) = unpack_groups(&self.groups);
        for (g, out) in out.chunks_exact_mut(32).enumerate() {
            let scale = float16::from_bytes(self.scale) * f32::from(scales[g]);
            let minimum = float16::from_bytes(self.minimum) * f32::from(minimums[g]);
            for (i, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.q(32 * g + i)) - minimum;
            }
        }
    }

    #[inline]
    fn dot(&self, x: &Q8x256) -> f32 {
        let (scales, minimums) = unpack_groups(&self.groups);
        let (mut sum, mut offset) = (0, 0.0);
        for (g, x_group) in x.q.chunks_exact(32).enumerate() {
            let products = x_group
                .iter()
                .enumerate()
                .map(|(i, x)| i32::from(self.q(32 * g + i)) * i32::from(*x));
            sum += i32::from(scales[g]) * products.sum::<i32>();
            offset += f32::from(minimums[g]) * x.sums32[g];
        }
        // CAST: At most 256 * 63 * 15 * 128.
        float16::from_bytes(self.scale) * x.scale * sum as f32
            - float16::from_bytes(self.minimum) * offset
    }

    #[inline(always)]
    fn quantize(x: &[f32]) -> Self {
        let mut ideal = [(0.0, 0.0); 8];
        for (g, ideal) in ideal.iter_mut().enumerate() {
            *ideal = fit::scale_and_minimum::<32>(&fit::group(x, g), 15.0, 0.0, f32::abs);
        }
        let most = ideal.iter().fold((0.0_f32, 0.0_f32), |most, ideal| {
            (most.0.max(ideal.0), most.1.max(-ideal.1))
        });
        let scale = float16::to_bytes(most.0 / 63.0);
        let minimum = float16::to_bytes(most.1 / 63.0);
        let (unit, unit_minimum) = (float16::from_bytes(scale), float16::from_bytes(minimum));
        // CAST: Of few bits.
        let scales = ideal.map(|g| fit::level(g.0 * fit::inverse(unit), 0.0, 63.0) as u8);
        let minimums =
            ideal.map(|g| fit::level(-g.1 * fit::inverse(unit_minimum), 0.0, 63.0) as u8);
        let q = |i: usize| {
            let g = i / 32;
            let x = x[i] + unit_minimum * f32::from(minimums[g]);
            fit::level(x * fit::inverse(unit * f32::from(scales[g])), 0.0, 15.0) as u8
        };
        Self {
            scale,
            minimum,
            groups: pack_groups(scales, minimums),
            // Byte `i` of four times 32 holds weights of two groups.
            q: core::array::from_fn(|i| {
                let first = i / 32 * 64 + i % 32;
                q(first) | q(first + 32) << 4
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use crate::types::tests::dot_agrees_with_dequantize;

    #[test]
    fn groups_are_where_the_format_says() {
        let mut groups = [0; 12];
        (groups[1], groups[6], groups[9]) = (0x40 | 5, 0x80 | 7, 0xc3);
        let (scales, minimums) = unpack_groups(&groups);
        assert_eq!(scales, [0, 5, 0, 0, 0, 0x13, 0, 0]);
        assert_eq!(minimums, [0, 0, 7, 0, 0, 12, 0x20, 0]);
    }

    #[test]
    fn groups_are_packed_as_they_are_unpacked() {
        let mut random = Random::new(24);
        let (scales, minimums) = (
            random.bytes().map(|x| x >> 2),
            random.bytes().map(|x| x >> 2),
        );
        assert_eq!(
            unpack_groups(&pack_groups(scales, minimums)),
            (scales, minimums)
        );
    }

    #[test]
    fn weights_are_where_the_format_says() {
        let mut block = Q4K {
            scale: half::f16::from_f32(0.5).to_le_bytes(),
            minimum: half::f16::from_f32(1.0).to_le_bytes(),
            groups: [1; 12],
            q: [0; 128],
        };
        (block.q[0], block.q[33]) = (0x03, 0x20);
        let mut out = [0.0; 256];
        block.dequantize(&mut out);
        assert_eq!((out[0], out[1], out[32]), (0.5, -1.0, -1.0));
        assert_eq!((out[65], out[97], out[128]), (-1.0, 0.0, 0.0));
    }

    #[test]
    fn dot() {
        dot_agrees_with_dequantize(
            |random| Q4K {
                scale: random.scale(),
                minimum: random.scale(),
                groups: random.bytes(),
                q: random.bytes(),
            },
            |x| x.q.map(|q| f32::from(q) * x.scale).to_vec(),
        );
    }
}
