// SPDX-License-Identifier: GPL-2.0-only

//! The thread that has the model, and the queue of those who ask it.
//!
//! `load.rs` is how it comes by the model, `serve.rs` how it answers.
//!
//! Lock order: `Service::state`, `Service::queue`, `Service::stats` and `Request::progress` are all
//! leaves: none is taken with another of them held, and only `Session::inner` outside of them. None is
//! held while computing.

use core::convert::Infallible;

use kernel::list::{List, ListArc};
use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex, SetOnce};
use llamux_engine::{Engine, MAX_SEQUENCES};

use crate::latency::Latency;
use crate::load::{self, reason, Reason};
use crate::pool::Pool;
use crate::request::{Deadline, Request};
use crate::serve::Room;
use crate::status::{Facts, Shown};
use crate::sys::{self, Thread};

/// The driver's parameters.
pub(crate) struct Settings {
    pub(crate) threads: u32,
    pub(crate) nice: i32,
    pub(crate) context: u32,
    pub(crate) sessions: u32,
    pub(crate) cache: u32,
    pub(crate) speculate: bool,
    pub(crate) keep_firmware: bool,
}

/// How many requests are answered at once if nothing else is said.
pub(crate) const SESSIONS: u32 = 4;

/// Whether there is a model.
pub(crate) enum State {
    /// Not yet.
    Loading,
    /// Yes; what is known of it.
    Ready(Facts),
    /// No, and why.
    Unavailable(Reason),
}

/// What was done so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    /// Those of them that the cache had.
    pub(crate) cached_tokens: u64,
    pub(crate) response_tokens: u64,
    /// Steps in which tokens of answers came out, and these tokens.
    pub(crate) steps: u64,
    pub(crate) step_tokens: u64,
    /// Tokens of prompts that were computed, and the time that this took each who asked.
    pub(crate) prefilled_tokens: u64,
    pub(crate) prefill_ns: u64,
    /// The same of answers, whose first token comes out of the prompt.
    pub(crate) decoded_tokens: u64,
    pub(crate) decode_ns: u64,
}

/// Shared between the thread, the callers and the files in `/proc`.
#[pin_data]
pub(crate) struct Service {
    settings: Settings,
    #[pin]
    pub(crate) state: Mutex<State>,
    #[pin]
    loaded: CondVar,
    #[pin]
    queue: Mutex<List<Request>>,
    #[pin]
    arrived: CondVar,
    /// Requests that nothing is computed of yet.
    pub(crate) waiting: Atomic<u32>,
    /// Requests that are being answered.
    pub(crate) active: Atomic<u32>,
    /// See [`Self::context`].
    context: Atomic<u32>,
    #[pin]
    pub(crate) stats: Mutex<Stats>,
    /// Set before the first section.
    pub(crate) latency: SetOnce<Arc<Latency>>,
}

impl Service {
    /// Starts the thread. Returns at once.
    pub(crate) fn start(settings: Settings) -> Result<Arc<Self>> {
        if let Err((list, error)) = sys::choose_cpus() {
            let why = match error {
                ENODEV => "none of these is online and not isolated",
                _ => "not a list of this system's processors, as in 0-3,6",
            };
            pr_err!("llamux.cpus={list}: {why}; using all that are not isolated\n");
        }
        if sys::set_nice(settings.nice).is_err() {
            pr_err!(
                "llamux.nice={}: not from -20 to 19; using 0\n",
                settings.nice
            );
        }
        let sessions = match settings.sessions {
            sessions @ 1..=MAX_SEQUENCES => sessions,
            other => {
                pr_err!(
                    "llamux.sessions={other}: not from 1 to {MAX_SEQUENCES}; using {SESSIONS}\n"
                );
                SESSIONS
            }
        };
        let settings = Settings {
            sessions,
            ..settings
        };
        let service = Arc::pin_init(
            pin_init!(Self {
                settings,
                state <- new_mutex!(State::Loading, "llamux_state"),
                loaded <- new_condvar!("llamux_loaded"),
                queue <- new_mutex!(List::new(), "llamux_queue"),
                arrived <- new_condvar!("llamux_arrived"),
                waiting: Atomic::new(0),
                active: Atomic::new(0),
                context: Atomic::new(0),
                stats <- new_mutex!(Stats::default(), "llamux_stats"),
                latency: SetOnce::new(),
            }),
            GFP_KERNEL,
        )?;
        sys::start_thread(service.clone(), c"llamux")?;
        Ok(service)
    }

    /// Returns once the model is there; or, unless `wait`, says that it is not.
    pub(crate) fn wait_until_ready(&self, wait: bool, deadline: &Deadline) -> Result {
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Ready(_) => return Ok(()),
                State::Unavailable(_) => return Err(ENODEV),
                State::Loading if !wait => return Err(EAGAIN),
                State::Loading => deadline.wait(&self.loaded, &mut state)?,
            }
        }
    }

    /// Tokens of the model's context; 0 until there is a model.
    pub(crate) fn context(&self) -> u32 {
        self.context.load(Relaxed)
    }

    /// Puts a request at the end of the queue.
    pub(crate) fn submit(&self, request: ListArc<Request>) {
        // Counted first: whoever takes it back or begins with it counts it out.
        self.waiting.fetch_add(1, Relaxed);
        self.queue.lock().push_back(request);
        self.arrived.notify_one();
    }

    /// Takes a request back out of the queue. `false` if the thread has already begun with it.
    pub(crate) fn withdraw(&self, request: &Arc<Request>) -> bool {
        // SAFETY: A request is in this list or in none.
        let withdrawn = unsafe { self.queue.lock().remove(request) };
        if withdrawn.is_some() {
            self.waiting.fetch_sub(1, Relaxed);
        }
        withdrawn.is_some()
    }

    /// The queue's first request; with `wait` there is one in the end.
    pub(super) fn next_request(&self, wait: bool) -> Option<Arc<Request>> {
        let mut queue = self.queue.lock();
        loop {
            let first = queue.pop_front();
            if first.is_some() || !wait {
                return first.map(ListArc::into_arc);
            }
            // Kernel threads have no signals; it is interruptible so as not to count as load.
            let _ = self.arrived.wait_interruptible(&mut queue);
        }
    }

    fn set_state(&self, new: State) {
        let old = core::mem::replace(&mut *self.state.lock(), new);
        drop(old);
        self.loaded.notify_all();
    }

    /// Loads the model and answers for ever. Comes back only with the reason why it cannot.
    fn load_and_serve(&self) -> Result<Infallible, Reason> {
        sys::wait_for_initramfs();
        let pool = Pool::new(self.settings.threads)
            .map_err(|error| reason(fmt!("cannot start threads: {error:?}")))?;
        self.latency.populate(pool.latency());
        let room = Room::new(self.settings.sessions)
            .map_err(|error| reason(fmt!("cannot serve sessions: {error:?}")))?;
        let serve = |engine: &mut Engine<'_>, facts| {
            self.context.store(engine.info().context, Relaxed);
            self.set_state(State::Ready(facts));
            engine.set_speculation(self.settings.speculate);
            self.serve(engine, &pool, room)
        };
        // SAFETY: This function runs once, in the only thread that calls it.
        unsafe { load::with_engine(&self.settings, &pool, serve) }
    }
}

impl Thread for Service {
    fn run(self: Arc<Self>) {
        let Err(reason) = self.load_and_serve();
        pr_err!("{}\n", Shown(&reason));
        self.set_state(State::Unavailable(reason));
    }
}
