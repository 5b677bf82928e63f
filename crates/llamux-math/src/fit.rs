// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The searches for the scales with which weights are quantized.
//!
//! Once it is known to which level each weight belongs, the scale (and minimum) with the smallest
//! squared error follows by linear least squares. So a search tries a few scales around the one that
//! lets the levels just reach the largest weight, has each divide the weights among the levels, solves
//! for the best, and keeps the one whose error is smallest.

use crate::elementary::round_f32;

/// How many scales are tried on either side, and how far they are apart in levels.
const STEPS: i32 = 9;
const STEP: f32 = 0.1;

/// The nearest level, `x` being in units of them.
#[inline(always)]
pub(crate) fn level(x: f32, low: f32, high: f32) -> f32 {
    // Bounded first, as rounding wants it; a NaN becomes `low`.
    round_f32(x.max(low).min(high))
}

/// `1 / x`, or 0 for 0: what divides by a scale that was too small for its type.
#[inline(always)]
pub(crate) fn inverse(x: f32) -> f32 {
    if x == 0.0 {
        0.0
    } else {
        1.0 / x
    }
}

/// Group `g` of `N` weights.
#[inline(always)]
pub(crate) fn group<const N: usize>(x: &[f32], g: usize) -> [f32; N] {
    core::array::from_fn(|i| x[N * g + i])
}

/// Sums over the indices below `N`, a multiple of 8, in eight lanes that the compiler makes a vector of.
#[inline(always)]
fn sums<const N: usize, const K: usize>(of: impl Fn(usize) -> [f32; K]) -> [f32; K] {
    let mut lanes = [[0.0; 8]; K];
    for first in (0..N).step_by(8) {
        for lane in 0..8 {
            let values = of(first + lane);
            for (lanes, value) in lanes.iter_mut().zip(values) {
                lanes[lane] += value;
            }
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The weight that is farthest from zero.
#[inline(always)]
pub(crate) fn extreme(x: &[f32]) -> f32 {
    let farther = |most: f32, x: &f32| if x.abs() > most.abs() { *x } else { most };
    x.iter().fold(0.0, farther)
}

/// The scale with which `scale * levels(x / scale)` comes nearest to `x`, where `levels` rounds to a
/// level of which the farthest from zero is `low`; how much an error counts is told by `weight`.
#[inline(always)]
pub(crate) fn scale<const N: usize>(
    x: &[f32; N],
    low: f32,
    levels: impl Fn(f32) -> f32,
    weight: impl Fn(f32) -> f32,
) -> f32 {
    let extreme = extreme(x);
    if extreme == 0.0 {
        return 0.0;
    }
    // By how much a scale lessens the squared error of zeros, and that scale.
    let mut best = (0.0, extreme / low);
    for step in -STEPS..=STEPS {
        // CAST: Small.
        let inverse = (low - low.signum() * STEP * step as f32) / extreme;
        let [products, squares] = sums::<N, 2>(|i| {
            let (x, q) = (x[i], levels(x[i] * inverse));
            let weight = weight(x);
            [weight * x * q, weight * q * q]
        });
        let gain = products * products;
        if gain > best.0 * squares {
            best = (gain / squares, products / squares);
        }
    }
    best.1
}

/// Scale and minimum with which `scale * q + minimum`, `q` from 0 to `high`, comes nearest to `x`. The
/// minimum is not above `bound`.
#[inline(always)]
pub(crate) fn scale_and_minimum<const N: usize>(
    x: &[f32; N],
    high: f32,
    bound: f32,
    weight: impl Fn(f32) -> f32,
) -> (f32, f32) {
    let least = x.iter().fold(bound, |least, x| least.min(*x));
    let most = x.iter().fold(least, |most, x| most.max(*x));
    if most <= least {
        return (0.0, least);
    }
    let error = |scale: f32, minimum: f32| {
        let inverse = inverse(scale);
        let [error] = sums::<N, 1>(|i| {
            let q = level((x[i] - minimum) * inverse, 0.0, high);
            let error = scale * q + minimum - x[i];
            [weight(x[i]) * error * error]
        });
        error
    };
    let mut best = ((most - least) / high, least);
    let mut smallest = error(best.0, best.1);
    for step in -STEPS..=STEPS {
        // CAST: Small.
        let inverse = (high + STEP * step as f32) / (most - least);
        let [ones, x1, q1, qq, xq] = sums::<N, 5>(|i| {
            let (x, q) = (x[i], level((x[i] - least) * inverse, 0.0, high));
            let weight = weight(x);
            [
                weight,
                weight * x,
                weight * q,
                weight * q * q,
                weight * x * q,
            ]
        });
        let determinant = ones * qq - q1 * q1;
        if determinant <= 0.0 || qq <= 0.0 {
            continue;
        }
        let mut minimum = (qq * x1 - q1 * xq) / determinant;
        let mut scale = (ones * xq - q1 * x1) / determinant;
        if minimum > bound {
            minimum = bound;
            scale = (xq - bound * q1) / qq;
        }
        let error = error(scale, minimum);
        if scale > 0.0 && error < smallest {
            (best, smallest) = ((scale, minimum), error);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn squared_error<const N: usize>(x: &[f32; N], back: impl Fn(f32) -> f32) -> f32 {
        x.iter().map(|x| (back(*x) - x) * (back(*x) - x)).sum()
    }

    #[test]
    fn a_scale_beats_the_one_that_reaches_the_largest() {
        let mut random = Random::new(21);
        let (mut found, mut plain) = (0.0, 0.0);
        for _ in 0..100 {
            let x: [f32; 32] = core::array::from_fn(|_| random.signed() * random.signed());
            let error =
                |scale: f32| squared_error(&x, |x| scale * level(x * inverse(scale), -8.0, 7.0));
            let best = scale(&x, -8.0, |x| level(x, -8.0, 7.0), |_| 1.0);
            assert!(error(best) <= error(extreme(&x) / -8.0) * 1.000_01);
            found += error(best);
            plain += error(extreme(&x) / -8.0);
        }
        assert!(found < 0.95 * plain, "{found} of {plain}");
    }

    #[test]
    fn a_scale_and_a_minimum_beat_those_that_reach_both_ends() {
        let mut random = Random::new(22);
        for bound in [f32::INFINITY, 0.0] {
            let (mut found, mut plain) = (0.0, 0.0);
            for _ in 0..100 {
                let middle = random.signed();
                let x: [f32; 32] =
                    core::array::from_fn(|_| middle + random.signed() * random.signed());
                let error = |(scale, minimum): (f32, f32)| {
                    squared_error(&x, |x| {
                        scale * level((x - minimum) * inverse(scale), 0.0, 15.0) + minimum
                    })
                };
                let best = scale_and_minimum(&x, 15.0, bound, |_| 1.0);
                let least = x.iter().fold(bound, |a, b| a.min(*b));
                let most = x.iter().fold(least, |a, b| a.max(*b));
                let ends = ((most - least) / 15.0, least);
                assert!(best.1 <= bound && error(best) <= error(ends));
                found += error(best);
                plain += error(ends);
            }
            assert!(found < 0.9 * plain, "{found} of {plain}");
        }
    }

    #[test]
    fn what_has_levels_of_its_own_gets_them_back() {
        let x: [f32; 16] = core::array::from_fn(|i| 0.25 * (i as f32 - 8.0));
        assert_eq!(scale(&x, -8.0, |x| level(x, -8.0, 7.0), |_| 1.0), 0.25);
        let x: [f32; 16] = core::array::from_fn(|i| 0.25 * i as f32 + 3.0);
        let (scale, minimum) = scale_and_minimum(&x, 15.0, f32::INFINITY, |_| 1.0);
        assert!((scale - 0.25).abs() < 1e-5 && (minimum - 3.0).abs() < 1e-5);
    }

    #[test]
    fn zeros_and_constants_have_no_scale() {
        assert_eq!(scale(&[0.0; 16], -8.0, |x| x, |_| 1.0), 0.0);
        for (x, bound, expected) in [
            (2.0, f32::INFINITY, (0.0, 2.0)),
            (-2.0, 0.0, (0.0, -2.0)),
            (0.0, 0.0, (0.0, 0.0)),
        ] {
            assert_eq!(scale_and_minimum(&[x; 16], 15.0, bound, |_| 1.0), expected);
        }
    }
}
