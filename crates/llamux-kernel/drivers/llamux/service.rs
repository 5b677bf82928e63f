// SPDX-License-Identifier: GPL-2.0-only

//! The thread that loads the model and answers all questions in turn.
//!
//! Lock order: `Service::state`, `Service::queue`, `Service::stats` and `Request::progress` are all
//! leaves: none is taken with another held. None is held while computing.

use core::convert::Infallible;

use kernel::list::{List, ListArc};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex, SetOnce};
use kernel::time::{Delta, Instant, Monotonic};
use llamux_engine::chat::Format;
use llamux_engine::generate::{self, Outcome, Sink};
use llamux_engine::{Engine, Error as EngineError, Options, Plan};

use crate::latency::Latency;
use crate::pool::Pool;
use crate::request::{Deadline, Finish, Request};
use crate::status::{Facts, Shown};
use crate::sys::{self, ModelFile, Thread};

/// Longest prompt in bytes that the engine is prepared for.
const PROMPT_BYTES: usize = kernel::uapi::LLAMA_PROMPT_MAX as usize;

/// The driver's parameters.
pub(crate) struct Settings {
    pub(crate) threads: u32,
    pub(crate) nice: i32,
    pub(crate) context: u32,
    pub(crate) keep_firmware: bool,
}

/// Whether there is a model.
pub(crate) enum State {
    /// Not yet.
    Loading,
    /// Yes; what is known of it.
    Ready(Facts),
    /// No, and why.
    Unavailable(Reason),
}

/// Why there is no model, for the log and for `status`.
pub(crate) struct Reason(Option<CString>);

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = self.0.as_ref().and_then(|text| text.to_str().ok());
        f.write_str(text.unwrap_or("out of memory"))
    }
}

/// What was done so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    /// Those of them that were computed: the cache did not have them.
    pub(crate) prefilled_tokens: u64,
    pub(crate) response_tokens: u64,
    /// Time spent on the prompts and on the answers.
    pub(crate) prefill_ns: u64,
    pub(crate) decode_ns: u64,
    /// Tokens that were decoded in `decode_ns`: each answer's first comes out of its prefill.
    pub(crate) decoded_tokens: u64,
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
    pub(crate) waiting: Atomic<u32>,
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
        let service = Arc::pin_init(
            pin_init!(Self {
                settings,
                state <- new_mutex!(State::Loading, "llamux_state"),
                loaded <- new_condvar!("llamux_loaded"),
                queue <- new_mutex!(List::new(), "llamux_queue"),
                arrived <- new_condvar!("llamux_arrived"),
                waiting: Atomic::new(0),
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

    /// Puts a request at the end of the queue.
    pub(crate) fn submit(&self, request: ListArc<Request>) {
        // Counted first: whoever takes it out of the queue counts it out.
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

    fn next_request(&self) -> ListArc<Request> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(request) = queue.pop_front() {
                self.waiting.fetch_sub(1, Relaxed);
                return request;
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
        let start = Instant::<Monotonic>::now();
        let pool = Pool::new(self.settings.threads)
            .map_err(|error| reason(fmt!("cannot start threads: {error:?}")))?;
        self.latency.populate(pool.latency());
        let kernels = sys::kernels();

        let file = ModelFile::open(sys::model_parameter()).map_err(|(error, path)| {
            let path = sys::path_str(&path);
            match error {
                ENOENT => reason(fmt!(
                    "{path}: there is no model; the initramfs has to bring NAME.gguf there, which \
                     llamux.model=NAME may name"
                )),
                EINVAL => reason(fmt!(
                    "llamux.model={path}: is not a name; it is a file's in /lib/firmware/llamux, \
                     without directory and .gguf"
                )),
                _ => reason(fmt!("{path}: cannot be opened ({error:?})")),
            }
        })?;
        let path = file.path();
        let failed = |error: Error| reason(fmt!("{path}: cannot be read ({error:?})"));
        let (_, size) = file.read(&mut [0; 4]).map_err(failed)?;

        // SAFETY: This function runs once, in the only thread that calls it.
        let reserved = unsafe { sys::take_reserved() };
        let reserved_size = reserved.as_ref().map_or(0, |memory| memory.len());
        let mut image_fallback: VVec<u8>;
        let mut arena_fallback: VVec<u8>;
        let (image, rest) = match reserved {
            Some(memory) => {
                // The arena begins on a page of its own.
                let end = size
                    .checked_next_multiple_of(kernel::page::PAGE_SIZE)
                    .filter(|&end| end < memory.len())
                    .ok_or_else(|| {
                        reason(fmt!(
                            "{path}: has {size} bytes, and llamux_mem= reserved {reserved_size}: \
                             it needs the file's size and what it computes in"
                        ))
                    })?;
                let (image, rest) = memory.split_at_mut(end);
                (image.get_mut(..size).unwrap_or_default(), Some(rest))
            }
            None => {
                pr_info!("no memory was reserved (llamux_mem=): using vmalloc\n");
                image_fallback = VVec::zeroed(size, GFP_KERNEL).map_err(|_| {
                    reason(fmt!("{path}: no memory for its {size} bytes; reserve it at boot with llamux_mem="))
                })?;
                (&mut image_fallback[..], None)
            }
        };
        let (read, size_now) = file.read(image).map_err(failed)?;
        if read != size || size_now != size {
            return Err(reason(fmt!("{path}: changed while it was read")));
        }

        let options = Options {
            context: self.settings.context,
            prompt_bytes: PROMPT_BYTES,
            chat_format: chat_format(),
            ..Options::default()
        };
        let image = &*image;
        let refused = |error: EngineError| reason(fmt!("{path}: {}", Shown(&error)));
        let plan = Plan::new(image, &options).map_err(refused)?;
        let arena = match rest {
            Some(rest) => {
                let have = rest.len();
                rest.get_mut(..plan.arena_bytes()).ok_or_else(|| {
                    reason(fmt!(
                        "{path}: needs {} bytes besides the file, and llamux_mem= leaves {have}; \
                         llamux_mem={}M would do",
                        plan.arena_bytes(),
                        (reserved_size - have + plan.arena_bytes()).div_ceil(1 << 20)
                    ))
                })?
            }
            None => {
                arena_fallback = VVec::zeroed(plan.arena_bytes(), GFP_KERNEL).map_err(|_| {
                    reason(fmt!(
                        "{path}: no memory for the {} bytes that it computes in",
                        plan.arena_bytes()
                    ))
                })?;
                &mut arena_fallback[..]
            }
        };
        let arena_bytes = arena.len();
        let mut engine = Engine::load(image, arena, &options, kernels, &pool).map_err(refused)?;
        engine.prewarm(&pool).map_err(refused)?;

        if !self.settings.keep_firmware {
            match file.remove_from_initramfs() {
                Ok(true) => pr_info!("{path}: removed from the initramfs, its memory is free\n"),
                Ok(false) => (),
                Err(error) => {
                    pr_warn!("{path}: cannot be removed from the initramfs ({error:?})\n")
                }
            }
        }
        let facts = Facts::new(
            engine.info(),
            path,
            kernels,
            pool.threads(),
            reserved_size,
            size + arena_bytes,
        )
        .map_err(|_| reason(fmt!("{path}: out of memory")))?;
        pr_info!(
            "{path}: {}, loaded in {} ms\n",
            facts.summary(),
            start.elapsed().as_millis()
        );
        if let Some(chat) = engine.info().chat {
            let (format, origin) = (Shown(&chat.format().name()), Shown(&chat.origin()));
            pr_info!("{path}: questions are put into the chat format {format}, {origin}\n");
        }
        drop(file);
        self.set_state(State::Ready(facts));
        loop {
            self.answer(&mut engine, &pool, &self.next_request());
        }
    }

    fn answer(&self, engine: &mut Engine<'_>, pool: &Pool, request: &Request) {
        let mut sink = RequestSink {
            request,
            begun: Instant::now(),
            prefill: None,
        };
        let question = &request.question;
        let outcome = engine.generate(
            &generate::Request {
                prompt: request.prompt(),
                raw: question.raw,
                max_tokens: question.max_tokens,
                sampling: question.sampling,
                constraint: request.constraint(),
                ..generate::Request::default()
            },
            pool,
            &mut sink,
        );
        if let Ok(outcome) = &outcome {
            self.count(outcome, &sink);
        }
        request.finish(match outcome {
            Ok(outcome) => Ok(Finish {
                prompt_tokens: outcome.prompt_tokens,
                tokens: outcome.tokens,
                stop: outcome.stop,
            }),
            Err(error) => Err(errno(error)),
        });
    }

    fn count(&self, outcome: &Outcome, sink: &RequestSink<'_>) {
        let all = nanoseconds(sink.begun.elapsed());
        let prefill = sink.prefill.map_or(all, nanoseconds);
        let mut stats = self.stats.lock();
        stats.requests += 1;
        stats.prompt_tokens += u64::from(outcome.prompt_tokens);
        stats.prefilled_tokens += u64::from(outcome.prompt_tokens - outcome.cached_tokens);
        stats.response_tokens += u64::from(outcome.tokens);
        stats.decoded_tokens += u64::from(outcome.tokens.saturating_sub(1));
        stats.prefill_ns += prefill;
        stats.decode_ns += all.saturating_sub(prefill);
    }
}

impl Thread for Service {
    fn run(self: Arc<Self>) {
        let Err(reason) = self.load_and_serve();
        pr_err!("{}\n", Shown(&reason));
        self.set_state(State::Unavailable(reason));
    }
}

/// Where a request's answer goes.
struct RequestSink<'a> {
    request: &'a Request,
    begun: Instant<Monotonic>,
    prefill: Option<Delta>,
}

impl Sink for RequestSink<'_> {
    fn text(&mut self, text: &str) -> bool {
        self.request.append(text)
    }

    fn stop(&mut self) -> bool {
        // Between operations, and while all tokens are tried against a grammar, which is no job.
        sys::resched();
        self.request.is_over()
    }

    fn prefilled(&mut self, _prompt_tokens: u32) {
        self.prefill = Some(self.begun.elapsed());
    }
}

fn nanoseconds(delta: Delta) -> u64 {
    u64::try_from(delta.as_nanos()).unwrap_or(0)
}

fn reason(text: kernel::fmt::Arguments<'_>) -> Reason {
    Reason(CString::try_from_fmt(text).ok())
}

/// The chat format that a parameter names, if it does.
fn chat_format() -> Option<Format> {
    let name = sys::chat_format_parameter()?.to_str().unwrap_or("?");
    let format = Format::from_name(name);
    if format.is_none() && !name.is_empty() {
        pr_err!(
            "llamux.chat_format={name}: not one of {}; using what the file says\n",
            Shown(&Names)
        );
    }
    format
}

/// The names of all chat formats.
struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(format.name())?;
        }
        Ok(())
    }
}

/// The one map from the engine's errors to errno.
fn errno(error: EngineError) -> Error {
    match error {
        EngineError::Context { .. } | EngineError::PromptLength { .. } => EOVERFLOW,
        EngineError::EmptyPrompt => EINVAL,
        EngineError::GrammarStuck => ENODATA,
        _ => {
            pr_err!("a request failed: {}\n", Shown(&error));
            EIO
        }
    }
}
