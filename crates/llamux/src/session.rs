// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A conversation with the model; see `Documentation/userspace-api/llamux.rst` of the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use llamux_sys as sys;

use crate::{Answer, Command, Error, StopReason};

/// Where conversations begin.
pub const DEVICE_PATH: &str = "/dev/llama";

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever tells the model how to behave.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// A token of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TokenProbability {
    /// Its number in the model's vocabulary.
    pub token: u32,
    /// The natural logarithm of its probability; `None` if the grammar left no choice.
    pub log: Option<f64>,
    /// Where its text begins in the answer, in bytes.
    pub offset: usize,
}

/// What the kernel says of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Whether the model can answer now.
    pub ready: bool,
    /// Tokens of the model's context; 0 if it cannot.
    pub context: u32,
    /// How many numbers its vectors have, likewise.
    pub embedding: u32,
    /// Tokens of the conversation.
    pub tokens: u32,
    /// Tokens that there is room for behind them, before the oldest are dropped.
    pub context_left: u32,
}

/// A conversation, which the kernel keeps for as long as this is there.
#[derive(Debug)]
pub struct Session {
    file: File,
}

impl Session {
    /// Begins a conversation. Fails with [`Error::Device`] where this kernel has no device, or the
    /// caller may not open it.
    pub fn open() -> Result<Self, Error> {
        let mut options = File::options();
        options.read(true).write(true);
        options.custom_flags(libc::O_CLOEXEC);
        let file = options.open(DEVICE_PATH).map_err(Error::Device)?;
        Ok(Self { file })
    }

    /// Has the model of this name answer, or the default one if the name is empty. Only before anything was
    /// asked, or after a [`reset`](Self::reset). If the model is being loaded, waits for it or, unless
    /// `wait`, fails with [`Error::Loading`].
    pub fn choose_model(&self, name: &str, wait: bool) -> Result<(), Error> {
        let mut model = sys::llama_model_name {
            flags: 0,
            name: name.as_ptr().expose_provenance() as u64,
            // What is too long has no model.
            name_len: u32::try_from(name.len()).unwrap_or(u32::MAX),
            reserved: 0,
        };
        let before = if wait { None } else { Some(self.no_waiting()?) };
        // SAFETY: The name is only read.
        let chosen = unsafe { self.ioctl(sys::LLAMA_IOC_MODEL, address(&mut model)) };
        if let Some(flags) = before {
            self.set_flags(flags)?;
        }
        chosen.map(drop).map_err(|errno| match errno {
            libc::ENOENT | libc::ENAMETOOLONG => Error::UnknownModel {
                name: name.to_owned(),
            },
            errno => Error::from_errno(errno, &Command::default()),
        })
    }

    /// The name of the model that answers; empty if there is none.
    pub fn model(&self) -> Result<String, Error> {
        let mut name = vec![0; sys::LLAMA_MODEL_NAME_MAX as usize];
        let mut state = sys::llama_session {
            name: name.as_mut_ptr().expose_provenance() as u64,
            name_len: sys::LLAMA_MODEL_NAME_MAX,
            ..sys::llama_session::default()
        };
        // SAFETY: So many bytes are there for the name, and borrowed for the time of the call.
        unsafe { self.ioctl(sys::LLAMA_IOC_INFO, address(&mut state)) }
            .map_err(|errno| Error::from_errno(errno, &Command::default()))?;
        name.truncate(state.name_len as usize);
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Makes a vector of a text, as the model sees it: texts that are about the same have vectors whose
    /// product is near 1. It is no part of the conversation. Fails with [`Error::PromptOverContext`] if the text
    /// is longer than the context.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, Error> {
        self.embedding(text).map(|(vector, _)| vector)
    }

    /// The same, with how many tokens the text has.
    pub fn embedding(&self, text: &str) -> Result<(Vec<f32>, u32), Error> {
        let command = Command::new(text);
        if text.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let mut vector: Vec<f32> = Vec::new();
        // The model may be another one the next time, but not again and again.
        for _ in 0..8 {
            let mut asked = sys::llama_embedding {
                text: text.as_ptr().expose_provenance() as u64,
                text_len: text.len() as u64,
                vector: vector.as_mut_ptr().expose_provenance() as u64,
                vector_len: u32::try_from(vector.len()).unwrap_or(u32::MAX),
                ..sys::llama_embedding::default()
            };
            // SAFETY: The text is only read; so many numbers are there, and borrowed for the time of the call.
            match unsafe { self.ioctl(sys::LLAMA_IOC_EMBED, address(&mut asked)) } {
                Ok(_) => {
                    vector.truncate(asked.vector_len as usize);
                    return Ok((vector, asked.tokens));
                }
                Err(libc::E2BIG) if asked.vector_len as usize > vector.len() => {
                    vector.resize(asked.vector_len as usize, 0.0);
                }
                Err(errno) => return Err(Error::from_errno(errno, &command)),
            }
        }
        Err(Error::Busy)
    }

    /// Another conversation, which begins like this one. Not while an answer is under way.
    pub fn fork(&self) -> Result<Self, Error> {
        // SAFETY: The request takes a number.
        let fd = unsafe { self.ioctl(sys::LLAMA_IOC_FORK, libc::O_CLOEXEC as usize) };
        let fd = fd.map_err(|errno| Error::from_errno(errno, &Command::default()))?;
        // SAFETY: The kernel made it for us, and nobody else knows it.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self { file })
    }

    /// Says something that needs no answer of its own: the next one is to all that was said since
    /// the last.
    pub fn say(&self, role: Role, text: &str) -> Result<(), Error> {
        self.turn(role, text, true)
            .map_err(|errno| Error::from_errno(errno, &Command::new(text)))
    }

    /// Asks, and hands every part of the answer to `each` as it comes; `false` ends the answer, and so
    /// does a signal whose handler was installed without `SA_RESTART`. Returns the whole.
    pub fn ask(
        &self,
        command: &Command,
        mut each: impl FnMut(&str) -> bool,
    ) -> Result<Answer, Error> {
        let start = Instant::now();
        self.begin(Role::User, command)?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 4096];
        let mut cancelled = false;
        let mut first = None;
        loop {
            let len = match (&self.file).read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    cancelled = true;
                    self.cancel()?;
                    continue;
                }
                Err(error) => return Err(unread(&error, command)),
            };
            first = first.or_else(|| Some(start.elapsed()));
            let part = buffer.get(..len).unwrap_or_default();
            bytes.extend_from_slice(part);
            // The kernel cuts where characters end.
            if !cancelled && !each(&String::from_utf8_lossy(part)) {
                cancelled = true;
                self.cancel()?;
            }
        }
        let outcome = self.outcome()?;
        match outcome.stop_reason {
            StopReason::Cancelled if outcome.tokens == 0 => return Err(Error::Interrupted),
            StopReason::Timeout if outcome.tokens == 0 => return Err(Error::TimedOut),
            _ => (),
        }
        Ok(Answer {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            elapsed: start.elapsed(),
            first,
            ..outcome
        })
    }

    /// Says the command's prompt in a role, and returns as soon as the answer has begun: [`read`](Self::read) has
    /// it. While the model is being loaded, that is later; or fails with [`Error::Loading`], if the session is
    /// [non-blocking](Self::set_nonblocking).
    pub fn begin(&self, role: Role, command: &Command) -> Result<(), Error> {
        self.set(command)?;
        if command.prompt().is_empty() {
            return Err(Error::EmptyPrompt);
        }
        self.turn(role, command.prompt(), false)
            .map_err(|errno| Error::from_errno(errno, command))
    }

    /// Takes what there is of an answer that was [begun](Self::begin), whole characters wherever there is room for
    /// one, and returns how many bytes; 0 at its end. `None` if nothing is there and the session is
    /// non-blocking: then the descriptor can be polled.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match (&self.file).read(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(unread(&error, &Command::default())),
            }
        }
    }

    /// How the last answer ended. Its text is empty, as it was read.
    pub fn outcome(&self) -> Result<Answer, Error> {
        let state = self.state()?;
        Ok(Answer {
            text: String::new(),
            prompt_tokens: state.prompt_tokens,
            cached_tokens: state.cached_tokens,
            tokens: state.response_tokens,
            stop_reason: StopReason::from_raw(state.stop_reason),
            elapsed: Duration::ZERO,
            first: None,
        })
    }

    /// Ends the answer that is under way, from another thread for example.
    pub fn cancel(&self) -> Result<(), Error> {
        self.simple(sys::LLAMA_IOC_CANCEL)
    }

    /// Begins anew.
    pub fn reset(&self) -> Result<(), Error> {
        self.simple(sys::LLAMA_IOC_RESET)
    }

    /// Has all that was said computed, so that the next answer begins sooner.
    pub fn prewarm(&self) -> Result<(), Error> {
        self.simple(sys::LLAMA_IOC_PREWARM)
    }

    /// The state of the conversation.
    pub fn info(&self) -> Result<Info, Error> {
        let state = self.state()?;
        Ok(Info {
            ready: state.model == sys::LLAMA_MODEL_READY,
            context: state.context,
            embedding: state.embedding,
            tokens: state.tokens,
            context_left: state.context_left,
        })
    }

    /// How likely the tokens of the last answer were, if its command wanted
    /// [`log_probabilities`](Command::log_probabilities).
    pub fn log_probabilities(&self) -> Result<Vec<TokenProbability>, Error> {
        let count = self.state()?.logprobs;
        let mut entries = vec![sys::llama_logprob::default(); count as usize];
        let mut asked = sys::llama_logprobs {
            entries: entries.as_mut_ptr().expose_provenance() as u64,
            first: 0,
            count,
        };
        // SAFETY: So many entries are there, and borrowed for the time of the call.
        unsafe { self.ioctl(sys::LLAMA_IOC_LOGPROBS, address(&mut asked)) }
            .map_err(|errno| Error::from_errno(errno, &Command::default()))?;
        entries.truncate(asked.count as usize);
        let entry = |entry: &sys::llama_logprob| TokenProbability {
            token: entry.token,
            log: (entry.flags & sys::LLAMA_LOGPROB_FORCED == 0)
                .then(|| f64::from(entry.logprob_micro) / 1e6),
            offset: entry.offset as usize,
        };
        Ok(entries.iter().map(entry).collect())
    }

    /// Takes all from a command but the question, for the turns to come and for [`prewarm`](Self::prewarm).
    pub fn set(&self, command: &Command) -> Result<(), Error> {
        let mut stops = Vec::new();
        for stop in command.stops() {
            let stop = CString::new(stop.as_str()).map_err(|_| Error::Parameter {
                name: "stop",
                value: format!("{stop:?}"),
                allowed: "without a zero byte",
            })?;
            stops.extend_from_slice(stop.as_bytes_with_nul());
        }
        let mut options = command.to_options()?;
        if !stops.is_empty() {
            options.stops = stops.as_ptr().expose_provenance() as u64;
            options.stops_len = stops.len() as u64;
        }
        if let Some(grammar) = command.compiled_grammar() {
            options.grammar = grammar.as_ptr().expose_provenance() as u64;
            options.grammar_len = grammar.len() as u64;
        }
        // SAFETY: The addresses are of what is borrowed for the time of the call.
        unsafe { self.ioctl(sys::LLAMA_IOC_SET, address(&mut options)) }
            .map_err(|errno| Error::from_errno(errno, command))?;
        Ok(())
    }

    fn turn(&self, role: Role, text: &str, hold: bool) -> Result<(), i32> {
        let mut turn = sys::llama_turn {
            flags: if hold {
                u64::from(sys::LLAMA_TURN_HOLD)
            } else {
                0
            },
            text: text.as_ptr().expose_provenance() as u64,
            text_len: text.len() as u64,
            role: match role {
                Role::User => sys::LLAMA_ROLE_USER,
                Role::System => sys::LLAMA_ROLE_SYSTEM,
                Role::Assistant => sys::LLAMA_ROLE_ASSISTANT,
            },
            reserved: 0,
        };
        // SAFETY: The text is only read.
        unsafe { self.ioctl(sys::LLAMA_IOC_TURN, address(&mut turn)) }.map(drop)
    }

    fn state(&self) -> Result<sys::llama_session, Error> {
        let mut state = sys::llama_session::default();
        // SAFETY: There is no buffer for the reason, and the structure is the kernel's to write.
        unsafe { self.ioctl(sys::LLAMA_IOC_INFO, address(&mut state)) }
            .map_err(|errno| Error::from_errno(errno, &Command::default()))?;
        Ok(state)
    }

    fn simple(&self, request: u32) -> Result<(), Error> {
        // SAFETY: The request has no argument.
        unsafe { self.ioctl(request, 0) }
            .map(drop)
            .map_err(|errno| Error::from_errno(errno, &Command::default()))
    }

    /// Makes calls fail, or not any more, that would wait for the model or for an answer.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), Error> {
        let flags = self.no_waiting()?;
        match nonblocking {
            true => Ok(()),
            false => self.set_flags(flags & !libc::O_NONBLOCK),
        }
    }

    /// Makes calls fail that would wait. Returns the flags from before.
    fn no_waiting(&self) -> Result<i32, Error> {
        // SAFETY: The request has no argument.
        let flags = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETFL) };
        if flags < 0 {
            return Err(Error::Device(io::Error::last_os_error()));
        }
        self.set_flags(flags | libc::O_NONBLOCK)?;
        Ok(flags)
    }

    fn set_flags(&self, flags: i32) -> Result<(), Error> {
        // SAFETY: The request takes a number.
        match unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETFL, flags) } {
            0 => Ok(()),
            _ => Err(Error::Device(io::Error::last_os_error())),
        }
    }

    /// # Safety
    ///
    /// `argument` is what the request asks for, and so are the addresses in it.
    unsafe fn ioctl(&self, request: u32, argument: usize) -> Result<i32, i32> {
        // SAFETY: By the requirements of this function.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), request.into(), argument) };
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        Err(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl AsRawFd for Session {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl From<OwnedFd> for Session {
    /// Takes over an open file of `/dev/llama`. Of another file, everything fails.
    fn from(fd: OwnedFd) -> Self {
        Self {
            file: File::from(fd),
        }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why there is nothing to read.
fn unread(error: &io::Error, command: &Command) -> Error {
    Error::from_errno(error.raw_os_error().unwrap_or(libc::EIO), command)
}

/// The address of a structure that the kernel reads and writes.
fn address<T>(value: &mut T) -> usize {
    core::ptr::from_mut(value).expose_provenance()
}
