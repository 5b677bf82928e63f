// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `libllamux`, the client library for C; see libllamux(3). Its header is made from this file.

// The names are C's.
#![allow(non_camel_case_types)]

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::time::Duration;

use client::{Command, Grammar, Role, Session, StopReason};

thread_local! {
    /// What went wrong last in this thread.
    static LAST: RefCell<CString> = RefCell::default();
}

/// A failure: the error number, and the words.
struct Failure(c_int, String);

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self(error.errno(), error.to_string())
    }
}

/// Does something that C asked for. Nothing of Rust gets out but a number.
fn guarded(work: impl FnOnce() -> Result<(), Failure>) -> c_int {
    let result = catch_unwind(AssertUnwindSafe(work));
    let Failure(errno, message) = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(failure)) => failure,
        Err(_) => Failure(libc::EIO, "libllamux has a bug: it panicked".to_owned()),
    };
    LAST.with(|last| {
        let text = message.replace('\0', " ");
        *last.borrow_mut() = CString::new(text).unwrap_or_default();
    });
    -errno
}

/// A text of the caller's.
///
/// # Safety
///
/// `text` is null, or ends in a zero byte, and stays as it is for `'a`.
unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure(
            libc::EINVAL,
            format!("the {what} is a null pointer"),
        ));
    }
    // SAFETY: By the requirements of this function.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| {
        let place = error.valid_up_to();
        Failure(
            libc::EILSEQ,
            format!("the {what} is not UTF-8 at byte {place}"),
        )
    })
}

/// What a pointer of the caller's points to.
///
/// # Safety
///
/// `pointer` is null, or points to a `T` that nobody writes to for `'a`.
unsafe fn there<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: By the requirements of this function.
    let value = unsafe { pointer.as_ref() };
    value.ok_or_else(|| Failure(libc::EINVAL, format!("the {what} is a null pointer")))
}

/// Hands something to the caller.
///
/// # Safety
///
/// `to` is null, or may be written to.
unsafe fn give<T>(to: *mut T, value: T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(Failure(
            libc::EINVAL,
            "the result is a null pointer".to_owned(),
        ));
    }
    // SAFETY: By the requirements of this function.
    unsafe { to.write(value) };
    Ok(())
}

/// Why an answer ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum llamux_stop_reason {
    /// The model ended it.
    LLAMUX_STOP_END = 1,
    /// As many tokens as were asked for, or as the context holds.
    LLAMUX_STOP_LENGTH = 2,
    /// The time was up.
    LLAMUX_STOP_TIMEOUT = 3,
    /// A signal arrived.
    LLAMUX_STOP_INTERRUPTED = 4,
    /// It outgrew a buffer.
    LLAMUX_STOP_BUFFER = 5,
    /// One of the texts came that end an answer.
    LLAMUX_STOP_STRING = 6,
    /// It was cancelled.
    LLAMUX_STOP_CANCELLED = 7,
    /// A reason that this library does not know.
    LLAMUX_STOP_UNKNOWN = 255,
}

/// Who says something.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum llamux_role {
    /// Whoever tells the model how to behave.
    LLAMUX_SYSTEM = 0,
    /// Whoever asks.
    LLAMUX_USER = 1,
    /// The model.
    LLAMUX_ASSISTANT = 2,
}

/// A conversation.
pub struct llamux_session(Session);

/// A grammar that answers keep to.
pub struct llamux_grammar(Grammar);

/// How a question is to be answered. What is zero is left to the kernel.
#[repr(C)]
pub struct llamux_options {
    /// Not 0: the model continues the text, without its chat format.
    pub raw: c_int,
    /// Not 0: fails with EAGAIN while the model is being loaded, instead of waiting for it.
    pub no_wait: c_int,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Gives up after so many milliseconds.
    pub timeout_ms: u32,
    /// The same seed gives the same answer.
    pub seed: u64,
    /// Not 0: always takes the likeliest token, whatever the temperature.
    pub greedy: c_int,
    /// Draws among the so many likeliest tokens.
    pub top_k: u32,
    /// How freely tokens are drawn, to 10.
    pub temperature: f64,
    /// Draws among the likeliest tokens whose probabilities add up to this, to 1.
    pub top_p: f64,
    /// Least part of the likeliest token's probability, to 1.
    pub min_p: f64,
    /// Makes recent tokens less likely, to 10.
    pub repeat_penalty: f64,
    /// What the answer keeps to, or null.
    pub grammar: *const llamux_grammar,
}

/// What the model said. llamux_answer_clear() frees it.
#[repr(C)]
pub struct llamux_answer {
    /// The text, with a zero byte at its end. It comes from a language model: show it to people, do not run it.
    pub text: *mut c_char,
    /// Its bytes, without that.
    pub text_len: usize,
    /// Tokens of the question, chat format included.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Why it ended: one of llamux_stop_reason.
    pub stop_reason: u32,
    /// How long it took, in milliseconds, waiting included.
    pub elapsed_ms: u64,
}

/// A part of an answer, as it comes: so many bytes of UTF-8, without a zero byte. Returns 0 to go on, another
/// number to end the answer.
pub type llamux_part =
    Option<unsafe extern "C" fn(text: *const c_char, len: usize, data: *mut c_void) -> c_int>;

/// The question with all that was chosen.
///
/// # Safety
///
/// `options` is null or points to options, whose grammar is null or was made by this library.
unsafe fn command(prompt: &str, options: *const llamux_options) -> Result<Command, Failure> {
    let mut command = Command::new(prompt);
    // SAFETY: By the requirements of this function.
    let Some(options) = (unsafe { options.as_ref() }) else {
        return Ok(command);
    };
    command = command
        .raw(options.raw != 0)
        .wait(options.no_wait == 0)
        .seed(options.seed);
    if options.max_tokens != 0 {
        command = command.max_tokens(options.max_tokens);
    }
    if options.timeout_ms != 0 {
        command = command.timeout(Duration::from_millis(options.timeout_ms.into()));
    }
    if options.greedy != 0 {
        command = command.temperature(0.0);
    } else if options.temperature != 0.0 {
        command = command.temperature(options.temperature);
    }
    if options.top_k != 0 {
        command = command.top_k(options.top_k);
    }
    if options.top_p != 0.0 {
        command = command.top_p(options.top_p);
    }
    if options.min_p != 0.0 {
        command = command.min_p(options.min_p);
    }
    if options.repeat_penalty != 0.0 {
        command = command.repeat_penalty(options.repeat_penalty);
    }
    // SAFETY: By the requirements of this function.
    if let Some(grammar) = unsafe { options.grammar.as_ref() } {
        command = command.grammar(grammar.0.clone());
    }
    Ok(command)
}

/// # Safety
///
/// `to` is null, or may be written to.
unsafe fn give_answer(to: *mut llamux_answer, answer: client::Answer) -> Result<(), Failure> {
    let text_len = answer.text.len();
    // What a model says may have a zero byte in it, which is there like any other.
    let mut bytes = answer.text.into_bytes();
    bytes.push(0);
    let text = Box::into_raw(bytes.into_boxed_slice()).cast::<c_char>();
    let answer = llamux_answer {
        text,
        text_len,
        prompt_tokens: answer.prompt_tokens,
        tokens: answer.tokens,
        // CAST: The enum is represented by numbers from 1 to 255.
        stop_reason: stop_reason(answer.stop_reason) as u32,
        elapsed_ms: u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    // SAFETY: By the requirements of this function.
    unsafe { give(to, answer) }
}

fn stop_reason(reason: StopReason) -> llamux_stop_reason {
    match reason {
        StopReason::End => llamux_stop_reason::LLAMUX_STOP_END,
        StopReason::Length => llamux_stop_reason::LLAMUX_STOP_LENGTH,
        StopReason::Timeout => llamux_stop_reason::LLAMUX_STOP_TIMEOUT,
        StopReason::Interrupted => llamux_stop_reason::LLAMUX_STOP_INTERRUPTED,
        StopReason::Buffer => llamux_stop_reason::LLAMUX_STOP_BUFFER,
        StopReason::Stopped => llamux_stop_reason::LLAMUX_STOP_STRING,
        StopReason::Cancelled => llamux_stop_reason::LLAMUX_STOP_CANCELLED,
        _ => llamux_stop_reason::LLAMUX_STOP_UNKNOWN,
    }
}

/// What went wrong last in this thread, in words that say what to do about it; empty if nothing did. The text stays
/// until the next call of this library in this thread.
#[no_mangle]
pub extern "C" fn llamux_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// Asks one question by llama_command(2), and waits for the answer. The options may be null.
///
/// # Safety
///
/// The pointers are what they are called, and the answer may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_ask(
    prompt: *const c_char,
    options: *const llamux_options,
    answer: *mut llamux_answer,
) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        let prompt = unsafe { text(prompt, "question") }?;
        // SAFETY: As above.
        let command = unsafe { command(prompt, options) }?;
        if answer.is_null() {
            return Err(Failure(
                libc::EINVAL,
                "the result is a null pointer".to_owned(),
            ));
        }
        let said = command.ask()?;
        // SAFETY: As above.
        unsafe { give_answer(answer, said) }
    })
}

/// Frees the text of an answer. Null is fine, and so is one that was cleared.
///
/// # Safety
///
/// The answer is null or was filled by this library, or is all zeros.
#[no_mangle]
pub unsafe extern "C" fn llamux_answer_clear(answer: *mut llamux_answer) {
    // SAFETY: By the requirements of this function.
    let Some(answer) = (unsafe { answer.as_mut() }) else {
        return;
    };
    let text = std::mem::replace(&mut answer.text, ptr::null_mut());
    let len = std::mem::replace(&mut answer.text_len, 0);
    // SAFETY: It was made by `give_answer`, with so many bytes and one more.
    unsafe { free(text.cast::<u8>(), len + 1) };
}

/// # Safety
///
/// The pointer is null or of a boxed slice of so many, which nobody uses any more.
unsafe fn free<T>(pointer: *mut T, len: usize) {
    if !pointer.is_null() {
        // SAFETY: By the requirements of this function.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(pointer, len)) });
    }
}

/// Opens a conversation, by /dev/llama, with the model of this name, or the default one if it is null.
///
/// # Safety
///
/// The name is null or a string, and the session may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_open(
    model: *const c_char,
    session: *mut *mut llamux_session,
) -> c_int {
    guarded(|| {
        let opened = Session::open()?;
        if !model.is_null() {
            // SAFETY: By the requirements of this function.
            opened.choose_model(unsafe { text(model, "model's name") }?, true)?;
        }
        // SAFETY: As above.
        unsafe { give_session(session, opened) }
    })
}

/// # Safety
///
/// `to` is null, or may be written to.
unsafe fn give_session(to: *mut *mut llamux_session, session: Session) -> Result<(), Failure> {
    let session = Box::into_raw(Box::new(llamux_session(session)));
    // SAFETY: By the requirements of this function.
    let given = unsafe { give(to, session) };
    if given.is_err() {
        // SAFETY: It was made above.
        drop(unsafe { Box::from_raw(session) });
    }
    given
}

/// Ends a conversation. Null is fine.
///
/// # Safety
///
/// The session is null or was opened by this library, and nobody uses it any more.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_close(session: *mut llamux_session) {
    if !session.is_null() {
        // SAFETY: By the requirements of this function.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// Asks in a conversation. Each part of the answer is handed to a function as it comes, with data of the caller's;
/// the function may be null, and so may be the options. The whole is in the answer.
///
/// # Safety
///
/// The pointers are what they are called, and the answer may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_ask(
    session: *const llamux_session,
    prompt: *const c_char,
    options: *const llamux_options,
    each: llamux_part,
    data: *mut c_void,
    answer: *mut llamux_answer,
) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        let session = unsafe { there(session, "session") }?;
        // SAFETY: As above.
        let prompt = unsafe { text(prompt, "question") }?;
        // SAFETY: As above.
        let command = unsafe { command(prompt, options) }?;
        if answer.is_null() {
            return Err(Failure(
                libc::EINVAL,
                "the result is a null pointer".to_owned(),
            ));
        }
        let said = session.0.ask(&command, |part| match each {
            // SAFETY: The caller's function takes so many bytes, which are there for the time of the call.
            Some(each) => unsafe { each(part.as_ptr().cast::<c_char>(), part.len(), data) == 0 },
            None => true,
        })?;
        // SAFETY: As above.
        unsafe { give_answer(answer, said) }
    })
}

/// Ends the answer that is under way. Any thread may do so.
///
/// # Safety
///
/// The session was opened by this library.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_cancel(session: *const llamux_session) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        unsafe { there(session, "session") }?.0.cancel()?;
        Ok(())
    })
}

/// Begins a conversation anew.
///
/// # Safety
///
/// The session was opened by this library.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_reset(session: *const llamux_session) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        unsafe { there(session, "session") }?.0.reset()?;
        Ok(())
    })
}

/// Says something that needs no answer of its own. The role is one of llamux_role.
///
/// # Safety
///
/// The session was opened by this library, and the text is a string.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_say(
    session: *const llamux_session,
    role: c_int,
    what: *const c_char,
) -> c_int {
    guarded(|| {
        let role = match role {
            0 => Role::System,
            1 => Role::User,
            2 => Role::Assistant,
            _ => return Err(Failure(libc::EINVAL, format!("there is no role {role}"))),
        };
        // SAFETY: By the requirements of this function.
        let session = unsafe { there(session, "session") }?;
        // SAFETY: As above.
        session.0.say(role, unsafe { text(what, "text") }?)?;
        Ok(())
    })
}

/// Another conversation, which begins like this one. Not while an answer is under way.
///
/// # Safety
///
/// The session was opened by this library, and the copy may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_fork(
    session: *const llamux_session,
    copy: *mut *mut llamux_session,
) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        let forked = unsafe { there(session, "session") }?.0.fork()?;
        // SAFETY: As above.
        unsafe { give_session(copy, forked) }
    })
}

/// Makes a vector of a text, as long as 1: texts that are about the same have vectors whose product is near 1.
/// llamux_vector_free() frees it.
///
/// # Safety
///
/// The session was opened by this library, the text is a string, and the others may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_embed(
    session: *const llamux_session,
    what: *const c_char,
    vector: *mut *mut f32,
    len: *mut usize,
) -> c_int {
    guarded(|| {
        if vector.is_null() || len.is_null() {
            return Err(Failure(
                libc::EINVAL,
                "the result is a null pointer".to_owned(),
            ));
        }
        // SAFETY: By the requirements of this function.
        let session = unsafe { there(session, "session") }?;
        // SAFETY: As above.
        let made = session.0.embed(unsafe { text(what, "text") }?)?;
        // SAFETY: As above.
        unsafe { give(len, made.len()) }?;
        // SAFETY: As above.
        unsafe { give(vector, Box::into_raw(made.into_boxed_slice()).cast::<f32>()) }
    })
}

/// Frees a vector of so many numbers. Null is fine.
///
/// # Safety
///
/// The vector is null or was made by this library, with so many numbers.
#[no_mangle]
pub unsafe extern "C" fn llamux_vector_free(vector: *mut f32, len: usize) {
    // SAFETY: By the requirements of this function.
    unsafe { free(vector, len) };
}

/// The open file of a conversation, for poll(2), which stays the session's; or a negative error number.
///
/// # Safety
///
/// The session was opened by this library.
#[no_mangle]
pub unsafe extern "C" fn llamux_session_fd(session: *const llamux_session) -> c_int {
    let mut fd = -1;
    let result = guarded(|| {
        // SAFETY: By the requirements of this function.
        fd = unsafe { there(session, "session") }?.0.as_fd().as_raw_fd();
        Ok(())
    });
    if result < 0 {
        result
    } else {
        fd
    }
}

/// Compiles a grammar in GBNF.
///
/// # Safety
///
/// The text is a string, and the grammar may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_grammar_compile(
    gbnf: *const c_char,
    grammar: *mut *mut llamux_grammar,
) -> c_int {
    guarded(|| {
        // SAFETY: By the requirements of this function.
        let source = unsafe { text(gbnf, "grammar") }?;
        let compiled =
            Grammar::new(source).map_err(|error| Failure(libc::EINVAL, error.to_string()))?;
        if grammar.is_null() {
            return Err(Failure(
                libc::EINVAL,
                "the result is a null pointer".to_owned(),
            ));
        }
        // SAFETY: As above.
        unsafe { give(grammar, Box::into_raw(Box::new(llamux_grammar(compiled)))) }
    })
}

/// Frees a grammar. Null is fine.
///
/// # Safety
///
/// The grammar is null or was compiled by this library, and nobody uses it any more.
#[no_mangle]
pub unsafe extern "C" fn llamux_grammar_free(grammar: *mut llamux_grammar) {
    if !grammar.is_null() {
        // SAFETY: By the requirements of this function.
        drop(unsafe { Box::from_raw(grammar) });
    }
}

/// The value of a key in /proc/llamux/status, "state" for example. It has a zero byte at its end, and is cut where
/// the buffer ends. Returns the bytes that the value has, without that byte, 0 if there is no such key, or a
/// negative error number.
///
/// # Safety
///
/// The key is a string, and so many bytes of the buffer may be written to.
#[no_mangle]
pub unsafe extern "C" fn llamux_status(
    key: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    let mut bytes = 0;
    let result = guarded(|| {
        // SAFETY: By the requirements of this function.
        let key = unsafe { text(key, "key") }?;
        let status = client::Status::read()?;
        let value = status.get(key).unwrap_or_default();
        bytes = c_int::try_from(value.len()).unwrap_or(c_int::MAX);
        if buffer.is_null() || size == 0 {
            return Ok(());
        }
        let mut len = value.len().min(size - 1);
        while !value.is_char_boundary(len) {
            len -= 1;
        }
        // SAFETY: As above; the length is below the size.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr().cast::<c_char>(), buffer, len) };
        // SAFETY: As above.
        unsafe { buffer.add(len).write(0) };
        Ok(())
    });
    if result < 0 {
        result
    } else {
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: The text stays until the next call.
        unsafe { CStr::from_ptr(llamux_error()) }
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn null_pointers_and_texts_that_are_none_are_refused() {
        // SAFETY: Null pointers are allowed for, and the strings are such.
        unsafe {
            let mut answer = std::mem::zeroed();
            assert_eq!(
                llamux_ask(ptr::null(), ptr::null(), &mut answer),
                -libc::EINVAL
            );
            assert!(last().contains("question"), "{}", last());
            assert_eq!(
                llamux_ask(c"x".as_ptr(), ptr::null(), ptr::null_mut()),
                -libc::EINVAL
            );
            assert_eq!(
                llamux_ask(c"a\xff".as_ptr(), ptr::null(), &mut answer),
                -libc::EILSEQ
            );
            assert!(last().contains("byte 1"), "{}", last());
            assert_eq!(
                llamux_ask(c"".as_ptr(), ptr::null(), &mut answer),
                -libc::EINVAL
            );
            assert_eq!(llamux_session_cancel(ptr::null()), -libc::EINVAL);
            assert_eq!(llamux_session_fd(ptr::null()), -libc::EINVAL);
            assert_eq!(
                llamux_session_say(ptr::null(), 3, c"x".as_ptr()),
                -libc::EINVAL
            );
            assert!(last().contains("role 3"), "{}", last());
            llamux_answer_clear(&mut answer);
            llamux_answer_clear(ptr::null_mut());
            llamux_session_close(ptr::null_mut());
            llamux_grammar_free(ptr::null_mut());
            llamux_vector_free(ptr::null_mut(), 7);
        }
    }

    #[test]
    fn grammars_are_compiled_or_say_what_is_wrong() {
        let mut grammar = ptr::null_mut();
        // SAFETY: The strings are such, and the grammar is freed once.
        unsafe {
            assert_eq!(
                llamux_grammar_compile(c"root ::= \"yes\" | \"no\"".as_ptr(), &mut grammar),
                0
            );
            assert!(!grammar.is_null());
            llamux_grammar_free(grammar);
            assert_eq!(
                llamux_grammar_compile(c"root ::= (".as_ptr(), &mut grammar),
                -libc::EINVAL
            );
            assert!(!last().is_empty());
        }
    }

    #[test]
    fn a_panic_is_an_error_number() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let result = guarded(|| panic!("no"));
        std::panic::set_hook(hook);
        assert_eq!(result, -libc::EIO);
        assert!(last().contains("panicked"));
    }

    #[test]
    fn an_answer_is_freed_as_it_was_made() {
        let mut answer: llamux_answer = llamux_answer {
            text: ptr::null_mut(),
            text_len: 0,
            prompt_tokens: 0,
            tokens: 0,
            stop_reason: 0,
            elapsed_ms: 0,
        };
        // SAFETY: An answer that is all zeros but for its reason may be cleared, again and again.
        unsafe {
            llamux_answer_clear(&mut answer);
            llamux_answer_clear(&mut answer);
        }
        assert!(answer.text.is_null());
    }

    #[test]
    fn without_llamux_the_number_is_enosys() {
        if std::path::Path::new(client::STATUS_PATH).exists() {
            println!("skipped: this kernel has Llamux");
            return;
        }
        // SAFETY: The string is such, and there is no buffer.
        let result = unsafe { llamux_status(c"state".as_ptr(), ptr::null_mut(), 0) };
        assert_eq!(result, -libc::ENOSYS);
        assert!(last().contains("linux-llamux"), "{}", last());
    }
}
