// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `Q3_K` and `Q6_K` have in common: 256 weights in 16 groups of 16, each group with a scale of
//! a few bits, and no minimum.

use crate::activation::Q8x256;
use crate::fit;
use crate::float16;

/// Weights of a group.
const GROUP: usize = 16;

/// The weights `unit * scale(group) * q(weight)`.
#[inline]
pub(super) fn dequantize(
    unit: [u8; 2],
    scale: impl Fn(usize) -> i8,
    q: impl Fn(usize) -> i8,
    out: &mut [f32],
) {
    for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
        let scale = float16::from_bytes(unit) * f32::from(scale(g));
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(q(GROUP * g + i));
        }
    }
}

/// The product of the same weights with `x`.
#[inline]
pub(super) fn dot(
    unit: [u8; 2],
    scale: impl Fn(usize) -> i8,
    q: impl Fn(usize) -> i8,
    x: &Q8x256,
) -> f32 {
    let mut sum = 0;
    for (g, x_group) in x.q.chunks_exact(GROUP).enumerate() {
        let products = x_group
            .iter()
            .enumerate()
            .map(|(i, x)| i32::from(q(GROUP * g + i)) * i32::from(*x));
        sum += i32::from(scale(g)) * products.sum::<i32>();
    }
    // CAST: At most 256 * 128 * 32 * 128; it may be rounded.
    float16::from_bytes(unit) * x.scale * sum as f32
}

/// Weights as such a type has them.
pub(super) struct Groups {
    /// 16-bit float.
    pub(super) unit: [u8; 2],
    pub(super) scales: [i8; 16],
    /// What the scales are multiplied with, half of the levels added.
    pub(super) q: [u8; 256],
}

/// Finds them for a type with so many levels, and so many of the scales, half of either negative.
#[inline(always)]
pub(super) fn quantize(x: &[f32], levels: u16, scales: u16) -> Groups {
    let (half, half_scale) = (f32::from(levels / 2), f32::from(scales / 2));
    let level = |x| fit::level(x, -half, half - 1.0);
    let mut ideal = [0.0; 16];
    for (g, ideal) in ideal.iter_mut().enumerate() {
        *ideal = fit::scale::<GROUP>(&fit::group(x, g), -half, level, |x| x * x);
    }
    let unit = float16::to_bytes(fit::extreme(&ideal) / -half_scale);
    let width = float16::from_bytes(unit);
    let scales = ideal.map(|g| {
        let scale = fit::level(g * fit::inverse(width), -half_scale, half_scale - 1.0);
        // CAST: Of 8 bits at most.
        scale as i8
    });
    let mut q = [0; 256];
    for (i, q) in q.iter_mut().enumerate() {
        let inverse = fit::inverse(width * f32::from(scales[i / GROUP]));
        // CAST: Of few bits.
        *q = (level(x[i] * inverse) + half) as u8;
    }
    Groups { unit, scales, q }
}
