// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The way into the math crate: the only module of the engine with unsafe code.
//!
//! An operation becomes a [`Job`], whose constructor checks every length and borrows every buffer.
//! A home (host program, kernel) runs it by an [`Executor`], which calls [`Job::step`] from one or
//! more threads until nothing is left.

#![expect(unsafe_code, reason = "calls the math crate through pointers")]

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

use llamux_abi as abi;

/// The float operations of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels(&'static abi::Kernels);

impl Kernels {
    /// Wraps the table that `llamux_math_select` returned.
    ///
    /// # Safety
    ///
    /// `table` is what the math crate, built from the same `llamux-abi`, returned for features that
    /// this processor has.
    pub unsafe fn from_ptr(table: *const abi::Kernels) -> Self {
        // SAFETY: The math crate's tables are statics.
        Self(unsafe { &*table })
    }

    /// The table's name: `scalar`, `avx2`, ….
    pub fn name(self) -> &'static str {
        let len = self.0.name.iter().position(|&b| b == 0).unwrap_or(self.0.name.len());
        core::str::from_utf8(self.0.name.get(..len).unwrap_or(&[])).unwrap_or("?")
    }
}

/// Proof that the FPU may be used by this thread.
///
/// In the kernel it lives from `kernel_fpu_begin()` to `kernel_fpu_end()`; see
/// Documentation/core-api/floating-point.rst.
pub struct FpuSection(PhantomData<*mut ()>);

impl FpuSection {
    /// Claims that the FPU may be used.
    ///
    /// # Safety
    ///
    /// It may be, by this thread, for as long as the value lives.
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// Runs jobs.
///
/// # Safety
///
/// [`execute`](Executor::execute) returns only when a call of [`Job::step`] has returned `false` and
/// no call is under way; a job that is not [`Job::parallel`] is stepped by one thread alone.
pub unsafe trait Executor {
    /// Runs `job` to its end.
    fn execute(&self, job: &Job<'_>);
}

/// One operation on borrowed buffers, handed out in slices.
pub struct Job<'a> {
    op: abi::Op,
    kernels: Kernels,
    units: u32,
    grain: u32,
    parallel: bool,
    next: AtomicU32,
    _buffers: PhantomData<&'a mut [u8]>,
}

// SAFETY: The operation's buffers are borrowed for `'a`, inputs shared and outputs exclusively, and
// `step` gives each unit to one thread only.
unsafe impl Sync for Job<'_> {}

impl Job<'_> {
    /// Computes the next slice, at most about 50 µs of work. `false` once nothing was left to take.
    pub fn step(&self, _fpu: &FpuSection) -> bool {
        // OVERFLOW: Each thread adds at most one grain past the end before it stops, and `new`
        // keeps `units` plus a grain for every possible thread within 32 bits.
        let begin = self.next.fetch_add(self.grain, Ordering::Relaxed);
        if begin >= self.units {
            return false;
        }
        let end = begin.saturating_add(self.grain).min(self.units);
        // SAFETY: The constructor checked the buffers, `'a` keeps them borrowed, the section says
        // that the FPU may be used, and `next` gave `begin..end` to this call alone.
        unsafe { (self.kernels.0.run)(&self.op, begin, end) };
        true
    }

    /// Whether several threads may, and should, step this job.
    pub fn parallel(&self) -> bool {
        self.parallel
    }

    /// Number of slices that are left, as a hint for how many threads to wake.
    pub fn slices_left(&self) -> u32 {
        self.units
            .saturating_sub(self.next.load(Ordering::Relaxed))
            .div_ceil(self.grain)
    }
}
