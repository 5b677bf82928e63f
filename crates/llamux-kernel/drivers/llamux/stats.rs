// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/llamux/stats`: how requests ended, how long they waited, and how fast they were answered, described
//! in Documentation/ABI/testing/procfs-llamux.

use kernel::bindings;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use llamux_engine::generate::Stop;

use crate::{haiku, SERVICE};

/// Classes of a histogram: less than 1, less than 2, less than 4, and so on, and one for all that is more.
const CLASSES: usize = 18;

/// How requests end, and what they are counted as.
const ENDS: [&str; 5] = ["end", "length", "buffer", "stopped", "failed"];

/// A histogram over powers of two.
struct Histogram([Atomic<u64>; CLASSES]);

impl Histogram {
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; CLASSES])
    }

    /// Counts a value.
    fn count(&self, value: u64) {
        if let Some(class) = self.0.get(class(value)) {
            class.fetch_add(1, Relaxed);
        }
    }

    fn show(&self, m: &SeqFile, what: &str, unit: &str) {
        for (power, count) in self.0.iter().enumerate() {
            let count = count.load(Relaxed);
            if power + 1 < CLASSES {
                seq_print!(m, "{what}_below_{}{unit}: {count}\n", 1u32 << power);
            } else {
                seq_print!(m, "{what}_above: {count}\n");
            }
        }
    }
}

/// The class of a value.
fn class(value: u64) -> usize {
    // CAST: At most 64.
    ((u64::BITS - value.leading_zeros()) as usize).min(CLASSES - 1)
}

/// The times and speeds of all requests.
pub(crate) struct Timings {
    ends: [Atomic<u64>; ENDS.len()],
    queue_ms: Histogram,
    first_token_ms: Histogram,
    tokens_per_second: Histogram,
}

impl Timings {
    pub(crate) const fn new() -> Self {
        Self {
            ends: [const { Atomic::new(0) }; ENDS.len()],
            queue_ms: Histogram::new(),
            first_token_ms: Histogram::new(),
            tokens_per_second: Histogram::new(),
        }
    }

    /// Counts one that was taken in, so many nanoseconds after it came.
    pub(crate) fn begun(&self, ns: u64) {
        self.queue_ms.count(ns / 1_000_000);
    }

    /// Counts a first token, so many nanoseconds after the request came.
    pub(crate) fn first_token(&self, ns: u64) {
        self.first_token_ms.count(ns / 1_000_000);
    }

    /// Counts an end: why, or `None` for an error, and how many tokens came after the first one in how long.
    pub(crate) fn ended(&self, stop: Option<Stop>, tokens: u64, ns: u64) {
        let end = match stop {
            Some(Stop::End) => 0,
            Some(Stop::Length | Stop::Context) => 1,
            Some(Stop::Sink) => 2,
            Some(Stop::Requested) => 3,
            None => 4,
        };
        if let Some(end) = self.ends.get(end) {
            end.fetch_add(1, Relaxed);
        }
        let speed = tokens.saturating_mul(1_000_000_000).checked_div(ns);
        if let Some(speed) = speed.filter(|_| tokens != 0) {
            self.tokens_per_second.count(speed);
        }
    }

    fn show(&self, m: &SeqFile) {
        for (end, count) in ENDS.iter().zip(&self.ends) {
            seq_print!(m, "requests_{end}: {}\n", count.load(Relaxed));
        }
        self.queue_ms.show(m, "queue", "_ms");
        self.first_token_ms.show(m, "first_token", "_ms");
        self.tokens_per_second.show(m, "tokens_per_second", "");
    }
}

/// Called by procfs for each reading of the file.
///
/// # Safety
///
/// `m` is a seq_file that nobody else uses meanwhile.
#[no_mangle]
unsafe extern "C" fn llamux_stats_show(m: *mut bindings::seq_file, _v: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let m = unsafe { SeqFile::from_raw(m) };
    let Some(service) = SERVICE.as_ref() else {
        return 0;
    };
    service.timings.show(m);
    if let Some(latency) = service.latency.as_ref() {
        latency.show_classes(m, "fpu_section_");
    }
    seq_print!(m, "haiku: {}\n", haiku::written());
    0
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_stats)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two() {
        for (value, expected) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 3),
            (65_535, 16),
            (65_536, 17),
            (u64::MAX, 17),
        ] {
            assert_eq!(class(value), expected);
        }
    }

    #[test]
    fn each_request_counts_once() {
        let timings = Timings::new();
        timings.begun(1_999_999);
        timings.first_token(4_000_000);
        timings.ended(Some(Stop::Length), 100, 2_000_000_000);
        timings.ended(None, 0, 0);
        assert_eq!(timings.queue_ms.0[1].load(Relaxed), 1);
        assert_eq!(timings.first_token_ms.0[3].load(Relaxed), 1);
        assert_eq!(timings.tokens_per_second.0[6].load(Relaxed), 1);
        assert_eq!(timings.ends[1].load(Relaxed), 1);
        assert_eq!(timings.ends[4].load(Relaxed), 1);
    }
}
