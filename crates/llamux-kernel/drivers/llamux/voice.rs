// SPDX-License-Identifier: GPL-2.0-only

//! What the driver asks its own model: a greeting for the log at boot, and haiku for the pool.
//!
//! It asks as anybody does, but behind all others: only while nobody else is being answered or waits, and
//! as soon as somebody asks it gives up, and tries again later. Nothing of it is counted in
//! `/proc/llamux/status`. When it has nothing more to ask, its thread ends.

use kernel::alloc::AllocError;
use kernel::prelude::*;
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};
use kernel::time::msecs_to_jiffies;
use llamux_engine::generate::{Sampling, Stop};
use llamux_engine::grammar::Checked;
use llamux_engine::haiku;

use crate::greeting::Facts;
use crate::haiku as pool;
use crate::request::{Deadline, Question, Request};
use crate::service::Service;
use crate::sys::{self, Thread};

/// Whose the driver's own requests are: no user has such a number.
pub(crate) const OWN: u64 = 1 << 62;

/// Most tokens of a greeting, and what comes after its line.
const GREETING_TOKENS: u32 = 32;
/// Most tokens of a haiku.
const HAIKU_TOKENS: u32 = 96;
/// Most bytes of one.
const BYTES: usize = 1024;
/// How often a greeting is tried that turns out not to be true.
const GREETINGS: u32 = 6;
/// How many haiku are tried in all; those that are like another one are not kept.
const TRIES: u32 = 128;

/// What the thread is told.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Whether to greet.
    pub(crate) greeting: bool,
    /// Whether to write haiku.
    pub(crate) haiku: bool,
    /// Seconds without any question after which haiku are written; 0 for none.
    pub(crate) idle: u32,
}

impl Settings {
    fn writes(&self) -> bool {
        self.haiku && self.idle != 0
    }
}

/// Why there is no answer.
enum Silence {
    /// Somebody else asked, or is being answered.
    Busy,
    /// Anything else: asking again does not help.
    Failed,
}

impl From<Error> for Silence {
    fn from(_: Error) -> Self {
        Self::Failed
    }
}

impl From<AllocError> for Silence {
    fn from(_: AllocError) -> Self {
        Self::Failed
    }
}

impl From<core::fmt::Error> for Silence {
    fn from(_: core::fmt::Error) -> Self {
        Self::Failed
    }
}

/// The thread.
#[pin_data]
pub(crate) struct Voice {
    service: Arc<Service>,
    settings: Settings,
    /// Where it sleeps; nobody wakes it.
    #[pin]
    bed: Mutex<()>,
    #[pin]
    alarm: CondVar,
}

impl Voice {
    /// Starts it, if it has anything to do.
    pub(crate) fn start(service: Arc<Service>, settings: Settings) -> Result {
        if !settings.greeting && !settings.writes() {
            return Ok(());
        }
        let voice = Arc::pin_init(
            pin_init!(Self {
                service,
                settings,
                bed <- new_mutex!((), "llamux_voice"),
                alarm <- new_condvar!("llamux_voice"),
            }),
            GFP_KERNEL,
        )?;
        sys::start_thread(voice, c"llamux_voice")
    }

    /// Greets, or not if what the model says is not true.
    fn greet(&self) -> Result<(), Silence> {
        let facts = Facts::collect();
        for _ in 0..GREETINGS {
            let mut prompt = KVVec::new();
            facts.ask(&mut Text(&mut prompt))?;
            let sampling = Sampling {
                temperature_milli: 600,
                seed: sys::random(),
                ..Sampling::default()
            };
            let answer = self.ask(prompt, sampling, None, GREETING_TOKENS)?;
            if let Some(line) = facts.checked(&answer) {
                pr_info!("{line}\n");
                break;
            }
        }
        Ok(())
    }

    /// Writes haiku until the pool is full.
    fn write(&self) -> Result<(), Silence> {
        let mut table = KVVec::from_elem(0, haiku::table::bytes(), GFP_KERNEL)?;
        haiku::table::write(&mut table).ok_or(EINVAL)?;
        let grammar = Arc::new(Checked::new(table).map_err(|_| EINVAL)?, GFP_KERNEL)?;
        let mut tries = 0;
        while let Some(kind) = pool::wanted().filter(|_| tries < TRIES) {
            self.wait_for_quiet();
            let mut prompt = KVVec::new();
            haiku::ask(kind, &mut pool::all(kind), &mut Text(&mut prompt))?;
            let sampling = Sampling {
                seed: sys::random(),
                ..haiku::SAMPLING
            };
            match self.ask(prompt, sampling, Some(grammar.clone()), HAIKU_TOKENS) {
                Ok(answer) => {
                    tries += 1;
                    pool::keep(kind, core::str::from_utf8(&answer).unwrap_or(""));
                }
                Err(Silence::Busy) => (),
                Err(Silence::Failed) => return Err(Silence::Failed),
            }
        }
        Ok(())
    }

    /// Asks. Returns the answer, which may have come to its end or not.
    fn ask(
        &self,
        prompt: KVVec<u8>,
        sampling: Sampling,
        grammar: Option<Arc<Checked<KVVec<u8>>>>,
        max_tokens: u32,
    ) -> Result<KVVec<u8>, Silence> {
        let question = Question {
            prompt,
            owner: OWN,
            standing: sys::Standing::own(),
            // What has no grammar goes on with a text.
            raw: grammar.is_none(),
            grammar,
            max_tokens,
            deadline: Deadline::after(0),
            sampling,
            turn: None,
        };
        let queued = Request::new(BYTES, question)?;
        let request = queued.clone_arc();
        if !self.service.submit_own(queued) {
            return Err(Silence::Busy);
        }
        if request.wait().is_err() {
            request.cancel();
            request.wait_for_end();
        }
        self.service.end_own();
        let mut progress = request.progress.lock();
        match progress.result {
            Some(Ok(finish)) if finish.stop == Stop::Requested => Err(Silence::Busy),
            Some(Ok(_)) => Ok(core::mem::take(&mut progress.response)),
            _ => Err(Silence::Failed),
        }
    }

    /// Returns when nobody has asked for as long as the parameter says.
    fn wait_for_quiet(&self) {
        loop {
            let before = self.service.arrivals();
            self.sleep(self.settings.idle.saturating_mul(1000));
            if self.service.arrivals() == before && !self.service.is_busy() {
                return;
            }
        }
    }

    fn sleep(&self, ms: u32) {
        let mut bed = self.bed.lock();
        // Kernel threads have no signals; it is interruptible so as not to count as load.
        let _ = self
            .alarm
            .wait_interruptible_timeout(&mut bed, msecs_to_jiffies(ms));
    }
}

            embed: 0,
impl Thread for Voice {
    fn run(self: Arc<Self>) {
        if self
            .service
            .wait_until_ready(true, &Deadline::after(0))
            .is_err()
        {
            return;
        }
        if self.settings.greeting {
            let _ = self.greet();
        }
        if self.settings.writes() {
            let _ = self.write();
        }
    }
}

/// Text that is written into memory as it grows.
struct Text<'t>(&'t mut KVVec<u8>);

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0
            .extend_from_slice(text.as_bytes(), GFP_KERNEL)
            .map_err(|_| core::fmt::Error)
    }
}
