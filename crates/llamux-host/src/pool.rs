// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Threads that compute: the engine's crew, as threads of a program.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use llamux_engine::math::{Crew, Executor, FpuSection, Home, Job, Operation, MAX_THREADS};

/// The caller's helpers.
pub struct Pool {
    crew: Arc<Crew<Program>>,
    helpers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Threads that compute, the caller of `execute` among them; at least 1.
    pub fn new(threads: usize) -> Result<Self> {
        let count = u32::try_from(threads)
            .unwrap_or(MAX_THREADS)
            .clamp(1, MAX_THREADS);
        let mut pool = Self {
            crew: Arc::new(Crew::new(Program::new(count), count)),
            helpers: Vec::new(),
        };
        for thread in 1..count {
            let crew = pool.crew.clone();
            let helper = thread::Builder::new()
                .name("llamux-helper".into())
                .spawn(move || crew.help(thread))
                .with_context(|| format!("cannot start {threads} threads; try fewer"))?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.crew.end();
        for helper in self.helpers.drain(..) {
            // A helper that panicked has said so itself.
            let _ = helper.join();
        }
    }
}

// SAFETY: The crew's promise.
unsafe impl Executor for Pool {
    fn execute(&self, jobs: &[Job<'_>]) {
        self.crew.execute(jobs);
    }
}

/// A program as the place where a crew works.
struct Program {
    begin: Instant,
    /// One for each thread.
    seats: Vec<Seat>,
}

/// Where a thread sleeps.
#[derive(Default)]
struct Seat {
    /// Whether it was called since it last woke.
    called: Mutex<bool>,
    call: Condvar,
}

impl Program {
    fn new(threads: u32) -> Self {
        Self {
            begin: Instant::now(),
            seats: (0..threads).map(|_| Seat::default()).collect(),
        }
    }

    fn seat(&self, thread: u32) -> &Seat {
        // CAST: A number of threads. PANIC: The crew's threads have a seat each.
        &self.seats[thread as usize]
    }
}

impl Home for Program {
    fn section(&self, _thread: u32, _operation: Operation, compute: impl FnOnce(&FpuSection)) {
        // SAFETY: Host threads may use the FPU at any time.
        compute(&unsafe { FpuSection::assume() });
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn relax(&self) {
        std::hint::spin_loop();
    }

    fn park(&self, thread: u32) {
        let seat = self.seat(thread);
        // A flag, which a panic does not leave half-changed.
        let mut called = seat.called.lock().unwrap_or_else(PoisonError::into_inner);
        while !*called {
            called = seat
                .call
                .wait(called)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *called = false;
    }

    fn nap(&self, thread: u32, ns: u64) {
        let seat = self.seat(thread);
        let called = seat.called.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = Duration::from_nanos(ns);
        let (mut called, _) = seat
            .call
            .wait_timeout_while(called, wait, |called| !*called)
            .unwrap_or_else(PoisonError::into_inner);
        *called = false;
    }

    fn unpark(&self, thread: u32) {
        let seat = self.seat(thread);
        *seat.called.lock().unwrap_or_else(PoisonError::into_inner) = true;
        seat.call.notify_one();
    }
}
