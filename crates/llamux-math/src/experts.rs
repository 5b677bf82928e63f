// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A mixture of experts, <https://arxiv.org/abs/2401.04088>: which ones a token asks, and putting
//! together what they answer.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// [`abi::Route`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn route(op: &abi::Route, units: Units) {
    let (experts, used) = (op.experts as usize, op.used as usize);
    for token in units {
        // SAFETY: The token's logits, and its part of both outputs.
        let (logits, chosen, weights) = unsafe {
            (
                slice::from_raw_parts(op.logits.add(token * experts), experts),
                slice::from_raw_parts_mut(op.chosen.add(token * used), used),
                slice::from_raw_parts_mut(op.weights.add(token * used), used),
            )
        };
        choose(logits, chosen, weights);
    }
}

/// Experts and weights of one token.
fn choose(logits: &[f32], chosen: &mut [u32], weights: &mut [f32]) {
    for place in 0..chosen.len() {
        let (before, rest) = chosen.split_at_mut(place);
        let mut best: Option<(u32, f32)> = None;
        for (expert, &logit) in (0..).zip(logits) {
            // What is no number is above nothing, and anything is above it.
            let logit = if logit.is_nan() {
                f32::NEG_INFINITY
            } else {
                logit
            };
            let above = best.is_none_or(|(_, best)| logit > best);
            if above && !before.contains(&expert) {
                best = Some((expert, logit));
            }
        }
        let (expert, logit) = best.unwrap_or((0, f32::NEG_INFINITY));
        if let (Some(to), Some(weight)) = (rest.first_mut(), weights.get_mut(place)) {
            (*to, *weight) = (expert, logit);
        }
    }
    // The first is the largest.
    let max = weights.first().map_or(0.0, |&max| f64::from(max));
    let mut sum = 0.0;
    for weight in weights.iter_mut() {
        let share = elementary::exp(f64::from(*weight) - max);
        sum += share;
        // CAST: The nearest `f32`.
        *weight = share as f32;
    }
    for weight in weights {
        // CAST: The nearest `f32`.
        *weight = (f64::from(*weight) / sum) as f32;
    }
}

/// [`abi::Combine`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn combine(op: &abi::Combine, units: Units) {
    let (used, columns) = (op.used as usize, op.columns as usize);
    for token in units {
        // SAFETY: The token's output and rows are the caller's.
        let (out, rows, weights) = unsafe {
            (
                slice::from_raw_parts_mut(op.out.add(token * columns), columns),
                slice::from_raw_parts(op.rows.add(token * used), used),
                slice::from_raw_parts(op.weights.add(token * used), used),
            )
        };
        for (&row, &weight) in rows.iter().zip(weights) {
            // SAFETY: There is such a row.
            let x = unsafe { slice::from_raw_parts(op.x.add(row as usize * columns), columns) };
            for (out, &x) in out.iter_mut().zip(x) {
                *out += weight * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(logits: &[f32], used: usize) -> (std::vec::Vec<u32>, std::vec::Vec<f32>) {
        let (mut chosen, mut weights) = (std::vec![9; used], std::vec![9.0; used]);
        let op = abi::Route {
            logits: logits.as_ptr(),
            chosen: chosen.as_mut_ptr(),
            weights: weights.as_mut_ptr(),
            experts: logits.len() as u32,
            used: used as u32,
        };
        // SAFETY: One token.
        unsafe { route(&op, 0..1) };
        (chosen, weights)
    }

    #[test]
    fn the_largest_are_chosen_and_weighed_among_themselves() {
        let (experts, weights) = chosen(&[1.0, 3.0, -2.0, 2.0], 2);
        assert_eq!(experts, [1, 3]);
        let first = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!((weights[0] - first).abs() < 1e-6 && (weights[1] - (1.0 - first)).abs() < 1e-6);
        assert_eq!(chosen(&[5.0], 1), (std::vec![0], std::vec![1.0]));
        assert_eq!(chosen(&[2.0, 2.0, 2.0], 2).0, [0, 1]);
    }

    /// Whatever the logits are: the numbers are used to find weights.
    #[test]
    fn experts_are_distinct_and_exist_whatever_the_logits() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0];
        for used in 1..=5 {
            let (mut experts, _) = chosen(&odd, used);
            assert_eq!(experts[0], 1);
            experts.sort_unstable();
            experts.dedup();
            assert!(experts.len() == used && experts.iter().all(|&expert| expert < 5));
        }
        assert_eq!(chosen(&[f32::NAN; 4], 4).0, [0, 1, 2, 3]);
        assert_eq!(chosen(&[f32::NEG_INFINITY; 3], 2).0, [0, 1]);
    }
}
