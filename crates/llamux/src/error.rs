// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why there is no answer, and what to do about it.

use std::fmt;
use std::io;

use crate::{Command, State, Status, STATUS_PATH};

/// Why there is no answer. Each one says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// `ENOSYS`: the kernel has no `llama_command`.
    NotSupported {
        /// The kernel's release, as `uname -r` prints it.
        kernel: String,
    },
    /// The kernel has `llama_command`, and a seccomp filter keeps this process from it.
    Forbidden,
    /// `EAGAIN`: the model is still being loaded, and the command was not to wait.
    Loading,
    /// `ENODEV`: there is no model, or it was refused.
    NoModel {
        /// The kernel's reason.
        reason: Option<String>,
    },
    /// `ENOENT`: there is no model of this name.
    UnknownModel {
        /// The name.
        name: String,
    },
    /// `EBUSY`: the conversation has begun, or has an answer under way.
    Busy,
    /// The prompt is empty.
    EmptyPrompt,
    /// `EMSGSIZE`: the prompt is longer than any that the kernel takes, or a conversation has too much to hold.
    PromptTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// `EOVERFLOW`: the prompt has more tokens than the model's context.
    PromptOverContext {
        /// Tokens that the context holds.
        context: Option<u64>,
    },
    /// `ETIMEDOUT`: the time was up before the first token, or the program that answers for the model gave no sign
    /// for too long.
    TimedOut,
    /// `EPIPE`: the program that answers for the model ended while it answered.
    BackendGone,
    /// `EPROTONOSUPPORT`: the program that answers for the model cannot do what was asked for.
    Unable,
    /// `EINTR`: a signal arrived before the first token.
    Interrupted,
    /// `EDQUOT`: the user has asked for as much as the administrator allows.
    OverLimit,
    /// `ENOMEM`: the kernel had no memory for the request.
    OutOfMemory,
    /// `EIO`: the kernel failed to compute the answer.
    Internal {
        /// The kernel's reason.
        reason: Option<String>,
    },
    /// A parameter is out of its range.
    Parameter {
        /// The parameter's name, as the method of [`Command`].
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// `ENODATA`: the model has no token that continues the answer as its grammar asks, or there are
    /// more ways to continue it than the kernel follows.
    GrammarStuck,
    /// `EOPNOTSUPP` or `EBADMSG`: the kernel does not take grammars as this library compiles them.
    GrammarVersion,
    /// `EINVAL` or `E2BIG`: this kernel does not know something that the command asks for.
    Refused,
    /// `/dev/llama` cannot be opened.
    Device(io::Error),
    /// An errno that `llama_command(2)` does not list, or a file that cannot be read.
    Other(io::Error),
}

impl Error {
    pub(crate) fn from_errno(errno: i32, command: &Command) -> Self {
        let status = || Status::read().ok();
        let reason = || status().and_then(|s| s.reason().map(str::to_owned));
        match errno {
            libc::ENOSYS => Self::not_supported(),
            libc::EPERM => Self::Forbidden,
            libc::EAGAIN => Self::Loading,
            libc::ENODEV => Self::NoModel { reason: reason() },
            libc::EBUSY => Self::Busy,
            libc::EMSGSIZE => Self::PromptTooLong {
                bytes: command.prompt().len(),
            },
            libc::EOVERFLOW => Self::PromptOverContext {
                context: status().and_then(|s| s.context()),
            },
            libc::ETIMEDOUT => Self::TimedOut,
            libc::EPIPE => Self::BackendGone,
            libc::EPROTONOSUPPORT => Self::Unable,
            libc::EINTR => Self::Interrupted,
            libc::EDQUOT => Self::OverLimit,
            libc::ENOMEM => Self::OutOfMemory,
            libc::EIO => Self::Internal { reason: reason() },
            libc::ENODATA => Self::GrammarStuck,
            libc::EOPNOTSUPP | libc::EBADMSG => Self::GrammarVersion,
            libc::EINVAL | libc::E2BIG => Self::Refused,
            other => Self::Other(io::Error::from_raw_os_error(other)),
        }
    }

    /// The error number that says the same.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotSupported { .. } => libc::ENOSYS,
            Self::Forbidden => libc::EPERM,
            Self::Loading => libc::EAGAIN,
            Self::NoModel { .. } => libc::ENODEV,
            Self::UnknownModel { .. } => libc::ENOENT,
            Self::Busy => libc::EBUSY,
            Self::PromptTooLong { .. } => libc::EMSGSIZE,
            Self::PromptOverContext { .. } => libc::EOVERFLOW,
            Self::TimedOut => libc::ETIMEDOUT,
            Self::Interrupted => libc::EINTR,
            Self::OverLimit => libc::EDQUOT,
            Self::OutOfMemory => libc::ENOMEM,
            Self::Internal { .. } => libc::EIO,
            Self::GrammarStuck => libc::ENODATA,
            Self::GrammarVersion => libc::EOPNOTSUPP,
            Self::BackendGone => libc::EPIPE,
            Self::Unable => libc::EPROTONOSUPPORT,
            Self::Device(error) | Self::Other(error) => error.raw_os_error().unwrap_or(libc::EIO),
            // What the caller asks for is wrong.
            _ => libc::EINVAL,
        }
    }

    /// No system call: none in the kernel, or one that a filter hides.
    fn not_supported() -> Self {
        if std::path::Path::new(STATUS_PATH).exists() {
            Self::Forbidden
        } else {
            Self::no_kernel()
        }
    }

    /// This kernel is not a Llamux kernel.
    pub(crate) fn no_kernel() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::NotSupported {
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported { kernel } => {
                f.write_str("the running kernel")?;
                if !kernel.is_empty() {
                    write!(f, " ({kernel})")?;
                }
                f.write_str(
                    " has no Llamux: boot the kernel of the package linux-llamux, \
                     or one built with CONFIG_LLAMUX=y",
                )
            }
            Self::Forbidden => f.write_str(
                "the kernel has Llamux, but a seccomp filter keeps this process from \
                 llama_command: allow system call 600 in the container's profile, or ask from \
                 outside",
            ),
            Self::Loading => f.write_str("the model is still being loaded: try again in a moment"),
            Self::NoModel { reason } => {
                f.write_str("the kernel has no model")?;
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => f.write_str(
                        ": put a GGUF file into /lib/firmware/llamux of the initramfs and boot \
                         again",
                    ),
                }
            }
            Self::UnknownModel { name } => write!(
                f,
                "there is no model {name:?}: /sys/kernel/llamux/models lists those that there are"
            ),
            Self::Busy => f.write_str(
                "the conversation has an answer under way, or has begun with another model",
            ),
            Self::EmptyPrompt => f.write_str("the question is empty"),
            Self::PromptTooLong { bytes } if *bytes > crate::PROMPT_MAX => write!(
                f,
                "the question has {bytes} bytes, and the kernel takes {} at most: shorten it",
                crate::PROMPT_MAX
            ),
            Self::PromptTooLong { .. } => write!(
                f,
                "what was said since the last answer has more than {} turns or {} bytes: say less at once",
                crate::HELD_MAX,
                crate::PROMPT_MAX
            ),
            Self::PromptOverContext { context } => {
                f.write_str("the question is longer than the model's context")?;
                if let Some(context) = context {
                    write!(f, " of {context} tokens")?;
                }
                f.write_str(": shorten it, or boot with a larger llamux.context=")
            }
            Self::TimedOut => f.write_str(
                "no token of the answer was ready in time: allow a longer timeout; or see to \
                     the program that answers, if the model is not the kernel's own",
            ),
            Self::BackendGone => f.write_str(
                "the program that answers for this model ended meanwhile: start it again, or \
                 choose another model",
            ),
            Self::Unable => f.write_str(
                "the program that answers for this model does not take what was asked for (a \
                 grammar, a raw prompt, an embedding or probabilities): choose another model",
            ),
            Self::Interrupted => f.write_str("interrupted"),
            Self::OverLimit => f.write_str(
                "this user has asked for as much as /sys/kernel/llamux/limits allows: wait for \
                 other questions, or for a minute",
            ),
            Self::OutOfMemory => f.write_str(
                "the kernel has no memory for the question: shorten it, or free some memory",
            ),
            Self::Internal { reason } => {
                f.write_str("the kernel failed to compute the answer")?;
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => f.write_str(": its log (dmesg) says why"),
                }
            }
            Self::Parameter {
                name,
                value,
                allowed,
            } => write!(f, "{name} is {value}, and may be {allowed}"),
            Self::GrammarStuck => f.write_str(
                "the model has no token that continues the answer as the grammar asks, or the \
                 grammar can be read in too many ways at once: simplify it",
            ),
            Self::GrammarVersion => f.write_str(
                "the kernel takes compiled grammars of another version: use the llamux-tools of \
                 its release",
            ),
            Self::Refused => f.write_str(
                "the kernel refuses the command: it is older than this program and does not know \
                 an option that was used",
            ),
            Self::Device(error) => {
                write!(f, "{}: {error}", crate::DEVICE_PATH)?;
                match error.kind() {
                    io::ErrorKind::NotFound => f.write_str(
                        ": the kernel has no Llamux, or one that is older than this program",
                    ),
                    io::ErrorKind::PermissionDenied => f.write_str(
                        ": it is for root and the group of this file, which an administrator may \
                         change",
                    ),
                    _ if error.raw_os_error() == Some(libc::EDQUOT) => f.write_str(
                        ": this user has as many sessions open as /sys/kernel/llamux/limits allows",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(error) | Self::Other(error) => Some(error),
            _ => None,
        }
    }
}

impl Status {
    /// Fails with the reason if the kernel cannot answer and will not be able to by waiting.
    pub fn check(&self) -> Result<(), Error> {
        match self.state() {
            State::Ready | State::Loading => Ok(()),
            State::Unavailable | State::Unknown => Err(Error::NoModel {
                reason: self.reason().map(str::to_owned),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_errno_has_its_own_meaning() {
        // llama_command(2), section ERRORS, without those that this library rules out.
        let errnos = [
            libc::ENOSYS,
            libc::EPERM,
            libc::EAGAIN,
            libc::ENODEV,
            libc::EMSGSIZE,
            libc::EOVERFLOW,
            libc::ETIMEDOUT,
            libc::EINTR,
            libc::EDQUOT,
            libc::ENOMEM,
            libc::EIO,
            libc::EINVAL,
            libc::ENODATA,
            libc::EOPNOTSUPP,
            libc::EBUSY,
            libc::EPIPE,
            libc::EPROTONOSUPPORT,
        ];
        let mut seen = std::collections::HashSet::new();
        for errno in errnos {
            let error = Error::from_errno(errno, &Command::new("x"));
            assert!(!matches!(error, Error::Other(_)), "errno {errno}");
            assert!(
                error.errno() == errno || errno == libc::EPERM,
                "errno {errno}"
            );
            let text = error.to_string();
            // On a Llamux kernel, ENOSYS and EPERM both mean a filter.
            assert!(
                seen.insert(text.clone()) || errno == libc::EPERM,
                "errno {errno}: {text}"
            );
        }
        let other = Error::from_errno(libc::EXDEV, &Command::new("x"));
        assert!(matches!(other, Error::Other(_)), "{other:?}");
    }

    #[test]
    fn what_is_too_long_is_told_from_what_is_too_much() {
        let said = |bytes| Error::PromptTooLong { bytes }.to_string();
        assert!(said(crate::PROMPT_MAX + 1).contains("1048577 bytes"));
        assert!(said(12).contains("32 turns"), "{}", said(12));
    }

    #[test]
    fn call_without_llamux_says_which_kernel_to_boot() {
        if std::path::Path::new(STATUS_PATH).exists() {
            println!("skipped: this kernel has Llamux");
            return;
        }
        match Command::new("x").ask() {
            Err(error @ Error::NotSupported { .. }) => {
                assert!(error.to_string().contains("linux-llamux"), "{error}");
            }
            Err(Error::Forbidden) => println!("skipped: system call 600 is filtered here"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_model_gives_the_kernels_reason() {
        let status = Status::parse("state: unavailable\nreason: x.gguf: bad magic\n");
        let error = status.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel has no model: x.gguf: bad magic"
        );
        assert!(Status::parse("state: loading\n").check().is_ok());
    }
}
