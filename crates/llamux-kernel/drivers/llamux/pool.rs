// SPDX-License-Identifier: GPL-2.0-only

//! The threads that compute: the engine's crew, as kernel threads.
//!
//! A slice is one FPU section. No lock is held in it, and between slices the scheduler has its turn.
//! The threads are not bound to processors, but kept to a set of them: the scheduler knows best which
//! are free, and when one goes offline.
//!
//! Lock order: `Seat::called` is a leaf.

use kernel::prelude::*;
use kernel::processor::cpu_relax;
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};
use kernel::time::msecs_to_jiffies;
use llamux_engine::math::{Crew, Executor, FpuSection, Home, Job, Operation, MAX_THREADS};

use crate::latency::Latency;
use crate::sys::{self, Fpu, Thread};

/// The thread that drives the engine, with its helpers.
pub(crate) struct Pool(Arc<Crew<Kernel>>);

impl Pool {
    /// Starts helpers so that `threads` compute in all; 0 for one on each processor that may.
    pub(crate) fn new(threads: u32) -> Result<Self> {
        let cpus = sys::cpus().clamp(1, MAX_THREADS);
        if threads > cpus {
            pr_err!("llamux.threads={threads}: only {cpus} processors may compute; using {cpus}\n");
        }
        let threads = if threads == 0 {
            cpus
        } else {
            threads.min(cpus)
        };
        let pool = Self(Arc::new(
            Crew::new(Kernel::new(threads)?, threads),
            GFP_KERNEL,
        )?);
        for thread in 1..threads {
            let crew = pool.0.clone();
            let helper = Arc::new(Helper { crew, thread }, GFP_KERNEL)?;
            sys::start_thread(helper, c"llamux_helper")?;
        }
        Ok(pool)
    }

    /// Number of threads that compute.
    pub(crate) fn threads(&self) -> u32 {
        self.0.threads()
    }

    /// How long their sections were.
    pub(crate) fn latency(&self) -> Arc<Latency> {
        self.0.home().latency.clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.end();
    }
}

// SAFETY: The crew's promise.
unsafe impl Executor for Pool {
    fn execute(&self, jobs: &[Job<'_>]) {
        self.0.execute(jobs);
    }
}

/// A thread besides the driving one.
struct Helper {
    crew: Arc<Crew<Kernel>>,
    thread: u32,
}

impl Thread for Helper {
    fn run(self: Arc<Self>) {
        self.crew.help(self.thread);
    }
}

/// The kernel as the place where a crew works.
struct Kernel {
    /// One for each thread.
    seats: KVec<Pin<KBox<Seat>>>,
    latency: Arc<Latency>,
}

/// Where a thread sleeps.
#[pin_data]
struct Seat {
    /// Whether it was called since it last woke.
    #[pin]
    called: Mutex<bool>,
    #[pin]
    call: CondVar,
}

impl Kernel {
    fn new(threads: u32) -> Result<Self> {
        let mut seats = KVec::new();
        for _ in 0..threads {
            let seat = KBox::pin_init(
                pin_init!(Seat {
                    called <- new_mutex!(false, "llamux_seat"),
                    call <- new_condvar!("llamux_seat"),
                }),
                GFP_KERNEL,
            )?;
            seats.push(seat, GFP_KERNEL)?;
        }
        Ok(Self {
            seats,
            latency: Arc::new(Latency::new(threads)?, GFP_KERNEL)?,
        })
    }

    fn seat(&self, thread: u32) -> Option<&Seat> {
        // CAST: At most `MAX_THREADS`.
        self.seats.get(thread as usize).map(|seat| &**seat)
    }
}

impl Home for Kernel {
    fn section(&self, thread: u32, operation: Operation, compute: impl FnOnce(&FpuSection)) {
        let ns = {
            let fpu = Fpu::begin();
            let begin = sys::clock();
            compute(fpu.section());
            let ns = sys::clock().saturating_sub(begin);
            self.latency.count(thread, operation, ns);
            ns
        };
        sys::trace::fpu_section(thread, operation as u32, ns);
        sys::resched();
    }

    fn now(&self) -> u64 {
        sys::clock()
    }

    fn relax(&self) {
        cpu_relax();
    }

    fn park(&self, thread: u32) {
        if let Some(seat) = self.seat(thread) {
            let mut called = seat.called.lock();
            while !*called {
                // Kernel threads have no signals; it is interruptible so as not to count as load.
                let _ = seat.call.wait_interruptible(&mut called);
            }
            *called = false;
        }
    }

    fn nap(&self, thread: u32, ns: u64) {
        if let Some(seat) = self.seat(thread) {
            let mut called = seat.called.lock();
            if !*called {
                let ms = u32::try_from(ns / 1_000_000).unwrap_or(u32::MAX).max(1);
                let jiffies = msecs_to_jiffies(ms);
                let _ = seat.call.wait_interruptible_timeout(&mut called, jiffies);
            }
            *called = false;
        }
    }

    fn unpark(&self, thread: u32) {
        if let Some(seat) = self.seat(thread) {
            *seat.called.lock() = true;
            seat.call.notify_one();
        }
    }
}
