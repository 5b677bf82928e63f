// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From logits to a token.

use core::slice;

use llamux_abi as abi;

use crate::elementary;
use crate::kernels::Units;

/// [`abi::Penalize`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn penalize(op: &abi::Penalize, units: Units) {
    // CAST: The nearest `f32`.
    let penalty = (f64::from(op.penalty_milli) / 1000.0) as f32;
    for i in units {
        // SAFETY: The operation is serial and ascending, so the ids up to this one are there.
        let (id, earlier) = unsafe { (*op.ids.add(i), slice::from_raw_parts(op.ids, i)) };
        if earlier.contains(&id) {
            continue;
        }
        // SAFETY: The id is below the vocabulary's size.
        let logit = unsafe { &mut *op.logits.add(id as usize) };
        *logit = if *logit > 0.0 {
            *logit / penalty
        } else {
            *logit * penalty
        };
    }
}

/// [`abi::TopK`], with a function that finds the first logit above a threshold.
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn top_k(
    op: &abi::TopK,
    units: Units,
    first_above: impl Fn(&[f32], f32) -> Option<usize>,
) {
    // SAFETY: The operation is serial: nobody else looks at the candidates or writes logits.
    let (logits, candidates) = unsafe {
        (
            slice::from_raw_parts(op.logits, units.end),
            &mut *op.candidates,
        )
    };
    let mut heap = Heap::new(candidates);
    let mut next = units.start;
    while next < units.end {
        if let Some(least) = heap.least_if_full() {
            // An equal logit does not enter, as its id is higher; neither does a NaN.
            match first_above(&logits[next..], least) {
                Some(skip) => next += skip,
                None => break,
            }
            // CAST: The vocabulary's size is a `u32`.
            heap.replace_least(next as u32, logits[next]);
        } else if !logits[next].is_nan() {
            // CAST: As above.
            heap.push(next as u32, logits[next]);
        }
        next += 1;
    }
    if units.end == op.vocabulary as usize {
        heap.sort();
    }
}

/// [`abi::Pick`].
///
/// # Safety
///
/// As [`abi::Kernels::run`].
pub(crate) unsafe fn pick(op: &abi::Pick, _units: Units) {
    // SAFETY: One unit: nobody else looks at them.
    let (candidates, rng, token) = unsafe { (&mut *op.candidates, &mut *op.rng, &mut *op.token) };
    let len = (candidates.len as usize).min(candidates.entries.len());
    let entries = &candidates.entries[..len];
    let Some(first) = entries.first() else {
        *token = u32::MAX;
        return;
    };
    if op.temperature_milli == 0 {
        *token = first.id;
        return;
    }
    let best = logit(first);
    let weight = |candidate: &abi::Candidate, scale: f64| {
        // The best one weighs 1, even where it is infinite.
        let behind = logit(candidate) - best;
        if behind.is_nan() {
            1.0
        } else {
            elementary::exp(behind * scale)
        }
    };

    let mut kept = entries;
    if op.top_p_milli < 1000 {
        let total: f64 = kept.iter().map(|candidate| weight(candidate, 1.0)).sum();
        let wanted = total * f64::from(op.top_p_milli) / 1000.0;
        kept = &kept[..count_up_to(kept.iter().map(|candidate| weight(candidate, 1.0)), wanted)];
    }
    if op.min_p_milli > 0 {
        let least = f64::from(op.min_p_milli) / 1000.0;
        let likely = kept
            .iter()
            .take_while(|candidate| weight(candidate, 1.0) >= least)
            .count();
        kept = &kept[..likely.max(1)];
    }

    let scale = 1000.0 / f64::from(op.temperature_milli);
    let total: f64 = kept.iter().map(|candidate| weight(candidate, scale)).sum();
    let wanted = total * uniform(rng);
    let drawn = count_up_to(
        kept.iter().map(|candidate| weight(candidate, scale)),
        wanted,
    );
    *token = kept[drawn - 1].id;
    // CAST: At most `MAX_CANDIDATES`.
    candidates.len = kept.len() as u32;
}

/// [`abi::LogSumExp`], with functions for the largest logit and for the sum of `exp(logit - max)`.
///
/// # Safety
///
/// As [`abi::Kernels::run`].
#[inline(always)]
pub(crate) unsafe fn log_sum_exp(
    op: &abi::LogSumExp,
    units: Units,
    largest: impl Fn(&[f32]) -> f32,
    sum_exp: impl Fn(&[f32], f32) -> f64,
) {
    // SAFETY: The operation is serial: nobody else looks at the state or writes logits.
    let (logits, state) = unsafe {
        let logits = op.logits.add(units.start);
        (slice::from_raw_parts(logits, units.len()), &mut *op.state)
    };
    if !logits.is_empty() {
        let mut max = largest(logits);
        let mut sum = 0.0;
        if state.started != 0 {
            let before = f32::from_bits(state.max_bits);
            max = max.max(before);
            sum = f64::from_bits(state.sum_bits)
                * elementary::exp(f64::from(before) - f64::from(max));
        }
        sum += sum_exp(logits, max);
        state.max_bits = max.to_bits();
        state.sum_bits = sum.to_bits();
        state.started = 1;
    }
    if units.end == op.vocabulary as usize {
        // SAFETY: The target is below the vocabulary's size.
        let target = f64::from(unsafe { *op.logits.add(op.target as usize) });
        let max = f64::from(f32::from_bits(state.max_bits));
        let sum = f64::from_bits(state.sum_bits);
        state.nll_bits = (elementary::ln(sum) + max - target).to_bits();
    }
}

/// How many of `weights` it takes for their sum to exceed `wanted`; all where it never does. At
/// least one, and none without weight at the end, so long as `wanted` is below the sum.
fn count_up_to(weights: impl Iterator<Item = f64>, wanted: f64) -> usize {
    let (mut count, mut sum) = (0, 0.0);
    for weight in weights {
        count += 1;
        sum += weight;
        if sum > wanted {
            break;
        }
    }
    count
}

/// A number in `0..1`, and the next state: SplitMix64.
///
/// Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014,
/// <https://doi.org/10.1145/2714064.2660195>; constants of <https://prng.di.unimi.it/splitmix64.c>.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // CAST: 53 bits, as many as an `f64` holds; the divisor is 2^53.
    (z >> 11) as f64 / 9_007_199_254_740_992.0
}

fn logit(candidate: &abi::Candidate) -> f64 {
    f64::from(f32::from_bits(candidate.logit_bits))
}

/// Whether `a` comes after `b` in descending order.
fn is_less(a: &abi::Candidate, b: &abi::Candidate) -> bool {
    let (x, y) = (logit(a), logit(b));
    x < y || (x == y && a.id > b.id)
}

/// Candidates as a binary heap with the smallest at the root.
///
/// # Invariants
///
/// `len <= limit <= entries.len()`; no entry is less than the one at half its index.
struct Heap<'a> {
    entries: &'a mut [abi::Candidate],
    len: &'a mut u32,
}

impl<'a> Heap<'a> {
    /// Takes up the heap where the range before left it.
    fn new(candidates: &'a mut abi::Candidates) -> Self {
        // INVARIANT: Nothing but this type writes the candidates while an operation runs.
        let limit = (candidates.limit as usize).clamp(1, abi::MAX_CANDIDATES);
        // CAST: At most `MAX_CANDIDATES`.
        candidates.len = candidates.len.min(limit as u32);
        Self {
            entries: &mut candidates.entries[..limit],
            len: &mut candidates.len,
        }
    }

    /// The root's logit, once there is no more room.
    fn least_if_full(&self) -> Option<f32> {
        let full = *self.len as usize == self.entries.len();
        full.then(|| f32::from_bits(self.entries[0].logit_bits))
    }

    /// Adds a candidate while there is room.
    fn push(&mut self, id: u32, logit: f32) {
        let mut child = *self.len as usize;
        self.entries[child] = abi::Candidate {
            id,
            logit_bits: logit.to_bits(),
        };
        *self.len += 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !is_less(&self.entries[child], &self.entries[parent]) {
                break;
            }
            self.entries.swap(child, parent);
            child = parent;
        }
    }

    /// Puts a candidate in the root's place.
    fn replace_least(&mut self, id: u32, logit: f32) {
        self.entries[0] = abi::Candidate {
            id,
            logit_bits: logit.to_bits(),
        };
        self.sift_down(*self.len as usize);
    }

    /// Lets the root sink to its place among the first `len`.
    fn sift_down(&mut self, len: usize) {
        let heap = &mut self.entries[..len];
        let mut parent = 0;
        loop {
            let mut child = 2 * parent + 1;
            if child >= len {
                break;
            }
            if child + 1 < len && is_less(&heap[child + 1], &heap[child]) {
                child += 1;
            }
            if !is_less(&heap[child], &heap[parent]) {
                break;
            }
            heap.swap(child, parent);
            parent = child;
        }
    }

    /// Puts the candidates into descending order.
    fn sort(self) {
        let Self { entries, len } = self;
        let count = *len as usize;
        let mut heap = Heap { entries, len };
        for end in (1..count).rev() {
            heap.entries.swap(0, end);
            heap.sift_down(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{candidates, Random};
    use std::vec::Vec;

    fn sorted(logits: &[f32]) -> abi::Candidates {
        let mut kept = candidates(abi::MAX_CANDIDATES);
        let op = abi::TopK {
            logits: logits.as_ptr(),
            vocabulary: logits.len() as u32,
            candidates: &mut *kept,
        };
        // SAFETY: The range is the whole vocabulary.
        unsafe {
            top_k(&op, 0..logits.len(), |x, least| {
                x.iter().position(|&x| x > least)
            })
        };
        *kept
    }

    fn draw(logits: &[f32], seed: &mut u64, milli: [u32; 3]) -> (u32, u32) {
        let mut kept = sorted(logits);
        let mut token = 7;
        let op = abi::Pick {
            candidates: &mut kept,
            rng: seed,
            token: &mut token,
            temperature_milli: milli[0],
            top_p_milli: milli[1],
            min_p_milli: milli[2],
        };
        // SAFETY: All three are ours.
        unsafe { pick(&op, 0..1) };
        (token, kept.len)
    }

    #[test]
    fn the_generator_is_splitmix64() {
        let mut state = 1_234_567;
        // The first two outputs of the reference for this seed.
        for expected in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973] {
            assert_eq!(
                uniform(&mut state),
                (expected >> 11) as f64 / (1_u64 << 53) as f64
            );
        }
    }

    #[test]
    fn temperature_zero_takes_the_best_and_draws_nothing() {
        let mut seed = 5;
        assert_eq!(draw(&[1.0, 3.0, 3.0, 2.0], &mut seed, [0, 1000, 0]).0, 1);
        assert_eq!(seed, 5);
    }

    #[test]
    fn no_candidate_gives_no_token() {
        assert_eq!(
            draw(&[f32::NAN, f32::NAN], &mut 5, [1000, 1000, 0]).0,
            u32::MAX
        );
    }

    #[test]
    fn a_second_draw_differs() {
        let logits = [0.0; 1000];
        let mut seed = 9;
        let first = draw(&logits, &mut seed, [1000, 1000, 0]).0;
        assert_ne!(first, draw(&logits, &mut seed, [1000, 1000, 0]).0);
        assert_eq!(first, draw(&logits, &mut 9, [1000, 1000, 0]).0);
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln(), f32::NEG_INFINITY];
        let mut seed = 1;
        for (temperature, weights) in [(1000, [1.0, 2.0, 5.0]), (500, [1.0, 4.0, 25.0])] {
            let mut counts = [0; 4];
            for _ in 0..20_000 {
                counts[draw(&logits, &mut seed, [temperature, 1000, 0]).0 as usize] += 1;
            }
            assert_eq!(counts[3], 0);
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts.into_iter().zip(weights) {
                let share = f64::from(count) / 20_000.0;
                assert!((share - weight / total).abs() < 0.02, "{share} {weight}");
            }
        }
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_it() {
        let logits = [0.1_f32, 0.2, 0.3, 0.4].map(f32::ln);
        for (top_p, expected) in [(1, 1), (390, 1), (410, 2), (690, 2), (710, 3), (999, 4)] {
            assert_eq!(
                draw(&logits, &mut 1, [1000, top_p, 0]).1,
                expected,
                "{top_p}"
            );
        }
    }

    #[test]
    fn min_p_cuts_below_a_share_of_the_best() {
        let logits = [0.1_f32, 0.2, 0.3, 0.4].map(f32::ln);
        for (min_p, expected) in [(0, 4), (240, 4), (260, 3), (510, 2), (760, 1), (1000, 1)] {
            assert_eq!(
                draw(&logits, &mut 1, [1000, 1000, min_p]).1,
                expected,
                "{min_p}"
            );
        }
    }

    #[test]
    fn an_infinite_logit_is_taken() {
        let logits = [0.0, f32::INFINITY, 1.0];
        assert_eq!(draw(&logits, &mut 1, [1000, 900, 100]).0, 1);
    }

    #[test]
    fn the_penalty_counts_once_and_pulls_towards_unlikely() {
        let mut logits = [3.0, -3.0, 1.0, 0.0];
        let ids = [0, 1, 0, 3];
        let op = abi::Penalize {
            logits: logits.as_mut_ptr(),
            ids: ids.as_ptr(),
            penalty_milli: 1500,
        };
        // SAFETY: Four ids, below the vocabulary's size of four; ascending ranges.
        unsafe {
            penalize(&op, 0..2);
            penalize(&op, 2..4);
        }
        assert_eq!(logits, [2.0, -4.5, 1.0, 0.0]);
    }

    #[test]
    fn candidates_come_out_in_descending_order() {
        let mut random = Random::new(8);
        let logits: Vec<f32> = (0..3000)
            .map(|_| f32::from((random.signed() * 50.0) as i8))
            .collect();
        let kept = sorted(&logits);
        let mut expected: Vec<u32> = (0..3000).collect();
        expected.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        assert_eq!(kept.len as usize, abi::MAX_CANDIDATES);
        assert!(kept
            .entries
            .iter()
            .zip(expected)
            .all(|(entry, id)| entry.id == id));
    }
}
