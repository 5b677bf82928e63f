// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Jobs that are computed together, and how they are cut into slices.
//!
//! The first slices are large and the later ones ever smaller ("factoring": Hummel, Schonberg and
//! Flynn, 1992), so that there are few of them, and still all threads end at about the same time,
//! whenever they began.

use core::ops::Range;

use super::{FpuSection, Job, Operation, MAX_GRAIN, MAX_UNITS};

/// The bound of a slice, in picoseconds.
const SLICE: u64 = 50_000_000;
/// A shorter slice than this costs more to hand out than it balances.
const SHORT: u64 = 3_000_000;
/// Shorter work than this is not worth the threads' attention.
const WORTH_SHARING: u64 = 6_000_000;

/// Jobs that may run at the same time, one after the other's units, in slices.
///
/// # Invariants
///
/// If `cut.threads` is not 1, no job is serial. The jobs have `cut.units` units in all.
pub struct Work<'j> {
    jobs: &'j [Job<'j>],
    cut: Cut,
}

impl<'j> Work<'j> {
    /// Cuts `jobs` for so many threads; `None` if together they have more units than one job may.
    pub fn new(jobs: &'j [Job<'j>], threads: u32) -> Option<Self> {
        let mut total: u64 = 0;
        let (mut units, mut cost, mut tile) = (0u32, 1, 1);
        let mut serial = false;
        for job in jobs {
            total = total.saturating_add(job.cost.saturating_mul(job.units.into()));
            units = units.checked_add(job.units)?;
            cost = job.cost.max(cost);
            tile = job.tile.max(tile);
            serial |= job.serial;
        }
        if units > MAX_UNITS {
            return None;
        }
        let shared = !serial && units > 1 && total >= WORTH_SHARING;
        let grain = |bound: u64| {
            let grain = u32::try_from(bound / cost).unwrap_or(MAX_GRAIN);
            grain.clamp(1, MAX_GRAIN).max(tile) / tile * tile
        };
        let cut = Cut {
            units,
            threads: if shared { threads.max(1) } else { 1 },
            large: grain(SLICE),
            small: grain(SHORT),
            tile,
        };
        // INVARIANT: More threads than one are said only where nothing is serial.
        Some(Self { jobs, cut })
    }

    /// For how many threads it is.
    pub fn threads(&self) -> u32 {
        self.cut.threads
    }

    /// Into how many slices it is cut.
    pub fn slices(&self) -> u32 {
        self.cut.slices()
    }

    /// What a slice computes; the first of it, if it is more than one thing.
    pub fn operation(&self, index: u32) -> Option<Operation> {
        let range = self.cut.range(index);
        Some(Operation::of(&self.parts(range).next()?.0.op))
    }

    /// Computes one slice, at most about 50 µs of work.
    ///
    /// # Safety
    ///
    /// `index` is less than `slices()`, and no other call has it, ever; each call begins after that
    /// with the index before it has returned, unless this is for more than one thread.
    pub unsafe fn slice(&self, _fpu: &FpuSection, index: u32) {
        for (job, part) in self.parts(self.cut.range(index)) {
            // SAFETY: The job's constructor checked the buffers, which are borrowed as long as it
            // lives, the section says that the FPU may be used, and by the caller's promise these
            // units are computed nowhere else, and in their order where there is one (by the
            // type's invariant).
            unsafe { (job.kernels.0.run)(&job.op, part.start, part.end) };
        }
    }

    /// The jobs with the units of each in this range of all units.
    fn parts(&self, range: Range<u32>) -> impl Iterator<Item = (&'j Job<'j>, Range<u32>)> {
        let mut first = 0u32;
        self.jobs.iter().filter_map(move |job| {
            let begin = range.start.saturating_sub(first).min(job.units);
            let end = range.end.saturating_sub(first).min(job.units);
            // OVERFLOW: All units together are at most `MAX_UNITS`.
            first += job.units;
            (begin < end).then_some((job, begin..end))
        })
    }
}

/// How units are cut into slices.
///
/// There are rounds of one slice for each thread. A round's slices are half of what is left, shared
/// among the threads; but not larger than `large`, nor smaller than `small`.
struct Cut {
    units: u32,
    threads: u32,
    large: u32,
    small: u32,
    tile: u32,
}

/// Slices of one size.
struct Rounds {
    first_unit: u32,
    slices: u32,
    grain: u32,
}

impl Cut {
    /// The sizes, from the largest on.
    fn rounds(&self) -> impl Iterator<Item = Rounds> + '_ {
        let mut unit = 0;
        core::iter::from_fn(move || {
            let left = self.units - unit;
            if left == 0 {
                return None;
            }
            // OVERFLOW: At most 2^10 threads and slices of 2^16 units, in 64 bits.
            let half = u64::from(left).div_ceil(2 * u64::from(self.threads));
            let (grain, slices) = if self.threads == 1 || half <= self.small.into() {
                // To the end.
                let grain = if self.threads == 1 {
                    self.large
                } else {
                    self.small
                };
                (grain, left.div_ceil(grain))
            } else if half > self.large.into() {
                // As long as half of what is left is more than a round of the largest.
                let round = u64::from(self.large) * u64::from(self.threads);
                let rounds = (u64::from(left) - round) / round;
                // CAST: A part of `left`.
                (self.large, rounds.max(1) as u32 * self.threads)
            } else {
                // CAST: Less than `large`.
                (half as u32 / self.tile * self.tile, self.threads)
            };
            let rounds = Rounds {
                first_unit: unit,
                slices,
                grain,
            };
            let taken = u64::from(slices) * u64::from(grain);
            unit = u32::try_from(taken + u64::from(unit))
                .map_or(self.units, |unit| unit.min(self.units));
            Some(rounds)
        })
    }

    fn slices(&self) -> u32 {
        // OVERFLOW: Each slice but the last has a unit at least.
        self.rounds().map(|rounds| rounds.slices).sum()
    }

    /// The units of a slice.
    fn range(&self, index: u32) -> Range<u32> {
        let mut index = index;
        for rounds in self.rounds() {
            if index < rounds.slices {
                let begin =
                    u64::from(rounds.first_unit) + u64::from(index) * u64::from(rounds.grain);
                let end = begin + u64::from(rounds.grain);
                let within =
                    |unit: u64| u32::try_from(unit).map_or(self.units, |unit| unit.min(self.units));
                return within(begin)..within(end);
            }
            index -= rounds.slices;
        }
        self.units..self.units
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn slices_cover_all_units_once_and_shrink() {
        for threads in [1, 2, 3, 8, 1024] {
            for (units, large, small, tile) in [
                (1, 1, 1, 1),
                (2, 7, 1, 1),
                (1536, 900, 40, 1),
                (1000, 64, 16, 16),
                (49_152, 512, 32, 8),
                (1 << 20, 1 << 16, 1, 1),
                (12_345, 48, 48, 48),
            ] {
                let cut = Cut {
                    units,
                    threads,
                    large,
                    small,
                    tile,
                };
                let slices: Vec<_> = (0..cut.slices()).map(|index| cut.range(index)).collect();
                let mut next = 0;
                for (index, slice) in slices.iter().enumerate() {
                    assert_eq!(slice.start, next, "{threads} {units} {index}");
                    assert!(slice.len() as u32 <= large && !slice.is_empty());
                    assert!(slice.start % tile == 0, "{threads} {units} {index}");
                    next = slice.end;
                }
                assert_eq!(next, units, "{threads} {units}");
                assert!(slices.is_sorted_by_key(|slice| core::cmp::Reverse(slice.len())));
                assert!(cut.range(cut.slices()).is_empty());
            }
        }
    }

    #[test]
    fn few_slices_for_few_threads() {
        let cut = Cut {
            units: 1536,
            threads: 2,
            large: 1536,
            small: 64,
            tile: 1,
        };
        let sizes: Vec<_> = (0..cut.slices())
            .map(|index| cut.range(index).len())
            .collect();
        assert_eq!(sizes[..4], [384, 384, 192, 192]);
        assert!(sizes.len() <= 12, "{sizes:?}");
    }

    #[test]
    fn the_largest_work_is_cut_at_once() {
        let cut = Cut {
            units: MAX_UNITS,
            threads: 1024,
            large: 1,
            small: 1,
            tile: 1,
        };
        assert_eq!(cut.slices(), MAX_UNITS);
        assert_eq!(cut.range(MAX_UNITS - 1), MAX_UNITS - 1..MAX_UNITS);
    }
}
