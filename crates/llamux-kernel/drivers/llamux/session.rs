// SPDX-License-Identifier: GPL-2.0-only

//! A conversation with the model, one for each open file of the device.
//!
//! At rest it is its tokens. A turn is a request with all of them, which has them until it ends; the
//! engine's cache makes that cheap. A copy has the same tokens, and so shares the cache's blocks. The whole
//! answer has room in the request's buffer from the beginning, so that a reader who does not read
//! holds nobody up.
//!
//! Where a program answers (`backend.rs`), it is the text of its turns instead, at most [`TEXT_MAX`] bytes of it, all
//! of which is in each request.
//!
//! Lock order: `Session::inner` is taken first, then one of those of `service.rs` or `backend.rs` at a time. No user
//! memory is touched with it held. Who waits for the answer, holds `Request::progress` alone.

use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::poll::PollCondVarBox;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::time::{Instant, Monotonic};
use kernel::uapi;
use llamux_engine::chat::Role;
use llamux_engine::generate::Stop;
use llamux_engine::grammar::Checked;

use crate::command::{response_max, Parameters};
use crate::models::ModelId;
use crate::request::{
    fit, Deadline, Finish, Question, Rated, Reader, Request, Said, Talk, Turn, Wait,
};
use crate::roll::Place;
use crate::service::Service;
use crate::sys::{self, Opener};

// CAST: A small constant.
/// Most turns that wait for the next answer.
pub(crate) const HELD_MAX: usize = uapi::LLAMA_HELD_MAX as usize;

// CAST: Small constants.
/// Most bytes of a conversation whose text is kept, and most of its turns.
const TEXT_MAX: usize = uapi::LLAMA_PROMPT_MAX as usize;
const TURNS_MAX: usize = uapi::LLAMA_BACKEND_TURNS_MAX as usize;

/// Bytes that are copied out at once.
const CHUNK: usize = 256;

/// How turns are answered.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) raw: bool,
    pub(crate) append: bool,
    pub(crate) keep: bool,
    pub(crate) rated: bool,
    pub(crate) timeout_ms: u32,
    pub(crate) parameters: Parameters,
    pub(crate) grammar: Option<Arc<Checked<KVVec<u8>>>>,
    pub(crate) stops: Option<Arc<KVVec<u8>>>,
}

/// What became of the last answer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Last {
    pub(crate) prompt_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) tokens: u32,
    pub(crate) stop: u32,
    pub(crate) error: Option<Error>,
}

/// A turn that is being answered, or whose answer is not read to its end.
struct Current {
    request: Arc<Request>,
    /// Tokens of the conversation before the turn.
    before: usize,
    /// Bytes of the answer that were read.
    read: usize,
    /// Whether its end is known, and the conversation back.
    settled: bool,
}

/// What is behind the lock.
pub(crate) struct Inner {
    options: Arc<Options>,
    /// Turns that wait for the next answer, and what they say.
    said: KVec<Said>,
    text: KVVec<u8>,
    talk: Talk,
    /// The model that the tokens of `talk` are of; it stays this one until the conversation is reset.
    model: Option<ModelId>,
    /// The one that conversations begin with; the default if there is none.
    chosen: Option<ModelId>,
    current: Option<Current>,
    last: Last,
    rated: KVVec<Rated>,
    /// When somebody wrote or read last.
    used: Instant<Monotonic>,
}

/// A conversation.
#[pin_data(PinnedDrop)]
pub(crate) struct Session {
    opener: Opener,
    service: Arc<Service>,
    reader: Arc<Reader>,
    inner: Arc<Mutex<Inner>>,
    /// Where it is counted, until it is dropped.
    _place: Place,
}

type InnerGuard<'a> = Guard<'a, Inner, MutexBackend>;

/// What a session says of itself.
pub(crate) struct State {
    pub(crate) state: u32,
    pub(crate) tokens: usize,
    pub(crate) held: usize,
    pub(crate) unread: usize,
    pub(crate) rated: usize,
    pub(crate) last: Last,
    pub(crate) model: Option<ModelId>,
    /// Seconds since somebody wrote or read.
    pub(crate) idle_s: u64,
}

impl State {
    /// One word for people.
    pub(crate) fn name(&self) -> &'static str {
        match self.state {
            uapi::LLAMA_STATE_IDLE => "idle",
            uapi::LLAMA_STATE_ANSWERING => "answering",
            _ => "answered",
        }
    }
}

impl Inner {
    /// The model that is asked next, if it is not the default.
    fn model(&self) -> Option<ModelId> {
        self.model.or(self.chosen)
    }

    /// Takes the conversation back from a request that has ended, in memory on the caller's account. Whether none
    /// is under way any more.
    fn settle(&mut self) -> bool {
        let rests = self.take_back();
        if rests {
            self.talk.fit();
            fit(&mut self.rated);
        }
        rests
    }

    /// The same in the memory that it is in.
    fn take_back(&mut self) -> bool {
        let Some(current) = &mut self.current else {
            return true;
        };
        if current.settled {
            return true;
        }
        let request = &current.request;
        let mut progress = request.progress.lock();
        let Some(result) = progress.result else {
            return false;
        };
        self.talk = core::mem::take(&mut progress.talk);
        self.rated = core::mem::take(&mut progress.rated);
        drop(progress);
        current.settled = true;
        self.last = match result {
            Ok(finish) => Last {
                prompt_tokens: finish.prompt_tokens,
                cached_tokens: finish.cached_tokens,
                tokens: finish.tokens,
                stop: stop(&finish, request),
                error: None,
            },
            Err(error) => Last {
                error: Some(error),
                ..Last::default()
            },
        };
        true
    }

    /// Bytes of the answer that wait to be read.
    fn unread(&self) -> usize {
        self.current.as_ref().map_or(0, |current| {
            let len = current.request.progress.lock().response.len();
            len.saturating_sub(current.read)
        })
    }

    /// Holds what somebody says until the next answer.
    fn hold(&mut self, role: Role, text: &[u8]) -> Result {
        self.used = Instant::now();
        let len = self.text.len().saturating_add(text.len());
        if self.said.len() >= HELD_MAX || len > usize::try_from(uapi::LLAMA_PROMPT_MAX)? {
            return Err(EMSGSIZE);
        }
        self.said.reserve(1, GFP_KERNEL_ACCOUNT)?;
        self.text.extend_from_slice(text, sys::on_account())?;
        let said = Said {
            role,
            len: text.len(),
        };
        self.said.push(said, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// Goes on with a turn of the user that is not complete.
    fn append(&mut self, text: &[u8]) -> Result {
        self.used = Instant::now();
        let len = self.text.len().saturating_add(text.len());
        if len > usize::try_from(uapi::LLAMA_PROMPT_MAX)? {
            return Err(EMSGSIZE);
        }
        match self.said.last_mut() {
            Some(last) if last.role == Role::User => {
                self.text.extend_from_slice(text, sys::on_account())?;
                last.len += text.len();
                Ok(())
            }
            _ => self.hold(Role::User, text),
        }
    }
}

/// Begins a request with what was said before, where its text is kept: as much of it as there is room for beside
/// `bytes` more and `turns` more. `EOVERFLOW` if that is not all, and `keep`.
fn recall(
    talk: &Talk,
    (bytes, turns): (usize, usize),
    keep: bool,
) -> Result<(KVVec<u8>, KVec<Said>)> {
    let room = TEXT_MAX.checked_sub(bytes).ok_or(EOVERFLOW)?;
    let places = TURNS_MAX.checked_sub(turns).ok_or(EOVERFLOW)?;
    let is_system = |said: &Said| said.role == Role::System;
    let fixed = usize::from(talk.said.first().is_some_and(is_system));
    let (mut len, mut count) = (talk.text.len(), talk.said.len());
    let mut dropped = 0;
    for said in talk.said.iter().skip(fixed) {
        // What begins is a question.
        let orphan = dropped > 0 && said.role == Role::Assistant;
        if len <= room && count <= places && !orphan {
            break;
        }
        len = len.saturating_sub(said.len);
        count = count.saturating_sub(1);
        dropped += 1;
    }
    if len > room || count > places || (keep && dropped > 0) {
        return Err(EOVERFLOW);
    }
    let (mut text, mut kept) = (KVVec::new(), KVec::new());
    let mut at = 0usize;
    for (place, said) in talk.said.iter().enumerate() {
        let end = at.saturating_add(said.len);
        if place < fixed || place >= fixed + dropped {
            text.extend_from_slice(talk.text.get(at..end).unwrap_or(&[]), sys::on_account())?;
            kept.push(*said, GFP_KERNEL_ACCOUNT)?;
        }
        at = end;
    }
    Ok((text, kept))
}

/// The reason why an answer ended, as the header has it.
fn stop(finish: &Finish, request: &Request) -> u32 {
    match finish.stop {
        Stop::End => uapi::LLAMA_STOP_END,
        Stop::Length | Stop::Context => uapi::LLAMA_STOP_LENGTH,
        Stop::Sink if finish.stopped => uapi::LLAMA_STOP_STRING,
        Stop::Sink => uapi::LLAMA_STOP_BUFFER,
        Stop::Requested if request.is_cancelled() => uapi::LLAMA_STOP_CANCELLED,
        Stop::Requested => uapi::LLAMA_STOP_TIMEOUT,
    }
}

impl Session {
    /// A conversation of the calling user.
    pub(crate) fn new(service: Arc<Service>) -> Result<Arc<Self>> {
        let options = Arc::new(Options::default(), GFP_KERNEL_ACCOUNT)?;
        let inner = Inner {
            options,
            said: KVec::new(),
            text: KVVec::new(),
            talk: Talk::default(),
            model: None,
            chosen: None,
            current: None,
            last: Last::default(),
            rated: KVVec::new(),
            used: Instant::now(),
        };
        Self::with(Opener::caller(), service, inner)
    }

    fn with(opener: Opener, service: Arc<Service>, inner: Inner) -> Result<Arc<Self>> {
        let waiting = PollCondVarBox::new(c"llamux_reader", static_lock_class!())?;
        let reader = Arc::new(Reader(waiting), GFP_KERNEL_ACCOUNT)?;
        let inner = Arc::pin_init(new_mutex!(inner, "llamux_session"), GFP_KERNEL_ACCOUNT)?;
        let _place = Place::new(service.clone(), &opener, inner.clone())?;
        Arc::pin_init(
            pin_init!(Self {
                opener,
                service,
                reader,
                inner,
                _place,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Another one that begins with the same turns.
    pub(crate) fn fork(&self) -> Result<Arc<Self>> {
        let mut inner = self.inner.lock();
        if !inner.settle() {
            return Err(EBUSY);
        }
        let mut copy = Inner {
            options: inner.options.clone(),
            said: KVec::new(),
            text: KVVec::new(),
            talk: Talk {
                state: inner.talk.state,
                keep: inner.talk.keep,
                counted: inner.talk.counted,
                ..Talk::default()
            },
            model: inner.model,
            chosen: inner.chosen,
            current: None,
            last: Last::default(),
            rated: KVVec::new(),
            used: Instant::now(),
        };
        copy.said
            .extend_from_slice(&inner.said, GFP_KERNEL_ACCOUNT)?;
        copy.text
            .extend_from_slice(&inner.text, sys::on_account())?;
        let talk = &mut copy.talk;
        talk.tokens
            .extend_from_slice(&inner.talk.tokens, sys::on_account())?;
        talk.text
            .extend_from_slice(&inner.talk.text, sys::on_account())?;
        talk.said
            .extend_from_slice(&inner.talk.said, GFP_KERNEL_ACCOUNT)?;
        drop(inner);
        Self::with(self.opener, self.service.clone(), copy)
    }

    /// Where readers and pollers wait.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Replaces the options.
    pub(crate) fn set(&self, options: Options) -> Result {
        let options = Arc::new(options, GFP_KERNEL_ACCOUNT)?;
        let old = core::mem::replace(&mut self.inner.lock().options, options);
        drop(old);
        self.tell();
        Ok(())
    }

    /// Tells those who poll that it may be readable now: what is appended is answered when it is read.
    fn tell(&self) {
        self.reader.0.notify_all();
    }

    /// Waits until no answer is under way. What is unread of the last one stays, for now.
    fn rest(&self, block: bool) -> Result<InnerGuard<'_>> {
        loop {
            let mut inner = self.inner.lock();
            if inner.settle() {
                return Ok(inner);
            }
            if !block {
                return Err(EAGAIN);
            }
            let request = inner
                .current
                .as_ref()
                .map(|current| current.request.clone());
            drop(inner);
            let Some(request) = request else { continue };
            let mut progress = request.progress.lock();
            while progress.result.is_none() {
                if self.reader.0.wait_interruptible(&mut progress) {
                    return Err(ERESTARTSYS);
                }
            }
        }
    }

    /// Takes what is written: a turn of the user, or a part of one.
    pub(crate) fn write(&self, text: &[u8], block: bool) -> Result {
        let mut inner = self.rest(block)?;
        if inner.options.append {
            inner.append(text)?;
            drop(inner);
            self.tell();
            return Ok(());
        }
        let mut text = text;
        if !inner.options.raw {
            // Shells end lines; nobody means it.
            text = text.strip_suffix(b"\n").unwrap_or(text);
        }
        drop(inner);
        self.say(Role::User, text, false, block)
    }

    /// Waits until there is a model. A conversation that has one either still has it or is refused later. `frozen`
    /// is as in [`Deadline::wait`].
    pub(crate) fn wait_until_ready(
        &self,
        block: bool,
        deadline: &Deadline,
        frozen: bool,
    ) -> Result {
        if self.inner.lock().model().is_some() {
            return Ok(());
        }
        self.service.wait_until_ready(block, deadline, frozen)
    }

    fn wait_for_model(&self, block: bool) -> Result {
        let ready = self.wait_until_ready(block, &Deadline::after(0), false);
        ready.map_err(restart)
    }

    /// Who opened it.
    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Who answers.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// The model that is asked next, if it is not the default.
    pub(crate) fn model(&self) -> Option<ModelId> {
        self.inner.lock().model()
    }

    /// Has the model of this name asked from now on, or the default if there is none. `EBUSY` unless the
    /// conversation is empty.
    pub(crate) fn choose(&self, name: &[u8], block: bool) -> Result {
        let is_empty = |inner: &mut Inner| inner.settle() && inner.talk.is_empty();
        if !is_empty(&mut self.inner.lock()) {
            return Err(EBUSY);
        }
        let mut chosen = None;
        if !name.is_empty() {
            let forever = Deadline::after(0);
            let named = self.service.wait_until_named(name, block, &forever);
            chosen = Some(named.map_err(restart)?);
        }
        let mut inner = self.inner.lock();
        // Somebody may have said something meanwhile.
        if !is_empty(&mut inner) {
            return Err(EBUSY);
        }
        (inner.model, inner.chosen) = (None, chosen);
        Ok(())
    }

    /// Takes a turn, and begins with the answer unless it is only to be held.
    pub(crate) fn say(&self, role: Role, text: &[u8], hold: bool, block: bool) -> Result {
        if text.is_empty() {
            return Err(EINVAL);
        }
        core::str::from_utf8(text).map_err(|_| EILSEQ)?;
        if !hold {
            self.wait_for_model(block)?;
        }
        let mut inner = self.rest(block)?;
        let (said, len) = (inner.said.len(), inner.text.len());
        inner.hold(role, text)?;
        if hold {
            drop(inner);
            self.tell();
            return Ok(());
        }
        let begun = self.begin(&mut inner, true, None);
        if begun.is_err() {
            // It was not said.
            inner.said.truncate(said);
            inner.text.truncate(len);
        }
        begun.map(|_| ())
    }

    /// Submits all that is held. With `question`, the answer is for the system call.
    fn begin(
        &self,
        inner: &mut InnerGuard<'_>,
        answer: bool,
        question: Option<Question>,
    ) -> Result<Arc<Request>> {
        if core::str::from_utf8(&inner.text).is_err() {
            // What was appended, in pieces that may cut a character in two.
            (inner.said, inner.text) = (KVec::new(), KVVec::new());
            return Err(EILSEQ);
        }
        let options = inner.options.clone();
        let (model, context, elsewhere) = {
            let models = self.service.models.lock();
            let model = models.ready(inner.model())?;
            let context = usize::try_from(models.context(Some(model)))?;
            (model, context, models.backend(model).is_some())
        };
        let (mut max_tokens, sampling) = options.parameters.or_defaults();
        if !answer {
            max_tokens = 0;
        }
        let (mut prompt, mut said) = (KVVec::new(), KVec::new());
        if elsewhere {
            let asked = question.as_ref().map(|asked| asked.prompt.len());
            // The text that an administrator has in front of conversations is a turn as well.
            let turns = inner.said.len() + usize::from(asked.is_some()) + 1;
            let more = (inner.text.len() + asked.unwrap_or(0), turns);
            (prompt, said) = recall(&inner.talk, more, options.keep)?;
        }
        prompt.extend_from_slice(&inner.text, sys::on_account())?;
        said.extend_from_slice(&inner.said, GFP_KERNEL_ACCOUNT)?;
        let mut turn = Turn {
            said,
            answer,
            stops: options.stops.clone(),
            drop_oldest: !options.keep,
            rated: options.rated && answer,
            reader: self.reader.clone(),
        };
        let question = match question {
            Some(mut question) => {
                let len = question.prompt.len();
                prompt.extend_from_slice(&question.prompt, sys::on_account())?;
                let role = Role::User;
                turn.said.push(Said { role, len }, GFP_KERNEL_ACCOUNT)?;
                (question.prompt, question.turn) = (prompt, Some(turn));
                (question.owner, question.standing) = (self.opener.user, self.opener.standing());
                question
            }
            None => Question {
                prompt,
                grammar: options.grammar.clone().filter(|_| answer),
                owner: self.opener.user,
                standing: self.opener.standing(),
                raw: options.raw,
                max_tokens,
                sampling,
                deadline: Deadline::after(options.timeout_ms),
                turn: Some(turn),
                embed: 0,
            },
        };
        let max_tokens = question.max_tokens;
        let rated = question.turn.as_ref().is_some_and(|turn| turn.rated);
        let most = response_max(max_tokens)?;
        let (bytes, turns) = (
            question.prompt.len() + most,
            question.turn.as_ref().map_or(0, |turn| turn.said.len()) + 1,
        );
        let queued = Request::new(most, question)?;
        let request = queued.clone_arc();
        let before = inner.talk.len();
        let talk = &mut inner.talk;
        if elsewhere {
            let more = bytes.saturating_sub(talk.text.len());
            talk.text.reserve(more, sys::on_account())?;
            let more = turns.saturating_sub(talk.said.len());
            talk.said.reserve(more, GFP_KERNEL_ACCOUNT)?;
        } else {
            let more = context.saturating_sub(talk.tokens.len());
            talk.tokens.reserve(more, sys::on_account())?;
        }
        {
            let mut progress = request.progress.lock();
            if rated {
                let most = usize::try_from(max_tokens)?.min(context.max(4096));
                progress.rated.reserve(most, sys::on_account())?;
            }
            progress.talk = core::mem::take(&mut inner.talk);
        }
        let inner = &mut **inner;
        if let Err(error) = self.service.submit(queued, Some(model)) {
            // Unloaded just now.
            inner.talk = core::mem::take(&mut request.progress.lock().talk);
            return Err(error);
        }
        inner.model = Some(model);
        inner.used = Instant::now();
        (inner.said, inner.text) = (KVec::new(), KVVec::new());
        (inner.rated, inner.last) = (KVVec::new(), Last::default());
        inner.current = Some(Current {
            request: request.clone(),
            before,
            read: 0,
            settled: false,
        });
        Ok(request)
    }

    /// Asks for the system call. The answer is not read, but taken from the request; then
    /// [`put_away`](Self::put_away) is called.
    pub(crate) fn ask(&self, question: Question) -> Result<Arc<Request>> {
        let mut inner = self.inner.lock();
        if !inner.settle() {
            return Err(EBUSY);
        }
        self.begin(&mut inner, true, Some(question))
    }

    /// Says that an answer needs no reading any more.
    pub(crate) fn put_away(&self, request: &Arc<Request>) {
        let mut inner = self.inner.lock();
        inner.used = Instant::now();
        let current = inner.current.as_ref();
        if current.is_some_and(|current| Arc::ptr_eq(&current.request, request)) && inner.settle() {
            inner.current = None;
        }
    }

    /// Computes ahead what is held, or what the cache has lost. Returns when that is done.
    pub(crate) fn prewarm(&self, block: bool) -> Result {
        self.wait_for_model(block)?;
        let mut inner = self.rest(block)?;
        if inner.said.is_empty() && inner.talk.is_empty() {
            // What all conversations begin with is there already.
            return Ok(());
        }
        let elsewhere = {
            let models = self.service.models.lock();
            let model = models.ready(inner.model())?;
            models.backend(model).is_some()
        };
        if elsewhere {
            // What a program computes ahead is its own affair.
            return Ok(());
        }
        let request = self.begin(&mut inner, false, None)?;
        drop(inner);
        let waited = request.wait(true).and_then(|()| {
            let result = request.progress.lock().result;
            let stopped =
                matches!(result, Some(Ok(finish)) if matches!(finish.stop, Stop::Requested));
            match stopped && request.question.deadline.has_passed() {
                // The answering thread has seen it first.
                true => Err(Wait::Timeout),
                false => Ok(()),
            }
        });
        if let Err(wait) = waited {
            self.stop(&request);
            request.wait_for_end();
            let held = self.hold_again(&request);
            self.put_away(&request);
            return held.and(Err(wait.into()));
        }
        self.put_away(&request);
        let result = request.progress.lock().result;
        result.ok_or(EIO)?.map(|_| ())
    }

    /// Holds again what was to be computed ahead, if nobody has begun with it.
    fn hold_again(&self, request: &Arc<Request>) -> Result {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let ours = |current: &&Current| Arc::ptr_eq(&current.request, request);
        let before = inner.current.as_ref().filter(ours).map(|it| it.before);
        let begun = !inner.settle() || before != Some(inner.talk.len());
        let question = &request.question;
        match &question.turn {
            Some(turn) if !begun && inner.said.is_empty() => {
                inner
                    .text
                    .extend_from_slice(&question.prompt, sys::on_account())?;
                inner
                    .said
                    .extend_from_slice(&turn.said, GFP_KERNEL_ACCOUNT)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the answer that is under way, if there is one. What there is of it can be read.
    pub(crate) fn cancel(&self) {
        let inner = self.inner.lock();
        let current = inner.current.as_ref().filter(|current| !current.settled);
        let request = current.map(|current| current.request.clone());
        drop(inner);
        if let Some(request) = request {
            self.stop(&request);
        }
    }

    /// Tells the answering thread to stop, and is it itself if nobody has begun.
    fn stop(&self, request: &Arc<Request>) {
        request.cancel();
        if self.service.withdraw(request) {
            request.finish(Ok(Finish::NOTHING));
        }
    }

    /// Begins a new conversation, with the same options.
    pub(crate) fn reset(&self) {
        let mut inner = self.inner.lock();
        let current = inner.current.take();
        let old = core::mem::take(&mut inner.talk);
        (inner.said, inner.text) = (KVec::new(), KVVec::new());
        (inner.last, inner.rated) = (Last::default(), KVVec::new());
        inner.model = None;
        drop(inner);
        drop(old);
        if let Some(current) = current {
            self.stop(&current.request);
        }
        // Whoever waits for an answer finds that there is none.
        self.tell();
    }

    /// What can be said of it.
    pub(crate) fn state(&self) -> State {
        state(&self.inner)
    }

    /// Some of the last answer's tokens. Returns how many there are from `first` on.
    pub(crate) fn rated(&self, first: usize, out: &mut [Rated]) -> usize {
        let mut inner = self.inner.lock();
        inner.settle();
        let rest = inner.rated.get(first..).unwrap_or(&[]);
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        rest.len().min(out.len())
    }

    /// Whether a read, and whether a write, would not block.
    pub(crate) fn ready(&self) -> (bool, bool) {
        let mut inner = self.inner.lock();
        let rests = inner.settle();
        let ended = rests && inner.current.is_some();
        let held = rests && inner.options.append && !inner.said.is_empty();
        (ended || held || inner.unread() > 0, rests)
    }

    /// Begins with the answer to what was appended, if that was not done yet.
    fn begin_appended(&self, block: bool) -> Result {
        let appended =
            |inner: &mut Inner| inner.settle() && inner.options.append && !inner.said.is_empty();
        if !appended(&mut self.inner.lock()) {
            return Ok(());
        }
        self.wait_for_model(block)?;
        let mut inner = self.inner.lock();
        if !appended(&mut inner) {
            return Ok(());
        }
        self.begin(&mut inner, true, None).map(|_| ())
    }

    /// Hands the next part of the answer to `out`, which takes `room` bytes and returns how many it took.
    /// 0 is the end of the answer, or says that there is none.
    pub(crate) fn read(
        &self,
        room: usize,
        block: bool,
        mut out: impl FnMut(&[u8]) -> usize,
    ) -> Result<usize> {
        let mut total = 0;
        if room == 0 {
            return Ok(0);
        }
        self.begin_appended(block)?;
        loop {
            let mut chunk = [0; CHUNK];
            let mut inner = self.inner.lock();
            let ended = inner.settle();
            let last = inner.last;
            inner.used = Instant::now();
            let Some(current) = &mut inner.current else {
                return Ok(total);
            };
            let request = current.request.clone();
            let mut progress = request.progress.lock();
            let unread = progress.response.get(current.read..).unwrap_or(&[]);
            if unread.is_empty() {
                if total > 0 {
                    return Ok(total);
                }
                if ended {
                    drop(progress);
                    inner.current = None;
                    return last.error.map_or(Ok(0), Err);
                }
                let read = current.read;
                drop(inner);
                if !block {
                    return Err(EAGAIN);
                }
                while progress.result.is_none() && progress.response.len() <= read {
                    if self.reader.0.wait_interruptible(&mut progress) {
                        return Err(ERESTARTSYS);
                    }
                }
                continue;
            }
            let most = CHUNK.min(room.saturating_sub(total));
            let mut part = crate::command::floor_char_boundary(unread, most);
            if part.is_empty() {
                if total > 0 {
                    return Ok(total);
                }
                // There is no room for the next character: it comes in pieces.
                part = unread.get(..most.min(unread.len())).unwrap_or(&[]);
            }
            let len = part.len();
            if let Some(chunk) = chunk.get_mut(..len) {
                chunk.copy_from_slice(part);
            }
            drop(progress);
            let begin = current.read;
            current.read = begin + len;
            drop(inner);
            let taken = out(chunk.get(..len).unwrap_or(&[]));
            total += taken;
            if taken < len {
                // Put back what could not be taken, unless somebody else has read on.
                let mut inner = self.inner.lock();
                if let Some(current) = &mut inner.current {
                    if Arc::ptr_eq(&current.request, &request) && current.read == begin + len {
                        current.read = begin + taken;
                    }
                }
                return if total > 0 { Ok(total) } else { Err(EFAULT) };
            }
            if total == room {
                return Ok(total);
            }
        }
    }
}

/// What can be said of the session that this is behind the lock of.
pub(crate) fn state(inner: &Mutex<Inner>) -> State {
    let mut inner = inner.lock();
    // Whoever looks is somebody else, perhaps.
    let rests = inner.take_back();
    State {
        state: match &inner.current {
            None => uapi::LLAMA_STATE_IDLE,
            Some(_) if rests => uapi::LLAMA_STATE_ANSWERED,
            Some(_) => uapi::LLAMA_STATE_ANSWERING,
        },
        tokens: match &inner.current {
            Some(current) if !rests => current.before,
            _ => inner.talk.len(),
        },
        held: inner.text.len(),
        unread: inner.unread(),
        rated: inner.rated.len(),
        last: inner.last,
        model: inner.model(),
        idle_s: u64::try_from(inner.used.elapsed().as_nanos() / 1_000_000_000).unwrap_or(0),
    }
}

/// What a system call that was interrupted before it did anything returns.
fn restart(error: Error) -> Error {
    match error {
        EINTR => ERESTARTSYS,
        error => error,
    }
}

#[pinned_drop]
impl PinnedDrop for Session {
    fn drop(self: Pin<&mut Self>) {
        // Nobody reads it any more. Not waited for: the answering thread drops it.
        self.cancel();
    }
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_session)]
mod tests {
    use super::*;

    /// A conversation of such roles, each of which says 10 bytes.
    fn talk(roles: &[u8]) -> Result<Talk> {
        let mut talk = Talk::default();
        for role in roles {
            let role = match role {
                b's' => Role::System,
                b'a' => Role::Assistant,
                _ => Role::User,
            };
            talk.said.push(Said { role, len: 10 }, GFP_KERNEL)?;
            talk.text.extend_from_slice(&[b'x'; 10], GFP_KERNEL)?;
        }
        Ok(talk)
    }

    /// How many turns are left beside so many bytes.
    fn left(roles: &[u8], bytes: usize, keep: bool) -> Result<usize> {
        let (text, said) = recall(&talk(roles)?, (bytes, 1), keep)?;
        assert_eq!(text.len(), 10 * said.len());
        Ok(said.len())
    }

    #[test]
    fn what_is_dropped_are_the_oldest_turns_with_their_answers() {
        assert_eq!(left(b"", 1, true), Ok(0));
        assert_eq!(left(b"suaua", TEXT_MAX - 50, true), Ok(5));
        assert_eq!(left(b"suaua", TEXT_MAX - 49, true), Err(EOVERFLOW));
        assert_eq!(left(b"suaua", TEXT_MAX - 49, false), Ok(3));
        assert_eq!(left(b"suaua", TEXT_MAX - 30, false), Ok(3));
        assert_eq!(left(b"suaua", TEXT_MAX - 29, false), Ok(1));
        assert_eq!(left(b"suaua", TEXT_MAX - 9, false), Err(EOVERFLOW));
        assert_eq!(left(b"uaua", TEXT_MAX, false), Ok(0));
        assert_eq!(left(b"", TEXT_MAX + 1, false), Err(EOVERFLOW));
    }

    #[test]
    fn there_are_so_many_turns_at_most() -> Result {
        let many = [b'u'; TURNS_MAX];
        let first = talk(&many)?;
        assert_eq!(recall(&first, (0, 0), true)?.1.len(), TURNS_MAX);
        assert_eq!(recall(&first, (0, 1), false)?.1.len(), TURNS_MAX - 1);
        assert!(recall(&first, (0, 1), true).is_err());
        Ok(())
    }
}
