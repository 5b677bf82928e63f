// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Threads that compute together: the one algorithm of all homes.
//!
//! A leader offers work, and takes slices of it itself. Helpers take slices too, by counting a number
//! down that reaches 0 with the last slice. Having taken one is all that the leader waits for: a
//! helper that comes late, or does not come at all since its processor has something else to do, takes
//! nothing, and holds nobody up. Whoever has nothing to do spins for some microseconds, since the next
//! work is likely near, and then sleeps.
//!
//! A helper that was woken and found next to nothing to take, which is what happens when it shares the
//! leader's processor, cannot be woken for a while: then the leader works as if it were alone.

use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use super::{Executor, FpuSection, Job, Operation, Work};

/// The most threads of a crew, its leader included.
pub const MAX_THREADS: u32 = 64 * WORDS as u32;

/// Words of the set of helpers.
const WORDS: usize = 16;

/// The number of the leader among the threads.
const LEADER: u32 = 0;

/// For how many nanoseconds to spin before sleeping.
const SPIN: u64 = 20_000;

/// A helper that took less slices than this after it was woken was not worth waking.
const WORTH_WAKING: u32 = 16;

/// The shortest and the longest nap after that, in nanoseconds.
const NAP: (u64, u64) = (500_000, 16_000_000);

/// What a crew wants of the place where it works.
pub trait Home: Send + Sync {
    /// Calls `compute` where the FPU may be used, and gives other threads a chance afterwards.
    fn section(&self, thread: u32, operation: Operation, compute: impl FnOnce(&FpuSection));

    /// A clock that is quick to read, in nanoseconds.
    fn now(&self) -> u64;

    /// Tells the processor that the thread spins.
    fn relax(&self);

    /// Sleeps until [`unpark`](Home::unpark) was called for this thread since this function last
    /// returned. May return sooner. What happened before `unpark` is seen after it.
    fn park(&self, thread: u32);

    /// Sleeps for so many nanoseconds, roughly, or until [`unpark`](Home::unpark) as above.
    fn nap(&self, thread: u32, ns: u64);

    /// Ends the sleep of a thread, or its next one.
    fn unpark(&self, thread: u32);
}

/// Keeps what different threads write on different cache lines, of which processors fetch pairs.
#[repr(align(128))]
struct Apart<T>(T);

/// Threads that compute together; thread number 0 is whoever calls
/// [`execute`](Executor::execute), the others call [`help`](Crew::help).
///
/// # Invariants
///
/// While `left` of `offer` is not 0, or one of its slices was taken and is not counted in `finished`
/// nor computed by the leader, `work` points to a [`Work`] that lives.
pub struct Crew<H> {
    home: H,
    threads: u32,
    /// Whether there is a leader: a second one computes alone.
    led: AtomicBool,
    end: AtomicBool,
    offer: Apart<Offer>,
    /// Slices of the offer that helpers have computed.
    finished: Apart<AtomicU32>,
    /// Whether the leader sleeps, or is about to, until all slices are finished.
    leader_sleeps: AtomicBool,
    /// Which helpers sleep, or are about to: a bit for each, its number the thread's less 1.
    asleep: Apart<[AtomicU64; WORDS]>,
}

/// What the leader offers.
struct Offer {
    work: AtomicPtr<Work<'static>>,
    /// Slices that nobody has taken. The last has number 0.
    left: AtomicU32,
}

impl<H: Home> Crew<H> {
    /// A crew of so many threads, from 1 to [`MAX_THREADS`], the leader included. Whoever makes it
    /// starts the helpers.
    pub fn new(home: H, threads: u32) -> Self {
        Self {
            home,
            threads: threads.clamp(1, MAX_THREADS),
            led: AtomicBool::new(false),
            end: AtomicBool::new(false),
            // INVARIANT: Nothing is offered.
            offer: Apart(Offer {
                work: AtomicPtr::new(ptr::null_mut()),
                left: AtomicU32::new(0),
            }),
            finished: Apart(AtomicU32::new(0)),
            leader_sleeps: AtomicBool::new(false),
            asleep: Apart([const { AtomicU64::new(0) }; WORDS]),
        }
    }

    /// How many threads compute.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Where it works.
    pub fn home(&self) -> &H {
        &self.home
    }

    /// What a helper does until [`end`](Crew::end). Each has a number of its own, from 1 on and less
    /// than [`threads`](Crew::threads).
    pub fn help(&self, thread: u32) {
        let mut taken = WORTH_WAKING;
        let mut nap = 0;
        while !self.end.load(Relaxed) {
            while self.take(thread).is_some() {
                taken = taken.saturating_add(1);
                // Who takes a slice and counts it last may be waited for.
                if self.leader_sleeps.load(SeqCst) {
                    self.home.unpark(LEADER);
                }
            }
            if !self.spin_until(|| self.called()) {
                if taken < WORTH_WAKING {
                    nap = (2 * nap).clamp(NAP.0, NAP.1);
                    self.home.nap(thread, nap);
                } else {
                    nap = 0;
                }
                self.sleep(thread);
                taken = 0;
            }
        }
    }

    /// Has all helpers return.
    pub fn end(&self) {
        self.end.store(true, SeqCst);
        // Those that nap, too.
        (1..self.threads).for_each(|thread| self.home.unpark(thread));
    }

    /// Whether a helper has something to do.
    fn called(&self) -> bool {
        self.offer.0.left.load(SeqCst) != 0 || self.end.load(SeqCst)
    }

    /// Takes a slice of what is offered, and computes it.
    fn take(&self, thread: u32) -> Option<()> {
        let offer = &self.offer.0;
        // Acquires what the leader released with the first number; counting down keeps it.
        let left = offer
            .left
            .fetch_update(Acquire, Relaxed, |left| left.checked_sub(1))
            .ok()?;
        let work = offer.work.load(Relaxed);
        // SAFETY: By the invariant, for we have taken a slice; the leader stored the pointer before
        // the number that was taken, and no other since.
        let work = unsafe { &*work };
        self.slice(thread, work, left - 1);
        if thread != LEADER {
            self.finished.0.fetch_add(1, SeqCst);
        }
        Some(())
    }

    fn slice(&self, thread: u32, work: &Work<'_>, left: u32) {
        // OVERFLOW: `left` is less than the number of slices.
        let index = work.slices() - 1 - left;
        let Some(operation) = work.operation(index) else {
            return;
        };
        self.home.section(thread, operation, |fpu| {
            // SAFETY: `left` went through each number from the first to 0 once; in descending order
            // and one after the other, if there is one thread.
            unsafe { work.slice(fpu, index) };
        });
    }

    /// Computes without the helpers.
    fn alone(&self, jobs: &[Job<'_>]) {
        match Work::new(jobs, 1) {
            Some(work) => {
                for left in (0..work.slices()).rev() {
                    self.slice(LEADER, &work, left);
                }
            }
            // Too many for one work, so that there are several.
            None => jobs.chunks(1).for_each(|job| self.alone(job)),
        }
    }

    /// Computes with the helpers.
    fn together(&self, work: &Work<'_>) {
        let slices = work.slices();
        self.finished.0.store(0, Relaxed);
        // INVARIANT: `complete`, when it is dropped, waits for all slices that others have taken.
        let mut complete = Complete {
            crew: self,
            slices,
            own: 0,
        };
        let offer = &self.offer.0;
        let work = ptr::from_ref(work).cast_mut().cast::<Work<'static>>();
        offer.work.store(work, Relaxed);
        // A helper that is about to sleep says so before it looks at this for the last time: it sees
        // the number, or is seen by `wake`.
        offer.left.store(slices, SeqCst);
        self.wake(slices - 1);
        while self.take(LEADER).is_some() {
            complete.own += 1;
        }
    }

    /// Ends the sleep of so many helpers, if there are.
    fn wake(&self, count: u32) {
        let mut count = count;
        for (word, first) in self.asleep.0.iter().zip((1..self.threads).step_by(64)) {
            while count > 0 {
                let asleep = word.load(SeqCst);
                if asleep == 0 {
                    break;
                }
                let bit = asleep & asleep.wrapping_neg();
                if word.fetch_and(!bit, SeqCst) & bit != 0 {
                    self.home.unpark(first + bit.trailing_zeros());
                    count -= 1;
                }
            }
        }
    }

    /// Sleeps until there is something to do.
    fn sleep(&self, thread: u32) {
        // CAST: Of numbers below `MAX_THREADS`.
        let place = (thread - 1) as usize;
        let Some(word) = self.asleep.0.get(place / 64) else {
            return;
        };
        let bit = 1 << (place % 64);
        word.fetch_or(bit, SeqCst);
        while !self.called() && word.load(SeqCst) & bit != 0 {
            self.home.park(thread);
        }
        word.fetch_and(!bit, SeqCst);
    }

    /// Spins until `done`, but not for long. Whether it was.
    fn spin_until(&self, done: impl Fn() -> bool) -> bool {
        let begin = self.home.now();
        loop {
            for _ in 0..32 {
                if done() {
                    return true;
                }
                self.home.relax();
            }
            if self.home.now().wrapping_sub(begin) >= SPIN {
                return false;
            }
        }
    }
}

// SAFETY: `alone` and `together` compute all slices, the latter waits for those that helpers took.
unsafe impl<H: Home> Executor for Crew<H> {
    fn execute(&self, jobs: &[Job<'_>]) {
        let shared =
            Work::new(jobs, self.threads).filter(|work| work.threads() > 1 && work.slices() > 1);
        match shared {
            Some(work) if !self.led.swap(true, Acquire) => {
                self.together(&work);
                self.led.store(false, Release);
            }
            _ => self.alone(jobs),
        }
    }
}

/// Sees to it, by being dropped, that nobody uses the work any more.
struct Complete<'c, H: Home> {
    crew: &'c Crew<H>,
    slices: u32,
    /// Slices that the leader has computed.
    own: u32,
}

impl<H: Home> Drop for Complete<'_, H> {
    fn drop(&mut self) {
        let crew = self.crew;
        // Nothing is left, unless the leader panics.
        let untaken = crew.offer.0.left.swap(0, SeqCst);
        // OVERFLOW: The leader's slices and those that nobody took are part of all.
        let others = self.slices - self.own - untaken;
        let done = || crew.finished.0.load(SeqCst) >= others;
        if !crew.spin_until(done) {
            crew.leader_sleeps.store(true, SeqCst);
            while !done() {
                crew.home.park(LEADER);
            }
            crew.leader_sleeps.store(false, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::AtomicUsize;
    use core::time::Duration;
    use std::{sync::Condvar, sync::Mutex, thread, time::Instant, vec, vec::Vec};

    use super::super::tests::named;
    use super::super::{F32Bits, Gate};
    use super::*;

    /// Threads of the test, which dawdle.
    struct Place {
        begin: Instant,
        seats: Vec<(Mutex<bool>, Condvar)>,
        sections: AtomicUsize,
        /// Called in each section with its number.
        dawdle: fn(u32, usize),
    }

    impl Home for Place {
        fn section(&self, thread: u32, operation: Operation, compute: impl FnOnce(&FpuSection)) {
            assert_eq!(operation, Operation::SwiGlu);
            (self.dawdle)(thread, self.sections.fetch_add(1, Relaxed));
            // SAFETY: Host threads may use the FPU at any time.
            compute(&unsafe { FpuSection::assume() });
        }

        fn now(&self) -> u64 {
            self.begin.elapsed().as_nanos() as u64
        }

        fn relax(&self) {
            core::hint::spin_loop();
        }

        fn park(&self, thread: u32) {
            let (called, call) = &self.seats[thread as usize];
            let mut called = called.lock().unwrap();
            while !*called {
                called = call.wait(called).unwrap();
            }
            *called = false;
        }

        fn nap(&self, _thread: u32, ns: u64) {
            thread::sleep(Duration::from_nanos(ns));
        }

        fn unpark(&self, thread: u32) {
            let (called, call) = &self.seats[thread as usize];
            *called.lock().unwrap() = true;
            call.notify_one();
        }
    }

    fn with_crew(threads: u32, dawdle: fn(u32, usize), test: impl FnOnce(&Crew<Place>)) {
        let place = Place {
            begin: Instant::now(),
            seats: (0..threads).map(|_| Default::default()).collect(),
            sections: AtomicUsize::new(0),
            dawdle,
        };
        let crew = Crew::new(place, threads);
        thread::scope(|scope| {
            let crew = &crew;
            for helper in 1..threads {
                scope.spawn(move || crew.help(helper));
            }
            test(crew);
            crew.end();
        });
    }

    const COLUMNS: usize = 1000;

    /// Runs jobs of so many rows at once, and checks that each row was computed once.
    fn count(crew: &Crew<Place>, rows: &[usize]) {
        let kernels = named("fake");
        let mut gates: Vec<_> = rows
            .iter()
            .map(|rows| vec![F32Bits(0); rows * COLUMNS])
            .collect();
        let ups = gates.clone();
        let jobs: Vec<_> = gates
            .iter_mut()
            .zip(&ups)
            .map(|(gate, up)| Job::glu(kernels, Gate::Silu, gate, up, COLUMNS as u32).unwrap())
            .collect();
        crew.execute(&jobs);
        drop(jobs);
        for (gate, &rows) in gates.iter().zip(rows) {
            let counts: Vec<_> = gate.chunks(COLUMNS).map(|row| row[0].0).collect();
            assert_eq!(counts, vec![1; rows]);
        }
    }

    #[test]
    fn every_unit_is_computed_once() {
        for threads in [1, 2, 3, 9] {
            with_crew(
                threads,
                |_, _| (),
                |crew| {
                    assert_eq!(crew.threads(), threads);
                    for round in 0..300 {
                        count(crew, &[1 + round % 97]);
                        count(crew, &[round % 7 + 1, 40, 1]);
                    }
                },
            );
        }
    }

    /// Helpers are asleep when the next work comes, awake, late, and waited for.
    #[test]
    fn nobody_is_too_late() {
        let dawdle = |_, section: usize| match section % 61 {
            7 => thread::sleep(Duration::from_micros(200)),
            13 | 41 => thread::yield_now(),
            _ => (),
        };
        for threads in [2, 4] {
            with_crew(threads, dawdle, |crew| {
                for round in 0..400 {
                    count(crew, &[60, round % 9 + 1]);
                    match round % 10 {
                        0 => thread::sleep(Duration::from_micros(100)),
                        5 => thread::sleep(Duration::from_micros(20)),
                        _ => (),
                    }
                }
            });
        }
    }

    /// A helper that is stuck in a slice holds up that slice only.
    #[test]
    fn a_slow_helper_holds_up_one_slice() {
        static SLICES: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
        let dawdle = |thread: u32, _| {
            SLICES[thread as usize].fetch_add(1, Relaxed);
            if thread != LEADER {
                thread::sleep(Duration::from_millis(20));
            }
        };
        with_crew(2, dawdle, |crew| {
            let begin = Instant::now();
            for _ in 0..10 {
                count(crew, &[200]);
            }
            let [leader, helper] = [SLICES[0].load(Relaxed), SLICES[1].load(Relaxed)];
            // One each, if the leader is not held up by something else.
            assert!(leader > helper, "{leader} {helper}");
            let all_slow = Duration::from_millis(20) * (leader + helper) as u32;
            assert!(begin.elapsed() < all_slow / 2);
        });
    }

    /// Who finds the crew busy computes alone, and so does a crew whose helpers never came.
    #[test]
    fn nobody_waits_for_threads_that_do_nothing() {
        with_crew(
            3,
            |_, _| (),
            |crew| {
                thread::scope(|scope| {
                    for _ in 0..3 {
                        scope.spawn(|| (0..200).for_each(|_| count(crew, &[64])));
                    }
                });
            },
        );
        let place = Place {
            begin: Instant::now(),
            seats: (0..4).map(|_| Default::default()).collect(),
            sections: AtomicUsize::new(0),
            dawdle: |thread, _| assert_eq!(thread, LEADER),
        };
        count(&Crew::new(place, 4), &[500]);
    }
}
