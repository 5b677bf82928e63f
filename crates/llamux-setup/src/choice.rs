// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which models a machine can run, and which of them is the one for it.

use crate::machine::Machine;
use crate::memory::{boot_mb, taken_mb, Place, REST_MB};

/// How a model fits into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It takes at most half of the memory.
    Well,
    /// It fits, and takes more than half.
    Barely,
    /// So many MiB would do.
    Not(u64),
}

/// Whether a model of so many bytes fits.
pub fn fit(machine: &Machine, bytes: u64, place: Place) -> Fit {
    let needed = boot_mb(bytes, place) + REST_MB;
    if needed > machine.memory_mb {
        Fit::Not(needed)
    } else if 2 * taken_mb(bytes, place) > machine.memory_mb {
        Fit::Barely
    } else {
        Fit::Well
    }
}

/// The largest of the models (by their bytes) that fits well; else the smallest that fits.
pub fn choose(machine: &Machine, models: &[u64], place: Place) -> Option<usize> {
    let fitting = |wanted| {
        let all = models.iter().enumerate();
        all.filter(move |(_, &bytes)| fit(machine, bytes, place) == wanted)
    };
    fitting(Fit::Well)
        .max_by_key(|(_, &bytes)| bytes)
        .or_else(|| fitting(Fit::Barely).min_by_key(|(_, &bytes)| bytes))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::recorded;

    const SMOLLM2: u64 = 98_362_432;
    const TINYLLAMA: u64 = 668_788_096;
    const QWEN: u64 = 1_117_320_768;

    #[test]
    fn the_best_model_of_recorded_machines() {
        let all = [SMOLLM2, QWEN, TINYLLAMA];
        for (at, place, chosen) in [
            // 3818 MiB.
            (0, Place::Head, Some(1)),
            (0, Place::Disk, Some(1)),
            (0, Place::Archive, Some(2)),
            // 15 GiB.
            (1, Place::Archive, Some(1)),
            // 979 MiB.
            (2, Place::Head, Some(0)),
            (2, Place::Archive, None),
        ] {
            assert_eq!(choose(&recorded(at), &all, place), chosen, "{at} {place}");
        }
        assert_eq!(choose(&recorded(1), &[], Place::Head), None);
    }

    #[test]
    fn fits_have_numbers() {
        let small = recorded(2);
        assert_eq!(fit(&small, SMOLLM2, Place::Head), Fit::Well);
        // Three copies of it for a moment, the room, and the rest of the system: 474 + 512.
        assert_eq!(fit(&small, SMOLLM2, Place::Archive), Fit::Not(986));
        let mut other = small;
        other.memory_mb = 986;
        assert_eq!(fit(&other, SMOLLM2, Place::Archive), Fit::Well);
        other.memory_mb = 2000;
        assert_eq!(fit(&other, TINYLLAMA, Place::Head), Fit::Barely);
        assert_eq!(choose(&other, &[TINYLLAMA], Place::Head), Some(0));
    }
}
