// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answering for the kernel; see `Documentation/userspace-api/llamux.rst` of the kernel.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use llamux_sys as sys;

use crate::Role;

/// Where programs register that answer for a model.
pub const BACKEND_PATH: &str = "/dev/llama-backend";

/// What a program can do that answers for a model. What it cannot is refused by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Tokens of its context.
    pub context: u32,
    /// How many requests it takes at a time, 1 to 256.
    pub active: u32,
    /// How long it may take without a word about a request, until its caller is told that the time is up;
    /// the kernel's default if it is zero.
    pub timeout: Duration,
    /// Whether it answers turns, in a chat format of its own.
    pub chat: bool,
    /// Whether it goes on with a text as it stands.
    pub raw: bool,
    /// Whether it keeps to compiled grammars.
    pub grammar: bool,
    /// Whether it says how likely tokens were.
    pub log_probabilities: bool,
    /// How many numbers its embeddings have; 0 if it makes none.
    pub embedding: u32,
}

impl Default for Abilities {
    /// One chat at a time, in a context of 4096 tokens.
    fn default() -> Self {
        Self {
            context: 4096,
            active: 1,
            timeout: Duration::ZERO,
            chat: true,
            raw: false,
            grammar: false,
            log_probabilities: false,
            embedding: 0,
        }
    }
}

/// A model of the kernel that this program answers for, until this is dropped. Threads may share it: one reads
/// requests, and each answer is written by whoever makes it.
#[derive(Debug)]
pub struct Backend {
    file: File,
}

/// What the kernel wants.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// An answer.
    Ask(Request),
    /// That the request of this number is not answered any more: nobody waits for it.
    Cancel(u64),
}

/// What somebody asks.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// Its number, which no other has.
    pub id: u64,
    /// Who asks.
    pub uid: u32,
    /// Whether the texts of all turns are one, which is to be gone on with.
    pub raw: bool,
    /// Whether not an answer is wanted, but the text as a vector.
    pub embed: bool,
    /// Whether it is to fail with [`Failure::TooLong`] rather than leave old turns out.
    pub keep: bool,
    /// Whether to say how likely each token was.
    pub log_probabilities: bool,
    /// What was said, by whom.
    pub turns: Vec<(Role, String)>,
    /// Texts that end the answer. The kernel looks for them, too.
    pub stops: Vec<String>,
    /// A compiled grammar, if there is one.
    pub grammar: Option<Vec<u8>>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// How much time is left, if there is a bound.
    pub timeout: Option<Duration>,
    /// Of the random numbers.
    pub seed: u64,
    /// How freely tokens are drawn; 0 always takes the likeliest.
    pub temperature: f64,
    /// Among how many of the likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Among the likeliest tokens whose probabilities add up to this.
    pub top_p: f64,
    /// Among tokens at least so probable as this part of the likeliest one's probability.
    pub min_p: f64,
    /// How much less likely recent tokens are made; 1 leaves them alone.
    pub repeat_penalty: f64,
}

/// How many tokens it were, as far as that is known; 0 otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of what was asked.
    pub prompt_tokens: u32,
    /// Those of them that had not to be computed.
    pub cached_tokens: u32,
    /// Of the answer.
    pub tokens: u32,
}

/// Why an answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Own,
    /// It has as many tokens as were asked for, or as the context holds.
    Length,
    /// One of the texts came that end it.
    Stop,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It failed; what is to be done about it is in the program's log.
    Failed,
    /// What was asked is longer than the context.
    TooLong,
    /// Nothing continues the answer as the grammar asks.
    GrammarStuck,
    /// The program cannot do that after all.
    Unable,
}

/// Why a word about a request was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendError {
    /// Nobody waits for this answer any more: stop it.
    Cancelled,
    /// The model was unloaded by an administrator.
    Unloaded,
    /// There is another model of this name, or one is being loaded.
    Taken {
        /// The name.
        name: String,
    },
    /// The device cannot be opened.
    Device(io::Error),
    /// The kernel refuses what was said, which is against the rules, or something else failed.
    Other(io::Error),
}

impl std::fmt::Display for BackendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("nobody waits for this answer any more"),
            Self::Unloaded => f.write_str("the model was unloaded by an administrator"),
            Self::Taken { name } => write!(
                f,
                "there is a model {name:?} already: choose another name, or unload that one \
                 (/sys/kernel/llamux/models lists them)"
            ),
            Self::Device(error) => {
                write!(f, "{BACKEND_PATH}: {error}")?;
                match error.kind() {
                    io::ErrorKind::NotFound => f.write_str(
                        ": the kernel has no Llamux, or one that is older than this program",
                    ),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str(": answering for the kernel is for root")
                    }
                    _ => Ok(()),
                }
            }
            Self::Other(error) => write!(f, "{BACKEND_PATH}: {error}"),
        }
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(error) | Self::Other(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for BackendError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECANCELED) => Self::Cancelled,
            Some(libc::ENODEV) => Self::Unloaded,
            _ => Self::Other(error),
        }
    }
}

impl Backend {
    /// Makes this program answer for a model of that name, which programs find by it from now on.
    pub fn register(name: &str, abilities: &Abilities) -> Result<Self, BackendError> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_CLOEXEC);
        let file = options.open(BACKEND_PATH).map_err(BackendError::Device)?;
        let mut flags = 0;
        for (set, flag) in [
            (abilities.chat, sys::LLAMA_BACKEND_CHAT),
            (abilities.raw, sys::LLAMA_BACKEND_RAW),
            (abilities.grammar, sys::LLAMA_BACKEND_GRAMMAR),
            (abilities.log_probabilities, sys::LLAMA_BACKEND_LOGPROBS),
        ] {
            if set {
                flags |= u64::from(flag);
            }
        }
        let timeout = abilities.timeout.as_millis();
        let wanted = sys::llama_backend {
            flags,
            name: name.as_ptr().expose_provenance() as u64,
            name_len: u32::try_from(name.len()).unwrap_or(u32::MAX),
            context: abilities.context,
            embedding: abilities.embedding,
            active: abilities.active,
            timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
            reserved: 0,
        };
        let request = sys::LLAMA_IOC_BACKEND.into();
        // SAFETY: The structure and the name are only read, and borrowed for the time of the call.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw const wanted) };
        if done < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EEXIST) => BackendError::Taken {
                    name: name.to_owned(),
                },
                _ => BackendError::Other(error),
            });
        }
        Ok(Self { file })
    }

    /// Whether [`next`](Self::next) fails with an error of the kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting. The descriptor can be polled.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), BackendError> {
        let fd = self.file.as_raw_fd();
        // SAFETY: The request has no argument.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        if flags < 0 {
            return Err(io::Error::last_os_error().into());
        }
        let flags = match nonblocking {
            true => flags | libc::O_NONBLOCK,
            false => flags & !libc::O_NONBLOCK,
        };
        // SAFETY: The request takes a number.
        match unsafe { libc::fcntl(fd, libc::F_SETFL, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }

    /// What the kernel wants next. Waits for it.
    pub fn next(&self) -> Result<Message, BackendError> {
        let mut bytes = vec![0; sys::LLAMA_BACKEND_MESSAGE_MAX as usize];
        loop {
            match (&self.file).read(&mut bytes) {
                Ok(len) => {
                    return parse(bytes.get(..len).unwrap_or_default()).ok_or_else(|| {
                        BackendError::Other(io::Error::other("a message of another kernel"))
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next part of an answer, and how many tokens it is.
    pub fn text(&self, id: u64, text: &str, tokens: u32) -> Result<(), BackendError> {
        let mut rest = text;
        let mut tokens = tokens;
        while !rest.is_empty() {
            let mut end = rest.len().min(sys::LLAMA_BACKEND_TEXT_MAX as usize);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (part, more) = rest.split_at(end);
            let reply = sys::llama_backend_reply {
                tokens: std::mem::take(&mut tokens),
                ..reply(id, sys::LLAMA_REPLY_TEXT)
            };
            self.write(&reply, part.as_bytes())?;
            rest = more;
        }
        Ok(())
    }

    /// One token of an answer, with its number and the natural logarithm of its probability.
    pub fn token(&self, id: u64, text: &str, token: u32, log: f64) -> Result<(), BackendError> {
        // CAST: Saturates.
        let logprob_micro = (log * 1e6).min(0.0) as i32;
        let reply = sys::llama_backend_reply {
            flags: sys::LLAMA_REPLY_RATED,
            tokens: 1,
            token,
            logprob_micro,
            ..reply(id, sys::LLAMA_REPLY_TEXT)
        };
        self.write(&reply, text.as_bytes())
    }

    /// The embedding, whose Euclidean length is 1. [`end`](Self::end) follows.
    pub fn vector(&self, id: u64, vector: &[f32]) -> Result<(), BackendError> {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_ne_bytes()).collect();
        self.write(&reply(id, sys::LLAMA_REPLY_VECTOR), &bytes)
    }

    /// Says that an answer is being worked at, though there is nothing new of it.
    pub fn alive(&self, id: u64) -> Result<(), BackendError> {
        self.write(&reply(id, sys::LLAMA_REPLY_ALIVE), &[])
    }

    /// The answer is complete.
    pub fn end(&self, id: u64, end: End, usage: Usage) -> Result<(), BackendError> {
        let reply = sys::llama_backend_reply {
            tokens: usage.tokens,
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            stop_reason: match end {
                End::Own => sys::LLAMA_STOP_END,
                End::Length => sys::LLAMA_STOP_LENGTH,
                End::Stop => sys::LLAMA_STOP_STRING,
            },
            ..reply(id, sys::LLAMA_REPLY_END)
        };
        self.write(&reply, &[])
    }

    /// There is no answer.
    pub fn fail(&self, id: u64, failure: Failure) -> Result<(), BackendError> {
        let error = match failure {
            Failure::Failed => libc::EIO,
            Failure::TooLong => libc::EOVERFLOW,
            Failure::GrammarStuck => libc::ENODATA,
            Failure::Unable => libc::EPROTONOSUPPORT,
        };
        let reply = sys::llama_backend_reply {
            error: error.unsigned_abs(),
            ..reply(id, sys::LLAMA_REPLY_ERROR)
        };
        self.write(&reply, &[])
    }

    fn write(&self, reply: &sys::llama_backend_reply, rest: &[u8]) -> Result<(), BackendError> {
        const SIZE: usize = size_of::<sys::llama_backend_reply>();
        // SAFETY: A structure of integers without padding, as its size says, borrowed as long.
        let header =
            unsafe { std::slice::from_raw_parts(std::ptr::from_ref(reply).cast::<u8>(), SIZE) };
        let parts = [IoSlice::new(header), IoSlice::new(rest)];
        loop {
            match (&self.file).write_vectored(&parts) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

const _: () = assert!(size_of::<sys::llama_backend_reply>() == 48);

impl AsRawFd for Backend {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for Backend {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn reply(id: u64, kind: u32) -> sys::llama_backend_reply {
    sys::llama_backend_reply {
        id,
        kind,
        ..Default::default()
    }
}

/// Takes so many bytes off the front.
fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

/// Reads a structure of integers.
///
/// # Safety
///
/// Any bytes make a `T`.
unsafe fn plain<T: Copy>(bytes: &mut &[u8]) -> Option<T> {
    let bytes = take(bytes, size_of::<T>())?;
    // SAFETY: So many bytes are there, and by the requirements of this function they are a `T`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn parse(message: &[u8]) -> Option<Message> {
    let mut rest = message;
    // SAFETY: It consists of integers.
    let header = unsafe { plain::<sys::llama_backend_request>(&mut rest) }?;
    match header.kind {
        sys::LLAMA_MESSAGE_CANCEL => return Some(Message::Cancel(header.id)),
        sys::LLAMA_MESSAGE_ASK => (),
        _ => return None,
    }
    let mut lens = Vec::new();
    for _ in 0..header.turns {
        // SAFETY: As above.
        let turn = unsafe { plain::<sys::llama_backend_turn>(&mut rest) }?;
        let role = match turn.role {
            sys::LLAMA_ROLE_USER => Role::User,
            sys::LLAMA_ROLE_SYSTEM => Role::System,
            sys::LLAMA_ROLE_ASSISTANT => Role::Assistant,
            _ => return None,
        };
        lens.push((role, turn.len as usize));
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut turns = Vec::new();
    for (role, len) in lens {
        turns.push((role, text(take(&mut rest, len)?)?));
    }
    let stops = text(take(&mut rest, header.stops_len as usize)?)?;
    let grammar = take(&mut rest, header.grammar_len as usize)?;
    let has = |flag: u32| header.flags & u64::from(flag) != 0;
    let thousandth = |milli: u32| f64::from(milli) / 1000.0;
    Some(Message::Ask(Request {
        id: header.id,
        uid: header.uid,
        raw: has(sys::LLAMA_ASK_RAW),
        embed: has(sys::LLAMA_ASK_EMBED),
        keep: has(sys::LLAMA_ASK_KEEP),
        log_probabilities: has(sys::LLAMA_ASK_LOGPROBS),
        turns,
        stops: stops.split_terminator('\0').map(str::to_owned).collect(),
        grammar: (!grammar.is_empty()).then(|| grammar.to_vec()),
        max_tokens: header.max_tokens,
        timeout: (header.timeout_ms != 0).then(|| Duration::from_millis(header.timeout_ms.into())),
        seed: header.seed,
        temperature: thousandth(header.temperature_milli),
        top_k: header.top_k,
        top_p: thousandth(header.top_p_milli),
        min_p: thousandth(header.min_p_milli),
        repeat_penalty: thousandth(header.repeat_penalty_milli),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Copy>(value: &T) -> Vec<u8> {
        let start = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: Structures of integers without padding.
        unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
    }

    fn message(lens: [u32; 2]) -> Vec<u8> {
        let header = sys::llama_backend_request {
            id: 9,
            flags: (sys::LLAMA_ASK_KEEP).into(),
            kind: sys::LLAMA_MESSAGE_ASK,
            turns: 2,
            stops_len: 4,
            max_tokens: 7,
            temperature_milli: 800,
            ..Default::default()
        };
        let mut message = bytes(&header);
        for (role, len) in [sys::LLAMA_ROLE_SYSTEM, sys::LLAMA_ROLE_USER]
            .into_iter()
            .zip(lens)
        {
            message.extend(bytes(&sys::llama_backend_turn { role, len }));
        }
        message.extend(b"Be brief.Why?a\0b\0");
        message
    }

    #[test]
    fn a_request_is_read() {
        let Some(Message::Ask(request)) = parse(&message([9, 4])) else {
            panic!("no request");
        };
        let turns = [(Role::System, "Be brief."), (Role::User, "Why?")];
        let turns = turns.map(|(role, text)| (role, text.to_owned()));
        assert_eq!(request.turns, turns);
        assert_eq!(request.stops, ["a", "b"]);
        assert_eq!((request.id, request.max_tokens), (9, 7));
        assert!(request.keep && !request.raw && !request.embed);
        assert_eq!((request.temperature, request.timeout), (0.8, None));
        assert_eq!(request.grammar, None);
        let cancel = sys::llama_backend_request {
            id: 3,
            kind: sys::LLAMA_MESSAGE_CANCEL,
            ..Default::default()
        };
        assert_eq!(parse(&bytes(&cancel)), Some(Message::Cancel(3)));
    }

    #[test]
    fn what_is_cut_or_unknown_is_no_request() {
        let whole = message([9, 4]);
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(parse(&message([9, 400])), None);
        let unknown = sys::llama_backend_request {
            kind: 3,
            ..Default::default()
        };
        assert_eq!(parse(&bytes(&unknown)), None);
    }
}
