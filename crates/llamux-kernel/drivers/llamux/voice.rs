// SPDX-License-Identifier: GPL-2.0-only

//! What the driver asks its own model: a greeting for the log, haiku for the pool, and an explanation of each
//! oops that the system survived.
//!
//! It asks as anybody does, but behind all others: only while nobody else is being answered or waits, and
//! as soon as somebody asks it gives up, and tries again later. Nothing of it is counted in
//! `/proc/llamux/status`. What one model could not do is left to the next that is the default. When there
//! is nothing more to ask, its thread ends.

use kernel::alloc::AllocError;
use kernel::prelude::*;
use kernel::sync::Arc;
use llamux_engine::generate::{Sampling, Stop};
use llamux_engine::grammar::Checked;
use llamux_engine::haiku;

use crate::greeting::Facts;
use crate::haiku as pool;
use crate::models::ModelId;
use crate::oops::{self, Oops};
use crate::request::{Deadline, Question, Request};
use crate::service::Service;
use crate::status::Shown;
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
/// How many haiku each model tries; those that are like another one are not kept.
const TRIES: u32 = 128;
/// Most tokens of an explanation, and what comes after its line.
const OOPS_TOKENS: u32 = 72;
/// How often an explanation is tried that turns out to be none.
const EXPLANATIONS: u32 = 6;
/// Milliseconds after which it is tried again what others came before, and between an oops and the question
/// about it: whoever reads the log wants to see the oops first.
const LATER: u32 = 1000;

/// What the thread is told.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Whether to greet.
    pub(crate) greeting: bool,
    /// Whether to write haiku.
    pub(crate) haiku: bool,
    /// Seconds without any question after which haiku are written; 0 for none.
    pub(crate) idle: u32,
    /// Whether to explain oopses.
    pub(crate) last_words: bool,
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

/// What there is to do.
struct Plan {
    /// The model that is asked.
    model: Option<ModelId>,
    /// Whether it is still to greet, and how many haiku it may try.
    greets: bool,
    tries: u32,
    /// Whether any model has greeted.
    greeted: bool,
    /// Oopses that are done with.
    explained: u32,
    /// What haiku keep to, once it is needed.
    grammar: Option<Arc<Checked<KVVec<u8>>>>,
}

/// The thread.
pub(crate) struct Voice {
    service: Arc<Service>,
    settings: Settings,
}

impl Voice {
    /// Starts it, if it has anything to do.
    pub(crate) fn start(service: Arc<Service>, settings: Settings) -> Result {
        if settings.last_words {
            oops::watch()?;
        }
        if !settings.greeting && !settings.writes() && !settings.last_words {
            return Ok(());
        }
        let voice = Arc::new(Self { service, settings }, GFP_KERNEL)?;
        sys::start_thread(voice, c"llamux_voice")
    }

    /// Greets, or not if what the model says is not true. Whether it was said.
    fn greet(&self) -> Result<bool, Silence> {
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
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Explains an oops, or not if the model has made up what it says.
    fn explain(&self, oops: &Oops) -> Result<(), Silence> {
        for _ in 0..EXPLANATIONS {
            let mut prompt = KVVec::new();
            oops.ask(&mut Text(&mut prompt))?;
            let sampling = Sampling {
                temperature_milli: 500,
                seed: sys::random(),
                ..Sampling::default()
            };
            let answer = self.ask(prompt, sampling, None, OOPS_TOKENS)?;
            let mut line = KVVec::new();
            if oops.explain(&answer, &mut Text(&mut line))? {
                let line = core::str::from_utf8(&line).unwrap_or("");
                let (comm, pid) = oops.task();
                pr_info!("a guess: {line} (\"{}\", pid {pid})\n", Shown(&comm));
                break;
            }
        }
        Ok(())
    }

    /// Writes a haiku of a kind that the pool wants.
    fn write(&self, plan: &mut Plan) -> Result<(), Silence> {
        let Some(kind) = pool::wanted() else {
            return Ok(());
        };
        let grammar = match &plan.grammar {
            Some(grammar) => grammar.clone(),
            None => {
                let mut table = KVVec::from_elem(0, haiku::table::bytes(), GFP_KERNEL)?;
                haiku::table::write(&mut table).ok_or(EINVAL)?;
                let checked = Checked::new(table).map_err(|_| EINVAL)?;
                plan.grammar.insert(Arc::new(checked, GFP_KERNEL)?).clone()
            }
        };
        let mut prompt = KVVec::new();
        haiku::ask(kind, &mut pool::all(kind), &mut Text(&mut prompt))?;
        let sampling = Sampling {
            seed: sys::random(),
            ..haiku::SAMPLING
        };
        let answer = self.ask(prompt, sampling, Some(grammar), HAIKU_TOKENS)?;
        plan.tries = plan.tries.saturating_sub(1);
        pool::keep(kind, core::str::from_utf8(&answer).unwrap_or(""));
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
            embed: 0,
        };
        let queued = Request::new(BYTES, question)?;
        let request = queued.clone_arc();
        if !self.service.submit_own(queued) {
            return Err(Silence::Busy);
        }
        if request.wait(false).is_err() {
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

    /// Waits for as long as the parameter says. Whether nobody has asked meanwhile, and there is nothing else
    /// to do.
    fn is_quiet(&self) -> bool {
        let before = self.service.arrivals();
        let called = oops::sleep(self.settings.idle.saturating_mul(1000));
        !called && self.service.arrivals() == before && !self.service.is_busy()
    }

    /// Does what is next, or waits for something to do. `false` if there will never be anything.
    fn go_on(&self, plan: &mut Plan) -> bool {
        let model = self.service.models.lock().own().ok();
        if model.is_some() && plan.model != model {
            plan.model = model;
            plan.greets = true;
            plan.tries = if self.settings.writes() { TRIES } else { 0 };
        }
        let wanting = self.settings.writes() && pool::wanted().is_some();
        if model.is_none() {
            oops::sleep(0);
        } else if let Some(oops) = oops::get(plan.explained) {
            oops::sleep(LATER);
            if !matches!(self.explain(oops), Err(Silence::Busy)) {
                plan.explained += 1;
            }
        } else if !plan.greeted && plan.greets {
            plan.greets = false;
            plan.greeted = self.greet().unwrap_or(false);
        } else if wanting && plan.tries > 0 {
            if self.is_quiet() && matches!(self.write(plan), Err(Silence::Failed)) {
                plan.tries = 0;
            }
        } else if self.settings.last_words || !plan.greeted || wanting {
            oops::sleep(0);
        } else {
            return false;
        }
        true
    }
}

impl Thread for Voice {
    fn run(self: Arc<Self>) {
        let mut plan = Plan {
            model: None,
            greets: false,
            tries: 0,
            greeted: !self.settings.greeting,
            explained: 0,
            grammar: None,
        };
        while self.go_on(&mut plan) {}
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
