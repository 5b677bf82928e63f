// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Threads that compute.
//!
//! The caller of [`Pool::execute`] computes too; its helpers take slices of the job that it
//! publishes. Nobody waits for a helper that has not begun: if its processor is busy with something
//! else, the others do its share. Whoever has nothing to do spins for some microseconds, since the
//! next job is likely near, and then sleeps.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use llamux_engine::math::{Executor, FpuSection, Job};

/// How long to spin before sleeping.
const SPIN: Duration = Duration::from_micros(10);

/// The caller's helpers.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the call whose job the helpers may have.
    owner: Mutex<()>,
}

/// What the threads share.
///
/// # Invariants
///
/// `job` is null or points to a job that [`Pool::execute`] has not returned from. A helper reads it
/// only after it was counted in `inside`, and uses it until it is counted out; `execute` sets it back
/// to null and waits for `inside` to become 0 before it returns.
struct Shared {
    job: AtomicPtr<Job<'static>>,
    /// Number of jobs that were published.
    published: AtomicU32,
    /// Helpers that may be using `job`.
    inside: AtomicU32,
    /// Helpers that sleep, or are about to.
    sleeping: AtomicU32,
    /// Whether a caller sleeps, or is about to, until `inside` is 0.
    closing: AtomicBool,
    /// Whether the helpers are to end.
    end: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
    left: Condvar,
}

impl Pool {
    /// Threads that compute, the caller of `execute` among them; at least 1.
    pub fn new(threads: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            job: AtomicPtr::new(ptr::null_mut()),
            published: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            sleeping: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            end: AtomicBool::new(false),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            left: Condvar::new(),
        });
        let mut pool = Self {
            shared,
            helpers: Vec::new(),
            owner: Mutex::new(()),
        };
        for _ in 1..threads {
            let shared = pool.shared.clone();
            let helper = thread::Builder::new()
                .name("llamux-helper".into())
                .spawn(move || shared.run())
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
        self.shared.end.store(true, SeqCst);
        self.shared.published.fetch_add(1, SeqCst);
        drop(self.shared.lock());
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper that panicked has said so itself.
            let _ = helper.join();
        }
    }
}

// SAFETY: `execute` returns after its own last `step`, and after all helpers have left the job; a job
// that is not parallel is never published.
unsafe impl Executor for Pool {
    fn execute(&self, job: &Job<'_>) {
        let share = !self.helpers.is_empty() && job.parallel() && job.slices_left() > 1;
        // Two callers at once: the second one computes alone.
        match share.then(|| self.owner.try_lock().ok()).flatten() {
            Some(_owner) => {
                self.shared.publish(job);
                steps(job);
                self.shared.retire();
            }
            None => steps(job),
        }
    }
}

/// Takes slices until there are none.
fn steps(job: &Job<'_>) {
    // SAFETY: Host threads may use the FPU at any time.
    let fpu = unsafe { FpuSection::assume() };
    while job.step(&fpu) {}
}

/// Spins until `done`, but not for long. Whether it was.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() >= SPIN {
            return false;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could leave half-changed.
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, job: &Job<'_>) {
        // INVARIANT: `execute` calls `retire` before it returns.
        self.job
            .store(ptr::from_ref(job).cast_mut().cast::<Job<'static>>(), SeqCst);
        self.published.fetch_add(1, SeqCst);
        // A helper counts itself as sleeping before it looks at `published` for the last time, under
        // the lock: it sees the new number, or is seen here and woken once it waits.
        if self.sleeping.load(SeqCst) != 0 {
            drop(self.lock());
            self.wake.notify_all();
        }
    }

    fn retire(&self) {
        // INVARIANT: Helpers that come from now on find nothing, and the others are waited for.
        self.job.store(ptr::null_mut(), SeqCst);
        if spin_until(|| self.inside.load(SeqCst) == 0) {
            return;
        }
        let mut guard = self.lock();
        self.closing.store(true, SeqCst);
        while self.inside.load(SeqCst) != 0 {
            guard = self
                .left
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.closing.store(false, SeqCst);
    }

    /// Waits for something to be published after number `seen`. Returns the new number.
    fn next(&self, seen: u32) -> u32 {
        if !spin_until(|| self.published.load(SeqCst) != seen) {
            let mut guard = self.lock();
            self.sleeping.fetch_add(1, SeqCst);
            while self.published.load(SeqCst) == seen {
                guard = self
                    .wake
                    .wait(guard)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            self.sleeping.fetch_sub(1, SeqCst);
        }
        self.published.load(SeqCst)
    }

    fn help(&self) {
        self.inside.fetch_add(1, SeqCst);
        let job = self.job.load(SeqCst);
        if !job.is_null() {
            // SAFETY: By the invariants the job lives until this thread is counted out.
            steps(unsafe { &*job });
        }
        if self.inside.fetch_sub(1, SeqCst) == 1 && self.closing.load(SeqCst) {
            drop(self.lock());
            self.left.notify_all();
        }
    }

    fn run(&self) {
        let mut seen = 0;
        while !self.end.load(SeqCst) {
            seen = self.next(seen);
            self.help();
        }
    }
}
