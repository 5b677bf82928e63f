// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Conversations, and answers as they come.
//!
//! The device is not made to block: what waits sleeps in poll(2) without Python's lock, and looks after Python's
//! signals now and then, so that Ctrl-C ends an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llamux::{Command, Error, Role, StopReason};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::errors::raise;
use crate::options::{command, GrammarLike, Options};

/// How long a signal may go unnoticed that another thread was interrupted by.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What is under way in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing.
    Idle,
    /// The answer of this number, which somebody reads.
    Answering(u64),
    /// An answer that was cancelled, and that nobody reads any more.
    Left,
}

/// An open conversation.
struct Open {
    session: llamux::Session,
    progress: Mutex<Progress>,
    /// Answers so far.
    answers: AtomicU64,
}

/// Nothing panics with a lock held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Repeats what a signal interrupts, unless its handler raises an exception.
pub(crate) fn patiently<T: Send>(
    py: Python<'_>,
    mut call: impl FnMut() -> Result<T, Error> + Send,
) -> PyResult<T> {
    loop {
        match py.detach(&mut call) {
            Err(Error::Interrupted) => py.check_signals()?,
            result => return result.map_err(|error| raise(py, &error)),
        }
    }
}

impl Open {
    /// Reads some of an answer. `None` if nothing came for a while, or a signal did.
    fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        if let Some(len) = self.session.read(buffer)? {
            return Ok(Some(len));
        }
        let mut waiting = [PollFd::new(&self.session, PollFlags::IN)];
        match poll(&mut waiting, Some(&LOOK)) {
            Ok(0) | Err(Errno::INTR) => Ok(None),
            Ok(_) => self.session.read(buffer),
            Err(error) => Err(Error::Other(error.into())),
        }
    }

    /// Ends the answer that is under way, if it is that of a number: nobody is to read it further.
    fn leave(&self, number: Option<u64>) {
        let mut progress = lock(&self.progress);
        if matches!(*progress, Progress::Answering(n) if number.is_none_or(|number| number == n)) {
            // There may be nothing to end any more.
            let _ = self.session.cancel();
            *progress = Progress::Left;
        }
    }

    /// Makes room for the next answer.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let progress = *lock(&self.progress);
        match progress {
            Progress::Idle => return Ok(()),
            Progress::Answering(_) => return Err(raise(py, &Error::Busy)),
            Progress::Left => (),
        }
        let mut buffer = vec![0; 4096];
        loop {
            // How it ended is nobody's concern.
            if let Ok(Some(0)) | Err(_) = py.detach(|| self.read(&mut buffer)) {
                break;
            }
            py.check_signals()?;
        }
        *lock(&self.progress) = Progress::Idle;
        Ok(())
    }
}

/// A conversation with the kernel's model, by /dev/llama.
///
/// model is the name of one of models(); without it the default one answers. system says how the model is to behave.
/// Use it as a context manager, or close() it: the kernel keeps the conversation as long as it is open.
#[pyclass(frozen, module = "llamux")]
pub(crate) struct Session {
    open: Mutex<Option<Arc<Open>>>,
}

impl Session {
    pub(crate) fn begin(
        py: Python<'_>,
        model: Option<&str>,
        system: Option<&str>,
        wait: bool,
    ) -> PyResult<Self> {
        let opened = patiently(py, llamux::Session::open)?;
        if let Some(model) = model {
            patiently(py, || opened.choose_model(model, wait))?;
        }
        let session = Self::of(py, opened)?;
        if let Some(system) = system {
            session.tell(py, Role::System, system)?;
        }
        Ok(session)
    }

    fn of(py: Python<'_>, session: llamux::Session) -> PyResult<Self> {
        session
            .set_nonblocking(true)
            .map_err(|error| raise(py, &error))?;
        let open = Open {
            session,
            progress: Mutex::new(Progress::Idle),
            answers: AtomicU64::new(0),
        };
        Ok(Self {
            open: Mutex::new(Some(Arc::new(open))),
        })
    }

    fn get(&self) -> PyResult<Arc<Open>> {
        let open = lock(&self.open).clone();
        open.ok_or_else(|| PyValueError::new_err("the session is closed"))
    }

    pub(crate) fn put(&self, py: Python<'_>, command: &Command, wait: bool) -> PyResult<Answer> {
        let open = self.get()?;
        open.clear(py)?;
        patiently(py, || {
            // A turn waits for a model that is being loaded, if it may.
            open.session.set_nonblocking(!wait)?;
            let begun = open.session.begin(Role::User, command);
            open.session.set_nonblocking(true)?;
            begun
        })?;
        let number = open.answers.fetch_add(1, Ordering::Relaxed);
        *lock(&open.progress) = Progress::Answering(number);
        Ok(Answer {
            open,
            number,
            said: Mutex::default(),
        })
    }

    pub(crate) fn vector(&self, py: Python<'_>, text: &str) -> PyResult<Vec<f32>> {
        let open = self.get()?;
        patiently(py, || open.session.embed(text))
    }

    fn tell(&self, py: Python<'_>, role: Role, text: &str) -> PyResult<()> {
        let open = self.get()?;
        open.clear(py)?;
        patiently(py, || open.session.say(role, text))
    }
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (model=None, *, system=None, wait=true))]
    fn new(
        py: Python<'_>,
        model: Option<&str>,
        system: Option<&str>,
        wait: bool,
    ) -> PyResult<Self> {
        Self::begin(py, model, system, wait)
    }

    /// Asks, and returns an Answer, which is read by iterating over it, or as a whole by its text.
    #[pyo3(signature = (prompt, *, raw=false, max_tokens=None, temperature=None, top_k=None, top_p=None,
        min_p=None, repeat_penalty=None, seed=None, grammar=None, stop=None, timeout=None, wait=true))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn ask(
        &self,
        py: Python<'_>,
        prompt: String,
        raw: bool,
        max_tokens: Option<u32>,
        temperature: Option<f64>,
        top_k: Option<u32>,
        top_p: Option<f64>,
        min_p: Option<f64>,
        repeat_penalty: Option<f64>,
        seed: Option<u64>,
        grammar: Option<GrammarLike>,
        stop: Option<Vec<String>>,
        timeout: Option<f64>,
        wait: bool,
    ) -> PyResult<Answer> {
        let options = Options {
            raw,
            max_tokens,
            temperature,
            top_k,
            top_p,
            min_p,
            repeat_penalty,
            seed,
            grammar,
            stop,
            timeout,
            wait,
        };
        self.put(py, &command(prompt, options)?, wait)
    }

    /// Says something that needs no answer of its own, in the role "system", "user" or "assistant": the next
    /// question is to all that was said.
    #[pyo3(signature = (text, role="user"))]
    fn say(&self, py: Python<'_>, text: &str, role: &str) -> PyResult<()> {
        let role = match role {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "there is no role {role:?}: it is \"system\", \"user\" or \"assistant\""
                )))
            }
        };
        self.tell(py, role, text)
    }

    /// The vector of a text, as long as 1: texts that are about the same have vectors whose product is near 1. It is
    /// no part of the conversation.
    fn embed(&self, py: Python<'_>, text: &str) -> PyResult<Vec<f32>> {
        self.vector(py, text)
    }

    /// Another conversation, which begins like this one. Not while an answer is under way.
    fn fork(&self, py: Python<'_>) -> PyResult<Self> {
        let open = self.get()?;
        open.clear(py)?;
        let copy = patiently(py, || open.session.fork())?;
        Self::of(py, copy)
    }

    /// Begins anew, with the same model.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.get()?;
        open.leave(None);
        open.clear(py)?;
        patiently(py, || open.session.reset())
    }

    /// Ends the answer that is under way, from another thread for example. What was not read of it is lost.
    fn cancel(&self) -> PyResult<()> {
        self.get()?.leave(None);
        Ok(())
    }

    /// Ends the conversation, and an answer that is under way. Nothing if that was done.
    fn close(&self) {
        if let Some(open) = lock(&self.open).take() {
            open.leave(None);
        }
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        lock(&self.open).is_none()
    }

    /// The name of the model that answers; empty if there is none.
    #[getter]
    fn model(&self, py: Python<'_>) -> PyResult<String> {
        let open = self.get()?;
        patiently(py, || open.session.model())
    }

    /// Tokens of the conversation.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<u32> {
        let open = self.get()?;
        patiently(py, || open.session.info()).map(|info| info.tokens)
    }

    /// Tokens that there is room for behind them, before the oldest turns are dropped.
    #[getter]
    fn context_left(&self, py: Python<'_>) -> PyResult<u32> {
        let open = self.get()?;
        patiently(py, || open.session.info()).map(|info| info.context_left)
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (_kind, _value, _traceback, /))]
    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        self.close();
    }

    fn __repr__(&self) -> &'static str {
        match self.closed() {
            true => "<llamux.Session closed>",
            false => "<llamux.Session>",
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy)]
struct Ended {
    reason: StopReason,
    prompt_tokens: u32,
    cached_tokens: u32,
    tokens: u32,
}

impl Ended {
    /// Before its end.
    fn early(reason: StopReason) -> Self {
        Self {
            reason,
            prompt_tokens: 0,
            cached_tokens: 0,
            tokens: 0,
        }
    }
}

/// What was read of an answer.
#[derive(Default)]
struct Said {
    text: String,
    ended: Option<Ended>,
}

/// An answer as it comes: iterating over it gives parts of its text.
///
/// It comes from a language model: show it to people, do not run it. What asks for the whole, or for how it ended,
/// waits for its end. One that nobody has any more is cancelled.
#[pyclass(frozen, module = "llamux")]
pub(crate) struct Answer {
    open: Arc<Open>,
    number: u64,
    said: Mutex<Said>,
}

impl Answer {
    /// The next part; `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let mut buffer = vec![0; 4096];
        loop {
            if lock(&self.said).ended.is_some() {
                return Ok(None);
            }
            if let Err(exception) = py.check_signals() {
                self.cancel();
                return Err(exception);
            }
            if *lock(&self.open.progress) != Progress::Answering(self.number) {
                self.end(Ended::early(StopReason::Cancelled));
                return Ok(None);
            }
            match py.detach(|| self.open.read(&mut buffer)) {
                Ok(None) => (),
                Ok(Some(0)) => {
                    self.finish(py)?;
                    return Ok(None);
                }
                Ok(Some(len)) => {
                    // The kernel cuts where characters end.
                    let part = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default());
                    lock(&self.said).text.push_str(&part);
                    return Ok(Some(part.into_owned()));
                }
                Err(error) => {
                    self.over();
                    self.end(Ended::early(StopReason::Unknown(0)));
                    return Err(raise(py, &error));
                }
            }
        }
    }

    /// What the kernel says of it, at its end.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let outcome = self.open.session.outcome();
        if !self.over() {
            self.end(Ended::early(StopReason::Cancelled));
            return Ok(());
        }
        let outcome = outcome.map_err(|error| raise(py, &error))?;
        self.end(Ended {
            reason: outcome.stop_reason,
            prompt_tokens: outcome.prompt_tokens,
            cached_tokens: outcome.cached_tokens,
            tokens: outcome.tokens,
        });
        match outcome.stop_reason {
            StopReason::Timeout if outcome.tokens == 0 => Err(raise(py, &Error::TimedOut)),
            _ => Ok(()),
        }
    }

    /// Whether the conversation had this answer under way, which it has no longer.
    fn over(&self) -> bool {
        let mut progress = lock(&self.open.progress);
        let ours = *progress == Progress::Answering(self.number);
        if ours {
            *progress = Progress::Idle;
        }
        ours
    }

    fn end(&self, ended: Ended) {
        lock(&self.said).ended.get_or_insert(ended);
    }

    /// Reads all of it.
    pub(crate) fn whole(&self, py: Python<'_>) -> PyResult<String> {
        while self.next(py)?.is_some() {}
        Ok(lock(&self.said).text.clone())
    }

    fn ended(&self, py: Python<'_>) -> PyResult<Ended> {
        while self.next(py)?.is_some() {}
        let ended = lock(&self.said).ended;
        Ok(ended.unwrap_or(Ended::early(StopReason::Unknown(0))))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.open.leave(Some(self.number));
    }
}

#[pymethods]
impl Answer {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.next(py)
    }

    /// All of its text.
    #[getter]
    fn text(&self, py: Python<'_>) -> PyResult<String> {
        self.whole(py)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        self.whole(py)
    }

    /// Why it ended: "end", "length", "timeout", "interrupted", "buffer", "stopped", "cancelled" or "unknown".
    #[getter]
    fn stop_reason(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.ended(py)?.reason.name())
    }

    /// Tokens of the question, with all that was said before and the chat format.
    #[getter]
    fn prompt_tokens(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.ended(py)?.prompt_tokens)
    }

    /// Those of them that the kernel's cache had.
    #[getter]
    fn cached_tokens(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.ended(py)?.cached_tokens)
    }

    /// Tokens of the answer.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.ended(py)?.tokens)
    }

    /// Ends it. What was not read of it is lost.
    fn cancel(&self) {
        self.open.leave(Some(self.number));
        self.end(Ended::early(StopReason::Cancelled));
    }

    fn __repr__(&self) -> String {
        let said = lock(&self.said);
        let ended = said.ended.map_or("under way", |ended| ended.reason.name());
        format!("<llamux.Answer {ended}>")
    }
}
