// SPDX-License-Identifier: GPL-2.0-only

//! One caller's question, and the answer as it grows.
//!
//! The caller allocates all of its memory before it queues, on its own account; the thread that
//! answers allocates nothing.

use kernel::list::{
    impl_list_arc_safe, impl_list_item, AtomicTracker, ListArc, ListLinks, TryNewListArc,
};
use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::lock::{Backend, Guard};
use kernel::sync::poll::PollCondVarBox;
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, CondVarTimeoutResult, Mutex};
use kernel::time::{msecs_to_jiffies, Instant, Monotonic};
use llamux_engine::chat::{Conversation, Role};
use llamux_engine::generate::{Sampling, Stop};
use llamux_engine::grammar::{Checked, Constraint};
use llamux_engine::math::F32Bits;
use llamux_engine::stops::Stops;

use crate::sys::{self, Standing};
use crate::users::Bill;

/// What the caller asks for.
pub(crate) struct Question {
    /// The prompt.
    pub(crate) prompt: KVVec<u8>,
    /// The compiled grammar that the answer must keep to.
    pub(crate) grammar: Option<Arc<Checked<KVVec<u8>>>>,
    /// Whose it is: the caller's effective user, in the initial namespace.
    pub(crate) owner: u64,
    /// What else matters of the caller.
    pub(crate) standing: Standing,
    /// Without the chat format.
    pub(crate) raw: bool,
    /// Most tokens to generate.
    pub(crate) max_tokens: u32,
    /// How to choose among them.
    pub(crate) sampling: Sampling,
    /// When to give up.
    pub(crate) deadline: Deadline,
    /// If it continues a conversation: how. The prompt then is what is said.
    pub(crate) turn: Option<Turn>,
    /// If not an answer is wanted, but the prompt's embedding: how many numbers it has.
    pub(crate) embed: u32,
}

/// How a question continues a session's conversation.
pub(crate) struct Turn {
    /// Who says how many bytes of the prompt.
    pub(crate) said: KVec<Said>,
    /// Whether the model's answer follows.
    pub(crate) answer: bool,
    /// What ends that answer, as [`Stops`] wants it.
    pub(crate) stops: Option<Arc<KVVec<u8>>>,
    /// Whether the oldest turns are dropped when the context is full.
    pub(crate) drop_oldest: bool,
    /// Whether to keep how likely each token was.
    pub(crate) rated: bool,
    /// Who reads the answer as it comes.
    pub(crate) reader: Arc<Reader>,
}

/// A part of what is said.
#[derive(Clone, Copy)]
pub(crate) struct Said {
    pub(crate) role: Role,
    pub(crate) len: usize,
}

/// Where those wait who read an answer as it comes, and those who poll it.
pub(crate) struct Reader(pub(crate) PollCondVarBox);

/// A conversation: what a session is made of.
#[derive(Default)]
pub(crate) struct Talk {
    /// All its tokens; none, if a program answers, which has tokens of its own.
    pub(crate) tokens: KVVec<u32>,
    /// For such a program, what was said instead, and by whom.
    pub(crate) text: KVVec<u8>,
    pub(crate) said: KVec<Said>,
    /// How many tokens that is, as the program has counted them.
    pub(crate) counted: u32,
    /// Where it stands behind them.
    pub(crate) state: Conversation,
    /// How many of them stay when the oldest are dropped.
    pub(crate) keep: u32,
}

impl Talk {
    /// Whether nothing was said yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.said.is_empty()
    }

    /// How many tokens it has.
    pub(crate) fn len(&self) -> usize {
        // CAST: From 32 bits.
        self.tokens.len().max(self.counted as usize)
    }

    /// Gives back what there is more room for than is needed.
    pub(crate) fn fit(&mut self) {
        fit(&mut self.tokens);
        fit(&mut self.text);
    }
}

/// Gives back what a vector has room for and does not use, which may be a whole context; where there is no
/// memory to do it, it stays so. `shrink_to()` would leave what kmalloc() gave as it is.
pub(crate) fn fit<T: Copy>(vector: &mut KVVec<T>) {
    let mut fitted = KVVec::new();
    if vector.len() < vector.capacity()
        && fitted.extend_from_slice(vector, sys::on_account()).is_ok()
    {
        *vector = fitted;
    }
}

/// A token of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Rated {
    pub(crate) token: u32,
    /// Its negative log-likelihood in millionths; `None` if it was not computed.
    pub(crate) millionths: Option<u32>,
    /// Where its text begins in the answer.
    pub(crate) offset: u32,
}

/// The bound of a call's time, which runs from the call's beginning.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant<Monotonic>,
    /// 0 for no bound.
    timeout_ms: u32,
}

impl Deadline {
    /// So many milliseconds from now on; 0 for never.
    pub(crate) fn after(timeout_ms: u32) -> Self {
        Self {
            started: Instant::now(),
            timeout_ms,
        }
    }

    /// Milliseconds that are left, or `None` without a bound.
    pub(crate) fn left(&self) -> Option<u32> {
        if self.timeout_ms == 0 {
            return None;
        }
        let passed = u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX);
        Some(self.timeout_ms.saturating_sub(passed))
    }

    /// Whether the time is up.
    pub(crate) fn has_passed(&self) -> bool {
        self.left() == Some(0)
    }

    /// Waits for a notification, with the lock released meanwhile. Whether something else ended it.
    ///
    /// When the system is suspended, who is `frozen` stays here until it goes on, and holds no other lock.
    /// Everybody else is interrupted.
    pub(crate) fn wait<T: ?Sized, B: Backend>(
        &self,
        condition: &CondVar,
        guard: &mut Guard<'_, T, B>,
        frozen: bool,
    ) -> Result<(), Wait> {
        let signal = match self.left() {
            None if frozen => condition.wait_interruptible_freezable(guard),
            None => condition.wait_interruptible(guard),
            Some(0) => return Err(Wait::Timeout),
            Some(left) => {
                // One more, so that the time is up when the wait is.
                let jiffies = msecs_to_jiffies(left).saturating_add(1);
                let end = match frozen {
                    true => condition.wait_interruptible_freezable_timeout(guard, jiffies),
                    false => condition.wait_interruptible_timeout(guard, jiffies),
                };
                matches!(end, CondVarTimeoutResult::Signal { .. })
            }
        };
        if signal {
            Err(Wait::Signal)
        } else {
            Ok(())
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    pub(crate) prompt_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) tokens: u32,
    pub(crate) stop: Stop,
    /// Whether it was one of the texts that end an answer.
    pub(crate) stopped: bool,
}

impl Finish {
    /// Nothing was computed.
    pub(crate) const NOTHING: Self = Self {
        prompt_tokens: 0,
        cached_tokens: 0,
        tokens: 0,
        stop: Stop::Requested,
        stopped: false,
    };
}

/// The part that both sides change.
pub(crate) struct Progress {
    /// The text so far. Its capacity is fixed.
    pub(crate) response: KVVec<u8>,
    /// The conversation that the turn continues; with the turn, and what there is of its answer, from
    /// the end on. The capacity is fixed, too.
    pub(crate) talk: Talk,
    /// The answer's tokens, if they are wanted. The capacity is fixed, too.
    pub(crate) rated: KVVec<Rated>,
    /// The embedding: bits of floats. The capacity is fixed, too.
    pub(crate) vector: KVVec<u32>,
    /// Set once, at the end.
    pub(crate) result: Option<Result<Finish>>,
}

/// A request in the queue or under way.
#[pin_data]
pub(crate) struct Request {
    pub(crate) question: Question,
    /// The number of the model that answers, set when it is queued.
    pub(crate) model: Atomic<u32>,
    /// Who pays for it.
    pub(crate) bill: Bill,
    /// When it was made, to be queued at once.
    created: Instant<Monotonic>,
    /// The same, to be compared.
    pub(crate) arrived_ns: u64,
    cancelled: Atomic<bool>,
    #[pin]
    pub(crate) progress: Mutex<Progress>,
    #[pin]
    finished: CondVar,
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Request {
        tracked_by tracker: AtomicTracker;
    }
}

impl_list_item! {
    impl ListItem<0> for Request {
        using ListLinks { self.links };
    }
}

/// Why a caller stopped waiting before what it waited for.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// A signal is pending.
    Signal,
    /// The caller's time is up.
    Timeout,
}

impl From<Wait> for Error {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Signal => EINTR,
            Wait::Timeout => ETIMEDOUT,
        }
    }
}

impl Request {
    /// A request whose answer can be `response_max` bytes long.
    pub(crate) fn new(response_max: usize, question: Question) -> Result<ListArc<Self>> {
        let response = KVVec::with_capacity(response_max, sys::on_account())?;
        let vector = KVVec::with_capacity(usize::try_from(question.embed)?, GFP_KERNEL_ACCOUNT)?;
        ListArc::pin_init(
            try_pin_init!(Self {
                question,
                model: Atomic::new(0),
                bill: Bill::new(),
                created: Instant::now(),
                arrived_ns: sys::now(),
                cancelled: Atomic::new(false),
                progress <- new_mutex!(
                    Progress {
                        response,
                        talk: Talk::default(),
                        rated: KVVec::new(),
                        vector,
                        result: None,
                    },
                    "llamux_request"
                ),
                finished <- new_condvar!("llamux_request"),
                links <- ListLinks::new(),
                tracker <- AtomicTracker::new(),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The prompt, which was checked to be UTF-8.
    pub(crate) fn prompt(&self) -> &str {
        core::str::from_utf8(&self.question.prompt).unwrap_or("")
    }

    /// What the answer must keep to.
    pub(crate) fn constraint(&self) -> Option<Constraint<'_>> {
        Some(Constraint {
            grammar: self.question.grammar.as_ref()?.grammar()?,
            forced: true,
        })
    }

    /// What ends the answer, which was checked.
    pub(crate) fn stops(&self) -> Stops<'_> {
        let turn = self.question.turn.as_ref();
        let texts = turn.and_then(|turn| core::str::from_utf8(turn.stops.as_deref()?).ok());
        Stops::new(texts.unwrap_or("")).unwrap_or_default()
    }

    /// Nanoseconds since it came.
    pub(crate) fn age_ns(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_nanos()).unwrap_or(0)
    }

    /// Tells the answering thread that nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// Whether somebody said so.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    /// Whether to stop answering.
    pub(crate) fn is_over(&self) -> bool {
        self.cancelled.load(Relaxed) || self.question.deadline.has_passed()
    }

    /// Appends to the answer. `false` if it does not fit any more.
    pub(crate) fn append(&self, text: &str) -> bool {
        let mut progress = self.progress.lock();
        let response = &mut progress.response;
        if response.capacity() - response.len() < text.len() {
            return false;
        }
        // Within the capacity, so nothing is allocated.
        response
            .extend_from_slice(text.as_bytes(), GFP_KERNEL)
            .is_ok()
    }

    /// Notes a token of the answer, whose text begins behind `held` more bytes.
    pub(crate) fn rate(&self, token: u32, millionths: Option<u32>, held: usize) {
        let mut progress = self.progress.lock();
        let offset = progress.response.len().saturating_add(held);
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        // Where there is no room for more, it is only not kept.
        let _ = progress.rated.push_within_capacity(Rated {
            token,
            millionths,
            offset,
        });
    }

    /// Takes the embedding.
    pub(crate) fn embed(&self, values: &[F32Bits]) {
        let mut progress = self.progress.lock();
        for value in values {
            // Within the capacity, which was asked of the same model.
            let _ = progress.vector.push_within_capacity(value.0);
        }
    }

    /// The same, of bytes.
    pub(crate) fn embed_bytes(&self, bytes: &[u8]) {
        let mut progress = self.progress.lock();
        for bits in bytes.chunks_exact(4) {
            let bits = <[u8; 4]>::try_from(bits).map_or(0, u32::from_ne_bytes);
            let _ = progress.vector.push_within_capacity(bits);
        }
    }

    /// Ends the request and wakes its caller.
    pub(crate) fn finish(&self, result: Result<Finish>) {
        self.progress.lock().result = Some(result);
        self.finished.notify_all();
        self.wake_reader();
    }

    /// Tells who reads the answer as it comes that there is more of it.
    pub(crate) fn wake_reader(&self) {
        if let Some(turn) = &self.question.turn {
            turn.reader.0.notify_all();
        }
    }

    /// Waits until the answer is complete, a signal arrives, or the time is up. `frozen` is as in
    /// [`Deadline::wait`].
    pub(crate) fn wait(&self, frozen: bool) -> Result<(), Wait> {
        let mut progress = self.progress.lock();
        while progress.result.is_none() {
            let deadline = &self.question.deadline;
            deadline.wait(&self.finished, &mut progress, frozen)?;
        }
        Ok(())
    }

    /// Waits until the answering thread, which was told to stop, has let go of the request. That
    /// takes as long as one operation at most.
    pub(crate) fn wait_for_end(&self) {
        let mut progress = self.progress.lock();
        while progress.result.is_none() {
            self.finished.wait(&mut progress);
        }
    }
}
