// SPDX-License-Identifier: GPL-2.0-only

//! The threads that compute.
//!
//! One thread drives the engine; helpers, one for each further processor, take slices of the jobs
//! that it publishes. Everybody spins for some microseconds and then sleeps, because the processor
//! that a spinning thread waits for may itself be descheduled in a virtual machine.
//!
//! A slice is one FPU section. No lock is held in it, and between slices the scheduler has its turn.
//!
//! Lock order: `Shared::sleep` is a leaf.


use kernel::prelude::*;
use kernel::processor::cpu_relax;
use kernel::sync::atomic::{
    ordering::{Full, Relaxed},
    Atomic,
};
use kernel::sync::barrier::smp_mb;
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};
use kernel::time::{Delta, Instant, Monotonic};
use llamux_engine::math::{Executor, Job};

use crate::sys::{self, Fpu, Thread};

/// How long to spin before sleeping.
const SPIN: Delta = Delta::from_micros(20);

/// The thread that drives the engine, with its helpers.
pub(crate) struct Pool {
    shared: Option<Arc<Shared>>,
    threads: u32,
}

/// What the threads share.
///
/// # Invariants
///
/// `job` is 0 or the address of a job that `Pool::execute` was given and has not returned from. A
/// helper reads it only after it was counted in `inside`, and uses it until it is counted out;
/// `execute` sets it back to 0 and waits for `inside` to become 0 before it returns.
#[pin_data]
struct Shared {
    job: Atomic<usize>,
    /// Number of jobs that were published.
    published: Atomic<u32>,
    /// Helpers that may be using `job`.
    inside: Atomic<u32>,
    /// Helpers that sleep, or are about to.
    sleeping: Atomic<u32>,
    /// 1 when the helpers are to end.
    stopping: Atomic<u32>,
    /// 1 while the driving thread sleeps, or is about to, until `inside` is 0.
    closing: Atomic<u32>,
    #[pin]
    sleep: Mutex<()>,
    #[pin]
    published_or_stopped: CondVar,
    #[pin]
    left: CondVar,
}

impl Pool {
    /// Starts helpers so that `threads` compute in all; 0 for one on each processor.
    pub(crate) fn new(threads: u32) -> Result<Self> {
        let cpus = sys::cpus();
        let threads = if threads == 0 {
            cpus
        } else {
            threads.min(cpus)
        };
        if threads == 1 {
            return Ok(Self {
                shared: None,
                threads,
            });
        }
        let shared = Arc::pin_init(
            pin_init!(Shared {
                job: Atomic::new(0),
                published: Atomic::new(0),
                inside: Atomic::new(0),
                sleeping: Atomic::new(0),
                stopping: Atomic::new(0),
                closing: Atomic::new(0),
                sleep <- new_mutex!((), "llamux_pool"),
                published_or_stopped <- new_condvar!("llamux_pool"),
                left <- new_condvar!("llamux_pool_left"),
            }),
            GFP_KERNEL,
        )?;
        let pool = Self {
            shared: Some(shared.clone()),
            threads,
        };
        for _ in 1..threads {
            sys::start_thread(shared.clone(), c"llamux_helper")?;
        }
        Ok(pool)
    }

    /// Number of threads that compute.
    pub(crate) fn threads(&self) -> u32 {
        self.threads
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.stopping.store(1, Relaxed);
            shared.announce();
        }
    }
}

/// Computes one slice. `false` when nothing was left.
fn slice(job: &Job<'_>) -> bool {
    let more = {
        let fpu = Fpu::begin();
        job.step(fpu.section())
    };
    sys::resched();
    more
}

/// Spins until `done`, but not for long. Whether it was.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let start = Instant::<Monotonic>::now();
    loop {
        for _ in 0..64 {
            if done() {
                return true;
            }
            cpu_relax();
        }
        if start.elapsed() >= SPIN {
            return false;
        }
    }
}

// SAFETY: `execute` returns after its own last `slice`, and after all helpers have left the job; a
// job that is not parallel is never published.
unsafe impl Executor for Pool {
    fn execute(&self, job: &Job<'_>) {
        let shared = match &self.shared {
            Some(shared) if job.parallel() && job.slices_left() > 1 => shared,
            _ => {
                while slice(job) {}
                return;
            }
        };
        shared.publish(job);
        while slice(job) {}
        shared.retire();
    }
}

impl Shared {
    fn publish(&self, job: &Job<'_>) {
        // INVARIANT: `execute` calls `retire` before it returns.
        self.job.store(core::ptr::from_ref(job) as usize, Relaxed);
        self.announce();
    }

    /// Lets the helpers look at what has changed.
    fn announce(&self) {
        self.published.fetch_add(1, Full);
        // `fetch_add` orders the new number before this; a helper counts itself as sleeping before
        // it looks at the number for the last time.
        if self.sleeping.load(Relaxed) != 0 {
            drop(self.sleep.lock());
            self.published_or_stopped.notify_all();
        }
    }

    fn retire(&self) {
        // INVARIANT: Helpers that come from now on find nothing, and we wait for the others.
        self.job.store(0, Relaxed);
        smp_mb(Full);
        if spin_until(|| self.inside.load(Relaxed) == 0) {
            smp_mb(Full);
            return;
        }
        let mut guard = self.sleep.lock();
        self.closing.store(1, Relaxed);
        smp_mb(Full);
        while self.inside.load(Relaxed) != 0 {
            self.left.wait(&mut guard);
        }
        self.closing.store(0, Relaxed);
        smp_mb(Full);
    }

    /// Waits for a job after number `seen`. Returns its number.
    fn next(&self, seen: u32) -> u32 {
        if !spin_until(|| self.published.load(Relaxed) != seen) {
            let mut guard = self.sleep.lock();
            self.sleeping.fetch_add(1, Full);
            while self.published.load(Relaxed) == seen {
                // Kernel threads have no signals; it is interruptible so as not to count as load.
                let _ = self.published_or_stopped.wait_interruptible(&mut guard);
            }
            self.sleeping.fetch_sub(1, Full);
        }
        self.published.load(Relaxed)
    }

    fn help(&self) {
        self.inside.fetch_add(1, Full);
        let job = self.job.load(Relaxed) as *const Job<'static>;
        if !job.is_null() {
            // SAFETY: By the invariants the job lives until this thread is counted out.
            let job = unsafe { &*job };
            while slice(job) {}
        }
        if self.inside.fetch_sub(1, Full) == 1 && self.closing.load(Relaxed) != 0 {
            drop(self.sleep.lock());
            self.left.notify_all();
        }
    }
}

impl Thread for Shared {
    fn run(self: Arc<Self>) {
        let mut seen = 0;
        loop {
            seen = self.next(seen);
            if self.stopping.load(Relaxed) != 0 {
                return;
            }
            self.help();
        }
    }
}
