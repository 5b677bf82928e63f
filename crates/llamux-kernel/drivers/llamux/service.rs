// SPDX-License-Identifier: GPL-2.0-only

//! The thread that answers with all models, and the queue of those who ask.
//!
//! `load.rs` is how models are loaded, `models.rs` how they come and go, `serve.rs` how they answer.
//!
//! Lock order: `Service::models` is taken before `Service::queue`. These two, `Service::roll`, `Service::arrived`,
//! `Service::own`, `Service::bell`, `Service::stats` and `Request::progress` are leaves otherwise, and only `Session::inner`
//! and those of `backend.rs` are taken before them. None is held while computing.

use core::convert::Infallible;

use kernel::list::ListArc;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex, SetOnce};
use llamux_engine::MAX_SEQUENCES;

use crate::latency::Latency;
use crate::load::{reason, Reason};
use crate::models::{Directory, ModelId, State, MAX_MODELS};
use crate::oops;
use crate::pool::Pool;
use crate::region::Region;
use crate::request::{Deadline, Request};
use crate::roll::Roll;
use crate::serve::Served;
use crate::settings::System;
use crate::sig::Mode;
use crate::stats::Timings;
use crate::sys::{self, Thread};
use crate::users::Queue;

/// The driver's parameters.
pub(crate) struct Settings {
    pub(crate) threads: u32,
    pub(crate) nice: i32,
    pub(crate) context: u32,
    pub(crate) sessions: u32,
    pub(crate) cache: u32,
    pub(crate) speculate: bool,
    pub(crate) keep_firmware: bool,
    pub(crate) sig: Mode,
}

/// How many requests are answered at once if nothing else is said.
pub(crate) const SESSIONS: u32 = 4;

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

/// What the driver asks itself.
#[derive(Default)]
struct Own {
    /// Its request, from before it is queued until it has ended.
    request: Option<Arc<Request>>,
    /// Requests of others, since boot.
    arrivals: u64,
}

/// Shared between the thread, the callers and the files in `/proc`.
#[pin_data]
pub(crate) struct Service {
    settings: Settings,
    /// The memory that was reserved at boot, if any was, once the thread has it.
    region: SetOnce<Arc<Region>>,
    /// The threads that compute, once they are there.
    pool: SetOnce<Pool>,
    #[pin]
    pub(crate) models: Mutex<Directory>,
    /// Notified when a model has come or gone.
    #[pin]
    loaded: CondVar,
    #[pin]
    pub(crate) queue: Mutex<Queue>,
    #[pin]
    pub(crate) roll: Mutex<Roll>,
    /// Models that were loaded and that the thread has not taken yet.
    #[pin]
    arrived: Mutex<KVec<Served>>,
    /// How often there was something new for the thread.
    #[pin]
    bell: Mutex<u64>,
    #[pin]
    rung: CondVar,
    /// What conversations begin with.
    #[pin]
    pub(crate) system: System,
    #[pin]
    own: Mutex<Own>,
    /// Requests that nothing is computed of yet.
    pub(crate) waiting: Atomic<u32>,
    /// Requests that are being answered.
    pub(crate) active: Atomic<u32>,
    #[pin]
    pub(crate) stats: Mutex<Stats>,
    pub(crate) timings: Timings,
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
        let queue = Queue::new()?;
        let service = Arc::pin_init(
            try_pin_init!(Self {
                settings,
                region: SetOnce::new(),
                pool: SetOnce::new(),
                models <- new_mutex!(Directory::new(), "llamux_models"),
                loaded <- new_condvar!("llamux_loaded"),
                queue <- new_mutex!(queue, "llamux_queue"),
                roll <- new_mutex!(Roll::new(), "llamux_roll"),
                arrived <- new_mutex!(KVec::new(), "llamux_arrived"),
                bell <- new_mutex!(0, "llamux_bell"),
                rung <- new_condvar!("llamux_rung"),
                system <- System::new(),
                own <- new_mutex!(Own::default(), "llamux_own"),
                waiting: Atomic::new(0),
                active: Atomic::new(0),
                stats <- new_mutex!(Stats::default(), "llamux_stats"),
                timings: Timings::new(),
                latency: SetOnce::new(),
            }? Error),
            GFP_KERNEL,
        )?;
        sys::start_thread(service.clone(), c"llamux")?;
        Ok(service)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn region(&self) -> Option<&Arc<Region>> {
        self.region.as_ref()
    }

    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// Returns once the default model is there; or, unless `wait`, says that it is not. `frozen` is as in
    /// [`Deadline::wait`].
    pub(crate) fn wait_until_ready(&self, wait: bool, deadline: &Deadline, frozen: bool) -> Result {
        let mut models = self.models.lock();
        loop {
            match models.state() {
                State::Ready(_) => return Ok(()),
                State::Unloading | State::Unavailable(_) => return Err(ENODEV),
                State::Loading if !wait => return Err(EAGAIN),
                State::Loading => deadline.wait(&self.loaded, &mut models, frozen)?,
            }
        }
    }

    /// Returns the model of this name once it is there; or, unless `wait`, says that it is not. `ENOENT` if
    /// none of this name is there or on its way.
    pub(crate) fn wait_until_named(
        &self,
        name: &[u8],
        wait: bool,
        deadline: &Deadline,
    ) -> Result<ModelId> {
        let mut models = self.models.lock();
        loop {
            match models.wanted(name) {
                Err(EAGAIN) if wait => deadline.wait(&self.loaded, &mut models, false)?,
                found => return found,
            }
        }
    }

    /// Puts a request at the end of the queue: for the model that it names, or for the one that is the
    /// default now. `ENODEV` if that is not there any more, `EDQUOT` if its user may not ask now.
    pub(crate) fn submit(&self, request: ListArc<Request>, model: Option<ModelId>) -> Result {
        let backend = {
            let models = self.models.lock();
            let id = models.ready(model)?;
            let backend = models.backend(id).cloned();
            if let Some(backend) = &backend {
                backend.abilities().accept(&request.question)?;
            }
            request.model.store(id.number(), Relaxed);
            // Counted first: whoever takes it back or begins with it counts it out.
            self.waiting.fetch_add(1, Relaxed);
            // With the directory locked: a model that is unloaded after this finds the request here.
            let queued = self.queue.lock().push(request);
            if let Err(error) = queued {
                self.waiting.fetch_sub(1, Relaxed);
                return Err(error);
            }
            backend
        };
        self.give_way();
        match backend {
            Some(backend) => backend.ring(),
            None => self.ring(),
        }
        Ok(())
    }

    /// Ends what the driver asks itself, since somebody else has been counted as waiting.
    fn give_way(&self) {
        let mut own = self.own.lock();
        // OVERFLOW: Of 64 bits.
        own.arrivals += 1;
        if let Some(request) = &own.request {
            request.cancel();
        }
    }

    /// How many requests of others there were.
    pub(crate) fn arrivals(&self) -> u64 {
        self.own.lock().arrivals
    }

    /// Whether anybody else waits or is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.load(Relaxed) != 0 || self.active.load(Relaxed) != 0
    }

    /// Queues a request of the driver's own, for the default model. `false` if somebody else is there, or no
    /// model is.
    pub(crate) fn submit_own(&self, request: ListArc<Request>) -> bool {
        self.own.lock().request = Some(request.clone_arc());
        // Who was counted before that is seen here; who is counted from now on sees the request.
        if self.is_busy() {
            self.end_own();
            return false;
        }
        {
            let models = self.models.lock();
            let Ok(id) = models.own() else {
                drop(models);
                self.end_own();
                return false;
            };
            request.model.store(id.number(), Relaxed);
            self.queue.lock().push_own(request);
        }
        self.ring();
        true
    }

    /// Forgets the driver's own request.
    pub(crate) fn end_own(&self) {
        let request = self.own.lock().request.take();
        drop(request);
    }

    /// Takes a request back out of the queue, which is cancelled, or whose time is up. `false` if the
    /// thread, or the program that answers, has already begun with it, and ends it.
    pub(crate) fn withdraw(&self, request: &Arc<Request>) -> bool {
        let withdrawn = self.queue.lock().withdraw(request);
        if withdrawn {
            self.waiting.fetch_sub(1, Relaxed);
            return true;
        }
        let number = request.model.load(Relaxed);
        let backend = self.models.lock().backend_of(number).cloned();
        // Where there is none any more, it ends all that it had.
        if let Some(backend) = backend {
            backend.call_off(request);
        }
        false
    }

    /// Passes a model on to the thread that answers.
    pub(crate) fn hand_over(&self, served: Served) -> Result {
        self.arrived.lock().push(served, GFP_KERNEL)?;
        Ok(())
    }

    /// The next model that was passed on.
    pub(super) fn next_arrived(&self) -> Option<Served> {
        self.arrived.lock().pop()
    }

    /// How often there was something new.
    pub(super) fn rings(&self) -> u64 {
        *self.bell.lock()
    }

    /// Waits until there was something new after so many times.
    pub(super) fn wait_for_ring(&self, rings: u64) {
        let mut bell = self.bell.lock();
        while *bell == rings {
            // Kernel threads have no signals; it is interruptible so as not to count as load.
            let _ = self.rung.wait_interruptible(&mut bell);
        }
    }

    fn ring(&self) {
        let mut bell = self.bell.lock();
        *bell = bell.wrapping_add(1);
        drop(bell);
        self.rung.notify_one();
    }

    /// Tells everybody that a model has come, is to go, or has gone.
    pub(crate) fn changed(&self) {
        self.loaded.notify_all();
        self.ring();
        // There may be a model to greet, and write.
        oops::call();
    }

    /// Starts what computes, has the first model loaded, and answers for ever. Comes back only with the
    /// reason why it cannot.
    fn start_and_serve(self: &Arc<Self>) -> Result<Infallible, Reason> {
        sys::wait_for_initramfs();
        // SAFETY: This function is called once, by the thread that there is one of.
        match unsafe { sys::take_reserved() } {
            Some(memory) => {
                let region = Region::new(memory)
                    .map_err(|error| reason(fmt!("cannot use the reserved memory: {error:?}")))?;
                self.region.populate(region);
            }
            None => pr_info!("no memory was reserved (llamux_mem=): using vmalloc\n"),
        }
        let threads = |error| reason(fmt!("cannot start threads: {error:?}"));
        let pool = Pool::new(self.settings.threads).map_err(threads)?;
        self.latency.populate(pool.latency());
        self.pool.populate(pool);
        let pool = self.pool().ok_or_else(|| threads(ENOMEM))?;
        let served =
            KVec::with_capacity(MAX_MODELS, GFP_KERNEL).map_err(|error| threads(error.into()))?;
        self.start_loading().map_err(threads)?;
        self.serve(pool, served)
    }
}

impl Thread for Service {
    fn run(self: Arc<Self>) {
        let Err(reason) = self.start_and_serve();
        self.fail(None, reason);
    }
}
