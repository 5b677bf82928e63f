// SPDX-License-Identifier: GPL-2.0-only

//! The system call llama_command.
//!
//! C header: [`include/uapi/linux/llamux.h`](srctree/include/uapi/linux/llamux.h)

use kernel::ffi::c_long;
use kernel::fs::LocalFile;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::transmute::AsBytes;
use kernel::uaccess::{UserPtr, UserSlice};
use kernel::uapi;
use llamux_engine::generate::{Sampling, Stop};
use llamux_engine::grammar::{Checked, TableError};

use crate::request::{Deadline, Finish, Question, Request, Wait};
use crate::service::Service;
use crate::{device, settings, sys, SERVICE};

const FLAGS: u64 =
    (uapi::LLAMA_RAW | uapi::LLAMA_GREEDY | uapi::LLAMA_WAIT | uapi::LLAMA_SESSION) as u64;

/// Tokens of an answer if neither the caller nor the administrator says how many.
pub(crate) const DEFAULT_MAX_TOKENS: u32 = 512;

/// Bytes of an answer for each token that was asked for: longer than all but a vocabulary's longest.
const RESPONSE_BYTES_PER_TOKEN: usize = 32;

/// Most of any of the parameters that are given in thousandths.
const MILLI_MAX: u32 = 10_000;

/// Most bytes of an answer of so many tokens.
pub(crate) fn response_max(tokens: u32) -> Result<usize> {
    Ok(usize::try_from(tokens)?
        .saturating_mul(RESPONSE_BYTES_PER_TOKEN)
        .clamp(4096, usize::try_from(uapi::LLAMA_RESPONSE_MAX)?))
}

/// The parameters of an answer, as a caller gives them.
#[derive(Default)]
pub(crate) struct Parameters {
    pub(crate) greedy: bool,
    pub(crate) max_tokens: u32,
    pub(crate) seed: u64,
    pub(crate) temperature_milli: u32,
    pub(crate) top_k: u32,
    pub(crate) top_p_milli: u32,
    pub(crate) min_p_milli: u32,
    pub(crate) repeat_penalty_milli: u32,
}

impl Parameters {
    /// Whether each is within its bounds.
    pub(crate) fn are_valid(&self) -> bool {
        self.temperature_milli <= MILLI_MAX
            && self.repeat_penalty_milli <= MILLI_MAX
            && self.top_p_milli <= 1000
            && self.min_p_milli <= 1000
    }

    /// Tokens of the answer, and how they are chosen.
    pub(crate) fn or_defaults(&self) -> (u32, Sampling) {
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let (max_tokens, default) = settings::sampling();
        let sampling = Sampling {
            temperature_milli: match self.greedy {
                true => 0,
                false => or(self.temperature_milli, default.temperature_milli),
            },
            top_k: or(self.top_k, default.top_k),
            top_p_milli: or(self.top_p_milli, default.top_p_milli),
            min_p_milli: or(self.min_p_milli, default.min_p_milli),
            repeat_penalty_milli: or(self.repeat_penalty_milli, default.repeat_penalty_milli),
            seed: match self.seed {
                0 => sys::random(),
                seed => seed,
            },
        };
        (or(self.max_tokens, max_tokens), sampling)
    }
}

/// Copies a caller's bytes.
pub(crate) fn bytes_from_user(address: u64, len: u64) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::new();
    UserSlice::new(
        UserPtr::from_addr(usize::try_from(address)?),
        usize::try_from(len)?,
    )
    .read_all(&mut bytes, sys::on_account())?;
    Ok(bytes)
}

/// Copies a caller's compiled grammar, if there is one.
pub(crate) fn grammar_from_user(address: u64, len: u64) -> Result<Option<Arc<Checked<KVVec<u8>>>>> {
    if (address == 0) != (len == 0) {
        return Err(EINVAL);
    }
    if len > u64::from(uapi::LLAMA_GRAMMAR_MAX) {
        return Err(EMSGSIZE);
    }
    if len == 0 {
        return Ok(None);
    }
    let grammar = Checked::new(bytes_from_user(address, len)?).map_err(|error| match error {
        TableError::Version { .. } => EOPNOTSUPP,
        _ => EBADMSG,
    })?;
    Ok(Some(Arc::new(grammar, GFP_KERNEL_ACCOUNT)?))
}

/// Called by the system call in shim.c.
#[no_mangle]
extern "C" fn llamux_command(address: usize, size: usize) -> c_long {
    match command(address, size) {
        Ok(len) => c_long::try_from(len).unwrap_or(c_long::MAX),
        // CAST: From int to long.
        Err(error) => error.to_errno() as c_long,
    }
}

fn command(address: usize, size: usize) -> Result<usize> {
    let mut args = Args(sys::command_from_user(address, size)?);
    let question = args.question()?;
    let service = SERVICE.as_ref().ok_or(ENODEV)?;
    let wait = args.0.flags & u64::from(uapi::LLAMA_WAIT) != 0;
    if args.0.flags & u64::from(uapi::LLAMA_SESSION) == 0 {
        service.wait_until_ready(wait, &question.deadline, true)?;
        return args.reply(address, size, &ask(service, question)?);
    }
    let file = LocalFile::fget(u32::try_from(args.0.session).map_err(|_| EBADF)?)?;
    let session = device::session(&file).ok_or(EINVAL)?;
    session.wait_until_ready(wait, &question.deadline, true)?;
    let request = session.ask(question)?;
    let answer = answer(service, request.clone());
    session.put_away(&request);
    args.reply(address, size, &answer?)
}

/// An answer that may be copied out.
pub(crate) struct Answer {
    pub(crate) request: Arc<Request>,
    pub(crate) finish: Finish,
    stop: u32,
}

fn ask(service: &Service, question: Question) -> Result<Answer> {
    let queued = Request::new(response_max(question.max_tokens)?, question)?;
    let request = queued.clone_arc();
    service.submit(queued, None)?;
    answer(service, request)
}

/// Waits for the answer to a request that was submitted.
pub(crate) fn answer(service: &Service, request: Arc<Request>) -> Result<Answer> {
    let gave_up = request.wait(true).err();
    if let Some(wait) = gave_up {
        // Whose time is up is known to be over without it.
        if let Wait::Signal = wait {
            request.cancel();
        }
        if service.withdraw(&request) {
            // Nobody had begun with it.
            request.finish(Ok(Finish::NOTHING));
            return Err(wait.into());
        }
        request.wait_for_end();
    }
    let result = request.progress.lock().result;
    let finish = result.ok_or(EIO)??;
    let stop = match finish.stop {
        Stop::End => uapi::LLAMA_STOP_END,
        Stop::Length | Stop::Context => uapi::LLAMA_STOP_LENGTH,
        Stop::Sink if finish.stopped => uapi::LLAMA_STOP_STRING,
        Stop::Sink => uapi::LLAMA_STOP_BUFFER,
        // By somebody else, who has the session as well.
        Stop::Requested if gave_up.is_none() && request.is_cancelled() => {
            uapi::LLAMA_STOP_CANCELLED
        }
        Stop::Requested if finish.tokens == 0 => {
            let late = request.question.deadline.has_passed();
            return Err(if late { ETIMEDOUT } else { EINTR });
        }
        Stop::Requested if request.question.deadline.has_passed() => uapi::LLAMA_STOP_TIMEOUT,
        Stop::Requested => uapi::LLAMA_STOP_INTERRUPTED,
    };
    Ok(Answer {
        request,
        finish,
        stop,
    })
}

/// The argument of the system call.
#[repr(transparent)]
struct Args(uapi::llama_command);

// SAFETY: A structure of integers without padding, as its size says in `command_from_user`.
unsafe impl AsBytes for Args {}

impl Args {
    /// Checks the arguments and copies the prompt.
    fn question(&self) -> Result<Question> {
        let args = &self.0;
        let parameters = Parameters {
            greedy: args.flags & u64::from(uapi::LLAMA_GREEDY) != 0,
            max_tokens: args.max_tokens,
            seed: args.seed,
            temperature_milli: args.temperature_milli,
            top_k: args.top_k,
            top_p_milli: args.top_p_milli,
            min_p_milli: args.min_p_milli,
            repeat_penalty_milli: args.repeat_penalty_milli,
        };
        if args.flags & !FLAGS != 0
            || (args.flags & u64::from(uapi::LLAMA_SESSION) == 0 && args.session != 0)
            || args.reserved != 0
            || !parameters.are_valid()
            || (args.response == 0 && args.response_len != 0)
            || (args.grammar == 0) != (args.grammar_len == 0)
        {
            return Err(EINVAL);
        }
        if args.prompt_len == 0 {
            return Err(EINVAL);
        }
        if args.prompt_len > u64::from(uapi::LLAMA_PROMPT_MAX)
            || args.grammar_len > u64::from(uapi::LLAMA_GRAMMAR_MAX)
        {
            return Err(EMSGSIZE);
        }
        let prompt = bytes_from_user(args.prompt, args.prompt_len)?;
        core::str::from_utf8(&prompt).map_err(|_| EILSEQ)?;
        let grammar = grammar_from_user(args.grammar, args.grammar_len)?;
        let (max_tokens, sampling) = parameters.or_defaults();
        Ok(Question {
            prompt,
            grammar,
            owner: sys::caller(),
            standing: sys::Standing::of_caller(),
            raw: args.flags & u64::from(uapi::LLAMA_RAW) != 0,
            max_tokens,
            deadline: Deadline::after(args.timeout_ms),
            sampling,
            turn: None,
            embed: 0,
        })
    }

    /// Copies out as much of the answer as fits, and the results. Returns the answer's length.
    fn reply(&mut self, address: usize, size: usize, answer: &Answer) -> Result<usize> {
        // It is taken out, since nobody is to wait for the lock while it is copied: who provides the caller's
        // memory may take as long as it likes.
        let response = core::mem::take(&mut answer.request.progress.lock().response);
        let room = usize::try_from(self.0.response_len)?;
        let copied = floor_char_boundary(&response, room);
        let target = UserPtr::from_addr(usize::try_from(self.0.response)?);
        UserSlice::new(target, copied.len())
            .writer()
            .write_slice(copied)?;

        self.0.response_len = response.len() as u64;
        self.0.prompt_tokens = answer.finish.prompt_tokens;
        self.0.response_tokens = answer.finish.tokens;
        self.0.stop_reason = answer.stop;
        // As much of it as the caller knows.
        let known = self.as_bytes();
        let known = known.get(..size).unwrap_or(known);
        UserSlice::new(UserPtr::from_addr(address), known.len())
            .writer()
            .write_slice(known)?;
        Ok(response.len())
    }
}

/// The longest beginning of a UTF-8 text that has at most `max` bytes and no part of a character.
pub(crate) fn floor_char_boundary(text: &[u8], max: usize) -> &[u8] {
    let mut end = text.len().min(max);
    // A continuation byte is 0b10xxxxxx.
    while end > 0 && text.get(end).is_some_and(|b| b & 0xc0 == 0x80) {
        end -= 1;
    }
    text.get(..end).unwrap_or(&[])
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_command)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_between_characters() {
        let text = "aä€🦙".as_bytes();
        for (max, expected) in [
            (0, ""),
            (1, "a"),
            (2, "a"),
            (3, "aä"),
            (5, "aä"),
            (6, "aä€"),
            (9, "aä€"),
            (10, "aä€🦙"),
            (11, "aä€🦙"),
        ] {
            assert_eq!(floor_char_boundary(text, max), expected.as_bytes());
        }
    }

    fn args() -> Args {
        // The address is never reached: what is wrong is found before.
        Args(uapi::llama_command {
            prompt: 1,
            prompt_len: 1,
            ..Default::default()
        })
    }

    fn refusal(change: impl FnOnce(&mut uapi::llama_command)) -> Option<Error> {
        let mut args = args();
        change(&mut args.0);
        args.question().err()
    }

    #[test]
    fn each_bad_argument_has_its_errno() {
        assert_eq!(refusal(|a| a.flags = 1 << 63), Some(EINVAL));
        assert_eq!(refusal(|a| a.prompt_len = 0), Some(EINVAL));
        assert_eq!(refusal(|a| a.prompt_len = u64::MAX), Some(EMSGSIZE));
        assert_eq!(refusal(|a| a.temperature_milli = 10_001), Some(EINVAL));
        assert_eq!(refusal(|a| a.top_p_milli = 1001), Some(EINVAL));
        assert_eq!(refusal(|a| a.min_p_milli = 1001), Some(EINVAL));
        assert_eq!(refusal(|a| a.repeat_penalty_milli = 10_001), Some(EINVAL));
        assert_eq!(refusal(|a| a.response_len = 1), Some(EINVAL));
        assert_eq!(refusal(|a| a.grammar = 1), Some(EINVAL));
        assert_eq!(refusal(|a| a.grammar_len = 1), Some(EINVAL));
        assert_eq!(refusal(|a| a.session = 1), Some(EINVAL));
        assert_eq!(refusal(|a| a.reserved = 1), Some(EINVAL));
        let long = |a: &mut uapi::llama_command| {
            a.grammar = 1;
            a.grammar_len = u64::from(uapi::LLAMA_GRAMMAR_MAX) + 1;
        };
        assert_eq!(refusal(long), Some(EMSGSIZE));
    }
}
