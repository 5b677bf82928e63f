// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/llamux/latency`: how long the FPU sections were, described in
//! Documentation/ABI/testing/procfs-llamux.
//!
//! Preemption is off in a section, so its length is what others may have to wait for.

use kernel::bindings;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use llamux_engine::math::Operation;

use crate::SERVICE;

/// Classes of lengths: less than 1 µs, less than 2, 4, and so on, and one for all that is longer.
const CLASSES: usize = 16;

/// What the threads of a pool have counted.
pub(crate) struct Latency {
    threads: KVec<Counters>,
}

/// What one thread has counted, on cache lines of its own.
///
/// Thread number 0 is whoever has something computed: the one that answers, and one that loads a model
/// meanwhile.
#[repr(align(128))]
struct Counters {
    classes: [Atomic<u64>; CLASSES],
    total_ns: Atomic<u64>,
    longest_ns: Atomic<u64>,
    /// The number of the longest one's operation.
    operation: Atomic<u32>,
}

impl Latency {
    pub(crate) fn new(threads: u32) -> Result<Self> {
        let mut counters = KVec::new();
        for _ in 0..threads {
            let zeros = Counters {
                classes: [const { Atomic::new(0) }; CLASSES],
                total_ns: Atomic::new(0),
                longest_ns: Atomic::new(0),
                operation: Atomic::new(0),
            };
            counters.push(zeros, GFP_KERNEL)?;
        }
        Ok(Self { threads: counters })
    }

    /// Counts a section of thread number `thread`, in which this is called.
    pub(crate) fn count(&self, thread: u32, operation: Operation, ns: u64) {
        // CAST: At most `MAX_THREADS`.
        let Some(counters) = self.threads.get(thread as usize) else {
            return;
        };
        if let Some(class) = counters.classes.get(class(ns)) {
            class.fetch_add(1, Relaxed);
        }
        counters.total_ns.fetch_add(ns, Relaxed);
        // Of two that are longer at the same time either may stay.
        if ns > counters.longest_ns.load(Relaxed) {
            counters.longest_ns.store(ns, Relaxed);
            counters.operation.store(operation as u32, Relaxed);
        }
    }

    /// Sections of all threads by their lengths.
    fn classes(&self) -> [u64; CLASSES] {
        let mut classes = [0u64; CLASSES];
        for counters in &self.threads {
            for (sum, class) in classes.iter_mut().zip(&counters.classes) {
                *sum = sum.wrapping_add(class.load(Relaxed));
            }
        }
        classes
    }

    /// Shows these, with `prefix` in front of each line.
    pub(crate) fn show_classes(&self, m: &SeqFile, prefix: &str) {
        let classes = self.classes();
        let (last, rest) = match classes.split_last() {
            Some(parts) => parts,
            None => return,
        };
        for (power, count) in rest.iter().enumerate() {
            seq_print!(m, "{prefix}below_{}_us: {count}\n", 1u32 << power);
        }
        seq_print!(m, "{prefix}above: {last}\n");
    }

    fn show(&self, m: &SeqFile) {
        let sum = |counter: fn(&Counters) -> &Atomic<u64>| {
            let values = self
                .threads
                .iter()
                .map(|thread| counter(thread).load(Relaxed));
            values.fold(0, u64::wrapping_add)
        };
        let classes = self.classes();
        let sections = classes.iter().copied().fold(0, u64::wrapping_add);
        let total = sum(|counters| &counters.total_ns);
        seq_print!(m, "sections: {sections}\ntotal_us: {}\n", total / 1000);
        let longest = self
            .threads
            .iter()
            .max_by_key(|counters| counters.longest_ns.load(Relaxed))
            .filter(|_| sections != 0);
        if let Some(counters) = longest {
            let operation = counters.operation.load(Relaxed) as usize;
            let name = Operation::ALL.get(operation).map_or("", |it| it.name());
            let ns = counters.longest_ns.load(Relaxed);
            seq_print!(m, "longest_ns: {ns}\nlongest_operation: {name}\n");
        }
        self.show_classes(m, "");
    }
}

/// The class of a length.
fn class(ns: u64) -> usize {
    let us = ns / 1000;
    // CAST: At most 64.
    let power = (u64::BITS - us.leading_zeros()) as usize;
    power.min(CLASSES - 1)
}

/// Called by procfs for each reading of the file.
///
/// # Safety
///
/// `m` is a seq_file that nobody else uses meanwhile.
#[no_mangle]
unsafe extern "C" fn llamux_latency_show(m: *mut bindings::seq_file, _v: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let m = unsafe { SeqFile::from_raw(m) };
    if let Some(latency) = SERVICE
        .as_ref()
        .and_then(|service| service.latency.as_ref())
    {
        latency.show(m);
    }
    0
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_latency)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two() {
        for (ns, expected) in [
            (0, 0),
            (999, 0),
            (1000, 1),
            (1999, 1),
            (2000, 2),
            (50_000, 6),
            (16_383_999, 14),
            (16_384_000, 15),
            (u64::MAX, 15),
        ] {
            assert_eq!(class(ns), expected);
        }
    }

    #[test]
    fn sections_are_counted_where_they_belong() -> Result {
        let latency = Latency::new(2)?;
        latency.count(0, Operation::MatMul, 30_000);
        latency.count(1, Operation::Attention, 70_000);
        latency.count(1, Operation::MatMul, 31_000);
        // A thread that there is not.
        latency.count(2, Operation::MatMul, 1);
        let counters = latency.threads.get(1).ok_or(EINVAL)?;
        assert_eq!(counters.longest_ns.load(Relaxed), 70_000);
        assert_eq!(
            counters.operation.load(Relaxed),
            Operation::Attention as u32
        );
        assert_eq!(counters.total_ns.load(Relaxed), 101_000);
        assert_eq!(counters.classes[5].load(Relaxed), 1);
        assert_eq!(counters.classes[7].load(Relaxed), 1);
        Ok(())
    }
}
